//! Orders and fills, which take more than one entry to tell: what the venue's words made of each order, and
//! what the engine booked of each fill, by the same state table and the same books as the engine's.

use std::collections::BTreeMap;

use super::convert::Place;
use super::schema::VenueTime;
use super::tables::{FillRow, OrderRow};
use super::units::Units;
use crate::event::{
    Alarm, AlarmKind, Cancel, Consensus, Event, Fill, FillCause, Instrument, Order, OrderKind, OrderStatus,
    OrderUpdate, Output, Purpose, TradeState,
};
use crate::journal::text::Lines;
use crate::num::{Dec, InstrumentId, Lots, OrderId, Side, Ticks, TimeNs};
use crate::risk::levels::AveragePrice;
use crate::risk::money;
use crate::risk::sizing::Plan;
use crate::trade::{Book, Booked, LiveOrder, OrderState, Trade};

/// Orders followed at once; beyond it the oldest is written as it stands. An engine has at most 1,024.
const ORDERS_MAX: usize = 1 << 16;
/// Trades held at once; an engine holds 64.
const TRADES_MAX: usize = 1 << 10;

/// An order and what was heard of it.
#[derive(Clone, Debug)]
struct Followed {
    sequence: u64,
    instrument: InstrumentId,
    order: Order,
    live: LiveOrder,
    acknowledged_ns: Option<TimeNs>,
    ended_ns: Option<TimeNs>,
    /// Tick-lots of its fills.
    value: i128,
    fees: Dec,
    code: Option<i32>,
    venue_id: Option<i64>,
}

impl Followed {
    fn is_over(&self) -> bool {
        self.live.state.is_final() && self.live.outstanding() == Lots::ZERO
    }

    fn hear(&mut self, update: &OrderUpdate, at: TimeNs) {
        let has_it =
            matches!(update.status, OrderStatus::Accepted | OrderStatus::Triggered | OrderStatus::Filled);
        if has_it && !self.live.state.is_final() {
            self.acknowledged_ns.get_or_insert(at);
        }
        if update.venue_id != 0 {
            self.venue_id.get_or_insert(update.venue_id);
        }
        if update.code == OrderUpdate::NO_MORE_FILLS {
            if self.live.state.is_final() {
                self.live.settle();
            }
            return;
        }
        let absent = self.live.is_absent(update, at);
        if self.live.hear(update, absent).is_some() && self.live.state.is_final() {
            self.ended_ns = Some(at);
            self.code = (self.live.state == OrderState::Rejected).then_some(update.code);
        }
    }

    fn filled(&mut self, fill: &Fill) {
        if fill.quantity <= self.live.unfilled() {
            self.live.filled += fill.quantity;
            self.value += fill.price.wide() * fill.quantity.wide();
            self.fees = money::add(self.fees, fill.fee);
        }
    }

    fn row(&self, units: Units) -> OrderRow {
        let Followed { order, live, .. } = self;
        let stop = order.kind == OrderKind::StopMarket;
        let average = AveragePrice { cost: self.value, quantity: live.filled };
        OrderRow {
            sequence: self.sequence,
            sent_ns: live.sent_ns,
            symbol: units.symbol(),
            order: order.id,
            trade: order.trade,
            purpose: purpose(order.purpose),
            side: order.side.as_str(),
            kind: if stop { "StopMarket" } else { "Market" },
            quantity: units.quantity(order.quantity),
            trigger: if stop { units.price(order.trigger) } else { None },
            working_type: stop.then_some(match order.working_type {
                crate::event::WorkingType::ContractPrice => "ContractPrice",
                crate::event::WorkingType::MarkPrice => "MarkPrice",
            }),
            reference: units.some_price(order.reference),
            reduce_only: order.reduce_only,
            acknowledged_ns: self.acknowledged_ns,
            cancel_ns: live.cancel_sent,
            ended_ns: self.ended_ns,
            state: state(live.state),
            filled: units.quantity(live.filled),
            average_price: units
                .row()
                .filter(|_| live.filled > Lots::ZERO)
                .map(|instrument| average.to_dec(instrument.tick)),
            fees: self.fees,
            code: self.code,
            venue_id: self.venue_id,
        }
    }
}

/// Orders that are not over, and trades that hold or may come to hold something.
#[derive(Debug, Default)]
pub struct Ledger {
    book: Book,
    orders: BTreeMap<OrderId, Followed>,
    trades: BTreeMap<OrderId, Trade>,
}

impl Ledger {
    /// Takes an event, before anything else is asked of it.
    pub fn event(&mut self, event: &Event) {
        self.book.event(event);
    }

    /// Takes an output, before anything else is asked of it.
    pub fn output(&mut self, place: Place, output: &Output) {
        self.book.output(place.at, output);
    }

    /// An order was sent. A row if nothing more can be told of it, or room had to be made.
    pub fn sent(&mut self, place: Place, id: InstrumentId, order: &Order, lines: &Lines) -> Option<OrderRow> {
        let followed = Followed {
            sequence: place.sequence,
            instrument: id,
            order: *order,
            live: LiveOrder::sent(order, false, place.at),
            acknowledged_ns: None,
            ended_ns: None,
            value: 0,
            fees: Dec::ZERO,
            code: None,
            venue_id: None,
        };
        // No engine sends an order with other numbers, or an id twice; arithmetic rests on the first.
        let sane = order.quantity.is_quantity() && order.trigger.is_level() && order.reference.is_level();
        let out = if !sane || self.orders.contains_key(&order.id) {
            Some(followed)
        } else {
            if order.purpose == Purpose::Entry {
                self.hold(order.trade, id, plan(order.side, order.reference, order.quantity));
            }
            self.orders.insert(order.id, followed);
            let full = self.orders.len() > ORDERS_MAX;
            full.then(|| self.orders.pop_first()).flatten().map(|(_, oldest)| oldest)
        };
        out.map(|order| order.row(Units::of(lines, order.instrument)))
    }

    fn hold(&mut self, trade: OrderId, id: InstrumentId, plan: Plan) -> &mut Trade {
        if self.trades.len() >= TRADES_MAX && !self.trades.contains_key(&trade) {
            self.trades.pop_first();
        }
        self.trades.entry(trade).or_insert_with(|| Trade::approved(trade, id, plan, Consensus::Weak))
    }

    pub fn cancelled(&mut self, place: Place, cancel: &Cancel) {
        if let Some(order) = self.orders.get_mut(&cancel.id) {
            order.live.cancel_sent.get_or_insert(place.at);
        }
    }

    /// The venue's word. The row of an order that is over with it.
    pub fn update(&mut self, place: Place, update: &OrderUpdate, lines: &Lines) -> Option<OrderRow> {
        self.orders.get_mut(&update.order)?.hear(update, place.at);
        self.over(update.order, lines)
    }

    /// The engine gives an order up for unanswered without an event: it says so by an alarm.
    pub fn alarm(&mut self, alarm: &Alarm) {
        let order = self.orders.get_mut(&alarm.order).filter(|_| alarm.kind == AlarmKind::UnknownOrder);
        if let Some(order) = order
            && order.live.state == OrderState::Sent
        {
            order.live.state = OrderState::Unknown;
        }
    }

    pub fn closed(&mut self, trade: OrderId) {
        self.trades.remove(&trade);
    }

    /// A trade ended without a fill.
    pub fn changed(&mut self, trade: OrderId, to: TradeState) {
        if matches!(to, TradeState::Canceled | TradeState::Rejected) {
            self.trades.remove(&trade);
        }
    }

    /// The row of a fill before anything of it is booked.
    pub fn fill(&self, place: Place, id: InstrumentId, fill: &Fill, lines: &Lines) -> FillRow {
        let units = Units::of(lines, id);
        let order = self.orders.get(&fill.order).map(|order| order.order);
        FillRow {
            sequence: place.sequence,
            recv_ns: place.at,
            symbol: units.symbol(),
            order: fill.order,
            trade: order.map_or(OrderId::NONE, |order| order.trade),
            purpose: order.map(|order| purpose(order.purpose)),
            side: fill.side.as_str(),
            price: units.price(fill.price),
            quantity: units.quantity(fill.quantity),
            notional: units.money(fill.price.wide() * fill.quantity.wide()),
            fee: fill.fee,
            maker: fill.maker,
            cause: match fill.cause {
                FillCause::Order => "Order",
                FillCause::Liquidation => "Liquidation",
                FillCause::Adl => "Adl",
                FillCause::Settlement => "Settlement",
                FillCause::Assumed => "Assumed",
            },
            venue_trade_id: fill.trade_id,
            applied: false,
            realised: None,
            event_ms: VenueTime(fill.event_ms),
        }
    }

    /// What the engine booked with the newest entry, told in the row of its fill. The rows of orders that are
    /// over with it.
    pub fn book(
        &mut self,
        place: Place,
        id: InstrumentId,
        mut row: Option<&mut FillRow>,
        lines: &Lines,
    ) -> Vec<OrderRow> {
        let (booked, mut over) = (self.book.booked().to_vec(), Vec::new());
        let Some(instrument) = Units::of(lines, id).row() else { return over };
        for booked in booked {
            let (trade, fill, realised) = match booked {
                Booked::Entry { trade, fill } if self.enter(place, trade, id, &fill, instrument) => {
                    (Some(trade), fill, None)
                }
                Booked::Exit { trade, fill } => match self.leave(trade, &fill, instrument) {
                    Some(realised) => (Some(trade), fill, Some(realised)),
                    None => continue,
                },
                Booked::Beyond { fill } => (None, fill, None),
                Booked::Entry { .. } | Booked::Fee(_) => continue,
            };
            if let Some(order) = self.orders.get_mut(&fill.order) {
                order.filled(&fill);
            }
            over.extend(self.over(fill.order, lines));
            if let (Some(row), Some(trade)) = (row.as_deref_mut(), trade) {
                // Of two trades it touched, the one it ended comes first.
                row.trade = if row.applied { row.trade } else { trade };
                row.applied = true;
                row.realised = match (row.realised, realised) {
                    (Some(before), Some(more)) => Some(money::add(before, more)),
                    (before, more) => before.or(more),
                };
            }
        }
        over
    }

    fn enter(
        &mut self,
        place: Place,
        trade: OrderId,
        id: InstrumentId,
        fill: &Fill,
        row: &Instrument,
    ) -> bool {
        // A position that was taken over had no order of ours.
        let held = self.hold(trade, id, plan(fill.side, fill.price, fill.quantity));
        let fits = held.entry.quantity + fill.quantity <= Lots::QUANTITY_MAX;
        if fits {
            held.book_entry(fill, row, place.at);
        }
        fits
    }

    /// Its result.
    fn leave(&mut self, trade: OrderId, fill: &Fill, row: &Instrument) -> Option<Dec> {
        let held = self.trades.get_mut(&trade)?;
        let before = held.realised;
        (held.exited + fill.quantity <= Lots::TOTAL_MAX).then(|| held.book_exit(fill, Ticks::ZERO, row))?;
        Some(money::add(held.realised, -before))
    }

    fn over(&mut self, id: OrderId, lines: &Lines) -> Option<OrderRow> {
        let order = self.orders.get(&id).filter(|order| order.is_over())?;
        let row = order.row(Units::of(lines, order.instrument));
        self.orders.remove(&id);
        Some(row)
    }

    /// Orders that are not over, by id.
    pub fn open(&self, lines: &Lines) -> impl Iterator<Item = OrderRow> {
        self.orders.values().map(|order| order.row(Units::of(lines, order.instrument)))
    }
}

/// As far as an entry tells it: its books need no more.
fn plan(side: Side, price: Ticks, quantity: Lots) -> Plan {
    let (level, zero) = (Ticks::ZERO, Dec::ZERO);
    Plan { side, price, quantity, stop: level, target: level, atr: zero, notional: zero, risk: zero }
}

fn purpose(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Entry => "Entry",
        Purpose::Stop => "Stop",
        Purpose::Exit => "Exit",
    }
}

fn state(state: OrderState) -> &'static str {
    match state {
        OrderState::Sent => "Sent",
        OrderState::Working => "Working",
        OrderState::Triggered => "Triggered",
        OrderState::Unknown => "Unknown",
        OrderState::Filled => "Filled",
        OrderState::Canceled => "Canceled",
        OrderState::Expired => "Expired",
        OrderState::Rejected => "Rejected",
    }
}
