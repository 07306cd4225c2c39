//! Frames that wait for their receive time.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use crate::num::TimeNs;

struct Waiting {
    time: TimeNs,
    /// Order of making, for frames of the same time.
    sequence: u64,
    bytes: Vec<u8>,
}

impl Ord for Waiting {
    fn cmp(&self, other: &Waiting) -> Ordering {
        (self.time, self.sequence).cmp(&(other.time, other.sequence))
    }
}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Waiting) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Waiting) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Waiting {}

/// At most about a second of frames: what a step makes is due within that time.
#[derive(Default)]
pub(super) struct Pending {
    heap: BinaryHeap<Reverse<Waiting>>,
    /// Buffers of frames handed out, to be used again.
    spare: Vec<Vec<u8>>,
    sequence: u64,
}

impl Pending {
    pub fn push(&mut self, time: TimeNs, write: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = self.spare.pop().unwrap_or_default();
        bytes.clear();
        write(&mut bytes);
        self.sequence += 1;
        self.heap.push(Reverse(Waiting { time, sequence: self.sequence, bytes }));
    }

    /// The earliest frame received up to `until`.
    pub fn pop_until(&mut self, until: TimeNs, frame: &mut Vec<u8>) -> Option<TimeNs> {
        frame.clear();
        if self.heap.peek().is_none_or(|Reverse(first)| first.time > until) {
            return None;
        }
        let Reverse(mut first) = self.heap.pop()?;
        std::mem::swap(frame, &mut first.bytes);
        self.spare.push(first.bytes);
        Some(first.time)
    }
}
