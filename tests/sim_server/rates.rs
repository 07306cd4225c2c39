//! How much may be asked of the venue, and what becomes of who asks for more.

use quantum_trader::sim::server::ServerConfig;
use quantum_trader::venue::binance::{RateLimits, counts_of_answer};
use serde_json::json;

use super::support::*;

const MINUTE_MS: i64 = 60_000;

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

/// A client of the address that says what came with the answer.
fn headers(sim: &Sim, path: &str) -> (u16, ureq::http::HeaderMap) {
    let client = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
    let answer = client.get(format!("http://{}{path}", sim.addr())).call().unwrap();
    (answer.status().as_u16(), answer.headers().clone())
}

fn limits(weight_per_minute: u32, orders_per_10_s: u32, orders_per_minute: u32) -> ServerConfig {
    ServerConfig { weight_per_minute, orders_per_10_s, orders_per_minute, ..ServerConfig::default() }
}

#[test]
fn limits_are_stated_as_they_are_enforced_and_counted_in_every_answer() {
    let sim = Sim::start_with(limits(50, 7, 9), books());
    sim.at(10);
    let (_, info) = sim.get("/fapi/v1/exchangeInfo", "");
    let mut stated = RateLimits::from_exchange_info(info.to_string().as_bytes());
    // The venue lists the minute first.
    stated.0.swap(1, 2);
    assert_eq!(stated, RateLimits::of(50, 7, 9));
    let order = "symbol=NONE&side=BUY&type=MARKET&quantity=1";
    assert_eq!(code(&sim.signed("POST", "/fapi/v1/order", order)), (400, -1121));
    let (_, counts) = headers(&sim, "/fapi/v1/time");
    let count = |name: &str| counts[name].to_str().unwrap().parse::<u32>().unwrap();
    // Two pings or more, exchangeInfo, the order for nothing, and this one.
    assert!(count("x-mbx-used-weight-1m") >= 3);
    assert_eq!((count("x-mbx-order-count-10s"), count("x-mbx-order-count-1m")), (1, 1));
    let mut api = sim.ws("/ws-fapi/v1");
    api.send(r#"{"id":1,"method":"ping"}"#);
    let answer = api.json();
    let counted = counts_of_answer(answer["rateLimits"].to_string().as_bytes());
    assert_eq!(counted.iter().map(|count| count.limit).collect::<Vec<_>>()[1..], [1, 1]);
    assert_eq!(counted[0].limit, count("x-mbx-used-weight-1m") + 1);
}

#[test]
fn orders_are_limited_by_ten_seconds_and_by_the_minute() {
    let sim = Sim::start_with(limits(1_000_000, 2, 3), Vec::new());
    let order = || code(&sim.signed("POST", "/fapi/v1/algoOrder", "symbol=NONE"));
    assert_eq!([order(), order(), order()], [(400, -1121), (400, -1121), (429, -1015)]);
    let unsigned = sim.send("POST", "/fapi/v1/order", "symbol=NONE", Some("sim"));
    assert_eq!(code(&unsigned), (400, -1102), "not of this account");
    sim.at(10_000);
    let mut api = sim.ws("/ws-fapi/v1");
    api.send(&sim.api_text("1", "order.place", json!({ "symbol": "NONE" })));
    let answer = api.json();
    assert_eq!((&answer["status"], &answer["error"]["code"]), (&json!(429), &json!(-1015)), "the minute's");
    assert!(answer["error"]["data"]["retryAfter"].as_i64().unwrap() % MINUTE_MS == 0);
    // Whatever is no order is answered.
    assert_eq!(sim.signed("GET", "/fapi/v3/account", "").0, 200);
    let (_, audit) = sim.get("/sim/audit", "");
    assert_eq!((&audit["requests_over_limits"], &audit["requests_during_ban"]), (&json!(2), &json!(0)));
}

#[test]
fn who_asks_on_is_banned() {
    let sim = Sim::start_with(limits(10, 10, 10), Vec::new());
    let mut asked = 0;
    while headers(&sim, "/fapi/v1/depth?symbol=BTCUSDT").0 != 418 {
        asked += 1;
        assert!(asked < 100);
    }
    let (status, counts) = headers(&sim, "/fapi/v1/time");
    assert_eq!((status, counts["retry-after"].to_str().unwrap()), (418, "120"));
    let mut api = sim.ws("/ws-fapi/v1");
    api.send(r#"{"id":1,"method":"ping"}"#);
    let answer = api.json();
    assert_eq!((&answer["status"], &answer["error"]["code"]), (&json!(418), &json!(-1003)));
    assert_eq!(answer["error"]["data"]["retryAfter"], T0.ms() + 120_000);
    let (_, audit) = sim.get("/sim/audit", "");
    assert_eq!(audit["requests_during_ban"], 2, "the auditor is none of the venue's clients");
    sim.set(120_000);
    // The venue looks at its clock with the next request.
    let seen = (0..1_000).find(|_| headers(&sim, "/fapi/v1/time").0 == 200);
    assert!(seen.is_some(), "the ban is over");
}

/// The venue's minute is over though nothing happened since: what was used in it counts no more.
#[test]
fn what_arrives_at_a_desk_does_so_at_the_clocks_time() {
    use quantum_trader::host::time::SteppedTime;
    use quantum_trader::num::{Dec, NS_PER_SEC, TimeNs};
    use quantum_trader::sim::server::Desk;
    use quantum_trader::sim::venue::{Venue, VenueConfig};

    let start = TimeNs(1_704_151_800 * NS_PER_SEC);
    let clock = SteppedTime::at(start);
    let venue = VenueConfig { wallet: Dec::int(1_000), leverage: 5, funding: false };
    let config = ServerConfig { weight_per_minute: 10, ..ServerConfig::default() };
    let venue = Venue::new(instruments(), venue);
    let mut desk = Desk::new(config, venue, instruments(), Box::new(clock.clone())).unwrap();
    let mut ask = || {
        desk.call("GET", "/fapi/v1/ping", "", "");
        desk.replies()[0].1.status
    };
    assert!((0..10).all(|_| ask() == 200));
    clock.set(start + 60 * NS_PER_SEC);
    assert_eq!(ask(), 200);
}
