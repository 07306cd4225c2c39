//! What is read comes out exactly.

use std::io::Write;
use std::path::Path;

use quantum_trader::event::{Instrument, SizeUnit};
use quantum_trader::num::{Dec, Size, TimeNs};
use quantum_trader::sim::market::{
    Candles, FRAME_BYTES_MAX, Frames, MarketKind, MarketSource, Merge, SourceCounts, Trades, open,
    symbol_in_name,
};
use serde_json::Value;

use crate::{Timed, data, instrument, int, recorded, table, take, text};

fn write(bytes: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    file
}

fn rows(path: &Path) -> Vec<Vec<String>> {
    let bytes = zstd::decode_all(std::fs::File::open(path).unwrap()).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    text.lines().skip(1).map(|line| line.split(',').map(str::to_string).collect()).collect()
}

/// Quotes: one tick apart, never more than a second of silence, whole steps.
fn check_quotes(frames: &[Timed], instrument: &Instrument) {
    let mut last: Option<TimeNs> = None;
    for (time, frame) in frames {
        let data = data(frame);
        if data["e"] != "bookTicker" {
            continue;
        }
        let bid = instrument.parse_price(text(&data["b"]).as_bytes()).unwrap();
        let ask = instrument.parse_price(text(&data["a"]).as_bytes()).unwrap();
        assert_eq!(ask.0 - bid.0, 1, "{data}");
        let size = text(&data["B"]);
        match instrument.size_unit {
            SizeUnit::Base => assert!(instrument.parse_quantity(size.as_bytes()).unwrap().0 > 0),
            SizeUnit::QuoteContracts => assert!(size.parse::<u64>().unwrap() > 0),
        }
        let silence_ns = time.since(last.unwrap_or(*time));
        assert!(silence_ns <= 1_000_000_000, "{silence_ns} before {data}");
        last = Some(*time);
    }
}

#[test]
fn recorded_trades_come_out_row_by_row() {
    for (name, symbol) in [
        ("trades/binance_um_btcusdt_20240718_20240719_aggtrades.csv.zst", "BTCUSDT"),
        ("trades/binance_um_ethusdt_20240718_20240719_aggtrades.csv.zst", "ETHUSDT"),
        ("trades/bitmex_xbtusd_20180101_20180105_aggtrades.csv.zst", "XBTUSD"),
    ] {
        let Some(path) = recorded(name) else { return };
        let opened = open(&path, &table(), None).unwrap();
        assert_eq!((opened.kind, opened.symbol.unwrap().as_str()), (MarketKind::Trades, symbol));
        let table = table();
        let instrument = table.get(table.find(symbol).unwrap()).unwrap();
        let mut source = opened.source;
        let frames = take(source.as_mut(), 60_000);
        check_quotes(&frames, instrument);
        let mut expected = rows(&path).into_iter();
        let mut quote = Value::Null;
        for (time, frame) in &frames {
            let data = data(frame);
            if data["e"] == "bookTicker" {
                quote = data;
                continue;
            }
            let row = expected.next().expect("no more trades than rows");
            assert_eq!(data["a"].to_string(), row[0]);
            assert_eq!(
                (text(&data["p"]), text(&data["q"]), text(&data["nq"])),
                (&*row[1], &*row[2], &*row[2])
            );
            assert_eq!((data["f"].to_string(), data["l"].to_string()), (row[3].clone(), row[4].clone()));
            assert_eq!((data["T"].to_string(), data["m"].to_string()), (row[5].clone(), row[6].clone()));
            assert!((2..=150).contains(&(int(&data["E"]) - int(&data["T"]))), "{data}");
            assert_eq!(*time, TimeNs::from_ms(int(&data["E"])));
            let touched = if data["m"] == true { &quote["b"] } else { &quote["a"] };
            assert_eq!(Dec::parse(text(touched)), Dec::parse(&row[1]), "{data} {quote}");
        }
        assert!(frames.len() == 60_000 || expected.next().is_none(), "every row came out");
    }
}

#[test]
fn recorded_candles_add_up() {
    for (name, symbol) in [
        ("candles/binance_um_solusdt_1m_20250504_20250624.csv.zst", "SOLUSDT"),
        ("candles/bitmex_xbtusd_1m_20180101_20180105_from_trades.csv.zst", "XBTUSD"),
    ] {
        let Some(path) = recorded(name) else { return };
        let opened = open(&path, &table(), None).unwrap();
        assert_eq!((opened.kind, opened.symbol.unwrap().as_str()), (MarketKind::Candles, symbol));
        let table = table();
        let instrument = table.get(table.find(symbol).unwrap()).unwrap();
        let mut source = opened.source;
        let frames = take(source.as_mut(), 60_000);
        check_quotes(&frames, instrument);
        check_bars(&frames, &rows(&path), instrument);
    }
}

/// Each closed bar is its row, and the trades inside it make that bar.
fn check_bars(frames: &[Timed], rows: &[Vec<String>], instrument: &Instrument) {
    let mut trades: Vec<Value> = Vec::new();
    let mut expected = rows.iter();
    for (_, frame) in frames {
        let data = data(frame);
        if data["e"] == "aggTrade" {
            trades.push(data);
            continue;
        }
        if data["e"] != "kline" {
            continue;
        }
        let (k, row) = (&data["k"], expected.next().unwrap());
        let from_row = [("o", 1), ("h", 2), ("l", 3), ("c", 4), ("v", 5)];
        assert!(from_row.iter().all(|(key, column)| text(&k[*key]) == row[*column]), "{data} {row:?}");
        assert_eq!((k["t"].to_string(), k["T"].to_string()), (row[0].clone(), row[6].clone()));
        let volume = Dec::parse(&row[5]).unwrap();
        let quote_volume = match instrument.size_unit {
            SizeUnit::Base => {
                let close = Dec::parse(&row[4]).unwrap();
                close.mul(volume, quantum_trader::num::Rounding::Floor).unwrap()
            }
            SizeUnit::QuoteContracts => volume,
        };
        assert_eq!(Dec::parse(text(&k["q"])), Ok(quote_volume), "{data}");
        let end_ms = int(&k["T"]);
        let (own, later) = trades.drain(..).partition(|t| int(&t["T"]) <= end_ms);
        trades = later;
        let own: Vec<Value> = own;
        let price = |t: &Value| Dec::parse(text(&t["p"])).unwrap();
        let sum = own.iter().fold(Dec::ZERO, |sum, t| sum + Dec::parse(text(&t["q"])).unwrap());
        assert_eq!(sum, volume, "{row:?}");
        if volume == Dec::ZERO {
            continue;
        }
        let shape = [
            own.first(),
            own.iter().max_by_key(|t| price(t)),
            own.iter().min_by_key(|t| price(t)),
            own.last(),
        ];
        let column = |i: usize| Dec::parse(&row[i]).unwrap();
        assert_eq!(shape.map(|t| price(t.unwrap())), [1, 2, 3, 4].map(column), "{row:?}");
        assert!(own.iter().all(|t| int(&t["T"]) >= int(&k["t"])));
    }
    assert!(expected.len() < rows.len());
}

#[test]
fn a_bar_without_trades_is_silence_with_quotes() {
    let csv = "60000000000,5,5,5,5,2,,,\n".replace("60000000000", "1600000020000")
        + "1600000080000,5,5,5,5,0,,,\n1600000140000,5,5,5,5,0,,,\n1600000260000,5,5.2,5,5.1,0.003,,,\n";
    let btc = instrument("BTCUSDT", "0.1", "0.001", SizeUnit::Base);
    let file = write(csv.as_bytes());
    let mut source = Candles::open(file.path(), &btc, 1).unwrap();
    assert_eq!(source.interval_ms(), 60_000);
    let frames = take(&mut source, 10_000);
    check_quotes(&frames, &btc);
    let events: Vec<(String, i64)> = frames
        .iter()
        .map(|(_, frame)| data(frame))
        .filter(|d| d["e"] != "bookTicker")
        .map(|d| (text(&d["e"]).to_string(), (int(&d["E"]) - 1_600_000_020_000) / 1_000))
        .collect();
    let trade = |at| ("aggTrade".to_string(), at);
    let bar = |at| ("kline".to_string(), at);
    let first = [trade(0), trade(20), trade(40), trade(59), bar(60), bar(120), bar(180)];
    let last = [trade(240), trade(260), trade(280), trade(299), bar(300)];
    assert_eq!(events, [&first[..], &last[..]].concat());
    // The quotes go on through the candle that is missing altogether.
    assert!(frames.len() > 299);
}

#[test]
fn frames_pass_unchanged_and_faults_are_counted() {
    let long = vec![b'x'; 3 * FRAME_BYTES_MAX];
    let exact = vec![b'y'; FRAME_BYTES_MAX];
    let mut bytes = b"100\t{\"a\":1}\r\n90\t\xff\xfe\t\x00\n".to_vec();
    for (recv, raw) in [("200", &long), ("300", &exact)] {
        bytes.extend_from_slice(recv.as_bytes());
        bytes.push(b'\t');
        bytes.extend_from_slice(raw);
        bytes.push(b'\n');
    }
    bytes.extend_from_slice(b"400\t");
    for file in [write(&bytes), write(&zstd::encode_all(&bytes[..], 3).unwrap())] {
        let mut source = Frames::open(file.path()).unwrap();
        let frames = take(&mut source, 100);
        let expected: [(i64, &[u8]); 5] = [
            (100, b"{\"a\":1}\r"),
            (100, b"\xff\xfe\t\x00"),
            (200, &long[..FRAME_BYTES_MAX + 1]),
            (300, &exact),
            (400, b""),
        ];
        let expected = expected.map(|(time, raw)| (TimeNs(time), raw.to_vec()));
        assert_eq!(frames.len(), expected.len());
        assert!(frames == expected);
        assert_eq!(source.counts(), SourceCounts { oversize: 1, clamped: 1 });
    }
}

#[test]
fn recorded_frames_come_out_line_by_line() {
    let Some(path) = recorded("frames/cryptofeed_binance_futures.tsv.zst") else { return };
    let bytes = zstd::decode_all(std::fs::File::open(&path).unwrap()).unwrap();
    let opened = open(&path, &table(), None).unwrap();
    assert_eq!((opened.kind, opened.symbol), (MarketKind::Frames, None));
    let mut source = opened.source;
    let frames = take(source.as_mut(), usize::MAX);
    let lines: Vec<&[u8]> = bytes.split(|b| *b == b'\n').filter(|line| !line.is_empty()).collect();
    assert_eq!(frames.len(), lines.len());
    for ((_, frame), line) in frames.iter().zip(lines) {
        assert!(line.ends_with(frame) && line[line.len() - frame.len() - 1] == b'\t');
    }
}

#[test]
fn merging_is_by_time_then_by_source() {
    let files = ["1\ta1\n5\ta5\n5\ta5b\n", "1\tb1\n4\tb4\n5\tb5\n9\tb9\n", ""].map(|s| write(s.as_bytes()));
    let sources = files
        .iter()
        .map(|file| Box::new(Frames::open(file.path()).unwrap()) as Box<dyn MarketSource>)
        .collect();
    let merged = take(&mut Merge::new(sources), 100);
    let names: Vec<String> = merged.into_iter().map(|(_, frame)| String::from_utf8(frame).unwrap()).collect();
    assert_eq!(names, ["a1", "b1", "b4", "a5", "a5b", "b5", "b9"]);
}

#[test]
fn the_longest_symbol_in_the_name_wins() {
    let table = quantum_trader::event::InstrumentTable::new(vec![
        instrument("PEPEUSDT", "0.1", "1", SizeUnit::Base),
        instrument("1000PEPEUSDT", "0.1", "1", SizeUnit::Base),
    ])
    .unwrap();
    let found = |name: &str| symbol_in_name(Path::new(name), &table).map(|row| row.symbol.to_string());
    assert_eq!(found("x/um_1000pepeusdt_1m.csv").as_deref(), Some("1000PEPEUSDT"));
    assert_eq!(found("PEPEUSDT-aggTrades.csv").as_deref(), Some("PEPEUSDT"));
    assert_eq!(found("pepeusdt/other.csv"), None, "folders do not name files");
}

#[test]
fn a_header_is_optional_and_windows_line_ends_are_fine() {
    let btc = instrument("BTCUSDT", "0.1", "0.001", SizeUnit::Base);
    let row = "7,5.0,0.001,3,4,1600000000000,true";
    let plain = write(format!("{row}\n").as_bytes());
    let header = write(
        format!("agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker\r\n{row}\r\n")
            .as_bytes(),
    );
    let frames = |path: &Path| take(&mut Trades::open(path, &btc, 1).unwrap(), 10);
    assert_eq!(frames(plain.path()), frames(header.path()));
    assert_eq!(frames(plain.path()).len(), 2);
    assert_eq!(btc.parse_size(b"0.001"), Ok(Size(1_000)));
}
