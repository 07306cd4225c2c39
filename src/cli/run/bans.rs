//! A venue that wants to hear nothing: remembered from start to start.

use super::remote::Clock;
use crate::cli::Failure;
use crate::gateway::{Bans, StartError};
use crate::host::ban::{Ban, BanFile};
use crate::host::clock::wall_time;
use crate::num::{Now, TimeNs};

/// Refuses a start while the venue wants to hear nothing, before anything is sent. Returns the file, and
/// what the operator should know of it.
pub(super) fn refuse_during_one(file: BanFile) -> Result<(BanFile, Option<String>), Failure> {
    match file.read(wall_time()) {
        Ban::Over => Ok((file, None)),
        Ban::Unreadable(what) => Ok((file, Some(format!("{what}; it is ignored")))),
        Ban::Until(until) => {
            let line = format!(
                "the venue bans this machine until {until}, for too many requests before this start: \
                 nothing was sent, for each request makes it longer"
            );
            Err(Failure::refused(line))
        }
    }
}

/// Keeps the bans of a start and of its run.
#[derive(Clone)]
pub(super) struct Keeper {
    pub file: BanFile,
    pub clock: Clock,
}

impl Keeper {
    /// Why a start failed, with the time until which the venue wants to hear nothing if that is why. A ban
    /// is kept.
    pub fn turned_away(&self, error: StartError) -> Failure {
        let Some((silence_ns, banned)) = error.silence() else { return error.into() };
        let wall = wall_time();
        let until = wall + self.clock.unscaled(silence_ns);
        let kept = if banned { self.file.keep(until, wall) } else { Ok(()) };
        let forgotten = kept.err().map(|error| format!(" (which can't be kept for the next start: {error})"));
        let forgotten = forgotten.unwrap_or_default();
        Failure::refused(format!("{error}; the venue wants to hear nothing until {until}{forgotten}"))
    }
}

impl Bans for Keeper {
    fn keep(&self, until: TimeNs) -> Result<(), String> {
        let wall = wall_time();
        let until = wall + self.clock.unscaled(until.since(self.clock.now()));
        let forgotten = |error| format!("a ban until {until} can't be kept for the next start: {error}");
        self.file.keep(until, wall).map_err(forgotten)
    }
}
