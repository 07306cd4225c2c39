//! What a backtest is judged by, from its journal's entries: trades, time, money, drawdown, returns.
//! Memory does not grow with the number of entries. Sums are exact; floats are made when they are
//! printed.

mod account;
mod figures;
mod spread;
mod table;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use figures::{AccountFigures, Bin, Figures, Measured, Quantiles};
pub use table::side_by_side;

use self::account::Account;
use self::spread::Spread;
use super::Book;
use crate::event::record::Entry;
use crate::event::{EventBody, InstrumentTable, Output, OutputBody, TradeClosed};
use crate::num::{Dec, InstrumentId, TimeNs};

/// Everything measured of a run so far.
#[derive(Debug)]
pub struct Measures {
    instruments: InstrumentTable,
    total: Tally,
    by_instrument: BTreeMap<InstrumentId, Tally>,
    account: Account,
    start: Option<TimeNs>,
    now: TimeNs,
}

/// Of one instrument, or of all.
#[derive(Clone, Debug, Default)]
struct Tally {
    approved: u64,
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
    fn decision(&mut self, approved: bool, rule: &'static str) {
        if approved {
            self.approved += 1;
        } else {
            *self.rejected.entry(rule).or_default() += 1;
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
    pub fn new(instruments: InstrumentTable) -> Measures {
        Measures {
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
        match &output.body {
            OutputBody::Decision(decision) => {
                let rule = decision.rule.as_str();
                self.total.decision(decision.approved, rule);
                self.of(id).decision(decision.approved, rule);
            }
            OutputBody::EntryFilled(_) => self.hold(id, book),
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

    /// The figures at the end. `equity` marks what is open to the last price, `worst_daily` is the
    /// engine's own figure of every price; without them those of the journal stand, which has one a
    /// second.
    pub fn finish(&mut self, equity: Option<Dec>, worst_daily: Option<Dec>) -> Measured {
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
            account: self.account.figures(equity, worst_daily),
            instruments,
        }
    }
}
