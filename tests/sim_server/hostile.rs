//! Clients that make no sense, and a venue that is told to make none: an answer or an end, never a
//! panic.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use quantum_trader::sim::server::{Disturbance, Wire};
use serde_json::json;

use super::support::*;

const LIST: &str = r#"{"method":"LIST_SUBSCRIPTIONS","id":3}"#;

fn user_path(sim: &Sim) -> String {
    let (_, body) = sim.send("POST", "/fapi/v1/listenKey", "", Some("sim"));
    format!("/private/ws?listenKey={}", body["listenKey"].as_str().unwrap())
}

/// What the server says to raw bytes, up to its first pause or the end.
fn raw(sim: &Sim, request: &[u8]) -> String {
    let mut socket = TcpStream::connect(sim.addr()).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    // A server that has heard enough may hang up in the middle.
    let _ = socket.write_all(request);
    let _ = socket.shutdown(std::net::Shutdown::Write);
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn requests_of_the_order_socket_that_make_no_sense() {
    let sim = Sim::start(books());
    let mut api = sim.ws("/ws-fapi/v1");
    let deep = "[".repeat(20_000);
    for text in [
        "",
        "{",
        "null",
        "[]",
        "7",
        r#"{"id":1}"#,
        r#"{"id":1,"method":7}"#,
        r#"{"id":1,"method":"order.place","params":[]}"#,
        r#"{"id":1,"method":"order.place","params":{"symbol":{"a":1}}}"#,
        r#"{"id":{"x":1},"method":"order.place"}"#,
        r#"{"id":1,"method":"order.place","params":{"apiKey":"sim","signature":"\ud800"}}"#,
        &deep,
    ] {
        api.send(text);
        let answer = api.json();
        let shown = text.get(..60).unwrap_or(text);
        assert!(answer["status"].as_u64().unwrap() >= 400, "{shown}: {answer}");
        assert!(answer["error"]["code"].as_i64().unwrap() < 0, "{shown}");
    }
    let many: serde_json::Map<String, serde_json::Value> =
        (0..10_000).map(|i| (format!("p{i}"), json!("x"))).collect();
    api.send(&json!({ "id": 1, "method": "order.place", "params": many }).to_string());
    // Beyond the longest message the connection ends; this one is below it and refused.
    assert_eq!(api.json()["error"]["code"], -1101);
    api.send(
        &json!({ "id": 1, "method": "order.place", "params": { "x": "y".repeat(200_000) } }).to_string(),
    );
    assert!(api.rest().is_empty());
    sim.at(10);
}

#[test]
fn requests_by_rest_that_make_no_sense() {
    let sim = Sim::start(books());
    for (query, wanted) in [
        ("symbol=%zz", (400, -1100)),
        ("symbol=%ff%fe", (400, -1100)),
        ("&&&==&", (400, -1102)),
        ("symbol=BTCUSDT&interval=1m&limit=99999999999999999999", (400, -1100)),
        ("symbol=BTCUSDT&interval=1m&limit=-1", (200, 0)),
        ("symbol=BTCUSDT&interval=1m&startTime=-9223372036854775808", (200, 0)),
    ] {
        assert_eq!(code(&sim.get("/fapi/v1/klines", query)), wanted, "{query}");
    }
    let long = format!("symbol={}", "x".repeat(100_000));
    let answer = raw(&sim, format!("GET /fapi/v1/klines?{long} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes());
    assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
    let body = "x".repeat(100_000);
    let request =
        format!("POST /fapi/v1/order HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    assert!(raw(&sim, request.as_bytes()).starts_with("HTTP/1.1 413"));
    let binary = b"POST /fapi/v1/order HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n\xff\xfe";
    assert!(raw(&sim, binary).starts_with("HTTP/1.1 400"));
    for garbage in [&b"\x16\x03\x01\x00\xa5hello"[..], b"GET", b"\r\n\r\n\r\n", &[0; 4_096]] {
        let answer = raw(&sim, garbage);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    // A plain request where a websocket is expected.
    assert_eq!(sim.get("/public/ws", "").0, 400);
    sim.at(10);
}

#[test]
fn too_many_streams_and_too_many_words() {
    let sim = Sim::start(books());
    let names: Vec<String> = (0..1_025).map(|i| format!("s{i}@depth")).collect();
    let url = format!("ws://{}/public/stream?streams={}", sim.addr(), names.join("/"));
    assert!(Ws::open(&url, &quantum_trader::wire::Roots::Public).is_err());
    let mut ws = sim.ws("/public/ws");
    ws.send(&json!({ "method": "SUBSCRIBE", "params": names, "id": 1 }).to_string());
    assert!(ws.rest().is_empty());

    // Ten words a second are allowed, however fast they come.
    for path in ["/public/ws".to_string(), user_path(&sim)] {
        let mut chatty = sim.ws(&path);
        for _ in 0..500 {
            chatty.try_send(LIST);
        }
        assert!(chatty.rest().len() < 500);
    }
    sim.at(10);
}

#[test]
fn a_venue_that_speaks_nonsense_floods_and_closes() {
    let sim = Sim::start(books());
    let mut ws = sim.ws("/public/ws/btcusdt@bookTicker");
    sim.server.disturb(Disturbance::Nonsense);
    let said = [ws.next(), ws.next(), ws.next()];
    assert!(said.iter().any(|text| serde_json::from_str::<serde_json::Value>(text).is_err()), "{said:?}");
    sim.server.disturb(Disturbance::Pings(500));
    ws.nothing_before(LIST);
    assert_eq!((ws.binary, ws.pings()), (1, 500));
    sim.at(10);
    ws.next();
    sim.server.disturb(Disturbance::Close);
    assert!(ws.rest().is_empty());
    sim.ws("/public/ws").nothing_before(LIST);
}

#[test]
fn bytes_that_come_one_by_one_are_a_message_all_the_same() {
    let sim = Sim::start(books());
    let mut ws = sim.ws("/public/stream?streams=btcusdt@bookTicker");
    sim.server.faults().set_wire(Wire::Trickle);
    sim.at(10);
    assert_eq!(ws.next(), books()[0].1);
}

#[test]
fn a_frame_cut_in_the_middle_is_the_end() {
    let sim = Sim::start(books());
    let mut ws = sim.ws("/public/stream?streams=btcusdt@bookTicker");
    sim.server.faults().set_wire(Wire::Cut);
    sim.set(10);
    sim.server.disturb(Disturbance::Pings(1));
    assert!(ws.rest().is_empty());
    sim.server.faults().set_wire(Wire::Whole);
    sim.at(20);
}
