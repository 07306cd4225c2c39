//! The loop that polls by the clock, where its bounds are reached: a full inbox, a full journal, an
//! archive that fails.

mod journal_support;
mod wire_support;

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread;

use journal_support::Flaky;
use quantum_trader::event::record::Record;
use quantum_trader::event::{
    Command, CommandKind, EndReason, Event, EventBody, Feed, Instrument, InstrumentSpec, InstrumentTable,
    Queue, QueueShare, RunStart, SizeUnit, TradingState,
};
use quantum_trader::host::stop::StopFlag;
use quantum_trader::journal::archive::{ArchiveOptions, ArchiveWriter};
use quantum_trader::journal::disk::{Disk, RealDisk};
use quantum_trader::journal::drain::{Drain, DrainOptions, DrainStatus};
use quantum_trader::journal::ring::{RingRead, RingReader};
use quantum_trader::journal::{ClockCalibration, Folder, Identity};
use quantum_trader::live::{
    Core, Cycle, Endless, Feeds, Inbox, Intake, Lifetimes, MarketEnd, Opener, OpenerConfig, OpenerEnds,
    RunError, Senders, WhenFull, order_queue,
};
use quantum_trader::num::{NS_PER_MS, NS_PER_SEC, Now, TimeNs};
use quantum_trader::risk::config::Settings;
use quantum_trader::wire::{Limits, Url};
use tempfile::TempDir;
use wire_support::*;

const IDENTITY: Identity = Identity {
    run_id: 1,
    build_id: 1,
    epoch: 7,
    clock: ClockCalibration { ticks: 0, recv_ns: 0, ns_per_tick_q32: 0 },
};
const SLOTS: u64 = 4_096;

/// Each look at it takes some time.
#[derive(Clone)]
struct Ticking(Arc<AtomicI64>, i64);

impl Ticking {
    fn by(ns: i64) -> Ticking {
        Ticking(Arc::new(AtomicI64::new(T0.0)), ns)
    }
}

impl Now for Ticking {
    fn now(&self) -> TimeNs {
        TimeNs(self.0.fetch_add(self.1, Ordering::Relaxed))
    }
}

/// Over once the flag is set.
struct Until(Arc<AtomicBool>);

impl MarketEnd for Until {
    fn ended(&self) -> Option<EndReason> {
        self.0.load(Ordering::Acquire).then_some(EndReason::MarketEnd)
    }
}

/// What stands around a loop.
struct Bench {
    _dir: TempDir,
    drain: Drain,
    reader: RingReader,
    core: Core,
}

fn bench(observer: impl FnMut(&Record) + Send + 'static) -> Bench {
    bench_on(Arc::new(RealDisk), observer)
}

fn bench_on(disk: Arc<dyn Disk>, observer: impl FnMut(&Record) + Send + 'static) -> Bench {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::create(&dir.path().join("journal")).unwrap();
    let ring = folder.create_ring(Some(dir.path()), SLOTS, &IDENTITY).unwrap();
    let options = ArchiveOptions { disk, ..ArchiveOptions::default() };
    let archive = ArchiveWriter::with_options(folder.path(), &IDENTITY, options).unwrap();
    let (drain, reader) = (
        Drain::spawn(&ring, archive, DrainOptions::default(), || 0, observer, |_| {}).unwrap(),
        ring.reader(),
    );
    let instruments = instruments();
    Bench { _dir: dir, drain, reader, core: Core::new(&Settings::DEFAULT, &instruments, ring) }
}

fn instruments() -> InstrumentTable {
    let btc = InstrumentSpec {
        symbol: "BTCUSDT",
        tick: "0.10",
        step: "0.001",
        min_quantity: "0.001",
        max_quantity: "120",
        min_notional: "50",
        taker_fee: "0.0005",
        maintenance_margin: "0.004",
        size_unit: SizeUnit::Base,
    };
    InstrumentTable::new(vec![Instrument::from_spec(&btc).unwrap()]).unwrap()
}

fn no_connections() -> Feeds {
    let (_, opened) = rtrb::RingBuffer::new(1);
    let (handed, _) = rtrb::RingBuffer::new(1);
    Feeds::new(&[], OpenerEnds { opened, handed }, Lifetimes::clocked(None))
}

fn run_start() -> Event {
    let start = RunStart {
        run_id: 1,
        build_id: 1,
        epoch: 7,
        instruments: 1,
        resting_stops: true,
        simulated: true,
        rule_voters: true,
        pad: [0; 5],
    };
    Event::global(T0, EventBody::RunStart(start))
}

/// Kinds of the records from `first` on.
fn kinds(reader: &RingReader, first: u64) -> Vec<&'static str> {
    let records = (first..).map_while(|sequence| match reader.read(sequence) {
        RingRead::Record(record) => Some(record.kind_name()),
        _ => None,
    });
    records.collect()
}

fn fill(senders: &Senders) -> usize {
    let share = QueueShare { used_ppm: 1, queue: Queue::Ring, pad: [0; 3] };
    let event = Event::global(T0, EventBody::QueueShare(share));
    std::iter::from_fn(|| senders.events.try_send(event).ok()).count()
}

fn halt() -> Event {
    Event::global(T0, EventBody::Command(Command { command: CommandKind::Halt, pad: [0; 7] }))
}

#[test]
fn a_command_goes_before_a_full_inbox() {
    let Bench { _dir, drain, reader, core } = bench(|_| {});
    let (senders, inbox) = Inbox::new();
    let (orders, _instructions) = order_queue(1);
    let stop = StopFlag::manual();
    let mut cycle = Cycle::new(
        Intake::new(core, Some(&drain)),
        orders,
        no_connections(),
        inbox,
        Ticking::by(1_000),
        Until(Arc::default()),
        stop,
        WhenFull::Wait,
        None,
    );
    cycle.begin(T0, [run_start()].into_iter()).unwrap();
    let waiting = fill(&senders);
    assert!(waiting > 1_000, "{waiting}");
    senders.commands.try_send(halt()).unwrap();
    let next = reader.newest() + 1;
    assert_eq!(cycle.run(Some(T0 + 1)).unwrap(), EndReason::Duration);
    assert_eq!(cycle.engine().controller().state(), TradingState::Halted);
    assert_eq!(kinds(&reader, next)[..2], ["Command", "TradingStateChanged"]);
    // Whatever else was said before the end is in the journal before it.
    cycle.end(EndReason::Duration).unwrap();
    assert!(senders.events.is_empty());
    let last = kinds(&reader, reader.newest());
    assert_eq!(last, ["RunEnd"]);
}

/// Reads the request and agrees.
fn upgraded(stream: &mut TcpStream) {
    let mut request = vec![];
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        request.push(byte[0]);
    }
    stream.write_all(&agree(&key(&request))).unwrap();
}

fn quote(number: usize) -> String {
    format!(
        r#"{{"stream":"btcusdt@bookTicker","data":{{"e":"bookTicker","u":{number},"s":"BTCUSDT","b":"50000.00","B":"9.000","a":"50000.10","A":"9.000","T":1,"E":2}}}}"#
    )
}

struct Release(Arc<AtomicBool>);

impl Drop for Release {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// More than the journal has room for while its drain stands still: the rest is dropped, counted and
/// told of once, and what is not a frame still finds room.
#[test]
fn frames_that_find_no_room_are_told_of_once() {
    const QUOTES: usize = 6_000;
    let (released, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let held = Arc::clone(&released);
    let Bench { _dir, drain, reader, core } = bench(move |_| {
        while !held.load(Ordering::Acquire) {
            thread::yield_now();
        }
    });
    // Also where the test fails: a drain that is held would never end.
    let release = Release(released);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url: Url = format!("ws://{}/", listener.local_addr().unwrap()).parse().unwrap();
    let all_written = Arc::clone(&written);
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        upgraded(&mut stream);
        let bytes: Vec<u8> = (0..QUOTES).flat_map(|number| text(&quote(number))).collect();
        stream.write_all(&bytes).unwrap();
        all_written.store(true, Ordering::Release);
        let _ = stream.read_to_end(&mut vec![]);
    });
    let clock = Ticking::by(1_000);
    let (opener, ends) =
        Opener::spawn(OpenerConfig::default(), connector(Limits::default()), vec![url], clock.clone())
            .unwrap();
    let time = clock.clone();
    let feeds = Feeds::new(&[(Feed::Public, false)], ends, Lifetimes::clocked(None));
    let (senders, inbox) = Inbox::new();
    let (orders, _instructions) = order_queue(1);
    let mut cycle = Cycle::new(
        Intake::new(core, Some(&drain)),
        orders,
        feeds,
        inbox,
        clock,
        Until(written),
        StopFlag::manual(),
        WhenFull::Drop,
        None,
    );
    cycle.begin(T0, [run_start()].into_iter()).unwrap();
    assert_eq!(cycle.run(None).unwrap(), EndReason::MarketEnd);
    let jammed = kinds(&reader, 1);
    let count = |kinds: &[&str], wanted: &str| kinds.iter().filter(|kind| **kind == wanted).count();
    let quotes = count(&jammed, "Quote");
    assert!(0 < quotes && quotes < QUOTES, "{quotes}");
    assert_eq!(count(&jammed, "Gap"), 0, "the gap is not over");

    // What frames left to a command is there for it, and nobody waits for the drain.
    senders.commands.try_send(halt()).unwrap();
    let end = time.now() + 10_000;
    cycle.run(Some(end)).unwrap();
    assert_eq!(count(&kinds(&reader, 1), "Command"), 1);

    drop(release);
    cycle.end(EndReason::MarketEnd).unwrap();
    let (counts, newest) = (cycle.intake.core.counts.clone(), reader.newest());
    assert_eq!(counts.dropped + quotes as u64, QUOTES as u64);
    assert_eq!(counts.overruns, 0, "a live loop does not wait for the drain");
    let ending = kinds(&reader, newest.saturating_sub(16));
    assert_eq!(count(&ending, "Gap"), 1, "{ending:?}");
    assert_eq!(ending.last(), Some(&"RunEnd"));
    drop(cycle);
    assert_eq!(drain.stop(newest).error, None);
    opener.stop();
    server.join().unwrap();
}

/// Without a drain nothing new begins; what is under way is brought to its end in what room there is.
#[test]
fn a_run_whose_drain_ends_is_halted_before_it_ends() {
    let Bench { _dir, drain, reader, core } = bench(|_| {});
    // A slot that holds what belongs elsewhere, where the next record goes.
    let ring = File::options().write(true).open(reader.path()).unwrap();
    ring.write_all_at(&2_u64.to_le_bytes(), reader.offset_of(1)).unwrap();
    while drain.error().is_none() {
        thread::yield_now();
    }
    let (_senders, inbox) = Inbox::new();
    let (orders, _instructions) = order_queue(1);
    let mut cycle = Cycle::new(
        Intake::new(core, Some(&drain)),
        orders,
        no_connections(),
        inbox,
        Ticking::by(100 * NS_PER_MS),
        Until(Arc::default()),
        StopFlag::manual(),
        WhenFull::Drop,
        None,
    );
    cycle.begin(T0, [run_start()].into_iter()).unwrap();
    let error = cycle.run(None).unwrap_err();
    assert!(matches!(error, RunError::Journal(_)), "{error}");
    let error = cycle.abandon(error);
    assert!(matches!(error, RunError::Journal(_)), "{error}");
    assert_eq!(cycle.engine().controller().state(), TradingState::Halted);
    assert!(kinds(&reader, 1).contains(&"Command"));
}

/// A disk that fails for a while is no reason to end a run, nor to wait as long as the ring has room.
#[test]
fn a_run_outlives_its_disk() {
    let disk = Arc::new(Flaky::default());
    let Bench { _dir, drain, reader, core } = bench_on(disk.clone(), |_| {});
    disk.fail(0, u64::MAX);
    let (_senders, inbox) = Inbox::new();
    let (orders, _instructions) = order_queue(1);
    let clock = Ticking::by(100 * NS_PER_MS);
    let mut cycle = Cycle::new(
        Intake::new(core, Some(&drain)),
        orders,
        no_connections(),
        inbox,
        clock.clone(),
        Endless,
        StopFlag::manual(),
        WhenFull::Drop,
        None,
    );
    cycle.begin(T0, [run_start()].into_iter()).unwrap();
    while drain.status() == DrainStatus::Ok {
        thread::yield_now();
    }
    let end = clock.now() + 60 * NS_PER_SEC;
    assert_eq!(cycle.run(Some(end)).unwrap(), EndReason::Duration);
    assert!(drain.error().is_none() && drain.durable() == 0);
    assert!(kinds(&reader, 1).len() > 50, "time went by");
    cycle.end(EndReason::Duration).unwrap();
    disk.fail(0, 0);
    let newest = reader.newest();
    drop(cycle);
    let report = drain.stop(newest);
    assert_eq!((report.error, report.durable_sequence), (None, newest));
}
