//! Everything a run over sockets stands on beside its loop: the gateway with the account read, the
//! market connections, the queues between the threads.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::opener::{Opener, OpenerConfig, OpenerReport};
use super::plan::{Bases, PlanError, plan};
use super::queue::order_queue;
use super::{Feeds, Inbox, Lifetimes, OrderQueue, Senders};
use crate::event::{Event, EventBody, Feed, InstrumentTable};
use crate::gateway::{
    Bans, Earlier, Fence, GatewayReport, Prepared, Reading, RunningGateway, StartConfig, StartError, Wires,
    prepare,
};
use crate::num::Now;
use crate::sim::lockstep::Baton;
use crate::venue::binance::sign::Credentials;
use crate::venue::binance::{Channel, Endpoints, interval_text};
use crate::wire::{Connector, Limits, Roots, WireError};

/// How long the market connections may take to open at the start.
const OPEN_TIMEOUT: Duration = Duration::from_secs(15);
const OPEN_POLL: Duration = Duration::from_millis(1);
/// The interval of the kline stream where bars have a length that the venue has no name for: they are
/// then built from trades.
const UNNAMED_INTERVAL_S: u32 = 60;

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error("roots of trust: {0}")]
    Roots(WireError),
    #[error("can't start a thread: {0}")]
    Thread(#[from] std::io::Error),
    #[error("no market connection within {} s: {why}", OPEN_TIMEOUT.as_secs())]
    Feeds { why: String },
}

/// The threads beside the loop.
pub struct Session {
    gateway: RunningGateway,
    opener: Opener,
}

/// What they did.
pub struct SessionReport {
    pub gateway: GatewayReport,
    pub opener: OpenerReport,
}

/// A session, and what the loop needs of it.
pub struct Joined {
    pub session: Session,
    pub orders: OrderQueue,
    pub feeds: Feeds,
    pub inbox: Inbox,
    /// For whoever else has something to say to the engine.
    pub senders: Senders,
    /// Account and connections at the start.
    pub events: Vec<Event>,
}

/// The account of a venue, read, before anything runs.
pub struct Account {
    prepared: Prepared,
    endpoints: Endpoints,
    roots: Roots,
    bans: Option<Box<dyn Bans>>,
}

impl Account {
    /// Reads the account and opens the gateway's sockets.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn read(
        start: StartConfig,
        credentials: Credentials,
        clock: &dyn Now,
    ) -> Result<Account, StartError> {
        let (endpoints, roots) = (start.endpoints.clone(), start.roots.clone());
        Ok(Account { prepared: prepare(start, credentials, clock)?, endpoints, roots, bans: None })
    }

    pub fn prepared(&self) -> &Prepared {
        &self.prepared
    }

    pub fn reading(&self) -> &Reading {
        &self.prepared.reading
    }

    pub fn instruments(&self) -> &InstrumentTable {
        &self.prepared.reading.instruments
    }

    /// See [`Reading::resume`].
    pub fn resume(&mut self, earlier: Earlier) {
        self.prepared.reading.resume(earlier);
    }

    /// Has bans remembered for the starts after this one.
    pub fn remember_bans(&mut self, bans: Box<dyn Bans>) {
        self.bans = Some(bans);
    }

    /// Whether the gateway begins by asking what happened before it.
    pub fn is_resumed(&self) -> bool {
        self.prepared.reading.is_resumed()
    }

    /// Starts the gateway and opens the market connections.
    ///
    /// # Errors
    /// See [`SessionError`]; nothing runs on after one.
    pub fn join<C: Now + Clone + 'static>(
        self,
        market: &MarketConfig<'_>,
        clock: C,
        fence: Option<Box<dyn Fence>>,
    ) -> Result<Joined, SessionError> {
        let reading = &self.prepared.reading;
        let mut events = reading.events.clone();
        let symbols: Vec<&str> = reading.instruments.iter().map(|(_, row)| row.symbol.as_str()).collect();
        let interval_s = market.bar_interval_s;
        let interval_s = interval_text(interval_s).map_or(UNNAMED_INTERVAL_S, |_| interval_s);
        let bases = Bases { public: &self.endpoints.public, market: &self.endpoints.market };
        let lines = plan(&symbols, market.channels, interval_s, bases)?;

        let limits = Limits { frame_bytes_max: market.frame_bytes_max, ..Limits::default() };
        let connector = Connector::new(&self.roots, limits).map_err(SessionError::Roots)?;
        let kinds: Vec<(Feed, bool)> = lines.iter().map(|(feed, url)| (*feed, url.is_secure())).collect();
        let urls = lines.into_iter().map(|(_, url)| url).collect();
        let (opener, ends) = Opener::spawn(OpenerConfig::default(), connector, urls, clock.clone())?;
        let mut feeds = Feeds::new(&kinds, ends, market.lifetimes);

        let (senders, inbox) = Inbox::new();
        let (orders, instructions) = order_queue(self.prepared.reading.instruments.len());
        let wires = Wires {
            instructions,
            events: senders.events.clone(),
            clock: Box::new(clock.clone()),
            fence,
            bans: self.bans,
        };
        let gateway = self.prepared.run(orders.prices(), wires)?;
        let opened = wait_until_open(&mut feeds, &opener, &clock, &mut events);
        let session = Session { gateway, opener };
        opened?;
        Ok(Joined { session, orders, feeds, inbox, senders, events })
    }
}

/// The market connections to open.
pub struct MarketConfig<'a> {
    pub channels: &'a [Channel],
    pub bar_interval_s: u32,
    /// Longest message.
    pub frame_bytes_max: usize,
    pub lifetimes: Lifetimes,
}

fn wait_until_open(
    feeds: &mut Feeds,
    opener: &Opener,
    clock: &impl Now,
    events: &mut Vec<Event>,
) -> Result<(), SessionError> {
    let deadline = Instant::now() + OPEN_TIMEOUT;
    let (mut changes, mut failures) = (Vec::new(), Vec::new());
    loop {
        let now = clock.now();
        while let Some(status) = feeds.tend(now) {
            changes.push(status);
        }
        if feeds.all_up() {
            // Which was first is chance; the opening of a journal is not.
            changes.sort_by_key(|status| status.feed as u8);
            let event = |status| Event::global(now, EventBody::FeedStatus(status));
            events.extend(changes.into_iter().map(event));
            return Ok(());
        }
        failures.extend(opener.failed().map(|(_, why)| why));
        if Instant::now() >= deadline {
            let why = failures.pop().unwrap_or_else(|| "no answer".to_string());
            return Err(SessionError::Feeds { why });
        }
        thread::sleep(OPEN_POLL);
    }
}

impl Session {
    /// Ends the threads, the gateway last: it sends what was still asked for.
    pub fn stop(self) -> SessionReport {
        SessionReport { opener: self.opener.stop(), gateway: self.gateway.stop() }
    }
}

/// The gateway's side of lockstep.
pub struct BatonFence(pub Arc<Baton>);

impl Fence for BatonFence {
    fn wait_received(&self, sent: u64) {
        while self.0.received() < sent && !self.0.is_over() {
            thread::yield_now();
        }
    }

    fn heard(&self, messages: u64) {
        self.0.count_heard(messages);
    }

    fn withheld(&self, instructions: u64) {
        self.0.count_withheld(instructions);
    }
}
