//! The ledger: marking to market, limits, the venue's word on the wallet. `docs/RULES.md` §4.

use super::{Engine, Outbox, alarm};
use crate::event::{
    AccountReason, AccountUpdate, AlarmKind, Equity, LimitChanged, OutputBody, Reconcile, TradingState,
    VenuePosition,
};
use crate::num::{Dec, InstrumentId, NS_PER_SEC, OrderId, Ticks};
use crate::risk::controller::LimitChanges;

/// Equity is said at most this often.
const EQUITY_EVERY_NS: i64 = NS_PER_SEC;

impl Engine {
    /// The instrument's price moved: values its trade, raises peaks, latches limits. True when the
    /// breaker tripped just now.
    pub(super) fn mark_to_market(&mut self, id: InstrumentId, out: &mut Outbox) -> bool {
        let Some(t) = self.trade_index(id) else { return false };
        self.value_trade(t);
        self.refresh_equity(out)
    }

    /// Unrealised PnL of a trade at its instrument's last price.
    pub(super) fn value_trade(&mut self, t: usize) {
        let trade = &mut self.trades[t];
        let market = &self.markets[trade.instrument.index()];
        let price = if market.price == Ticks::ZERO { trade.plan.price } else { market.price };
        let value = if trade.finished {
            Some(Dec::ZERO)
        } else {
            market.instrument.money(trade.gross_tick_lots(price))
        };
        trade.unrealised = value.unwrap_or(trade.unrealised);
    }

    pub(super) fn refresh_equity(&mut self, out: &mut Outbox) -> bool {
        let unrealised = self.trades.iter().map(|trade| trade.unrealised.0).sum();
        self.controller.set_unrealised(Dec(unrealised));
        let mut changes = LimitChanges::new();
        let tripped = self.controller.update_limits(self.now, &self.settings, &mut changes);
        say_limits(&changes, out);
        tripped
    }

    pub(super) fn on_account(&mut self, id: InstrumentId, update: &AccountUpdate, out: &mut Outbox) {
        match update.reason {
            AccountReason::Snapshot | AccountReason::Transfer => {
                self.controller.set_wallet(update.wallet);
            }
            AccountReason::Funding => {
                self.controller.book(update.change);
                if let Some(t) = self.trade_index(id) {
                    self.trades[t].funding += update.change;
                }
            }
            // Fills are booked from the fills themselves; this only checks the sum.
            AccountReason::Order | AccountReason::Adjustment => self.check_wallet(update.wallet, out),
        }
        self.refresh_equity(out);
    }

    /// With nothing open our wallet and the venue's must be the same number; a difference is taken
    /// over, said, and no drawdown.
    fn check_wallet(&mut self, wallet: Dec, out: &mut Outbox) {
        let flat = self.trades.iter().all(|trade| trade.finished || trade.entry.quantity.0 == 0);
        if !flat || self.controller.wallet() == Some(wallet) {
            return;
        }
        let difference = self.controller.set_wallet(wallet);
        let cents = i64::try_from(difference.0 / 10i128.pow(10)).unwrap_or(i64::MAX);
        alarm(AlarmKind::WalletDiffers, OrderId::NONE, cents, InstrumentId::NONE, out);
    }

    /// The venue's position against ours, once nothing is on its way.
    pub(super) fn on_venue_position(&mut self, id: InstrumentId, position: &VenuePosition, out: &mut Outbox) {
        let trade = self.trade_index(id).map(|t| &self.trades[t]);
        if trade.is_some_and(|trade| trade.orders.iter().any(|order| !order.is_done())) {
            return;
        }
        let ours = trade.map_or(0, |trade| trade.open().0 * trade.side().sign());
        let difference = position.quantity.0.saturating_sub(ours);
        if difference != 0 {
            self.fault(AlarmKind::UnexpectedFill, TradingState::Halted, OrderId::NONE, difference, id, out);
        }
    }

    pub(super) fn on_reconcile(&mut self, id: InstrumentId, found: &Reconcile, out: &mut Outbox) {
        if let Some(wallet) = self.controller.wallet() {
            self.controller.set_wallet(wallet + found.wallet_difference);
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
        let exposure: i128 = self
            .trades
            .iter()
            .filter(|t| !t.finished)
            .map(|trade| {
                let market = &self.markets[trade.instrument.index()];
                market.instrument.money(market.price.wide() * trade.committed().wide()).unwrap_or(Dec::ZERO).0
            })
            .sum();
        let body = Equity {
            equity,
            wallet: self.controller.wallet().unwrap_or(Dec::ZERO),
            daily_drawdown: self.controller.daily_drawdown(),
            weekly_drawdown: self.controller.weekly_drawdown(),
            exposure: Dec(exposure),
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
