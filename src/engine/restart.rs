//! A start after another: what is believed until the venue was asked, and settings that changed
//! meanwhile. `docs/JOURNAL.md` has the table of what becomes of each thing.

use super::{Engine, Outbox, market_params, weights};
use crate::event::{AlarmKind, ConfigText, EventBody, ExitSignal, OrderUpdate, Purpose, RunStart};
use crate::num::planted::{Bug, is_planted};
use crate::num::{Lots, TimeNs};
use crate::risk::config::{ConfigError, Settings};
use crate::risk::off;
use crate::trade::{LiveOrder, OrderState, Step};

impl Engine {
    /// `before` is when the event in front of this one came.
    pub(super) fn on_start(&mut self, start: &RunStart, before: TimeNs, out: &mut Outbox) {
        let again = self.epoch != 0 && start.epoch > self.epoch;
        // A start announced twice goes on counting: ids are never issued again.
        if start.epoch > self.epoch {
            (self.epoch, self.sequence) = (start.epoch, 0);
        }
        self.resting_stops = start.resting_stops;
        self.rule_voters = start.rule_voters;
        if again {
            self.begin_recovery(before, out);
        }
    }

    /// Nobody listened for a while. Orders without an answer may exist; everything else is as it was
    /// until the venue's words say otherwise.
    fn begin_recovery(&mut self, before: TimeNs, out: &mut Outbox) {
        self.unheard_since.get_or_insert(before);
        (self.restarted, self.recovering) = (Some(self.now), true);
        // What is held is stated anew; what is not may have been stated for the last time.
        self.disputed.fill(None);
        self.left_alone.fill(Lots::ZERO);
        if let Some(to) = self.stopped_from.take()
            && let Some(from) = self.controller.go_on_as(to)
        {
            self.say_state(from, AlarmKind::Operator, out);
        }
        for t in 0..self.trades.len() {
            let trade = &mut self.trades[t];
            // What the price did meanwhile is not known; the next price tells.
            trade.protection.beyond_since = None;
            for order in trade.orders.iter_mut().filter(|order| order.state == OrderState::Sent) {
                order.state = OrderState::Unknown;
            }
            let entry = trade.order(trade.id).map(|order| order.state);
            if entry == Some(OrderState::Unknown) && trade.entry.quantity.0 == 0 {
                self.advance(t, Step::AnswerMissing, out);
            }
        }
    }

    /// The venue has said what became of everything.
    pub(super) fn end_recovery(&mut self, out: &mut Outbox) {
        if self.unheard_since.take().is_some() {
            // What it says of positions counts from here: what explains it has only just come.
            self.renew_disputes();
        }
        if !std::mem::take(&mut self.recovering) {
            return;
        }
        if is_planted(Bug::ReconcileFlattens) {
            self.flatten(ExitSignal::Flatten, out);
        }
        // Backwards, because maintaining a trade may remove it.
        for t in (0..self.trades.len()).rev() {
            self.maintain(t, out);
        }
    }

    /// Whether the venue can't say what became of an order: of one of an earlier start when it was asked
    /// for everything, of one of this start when the venue can't act on it any more.
    pub(super) fn is_lost(&self, order: &LiveOrder) -> bool {
        let late = self.is_of_earlier_start(order) || self.is_late(order);
        !self.recovering && order.state == OrderState::Unknown && late
    }

    /// Whether "not found" means that an order will not come any more, earlier than it would mean that
    /// of a fresh one.
    pub(super) fn is_lost_for_good(&self, t: usize, order: &LiveOrder) -> bool {
        // A position that has to go must not wait for an exit: if one comes after all, it closes what has to
        // go, or finds nothing. Of a part that comes twice that can't be said. A stop may rest all the same: a
        // fresh conditional order can be unqueryable for a while.
        order.purpose == Purpose::Exit && self.trades[t].closing.is_some() && self.is_late(order)
    }

    /// The venue can't act on it any more, if it has not.
    fn is_late(&self, order: &LiveOrder) -> bool {
        self.now.since(order.sent_ns) >= OrderUpdate::LOST_AFTER_NS
    }

    fn is_of_earlier_start(&self, order: &LiveOrder) -> bool {
        self.restarted.is_some_and(|at| order.sent_ns < at)
    }

    /// From when a deadline counts that began at `since`: while nobody ran, nobody could keep it.
    pub(super) fn counted_from(&self, since: TimeNs) -> TimeNs {
        self.restarted.map_or(since, |at| since.max(at))
    }

    /// Takes other settings. Positions keep their levels, which the rules go on from; indicators whose
    /// periods changed begin anew and need history. Not in `step`: it allocates.
    pub fn reconfigure(&mut self, settings: &Settings) {
        let params = market_params(settings);
        if params != market_params(&self.settings) {
            self.markets.iter_mut().for_each(|market| market.begin_anew(params));
            self.voters.fill_with(Default::default);
        }
        self.settings = off::in_force(settings);
        self.weights = weights(settings);
        let named = settings
            .regime_symbol
            .and_then(|symbol| self.markets.iter().position(|market| market.instrument.symbol == symbol));
        self.regime = named.map(|index| crate::num::InstrumentId(index as u16));
    }

    /// The start in force: high half of the order ids.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Since when the venue may have said something on orders and fills that was not taken in; the
    /// newest event's time at the least.
    pub fn unheard_since(&self) -> TimeNs {
        self.unheard_since.unwrap_or(self.now)
    }

    /// Fills applied already, by instrument and the venue's trade id: the newest of them.
    pub fn fills_applied(&self) -> impl Iterator<Item = (crate::num::InstrumentId, i64)> {
        self.fills.iter()
    }

    /// The run was told to end: the next start goes on as before that.
    pub fn is_told_to_end(&self) -> bool {
        self.stopped_from.is_some()
    }

    /// A start after another has not heard from the venue yet.
    pub fn is_recovering(&self) -> bool {
        self.recovering
    }
}

/// Why the settings of a journal can't be had.
#[derive(Debug, thiserror::Error)]
pub enum SettingsPiecesError {
    #[error("piece {found} of the settings, where piece {expected} of {pieces} was expected")]
    OutOfOrder { expected: usize, pieces: usize, found: u16 },
    #[error("the settings are no text")]
    NotText,
    #[error("the settings: {0}")]
    Settings(#[from] ConfigError),
}

/// Puts journaled settings together: pieces of text, in order.
#[derive(Clone, Debug, Default)]
pub struct SettingsPieces {
    text: Vec<u8>,
    next: usize,
}

impl SettingsPieces {
    /// The next piece; the settings with the last one.
    ///
    /// # Errors
    /// See [`SettingsPiecesError`]; what was collected is given up.
    pub fn take(&mut self, piece: &ConfigText) -> Result<Option<Settings>, SettingsPiecesError> {
        let (expected, pieces) = (self.next, usize::from(piece.pieces));
        if usize::from(piece.piece) != expected || expected >= pieces {
            *self = SettingsPieces::default();
            return Err(SettingsPiecesError::OutOfOrder { expected, pieces, found: piece.piece });
        }
        self.text.extend(piece.bytes());
        self.next += 1;
        if self.next < pieces {
            return Ok(None);
        }
        let text = std::mem::take(self).text;
        let text = str::from_utf8(&text).map_err(|_| SettingsPiecesError::NotText)?;
        Ok(Some(Settings::from_toml(text)?))
    }
}

/// Settings that change while an engine runs: announced by ConfigChange, in force with the last piece.
#[derive(Clone, Debug, Default)]
pub struct SettingsChange {
    announced: bool,
    pieces: SettingsPieces,
}

impl SettingsChange {
    /// Whether an event is one to show to [`SettingsChange::take`]. Looked at for every event.
    #[inline]
    pub fn concerns(&self, body: &EventBody) -> bool {
        matches!(body, EventBody::ConfigChange(_))
            || (self.announced && matches!(body, EventBody::ConfigText(_)))
    }

    /// Takes the event in that `engine` has just stepped through. `true` if its settings changed.
    ///
    /// # Errors
    /// See [`SettingsPiecesError`]; the engine keeps its settings.
    pub fn take(&mut self, body: &EventBody, engine: &mut Engine) -> Result<bool, SettingsPiecesError> {
        match body {
            EventBody::ConfigChange(_) => *self = SettingsChange { announced: true, ..Default::default() },
            EventBody::ConfigText(piece) if self.announced => {
                let complete = self.pieces.take(piece).inspect_err(|_| self.announced = false)?;
                if let Some(settings) = complete {
                    self.announced = false;
                    engine.reconfigure(&settings);
                    return Ok(true);
                }
            }
            _ => {}
        }
        Ok(false)
    }
}
