//! What is read of an account, and set, before the first order: one question after the other, over
//! whatever asks them.

use super::clock::ROUND_TRIP_NS;
use super::earlier::Earlier;
use super::fills::QUOTE_ASSET;
use super::limits::Prices;
use super::machine::{Gateway, GatewayConfig};
use super::orders::{Stage, Tracked};
use super::rest::RestReply;
use super::start::{StartConfig, StartError};
use crate::event::{
    AccountReason, AccountUpdate, ClockRead, Event, EventBody, Instrument, InstrumentTable, OrderStatus,
    VenuePosition, VenueSetup,
};
use crate::num::{Dec, DecError, InstrumentId, Lots, Millis, NS_PER_MS, Now, OrderId, TimeNs};
use crate::venue::binance::answer::{
    Account, AccountConfig, AlgoAnswer, ErrorBody, LeverageAnswer, ListenKey, OrderAnswer, PositionRisk,
    ServerTime, SymbolConfig, algo_status, order_status,
};
use crate::venue::binance::request::{self, RestCall, Service, Verb};
use crate::venue::binance::sign::Credentials;
use crate::venue::binance::{Params, RateLimits, parse_exchange_info, path};

const CLOCK_READINGS_MAX: usize = 10;

/// Whoever makes one call after the other, and waits.
pub trait Rest {
    fn call(&self, call: &RestCall) -> RestReply;
}

/// An account that was read.
pub struct Reading {
    pub instruments: InstrumentTable,
    /// What the venue lets us ask in a time.
    rates: RateLimits,
    /// For the engine, before all else: setup, wallet, positions, and orders of ours that are open.
    pub events: Vec<Event>,
    /// What an operator should know, a line each.
    pub notes: Vec<String>,
    /// The venue's clock minus ours.
    pub clock_offset_ms: Millis,
    credentials: Credentials,
    held: Vec<(InstrumentId, Lots)>,
    found: Vec<(OrderId, Tracked)>,
    earlier: Option<Earlier>,
}

impl Reading {
    /// Asks everything, and sets what has to be set. `open` is given the listen key and opens what has
    /// to be open before the account is read, so that nothing that happens in between is lost.
    ///
    /// # Errors
    /// See [`StartError`]; nothing runs on after one.
    pub fn take<L>(
        config: &StartConfig,
        credentials: Credentials,
        rest: &dyn Rest,
        clock: &dyn Now,
        open: impl FnOnce(&str) -> Result<L, StartError>,
    ) -> Result<(Reading, L), StartError> {
        let mut reader =
            Reader { rest, credentials, clock, offset_ms: 0, error_ns: 0, params: Params::default() };
        reader.read_clock()?;
        let (instruments, rates) = reader.read_instruments(config)?;
        reader.check_modes()?;
        let setup = reader.read_setup(config, &instruments)?;
        let listen_key: ListenKey = reader.read(&request::keyed(Verb::Post, path::LISTEN_KEY))?;
        let opened = open(&listen_key.listen_key)?;
        let mut snapshot = Snapshot { events: setup, notes: Vec::new(), held: Vec::new(), found: Vec::new() };
        reader.read_account(&instruments, &mut snapshot)?;
        reader.read_orders(config, &instruments, &mut snapshot)?;
        let read =
            ClockRead { ahead_ns: reader.offset_ms.saturating_mul(NS_PER_MS), error_ns: reader.error_ns };
        snapshot.events.push(reader.event(InstrumentId::NONE, EventBody::ClockRead(read)));
        let Reader { credentials, offset_ms: clock_offset_ms, .. } = reader;
        let Snapshot { events, notes, held, found } = snapshot;
        let reading = Reading {
            instruments,
            rates,
            events,
            notes,
            clock_offset_ms,
            credentials,
            held,
            found,
            earlier: None,
        };
        Ok((reading, opened))
    }

    /// Goes on with what an earlier start left. What became of orders, fills and wallet is then told by a
    /// reconciliation, in an order the engine's books can follow; of what was read at the start, setup and
    /// positions are left.
    pub fn resume(&mut self, earlier: Earlier) {
        let kept = |body: &EventBody| {
            use EventBody::{ClockRead, VenuePosition, VenueSetup};
            matches!(body, VenueSetup(_) | VenuePosition(_) | ClockRead(_))
        };
        self.events.retain(|event| kept(&event.body));
        self.earlier = Some(earlier);
    }

    pub fn is_resumed(&self) -> bool {
        self.earlier.is_some()
    }

    /// The state machine that goes on from here; its links are up. `prices` is the table the live loop
    /// writes.
    pub fn gateway(self, config: GatewayConfig, prices: Prices, now: TimeNs) -> Gateway {
        let Reading { instruments, rates, credentials, clock_offset_ms, held, found, earlier, .. } = self;
        let mut gateway = Gateway::new(config, instruments, prices, credentials, clock_offset_ms, now);
        gateway.limit_rates(&rates);
        for (instrument, quantity) in held {
            gateway.begin_at(instrument, quantity);
        }
        match earlier {
            Some(earlier) => gateway.resume(earlier, found, now),
            None => found.into_iter().for_each(|(id, tracked)| gateway.adopt(id, tracked)),
        }
        gateway
    }
}

pub(super) fn parse<'a, T: serde::Deserialize<'a>>(
    path: &'static str,
    body: &'a [u8],
) -> Result<T, StartError> {
    serde_json::from_slice(body).map_err(|error| StartError::Unreadable { path, reason: error.to_string() })
}

pub(super) fn exchange(rest: &dyn Rest, call: &RestCall) -> Result<Vec<u8>, StartError> {
    let path = call.path;
    match rest.call(call) {
        RestReply::Answer { status: 200, body, .. } => Ok(body),
        RestReply::Answer { status, retry_after_s, body, .. } => {
            let ErrorBody { code, msg, .. } = ErrorBody::of_rest(&body);
            let message = msg.chars().take(200).collect();
            Err(StartError::Refused { path, status, code, message, retry_after_s })
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
    rest: &'a dyn Rest,
    credentials: Credentials,
    clock: &'a dyn Now,
    offset_ms: Millis,
    error_ns: i64,
    params: Params,
}

impl Reader<'_> {
    fn read<T: serde::de::DeserializeOwned>(&self, call: &RestCall) -> Result<T, StartError> {
        parse(call.path, &exchange(self.rest, call)?)
    }

    /// The body of a signed request whose parameters are in place; they are cleared.
    fn ask(&mut self, verb: Verb, path: &'static str) -> Result<Vec<u8>, StartError> {
        let timestamp_ms = self.clock.now().ms().saturating_add(self.offset_ms);
        let call = request::signed(verb, path, &mut self.params, &mut self.credentials.signer, timestamp_ms);
        self.params.clear();
        exchange(self.rest, &call)
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
                self.error_ns = round_trip_ns / 2;
            }
            if shortest_ns <= ROUND_TRIP_NS {
                break;
            }
        }
        Ok(())
    }

    fn read_instruments(&self, config: &StartConfig) -> Result<(InstrumentTable, RateLimits), StartError> {
        let body = exchange(self.rest, &request::public(path::EXCHANGE_INFO, String::new()))?;
        let all = parse_exchange_info(&body, &config.taker_fee)?;
        let find = |symbol: &String| {
            let row = all.find(symbol).and_then(|id| all.get(id)).copied();
            row.ok_or_else(|| StartError::NoSuchSymbol(symbol.clone()))
        };
        let rows = config.symbols.iter().map(find).collect::<Result<Vec<_>, _>>()?;
        let table = InstrumentTable::new(rows).ok_or(StartError::TooManySymbols)?;
        Ok((table, RateLimits::from_exchange_info(&body)))
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
