//! The life of orders: request, response, user stream.

use quantum_trader::sim::server::{ServerConfig, Stops};
use serde_json::{Value, json};

use super::support::*;

fn market(id: &str, side: &str, quantity: &str) -> Value {
    json!({ "symbol": "BTCUSDT", "side": side, "type": "MARKET", "quantity": quantity, "newClientOrderId": id })
}

fn stop(id: &str, side: &str, quantity: &str, trigger: &str) -> Value {
    json!({
        "symbol": "BTCUSDT", "side": side, "algoType": "CONDITIONAL", "type": "STOP_MARKET", "quantity": quantity,
        "triggerPrice": trigger, "reduceOnly": "true", "clientAlgoId": id,
    })
}

/// A venue with a book, an order socket and a user stream.
struct Desk {
    sim: Sim,
    api: Ws,
    user: Ws,
    now_ms: i64,
}

impl Desk {
    fn open(more: Vec<(i64, String)>) -> Desk {
        Desk::open_with(ServerConfig::default(), more)
    }

    fn open_with(config: ServerConfig, more: Vec<(i64, String)>) -> Desk {
        let sim = Sim::start_with(config, books().into_iter().chain(more).collect());
        sim.at(10);
        let (api, user) = (sim.ws("/ws-fapi/v1"), sim.user_stream());
        Desk { sim, api, user, now_ms: 10 }
    }

    fn pass(&mut self, ms: i64) {
        self.now_ms += ms;
        self.sim.at(self.now_ms);
    }

    /// Sends a request and lets it arrive.
    fn ask(&mut self, id: &str, method: &str, params: Value) -> Value {
        self.api.send(&self.sim.api_text(id, method, params));
        // The order of two connections is not given: a request is there once its road has answered.
        self.api.send(r#"{"id":"there","method":"ping"}"#);
        let there = self.api.json();
        if there["id"] != "there" {
            assert_eq!(self.api.json()["id"], "there");
            return there;
        }
        self.pass(5);
        self.api.json()
    }

    fn told(&mut self, events: &[&str]) -> Vec<Value> {
        let messages: Vec<Value> = events.iter().map(|_| self.user.json()).collect();
        let names: Vec<String> = messages
            .iter()
            .map(|message| {
                let state = message["o"]["X"].as_str().unwrap_or_default();
                format!("{} {state}", message["e"].as_str().unwrap()).trim_end().to_string()
            })
            .collect();
        assert_eq!(names, events);
        messages
    }

    /// A signed REST request about an order: time passes while it waits.
    fn rest(&mut self, method: &str, path: &str, query: &str) -> (u16, Value) {
        let (sim, mut now_ms) = (&self.sim, self.now_ms);
        let answer = std::thread::scope(|scope| {
            let asking = scope.spawn(|| sim.signed(method, path, query));
            while !asking.is_finished() {
                now_ms += 1;
                sim.at(now_ms);
            }
            asking.join().unwrap()
        });
        self.now_ms = now_ms;
        answer
    }

    fn buy(&mut self) {
        let answer = self.ask("b", "order.place", market("entry", "BUY", "0.010"));
        assert_eq!(answer["status"], 200, "{answer}");
        self.told(&["ORDER_TRADE_UPDATE NEW", "TRADE_LITE", "ACCOUNT_UPDATE", "ORDER_TRADE_UPDATE FILLED"]);
    }
}

#[test]
fn a_market_order_is_accepted_and_filled() {
    let mut desk = Desk::open(vec![]);
    let answer = desk.ask("1", "order.place", market("entry", "BUY", "0.010"));
    assert_eq!((&answer["id"], &answer["status"]), (&json!("1"), &json!(200)), "{answer}");
    let result = &answer["result"];
    assert_eq!((&result["clientOrderId"], &result["status"]), (&json!("entry"), &json!("NEW")));
    assert_eq!((&result["origQty"], &result["executedQty"]), (&json!("0.010"), &json!("0.000")));
    assert!(answer["rateLimits"][0]["limit"].is_u64());

    let told =
        desk.told(&["ORDER_TRADE_UPDATE NEW", "TRADE_LITE", "ACCOUNT_UPDATE", "ORDER_TRADE_UPDATE FILLED"]);
    let (new, account, fill) = (&told[0]["o"], &told[2]["a"], &told[3]["o"]);
    // Sent at 10 ms, 2 ms to the venue.
    assert_eq!(told[0]["E"].as_i64().unwrap() / 10, ms(12).ms() / 10);
    assert_eq!((&new["x"], &new["i"]), (&json!("NEW"), &result["orderId"]));
    assert_eq!(account["B"][0]["wb"], "9999.74999950");
    assert_eq!((&account["m"], &account["P"][0]["pa"]), (&json!("ORDER"), &json!("0.010")));
    assert_eq!(account["P"][0]["ep"], "50000.1");
    assert_eq!(
        (&fill["x"], &fill["L"], &fill["l"], &fill["z"]),
        (&json!("TRADE"), &json!("50000.1"), &json!("0.010"), &json!("0.010"))
    );
    assert_eq!(
        (&fill["n"], &fill["ap"], &fill["rp"]),
        (&json!("0.25000050"), &json!("50000.10000"), &json!("0"))
    );
    assert_eq!(told[1]["t"], fill["t"]);

    // And what REST knows of it.
    let (_, orders) = desk.sim.signed("GET", "/fapi/v1/openOrders", "");
    assert_eq!(orders, json!([]));
    let (_, trades) = desk.sim.signed("GET", "/fapi/v1/userTrades", "symbol=BTCUSDT");
    assert_eq!(
        (&trades[0]["id"], &trades[0]["commission"], &trades[0]["buyer"]),
        (&fill["t"], &json!("0.25000050"), &json!(true))
    );
    // Page by page: whoever asks for what follows the last one is at the end.
    let next = fill["t"].as_i64().unwrap() + 1;
    let (_, trades) = desk.sim.signed("GET", "/fapi/v1/userTrades", &format!("symbol=BTCUSDT&fromId={next}"));
    assert_eq!(trades, json!([]));
    let (_, account) = desk.sim.signed("GET", "/fapi/v3/account", "");
    assert_eq!(account["totalWalletBalance"], "9999.74999950");
    assert_eq!(account["positions"][0]["positionAmt"], "0.010");
    let (_, risk) = desk.sim.signed("GET", "/fapi/v3/positionRisk", "symbol=BTCUSDT");
    assert_eq!((&risk[0]["entryPrice"], &risk[0]["positionAmt"]), (&json!("50000.1"), &json!("0.010")));
}

#[test]
fn closing_realises_what_it_realises() {
    let more = vec![(100, quote("BTCUSDT", "51000.00", "51000.10"))];
    let mut desk = Desk::open(more);
    desk.buy();
    desk.pass(100);
    let mut close = market("exit", "SELL", "0.010");
    close["reduceOnly"] = json!(true);
    assert_eq!(desk.ask("2", "order.place", close)["result"]["reduceOnly"], true);
    let told =
        desk.told(&["ORDER_TRADE_UPDATE NEW", "TRADE_LITE", "ACCOUNT_UPDATE", "ORDER_TRADE_UPDATE FILLED"]);
    assert_eq!(told[3]["o"]["rp"], "9.99900000");
    let position = &told[2]["a"]["P"][0];
    assert_eq!(position["cr"], "9.99900000");
    assert_eq!((&position["pa"], &position["ep"], &position["bep"]), (&json!("0"), &json!("0"), &json!("0")));
}

#[test]
fn a_stop_rests_moves_and_is_cancelled() {
    let mut desk = Desk::open(vec![]);
    desk.buy();
    let answer = desk.ask("s", "algoOrder.place", stop("stop-1", "SELL", "0.010", "49000.0"));
    assert_eq!(
        (&answer["status"], &answer["result"]["algoStatus"]),
        (&json!(200), &json!("NEW")),
        "{answer}"
    );
    let told = desk.told(&["ALGO_UPDATE NEW"]);
    assert_eq!((&told[0]["o"]["caid"], &told[0]["o"]["tp"]), (&json!("stop-1"), &json!("49000.0")));
    let (_, open) = desk.sim.signed("GET", "/fapi/v1/openAlgoOrders", "symbol=BTCUSDT");
    assert_eq!((open.as_array().unwrap().len(), &open[0]["clientAlgoId"]), (1, &json!("stop-1")));
    let answer = desk.ask("c", "algoOrder.cancel", json!({ "clientAlgoId": "stop-1" }));
    assert_eq!(answer["result"]["code"], "200");
    desk.told(&["ALGO_UPDATE CANCELED"]);
    let again = desk.ask("c", "algoOrder.cancel", json!({ "clientAlgoId": "stop-1" }));
    assert_eq!((&again["status"], &again["error"]["code"]), (&json!(400), &json!(-2011)));
    let never = desk.ask("c", "algoOrder.cancel", json!({ "clientAlgoId": "never" }));
    assert_eq!(never["error"]["code"], -2011);
}

#[test]
fn a_stop_triggers_and_fills_as_an_ordinary_order() {
    let more = vec![(100, quote("BTCUSDT", "48999.00", "49000.00")), (101, trade("BTCUSDT", "48999.50"))];
    let mut desk = Desk::open(more);
    desk.buy();
    desk.ask("s", "algoOrder.place", stop("stop-1", "SELL", "0.010", "49000.0"));
    desk.told(&["ALGO_UPDATE NEW"]);
    desk.pass(100);
    let told = desk.told(&[
        "ALGO_UPDATE TRIGGERING",
        "ALGO_UPDATE TRIGGERED",
        "TRADE_LITE",
        "ACCOUNT_UPDATE",
        "ORDER_TRADE_UPDATE FILLED",
        "ALGO_UPDATE FINISHED",
    ]);
    let fill = &told[4]["o"];
    assert_eq!(
        (&fill["c"], &fill["o"], &fill["ot"]),
        (&json!("stop-1"), &json!("MARKET"), &json!("STOP_MARKET"))
    );
    assert_eq!(
        (&told[1]["o"]["ai"], &told[1]["o"]["act"]),
        (&json!(fill["i"].to_string()), &json!("MARKET"))
    );
    // Either service knows it.
    let path = "/fapi/v1/algoOrder";
    let algo = desk.rest("GET", path, "clientAlgoId=stop-1");
    assert_eq!((&algo.1["algoStatus"], &algo.1["actualQty"]), (&json!("FINISHED"), &json!("0.010")));
    let order = desk.ask("q", "order.status", json!({ "symbol": "BTCUSDT", "origClientOrderId": "stop-1" }));
    assert_eq!(
        (&order["result"]["status"], &order["result"]["avgPrice"]),
        (&json!("FILLED"), &json!("48999.00000"))
    );
}

#[test]
fn a_stop_for_whatever_the_position_is() {
    let more = vec![(100, quote("BTCUSDT", "48999.00", "49000.00")), (101, trade("BTCUSDT", "48999.50"))];
    let mut desk = Desk::open(more);
    desk.buy();
    let mut whole = stop("all", "SELL", "", "49000.0");
    whole["closePosition"] = json!("true");
    whole["reduceOnly"] = json!(null);
    let answer = desk.ask("s", "algoOrder.place", whole.clone());
    assert_eq!(
        (&answer["result"]["closePosition"], &answer["result"]["quantity"]),
        (&json!(true), &json!("0")),
        "{answer}"
    );
    whole["quantity"] = json!("0.010");
    assert_eq!(desk.ask("s", "algoOrder.place", whole)["error"]["code"], -4137);
    desk.told(&["ALGO_UPDATE NEW"]);
    desk.pass(100);
    let told =
        desk.told(&["ALGO_UPDATE TRIGGERING", "ALGO_UPDATE TRIGGERED", "TRADE_LITE", "ACCOUNT_UPDATE"]);
    assert_eq!(told[3]["a"]["P"][0]["pa"], "0");
}

#[test]
fn requests_by_rest_wait_for_the_venue_too() {
    let mut desk = Desk::open(vec![]);
    let place = "symbol=BTCUSDT&side=BUY&type=MARKET&quantity=0.010&newClientOrderId=web_A.1";
    let placed = desk.rest("POST", "/fapi/v1/order", place);
    assert_eq!((placed.0, &placed.1["clientOrderId"]), (200, &json!("web_A.1")));
    desk.told(&["ORDER_TRADE_UPDATE NEW", "TRADE_LITE", "ACCOUNT_UPDATE", "ORDER_TRADE_UPDATE FILLED"]);
    let id = placed.1["orderId"].clone();
    let found = desk.rest("GET", "/fapi/v1/order", &format!("symbol=BTCUSDT&orderId={id}"));
    assert_eq!((&found.1["status"], &found.1["executedQty"]), (&json!("FILLED"), &json!("0.010")));
    let twice = desk.rest("POST", "/fapi/v1/order", place);
    assert_eq!(code(&twice), (400, -4116));
    let gone = desk.rest("DELETE", "/fapi/v1/order", "symbol=BTCUSDT&origClientOrderId=web_A.1");
    assert_eq!(code(&gone), (400, -2011));
    let never = desk.rest("GET", "/fapi/v1/order", "symbol=BTCUSDT&origClientOrderId=never");
    assert_eq!(code(&never), (400, -2013));
}

#[test]
fn all_orders_of_a_symbol_are_cancelled_at_once() {
    let mut desk = Desk::open(vec![]);
    desk.buy();
    for id in ["a", "b"] {
        desk.ask(id, "algoOrder.place", stop(id, "SELL", "0.005", "49000.0"));
    }
    desk.told(&["ALGO_UPDATE NEW", "ALGO_UPDATE NEW"]);
    let answer = desk.sim.signed("DELETE", "/fapi/v1/algoOpenOrders", "symbol=BTCUSDT");
    assert_eq!((answer.0, &answer.1["code"]), (200, &json!(200)));
    desk.pass(5);
    desk.told(&["ALGO_UPDATE CANCELED", "ALGO_UPDATE CANCELED"]);
}

#[test]
fn orders_that_are_refused() {
    let mut desk = Desk::open(vec![]);
    let with = |name: &str, value: Value| {
        let mut order = market("x", "BUY", "0.010");
        order[name] = value;
        order
    };
    for (order, code) in [
        (with("symbol", json!("NOPE")), -1121),
        (with("symbol", json!(null)), -1102),
        (with("side", json!("HOLD")), -1117),
        (with("type", json!("LIMIT")), -1116),
        (with("type", json!("STOP_MARKET")), -4120),
        (with("quantity", json!("0.0105")), -1111),
        (with("quantity", json!("0")), -4003),
        (with("quantity", json!("121")), -4005),
        (json!({ "symbol": "ETHUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.006" }), -4164),
        (with("quantity", json!("100")), -2019),
        (with("reduceOnly", json!("true")), -2022),
        (with("reduceOnly", json!("maybe")), -1100),
        (with("positionSide", json!("LONG")), -4061),
        (with("newClientOrderId", json!("a b")), -4015),
    ] {
        let answer = desk.ask("x", "order.place", order.clone());
        assert_eq!(answer["error"]["code"], code, "{order}: {answer}");
        assert!(!answer["error"]["msg"].as_str().unwrap().is_empty());
    }
    for (order, code) in [
        (stop("x", "SELL", "0.010", "49000.0"), -2022),
        (json!({ "symbol": "BTCUSDT", "side": "SELL", "type": "STOP_MARKET" }), -1102),
    ] {
        assert_eq!(desk.ask("x", "algoOrder.place", order)["error"]["code"], code);
    }
    desk.user.poll();
    let report = desk.sim.server.stop();
    assert_eq!(report.user_messages, 0);
    assert_eq!(report.refusals.values().sum::<u64>(), 16);
}

#[test]
fn an_order_larger_than_the_touch_is_filled_in_parts_or_expires() {
    let mut desk = Desk::open(vec![(100, quote("ETHUSDT", "3000.00", "3000.02"))]);
    let order =
        |side: &str| json!({ "symbol": "ETHUSDT", "side": side, "type": "MARKET", "quantity": "12.000" });
    assert_eq!(desk.ask("p", "order.place", order("BUY"))["result"]["status"], "NEW");
    let part = ["TRADE_LITE", "ACCOUNT_UPDATE", "ORDER_TRADE_UPDATE PARTIALLY_FILLED"];
    desk.told(&["ORDER_TRADE_UPDATE NEW"]);
    let told = desk.told(&part);
    assert_eq!((&told[2]["o"]["l"], &told[2]["o"]["z"]), (&json!("9.000"), &json!("9.000")));
    let (_, open) = desk.sim.signed("GET", "/fapi/v1/openOrders", "symbol=ETHUSDT");
    assert_eq!((&open[0]["status"], &open[0]["executedQty"]), (&json!("PARTIALLY_FILLED"), &json!("9.000")));
    desk.pass(100);
    let told = desk.told(&["TRADE_LITE", "ACCOUNT_UPDATE", "ORDER_TRADE_UPDATE FILLED"]);
    let fill = &told[2]["o"];
    assert_eq!(
        (&fill["l"], &fill["z"], &fill["ap"]),
        (&json!("3.000"), &json!("12.000"), &json!("3000.01250"))
    );
    desk.ask("p", "order.place", order("SELL"));
    desk.told(&["ORDER_TRADE_UPDATE NEW"]);
    desk.told(&part);
    desk.pass(3_000);
    let told = desk.told(&["ORDER_TRADE_UPDATE EXPIRED"]);
    assert_eq!((&told[0]["o"]["x"], &told[0]["o"]["z"]), (&json!("EXPIRED"), &json!("9.000")));
}

#[test]
fn a_liquidation_is_an_order_of_the_venues_own() {
    let crash = [
        (90, quote("ETHUSDT", "3000.00", "3000.01")),
        (100, quote("ETHUSDT", "2100.00", "2100.01")),
        (101, trade("ETHUSDT", "2100.00")),
    ];
    let mut desk = Desk::open(crash.to_vec());
    let order = json!({ "symbol": "ETHUSDT", "side": "BUY", "type": "MARKET", "quantity": "9.000" });
    assert_eq!(desk.ask("l", "order.place", order)["status"], 200);
    desk.told(&["ORDER_TRADE_UPDATE NEW", "TRADE_LITE", "ACCOUNT_UPDATE", "ORDER_TRADE_UPDATE FILLED"]);
    desk.pass(80);
    let more = json!({ "symbol": "ETHUSDT", "side": "BUY", "type": "MARKET", "quantity": "7.000" });
    assert_eq!(desk.ask("l", "order.place", more)["status"], 200);
    desk.told(&["ORDER_TRADE_UPDATE NEW", "TRADE_LITE", "ACCOUNT_UPDATE", "ORDER_TRADE_UPDATE FILLED"]);
    desk.pass(20);
    let told = desk.told(&["ACCOUNT_UPDATE", "ORDER_TRADE_UPDATE FILLED"]);
    let forced = &told[1]["o"];
    assert!(forced["c"].as_str().unwrap().starts_with("autoclose-"));
    assert_eq!(
        (&forced["x"], &forced["o"], &forced["f"]),
        (&json!("CALCULATED"), &json!("LIMIT"), &json!("IOC"))
    );
    assert_eq!((&forced["S"], &forced["L"], &forced["R"]), (&json!("SELL"), &json!("2100.00"), &json!(true)));
}

#[test]
fn funding_names_what_was_funded() {
    let due = ms(1_000).ms();
    let mut desk = Desk::open(vec![(20, mark("BTCUSDT", "50000.00000000", due))]);
    desk.buy();
    desk.pass(1_000);
    let told = desk.told(&["ACCOUNT_UPDATE"]);
    let account = &told[0]["a"];
    assert_eq!((&account["m"], &account["B"][0]["bc"]), (&json!("FUNDING_FEE"), &json!("-0.05000000")));
    assert_eq!(account["P"][0]["s"], "BTCUSDT");
}

#[test]
fn a_venue_that_refuses_or_swallows_stops() {
    let mut desk = Desk::open(vec![]);
    desk.buy();
    desk.sim.server.faults().set_stops(Stops::Refuse);
    let answer = desk.ask("s", "algoOrder.place", stop("refused", "SELL", "0.010", "49000.0"));
    assert_eq!((&answer["status"], &answer["error"]["code"]), (&json!(400), &json!(-4131)));
    desk.sim.server.faults().set_stops(Stops::Swallow);
    desk.api.send(&desk.sim.api_text("s", "algoOrder.place", stop("swallowed", "SELL", "0.010", "49000.0")));
    let found = desk.rest("GET", "/fapi/v1/algoOrder", "clientAlgoId=swallowed");
    assert_eq!(code(&found), (400, -2013));
    desk.api.nothing_before(r#"{"id":"there","method":"ping"}"#);
    desk.sim.server.faults().set_stops(Stops::Accept);
    assert_eq!(desk.ask("s", "algoOrder.place", stop("fine", "SELL", "0.010", "49000.0"))["status"], 200);
}

#[test]
fn a_silent_venue_acts_and_says_so_on_the_user_stream_alone() {
    let mut desk = Desk::open(vec![]);
    desk.api.send(&desk.sim.api_text("1", "order.place", market("entry", "BUY", "0.010")));
    desk.api.nothing_before(r#"{"id":"there","method":"ping"}"#);
    desk.sim.server.faults().set_silent(true);
    desk.now_ms += 5;
    desk.sim.set(desk.now_ms);
    desk.told(&["ORDER_TRADE_UPDATE NEW", "TRADE_LITE", "ACCOUNT_UPDATE", "ORDER_TRADE_UPDATE FILLED"]);
    desk.sim.server.faults().set_silent(false);
    desk.api.nothing_before(r#"{"id":"there","method":"ping"}"#);
}

#[test]
fn an_auditor_sees_what_is_held_under_which_stops() {
    let mut desk = Desk::open(vec![]);
    let audit = |desk: &Desk| {
        let (status, audit) = desk.sim.get("/sim/audit", "");
        assert_eq!(status, 200, "{audit}");
        audit
    };
    let none = audit(&desk);
    assert_eq!((&none["orders_requested"], &none["open_orders"]), (&json!(0), &json!([])));
    assert_eq!((&none["positions"]["BTCUSDT"], &none["positions"]["ETHUSDT"]), (&json!("0"), &json!("0")));
    assert_eq!(none["unprotected_ms"], json!({ "now": 0, "longest": 0 }));

    desk.buy();
    desk.pass(100);
    let bare = audit(&desk);
    assert_eq!((&bare["positions"]["BTCUSDT"], &bare["orders_requested"]), (&json!("0.01"), &json!(1)));
    let bare_ms = bare["unprotected_ms"]["now"].as_i64().unwrap();
    assert!(bare_ms >= 100, "{bare}");

    // A part is not all of it, and a stop on the side of the position closes none.
    desk.ask("s", "algoOrder.place", stop("part", "SELL", "0.004", "49000.0"));
    desk.pass(100);
    let part = audit(&desk);
    assert!(part["unprotected_ms"]["now"].as_i64().unwrap() >= bare_ms + 100, "{part}");
    let open = json!([{
        "client_id": "part", "symbol": "BTCUSDT", "side": "SELL", "kind": "STOP_MARKET", "reduce_only": true,
        "quantity": "0.004", "filled": "0", "trigger": "49000",
    }]);
    assert_eq!(part["open_orders"], open);
    desk.ask("s", "algoOrder.place", stop("rest", "SELL", "0.006", "48000.0"));
    desk.pass(1_000);
    let whole = audit(&desk)["unprotected_ms"].clone();
    let longest_ms = whole["longest"].as_i64().unwrap();
    assert!(whole["now"] == 0 && (200..1_000).contains(&longest_ms), "{whole}");

    // Cancelled, it covers no more; the longest time stays the longest.
    desk.ask("c", "algoOrder.cancel", json!({ "clientAlgoId": "rest" }));
    desk.pass(100);
    let again = audit(&desk)["unprotected_ms"].clone();
    assert!((100..longest_ms).contains(&again["now"].as_i64().unwrap()), "{again}");
    assert_eq!(again["longest"], longest_ms);
}

#[test]
fn an_auditor_sees_client_ids_used_again_whatever_became_of_them() {
    let mut desk = Desk::open(vec![]);
    desk.buy();
    desk.ask("1", "order.place", market("refused", "BUY", "0.0105"));
    for (id, quantity) in [("entry", "0.010"), ("refused", "0.010"), ("entry", "0.010"), ("new", "0.010")] {
        desk.ask("2", "order.place", market(id, "BUY", quantity));
    }
    // An order is not asked for by asking about it, nor twice by two orders without an id.
    desk.ask("q", "order.status", json!({ "symbol": "BTCUSDT", "origClientOrderId": "new" }));
    for _ in 0..2 {
        let mut nameless = market("", "BUY", "0.010");
        nameless["newClientOrderId"] = json!(null);
        desk.ask("3", "order.place", nameless);
    }
    let (_, audit) = desk.sim.get("/sim/audit", "");
    assert_eq!(audit["requested_again"], json!({ "count": 3, "client_ids": ["entry", "refused"] }));
    assert_eq!(audit["orders_requested"], 8);
}
