//! Ctrl-C and SIGTERM as a flag to look at: the loop ends its cycle and closes in order.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// Exit status of a process that a second signal ended: 128 + SIGINT, as shells report it.
const EXIT_INTERRUPTED: i32 = 130;

/// Set once the process was asked to stop. Clones share the flag.
#[derive(Clone, Debug, Default)]
pub struct StopFlag(Arc<AtomicBool>);

impl StopFlag {
    /// A flag that only [`StopFlag::request`] sets.
    pub fn manual() -> StopFlag {
        StopFlag::default()
    }

    /// A flag that SIGINT and SIGTERM set too. A second signal ends the process at once: the way out
    /// when closing hangs. The journal's ring survives that.
    pub fn on_signals() -> io::Result<StopFlag> {
        let stop = StopFlag::default();
        for signal in [SIGINT, SIGTERM] {
            // The order matters: the first signal must find the flag unset here.
            flag::register_conditional_shutdown(signal, EXIT_INTERRUPTED, Arc::clone(&stop.0))?;
            flag::register(signal, Arc::clone(&stop.0))?;
        }
        Ok(stop)
    }

    pub fn request(&self) {
        self.0.store(true, Ordering::Release);
    }

    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}
