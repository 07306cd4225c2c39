//! `qtx evaluate`: the protocol line by line, at each threshold, under hostile input, and against a
//! model in exact rationals.

mod against_model;
mod exact;
mod example;
mod hostile;
mod lines;
#[allow(dead_code)] // `tests/limits` has it do more.
mod model;
mod process;
mod protocol;
mod thresholds;
