//! The state machine against tables, recorded messages and random interleavings.

mod agreement;
mod audit;
mod clock;
mod earlier;
mod orders;
mod polite;
mod properties;
mod pulse;
mod rates;
mod recorded;
mod session;

use serde_json::{Value, json};

use super::*;
use crate::event::{
    Cancel, Event, EventBody, Instruction, Instrument, InstrumentSpec, InstrumentTable, Order, OrderKind,
    OrderStatus, OrderUpdate, Purpose, Query, SizeUnit, WorkingType, btcusdt,
};
use crate::num::{Dec, InstrumentId, Lots, NS_PER_SEC, OrderId, Side, Ticks, TimeNs};
use crate::venue::binance::sign::Credentials;
use crate::venue::binance::{ClientIds, UsedCounts};

const BTC: InstrumentId = InstrumentId(0);
const ETH: InstrumentId = InstrumentId(1);
const T0: TimeNs = TimeNs(1_700_000_000_000_000_000);
/// In most tests nobody asks for the time.
const DAY_NS: i64 = 86_400 * NS_PER_SEC;
const T0_MS: i64 = 1_700_000_000_000;
/// Longer than any test but those of audits lasts.
const RECONCILE_NS: i64 = 7_200 * NS_PER_SEC;

fn ethusdt() -> Instrument {
    Instrument::from_spec(&InstrumentSpec {
        symbol: "ETHUSDT",
        tick: "0.01",
        step: "0.001",
        min_quantity: "0.001",
        max_quantity: "",
        min_notional: "20",
        taker_fee: "0.0005",
        maintenance_margin: "0.004",
        size_unit: SizeUnit::Base,
    })
    .unwrap()
}

fn settings() -> LimitSettings {
    LimitSettings {
        order_usd_max: Dec::int(1_000),
        position_usd_max: Dec::int(1_000),
        orders_per_minute: 100,
        price_collar: Dec::new(5, 2),
    }
}

fn id(sequence: u32) -> OrderId {
    OrderId::new(7, sequence)
}

fn client_id(sequence: u32) -> String {
    format!("qt-00000007-{sequence:08x}")
}

/// A market order for one lot of 60 USDT.
fn entry(sequence: u32) -> Order {
    Order {
        id: id(sequence),
        trade: id(sequence),
        quantity: Lots(2),
        trigger: Ticks::ZERO,
        reference: Ticks(600_000),
        side: Side::Buy,
        kind: OrderKind::Market,
        purpose: Purpose::Entry,
        working_type: WorkingType::ContractPrice,
        reduce_only: false,
        pad: [0; 3],
    }
}

fn stop(sequence: u32) -> Order {
    Order {
        trigger: Ticks(590_000),
        side: Side::Sell,
        kind: OrderKind::StopMarket,
        purpose: Purpose::Stop,
        reduce_only: true,
        ..entry(sequence)
    }
}

fn gateway(limits: LimitSettings, time_sync_ns: i64, lockstep: bool) -> Gateway {
    let prices = Prices::new(2);
    prices.set(BTC, Ticks(600_000));
    prices.set(ETH, Ticks(300_000));
    let ids = ClientIds::new("qt").unwrap();
    let config =
        GatewayConfig { ids, limits, time_sync_ns, lockstep, pings: true, reconcile_ns: RECONCILE_NS };
    let instruments = InstrumentTable::new(vec![btcusdt(), ethusdt()]).unwrap();
    let credentials = Credentials::new("the-key", "the-secret").unwrap();
    Gateway::new(config, instruments, prices, credentials, 0, T0)
}

/// A gateway and what it said.
struct Desk {
    gateway: Gateway,
    out: Outputs,
    now: TimeNs,
}

impl Desk {
    fn new() -> Desk {
        Desk::with(settings(), false)
    }

    fn with(limits: LimitSettings, lockstep: bool) -> Desk {
        Desk { gateway: gateway(limits, DAY_NS, lockstep), out: Outputs::default(), now: T0 }
    }

    fn on(&mut self, input: Input<'_>) {
        self.gateway.on(input, self.now, &mut self.out);
    }

    fn place(&mut self, order: Order) {
        self.on(Input::Instruction(BTC, Instruction::Order(order)));
    }

    fn cancel(&mut self, sequence: u32, kind: OrderKind) {
        self.on(Input::Instruction(BTC, Instruction::Cancel(Cancel { id: id(sequence), kind, pad: [0; 7] })));
    }

    fn query(&mut self, sequence: u32, kind: OrderKind) {
        self.on(Input::Instruction(BTC, Instruction::Query(Query { id: id(sequence), kind, pad: [0; 7] })));
    }

    fn response(&mut self, message: &Value) {
        self.on(Input::OrderText(message.to_string().as_bytes()));
    }

    fn user(&mut self, message: &Value) {
        self.on(Input::UserText(message.to_string().as_bytes()));
    }

    fn rest(&mut self, request: RequestId, status: u16, body: &Value) {
        let body = body.to_string();
        self.on(Input::Rest(request, answered(status, None, body.as_bytes())));
    }

    /// Time passes, and is said.
    fn wait(&mut self, ns: i64) {
        self.now = self.now + ns;
        self.on(Input::Time);
    }

    fn events(&mut self) -> Vec<(InstrumentId, EventBody)> {
        self.out.events.drain(..).map(|Event { instrument, body, .. }| (instrument, body)).collect()
    }

    /// Events in few words: `Accepted 1`, `Fill 1 2@600000`, `User Down`.
    fn said(&mut self) -> Vec<String> {
        let events = self.events();
        let said = events.iter().filter(|(_, body)| !matches!(body, EventBody::ClockRead(_)));
        said.map(|(_, body)| words(body)).collect()
    }

    /// Texts written to the order websocket: request and message.
    fn written(&mut self) -> Vec<(RequestId, Value)> {
        let texts = self.out.texts.drain(..);
        texts.map(|text| (text.request, serde_json::from_str(&text.text).unwrap())).collect()
    }

    /// The only text written.
    fn request(&mut self) -> RequestId {
        let written = self.written();
        assert_eq!(written.len(), 1, "{written:?}");
        written[0].0
    }

    /// REST calls about orders, then all others: request, and verb with path.
    fn called(&mut self) -> Vec<(RequestId, String)> {
        let calls = self.out.urgent.drain(..).chain(self.out.rest.drain(..));
        calls.map(|call| (call.request, format!("{:?}", call.call))).collect()
    }

    fn count(&self, refusal: Refusal) -> u64 {
        self.gateway.counters().refused(refusal)
    }
}

/// A REST answer of a venue that does not say how much of its limits is used.
fn answered(status: u16, retry_after_s: Option<u32>, body: &[u8]) -> RestOutcome<'_> {
    RestOutcome::Answer { status, retry_after_s, used: UsedCounts::default(), body }
}

fn words(body: &EventBody) -> String {
    match body {
        EventBody::OrderUpdate(OrderUpdate { order, status, code, .. }) => {
            let code = if *code == 0 { String::new() } else { format!(" {code}") };
            format!("{status:?} {}{code}", order.sequence())
        }
        EventBody::Fill(fill) => {
            format!("Fill {} {}@{}", fill.order.sequence(), fill.quantity.0, fill.price.0)
        }
        EventBody::AccountUpdate(update) => format!("{:?} {}", update.reason, update.wallet),
        EventBody::VenuePosition(position) => format!("Position {}", position.quantity.0),
        EventBody::VenueSetup(setup) => format!("Leverage {}", setup.leverage),
        EventBody::FeedStatus(status) => format!("{:?} {:?}", status.feed, status.state),
        other => format!("{other:?}"),
    }
}

fn success(request: RequestId, result: &Value) -> Value {
    json!({"id": request.to_string(), "status": 200, "result": result, "rateLimits": []})
}

fn refusal(request: RequestId, status: u16, code: i32) -> Value {
    json!({"id": request.to_string(), "status": status, "error": {"code": code, "msg": "no"}})
}

/// What is said of an ordinary order.
fn order_result(sequence: u32, status: &str, executed: &str) -> Value {
    json!({"orderId": 9_000 + sequence, "symbol": "BTCUSDT", "status": status,
           "clientOrderId": client_id(sequence), "executedQty": executed, "updateTime": T0_MS})
}

/// What is said of a conditional one.
fn algo_result(sequence: u32, status: &str) -> Value {
    json!({"algoId": 5_000 + sequence, "clientAlgoId": client_id(sequence), "symbol": "BTCUSDT",
           "algoStatus": status, "updateTime": T0_MS})
}

/// A message of the user stream about an ordinary order.
fn order_message(
    sequence: u32,
    execution: &str,
    status: &str,
    filled: &str,
    trade: Option<(i64, &str)>,
) -> Value {
    let (trade_id, last) = trade.unwrap_or((0, "0"));
    json!({"e": "ORDER_TRADE_UPDATE", "E": T0_MS + 1, "T": T0_MS, "o": {
        "s": "BTCUSDT", "c": client_id(sequence), "S": "BUY", "o": "MARKET", "q": "0.002",
        "x": execution, "X": status, "i": 9_000 + sequence, "l": last, "z": filled, "L": "60000.0",
        "N": "USDT", "n": "0.03", "t": trade_id, "m": false}})
}

fn algo_message(sequence: u32, status: &str) -> Value {
    json!({"e": "ALGO_UPDATE", "E": T0_MS + 1, "T": T0_MS, "o": {
        "s": "BTCUSDT", "caid": client_id(sequence), "aid": 5_000 + sequence, "S": "SELL", "X": status}})
}

fn account_message(reason: &str, wallet: &str, change: &str, position: Option<&str>) -> Value {
    let positions = position.map(|pa| json!({"s": "BTCUSDT", "pa": pa, "ep": "60000", "ps": "BOTH"}));
    json!({"e": "ACCOUNT_UPDATE", "E": T0_MS + 1, "T": T0_MS, "a": {
        "m": reason, "B": [{"a": "USDT", "wb": wallet, "bc": change}],
        "P": positions.into_iter().collect::<Vec<_>>()}})
}

/// What a later failure would be hard to tell from: the fixtures are what they say.
#[test]
fn the_fixtures_are_read() {
    let mut desk = Desk::new();
    desk.place(entry(1));
    desk.user(&order_message(1, "TRADE", "PARTIALLY_FILLED", "0.001", Some((1, "0.001"))));
    desk.user(&algo_message(2, "NEW"));
    desk.user(&account_message("ORDER", "10", "0", Some("0.001")));
    assert_eq!(desk.said(), ["Fill 1 1@600000", "Accepted 2", "Order 10", "Position 1"]);
    assert_eq!(desk.gateway.counters().unreadable, 0);
    assert_eq!(OrderStatus::Accepted as u8, 1);
}
