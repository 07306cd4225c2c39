//! What must hold at every moment, and what is counted.

use std::collections::{BTreeMap, BTreeSet};

use super::Failure;
use super::coverage::Coverage;
use super::memory::Memory;
use super::process::Process;
use super::proxy::Fate;
use crate::engine::Engine;
use crate::event::record::Entry;
use crate::event::{
    CommandKind, Event, EventBody, ExitSignal, InstrumentTable, OrderKind, Output, OutputBody, Purpose,
    TradingState,
};
use crate::live::Intake;
use crate::num::{InstrumentId, NS_PER_MS, OrderId, TimeNs};
use crate::risk::config::Settings;
use crate::sim::server::Desk;

/// A quote and its way: what may lie between the venue's stamp and our receipt beyond what the rules allow.
const WAY_NS: i64 = 150 * NS_PER_MS;

/// Counted over a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Figures {
    pub events: u64,
    pub orders: u64,
    pub entries: u64,
    pub fills: u64,
    pub trades_closed: u64,
    pub starts: u64,
    pub deaths: u64,
    pub groups_cut: u64,
    pub journals_lost: u64,
    pub bans: u64,
    pub faults: u64,
    /// Longest that acknowledged stops covered less than a position, as the engine tells it.
    pub unprotected_ms_max: i64,
    /// Longest a position stood at the venue without stops for all of it while nothing was in the way.
    pub bare_ms_max: i64,
    /// What must not be: each fails its seed too.
    pub duplicate_orders: u64,
    pub sent_during_ban: u64,
    pub stale_entries: u64,
}

impl Figures {
    pub fn add(&mut self, other: &Figures) {
        let sums = [
            (&mut self.events, other.events),
            (&mut self.orders, other.orders),
            (&mut self.entries, other.entries),
            (&mut self.fills, other.fills),
            (&mut self.trades_closed, other.trades_closed),
            (&mut self.starts, other.starts),
            (&mut self.deaths, other.deaths),
            (&mut self.groups_cut, other.groups_cut),
            (&mut self.journals_lost, other.journals_lost),
            (&mut self.bans, other.bans),
            (&mut self.faults, other.faults),
            (&mut self.duplicate_orders, other.duplicate_orders),
            (&mut self.sent_during_ban, other.sent_during_ban),
            (&mut self.stale_entries, other.stale_entries),
        ];
        sums.into_iter().for_each(|(sum, more)| *sum += more);
        self.unprotected_ms_max = self.unprotected_ms_max.max(other.unprotected_ms_max);
        self.bare_ms_max = self.bare_ms_max.max(other.bare_ms_max);
    }
}

/// See the module.
pub struct Audit {
    settings: Settings,
    table: InstrumentTable,
    pub figures: Figures,
    pub coverage: Coverage,
    problem: Option<String>,
    issued: BTreeSet<OrderId>,
    entered: BTreeSet<OrderId>,
    state_before: TradingState,
    /// The event under way may close everything.
    may_flatten: bool,
    /// The venue's time of the newest quote of each instrument that reached the engine.
    quoted: Vec<Option<TimeNs>>,
    bare_since: BTreeMap<InstrumentId, TimeNs>,
    /// Told to be silent until then.
    silent_until: Option<TimeNs>,
    /// When this process began, by the world's clock and by ours.
    started: TimeNs,
    started_ours: TimeNs,
    death_hash: Option<u128>,
    seen_entries: usize,
}

impl Audit {
    pub fn new(settings: Settings, table: InstrumentTable) -> Audit {
        Audit {
            quoted: vec![None; table.len()],
            settings,
            table,
            figures: Figures::default(),
            coverage: Coverage::default(),
            problem: None,
            issued: BTreeSet::new(),
            entered: BTreeSet::new(),
            state_before: TradingState::Active,
            may_flatten: false,
            bare_since: BTreeMap::new(),
            silent_until: None,
            started: TimeNs(0),
            started_ours: TimeNs(0),
            death_hash: None,
            seen_entries: 0,
        }
    }

    /// What was found wrong, if anything was.
    ///
    /// # Errors
    /// The first thing.
    pub fn verdict(&mut self, now: TimeNs) -> Result<(), Failure> {
        if self.figures.sent_during_ban > 0 {
            self.blame(|| "a request during a ban".to_owned());
        }
        self.problem.take().map_or(Ok(()), |problem| Err(Failure::new(now, problem)))
    }

    fn blame(&mut self, problem: impl FnOnce() -> String) {
        self.problem.get_or_insert_with(problem);
    }

    fn require(&mut self, holds: bool, problem: impl FnOnce() -> String) {
        if !holds {
            self.blame(problem);
        }
    }

    /// Market data reaches the engine; it was sent when its time says.
    pub fn note_frame(&mut self, event: &Event) {
        let quoted = self.quoted.get_mut(event.instrument.index());
        if let (EventBody::Quote(_), Some(quoted)) = (&event.body, quoted) {
            *quoted = (*quoted).max(Some(event.recv_ns));
        }
    }

    pub fn before(&mut self, event: &Event, intake: &Intake<'static, Memory>) {
        let engine = intake.core.engine();
        // By the operator, or by the breaker, which looks at prices and fills.
        let told =
            matches!(&event.body, EventBody::Command(command) if command.command == CommandKind::Flatten);
        let recovers = matches!(&event.body, EventBody::FeedStatus(_) | EventBody::RunStart(_));
        self.may_flatten = told || (self.settings.circuit_breaker_flatten && !recovers);
        self.state_before = engine.controller().state();
        self.seen_entries = intake.core.recorder().entries.len();
        self.coverage.before(event, engine);
    }

    /// An event was taken up.
    pub fn after(&mut self, now: TimeNs, event: &Event, engine: &Engine, journal: &Memory) {
        self.figures.events += 1;
        self.figures.fills += u64::from(matches!(event.body, EventBody::Fill(_)));
        for entry in journal.entries.iter().skip(self.seen_entries) {
            if let Entry::Output { output, .. } = entry {
                self.output(now, output);
                self.coverage.output(output);
            }
        }
        for trade in engine.trades() {
            let (held, closing) = (!trade.finished && trade.open().0 > 0, trade.closing.is_some());
            let Some(since) = trade.protection.uncovered_since.filter(|_| held && !closing) else { continue };
            let bare_ms = engine.now().since(since.max(self.started_ours)) / NS_PER_MS;
            let limit_ms = self.settings.protection_deadline_ms;
            self.require(bare_ms <= limit_ms, || {
                format!("{} is uncovered for {bare_ms} ms, and nobody closes it", trade.id)
            });
        }
    }

    fn output(&mut self, now: TimeNs, output: &Output) {
        match &output.body {
            OutputBody::Order(order) => {
                self.figures.orders += 1;
                let fresh = self.issued.insert(order.id);
                self.require(fresh, || format!("order id {} issued twice", order.id));
                if order.purpose == Purpose::Entry {
                    self.entry(now, output.instrument, order.trade);
                } else {
                    self.require(order.reduce_only, || format!("{} does not reduce", order.id));
                }
            }
            OutputBody::Protected(protected) => {
                let ms = protected.unprotected_ns / NS_PER_MS;
                self.figures.unprotected_ms_max = self.figures.unprotected_ms_max.max(ms);
            }
            OutputBody::ExitFired(fired) if fired.signal == ExitSignal::Flatten => {
                let asked = self.may_flatten;
                self.require(asked, || format!("{} closed though nobody asked for it", fired.trade));
            }
            OutputBody::TradeClosed(_) => self.figures.trades_closed += 1,
            _ => {}
        }
    }

    fn entry(&mut self, now: TimeNs, instrument: InstrumentId, trade: OrderId) {
        self.figures.entries += 1;
        let active = self.state_before == TradingState::Active;
        self.require(active, || format!("{trade} entered while not active"));
        let first = self.entered.insert(trade);
        self.require(first, || format!("{trade} entered twice"));
        let age_ns = self.quoted.get(instrument.index()).copied().flatten().map(|at| now.since(at));
        let limit_ns = (self.settings.max_data_age_ms + self.settings.max_feed_lag_ms) * NS_PER_MS + WAY_NS;
        let fresh = age_ns.is_some_and(|age| age <= limit_ns);
        self.figures.stale_entries += u64::from(!fresh);
        self.require(fresh, || format!("{trade} entered on a quote {age_ns:?} ns old"));
    }

    /// The gateway was told to be silent until then.
    pub fn told_to_be_silent(&mut self, until: Option<TimeNs>) {
        self.figures.bans += u64::from(self.silent_until.is_none());
        self.silent_until = self.silent_until.max(until);
    }

    /// The gateway sends a request.
    pub fn note_sent(&mut self, now: TimeNs) {
        self.silent_until = self.silent_until.filter(|until| now < *until);
        self.figures.sent_during_ban += u64::from(self.silent_until.is_some());
    }

    pub fn note_fate(&mut self, fate: Fate) {
        self.figures.faults += u64::from(fate != Fate::Through);
    }

    /// The venue was asked for so many orders under an id that was used before.
    pub fn requested_again(&mut self, count: u64) {
        self.figures.duplicate_orders = count;
        self.require(count == 0, || "an order was requested twice".to_owned());
    }

    /// A process begins; `engine` is what it goes on with.
    pub fn note_start(&mut self, now: TimeNs, ours: TimeNs, engine: Option<&Engine>) {
        (self.started, self.started_ours) = (now, ours);
        self.figures.starts += 1;
        let was = self.death_hash.take();
        if let (Some(was), Some(engine)) = (was, engine) {
            let same = engine.state_hash() == was;
            self.require(same, || "the engine of a journal is not the one that wrote it".to_owned());
        }
        self.coverage.start(engine);
    }

    pub fn note_death(&mut self, engine: &Engine) {
        self.figures.deaths += 1;
        self.death_hash = Some(engine.state_hash());
        self.silent_until = None;
    }

    pub fn journal_lost(&mut self) {
        self.figures.journals_lost += 1;
        self.death_hash = None;
    }

    /// A process died in the middle of what an event causes.
    pub fn group_cut(&mut self, cut: bool) {
        self.figures.groups_cut += u64::from(cut);
    }

    /// Looks at the venue's side: a position without stops for all of it, though nothing is in the way of
    /// one. Who closes is left to it: how long that takes is the market's.
    pub fn cover(&mut self, now: TimeNs, desk: &mut Desk, process: Option<&Process>, fair: bool) {
        let engine = process.map(|process| process.intake.core.engine());
        let venue = desk.venue();
        for (id, _) in self.table.clone().iter() {
            let held = venue.position(id).quantity.0;
            let stops = venue.open_orders().iter().filter(|open| {
                let closes = open.order.side.sign() * held < 0;
                open.instrument == id && open.order.kind == OrderKind::StopMarket && closes
            });
            let covered: i64 = stops.map(|open| open.remaining().0).sum();
            let trade = engine.and_then(|engine| engine.trades().iter().find(|trade| trade.instrument == id));
            // What no trade explains is looked for by the audits, and closed ones are on their way.
            let ours = trade.is_some_and(|trade| trade.closing.is_none() && !trade.finished);
            if covered >= held.abs() || !fair || !ours {
                self.bare_since.remove(&id);
                continue;
            }
            let since = *self.bare_since.entry(id).or_insert(now);
            let bare_ms = now.since(since) / NS_PER_MS;
            self.figures.bare_ms_max = self.figures.bare_ms_max.max(bare_ms);
        }
    }
}
