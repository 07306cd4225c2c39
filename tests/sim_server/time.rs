//! What time does to connections and keys.

use quantum_trader::num::NS_PER_SEC;
use quantum_trader::sim::server::{Disturbance, ServerConfig};
use serde_json::json;

use super::support::*;

const MINUTE_MS: i64 = 60_000;

#[test]
fn the_clock_is_told_to_whoever_asks() {
    let sim = Sim::start(books());
    sim.at(1_500);
    let (status, clock) = sim.get("/sim/clock", "");
    // Time has come to just behind the instant whose frames were sent.
    assert_eq!(clock["sim_ns"].as_i64().unwrap() / 1_000, ms(1_500).0 / 1_000);
    assert_eq!((status, &clock["scale"], &clock["lockstep"]), (200, &json!(1.0), &json!(false)));
    assert_eq!(clock["wall_ns"], T0.0);
    assert_eq!(sim.get("/fapi/v1/time", "").1["serverTime"], ms(1_500).ms());
}

#[test]
fn a_listen_key_lives_an_hour_and_its_end_is_told() {
    let sim = Sim::start(Vec::new());
    let mut stream = sim.user_stream();
    let key = |method| sim.send(method, "/fapi/v1/listenKey", "", Some("sim"));
    let first = key("POST").1["listenKey"].clone();
    sim.at(50 * MINUTE_MS);
    assert_eq!(key("PUT"), (200, json!({ "listenKey": first })));
    sim.at(109 * MINUTE_MS);
    assert_eq!(key("POST").1["listenKey"], first, "kept alive");
    sim.at(170 * MINUTE_MS);
    let told = stream.json();
    assert_eq!((&told["e"], &told["listenKey"]), (&json!("listenKeyExpired"), &first));
    assert!(stream.rest().is_empty());
    assert_eq!(code(&key("PUT")), (400, -1125));
    assert_eq!(code(&key("DELETE")), (400, -1125));
    assert_ne!(key("POST").1["listenKey"], first);
}

#[test]
fn a_key_that_is_none_opens_no_stream() {
    let sim = Sim::start(Vec::new());
    for path in ["/private/ws?listenKey=x", "/private/ws", "/private/stream?listenKey=", "/private/ws/x"] {
        let url = format!("ws://{}{path}", sim.addr());
        assert!(Ws::open(&url, &quantum_trader::wire::Roots::Public).is_err(), "{path}");
    }
    let mut stream = sim.user_stream();
    sim.server.disturb(Disturbance::ExpireListenKey);
    assert_eq!(stream.json()["e"], "listenKeyExpired");
}

#[test]
fn pings_come_and_old_connections_go() {
    let config = ServerConfig {
        ping_ns: 10 * NS_PER_SEC,
        connection_ns_max: 60 * NS_PER_SEC,
        ..ServerConfig::default()
    };
    let sim = Sim::start_with(config, Vec::new());
    let mut ws = sim.ws("/public/ws");
    for (at_s, pings) in [(5, 0), (11, 1), (22, 2)] {
        sim.at(at_s * 1_000);
        ws.nothing_before(r#"{"method":"LIST_SUBSCRIPTIONS","id":3}"#);
        assert_eq!(ws.pings(), pings, "after {at_s} s");
    }
    let mut later = sim.ws("/public/ws");
    sim.at(61_000);
    assert!(ws.rest().is_empty());
    later.nothing_before(r#"{"method":"LIST_SUBSCRIPTIONS","id":3}"#);
}

#[test]
fn weight_is_limited_by_the_minute() {
    let sim = Sim::start_with(ServerConfig { weight_per_minute: 10, ..ServerConfig::default() }, Vec::new());
    let depth = || sim.get("/fapi/v1/depth", "symbol=BTCUSDT");
    assert_eq!((depth().0, depth().0), (200, 200));
    assert_eq!(code(&depth()), (429, -1003));
    let again = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
    let refused = again.get(format!("http://{}/fapi/v1/depth?symbol=BTCUSDT", sim.addr())).call().unwrap();
    let wait_s: i64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert_eq!(wait_s, (MINUTE_MS - ms(0).ms().rem_euclid(MINUTE_MS)) / 1_000);
    let mut api = sim.ws("/ws-fapi/v1");
    api.send(r#"{"id":1,"method":"ping"}"#);
    let answer = api.json();
    assert_eq!((&answer["status"], &answer["error"]["code"]), (&json!(429), &json!(-1003)));
    assert!(answer["error"]["data"]["retryAfter"].as_i64() > answer["error"]["data"]["serverTime"].as_i64());
    sim.at(MINUTE_MS);
    assert_eq!(depth().0, 200);
}
