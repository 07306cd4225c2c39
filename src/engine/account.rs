//! The ledger: marking to market, limits, the venue's word on the wallet. `docs/RULES.md` §4.

use borsh::{BorshDeserialize, BorshSerialize};

use super::{Engine, Outbox, alarm};
use crate::event::{
    AccountReason, AccountUpdate, AlarmKind, Equity, LimitChanged, OutputBody, Reconcile, TradingState,
    VenuePosition,
};
use crate::market::SKEW_NS_MAX;
use crate::num::{Dec, InstrumentId, Lots, Millis, NS_PER_SEC, OrderId, Ticks, TimeNs};
use crate::risk::controller::LimitChanges;
use crate::risk::money;
use crate::trade::Trade;

/// Equity is said at most this often.
const EQUITY_EVERY_NS: i64 = NS_PER_SEC;
/// A wallet the venue states otherwise for so long, with nothing held, is a difference.
const WALLET_DISPUTE_NS: i64 = 3 * NS_PER_SEC;
/// So is a position, with nothing on its way. The gateway asks for what explains it, and finds it or
/// concludes it well before.
const DISPUTE_NS: i64 = 30 * NS_PER_SEC;

/// The venue states another position than ours.
#[derive(Clone, Copy, Debug, PartialEq, BorshSerialize, BorshDeserialize)]
pub(super) struct Dispute {
    since: TimeNs,
    stated: Lots,
    /// The operator was told. It stays, for what rests there may be the position's only stop.
    pub said: bool,
}

/// The venue states another wallet than ours.
#[derive(Clone, Copy, Debug, PartialEq, BorshSerialize, BorshDeserialize)]
pub(super) struct WalletDispute {
    since: TimeNs,
    /// By how much more than ours. What moves both leaves it as it is.
    by: Option<Dec>,
}

/// The venue rounds what a closed part cost at its eighth place; a part is a lot at least.
const ROUNDED_A_PART: Dec = Dec::new(1, 8);
/// Parts that count: no trade is closed in more, and of many lots rounding must not hide what is missing.
const ROUNDED_PARTS_MAX: i64 = 1_000;

impl Engine {
    /// The instrument's price moved: values its trade, raises peaks, latches limits.
    pub(super) fn mark_to_market(&mut self, id: InstrumentId, out: &mut Outbox) {
        let Some(t) = self.trade_index(id) else { return };
        self.value_trade(t);
        self.refresh_equity(out);
    }

    /// Unrealised PnL of a trade at its instrument's last price.
    pub(super) fn value_trade(&mut self, t: usize) {
        let trade = &mut self.trades[t];
        let market = &self.markets[trade.instrument.index()];
        let price = if market.price == Ticks::ZERO { trade.plan.price } else { market.price };
        trade.unrealised = if trade.finished {
            Dec::ZERO
        } else {
            money::worth(market.tick_lot_value, trade.gross_tick_lots(price))
        };
    }

    pub(super) fn refresh_equity(&mut self, out: &mut Outbox) {
        self.controller.set_unrealised(money::sum(self.trades.iter().map(|trade| trade.unrealised)));
        let mut changes = LimitChanges::new();
        let tripped = self.controller.update_limits(self.now, &self.settings, &mut changes);
        self.flatten_due |= tripped && self.settings.circuit_breaker_flatten;
        say_limits(&changes, out);
    }

    pub(super) fn on_account(&mut self, id: InstrumentId, update: &AccountUpdate, out: &mut Outbox) {
        if !money::is_money(update.wallet) || !money::is_money(update.change) {
            return self.fault(AlarmKind::Arithmetic, TradingState::Halted, OrderId::NONE, 0, id, out);
        }
        (self.stated_wallet, self.stated_ms) = (Some(update.wallet), update.event_ms);
        match update.reason {
            AccountReason::Snapshot => self.take_wallet(update.wallet, true, out),
            // It is the owner's money that moved, and nobody's mistake.
            AccountReason::Transfer => self.take_wallet(update.wallet, false, out),
            AccountReason::Funding => {
                self.note_booked(update.event_ms);
                self.controller.book(update.change);
                if let Some(t) = self.trade_index(id) {
                    let trade = &mut self.trades[t];
                    trade.funding = money::add(trade.funding, update.change);
                }
            }
            // Fills are booked from the fills themselves, which may come later than this. A timer
            // compares once nothing is on its way.
            AccountReason::Order | AccountReason::Adjustment => {}
        }
        self.refresh_equity(out);
    }

    /// The venue's wallet becomes ours. It holds the results of parts already closed, which ours
    /// takes in when the trade ends.
    fn take_wallet(&mut self, stated: Dec, say: bool, out: &mut Outbox) {
        let parts = self.trades.iter().filter(|trade| !trade.finished).map(|trade| trade.realised);
        let wallet = money::add(stated, -money::sum(parts));
        let before = self.controller.wallet();
        let difference = self.controller.set_wallet(wallet);
        if say && before.is_some() && difference != Dec::ZERO {
            let cents = i64::try_from(difference.0 / 10i128.pow(10)).unwrap_or(i64::MAX);
            alarm(AlarmKind::WalletDiffers, OrderId::NONE, cents, InstrumentId::NONE, out);
        }
    }

    /// With nothing on its way our wallet and the venue's must be the same number, but for what the venue
    /// rounds while parts of a position are closed; a difference is taken over, said, and no drawdown.
    pub(super) fn check_wallet(&mut self, out: &mut Outbox) {
        let (now, ours) = (self.now, self.wallet_with_parts());
        let parts = |trade: &Trade| i128::from(trade.exited.0.min(ROUNDED_PARTS_MAX));
        let moving = self.recovering || self.trades.iter().any(|trade| self.moves_wallet(trade));
        let rounded: i128 =
            self.trades.iter().filter(|t| !t.finished).map(|t| parts(t) * ROUNDED_A_PART.0).sum();
        let differs = |stated: &Dec| ours.is_none_or(|ours| (ours.0 - stated.0).abs() > rounded);
        let Some(stated) = self.stated_wallet.filter(differs) else {
            self.wallet_differs = None;
            return;
        };
        // It may be of before the newest fills; and the report that would settle it may be a moment behind.
        if moving || self.stated_ms < self.booked_ms {
            return;
        }
        let by = ours.map(|ours| money::add(stated, -ours));
        let same = self.wallet_differs.filter(|dispute| dispute.by == by);
        let dispute = *self.wallet_differs.insert(same.unwrap_or(WalletDispute { since: now, by }));
        if now.since(dispute.since) >= WALLET_DISPUTE_NS {
            self.wallet_differs = None;
            self.take_wallet(stated, true, out);
            self.refresh_equity(out);
        }
    }

    /// Our wallet has in it what happened then. A time from beyond an hour ahead is no clock's, and must not
    /// keep every statement after it from being compared.
    pub(super) fn note_booked(&mut self, event_ms: Millis) {
        if TimeNs::from_ms(event_ms).since(self.now) <= SKEW_NS_MAX {
            self.booked_ms = self.booked_ms.max(event_ms);
        }
    }

    /// Ours as the venue counts it: with the results of parts already closed.
    fn wallet_with_parts(&self) -> Option<Dec> {
        let parts = self.trades.iter().filter(|trade| !trade.finished).map(|trade| trade.realised);
        self.controller.wallet().map(|wallet| money::add(wallet, money::sum(parts)))
    }

    /// The venue's word on a position. It may come before the fills it speaks of, so a difference
    /// becomes one only when it lasts.
    pub(super) fn on_venue_position(&mut self, id: InstrumentId, position: &VenuePosition) {
        let expected = self.expected_position(id);
        let now = self.now;
        let stated = position.quantity;
        if let Some(disputed) = self.disputed.get_mut(id.index()) {
            // One that was said begins anew where the venue states yet another.
            let before = disputed.filter(|dispute| !dispute.said || dispute.stated == stated);
            let Dispute { since, said, .. } = before.unwrap_or(Dispute { since: now, stated, said: false });
            *disputed = (stated != expected).then_some(Dispute { since, stated, said });
        }
    }

    /// What the venue has of a position as far as it has said, where that is not ours alone.
    pub fn disputed(&self, id: InstrumentId) -> Option<Lots> {
        let dispute = self.disputed.get(id.index()).copied().flatten();
        let expected = self.expected_position(id);
        let stated = dispute.map_or(expected, |dispute| dispute.stated);
        Some(stated).filter(|stated| stated.0 != self.signed_position(id))
    }

    /// Whether the venue's position is ours, or none, as far as it has stated one.
    pub(super) fn is_explained(&self, id: InstrumentId) -> bool {
        self.disputed(id).is_none_or(|stated| stated == Lots::ZERO)
    }

    /// The venue was silent, and is heard again: what it stated counts from here.
    pub(super) fn renew_disputes(&mut self) {
        let now = self.now;
        self.disputed.iter_mut().flatten().for_each(|dispute| dispute.since = now);
    }

    fn signed_position(&self, id: InstrumentId) -> i64 {
        let trade = self.trade_index(id).map(|t| &self.trades[t]).filter(|trade| !trade.finished);
        trade.map_or(0, |trade| trade.open().0 * trade.side().sign())
    }

    /// What the venue has to state: our position, and what was left alone beside it.
    fn expected_position(&self, id: InstrumentId) -> Lots {
        let left_alone = self.left_alone.get(id.index()).copied().unwrap_or(Lots::ZERO);
        Lots(self.signed_position(id).saturating_add(left_alone.0))
    }

    /// Positions the venue still states otherwise, though nothing is on its way.
    pub(super) fn check_positions(&mut self, out: &mut Outbox) {
        if self.recovering || self.unheard_since.is_some() {
            return; // the fills that explain them are still asked for
        }
        for index in 0..self.disputed.len() {
            let Some(dispute) = self.disputed.get(index).copied().flatten() else { continue };
            let id = InstrumentId(index as u16);
            let expected = self.expected_position(id);
            let in_flight = self
                .trade_index(id)
                .is_some_and(|t| self.trades[t].orders.iter().any(|o| o.is_in_flight() && !self.is_lost(o)));
            if dispute.stated == expected {
                self.disputed[index] = None;
            } else if !dispute.said && !in_flight && self.now.since(dispute.since) >= DISPUTE_NS {
                self.disputed[index] = Some(Dispute { said: true, ..dispute });
                let difference = dispute.stated.0.saturating_sub(expected.0);
                let (kind, to) = (AlarmKind::UnexpectedFill, TradingState::Halted);
                // One a timer: what is said at one event is bounded.
                return self.fault(kind, to, OrderId::NONE, difference, id, out);
            }
        }
    }

    /// Whether what a trade has on its way may move the wallet: not what the venue can't find any more, nor,
    /// once nothing is left to reduce, what only reduces and has not filled.
    fn moves_wallet(&self, trade: &Trade) -> bool {
        let mut in_flight = trade.orders.iter().filter(|order| order.is_in_flight() && !self.is_lost(order));
        in_flight.any(|order| !trade.finished || order.reported > order.filled)
    }

    pub(super) fn on_reconcile(&mut self, id: InstrumentId, found: &Reconcile, out: &mut Outbox) {
        if !money::is_money(found.wallet_difference) {
            return self.fault(AlarmKind::Arithmetic, TradingState::Halted, OrderId::NONE, 0, id, out);
        }
        if let Some(wallet) = self.controller.wallet() {
            self.controller.set_wallet(money::add(wallet, found.wallet_difference));
        }
        if found.position_difference != 0 {
            let lots = found.position_difference;
            self.fault(AlarmKind::UnexpectedFill, TradingState::Halted, OrderId::NONE, lots, id, out);
        }
        self.refresh_equity(out);
    }

    /// Says equity when it changed, at most once a second.
    pub(super) fn say_equity(&mut self, out: &mut Outbox) {
        let Some(equity) = self.controller.equity() else { return };
        let (said_at, said) = self.equity_shown;
        if equity == said || self.now.since(said_at) < EQUITY_EVERY_NS {
            return;
        }
        self.equity_shown = (self.now, equity);
        let open = self.trades.iter().filter(|t| !t.finished && t.open().0 > 0).count();
        let pending = self.trades.iter().filter(|t| !t.finished && t.open().0 == 0).count();
        let exposure = money::sum(self.trades.iter().filter(|t| !t.finished).map(|trade| {
            let market = &self.markets[trade.instrument.index()];
            money::worth(market.tick_lot_value, market.price.wide() * trade.committed().wide())
        }));
        let body = Equity {
            equity,
            wallet: self.controller.wallet().unwrap_or(Dec::ZERO),
            daily_drawdown: self.controller.daily_drawdown(),
            weekly_drawdown: self.controller.weekly_drawdown(),
            exposure,
            open_positions: open as u32,
            pending_entries: pending as u32,
            pad: [0; 8],
        };
        out.push(InstrumentId::NONE, OutputBody::Equity(body));
    }
}

pub(super) fn say_limits(changes: &[LimitChanged], out: &mut Outbox) {
    for change in changes {
        out.push(InstrumentId::NONE, OutputBody::LimitChanged(*change));
    }
}
