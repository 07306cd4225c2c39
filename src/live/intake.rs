//! One event into the core and what it asks for out: the step every loop is made of.

use std::thread;
use std::time::Duration;

use super::{Core, Recorder, RunError};
use crate::event::{Event, EventBody, Instruction, Timer};
use crate::host::stop::StopFlag;
use crate::journal::drain::{Drain, DrainStatus};
use crate::journal::ring::RingWriter;
use crate::num::{InstrumentId, NS_PER_MS, NS_PER_SEC, TimeNs};

/// With nothing urgent open, time is told this often.
pub(super) const IDLE_TIMER_NS: i64 = NS_PER_SEC;
/// The producer's wait for a queue that is full.
const ROOM_POLL: Duration = Duration::from_micros(50);

/// Where instructions go.
pub trait Outlet {
    /// Room for the instructions of the largest outbox? An event is taken up only then, so that no
    /// send can fail half-way.
    fn has_room(&mut self) -> bool;

    /// Hands over an instruction given at `at`. There is room: the caller asked.
    fn send(&mut self, at: TimeNs, instrument: InstrumentId, instruction: Instruction);

    /// A market event is about to be taken up: whoever stands behind the outlet may want to know.
    fn market(&mut self, at: TimeNs, event: &Event);

    /// Why nothing will take instructions any more, if that is so.
    fn failure(&self) -> Option<String> {
        None
    }
}

/// The core with its clockwork: what is common to every loop.
pub struct Intake<'a, R = RingWriter> {
    pub core: Core<R>,
    /// Who follows the journal, where there is one.
    drain: Option<&'a Drain>,
    /// Who may end a wait for a disk that does not come back.
    stop: StopFlag,
    /// The archive has ended before the run, and the ring takes what it still can.
    archive_given_up: bool,
    timer_due: TimeNs,
    timer_count: u64,
    now: TimeNs,
}

impl<'a, R: Recorder> Intake<'a, R> {
    pub fn new(core: Core<R>, drain: Option<&'a Drain>) -> Intake<'a, R> {
        Intake {
            core,
            drain,
            stop: StopFlag::manual(),
            archive_given_up: false,
            timer_due: TimeNs(i64::MAX),
            timer_count: 0,
            now: TimeNs(i64::MIN),
        }
    }

    /// A wait for a disk that fails ends with this flag.
    pub fn stopped_by(self, stop: StopFlag) -> Self {
        Intake { stop, ..self }
    }

    /// Journals and applies what a run begins with; measuring starts after it.
    pub fn begin(
        &mut self,
        start: TimeNs,
        events: impl Iterator<Item = Event>,
        outlet: &mut impl Outlet,
    ) -> Result<(), RunError> {
        self.now = start;
        self.timer_due = start + IDLE_TIMER_NS;
        for event in events {
            self.take(&event, false, outlet)?;
        }
        self.core.start_measuring();
        Ok(())
    }

    /// The newest time anything was taken up at.
    pub fn now(&self) -> TimeNs {
        self.now
    }

    /// Time went by to `now` without an event.
    pub fn pass(&mut self, now: TimeNs) {
        self.now = self.now.max(now);
    }

    pub fn timer_due(&self) -> TimeNs {
        self.timer_due
    }

    /// No timer before `due`: a silence is skipped.
    pub fn put_off_timer(&mut self, due: TimeNs) {
        self.timer_due = self.timer_due.max(due);
    }

    /// Waits until ring and outlet have room for the largest outcome of an event.
    pub fn wait_for_room(&mut self, outlet: &mut impl Outlet) -> Result<(), RunError> {
        let mut waited_for_drain = false;
        loop {
            let journal = self.core.has_room();
            if journal && outlet.has_room() {
                return Ok(());
            }
            self.check(outlet)?;
            if !journal {
                self.check_disk()?;
            }
            if !journal && !waited_for_drain {
                waited_for_drain = true;
                self.core.note_overrun();
            }
            thread::sleep(ROOM_POLL);
        }
    }

    /// Whether the next event can be taken up without waiting.
    pub fn has_room(&mut self, outlet: &mut impl Outlet) -> bool {
        self.core.has_room() && outlet.has_room()
    }

    /// Whether a frame can be taken up without waiting, and leaves room for what is none.
    pub fn has_room_for_frame(&mut self, outlet: &mut impl Outlet) -> bool {
        self.core.has_room_for_frame() && outlet.has_room()
    }

    /// There is no room: whether it is worth waiting for. A disk that fails may come back as long as nobody
    /// wants an end.
    fn check_disk(&self) -> Result<(), RunError> {
        match self.drain.filter(|_| self.stop.is_set()).map(Drain::status) {
            Some(DrainStatus::Failing { error, .. }) => Err(RunError::Journal(error)),
            _ => Ok(()),
        }
    }

    /// From here on an archive that has ended is no error as long as the ring has room.
    pub fn give_up_archive(&mut self) {
        self.archive_given_up = true;
    }

    /// Whether journal and outlet still work. A disk that fails is no error: the ring takes what comes.
    pub fn check(&mut self, outlet: &impl Outlet) -> Result<(), RunError> {
        if let Some(error) = self.drain.and_then(Drain::error)
            && !(self.archive_given_up && self.core.has_room())
        {
            return Err(RunError::Journal(error.to_string()));
        }
        outlet.failure().map_or(Ok(()), |why| Err(RunError::Gateway(why)))
    }

    /// A frame through the core. `None` for frames that are no events.
    pub fn frame(&mut self, recv_ns: TimeNs, frame: &[u8], outlet: &mut impl Outlet) -> Result<(), RunError> {
        self.now = self.now.max(recv_ns);
        let Some(event) = self.core.decode(recv_ns, frame) else { return Ok(()) };
        outlet.market(recv_ns, &event);
        self.take(&event, true, outlet)
    }

    /// Market data that came decoded.
    pub fn market(&mut self, event: &Event, outlet: &mut impl Outlet) -> Result<(), RunError> {
        self.core.note_market_event();
        outlet.market(event.recv_ns, event);
        self.take(event, false, outlet)
    }

    /// One event: room first, then the core, then what it asked for.
    pub fn take(
        &mut self,
        event: &Event,
        from_frame: bool,
        outlet: &mut impl Outlet,
    ) -> Result<(), RunError> {
        self.now = self.now.max(event.recv_ns);
        self.wait_for_room(outlet)?;
        for output in self.core.take(event, from_frame)? {
            if let Some(instruction) = output.instruction() {
                outlet.send(event.recv_ns, output.instrument, instruction);
            }
        }
        // Something has a deadline: time is told more often until it is settled.
        if self.core.engine().has_deadline() {
            let timer_ns = self.core.engine().settings().timer_ms * NS_PER_MS;
            self.timer_due = self.timer_due.min(event.recv_ns + timer_ns);
        }
        Ok(())
    }

    /// The timer that is due, stamped `at`.
    pub fn timer(&mut self, at: TimeNs, outlet: &mut impl Outlet) -> Result<(), RunError> {
        self.timer_count += 1;
        let timer = Timer { count: self.timer_count };
        self.timer_due = at + IDLE_TIMER_NS;
        self.take(&Event::global(at, EventBody::Timer(timer)), false, outlet)
    }
}
