//! The figures as they are printed. What there is nothing to divide by is null.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{DayBeyond, Tally};
use crate::event::Rule;
use crate::num::Dec;
use crate::observe::Exact;

/// What is measured of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    /// Simulated time of the first and of the last event, UTC.
    pub from: String,
    pub to: String,
    pub days: f64,
    pub total: Figures,
    pub account: AccountFigures,
    /// UTC days whose worst drawdown went beyond RM_MAX_DAILY_DD_PCT, and why.
    pub days_beyond_limit: Vec<DayBeyond>,
    /// Of each instrument that had a signal or a position.
    pub instruments: BTreeMap<String, Figures>,
}

/// Measures that one instrument has as all together have them.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    pub signals: u64,
    pub approved: u64,
    /// Approved at a smaller size, by the drawdown of the day.
    pub approvals_in_recovery: u64,
    /// By a row of losses.
    pub approvals_in_streak: u64,
    /// Share of the signals, 0 to 1.
    pub approval_rate: Option<f64>,
    /// Share of the signals of instruments in which nothing was open, 0 to 1.
    pub approval_rate_flat: Option<f64>,
    pub rejected: BTreeMap<&'static str, u64>,
    pub trades_closed: u64,
    pub wins: u64,
    /// Net of all costs above 0, share of closed trades.
    pub win_rate: Option<f64>,
    /// R net of all costs.
    pub avg_r: Option<f64>,
    pub avg_r_winners: Option<f64>,
    pub avg_r_losers: Option<f64>,
    /// Gains over losses.
    pub profit_factor: Option<f64>,
    /// Mean result of a closed trade, quote currency.
    pub expectancy: Option<f64>,
    pub realized_pnl: Exact,
    pub fees: Exact,
    /// Positive was received.
    pub funding: Exact,
    /// Against decision prices; positive is worse.
    pub slippage: Exact,
    /// Share of the run with something open, 0 to 1.
    pub time_in_market: Option<f64>,
    /// Mean over the run of what is open at its entry price, quote currency.
    pub exposure_avg: Option<f64>,
    /// Best and worst excursion of closed trades, in R, to three digits.
    pub mfe_r: Option<Quantiles>,
    pub mae_r: Option<Quantiles>,
    pub r_histogram: Vec<Bin>,
}

/// Measures only the account has.
#[derive(Clone, Debug, Serialize)]
pub struct AccountFigures {
    pub equity_start: Exact,
    /// Open positions marked to the last price.
    pub equity_end: Exact,
    pub return_pct: Option<f64>,
    /// Largest fall from a UTC day's peak, a fraction of it; of every price.
    pub max_daily_drawdown: Exact,
    pub max_daily_drawdown_pct: f64,
    /// How often equity and daily drawdown as the engine says them, and the sum of what a day's fall is
    /// made of, were compared with the account computed here from trades, fills and funding; and how often
    /// they differed: never, unless the wallet was corrected.
    pub ledger_checks: u64,
    pub ledger_differences: u64,
    /// Of one equity a second.
    pub max_weekly_drawdown_pct: f64,
    /// Of daily returns: mean / sample standard deviation × √365, riskless return 0.
    pub sharpe: Option<f64>,
    /// Mean / root mean square of negative returns × √365.
    pub sortino: Option<f64>,
    /// Days the two are of.
    pub returns: u64,
    /// Largest exposure, marked, once a second.
    pub exposure_max: Exact,
    pub max_concurrent: u32,
}

/// Of values in R.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Quantiles {
    pub p10: f64,
    pub p25: f64,
    pub p50: f64,
    pub p75: f64,
    pub p90: f64,
    pub max: f64,
}

/// Trades whose R is at least `from` and below `to`; null is without end.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Bin {
    pub from: Option<f64>,
    pub to: Option<f64>,
    pub count: u64,
}

impl Figures {
    pub(super) fn of(tally: &Tally, span_ns: i64) -> Figures {
        let rejected: u64 = tally.rejected.values().sum();
        let signals = tally.approved + rejected;
        let held = tally.rejected.get(Rule::Position.as_str()).copied().unwrap_or(0);
        let mean = |sum: Dec, count: u64| share(sum.to_f64_lossy(), count as f64);
        let pnl = tally.gains + tally.lost;
        Figures {
            signals,
            approved: tally.approved,
            approvals_in_recovery: tally.approved_in_recovery,
            approvals_in_streak: tally.approved_in_streak,
            approval_rate: share(tally.approved as f64, signals as f64),
            approval_rate_flat: share(tally.approved as f64, (signals - held) as f64),
            rejected: tally.rejected.clone(),
            trades_closed: tally.trades,
            wins: tally.wins,
            win_rate: share(tally.wins as f64, tally.trades as f64),
            avg_r: mean(tally.r_sum, tally.trades),
            avg_r_winners: mean(tally.r_wins, tally.wins),
            avg_r_losers: mean(tally.r_losses, tally.losses),
            profit_factor: share(tally.gains.to_f64_lossy(), -tally.lost.to_f64_lossy()),
            expectancy: mean(pnl, tally.trades),
            realized_pnl: pnl.into(),
            fees: tally.fees.into(),
            funding: tally.funding.into(),
            slippage: tally.slippage.into(),
            time_in_market: share(tally.held.held_ns as f64, span_ns as f64),
            exposure_avg: share(tally.held.area, span_ns as f64),
            mfe_r: tally.mfe.quantiles(),
            mae_r: tally.mae.quantiles(),
            r_histogram: tally.r.bins(),
        }
    }
}

fn share(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| part / whole)
}
