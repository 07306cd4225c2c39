//! Checks a journal from end to end and says what is wrong first.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::Serialize;

use super::archive::Place;
use super::folder::{RingState, is_live};
use super::read::{JournalReader, Numbered};
use super::ring::{RingRead, RingReader};
use super::{Identity, JournalError, Problem};
use crate::event::record::{COMMIT, Entry, Record};
use crate::event::{EndReason, EventBody};
use crate::num::TimeNs;

/// What [`verify`] found. Counts are of what comes before the first problem.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    pub records: u64,
    /// Sequence number of the first record there is: older segments may have been removed.
    pub first_sequence: u64,
    /// Starts of an engine it is made of.
    pub starts: u64,
    /// Records only the ring has.
    pub records_ring_only: u64,
    pub events: u64,
    pub outputs: u64,
    /// Entries of each kind.
    pub kinds: BTreeMap<&'static str, u64>,
    /// Records both archive and ring hold, found equal.
    pub records_compared: u64,
    /// Last sequence number of a group that was written whole.
    pub committed_sequence: u64,
    /// Entries received "before" the entry in front of them: no fault of the journal, but of a clock.
    pub time_reversals: u64,
    /// Why the last start ended; `None` if the journal was cut, or is still being written.
    pub ended: Option<String>,
    /// A process is writing it; the ring's slots were then not checked one by one.
    pub live: bool,
    /// The ring was kept in memory that is gone.
    pub ring_lost: bool,
    pub problem: Option<Problem>,
}

impl Report {
    fn last_sequence(&self) -> u64 {
        self.first_sequence + self.records - 1
    }

    pub fn is_ok(&self) -> bool {
        self.problem.is_none()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "records        {} ({} only in the ring)", self.records, self.records_ring_only)?;
        if self.first_sequence > 1 {
            writeln!(f, "removed        segments up to record {}", self.first_sequence - 1)?;
        }
        writeln!(f, "starts         {}", self.starts)?;
        writeln!(f, "events         {}", self.events)?;
        writeln!(f, "outputs        {}", self.outputs)?;
        for (kind, count) in &self.kinds {
            writeln!(f, "  {kind:<20} {count}")?;
        }
        writeln!(f, "committed to   {}", self.committed_sequence)?;
        writeln!(f, "time reversals {}", self.time_reversals)?;
        match (&self.ended, self.live) {
            (Some(reason), _) => writeln!(f, "ended          {reason}")?,
            (None, true) => writeln!(f, "ended          no: it is being written")?,
            (None, false) => writeln!(f, "ended          no: it was cut")?,
        }
        if self.ring_lost {
            writeln!(f, "ring           lost with the memory it was kept in")?;
        }
        match &self.problem {
            None => write!(f, "no problem found"),
            Some(problem) => write!(f, "PROBLEM {problem}"),
        }
    }
}

/// Checks headers, checksums, sequence, parts, commits, the first and last entries, and that ring
/// and archive agree where both have a record. Errors are for what is not a journal at all; damage
/// is [`Report::problem`].
pub fn verify(dir: &Path) -> Result<Report, JournalError> {
    let mut reader = JournalReader::open(dir)?;
    let mut report = Report { live: is_live(dir), ..Report::default() };
    report.ring_lost = matches!(reader.ring(), RingState::Lost(_));
    let result = walk(&mut reader, &mut report).and_then(|()| match reader.ring() {
        RingState::Open(ring, identity) if !report.live && reader.start() == Some(*identity) => {
            check_ring(ring, &report)
        }
        _ => Ok(()),
    });
    match result {
        Ok(()) => Ok(report),
        Err(JournalError::Damaged(problem)) => Ok(Report { problem: Some(*problem), ..report }),
        Err(error) => Err(error),
    }
}

fn walk(reader: &mut JournalReader, report: &mut Report) -> Result<(), JournalError> {
    let mut grammar = Grammar::default();
    report.first_sequence = reader.next_sequence();
    while let Some((record, place)) = reader.next_record()? {
        let numbered = reader.assemble(&record, place)?;
        if report.records == 0 && report.first_sequence > 1 {
            grammar.go_on(reader, report);
        }
        let checked = grammar.record(&record).and_then(|()| match &numbered {
            Some(numbered) => grammar.entry(numbered, reader.start(), report),
            None => Ok(()),
        });
        if let Err((expected, found)) = checked {
            let (file, offset) = reader.locate(place);
            return Err(Problem { file, offset, sequence: record.sequence, expected, found }.into());
        }
        compare_with_ring(reader, &record, place, report)?;
        report.records += 1;
    }
    if grammar.ended && !matches!(grammar.group, Group::Outputs(_)) {
        report.committed_sequence = report.last_sequence();
    }
    if report.records == 0 && !report.live {
        let (file, offset) = reader.locate(Place::Segment(1, 128));
        let (expected, found) = ("RunStart".to_string(), "no record at all".to_string());
        return Err(Problem { file, offset, sequence: 1, expected, found }.into());
    }
    Ok(())
}

/// Expected and found.
type Wrong = (String, String);

/// What the order of entries must be: starts one after the other, each of which is RunStart, then events,
/// each followed by its outputs, the last of which commits, and RunEnd if it ended in order.
#[derive(Default)]
struct Grammar {
    group: Group,
    /// Whose entries these are, by the headers.
    start: Option<Identity>,
    /// First part of the entry being read.
    head: Option<Record>,
    last_recv_ns: Option<TimeNs>,
    ended: bool,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Group {
    /// Before the first event.
    #[default]
    None,
    /// An event without outputs so far.
    Event(TimeNs),
    /// Outputs without a commit so far.
    Outputs(TimeNs),
    Committed,
}

impl Grammar {
    /// The journal's first segments were removed, and this one begins inside a start.
    fn go_on(&mut self, reader: &JournalReader, report: &mut Report) {
        if !reader.preamble().is_empty() {
            (self.group, self.start, report.starts) = (Group::Committed, reader.start(), 1);
        }
    }

    /// Parts of one entry agree; only the last of an output may commit.
    fn record(&mut self, record: &Record) -> Result<(), Wrong> {
        if record.part == 0 {
            self.head = Some(*record);
        }
        if let Some(head) = &self.head
            && (head.recv_ns, head.instrument) != (record.recv_ns, record.instrument)
        {
            let name = |r: &Record| format!("recv_ns {} and instrument {}", r.recv_ns, r.instrument);
            return Err((format!("{} as in the first part", name(head)), name(record)));
        }
        let last_part = record.part.checked_add(1) == Some(record.parts);
        let allowed = if record.is_output() && last_part { COMMIT } else { 0 };
        if record.flags & !allowed != 0 {
            return Err((format!("flags within {allowed:#04x}"), format!("{:#04x}", record.flags)));
        }
        Ok(())
    }

    fn entry(
        &mut self,
        numbered: &Numbered,
        run: Option<Identity>,
        report: &mut Report,
    ) -> Result<(), Wrong> {
        let (recv_ns, name) = match &numbered.entry {
            Entry::Event(event) => {
                self.event(&event.body, event.recv_ns, run, report)?;
                report.events += 1;
                report.committed_sequence = numbered.first_sequence - 1;
                (event.recv_ns, event.body.name())
            }
            Entry::Output { output, .. } if self.start != run => {
                return Err(("RunStart first".to_string(), format!("the output {}", output.body.name())));
            }
            Entry::Output { recv_ns, output, commit } => {
                self.output(*recv_ns, *commit, output.body.name())?;
                report.outputs += 1;
                if *commit {
                    report.committed_sequence = numbered.last_sequence;
                }
                (*recv_ns, output.body.name())
            }
        };
        report.time_reversals += u64::from(self.last_recv_ns.is_some_and(|last| recv_ns < last));
        self.last_recv_ns = Some(recv_ns);
        *report.kinds.entry(name).or_default() += 1;
        Ok(())
    }

    fn event(
        &mut self,
        body: &EventBody,
        recv_ns: TimeNs,
        run: Option<Identity>,
        report: &mut Report,
    ) -> Result<(), Wrong> {
        let found = || format!("the event {}", body.name());
        if matches!(self.group, Group::Outputs(_)) {
            return Err(("an output that commits the group before".to_string(), found()));
        }
        let begins = report.starts == 0 || self.start != run;
        self.start = run;
        match body {
            EventBody::RunStart(start) if begins => {
                compare_identity(run, (start.run_id, start.build_id, start.epoch))?;
                report.starts += 1;
                (self.ended, report.ended) = (false, None);
            }
            _ if begins => return Err(("RunStart first".to_string(), found())),
            _ if self.ended => return Err(("nothing after RunEnd and its outputs".to_string(), found())),
            EventBody::RunStart(_) => {
                return Err(("one RunStart".to_string(), "another".to_string()));
            }
            EventBody::RunEnd(end) => {
                self.ended = true;
                report.ended = Some(reason(end.reason).to_string());
            }
            _ => {}
        }
        self.group = Group::Event(recv_ns);
        Ok(())
    }

    fn output(&mut self, recv_ns: TimeNs, commit: bool, name: &str) -> Result<(), Wrong> {
        let found = || format!("the output {name}");
        let caused_at = match self.group {
            Group::Event(at) | Group::Outputs(at) => at,
            Group::None => return Err(("RunStart first".to_string(), found())),
            Group::Committed => return Err(("an event, since the group was committed".to_string(), found())),
        };
        if recv_ns != caused_at {
            return Err((format!("its event's recv_ns {}", caused_at.0), recv_ns.0.to_string()));
        }
        self.group = if commit { Group::Committed } else { Group::Outputs(caused_at) };
        Ok(())
    }
}

/// RunStart is of the run that the header names.
fn compare_identity(run: Option<Identity>, started: (u64, u64, u32)) -> Result<(), Wrong> {
    let text = |(run, build, epoch)| format!("run {run}, build {build}, epoch {epoch}");
    match run.map(|run| (run.run_id, run.build_id, run.epoch)) {
        Some(header) if header != started => Err((format!("the header's {}", text(header)), text(started))),
        _ => Ok(()),
    }
}

const fn reason(reason: EndReason) -> &'static str {
    match reason {
        EndReason::MarketEnd => "market_end",
        EndReason::Duration => "duration",
        EndReason::Signal => "signal",
        EndReason::MarketFault => "market_fault",
    }
}

/// The same sequence number is the same bytes in both places.
fn compare_with_ring(
    reader: &JournalReader,
    record: &Record,
    place: Place,
    report: &mut Report,
) -> Result<(), JournalError> {
    if matches!(place, Place::Ring(_)) {
        report.records_ring_only += 1;
        return Ok(());
    }
    let RingState::Open(ring, identity) = reader.ring() else { return Ok(()) };
    if reader.start() != Some(*identity) {
        return Ok(());
    }
    let found = match ring.read(record.sequence) {
        RingRead::Record(held) if held == *record => {
            report.records_compared += 1;
            return Ok(());
        }
        RingRead::Lapped => return Ok(()),
        RingRead::Record(_) => "other bytes",
        RingRead::NotYet => "nothing published there",
        RingRead::Torn => "damaged bytes",
    };
    Err(Problem {
        file: ring.path().to_path_buf(),
        offset: ring.offset_of(record.sequence),
        sequence: record.sequence,
        expected: "the record the archive has".to_string(),
        found: found.to_string(),
    }
    .into())
}

/// Every slot of a ring nobody writes holds the last record that belongs there. Only the slot after
/// the newest may be empty out of turn: the process died writing it.
fn check_ring(ring: &RingReader, report: &Report) -> Result<(), JournalError> {
    let problem = |offset: u64, sequence: u64, expected: String, found: String| {
        let file = ring.path().to_path_buf();
        Err(JournalError::from(Problem { file, offset, sequence, expected, found }))
    };
    let newest = report.last_sequence();
    let first = ring.first_sequence();
    for sequence in newest.saturating_sub(ring.slots() - 1).max(first)..=newest {
        let dying = newest - sequence + 1 == ring.slots();
        match ring.read(sequence) {
            RingRead::Record(_) => {}
            _ if dying && ring.slot_sequence(sequence & (ring.slots() - 1)) == 0 => {}
            _ => {
                let expected = "an intact record".to_string();
                return problem(ring.offset_of(sequence), sequence, expected, "damaged bytes".to_string());
            }
        }
    }
    for slot in newest + 1..first.saturating_add(ring.slots()) {
        let found = ring.slot_sequence(slot & (ring.slots() - 1));
        if found != 0 {
            let expected = "a slot never written".to_string();
            return problem(ring.offset_of(slot), slot, expected, format!("sequence {found}"));
        }
    }
    let (drained, durable, archived) = (ring.drained(), ring.durable(), newest - report.records_ring_only);
    if drained > archived || durable > drained {
        let expected = format!("watermarks durable <= drained <= {archived}, what the archive has");
        return problem(128, 0, expected, format!("durable {durable}, drained {drained}"));
    }
    Ok(())
}
