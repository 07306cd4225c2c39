//! What the user stream may have missed is asked for, in an order that lets the engine's books follow.
//!
//! 1. The open orders of each instrument concerned, of both services.
//! 2. By its client id, each order the lists leave in doubt: live and not listed, listed and not known, or
//!    listed as something else. After a loss of the stream each live order in any case.
//! 3. The trades of each instrument concerned, since the last round began.
//! 4. Whose the trades are that no order we know explains. Fills are told first, then what step 2 found.
//! 5. The wallet. 6. The positions, and whether fills explain them (`assume.rs`).
//!
//! After a loss the stream is not believed before the end, and everything is told. While it is up, the same
//! round is an audit: it tells what is new and nothing else.
//!
//! Messages of the stream are taken in meanwhile: trade ids, order states, the venue's own times and the
//! order in which things came tell what is older. A question that fails ends the round, and another follows.

use std::collections::{BTreeMap, BTreeSet};

use super::budget::Cost;
use super::io::Outputs;
use super::machine::Gateway;
use super::own;
use super::requests::{Part, What};
use super::session::SessionState;
use crate::event::{Event, EventBody, Fill, OrderStatus};
use crate::num::{InstrumentId, NS_PER_SEC, OrderId, TimeNs};
use crate::venue::binance::path;
use crate::venue::binance::request::{self, Action, Service, Verb};

/// The venue's clock, ours, and a message that was on its way when the stream ended.
const MARGIN_NS: i64 = 60 * NS_PER_SEC;
/// Trades an answer holds at most.
pub(super) const TRADES_MAX: usize = 1_000;
const RETRY_NS: i64 = NS_PER_SEC;
/// Between an audit that failed and the next: what has to be found may wait for it already.
const FAILED_NS: i64 = 5 * NS_PER_SEC;
/// Between a round that found something on its way and the next.
const MOVING_NS: i64 = 2 * NS_PER_SEC;
/// An instrument is looked at for so long after it was last used.
const CONCERNED_NS: i64 = 600 * NS_PER_SEC;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Lists,
    Orders,
    Trades,
    Strangers,
    Account,
    Positions,
}

/// One way through the steps.
#[derive(Debug)]
pub(super) struct Reconciliation {
    /// Answers to an earlier round are passed over.
    number: u32,
    /// The stream was lost: it is believed again at the end.
    pub loud: bool,
    /// Everything is told; else what is new.
    pub tells_all: bool,
    step: Step,
    /// Questions without an answer.
    open: usize,
    /// What all of them cost.
    weight: u32,
    pub begun: TimeNs,
    instruments: BTreeSet<InstrumentId>,
    /// Orders that the lists show as they are known.
    pub as_known: BTreeSet<OrderId>,
    /// Orders to ask for beside those.
    pub doubtful: BTreeMap<OrderId, (InstrumentId, Service)>,
    /// Of these, those that counted as over when they were asked for.
    pub ended: BTreeSet<OrderId>,
    /// Fills whose order nobody knows, by the venue's id of it.
    pub strangers: BTreeMap<(InstrumentId, i64), Vec<Fill>>,
    /// When the positions were asked for.
    pub asked_ns: TimeNs,
    /// The round failed, or has to wait for its turn.
    retry_at: Option<TimeNs>,
}

impl Reconciliation {
    /// One that begins at `at`.
    pub(super) fn due(at: TimeNs, loud: bool) -> Reconciliation {
        Reconciliation {
            number: 0,
            loud,
            tells_all: loud,
            step: Step::Lists,
            open: 0,
            weight: 0,
            begun: at,
            instruments: BTreeSet::new(),
            as_known: BTreeSet::new(),
            doubtful: BTreeMap::new(),
            ended: BTreeSet::new(),
            strangers: BTreeMap::new(),
            asked_ns: at,
            retry_at: Some(at),
        }
    }

    /// The round that looks once more before the stream is believed: what was told is not told again.
    pub(super) fn once_more(at: TimeNs) -> Reconciliation {
        Reconciliation { tells_all: false, ..Reconciliation::due(at, true) }
    }
}

impl Gateway {
    /// Everything the stream may have missed, and until then it is not believed.
    pub(super) fn reconcile(&mut self, at: TimeNs) {
        self.session.state = SessionState::Reconciling;
        self.session.round = Some(Reconciliation::due(at, true));
    }

    /// The stream is there, but a message of it could not be read.
    pub(super) fn reconcile_soon(&mut self, now: TimeNs) {
        // A burst of such messages is one reason.
        if !self.config.lockstep && matches!(self.session.state, SessionState::Up) {
            self.reconcile(now + RETRY_NS);
        }
    }

    /// Begins what is due: the round that waits, or an audit.
    pub(super) fn drive_reconciliation(&mut self, now: TimeNs, out: &mut Outputs) {
        match (&self.session.round, &self.session.state) {
            (Some(Reconciliation { retry_at: Some(at), .. }), _) if now >= *at => self.begin_round(now, out),
            (None, SessionState::Up) if now >= self.session.audit_at || self.positions.is_due(now) => {
                self.session.round = Some(Reconciliation::due(now, false));
                self.begin_round(now, out);
            }
            _ => {}
        }
    }

    fn begin_round(&mut self, now: TimeNs, out: &mut Outputs) {
        let Some(before) = &self.session.round else { return };
        let (loud, tells_all) = (before.loud, before.tells_all);
        self.counters.reconciliation_rounds += 1;
        // Four billion rounds are beyond any run.
        let number = self.counters.reconciliation_rounds as u32;
        let live = self.orders.live().map(|(_, tracked)| tracked.instrument);
        let (positions, limits) = (&self.positions, &self.limits);
        let concerned = |id: &InstrumentId| positions.concerns(*id, now - CONCERNED_NS) || limits.holds(*id);
        let concerned = self.instruments.iter().map(|(id, _)| id).filter(concerned);
        let instruments: BTreeSet<InstrumentId> =
            live.chain(concerned).chain(self.session.reconcile_also.iter().copied()).collect();
        self.positions.begin_round();
        self.session.round = Some(Reconciliation {
            number,
            tells_all,
            instruments: instruments.clone(),
            retry_at: None,
            ..Reconciliation::due(now, loud)
        });
        for instrument in instruments {
            self.ask_list(now, instrument, Service::Ordinary, out);
            self.ask_list(now, instrument, Service::Algo, out);
        }
        self.advance_reconciliation(now, out);
    }

    /// A round that is not the stream's return need not be had at once: the next audit asks the same.
    pub(super) fn fail_reconciliation(&mut self, now: TimeNs, failed: u32) {
        let Some(round) = self.session.round.as_mut().filter(|round| round.number == failed) else { return };
        if round.loud {
            round.retry_at = Some(now + RETRY_NS);
        } else {
            let apart_ns = self.budget.quarter_apart_ns(Cost { weight: round.weight, orders: 0 });
            self.session.round = None;
            // What it found of orders waits for the fills of the next.
            let wait_ns = if self.session.held.is_empty() { FAILED_NS } else { RETRY_NS };
            self.session.audit_at = now + wait_ns.min(self.config.reconcile_ns).max(apart_ns);
        }
    }

    /// The round with this number has one answer less to wait for; `false` if it is over.
    pub(super) fn count_answered(&mut self, number: u32) -> bool {
        let round = self.session.round.as_mut().filter(|round| round.number == number);
        let Some(round) = round else { return false };
        round.open -= 1;
        true
    }

    fn ask_part(
        &mut self,
        now: TimeNs,
        verb: Verb,
        path: &'static str,
        part: Part,
        instrument: InstrumentId,
        out: &mut Outputs,
    ) {
        let Some(round) = &mut self.session.round else { return };
        round.open += 1;
        round.weight = round.weight.saturating_add(own::cost(verb, path, self.params.has("symbol")).weight);
        let what = What::Reconcile { round: round.number, part };
        self.ask(now, verb, path, what, instrument, out);
    }

    /// Of one symbol: a list of all has forty times the weight.
    fn ask_list(&mut self, now: TimeNs, instrument: InstrumentId, service: Service, out: &mut Outputs) {
        let Some(row) = self.instruments.get(instrument) else { return };
        self.params.clear();
        self.params.text("symbol", row.symbol);
        let path = match service {
            Service::Ordinary => path::OPEN_ORDERS,
            Service::Algo => path::OPEN_ALGO_ORDERS,
        };
        self.ask_part(now, Verb::Get, path, Part::List(service), instrument, out);
    }

    pub(super) fn ask_state(
        &mut self,
        now: TimeNs,
        instrument: InstrumentId,
        id: OrderId,
        service: Service,
        out: &mut Outputs,
    ) {
        let Some(row) = self.instruments.get(instrument) else { return };
        let (verb, path) = request::rest_road(Action::Query, service);
        request::find(&mut self.params, row, service, id, &self.config.ids);
        self.ask_part(now, verb, path, Part::Order(id, service), instrument, out);
    }

    pub(super) fn ask_trades(
        &mut self,
        now: TimeNs,
        instrument: InstrumentId,
        from_id: Option<i64>,
        out: &mut Outputs,
    ) {
        let Some(row) = self.instruments.get(instrument) else { return };
        let since_ns = (self.session.known_ns - MARGIN_NS).max(self.session.floor_ns);
        let since_ms = since_ns.ms().saturating_add(self.clock_offset_ms);
        self.params.clear();
        self.params.text("symbol", row.symbol).number("limit", TRADES_MAX as i64);
        match from_id {
            None => self.params.number("startTime", since_ms.max(0)),
            Some(from_id) => self.params.number("fromId", from_id),
        };
        self.ask_part(now, Verb::Get, path::USER_TRADES, Part::Trades, instrument, out);
    }

    fn ask_stranger(&mut self, now: TimeNs, instrument: InstrumentId, venue_id: i64, out: &mut Outputs) {
        let Some(row) = self.instruments.get(instrument) else { return };
        self.params.clear();
        self.params.text("symbol", row.symbol).number("orderId", venue_id);
        self.ask_part(now, Verb::Get, path::ORDER, Part::Stranger(venue_id), instrument, out);
    }

    fn ask_account(&mut self, now: TimeNs, path: &'static str, part: Part, out: &mut Outputs) {
        self.params.clear();
        self.ask_part(now, Verb::Get, path, part, InstrumentId::NONE, out);
    }

    /// Asks what the next step asks, once nothing of the present one is open.
    pub(super) fn advance_reconciliation(&mut self, now: TimeNs, out: &mut Outputs) {
        loop {
            let Some(round) = &mut self.session.round else { return };
            if round.open > 0 || round.retry_at.is_some() {
                return;
            }
            match round.step {
                Step::Lists => {
                    round.step = Step::Orders;
                    let over = |id: &&OrderId| self.orders.has_ended(**id);
                    round.ended = round.doubtful.keys().filter(over).copied().collect();
                    for (id, (instrument, service)) in self.to_ask() {
                        self.ask_state(now, instrument, id, service, out);
                    }
                }
                Step::Orders => {
                    round.step = Step::Trades;
                    for instrument in round.instruments.clone() {
                        self.ask_trades(now, instrument, None, out);
                    }
                }
                Step::Trades => {
                    round.step = Step::Strangers;
                    let strangers: Vec<(InstrumentId, i64)> = round.strangers.keys().copied().collect();
                    for (instrument, venue_id) in strangers {
                        self.ask_stranger(now, instrument, venue_id, out);
                    }
                }
                Step::Strangers => {
                    round.step = Step::Account;
                    let held = std::mem::take(&mut self.session.held);
                    out.events.extend(held.into_iter().filter(|event| !self.is_overtaken(event)));
                    self.ask_account(now, path::ACCOUNT, Part::Account, out);
                }
                Step::Account => {
                    (round.step, round.asked_ns) = (Step::Positions, now);
                    self.ask_account(now, path::POSITION_RISK, Part::Positions, out);
                }
                Step::Positions => return self.end_round(now, out),
            }
        }
    }

    /// The orders to ask for by their client ids.
    fn to_ask(&self) -> BTreeMap<OrderId, (InstrumentId, Service)> {
        let Some(round) = &self.session.round else { return BTreeMap::new() };
        let live = self.orders.live().filter(|(id, _)| round.tells_all || !round.as_known.contains(id));
        let live = live.map(|(id, tracked)| (id, (tracked.instrument, tracked.service)));
        // What is known of an order outweighs the list it stood in.
        round.doubtful.iter().map(|(id, asked)| (*id, *asked)).chain(live).collect()
    }

    /// Meanwhile the stream told the end of the order, after which its trade may be gone.
    fn is_overtaken(&self, event: &Event) -> bool {
        let EventBody::OrderUpdate(update) = &event.body else { return false };
        let open = matches!(update.status, OrderStatus::Accepted | OrderStatus::Triggered);
        open && self.orders.has_ended(update.order)
    }

    /// Everything was asked. Where a position differs, another round looks before anything is concluded from
    /// it; before the stream is believed, once.
    fn end_round(&mut self, now: TimeNs, out: &mut Outputs) {
        let Some(round) = self.session.round.take() else { return };
        let missing = self.judge_positions(now, round.begun, out);
        self.session.known_ns = round.begun;
        // What is on its way is soon there: an order that turned out to be ours is asked for then.
        // And what rests may be an orphan only now that the position is explained.
        let soon = missing.moves || !missing.confirmed.is_empty();
        let wait_ns = if soon { MOVING_NS } else { self.config.reconcile_ns };
        // With many instruments they are further apart, or entries would find no room.
        let apart_ns = self.budget.quarter_apart_ns(Cost { weight: round.weight, orders: 0 });
        let after_ns = wait_ns.min(self.config.reconcile_ns).max(apart_ns);
        // Whether the stream is deaf shows when its time is over.
        let suspect_at = self.deaf_at().filter(|at| *at > now);
        self.session.audit_at = suspect_at.map_or(now + after_ns, |at| at.min(now + after_ns));
        self.session.reconcile_also.clear();
        if round.loud {
            if round.tells_all && missing.unconfirmed {
                self.session.round = Some(Reconciliation::once_more(now + RETRY_NS));
                return;
            }
            self.end_reconciliation(now, out);
        }
        if self.is_deaf(now) && !round.loud {
            self.give_up_session(now, out);
        }
        for (instrument, lots) in missing.confirmed {
            self.assume_fill(now, instrument, lots, out);
        }
    }
}
