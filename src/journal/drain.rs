//! The drain: follows the ring into the archive and frees its slots.
//!
//! It polls. The writer never signals it, because waking a sleeping thread costs the waker
//! microseconds; the price is `IDLE_POLL` of delay on a quiet journal.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde::Serialize;

use super::archive::ArchiveWriter;
use super::ring::{RingRead, RingReader, RingWriter, Watermarks};
use super::{JournalError, Problem};
use crate::event::record::Record;
use crate::num::NS_PER_MS;

/// Records written at once, 32 KiB: a write call costs as much as copying a few of them, and slots
/// are freed a batch at a time, so it stays a small part of any ring.
const BATCH_RECORDS: usize = 256;
/// Longest a written record waits for the disk.
const SYNC_INTERVAL_NS: u64 = 50 * NS_PER_MS as u64;
/// Sleep when there is nothing to do. At a million records a second it costs 250 slots.
const IDLE_POLL: Duration = Duration::from_micros(250);
/// Value of `last_wanted` while the drain runs on.
const NO_END: u64 = u64::MAX;
const PANICKED: &str = "the drain thread panicked";

/// What the drain did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DrainReport {
    /// Records in the archive.
    pub records: u64,
    /// Bytes of the archive, headers included; 0 if the thread did not live to say.
    pub bytes: u64,
    /// Last sequence number that survives a power loss.
    pub durable_sequence: u64,
    /// Why the drain stopped early, in words.
    pub error: Option<String>,
}

/// A running drain.
#[derive(Debug)]
pub struct Drain {
    thread: Option<JoinHandle<DrainReport>>,
    shared: Arc<Shared>,
    watermarks: Watermarks,
}

#[derive(Debug)]
struct Shared {
    /// The drain ends when it has this sequence number.
    last_wanted: AtomicU64,
    error: OnceLock<String>,
}

impl Drain {
    /// Starts the drain of a ring, whose first record goes on where the archive ends. `observer` sees every record once, in
    /// order; `now_ns` is a monotonic clock in nanoseconds.
    pub fn spawn(
        ring: &RingWriter,
        archive: ArchiveWriter,
        now_ns: impl FnMut() -> u64 + Send + 'static,
        observer: impl FnMut(&Record) + Send + 'static,
    ) -> Result<Drain, JournalError> {
        let shared = Arc::new(Shared { last_wanted: AtomicU64::new(NO_END), error: OnceLock::new() });
        let (watermarks, reader) = (ring.watermarks(), ring.reader());
        let next = archive.last_sequence() + 1;
        if reader.first_sequence() != next {
            let found = reader.first_sequence().to_string();
            let (file, expected) = (ring.path().to_path_buf(), format!("first sequence {next}"));
            return Err(Problem { file, offset: 48, sequence: 0, expected, found }.into());
        }
        let worker = Worker {
            reader,
            watermarks: watermarks.clone(),
            archive,
            shared: Arc::clone(&shared),
            batch: Vec::with_capacity(BATCH_RECORDS),
            next,
            synced_ns: 0,
            now_ns,
            observer,
        };
        let thread = thread::Builder::new()
            .name("qtx-drain".to_string())
            .spawn(move || worker.run())
            .map_err(JournalError::io(ring.path(), "start the drain thread"))?;
        Ok(Drain { thread: Some(thread), shared, watermarks })
    }

    /// Last sequence number written to the archive.
    pub fn drained(&self) -> u64 {
        self.watermarks.drained()
    }

    /// Last sequence number that survives a power loss.
    pub fn durable(&self) -> u64 {
        self.watermarks.durable()
    }

    /// Why the drain stopped, if it did: from then on the ring fills, nothing in it is lost, and the
    /// writer learns that it is full.
    pub fn error(&self) -> Option<&str> {
        self.shared.error.get().map(String::as_str)
    }

    /// Drains up to `last_sequence`, which must have been appended, syncs, and ends the thread.
    pub fn stop(mut self, last_sequence: u64) -> DrainReport {
        self.end(last_sequence)
    }

    fn end(&mut self, last_sequence: u64) -> DrainReport {
        self.shared.last_wanted.store(last_sequence, Ordering::Release);
        let Some(thread) = self.thread.take() else { return DrainReport::default() };
        thread.thread().unpark();
        thread.join().unwrap_or_else(|_| DrainReport {
            durable_sequence: self.watermarks.durable(),
            records: self.watermarks.drained(),
            bytes: 0,
            error: Some(PANICKED.to_string()),
        })
    }
}

/// A drain that is dropped ends after the batch in hand; the ring keeps the rest.
impl Drop for Drain {
    fn drop(&mut self) {
        self.end(0);
    }
}

struct Worker<C, O> {
    reader: RingReader,
    watermarks: Watermarks,
    archive: ArchiveWriter,
    shared: Arc<Shared>,
    batch: Vec<Record>,
    next: u64,
    synced_ns: u64,
    now_ns: C,
    observer: O,
}

impl<C: FnMut() -> u64, O: FnMut(&Record)> Worker<C, O> {
    fn run(mut self) -> DrainReport {
        let result = match self.follow() {
            // The archive's own failure: a second sync could succeed without the pages of the first,
            // so the durable watermark stays where it is.
            Err(error) if !matches!(error, JournalError::Damaged(_)) => Err(error),
            followed => self.sync().and(followed),
        };
        if let Err(error) = result {
            // Set once: this thread ends here.
            let _ = self.shared.error.set(error.to_string());
        }
        DrainReport {
            records: self.watermarks.drained(),
            bytes: self.archive.bytes(),
            durable_sequence: self.watermarks.durable(),
            error: self.shared.error.get().cloned(),
        }
    }

    fn follow(&mut self) -> Result<(), JournalError> {
        self.synced_ns = (self.now_ns)();
        loop {
            // Before reading: whatever the stopping thread appended is then visible below.
            let last_wanted = self.shared.last_wanted.load(Ordering::Acquire);
            if self.next > last_wanted {
                return Ok(());
            }
            let taken = self.take_batch();
            let idle = self.batch.is_empty();
            self.write_batch()?;
            taken?;
            if (self.now_ns)().saturating_sub(self.synced_ns) >= SYNC_INTERVAL_NS {
                self.sync()?;
            }
            if idle && last_wanted != NO_END {
                return Err(self.problem("the last record, before the stop", "none"));
            }
            if idle {
                thread::park_timeout(IDLE_POLL);
            }
        }
    }

    fn take_batch(&mut self) -> Result<(), JournalError> {
        self.batch.clear();
        while self.batch.len() < BATCH_RECORDS {
            match self.reader.read(self.next) {
                RingRead::Record(record) => {
                    (self.observer)(&record);
                    self.batch.push(record);
                    self.next += 1;
                }
                RingRead::NotYet => break,
                RingRead::Torn => return Err(self.problem("an intact record", "damaged bytes")),
                RingRead::Lapped => return Err(self.problem("an undrained record", "a later one")),
            }
        }
        Ok(())
    }

    /// The slots are free only when the file has their records.
    fn write_batch(&mut self) -> Result<(), JournalError> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let appended = self.archive.append(&self.batch);
        self.watermarks.set_drained(self.archive.last_sequence());
        appended
    }

    fn sync(&mut self) -> Result<(), JournalError> {
        let last = self.archive.last_sequence();
        if last > self.watermarks.durable() {
            self.archive.sync()?;
            self.watermarks.set_durable(last);
        }
        self.synced_ns = (self.now_ns)();
        Ok(())
    }

    #[cold]
    fn problem(&self, expected: &str, found: &str) -> JournalError {
        JournalError::from(Problem {
            file: self.reader.path().to_path_buf(),
            offset: self.reader.offset_of(self.next),
            sequence: self.next,
            expected: expected.to_string(),
            found: found.to_string(),
        })
    }
}

/// A drain that dies of a bug, ours or the observer's, must not look like one that is merely slow.
impl<C, O> Drop for Worker<C, O> {
    fn drop(&mut self) {
        if thread::panicking() {
            let _ = self.shared.error.set(PANICKED.to_string());
        }
    }
}

impl fmt::Display for DrainReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} records, {} bytes, durable to {}", self.records, self.bytes, self.durable_sequence)?;
        match &self.error {
            Some(error) => write!(f, "; {error}"),
            None => Ok(()),
        }
    }
}
