//! The venue's clock, by which requests are stamped: asked for again and again, since clocks drift, and
//! at once when the venue refuses a time stamp (−1021).
//!
//! A refused time stamp means that the venue did nothing. What reduces a position, and a cancel, is then
//! sent once more with the new time, under the same id; the engine is told of the refusal only if that
//! does not help.

use super::budget::Share;
use super::io::{Outputs, RestRequest};
use super::machine::Gateway;
use super::own;
use super::requests::{Road, Waiting, What};
use super::responses::Answer;
use crate::event::OrderUpdate;
use crate::num::{InstrumentId, Millis, NS_PER_MS, NS_PER_SEC, TimeNs};
use crate::venue::binance::request::{self, Action, RECV_WINDOW_MS, Verb};
use crate::venue::binance::{code, path};

/// A venue refuses time stamps 1 s ahead of its clock and 5 s behind it: a round trip so short leaves
/// room whenever within it the venue read its clock.
pub(super) const ROUND_TRIP_NS: i64 = 500 * NS_PER_MS;
/// What is sent once more is sent so soon after the first time: with the venue's receive window behind it,
/// whoever waits for it may then count it as lost ([`OrderUpdate::LOST_AFTER_NS`]).
const AGAIN_WITHIN_NS: i64 = OrderUpdate::LOST_AFTER_NS - RECV_WINDOW_MS * NS_PER_MS - 100 * NS_PER_MS;
/// How far apart clocks get in a second, at most: 100 ppm, twice what quartz does.
const DRIFT_NS_PER_SEC: i64 = 100_000;

/// How well the venue's clock is known.
#[derive(Debug)]
pub(super) struct VenueClock {
    every_ns: i64,
    ask_at: TimeNs,
    read_at: TimeNs,
    /// By how much the reading may have been wrong when it was made.
    error_ns: i64,
    /// The venue refused a time stamp made by it.
    refused: bool,
    asking: bool,
    /// Asked because of a refusal.
    asking_at_once: bool,
    /// Refused, to be sent once more.
    again: Vec<Waiting>,
}

impl VenueClock {
    /// As it was read at the start: by the shortest of several round trips.
    pub fn new(every_ns: i64, now: TimeNs) -> VenueClock {
        VenueClock {
            every_ns,
            ask_at: now + every_ns,
            read_at: now,
            error_ns: ROUND_TRIP_NS / 2,
            refused: false,
            asking: false,
            asking_at_once: false,
            again: Vec::new(),
        }
    }

    /// Whether a reading replaces the one before. A slow one is worse than that, until that is old.
    fn takes(&self, now: TimeNs, round_trip_ns: i64) -> bool {
        let drift_ns = (now.since(self.read_at) / NS_PER_SEC).saturating_mul(DRIFT_NS_PER_SEC);
        self.refused
            || round_trip_ns <= ROUND_TRIP_NS
            || round_trip_ns / 2 <= self.error_ns.saturating_add(drift_ns)
    }
}

impl Gateway {
    /// The venue's time.
    pub(super) fn server_ms(&self, now: TimeNs) -> Millis {
        now.ms().saturating_add(self.clock_offset_ms)
    }

    /// Asks when it is time to.
    pub(super) fn drive_clock(&mut self, now: TimeNs, out: &mut Outputs) {
        if now < self.clock.ask_at || self.clock.asking || self.is_silent() {
            return;
        }
        self.clock.asking = true;
        let call = request::public(path::TIME, String::new());
        self.queue(now, call, What::Time { at_once: false }, InstrumentId::NONE, out);
    }

    /// The venue refused a time stamp. Its clock is asked for before anything else of ours, for a stop may
    /// wait for it.
    pub(super) fn on_timestamp_refused(&mut self, now: TimeNs, out: &mut Outputs) {
        self.clock.refused = true;
        let cost = own::cost(Verb::Get, path::TIME, false);
        if self.config.lockstep
            || self.is_silent()
            || self.clock.asking_at_once
            || !self.budget.has_room(now, cost, Share::All)
        {
            return;
        }
        self.budget.spend(now, cost);
        self.clock.asking_at_once = true;
        let what = What::Time { at_once: true };
        let waiting =
            Waiting { what, road: Road::Rest, instrument: InstrumentId::NONE, sent_ns: now, again: false };
        let request = self.requests.add(waiting);
        self.counters.rest_requests += 1;
        out.urgent.push_back(RestRequest { request, call: request::public(path::TIME, String::new()) });
    }

    /// Keeps a request whose time stamp was refused until the time is known, if it is one of those that
    /// are sent once more.
    pub(super) fn keep_for_again(&mut self, waiting: &Waiting) -> bool {
        let What::Order { action, order, .. } = waiting.what else { return false };
        let reduces = || {
            let placed = self.orders.get(order).and_then(|tracked| tracked.order);
            placed.is_some_and(|placed| placed.reduce_only)
        };
        let worth_it = match action {
            Action::Place => reduces(),
            Action::Cancel => true,
            // The engine asks again.
            Action::Query => false,
        };
        let kept = worth_it && !waiting.again && self.clock.asking_at_once;
        if kept {
            self.clock.again.push(*waiting);
        }
        kept
    }

    /// The venue's clock, read between `sent` and `now`; `None` if it could not be.
    pub(super) fn on_time_answer(
        &mut self,
        now: TimeNs,
        sent: TimeNs,
        at_once: bool,
        server_ms: Option<Millis>,
        out: &mut Outputs,
    ) {
        let round_trip_ns = now.since(sent);
        if let Some(server_ms) = server_ms.filter(|_| self.clock.takes(now, round_trip_ns)) {
            let middle_ms = sent.ms().saturating_add(round_trip_ns / 2 / NS_PER_MS);
            self.clock_offset_ms = server_ms.saturating_sub(middle_ms);
            self.clock.read_at = now;
            self.clock.error_ns = round_trip_ns / 2;
            self.clock.refused = false;
        }
        self.clock.ask_at = now + self.clock.every_ns;
        if !at_once {
            self.clock.asking = false;
            return;
        }
        self.clock.asking_at_once = false;
        for waiting in std::mem::take(&mut self.clock.again) {
            self.send_again(now, &waiting, server_ms.is_some(), out);
        }
    }

    fn send_again(&mut self, now: TimeNs, waiting: &Waiting, time_is_known: bool, out: &mut Outputs) {
        let What::Order { action, order, service } = waiting.what else { return };
        let cost = self.cost(action, service);
        let in_time = now.since(waiting.sent_ns) <= AGAIN_WITHIN_NS;
        if time_is_known && in_time && !self.is_silent() && self.budget.has_room(now, cost, Share::All) {
            self.budget.spend(now, cost);
            let link = self.order_link();
            return self.send(now, waiting.instrument, waiting.what, link, true, out);
        }
        let refused = Answer::Refused { http_status: 400, code: code::INVALID_TIMESTAMP };
        // A refusal can be read.
        let _ = self.on_order_answer(now, waiting, action, order, service, &refused, out);
    }
}
