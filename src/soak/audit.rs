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
    AlarmKind, CommandKind, Event, EventBody, ExitSignal, InstrumentTable, Limit, Output, OutputBody,
    Purpose, TradingState,
};
use crate::live::Intake;
use crate::num::{InstrumentId, NS_PER_MS, OrderId, TimeNs};
use crate::risk::config::{OnUnknownPosition, Settings};
use crate::sim::server::Desk;

/// A quote and its way: what may lie between the venue's stamp and our receipt beyond what the rules allow.
const WAY_NS: i64 = 150 * NS_PER_MS;

/// In fair weather the engine's part of a position has its stop by then: a stop that is refused or unanswered
/// is followed by a close within the protection deadline.
const BARE_MS_MAX: i64 = 5_000;
/// Where the user stream has died without a word, what ended a stop or filled an entry is found by the next
/// audit, 15 s later at most, or by the question about an entry's answer.
const UNHEARD_MS_MAX: i64 = 20_000;

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
    /// Starts that met a ban, known or not.
    pub starts_in_ban: u64,
    /// Journals that had not got as far as an engine when their process died.
    pub journals_unopened: u64,
    pub faults: u64,
    /// Longest that acknowledged stops covered less than a position, as the engine tells it.
    pub unprotected_ms_max: i64,
    /// Longest a position of the engine's stood at the venue without stops for all of it while nothing was in
    /// the way.
    pub bare_ms_max: i64,
    /// The same where the user stream had died without a word.
    pub unheard_ms_max: i64,
    /// The same with what no trade explains: what the owner has added by hand, and fills nobody has told of.
    pub strange_ms_max: i64,
    /// Longest that engine and venue were apart again after they had agreed.
    pub apart_ms_max: i64,
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
            (&mut self.starts_in_ban, other.starts_in_ban),
            (&mut self.journals_unopened, other.journals_unopened),
            (&mut self.faults, other.faults),
            (&mut self.duplicate_orders, other.duplicate_orders),
            (&mut self.sent_during_ban, other.sent_during_ban),
            (&mut self.stale_entries, other.stale_entries),
        ];
        sums.into_iter().for_each(|(sum, more)| *sum += more);
        self.unprotected_ms_max = self.unprotected_ms_max.max(other.unprotected_ms_max);
        self.bare_ms_max = self.bare_ms_max.max(other.bare_ms_max);
        self.unheard_ms_max = self.unheard_ms_max.max(other.unheard_ms_max);
        self.strange_ms_max = self.strange_ms_max.max(other.strange_ms_max);
        self.apart_ms_max = self.apart_ms_max.max(other.apart_ms_max);
    }
}

/// What was told to be closed.
#[derive(Clone, Copy, Default)]
struct Told {
    flatten: bool,
    close: Option<InstrumentId>,
    /// Something was found that is nobody's, and such things are closed.
    unknown: bool,
}

/// See the module.
pub struct Audit {
    table: InstrumentTable,
    pub figures: Figures,
    pub coverage: Coverage,
    problem: Option<String>,
    issued: BTreeSet<OrderId>,
    entered: BTreeSet<OrderId>,
    state_before: TradingState,
    /// By the event under way.
    told: Told,
    /// Trades that operator or breaker want closed: what of them fills later goes as it comes.
    to_close: BTreeSet<OrderId>,
    /// The venue's time of the newest quote of each instrument that reached the engine.
    quoted: Vec<Option<TimeNs>>,
    bare_since: BTreeMap<InstrumentId, TimeNs>,
    /// Of these, where the stream was dead meanwhile.
    bare_unheard: BTreeSet<InstrumentId>,
    strange_since: BTreeMap<InstrumentId, TimeNs>,
    /// The process was told to be silent until then.
    silent_until: Option<TimeNs>,
    /// A ban that a process was told of, by our clock: it is remembered for the starts after it.
    banned_until_ours: Option<TimeNs>,
    /// When this process began, by our clock.
    started_ours: TimeNs,
    death_hash: Option<u128>,
    seen_entries: usize,
}

impl Audit {
    pub fn new(table: InstrumentTable) -> Audit {
        Audit {
            quoted: vec![None; table.len()],
            table,
            figures: Figures::default(),
            coverage: Coverage::default(),
            problem: None,
            issued: BTreeSet::new(),
            entered: BTreeSet::new(),
            state_before: TradingState::Active,
            told: Told::default(),
            to_close: BTreeSet::new(),
            bare_since: BTreeMap::new(),
            bare_unheard: BTreeSet::new(),
            strange_since: BTreeMap::new(),
            silent_until: None,
            banned_until_ours: None,
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
        if let Some(heard) = self.coverage.take_impossible() {
            self.blame(|| heard);
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
        self.told = Told::default();
        if let EventBody::Command(command) = &event.body {
            self.told.flatten = command.command == CommandKind::Flatten;
            self.told.close = (command.command == CommandKind::Close).then_some(event.instrument);
        }
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
                self.output(now, output, engine.settings());
                self.coverage.output(output);
            }
        }
        for trade in engine.trades() {
            if self.told.flatten || self.told.close == Some(trade.instrument) {
                self.to_close.insert(trade.id);
            }
            let (held, closing) = (!trade.finished && trade.open().0 > 0, trade.closing.is_some());
            let Some(since) = trade.protection.uncovered_since.filter(|_| held && !closing) else { continue };
            let bare_ms = engine.now().since(since.max(self.started_ours)) / NS_PER_MS;
            let limit_ms = engine.settings().protection_deadline_ms;
            self.require(bare_ms <= limit_ms, || {
                format!("{} is uncovered for {bare_ms} ms, and nobody closes it", trade.id)
            });
        }
    }

    fn output(&mut self, now: TimeNs, output: &Output, settings: &Settings) {
        match &output.body {
            OutputBody::Order(order) => {
                self.figures.orders += 1;
                let fresh = self.issued.insert(order.id);
                self.require(fresh, || format!("order id {} issued twice", order.id));
                if order.purpose == Purpose::Entry {
                    self.entry(now, output.instrument, order.trade, settings);
                } else {
                    self.require(order.reduce_only, || format!("{} does not reduce", order.id));
                }
            }
            OutputBody::Protected(protected) => {
                let ms = protected.unprotected_ns / NS_PER_MS;
                self.figures.unprotected_ms_max = self.figures.unprotected_ms_max.max(ms);
            }
            // The breaker trips, and where it is to close everything it does so at once.
            OutputBody::LimitChanged(changed) if changed.limit == Limit::CircuitBreaker => {
                self.told.flatten |= changed.active && settings.circuit_breaker_flatten;
            }
            OutputBody::Alarm(alarm) if alarm.kind == AlarmKind::UnknownPosition => {
                self.told.unknown = settings.on_unknown_position == OnUnknownPosition::Close;
            }
            OutputBody::ExitFired(fired) => {
                let asked = match fired.signal {
                    ExitSignal::Flatten => self.told.flatten || self.to_close.contains(&fired.trade),
                    ExitSignal::Manual => {
                        let told = self.told.close == Some(output.instrument) || self.told.unknown;
                        told || self.to_close.contains(&fired.trade)
                    }
                    _ => true,
                };
                self.require(asked, || format!("{} closed though nobody asked for it", fired.trade));
            }
            OutputBody::TradeClosed(_) => self.figures.trades_closed += 1,
            _ => {}
        }
    }

    fn entry(&mut self, now: TimeNs, instrument: InstrumentId, trade: OrderId, settings: &Settings) {
        self.figures.entries += 1;
        let active = self.state_before == TradingState::Active;
        self.require(active, || format!("{trade} entered while not active"));
        let first = self.entered.insert(trade);
        self.require(first, || format!("{trade} entered twice"));
        let age_ns = self.quoted.get(instrument.index()).copied().flatten().map(|at| now.since(at));
        let limit_ns = (settings.max_data_age_ms + settings.max_feed_lag_ms) * NS_PER_MS + WAY_NS;
        let fresh = age_ns.is_some_and(|age| age <= limit_ns);
        self.figures.stale_entries += u64::from(!fresh);
        self.require(fresh, || format!("{trade} entered on a quote {age_ns:?} ns old"));
    }

    /// The process was told to be silent until then; of a ban the next one knows too, by our clock.
    pub fn told_to_be_silent(&mut self, until: TimeNs, banned_until_ours: Option<TimeNs>) {
        self.figures.bans += u64::from(self.silent_until.is_none());
        self.silent_until = self.silent_until.max(Some(until));
        self.banned_until_ours = self.banned_until_ours.max(banned_until_ours);
    }

    /// The gateway sends a request.
    pub fn note_sent(&mut self, now: TimeNs) {
        self.silent_until = self.silent_until.filter(|until| now < *until);
        self.figures.sent_during_ban += u64::from(self.silent_until.is_some());
    }

    /// Whether a start can know that the venue wants to hear nothing.
    pub fn is_known_ban(&self, ours: TimeNs) -> bool {
        self.banned_until_ours.is_some_and(|until| ours < until)
    }

    /// A start was turned away before it sent anything, or by the venue.
    pub fn note_start_in_ban(&mut self) {
        self.figures.starts_in_ban += 1;
    }

    /// Engine and venue have been apart for so long, after they had agreed.
    pub fn note_apart(&mut self, apart_ns: i64) {
        self.figures.apart_ms_max = self.figures.apart_ms_max.max(apart_ns / NS_PER_MS);
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
    pub fn note_start(&mut self, ours: TimeNs, engine: Option<&Engine>) {
        self.started_ours = ours;
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

    /// A start found a journal that holds no engine. One that a process had written whole does.
    pub fn no_engine(&mut self, entries: usize) {
        let whole = self.death_hash.take().is_some();
        self.require(!whole, || format!("no engine in a journal of {entries} entries"));
        self.figures.journals_unopened += u64::from(entries > 0);
    }

    /// A process died in the middle of what an event causes.
    pub fn group_cut(&mut self, cut: bool) {
        self.figures.groups_cut += u64::from(cut);
    }

    /// Looks at the venue's side: a position without stops for all of it, though nothing is in the way of
    /// one. Who closes is left to it: how long that takes is the market's.
    pub fn cover(&mut self, now: TimeNs, desk: &mut Desk, process: Option<&Process>, fair: bool, deaf: bool) {
        let engine = process.map(|process| process.intake.core.engine());
        let venue = desk.venue();
        for (id, row) in self.table.clone().iter() {
            let held = venue.position(id).quantity.0;
            let covered = venue.stopped(id).0;
            let trade = engine.and_then(|engine| engine.trades().iter().find(|trade| trade.instrument == id));
            // Closed ones are on their way.
            let trade = trade.filter(|trade| fair && trade.closing.is_none() && !trade.finished);
            let ours = trade.map_or(0, |trade| trade.open().0 * trade.side().sign());
            let same_side = ours.signum() == held.signum();
            let (held, ours) = (held.abs(), if same_side { ours.abs().min(held.abs()) } else { 0 });
            let bare_ms = lasts_ms(&mut self.bare_since, id, covered < ours, now);
            if covered >= ours {
                self.bare_unheard.remove(&id);
            } else if deaf {
                self.bare_unheard.insert(id);
            }
            let (longest, limit_ms) = match self.bare_unheard.contains(&id) {
                true => (&mut self.figures.unheard_ms_max, UNHEARD_MS_MAX),
                false => (&mut self.figures.bare_ms_max, BARE_MS_MAX),
            };
            *longest = (*longest).max(bare_ms);
            self.require(bare_ms <= limit_ms, || {
                format!("{} bare for {bare_ms} ms in fair weather", row.symbol)
            });
            // What no trade explains is looked for by the audits.
            let strange = trade.is_some() && covered < held;
            let strange_ms = lasts_ms(&mut self.strange_since, id, strange, now);
            self.figures.strange_ms_max = self.figures.strange_ms_max.max(strange_ms);
        }
    }
}

/// For how long something has been so, in milliseconds.
fn lasts_ms(since: &mut BTreeMap<InstrumentId, TimeNs>, id: InstrumentId, is_so: bool, now: TimeNs) -> i64 {
    if !is_so {
        since.remove(&id);
        return 0;
    }
    now.since(*since.entry(id).or_insert(now)) / NS_PER_MS
}
