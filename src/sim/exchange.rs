//! Market source and venue in one order of simulated time.
//!
//! Whoever drives it asks for the next thing due and says how far time may go. Reports due at the
//! limit come out; a frame due at it does not, so that a timer of the same instant goes between
//! them. Nothing here knows how frames and reports reach the engine: in the same thread or by
//! sockets, a run is the same.

use super::link::{Delivery, Link};
use super::market::{MarketSource, SourceCounts, SourceError};
use crate::event::Event;
use crate::num::TimeNs;

/// What is due next.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(clippy::large_enum_variant)] // Copy, on the stack.
pub enum Due {
    /// A report arrives.
    Report(Delivery),
    /// A frame: [`Exchange::frame`] has its bytes until [`Exchange::read_on`].
    Frame(TimeNs),
    /// Nothing by the limit.
    Nothing,
}

/// A market and the venue that trades on it.
pub struct Exchange {
    source: Box<dyn MarketSource>,
    link: Link,
    frame: Vec<u8>,
    /// `None` once the market is over.
    frame_due: Option<TimeNs>,
}

impl Exchange {
    /// Reads the first frame.
    ///
    /// # Errors
    /// The market can't be read.
    pub fn new(source: Box<dyn MarketSource>, link: Link) -> Result<Exchange, SourceError> {
        let mut exchange = Exchange { source, link, frame: Vec::new(), frame_due: None };
        exchange.read_on()?;
        Ok(exchange)
    }

    /// When the market's next frame is due; `None` once it is over.
    pub fn next_frame(&self) -> Option<TimeNs> {
        self.frame_due
    }

    /// The next thing: a report due by `limit`, or a frame due before it.
    pub fn next(&mut self, limit: TimeNs) -> Due {
        let frame_due = self.frame_due.filter(|due| *due < limit);
        match (self.link.poll(frame_due.unwrap_or(limit)), frame_due) {
            (Some(delivery), _) => Due::Report(delivery),
            (None, Some(due)) => Due::Frame(due),
            (None, None) => Due::Nothing,
        }
    }

    /// As [`Exchange::next`] without the market: what is still on its way when a run ends. Once
    /// nothing is, time stands still.
    pub fn settle(&mut self, limit: TimeNs) -> Due {
        let delivery = self.link.pending().then(|| self.link.poll(limit)).flatten();
        delivery.map_or(Due::Nothing, Due::Report)
    }

    /// Bytes of the frame that is due.
    pub fn frame(&self) -> &[u8] {
        &self.frame
    }

    /// Gives the frame that is due for a buffer that may be written over: whoever takes it up needs
    /// the exchange for what it answers.
    pub fn swap_frame(&mut self, buffer: &mut Vec<u8>) {
        std::mem::swap(&mut self.frame, buffer);
    }

    /// The frame that is due reaches the venue, as the event it is.
    pub fn market(&mut self, now: TimeNs, event: &Event) {
        self.link.market(now, event);
    }

    /// Done with the frame that is due: reads the next one.
    ///
    /// # Errors
    /// The market can't be read on; it is then over.
    pub fn read_on(&mut self) -> Result<(), SourceError> {
        self.frame_due = None;
        let venue = self.link.venue();
        self.source.look(&|symbol| venue.side(symbol));
        self.frame_due = self.source.next_frame(&mut self.frame)?;
        Ok(())
    }

    pub fn link(&mut self) -> &mut Link {
        &mut self.link
    }

    /// What the source had to mend.
    pub fn source_counts(&self) -> SourceCounts {
        self.source.counts()
    }
}
