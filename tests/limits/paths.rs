//! A path: what happens next, drawn by the family and steered by what the model knows, so that levels
//! and limits are met exactly, just missed and passed.

use std::collections::VecDeque;

use num_traits::Signed;
use quantum_trader::event::{CommandKind, TradingState};
use quantum_trader::risk::config::Settings;

use crate::desk::{BAR_MS, Step};
use crate::exact::{Q, ceil_to, floor_to, int, plain, q, read};
use crate::families::{Dice, Family, SYMBOLS, rows, settings};
use crate::lines::{Line, What};
use crate::model::beyond::{Beyond, Fault};
use crate::model::{Model, Position};

const DAY_MS: i64 = 86_400_000;
const HOUR_MS: i64 = 3_600_000;

pub struct Path {
    pub family: Family,
    pub settings: Settings,
    pub dice: Dice,
    now_ms: i64,
    planned: VecDeque<Plan>,
    pub steps: u32,
}

/// What is decided already of a step.
enum Plan {
    Beyond(Beyond),
    Line(What),
    /// So many milliseconds pass before what comes next.
    Pass(i64),
    /// By what the model knows then.
    Signal(&'static str),
    /// One like the others, so that sums of them meet a limit.
    Alike(&'static str),
    /// The regime's symbol at or about the rise that matters.
    Regime,
}

#[derive(Clone, Copy)]
enum Action {
    Signal,
    Price,
    Fill,
    Account,
    Bars,
    Frames,
    Money,
    Command,
    Fault,
}

/// Where a price is sent.
#[derive(Clone, Copy)]
enum Aim {
    Walk,
    Gap,
    Stop,
    Target,
    R,
    Drawdown,
}

impl Path {
    pub fn new(family: Family, seed: u64) -> Path {
        let mut dice = Dice::new(seed);
        let settings = settings(family, &mut dice);
        let now_ms = dice.between(2 * 24, 9 * 24) * HOUR_MS;
        let planned = rows().into_iter().map(|row| Plan::Line(What::Instrument(row))).collect();
        let steps = dice.between(30, 90) as u32;
        let mut path = Path { family, settings, dice, now_ms, planned, steps };
        let equity = match family {
            Family::Size => path.dice.pick(&["100", "200", "400", "1000", "10000"]),
            _ => path.dice.pick(&["10000", "10000", "9876.54321"]),
        };
        if path.dice.percent(95) {
            path.planned.push_back(Plan::Line(What::Account(equity.to_string())));
        }
        if family == Family::Crowd && path.dice.percent(60) {
            path.planned.extend(SYMBOLS.map(Plan::Alike));
        }
        path
    }

    pub fn next(&mut self, model: &Model) -> Step {
        let mut plan = self.planned.pop_front();
        while let Some(Plan::Pass(ms)) = plan {
            self.now_ms = self.now_ms.max(model.now_ms) + ms;
            plan = self.planned.pop_front();
        }
        let plan = plan.unwrap_or_else(|| {
            self.pass_time(model);
            self.act(model)
        });
        let what = match plan {
            Plan::Pass(_) => unreachable!("time has passed"),
            Plan::Beyond(what) => return Step::Beyond { time_ms: self.now_ms, what },
            Plan::Line(what) => what,
            Plan::Signal(symbol) => What::Signal(self.signal(model, symbol)),
            Plan::Alike(symbol) => What::Signal(self.alike(symbol)),
            Plan::Regime => What::Signal(self.regime()),
        };
        // Some lines say no time, some an earlier one.
        let time_ms = match self.dice.between(1, 20) {
            1 => None,
            2 => Some(self.now_ms - 10_000),
            _ => Some(self.now_ms.max(model.now_ms)),
        };
        Step::Line(Line { time_ms, what })
    }

    fn pass_time(&mut self, model: &Model) {
        self.now_ms = self.now_ms.max(model.now_ms);
        let paused = model.paused_until_ms.as_ref().filter(|until| **until > int(self.now_ms));
        if let Some(until) = paused
            && self.dice.percent(12)
        {
            self.now_ms = until.to_integer().try_into().unwrap_or(self.now_ms) - self.dice.between(0, 1);
            return;
        }
        let midnight = (self.now_ms.div_euclid(DAY_MS) + 1) * DAY_MS;
        let monday = ((self.now_ms + 3 * DAY_MS).div_euclid(7 * DAY_MS) + 1) * 7 * DAY_MS - 3 * DAY_MS;
        let hours = self.settings.max_hours_no_progress.0 / 10i128.pow(18);
        let hours_ms = hours as i64 * HOUR_MS;
        let (now, dice) = (self.now_ms, &mut self.dice);
        self.now_ms = match dice.between(1, 100) {
            1..=62 => now + dice.between(0, 2_000),
            63..=74 => now + dice.pick(&[5_000, 5_001]),
            75..=88 => now + dice.between(1, 90) * 60_000,
            89..=93 => now + hours_ms + dice.between(0, 1),
            94..=95 => now + dice.between(1, 30) * HOUR_MS,
            96..=98 => midnight - dice.between(0, 1),
            _ => monday - dice.between(0, 1),
        };
    }

    fn act(&mut self, model: &Model) -> Plan {
        let funded = model.equity().is_some();
        if !funded && self.dice.percent(20) {
            return Plan::Line(What::Account("10000".to_string()));
        }
        if model.state != TradingState::Active && self.dice.percent(25) {
            return Plan::Beyond(Beyond::Command(CommandKind::Resume, SYMBOLS[0]));
        }
        let symbol = self.dice.pick(&SYMBOLS);
        match self.dice.weighted(&weights(self.family)) {
            Action::Signal if self.settings.regime_symbol.is_some() && self.dice.percent(15) => {
                self.planned.extend([Plan::Signal(SYMBOLS[1]), Plan::Signal(symbol)]);
                Plan::Regime
            }
            Action::Signal => Plan::Signal(self.free_symbol(model)),
            Action::Fill => Plan::Line(self.fill(model).unwrap_or_else(|| self.price(model))),
            Action::Account if funded => Plan::Line(self.account(model)),
            Action::Bars => {
                self.plan_bars();
                Plan::Beyond(Beyond::Frame { symbol, lag_ms: 0 })
            }
            Action::Frames => {
                let late = self.dice.pick(&[500, 501, 100, 2_000]);
                let late = Beyond::Frame { symbol, lag_ms: 40 + late };
                // Within the window, in the one after it, beyond both.
                let passed = self.dice.pick(&[0, 0, 150_000, 300_000, 600_000]);
                self.planned.extend([Plan::Pass(passed), Plan::Beyond(late), Plan::Signal(symbol)]);
                Plan::Beyond(Beyond::Frame { symbol, lag_ms: 40 })
            }
            Action::Money if funded => {
                let change = self.dice.pick(&["1.5", "-2.25", "30", "-30.00000001", "-100"]).to_string();
                let funding = self.dice.percent(50);
                Plan::Beyond(if funding {
                    Beyond::Funding { symbol, change }
                } else {
                    Beyond::Transfer(change)
                })
            }
            Action::Command => {
                use CommandKind::{Close, Flatten, Halt, Reduce};
                let command = self.dice.pick(&[Halt, Reduce, Flatten, Close, Close]);
                Plan::Beyond(Beyond::Command(command, self.held_symbol(model).unwrap_or(symbol)))
            }
            Action::Fault => Plan::Beyond(Beyond::Fault(self.dice.pick(&Fault::ALL))),
            Action::Price | Action::Account | Action::Money => match self.price(model) {
                What::Price { symbol, price, .. }
                    if model.pending_of(symbol).is_positive() && self.dice.percent(60) =>
                {
                    Plan::Beyond(Beyond::Price { symbol, price })
                }
                price => Plan::Line(price),
            },
        }
    }

    fn free_symbol(&mut self, model: &Model) -> &'static str {
        let free: Vec<_> = SYMBOLS.into_iter().filter(|s| model.position(s).is_none()).collect();
        if free.is_empty() || self.dice.percent(15) {
            self.dice.pick(&SYMBOLS)
        } else {
            self.dice.pick(&free)
        }
    }

    fn held_symbol(&mut self, model: &Model) -> Option<&'static str> {
        let held: Vec<_> = model.positions.iter().map(|p| p.symbol).collect();
        if held.is_empty() { None } else { Some(self.dice.pick(&held)) }
    }

    fn price_of(&self, model: &Model, symbol: &str) -> Q {
        model.market(symbol).price.as_ref().map_or(int(100), |(price, _)| price.clone())
    }

    fn fill(&mut self, model: &Model) -> Option<What> {
        let open = |s: &&str| model.due_of(s).is_positive() || model.pending_of(s).is_positive();
        let symbols: Vec<&'static str> = SYMBOLS.into_iter().filter(open).collect();
        if symbols.is_empty() {
            return None;
        }
        let symbol = self.dice.pick(&symbols);
        let due = model.due_of(symbol);
        let most = if due.is_positive() { due } else { model.pending_of(symbol) };
        let row = &model.market(symbol).row;
        let (tick, step) = (read(row.tick), read(row.step));
        let price = self.price_of(model, symbol) + tick.clone() * int(self.dice.between(-3, 3));
        let part = floor_to(&(most * int(self.dice.between(1, 9)) / int(10)), &step);
        let whole = !part.is_positive() || self.dice.percent(50);
        let quantity = (!whole).then(|| plain(&part, 0));
        Some(What::Fill { symbol, price: plain(&price.max(tick), 0), quantity })
    }

    /// Equity exactly at a limit, a hundred-millionth past it, or anywhere.
    fn account(&mut self, model: &Model) -> What {
        let (s, now) = (&self.settings, model.equity().unwrap());
        let cent = Q::new(1.into(), 100_000_000.into());
        let (peak, limit) = self.dice.pick(&[
            (&model.day_peak, s.max_daily_dd_pct),
            (&model.week_peak, s.max_weekly_dd_pct),
            (&model.day_peak, s.circuit_breaker_loss_pct),
            (&model.day_peak, s.recovery_threshold_pct),
        ]);
        let at_limit = peak * (int(1) - q(limit));
        let equity = match self.dice.between(1, 10) {
            1..=3 => at_limit,
            4..=5 => at_limit - &cent,
            6 => at_limit + &cent,
            7..=8 => model.day_peak.clone() + int(self.dice.between(0, 300)),
            _ => now * int(self.dice.between(980, 1_015)) / int(1_000),
        };
        What::Account(plain(&floor_to(&equity.max(int(50)), &cent), 0))
    }

    fn price(&mut self, model: &Model) -> What {
        let held = if self.dice.percent(85) { self.held_symbol(model) } else { None };
        let symbol = held.unwrap_or_else(|| self.dice.pick(&SYMBOLS));
        let tick = read(model.market(symbol).row.tick);
        let position = model.position(symbol).map(|i| &model.positions[i]);
        let now = self.price_of(model, symbol);
        let aimed = position.and_then(|p| self.aimed(model, p, &now, &tick));
        let walk = |dice: &mut Dice| match dice.between(1, 25) {
            1 => &now * int(dice.between(80, 120)) / int(100),
            _ => &now + &tick * int(dice.between(-4, 4)),
        };
        // Back to where it came from: instruments are worth about 100.
        let far = now < int(40) || now > int(250);
        let price = aimed.unwrap_or_else(|| if far { int(100) } else { walk(&mut self.dice) });
        let price = floor_to(&price, &tick).max(tick.clone());
        let apart = self.dice.percent(25);
        let mut near = |chance| {
            let off = int(self.dice.between(-2, 2));
            (apart && self.dice.percent(chance)).then(|| plain(&(&price + &tick * off).max(tick.clone()), 0))
        };
        let (bid, ask, mark) = (near(60), near(60), near(60));
        What::Price { symbol, price: plain(&price, 0), bid, ask, mark }
    }

    /// At a level of a position, or a tick to either side of it.
    fn aimed(&mut self, model: &Model, p: &Position, now: &Q, tick: &Q) -> Option<Q> {
        let s = &self.settings;
        let open = &p.entered - &p.exited;
        let entry = if p.entered.is_positive() { &p.paid / &p.entered } else { now.clone() };
        let r = if p.r.is_positive() { p.r.clone() } else { (&entry - &p.stop).abs() };
        let level = match self.dice.weighted(&aims(self.family)) {
            Aim::Walk => return None,
            Aim::Gap => now - &p.sign * &r * int(self.dice.between(1, 4)),
            Aim::Stop => p.stop.clone(),
            Aim::Target => p.target.clone(),
            Aim::R => {
                let half = quantum_trader::num::Dec::new(5, 1);
                let at = [s.breakeven_at_r, s.partial_tp_at_r, s.trailing_start_r, half];
                &entry + &p.sign * &r * q(self.dice.pick(&at))
            }
            Aim::Drawdown if !open.is_positive() => return None,
            Aim::Drawdown => {
                let limits = [
                    (&model.day_peak, s.max_daily_dd_pct),
                    (&model.week_peak, s.max_weekly_dd_pct),
                    (&model.day_peak, s.circuit_breaker_loss_pct),
                    (&model.day_peak, s.recovery_threshold_pct),
                ];
                let (peak, limit) = self.dice.pick(&limits);
                let loss = model.equity()? - peak * (int(1) - q(limit));
                now - loss / (open * &p.sign)
            }
        };
        let off = self.dice.pick(&[0, 0, 0, -1, 1]);
        let on_grid = if self.dice.percent(50) { ceil_to(&level, tick) } else { floor_to(&level, tick) };
        let level = on_grid + tick * int(off);
        (level.is_positive() && level < int(1_000)).then_some(level)
    }

    /// Bars of some instruments, whose returns are alike, opposite, half alike, flat, random, too few
    /// or not aligned.
    fn plan_bars(&mut self) {
        let shapes: [[i64; 9]; 5] = [
            [1, 1, 1, 1, -1, -1, -1, -1, 1],
            [1, 1, 1, -1, 1, -1, -1, -1, 1],
            [1, 1, -1, -1, 1, 1, -1, -1, 1],
            [1, -1, 1, -1, 1, -1, 1, -1, 1],
            [0; 9],
        ];
        let newest = self.now_ms.div_euclid(BAR_MS) + self.dice.between(-5, 40);
        for symbol in SYMBOLS {
            let planned = self.planned.len();
            if self.dice.percent(20) {
                continue;
            }
            let shape = self.dice.weighted(&[(4, 0), (4, 1), (2, 2), (2, 3), (1, 4)]);
            let (mirrored, noisy, short) =
                (self.dice.percent(25), self.dice.percent(15), self.dice.percent(8));
            let mut close = 10_000_000_000i64;
            let mut closes = vec![close];
            for step in shapes[shape] {
                let step = if mirrored { -step } else { step };
                let tenth = close / 10;
                close += if noisy { self.dice.between(-tenth, tenth) } else { step * tenth };
                closes.push(close);
            }
            let skip = if short { self.dice.between(1, 9) as usize } else { 0 };
            let shift = self.dice.weighted(&[(12, 0), (2, 1), (1, 2), (1, -1)]);
            let first = newest - 9 + skip as i64 + shift;
            let mut closes = closes.split_off(skip);
            if closes.len() > 6 && self.dice.percent(15) {
                // A hole, behind what may have ended an outage.
                let hole = self.dice.between(1, 5);
                let rest = closes.split_off(1 + hole as usize);
                closes.truncate(1);
                let (first, closes) = (first + 1 + hole, rest);
                self.planned.push_back(Plan::Beyond(Beyond::Bars { symbol, first, closes }));
            }
            let bars = Plan::Beyond(Beyond::Bars { symbol, first, closes });
            self.planned.insert(planned, bars);
        }
        for _ in 0..self.dice.between(2, 4) {
            let symbol = self.dice.pick(&SYMBOLS);
            self.planned.push_back(Plan::Signal(symbol));
        }
    }
}

fn weights(family: Family) -> [(i64, Action); 9] {
    use Action::{Account, Bars, Command, Fault, Fill, Frames, Money, Price, Signal};
    let [signal, price, fill, account, bars, frames, money, command, fault] = match family {
        Family::Filter => [60, 25, 5, 0, 0, 8, 1, 1, 0],
        Family::Size => [60, 25, 5, 6, 0, 0, 2, 1, 0],
        Family::Losses => [40, 45, 6, 6, 0, 0, 2, 1, 0],
        Family::Weeks => [35, 35, 6, 20, 0, 0, 3, 1, 0],
        Family::Breaker => [40, 40, 6, 10, 0, 0, 3, 1, 0],
        Family::Crowd => [60, 25, 8, 3, 0, 0, 3, 1, 0],
        Family::Correlated => [40, 25, 4, 2, 14, 0, 1, 2, 0],
        Family::States => [45, 30, 8, 2, 0, 2, 2, 8, 6],
        Family::Exits => [25, 65, 6, 1, 0, 0, 3, 1, 0],
    };
    [
        (signal, Signal),
        (price, Price),
        (fill, Fill),
        (account, Account),
        (bars, Bars),
        (frames, Frames),
        (money, Money),
        (command, Command),
        (fault, Fault),
    ]
}

fn aims(family: Family) -> [(i64, Aim); 6] {
    use Aim::{Drawdown, Gap, R, Stop, Target, Walk};
    let [walk, gap, stop, target, r, drawdown] = match family {
        Family::Losses | Family::Weeks => [20, 10, 40, 3, 7, 20],
        Family::Breaker => [30, 5, 20, 5, 10, 30],
        Family::Exits => [30, 2, 10, 8, 50, 0],
        _ => [40, 3, 20, 7, 20, 10],
    };
    [(walk, Walk), (gap, Gap), (stop, Stop), (target, Target), (r, R), (drawdown, Drawdown)]
}
