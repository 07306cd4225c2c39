//! The hot loop: events in, one at a time, and what they cause out.
//!
//! [`Core`] is the path of one event: decode, journal, step, journal. [`Intake`] puts room before it
//! and instructions behind it. Around that stand two loops: [`Lockstep`], in which the venue owns
//! time, and [`Cycle`], which polls sockets by the clock.

pub mod control;
mod core;
mod cycle;
mod direct;
mod feeds;
mod inbox;
mod intake;
mod lockstep;
mod notices;
mod opener;
mod opening;
mod plan;
mod queue;
pub mod record;
mod recorder;
mod session;
mod shares;
mod stepped;

pub use self::core::{Core, RECORDS_MAX};
pub use cycle::{Cycle, Endless, MarketEnd, WhenFull};
pub use direct::Direct;
pub use feeds::{Feeds, Lifetimes, Polled};
pub use inbox::{Inbox, Senders};
pub use intake::{Intake, Outlet};
pub use lockstep::{Lockstep, Pace, Transport, Turn};
pub use notices::Notices;
pub use opener::{Opener, OpenerConfig, OpenerEnds, OpenerReport};
pub use opening::{earlier, opening};
pub use plan::{Bases, PlanError, plan};
pub use queue::{Instructed, OrderQueue, Prices, order_queue};
pub use recorder::{Followed, Follower, Recorder};
pub use session::{Account, BatonFence, Joined, MarketConfig, Session, SessionError, SessionReport};
pub use shares::{Shares, SharesMax};
pub use stepped::{Stepped, VenueFault};

use crate::sim::market::SourceError;

/// Why a run can't go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(transparent)]
    Market(#[from] SourceError),
    #[error(transparent)]
    JournalFull(#[from] crate::journal::ring::Full),
    #[error("the journal can't be written: {0}")]
    Journal(String),
    #[error("the gateway stopped: {0}")]
    Gateway(String),
    /// The market behind the simulated venue can't be read on.
    #[error("{0}")]
    MarketFault(String),
    #[error("the simulated venue: {0}")]
    Venue(String),
}
