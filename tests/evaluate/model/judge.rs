//! A signal judged: the filter, the portfolio, the size, and whether it fits beside what is open.

use num_traits::{Signed, Zero};
use quantum_trader::event::TradingState;
use serde_json::{Value, json};

use super::seen::Checks;
use super::{Market, Model, Position, away, drawdown, places};
use crate::exact::{Q, ceil_to, floor_to, int, plain, q, ratio, read};
use crate::lines::{SignalLine, Spread};

/// A signal whose market is complete.
struct Candidate<'a> {
    market: &'a Market,
    sign: Q,
    price: Q,
    atr: Q,
    confidence: Q,
    equity: Q,
}

/// What of it would be ordered, and what would be lost at its stop.
struct Sized {
    quantity: Q,
    stop: Q,
    target: Q,
    notional: Q,
    risk: Q,
}

impl Model {
    /// Every rule in order; the size and the position of an approval.
    pub(super) fn judge(&self, line: &SignalLine, checks: &mut Checks) -> Option<(Value, Position)> {
        let candidate = self.filter(line, checks)?;
        self.portfolio(&candidate, checks)?;
        let sized = self.size(&candidate, checks)?;
        self.fits(&candidate, &sized, checks)?;
        let Candidate { market, sign, price, atr, equity, .. } = candidate;
        let Sized { quantity, stop, target, notional, risk } = sized;
        let stop_distance = (&price - &stop).abs();
        let shown = json!({
            "quantity": plain(&quantity, places(market.row.step)), "notional": plain(&notional, 2),
            "entry": plain(&price, 2), "stop_loss": plain(&stop, 2), "take_profit": plain(&target, 2),
            "risk": plain(&risk, 2), "risk_pct": ratio(&(&risk / &equity)),
            "reward_risk": ratio(&((&target - &price).abs() / &stop_distance)),
        });
        let zero = Q::zero;
        let position = Position {
            symbol: line.symbol,
            sign,
            approved: quantity,
            decision_price: price,
            decided_ms: self.now_ms,
            atr,
            entered: zero(),
            paid: zero(),
            exited: zero(),
            received: zero(),
            leaving: zero(),
            costs: zero(),
            opened_ms: None,
            stop,
            target,
            r: zero(),
            tested: Vec::new(),
            moved: false,
            partial_tried: false,
            had_partial: false,
            closing: None,
        };
        Some((shown, position))
    }

    fn filter(&self, line: &SignalLine, checks: &mut Checks) -> Option<Candidate<'_>> {
        let s = &self.s;
        let market = self.market(line.symbol);
        let long = line.action == "LONG";
        let (sign, one) = (if long { int(1) } else { int(-1) }, int(1));
        let number = |text: &Option<String>| text.as_ref().map(|text| read(text));
        let (atr, ema, volume) = (number(&line.atr), number(&line.ema), number(&line.volume));
        let spread = spread(line, market);
        let positive = |value: &Option<Q>| value.as_ref().is_some_and(|v| v.is_positive());
        let ready = positive(&atr) && positive(&ema) && volume.is_some() && spread.is_some();
        let ready = ready && !market.foreign;
        checks.check("not_ready", ready && market.price.is_some() && self.cash.is_some())?;
        let ((width, bps), atr, ema, volume) = (spread?, atr?, ema?, volume?);
        let (price, priced_ms) = market.price.clone()?;
        checks.at_most("stale", &int(self.now_ms - priced_ms), &int(s.max_data_age_ms))?;
        checks.at_most("feed_lag", &int(market.feed.lag_ms()), &int(s.max_feed_lag_ms))?;
        let allowed = s.min_consensus_types.to_string();
        checks.check("consensus", allowed.split(',').any(|word| word == line.consensus))?;
        let confidence = read(&line.confidence);
        let mut needed = q(s.min_confidence);
        if s.volatility_gate && checks.seen.above("volatility_gate", &(&atr / &price), &q(s.max_atr_ratio)) {
            let raised = q(s.high_vol_confidence).max(needed.clone());
            if confidence >= needed && confidence < raised {
                checks.seen.binds.insert("volatility_gate");
            }
            needed = raised;
        }
        checks.at_least("confidence", &confidence, &needed)?;
        if s.require_trend {
            let limit = &ema * (&one - &sign * q(s.trend_tolerance));
            checks.at_least("trend", &(&price * &sign), &(limit * &sign))?;
        }
        if let Some(regime) = s.regime_symbol {
            let found = self.markets.iter().find(|m| m.row.symbol == regime.as_str());
            let known =
                found.and_then(|m| Some((m.price.clone()?, m.ema.clone().filter(|e| e.is_positive())?)));
            let known = known.filter(|((_, at), _)| self.now_ms - at <= s.max_data_age_ms);
            let exception = price < ema && confidence >= q(s.regime_short_confidence);
            let rising = Q::new(102.into(), 100.into());
            let calm = known.map(|((price, _), ema)| {
                !checks.seen.at_least("regime", &(price / ema), &rising) || exception
            });
            checks.check("regime", long || calm == Some(true))?;
        }
        checks.at_least("volume", &volume, &q(s.min_volume_24h))?;
        checks.at_most("spread", &bps, &q(s.max_spread_bps))?;
        if s.min_stop_cost.0 > 0 {
            let cost = int(2) * read(market.row.taker_fee) * &price + width;
            checks.at_least("cost", &(&atr * q(s.atr_mult_sl)), &(q(s.min_stop_cost) * cost))?;
        }
        Some(Candidate { market, sign, price, atr, confidence, equity: self.equity()? })
    }

    /// May there be another trade at all?
    fn portfolio(&self, c: &Candidate, checks: &mut Checks) -> Option<()> {
        let s = &self.s;
        if s.enable_circuit_breaker {
            let over = match &self.paused_until_ms {
                Some(until) => checks.seen.at_least("cooldown", &int(self.now_ms), until),
                None => true,
            };
            checks.check("circuit_breaker", over)?;
        }
        checks.check("daily_drawdown", !self.day_latched)?;
        checks.check("weekly_drawdown", !self.week_latched)?;
        checks.check("concurrent", self.positions.len() < s.max_concurrent_trades as usize)?;
        checks.check("position", self.position(c.market.row.symbol).is_none())?;
        if q(s.max_correlation) != int(1) && !self.positions.is_empty() {
            let alike = self.positions.iter().any(|p| self.too_alike(c.market, &c.sign, p, checks));
            checks.check("correlation", !alike)?;
        }
        checks.check("trading_state", self.state == TradingState::Active)
    }

    /// Too correlated with a position, or not known not to be.
    fn too_alike(&self, candidate: &Market, sign: &Q, p: &Position, checks: &mut Checks) -> bool {
        let limit = q(self.s.max_correlation);
        let bars = self.s.correlation_bars as usize;
        let Some(moments) = candidate.feed.moments(&self.market(p.symbol).feed, bars) else { return true };
        let covariance = moments.covariance * sign * &p.sign;
        let squared = &covariance * covariance.abs();
        let most = &limit * &limit * moments.variance_a * moments.variance_b;
        checks.seen.above("correlation", &squared, &most)
    }

    fn size(&self, c: &Candidate, checks: &mut Checks) -> Option<Sized> {
        let (s, row) = (&self.s, &c.market.row);
        let (price, sign, tick) = (&c.price, &c.sign, read(row.tick));
        let stop = away(&(price - sign * &c.atr * q(s.sl_multiplier)), sign, &tick);
        let target = away(&(price + sign * &c.atr * q(s.tp_multiplier)), sign, &tick);
        let lowest = if stop < target { &stop } else { &target };
        let positive = checks.seen.above("levels", lowest, &int(0));
        checks.check("levels", positive && target != *price && stop != *price)?;
        let distance = (price - &stop).abs();
        if let Some(leverage) = row.leverage {
            let (one, margin) = (int(1), read(row.maintenance_margin));
            let liquidation = price * (&one - sign / int(leverage.into())) / (&one - sign * margin);
            checks.at_least("liquidation", &((&stop - liquidation) * sign), &distance)?;
        }
        let risk_pct = self.risk_pct(c, checks);
        let quantity = self.quantity(c, &risk_pct);
        let least = q(s.min_position_usd);
        if quantity.raised {
            checks.seen.binds.insert("raised");
            let (worth, at_risk) = (&quantity.lots * price, &quantity.lots * &distance);
            let most = &c.equity * q(s.max_risk_pct);
            let edge = if at_risk == most { Some("raised") } else { None };
            checks.seen.edges.extend(edge);
            if at_risk > most || worth > quantity.cap {
                checks.check("min_position", false)?;
            }
        } else {
            let uncapped = floor_to(&quantity.by_risk, &read(row.step));
            let capped = if quantity.cap == q(s.max_position_usd) { "position_cap" } else { "leverage_cap" };
            if checks.seen.above(capped, &(&quantity.by_risk * price), &quantity.cap)
                && uncapped != quantity.lots
            {
                checks.seen.binds.insert(capped);
            }
        }
        let mut quantity = quantity.lots;
        if let Some(most) = row.max_qty.map(read)
            && checks.seen.above("max_quantity", &quantity, &most)
        {
            checks.seen.binds.insert("max_quantity");
            quantity = most;
        }
        let notional = &quantity * price;
        let one_step = read(row.step);
        checks.at_least("min_quantity", &quantity, &read(row.min_qty).max(one_step))?;
        checks.at_least("min_notional", &notional, &read(row.min_notional))?;
        checks.at_least("min_position", &notional, &least)?;
        Some(Sized { risk: &quantity * distance, quantity, stop, target, notional })
    }

    /// The share of equity to risk, factor by factor; those that change the quantity are noted.
    fn risk_pct(&self, c: &Candidate, checks: &mut Checks) -> Q {
        let s = &self.s;
        let mut risk = q(s.risk_per_trade_pct);
        let mut becomes = |what: &'static str, next: Q| {
            if self.quantity(c, &next).lots != self.quantity(c, &risk).lots {
                checks.seen.binds.insert(what);
            }
            risk = next;
            risk.clone()
        };
        let base = q(s.risk_per_trade_pct);
        let adjusted = if s.signal_quality_adj && c.confidence >= read("0.85") {
            becomes("high_confidence", base * q(s.high_conf_mult))
        } else if s.signal_quality_adj && c.confidence < read("0.6") {
            becomes("low_confidence", base * q(s.low_conf_mult))
        } else {
            base
        };
        let raised = becomes("min_risk", adjusted.max(q(s.min_risk_pct)));
        let clamped = becomes("max_risk", raised.min(q(s.max_risk_pct)));
        let recovered =
            if self.recovering() { becomes("recovery", clamped * q(s.recovery_risk_mult)) } else { clamped };
        if self.on_streak() {
            becomes("streak", &recovered * q(s.streak_risk_reduction));
        }
        if c.confidence == read("0.85") {
            checks.seen.edges.insert("high_confidence");
        }
        if c.confidence == read("0.6") {
            checks.seen.edges.insert("low_confidence");
        }
        if s.enable_recovery_mode && self.drawdown_today() == q(s.recovery_threshold_pct) {
            checks.seen.edges.insert("recovery");
        }
        if s.enable_streak_protection && self.losses == s.losing_streak_threshold {
            checks.seen.edges.insert("streak");
        }
        risk
    }

    pub fn recovering(&self) -> bool {
        self.s.enable_recovery_mode && self.drawdown_today() > q(self.s.recovery_threshold_pct)
    }

    pub fn on_streak(&self) -> bool {
        self.s.enable_streak_protection && self.losses >= self.s.losing_streak_threshold
    }

    fn drawdown_today(&self) -> Q {
        drawdown(&self.day_peak, &self.equity().unwrap_or_else(Q::zero))
    }

    fn quantity(&self, c: &Candidate, risk_pct: &Q) -> Quantity {
        let (s, step) = (&self.s, read(c.market.row.step));
        let by_risk = &c.equity * risk_pct / (&c.atr * q(s.atr_mult_sl));
        let cap = (&c.equity * q(s.max_leverage)).min(q(s.max_position_usd));
        let wanted = by_risk.clone().min(&cap / &c.price);
        let least = q(s.min_position_usd);
        let raised = &wanted * &c.price < least;
        let lots = if raised { ceil_to(&(least / &c.price), &step) } else { floor_to(&wanted, &step) };
        Quantity { by_risk, cap, lots, raised }
    }

    /// Does it fit beside what is open?
    fn fits(&self, c: &Candidate, sized: &Sized, checks: &mut Checks) -> Option<()> {
        let s = &self.s;
        let rest = |p: &Position| &p.approved - &p.exited;
        let price = |p: &Position| self.market(p.symbol).price.as_ref().unwrap().0.clone();
        let exposure: Q = self.positions.iter().map(|p| rest(p) * price(p)).sum();
        let most = &c.equity * q(s.max_exposure_pct);
        checks.at_most("exposure", &(exposure + &sized.notional), &most)?;
        if s.enable_open_risk {
            let stops: Q =
                self.positions.iter().map(|p| ((price(p) - &p.stop) * &p.sign * rest(p)).max(int(0))).sum();
            let at_risk = &self.day_peak - &c.equity + stops + &sized.risk;
            checks.at_most("open_risk", &at_risk, &(&self.day_peak * q(s.max_daily_dd_pct)))?;
        }
        Some(())
    }
}

struct Quantity {
    by_risk: Q,
    cap: Q,
    lots: Q,
    /// To the smallest position.
    raised: bool,
}

/// Width in price and in basis points of the mid.
fn spread(line: &SignalLine, market: &Market) -> Option<(Q, Q)> {
    match (&line.spread, &market.price) {
        (Spread::Bps(bps), Some((price, _))) => {
            let bps = read(bps);
            (!bps.is_negative()).then(|| (price * &bps / int(10_000), bps))
        }
        (Spread::Book(bid, ask), _) => {
            let (bid, ask) = (read(bid), read(ask));
            let mid = (&bid + &ask) / int(2);
            (ask >= bid).then(|| (&ask - &bid, (&ask - &bid) / mid * int(10_000)))
        }
        _ => None,
    }
}
