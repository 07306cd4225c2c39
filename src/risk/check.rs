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
