//! Requests that wait for their answer.

use std::collections::BTreeMap;

use super::io::RequestId;
use crate::num::{InstrumentId, OrderId, TimeNs};
use crate::venue::binance::request::{Action, Service};

/// Requests that may wait at once: more than the venue lets an account send in ten seconds.
pub const WAITING_MAX: usize = 1_024;

/// How a request travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Road {
    Socket,
    Rest,
}

/// What was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Something about an order, for the engine.
    Order {
        action: Action,
        order: OrderId,
        service: Service,
    },
    /// The venue's clock; at once where a time stamp was refused.
    Time {
        at_once: bool,
    },
    NewListenKey,
    KeepListenKey,
    /// A part of the reconciliation with this number.
    Reconcile {
        round: u32,
        part: Part,
    },
}

/// What a reconciliation asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Open orders of an instrument.
    List(Service),
    Order(OrderId, Service),
    Trades,
    /// An order by the venue's id.
    Stranger(i64),
    Account,
    Positions,
}

/// A request without its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    pub what: What,
    pub road: Road,
    /// [`InstrumentId::NONE`] for what concerns none.
    pub instrument: InstrumentId,
    pub sent_ns: TimeNs,
    /// The second time, after its time stamp was refused.
    pub again: bool,
}

/// All of them, in the order they were made.
#[derive(Debug, Default)]
pub struct Requests {
    waiting: BTreeMap<RequestId, Waiting>,
    last: RequestId,
}

impl Requests {
    pub fn is_full(&self) -> bool {
        self.waiting.len() >= WAITING_MAX
    }

    /// The caller made sure that it is not full, or makes few: its own, not the engine's.
    pub fn add(&mut self, waiting: Waiting) -> RequestId {
        self.last += 1;
        self.waiting.insert(self.last, waiting);
        self.last
    }

    pub fn take(&mut self, request: RequestId) -> Option<Waiting> {
        self.waiting.remove(&request)
    }

    /// What waits of an instrument.
    pub fn of(&self, instrument: InstrumentId) -> impl Iterator<Item = &What> {
        let of_it = self.waiting.values().filter(move |waiting| waiting.instrument == instrument);
        of_it.map(|waiting| &waiting.what)
    }

    /// Takes out those that travelled on the order websocket: all, or the ones made by `until`.
    pub fn take_of_socket(&mut self, until: TimeNs) -> Vec<Waiting> {
        let due = |waiting: &Waiting| waiting.road == Road::Socket && waiting.sent_ns <= until;
        self.waiting.extract_if(.., |_, waiting| due(waiting)).map(|(_, waiting)| waiting).collect()
    }
}
