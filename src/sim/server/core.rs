//! The core: market, venue and account behind all sockets, in one order of simulated time. Nothing
//! here waits or reads a clock; tasks around it do.

use std::sync::Arc;

use axum::extract::ws::{Message, Utf8Bytes};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::audit::Audit;
use super::book::Book;
use super::calls::{Call, Reply};
use super::clients::{CLIENTS_MAX, ClientId, Clients, Opened, PRIVATE_QUEUE, Role};
use super::config::{Disturbance, Faults, Pacing, ServerConfig};
use super::envelope::StreamKey;
use super::klines::Klines;
use super::listen_key::ListenKeys;
use super::params::Params;
use super::prices::Prices;
use super::rates::Rates;
use super::refusal::{NO_SUCH_PATH, Refusal};
use super::{REQUESTS_MAX, Request, subscribe};
use crate::decode::{Decoded, Decoder};
use crate::event::{Event, Feed, InstrumentTable};
use crate::num::{Dec, NS_PER_SEC, TimeNs};
use crate::sim::exchange::{Due, Exchange};
use crate::venue::binance::code;
use crate::venue::binance::sign::{SecretError, Signer};

/// How often it is looked whether something's time is up: keys, pings, old connections.
const HOUSEKEEPING_NS: i64 = NS_PER_SEC;
/// No JSON, an object nobody knows, half an object.
const NONSENSE: [&str; 3] = ["\u{1F4A5} no JSON", r#"{"e":"nobodyKnows","x":[1,2,{"y":null}]}"#, "{\"e\":"];

/// What was done when time was asked to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A frame went out on a road.
    Frame(Feed),
    /// A frame that nobody had subscribed to, or that is none.
    Unheard,
    Report,
    Nothing,
}

pub(super) struct Core {
    pub exchange: Exchange,
    decoder: Decoder,
    pub instruments: InstrumentTable,
    /// Simulated time: never before what was last done.
    pub now: TimeNs,
    pub clients: Clients,
    pub book: Book,
    pub audit: Audit,
    pub prices: Prices,
    /// What the fill realised that the next report tells of.
    pub realised: Dec,
    pub bars: Klines,
    pub keys: ListenKeys,
    pub rates: Rates,
    pub key: String,
    pub signer: Signer,
    pub faults: Arc<Faults>,
    /// Answers a silent venue owes.
    pub held: Vec<Reply>,
    /// Messages to the gateway so far, as lockstep counts them.
    pub said: u64,
    pub pacing: Pacing,
    housekeeping_due: TimeNs,
    pings_due: TimeNs,
    ping_ns: i64,
    connection_ns_max: i64,
    market_queue: usize,
}

impl Core {
    /// # Errors
    /// The secret is none.
    pub fn new(
        config: ServerConfig,
        mut exchange: Exchange,
        instruments: InstrumentTable,
        pacing: Pacing,
    ) -> Result<Core, SecretError> {
        let start = match &pacing {
            Pacing::Paced { clock, .. } => clock.now(),
            Pacing::Lockstep { start, .. } => *start,
        };
        // In lockstep an hour may pass while a keep-alive is on its way: nothing ends by its age there.
        let lockstep = matches!(pacing, Pacing::Lockstep { .. });
        let lasting = |ns: i64| if lockstep { i64::MAX } else { ns };
        let mut bars = Klines::new(&instruments);
        config.history.iter().for_each(|(instrument, bar)| bars.push(*instrument, bar));
        Ok(Core {
            decoder: Decoder::new(&instruments, config.frame_bytes_max),
            now: start,
            clients: Clients::default(),
            book: Book::default(),
            audit: Audit::default(),
            prices: Prices::new(&instruments, exchange.link().venue().wallet()),
            realised: Dec::ZERO,
            bars,
            keys: ListenKeys::new(lasting(config.listen_key_ns)),
            rates: Rates::new(&config),
            signer: Signer::new(&config.secret)?,
            key: config.key,
            faults: config.faults,
            held: Vec::new(),
            said: 0,
            pacing,
            housekeeping_due: start,
            pings_due: start + config.ping_ns,
            ping_ns: config.ping_ns,
            connection_ns_max: lasting(config.connection_ns_max),
            market_queue: config.market_queue,
            exchange,
            instruments,
        })
    }

    /// Does the next thing due: reports by `limit`, frames before it.
    pub fn step(&mut self, limit: TimeNs) -> Step {
        match self.exchange.next(limit) {
            Due::Report(delivery) => {
                self.pass(delivery.recv_ns);
                self.deliver(&delivery.report);
                Step::Report
            }
            Due::Frame(due) => {
                self.pass(due);
                self.frame(due)
            }
            Due::Nothing => {
                self.pass(limit);
                Step::Nothing
            }
        }
    }

    /// As [`Core::step`], without the market.
    pub fn settle(&mut self, limit: TimeNs) -> Step {
        match self.exchange.settle(limit) {
            Due::Report(delivery) => {
                self.pass(delivery.recv_ns);
                self.deliver(&delivery.report);
                Step::Report
            }
            Due::Frame(_) | Due::Nothing => Step::Nothing,
        }
    }

    /// When something happens by itself next.
    pub fn next_due(&mut self) -> TimeNs {
        let report = self.exchange.link().next_due();
        let frame = self.exchange.next_frame();
        [report, frame].into_iter().flatten().fold(self.housekeeping_due, TimeNs::min)
    }

    /// Time has come to `now`.
    fn pass(&mut self, now: TimeNs) {
        self.now = self.now.max(now);
        if self.now < self.housekeeping_due {
            return;
        }
        self.housekeeping_due = self.now + HOUSEKEEPING_NS;
        if self.keys.expire(self.now) {
            self.tell_key_expired();
        }
        self.clients.end_old(self.now - self.connection_ns_max);
        if self.now >= self.pings_due {
            self.pings_due = self.now + self.ping_ns;
            // The venue's pings carry its time.
            let payload = self.now.ms().to_string().into_bytes();
            self.clients.tell_all(&Message::Ping(payload.into()));
        }
    }

    /// Market data reaches the venue by itself, at the clock's time.
    pub fn market(&mut self, event: &Event) {
        let now = self.clock();
        while self.step(now) != Step::Nothing {}
        self.exchange.market(now, event);
        self.prices.take(event);
        self.bars.take(event);
    }

    /// The frame that is due: to the venue, to who subscribed, and the next one is read.
    fn frame(&mut self, due: TimeNs) -> Step {
        let decoded = self.decoder.decode(due, self.exchange.frame());
        let key = match &decoded {
            Ok(Decoded::Event(event)) => StreamKey::of_event(event, &self.instruments),
            _ => None,
        };
        let text = std::str::from_utf8(self.exchange.frame()).ok();
        let key = key.or_else(|| text.and_then(StreamKey::of_text));
        let frame = text.map(Utf8Bytes::from);
        match &decoded {
            Ok(Decoded::Event(event)) => {
                self.exchange.market(due, event);
                self.prices.take(event);
                self.bars.take(event);
                self.clients.report.frames += 1;
            }
            Err(_) if key.is_some() => self.clients.report.undecoded += 1,
            _ => self.clients.report.skipped += 1,
        }
        if let Err(error) = self.exchange.read_on() {
            self.clients.report.fault = Some(error.to_string());
        }
        match (key, frame) {
            (Some(key), Some(frame)) if self.clients.publish(key, &frame) => {
                Step::Frame(key.channel().feed())
            }
            _ => Step::Unheard,
        }
    }

    /// An instruction arrived: lockstep waits for it.
    pub fn note_instruction(&mut self) {
        if let Pacing::Lockstep { baton, .. } = &self.pacing {
            baton.count_received();
        }
    }

    /// Takes one request up.
    pub fn take(&mut self, request: Request) {
        match request {
            Request::Open { role, streams, reply } => {
                // A client that hung up in the meantime is found out at the first message.
                let _ = reply.send(self.open(role, streams));
            }
            Request::Closed(client) => self.clients.close(client),
            Request::Text { client, text } => self.text(client, &text),
            Request::Call(call) => self.call(call),
            Request::Disturb(disturbance) => self.disturb(disturbance),
            // The tasks around the core see to these.
            Request::Go | Request::Stop => {}
        }
    }

    pub fn open(&mut self, role: Role, streams: Vec<String>) -> Result<Opened, Refusal> {
        if self.clients.count() >= CLIENTS_MAX {
            return Err(Refusal::new(code::TOO_MANY_REQUESTS, "Too many connections."));
        }
        let queue_max = match &role {
            Role::Market { .. } => self.market_queue,
            Role::User { listen_key } if !self.keys.is_valid(listen_key) => {
                return Err(Refusal::of(code::INVALID_LISTEN_KEY));
            }
            Role::User { .. } | Role::Api => PRIVATE_QUEUE,
        };
        let opened = self.clients.open(role, queue_max, self.now);
        self.clients.subscribe(opened.id, streams);
        Ok(opened)
    }

    /// A text from a websocket: a subscription, or a request of the order socket.
    fn text(&mut self, client: ClientId, text: &str) {
        if self.clients.form(client).is_some() {
            let answer = subscribe::answer(&mut self.clients, client, text);
            match answer {
                Some(answer) => self.send_text(client, answer),
                None => self.clients.close(client),
            }
            return;
        }
        match api_call(client, text) {
            Ok(call) => self.call(call),
            Err((id, refusal)) => self.answer(Reply::Socket { client, id }, Err(refusal)),
        }
    }

    pub fn send_text(&mut self, client: ClientId, text: String) {
        self.clients.send(client, Message::Text(text.into()));
    }

    fn disturb(&mut self, disturbance: Disturbance) {
        match disturbance {
            Disturbance::Close => self.clients.close_all(),
            Disturbance::Nonsense => {
                for text in NONSENSE {
                    self.clients.tell_all(&Message::Text(Utf8Bytes::from_static(text)));
                }
                self.clients.tell_all(&Message::Binary(vec![0xff; 7].into()));
            }
            Disturbance::Pings(count) => {
                for number in 0..count {
                    self.clients.tell_all(&Message::Ping(number.to_be_bytes().to_vec().into()));
                }
            }
            Disturbance::ExpireListenKey => {
                if self.keys.end() {
                    self.tell_key_expired();
                }
            }
        }
    }

    /// How far time may go by the clock; no further than it is without one.
    pub fn clock(&self) -> TimeNs {
        match &self.pacing {
            Pacing::Paced { clock, .. } => clock.now(),
            Pacing::Lockstep { .. } => self.now,
        }
    }

    /// Simulated time beside the system's, both read now.
    pub fn clock_text(&self) -> String {
        let (sim, scale, wall, lockstep) = match &self.pacing {
            Pacing::Paced { scale, wall, .. } => (self.clock(), *scale, wall(), false),
            Pacing::Lockstep { wall, .. } => (self.now, 0.0, wall(), true),
        };
        json!({ "sim_ns": sim.0, "wall_ns": wall.0, "scale": scale, "lockstep": lockstep }).to_string()
    }
}

/// A request of the order socket, or the id it gave and what is wrong with it.
fn api_call(client: ClientId, text: &str) -> Result<Call, (Value, Refusal)> {
    let parsed: Result<Value, _> = serde_json::from_str(text);
    let malformed = |id: &Value| {
        let message = "Malformed request: an object with id, method and params is expected.";
        (id.clone(), Refusal::new(NO_SUCH_PATH, message))
    };
    let request = parsed.map_err(|_| malformed(&Value::Null))?;
    let id = request.get("id").filter(|id| id.is_string() || id.is_number()).cloned().unwrap_or(Value::Null);
    let name = request.get("method").and_then(Value::as_str).ok_or_else(|| malformed(&id))?;
    let params = match request.get("params") {
        None | Some(Value::Null) => Params::default(),
        Some(Value::Object(object)) => Params::of_object(object).map_err(|refusal| (id.clone(), refusal))?,
        Some(_) => return Err(malformed(&id)),
    };
    let reply = Reply::Socket { client, id };
    Ok(Call { name: name.to_owned(), params, api_key: String::new(), reply })
}

/// Takes up the requests that wait, as many as may; true if the server is to stop.
pub(super) fn take_waiting(core: &mut Core, requests: &mut mpsc::Receiver<Request>) -> bool {
    for _ in 0..REQUESTS_MAX {
        match requests.try_recv() {
            Ok(Request::Stop) => return true,
            Ok(request) => core.take(request),
            Err(_) => return false,
        }
    }
    false
}
