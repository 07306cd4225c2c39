//! Answers to what a start asks: it is refused in one line, or what was read is sane and an engine can begin
//! with it. An input's lines replace the answers of an honest venue: `GET /path 200 body`.

use std::collections::HashMap;

use quantum_trader::engine::{Engine, Outbox};
use quantum_trader::event::{Event, EventBody, RunStart};
use quantum_trader::gateway::{
    GatewayConfig, LimitSettings, Reading, Rest, RestReply, StartConfig, StartError, history,
};
use quantum_trader::num::{Dec, InstrumentId, NS_PER_SEC, Now, TimeNs};
use quantum_trader::risk::config::Settings;
use quantum_trader::venue::binance::request::RestCall;
use quantum_trader::venue::binance::sign::Credentials;
use quantum_trader::venue::binance::{ClientIds, Endpoints};
use quantum_trader::wire::{Roots, Url};

use crate::desk::assert_possible;
use crate::target::{Target, assert_one_line, bounded};

const T0: TimeNs = TimeNs(1_700_000_000_000_000_000);

/// The answers of an honest venue.
const HONEST: [(&str, &str); 11] = [
    ("GET /fapi/v1/time", r#"{"serverTime":1700000000250}"#),
    (
        "GET /fapi/v1/exchangeInfo",
        r#"{"symbols":[{"symbol":"BTCUSDT","status":"TRADING","maintMarginPercent":"2.5","filters":[{"filterType":"PRICE_FILTER","tickSize":"0.1"},{"filterType":"LOT_SIZE","stepSize":"0.001","minQty":"0.001","maxQty":"1000"},{"filterType":"MIN_NOTIONAL","notional":"50"}]},{"symbol":"ETHUSDT","status":"TRADING","maintMarginPercent":"2.5","filters":[{"filterType":"PRICE_FILTER","tickSize":"0.01"},{"filterType":"LOT_SIZE","stepSize":"0.001","minQty":"0.001","maxQty":"1000"},{"filterType":"MIN_NOTIONAL","notional":"20"}]}]}"#,
    ),
    ("GET /fapi/v1/accountConfig", r#"{"dualSidePosition":false,"multiAssetsMargin":false,"canTrade":true}"#),
    (
        "GET /fapi/v1/symbolConfig",
        r#"[{"symbol":"BTCUSDT","marginType":"CROSSED","leverage":5},{"symbol":"ETHUSDT","marginType":"ISOLATED","leverage":20}]"#,
    ),
    ("POST /fapi/v1/leverage", r#"{"symbol":"ETHUSDT","leverage":5,"maxNotionalValue":"1"}"#),
    ("POST /fapi/v1/listenKey", r#"{"listenKey":"the-listen-key"}"#),
    (
        "GET /fapi/v3/account",
        r#"{"assets":[{"asset":"USDT","walletBalance":"1000.5","updateTime":1700000000000}]}"#,
    ),
    (
        "GET /fapi/v3/positionRisk",
        r#"[{"symbol":"ETHUSDT","positionSide":"BOTH","positionAmt":"-0.010","entryPrice":"3000.5","updateTime":7},{"symbol":"DOGEUSDT","positionSide":"BOTH","positionAmt":"3","entryPrice":"0","updateTime":7}]"#,
    ),
    (
        "GET /fapi/v1/openOrders",
        r#"[{"orderId":5,"symbol":"BTCUSDT","clientOrderId":"qt-00000006-00000001","status":"PARTIALLY_FILLED","executedQty":"0.001","updateTime":1}]"#,
    ),
    (
        "GET /fapi/v1/openAlgoOrders",
        r#"[{"algoId":8,"symbol":"ETHUSDT","clientAlgoId":"qt-00000006-00000003","algoStatus":"NEW","updateTime":1}]"#,
    ),
    (
        "GET /fapi/v1/klines",
        r#"[[1699999920000,"60000.0","60010.0","59990.0","60001.0","12.5",1699999979999,"750000.5",7,"6.25","1","0"]]"#,
    ),
];

/// By verb and path: status and body.
struct Answers(HashMap<String, (u16, Vec<u8>)>);

impl Answers {
    /// The honest ones, but for those an input replaces.
    fn of(input: &[u8]) -> Answers {
        let honest = HONEST.iter();
        let mut answers: HashMap<String, (u16, Vec<u8>)> =
            honest.map(|(call, body)| (call.to_string(), (200, body.as_bytes().to_vec()))).collect();
        for line in input.split(|byte| *byte == b'\n') {
            let mut parts = line.splitn(4, |byte| *byte == b' ');
            let mut word = || Some(String::from_utf8_lossy(parts.next()?).into_owned());
            let (Some(verb), Some(path), Some(status)) = (word(), word(), word()) else { continue };
            let body = parts.next().unwrap_or_default().to_vec();
            answers.insert(format!("{verb} {path}"), (status.parse().unwrap_or(200), body));
        }
        Answers(answers)
    }
}

impl Rest for Answers {
    fn call(&self, call: &RestCall) -> RestReply {
        let verb = format!("{:?}", call.verb).to_uppercase();
        match self.0.get(&format!("{verb} {}", call.path)).cloned() {
            Some((status, body)) => {
                RestReply::Answer { status, retry_after_s: None, used: Default::default(), body }
            }
            None => RestReply::Lost("nothing".to_string()),
        }
    }
}

struct Clock;

impl Now for Clock {
    fn now(&self) -> TimeNs {
        T0
    }
}

fn config() -> StartConfig {
    let limits = LimitSettings {
        order_usd_max: Dec::int(1_000),
        position_usd_max: Dec::int(1_000),
        orders_per_minute: 600,
        price_collar: Dec::new(5, 2),
    };
    StartConfig {
        endpoints: Endpoints::at("127.0.0.1:9", false),
        roots: Roots::Public,
        symbols: vec!["BTCUSDT".into(), "ETHUSDT".into()],
        leverage: 5,
        taker_fee: "0.0005".into(),
        gateway: GatewayConfig {
            ids: ClientIds::new("qt").unwrap(),
            limits,
            time_sync_ns: 3_600 * NS_PER_SEC,
            lockstep: false,
            pings: true,
            reconcile_ns: 3_600 * NS_PER_SEC,
        },
        stale_ns: None,
    }
}

fn check_start(bytes: &[u8]) -> bool {
    let answers = Answers::of(bytes);
    match bounded(bytes.len(), 1 << 20, 256, || read(&answers)) {
        Ok((reading, events)) => {
            assert!(reading.notes.iter().all(|note| note.lines().count() == 1), "{:?}", reading.notes);
            begin(&reading, &events);
            true
        }
        Err(error) => {
            assert_one_line(&error.to_string());
            false
        }
    }
}

/// The account, then the bars of each instrument.
fn read(answers: &Answers) -> Result<(Reading, Vec<Event>), StartError> {
    let config = config();
    let credentials = Credentials::new("the-key", "the-secret").unwrap();
    let open = |listen_key: &str| {
        let url: Result<Url, _> = config.endpoints.user_stream(listen_key).parse();
        url.map_err(|error| StartError::Address { what: "user stream", error })
    };
    let (reading, _) = Reading::take(&config, credentials, answers, &Clock, open)?;
    let mut events = reading.events.clone();
    for (instrument, row) in reading.instruments.iter() {
        let server_ms = T0.ms().saturating_add(reading.clock_offset_ms);
        let bars = history(answers, row, 60, 200, server_ms)?;
        events.extend(bars.into_iter().map(|bar| Event {
            recv_ns: T0,
            instrument,
            body: EventBody::Bar(bar),
        }));
    }
    Ok((reading, events))
}

/// An engine takes it all up, and is one that can be.
fn begin(reading: &Reading, events: &[Event]) {
    let mut engine = Engine::new(&Settings::DEFAULT, &reading.instruments);
    let mut outbox = Outbox::new();
    let start = RunStart {
        run_id: 1,
        build_id: 1,
        epoch: 7,
        instruments: 2,
        resting_stops: true,
        simulated: false,
        rule_voters: true,
        pad: [0; 5],
    };
    let opening = Event { recv_ns: T0, instrument: InstrumentId::NONE, body: EventBody::RunStart(start) };
    for event in std::iter::once(&opening).chain(events) {
        engine.step(event, &mut outbox);
    }
    assert_possible(&engine);
}

#[test]
fn start() {
    let mut seeds = vec![b"none".to_vec()];
    seeds.extend(HONEST.iter().map(|(call, body)| format!("{call} 200 {body}").into_bytes()));
    let target = Target {
        name: "start",
        inputs: 3_000,
        seeds,
        recorded: Vec::new(),
        words: vec![
            "GET /fapi/v1/",
            "GET /fapi/v3/",
            "POST /fapi/v1/",
            " 200 ",
            " 400 ",
            " 429 ",
            "{\"code\":-2015,\"msg\":\"no\"}",
            "tickSize",
            "stepSize",
            "minQty",
            "maxQty",
            "notional",
            "maintMarginPercent",
            "serverTime",
            "listenKey",
            "BTCUSDT",
            "ETHUSDT",
            "qt-00000006-00000001",
            "BOTH",
            "USDT",
            "TRADING",
            "ISOLATED",
            "0.00000001",
            "1000000000",
            "1000000000000000",
            "\n",
            ",",
            "[",
            "]",
        ],
        check: check_start,
    };
    target.run();
}
