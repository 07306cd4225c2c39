//! The generated market.

use std::collections::{BTreeMap, HashMap};

use quantum_trader::event::{Bar, InstrumentTable};
use quantum_trader::num::{Dec, InstrumentId, NS_PER_SEC, Rounding, TimeNs};
use quantum_trader::sim::market::{LISTINGS, MarketSource, Synthetic, SyntheticConfig};
use serde_json::Value;

use crate::{Timed, data, int, take, text};

fn newcomer(seed: u64) -> Synthetic {
    Synthetic::new(SyntheticConfig::newcomer(), seed).unwrap()
}

/// The frames of the first `seconds`.
fn seconds(mut source: Synthetic, seconds: i64) -> Vec<Timed> {
    let end = source.start() + seconds * NS_PER_SEC;
    let (mut frames, mut frame) = (Vec::new(), Vec::new());
    while let Some(time) = source.next_frame(&mut frame).unwrap().filter(|time| *time < end) {
        frames.push((time, frame.clone()));
    }
    frames
}

fn digest(frames: &[Timed]) -> u32 {
    frames.iter().fold(0, |crc, (time, frame)| {
        crc32c::crc32c_append(crc32c::crc32c_append(crc, &time.0.to_le_bytes()), frame)
    })
}

#[test]
fn a_seed_is_a_market_byte_for_byte() {
    let first = digest(&take(&mut newcomer(42), 20_000));
    assert_eq!(first, digest(&take(&mut newcomer(42), 20_000)));
    assert_ne!(first, digest(&take(&mut newcomer(43), 20_000)));
    // The same in every profile and on every machine; changes only with the generator.
    assert_eq!(first, 2_647_213_876);
}

/// What one stream said last.
#[derive(Default)]
struct Last {
    event_ms: i64,
    id: i64,
    trade_id: i64,
}

#[test]
fn streams_are_in_sequence() {
    let mut streams: HashMap<String, Last> = HashMap::new();
    for (time, frame) in take(&mut Synthetic::new(SyntheticConfig::realistic(), 3).unwrap(), 60_000) {
        let data = data(&frame);
        let kind = text(&data["e"]).to_string();
        let symbol = data["s"].as_str().or(data["o"]["s"].as_str()).unwrap();
        let event_ms = int(&data["E"]);
        let latency_ns = time.since(TimeNs::from_ms(event_ms));
        assert!((200_000..10_000_000).contains(&latency_ns), "{latency_ns} {data}");
        let last = streams.entry(format!("{symbol} {kind}")).or_default();
        assert!(event_ms >= last.event_ms, "{data}");
        last.event_ms = event_ms;
        match kind.as_str() {
            "aggTrade" => {
                assert!(last.id == 0 || int(&data["a"]) == last.id + 1, "{data}");
                assert!(last.id == 0 || int(&data["f"]) == last.trade_id + 1, "{data}");
                assert!(int(&data["l"]) >= int(&data["f"]), "{data}");
                assert!((2..=150).contains(&(event_ms - int(&data["T"]))), "{data}");
                (last.id, last.trade_id) = (int(&data["a"]), int(&data["l"]));
            }
            "bookTicker" => {
                assert!(int(&data["u"]) > last.id, "{data}");
                last.id = int(&data["u"]);
            }
            "depthUpdate" => {
                assert!(last.id == 0 || int(&data["pu"]) == last.id, "{data}");
                assert!(int(&data["pu"]) < int(&data["U"]) && int(&data["U"]) <= int(&data["u"]), "{data}");
                last.id = int(&data["u"]);
            }
            _ => {}
        }
    }
    assert_eq!(streams.keys().filter(|k| k.ends_with("aggTrade")).count(), LISTINGS.len());
}

#[test]
fn natural_rates_have_the_mix_of_recorded_ones() {
    let mut kinds: BTreeMap<String, f64> = BTreeMap::new();
    for (_, frame) in seconds(Synthetic::new(SyntheticConfig::realistic(), 8).unwrap(), 180) {
        *kinds.entry(text(&data(&frame)["e"]).to_string()).or_default() += 1.0 / 180.0;
    }
    let ratio = kinds["bookTicker"] / kinds["aggTrade"];
    assert!((3.0..4.2).contains(&ratio), "{ratio}: {kinds:?}");
    assert!((60.0..=80.0).contains(&kinds["depthUpdate"]), "{kinds:?}");
    assert!((7.9..8.2).contains(&kinds["markPriceUpdate"]), "{kinds:?}");
    assert!((7.9..8.2).contains(&kinds["24hrTicker"]), "{kinds:?}");
    assert!((10.0..30.0).contains(&kinds["kline"]), "{kinds:?}");
    assert!((0.001..2.0).contains(&kinds["forceOrder"]), "{kinds:?}");
}

#[test]
fn thinning_meets_the_rate_asked_for_and_leaves_no_instrument_silent() {
    let frames = seconds(newcomer(5), 300);
    let rate = frames.len() as f64 / 300.0;
    assert!((105.0..195.0).contains(&rate), "{rate}");
    let mut quoted: HashMap<String, TimeNs> = HashMap::new();
    for (time, frame) in &frames {
        let data = data(frame);
        if data["e"] == "bookTicker" {
            let before = quoted.insert(text(&data["s"]).to_string(), *time).unwrap_or(*time);
            assert!(time.since(before) < 1_200_000_000, "{} silent for {}", data["s"], time.since(before));
        }
    }
    assert_eq!(quoted.len(), LISTINGS.len());
}

/// Best bid and ask of a book kept from depth frames.
type Book = (BTreeMap<i64, i64>, BTreeMap<i64, i64>);

#[test]
fn prices_are_on_the_grid_and_books_do_not_cross() {
    let config = SyntheticConfig::newcomer();
    let table = config.instruments("0.0005").unwrap();
    let row = |symbol: &Value| *table.get(table.find(text(symbol)).unwrap()).unwrap();
    let mut books: HashMap<String, Book> = HashMap::new();
    let (mut small, mut quotes, mut wide) = (0, 0, 0);
    for (_, frame) in seconds(newcomer(6), 240) {
        let data = data(&frame);
        match text(&data["e"]) {
            "bookTicker" => {
                let row = row(&data["s"]);
                let bid = row.parse_price(text(&data["b"]).as_bytes()).unwrap();
                let ask = row.parse_price(text(&data["a"]).as_bytes()).unwrap();
                assert!(bid.0 > 0 && bid < ask, "{data}");
                assert!(row.parse_quantity(text(&data["B"]).as_bytes()).unwrap().0 > 0);
                let size = row.parse_size(text(&data["A"]).as_bytes()).unwrap();
                quotes += 1;
                wide += u32::from(ask.0 - bid.0 > 1);
                small += u32::from(row.quote_value(size, ask).unwrap() < Dec::int(500));
                let start = row.parse_price(start_of(text(&data["s"])).as_bytes()).unwrap();
                assert!((start.0 / 3 - 5..=start.0 * 3 + 5).contains(&bid.0), "{data}");
            }
            "depthUpdate" => {
                let row = row(&data["s"]);
                let book = books.entry(text(&data["s"]).to_string()).or_default();
                let ticks = |level: &Value| row.parse_price(text(&level[0]).as_bytes()).unwrap().0;
                let lots = |level: &Value| row.parse_quantity(text(&level[1]).as_bytes()).unwrap().0;
                for level in data["b"].as_array().unwrap() {
                    book.0.insert(ticks(level), lots(level));
                }
                for level in data["a"].as_array().unwrap() {
                    book.1.insert(ticks(level), lots(level));
                }
                book.0.retain(|_, lots| *lots > 0);
                book.1.retain(|_, lots| *lots > 0);
                assert_eq!((book.0.len(), book.1.len()), (5, 5), "{data}");
                assert!(book.0.last_key_value() < book.1.first_key_value(), "{data}");
            }
            _ => {}
        }
    }
    let share = f64::from(small) / f64::from(quotes);
    assert!((0.02..0.3).contains(&share), "touch below 500 USD: {share}");
    assert!((0.005..0.3).contains(&(f64::from(wide) / f64::from(quotes))), "wide: {wide} of {quotes}");
}

fn start_of(symbol: &str) -> &'static str {
    LISTINGS.iter().find(|l| l.symbol.as_str() == symbol).unwrap().start
}

/// A bar as text: open, high, low, close in ticks; volume, taker buy volume, trades.
type Shape = (i64, i64, i64, i64, Dec, Dec, i64);

#[test]
fn closed_bars_are_the_trades_sent_before_them() {
    let config = SyntheticConfig::newcomer();
    let table: InstrumentTable = config.instruments("0").unwrap();
    let mut built: HashMap<(String, i64), Shape> = HashMap::new();
    let mut closed = 0;
    for (_, frame) in seconds(newcomer(7), 200) {
        let data = data(&frame);
        let symbol = data["s"].as_str().unwrap_or_default().to_string();
        let row = table.find(&symbol).and_then(|id| table.get(id));
        match (text(&data["e"]), row) {
            ("aggTrade", Some(row)) => {
                let price = row.parse_price(text(&data["p"]).as_bytes()).unwrap().0;
                let size = Dec::parse(text(&data["q"])).unwrap();
                let count = int(&data["l"]) - int(&data["f"]) + 1;
                let minute = int(&data["T"]) / 60_000 * 60_000;
                let bar = built.entry((symbol, minute)).or_insert((
                    price,
                    price,
                    price,
                    price,
                    Dec::ZERO,
                    Dec::ZERO,
                    0,
                ));
                *bar = (
                    bar.0,
                    bar.1.max(price),
                    bar.2.min(price),
                    price,
                    bar.4 + size,
                    if data["m"] == true { bar.5 } else { bar.5 + size },
                    bar.6 + count,
                );
            }
            ("kline", Some(row)) if data["k"]["x"] == true => {
                let k = &data["k"];
                let price = |key: &str| row.parse_price(text(&k[key]).as_bytes()).unwrap().0;
                let size = |key: &str| Dec::parse(text(&k[key])).unwrap();
                let bar =
                    (price("o"), price("h"), price("l"), price("c"), size("v"), size("V"), int(&k["n"]));
                assert_eq!(built.get(&(symbol, int(&k["t"]))), Some(&bar), "{data}");
                let late_ms = int(&data["E"]) - int(&k["T"]) - 1;
                assert!((300..=1_000).contains(&late_ms), "{late_ms}");
                closed += 1;
            }
            _ => {}
        }
    }
    assert_eq!(closed, 3 * LISTINGS.len());
}

#[test]
fn one_instrument_trades_less_than_the_volume_rule_asks() {
    let mut volumes: HashMap<String, Dec> = HashMap::new();
    for (_, frame) in seconds(newcomer(1), 30) {
        let data = data(&frame);
        if data["e"] == "24hrTicker" {
            volumes.insert(text(&data["s"]).to_string(), Dec::parse(text(&data["q"])).unwrap());
        }
    }
    let (below, above): (Vec<Dec>, Vec<Dec>) = volumes.values().partition(|v| **v < Dec::int(1_000_000));
    assert_eq!((below.len(), above.len()), (1, LISTINGS.len() - 1));
    assert!(above.iter().all(|v| *v > Dec::int(10_000_000)));
}

#[test]
fn history_ends_where_the_stream_begins() {
    let source = newcomer(9);
    let table = SyntheticConfig::newcomer().instruments("0").unwrap();
    let bars = source.history(5, 300);
    assert_eq!(bars.len(), 300 * LISTINGS.len());
    assert_eq!(bars[200 * LISTINGS.len()..], source.history(5, 100)[..], "fewer bars are the same bars");
    assert!(bars.is_sorted_by_key(|(id, bar)| (bar.open_ms, *id)));
    for (id, row) in table.iter() {
        let own: Vec<&Bar> = bars.iter().filter(|(i, _)| *i == id).map(|(_, bar)| bar).collect();
        let last = own.last().unwrap();
        assert_eq!(TimeNs::from_ms(last.open_ms + 5_000), source.start());
        assert_eq!(row.format_price(last.close), LISTINGS[id.index()].start);
        for pair in own.windows(2) {
            assert_eq!(pair[1].open_ms - pair[0].open_ms, 5_000);
            assert_eq!(pair[1].open, pair[0].close, "the walk has no gaps");
        }
        for bar in own {
            assert!(bar.low <= bar.open.min(bar.close) && bar.high >= bar.open.max(bar.close));
            assert!(bar.low.0 > 0 && bar.volume.0 > 0 && bar.closed && bar.quote_volume > Dec::ZERO);
        }
    }
}

/// Mean high − low over close, in millionths.
fn range_ppm(bars: &[(InstrumentId, Bar)], id: usize) -> i128 {
    let own: Vec<&Bar> = bars.iter().filter(|(i, _)| i.index() == id).map(|(_, bar)| bar).collect();
    let sum: i128 = own
        .iter()
        .map(|b| Rounding::Floor.div_i128((b.high - b.low).wide() * 1_000_000, b.close.wide()).unwrap())
        .sum();
    sum / own.len() as i128
}

#[test]
fn a_newcomers_stop_is_wider_than_twice_its_costs() {
    // 1.5 × ATR ≥ 0.35%: twice the two taker fees, spread, and room for what trades sample less.
    let bars = newcomer(10).history(5, 1_000);
    for (id, listing) in LISTINGS.iter().enumerate() {
        let ppm = range_ppm(&bars, id);
        assert!((2_500..4_500).contains(&ppm), "{}: {ppm}", listing.symbol);
    }
    let calm = Synthetic::new(SyntheticConfig::realistic(), 10).unwrap().history(60, 1_000);
    for (id, listing) in LISTINGS.iter().enumerate() {
        let ppm = range_ppm(&calm, id);
        // One-tick bars of coarse instruments are rounded: XRPUSDT's tick is 167 ppm.
        assert!((600..1_300).contains(&ppm), "{}: {ppm}", listing.symbol);
    }
}

#[test]
fn settings_out_of_range_are_refused_by_name() {
    let good = SyntheticConfig::newcomer;
    let cases = [
        (SyntheticConfig { bar_interval_s: 0, ..good() }, "bar_interval_s"),
        (SyntheticConfig { atr_fraction: f64::NAN, ..good() }, "atr_fraction"),
        (SyntheticConfig { atr_fraction: 0.5, ..good() }, "atr_fraction"),
        (SyntheticConfig { mark_interval_s: 2, ..good() }, "mark_interval_s"),
        (SyntheticConfig { ticker_interval_ms: 0, ..good() }, "ticker_interval_ms"),
        (SyntheticConfig { kline_interval_s: 7, ..good() }, "kline_interval_s"),
        (SyntheticConfig { kline_update_ms: 0, ..good() }, "kline_update_ms"),
        (SyntheticConfig { start: TimeNs(i64::MAX), ..good() }, "start"),
        (SyntheticConfig { listings: Vec::new(), ..good() }, "listings"),
    ];
    for (config, field) in cases {
        let error = Synthetic::new(config, 1).err().expect(field);
        assert_eq!(error.field, field);
        assert!(!error.to_string().contains('\n'));
    }
}
