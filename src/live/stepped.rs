//! The transport of lockstep over sockets: frames, orders and reports travel by websocket as they
//! would live; who may go on is agreed beside them (`sim::lockstep`).

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::lockstep::{Transport, Turn};
use super::{Feeds, OrderQueue, Outlet, RunError};
use crate::event::{Event, Feed, FeedState, Instruction};
use crate::host::time::SteppedTime;
use crate::num::{InstrumentId, Now as _, TimeNs};
use crate::sim::lockstep::{self, Answer, Ask, Baton};

/// Looks at the other side before giving the core away: an answer takes tens of microseconds.
const SPINS: u32 = 64;
/// Wall time after which nobody answers any more: a request that was lost between the threads would
/// otherwise be waited for by all three of them, for ever.
const PATIENCE: Duration = Duration::from_secs(30);

/// Tells why the market can't be read on, once it can't.
pub type VenueFault = Box<dyn Fn() -> Option<String> + Send>;

/// Sockets to a venue in this process that waits for us.
pub struct Stepped {
    baton: Arc<Baton>,
    orders: OrderQueue,
    feeds: Feeds,
    fault: VenueFault,
    frame: Vec<u8>,
    asked: u64,
    /// What gateway and venue take for the time.
    clock: SteppedTime,
    patience: Duration,
}

impl Stepped {
    /// The connections of `feeds` are open and the gateway runs. `frame_bytes_max`: of one message.
    pub fn new(
        baton: Arc<Baton>,
        orders: OrderQueue,
        feeds: Feeds,
        frame_bytes_max: usize,
        clock: SteppedTime,
        fault: VenueFault,
    ) -> Stepped {
        let frame = Vec::with_capacity(frame_bytes_max);
        Stepped { baton, orders, feeds, fault, frame, asked: 0, clock, patience: PATIENCE }
    }

    pub fn feeds(&self) -> &Feeds {
        &self.feeds
    }

    fn go_on(&mut self, limit: TimeNs, settle: bool) -> Result<Turn, RunError> {
        self.asked += 1;
        let ask = Ask { number: self.asked, limit, settle, pushed: self.orders.pushed() };
        self.baton.ask(ask);
        let answer = self.wait(|it| it.baton.answered(ask.number))?;
        self.clock.set(answer.now);
        Ok(match answer.turn {
            lockstep::Turn::Public => self.receive(Feed::Public, &answer)?,
            lockstep::Turn::Market => self.receive(Feed::Market, &answer)?,
            lockstep::Turn::Report => {
                self.wait(|it| it.baton.is_heard(&answer).then_some(()))?;
                Turn::Arrived(answer.now)
            }
            lockstep::Turn::Nothing => Turn::Nothing { next_frame: answer.next_frame },
            lockstep::Turn::Fault => {
                let why = (self.fault)().unwrap_or_else(|| "the market can't be read on".to_string());
                return Err(RunError::MarketFault(why));
            }
        })
    }

    /// The one frame that is on its way on a feed.
    fn receive(&mut self, feed: Feed, answer: &Answer) -> Result<Turn, RunError> {
        let now = answer.now;
        let received = self.wait(|it| {
            let frame = &mut it.frame;
            let received = it.feeds.poll_feed(feed, now, |message| {
                frame.clear();
                frame.extend_from_slice(message.payload);
            });
            (received > 0).then_some(received)
        })?;
        if received > 1 {
            let line = format!("{received} messages came on the {feed:?} connection in a turn of one");
            return Err(RunError::Venue(line));
        }
        Ok(Turn::Frame(now))
    }

    /// Looks until there is something, or the other side is gone.
    fn wait<T>(&mut self, mut look: impl FnMut(&mut Stepped) -> Option<T>) -> Result<T, RunError> {
        let (mut spins, mut waiting_since) = (0, None);
        loop {
            if let Some(found) = look(self) {
                return Ok(found);
            }
            spins += 1;
            if spins < SPINS {
                std::hint::spin_loop();
                continue;
            }
            spins = 0;
            self.check()?;
            if waiting_since.get_or_insert_with(Instant::now).elapsed() > self.patience {
                let line = format!("no answer in lockstep within {} s", self.patience.as_secs());
                return Err(RunError::Venue(line));
            }
            // Venue and gateway may have no other core to run on.
            thread::yield_now();
        }
    }

    /// Whether everybody the loop waits for is still there.
    fn check(&mut self) -> Result<(), RunError> {
        while let Some(status) = self.feeds.tend(self.clock.now()) {
            if status.state != FeedState::Up {
                let feed = status.feed;
                return Err(RunError::Venue(format!("the {feed:?} connection was lost in lockstep")));
            }
        }
        if let Some(why) = self.orders.failure() {
            return Err(RunError::Gateway(why));
        }
        if self.baton.is_over() {
            return Err(RunError::Venue("its thread ended".to_string()));
        }
        Ok(())
    }
}

impl Outlet for Stepped {
    fn has_room(&mut self) -> bool {
        self.orders.has_room()
    }

    fn send(&mut self, at: TimeNs, instrument: InstrumentId, instruction: Instruction) {
        self.orders.send(at, instrument, instruction);
    }

    fn market(&mut self, at: TimeNs, event: &Event) {
        self.orders.market(at, event);
    }

    fn failure(&self) -> Option<String> {
        self.orders.failure()
    }
}

impl Transport for Stepped {
    fn next(&mut self, limit: TimeNs) -> Result<Turn, RunError> {
        self.go_on(limit, false)
    }

    fn settle(&mut self, limit: TimeNs) -> Result<Turn, RunError> {
        self.go_on(limit, true)
    }

    fn swap_frame(&mut self, buffer: &mut Vec<u8>) {
        std::mem::swap(&mut self.frame, buffer);
    }

    /// The venue reads on by itself.
    fn read_on(&mut self) -> Result<(), RunError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Lifetimes, OpenerEnds, order_queue};
    use super::*;

    /// The connections are open, the gateway runs, and the venue's thread is alive and stuck.
    #[test]
    fn a_venue_that_never_answers_ends_the_run() {
        let (orders, _instructions) = order_queue(1);
        let (_opened, opened) = rtrb::RingBuffer::new(1);
        let (handed, _handed) = rtrb::RingBuffer::new(1);
        let feeds = Feeds::new(&[], OpenerEnds { opened, handed }, Lifetimes::ENDLESS);
        let clock = SteppedTime::at(TimeNs(0));
        let mut stepped = Stepped::new(Arc::default(), orders, feeds, 64, clock, Box::new(|| None));
        stepped.patience = Duration::ZERO;
        let outcome = stepped.next(TimeNs(1));
        assert!(matches!(&outcome, Err(RunError::Venue(why)) if why.contains("no answer")), "{outcome:?}");
    }
}
