//! Orders against the touch: execution, triggers, expiry, fills.

use super::position::charge;
use super::{
    Asked, OpenOrder, OrderReport, Position, Report, ReportBody, Reports, Stage, Venue, WORKING_NS_MAX,
};
use crate::event::{Fill, FillCause, OrderKind, OrderStatus, WorkingType};
use crate::num::{Dec, InstrumentId, Lots, OrderId, Side, Ticks, TimeNs};

/// A fill about to be booked.
pub(super) struct Execution {
    pub instrument: InstrumentId,
    /// [`OrderId::NONE`] when nobody ordered it.
    pub order: OrderId,
    pub side: Side,
    /// At most what is left of the touch.
    pub quantity: Lots,
    pub price: Ticks,
    pub cause: FillCause,
}

impl Venue {
    /// A new quote: the instrument's working orders go on, oldest first.
    pub(super) fn work(&mut self, instrument: InstrumentId, out: &mut Reports) {
        let mut index = 0;
        while let Some(open) = self.open.get(index) {
            let works = open.instrument == instrument && open.stage != Stage::Resting;
            // An order that ended left its place to the next one.
            if !works || self.execute(index, out) {
                index += 1;
            }
        }
    }

    /// A new price: resting orders it reaches become market orders, oldest first.
    pub(super) fn trigger(
        &mut self,
        instrument: InstrumentId,
        working_type: WorkingType,
        price: Dec,
        out: &mut Reports,
    ) {
        let mut index = 0;
        while let Some(open) = self.open.get(index).copied() {
            let resting = open.stage == Stage::Resting && open.instrument == instrument;
            let hit = resting
                && open.order.working_type == working_type
                && self.reaches(instrument, open.order.side, open.order.trigger, price);
            if hit {
                out.push(self.order_report(&open, Some(OrderStatus::Triggered), None, None));
                self.start(index);
            }
            if !hit || self.execute(index, out) {
                index += 1;
            }
        }
    }

    /// Whether `price` is at or past a stop's trigger: down for sells, up for buys.
    pub(super) fn reaches(&self, instrument: InstrumentId, side: Side, trigger: Ticks, price: Dec) -> bool {
        let Some(market) = self.markets.get(instrument.index()) else { return false };
        let trigger = market.instrument.price(trigger);
        match side {
            Side::Sell => price <= trigger,
            Side::Buy => price >= trigger,
        }
    }

    /// The order works from now until its time is up.
    pub(super) fn start(&mut self, index: usize) {
        let expires_ns = self.now + WORKING_NS_MAX;
        if let Some(open) = self.open.get_mut(index) {
            open.stage = Stage::Working { expires_ns };
            open.updated_ms = self.now.ms();
        }
    }

    /// Takes for the working order at `index` what the touch has; false if that ended it.
    pub(super) fn execute(&mut self, index: usize, out: &mut Reports) -> bool {
        let Some(open) = self.open.get(index).copied() else { return false };
        let (instrument, side) = (open.instrument, open.order.side);
        let Some(market) = self.markets.get(instrument.index()) else { return false };
        let remaining = open.remaining();
        let wanted =
            if open.order.reduce_only { remaining.min(market.position.reducible(side)) } else { remaining };
        let level = market.against(side);
        let quantity = wanted.min(level.left);
        let fill = if quantity.0 > 0 {
            let (order, cause) = (open.order.id, FillCause::Order);
            let execution = Execution { instrument, order, side, quantity, price: level.price, cause };
            let Some(fill) = self.fill(&execution, out) else {
                self.end(index, OrderStatus::Expired, None, None, out);
                return false;
            };
            if let Some(open) = self.open.get_mut(index) {
                open.filled += quantity;
                open.paid = open.paid.saturating_add(level.price.wide() * quantity.wide());
                open.updated_ms = self.now.ms();
            }
            Some(fill)
        } else {
            None
        };
        if quantity == remaining {
            self.end(index, OrderStatus::Filled, fill, None, out);
            return false;
        }
        if let (Some(open), true) = (self.open.get(index), fill.is_some()) {
            out.push(self.order_report(open, None, fill, None));
        }
        let nothing_left = quantity == wanted && open.order.reduce_only;
        if nothing_left {
            self.end(index, OrderStatus::Expired, None, None, out);
        }
        !nothing_left
    }

    /// Books a fill at the touch and reports wallet and position after it; whose fill it is says the
    /// caller. `None`, and nothing changed, if an amount would leave its range.
    pub(super) fn fill(&mut self, execution: &Execution, out: &mut Reports) -> Option<Fill> {
        let (position, wallet, fee) = self.booked(execution)?;
        let Execution { instrument, order, side, quantity, price, cause } = *execution;
        let market = self.markets.get_mut(instrument.index())?;
        market.take(side, quantity);
        market.position = position;
        self.wallet = wallet;
        self.last_trade_id += 1;
        self.report_books(instrument, out);
        Some(Fill {
            order,
            trade_id: self.last_trade_id,
            fee,
            price,
            quantity,
            event_ms: self.now.ms(),
            side,
            maker: false,
            cause,
            pad: [0; 5],
        })
    }

    /// Position, wallet and fee after a fill.
    fn booked(&self, execution: &Execution) -> Option<(Position, Dec, Dec)> {
        let Execution { side, quantity, price, .. } = *execution;
        let market = self.markets.get(execution.instrument.index())?;
        let instrument = &market.instrument;
        let (position, realised) = market.position.after(instrument, side, quantity, price)?;
        // The entry price is reported with the position.
        position.entry(instrument)?;
        let notional = instrument.money(price.wide() * quantity.wide())?;
        let fee = charge(notional, instrument.taker_fee)?;
        let wallet = self.wallet.0.checked_add(realised.0)?.checked_sub(fee.0)?;
        Some((position, Dec(wallet), fee))
    }

    /// Ends the working orders whose time is up.
    pub(super) fn expire(&mut self, due: TimeNs, out: &mut Reports) {
        let mut index = 0;
        while let Some(open) = self.open.get(index) {
            match open.stage {
                Stage::Working { expires_ns } if expires_ns <= due => {
                    self.end(index, OrderStatus::Expired, None, None, out);
                }
                _ => index += 1,
            }
        }
    }

    /// Moves an order from the open ones to the closed ones and says so, with the fill that ended it.
    pub(super) fn end(
        &mut self,
        index: usize,
        status: OrderStatus,
        fill: Option<Fill>,
        answers: Option<Asked>,
        out: &mut Reports,
    ) {
        if index >= self.open.len() {
            return;
        }
        let open = self.open.remove(index);
        self.closed.insert(open.order.id, open.closed(status, self.now.ms()));
        out.push(self.order_report(&open, Some(status), fill, answers));
    }

    pub(super) fn order_report(
        &self,
        open: &OpenOrder,
        status: Option<OrderStatus>,
        fill: Option<Fill>,
        answers: Option<Asked>,
    ) -> Report {
        let OpenOrder { order, instrument, venue_id, filled, paid, .. } = *open;
        let event_ms = self.now.ms();
        let report = OrderReport { order, venue_id, filled, paid, fill, status, event_ms };
        Report { instrument, answers, body: ReportBody::Order(report) }
    }
}

impl OpenOrder {
    /// Lots not filled yet.
    pub fn remaining(&self) -> Lots {
        // Fills never exceed the quantity.
        self.order.quantity - self.filled
    }

    /// What a query answers while the order is open.
    pub(super) fn status(&self) -> OrderStatus {
        match (self.order.kind, self.stage) {
            (OrderKind::StopMarket, Stage::Working { .. }) => OrderStatus::Triggered,
            _ => OrderStatus::Accepted,
        }
    }
}
