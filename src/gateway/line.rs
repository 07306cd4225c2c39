//! One websocket of the gateway: opened off its thread, polled on it, replaced before the venue ends it.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use mio::net::TcpStream;

use crate::num::{NS_PER_SEC, TimeNs};
use crate::wire::{Connection, Connector, Counters, SendError, State, UpgradeError, Url, WireError};

/// An attempt that takes longer has failed.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections end after 24 hours at the latest: the successor is opened an hour before.
const AGE_NS_MAX: i64 = 23 * 3_600 * NS_PER_SEC;
/// After it has a successor, a connection is heard for as long as an answer may take.
const RETIRING_NS: i64 = 15 * NS_PER_SEC;
/// Between two attempts at a successor.
const SUCCESSOR_RETRY_NS: i64 = 60 * NS_PER_SEC;

type Socket = Connection<TcpStream>;
/// What came of it. A failed one has no more to say, but for a venue that wants to be left alone.
type Attempt = Result<Socket, Option<TurnedAway>>;

/// HTTP status of a refused upgrade, and its `Retry-After` in seconds.
pub type TurnedAway = (u16, Option<u32>);

/// What changed about a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Opened,
    /// The connection ended, or could not be opened.
    Lost,
}

/// What became of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    Yes,
    /// The socket took nothing of it.
    No,
    /// The connection ended while it was written.
    Perhaps,
}

/// An address and its connection.
pub struct Line {
    connector: Connector,
    url: Option<Arc<Url>>,
    socket: Option<Socket>,
    /// The one before, with when it may go.
    retiring: Option<(Socket, TimeNs)>,
    attempts: Receiver<(u64, Attempt)>,
    attempts_in: Sender<(u64, Attempt)>,
    /// Of the attempt under way; results of others are of no use any more.
    attempt: Option<u64>,
    last_attempt: u64,
    successor_at: TimeNs,
    /// Nothing at all for so long is a dead connection; `None`: never.
    stale_ns: Option<i64>,
    /// An older connection gets a successor; `None`: never.
    age_ns: Option<i64>,
    turned_away: Option<TurnedAway>,
    pongs_seen: u64,
    ended: Counters,
}

impl Line {
    pub fn new(connector: Connector, stale_ns: Option<i64>) -> Line {
        let (attempts_in, attempts) = mpsc::channel();
        Line {
            connector,
            url: None,
            socket: None,
            retiring: None,
            attempts,
            attempts_in,
            attempt: None,
            last_attempt: 0,
            successor_at: TimeNs(i64::MIN),
            stale_ns,
            age_ns: Some(AGE_NS_MAX),
            turned_away: None,
            pongs_seen: 0,
            ended: Counters::default(),
        }
    }

    /// In lockstep hours may pass between two messages, and each is awaited on the connection it was
    /// sent to.
    pub fn without_successors(mut self) -> Line {
        self.age_ns = None;
        self
    }

    /// A line that is open already.
    pub fn adopt(mut self, url: Url, socket: Socket) -> Line {
        (self.url, self.socket) = (Some(Arc::new(url)), Some(socket));
        self
    }

    /// Begins to open an address; what was open is closed when it has.
    pub fn open(&mut self, url: Url, now: TimeNs) {
        self.url = Some(Arc::new(url));
        // One under way is to the address before.
        self.attempt = None;
        self.reopen(now);
    }

    /// Begins to open the address it has, unless an attempt is under way.
    pub fn reopen(&mut self, now: TimeNs) {
        let Some(url) = self.url.clone().filter(|_| self.attempt.is_none()) else { return };
        self.last_attempt += 1;
        let (number, connector, results) =
            (self.last_attempt, self.connector.clone(), self.attempts_in.clone());
        self.attempt = Some(number);
        let attempt = move || {
            let opened = connector.open(&url, Instant::now() + OPEN_TIMEOUT);
            let result = opened.map(|open| Connection::new(open, now)).map_err(|error| turned_away(&error));
            // Nobody waits any more once the gateway has ended.
            let _ = results.send((number, result));
        };
        if thread::Builder::new().name("qtx-open".to_owned()).spawn(attempt).is_err() {
            let _ = self.attempts_in.send((number, Err(None)));
        }
    }

    /// Drops the connection and forgets the address.
    pub fn close(&mut self, now: TimeNs) {
        self.attempt = None;
        self.url = None;
        self.end_socket(now);
    }

    /// Ends the connection; the address is kept.
    pub fn end_socket(&mut self, now: TimeNs) {
        if let Some(mut socket) = self.socket.take() {
            socket.close(now);
            self.ended.add(socket.counters());
        }
    }

    /// Takes over what was opened and notices what was lost. Without `may_open` nothing new is opened.
    pub fn tend(&mut self, now: TimeNs, may_open: bool) -> Option<Change> {
        if self
            .retiring
            .as_ref()
            .is_some_and(|(socket, until)| socket.state() == State::Closed || now >= *until)
            && let Some((socket, _)) = self.retiring.take()
        {
            self.ended.add(socket.counters());
        }
        if let Ok((number, opened)) = self.attempts.try_recv()
            && self.attempt.take_if(|attempt| *attempt == number).is_some()
        {
            return self.attempted(opened, now);
        }
        let socket = self.socket.as_ref()?;
        let stale = self.stale_ns.is_some_and(|limit| socket.is_stale(now, limit));
        if socket.state() == State::Closed || stale {
            self.end_socket(now);
            return Some(Change::Lost);
        }
        let old = self.age_ns.is_some_and(|limit| now.since(socket.opened_ns()) > limit);
        if old && may_open && now >= self.successor_at {
            self.successor_at = now + SUCCESSOR_RETRY_NS;
            self.reopen(now);
        }
        None
    }

    fn attempted(&mut self, opened: Attempt, now: TimeNs) -> Option<Change> {
        let socket = match opened {
            Ok(socket) => socket,
            Err(refused) => {
                self.turned_away = refused;
                // Without a successor the connection goes on as long as it lasts.
                return if self.socket.is_none() { Some(Change::Lost) } else { None };
            }
        };
        match self.socket.replace(socket) {
            None => Some(Change::Opened),
            Some(old) => {
                self.retiring = Some((old, now + RETIRING_NS));
                None
            }
        }
    }

    /// What the venue said when it last refused to open a connection, once.
    pub fn take_turned_away(&mut self) -> Option<TurnedAway> {
        self.turned_away.take()
    }

    /// Hands the texts that came to `sink`: one poll's share, of both connections if there are two.
    /// Returns how many there were.
    pub fn poll(&mut self, now: TimeNs, mut sink: impl FnMut(&[u8])) -> u32 {
        let sockets = self.retiring.iter_mut().map(|(socket, _)| socket).chain(self.socket.as_mut());
        sockets.map(|socket| socket.poll(now, &mut |frame| sink(frame.payload)).frames).sum()
    }

    pub fn send(&mut self, text: &[u8]) -> Sent {
        let Some(socket) = self.socket.as_mut().filter(|socket| socket.state() == State::Open) else {
            return Sent::No;
        };
        match socket.send_text(text) {
            Ok(()) => Sent::Yes,
            Err(SendError::Full | SendError::TooLong) => Sent::No,
            // It was open, so some of it may be out.
            Err(SendError::NotOpen) => Sent::Perhaps,
        }
    }

    /// Asks the connection whether it lives, if it has room for that.
    pub fn ping(&mut self) {
        if let Some(socket) = self.socket.as_mut() {
            let _ = socket.ping();
        }
    }

    /// Whether a ping was answered since the last look, by whichever connection.
    pub fn take_pong(&mut self) -> bool {
        let pongs = self.counters().pongs_received;
        std::mem::replace(&mut self.pongs_seen, pongs) < pongs
    }

    pub fn unsent_bytes(&self) -> usize {
        self.socket.as_ref().map_or(0, Connection::unsent_bytes)
    }

    pub fn is_open(&self) -> bool {
        self.socket.is_some()
    }

    /// Counts of all connections, past and present.
    pub fn counters(&self) -> Counters {
        let mut sum = self.ended;
        for socket in self.socket.iter().chain(self.retiring.iter().map(|(socket, _)| socket)) {
            sum.add(socket.counters());
        }
        sum
    }
}

/// A refusal that says something about us rather than about the connection.
fn turned_away(error: &WireError) -> Option<TurnedAway> {
    match error {
        WireError::Upgrade(UpgradeError::Status { code, retry_after_s }) => Some((*code, *retry_after_s)),
        _ => None,
    }
}
