//! The soak's market.

pub use quantum_trader::soak::{BAR_S, Dice, Market, START, instruments};
