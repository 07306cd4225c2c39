//! The market connections, as the hot thread has them: polled in turn, each within its budget.

use super::opener::{Handed, OpenerEnds, Socket};
use crate::event::{Feed, FeedState, FeedStatus};
use crate::num::{NS_PER_SEC, TimeNs};
use crate::wire::{Counters, FrameRef, State};

/// Connections end after 24 hours at the latest (venue, "Websocket Market Streams"): the successor is
/// opened an hour before.
const AGE_NS_MAX: i64 = 23 * 3_600 * NS_PER_SEC;

/// One address.
struct Line {
    feed: Feed,
    secure: bool,
    socket: Option<Socket>,
    /// As last told to the engine.
    state: FeedState,
    ageing: bool,
}

/// All market connections.
pub struct Feeds {
    lines: Vec<Line>,
    ends: OpenerEnds,
    /// The line that is polled first, so that none is always last.
    first: usize,
    /// A connection without a message for longer is dead, whatever its pings say; `None`: never.
    stale_ns: Option<i64>,
    /// Of connections that ended.
    ended: Counters,
}

impl Feeds {
    /// `lines`: what each address of the opener carries, and whether it is over TLS.
    pub fn new(lines: &[(Feed, bool)], ends: OpenerEnds, stale_ns: Option<i64>) -> Feeds {
        let line = |(feed, secure): &(Feed, bool)| Line {
            feed: *feed,
            secure: *secure,
            socket: None,
            state: FeedState::Down,
            ageing: false,
        };
        let lines = lines.iter().map(line).collect();
        Feeds { lines, ends, first: 0, stale_ns, ended: Counters::default() }
    }

    /// Polls every connection once, beginning with another one each time. `sink` gets whole messages
    /// and whether they came over TLS. Returns how many there were.
    pub fn poll(&mut self, now: TimeNs, mut sink: impl FnMut(bool, FrameRef<'_>)) -> u32 {
        let count = self.lines.len();
        let mut frames = 0;
        for offset in 0..count {
            let index = (self.first + offset) % count;
            let Some(line) = self.lines.get_mut(index) else { continue };
            let secure = line.secure;
            if let Some(socket) = line.socket.as_mut() {
                frames += socket.poll(now, &mut |frame| sink(secure, frame)).frames;
            }
        }
        self.first = (self.first + 1) % count.max(1);
        frames
    }

    /// Polls the connections of one feed only.
    pub fn poll_feed(&mut self, feed: Feed, now: TimeNs, mut sink: impl FnMut(FrameRef<'_>)) -> u32 {
        let sockets = self.lines.iter_mut().filter(|line| line.feed == feed);
        sockets.filter_map(|line| line.socket.as_mut()).map(|socket| socket.poll(now, &mut sink).frames).sum()
    }

    /// Takes over what was opened, hands in what was lost, and says what changed. Call it every cycle:
    /// it is a few comparisons while nothing does.
    pub fn tend(&mut self, now: TimeNs, mut say: impl FnMut(FeedStatus)) {
        while let Ok((index, socket)) = self.ends.opened.pop() {
            let Some(line) = self.lines.get_mut(index) else { continue };
            if let Some(old) = line.socket.replace(socket) {
                self.ended.add(old.counters());
                // Room for one of each kind of each line was made.
                let _ = self.ends.handed.push(Handed::Retired(old));
            }
            line.ageing = false;
            line.change(FeedState::Up, now, &mut say);
        }
        for (index, line) in self.lines.iter_mut().enumerate() {
            let Some(socket) = line.socket.as_ref() else { continue };
            let silent = self.stale_ns.is_some_and(|limit| now.since(socket.last_frame_ns()) > limit);
            if socket.state() == State::Closed || silent {
                let state = if silent { FeedState::Stale } else { FeedState::Down };
                if let Some(lost) = line.socket.take() {
                    self.ended.add(lost.counters());
                    let _ = self.ends.handed.push(Handed::Lost(index, lost));
                }
                line.ageing = false;
                line.change(state, now, &mut say);
            } else if !line.ageing && now.since(socket.opened_ns()) > AGE_NS_MAX {
                line.ageing = self.ends.handed.push(Handed::Ageing(index)).is_ok();
            }
        }
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

impl Line {
    fn change(&mut self, state: FeedState, now: TimeNs, say: &mut impl FnMut(FeedStatus)) {
        self.state = state;
        say(FeedStatus { since_ms: now.ms(), feed: self.feed, state, pad: [0; 6] });
    }
}
