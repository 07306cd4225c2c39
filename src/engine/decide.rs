//! A signal becomes a decision: filter, portfolio, size. `docs/RULES.md` §3 to §5.

use arrayvec::ArrayVec;

use super::{Engine, Outbox, TRADES_MAX};
use crate::event::{
    Decision, Order, OrderKind, OutputBody, Purpose, Rule, Signal, SignalWithConditions, SpreadGiven,
    WorkingType,
};
use crate::market::Correlation;
use crate::num::{Dec, InstrumentId, OrderId, Side, Ticks, TimeNs};
use crate::risk::check::{Checks, Observed};
use crate::risk::controller::Holding;
use crate::risk::filter::{self, Conditions, Regime, Spread};
use crate::risk::sizing::{self, Plan, SizingInput};
use crate::risk::{money, off};
use crate::signal::{Resolved, resolve};
use crate::trade::{LiveOrder, Step, Trade};

impl Engine {
    /// Judges a signal by the market the engine knows.
    pub(super) fn on_signal(&mut self, id: InstrumentId, signal: &Signal, out: &mut Outbox) {
        self.decide(id, signal, self.conditions(id), out);
    }

    /// Judges a signal by the market it brings. Its EMA is the instrument's newest: the regime rule
    /// has no other.
    pub(super) fn on_signal_with_conditions(
        &mut self,
        id: InstrumentId,
        given: &SignalWithConditions,
        out: &mut Outbox,
    ) {
        let ema = given.ema_given.then_some(given.ema);
        let market = &mut self.markets[id.index()];
        market.ema_value = ema.or(market.ema_value);
        let conditions = Conditions {
            spread: match given.spread {
                SpreadGiven::No => None,
                SpreadGiven::Quotes => Some(Spread::Book { bid: given.bid, ask: given.ask }),
                SpreadGiven::Bps => Some(Spread::Bps(given.spread_bps)),
            },
            atr: given.atr_given.then_some(given.atr),
            ema,
            volume_24h: given.volume_given.then_some(given.volume_24h),
            ..self.conditions(id)
        };
        self.decide(id, &given.signal, conditions, out);
    }

    /// HOLD never reaches the filter.
    fn decide(&mut self, id: InstrumentId, signal: &Signal, conditions: Conditions, out: &mut Outbox) {
        let resolved = resolve(signal, &self.weights);
        let Some(side) = resolved.action.side() else { return };
        self.checks.clear();
        let multiplier = self.controller.risk_multiplier(&self.settings);
        match self.plan(id, side, &resolved, &conditions, multiplier) {
            Some(plan) => self.approve(id, plan, &resolved, multiplier, out),
            None => {
                let decision = self.rejection(id, side, &resolved, multiplier);
                out.push(id, OutputBody::Decision(decision));
            }
        }
    }

    /// Every rule in order; `None` after the first that failed.
    fn plan(
        &mut self,
        id: InstrumentId,
        side: Side,
        signal: &Resolved,
        conditions: &Conditions,
        multiplier: Dec,
    ) -> Option<Plan> {
        // Taken out so that the rules may borrow the rest of the engine; it owns no heap.
        let mut checks = std::mem::take(&mut self.checks);
        let plan = self.judge(id, side, signal, conditions, multiplier, &mut checks);
        #[cfg(feature = "planted-defect")]
        let plan = plan.map(|plan| Plan {
            quantity: crate::num::Lots(plan.quantity.0 + i64::from(self.defect)),
            ..plan
        });
        self.checks = checks;
        plan
    }

    fn judge(
        &self,
        id: InstrumentId,
        side: Side,
        signal: &Resolved,
        conditions: &Conditions,
        multiplier: Dec,
        checks: &mut Checks,
    ) -> Option<Plan> {
        let settings = &self.settings;
        if !settings.enable_risk_layer {
            return self.judge_unfiltered(id, side, signal, conditions, checks);
        }
        let regime = self.regime_now();
        if !filter::passes(side, signal, conditions, regime.as_ref(), settings, checks) {
            return None;
        }
        let equity = self.controller.equity()?;
        let holdings = self.holdings(id);
        if !self.controller.may_enter(side, self.now, &holdings, settings, checks) || !self.has_room(checks) {
            return None;
        }
        let input = SizingInput {
            equity,
            multiplier,
            leverage: self.leverage_of(id),
            ..self.sizing_input(id, side, signal, conditions)
        };
        let plan = sizing::size(&input, settings, checks)?;
        self.controller.fits(&plan, &holdings, settings, checks).then_some(plan)
    }

    /// The risk layer is off: what remains are things that cannot be, such as a second position in an
    /// instrument, and a trading state that some fault has lowered.
    fn judge_unfiltered(
        &self,
        id: InstrumentId,
        side: Side,
        signal: &Resolved,
        conditions: &Conditions,
        checks: &mut Checks,
    ) -> Option<Plan> {
        let held = i64::from(self.trade_index(id).is_some());
        let free = checks.note(Rule::Position, held == 0, Observed::count(held), Observed::count(0));
        if !free || !self.has_room(checks) || !self.controller.is_active(checks) {
            return None;
        }
        off::size(&self.sizing_input(id, side, signal, conditions), &self.settings, checks)
    }

    /// Without what the risk layer knows: equity, multipliers, leverage.
    fn sizing_input<'a>(
        &'a self,
        id: InstrumentId,
        side: Side,
        signal: &Resolved,
        conditions: &Conditions,
    ) -> SizingInput<'a> {
        SizingInput {
            side,
            price: conditions.price,
            // No size is computed from an ATR of zero.
            atr: conditions.atr.unwrap_or(Dec::ZERO),
            equity: Dec::ZERO,
            confidence: signal.confidence,
            multiplier: Dec::ONE,
            instrument: &self.markets[id.index()].instrument,
            leverage: None,
        }
    }

    /// Closed trades whose last orders are still on the venue's book take up room too.
    fn has_room(&self, checks: &mut Checks) -> bool {
        let (held, most) = (self.trades.len(), TRADES_MAX);
        held < most
            || checks.note(
                Rule::Concurrent,
                false,
                Observed::count(held as i64),
                Observed::count(most as i64),
            )
    }

    /// Leverage at the venue: as stated, else as set. Where no venue is, nothing was set.
    fn leverage_of(&self, id: InstrumentId) -> Option<u32> {
        let stated = self.leverage.get(id.index()).copied().flatten();
        stated.or(self.resting_stops.then_some(self.settings.venue_leverage))
    }

    fn conditions(&self, id: InstrumentId) -> Conditions {
        let market = &self.markets[id.index()];
        let quoted = market.bid.is_price() && market.ask.is_price();
        Conditions {
            price: market.price,
            tick: market.instrument.tick,
            spread: quoted.then_some(Spread::Book { bid: market.bid, ask: market.ask }),
            atr: market.atr_value,
            ema: market.ema_value,
            volume_24h: Some(market.volume_24h()),
            quote_age_ns: market.quote_ns.map(|at| self.now.since(at)),
            feed_lag_ns: market.lag.excess_ns(),
            taker_fee: market.instrument.taker_fee,
            // Nor is anything entered where the venue has a position that nothing explains.
            funded: self.controller.wallet().is_some() && !self.recovering && self.is_explained(id),
        }
    }

    pub(super) fn regime_now(&self) -> Option<Regime> {
        let market = self.markets.get(self.regime?.index()).filter(|market| market.price.is_price())?;
        let age_ns = market.quote_ns.map(|at| self.now.since(at))?;
        let fresh = age_ns <= self.settings.max_data_age_ms * crate::num::NS_PER_MS;
        Some(Regime { price: market.instrument.price(market.price), ema: market.ema_value?, fresh })
    }

    /// Open positions and pending entries beside a candidate in `id`. A closed trade whose last
    /// order is not off the book yet still occupies its own instrument, and nothing else.
    fn holdings(&self, id: InstrumentId) -> ArrayVec<Holding, TRADES_MAX> {
        let correlate = self.settings.max_correlation != Dec::ONE;
        let held = self.trades.iter().filter(|trade| !trade.finished || trade.instrument == id);
        held.map(|trade| {
            let market = &self.markets[trade.instrument.index()];
            let price = if market.price == Ticks::ZERO { trade.plan.price } else { market.price };
            let money = |tick_lots: i128| money::worth(market.tick_lot_value, tick_lots);
            let correlation = if correlate && trade.instrument != id {
                self.markets[id.index()].returns.correlate(&market.returns)
            } else {
                Correlation::Undefined
            };
            Holding {
                side: trade.side(),
                same_instrument: trade.instrument == id,
                exposure: money(price.wide() * trade.committed().wide()),
                stop_loss: money(trade.stop_loss_tick_lots(price)),
                correlation,
            }
        })
        .collect()
    }

    fn approve(
        &mut self,
        id: InstrumentId,
        plan: Plan,
        signal: &Resolved,
        multiplier: Dec,
        out: &mut Outbox,
    ) {
        let order_id = self.next_order_id();
        let order = Order {
            id: order_id,
            trade: order_id,
            quantity: plan.quantity,
            trigger: Ticks::ZERO,
            reference: plan.price,
            side: plan.side,
            kind: OrderKind::Market,
            purpose: Purpose::Entry,
            working_type: WorkingType::ContractPrice,
            reduce_only: false,
            pad: [0; 3],
        };
        let equity = self.controller.equity().unwrap_or(Dec::ZERO);
        let decision = Decision {
            observed: plan.atr,
            threshold: equity,
            order: order_id,
            quantity: plan.quantity,
            price: plan.price,
            stop: plan.stop,
            target: plan.target,
            rule: Rule::None,
            approved: true,
            ..self.verdict(plan.side, signal, multiplier)
        };
        out.push(id, OutputBody::Decision(decision));
        let mut trade = Trade::approved(order_id, id, plan, signal.consensus);
        trade.orders.push(LiveOrder::sent(&order, false, self.now));
        let t = self.trades.len();
        self.trade_of[id.index()] = t as u8;
        self.trades.push(trade);
        out.push(id, OutputBody::Order(order));
        self.advance(t, Step::EntrySent, out);
    }

    fn rejection(&self, id: InstrumentId, side: Side, signal: &Resolved, multiplier: Dec) -> Decision {
        let (rule, observed, threshold) = match self.checks.failure() {
            Some(check) => (check.rule, check.observed.to_dec(), check.threshold.to_dec()),
            // Only arithmetic that left its range ends without a failed check.
            None => (Rule::Levels, Dec::ZERO, Dec::ZERO),
        };
        let price = self.markets[id.index()].price;
        Decision { observed, threshold, rule, price, ..self.verdict(side, signal, multiplier) }
    }

    /// What approvals and rejections have in common.
    fn verdict(&self, side: Side, signal: &Resolved, multiplier: Dec) -> Decision {
        let ppm = |value: Dec| (value.0 / 10i128.pow(12)).clamp(0, u32::MAX.into()) as u32;
        Decision {
            observed: Dec::ZERO,
            threshold: Dec::ZERO,
            digest: self.checks.digest(),
            order: OrderId::NONE,
            quantity: crate::num::Lots::ZERO,
            price: Ticks::ZERO,
            stop: Ticks::ZERO,
            target: Ticks::ZERO,
            confidence_ppm: ppm(signal.confidence.to_dec()),
            risk_multiplier_ppm: ppm(multiplier),
            rule: Rule::None,
            side,
            consensus: signal.consensus,
            approved: false,
            pad: [0; 4],
        }
    }

    /// Event time of the newest event.
    pub fn now(&self) -> TimeNs {
        self.now
    }
}
