//! What must hold after every event, whatever the model thinks: stops only tighten, parts sum to the
//! whole, orders are ones the venue takes, and no approval risks more than it may.

use std::collections::BTreeMap;

use num_traits::{Signed, Zero};
use quantum_trader::engine::Engine;
use quantum_trader::event::*;
use quantum_trader::num::{InstrumentId, OrderId, Ticks};
use quantum_trader::risk::config::Settings;
use quantum_trader::risk::sizing::Plan;
use quantum_trader::trade;

use crate::exact::{Q, int, q, read};

/// A trade by what was ordered, filled and paid for it.
struct Parts {
    id: InstrumentId,
    plan: Plan,
    entered: Q,
    paid: Q,
    exited: Q,
    received: Q,
    fees: Q,
    funding: Q,
    /// The stop after the event before, and whether a rule has moved it.
    stop: Option<Ticks>,
    moved: bool,
}

pub struct Audit {
    settings: Settings,
    rows: Vec<Instrument>,
    open: BTreeMap<OrderId, Parts>,
    /// What the wallet must be: everything booked so far.
    wallet: Q,
    pub approvals: u64,
    pub closed: u64,
}

impl Audit {
    pub fn new(settings: &Settings, rows: Vec<Instrument>) -> Audit {
        let open = BTreeMap::new();
        Audit { settings: *settings, rows, open, wallet: Q::zero(), approvals: 0, closed: 0 }
    }

    pub fn after(&mut self, event: &Event, engine: &Engine, outputs: &[Output]) {
        match &event.body {
            EventBody::Fill(fill) => self.fill(event.instrument, fill),
            EventBody::AccountUpdate(update) => self.account(event.instrument, update),
            _ => {}
        }
        for Output { instrument, body } in outputs {
            match body {
                OutputBody::Decision(judged) if judged.approved => self.approval(*instrument, judged, engine),
                OutputBody::Order(order) => self.order(*instrument, order, engine),
                OutputBody::StopMoved(moved) => {
                    let better = (moved.stop - moved.previous).0 * moved.side.sign();
                    assert!(better > 0, "a stop loosened: {moved:?}");
                }
                OutputBody::TradeClosed(closed) => self.account_of(closed),
                _ => {}
            }
        }
        for trade in engine.trades() {
            self.sums(trade);
            self.stop_only_tightens(trade, event);
            self.loss_at_the_stop(trade);
        }
        let held = |id: &OrderId| engine.trades().iter().any(|trade| trade.id == *id);
        self.open.retain(|id, parts| held(id) || parts.entered.is_positive());
        assert_eq!(self.open.len(), engine.trades().len(), "trades held");
        if let Some(wallet) = engine.controller().wallet() {
            assert_eq!(q(wallet), self.wallet, "the wallet is the sum of what was booked");
        }
    }

    fn price(&self, id: InstrumentId, ticks: Ticks) -> Q {
        q(self.rows[id.index()].tick) * int(ticks.0)
    }

    fn fill(&mut self, id: InstrumentId, fill: &Fill) {
        let value = self.price(id, fill.price);
        let step = q(self.rows[id.index()].step);
        let Some(parts) = self.open.values_mut().find(|parts| parts.id == id) else { return };
        if fill.order.epoch() != 1 {
            return;
        }
        let lots = step * int(fill.quantity.0);
        let (quantity, money) = if fill.side == parts.plan.side {
            (&mut parts.entered, &mut parts.paid)
        } else {
            (&mut parts.exited, &mut parts.received)
        };
        *money += value * &lots;
        *quantity += lots;
        parts.fees += q(fill.fee);
        self.wallet -= q(fill.fee);
    }

    fn account(&mut self, id: InstrumentId, update: &AccountUpdate) {
        match update.reason {
            _ if update.wallet.0 == i128::MAX => {}
            AccountReason::Snapshot => self.wallet = q(update.wallet),
            AccountReason::Funding | AccountReason::Transfer => {
                let change = q(update.change);
                if update.reason == AccountReason::Funding
                    && let Some(parts) = self.open.values_mut().find(|parts| parts.id == id)
                {
                    parts.funding += &change;
                }
                self.wallet += change;
            }
            AccountReason::Order | AccountReason::Adjustment => {}
        }
    }

    /// At an approval the risk is within the share of equity that is stated, or within what the
    /// smallest position may risk.
    fn approval(&mut self, id: InstrumentId, judged: &Decision, engine: &Engine) {
        let (s, row) = (&self.settings, &self.rows[id.index()]);
        let plan = engine.trades().iter().find(|trade| trade.id == judged.order).unwrap().plan;
        let (equity, ppm) = (q(judged.threshold), |ppm: u32| int(ppm.into()) / int(1_000_000));
        let sure = ppm(judged.confidence_ppm);
        let factor = match s.signal_quality_adj {
            true if sure >= read("0.85") => q(s.high_conf_mult),
            true if sure < read("0.6") => q(s.low_conf_mult),
            _ => int(1),
        };
        let share = (q(s.risk_per_trade_pct) * factor).clamp(q(s.min_risk_pct), q(s.max_risk_pct));
        let budget = &equity * share * ppm(judged.risk_multiplier_ppm);
        let quantity = q(row.step) * int(plan.quantity.0);
        let distance = q(plan.atr) * q(s.atr_mult_sl);
        let (risk, rounding) = (q(plan.risk), q(row.tick) * &quantity);
        let by_share = &quantity * distance <= budget && risk <= budget + rounding;
        let notional = q(plan.notional);
        let smallest = &notional - q(row.step) * self.price(id, plan.price) < q(s.min_position_usd);
        let allowed = smallest && risk <= &equity * q(s.max_risk_pct);
        assert!(by_share || allowed, "{plan:?} risks too much of {equity}");
        assert!(notional <= (equity * q(s.max_leverage)).min(q(s.max_position_usd)), "{plan:?} is too large");
        assert!(engine.trades().len() <= s.max_concurrent_trades as usize);
        assert_eq!(engine.controller().state(), TradingState::Active);
        let zero = Q::zero;
        let parts = Parts {
            id,
            plan,
            entered: zero(),
            paid: zero(),
            exited: zero(),
            received: zero(),
            fees: zero(),
            funding: zero(),
            stop: None,
            moved: false,
        };
        assert!(self.open.insert(judged.order, parts).is_none(), "an id twice");
        self.approvals += 1;
    }

    /// Prices and quantities are integers of ticks and steps by their types; what is left to go wrong
    /// are signs, sides and minimums.
    fn order(&self, id: InstrumentId, order: &Order, engine: &Engine) {
        let row = &self.rows[id.index()];
        let notional = row.money(order.reference.wide() * order.quantity.wide()).unwrap();
        let large = order.quantity >= row.min_quantity && notional >= row.min_notional;
        assert!(order.quantity.0 > 0 && order.quantity <= row.max_quantity, "{order:?}");
        assert!(order.reference.is_price(), "{order:?}");
        let trade = engine.trades().iter().find(|trade| trade.id == order.trade).unwrap();
        match order.purpose {
            Purpose::Entry => {
                assert!(large && order.side == trade.side() && !order.reduce_only, "{order:?}");
                let levels = [trade.plan.stop, trade.plan.target];
                assert!(levels.iter().all(|level| level.is_price()), "{:?}", trade.plan);
            }
            Purpose::Exit => {
                assert!(order.side == trade.side().opposite() && order.reduce_only, "{order:?}");
                // The whole rest may be below the minimums.
                assert!(large || trade.closing.is_some(), "{order:?}");
                assert!(trade.exiting() <= trade.open(), "{order:?} is more than is open");
            }
            Purpose::Stop => panic!("nothing rests in these runs: {order:?}"),
        }
    }

    /// Entry fills = exits + open.
    fn sums(&self, trade: &trade::Trade) {
        let parts = &self.open[&trade.id];
        let (row, working) = (&self.rows[trade.instrument.index()], trade.entry_working());
        let quantity = |lots: i64| q(row.step) * int(lots);
        assert_eq!(quantity(trade.entry.quantity.0), parts.entered, "entered");
        assert_eq!(quantity(trade.exited.0), parts.exited, "exited");
        assert_eq!(quantity(trade.open().0), &parts.entered - &parts.exited, "open");
        assert!(trade.open().0 >= 0 && trade.entry.quantity <= trade.plan.quantity);
        let committed = if working { trade.plan.quantity - trade.exited } else { trade.open() };
        assert_eq!(trade.committed(), committed, "counts for exposure");
        assert_eq!(q(trade.fees), parts.fees, "fees");
        assert_eq!(q(trade.funding), parts.funding, "funding");
        let cost = q(row.tick_lot_value()) * Q::from_integer(trade.entry.cost.into());
        assert_eq!(cost, parts.paid, "paid");
    }

    fn account_of(&mut self, closed: &TradeClosed) {
        let parts = self.open.remove(&closed.trade).expect("an approved trade");
        let step = q(self.rows[parts.id.index()].step);
        assert_eq!(step * int(closed.quantity.0), parts.entered, "closed is what was entered");
        assert_eq!(parts.entered, parts.exited, "closed and not flat");
        let gross = (&parts.received - &parts.paid) * int(parts.plan.side.sign());
        assert_eq!((q(closed.fees), q(closed.funding)), (parts.fees.clone(), parts.funding.clone()));
        assert_eq!(q(closed.pnl), &gross - &parts.fees + &parts.funding, "pnl is the sum of the parts");
        self.wallet += gross;
        self.closed += 1;
    }

    /// But for a fill of the entry while no rule has moved it: the stop then follows the average.
    fn stop_only_tightens(&mut self, trade: &trade::Trade, event: &Event) {
        let Some(exit) = &trade.exit else { return };
        let side = trade.side();
        let Some(parts) = self.open.get_mut(&trade.id) else { return };
        let entering = matches!(&event.body, EventBody::Fill(fill) if fill.side == side);
        if let Some(before) = parts.stop {
            let change = (exit.stop - before).0 * side.sign();
            assert!(change >= 0 || (entering && !parts.moved), "{before:?} -> {:?}: {trade:?}", exit.stop);
            parts.moved |= change != 0 && !entering;
        }
        parts.stop = Some(exit.stop);
    }

    /// Before slippage and costs, the loss at the initial stop is the stated risk and at most a tick more.
    fn loss_at_the_stop(&self, trade: &trade::Trade) {
        let Some(exit) = &trade.exit else { return };
        let row = &self.rows[trade.instrument.index()];
        let parts = &self.open[&trade.id];
        let stop = self.price(trade.instrument, exit.initial_stop);
        let loss = (&parts.paid - stop * &parts.entered) * int(trade.side().sign());
        let stated = q(parts.plan.risk) * int(trade.entry.quantity.0) / int(parts.plan.quantity.0);
        assert!(loss <= stated + q(row.tick) * &parts.entered, "loses {loss}: {trade:?}");
        assert!(loss.is_positive(), "a stop on the wrong side: {trade:?}");
    }
}
