//! The simulated venue of this process, reached by websocket and HTTP on loopback.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use crossbeam_channel::Sender;

use super::{Ended, Plan, ended_at, host, sockets};
use crate::cli::Failure;
use crate::cli::market::Market;
use crate::event::{EndReason, Event};
use crate::host::clock::wall_time;
use crate::host::time::{Scale, SimTime, SteppedTime};
use crate::journal::drain::Drain;
use crate::live::{
    Account, BatonFence, Core, Cycle, Intake, Joined, Lifetimes, Lockstep, MarketConfig, MarketEnd, Stepped,
    WhenFull,
};
use crate::num::{Now, TimeNs};
use crate::observe::SocketSummary;
use crate::risk::config::{Settings, SimStops};
use crate::sim::exchange::Exchange;
use crate::sim::lockstep::Baton;
use crate::sim::server::{self, Ended as MarketEnded, Pacing, Server, ServerConfig, Stops, tls_config};
use crate::venue::binance::Channel;
use crate::venue::binance::sign::Credentials;

/// The embedded venue's key and secret: it has one account, and only this process knows where it is.
const KEY: &str = "embedded";

#[derive(Args)]
pub(super) struct EmbeddedArgs {
    /// Certificate chain (PEM) of the simulated venue: the run then goes over TLS; set QT_CA_FILE to the
    /// authority that signed it
    #[arg(long, value_name = "FILE", requires = "sim_tls_key")]
    sim_tls_cert: Option<PathBuf>,
    /// Private key (PEM) of that certificate
    #[arg(long, value_name = "FILE", requires = "sim_tls_cert")]
    sim_tls_key: Option<PathBuf>,
}

impl EmbeddedArgs {
    /// Whether the run is to go over TLS.
    pub fn is_secure(&self) -> bool {
        self.sim_tls_cert.is_some()
    }
}

/// A venue that serves, and an account there that was read.
pub(super) struct Embedded {
    server: Server,
    account: Account,
    time: Time,
}

/// Who owns simulated time.
enum Time {
    Paced(SimTime),
    Lockstep { baton: Arc<Baton>, clock: SteppedTime },
}

impl Embedded {
    /// Starts the venue and reads the account, while time stands still.
    pub fn open(
        args: &EmbeddedArgs,
        settings: &Settings,
        market: &Market,
        exchange: Exchange,
        start: TimeNs,
        speed: Option<f64>,
    ) -> Result<Embedded, Failure> {
        let tls = match (&args.sim_tls_cert, &args.sim_tls_key) {
            (Some(certificates), Some(key)) => Some(tls_config(certificates, key)?),
            _ => None,
        };
        // In lockstep time may jump by years between two messages: nothing ends of old age there.
        let (connection_ns_max, listen_key_ns) = match speed {
            Some(_) => (ServerConfig::default().connection_ns_max, ServerConfig::default().listen_key_ns),
            None => (i64::MAX, i64::MAX),
        };
        let config = ServerConfig {
            tls,
            connection_ns_max,
            listen_key_ns,
            key: KEY.to_string(),
            secret: KEY.to_string(),
            history: market.history.clone(),
            frame_bytes_max: settings.max_frame_bytes as usize,
            ..ServerConfig::default()
        };
        config.faults.set_stops(stops(settings.sim_stops));
        let (time, pacing) = match speed {
            Some(speed) => {
                let scale = Scale::new(speed)
                    .ok_or_else(|| Failure::refused(format!("--speed {speed} is not allowed")))?;
                let clock = SimTime::paused(start, scale);
                let paced = Pacing::Paced { clock: Box::new(clock.clone()), scale: speed, wall: wall_time };
                (Time::Paced(clock), paced)
            }
            None => {
                let baton = Arc::new(Baton::default());
                let lockstep = Pacing::Lockstep { baton: Arc::clone(&baton), start, wall: wall_time };
                (Time::Lockstep { baton, clock: SteppedTime::at(start) }, lockstep)
            }
        };
        let instruments = market.instruments.clone();
        let server = server::spawn(config, exchange, instruments, pacing)
            .map_err(|error| Failure::refused(format!("the simulated venue: {error}")))?;
        let lockstep = matches!(time, Time::Lockstep { .. });
        let symbols = market.instruments.iter().map(|(_, row)| row.symbol.to_string()).collect();
        let mut start_config = sockets::start_config(settings, server.endpoints(), symbols, lockstep, None)?;
        // As often as requests are by the world's clock.
        let reconcile_ns = &mut start_config.gateway.reconcile_ns;
        *reconcile_ns = (*reconcile_ns as f64 * speed.unwrap_or(1.0)) as i64;
        let credentials = Credentials::new(KEY, KEY)?;
        let clock: &dyn Now = match &time {
            Time::Paced(clock) => clock,
            Time::Lockstep { clock, .. } => clock,
        };
        let account = Account::read(start_config, credentials, clock)?;
        Ok(Embedded { server, account, time })
    }

    pub fn address(&self) -> std::net::SocketAddr {
        self.server.addr()
    }

    /// Runs the loop to its end.
    pub fn run(
        self,
        plan: Plan,
        core: Core,
        control: impl FnOnce(Sender<Event>) -> Result<(), Failure>,
        drain: &Drain,
    ) -> Result<Ended, Failure> {
        let Embedded { server, account, time } = self;
        let settings = *core.engine().settings();
        let market = MarketConfig {
            channels: &Channel::ALL,
            bar_interval_s: settings.bar_interval_s,
            frame_bytes_max: settings.max_frame_bytes as usize,
            lifetimes: match time {
                Time::Paced(_) => Lifetimes::clocked(None),
                Time::Lockstep { .. } => Lifetimes::ENDLESS,
            },
        };
        match time {
            Time::Paced(clock) => {
                let joined = account.join(&market, clock.clone(), None)?;
                control(joined.senders.commands.clone())?;
                paced(plan, core, joined, clock, server, drain)
            }
            Time::Lockstep { baton, clock } => {
                let fence = BatonFence(Arc::clone(&baton));
                let joined = account.join(&market, clock.clone(), Some(Box::new(fence)))?;
                control(joined.senders.commands.clone())?;
                stepped(plan, core, joined, (baton, clock), server, drain)
            }
        }
    }
}

/// The setting in the server's words.
pub(in crate::cli) fn stops(setting: SimStops) -> Stops {
    match setting {
        SimStops::Accept => Stops::Accept,
        SimStops::Refuse => Stops::Refuse,
        SimStops::Swallow => Stops::Swallow,
    }
}

/// The market of the embedded venue.
struct ServerMarket<'a>(&'a Server);

impl MarketEnd for ServerMarket<'_> {
    fn ended(&self) -> Option<EndReason> {
        match self.0.ended() {
            Some(MarketEnded::MarketEnd) => Some(EndReason::MarketEnd),
            Some(MarketEnded::Fault(_)) => Some(EndReason::MarketFault),
            None => self.0.is_over().then_some(EndReason::MarketFault),
        }
    }
}

fn fault(server: &Server) -> Option<String> {
    match server.ended() {
        Some(MarketEnded::Fault(why)) => Some(why.clone()),
        None if server.is_over() => Some("the simulated venue's thread ended".to_string()),
        Some(MarketEnded::MarketEnd) | None => None,
    }
}

fn paced(
    mut plan: Plan,
    core: Core,
    joined: Joined,
    clock: SimTime,
    server: Server,
    drain: &Drain,
) -> Result<Ended, Failure> {
    let Joined { session, orders, feeds, inbox, events, .. } = joined;
    plan.opening.extend(events.into_iter().filter(sockets::is_feed_status));
    let warnings = host::prepare(core.engine().settings())?;
    let market = ServerMarket(&server);
    let intake = Intake::new(core, Some(drain));
    let cycle =
        Cycle::new(intake, orders, feeds, inbox, clock.clone(), market, plan.stop, WhenFull::Wait, None);
    let end = plan.pace.horizon_ns.map(|ns| plan.start + ns);
    let go = || {
        clock.go();
        server.go();
    };
    let opening = (plan.start, plan.opening.into_iter());
    let mut ended = sockets::by_the_clock(cycle, opening, end, go, session, warnings);
    ended.fault = fault(&server);
    let summary = ended.sockets.take().map(|summary| with_venue(summary, server, &mut ended.core));
    ended.sockets = summary.transpose()?;
    Ok(ended)
}

fn stepped(
    mut plan: Plan,
    core: Core,
    joined: Joined,
    (baton, clock): (Arc<Baton>, SteppedTime),
    server: Server,
    drain: &Drain,
) -> Result<Ended, Failure> {
    let Joined { session, orders, feeds, inbox, events, .. } = joined;
    plan.opening.extend(events.into_iter().filter(sockets::is_feed_status));
    let frame_bytes_max = core.engine().settings().max_frame_bytes as usize;
    let server = Arc::new(server);
    let watched = Arc::clone(&server);
    let why = Box::new(move || fault(&watched));
    let transport = Stepped::new(Arc::clone(&baton), orders, feeds, frame_bytes_max, clock, why);
    let warnings = host::prepare(core.engine().settings())?;
    let mut lockstep = Lockstep::new(core, transport, inbox, Some(drain), plan.stop);
    let mut market_fault = None;
    let outcome = lockstep
        .begin(plan.start, plan.opening.into_iter())
        .and_then(|()| {
            server.go();
            ended_at(lockstep.run(plan.pace), &mut market_fault)
        })
        .and_then(|reason| lockstep.end(reason));
    if outcome.is_err() {
        // The venue may be gone: the gateway must not wait for it.
        baton.end();
    }
    let Lockstep { intake, transport, .. } = lockstep;
    let (counters, shares) = (transport.feeds().counters(), Default::default());
    drop(transport);
    let summary = sockets::summary(counters, session.stop(), shares, warnings);
    baton.end();
    let server = Arc::into_inner(server).ok_or_else(|| Failure::refused("the venue is still watched"))?;
    let mut core = intake.core;
    let sockets = Some(with_venue(summary, server, &mut core)?);
    core.counts.sim_round_trip_ns_max = plan.round_trip_ns_max;
    Ok(Ended { core, outcome, fault: market_fault, between_ticks: false, sockets })
}

/// Ends the venue; its figures belong to the run's.
fn with_venue(summary: SocketSummary, server: Server, core: &mut Core) -> Result<SocketSummary, Failure> {
    let report = server.stop();
    core.counts.out_of_order = report.out_of_order;
    Ok(SocketSummary { venue: Some(serde_json::to_value(report)?), ..summary })
}
