//! The life of a position: entered, tested, moved, left.

use num_traits::Signed;
use quantum_trader::event::TradingState;
use quantum_trader::risk::config::ExitPrice;
use serde_json::json;

use super::{Due, Model, away, places};
use crate::exact::{Q, floor_to, int, plain, q, ratio, read};

impl Model {
    /// The price an exit could get now.
    pub(super) fn tested(&self, i: usize) -> Q {
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
    pub(super) fn assume(&mut self, i: usize) {
        let p = &self.positions[i];
        let rest = &p.approved - &p.entered;
        if rest.is_positive() {
            let (price, at) = (p.decision_price.clone(), p.decided_ms);
            self.enter(i, &price, &rest, at);
        }
    }

    pub(super) fn enter(&mut self, i: usize, price: &Q, quantity: &Q, at_ms: i64) {
        let s = self.s;
        let (tick, fee) = (read(self.row(self.positions[i].symbol).tick), self.fee(i, price, quantity));
        let p = &mut self.positions[i];
        p.opened_ms.get_or_insert(at_ms);
        p.entered += quantity;
        p.paid += price * quantity;
        p.costs += &fee;
        *self.cash.as_mut().unwrap() -= price * quantity * &p.sign + fee;
        let average = &p.paid / &p.entered;
        let stop = away(&(&average - &p.sign * &p.atr * q(s.sl_multiplier)), &p.sign, &tick);
        p.r = (&average - &stop).abs();
        if !p.moved || ((&stop - &p.stop) * &p.sign).is_positive() {
            p.stop = stop;
        }
        p.target = away(&(&average + &p.sign * &p.atr * q(s.tp_multiplier)), &p.sign, &tick);
    }

    fn fee(&self, i: usize, price: &Q, quantity: &Q) -> Q {
        price * quantity * read(self.row(self.positions[i].symbol).taker_fee)
    }

    pub(super) fn fill_due(&mut self, given: Option<(&'static str, Q, Q)>) {
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
            ("FLATTEN" | "MANUAL", _) => "CLOSED_MANUAL",
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

    /// The rules of exits at the price that could be had now, in order.
    pub(super) fn exits(&mut self, i: usize) {
        let (price, halted) = (self.tested(i), self.state == TradingState::Halted);
        let (p, seen) = (&mut self.positions[i], &mut self.seen);
        p.tested.push(price.clone());
        if p.closing.is_some() {
            return;
        }
        if seen.at_least("stop_loss", &(&p.stop * &p.sign), &(&price * &p.sign)) {
            seen.binds.insert("stop_loss");
            return self.close(i, "STOP_LOSS", &price);
        }
        // Nothing rests here, so that the stop is the engine's own and holds when halted, too.
        if halted {
            return;
        }
        if seen.at_least("take_profit", &(&price * &p.sign), &(&p.target * &p.sign)) {
            seen.binds.insert("take_profit");
            return self.close(i, "TAKE_PROFIT", &price);
        }
        let r = (&price - &p.paid / &p.entered) * &p.sign / &p.r;
        self.partial(i, &price, &r);
        self.stop_moves(i, &price, &r);
        let (s, p, seen) = (&self.s, &self.positions[i], &mut self.seen);
        let held = int(self.now_ms - p.opened_ms.unwrap());
        let hours = q(s.max_hours_no_progress) * int(3_600_000);
        if s.enable_time_exit
            && seen.above("time_exit", &held, &hours)
            && seen.above("half_an_r", &Q::new(1.into(), 2.into()), &r)
        {
            seen.binds.insert("time_exit");
            self.close(i, "TIME_EXIT", &price);
        }
    }

    fn partial(&mut self, i: usize, price: &Q, r: &Q) {
        let (s, row) = (&self.s, self.row(self.positions[i].symbol).clone());
        let (p, seen) = (&mut self.positions[i], &mut self.seen);
        if !s.enable_partial_tp || p.partial_tried || !seen.at_least("partial", r, &q(s.partial_tp_at_r)) {
            return;
        }
        p.partial_tried = true;
        let part = floor_to(&(&p.entered * q(s.partial_tp_percent)), &read(row.step));
        let rest = &p.entered - &p.exited - &part;
        let enough = |lots: &Q| {
            lots.is_positive() && *lots >= read(row.min_qty) && lots * price >= read(row.min_notional)
        };
        if enough(&part) && enough(&rest) {
            seen.binds.insert("partial");
            self.exit(i, "PARTIAL_TP", &part, price, true);
        } else {
            seen.binds.insert("partial_skipped");
        }
    }

    fn stop_moves(&mut self, i: usize, price: &Q, r: &Q) {
        let (s, row) = (&self.s, self.row(self.positions[i].symbol).clone());
        let (p, seen, tick) = (&mut self.positions[i], &mut self.seen, read(row.tick));
        let (sign, average) = (p.sign.clone(), &p.paid / &p.entered);
        let mut moves = Vec::new();
        if s.enable_breakeven && seen.at_least("breakeven", r, &q(s.breakeven_at_r)) {
            let level = &average * (int(1) + &sign * q(s.breakeven_offset_pct));
            moves.push(("breakeven", "BREAKEVEN", away(&level, &sign, &tick)));
        }
        if s.enable_trailing && seen.at_least("trailing", r, &q(s.trailing_start_r)) {
            let best = p.tested.iter().max_by(|a, b| (*a * &sign).cmp(&(*b * &sign))).unwrap();
            let level = best - &sign * &p.atr * q(s.trailing_distance_atr);
            moves.push(("trailing", "TRAILING", away(&level, &sign, &tick)));
        }
        for (what, kind, level) in moves {
            let (better, inside) = ((&level - &p.stop) * &sign, (price - &level) * &sign);
            if !better.is_positive() {
                continue;
            }
            if !seen.at_least("two_ticks", &inside, &(&tick * int(2))) {
                seen.binds.insert("two_ticks");
                continue;
            }
            seen.binds.insert(what);
            (p.stop, p.moved) = (level, true);
            let stop = plain(&p.stop, 2);
            self.said.push(json!({"type": "stop_moved", "symbol": row.symbol, "kind": kind, "stop": stop}));
        }
    }

    pub(super) fn close(&mut self, i: usize, signal: &'static str, price: &Q) {
        let p = &mut self.positions[i];
        if p.closing.is_some() {
            return;
        }
        p.closing = Some(signal);
        p.approved = p.entered.clone();
        if signal == "FLATTEN" {
            self.seen.binds.insert("flatten");
        }
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
}
