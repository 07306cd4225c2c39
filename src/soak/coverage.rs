//! What a soak has reached: pairs of an order's state and a word on it, and rows of the recovery table.

use std::collections::BTreeMap;

use crate::engine::Engine;
use crate::event::{
    AlarmKind, Event, EventBody, ExitSignal, FillCause, OrderStatus, OrderUpdate, Output, OutputBody,
    Purpose, TradingState,
};
use crate::num::Lots;
use crate::trade::OrderState;

use OrderState as State;
use OrderStatus as Word;

/// Words that can't be heard of an order in a state, and why. One that is heard fails its seed.
#[rustfmt::skip]
pub const IMPOSSIBLE: &[(State, &[Word], &str)] = &[
    (State::Working, &[Word::Rejected], "the venue refuses an order before it has it, or never"),
    (State::Triggered, &[Word::Rejected], "what triggered and can't be done has expired, says the gateway"),
    (State::Filled, &[Word::Rejected], "the venue refuses an order before it has it, or never"),
    (State::Filled, &[Word::Canceled, Word::Expired], "nothing is left of it that could end otherwise"),
    (State::Canceled, &[Word::Rejected], "the venue refuses an order before it has it, or never"),
    (State::Expired, &[Word::Rejected], "the venue refuses an order before it has it, or never"),
    (State::Expired, &[Word::Filled, Word::Canceled], "an order ends once, and that it expired is only ever the venue's word"),
];

/// Words that storms hardly ever bring, each with the test in `tests/sim/pairs.rs` that does.
#[rustfmt::skip]
pub const RARE: &[(State, Word, &str)] = &[
    (State::Sent, Word::Triggered, "a_report_before_every_answer"),
    (State::Sent, Word::Canceled, "a_report_before_every_answer"),
    (State::Sent, Word::Expired, "a_report_before_every_answer"),
    (State::Working, Word::Unknown, "unknown_is_said_again_when_it_is_known"),
    (State::Triggered, Word::Unknown, "a_word_that_comes_late_changes_nothing"),
    (State::Filled, Word::Triggered, "unknown_is_said_again_when_it_is_known"),
    (State::Filled, Word::Unknown, "unknown_is_said_again_when_it_is_known"),
    (State::Canceled, Word::Filled, "given_up_and_there_all_the_same"),
    (State::Canceled, Word::Expired, "given_up_and_there_all_the_same"),
    (State::Canceled, Word::Triggered, "a_word_that_comes_late_changes_nothing"),
    (State::Canceled, Word::Unknown, "unknown_is_said_again_when_it_is_known"),
    (State::Expired, Word::Unknown, "unknown_is_said_again_when_it_is_known"),
    (State::Rejected, Word::Accepted, "a_word_that_comes_late_changes_nothing"),
    (State::Rejected, Word::Filled, "given_up_and_there_all_the_same"),
    (State::Rejected, Word::Canceled, "a_word_that_comes_late_changes_nothing"),
    (State::Rejected, Word::Expired, "given_up_and_there_all_the_same"),
    (State::Rejected, Word::Triggered, "a_word_that_comes_late_changes_nothing"),
];

fn why_impossible(state: State, word: Word) -> Option<&'static str> {
    let row = IMPOSSIBLE.iter().find(|(of, words, _)| *of == state && words.contains(&word));
    row.map(|(_, _, why)| *why)
}

fn test_of(state: State, word: Word) -> Option<&'static str> {
    RARE.iter().find(|(of, rare, _)| (*of, *rare) == (state, word)).map(|(_, _, test)| *test)
}

/// A row of the table of starts and restarts in `docs/JOURNAL.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Row {
    NothingChanged,
    StartAfterAnother,
    MissedFills,
    StopFilledMeanwhile,
    StopEndedMeanwhile,
    UnansweredButThere,
    UnansweredEntryNotThere,
    UnansweredStopNotThere,
    UnansweredExitNotThere,
    NeverSent,
    Orphan,
    UnexplainedPosition,
    WalletDiffers,
    Uncovered,
    NotActive,
    ToldToEnd,
}

impl Row {
    pub const ALL: [Row; 16] = [
        Row::NothingChanged,
        Row::StartAfterAnother,
        Row::MissedFills,
        Row::StopFilledMeanwhile,
        Row::StopEndedMeanwhile,
        Row::UnansweredButThere,
        Row::UnansweredEntryNotThere,
        Row::UnansweredStopNotThere,
        Row::UnansweredExitNotThere,
        Row::NeverSent,
        Row::Orphan,
        Row::UnexplainedPosition,
        Row::WalletDiffers,
        Row::Uncovered,
        Row::NotActive,
        Row::ToldToEnd,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Row::NothingChanged => "nothing of ours changed",
            Row::StartAfterAnother => "a start without its end in between",
            Row::MissedFills => "fills the journal does not have",
            Row::StopFilledMeanwhile => "a stop that filled meanwhile",
            Row::StopEndedMeanwhile => "a stop that ended meanwhile",
            Row::UnansweredButThere => "an order without an answer, which the venue has",
            Row::UnansweredEntryNotThere => "an entry without an answer that the venue does not know",
            Row::UnansweredStopNotThere => "a stop without an answer that the venue does not know",
            Row::UnansweredExitNotThere => "an exit without an answer that the venue does not know",
            Row::NeverSent => "orders of a group without a commit",
            Row::Orphan => "an order that no trade has",
            Row::UnexplainedPosition => "a position that fills do not explain",
            Row::WalletDiffers => "a wallet that differs",
            Row::Uncovered => "a position with no acknowledged stop",
            Row::NotActive => "halted or reducing",
            Row::ToldToEnd => "a run that had been told to end",
        }
    }
}

/// Counts. See the module.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    /// A word that was declared impossible, and was heard.
    impossible: Option<String>,
    pairs: BTreeMap<(usize, usize), u64>,
    rows: BTreeMap<Row, u64>,
    /// A start is recovering, and this was heard of what is ours so far.
    changed: Option<bool>,
    /// The event under way is heard while a start recovers.
    recovering: bool,
}

impl Coverage {
    fn reach(&mut self, row: Row) {
        *self.rows.entry(row).or_default() += 1;
    }

    /// A process begins with `engine`.
    pub fn start(&mut self, engine: Option<&Engine>) {
        self.changed = engine.map(|_| false);
        let Some(engine) = engine else { return };
        self.reach(Row::StartAfterAnother);
        if engine.controller().state() != TradingState::Active {
            self.reach(Row::NotActive);
        }
        if engine.is_told_to_end() {
            self.reach(Row::ToldToEnd);
        }
        if engine.trades().iter().any(|trade| trade.open() > Lots::ZERO && !trade.is_covered()) {
            self.reach(Row::Uncovered);
        }
    }

    /// An event is about to be taken up.
    pub fn before(&mut self, event: &Event, engine: &Engine) {
        self.recovering = engine.is_recovering();
        match &event.body {
            EventBody::OrderUpdate(update) => self.update(update, engine),
            EventBody::Fill(fill) => {
                if self.recovering && fill.cause == FillCause::Order {
                    self.reach(Row::MissedFills);
                    self.changed = self.changed.map(|_| true);
                }
                if fill.cause == FillCause::Assumed {
                    self.reach(Row::UnexplainedPosition);
                }
            }
            _ => {}
        }
        let over = !self.recovering && self.changed.take() == Some(false);
        if over && !engine.trades().is_empty() {
            self.reach(Row::NothingChanged);
        }
    }

    fn update(&mut self, update: &OrderUpdate, engine: &Engine) {
        if update.code == OrderUpdate::NEVER_SENT {
            self.reach(Row::NeverSent);
        }
        // The gateway's own conclusion, and no word of the venue's.
        if update.code == OrderUpdate::NO_MORE_FILLS {
            return;
        }
        let known = engine.trades().iter().find_map(|trade| trade.order(update.order));
        let Some(order) = known else {
            if matches!(update.status, OrderStatus::Accepted | OrderStatus::Triggered) {
                self.reach(Row::Orphan);
            }
            return;
        };
        let (state, word) = (order.state, update.status);
        *self.pairs.entry((state as usize, word as usize)).or_default() += 1;
        if let Some(why) = why_impossible(state, word) {
            let what = || format!("{} heard {word:?} while {state:?}, which can't be: {why}", order.id);
            self.impossible.get_or_insert_with(what);
        }
        if !self.recovering {
            return;
        }
        let unanswered = order.state == OrderState::Unknown;
        let row = match (update.status, order.purpose) {
            (OrderStatus::NotFound, Purpose::Entry) if unanswered => Row::UnansweredEntryNotThere,
            (OrderStatus::NotFound, Purpose::Stop) if unanswered => Row::UnansweredStopNotThere,
            (OrderStatus::NotFound, Purpose::Exit) if unanswered => Row::UnansweredExitNotThere,
            (OrderStatus::Canceled | OrderStatus::Expired, Purpose::Stop) => Row::StopEndedMeanwhile,
            (OrderStatus::Accepted | OrderStatus::Triggered | OrderStatus::Filled, _) if unanswered => {
                Row::UnansweredButThere
            }
            _ => return,
        };
        self.changed = self.changed.map(|_| true);
        self.reach(row);
    }

    /// The event under way caused this.
    pub fn output(&mut self, output: &Output) {
        match &output.body {
            OutputBody::TradeClosed(closed) if self.recovering && closed.signal == ExitSignal::StopLoss => {
                self.reach(Row::StopFilledMeanwhile);
            }
            OutputBody::Alarm(alarm) if alarm.kind == AlarmKind::WalletDiffers => {
                self.reach(Row::WalletDiffers);
            }
            _ => {}
        }
    }

    pub fn add(&mut self, other: &Coverage) {
        for (pair, count) in &other.pairs {
            *self.pairs.entry(*pair).or_default() += count;
        }
        for (row, count) in &other.rows {
            *self.rows.entry(*row).or_default() += count;
        }
    }

    /// What was heard though it was declared impossible, once.
    pub fn take_impossible(&mut self) -> Option<String> {
        self.impossible.take()
    }

    /// How often a word was heard of an order in a state.
    pub fn pair(&self, state: OrderState, word: OrderStatus) -> u64 {
        self.pairs.get(&(state as usize, word as usize)).copied().unwrap_or(0)
    }

    /// Every pair of a state and a word, with what is known of it.
    pub fn pairs(&self) -> impl Iterator<Item = Pair> {
        let pairs = State::ALL.into_iter().flat_map(|state| Word::ALL.map(|word| (state, word)));
        pairs.map(|(state, word)| Pair {
            state,
            word,
            count: self.pair(state, word),
            impossible: why_impossible(state, word),
            rare: test_of(state, word),
        })
    }

    /// Pairs that were not reached, are not impossible, and have no test of their own.
    pub fn pairs_missed(&self) -> Vec<String> {
        let missed = self.pairs().filter(|pair| pair.count == 0 && pair.is_expected());
        missed.map(|pair| format!("{:?} {:?}", pair.state, pair.word)).collect()
    }

    /// Rows of the recovery table that were not reached.
    pub fn rows_missed(&self) -> Vec<&'static str> {
        Row::ALL.into_iter().filter(|row| self.row(*row) == 0).map(Row::name).collect()
    }

    /// The table of pairs, what is left out of it and why, and the rows.
    pub fn text(&self) -> String {
        let mut text = String::from("an order's state, and the venue's words on it:\n");
        text += &format!("{:12}", "");
        for word in Word::ALL {
            text += &format!("{:>15}", format!("{word:?}"));
        }
        for state in State::ALL {
            text += &format!("\n{:12}", format!("{state:?}"));
            for pair in self.pairs().filter(|pair| pair.state == state) {
                let count = match (pair.count, pair.impossible, pair.rare) {
                    (0, Some(_), _) => "never".to_owned(),
                    (0, None, Some(_)) => "rare".to_owned(),
                    (count, ..) => count.to_string(),
                };
                text += &format!("{count:>15}");
            }
        }
        text += "\n\nnever:\n";
        for (state, words, why) in IMPOSSIBLE {
            let words: Vec<_> = words.iter().map(|word| format!("{word:?}")).collect();
            text += &format!("  {:10} {}: {why}\n", format!("{state:?}"), words.join(", "));
        }
        text += "\nrare, and reached by a test in tests/sim/pairs.rs:\n";
        for (state, word, test) in RARE {
            text += &format!("  {:10} {:10} {test}\n", format!("{state:?}"), format!("{word:?}"));
        }
        text += "\nrows of the recovery table:\n";
        for row in Row::ALL {
            text += &format!("{:>12}  {}\n", self.row(row), row.name());
        }
        text
    }

    pub fn row(&self, row: Row) -> u64 {
        self.rows.get(&row).copied().unwrap_or(0)
    }
}

/// A word on an order in a state.
#[derive(Clone, Copy, Debug)]
pub struct Pair {
    pub state: OrderState,
    pub word: OrderStatus,
    pub count: u64,
    /// Why it can't be.
    pub impossible: Option<&'static str>,
    /// The test that reaches it.
    pub rare: Option<&'static str>,
}

impl Pair {
    /// Whether enough storms must reach it.
    pub fn is_expected(&self) -> bool {
        self.impossible.is_none() && self.rare.is_none()
    }
}
