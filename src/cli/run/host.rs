//! What the loop's thread is given before it starts: memory that stays, a core, a priority.

use crate::cli::Failure;
use crate::host::memory::populate;
use crate::host::thread::{Cores, lock_memory, pin, set_realtime, touch_stack};
use crate::risk::config::{HotCore, LockMemory, Settings};

/// Sets the calling thread up as the settings say; threads it starts later would inherit its core.
/// Returns what the operator should know.
///
/// # Errors
/// What was asked for and is not permitted.
pub(super) fn prepare(settings: &Settings) -> Result<Vec<String>, Failure> {
    let mut warnings = Vec::new();
    touch_stack();
    if let Err(error) = populate() {
        warnings.push(format!("memory is touched only as it is used: {error}"));
    }
    match (settings.mlock, lock_if(settings.mlock != LockMemory::Off)) {
        (LockMemory::On, Err(error)) => return Err(Failure::refused(format!("QT_MLOCK: {error}"))),
        (_, Err(error)) => warnings.push(format!("memory is not locked: {error}")),
        (_, Ok(())) => {}
    }
    match settings.hot_core {
        HotCore::Off => {}
        HotCore::Number(core) => {
            pin(core as usize).map_err(|error| Failure::refused(format!("QT_HOT_CORE: {error}")))?;
        }
        HotCore::Auto => {
            let cores = Cores::allowed()?;
            if let Some(core) = cores.last()
                && let Err(error) = pin(core)
            {
                warnings.push(format!("not pinned: {error}"));
            }
        }
    }
    if let Ok(priority @ 1..) = u8::try_from(settings.realtime_priority) {
        set_realtime(priority).map_err(|error| Failure::refused(format!("QT_REALTIME_PRIORITY: {error}")))?;
    }
    Ok(warnings)
}

fn lock_if(wanted: bool) -> Result<(), crate::host::thread::ThreadError> {
    if wanted { lock_memory() } else { Ok(()) }
}
