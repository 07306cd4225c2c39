//! Market source and venue in one order of simulated time.
//!
//! Whoever drives it asks for the next thing due and says how far time may go. Reports due at the
//! limit come out; a frame due at it does not, so that a timer of the same instant goes between
//! them. Nothing here knows how frames and reports reach the engine: in the same thread or by
//! sockets, a run is the same.

use super::link::{Delivery, Link};
use super::market::{MarketSource, Source, SourceCounts, SourceError, Watch};
use crate::event::Event;
use crate::num::{InstrumentId, TimeNs};

/// What is due next.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(clippy::large_enum_variant)] // Copy, on the stack.
pub enum Due {
    /// A report arrives.
    Report(Delivery),
    /// A frame: [`Exchange::frame`] has its bytes, or [`Exchange::event`] what it says, until
    /// [`Exchange::read_on`].
    Frame(TimeNs),
    /// Nothing by the limit.
    Nothing,
}

/// A market and the venue that trades on it.
pub struct Exchange {
    source: Source,
    link: Link,
    frame: Vec<u8>,
    /// What is due, where it needs no decoding.
    event: Event,
    /// An instrument whose quotes are always wanted.
    watched: Option<InstrumentId>,
    /// `None` once the market is over.
    frame_due: Option<TimeNs>,
}

impl Exchange {
    /// Reads the first frame.
    ///
    /// # Errors
    /// The market can't be read.
    pub fn new(source: Box<dyn MarketSource>, link: Link) -> Result<Exchange, SourceError> {
        Exchange::open(Source::Frames(source), None, link)
    }

    /// As [`Exchange::new`], of a market of either kind. Quotes that only repeat the last one may be left
    /// out of events where nothing is held, but for those of `watched`.
    ///
    /// # Errors
    /// The market can't be read.
    pub fn open(source: Source, watched: Option<InstrumentId>, link: Link) -> Result<Exchange, SourceError> {
        let (frame, event) = (Vec::new(), Event::NOTHING);
        let mut exchange = Exchange { source, link, frame, event, watched, frame_due: None };
        exchange.read_on()?;
        Ok(exchange)
    }

    /// A venue whose market data comes by [`Exchange::market`] alone.
    pub fn without_market(link: Link) -> Exchange {
        struct Silent;
        impl MarketSource for Silent {
            fn next_frame(&mut self, _: &mut Vec<u8>) -> Result<Option<TimeNs>, SourceError> {
                Ok(None)
            }
        }
        let source = Source::Frames(Box::new(Silent));
        let (frame, event) = (Vec::new(), Event::NOTHING);
        Exchange { source, link, frame, event, watched: None, frame_due: None }
    }

    /// What is due, where it needs no decoding.
    pub fn event(&self) -> Option<&Event> {
        matches!(self.source, Source::Events(_)).then_some(&self.event)
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
        match &mut self.source {
            Source::Frames(source) => {
                let venue = self.link.venue();
                source.look(&|symbol| venue.side(symbol));
                self.frame_due = source.next_frame(&mut self.frame)?;
            }
            Source::Events(source) => {
                let (link, watched) = (&self.link, self.watched);
                let venue = link.venue();
                let watch = Watch {
                    held: &|symbol| venue.side(symbol),
                    quiet: &|id| watched != Some(id) && link.is_quiet(id),
                };
                let there = source.next_event(&mut self.event, &watch)?;
                self.frame_due = there.then_some(self.event.recv_ns);
            }
        }
        Ok(())
    }

    pub fn link(&mut self) -> &mut Link {
        &mut self.link
    }

    /// What the source had to mend.
    pub fn source_counts(&self) -> SourceCounts {
        match &self.source {
            Source::Frames(source) => source.counts(),
            Source::Events(_) => SourceCounts::default(),
        }
    }
}
