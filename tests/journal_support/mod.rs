//! A small run to journal, and what the journal tests share.
#![allow(dead_code)] // Each test binary uses its part.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use quantum_trader::event::record::{Record, encode_event, encode_output};
use quantum_trader::event::*;
use quantum_trader::journal::archive::{ArchiveWriter, Place};
use quantum_trader::journal::disk::{Disk, RealDisk};
use quantum_trader::journal::{Identity, JournalReader};
use quantum_trader::num::{Dec, InstrumentId, Lots, OrderId, Side, Size, Ticks, TimeNs};

pub const IDENTITY: Identity = Identity {
    run_id: 0x1122_3344_5566_7788,
    build_id: 42,
    epoch: 7,
    clock: quantum_trader::journal::ClockCalibration { ticks: 0, recv_ns: 0, ns_per_tick_q32: 0 },
};

pub const BTC: InstrumentId = InstrumentId(0);
const START: TimeNs = TimeNs(1_721_001_600_000_000_000);

/// An event and what it caused.
#[derive(Clone, Debug)]
pub struct Step {
    pub event: Event,
    pub outputs: Vec<Output>,
}

pub fn btcusdt() -> Instrument {
    Instrument::from_spec(&InstrumentSpec {
        symbol: "BTCUSDT",
        tick: "0.1",
        step: "0.001",
        min_quantity: "0.001",
        max_quantity: "",
        min_notional: "50",
        taker_fee: "0.0005",
        maintenance_margin: "0.004",
        size_unit: SizeUnit::Base,
    })
    .unwrap()
}

/// Of the start after `before` others.
pub fn identity(before: u32) -> Identity {
    Identity { run_id: IDENTITY.run_id + u64::from(before), epoch: IDENTITY.epoch + before, ..IDENTITY }
}

pub fn run_start() -> EventBody {
    run_start_of(&IDENTITY)
}

pub fn run_start_of(identity: &Identity) -> EventBody {
    EventBody::RunStart(RunStart {
        run_id: identity.run_id,
        build_id: identity.build_id,
        epoch: identity.epoch,
        instruments: 1,
        resting_stops: true,
        simulated: true,
        rule_voters: true,
        pad: [0; 5],
    })
}

pub fn run_end() -> EventBody {
    EventBody::RunEnd(RunEnd { reason: EndReason::MarketEnd, pad: [0; 7] })
}

pub fn quote(i: i64) -> EventBody {
    EventBody::Quote(Quote {
        bid: Ticks(639_438 + i),
        bid_size: Size(1_500_000),
        ask: Ticks(639_439 + i),
        ask_size: Size(250_000),
        update_id: 1_000 + i,
        transaction_ms: 1_721_001_600_000 + i,
        event_ms: 1_721_001_600_001 + i,
    })
}

pub fn order(sequence: u32) -> OutputBody {
    OutputBody::Order(Order {
        id: OrderId::new(IDENTITY.epoch, sequence),
        trade: OrderId::new(IDENTITY.epoch, sequence),
        quantity: Lots(10),
        trigger: Ticks(0),
        reference: Ticks(639_439),
        side: Side::Buy,
        kind: OrderKind::Market,
        purpose: Purpose::Entry,
        working_type: WorkingType::ContractPrice,
        reduce_only: false,
        pad: [0; 3],
    })
}

pub fn trade_closed() -> OutputBody {
    OutputBody::TradeClosed(TradeClosed {
        pnl: Dec::new(-2251, 2),
        fees: Dec::new(64, 2),
        funding: Dec::ZERO,
        slippage: Dec::new(1, 1),
        r_multiple: Dec::new(-1, 0),
        mfe: Dec::new(25, 2),
        mae: Dec::ONE,
        entry: Dec::new(639_439, 1),
        exit: Dec::new(617_000, 1),
        trade: OrderId::new(IDENTITY.epoch, 1),
        quantity: Lots(10),
        opened_ns: START,
        closed_ns: START + 5,
        best: Ticks(640_000),
        worst: Ticks(617_000),
        state: TradeState::ClosedSl,
        signal: ExitSignal::StopLoss,
        side: Side::Buy,
        consensus: Consensus::Strong,
        pad: [0; 12],
    })
}

/// RunStart, an instrument, `quotes` quotes of which every third causes outputs, RunEnd.
pub fn sample(quotes: i64) -> Vec<Step> {
    let at = |i: i64, instrument: InstrumentId, body: EventBody| Event {
        recv_ns: START + i * 1_000,
        instrument,
        body,
    };
    let out = |body: OutputBody| Output { instrument: BTC, body };
    let mut steps = vec![
        Step { event: at(0, InstrumentId::NONE, run_start()), outputs: vec![] },
        Step { event: at(0, BTC, EventBody::Instrument(btcusdt())), outputs: vec![] },
    ];
    for i in 1..=quotes {
        let outputs = match i % 3 {
            0 => vec![out(order(i as u32)), out(trade_closed())],
            _ => vec![],
        };
        steps.push(Step { event: at(i, BTC, quote(i)), outputs });
    }
    steps.push(Step { event: at(quotes + 1, InstrumentId::NONE, run_end()), outputs: vec![] });
    steps
}

/// The records a journal of these steps holds.
pub fn records(steps: &[Step]) -> Vec<Record> {
    let mut records: Vec<Record> = Vec::new();
    for step in steps {
        let next = records.len() as u64 + 1;
        encode_event(&step.event, next, |r| records.push(*r));
        for (i, output) in step.outputs.iter().enumerate() {
            let (next, commit) = (records.len() as u64 + 1, i + 1 == step.outputs.len());
            encode_output(output, step.event.recv_ns, commit, next, |r| records.push(*r));
        }
    }
    records
}

/// Entries of starts by kind: `e` event, `o` output, `t` one of three records, `c` output that commits, `s`
/// RunStart, `x` RunEnd; `|` ends a start.
pub fn spell(word: &str) -> Vec<Vec<Record>> {
    let mut starts = vec![Vec::new()];
    let (mut at, mut next, instrument) = (0, 1, BTC);
    for letter in word.chars() {
        let identity = identity(starts.len() as u32 - 1);
        let records: &mut Vec<Record> = starts.last_mut().unwrap();
        let mut event = |body| {
            at += 1;
            encode_event(&Event { recv_ns: TimeNs(at), instrument, body }, next, |r| records.push(*r))
        };
        next += match letter {
            's' => event(run_start_of(&identity)),
            'x' => event(run_end()),
            'e' => event(quote(1)),
            'o' | 'c' | 't' => {
                let body = if letter == 't' { trade_closed() } else { order(1) };
                let output = Output { instrument, body };
                encode_output(&output, TimeNs(at), letter == 'c', next, |r| records.push(*r))
            }
            '|' => {
                starts.push(Vec::new());
                0
            }
            other => panic!("no entry is spelled {other:?}"),
        };
    }
    starts
}

/// An archive of these starts, and nothing else.
pub fn write_starts(dir: &Path, word: &str) -> Vec<Record> {
    let starts = spell(word);
    let mut archive = ArchiveWriter::with_segment_records(dir, &IDENTITY, 1 << 20).unwrap();
    for (before, records) in starts.iter().enumerate() {
        if before > 0 {
            archive.begin(&identity(before as u32)).unwrap();
        }
        archive.append(records).unwrap();
    }
    archive.sync().unwrap();
    starts.concat()
}

/// A timer whose bytes follow from its sequence number.
pub fn timer(sequence: u64) -> Event {
    let body = EventBody::Timer(Timer { count: sequence.wrapping_mul(0x9e37_79b9_7f4a_7c15) });
    Event::global(TimeNs(sequence as i64 * 7), body)
}

pub fn timer_record(sequence: u64) -> Record {
    let mut found = None;
    encode_event(&timer(sequence), sequence, |r| found = Some(*r));
    found.unwrap()
}

/// An archive of these records, and nothing else.
pub fn write_archive(dir: &Path, records: &[Record], segment_records: u64) {
    let mut archive = ArchiveWriter::with_segment_records(dir, &IDENTITY, segment_records).unwrap();
    archive.append(records).unwrap();
    archive.sync().unwrap();
}

/// The machine's disk, which nobody waits for.
#[derive(Debug)]
pub struct Unsynced;

impl Disk for Unsynced {
    fn create(&self, path: &Path) -> io::Result<File> {
        RealDisk.create(path)
    }

    fn open(&self, path: &Path) -> io::Result<File> {
        RealDisk.open(path)
    }

    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        RealDisk.write_at(file, bytes, offset)
    }

    fn truncate(&self, file: &File, bytes: u64) -> io::Result<()> {
        RealDisk.truncate(file, bytes)
    }

    fn sync(&self, _: &File) -> io::Result<()> {
        Ok(())
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }
}

/// A disk that fails on demand, in the ways that hurt: a write is done in part, and a sync that fails loses
/// what was written since the last one, though the next sync succeeds.
#[derive(Debug, Default)]
pub struct Flaky {
    calls: AtomicU64,
    fails: Mutex<Range<u64>>,
    /// File, offset and length of what is not synced.
    dirty: Mutex<Vec<(File, u64, usize)>>,
}

impl Flaky {
    /// From the call `first` after the next one on, `calls` of them fail.
    pub fn fail(&self, first: u64, calls: u64) {
        let now = self.calls();
        *self.fails.lock().unwrap() = now + first..(now + first).saturating_add(calls);
    }

    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    /// Whether a call has failed since the last demand.
    pub fn failed(&self) -> bool {
        self.calls() > self.fails.lock().unwrap().start
    }

    fn call(&self) -> io::Result<()> {
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        let fails = self.fails.lock().unwrap().contains(&call);
        if fails { Err(io::Error::from_raw_os_error(28)) } else { Ok(()) }
    }
}

impl Disk for Flaky {
    fn create(&self, path: &Path) -> io::Result<File> {
        self.call()?;
        RealDisk.create(path)
    }

    fn open(&self, path: &Path) -> io::Result<File> {
        self.call()?;
        RealDisk.open(path)
    }

    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.dirty.lock().unwrap().push((file.try_clone()?, offset, bytes.len()));
        if let Err(error) = self.call() {
            RealDisk.write_at(file, &bytes[..bytes.len() / 3], offset)?;
            return Err(error);
        }
        RealDisk.write_at(file, bytes, offset)
    }

    fn truncate(&self, file: &File, bytes: u64) -> io::Result<()> {
        self.call()?;
        RealDisk.truncate(file, bytes)
    }

    fn sync(&self, _: &File) -> io::Result<()> {
        let called = self.call();
        for (file, offset, length) in self.dirty.lock().unwrap().drain(..) {
            if called.is_err() {
                RealDisk.write_at(&file, &vec![0; length], offset)?;
            }
        }
        called
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        self.call()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call()?;
        RealDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.call()?;
        RealDisk.remove(path)
    }
}

/// Everything a journal gives, and the line it ends with if it is damaged.
pub fn recover(dir: &Path) -> (Vec<Record>, Option<String>) {
    let mut found: Vec<Record> = Vec::new();
    let mut reader = match JournalReader::open(dir) {
        Ok(reader) => reader,
        Err(error) => return (found, Some(error.to_string())),
    };
    loop {
        match reader.next_record() {
            Ok(Some((record, Place::Segment(..) | Place::Ring(_)))) => found.push(record),
            Ok(None) => return (found, None),
            Err(error) => return (found, Some(error.to_string())),
        }
    }
}

/// Every complaint is one line that names its file.
pub fn assert_one_line(text: &str, names: &str) {
    assert!(!text.contains('\n') && text.contains(names), "{text:?} should be one line naming {names:?}");
}
