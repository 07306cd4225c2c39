//! Quantum Trader: exchange frames in, risk-managed orders out, every input and output in one
//! journal. Rooms in the order of the flow; `docs/ARCHITECTURE.md` has the map and the invariants.
#![deny(unsafe_code)]

/// Exact decimals, ticks, lots, time, ids.
pub mod num;
/// The records that cross rooms, and their binary form.
pub mod event;
/// Bars, indicators, volume, spread and correlation, per instrument.
pub mod market;
/// Votes to consensus and confidence; the rule voters.
pub mod signal;
/// Which trades may be made, at what size, and when they end.
pub mod risk;
/// A trade from approval to account, and its orders.
pub mod trade;
/// `step`: events in, outputs out.
pub mod engine;
