//! What each rule saw, and what it asked for.

use arrayvec::ArrayVec;
use borsh::{BorshDeserialize, BorshSerialize};

use super::config::ConsensusSet;
use crate::event::{Consensus, Rule, TradingState};
use crate::num::{Dec, Rounding, mul_div};

/// A value a rule looked at. Kept as it was compared; divided only when somebody wants to read it.
#[derive(Clone, Copy, Debug, PartialEq, BorshSerialize, BorshDeserialize)]
pub enum Observed {
    Number(Dec),
    /// `numerator / denominator × scale`.
    Ratio {
        numerator: i128,
        denominator: i128,
        scale: i64,
    },
    Consensus(Consensus),
    ConsensusSet(ConsensusSet),
    State(TradingState),
    /// There is nothing to look at.
    Missing,
}

impl Observed {
    pub fn count(value: i64) -> Observed {
        Observed::Number(Dec::int(value))
    }

    /// As a number: words by their code, ratios divided (half to even at 18 places), zero for what
    /// is missing.
    pub fn to_dec(self) -> Dec {
        match self {
            Observed::Number(value) => value,
            Observed::Ratio { numerator, denominator, scale } => numerator
                .checked_mul(i128::from(scale))
                .and_then(|n| mul_div(n, Dec::ONE.0, denominator, Rounding::HalfEven))
                .map_or(Dec::MAX, Dec),
            Observed::Consensus(consensus) => Dec::int(consensus as i64),
            Observed::ConsensusSet(set) => Dec::int(i64::from(set.bits())),
            Observed::State(state) => Dec::int(state as i64),
            Observed::Missing => Dec::ZERO,
        }
    }

    fn mix(self, hash: u64) -> u64 {
        let (tag, a, b) = match self {
            Observed::Number(value) => (1, value.0, 0),
            Observed::Ratio { numerator, denominator, .. } => (2, numerator, denominator),
            Observed::Consensus(consensus) => (3, consensus as i128, 0),
            Observed::ConsensusSet(set) => (4, i128::from(set.bits()), 0),
            Observed::State(state) => (5, state as i128, 0),
            Observed::Missing => (6, 0, 0),
        };
        [tag, a as u64, (a >> 64) as u64, b as u64, (b >> 64) as u64].into_iter().fold(hash, mix)
    }
}

/// One step of FNV-1a over whole words: a fingerprint for comparing runs, not a checksum.
fn mix(hash: u64, word: u64) -> u64 {
    (hash ^ word).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(29)
}

/// One rule's outcome.
#[derive(Clone, Copy, Debug, PartialEq, BorshSerialize, BorshDeserialize)]
pub struct Check {
    pub rule: Rule,
    pub passed: bool,
    pub observed: Observed,
    pub threshold: Observed,
}

/// The rules a signal went through, in order, through the first failure.
#[derive(Clone, Debug, Default, BorshSerialize, BorshDeserialize)]
pub struct Checks {
    list: ArrayVec<Check, { Rule::ALL.len() }>,
}

impl Checks {
    pub fn clear(&mut self) {
        self.list.clear();
    }

    /// Notes an outcome and hands it on. Every rule is looked at once, so the list has room.
    pub fn note(&mut self, rule: Rule, passed: bool, observed: Observed, threshold: Observed) -> bool {
        let _ = self.list.try_push(Check { rule, passed, observed, threshold });
        passed
    }

    /// The outcome of a comparison that may have left the number range: that is a failure.
    pub fn note_option(
        &mut self,
        rule: Rule,
        passed: Option<bool>,
        observed: Observed,
        threshold: Observed,
    ) -> bool {
        self.note(rule, passed.unwrap_or(false), observed, threshold)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Check> {
        self.list.iter()
    }

    /// The rule that failed.
    pub fn failure(&self) -> Option<&Check> {
        self.list.last().filter(|check| !check.passed)
    }

    /// Fingerprint of every observed value.
    pub fn digest(&self) -> u64 {
        self.list.iter().fold(0xcbf2_9ce4_8422_2325, |hash, check| {
            let hash = mix(hash, check.rule as u64 | u64::from(check.passed) << 8);
            check.threshold.mix(check.observed.mix(hash))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_by_their_code_and_ratios_divided() {
        let ratio = |numerator, denominator, scale| Observed::Ratio { numerator, denominator, scale };
        for (observed, expected) in [
            (Observed::Number(Dec::new(-15, 1)), Dec::new(-15, 1)),
            (Observed::count(7), Dec::int(7)),
            (ratio(3, 8, 20_000), Dec::int(7_500)),
            (ratio(2, 3, 1), Dec(666_666_666_666_666_667)),
            (ratio(i128::MAX, 1, 2), Dec::MAX),
            (ratio(1, 0, 1), Dec::MAX),
            (Observed::Consensus(Consensus::Strong), Dec::int(Consensus::Strong as i64)),
            (
                Observed::ConsensusSet(ConsensusSet::of(&[Consensus::Weak])),
                Dec::int(1 << Consensus::Weak as u8),
            ),
            (Observed::State(TradingState::Halted), Dec::int(TradingState::Halted as i64)),
            (Observed::Missing, Dec::ZERO),
        ] {
            assert_eq!(observed.to_dec(), expected, "{observed:?}");
        }
    }

    #[test]
    fn a_comparison_that_left_its_range_failed() {
        let mut checks = Checks::default();
        let mut note = |passed| checks.note_option(Rule::Trend, passed, Observed::Missing, Observed::Missing);
        assert_eq!((note(Some(true)), note(Some(false)), note(None)), (true, false, false));
        assert_eq!(checks.failure().map(|check| check.rule), Some(Rule::Trend));
        checks.clear();
        assert_eq!((checks.failure(), checks.iter().count()), (None, 0));
    }

    fn digest(rule: Rule, passed: bool, observed: Observed, threshold: Observed) -> u64 {
        let mut checks = Checks::default();
        checks.note(rule, passed, observed, threshold);
        checks.digest()
    }

    #[test]
    fn the_fingerprint_sees_every_bit_of_what_was_compared() {
        let number = |raw: i128| Observed::Number(Dec(raw));
        let ratio = |numerator, denominator| Observed::Ratio { numerator, denominator, scale: 1 };
        let of = |observed, threshold| digest(Rule::Trend, true, observed, threshold);
        for ones in [0i128, -1] {
            for bit in (0..128).map(|bit| ones ^ (1 << bit)) {
                let numbers = of(number(ones), number(ones));
                assert_ne!(of(number(bit), number(ones)), numbers, "{bit:x}");
                assert_ne!(of(number(ones), number(bit)), numbers, "{bit:x}");
                let ratios = of(ratio(ones, ones), number(ones));
                assert_ne!(of(ratio(bit, ones), number(ones)), ratios, "{bit:x}");
                assert_ne!(of(ratio(ones, bit), number(ones)), ratios, "{bit:x}");
            }
        }
    }

    #[test]
    fn the_fingerprint_sees_the_rule_its_outcome_and_the_order() {
        let missing = Observed::Missing;
        let mut seen: Vec<u64> = Rule::ALL
            .iter()
            .flat_map(|rule| [true, false].map(|passed| digest(*rule, passed, missing, missing)))
            .collect();
        let two = |first, second| {
            let mut checks = Checks::default();
            checks.note(first, true, missing, missing);
            checks.note(second, true, missing, missing);
            checks.digest()
        };
        seen.extend([
            two(Rule::Trend, Rule::Volume),
            two(Rule::Volume, Rule::Trend),
            Checks::default().digest(),
        ]);
        // Values of different kinds with the same code.
        for other in
            [Observed::Consensus(Consensus::Weak), Observed::State(TradingState::Active), Observed::count(0)]
        {
            seen.push(digest(Rule::Trend, true, other, missing));
        }
        let all = seen.len();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), all);
    }
}
