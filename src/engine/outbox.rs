//! What one event caused.

use arrayvec::ArrayVec;

use super::TRADES_MAX;
use crate::event::{Output, OutputBody};
use crate::num::InstrumentId;

/// The most one event can cause. A timer is the worst: up to 64 questions and an alarm to each; for
/// each of at most 64 open trades (32 with the risk layer on) a state, three lines of a deadline or
/// grace that passed, its exit, a stop and the cancels of older ones, fifteen in all; and for each
/// trade the cancel of its entry, if the trading state falls. The sum is below 1,200; the rest is margin.
pub const OUTBOX_MAX: usize = TRADES_MAX * 20;

/// The outputs of one event, in order.
#[derive(Clone, Debug, Default)]
pub struct Outbox {
    outputs: ArrayVec<Output, OUTBOX_MAX>,
}

impl Outbox {
    pub fn new() -> Box<Outbox> {
        Box::default()
    }

    pub fn clear(&mut self) {
        self.outputs.clear();
    }

    /// Panics beyond [`OUTBOX_MAX`]: the bound is ours, so breaking it is our bug.
    pub fn push(&mut self, instrument: InstrumentId, body: OutputBody) {
        self.outputs.push(Output { instrument, body });
    }

    pub fn outputs(&self) -> &[Output] {
        &self.outputs
    }
}
