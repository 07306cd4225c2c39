//! What does one event cost the engine?
//!
//! A made market of eight instruments runs against the simulated venue until each kind of moment has
//! come up; the engine is copied just before it. Quotes are applied to that copy again and again:
//! they change no state that the next one would see. A trade that closes a bar does, so each gets a
//! fresh copy, made outside the measured time; its caches are as cold as a copy leaves them, and one
//! clock read (about 20 ns) is in the figure. Warm-up (3 s), sampling (5 s) and the confidence
//! interval of the mean are criterion's defaults.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use quantum_trader::decode::{Decoded, Decoder};
use quantum_trader::engine::{Engine, Outbox};
use quantum_trader::event::{Event, EventBody, InstrumentTable, OutputBody, RunStart};
use quantum_trader::num::Lots;
use quantum_trader::risk::config::Settings;
use quantum_trader::sim::link::{Link, LinkConfig};
use quantum_trader::sim::market::{MarketSource, Synthetic, SyntheticConfig};
use quantum_trader::sim::venue::{Venue, VenueConfig};

const BAR_S: u32 = 5;
const SEED: u64 = 1;
const FRAME_BYTES_MAX: usize = 64 * 1024;

/// An engine and the event it is about to see.
#[derive(Clone)]
struct Moment {
    engine: Engine,
    event: Event,
}

#[derive(Default)]
struct Moments {
    quote_flat: Option<Moment>,
    quote_open: Option<Moment>,
    bar_rejected: Option<Moment>,
    bar_approved: Option<Moment>,
}

impl Moments {
    /// Keeps the moment if it is one of those still missing.
    fn keep(&mut self, engine: &Engine, event: &Event, out: &mut Outbox) {
        let open = engine.trades().iter().find(|trade| trade.instrument == event.instrument);
        let slot = match (&event.body, open) {
            (EventBody::Quote(_), None) => &mut self.quote_flat,
            (EventBody::Quote(_), Some(trade)) if trade.open() > Lots(0) => &mut self.quote_open,
            (EventBody::AggTrade(_), _) if self.bar_rejected.is_none() || self.bar_approved.is_none() => {
                match decided(engine, event, out) {
                    Some(true) => &mut self.bar_approved,
                    Some(false) => &mut self.bar_rejected,
                    None => return,
                }
            }
            _ => return,
        };
        slot.get_or_insert_with(|| Moment { engine: engine.clone(), event: *event });
    }

    fn complete(&self) -> bool {
        self.quote_flat.is_some()
            && self.quote_open.is_some()
            && self.bar_rejected.is_some()
            && self.bar_approved.is_some()
    }
}

/// Whether the event would lead to a decision, and which.
fn decided(engine: &Engine, event: &Event, out: &mut Outbox) -> Option<bool> {
    engine.clone().step(event, out);
    out.outputs().iter().find_map(|output| match output.body {
        OutputBody::Decision(decision) => Some(decision.approved),
        _ => None,
    })
}

fn venue_link(settings: &Settings, instruments: &InstrumentTable) -> Link {
    let account =
        VenueConfig { wallet: settings.sim_equity, leverage: settings.venue_leverage, funding: true };
    let venue = Venue::new(instruments.clone(), account);
    let millisecond = 1_000_000;
    let latency = LinkConfig {
        order_latency_ns: millisecond,
        report_latency_ns: millisecond,
        jitter_ns: 0,
        seed: SEED,
    };
    Link::new(venue, latency)
}

/// One event through the engine; its instructions go to the venue.
fn take(engine: &mut Engine, link: &mut Link, event: &Event, out: &mut Outbox) {
    engine.step(event, out);
    for output in out.outputs() {
        if let Some(instruction) = output.instruction() {
            link.send(event.recv_ns, output.instrument, instruction);
        }
    }
}

fn moments() -> Moments {
    let config = SyntheticConfig { bar_interval_s: BAR_S, ..SyntheticConfig::newcomer() };
    let settings = Settings { bar_interval_s: BAR_S, ..Settings::DEFAULT };
    let instruments = config.instruments("0.0005").expect("a plain fee");
    let mut source = Synthetic::new(config, SEED).expect("a valid configuration");
    let mut decoder = Decoder::new(&instruments, FRAME_BYTES_MAX);
    let mut engine = Engine::new(&settings, &instruments);
    let mut link = venue_link(&settings, &instruments);
    let (mut out, mut frame, mut found) = (Outbox::new(), Vec::new(), Moments::default());

    let start = source.start();
    let begin = RunStart {
        run_id: 1,
        build_id: 1,
        epoch: 1,
        instruments: instruments.len() as u32,
        resting_stops: true,
        simulated: true,
        rule_voters: true,
        pad: [0; 5],
    };
    engine.step(&Event::global(start, EventBody::RunStart(begin)), &mut out);
    for (instrument, bar) in source.history(BAR_S, 250) {
        engine.step(&Event { recv_ns: start, instrument, body: EventBody::Bar(bar) }, &mut out);
    }
    for (instrument, body) in link.venue().snapshot() {
        engine.step(&Event { recv_ns: start, instrument, body }, &mut out);
    }
    while !found.complete() {
        let time = source.next_frame(&mut frame).expect("a made market").expect("has no end");
        while let Some(delivery) = link.poll(time) {
            for event in delivery.events() {
                take(&mut engine, &mut link, &event, &mut out);
            }
        }
        let Ok(Decoded::Event(event)) = decoder.decode(time, &frame) else { continue };
        link.market(time, &event);
        found.keep(&engine, &event, &mut out);
        take(&mut engine, &mut link, &event, &mut out);
    }
    found
}

fn again(c: &mut Criterion, name: &str, moment: Option<Moment>) {
    let Moment { mut engine, event } = moment.expect("all moments were found");
    let mut out = Outbox::new();
    c.bench_function(name, |b| {
        b.iter(|| {
            engine.step(black_box(&event), &mut out);
            out.outputs().len()
        })
    });
    assert!(out.outputs().is_empty(), "{name}: the quote must find nothing to do");
}

fn afresh(c: &mut Criterion, name: &str, moment: Option<Moment>) {
    let Moment { engine, event } = moment.expect("all moments were found");
    let mut out = Outbox::new();
    c.bench_function(name, |b| {
        b.iter_batched_ref(
            || engine.clone(),
            |engine| {
                engine.step(black_box(&event), &mut out);
                out.outputs().len()
            },
            BatchSize::PerIteration,
        )
    });
}

fn step(c: &mut Criterion) {
    let found = moments();
    again(c, "quote, no trade", found.quote_flat);
    again(c, "quote, open trade", found.quote_open);
    afresh(c, "trade that closes a bar, rejected", found.bar_rejected);
    afresh(c, "trade that closes a bar, approved", found.bar_approved);
}

criterion_group!(benches, step);
criterion_main!(benches);
