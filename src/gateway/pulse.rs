//! Whether a websocket that says nothing still lives. One whose other end is gone is as quiet as one of
//! which nothing is to be told; a ping tells them apart before an order finds out.

use super::io::{Link, Outputs, Stream};
use super::machine::Gateway;
use crate::num::{NS_PER_SEC, TimeNs};

/// A connection that was quiet for so long is asked. The venue takes several control messages a second.
const QUIET_NS: i64 = 2 * NS_PER_SEC;
/// And is dead without a word for so long after that: as long as an answer may take.
const WORD_DUE_NS: i64 = 10 * NS_PER_SEC;
/// Who was not looked at for longer may have said something meanwhile.
const LOOK_NS_MAX: i64 = NS_PER_SEC;

/// One connection's.
#[derive(Debug)]
pub(super) struct Pulse {
    heard_ns: TimeNs,
    looked_ns: TimeNs,
    asked_ns: Option<TimeNs>,
    /// It has answered a ping before: who never does is not judged by it.
    answers: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beat {
    Steady,
    /// A ping is due.
    Ask,
    /// Nobody is there any more.
    Gone,
}

impl Pulse {
    pub fn new(now: TimeNs) -> Pulse {
        Pulse { heard_ns: now, looked_ns: now, asked_ns: None, answers: false }
    }

    /// It opened, or said something.
    pub fn heard(&mut self, now: TimeNs) {
        (self.heard_ns, self.asked_ns) = (now, None);
    }

    pub fn answered(&mut self, now: TimeNs) {
        self.answers = true;
        self.heard(now);
    }

    /// To be looked at more often than [`LOOK_NS_MAX`].
    pub fn look(&mut self, now: TimeNs) -> Beat {
        if now.since(std::mem::replace(&mut self.looked_ns, now)) > LOOK_NS_MAX {
            self.heard(now);
        }
        match self.asked_ns {
            None if now.since(self.heard_ns) >= QUIET_NS => {
                self.asked_ns = Some(now);
                Beat::Ask
            }
            Some(asked) if now.since(asked) >= WORD_DUE_NS => {
                self.heard(now);
                if self.answers { Beat::Gone } else { Beat::Steady }
            }
            _ => Beat::Steady,
        }
    }
}

impl Gateway {
    pub(super) fn on_pong(&mut self, now: TimeNs, stream: Stream) {
        match stream {
            Stream::Orders => self.order_pulse.answered(now),
            Stream::User => self.session.pulse.answered(now),
        }
    }

    /// Asks what is quiet whether it lives, and gives up what does not.
    pub(super) fn feel_pulses(&mut self, now: TimeNs, out: &mut Outputs) {
        if !self.config.pings || self.is_silent() {
            return;
        }
        if self.order_link() == Link::Up {
            match self.order_pulse.look(now) {
                Beat::Steady => {}
                Beat::Ask => out.pings.push(Stream::Orders),
                Beat::Gone => out.reopen_orders = true,
            }
        }
        if self.session.is_open() {
            match self.session.pulse.look(now) {
                Beat::Steady => {}
                Beat::Ask => out.pings.push(Stream::User),
                Beat::Gone => self.give_up_session(now, out),
            }
        }
    }
}
