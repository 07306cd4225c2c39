//! The start: what is read, set and refused.

use super::wire_support::tls::Authority;
use super::*;
use quantum_trader::gateway::history;
use quantum_trader::venue::binance::sign::Signer;
use rustls::version::TLS13;

#[test]
fn an_account_as_it_is_found() {
    let server = venue(None);
    let prepared = start(&server).unwrap();
    let symbols: Vec<String> =
        prepared.reading.instruments.iter().map(|(_, row)| row.symbol.to_string()).collect();
    assert_eq!(symbols, ["BTCUSDT", "ETHUSDT"], "as asked for, not as listed");
    let said: Vec<String> = prepared.reading.events.iter().map(|event| words(&event.body)).collect();
    assert_eq!(said, ["Leverage 5", "Snapshot 1000.5", "Position -10", "Clock"]);
    assert_eq!(prepared.reading.events[2].instrument, InstrumentId(1));
    assert_eq!(prepared.reading.notes, ["DOGEUSDT: a position that is not ours to manage"]);
    assert_eq!(prepared.reading.clock_offset_ms, 250);
    let (user, orders) = server.both_sockets();
    assert_eq!(
        (user.path.as_str(), orders.path.as_str()),
        ("/private/ws?listenKey=the-listen-key", "/ws-fapi/v1")
    );

    let calls = server.until("GET /fapi/v1/openAlgoOrders");
    let leverage = calls.iter().find(|call| call.path == "/fapi/v1/leverage").unwrap();
    assert!(
        leverage.query.starts_with("symbol=ETHUSDT&leverage=5&"),
        "only where it differs: {}",
        leverage.query
    );
    let mut signed = 0;
    for call in &calls {
        if let Some((payload, signature)) = call.query.split_once("&signature=") {
            assert!(Signer::new(SECRET).unwrap().verify(payload, signature), "{}", call.path);
            assert!(
                payload.contains(&format!("timestamp={}", T0_MS + 250)),
                "in the venue's time: {payload}"
            );
            assert!(call.head.to_lowercase().contains("x-mbx-apikey: the-key"));
            signed += 1;
        } else {
            assert!(!call.head.contains("the-key") || call.path == "/fapi/v1/listenKey", "{}", call.path);
        }
    }
    assert_eq!(signed, 7);
}

#[test]
fn orders_of_ours_that_are_open_are_found() {
    let server = venue(None);
    server.answer("GET /fapi/v1/openOrders", 200, &json!([
        {"orderId": 5, "symbol": "BTCUSDT", "clientOrderId": "qt-00000006-00000001", "status": "PARTIALLY_FILLED", "executedQty": "0.001", "updateTime": 1},
        {"orderId": 6, "symbol": "BTCUSDT", "clientOrderId": "web_1", "status": "NEW", "executedQty": "0", "updateTime": 1},
        {"orderId": 7, "symbol": "DOGEUSDT", "clientOrderId": "qt-00000006-00000002", "status": "NEW", "executedQty": "0", "updateTime": 1}]));
    server.answer("GET /fapi/v1/openAlgoOrders", 200, &json!([
        {"algoId": 8, "symbol": "ETHUSDT", "clientAlgoId": "qt-00000006-00000003", "algoStatus": "NEW", "updateTime": 1}]));
    let prepared = start(&server).unwrap();
    let said: Vec<String> = prepared.reading.events.iter().skip(3).map(|event| words(&event.body)).collect();
    assert_eq!(said, ["Accepted 1", "Accepted 3", "Clock"]);
    assert!(
        prepared.reading.notes[1].starts_with("DOGEUSDT: an order of ours"),
        "{:?}",
        prepared.reading.notes
    );
}

#[test]
fn what_stops_a_start_and_what_to_do_about_it() {
    let account = |key: &str, value: bool| {
        let mut body = json!({"dualSidePosition": false, "multiAssetsMargin": false, "canTrade": true});
        body[key] = json!(value);
        body
    };
    let rows: [(&str, u16, Value, &[&str]); 9] = [
        (
            "GET /fapi/v1/accountConfig",
            200,
            account("dualSidePosition", true),
            &["hedge mode", "one-way position mode"],
        ),
        (
            "GET /fapi/v1/accountConfig",
            200,
            account("multiAssetsMargin", true),
            &["multi-assets", "single-asset mode"],
        ),
        ("GET /fapi/v1/accountConfig", 200, account("canTrade", false), &["may not trade"]),
        (
            "GET /fapi/v1/accountConfig",
            401,
            json!({"code": -2015, "msg": "Invalid API-key, IP, or permissions for action"}),
            &["/fapi/v1/accountConfig", "401", "-2015", "permissions"],
        ),
        ("POST /fapi/v1/leverage", 200, json!({"leverage": 4}), &["ETHUSDT", "5", "4"]),
        ("GET /fapi/v3/account", 200, json!({"assets": []}), &["USDT"]),
        (
            "GET /fapi/v3/positionRisk",
            200,
            json!([{"symbol": "BTCUSDT", "positionSide": "BOTH", "positionAmt": "0.00005", "entryPrice": "1"}]),
            &["positionRisk", "multiple"],
        ),
        ("GET /fapi/v1/exchangeInfo", 200, json!({"symbols": []}), &["no symbol is TRADING"]),
        ("GET /fapi/v1/time", 200, json!("<html>"), &["/fapi/v1/time", "can't be read"]),
    ];
    for (call, status, body, parts) in rows {
        let server = venue(None);
        server.answer(call, status, &body);
        let error = refusal(&server);
        assert!(parts.iter().all(|part| error.contains(part)), "{call}: {error}");
        assert_eq!(error.lines().count(), 1);
        for secret in ["the-key", SECRET, "signature"] {
            assert!(!error.contains(secret), "{error}");
        }
    }
}

#[test]
fn a_venue_that_is_not_there_or_hangs_up() {
    let server = venue(None);
    let mut config = config(&server, Roots::Public);
    // Nobody listens at a port just given back.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    config.endpoints.rest = format!("http://{free}");
    let error = prepare(config.clone(), credentials(), &Clock::new()).err().unwrap().to_string();
    assert!(error.contains("/fapi/v1/time") && error.contains("can't be reached"), "{error}");
    config.endpoints.rest = Endpoints::at(&server.authority, false).rest;
    config.endpoints.api = format!("ws://{free}/ws-fapi/v1");
    let error = prepare(config, credentials(), &Clock::new()).err().unwrap().to_string();
    assert!(error.contains("order websocket"), "{error}");
    // A request without an answer: the connection is closed instead.
    let silent = Server::start(None);
    assert!(refusal(&silent).contains("/fapi/v1/time"));
}

#[test]
fn everything_over_tls() {
    let authority = Authority::new("qtx test");
    let server = venue(Some(authority.server(&["127.0.0.1"], &[&TLS13])));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, authority.pem()).unwrap();
    let prepared = prepare(config(&server, Roots::File(file.clone())), credentials(), &Clock::new()).unwrap();
    assert_eq!(prepared.reading.events.len(), 4);
    // Another authority's word is not taken, by REST either.
    std::fs::write(&file, Authority::new("another").pem()).unwrap();
    let error = prepare(config(&server, Roots::File(file)), credentials(), &Clock::new()).err().unwrap();
    assert!(error.to_string().contains("/fapi/v1/time"), "{error}");
}

#[test]
fn history_is_the_closed_bars() {
    let server = venue(None);
    let prepared = start(&server).unwrap();
    let row = |open_ms: i64, close: &str| {
        json!([
            open_ms,
            "60000.0",
            "60010.0",
            "59990.0",
            close,
            "12.5",
            open_ms + 59_999,
            "750000.5",
            7,
            "6.25",
            "1",
            "0"
        ])
    };
    let minute = T0_MS - T0_MS % 60_000;
    server.answer(
        "GET /fapi/v1/klines",
        200,
        &json!([row(minute - 60_000, "60001.0"), row(minute, "60002.0")]),
    );
    server.until("GET /fapi/v1/openAlgoOrders");
    let bars = prepared.history(BTC, 60, 200, &Clock::new()).unwrap();
    let query = server.expect("GET /fapi/v1/klines").query;
    assert_eq!(query, "symbol=BTCUSDT&interval=1m&limit=201");
    assert_eq!(bars.len(), 1, "the other one is open");
    let bar = bars[0];
    assert_eq!((bar.close, bar.trades, bar.closed, bar.interval_s), (Ticks(600_010), 7, true, 60));
    assert_eq!(bar.quote_volume, Dec::new(7_500_005, 1));
    // A length without a name is asked for by its seconds: only a simulated venue has it.
    prepared.history(BTC, 7, 1, &Clock::new()).unwrap();
    assert_eq!(server.expect("GET /fapi/v1/klines").query, "symbol=BTCUSDT&interval=7s&limit=2");
    let _ = history; // the same for runs without an account
}
