//! What does the journal cost the hot thread, and how fast is it read again?
//!
//! **Append.** One record into the ring, timed one by one at a steady pace: alone, and while a drain carries
//! the ring to an archive on disk. Both take turns, round after round; the clock's own reading is part
//! of every figure, and its cost is told. Tails are the machine's as much as ours.
//!
//! **Replay.** A journal of a made market, replayed with every output compared, from segments as they were
//! written and from compressed ones.

use std::hint::black_box;
use std::path::Path;
use std::process::{Command, Stdio};

use hdrhistogram::Histogram;
use quantum_trader::event::{Event, EventBody, Trade};
use quantum_trader::host::clock::MonotonicClock;
use quantum_trader::journal::Identity;
use quantum_trader::journal::archive::ArchiveWriter;
use quantum_trader::journal::drain::{Drain, DrainOptions};
use quantum_trader::journal::ring::{RingConfig, RingWriter};
use quantum_trader::num::{InstrumentId, Size, Ticks, TimeNs};
use quantum_trader::replay::verify::{Range, verify};

const SLOTS: u64 = 65_536;
/// Between two appends: a busy market.
const PACE_NS: u64 = 2_000;
const ROUNDS: usize = 5;

fn event(count: u64) -> Event {
    let price = 500_000 + (count % 1_000) as i64;
    let trade = Trade {
        price: Ticks(price),
        size: Size(1_000),
        id: count as i64,
        first_id: count as i64,
        last_id: count as i64,
        trade_ms: count as i64,
        event_ms: count as i64,
        buyer_maker: count.is_multiple_of(2),
        market: true,
        pad: [0; 6],
    };
    Event { recv_ns: TimeNs(count as i64), instrument: InstrumentId(0), body: EventBody::AggTrade(trade) }
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 1_000_000_000, 3).expect("bounds that hold")
}

/// Times `appends` of them into `latencies`.
fn append(
    ring_dir: &Path,
    disk: Option<&Path>,
    appends: u64,
    clock: &MonotonicClock,
    latencies: &mut Histogram<u64>,
) {
    // Without a drain nothing frees a slot.
    let slots = if disk.is_some() { SLOTS } else { appends.next_power_of_two() };
    let path = ring_dir.join("bench.ring");
    let identity = Identity { run_id: 1, build_id: 1, epoch: 1, ..Identity::default() };
    let mut ring = RingWriter::create(&RingConfig { path: path.clone(), slots }, &identity).expect("a ring");
    let drain = disk.map(|disk| {
        let archive = ArchiveWriter::create(disk, &identity).expect("an archive");
        let clock = MonotonicClock::new();
        Drain::spawn(
            &ring,
            archive,
            DrainOptions::default(),
            move || clock.now_ns(),
            |record| {
                black_box(record);
            },
            |_| (),
        )
        .expect("a drain")
    });
    let mut due = clock.now_ns();
    for count in 1..=appends {
        let event = event(count);
        due += PACE_NS;
        while clock.now_ns() < due {
            std::hint::spin_loop();
        }
        let before = clock.raw();
        let appended = ring.append_event(black_box(&event));
        let after = clock.raw();
        assert!(appended.is_ok(), "the drain is behind by the whole ring");
        latencies.saturating_record(clock.elapsed_ns(before, after));
    }
    if let Some(drain) = drain {
        assert_eq!(drain.stop(appends).error, None);
    }
    std::fs::remove_file(path).expect("our own file");
}

fn line(name: &str, latencies: &Histogram<u64>) {
    let [p50, p99, p999] = [50.0, 99.0, 99.9].map(|p| latencies.value_at_percentile(p));
    println!("{name:<22} {p50:>8} {p99:>8} {p999:>8} {:>10} {:>10}", latencies.max(), latencies.len());
}

fn appends(quick: bool) {
    let appends = if quick { 2_000 } else { 200_000 };
    let rounds = if quick { 1 } else { ROUNDS };
    let memory = Path::new("/dev/shm");
    let scratch = tempfile::tempdir().expect("a folder");
    let ring_dir = if memory.is_dir() {
        tempfile::tempdir_in(memory).expect("a folder in memory")
    } else {
        tempfile::tempdir().expect("a folder")
    };
    let clock = MonotonicClock::new();
    let mut empty = histogram();
    for _ in 0..appends {
        let before = clock.raw();
        empty.saturating_record(clock.elapsed_ns(before, clock.raw()));
    }
    let (mut alone, mut drained) = (histogram(), histogram());
    for round in 0..rounds {
        append(ring_dir.path(), None, appends, &clock, &mut alone);
        let disk = scratch.path().join(round.to_string());
        std::fs::create_dir(&disk).expect("a folder");
        append(ring_dir.path(), Some(&disk), appends, &clock, &mut drained);
    }
    println!("append of one record, ns; ring of {SLOTS} in memory, one every {PACE_NS} ns");
    println!("{:<22} {:>8} {:>8} {:>8} {:>10} {:>10}", "", "p50", "p99", "p99.9", "max", "count");
    line("nothing (the clock)", &empty);
    line("alone", &alone);
    line("while draining", &drained);
}

fn made(dir: &Path, seconds: &str, compress: bool) {
    let compress = format!("QT_COMPRESS={compress}");
    let args =
        ["run", "--market", "synthetic:1", "--transport", "direct", "--speed", "max", "--json", "--set"];
    let status = Command::new(env!("CARGO_BIN_EXE_qtx"))
        .args(args)
        .args([&compress, "--duration", seconds, "--journal"])
        .arg(dir)
        .stdout(Stdio::null())
        .status()
        .expect("the command runs");
    assert!(status.success());
}

fn replays(quick: bool) {
    let scratch = tempfile::tempdir().expect("a folder");
    let (seconds, rounds) = if quick { ("60", 1) } else { ("14400", ROUNDS) };
    let journals = [("uncompressed", false), ("compressed", true)].map(|(name, compress)| {
        let dir = scratch.path().join(name);
        made(&dir, seconds, compress);
        (name, dir)
    });
    let mut rates = [Vec::new(), Vec::new()];
    for _ in 0..rounds {
        for ((_, dir), rates) in journals.iter().zip(&mut rates) {
            let report = verify(dir, Range::default(), |_| ()).expect("a journal");
            assert!(report.is_same(), "{report:?}");
            rates.push((report.events as f64 / report.elapsed_s, report.events));
        }
    }
    println!("\nreplay with every output compared, one core, median of {rounds} rounds");
    for ((name, _), rates) in journals.iter().zip(&mut rates) {
        rates.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (rate, events) = rates[rates.len() / 2];
        println!("{name:<22} {:.2} million events a second ({events} events)", rate / 1e6);
    }
    // Settings are part of the state, and one of them differs; what happened is the same.
    assert_eq!(rates[0][0].1, rates[1][0].1, "the same events either way");
}

fn main() {
    let quick = std::env::args().any(|arg| arg == "--test");
    appends(quick);
    replays(quick);
}
