//! Where the core's events and outputs go: the ring of a journal, or whoever follows a run that keeps
//! none.

use crate::event::record::Entry;
use crate::event::{Event, Output};
use crate::journal::ring::{Full, RingWriter};
use crate::num::TimeNs;

/// Takes everything that goes into the engine and comes out of it, in order.
pub trait Recorder {
    /// Whether the stages of an event are timed: four clock reads, as many nanoseconds as some events
    /// take.
    const TIMED: bool;

    /// Room for so many records?
    fn has_room(&mut self, records: u64) -> bool;

    /// Parts per million of the room that is in use.
    fn share_ppm(&mut self) -> u32;

    /// Takes an event, before the engine sees it.
    fn event(&mut self, event: &Event) -> Result<(), Full>;

    /// Takes what it caused, all or none; there is at least one.
    fn outputs(&mut self, recv_ns: TimeNs, outputs: &[Output]) -> Result<(), Full>;
}

impl Recorder for RingWriter {
    const TIMED: bool = true;

    #[inline]
    fn has_room(&mut self, records: u64) -> bool {
        RingWriter::has_room(self, records)
    }

    fn share_ppm(&mut self) -> u32 {
        let slots = self.slots();
        ((slots - self.free_slots().min(slots)) * 1_000_000 / slots.max(1)) as u32
    }

    #[inline]
    fn event(&mut self, event: &Event) -> Result<(), Full> {
        self.append_event(event).map(|_| ())
    }

    #[inline]
    fn outputs(&mut self, recv_ns: TimeNs, outputs: &[Output]) -> Result<(), Full> {
        self.append_outputs(recv_ns, outputs).map(|_| ())
    }
}

/// Whoever looks at a run's entries as they come.
pub trait Follower {
    /// The next entry; `number` counts them from 1.
    fn follow(&mut self, number: u64, entry: &Entry);
}

/// A run without a journal: the same entries, shown to a follower in the loop's own thread.
pub struct Followed<F> {
    pub follower: F,
    /// Entries so far.
    pub entries: u64,
}

impl<F: Follower> Followed<F> {
    pub fn new(follower: F) -> Followed<F> {
        Followed { follower, entries: 0 }
    }

    #[inline]
    fn take(&mut self, entry: &Entry) {
        self.entries += 1;
        self.follower.follow(self.entries, entry);
    }
}

impl<F: Follower> Recorder for Followed<F> {
    const TIMED: bool = false;

    #[inline]
    fn has_room(&mut self, _: u64) -> bool {
        true
    }

    fn share_ppm(&mut self) -> u32 {
        0
    }

    #[inline]
    fn event(&mut self, event: &Event) -> Result<(), Full> {
        self.take(&Entry::Event(*event));
        Ok(())
    }

    fn outputs(&mut self, recv_ns: TimeNs, outputs: &[Output]) -> Result<(), Full> {
        for (i, output) in outputs.iter().enumerate() {
            self.take(&Entry::Output { recv_ns, output: *output, commit: i + 1 == outputs.len() });
        }
        Ok(())
    }
}
