//! What do a snapshot and its reading cost? Bytes are printed; all values have a fixed width, so neither
//! they nor the times depend on what happened. Nothing here is on the hot path.

use criterion::{Criterion, criterion_group, criterion_main};
use quantum_trader::engine::{Engine, Outbox};
use quantum_trader::event::{Bar, BarSource, Event, EventBody, Instrument, InstrumentTable, Symbol};
use quantum_trader::num::{Dec, InstrumentId, Size, Ticks, TimeNs};
use quantum_trader::risk::config::Settings;
use quantum_trader::venue::builtin_instruments;

/// An engine of so many instruments, with the bars its indicators ask for.
fn engine(count: usize) -> Engine {
    let row = *builtin_instruments("0.0005").expect("a plain fee").get(InstrumentId(0)).expect("the first");
    let named = |i: usize| Instrument { symbol: Symbol::new(&format!("S{i}")).expect("a symbol"), ..row };
    let table = InstrumentTable::new((0..count).map(named).collect()).expect("few enough");
    let (mut engine, mut out) = (Engine::new(&Settings::DEFAULT, &table), Outbox::new());
    for (instrument, _) in table.iter() {
        for i in 0..250i64 {
            let close = Ticks(500_000 + i % 7 * 100);
            let bar = Bar {
                open_ms: i * 900_000,
                open: close,
                high: close + Ticks(500),
                low: close - Ticks(500),
                close,
                volume: Size(1),
                quote_volume: Dec::ZERO,
                taker_buy_volume: Size(1),
                event_ms: 0,
                trades: 1,
                interval_s: 900,
                closed: true,
                source: BarSource::History,
                pad: [0; 6],
            };
            let recv_ns = TimeNs::from_ms(251 * 900_000);
            engine.step(&Event { recv_ns, instrument, body: EventBody::Bar(bar) }, &mut out);
        }
    }
    engine
}

fn snapshots(c: &mut Criterion) {
    for count in [8, 400] {
        let engine = engine(count);
        let bytes = engine.snapshot(1);
        println!("{count} instruments: {} bytes", bytes.len());
        c.bench_function(&format!("snapshot, {count} instruments"), |b| b.iter(|| engine.snapshot(1)));
        c.bench_function(&format!("restore, {count} instruments"), |b| b.iter(|| Engine::restore(&bytes)));
        c.bench_function(&format!("state hash, {count} instruments"), |b| b.iter(|| engine.state_hash()));
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = snapshots
}
criterion_main!(benches);
