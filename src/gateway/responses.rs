//! Answers: responses of the order websocket, and of the REST interface.

use super::counters::AnswerClass;
use super::io::{Link, Outputs, RequestId, RestOutcome};
use super::machine::{Gateway, after, leaves_state_unknown};
use super::refusal::Refusal;
use super::requests::{Waiting, What};
use super::session::SessionState;
use super::unreadable::Unreadable;
use super::user::order_update;
use crate::event::{EventBody, OrderKind, OrderStatus, OrderUpdate};
use crate::num::{InstrumentId, Lots, NS_PER_MS, OrderId, TimeNs};
use crate::venue::binance::answer::{
    AlgoAnswer, ErrorBody, ErrorData, OrderAnswer, Response, ServerTime, algo_status, order_status,
};
use crate::venue::binance::request::{Action, Service};
use crate::venue::binance::{RateLimit, code, counts_of_answer};

/// An answer of either road.
pub(super) enum Answer<'a> {
    Success(&'a [u8]),
    Refused { http_status: u16, code: i32 },
}

/// Far beyond the longest ban, in milliseconds.
const MS_MAX: i64 = 30 * 86_400_000;

impl Gateway {
    pub(super) fn on_response(&mut self, now: TimeNs, text: &[u8], out: &mut Outputs) {
        self.counters.order_messages += 1;
        let Ok(response) = serde_json::from_slice::<Response<'_>>(text) else {
            self.counters.unreadable += 1;
            return;
        };
        let request = response.id.as_deref().and_then(|id| id.parse::<RequestId>().ok());
        let waiting = request.and_then(|request| self.requests.take(request));
        if let Some(counts) = response.rate_limits {
            let sent_ns = waiting.map_or(now, |waiting| waiting.sent_ns);
            self.take_counts(sent_ns, counts_of_answer(counts.get().as_bytes()));
        }
        let answer = match (&response.result, &response.error) {
            (Some(result), None) if response.status == 200 => Answer::Success(result.get().as_bytes()),
            (_, error) => {
                let error = error.clone().unwrap_or_default();
                let until = error.data.and_then(|data| self.retry_at(now, data));
                self.take_warning(now, response.status, error.code, until, out);
                Answer::Refused { http_status: response.status, code: error.code }
            }
        };
        match waiting {
            Some(waiting) => self.on_answer(now, &waiting, &answer, out),
            None => self.counters.unmatched += 1,
        }
    }

    /// What the venue counts, by an answer: of the interval in which its request was sent, for the answer may
    /// come in the next.
    fn take_counts(&mut self, sent_ns: TimeNs, counts: impl IntoIterator<Item = RateLimit>) {
        let venue_ms = self.server_ms(sent_ns);
        counts.into_iter().for_each(|count| self.budget.state(sent_ns, venue_ms, count));
    }

    /// When a silence ends: by how long it is if the venue says that, for what we know of its clock may be
    /// wrong.
    fn retry_at(&self, now: TimeNs, data: ErrorData) -> Option<TimeNs> {
        let retry_ms = data.retry_after?;
        Some(match data.server_time {
            Some(server_ms) => now + retry_ms.saturating_sub(server_ms).clamp(0, MS_MAX) * NS_PER_MS,
            None => TimeNs::from_ms(retry_ms.saturating_sub(self.clock_offset_ms)),
        })
    }

    pub(super) fn on_rest(
        &mut self,
        now: TimeNs,
        request: RequestId,
        outcome: RestOutcome<'_>,
        out: &mut Outputs,
    ) {
        let Some(waiting) = self.requests.take(request) else {
            self.counters.unmatched += 1;
            return;
        };
        if let RestOutcome::Answer { used, .. } = outcome {
            self.take_counts(waiting.sent_ns, used.counts());
        }
        match outcome {
            RestOutcome::Answer { status: 200, body, .. } => {
                self.on_answer(now, &waiting, &Answer::Success(body), out);
            }
            RestOutcome::Answer { status, retry_after_s, body, .. } => {
                let code = ErrorBody::of_rest(body).code;
                self.take_warning(now, status, code, after(now, retry_after_s), out);
                self.on_answer(now, &waiting, &Answer::Refused { http_status: status, code }, out);
            }
            RestOutcome::Unsent => self.on_unsent(now, &waiting, out),
            RestOutcome::Lost => {
                self.on_lost(now, &waiting, out);
                self.on_own_failure(now, &waiting.what, out);
            }
        }
    }

    /// What a refusal says about us rather than about the request.
    pub(super) fn take_warning(
        &mut self,
        now: TimeNs,
        http_status: u16,
        refusal: i32,
        until: Option<TimeNs>,
        out: &mut Outputs,
    ) {
        if is_rate_limited(http_status, refusal) {
            self.fall_silent(now, until, http_status == 418, out);
        }
        if refusal == code::INVALID_TIMESTAMP {
            self.on_timestamp_refused(now, out);
        }
    }

    /// Neither road was open: the last one was REST.
    fn on_unsent(&mut self, now: TimeNs, waiting: &Waiting, out: &mut Outputs) {
        self.counters.count_answer(AnswerClass::Unsent);
        if let What::Order { action, order, .. } = waiting.what {
            let refusal = if self.is_silent() { Refusal::Silenced } else { Refusal::Unreachable };
            self.refuse(now, waiting.instrument, action, order, refusal, out);
            if self.order_link() == Link::Down {
                self.say_orders_feed(now, false, out);
            }
        }
        self.on_own_failure(now, &waiting.what, out);
    }

    fn on_answer(&mut self, now: TimeNs, waiting: &Waiting, answer: &Answer<'_>, out: &mut Outputs) {
        let class = match answer {
            Answer::Success(_) => AnswerClass::Success,
            Answer::Refused { http_status, code } => classify(*http_status, *code),
        };
        self.counters.count_answer(class);
        if class == AnswerClass::Clock && self.keep_for_again(waiting) {
            return;
        }
        let read = match waiting.what {
            What::Order { action, order, service } => {
                self.on_order_answer(now, waiting, action, order, service, answer, out)
            }
            What::Time { at_once } => {
                let server_ms = success::<ServerTime>(answer).ok().map(|time| time.server_time);
                self.on_time_answer(now, waiting.sent_ns, at_once, server_ms, out);
                Ok(())
            }
            What::NewListenKey => self.on_listen_key(now, answer, out),
            What::KeepListenKey => {
                self.on_listen_key_kept(now, answer, out);
                Ok(())
            }
            What::Reconcile { round, part } => {
                self.on_reconcile_answer(now, waiting.instrument, round, part, answer, out)
            }
        };
        if read.is_err() {
            self.counters.count_answer(AnswerClass::Unreadable);
            self.counters.unreadable += 1;
            self.on_lost(now, waiting, out);
            self.on_own_failure(now, &waiting.what, out);
        }
    }

    #[allow(clippy::too_many_arguments)] // the parts of one answer
    pub(super) fn on_order_answer(
        &mut self,
        now: TimeNs,
        waiting: &Waiting,
        action: Action,
        order: OrderId,
        service: Service,
        answer: &Answer<'_>,
        out: &mut Outputs,
    ) -> Result<(), Unreadable> {
        if self.order_link() == Link::Down && !self.is_silent() {
            // REST reached the venue, so there is a road.
            self.say_orders_feed(now, true, out);
        }
        if action == Action::Place {
            self.counters.record_round_trip(now.since(waiting.sent_ns));
        }
        match (answer, action) {
            (Answer::Success(body), Action::Place) => {
                self.on_placed(now, waiting.instrument, order, service, body, out)
            }
            (Answer::Success(body), Action::Cancel) => {
                self.on_canceled(now, waiting.instrument, order, service, body, out)
            }
            (Answer::Success(body), Action::Query) => {
                let update = self.read_state(now, waiting.instrument, order, service, body)?;
                self.tell_found(now, waiting.instrument, update, out);
                if self.orders.get(order).is_some_and(|tracked| tracked.filled > tracked.summed) {
                    // Fills that the stream has not told: a round asks for them, unless they come first.
                    self.positions.look_again(now);
                }
                Ok(())
            }
            (Answer::Refused { http_status, code }, Action::Place) => {
                self.on_place_refused(now, order, *http_status, *code, out);
                Ok(())
            }
            (Answer::Refused { code, .. }, Action::Cancel) => {
                let filled = self.orders.get(order).map_or(Lots::ZERO, |tracked| tracked.filled);
                let venue_id = self.orders.get(order).map_or(0, |tracked| tracked.venue_id);
                let status = OrderStatus::CancelRejected;
                let update = OrderUpdate { code: *code, ..order_update(order, venue_id, filled, 0, status) };
                out.event(now, waiting.instrument, EventBody::OrderUpdate(update));
                Ok(())
            }
            (Answer::Refused { code: code::NO_SUCH_ORDER, .. }, Action::Query) => {
                let update = self.not_found(now, order);
                out.event(now, waiting.instrument, EventBody::OrderUpdate(update));
                Ok(())
            }
            // It asks again.
            (Answer::Refused { .. }, Action::Query) => Ok(()),
        }
    }

    /// Accepted, whatever became of it since: its fills and its end are the user stream's to tell.
    fn on_placed(
        &mut self,
        now: TimeNs,
        instrument: InstrumentId,
        order: OrderId,
        service: Service,
        body: &[u8],
        out: &mut Outputs,
    ) -> Result<(), Unreadable> {
        let (venue_id, event_ms) = match service {
            Service::Ordinary => {
                let answer: OrderAnswer<'_> = parse(body)?;
                self.note_ordinary(now, instrument, order, answer.order_id);
                (answer.order_id, answer.update_time)
            }
            Service::Algo => {
                let answer: AlgoAnswer<'_> = parse(body)?;
                (answer.algo_id, answer.update_time)
            }
        };
        let filled = Lots::ZERO;
        let update = order_update(order, venue_id, filled, event_ms, OrderStatus::Accepted);
        self.take_update(now, instrument, update, out);
        Ok(())
    }

    fn on_place_refused(
        &mut self,
        now: TimeNs,
        order: OrderId,
        http_status: u16,
        refusal: i32,
        out: &mut Outputs,
    ) {
        // A used id is the late proof that the order was accepted.
        let exists = refusal == code::DUPLICATE_CLIENT_ORDER_ID;
        if exists || leaves_state_unknown(http_status, refusal) {
            self.take_unknown(now, order, refusal, out);
        } else {
            self.take_status(now, order, OrderStatus::Rejected, refusal, out);
        }
    }

    /// The user stream tells of the end, with what filled before it; without one this has to do.
    fn on_canceled(
        &mut self,
        now: TimeNs,
        instrument: InstrumentId,
        order: OrderId,
        service: Service,
        body: &[u8],
        out: &mut Outputs,
    ) -> Result<(), Unreadable> {
        if matches!(self.session.state, SessionState::Up | SessionState::Reconciling) {
            return Ok(());
        }
        let update = match service {
            Service::Ordinary => self.read_state(now, instrument, order, service, body)?,
            Service::Algo => order_update(order, 0, Lots::ZERO, 0, OrderStatus::Canceled),
        };
        self.take_update(now, instrument, update, out);
        Ok(())
    }

    /// The state of an order as an answer shows it.
    pub(super) fn read_state(
        &mut self,
        now: TimeNs,
        instrument: InstrumentId,
        order: OrderId,
        service: Service,
        body: &[u8],
    ) -> Result<OrderUpdate, Unreadable> {
        match service {
            Service::Ordinary => {
                let answer: OrderAnswer<'_> = parse(body)?;
                let status = order_status(&answer.status).ok_or(Unreadable)?;
                let filled = self.row(instrument)?.parse_quantity(answer.executed_qty.as_bytes())?;
                self.note_ordinary(now, instrument, order, answer.order_id);
                let sent = self.orders.get(order).and_then(|tracked| tracked.order);
                if let Some(sent) = &sent {
                    self.note_filled(instrument, order, sent.side, filled);
                }
                // A conditional order that works as an ordinary one was triggered.
                let conditional = sent.is_some_and(|sent| sent.kind == OrderKind::StopMarket);
                let status = match status {
                    OrderStatus::Accepted if conditional => OrderStatus::Triggered,
                    status => status,
                };
                Ok(order_update(order, answer.order_id, filled, answer.update_time, status))
            }
            Service::Algo => {
                let answer: AlgoAnswer<'_> = parse(body)?;
                let status = algo_status(&answer.algo_status).ok_or(Unreadable)?;
                self.note_conditional(now, instrument, order);
                let filled = self.orders.get(order).map_or(Lots::ZERO, |tracked| tracked.filled);
                Ok(order_update(order, answer.algo_id, filled, answer.update_time, status))
            }
        }
    }

    /// What a query found: taken in, and told in any case, for somebody waits for it.
    pub(super) fn tell_found(
        &mut self,
        now: TimeNs,
        instrument: InstrumentId,
        update: OrderUpdate,
        out: &mut Outputs,
    ) {
        if !self.take_update(now, instrument, update, out) {
            out.event(now, instrument, EventBody::OrderUpdate(update));
        }
    }

    pub(super) fn not_found(&mut self, now: TimeNs, order: OrderId) -> OrderUpdate {
        self.orders.change(order, |tracked| tracked.give_up_absent(now));
        let venue_id = self.orders.get(order).map_or(0, |tracked| tracked.venue_id);
        let update = order_update(order, venue_id, Lots::ZERO, 0, OrderStatus::NotFound);
        OrderUpdate { code: code::NO_SUCH_ORDER, ..update }
    }
}

/// Whether the venue wants less of us.
pub(super) fn is_rate_limited(http_status: u16, refusal: i32) -> bool {
    matches!(refusal, code::TOO_MANY_REQUESTS | code::TOO_MANY_ORDERS) || matches!(http_status, 429 | 418)
}

fn classify(http_status: u16, refusal: i32) -> AnswerClass {
    if is_rate_limited(http_status, refusal) {
        AnswerClass::RateLimited
    } else if refusal == code::INVALID_TIMESTAMP {
        AnswerClass::Clock
    } else if leaves_state_unknown(http_status, refusal) {
        AnswerClass::StateUnknown
    } else {
        AnswerClass::Refused
    }
}

pub(super) fn parse<'a, T: serde::Deserialize<'a>>(body: &'a [u8]) -> Result<T, Unreadable> {
    Ok(serde_json::from_slice(body)?)
}

/// The body of a success.
pub(super) fn success<'a, T: serde::Deserialize<'a>>(answer: &Answer<'a>) -> Result<T, Unreadable> {
    match answer {
        Answer::Success(body) => parse(body),
        Answer::Refused { .. } => Err(Unreadable),
    }
}
