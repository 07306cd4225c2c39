//! The operator's road: what a running engine answers at its socket, and what `qtx ctl` makes of it.
//! An engine of the test's own stands behind the socket and takes commands up when the test says so.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use crossbeam_channel::Receiver;
use quantum_trader::engine::{Engine, Outbox};
use quantum_trader::event::record::{Record, encode_event, encode_output};
use quantum_trader::event::*;
use quantum_trader::live::control::{
    Answer, Control, ControlConfig, ControlError, REQUEST_BYTES_MAX, Request, SOCKET, Status, TroubleKind,
    connect,
};
use quantum_trader::num::*;
use quantum_trader::observe::{Console, Lines, Reporter};
use quantum_trader::risk::config::Settings;
use quantum_trader::venue::builtin_instruments;

const START: TimeNs = TimeNs(1_721_001_600_000_000_000);

/// An engine with its journal's reader, and the socket in front of it.
struct Rig {
    folder: tempfile::TempDir,
    control: Option<Control>,
    inbox: Option<Receiver<Event>>,
    engine: Engine,
    out: Box<Outbox>,
    reporter: Reporter,
    sequence: u64,
    now: TimeNs,
}

impl Rig {
    fn new() -> Rig {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().to_owned();
        Rig::at(folder, &dir, 16)
    }

    fn at(folder: tempfile::TempDir, dir: &Path, inbox_max: usize) -> Rig {
        let instruments = builtin_instruments("0.0005").unwrap();
        let settings = Settings::DEFAULT;
        let (reporter, stats) =
            Reporter::new(Lines::new(instruments.clone(), settings), Console::Quiet, None);
        let (commands, inbox) = crossbeam_channel::bounded(inbox_max);
        let config =
            ControlConfig { dir, instruments: &instruments, settings: &settings, stats, inbox: commands };
        let control = Control::spawn(config).unwrap();
        assert_eq!(control.path(), dir.join(SOCKET));
        let engine = Engine::new(&settings, &instruments);
        Rig {
            folder,
            control: Some(control),
            inbox: Some(inbox),
            engine,
            out: Outbox::new(),
            reporter,
            sequence: 0,
            now: START,
        }
    }

    fn dir(&self) -> &Path {
        self.folder.path()
    }

    /// One event through the engine, journaled as the drain would see it.
    fn take(&mut self, event: Event) {
        let (reporter, sequence) = (&mut self.reporter, &mut self.sequence);
        let mut journal = |record: &Record| reporter.take(record);
        *sequence += encode_event(&event, *sequence + 1, &mut journal);
        self.engine.step(&event, &mut self.out);
        let outputs = self.out.outputs();
        for (i, output) in outputs.iter().enumerate() {
            let commit = i + 1 == outputs.len();
            *sequence += encode_output(output, event.recv_ns, commit, *sequence + 1, &mut journal);
        }
    }

    /// What stands in the inbox, then a timer, as a loop has it.
    fn take_up(&mut self) {
        while let Ok(event) = self.inbox.as_ref().unwrap().try_recv() {
            assert_eq!(event.recv_ns, TimeNs(0), "the loop stamps it");
            self.take(Event { recv_ns: self.now, ..event });
            self.now = self.now + 1;
        }
        self.take(Event::global(self.now, EventBody::Timer(Timer { count: 1 })));
    }

    /// The answer to a request, with the loop running meanwhile.
    fn ask(&mut self, request: &Request) -> Answer {
        let (dir, request) = (self.dir().to_owned(), request.clone());
        self.meanwhile(move || ask(&dir, &request))
    }

    /// Runs the loop until `client` is done.
    fn meanwhile<T: Send + 'static>(&mut self, client: impl FnOnce() -> T + Send + 'static) -> T {
        let client = thread::spawn(client);
        while !client.is_finished() {
            self.take_up();
            thread::yield_now();
        }
        client.join().unwrap()
    }

    fn command(
        &mut self,
        kind: CommandKind,
        symbol: Option<&str>,
    ) -> (String, Option<String>, Option<String>) {
        match self.ask(&Request::command(kind, symbol)) {
            Answer::Done(done) => {
                assert_eq!((done.command.as_str(), done.symbol.as_deref()), (kind.as_str(), symbol));
                assert!(done.sequence > 0 && done.sequence <= self.sequence);
                (done.state, done.cause, done.note)
            }
            other => panic!("{other:?}"),
        }
    }
}

fn send(stream: &mut UnixStream, line: &[u8]) -> Answer {
    // Refused early, the rest of a long line finds nobody.
    let _ = stream.write_all(line);
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).unwrap();
    serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
}

fn ask(dir: &Path, request: &Request) -> Answer {
    let line = serde_json::to_string(request).unwrap() + "\n";
    send(&mut connect(dir).unwrap(), line.as_bytes())
}

fn trouble(answer: Answer) -> (TroubleKind, String) {
    match answer {
        Answer::Error(trouble) => (trouble.kind, trouble.message),
        other => panic!("{other:?}"),
    }
}

fn status(dir: &Path) -> Status {
    match ask(dir, &Request::status()) {
        Answer::Status(status) => *status,
        other => panic!("{other:?}"),
    }
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[test]
fn commands_are_answered_from_the_journal() {
    let mut rig = Rig::new();
    let operator = some("operator");
    let already = some("the state was that already");
    assert_eq!(status(rig.dir()).state, "ACTIVE");
    for (kind, expected) in [
        (CommandKind::Resume, ("ACTIVE".into(), None, already.clone())),
        (CommandKind::Halt, ("HALTED".into(), operator.clone(), None)),
        (CommandKind::Halt, ("HALTED".into(), operator.clone(), already.clone())),
        // The state falls by itself and by command, and rises by resume alone.
        (CommandKind::Reduce, ("HALTED".into(), operator.clone(), already)),
        (CommandKind::Resume, ("ACTIVE".into(), operator.clone(), None)),
        (CommandKind::Reduce, ("REDUCING".into(), operator.clone(), None)),
        (CommandKind::Flatten, ("REDUCING".into(), operator.clone(), some("nothing was open"))),
    ] {
        assert_eq!(rig.command(kind, None), expected, "{kind}");
    }
    assert_eq!(rig.command(CommandKind::Close, Some("BTCUSDT")).2, some("nothing was open"));
    let now = status(rig.dir());
    assert_eq!((now.state.as_str(), now.cause), ("REDUCING", some("operator")));
    assert_eq!(now.pid, std::process::id());
}

#[test]
fn nothing_is_said_before_it_is_in_the_journal() {
    let mut rig = Rig::new();
    let dir = rig.dir().to_owned();
    let client = thread::spawn(move || ask(&dir, &Request::command(CommandKind::Halt, None)));
    let event = rig.inbox.as_ref().unwrap().recv().unwrap();
    // Another connection is served while the first one waits.
    assert_eq!(status(rig.dir()).state, "ACTIVE");
    assert!(!client.is_finished(), "handed over is not taken up");
    rig.take(Event { recv_ns: rig.now, ..event });
    let Answer::Done(done) = client.join().unwrap() else { panic!() };
    assert_eq!((done.sequence, done.state.as_str()), (1, "HALTED"));
}

#[test]
fn an_unknown_symbol_is_refused_with_those_there_are() {
    let mut rig = Rig::new();
    let (kind, message) = trouble(rig.ask(&Request::command(CommandKind::Close, Some("NOPE"))));
    assert_eq!(kind, TroubleKind::Request);
    assert!(message.starts_with("\"NOPE\" is not an instrument of this run: BTCUSDT, "), "{message}");
    assert_eq!(rig.engine.controller().state(), TradingState::Active);
    assert!(rig.inbox.as_ref().unwrap().is_empty(), "nothing was handed over");
}

#[test]
fn a_full_inbox_and_an_engine_that_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().to_owned();
    let mut rig = Rig::at(folder, &dir, 0);
    let halt = Request::command(CommandKind::Halt, None);
    let (kind, message) = trouble(ask(&dir, &halt));
    assert_eq!((kind, message.contains("nothing was done")), (TroubleKind::Busy, true), "{message}");
    rig.inbox = None;
    assert_eq!(trouble(ask(&dir, &halt)).0, TroubleKind::Ending);
}

#[test]
fn hostile_bytes_are_an_answer() {
    let mut rig = Rig::new();
    let long = vec![b'x'; 10 * REQUEST_BYTES_MAX];
    let nested = [b"{\"command\":".repeat(40), b"\n".to_vec()].concat();
    let mut lines: Vec<Vec<u8>> = vec![
        b"\n".to_vec(),
        b"\0\0\0\n".to_vec(),
        b"\xff\xfe{}\n".to_vec(),
        b"null\n".to_vec(),
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        b"{\"command\":\"halt\",\"command\":\"halt\"}\n".to_vec(),
        b"{\"command\":\"close\",\"symbol\":\"\\u0000\"}\n".to_vec(),
        nested,
        long,
    ];
    let mut dice = 88_172_645_463_325_252_u64;
    for _ in 0..300 {
        let mut line: Vec<u8> = std::iter::repeat_with(|| {
            dice ^= dice << 13;
            dice ^= dice >> 7;
            dice ^= dice << 17;
            (dice >> 32) as u8
        })
        .take(40)
        .collect();
        line.push(b'\n');
        lines.push(line);
    }
    for line in lines {
        let answer = send(&mut connect(rig.dir()).unwrap(), &line);
        assert_eq!(trouble(answer).0, TroubleKind::Request, "{:?}", String::from_utf8_lossy(&line));
    }
    drop(connect(rig.dir()).unwrap()); // says nothing and hangs up
    let mut half = connect(rig.dir()).unwrap();
    half.write_all(b"{\"command\":\"sta").unwrap();
    drop(half);
    assert!(rig.inbox.as_ref().unwrap().is_empty());
    assert_eq!(rig.command(CommandKind::Halt, None).0, "HALTED", "it serves on");
}

#[test]
fn a_request_without_a_newline_counts_once_the_asker_has_finished() {
    let rig = Rig::new();
    let mut stream = connect(rig.dir()).unwrap();
    stream.write_all(b"{\"command\":\"status\"}").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("{\"status\":{") && answer.ends_with("}\n"), "{answer}");
}

#[test]
fn connections_are_bounded() {
    let rig = Rig::new();
    let silent: Vec<UnixStream> = (0..8).map(|_| connect(rig.dir()).unwrap()).collect();
    let (kind, message) = trouble(ask(rig.dir(), &Request::status()));
    assert_eq!((kind, message.as_str()), (TroubleKind::Busy, "8 connections are open already"));
    drop(silent);
    // They are free again once the thread has seen them go.
    while let Answer::Error(trouble) = ask(rig.dir(), &Request::status()) {
        assert_eq!(trouble.kind, TroubleKind::Busy);
        thread::yield_now();
    }
}

#[test]
fn the_socket_is_its_owners_and_goes_with_the_engine() {
    let mut rig = Rig::new();
    let path = rig.dir().join(SOCKET);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    rig.control = None;
    assert!(!path.exists());
    assert!(connect(rig.dir()).is_err());
}

#[test]
fn whoever_waits_when_the_engine_ends_hears_it() {
    let mut rig = Rig::new();
    let dir = rig.dir().to_owned();
    let client = thread::spawn(move || ask(&dir, &Request::command(CommandKind::Flatten, None)));
    rig.inbox.as_ref().unwrap().recv().unwrap();
    rig.control = None;
    assert_eq!(trouble(client.join().unwrap()).0, TroubleKind::Ending);
}

fn try_spawn(dir: &Path) -> Result<Control, ControlError> {
    let instruments = builtin_instruments("0.0005").unwrap();
    let (commands, _inbox) = crossbeam_channel::bounded(1);
    Control::spawn(ControlConfig {
        dir,
        instruments: &instruments,
        settings: &Settings::DEFAULT,
        stats: Default::default(),
        inbox: commands,
    })
}

#[test]
fn a_dead_socket_is_replaced_and_a_live_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(SOCKET);
    drop(UnixListener::bind(&path).unwrap()); // leaves its name behind
    let first = try_spawn(folder.path()).unwrap();
    let error = try_spawn(folder.path()).unwrap_err();
    assert!(matches!(error, ControlError::InUse { .. }), "{error}");
    drop(first);
    fs::write(&path, "precious").unwrap();
    let error = try_spawn(folder.path()).unwrap_err();
    assert!(matches!(error, ControlError::NotASocket { .. }), "{error}");
    assert_eq!(fs::read(&path).unwrap(), b"precious");
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
    assert!(matches!(try_spawn(folder.path()).unwrap_err(), ControlError::NotASocket { .. }));
}

#[test]
fn a_folder_with_a_long_name_has_a_socket_too() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("x".repeat(200));
    fs::create_dir(&dir).unwrap();
    let rig = Rig::at(folder, &dir, 1);
    assert_eq!(status(&dir).state, "ACTIVE");
    let output = ctl(&dir, &["status"]);
    assert!(output.0 == 0 && output.1.starts_with("state       ACTIVE\n"), "{output:?}");
    drop(rig);
    assert!(!dir.join(SOCKET).exists());
}

/// Exit code, standard output, standard error.
fn ctl(dir: &Path, args: &[&str]) -> (i32, String, String) {
    run(Command::new(env!("CARGO_BIN_EXE_qtx")).arg("ctl").arg("--journal").arg(dir).args(args))
}

fn run(command: &mut Command) -> (i32, String, String) {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn the_command_line_tells_and_asks() {
    let mut rig = Rig::new();
    let dir = rig.dir().to_owned();
    let mut tell = |args: &'static [&str]| {
        let dir = dir.clone();
        rig.meanwhile(move || ctl(&dir, args))
    };
    let (code, out, _) = tell(&["halt"]);
    assert!(code == 0 && out.starts_with("halt taken up, journal record "), "{out}");
    assert!(out.ends_with(": HALTED (operator)\n"), "{out}");
    let (code, out, _) = tell(&["resume", "--json"]);
    let done: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &done["command"], &done["state"]), (0, &"resume".into(), &"ACTIVE".into()));
    let (code, out, _) = tell(&["flatten"]);
    assert!(code == 0 && out.ends_with("; nothing was open\n"), "{out}");
    let (code, _, err) = tell(&["close", "NOPE"]);
    assert!(code == 2 && err.contains("is not an instrument of this run: BTCUSDT"), "{err}");
    let (code, _, err) = tell(&["close"]);
    assert!(code == 2 && err.contains("<SYMBOL>"), "{err}");
    let (code, out, _) = tell(&["status", "--json"]);
    let status: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &status["state"], &status["positions"]), (0, &"ACTIVE".into(), &serde_json::json!([])));
    assert_eq!(status["account"]["daily_drawdown_max"].as_f64(), Some(0.03));
}

#[test]
fn nobody_there_is_said_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    for dir in [folder.path().to_owned(), folder.path().join("no/such/folder")] {
        let (code, _, err) = ctl(&dir, &["halt"]);
        assert!(
            code == 2 && err.contains("no engine is running there") && err.contains("--journal"),
            "{err}"
        );
    }
    drop(UnixListener::bind(folder.path().join(SOCKET)).unwrap());
    let (code, _, err) = ctl(folder.path(), &["halt"]);
    assert!(code == 2 && err.contains("the engine that ran there is gone"), "{err}");
}

/// Another user's process is refused by the socket's permissions, and where somebody has opened those
/// up, by who it is.
#[test]
fn another_user_may_not() {
    const NOBODY: u32 = 65_534;
    let mut rig = Rig::new();
    let dir = rig.dir().to_owned();
    // Where the other user can run it from: a build folder may be closed to it.
    let qtx = dir.join("qtx");
    fs::copy(env!("CARGO_BIN_EXE_qtx"), &qtx).unwrap();
    fs::set_permissions(&dir, Permissions::from_mode(0o755)).unwrap();
    let mut halt = Command::new(&qtx);
    halt.args(["ctl", "halt", "--journal"]).arg(&dir).uid(NOBODY);
    if let Err(error) = halt.output() {
        eprintln!("skipped: only root can be somebody else ({error})");
        return;
    }
    let (code, _, err) = run(&mut halt);
    assert!(code == 2 && err.contains("only the user who started the engine"), "{err}");
    fs::set_permissions(dir.join(SOCKET), Permissions::from_mode(0o666)).unwrap();
    let (code, _, err) = rig.meanwhile(move || run(&mut halt));
    assert!(code == 2 && err.contains("belongs to another user"), "{err}");
    assert_eq!(rig.engine.controller().state(), TradingState::Active);
}

#[test]
fn the_status_has_what_is_open_and_whether_it_is_covered() {
    let mut rig = Rig::new();
    let path: PathBuf = rig.dir().to_owned();
    let order = |purpose, kind, sequence, trigger| Order {
        id: OrderId::new(7, sequence),
        trade: OrderId::new(7, 1),
        quantity: Lots(500),
        trigger: Ticks(trigger),
        reference: Ticks(600_000),
        side: if purpose == Purpose::Entry { Side::Buy } else { Side::Sell },
        kind,
        purpose,
        working_type: WorkingType::ContractPrice,
        reduce_only: purpose != Purpose::Entry,
        pad: [0; 3],
    };
    let filled = EntryFilled {
        entry: Dec::int(60_000),
        trade: OrderId::new(7, 1),
        quantity: Lots(500),
        stop: Ticks(598_000),
        target: Ticks(605_000),
        side: Side::Buy,
        pad: [0; 15],
    };
    let alarm = Alarm { order: OrderId::new(7, 2), value: -2021, kind: AlarmKind::StopRefused, pad: [0; 7] };
    let limit = LimitChanged {
        observed: Dec::new(31, 3),
        threshold: Dec::new(3, 2),
        until_ns: TimeNs(0),
        limit: Limit::Daily,
        active: true,
        pad: [0; 6],
    };
    let mut journal = |event: EventBody, outputs: &[OutputBody]| {
        let event = Event { recv_ns: START, instrument: InstrumentId(0), body: event };
        let (reporter, sequence) = (&mut rig.reporter, &mut rig.sequence);
        *sequence += encode_event(&event, *sequence + 1, |record| reporter.take(record));
        for (i, body) in outputs.iter().enumerate() {
            let output = Output { instrument: InstrumentId(0), body: *body };
            let commit = i + 1 == outputs.len();
            *sequence += encode_output(&output, START, commit, *sequence + 1, |record| reporter.take(record));
        }
    };
    let timer = EventBody::Timer(Timer { count: 1 });
    journal(timer, &[OutputBody::Order(order(Purpose::Entry, OrderKind::Market, 1, 0))]);
    assert_eq!(status(&path).pending, ["BTCUSDT"]);
    let stop = order(Purpose::Stop, OrderKind::StopMarket, 2, 597_990);
    journal(timer, &[OutputBody::EntryFilled(filled), OutputBody::Order(stop), OutputBody::Alarm(alarm)]);
    let feed = FeedStatus { since_ms: START.ms(), feed: Feed::User, state: FeedState::Down, pad: [0; 6] };
    journal(EventBody::FeedStatus(feed), &[OutputBody::LimitChanged(limit)]);
    for used_ppm in [900_000, 100_000] {
        journal(EventBody::QueueShare(QueueShare { used_ppm, queue: Queue::Ring, pad: [0; 3] }), &[]);
    }
    let (code, text, _) = ctl(&path, &["status"]);
    assert_eq!(code, 0);
    for line in [
        "positions   BTCUSDT LONG 0.50 entry 60000.00 stop 59800.00 target 60500.00, NOT COVERED: acknowledged \
         stops for 0.00 of 0.50, since 2024-07-15T00:00:00.000Z",
        "limits      daily_drawdown",
        "feeds       user down since 2024-07-15T00:00:00.000Z",
        "queues      ring 10.0% (most 90.0%)",
        "last alarm  2024-07-15T00:00:00.000Z BTCUSDT ALARM stop_refused: code -2021 order qt-00000007-00000002 (1 in all)",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    let accepted = OrderUpdate {
        order: OrderId::new(7, 2),
        venue_id: 1,
        filled: Lots::ZERO,
        event_ms: 0,
        code: 0,
        status: OrderStatus::Accepted,
        pad: [0; 3],
    };
    journal(EventBody::OrderUpdate(accepted), &[]);
    let position = status(&path).positions.remove(0);
    assert!(position.covered && position.venue_stop.unwrap().to_string() == "59799.00");
    assert!(ctl(&path, &["status"]).1.contains("covered by a stop at 59799.00"));
}
