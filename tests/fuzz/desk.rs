//! Engine and gateway with an account between them and a venue that says what an input says, line by line.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use quantum_trader::engine::{Engine, Outbox};
use quantum_trader::event::*;
use quantum_trader::gateway::{
    Gateway, GatewayConfig, Input, LimitSettings, Link, Outputs, RequestId, RestOutcome,
};
use quantum_trader::num::*;
use quantum_trader::risk::config::Settings;
use quantum_trader::venue::binance::request::Verb;
use quantum_trader::venue::binance::sign::Credentials;
use quantum_trader::venue::binance::{ClientIds, UsedCounts};
use quantum_trader::venue::builtin_instruments;

const T0: TimeNs = TimeNs(1_700_000_000_000_000_000);
const EPOCH: u32 = 7;
const BTC: InstrumentId = InstrumentId(0);
const ETH: InstrumentId = InstrumentId(1);
const PRICES: [(InstrumentId, Ticks); 2] = [(BTC, Ticks(600_000)), (ETH, Ticks(300_000))];
/// Events that an input may lead to before engine and gateway must have come to rest.
const TURNS_MAX: usize = 4_096;

/// What an input's line is.
enum Line<'a> {
    User(&'a [u8]),
    Order(&'a [u8]),
    /// To the REST call made first.
    Rest(RestOutcome<'a>),
    /// The text written first did not go out.
    NotSent,
    OrderLink(Link),
    UserLink(Link),
    /// Nanoseconds.
    Pass(i64),
    Signal(InstrumentId, Action),
    Command(CommandKind),
    /// Price of BTCUSDT, in ticks.
    Price(i64),
    Nothing,
}

/// Words and numbers of lines. A line that begins with a brace is a message of the user stream.
fn read(line: &[u8]) -> Line<'_> {
    let (word, rest) = match line.iter().position(|byte| *byte == b' ') {
        Some(at) => (&line[..at], &line[at + 1..]),
        None => (line, &[][..]),
    };
    let number = || std::str::from_utf8(rest).ok().and_then(|text| text.parse::<i64>().ok());
    match word {
        b"order" => Line::Order(rest),
        b"lost" => Line::Rest(RestOutcome::Lost),
        b"unsent" => Line::Rest(RestOutcome::Unsent),
        b"notsent" => Line::NotSent,
        b"orders-down" => Line::OrderLink(Link::Down),
        b"orders-up" => Line::OrderLink(Link::Up),
        b"user-down" => Line::UserLink(Link::Down),
        b"user-up" => Line::UserLink(Link::Up),
        b"pass" => Line::Pass(number().unwrap_or(1).clamp(0, 1_000_000_000) * NS_PER_MS),
        b"long" => Line::Signal(BTC, Action::Long),
        b"short" => Line::Signal(ETH, Action::Short),
        b"flatten" => Line::Command(CommandKind::Flatten),
        b"resume" => Line::Command(CommandKind::Resume),
        b"price" => Line::Price(number().unwrap_or(600_000).clamp(1, 1_000_000_000_000_000)),
        _ if line.starts_with(b"{") => Line::User(line),
        _ => rest_answer(word, rest).map_or(Line::Nothing, Line::Rest),
    }
}

/// `200`, or `429/7/1200` where headers say `Retry-After: 7` and a used weight of 1,200; then the body.
fn rest_answer<'a>(word: &[u8], body: &'a [u8]) -> Option<RestOutcome<'a>> {
    let mut numbers = std::str::from_utf8(word).ok()?.split('/');
    let status = numbers.next()?.parse().ok()?;
    let mut header = || numbers.next()?.parse().ok();
    let (retry_after_s, weight_1m) = (header(), header());
    let used = UsedCounts { weight_1m, ..UsedCounts::default() };
    Some(RestOutcome::Answer { status, retry_after_s, used, body })
}

pub struct Desk {
    gateway: Gateway,
    engine: Engine,
    /// Last ones, in ticks, for the gateway's collar.
    prices: Arc<[AtomicI64]>,
    outbox: Box<Outbox>,
    out: Outputs,
    now: TimeNs,
    /// REST calls without an answer, in the order they were made.
    called: Vec<RequestId>,
    /// Texts, with the client id of an order that one of them places.
    written: Vec<(RequestId, Option<String>)>,
    /// Client ids of orders that went out.
    placed: BTreeSet<String>,
    trades: BTreeSet<(InstrumentId, i64)>,
    /// When REST calls were answered since the user stream was last believed: what a round finds of orders is
    /// of these times.
    answered: BTreeSet<TimeNs>,
    /// Everything the gateway said.
    pub said: Vec<Event>,
}

fn settings() -> Settings {
    Settings { require_trend: false, max_data_age_ms: 60_000, ..Settings::DEFAULT }
}

impl Desk {
    pub fn new() -> Desk {
        thread_local! {
            static TABLE: InstrumentTable = table();
        }
        let table = TABLE.with(InstrumentTable::clone);
        let limits = LimitSettings {
            order_usd_max: Dec::int(1_000),
            position_usd_max: Dec::int(1_000),
            orders_per_minute: 600,
            price_collar: Dec::new(5, 2),
        };
        let config = GatewayConfig {
            ids: ClientIds::new("qt").unwrap(),
            limits,
            time_sync_ns: 3_600 * NS_PER_SEC,
            lockstep: false,
            pings: true,
            reconcile_ns: 3_600 * NS_PER_SEC,
        };
        let prices: Arc<[AtomicI64]> = table.iter().map(|_| AtomicI64::new(0)).collect();
        let credentials = Credentials::new("the-key", "the-secret").unwrap();
        let mut desk = Desk {
            gateway: Gateway::new(config, table.clone(), prices.clone().into(), credentials, 0, T0),
            engine: Engine::new(&settings(), &table),
            prices,
            outbox: Outbox::new(),
            out: Outputs::default(),
            now: T0,
            called: Vec::new(),
            written: Vec::new(),
            placed: BTreeSet::new(),
            trades: BTreeSet::new(),
            answered: BTreeSet::new(),
            said: Vec::new(),
        };
        desk.begin();
        desk
    }

    fn begin(&mut self) {
        let start = RunStart {
            run_id: 1,
            build_id: 1,
            epoch: EPOCH,
            instruments: 2,
            resting_stops: true,
            simulated: false,
            rule_voters: false,
            pad: [0; 5],
        };
        let setup = VenueSetup { leverage: 5, isolated: false, one_way: true, single_asset: true, pad: 0 };
        let (wallet, reason) = (Dec::int(10_000), AccountReason::Snapshot);
        let account = AccountUpdate { wallet, change: Dec::ZERO, event_ms: 0, reason, pad: [0; 7] };
        self.tell(InstrumentId::NONE, EventBody::RunStart(start));
        self.tell(InstrumentId::NONE, EventBody::VenueSetup(setup));
        self.tell(InstrumentId::NONE, EventBody::AccountUpdate(account));
        PRICES.into_iter().for_each(|(instrument, price)| self.set_price(instrument, price));
    }

    /// Every line of an input. `true` if there was at least one and all of them could be read.
    pub fn hear(&mut self, input: &[u8]) -> bool {
        let before = self.gateway.counters().unreadable;
        for line in input.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            self.line(read(line));
            self.settle();
        }
        assert_possible(&self.engine);
        !input.is_empty() && self.gateway.counters().unreadable == before
    }

    fn line(&mut self, line: Line<'_>) {
        match line {
            Line::User(text) => {
                let orders = (self.out.texts.len(), self.out.urgent.len());
                self.on(Input::UserText(text));
                assert_eq!((self.out.texts.len(), self.out.urgent.len()), orders, "nothing is sent unasked");
            }
            Line::Order(text) => self.on(Input::OrderText(text)),
            Line::Rest(outcome) if !self.called.is_empty() => {
                let request = self.called.remove(0);
                self.answered.insert(self.now);
                self.on(Input::Rest(request, outcome));
            }
            Line::NotSent if !self.written.is_empty() => {
                let (request, placed) = self.written.remove(0);
                // It may take the other road.
                if let Some(id) = placed {
                    self.placed.remove(&id);
                }
                self.on(Input::NotSent(request));
            }
            Line::OrderLink(link) => self.on(Input::OrderLink(link)),
            Line::UserLink(link) => self.on(Input::UserLink(link)),
            Line::Pass(ns) => {
                self.now = self.now + ns;
                self.on(Input::Time);
                self.tell(InstrumentId::NONE, EventBody::Timer(Timer { count: 1 }));
            }
            Line::Signal(instrument, action) => self.signal(instrument, action),
            Line::Command(command) => {
                self.tell(BTC, EventBody::Command(Command { command, pad: [0; 7] }));
            }
            Line::Price(ticks) => self.set_price(BTC, Ticks(ticks)),
            Line::Rest(_) | Line::NotSent | Line::Nothing => {}
        }
    }

    fn set_price(&mut self, instrument: InstrumentId, price: Ticks) {
        self.prices[instrument.index()].store(price.0, Ordering::Relaxed);
        let prices = Prices { price, bid: price, ask: price, mark: price };
        self.tell(instrument, EventBody::Prices(prices));
    }

    fn signal(&mut self, instrument: InstrumentId, action: Action) {
        let signal = Signal {
            confidence: [Dec::new(9, 1), Dec::ZERO, Dec::ZERO, Dec::ZERO],
            ballot: Ballot::of([Action::Abstain; SEATS]),
            given: true,
            action,
            consensus: Consensus::Strong,
            source: SignalSource::External,
            pad: [0; 8],
        };
        let row = self.engine.instruments().nth(instrument.index()).unwrap();
        let price = row.price(Ticks(self.prices[instrument.index()].load(Ordering::Relaxed)));
        let atr = price.mul(Dec::new(2, 2), Rounding::Floor).unwrap();
        let conditions = SignalWithConditions {
            signal,
            atr,
            ema: price,
            volume_24h: Dec::int(5_000_000_000),
            spread_bps: Dec::ONE,
            bid: Ticks::ZERO,
            ask: Ticks::ZERO,
            spread: SpreadGiven::Bps,
            atr_given: true,
            ema_given: true,
            volume_given: true,
            pad: [0; 12],
        };
        self.tell(instrument, EventBody::SignalWithConditions(conditions));
    }

    fn on(&mut self, input: Input<'_>) {
        self.gateway.on(input, self.now, &mut self.out);
    }

    /// An event for the engine; what it asks goes to the gateway.
    fn tell(&mut self, instrument: InstrumentId, body: EventBody) {
        let event = Event { recv_ns: self.now, instrument, body };
        self.engine.step(&event, &mut self.outbox);
        let asked = self.outbox.outputs().iter();
        let asked: Vec<_> =
            asked.filter_map(|output| Some((output.instrument, output.instruction()?))).collect();
        for (instrument, instruction) in asked {
            self.on(Input::Instruction(instrument, instruction));
        }
    }

    /// Until engine and gateway have nothing more to tell each other.
    fn settle(&mut self) {
        for _ in 0..TURNS_MAX {
            self.take_requests();
            let Some(event) = self.out.events.pop_front() else { return };
            self.check(&event);
            self.said.push(event);
            self.tell(event.instrument, event.body);
        }
        panic!("engine and gateway do not come to rest");
    }

    /// What goes out; of orders, none twice.
    fn take_requests(&mut self) {
        for text in self.out.texts.drain(..) {
            let message: serde_json::Value = serde_json::from_str(&text.text).unwrap();
            let params = &message["params"];
            let id = params.get("newClientOrderId").unwrap_or(&params["clientAlgoId"]);
            let places = message["method"].as_str().unwrap().ends_with("place");
            let placed = places.then(|| id.as_str().unwrap().to_string());
            assert!(placed.iter().all(|id| self.placed.insert(id.clone())), "{placed:?} goes out twice");
            self.written.push((text.request, placed));
        }
        for urgent in self.out.urgent.drain(..) {
            let mut params = urgent.call.query.split('&').filter(|_| urgent.call.verb == Verb::Post);
            let id =
                params.find_map(|p| p.strip_prefix("newClientOrderId=").or(p.strip_prefix("clientAlgoId=")));
            assert!(id.is_none_or(|id| self.placed.insert(id.to_string())), "{id:?} goes out twice");
            self.called.push(urgent.request);
        }
        self.called.extend(self.out.rest.drain(..).map(|call| call.request));
    }

    fn check(&mut self, event: &Event) {
        // What a round finds of orders is told behind their fills, and is of the time when it was found.
        let found = matches!(event.body, EventBody::OrderUpdate(_)) && self.answered.contains(&event.recv_ns);
        assert!(event.recv_ns == self.now || found, "{event:?} at {}", self.now);
        let known = |instrument: InstrumentId| self.engine.instruments().len() > instrument.index();
        match &event.body {
            EventBody::Fill(fill) => {
                assert!(known(event.instrument) && fill.price.is_price(), "{fill:?}");
                assert!((1..=Lots::QUANTITY_MAX.0).contains(&fill.quantity.0), "{fill:?}");
                assert!(self.trades.insert((event.instrument, fill.trade_id)), "told twice: {fill:?}");
            }
            EventBody::OrderUpdate(update) => {
                assert!(known(event.instrument) && !update.order.is_none(), "{update:?}");
            }
            EventBody::VenuePosition(_) => assert!(known(event.instrument)),
            EventBody::AccountUpdate(_) | EventBody::VenueSetup(_) => {
                assert!(known(event.instrument) || event.instrument == InstrumentId::NONE);
            }
            EventBody::ClockRead(read) => {
                assert!(event.instrument == InstrumentId::NONE && read.error_ns >= 0, "{read:?}");
            }
            EventBody::FeedStatus(status) => {
                assert!(matches!(status.feed, Feed::Orders | Feed::User));
                if status.feed == Feed::User && status.state != FeedState::Down {
                    self.answered.clear();
                }
            }
            other => panic!("no word of a venue: {other:?}"),
        }
    }
}

/// What an engine has become can be written down and read back: every bound its parts promise holds.
pub fn assert_possible(engine: &Engine) {
    let snapshot = engine.snapshot(1);
    match Engine::restore(&snapshot) {
        Ok((restored, _)) => assert!(restored.snapshot(1) == snapshot, "another engine is read back"),
        Err(error) => panic!("no engine has it: {error}"),
    }
}

fn table() -> InstrumentTable {
    let all = builtin_instruments("0.0005").unwrap();
    let row = |symbol: &str| *all.get(all.find(symbol).unwrap()).unwrap();
    InstrumentTable::new(vec![row("BTCUSDT"), row("ETHUSDT")]).unwrap()
}

/// What a later find would be worth nothing without: engine, gateway and venue understand each other.
#[test]
fn the_desk_trades() {
    let mut desk = Desk::new();
    let story = crate::user_stream::bought();
    assert!(desk.hear(&story), "{}", story.escape_ascii());
    let said: Vec<&str> = desk.said.iter().map(|event| event.body.name()).collect();
    assert_eq!(said, ["OrderUpdate", "Fill", "OrderUpdate", "AccountUpdate", "VenuePosition", "OrderUpdate"]);
    assert_eq!(desk.placed.len(), 2, "an entry and its stop");
    assert_eq!(desk.engine.trades().len(), 1);
}
