//! The states of a trade.

use crate::event::{ExitSignal, TradeState};

/// What can happen to a trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Approved,
    Rejected,
    EntrySent,
    EntryFilled,
    /// The entry ended without a fill.
    EntryEnded,
    StopAtBreakeven,
    PartFilled,
    StopTrailing,
    /// The venue's answer to the entry is missing, and nothing has filled.
    AnswerMissing,
    /// The answer came: the entry is pending.
    AnsweredPending,
    /// The last part is closed.
    Closed {
        signal: ExitSignal,
        after_partial: bool,
    },
}

/// The state after `step`; `None` where the step changes nothing. A closed trade stays closed, and
/// progress is not undone: a breakeven after the trailing began leaves TRAILING.
pub const fn next_state(state: TradeState, step: Step) -> Option<TradeState> {
    use TradeState as S;
    match (state, step) {
        (S::New, Step::Approved) => Some(S::Approved),
        (S::New, Step::Rejected) => Some(S::Rejected),
        (S::Approved, Step::EntrySent) => Some(S::EntryPending),
        (S::Approved | S::EntryPending | S::Unknown, Step::EntryFilled) => Some(S::Open),
        (S::Approved | S::EntryPending | S::Unknown, Step::EntryEnded) => Some(S::Canceled),
        (S::Open, Step::StopAtBreakeven) => Some(S::Breakeven),
        (S::Open | S::Breakeven, Step::PartFilled) => Some(S::PartialTp),
        (S::Open | S::Breakeven | S::PartialTp, Step::StopTrailing) => Some(S::Trailing),
        (S::EntryPending, Step::AnswerMissing) => Some(S::Unknown),
        (S::Unknown, Step::AnsweredPending) => Some(S::EntryPending),
        (S::Open | S::Breakeven | S::PartialTp | S::Trailing, Step::Closed { signal, after_partial }) => {
            Some(end_state(signal, after_partial))
        }
        _ => None,
    }
}

/// How a trade that ended by `signal` is filed. After a partial the exit's own signal says which
/// rule closed the rest; a forced close is a forced close in any case.
pub const fn end_state(signal: ExitSignal, after_partial: bool) -> TradeState {
    match signal {
        ExitSignal::Forced => TradeState::ClosedLiquidated,
        ExitSignal::Flatten | ExitSignal::Manual | ExitSignal::Unprotected => TradeState::ClosedManual,
        _ if after_partial => TradeState::ClosedPartial,
        ExitSignal::StopLoss => TradeState::ClosedSl,
        ExitSignal::TakeProfit | ExitSignal::PartialTp => TradeState::ClosedTp,
        ExitSignal::TimeExit => TradeState::ClosedTime,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every (state, step) pair, as a picture: rows are states, columns steps.
    #[test]
    fn every_pair_is_decided() {
        let closed = Step::Closed { signal: ExitSignal::StopLoss, after_partial: false };
        let steps = [
            Step::Approved,
            Step::Rejected,
            Step::EntrySent,
            Step::EntryFilled,
            Step::EntryEnded,
            Step::StopAtBreakeven,
            Step::PartFilled,
            Step::StopTrailing,
            Step::AnswerMissing,
            Step::AnsweredPending,
            closed,
        ];
        // A = approved, R = rejected, E = entry pending, O = open, B, P, T = breakeven, partial,
        // trailing, U = unknown, X = closed, C = canceled without a fill.
        let table = [
            (TradeState::New, "AR........."),
            (TradeState::Rejected, "..........."),
            (TradeState::Approved, "..EOC......"),
            (TradeState::EntryPending, "...OC...U.."),
            (TradeState::Open, ".....BPT..X"),
            (TradeState::Breakeven, "......PT..X"),
            (TradeState::PartialTp, ".......T..X"),
            (TradeState::Trailing, "..........X"),
            (TradeState::ClosedSl, "..........."),
            (TradeState::ClosedTp, "..........."),
            (TradeState::ClosedPartial, "..........."),
            (TradeState::ClosedTime, "..........."),
            (TradeState::ClosedManual, "..........."),
            (TradeState::ClosedLiquidated, "..........."),
            (TradeState::Canceled, "..........."),
            (TradeState::Unknown, "...OC....E."),
        ];
        let named: Vec<TradeState> = TradeState::ALL.to_vec();
        for state in named {
            let row = table.iter().find(|row| row.0 == state).unwrap().1;
            for (step, expected) in steps.iter().zip(row.chars()) {
                let next = match next_state(state, *step) {
                    None => '.',
                    Some(TradeState::Approved) => 'A',
                    Some(TradeState::Rejected) => 'R',
                    Some(TradeState::EntryPending) => 'E',
                    Some(TradeState::Open) => 'O',
                    Some(TradeState::Breakeven) => 'B',
                    Some(TradeState::PartialTp) => 'P',
                    Some(TradeState::Trailing) => 'T',
                    Some(TradeState::Unknown) => 'U',
                    Some(TradeState::Canceled) => 'C',
                    Some(_) => 'X',
                };
                assert_eq!(next, expected, "{state:?} {step:?}");
            }
        }
    }

    #[test]
    fn every_exit_has_an_end_state() {
        let plain = ExitSignal::ALL.iter().map(|s| end_state(*s, false)).collect::<Vec<_>>();
        let after = ExitSignal::ALL.iter().map(|s| end_state(*s, true)).collect::<Vec<_>>();
        use TradeState::{ClosedLiquidated, ClosedManual, ClosedPartial, ClosedSl, ClosedTime, ClosedTp};
        let (m, p) = (ClosedManual, ClosedPartial);
        assert_eq!(plain, [ClosedSl, ClosedTp, ClosedTp, ClosedTime, m, m, m, ClosedLiquidated]);
        assert_eq!(after, [p, p, p, p, m, m, m, ClosedLiquidated]);
    }
}
