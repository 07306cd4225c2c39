//! Exits and protection: the stop that rests at the venue, the engine's own exits, and the deadline
//! after which an uncovered position is closed. `docs/RULES.md` §6.

use super::orders::send_cancel;
use super::{Engine, Outbox, alarm};
use crate::event::{
    AlarmKind, ExitFired, ExitSignal, Order, OrderKind, OutputBody, Protected, Purpose, StopMove, StopMoved,
    TradingState, WorkingType,
};
use crate::num::planted::{Bug, is_planted};
use crate::num::{
    Dec, InstrumentId, Lots, NS_PER_MS, NS_PER_SEC, OrderId, Side, Ticks, TimeNs, cmp_products,
};
use crate::risk::config::{ExitPrice, Settings};
use crate::risk::exit::PartLimits;
use crate::trade::{Closing, LiveOrder, OrderState, STOPS_MAX, Step, Trade};

/// A trailing stop follows at most this often, and by at least a tenth of the ATR.
const REPLACE_EVERY_NS: i64 = NS_PER_SEC;
const REPLACE_PER_ATR: i128 = 10;
/// Exit orders sent at once when one comes back unfilled; afterwards a timer tries again.
pub(super) const EXIT_ATTEMPTS_MAX: u32 = 3;
const EXIT_RETRY_NS: i64 = NS_PER_SEC;
/// Each refusal makes the next wait a second longer, up to this many: a position the venue does not
/// have, or one too small to close, must not use up our rate limit.
const EXIT_RETRY_FACTOR_MAX: u32 = 30;
/// What a market order and its fill may take: a close begins so much before the deadline is over.
const CLOSE_MS: i64 = 150;
/// Queries and repeated cancels one timer may send.
const QUESTIONS_MAX: usize = 64;

/// A price exits are tested against.
#[derive(Clone, Copy, Debug)]
pub(super) enum Tested {
    /// What the exit could get: bid for longs, ask for shorts.
    Book {
        bid: Ticks,
        ask: Ticks,
    },
    At(Ticks),
}

impl Tested {
    pub(super) fn price(self, side: Side) -> Ticks {
        match (self, side) {
            (Tested::Book { bid, .. }, Side::Buy) => bid,
            (Tested::Book { ask, .. }, Side::Sell) => ask,
            (Tested::At(price), _) => price,
        }
    }
}

impl Engine {
    /// Runs the exit rules of the instrument's trade at a price.
    pub(super) fn test_exits(&mut self, id: InstrumentId, tested: Tested, out: &mut Outbox) {
        let Some(t) = self.trade_index(id) else { return };
        let trade = &mut self.trades[t];
        let (open, side) = (trade.open(), trade.side());
        let Some(exit) = trade.exit.as_mut().filter(|_| !trade.finished && open.0 > 0) else { return };
        let price = tested.price(side);
        exit.track(price);
        let beyond = exit.beyond_stop(price);
        if trade.closing.is_some() {
            return;
        }
        if self.resting_stops && beyond {
            // The resting stop owns this price; it gets a moment to trigger.
            trade.protection.beyond_since.get_or_insert(self.now);
            return self.check_stop_grace(t, price, out);
        }
        trade.protection.beyond_since = None;
        // Where nothing rests the stop is ours to fire, in any state.
        if self.controller.state() == TradingState::Halted && !beyond {
            return;
        }
        self.apply_exits(t, price, out);
    }

    fn apply_exits(&mut self, t: usize, price: Ticks, out: &mut Outbox) {
        let (now, settings, trade) = (self.now, &self.settings, &mut self.trades[t]);
        let market = &self.markets[trade.instrument.index()];
        let instrument = &market.instrument;
        let limits = PartLimits {
            min_quantity: instrument.min_quantity,
            min_notional: instrument.min_notional,
            tick_lot_value: market.tick_lot_value,
        };
        let open = trade.open() - trade.exiting();
        let Some(exit) = trade.exit.as_mut() else { return };
        let previous = exit.stop;
        let actions = exit.test(price, now, open, &limits, instrument.tick, settings);
        if actions.stop_hit {
            return self.close(t, ExitSignal::StopLoss, price, out);
        }
        if actions.target_hit {
            return self.close(t, ExitSignal::TakeProfit, price, out);
        }
        if let Some(part) = actions.partial {
            self.say_exit(t, ExitSignal::PartialTp, part, price, out);
            self.send_exit(t, part, price, true, out);
        }
        let mut from = previous;
        for (kind, stop) in actions.moves() {
            self.stop_moved(t, kind, stop, from, out);
            from = stop;
        }
        if actions.time_out {
            return self.close(t, ExitSignal::TimeExit, price, out);
        }
        if from != previous {
            self.maintain(t, out);
        }
    }

    fn stop_moved(&mut self, t: usize, kind: StopMove, stop: Ticks, previous: Ticks, out: &mut Outbox) {
        let trade = &mut self.trades[t];
        trade.protection.urgent |= kind == StopMove::Breakeven;
        let moved = StopMoved { trade: trade.id, stop, previous, kind, side: trade.side(), pad: [0; 6] };
        out.push(trade.instrument, OutputBody::StopMoved(moved));
        let step = match kind {
            StopMove::Breakeven => Step::StopAtBreakeven,
            StopMove::Trailing => Step::StopTrailing,
        };
        self.advance(t, step, out);
    }

    /// The price has been beyond the resting stop for too long without a trigger.
    fn check_stop_grace(&mut self, t: usize, price: Ticks, out: &mut Outbox) {
        let trade = &self.trades[t];
        let Some(since) = trade.protection.beyond_since else { return };
        let triggered = trade.live(Purpose::Stop).any(|order| order.state == OrderState::Triggered);
        if triggered || self.now.since(since) < self.settings.stop_grace_ms * NS_PER_MS {
            return;
        }
        let (id, waited_ms) = (trade.instrument, self.now.since(since) / NS_PER_MS);
        alarm(AlarmKind::StopNotTriggered, trade.id, waited_ms, id, out);
        // The stop stays until the position is gone: both orders only reduce, so at worst one of them
        // finds nothing left, while cancelling first would leave the position bare.
        self.close(t, ExitSignal::StopLoss, price, out);
    }

    /// Closes everything after the breaker tripped.
    pub(super) fn flatten_if_due(&mut self, out: &mut Outbox) {
        if std::mem::take(&mut self.flatten_due) {
            self.flatten(ExitSignal::Flatten, out);
        }
    }

    /// Closes every trade, in order of approval.
    pub(super) fn flatten(&mut self, signal: ExitSignal, out: &mut Outbox) {
        // Closing sends orders and removes nothing; trades go when their fills come.
        for t in 0..self.trades.len() {
            self.close_at_market(t, signal, out);
        }
    }

    /// Closes a trade at whatever the market gives.
    pub(super) fn close_at_market(&mut self, t: usize, signal: ExitSignal, out: &mut Outbox) {
        let trade = &self.trades[t];
        let market = &self.markets[trade.instrument.index()];
        let tested = self.exit_price_now(trade.instrument).map(|tested| tested.price(trade.side()));
        self.close(t, signal, tested.unwrap_or(market.price), out);
    }

    fn close(&mut self, t: usize, signal: ExitSignal, price: Ticks, out: &mut Outbox) {
        self.cancel_entry(t, out);
        let trade = &mut self.trades[t];
        if trade.finished || trade.closing.is_some() {
            return;
        }
        (trade.closing, trade.surplus) = (Some(Closing::by(signal)), None);
        // What a partial exit takes with it at this very price is said by that exit.
        let leaving: i64 = trade.live(Purpose::Exit).map(|order| order.outstanding().0).sum();
        let open = trade.open() - Lots(leaving);
        if open.0 > 0 {
            trade.ended_by.get_or_insert(signal);
            // The exit's own price counts for MFE and MAE, though no rule of exits was tested at it.
            if let Some(exit) = trade.exit.as_mut().filter(|_| price.is_price()) {
                exit.track(price);
            }
            self.say_exit(t, signal, open, price, out);
        }
        self.pursue_close(t, price, out);
    }

    pub(super) fn say_exit(
        &mut self,
        t: usize,
        signal: ExitSignal,
        quantity: Lots,
        price: Ticks,
        out: &mut Outbox,
    ) {
        let trade = &self.trades[t];
        let r = trade.exit.as_ref().map_or(Dec::ZERO, |exit| exit.r_at(price));
        let fired =
            ExitFired { r, trade: trade.id, quantity, price, signal, side: trade.side(), pad: [0; 6] };
        out.push(trade.instrument, OutputBody::ExitFired(fired));
    }

    /// Sends what is still to be closed and not on its way.
    fn pursue_close(&mut self, t: usize, price: Ticks, out: &mut Outbox) {
        let trade = &mut self.trades[t];
        let missing = trade.open() - trade.exiting();
        let Some(closing) = trade.closing.as_mut() else { return };
        if missing.0 <= 0 || closing.attempts >= EXIT_ATTEMPTS_MAX {
            return;
        }
        closing.attempts += 1;
        let signal = closing.signal;
        trade.ended_by.get_or_insert(signal);
        self.send_exit(t, missing, price, false, out);
    }

    fn send_exit(
        &mut self,
        t: usize,
        quantity: Lots,
        price: Ticks,
        partial: bool,
        out: &mut Outbox,
    ) -> OrderId {
        let id = self.next_order_id();
        let order = Order {
            id,
            trade: self.trades[t].id,
            quantity,
            trigger: Ticks::ZERO,
            reference: price,
            side: self.trades[t].side().opposite(),
            kind: OrderKind::Market,
            purpose: Purpose::Exit,
            working_type: WorkingType::ContractPrice,
            reduce_only: true,
            pad: [0; 3],
        };
        self.send(t, order, partial, out);
        id
    }

    /// Brings the orders of a trade to what they should be. Idempotent: called after everything that
    /// changed them.
    pub(super) fn maintain(&mut self, t: usize, out: &mut Outbox) {
        let trade = &self.trades[t];
        let flat = trade.entry.quantity.0 > 0 && trade.open().0 <= 0;
        if flat && !trade.finished && !trade.entry_working() {
            self.finish(t, out);
        }
        if self.trades[t].finished {
            self.cancel(t, Purpose::Stop, out);
            self.cancel(t, Purpose::Exit, out);
            if self.trades[t].is_gone() {
                self.remove_trade(t);
            }
            return;
        }
        if self.trades[t].open().0 <= 0 {
            return;
        }
        self.note_cover(t, out);
        if self.trades[t].closing.is_some() {
            let price = self.markets[self.trades[t].instrument.index()].price;
            self.pursue_close(t, price, out);
        }
        if self.resting_stops {
            self.follow_stop(t, out);
        }
    }

    /// Keeps since when acknowledged stops have covered none of a position, or less than all of it.
    fn note_cover(&mut self, t: usize, out: &mut Outbox) {
        let (now, trade) = (self.now, &mut self.trades[t]);
        let (stopped, covered) = (trade.stopped().0 > 0, trade.is_covered());
        if !covered {
            trade.protection.uncovered_since.get_or_insert(now);
        }
        if !stopped {
            trade.protection.bare_since.get_or_insert(now);
        }
        say_protected(trade, stopped, covered, now, out);
    }

    /// The resting stop follows the engine's: the new one is acknowledged before the old one is
    /// cancelled, so there is no gap; only a venue that refuses a second stop gets the first one back
    /// before (`on_stop_update`).
    fn follow_stop(&mut self, t: usize, out: &mut Outbox) {
        let trade = &self.trades[t];
        let (open, newest) = (trade.open(), trade.live(Purpose::Stop).next_back().copied());
        let Some(exit) = trade.exit.as_ref() else { return };
        match newest {
            // A close on its way needs no new stop; one that got stuck does, but not one after the
            // other while the venue refuses them.
            None if trade.closing.is_some() && (trade.is_leaving() || !self.stop_rested(t)) => {}
            None => self.place_stop(t, exit.stop, open, out),
            // On its way out: what comes next depends on how that ends.
            Some(newest) if newest.cancel_sent.is_some() => {}
            Some(newest) if newest.state == OrderState::Working => {
                self.cancel_older_stops(t, out);
                if self.trades[t].closing.is_none()
                    && self.stop_is_outdated(t, newest.trigger, newest.outstanding())
                {
                    let stop = self.trades[t].exit.as_ref().map_or(newest.trigger, |exit| exit.stop);
                    self.place_stop(t, stop, open, out);
                }
            }
            // The entry filled on before the first stop was answered: the next one need not wait. But one
            // that was refused does, or refusals given at once go round without end.
            Some(newest)
                if newest.state == OrderState::Sent
                    && newest.quantity < open
                    && (trade.protection.urgent || self.stop_rested(t)) =>
            {
                self.place_stop(t, exit.stop, open, out);
            }
            // It may rest or not; another does no harm, and whichever is older goes.
            Some(newest) if self.is_lost(&newest) && self.stop_rested(t) => {
                self.place_stop(t, exit.stop, open, out);
                self.cancel_superseded_stops(t, out);
            }
            // Unanswered, unknown or triggering: wait for the venue's word.
            Some(_) => self.cancel_superseded_stops(t, out),
        }
    }

    /// Of stops that rest, one for all of the position is enough: the newest, while a newer one is in question.
    fn cancel_superseded_stops(&mut self, t: usize, out: &mut Outbox) {
        let trade = &self.trades[t];
        let stands = |order: &&LiveOrder| {
            let rests = order.state == OrderState::Working && order.cancel_sent.is_none();
            rests && order.outstanding() >= trade.open()
        };
        let newest = trade.live(Purpose::Stop).rfind(stands).map(|order| order.id);
        if let Some(newest) = newest {
            self.cancel_stops_before(t, newest, out);
        }
    }

    fn stop_is_outdated(&self, t: usize, trigger: Ticks, quantity: Lots) -> bool {
        let trade = &self.trades[t];
        let Some(exit) = trade.exit.as_ref() else { return false };
        // While a part is being closed the quantity is about to change: one replacement, not two.
        if trade.exiting().0 > 0 {
            return false;
        }
        // Where one was refused at once, the next waits as well.
        let may_follow = trade.protection.urgent || self.stop_rested(t);
        if quantity != trade.open() {
            return may_follow && !is_planted(Bug::StopNotRequantified);
        }
        let distance = (exit.stop - trigger).abs();
        if distance == Ticks::ZERO {
            return false;
        }
        let tick = self.markets[trade.instrument.index()].instrument.tick;
        let far = cmp_products(&[distance.wide(), tick.0, REPLACE_PER_ATR], &[exit.atr.0]);
        trade.protection.urgent
            || (self.stop_rested(t) && far.is_none_or(|order| order != std::cmp::Ordering::Less))
    }

    /// The last stop was not sent just now.
    fn stop_rested(&self, t: usize) -> bool {
        self.trades[t].protection.placed_ns.is_none_or(|at| self.now.since(at) >= REPLACE_EVERY_NS)
    }

    fn place_stop(&mut self, t: usize, trigger: Ticks, quantity: Lots, out: &mut Outbox) {
        let working_type = match self.settings.exit_price {
            ExitPrice::Mark => WorkingType::MarkPrice,
            ExitPrice::Book | ExitPrice::Last => WorkingType::ContractPrice,
        };
        // Exits keep their room among the trade's orders.
        if self.trades[t].live(Purpose::Stop).count() >= STOPS_MAX {
            return;
        }
        let order = Order {
            id: self.next_order_id(),
            trade: self.trades[t].id,
            quantity,
            trigger,
            reference: trigger,
            side: self.trades[t].side().opposite(),
            kind: OrderKind::StopMarket,
            purpose: Purpose::Stop,
            working_type,
            reduce_only: true,
            pad: [0; 3],
        };
        if self.send(t, order, false, out) {
            let protection = &mut self.trades[t].protection;
            (protection.placed_ns, protection.urgent) = (Some(self.now), false);
        }
    }

    /// The newest stop stands: the ones before it go.
    fn cancel_older_stops(&mut self, t: usize, out: &mut Outbox) {
        let newest = self.trades[t].live(Purpose::Stop).next_back().map(|order| order.id);
        if let Some(newest) = newest {
            self.cancel_stops_before(t, newest, out);
        }
    }

    fn cancel_stops_before(&mut self, t: usize, newest: OrderId, out: &mut Outbox) {
        let trade = &mut self.trades[t];
        for order in &mut trade.orders {
            let older =
                order.purpose == Purpose::Stop && order.id < newest && order.state == OrderState::Working;
            if older && order.cancel_sent.is_none() {
                send_cancel(order, self.now, trade.instrument, out);
            }
        }
    }

    /// Deadlines, retries, answers that are due.
    pub(super) fn on_timer(&mut self, out: &mut Outbox) {
        let mut budget = QUESTIONS_MAX;
        // Backwards, because maintaining a trade may remove it.
        for t in (0..self.trades.len()).rev() {
            self.ask_for_answers(t, &mut budget, out);
            self.check_deadline(t, out);
            self.retry_close(t, out);
            if self.exit_rested(t) {
                self.pursue_surplus(t, out);
            }
            let id = self.trades[t].instrument;
            let tested = self.exit_price_now(id).map(|tested| tested.price(self.trades[t].side()));
            if let (Some(price), None) = (tested, self.trades[t].closing) {
                self.check_stop_grace(t, price, out);
            }
            self.maintain(t, out);
        }
        self.check_positions(out);
        self.check_wallet(out);
        self.say_equity(out);
    }

    /// How long a position may lack cover before it is closed: so long that the close is done when the
    /// deadline is over, though the timer that finds it may come late by its interval. Of a very short
    /// deadline the stop gets half.
    fn cover_ms(&self) -> i64 {
        let Settings { protection_deadline_ms: deadline_ms, timer_ms, .. } = self.settings;
        (deadline_ms - timer_ms - CLOSE_MS).max(deadline_ms / 2)
    }

    /// A position that acknowledged stops do not cover is an emergency with a deadline.
    fn check_deadline(&mut self, t: usize, out: &mut Outbox) {
        let trade = &self.trades[t];
        let Some(since) = trade.protection.uncovered_since else { return };
        let bare_ms = self.now.since(self.counted_from(since)) / NS_PER_MS;
        let held = !trade.finished && trade.open().0 > 0 && trade.closing.is_none();
        if !held || bare_ms < self.cover_ms() {
            return;
        }
        let (id, order) = (trade.instrument, trade.id);
        self.fault(AlarmKind::UnprotectedDeadline, TradingState::Reducing, order, bare_ms, id, out);
        self.close_at_market(t, ExitSignal::Unprotected, out);
    }

    /// Orders reach the venue again: closes that were refused for want of a way are not kept waiting.
    pub(super) fn try_closes_again(&mut self, out: &mut Outbox) {
        // Backwards, because maintaining a trade may remove it.
        for t in (0..self.trades.len()).rev() {
            if let Some(closing) = self.trades[t].closing.as_mut() {
                (closing.attempts, closing.refusals) = (0, 0);
                self.maintain(t, out);
            }
        }
    }

    /// The last exit was sent long enough ago for another.
    fn exit_rested(&self, t: usize) -> bool {
        let trade = &self.trades[t];
        let newest = trade.orders.iter().filter(|o| o.purpose == Purpose::Exit).map(|o| o.sent_ns).max();
        let refused = trade.closing.map(|closing| closing.refusals);
        let refused = refused.or(trade.surplus.map(|surplus| surplus.refusals)).unwrap_or(0);
        let rest_ns = EXIT_RETRY_NS * i64::from(refused.clamp(1, EXIT_RETRY_FACTOR_MAX));
        newest.is_none_or(|at| self.now.since(at) >= rest_ns)
    }

    /// Sends the close of what is not ours to keep, unless it is on its way.
    pub(super) fn pursue_surplus(&mut self, t: usize, out: &mut Outbox) {
        let trade = &self.trades[t];
        let Some(surplus) = trade.surplus.filter(|_| trade.closing.is_none() && !trade.finished) else {
            return;
        };
        let missing = surplus.lots.min(trade.open() - trade.exiting());
        if missing.0 <= 0 || trade.order(surplus.order).is_some_and(|order| !order.is_done()) {
            return;
        }
        let price = self.price_to_go(t);
        let order = self.send_exit(t, missing, price, false, out);
        if let Some(surplus) = self.trades[t].surplus.as_mut() {
            surplus.order = order;
        }
    }

    /// The venue refused an exit of the surplus: waits like those of a close, but once not where it was the
    /// stop that stood in its way.
    pub(super) fn on_surplus_refused(&mut self, t: usize, order: OrderId, by_stop: bool, out: &mut Outbox) {
        let surplus = self.trades[t].surplus.as_mut().filter(|surplus| surplus.order == order);
        let Some(surplus) = surplus else { return };
        surplus.refusals = surplus.refusals.saturating_add(1);
        if by_stop && surplus.refusals == 1 {
            self.pursue_surplus(t, out);
        }
    }

    fn retry_close(&mut self, t: usize, out: &mut Outbox) {
        let rested = self.exit_rested(t);
        let trade = &mut self.trades[t];
        let idle = rested && trade.exiting().0 == 0;
        if let Some(closing) = trade.closing.as_mut().filter(|_| idle) {
            closing.attempts = 0;
            let price = self.markets[trade.instrument.index()].price;
            self.pursue_close(t, price, out);
        }
    }
}

/// Ends the times the trade's position, or a part of it, had no acknowledged stop, and says how long
/// they were. `stopped`: some stop stands, or nothing is left to protect; `covered`: for all of it.
pub(super) fn say_protected(trade: &mut Trade, stopped: bool, covered: bool, now: TimeNs, out: &mut Outbox) {
    let by_stop = !trade.finished && trade.open().0 > 0;
    let bare = trade.protection.bare_since.take_if(|_| stopped);
    let uncovered = trade.protection.uncovered_since.take_if(|_| covered);
    // The part is not said again where it is the whole.
    let part = uncovered.filter(|_| bare.is_none());
    for (since, whole) in bare.map(|at| (at, true)).into_iter().chain(part.map(|at| (at, false))) {
        let unprotected_ns = now.since(since);
        let protected = Protected { trade: trade.id, unprotected_ns, by_stop, whole, pad: [0; 6] };
        out.push(trade.instrument, OutputBody::Protected(protected));
    }
}
