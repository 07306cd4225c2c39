//! Engine, gateway and venue in one thread and one order of simulated time.

use super::audit::Audit;
use super::clocks::{Clocks, DRIFT_PPM_MAX};
use super::market::{BAR_S, Market, START};
use super::memory::Memory;
use super::process::{Line, Process};
use super::proxy::Patience;
use super::schedule::{Item, Life, Schedule};
use super::watch::{Knock, Site};
use super::weather::{Blow, Kind, Weather};
use super::{Dice, Failure};
use crate::event::{
    Action, Command, CommandKind, Consensus, Event, EventBody, Feed, FeedState, FeedStatus, FillCause, Timer,
};
use crate::gateway::{Input, Link, RestReply};
use crate::live::Outlet as _;
use crate::num::{Dec, InstrumentId, Lots, NS_PER_MS, NS_PER_SEC, TimeNs};
use crate::risk::config::{ExitPrice, OnUnknownPosition, Settings};
use crate::sim::server::{Desk, Disturbance, ServerConfig, SocketId};
use crate::sim::venue::{Venue, VenueConfig};

/// How often the gateway is told of nothing but time.
const TICK_NS: i64 = 50 * NS_PER_MS;
/// What happens at one instant, at most.
const AT_ONCE_MAX: u32 = 10_000;
/// What two clocks may disagree on the length of a ban, beside their drift: a tick of the gateway's, which
/// counts in milliseconds.
const DRIFT_NS: i64 = NS_PER_SEC / 10;
/// Words on orders remembered, to be told again.
const ECHOES: usize = 32;

/// Draws of different things, so that one more of this is not another of that.
pub(super) struct Draws {
    pub market: Dice,
    pub network: Dice,
    pub people: Dice,
    pub process: Dice,
    pub pings: Dice,
}

/// What outlives a process.
pub(super) struct Disk {
    pub journal: Memory,
    /// Newest last: bytes, and behind how many entries of the journal.
    pub snapshots: Vec<(Vec<u8>, usize)>,
    pub epoch: u32,
    /// What the account's lock remembers of a ban, in our clock.
    pub banned_until: Option<TimeNs>,
}

/// See the module.
pub struct World {
    pub now: TimeNs,
    pub settings: Settings,
    pub leverage: u32,
    pub(super) draws: Draws,
    pub(super) schedule: Schedule,
    pub weather: Weather,
    pub(super) market: Market,
    pub(super) clocks: Clocks,
    pub(super) desk: Desk,
    pub(super) patience: Patience,
    pub process: Option<Process>,
    pub(super) life: Life,
    pub(super) disk: Disk,
    pub audit: Audit,
    pub(super) feed_due: TimeNs,
    /// The engine was told that the market connections are down.
    pub(super) feeds_down: bool,
    echoes: Vec<Event>,
    /// Things that happened at this instant.
    at_once: u32,
    /// Events of the gateway are being taken up.
    telling: bool,
    /// The next outputs are the last of this process.
    pub(super) dying: bool,
    /// No more signals: what is under way comes to its end.
    pub quiet: bool,
    pub(super) muted: std::collections::BTreeSet<String>,
    /// Connections that are gone for the venue, or say nothing any more, and stand for us.
    pub(super) deaf: std::collections::BTreeSet<SocketId>,
    pub(super) calls: std::collections::BTreeMap<u64, super::network::Pending>,
    pub(super) attempts: u64,
    /// The venue has its own limits.
    pub(super) has_limits: bool,
    /// When others used them up.
    pub(super) others_asked: Option<TimeNs>,
    /// Orders that the owner sent by hand.
    pub(super) by_hand: u64,
    /// What reached the venue's door, if somebody watches.
    pub(super) door: Option<Vec<Knock>>,
}

/// All in: so much that a jump beyond the stop is a liquidation.
fn reckless(careful: Settings) -> Settings {
    Settings {
        risk_per_trade_pct: Dec::ONE,
        max_risk_pct: Dec::ONE,
        max_position_usd: Dec::int(1_000_000),
        max_exposure_pct: Dec::int(100),
        max_leverage: Dec::int(100),
        enable_open_risk: false,
        enable_circuit_breaker: false,
        max_daily_dd_pct: Dec::ONE,
        max_weekly_dd_pct: Dec::ONE,
        venue_leverage: 100,
        ..careful
    }
}

fn settings(dice: &mut Dice) -> Settings {
    let careful = Settings {
        bar_interval_s: BAR_S,
        ema_period: 5,
        atr_period: 3,
        exit_atr_period: 3,
        correlation_bars: 10,
        min_volume_24h: Dec::ZERO,
        min_stop_cost: Dec::ZERO,
        max_spread_bps: Dec::int(500),
        require_trend: dice.one_in(3),
        max_correlation: Dec::ONE,
        max_position_usd: dice.pick(&[Dec::int(500), Dec::int(5_000), Dec::int(20_000)]),
        max_exposure_pct: Dec::int(4),
        max_concurrent_trades: 3,
        enable_open_risk: dice.one_in(2),
        max_daily_dd_pct: Dec::new(5, 1),
        max_weekly_dd_pct: Dec::new(9, 1),
        circuit_breaker_flatten: dice.one_in(2),
        circuit_breaker_loss_pct: dice.pick(&[Dec::new(5, 3), Dec::new(5, 2)]),
        circuit_breaker_cooldown_hours: Dec::new(1, 2),
        trailing_start_r: dice.pick(&[Dec::new(5, 1), Dec::int(2)]),
        trailing_distance_atr: dice.pick(&[Dec::ONE, Dec::int(3)]),
        max_hours_no_progress: Dec::new(1, 2),
        exit_price: dice.pick(&[ExitPrice::Book, ExitPrice::Book, ExitPrice::Last, ExitPrice::Mark]),
        on_unknown_position: dice.pick(&[
            OnUnknownPosition::Adopt,
            OnUnknownPosition::Adopt,
            OnUnknownPosition::Close,
            OnUnknownPosition::Halt,
        ]),
        venue_leverage: 5,
        gate_max_order_usd: Dec::int(1_000_000),
        gate_max_position_usd: Dec::int(1_000_000),
        ..Settings::DEFAULT
    };
    if dice.one_in(6) { reckless(careful) } else { careful }
}

impl World {
    /// The world of a seed, with the storm that is drawn from it.
    ///
    /// # Errors
    /// The venue can't be made.
    pub fn of_seed(seed: u64) -> Result<World, Failure> {
        World::new(seed, |dice| {
            let storm_ns = dice.between(15, 60) * NS_PER_SEC;
            Weather::draw(START, storm_ns, dice)
        })
    }

    /// A venue with a market, and a process about to start.
    ///
    /// # Errors
    /// The venue can't be made.
    pub fn new(seed: u64, weather: impl FnOnce(&mut Dice) -> Weather) -> Result<World, Failure> {
        World::at(seed, Site::default(), weather)
    }

    /// The same at another place.
    ///
    /// # Errors
    /// The venue can't be made.
    pub fn at(seed: u64, site: Site, weather: impl FnOnce(&mut Dice) -> Weather) -> Result<World, Failure> {
        let mut dice = Dice::new(seed);
        let weather = weather(&mut dice);
        let settings = settings(&mut dice);
        let market = Market::new(site.instruments, &mut dice);
        let mut clocks = Clocks::new(START, &mut dice);
        clocks.set(START);
        let leverage = settings.venue_leverage;
        let wallet = Dec::int(if leverage > 5 { 500 } else { 10_000 });
        let venue = Venue::new(market.table.clone(), VenueConfig { wallet, leverage, funding: true });
        let clock = Box::new(clocks.venue.clone());
        // The venue's own limits, for those who look at them.
        let has_limits = dice.one_in(2) || site.strict;
        let config = match has_limits {
            true => ServerConfig {
                weight_per_minute: 2_400,
                orders_per_10_s: 300,
                orders_per_minute: 1_200,
                ..ServerConfig::default()
            },
            false => ServerConfig::default(),
        };
        let desk = Desk::new(config, venue, market.table.clone(), clock)
            .map_err(|error| Failure::new(START, format!("the venue: {error}")))?;
        let draws = Draws {
            market: dice.split(),
            network: dice.split(),
            people: dice.split(),
            process: dice.split(),
            pings: dice.split(),
        };
        let disk = Disk { journal: Memory::default(), snapshots: Vec::new(), epoch: 0, banned_until: None };
        let mut world = World {
            now: START,
            audit: Audit::new(market.table.clone()),
            settings,
            leverage,
            draws,
            schedule: Schedule::default(),
            weather,
            market,
            clocks,
            desk,
            patience: Patience::default(),
            process: None,
            life: 0,
            disk,
            feed_due: START,
            feeds_down: false,
            echoes: Vec::new(),
            at_once: 0,
            telling: false,
            dying: false,
            quiet: false,
            muted: Default::default(),
            deaf: Default::default(),
            calls: Default::default(),
            attempts: 0,
            has_limits,
            others_asked: None,
            by_hand: 0,
            door: None,
        };
        world.schedule.plan(START, Item::Market);
        world.schedule.plan(START + NS_PER_SEC, Item::Start);
        world.schedule.plan(START + NS_PER_SEC, Item::Operator);
        for (at, blow) in world.weather.blows.clone() {
            world.schedule.plan(at, Item::Blow(blow));
        }
        Ok(world)
    }

    /// Lets time pass.
    ///
    /// # Errors
    /// The first thing that must not be.
    pub fn run_until(&mut self, until: TimeNs) -> Result<(), Failure> {
        while let Some((at, item)) = self.schedule.next(until) {
            // Whoever goes on asking without waiting would never let time pass.
            self.at_once = if at > self.now { 0 } else { self.at_once + 1 };
            if self.at_once > AT_ONCE_MAX {
                return Err(Failure::new(self.now, "a storm of requests: time does not pass".to_owned()));
            }
            self.now = self.now.max(at);
            self.clocks.set(self.now);
            self.happen(item)?;
            self.audit.requested_again(self.desk.requested_again());
            self.audit.verdict(self.now)?;
        }
        self.now = self.now.max(until);
        self.clocks.set(self.now);
        Ok(())
    }

    fn happen(&mut self, item: Item) -> Result<(), Failure> {
        match item {
            Item::Market => self.market_moves(),
            Item::Frame(life, event) if life == self.life => self.frame(&event)?,
            Item::ToVenue(line, socket, text) => self.at_venue(line, socket, &text)?,
            Item::ToUs(life, line, socket, text) if life == self.life => {
                self.at_gateway(line, socket, &text)?
            }
            Item::Ping(life, line, socket) => self.answer_ping(life, line, socket),
            Item::Pong(life, line, socket) if life == self.life => self.pong(line, socket)?,
            Item::Lost(life, line, socket) if life == self.life => self.line_lost(line, socket)?,
            Item::Gone(socket) => self.desk.close(socket),
            Item::Opened(life, line, attempt, key) if life == self.life => {
                self.line_opened(line, attempt, key)?
            }
            Item::Call(life, lane, request, call) => self.call_arrives(life, lane, request, &call)?,
            Item::Reply(life, lane, request, reply) if life == self.life => {
                if let Some(process) = &mut self.process {
                    process.lane(lane).take_if(|busy| *busy == request);
                }
                if let RestReply::Answer { status: status @ (418 | 429), retry_after_s, .. } = reply {
                    let for_ns = i64::from(retry_after_s.unwrap_or(0)) * NS_PER_SEC;
                    self.told_to_be_silent(for_ns, status == 418);
                }
                self.tell_gateway(Input::Rest(request, reply.outcome()))?;
            }
            Item::Timer(life) if life == self.life => self.timer()?,
            Item::Tick(life) if life == self.life => self.tick()?,
            Item::Operator => self.operator()?,
            Item::Blow(blow) => self.strike(blow)?,
            Item::Start => self.start()?,
            // Of a process that died.
            _ => {}
        }
        self.listen()
    }

    /// Whether nothing is in the way of an order, nor of what is said of it, and has not been for a while.
    fn is_fair(&self) -> bool {
        let lately = (0..5).map(|seconds| self.now - seconds * NS_PER_SEC);
        let markets = [Kind::DeadFeed, Kind::LateFeed, Kind::BadFeed];
        let fair = |at| Kind::ALL.iter().all(|kind| markets.contains(kind) || !self.weather.is(*kind, at));
        let blows =
            self.weather.blows.iter().all(|(at, _)| !(0..5 * NS_PER_SEC).contains(&self.now.since(*at)));
        blows && lately.into_iter().all(fair) && self.silent_until().is_none_or(|until| self.now >= until)
    }

    /// The gateway is told to be silent for so long, by the storm or by the venue itself.
    pub(super) fn told_to_be_silent(&mut self, for_ns: i64, banned: bool) {
        let for_ns = for_ns - DRIFT_NS - for_ns / 1_000_000 * DRIFT_PPM_MAX;
        let ours = self.ours() + for_ns;
        self.audit.told_to_be_silent(self.now + for_ns, banned.then_some(ours));
    }

    /// What our clock shows.
    pub(super) fn ours(&self) -> TimeNs {
        self.clocks.ours_at(self.now)
    }

    fn market_moves(&mut self) {
        let dice = &mut self.draws.market;
        let gap_ms = match dice.between(1, 20) {
            1 => dice.between(300, 1_500),
            2..=5 => 0,
            _ => dice.between(1, 160),
        };
        self.schedule.plan(self.now + gap_ms * NS_PER_MS, Item::Market);
        if self.weather.is(Kind::Maintenance, self.now) {
            return;
        }
        let venue_now = crate::num::Now::now(&self.clocks.venue);
        let event = self.market.next(venue_now, dice);
        self.desk.market(&event);
        let fair = self.is_fair();
        let deaf = self.is_deaf();
        self.audit.cover(self.now, &mut self.desk, self.process.as_ref(), fair, deaf);
        // On its way it has the time it was sent.
        self.send_frame(Event { recv_ns: self.now, ..event });
    }

    fn send_frame(&mut self, event: Event) {
        let (now, life) = (self.now, self.life);
        let is = |kind| self.weather.is(kind, now);
        let dice = &mut self.draws.network;
        if is(Kind::DeadFeed) {
            return;
        }
        let late_ms = if is(Kind::LateFeed) { dice.between(400, 4_000) } else { 0 };
        let due = now + dice.between(500_000, 3 * NS_PER_MS) + late_ms * NS_PER_MS;
        // One connection: what comes later does not come before.
        self.feed_due = self.feed_due.max(due);
        let mut at = self.feed_due;
        if is(Kind::BadFeed) {
            match dice.between(1, 6) {
                1 => return,
                2 => self.schedule.plan(at + dice.between(0, 500) * NS_PER_MS, Item::Frame(life, event)),
                3 => at = at + dice.between(1, 500) * NS_PER_MS,
                _ => {}
            }
        }
        self.schedule.plan(at, Item::Frame(life, event));
    }

    fn frame(&mut self, event: &Event) -> Result<(), Failure> {
        self.audit.note_frame(event);
        let event = Event { recv_ns: self.ours(), ..*event };
        let Some(process) = &mut self.process else { return Ok(()) };
        process.outlet.market(event.recv_ns, &event);
        self.tell_engine(&event)?;
        if !self.quiet && self.draws.people.one_in(12) {
            let signal = self.signal();
            self.tell_engine(&signal)?;
        }
        Ok(())
    }

    fn signal(&mut self) -> Event {
        let dice = &mut self.draws.people;
        let confidence = Dec::new(dice.between(60, 99), 2);
        let action = dice.pick(&[Action::Long, Action::Short]);
        let consensus = dice.pick(&[Consensus::Strong, Consensus::Unanimous]);
        let instrument = InstrumentId(dice.between(0, 2) as u16);
        self.signal_of(instrument, action, consensus, confidence)
    }

    /// Somebody watches, and mostly lets it go on.
    fn operator(&mut self) -> Result<(), Failure> {
        let dice = &mut self.draws.people;
        self.schedule.plan(self.now + dice.between(1_000, 6_000) * NS_PER_MS, Item::Operator);
        if self.quiet {
            return Ok(());
        }
        let kind = match dice.between(1, 24) {
            1 => CommandKind::Halt,
            2 => CommandKind::Reduce,
            3 => CommandKind::Flatten,
            4 | 5 => CommandKind::Close,
            _ => CommandKind::Resume,
        };
        let instrument = InstrumentId(dice.between(0, 2) as u16);
        self.command(kind, instrument)
    }

    pub fn command(&mut self, command: CommandKind, instrument: InstrumentId) -> Result<(), Failure> {
        let body = EventBody::Command(Command { command, pad: [0; 7] });
        self.tell_engine(&Event { recv_ns: self.ours(), instrument, body })
    }

    pub(super) fn say_feed(&mut self, feed: Feed, state: FeedState) -> Result<(), Failure> {
        let status = FeedStatus { since_ms: self.ours().ms(), feed, state, pad: [0; 6] };
        self.tell_engine(&Event::global(self.ours(), EventBody::FeedStatus(status)))
    }

    fn timer(&mut self) -> Result<(), Failure> {
        let ours = self.ours();
        let Some(process) = &mut self.process else { return Ok(()) };
        process.timer_at = TimeNs(i64::MAX);
        if ours < process.intake.timer_due() {
            self.plan_timer();
            return Ok(());
        }
        let now = ours.max(process.intake.now());
        let told = Event::global(now, EventBody::Timer(Timer { count: 0 }));
        self.audit.before(&told, &process.intake);
        process
            .intake
            .timer(now, &mut process.outlet)
            .map_err(|error| Failure::new(now, error.to_string()))?;
        self.acted(&told)
    }

    fn plan_timer(&mut self) {
        let Some(process) = &mut self.process else { return };
        let due = self.clocks.world_at(self.now, process.intake.timer_due());
        if due < process.timer_at {
            process.timer_at = due;
            self.schedule.plan(due, Item::Timer(self.life));
        }
    }

    fn tick(&mut self) -> Result<(), Failure> {
        self.schedule.plan(self.now + TICK_NS, Item::Tick(self.life));
        self.tell_gateway(Input::Time)?;
        self.reopen_if_due();
        self.snapshot_if_due();
        let down = self.weather.is(Kind::Maintenance, self.now);
        if std::mem::replace(&mut self.feeds_down, down) != down {
            let state = if down { FeedState::Down } else { FeedState::Up };
            self.say_feed(Feed::Public, state)?;
            self.say_feed(Feed::Market, state)?;
        }
        Ok(())
    }

    /// An event for the engine, as the loop takes it up.
    pub(super) fn tell_engine(&mut self, event: &Event) -> Result<(), Failure> {
        let Some(process) = &mut self.process else { return Ok(()) };
        // Time does not run backwards.
        let event = Event { recv_ns: event.recv_ns.max(process.intake.now()), ..*event };
        self.audit.before(&event, &process.intake);
        let taken = process.intake.take(&event, false, &mut process.outlet);
        taken.map_err(|error| Failure::new(self.now, error.to_string()))?;
        self.acted(&event)
    }

    /// The engine took an event up: what it asked for goes to the gateway, unless the process dies now.
    fn acted(&mut self, event: &Event) -> Result<(), Failure> {
        let Some(process) = &mut self.process else { return Ok(()) };
        let engine = process.intake.core.engine();
        self.audit.after(self.now, event, engine, process.intake.core.recorder());
        if self.dying && process.instructions.slots() > 0 {
            return self.die_inside_a_group();
        }
        while let Some(process) = &mut self.process
            && let Ok((_, instrument, instruction)) = process.instructions.pop()
        {
            self.tell_gateway(Input::Instruction(instrument, instruction))?;
        }
        self.plan_timer();
        Ok(())
    }

    /// An input for the gateway, and everything that comes of it.
    pub(super) fn tell_gateway(&mut self, input: Input<'_>) -> Result<(), Failure> {
        let now = self.ours();
        let Some(process) = &mut self.process else { return Ok(()) };
        process.gateway.on(input, now, &mut process.out);
        self.pass_on()?;
        // The engine's answers to one event come back here: it takes up the next when they are given.
        if std::mem::replace(&mut self.telling, true) {
            return Ok(());
        }
        let told = self.tell_events();
        self.telling = false;
        told
    }

    /// What the gateway has for the engine, in order.
    fn tell_events(&mut self) -> Result<(), Failure> {
        let mut told = 0;
        while let Some(process) = &mut self.process
            && let Some(event) = process.out.events.pop_front()
        {
            told += 1;
            if told > AT_ONCE_MAX {
                return Err(Failure::new(self.now, format!("engine and gateway go in a circle: {event:?}")));
            }
            self.note_echo(&event);
            self.tell_engine(&event)?;
        }
        Ok(())
    }

    /// What the engine heard of orders it may hear again.
    fn note_echo(&mut self, event: &Event) {
        if let EventBody::OrderUpdate(_) = &event.body {
            if self.echoes.len() == ECHOES {
                self.echoes.remove(0);
            }
            self.echoes.push(*event);
        }
        if self.weather.is(Kind::Echo, self.now) && !self.echoes.is_empty() && self.draws.network.one_in(3) {
            let again = self.draws.network.pick(&self.echoes);
            let again = Event { recv_ns: self.ours(), ..again };
            if let Some(process) = &mut self.process {
                process.out.events.push_back(again);
            }
        }
    }

    /// A blow falls.
    ///
    /// # Errors
    /// The first thing that must not be.
    pub fn strike(&mut self, blow: Blow) -> Result<(), Failure> {
        let lots = |dice: &mut Dice| Lots(dice.pick(&[1, 5, 50, 1_000_000]));
        match blow {
            Blow::CutOrders => self.cut(Line::Orders, false),
            Blow::CutUser => self.cut(Line::User, false),
            Blow::HalfOpenOrders => self.cut(Line::Orders, true),
            Blow::HalfOpenUser => self.cut(Line::User, true),
            Blow::CloseAll => self.desk.disturb(Disturbance::Close),
            Blow::ExpireKey => self.desk.disturb(Disturbance::ExpireListenKey),
            Blow::ExpireKeySilently => {
                self.desk.expire_silently();
                self.deaf.extend(self.process.as_ref().and_then(|process| process.user.socket));
            }
            Blow::VenueClock => self.clocks.jump_venue(&mut self.draws.network),
            Blow::Kill | Blow::LosePower | Blow::LoseJournal => self.kill(blow)?,
            Blow::Restart => {
                self.command(CommandKind::Stop, InstrumentId(0))?;
                self.die();
            }
            Blow::Transfer => {
                let amount = Dec::int(self.draws.people.between(-50, 200));
                self.desk.transfer(amount);
            }
            Blow::Deleverage | Blow::Settle => {
                let cause = if blow == Blow::Settle { FillCause::Settlement } else { FillCause::Adl };
                for index in 0..3 {
                    let lots = lots(&mut self.draws.people);
                    self.desk.force(InstrumentId(index), lots, cause);
                }
            }
            Blow::TradeByHand => self.trade_at_random(),
            Blow::OthersAsk => self.others_ask(),
        }
        Ok(())
    }

    /// The links as the gateway believes them, for whoever compares.
    pub(super) fn set_link(&mut self, line: Line, link: Link) -> Result<(), Failure> {
        match line {
            Line::Orders => self.tell_gateway(Input::OrderLink(link)),
            Line::User => self.tell_gateway(Input::UserLink(link)),
        }
    }
}
