//! A trade from its approval to its account: the orders it has at the venue, what they filled, the
//! states it goes through. `docs/RULES.md` §7.

mod book;
mod fills;
mod lifecycle;
mod order;
mod position;

pub use book::{Book, Booked, OpenTrade};
pub use fills::FillMemory;
pub use lifecycle::{Step, end_state, next_state};
pub use order::{LiveOrder, OrderState};
pub use position::{Closing, ORDERS_MAX, Protection, STOPS_MAX, Surplus, Trade};
