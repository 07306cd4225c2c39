//! Several sources as one, by time.

use super::{EventSource, Held, MarketSource, SourceCounts, SourceError, Watch};
use crate::event::Event;
use crate::num::TimeNs;

struct Head {
    source: Box<dyn MarketSource>,
    frame: Vec<u8>,
    /// Of the frame held; `None` when the source is at its end.
    time: Option<TimeNs>,
}

impl Head {
    fn advance(&mut self) -> Result<(), SourceError> {
        self.time = None;
        self.time = self.source.next_frame(&mut self.frame)?;
        Ok(())
    }
}

/// Merges sources by time. Frames of the same time come in the order the sources were given.
pub struct Merge {
    heads: Vec<Head>,
    /// Source whose frame was handed out last and is to be read on.
    taken: Option<usize>,
    started: bool,
}

impl Merge {
    /// A handful of sources: the earliest is found by looking at each.
    pub fn new(sources: Vec<Box<dyn MarketSource>>) -> Merge {
        let heads =
            sources.into_iter().map(|source| Head { source, frame: Vec::new(), time: None }).collect();
        Merge { heads, taken: None, started: false }
    }

    fn refill(&mut self) -> Result<(), SourceError> {
        if !self.started {
            self.started = true;
            return self.heads.iter_mut().try_for_each(Head::advance);
        }
        self.taken.take().and_then(|i| self.heads.get_mut(i)).map_or(Ok(()), Head::advance)
    }
}

impl MarketSource for Merge {
    fn next_frame(&mut self, frame: &mut Vec<u8>) -> Result<Option<TimeNs>, SourceError> {
        frame.clear();
        if let Err(error) = self.refill() {
            self.heads.clear();
            return Err(error);
        }
        let earliest = self
            .heads
            .iter_mut()
            .enumerate()
            .filter_map(|(i, head)| head.time.map(|time| (time, i, head)))
            .min_by_key(|(time, i, _)| (*time, *i));
        let Some((time, i, head)) = earliest else { return Ok(None) };
        std::mem::swap(frame, &mut head.frame);
        self.taken = Some(i);
        Ok(Some(time))
    }

    /// The source that is read next: the others' frames are read already.
    fn look(&mut self, held: Held<'_>) {
        if let Some(head) = self.taken.and_then(|i| self.heads.get_mut(i)) {
            head.source.look(held);
        }
    }

    fn counts(&self) -> SourceCounts {
        self.heads.iter().fold(SourceCounts::default(), |mut sum, head| {
            sum += head.source.counts();
            sum
        })
    }
}

/// Merges sources of events by time. Events of the same time come in the order the sources were given.
pub struct MergeEvents {
    heads: Vec<EventHead>,
    /// Heads to be read on: all of them at the start, then the one handed out last.
    stale: std::ops::Range<usize>,
}

struct EventHead {
    source: Box<dyn EventSource>,
    event: Event,
    /// Its time; `None` when the source is at its end.
    due: Option<TimeNs>,
}

impl MergeEvents {
    /// A handful of sources: the earliest is found by looking at each.
    pub fn new(sources: Vec<Box<dyn EventSource>>) -> MergeEvents {
        let stale = 0..sources.len();
        let head = |source| EventHead { source, event: Event::NOTHING, due: None };
        MergeEvents { heads: sources.into_iter().map(head).collect(), stale }
    }

    fn refill(&mut self, watch: &Watch<'_>) -> Result<(), SourceError> {
        for i in std::mem::take(&mut self.stale) {
            if let Some(head) = self.heads.get_mut(i) {
                head.due = None;
                head.due = head.source.next_event(&mut head.event, watch)?.then_some(head.event.recv_ns);
            }
        }
        Ok(())
    }
}

impl EventSource for MergeEvents {
    fn next_event(&mut self, event: &mut Event, watch: &Watch<'_>) -> Result<bool, SourceError> {
        if let Err(error) = self.refill(watch) {
            self.heads.clear();
            return Err(error);
        }
        let due = self.heads.iter().enumerate().filter_map(|(i, head)| Some((head.due?, i)));
        let Some((_, i)) = due.min() else { return Ok(false) };
        self.stale = i..i + 1;
        if let Some(head) = self.heads.get(i) {
            *event = head.event;
        }
        Ok(true)
    }
}
