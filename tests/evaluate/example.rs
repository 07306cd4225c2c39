//! The worked example of the rules, to the character, and its mirror.

use quantum_trader::num::Dec;
use quantum_trader::risk::config::Settings;
use serde_json::json;

use crate::lines::{Desk, rules, short, signal};

/// Every rule of an approval without a regime symbol and without a known leverage.
const ALL: [&str; 18] = [
    "not_ready",
    "stale",
    "consensus",
    "confidence",
    "trend",
    "volume",
    "spread",
    "cost",
    "circuit_breaker",
    "daily_drawdown",
    "weekly_drawdown",
    "concurrent",
    "position",
    "levels",
    "min_quantity",
    "min_notional",
    "min_position",
    "exposure",
];

#[test]
fn the_worked_example_line_by_line() {
    let mut desk = Desk::funded(&Settings::DEFAULT);
    let line = desk.send_text(&signal(json!({})));
    assert!(
        line.starts_with(
            r#"{"type":"decision","symbol":"BTCUSDT","action":"LONG","approved":true,"quantity":"0.010","notional":"500.00","entry":"50000.00","stop_loss":"47750.00","take_profit":"55625.00","risk":"22.50","risk_pct":"0.00225000","reward_risk":"2.50000000","reason":null,"checks":[{"rule":"not_ready","passed":true,"observed":null,"threshold":null},{"rule":"stale","passed":true,"observed":"0","threshold":"5000"},{"rule":"consensus","passed":true,"observed":"STRONG","threshold":"UNANIMOUS,STRONG"},{"rule":"confidence","passed":true,"observed":"0.75","threshold":"0.7"},{"rule":"trend","passed":true,"observed":"50000.00","threshold":"48000.00"},"#
        ),
        "{line}"
    );
    assert!(
        line.ends_with(r#"{"rule":"open_risk","passed":true,"observed":"22.50","threshold":"300.00"}]}"#)
    );
    let said = desk.send_text(&json!({"type": "fill", "symbol": "BTCUSDT", "price": "50000"}));
    assert_eq!(
        said,
        r#"{"type":"filled","symbol":"BTCUSDT","quantity":"0.010","entry":"50000.00","stop_loss":"47750.00","take_profit":"55625.00"}"#
    );
    let said = desk.price_text("52250");
    assert_eq!(said, r#"{"type":"stop_moved","symbol":"BTCUSDT","kind":"BREAKEVEN","stop":"50050.00"}"#);
    let said = desk.price_text("54500");
    assert_eq!(
        said,
        "{\"type\":\"exit\",\"symbol\":\"BTCUSDT\",\"signal\":\"PARTIAL_TP\",\"quantity\":\"0.005\",\"price\":\"54500.00\",\"r\":\"2.00000000\"}\n\
         {\"type\":\"stop_moved\",\"symbol\":\"BTCUSDT\",\"kind\":\"TRAILING\",\"stop\":\"53000.00\"}"
    );
    let said = desk.price_text("55625");
    assert_eq!(
        said,
        r#"{"type":"exit","symbol":"BTCUSDT","signal":"TAKE_PROFIT","quantity":"0.005","price":"55625.00","r":"2.50000000"}"#
    );
    // 0.005 × 4,500 + 0.005 × 5,625 = 50.625, over a risk of 22.50.
    assert_eq!(
        desk.end_text(),
        r#"{"type":"closed","symbol":"BTCUSDT","pnl":"50.625","r_multiple":"2.25000000","mfe":"2.50000000","mae":"0.00000000","state":"CLOSED_PARTIAL"}"#
    );
}

#[test]
fn its_mirror() {
    let mut desk = Desk::funded(&Settings::DEFAULT);
    let decision = desk.one(&short(json!({})));
    for (field, value) in [
        ("action", "SHORT"),
        ("quantity", "0.010"),
        ("notional", "500.00"),
        ("stop_loss", "52250.00"),
        ("take_profit", "44375.00"),
        ("risk", "22.50"),
        ("risk_pct", "0.00225000"),
        ("reward_risk", "2.50000000"),
    ] {
        assert_eq!(decision[field], value, "{field}");
    }
    let expected: Vec<&str> = ALL.into_iter().chain(["open_risk"]).collect();
    assert_eq!(rules(&decision), expected);
    let moved = desk.price("47750");
    assert_eq!(
        (moved.len(), &moved[0]["kind"], &moved[0]["stop"]),
        (1, &json!("BREAKEVEN"), &json!("49950.00"))
    );
    let said = desk.price("45500");
    assert_eq!((&said[0]["signal"], &said[0]["quantity"]), (&json!("PARTIAL_TP"), &json!("0.005")));
    assert_eq!((&said[1]["kind"], &said[1]["stop"]), (&json!("TRAILING"), &json!("47000.00")));
    let said = desk.price("47000");
    assert_eq!((&said[0]["signal"], &said[0]["r"]), (&json!("STOP_LOSS"), &json!("1.33333333")));
    let closed = desk.end();
    assert_eq!((&closed[0]["pnl"], &closed[0]["r_multiple"]), (&json!("37.50"), &json!("1.66666667")));
}

#[test]
fn without_the_cap_the_risk_decides() {
    let free = Settings { max_position_usd: Dec::int(1_000_000), ..Settings::DEFAULT };
    let decision = Desk::funded(&free).one(&signal(json!({})));
    assert_eq!((&decision["quantity"], &decision["notional"]), (&json!("0.044"), &json!("2200.00")));
    assert_eq!((&decision["risk"], &decision["risk_pct"]), (&json!("99.00"), &json!("0.00990000")));
}

/// 0.1 × 1.5 is 0.15 and not a hair more or less.
#[test]
fn given_numbers_are_used_exactly() {
    let settings = Settings { min_stop_cost: Dec::ZERO, ..Settings::DEFAULT };
    for (atr, stop) in [("0.1", "9.85"), ("0.100000000000000001", "9.84")] {
        let mut desk = Desk::funded(&settings);
        desk.quiet(&json!({
            "type": "instrument", "symbol": "CENT", "tick": "0.01", "step": "0.001", "min_qty": "0.001",
            "min_notional": 5,
        }));
        let changes = json!({"symbol": "CENT", "price": 10, "ema_200": 10, "spread_bps": 0, "atr": atr});
        let decision = desk.one(&signal(changes));
        assert_eq!(
            (&decision["stop_loss"], &decision["take_profit"]),
            (&json!(stop), &json!("10.37")),
            "{atr}"
        );
    }
}
