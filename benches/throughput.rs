//! How many events a second does the engine take, and does it matter how many instruments there are?
//!
//! A made market runs against the simulated venue once, and every event the engine was given is kept:
//! market data, the venue's answers, fills, timers. The figures are of engines that take these events
//! from memory, one after the other, in one thread: the whole risk layer, its exits and its books, with
//! positions open as the header of each group says. Outputs are made and looked at by nobody.
//!
//! Every case is measured in turn, round after round, so that a machine that slows down slows all of
//! them; the ratio of two cases is the median of the rounds' ratios.

use std::hint::black_box;
use std::time::Instant;

use quantum_trader::decode::{Decoded, Decoder};
use quantum_trader::engine::{Engine, Outbox};
use quantum_trader::event::{Event, EventBody, InstrumentTable, OutputBody, RunStart, Timer};
use quantum_trader::num::{InstrumentId, NS_PER_SEC};
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
    fn made(name: &'static str, config: SyntheticConfig, count: usize) -> Recorded {
        let bar_interval_s = config.bar_interval_s;
        let settings = Settings { bar_interval_s, ..Settings::DEFAULT };
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

/// The same run with every instrument's events but one's left out, ids and all.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    // `cargo bench -- --test`: it works; its figures mean nothing.
    let quick = std::env::args().any(|arg| arg == "--test");
    let (count, rounds) = if quick { (20_000, 1) } else { (400_000, 15) };
    let lively = |instruments: usize| SyntheticConfig {
        listings: SyntheticConfig::wide(instruments).listings,
        frames_per_second: None,
        ..SyntheticConfig::newcomer()
    };
    let runs = [
        Recorded::made("eight", SyntheticConfig::newcomer(), count),
        Recorded::made("one", lively(1), count),
        Recorded::made("hundred", lively(100), count),
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
    let ratio = median(ns[2].iter().zip(&ns[1]).map(|(hundred, one)| hundred / one).collect());
    println!("hundred instruments against one: {ratio:.2} times the time an event");
    let _ = InstrumentId::NONE;
}
