//! The operator's road into a running engine: a socket in the journal's folder, for its owner alone.
//!
//! A request is a line of JSON, and so is its answer ([`Request`], [`Answer`]). A command becomes an
//! event in the engine's inbox like any other; the answer comes when the journal has it and what it
//! caused, so what the operator reads is what was done. Nothing else sends [`CommandKind::Resume`].
//!
//! Bounds: eight connections, a request of [`REQUEST_BYTES_MAX`] bytes, five seconds for a line and for
//! being taken up. A socket of a process that died is replaced, one that is listened to is refused.
//!
//! [`CommandKind::Resume`]: crate::event::CommandKind::Resume

mod protocol;
mod server;
mod session;
mod socket;
mod status;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use crossbeam_channel::Sender;
use mio::{Interest, Poll, Waker};

pub use protocol::{Answer, Done, REQUEST_BYTES_MAX, Request, Trouble, TroubleKind};
pub use server::TAKE_UP_DEADLINE;
pub use socket::{SOCKET, connect};
pub use status::{Account, AlarmNow, Counts, FeedNow, LimitInForce, Position, QueueNow, Status};

use crate::event::{Event, InstrumentTable};
use crate::observe::{Lines, Shared};
use crate::risk::config::Settings;
use server::{LISTENER, Server, WAKE};

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    #[error("{}: another process listens there", path.display())]
    InUse { path: PathBuf },
    #[error("{}: in the way, and not a socket; move it", path.display())]
    NotASocket { path: PathBuf },
    #[error("{}: can't {doing}: {source}", path.display())]
    Io { path: PathBuf, doing: &'static str, source: io::Error },
}

/// What the socket serves.
pub struct ControlConfig<'a> {
    /// The journal's folder.
    pub dir: &'a Path,
    pub instruments: &'a InstrumentTable,
    pub settings: &'a Settings,
    /// Figures the drain thread keeps.
    pub stats: Shared,
    /// The engine's inbox.
    pub inbox: Sender<Event>,
}

/// The running socket; dropping it ends the thread and removes the socket.
#[derive(Debug)]
pub struct Control {
    thread: Option<JoinHandle<()>>,
    ending: Arc<AtomicBool>,
    waker: Waker,
    path: PathBuf,
}

impl Control {
    /// Makes the socket and starts its thread, which inherits the caller's core and priority: call it
    /// before the hot thread is given its own.
    pub fn spawn(config: ControlConfig<'_>) -> Result<Control, ControlError> {
        let path = config.dir.join(SOCKET);
        let mut listener = socket::listen(config.dir)?;
        let failed = |doing| {
            let path = path.clone();
            move |source| ControlError::Io { path, doing, source }
        };
        let poll = Poll::new().map_err(failed("wait on the control socket"))?;
        let registry = poll.registry();
        registry
            .register(&mut listener, LISTENER, Interest::READABLE)
            .map_err(failed("wait on the control socket"))?;
        let waker = Waker::new(registry, WAKE).map_err(failed("wait on the control socket"))?;
        let ending = Arc::new(AtomicBool::new(false));
        let subject = status::Subject {
            journal: config.dir.display().to_string(),
            lines: Lines::new(config.instruments.clone(), *config.settings),
            settings: *config.settings,
        };
        let server = Server::new(poll, listener, subject, config.stats, config.inbox, Arc::clone(&ending));
        let thread = thread::Builder::new()
            .name("qtx-control".to_string())
            .spawn(move || server.run())
            .map_err(failed("start the control thread"))?;
        Ok(Control { thread: Some(thread), ending, waker, path })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Release);
        // Unheard, the thread looks at the flag within a quarter of a second by itself.
        let _ = self.waker.wake();
        if let Some(thread) = self.thread.take() {
            // A panic of it was printed; the engine ends all the same.
            let _ = thread.join();
        }
        // One left behind is replaced by the next engine here.
        let _ = fs::remove_file(&self.path);
    }
}
