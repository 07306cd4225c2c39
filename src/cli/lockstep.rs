//! The in-process transport: one thread runs market, venue and engine in one order of simulated time.
//!
//! Nothing later than T reaches the engine before everything due at T was consumed and answered, so
//! a run gives the same journal at any speed and on any machine.

use std::thread;
use std::time::{Duration, Instant};

use super::Core;
use crate::event::{Command, CommandKind, EndReason, Event, EventBody, RunEnd, Timer};
use crate::host::stop::StopFlag;
use crate::journal::drain::Drain;
use crate::num::{NS_PER_DAY, NS_PER_MS, NS_PER_SEC, TimeNs};
use crate::sim::link::{Delivery, Link};
use crate::sim::market::{MarketSource, SourceError};

/// With nothing urgent open, time is told this often.
const IDLE_TIMER_NS: i64 = NS_PER_SEC;
/// After the last frame, reports still on their way get this long.
const SETTLE_NS: i64 = 10 * NS_PER_SEC;
/// Time is told second by second through this much silence of the market; then it jumps to the next
/// frame, so that a damaged time stamp costs a day of timers and not those of two centuries.
const SILENCE_NS_MAX: i64 = NS_PER_DAY;
/// The producer's wait for the drain.
const ROOM_POLL: Duration = Duration::from_micros(50);
/// Longest sleep between two looks at the stop flag: a signal does not end a sleep.
const PACE_MAX: Duration = Duration::from_millis(50);
/// Sleeps shorter than this are not worth their system call.
const PACE_MIN: Duration = Duration::from_millis(1);

/// Why a run can't go on.
#[derive(Debug, thiserror::Error)]
pub enum LockstepError {
    #[error(transparent)]
    Market(#[from] SourceError),
    #[error(transparent)]
    JournalFull(#[from] crate::journal::ring::Full),
    #[error("the journal can't be written: {0}")]
    Journal(String),
}

/// Simulated against wall time.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Simulated seconds a second; `None` is as fast as it goes.
    pub speed: Option<f64>,
    /// Simulated nanoseconds after which the run ends.
    pub horizon_ns: Option<i64>,
}

/// A run in one thread.
pub struct Lockstep<'a> {
    pub core: Core,
    pub link: Link,
    pub drain: &'a Drain,
    pub stop: StopFlag,
    timer_due: TimeNs,
    timer_count: u64,
    timer_ns: i64,
    now: TimeNs,
}

impl<'a> Lockstep<'a> {
    pub fn new(core: Core, link: Link, drain: &'a Drain, stop: StopFlag) -> Lockstep<'a> {
        let timer_ns = core.engine().settings().timer_ms * NS_PER_MS;
        Lockstep { core, link, drain, stop, timer_due: TimeNs(0), timer_count: 0, timer_ns, now: TimeNs(0) }
    }

    /// Journals and applies what a run begins with, then what the venue says of the account.
    pub fn begin(&mut self, start: TimeNs, events: impl Iterator<Item = Event>) -> Result<(), LockstepError> {
        self.now = start;
        self.timer_due = start + IDLE_TIMER_NS;
        for event in events {
            self.take(&event, false)?;
        }
        for (instrument, body) in self.link.venue().snapshot() {
            self.take(&Event { recv_ns: start, instrument, body }, false)?;
        }
        self.core.start_measuring();
        Ok(())
    }

    /// Runs the market to its end, the horizon or the stop flag.
    pub fn run(
        &mut self,
        source: &mut dyn MarketSource,
        first: (TimeNs, Vec<u8>),
        pace: Pace,
    ) -> Result<EndReason, LockstepError> {
        let start = self.now;
        let end = pace.horizon_ns.map(|ns| start + ns);
        let began = Instant::now();
        let (mut time, mut frame) = first;
        loop {
            wait_for(began, time.since(start), pace.speed, &self.stop);
            if self.stop.is_set() {
                return Ok(EndReason::Signal);
            }
            if let Some(end) = end.filter(|end| time > *end) {
                self.through_silence(end)?;
                return Ok(EndReason::Duration);
            }
            self.through_silence(time)?;
            self.market_frame(time, &frame)?;
            match source.next_frame(&mut frame)? {
                Some(next) => time = next,
                None => return Ok(EndReason::MarketEnd),
            }
        }
    }

    /// Cancels entries when the run ends before its time, lets reports arrive, closes the journal in
    /// order.
    pub fn end(&mut self, reason: EndReason) -> Result<(), LockstepError> {
        if matches!(reason, EndReason::Signal | EndReason::MarketFault) {
            let halt = Command { command: CommandKind::Halt, pad: [0; 7] };
            self.take(&Event::global(self.now, EventBody::Command(halt)), false)?;
        }
        let limit = self.now + SETTLE_NS;
        while let Some(delivery) = self.link.pending().then(|| self.link.poll(limit)).flatten() {
            self.take_all(&delivery)?;
        }
        let last = RunEnd { reason, pad: [0; 7] };
        self.take(&Event::global(self.now, EventBody::RunEnd(last)), false)
    }

    /// [`Lockstep::advance`], at most a day of it in steps.
    fn through_silence(&mut self, until: TimeNs) -> Result<(), LockstepError> {
        let steps_end = self.now + SILENCE_NS_MAX;
        if steps_end < until {
            self.advance(steps_end)?;
            self.timer_due = until;
        }
        self.advance(until)
    }

    /// Everything due by `until`, in order of time: reports, then timers at the same instant.
    fn advance(&mut self, until: TimeNs) -> Result<(), LockstepError> {
        loop {
            let limit = until.min(self.timer_due);
            if let Some(delivery) = self.link.poll(limit) {
                self.take_all(&delivery)?;
            } else if self.timer_due <= until {
                self.timer()?;
            } else {
                return Ok(());
            }
        }
    }

    fn timer(&mut self) -> Result<(), LockstepError> {
        let due = self.timer_due;
        self.timer_count += 1;
        let timer = Timer { count: self.timer_count };
        self.timer_due = due + IDLE_TIMER_NS;
        self.take(&Event::global(due, EventBody::Timer(timer)), false)
    }

    /// The venue sees its own market before the engine does.
    fn market_frame(&mut self, time: TimeNs, frame: &[u8]) -> Result<(), LockstepError> {
        self.now = self.now.max(time);
        let Some(event) = self.core.decode(time, frame) else { return Ok(()) };
        self.link.market(time, &event);
        self.take(&event, true)
    }

    fn take_all(&mut self, delivery: &Delivery) -> Result<(), LockstepError> {
        for event in delivery.events() {
            self.take(&event, false)?;
        }
        Ok(())
    }

    /// One event: room first, then the core, then what it asked for.
    fn take(&mut self, event: &Event, from_frame: bool) -> Result<(), LockstepError> {
        self.now = self.now.max(event.recv_ns);
        while !self.core.has_room() {
            if let Some(error) = self.drain.error() {
                return Err(LockstepError::Journal(error.to_string()));
            }
            self.core.note_overrun();
            thread::sleep(ROOM_POLL);
        }
        for output in self.core.take(event, from_frame)? {
            if let Some(instruction) = output.instruction() {
                self.link.send(event.recv_ns, output.instrument, instruction);
            }
        }
        // Something has a deadline: time is told more often until it is settled.
        if self.core.engine().has_deadline() {
            self.timer_due = self.timer_due.min(event.recv_ns + self.timer_ns);
        }
        Ok(())
    }
}

/// Sleeps until wall time has caught up with simulated time, or the run is to stop.
fn wait_for(began: Instant, simulated_ns: i64, speed: Option<f64>, stop: &StopFlag) {
    let Some(speed) = speed else { return };
    let due = Duration::from_secs_f64((simulated_ns.max(0) as f64 / 1e9 / speed).min(1e9));
    while !stop.is_set() {
        let ahead = due.saturating_sub(began.elapsed());
        if ahead < PACE_MIN {
            return;
        }
        thread::sleep(ahead.min(PACE_MAX));
    }
}
