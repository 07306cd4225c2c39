//! Scenario lines in, decisions out: what the engine would do, asked one JSON line at a time.
//!
//! Every line becomes events for the same [`Engine`](crate::engine::Engine) that trades live; nothing
//! of the rules is here. What is here stands in for market and venue: prices are what a line says,
//! entries fill when asked or at the decision's price, exits at the price they were tested at.

mod fields;
mod listing;
mod request;
mod said;
mod scenario;

pub use scenario::Scenario;
