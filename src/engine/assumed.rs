//! What the venue's position says must have filled, though no order of ours explains it. `docs/RULES.md` §6,
//! "Positions of others".

use arrayvec::ArrayVec;

use super::orders::send_cancel;
use super::{Engine, Outbox, TRADES_MAX, alarm};
use crate::event::{
    AlarmKind, Consensus, ExitSignal, Fill, Order, OrderKind, Purpose, TradingState, WorkingType,
};
use crate::num::{Dec, InstrumentId, Lots, OrderId, Rounding, Side, Ticks, TimeNs};
use crate::risk::config::OnUnknownPosition;
use crate::risk::exit::ExitState;
use crate::risk::levels::AveragePrice;
use crate::risk::money;
use crate::risk::sizing::Plan;
use crate::trade::{LiveOrder, ORDERS_MAX, Step, Surplus, Trade};

impl Engine {
    /// First it is what orders of ours owe by the venue's own word, then what ends a position that was left
    /// alone, then what leaves one of ours. The rest nothing explains.
    pub(super) fn on_assumed(&mut self, id: InstrumentId, fill: &Fill, at: TimeNs, out: &mut Outbox) {
        if id.index() >= self.markets.len() || self.fills.knows(id, fill.trade_id) {
            return;
        }
        self.count_of_finished(id, fill);
        self.explain(id, fill, at, out);
        if let Some(t) = self.trade_index(id).filter(|t| self.trades[*t].finished) {
            self.maintain(t, out);
        }
    }

    /// What orders of a trade that is over owe moved the position for nobody.
    fn count_of_finished(&mut self, id: InstrumentId, fill: &Fill) {
        let Some(t) = self.trade_index(id).filter(|t| self.trades[*t].finished) else { return };
        for (order, lots) in self.trades[t].owed(fill.side, fill.quantity) {
            self.count_filled(id, order, fill.side, lots);
        }
    }

    /// A fill that fits nothing of ours: of an order that is over here, or forced upon a position that we
    /// have otherwise. It moved the position all the same.
    pub(super) fn on_unexpected_fill(&mut self, id: InstrumentId, fill: &Fill, at: TimeNs, out: &mut Outbox) {
        if self.settings.on_unknown_position == OnUnknownPosition::Halt || id.index() >= self.markets.len() {
            return self.leave_alone(id, fill, out);
        }
        self.explain(id, &Fill { order: OrderId::NONE, ..*fill }, at, out);
    }

    fn explain(&mut self, id: InstrumentId, fill: &Fill, at: TimeNs, out: &mut Outbox) {
        // The fee of one that was told is the account's, and of no trade's result.
        let part = |quantity: Lots| Fill { quantity, fee: Dec::ZERO, ..*fill };
        let owed = self.owed(id, fill);
        let paid = Lots(owed.iter().map(|(_, lots)| lots.0).sum());
        let ended = self.end_left_alone(id, fill.quantity - paid, fill.side);
        let reduced = self.reducible(id, fill, paid, ended);
        let rest = fill.quantity - paid - ended - reduced;
        let takes_over = self.settings.on_unknown_position != OnUnknownPosition::Halt;
        let booked = if takes_over { fill.quantity - ended } else { paid + reduced };
        if (ended + booked).0 > 0 {
            // Once it is in the books it must not come again; what is not may, when settings say otherwise.
            self.fills.is_new(id, fill.trade_id);
        }
        if booked.0 > 0 {
            self.controller.book(-fill.fee);
            alarm(AlarmKind::UnknownPosition, OrderId::NONE, booked.0 * fill.side.sign(), id, out);
        }
        let mut beyond = Lots::ZERO;
        for (order, lots) in owed {
            if let Some(t) = self.find_order(id, order) {
                beyond += self.book_within(t, &Fill { order, ..part(lots) }, at, out);
            }
        }
        let rest = rest + beyond;
        if reduced.0 > 0
            && let Some(t) = self.trade_index(id)
        {
            self.reduce_by(t, &part(reduced), out);
        }
        if booked.0 > 0 {
            self.refresh_equity(out);
            self.lower(AlarmKind::UnknownPosition, TradingState::Reducing, out);
        }
        if rest.0 > 0 && takes_over {
            self.take_over(id, &part(rest), at, out);
        } else if rest.0 > 0 {
            self.leave_alone(id, &part(rest), out);
        }
    }

    /// Nothing is sent: the position and what may be its stop are the operator's.
    fn leave_alone(&mut self, id: InstrumentId, fill: &Fill, out: &mut Outbox) {
        let lots = fill.quantity.0;
        if let Some(left_alone) = self.left_alone.get_mut(id.index()) {
            *left_alone = Lots(left_alone.0.saturating_add(lots * fill.side.sign()));
        }
        self.fault(AlarmKind::UnexpectedFill, TradingState::Halted, fill.order, lots, id, out);
    }

    /// Of so many lots, those that end a position which was left alone: somebody closed what is his.
    fn end_left_alone(&mut self, id: InstrumentId, lots: Lots, side: Side) -> Lots {
        let Some(left_alone) = self.left_alone.get_mut(id.index()) else { return Lots::ZERO };
        let ended = Lots((-left_alone.0.saturating_mul(side.sign())).clamp(0, lots.0));
        *left_alone += Lots(ended.0 * side.sign());
        ended
    }

    /// What of `fill` orders of ours owe by the venue's word.
    fn owed(&self, id: InstrumentId, fill: &Fill) -> ArrayVec<(OrderId, Lots), ORDERS_MAX> {
        let trade = self.trade_index(id).map(|t| &self.trades[t]).filter(|trade| !trade.finished);
        trade.map(|trade| trade.owed(fill.side, fill.quantity)).unwrap_or_default()
    }

    /// What of `fill` leaves a position of ours, once `paid` lots of it are booked and `ended` are others'.
    fn reducible(&self, id: InstrumentId, fill: &Fill, paid: Lots, ended: Lots) -> Lots {
        let trade = self.trade_index(id).map(|t| &self.trades[t]).filter(|trade| !trade.finished);
        let held = trade
            .filter(|trade| fill.side != trade.side())
            .map_or(Lots::ZERO, |trade| trade.held_for(fill.cause));
        Lots((held - paid).0.max(0)).min(fill.quantity - paid - ended)
    }

    /// It was closed, or a part of it, by somebody else.
    fn reduce_by(&mut self, t: usize, fill: &Fill, out: &mut Outbox) {
        let trade = &mut self.trades[t];
        let instrument = self.markets[trade.instrument.index()].instrument;
        trade.book_exit(fill, Ticks::ZERO, &instrument);
        trade.shrink_surplus(fill.quantity);
        trade.protection.urgent = true;
        self.value_trade(t);
        self.refresh_equity(out);
        self.maintain(t, out);
    }

    /// A position that is nobody's becomes a trade, or a part of the one there is.
    fn take_over(&mut self, id: InstrumentId, fill: &Fill, at: TimeNs, out: &mut Outbox) {
        let found = match self.trade_index(id) {
            Some(t) if self.trades[t].finished => {
                self.make_way(t, out);
                None
            }
            // Nothing of it is open, and its entry may never fill on: should it, that is a fill like this one.
            Some(t) if self.trades[t].held_for(fill.cause).0 <= 0 && self.trades[t].side() != fill.side => {
                self.cancel_entry(t, out);
                if self.trades[t].entry.quantity == Lots::ZERO {
                    self.advance(t, Step::EntryEnded, out);
                } else {
                    self.finish(t, out);
                }
                self.make_way(t, out);
                None
            }
            found => found,
        };
        // One on the other side has nothing open any more: `reducible` was taken from it before.
        let t = match found {
            None => self.adopt(id, fill, at),
            Some(t) => self.grow(t, fill, at),
        };
        let Some(t) = t else { return self.leave_alone(id, fill, out) };
        self.say_entry_filled(t, out);
        self.advance(t, Step::EntryFilled, out);
        self.move_peaks_with(t);
        self.refresh_equity(out);
        // Protected like any other, also where it is closed at once: both orders only reduce.
        self.maintain(t, out);
        if self.settings.on_unknown_position == OnUnknownPosition::Close {
            self.close_surplus(t, fill.quantity, out);
        }
    }

    /// Removes a trade that is over before its orders are. Who waits for their cancels no longer asks again, so
    /// they are sent once more; what rests all the same is an orphan, and goes as one.
    fn make_way(&mut self, t: usize, out: &mut Outbox) {
        let (now, trade) = (self.now, &mut self.trades[t]);
        let unasked = |order: &&mut LiveOrder| !order.is_done() && order.cancel_sent != Some(now);
        for order in trade.orders.iter_mut().filter(unasked) {
            send_cancel(order, now, trade.instrument, out);
        }
        self.remove_trade(t);
    }

    fn close_surplus(&mut self, t: usize, lots: Lots, out: &mut Outbox) {
        let trade = &mut self.trades[t];
        if trade.closing.is_some() {
            return; // all of it goes anyway
        }
        let before = trade.surplus.map_or(Lots::ZERO, |surplus| surplus.lots);
        trade.surplus = Some(Surplus::of(before + lots));
        let price = self.price_to_go(t);
        self.say_exit(t, ExitSignal::Manual, lots, price, out);
        self.pursue_surplus(t, out);
    }

    /// The price exits are tested at now, or the best we know.
    pub(super) fn price_to_go(&self, t: usize) -> Ticks {
        let trade = &self.trades[t];
        let tested = self.exit_price_now(trade.instrument).map(|tested| tested.price(trade.side()));
        let known = tested.filter(|price| price.is_price());
        let last = Some(self.markets[trade.instrument.index()].price).filter(|price| price.is_price());
        known.or(last).unwrap_or(trade.plan.price)
    }

    /// A trade of its own, with an entry that is done.
    fn adopt(&mut self, id: InstrumentId, fill: &Fill, at: TimeNs) -> Option<usize> {
        if self.trades.len() >= TRADES_MAX {
            return None;
        }
        let (exit, plan) = self.levels_of(id, fill, at)?;
        let order_id = self.next_order_id();
        let entry = Order {
            id: order_id,
            trade: order_id,
            quantity: fill.quantity,
            trigger: Ticks::ZERO,
            reference: fill.price,
            side: fill.side,
            kind: OrderKind::Market,
            purpose: Purpose::Entry,
            working_type: WorkingType::ContractPrice,
            reduce_only: false,
            pad: [0; 3],
        };
        // Nobody voted for it.
        let mut trade = Trade::approved(order_id, id, plan, Consensus::Weak);
        trade.orders.push(LiveOrder::done(&entry, self.now));
        trade.book_entry(fill, &self.markets[id.index()].instrument, at);
        trade.exit = Some(exit);
        let t = self.trades.len();
        self.trade_of[id.index()] = t as u8;
        self.trades.push(trade);
        Some(t)
    }

    /// Levels by the rules' distances from the present price: from an entry that is far from it, a position
    /// under water would be closed at once.
    fn levels_of(&self, id: InstrumentId, fill: &Fill, at: TimeNs) -> Option<(ExitState, Plan)> {
        let market = &self.markets[id.index()];
        let (settings, tick) = (&self.settings, market.instrument.tick);
        let tested = self.exit_price_now(id).map(|tested| tested.price(fill.side));
        let price = [tested, Some(market.price), Some(fill.price)];
        let price = price.into_iter().flatten().find(|price| price.is_price())?;
        let entry = AveragePrice { cost: fill.price.wide() * fill.quantity.wide(), quantity: fill.quantity };
        // Without an ATR, the one above which the rules call a market too volatile: the widest stop.
        let widest = market.instrument.price(price).mul(settings.max_atr_ratio, Rounding::Ceil)?.max(tick);
        let open = |atr: Dec| ExitState::adopted(fill.side, entry, price, atr, tick, at, settings);
        let known = market.atr_value.filter(|atr| atr.0 > 0);
        let exit = known.and_then(open).or_else(|| open(widest))?;
        let worth = |ticks: Ticks| money::worth(market.tick_lot_value, ticks.wide() * fill.quantity.wide());
        let plan = Plan {
            side: fill.side,
            price: fill.price,
            quantity: fill.quantity,
            stop: exit.stop,
            target: exit.target,
            atr: exit.atr,
            notional: worth(fill.price),
            risk: worth((price - exit.stop).abs()),
        };
        Some((exit, plan))
    }

    /// More of a trade of ours, which keeps its stop and target.
    fn grow(&mut self, t: usize, fill: &Fill, at: TimeNs) -> Option<usize> {
        let id = self.trades[t].instrument;
        if self.trades[t].entry.quantity.0 + fill.quantity.0 > Lots::QUANTITY_MAX.0 {
            return None;
        }
        let first = match self.trades[t].exit {
            Some(_) => None,
            None => Some(self.levels_of(id, fill, at)?.0),
        };
        let (instrument, settings) = (self.markets[id.index()].instrument, &self.settings);
        let trade = &mut self.trades[t];
        trade.book_entry(fill, &instrument, at);
        trade.protection.urgent = true;
        match (first, trade.exit.as_mut()) {
            // The plan's ATR is the trade's.
            (Some(levels), _) => trade.exit = Some(ExitState { atr: trade.plan.atr, ..levels }),
            (None, Some(exit)) => exit.grow(trade.entry, instrument.tick, settings),
            (None, None) => {}
        }
        Some(t)
    }

    /// What it had won or lost before it was ours is no result of ours, and no drawdown.
    fn move_peaks_with(&mut self, t: usize) {
        let before = self.trades[t].unrealised;
        self.value_trade(t);
        self.controller.move_peaks(money::add(self.trades[t].unrealised, -before));
    }
}
