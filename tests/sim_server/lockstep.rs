//! Lockstep: the venue goes on when it is asked to, one thing at a time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use quantum_trader::num::*;
use quantum_trader::sim::lockstep::{Answer, Ask, Baton, Turn};
use quantum_trader::sim::server::{Pacing, Server, ServerConfig, Stops, spawn};
use serde_json::{Value, json};

use super::support::*;

struct Stepped {
    server: Server,
    baton: Arc<Baton>,
    asked: u64,
    pushed: u64,
    now: TimeNs,
}

impl Stepped {
    fn start(frames: Vec<(i64, String)>) -> Stepped {
        let baton = Arc::new(Baton::default());
        let pacing = Pacing::Lockstep { baton: Arc::clone(&baton), start: T0, wall: || T0 };
        let server = spawn(ServerConfig::default(), exchange(frames), instruments(), pacing).unwrap();
        server.go();
        Stepped { server, baton, asked: 0, pushed: 0, now: T0 }
    }

    fn ask(&mut self, limit_ms: i64, settle: bool) -> Answer {
        self.asked += 1;
        let (number, limit) = (self.asked, ms(limit_ms));
        self.baton.ask(Ask { number, limit, settle, pushed: self.pushed });
        let until = Instant::now() + Duration::from_secs(20);
        let answer = loop {
            if let Some(answer) = self.baton.answered(number) {
                break answer;
            }
            assert!(Instant::now() < until, "the venue does not answer");
            std::thread::yield_now();
        };
        self.now = answer.now;
        answer
    }

    fn turn(&mut self, limit_ms: i64) -> (Turn, i64, u64) {
        let answer = self.ask(limit_ms, false);
        (answer.turn, answer.now.since(T0) / NS_PER_MS, answer.said)
    }

    fn request(&mut self, api: &mut Ws, method: &str, params: Value) {
        api.send(&api_text_at(self.now, "x", method, params));
        self.pushed += 1;
    }

    fn ws(&self, path: &str) -> Ws {
        Ws::open(&format!("ws://{}{path}", self.server.addr()), &quantum_trader::wire::Roots::Public).unwrap()
    }

    fn listen_key(&self) -> String {
        let mut api = self.ws("/ws-fapi/v1");
        api.send(r#"{"id":1,"method":"userDataStream.start","params":{"apiKey":"sim"}}"#);
        api.json()["result"]["listenKey"].as_str().unwrap().to_owned()
    }
}

fn buy(id: &str) -> Value {
    json!({ "symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.010", "newClientOrderId": id })
}

#[test]
fn a_run_step_by_step() {
    let frames = vec![
        (1, quote("BTCUSDT", "50000.00", "50000.10")),
        (1, r#"{"lastUpdateId":1}"#.to_string()),
        (2, trade("BTCUSDT", "50000.00")),
        (3, trade("ETHUSDT", "3000.00")),
        (20, quote("BTCUSDT", "50000.00", "50000.10")),
    ];
    let mut venue = Stepped::start(frames.clone());
    let mut public = venue.ws("/public/stream?streams=btcusdt@bookTicker");
    let mut market = venue.ws("/market/stream?streams=btcusdt@aggTrade");
    let mut user = venue.ws(&format!("/private/ws?listenKey={}", venue.listen_key()));
    let mut api = venue.ws("/ws-fapi/v1");

    // A frame of the limit is not due yet.
    assert_eq!(venue.turn(1), (Turn::Nothing, 1, 0));
    assert_eq!(venue.turn(10), (Turn::Public, 1, 0));
    assert_eq!(public.next(), frames[0].1);
    // What is no frame is passed over in the same turn.
    assert_eq!(venue.turn(10), (Turn::Market, 2, 0));
    assert_eq!(market.next(), frames[2].1);

    // An order of 2 ms: on its way before anything later. The frame nobody hears is passed over.
    venue.request(&mut api, "order.place", buy("a"));
    // 2 + 2 ms to the venue + 1 ms back: response and user stream.
    assert_eq!(venue.turn(10), (Turn::Report, 5, 2));
    assert_eq!(api.json()["result"]["clientOrderId"], "a");
    assert_eq!(user.json()["o"]["X"], "NEW");
    assert_eq!(venue.turn(10), (Turn::Report, 5, 4));
    assert_eq!(
        (user.json()["e"].clone(), user.json()["e"].clone()),
        (json!("TRADE_LITE"), json!("ACCOUNT_UPDATE"))
    );
    assert_eq!(venue.turn(10), (Turn::Report, 5, 5));
    assert_eq!(user.json()["o"]["X"], "FILLED");
    assert_eq!(venue.turn(10), (Turn::Nothing, 10, 5));

    // Two requests of one instant, one of them refused before it leaves.
    venue.request(&mut api, "order.place", buy("a b"));
    venue.request(&mut api, "order.status", json!({ "symbol": "BTCUSDT", "origClientOrderId": "a" }));
    assert_eq!(venue.turn(15), (Turn::Report, 13, 7));
    assert_eq!(
        (api.json()["error"]["code"].clone(), api.json()["result"]["status"].clone()),
        (json!(-4015), json!("FILLED"))
    );

    assert_eq!(venue.turn(100), (Turn::Public, 20, 7));
    let answer = venue.ask(100, false);
    assert_eq!((answer.turn, answer.next_frame), (Turn::Nothing, None));
    venue.request(&mut api, "order.place", buy("late"));
    let turns: Vec<Turn> = (0..4).map(|_| venue.ask(10_000, true).turn).collect();
    assert_eq!(turns, [Turn::Report, Turn::Report, Turn::Report, Turn::Nothing]);
    let report = venue.server.stop();
    assert_eq!((report.frames, report.skipped, report.orders, report.queries), (4, 1, 3, 1));
    assert!(venue.baton.is_over());
}

#[test]
fn the_venue_waits_for_what_was_pushed() {
    let mut venue = Stepped::start(books());
    let mut public = venue.ws("/public/stream?streams=btcusdt@bookTicker");
    assert_eq!(venue.turn(10).0, Turn::Public);
    public.next();
    // One was pushed and is not there yet: nothing may happen.
    venue.pushed = 1;
    venue.asked += 1;
    venue.baton.ask(Ask { number: venue.asked, limit: ms(10), settle: false, pushed: 1 });
    let mut api = venue.ws("/ws-fapi/v1");
    api.nothing_before(r#"{"id":1,"method":"ping"}"#);
    assert_eq!(venue.baton.answered(venue.asked), None);
    // Withheld by the gateway's own limits.
    venue.baton.count_withheld(1);
    let until = Instant::now() + Duration::from_secs(20);
    while venue.baton.answered(venue.asked).is_none() {
        assert!(Instant::now() < until);
        std::thread::yield_now();
    }
}

#[test]
fn nothing_ends_by_its_age() {
    let days_ms = 10 * 86_400_000;
    let frames = vec![(1, quote("BTCUSDT", "1.0", "1.1")), (days_ms, quote("BTCUSDT", "1.0", "1.1"))];
    let mut venue = Stepped::start(frames.clone());
    let key = venue.listen_key();
    let mut public = venue.ws("/public/stream?streams=btcusdt@bookTicker");
    for (_, frame) in frames {
        assert_eq!(venue.turn(2 * days_ms).0, Turn::Public);
        assert_eq!(public.next(), frame);
    }
    assert_eq!(venue.listen_key(), key);
}

#[test]
fn a_refused_stop_is_said_and_a_swallowed_one_is_not() {
    let mut venue = Stepped::start(books());
    let mut api = venue.ws("/ws-fapi/v1");
    let _ = venue.turn(10);
    let stop = json!({
        "symbol": "BTCUSDT", "side": "SELL", "algoType": "CONDITIONAL", "type": "STOP_MARKET", "quantity": "0.010",
        "triggerPrice": "49000.0", "reduceOnly": "true",
    });
    venue.server.faults().set_stops(Stops::Refuse);
    venue.request(&mut api, "algoOrder.place", stop.clone());
    assert_eq!(venue.turn(20).2, 1);
    assert_eq!(api.json()["error"]["code"], -4131);
    venue.server.faults().set_stops(Stops::Swallow);
    venue.request(&mut api, "algoOrder.place", stop);
    assert_eq!(venue.turn(30).2, 1);
    api.nothing_before(r#"{"id":1,"method":"ping"}"#);
}
