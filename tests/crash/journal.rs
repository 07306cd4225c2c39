//! The journal from outside: what a dead process left, and what a living one is writing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use quantum_trader::event::record::{Assembler, Entry, Record};
use quantum_trader::event::{EventBody, Feed, FeedState, OutputBody, Purpose};
use quantum_trader::journal::ring::{RingRead, RingReader};
use quantum_trader::journal::{JournalError, JournalReader};
use quantum_trader::num::{NS_PER_MS, OrderId, TimeNs};
use ring::digest::{Context, SHA256};

/// What a start begins with, before it decides anything.
const OPENING: [&str; 3] = ["RunStart", "Instrument", "ConfigText"];

/// Everything published so far: whatever the reader gives, ring and archive together.
#[derive(Default)]
pub struct Published {
    pub last: u64,
    digest: Vec<u8>,
    /// Some start came further than its opening, so that there is something to recover.
    pub has_state: bool,
    /// Records at which a reading ended because they were damaged.
    pub torn: u64,
}

impl Published {
    /// Reads what is there now, in which everything read before must still be, byte for byte. The number
    /// of records that are not.
    pub fn read_again(&mut self, dir: &Path) -> u64 {
        let (mut context, mut last, mut kept) = (Context::new(&SHA256), 0, self.last == 0);
        let mut reader = match JournalReader::open(dir) {
            Ok(reader) => reader,
            // Killed before there was a journal.
            Err(JournalError::NotAFolder { .. } | JournalError::NoJournal { .. }) => return self.last,
            Err(error) => panic!("{error}"),
        };
        loop {
            match reader.next_record() {
                Ok(Some((record, _))) => {
                    last = record.sequence;
                    self.has_state |= !OPENING.contains(&record.kind_name());
                    context.update(bytemuck::bytes_of::<Record>(&record));
                    if last == self.last {
                        kept = context.clone().finish().as_ref() == self.digest;
                    }
                }
                Ok(None) => break,
                Err(JournalError::Damaged(problem)) => {
                    eprintln!("torn: {problem}");
                    self.torn += 1;
                    break;
                }
                Err(error) => panic!("{error}"),
            }
        }
        // Which of them changed a digest does not say: all of them, then.
        let lost = if kept { 0 } else { self.last.saturating_sub(last).max(1) };
        (self.last, self.digest) = (last, context.finish().as_ref().to_vec());
        lost
    }
}

/// Follows the ring of a start while it is written.
pub struct Tail {
    path: PathBuf,
    /// What earlier starts left ends here.
    behind: u64,
    ring: Option<RingReader>,
    next: u64,
    assembler: Assembler,
}

impl Tail {
    pub fn new(dir: &Path, behind: u64) -> Tail {
        Tail { path: dir.join("ring"), behind, ring: None, next: 0, assembler: Assembler::default() }
    }

    /// What was written since the last look.
    pub fn look(&mut self) -> Vec<Entry> {
        let mut entries = Vec::new();
        // Until something was read the ring may be an earlier start's.
        if self.ring.as_ref().is_none_or(|ring| self.next == ring.first_sequence()) {
            let fresh = RingReader::open(&self.path).ok();
            self.ring = fresh.filter(|ring| ring.first_sequence() > self.behind);
            self.next = self.ring.as_ref().map_or(0, RingReader::first_sequence);
        }
        let Some(ring) = &self.ring else { return entries };
        while let RingRead::Record(record) = ring.read(self.next) {
            self.next += 1;
            entries.extend(self.assembler.push(&record).unwrap());
        }
        entries
    }
}

/// Whether an order of this purpose goes out.
pub fn sends(entry: &Entry, purpose: Purpose) -> bool {
    matches!(entry, Entry::Output { output, .. } if matches!(&output.body, OutputBody::Order(order) if order.purpose == purpose))
}

pub fn begins(entry: &Entry) -> bool {
    matches!(entry, Entry::Event(event) if matches!(event.body, EventBody::RunStart(_)))
}

/// Whether the venue's word is complete: the user stream is up, or caught up with.
pub fn ends_recovery(entry: &Entry) -> bool {
    let Entry::Event(event) = entry else { return false };
    matches!(&event.body, EventBody::FeedStatus(status)
        if status.feed == Feed::User && matches!(status.state, FeedState::Up | FeedState::Resynced))
}

/// What the whole chain of starts amounts to.
#[derive(Debug, Default)]
pub struct Tally {
    pub starts: u64,
    pub events: u64,
    pub orders: BTreeMap<OrderId, u64>,
    pub fills: u64,
    pub trades_closed: u64,
    pub alarms: BTreeMap<String, u64>,
    pub lowered: BTreeMap<String, u64>,
    /// Longest time without stops for all of a position, as the engine says it: while one start ran, and
    /// with the times between starts.
    pub bare_ms_running: i64,
    pub bare_ms: i64,
}

impl Tally {
    pub fn of(dir: &Path) -> Tally {
        let (mut tally, mut began) = (Tally::default(), TimeNs(i64::MIN));
        let mut reader = JournalReader::open(dir).unwrap();
        while let Some(numbered) = reader.next_entry().unwrap() {
            match numbered.entry {
                Entry::Event(event) => {
                    tally.events += 1;
                    match event.body {
                        EventBody::RunStart(_) => (tally.starts, began) = (tally.starts + 1, event.recv_ns),
                        EventBody::Fill(_) => tally.fills += 1,
                        _ => {}
                    }
                }
                Entry::Output { recv_ns, output, .. } => tally.take(recv_ns, began, &output.body),
            }
        }
        tally
    }

    fn take(&mut self, now: TimeNs, began: TimeNs, body: &OutputBody) {
        match body {
            OutputBody::Order(order) => *self.orders.entry(order.id).or_default() += 1,
            OutputBody::TradeClosed(_) => self.trades_closed += 1,
            OutputBody::Alarm(alarm) => *self.alarms.entry(alarm.kind.to_string()).or_default() += 1,
            OutputBody::TradingStateChanged(changed) => {
                let what = format!("{} ({})", changed.to, changed.cause);
                *self.lowered.entry(what).or_default() += 1;
            }
            OutputBody::Protected(protected) => {
                let bare_ms = protected.unprotected_ns / NS_PER_MS;
                self.bare_ms = self.bare_ms.max(bare_ms);
                if now.since(began) >= protected.unprotected_ns {
                    self.bare_ms_running = self.bare_ms_running.max(bare_ms);
                }
            }
            _ => {}
        }
    }

    pub fn orders_twice(&self) -> usize {
        self.orders.values().filter(|count| **count > 1).count()
    }
}
