//! The life of the user stream: its listen key, its losses, and the way back.
//!
//! ```text
//!  Up ──lost, expired──> Down ──due──> Asking ──key──> Opening ──open──> Reconciling ──all asked──> Up
//!                          ^              │ refused        │ failed           │ lost
//!                          └──────────────┴────────────────┴──────────────────┘
//! ```

use std::collections::{BTreeSet, VecDeque};

use super::io::{Link, Outputs};
use super::machine::{Gateway, say_feed};
use super::pulse::Pulse;
use super::reconcile::Reconciliation;
use super::requests::What;
use super::responses::{Answer, success};
use super::unreadable::Unreadable;
use crate::event::{Event, Feed, FeedState};
use crate::num::{InstrumentId, NS_PER_SEC, TimeNs};
use crate::venue::binance::answer::ListenKey;
use crate::venue::binance::path;
use crate::venue::binance::request::{self, Verb};
use crate::wire::{Backoff, Reconnect};

/// A listen key lives for an hour after it was kept alive.
const KEEP_ALIVE_NS: i64 = 30 * 60 * NS_PER_SEC;
/// After a keepalive that failed for other reasons than the key.
const KEEP_ALIVE_AGAIN_NS: i64 = 60 * NS_PER_SEC;

#[derive(Debug)]
pub(super) enum SessionState {
    Up,
    Down {
        retry_at: TimeNs,
    },
    /// For a listen key.
    Asking,
    /// The caller opens the stream.
    Opening,
    /// The stream is there again; `Session::round` asks what it missed.
    Reconciling,
}

#[derive(Debug)]
pub(super) struct Session {
    pub state: SessionState,
    reconnect: Reconnect,
    keep_alive_at: TimeNs,
    /// The way through the questions that is under way, or waits for its turn.
    pub round: Option<Reconciliation>,
    /// What a round found of orders, until their fills are told. It outlives a round that fails, for what is
    /// taken in is not found again.
    pub held: VecDeque<Event>,
    /// When to ask everything though nothing seems to be missing.
    pub audit_at: TimeNs,
    /// What happened before is known: the last round that ended began then.
    pub known_ns: TimeNs,
    /// What is older is nobody's here.
    pub floor_ns: TimeNs,
    /// Instruments to reconcile whether or not anything of them is known to be live.
    pub reconcile_also: BTreeSet<InstrumentId>,
    pub pulse: Pulse,
    /// When the stream last said anything.
    pub heard_ns: TimeNs,
    /// When that was filled which a routine round found, and of which the stream has said nothing since.
    pub unheard: Option<TimeNs>,
    /// Whether the engine was told that the stream is down.
    told_down: bool,
}

impl Session {
    pub fn new(now: TimeNs, reconcile_ns: i64) -> Session {
        let mut reconnect = Reconnect::new(Backoff::default(), 0x7573_6572);
        reconnect.opened(now);
        Session {
            state: SessionState::Up,
            reconnect,
            keep_alive_at: now + KEEP_ALIVE_NS,
            round: None,
            held: VecDeque::new(),
            audit_at: now + reconcile_ns,
            pulse: Pulse::new(now),
            heard_ns: now,
            unheard: None,
            known_ns: now,
            floor_ns: now,
            reconcile_also: BTreeSet::new(),
            told_down: false,
        }
    }

    /// Whether there is a connection.
    pub fn is_open(&self) -> bool {
        matches!(self.state, SessionState::Up | SessionState::Reconciling)
    }
}

impl Gateway {
    /// The user stream opened or ended.
    pub(super) fn on_user_link(&mut self, now: TimeNs, link: Link, out: &mut Outputs) {
        match link {
            Link::Up => {
                self.session.heard_ns = now;
                self.session.pulse.heard(now);
                self.session.reconnect.opened(now);
                self.session.keep_alive_at = now + KEEP_ALIVE_NS;
                self.reconcile(now);
                if !self.is_silent() {
                    self.drive_reconciliation(now, out);
                }
            }
            Link::Down => {
                self.counters.user_link_losses += u64::from(self.session.is_open());
                self.lose_session(now, out);
            }
        }
    }

    pub(super) fn on_listen_key_expired(&mut self, now: TimeNs, out: &mut Outputs) {
        self.counters.listen_keys_expired += 1;
        self.give_up_session(now, out);
    }

    /// The connection stands, and is of no use.
    pub(super) fn give_up_session(&mut self, now: TimeNs, out: &mut Outputs) {
        out.close_user = true;
        self.lose_session(now, out);
    }

    pub(super) fn lose_session(&mut self, now: TimeNs, out: &mut Outputs) {
        if !self.session.told_down {
            self.session.told_down = true;
            say_feed(now, Feed::User, FeedState::Down, out);
        }
        (self.session.round, self.session.unheard) = (None, None);
        // A loss that is already being dealt with is the same loss.
        if !matches!(self.session.state, SessionState::Down { .. } | SessionState::Asking) {
            let retry_at = self.session.reconnect.ended(now);
            self.session.state = SessionState::Down { retry_at };
        }
    }

    /// Everything the stream may have missed is known.
    pub(super) fn end_reconciliation(&mut self, now: TimeNs, out: &mut Outputs) {
        self.session.state = SessionState::Up;
        self.counters.reconciliations += 1;
        let told_down = std::mem::take(&mut self.session.told_down);
        say_feed(now, Feed::User, if told_down { FeedState::Up } else { FeedState::Resynced }, out);
    }

    /// What is due by itself: a new key, a keepalive, an audit, the next try of a reconciliation.
    pub(super) fn drive_session(&mut self, now: TimeNs, out: &mut Outputs) {
        if self.is_silent() {
            return;
        }
        match &self.session.state {
            SessionState::Down { retry_at } if now >= *retry_at => {
                self.session.state = SessionState::Asking;
                let call = request::keyed(Verb::Post, path::LISTEN_KEY);
                self.queue(now, call, What::NewListenKey, InstrumentId::NONE, out);
            }
            SessionState::Up if now >= self.session.keep_alive_at => {
                self.session.keep_alive_at = now + KEEP_ALIVE_NS;
                let call = request::keyed(Verb::Put, path::LISTEN_KEY);
                self.queue(now, call, What::KeepListenKey, InstrumentId::NONE, out);
            }
            _ => {}
        }
        self.drive_reconciliation(now, out);
    }

    pub(super) fn on_listen_key(
        &mut self,
        now: TimeNs,
        answer: &Answer<'_>,
        out: &mut Outputs,
    ) -> Result<(), Unreadable> {
        if !matches!(self.session.state, SessionState::Asking) {
            return Ok(());
        }
        match answer {
            // A connection is a request as well.
            Answer::Success(_) if !self.is_silent() => {
                let ListenKey { listen_key } = success(answer)?;
                self.session.state = SessionState::Opening;
                out.open_user = Some(listen_key);
            }
            Answer::Success(_) | Answer::Refused { .. } => self.retry_session(now),
        }
        Ok(())
    }

    pub(super) fn on_listen_key_kept(&mut self, now: TimeNs, answer: &Answer<'_>, out: &mut Outputs) {
        let Answer::Refused { code, .. } = answer else { return };
        if *code == crate::venue::binance::code::INVALID_LISTEN_KEY {
            return self.on_listen_key_expired(now, out);
        }
        self.session.keep_alive_at = now + KEEP_ALIVE_AGAIN_NS;
    }

    /// A request of our own failed: what it was for is tried again later.
    pub(super) fn on_own_failure(&mut self, now: TimeNs, what: &What, out: &mut Outputs) {
        match what {
            What::Order { .. } => {}
            What::Time { at_once } => self.on_time_answer(now, now, *at_once, None, out),
            What::NewListenKey => {
                if matches!(self.session.state, SessionState::Asking) {
                    self.retry_session(now);
                }
            }
            What::KeepListenKey => self.session.keep_alive_at = now + KEEP_ALIVE_AGAIN_NS,
            What::Reconcile { round, .. } => self.fail_reconciliation(now, *round),
        }
    }

    pub(super) fn retry_session(&mut self, now: TimeNs) {
        let retry_at = self.session.reconnect.ended(now);
        self.session.state = SessionState::Down { retry_at };
    }
}
