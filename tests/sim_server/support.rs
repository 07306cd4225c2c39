//! A venue on loopback whose time the test sets, and clients of it: a websocket that is polled, and
//! REST with signatures.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use quantum_trader::event::*;
use quantum_trader::host::time::SteppedTime;
use quantum_trader::num::*;
use quantum_trader::sim::exchange::Exchange;
use quantum_trader::sim::link::{Link, LinkConfig};
use quantum_trader::sim::market::{MarketSource, SourceError};
use quantum_trader::sim::server::{Pacing, Server, ServerConfig, spawn};
use quantum_trader::sim::venue::{Venue, VenueConfig};
use quantum_trader::venue::binance::sign::Signer;
use quantum_trader::wire::{Connection, Connector, FrameKind, Limits, Roots, State};
use serde_json::{Value, json};

pub const T0: TimeNs = TimeNs(1_700_000_000_000_000_000);
pub const ORDER_NS: i64 = 2_000_000;
pub const REPORT_NS: i64 = 1_000_000;
/// A test that waits longer has found a bug.
const GIVE_UP: Duration = Duration::from_secs(20);

pub fn ms(ms: i64) -> TimeNs {
    T0 + ms * NS_PER_MS
}

pub fn instruments() -> InstrumentTable {
    let btc = InstrumentSpec {
        symbol: "BTCUSDT",
        tick: "0.10",
        step: "0.001",
        min_quantity: "0.001",
        max_quantity: "120",
        min_notional: "50",
        taker_fee: "0.0005",
        maintenance_margin: "0.004",
        size_unit: SizeUnit::Base,
    };
    let eth = InstrumentSpec { symbol: "ETHUSDT", tick: "0.01", min_notional: "20", ..btc };
    InstrumentTable::new(vec![Instrument::from_spec(&btc).unwrap(), Instrument::from_spec(&eth).unwrap()])
        .unwrap()
}

/// Frames given beforehand.
pub struct Script(VecDeque<(TimeNs, String)>);

impl Script {
    pub fn new(frames: impl IntoIterator<Item = (i64, String)>) -> Script {
        Script(frames.into_iter().map(|(at_ms, frame)| (ms(at_ms), frame)).collect())
    }
}

impl MarketSource for Script {
    fn next_frame(&mut self, frame: &mut Vec<u8>) -> Result<Option<TimeNs>, SourceError> {
        frame.clear();
        let Some((at, text)) = self.0.pop_front() else { return Ok(None) };
        frame.extend_from_slice(text.as_bytes());
        Ok(Some(at))
    }
}

pub fn quote(symbol: &str, bid: &str, ask: &str) -> String {
    let lower = symbol.to_ascii_lowercase();
    format!(
        r#"{{"stream":"{lower}@bookTicker","data":{{"e":"bookTicker","u":7,"s":"{symbol}","b":"{bid}","B":"9.000","a":"{ask}","A":"9.000","T":1,"E":2}}}}"#
    )
}

pub fn trade(symbol: &str, price: &str) -> String {
    let lower = symbol.to_ascii_lowercase();
    format!(
        r#"{{"stream":"{lower}@aggTrade","data":{{"e":"aggTrade","E":2,"a":1,"s":"{symbol}","p":"{price}","q":"1.000","f":1,"l":1,"T":1,"m":false}}}}"#
    )
}

pub fn mark(symbol: &str, price: &str, next_funding_ms: i64) -> String {
    let lower = symbol.to_ascii_lowercase();
    format!(
        r#"{{"stream":"{lower}@markPrice@1s","data":{{"e":"markPriceUpdate","E":2,"s":"{symbol}","p":"{price}","P":"{price}","i":"{price}","r":"0.00010000","T":{next_funding_ms}}}}}"#
    )
}

/// Both books are there from the first millisecond on.
pub fn books() -> Vec<(i64, String)> {
    vec![
        (1, quote("BTCUSDT", "50000.00", "50000.10")),
        (1, quote("ETHUSDT", "3000.00", "3000.01")),
        (1, trade("BTCUSDT", "50000.00")),
    ]
}

pub struct Sim {
    pub server: Server,
    clock: SteppedTime,
    rest: ureq::Agent,
}

impl Sim {
    pub fn start(frames: Vec<(i64, String)>) -> Sim {
        Sim::start_with(ServerConfig::default(), frames)
    }

    pub fn start_with(config: ServerConfig, frames: Vec<(i64, String)>) -> Sim {
        let clock = SteppedTime::at(T0);
        let pacing = Pacing::Paced { clock: Box::new(clock.clone()), wall: || T0, scale: 1.0 };
        let server = spawn(config, exchange(frames), instruments(), pacing).unwrap();
        server.go();
        let rest = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(GIVE_UP))
            .build()
            .new_agent();
        Sim { server, clock, rest }
    }

    pub fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// Sets simulated time; the venue notices when it next looks.
    pub fn set(&self, at_ms: i64) {
        self.clock.set(ms(at_ms));
    }

    /// Sets simulated time and sees to it that the venue has noticed.
    pub fn at(&self, at_ms: i64) {
        self.clock.set(ms(at_ms));
        assert_eq!(self.get("/fapi/v1/ping", ""), (200, json!({})));
    }

    pub fn ws(&self, path: &str) -> Ws {
        Ws::open(&format!("ws://{}{path}", self.addr()), &Roots::Public).unwrap()
    }

    pub fn send(&self, method: &str, path: &str, query: &str, key: Option<&str>) -> (u16, Value) {
        let uri = format!("http://{}{path}?{query}", self.addr());
        let mut request = ureq::http::Request::builder().method(method).uri(uri);
        if let Some(key) = key {
            request = request.header("X-MBX-APIKEY", key);
        }
        let mut response = self.rest.run(request.body(()).unwrap()).unwrap();
        let body = response.body_mut().read_to_string().unwrap();
        (response.status().as_u16(), serde_json::from_str(&body).unwrap_or(Value::String(body)))
    }

    pub fn get(&self, path: &str, query: &str) -> (u16, Value) {
        self.send("GET", path, query, None)
    }

    /// A signed request at the venue's time.
    pub fn signed(&self, method: &str, path: &str, query: &str) -> (u16, Value) {
        let query = sign(query, self.clock.now());
        self.send(method, path, &query, Some("sim"))
    }

    pub fn user_stream(&self) -> Ws {
        let (status, body) = self.send("POST", "/fapi/v1/listenKey", "", Some("sim"));
        assert_eq!(status, 200, "{body}");
        self.ws(&format!("/private/ws?listenKey={}", body["listenKey"].as_str().unwrap()))
    }

    /// The text of a signed request of the order socket.
    pub fn api_text(&self, id: &str, method: &str, params: Value) -> String {
        api_text_at(self.clock.now(), id, method, params)
    }
}

/// A request of the order socket, stamped and signed.
pub fn api_text_at(now: TimeNs, id: &str, method: &str, params: Value) -> String {
    let mut params = params.as_object().unwrap().clone();
    params.retain(|_, value| !value.is_null());
    params.insert("apiKey".into(), "sim".into());
    params.insert("timestamp".into(), now.ms().into());
    let mut pairs: Vec<String> = Vec::new();
    for (name, value) in &params {
        pairs.push(format!("{name}={}", value.as_str().map_or_else(|| value.to_string(), str::to_owned)));
    }
    pairs.sort();
    let signature = Signer::new("sim").unwrap().sign(&pairs.join("&")).to_owned();
    params.insert("signature".into(), signature.into());
    json!({ "id": id, "method": method, "params": params }).to_string()
}

/// A query with time stamp and signature.
pub fn sign(query: &str, now: TimeNs) -> String {
    let mut query = query.to_owned();
    let amp = if query.is_empty() { "" } else { "&" };
    let _ = write!(query, "{amp}timestamp={}", now.ms());
    let signature = Signer::new("sim").unwrap().sign(&query).to_owned();
    query + "&signature=" + &signature
}

pub fn exchange(frames: Vec<(i64, String)>) -> Exchange {
    let account = VenueConfig { wallet: Dec::int(10_000), leverage: 5, funding: true };
    let latency = LinkConfig {
        order_latency_ns: ORDER_NS as u64,
        report_latency_ns: REPORT_NS as u64,
        ..LinkConfig::default()
    };
    Exchange::new(Box::new(Script::new(frames)), Link::new(Venue::new(instruments(), account), latency))
        .unwrap()
}

/// A websocket client that is polled until it has what the test wants.
pub struct Ws {
    connection: Connection<mio::net::TcpStream>,
    messages: VecDeque<Vec<u8>>,
    pub binary: u64,
}

impl Ws {
    pub fn open(url: &str, roots: &Roots) -> Result<Ws, quantum_trader::wire::WireError> {
        let limits = Limits { frame_bytes_max: 1 << 20, send_bytes_max: 1 << 20, ..Limits::default() };
        let connector = Connector::new(roots, limits)?;
        let open = connector.open(&url.parse().unwrap(), Instant::now() + GIVE_UP)?;
        Ok(Ws { connection: Connection::new(open, T0), messages: VecDeque::new(), binary: 0 })
    }

    pub fn poll(&mut self) {
        let (messages, binary) = (&mut self.messages, &mut self.binary);
        self.connection.poll(T0, &mut |frame| match frame.kind {
            FrameKind::Text => messages.push_back(frame.payload.to_vec()),
            FrameKind::Binary => *binary += 1,
        });
    }

    pub fn send(&mut self, text: &str) {
        self.connection.send_text(text.as_bytes()).unwrap();
        self.poll();
    }

    /// As [`Ws::send`], to a connection that may have ended.
    pub fn try_send(&mut self, text: &str) {
        let _ = self.connection.send_text(text.as_bytes());
        self.poll();
    }

    /// The next message; `None` if the connection ended instead.
    pub fn try_next(&mut self) -> Option<String> {
        let until = Instant::now() + GIVE_UP;
        loop {
            self.poll();
            if let Some(message) = self.messages.pop_front() {
                return Some(String::from_utf8(message).unwrap());
            }
            if self.is_closed() {
                return None;
            }
            assert!(Instant::now() < until, "waited for a message in vain");
            std::thread::yield_now();
        }
    }

    pub fn next(&mut self) -> String {
        self.try_next().expect("a message, not the end of the connection")
    }

    pub fn json(&mut self) -> Value {
        serde_json::from_str(&self.next()).unwrap()
    }

    /// Waits for the end of the connection; what came before it.
    pub fn rest(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.try_next()).collect()
    }

    pub fn is_closed(&self) -> bool {
        self.connection.state() == State::Closed
    }

    pub fn pings(&self) -> u64 {
        self.connection.counters().pings
    }

    /// Nothing is there once what was sent before has surely arrived: `after` makes the venue answer
    /// on this very connection.
    pub fn nothing_before(&mut self, after: &str) {
        self.send(after);
        let message = self.next();
        assert!(message.contains("\"id\""), "unexpected: {message}");
    }
}

/// The venue's refusals as code.
pub fn code(answer: &(u16, Value)) -> (u16, i64) {
    (answer.0, answer.1["code"].as_i64().unwrap_or(0))
}
