//! Random scenarios through the engine and through the model: every line they say is the same.

use proptest::prelude::*;
use quantum_trader::num::Dec;
use quantum_trader::risk::config::{ExitPrice, Settings};
use serde_json::Value;

use crate::lines::{Desk, Line, Listed, SignalLine, Spread, What, rule, rules};
use crate::model::Model;

const SYMBOLS: [&str; 3] = ["AUSDT", "BUSDT", "CUSDT"];

/// Coarse numbers, so that thresholds are hit and not only passed.
fn listed(index: usize) -> Listed {
    let usual = Listed {
        symbol: SYMBOLS[index],
        tick: "1",
        step: "0.1",
        min_qty: "0.2",
        max_qty: None,
        min_notional: "5",
        taker_fee: "0",
        maintenance_margin: "0",
        leverage: None,
    };
    match index {
        0 => usual,
        1 => Listed { tick: "0.5", step: "0.01", taker_fee: "0.001", leverage: Some(5), ..usual },
        _ => Listed {
            tick: "0.25",
            step: "1",
            min_qty: "1",
            taker_fee: "0.0005",
            maintenance_margin: "0.005",
            leverage: Some(3),
            ..usual
        },
    }
}

fn settings(index: usize) -> Settings {
    let base = Settings {
        max_position_usd: Dec::int(6_000),
        max_exposure_pct: Dec::int(3),
        max_spread_bps: Dec::int(400),
        min_volume_24h: Dec::int(100),
        max_correlation: Dec::ONE,
        max_atr_ratio: Dec::new(10, 2),
        trend_tolerance: Dec::new(5, 2),
        breakeven_offset_pct: Dec::new(1, 2),
        ..Settings::DEFAULT
    };
    match index {
        0 => Settings { max_exposure_pct: Dec::new(8, 1), ..base },
        1 => Settings {
            circuit_breaker_flatten: true,
            circuit_breaker_loss_pct: Dec::new(1, 2),
            max_daily_dd_pct: Dec::new(20, 2),
            max_weekly_dd_pct: Dec::new(30, 2),
            enable_open_risk: false,
            ..base
        },
        2 => Settings {
            exit_price: ExitPrice::Last,
            require_trend: false,
            min_stop_cost: Dec::ZERO,
            partial_tp_at_r: Dec::new(2, 1),
            breakeven_at_r: Dec::new(5, 1),
            trailing_start_r: Dec::new(5, 1),
            trailing_distance_atr: Dec::new(5, 1),
            ..base
        },
        3 => Settings {
            exit_price: ExitPrice::Mark,
            regime_symbol: quantum_trader::event::Symbol::new("AUSDT"),
            min_position_usd: Dec::int(150),
            max_concurrent_trades: 2,
            min_risk_pct: Dec::new(1, 3),
            risk_per_trade_pct: Dec::new(2, 3),
            max_risk_pct: Dec::new(3, 3),
            losing_streak_threshold: 1,
            max_hours_no_progress: Dec::int(1),
            require_trend: false,
            ..base
        },
        _ => Settings {
            circuit_breaker_flatten: true,
            circuit_breaker_loss_pct: Dec::new(1, 3),
            circuit_breaker_cooldown_hours: Dec::new(5, 1),
            recovery_threshold_pct: Dec::ZERO,
            max_daily_dd_pct: Dec::ONE,
            max_weekly_dd_pct: Dec::ONE,
            enable_trailing: false,
            min_consensus_types: quantum_trader::risk::config::ConsensusSet::of(
                quantum_trader::event::Consensus::ALL,
            ),
            ..base
        },
    }
}

fn price() -> impl Strategy<Value = String> {
    prop_oneof![4 => 95i64..=105, 1 => 80i64..=125].prop_map(|price| price.to_string())
}

fn maybe<T: Clone + std::fmt::Debug>(
    of: impl Strategy<Value = T>,
    percent: u32,
) -> impl Strategy<Value = Option<T>> {
    (0u32..100, of).prop_map(move |(draw, value)| (draw < percent).then_some(value))
}

fn one_of(words: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
    prop::sample::select(words)
}

fn text(words: &'static [&'static str]) -> impl Strategy<Value = String> {
    one_of(words).prop_map(str::to_string)
}

fn signal() -> impl Strategy<Value = What> {
    let spread = prop_oneof![
        12 => text(&["0", "10", "400", "100"]).prop_map(Spread::Bps),
        1 => Just(Spread::Bps("400.000000000000000001".to_string())),
        2 => (price(), 0i64..4).prop_map(|(bid, width)| {
            let ask = bid.parse::<i64>().unwrap() + width - 1;
            Spread::Book(bid, ask.to_string())
        }),
        1 => Just(Spread::Missing),
    ];
    let who = (one_of(&SYMBOLS), one_of(&["LONG", "SHORT", "LONG", "SHORT", "HOLD"]));
    let sure = (
        prop_oneof![12 => one_of(&["UNANIMOUS", "STRONG"]), 1 => one_of(&["SPLIT", "WEAK"])],
        prop_oneof![
            6 => text(&["0.75", "0.8", "0.84", "0.85", "1"]),
            2 => text(&["0.59", "0.6", "0.699999999999999999", "0.7"]),
        ],
    );
    let market = (
        maybe(price(), 90),
        spread,
        maybe(
            prop_oneof![
                6 => text(&["1", "2", "2.5", "4", "3.333333333333333333"]),
                1 => text(&["10.1", "0.7", "30", "0"]),
            ],
            98,
        ),
        maybe(prop_oneof![12 => price(), 1 => text(&["98", "99.999999999999999999", "0", "50"])], 98),
        maybe(prop_oneof![9 => text(&["100", "1000000"]), 1 => text(&["99.999999999999999999"])], 98),
    );
    (who, sure, market).prop_map(
        |((symbol, action), (consensus, confidence), (price, spread, atr, ema, volume))| {
            What::Signal(SignalLine {
                symbol,
                action,
                consensus,
                confidence,
                price,
                spread,
                atr,
                ema,
                volume,
            })
        },
    )
}

fn what() -> impl Strategy<Value = What> {
    let quantity = text(&["1", "2", "0.5", "0.2", "10", "3"]);
    let fill = (one_of(&SYMBOLS), price(), maybe(quantity, 60));
    let prices = (one_of(&SYMBOLS), price(), maybe(price(), 20), maybe(price(), 20), maybe(price(), 30));
    prop_oneof![
        16 => signal(),
        8 => fill.prop_map(|(symbol, price, quantity)| What::Fill { symbol, price, quantity }),
        28 => prices.prop_map(|(symbol, price, bid, ask, mark)| What::Price { symbol, price, bid, ask, mark }),
        2 => (9_000i64..11_000).prop_map(|equity| What::Account(format!("{equity}.5"))),
        1 => Just(What::Reset),
        2 => prop::sample::select(vec!["9700", "9500", "10000", "9000"]).prop_map(|e| What::Account(e.to_string())),
    ]
}

/// An account and every instrument.
fn opening() -> Vec<Line> {
    let rows = (0..SYMBOLS.len()).map(|i| What::Instrument(listed(i)));
    let all = std::iter::once(What::Account("10000".to_string())).chain(rows);
    all.map(|what| Line { time_ms: None, what }).collect()
}

fn lines() -> impl Strategy<Value = Vec<Line>> {
    let step = prop::sample::select(vec![
        0,
        1,
        1_000,
        5_000,
        5_001,
        600_000,
        3_600_000,
        7_200_001,
        43_200_000,
        259_200_000,
    ]);
    prop::collection::vec((step, 0u8..10, what()), 1..80).prop_map(|steps| {
        let (mut now, mut all) = (0, opening());
        for (step, draw, what) in steps {
            now += step;
            // Some lines say no time, some an earlier one.
            let time_ms = match draw {
                0 => None,
                1 => Some(now - 10_000),
                _ => Some(now),
            };
            let begins_anew = matches!(what, What::Reset);
            all.push(Line { time_ms, what });
            if begins_anew {
                all.extend(opening());
            }
        }
        all
    })
}

/// What is compared: of a reason its rule, of checks their rules, of an error its line.
fn comparable(mut said: Value) -> Value {
    match said["type"].as_str().unwrap() {
        "decision" => {
            let (rule, rules) = (rule(&said).to_string(), rules(&said));
            let fields = said.as_object_mut().unwrap();
            fields.remove("reason");
            fields.remove("checks");
            fields.insert("rule".to_string(), rule.into());
            fields.insert("rules".to_string(), rules.into());
        }
        "error" => {
            said.as_object_mut().unwrap().remove("error");
        }
        _ => {}
    }
    said
}

/// Of what the model says, what a scenario is told: not of rules it has no words for.
fn told(mut said: Value) -> Value {
    if let Some(rules) = said.get_mut("rules").and_then(Value::as_array_mut) {
        rules.retain(|rule| !["feed_lag", "correlation", "trading_state"].iter().any(|word| rule == word));
    }
    said
}

/// Plays a scenario on both; what the desk said.
fn both(settings: &Settings, lines: &[Line]) -> Result<Vec<Value>, TestCaseError> {
    let (mut desk, mut model) = (Desk::new(settings), Model::new(settings));
    let mut all = Vec::new();
    for (i, line) in lines.iter().enumerate() {
        let said = desk.send(&line.json());
        let compared: Vec<Value> = said.iter().cloned().map(comparable).collect();
        let expected: Vec<Value> = model.line(line).into_iter().map(told).collect();
        prop_assert_eq!(compared, expected, "line {}: {}", i + 1, line.json());
        all.extend(said);
    }
    let said: Vec<Value> = desk.end().into_iter().map(comparable).collect();
    prop_assert_eq!(said.clone(), model.end());
    all.extend(said);
    Ok(all)
}

proptest! {
    // More of them by PROPTEST_CASES.
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(1_000), ..ProptestConfig::default() })]

    #[test]
    fn engine_and_model_say_the_same(index in 0usize..5, lines in lines()) {
        both(&settings(index), &lines)?;
    }
}

/// The scenarios above reach what they are there for: without this, agreement could be silence.
#[test]
fn the_scenarios_reach_every_kind_of_line() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let mut seen = std::collections::BTreeSet::new();
    for case in 0..600 {
        let lines = lines().new_tree(&mut runner).unwrap().current();
        for said in both(&settings(case % 5), &lines).unwrap() {
            let of = |name: &str| said[name].as_str().unwrap_or("").to_string();
            seen.insert(match of("type").as_str() {
                "decision" => format!("decision {}", rule(&said)),
                "exit" => format!("exit {}", of("signal")),
                "closed" => format!("closed {}", of("state")),
                "stop_moved" => format!("moved {}", of("kind")),
                kind => kind.to_string(),
            });
        }
    }
    for wanted in [
        "decision ",
        "decision hold",
        "decision not_ready",
        "decision stale",
        "decision consensus",
        "decision confidence",
        "decision trend",
        "decision regime",
        "decision volume",
        "decision spread",
        "decision cost",
        "decision circuit_breaker",
        "decision daily_drawdown",
        "decision concurrent",
        "decision position",
        "decision liquidation",
        "decision min_position",
        "decision exposure",
        "decision open_risk",
        "filled",
        "exit STOP_LOSS",
        "exit TAKE_PROFIT",
        "exit PARTIAL_TP",
        "exit TIME_EXIT",
        "exit FLATTEN",
        "moved BREAKEVEN",
        "moved TRAILING",
        "closed CLOSED_SL",
        "closed CLOSED_TP",
        "closed CLOSED_PARTIAL",
        "closed CLOSED_TIME",
        "closed CLOSED_MANUAL",
        "error",
    ] {
        assert!(seen.contains(wanted), "never {wanted:?} in {seen:?}");
    }
}
