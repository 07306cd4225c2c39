//! The latency between engine and venue, in simulated time.
//!
//! Commands take `order_latency_ns` to the venue, reports `report_latency_ns` back, each plus up to
//! `jitter_ns` drawn from the seed. A message never overtakes an earlier one of its direction. The
//! two directions draw from streams of their own, so the n-th message of a direction is delayed alike
//! however calls interleave.
//!
//! Lockstep: before a market frame of time T is given to [`Link::market`], [`Link::poll`] is called
//! with T until it has nothing more, and what the engine answers is sent at the report's time. `poll`
//! never lets the venue run past a report that the engine has not seen.

use std::collections::VecDeque;

use rand_core::{Rng, SeedableRng};
use rand_pcg::Pcg64;

use super::venue::{Report, Reports, Venue};
use crate::event::{Event, FillCause, Instruction};
use crate::num::{Dec, InstrumentId, Lots, TimeNs};

/// Room made beforehand in each direction: far more than one latency brings in; both grow if not.
const MESSAGES_PLANNED: usize = 256;

/// How long messages travel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkConfig {
    pub order_latency_ns: u64,
    pub report_latency_ns: u64,
    /// Largest addition to either; each message draws from 0 to this, evenly.
    pub jitter_ns: u64,
    pub seed: u64,
}

/// One direction: messages in the order sent, each with the time it arrives.
struct Leg<T> {
    latency_ns: u64,
    jitter_ns: u64,
    random: Pcg64,
    last_due: TimeNs,
    in_flight: VecDeque<(TimeNs, T)>,
}

impl<T> Leg<T> {
    fn new(latency_ns: u64, jitter_ns: u64, random: Pcg64) -> Leg<T> {
        let in_flight = VecDeque::with_capacity(MESSAGES_PLANNED);
        Leg { latency_ns, jitter_ns, random, last_due: TimeNs(i64::MIN), in_flight }
    }

    fn push(&mut self, sent: TimeNs, message: T) {
        // The high half of a 64 × 64-bit product: even over 0..=jitter but for a part in 2^64 / jitter.
        let choices = u128::from(self.jitter_ns) + 1;
        let jitter = (u128::from(self.random.next_u64()) * choices) >> 64;
        let delay = u128::from(self.latency_ns) + jitter;
        let due = sent + i64::try_from(delay).unwrap_or(i64::MAX);
        self.last_due = self.last_due.max(due);
        self.in_flight.push_back((self.last_due, message));
    }

    fn due(&self) -> Option<TimeNs> {
        self.in_flight.front().map(|(due, _)| *due)
    }
}

/// A report that has arrived.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Delivery {
    pub recv_ns: TimeNs,
    pub report: Report,
}

impl Delivery {
    /// What an engine learns from it, in order.
    pub fn events(&self) -> impl Iterator<Item = Event> + use<> {
        let recv_ns = self.recv_ns;
        self.report.events().into_iter().map(move |(instrument, body)| Event { recv_ns, instrument, body })
    }
}

/// A venue at the end of a line.
pub struct Link {
    venue: Venue,
    commands: Leg<(InstrumentId, Instruction)>,
    reports: Leg<Report>,
    /// What the venue says at one call, on its way into `reports`.
    said: Reports,
    /// Never runs backwards.
    now: TimeNs,
    round_trip_ns_max: u64,
}

impl Link {
    pub fn new(venue: Venue, config: LinkConfig) -> Link {
        let LinkConfig { order_latency_ns, report_latency_ns, jitter_ns, seed } = config;
        // Two streams of one seed.
        let mut root = Pcg64::seed_from_u64(seed);
        let to_venue = Pcg64::seed_from_u64(root.next_u64());
        let to_engine = Pcg64::seed_from_u64(root.next_u64());
        Link {
            venue,
            commands: Leg::new(order_latency_ns, jitter_ns, to_venue),
            reports: Leg::new(report_latency_ns, jitter_ns, to_engine),
            said: Vec::with_capacity(MESSAGES_PLANNED),
            now: TimeNs(i64::MIN),
            round_trip_ns_max: order_latency_ns
                .saturating_add(report_latency_ns)
                .saturating_add(jitter_ns.saturating_mul(2)),
        }
    }

    /// The longest an order and its first report can take together. Reports held back by earlier
    /// ones are within it too: those were sent no later.
    pub fn round_trip_ns_max(&self) -> u64 {
        self.round_trip_ns_max
    }

    pub fn venue(&self) -> &Venue {
        &self.venue
    }

    /// Sends a command at `now`.
    pub fn send(&mut self, now: TimeNs, instrument: InstrumentId, instruction: Instruction) {
        self.now = self.now.max(now);
        self.commands.push(self.now, (instrument, instruction));
    }

    /// A market frame reaches the venue at `now`, after the commands and timers due by then, those
    /// due at `now` included.
    pub fn market(&mut self, now: TimeNs, event: &Event) {
        self.catch_up(now);
        self.venue.on_market(self.now, event, &mut self.said);
        self.forward();
    }

    /// The venue closes up to so much of a position by itself.
    pub fn force(&mut self, now: TimeNs, instrument: InstrumentId, lots: Lots, cause: FillCause) {
        self.catch_up(now);
        self.venue.force(self.now, instrument, lots, cause, &mut self.said);
        self.forward();
    }

    /// The account's owner moves money in or, negative, out.
    pub fn transfer(&mut self, now: TimeNs, amount: Dec) {
        self.catch_up(now);
        self.venue.transfer(self.now, amount, &mut self.said);
        self.forward();
    }

    /// The earliest time at which something happens by itself: a command reaches the venue, one of
    /// the venue's timers falls due, or a report reaches the engine.
    pub fn next_due(&self) -> Option<TimeNs> {
        [self.venue_due(), self.reports.due()].into_iter().flatten().min()
    }

    /// The next report the engine has by `until`, received at its delivery time. The venue is run in
    /// order of time, and no further than that delivery: what the engine answers to the report can
    /// still come before anything later. At the same instant the delivery goes first.
    pub fn poll(&mut self, until: TimeNs) -> Option<Delivery> {
        loop {
            let report = self.reports.due().filter(|due| *due <= until);
            let venue = self.venue_due().filter(|due| *due <= until);
            match (report, venue) {
                (None, None) => return None,
                (Some(delivery), next) if next.is_none_or(|next| delivery <= next) => {
                    return self.deliver();
                }
                (_, Some(due)) => self.run_venue(due),
                (Some(_), None) => return self.deliver(),
            }
        }
    }

    /// The report that is delivered next, if it has been said.
    pub fn next_report(&self) -> Option<&Report> {
        self.reports.in_flight.front().map(|(_, report)| report)
    }

    /// Whether a command or a report is on its way.
    pub fn pending(&self) -> bool {
        !(self.commands.in_flight.is_empty() && self.reports.in_flight.is_empty())
    }

    /// Whether nothing is held of an instrument, no order of it works or rests, and nothing is on its
    /// way.
    pub fn is_quiet(&self, instrument: InstrumentId) -> bool {
        let mut open = self.venue.open_orders().iter();
        !self.pending()
            && self.venue.position(instrument).quantity == Lots::ZERO
            && open.all(|open| open.instrument != instrument)
    }

    fn deliver(&mut self) -> Option<Delivery> {
        let (recv_ns, report) = self.reports.in_flight.pop_front()?;
        self.now = self.now.max(recv_ns);
        Some(Delivery { recv_ns, report })
    }

    fn venue_due(&self) -> Option<TimeNs> {
        [self.venue.next_timer(), self.commands.due()].into_iter().flatten().min()
    }

    /// Runs the venue through everything due by `now`.
    fn catch_up(&mut self, now: TimeNs) {
        while let Some(due) = self.venue_due().filter(|due| *due <= now) {
            self.run_venue(due);
        }
        self.now = self.now.max(now);
    }

    /// Lets the venue do what is due at `due`: its timers, then one command.
    fn run_venue(&mut self, due: TimeNs) {
        self.now = self.now.max(due);
        self.venue.on_time(due, &mut self.said);
        if self.commands.due().is_some_and(|arrival| arrival <= due)
            && let Some((_, (instrument, instruction))) = self.commands.in_flight.pop_front()
        {
            match instruction {
                Instruction::Order(order) => self.venue.on_order(due, instrument, &order, &mut self.said),
                Instruction::Cancel(cancel) => self.venue.on_cancel(due, instrument, &cancel, &mut self.said),
                Instruction::Query(query) => self.venue.on_query(due, instrument, &query, &mut self.said),
            }
        }
        self.forward();
    }

    /// Sends off what the venue said. Its clock is the time of the call.
    fn forward(&mut self) {
        let sent = self.venue.now();
        for report in self.said.drain(..) {
            self.reports.push(sent, report);
        }
    }
}
