//! Opens the market connections, and opens them again: off the hot thread, since all of that blocks
//! and allocates.
//!
//! One thread keeps the schedule; each attempt has a thread of its own, so that an address that does
//! not answer holds up no other. The hot thread hands in what it lost and finds what was opened; both
//! ways are queues that are looked at and never waited for, because waking a parked thread costs the
//! waker microseconds.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use rtrb::{Consumer, Producer, RingBuffer};

use crate::host::clock::MonotonicClock;
use crate::num::{Now, TimeNs};
use crate::wire::{
    Backoff, CloseReason, Connection, Connector, Counters, OpenConnection, Reconnect, Url, WireError,
};

/// Between two looks at the queues: a reconnect is not late by it.
const POLL: Duration = Duration::from_millis(2);
/// Attempts whose failures are told apart in memory; more are counted only.
const FAILURES_KEPT: usize = 64;

/// How connections are opened.
#[derive(Clone, Copy, Debug)]
pub struct OpenerConfig {
    pub backoff: Backoff,
    /// An attempt that takes longer has failed.
    pub timeout: Duration,
}

impl Default for OpenerConfig {
    fn default() -> Self {
        OpenerConfig { backoff: Backoff::default(), timeout: Duration::from_secs(10) }
    }
}

/// A connection of the hot thread.
pub type Socket = Connection<TcpStream>;

/// What the hot thread hands in.
pub enum Handed {
    /// It is closed, or as good as that: open the next one, and free this one.
    Lost(usize, Socket),
    /// It will be closed by the venue soon: open its successor while it lasts.
    Ageing(usize),
    /// Its successor has taken over: free it.
    Retired(Socket),
}

/// The hot thread's ends of the queues.
pub struct OpenerEnds {
    pub opened: Consumer<(usize, Socket)>,
    pub handed: Producer<Handed>,
}

/// What became of the attempts.
#[derive(Debug, Default)]
pub struct OpenerReport {
    /// Of all connections that ended, with the attempts that failed.
    pub counters: Counters,
    /// The first failures, in words: which address, and why.
    pub failures: Vec<String>,
}

/// The running thread.
pub struct Opener {
    thread: Option<JoinHandle<OpenerReport>>,
    stop: Arc<AtomicBool>,
    failed: mpsc::Receiver<(usize, String)>,
}

impl Opener {
    /// Opens every address, and keeps it open. `clock` stamps new connections.
    pub fn spawn(
        config: OpenerConfig,
        connector: Connector,
        urls: Vec<Url>,
        clock: impl Now + 'static,
    ) -> std::io::Result<(Opener, OpenerEnds)> {
        // Each address has one connection alive, one opened, and at most one of each kind handed in.
        let (opened_in, opened) = RingBuffer::new(2 * urls.len().max(1));
        let (handed, handed_out) = RingBuffer::new(4 * urls.len().max(1));
        let stop = Arc::new(AtomicBool::new(false));
        let monotonic = MonotonicClock::new();
        let now = TimeNs(i64::try_from(monotonic.now_ns()).unwrap_or(i64::MAX));
        let endpoints = urls
            .into_iter()
            .enumerate()
            .map(|(index, url)| Endpoint {
                url: Arc::new(url),
                reconnect: Reconnect::new(config.backoff, index as u64),
                due: Some(now),
            })
            .collect();
        let (results_in, results) = mpsc::channel();
        let (failed_in, failed) = mpsc::sync_channel(FAILURES_KEPT);
        let worker = Worker {
            timeout: config.timeout,
            connector,
            endpoints,
            opened: opened_in,
            handed: handed_out,
            results_in,
            results,
            clock: monotonic,
            engine_clock: Box::new(clock),
            stop: Arc::clone(&stop),
            failed: failed_in,
            report: OpenerReport::default(),
        };
        let thread = thread::Builder::new().name("qtx-opener".to_owned()).spawn(move || worker.run())?;
        Ok((Opener { thread: Some(thread), stop, failed }, OpenerEnds { opened, handed }))
    }

    /// Attempts that failed since the last call: which address, and why. What nobody asks for is dropped.
    pub fn failed(&self) -> impl Iterator<Item = (usize, String)> {
        self.failed.try_iter()
    }

    /// Ends the thread. An attempt under way ends by itself.
    pub fn stop(mut self) -> OpenerReport {
        self.stop.store(true, Ordering::Release);
        self.thread.take().and_then(|thread| thread.join().ok()).unwrap_or_default()
    }
}

impl Drop for Opener {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
    }
}

struct Endpoint {
    url: Arc<Url>,
    reconnect: Reconnect,
    /// When to try; `None` while it is open or an attempt is under way.
    due: Option<TimeNs>,
}

type Attempt = (usize, Result<OpenConnection<TcpStream>, WireError>);

struct Worker {
    timeout: Duration,
    connector: Connector,
    endpoints: Vec<Endpoint>,
    opened: Producer<(usize, Socket)>,
    handed: Consumer<Handed>,
    results_in: mpsc::Sender<Attempt>,
    results: mpsc::Receiver<Attempt>,
    /// For the schedule: wall time must not bend it.
    clock: MonotonicClock,
    engine_clock: Box<dyn Now>,
    stop: Arc<AtomicBool>,
    failed: mpsc::SyncSender<(usize, String)>,
    report: OpenerReport,
}

impl Worker {
    fn run(mut self) -> OpenerReport {
        while !self.stop.load(Ordering::Acquire) {
            let now = TimeNs(i64::try_from(self.clock.now_ns()).unwrap_or(i64::MAX));
            while let Ok(handed) = self.handed.pop() {
                self.take(handed, now);
            }
            while let Ok((index, result)) = self.results.try_recv() {
                self.attempted(index, result, now);
            }
            for index in 0..self.endpoints.len() {
                self.try_open(index, now);
            }
            thread::sleep(POLL);
        }
        while let Ok(handed) = self.handed.pop() {
            self.count(&handed);
        }
        self.report
    }

    fn take(&mut self, handed: Handed, now: TimeNs) {
        self.count(&handed);
        match handed {
            Handed::Lost(index, socket) => {
                self.note(index, socket.close_reason().map(CloseReason::to_string));
                if let Some(endpoint) = self.endpoints.get_mut(index) {
                    endpoint.due = Some(endpoint.reconnect.ended(now));
                }
            }
            Handed::Ageing(index) => {
                if let Some(endpoint) = self.endpoints.get_mut(index) {
                    endpoint.due = Some(now);
                }
            }
            Handed::Retired(_) => {}
        }
    }

    fn count(&mut self, handed: &Handed) {
        match handed {
            Handed::Lost(_, socket) | Handed::Retired(socket) => self.report.counters.add(socket.counters()),
            Handed::Ageing(_) => {}
        }
    }

    fn try_open(&mut self, index: usize, now: TimeNs) {
        let Some(endpoint) = self.endpoints.get_mut(index) else { return };
        if endpoint.due.take_if(|due| *due <= now).is_none() {
            return;
        }
        let (connector, url) = (self.connector.clone(), Arc::clone(&endpoint.url));
        let deadline = Instant::now() + self.timeout;
        let results = self.results_in.clone();
        let attempt = move || {
            let result = connector.open(&url, deadline);
            let _ = results.send((index, result)); // nobody waits any more once the thread has ended
        };
        if let Err(error) = thread::Builder::new().name("qtx-open".to_owned()).spawn(attempt) {
            endpoint.due = Some(endpoint.reconnect.ended(now));
            self.note(index, Some(format!("no thread for the attempt: {error}")));
        }
    }

    fn attempted(&mut self, index: usize, result: Result<OpenConnection<TcpStream>, WireError>, now: TimeNs) {
        let Some(endpoint) = self.endpoints.get_mut(index) else { return };
        match result {
            Ok(open) => {
                endpoint.reconnect.opened(now);
                self.report.counters.reconnects += u64::from(endpoint.reconnect.reconnects() > 0);
                let socket = Connection::new(open, self.engine_clock.now());
                // A queue that is full belongs to a hot thread that is gone.
                let _ = self.opened.push((index, socket));
            }
            Err(error) => {
                self.report.counters.count_error(error.kind());
                endpoint.due = Some(match &error {
                    WireError::Upgrade(crate::wire::UpgradeError::Status {
                        retry_after_s: Some(seconds),
                        ..
                    }) => endpoint.reconnect.ended_retry_after(now, *seconds),
                    _ => endpoint.reconnect.ended(now),
                });
                let _ = self.failed.try_send((index, error.to_string()));
                self.note(index, Some(error.to_string()));
            }
        }
    }

    fn note(&mut self, index: usize, why: Option<String>) {
        if let (Some(endpoint), Some(why), true) =
            (self.endpoints.get(index), why, self.report.failures.len() < FAILURES_KEPT)
        {
            self.report.failures.push(format!("{}: {why}", endpoint.url));
        }
    }
}
