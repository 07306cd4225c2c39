//! Answers to what a start asks, over loopback: it is refused in one line, or what was read is sane and an
//! engine can begin with it. An input's lines replace the answers of an honest venue: `GET /path 200 body`,
//! or, where the body begins with `HTTP/`, the whole answer, with `|` for the ends of its lines.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;

use quantum_trader::engine::{Engine, Outbox};
use quantum_trader::event::{Event, EventBody, InstrumentTable, RunStart};
use quantum_trader::gateway::{GatewayConfig, LimitSettings, Prepared, StartConfig, StartError, prepare};
use quantum_trader::num::{Dec, InstrumentId, Now, TimeNs};
use quantum_trader::risk::config::Settings;
use quantum_trader::venue::binance::sign::Credentials;
use quantum_trader::venue::binance::{ClientIds, Endpoints};
use quantum_trader::wire::Roots;

use crate::desk::assert_possible;
use crate::target::{Target, assert_one_line, bounded};
use crate::wire_support::{agree, key};

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

/// By verb and path: status and body, or all bytes.
type Answers = HashMap<String, (String, Vec<u8>)>;

struct Server {
    authority: String,
    answers: Arc<Mutex<Answers>>,
}

/// One for all inputs: a start leaves nothing behind in it.
fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let authority = listener.local_addr().unwrap().to_string();
        let answers = Arc::new(Mutex::new(Answers::new()));
        let shared = answers.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, answers) = (stream.unwrap(), shared.clone());
                thread::spawn(move || serve(stream, &answers));
            }
        });
        Server { authority, answers }
    })
}

/// Until the client hangs up.
fn serve(mut stream: TcpStream, answers: &Mutex<Answers>) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    loop {
        let (mut head, mut part) = (Vec::new(), [0; 1_024]);
        while !head.ends_with(b"\r\n\r\n") {
            let count = stream.read(&mut part).ok().filter(|count| *count > 0)?;
            head.extend_from_slice(&part[..count]);
        }
        let text = String::from_utf8_lossy(&head).into_owned();
        if text.contains("Sec-WebSocket-Key") {
            stream.write_all(&agree(&key(&head))).ok()?;
            // It says nothing, and ends with the client.
            return stream.read(&mut part).ok().map(drop);
        }
        let mut words = text.split([' ', '?']);
        let name = format!("{} {}", words.next()?, words.next()?);
        let (status, body) = answers.lock().unwrap().get(&name).cloned()?;
        if body.starts_with(b"HTTP/") {
            stream.write_all(&body).ok()?;
            return None;
        }
        let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all(&[head.as_bytes(), &body].concat()).ok()?;
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
        endpoints: Endpoints::at(&server().authority, false),
        roots: Roots::Public,
        symbols: vec!["BTCUSDT".into(), "ETHUSDT".into()],
        leverage: 5,
        taker_fee: "0.0005".into(),
        gateway: GatewayConfig { ids: ClientIds::new("qt").unwrap(), limits, lockstep: false },
        stale_ns: None,
    }
}

/// The honest answers, but for those an input replaces.
fn answers(input: &[u8]) -> Answers {
    let honest = HONEST.iter();
    let mut answers: Answers = honest
        .map(|(call, body)| (call.to_string(), ("200".to_string(), body.as_bytes().to_vec())))
        .collect();
    for line in input.split(|byte| *byte == b'\n') {
        let mut parts = line.splitn(4, |byte| *byte == b' ');
        let mut word = || Some(String::from_utf8_lossy(parts.next()?).into_owned());
        let (Some(verb), Some(path), Some(status)) = (word(), word(), word()) else { continue };
        let status = if matches!(status.parse(), Ok(200..=599)) { status } else { "200".to_string() };
        let mut body = parts.next().unwrap_or_default().to_vec();
        if body.starts_with(b"HTTP/") {
            // A line holds it all.
            body = body.split(|byte| *byte == b'|').collect::<Vec<_>>().join(&b"\r\n"[..]);
        }
        answers.insert(format!("{verb} {path}"), (status, body));
    }
    answers
}

fn check_start(bytes: &[u8]) -> bool {
    *server().answers.lock().unwrap() = answers(bytes);
    let credentials = Credentials::new("the-key", "the-secret").unwrap();
    let started =
        bounded(bytes.len(), 8 << 20, 256, || prepare(config(), credentials, &Clock).and_then(read_history));
    match started {
        Ok(events) => {
            begin(&events);
            true
        }
        Err(error) => {
            assert_one_line(&error.to_string());
            false
        }
    }
}

struct Begun {
    instruments: InstrumentTable,
    events: Vec<Event>,
}

fn read_history(prepared: Prepared) -> Result<Begun, StartError> {
    let mut events = prepared.events.clone();
    for (instrument, _) in prepared.instruments.iter() {
        let bars = prepared.history(instrument, 60, 200, &Clock)?;
        events.extend(bars.into_iter().map(|bar| Event {
            recv_ns: T0,
            instrument,
            body: EventBody::Bar(bar),
        }));
    }
    assert!(prepared.notes.iter().all(|note| note.lines().count() <= 1), "{:?}", prepared.notes);
    Ok(Begun { instruments: prepared.instruments, events })
}

/// An engine takes it all up, and is one that can be.
fn begin(begun: &Begun) {
    let mut engine = Engine::new(&Settings::DEFAULT, &begun.instruments);
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
    for event in std::iter::once(&opening).chain(&begun.events) {
        engine.step(event, &mut outbox);
    }
    assert_possible(&engine);
}

#[test]
fn start() {
    let whole = |call: &str, body: &str| {
        format!("{call} 200 HTTP/1.1 200 OK|Content-Length: {}||{body}", body.len()).into_bytes()
    };
    let mut seeds = vec![b"none".to_vec(), whole(HONEST[0].0, HONEST[0].1)];
    seeds.extend(HONEST.iter().map(|(call, body)| format!("{call} 200 {body}").into_bytes()));
    let target = Target {
        name: "start",
        seeds,
        recorded: Vec::new(),
        words: vec![
            "GET /fapi/v1/",
            "GET /fapi/v3/",
            "POST /fapi/v1/",
            " 200 ",
            " 400 ",
            " 429 ",
            "HTTP/1.1 200 OK|",
            "Transfer-Encoding: chunked|",
            "Content-Length: 1000000000000|",
            "Location: /|",
            "Retry-After: 7|",
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
