//! The way to the venue: orders out, the venue's word on orders, wallet and positions in.
//!
//! [`Gateway`] is a state machine without sockets and without a clock: inputs with a time go in, texts,
//! REST requests and events come out. [`prepare`] reads an account
//! ([`Reading`]) and opens its sockets, and [`Prepared::run`] starts the thread that joins the two.
//!
//! What it promises:
//! - An order goes out once. Ids only grow, and what was perhaps sent is never sent again: an order
//!   whose acknowledgement is lost is UNKNOWN and asked for by its client id. An order that was provably
//!   not written takes the REST road instead.
//! - Each of the venue's words is passed on once: a status that does not advance its order is dropped, a
//!   fill is known by its trade id. Answers to queries are always passed on.
//! - No order passes the limits of [`limits`], whatever the engine believes.
//! - It asks for no more than the venue's own limits allow, and keeps part of them for what protects.
//! - Told to be silent, it sends nothing until the time is over.
//! - The user stream is believed again only after everything it may have missed was asked for.
//!
//! Bounds, and what happens at them: live orders and unanswered requests beyond the tables' room are
//! refused, ended orders and trade ids beyond it forgotten, oldest first; events the channel has no room
//! for wait here, and while too many wait nothing is read from the sockets.

mod account;
mod assume;
mod budget;
mod clock;
mod counters;
mod earlier;
mod fills;
mod found;
mod io;
pub mod limits;
mod line;
mod machine;
mod orders;
mod own;
mod positions;
mod pulse;
mod reading;
mod recent;
mod reconcile;
mod refusal;
mod requests;
mod responses;
mod rest;
pub mod secrets;
mod session;
mod start;
#[cfg(test)]
mod tests;
mod thread;
mod unreadable;
mod user;

pub use counters::{AnswerClass, Counters, RoundTrip};
pub use earlier::Earlier;
pub use io::{Input, Link, OrderText, Outputs, RequestId, RestOutcome, RestRequest, Stream};
pub use limits::{LimitSettings, Prices};
pub use machine::{Gateway, GatewayConfig};
pub use reading::{Reading, Rest};
pub use refusal::Refusal;
pub use rest::{RestClient, RestReply};
pub use start::{Prepared, StartConfig, StartError, history, prepare};
pub use thread::{Bans, Fence, GatewayReport, RunningGateway, Wires};
