//! The in-process transport: market and venue are called, in the engine's thread.

use super::lockstep::{Transport, Turn};
use super::{Outlet, RunError};
use crate::event::{Event, Instruction};
use crate::num::{InstrumentId, TimeNs};
use crate::sim::exchange::{Due, Exchange};

/// A market and a venue in the same thread.
pub struct Direct(pub Exchange);

impl Direct {
    fn turn(&self, due: Due) -> Turn {
        match due {
            Due::Frame(at) if self.0.event().is_some() => Turn::Event(at),
            Due::Frame(at) => Turn::Frame(at),
            Due::Report(delivery) => Turn::Report(delivery),
            Due::Nothing => Turn::Nothing { next_frame: self.0.next_frame() },
        }
    }
}

impl Outlet for Direct {
    /// The link's queues grow.
    fn has_room(&mut self) -> bool {
        true
    }

    fn send(&mut self, at: TimeNs, instrument: InstrumentId, instruction: Instruction) {
        self.0.link().send(at, instrument, instruction);
    }

    /// The venue sees its own market before the engine does.
    fn market(&mut self, at: TimeNs, event: &Event) {
        self.0.market(at, event);
    }
}

impl Transport for Direct {
    fn next(&mut self, limit: TimeNs) -> Result<Turn, RunError> {
        let due = self.0.next(limit);
        Ok(self.turn(due))
    }

    fn settle(&mut self, limit: TimeNs) -> Result<Turn, RunError> {
        let due = self.0.settle(limit);
        Ok(self.turn(due))
    }

    fn swap_frame(&mut self, buffer: &mut Vec<u8>) {
        self.0.swap_frame(buffer);
    }

    fn event(&self) -> Event {
        self.0.event().copied().unwrap_or(Event::NOTHING)
    }

    fn read_on(&mut self) -> Result<(), RunError> {
        Ok(self.0.read_on()?)
    }
}
