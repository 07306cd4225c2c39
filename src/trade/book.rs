//! Open trades, their orders and what is booked of each fill, found again from a journal: by the engine's own
//! tables, and by what it says wherever its policy decides. `docs/RULES.md` §6.

use std::collections::BTreeMap;

use super::order::{held, owed};
use super::{FillMemory, LiveOrder, Trade};
use crate::event::{
    Alarm, AlarmKind, EntryFilled, Event, EventBody, Fill, FillCause, InstrumentTable, Order, OrderUpdate,
    Output, OutputBody, Purpose, TradeState,
};
use crate::num::{Dec, InstrumentId, Lots, OrderId, Side, Ticks, TimeNs};
use crate::risk::money;

/// Trades followed at once; beyond it the oldest goes. An engine holds 64.
const TRADES_MAX: usize = 1 << 10;
/// Orders of a trade followed at once. An engine has 16, and may have given up some that count here.
const TRADE_ORDERS_MAX: usize = 64;

/// What the engine booked of a fill. `fill` is that part of it; its order is none where it was no order of
/// the trade's that filled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Booked {
    Entry {
        trade: OrderId,
        fill: Fill,
    },
    Exit {
        trade: OrderId,
        fill: Fill,
    },
    /// What an order filled beyond what its trade could take: the order's, and no trade's result.
    Beyond {
        fill: Fill,
    },
    /// The fee of a fill that none of our orders explains: the account's, and no trade's.
    Fee(Dec),
}

/// A trade from its approval to its account.
#[derive(Clone, Debug)]
pub struct OpenTrade {
    pub instrument: InstrumentId,
    /// Of the entry.
    pub side: Side,
    /// Average price of the entry; zero before its first fill.
    pub entry: Dec,
    /// Where the engine has its stop; zero before the first fill.
    pub stop: Ticks,
    pub target: Ticks,
    /// Approval, then the first fill.
    pub since: TimeNs,
    entered: Lots,
    exited: Lots,
    orders: Vec<LiveOrder>,
}

impl OpenTrade {
    fn new(instrument: InstrumentId, side: Side, now: TimeNs) -> OpenTrade {
        OpenTrade {
            instrument,
            side,
            entry: Dec::ZERO,
            stop: Ticks::ZERO,
            target: Ticks::ZERO,
            since: now,
            entered: Lots::ZERO,
            exited: Lots::ZERO,
            orders: Vec::new(),
        }
    }

    /// Filled and not yet exited; zero while the entry is pending.
    pub fn open(&self) -> Lots {
        self.entered - self.exited
    }

    fn held_for(&self, cause: FillCause) -> Lots {
        held(self.open(), &self.orders, self.side, cause)
    }

    /// Lots that acknowledged stops would close.
    pub fn stopped(&self) -> Lots {
        let stops = self.orders.iter().filter(|order| order.purpose == Purpose::Stop && order.rests());
        Lots(stops.map(|order| order.outstanding().0).sum())
    }

    /// Trigger of the newest acknowledged stop: the venue's, which follows the engine's.
    pub fn resting_stop(&self) -> Option<Ticks> {
        self.resting_stops().next_back()
    }

    /// Triggers of all acknowledged stops that can still close something.
    pub fn resting_stops(&self) -> impl DoubleEndedIterator<Item = Ticks> {
        let stops = self.orders.iter();
        stops
            .filter(|order| order.purpose == Purpose::Stop && order.rests() && order.outstanding().0 > 0)
            .map(|order| order.trigger)
    }

    /// Acknowledged stops stand for all that is open.
    pub fn is_covered(&self) -> bool {
        self.open() <= self.stopped()
    }

    fn order(&self, id: OrderId) -> Option<&LiveOrder> {
        self.orders.iter().find(|order| order.id == id)
    }

    fn order_mut(&mut self, id: OrderId) -> Option<&mut LiveOrder> {
        self.orders.iter_mut().find(|order| order.id == id)
    }

    fn send(&mut self, order: &Order, now: TimeNs) {
        if self.orders.len() >= TRADE_ORDERS_MAX {
            self.orders.retain(|order| order.purpose == Purpose::Entry || !order.is_done());
        }
        if self.orders.len() >= TRADE_ORDERS_MAX {
            self.orders.remove(0);
        }
        self.orders.push(LiveOrder::sent(order, false, now));
    }

    /// Whether a fill can be what it says, as the engine decides it.
    fn accepts(&self, fill: &Fill) -> bool {
        match self.order(fill.order) {
            Some(order) => {
                let entered = self.entered + fill.quantity;
                let fits = order.purpose != Purpose::Entry || entered <= Lots::QUANTITY_MAX;
                fill.side == order.side && fill.quantity <= order.unfilled() && fits
            }
            None => fill.side == self.side.opposite() && fill.quantity <= self.held_for(fill.cause),
        }
    }

    /// By how much an exit of so many lots goes beyond the position it leaves.
    fn excess(&self, lots: Lots) -> Lots {
        // What the entry has still to report may have been exited already.
        let entries = self.orders.iter().filter(|order| order.purpose == Purpose::Entry);
        let entering: i64 = entries.map(|entry| entry.outstanding().0).sum();
        Lots((lots.0 - (self.open().0 + entering).max(0)).max(0))
    }

    fn enter(&mut self, lots: Lots, now: TimeNs) {
        if self.entered == Lots::ZERO {
            self.since = now;
        }
        self.entered += lots;
    }
}

/// Trades that are not over, by the client order id of their entries: in order of approval.
#[derive(Clone, Debug, Default)]
pub struct Book {
    trades: BTreeMap<OrderId, OpenTrade>,
    fills: FillMemory,
    /// Of the newest event, if it is a fill: what of it is not booked, and may yet be.
    unexplained: Option<(InstrumentId, Fill)>,
    booked: Vec<Booked>,
}

impl Book {
    /// What an engine has when a start goes on with it.
    pub fn resume(&mut self, trades: &[Trade], fills: &FillMemory, table: &InstrumentTable) {
        self.fills = fills.clone();
        for trade in trades.iter().filter(|trade| !trade.finished) {
            let tick = table.get(trade.instrument).map_or(Dec::ZERO, |row| row.tick);
            let exit = trade.exit.as_ref();
            let open = OpenTrade {
                instrument: trade.instrument,
                side: trade.side(),
                entry: trade.entry.to_dec(tick),
                stop: exit.map_or(Ticks::ZERO, |exit| exit.stop),
                target: exit.map_or(Ticks::ZERO, |exit| exit.target),
                since: exit.map_or(TimeNs(0), |exit| exit.opened_ns),
                entered: trade.entry.quantity,
                exited: trade.exited,
                orders: trade.orders.to_vec(),
            };
            self.trades.insert(trade.id, open);
        }
    }

    pub fn trades(&self) -> impl Iterator<Item = &OpenTrade> {
        self.trades.values()
    }

    /// A trade by the client order id of its entry.
    pub fn get(&self, trade: OrderId) -> Option<&OpenTrade> {
        self.trades.get(&trade)
    }

    /// An order, and the trade it belongs to.
    pub fn order(&self, id: OrderId) -> Option<(OrderId, &LiveOrder)> {
        self.trades.iter().find_map(|(trade, open)| Some((*trade, open.order(id)?)))
    }

    /// Of them, those that hold something.
    pub fn positions(&self) -> impl Iterator<Item = &OpenTrade> {
        self.trades().filter(|trade| trade.open().0 > 0)
    }

    /// What is known to be booked since the entry taken last, in order: of a fill with its event, but what
    /// the engine's policy decides with the output that tells it.
    pub fn booked(&self) -> &[Booked] {
        &self.booked
    }

    pub fn event(&mut self, event: &Event) {
        self.booked.clear();
        self.unexplained = None;
        match &event.body {
            EventBody::OrderUpdate(update) => self.order_update(event.recv_ns, update),
            EventBody::Fill(fill) => self.fill(event.recv_ns, event.instrument, fill),
            _ => {}
        }
    }

    fn order_update(&mut self, now: TimeNs, update: &OrderUpdate) {
        let Some(order) = self.trades.values_mut().find_map(|trade| trade.order_mut(update.order)) else {
            return;
        };
        if update.code == OrderUpdate::NO_MORE_FILLS {
            if order.state.is_final() {
                order.settle();
            }
            return;
        }
        let absent = order.is_absent(update, now);
        order.hear(update, absent);
    }

    fn fill(&mut self, now: TimeNs, id: InstrumentId, fill: &Fill) {
        if !fill.price.is_price() || !fill.quantity.is_quantity() || !money::is_money(fill.fee) {
            return;
        }
        let concluded = fill.cause == FillCause::Assumed && fill.order.is_none();
        if !concluded && !self.fills.is_new(id, fill.trade_id) {
            return;
        }
        let mut ours = self.trades.iter().filter(|(_, trade)| trade.instrument == id);
        let found = match fill.cause {
            // Whether that is booked, and that anew where it was not before, depends on the policy.
            FillCause::Assumed if concluded => None,
            FillCause::Order | FillCause::Assumed => {
                ours.find(|(_, trade)| trade.order(fill.order).is_some())
            }
            FillCause::Liquidation | FillCause::Adl | FillCause::Settlement => ours.next(),
        };
        let rest = match found.filter(|(_, trade)| trade.accepts(fill)).map(|(trade, _)| *trade) {
            Some(trade) => self.settle(now, trade, fill),
            None => {
                self.count(fill);
                Some(*fill)
            }
        };
        self.unexplained = rest.map(|rest| (id, rest));
    }

    /// An order does not owe what came, whoever it is booked to.
    fn count(&mut self, fill: &Fill) {
        let order = self.trades.values_mut().find_map(|trade| trade.order_mut(fill.order));
        if let Some(order) = order.filter(|order| order.side == fill.side) {
            let quantity = fill.quantity.min(order.unfilled());
            order.filled += quantity;
            if quantity.0 > 0 {
                self.booked.push(Booked::Beyond { fill: Fill { quantity, fee: Dec::ZERO, ..*fill } });
            }
        }
    }

    /// Books a fill to its trade; what of it goes beyond the position it leaves.
    fn settle(&mut self, now: TimeNs, id: OrderId, fill: &Fill) -> Option<Fill> {
        let trade = self.trades.get_mut(&id)?;
        let purpose = trade.order(fill.order).map(|order| order.purpose);
        let excess = match purpose {
            Some(Purpose::Stop | Purpose::Exit) => trade.excess(fill.quantity),
            Some(Purpose::Entry) | None => Lots::ZERO,
        };
        if let Some(order) = trade.order_mut(fill.order) {
            order.filled += fill.quantity;
        }
        let part = Fill { quantity: fill.quantity - excess, ..*fill };
        if purpose == Some(Purpose::Entry) {
            trade.enter(part.quantity, now);
            self.booked.push(Booked::Entry { trade: id, fill: part });
        } else if part.quantity.0 > 0 {
            trade.exited += part.quantity;
            self.booked.push(Booked::Exit { trade: id, fill: part });
        } else {
            self.booked.push(Booked::Fee(fill.fee));
        }
        let beyond = Fill { quantity: excess, fee: Dec::ZERO, ..*fill };
        (excess.0 > 0).then(|| {
            self.booked.push(Booked::Beyond { fill: beyond });
            Fill { order: OrderId::NONE, ..beyond }
        })
    }

    /// The engine books so many lots of what nothing explained: first what orders of ours owe by the venue's
    /// word, then what leaves a position of ours. What is left becomes one, if it says so.
    fn explain(&mut self, now: TimeNs, id: InstrumentId, alarm: &Alarm) {
        let Some((_, fill)) = self.unexplained.take().filter(|(of, _)| *of == id) else { return };
        self.fills.is_new(id, fill.trade_id);
        if fill.fee != Dec::ZERO {
            self.booked.push(Booked::Fee(fill.fee));
        }
        let lots = Lots(fill.quantity.0.min(alarm.value.saturating_abs()));
        let part = |quantity| Fill { quantity, fee: Dec::ZERO, order: OrderId::NONE, ..fill };
        let (mut left, mut beyond) = (lots, Lots::ZERO);
        let found = self.trades.iter().find(|(_, trade)| trade.instrument == id);
        if let Some((trade, open)) = found.map(|(id, trade)| (*id, trade)) {
            let owed: Vec<_> = owed(&open.orders, fill.side, left).collect();
            for (order, lots) in owed {
                left -= lots;
                let rest = self.settle(now, trade, &Fill { order, ..part(lots) });
                beyond += rest.map_or(Lots::ZERO, |rest| rest.quantity);
            }
            left -= self.reduce(trade, &part(left));
        }
        left += beyond;
        self.unexplained = (left.0 > 0).then(|| (id, part(left)));
    }

    /// What of a fill leaves the position; it was closed by somebody else.
    fn reduce(&mut self, id: OrderId, fill: &Fill) -> Lots {
        let Some(trade) = self.trades.get_mut(&id).filter(|trade| trade.side != fill.side) else {
            return Lots::ZERO;
        };
        let quantity = Lots(trade.held_for(fill.cause).0.clamp(0, fill.quantity.0));
        if quantity.0 > 0 {
            trade.exited += quantity;
            self.booked.push(Booked::Exit { trade: id, fill: Fill { quantity, ..*fill } });
        }
        quantity
    }

    pub fn output(&mut self, now: TimeNs, output: &Output) {
        self.booked.clear();
        match &output.body {
            OutputBody::Order(order) => self.order_sent(now, output.instrument, order),
            OutputBody::EntryFilled(filled) => self.entry_filled(now, output.instrument, filled),
            OutputBody::Alarm(alarm) if alarm.kind == AlarmKind::UnknownPosition => {
                self.explain(now, output.instrument, alarm);
            }
            OutputBody::StopMoved(moved) => {
                if let Some(trade) = self.trades.get_mut(&moved.trade) {
                    trade.stop = moved.stop;
                }
            }
            OutputBody::TradeClosed(closed) => {
                self.trades.remove(&closed.trade);
            }
            OutputBody::TradeChanged(changed)
                if matches!(changed.to, TradeState::Canceled | TradeState::Rejected) =>
            {
                self.trades.remove(&changed.trade);
            }
            _ => {}
        }
    }

    fn order_sent(&mut self, now: TimeNs, id: InstrumentId, order: &Order) {
        // No engine sends an order with other numbers, or an id twice; arithmetic rests on the first.
        let sane = order.quantity.is_quantity() && order.trigger.is_level() && order.reference.is_level();
        if !sane || self.order(order.id).is_some() {
            return;
        }
        if order.purpose == Purpose::Entry {
            self.hold(order.trade, || OpenTrade::new(id, order.side, now));
        }
        if let Some(trade) = self.trades.get_mut(&order.trade) {
            trade.send(order, now);
        }
    }

    /// The engine's word on an entry. Where it is more than what was booked of it, the rest of the fill was
    /// taken over: for this trade, or as one that had no order of ours.
    fn entry_filled(&mut self, now: TimeNs, id: InstrumentId, filled: &EntryFilled) {
        let trade = self.hold(filled.trade, || OpenTrade::new(id, filled.side, now));
        let entered = Lots(filled.quantity.0.clamp(0, Lots::QUANTITY_MAX.0));
        let more = entered - trade.entered;
        trade.enter(more, now);
        (trade.entry, trade.stop, trade.target) = (filled.entry, filled.stop, filled.target);
        let rest = self.unexplained.take_if(|(of, fill)| *of == id && fill.side == filled.side && more.0 > 0);
        if let Some((_, fill)) = rest {
            let fill =
                Fill { quantity: more.min(fill.quantity), fee: Dec::ZERO, order: OrderId::NONE, ..fill };
            self.booked.push(Booked::Entry { trade: filled.trade, fill });
        }
    }

    fn hold(&mut self, id: OrderId, new: impl FnOnce() -> OpenTrade) -> &mut OpenTrade {
        if self.trades.len() >= TRADES_MAX && !self.trades.contains_key(&id) {
            self.trades.pop_first();
        }
        self.trades.entry(id).or_insert_with(new)
    }
}
