//! A venue elsewhere: Binance USD-M futures, its test network, or a simulated venue that another
//! process serves and that owns the clock.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::Sender;
use serde::Deserialize;

use super::journal::Journal;
use super::{Ended, Plan, RunArgs, VenueName, bans, control, finish, host, pace, resume, sockets};
use crate::cli::{Failure, print};
use crate::event::{Event, EventBody, Feed, FeedState, FeedStatus, InstrumentTable};
use crate::gateway::{Earlier, RestClient, RestReply, StartError, secrets};
use crate::host::account_lock::{Account as LockedAccount, AccountLock, state_dir};
use crate::host::clock::wall_time;
use crate::host::stop::StopFlag;
use crate::host::time::{Discipline, RemoteTime, Scale, VenueClock, WallTime, correction};
use crate::journal::{Identity, Resumed};
use crate::live::{
    self, Account, Core, Cycle, Endless, Intake, Joined, Lifetimes, MarketConfig, Pace, WhenFull,
};
use crate::num::{Lots, NS_PER_SEC, Now, TimeNs};
use crate::replay::{Recovery, RecoveryError};
use crate::risk::config::{OnUnknownPosition, Settings};
use crate::venue::binance::sign::Credentials;
use crate::venue::binance::{Channel, Endpoints, SIMULATED_KEY, interval_text, request};

/// What the engine decides by.
const CHANNELS: [Channel; 5] =
    [Channel::BookTicker, Channel::AggTrade, Channel::Kline, Channel::MarkPrice, Channel::Ticker];
/// A market connection without a message for so long is dead: every stream of ours but the quietest
/// speaks each second.
const STALE_NS: i64 = 30 * NS_PER_SEC;
/// The gateway's connections are pinged every three minutes; two missed pings are a dead connection.
const GATEWAY_STALE_NS: i64 = 400 * NS_PER_SEC;
/// How often the clock is compared.
const COMPARE_EVERY: Duration = Duration::from_secs(10);
const COMPARE_POLL: Duration = Duration::from_millis(50);
/// Bars of history beyond the longest period, so that the first decision is not the first bar.
const HISTORY_SPARE_BARS: u32 = 50;
const CLOCK_PATH: &str = "/sim/clock";

/// What a simulated venue says of its clock.
#[derive(Deserialize)]
struct ClockAnswer {
    sim_ns: i64,
    wall_ns: i64,
    scale: f64,
}

/// The clock of the run.
#[derive(Clone)]
pub(super) enum Clock {
    World(WallTime),
    /// A simulated venue's, and what it said.
    Venue(RemoteTime, VenueClock),
}

impl Now for Clock {
    fn now(&self) -> TimeNs {
        match self {
            Clock::World(clock) => clock.now(),
            Clock::Venue(clock, _) => clock.now(),
        }
    }
}

impl Clock {
    fn offset_ns(&self) -> i64 {
        match self {
            Clock::World(clock) => clock.offset_ns(),
            Clock::Venue(clock, venue) => clock.offset_ns(venue),
        }
    }

    fn is_simulated(&self) -> bool {
        matches!(self, Clock::Venue(..))
    }

    /// Wall time in time of this clock.
    fn scaled(&self, ns: i64) -> i64 {
        match self {
            Clock::World(_) => ns,
            Clock::Venue(_, venue) => (ns as f64 * venue.scale.factor()) as i64,
        }
    }

    /// Time of this clock in wall time.
    pub(super) fn unscaled(&self, ns: i64) -> i64 {
        match self {
            Clock::World(_) => ns,
            Clock::Venue(_, venue) => (ns as f64 / venue.scale.factor()) as i64,
        }
    }
}

pub(super) fn run(args: &RunArgs) -> Result<ExitCode, Failure> {
    refuse_what_is_simulated(args)?;
    let loaded = args.settings.load(None)?;
    let settings = &loaded.settings;
    if !settings.enable_risk_layer {
        let line = "RM_ENABLE_RISK_LAYER=false is not allowed at a venue elsewhere: nothing would limit what is lost";
        return Err(Failure::refused(line));
    }
    let Some(dir) = &args.journal else {
        let line = "--journal DIR must be given: the journal of a real account is never replaced";
        return Err(Failure::refused(line));
    };
    if args.symbols.is_empty() {
        return Err(Failure::refused("--symbols must be given: BTCUSDT,ETHUSDT for example"));
    }
    let stop =
        StopFlag::on_signals().map_err(|error| Failure::refused(format!("signal handlers: {error}")))?;
    let endpoints = endpoints(args.venue, settings);
    let credentials = secrets::credentials(|name| std::env::var_os(name))?;
    let (mut lock, api) = lock(&endpoints, &credentials, settings)?;
    let (ban_file, ban_note) = bans::refuse_during_one(lock.ban_file(&api))?;
    let (clock, discipline) = clock(&endpoints, settings)?;
    let bans = bans::Keeper { file: ban_file, clock: clock.clone() };
    if !args.live {
        refuse_real_orders(&clock, &credentials)?;
    }
    let epoch = lock.next_epoch(wall_time())?;
    let (recovery, begun) = resume::find(dir, settings)?;
    let stale_ns = Some(clock.scaled(GATEWAY_STALE_NS));
    let mut start_config = sockets::start_config(settings, endpoints, args.symbols.clone(), false, stale_ns)?;
    start_config.gateway.pings = !clock.is_simulated();
    // As often as requests are by the world's clock.
    start_config.gateway.reconcile_ns = clock.scaled(start_config.gateway.reconcile_ns);
    let mut account =
        Account::read(start_config, credentials, &clock).map_err(|error| bans.turned_away(error))?;
    account.remember_bans(Box::new(bans.clone()));
    let mut notes: Vec<String> =
        account.reading().notes.iter().cloned().chain(epoch.damage.clone()).chain(ban_note).collect();
    let instruments = account.instruments().clone();
    notes.extend(take_up(&mut account, recovery.as_ref(), settings)?);
    let unheard = recovery.is_none() && account.is_resumed();
    // Time does not run backwards, not even from start to start.
    let start = clock.now().max(recovery.as_ref().map_or(TimeNs(i64::MIN), |it| it.engine.now()));
    let history = history(&account, settings, &clock, start).map_err(|error| bans.turned_away(error))?;
    let identity = identity(epoch.value, settings);
    let start_of = (start, &identity, &instruments, clock.is_simulated());
    let Begun { journal, core, opening: mut events, mut after_recovery } =
        begin(args, settings, start_of, recovery, begun)?;
    if !args.json {
        print(&banner(args, &api, &clock, &notes, &dir.display().to_string()))?;
    }
    // Behind changed settings, for the indicators they may have begun anew.
    if after_recovery.is_empty() {
        events.extend(history)
    } else {
        after_recovery.extend(history)
    }
    events.extend(account.reading().events.iter().map(|event| Event { recv_ns: start, ..*event }));
    // A first start that has something to find out: the engine enters nothing before the gateway has.
    events.extend(unheard.then(|| user_stream_down(start)));
    let market = MarketConfig {
        channels: &CHANNELS,
        bar_interval_s: settings.bar_interval_s,
        frame_bytes_max: settings.max_frame_bytes as usize,
        lifetimes: Lifetimes::clocked(Some(clock.scaled(STALE_NS))),
    };
    let joined = account.join(&market, clock.clone(), None)?;
    let control = control(&journal, settings, &instruments, joined.senders.commands.clone())?;
    let pace = Pace { speed: Some(1.0), ..pace(args, Some(1.0))? };
    let plan = Plan { start, opening: events, pace, stop, round_trip_ns_max: None };
    let ended = cycle(plan, core, joined, (clock, discipline), &journal, (notes, after_recovery))?;
    finish(args, journal, control, ended, &instruments)
}

/// What a start has before its loop.
struct Begun {
    journal: Journal,
    core: Core,
    opening: Vec<Event>,
    /// Settings that changed.
    after_recovery: Vec<Event>,
}

/// The journal and the engine: those of earlier starts, or new ones.
fn begin(
    args: &RunArgs,
    settings: &Settings,
    (start, identity, instruments, simulated): (TimeNs, &Identity, &InstrumentTable, bool),
    recovery: Option<Recovery>,
    begun: Option<Resumed>,
) -> Result<Begun, Failure> {
    let in_force = recovery.as_ref().map_or(*settings, |recovery| *recovery.engine.settings());
    let mut opening = live::opening(start, identity, &in_force, instruments, simulated);
    let Some(recovery) = recovery else {
        let (journal, ring) = Journal::open(args, settings, instruments, identity, begun)?;
        let core = Core::new(settings, instruments, ring);
        return Ok(Begun { journal, core, opening, after_recovery: Vec::new() });
    };
    opening.extend(recovery.never_sent(start));
    let after_recovery = resume::change(&recovery.engine, settings);
    let (journal, ring, engine) = Journal::go_on(args, settings, instruments, identity, recovery)?;
    let core = Core::resume(engine, settings, instruments, ring);
    Ok(Begun { journal, core, opening, after_recovery })
}

/// Without `--live` no order may reach a real account. That a venue says it is simulated is not enough,
/// for it may pass on what it is sent: the key is one that no real account has.
fn refuse_real_orders(clock: &Clock, credentials: &Credentials) -> Result<(), Failure> {
    if !clock.is_simulated() {
        let line = "this is a real venue: --live says that orders may be sent (paper trading: --venue sim; \
                    a simulated venue is one server on this machine that all five addresses name)";
        return Err(Failure::refused(line));
    }
    if credentials.api_key() != SIMULATED_KEY {
        let line = format!(
            "the venue says that it is simulated, but the key may be a real account's: \
             QT_API_KEY={SIMULATED_KEY} is a simulated one's, or --live says that orders may be sent"
        );
        return Err(Failure::refused(line));
    }
    Ok(())
}

/// What the gateway begins with: what the journal has under way, or what nothing explains. For the operator,
/// a line each.
fn take_up(
    account: &mut Account,
    recovery: Option<&Recovery>,
    settings: &Settings,
) -> Result<Vec<String>, Failure> {
    let Some(recovery) = recovery else { return Ok(Vec::from_iter(take_positions(account, settings)?)) };
    let refused = |error: RecoveryError| Failure::refused(error.to_string());
    recovery.check_instruments(account.instruments()).map_err(refused)?;
    account.resume(live::earlier(&recovery.engine));
    Ok(resume::notes(recovery))
}

/// Without a journal that explains it a position is nobody's here. Left alone, the start is refused: the
/// engine would neither manage it nor keep its stop, which to it is an orphan. Else the gateway begins by
/// asking what there is, and tells the engine.
fn take_positions(account: &mut Account, settings: &Settings) -> Result<Option<String>, Failure> {
    let instruments = account.instruments();
    let held = account.reading().events.iter().filter_map(|event| match event.body {
        EventBody::VenuePosition(position) if position.quantity != Lots::ZERO => {
            let row = instruments.get(event.instrument)?;
            Some(format!("{} {}", row.symbol, row.quantity(position.quantity)))
        }
        _ => None,
    });
    let held: Vec<String> = held.collect();
    if held.is_empty() {
        return Ok(None);
    }
    let (held, policy) = (held.join(", "), settings.on_unknown_position);
    if policy != OnUnknownPosition::Halt {
        account.resume(Earlier::default());
        return Ok(Some(format!("no journal explains {held}: QT_ON_UNKNOWN_POSITION={policy}")));
    }
    let line = format!(
        "the account holds {held}, which no journal here explains: give the --journal of the start that opened \
         it. Its orders and stops were left as they are; or close it at the venue, then start; or say \
         what becomes of it (QT_ON_UNKNOWN_POSITION=adopt or close)"
    );
    Err(Failure::refused(line))
}

fn user_stream_down(at: TimeNs) -> Event {
    let status = FeedStatus { since_ms: at.ms(), feed: Feed::User, state: FeedState::Down, pad: [0; 6] };
    Event::global(at, EventBody::FeedStatus(status))
}

fn refuse_what_is_simulated(args: &RunArgs) -> Result<(), Failure> {
    let given = [
        (args.market.len() != 1 || args.market.first().is_some_and(|m| m != "synthetic"), "--market"),
        (args.symbol.is_some(), "--symbol"),
        (args.instruments.is_some(), "--instruments"),
        (args.speed.is_some(), "--speed"),
        (args.transport.is_some(), "--transport"),
        (args.wants_tls(), "--sim-tls-cert"),
    ];
    match given.into_iter().find(|(given, _)| *given) {
        Some((_, flag)) => {
            let line = format!("{flag} is for the simulated venue of this process (--venue sim)");
            Err(Failure::refused(line))
        }
        None => Ok(()),
    }
}

fn endpoints(venue: VenueName, settings: &Settings) -> Endpoints {
    let said = Endpoints {
        rest: settings.binance_rest_url.as_str().to_owned(),
        public: settings.binance_public_url.as_str().to_owned(),
        market: settings.binance_market_url.as_str().to_owned(),
        private: settings.binance_private_url.as_str().to_owned(),
        api: settings.binance_api_url.as_str().to_owned(),
    };
    // The test network's own addresses, but for those that others were said for.
    match venue {
        VenueName::BinanceTestnet => said.or_of(Endpoints::testnet()),
        VenueName::Sim | VenueName::Binance => said,
    }
}

/// A simulated venue on this machine owns the clock; elsewhere it is the world's.
fn clock(endpoints: &Endpoints, settings: &Settings) -> Result<(Clock, Discipline), Failure> {
    let client = RestClient::new(&endpoints.rest, &sockets::roots(settings), None)?;
    let call = request::public(CLOCK_PATH, String::new());
    // Elsewhere nobody is asked: a clock on another machine could not be followed, and orders that go
    // to another address are not simulated by this one.
    let reply = endpoints.are_one_local_server().then(|| client.call(&call));
    let answer = match reply {
        Some(RestReply::Answer { status: 200, body, .. }) => {
            serde_json::from_slice::<ClockAnswer>(&body).ok()
        }
        _ => None,
    };
    let venue = answer.and_then(|ClockAnswer { sim_ns, wall_ns, scale }| {
        let scale = Scale::new(scale)?;
        Some(VenueClock { sim_ns: TimeNs(sim_ns), wall_ns: TimeNs(wall_ns), scale })
    });
    Ok(match venue {
        Some(venue) => {
            let (clock, discipline) = RemoteTime::start(&venue);
            (Clock::Venue(clock, venue), discipline)
        }
        None => {
            let (clock, discipline) = WallTime::start();
            (Clock::World(clock), discipline)
        }
    })
}

/// Nobody else trades this account with our order ids.
fn lock(
    endpoints: &Endpoints,
    credentials: &Credentials,
    settings: &Settings,
) -> Result<(AccountLock, String), Failure> {
    let dir = state_dir(|name| std::env::var_os(name))?;
    let account = LockedAccount {
        venue: &endpoints.api,
        api_key: credentials.api_key(),
        prefix: settings.order_prefix.as_str(),
    };
    Ok((AccountLock::acquire(&dir, &account)?, endpoints.api.clone()))
}

/// A start of its own: the epoch is never issued again, and so is what is made of it.
fn identity(epoch: u32, settings: &Settings) -> Identity {
    let salt = crc32c::crc32c(&settings.digest().to_le_bytes());
    Identity {
        run_id: u64::from(epoch) << 32 | u64::from(salt),
        build_id: super::build_id(),
        epoch,
        clock: Default::default(),
    }
}

/// Closed bars of every instrument, so that the first decision need not wait for two hundred.
fn history(
    account: &Account,
    settings: &Settings,
    clock: &Clock,
    start: TimeNs,
) -> Result<Vec<Event>, StartError> {
    let mut events = Vec::new();
    // Only a simulated venue has bars of lengths without a name.
    if interval_text(settings.bar_interval_s).is_none() && !clock.is_simulated() {
        return Ok(events);
    }
    let longest = settings.ema_period.max(settings.atr_period).max(settings.correlation_bars);
    let bars = (longest + HISTORY_SPARE_BARS) as usize;
    for (id, _) in account.instruments().iter() {
        let rows = account.prepared().history(id, settings.bar_interval_s, bars, clock)?;
        let event = |bar| Event { recv_ns: start, instrument: id, body: EventBody::Bar(bar) };
        events.extend(rows.into_iter().map(event));
    }
    Ok(events)
}

fn cycle(
    plan: Plan,
    core: Core,
    joined: Joined,
    (clock, discipline): (Clock, Discipline),
    journal: &Journal,
    (mut warnings, after_recovery): (Vec<String>, Vec<Event>),
) -> Result<Ended, Failure> {
    let Joined { session, orders, feeds, inbox, senders, mut events } = joined;
    events.retain(sockets::is_feed_status);
    let compared = Comparison::start(clock.clone(), senders.events)?;
    warnings.extend(host::prepare(core.engine().settings())?);
    let when_full = if clock.is_simulated() { WhenFull::Wait } else { WhenFull::Drop };
    let end = plan.pace.horizon_ns.map(|ns| clock.now() + clock.scaled(ns));
    let intake = Intake::new(core, Some(&journal.drain));
    let start = clock.now().max(plan.start);
    let cycle =
        Cycle::new(intake, orders, feeds, inbox, clock, Endless, plan.stop, when_full, Some(discipline))
            .after_recovery(after_recovery);
    // The run begins now, and not when its preparation did: deadlines of positions taken over count from here.
    let opening = plan.opening.into_iter().chain(events);
    let opening = (start, opening.map(move |event| Event { recv_ns: start, ..event }));
    let ended = sockets::by_the_clock(cycle, opening, end, || {}, session, warnings);
    drop(compared);
    Ok(ended)
}

/// Compares the engine's clock with the one it follows, off the hot thread, and sends what there is to
/// correct as an event.
struct Comparison {
    thread: Option<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
}

impl Comparison {
    fn start(clock: Clock, inbox: Sender<Event>) -> Result<Comparison, Failure> {
        let stop = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&stop);
        let compare = move || {
            let mut waited = Duration::ZERO;
            while !ended.load(Ordering::Acquire) {
                thread::sleep(COMPARE_POLL);
                waited += COMPARE_POLL;
                if waited < COMPARE_EVERY {
                    continue;
                }
                waited = Duration::ZERO;
                if let Some(sync) = correction(clock.offset_ns()) {
                    // A full inbox has more urgent things; the next comparison finds it still.
                    let _ = inbox.try_send(Event::global(TimeNs(0), EventBody::ClockSync(sync)));
                }
            }
        };
        let thread = thread::Builder::new().name("qtx-clock".to_owned()).spawn(compare)?;
        Ok(Comparison { thread: Some(thread), stop })
    }
}

impl Drop for Comparison {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn banner(args: &RunArgs, api: &str, clock: &Clock, notes: &[String], journal: &str) -> String {
    let kind = match clock {
        Clock::World(_) => "real orders".to_string(),
        Clock::Venue(_, venue) => {
            format!("simulated, its clock at {} simulated seconds a second", venue.scale.factor())
        }
    };
    let mut text = format!(
        "venue          {api}: {kind}\n\
         instruments    {}\n",
        args.symbols.join(" ")
    );
    for note in notes {
        text += &format!("note           {note}\n");
    }
    text + &format!("journal        {journal}\n\n")
}
