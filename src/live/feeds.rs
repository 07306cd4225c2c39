//! The market connections, as the hot thread has them: polled in turn, each within its budget.

use super::opener::{Handed, OpenerEnds, Socket};
use crate::event::{Feed, FeedState, FeedStatus};
use crate::host::alloc::thread_allocations;
use crate::num::{NS_PER_SEC, TimeNs};
use crate::wire::{Counters, FrameRef, State};

/// Connections end after 24 hours at the latest (venue, "Websocket Market Streams"): the successor is
/// opened an hour before.
const AGE_NS_MAX: i64 = 23 * 3_600 * NS_PER_SEC;

/// How long connections may be silent and how old they may get, in time of the engine's clock.
#[derive(Clone, Copy, Debug)]
pub struct Lifetimes {
    /// A connection without a message for longer is dead, whatever its pings say; `None`: never.
    pub stale_ns: Option<i64>,
    /// An older one gets a successor; `None`: never.
    pub age_ns: Option<i64>,
}

impl Lifetimes {
    /// In lockstep: hours may pass between two messages, and each is awaited on the connection it was
    /// sent to.
    pub const ENDLESS: Lifetimes = Lifetimes { stale_ns: None, age_ns: None };

    /// By the clock: successors before the venue ends a connection.
    pub const fn clocked(stale_ns: Option<i64>) -> Lifetimes {
        Lifetimes { stale_ns, age_ns: Some(AGE_NS_MAX) }
    }
}

/// What a poll did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Polled {
    /// Messages handed out.
    pub frames: u32,
    /// What polling connections over TLS allocated, `sink` included.
    pub tls_allocations: u64,
}

/// One address.
struct Line {
    feed: Feed,
    secure: bool,
    socket: Option<Socket>,
    ageing: bool,
}

/// All market connections.
pub struct Feeds {
    lines: Vec<Line>,
    ends: OpenerEnds,
    /// The line that is polled first, so that none is always last.
    first: usize,
    lifetimes: Lifetimes,
    /// Of connections that ended.
    ended: Counters,
}

impl Feeds {
    /// `lines`: what each address of the opener carries, and whether it is over TLS.
    pub fn new(lines: &[(Feed, bool)], ends: OpenerEnds, lifetimes: Lifetimes) -> Feeds {
        let line = |(feed, secure): &(Feed, bool)| Line {
            feed: *feed,
            secure: *secure,
            socket: None,
            ageing: false,
        };
        let lines = lines.iter().map(line).collect();
        Feeds { lines, ends, first: 0, lifetimes, ended: Counters::default() }
    }

    /// Polls every connection once, beginning with another one each time. `sink` gets whole messages
    /// and whether they came over TLS.
    pub fn poll(&mut self, now: TimeNs, mut sink: impl FnMut(bool, FrameRef<'_>)) -> Polled {
        let count = self.lines.len();
        let mut polled = Polled::default();
        for offset in 0..count {
            let index = (self.first + offset) % count;
            let Some(line) = self.lines.get_mut(index) else { continue };
            let secure = line.secure;
            let before = thread_allocations();
            if let Some(socket) = line.socket.as_mut() {
                polled.frames += socket.poll(now, &mut |frame| sink(secure, frame)).frames;
            }
            if secure {
                polled.tls_allocations += thread_allocations() - before;
            }
        }
        self.first = (self.first + 1) % count.max(1);
        polled
    }

    /// Polls the connections of one feed only.
    pub fn poll_feed(&mut self, feed: Feed, now: TimeNs, mut sink: impl FnMut(FrameRef<'_>)) -> u32 {
        let sockets = self.lines.iter_mut().filter(|line| line.feed == feed);
        sockets.filter_map(|line| line.socket.as_mut()).map(|socket| socket.poll(now, &mut sink).frames).sum()
    }

    /// Takes over what was opened, hands in what was lost, and says what changed: one change a call, so
    /// that the caller can make room for each. Call it every cycle until there is none: it is a few
    /// comparisons while nothing changes.
    pub fn tend(&mut self, now: TimeNs) -> Option<FeedStatus> {
        while let Ok((index, socket)) = self.ends.opened.pop() {
            if let Some(status) = self.take_over(index, socket, now) {
                return Some(status);
            }
        }
        (0..self.lines.len()).find_map(|index| self.look_after(index, now))
    }

    /// A feed of several addresses is up when all of them are; a successor changes nothing about that.
    fn take_over(&mut self, index: usize, socket: Socket, now: TimeNs) -> Option<FeedStatus> {
        let line = self.lines.get_mut(index)?;
        let feed = line.feed;
        line.ageing = false;
        if let Some(old) = line.socket.replace(socket) {
            self.ended.add(old.counters());
            // Room for one of each kind of each line was made.
            let _ = self.ends.handed.push(Handed::Retired(old));
            return None;
        }
        let is_up = self.lines.iter().all(|line| line.feed != feed || line.socket.is_some());
        is_up.then(|| status(feed, FeedState::Up, now))
    }

    fn look_after(&mut self, index: usize, now: TimeNs) -> Option<FeedStatus> {
        let Lifetimes { stale_ns, age_ns } = self.lifetimes;
        let line = self.lines.get_mut(index)?;
        let socket = line.socket.as_ref()?;
        let silent = stale_ns.is_some_and(|limit| now.since(socket.last_frame_ns()) > limit);
        if socket.state() == State::Closed || silent {
            let lost = line.socket.take()?;
            line.ageing = false;
            self.ended.add(lost.counters());
            let _ = self.ends.handed.push(Handed::Lost(index, lost));
            let state = if silent { FeedState::Stale } else { FeedState::Down };
            return Some(status(line.feed, state, now));
        }
        let old = age_ns.is_some_and(|limit| now.since(socket.opened_ns()) > limit);
        if old && !line.ageing {
            line.ageing = self.ends.handed.push(Handed::Ageing(index)).is_ok();
        }
        None
    }

    pub fn all_up(&self) -> bool {
        self.lines.iter().all(|line| line.socket.is_some())
    }

    /// Symbols of the feeds without a connection, for whoever waits for them.
    pub fn missing(&self) -> impl Iterator<Item = Feed> {
        self.lines.iter().filter(|line| line.socket.is_none()).map(|line| line.feed)
    }

    /// Counts of all connections, past and present.
    pub fn counters(&self) -> Counters {
        let mut sum = self.ended;
        for socket in self.lines.iter().filter_map(|line| line.socket.as_ref()) {
            sum.add(socket.counters());
        }
        sum
    }
}

fn status(feed: Feed, state: FeedState, now: TimeNs) -> FeedStatus {
    FeedStatus { since_ms: now.ms(), feed, state, pad: [0; 6] }
}
