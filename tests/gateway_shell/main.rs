//! The gateway over real sockets on loopback, against a venue that answers, closes, refuses, babbles or
//! says nothing. Time is the tests': nothing waits for a clock.

#[path = "../wire_support/mod.rs"]
mod wire_support;

mod server;
mod shell;
mod start;

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use crossbeam_channel::Receiver;
use quantum_trader::event::{Event, EventBody, Instruction, Order, OrderKind, Purpose, WorkingType};
use quantum_trader::gateway::{
    Bans, Fence, GatewayConfig, GatewayReport, LimitSettings, Prepared, RunningGateway, StartConfig,
    StartError, Wires, prepare,
};
use quantum_trader::num::{Dec, InstrumentId, Lots, NS_PER_SEC, Now, OrderId, Side, Ticks, TimeNs};
use quantum_trader::venue::binance::sign::Credentials;
use quantum_trader::venue::binance::{ClientIds, Endpoints};
use quantum_trader::wire::Roots;
use serde_json::{Value, json};
use server::{HANG, Server, Socket};

const BTC: InstrumentId = InstrumentId(0);
const T0: TimeNs = TimeNs(1_700_000_000_000_000_000);
const T0_MS: i64 = 1_700_000_000_000;
const SECRET: &str = "the-secret";

/// The tests' clock: the time, and how often it was read.
#[derive(Clone)]
struct Clock(Arc<(AtomicI64, AtomicU64)>);

impl Clock {
    fn new() -> Clock {
        Clock(Arc::new((AtomicI64::new(T0.0), AtomicU64::new(0))))
    }

    fn pass(&self, ms: i64) {
        self.0.0.fetch_add(ms * 1_000_000, Ordering::AcqRel);
    }

    /// The time, without that counting as a look at the clock.
    fn shows(&self) -> TimeNs {
        TimeNs(self.0.0.load(Ordering::Acquire))
    }

    fn reads(&self) -> u64 {
        self.0.1.load(Ordering::Acquire)
    }
}

impl Now for Clock {
    fn now(&self) -> TimeNs {
        self.0.1.fetch_add(1, Ordering::AcqRel);
        TimeNs(self.0.0.load(Ordering::Acquire))
    }
}

fn exchange_info() -> Value {
    let symbol = |name: &str, tick: &str| {
        json!({"symbol": name, "status": "TRADING", "maintMarginPercent": "2.5", "filters": [
            {"filterType": "PRICE_FILTER", "tickSize": tick},
            {"filterType": "LOT_SIZE", "stepSize": "0.001", "minQty": "0.001", "maxQty": "1000"},
            {"filterType": "MIN_NOTIONAL", "notional": "50"}]})
    };
    json!({"symbols": [symbol("ETHUSDT", "0.01"), symbol("DOGEUSDT", "0.0001"), symbol("BTCUSDT", "0.1")]})
}

/// A venue with an account that may trade: one position, nothing open.
fn venue(tls: Option<Arc<rustls::ServerConfig>>) -> Server {
    let server = Server::start(tls);
    for (call, body) in [
        ("GET /fapi/v1/time", json!({"serverTime": T0_MS + 250})),
        ("GET /fapi/v1/exchangeInfo", exchange_info()),
        (
            "GET /fapi/v1/accountConfig",
            json!({"dualSidePosition": false, "multiAssetsMargin": false, "canTrade": true}),
        ),
        (
            "GET /fapi/v1/symbolConfig",
            json!([{"symbol": "BTCUSDT", "marginType": "CROSSED", "leverage": 5},
                   {"symbol": "ETHUSDT", "marginType": "CROSSED", "leverage": 20}]),
        ),
        ("POST /fapi/v1/leverage", json!({"symbol": "ETHUSDT", "leverage": 5, "maxNotionalValue": "1"})),
        ("POST /fapi/v1/listenKey", json!({"listenKey": "the-listen-key"})),
        (
            "GET /fapi/v3/account",
            json!({"assets": [{"asset": "USDT", "walletBalance": "1000.5", "updateTime": T0_MS}]}),
        ),
        (
            "GET /fapi/v3/positionRisk",
            json!([{"symbol": "ETHUSDT", "positionSide": "BOTH", "positionAmt": "-0.010", "entryPrice": "3000.5", "updateTime": 7},
                   {"symbol": "BTCUSDT", "positionSide": "BOTH", "positionAmt": "0.000", "entryPrice": "0", "updateTime": 7},
                   {"symbol": "DOGEUSDT", "positionSide": "BOTH", "positionAmt": "3", "entryPrice": "0", "updateTime": 7}]),
        ),
        ("GET /fapi/v1/openOrders", json!([])),
        ("GET /fapi/v1/openAlgoOrders", json!([])),
    ] {
        server.answer(call, 200, &body);
    }
    server
}

fn config(server: &Server, roots: Roots) -> StartConfig {
    let limits = LimitSettings {
        order_usd_max: Dec::int(1_000),
        position_usd_max: Dec::int(100_000),
        orders_per_minute: 10_000,
        price_collar: Dec::new(5, 2),
    };
    StartConfig {
        endpoints: Endpoints::at(&server.authority, roots != Roots::Public),
        roots,
        symbols: vec!["BTCUSDT".into(), "ETHUSDT".into()],
        leverage: 5,
        taker_fee: "0.0005".into(),
        gateway: GatewayConfig {
            ids: ClientIds::new("qt").unwrap(),
            limits,
            time_sync_ns: 3_600 * 1_000_000_000,
            lockstep: false,
            pings: true,
            // Longer than a test lasts.
            reconcile_ns: 86_400 * NS_PER_SEC,
        },
        stale_ns: None,
    }
}

fn credentials() -> Credentials {
    Credentials::new("the-key", SECRET).unwrap()
}

fn start(server: &Server) -> Result<Prepared, StartError> {
    prepare(config(server, Roots::Public), credentials(), &Clock::new())
}

/// The reason a start failed.
fn refusal(server: &Server) -> String {
    match start(server) {
        Ok(_) => panic!("it started"),
        Err(error) => error.to_string(),
    }
}

/// Bans as they were to be kept; there is no disk to keep them on.
#[derive(Clone, Default)]
struct Remembered(Arc<Mutex<Vec<TimeNs>>>);

impl Bans for Remembered {
    fn keep(&self, until: TimeNs) -> Result<(), String> {
        self.0.lock().unwrap().push(until);
        Err("no disk".to_string())
    }
}

/// A running gateway, and the venue's ends of its websockets.
struct Run {
    server: Server,
    clock: Clock,
    instructions: rtrb::Producer<(TimeNs, InstrumentId, Instruction)>,
    events: Receiver<Event>,
    bans: Remembered,
    gateway: Option<RunningGateway>,
    user: Socket,
    orders: Socket,
}

impl Run {
    fn new() -> Run {
        Run::with(|_| {}, 1_024, None)
    }

    fn with(change: impl FnOnce(&mut StartConfig), room: usize, fence: Option<Box<dyn Fence>>) -> Run {
        let (server, clock) = (venue(None), Clock::new());
        let mut config = config(&server, Roots::Public);
        change(&mut config);
        let prepared = prepare(config, credentials(), &clock).unwrap();
        let (user, orders) = server.both_sockets();
        server.until("GET /fapi/v1/openAlgoOrders");
        let (instructions, consumer) = rtrb::RingBuffer::new(64);
        let (sender, events) = crossbeam_channel::bounded(room);
        let prices: Arc<[AtomicI64]> = [600_000, 300_000].into_iter().map(AtomicI64::new).collect();
        let bans = Remembered::default();
        let wires = Wires {
            instructions: consumer,
            events: sender,
            clock: Box::new(clock.clone()),
            fence,
            bans: Some(Box::new(bans.clone())),
        };
        let gateway = prepared.run(prices, wires).unwrap();
        Run { server, clock, instructions, events, bans, gateway: Some(gateway), user, orders }
    }

    fn place(&mut self, order: Order) {
        self.instructions.push((self.clock.now(), BTC, Instruction::Order(order))).unwrap();
    }

    /// The next event, in few words.
    fn event(&self) -> String {
        words(&self.events.recv_timeout(HANG).expect("an event").body)
    }

    /// Lets time pass until there is something: ten milliseconds for each look of the gateway at the
    /// clock, and less in all than it takes until a listen key is kept alive.
    fn wait_for<T>(&self, mut look: impl FnMut(&Run) -> Option<T>) -> T {
        let (began, mut passed, mut reads) = (Instant::now(), 0, self.clock.reads());
        loop {
            if let Some(found) = look(self) {
                return found;
            }
            assert!(began.elapsed() < HANG, "it does not come");
            if passed < 150_000 && self.clock.reads() > reads {
                passed += 1;
                reads = self.clock.reads();
                self.clock.pass(10);
            }
            thread::yield_now();
        }
    }

    /// The request of an order just placed.
    fn request(&mut self) -> String {
        self.orders.text()["id"].as_str().unwrap().to_string()
    }

    fn accept(&mut self, request: &str, sequence: u32) {
        self.orders.say(&accepted(request, sequence));
    }

    fn stop(mut self) -> GatewayReport {
        self.gateway.take().unwrap().stop()
    }
}

fn accepted(request: &str, sequence: u32) -> Value {
    json!({"id": request, "status": 200, "result": {"orderId": 9_000 + sequence, "symbol": "BTCUSDT",
        "status": "NEW", "clientOrderId": format!("qt-00000007-{sequence:08x}"), "executedQty": "0", "updateTime": T0_MS}})
}

fn filled(sequence: u32, trade_id: i64) -> Value {
    json!({"e": "ORDER_TRADE_UPDATE", "E": T0_MS, "T": T0_MS, "o": {"s": "BTCUSDT",
        "c": format!("qt-00000007-{sequence:08x}"), "S": "BUY", "x": "TRADE", "X": "FILLED", "i": 9_000 + sequence,
        "l": "0.001", "z": "0.001", "L": "60000.0", "N": "USDT", "n": "0.03", "t": trade_id, "m": false}})
}

fn entry(sequence: u32) -> Order {
    Order {
        id: OrderId::new(7, sequence),
        trade: OrderId::new(7, sequence),
        quantity: Lots(1),
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

fn words(body: &EventBody) -> String {
    match body {
        EventBody::OrderUpdate(update) => format!("{:?} {}", update.status, update.order.sequence()),
        EventBody::Fill(fill) => format!("Fill {} {}", fill.order.sequence(), fill.trade_id),
        EventBody::FeedStatus(status) => format!("{:?} {:?}", status.feed, status.state),
        EventBody::AccountUpdate(update) => format!("{:?} {}", update.reason, update.wallet),
        EventBody::VenuePosition(position) => format!("Position {}", position.quantity.0),
        EventBody::VenueSetup(setup) => format!("Leverage {}", setup.leverage),
        EventBody::ClockRead(_) => "Clock".to_string(),
        other => format!("{other:?}"),
    }
}
