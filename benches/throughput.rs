//! How many events a second does the engine take, does it matter how many instruments there are, and how
//! many trades a second does a backtest read and run?
//!
//! **Events.** A made market runs against the simulated venue once, and every event the engine was given is kept:
//! market data, the venue's answers, fills, timers. The figures are of engines that take these events
//! from memory, one after the other, in one thread: the whole risk layer, its exits and its books, with
//! positions open as the header of each group says. Outputs are made and looked at by nobody.
//!
//! **Trades.** `qtx backtest --trades` as it is called, on the recorded trades of `QT_TEST_DATA` if they are
//! there and on made ones four times as long as their quarter: the rate, and the memory of each.
//!
//! Every case is measured in turn, round after round, so that a machine that slows down slows all of
//! them; the ratio of two cases is the median of the rounds' ratios.

use std::fmt::Write as _;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use quantum_trader::decode::{Decoded, Decoder};
use quantum_trader::engine::{Engine, Outbox};
use quantum_trader::event::{Event, EventBody, InstrumentTable, OutputBody, RunStart, Timer};
use quantum_trader::num::{Dec, NS_PER_SEC};
use quantum_trader::risk::config::Settings;
use quantum_trader::sim::link::{Link, LinkConfig};
use quantum_trader::sim::market::{MarketSource, Synthetic, SyntheticConfig};
use quantum_trader::sim::venue::{Venue, VenueConfig};

const SEED: u64 = 1;
const FRAME_BYTES_MAX: usize = 64 * 1024;
const MILLISECOND: u64 = 1_000_000;

/// A run's events and what was going on in it.
struct Recorded {
    name: &'static str,
    settings: Settings,
    instruments: InstrumentTable,
    /// Before the market begins: not measured.
    opening: Vec<Event>,
    events: Vec<Event>,
    decisions: u64,
    approved: u64,
    /// Events at which at least one position was open, and positions open on the average.
    open_share: f64,
    open_mean: f64,
}

impl Recorded {
    /// A made market until `count` events were taken.
    fn made(name: &'static str, config: SyntheticConfig, settings: Settings, count: usize) -> Recorded {
        let bar_interval_s = config.bar_interval_s;
        let settings = Settings { bar_interval_s, ..settings };
        let instruments = config.instruments("0.0005").expect("a plain fee");
        let mut source = Synthetic::new(config, SEED).expect("a valid configuration");
        let mut decoder = Decoder::new(&instruments, FRAME_BYTES_MAX);
        let mut run = Recorded {
            name,
            settings,
            opening: Vec::new(),
            events: Vec::with_capacity(count),
            decisions: 0,
            approved: 0,
            open_share: 0.0,
            open_mean: 0.0,
            instruments,
        };
        let mut engine = Engine::new(&settings, &run.instruments);
        let mut link = venue(&settings, &run.instruments);
        let (mut out, mut frame) = (Outbox::new(), Vec::new());
        let start = source.start();
        let begin = RunStart {
            run_id: 1,
            build_id: 1,
            epoch: 1,
            instruments: run.instruments.len() as u32,
            resting_stops: true,
            simulated: true,
            rule_voters: true,
            pad: [0; 5],
        };
        run.opening.push(Event::global(start, EventBody::RunStart(begin)));
        let history = source.history(bar_interval_s, 250).into_iter();
        run.opening.extend(history.map(|(instrument, bar)| Event {
            recv_ns: start,
            instrument,
            body: EventBody::Bar(bar),
        }));
        let account = link.venue().snapshot().into_iter();
        run.opening.extend(account.map(|(instrument, body)| Event { recv_ns: start, instrument, body }));
        for event in &run.opening {
            engine.step(event, &mut out);
        }
        let mut timer_due = start + NS_PER_SEC;
        while run.events.len() < count {
            let time = source.next_frame(&mut frame).expect("a made market").expect("has no end");
            while let Some(delivery) = link.poll(time.min(timer_due)) {
                for event in delivery.events() {
                    run.take(&mut engine, &mut link, event, &mut out);
                }
            }
            if timer_due <= time {
                let timer = EventBody::Timer(Timer { count: 0 });
                run.take(&mut engine, &mut link, Event::global(timer_due, timer), &mut out);
                timer_due = timer_due + NS_PER_SEC;
            }
            let Ok(Decoded::Event(event)) = decoder.decode(time, &frame) else { continue };
            link.market(time, &event);
            run.take(&mut engine, &mut link, event, &mut out);
        }
        run.open_share /= run.events.len() as f64;
        run.open_mean /= run.events.len() as f64;
        run
    }

    fn take(&mut self, engine: &mut Engine, link: &mut Link, event: Event, out: &mut Outbox) {
        let open = engine.trades().iter().filter(|trade| trade.open().0 > 0).count();
        self.open_share += f64::from(u8::from(open > 0));
        self.open_mean += open as f64;
        engine.step(&event, out);
        self.events.push(event);
        for output in out.outputs() {
            if let OutputBody::Decision(decision) = &output.body {
                self.decisions += 1;
                self.approved += u64::from(decision.approved);
            }
            if let Some(instruction) = output.instruction() {
                link.send(event.recv_ns, output.instrument, instruction);
            }
        }
    }

    /// Nanoseconds an event, over all of them.
    fn replay(&self) -> f64 {
        let mut engine = Engine::new(&self.settings, &self.instruments);
        let (mut out, mut outputs) = (Outbox::new(), 0);
        for event in &self.opening {
            engine.step(event, &mut out);
        }
        let began = Instant::now();
        for event in &self.events {
            engine.step(black_box(event), &mut out);
            outputs += out.outputs().len();
        }
        let ns = began.elapsed().as_nanos() as f64;
        black_box(outputs);
        ns / self.events.len() as f64
    }

    fn header(&self) -> String {
        let share = |of: &dyn Fn(&EventBody) -> bool| {
            self.events.iter().filter(|event| of(&event.body)).count() as f64 / self.events.len() as f64
                * 100.0
        };
        format!(
            "{}: {} events of {} instruments ({:.0}% quotes, {:.0}% trades), {} decisions, {} approved; \
             a position open at {:.0}% of them, {:.1} on the average",
            self.name,
            self.events.len(),
            self.instruments.len(),
            share(&|body| matches!(body, EventBody::Quote(_))),
            share(&|body| matches!(body, EventBody::AggTrade(_) | EventBody::Trade(_))),
            self.decisions,
            self.approved,
            self.open_share * 100.0,
            self.open_mean
        )
    }
}

fn venue(settings: &Settings, instruments: &InstrumentTable) -> Link {
    let account =
        VenueConfig { wallet: settings.sim_equity, leverage: settings.venue_leverage, funding: true };
    let latency = LinkConfig {
        order_latency_ns: MILLISECOND,
        report_latency_ns: MILLISECOND,
        jitter_ns: 0,
        seed: SEED,
    };
    Link::new(Venue::new(instruments.clone(), account), latency)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn events(count: usize, rounds: usize) {
    let lively = |instruments: usize| SyntheticConfig {
        listings: SyntheticConfig::wide(instruments).listings,
        frames_per_second: None,
        ..SyntheticConfig::newcomer()
    };
    let usual = Settings::DEFAULT;
    // As many positions as may be open at once, small ones.
    let crowded = Settings {
        max_concurrent_trades: 32,
        max_position_usd: Dec::int(100),
        max_correlation: Dec::ONE,
        enable_open_risk: false,
        require_trend: false,
        ..usual
    };
    let runs = [
        Recorded::made("eight", SyntheticConfig::newcomer(), usual, count),
        Recorded::made("one", lively(1), usual, count),
        Recorded::made("hundred", lively(100), usual, count),
        Recorded::made("crowded", lively(100), crowded, count),
    ];
    for run in &runs {
        println!("{}", run.header());
    }
    let mut ns: Vec<Vec<f64>> = vec![Vec::new(); runs.len()];
    for _ in 0..rounds {
        for (run, ns) in runs.iter().zip(&mut ns) {
            ns.push(run.replay());
        }
    }
    println!();
    for (run, ns) in runs.iter().zip(&ns) {
        let ns = median(ns.clone());
        println!("{:<8} {ns:6.1} ns an event, {:5.1} million events a second", run.name, 1e3 / ns);
    }
    for (name, of) in [("hundred", 2), ("crowded", 3)] {
        let ratio = median(ns[of].iter().zip(&ns[1]).map(|(many, one)| many / one).collect());
        println!("{name} against one: {ratio:.2} times the time an event");
    }
}

/// Rows of the aggTrades columns: a trade every half second or so, of a price that wanders.
fn made_trades(path: &Path, count: usize) {
    let (mut text, mut state, mut price, mut ms) = (String::new(), 7u64, 650_000i64, 1_704_067_200_000i64);
    for i in 0..count {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let draw = (state >> 33) as i64;
        price += draw % 41 - 20 + if (i / 4_000).is_multiple_of(2) { 3 } else { -3 };
        ms += draw % 900;
        let (whole, tenth, size) = (price / 10, price % 10, 1 + draw % 900);
        writeln!(text, "{i},{whole}.{tenth},0.{size:03},{i},{i},{ms},{}", draw % 2 == 0).expect("memory");
    }
    std::fs::write(path, zstd::encode_all(text.as_bytes(), 3).expect("memory")).expect("a folder of ours");
}

/// Seconds, and the most memory it held, in MB.
fn backtest(path: &Path, symbol: &str) -> (f64, f64) {
    let qtx = Path::new(env!("CARGO_BIN_EXE_qtx"));
    let began = Instant::now();
    let mut child = Command::new(qtx)
        .args(["backtest", "--json", "--bar", "1m", "--symbol", symbol, "--trades"])
        .arg(path)
        .stdout(Stdio::null())
        .spawn()
        .expect("qtx was built");
    let mut peak_kb = 0.0f64;
    // The last look is a millisecond before the end at most.
    while child.try_wait().expect("a child").is_none() {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kb = peak.and_then(|peak| peak.trim().trim_end_matches(" kB").parse().ok());
        peak_kb = peak_kb.max(kb.unwrap_or(0.0));
        std::thread::sleep(Duration::from_millis(1));
    }
    (began.elapsed().as_secs_f64(), peak_kb / 1_024.0)
}

fn trades(count: usize, rounds: usize) {
    let dir = tempfile::tempdir().expect("a folder of ours");
    let (quarter, whole) = (dir.path().join("quarter.csv.zst"), dir.path().join("whole.csv.zst"));
    made_trades(&quarter, count / 4);
    made_trades(&whole, count);
    let data =
        std::env::var_os("QT_TEST_DATA").map_or_else(|| PathBuf::from("../shared/data"), PathBuf::from);
    let recorded = data.join("trades/bitmex_xbtusd_20180101_20180105_aggtrades.csv.zst");
    let mut files =
        vec![("made, a quarter", quarter, "BTCUSDT", count / 4), ("made", whole, "BTCUSDT", count)];
    if recorded.exists() {
        files.push(("recorded", recorded, "XBTUSD", 578_172));
    }
    let mut measured: Vec<Vec<(f64, f64)>> = vec![Vec::new(); files.len()];
    for _ in 0..rounds {
        for ((_, path, symbol, _), measured) in files.iter().zip(&mut measured) {
            measured.push(backtest(path, symbol));
        }
    }
    println!();
    for ((name, _, _, trades), measured) in files.iter().zip(measured) {
        let seconds = median(measured.iter().map(|(seconds, _)| *seconds).collect());
        let peak_mb = measured.iter().map(|(_, mb)| *mb).fold(0.0, f64::max);
        let rate = *trades as f64 / seconds / 1e6;
        println!(
            "{name:<15} {trades:8} trades: {seconds:.3} s, {rate:.2} million a second, {peak_mb:.1} MB at most"
        );
    }
}

fn main() {
    // `cargo bench -- --test`: it works; its figures mean nothing.
    let quick = std::env::args().any(|arg| arg == "--test");
    let (count, rounds) = if quick { (20_000, 1) } else { (400_000, 15) };
    events(count, rounds);
    trades(if quick { 20_000 } else { 4_000_000 }, rounds.min(5));
}
