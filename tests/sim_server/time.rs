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
