//! Which trades may be made, at what size, and when they end. `docs/RULES.md` §3 to §6.

pub mod check;
pub mod config;
pub mod controller;
pub mod exit;
pub mod filter;
pub mod levels;
pub mod money;
pub mod off;
pub mod sizing;
