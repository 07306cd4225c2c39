//! What a soak has reached: pairs of an order's state and a word on it, and rows of the recovery table.

use std::collections::BTreeMap;

use crate::engine::Engine;
use crate::event::{
    AlarmKind, Event, EventBody, ExitSignal, FillCause, OrderStatus, OrderUpdate, Output, OutputBody,
    Purpose, TradingState,
};
use crate::num::Lots;
use crate::trade::OrderState;

/// Everything a venue's word on an order can be.
pub const STATUSES: [OrderStatus; 9] = [
    OrderStatus::Accepted,
    OrderStatus::Rejected,
    OrderStatus::Filled,
    OrderStatus::Canceled,
    OrderStatus::Expired,
    OrderStatus::Triggered,
    OrderStatus::Unknown,
    OrderStatus::NotFound,
    OrderStatus::CancelRejected,
];

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
        let known = engine.trades().iter().find_map(|trade| trade.order(update.order));
        let Some(order) = known else {
            if matches!(update.status, OrderStatus::Accepted | OrderStatus::Triggered) {
                self.reach(Row::Orphan);
            }
            return;
        };
        let state = OrderState::ALL.iter().position(|state| *state == order.state);
        let status = STATUSES.iter().position(|status| *status == update.status);
        if let (Some(state), Some(status)) = (state, status) {
            *self.pairs.entry((state, status)).or_default() += 1;
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

    /// How often a word was heard of an order in a state.
    pub fn pair(&self, state: usize, status: usize) -> u64 {
        self.pairs.get(&(state, status)).copied().unwrap_or(0)
    }

    pub fn row(&self, row: Row) -> u64 {
        self.rows.get(&row).copied().unwrap_or(0)
    }
}
