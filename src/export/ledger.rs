//! Orders and fills, which take more than one entry to tell: what the venue's words made of each order,
//! by the same state table and the same books as the engine's.

use std::collections::{BTreeMap, VecDeque};

use super::convert::Place;
use super::schema::VenueTime;
use super::tables::{FillRow, OrderRow};
use super::units::Units;
use crate::event::{
    Alarm, AlarmKind, Cancel, Consensus, EntryFilled, Fill, FillCause, Instrument, Order, OrderKind,
    OrderStatus, OrderUpdate, Purpose, TradeState,
};
use crate::journal::text::Lines;
use crate::num::{Dec, InstrumentId, Lots, OrderId, Ticks, TimeNs};
use crate::risk::levels::AveragePrice;
use crate::risk::money;
use crate::risk::sizing::Plan;
use crate::trade::{LiveOrder, OrderState, Trade};

/// Orders followed at once; beyond it the oldest is written as it stands. An engine has at most 1,024.
const ORDERS_MAX: usize = 1 << 16;
/// Trades held at once; an engine holds 64.
const TRADES_MAX: usize = 1 << 10;
/// Fills remembered, as many as the engine does.
const FILLS_REMEMBERED: usize = 1_024;

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
        let absent = self.live.is_absent(update, at);
        if self.live.hear(update, absent).is_some() && self.live.state.is_final() {
            self.ended_ns = Some(at);
            self.code = (self.live.state == OrderState::Rejected).then_some(update.code);
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
    orders: BTreeMap<OrderId, Followed>,
    trades: BTreeMap<OrderId, Trade>,
    fills: VecDeque<(InstrumentId, i64)>,
    /// Of the newest fill, if none of our orders explains it: what of it left no position.
    assumed: Option<(InstrumentId, Fill)>,
}

impl Ledger {
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
                self.hold(id, order);
            }
            self.orders.insert(order.id, followed);
            let full = self.orders.len() > ORDERS_MAX;
            full.then(|| self.orders.pop_first()).flatten().map(|(_, oldest)| oldest)
        };
        out.map(|order| order.row(Units::of(lines, order.instrument)))
    }

    fn hold(&mut self, id: InstrumentId, entry: &Order) {
        if self.trades.len() >= TRADES_MAX {
            self.trades.pop_first();
        }
        let trade = Trade::approved(entry.trade, id, plan(entry), Consensus::Weak);
        self.trades.insert(entry.trade, trade);
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

    /// A fill, and the row of its order if that is over with it.
    pub fn fill(
        &mut self,
        place: Place,
        id: InstrumentId,
        fill: &Fill,
        lines: &Lines,
    ) -> (FillRow, Option<OrderRow>) {
        let units = Units::of(lines, id);
        let order = self.orders.get(&fill.order).map(|order| (order.order.trade, order.order.purpose));
        let booked = units.row().and_then(|row| self.book(place, id, fill, row));
        // Of no order: forced, or concluded from the venue's position.
        let of_none = booked.as_ref().filter(|_| fill.order.is_none()).map(|booked| booked.trade);
        let row = FillRow {
            sequence: place.sequence,
            recv_ns: place.at,
            symbol: units.symbol(),
            order: fill.order,
            trade: order.map(|(trade, _)| trade).or(of_none).unwrap_or(OrderId::NONE),
            purpose: order.map(|(_, what)| purpose(what)),
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
            applied: booked.is_some(),
            realised: booked.and_then(|booked| booked.realised),
            event_ms: VenueTime(fill.event_ms),
        };
        (row, self.over(fill.order, lines))
    }

    /// Books a fill if the engine did: new, of an order or position it knows, and no more than that has left.
    fn book(&mut self, place: Place, id: InstrumentId, fill: &Fill, row: &Instrument) -> Option<Booked> {
        let sane = fill.price.is_price() && fill.quantity.is_quantity() && money::is_money(fill.fee);
        self.assumed = None;
        if !sane || !self.is_new(id, fill.trade_id) {
            return None;
        }
        let part = self.leaving(id, fill);
        let fill = &part.unwrap_or(*fill);
        let order = match fill.cause {
            FillCause::Assumed if fill.order.is_none() => {
                part?;
                None
            }
            FillCause::Order | FillCause::Assumed => {
                let order = self.orders.get_mut(&fill.order).filter(|order| order.instrument == id)?;
                (fill.side == order.live.side && fill.quantity <= order.live.unfilled()).then_some(())?;
                Some(order)
            }
            FillCause::Liquidation | FillCause::Adl | FillCause::Settlement => None,
        };
        let trade = match &order {
            Some(order) => self.trades.get_mut(&order.order.trade)?,
            None => self.trades.values_mut().find(|trade| trade.instrument == id && trade.open().0 > 0)?,
        };
        let entry = order.as_ref().is_some_and(|order| order.order.purpose == Purpose::Entry);
        let possible = match (&order, entry) {
            (None, _) => fill.side == trade.side().opposite() && fill.quantity <= trade.open(),
            (Some(_), true) => trade.entry.quantity.0 + fill.quantity.0 <= Lots::QUANTITY_MAX.0,
            (Some(_), false) => trade.exited.0 + fill.quantity.0 <= Lots::TOTAL_MAX.0,
        };
        possible.then_some(())?;
        if let Some(order) = order {
            order.live.filled += fill.quantity;
            order.value += fill.price.wide() * fill.quantity.wide();
            order.fees = money::add(order.fees, fill.fee);
        }
        let before = trade.realised;
        if entry {
            trade.book_entry(fill, row, place.at);
        } else {
            trade.book_exit(fill, Ticks::ZERO, row);
        }
        Some(Booked { trade: trade.id, realised: (!entry).then(|| money::add(trade.realised, -before)) })
    }

    /// What of an assumed fill leaves a position; the rest is kept for what the engine makes of it.
    fn leaving(&mut self, id: InstrumentId, fill: &Fill) -> Option<Fill> {
        if fill.cause != FillCause::Assumed || !fill.order.is_none() {
            return None;
        }
        let leaves = |trade: &&Trade| trade.instrument == id && trade.side() != fill.side;
        let open = self.trades.values().find(leaves).map_or(Lots::ZERO, Trade::open);
        let part = Lots(open.0.clamp(0, fill.quantity.0));
        let of = |quantity: Lots| (quantity.0 > 0).then_some(Fill { quantity, ..*fill });
        self.assumed = of(fill.quantity - part).map(|rest| (id, rest));
        of(part)
    }

    /// The engine has entries filled. If they are the rest of an assumed fill, the trade it went to.
    pub fn entered(
        &mut self,
        place: Place,
        id: InstrumentId,
        filled: &EntryFilled,
        lines: &Lines,
    ) -> Option<OrderId> {
        let (of, fill) = self.assumed.take()?;
        let row = Units::of(lines, id).row().filter(|_| of == id && fill.side == filled.side)?;
        if self.trades.len() >= TRADES_MAX && !self.trades.contains_key(&filled.trade) {
            self.trades.pop_first();
        }
        let new = || Trade::approved(filled.trade, id, taken_over(&fill), Consensus::Weak);
        let trade = self.trades.entry(filled.trade).or_insert_with(new);
        let possible = trade.entry.quantity.0 + fill.quantity.0 <= Lots::QUANTITY_MAX.0;
        possible.then(|| trade.book_entry(&fill, row, place.at))?;
        Some(filled.trade)
    }

    fn is_new(&mut self, id: InstrumentId, trade_id: i64) -> bool {
        if self.fills.contains(&(id, trade_id)) {
            return false;
        }
        if self.fills.len() == FILLS_REMEMBERED {
            self.fills.pop_front();
        }
        self.fills.push_back((id, trade_id));
        true
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

/// What a fill did to the books.
struct Booked {
    trade: OrderId,
    realised: Option<Dec>,
}

fn taken_over(fill: &Fill) -> Plan {
    let (price, zero) = (fill.price, Dec::ZERO);
    let (stop, target) = (Ticks::ZERO, Ticks::ZERO);
    Plan {
        side: fill.side,
        price,
        quantity: fill.quantity,
        stop,
        target,
        atr: zero,
        notional: zero,
        risk: zero,
    }
}

/// As far as an entry tells it: its books need no more.
fn plan(entry: &Order) -> Plan {
    Plan {
        side: entry.side,
        price: entry.reference,
        quantity: entry.quantity,
        stop: Ticks::ZERO,
        target: Ticks::ZERO,
        atr: Dec::ZERO,
        notional: Dec::ZERO,
        risk: Dec::ZERO,
    }
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
