//! A full ring makes a simulated run wait: nothing is dropped, nothing is decided otherwise.
//!
//! The loop is wired by hand here, because the ring's size must differ while all that is journaled,
//! settings and run id among it, stays the same.

mod journal_support;

use std::fs;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use crossbeam_channel::Sender;
use journal_support::Flaky;
use quantum_trader::event::record::Record;
use quantum_trader::event::{EndReason, Event, EventBody, Instruction, OrderStatus, OrderUpdate, RunStart};
use quantum_trader::host::stop::StopFlag;
use quantum_trader::journal::archive::{ArchiveOptions, ArchiveWriter};
use quantum_trader::journal::drain::{Drain, DrainOptions, DrainStatus};
use quantum_trader::journal::ring::{RingRead, RingReader};
use quantum_trader::journal::{ClockCalibration, Folder, Identity};
use quantum_trader::live::{
    Core, Direct, Inbox, Lockstep, Outlet, Pace, RECORDS_MAX, RunError, Transport, Turn,
};
use quantum_trader::num::{InstrumentId, Lots, NS_PER_SEC, OrderId, TimeNs};
use quantum_trader::risk::config::Settings;
use quantum_trader::sim::exchange::Exchange;
use quantum_trader::sim::link::{Link, LinkConfig};
use quantum_trader::sim::market::{Synthetic, SyntheticConfig};
use quantum_trader::sim::venue::{Venue, VenueConfig};

const BAR_S: u32 = 5;
const HORIZON_NS: i64 = 300 * NS_PER_SEC;
const IDENTITY: Identity = Identity {
    run_id: 1,
    build_id: 1,
    epoch: 7,
    clock: ClockCalibration { ticks: 0, recv_ns: 0, ns_per_tick_q32: 0 },
};
/// Records of one batch of the drain.
const BATCH: u64 = 256;
/// Batches for which the drain waits until the ring is full.
const STALLED_BATCHES: u64 = 40;

/// Makes a drain so slow that the ring is full before each of its first batches.
fn stall(reader: &RingReader, slots: u64, record: &Record) {
    let batch = (record.sequence - 1) / BATCH;
    if !(record.sequence - 1).is_multiple_of(BATCH) || batch >= STALLED_BATCHES {
        return;
    }
    // With this record in the ring there is no room for another event's largest outbox: slots are free up to
    // what is durable.
    let full = reader.drained() + 1 + slots - RECORDS_MAX;
    // A bound, so that a loop that gave up shows as a failed test and not as a hung one.
    for _ in 0..5_000_000 {
        if !matches!(reader.read(full), RingRead::NotYet) {
            return;
        }
        thread::yield_now();
    }
}

/// The journal's bytes and how often the loop waited.
fn run(slots: u64, stalled: bool) -> (Vec<u8>, u64) {
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings { bar_interval_s: BAR_S, ..Settings::DEFAULT };
    let config = SyntheticConfig { bar_interval_s: BAR_S, ..SyntheticConfig::newcomer() };
    let instruments = config.instruments("0.0005").unwrap();
    let source = Synthetic::new(config, 1).unwrap();

    let folder = Folder::create(&dir.path().join("journal")).unwrap();
    let ring = folder.create_ring(Some(dir.path()), slots, &IDENTITY).unwrap();
    let archive = folder.create_archive(&IDENTITY).unwrap();
    let reader = ring.reader();
    let observer = move |record: &Record| {
        if stalled {
            stall(&reader, slots, record);
        }
    };
    let drain = Drain::spawn(&ring, archive, DrainOptions::default(), || 0, observer, |_| {}).unwrap();

    let account =
        VenueConfig { wallet: settings.sim_equity, leverage: settings.venue_leverage, funding: true };
    let millisecond = 1_000_000;
    let latency = LinkConfig {
        order_latency_ns: millisecond,
        report_latency_ns: millisecond,
        jitter_ns: millisecond / 2,
        seed: 1,
    };
    let link = Link::new(Venue::new(instruments.clone(), account), latency);
    let core = Core::new(&settings, &instruments, ring);
    let start = source.start();
    let begin = RunStart {
        run_id: IDENTITY.run_id,
        build_id: IDENTITY.build_id,
        epoch: IDENTITY.epoch,
        instruments: instruments.len() as u32,
        resting_stops: true,
        simulated: true,
        rule_voters: true,
        pad: [0; 5],
    };
    let mut opening = vec![Event::global(start, EventBody::RunStart(begin))];
    for (instrument, bar) in source.history(BAR_S, 250) {
        opening.push(Event { recv_ns: start, instrument, body: EventBody::Bar(bar) });
    }
    for (instrument, body) in link.venue().snapshot() {
        opening.push(Event { recv_ns: start, instrument, body });
    }
    let exchange = Exchange::new(Box::new(source), link).unwrap();
    let (_senders, inbox) = Inbox::new();
    let mut lockstep = Lockstep::new(core, Direct(exchange), inbox, Some(&drain), StopFlag::manual());
    lockstep.begin(start, opening.into_iter()).unwrap();
    let pace = Pace { speed: None, horizon_ns: Some(HORIZON_NS) };
    let reason = lockstep.run(pace).unwrap();
    assert_eq!(reason, EndReason::Duration);
    lockstep.end(reason).unwrap();
    let core = lockstep.intake.core;
    let last = core.recorder().next_sequence() - 1;
    assert!(last > (STALLED_BATCHES + 1) * BATCH + slots.min(4_096), "{last} records are too few to stall");
    let report = drain.stop(last);
    assert_eq!((report.records, report.error), (last, None));
    (fs::read(dir.path().join("journal/segment-000001.qtj")).unwrap(), core.counts.overruns)
}

#[test]
fn a_full_ring_makes_the_run_wait_and_changes_nothing() {
    let (roomy, _) = run(1 << 16, false);
    let (small, waits) = run(1 << 12, true);
    assert!(waits > 0, "the small ring was never full");
    assert!(roomy == small, "{} and {} bytes differ", roomy.len(), small.len());
}

/// A disk that never comes back: the run waits for it and says why, until somebody wants an end.
#[test]
fn a_disk_that_never_comes_back_is_waited_for_until_the_run_is_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::create(&dir.path().join("journal")).unwrap();
    let ring = folder.create_ring(Some(dir.path()), 1 << 12, &IDENTITY).unwrap();
    let disk = Arc::new(Flaky::default());
    let options = ArchiveOptions { disk: disk.clone(), ..ArchiveOptions::default() };
    let archive = ArchiveWriter::with_options(folder.path(), &IDENTITY, options).unwrap();
    disk.fail(0, u64::MAX);
    let (told, statuses) = mpsc::channel();
    let options = DrainOptions { retry_after: Duration::from_micros(10), ..DrainOptions::default() };
    let tell = move |status| told.send(status).unwrap();
    let drain = Drain::spawn(&ring, archive, options, || 0, |_| {}, tell).unwrap();
    let config = SyntheticConfig::newcomer();
    let instruments = config.instruments("0.0005").unwrap();
    let link = LinkConfig { order_latency_ns: 1, report_latency_ns: 1, jitter_ns: 0, seed: 1 };
    let account = VenueConfig { wallet: Settings::DEFAULT.sim_equity, leverage: 5, funding: true };
    let link = Link::new(Venue::new(instruments.clone(), account), link);
    let exchange = Exchange::new(Box::new(Synthetic::new(config, 1).unwrap()), link).unwrap();
    let core = Core::new(&Settings::DEFAULT, &instruments, ring);
    let (_senders, inbox) = Inbox::new();
    let stop = StopFlag::manual();
    let mut lockstep = Lockstep::new(core, Direct(exchange), inbox, Some(&drain), stop.clone());
    thread::scope(|scope| {
        // The market has no end within this bound: it is the stop that ends the run.
        scope.spawn(|| {
            while drain.status() == DrainStatus::Ok || drain.durable() > 0 {
                thread::yield_now();
            }
            stop.request();
        });
        lockstep.begin(TimeNs(NS_PER_SEC), std::iter::empty()).unwrap();
        let outcome = lockstep.run(Pace { speed: None, horizon_ns: None });
        // Where the flag was seen first: by the loop, which has room to end in order, or by the wait.
        let outcome = outcome.and_then(|reason| {
            assert_eq!(reason, EndReason::Signal);
            while lockstep.intake.core.has_room() {
                lockstep.intake.take(&Event::NOTHING, false, &mut lockstep.transport)?;
            }
            lockstep.end(reason)
        });
        let error = outcome.unwrap_err().to_string();
        assert!(error.contains("can't append to the archive") && error.contains("No space left"), "{error}");
    });
    let failing = statuses.recv().unwrap();
    assert!(matches!(failing, DrainStatus::Failing { attempts: 1, .. }), "{failing:?}");
}

/// A venue that sends one frame, and a gateway that has refused something by then.
struct Refusing {
    events: Sender<Event>,
    frames: u32,
}

impl Outlet for Refusing {
    fn has_room(&mut self) -> bool {
        true
    }

    fn send(&mut self, _: TimeNs, _: InstrumentId, _: Instruction) {}

    fn market(&mut self, _: TimeNs, _: &Event) {}
}

impl Transport for Refusing {
    fn next(&mut self, limit: TimeNs) -> Result<Turn, RunError> {
        self.frames += 1;
        if self.frames > 1 {
            return Ok(Turn::Nothing { next_frame: None });
        }
        let refused = OrderUpdate {
            order: OrderId::new(7, 1),
            venue_id: 0,
            filled: Lots::ZERO,
            event_ms: 0,
            code: 0,
            status: OrderStatus::Rejected,
            pad: [0; 3],
        };
        self.events.try_send(Event::global(TimeNs(0), EventBody::OrderUpdate(refused))).unwrap();
        Ok(Turn::Frame(limit))
    }

    fn settle(&mut self, _: TimeNs) -> Result<Turn, RunError> {
        Ok(Turn::Nothing { next_frame: None })
    }

    fn swap_frame(&mut self, buffer: &mut Vec<u8>) {
        buffer.extend_from_slice(br#"{"e":"nobodyKnows"}"#);
    }

    fn read_on(&mut self) -> Result<(), RunError> {
        Ok(())
    }
}

/// The venue answers once the gateway has said what it will not send: where that stands in the journal
/// does not depend on which thread was faster.
#[test]
fn what_the_gateway_refused_goes_before_the_frame_that_came_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::create(&dir.path().join("journal")).unwrap();
    let ring = folder.create_ring(Some(dir.path()), 1 << 12, &IDENTITY).unwrap();
    let archive = folder.create_archive(&IDENTITY).unwrap();
    let (drain, reader) = (
        Drain::spawn(&ring, archive, DrainOptions::default(), || 0, |_: &Record| {}, |_| {}).unwrap(),
        ring.reader(),
    );
    let instruments = SyntheticConfig::newcomer().instruments("0.0005").unwrap();
    let core = Core::new(&Settings::DEFAULT, &instruments, ring);
    let (senders, inbox) = Inbox::new();
    let transport = Refusing { events: senders.events, frames: 0 };
    let mut lockstep = Lockstep::new(core, transport, inbox, Some(&drain), StopFlag::manual());
    lockstep.begin(TimeNs(NS_PER_SEC), std::iter::empty()).unwrap();
    let outcome = lockstep.run(Pace { speed: None, horizon_ns: None });
    assert_eq!(outcome.unwrap(), EndReason::MarketEnd);
    let kinds = (1..).map_while(|sequence| match reader.read(sequence) {
        RingRead::Record(record) => Some(record.kind_name()),
        _ => None,
    });
    assert_eq!(kinds.collect::<Vec<_>>(), ["OrderUpdate", "Alarm", "DecodeFault"]);
}
