//! Lockstep between an engine and a venue that are joined by sockets: who may go on, and how far.
//!
//! The messages themselves travel by websocket and HTTP, as they would live. Beside them, in shared
//! memory and not in the dialect, the engine asks the venue to go on to at most a time, and the venue
//! answers what it then did: one market frame, one report, or nothing. Counters tell each side that
//! what the other sent has arrived, so that a run at full speed is as deterministic as one without
//! sockets.
//!
//! ```text
//!  engine ── ask(limit, pushed) ──────────────────> venue   waits until received + withheld = pushed,
//!  engine <───────────── answer(turn, now, next) ── venue   then does the next thing due by limit
//!  engine ── instructions (queue) ──> gateway ── requests (socket) ──> venue     counted in received
//!  engine <── events (channel) ────── gateway <── messages (socket) ── venue     counted in said, heard
//! ```
//!
//! Each counter has one writer and only grows.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU64, Ordering};

use crate::num::TimeNs;

/// What the venue did when asked to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Turn {
    /// It sent one frame on the public connection.
    Public = 0,
    /// It sent one frame on the market connection.
    Market = 1,
    /// It sent one report, to the order API, the user stream or both.
    Report = 2,
    /// Nothing was due by the limit.
    Nothing = 3,
    /// The market can't be read on; the server has the reason.
    Fault = 4,
}

const TURNS: [Turn; 5] = [Turn::Public, Turn::Market, Turn::Report, Turn::Nothing, Turn::Fault];

/// The engine's question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Counts questions, from 1.
    pub number: u64,
    /// Go no further than this: reports due by it, frames due before it (`super::exchange`).
    pub limit: TimeNs,
    /// The run ends: no frames any more, only what is still on its way.
    pub settle: bool,
    /// Instructions the engine has handed to the gateway so far.
    pub pushed: u64,
}

/// The venue's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    pub turn: Turn,
    /// The simulated time it happened at; the limit if nothing did.
    pub now: TimeNs,
    /// When the market's next frame is due; `None` after the last.
    pub next_frame: Option<TimeNs>,
    /// Messages sent to the gateway so far.
    pub said: u64,
}

/// Shared by engine, gateway and venue.
#[derive(Debug, Default)]
pub struct Baton {
    asked: AtomicU64,
    limit: AtomicI64,
    settle: AtomicBool,
    pushed: AtomicU64,
    answered: AtomicU64,
    turn: AtomicU8,
    now: AtomicI64,
    next_frame: AtomicI64,
    said: AtomicU64,
    received: AtomicU64,
    withheld: AtomicU64,
    heard: AtomicU64,
    /// One side is gone: nobody waits any more.
    over: AtomicBool,
}

impl Baton {
    /// Engine: asks the venue to go on. One question at a time.
    pub fn ask(&self, ask: Ask) {
        self.limit.store(ask.limit.0, Ordering::Relaxed);
        self.settle.store(ask.settle, Ordering::Relaxed);
        self.pushed.store(ask.pushed, Ordering::Relaxed);
        self.asked.store(ask.number, Ordering::Release);
    }

    /// Venue: the question after number `last`.
    pub fn asked(&self, last: u64) -> Option<Ask> {
        let number = self.asked.load(Ordering::Acquire);
        (number > last).then(|| Ask {
            number,
            limit: TimeNs(self.limit.load(Ordering::Relaxed)),
            settle: self.settle.load(Ordering::Relaxed),
            pushed: self.pushed.load(Ordering::Relaxed),
        })
    }

    /// Venue: whether everything the engine pushed before it asked has arrived or was withheld.
    pub fn is_settled(&self, ask: &Ask) -> bool {
        self.received.load(Ordering::Acquire) + self.withheld.load(Ordering::Acquire) >= ask.pushed
    }

    /// Venue: answers question `number`, after what it tells of was written to the socket's queue.
    pub fn answer(&self, number: u64, answer: Answer) {
        self.turn.store(answer.turn as u8, Ordering::Relaxed);
        self.now.store(answer.now.0, Ordering::Relaxed);
        self.next_frame.store(answer.next_frame.map_or(i64::MAX, |next| next.0), Ordering::Relaxed);
        self.said.store(answer.said, Ordering::Relaxed);
        self.answered.store(number, Ordering::Release);
    }

    /// Engine: the answer to question `number`, once it is there.
    pub fn answered(&self, number: u64) -> Option<Answer> {
        if self.answered.load(Ordering::Acquire) != number {
            return None;
        }
        let next = self.next_frame.load(Ordering::Relaxed);
        Some(Answer {
            turn: TURNS[usize::from(self.turn.load(Ordering::Relaxed)) % TURNS.len()],
            now: TimeNs(self.now.load(Ordering::Relaxed)),
            next_frame: (next != i64::MAX).then_some(TimeNs(next)),
            said: self.said.load(Ordering::Relaxed),
        })
    }

    /// Venue: another request about an order arrived. Returns how many have.
    pub fn count_received(&self) -> u64 {
        self.received.fetch_add(1, Ordering::AcqRel) + 1
    }

    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Acquire)
    }

    /// Gateway: so many instructions did not and will not become a request.
    pub fn count_withheld(&self, instructions: u64) {
        self.withheld.fetch_add(instructions, Ordering::AcqRel);
    }

    /// Gateway: so many messages were taken in, and their events are in the channel.
    pub fn count_heard(&self, messages: u64) {
        self.heard.fetch_add(messages, Ordering::AcqRel);
    }

    /// Engine: whether the gateway has taken in everything the venue had said by `answer`.
    pub fn is_heard(&self, answer: &Answer) -> bool {
        self.heard.load(Ordering::Acquire) >= answer.said
    }

    /// Ends every wait: one side stops.
    pub fn end(&self) {
        self.over.store(true, Ordering::Release);
    }

    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_answered_once_what_was_pushed_has_arrived() {
        let baton = Baton::default();
        assert_eq!(baton.asked(0), None);
        let ask = Ask { number: 1, limit: TimeNs(50), settle: false, pushed: 3 };
        baton.ask(ask);
        assert_eq!((baton.asked(0), baton.asked(1)), (Some(ask), None));
        assert!(!baton.is_settled(&ask));
        assert_eq!((baton.count_received(), baton.count_received()), (1, 2));
        assert!(!baton.is_settled(&ask));
        baton.count_withheld(1);
        assert!(baton.is_settled(&ask));

        let answer = Answer { turn: Turn::Report, now: TimeNs(40), next_frame: None, said: 2 };
        assert_eq!(baton.answered(1), None);
        baton.answer(1, answer);
        assert_eq!((baton.answered(1), baton.answered(2)), (Some(answer), None));
        baton.count_heard(1);
        assert!(!baton.is_heard(&answer));
        baton.count_heard(1);
        assert!(baton.is_heard(&answer));
    }

    #[test]
    fn every_turn_survives_the_crossing() {
        let baton = Baton::default();
        for (number, turn) in TURNS.into_iter().enumerate() {
            assert_eq!(turn as usize, number);
            let answer = Answer { turn, now: TimeNs(7), next_frame: Some(TimeNs(9)), said: 0 };
            baton.answer(number as u64 + 1, answer);
            assert_eq!(baton.answered(number as u64 + 1), Some(answer));
        }
    }

    #[test]
    fn the_end_is_seen_by_everybody() {
        let baton = Baton::default();
        assert!(!baton.is_over());
        baton.end();
        assert!(baton.is_over());
    }
}
