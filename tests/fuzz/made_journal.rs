//! A small journal as a process that died leaves it: an engine's, with a position and its stop; its first
//! segment compressed, its last records in the ring alone, and two snapshots.

use std::fs;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use quantum_trader::event::record::{Entry, Record, encode_event, encode_output};
use quantum_trader::event::*;
use quantum_trader::host::ring_dir;
use quantum_trader::journal::archive::{ArchiveOptions, ArchiveWriter};
use quantum_trader::journal::ring::{RingConfig, RingWriter};
use quantum_trader::num::*;
use quantum_trader::replay::Follower;
use quantum_trader::risk::config::Settings;

use crate::journal_support::{BTC, IDENTITY, Unsynced, btcusdt, quote, run_start};

const RING_SLOTS: u64 = 32;
const SEGMENT_RECORDS: u64 = 60;
/// Of the records, so many are in the ring alone.
const UNARCHIVED: usize = 12;
const START: TimeNs = TimeNs(1_721_001_600_000_000_000);
const PRICE: Ticks = Ticks(600_000);

pub struct Journal {
    pub records: Vec<Record>,
    /// So many of them are there before there is an engine.
    pub opening: usize,
    /// Names and bytes, in order.
    pub files: Vec<(String, Vec<u8>)>,
}

pub fn journal() -> &'static Journal {
    static JOURNAL: OnceLock<Journal> = OnceLock::new();
    JOURNAL.get_or_init(write)
}

struct Writer {
    engine: Follower,
    records: Vec<Record>,
    now: TimeNs,
    snapshots: Vec<(u64, Vec<u8>)>,
}

impl Writer {
    fn event(&mut self, instrument: InstrumentId, body: EventBody) {
        self.now = self.now + NS_PER_MS;
        let (recv_ns, records) = (self.now, &mut self.records);
        let event = Event { recv_ns, instrument, body };
        let first = records.len() as u64 + 1;
        encode_event(&event, first, |record| records.push(*record));
        self.engine.take(first, &Entry::Event(event)).unwrap();
        let Some(caused) = self.engine.cut() else { return };
        for (index, output) in caused.missing.iter().enumerate() {
            let (next, commit) = (records.len() as u64 + 1, index + 1 == caused.missing.len());
            encode_output(output, recv_ns, commit, next, |record| records.push(*record));
            self.engine.take(next, &Entry::Output { recv_ns, output: *output, commit }).unwrap();
        }
    }

    fn snapshot(&mut self) {
        let (engine, sequence) = (self.engine.engine().unwrap(), self.records.len() as u64);
        self.snapshots.push((sequence, engine.snapshot(sequence)));
    }
}

/// An entry that fills in two parts, its stop, and quotes between and behind.
fn steps() -> Writer {
    let settings = Settings { require_trend: false, max_data_age_ms: 60_000, ..Settings::DEFAULT };
    let (engine, records, snapshots) = (Follower::new(), Vec::new(), Vec::new());
    let mut writer = Writer { engine, records, now: START, snapshots };
    let none = InstrumentId::NONE;
    writer.event(none, run_start());
    writer.event(BTC, EventBody::Instrument(btcusdt()));
    ConfigText::split(&settings.to_toml()).for_each(|piece| writer.event(none, EventBody::ConfigText(piece)));
    let setup = VenueSetup { leverage: 5, isolated: false, one_way: true, single_asset: true, pad: 0 };
    writer.event(none, EventBody::VenueSetup(setup));
    let (wallet, reason) = (Dec::int(10_000), AccountReason::Snapshot);
    let account = AccountUpdate { wallet, change: Dec::ZERO, event_ms: 0, reason, pad: [0; 7] };
    writer.event(none, EventBody::AccountUpdate(account));
    (0..6).for_each(|i| writer.event(BTC, quote(i)));
    writer.snapshot();
    writer.event(BTC, EventBody::Prices(Prices { price: PRICE, bid: PRICE, ask: PRICE, mark: PRICE }));
    writer.event(BTC, EventBody::SignalWithConditions(signal()));
    writer.event(BTC, update(1, OrderStatus::Accepted, 0));
    writer.event(BTC, fill(1, 4));
    writer.event(BTC, fill(2, 4));
    writer.event(BTC, update(1, OrderStatus::Filled, 8));
    writer.snapshot();
    writer.event(BTC, update(2, OrderStatus::Accepted, 0));
    (0..12).for_each(|i| writer.event(BTC, quote(20 + i)));
    writer
}

fn signal() -> SignalWithConditions {
    let signal = Signal {
        confidence: [Dec::new(9, 1), Dec::ZERO, Dec::ZERO, Dec::ZERO],
        ballot: Ballot::of([Action::Abstain; SEATS]),
        given: true,
        action: Action::Long,
        consensus: Consensus::Strong,
        source: SignalSource::External,
        pad: [0; 8],
    };
    SignalWithConditions {
        signal,
        atr: Dec::int(1_200),
        ema: Dec::int(60_000),
        volume_24h: Dec::int(5_000_000_000),
        spread_bps: Dec::ONE,
        bid: Ticks::ZERO,
        ask: Ticks::ZERO,
        spread: SpreadGiven::Bps,
        atr_given: true,
        ema_given: true,
        volume_given: true,
        pad: [0; 12],
    }
}

fn update(order: u32, status: OrderStatus, filled: i64) -> EventBody {
    EventBody::OrderUpdate(OrderUpdate {
        order: OrderId::new(IDENTITY.epoch, order),
        venue_id: i64::from(order),
        filled: Lots(filled),
        event_ms: 1,
        code: 0,
        status,
        pad: [0; 3],
    })
}

fn fill(trade_id: i64, quantity: i64) -> EventBody {
    EventBody::Fill(Fill {
        order: OrderId::new(IDENTITY.epoch, 1),
        trade_id,
        fee: Dec::new(12, 2),
        price: PRICE,
        quantity: Lots(quantity),
        event_ms: 1,
        side: Side::Buy,
        maker: false,
        cause: FillCause::Order,
        pad: [0; 5],
    })
}

fn write() -> Journal {
    let Writer { records, snapshots, .. } = steps();
    assert!(records.iter().any(|record| record.kind_name() == "EntryFilled"), "it trades");
    let opening = records.iter().rposition(|record| record.kind_name() == "ConfigText").unwrap() + 1;
    let home = tempfile::tempdir_in(ring_dir()).unwrap();
    let dir = home.path();
    let disk = Arc::new(Unsynced);
    let options = ArchiveOptions { segment_records: SEGMENT_RECORDS, disk, ..ArchiveOptions::default() };
    let mut archive = ArchiveWriter::with_options(dir, &IDENTITY, options).unwrap();
    let archived = records.len() - UNARCHIVED;
    for record in &records[..archived] {
        archive.append(std::slice::from_ref(record)).unwrap();
    }
    archive.sync().unwrap();
    // What closed segments are compressed by ends here, and is done.
    drop(archive);
    write_ring(dir, &records, archived as u64);
    for (sequence, bytes) in snapshots {
        fs::write(dir.join(format!("snapshot-{sequence:020}.qts")), bytes).unwrap();
    }
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    let mut files: Vec<(String, Vec<u8>)> = entries
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
        .collect();
    files.sort();
    Journal { records, opening, files }
}

fn write_ring(dir: &Path, records: &[Record], archived: u64) {
    let config = RingConfig { path: dir.join("ring"), slots: RING_SLOTS };
    let mut ring = RingWriter::create(&config, &IDENTITY).unwrap();
    let watermarks = ring.watermarks();
    for record in records {
        watermarks.set_drained(record.sequence.saturating_sub(RING_SLOTS));
        ring.append(record).unwrap();
    }
    watermarks.set_drained(archived);
    watermarks.set_durable(archived);
}
