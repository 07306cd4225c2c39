//! The protocol once more, slow and obvious: exact rationals, one function a paragraph of the rules,
//! nothing shared with the engine but the settings' values.

mod judge;

use num_traits::Signed;
use quantum_trader::risk::config::{ExitPrice, Settings};
use serde_json::{Value, json};

use crate::exact::{Q, ceil_to, floor_to, int, plain, q, ratio, read};
use crate::lines::{Line, Listed, SignalLine, Spread, What};

const DAY_MS: i64 = 86_400_000;

struct Market {
    row: Listed,
    price: Option<(Q, i64)>,
    bid: Q,
    ask: Q,
    mark: Q,
    ema: Option<Q>,
}

struct Position {
    symbol: &'static str,
    sign: Q,
    approved: Q,
    decision_price: Q,
    decided_ms: i64,
    atr: Q,
    /// Everything entered and exited so far, as quantity and as money.
    entered: Q,
    paid: Q,
    exited: Q,
    received: Q,
    /// Said to be exited and not filled yet.
    leaving: Q,
    costs: Q,
    opened_ms: Option<i64>,
    stop: Q,
    target: Q,
    r: Q,
    tested: Vec<Q>,
    partial_tried: bool,
    had_partial: bool,
    closing: Option<&'static str>,
}

struct Due {
    symbol: &'static str,
    quantity: Q,
    price: Q,
    partial: bool,
}

pub struct Model {
    s: Settings,
    markets: Vec<Market>,
    positions: Vec<Position>,
    due: Vec<Due>,
    cash: Option<Q>,
    now_ms: i64,
    day: i64,
    week: i64,
    day_peak: Q,
    week_peak: Q,
    day_latched: bool,
    week_latched: bool,
    breaker_day: Option<i64>,
    paused_until_ms: Option<Q>,
    flatten_due: bool,
    losses: u32,
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
            *self = Model { lines: self.lines, ..Model::new(&self.s) };
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

    fn market(&self, symbol: &str) -> &Market {
        self.markets.iter().find(|m| m.row.symbol == symbol).unwrap()
    }

    fn row(&self, symbol: &str) -> &Listed {
        &self.market(symbol).row
    }

    fn position(&self, symbol: &str) -> Option<usize> {
        self.positions.iter().position(|p| p.symbol == symbol)
    }

    fn due_of(&self, symbol: &str) -> Q {
        self.due.iter().filter(|d| d.symbol == symbol).map(|d| d.quantity.clone()).sum()
    }

    fn pending_of(&self, symbol: &str) -> Q {
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
    fn equity(&self) -> Option<Q> {
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
        let s = &self.s;
        let daily = drawdown(&self.day_peak, &equity);
        self.day_latched |= daily > q(s.max_daily_dd_pct);
        self.week_latched |= drawdown(&self.week_peak, &equity) > q(s.max_weekly_dd_pct);
        let trips = s.enable_circuit_breaker && daily > q(s.circuit_breaker_loss_pct);
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
        }
        self.limits();
        for i in 0..self.positions.len() {
            let price = self.tested(i);
            if self.positions[i].closing.is_none() {
                self.positions[i].tested.push(price.clone());
            }
            self.close(i, "FLATTEN", &price);
        }
    }

    /// The price an exit could get now.
    fn tested(&self, i: usize) -> Q {
        let p = &self.positions[i];
        let market = self.market(p.symbol);
        match self.s.exit_price {
            ExitPrice::Last => market.price.clone().unwrap().0,
            ExitPrice::Mark => market.mark.clone(),
            ExitPrice::Book if p.sign.is_positive() => market.bid.clone(),
            ExitPrice::Book => market.ask.clone(),
        }
    }

    /// The rest of a pending entry fills at its decision's price and time.
    fn assume(&mut self, i: usize) {
        let p = &self.positions[i];
        let rest = &p.approved - &p.entered;
        if rest.is_positive() {
            let (price, at) = (p.decision_price.clone(), p.decided_ms);
            self.enter(i, &price, &rest, at);
        }
    }

    fn enter(&mut self, i: usize, price: &Q, quantity: &Q, at_ms: i64) {
        let s = self.s;
        let (tick, fee) = (read(self.row(self.positions[i].symbol).tick), self.fee(i, price, quantity));
        let p = &mut self.positions[i];
        p.opened_ms.get_or_insert(at_ms);
        p.entered += quantity;
        p.paid += price * quantity;
        p.costs += &fee;
        *self.cash.as_mut().unwrap() -= price * quantity * &p.sign + fee;
        let average = &p.paid / &p.entered;
        p.stop = away(&(&average - &p.sign * &p.atr * q(s.sl_multiplier)), &p.sign, &tick);
        p.target = away(&(&average + &p.sign * &p.atr * q(s.tp_multiplier)), &p.sign, &tick);
        p.r = (&average - &p.stop).abs();
    }

    fn fee(&self, i: usize, price: &Q, quantity: &Q) -> Q {
        price * quantity * read(self.row(self.positions[i].symbol).taker_fee)
    }

    fn fill_due(&mut self, given: Option<(&'static str, Q, Q)>) {
        let mut asked = given.as_ref().map_or(int(0), |(_, _, quantity)| quantity.clone());
        // Off the list before any fills, as what they may cause is due later.
        for due in std::mem::take(&mut self.due) {
            let mut rest = due.quantity.clone();
            if let Some((symbol, price, _)) = &given
                && *symbol == due.symbol
                && asked.is_positive()
            {
                let part = if asked < rest { asked.clone() } else { rest.clone() };
                self.leave(&due, price, &part);
                asked -= &part;
                rest -= part;
            }
            if rest.is_positive() {
                self.leave(&due, &due.price, &rest);
            }
        }
    }

    fn leave(&mut self, due: &Due, price: &Q, quantity: &Q) {
        let i = self.position(due.symbol).unwrap();
        let fee = self.fee(i, price, quantity);
        let p = &mut self.positions[i];
        p.exited += quantity;
        p.leaving -= quantity;
        p.received += price * quantity;
        p.costs += &fee;
        p.had_partial |= due.partial;
        *self.cash.as_mut().unwrap() += price * quantity * &p.sign - fee;
        if p.exited == p.entered {
            self.closed(i);
        }
        self.limits();
    }

    fn closed(&mut self, i: usize) {
        let p = self.positions.remove(i);
        let pnl = (&p.received - &p.paid) * &p.sign - &p.costs;
        let average = &p.paid / &p.entered;
        let excursion = |sign: &Q| {
            let all = p.tested.iter().map(|price| (price - &average) * sign / &p.r);
            all.fold(int(0), |most, r| if r > most { r } else { most })
        };
        let state = match (p.closing.unwrap(), p.had_partial) {
            ("FLATTEN", _) => "CLOSED_MANUAL",
            (_, true) => "CLOSED_PARTIAL",
            ("STOP_LOSS", _) => "CLOSED_SL",
            ("TAKE_PROFIT", _) => "CLOSED_TP",
            _ => "CLOSED_TIME",
        };
        self.losses = if pnl.is_negative() { self.losses + 1 } else { 0 };
        self.said.push(json!({
            "type": "closed", "symbol": p.symbol, "pnl": plain(&pnl, 2),
            "r_multiple": ratio(&(&pnl / (&p.entered * &p.r))), "mfe": ratio(&excursion(&p.sign)),
            "mae": ratio(&excursion(&-p.sign.clone())), "state": state,
        }));
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
        let (now, price) = (self.now_ms, read(price));
        let or_price = |text: Option<&String>| text.map_or(price.clone(), |text| read(text));
        let market = self.markets.iter_mut().find(|m| m.row.symbol == symbol).unwrap();
        (market.bid, market.ask, market.mark) = (or_price(bid), or_price(ask), or_price(mark));
        market.price = Some((price, now));
        let Some(i) = self.position(symbol) else { return };
        // Flattening comes after this line's own exits.
        let flattens = std::mem::replace(&mut self.s.circuit_breaker_flatten, false);
        let tripped_before = self.breaker_day;
        self.limits();
        self.s.circuit_breaker_flatten = flattens;
        self.exits(i);
        if flattens && self.breaker_day != tripped_before {
            self.flatten();
        }
    }

    fn exits(&mut self, i: usize) {
        let (s, price, now) = (self.s, self.tested(i), self.now_ms);
        let row = self.row(self.positions[i].symbol).clone();
        let tick = read(row.tick);
        let p = &mut self.positions[i];
        p.tested.push(price.clone());
        if p.closing.is_some() {
            return;
        }
        let average = &p.paid / &p.entered;
        let ahead = |level: &Q, of: &Q| (level - of) * &p.sign;
        let r = ahead(&price, &average) / &p.r;
        if !ahead(&price, &p.stop).is_positive() {
            return self.close(i, "STOP_LOSS", &price);
        }
        if !ahead(&price, &p.target).is_negative() {
            return self.close(i, "TAKE_PROFIT", &price);
        }
        if s.enable_partial_tp && !p.partial_tried && r >= q(s.partial_tp_at_r) {
            p.partial_tried = true;
            let part = floor_to(&(&p.entered * q(s.partial_tp_percent)), &read(row.step));
            let rest = &p.entered - &p.exited - &part;
            let enough = |lots: &Q| {
                lots.is_positive() && *lots >= read(row.min_qty) && lots * &price >= read(row.min_notional)
            };
            if enough(&part) && enough(&rest) {
                self.exit(i, "PARTIAL_TP", &part, &price, true);
            }
        }
        let p = &mut self.positions[i];
        let sign = p.sign.clone();
        let mut moves = Vec::new();
        if s.enable_breakeven && r >= q(s.breakeven_at_r) {
            let level = &average * (int(1) + &sign * q(s.breakeven_offset_pct));
            moves.push(("BREAKEVEN", away(&level, &sign, &tick)));
        }
        if s.enable_trailing && r >= q(s.trailing_start_r) {
            let best = p.tested.iter().max_by(|a, b| (*a * &sign).cmp(&(*b * &sign))).unwrap();
            let level = best - &sign * &p.atr * q(s.trailing_distance_atr);
            moves.push(("TRAILING", away(&level, &sign, &tick)));
        }
        for (kind, level) in moves {
            let (better, inside) = ((&level - &p.stop) * &sign, (&price - &level) * &sign);
            if better.is_positive() && inside >= &tick * int(2) {
                p.stop = level;
                let stop = plain(&p.stop, 2);
                self.said
                    .push(json!({"type": "stop_moved", "symbol": row.symbol, "kind": kind, "stop": stop}));
            }
        }
        let held = int(now - p.opened_ms.unwrap());
        let late = held > q(s.max_hours_no_progress) * int(3_600_000);
        if s.enable_time_exit && late && r < Q::new(1.into(), 2.into()) {
            self.close(i, "TIME_EXIT", &price);
        }
    }

    fn close(&mut self, i: usize, signal: &'static str, price: &Q) {
        let p = &mut self.positions[i];
        if p.closing.is_some() {
            return;
        }
        p.closing = Some(signal);
        let open = &p.entered - &p.exited - &p.leaving;
        self.exit(i, signal, &open, price, false);
    }

    fn exit(&mut self, i: usize, signal: &str, quantity: &Q, price: &Q, partial: bool) {
        let p = &mut self.positions[i];
        p.leaving += quantity;
        let due = Due { symbol: p.symbol, quantity: quantity.clone(), price: price.clone(), partial };
        self.due.push(due);
        let p = &self.positions[i];
        let r = (price - &p.paid / &p.entered) * &p.sign / &p.r;
        let quantity = plain(quantity, places(self.row(p.symbol).step));
        self.said.push(json!({
            "type": "exit", "symbol": p.symbol, "signal": signal, "quantity": quantity,
            "price": plain(price, 2), "r": ratio(&r),
        }));
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
            let market = self.markets.iter_mut().find(|m| m.row.symbol == symbol).unwrap();
            market.ema = Some(read(ema));
        }
        let mut rules = Vec::new();
        if line.action == "HOLD" {
            self.said.push(decision(line, None, "hold", &rules));
            return;
        }
        let sized = self.judge(line, &mut rules);
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
