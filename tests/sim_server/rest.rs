//! REST beside orders: market data, security, settings.

use quantum_trader::event::{Bar, BarSource};
use quantum_trader::num::{Dec, InstrumentId, Size, Ticks};
use quantum_trader::sim::server::ServerConfig;
use quantum_trader::venue::binance::sign::Signer;
use serde_json::json;

use super::support::*;

fn minute(open_ms: i64) -> Bar {
    Bar {
        open_ms,
        open: Ticks(500_000),
        high: Ticks(500_100),
        low: Ticks(499_900),
        close: Ticks(500_050),
        volume: Size(2_000_000),
        quote_volume: Dec::int(100_000),
        taker_buy_volume: Size(500_000),
        event_ms: 0,
        trades: 7,
        interval_s: 60,
        closed: true,
        source: BarSource::History,
        pad: [0; 6],
    }
}

#[test]
fn klines_are_history_and_what_the_stream_closed() {
    let start_ms = T0.ms() - T0.ms().rem_euclid(300_000);
    let history = (1..=15).rev().map(|i| (InstrumentId(0), minute(start_ms - i * 60_000))).collect();
    let closed = format!(
        r#"{{"e":"kline","E":5,"s":"BTCUSDT","k":{{"t":{start_ms},"T":1,"s":"BTCUSDT","i":"1m","f":1,"L":1,"o":"50000.0","c":"50001.0","h":"50002.0","l":"49999.0","v":"1.000","n":3,"x":true,"q":"50000.5","V":"0.250","Q":"1","B":"0"}}}}"#
    );
    let config = ServerConfig { history, ..ServerConfig::default() };
    let sim = Sim::start_with(config, vec![(1, closed)]);
    sim.at(10);
    let klines = |query: &str| sim.get("/fapi/v1/klines", &format!("symbol=BTCUSDT&{query}"));
    let (status, rows) = klines("interval=1m&limit=2");
    assert_eq!(status, 200);
    assert_eq!(rows[0][0], start_ms - 60_000);
    assert_eq!(
        rows[1],
        json!([
            start_ms,
            "50000.0",
            "50002.0",
            "49999.0",
            "50001.0",
            "1",
            start_ms + 59_999,
            "50000.5",
            3,
            "0.25",
            "12500.125",
            "0"
        ])
    );
    let (_, rows) = klines("interval=5m");
    assert_eq!(rows.as_array().unwrap().len(), 3);
    assert_eq!((&rows[2][5], &rows[2][8]), (&json!("10"), &json!(35)));
    let (_, rows) = klines(&format!("interval=1m&endTime={}", start_ms - 600_000));
    assert_eq!(rows.as_array().unwrap().len(), 6);
    assert_eq!(code(&klines("interval=7m")), (400, -1120));
    assert_eq!(code(&klines("interval=5s")), (400, -1120));
    assert_eq!(code(&sim.get("/fapi/v1/klines", "interval=1m")), (400, -1102));
    assert_eq!(code(&sim.get("/fapi/v1/klines", "symbol=X&interval=1m")), (400, -1121));
}

#[test]
fn the_market_as_it_was_last_seen() {
    let sim = Sim::start(books().into_iter().chain([(2, mark("BTCUSDT", "50000.12345678", 99))]).collect());
    assert_eq!(sim.get("/fapi/v1/depth", "symbol=BTCUSDT").1["bids"], json!([]));
    sim.at(10);
    let depth = sim.get("/fapi/v1/depth", "symbol=BTCUSDT&limit=5").1;
    assert_eq!((&depth["bids"], &depth["asks"]), (&json!([["50000.0", "9"]]), &json!([["50000.1", "9"]])));
    assert_eq!(depth["lastUpdateId"], 7);
    let ticker = sim.get("/fapi/v1/ticker/bookTicker", "").1;
    assert_eq!((&ticker[1]["symbol"], &ticker[1]["askPrice"]), (&json!("ETHUSDT"), &json!("3000.01")));
    assert_eq!(sim.get("/fapi/v1/ticker/price", "symbol=BTCUSDT").1["price"], "50000.0");
    let index = sim.get("/fapi/v1/premiumIndex", "symbol=BTCUSDT").1;
    assert_eq!((&index["markPrice"], &index["nextFundingTime"]), (&json!("50000.12345678"), &json!(99)));
}

#[test]
fn signatures_and_time_are_checked() {
    let sim = Sim::start(Vec::new());
    sim.at(10_000);
    let ask = |query: &str, key| sim.send("GET", "/fapi/v3/account", query, key);
    let good = sign("", ms(10_000));
    assert_eq!(ask(&good, Some("sim")).0, 200);
    assert_eq!(code(&ask(&good, Some("other"))), (401, -2015));
    assert_eq!(code(&ask(&good, None)), (401, -2015));
    assert_eq!(code(&ask(&good.replace("timestamp=", "timestamp=1"), Some("sim"))), (400, -1022));
    assert_eq!(code(&ask("timestamp=1", Some("sim"))), (400, -1102));
    assert_eq!(code(&ask(&format!("{good}x"), Some("sim"))), (400, -1022));
    let at = |at_ms: i64, window: &str| code(&ask(&sign(window, ms(at_ms)), Some("sim")));
    assert_eq!(at(4_999, ""), (400, -1021));
    assert_eq!(at(5_001, ""), (200, 0));
    assert_eq!(at(5_001, "recvWindow=100"), (400, -1021));
    assert_eq!(at(11_000, ""), (200, 0));
    assert_eq!(at(11_001, ""), (400, -1021));
    assert_eq!(at(10_000, "recvWindow=60001"), (400, -1130));
}

/// More frames than the venue does between two looks at its requests.
#[test]
fn a_venue_that_is_behind_calls_no_clock_fast() {
    let frames = (1..=5_000).map(|i| (i * 10, quote("BTCUSDT", "50000.0", "50000.1")));
    let sim = Sim::start(frames.collect());
    sim.set(50_001);
    assert_eq!(sim.signed("GET", "/fapi/v3/account", "").0, 200);
}

#[test]
fn settings_of_the_account() {
    let sim = Sim::start(Vec::new());
    let signed = |method: &str, path: &str, query: &str| sim.signed(method, path, query);
    assert_eq!(signed("GET", "/fapi/v1/positionSide/dual", "").1, json!({ "dualSidePosition": false }));
    assert_eq!(signed("GET", "/fapi/v1/multiAssetsMargin", "").1, json!({ "multiAssetsMargin": false }));
    assert_eq!(code(&signed("POST", "/fapi/v1/positionSide/dual", "dualSidePosition=false")), (400, -4059));
    assert_eq!(signed("POST", "/fapi/v1/positionSide/dual", "dualSidePosition=true").0, 400);
    let leverage = signed("POST", "/fapi/v1/leverage", "symbol=BTCUSDT&leverage=5");
    assert_eq!((leverage.0, &leverage.1["leverage"]), (200, &json!(5)));
    assert_eq!(code(&signed("POST", "/fapi/v1/leverage", "symbol=BTCUSDT&leverage=20")), (400, -4028));
    assert_eq!(signed("GET", "/fapi/v1/symbolConfig", "symbol=ETHUSDT").1[0]["marginType"], "CROSSED");
    let flat = signed("GET", "/fapi/v3/positionRisk", "");
    assert_eq!(flat, (200, json!([])));
    assert_eq!(signed("GET", "/fapi/v2/positionRisk", "").1.as_array().unwrap().len(), 2);
}

#[test]
fn what_is_not_there_is_said_to_be_so() {
    let sim = Sim::start(Vec::new());
    assert_eq!(code(&sim.get("/fapi/v9/nothing", "")), (404, -5000));
    assert_eq!(code(&sim.get("/", "")), (404, -5000));
    assert_eq!(code(&sim.send("PATCH", "/fapi/v1/time", "", None)), (404, -5000));
    let mut api = sim.ws("/ws-fapi/v1");
    for method in ["session.logon", "order.modify", ""] {
        api.send(&json!({ "id": 7, "method": method }).to_string());
        let answer = api.json();
        assert_eq!((&answer["id"], &answer["error"]["code"]), (&json!(7), &json!(-5000)), "{method}");
    }
    api.send(r#"{"id":"t","method":"time"}"#);
    assert_eq!(api.json()["result"]["serverTime"], T0.ms());
    for method in ["userDataStream.start", "userDataStream.ping"] {
        api.send(&json!({ "id": 8, "method": method, "params": { "apiKey": "sim" } }).to_string());
        assert_eq!(api.json()["result"]["listenKey"].as_str().map(str::len), Some(64));
    }
    api.send(&sim.api_text("9", "v2/account.balance", json!({})));
    assert_eq!(api.json()["result"][0]["asset"], "USDT");
}

#[test]
fn a_form_in_the_body_is_signed_with_the_query() {
    let sim = Sim::start(Vec::new());
    let form = format!("leverage=5&timestamp={}", T0.ms());
    let signature = Signer::new("sim").unwrap().sign(&format!("symbol=BTCUSDT{form}")).to_owned();
    let post = |body: String| {
        let uri = format!("http://{}/fapi/v1/leverage?symbol=BTCUSDT", sim.addr());
        let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
        agent.post(uri).header("X-MBX-APIKEY", "sim").send(body).unwrap().status().as_u16()
    };
    assert_eq!(post(format!("{form}&signature={signature}")), 200);
    assert_eq!(post(format!("{form}0&signature={signature}")), 400);
}

#[test]
fn a_key_pair_signs_as_well() {
    // RFC 8032 §7.1, TEST 1.
    let pem = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n";
    let sim =
        Sim::start_with(ServerConfig { secret: pem.to_string(), ..ServerConfig::default() }, Vec::new());
    let query = format!("timestamp={}", T0.ms());
    let signature = Signer::new(pem).unwrap().sign(&query).to_owned();
    let mut signed = query + "&signature=";
    quantum_trader::venue::binance::percent_encode(&signature, &mut signed);
    assert_eq!(sim.send("GET", "/fapi/v3/account", &signed, Some("sim")).0, 200);
    assert_eq!(code(&sim.signed("GET", "/fapi/v3/account", "")), (400, -1022));
}
