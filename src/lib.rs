//! Quantum Trader: exchange frames in, risk-managed orders out, every input and output in one
//! journal. Rooms in the order of the flow; `docs/ARCHITECTURE.md` has the map and the invariants.
#![deny(unsafe_code)]
#![cfg_attr(
    not(test),
    warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::todo, clippy::too_many_lines)
)]

// Exact decimals, ticks, lots, time, ids.
pub mod num;
// The records that cross rooms, and their binary form.
pub mod event;
// Websocket clients: bytes to frames, without blocking.
pub mod wire;
// The venues' dialects: names, filters, error codes, instrument tables.
pub mod venue;
// Frames to events.
pub mod decode;
// Bars, indicators, volume, spread and correlation, per instrument.
pub mod market;
// Votes to consensus and confidence; the rule voters.
pub mod signal;
// Which trades may be made, at what size, and when they end.
pub mod risk;
// A trade from approval to account, and its orders.
pub mod trade;
// `step`: events in, outputs out.
pub mod engine;
// Every input and output, in order, on disk: ring, archive, and what reads them.
pub mod journal;
// An engine fed from a journal: replay, the shadow of a running one, the start after another.
pub mod replay;
// The way to the venue: orders out, its word on them in.
pub mod gateway;
// The simulated venue: market, matching, latency.
pub mod sim;
// What an operator reads: decision lines, counters, histograms, the summary.
pub mod observe;
// What the process asks of the machine: clocks, signals, allocations counted.
pub mod host;
// The hot loop: sockets or a simulation in, events through the core, instructions out.
pub mod live;
// Scenario lines in, decisions out, through the engine.
pub mod evaluate;
// A journal as tables for analysis: Parquet, comma-separated values.
pub mod export;
// Engine, gateway and venue in one thread, with everything that can go wrong.
pub mod soak;
// The command line: arguments, what each command wires together.
pub mod cli;
