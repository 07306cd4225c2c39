//! Days beyond the daily limit, of real runs over made markets: the figures add up to the last place, and
//! the account they come from is the engine's.

use std::collections::BTreeMap;

use quantum_trader::num::Dec;
use quantum_trader::observe::Exact;
use serde::Deserialize;

use super::backtest;

#[derive(Deserialize)]
struct Report {
    on: Column,
    off: Column,
}

/// Of a run with the risk layer alone.
#[derive(Deserialize)]
struct On {
    on: Column,
}

#[derive(Deserialize)]
struct Column {
    total: Total,
    account: Account,
    days_beyond_limit: Vec<Day>,
    run: Run,
}

#[derive(Deserialize)]
struct Total {
    approved: u64,
    approvals_in_recovery: u64,
    approvals_in_streak: u64,
    rejected: BTreeMap<String, u64>,
}

#[derive(Deserialize)]
struct Account {
    max_daily_drawdown: Exact,
    ledger_checks: u64,
    ledger_differences: u64,
}

#[derive(Deserialize)]
struct Run {
    max_daily_drawdown_pct: f64,
}

#[derive(Deserialize)]
struct Day {
    date: String,
    peak: Exact,
    peak_at: String,
    trough: Exact,
    trough_at: String,
    drawdown: Exact,
    limit: Exact,
    excess: Exact,
    open_profit_given_back: Exact,
    losses_within_stops: Exact,
    losses_beyond_stops: Exact,
    costs: Exact,
    gains: Exact,
    excess_explained: BTreeMap<String, f64>,
    instruments: BTreeMap<String, Parts>,
}

#[derive(Deserialize)]
struct Parts {
    open_profit_given_back: Exact,
    losses_within_stops: Exact,
    losses_beyond_stops: Exact,
    costs: Exact,
    gains: Exact,
}

const DAYS: &str = "2";
const SETTINGS: [&str; 5] = [
    "RM_MAX_POSITION_USD=1000000",
    "QT_GATE_MAX_ORDER_USD=1000000",
    "QT_GATE_MAX_POSITION_USD=1000000",
    "RM_MAX_CORRELATION=1",
    "RM_OFF_POSITION_USD=4000",
];

/// Positions as large as the account can carry, in a market that gaps twice a day.
fn run(seed: u64, more: &[&str]) -> Report {
    let market = format!("candles:4:{seed}:atr=3:gaps=2:gap=8");
    let days = std::env::var("QT_TEST_DAYS").unwrap_or_else(|_| DAYS.to_string());
    let mut args = vec!["--market", &market, "--days", &days, "--bar", "1h", "--risk", "both", "--json"];
    SETTINGS.iter().chain(more).for_each(|setting| args.extend(["--set", setting]));
    let output = backtest(&args);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Checks every figure of a column; how many days it has.
fn check(column: &Column) -> usize {
    let account = &column.account;
    assert!(account.ledger_checks > 1_000, "{}", account.ledger_checks);
    assert_eq!(account.ledger_differences, 0, "of {}", account.ledger_checks);
    // To the last place it is among the comparisons; the summary has it in percent with two places.
    let ours = account.max_daily_drawdown.value().to_f64_lossy() * 100.0;
    assert!((ours - column.run.max_daily_drawdown_pct).abs() < 0.006, "{ours}");
    let mut worst = Dec::ZERO;
    for day in &column.days_beyond_limit {
        let sum = |a: &Exact, b: &Exact, c: &Exact, d: &Exact, gains: &Exact| {
            a.value() + b.value() + c.value() + d.value() - gains.value()
        };
        let (given, within, beyond) =
            (&day.open_profit_given_back, &day.losses_within_stops, &day.losses_beyond_stops);
        let fall = day.peak.value() - day.trough.value();
        assert_eq!(sum(given, within, beyond, &day.costs, &day.gains), fall, "{}", day.date);
        let parts = day.instruments.values().fold(Dec::ZERO, |all, p| {
            let (given, within) = (&p.open_profit_given_back, &p.losses_within_stops);
            all + sum(given, within, &p.losses_beyond_stops, &p.costs, &p.gains)
        });
        assert_eq!((parts, day.drawdown.value()), (fall, fall), "{}", day.date);
        assert_eq!(day.excess.value(), fall - day.limit.value());
        assert!(day.excess.value() > Dec::ZERO);
        assert!(day.peak_at <= day.trough_at && day.trough_at.starts_with(&day.date), "{}", day.trough_at);
        let shares: f64 = day.excess_explained.values().sum();
        assert!((shares - 100.0).abs() < 1e-6, "{:?}", day.excess_explained);
        let rounding = quantum_trader::num::Rounding::HalfEven;
        worst = worst.max(fall.div(day.peak.value(), rounding).unwrap());
    }
    if !column.days_beyond_limit.is_empty() {
        assert_eq!(worst, account.max_daily_drawdown.value(), "the worst day is among them");
    }
    column.days_beyond_limit.len()
}

#[test]
fn the_figures_of_every_seed_add_up_and_are_the_engines() {
    let (mut on, mut off, mut explained) = (0, 0, [0; 4]);
    for seed in [4, 6] {
        let report = run(seed, &[]);
        on += check(&report.on);
        off += check(&report.off);
        for day in report.on.days_beyond_limit.iter().chain(&report.off.days_beyond_limit) {
            let parts = [&day.open_profit_given_back, &day.losses_beyond_stops, &day.costs, &day.gains];
            for (count, part) in explained.iter_mut().zip(parts) {
                *count += u32::from(part.value() > Dec::ZERO);
            }
        }
        for day in &report.on.days_beyond_limit {
            let within = day.losses_within_stops.value();
            assert!(within <= day.limit.value(), "what rule 9 promises: {within} on {}", day.date);
        }
    }
    assert!(on >= 3 && off >= 3, "{on} {off}");
    assert!(explained.iter().all(|count| *count > 0), "{explained:?}");
}

#[test]
fn sizes_are_said_to_be_reduced_where_the_decisions_say_so() {
    let report = run(5, &["RM_LOSING_STREAK_THRESHOLD=1", "RM_RECOVERY_THRESHOLD_PCT=0.003"]);
    let total = &report.on.total;
    assert!(total.approvals_in_recovery > 0 && total.approvals_in_streak > 0);
    assert!(total.approvals_in_recovery < total.approved && total.approvals_in_streak < total.approved);
    let off = &report.off.total;
    assert_eq!((off.approvals_in_recovery, off.approvals_in_streak), (0, 0));
    assert!(total.rejected["position"] > 0);
}

#[test]
fn every_limit_of_the_portfolio_is_met_within_a_week_of_gaps() {
    // Positions as large as their risk, four gaps a day of about 9%.
    let market = "candles:6:13:atr=3:gaps=4:gap=9";
    let mut args = vec!["--market", market, "--days", "6", "--bar", "1h", "--risk", "on", "--json"];
    SETTINGS.iter().for_each(|setting| args.extend(["--set", setting]));
    let output = backtest(&args);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: On = serde_json::from_slice(&output.stdout).unwrap();
    check(&report.on);
    let rejected = &report.on.total.rejected;
    for rule in [
        "circuit_breaker",
        "daily_drawdown",
        "weekly_drawdown",
        "concurrent",
        "exposure",
        "position",
        "open_risk",
    ] {
        assert!(rejected.get(rule).is_some_and(|count| *count > 0), "{rule}: {rejected:?}");
    }
    assert!(report.on.total.approvals_in_streak > 0);
}
