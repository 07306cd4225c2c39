//! The drain: follows the ring into the archive and frees its slots.
//!
//! It polls. The writer never signals it, because waking a sleeping thread costs the waker
//! microseconds; the price is `IDLE_POLL` of delay on a quiet journal.
//!
//! A slot is freed once its record is durable, so a disk that fails costs nothing but room: the drain
//! goes back to what is durable and tries again until the disk works. Only damage in the ring ends it.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde::Serialize;

use super::archive::ArchiveWriter;
use super::ring::{RingRead, RingReader, RingWriter, Watermarks};
use super::{JournalError, Problem};
use crate::event::record::Record;

/// Records written at once, 32 KiB: a write call costs as much as copying a few of them.
const BATCH_RECORDS: usize = 256;
/// Sleep when there is nothing to do. At a million records a second it costs 250 slots.
const IDLE_POLL: Duration = Duration::from_micros(250);
/// Share of the ring that may wait for the disk; the rest is the writer's meanwhile.
const UNSYNCED_SHARE: u64 = 4;
/// A disk that fails is asked again after a wait that doubles up to this multiple of the first.
const RETRY_FACTOR_MAX: u32 = 20;
/// While the disk fails, what is published is shown this often.
const OBSERVE_EVERY: Duration = Duration::from_millis(10);
/// Value of `last_wanted` while the drain runs on.
const NO_END: u64 = u64::MAX;
const PANICKED: &str = "the drain thread panicked";

/// How a drain treats its disk.
#[derive(Clone, Copy, Debug)]
pub struct DrainOptions {
    /// Longest a written record waits for the disk.
    pub sync_every: Duration,
    /// First wait after the disk failed.
    pub retry_after: Duration,
    /// How long a stop waits for a disk that fails before it leaves the rest in the ring.
    pub patience: Duration,
}

impl Default for DrainOptions {
    fn default() -> DrainOptions {
        DrainOptions {
            sync_every: Duration::from_millis(50),
            retry_after: Duration::from_millis(50),
            patience: Duration::from_secs(5),
        }
    }
}

/// How a drain stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum DrainStatus {
    #[default]
    Ok,
    /// The disk refuses since `since_ns` of the drain's clock; the ring keeps what waits.
    /// `error_number` is the system's, 0 where it has none.
    Failing { since_ns: u64, error: String, error_number: i32, attempts: u32 },
    /// It ended for good: the ring is damaged, or the disk did not come back for the stop.
    Ended { error: String },
    /// The observer panicked and sees no more. Told once, by the callback alone: records are archived as
    /// before.
    ObserverFailed { error: String },
}

/// What the drain did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DrainReport {
    /// Last sequence number in the archive.
    pub records: u64,
    /// Bytes of the archive, headers included; 0 if the thread did not live to say.
    pub bytes: u64,
    /// Last sequence number that survives a power loss.
    pub durable_sequence: u64,
    /// Why the drain stopped early, in words.
    pub error: Option<String>,
    /// Why the observer has not seen everything.
    pub observer_failed: Option<String>,
    /// Why a closed segment was not compressed, or an old one not removed, at the last attempt.
    pub keeping_failed: Option<String>,
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
    status: Mutex<DrainStatus>,
}

impl Shared {
    /// A panic elsewhere does not make it unreadable.
    fn status(&self) -> DrainStatus {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_status(&self, status: DrainStatus) {
        *self.status.lock().unwrap_or_else(PoisonError::into_inner) = status;
    }

    /// Once: the thread ends with it.
    fn end(&self, error: String) {
        self.set_status(DrainStatus::Ended { error: error.clone() });
        let _ = self.error.set(error);
    }
}

impl Drain {
    /// Starts the drain of a ring, whose first record goes on where the archive ends.
    ///
    /// `now_ns` is a monotonic clock in nanoseconds. In the drain's thread `observer` sees every record
    /// once, in order, after it was written, or as soon as it is published while the disk fails; `on_status` hears each change: failing, working again, ended,
    /// and an observer that panicked.
    pub fn spawn(
        ring: &RingWriter,
        archive: ArchiveWriter,
        options: DrainOptions,
        now_ns: impl FnMut() -> u64 + Send + 'static,
        observer: impl FnMut(&Record) + Send + 'static,
        on_status: impl FnMut(DrainStatus) + Send + 'static,
    ) -> Result<Drain, JournalError> {
        let shared = Arc::new(Shared {
            last_wanted: AtomicU64::new(NO_END),
            error: OnceLock::new(),
            status: Mutex::default(),
        });
        let (watermarks, reader) = (ring.watermarks(), ring.reader());
        let last = archive.last_sequence();
        if reader.first_sequence() != last + 1 {
            let found = reader.first_sequence().to_string();
            let (file, expected) = (ring.path().to_path_buf(), format!("first sequence {}", last + 1));
            return Err(Problem { file, offset: 48, sequence: 0, expected, found }.into());
        }
        let worker = Worker {
            unsynced_max: (reader.slots() / UNSYNCED_SHARE).max(1),
            reader,
            watermarks: watermarks.clone(),
            archive,
            shared: Arc::clone(&shared),
            options,
            batch: Vec::with_capacity(BATCH_RECORDS),
            observed: last,
            synced_ns: 0,
            failing: None,
            failed_at: 0,
            waited: Duration::ZERO,
            now_ns,
            observer: Some(observer),
            observer_failed: None,
            on_status,
        };
        let thread = thread::Builder::new()
            .name("qtx-drain".to_string())
            .spawn(move || worker.run())
            .map_err(JournalError::io(ring.path(), "start the drain thread"))?;
        Ok(Drain { thread: Some(thread), shared, watermarks })
    }

    /// Last sequence number whose slot is free again.
    pub fn drained(&self) -> u64 {
        self.watermarks.drained()
    }

    /// Last sequence number that survives a power loss.
    pub fn durable(&self) -> u64 {
        self.watermarks.durable()
    }

    /// Why the drain ended before its time, if it did: from then on the ring fills, nothing in it is
    /// lost, and the writer learns that it is full. A disk that fails is no such end.
    pub fn error(&self) -> Option<&str> {
        self.shared.error.get().map(String::as_str)
    }

    /// How it stands.
    pub fn status(&self) -> DrainStatus {
        self.shared.status()
    }

    /// Drains up to `last_sequence`, which must have been appended, syncs, and ends the thread. A disk
    /// that fails is tried for [`DrainOptions::patience`].
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
            error: Some(PANICKED.to_string()),
            ..DrainReport::default()
        })
    }
}

/// A drain that is dropped ends after the batch in hand; the ring keeps the rest.
impl Drop for Drain {
    fn drop(&mut self) {
        self.end(0);
    }
}

struct Worker<C, O, S> {
    reader: RingReader,
    watermarks: Watermarks,
    archive: ArchiveWriter,
    shared: Arc<Shared>,
    options: DrainOptions,
    batch: Vec<Record>,
    /// Last sequence number the observer has seen.
    observed: u64,
    unsynced_max: u64,
    synced_ns: u64,
    /// Since when the disk fails, and how often it did.
    failing: Option<(u64, u32)>,
    /// Last sequence number that was tried when it did: it works again once that is durable, and not while
    /// a little more fits.
    failed_at: u64,
    /// For a disk that fails, since the stop.
    waited: Duration,
    now_ns: C,
    observer: Option<O>,
    observer_failed: Option<String>,
    on_status: S,
}

/// What the drain can't go on after.
enum Fault {
    Disk(JournalError),
    Ring(JournalError),
}

impl<C: FnMut() -> u64, O: FnMut(&Record), S: FnMut(DrainStatus)> Worker<C, O, S> {
    fn run(mut self) -> DrainReport {
        self.synced_ns = (self.now_ns)();
        if let Err(error) = self.follow() {
            self.shared.end(error.to_string());
            (self.on_status)(self.shared.status());
        }
        DrainReport {
            records: self.archive.last_sequence(),
            bytes: self.archive.bytes(),
            durable_sequence: self.watermarks.durable(),
            error: self.shared.error.get().cloned(),
            observer_failed: self.observer_failed.take(),
            keeping_failed: self.archive.keeping_failed(),
        }
    }

    fn follow(&mut self) -> Result<(), JournalError> {
        loop {
            // Before reading: whatever the stopping thread appended is then visible below.
            let last_wanted = self.shared.last_wanted.load(Ordering::Acquire);
            match self.step(last_wanted) {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                // What is whole in front of the damage was written, and is made durable if it can be.
                Err(Fault::Ring(error)) => return self.sync().and(Err(error)),
                Err(Fault::Disk(error)) => self.disk_failed(error, last_wanted)?,
            }
        }
    }

    /// One batch and what is due after it; true when all that is wanted is durable.
    fn step(&mut self, last_wanted: u64) -> Result<bool, Fault> {
        let taken = if self.archive.last_sequence() < last_wanted { self.take_batch() } else { Ok(()) };
        let idle = self.batch.is_empty();
        self.archive.append(&self.batch).map_err(Fault::Disk)?;
        let last = self.archive.last_sequence() >= last_wanted;
        if last || self.is_sync_due() {
            self.sync().map_err(Fault::Disk)?;
        }
        self.observe();
        taken.map_err(Fault::Ring)?;
        if idle && !last {
            if last_wanted != NO_END {
                return Err(Fault::Ring(self.problem("the last record, before the stop", "none")));
            }
            thread::park_timeout(IDLE_POLL);
        }
        self.batch.clear();
        Ok(last)
    }

    fn take_batch(&mut self) -> Result<(), JournalError> {
        self.batch.clear();
        for next in self.archive.last_sequence() + 1.. {
            if self.batch.len() == BATCH_RECORDS {
                break;
            }
            match self.reader.read(next) {
                RingRead::Record(record) => self.batch.push(record),
                RingRead::NotYet => break,
                RingRead::Torn => return Err(self.problem("an intact record", "damaged bytes")),
                RingRead::Lapped => return Err(self.problem("an undrained record", "a later one")),
            }
        }
        Ok(())
    }

    /// At least every interval, before too much of the ring waits for it, and at once after a failure.
    fn is_sync_due(&mut self) -> bool {
        let unsynced = self.archive.last_sequence() - self.archive.durable_sequence();
        unsynced >= self.unsynced_max
            || self.failing.is_some()
            || u128::from((self.now_ns)().saturating_sub(self.synced_ns))
                >= self.options.sync_every.as_nanos()
    }

    /// Only slots of what is durable are free.
    fn free(&self) {
        let durable = self.archive.durable_sequence();
        self.watermarks.set_drained(durable);
        self.watermarks.set_durable(durable);
    }

    fn sync(&mut self) -> Result<(), JournalError> {
        let last = self.archive.last_sequence();
        if last > self.watermarks.durable() || self.failing.is_some() {
            self.archive.sync()?;
            self.free();
        }
        self.synced_ns = (self.now_ns)();
        let works = self.archive.durable_sequence() >= self.failed_at;
        if self.failing.take_if(|_| works).is_some() {
            self.waited = Duration::ZERO;
            self.shared.set_status(DrainStatus::Ok);
            (self.on_status)(DrainStatus::Ok);
        }
        Ok(())
    }

    /// Back to what is durable: what was written behind it may be lost, also where the system says that
    /// it was written, since a failed sync is reported once. Then a wait; an error if there is none left.
    #[cold]
    fn disk_failed(&mut self, error: JournalError, last_wanted: u64) -> Result<(), JournalError> {
        let tried = self.batch.last().map_or(0, |record| record.sequence);
        self.failed_at = self.failed_at.max(self.archive.last_sequence()).max(tried);
        self.archive.rewind();
        // A segment that was closed on the way has made a part of the batch durable.
        self.free();
        self.observe();
        self.batch.clear();
        let (since_ns, attempts) = match self.failing {
            Some((since_ns, attempts)) => (since_ns, attempts.saturating_add(1)),
            None => ((self.now_ns)(), 1),
        };
        self.failing = Some((since_ns, attempts));
        let error_number = error.system_error();
        let status = DrainStatus::Failing { since_ns, error: error.to_string(), error_number, attempts };
        self.shared.set_status(status.clone());
        if attempts == 1 {
            (self.on_status)(status);
        }
        // Nobody waits for a drain that is dropped.
        if last_wanted == 0 || (last_wanted != NO_END && self.waited >= self.options.patience) {
            return Err(error);
        }
        let factor = 1_u32.checked_shl(attempts - 1).unwrap_or(u32::MAX).clamp(1, RETRY_FACTOR_MAX);
        let wait = self.options.retry_after.saturating_mul(factor);
        self.wait(wait);
        if last_wanted != NO_END {
            self.waited += wait;
        }
        Ok(())
    }

    /// Waits for the disk. What is published meanwhile is shown all the same: the operator must see how an
    /// engine stands whose disk is full.
    fn wait(&mut self, wait: Duration) {
        let mut left = wait;
        while !left.is_zero() {
            self.observe_ring();
            let part = left.min(OBSERVE_EVERY);
            thread::park_timeout(part);
            left -= part;
        }
    }

    fn observe_ring(&mut self) {
        while let (true, RingRead::Record(record)) =
            (self.observer.is_some(), self.reader.read(self.observed + 1))
        {
            self.observed += 1;
            self.show(&[record]);
        }
    }

    /// Shows the observer what was written of the batch, but for what it saw while the disk failed.
    fn observe(&mut self) {
        let news = self.observed + 1..=self.archive.last_sequence();
        let batch = std::mem::take(&mut self.batch);
        let first = batch.iter().position(|record| news.contains(&record.sequence));
        let end = batch.iter().rposition(|record| news.contains(&record.sequence));
        if let (Some(first), Some(end)) = (first, end) {
            self.show(&batch[first..=end]);
        }
        self.batch = batch;
        self.observed = self.observed.max(self.archive.last_sequence());
    }

    fn show(&mut self, records: &[Record]) {
        let Some(observer) = &mut self.observer else { return };
        let seen = catch_unwind(AssertUnwindSafe(|| records.iter().for_each(observer)));
        if let Err(panic) = seen {
            self.observer = None;
            let error = format!("the observer panicked: {}", words(&*panic));
            self.observer_failed = Some(error.clone());
            (self.on_status)(DrainStatus::ObserverFailed { error });
        }
    }

    #[cold]
    fn problem(&self, expected: &str, found: &str) -> JournalError {
        let sequence = self.archive.last_sequence() + 1 + self.batch.len() as u64;
        JournalError::from(Problem {
            file: self.reader.path().to_path_buf(),
            offset: self.reader.offset_of(sequence),
            sequence,
            expected: expected.to_string(),
            found: found.to_string(),
        })
    }
}

/// What a panic said.
fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without words")
}

/// A drain that dies of a bug must not look like one that is merely slow.
impl<C, O, S> Drop for Worker<C, O, S> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.shared.end(PANICKED.to_string());
        }
    }
}

impl fmt::Display for DrainStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DrainStatus::Ok => write!(f, "the archive is written again"),
            DrainStatus::Failing { error, .. } => {
                write!(f, "{error}; trying again, the ring keeps the records")
            }
            DrainStatus::Ended { error } => write!(f, "the archive ends: {error}"),
            DrainStatus::ObserverFailed { error } => write!(f, "{error}; it sees no more of the journal"),
        }
    }
}

impl fmt::Display for DrainReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} records, {} bytes, durable to {}", self.records, self.bytes, self.durable_sequence)?;
        for error in self.error.iter().chain(&self.observer_failed).chain(&self.keeping_failed) {
            write!(f, "; {error}")?;
        }
        Ok(())
    }
}
