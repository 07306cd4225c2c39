//! Fills, order within a line, errors that change nothing, reset.

use quantum_trader::num::Dec;
use quantum_trader::risk::config::{ExitPrice, Settings};
use serde_json::{Value, json};

use crate::lines::{Desk, rule, short, signal};

const S: Settings = Settings::DEFAULT;

fn kinds(said: &[Value]) -> Vec<&str> {
    said.iter().map(|line| line["type"].as_str().unwrap()).collect()
}

fn fill(price: &str, quantity: Value) -> Value {
    json!({"type": "fill", "symbol": "BTCUSDT", "price": price, "quantity": quantity})
}

#[test]
fn levels_follow_the_average_of_the_fills() {
    let mut desk = Desk::funded(&S);
    desk.one(&signal(json!({})));
    let first = desk.one(&fill("50001", json!("0.003")));
    assert_eq!((&first["quantity"], &first["entry"]), (&json!("0.003"), &json!("50001.00")));
    assert_eq!(first["stop_loss"], "47751.00");
    let second = desk.one(&fill("50000", json!("0.004")));
    // 350,003 / 7 has no end: 18 places, half even; the level comes from the fraction.
    assert_eq!(second["entry"], "50000.428571428571428571");
    assert_eq!((&second["stop_loss"], &second["take_profit"]), (&json!("47750.40"), &json!("55625.40")));
    assert_eq!(kinds(&desk.send(&fill("50000", json!("0.004")))), ["error"], "0.003 is left");
    // The rest fills at 50,000 with the next price: average 50,000.3, stop 47,750.3.
    desk.quiet(&json!({"type": "price", "symbol": "BTCUSDT", "price": "47750.4"}));
    assert_eq!(desk.price("47750.3")[0]["quantity"], "0.010");
}

#[test]
fn an_exit_fills_at_the_next_lines_fill_or_at_the_price_tested() {
    let closed = |after: &[Value]| {
        let mut desk = Desk::funded(&S);
        desk.one(&signal(json!({})));
        let said = desk.price("47000");
        assert_eq!(
            (&said[0]["signal"], &said[0]["price"]),
            (&json!("STOP_LOSS"), &json!("47000.00")),
            "the gap's price"
        );
        let mut all: Vec<Value> = after.iter().flat_map(|line| desk.send(line)).collect();
        all.extend(desk.end());
        all
    };
    let pnl = |after: &[Value]| closed(after)[0]["pnl"].as_str().unwrap().to_string();
    assert_eq!(pnl(&[]), "-30.00");
    assert_eq!(pnl(&[fill("46000", json!(null))]), "-40.00");
    assert_eq!(pnl(&[fill("46000", json!("0.004"))]), "-34.00", "the rest at the price tested");
    let other = json!({"type": "account", "equity": "9000"});
    let late = closed(&[other, fill("46000", json!(null))]);
    assert_eq!((kinds(&late), &late[0]["pnl"]), (vec!["closed", "error"], &json!("-30.00")));
    let wrong = closed(&[fill("46000.05", json!(null))]);
    assert_eq!((kinds(&wrong), &wrong[0]["pnl"]), (vec!["closed", "error"], &json!("-30.00")));
    let much = closed(&[fill("46000", json!("0.011"))]);
    assert_eq!((kinds(&much), &much[0]["pnl"]), (vec!["closed", "error"], &json!("-30.00")));
    assert_eq!(kinds(&closed(&[json!("garbage")])), ["closed", "error"]);
    assert_eq!(kinds(&closed(&[json!({"type": "reset"})])), ["closed", "reset"]);
}

#[test]
fn a_signal_with_a_price_is_a_price_first() {
    let mut desk = Desk::funded(&S);
    desk.one(&signal(json!({})));
    let said = desk.send(&signal(json!({"price": "47000", "ema_200": "40000"})));
    assert_eq!(kinds(&said), ["exit", "closed", "decision"]);
    assert_eq!(rule(&said[2]), "", "what it closed is gone when it is judged");
    // Its own quotes are what exits are tested at.
    let mut desk = Desk::funded(&S);
    desk.one(&signal(json!({})));
    let said = desk.send(&signal(json!({"bid": "47000", "ask": "50000"})));
    assert_eq!((kinds(&said), &said[0]["price"]), (vec!["exit", "closed", "decision"], &json!("47000.00")));
    // Without a price it fills the pending entry, and no more.
    let mut desk = Desk::funded(&S);
    desk.one(&signal(json!({})));
    assert_eq!(rule(&desk.one(&signal(json!({"price": null})))), "position");
    assert_eq!(kinds(&desk.send(&fill("50000", json!(null)))), ["error"], "filled by then");
}

#[test]
fn exits_look_at_the_price_that_is_set() {
    let line = json!({
        "type": "price", "symbol": "BTCUSDT", "price": "50000", "bid": "47750", "ask": "52250", "mark": "47749.9",
    });
    for (exit_price, long, short_side) in [
        (ExitPrice::Book, Some("47750.00"), Some("52250.00")),
        (ExitPrice::Last, None, None),
        (ExitPrice::Mark, Some("47749.90"), None),
    ] {
        let s = Settings { exit_price, ..S };
        for (open, expected) in [(signal(json!({})), long), (short(json!({})), short_side)] {
            let mut desk = Desk::funded(&s);
            desk.one(&open);
            let said = desk.send(&line);
            let exit = said.iter().find(|line| line["type"] == "exit");
            assert_eq!(exit.and_then(|line| line["price"].as_str()), expected, "{exit_price} {open}");
        }
    }
}

#[test]
fn a_flatten_takes_pending_entries_too() {
    let s = Settings { circuit_breaker_flatten: true, max_position_usd: Dec::int(5_000), ..S };
    let mut desk = Desk::funded(&s);
    desk.quiet(&json!({
        "type": "instrument", "symbol": "ETHUSDT", "tick": "0.1", "step": "0.001", "min_qty": "0.001",
        "min_notional": "5",
    }));
    desk.one(&signal(json!({})));
    desk.one(&signal(json!({"symbol": "ETHUSDT", "price": "2000", "atr": "60", "ema_200": "1900", "bid": "1999", "ask": "2000"})));
    let said = desk.send(&json!({"type": "account", "equity": "9499"}));
    assert_eq!(kinds(&said), ["exit", "exit"]);
    let exits: Vec<_> =
        said.iter().map(|e| (e["symbol"].as_str().unwrap(), e["signal"].as_str().unwrap())).collect();
    assert_eq!(exits, [("BTCUSDT", "FLATTEN"), ("ETHUSDT", "FLATTEN")], "in order of approval");
    let closed = desk.end();
    assert_eq!((&closed[0]["state"], &closed[0]["pnl"]), (&json!("CLOSED_MANUAL"), &json!("0.00")));
    // Entered at 2,000 and out at the bid of 1,999: the exit's own price is an excursion.
    assert_eq!(closed[1]["mae"], "0.01111111");
    let mut pnl = closed[1]["pnl"].as_str().unwrap().to_string();
    assert_eq!(pnl.remove(0), '-');
}

#[test]
fn fees_are_net_in_everything() {
    let mut desk = Desk::new(&S);
    desk.quiet(&json!({"type": "account", "equity": 10000}));
    desk.quiet(&json!({
        "type": "instrument", "symbol": "BTCUSDT", "tick": "0.1", "step": "0.001", "min_qty": "0.001",
        "min_notional": "5", "taker_fee": "0.0005",
    }));
    desk.one(&signal(json!({})));
    desk.price("55625");
    let closed = desk.end();
    // 56.25 less 0.25 and 0.278125.
    assert_eq!((&closed[0]["pnl"], &closed[0]["r_multiple"]), (&json!("55.721875"), &json!("2.47652778")));
    let next = desk.one(&signal(json!({"price": "50000"})));
    assert_eq!(next["risk_pct"], "0.00223753", "22.50 of 10,055.721875");
}

/// 50 ticks of an R of 10,000,000,001 are 5e-9 less 5e-19: nothing at 8 places, but 0.00000001 if
/// they are rounded to 18 places first.
#[test]
fn ratios_are_rounded_once() {
    let mut desk = Desk::funded(&S);
    desk.quiet(&json!({
        "type": "instrument", "symbol": "FINE", "tick": "0.00001", "step": "0.0001", "min_qty": "0.0001",
        "min_notional": "5",
    }));
    let changes = json!({
        "symbol": "FINE", "price": 1_000_000, "confidence": "0.9", "spread_bps": 0, "ema_200": 1_000_000,
        "atr": "66666.666673333333333333",
    });
    assert_eq!(desk.one(&signal(changes))["stop_loss"], "899999.99999");
    desk.quiet(&json!({"type": "price", "symbol": "FINE", "price": "1000000.0005"}));
    desk.one(&json!({"type": "price", "symbol": "FINE", "price": "899999.99999"}));
    assert_eq!(desk.end()[0]["mfe"], "0.00000000");
}

#[test]
fn time_runs_from_the_first_fill() {
    let hours = |n: i64| n * 3_600_000;
    let held = |filled_at: Option<i64>, ms: i64| {
        let mut desk = Desk::funded(&S);
        desk.one(&signal(json!({"time_ms": 0})));
        if let Some(at) = filled_at {
            let mut line = fill("50000", json!(null));
            line["time_ms"] = at.into();
            desk.one(&line);
        }
        let said =
            desk.send(&json!({"type": "price", "symbol": "BTCUSDT", "price": "51124.9", "time_ms": ms}));
        said.first().map(|line| line["signal"].as_str().unwrap().to_string())
    };
    assert_eq!(held(None, hours(24)), None, "strict");
    assert_eq!(held(None, hours(24) + 1).as_deref(), Some("TIME_EXIT"), "from the decision's time");
    assert_eq!(held(Some(1), hours(24) + 1), None);
    assert_eq!(held(Some(1), hours(24) + 2).as_deref(), Some("TIME_EXIT"));
}

#[test]
fn a_reset_forgets_everything_but_the_line_number() {
    let mut desk = Desk::funded(&S);
    desk.one(&signal(json!({"time_ms": 86_400_000})));
    assert_eq!(desk.one(&json!({"type": "reset"})), json!({"type": "reset"}));
    let error = desk.one(&signal(json!({})));
    assert_eq!((&error["line"], &error["type"]), (&json!(5), &json!("error")), "no instrument any more");
    desk.quiet(&json!({"type": "account", "equity": "9000"}));
    desk.quiet(&json!({
        "type": "instrument", "symbol": "BTCUSDT", "tick": "0.1", "step": "0.001", "min_qty": "0.001",
        "min_notional": "5",
    }));
    let decision = desk.one(&signal(json!({"time_ms": 0})));
    assert_eq!((rule(&decision), &decision["risk_pct"]), ("", &json!("0.00250000")));
}

#[test]
fn a_price_past_stop_after_two_rules_moved_it() {
    // From nothing to 2 R at once: partial, breakeven and trailing, all printed in order.
    let mut desk = Desk::funded(&S);
    desk.one(&signal(json!({})));
    let said = desk.price("54500");
    assert_eq!(kinds(&said), ["exit", "stop_moved", "stop_moved"]);
    assert_eq!((&said[1]["kind"], &said[1]["stop"]), (&json!("BREAKEVEN"), &json!("50050.00")));
    assert_eq!((&said[2]["kind"], &said[2]["stop"]), (&json!("TRAILING"), &json!("53000.00")));
    // The price that stops it is an excursion as well.
    desk.price("40000");
    let closed = desk.end();
    assert_eq!((&closed[0]["mae"], &closed[0]["state"]), (&json!("4.44444444"), &json!("CLOSED_PARTIAL")));
}

#[test]
fn what_is_wrong_is_said_and_changes_nothing() {
    let good = || signal(json!({}));
    let without = |name: &str| {
        let mut line = good();
        line.as_object_mut().unwrap().remove(name);
        line
    };
    let instrument = |changes: Value| {
        let mut line = json!({
            "type": "instrument", "symbol": "NEW", "tick": "0.1", "step": "0.001", "min_qty": "0.001", "min_notional": "5",
        });
        for (name, value) in changes.as_object().unwrap() {
            line[name] = value.clone();
        }
        line
    };
    let rows: Vec<(Value, &str)> = vec![
        (json!([]), "not a JSON object"),
        (json!("x"), "not a JSON object"),
        (json!(null), "not a JSON object"),
        (json!({}), "type is missing"),
        (json!({"type": 1}), "type"),
        (json!({"type": "nosuch"}), "type \"nosuch\": account, instrument"),
        (json!({"type": "account"}), "equity is missing"),
        (json!({"type": "account", "equity": "1e4"}), "not a plain decimal"),
        (json!({"type": "account", "equity": 1.5}), "equity \"1.5\": not a decimal string or an integer"),
        (json!({"type": "account", "equity": "1.000000001"}), "more than 8"),
        (json!({"type": "account", "equity": "-1"}), "out of range"),
        (json!({"type": "account", "equity": "1000000000000000.1"}), "out of range"),
        (json!({"type": "account", "equity": true}), "equity"),
        (json!({"type": "account", "equity": "5", "time_ms": "soon"}), "time_ms"),
        (json!({"type": "account", "equity": "5", "time_ms": 9_223_372_036_855i64}), "time_ms"),
        (json!({"type": "price", "symbol": "NOSUCH", "price": "1"}), "symbol \"NOSUCH\": no such instrument"),
        (json!({"type": "price", "symbol": "BTCUSDT"}), "price is missing"),
        (
            json!({"type": "price", "symbol": "BTCUSDT", "price": "50000.05"}),
            "not a multiple of the tick 0.1",
        ),
        (json!({"type": "price", "symbol": "BTCUSDT", "price": "0"}), "out of range"),
        (json!({"type": "price", "symbol": "BTCUSDT", "price": "-5"}), "out of range"),
        (json!({"type": "price", "symbol": "BTCUSDT", "price": "5", "bid": "x"}), "bid"),
        (json!({"type": "price", "symbol": "BTCUSDT", "price": "5", "mark": "4.99"}), "mark"),
        (json!({"type": "price", "symbol": "BTCUSDT", "price": "1000000000000000.1"}), "out of range"),
        (json!({"type": "fill", "symbol": "BTCUSDT", "price": "5"}), "nothing is pending"),
        (json!({"type": "fill", "symbol": "BTCUSDT"}), "price is missing"),
        (json!({"type": "fill", "symbol": "BTCUSDT", "price": "5", "quantity": "0.0005"}), "quantity"),
        (json!({"type": "fill", "symbol": "BTCUSDT", "price": "5", "quantity": "0"}), "quantity"),
        (without("symbol"), "symbol is missing"),
        (without("action"), "action is missing"),
        (without("consensus"), "consensus is missing"),
        (without("confidence"), "confidence is missing"),
        (signal(json!({"action": "BUY"})), "action \"BUY\": LONG or SHORT or HOLD"),
        (signal(json!({"action": "ABSTAIN"})), "action"),
        (signal(json!({"consensus": "FAIR"})), "consensus"),
        (signal(json!({"confidence": "1.000000000000000001"})), "out of range"),
        (signal(json!({"confidence": "-0.1"})), "out of range"),
        (signal(json!({"atr": "1.0000000000000000001"})), "more decimal places"),
        (signal(json!({"atr": [1]})), "atr"),
        (signal(json!({"atr": 1500.5})), "atr"),
        (signal(json!({"bid": "1.01"})), "bid"),
        (signal(json!({"votes": []})), "votes"),
        (
            signal(json!({"votes": {"other": ["LONG", "1"]}})),
            "votes: \"other\": xgboost, lightgbm, nhits, patchtst",
        ),
        (signal(json!({"votes": {"nhits": "LONG"}})), "nhits"),
        (signal(json!({"votes": {"nhits": ["LONG"]}})), "nhits"),
        (signal(json!({"votes": {"nhits": ["UP", "1"]}})), "nhits \"UP\""),
        (signal(json!({"votes": {"nhits": ["LONG", "1.1"]}})), "nhits"),
        (instrument(json!({"symbol": ""})), "symbol"),
        (instrument(json!({"symbol": "A B"})), "symbol"),
        (instrument(json!({"tick": "0"})), "tick must be positive"),
        (instrument(json!({"tick": null})), "tick is missing"),
        (instrument(json!({"tick": "0.0000000001", "step": "0.000000001"})), "18 decimal places"),
        (instrument(json!({"step": "-1"})), "step"),
        (instrument(json!({"min_qty": "-1"})), "min_qty"),
        (instrument(json!({"min_notional": "-1"})), "min_notional"),
        (instrument(json!({"taker_fee": "1.1"})), "taker_fee"),
        (instrument(json!({"maintenance_margin": "1"})), "maintenance_margin"),
        (instrument(json!({"leverage": "0"})), "leverage"),
        (instrument(json!({"leverage": "2.5"})), "leverage"),
    ];
    let mut desk = Desk::funded(&S);
    for (i, (line, words)) in rows.iter().enumerate() {
        let error = desk.one(line);
        assert_eq!((&error["type"], &error["line"]), (&json!("error"), &json!(i + 3)), "{line}: {error}");
        assert!(error["error"].as_str().unwrap().contains(words), "{line}: {error}");
    }
    let decision = desk.one(&good());
    assert_eq!((rule(&decision), &decision["risk_pct"]), ("", &json!("0.00225000")));
    let held = desk.one(&instrument(json!({"symbol": "BTCUSDT", "tick": "0.01"})));
    assert!(held["error"].as_str().unwrap().contains("traded"), "{held}");
    desk.quiet(&instrument(json!({"symbol": "BTCUSDT"})));
}

#[test]
fn numbers_may_be_strings_or_integers_and_the_last_of_a_name_counts() {
    let mut desk = Desk::funded(&S);
    let line = br#"{"type":"signal","symbol":"BTCUSDT","action":"SHORT","action":"LONG","consensus":"STRONG","confidence":1,"price":50000,"spread_bps":0,"atr":1500,"ema_200":"48000.00","volume_24h":5000000000,"unknown":{"a":[1.5e3]},"time_ms":"5"}"#;
    let said = desk.send_bytes(line);
    assert_eq!((rule(&said[0]), &said[0]["action"]), ("", &json!("LONG")));
    let said = desk.send_bytes(b"{\"type\":\"reset\"}\r");
    assert_eq!(said, [json!({"type": "reset"})]);
}
