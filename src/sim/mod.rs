//! The simulated venue. Everything here is a state machine driven by simulated time: the same inputs
//! give the same reports, whatever the host does.

pub mod exchange;
pub mod link;
pub mod lockstep;
pub mod market;
pub mod venue;
#[cfg(feature = "server")]
pub mod server;
