//! What clients send: orders and the checks they must pass, cancels, queries.

use super::{
    Asked, ORDERS_MAX, RESTING_ORDERS_MAX, Report, ReportBody, Reports, Venue, WORKING_ORDERS_MAX, codes,
    market::Market,
};
use crate::event::{Cancel, Order, OrderKind, OrderStatus, OrderUpdate, Query, WorkingType};
use crate::num::{Dec, InstrumentId, Lots, Millis, OrderId, Ticks, TimeNs};

/// Where an open order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// A conditional order that waits for its trigger.
    Resting,
    /// A market order, or a triggered one, that takes what the touch offers until it expires.
    Working { expires_ns: TimeNs },
}

/// An accepted order that has not ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OpenOrder {
    pub order: Order,
    pub instrument: InstrumentId,
    pub venue_id: i64,
    pub filled: Lots,
    /// Σ price × quantity of its fills, in tick-lots.
    pub paid: i128,
    /// When it last changed.
    pub updated_ms: Millis,
    pub stage: Stage,
}

/// What is remembered of an order that ended, for queries and against its id being used again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct ClosedOrder {
    pub instrument: InstrumentId,
    pub venue_id: i64,
    pub filled: Lots,
    pub updated_ms: Millis,
    pub status: OrderStatus,
}

impl OpenOrder {
    pub(super) fn closed(&self, status: OrderStatus, updated_ms: Millis) -> ClosedOrder {
        let OpenOrder { instrument, venue_id, filled, .. } = *self;
        ClosedOrder { instrument, venue_id, filled, updated_ms, status }
    }
}

impl Venue {
    /// A new order: `Rejected` with the first check it fails, or `Accepted` and, for market orders,
    /// what the touch gives at once. A refused order leaves no trace; the id of an accepted one can
    /// never be used again.
    pub fn on_order(&mut self, now: TimeNs, instrument: InstrumentId, order: &Order, out: &mut Reports) {
        self.advance(now, out);
        match self.check(instrument, order) {
            Err(code) => {
                self.answer(instrument, Asked::Order, order.id, OrderStatus::Rejected, code, out);
            }
            Ok(()) => self.accept(instrument, order, out),
        }
        self.liquidate(out);
    }

    fn accept(&mut self, instrument: InstrumentId, order: &Order, out: &mut Reports) {
        self.last_venue_id += 1;
        let open = OpenOrder {
            order: *order,
            instrument,
            venue_id: self.last_venue_id,
            filled: Lots::ZERO,
            paid: 0,
            updated_ms: self.now.ms(),
            stage: Stage::Resting,
        };
        out.push(self.order_report(&open, Some(OrderStatus::Accepted), None, Some(Asked::Order)));
        let index = self.open.len();
        self.open.push(open);
        if order.kind == OrderKind::Market {
            self.start(index);
            self.execute(index, out);
        }
    }

    /// Cancels what is unfilled of an order. The venue's two roads, for ordinary and conditional
    /// orders, lead to the same place here.
    pub fn on_cancel(&mut self, now: TimeNs, instrument: InstrumentId, cancel: &Cancel, out: &mut Reports) {
        self.advance(now, out);
        let found = |open: &OpenOrder| open.order.id == cancel.id && open.instrument == instrument;
        match self.open.iter().position(found) {
            Some(index) => self.end(index, OrderStatus::Canceled, None, Some(Asked::Cancel), out),
            None => {
                let status = OrderStatus::CancelRejected;
                self.answer(instrument, Asked::Cancel, cancel.id, status, codes::CANCEL_REJECTED, out);
            }
        }
        self.liquidate(out);
    }

    /// What became of an order: its present or final status, `NotFound` for one never accepted.
    pub fn on_query(&mut self, now: TimeNs, instrument: InstrumentId, query: &Query, out: &mut Reports) {
        self.advance(now, out);
        let status = self
            .open
            .iter()
            .find(|open| open.order.id == query.id && open.instrument == instrument)
            .map(OpenOrder::status)
            .or_else(|| Some(self.closed.get(&query.id).filter(|c| c.instrument == instrument)?.status));
        let (status, code) = status.map_or((OrderStatus::NotFound, codes::NO_SUCH_ORDER), |known| (known, 0));
        self.answer(instrument, Asked::Query, query.id, status, code, out);
        self.liquidate(out);
    }

    /// Says something of an order by its id: what a query found is as old as the order's last change, a
    /// refusal has no time. Venue id and quantity filled are 0 for one that is not known under this
    /// instrument.
    fn answer(
        &self,
        instrument: InstrumentId,
        asked: Asked,
        order: OrderId,
        status: OrderStatus,
        code: i32,
        out: &mut Reports,
    ) {
        let open = self.open.iter().find(|open| open.order.id == order);
        let known = open
            .map(|open| open.closed(status, open.updated_ms))
            .or_else(|| self.closed.get(&order).copied())
            .filter(|known| known.instrument == instrument);
        let (venue_id, filled) = known.map_or((0, Lots::ZERO), |known| (known.venue_id, known.filled));
        let event_ms = known.filter(|_| code == 0).map_or(0, |found| found.updated_ms);
        let update = OrderUpdate { order, venue_id, filled, event_ms, code, status, pad: [0; 3] };
        out.push(Report { instrument, answers: Some(asked), body: ReportBody::Answer(update) });
    }

    fn check(&self, instrument: InstrumentId, order: &Order) -> Result<(), i32> {
        let Some(market) = self.markets.get(instrument.index()) else { return Err(codes::BAD_SYMBOL) };
        self.check_id(order.id)?;
        check_quantity(market, order.quantity)?;
        if market.touch.is_none() {
            return Err(codes::NO_COUNTERPARTY_PRICE);
        }
        match order.kind {
            OrderKind::Market => self.check_market(instrument, market, order),
            OrderKind::StopMarket => self.check_stop(instrument, market, order),
        }
    }

    fn check_id(&self, id: OrderId) -> Result<(), i32> {
        if id.is_none() {
            return Err(codes::BAD_CLIENT_ORDER_ID);
        }
        if self.closed.contains_key(&id) || self.open.iter().any(|open| open.order.id == id) {
            return Err(codes::DUPLICATE_CLIENT_ORDER_ID);
        }
        if self.last_venue_id >= ORDERS_MAX { Err(codes::TOO_MANY_ORDERS) } else { Ok(()) }
    }

    fn check_market(&self, instrument: InstrumentId, market: &Market, order: &Order) -> Result<(), i32> {
        let price = market.against(order.side).price;
        if price == Ticks::ZERO {
            return Err(codes::NO_COUNTERPARTY_PRICE);
        }
        if order.reduce_only {
            self.check_reduce(instrument, market, order)?;
        } else {
            let notional = market.instrument.money(price.wide() * order.quantity.wide());
            match notional {
                None => return Err(codes::QUANTITY_ABOVE_MAX),
                Some(notional) if notional < market.instrument.min_notional => {
                    return Err(codes::NOTIONAL_BELOW_MIN);
                }
                Some(_) => {}
            }
            if !self.can_carry(instrument, order, price) {
                return Err(codes::MARGIN_NOT_SUFFICIENT);
            }
        }
        let working = self.open.iter().filter(|open| open.stage != Stage::Resting).count();
        if working >= WORKING_ORDERS_MAX { Err(codes::MAX_OPEN_ORDERS) } else { Ok(()) }
    }

    /// There must be a position to reduce, and more of it than working orders already reduce.
    fn check_reduce(&self, instrument: InstrumentId, market: &Market, order: &Order) -> Result<(), i32> {
        let reducible = market.position.reducible(order.side);
        if reducible == Lots::ZERO {
            return Err(codes::REDUCE_ONLY_REJECTED);
        }
        let reducing = self.open.iter().filter(|open| {
            open.instrument == instrument
                && open.order.side == order.side
                && open.order.reduce_only
                && open.stage != Stage::Resting
        });
        let covered: i128 = reducing.map(|open| open.remaining().wide()).sum();
        if covered >= reducible.wide() { Err(codes::REDUCE_ONLY_COVERED) } else { Ok(()) }
    }

    fn check_stop(&self, instrument: InstrumentId, market: &Market, order: &Order) -> Result<(), i32> {
        if !order.reduce_only {
            return Err(codes::INVALID_ORDER_TYPE);
        }
        if order.trigger.0 <= 0 {
            return Err(codes::TRIGGER_NOT_POSITIVE);
        }
        if market.position.reducible(order.side) == Lots::ZERO {
            return Err(codes::REDUCE_ONLY_REJECTED);
        }
        let price: Option<Dec> = match order.working_type {
            WorkingType::ContractPrice => market.last.map(|last| market.instrument.price(last)),
            WorkingType::MarkPrice => market.mark,
        };
        if price.is_some_and(|price| self.reaches(instrument, order.side, order.trigger, price)) {
            return Err(codes::WOULD_IMMEDIATELY_TRIGGER);
        }
        let resting = self.open.iter().filter(|open| open.stage == Stage::Resting).count();
        if resting >= RESTING_ORDERS_MAX { Err(codes::MAX_STOP_ORDERS) } else { Ok(()) }
    }
}

fn check_quantity(market: &Market, quantity: Lots) -> Result<(), i32> {
    if quantity.0 <= 0 {
        Err(codes::QUANTITY_NOT_POSITIVE)
    } else if quantity < market.instrument.min_quantity {
        Err(codes::QUANTITY_BELOW_MIN)
    } else if quantity > market.instrument.max_quantity {
        Err(codes::QUANTITY_ABOVE_MAX)
    } else {
        Ok(())
    }
}
