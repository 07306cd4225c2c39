//! GlobalRiskController: the portfolio's ledger, its limits and the trading state.
//! `docs/RULES.md` §4.

use std::cmp::Ordering;

use borsh::{BorshDeserialize, BorshSerialize};

use super::check::{Checks, Observed};
use super::config::Settings;
use super::money;
use super::sizing::Plan;
use crate::event::{AlarmKind, Limit, LimitChanged, Rule, TradingState};
use crate::market::Correlation;
use crate::num::{Dec, NS_PER_DAY, NS_PER_HOUR, OutOfRange, Rounding, Side, TimeNs, all_hold, cmp_products};

/// One open position or pending entry, as the limits see it.
#[derive(Clone, Copy, Debug)]
pub struct Holding {
    pub side: Side,
    /// Same instrument as the candidate.
    pub same_instrument: bool,
    /// |approved − exited| × current price.
    pub exposure: Dec,
    /// What it would lose from the current price if its stop were hit now; at least zero.
    pub stop_loss: Dec,
    /// Of its returns with the candidate's.
    pub correlation: Correlation,
}

/// Peaks and latches of the account.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub struct Controller {
    /// Realised: deposits, fills' results, fees, funding. `None` before the first account event.
    wallet: Option<Dec>,
    unrealised: Dec,
    day: i64,
    week: i64,
    /// Before then neither day nor week ends.
    next_roll: TimeNs,
    day_peak: Dec,
    week_peak: Dec,
    /// Latched until the next day, or week.
    daily_latched: bool,
    weekly_latched: bool,
    /// The breaker trips at most once a day.
    breaker_day: Option<i64>,
    breaker_until: TimeNs,
    recovering: bool,
    losses: u32,
    state: TradingState,
    /// Lowest equity since the day's peak was reached; with the peak, the drawdown to remember.
    trough: Dec,
    /// Of the peaks before this one.
    worst_drawdown: Dec,
}

/// Limits that changed at one event: each of them at most once.
pub type LimitChanges = arrayvec::ArrayVec<LimitChanged, { Limit::ALL.len() }>;

impl Default for Controller {
    fn default() -> Self {
        Controller {
            wallet: None,
            unrealised: Dec::ZERO,
            day: i64::MIN,
            week: i64::MIN,
            next_roll: TimeNs(i64::MIN),
            day_peak: Dec::ZERO,
            week_peak: Dec::ZERO,
            daily_latched: false,
            weekly_latched: false,
            breaker_day: None,
            breaker_until: TimeNs(i64::MIN),
            recovering: false,
            losses: 0,
            state: TradingState::Active,
            trough: Dec::ZERO,
            worst_drawdown: Dec::ZERO,
        }
    }
}

impl Controller {
    /// Times and flags may be any; money is within [`money::MONEY_MAX`].
    pub(crate) fn check(&self) -> Result<(), OutOfRange> {
        let amounts = [self.unrealised, self.day_peak, self.week_peak, self.trough];
        all_hold(&[
            ("controller.wallet", self.wallet.is_none_or(money::is_money)),
            ("controller.unrealised, peaks and trough", amounts.into_iter().all(money::is_money)),
        ])
    }

    pub fn wallet(&self) -> Option<Dec> {
        self.wallet
    }

    /// Wallet + unrealised PnL; `None` before the first account event.
    pub fn equity(&self) -> Option<Dec> {
        self.wallet.map(|wallet| money::add(wallet, self.unrealised))
    }

    /// Highest equity of the UTC day.
    pub fn day_peak(&self) -> Dec {
        self.day_peak
    }

    /// Net losses in a row.
    pub fn losses(&self) -> u32 {
        self.losses
    }

    pub fn state(&self) -> TradingState {
        self.state
    }

    /// Largest drawdown from a day's peak so far, half to even at 18 places.
    pub fn worst_daily_drawdown(&self) -> Dec {
        self.worst_drawdown.max(drawdown(self.day_peak, Some(self.trough)))
    }

    /// A new peak: the drawdown from the one before is settled. One division a recovered loss,
    /// instead of one a price.
    fn set_day_peak(&mut self, equity: Dec) {
        if self.trough < self.day_peak {
            self.worst_drawdown = self.worst_daily_drawdown();
        }
        (self.day_peak, self.trough) = (equity, equity);
    }

    /// Rolls day and week by event time: the peak becomes the equity carried in.
    pub fn roll(&mut self, now: TimeNs, s: &Settings, changes: &mut LimitChanges) {
        if now < self.next_roll {
            return;
        }
        self.day = now.day();
        self.next_roll = TimeNs((self.day + 1).saturating_mul(NS_PER_DAY));
        let equity = self.equity().unwrap_or(Dec::ZERO);
        self.set_day_peak(equity);
        if std::mem::take(&mut self.daily_latched) {
            note(changes, Limit::Daily, false, Dec::ZERO, s.max_daily_dd_pct, TimeNs(0));
        }
        self.leave_recovery(changes, s);
        if now.week() > self.week {
            self.week = now.week();
            self.week_peak = equity;
            if std::mem::take(&mut self.weekly_latched) {
                note(changes, Limit::Weekly, false, Dec::ZERO, s.max_weekly_dd_pct, TimeNs(0));
            }
        }
    }

    /// Our wallet as the venue states it. The first sets both peaks; a later difference shifts them,
    /// since a correction is not a drawdown. Returns the difference.
    pub fn set_wallet(&mut self, wallet: Dec) -> Dec {
        let difference = money::add(wallet, -self.wallet.unwrap_or(Dec::ZERO));
        let first = self.wallet.is_none();
        self.wallet = Some(wallet);
        if first {
            let equity = money::add(wallet, self.unrealised);
            (self.day_peak, self.week_peak, self.trough) = (equity, equity, equity);
        } else {
            self.move_peaks(difference);
        }
        difference
    }

    /// Equity changed by something that is no result: the peaks move with it.
    pub fn move_peaks(&mut self, difference: Dec) {
        if self.wallet.is_some() {
            self.day_peak = money::add(self.day_peak, difference);
            self.trough = money::add(self.trough, difference);
            self.week_peak = money::add(self.week_peak, difference);
        }
    }

    /// Money in or out that is a result: fills, fees, funding.
    pub fn book(&mut self, change: Dec) {
        if let Some(wallet) = self.wallet.as_mut() {
            *wallet = money::add(*wallet, change);
        }
    }

    /// Unrealised PnL of everything open.
    pub fn set_unrealised(&mut self, unrealised: Dec) {
        self.unrealised = unrealised;
    }

    /// A trade closed with this net result.
    pub fn on_trade_closed(&mut self, pnl: Dec, s: &Settings, changes: &mut LimitChanges) {
        let was = self.on_streak(s);
        self.losses = if pnl.is_negative() { self.losses.saturating_add(1) } else { 0 };
        let is = self.on_streak(s);
        if was != is {
            let threshold = Dec::int(s.losing_streak_threshold.into());
            note(changes, Limit::Streak, is, Dec::int(self.losses.into()), threshold, TimeNs(0));
        }
    }

    fn on_streak(&self, s: &Settings) -> bool {
        s.enable_streak_protection && self.losses >= s.losing_streak_threshold
    }

    /// Raises peaks and latches limits after equity changed. True when the breaker tripped just now.
    pub fn update_limits(&mut self, now: TimeNs, s: &Settings, changes: &mut LimitChanges) -> bool {
        let Some(equity) = self.equity() else { return false };
        if equity > self.day_peak {
            self.set_day_peak(equity);
        }
        self.trough = self.trough.min(equity);
        self.week_peak = self.week_peak.max(equity);
        if exceeds(self.day_peak, equity, s.max_daily_dd_pct) && !self.daily_latched {
            self.daily_latched = true;
            note(changes, Limit::Daily, true, self.daily_drawdown(), s.max_daily_dd_pct, TimeNs(0));
        }
        if exceeds(self.week_peak, equity, s.max_weekly_dd_pct) && !self.weekly_latched {
            self.weekly_latched = true;
            note(changes, Limit::Weekly, true, self.weekly_drawdown(), s.max_weekly_dd_pct, TimeNs(0));
        }
        let recovering = s.enable_recovery_mode && exceeds(self.day_peak, equity, s.recovery_threshold_pct);
        if recovering && !self.recovering {
            self.recovering = true;
            note(changes, Limit::Recovery, true, self.daily_drawdown(), s.recovery_threshold_pct, TimeNs(0));
        } else if !recovering {
            self.leave_recovery(changes, s);
        }
        self.trip_breaker(now, equity, s, changes)
    }

    fn leave_recovery(&mut self, changes: &mut LimitChanges, s: &Settings) {
        if std::mem::take(&mut self.recovering) {
            note(changes, Limit::Recovery, false, self.daily_drawdown(), s.recovery_threshold_pct, TimeNs(0));
        }
    }

    fn trip_breaker(&mut self, now: TimeNs, equity: Dec, s: &Settings, changes: &mut LimitChanges) -> bool {
        let exceeded = s.enable_circuit_breaker && exceeds(self.day_peak, equity, s.circuit_breaker_loss_pct);
        if !exceeded || self.breaker_day == Some(self.day) {
            return false;
        }
        self.breaker_day = Some(self.day);
        let cooldown = s.circuit_breaker_cooldown_hours.0.saturating_mul(NS_PER_HOUR.into()) / Dec::ONE.0;
        self.breaker_until = now + i64::try_from(cooldown).unwrap_or(i64::MAX);
        let daily = self.daily_drawdown();
        note(changes, Limit::CircuitBreaker, true, daily, s.circuit_breaker_loss_pct, self.breaker_until);
        true
    }

    /// (peak − equity) / peak, half to even at 18 places; zero without equity.
    pub fn daily_drawdown(&self) -> Dec {
        drawdown(self.day_peak, self.equity())
    }

    pub fn weekly_drawdown(&self) -> Dec {
        drawdown(self.week_peak, self.equity())
    }

    /// Product of the factors on risk; exact at 12 places.
    pub fn risk_multiplier(&self, s: &Settings) -> Dec {
        // By the drawdown of now: a flag from the last price would outlive the day.
        let equity = self.equity().unwrap_or(self.day_peak);
        let recovering = s.enable_recovery_mode && exceeds(self.day_peak, equity, s.recovery_threshold_pct);
        let recovery = if recovering { s.recovery_risk_mult } else { Dec::ONE };
        let streak = if self.on_streak(s) { s.streak_risk_reduction } else { Dec::ONE };
        recovery.mul(streak, Rounding::HalfEven).unwrap_or(Dec::ZERO)
    }

    /// Rules 1 to 3, 5, 8 and 10 of §4: may there be another trade at all?
    pub fn may_enter(
        &self,
        side: Side,
        now: TimeNs,
        holdings: &[Holding],
        s: &Settings,
        checks: &mut Checks,
    ) -> bool {
        let open = holdings.len() as i64;
        let same = holdings.iter().any(|h| h.same_instrument);
        (!s.enable_circuit_breaker
            || checks.note(
                Rule::CircuitBreaker,
                now >= self.breaker_until,
                Observed::Number(self.daily_drawdown()),
                Observed::Number(s.circuit_breaker_loss_pct),
            ))
            && checks.note(
                Rule::DailyDrawdown,
                !self.daily_latched,
                Observed::Number(self.daily_drawdown()),
                Observed::Number(s.max_daily_dd_pct),
            )
            && checks.note(
                Rule::WeeklyDrawdown,
                !self.weekly_latched,
                Observed::Number(self.weekly_drawdown()),
                Observed::Number(s.max_weekly_dd_pct),
            )
            && checks.note(
                Rule::Concurrent,
                open < i64::from(s.max_concurrent_trades),
                Observed::count(open),
                Observed::count(s.max_concurrent_trades.into()),
            )
            && checks.note(Rule::Position, !same, Observed::count(same.into()), Observed::count(0))
            && uncorrelated(side, holdings, s, checks)
            && self.is_active(checks)
    }

    /// Rule 10 of §4.
    pub fn is_active(&self, checks: &mut Checks) -> bool {
        checks.note(
            Rule::TradingState,
            self.state == TradingState::Active,
            Observed::State(self.state),
            Observed::State(TradingState::Active),
        )
    }

    /// Rules 6 and 9 of §4: does the sized trade fit beside what is open?
    pub fn fits(&self, plan: &Plan, holdings: &[Holding], s: &Settings, checks: &mut Checks) -> bool {
        let Some(equity) = self.equity() else { return false };
        let exposure = money::add(money::sum(holdings.iter().map(|h| h.exposure)), plan.notional);
        let order = cmp_products(&[exposure.0, Dec::ONE.0], &[equity.0, s.max_exposure_pct.0]);
        let limit = equity.mul(s.max_exposure_pct, Rounding::Floor).unwrap_or(Dec::ZERO);
        if !checks.note_option(
            Rule::Exposure,
            order.map(|o| o != Ordering::Greater),
            Observed::Number(exposure),
            Observed::Number(limit),
        ) {
            return false;
        }
        if !s.enable_open_risk {
            return true;
        }
        let stops = money::sum(holdings.iter().map(|h| h.stop_loss));
        let at_risk = money::add(money::add(money::add(self.day_peak, -equity), stops), plan.risk);
        let order = cmp_products(&[at_risk.0, Dec::ONE.0], &[self.day_peak.0, s.max_daily_dd_pct.0]);
        let limit = self.day_peak.mul(s.max_daily_dd_pct, Rounding::Floor).unwrap_or(Dec::ZERO);
        checks.note_option(
            Rule::OpenRisk,
            order.map(|o| o != Ordering::Greater),
            Observed::Number(at_risk),
            Observed::Number(limit),
        )
    }

    /// A safety fault, or the operator: only ever down. Returns the state left, if it changed.
    pub fn lower(&mut self, to: TradingState) -> Option<TradingState> {
        (to > self.state).then(|| std::mem::replace(&mut self.state, to))
    }

    /// A start goes on as the one before it stood before it was told to end. Returns the state left, if it
    /// changed.
    pub fn go_on_as(&mut self, state: TradingState) -> Option<TradingState> {
        (state != self.state).then(|| std::mem::replace(&mut self.state, state))
    }

    /// The operator alone moves it up.
    pub fn resume(&mut self, by: AlarmKind) -> Option<TradingState> {
        let allowed = by == AlarmKind::Operator && self.state != TradingState::Active;
        allowed.then(|| std::mem::replace(&mut self.state, TradingState::Active))
    }
}

/// Signed correlation with every open position: a hedge never fails.
fn uncorrelated(side: Side, holdings: &[Holding], s: &Settings, checks: &mut Checks) -> bool {
    if s.max_correlation == Dec::ONE || holdings.is_empty() {
        return true;
    }
    let limit = s.max_correlation;
    let sign = |h: &Holding| if h.side == side { 1 } else { -1 };
    let worst = holdings.iter().find(|h| h.correlation.at_most(sign(h), limit) != Some(true));
    // Compared squared: ρ × |ρ| against the threshold's square.
    let observed = worst.map_or(Observed::Number(Dec::ZERO), |h| {
        h.correlation.signed_square(sign(h)).map_or(Observed::Missing, Observed::Number)
    });
    let squared = limit.mul(limit, Rounding::HalfEven).unwrap_or(Dec::ONE);
    checks.note(Rule::Correlation, worst.is_none(), observed, Observed::Number(squared))
}

/// (peak − equity) / peak > limit, multiplied out. Looked at on every price of an open position;
/// settings have six places, and in millionths both products fit the native width. Of a peak that is
/// not positive there is no drawdown.
fn exceeds(peak: Dec, equity: Dec, limit: Dec) -> bool {
    if equity >= peak {
        return false;
    }
    let (one, millionths) = (10i128.pow(6), limit.0 / 10i128.pow(12));
    let order = || cmp_products(&[(peak - equity).0, one], &[millionths, peak.0]);
    peak.0 > 0 && order().is_none_or(|o| o == Ordering::Greater)
}

fn drawdown(peak: Dec, equity: Option<Dec>) -> Dec {
    let Some(equity) = equity.filter(|_| peak.0 > 0) else { return Dec::ZERO };
    (peak - equity).div(peak, Rounding::HalfEven).unwrap_or(Dec::ZERO).max(Dec::ZERO)
}

fn note(
    changes: &mut LimitChanges,
    limit: Limit,
    active: bool,
    observed: Dec,
    threshold: Dec,
    until_ns: TimeNs,
) {
    // One change a limit and event; the list has room for each.
    let _ = changes.try_push(LimitChanged { observed, threshold, until_ns, limit, active, pad: [0; 6] });
}

#[cfg(test)]
mod tests;
