//! An engine fed from a journal: it must say what the journal says.
//!
//! [`Follower`] is that engine. Behind a running one it is the [`shadow`]; over a journal on disk it is
//! [`verify()`](verify::verify); after a crash it is what the next start goes on with ([`recovery`]).

mod divergence;
mod follower;
pub mod recovery;
mod rules;
pub mod shadow;
mod snapshots;
pub mod verify;

pub use divergence::{Difference, Divergence};
pub use follower::{Cut, Follower};
pub use recovery::{Recovered, Recovery, RecoveryError, never_sent};
pub use shadow::{Shadow, ShadowConfig, ShadowReport, SharedReport};
pub use snapshots::{SNAPSHOT_RECORDS, forget_snapshots};
