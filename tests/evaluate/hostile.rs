//! Input that no scenario would send: a line out for each, and never a panic. Arbitrary bytes are
//! `tests/fuzz/evaluate.rs`.

use proptest::prelude::*;
use quantum_trader::risk::config::Settings;
use serde_json::{Value, json};

use crate::lines::{Desk, signal};

const NUMBERS: [&str; 22] = [
    "0",
    "-0",
    "-1",
    "1",
    "0.1",
    "0.000000000000000001",
    "1e400",
    "NaN",
    "",
    " 1",
    "999999999999999",
    "1000000000000000",
    "1000000000000000.1",
    "99999999999999999999",
    "170141183460469231731",
    "9223372036854775807",
    "-9223372036854775808",
    "340282366920938463463374607431768211456",
    "100000000000000",
    "0.3333333333333333",
    "1000000000",
    "123456789.123456789",
];

fn number() -> impl Strategy<Value = Value> {
    prop_oneof![
        6 => prop::sample::select(NUMBERS.to_vec()).prop_map(Value::from),
        2 => any::<i64>().prop_map(Value::from),
        1 => any::<f64>().prop_map(|v| json!(v)),
        1 => Just(Value::Null),
        1 => Just(json!([[[["x"]]]])),
    ]
}

/// Lines whose shape is right and whose numbers are absurd.
fn absurd() -> impl Strategy<Value = Value> {
    let numbers = prop::collection::vec(number(), 8);
    (0u8..6, prop::sample::select(vec!["A", "B"]), numbers, any::<bool>()).prop_map(|(kind, symbol, n, long)| match kind {
        0 => json!({"type": "account", "equity": n[0], "time_ms": n[1]}),
        1 => json!({"type": "instrument", "symbol": symbol, "tick": n[0], "step": n[1], "min_qty": n[2],
            "min_notional": n[3], "taker_fee": n[4], "leverage": n[5], "maintenance_margin": n[6]}),
        2 | 3 => json!({"type": "signal", "symbol": symbol, "action": if long { "LONG" } else { "SHORT" },
            "consensus": "STRONG", "confidence": "0.9", "price": n[0], "spread_bps": n[1], "atr": n[2],
            "ema_200": n[3], "volume_24h": n[4], "bid": n[5], "time_ms": n[6]}),
        4 => json!({"type": "fill", "symbol": symbol, "price": n[0], "quantity": n[1]}),
        _ => json!({"type": "price", "symbol": symbol, "price": n[0], "bid": n[1], "ask": n[2], "mark": n[3], "time_ms": n[4]}),
    })
}

fn lenient() -> Settings {
    use quantum_trader::num::Dec;
    Settings {
        require_trend: false,
        volatility_gate: false,
        min_stop_cost: Dec::ZERO,
        min_volume_24h: Dec::ZERO,
        max_spread_bps: Dec::int(20_000),
        max_position_usd: Dec::int(1_000_000_000_000),
        min_position_usd: Dec::ZERO,
        max_exposure_pct: Dec::int(125),
        enable_open_risk: false,
        circuit_breaker_flatten: true,
        max_daily_dd_pct: Dec::ONE,
        max_weekly_dd_pct: Dec::ONE,
        ..Settings::DEFAULT
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn absurd_numbers_never_panic_and_never_fault_the_engine(lines in prop::collection::vec(absurd(), 1..60)) {
        let mut desk = Desk::new(&lenient());
        desk.quiet(&json!({"type": "account", "equity": "1000000000000"}));
        for (symbol, tick, step) in [("A", "1", "1"), ("B", "1000000000", "0.000000001")] {
            desk.quiet(&json!({"type": "instrument", "symbol": symbol, "tick": tick, "step": step,
                "min_qty": 0, "min_notional": 0, "taker_fee": "0.1"}));
        }
        for line in &lines {
            for said in desk.send(line) {
                let fault = said["error"].as_str().is_some_and(|error| error.contains("alarm"));
                prop_assert!(!fault, "{}: {}", line, said);
            }
        }
        desk.end();
    }
}

#[test]
fn depth_and_length_are_bounded_by_the_line() {
    let mut desk = Desk::funded(&Settings::DEFAULT);
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let deep = open.repeat(200_000);
        assert_eq!(desk.send_bytes(deep.as_bytes()).len(), 1);
        let whole =
            format!("{{\"type\":\"account\",\"equity\":\"10000\",\"x\":{deep}1{}}}", close.repeat(200_000));
        assert!(desk.send_bytes(whole.as_bytes()).is_empty(), "what is not asked for is not looked into");
        let votes = format!("{{\"votes\":{deep}1{}}}", close.repeat(200_000));
        assert_eq!(desk.send_bytes(votes.as_bytes()).len(), 1);
        let field = signal(json!({"atr": "MARK"}))
            .to_string()
            .replace("\"MARK\"", &format!("{deep}1{}", close.repeat(200_000)));
        let said = desk.send_bytes(field.as_bytes());
        assert!(said[0]["error"].as_str().unwrap().len() < 400);
    }
    let long = json!({"type": "x".repeat(500_000), "symbol": "y".repeat(100_000)});
    assert!(desk.one(&long)["error"].as_str().unwrap().len() < 400);
    let instrument = json!({"type": "instrument", "symbol": "z".repeat(100_000), "tick": "1".repeat(100_000), "step": "1",
        "min_qty": "1", "min_notional": "1"});
    assert!(desk.one(&instrument)["error"].as_str().unwrap().len() < 400);
}

#[test]
fn instruments_have_a_bound() {
    let mut desk = Desk::new(&Settings::DEFAULT);
    let line = |i: usize| json!({"type": "instrument", "symbol": format!("S{i}"), "tick": 1, "step": 1, "min_qty": 1, "min_notional": 1});
    (0..1_024).for_each(|i| desk.quiet(&line(i)));
    assert_eq!(desk.one(&line(1_024))["error"], "more than 1024 instruments");
    desk.quiet(&line(1_023));
}
