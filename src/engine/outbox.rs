//! What one event caused.

use arrayvec::ArrayVec;

use super::TRADES_MAX;
use crate::event::{Output, OutputBody};
use crate::num::InstrumentId;

/// The most one event can cause: closing every trade at once, at most eight outputs each (exit,
/// state, two stops, entry and their cancels, exit order, protection), and what the event itself
/// says.
pub const OUTBOX_MAX: usize = TRADES_MAX * 8 + 64;

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
