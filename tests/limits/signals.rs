//! Signals of a path: most are ones to take, some are spoiled at one rule, at its threshold or past it.

use num_traits::Signed;

use crate::exact::{Q, ceil_to, floor_to, int, plain, q, read};
use crate::families::{Family, SYMBOLS};
use crate::lines::{SignalLine, Spread};
use crate::model::Model;
use crate::paths::Path;

#[derive(Clone, Copy)]
enum Spoil {
    Missing,
    NoPrice,
    Consensus,
    Confidence,
    Volatile,
    Trend,
    Volume,
    Spread,
    Cost,
    Levels,
    Liquidation,
    Minimum,
    Quality,
}

/// The finest decimal.
fn unit() -> Q {
    Q::new(1.into(), 10i128.pow(18).into())
}

fn text(value: &Q) -> String {
    plain(value, 0)
}

impl Path {
    pub fn signal(&mut self, model: &Model, symbol: &'static str) -> SignalLine {
        let dice = &mut self.dice;
        let long = dice.percent(50);
        let (sign, action) = if long { (int(1), "LONG") } else { (int(-1), "SHORT") };
        let tick = read(model.market(symbol).row.tick);
        let (stated, moved) = (dice.percent(92), int(dice.between(-2, 2)));
        let fresh = model.market(symbol).price.is_none() || stated;
        let now = model.market(symbol).price.as_ref().map_or(int(100), |(price, _)| price.clone());
        let price = if fresh { (&now + &tick * moved).max(tick.clone()) } else { now };
        let ema = (&price - &sign * &tick * int(dice.between(0, 3))).max(tick);
        let spread = if dice.percent(70) {
            Spread::Bps(dice.pick(&["0", "10", "1"]).to_string())
        } else {
            Spread::Book(text(&price), text(&price))
        };
        let mut line = SignalLine {
            symbol,
            action,
            consensus: "UNANIMOUS",
            confidence: dice.pick(&["0.75", "0.8", "0.84", "0.85", "1"]).to_string(),
            price: fresh.then(|| text(&price)),
            spread,
            atr: Some(dice.pick(&["1", "2", "2.5", "4", "3.333333333333333333"]).to_string()),
            ema: Some(text(&ema)),
            volume: Some("1000000".to_string()),
        };
        let chance = match self.family {
            Family::Filter => 70,
            Family::Size => 65,
            Family::States | Family::Correlated => 3,
            _ => 10,
        };
        if self.dice.percent(chance) {
            self.spoil(&mut line, model, &price, &sign);
        }
        line
    }

    /// The same for every instrument, worth a round sum.
    pub fn alike(&mut self, symbol: &'static str) -> SignalLine {
        let same = |value: &str| Some(value.to_string());
        SignalLine {
            symbol,
            action: "LONG",
            consensus: "STRONG",
            confidence: "0.75".to_string(),
            price: same("100"),
            spread: bps("0"),
            atr: same(self.dice.pick(&["1", "2.5", "2"])),
            ema: same("100"),
            volume: same("1000000"),
        }
    }

    /// Of the regime's own symbol; the shorts that follow meet it.
    pub fn regime(&mut self) -> SignalLine {
        let off = unit() * int(self.dice.between(-1, 1));
        let price = self.dice.pick(&["102", "102", "103", "101"]).to_string();
        SignalLine { price: Some(price), ema: Some(text(&(int(100) + off))), ..self.alike(SYMBOLS[0]) }
    }

    fn spoil(&mut self, line: &mut SignalLine, model: &Model, price: &Q, sign: &Q) {
        use Spoil::*;
        let filter = [Missing, NoPrice, Consensus, Confidence, Volatile, Trend, Volume, Spread, Cost];
        let size = [Levels, Liquidation, Minimum, Minimum, Minimum, Quality];
        let spoil = match self.family {
            Family::Filter => self.dice.pick(&filter),
            Family::Size => self.dice.pick(&size),
            _ if self.dice.percent(50) => self.dice.pick(&filter),
            _ => self.dice.pick(&size),
        };
        let s = self.settings;
        let row = &model.market(line.symbol).row;
        // Just on the right side, exactly at it, just on the wrong side.
        let off = unit() * int(self.dice.between(-1, 1));
        let atr = line.atr.as_ref().map(|atr| read(atr)).unwrap();
        match spoil {
            Missing => self.leave_out(line, price),
            NoPrice => line.price = None,
            Consensus => line.consensus = self.dice.pick(&["STRONG", "SPLIT", "WEAK"]),
            Confidence => line.confidence = text(&(q(s.min_confidence) + off)),
            Volatile => {
                line.confidence = self.dice.pick(&["0.8", "0.799999999999999999", "0.7", "0.75"]).to_string();
                line.atr = Some(text(&(price * q(s.max_atr_ratio) + off)));
            }
            Trend => line.ema = Some(text(&(price / (int(1) - sign * q(s.trend_tolerance)) + off))),
            Volume => line.volume = Some(text(&(q(s.min_volume_24h) + off))),
            Spread => line.spread = bps(&text(&(q(s.max_spread_bps) + off))),
            Cost => {
                line.spread = bps("10");
                let width = price * int(10) / int(10_000);
                let cost = (int(2) * read(row.taker_fee) * price + width) * q(s.min_stop_cost);
                line.atr = Some(text(&(ceil_to(&(cost / q(s.atr_mult_sl)), &unit()) + off)));
            }
            Levels => {
                let tick = read(row.tick) * int(self.dice.between(-1, 1));
                let distance = if sign.is_positive() { price.clone() } else { price / q(s.target_rr) };
                line.atr = Some(text(&((distance + tick) / q(s.sl_multiplier)).max(unit())));
                line.confidence = "1".to_string();
            }
            Liquidation => {
                let leverage = int(row.leverage.unwrap_or(5).into());
                let liquidation =
                    price * (int(1) - sign / leverage) / (int(1) - sign * read(row.maintenance_margin));
                let distance = (price - liquidation).abs() / int(2);
                let tick = read(row.tick) * int(self.dice.between(-1, 1));
                line.atr = Some(text(&((distance + tick) / q(s.sl_multiplier))));
                line.confidence = "1".to_string();
            }
            Minimum => {
                let (Some(equity), floor) = (model.equity(), int(0)) else { return };
                let least = [
                    read(row.min_qty),
                    read(row.min_notional) / price,
                    q(s.min_position_usd) / price,
                    row.max_qty.map_or(int(1), read),
                ];
                let least = self.dice.pick(&least).max(read(row.step)).max(floor);
                let budget = equity * q(s.risk_per_trade_pct.clamp(s.min_risk_pct, s.max_risk_pct));
                let exact = budget / (least * q(s.atr_mult_sl));
                let atr = exact * int(self.dice.pick(&[100, 100, 101, 99, 120])) / int(100);
                line.confidence = "0.75".to_string();
                line.atr = Some(text(&floor_to(&atr, &unit()).max(unit())));
            }
            Quality => {
                let at = ["0.85", "0.849999999999999999", "0.6", "0.599999999999999999", "0.5", "0.95"];
                line.confidence = self.dice.pick(&at).to_string();
                line.atr = Some(text(&atr));
            }
        }
    }

    fn leave_out(&mut self, line: &mut SignalLine, price: &Q) {
        match self.dice.between(1, 6) {
            1 => line.atr = None,
            2 => line.ema = None,
            3 => line.volume = None,
            4 => line.spread = Spread::Missing,
            5 => line.atr = Some("0".to_string()),
            _ => {
                let tick = price / int(50);
                line.spread = Spread::Book(text(&price.ceil()), text(&(price - tick).floor().max(int(1))));
            }
        }
    }
}

fn bps(bps: &str) -> Spread {
    Spread::Bps(bps.to_string())
}
