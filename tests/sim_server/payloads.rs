//! Every message has the keys the venue's own have, and its numbers their form.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::support::*;

/// Recorded and documented payloads, or `None` where there are none.
fn recorded(file: &str) -> Option<Vec<Value>> {
    let folder = std::env::var("QT_TEST_DATA").unwrap_or_else(|_| "../shared/data".to_string());
    let path = PathBuf::from(folder).join("user-data").join(file);
    let Ok(text) = fs::read_to_string(&path) else {
        eprintln!("skipped: {} is not there", path.display());
        return None;
    };
    Some(text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

/// The JSON of a documented payload.
fn documented(rows: &[Value], api: &str, name: &str) -> Value {
    let row = rows.iter().find(|row| row["api"] == api && row["fn"] == name);
    row.unwrap_or_else(|| panic!("no {api} {name}"))["json"].clone()
}

fn key_set(value: &Value) -> BTreeSet<String> {
    value.as_object().unwrap().keys().cloned().collect()
}

/// `ours` has all keys of `theirs` but those of other order types and modes, and no others but
/// `more`.
fn same_keys(what: &str, ours: &Value, theirs: &Value, without: &[&str], more: &[&str]) {
    let mut wanted = key_set(theirs);
    wanted.retain(|key| !without.contains(&key.as_str()));
    wanted.extend(more.iter().map(|key| key.to_string()));
    assert_eq!(key_set(ours), wanted, "{what}");
}

/// What a text looks like: digits as `9`, so that signs, points and places are compared.
fn form(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let places = text.split_once('.').map(|(_, places)| places.len());
    format!("{} {}", value.is_string(), places.map_or("whole".to_string(), |places| places.to_string()))
}

/// Keys of trailing stops, which the simulated venue does not have.
const TRAILING: [&str; 2] = ["activatePrice", "priceRate"];

/// A venue on which one order filled, one stop rests and one triggered: its user stream, by event.
fn told() -> (Sim, Vec<Value>) {
    let more = [(100, quote("BTCUSDT", "48999.00", "49000.00")), (101, trade("BTCUSDT", "48999.50"))];
    let funding = mark("BTCUSDT", "50000.00000000", ms(50).ms());
    let sim = Sim::start(books().into_iter().chain([(5, funding)]).chain(more).collect());
    sim.at(10);
    let (mut api, mut user) = (sim.ws("/ws-fapi/v1"), sim.user_stream());
    let mut ask = |at_ms: i64, method: &str, params: Value| {
        api.send(&sim.api_text("x", method, params));
        api.send(r#"{"id":"there","method":"ping"}"#);
        assert_eq!(api.json()["id"], "there");
        sim.at(at_ms);
        let answer = api.json();
        assert_eq!(answer["status"], 200, "{answer}");
    };
    let order = json!({ "symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.010" });
    ask(20, "order.place", order);
    for (at_ms, trigger) in [(30, "49000.0"), (40, "40000.0")] {
        let stop = json!({
            "symbol": "BTCUSDT", "side": "SELL", "algoType": "CONDITIONAL", "type": "STOP_MARKET",
            "quantity": "0.005", "triggerPrice": trigger, "reduceOnly": "true",
        });
        ask(at_ms, "algoOrder.place", stop);
    }
    sim.at(200);
    let mut events: Vec<Value> = Vec::new();
    while !events.iter().any(|event| event["o"]["X"] == "FINISHED") {
        events.push(user.json());
    }
    (sim, events)
}

fn find<'a>(events: &'a [Value], event: &str, state: &str) -> &'a Value {
    let found = events.iter().find(|e| e["e"] == event && (state.is_empty() || e["o"]["X"] == state));
    found.unwrap_or_else(|| panic!("no {event} {state}"))
}

#[test]
fn the_user_stream_is_the_recorded_one() {
    let Some(rows) = recorded("binance_um_user_stream_recorded.jsonl") else { return };
    let raw = |seq: &str| -> Value {
        let row = rows.iter().find(|row| row["seq"].as_str().unwrap().starts_with(seq)).unwrap();
        serde_json::from_str(row["raw"].as_str().unwrap()).unwrap()
    };
    let (_sim, events) = told();
    let lite = find(&events, "TRADE_LITE", "");
    same_keys("TRADE_LITE", lite, &raw("B1"), &[], &[]);
    for (state, seq) in [("NEW", "B2"), ("FILLED", "B4")] {
        let (ours, theirs) = (find(&events, "ORDER_TRADE_UPDATE", state), raw(seq));
        same_keys(state, ours, &theirs, &[], &[]);
        // `er` came with 2026.
        same_keys(state, &ours["o"], &theirs["o"], &[], &["er"]);
        for key in ["q", "p", "sp", "l", "z", "n", "rp", "b", "a"] {
            // What realised nothing is a plain zero.
            if key != "rp" {
                assert_eq!(form(&ours["o"][key]), form(&theirs["o"][key]), "{state} {key}");
            }
        }
    }
    same_keys("2026", &find(&events, "ORDER_TRADE_UPDATE", "NEW")["o"], &raw("E2")["o"], &[], &[]);
    let (ours, theirs) = (find(&events, "ACCOUNT_UPDATE", ""), raw("A3"));
    same_keys("account", &ours["a"], &theirs["a"], &[], &[]);
    same_keys("balance", &ours["a"]["B"][0], &theirs["a"]["B"][0], &[], &[]);
    same_keys("position", &ours["a"]["P"][0], &theirs["a"]["P"][0], &[], &[]);
    for key in ["pa", "up", "cr", "iw"] {
        assert_eq!(form(&ours["a"]["P"][0][key]), form(&theirs["a"]["P"][0][key]), "{key}");
    }
    assert_eq!(form(&ours["a"]["B"][0]["wb"]), form(&theirs["a"]["B"][0]["wb"]));
    let funding = events.iter().find(|event| event["a"]["m"] == "FUNDING_FEE").unwrap();
    assert_eq!(form(&funding["a"]["B"][0]["bc"]), form(&raw("E3")["a"]["B"][0]["bc"]));
}

#[test]
fn conditional_orders_are_told_as_documented() {
    let Some(rows) = recorded("nautilus_binance_futures_fixtures.jsonl") else { return };
    let named = |name: &str| rows.iter().find(|row| row["name"] == name).unwrap()["json"].clone();
    let (_sim, events) = told();
    let theirs = named("user_data_json/algo_update_new");
    for state in ["NEW", "TRIGGERING", "TRIGGERED", "FINISHED"] {
        let ours = find(&events, "ALGO_UPDATE", state);
        same_keys(state, ours, &theirs, &[], &[]);
        same_keys(state, &ours["o"], &theirs["o"], &[], &[]);
    }
}

#[test]
fn answers_have_the_documented_keys() {
    let Some(rows) = recorded("binance_connector_rust_usds_futures_samples.jsonl") else { return };
    let rest = |name: &str| documented(&rows, "rest_api", name);
    let (sim, _) = told();
    let get = |path: &str, query: &str| {
        let (status, body) = sim.signed("GET", path, query);
        assert_eq!(status, 200, "{path}: {body}");
        body
    };
    let account = rest("account_information_v3");
    let ours = get("/fapi/v3/account", "");
    same_keys("account v3", &ours, &account, &[], &[]);
    same_keys("asset v3", &ours["assets"][0], &account["assets"][0], &[], &[]);
    same_keys("position v3", &ours["positions"][0], &account["positions"][0], &[], &[]);
    let (ours, theirs) =
        (get("/fapi/v2/account", ""), documented(&rows, "websocket_api", "account_information"));
    same_keys("account v2", &ours, &theirs["result"], &[], &[]);
    same_keys("asset v2", &ours["assets"][0], &theirs["result"]["assets"][0], &[], &[]);
    let (v2, more) = (&theirs["result"]["positions"][0], ["positionInitialMargin", "openOrderInitialMargin"]);
    same_keys(
        "position v2",
        &ours["positions"][0],
        v2,
        &[],
        if v2.get(more[0]).is_some() { &[] } else { &more },
    );
    for (path, name) in [
        ("/fapi/v2/balance", "futures_account_balance_v2"),
        ("/fapi/v2/positionRisk", "position_information_v2"),
        ("/fapi/v3/positionRisk", "position_information_v3"),
        ("/fapi/v1/symbolConfig", "symbol_configuration"),
        ("/fapi/v1/openAlgoOrders", "current_all_algo_open_orders"),
    ] {
        same_keys(name, &get(path, "")[0], &rest(name)[0], &[], &[]);
    }
    same_keys("config", &get("/fapi/v1/accountConfig", ""), &rest("futures_account_configuration"), &[], &[]);
    let by = "symbol=BTCUSDT";
    for (path, name, more) in [
        ("/fapi/v1/premiumIndex", "mark_price", &[][..]),
        ("/fapi/v1/depth", "order_book", &[]),
        ("/fapi/v1/ticker/bookTicker", "symbol_order_book_ticker", &["lastUpdateId"]),
    ] {
        same_keys(name, &get(path, by), &rest(name), &[], more);
    }
    let _ = TRAILING;
}

#[test]
fn answers_about_orders_have_the_documented_keys() {
    let Some(rows) = recorded("binance_connector_rust_usds_futures_samples.jsonl") else { return };
    let ws = |name: &str| documented(&rows, "websocket_api", name)["result"].clone();
    let rest = |name: &str| documented(&rows, "rest_api", name);
    let sim = Sim::start(books());
    sim.at(10);
    let mut api = sim.ws("/ws-fapi/v1");
    let mut now_ms = 10;
    let mut ask = |method: &str, params: Value| {
        api.send(&sim.api_text("x", method, params));
        api.send(r#"{"id":"there","method":"ping"}"#);
        assert_eq!(api.json()["id"], "there");
        now_ms += 5;
        sim.at(now_ms);
        api.json()["result"].clone()
    };
    let buy = json!({ "symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.010", "newClientOrderId": "b" });
    same_keys("placed", &ask("order.place", buy), &ws("new_order"), &[], &[]);
    let by = json!({ "symbol": "BTCUSDT", "origClientOrderId": "b" });
    same_keys("queried", &ask("order.status", by), &ws("query_order"), &TRAILING, &[]);
    let stop = json!({
        "symbol": "BTCUSDT", "side": "SELL", "algoType": "CONDITIONAL", "type": "STOP_MARKET", "quantity": "0.005",
        "triggerPrice": "40000.0", "reduceOnly": "true", "clientAlgoId": "s",
    });
    same_keys("placed algo", &ask("algoOrder.place", stop), &rest("new_algo_order"), &[], &[]);
    let gone = ask("algoOrder.cancel", json!({ "clientAlgoId": "s" }));
    same_keys("cancelled algo", &gone, &ws("cancel_algo_order"), &[], &[]);
}

#[test]
fn exchange_info_gives_the_table_back() {
    let sim = Sim::start(Vec::new());
    let (_, info) = sim.get("/fapi/v1/exchangeInfo", "");
    let table = quantum_trader::venue::binance::parse_exchange_info(info.to_string().as_bytes(), "0.0005");
    assert_eq!(table.unwrap(), instruments());
    let folder = std::env::var("QT_TEST_DATA").unwrap_or_else(|_| "../shared/data".to_string());
    let path = PathBuf::from(folder).join("user-data/exchangeInfo_um_20260910_btc_eth_demo.json");
    let Ok(text) = fs::read_to_string(path) else { return };
    let theirs: Value = serde_json::from_str(&text).unwrap();
    same_keys("exchangeInfo", &info, &theirs, &[], &[]);
    same_keys("symbol", &info["symbols"][0], &theirs["symbols"][0], &[], &[]);
}
