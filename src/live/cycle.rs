//! The loop that polls sockets by the clock: paced simulations and the real venue.
//!
//! One turn is one clock read and a bounded piece of everything: commands, events from other threads,
//! timers that are due, each market connection's share of frames. What arrives while a turn runs waits for
//! the next one; nothing in a turn blocks, allocates or asks the system for more than a socket read.

use std::thread;
use std::time::{Duration, Instant};

use super::shares::Shares;
use super::{Feeds, Inbox, Intake, OrderQueue, RunError};
use crate::engine::Engine;
use crate::event::{Command, CommandKind, EndReason, Event, EventBody, Gap, RunEnd};
use crate::host::alloc::thread_allocations;
use crate::host::stop::StopFlag;
use crate::host::time::Discipline;
use crate::num::{NS_PER_SEC, Now, TimeNs};
use crate::wire::FrameRef;

/// Events of other threads a turn takes up: a burst of fills does not keep quotes waiting.
const EVENTS_PER_TURN: usize = 64;
/// How long a run that ends waits for what is on its way, in time of the engine's clock.
const SETTLE_NS: i64 = 10 * NS_PER_SEC;
/// Wall time without a frame after which a market that was said to be over is: what the venue had
/// written before it said so has arrived by then, also where its thread has to wait for a core.
const LAST_QUIET: Duration = Duration::from_millis(250);

/// What to do with frames while the journal is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// A simulation waits: nothing is lost, and time waits with it.
    Wait,
    /// The real market does not wait: frames are dropped and counted, and what they were between is
    /// journaled as a gap. Reports, timers and commands keep slots of their own.
    Drop,
}

/// Tells whether the market is over, and how it ended; asked in turns without frames.
pub trait MarketEnd {
    fn ended(&self) -> Option<EndReason>;
}

/// A market without an end.
#[derive(Clone, Copy, Debug)]
pub struct Endless;

impl MarketEnd for Endless {
    fn ended(&self) -> Option<EndReason> {
        None
    }
}

/// A run by the clock.
pub struct Cycle<'a, C, E> {
    pub intake: Intake<'a>,
    pub orders: OrderQueue,
    pub feeds: Feeds,
    pub shares: Shares,
    inbox: Inbox,
    clock: C,
    market: E,
    stop: StopFlag,
    when_full: WhenFull,
    /// Works in corrections of the clock, as the events that tell of them are taken up.
    discipline: Option<Discipline>,
    /// Dropped since the last gap was journaled.
    dropped: Gap,
    /// Taken up once a start after another has heard what the venue did meanwhile.
    after_recovery: Vec<Event>,
}

impl<'a, C: Now, E: MarketEnd> Cycle<'a, C, E> {
    #[allow(clippy::too_many_arguments)] // the parts of one loop, each used once
    pub fn new(
        intake: Intake<'a>,
        orders: OrderQueue,
        feeds: Feeds,
        inbox: Inbox,
        clock: C,
        market: E,
        stop: StopFlag,
        when_full: WhenFull,
        discipline: Option<Discipline>,
    ) -> Cycle<'a, C, E> {
        let shares = Shares::new(inbox.events.capacity().unwrap_or(usize::MAX));
        let dropped = Gap { frames: 0, bytes: 0 };
        let intake = intake.stopped_by(stop.clone());
        let after_recovery = Vec::new();
        Cycle {
            intake,
            orders,
            feeds,
            shares,
            inbox,
            clock,
            market,
            stop,
            when_full,
            discipline,
            dropped,
            after_recovery,
        }
    }

    /// Events that wait until the engine has recovered, such as changed settings.
    pub fn after_recovery(mut self, events: Vec<Event>) -> Self {
        self.after_recovery = events;
        self
    }

    /// Journals and applies what a run begins with.
    pub fn begin(&mut self, start: TimeNs, events: impl Iterator<Item = Event>) -> Result<(), RunError> {
        self.intake.begin(start, events, &mut self.orders)
    }

    /// Runs until the stop flag is set, the market is over, or the clock has passed `end`.
    pub fn run(&mut self, end: Option<TimeNs>) -> Result<EndReason, RunError> {
        let before = thread_allocations();
        let outcome = self.turns(end);
        self.intake.core.note_loop_allocations(thread_allocations() - before);
        outcome
    }

    fn turns(&mut self, end: Option<TimeNs>) -> Result<EndReason, RunError> {
        let mut quiet_since = None;
        loop {
            let now = self.now();
            if self.stop.is_set() {
                return Ok(EndReason::Signal);
            }
            if end.is_some_and(|end| now > end) {
                return Ok(EndReason::Duration);
            }
            self.turn(now)?;
            if self.frames(now)? > 0 {
                quiet_since = None;
            } else if let Some(reason) = self.market.ended()
                && quiet_since.get_or_insert_with(Instant::now).elapsed() >= LAST_QUIET
            {
                return Ok(reason);
            }
        }
    }

    /// Cancels entries when the run ends before its time, lets reports arrive, closes the journal in
    /// order.
    pub fn end(&mut self, reason: EndReason) -> Result<(), RunError> {
        if matches!(reason, EndReason::Signal | EndReason::MarketFault) {
            self.halt()?;
        }
        self.settle()?;
        self.tell_gap(self.now())?;
        let last = RunEnd { reason, pad: [0; 7] };
        self.intake.take(&Event::global(self.now(), EventBody::RunEnd(last)), false, &mut self.orders)
    }

    /// After a run that failed, which `error` says: without an archive nothing new may begin, but what
    /// is under way at the venue is brought to safety while the ring takes it.
    pub fn abandon(&mut self, error: RunError) -> RunError {
        if matches!(error, RunError::Journal(_)) {
            self.intake.give_up_archive();
            // The ring is full then, or the gateway gone too; the first error is the one to tell.
            let _ = self.halt().and_then(|()| self.settle());
        }
        error
    }

    fn halt(&mut self) -> Result<(), RunError> {
        let halt = Command { command: CommandKind::Stop, pad: [0; 7] };
        let event = Event::global(self.now(), EventBody::Command(halt));
        self.intake.take(&event, false, &mut self.orders)
    }

    /// Turns without frames, until nothing is waited for.
    fn settle(&mut self) -> Result<(), RunError> {
        let limit = self.now() + SETTLE_NS;
        loop {
            let now = self.now();
            self.turn(now)?;
            let waiting = self.intake.core.engine().has_deadline() || !self.inbox.is_empty();
            if !waiting || now >= limit {
                return Ok(());
            }
            thread::yield_now(); // it no longer hurries, and others have to finish
        }
    }

    pub fn engine(&self) -> &Engine {
        self.intake.core.engine()
    }

    /// The clock may be set back against what was journaled by a report's own stamp; time is not.
    fn now(&self) -> TimeNs {
        self.clock.now().max(self.intake.now())
    }

    /// Everything but frames.
    fn turn(&mut self, now: TimeNs) -> Result<(), RunError> {
        self.commands(now)?;
        self.events(now)?;
        self.recovered(now)?;
        self.timers(now)?;
        self.connections(now)?;
        self.queues(now)
    }

    /// Before everything else, and what room there is goes to them first.
    fn commands(&mut self, now: TimeNs) -> Result<(), RunError> {
        while !self.inbox.commands.is_empty() && self.may_take()? {
            let Ok(event) = self.inbox.commands.try_recv() else { return Ok(()) };
            self.intake.take(&Event { recv_ns: now, ..event }, false, &mut self.orders)?;
        }
        Ok(())
    }

    fn events(&mut self, now: TimeNs) -> Result<(), RunError> {
        self.shares.note_inbox(self.inbox.events.len());
        for _ in 0..EVENTS_PER_TURN {
            if !self.may_take()? {
                return Ok(());
            }
            let Ok(event) = self.inbox.events.try_recv() else { return Ok(()) };
            self.intake.take(&Event { recv_ns: now, ..event }, false, &mut self.orders)?;
            if let (EventBody::ClockSync(sync), Some(discipline)) = (&event.body, self.discipline.as_mut()) {
                discipline.slew(sync);
            }
            if !self.after_recovery.is_empty() && !self.engine().is_recovering() {
                return Ok(()); // what waited for it comes before what follows it
            }
        }
        Ok(())
    }

    /// What waited for the end of the recovery. All of it or none: settings in pieces are one change.
    fn recovered(&mut self, now: TimeNs) -> Result<(), RunError> {
        if self.after_recovery.is_empty() || self.engine().is_recovering() {
            return Ok(());
        }
        for event in std::mem::take(&mut self.after_recovery) {
            self.intake.take(&Event { recv_ns: now, ..event }, false, &mut self.orders)?;
        }
        Ok(())
    }

    /// Room for what is not a frame. What has none stays where it is until there is.
    fn may_take(&mut self) -> Result<bool, RunError> {
        match self.when_full {
            WhenFull::Wait => self.intake.wait_for_room(&mut self.orders).map(|()| true),
            WhenFull::Drop => {
                let room = self.intake.has_room(&mut self.orders);
                if !room {
                    self.intake.check(&self.orders)?;
                }
                Ok(room)
            }
        }
    }

    fn timers(&mut self, now: TimeNs) -> Result<(), RunError> {
        if self.intake.timer_due() > now || !self.may_take()? {
            return Ok(());
        }
        // Stamped with the turn: a late timer is a late timer, and time does not run backwards.
        self.intake.timer(now, &mut self.orders)?;
        self.intake.check(&self.orders)
    }

    fn connections(&mut self, now: TimeNs) -> Result<(), RunError> {
        while self.may_take()? {
            let Some(status) = self.feeds.tend(now) else { return Ok(()) };
            let event = Event::global(now, EventBody::FeedStatus(status));
            self.intake.take(&event, false, &mut self.orders)?;
        }
        Ok(())
    }

    /// Once a second, how full the queues were, if it is worth telling.
    fn queues(&mut self, now: TimeNs) -> Result<(), RunError> {
        let ring_ppm = self.intake.core.ring_share_ppm();
        self.shares.note_ring(ring_ppm);
        let Some(due) = self.shares.due(now, &mut self.orders) else { return Ok(()) };
        for share in due {
            if self.may_take()? {
                self.intake.take(
                    &Event::global(now, EventBody::QueueShare(share)),
                    false,
                    &mut self.orders,
                )?;
            }
        }
        Ok(())
    }

    /// Each connection's share of frames; how many there were.
    fn frames(&mut self, now: TimeNs) -> Result<u32, RunError> {
        // What is missing is told first, and once: not while frames are still dropped.
        if self.dropped.frames > 0 && self.intake.has_room_for_frame(&mut self.orders) {
            self.tell_gap(now)?;
        }
        let Cycle { feeds, intake, orders, dropped, when_full, .. } = self;
        let (mut outcome, mut tls_inside) = (Ok(()), 0);
        let polled = feeds.poll(now, |secure, FrameRef { payload, .. }| {
            if outcome.is_err() {
                return;
            }
            let entered = thread_allocations();
            if *when_full == WhenFull::Drop && !intake.has_room_for_frame(orders) {
                dropped.frames += 1;
                dropped.bytes += payload.len() as u64;
            } else {
                outcome = intake.frame(now, payload, orders);
            }
            if secure {
                tls_inside += thread_allocations() - entered;
            }
        });
        intake.core.note_tls_allocations(polled.tls_allocations - tls_inside);
        outcome.map(|()| polled.frames)
    }

    /// Journals how many frames were dropped since the last time.
    fn tell_gap(&mut self, now: TimeNs) -> Result<(), RunError> {
        if self.dropped.frames == 0 {
            return Ok(());
        }
        let gap = std::mem::replace(&mut self.dropped, Gap { frames: 0, bytes: 0 });
        self.intake.core.counts.dropped += gap.frames;
        self.intake.take(&Event::global(now, EventBody::Gap(gap)), false, &mut self.orders)
    }
}
