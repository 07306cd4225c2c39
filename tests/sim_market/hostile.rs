//! Damaged and hostile files: refused in one line that names the place, never a panic, and the
//! source is then at its end.

use std::io::Write;

use quantum_trader::event::SizeUnit;
use quantum_trader::sim::market::{Candles, Frames, MarketSource, Merge, SourceError, Trades, open};

use crate::{instrument, table};

fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    file
}

/// The first error of a source, which then must have ended.
fn first_error(mut source: impl MarketSource) -> Option<SourceError> {
    let mut frame = Vec::new();
    loop {
        match source.next_frame(&mut frame) {
            Ok(Some(_)) => {}
            Ok(None) => return None,
            Err(error) => {
                assert_eq!(source.next_frame(&mut frame), Ok(None), "after {error}");
                return Some(error);
            }
        }
    }
}

fn check(error: Option<SourceError>, input: &str, field: &str, line: u64) {
    let error = error.unwrap_or_else(|| panic!("accepted: {input:?}"));
    let shown = error.to_string();
    assert_eq!((error.field, error.line), (field, line), "{input:?}: {shown}");
    assert!(!shown.contains('\n') && shown.len() < 500, "{shown:?}");
    assert!(!error.allowed.is_empty() && shown.contains(&error.file));
}

#[test]
fn damaged_frames_files() {
    for (input, field, line) in [
        ("12\tok\nno tab\n", "line", 2),
        ("12\tok\n\n", "line", 2),
        ("12345678901234567890\tx\n", "line", 1),
        ("9999999999999999999\tx\n", "recv_ns", 1),
        ("-5\tx\n", "recv_ns", 1),
        ("+5\tx\n", "recv_ns", 1),
        ("\tx\n", "recv_ns", 1),
        ("1 \tx\n", "recv_ns", 1),
    ] {
        let file = file(input.as_bytes());
        check(first_error(Frames::open(file.path()).unwrap()), input, field, line);
    }
}

#[test]
fn cut_or_damaged_compressed_streams() {
    let text: String = (0..5_000).map(|i| format!("{i}\t{{\"n\":{}}}\n", i * 7_919)).collect();
    let whole = zstd::encode_all(text.as_bytes(), 3).unwrap();
    assert_eq!(first_error(Frames::open(file(&whole).path()).unwrap()), None);
    let cut = first_error(Frames::open(file(&whole[..whole.len() - 5]).path()).unwrap()).unwrap();
    assert_eq!(cut.field, "read");
    assert!(cut.allowed.contains("cut short"), "{cut}");
    let mut damaged = whole;
    let middle = damaged.len() / 2;
    for byte in &mut damaged[middle..middle + 64] {
        *byte = !*byte;
    }
    let file = file(&damaged);
    let error = Frames::open(file.path()).and_then(|source| first_error(source).map_or(Ok(()), Err));
    assert!(error.is_err(), "damage was not noticed");
}

#[test]
fn damaged_trades_files() {
    let btc = instrument("BTCUSDT", "0.1", "0.001", SizeUnit::Base);
    let good = "7,5.0,0.001,3,4,1600000000000,true";
    let long = format!("{good},{}", "9".repeat(5_000));
    for (row, field) in [
        ("7,5.0,0.001,3,4,1600000000000", "row"),
        (long.as_str(), "row"),
        ("", "row"),
        ("8,5.05,0.001,3,4,1600000000000,true", "price"),
        ("8,0,0.001,3,4,1600000000000,true", "price"),
        ("8,-5,0.001,3,4,1600000000000,true", "price"),
        ("8,1e3,0.001,3,4,1600000000000,true", "price"),
        ("8,99999999999999999999,0.001,3,4,1600000000000,true", "price"),
        ("8,922337203685477580.7,0.001,3,4,1600000000000,true", "price"),
        ("8,5.0,0.0000001,3,4,1600000000000,true", "quantity"),
        ("8,5.0,0,3,4,1600000000000,true", "quantity"),
        ("8,5.0,\"1\",3,4,1600000000000,true", "quantity"),
        ("8,5.0,0.001,4,3,1600000000000,true", "last_trade_id"),
        ("8,5.0,0.001,x,4,1600000000000,true", "first_trade_id"),
        ("8,5.0,0.001,3,4,1600000000000000,true", "transact_time"),
        ("8,5.0,0.001,3,4,1599999999999,true", "transact_time"),
        ("8,5.0,0.001,3,4,1600000000000,yes", "is_buyer_maker"),
        ("7,5.0,0.001,3,4,1600000000000,true", "agg_trade_id"),
        ("08,5.0,0.001,3,4,1600000000000,true", "agg_trade_id"),
        ("9223372036854775808,5.0,0.001,3,4,1600000000000,true", "agg_trade_id"),
    ] {
        let file = file(format!("{good}\n{row}\n").as_bytes());
        check(first_error(Trades::open(file.path(), &btc, 1).unwrap()), row, field, 2);
    }
}

#[test]
fn damaged_candles_files() {
    let btc = instrument("BTCUSDT", "0.1", "0.001", SizeUnit::Base);
    let good = "1600000020000,5,5,5,5,2,1600000079999\n1600000080000,5,5,5,5,2,1600000139999";
    for (row, field) in [
        ("1600000140000,5,4.9,4.8,4.9,2", "high"),
        ("1600000140000,5,5.2,5.1,5.2,2", "low"),
        ("1600000140000,5,5,5,5,", "volume"),
        ("1600000140000,5,5,5,5,-1", "volume"),
        ("1600000140000,5,5,5,,1", "close"),
        ("1600000140000,5,5,5,5,2,x", "close_time"),
        ("1600000140000,5,5,5,5,2,,-1", "quote_volume"),
        ("1600000140000,5,5,5,5,2,,,1.5", "count"),
        ("1600000140000,5,5,5,5,2,,,,x", "taker_buy_volume"),
        ("1600000140000,5,5,5,5,2,,,,,x", "taker_buy_quote_volume"),
        ("1600000140000,5,5,5,5,2,,,,,,,,", "row"),
        ("1600000080000,5,5,5,5,2", "open_time"),
        ("1600000141000,5,5,5,5,2", "open_time"),
        ("1600000140000,900000000000000000,900000000000000000,5,5,9000000000000", "volume"),
    ] {
        let file = file(format!("{good}\n{row}\n").as_bytes());
        check(first_error(Candles::open(file.path(), &btc, 1).unwrap()), row, field, 3);
    }
    for (text, field) in [
        ("", "row"),
        ("open_time,open\n", "row"),
        ("1600000020000,5,5,5,5,2\n", "close_time"),
        ("1600000020000,5,5,5,5,2\n1600000027000,5,5,5,5,2\n", "interval"),
        ("1600000020000,5,5,5,5,2\n1600000020000,5,5,5,5,2\n", "interval"),
    ] {
        let file = file(text.as_bytes());
        check(Candles::open(file.path(), &btc, 1).err(), text, field, 1);
    }
}

#[test]
fn files_of_no_known_kind() {
    for text in ["\n", "hello\n", "a\tb\n", "1,2,3\n", "\u{1}\u{2}", "recv\traw\n"] {
        let file = file(text.as_bytes());
        check(open(file.path(), &table(), Some("BTCUSDT")).err(), text, "line", 1);
    }
    for (text, field) in [("", "is empty"), ("PK\u{3}\u{4}", "zip archive")] {
        check(open(file(text.as_bytes()).path(), &table(), None).err(), text, field, 0);
    }
    let folder = tempfile::tempdir().unwrap();
    check(open(folder.path(), &table(), None).err(), "folder", "is a folder", 0);
    let trades = file(b"7,5.0,0.001,3,4,1600000000000,true\n");
    check(open(trades.path(), &table(), Some("NONE")).err(), "NONE", "symbol", 0);
    check(open(trades.path(), &table(), None).err(), "", "symbol in the file's name", 0);
    let missing = open(&trades.path().with_extension("absent"), &table(), None);
    check(missing.err(), "absent", "read", 0);
}

#[test]
fn a_merge_ends_with_the_first_error() {
    let good = file(b"1\ta\n2\tb\n3\tc\n");
    let bad = file(b"1\ta\nx\n");
    let sources = [good.path(), bad.path()]
        .map(|path| Box::new(Frames::open(path).unwrap()) as Box<dyn MarketSource>)
        .into_iter()
        .collect();
    check(first_error(Merge::new(sources)), "x", "line", 2);
}

#[test]
fn noise_never_panics() {
    let btc = instrument("BTCUSDT", "0.1", "0.001", SizeUnit::Base);
    let alphabet = b"0123456789.,\n\t-truefalse\"\r\xff";
    let mut state = 1u64;
    for _ in 0..2_000 {
        let bytes: Vec<u8> = (0..200)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                alphabet[(state >> 33) as usize % alphabet.len()]
            })
            .collect();
        let file = file(&bytes);
        let _ = Frames::open(file.path()).map(first_error);
        let _ = Trades::open(file.path(), &btc, 1).map(first_error);
        let _ = Candles::open(file.path(), &btc, 1).map(first_error);
    }
}
