//! Starts and deaths of processes.

use std::cell::{Cell, RefCell};

use super::Failure;
use super::memory::{Memory, recover};
use super::network::{rest_reply, verb};
use super::process::Process;
use super::proxy::{self, Fate, Patience};
use super::schedule::Item;
use super::weather::{Blow, Kind, Weather};
use super::world::World;
use crate::event::record::Entry;
use crate::event::{Event, EventBody, Feed, FeedState, FeedStatus};
use crate::gateway::{
    Earlier, GatewayConfig, LimitSettings, Prices, Reading, Rest, RestReply, StartConfig, StartError,
};
use crate::journal::Identity;
use crate::live::{Core, Intake, Outlet as _, earlier, opening, order_queue};
use crate::num::{Lots, NS_PER_MS, NS_PER_SEC, TimeNs};
use crate::replay::never_sent;
use crate::risk::config::OnUnknownPosition;
use crate::sim::server::{Desk, Socket, SocketId};
use crate::venue::binance::request::RestCall;
use crate::venue::binance::sign::Credentials;
use crate::venue::binance::{ClientIds, Endpoints, SIMULATED_KEY, UsedCounts};
use crate::wire::Roots;

/// Whoever starts it again waits so long after a start that failed.
const START_AGAIN_NS: i64 = 2 * NS_PER_SEC;
/// Entries between two snapshots.
const SNAPSHOT_ENTRIES: usize = 1_500;
/// Events a journal loses with its power, at most.
const LOST_EVENTS_MAX: i64 = 200;

/// The venue's REST interface at a start: each answer comes at once.
struct AtTheDesk<'a> {
    desk: RefCell<&'a mut Desk>,
    weather: &'a Weather,
    patience: RefCell<&'a mut Patience>,
    dice: RefCell<&'a mut super::Dice>,
    now: TimeNs,
    /// Calls made though the venue's wish to hear nothing was known.
    too_early: Cell<u64>,
    silenced: Cell<bool>,
}

impl Rest for AtTheDesk<'_> {
    fn call(&self, call: &RestCall) -> RestReply {
        self.too_early.set(self.too_early.get() + u64::from(self.silenced.get()));
        let reply = self.answer(call);
        if matches!(reply, RestReply::Answer { status: 418 | 429, .. }) {
            self.silenced.set(true);
        }
        reply
    }
}

impl AtTheDesk<'_> {
    fn answer(&self, call: &RestCall) -> RestReply {
        let mut dice = self.dice.borrow_mut();
        if self.weather.is(Kind::RestDown, self.now) {
            return RestReply::Unsent("soak".to_owned());
        }
        let does = proxy::call_does(call);
        let fate =
            proxy::fate(does, false, self.weather, &mut self.patience.borrow_mut(), self.now, &mut dice);
        if let Fate::Told { status, code, retry_s, .. } = fate {
            let retry_after_s = retry_s.and_then(|seconds| u32::try_from(seconds).ok());
            return RestReply::Answer {
                status,
                retry_after_s,
                used: UsedCounts::default(),
                body: proxy::refusal_body(code),
            };
        }
        if fate != Fate::Through {
            return RestReply::Lost("soak".to_owned());
        }
        let mut desk = self.desk.borrow_mut();
        let key = if call.keyed { SIMULATED_KEY } else { "" };
        let id = desk.call(verb(call.verb), call.path, &call.query, key);
        let answer = desk.replies().into_iter().find(|(answered, _)| *answered == id);
        answer.map_or_else(|| RestReply::Lost("soak".to_owned()), |(_, answer)| rest_reply(answer))
    }
}

fn is_held(event: &Event) -> bool {
    matches!(event.body, EventBody::VenuePosition(position) if position.quantity != Lots::ZERO)
}

fn feed_status(at: TimeNs, feed: Feed, state: FeedState) -> Event {
    let status = FeedStatus { since_ms: at.ms(), feed, state, pad: [0; 6] };
    Event::global(at, EventBody::FeedStatus(status))
}

impl World {
    fn gateway_config(&self) -> Option<GatewayConfig> {
        Some(GatewayConfig {
            ids: ClientIds::new(self.settings.order_prefix.as_str())?,
            limits: LimitSettings {
                order_usd_max: self.settings.gate_max_order_usd,
                position_usd_max: self.settings.gate_max_position_usd,
                orders_per_minute: self.settings.gate_max_orders_per_minute,
                price_collar: self.settings.gate_price_collar_pct,
            },
            time_sync_ns: i64::from(self.settings.time_sync_s) * NS_PER_SEC,
            reconcile_ns: self.settings.reconcile_s * NS_PER_SEC,
            lockstep: false,
            pings: true,
        })
    }

    /// Reads the account with both websockets open, as every start does.
    fn read_account(&mut self) -> Result<(Reading, (SocketId, SocketId)), StartError> {
        let refused = |what: &str| StartError::Unreachable { path: "soak", reason: what.to_owned() };
        let gateway = self.gateway_config().ok_or_else(|| refused("an order prefix that is none"))?;
        let config = StartConfig {
            endpoints: Endpoints::at("127.0.0.1:0", false),
            roots: Roots::Public,
            symbols: self.market.table.iter().map(|(_, row)| row.symbol.to_string()).collect(),
            leverage: self.leverage,
            taker_fee: "0.0005".to_owned(),
            gateway,
            stale_ns: None,
        };
        let credentials = Credentials::new(SIMULATED_KEY, "sim").map_err(|_| refused("keys"))?;
        let rest = AtTheDesk {
            desk: RefCell::new(&mut self.desk),
            weather: &self.weather,
            patience: RefCell::new(&mut self.patience),
            dice: RefCell::new(&mut self.draws.network),
            now: self.now,
            too_early: Cell::new(0),
            silenced: Cell::new(self.audit.is_known_ban(self.clocks.ours_at(self.now))),
        };
        let opened = Cell::new(None);
        let open = |listen_key: &str| {
            if rest.weather.is(Kind::Maintenance, rest.now) {
                return Err(refused("maintenance"));
            }
            let mut desk = rest.desk.borrow_mut();
            let user = desk.open(&Socket::User { listen_key: listen_key.to_owned() });
            let user = user.ok_or_else(|| refused("the user stream"))?;
            let Some(orders) = desk.open(&Socket::Orders) else {
                desk.close(user);
                return Err(refused("the order websocket"));
            };
            opened.set(Some((orders, user)));
            Ok((orders, user))
        };
        let read = Reading::take(&config, credentials, &rest, &self.clocks.ours, open);
        let too_early = rest.too_early.get();
        self.audit.figures.sent_during_ban += too_early;
        if let Some(sockets) = opened.take().filter(|_| read.is_err()) {
            self.hang_up(sockets);
        }
        // As `qtx run` keeps it for the starts after this one.
        if let Some((silence_ns, banned)) = read.as_ref().err().and_then(StartError::silence) {
            self.audit.note_start_in_ban();
            let until = self.ours() + silence_ns;
            self.disk.banned_until = if banned { Some(until) } else { self.disk.banned_until };
        }
        read
    }

    /// A start that comes to nothing leaves no connection.
    fn hang_up(&mut self, (orders, user): (SocketId, SocketId)) {
        self.desk.close(orders);
        self.desk.close(user);
    }

    /// A process starts, or tries to.
    pub(super) fn start(&mut self) -> Result<(), Failure> {
        if self.process.is_some() {
            return Ok(());
        }
        self.life += 1;
        self.clocks.begin_anew(&mut self.draws.process);
        self.clocks.set(self.now);
        // What an earlier life was still owed is nobody's.
        self.desk.replies();
        self.calls.clear();
        self.muted.clear();
        if self.disk.banned_until.is_some_and(|until| self.ours() < until) {
            self.audit.note_start_in_ban();
            self.schedule.plan(self.now + START_AGAIN_NS, Item::Start);
            return Ok(());
        }
        self.disk.epoch += 1;
        let snapshot = self.disk.snapshots.last().cloned().filter(|_| self.draws.process.one_in(2));
        let recovered = recover(&mut self.disk.journal, snapshot.as_ref())
            .map_err(|error| Failure::new(self.now, format!("recovery: {error}")))?;
        if recovered.is_none() {
            self.audit.no_engine(self.disk.journal.entries.len());
        }
        let (mut reading, sockets) = match self.read_account() {
            Ok(read) => read,
            Err(_) => {
                self.schedule.plan(self.now + START_AGAIN_NS, Item::Start);
                return Ok(());
            }
        };
        self.audit.note_start(self.ours(), recovered.as_ref().map(|it| &it.engine));
        let start = self.ours().max(recovered.as_ref().map_or(TimeNs(i64::MIN), |it| it.engine.now()));
        let mut unheard = None;
        match &recovered {
            Some(recovered) => reading.resume(earlier(&recovered.engine)),
            None if !reading.events.iter().any(is_held) => {}
            // Refused; whoever starts it then says what shall become of the position.
            None if self.settings.on_unknown_position == OnUnknownPosition::Halt => {
                self.settings.on_unknown_position = OnUnknownPosition::Adopt;
                self.hang_up(sockets);
                self.schedule.plan(self.now + START_AGAIN_NS, Item::Start);
                return Ok(());
            }
            None => {
                reading.resume(Earlier::default());
                unheard = Some(feed_status(start, Feed::User, FeedState::Down));
            }
        }
        let identity = Identity {
            run_id: u64::from(self.disk.epoch),
            build_id: 1,
            epoch: self.disk.epoch,
            ..Identity::default()
        };
        let table = reading.instruments.clone();
        let in_force = recovered.as_ref().map_or(self.settings, |it| *it.engine.settings());
        let mut events = opening(start, &identity, &in_force, &table, true);
        events.extend(recovered.iter().flat_map(|it| never_sent(&it.never_sent, start)));
        events.extend(self.market.history().into_iter().filter(|_| recovered.is_none()));
        events.extend(reading.events.iter().copied());
        for feed in [Feed::Public, Feed::Market] {
            events.push(feed_status(start, feed, FeedState::Up));
        }
        events.extend(unheard);
        let memory = std::mem::take(&mut self.disk.journal);
        let core = match recovered {
            Some(it) => Core::resume(it.engine, &self.settings, &table, memory),
            None => Core::new(&self.settings, &table, memory),
        };
        self.begin(core, reading, sockets, (start, events))
    }

    fn begin(
        &mut self,
        core: Core<Memory>,
        reading: Reading,
        sockets: (SocketId, SocketId),
        (start, events): (TimeNs, Vec<Event>),
    ) -> Result<(), Failure> {
        let Some(config) = self.gateway_config() else { return Ok(()) };
        let (mut outlet, instructions) = order_queue(reading.instruments.len());
        let prices: Prices = outlet.prices().into();
        let gateway = reading.gateway(config, prices, self.clocks.ours_at(self.now));
        let mut intake = Intake::new(core, None);
        // Time is told from the first event on.
        intake
            .begin(start, std::iter::empty(), &mut outlet)
            .map_err(|e| Failure::new(self.now, e.to_string()))?;
        debug_assert!(outlet.has_room());
        self.process = Some(Process::new(
            intake,
            gateway,
            (outlet, instructions),
            sockets,
            self.clocks.ours_at(self.now),
        ));
        (self.feed_due, self.feeds_down) = (self.now, false);
        for event in events {
            self.tell_engine(&Event { recv_ns: start, ..event })?;
        }
        self.schedule.plan(self.now, Item::Tick(self.life));
        Ok(())
    }

    /// Now and then what the shadow would write.
    pub(super) fn snapshot_if_due(&mut self) {
        let Some(process) = &self.process else { return };
        let entries = process.intake.core.recorder().entries.len();
        let last = self.disk.snapshots.last().map_or(0, |(_, at)| *at);
        if entries >= last + SNAPSHOT_ENTRIES {
            let bytes = process.intake.core.engine().snapshot(entries as u64);
            self.disk.snapshots.push((bytes, entries));
        }
    }

    pub(super) fn kill(&mut self, blow: Blow) -> Result<(), Failure> {
        if self.process.is_none() {
            return Ok(());
        }
        if blow == Blow::Kill && self.draws.process.one_in(2) {
            // In the middle of what an event causes, the next time one does.
            self.dying = true;
            return Ok(());
        }
        self.die();
        match blow {
            Blow::LoseJournal => {
                self.disk.journal.begin_anew();
                self.disk.snapshots.clear();
                self.audit.journal_lost();
            }
            Blow::LosePower => {
                let events = self.draws.process.between(1, LOST_EVENTS_MAX) as usize;
                let lost = self.disk.journal.tail(events);
                self.lose_entries(lost);
                self.audit.journal_lost();
            }
            _ => {}
        }
        Ok(())
    }

    fn lose_entries(&mut self, count: usize) {
        let entries = &mut self.disk.journal.entries;
        entries.truncate(entries.len().saturating_sub(count));
        let left = entries.len();
        self.disk.snapshots.retain(|(_, at)| *at <= left);
    }

    /// The newest event's outputs are journaled in part, and none was handed over.
    pub(super) fn die_inside_a_group(&mut self) -> Result<(), Failure> {
        self.die();
        let written = self.disk.journal.entries.iter().rev();
        let outputs = written.take_while(|entry| matches!(entry, Entry::Output { .. })).count() as i64;
        let lost = self.draws.process.between(0, outputs) as usize;
        self.lose_entries(lost);
        self.audit.group_cut(lost > 0);
        Ok(())
    }

    pub(super) fn die(&mut self) {
        self.dying = false;
        let Some(mut process) = self.process.take() else { return };
        self.life += 1;
        for socket in [process.orders.socket.take(), process.user.socket.take()].into_iter().flatten() {
            let lingers_ns = self.draws.process.between(0, 500) * NS_PER_MS;
            self.schedule.plan(self.now + lingers_ns, Item::Gone(socket));
        }
        self.audit.note_death(process.intake.core.engine());
        self.disk.journal = process.into_memory();
        let away_ns = self.draws.process.between(100, 8_000) * NS_PER_MS;
        self.schedule.plan(self.now + away_ns, Item::Start);
    }
}
