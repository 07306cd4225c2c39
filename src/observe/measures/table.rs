//! The measures as text, one column a run.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use super::{Figures, Measured, Quantiles};
use crate::observe::Exact;

const LABEL: usize = 26;
const COLUMN: usize = 18;

/// A row of the table: its name, and the figure of a run in words.
type Row = (&'static str, fn(&Measured) -> String);

const ROWS: &[Row] = &[
    ("signals", |m| m.total.signals.to_string()),
    ("approved", |m| m.total.approved.to_string()),
    ("approval rate", |m| percent(m.total.approval_rate)),
    ("  where nothing is open", |m| percent(m.total.approval_rate_flat)),
    ("  smaller, in recovery", |m| m.total.approvals_in_recovery.to_string()),
    ("  smaller, after losses", |m| m.total.approvals_in_streak.to_string()),
    ("trades closed", |m| m.total.trades_closed.to_string()),
    ("win rate", |m| percent(m.total.win_rate)),
    ("average R", |m| places(m.total.avg_r)),
    ("  of winners", |m| places(m.total.avg_r_winners)),
    ("  of losers", |m| places(m.total.avg_r_losers)),
    ("profit factor", |m| places(m.total.profit_factor)),
    ("expectancy, a trade", |m| places(m.total.expectancy)),
    ("realised, net", |m| money(&m.total.realized_pnl)),
    ("fees", |m| money(&m.total.fees)),
    ("funding received", |m| money(&m.total.funding)),
    ("slippage", |m| money(&m.total.slippage)),
    ("equity at the start", |m| money(&m.account.equity_start)),
    ("equity at the end", |m| money(&m.account.equity_end)),
    ("return", |m| percent(m.account.return_pct.map(|percent| percent / 100.0))),
    ("worst daily drawdown", |m| percent(Some(m.account.max_daily_drawdown_pct / 100.0))),
    ("worst weekly drawdown", |m| percent(Some(m.account.max_weekly_drawdown_pct / 100.0))),
    ("Sharpe", |m| places(m.account.sharpe)),
    ("Sortino", |m| places(m.account.sortino)),
    ("time in market", |m| percent(m.total.time_in_market)),
    ("exposure, mean", |m| places(m.total.exposure_avg)),
    ("exposure, largest", |m| money(&m.account.exposure_max)),
    ("positions at once", |m| m.account.max_concurrent.to_string()),
    ("MFE in R, quartiles", |m| quantiles(m.total.mfe_r)),
    ("MAE in R, quartiles", |m| quantiles(m.total.mae_r)),
];

/// A column of the table of instruments.
type Cell = (&'static str, fn(&Figures) -> String);

/// In this order.
const INSTRUMENT: &[Cell] = &[
    ("signals", |f| f.signals.to_string()),
    ("approved", |f| f.approved.to_string()),
    ("trades", |f| f.trades_closed.to_string()),
    ("wins", |f| percent(f.win_rate)),
    ("avg R", |f| places(f.avg_r)),
    ("factor", |f| places(f.profit_factor)),
    ("net", |f| money(&f.realized_pnl)),
    ("fees", |f| money(&f.fees)),
    ("slippage", |f| money(&f.slippage)),
    ("in market", |f| percent(f.time_in_market)),
];

/// What was measured of each run, beside each other.
pub fn side_by_side(columns: &[(&str, &Measured)]) -> String {
    let mut text = line("", columns.iter().map(|(name, _)| name));
    for (label, figure) in ROWS {
        text += &line(label, columns.iter().map(|(_, measured)| figure(measured)));
    }
    text += &counted("rejected by", columns, |m| {
        m.total.rejected.iter().map(|(rule, count)| (rule.to_string(), *count)).collect()
    });
    text += "\nclosed trades by R\n";
    let bins = columns.first().map_or(&[][..], |(_, measured)| &measured.total.r_histogram);
    for (i, bin) in bins.iter().enumerate() {
        let label = match (bin.from, bin.to) {
            (Some(from), Some(to)) => format!("  {from:.1} to {to:.1}"),
            (None, Some(to)) => format!("  below {to:.1}"),
            (Some(from), None) => format!("  {from:.1} and more"),
            (None, None) => "  all".to_string(),
        };
        let count = |m: &Measured| m.total.r_histogram.get(i).map_or(0, |bin| bin.count);
        text += &line(&label, columns.iter().map(|(_, measured)| count(measured)));
    }
    for (name, measured) in columns {
        text += &instruments(name, measured);
    }
    for (name, measured) in columns {
        text += &days(name, measured);
    }
    text
}

/// The days beyond the daily limit: two lines each, whose figures are exact and add up.
fn days(name: &str, measured: &Measured) -> String {
    let beyond = &measured.days_beyond_limit;
    let mut text = format!("\n{name}: {} days beyond the daily limit\n", beyond.len());
    for day in beyond {
        let clock = |at: &str| at.get(11..19).unwrap_or(at).to_string();
        let (parts, shares) = (&day.parts, &day.excess_explained);
        text += &format!(
            "{} {:.2}%: {} at {} to {} at {}, down {}; limit {}, excess {}\n",
            day.date,
            day.drawdown_pct,
            day.peak,
            clock(&day.peak_at),
            day.trough,
            clock(&day.trough_at),
            day.drawdown,
            day.limit,
            day.excess
        );
        text += &format!(
            "  = given back {} ({:.0}% of the excess) + beyond stops {} ({:.0}%) + costs {} ({:.0}%) + within stops \
             {} ({:.0}%) - gains {}\n",
            parts.open_profit_given_back,
            shares.open_profit_given_back_pct,
            parts.losses_beyond_stops,
            shares.losses_beyond_stops_pct,
            parts.costs,
            shares.costs_pct,
            parts.losses_within_stops,
            shares.losses_within_stops_pct,
            parts.gains
        );
    }
    text
}

fn line<T: Display>(label: &str, cells: impl Iterator<Item = T>) -> String {
    let cells: String = cells.map(|cell| format!("{:>COLUMN$}", cell.to_string())).collect();
    format!("{label:<LABEL$}{cells}\n")
}

/// A block of counts, each name that any run has.
fn counted(
    title: &str,
    columns: &[(&str, &Measured)],
    counts: impl Fn(&Measured) -> BTreeMap<String, u64>,
) -> String {
    let counts: Vec<BTreeMap<String, u64>> = columns.iter().map(|(_, measured)| counts(measured)).collect();
    let names: BTreeSet<&String> = counts.iter().flat_map(BTreeMap::keys).collect();
    if names.is_empty() {
        return String::new();
    }
    let rows = names.iter().map(|name| {
        let label = format!("  {name}");
        line(&label, counts.iter().map(|of| of.get(*name).copied().unwrap_or(0)))
    });
    format!("\n{title}\n{}", rows.collect::<String>())
}

fn instruments(name: &str, measured: &Measured) -> String {
    let heads: String = INSTRUMENT.iter().map(|(head, _)| format!("{head:>10}")).collect();
    let mut text = format!("\n{name:<14}{heads}\n");
    for (symbol, figures) in &measured.instruments {
        let cells: String = INSTRUMENT.iter().map(|(_, cell)| format!("{:>10}", cell(figures))).collect();
        text += &format!("{symbol:<14}{cells}\n");
    }
    text
}

fn places(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_string(), |value| format!("{value:.2}"))
}

/// Of a share.
fn percent(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_string(), |value| format!("{:.2}%", value * 100.0))
}

fn money(value: &Exact) -> String {
    format!("{:.2}", value.value())
}

fn quantiles(of: Option<Quantiles>) -> String {
    of.map_or_else(|| "-".to_string(), |q| format!("{:.2} {:.2} {:.2}", q.p25, q.p50, q.p75))
}
