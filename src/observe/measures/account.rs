//! Measures of the whole account: equity over days, drawdowns.

use super::days::Days;
use super::figures::AccountFigures;
use crate::event::Equity;
use crate::num::{Dec, Rounding, TimeNs};
use crate::observe::Exact;

/// Days of a year that is traded through.
const DAYS_A_YEAR: f64 = 365.0;

/// Equity day by day. Returns are of one UTC day's last equity to the next's, the first day's from the
/// wallet at the start; a day on which nothing happened has a return of 0, and the last one counts as
/// far as it came.
#[derive(Debug, Default)]
pub(super) struct Account {
    start: Option<Dec>,
    equity: Dec,
    day: i64,
    /// At the end of the day before.
    carried: Dec,
    returns: Returns,
    weekly: Dec,
    exposure_max: Dec,
    concurrent_max: u32,
}

impl Account {
    /// The wallet as it is first stated.
    pub fn begin(&mut self, wallet: Dec, now: TimeNs) {
        if self.start.is_none() {
            (self.start, self.equity, self.carried, self.day) = (Some(wallet), wallet, wallet, now.day());
        }
    }

    /// Time passes: days end.
    pub fn pass(&mut self, now: TimeNs) {
        if self.start.is_none() {
            return;
        }
        while self.day < now.day() {
            self.returns.add(self.carried, self.equity);
            self.carried = self.equity;
            self.day += 1;
        }
    }

    pub fn equity(&mut self, said: &Equity) {
        self.equity = said.equity;
        self.weekly = self.weekly.max(said.weekly_drawdown);
        self.exposure_max = self.exposure_max.max(said.exposure);
        self.concurrent_max = self.concurrent_max.max(said.open_positions);
    }

    pub fn figures(&self, equity: Option<Dec>, days: &Days) -> AccountFigures {
        let equity = equity.unwrap_or(self.equity);
        let mut returns = self.returns;
        returns.add(self.carried, equity);
        let percent = |share: Dec| share.round(8, Rounding::HalfEven).to_f64_lossy() * 100.0;
        let (daily, (ledger_checks, ledger_differences)) = (days.worst(), days.compared());
        let start = self.start.unwrap_or(Dec::ZERO);
        let gain = (equity - start).div(start, Rounding::HalfEven).filter(|_| start.0 > 0);
        AccountFigures {
            equity_start: Exact::from(start),
            equity_end: Exact::from(equity),
            return_pct: gain.map(percent),
            max_daily_drawdown: Exact::from(daily),
            max_daily_drawdown_pct: percent(daily),
            ledger_checks,
            ledger_differences,
            // A week's peak is at least each of its days'.
            max_weekly_drawdown_pct: percent(self.weekly.max(daily)),
            sharpe: returns.sharpe(),
            sortino: returns.sortino(),
            returns: returns.count,
            exposure_max: Exact::from(self.exposure_max),
            max_concurrent: self.concurrent_max,
        }
    }
}

/// Daily returns, as far as the ratios need them: mean and spread by Welford's recurrence, which does
/// not lose digits where returns are small.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Returns {
    pub count: u64,
    mean: f64,
    squares: f64,
    downside: f64,
    /// There was no equity to have a return on.
    broken: bool,
}

impl Returns {
    pub fn add(&mut self, from: Dec, to: Dec) {
        if from.0 <= 0 {
            self.broken = true;
            return;
        }
        let (from, to) = (from.to_f64_lossy(), to.to_f64_lossy());
        let change = (to - from) / from;
        self.count += 1;
        let before = change - self.mean;
        self.mean += before / self.count as f64;
        self.squares += before * (change - self.mean);
        self.downside += change.min(0.0).powi(2);
    }

    /// Mean over sample standard deviation, times √365; the riskless return is 0.
    pub fn sharpe(&self) -> Option<f64> {
        let deviation = (self.squares / (self.count.max(2) - 1) as f64).sqrt();
        self.annual(deviation)
    }

    /// Mean over the root mean square of the negative returns, the others counting as 0, times √365.
    pub fn sortino(&self) -> Option<f64> {
        self.annual((self.downside / self.count.max(1) as f64).sqrt())
    }

    fn annual(&self, risk: f64) -> Option<f64> {
        let known = !self.broken && self.count >= 2 && risk > 0.0;
        known.then(|| self.mean / risk * DAYS_A_YEAR.sqrt())
    }
}
