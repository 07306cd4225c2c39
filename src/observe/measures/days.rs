//! The drawdown of each day at every price, and what it is made of where it went beyond the daily limit:
//! `docs/RULES.md` §11.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde::Serialize;

use super::ledger::Ledger;
use super::parts::{FallFigures, Parts};
use crate::event::{Event, InstrumentTable, Limit, Output, OutputBody};
use crate::num::{Dec, InstrumentId, NS_PER_DAY, Rounding, TimeNs, cmp_products};
use crate::observe::Exact;
use crate::risk::money;
use crate::trade::Book;

/// Days of a run, with the account at every event of it.
#[derive(Debug)]
pub(super) struct Days {
    ledger: Ledger,
    /// RM_MAX_DAILY_DD_PCT.
    limit: Dec,
    day: i64,
    peak: (Dec, TimeNs),
    /// Lowest equity since the peak.
    trough: Dec,
    /// The largest drawdown of the peaks before this one.
    worst: Dec,
    /// The worst of this day, where it is beyond the limit.
    found: Option<Found>,
    beyond: Vec<Found>,
    checked: u64,
    differing: u64,
}

/// A day's worst drawdown.
#[derive(Clone, Debug)]
struct Found {
    peak: (Dec, TimeNs),
    trough: (Dec, TimeNs),
    parts: BTreeMap<InstrumentId, Parts>,
}

/// A UTC day whose worst drawdown went beyond the daily limit. Given back + within stops + beyond stops +
/// costs − gains is the drawdown, to the last place, as it is for each instrument.
#[derive(Clone, Debug, Serialize)]
pub struct DayBeyond {
    pub date: String,
    pub peak: Exact,
    /// UTC; midnight where the peak is the equity carried into the day.
    pub peak_at: String,
    pub trough: Exact,
    pub trough_at: String,
    pub drawdown: Exact,
    /// Of the peak.
    pub drawdown_pct: f64,
    /// RM_MAX_DAILY_DD_PCT of the peak.
    pub limit: Exact,
    pub excess: Exact,
    #[serde(flatten)]
    pub parts: FallFigures,
    pub excess_explained: Shares,
    pub instruments: BTreeMap<String, FallFigures>,
}

/// Who answers for the excess, in percent of it: each part that rule 9 makes no promise of, in proportion
/// to its size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Shares {
    pub open_profit_given_back_pct: f64,
    pub losses_beyond_stops_pct: f64,
    pub costs_pct: f64,
    /// Losses within the stops as far as they exceed the limit by themselves: with open risk limited by
    /// rule 9 there are none.
    pub losses_within_stops_pct: f64,
}

impl Days {
    pub fn new(table: InstrumentTable, limit: Dec) -> Days {
        Days {
            ledger: Ledger::new(table),
            limit,
            day: i64::MIN,
            peak: (Dec::ZERO, TimeNs(0)),
            trough: Dec::ZERO,
            worst: Dec::ZERO,
            found: None,
            beyond: Vec::new(),
            checked: 0,
            differing: 0,
        }
    }

    /// Takes an event; `book` has taken it already.
    pub fn event(&mut self, now: TimeNs, event: &Event, book: &Book) {
        self.roll(now);
        let begun = self.ledger.equity().is_some();
        let moved = self.ledger.event(now, event, book);
        if moved != Dec::ZERO {
            self.shift(moved);
        }
        let Some(equity) = self.ledger.equity() else { return };
        if begun {
            self.see(now, equity, book);
        } else {
            (self.peak, self.trough) = ((equity, now), equity);
        }
    }

    /// Takes an output, which `book` has taken already; what it says of the account is compared with ours.
    pub fn output(&mut self, now: TimeNs, output: &Output, book: &Book) {
        let moved = self.ledger.output(output, book);
        if moved != Dec::ZERO {
            self.shift(moved);
        }
        // What the engine says to have booked is a fill, as at its event.
        if let Some(equity) = self.ledger.equity().filter(|_| !book.booked().is_empty()) {
            self.see(now, equity, book);
        }
        match &output.body {
            OutputBody::Equity(said) => {
                let ours = self.ledger.equity().unwrap_or(Dec::ZERO);
                self.compare(ours, said.equity);
                // A correction of the wallet by the venue's word shifts the peaks with it.
                let difference = money::add(said.equity, -ours);
                if difference != Dec::ZERO {
                    self.ledger.correct(difference);
                    self.shift(difference);
                }
            }
            OutputBody::LimitChanged(said) if said.active => {
                if matches!(said.limit, Limit::Daily | Limit::Recovery | Limit::CircuitBreaker) {
                    let equity = self.ledger.equity().unwrap_or(Dec::ZERO);
                    self.compare(drawdown(self.peak.0, equity), said.observed);
                }
            }
            _ => {}
        }
    }

    /// Compares with what the engine has at the end.
    pub fn end(&mut self, equity: Option<Dec>, worst: Option<Dec>) {
        let ours = self.ledger.equity().unwrap_or(Dec::ZERO);
        equity.into_iter().for_each(|theirs| self.compare(ours, theirs));
        let ours = self.worst();
        worst.into_iter().for_each(|theirs| self.compare(ours, theirs));
    }

    /// Largest drawdown from a day's peak, half to even at 18 places.
    pub fn worst(&self) -> Dec {
        self.worst.max(drawdown(self.peak.0, self.trough))
    }

    /// What the engine says and what a fall is made of, as often as it was compared with the account here,
    /// and how often it differed.
    pub fn compared(&self) -> (u64, u64) {
        (self.checked, self.differing)
    }

    /// The days beyond the limit so far, the one under way included.
    pub fn figures(&self, table: &InstrumentTable) -> Vec<DayBeyond> {
        self.beyond.iter().chain(&self.found).map(|found| found.figures(self.limit, table)).collect()
    }

    fn compare(&mut self, ours: Dec, theirs: Dec) {
        self.checked += 1;
        self.differing += u64::from(ours != theirs);
    }

    /// Money that is no result moves the peak along.
    fn shift(&mut self, moved: Dec) {
        self.peak.0 = money::add(self.peak.0, moved);
        self.trough = money::add(self.trough, moved);
    }

    /// A day begins with the equity carried into it.
    fn roll(&mut self, now: TimeNs) {
        if now.day() <= self.day {
            return;
        }
        self.day = now.day();
        self.beyond.extend(self.found.take());
        if let Some(equity) = self.ledger.equity() {
            self.set_peak((equity, TimeNs(self.day.saturating_mul(NS_PER_DAY))));
        }
    }

    fn set_peak(&mut self, peak: (Dec, TimeNs)) {
        self.worst = self.worst();
        (self.peak, self.trough) = (peak, peak.0);
        self.ledger.rebase();
    }

    fn see(&mut self, now: TimeNs, equity: Dec, book: &Book) {
        if equity > self.peak.0 {
            return self.set_peak((equity, now));
        }
        if equity >= self.trough {
            return;
        }
        self.trough = equity;
        let found = self.found.as_ref();
        if exceeds(self.peak.0, equity, self.limit) && found.is_none_or(|f| f.is_less(self.peak.0, equity)) {
            let parts = self.ledger.explain(book);
            let fell = money::sum(parts.values().map(Parts::total));
            self.compare(fell, money::add(self.peak.0, -equity));
            self.found = Some(Found { peak: self.peak, trough: (equity, now), parts });
        }
    }
}

impl Found {
    /// Whether a fall from `peak` to `trough` is a larger share of its peak.
    fn is_less(&self, peak: Dec, trough: Dec) -> bool {
        let (ours, theirs) = ((self.peak.0 - self.trough.0).0, (peak - trough).0);
        cmp_products(&[ours, peak.0], &[theirs, self.peak.0.0]) == Some(Ordering::Less)
    }

    fn figures(&self, limit: Dec, table: &InstrumentTable) -> DayBeyond {
        let mut all = Parts::default();
        self.parts.values().for_each(|parts| all += *parts);
        let drawdown_money = self.peak.0 - self.trough.0;
        let share = drawdown(self.peak.0, self.trough.0);
        let limit = self.peak.0.mul(limit, Rounding::Floor).unwrap_or(Dec::ZERO);
        let named = self.parts.iter().filter(|(_, parts)| **parts != Parts::default());
        let named =
            named.filter_map(|(id, parts)| Some((table.get(*id)?.symbol.to_string(), (*parts).into())));
        DayBeyond {
            date: self.trough.1.to_string().chars().take(10).collect(),
            peak: self.peak.0.into(),
            peak_at: self.peak.1.to_string(),
            trough: self.trough.0.into(),
            trough_at: self.trough.1.to_string(),
            drawdown: drawdown_money.into(),
            drawdown_pct: share.round(8, Rounding::HalfEven).to_f64_lossy() * 100.0,
            limit: limit.into(),
            excess: (drawdown_money - limit).into(),
            parts: all.into(),
            excess_explained: Shares::of(&all, limit),
            instruments: named.collect(),
        }
    }
}

impl Shares {
    fn of(parts: &Parts, limit: Dec) -> Shares {
        // Received funding above the fees explains no loss.
        let [given, beyond, costs, within] =
            [parts.given_back, parts.beyond_stops, parts.costs(), money::add(parts.within_stops, -limit)]
                .map(|part| part.max(Dec::ZERO).to_f64_lossy());
        let all = given + beyond + costs + within;
        if all <= 0.0 {
            return Shares::default();
        }
        Shares {
            open_profit_given_back_pct: given / all * 100.0,
            losses_beyond_stops_pct: beyond / all * 100.0,
            costs_pct: costs / all * 100.0,
            losses_within_stops_pct: within / all * 100.0,
        }
    }
}

/// (peak − equity) / peak > limit, multiplied out.
fn exceeds(peak: Dec, equity: Dec, limit: Dec) -> bool {
    let order = cmp_products(&[(peak - equity).0, Dec::ONE.0], &[limit.0, peak.0.max(0)]);
    order.is_none_or(|order| order == Ordering::Greater)
}

fn drawdown(peak: Dec, equity: Dec) -> Dec {
    let share = (peak - equity).div(peak, Rounding::HalfEven).filter(|_| peak.0 > 0);
    share.unwrap_or(Dec::ZERO).max(Dec::ZERO)
}
