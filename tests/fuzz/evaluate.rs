//! Scenario lines: each is answered by lines of JSON; one that is refused changes nothing; what is approved
//! keeps the limits.

use std::collections::BTreeMap;

use quantum_trader::evaluate::Scenario;
use quantum_trader::num::Dec;
use quantum_trader::risk::config::Settings;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::target::{Target, assert_one_line, bounded};

/// Refused whatever was before it.
const NO_LINE: &[u8] = b"no line";
/// A first line that asks for settings which let nearly everything through.
const LENIENT: &[u8] = b"lenient\n";

fn lenient() -> Settings {
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

/// What a scenario says to each of its lines, and at its end.
fn answers(settings: &Settings, lines: &[&[u8]]) -> Vec<String> {
    let mut scenario = Scenario::new(settings);
    let mut said: Vec<String> = lines.iter().map(|line| scenario.line(line).to_string()).collect();
    said.push(scenario.end().to_string());
    said
}

fn check_lines(bytes: &[u8]) -> bool {
    let (settings, rest) = match bytes.strip_prefix(LENIENT) {
        Some(rest) => (lenient(), rest),
        None => (Settings::DEFAULT, bytes),
    };
    let lines: Vec<&[u8]> = rest.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
    let said = bounded(bytes.len(), 1 << 20, 4_096, || answers(&settings, &lines));
    let mut refused = vec![false; lines.len() + 1];
    for (index, text) in said.iter().enumerate() {
        let read = |line: &str| serde_json::from_str::<Value>(line).unwrap();
        let said: Vec<Value> = text.lines().map(read).collect();
        let errors: Vec<&Value> =
            said.iter().filter(|said| check_answer(&settings, said, index as u64 + 1)).collect();
        assert!(errors.len() <= 1, "{text}");
        refused[index] = errors.len() == 1;
        if let Some(expected) = lines.get(index).and_then(|line| no_object(line)) {
            let error = errors.first().and_then(|said| said["error"].as_str());
            assert_eq!(error, Some(expected.as_str()), "{}", lines[index].escape_ascii());
        }
    }
    // Exits that are due fill at any line, and may cause others: so another refused line in its place.
    let others: Vec<&[u8]> =
        lines.iter().zip(&refused).map(|(line, no)| if *no { NO_LINE } else { *line }).collect();
    if others != lines {
        let events = |said: &[String]| {
            let lines = said.iter().flat_map(|text| text.lines());
            lines.filter(|line| !line.starts_with(r#"{"type":"error""#)).map(String::from).collect::<Vec<_>>()
        };
        assert_eq!(events(&answers(&settings, &others)), events(&said), "a refused line changed something");
    }
    !refused.contains(&true)
}

/// What is said of a line that is no JSON object, whatever else it is.
fn no_object(line: &[u8]) -> Option<String> {
    let Ok(text) = std::str::from_utf8(line) else { return Some("not UTF-8".to_string()) };
    let read: Result<BTreeMap<String, &RawValue>, _> = serde_json::from_str(text);
    Some(format!("not a JSON object: {}", read.err()?))
}

/// `true` if the line was refused.
fn check_answer(settings: &Settings, said: &Value, number: u64) -> bool {
    let decimal = |name: &str| said[name].as_str().map(|text| Dec::parse(text).unwrap());
    match said["type"].as_str().unwrap() {
        "error" => {
            let error = said["error"].as_str().unwrap();
            assert_one_line(error);
            assert_eq!(said["line"], number);
            assert!(!(error.contains(": alarm ") && error.ends_with(" in the engine")), "{error}");
            true
        }
        "decision" if said["approved"] == true => {
            let above_zero = |name: &str| decimal(name).is_some_and(|value| value > Dec::ZERO);
            assert!(["quantity", "notional", "entry"].into_iter().all(above_zero), "{said}");
            assert!(
                decimal("notional").is_some_and(|notional| notional <= settings.max_position_usd),
                "{said}"
            );
            false
        }
        "decision" => {
            assert!(said["quantity"].is_null() && said["reason"].is_string(), "{said}");
            false
        }
        "filled" | "exit" | "stop_moved" | "closed" | "reset" => false,
        other => panic!("{other} is no line of ours"),
    }
}

const ACCOUNT: &str = r#"{"type":"account","equity":"10000"}"#;
const BTC: &str = r#"{"type":"instrument","symbol":"BTCUSDT","tick":"0.1","step":"0.001","min_qty":"0.001","min_notional":"5"}"#;
/// The same on another grid.
const COARSE: &str = r#"{"type":"instrument","symbol":"BTCUSDT","tick":"1","step":"0.01","min_qty":"0.01","min_notional":"5"}"#;
const SOL: &str = r#"{"type":"instrument","symbol":"SOLUSDT","tick":"1","step":"1","min_qty":0,"min_notional":0,"taker_fee":"0.1","maintenance_margin":"0.02","leverage":5}"#;
const LONG: &str = r#"{"type":"signal","symbol":"BTCUSDT","action":"LONG","consensus":"STRONG","confidence":"0.75","price":"50000","spread_bps":"10","atr":"1500","ema_200":"48000","volume_24h":"5000000000"}"#;
const SHORT: &str = r#"{"type":"signal","symbol":"SOLUSDT","action":"SHORT","consensus":"UNANIMOUS","confidence":"0.9","price":"150","bid":"149","ask":"150","atr":"5","ema_200":"160","volume_24h":"5000000000","time_ms":60000}"#;
const VOTES: &str = r#"{"type":"signal","symbol":"BTCUSDT","votes":{"xgboost":["LONG","0.8"],"lightgbm":["LONG","0.9"],"nhits":["LONG",1]},"price":"50000","spread_bps":1,"atr":"1500","ema_200":"48000","volume_24h":"5000000000"}"#;
const FILL: &str = r#"{"type":"fill","symbol":"BTCUSDT","price":"50000","quantity":"0.005"}"#;
const HIGHER: &str = r#"{"type":"price","symbol":"BTCUSDT","price":"54500"}"#;
const LOWER: &str = r#"{"type":"price","symbol":"BTCUSDT","price":"40000","bid":"39999","ask":"40001","mark":"40000","time_ms":120000}"#;
const RESET: &str = r#"{"type":"reset"}"#;

#[test]
fn evaluate() {
    let scenario = |lines: &[&str]| lines.join("\n").into_bytes();
    let right = [
        scenario(&[ACCOUNT, BTC, LONG, FILL, HIGHER, LOWER]),
        scenario(&[ACCOUNT, BTC, LONG, HIGHER, RESET, ACCOUNT, BTC, LONG, LOWER]),
        scenario(&[ACCOUNT, BTC, COARSE, LONG, HIGHER, LOWER]),
        scenario(&[ACCOUNT, SOL, SHORT]),
        scenario(&[ACCOUNT, BTC, VOTES, LOWER]),
        scenario(&["lenient", ACCOUNT, BTC, SOL, LONG, SHORT, FILL, FILL, HIGHER, LOWER, LONG]),
    ];
    let target = Target {
        name: "evaluate",
        inputs: 4_000,
        seeds: right.into(),
        recorded: Vec::new(),
        words: vec![
            ACCOUNT,
            BTC,
            LONG,
            FILL,
            HIGHER,
            LOWER,
            RESET,
            "\n",
            "lenient",
            "type",
            "account",
            "instrument",
            "signal",
            "fill",
            "price",
            "reset",
            "votes",
            "xgboost",
            "nhits",
            "LONG",
            "SHORT",
            "HOLD",
            "STRONG",
            "UNANIMOUS",
            "time_ms",
            "quantity",
            "leverage",
            "1000000000000000",
            "100000000",
            "0.000000001",
        ],
        check: check_lines,
    };
    target.run();
}

/// Found by this target: the fill of an exit trips the breaker, whose exits are due a line later, and that line
/// is refused.
#[test]
fn exits_that_exits_cause_are_due_at_a_refused_line() {
    let apart = LOWER.replace(r#""price":"40000""#, r#""price":"80000""#);
    let lines = ["lenient", ACCOUNT, BTC, SOL, LONG, SHORT, FILL, FILL, &apart, "x", RESET];
    assert!(!check_lines(lines.join("\n").as_bytes()));
}
