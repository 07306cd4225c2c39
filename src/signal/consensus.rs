//! From votes to an action, a consensus and a confidence.

use crate::event::{Action, Consensus, SEATS, Signal};
use crate::num::{Dec, Rounding};

/// A confidence as an exact fraction: the mean of three has no finite decimal form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confidence {
    numerator: i128,
    denominator: i128,
}

impl Confidence {
    /// The most that votes can give.
    const CAP: Dec = Dec::new(95, 2);

    pub const fn exact(value: Dec) -> Confidence {
        Confidence { numerator: value.0, denominator: 1 }
    }

    pub const ZERO: Confidence = Confidence::exact(Dec::ZERO);

    /// Confidences are at most one, so the products stay far inside 128 bits.
    pub fn at_least(self, threshold: Dec) -> bool {
        self.numerator >= threshold.0.saturating_mul(self.denominator)
    }

    /// Rounded to 18 places, for display.
    pub fn to_dec(self) -> Dec {
        Dec(Rounding::HalfEven.div_i128(self.numerator, self.denominator).unwrap_or(0))
    }
}

/// A signal as the filter sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resolved {
    pub action: Action,
    pub consensus: Consensus,
    pub confidence: Confidence,
}

/// Factor on the mean confidence by number of winners, in tenths.
const AGREEMENT_TENTHS: [i128; SEATS + 1] = [0, 6, 10, 11, 12];

/// Resolves a signal. The action with the greatest summed weight wins, a tie is HOLD; HOLD counts
/// like any action. Confidence is the winners' mean × 1.2, 1.1, 1.0 or 0.6 for four to one of them,
/// at most 0.95. A signal that brings its own consensus keeps it.
pub fn resolve(signal: &Signal, weights: &[Dec; SEATS]) -> Resolved {
    if signal.given {
        let confidence = Confidence::exact(signal.confidence[0].clamp(Dec::ZERO, Dec::ONE));
        return Resolved { action: signal.action, consensus: signal.consensus, confidence };
    }
    let votes = signal.ballot.votes();
    let of = |action: Action| (0..SEATS).filter(move |i| votes[*i] == action);
    let actions = [Action::Hold, Action::Long, Action::Short];
    let counts = actions.map(|action| of(action).count());
    let scores = actions.map(|action| of(action).map(|i| weights[i].0).sum::<i128>());
    let best = scores[0].max(scores[1]).max(scores[2]);
    let mut leaders = (0..actions.len()).filter(|i| scores[*i] == best && counts[*i] > 0);
    let action = match (leaders.next(), leaders.next()) {
        (Some(only), None) => actions[only],
        _ => Action::Hold,
    };
    let winners = of(action).count();
    let sum: i128 = of(action).map(|i| signal.confidence[i].0.clamp(0, Dec::ONE.0)).sum();
    let raw = match winners {
        0 => Confidence::ZERO,
        n => Confidence { numerator: sum * AGREEMENT_TENTHS[n], denominator: n as i128 * 10 },
    };
    let confidence = if raw.at_least(Confidence::CAP) { Confidence::exact(Confidence::CAP) } else { raw };
    let consensus = match counts.iter().max() {
        Some(4) => Consensus::Unanimous,
        Some(3) => Consensus::Strong,
        Some(2) if counts.iter().filter(|n| **n == 2).count() == 2 => Consensus::Split,
        _ => Consensus::Weak,
    };
    Resolved { action, consensus, confidence }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Ballot, SignalSource};

    const WEIGHTS: [Dec; SEATS] = [Dec::new(25, 2), Dec::new(25, 2), Dec::new(30, 2), Dec::new(20, 2)];
    const L: Action = Action::Long;
    const S: Action = Action::Short;
    const H: Action = Action::Hold;
    const A: Action = Action::Abstain;

    fn signal(votes: [Action; SEATS], percent: [i64; SEATS]) -> Signal {
        Signal {
            confidence: percent.map(|p| Dec::new(p, 2)),
            ballot: Ballot::of(votes),
            given: false,
            action: H,
            consensus: Consensus::Weak,
            source: SignalSource::External,
            pad: [0; 8],
        }
    }

    #[test]
    fn every_shape_of_a_vote() {
        let same = [80; 4];
        let table = [
            ([L, L, L, L], L, Consensus::Unanimous, "0.95"),
            ([S, S, S, L], S, Consensus::Strong, "0.88"),
            ([L, L, L, A], L, Consensus::Strong, "0.88"),
            ([L, L, S, S], H, Consensus::Split, "0"),
            ([H, L, L, H], L, Consensus::Split, "0.8"),
            ([H, H, L, A], H, Consensus::Weak, "0.8"),
            ([L, S, H, A], H, Consensus::Weak, "0.48"),
            ([L, A, A, A], L, Consensus::Weak, "0.48"),
            ([A, A, A, A], H, Consensus::Weak, "0"),
        ];
        for (votes, action, consensus, confidence) in table {
            let resolved = resolve(&signal(votes, same), &WEIGHTS);
            assert_eq!((resolved.action, resolved.consensus), (action, consensus), "{votes:?}");
            assert_eq!(resolved.confidence.to_dec().to_string(), confidence, "{votes:?}");
        }
    }

    #[test]
    fn a_mean_of_three_is_compared_exactly() {
        // (0.7 + 0.7 + 0.7001) / 3 × 1.1 = 0.7700366..., just above 0.77.
        let mut three = signal([L, L, L, A], [70, 70, 70, 0]);
        let exact = resolve(&three, &WEIGHTS).confidence;
        assert!(exact.at_least(Dec::new(77, 2)), "equal passes");
        three.confidence[2].0 -= 1;
        assert!(!resolve(&three, &WEIGHTS).confidence.at_least(Dec::new(77, 2)), "one unit below fails");
    }

    #[test]
    fn a_given_confidence_stays_between_nothing_and_certain() {
        let mut given = Signal { given: true, action: L, ..signal([A; SEATS], [0; 4]) };
        for (confidence, taken) in [(Dec::int(7), Dec::ONE), (Dec::int(-7), Dec::ZERO)] {
            given.confidence[0] = confidence;
            assert_eq!(resolve(&given, &WEIGHTS).confidence, Confidence::exact(taken));
        }
    }

    #[test]
    fn any_tie_for_first_is_hold() {
        let weights = [Dec::new(25, 2); SEATS];
        let resolved = resolve(&signal([L, S, A, A], [90; 4]), &weights);
        assert_eq!(resolved.action, H);
    }
}
