//! The transport of lockstep over sockets: frames, orders and reports travel by websocket as they
//! would live; who may go on is agreed beside them (`sim::lockstep`).

use std::sync::Arc;
use std::thread;

use super::lockstep::{Transport, Turn};
use super::{Feeds, OrderQueue, Outlet, RunError};
use crate::event::{Event, Feed, FeedState, Instruction};
use crate::host::time::SteppedTime;
use crate::num::{InstrumentId, Now as _, TimeNs};
use crate::sim::lockstep::{self, Answer, Ask, Baton};

/// Looks at the other side before giving the core away: an answer takes tens of microseconds.
const SPINS: u32 = 64;

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
        Stepped { baton, orders, feeds, fault, frame, asked: 0, clock }
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
        self.wait(|it| {
            let frame = &mut it.frame;
            let received = it.feeds.poll_feed(feed, now, |message| {
                frame.clear();
                frame.extend_from_slice(message.payload);
            });
            (received > 0).then_some(())
        })?;
        Ok(Turn::Frame(now))
    }

    /// Looks until there is something, or the other side is gone.
    fn wait<T>(&mut self, mut look: impl FnMut(&mut Stepped) -> Option<T>) -> Result<T, RunError> {
        let mut spins = 0;
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
            // Venue and gateway may have no other core to run on.
            thread::yield_now();
        }
    }

    /// Whether everybody the loop waits for is still there.
    fn check(&mut self) -> Result<(), RunError> {
        let mut lost = None;
        self.feeds.tend(self.clock.now(), |status| {
            if status.state != FeedState::Up {
                lost = Some(status.feed);
            }
        });
        if let Some(feed) = lost {
            return Err(RunError::Venue(format!("the {feed:?} connection was lost in lockstep")));
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
