//! What a backtest is judged by, from its journal's entries: trades, time, money, drawdown, returns.
//! Memory does not grow with the number of entries. Sums are exact; floats are made when they are
//! printed.

mod account;
mod days;
mod figures;
mod ledger;
mod parts;
mod spread;
mod table;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use days::{DayBeyond, Shares};
pub use figures::{AccountFigures, Bin, Figures, Measured, Quantiles};
pub use parts::FallFigures;
pub use table::side_by_side;

use self::account::Account;
use self::days::Days;
use self::spread::Spread;
use crate::event::record::Entry;
use crate::event::{
    Decision, EventBody, InstrumentTable, Limit, LimitChanged, Output, OutputBody, TradeClosed,
};
use crate::num::{Dec, InstrumentId, TimeNs};
use crate::risk::config::Settings;
use crate::trade::Book;

/// Everything measured of a run so far.
#[derive(Debug)]
pub struct Measures {
    instruments: InstrumentTable,
    total: Tally,
    by_instrument: BTreeMap<InstrumentId, Tally>,
    account: Account,
    days: Days,
    reduced: Reduced,
    start: Option<TimeNs>,
    now: TimeNs,
}

/// Which of the limits that reduce sizes hold now, and whether they are set to.
#[derive(Clone, Copy, Debug)]
struct Reduced {
    recovery: bool,
    streak: bool,
    recovery_reduces: bool,
    streak_reduces: bool,
}

/// Of one instrument, or of all.
#[derive(Clone, Debug, Default)]
struct Tally {
    approved: u64,
    approved_in_recovery: u64,
    approved_in_streak: u64,
    rejected: BTreeMap<&'static str, u64>,
    wins: u64,
    losses: u64,
    trades: u64,
    r_sum: Dec,
    r_wins: Dec,
    r_losses: Dec,
    gains: Dec,
    lost: Dec,
    fees: Dec,
    funding: Dec,
    slippage: Dec,
    r: Spread,
    mfe: Spread,
    mae: Spread,
    held: Held,
}

/// What is open, at its entry price, over time.
#[derive(Clone, Copy, Debug, Default)]
struct Held {
    notional: Dec,
    since: TimeNs,
    held_ns: i64,
    /// Quote currency × nanoseconds: a report's figure, so a float will do.
    area: f64,
}

impl Held {
    fn advance(&mut self, now: TimeNs) {
        if self.notional.0 > 0 {
            let passed = now.since(self.since);
            self.held_ns += passed;
            self.area += self.notional.to_f64_lossy() * passed as f64;
        }
        self.since = now;
    }

    fn set(&mut self, notional: Dec, now: TimeNs) {
        self.advance(now);
        self.notional = notional;
    }
}

impl Tally {
    fn decision(&mut self, decision: &Decision, reduced: Reduced) {
        if decision.approved {
            self.approved += 1;
            self.approved_in_recovery += u64::from(reduced.recovery && reduced.recovery_reduces);
            self.approved_in_streak += u64::from(reduced.streak && reduced.streak_reduces);
        } else {
            *self.rejected.entry(decision.rule.as_str()).or_default() += 1;
        }
    }

    fn trade(&mut self, closed: &TradeClosed) {
        self.trades += 1;
        self.r_sum += closed.r_multiple;
        // A result of nothing is no win, as in the summary.
        if closed.pnl.0 > 0 {
            self.wins += 1;
            self.gains += closed.pnl;
            self.r_wins += closed.r_multiple;
        } else {
            self.losses += 1;
            self.lost += closed.pnl;
            self.r_losses += closed.r_multiple;
        }
        self.fees += closed.fees;
        self.funding += closed.funding;
        self.slippage += closed.slippage;
        self.r.note(closed.r_multiple);
        self.mfe.note(closed.mfe);
        self.mae.note(closed.mae);
    }
}

impl Measures {
    /// `settings`: those of the run.
    pub fn new(instruments: InstrumentTable, settings: &Settings) -> Measures {
        Measures {
            days: Days::new(instruments.clone(), settings.max_daily_dd_pct),
            reduced: Reduced {
                recovery: false,
                streak: false,
                recovery_reduces: settings.recovery_risk_mult < Dec::ONE,
                streak_reduces: settings.streak_risk_reduction < Dec::ONE,
            },
            instruments,
            total: Tally::default(),
            by_instrument: BTreeMap::new(),
            account: Account::default(),
            start: None,
            now: TimeNs(0),
        }
    }

    /// Takes the next entry of the journal; `book` has taken it already.
    pub fn take(&mut self, entry: &Entry, book: &Book) {
        match entry {
            Entry::Event(event) => {
                self.now = self.now.max(event.recv_ns);
                self.account.pass(self.now);
                self.days.event(self.now, event, book);
                match &event.body {
                    EventBody::RunStart(_) => self.start = self.start.or(Some(event.recv_ns)),
                    EventBody::AccountUpdate(update) => self.account.begin(update.wallet, self.now),
                    EventBody::Fill(_) => self.hold(event.instrument, book),
                    _ => {}
                }
            }
            Entry::Output { output, .. } => self.output(output, book),
        }
    }

    fn output(&mut self, output: &Output, book: &Book) {
        let id = output.instrument;
        self.days.output(self.now, output, book);
        match &output.body {
            OutputBody::Decision(decision) => {
                let reduced = self.reduced;
                self.total.decision(decision, reduced);
                self.of(id).decision(decision, reduced);
            }
            OutputBody::LimitChanged(LimitChanged { limit: Limit::Recovery, active, .. }) => {
                self.reduced.recovery = *active;
            }
            OutputBody::LimitChanged(LimitChanged { limit: Limit::Streak, active, .. }) => {
                self.reduced.streak = *active;
            }
            OutputBody::EntryFilled(_) => self.hold(id, book),
            OutputBody::Alarm(_) if !book.booked().is_empty() => self.hold(id, book),
            OutputBody::TradeClosed(closed) => {
                self.total.trade(closed);
                self.of(id).trade(closed);
                self.hold(id, book);
            }
            OutputBody::Equity(equity) => self.account.equity(equity),
            _ => {}
        }
    }

    fn of(&mut self, id: InstrumentId) -> &mut Tally {
        self.by_instrument.entry(id).or_default()
    }

    /// What is held of an instrument, now.
    fn hold(&mut self, id: InstrumentId, book: &Book) {
        let Some(row) = self.instruments.get(id) else { return };
        let positions = book.positions().filter(|trade| trade.instrument == id);
        let notional = positions.fold(Dec::ZERO, |sum, trade| {
            let held = row.quantity(trade.open()).mul(trade.entry, crate::num::Rounding::HalfEven);
            sum + held.unwrap_or(Dec::ZERO)
        });
        let now = self.now;
        self.of(id).held.set(notional, now);
        let all = self.by_instrument.values().fold(Dec::ZERO, |sum, tally| sum + tally.held.notional);
        self.total.held.set(all, now);
    }

    /// The figures at the end. `equity` and `worst_daily` are the engine's own at its end, and are compared
    /// with those computed here; without them the journal's last equity stands.
    pub fn finish(&mut self, equity: Option<Dec>, worst_daily: Option<Dec>) -> Measured {
        self.days.end(equity, worst_daily);
        let (now, start) = (self.now, self.start.unwrap_or(self.now));
        let span_ns = now.since(start).max(0);
        self.total.held.advance(now);
        self.by_instrument.values_mut().for_each(|tally| tally.held.advance(now));
        let rows = self.by_instrument.iter();
        let instruments = rows.filter_map(|(id, tally)| {
            Some((self.instruments.get(*id)?.symbol.to_string(), Figures::of(tally, span_ns)))
        });
        let instruments = instruments.collect();
        Measured {
            from: start.to_string(),
            to: now.to_string(),
            days: span_ns as f64 / crate::num::NS_PER_DAY as f64,
            total: Figures::of(&self.total, span_ns),
            account: self.account.figures(equity, &self.days),
            days_beyond_limit: self.days.figures(&self.instruments),
            instruments,
        }
    }
}
