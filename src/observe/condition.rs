//! How the engine stands: what it may do and why, what the operator asked for, which limits hold, how
//! its connections and queues are.

use std::collections::BTreeMap;

use crate::event::{
    Alarm, AlarmKind, CommandKind, EndReason, Event, EventBody, Feed, FeedState, FeedStatus, Limit,
    LimitChanged, Output, OutputBody, Queue, TradingState,
};
use crate::num::{InstrumentId, TimeNs};

/// The newest word on everything an operator can act on.
#[derive(Clone, Debug)]
pub struct Condition {
    pub state: TradingState,
    /// Why and since when; `None` while it has been ACTIVE from the start.
    pub cause: Option<(AlarmKind, TimeNs)>,
    /// Commands taken up, by kind.
    pub commands: BTreeMap<CommandKind, Taken>,
    /// What events up to this sequence number caused has been seen.
    pub settled: u64,
    /// Limits in force.
    pub limits: BTreeMap<Limit, LimitChanged>,
    pub feeds: BTreeMap<Feed, FeedStatus>,
    pub queues: BTreeMap<Queue, Share>,
    pub last_alarm: Option<LastAlarm>,
    /// A start after another, that has not heard yet what the venue did meanwhile: nothing is entered.
    pub recovering: bool,
    /// Set once the run was closed in order.
    pub ended: Option<EndReason>,
}

/// Commands of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    pub count: u64,
    /// Journal sequence number of the last.
    pub sequence: u64,
}

/// Share of a queue in use, in parts per million.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    pub now_ppm: u32,
    pub max_ppm: u32,
}

/// An alarm, and when and where.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LastAlarm {
    pub at: TimeNs,
    pub instrument: InstrumentId,
    pub alarm: Alarm,
}

impl Default for Condition {
    fn default() -> Self {
        Condition {
            state: TradingState::Active,
            cause: None,
            commands: BTreeMap::new(),
            settled: 0,
            limits: BTreeMap::new(),
            feeds: BTreeMap::new(),
            queues: BTreeMap::new(),
            last_alarm: None,
            recovering: false,
            ended: None,
        }
    }
}

impl Condition {
    /// Commands of a kind taken up so far.
    pub fn taken(&self, kind: CommandKind) -> Taken {
        self.commands.get(&kind).copied().unwrap_or_default()
    }

    pub(super) fn event(&mut self, sequence: u64, event: &Event) {
        // An event begins only when everything the one before it caused is written.
        self.settled = sequence.saturating_sub(1);
        match &event.body {
            EventBody::Command(command) => {
                let taken = self.commands.entry(command.command).or_default();
                *taken = Taken { count: taken.count + 1, sequence };
            }
            EventBody::RunStart(_) => {
                (self.recovering, self.ended) = (sequence > 1, None);
            }
            EventBody::FeedStatus(status) => {
                let heard = matches!(status.state, FeedState::Up | FeedState::Resynced);
                self.recovering &= !(status.feed == Feed::User && heard);
                self.feeds.insert(status.feed, *status);
            }
            EventBody::QueueShare(share) => {
                let kept = self.queues.entry(share.queue).or_default();
                *kept = Share { now_ppm: share.used_ppm, max_ppm: kept.max_ppm.max(share.used_ppm) };
            }
            EventBody::RunEnd(end) => self.ended = Some(end.reason),
            _ => {}
        }
    }

    pub(super) fn output(&mut self, sequence: u64, now: TimeNs, output: &Output, commit: bool) {
        match &output.body {
            OutputBody::TradingStateChanged(changed) => {
                self.state = changed.to;
                self.cause = Some((changed.cause, now));
            }
            OutputBody::LimitChanged(changed) if changed.active => {
                self.limits.insert(changed.limit, *changed);
            }
            OutputBody::LimitChanged(changed) => {
                self.limits.remove(&changed.limit);
            }
            OutputBody::Alarm(alarm) => {
                self.last_alarm = Some(LastAlarm { at: now, instrument: output.instrument, alarm: *alarm });
            }
            _ => {}
        }
        if commit {
            self.settled = sequence;
        }
    }
}
