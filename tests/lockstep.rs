//! A full ring makes a simulated run wait: nothing is dropped, nothing is decided otherwise.
//!
//! The loop is wired by hand here, because the ring's size must differ while all that is journaled,
//! settings and run id among it, stays the same.

use std::fs;
use std::thread;

use quantum_trader::event::record::Record;
use quantum_trader::event::{EndReason, Event, EventBody, RunStart};
use quantum_trader::host::stop::StopFlag;
use quantum_trader::journal::drain::Drain;
use quantum_trader::journal::ring::{RingRead, RingReader};
use quantum_trader::journal::{ClockCalibration, Folder, Identity};
use quantum_trader::live::{Core, Direct, Lockstep, Pace, RECORDS_MAX};
use quantum_trader::num::NS_PER_SEC;
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
    // With this record in the ring there is no room for another event's largest outbox.
    let full = record.sequence + slots - RECORDS_MAX;
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
    let drain = Drain::spawn(&ring, archive, || 0, observer).unwrap();

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
    let (_commands, inbox) = crossbeam_channel::bounded(1);
    let mut lockstep = Lockstep::new(core, Direct(exchange), inbox, &drain, StopFlag::manual());
    lockstep.begin(start, opening.into_iter()).unwrap();
    let pace = Pace { speed: None, horizon_ns: Some(HORIZON_NS) };
    let reason = lockstep.run(pace).unwrap();
    assert_eq!(reason, EndReason::Duration);
    lockstep.end(reason).unwrap();
    let core = lockstep.intake.core;
    let last = core.ring().next_sequence() - 1;
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
