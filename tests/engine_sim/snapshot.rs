//! Snapshots: an engine read back goes on as the one that was written; bytes that are not a snapshot
//! are refused; and no bytes, whatever their checksum, make an engine panic.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use bolero::check;
use quantum_trader::decode::{Decoded, Decoder};
use quantum_trader::engine::{Engine, Outbox, SNAPSHOT_HEADER_BYTES, SnapshotError};
use quantum_trader::event::*;
use quantum_trader::host::alloc::thread_allocations;
use quantum_trader::num::*;
use quantum_trader::risk::config::Settings;
use quantum_trader::sim::link::{Link, LinkConfig};
use quantum_trader::sim::market::{Frames, MarketSource, Synthetic, SyntheticConfig};
use quantum_trader::sim::venue::{Venue, VenueConfig};
use quantum_trader::trade::OrderState;
use quantum_trader::venue::builtin_instruments;

use super::hostile;
use super::market::{Dice, START};
use super::world::{Line, World};
use super::{TICKS, seeds};

/// Runs a line; all of them with `QT_SEEDS`.
const RUNS: usize = 12;
/// A snapshot after so many events, on average.
const EVERY: i64 = 60;
/// Mutated snapshots, and events that those taken for one are given.
const MUTATIONS: usize = 4_000;
const EVENTS: usize = 300;
const FRAMES: usize = 20_000;

/// What the engine was in the middle of when a snapshot was taken.
#[derive(Clone, Copy, Debug, Default)]
pub struct Moments {
    taken: u64,
    open: u64,
    partly_entered: u64,
    unknown: u64,
    closing: u64,
    lowered: u64,
    paused: u64,
    disputed: u64,
}

/// An engine that is written and read back now and then, and given every event of the other one.
pub struct Shadow {
    dice: Dice,
    engine: Option<Engine>,
    out: Box<Outbox>,
    events: u64,
    paused_until: TimeNs,
    /// The venue has just said that our position is another one.
    disputed: bool,
    moments: Moments,
}

impl Shadow {
    pub fn new(seed: u64) -> Shadow {
        Shadow {
            dice: Dice::new(seed),
            engine: None,
            out: Outbox::new(),
            events: 0,
            paused_until: TimeNs(i64::MIN),
            disputed: false,
            moments: Moments::default(),
        }
    }

    /// Before an event that `engine` is about to take.
    pub fn before(&mut self, engine: &Engine) {
        if self.disputed || self.dice.one_in(EVERY) {
            self.note(engine);
            let bytes = engine.snapshot(self.events);
            let (restored, sequence) = Engine::restore(&bytes).expect("a snapshot just taken");
            assert_eq!(sequence, self.events);
            assert!(restored.snapshot(sequence) == bytes, "it is written as it was read");
            self.engine = Some(restored);
        }
        self.events += 1;
    }

    fn note(&mut self, engine: &Engine) {
        let Moments { taken, open, partly_entered, unknown, closing, lowered, paused, disputed } =
            &mut self.moments;
        let count = |counter: &mut u64, met: bool| *counter += u64::from(met);
        let trades = || engine.trades().iter();
        count(taken, true);
        count(open, trades().any(|trade| trade.open().0 > 0));
        count(partly_entered, trades().any(|trade| trade.open().0 > 0 && trade.entry_working()));
        count(unknown, trades().any(|trade| trade.orders.iter().any(|o| o.state == OrderState::Unknown)));
        count(closing, trades().any(|trade| trade.closing.is_some()));
        count(lowered, engine.controller().state() != TradingState::Active);
        count(paused, engine.now() < self.paused_until);
        count(disputed, self.disputed);
    }

    /// After the event: `said` is what `engine` made of it.
    pub fn after(&mut self, event: &Event, engine: &Engine, said: &[Output]) {
        self.disputed = matches!(&event.body, EventBody::VenuePosition(position) if {
            let ours = engine.trades().iter().find(|trade| trade.instrument == event.instrument && !trade.finished);
            let ours = ours.map_or(0, |trade| trade.open().0 * trade.side().sign());
            event.instrument.0 < 3 && position.quantity.0 != ours
        });
        for output in said {
            if let OutputBody::LimitChanged(LimitChanged { limit: Limit::CircuitBreaker, until_ns, .. }) =
                output.body
            {
                self.paused_until = until_ns;
            }
        }
        if let Some(restored) = &mut self.engine {
            let allocations = thread_allocations();
            restored.step(event, &mut self.out);
            assert_eq!(thread_allocations() - allocations, 0, "a restored engine allocates nothing");
            assert_eq!(self.out.outputs(), said, "after {event:?}");
        }
    }

    fn end(&self, engine: &Engine) {
        let restored = self.engine.as_ref().expect("some snapshot was taken");
        assert_eq!(restored.state_hash(), engine.state_hash());
    }
}

impl Moments {
    fn add(&mut self, other: Moments) {
        let Moments { taken, open, partly_entered, unknown, closing, lowered, paused, disputed } = other;
        self.taken += taken;
        self.open += open;
        self.partly_entered += partly_entered;
        self.unknown += unknown;
        self.closing += closing;
        self.lowered += lowered;
        self.paused += paused;
        self.disputed += disputed;
    }

    fn least(&self) -> u64 {
        let Moments { taken, open, partly_entered, unknown, closing, lowered, paused, disputed } = *self;
        [taken, open, partly_entered, unknown, closing, lowered, paused, disputed].into_iter().min().unwrap()
    }
}

/// A world under way, hostile now and then where its line is.
fn run(seed: u64, line: Line, ticks: usize) -> World {
    let mut world = World::new(seed, line);
    world.shadow = Some(Shadow::new(seed));
    for _ in 0..ticks {
        world.tick();
        if line == Line::Hostile && world.dice.one_in(1 + (seed % 5) as i64 * 20) {
            world.hostile();
        }
    }
    world
}

#[test]
fn an_engine_read_back_goes_on_as_the_one_that_was_written() {
    assert!(thread_allocations() > 0, "allocations are counted");
    let mut all = Moments::default();
    for line in [Line::Honest, Line::Shuffled, Line::Lossy, Line::Hostile] {
        let runs = if std::env::var_os("QT_SEEDS").is_some() { usize::MAX } else { RUNS };
        for seed in seeds().take(runs) {
            eprintln!("{line:?} seed {seed}");
            let world = run(seed, line, TICKS);
            let shadow = world.shadow.as_ref().unwrap();
            shadow.end(&world.engine);
            all.add(shadow.moments);
        }
    }
    eprintln!("{all:?}");
    if seeds().count() >= RUNS {
        assert!(all.least() > 10, "too little happened: {all:?}");
    }
}

/// Frames through decoder, engine and venue, with a shadow beside it.
fn through(
    mut source: impl MarketSource,
    table: &InstrumentTable,
    settings: &Settings,
    history: &[Event],
) -> (Engine, Shadow) {
    let account =
        VenueConfig { wallet: settings.sim_equity, leverage: settings.venue_leverage, funding: true };
    let delays =
        LinkConfig { order_latency_ns: 1_000_000, report_latency_ns: 1_000_000, jitter_ns: 0, seed: 1 };
    let mut link = Link::new(Venue::new(table.clone(), account), delays);
    let mut decoder = Decoder::new(table, 64 * 1024);
    let (mut engine, mut out, mut shadow) = (Engine::new(settings, table), Outbox::new(), Shadow::new(1));
    let mut take = |event: &Event, link: &mut Link| {
        shadow.before(&engine);
        engine.step(event, &mut out);
        shadow.after(event, &engine, out.outputs());
        for output in out.outputs() {
            if let Some(instruction) = output.instruction() {
                link.send(event.recv_ns, output.instrument, instruction);
            }
        }
    };
    for event in history {
        take(event, &mut link);
    }
    for (instrument, body) in link.venue().snapshot() {
        take(&Event { recv_ns: TimeNs(0), instrument, body }, &mut link);
    }
    let (mut frame, mut timer_due) = (Vec::new(), TimeNs(0));
    for _ in 0..FRAMES {
        frame.clear();
        let Some(time) = source.next_frame(&mut frame).unwrap() else { break };
        while let Some(delivery) = link.poll(time) {
            for event in delivery.events() {
                take(&event, &mut link);
            }
        }
        if time >= timer_due {
            timer_due = time + NS_PER_SEC;
            take(&Event::global(time, EventBody::Timer(Timer { count: 1 })), &mut link);
        }
        let Ok(Decoded::Event(event)) = decoder.decode(time, &frame) else { continue };
        link.market(time, &event);
        take(&event, &mut link);
    }
    shadow.end(&engine);
    (engine, shadow)
}

fn start(instruments: &InstrumentTable) -> Event {
    Event::global(
        TimeNs(0),
        EventBody::RunStart(RunStart {
            run_id: 1,
            build_id: 1,
            epoch: 1,
            instruments: instruments.len() as u32,
            resting_stops: true,
            simulated: true,
            rule_voters: true,
            pad: [0; 5],
        }),
    )
}

#[test]
fn a_made_market_with_full_windows_and_open_positions_is_read_back() {
    let config = SyntheticConfig { bar_interval_s: 5, ..SyntheticConfig::newcomer() };
    let settings = Settings { bar_interval_s: 5, correlation_bars: 60, ..Settings::DEFAULT };
    let table = config.instruments("0.0005").unwrap();
    let source = Synthetic::new(config, 1).unwrap();
    let mut history = vec![start(&table)];
    history.extend(source.history(5, 250).into_iter().map(|(instrument, bar)| Event {
        recv_ns: source.start(),
        instrument,
        body: EventBody::Bar(bar),
    }));
    let (engine, shadow) = through(source, &table, &settings, &history);
    eprintln!("{:?}", shadow.moments);
    assert!(shadow.moments.taken > 100 && shadow.moments.open > 20, "{:?}", shadow.moments);
    let [a, b] = [0, 1].map(|i| &engine.market(InstrumentId(i)).unwrap().returns);
    assert!(matches!(a.correlate(b), quantum_trader::market::Correlation::Known { .. }));
}

#[test]
fn a_recorded_market_is_read_back() {
    let data =
        std::env::var_os("QT_TEST_DATA").map_or_else(|| PathBuf::from("../shared/data"), PathBuf::from);
    let Some(path) = std::fs::read_dir(data.join("frames")).ok().and_then(|files| {
        let mut paths: Vec<_> = files.filter_map(|file| Some(file.ok()?.path())).collect();
        paths.retain(|path| path.to_string_lossy().ends_with(".tsv.zst"));
        paths.sort();
        paths.into_iter().next()
    }) else {
        return eprintln!("skipped: no frames in {} (QT_TEST_DATA)", data.display());
    };
    let table = builtin_instruments("0.0005").unwrap();
    let settings =
        Settings { bar_interval_s: 1, ema_period: 5, min_stop_cost: Dec::ZERO, ..Settings::DEFAULT };
    let (engine, shadow) = through(Frames::open(&path).unwrap(), &table, &settings, &[start(&table)]);
    eprintln!("{}: {:?}", path.display(), shadow.moments);
    assert!(shadow.moments.taken > 100 && engine.trades().len() <= 4);
}

/// Snapshots of all kinds of moments.
fn samples() -> Vec<Vec<u8>> {
    let lines = [Line::Honest, Line::Lossy, Line::Hostile];
    (0..12)
        .map(|seed| run(seed, lines[seed as usize % 3], 200 + 100 * seed as usize).engine.snapshot(seed))
        .collect()
}

#[test]
fn every_cut_and_every_flipped_bit_is_refused() {
    let small =
        InstrumentTable::new(vec![*super::market::instruments().get(InstrumentId(0)).unwrap()]).unwrap();
    let bytes = Engine::new(&Settings::DEFAULT, &small).snapshot(7);
    for length in 0..bytes.len() {
        let error = Engine::restore(&bytes[..length]).unwrap_err();
        let cut = SnapshotError::Cut { expected: bytes.len().max(32) as u64, found: length as u64 };
        let expected = match length {
            0..8 => SnapshotError::NotASnapshot,
            8..SNAPSHOT_HEADER_BYTES => SnapshotError::Cut { expected: 32, found: length as u64 },
            _ => cut,
        };
        assert_eq!(error, expected);
    }
    let mut longer = bytes.clone();
    longer.push(0);
    assert_eq!(Engine::restore(&longer).unwrap_err(), SnapshotError::Trailing(1));
    let mut damaged = bytes;
    for bit in 0..damaged.len() * 8 {
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(Engine::restore(&damaged).is_err(), "bit {bit}");
        damaged[bit / 8] ^= 1 << (bit % 8);
    }
    assert!(Engine::restore(&damaged).is_ok());
}

/// The checksum that whoever made the bytes up would write.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let length = (bytes.len() - SNAPSHOT_HEADER_BYTES) as u64;
    bytes[16..24].copy_from_slice(&length.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[16..]);
    bytes[12..16].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// Where values are: volumes of minutes without a trade and fills to come are long rows of zeros. The
/// settings' texts are long, too, and one place in ten of theirs is enough.
fn places(bytes: &[u8]) -> Vec<usize> {
    let last = b"QT_MLOCK";
    let settings_end = bytes.windows(last.len()).position(|name| name == last).unwrap();
    let near =
        |at: usize| bytes[at.saturating_sub(16)..bytes.len().min(at + 16)].iter().any(|byte| *byte != 0);
    (SNAPSHOT_HEADER_BYTES..bytes.len() - 16)
        .filter(|at| near(*at) && (*at > settings_end || at % 10 == 0))
        .collect()
}

/// A few values overwritten.
fn mutate(bytes: &mut Vec<u8>, places: &[usize], dice: &mut Dice) {
    for _ in 0..dice.between(1, 3) {
        let at = dice.pick(places);
        let numbers = [0, 1, -1, i128::MAX, i128::MIN, i64::MAX.into(), i64::MIN.into(), 1 << 53];
        let width = dice.pick(&[1, 1, 2, 4, 8, 8, 16]);
        if dice.one_in(2) {
            bytes[at..at + width].copy_from_slice(&dice.pick(&numbers).to_le_bytes()[16 - width..]);
        } else {
            bytes[at] = bytes[at].wrapping_add(dice.pick(&[1, 255, 3, 128]));
        }
    }
    if dice.one_in(50) {
        let length = dice.between(SNAPSHOT_HEADER_BYTES as i64, bytes.len() as i64);
        bytes.truncate(length as usize);
    }
}

/// Whatever is read as an engine is one: it takes any events, and says what it may.
fn live_on(mut engine: Engine, dice: &mut Dice) {
    let (mut market, mut out) =
        (super::market::Market::new(super::market::instruments(), dice), Outbox::new());
    let mut now = engine.now().max(START);
    let ids: Vec<OrderId> =
        engine.trades().iter().flat_map(|trade| trade.orders.iter().map(|order| order.id)).collect();
    for _ in 0..EVENTS {
        now = now + dice.between(0, 2_000) * NS_PER_MS;
        let event = match dice.between(0, 4) {
            0 => Event::global(now, EventBody::Timer(Timer { count: 1 })),
            1 | 2 => market.next(now, dice),
            _ => hostile::event(dice, now, &ids),
        };
        engine.step(&event, &mut out);
    }
    engine.step(
        &Event::global(now, EventBody::Command(Command { command: CommandKind::Flatten, pad: [0; 7] })),
        &mut out,
    );
    let bytes = engine.snapshot(1);
    let again = Engine::restore(&bytes).expect("what an engine became can be read back");
    assert!(again.0.snapshot(1) == bytes);
}

#[test]
fn no_bytes_make_an_engine_panic() {
    let samples = samples().into_iter().map(|bytes| (bytes.clone(), places(&bytes))).collect::<Vec<_>>();
    let (taken, refused) = (AtomicU64::new(0), Mutex::new(BTreeMap::<String, u64>::new()));
    check!().with_iterations(MUTATIONS).with_type::<u64>().for_each(|seed| {
        let mut dice = Dice::new(*seed);
        let (sample, places) = &samples[dice.between(0, samples.len() as i64 - 1) as usize];
        let mut bytes = sample.clone();
        mutate(&mut bytes, places, &mut dice);
        match Engine::restore(&sealed(bytes)) {
            Ok((engine, _)) => {
                taken.fetch_add(1, Ordering::Relaxed);
                live_on(engine, &mut dice);
            }
            Err(error) => *refused.lock().unwrap().entry(error.to_string()).or_default() += 1,
        }
    });
    let refused = refused.into_inner().unwrap();
    eprintln!("{taken:?} taken for engines, refused: {refused:#?}");
    let (taken, bad) = (taken.into_inner(), refused.values().sum::<u64>());
    assert!(taken > bad / 4 && refused.len() > 20, "{taken} taken, {bad} refused");
}
