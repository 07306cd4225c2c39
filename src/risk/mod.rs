//! Which trades may be made, at what size, and when they end.

/// The settings: one table, from which everything that names a setting is made.
pub mod config;
