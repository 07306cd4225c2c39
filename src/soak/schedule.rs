//! What happens when, in one order of time.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::process::{Lane, Line};
use super::weather::Blow;
use crate::event::Event;
use crate::gateway::{RequestId, RestReply};
use crate::num::TimeNs;
use crate::sim::server::SocketId;
use crate::venue::binance::request::RestCall;

/// Counts processes: what was under way for one that died is nobody's.
pub type Life = u32;

/// Something due.
pub enum Item {
    /// The market moves.
    Market,
    /// Market data reaches the engine.
    Frame(Life, Event),
    /// A text reaches the venue.
    ToVenue(Line, SocketId, String),
    /// A text reaches the gateway.
    ToUs(Life, Line, SocketId, String),
    /// The gateway's ping reaches the venue, and the venue's answer the gateway.
    Ping(Life, Line, SocketId),
    Pong(Life, Line, SocketId),
    /// A connection's end is noticed by us.
    Lost(Life, Line, SocketId),
    /// And by the venue.
    Gone(SocketId),
    /// An attempt to open a connection has come to something.
    Opened(Life, Line, u64, String),
    /// A REST call reaches the venue.
    Call(Life, Lane, RequestId, RestCall),
    /// What became of one is known to us.
    Reply(Life, Lane, RequestId, RestReply),
    /// The engine is told the time.
    Timer(Life),
    /// The gateway is.
    Tick(Life),
    /// Somebody at the desk does something.
    Operator,
    Blow(Blow),
    /// A process begins.
    Start,
}

struct Due {
    at: TimeNs,
    number: u64,
    item: Item,
}

impl PartialEq for Due {
    fn eq(&self, other: &Due) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Due) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The earliest is the greatest; of one instant, what was planned first.
impl Ord for Due {
    fn cmp(&self, other: &Due) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

/// Everything that is planned.
#[derive(Default)]
pub struct Schedule {
    due: BinaryHeap<Due>,
    planned: u64,
}

impl Schedule {
    pub fn plan(&mut self, at: TimeNs, item: Item) {
        self.planned += 1;
        self.due.push(Due { at, number: self.planned, item });
    }

    /// The next thing due by `until`.
    pub fn next(&mut self, until: TimeNs) -> Option<(TimeNs, Item)> {
        if self.due.peek()?.at > until {
            return None;
        }
        self.due.pop().map(|due| (due.at, due.item))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn earliest_first_and_of_one_instant_in_the_order_planned() {
        let mut schedule = Schedule::default();
        for (at, blow) in [(2, Blow::Kill), (1, Blow::Settle), (2, Blow::CutUser), (1, Blow::Transfer)] {
            schedule.plan(TimeNs(at), Item::Blow(blow));
        }
        assert!(schedule.next(TimeNs(0)).is_none());
        let mut order = Vec::new();
        while let Some((at, Item::Blow(blow))) = schedule.next(TimeNs(2)) {
            order.push((at.0, blow));
        }
        assert_eq!(order, [(1, Blow::Settle), (1, Blow::Transfer), (2, Blow::Kill), (2, Blow::CutUser)]);
    }
}
