//! The state machine: its parts, what the engine asks, and the roads a request can take.

use std::collections::{HashMap, VecDeque};

use super::budget::{Budget, Cost, Share};
use super::clock::VenueClock;
use super::counters::{AnswerClass, Counters};
use super::io::{Input, Link, OrderText, Outputs, RequestId, RestRequest};
use super::limits::{LimitSettings, Limits, Prices};
use super::orders::{NotTaken, OrderTable, Stage, Tracked};
use super::own::{OwnRequest, cost};
use super::positions::Positions;
use super::pulse::Pulse;
use super::recent::Recent;
use super::refusal::Refusal;
use super::requests::{Requests, Road, Waiting, What};
use super::session::Session;
use crate::event::{
    EventBody, Feed, FeedState, FeedStatus, Instruction, InstrumentTable, Order, OrderStatus, OrderUpdate,
    Symbol,
};
use crate::num::planted::{Bug, is_planted};
use crate::num::{Dec, InstrumentId, Lots, Millis, NS_PER_SEC, OrderId, TimeNs};
use crate::venue::binance::request::{self, Action, Service};
use crate::venue::binance::sign::Credentials;
use crate::venue::binance::{ClientIds, Params, RateLimits, code};

/// A request of the order websocket without an answer for so long has lost it, and the websocket is
/// not what it seems. The venue acts within its receive window of 5 s or not at all.
const ANSWER_DUE_NS: i64 = 10 * NS_PER_SEC;
/// Trade ids remembered: hours of fills, and the engine knows each trade of its own besides.
const TRADES_SEEN_MAX: usize = 16_384;
/// Wallet changes remembered: what two connections of one user stream repeat, they repeat at once.
const WALLET_CHANGES_SEEN_MAX: usize = 256;
/// Silence where the venue does not say how long: request weights are counted by the minute.
const SILENCE_NS: i64 = 60 * NS_PER_SEC;
/// A ban lasts two minutes at least, and three days at most (`IP limits` of the API documentation).
const BAN_NS: i64 = 120 * NS_PER_SEC;
const SILENCE_NS_MAX: i64 = 3 * 24 * 3_600 * NS_PER_SEC;

/// How a gateway is set up.
#[derive(Clone, Copy, Debug)]
pub struct GatewayConfig {
    pub ids: ClientIds,
    pub limits: LimitSettings,
    /// How often the venue's clock is asked for.
    pub time_sync_ns: i64,
    /// Joined to an embedded venue in lockstep: no request of its own, and no answer is overdue, for
    /// time stands still until all is answered.
    pub lockstep: bool,
    /// Whether quiet connections are asked if they live: where the venue's time is the world's. A simulated
    /// venue whose clock goes faster would hear too many pings, and answer late by its own time.
    pub pings: bool,
    /// How often everything is asked for while nothing seems to be missing.
    pub reconcile_ns: i64,
}

/// See the [room](super).
pub struct Gateway {
    pub(super) config: GatewayConfig,
    pub(super) instruments: InstrumentTable,
    symbols: HashMap<Symbol, InstrumentId>,
    pub(super) credentials: Credentials,
    pub(super) params: Params,
    pub(super) limits: Limits,
    pub(super) budget: Budget,
    /// Requests of our own that wait for room.
    pub(super) own: VecDeque<OwnRequest>,
    pub(super) orders: OrderTable,
    pub(super) requests: Requests,
    pub(super) session: Session,
    pub(super) trades_seen: Recent<(InstrumentId, i64)>,
    pub(super) wallet_changes_seen: Recent<u64>,
    pub(super) positions: Positions,
    /// When the venue last stated the wallet: older answers are old news.
    pub(super) wallet_ms: Millis,
    /// As the engine was last told it.
    pub(super) wallet: Option<Dec>,
    order_link: Link,
    pub(super) order_pulse: Pulse,
    orders_up: bool,
    silent_until: Option<TimeNs>,
    /// Server time − our time.
    pub(super) clock_offset_ms: Millis,
    pub(super) clock: VenueClock,
    pub(super) counters: Counters,
}

impl Gateway {
    /// A gateway whose links are up and whose account has no orders; `clock_offset_ms` is the venue's
    /// clock minus ours.
    pub fn new(
        config: GatewayConfig,
        instruments: InstrumentTable,
        prices: Prices,
        credentials: Credentials,
        clock_offset_ms: Millis,
        now: TimeNs,
    ) -> Gateway {
        let symbols = instruments.iter().map(|(id, row)| (row.symbol, id)).collect();
        Gateway {
            limits: Limits::new(config.limits, prices, &instruments),
            budget: Budget::new(&RateLimits::default()),
            own: VecDeque::new(),
            clock: VenueClock::new(config.time_sync_ns, now),
            positions: Positions::new(instruments.len()),
            session: Session::new(now, config.reconcile_ns),
            config,
            instruments,
            symbols,
            credentials,
            params: Params::default(),
            orders: OrderTable::default(),
            requests: Requests::default(),
            trades_seen: Recent::new(TRADES_SEEN_MAX),
            wallet_changes_seen: Recent::new(WALLET_CHANGES_SEEN_MAX),
            wallet_ms: Millis::MIN,
            wallet: None,
            order_link: Link::Up,
            order_pulse: Pulse::new(now),
            orders_up: true,
            silent_until: None,
            clock_offset_ms,
            counters: Counters::default(),
        }
    }

    /// The venue's own limits, where it named them; nothing was sent yet.
    pub fn limit_rates(&mut self, limits: &RateLimits) {
        self.budget = Budget::new(limits);
    }

    /// A position found at the start.
    pub fn begin_at(&mut self, instrument: InstrumentId, quantity: Lots) {
        self.limits.begin_at(instrument, quantity);
    }

    /// An order of ours found at the venue at the start; the newest word on it counts.
    pub fn adopt(&mut self, id: OrderId, found: Tracked) {
        self.orders.with(id, || found, |tracked| *tracked = found);
    }

    /// Where it is, for whoever looks for a fault.
    pub fn describe(&self) -> String {
        let waiting = self.own.len();
        let (session, budget) = (&self.session, self.budget.describe());
        format!("{session:?}, silent until {:?}, {waiting} own requests wait, {budget}", self.silent_until)
    }

    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Orders whose acknowledgement is lost, now.
    pub fn unknown_orders(&self) -> usize {
        self.orders.unknown()
    }

    /// Takes one input and says what is to be done.
    pub fn on(&mut self, input: Input<'_>, now: TimeNs, out: &mut Outputs) {
        match input {
            Input::Instruction(instrument, instruction) => {
                self.on_instruction(now, instrument, &instruction, out);
            }
            Input::OrderText(text) => {
                self.order_pulse.heard(now);
                self.on_response(now, text, out);
            }
            Input::UserText(text) => {
                self.session.pulse.heard(now);
                self.on_user_text(now, text, out);
            }
            Input::NotSent(request) => self.on_not_sent(now, request, out),
            Input::Rest(request, outcome) => self.on_rest(now, request, outcome, out),
            Input::OrderLink(link) => self.on_order_link(now, link, out),
            Input::UserLink(link) => self.on_user_link(now, link, out),
            Input::Pong(stream) => self.on_pong(now, stream),
            Input::TurnedAway(status, retry_after_s) => {
                self.take_warning(now, status, 0, after(now, retry_after_s), out);
            }
            Input::Time => self.on_time(now, out),
        }
    }

    fn on_time(&mut self, now: TimeNs, out: &mut Outputs) {
        if self.silent_until.is_some_and(|until| now >= until) {
            self.silent_until = None;
            self.say_orders_feed(now, true, out);
        }
        if self.config.lockstep {
            return;
        }
        let overdue = self.requests.take_of_socket(now - ANSWER_DUE_NS);
        out.reopen_orders |= !overdue.is_empty();
        for waiting in overdue {
            self.on_lost(now, &waiting, out);
        }
        self.feel_pulses(now, out);
        self.drive_session(now, out);
        self.drive_clock(now, out);
        self.release_own(now, out);
    }

    fn on_instruction(
        &mut self,
        now: TimeNs,
        instrument: InstrumentId,
        instruction: &Instruction,
        out: &mut Outputs,
    ) {
        let action = match instruction {
            Instruction::Order(_) => Action::Place,
            Instruction::Cancel(_) => Action::Cancel,
            Instruction::Query(_) => Action::Query,
        };
        let id = instruction.order_id();
        let service = match instruction {
            Instruction::Order(order) => Service::from(order.kind),
            Instruction::Cancel(cancel) => self.orders.service(id, cancel.kind),
            Instruction::Query(query) => self.orders.service(id, query.kind),
        };
        if action == Action::Cancel {
            // Whether or not it gets through: nobody may want it any more.
            self.orders.change(id, |tracked| tracked.leaving = true);
        }
        let cost = self.cost(action, service);
        if let Err(refusal) = self.admit(now, instrument, instruction, cost) {
            out.withheld += 1;
            return self.refuse(now, instrument, action, id, refusal, out);
        }
        self.budget.spend(now, cost);
        if let Instruction::Order(order) = instruction {
            self.orders.begin(now, instrument, order);
            self.positions.used(now, instrument);
        }
        match action {
            Action::Place => self.counters.orders_sent += 1,
            Action::Cancel => self.counters.cancels_sent += 1,
            Action::Query => self.counters.queries_sent += 1,
        }
        let what = What::Order { action, order: id, service };
        self.send(now, instrument, what, self.order_link, false, out);
    }

    /// What a request about an order costs, on either road.
    pub(super) fn cost(&self, action: Action, service: Service) -> Cost {
        let (verb, path) = request::rest_road(action, service);
        Cost { orders: u32::from(action == Action::Place), ..cost(verb, path, true) }
    }

    fn admit(
        &mut self,
        now: TimeNs,
        instrument: InstrumentId,
        instruction: &Instruction,
        cost: Cost,
    ) -> Result<(), Refusal> {
        // Before all else: a refusal is told by the id, and a used one is another order's.
        if let Instruction::Order(order) = instruction {
            self.orders.may_begin(order).map_err(|reason| match reason {
                NotTaken::IdUsed => Refusal::IdUsed,
                NotTaken::Full => Refusal::Full,
            })?;
        }
        if self.is_silent() {
            return Err(Refusal::Silenced);
        }
        let row = *self.instruments.get(instrument).ok_or(Refusal::UnknownInstrument)?;
        if self.requests.is_full() {
            return Err(Refusal::Full);
        }
        let share = match instruction {
            Instruction::Order(order) if !order.reduce_only => Share::Half,
            Instruction::Order(_) | Instruction::Cancel(_) => Share::All,
            Instruction::Query(_) => Share::ThreeQuarters,
        };
        if !self.budget.has_room(now, cost, share) {
            return Err(Refusal::VenueRate);
        }
        let Instruction::Order(order) = instruction else { return Ok(()) };
        let pending = self.orders.pending(instrument, order.side);
        self.limits.check(now, instrument, &row, order, pending)
    }

    /// Tells the engine that something was not and will not be asked.
    pub(super) fn refuse(
        &mut self,
        now: TimeNs,
        instrument: InstrumentId,
        action: Action,
        id: OrderId,
        refusal: Refusal,
        out: &mut Outputs,
    ) {
        self.counters.count_refusal(refusal);
        let status = match action {
            // The id is another order's, of which this would be told.
            Action::Place if refusal == Refusal::IdUsed => return,
            Action::Place => OrderStatus::Rejected,
            Action::Cancel => OrderStatus::CancelRejected,
            // It asks again.
            Action::Query => return,
        };
        if status == OrderStatus::Rejected && self.orders.get(id).is_some() {
            self.take_status(now, id, status, refusal.code(), out);
            return;
        }
        let update = self.update(id, status, refusal.code());
        out.event(now, instrument, EventBody::OrderUpdate(update));
    }

    /// Puts a request about an order on its way: by the order websocket if that is up and has a method
    /// for it, else by REST.
    pub(super) fn send(
        &mut self,
        now: TimeNs,
        instrument: InstrumentId,
        what: What,
        link: Link,
        again: bool,
        out: &mut Outputs,
    ) {
        let What::Order { action, order, service } = what else { return };
        if !self.write_params(instrument, action, order, service) {
            return;
        }
        let timestamp_ms = self.server_ms(now);
        let method = request::ws_method(action, service).filter(|_| link == Link::Up);
        let road = if method.is_some() { Road::Socket } else { Road::Rest };
        let id = self.requests.add(Waiting { what, road, instrument, sent_ns: now, again });
        if let Some(method) = method {
            let text = request::ws_text(id, method, &mut self.params, &mut self.credentials, timestamp_ms);
            out.texts.push_back(OrderText { request: id, text });
        } else {
            let (verb, path) = request::rest_road(action, service);
            let signer = &mut self.credentials.signer;
            let call = request::signed(verb, path, &mut self.params, signer, timestamp_ms);
            self.counters.rest_requests += 1;
            out.urgent.push_back(RestRequest { request: id, call });
        }
    }

    /// The parameters of a request about an order. `false` for an order that is not there to be placed:
    /// its row went while it was on its way.
    fn write_params(
        &mut self,
        instrument: InstrumentId,
        action: Action,
        order: OrderId,
        service: Service,
    ) -> bool {
        let Some(row) = self.instruments.get(instrument) else { return false };
        let ids = &self.config.ids;
        match action {
            Action::Place => {
                let placed: Option<Order> = self.orders.get(order).and_then(|tracked| tracked.order);
                let Some(placed) = placed else { return false };
                request::place(&mut self.params, row, &placed, ids);
            }
            Action::Cancel | Action::Query => request::find(&mut self.params, row, service, order, ids),
        }
        true
    }

    /// Nothing of it reached the socket, so the other road may take it.
    fn on_not_sent(&mut self, now: TimeNs, request: RequestId, out: &mut Outputs) {
        let Some(waiting) = self.requests.take(request) else { return };
        let What::Order { action, order, .. } = waiting.what else { return };
        if self.is_silent() {
            self.refuse(now, waiting.instrument, action, order, Refusal::Silenced, out);
        } else {
            self.send(now, waiting.instrument, waiting.what, Link::Down, waiting.again, out);
        }
    }

    fn on_order_link(&mut self, now: TimeNs, link: Link, out: &mut Outputs) {
        let before = std::mem::replace(&mut self.order_link, link);
        if link == Link::Up {
            self.order_pulse.heard(now);
            if self.silent_until.is_none() {
                self.say_orders_feed(now, true, out);
            }
            return;
        }
        self.counters.order_link_losses += u64::from(before == Link::Up);
        // Those the caller has not taken yet were not written.
        for text in std::mem::take(&mut out.texts) {
            self.on_not_sent(now, text.request, out);
        }
        for waiting in self.requests.take_of_socket(TimeNs(i64::MAX)) {
            self.on_lost(now, &waiting, out);
        }
    }

    /// A request that the venue may have acted on, or not.
    pub(super) fn on_lost(&mut self, now: TimeNs, waiting: &Waiting, out: &mut Outputs) {
        self.counters.count_answer(AnswerClass::Lost);
        // Cancels and queries are repeated by the engine.
        if let What::Order { action: Action::Place, order, .. } = waiting.what {
            if is_planted(Bug::RetryWithoutQuery) {
                return self.send(now, waiting.instrument, waiting.what, Link::Down, false, out);
            }
            self.take_unknown(now, order, 0, out);
        }
    }

    /// The order may exist. One that fills, or was heard of, does.
    pub(super) fn take_unknown(&mut self, now: TimeNs, order: OrderId, code: i32, out: &mut Outputs) {
        let unheard = |tracked: &Tracked| tracked.stage == Stage::Sent && tracked.filled == Lots::ZERO;
        if self.orders.get(order).is_some_and(unheard) {
            self.counters.unknown += 1;
            self.take_status(now, order, OrderStatus::Unknown, code, out);
        }
    }

    /// The venue wants silence. What has not gone out yet does not.
    pub(super) fn fall_silent(
        &mut self,
        now: TimeNs,
        until: Option<TimeNs>,
        banned: bool,
        out: &mut Outputs,
    ) {
        let until = now + silence_ns(until.map(|until| until.since(now)), banned);
        self.counters.silences += 1;
        if until.since(now) > SILENCE_NS {
            out.banned_until = out.banned_until.max(Some(until));
        }
        self.silent_until = Some(self.silent_until.map_or(until, |before| before.max(until)));
        self.say_orders_feed(now, false, out);
        if out.open_user.take().is_some() {
            self.retry_session(now);
        }
        let texts = std::mem::take(&mut out.texts).into_iter().map(|text| text.request);
        let urgent = std::mem::take(&mut out.urgent).into_iter().map(|call| call.request);
        let unsent: Vec<RequestId> =
            texts.chain(urgent).chain(std::mem::take(&mut out.rest).into_iter().map(|c| c.request)).collect();
        for request in unsent {
            self.on_rest(now, request, super::io::RestOutcome::Unsent, out);
        }
    }

    pub(super) fn is_silent(&self) -> bool {
        self.silent_until.is_some() && !is_planted(Bug::BanIgnored)
    }

    pub(super) fn order_link(&self) -> Link {
        self.order_link
    }

    /// Says whether orders can reach the venue, when that changes.
    pub(super) fn say_orders_feed(&mut self, now: TimeNs, up: bool, out: &mut Outputs) {
        if std::mem::replace(&mut self.orders_up, up) != up {
            say_feed(now, Feed::Orders, if up { FeedState::Up } else { FeedState::Down }, out);
        }
    }

    pub(super) fn find_symbol(&self, symbol: &str) -> Option<InstrumentId> {
        self.symbols.get(&Symbol::new(symbol)?).copied()
    }

    /// Of our own making, or a refusal: the venue put no time to it.
    pub(super) fn update(&self, order: OrderId, status: OrderStatus, code: i32) -> OrderUpdate {
        let known = self.orders.get(order);
        OrderUpdate {
            order,
            venue_id: known.map_or(0, |tracked| tracked.venue_id),
            filled: known.map_or(Lots::ZERO, |tracked| tracked.filled),
            event_ms: 0,
            code,
            status,
            pad: [0; 3],
        }
    }

    /// A status of our own making, told if it advances its order.
    pub(super) fn take_status(
        &mut self,
        now: TimeNs,
        order: OrderId,
        status: OrderStatus,
        code: i32,
        out: &mut Outputs,
    ) {
        let update = self.update(order, status, code);
        let Some(instrument) = self.orders.get(order).map(|tracked| tracked.instrument) else { return };
        self.take_update(now, instrument, update, out);
    }

    /// A status of an order we know, told if it advances it.
    pub(super) fn take_update(
        &mut self,
        now: TimeNs,
        instrument: InstrumentId,
        mut update: OrderUpdate,
        out: &mut Outputs,
    ) -> bool {
        let found = || Tracked::found(instrument, Service::Ordinary, Stage::Unknown, now);
        let told = self.orders.with(update.order, found, |tracked| tracked.advance(update.status)).flatten();
        match told {
            Some(status) => {
                update.status = status;
                out.event(now, instrument, EventBody::OrderUpdate(update));
            }
            None => self.counters.duplicates += 1,
        }
        told.is_some()
    }
}

/// How long a silence lasts of which the venue said this much: of a ban that it says nothing of, as long as
/// the shortest lasts. An end that is past says nothing either: the clocks differ.
pub(super) fn silence_ns(said_ns: Option<i64>, banned: bool) -> i64 {
    let unsaid = if banned { BAN_NS } else { SILENCE_NS };
    said_ns.filter(|said| *said > 0).unwrap_or(unsaid).clamp(NS_PER_SEC, SILENCE_NS_MAX)
}

/// When a `Retry-After` is over.
pub(super) fn after(now: TimeNs, retry_after_s: Option<u32>) -> Option<TimeNs> {
    retry_after_s.map(|seconds| now + i64::from(seconds) * NS_PER_SEC)
}

pub(super) fn say_feed(now: TimeNs, feed: Feed, state: FeedState, out: &mut Outputs) {
    let status = FeedStatus { since_ms: now.ms(), feed, state, pad: [0; 6] };
    out.event(now, InstrumentId::NONE, EventBody::FeedStatus(status));
}

/// Whether a refusal leaves open what became of the request: the venue's own words are "status unknown".
pub(super) fn leaves_state_unknown(http_status: u16, refusal: i32) -> bool {
    match refusal {
        code::UNEXPECTED_RESPONSE | code::TIMEOUT => true,
        // Turned away before it came to anything.
        code::SERVER_OVERLOADED => false,
        _ => http_status >= 500,
    }
}
