//! Market sources: what they generate is a consistent market, what they read comes out exactly, and
//! what is damaged is refused in one line.

mod candles;
mod events;
mod files;
mod hostile;
mod synthetic;

use std::path::{Path, PathBuf};

use quantum_trader::event::{Instrument, InstrumentSpec, InstrumentTable, SizeUnit};
use quantum_trader::num::TimeNs;
use quantum_trader::sim::market::MarketSource;
use serde_json::Value;

/// A frame and its receive time.
type Timed = (TimeNs, Vec<u8>);

/// Up to `count` frames; their times must not go back.
fn take(source: &mut dyn MarketSource, count: usize) -> Vec<Timed> {
    let (mut frames, mut frame, mut last) = (Vec::new(), Vec::new(), TimeNs(i64::MIN));
    while frames.len() < count {
        let Some(time) = source.next_frame(&mut frame).expect("a readable source") else { break };
        assert!(time >= last, "{time} after {last}");
        last = time;
        frames.push((time, frame.clone()));
    }
    frames
}

fn json(frame: &[u8]) -> Value {
    serde_json::from_slice(frame).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(frame)))
}

/// The frame's data, which must belong to its stream.
fn data(frame: &[u8]) -> Value {
    let mut value = json(frame);
    let stream = value["stream"].as_str().expect("a stream").to_string();
    let data = value["data"].take();
    let symbol = data["s"].as_str().or(data["o"]["s"].as_str()).expect("a symbol");
    assert!(stream.starts_with(&format!("{}@", symbol.to_lowercase())), "{stream} {data}");
    data
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("not text: {value}"))
}

fn int(value: &Value) -> i64 {
    value.as_i64().unwrap_or_else(|| panic!("not a whole number: {value}"))
}

fn instrument(symbol: &str, tick: &str, step: &str, size_unit: SizeUnit) -> Instrument {
    Instrument::from_spec(&InstrumentSpec {
        symbol,
        tick,
        step,
        min_quantity: step,
        max_quantity: "",
        min_notional: "5",
        taker_fee: "0.0005",
        maintenance_margin: "0.004",
        size_unit,
    })
    .unwrap()
}

fn table() -> InstrumentTable {
    InstrumentTable::new(vec![
        instrument("BTCUSDT", "0.1", "0.001", SizeUnit::Base),
        instrument("ETHUSDT", "0.01", "0.001", SizeUnit::Base),
        instrument("SOLUSDT", "0.01", "0.01", SizeUnit::Base),
        instrument("XBTUSD", "0.1", "0.001", SizeUnit::QuoteContracts),
    ])
    .unwrap()
}

/// A recorded file, or `None` with a word on the test's output.
fn recorded(name: &str) -> Option<PathBuf> {
    let root = std::env::var("QT_TEST_DATA")
        .map_or_else(|_| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"), PathBuf::from);
    let path = root.join(name);
    if !path.exists() {
        eprintln!("skipped: {} is absent", path.display());
        return None;
    }
    Some(path)
}
