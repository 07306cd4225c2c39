//! What the market of a journal would have been worth under other settings.
//!
//! The recorded market goes through an engine with those settings, and its orders to a simulated venue,
//! whoever filled the recorded ones: what was decided is compared decision by decision, what came of it
//! figure by figure.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use super::market::{Opening, recorded_market};
use crate::cli::Failure;
use crate::cli::run::{Ended, Plan, direct, identity};
use crate::event::record::Entry;
use crate::event::{Decision, Event, InstrumentTable, OutputBody};
use crate::host::stop::StopFlag;
use crate::journal::{JournalError, JournalReader};
use crate::live::{Core, Followed, Follower as Watcher, Inbox, Pace, opening};
use crate::num::{InstrumentId, TimeNs};
use crate::observe::{Measured, Measures, Stats, side_by_side};
use crate::replay::Follower;
use crate::risk::config::Settings;
use crate::sim::exchange::Exchange;
use crate::sim::link::{Link, LinkConfig};
use crate::sim::market::Source;
use crate::sim::venue::{Venue, VenueConfig};

/// Differing decisions shown as text; JSON has them all.
const SHOWN_MAX: usize = 20;

/// Decisions by when and on what they were made: one signal an instrument and event.
type Decisions = BTreeMap<(TimeNs, InstrumentId), Decision>;

/// One of the two runs.
struct Run {
    decisions: Decisions,
    measured: Measured,
}

/// What differs.
#[derive(Serialize)]
pub(super) struct WhatIf {
    /// Settings that are not the journal's: name, recorded, now.
    settings: Vec<(String, String, String)>,
    /// Decisions of both.
    same: usize,
    differing: Vec<Differing>,
    recorded: Measured,
    what_if: Measured,
    /// Why the market could not be read to its end.
    fault: Option<String>,
}

#[derive(Serialize)]
struct Differing {
    time: String,
    symbol: String,
    /// Null: no signal was judged there.
    recorded: Option<String>,
    what_if: Option<String>,
}

impl WhatIf {
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (name, recorded, now) in &self.settings {
            text += &format!("setting    {name}: {recorded} -> {now}\n");
        }
        if self.settings.is_empty() {
            text += "setting    all as recorded\n";
        }
        text += &format!("decisions  {} the same, {} differ\n", self.same, self.differing.len());
        for d in self.differing.iter().take(SHOWN_MAX) {
            let or_none = |words: &Option<String>| words.clone().unwrap_or_else(|| "no signal".to_string());
            let (recorded, now) = (or_none(&d.recorded), or_none(&d.what_if));
            text += &format!("  {} {:<10} {recorded}  ->  {now}\n", d.time, d.symbol);
        }
        if self.differing.len() > SHOWN_MAX {
            text += &format!("  … and {} more (--json has them all)\n", self.differing.len() - SHOWN_MAX);
        }
        text += "\n";
        text += &side_by_side(&[("recorded", &self.recorded), ("what if", &self.what_if)]);
        if let Some(why) = &self.fault {
            text += &format!("\n{why}; what was read until then counts\n");
        }
        text
    }

    pub fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }
}

/// Runs the market of the journal in `dir` under `settings`.
///
/// # Errors
/// What is no journal, and one that does not begin as one.
pub(super) fn what_if(
    dir: &Path,
    opening_of: &Opening,
    settings: &Settings,
    stop: StopFlag,
) -> Result<WhatIf, Failure> {
    let (recorded, fault) = read(dir, opening_of)?;
    let computed = compute(dir, opening_of, settings, stop)?;
    let mut keys: Vec<&(TimeNs, InstrumentId)> = recorded.decisions.keys().collect();
    keys.extend(computed.decisions.keys().filter(|key| !recorded.decisions.contains_key(key)));
    keys.sort_unstable();
    let (mut same, mut differing) = (0, Vec::new());
    for key in keys {
        let (was, is) = (recorded.decisions.get(key), computed.decisions.get(key));
        let (was, is) = (was.map(|d| words(d, key.1, opening_of)), is.map(|d| words(d, key.1, opening_of)));
        if was == is {
            same += 1;
            continue;
        }
        let symbol = opening_of.instruments.get(key.1).map_or_else(String::new, |row| row.symbol.to_string());
        differing.push(Differing { time: key.0.to_string(), symbol, recorded: was, what_if: is });
    }
    Ok(WhatIf {
        settings: changed(&opening_of.settings, settings),
        same,
        differing,
        recorded: recorded.measured,
        what_if: computed.measured,
        fault,
    })
}

/// A decision as far as two runs can be compared: what was decided, at what size and price.
fn words(d: &Decision, id: InstrumentId, opening: &Opening) -> String {
    let side = d.side.direction();
    match opening.instruments.get(id) {
        Some(row) if d.approved => {
            let price = row.price(d.price).display(u32::from(row.price_places));
            format!("{side} APPROVED {} at {price}", row.format_quantity(d.quantity))
        }
        _ if d.approved => format!("{side} APPROVED"),
        _ => format!("{side} REJECTED {}", d.rule),
    }
}

fn changed(recorded: &Settings, now: &Settings) -> Vec<(String, String, String)> {
    let pairs = crate::risk::config::SETTINGS.iter().filter_map(|setting| {
        let (was, is) = (setting.value(recorded), setting.value(now));
        (was != is).then(|| (setting.name.to_string(), was, is))
    });
    pairs.collect()
}

/// What is in the journal, and why it can't be read to its end.
fn read(dir: &Path, opening: &Opening) -> Result<(Run, Option<String>), Failure> {
    let mut reader = JournalReader::open(dir)?;
    let mut seen = Seen::new(&opening.instruments, &opening.settings);
    let (mut follower, mut fault) = (Follower::new(), None);
    loop {
        match reader.next_entry() {
            Ok(Some(numbered)) => {
                // Whether it is what this version would say is the plain replay's question.
                let _ = follower.take(numbered.first_sequence, &numbered.entry);
                seen.follow(numbered.first_sequence, &numbered.entry);
            }
            Ok(None) => break,
            Err(JournalError::Damaged(problem)) => {
                fault = Some(problem.to_string());
                break;
            }
            Err(error) => return Err(error.into()),
        }
    }
    let controller = follower.engine().map(|engine| engine.controller());
    let equity = controller.and_then(|controller| controller.equity());
    let worst = equity.and(controller).map(|controller| controller.worst_daily_drawdown());
    let Seen { decisions, mut measures, .. } = seen;
    Ok((Run { decisions, measured: measures.finish(equity, worst) }, fault))
}

fn compute(dir: &Path, recorded: &Opening, settings: &Settings, stop: StopFlag) -> Result<Run, Failure> {
    let table = &recorded.instruments;
    let regime = settings.regime_symbol.and_then(|symbol| table.find(symbol.as_str()));
    let mut exchange =
        Exchange::open(Source::Events(recorded_market(dir)?), regime, line(recorded, settings))?;
    let first = exchange.next_frame().ok_or_else(|| Failure::refused("the journal has no market data"))?;
    let start = recorded.start.min(first);
    // Only has to be one; nothing of it is kept.
    let identity = identity(settings, &[], 0, table);
    let mut events = opening(start, &identity, settings, table, true);
    events.extend(recorded.history.iter().map(|event| Event { recv_ns: start, ..*event }));
    let account = exchange.link().venue().snapshot().into_iter();
    events.extend(account.map(|(instrument, body)| Event { recv_ns: start, instrument, body }));
    let plan = Plan {
        start,
        opening: events,
        pace: Pace { speed: None, horizon_ns: None },
        stop,
        round_trip_ns_max: None,
    };
    let core = Core::new(settings, table, Followed::new(Seen::new(table, settings)));
    let Ended { core, outcome, .. } = direct::run(plan, core, exchange, Inbox::silent(), None);
    outcome?;
    let controller = core.engine().controller();
    let equity = controller.equity();
    let worst = equity.map(|_| controller.worst_daily_drawdown());
    let Seen { decisions, mut measures, .. } = core.into_recorder().follower;
    Ok(Run { decisions, measured: measures.finish(equity, worst) })
}

/// The simulated venue, with the wallet the recorded run began with.
fn line(recorded: &Opening, settings: &Settings) -> Link {
    let venue = Venue::new(
        recorded.instruments.clone(),
        VenueConfig {
            wallet: recorded.wallet.unwrap_or(settings.sim_equity),
            leverage: settings.venue_leverage,
            funding: true,
        },
    );
    let micros = |us: i64| us.unsigned_abs() * 1_000;
    let config = LinkConfig {
        order_latency_ns: micros(settings.sim_order_latency_us),
        report_latency_ns: micros(settings.sim_report_latency_us),
        jitter_ns: micros(settings.sim_latency_jitter_us),
        seed: recorded.run_id,
    };
    Link::new(venue, config)
}

/// Who follows either run.
struct Seen {
    stats: Stats,
    measures: Measures,
    decisions: Decisions,
    now: TimeNs,
}

impl Seen {
    fn new(table: &InstrumentTable, settings: &Settings) -> Seen {
        Seen {
            stats: Stats::default(),
            measures: Measures::new(table.clone(), settings),
            decisions: Decisions::new(),
            now: TimeNs(0),
        }
    }
}

impl Watcher for Seen {
    fn follow(&mut self, sequence: u64, entry: &Entry) {
        self.stats.take(sequence, entry);
        self.measures.take(entry, &self.stats.book);
        match entry {
            Entry::Event(event) => self.now = event.recv_ns,
            Entry::Output { output, .. } => {
                if let OutputBody::Decision(decision) = &output.body {
                    self.decisions.insert((self.now, output.instrument), *decision);
                }
            }
        }
    }
}
