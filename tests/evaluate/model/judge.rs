//! A signal judged: every rule, then the size.

use num_traits::{Signed, Zero};
use serde_json::{Value, json};

use super::{Model, Position, away, drawdown, places};
use crate::exact::{Q, ceil_to, floor_to, int, plain, q, ratio, read};
use crate::lines::{SignalLine, Spread};

impl Model {
    /// Every rule in order; the size and the position of an approval.
    pub(super) fn judge(&self, line: &SignalLine, rules: &mut Vec<String>) -> Option<(Value, Position)> {
        let s = &self.s;
        let mut check = |rule: &str, passed: bool| {
            rules.push(format!("{}{rule}", if passed { "" } else { "!" }));
            passed.then_some(())
        };
        let market = self.market(line.symbol);
        let long = line.action == "LONG";
        let (sign, one) = (if long { int(1) } else { int(-1) }, int(1));
        let number = |text: &Option<String>| text.as_ref().map(|text| read(text));
        let (atr, ema, volume) = (number(&line.atr), number(&line.ema), number(&line.volume));
        // Width in price and in basis points of the mid.
        let spread = match (&line.spread, &market.price) {
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
        };
        let positive = |value: &Option<Q>| value.as_ref().is_some_and(|v| v.is_positive());
        let ready = positive(&atr) && positive(&ema) && volume.is_some() && spread.is_some();
        check("not_ready", ready && market.price.is_some() && self.cash.is_some())?;
        let ((width, bps), atr, ema, volume) = (spread?, atr?, ema?, volume?);
        let (price, priced_ms) = market.price.clone()?;
        check("stale", self.now_ms - priced_ms <= s.max_data_age_ms)?;
        let allowed = s.min_consensus_types.to_string();
        check("consensus", allowed.split(',').any(|word| word == line.consensus))?;
        let confidence = read(&line.confidence);
        let mut needed = q(s.min_confidence);
        if s.volatility_gate && &atr / &price > q(s.max_atr_ratio) && q(s.high_vol_confidence) > needed {
            needed = q(s.high_vol_confidence);
        }
        check("confidence", confidence >= needed)?;
        if s.require_trend {
            let limit = &ema * (&one - &sign * q(s.trend_tolerance));
            check("trend", if long { price >= limit } else { price <= limit })?;
        }
        if let Some(regime) = s.regime_symbol {
            let found = self.markets.iter().find(|m| m.row.symbol == regime.as_str());
            let known =
                found.and_then(|m| Some((m.price.clone()?, m.ema.clone().filter(|e| e.is_positive())?)));
            let known = known.filter(|((_, at), _)| self.now_ms - at <= s.max_data_age_ms);
            let exception = price < ema && confidence >= q(s.regime_short_confidence);
            let calm =
                known.map(|((price, _), ema)| price / ema < Q::new(102.into(), 100.into()) || exception);
            check("regime", long || calm == Some(true))?;
        }
        check("volume", volume >= q(s.min_volume_24h))?;
        check("spread", bps <= q(s.max_spread_bps))?;
        let distance = &atr * q(s.atr_mult_sl);
        if s.min_stop_cost.0 > 0 {
            let cost = int(2) * read(market.row.taker_fee) * &price + width;
            check("cost", distance >= q(s.min_stop_cost) * cost)?;
        }
        let equity = self.equity()?;
        let daily = drawdown(&self.day_peak, &equity);
        if s.enable_circuit_breaker {
            check(
                "circuit_breaker",
                self.paused_until_ms.as_ref().is_none_or(|until| int(self.now_ms) >= *until),
            )?;
        }
        check("daily_drawdown", !self.day_latched)?;
        check("weekly_drawdown", !self.week_latched)?;
        check("concurrent", self.positions.len() < s.max_concurrent_trades as usize)?;
        check("position", self.position(line.symbol).is_none())?;

        let tick = read(market.row.tick);
        let stop = away(&(&price - &sign * &distance), &sign, &tick);
        let target = away(&(&price + &sign * &atr * q(s.tp_multiplier)), &sign, &tick);
        check("levels", stop.is_positive() && target.is_positive() && target != price)?;
        let stop_distance = (&price - &stop).abs();
        if let Some(leverage) = market.row.leverage {
            let margin = read(market.row.maintenance_margin);
            let liquidation = &price * (&one - &sign / int(leverage.into())) / (&one - &sign * margin);
            check("liquidation", (&stop - liquidation) * &sign >= stop_distance)?;
        }
        let mut risk_pct = q(s.risk_per_trade_pct);
        if s.signal_quality_adj && confidence >= read("0.85") {
            risk_pct *= q(s.high_conf_mult);
        } else if s.signal_quality_adj && confidence < read("0.6") {
            risk_pct *= q(s.low_conf_mult);
        }
        risk_pct = risk_pct.clamp(q(s.min_risk_pct), q(s.max_risk_pct));
        if s.enable_recovery_mode && daily > q(s.recovery_threshold_pct) {
            risk_pct *= q(s.recovery_risk_mult);
        }
        if s.enable_streak_protection && self.losses >= s.losing_streak_threshold {
            risk_pct *= q(s.streak_risk_reduction);
        }
        let cap = (&equity * q(s.max_leverage)).min(q(s.max_position_usd));
        let wanted = (&equity * risk_pct / &distance).min(&cap / &price);
        let (step, least) = (read(market.row.step), q(s.min_position_usd));
        let quantity = if &wanted * &price < least {
            let raised = ceil_to(&(&least / &price), &step);
            let fits = &raised * &stop_distance <= &equity * q(s.max_risk_pct) && &raised * &price <= cap;
            if !fits {
                check("min_position", false)?;
            }
            raised
        } else {
            floor_to(&wanted, &step)
        };
        let notional = &quantity * &price;
        check("min_quantity", quantity.is_positive() && quantity >= read(market.row.min_qty))?;
        check("min_notional", notional >= read(market.row.min_notional))?;
        check("min_position", notional >= least)?;
        let exposure: Q = self
            .positions
            .iter()
            .map(|p| (&p.approved - &p.exited) * &self.market(p.symbol).price.as_ref().unwrap().0)
            .sum();
        check("exposure", exposure + &notional <= &equity * q(s.max_exposure_pct))?;
        let risk = &quantity * &stop_distance;
        if s.enable_open_risk {
            let stops = self.positions.iter().map(|p| {
                let price = &self.market(p.symbol).price.as_ref().unwrap().0;
                ((price - &p.stop) * &p.sign * (&p.approved - &p.exited)).max(int(0))
            });
            let at_risk = &self.day_peak - &equity + stops.sum::<Q>() + &risk;
            check("open_risk", at_risk <= &self.day_peak * q(s.max_daily_dd_pct))?;
        }
        let size = json!({
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
            partial_tried: false,
            had_partial: false,
            closing: None,
        };
        Some((size, position))
    }
}
