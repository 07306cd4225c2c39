//! The simulated exchange: where its market comes from, and how it trades.

/// Sources of market frames: generated, recorded, or expanded from trades and candles.
pub mod market;
