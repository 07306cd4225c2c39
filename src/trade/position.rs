//! One trade: its plan, its orders, its fills, its protection.

use arrayvec::ArrayVec;
use borsh::{BorshDeserialize, BorshSerialize};

use super::{LiveOrder, OrderState, Step, next_state};
use crate::event::{Consensus, ExitSignal, Fill, FillCause, Instrument, Purpose, TradeClosed, TradeState};
use crate::num::{
    Dec, InstrumentId, Lots, OrderId, OutOfRange, Rounding, Side, Ticks, TimeNs, Wide, all_hold, div_wide,
    mul_div, wide_product,
};
use crate::risk::exit::ExitState;
use crate::risk::levels::AveragePrice;
use crate::risk::money;
use crate::risk::sizing::Plan;

/// Orders a trade may have unfinished at once: the entry, [`STOPS_MAX`], and room for exits.
pub const ORDERS_MAX: usize = 16;
/// Stops unfinished at once: one for each part of an entry that fills before the first is answered,
/// or one, its successor, and those being cancelled. Placed, that is: the venue's word on one that counted
/// as over may make it one more.
pub const STOPS_MAX: usize = 8;
/// The last place of a venue's wallet.
const VENUE_MONEY_UNIT: Dec = Dec::new(1, 8);

/// How the position is covered.
#[derive(Clone, Copy, Debug, PartialEq, Default, BorshSerialize, BorshDeserialize)]
pub struct Protection {
    /// Since when the position has had no acknowledged stop at all.
    pub bare_since: Option<TimeNs>,
    /// Since when acknowledged stops have covered less than the position; the deadline counts this.
    pub uncovered_since: Option<TimeNs>,
    /// When a stop was last sent.
    pub placed_ns: Option<TimeNs>,
    /// The next replacement must not wait: breakeven, or another quantity.
    pub urgent: bool,
    /// Since when the price has been beyond the stop.
    pub beyond_since: Option<TimeNs>,
}

/// A close in progress.
#[derive(Clone, Copy, Debug, PartialEq, BorshSerialize, BorshDeserialize)]
pub struct Closing {
    pub signal: ExitSignal,
    /// Exit orders sent since a timer or a late entry fill last began the count anew.
    pub attempts: u32,
    /// Exit orders refused; each makes the next wait longer.
    pub refusals: u32,
}

/// What of a trade is not ours to keep: a position that nothing explains, and that is closed.
#[derive(Clone, Copy, Debug, PartialEq, BorshSerialize, BorshDeserialize)]
pub struct Surplus {
    /// Not closed yet.
    pub lots: Lots,
    /// The newest exit of it; [`OrderId::NONE`] before the first.
    pub order: OrderId,
    /// Exits of it refused; each makes the next wait longer.
    pub refusals: u32,
}

impl Surplus {
    pub fn of(lots: Lots) -> Surplus {
        Surplus { lots, order: OrderId::NONE, refusals: 0 }
    }
}

/// A trade.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub struct Trade {
    /// Client order id of the entry.
    pub id: OrderId,
    pub instrument: InstrumentId,
    pub plan: Plan,
    pub consensus: Consensus,
    pub state: TradeState,
    pub orders: ArrayVec<LiveOrder, ORDERS_MAX>,
    /// Everything bought (sold) to enter.
    pub entry: AveragePrice,
    /// Tick-lots and lots of what was exited.
    pub exit_value: i128,
    pub exited: Lots,
    /// Entry cost of the open rest, in quote currency, and the result of what was exited before
    /// costs: by average cost and rounded as venues do, so that their wallet can be compared.
    rest_cost: Dec,
    pub realised: Dec,
    pub fees: Dec,
    pub funding: Dec,
    /// Against reference prices, in tick-lots; positive is worse.
    pub(crate) slippage: i128,
    /// Levels; from the first fill on.
    pub exit: Option<ExitState>,
    pub protection: Protection,
    pub closing: Option<Closing>,
    pub surplus: Option<Surplus>,
    /// The rule that ended it.
    pub ended_by: Option<ExitSignal>,
    /// A part was closed by rule.
    pub had_partial: bool,
    /// Its account is closed; orders may still be on their way out.
    pub finished: bool,
    /// Contribution to unrealised PnL at the last price.
    pub unrealised: Dec,
    opened_ns: TimeNs,
}

impl Closing {
    pub fn by(signal: ExitSignal) -> Closing {
        Closing { signal, attempts: 0, refusals: 0 }
    }
}

impl Trade {
    pub fn approved(id: OrderId, instrument: InstrumentId, plan: Plan, consensus: Consensus) -> Trade {
        Trade {
            id,
            instrument,
            plan,
            consensus,
            state: TradeState::Approved,
            orders: ArrayVec::new(),
            entry: AveragePrice { cost: 0, quantity: Lots::ZERO },
            exit_value: 0,
            exited: Lots::ZERO,
            rest_cost: Dec::ZERO,
            realised: Dec::ZERO,
            fees: Dec::ZERO,
            funding: Dec::ZERO,
            slippage: 0,
            exit: None,
            protection: Protection::default(),
            closing: None,
            surplus: None,
            ended_by: None,
            had_partial: false,
            finished: false,
            unrealised: Dec::ZERO,
            opened_ns: TimeNs(0),
        }
    }

    /// Whether every value is one that later arithmetic can bear, and the orders are those of a trade.
    /// `issued`: the newest order id there is.
    pub(crate) fn check(&self, issued: OrderId) -> Result<(), OutOfRange> {
        self.plan.check()?;
        self.orders.iter().try_for_each(LiveOrder::check)?;
        self.exit.map_or(Ok(()), |exit| exit.check(self.plan.side, self.plan.atr))?;
        let ids = || self.orders.iter().map(|order| order.id);
        let entries = self.orders.iter().filter(|order| order.purpose == Purpose::Entry).count();
        let money = [self.rest_cost, self.realised, self.fees, self.funding, self.unrealised];
        let most_slipped = 2 * Ticks::LEVEL_MAX.wide() * Lots::TOTAL_MAX.wide();
        all_hold(&[
            // The first is the entry, which has the trade's id; then stops and exits as they were sent.
            ("trade.id", ids().next() == Some(self.id) && ids().is_sorted_by(|a, b| a < b)),
            ("order.id", ids().all(|id| id.0 <= issued.0)),
            (
                "order.purpose",
                entries == 1 && self.order(self.id).is_some_and(|o| o.purpose == Purpose::Entry),
            ),
            ("trade.entry", self.entry.is_possible()),
            ("trade.exited", (0..=Lots::TOTAL_MAX.0).contains(&self.exited.0)),
            (
                "trade.exit_value",
                (0..=self.exited.wide() * Ticks::PRICE_MAX.wide()).contains(&self.exit_value),
            ),
            (
                "trade.surplus",
                self.surplus.is_none_or(|surplus| (1..=Lots::TOTAL_MAX.0).contains(&surplus.lots.0)),
            ),
            ("trade's money", money.into_iter().all(money::is_money)),
            ("trade.slippage", self.slippage.unsigned_abs() <= most_slipped.unsigned_abs()),
        ])?;
        // What is flat was finished by the event that made it so.
        let flat = self.entry.quantity.0 > 0 && self.open().0 <= 0 && !self.entry_working();
        all_hold(&[("trade.finished", self.finished || !flat)])
    }

    pub fn side(&self) -> Side {
        self.plan.side
    }

    /// Filled and not yet exited.
    pub fn open(&self) -> Lots {
        self.entry.quantity - self.exited
    }

    /// What a fill of this cause can leave: all that the venue holds, as far as it has said, with what the entry
    /// has still to report, of which some may have been exited already. One that was concluded from the
    /// position has what was not reported in it.
    pub fn held_for(&self, cause: FillCause) -> Lots {
        super::order::held(self.open(), &self.orders, self.side(), cause)
    }

    /// Approved and not yet exited: what counts for exposure while the entry is working.
    pub fn committed(&self) -> Lots {
        let working = self.order(self.id).is_some_and(|order| !order.is_done());
        if working { self.plan.quantity - self.exited } else { self.open() }
    }

    pub fn order(&self, id: OrderId) -> Option<&LiveOrder> {
        self.orders.iter().find(|order| order.id == id)
    }

    pub fn order_mut(&mut self, id: OrderId) -> Option<&mut LiveOrder> {
        self.orders.iter_mut().find(|order| order.id == id)
    }

    /// Unfinished orders of a purpose, oldest first.
    pub fn live(&self, purpose: Purpose) -> impl DoubleEndedIterator<Item = &LiveOrder> {
        self.orders.iter().filter(move |order| order.purpose == purpose && !order.is_done())
    }

    /// Whether the entry can still fill.
    pub fn entry_working(&self) -> bool {
        self.live(Purpose::Entry).next().is_some()
    }

    /// Which orders on a side have filled more, by the venue's word, than their fills tell, and what of so many
    /// lots that is.
    pub fn owed(&self, side: Side, lots: Lots) -> ArrayVec<(OrderId, Lots), ORDERS_MAX> {
        super::order::owed(&self.orders, side, lots).collect()
    }

    /// Lots that orders on their way will close: exits, and stops that were triggered.
    pub fn exiting(&self) -> Lots {
        let on_its_way = |order: &&LiveOrder| match order.purpose {
            Purpose::Entry => false,
            Purpose::Exit => true,
            // Sent, unknown or resting stops close nothing yet.
            Purpose::Stop => order.state == OrderState::Triggered || order.state.is_final(),
        };
        Lots(self.orders.iter().filter(on_its_way).map(|order| order.outstanding().0).sum())
    }

    /// Everything open is on its way out, by orders the venue has not failed to answer.
    pub fn is_leaving(&self) -> bool {
        let doubtful = self.live(Purpose::Exit).any(|order| order.state == OrderState::Unknown);
        self.exiting() >= self.open() && !doubtful
    }

    /// Acknowledged stops stand for all that is open.
    pub fn is_covered(&self) -> bool {
        self.open().0 <= self.stopped().0
    }

    /// Lots that acknowledged stops would close.
    pub fn stopped(&self) -> Lots {
        let stops = self.live(Purpose::Stop).filter(|order| order.rests());
        Lots(stops.map(|order| order.outstanding().0).sum())
    }

    /// So much of the surplus is closed.
    pub fn shrink_surplus(&mut self, lots: Lots) {
        self.surplus = self.surplus.and_then(|surplus| {
            let left = surplus.lots - lots;
            (left.0 > 0).then_some(Surplus { lots: left, ..surplus })
        });
    }

    /// Nothing of it is left at the venue.
    pub fn is_gone(&self) -> bool {
        self.finished && self.orders.iter().all(LiveOrder::is_done)
    }

    /// Takes a step if the state allows it; the state left.
    pub fn take(&mut self, step: Step) -> Option<TradeState> {
        let next = next_state(self.state, step)?;
        Some(std::mem::replace(&mut self.state, next))
    }

    /// Makes room for another order by forgetting finished ones; false when all are unfinished.
    pub fn make_room(&mut self) -> bool {
        if self.orders.is_full() {
            // The entry stays: its id is the trade's.
            let id = self.id;
            self.orders.retain(|order| order.id == id || !order.is_done());
        }
        !self.orders.is_full()
    }

    /// Books an entry fill.
    pub fn book_entry(&mut self, fill: &Fill, instrument: &Instrument, now: TimeNs) {
        if self.entry.quantity == Lots::ZERO {
            self.opened_ns = now;
        }
        if self.open().0 <= 0 {
            (self.protection.bare_since, self.protection.uncovered_since) = (Some(now), Some(now));
        }
        let cost = fill.price.wide() * fill.quantity.wide();
        self.entry.cost += cost;
        self.entry.quantity += fill.quantity;
        self.rest_cost = money::add(self.rest_cost, money::of(instrument, cost));
        self.book_costs(fill, self.plan.price, self.side());
    }

    /// Books an exit fill; `reference` is the price the exit was decided at.
    pub fn book_exit(&mut self, fill: &Fill, reference: Ticks, instrument: &Instrument) {
        let value = fill.price.wide() * fill.quantity.wide();
        let released = self.release(fill.quantity);
        let result =
            money::of(instrument, value).0.saturating_sub(released.0) * i128::from(self.side().sign());
        self.realised = money::add(self.realised, Dec(result));
        self.exit_value += value;
        self.exited += fill.quantity;
        self.book_costs(fill, reference, self.side().opposite());
    }

    /// Takes the share of `lots` out of the open rest's cost; the last part takes what is left.
    fn release(&mut self, lots: Lots) -> Dec {
        let open = self.open();
        let unit = VENUE_MONEY_UNIT.0;
        let share = mul_div(self.rest_cost.0, lots.wide(), open.wide() * unit, Rounding::HalfEven);
        let part = share.filter(|_| lots < open).and_then(|units| units.checked_mul(unit));
        let released = part.map_or(self.rest_cost, Dec);
        self.rest_cost = money::add(self.rest_cost, -released);
        released
    }

    fn book_costs(&mut self, fill: &Fill, reference: Ticks, side: Side) {
        self.fees = money::add(self.fees, fill.fee);
        if reference != Ticks::ZERO {
            let worse = (fill.price - reference).wide() * i128::from(side.sign());
            self.slippage += worse * fill.quantity.wide();
        }
    }

    /// Gross result once nothing is left, in tick-lots. What was exited before its entry was told cost what the
    /// rest of the entry did.
    fn closed_tick_lots(&self) -> i128 {
        let untold = (-self.open().0).max(0);
        let cost =
            mul_div(self.entry.cost, i128::from(untold), self.entry.quantity.wide(), Rounding::HalfEven);
        let cost = cost.unwrap_or(0) * i128::from(self.side().sign());
        self.gross_tick_lots(Ticks::ZERO) - cost
    }

    /// Gross result with the open rest valued at `price`, in tick-lots.
    pub fn gross_tick_lots(&self, price: Ticks) -> i128 {
        let value = self.exit_value + price.wide() * self.open().wide();
        (value - self.entry.cost) * i128::from(self.side().sign())
    }

    /// What the open rest loses from `price` to its stop, the worse of the engine's and the resting
    /// one; at least zero, in tick-lots. A pending entry counts with the decision's stop.
    pub fn stop_loss_tick_lots(&self, price: Ticks) -> i128 {
        let own = self.exit.as_ref().map_or(self.plan.stop, |exit| exit.stop);
        let sign = i128::from(self.side().sign());
        let resting = self.live(Purpose::Stop).filter(|order| order.rests()).map(|order| order.trigger);
        let worst = resting.fold(own, |a, b| if (b - a).wide() * sign < 0 { b } else { a });
        ((price - worst).wide() * sign * self.committed().wide()).max(0)
    }

    /// The account of the closed trade.
    pub fn account(&self, instrument: &Instrument, now: TimeNs) -> TradeClosed {
        let money = |tick_lots: i128| money::of(instrument, tick_lots);
        let pnl = money(self.closed_tick_lots()) - self.fees + self.funding;
        let risk = self.exit.as_ref().map_or(0, ExitState::risk_tick_lots);
        let risk_money = money(risk);
        let r_multiple = || {
            let n = wide_product(&[pnl.0, Dec::ONE.0])?;
            div_wide(n, Wide::from(risk_money.0), Rounding::TowardZero)
        };
        let (mfe, mae) = self.exit.as_ref().map_or((Dec::ZERO, Dec::ZERO), ExitState::excursions);
        let exit = AveragePrice { cost: self.exit_value, quantity: self.exited };
        TradeClosed {
            pnl,
            fees: self.fees,
            funding: self.funding,
            slippage: money(self.slippage),
            r_multiple: Dec(r_multiple().unwrap_or(0)),
            mfe,
            mae,
            entry: self.entry.to_dec(instrument.tick),
            exit: exit.to_dec(instrument.tick),
            trade: self.id,
            quantity: self.entry.quantity,
            opened_ns: self.opened_ns,
            closed_ns: now,
            best: self.exit.as_ref().and_then(|e| e.best).unwrap_or(Ticks::ZERO),
            worst: self.exit.as_ref().and_then(|e| e.worst).unwrap_or(Ticks::ZERO),
            state: self.state,
            signal: self.ended_by.unwrap_or(ExitSignal::Manual),
            side: self.side(),
            consensus: self.consensus,
            pad: [0; 12],
        }
    }

    /// Whether something of it waits for time to pass.
    pub fn has_deadline(&self) -> bool {
        let unanswered =
            |o: &LiveOrder| matches!(o.state, OrderState::Sent | OrderState::Unknown) && !o.is_done();
        self.protection.uncovered_since.is_some()
            || self.protection.beyond_since.is_some()
            || self.closing.is_some()
            || self.surplus.is_some()
            || self.orders.iter().any(unanswered)
    }
}

#[cfg(test)]
mod tests;
