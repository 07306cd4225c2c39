//! Quantum Trader: exchange frames in, risk-managed orders out, every input and output in one
//! journal. Rooms in the order of the flow; `docs/ARCHITECTURE.md` has the map and the invariants.
#![deny(unsafe_code)]

/// The records that cross rooms, and their binary form.
pub mod event;
/// Exact decimals, ticks, lots, time, ids.
pub mod num;
/// The simulated venue: matching, and the latency between it and the engine.
pub mod sim;
