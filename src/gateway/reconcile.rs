//! After the user stream was away: everything it may have missed is asked for, in an order that lets
//! the engine's books follow.
//!
//! 1. Every live order by its client id: what it is now, and the venue's id, which its trades carry.
//! 2. The trades of each instrument with a live order or a position, since the stream was last heard.
//!    Their fills are told first, then what step 1 found.
//! 3. The wallet. 4. The positions.
//!
//! Messages of the new stream are taken in meanwhile: trade ids, order states and the venue's own
//! times tell what is older. A question that fails begins the whole round again.

use std::collections::{BTreeSet, VecDeque};

use super::fills::{QUOTE_ASSET, RawFill};
use super::io::Outputs;
use super::machine::Gateway;
use super::orders::Stage;
use super::requests::{Part, What};
use super::responses::{Answer, success};
use super::session::SessionState;
use super::unreadable::Unreadable;
use crate::event::{
    AccountReason, AccountUpdate, Event, EventBody, FillCause, OrderStatus, OrderUpdate, VenuePosition,
};
use crate::num::{Dec, InstrumentId, Millis, NS_PER_SEC, OrderId, TimeNs};
use crate::venue::binance::answer::{Account, PositionRisk, UserTrade};
use crate::venue::binance::request::{self, Action, Service, Verb};
use crate::venue::binance::{code, path};

/// The venue's clock, ours, and a message that was on its way when the stream ended.
const MARGIN_MS: Millis = 60_000;
/// Trades an answer holds at most.
const TRADES_MAX: usize = 1_000;
const RETRY_NS: i64 = NS_PER_SEC;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Orders,
    Trades,
    Account,
    Positions,
}

/// One way through the steps.
#[derive(Debug)]
pub(super) struct Reconciliation {
    /// Answers to an earlier round are passed over.
    round: u32,
    step: Step,
    /// Questions without an answer.
    open: usize,
    instruments: BTreeSet<InstrumentId>,
    /// What step 1 found, until the fills are told.
    held: VecDeque<Event>,
    /// The round failed, or has to wait for its turn.
    retry_at: Option<TimeNs>,
}

impl Reconciliation {
    /// One that begins at `at`.
    pub(super) fn due(round: u32, at: TimeNs) -> Reconciliation {
        Reconciliation {
            round,
            step: Step::Orders,
            open: 0,
            instruments: BTreeSet::new(),
            held: VecDeque::new(),
            retry_at: Some(at),
        }
    }
}

impl Gateway {
    pub(super) fn next_round(&mut self) -> u32 {
        self.counters.reconciliation_rounds += 1;
        // Four billion rounds are beyond any run.
        self.counters.reconciliation_rounds as u32
    }

    pub(super) fn begin_reconciliation(&mut self, now: TimeNs, out: &mut Outputs) {
        let round = self.next_round();
        let live = self.orders.live().map(|(_, tracked)| tracked.instrument);
        let held = self.instruments.iter().map(|(id, _)| id).filter(|id| self.limits.holds(*id));
        self.session.state = SessionState::Reconciling(Reconciliation {
            round,
            step: Step::Orders,
            open: 0,
            instruments: live.chain(held).chain(self.session.reconcile_also.iter().copied()).collect(),
            held: VecDeque::new(),
            retry_at: None,
        });
        let live: Vec<(OrderId, Service, InstrumentId)> =
            self.orders.live().map(|(id, tracked)| (id, tracked.service, tracked.instrument)).collect();
        for (id, service, instrument) in live {
            self.ask_state(now, instrument, id, service, out);
        }
        self.advance_reconciliation(now, out);
    }

    /// The stream is there, but a message of it could not be read.
    pub(super) fn reconcile_quietly(&mut self, now: TimeNs) {
        if self.config.lockstep || !matches!(self.session.state, SessionState::Up) {
            return;
        }
        // A burst of such messages is one reason.
        let round = self.next_round();
        self.session.state = SessionState::Reconciling(Reconciliation::due(round, now + RETRY_NS));
    }

    pub(super) fn drive_reconciliation(&mut self, now: TimeNs, out: &mut Outputs) {
        if let SessionState::Reconciling(Reconciliation { retry_at: Some(at), .. }) = &self.session.state
            && now >= *at
        {
            self.begin_reconciliation(now, out);
        }
    }

    pub(super) fn fail_reconciliation(&mut self, now: TimeNs, failed: u32) {
        if let SessionState::Reconciling(reconciliation) = &mut self.session.state
            && reconciliation.round == failed
        {
            reconciliation.retry_at = Some(now + RETRY_NS);
        }
    }

    fn ask_state(
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

    fn ask_part(
        &mut self,
        now: TimeNs,
        verb: Verb,
        path: &'static str,
        part: Part,
        instrument: InstrumentId,
        out: &mut Outputs,
    ) {
        let SessionState::Reconciling(reconciliation) = &mut self.session.state else { return };
        reconciliation.open += 1;
        let what = What::Reconcile { round: reconciliation.round, part };
        self.ask(now, verb, path, what, instrument, out);
    }

    fn ask_trades(&mut self, now: TimeNs, instrument: InstrumentId, from_id: Option<i64>, out: &mut Outputs) {
        let Some(row) = self.instruments.get(instrument) else { return };
        let since_ms =
            self.session.heard_ns.ms().saturating_add(self.clock_offset_ms).saturating_sub(MARGIN_MS);
        self.params.clear();
        self.params.text("symbol", row.symbol).number("limit", TRADES_MAX as i64);
        match from_id {
            None => self.params.number("startTime", since_ms),
            Some(from_id) => self.params.number("fromId", from_id),
        };
        self.ask_part(now, Verb::Get, path::USER_TRADES, Part::Trades, instrument, out);
    }

    /// Asks what the next step asks, once nothing of the present one is open.
    fn advance_reconciliation(&mut self, now: TimeNs, out: &mut Outputs) {
        loop {
            let SessionState::Reconciling(reconciliation) = &mut self.session.state else { return };
            if reconciliation.open > 0 || reconciliation.retry_at.is_some() {
                return;
            }
            match reconciliation.step {
                Step::Orders => {
                    reconciliation.step = Step::Trades;
                    for instrument in reconciliation.instruments.clone() {
                        self.ask_trades(now, instrument, None, out);
                    }
                }
                Step::Trades => {
                    reconciliation.step = Step::Account;
                    let held = std::mem::take(&mut reconciliation.held);
                    out.events.extend(held.into_iter().filter(|event| !self.is_overtaken(event)));
                    self.params.clear();
                    let (verb, none) = (Verb::Get, InstrumentId::NONE);
                    self.ask_part(now, verb, path::ACCOUNT, Part::Account, none, out);
                }
                Step::Account => {
                    reconciliation.step = Step::Positions;
                    self.params.clear();
                    let (verb, none) = (Verb::Get, InstrumentId::NONE);
                    self.ask_part(now, verb, path::POSITION_RISK, Part::Positions, none, out);
                }
                Step::Positions => return self.end_reconciliation(now, out),
            }
        }
    }

    /// Meanwhile the stream told the end of the order, after which its trade may be gone.
    fn is_overtaken(&self, event: &Event) -> bool {
        let EventBody::OrderUpdate(update) = &event.body else { return false };
        let open = matches!(update.status, OrderStatus::Accepted | OrderStatus::Triggered);
        open && self.orders.get(update.order).is_some_and(|tracked| tracked.stage == Stage::Ended)
    }

    pub(super) fn on_reconcile_answer(
        &mut self,
        now: TimeNs,
        instrument: InstrumentId,
        round: u32,
        part: Part,
        answer: &Answer<'_>,
        out: &mut Outputs,
    ) -> Result<(), Unreadable> {
        match &mut self.session.state {
            SessionState::Reconciling(reconciliation) if reconciliation.round == round => {
                reconciliation.open -= 1;
            }
            _ => return Ok(()),
        }
        match part {
            Part::Order(id, service) => self.take_state(now, instrument, id, service, answer, out)?,
            Part::Trades => {
                self.take_trades(now, instrument, &success::<Vec<UserTrade<'_>>>(answer)?, out)?
            }
            Part::Account => self.take_account(now, &success(answer)?, out)?,
            Part::Positions => self.take_positions(now, &success::<Vec<PositionRisk<'_>>>(answer)?, out)?,
        }
        self.advance_reconciliation(now, out);
        Ok(())
    }

    fn take_state(
        &mut self,
        now: TimeNs,
        instrument: InstrumentId,
        id: OrderId,
        service: Service,
        answer: &Answer<'_>,
        out: &mut Outputs,
    ) -> Result<(), Unreadable> {
        let update = match answer {
            Answer::Success(body) => self.read_state(now, instrument, id, service, body)?,
            Answer::Refused { code: code::NO_SUCH_ORDER, .. } => self.not_found(now, id),
            Answer::Refused { .. } => return Err(Unreadable),
        };
        self.hold(now, instrument, update);
        if service == Service::Algo && update.status == OrderStatus::Triggered {
            self.ask_state(now, instrument, id, Service::Ordinary, out);
        }
        Ok(())
    }

    /// Taken in now, told after the fills: of each order its last word alone. Of a stop that triggered and
    /// has filled since, "triggered" would come when its fills have ended the trade.
    fn hold(&mut self, now: TimeNs, instrument: InstrumentId, update: OrderUpdate) {
        let mut told = Outputs::default();
        self.tell_found(now, instrument, update, &mut told);
        if let SessionState::Reconciling(reconciliation) = &mut self.session.state {
            let of_it = |event: &Event| match &event.body {
                EventBody::OrderUpdate(told) => told.order == update.order,
                _ => false,
            };
            reconciliation.held.retain(|event| !of_it(event));
            reconciliation.held.append(&mut told.events);
        }
    }

    fn take_trades(
        &mut self,
        now: TimeNs,
        instrument: InstrumentId,
        trades: &[UserTrade<'_>],
        out: &mut Outputs,
    ) -> Result<(), Unreadable> {
        for trade in trades {
            let Some(order) = self.orders.by_venue_id(instrument, trade.order_id) else {
                self.counters.foreign += 1;
                continue;
            };
            let raw = RawFill {
                order,
                trade_id: trade.id,
                side: trade.side.into(),
                price: &trade.price,
                quantity: &trade.qty,
                fee: Some(&trade.commission),
                fee_asset: Some(&trade.commission_asset),
                event_ms: trade.time,
                maker: trade.maker,
                cause: FillCause::Order,
            };
            self.take_fill(now, instrument, &raw, out)?;
        }
        if let Some(last) = trades.last().filter(|_| trades.len() >= TRADES_MAX) {
            self.ask_trades(now, instrument, Some(last.id.saturating_add(1)), out);
        }
        Ok(())
    }

    fn take_account(
        &mut self,
        now: TimeNs,
        account: &Account<'_>,
        out: &mut Outputs,
    ) -> Result<(), Unreadable> {
        let Some(asset) = account.assets.iter().find(|asset| asset.asset == QUOTE_ASSET) else {
            return Ok(());
        };
        let wallet = Dec::parse(&asset.wallet_balance)?;
        // A message of the stream may have overtaken the answer.
        if asset.update_time >= self.wallet_ms {
            self.wallet_ms = asset.update_time;
            let (reason, event_ms) = (AccountReason::Snapshot, asset.update_time);
            let update = AccountUpdate { wallet, change: Dec::ZERO, event_ms, reason, pad: [0; 7] };
            out.event(now, InstrumentId::NONE, EventBody::AccountUpdate(update));
        }
        Ok(())
    }

    fn take_positions(
        &mut self,
        now: TimeNs,
        rows: &[PositionRisk<'_>],
        out: &mut Outputs,
    ) -> Result<(), Unreadable> {
        let mut listed = BTreeSet::new();
        for row in rows.iter().filter(|row| row.position_side == "BOTH") {
            let Some(instrument) = self.find_symbol(&row.symbol) else { continue };
            listed.insert(instrument);
            let quantity = self.row(instrument)?.parse_quantity(row.position_amt.as_bytes())?;
            let (entry, event_ms) = (Dec::parse(&row.entry_price)?, row.update_time);
            let stated_ms = self.position_ms.get(instrument.index()).copied().unwrap_or(Millis::MIN);
            if event_ms >= stated_ms && (quantity.0 != 0 || self.limits.holds(instrument)) {
                self.state_position(now, instrument, VenuePosition { entry, quantity, event_ms }, out);
            }
        }
        // A position that is gone need not be listed any more.
        let gone: Vec<InstrumentId> = self
            .instruments
            .iter()
            .map(|(id, _)| id)
            .filter(|id| self.limits.holds(*id) && !listed.contains(id))
            .collect();
        for instrument in gone {
            let none =
                VenuePosition { entry: Dec::ZERO, quantity: crate::num::Lots::ZERO, event_ms: now.ms() };
            self.state_position(now, instrument, none, out);
        }
        Ok(())
    }

    fn state_position(
        &mut self,
        now: TimeNs,
        instrument: InstrumentId,
        position: VenuePosition,
        out: &mut Outputs,
    ) {
        self.limits.begin_at(instrument, position.quantity);
        if let Some(stated_ms) = self.position_ms.get_mut(instrument.index()) {
            *stated_ms = position.event_ms.max(*stated_ms);
        }
        out.event(now, instrument, EventBody::VenuePosition(position));
    }
}
