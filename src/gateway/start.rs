//! From addresses and keys to a running gateway: everything that must be known of an account before
//! the first order, read or set, and checked.

use std::time::{Duration, Instant};

use super::earlier::Earlier;
use super::fills::QUOTE_ASSET;
use super::limits::Prices;
use super::line::Line;
use super::machine::{Gateway, GatewayConfig};
use super::orders::{Stage, Tracked};
use super::rest::{Lane, RestClient, RestReply};
use super::thread::{RunningGateway, Shell, Wires};
use crate::event::{
    AccountReason, AccountUpdate, Bar, BarSource, Event, EventBody, Instrument, InstrumentTable, OrderStatus,
    VenuePosition, VenueSetup,
};
use crate::num::{Dec, DecError, InstrumentId, Lots, Millis, NS_PER_MS, Now, OrderId};
use crate::venue::binance::answer::{
    Account, AccountConfig, AlgoAnswer, ErrorBody, KlineRow, LeverageAnswer, ListenKey, OrderAnswer,
    PositionRisk, ServerTime, SymbolConfig, algo_status, order_status,
};
use crate::venue::binance::request::{self, RestCall, Service, Verb};
use crate::venue::binance::sign::Credentials;
use crate::venue::binance::{Endpoints, ExchangeInfoError, Params, interval_text, parse_exchange_info, path};
use crate::wire::{Connection, Connector, Limits, Roots, Url, UrlError, WireError};

/// For each of the two websockets.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// A venue refuses time stamps 1 s ahead of its clock and 5 s behind it: a round trip so short leaves room.
const CLOCK_ROUND_TRIP_NS: i64 = 500 * NS_PER_MS;
const CLOCK_READINGS_MAX: usize = 10;
/// Bars an answer holds at most.
const KLINES_MAX: usize = 1_500;

/// What to connect to, and as what.
#[derive(Clone, Debug)]
pub struct StartConfig {
    pub endpoints: Endpoints,
    pub roots: Roots,
    /// In the order of the ids they get.
    pub symbols: Vec<String>,
    /// Set at the venue where it is another.
    pub leverage: u32,
    /// Fraction of the notional; the venue's answer has none.
    pub taker_fee: String,
    pub gateway: GatewayConfig,
    /// A websocket without a byte for so long, pings included, is dead; `None`: never. The venue pings
    /// every three minutes.
    pub stale_ns: Option<i64>,
}

/// Why a start failed: one line that names what was asked, and the remedy where there is one.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{path}: the venue can't be reached: {reason}")]
    Unreachable { path: &'static str, reason: String },
    #[error("{path}: refused with HTTP status {status}, code {code}: {message}")]
    Refused { path: &'static str, status: u16, code: i32, message: String },
    #[error("{path}: the answer can't be read: {reason}")]
    Unreadable { path: &'static str, reason: String },
    #[error(transparent)]
    ExchangeInfo(#[from] ExchangeInfoError),
    #[error("{0} is not traded at the venue")]
    NoSuchSymbol(String),
    #[error("more symbols than instrument ids")]
    TooManySymbols,
    #[error(
        "the account is in hedge mode, which takes no reduce-only stops: choose one-way position mode \
         in the venue's preferences, with no position and no order open"
    )]
    HedgeMode,
    #[error(
        "the account is in multi-assets margin mode, in which losses of other assets count: choose \
         single-asset mode in the venue's preferences"
    )]
    MultiAssets,
    #[error("the account may not trade: enable futures for the account, and trading for the key")]
    MayNotTrade,
    #[error("{symbol}: leverage {wanted} was asked for, and the venue set {set}")]
    Leverage { symbol: String, wanted: u32, set: u32 },
    #[error("the account has no {QUOTE_ASSET} wallet")]
    NoWallet,
    #[error("{what}: {error}")]
    Address { what: &'static str, error: UrlError },
    #[error("{what}: {error}")]
    Websocket { what: &'static str, error: WireError },
    #[error(transparent)]
    Roots(WireError),
}

/// An account that was read, with both websockets open.
pub struct Prepared {
    pub instruments: InstrumentTable,
    /// For the engine, before all else: setup, wallet, positions, and orders of ours that are open.
    pub events: Vec<Event>,
    /// What an operator should know, a line each.
    pub notes: Vec<String>,
    config: StartConfig,
    credentials: Credentials,
    client: RestClient,
    clock_offset_ms: Millis,
    orders: Line,
    user: Line,
    held: Vec<(InstrumentId, Lots)>,
    found: Vec<(OrderId, Tracked)>,
    earlier: Option<Earlier>,
}

/// Reads the account, sets what has to be set, and opens both websockets. Blocks until all is done:
/// each exchange has ten seconds.
///
/// # Errors
/// See [`StartError`]; nothing runs on after one.
pub fn prepare(
    config: StartConfig,
    credentials: Credentials,
    clock: &dyn Now,
) -> Result<Prepared, StartError> {
    let connector = Connector::new(&config.roots, Limits::default()).map_err(StartError::Roots)?;
    let client = RestClient::new(&config.endpoints.rest, &config.roots, Some(credentials.api_key()))
        .map_err(StartError::Roots)?;
    let mut reader = Reader { client: &client, credentials, clock, offset_ms: 0, params: Params::default() };
    reader.read_clock()?;
    let instruments = reader.read_instruments(&config)?;
    reader.check_modes()?;
    let setup = reader.read_setup(&config, &instruments)?;
    // The user stream is open before the account is read: nothing that happens in between is lost.
    let listen_key: ListenKey = reader.read(&request::keyed(Verb::Post, path::LISTEN_KEY))?;
    let user_url = config.endpoints.user_stream(&listen_key.listen_key);
    let user = open_line(&connector, "user stream", &user_url, &config, clock)?;
    let orders = open_line(&connector, "order websocket", &config.endpoints.api, &config, clock)?;
    let mut prepared = Snapshot { events: setup, notes: Vec::new(), held: Vec::new(), found: Vec::new() };
    reader.read_account(&instruments, &mut prepared)?;
    reader.read_orders(&config, &instruments, &mut prepared)?;
    let Reader { credentials, offset_ms, .. } = reader;
    let Snapshot { events, notes, held, found } = prepared;
    Ok(Prepared {
        instruments,
        events,
        notes,
        config,
        credentials,
        client,
        clock_offset_ms: offset_ms,
        orders,
        user,
        held,
        found,
        earlier: None,
    })
}

impl Prepared {
    /// The newest closed bars of an instrument, oldest first: warm-up history.
    ///
    /// # Errors
    /// As [`history`].
    pub fn history(
        &self,
        instrument: InstrumentId,
        interval_s: u32,
        bars: usize,
        clock: &dyn Now,
    ) -> Result<Vec<Bar>, StartError> {
        let Some(row) = self.instruments.get(instrument) else { return Ok(Vec::new()) };
        let server_ms = clock.now().ms().saturating_add(self.clock_offset_ms);
        history(&self.client, row, interval_s, bars, server_ms)
    }

    /// Goes on with what an earlier start left. What became of orders, fills and wallet is then told by a
    /// reconciliation, in an order the engine's books can follow; of what was read at the start, setup and
    /// positions are left.
    pub fn resume(&mut self, earlier: Earlier) {
        let kept = |body: &EventBody| matches!(body, EventBody::VenueSetup(_) | EventBody::VenuePosition(_));
        self.events.retain(|event| kept(&event.body));
        self.earlier = Some(earlier);
    }

    pub fn is_resumed(&self) -> bool {
        self.earlier.is_some()
    }

    /// The venue's clock minus ours.
    pub fn clock_offset_ms(&self) -> Millis {
        self.clock_offset_ms
    }

    /// Starts the threads. `prices` is the table the live loop writes.
    ///
    /// # Errors
    /// If a thread can't be started.
    pub fn run(self, prices: impl Into<Prices>, wires: Wires) -> std::io::Result<RunningGateway> {
        let now = wires.clock.now();
        let Prepared { config, instruments, credentials, clock_offset_ms, .. } = self;
        let mut gateway =
            Gateway::new(config.gateway, instruments, prices.into(), credentials, clock_offset_ms, now);
        for (instrument, quantity) in self.held {
            gateway.begin_at(instrument, quantity);
        }
        match self.earlier {
            Some(earlier) => gateway.resume(earlier, self.found, now),
            None => self.found.into_iter().for_each(|(id, tracked)| gateway.adopt(id, tracked)),
        }
        let urgent = Lane::spawn("qtx-rest-orders", self.client.clone())?;
        let rest = Lane::spawn("qtx-rest", self.client)?;
        Shell::new(gateway, config.endpoints, (self.orders, self.user), (urgent, rest), wires).spawn()
    }
}

/// The newest closed bars of an instrument, oldest first. `server_ms` is the venue's time: the bar it
/// lies in is not closed. Bars the venue does not have are not there.
///
/// # Errors
/// An interval the venue has no name for, no answer, a refusal, or one that can't be read.
pub fn history(
    client: &RestClient,
    instrument: &Instrument,
    interval_s: u32,
    bars: usize,
    server_ms: Millis,
) -> Result<Vec<Bar>, StartError> {
    const PATH: &str = path::KLINES;
    let unreadable = |reason: String| StartError::Unreadable { path: PATH, reason };
    // A simulated venue has bars of any length, by their seconds.
    let interval = interval_text(interval_s).map_or_else(|| format!("{interval_s}s"), str::to_owned);
    // The newest is the open one.
    let limit = bars.saturating_add(1).min(KLINES_MAX);
    let query = format!("symbol={}&interval={interval}&limit={limit}", instrument.symbol);
    let body = exchange(client, &request::public(PATH, query))?;
    let rows: Vec<KlineRow<'_>> = parse(PATH, &body)?;
    let closed = rows.iter().filter(|row| row.close_ms < server_ms);
    let read = |row: &KlineRow<'_>| {
        bar(row, instrument, interval_s)
            .map_err(|error| unreadable(format!("{}: {error}", instrument.symbol)))
    };
    closed.map(read).collect()
}

fn bar(row: &KlineRow<'_>, instrument: &Instrument, interval_s: u32) -> Result<Bar, DecError> {
    Ok(Bar {
        open_ms: row.open_ms,
        open: instrument.parse_price(row.open.as_bytes())?,
        high: instrument.parse_price(row.high.as_bytes())?,
        low: instrument.parse_price(row.low.as_bytes())?,
        close: instrument.parse_price(row.close.as_bytes())?,
        volume: instrument.parse_size(row.volume.as_bytes())?,
        quote_volume: Dec::parse(&row.quote_volume)?,
        taker_buy_volume: instrument.parse_size(row.taker_buy_volume.as_bytes())?,
        event_ms: 0,
        trades: row.trades,
        interval_s,
        closed: true,
        source: BarSource::History,
        pad: [0; 6],
    })
}

fn open_line(
    connector: &Connector,
    what: &'static str,
    address: &str,
    config: &StartConfig,
    clock: &dyn Now,
) -> Result<Line, StartError> {
    let url: Url = address.parse().map_err(|error| StartError::Address { what, error })?;
    let open = connector
        .open(&url, Instant::now() + OPEN_TIMEOUT)
        .map_err(|error| StartError::Websocket { what, error })?;
    let socket = Connection::new(open, clock.now());
    let line = Line::new(connector.clone(), config.stale_ns).adopt(url, socket);
    Ok(if config.gateway.lockstep { line.without_successors() } else { line })
}

fn parse<'a, T: serde::Deserialize<'a>>(path: &'static str, body: &'a [u8]) -> Result<T, StartError> {
    serde_json::from_slice(body).map_err(|error| StartError::Unreadable { path, reason: error.to_string() })
}

fn exchange(client: &RestClient, call: &RestCall) -> Result<Vec<u8>, StartError> {
    let path = call.path;
    match client.call(call) {
        RestReply::Answer { status: 200, body, .. } => Ok(body),
        RestReply::Answer { status, body, .. } => {
            let ErrorBody { code, msg, .. } = ErrorBody::of_rest(&body);
            Err(StartError::Refused { path, status, code, message: msg.chars().take(200).collect() })
        }
        RestReply::Unsent(reason) | RestReply::Lost(reason) => Err(StartError::Unreachable { path, reason }),
    }
}

/// What was found.
struct Snapshot {
    events: Vec<Event>,
    notes: Vec<String>,
    held: Vec<(InstrumentId, Lots)>,
    found: Vec<(OrderId, Tracked)>,
}

/// Asks one thing after the other.
struct Reader<'a> {
    client: &'a RestClient,
    credentials: Credentials,
    clock: &'a dyn Now,
    offset_ms: Millis,
    params: Params,
}

impl Reader<'_> {
    fn read<T: serde::de::DeserializeOwned>(&self, call: &RestCall) -> Result<T, StartError> {
        parse(call.path, &exchange(self.client, call)?)
    }

    /// The body of a signed request whose parameters are in place; they are cleared.
    fn ask(&mut self, verb: Verb, path: &'static str) -> Result<Vec<u8>, StartError> {
        let timestamp_ms = self.clock.now().ms().saturating_add(self.offset_ms);
        let call = request::signed(verb, path, &mut self.params, &mut self.credentials.signer, timestamp_ms);
        self.params.clear();
        exchange(self.client, &call)
    }

    fn event(&self, instrument: InstrumentId, body: EventBody) -> Event {
        Event { recv_ns: self.clock.now(), instrument, body }
    }

    /// When in a round trip the venue read its clock is not known: of several the shortest tells most.
    fn read_clock(&mut self) -> Result<(), StartError> {
        let mut shortest_ns = i64::MAX;
        for _ in 0..CLOCK_READINGS_MAX {
            let asked = self.clock.now();
            let time: ServerTime = self.read(&request::public(path::TIME, String::new()))?;
            let round_trip_ns = self.clock.now().since(asked);
            if round_trip_ns < shortest_ns {
                shortest_ns = round_trip_ns;
                let middle_ms = asked.ms() + round_trip_ns / 2 / NS_PER_MS;
                self.offset_ms = time.server_time.saturating_sub(middle_ms);
            }
            if shortest_ns <= CLOCK_ROUND_TRIP_NS {
                break;
            }
        }
        Ok(())
    }

    fn read_instruments(&self, config: &StartConfig) -> Result<InstrumentTable, StartError> {
        let body = exchange(self.client, &request::public(path::EXCHANGE_INFO, String::new()))?;
        let all = parse_exchange_info(&body, &config.taker_fee)?;
        let find = |symbol: &String| {
            let row = all.find(symbol).and_then(|id| all.get(id)).copied();
            row.ok_or_else(|| StartError::NoSuchSymbol(symbol.clone()))
        };
        let rows = config.symbols.iter().map(find).collect::<Result<Vec<_>, _>>()?;
        InstrumentTable::new(rows).ok_or(StartError::TooManySymbols)
    }

    fn check_modes(&mut self) -> Result<(), StartError> {
        let account: AccountConfig =
            parse(path::ACCOUNT_CONFIG, &self.ask(Verb::Get, path::ACCOUNT_CONFIG)?)?;
        if account.dual_side_position {
            Err(StartError::HedgeMode)
        } else if account.multi_assets_margin {
            Err(StartError::MultiAssets)
        } else if !account.can_trade {
            Err(StartError::MayNotTrade)
        } else {
            Ok(())
        }
    }

    /// Leverage as it has to be, and the event that says so: one for all where all are alike.
    fn read_setup(
        &mut self,
        config: &StartConfig,
        instruments: &InstrumentTable,
    ) -> Result<Vec<Event>, StartError> {
        let body = self.ask(Verb::Get, path::SYMBOL_CONFIG)?;
        let listed: Vec<SymbolConfig<'_>> = parse(path::SYMBOL_CONFIG, &body)?;
        let mut setups = Vec::with_capacity(instruments.len());
        for (id, row) in instruments.iter() {
            let symbol = row.symbol.as_str();
            let found = listed.iter().find(|listed| listed.symbol == symbol);
            if found.is_none_or(|found| found.leverage != config.leverage) {
                self.set_leverage(symbol, config.leverage)?;
            }
            let isolated = found.is_some_and(SymbolConfig::is_isolated);
            let setup =
                VenueSetup { leverage: config.leverage, isolated, one_way: true, single_asset: true, pad: 0 };
            setups.push((id, setup));
        }
        let first = setups.first().map(|(_, setup)| *setup);
        let alike = setups.iter().all(|(_, setup)| Some(*setup) == first);
        let said = match first.filter(|_| alike) {
            Some(setup) => vec![(InstrumentId::NONE, setup)],
            None => setups,
        };
        Ok(said.into_iter().map(|(id, setup)| self.event(id, EventBody::VenueSetup(setup))).collect())
    }

    fn set_leverage(&mut self, symbol: &str, wanted: u32) -> Result<(), StartError> {
        self.params.clear();
        self.params.text("symbol", symbol).number("leverage", i64::from(wanted));
        let answer: LeverageAnswer = parse(path::LEVERAGE, &self.ask(Verb::Post, path::LEVERAGE)?)?;
        if answer.leverage == wanted {
            return Ok(());
        }
        Err(StartError::Leverage { symbol: symbol.to_owned(), wanted, set: answer.leverage })
    }

    fn read_account(
        &mut self,
        instruments: &InstrumentTable,
        snapshot: &mut Snapshot,
    ) -> Result<(), StartError> {
        let body = self.ask(Verb::Get, path::ACCOUNT)?;
        let account: Account<'_> = parse(path::ACCOUNT, &body)?;
        let asset = account.assets.iter().find(|asset| asset.asset == QUOTE_ASSET);
        let asset = asset.ok_or(StartError::NoWallet)?;
        let wallet = number(path::ACCOUNT, Dec::parse(&asset.wallet_balance))?;
        let (change, event_ms) = (Dec::ZERO, asset.update_time);
        let update = AccountUpdate { wallet, change, event_ms, reason: AccountReason::Snapshot, pad: [0; 7] };
        snapshot.events.push(self.event(InstrumentId::NONE, EventBody::AccountUpdate(update)));

        let body = self.ask(Verb::Get, path::POSITION_RISK)?;
        let rows: Vec<PositionRisk<'_>> = parse(path::POSITION_RISK, &body)?;
        for row in rows {
            let Some(id) = instruments.find(&row.symbol) else {
                if number(path::POSITION_RISK, Dec::parse(&row.position_amt))? != Dec::ZERO {
                    snapshot.notes.push(format!("{}: a position that is not ours to manage", row.symbol));
                }
                continue;
            };
            let Some(instrument) = instruments.get(id) else { continue };
            let quantity = instrument.parse_quantity(row.position_amt.as_bytes());
            let quantity = number(path::POSITION_RISK, quantity)?;
            if quantity != Lots::ZERO {
                let entry = number(path::POSITION_RISK, Dec::parse(&row.entry_price))?;
                let position = VenuePosition { entry, quantity, event_ms: row.update_time };
                snapshot.held.push((id, quantity));
                snapshot.events.push(self.event(id, EventBody::VenuePosition(position)));
            }
        }
        Ok(())
    }

    fn read_orders(
        &mut self,
        config: &StartConfig,
        instruments: &InstrumentTable,
        snapshot: &mut Snapshot,
    ) -> Result<(), StartError> {
        let body = self.ask(Verb::Get, path::OPEN_ORDERS)?;
        for row in parse::<Vec<OrderAnswer<'_>>>(path::OPEN_ORDERS, &body)? {
            let status = order_status(&row.status).unwrap_or(OrderStatus::Accepted);
            let filled = |instrument: &Instrument| instrument.parse_quantity(row.executed_qty.as_bytes());
            let order = Found {
                symbol: &row.symbol,
                client_id: &row.client_order_id,
                venue_id: row.order_id,
                service: Service::Ordinary,
                status,
                event_ms: row.update_time,
            };
            self.take_found(config, instruments, &order, filled, snapshot)?;
        }
        let body = self.ask(Verb::Get, path::OPEN_ALGO_ORDERS)?;
        for row in parse::<Vec<AlgoAnswer<'_>>>(path::OPEN_ALGO_ORDERS, &body)? {
            let status = algo_status(&row.algo_status).unwrap_or(OrderStatus::Accepted);
            let order = Found {
                symbol: &row.symbol,
                client_id: &row.client_algo_id,
                venue_id: row.algo_id,
                service: Service::Algo,
                status,
                event_ms: row.update_time,
            };
            self.take_found(config, instruments, &order, |_| Ok(Lots::ZERO), snapshot)?;
        }
        Ok(())
    }

    fn take_found(
        &self,
        config: &StartConfig,
        instruments: &InstrumentTable,
        found: &Found<'_>,
        filled: impl Fn(&Instrument) -> Result<Lots, DecError>,
        snapshot: &mut Snapshot,
    ) -> Result<(), StartError> {
        let Some(id) = config.gateway.ids.parse(found.client_id) else { return Ok(()) };
        let instrument = instruments.find(found.symbol).and_then(|row| Some((row, instruments.get(row)?)));
        let Some((instrument, row)) = instrument else {
            let note = format!("{}: an order of ours ({id}) is open, but it is not traded now", found.symbol);
            snapshot.notes.push(note);
            return Ok(());
        };
        let filled = number(path::OPEN_ORDERS, filled(row))?;
        let now = self.clock.now();
        let mut tracked = Tracked::found(instrument, found.service, Stage::Unknown, now);
        tracked.filled = filled;
        if found.service == Service::Ordinary {
            tracked.venue_id = found.venue_id;
        }
        let status = tracked.advance(found.status).unwrap_or(found.status);
        let update = super::user::order_update(id, found.venue_id, filled, found.event_ms, status);
        snapshot.found.push((id, tracked));
        snapshot.events.push(self.event(instrument, EventBody::OrderUpdate(update)));
        Ok(())
    }
}

/// An open order as a list has it.
struct Found<'a> {
    symbol: &'a str,
    client_id: &'a str,
    venue_id: i64,
    service: Service,
    status: OrderStatus,
    event_ms: Millis,
}

fn number<T>(path: &'static str, read: Result<T, DecError>) -> Result<T, StartError> {
    read.map_err(|error| StartError::Unreadable { path, reason: error.to_string() })
}
