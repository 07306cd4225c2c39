//! Open trades and their orders, as the journal shows them: what an operator asks for first.

use std::collections::BTreeMap;

use crate::event::{
    Event, EventBody, Fill, InstrumentTable, OrderUpdate, Output, OutputBody, Purpose, TradeState,
};
use crate::num::{Dec, InstrumentId, Lots, OrderId, Side, Ticks, TimeNs};
use crate::trade::{LiveOrder, Trade};

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
    /// Exits applied, by the venue's trade id: a reconnect repeats them.
    exits: Vec<i64>,
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
            exits: Vec::new(),
        }
    }

    /// Filled and not yet exited; zero while the entry is pending.
    pub fn open(&self) -> Lots {
        self.entered - self.exited
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

    fn exit(&mut self, fill: &Fill) {
        if !self.exits.contains(&fill.trade_id) {
            self.exits.push(fill.trade_id);
            // What the entry has still to report may have been exited already.
            let entry = self.orders.iter().find(|order| order.purpose == Purpose::Entry);
            let entering = entry.map_or(Lots::ZERO, LiveOrder::outstanding);
            let most = self.entered.max(entering);
            self.exited = Lots(self.exited.0.saturating_add(fill.quantity.0)).min(most);
            if let Some(order) = self.order_mut(fill.order) {
                order.filled = Lots(order.filled.0.saturating_add(fill.quantity.0).min(order.quantity.0));
            }
        }
    }
}

/// Trades that are not over, by the client order id of their entries: in order of approval.
#[derive(Clone, Debug, Default)]
pub struct Book {
    trades: BTreeMap<OrderId, OpenTrade>,
}

impl Book {
    /// What an engine has when a start goes on with it.
    pub(super) fn resume(&mut self, trades: &[Trade], table: &InstrumentTable) {
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
                exits: Vec::new(),
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

    pub(super) fn event(&mut self, event: &Event) {
        match &event.body {
            EventBody::OrderUpdate(update) => self.order_update(event.recv_ns, update),
            EventBody::Fill(fill) => self.fill(event.instrument, fill),
            _ => {}
        }
    }

    fn order_update(&mut self, now: TimeNs, update: &OrderUpdate) {
        let Some(order) = self.trades.values_mut().find_map(|trade| trade.order_mut(update.order)) else {
            return;
        };
        let absent = order.is_absent(update, now);
        order.hear(update, absent);
    }

    /// Entries count by what the engine says of them, which has no fill twice.
    fn fill(&mut self, instrument: InstrumentId, fill: &Fill) {
        // Of no order of ours: forced, or concluded from the venue's position.
        let of_none = fill.order.is_none();
        let hit = self.trades.values_mut().find(|trade| match of_none {
            true => trade.instrument == instrument && trade.open().0 > 0 && trade.side != fill.side,
            false => trade.order(fill.order).is_some_and(|order| order.purpose != Purpose::Entry),
        });
        if let Some(trade) = hit {
            trade.exit(fill);
        }
    }

    pub(super) fn output(&mut self, now: TimeNs, output: &Output) {
        match &output.body {
            OutputBody::Order(order) => {
                if order.purpose == Purpose::Entry {
                    self.trades.insert(order.trade, OpenTrade::new(output.instrument, order.side, now));
                }
                if let Some(trade) = self.trades.get_mut(&order.trade) {
                    trade.orders.push(LiveOrder::sent(order, false, now));
                }
            }
            OutputBody::EntryFilled(filled) => {
                // A position that was taken over had no order of ours.
                let new = || OpenTrade::new(output.instrument, filled.side, now);
                let trade = self.trades.entry(filled.trade).or_insert_with(new);
                if trade.entered == Lots::ZERO {
                    trade.since = now;
                }
                (trade.entered, trade.entry) = (filled.quantity, filled.entry);
                (trade.stop, trade.target) = (filled.stop, filled.target);
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
}
