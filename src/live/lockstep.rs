//! The loop in which the venue owns time: nothing later than T reaches the engine before everything
//! due at T was consumed and answered, so a run gives the same decisions at any speed, on any
//! machine, and over any transport.

use std::thread;
use std::time::{Duration, Instant};

use super::intake::IDLE_TIMER_NS;
use super::{Core, Inbox, Intake, Outlet, Recorder, RunError};
use crate::event::{Command, CommandKind, EndReason, Event, EventBody, RunEnd};
use crate::host::stop::StopFlag;
use crate::journal::drain::Drain;
use crate::journal::ring::RingWriter;
use crate::num::{NS_PER_DAY, NS_PER_SEC, TimeNs};
use crate::sim::link::Delivery;

/// After the last frame, reports still on their way get this long.
const SETTLE_NS: i64 = 10 * NS_PER_SEC;
/// Time is told second by second through this much silence of the market; then it jumps to the next
/// frame, so that a damaged time stamp costs a day of timers and not those of two centuries.
const SILENCE_NS_MAX: i64 = NS_PER_DAY;
/// Longest sleep between two looks at the stop flag: a signal does not end a sleep.
const PACE_MAX: Duration = Duration::from_millis(50);
/// Sleeps shorter than this are not worth their system call.
const PACE_MIN: Duration = Duration::from_millis(1);

/// Simulated against wall time.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Simulated seconds a second; `None` is as fast as it goes.
    pub speed: Option<f64>,
    /// Simulated nanoseconds after which the run ends.
    pub horizon_ns: Option<i64>,
}

/// What a transport did when asked to go on.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::large_enum_variant)] // Copy, on the stack.
pub enum Turn {
    /// A frame is there: [`Transport::frame`] has it.
    Frame(TimeNs),
    /// Market data that needs no decoding: [`Transport::event`] has it.
    Event(TimeNs),
    /// A report is there.
    Report(Delivery),
    /// What a report said is in the inbox.
    Arrived(TimeNs),
    /// Nothing by the limit; the market's next frame is due then, unless it is over.
    Nothing { next_frame: Option<TimeNs> },
}

/// How market and venue are reached.
pub trait Transport: Outlet {
    /// The next thing: a report due by `limit`, or a frame due before it.
    fn next(&mut self, limit: TimeNs) -> Result<Turn, RunError>;

    /// As [`Transport::next`] without the market: what is still on its way when a run ends.
    fn settle(&mut self, limit: TimeNs) -> Result<Turn, RunError>;

    /// Gives the frame that is there for a buffer that may be written over.
    fn swap_frame(&mut self, buffer: &mut Vec<u8>);

    /// The market data that is there, decoded.
    fn event(&self) -> Event {
        Event::NOTHING
    }

    /// Done with the frame that is there.
    fn read_on(&mut self) -> Result<(), RunError>;
}

/// A run in lockstep.
pub struct Lockstep<'a, T, R = RingWriter> {
    pub intake: Intake<'a, R>,
    pub transport: T,
    inbox: Inbox,
    stop: StopFlag,
    frame: Vec<u8>,
}

impl<'a, T: Transport, R: Recorder> Lockstep<'a, T, R> {
    pub fn new(
        core: Core<R>,
        transport: T,
        inbox: Inbox,
        drain: Option<&'a Drain>,
        stop: StopFlag,
    ) -> Lockstep<'a, T, R> {
        let frame = Vec::with_capacity(core.engine().settings().max_frame_bytes as usize);
        let intake = Intake::new(core, drain).stopped_by(stop.clone());
        Lockstep { intake, transport, inbox, stop, frame }
    }

    /// Journals and applies what a run begins with.
    pub fn begin(&mut self, start: TimeNs, events: impl Iterator<Item = Event>) -> Result<(), RunError> {
        self.intake.begin(start, events, &mut self.transport)
    }

    /// Runs the market to its end, the horizon or the stop flag.
    pub fn run(&mut self, pace: Pace) -> Result<EndReason, RunError> {
        let start = self.intake.now();
        let end = pace.horizon_ns.map_or(TimeNs(i64::MAX), |ns| start + ns);
        let began = Instant::now();
        let mut heard_ns = start;
        while !self.stop.is_set() {
            self.commands()?;
            // A frame of the last instant belongs to the run.
            let limit = self.intake.timer_due().min(end + 1);
            let turn = self.transport.next(limit)?;
            let at = self.take_turn(turn, began, start, pace)?;
            heard_ns = at.unwrap_or(heard_ns);
            let Turn::Nothing { next_frame } = turn else { continue };
            let Some(next_frame) = next_frame else { return Ok(EndReason::MarketEnd) };
            if self.intake.timer_due() > end {
                self.intake.pass(end);
                return Ok(EndReason::Duration);
            }
            let due = self.intake.timer_due();
            if self.intake.core.engine().is_idle() {
                // A timer would change nothing: the next is due a second after whatever comes next.
                self.intake.put_off_timer(next_frame + IDLE_TIMER_NS);
                continue;
            }
            if due.since(heard_ns) > SILENCE_NS_MAX {
                self.intake.put_off_timer(next_frame.min(end));
                heard_ns = self.intake.timer_due();
            }
            let due = self.intake.timer_due();
            self.wait_until(due.since(start), began, pace.speed)?;
            self.intake.timer(due, &mut self.transport)?;
        }
        Ok(EndReason::Signal)
    }

    /// Cancels entries when the run ends before its time, lets reports arrive, closes the journal in
    /// order.
    pub fn end(&mut self, reason: EndReason) -> Result<(), RunError> {
        if matches!(reason, EndReason::Signal | EndReason::MarketFault) {
            let halt = Command { command: CommandKind::Stop, pad: [0; 7] };
            let event = Event::global(self.intake.now(), EventBody::Command(halt));
            self.intake.take(&event, false, &mut self.transport)?;
        }
        let limit = self.intake.now() + SETTLE_NS;
        let unpaced = Pace { speed: None, horizon_ns: None };
        loop {
            let turn = self.transport.settle(limit)?;
            // What the gateway refused may have made the engine ask for something else.
            let refused = !self.inbox.events.is_empty();
            if self.take_turn(turn, Instant::now(), limit, unpaced)?.is_none() && !refused {
                break;
            }
        }
        let last = RunEnd { reason, pad: [0; 7] };
        let event = Event::global(self.intake.now(), EventBody::RunEnd(last));
        self.intake.take(&event, false, &mut self.transport)
    }

    /// Takes up what a turn brought; the time of it, or `None` if it was nothing.
    fn take_turn(
        &mut self,
        turn: Turn,
        began: Instant,
        start: TimeNs,
        pace: Pace,
    ) -> Result<Option<TimeNs>, RunError> {
        // What the gateway refused by itself is told by the time the venue answers, and came before that.
        if !matches!(turn, Turn::Arrived(_)) {
            self.events(self.intake.now())?;
        }
        let at = match turn {
            Turn::Frame(at) | Turn::Event(at) | Turn::Arrived(at) => at,
            Turn::Report(delivery) => delivery.recv_ns,
            Turn::Nothing { .. } => return Ok(None),
        };
        self.wait_until(at.since(start), began, pace.speed)?;
        match turn {
            Turn::Report(delivery) => {
                for event in delivery.events() {
                    self.intake.take(&event, false, &mut self.transport)?;
                }
            }
            Turn::Arrived(at) => self.events(at)?,
            Turn::Frame(at) => {
                self.transport.swap_frame(&mut self.frame);
                self.intake.frame(at, &self.frame, &mut self.transport)?;
                self.transport.read_on()?;
            }
            Turn::Event(_) => {
                let event = self.transport.event();
                self.intake.market(&event, &mut self.transport)?;
                self.transport.read_on()?;
            }
            Turn::Nothing { .. } => {}
        }
        Ok(Some(at))
    }

    /// The operator's. Where in a run they come is chance, as it is when they are given.
    fn commands(&mut self) -> Result<(), RunError> {
        let now = self.intake.now();
        while let Ok(event) = self.inbox.commands.try_recv() {
            self.intake.take(&Event { recv_ns: now, ..event }, false, &mut self.transport)?;
        }
        Ok(())
    }

    /// What the gateway said, received now. To be called where the run decides what is there, and never
    /// where the threads' pace does.
    fn events(&mut self, now: TimeNs) -> Result<(), RunError> {
        while let Ok(event) = self.inbox.events.try_recv() {
            self.intake.take(&Event { recv_ns: now, ..event }, false, &mut self.transport)?;
        }
        Ok(())
    }

    /// Sleeps until wall time has caught up with simulated time, or the run is to stop. The operator is
    /// heard meanwhile.
    fn wait_until(&mut self, simulated_ns: i64, began: Instant, speed: Option<f64>) -> Result<(), RunError> {
        let Some(speed) = speed else { return Ok(()) };
        let due = Duration::from_secs_f64((simulated_ns.max(0) as f64 / 1e9 / speed).min(1e9));
        while !self.stop.is_set() {
            let ahead = due.saturating_sub(began.elapsed());
            if ahead < PACE_MIN {
                break;
            }
            thread::sleep(ahead.min(PACE_MAX));
            self.commands()?;
        }
        Ok(())
    }
}
