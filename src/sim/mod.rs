//! The simulated exchange: where its market comes from, and how it trades.

pub mod market;
