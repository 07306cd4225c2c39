//! What a start goes on with: the newest valid snapshot and the journal behind it.
//!
//! The engine that comes out has seen everything that was journaled. A group that was cut is made whole:
//! its event was published, so what it causes is known; and since nothing takes effect before its commit,
//! it is known too that none of its orders was sent.

use std::io;
use std::path::Path;

use super::snapshots::{newest, remove_beyond};
use super::{Divergence, Follower};
use crate::engine::Engine;
use crate::event::record::encode_output;
use crate::event::{Event, EventBody, InstrumentTable, Order, OrderStatus, OrderUpdate, Output, OutputBody};
use crate::journal::archive::ArchiveOptions;
use crate::journal::archive::From;
use crate::journal::{Folder, JournalError, JournalReader, Resumed};
use crate::num::{InstrumentId, Lots, TimeNs};

/// Why a journal can't be gone on with.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("{what}: {error}")]
    Io { what: &'static str, error: io::Error },
    #[error(
        "the journal was written by an engine that decides otherwise, so its state can't be made again; \
         close what is open at the venue, then begin a new journal.\n{0}"
    )]
    Diverges(Box<Divergence>),
    /// The oldest segments were removed, and of the snapshots none that can be read is young enough.
    #[error(
        "the journal no longer holds records {from} to {to}, and no snapshot that can be read stands for them, so \
         its state can't be made again; close what is open at the venue, then begin a new journal"
    )]
    Missing { from: u64, to: u64 },
    /// Every start ended in its opening, before anything was decided: the next one opens anew, behind them.
    #[error("the journal ends before its settings: it holds no state to go on with")]
    NoState(Box<Resumed>),
    #[error("{0}")]
    Instruments(String),
}

/// A journal read to its end, held by this process.
#[derive(Debug)]
pub struct Recovery {
    pub resumed: Resumed,
    pub engine: Engine,
    /// Orders decided at the last event, which never left the process.
    never_sent: Vec<(InstrumentId, Order)>,
    /// What was found and done.
    pub recovered: Recovered,
}

/// What was found and done, for the operator.
#[derive(Clone, Debug, Default)]
pub struct Recovered {
    /// Of the snapshot gone on from; 0 for none.
    pub snapshot: u64,
    /// Records applied behind it.
    pub replayed: u64,
    /// Outputs the last group lacked.
    pub completed: usize,
    /// Snapshots passed over, and what else should be known.
    pub notes: Vec<String>,
}

impl Recovery {
    /// Takes the journal in `dir`, archives what only its ring has, and makes its engine again. Killed
    /// anywhere, the next one finds the same.
    ///
    /// # Errors
    /// See [`RecoveryError`]; nothing was taken from the journal.
    pub fn open(dir: &Path) -> Result<Recovery, RecoveryError> {
        Recovery::open_with(dir, ArchiveOptions::default())
    }

    /// As [`Recovery::open`], with an archive that is written on as `options` say.
    ///
    /// # Errors
    /// The same.
    pub fn open_with(dir: &Path, options: ArchiveOptions) -> Result<Recovery, RecoveryError> {
        let mut resumed = Folder::resume_with(dir, options)?;
        resumed.retire_ring()?;
        let dir = resumed.folder.path().to_path_buf();
        let mut recovered = Recovered::default();
        recovered.notes.extend(resumed.recovered.torn.as_ref().map(|torn| format!("not whole: {torn}")));
        let snapshot = newest(&dir, resumed.last_sequence, &mut recovered.notes);
        let snapshot = snapshot.map_err(|error| RecoveryError::Io { what: "reading snapshots", error })?;
        let follower = follow(&dir, snapshot, resumed.last_sequence, &mut recovered)?;
        let never_sent = complete(&mut resumed, &follower, &mut recovered)?;
        remove_beyond(&dir, resumed.last_sequence)
            .map_err(|error| RecoveryError::Io { what: "removing old snapshots", error })?;
        let Some(engine) = follower.into_engine() else {
            return Err(RecoveryError::NoState(Box::new(resumed)));
        };
        Ok(Recovery { resumed, engine, never_sent, recovered })
    }

    /// Whether this start's instruments are those of the journal: the same symbols in the same order, on
    /// the same scales. Limits and fees may differ, and come into force where nothing is held.
    ///
    /// # Errors
    /// The first that differs.
    pub fn check_instruments(&self, table: &InstrumentTable) -> Result<(), RecoveryError> {
        let was: Vec<&str> = self.engine.instruments().map(|row| row.symbol.as_str()).collect();
        let is: Vec<&str> = table.iter().map(|(_, row)| row.symbol.as_str()).collect();
        if was != is {
            return Err(RecoveryError::Instruments(format!(
                "the journal in {} trades {}, and {} was asked for: a journal keeps its symbols, in their \
                 order; others need a journal of their own",
                self.resumed.folder.path().display(),
                was.join(","),
                is.join(",")
            )));
        }
        for (row, (_, now)) in self.engine.instruments().zip(table.iter()) {
            let scale = |row: &crate::event::Instrument| (row.tick, row.step, row.size_step, row.size_unit);
            if scale(row) != scale(now) {
                return Err(RecoveryError::Instruments(format!(
                    "{}: the venue now has tick {} and step {}, the journal has {} and {}: close what is open \
                     there, then begin a new journal",
                    row.symbol, now.tick, now.step, row.tick, row.step
                )));
            }
        }
        Ok(())
    }

    /// What the next start tells the engine before all else: these orders were never sent.
    pub fn never_sent(&self, at: TimeNs) -> impl Iterator<Item = Event> {
        never_sent(&self.never_sent, at)
    }
}

/// The events that tell of orders which provably never left the process.
pub fn never_sent(orders: &[(InstrumentId, Order)], at: TimeNs) -> impl Iterator<Item = Event> {
    orders.iter().map(move |(instrument, order)| {
        let update = OrderUpdate {
            order: order.id,
            venue_id: 0,
            filled: Lots::ZERO,
            event_ms: 0,
            code: OrderUpdate::NEVER_SENT,
            status: OrderStatus::Rejected,
            pad: [0; 3],
        };
        Event { recv_ns: at, instrument: *instrument, body: EventBody::OrderUpdate(update) }
    })
}

fn follow(
    dir: &Path,
    snapshot: Option<(Engine, u64)>,
    last: u64,
    recovered: &mut Recovered,
) -> Result<Follower, RecoveryError> {
    let behind = snapshot.as_ref().map_or(0, |(_, sequence)| *sequence);
    let mut follower = snapshot.map_or_else(Follower::new, |(engine, _)| Follower::resume(engine));
    recovered.snapshot = behind;
    if behind == last {
        return Ok(follower);
    }
    let mut reader = match behind {
        0 => JournalReader::open(dir)?,
        _ => JournalReader::open_at(dir, From::Sequence(behind + 1))?,
    };
    let mut next = behind + 1;
    while let Some(numbered) = reader.next_entry()? {
        // The reader begins with the first record there is.
        if numbered.first_sequence > next {
            return Err(RecoveryError::Missing { from: next, to: numbered.first_sequence - 1 });
        }
        next = numbered.last_sequence + 1;
        follower.take(numbered.first_sequence, &numbered.entry).map_err(RecoveryError::Diverges)?;
        recovered.replayed += numbered.last_sequence - numbered.first_sequence + 1;
    }
    // What a removed segment held, with nothing behind it that could be read.
    if next <= last {
        return Err(RecoveryError::Missing { from: next, to: last });
    }
    Ok(follower)
}

/// Makes the last group whole; the orders that are then known never to have been sent.
fn complete(
    resumed: &mut Resumed,
    follower: &Follower,
    recovered: &mut Recovered,
) -> Result<Vec<(InstrumentId, Order)>, RecoveryError> {
    let Some(cut) = follower.cut() else { return Ok(Vec::new()) };
    let mut records = Vec::new();
    let mut next = resumed.last_sequence + 1;
    for (index, output) in cut.missing.iter().enumerate() {
        let commit = index + 1 == cut.missing.len();
        next += encode_output(output, cut.recv_ns, commit, next, |record| records.push(*record));
    }
    resumed.archive.append(&records)?;
    resumed.archive.sync()?;
    resumed.last_sequence = next - 1;
    recovered.completed = cut.missing.len();
    let order = |output: &Output| match output.body {
        OutputBody::Order(order) => Some((output.instrument, order)),
        _ => None,
    };
    Ok(cut.caused.iter().filter_map(order).collect())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::event::record::{Entry, encode_event};
    use crate::event::{ConfigText, RunStart, Timer, btcusdt};
    use crate::journal::archive::{ArchiveWriter, packed_name};
    use crate::journal::{Identity, verify};
    use crate::replay::verify as replay;
    use crate::risk::config::Settings;

    fn identity(epoch: u32) -> Identity {
        Identity { run_id: epoch.into(), build_id: 1, epoch, ..Identity::default() }
    }

    fn opening(epoch: u32) -> Vec<Event> {
        let start = RunStart {
            run_id: epoch.into(),
            build_id: 1,
            epoch,
            instruments: 1,
            resting_stops: true,
            simulated: true,
            rule_voters: true,
            pad: [0; 5],
        };
        let at = TimeNs(i64::from(epoch));
        let row = Event { recv_ns: at, instrument: InstrumentId(0), body: EventBody::Instrument(btcusdt()) };
        let text = Settings::default().to_toml();
        let settings = ConfigText::split(&text).map(|piece| Event::global(at, EventBody::ConfigText(piece)));
        [Event::global(at, EventBody::RunStart(start)), row].into_iter().chain(settings).collect()
    }

    fn write(archive: &mut ArchiveWriter, mut next: u64, events: &[Event]) {
        let mut records = Vec::new();
        for event in events {
            next += encode_event(event, next, |record| records.push(*record));
        }
        archive.append(&records).unwrap();
    }

    /// Its oldest segment was removed, and the snapshot that stood for it is damaged: an older one is no
    /// beginning, nor is the second start's opening.
    #[test]
    fn what_is_missing_before_the_first_record_is_not_passed_over() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("journal");
        let folder = Folder::create(&dir).unwrap();
        let mut archive = folder.create_archive(&identity(1)).unwrap();
        let (first, second) = (opening(1), opening(2));
        write(&mut archive, 1, &first);
        let older = archive.last_sequence();
        write(&mut archive, older + 1, &[Event::global(TimeNs(5), EventBody::Timer(Timer { count: 1 }))]);
        let end = archive.last_sequence();
        archive.begin(&identity(2)).unwrap();
        write(&mut archive, end + 1, &second);
        drop((archive, folder));
        let mut engine = Follower::new();
        for (index, event) in first.iter().enumerate() {
            engine.take(index as u64 + 1, &Entry::Event(*event)).unwrap();
        }
        fs::remove_file(dir.join(packed_name(1))).unwrap();
        let missing = |from| {
            let found = Recovery::open(&dir).unwrap_err();
            assert!(
                matches!(found, RecoveryError::Missing { from: f, to } if (f, to) == (from, end)),
                "{found}"
            );
        };
        missing(1);
        let snapshot = engine.engine().unwrap().snapshot(older);
        fs::write(dir.join(format!("snapshot-{older:020}.qts")), snapshot).unwrap();
        missing(older + 1);
    }

    #[test]
    fn starts_that_ended_in_their_openings_are_gone_on_behind() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("journal");
        let folder = Folder::create(&dir).unwrap();
        write(&mut folder.create_archive(&identity(1)).unwrap(), 1, &opening(1)[..3]);
        drop(folder);
        for (epoch, events) in [(2, opening(2)[..0].to_vec()), (3, opening(3)[..1].to_vec()), (4, opening(4))]
        {
            let error = Recovery::open(&dir).unwrap_err();
            let RecoveryError::NoState(mut begun) = error else { panic!("{error}") };
            begun.archive.begin(&identity(epoch)).unwrap();
            write(&mut begun.archive, begun.last_sequence + 1, &events);
        }
        let recovery = Recovery::open(&dir).unwrap();
        assert_eq!((recovery.engine.epoch(), recovery.recovered.snapshot), (4, 0));
        assert!(verify(&dir).unwrap().problem.is_none(), "{:?}", verify(&dir));
        let replayed = replay::verify(&dir, replay::Range::default(), |_| {}).unwrap();
        assert!(replayed.is_same() && replayed.last_sequence == recovery.resumed.last_sequence);
    }
}
