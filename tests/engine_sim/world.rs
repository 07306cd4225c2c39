//! Engine, link and venue in one order of simulated time, as a run has them.

use std::collections::VecDeque;

use super::audit::Audit;
use super::market::{BAR_S, Dice, Market, START};
use super::snapshot::Shadow;
use quantum_trader::engine::{Engine, Outbox};
use quantum_trader::event::*;
use quantum_trader::num::*;
use quantum_trader::risk::config::{ExitPrice, Settings};
use quantum_trader::sim::link::{Link, LinkConfig};
use quantum_trader::sim::venue::{Venue, VenueConfig};

/// What happens to reports between venue and engine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Line {
    /// As they were sent.
    Honest,
    /// Doubled, overtaken by later ones, late.
    Shuffled,
    /// And acknowledgements and cancels go missing.
    Lossy,
    /// And somebody makes things up.
    Hostile,
}

pub struct World {
    pub engine: Engine,
    pub link: Link,
    pub market: Market,
    pub audit: Audit,
    pub dice: Dice,
    pub now: TimeNs,
    pub line: Line,
    /// Follows the engine, if there is one.
    pub shadow: Option<Shadow>,
    out: Box<Outbox>,
    held_back: VecDeque<(TimeNs, Event)>,
    /// Of the newest report, what was not taken yet.
    arrived: VecDeque<Event>,
    timer_due: TimeNs,
    timer_ns: i64,
    /// Of all outputs, to compare runs.
    pub digest: u64,
    /// Moments at which a timer would have found nothing to do.
    pub idle: u64,
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
        ..careful
    }
}

fn settings(dice: &mut Dice) -> Settings {
    Settings {
        bar_interval_s: BAR_S,
        ema_period: 5,
        atr_period: 3,
        exit_atr_period: 3,
        correlation_bars: 10,
        min_volume_24h: Dec::ZERO,
        min_stop_cost: Dec::ZERO,
        max_spread_bps: Dec::int(500),
        require_trend: dice.one_in(3),
        max_correlation: dice.pick(&[Dec::ONE, Dec::new(7, 1)]),
        max_position_usd: dice.pick(&[Dec::int(500), Dec::int(5_000), Dec::int(20_000)]),
        max_exposure_pct: Dec::int(4),
        max_concurrent_trades: dice.between(1, 3) as u32,
        enable_open_risk: dice.one_in(2),
        max_daily_dd_pct: dice.pick(&[Dec::new(3, 2), Dec::new(5, 1)]),
        max_weekly_dd_pct: Dec::new(9, 1),
        circuit_breaker_flatten: dice.one_in(2),
        circuit_breaker_loss_pct: dice.pick(&[Dec::new(5, 3), Dec::new(5, 2)]),
        circuit_breaker_cooldown_hours: Dec::new(1, 1),
        trailing_start_r: dice.pick(&[Dec::new(5, 1), Dec::int(2)]),
        trailing_distance_atr: dice.pick(&[Dec::ONE, Dec::int(3)]),
        max_hours_no_progress: Dec::new(3, 2),
        exit_price: dice.pick(&[ExitPrice::Book, ExitPrice::Book, ExitPrice::Last, ExitPrice::Mark]),
        stop_grace_ms: dice.pick(&[1, 250, 2_000]),
        max_data_age_ms: 60_000,
        ..Settings::DEFAULT
    }
}

impl World {
    pub fn new(seed: u64, line: Line) -> World {
        let mut dice = Dice::new(seed);
        let market = Market::new(super::market::instruments(), &mut dice);
        let careful = settings(&mut dice);
        let (settings, leverage, wallet) =
            if dice.one_in(5) { (reckless(careful), 100, 500) } else { (careful, 5, 10_000) };
        let config = VenueConfig { wallet: Dec::int(wallet), leverage, funding: true };
        let latency = dice.pick(&[0, 1_000_000, 20_000_000, 300_000_000]);
        let delays = LinkConfig {
            order_latency_ns: latency,
            report_latency_ns: latency,
            jitter_ns: dice.pick(&[0, latency / 2, latency * 2]),
            seed,
        };
        let mut world = World {
            engine: Engine::new(&settings, &market.table),
            link: Link::new(Venue::new(market.table.clone(), config), delays),
            audit: Audit::new(&market.table, settings, line),
            market,
            dice,
            now: START,
            line,
            shadow: None,
            out: Outbox::new(),
            held_back: VecDeque::new(),
            arrived: VecDeque::new(),
            timer_due: START + NS_PER_SEC,
            timer_ns: settings.timer_ms * NS_PER_MS,
            digest: 0xcbf2_9ce4_8422_2325,
            idle: 0,
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        let start = RunStart {
            run_id: 1,
            build_id: 1,
            epoch: 9,
            instruments: 3,
            resting_stops: true,
            simulated: true,
            rule_voters: self.dice.one_in(2),
            pad: [0; 5],
        };
        self.take(&Event::global(START, EventBody::RunStart(start)));
        for event in self.market.history() {
            self.take(&event);
        }
        self.snapshot();
    }

    /// The venue's account as REST states it. Asked for when nothing is on its way: what a fill in
    /// flight has still to say would be in it already.
    fn snapshot(&mut self) {
        let recv_ns = self.now;
        for (instrument, body) in self.link.venue().snapshot() {
            self.take(&Event { recv_ns, instrument, body });
        }
    }

    /// One market event, with signals and commands now and then.
    pub fn tick(&mut self) {
        let gap_ms = match self.dice.between(1, 20) {
            1 => self.dice.between(500, 3_000),
            2..=5 => 0,
            _ => self.dice.between(1, 300),
        };
        let time = self.now + gap_ms * NS_PER_MS;
        self.advance(time);
        let event = self.market.next(time, &mut self.dice);
        self.link.market(time, &event);
        self.take(&event);
        if self.dice.one_in(15) {
            let signal = self.signal();
            self.take(&signal);
        }
        if self.dice.one_in(200) {
            let command = self.command();
            self.take(&command);
        }
        if self.dice.one_in(60) {
            let resume = self.operator(CommandKind::Resume);
            self.take(&resume);
        }
        if self.dice.one_in(900) && !self.link.pending() && self.held_back.is_empty() {
            self.snapshot();
        }
    }

    fn signal(&mut self) -> Event {
        let action = self.dice.pick(&[Action::Long, Action::Short]);
        let signal = Signal {
            confidence: [Dec::new(self.dice.between(60, 99), 2), Dec::ZERO, Dec::ZERO, Dec::ZERO],
            ballot: Ballot::of([Action::Abstain; SEATS]),
            given: true,
            action,
            consensus: self.dice.pick(&[Consensus::Strong, Consensus::Unanimous]),
            source: SignalSource::External,
            pad: [0; 8],
        };
        let instrument = InstrumentId(self.dice.between(0, 3) as u16);
        Event { recv_ns: self.now, instrument, body: EventBody::Signal(signal) }
    }

    fn command(&mut self) -> Event {
        let kinds = [
            CommandKind::Halt,
            CommandKind::Reduce,
            CommandKind::Flatten,
            CommandKind::Close,
            CommandKind::Close,
        ];
        let kind = self.dice.pick(&kinds);
        self.operator(kind)
    }

    pub fn operator(&mut self, command: CommandKind) -> Event {
        let instrument = InstrumentId(self.dice.between(0, 2) as u16);
        let body = EventBody::Command(Command { command, pad: [0; 7] });
        Event { recv_ns: self.now, instrument, body }
    }

    pub fn hostile(&mut self) {
        let event = super::hostile::event(&mut self.dice, self.now, &self.audit.newest());
        self.take(&event);
    }

    /// Everything due by `until`, in order of time: reports, then timers at the same instant.
    pub fn advance(&mut self, until: TimeNs) {
        loop {
            let limit = until.min(self.timer_due);
            if let Some(event) = self.next_report(limit) {
                self.take(&event);
            } else if self.timer_due <= until {
                let due = self.timer_due;
                self.timer_due = due + NS_PER_SEC;
                self.take(&Event::global(due, EventBody::Timer(Timer { count: 1 })));
            } else {
                break;
            }
        }
        self.now = self.now.max(until);
    }

    /// The next report that is not held back; those held back come out when their time is up.
    fn next_report(&mut self, limit: TimeNs) -> Option<Event> {
        loop {
            let ripe = self.held_back.iter().position(|(due, _)| *due <= limit);
            if let Some((due, event)) = ripe.and_then(|i| self.held_back.remove(i)) {
                return Some(Event { recv_ns: due.max(self.now), ..event });
            }
            if self.arrived.is_empty() {
                self.arrived.extend(self.link.poll(limit)?.events());
            }
            let event = self.arrived.pop_front()?;
            // The account's own stream keeps its order, and so comes ahead of fills held back.
            let orders = matches!(event.body, EventBody::OrderUpdate(_) | EventBody::Fill(_));
            if self.line == Line::Honest || self.market.thick || !orders {
                return Some(event);
            }
            let is_answer = matches!(&event.body, EventBody::OrderUpdate(update)
                if matches!(update.status, OrderStatus::Accepted | OrderStatus::Rejected | OrderStatus::Canceled
                    | OrderStatus::CancelRejected | OrderStatus::Triggered));
            if self.line == Line::Lossy && is_answer && self.dice.one_in(8) {
                continue;
            }
            if self.dice.one_in(8) {
                let late = event.recv_ns + self.dice.between(0, 2_000) * NS_PER_MS;
                self.held_back.push_back((late, event));
            }
            if self.dice.one_in(10) {
                let late = event.recv_ns + self.dice.pick(&[0, 1, 50, 1_500, 7_000]) * NS_PER_MS;
                self.held_back.push_back((late, event));
                continue;
            }
            return Some(event);
        }
    }

    pub fn take(&mut self, event: &Event) {
        self.now = self.now.max(event.recv_ns);
        self.audit.before(&self.engine);
        let told = self.told_the_time(event);
        if let Some(shadow) = &mut self.shadow {
            shadow.before(&self.engine);
        }
        self.engine.step(event, &mut self.out);
        if let Some(mut told) = told {
            let mut out = Outbox::new();
            told.step(event, &mut out);
            assert_eq!(out.outputs(), self.out.outputs(), "a timer of an idle engine changed something");
            assert_eq!(told.state_hash(), self.engine.state_hash());
        }
        if let Some(shadow) = &mut self.shadow {
            shadow.after(event, &self.engine, self.out.outputs());
        }
        for output in self.out.outputs() {
            for byte in output.body.bytes() {
                self.digest = (self.digest ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
            }
            let Some(instruction) = output.instruction() else { continue };
            let is_cancel = matches!(instruction, Instruction::Cancel(_));
            if self.line == Line::Lossy && !self.market.thick && is_cancel && self.dice.one_in(4) {
                continue;
            }
            self.link.send(event.recv_ns, output.instrument, instruction);
        }
        if self.engine.has_deadline() {
            self.timer_due = self.timer_due.min(event.recv_ns + self.timer_ns);
        }
        let quiet = !self.link.pending() && self.held_back.is_empty();
        self.audit.after(event, self.now, &self.engine, self.out.outputs(), self.link.venue(), quiet);
    }

    /// Now and then, when the engine is idle: a copy of it that was given a timer just before the event.
    fn told_the_time(&mut self, event: &Event) -> Option<Engine> {
        self.idle += u64::from(self.engine.is_idle());
        if !self.engine.is_idle() || !self.idle.is_multiple_of(64) {
            return None;
        }
        let (mut told, mut out) = (self.engine.clone(), Outbox::new());
        told.step(&Event::global(event.recv_ns, EventBody::Timer(Timer { count: 1 })), &mut out);
        // The day may end with it; nothing else may come of it.
        let rolls = |output: &Output| matches!(output.body, OutputBody::LimitChanged(_));
        assert!(out.outputs().iter().all(rolls), "an idle engine had something to do: {:?}", out.outputs());
        out.outputs().is_empty().then_some(told)
    }

    /// The end of a run: plenty to trade with, nothing new, everything closed.
    pub fn wind_down(&mut self, seconds: i64) {
        self.market.thick = true;
        for command in [CommandKind::Resume, CommandKind::Reduce, CommandKind::Flatten] {
            let event = self.operator(command);
            self.take(&event);
        }
        for second in 0..seconds * 3 {
            self.advance(self.now + NS_PER_SEC / 3);
            let i = (second % 3) as usize;
            let quote = self.market.quote(i, self.now, &mut self.dice);
            let body = EventBody::Quote(quote);
            let event = Event { recv_ns: self.now, instrument: InstrumentId(i as u16), body };
            self.link.market(self.now, &event);
            self.take(&event);
        }
    }
}
