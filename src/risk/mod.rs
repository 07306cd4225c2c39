//! Which trades may be made, at what size, and when they end.

pub mod config;
