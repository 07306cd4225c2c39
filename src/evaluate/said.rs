//! The lines out. Keys stand in the order they are printed in.

use serde::Serialize;

use crate::event::{Decision, EntryFilled, ExitFired, Instrument, Rule, StopMoved, TradeClosed};
use crate::num::{Dec, Rounding, Ticks, mul_div};
use crate::risk::check::{Check, Observed};
use crate::risk::sizing::Plan;

/// Places of prices and money at least, and of ratios exactly.
const MONEY_PLACES: u32 = 2;
const RATIO_PLACES: u32 = 8;

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Said<'a> {
    Decision {
        symbol: &'a str,
        action: &'a str,
        approved: bool,
        #[serde(flatten)]
        size: Sized,
        reason: Option<String>,
        checks: Vec<Checked>,
    },
    Filled {
        symbol: &'a str,
        quantity: String,
        entry: String,
        stop_loss: String,
        take_profit: String,
    },
    Exit {
        symbol: &'a str,
        signal: &'a str,
        quantity: String,
        price: String,
        r: String,
    },
    StopMoved {
        symbol: &'a str,
        kind: &'a str,
        stop: String,
    },
    Closed {
        symbol: &'a str,
        pnl: String,
        r_multiple: String,
        mfe: String,
        mae: String,
        state: &'a str,
    },
    Reset,
    Error {
        line: u64,
        error: String,
    },
}

/// What a trade would be; all `null` in a rejection.
#[derive(Serialize, Default)]
pub(super) struct Sized {
    quantity: Option<String>,
    notional: Option<String>,
    entry: Option<String>,
    stop_loss: Option<String>,
    take_profit: Option<String>,
    risk: Option<String>,
    risk_pct: Option<String>,
    reward_risk: Option<String>,
}

/// A rule that was looked at. Nothing observed, or nothing to compare it with, is `null`.
#[derive(Serialize)]
pub(super) struct Checked {
    rule: &'static str,
    passed: bool,
    observed: Option<String>,
    threshold: Option<String>,
}

impl Sized {
    /// Of an approval: the plan, and the decision that holds the equity it was sized by.
    pub fn of(plan: &Plan, decision: &Decision, row: &Instrument) -> Sized {
        let (reward, distance) = ((plan.target - plan.price).abs(), (plan.price - plan.stop).abs());
        Sized {
            quantity: Some(row.format_quantity(plan.quantity)),
            notional: Some(money(plan.notional)),
            entry: Some(price(row, plan.price)),
            stop_loss: Some(price(row, plan.stop)),
            take_profit: Some(price(row, plan.target)),
            risk: Some(money(plan.risk)),
            risk_pct: Some(ratio(plan.risk.0, decision.threshold.0)),
            reward_risk: Some(ratio(reward.wide(), distance.wide())),
        }
    }
}

impl Checked {
    /// `None` of rules about what scenarios do not model.
    pub fn of(check: &Check, row: &Instrument) -> Option<Checked> {
        let modelled = !matches!(check.rule, Rule::FeedLag | Rule::Correlation | Rule::TradingState);
        modelled.then(|| Checked {
            rule: check.rule.as_str(),
            passed: check.passed,
            observed: observed(check.rule, check.observed, row),
            threshold: observed(check.rule, check.threshold, row),
        })
    }
}

fn observed(rule: Rule, value: Observed, row: &Instrument) -> Option<String> {
    match value {
        Observed::Missing => None,
        Observed::Consensus(consensus) => Some(consensus.to_string()),
        Observed::ConsensusSet(set) => Some(set.to_string()),
        Observed::State(state) => Some(state.to_string()),
        Observed::Number(value) => Some(value.display(least_places(rule, row)).to_string()),
        Observed::Ratio { numerator, denominator, scale } => {
            let value = numerator
                .checked_mul(i128::from(scale))
                .and_then(|n| mul_div(n, Dec::ONE.0, denominator, Rounding::TowardZero))
                .map_or(Dec::MAX, Dec);
            Some(value.round(RATIO_PLACES, Rounding::HalfAway).display(0).to_string())
        }
    }
}

/// Rules that compare prices, money or quantities print them as such.
fn least_places(rule: Rule, row: &Instrument) -> u32 {
    match rule {
        Rule::MinQuantity => u32::from(row.quantity_places),
        Rule::Trend
        | Rule::Volume
        | Rule::Cost
        | Rule::Levels
        | Rule::MinNotional
        | Rule::MinPosition
        | Rule::Exposure
        | Rule::OpenRisk => MONEY_PLACES,
        _ => 0,
    }
}

pub(super) fn filled<'a>(row: &'a Instrument, filled: &EntryFilled) -> Said<'a> {
    Said::Filled {
        symbol: row.symbol.as_str(),
        quantity: row.format_quantity(filled.quantity),
        entry: money(filled.entry),
        stop_loss: price(row, filled.stop),
        take_profit: price(row, filled.target),
    }
}

pub(super) fn exit<'a>(row: &'a Instrument, exit: &ExitFired) -> Said<'a> {
    Said::Exit {
        symbol: row.symbol.as_str(),
        signal: exit.signal.as_str(),
        quantity: row.format_quantity(exit.quantity),
        price: price(row, exit.price),
        r: rounded(exit.r),
    }
}

pub(super) fn stop_moved<'a>(row: &'a Instrument, moved: &StopMoved) -> Said<'a> {
    Said::StopMoved { symbol: row.symbol.as_str(), kind: moved.kind.as_str(), stop: price(row, moved.stop) }
}

pub(super) fn closed<'a>(row: &'a Instrument, account: &TradeClosed) -> Said<'a> {
    Said::Closed {
        symbol: row.symbol.as_str(),
        pnl: money(account.pnl),
        r_multiple: rounded(account.r_multiple),
        mfe: rounded(account.mfe),
        mae: rounded(account.mae),
        state: account.state.as_str(),
    }
}

fn money(value: Dec) -> String {
    value.display(MONEY_PLACES).to_string()
}

fn price(row: &Instrument, ticks: Ticks) -> String {
    money(row.price(ticks))
}

/// A ratio that was cut to 18 places: this is its one rounding.
fn rounded(value: Dec) -> String {
    value.round(RATIO_PLACES, Rounding::HalfAway).display(RATIO_PLACES).to_string()
}

fn ratio(numerator: i128, denominator: i128) -> String {
    let cut = mul_div(numerator, Dec::ONE.0, denominator, Rounding::TowardZero);
    rounded(Dec(cut.unwrap_or(0)))
}
