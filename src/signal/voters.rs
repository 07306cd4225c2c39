//! Four rule voters in the models' seats: trend, momentum, breakout, mean reversion. Fixed point,
//! deterministic, one look at every closed bar.
//!
//! They are a demonstration of the protocol and a baseline to beat, not an edge. Every strength is a
//! distance divided by the ATR, so the same constants fit a 1e-5 coin and bitcoin.

use borsh::{BorshDeserialize, BorshSerialize};

use crate::event::{Action, Ballot, Consensus, SEATS, Signal, SignalSource};
use crate::market::{Ema, Fx, OHLC};
use crate::num::{Dec, OutOfRange, Ticks, all_hold};

/// Bars the voters look back.
const LOOKBACK: usize = 20;
const FAST_PERIOD: u32 = 12;
const SLOW_PERIOD: u32 = 26;
const MOMENTUM_BARS: usize = 10;

/// Confidence of a vote at its entry strength, and the most a single vote may claim.
const CONFIDENCE_MIN: Dec = Dec::new(60, 2);
const CONFIDENCE_MAX: Dec = Dec::new(95, 2);

/// Voter state of one instrument.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub struct RuleVoters {
    fast: Ema,
    slow: Ema,
    /// The last closed bars, oldest overwritten.
    ring: [VoterBar; LOOKBACK],
    seen: usize,
}

/// What the voters keep of a bar, in ticks.
#[derive(Clone, Copy, Debug, Default, BorshSerialize, BorshDeserialize)]
struct VoterBar {
    high: i64,
    low: i64,
    close: i64,
}

/// A vote before it is written down: direction and confidence.
type Vote = (Action, Dec);

const HOLD: Vote = (Action::Hold, Dec::new(50, 2));

impl Default for RuleVoters {
    fn default() -> Self {
        RuleVoters {
            fast: Ema::new(FAST_PERIOD),
            slow: Ema::new(SLOW_PERIOD),
            ring: [VoterBar::default(); LOOKBACK],
            seen: 0,
        }
    }
}

impl RuleVoters {
    pub(crate) fn check(&self) -> Result<(), OutOfRange> {
        let RuleVoters { fast, slow, ring, seen } = self;
        fast.check(FAST_PERIOD)?;
        slow.check(SLOW_PERIOD)?;
        let mut prices = ring.iter().flat_map(|bar| [bar.high, bar.low, bar.close]);
        all_hold(&[
            ("voters.ring", prices.all(|price| (0..=Ticks::PRICE_MAX.0).contains(&price))),
            ("voters.seen", *seen < 2 * LOOKBACK),
        ])
    }

    pub fn on_bar(&mut self, bar: &OHLC) {
        self.fast.update(bar.close);
        self.slow.update(bar.close);
        self.ring[self.seen % LOOKBACK] = VoterBar { high: bar.high.0, low: bar.low.0, close: bar.close.0 };
        // Only the remainder and "full" matter.
        self.seen = if self.seen + 1 >= 2 * LOOKBACK { LOOKBACK } else { self.seen + 1 };
    }

    pub fn reset(&mut self) {
        self.fast.reset();
        self.slow.reset();
        self.seen = 0;
    }

    /// The four votes after the newest bar, given its ATR and EMA in ticks. Seats without enough
    /// history abstain.
    pub fn vote(&self, atr: Option<Fx>, ema: Option<Fx>) -> Signal {
        let votes = match atr {
            Some(atr) if atr > Fx::ZERO && self.seen >= LOOKBACK => {
                [self.trend(atr), self.momentum(atr), self.breakout(), self.reversion(atr, ema)]
            }
            _ => [(Action::Abstain, Dec::ZERO); SEATS],
        };
        Signal {
            confidence: votes.map(|vote| vote.1),
            ballot: Ballot::of(votes.map(|vote| vote.0)),
            given: false,
            action: Action::Hold,
            consensus: Consensus::Weak,
            source: SignalSource::Rules,
            pad: [0; 8],
        }
    }

    /// The bar `back` bars before the newest (0).
    fn bar(&self, back: usize) -> &VoterBar {
        &self.ring[(self.seen + 2 * LOOKBACK - 1 - back) % LOOKBACK]
    }

    fn close(&self) -> Fx {
        Fx::from_num(self.bar(0).close)
    }

    /// Distance of the 12-bar from the 26-bar average of closes: a trend from a quarter of an ATR.
    fn trend(&self, atr: Fx) -> Vote {
        match (self.fast.value(), self.slow.value()) {
            (Some(fast), Some(slow)) => graded(fast - slow, atr, Fx::from_bits(1 << 62), Fx::ONE),
            _ => (Action::Abstain, Dec::ZERO),
        }
    }

    /// Change over 10 bars: momentum from one ATR, certain at four.
    fn momentum(&self, atr: Fx) -> Vote {
        let change = self.bar(0).close - self.bar(MOMENTUM_BARS).close;
        graded(Fx::from_num(change), atr, Fx::ONE, Fx::from_num(4))
    }

    /// Place of the close in the range of the last 20 bars: its outer sixth is a breakout.
    fn breakout(&self) -> Vote {
        let high = self.ring.iter().map(|b| b.high).max().unwrap_or(0);
        let low = self.ring.iter().map(|b| b.low).min().unwrap_or(0);
        let half = Fx::from_num(high - low) / 2;
        if half <= Fx::ZERO {
            return HOLD;
        }
        let from_middle = self.close() - Fx::from_num(low) - half;
        graded(from_middle, half, Fx::ONE * 2 / 3, Fx::ONE)
    }

    /// Distance of the close from its 12-bar average. Beyond three ATR it votes for the way back; a
    /// dip of half an ATR or more against the EMA's side votes for the EMA's side.
    fn reversion(&self, atr: Fx, ema: Option<Fx>) -> Vote {
        let (Some(average), Some(ema)) = (self.fast.value(), ema) else {
            return (Action::Abstain, Dec::ZERO);
        };
        let stretch = self.close() - average;
        if stretch.abs() >= atr * 3 {
            return graded(-stretch, atr, Fx::from_num(3), Fx::from_num(5));
        }
        let with_trend = (average > ema) == (stretch < Fx::ZERO);
        if with_trend { graded(-stretch, atr, Fx::ONE / 2, Fx::from_num(2)) } else { HOLD }
    }
}

/// A vote for the sign of `distance` once it reaches `from` × `unit`; the confidence rises linearly
/// from its minimum there to its maximum at `full` × `unit`. One division.
fn graded(distance: Fx, unit: Fx, from: Fx, full: Fx) -> Vote {
    let size = distance.abs();
    let threshold = unit * from;
    if size < threshold || size == Fx::ZERO {
        return HOLD;
    }
    let span = unit * (full - from);
    let share = if size - threshold >= span { Fx::ONE } else { (size - threshold) / span };
    let range = (CONFIDENCE_MAX - CONFIDENCE_MIN).0;
    // `share` is at most one in 64.64 and the range below 2^59: shifted down first, it fits.
    let extra = ((share.to_bits() >> 32) * range) >> 32;
    let action = if distance > Fx::ZERO { Action::Long } else { Action::Short };
    (action, CONFIDENCE_MIN + Dec(extra))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::num::{Size, Ticks};

    fn bars(closes: impl Iterator<Item = i64>) -> RuleVoters {
        let mut voters = RuleVoters::default();
        for (i, close) in closes.enumerate() {
            let close = Ticks(close);
            voters.on_bar(&OHLC {
                open_ms: i as i64 * 1_000,
                open: close,
                high: close + Ticks(2),
                low: close - Ticks(2),
                close,
                volume: Size(1),
                taker_buy_volume: Size(1),
                trades: 1,
            });
        }
        voters
    }

    #[test]
    fn short_history_abstains() {
        let signal = bars(0..10).vote(Some(Fx::ONE), Some(Fx::ONE));
        assert_eq!(signal.ballot.votes(), [Action::Abstain; SEATS]);
        assert_eq!(bars(0..50).vote(None, None).ballot.votes(), [Action::Abstain; SEATS]);
    }

    #[test]
    fn a_rise_and_its_mirror_vote_alike() {
        let ema = Some(Fx::from_num(1_000));
        let up = bars((0..60).map(|i| 1_000 + 3 * i)).vote(Some(Fx::from_num(4)), ema);
        let down = bars((0..60).map(|i| 1_000 - 3 * i)).vote(Some(Fx::from_num(4)), ema);
        assert_eq!(&up.ballot.votes()[..3], [Action::Long; 3]);
        assert_eq!(&down.ballot.votes()[..3], [Action::Short; 3]);
        assert_eq!(up.confidence, down.confidence);
        // 5.5 bars above the average is 16.5 ticks: more than three ATR, so reversion disagrees.
        assert_eq!(up.ballot.patchtst, Action::Short);
    }

    #[test]
    fn confidence_is_linear_between_its_ends() {
        let unit = Fx::from_num(10);
        let at = |ticks: i64| graded(Fx::from_num(ticks), unit, Fx::ONE, Fx::from_num(3)).1;
        assert_eq!(graded(Fx::from_num(9), unit, Fx::ONE, Fx::from_num(3)), HOLD);
        assert_eq!(at(10), CONFIDENCE_MIN);
        assert_eq!(at(20), Dec::new(775, 3));
        assert_eq!(at(30), CONFIDENCE_MAX);
        assert_eq!(at(3_000_000), CONFIDENCE_MAX);
    }

    #[test]
    fn a_market_that_never_moves_holds() {
        let mut voters = RuleVoters::default();
        let flat = bars(std::iter::repeat_n(500, 60));
        assert_eq!(
            flat.vote(Some(Fx::from_num(4)), Some(Fx::from_num(500))).ballot.votes(),
            [Action::Hold; SEATS]
        );
        voters.reset();
        assert_eq!(voters.vote(Some(Fx::ONE), None).ballot.votes(), [Action::Abstain; SEATS]);
    }
}
