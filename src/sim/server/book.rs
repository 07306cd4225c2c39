//! The account's orders as clients know them: their ids, who waits for which answer, what was filled.
//!
//! The venue behind the link counts orders by [`OrderId`]; clients name them as they like. Records
//! follow the reports as they are delivered, so that no request says what the user stream has not.

use std::collections::{BTreeSet, HashMap, VecDeque};

use super::calls::{Operation, Reply};
use crate::event::{Fill, Order, OrderKind, OrderStatus};
use crate::num::{Dec, InstrumentId, Lots, Millis, OrderId};
use crate::sim::venue::{Asked, ORDERS_MAX, OrderReport};

/// Client ids remembered: twice the orders the venue does, for cancels and queries of what never was.
const IDS_MAX: usize = 2 * ORDERS_MAX as usize;
/// Fills that `userTrades` knows: its answer has at most 1,000.
const TRADES_MAX: usize = 1_000;
/// Client ids are the venue's business: 1 to 36 of these.
const ID_BYTES_MAX: usize = 36;
/// The epoch of ids here: they are never seen outside.
const EPOCH: u32 = 1;

/// An accepted order.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub client_id: String,
    pub instrument: InstrumentId,
    pub order: Order,
    /// Closes whatever the position is: its quantity was not the client's.
    pub close_position: bool,
    pub venue_id: i64,
    pub filled: Lots,
    /// Σ price × quantity of the fills, in tick-lots.
    pub paid: i128,
    pub status: OrderStatus,
    pub created_ms: Millis,
    pub updated_ms: Millis,
    /// When a conditional order became a market order; 0 before.
    pub triggered_ms: Millis,
}

impl Record {
    pub fn is_open(&self) -> bool {
        matches!(self.status, OrderStatus::Accepted | OrderStatus::Triggered)
    }

    /// Conditional, and not triggered yet or never.
    pub fn rests(&self) -> bool {
        self.order.kind == OrderKind::StopMarket && self.triggered_ms == 0
    }
}

/// Somebody waits for an answer of the venue.
#[derive(Debug)]
pub(super) struct Waiting {
    pub reply: Reply,
    pub operation: Operation,
    pub close_position: bool,
}

/// A client id, and the instrument an order was sent for under it; NONE before.
struct Named {
    client_id: String,
    instrument: InstrumentId,
    /// An order was asked for under it.
    requested: bool,
}

/// A fill, for `userTrades`.
#[derive(Clone, Copy, Debug)]
pub(super) struct TradeRow {
    pub instrument: InstrumentId,
    pub venue_id: i64,
    pub fill: Fill,
    pub realised: Dec,
}

#[derive(Default)]
pub(super) struct Book {
    ids: HashMap<String, OrderId>,
    /// By sequence, from 1.
    names: Vec<Named>,
    records: HashMap<OrderId, Record>,
    by_venue_id: HashMap<i64, OrderId>,
    /// Venue ids of open orders: by age.
    open: BTreeSet<i64>,
    /// First come, first answered, for each order and question.
    waiting: HashMap<(OrderId, Asked), VecDeque<Waiting>>,
    trades: VecDeque<TradeRow>,
    /// Ids made for orders that came without.
    made: u64,
}

impl Book {
    /// The venue's rule for client ids.
    pub fn is_client_id(text: &str) -> bool {
        let fine = |byte: u8| byte.is_ascii_alphanumeric() || b".:/_-".contains(&byte);
        (1..=ID_BYTES_MAX).contains(&text.len()) && text.bytes().all(fine)
    }

    /// The order of a client id, made known if need be; `None` when there are too many.
    pub fn intern(&mut self, client_id: &str) -> Option<OrderId> {
        if let Some(id) = self.ids.get(client_id) {
            return Some(*id);
        }
        if self.names.len() >= IDS_MAX {
            return None;
        }
        let (client, instrument) = (client_id.to_owned(), InstrumentId::NONE);
        self.names.push(Named { client_id: client, instrument, requested: false });
        // Fewer than IDS_MAX, which fits.
        let id = OrderId::new(EPOCH, self.names.len() as u32);
        self.ids.insert(client_id.to_owned(), id);
        Some(id)
    }

    /// An order is asked for under a client id; whether one was before.
    pub fn note_request(&mut self, client_id: &str) -> bool {
        let named = self.intern(client_id).and_then(|id| self.named_mut(id));
        named.is_some_and(|named| std::mem::replace(&mut named.requested, true))
    }

    /// A client id for an order that came without.
    pub fn make_client_id(&mut self) -> String {
        self.made += 1;
        format!("sim{:019}", self.made)
    }

    pub fn client_id(&self, id: OrderId) -> &str {
        self.named(id).map_or("", |named| named.client_id.as_str())
    }

    /// The instrument an order of that id was sent for.
    pub fn instrument(&self, id: OrderId) -> Option<InstrumentId> {
        self.named(id).map(|named| named.instrument).filter(|instrument| !instrument.is_none())
    }

    /// An order goes to the venue, and somebody waits for its answer.
    pub fn place(&mut self, id: OrderId, instrument: InstrumentId, waiting: Waiting) {
        if let Some(named) = self.named_mut(id) {
            named.instrument = instrument;
        }
        self.wait(id, Asked::Order, waiting);
    }

    fn named(&self, id: OrderId) -> Option<&Named> {
        self.names.get((id.sequence() as usize).checked_sub(1)?)
    }

    fn named_mut(&mut self, id: OrderId) -> Option<&mut Named> {
        self.names.get_mut((id.sequence() as usize).checked_sub(1)?)
    }

    pub fn of_venue_id(&self, venue_id: i64) -> Option<OrderId> {
        self.by_venue_id.get(&venue_id).copied()
    }

    pub fn record(&self, id: OrderId) -> Option<&Record> {
        self.records.get(&id)
    }

    pub fn wait(&mut self, id: OrderId, asked: Asked, waiting: Waiting) {
        self.waiting.entry((id, asked)).or_default().push_back(waiting);
    }

    /// Whose answer it is.
    pub fn answered(&mut self, id: OrderId, asked: Asked) -> Option<Waiting> {
        let queue = self.waiting.get_mut(&(id, asked))?;
        let waiting = queue.pop_front();
        if queue.is_empty() {
            self.waiting.remove(&(id, asked));
        }
        waiting
    }

    /// Brings the record of an order up to date, or begins it.
    pub fn update(&mut self, instrument: InstrumentId, report: &OrderReport, close_position: bool) {
        let id = report.order.id;
        if id.is_none() {
            return;
        }
        if !self.records.contains_key(&id) {
            let record = Record {
                client_id: self.client_id(id).to_owned(),
                instrument,
                order: report.order,
                close_position,
                venue_id: report.venue_id,
                filled: Lots::ZERO,
                paid: 0,
                status: OrderStatus::Accepted,
                created_ms: report.event_ms,
                updated_ms: report.event_ms,
                triggered_ms: 0,
            };
            self.by_venue_id.insert(report.venue_id, id);
            self.records.insert(id, record);
        }
        let Some(record) = self.records.get_mut(&id) else { return };
        (record.filled, record.paid, record.updated_ms) = (report.filled, report.paid, report.event_ms);
        if let Some(status) = report.status {
            record.status = status;
        }
        if report.status == Some(OrderStatus::Triggered) {
            record.triggered_ms = report.event_ms;
        }
        if record.is_open() {
            self.open.insert(record.venue_id)
        } else {
            self.open.remove(&record.venue_id)
        };
    }

    /// An order of the venue's own, filled when it is told of.
    pub fn add_forced(&mut self, instrument: InstrumentId, report: &OrderReport, client_id: &str) {
        let Some(id) = self.intern(client_id) else { return };
        let (order, status) = (Order { id, ..report.order }, Some(OrderStatus::Filled));
        self.update(instrument, &OrderReport { order, status, ..*report }, false);
    }

    /// Open orders by age: resting conditional ones, or all others.
    pub fn open(&self, resting: bool) -> impl Iterator<Item = &Record> {
        let records = self.open.iter().filter_map(|id| self.record(self.of_venue_id(*id)?));
        records.filter(move |record| record.rests() == resting)
    }

    pub fn add_trade(&mut self, row: TradeRow) {
        if self.trades.len() == TRADES_MAX {
            self.trades.pop_front();
        }
        self.trades.push_back(row);
    }

    /// Oldest first.
    pub fn trades(&self) -> impl DoubleEndedIterator<Item = &TradeRow> {
        self.trades.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_go_both_ways_whoever_made_them() {
        let mut book = Book::default();
        for text in ["qt-00000001-00000001", "web_A.b:c/9", "x"] {
            assert!(Book::is_client_id(text));
            let id = book.intern(text).unwrap();
            assert_eq!((book.intern(text), book.client_id(id)), (Some(id), text));
        }
        assert_eq!(book.client_id(OrderId::NONE), "");
        assert!(Book::is_client_id(&book.make_client_id()));
        for bad in ["", "a b", "é", &"x".repeat(37), "a\u{0}"] {
            assert!(!Book::is_client_id(bad), "{bad:?}");
        }
    }

    #[test]
    fn who_asked_first_is_answered_first() {
        let mut book = Book::default();
        let id = book.intern("a").unwrap();
        for operation in [Operation::QueryOrder, Operation::QueryAlgoOrder] {
            book.wait(id, Asked::Query, Waiting { reply: Reply::Nobody, operation, close_position: false });
        }
        assert!(book.answered(id, Asked::Cancel).is_none());
        assert_eq!(book.answered(id, Asked::Query).unwrap().operation, Operation::QueryOrder);
        assert_eq!(book.answered(id, Asked::Query).unwrap().operation, Operation::QueryAlgoOrder);
        assert!(book.answered(id, Asked::Query).is_none());
    }
}
