//! The path of a candle, which does not tell in which order its extremes came.
//!
//! Without a position there are four trades: open, one extreme, the other, close; the extreme against
//! the candle's direction first. With one, the extreme that is bad for it comes first, the low for a
//! long and the high for a short, so that where a bar holds both a stop and a target, the stop is
//! reached first. The price then moves in steps of at most a hundredth of a percent, so that a stop
//! or a target inside the bar fills where it lies and not at the bar's extreme. Between the last
//! close and the open nothing trades: a stop that lies in that gap fills at the open.

use arrayvec::ArrayVec;

use crate::num::{Millis, Side, Size, Ticks};

/// Largest step beside a position, as a divisor of the price: one basis point.
const STEP_DIVISOR: i64 = 10_000;
/// Most steps between two corners: a daily bar with a leg of 20% takes steps of 4 basis points.
const STEPS_MAX: i64 = 512;
/// When open, the extremes and close are due: 0, 1/3, 2/3 and 59/60 of the interval, inside the bar.
const SIXTIETHS: [Millis; 4] = [0, 20, 40, 59];

/// Prices of a candle: the open first, the extremes in any order, the close last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ohlc {
    pub open: Ticks,
    pub high: Ticks,
    pub low: Ticks,
    pub close: Ticks,
}

/// A trade of the walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Point {
    pub price: Ticks,
    pub size: Size,
    /// After the open of the bar.
    pub offset_ms: Millis,
    pub buyer_maker: bool,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Open or close.
    End,
    Extreme,
    /// On the way from one of them to the next.
    Step,
}

/// The walk through one candle.
#[derive(Debug, Default)]
pub(super) struct Walk {
    points: Vec<Point>,
    done: usize,
    /// The candle's, all of it.
    volume: Size,
    before: Ticks,
}

impl Walk {
    /// A candle begins; `last_close` says which side its first trade took.
    pub fn begin(&mut self, prices: &Ohlc, volume: Size, interval_ms: Millis, last_close: Option<Ticks>) {
        let Ohlc { open, high, low, close } = *prices;
        let (first, second) = if close >= open { (low, high) } else { (high, low) };
        self.points.clear();
        (self.done, self.volume, self.before) = (0, volume, last_close.unwrap_or(open));
        let kinds = [Kind::End, Kind::Extreme, Kind::Extreme, Kind::End];
        let corners = [open, first, second, close].into_iter().zip(SIXTIETHS).zip(kinds);
        self.points.extend(corners.map(|((price, sixtieths), kind)| Point {
            price,
            size: Size::ZERO,
            offset_ms: interval_ms * sixtieths / 60,
            buyer_maker: false,
            kind,
        }));
        // Fewer units than corners: drop repeated prices, then inner ones, the close last.
        while (self.points.len() as i64) > volume.0 {
            let repeated =
                self.points.windows(2).position(|pair| matches!(pair, [a, b] if a.price == b.price));
            self.points.remove(repeated.unwrap_or(usize::from(self.points.len() > 2)));
        }
        self.share();
    }

    /// The next trade.
    pub fn next(&self) -> Option<Point> {
        self.points.get(self.done).copied()
    }

    pub fn advance(&mut self) {
        self.done = (self.done + 1).min(self.points.len());
    }

    /// Trades of the walk.
    pub fn count(&self) -> i64 {
        self.points.len() as i64
    }

    /// Volume that buyers took.
    pub fn bought(&self) -> Size {
        Size(self.points.iter().filter(|point| !point.buyer_maker).map(|point| point.size.0).sum())
    }

    /// What is left of the walk goes against a position of `side`, in small steps; `elapsed_ms` of the
    /// bar are over.
    pub fn turn_against(&mut self, side: Side, elapsed_ms: Millis) {
        let rest = self.points.iter().skip(self.done);
        let mut corners: ArrayVec<Point, 4> = rest.filter(|p| p.kind != Kind::Step).copied().collect();
        let mut extremes = corners.iter_mut().filter(|point| point.kind == Kind::Extreme);
        // Both are still to come: the bad one takes the earlier place.
        if let (Some(first), Some(second)) = (extremes.next(), extremes.next())
            && (first.price.0 - second.price.0) * side.sign() > 0
        {
            std::mem::swap(&mut first.price, &mut second.price);
        }
        let last = self.done.checked_sub(1).and_then(|i| self.points.get(i)).copied();
        self.points.truncate(self.done);
        let spent: i64 = self.points.iter().map(|point| point.size.0).sum();
        let legs = corners.len().max(1) as i64;
        let spare = (self.volume.0 - spent - legs).max(0);
        let mut from = last.map(|point| (point.price, point.offset_ms.max(elapsed_ms)));
        for corner in corners {
            // The way to the open is a gap.
            if let Some((price, offset_ms)) = from {
                let offset_ms = offset_ms.min(corner.offset_ms);
                self.points.extend(steps(price, offset_ms, &corner, spare / legs));
            }
            from = Some((corner.price, corner.offset_ms));
            self.points.push(corner);
        }
        self.share();
    }

    /// Shares what is left of the volume out over the trades to come, to the last unit.
    fn share(&mut self) {
        let done = self.points.get(..self.done).unwrap_or_default();
        let left = self.volume.0 - done.iter().map(|point| point.size.0).sum::<i64>();
        let mut before = done.last().map_or(self.before, |point| point.price);
        let count = self.points.len().saturating_sub(self.done).max(1) as i64;
        let (share, rest) = (left / count, left % count);
        for (i, point) in self.points.iter_mut().skip(self.done).enumerate() {
            point.buyer_maker = point.price < before;
            before = point.price;
            // The first `rest` points take one unit more.
            point.size = Size(share + i64::from((i as i64) < rest));
        }
    }
}

/// Steps from a price to a corner, both excluded; at most `most`.
fn steps(from: Ticks, offset_ms: Millis, to: &Point, most: i64) -> impl Iterator<Item = Point> + use<> {
    let (distance, wait_ms) = (to.price.0 - from.0, to.offset_ms - offset_ms);
    let step = (from.0.min(to.price.0) / STEP_DIVISOR).max(1);
    let legs =
        (distance.abs() / step + i64::from(distance.abs() % step > 0)).clamp(1, STEPS_MAX.min(most + 1));
    let corner = *to;
    (1..legs).map(move |i| {
        // Products of a price and at most 512, in 128 bits.
        let part = |whole: i64| (i128::from(whole) * i128::from(i) / i128::from(legs)) as i64;
        Point {
            price: Ticks(from.0 + part(distance)),
            offset_ms: offset_ms + part(wait_ms),
            kind: Kind::Step,
            ..corner
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MINUTE_MS: Millis = 60_000;

    fn ohlc([open, high, low, close]: [i64; 4]) -> Ohlc {
        Ohlc { open: Ticks(open), high: Ticks(high), low: Ticks(low), close: Ticks(close) }
    }

    fn walk(prices: [i64; 4], volume: i64, last_close: Option<i64>) -> Walk {
        let mut walk = Walk::default();
        walk.begin(&ohlc(prices), Size(volume), MINUTE_MS, last_close.map(Ticks));
        walk
    }

    fn prices(walk: &Walk) -> Vec<i64> {
        walk.points.iter().map(|p| p.price.0).collect()
    }

    #[test]
    fn without_a_position_the_extreme_against_the_candle_comes_first() {
        assert_eq!(prices(&walk([10, 15, 8, 12], 100, None)), [10, 8, 15, 12]);
        assert_eq!(prices(&walk([12, 15, 8, 10], 100, None)), [12, 15, 8, 10]);
        assert_eq!(prices(&walk([10, 15, 8, 10], 100, None)), [10, 8, 15, 10], "unchanged counts as risen");
    }

    #[test]
    fn few_units_keep_every_price_they_can() {
        assert_eq!(prices(&walk([100, 101, 99, 99], 3, None)), [100, 101, 99]);
        assert_eq!(prices(&walk([100, 101, 100, 101], 2, None)), [100, 101]);
        assert_eq!(prices(&walk([10, 15, 8, 12], 1, None)), [12]);
        assert_eq!(prices(&walk([10, 10, 10, 10], 0, None)), [0i64; 0]);
    }

    #[test]
    fn volume_is_shared_to_the_last_unit() {
        for volume in 0..50 {
            let walk = walk([10, 15, 8, 12], volume, Some(11));
            assert_eq!(walk.points.iter().map(|p| p.size.0).sum::<i64>(), volume);
            assert!(walk.points.iter().all(|p| p.size.0 > 0));
        }
        let sides: Vec<bool> =
            walk([10, 15, 8, 12], 9, Some(11)).points.iter().map(|p| p.buyer_maker).collect();
        assert_eq!(sides, [true, true, false, true]);
    }

    #[test]
    fn what_is_bad_for_the_position_comes_first_whatever_the_candle_does() {
        for (prices_of, side, expected) in [
            ([10, 15, 8, 12], Side::Buy, [10, 8, 15, 12]),
            ([12, 15, 8, 10], Side::Buy, [12, 8, 15, 10]),
            ([10, 15, 8, 12], Side::Sell, [10, 15, 8, 12]),
            ([12, 15, 8, 10], Side::Sell, [12, 15, 8, 10]),
        ] {
            for done in [0, 1] {
                let mut walk = walk(prices_of, 4, None);
                walk.done = done;
                walk.turn_against(side, 0);
                assert_eq!(prices(&walk), expected, "{prices_of:?} {side:?} after {done}");
            }
        }
        // One extreme is over: it can't come again.
        let mut walk = walk([12, 15, 8, 10], 4, None);
        walk.done = 2;
        walk.turn_against(Side::Buy, 21_000);
        assert_eq!(prices(&walk), [12, 15, 8, 10]);
    }

    #[test]
    fn the_way_to_the_open_is_a_gap_and_the_rest_goes_in_basis_points() {
        let mut walk = walk([90_000, 100_000, 89_991, 95_000], 1_000_000, Some(100_000));
        walk.turn_against(Side::Buy, 0);
        assert_eq!(walk.points[0].price, Ticks(90_000));
        assert_eq!(prices(&walk)[..3], [90_000, 89_996, 89_991], "9 ticks, in steps of at most 8.9");
        for pair in walk.points.windows(2) {
            let step = (pair[1].price.0 - pair[0].price.0).abs();
            assert!(step <= 20, "512 steps for the longest leg: {step}");
            assert!(pair[0].offset_ms <= pair[1].offset_ms);
        }
    }

    proptest! {
        /// However often the position turns: the bar's own prices, volume and time.
        #[test]
        fn a_walk_stays_its_candle(
            open in 1i64..5_000_000, up in 0i64..9_000, down in 0i64..9_000, close in 0.0f64..=1.0,
            volume in 0i64..3_000, turns in proptest::collection::vec((0usize..40, any::<bool>()), 0..5),
        ) {
            let low = (open - down).max(1);
            let high = open + up;
            let close = low + ((high - low) as f64 * close) as i64;
            let mut walk = walk([open, high, low, close], volume, Some(open));
            let corners = prices(&walk);
            for (advance, long) in turns {
                (0..advance).for_each(|_| walk.advance());
                let elapsed = walk.next().map_or(MINUTE_MS, |point| point.offset_ms);
                walk.turn_against(if long { Side::Buy } else { Side::Sell }, elapsed - 1);
            }
            let all = prices(&walk);
            prop_assert_eq!(walk.points.iter().map(|p| p.size.0).sum::<i64>(), volume);
            prop_assert!(walk.points.iter().all(|p| p.size.0 > 0));
            prop_assert!(walk.points.windows(2).all(|pair| pair[0].offset_ms <= pair[1].offset_ms));
            prop_assert_eq!((all.first(), all.last()), (corners.first(), corners.last()));
            prop_assert_eq!((all.iter().min(), all.iter().max()), (corners.iter().min(), corners.iter().max()));
        }
    }
}
