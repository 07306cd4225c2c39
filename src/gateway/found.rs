//! What the answers of a reconciliation say (`reconcile.rs` asks).

use std::collections::BTreeSet;

use super::fills::{QUOTE_ASSET, RawFill};
use super::io::Outputs;
use super::machine::Gateway;
use super::orders::{Stage, Tracked};
use super::reconcile::TRADES_MAX;
use super::requests::Part;
use super::responses::{Answer, parse, success};
use super::unreadable::Unreadable;
use crate::event::{
    AccountReason, AccountUpdate, Event, EventBody, FillCause, OrderStatus, OrderUpdate, VenuePosition,
};
use crate::num::{Dec, InstrumentId, Lots, OrderId, TimeNs};
use crate::venue::binance::answer::{
    Account, AlgoAnswer, OrderAnswer, PositionRisk, UserTrade, algo_status, order_status,
};
use crate::venue::binance::code;
use crate::venue::binance::request::Service;
use crate::venue::binance::user_stream::forced_by;

impl Gateway {
    pub(super) fn on_reconcile_answer(
        &mut self,
        now: TimeNs,
        instrument: InstrumentId,
        round: u32,
        part: Part,
        answer: &Answer<'_>,
        out: &mut Outputs,
    ) -> Result<(), Unreadable> {
        if !self.count_answered(round) {
            return Ok(());
        }
        match part {
            Part::List(Service::Ordinary) => self.take_orders_list(instrument, &success(answer)?)?,
            Part::List(Service::Algo) => self.take_algo_list(instrument, &success(answer)?),
            Part::Order(id, service) => self.take_state(now, instrument, id, service, answer, out)?,
            Part::Trades => self.take_trades(now, instrument, &success(answer)?, out)?,
            Part::Stranger(venue_id) => self.take_stranger(now, instrument, venue_id, answer, out)?,
            Part::Account => self.take_account(now, &success(answer)?, out)?,
            Part::Positions => self.take_positions(now, &success::<Vec<PositionRisk<'_>>>(answer)?, out)?,
        }
        self.advance_reconciliation(now, out);
        Ok(())
    }

    fn take_orders_list(
        &mut self,
        instrument: InstrumentId,
        rows: &Vec<OrderAnswer<'_>>,
    ) -> Result<(), Unreadable> {
        for row in rows {
            let filled = self.row(instrument)?.parse_quantity(row.executed_qty.as_bytes())?;
            let status = order_status(&row.status);
            self.take_listed(instrument, &row.client_order_id, Service::Ordinary, status, Some(filled));
        }
        Ok(())
    }

    fn take_algo_list(&mut self, instrument: InstrumentId, rows: &Vec<AlgoAnswer<'_>>) {
        for row in rows {
            let status = algo_status(&row.algo_status);
            self.take_listed(instrument, &row.client_algo_id, Service::Algo, status, None);
        }
    }

    /// A list is older than what the stream said meanwhile, so it tells nothing by itself: what it shows
    /// otherwise than it is known is asked for.
    fn take_listed(
        &mut self,
        instrument: InstrumentId,
        client_id: &str,
        service: Service,
        status: Option<OrderStatus>,
        filled: Option<Lots>,
    ) {
        let Some(id) = self.config.ids.parse(client_id) else { return };
        let stage = match status {
            Some(OrderStatus::Accepted) => Some(Stage::Accepted),
            Some(OrderStatus::Triggered) => Some(Stage::Triggered),
            _ => None,
        };
        let as_known = self.orders.get(id).is_some_and(|known| {
            // A triggered stop is an ordinary order that works.
            let same = Some(known.stage) == stage
                || (known.stage == Stage::Triggered && service == Service::Ordinary);
            // One that the engine does not know, or wants gone, is told again until it is.
            known.order.is_some()
                && !known.leaving
                && same
                && filled.is_none_or(|filled| filled == known.filled)
        });
        let Some(round) = &mut self.session.round else { return };
        if as_known {
            round.as_known.insert(id);
        } else {
            round.doubtful.insert(id, (instrument, service));
        }
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
            // The algo service forgets orders that triggered: they are ordinary ones by now.
            Answer::Refused { code: code::NO_SUCH_ORDER, .. } if service == Service::Algo => {
                self.ask_state(now, instrument, id, Service::Ordinary, out);
                return Ok(());
            }
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
        let open = matches!(update.status, OrderStatus::Accepted | OrderStatus::Triggered);
        // One that ended since it was asked for has ended: the answer is older.
        if open && self.session.round.as_ref().is_some_and(|round| round.ended.contains(&update.order)) {
            self.orders.revive(update.order);
        }
        let known = self.orders.get(update.order);
        let stranger = known.is_none_or(|tracked| tracked.order.is_none() || tracked.leaving);
        let gone = update.status == OrderStatus::NotFound
            && self.orders.change(update.order, |tracked| tracked.give_up_lost(now)) == Some(true);
        let tells_all = self.session.round.as_ref().is_some_and(|round| round.tells_all);
        if tells_all || gone || (stranger && open) {
            self.tell_found(now, instrument, update, &mut told);
        } else {
            self.take_update(now, instrument, update, &mut told);
        }
        let of_it = |event: &Event| match &event.body {
            EventBody::OrderUpdate(told) => told.order == update.order,
            _ => false,
        };
        if !told.events.is_empty() {
            self.session.held.retain(|event| !of_it(event));
            self.session.held.append(&mut told.events);
        }
    }

    fn take_trades(
        &mut self,
        now: TimeNs,
        instrument: InstrumentId,
        trades: &Vec<UserTrade<'_>>,
        out: &mut Outputs,
    ) -> Result<(), Unreadable> {
        for trade in trades {
            let order = self.orders.by_venue_id(instrument, trade.order_id);
            let raw = RawFill {
                order: order.unwrap_or(OrderId::NONE),
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
            if order.is_some() {
                self.take_fill(now, instrument, &raw, out)?;
            } else if !self.trades_seen.contains((instrument, trade.id)) {
                let fill = raw.parse(self.row(instrument)?)?.fill;
                let Some(round) = &mut self.session.round else { return Ok(()) };
                round.strangers.entry((instrument, trade.order_id)).or_default().push(fill);
            }
        }
        if let Some(last) = trades.last().filter(|_| trades.len() >= TRADES_MAX) {
            self.ask_trades(now, instrument, Some(last.id.saturating_add(1)), out);
        }
        Ok(())
    }

    /// Whose the order of some fills is: by its client id the venue's own, ours, or somebody else's.
    fn take_stranger(
        &mut self,
        now: TimeNs,
        instrument: InstrumentId,
        venue_id: i64,
        answer: &Answer<'_>,
        out: &mut Outputs,
    ) -> Result<(), Unreadable> {
        let (order, cause) = match answer {
            Answer::Success(body) => {
                let found: OrderAnswer<'_> = parse(body)?;
                match (forced_by(&found.client_order_id), self.config.ids.parse(&found.client_order_id)) {
                    (Some(cause), _) => (Some(OrderId::NONE), cause),
                    (None, Some(id)) => {
                        let update = self.read_state(now, instrument, id, Service::Ordinary, body)?;
                        self.hold(now, instrument, update);
                        (Some(id), FillCause::Order)
                    }
                    (None, None) => (None, FillCause::Order),
                }
            }
            Answer::Refused { code: code::NO_SUCH_ORDER, .. } => (None, FillCause::Order),
            Answer::Refused { .. } => return Err(Unreadable),
        };
        let Some(round) = &mut self.session.round else { return Ok(()) };
        for fill in round.strangers.remove(&(instrument, venue_id)).unwrap_or_default() {
            if !self.trades_seen.insert((instrument, fill.trade_id)) {
                continue; // the stream told it meanwhile
            }
            match order {
                Some(order) => {
                    self.pass_fill(now, instrument, crate::event::Fill { order, cause, ..fill }, out);
                }
                // What it did to the position is found there.
                None => self.counters.foreign += 1,
            }
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
        let tells_all = self.session.round.as_ref().is_some_and(|round| round.tells_all);
        // A message of the stream may have overtaken the answer.
        if asset.update_time < self.wallet_ms || (!tells_all && self.wallet == Some(wallet)) {
            return Ok(());
        }
        (self.wallet_ms, self.wallet) = (asset.update_time, Some(wallet));
        // Of an audit, fills that make the difference may be on their way: it is for the engine to compare,
        // once nothing is.
        let reason = if tells_all { AccountReason::Snapshot } else { AccountReason::Adjustment };
        let event_ms = asset.update_time;
        let update = AccountUpdate { wallet, change: Dec::ZERO, event_ms, reason, pad: [0; 7] };
        out.event(now, InstrumentId::NONE, EventBody::AccountUpdate(update));
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
            let quantity = self.row(instrument)?.parse_quantity(row.position_amt.as_bytes())?;
            let (entry, event_ms) = (Dec::parse(&row.entry_price)?, row.update_time);
            listed.insert(instrument);
            self.positions.mark(instrument, Dec::parse(&row.mark_price).ok());
            self.take_position(now, instrument, Some(VenuePosition { entry, quantity, event_ms }), out);
        }
        // A position that is gone need not be listed any more.
        let unlisted: Vec<InstrumentId> =
            self.instruments.iter().map(|(id, _)| id).filter(|id| !listed.contains(id)).collect();
        for instrument in unlisted {
            self.take_position(now, instrument, None, out);
        }
        Ok(())
    }

    fn take_position(
        &mut self,
        now: TimeNs,
        instrument: InstrumentId,
        listed: Option<VenuePosition>,
        out: &mut Outputs,
    ) {
        let Some((asked_ns, tells_all)) =
            self.session.round.as_ref().map(|round| (round.asked_ns, round.tells_all))
        else {
            return;
        };
        let held = self.limits.holds(instrument);
        let Some((position, new)) = self.positions.answered(instrument, asked_ns, listed) else { return };
        self.limits.stated(instrument, position.quantity);
        if new || (tells_all && (held || position.quantity != Lots::ZERO)) {
            out.event(now, instrument, EventBody::VenuePosition(position));
        }
    }
}

impl Tracked {
    /// The venue does not know it any more, though it did: it is over, however that came about. `true` once.
    fn give_up_lost(&mut self, now: TimeNs) -> bool {
        let over = self.is_old(now) && matches!(self.stage, Stage::Accepted | Stage::Triggered);
        if over {
            self.stage = Stage::Ended;
        }
        over
    }
}
