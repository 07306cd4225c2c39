//! The thread behind the socket: takes requests, hands commands to the engine, and answers when the
//! journal has them.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, TrySendError};
use mio::net::{UnixListener, UnixStream};
use mio::{Events, Interest, Poll, Token};

use super::protocol::{Answer, Asked, Done, REQUEST_BYTES_MAX, Request, TroubleKind};
use super::session::{Heard, LINE_DEADLINE, Session};
use super::socket::is_ours;
use super::status::Subject;
use crate::event::{Command, CommandKind, Event, EventBody, TradingState};
use crate::num::{InstrumentId, TimeNs};
use crate::observe::{Shared, Stats};

/// Connections at a time: an operator, a watcher or two, and room for those that hang.
const SESSIONS_MAX: usize = 8;
/// How long a command may wait to be taken up before the answer is that it is not known.
pub const TAKE_UP_DEADLINE: Duration = Duration::from_secs(5);
/// After a command was seen, what it caused follows within the drain's next batches. With nothing
/// after it in the journal this long, it caused nothing.
const SETTLE: Duration = Duration::from_millis(50);
/// Time between looks at the journal's figures while a command waits.
const WATCH_EVERY: Duration = Duration::from_millis(1);
/// Time between looks at deadlines; new requests come at once.
const IDLE_EVERY: Duration = Duration::from_millis(250);
/// Symbols a refusal lists before it says how many more there are.
const SYMBOLS_SHOWN_MAX: usize = 20;

pub(super) const LISTENER: Token = Token(0);
pub(super) const WAKE: Token = Token(1);
const FIRST_SESSION: usize = 2;

/// A command that was handed over.
#[derive(Clone, Debug)]
struct Pending {
    kind: CommandKind,
    symbol: Option<String>,
    /// It is taken up when so many of its kind are: the inbox keeps their order.
    nth: u64,
    sent: Instant,
    /// When it was first seen in the journal.
    seen: Option<Instant>,
    state_before: TradingState,
    note: Option<&'static str>,
}

/// What a request led to.
#[derive(Debug)]
enum Reply {
    Now(Answer),
    /// Once the journal has it.
    Later(Pending),
}

/// A connection, and the command it waits for.
struct Client {
    session: Session<UnixStream>,
    pending: Option<Pending>,
}

pub(super) struct Server {
    pub poll: Poll,
    pub listener: UnixListener,
    pub subject: Subject,
    pub stats: Shared,
    pub inbox: Sender<Event>,
    pub ending: Arc<AtomicBool>,
    clients: [Option<Client>; SESSIONS_MAX],
    /// By kind: how many there will be in the journal once all that were sent are taken up.
    expected: BTreeMap<CommandKind, u64>,
}

impl Server {
    pub fn new(
        poll: Poll,
        listener: UnixListener,
        subject: Subject,
        stats: Shared,
        inbox: Sender<Event>,
        ending: Arc<AtomicBool>,
    ) -> Server {
        let clients = std::array::from_fn(|_| None);
        Server { poll, listener, subject, stats, inbox, ending, clients, expected: BTreeMap::new() }
    }

    pub fn run(mut self) {
        let mut events = Events::with_capacity(SESSIONS_MAX + FIRST_SESSION);
        while !self.ending.load(Ordering::Acquire) {
            let waiting = self.clients.iter().flatten().any(|client| client.pending.is_some());
            let timeout = if waiting { WATCH_EVERY } else { IDLE_EVERY };
            match self.poll.poll(&mut events, Some(timeout)) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return,
                _ => {}
            }
            let now = Instant::now();
            self.accept(now);
            self.serve(now);
        }
        self.say_goodbye(Instant::now());
    }

    fn accept(&mut self, now: Instant) {
        // Errors are the connecting process's, or pass; the next look tries again.
        while let Ok((mut stream, _)) = self.listener.accept() {
            let ours = is_ours(&stream);
            let free = self.clients.iter().position(Option::is_none);
            let registered = free.is_some_and(|slot| {
                let token = Token(FIRST_SESSION + slot);
                let interest = Interest::READABLE | Interest::WRITABLE;
                self.poll.registry().register(&mut stream, token, interest).is_ok()
            });
            let mut session = Session::new(stream, now);
            match free.filter(|_| ours && registered).and_then(|slot| self.clients.get_mut(slot)) {
                Some(slot) => *slot = Some(Client { session, pending: None }),
                // A fresh socket has room for a line.
                None if ours => {
                    let full = format!("{SESSIONS_MAX} connections are open already");
                    session.answer(Answer::trouble(TroubleKind::Busy, full).line(), now);
                }
                None => {
                    let whose = "this engine belongs to another user";
                    session.answer(Answer::trouble(TroubleKind::Permission, whose).line(), now);
                }
            }
        }
    }

    fn serve(&mut self, now: Instant) {
        for slot in 0..SESSIONS_MAX {
            let Some(mut client) = self.clients.get_mut(slot).and_then(Option::take) else { continue };
            let answer = match client.pending.as_mut() {
                Some(pending) => self.outcome(pending, now),
                None => match self.hear(&mut client.session, now) {
                    Some(Reply::Now(answer)) => Some(answer),
                    Some(Reply::Later(pending)) => {
                        client.pending = Some(pending);
                        None
                    }
                    None => None,
                },
            };
            if let Some(answer) = answer {
                client.pending = None;
                client.session.answer(answer.line(), now);
            }
            client.session.flush(now);
            if !client.session.is_over() {
                self.clients[slot] = Some(client); // below SESSIONS_MAX
            }
        }
    }

    /// What a request leads to, once it is whole.
    fn hear(&mut self, session: &mut Session<UnixStream>, now: Instant) -> Option<Reply> {
        let trouble = |message: String| Some(Reply::Now(Answer::trouble(TroubleKind::Request, message)));
        let line = match session.hear(now) {
            Heard::Nothing => return None,
            Heard::Line(line) => line,
            Heard::TooLong => return trouble(format!("a request has at most {REQUEST_BYTES_MAX} bytes")),
            Heard::TooLate => {
                return trouble(format!("no whole line within {} s", LINE_DEADLINE.as_secs()));
            }
        };
        let request = match Request::parse(&line) {
            Ok(request) => request,
            Err(message) => return trouble(message),
        };
        match request.asked() {
            Err(message) => trouble(message),
            Ok(Asked::Status) => {
                let status = self.subject.status(&lock(&self.stats));
                Some(Reply::Now(Answer::Status(Box::new(status))))
            }
            Ok(Asked::Command(kind, symbol)) => Some(self.send(kind, symbol, now)),
        }
    }

    /// Hands a command to the engine.
    fn send(&mut self, kind: CommandKind, symbol: Option<&str>, now: Instant) -> Reply {
        let instrument = match symbol.map(|symbol| self.subject.instruments().find(symbol).ok_or(symbol)) {
            None => InstrumentId::NONE,
            Some(Ok(instrument)) => instrument,
            Some(Err(unknown)) => {
                return Reply::Now(Answer::trouble(TroubleKind::Request, self.unknown(unknown)));
            }
        };
        let (taken, state_before, nothing_open) = {
            let stats = lock(&self.stats);
            let mut open = stats.book.trades();
            let nothing = match kind {
                CommandKind::Close => !open.any(|trade| trade.instrument == instrument),
                CommandKind::Flatten => open.next().is_none(),
                _ => false,
            };
            (stats.condition.taken(kind).count, stats.condition.state, nothing)
        };
        let body = EventBody::Command(Command { command: kind, pad: [0; 7] });
        // The time is the loop's to say, when it takes the command up.
        match self.inbox.try_send(Event { recv_ns: TimeNs(0), instrument, body }) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                let full = "the engine's inbox is full; nothing was done";
                return Reply::Now(Answer::trouble(TroubleKind::Busy, full));
            }
            Err(TrySendError::Disconnected(_)) => return Reply::Now(ending()),
        }
        let expected = self.expected.entry(kind).or_insert(taken);
        *expected = (*expected).max(taken) + 1;
        Reply::Later(Pending {
            kind,
            symbol: symbol.map(str::to_string),
            nth: *expected,
            sent: now,
            seen: None,
            state_before,
            note: nothing_open.then_some("nothing was open"),
        })
    }

    /// The answer to a command, once there is one.
    fn outcome(&self, pending: &mut Pending, now: Instant) -> Option<Answer> {
        let stats = lock(&self.stats);
        let condition = &stats.condition;
        let taken = condition.taken(pending.kind);
        if taken.count < pending.nth {
            let late = now.saturating_duration_since(pending.sent) >= TAKE_UP_DEADLINE;
            return late.then(|| {
                let waited = TAKE_UP_DEADLINE.as_secs();
                let message = format!(
                    "{} was handed over and not taken up within {waited} s: the engine or its journal is behind",
                    pending.kind
                );
                Answer::trouble(TroubleKind::Late, message)
            });
        }
        let seen = *pending.seen.get_or_insert(now);
        if condition.settled < taken.sequence && now.saturating_duration_since(seen) < SETTLE {
            return None;
        }
        let moves = matches!(pending.kind, CommandKind::Halt | CommandKind::Reduce | CommandKind::Resume);
        let unchanged = moves && condition.state == pending.state_before;
        Some(Answer::Done(Done {
            command: pending.kind.to_string(),
            symbol: pending.symbol.clone(),
            sequence: taken.sequence,
            state: condition.state.to_string(),
            cause: condition.cause.map(|(cause, _)| cause.to_string()),
            note: pending.note.or(unchanged.then_some("the state was that already")).map(str::to_string),
        }))
    }

    fn unknown(&self, symbol: &str) -> String {
        let known: Vec<&str> =
            self.subject.instruments().iter().map(|(_, row)| row.symbol.as_str()).collect();
        let some = known.get(..SYMBOLS_SHOWN_MAX).unwrap_or(&known).join(", ");
        let more = known.len().saturating_sub(SYMBOLS_SHOWN_MAX);
        let rest = if more == 0 { String::new() } else { format!(" and {more} more") };
        let shown: String = symbol.chars().take(40).collect();
        format!("{shown:?} is not an instrument of this run: {some}{rest}")
    }

    /// Commands that were taken up are said to be; whoever else waits hears that nobody will answer.
    fn say_goodbye(&mut self, now: Instant) {
        for slot in 0..SESSIONS_MAX {
            let Some(mut client) = self.clients.get_mut(slot).and_then(Option::take) else { continue };
            let outcome = client.pending.as_mut().and_then(|pending| self.outcome(pending, now));
            client.session.answer(outcome.unwrap_or_else(ending).line(), now);
        }
    }
}

fn ending() -> Answer {
    Answer::trouble(TroubleKind::Ending, "the engine is ending")
}

/// The figures; a panic elsewhere does not make them unreadable.
fn lock(stats: &Shared) -> MutexGuard<'_, Stats> {
    stats.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::Receiver;

    use super::*;
    use crate::event::record::Entry;
    use crate::event::{Instrument, InstrumentTable, Timer, btcusdt};
    use crate::observe::Lines;
    use crate::risk::config::Settings;

    fn server(folder: &tempfile::TempDir) -> (Server, Receiver<Event>) {
        let rows: Vec<Instrument> = vec![btcusdt()];
        let lines = Lines::new(InstrumentTable::new(rows).unwrap(), Settings::DEFAULT);
        let subject = Subject { journal: String::new(), lines, settings: Settings::DEFAULT };
        let listener = UnixListener::bind(folder.path().join("s")).unwrap();
        let (inbox, commands) = crossbeam_channel::bounded(4);
        let stats = Shared::default();
        (Server::new(Poll::new().unwrap(), listener, subject, stats, inbox, Default::default()), commands)
    }

    fn journal(server: &Server, sequence: u64, body: EventBody) {
        lock(&server.stats).take(sequence, &Entry::Event(Event::global(TimeNs(1), body)));
    }

    fn sent(server: &mut Server, now: Instant) -> Pending {
        match server.send(CommandKind::Halt, None, now) {
            Reply::Later(pending) => pending,
            Reply::Now(answer) => panic!("{answer:?}"),
        }
    }

    fn halt() -> EventBody {
        EventBody::Command(Command { command: CommandKind::Halt, pad: [0; 7] })
    }

    #[test]
    fn a_command_nobody_takes_up_is_late() {
        let folder = tempfile::tempdir().unwrap();
        let (mut server, _commands) = server(&folder);
        let now = Instant::now();
        let mut pending = sent(&mut server, now);
        assert!(server.outcome(&mut pending, now + TAKE_UP_DEADLINE / 2).is_none());
        let Some(Answer::Error(trouble)) = server.outcome(&mut pending, now + TAKE_UP_DEADLINE) else {
            panic!()
        };
        assert_eq!(trouble.kind, TroubleKind::Late);
        assert!(
            trouble.message.starts_with("halt was handed over and not taken up within 5 s"),
            "{trouble:?}"
        );
    }

    #[test]
    fn each_command_waits_for_itself_and_for_what_it_caused() {
        let folder = tempfile::tempdir().unwrap();
        let (mut server, _commands) = server(&folder);
        let timer = EventBody::Timer(Timer { count: 1 });
        // One that came by another road before.
        journal(&server, 1, halt());
        journal(&server, 2, timer);
        let now = Instant::now();
        let mut first = sent(&mut server, now);
        let mut second = sent(&mut server, now);
        assert!(server.outcome(&mut first, now).is_none(), "that was another one");
        journal(&server, 3, halt());
        assert!(server.outcome(&mut first, now).is_none(), "what it caused may follow");
        journal(&server, 4, timer);
        assert!(server.outcome(&mut second, now).is_none(), "that was the first one");
        let Some(Answer::Done(done)) = server.outcome(&mut first, now) else { panic!() };
        assert_eq!(done.sequence, 3);
        journal(&server, 5, halt());
        assert!(server.outcome(&mut second, now).is_none());
        let Some(Answer::Done(done)) = server.outcome(&mut second, now + SETTLE) else { panic!() };
        assert_eq!(done.sequence, 5, "nothing came after it: it caused nothing");
    }
}
