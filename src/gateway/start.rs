//! From addresses and keys to a running gateway: everything that must be known of an account before
//! the first order, read or set, and checked.

use std::time::{Duration, Instant};

use super::fills::QUOTE_ASSET;
use super::limits::Prices;
use super::line::Line;
use super::machine::{GatewayConfig, silence_ns};
use super::reading::{Reading, Rest, exchange, parse};
use super::responses::is_rate_limited;
use super::rest::{Lane, RestClient};
use super::thread::{RunningGateway, Shell, Wires};
use crate::event::{Bar, BarSource, Instrument};
use crate::num::{Dec, DecError, InstrumentId, Millis, NS_PER_SEC, Now};
use crate::venue::binance::answer::KlineRow;
use crate::venue::binance::request;
use crate::venue::binance::sign::Credentials;
use crate::venue::binance::{Endpoints, ExchangeInfoError, interval_text, path};
use crate::wire::{Connection, Connector, Limits, Roots, UpgradeError, Url, UrlError, WireError};

/// For each of the two websockets.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
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
    Refused { path: &'static str, status: u16, code: i32, message: String, retry_after_s: Option<u32> },
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

impl StartError {
    /// For how many nanoseconds the venue wants to hear nothing, if that is why the start failed, and
    /// whether it is a ban.
    pub fn silence(&self) -> Option<(i64, bool)> {
        let (status, code, retry_after_s) = match self {
            StartError::Refused { status, code, retry_after_s, .. } => (*status, *code, *retry_after_s),
            StartError::Websocket {
                error: WireError::Upgrade(UpgradeError::Status { code, retry_after_s }),
                ..
            } => (*code, 0, *retry_after_s),
            _ => return None,
        };
        is_rate_limited(status, code).then(|| {
            let asked_ns = retry_after_s.map(|seconds| i64::from(seconds) * NS_PER_SEC);
            (silence_ns(asked_ns, status == 418), status == 418)
        })
    }
}

/// An account that was read, with both websockets open.
pub struct Prepared {
    pub reading: Reading,
    config: StartConfig,
    client: RestClient,
    orders: Line,
    user: Line,
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
    let open = |listen_key: &str| {
        let user_url = config.endpoints.user_stream(listen_key);
        let user = open_line(&connector, "user stream", &user_url, &config, clock)?;
        let orders = open_line(&connector, "order websocket", &config.endpoints.api, &config, clock)?;
        Ok((orders, user))
    };
    let (reading, (orders, user)) = Reading::take(&config, credentials, &client, clock, open)?;
    Ok(Prepared { reading, config, client, orders, user })
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
        let Some(row) = self.reading.instruments.get(instrument) else { return Ok(Vec::new()) };
        let server_ms = clock.now().ms().saturating_add(self.reading.clock_offset_ms);
        history(&self.client, row, interval_s, bars, server_ms)
    }

    /// Starts the threads. `prices` is the table the live loop writes.
    ///
    /// # Errors
    /// If a thread can't be started.
    pub fn run(self, prices: impl Into<Prices>, wires: Wires) -> std::io::Result<RunningGateway> {
        let Prepared { reading, config, client, orders, user } = self;
        let gateway = reading.gateway(config.gateway, prices.into(), wires.clock.now());
        let urgent = Lane::spawn("qtx-rest-orders", client.clone())?;
        let rest = Lane::spawn("qtx-rest", client)?;
        Shell::new(gateway, config.endpoints, (orders, user), (urgent, rest), wires).spawn()
    }
}

/// The newest closed bars of an instrument, oldest first. `server_ms` is the venue's time: the bar it
/// lies in is not closed. Bars the venue does not have are not there.
///
/// # Errors
/// An interval the venue has no name for, no answer, a refusal, or one that can't be read.
pub fn history(
    rest: &dyn Rest,
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
    let body = exchange(rest, &request::public(PATH, query))?;
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
