use super::super::{Decoded, Decoder, Fault};
use super::*;
use crate::event::{Instrument, InstrumentSpec, SizeUnit};
use crate::num::{Size, Ticks};
use crate::venue::builtin_instruments;

const BYTES_MAX: usize = 1_024;
const NOW: TimeNs = TimeNs(1_721_347_022_504_000_000);

const AGG_TRADE: &str = r#"{"e":"aggTrade","E":1792000000150,"a":3100200300,"s":"BTCUSDT","p":"61234.50","q":"0.250","nq":"0.200","f":7100200300,"l":7100200304,"T":1792000000120,"m":true,"st":1}"#;
const TRADE: &str = r#"{"e":"trade","E":1792000000150,"T":1792000000149,"s":"BTCUSDT","t":7100200300,"p":"61234.50","q":"1","X":"MARKET","m":false}"#;
const BOOK_TICKER: &str = r#"{"e":"bookTicker","u":9100200300400,"s":"BTCUSDT","ps":"BTCUSDT","b":"61234.50","B":"12.5","a":"61234.60","A":"0.000","T":1792000000140,"E":1792000000144,"st":1}"#;
const MARK: &str = r#"{"e":"markPriceUpdate","E":1792000000000,"s":"BTCUSDT","p":"61230.12345678","ap":"61231.5","P":"61200.25","i":"61233.87654321","r":"-0.00012500","T":1792022400000,"st":1}"#;
const KLINE: &str = r#"{"e":"kline","E":1792000059950,"s":"BTCUSDT","k":{"t":1792000000000, "T":1792000059999, "s":"BTCUSDT", "i":"1m", "f":7100200300, "L":7100200650, "o":"61234.50", "c":"61240.10", "h":"61250.00", "l":"61234.40", "v":"21.075", "n":351, "x":false, "q":"1290712.34250", "V":"9.5", "Q":"581900.75", "B":"0"}}"#;
const TICKER: &str = r#"{"e":"24hrTicker","E":1792000000250,"s":"BTCUSDT","ps":"BTCUSDT","p":"-310.20","P":"-0.504","w":"61100.42","c":"61234.50","Q":"0.010","o":"61544.70","h":"61999.90","l":"60500.00","v":"145000.125","q":"8859560912.75","O":1791913560000,"C":1792000000249,"F":7096000000,"L":7100200300,"n":4200301,"st":1}"#;

/// Every kind in every set of fields the venue has had, raw, each with its stream.
fn frames() -> Vec<(&'static str, String)> {
    let older = |frame: &str| frame.replace(r#","st":1"#, "").replace(r#","ps":"BTCUSDT""#, "");
    let without =
        |frame: &str, keys: &[&str]| keys.iter().fold(older(frame), |frame, key| with(&frame, key, ""));
    let nq = r#","nq":"0.200""#;
    let (ap, settle, index) = (r#","ap":"61231.5""#, r#","P":"61200.25""#, r#","i":"61233.87654321""#);
    vec![
        ("aggTrade", AGG_TRADE.to_string()),
        ("aggTrade", older(AGG_TRADE)),
        ("aggTrade", without(AGG_TRADE, &[nq])),
        ("trade", TRADE.to_string()),
        ("trade", with(TRADE, "false}", "true,\"st\":1}")),
        ("bookTicker", BOOK_TICKER.to_string()),
        ("bookTicker", older(BOOK_TICKER)),
        ("markPrice@1s", MARK.to_string()),
        ("markPrice", without(MARK, &[ap])),
        ("markPrice", without(MARK, &[ap, settle])),
        ("markPrice@1s", without(MARK, &[ap, settle, index, "-"])),
        ("kline_1m", KLINE.to_string()),
        ("kline_1m", KLINE.replace(", ", ",").replace("false", "true")),
        ("kline_12h", KLINE.replace("1m", "12h").replace("7100200300", "-1").replace("7100200650", "-1")),
        ("ticker", TICKER.to_string()),
        ("ticker", older(TICKER).replace('-', "")),
    ]
}

fn combined(stream: &str, frame: &str) -> String {
    format!(r#"{{"stream":"btcusdt@{stream}","data":{frame}}}"#)
}

/// All of [`frames`], raw and combined.
fn both_forms() -> impl Iterator<Item = String> {
    frames().into_iter().flat_map(|(stream, frame)| [combined(stream, &frame), frame])
}

/// `frame` with one text replaced that must be in it.
fn with(frame: &str, from: &str, to: &str) -> String {
    assert!(frame.contains(from), "{from} is not in {frame}");
    frame.replacen(from, to, 1)
}

fn decoder() -> Decoder {
    Decoder::new(&builtin_instruments("0.0005").unwrap(), BYTES_MAX)
}

/// Whether the layouts answer, which must then be what the decoder of record says.
fn is_answered(decoder: &mut Decoder, frame: &[u8]) -> bool {
    let recorded = decoder.decode_of_record(NOW, frame);
    let fast = decoder.decode_fast(NOW, frame);
    if let Some(event) = fast {
        assert_eq!(recorded, Ok(Decoded::Event(event)), "{}", frame.escape_ascii());
    }
    assert_eq!(decoder.decode(NOW, frame), recorded, "{}", frame.escape_ascii());
    fast.is_some()
}

#[test]
fn every_kind_and_set_of_fields_is_answered_in_both_forms() {
    let mut decoder = decoder();
    for (count, frame) in both_forms().enumerate() {
        assert!(is_answered(&mut decoder, frame.as_bytes()), "{frame}");
        assert_eq!(decoder.fast_frames(), count as u64 + 1);
    }
}

#[test]
fn numbers_of_every_length_are_answered() {
    let mut decoder = decoder();
    for price in ["0.1", "1", "7.0", "99.90", "12345678", "123456789.5", "00061234.5", "61234.50000000"] {
        assert!(is_answered(&mut decoder, with(AGG_TRADE, "61234.50", price).as_bytes()), "{price}");
    }
    for size in ["0", "0.000001", "12345678.000001", "123456789.5", "99999999", "999999999"] {
        assert!(is_answered(&mut decoder, with(AGG_TRADE, "0.250", size).as_bytes()), "{size}");
    }
    for id in ["0", "7", "1234567", "12345678", "123456789", "999999999999999"] {
        assert!(is_answered(&mut decoder, with(AGG_TRADE, "3100200300", id).as_bytes()), "{id}");
    }
    for rate in ["0", "0.00000000", "-0.00000001", "1", "-123456789012345.12345678"] {
        assert!(is_answered(&mut decoder, with(MARK, "-0.00012500", rate).as_bytes()), "{rate}");
    }
}

/// What is not exactly a layout, or not a value that is kept: each is left to the decoder of record.
#[test]
fn whatever_deviates_is_left_to_the_decoder_of_record() {
    let agg = |from: &str, to: &str| with(AGG_TRADE, from, to);
    let book = |from: &str, to: &str| with(&combined("bookTicker", BOOK_TICKER), from, to);
    let kline = |from: &str, to: &str| with(KLINE, from, to);
    let mark = |from: &str, to: &str| with(MARK, from, to);
    let agg_in_stream = combined("aggTrade", AGG_TRADE);
    let deviations = [
        // The frame as a whole.
        format!("{AGG_TRADE} "),
        format!("{AGG_TRADE}\n"),
        format!(" {AGG_TRADE}"),
        format!("{AGG_TRADE}}}"),
        format!("{AGG_TRADE}\0"),
        format!("{AGG_TRADE}{AGG_TRADE}"),
        agg_in_stream[..agg_in_stream.len() - 1].to_string(),
        agg("{", "{ "),
        agg(",\"E\"", ", \"E\""),
        format!("[{AGG_TRADE}]"),
        format!(r#"{{"data":{AGG_TRADE},"stream":"btcusdt@aggTrade"}}"#),
        String::new(),
        "{\"e\":".to_string(),
        "{\"stream\":\"btcusdt@".to_string(),
        // Keys: another order, twice, new, missing, escaped, of another case.
        agg(r#""p":"61234.50","q":"0.250""#, r#""q":"0.250","p":"61234.50""#),
        agg(r#","m":true"#, r#","m":true,"m":true"#),
        agg(r#","m":true"#, r#","p":"61234.50","m":true"#),
        agg(r#","st":1"#, r#","st":1,"p":"1.0""#),
        agg(r#","st":1"#, r#","st":1,"zz":1"#),
        agg(r#","q":"0.250""#, ""),
        agg("\"p\"", r#""\u0070""#),
        agg("\"p\"", "\"P\""),
        agg(r#","st":1"#, r#","st":2"#),
        // Names.
        agg("BTCUSDT", r"BTC\u0055SDT"),
        agg("BTCUSDT", "NOUSDT"),
        agg("BTCUSDT", "btcusdt"),
        agg("BTCUSDT", ""),
        agg("aggTrade", "trade"),
        agg("aggTrade", "aggTradf"),
        book("btcusdt", "ethusdt"),
        book("btcusdt", "BTCUSDT"),
        book("btcusdt", "btc\u{15}sdt"),
        book("btcusdt", r"btc\u0075sdt"),
        book("btcusdt@", "!"),
        book("@bookTicker\"", "@aggTrade\""),
        book("@bookTicker\"", "@bookTicker@0ms\""),
        book(r#""ps":"BTCUSDT""#, r#""ps":"ETHUSDT""#),
        // Numbers.
        agg("\"61234.50\"", "61234.50"),
        agg("61234.50", "-61234.50"),
        agg("61234.50", "+61234.50"),
        agg("61234.50", "6.12345e4"),
        agg("61234.50", "61234."),
        agg("61234.50", ".5"),
        agg("61234.50", ""),
        agg("61234.50", "61234.5 "),
        agg("61234.50", "61,234.5"),
        agg("61234.50", "61234.5.0"),
        agg("61234.50", "61234.55"),
        agg("61234.50", "61234.500000000"),
        agg("61234.50", "0.00"),
        agg("61234.50", "1000000000000000"),
        agg("61234.50", "999999999999999"),
        agg("0.250", "0.0000001"),
        agg("0.250", "-1"),
        agg("3100200300", "-1"),
        agg("3100200300", "03100200300"),
        agg("3100200300", "3100200300.0"),
        agg("3100200300", "3e9"),
        agg("3100200300", "\"3100200300\""),
        agg("3100200300", "1000000000000000"),
        agg("3100200300", "9223372036854775808"),
        agg("1792000000150", "179200000015"),
        agg("1792000000150", "0792000000150"),
        agg("1792000000150", "9223372036855"),
        agg("1792000000150", "17920000001500"),
        agg("1792000000150", "null"),
        agg("true", "TRUE"),
        agg("true", "1"),
        agg("7100200300", "7100200305"),
        // What only one kind has.
        with(TRADE, "MARKET", "INSURANCE_FUND"),
        with(TRADE, r#","X":"MARKET""#, ""),
        mark("61230.12345678", "0.00"),
        mark("-0.00012500", ""),
        mark("-0.00012500", "--0.1"),
        mark("61233.87654321", "-1"),
        mark("61233.87654321", "1.123456789"),
        kline(", \"T\"", ",\"T\""),
        kline(", \"i\"", ",\"i\""),
        kline(", \"i\"", ",  \"i\""),
        kline(", \"s\":\"BTCUSDT\"", ", \"s\":\"ETHUSDT\""),
        kline("\"1m\"", "\"1M\""),
        kline("\"1m\"", "\"1s\""),
        kline("\"1m\"", "\"\""),
        kline("61250.00", "61240.00"),
        kline("61234.40", "61234.60"),
        kline("351", "4294967296"),
        kline("7100200300", "-2"),
        kline("7100200300", "-0"),
        with(TICKER, "\"61234.50\"", "\"-61234.50\""),
        with(TICKER, "\"-310.20\"", "\"\""),
        with(TICKER, "\"61544.70\"", "\"61544.75\""),
        // Other frames.
        r#"{"stream":"btcusdt@depth","data":{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":5,"u":9,"pu":4,"b":[],"a":[]}}"#
            .to_string(),
        r#"{"result":null,"id":1}"#.to_string(),
        "x".repeat(BYTES_MAX + 1),
    ];
    let mut decoder = decoder();
    for frame in &deviations {
        assert!(!is_answered(&mut decoder, frame.as_bytes()), "{frame}");
    }
    assert_eq!(decoder.fast_frames(), 0);
}

#[test]
fn bytes_that_are_no_text_are_left_to_the_decoder_of_record() {
    let frame = combined("aggTrade", AGG_TRADE).into_bytes();
    let mut decoder = decoder();
    for at in 0..frame.len() {
        for byte in [0x80, 0xc3, 0xff] {
            let mut bytes = frame.clone();
            bytes[at] = byte;
            assert!(!is_answered(&mut decoder, &bytes), "{}", bytes.escape_ascii());
        }
    }
}

#[test]
fn frames_that_are_too_long_are_refused_all_the_same() {
    let mut decoder = Decoder::new(&builtin_instruments("0.0005").unwrap(), AGG_TRADE.len() - 1);
    assert!(matches!(decoder.decode(NOW, AGG_TRADE.as_bytes()), Err(Fault { .. })));
    assert!(decoder.decode_fast(NOW, AGG_TRADE.as_bytes()).is_none());
}

/// Each frame with each byte exchanged, left out or doubled, and with each end cut off.
#[test]
fn one_byte_from_a_layout_the_two_agree() {
    const BYTES: [u8; 14] = *b"0189.\"\\,:{}-\x02 ";
    let mut decoder = decoder();
    let (mut tried, mut answered) = (0, 0);
    for frame in both_forms() {
        for at in 0..frame.len() {
            let mut try_one = |bytes: &[u8]| {
                tried += 1;
                answered += usize::from(is_answered(&mut decoder, bytes));
            };
            let bytes = frame.as_bytes();
            for byte in BYTES {
                try_one(&[&bytes[..at], &[byte], &bytes[at + 1..]].concat());
            }
            try_one(&[&bytes[..at], &bytes[at + 1..]].concat());
            try_one(&[&bytes[..=at], &bytes[at..]].concat());
            try_one(&bytes[..at]);
        }
    }
    assert!(tried > 100_000 && answered > tried / 20 && answered < tried / 2, "{answered} of {tried}");
}

fn instrument(symbol: &str, tick: &str, step: &str) -> Instrument {
    Instrument::from_spec(&InstrumentSpec {
        symbol,
        tick,
        step,
        min_quantity: step,
        max_quantity: "",
        min_notional: "5",
        taker_fee: "0",
        maintenance_margin: "0.01",
        size_unit: SizeUnit::Base,
    })
    .unwrap()
}

fn table(rows: Vec<Instrument>) -> Decoder {
    Decoder::new(&InstrumentTable::new(rows).unwrap(), BYTES_MAX)
}

/// A book ticker of a symbol, raw and combined.
fn quotes(symbol: &str) -> [String; 2] {
    let raw = BOOK_TICKER.replace(r#","ps":"BTCUSDT""#, "").replace("BTCUSDT", symbol);
    let combined = format!(r#"{{"stream":"{}@bookTicker","data":{raw}}}"#, symbol.to_ascii_lowercase());
    [raw, combined]
}

#[test]
fn symbols_are_found_among_hundreds() {
    let names: Vec<String> = (0..700).map(|n| format!("{}{n}USDT", ["A", "1000B", "C_"][n % 3])).collect();
    let rows = names.iter().map(|name| instrument(name, "0.1", "0.001"));
    let mut decoder = table(rows.collect());
    for (row, name) in names.iter().enumerate() {
        for frame in quotes(name) {
            assert!(is_answered(&mut decoder, frame.as_bytes()), "{frame}");
            assert_eq!(decoder.decode_fast(NOW, frame.as_bytes()).unwrap().instrument.index(), row);
        }
    }
    for stranger in ["A1USDT", "A0USD", "A0USDTT", "B", "C-2USDT"] {
        quotes(stranger).iter().for_each(|frame| assert!(!is_answered(&mut decoder, frame.as_bytes())));
    }
}

#[test]
fn names_that_are_unusual_are_right_or_left_alone() {
    for (symbol, is_usual) in [
        ("X", true),
        ("BTCUSDT_261225", true),
        ("ABCDEFGHIJKLMNO", true),
        ("ABCDEFGHIJKLMNOP", false),
        ("ABCDEFGHIJKLMNOPQRSTUVWX", false),
        ("BTC-USDT", false),
        ("BTC@USDT", false),
        ("BTC\"USDT", false),
        ("BTC\\nUSDT", false),
    ] {
        let mut decoder =
            table(vec![instrument("OTHER", "0.1", "0.001"), instrument(symbol, "0.1", "0.001")]);
        for frame in quotes(symbol) {
            assert_eq!(is_answered(&mut decoder, frame.as_bytes()), is_usual, "{frame}");
        }
    }
}

#[test]
fn of_symbols_that_differ_in_case_alone_the_first_is_answered() {
    let row = |symbol| instrument(symbol, "0.1", "0.001");
    let mut decoder = table(vec![row("BTCusdt"), row("BTCUSDT"), row("BTCusdt")]);
    for frame in quotes("BTCusdt") {
        assert!(is_answered(&mut decoder, frame.as_bytes()), "{frame}");
    }
    for frame in quotes("BTCUSDT") {
        assert!(!is_answered(&mut decoder, frame.as_bytes()), "{frame}");
    }
}

#[test]
fn units_are_the_instruments() {
    // 0.1 and 0.2 of a frame's last places: what is on the grid of each tick.
    for (tick, step, bid, ticks) in [
        ("0.01", "0.001", "61234.50", Some(6_123_450)),
        ("0.5", "0.001", "61234.50", Some(122_469)),
        ("0.05", "0.001", "61234.55", Some(1_224_691)),
        ("0.25", "1", "61234.75", Some(244_939)),
        ("0.25", "1", "61234.60", None),
        ("100", "0.001", "61200.00", Some(612)),
        ("100", "0.001", "61234.50", None),
        ("0.00000001", "1", "0.00001234", Some(1_234)),
        // Finer than is answered.
        ("0.000000001", "1", "0.00001234", None),
        ("0.1", "0.000001", "61234.50", None),
    ] {
        let mut decoder = table(vec![instrument("BTCUSDT", tick, step)]);
        for frame in quotes("BTCUSDT") {
            let frame = frame.replace("61234.50", bid).replace("61234.60", bid);
            assert_eq!(is_answered(&mut decoder, frame.as_bytes()), ticks.is_some(), "{tick}: {frame}");
            let event = decoder.decode_fast(NOW, frame.as_bytes());
            let bid = event.map(|event| match event.body {
                EventBody::Quote(quote) => (quote.bid.0, quote.bid_size > Size(0)),
                other => panic!("{other:?}"),
            });
            assert_eq!(bid, ticks.map(|ticks| (Ticks(ticks).0, true)));
        }
    }
}
