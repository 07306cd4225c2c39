//! The decoder against serde_json on recorded frames: every field an event keeps, read back as
//! text, equals what serde_json reads of the same line. Numbers are compared as normalised text, so
//! neither the decoder's parser nor floats can agree with themselves. And the reader of literal layouts
//! against the decoder of record: of the frames it is for it answers nearly all, and alike.
//!
//! Recordings are read from `QT_TEST_DATA` (default `../shared/data`); without them the tests say so
//! and pass.

use std::collections::BTreeMap;
use std::path::PathBuf;

use quantum_trader::decode::{Decoded, Decoder, Skip};
use quantum_trader::event::{Event, EventBody, Instrument, InstrumentSpec, InstrumentTable, SizeUnit};
use quantum_trader::num::{Dec, Side, Size, Ticks, TimeNs};
use quantum_trader::venue::binance::{interval_text, parse_exchange_info};
use quantum_trader::venue::builtin_instruments;
use serde_json::{Value, json};

const FRAME_BYTES_MAX: usize = 1 << 20;
const FEE: &str = "0.0005";

/// Counts of what a recording held.
#[derive(Debug, Default, PartialEq)]
struct Census {
    events: BTreeMap<String, usize>,
    /// Of these, answered by their layout alone.
    fast: BTreeMap<String, usize>,
    snapshots: usize,
    faults: usize,
}

impl Census {
    fn total(&self) -> usize {
        self.events.values().sum::<usize>() + self.snapshots + self.faults
    }

    fn of(&self, event_type: &str) -> usize {
        self.events.get(event_type).copied().unwrap_or(0)
    }

    /// Per thousand of an event type that were answered by their layout.
    fn fast_share(&self, event_type: &str) -> usize {
        1_000 * self.fast.get(event_type).copied().unwrap_or(0) / self.of(event_type)
    }
}

/// Events that have a literal layout.
const FAST: [&str; 6] = ["aggTrade", "trade", "bookTicker", "markPriceUpdate", "kline", "24hrTicker"];

#[test]
fn the_recording_of_2023_decodes_whole() {
    let Some(frames) = recording("binance_um_btcusdt_20230404_20230405.tsv.zst") else { return };
    let census = check(&frames, &builtin_instruments(FEE).unwrap());
    assert_eq!(census.total(), 73_765);
    assert_eq!((census.snapshots, census.faults), (1, 0));
    assert_eq!((census.of("bookTicker"), census.of("trade")), (44_205, 12_935));
    assert_eq!((census.of("depthUpdate"), census.of("markPriceUpdate")), (16_110, 514));
    assert_eq!(census.fast["trade"], 12_934, "all but one, which is the insurance fund's");
}

#[test]
fn the_recording_of_2024_decodes_whole() {
    let Some(frames) = recording("binance_um_btcusdt_ethusdt_20240718_20240719.tsv.zst") else { return };
    let census = check(&frames, &builtin_instruments(FEE).unwrap());
    assert_eq!(census.total(), 141_897);
    assert_eq!((census.snapshots, census.faults), (2, 0));
    assert_eq!((census.of("bookTicker"), census.of("trade")), (99_588, 24_356));
    assert_eq!(census.of("depthUpdate"), 17_951);
}

#[test]
fn the_recording_of_2021_decodes_with_its_exchange_info() {
    let Some(frames) = recording("cryptofeed_binance_futures.tsv.zst") else { return };
    let Some(info) = data("user-data/exchangeInfo_um_20210721_full.json") else { return };
    let table = parse_exchange_info(&std::fs::read(info).unwrap(), FEE).unwrap();
    assert_eq!(table.len(), 121, "122 symbols, one of them not TRADING");
    let census = check(&frames, &table);
    assert_eq!((census.total(), census.faults), (1_535, 0));
    assert_eq!((census.of("aggTrade"), census.of("kline")), (91, 67));
}

#[test]
fn the_wire_samples_of_2026_decode_with_the_built_in_table() {
    let Some(path) = data("frames/binance_um_2026_wire_samples.jsonl") else { return };
    let text = std::fs::read_to_string(path).unwrap();
    let raw = |line: &str| serde_json::from_str::<Value>(line).unwrap()["raw"].as_str().unwrap().to_string();
    let frames = text.lines().map(|line| format!("1\t{}\n", raw(line))).collect::<String>();
    let table = builtin_instruments(FEE).unwrap();
    let rows = table
        .iter()
        .map(|(_, row)| *row)
        .chain([instrument("ILVUSDT", "0.001", "0.1"), instrument("STGUSDT", "0.0001", "1")]);
    let census = check(&frames, &InstrumentTable::new(rows.collect()).unwrap());
    assert_eq!((census.total(), census.faults, census.snapshots), (14, 0, 0));
    assert_eq!(census.events.len(), 8, "every event type: {census:?}");
    assert_eq!(census.fast.values().sum::<usize>(), 11, "all but two forced orders and a depth");
}

#[test]
fn todays_exchange_info_makes_a_table() {
    let Some(info) = data("user-data/exchangeInfo_um_20260910_btc_eth_demo.json") else { return };
    let table = parse_exchange_info(&std::fs::read(info).unwrap(), FEE).unwrap();
    let btc = table.get(table.find("BTCUSDT").unwrap()).unwrap();
    assert_eq!((btc.tick, btc.step, btc.min_notional), (Dec::new(1, 1), Dec::new(1, 4), Dec::int(50)));
    assert_eq!(btc.quantity(btc.max_quantity), Dec::int(120), "of market orders");
    assert_eq!(table.len(), 2);
}

#[test]
fn other_venues_frames_are_faults() {
    for (name, count) in [("cryptofeed_bybit.tsv.zst", 4_440), ("cryptofeed_okx.tsv.zst", 410)] {
        let Some(frames) = recording(name) else { return };
        let mut decoder = Decoder::new(&builtin_instruments(FEE).unwrap(), FRAME_BYTES_MAX);
        assert!(lines(&frames).all(|(at, raw)| decoder.decode_fast(at, raw.as_bytes()).is_none()));
        let faults = lines(&frames).filter(|(at, raw)| decoder.decode(*at, raw.as_bytes()).is_err());
        assert_eq!(faults.count(), count, "{name}");
    }
}

/// Decodes every line and compares each event with serde_json's reading, and the answers by layout with those
/// of the decoder of record.
fn check(frames: &str, table: &InstrumentTable) -> Census {
    let mut decoder = Decoder::new(table, FRAME_BYTES_MAX);
    let mut census = Census::default();
    for (at, raw) in lines(frames) {
        let decoded = decoder.decode(at, raw.as_bytes());
        let fast = decoder.decode_fast(at, raw.as_bytes());
        assert_eq!(decoder.decode_of_record(at, raw.as_bytes()), decoded, "{raw}");
        match decoded {
            Ok(Decoded::Event(event)) => {
                assert_eq!(event.recv_ns, at);
                let read: Value = serde_json::from_str(raw).unwrap();
                let object = read.get("data").unwrap_or(&read);
                compare(&event, table.get(event.instrument).unwrap(), object, raw);
                let event_type = object["e"].as_str().unwrap();
                *census.events.entry(event_type.to_string()).or_default() += 1;
                if let Some(fast) = fast {
                    assert_eq!(fast, event, "{raw}");
                    *census.fast.entry(event_type.to_string()).or_default() += 1;
                }
            }
            _ if fast.is_some() => panic!("answered by its layout alone: {raw}"),
            Ok(Decoded::Skipped(Skip::RestSnapshot)) => census.snapshots += 1,
            Ok(Decoded::Skipped(other)) => panic!("{other:?}: {raw}"),
            Err(fault) => {
                eprintln!("{fault}");
                census.faults += 1;
            }
        }
    }
    for event_type in FAST.into_iter().filter(|event_type| census.of(event_type) > 0) {
        assert!(census.fast_share(event_type) >= 999, "{event_type}: {census:?}");
    }
    println!("answered by layout: {:?} of {:?}", census.fast, census.events);
    census
}

/// The event as the venue would say it, key by key, against the frame.
fn compare(event: &Event, instrument: &Instrument, frame: &Value, raw: &str) {
    let said = spoken(event, instrument, frame);
    for (key, value) in said.as_object().unwrap() {
        let read = frame.pointer(key).unwrap_or_else(|| panic!("{key} is not in {raw}"));
        assert_eq!(normal(value), normal(read), "{key} of {raw}");
    }
}

/// The event's fields under the JSON pointers of the venue's keys.
fn spoken(event: &Event, i: &Instrument, frame: &Value) -> Value {
    let price = |ticks: Ticks| i.price(ticks).to_string();
    let size = |size: Size| i.size(size).to_string();
    let symbol = i.symbol.as_str();
    match event.body {
        EventBody::AggTrade(t) => {
            assert!(t.market);
            json!({"/e": "aggTrade", "/s": symbol, "/p": price(t.price), "/q": size(t.size), "/a": t.id,
                "/f": t.first_id, "/l": t.last_id, "/T": t.trade_ms, "/E": t.event_ms, "/m": t.buyer_maker})
        }
        EventBody::Trade(t) => {
            assert_eq!((t.first_id, t.last_id, t.market), (t.id, t.id, frame["X"] == "MARKET"));
            json!({"/e": "trade", "/s": symbol, "/p": price(t.price), "/q": size(t.size), "/t": t.id,
                "/T": t.trade_ms, "/E": t.event_ms, "/m": t.buyer_maker})
        }
        EventBody::Quote(q) => {
            json!({"/e": "bookTicker", "/s": symbol, "/b": price(q.bid), "/B": size(q.bid_size), "/a": price(q.ask),
                "/A": size(q.ask_size), "/u": q.update_id, "/T": q.transaction_ms, "/E": q.event_ms})
        }
        EventBody::Depth(d) => {
            let best = |at: Ticks, amount: Size| (at.0 != 0).then(|| [price(at), size(amount)]);
            assert_eq!(best(d.bid, d.bid_size), best_level(&frame["b"], |a, b| a > b), "{frame}");
            assert_eq!(best(d.ask, d.ask_size), best_level(&frame["a"], |a, b| a < b), "{frame}");
            assert_eq!(d.bid_levels as usize, frame["b"].as_array().unwrap().len());
            assert_eq!(d.ask_levels as usize, frame["a"].as_array().unwrap().len());
            json!({"/e": "depthUpdate", "/s": symbol, "/U": d.first_id, "/u": d.last_id, "/pu": d.previous_id,
                "/T": d.transaction_ms, "/E": d.event_ms})
        }
        EventBody::Bar(b) => {
            json!({"/e": "kline", "/s": symbol, "/k/t": b.open_ms, "/k/o": price(b.open), "/k/h": price(b.high),
                "/k/l": price(b.low), "/k/c": price(b.close), "/k/v": size(b.volume), "/k/q": b.quote_volume.to_string(),
                "/k/V": size(b.taker_buy_volume), "/k/n": b.trades, "/k/x": b.closed, "/E": b.event_ms,
                "/k/i": interval_text(b.interval_s).unwrap()})
        }
        EventBody::MarkPrice(m) => {
            json!({"/e": "markPriceUpdate", "/s": symbol, "/p": m.mark.to_string(), "/P": m.settle.to_string(),
                "/i": m.index.to_string(), "/r": m.funding_rate.to_string(), "/T": m.next_funding_ms, "/E": m.event_ms})
        }
        EventBody::Ticker(t) => {
            json!({"/e": "24hrTicker", "/s": symbol, "/c": price(t.last), "/o": price(t.open), "/h": price(t.high),
                "/l": price(t.low), "/v": t.volume.to_string(), "/q": t.quote_volume.to_string(), "/n": t.trades,
                "/E": t.event_ms})
        }
        EventBody::ForceOrder(f) => {
            let side = if f.side == Side::Buy { "BUY" } else { "SELL" };
            json!({"/e": "forceOrder", "/o/s": symbol, "/o/S": side, "/o/p": price(f.price), "/o/q": size(f.size),
                "/o/ap": f.average_price.to_string(), "/o/l": size(f.last_size), "/o/z": size(f.filled_size),
                "/o/T": f.trade_ms, "/E": f.event_ms})
        }
        other => panic!("no market event: {other:?}"),
    }
}

/// The best level with size, by serde_json's reading, normalised.
fn best_level(levels: &Value, better: fn(&Digits, &Digits) -> bool) -> Option<[String; 2]> {
    let level = |pair: &Value| [normal(&pair[0]), normal(&pair[1])];
    let with_size = levels.as_array()?.iter().map(level).filter(|[_, size]| size != "0");
    with_size.reduce(|best, next| if better(&digits(&next[0]), &digits(&best[0])) { next } else { best })
}

/// A normalised positive decimal in an order of its own: whole digits by length, then by text.
type Digits = (usize, String);

fn digits(normal: &str) -> Digits {
    (normal.split('.').next().unwrap().len(), normal.to_string())
}

/// A number without trailing zeros; anything else as it is.
fn normal(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let is_decimal = text.contains('.') && text.bytes().all(|b| b.is_ascii_digit() || b == b'.' || b == b'-');
    let trimmed = if is_decimal { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    if trimmed == "-0" { "0".to_string() } else { trimmed.to_string() }
}

fn instrument(symbol: &str, tick: &str, step: &str) -> Instrument {
    Instrument::from_spec(&InstrumentSpec {
        symbol,
        tick,
        step,
        min_quantity: step,
        max_quantity: "",
        min_notional: "5",
        taker_fee: FEE,
        maintenance_margin: "0.01",
        size_unit: SizeUnit::Base,
    })
    .unwrap()
}

/// `recv_ns<TAB>raw` lines.
fn lines(frames: &str) -> impl Iterator<Item = (TimeNs, &str)> {
    frames.lines().map(|line| {
        let (at, raw) = line.split_once('\t').unwrap();
        (TimeNs(at.parse().unwrap()), raw)
    })
}

fn recording(name: &str) -> Option<String> {
    let path = data(&format!("frames/{name}"))?;
    let bytes = zstd::decode_all(std::fs::File::open(path).unwrap()).unwrap();
    Some(String::from_utf8(bytes).unwrap())
}

/// A file of the recorded data, if it is there.
fn data(file: &str) -> Option<PathBuf> {
    let default = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let path = std::env::var_os("QT_TEST_DATA").map_or_else(default, PathBuf::from).join(file);
    if !path.exists() {
        eprintln!("skipped: no recorded data at {}", path.display());
    }
    path.exists().then_some(path)
}
