//! What a fall of the account is made of: `docs/RULES.md` §11, explained days.

use std::ops::AddAssign;

use serde::Serialize;

use crate::event::Instrument;
use crate::num::{Dec, Side, Ticks};
use crate::observe::Exact;
use crate::risk::money;

/// Lots of one entry fill, and the price from which their loss is counted: that of the day's peak, or of
/// their entry if that came later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Batch {
    pub lots: i64,
    pub entry: Ticks,
    pub from: Ticks,
}

/// How the way of some lots from `from` to where they are, or left, divides; in tick-lots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Fall {
    /// Above the entry.
    pub given_back: i128,
    /// Below entry and `from`, above the stop.
    pub within_stops: i128,
    /// Past the stop.
    pub beyond_stops: i128,
    /// It was no fall.
    pub gains: i128,
}

impl Fall {
    /// Of lots of a position of `side` that are now worth `to` each; `stop` is the level in force.
    pub fn of(side: Side, batch: &Batch, to: Ticks, stop: Ticks) -> Fall {
        let Batch { lots, entry, from } = *batch;
        // A short's way mirrored: up is good for both.
        let [from, entry, to, stop] =
            [from, entry, to, stop].map(|price| price.wide() * i128::from(side.sign()));
        if to >= from {
            return Fall { gains: (to - from) * i128::from(lots), ..Fall::default() };
        }
        // What happened below the stop comes first, then what lies above the entry; the rest is between.
        let floor = from.min(stop);
        let left = to.max(floor);
        let times = |ticks: i128| ticks.max(0) * i128::from(lots);
        Fall {
            beyond_stops: times(floor - to),
            given_back: times(from - entry.max(left)),
            within_stops: times(from.min(entry) - left),
            gains: 0,
        }
    }
}

impl AddAssign for Fall {
    fn add_assign(&mut self, other: Fall) {
        self.given_back += other.given_back;
        self.within_stops += other.within_stops;
        self.beyond_stops += other.beyond_stops;
        self.gains += other.gains;
    }
}

/// A fall in money with what it cost: given back + within stops + beyond stops + fees + funding paid −
/// gains is all of it, to the last place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Parts {
    pub given_back: Dec,
    pub within_stops: Dec,
    pub beyond_stops: Dec,
    pub gains: Dec,
    pub fees: Dec,
    /// Less what was received.
    pub funding_paid: Dec,
}

impl Parts {
    pub fn fell(&mut self, instrument: &Instrument, fall: Fall) {
        let add = |sum: &mut Dec, tick_lots: i128| *sum = money::add(*sum, money::of(instrument, tick_lots));
        add(&mut self.given_back, fall.given_back);
        add(&mut self.within_stops, fall.within_stops);
        add(&mut self.beyond_stops, fall.beyond_stops);
        add(&mut self.gains, fall.gains);
    }

    pub fn costs(&self) -> Dec {
        money::add(self.fees, self.funding_paid)
    }

    /// All of it.
    pub fn total(&self) -> Dec {
        let lost = [self.given_back, self.within_stops, self.beyond_stops, self.costs()];
        money::add(money::sum(lost.into_iter()), -self.gains)
    }
}

impl AddAssign for Parts {
    fn add_assign(&mut self, other: Parts) {
        self.given_back = money::add(self.given_back, other.given_back);
        self.within_stops = money::add(self.within_stops, other.within_stops);
        self.beyond_stops = money::add(self.beyond_stops, other.beyond_stops);
        self.gains = money::add(self.gains, other.gains);
        self.fees = money::add(self.fees, other.fees);
        self.funding_paid = money::add(self.funding_paid, other.funding_paid);
    }
}

/// [`Parts`] as they are printed; exact.
#[derive(Clone, Debug, Serialize)]
pub struct FallFigures {
    pub open_profit_given_back: Exact,
    pub losses_within_stops: Exact,
    pub losses_beyond_stops: Exact,
    /// Fees and funding.
    pub costs: Exact,
    pub fees: Exact,
    /// Less what was received.
    pub funding_paid: Exact,
    pub gains: Exact,
}

impl From<Parts> for FallFigures {
    fn from(parts: Parts) -> FallFigures {
        FallFigures {
            open_profit_given_back: parts.given_back.into(),
            losses_within_stops: parts.within_stops.into(),
            losses_beyond_stops: parts.beyond_stops.into(),
            costs: parts.costs().into(),
            fees: parts.fees.into(),
            funding_paid: parts.funding_paid.into(),
            gains: parts.gains.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Given back, within, beyond, gains.
    fn fall(side: Side, from: i64, entry: i64, to: i64, stop: i64) -> [i128; 4] {
        let batch = Batch { lots: 1, entry: Ticks(entry), from: Ticks(from) };
        let fall = Fall::of(side, &batch, Ticks(to), Ticks(stop));
        [fall.given_back, fall.within_stops, fall.beyond_stops, fall.gains]
    }

    #[test]
    fn a_fall_divides_at_entry_and_stop() {
        // Entered at 100 with a stop at 90; the day's peak found it at 115.
        assert_eq!(fall(Side::Buy, 115, 100, 105, 90), [10, 0, 0, 0]);
        assert_eq!(fall(Side::Buy, 115, 100, 95, 90), [15, 5, 0, 0]);
        assert_eq!(fall(Side::Buy, 115, 100, 84, 90), [15, 10, 6, 0]);
        assert_eq!(fall(Side::Buy, 115, 100, 120, 90), [0, 0, 0, 5]);
        // The peak found it at a loss: that loss is not of this fall.
        assert_eq!(fall(Side::Buy, 97, 100, 84, 90), [0, 7, 6, 0]);
        // The stop stands in profit: what is lost below it is beyond the stop, above or below the entry.
        assert_eq!(fall(Side::Buy, 115, 100, 107, 105), [8, 0, 0, 0]);
        assert_eq!(fall(Side::Buy, 115, 100, 102, 105), [10, 0, 3, 0]);
        assert_eq!(fall(Side::Buy, 115, 100, 95, 105), [10, 0, 10, 0]);
        // The price at the peak was beyond the stop already.
        assert_eq!(fall(Side::Buy, 88, 100, 80, 90), [0, 0, 8, 0]);
        // A short is the mirror.
        assert_eq!(fall(Side::Sell, 85, 100, 116, 110), [15, 10, 6, 0]);
        assert_eq!(fall(Side::Sell, 85, 100, 80, 110), [0, 0, 0, 5]);
    }

    proptest! {
        #[test]
        fn the_parts_are_the_whole(
            from in 1i64..1_000, entry in 1i64..1_000, to in 1i64..1_000, stop in 1i64..1_000, long: bool,
        ) {
            let side = if long { Side::Buy } else { Side::Sell };
            let parts = fall(side, from, entry, to, stop);
            prop_assert!(parts.iter().all(|part| *part >= 0), "{parts:?}");
            let [given, within, beyond, gains] = parts;
            prop_assert_eq!(given + within + beyond - gains, i128::from((from - to) * side.sign()));
            prop_assert!(gains == 0 || given + within + beyond == 0, "one way or the other");
        }
    }
}
