//! The venue's word on our orders, and fills. `docs/RULES.md` §6 and §7.

use super::account::say_limits;
use super::{Engine, Outbox, alarm};
use crate::event::{
    AlarmKind, Cancel, EntryFilled, ExitFired, ExitSignal, Fill, FillCause, Order, OrderKind, OrderStatus,
    OrderUpdate, OutputBody, Purpose, Query, TradingState,
};
use crate::num::{Dec, InstrumentId, Lots, NS_PER_SEC, OrderId, Side, Ticks, TimeNs};
use crate::risk::controller::LimitChanges;
use crate::risk::exit::ExitState;
use crate::risk::money;
use crate::trade::{Closing, LiveOrder, OrderState, Step};

/// An order unanswered this long is unknown, and asked for this often.
const ANSWER_DUE_NS: i64 = 5 * NS_PER_SEC;
/// The venue refuses a close while reduce-only orders are open.
const CODE_REDUCE_ONLY_CONFLICT: i32 = -4118;
/// The stop's trigger is already behind the price.
const CODE_WOULD_TRIGGER: i32 = -2021;

impl Engine {
    pub(super) fn find_order(&self, id: InstrumentId, order: OrderId) -> Option<usize> {
        self.trade_index(id).filter(|t| self.trades[*t].order(order).is_some())
    }

    /// Sends an order of a trade. False when the trade has too many unfinished ones.
    pub(super) fn send(&mut self, t: usize, order: Order, partial: bool, out: &mut Outbox) -> bool {
        let (now, trade) = (self.now, &mut self.trades[t]);
        if !trade.make_room() {
            return false;
        }
        trade.orders.push(LiveOrder::sent(&order, partial, now));
        out.push(trade.instrument, OutputBody::Order(order));
        true
    }

    /// Cancels unfinished orders of a purpose. Those on their way out already are left to the timer.
    pub(super) fn cancel(&mut self, t: usize, purpose: Purpose, out: &mut Outbox) {
        let trade = &mut self.trades[t];
        for order in &mut trade.orders {
            if order.purpose == purpose && !order.is_done() && order.cancel_sent.is_none() {
                send_cancel(order, self.now, trade.instrument, out);
            }
        }
    }

    pub(super) fn cancel_entry(&mut self, t: usize, out: &mut Outbox) {
        self.cancel(t, Purpose::Entry, out);
    }

    pub(super) fn on_order_update(&mut self, id: InstrumentId, update: &OrderUpdate, out: &mut Outbox) {
        let Some(t) = self.find_order(id, update.order) else {
            // Final words on orders of trades already gone are expected; anything else is not ours.
            let harmless = matches!(
                update.status,
                OrderStatus::Canceled
                    | OrderStatus::Expired
                    | OrderStatus::Filled
                    | OrderStatus::CancelRejected
            );
            if !harmless {
                alarm(AlarmKind::UnknownOrder, update.order, i64::from(update.code), id, out);
            }
            // It rests at the venue for a trade that is over: an orphan must not stay. But it is no orphan
            // where the venue has a position that we can't explain: then it may be its only stop.
            if self.is_explained(id)
                && matches!(update.status, OrderStatus::Accepted | OrderStatus::Triggered)
            {
                let cancel = Cancel { id: update.order, kind: OrderKind::StopMarket, pad: [0; 7] };
                out.push(id, OutputBody::Cancel(cancel));
            }
            return;
        };
        let now = self.now;
        let Some(known) = self.trades[t].order(update.order).copied() else { return };
        if known.state.is_final() && matches!(update.status, OrderStatus::Accepted | OrderStatus::Triggered) {
            // It counted as over, and rests after all: another has taken its place.
            out.push(id, OutputBody::Cancel(Cancel { id: update.order, kind: known.kind, pad: [0; 7] }));
        }
        if update.code == OrderUpdate::NO_MORE_FILLS {
            return self.on_no_more_fills(t, update.order, out);
        }
        let absent = known.is_absent(update, now)
            || (update.status == OrderStatus::NotFound && self.is_lost_for_good(t, &known));
        let Some(order) = self.trades[t].order_mut(update.order) else { return };
        if update.status == OrderStatus::CancelRejected && !order.state.is_final() {
            ask(order, now, id, out);
        }
        let Some(before) = order.hear(update, absent) else { return };
        let order = *order;
        match order.purpose {
            Purpose::Entry => self.on_entry_update(t, &order, update.code, out),
            // It never was at the venue, which therefore did not refuse it: the next one may go.
            Purpose::Stop
                if order.state == OrderState::Rejected
                    && (absent || update.code == OrderUpdate::NEVER_SENT) => {}
            Purpose::Stop => self.on_stop_update(t, &order, before, update.code, out),
            Purpose::Exit => self.on_exit_update(t, &order, update.code, out),
        }
        self.maintain(t, out);
    }

    fn on_entry_update(&mut self, t: usize, order: &LiveOrder, code: i32, out: &mut Outbox) {
        let trade = &self.trades[t];
        let (id, filled) = (trade.instrument, trade.entry.quantity.0 > 0);
        match order.state {
            OrderState::Unknown if !filled => self.advance(t, Step::AnswerMissing, out),
            OrderState::Working if !filled => self.advance(t, Step::AnsweredPending, out),
            OrderState::Rejected => alarm(AlarmKind::EntryRefused, order.id, i64::from(code), id, out),
            _ => {}
        }
        if order.is_done() && !filled {
            self.end_unfilled(t, out);
        }
    }

    fn end_unfilled(&mut self, t: usize, out: &mut Outbox) {
        self.advance(t, Step::EntryEnded, out);
        self.trades[t].finished = true;
    }

    /// What an order owed is not missing from the position, and will not come.
    fn on_no_more_fills(&mut self, t: usize, order: OrderId, out: &mut Outbox) {
        let Some(order) = self.trades[t].order_mut(order).filter(|order| order.state.is_final()) else {
            return;
        };
        order.settle();
        let trade = &self.trades[t];
        if !trade.finished && trade.entry.quantity == Lots::ZERO && !trade.entry_working() {
            self.end_unfilled(t, out);
        }
        self.maintain(t, out);
    }

    fn on_stop_update(
        &mut self,
        t: usize,
        order: &LiveOrder,
        before: OrderState,
        code: i32,
        out: &mut Outbox,
    ) {
        let trade = &self.trades[t];
        let id = trade.instrument;
        if order.state == OrderState::Rejected {
            alarm(AlarmKind::StopRefused, order.id, i64::from(code), id, out);
        }
        if trade.closing.is_some() || trade.finished {
            return;
        }
        let others = trade.live(Purpose::Stop).next().is_some();
        match order.state {
            // Our own gateway's word: the venue has not seen it. The one that stands stays, and the next
            // follows in a second.
            OrderState::Rejected if others && code > 0 => {}
            OrderState::Rejected => {
                if code == CODE_WOULD_TRIGGER {
                    // The price is already there: the stop has done its work, only late.
                    self.close_at_market(t, ExitSignal::StopLoss, out);
                } else if others {
                    // A venue that refuses a second stop gets the first one back before the next.
                    self.cancel(t, Purpose::Stop, out);
                } else {
                    self.lower(AlarmKind::StopRefused, TradingState::Reducing, out);
                    self.close_at_market(t, ExitSignal::Unprotected, out);
                }
            }
            // It was hit, and the market was too thin for all of it.
            OrderState::Expired | OrderState::Canceled
                if !others && (before == OrderState::Triggered || order.filled.0 > 0) =>
            {
                self.close_at_market(t, ExitSignal::StopLoss, out);
            }
            _ => {}
        }
    }

    fn on_exit_update(&mut self, t: usize, order: &LiveOrder, code: i32, out: &mut Outbox) {
        if order.state != OrderState::Rejected {
            return;
        }
        let id = self.trades[t].instrument;
        alarm(AlarmKind::ExitRefused, order.id, i64::from(code), id, out);
        if let Some(closing) = self.trades[t].closing.as_mut() {
            closing.refusals = closing.refusals.saturating_add(1);
            if code != CODE_REDUCE_ONLY_CONFLICT {
                // The position may be smaller than we know; a timer tries again once fills had time.
                closing.attempts = super::protect::EXIT_ATTEMPTS_MAX;
            }
        }
        if code == CODE_REDUCE_ONLY_CONFLICT {
            self.cancel(t, Purpose::Stop, out);
        }
        self.on_surplus_refused(t, order.id, code == CODE_REDUCE_ONLY_CONFLICT, out);
        let trade = &self.trades[t];
        let minimum = self.markets[id.index()].instrument.min_quantity;
        if trade.open().0 > 0 && trade.open() < minimum {
            alarm(AlarmKind::DustRemainder, trade.id, trade.open().0, id, out);
        }
    }

    /// `at` is when it was filled: earlier than now where the clock went on before it was told.
    pub(super) fn on_fill(&mut self, id: InstrumentId, fill: &Fill, at: TimeNs, out: &mut Outbox) {
        let lots = fill.quantity.0;
        if !is_sane(fill) {
            return self.fault(AlarmKind::Arithmetic, TradingState::Halted, fill.order, lots, id, out);
        }
        if fill.cause == FillCause::Assumed && fill.order.is_none() {
            return self.on_assumed(id, fill, at, out);
        }
        if !self.fills.is_new(id, fill.trade_id) {
            return;
        }
        let found = match fill.cause {
            FillCause::Order | FillCause::Assumed => self.find_order(id, fill.order),
            FillCause::Liquidation | FillCause::Adl | FillCause::Settlement => self.trade_index(id),
        };
        self.note_booked(fill.event_ms);
        match found.filter(|t| self.accepts(*t, fill)) {
            Some(t) => self.book_accepted(t, fill, at, out),
            None => {
                self.count_filled(id, fill.order, fill.side, fill.quantity);
                self.on_unexpected_fill(id, fill, at, out);
                if let Some(t) = self.trade_index(id) {
                    self.maintain(t, out);
                }
            }
        }
    }

    /// An order does not owe what came, whoever it was booked to.
    pub(super) fn count_filled(&mut self, id: InstrumentId, order: OrderId, side: Side, lots: Lots) {
        if let Some(t) = self.find_order(id, order)
            && let Some(order) = self.trades[t].order_mut(order).filter(|order| order.side == side)
        {
            order.filled += lots.min(order.unfilled());
        }
    }

    /// Of an exit that sold more than its trade has, the rest is a position that is nobody's: entry fills
    /// were lost before it, or somebody else closed a part.
    fn book_accepted(&mut self, t: usize, fill: &Fill, at: TimeNs, out: &mut Outbox) {
        let id = self.trades[t].instrument;
        let excess = self.book_within(t, fill, at, out);
        if excess.0 > 0 {
            let rest = Fill { quantity: excess, fee: Dec::ZERO, ..*fill };
            self.on_unexpected_fill(id, &rest, at, out);
        }
    }

    /// Books a fill to its trade; an exit no further than the position it leaves. What goes beyond is
    /// returned, and counts as filled of its order.
    pub(super) fn book_within(&mut self, t: usize, fill: &Fill, at: TimeNs, out: &mut Outbox) -> Lots {
        let excess = self.excess(t, fill);
        if excess == Lots::ZERO {
            self.book_fill(t, fill, at, out);
            return excess;
        }
        let id = self.trades[t].instrument;
        let ours = Fill { quantity: fill.quantity - excess, ..*fill };
        if ours.quantity.0 > 0 {
            self.book_fill(t, &ours, at, out);
        } else {
            self.controller.book(-fill.fee);
        }
        self.count_filled(id, fill.order, fill.side, excess);
        excess
    }

    /// By how much an exit's fill goes beyond the position it leaves.
    fn excess(&self, t: usize, fill: &Fill) -> Lots {
        let trade = &self.trades[t];
        let exits = trade.order(fill.order).is_some_and(|order| order.purpose != Purpose::Entry);
        // What the entry has still to report may have been exited already.
        let entering: i64 = trade.live(Purpose::Entry).map(|entry| entry.outstanding().0).sum();
        let open = trade.open().0.saturating_add(entering).max(0);
        if exits { Lots((fill.quantity.0 - open).max(0)) } else { Lots::ZERO }
    }

    /// Books a fill that a trade accepts.
    fn book_fill(&mut self, t: usize, fill: &Fill, at: TimeNs, out: &mut Outbox) {
        self.controller.book(-fill.fee);
        let order = self.trades[t].order_mut(fill.order).map(|order| {
            order.filled += fill.quantity;
            *order
        });
        match order {
            Some(order) if order.purpose == Purpose::Entry => self.on_entry_fill(t, fill, at, out),
            Some(order) => self.on_exit_fill(t, fill, &order, out),
            None => self.on_forced_fill(t, fill, out),
        }
        self.value_trade(t);
        if fill.cause != FillCause::Assumed {
            self.refresh_equity(out);
        }
        self.maintain(t, out);
    }

    /// Whether a fill can be what it says: of the right side, and no more than its order, or the
    /// position, has left.
    fn accepts(&self, t: usize, fill: &Fill) -> bool {
        let trade = &self.trades[t];
        match trade.order(fill.order) {
            _ if trade.finished => false,
            Some(order) => fill.side == order.side && fill.quantity <= order.unfilled(),
            None => fill.side == trade.side().opposite() && fill.quantity <= trade.held_for(fill.cause),
        }
    }

    fn on_entry_fill(&mut self, t: usize, fill: &Fill, at: TimeNs, out: &mut Outbox) {
        let (settings, trade) = (&self.settings, &mut self.trades[t]);
        let instrument = &self.markets[trade.instrument.index()].instrument;
        let tick = instrument.tick;
        trade.book_entry(fill, instrument, at);
        if let Some(closing) = trade.closing.as_mut() {
            // It fills though it was cancelled: that part is closed at once, too.
            closing.attempts = 0;
        }
        let levels = match trade.exit.as_mut() {
            Some(exit) => exit.refill(trade.entry, tick, settings),
            None => {
                trade.exit = ExitState::open(trade.side(), trade.entry, trade.plan.atr, tick, at, settings);
                trade.exit.is_some().then_some(())
            }
        };
        trade.protection.urgent = true;
        if levels.is_none() {
            // The approved plan had levels; an average that has none is a broken invariant.
            let (id, order) = (trade.instrument, trade.id);
            self.fault(AlarmKind::Arithmetic, TradingState::Halted, order, 0, id, out);
            return self.close_at_market(t, ExitSignal::Unprotected, out);
        }
        self.say_entry_filled(t, out);
        self.advance(t, Step::EntryFilled, out);
    }

    /// The entry so far, and the levels that follow from it.
    pub(super) fn say_entry_filled(&self, t: usize, out: &mut Outbox) {
        let trade = &self.trades[t];
        let tick = self.markets[trade.instrument.index()].instrument.tick;
        let Some(exit) = &trade.exit else { return };
        let filled = EntryFilled {
            entry: trade.entry.to_dec(tick),
            trade: trade.id,
            quantity: trade.entry.quantity,
            stop: exit.stop,
            target: exit.target,
            side: trade.side(),
            pad: [0; 15],
        };
        out.push(trade.instrument, OutputBody::EntryFilled(filled));
    }

    fn on_exit_fill(&mut self, t: usize, fill: &Fill, order: &LiveOrder, out: &mut Outbox) {
        let instrument = self.markets[self.trades[t].instrument.index()].instrument;
        let trade = &mut self.trades[t];
        let reference = if order.purpose == Purpose::Stop { order.trigger } else { order.reference };
        let first = order.filled == fill.quantity;
        if order.purpose == Purpose::Stop && first && trade.closing.is_none() {
            let fired = ExitFired {
                r: trade.exit.as_ref().map_or(Dec::ZERO, |exit| exit.r_at(fill.price)),
                trade: trade.id,
                quantity: order.quantity.min(trade.open().max(fill.quantity)),
                price: fill.price,
                signal: ExitSignal::StopLoss,
                side: trade.side(),
                pad: [0; 6],
            };
            out.push(trade.instrument, OutputBody::ExitFired(fired));
        }
        let trade = &mut self.trades[t];
        trade.book_exit(fill, reference, &instrument);
        if trade.surplus.is_some_and(|surplus| surplus.order == order.id) {
            trade.shrink_surplus(fill.quantity);
        }
        trade.protection.urgent = true;
        if order.purpose == Purpose::Stop {
            trade.ended_by.get_or_insert(ExitSignal::StopLoss);
            if trade.entry_working() && trade.closing.is_none() {
                // Stopped out while still entering: what fills from now on goes the same way.
                trade.closing = Some(Closing::by(ExitSignal::StopLoss));
                self.cancel_entry(t, out);
            }
        }
        let trade = &mut self.trades[t];
        if order.partial {
            trade.had_partial = true;
            self.advance(t, Step::PartFilled, out);
        }
    }

    /// Liquidation, auto-deleveraging, settlement: the venue closed it, and so must the rest be.
    fn on_forced_fill(&mut self, t: usize, fill: &Fill, out: &mut Outbox) {
        let id = self.trades[t].instrument;
        alarm(AlarmKind::ForcedExit, OrderId::NONE, fill.quantity.0, id, out);
        let instrument = self.markets[id.index()].instrument;
        let trade = &mut self.trades[t];
        trade.book_exit(fill, Ticks::ZERO, &instrument);
        trade.ended_by = Some(ExitSignal::Forced);
        self.close_at_market(t, ExitSignal::Forced, out);
    }

    /// The last part is out: the account of the trade.
    pub(super) fn finish(&mut self, t: usize, out: &mut Outbox) {
        let trade = &self.trades[t];
        let (id, signal, after_partial) =
            (trade.instrument, trade.ended_by.unwrap_or(ExitSignal::Manual), trade.had_partial);
        self.trades[t].ended_by = Some(signal);
        self.advance(t, Step::Closed { signal, after_partial }, out);
        let instrument = self.markets[id.index()].instrument;
        let trade = &mut self.trades[t];
        super::protect::say_protected(trade, true, true, self.now, out);
        let account = trade.account(&instrument, self.now);
        trade.finished = true;
        trade.protection.beyond_since = None;
        trade.unrealised = Dec::ZERO;
        // Fees and funding were booked when they came.
        self.controller.book(money::add(money::add(account.pnl, account.fees), -account.funding));
        out.push(id, OutputBody::TradeClosed(account));
        let mut changes = LimitChanges::new();
        self.controller.on_trade_closed(account.pnl, &self.settings, &mut changes);
        say_limits(&changes, out);
        self.refresh_equity(out);
    }

    /// Orders that should have come to something and did not: those without an answer become unknown,
    /// all are asked for, and none is ever sent again. Cancels may be repeated. `budget` bounds what
    /// one timer says; who is left out comes first the next time.
    pub(super) fn ask_for_answers(&mut self, t: usize, budget: &mut usize, out: &mut Outbox) {
        let (now, trade) = (self.now, &mut self.trades[t]);
        let id = trade.instrument;
        let unfilled = trade.entry.quantity.0 == 0;
        let (mut missing, mut lost) = (false, None);
        for order in &mut trade.orders {
            let due = |at: TimeNs| now.since(at) >= ANSWER_DUE_NS;
            if *budget == 0 || order.is_done() {
                continue;
            }
            if order.cancel_sent.is_some_and(due) {
                *budget -= 1;
                send_cancel(order, now, id, out);
            }
            if *budget == 0 || !order.is_in_flight() || !due(order.queried_ns) {
                continue;
            }
            *budget -= 1;
            if order.state == OrderState::Sent {
                order.state = OrderState::Unknown;
                missing |= order.purpose == Purpose::Entry && unfilled;
                alarm(AlarmKind::UnknownOrder, order.id, now.since(order.sent_ns), id, out);
            } else if order.state.is_final() {
                lost = Some(order.id);
            }
            ask(order, now, id, out);
        }
        if missing {
            self.advance(t, Step::AnswerMissing, out);
        }
        if let Some(order) = lost {
            // The venue speaks of fills that do not come: the books can't be right.
            self.fault(AlarmKind::UnknownOrder, TradingState::Reducing, order, 0, id, out);
        }
    }
}

/// A fill that could be one: prices, quantities and fees within what our arithmetic holds.
fn is_sane(fill: &Fill) -> bool {
    let lots = 1..=Lots::QUANTITY_MAX.0;
    fill.price.is_price() && lots.contains(&fill.quantity.0) && money::is_money(fill.fee)
}

pub(super) fn send_cancel(order: &mut LiveOrder, now: TimeNs, id: InstrumentId, out: &mut Outbox) {
    order.cancel_sent = Some(now);
    out.push(id, OutputBody::Cancel(Cancel { id: order.id, kind: order.kind, pad: [0; 7] }));
}

fn ask(order: &mut LiveOrder, now: TimeNs, id: InstrumentId, out: &mut Outbox) {
    order.queried_ns = now;
    let kind: OrderKind = order.kind;
    out.push(id, OutputBody::Query(Query { id: order.id, kind, pad: [0; 7] }));
}
