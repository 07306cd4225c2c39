//! The protocol once more, slow and obvious: exact rationals, one function a paragraph of the rules,
//! nothing shared with the engine but the settings' values.

pub mod beyond;
mod feed;
mod judge;
mod seen;
mod trade;

use num_traits::Signed;
use quantum_trader::event::TradingState;
use quantum_trader::risk::config::Settings;
use serde_json::{Value, json};

use crate::exact::{Q, ceil_to, floor_to, int, plain, q, read};
use crate::lines::{Line, Listed, SignalLine, Spread, What};
use feed::Feed;
use seen::{Checks, Seen};

const DAY_MS: i64 = 86_400_000;

pub struct Market {
    pub row: Listed,
    pub price: Option<(Q, i64)>,
    bid: Q,
    ask: Q,
    mark: Q,
    ema: Option<Q>,
    feed: Feed,
    /// Somebody else has a position there.
    foreign: bool,
}

pub struct Position {
    pub symbol: &'static str,
    pub sign: Q,
    pub approved: Q,
    decision_price: Q,
    decided_ms: i64,
    pub atr: Q,
    /// Everything entered and exited so far, as quantity and as money.
    pub entered: Q,
    pub paid: Q,
    pub exited: Q,
    received: Q,
    /// Said to be exited and not filled yet.
    pub leaving: Q,
    costs: Q,
    opened_ms: Option<i64>,
    pub stop: Q,
    pub target: Q,
    pub r: Q,
    tested: Vec<Q>,
    /// A rule has moved the stop: it does not move back.
    moved: bool,
    partial_tried: bool,
    had_partial: bool,
    pub closing: Option<&'static str>,
}

struct Due {
    symbol: &'static str,
    quantity: Q,
    price: Q,
    partial: bool,
}

pub struct Model {
    pub s: Settings,
    markets: Vec<Market>,
    pub positions: Vec<Position>,
    due: Vec<Due>,
    cash: Option<Q>,
    pub now_ms: i64,
    day: i64,
    week: i64,
    pub day_peak: Q,
    pub week_peak: Q,
    day_latched: bool,
    week_latched: bool,
    breaker_day: Option<i64>,
    pub paused_until_ms: Option<Q>,
    flatten_due: bool,
    pub losses: u32,
    pub state: TradingState,
    pub seen: Seen,
    lines: u64,
    said: Vec<Value>,
}

fn week(ms: i64) -> i64 {
    (ms.div_euclid(DAY_MS) + 3).div_euclid(7)
}

impl Model {
    pub fn new(settings: &Settings) -> Model {
        Model {
            s: *settings,
            markets: Vec::new(),
            positions: Vec::new(),
            due: Vec::new(),
            cash: None,
            now_ms: 0,
            day: 0,
            week: 0,
            day_peak: int(0),
            week_peak: int(0),
            day_latched: false,
            week_latched: false,
            breaker_day: None,
            paused_until_ms: None,
            flatten_due: false,
            losses: 0,
            state: TradingState::Active,
            seen: Seen::default(),
            lines: 0,
            said: Vec::new(),
        }
    }

    pub fn line(&mut self, line: &Line) -> Vec<Value> {
        self.lines += 1;
        let refused = self.refusal(&line.what);
        let exit_fill = match &line.what {
            What::Fill { symbol, price, quantity }
                if refused.is_none() && self.due_of(symbol).is_positive() =>
            {
                let quantity = quantity.as_ref().map_or_else(|| self.due_of(symbol), |text| read(text));
                Some((*symbol, read(price), quantity))
            }
            _ => None,
        };
        let was_exit = exit_fill.is_some();
        self.fill_due(exit_fill);
        if refused.is_some() {
            self.error();
            return std::mem::take(&mut self.said);
        }
        // Exits that were due may have had everything closed, this line's entry with it.
        if let What::Fill { symbol, .. } = &line.what
            && !was_exit
            && !self.pending_of(symbol).is_positive()
        {
            self.error();
            return std::mem::take(&mut self.said);
        }
        if matches!(line.what, What::Reset) {
            self.said.push(json!({"type": "reset"}));
            let said = std::mem::take(&mut self.said);
            let seen = std::mem::take(&mut self.seen);
            *self = Model { lines: self.lines, seen, ..Model::new(&self.s) };
            return said;
        }
        self.clock(line.time_ms.unwrap_or(0).max(self.now_ms));
        match &line.what {
            What::Account(equity) => self.account(&read(equity)),
            What::Instrument(row) => self.instrument(row),
            What::Signal(signal) => self.signal(signal),
            What::Fill { .. } if was_exit => {}
            What::Fill { symbol, price, quantity } => {
                let i = self.position(symbol).unwrap();
                let rest = &self.positions[i].approved - &self.positions[i].entered;
                let quantity = quantity.as_ref().map_or(rest, |text| read(text));
                self.enter(i, &read(price), &quantity, self.now_ms);
                let p = &self.positions[i];
                let row = self.row(symbol);
                self.said.push(json!({
                    "type": "filled", "symbol": symbol, "quantity": plain(&p.entered, places(row.step)),
                    "entry": plain(&(&p.paid / &p.entered), 2), "stop_loss": plain(&p.stop, 2),
                    "take_profit": plain(&p.target, 2),
                }));
                self.limits();
            }
            What::Price { symbol, price, bid, ask, mark } => {
                self.prices(symbol, price, bid.as_ref(), ask.as_ref(), mark.as_ref());
            }
            What::Reset => unreachable!(),
        }
        std::mem::take(&mut self.said)
    }

    pub fn end(&mut self) -> Vec<Value> {
        while !self.due.is_empty() {
            self.fill_due(None);
        }
        std::mem::take(&mut self.said)
    }

    fn error(&mut self) {
        self.said.push(json!({"type": "error", "line": self.lines}));
    }

    pub fn market(&self, symbol: &str) -> &Market {
        self.markets.iter().find(|m| m.row.symbol == symbol).unwrap()
    }

    fn market_mut(&mut self, symbol: &str) -> &mut Market {
        self.markets.iter_mut().find(|m| m.row.symbol == symbol).unwrap()
    }

    fn row(&self, symbol: &str) -> &Listed {
        &self.market(symbol).row
    }

    pub fn position(&self, symbol: &str) -> Option<usize> {
        self.positions.iter().position(|p| p.symbol == symbol)
    }

    pub fn due_of(&self, symbol: &str) -> Q {
        self.due.iter().filter(|d| d.symbol == symbol).map(|d| d.quantity.clone()).sum()
    }

    pub fn pending_of(&self, symbol: &str) -> Q {
        self.position(symbol).map_or(int(0), |i| &self.positions[i].approved - &self.positions[i].entered)
    }

    fn refusal(&self, what: &What) -> Option<()> {
        let symbol = match what {
            What::Signal(s) => s.symbol,
            What::Fill { symbol, .. } | What::Price { symbol, .. } => symbol,
            _ => return None,
        };
        if !self.markets.iter().any(|m| m.row.symbol == symbol) {
            return Some(());
        }
        let What::Fill { quantity, .. } = what else { return None };
        let due = self.due_of(symbol);
        let open = if due.is_positive() { due } else { self.pending_of(symbol) };
        let step = read(self.row(symbol).step);
        let valid = |lots: Q| (&lots / &step).is_integer() && lots <= open;
        let possible = open.is_positive() && quantity.as_ref().is_none_or(|text| valid(read(text)));
        (!possible).then_some(())
    }

    fn clock(&mut self, now_ms: i64) {
        self.now_ms = now_ms;
        let equity = self.equity().unwrap_or_else(|| int(0));
        let day = now_ms.div_euclid(DAY_MS);
        if day > self.day {
            (self.day, self.day_peak, self.day_latched) = (day, equity.clone(), false);
        }
        if week(now_ms) > self.week {
            (self.week, self.week_peak, self.week_latched) = (week(now_ms), equity, false);
        }
    }

    /// Cash, and what is open at the last prices.
    pub fn equity(&self) -> Option<Q> {
        let open = self.positions.iter().map(|p| {
            let price = self.market(p.symbol).price.as_ref().map_or(&p.decision_price, |(price, _)| price);
            (&p.entered - &p.exited) * &p.sign * price
        });
        self.cash.as_ref().map(|cash| cash + open.sum::<Q>())
    }

    fn account(&mut self, equity: &Q) {
        match self.equity() {
            None => {
                self.cash = Some(equity.clone());
                (self.day_peak, self.week_peak) = (equity.clone(), equity.clone());
            }
            Some(now) => {
                let change = equity - now;
                *self.cash.as_mut().unwrap() += change;
            }
        }
        self.limits();
    }

    fn instrument(&mut self, row: &Listed) {
        self.markets.push(Market {
            row: row.clone(),
            price: None,
            bid: int(0),
            ask: int(0),
            mark: int(0),
            ema: None,
            feed: Feed::default(),
            foreign: false,
        });
    }

    fn limits(&mut self) {
        let Some(equity) = self.equity() else { return };
        if equity > self.day_peak {
            self.day_peak = equity.clone();
        }
        if equity > self.week_peak {
            self.week_peak = equity.clone();
        }
        let (s, seen) = (&self.s, &mut self.seen);
        let (daily, weekly) = (drawdown(&self.day_peak, &equity), drawdown(&self.week_peak, &equity));
        self.day_latched |= seen.above("daily_drawdown", &daily, &q(s.max_daily_dd_pct));
        self.week_latched |= seen.above("weekly_drawdown", &weekly, &q(s.max_weekly_dd_pct));
        let trips =
            s.enable_circuit_breaker && seen.above("circuit_breaker", &daily, &q(s.circuit_breaker_loss_pct));
        if trips && self.breaker_day != Some(self.day) {
            self.breaker_day = Some(self.day);
            self.paused_until_ms =
                Some(int(self.now_ms) + q(s.circuit_breaker_cooldown_hours) * int(3_600_000));
            self.flatten_due = s.circuit_breaker_flatten;
        }
        if std::mem::take(&mut self.flatten_due) {
            self.flatten();
        }
    }

    fn flatten(&mut self) {
        for i in 0..self.positions.len() {
            self.assume(i);
            self.limits();
        }
        for i in 0..self.positions.len() {
            let price = self.tested(i);
            if self.positions[i].closing.is_none() {
                self.positions[i].tested.push(price.clone());
            }
            self.close(i, "FLATTEN", &price);
        }
    }

    fn prices(
        &mut self,
        symbol: &'static str,
        price: &str,
        bid: Option<&String>,
        ask: Option<&String>,
        mark: Option<&String>,
    ) {
        if let Some(i) = self.position(symbol) {
            self.assume(i);
        }
        self.priced(symbol, price, bid, ask, mark);
    }

    fn priced(
        &mut self,
        symbol: &'static str,
        price: &str,
        bid: Option<&String>,
        ask: Option<&String>,
        mark: Option<&String>,
    ) {
        let (now, price) = (self.now_ms, read(price));
        let or_price = |text: Option<&String>| text.map_or(price.clone(), |text| read(text));
        let market = self.market_mut(symbol);
        (market.bid, market.ask, market.mark) = (or_price(bid), or_price(ask), or_price(mark));
        market.price = Some((price, now));
        let Some(i) = self.position(symbol) else { return };
        // Flattening comes after this line's own exits.
        let flattens = std::mem::replace(&mut self.s.circuit_breaker_flatten, false);
        let tripped_before = self.breaker_day;
        self.limits();
        self.s.circuit_breaker_flatten = flattens;
        if self.positions[i].entered.is_positive() {
            self.exits(i);
        }
        if flattens && self.breaker_day != tripped_before {
            self.flatten();
        }
    }

    fn signal(&mut self, line: &SignalLine) {
        let symbol = line.symbol;
        match &line.price {
            Some(price) => {
                let (bid, ask) = match &line.spread {
                    Spread::Book(bid, ask) => (Some(bid), Some(ask)),
                    _ => (None, None),
                };
                self.prices(symbol, price, bid, ask, None);
                while !self.due.is_empty() {
                    self.fill_due(None);
                }
            }
            None => {
                if let Some(i) = self.position(symbol) {
                    self.assume(i);
                    self.limits();
                }
            }
        }
        if let Some(ema) = &line.ema {
            self.market_mut(symbol).ema = Some(read(ema));
        }
        if line.action == "HOLD" {
            self.said.push(decision(line, None, "hold", &[]));
            return;
        }
        let mut seen = std::mem::take(&mut self.seen);
        let mut checks = Checks { rules: Vec::new(), seen: &mut seen };
        let sized = self.judge(line, &mut checks);
        let rules = checks.rules;
        self.seen = seen;
        let reason =
            if sized.is_some() { "" } else { rules.last().unwrap().as_str().trim_start_matches('!') };
        let said = decision(line, sized.as_ref().map(|(size, _)| size.clone()), reason, &rules);
        self.said.push(said);
        if let Some((_, position)) = sized {
            self.positions.push(position);
        }
    }
}

/// Stops away from the entry, targets towards it: both down for longs, up for shorts.
fn away(level: &Q, sign: &Q, tick: &Q) -> Q {
    if sign.is_positive() { floor_to(level, tick) } else { ceil_to(level, tick) }
}

fn drawdown(peak: &Q, equity: &Q) -> Q {
    if peak.is_positive() { (peak - equity) / peak } else { int(0) }
}

fn places(step: &str) -> usize {
    step.split_once('.').map_or(0, |(_, fraction)| fraction.len())
}

fn decision(line: &SignalLine, size: Option<Value>, rule: &str, rules: &[String]) -> Value {
    let mut said = json!({
        "type": "decision", "symbol": line.symbol, "action": line.action, "approved": size.is_some(),
        "quantity": null, "notional": null, "entry": null, "stop_loss": null, "take_profit": null,
        "risk": null, "risk_pct": null, "reward_risk": null, "rule": rule, "rules": rules,
    });
    for (name, value) in size.iter().flat_map(|size| size.as_object().unwrap()) {
        said[name] = value.clone();
    }
    said
}
