//! The account: equity, margin, funding, liquidation. Amounts are `None` where they are not
//! representable or an open position has no price yet.

use std::cmp::Ordering;

use super::market::Market;
use super::matching::Execution;
use super::position::charge;
use super::{OrderReport, Report, ReportBody, Reports, Stage, Venue};
use crate::event::{AccountReason, Fill, FillCause, Order, OrderKind, OrderStatus, Purpose, WorkingType};
use crate::num::{Dec, InstrumentId, Lots, OrderId, Rounding, Side, Ticks, TimeNs, cmp_products};

impl Venue {
    /// Wallet balance: start + realised profit − fees + funding.
    pub fn wallet(&self) -> Dec {
        self.wallet
    }

    /// Unrealised profit of all positions.
    pub fn unrealised(&self) -> Option<Dec> {
        self.sum(Market::unrealised)
    }

    /// Wallet + unrealised profit: the margin balance.
    pub fn equity(&self) -> Option<Dec> {
        self.wallet.0.checked_add(self.unrealised()?.0).map(Dec)
    }

    /// Margin below which positions are liquidated: Σ notional × maintenance margin.
    pub fn maintenance(&self) -> Option<Dec> {
        self.sum(|market| {
            let notional = market.value(market.position.quantity.wide().abs())?;
            notional.mul(market.instrument.maintenance_margin, Rounding::HalfEven)
        })
    }

    /// Maintenance margin / equity: liquidation is at 1. `None` also without equity.
    pub fn margin_ratio(&self) -> Option<Dec> {
        let equity = self.equity().filter(|equity| equity.0 > 0)?;
        self.maintenance()?.div(equity, Rounding::HalfEven)
    }

    /// Whether the account can carry the order at `price`: Σ notional ≤ equity × leverage, counting
    /// what other working orders may still open. Orders that make no exposure larger always can.
    pub(super) fn can_carry(&self, instrument: InstrumentId, order: &Order, price: Ticks) -> bool {
        let exposure = self.exposure(instrument, Some(order));
        if exposure <= self.exposure(instrument, None) {
            return true;
        }
        let notional = self.ids().try_fold(Dec::ZERO, |sum, id| {
            let market = self.markets.get(id.index())?;
            let part = if id == instrument {
                market.instrument.money(price.wide().checked_mul(exposure)?)?
            } else {
                market.value(self.exposure(id, None))?
            };
            sum.0.checked_add(part.0).map(Dec)
        });
        let (Some(notional), Some(equity)) = (notional, self.equity()) else { return false };
        let capacity = [equity.0, i128::from(self.leverage)];
        matches!(cmp_products(&[notional.0], &capacity), Some(Ordering::Less | Ordering::Equal))
    }

    /// Largest position, either way, that the working orders and `extra` can lead to.
    fn exposure(&self, instrument: InstrumentId, extra: Option<&Order>) -> i128 {
        let working = self.open.iter().filter(|open| {
            open.instrument == instrument && !open.order.reduce_only && open.stage != Stage::Resting
        });
        let pending = working.map(|open| (open.order.side, open.remaining()));
        let extra = extra.map(|order| (order.side, order.quantity));
        let (mut buys, mut sells) = (0i128, 0i128);
        for (side, lots) in pending.chain(extra) {
            match side {
                Side::Buy => buys += lots.wide(),
                Side::Sell => sells += lots.wide(),
            }
        }
        let held = self.position(instrument).quantity.wide();
        (held + buys).abs().max((held - sells).abs())
    }

    /// Pays the funding due at `due`: −position × mark × rate, half even at 8 places. Each
    /// announcement is paid once.
    pub(super) fn fund(&mut self, due: TimeNs, out: &mut Reports) {
        for id in self.ids() {
            let Some(market) = self.markets.get_mut(id.index()) else { continue };
            let Some(funding) = market.funding.take_if(|f| TimeNs::from_ms(f.due_ms) <= due) else {
                continue;
            };
            let value = market.value(-market.position.quantity.wide());
            let change = value.and_then(|value| charge(value, funding.rate)).unwrap_or(Dec::ZERO);
            let Some(wallet) = self.wallet.0.checked_add(change.0) else { continue };
            if change != Dec::ZERO {
                self.wallet = Dec(wallet);
                let update = self.account_update(AccountReason::Funding, change);
                let body = ReportBody::Account { update, position: None };
                out.push(Report { instrument: id, answers: None, body });
            }
        }
    }

    /// While the maintenance margin exceeds equity, closes the position with the largest loss at the
    /// touch, as far as its size goes; entries still working are ended first.
    pub(super) fn liquidate(&mut self, out: &mut Reports) {
        // Every round empties a position or the side of the touch that closes it.
        for _ in 0..self.markets.len() {
            self.underwater = self.must_liquidate();
            if !self.underwater {
                return;
            }
            self.end_entries(out);
            let worst = self
                .ids()
                .filter_map(|id| {
                    let market = self.markets.get(id.index())?;
                    let side = market.closing_side();
                    let level = market.against(side);
                    let quantity = Lots(market.position.reducible(side).0.min(level.left.0));
                    (quantity.0 > 0).then_some((market.unrealised()?, id, side, quantity, level.price))
                })
                .min_by_key(|(unrealised, id, ..)| (*unrealised, *id));
            let Some((_, instrument, side, quantity, price)) = worst else { return };
            let order = OrderId::NONE;
            let cause = FillCause::Liquidation;
            let Some(fill) = self.fill(&Execution { instrument, order, side, quantity, price, cause }, out)
            else {
                return;
            };
            out.push(self.forced_report(instrument, fill));
        }
    }

    /// Closes up to `lots` of a position without an order of the account's: a counterparty's
    /// deleveraging, a settlement. As far as the touch goes.
    pub fn force(
        &mut self,
        now: TimeNs,
        instrument: InstrumentId,
        lots: Lots,
        cause: FillCause,
        out: &mut Reports,
    ) {
        self.advance(now, out);
        let Some(market) = self.markets.get(instrument.index()) else { return };
        let side = market.closing_side();
        let level = market.against(side);
        let quantity = lots.min(market.position.reducible(side)).min(level.left);
        if quantity.0 <= 0 {
            return;
        }
        let (order, price) = (OrderId::NONE, level.price);
        if let Some(fill) = self.fill(&Execution { instrument, order, side, quantity, price, cause }, out) {
            out.push(self.forced_report(instrument, fill));
        }
    }

    /// Money comes in or, negative, goes out; none beyond what numbers hold.
    pub fn transfer(&mut self, now: TimeNs, amount: Dec, out: &mut Reports) {
        self.advance(now, out);
        let Some(wallet) = self.wallet.0.checked_add(amount.0) else { return };
        self.wallet = Dec(wallet);
        let update = self.account_update(AccountReason::Transfer, amount);
        let body = ReportBody::Account { update, position: None };
        out.push(Report { instrument: InstrumentId::NONE, answers: None, body });
        self.liquidate(out);
    }

    fn must_liquidate(&self) -> bool {
        if self.markets.iter().all(|market| market.position.quantity == Lots::ZERO) {
            return false;
        }
        matches!((self.maintenance(), self.equity()), (Some(needed), Some(equity)) if needed > equity)
    }

    /// Ends the working orders that could open a position.
    fn end_entries(&mut self, out: &mut Reports) {
        let mut index = 0;
        while let Some(open) = self.open.get(index) {
            if open.order.reduce_only {
                index += 1;
            } else {
                self.end(index, OrderStatus::Expired, None, None, out);
            }
        }
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = InstrumentId> + use<> {
        // The table holds fewer rows than u16::MAX.
        (0..self.markets.len() as u16).map(InstrumentId)
    }

    fn sum(&self, of: impl Fn(&Market) -> Option<Dec>) -> Option<Dec> {
        let mut held = self
            .markets
            .iter()
            .filter(|market| market.position.quantity != Lots::ZERO || market.position.cost != Dec::ZERO);
        held.try_fold(Dec::ZERO, |sum, market| sum.0.checked_add(of(market)?.0).map(Dec))
    }

    /// Wallet and position after a fill.
    pub(super) fn report_books(&self, instrument: InstrumentId, out: &mut Reports) {
        let update = self.account_update(AccountReason::Order, Dec::ZERO);
        let body = ReportBody::Account { update, position: self.venue_position(instrument) };
        out.push(Report { instrument, answers: None, body });
    }

    /// The venue's own order, filled at once.
    fn forced_report(&mut self, instrument: InstrumentId, fill: Fill) -> Report {
        self.last_venue_id += 1;
        let order = Order {
            id: OrderId::NONE,
            trade: OrderId::NONE,
            quantity: fill.quantity,
            trigger: Ticks::ZERO,
            reference: fill.price,
            side: fill.side,
            kind: OrderKind::Market,
            purpose: Purpose::Exit,
            working_type: WorkingType::ContractPrice,
            reduce_only: true,
            pad: [0; 3],
        };
        let report = OrderReport {
            order,
            venue_id: self.last_venue_id,
            filled: fill.quantity,
            paid: fill.price.wide() * fill.quantity.wide(),
            fill: Some(fill),
            status: None,
            event_ms: fill.event_ms,
        };
        Report { instrument, answers: None, body: ReportBody::Order(report) }
    }
}
