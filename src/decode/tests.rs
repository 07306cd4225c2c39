use super::*;
use crate::event::{DecodeFault, Depth, EventBody, FaultReason, Quote, Trade};
use crate::num::{Dec, InstrumentId, Side, Size, Ticks};
use crate::venue::builtin_instruments;

use FaultReason::*;

const BYTES_MAX: usize = 4_096;
const NOW: TimeNs = TimeNs(1_721_347_022_504_000_000);

const AGG_TRADE: &str = r#"{"e":"aggTrade","E":12,"a":7,"s":"BTCUSDT","p":"63943.90","q":"0.016","nq":"0.016","f":5,"l":6,"T":11,"m":true,"st":1}"#;
const TRADE: &str =
    r#"{"e":"trade","E":12,"T":11,"s":"BTCUSDT","t":7,"p":"63943.90","q":"0.016","X":"MARKET","m":false}"#;
const BOOK_TICKER: &str = r#"{"e":"bookTicker","u":9,"s":"BTCUSDT","b":"63943.90","B":"46.371","a":"63944.00","A":"0.095","T":11,"E":12}"#;
const DEPTH: &str = r#"{"e":"depthUpdate","E":12,"T":11,"s":"BTCUSDT","U":5,"u":9,"pu":4,"b":[["63000.00","1"],["63943.90","0.5"],["63950.00","0"]],"a":[["63944.00","0.000"],["63945.10","2"],["63944.10","3"]]}"#;
const KLINE: &str = r#"{"e":"kline","E":12,"s":"BTCUSDT","k":{"t":60000, "T":119999, "s":"BTCUSDT", "i":"1m", "f":1, "L":2, "o":"10.0", "c":"10.2", "h":"10.3", "l":"9.9", "v":"9.090", "n":194, "x":true, "q":"92.3", "V":"3.460", "Q":"35.1", "B":"0"}}"#;
const MARK: &str = r#"{"e":"markPriceUpdate","E":12,"s":"BTCUSDT","p":"64991.37858696","P":"64980.01344384","i":"65016.05673913","r":"-0.00003936","T":13}"#;
const TICKER: &str = r#"{"e":"24hrTicker","E":12,"s":"BTCUSDT","p":"1","P":"1","w":"1","c":"77490.00","Q":"0.001","o":"77134.50","h":"77771.60","l":"75588.00","v":"115619.606","q":"8875431314.20","O":1,"C":2,"F":3,"L":4,"n":2798861}"#;
const FORCE: &str = r#"{"e":"forceOrder","E":12,"o":{"s":"BTCUSDT","S":"SELL","o":"LIMIT","f":"IOC","q":"116.5","p":"3.8","ap":"3.85642","X":"FILLED","l":"25.2","z":"116.5","T":11}}"#;
const ALL: [&str; 8] = [AGG_TRADE, TRADE, BOOK_TICKER, DEPTH, KLINE, MARK, TICKER, FORCE];

fn decoder() -> Decoder {
    Decoder::new(&builtin_instruments("0.0005").unwrap(), BYTES_MAX)
}

fn decode(frame: &str) -> Result<Decoded, Fault> {
    decoder().decode(NOW, frame.as_bytes())
}

fn body(frame: &str) -> EventBody {
    match decode(frame) {
        Ok(Decoded::Event(event)) => event.body,
        other => panic!("{frame}: {other:?}"),
    }
}

fn reason(frame: &str) -> FaultReason {
    match decode(frame) {
        Err(fault) => fault.reason,
        other => panic!("{frame}: {other:?}"),
    }
}

/// `frame` with one text replaced that must be in it.
fn with(frame: &str, from: &str, to: &str) -> String {
    assert!(frame.contains(from), "{from} is not in {frame}");
    frame.replacen(from, to, 1)
}

#[test]
fn events_carry_receive_time_and_instrument() {
    let eth = with(BOOK_TICKER, "BTCUSDT", "ETHUSDT");
    let Ok(Decoded::Event(event)) = decode(&eth) else { panic!("{eth}") };
    assert_eq!((event.recv_ns, event.instrument), (NOW, InstrumentId(1)));
}

#[test]
fn the_best_level_with_size_is_kept_and_all_are_counted() {
    let EventBody::Depth(depth) = body(DEPTH) else { panic!() };
    let wanted = Depth {
        bid: Ticks(639_439),
        bid_size: Size(500_000),
        ask: Ticks(639_441),
        ask_size: Size(3_000_000),
        first_id: 5,
        last_id: 9,
        previous_id: 4,
        transaction_ms: 11,
        event_ms: 12,
        bid_levels: 3,
        ask_levels: 3,
    };
    assert_eq!(depth, wanted);
    let empty = r#"{"e":"depthUpdate","E":12,"s":"BTCUSDT","U":5,"u":9,"pu":4,"b":[],"a":[["1.0","0"]]}"#;
    let EventBody::Depth(depth) = body(empty) else { panic!() };
    assert_eq!((depth.bid, depth.ask, depth.ask_size, depth.ask_levels), (Ticks(0), Ticks(0), Size(0), 1));
}

#[test]
fn raw_and_combined_frames_give_the_same_event() {
    for frame in ALL {
        let combined = format!(r#"{{"stream":"btcusdt@x","data":{frame}}}"#);
        let reversed = format!(r#"{{"data":{frame},"stream":"btcusdt@x"}}"#);
        assert_eq!(body(&combined), body(frame));
        assert_eq!(body(&reversed), body(frame));
    }
}

#[test]
fn keys_come_in_any_order_and_new_ones_are_passed_over() {
    for frame in ALL {
        // The event type last, and before it a new key with everything JSON has.
        let (head, rest) = frame[1..frame.len() - 1].split_once(',').unwrap();
        let last = format!(r#"{{ {rest} , "zz":[null,{{"s":[1.5e3,-2]}},"\u0041\n"], {head} }}"#);
        assert_eq!(body(&last), body(frame), "{last}");
    }
    assert_eq!(body(&with(TRADE, "\"p\"", r#""\u0070""#)), body(TRADE), "escaped key");
    assert_eq!(body(&with(TRADE, "BTCUSDT", r"BTC\u0055SDT")), body(TRADE), "escaped value");
}

#[test]
fn older_frames_lack_some_keys() {
    let old = r#"{"u":9,"s":"BTCUSDT","b":"63943.90","B":"46.371","a":"63944.00","A":"0.095"}"#;
    let EventBody::Quote(new) = body(BOOK_TICKER) else { panic!() };
    let named = format!(r#"{{"stream":"btcusdt@bookTicker","data":{old}}}"#);
    assert_eq!(body(&named), EventBody::Quote(Quote { transaction_ms: 0, event_ms: 0, ..new }));
    assert_eq!(reason(&named.replace("bookTicker", "trade")), UnknownStream, "only book tickers go by name");
    assert_eq!(reason(old), UnknownStream, "nothing says what it is");

    let EventBody::MarkPrice(mark) = body(&MARK.replace("\"P\"", "\"P_\"").replace("\"i\"", "\"i_\"")) else {
        panic!()
    };
    assert_eq!((mark.settle, mark.index, mark.funding_rate), (Dec::ZERO, Dec::ZERO, Dec::new(-3936, 8)));
    assert_eq!(body(&with(TRADE, r#""X":"MARKET","#, "")), body(TRADE));
}

#[test]
fn trades_outside_the_book_may_have_no_price() {
    let EventBody::Trade(market) = body(TRADE) else { panic!() };
    let fund = with(TRADE, "MARKET", "INSURANCE_FUND");
    assert_eq!(body(&fund), EventBody::Trade(Trade { market: false, ..market }));
    let placeholder = fund.replace("63943.90", "0").replace("0.016", "0").replace("INSURANCE_FUND", "NA");
    let zero = Trade { market: false, price: Ticks(0), size: Size(0), ..market };
    assert_eq!(body(&placeholder), EventBody::Trade(zero));
    assert_eq!(reason(&with(TRADE, "63943.90", "0.00")), BadValue);
}

#[test]
fn answers_and_snapshots_are_skipped() {
    for (frame, skip) in [
        (r#"{"lastUpdateId":1,"E":2,"T":3,"bids":[["1","1"]],"asks":[]}"#, Skip::RestSnapshot),
        (r#"{"result":null,"id":1}"#, Skip::Reply),
        (r#"{"id":"a","result":["btcusdt@trade"]}"#, Skip::Reply),
        (r#"{"error":{"code":2,"msg":"Invalid request"},"id":1}"#, Skip::ErrorReply),
    ] {
        assert_eq!(decode(frame), Ok(Decoded::Skipped(skip)), "{frame}");
    }
}

#[test]
fn every_needed_key_is_missed() {
    let optional: [&[&str]; 8] = [
        &["nq", "st"],
        &["X"],
        &["T", "E"],
        &["T"],
        &["T", "f", "L", "Q", "B"],
        &["P", "i"],
        &["p", "P", "w", "Q", "O", "C", "F", "L"],
        &["o", "f", "X"],
    ];
    for (frame, optional) in ALL.into_iter().zip(optional) {
        for key in keys(frame) {
            let without = with(frame, &format!("\"{key}\":"), "\"zz\":");
            let wanted = match key {
                "e" => UnknownStream,
                _ => MissingField,
            };
            match decode(&without) {
                Ok(_) => assert!(optional.contains(&key), "{key} is not needed: {without}"),
                Err(fault) => {
                    assert_eq!(fault.reason, wanted, "{without}");
                    assert!(key == "e" || fault.key == key, "{fault}");
                }
            }
        }
    }
}

/// The keys of a flat reading of the frame, those of the inner object after the outer ones.
fn keys(frame: &str) -> Vec<&str> {
    frame.match_indices("\":").filter_map(|(end, _)| frame[..end].rsplit('"').next()).collect()
}

#[test]
fn hostile_numbers_are_refused() {
    let hostile = [
        r#""""#,
        r#""-1""#,
        r#""-0.1""#,
        r#""NaN""#,
        r#""inf""#,
        r#""1e5""#,
        r#""1E5""#,
        r#""+1""#,
        r#"" 1""#,
        r#""1 ""#,
        r#""0x10""#,
        r#""1,5""#,
        r#"".5""#,
        r#""5.""#,
        r#""1.2.3""#,
        r#""123456789012345678901234567890""#,
        r#""99999999999999999999""#,
        r#""0.1234567890123456789""#,
        r#""１""#,
        "1.5",
        "7",
        "null",
        "true",
        "[]",
        "{}",
        r#"["1"]"#,
    ];
    let numbers = [
        (AGG_TRADE, "\"63943.90\""),
        (AGG_TRADE, "\"0.016\""),
        (TRADE, "\"63943.90\""),
        (TRADE, "\"0.016\""),
        (BOOK_TICKER, "\"63943.90\""),
        (BOOK_TICKER, "\"46.371\""),
        (BOOK_TICKER, "\"63944.00\""),
        (BOOK_TICKER, "\"0.095\""),
        (DEPTH, "\"63000.00\""),
        (DEPTH, "\"0.5\""),
        (DEPTH, "\"63945.10\""),
        (KLINE, "\"10.3\""),
        (KLINE, "\"9.090\""),
        (KLINE, "\"92.3\""),
        (MARK, "\"64991.37858696\""),
        (TICKER, "\"77490.00\""),
        (TICKER, "\"8875431314.20\""),
        (FORCE, "\"3.8\""),
        (FORCE, "\"3.85642\""),
        (FORCE, "\"25.2\""),
    ];
    for (frame, number) in numbers {
        for value in hostile {
            let fault = decode(&with(frame, number, value)).expect_err(value);
            assert!([BadValue, OffTick].contains(&fault.reason), "{number} -> {value}: {fault}");
        }
    }
}

const THIRTY: &str = "123456789012345678901234567890";

#[test]
fn ids_times_and_flags_have_one_type() {
    for value in ["-1", "1.0", "1e3", "\"7\"", "null", "true", "9223372036854775808", "[7]", THIRTY] {
        for key in ["a", "f", "T", "E"] {
            let frame = keyed(AGG_TRADE, key, value);
            assert_eq!(reason(&frame), BadValue, "{frame}");
        }
    }
    assert_eq!(reason(&keyed(AGG_TRADE, "T", "9223372036855")), BadValue, "does not fit nanoseconds");
    assert_eq!(reason(&keyed(AGG_TRADE, "f", "9")), BadValue, "first after last");
    assert_eq!(reason(&keyed(DEPTH, "U", "10")), BadValue, "first after last");
    assert_eq!(reason(&keyed(AGG_TRADE, "m", "1")), BadValue);
    assert_eq!(reason(&keyed(KLINE, "n", "4294967296")), BadValue);
    assert_eq!(reason(&keyed(KLINE, "h", "\"10.1\"")), BadValue, "high below close");
    assert_eq!(reason(&keyed(KLINE, "l", "\"10.1\"")), BadValue, "low above open");
    assert_eq!(reason(&keyed(KLINE, "i", "\"1M\"")), BadValue);
    assert_eq!(reason(&keyed(FORCE, "S", "\"sell\"")), BadValue);
    assert_eq!(reason(&keyed(DEPTH, "b", "[[\"1.0\"]]")), BadValue);
    assert_eq!(reason(&keyed(DEPTH, "b", "[\"1.0\",\"1\"]")), BadValue);
    assert_eq!(reason(&keyed(KLINE, "k", "[]")), BadValue);
    let EventBody::ForceOrder(order) = body(&keyed(FORCE, "S", "\"BUY\"")) else { panic!() };
    assert_eq!(order.side, Side::Buy);
}

/// `frame` with another value for `key`, up to the next comma.
fn keyed(frame: &str, key: &str, value: &str) -> String {
    let start = frame.find(&format!("\"{key}\":")).unwrap() + key.len() + 3;
    let old = &frame[start..];
    let end = match old.as_bytes()[0] {
        b'[' => old.find("]]").unwrap() + 2,
        b'{' => old.find('}').unwrap() + 1,
        _ => old.find([',', '}']).unwrap(),
    };
    format!("{}{value}{}", &frame[..start], &old[end..])
}

#[test]
fn damage_is_told_from_what_is_not_ours() {
    let long = "X".repeat(200);
    for (frame, wanted) in [
        (with(BOOK_TICKER, "63943.90", "63943.95"), OffTick),
        (with(DEPTH, "63000.00", "63000.01"), OffTick),
        (with(BOOK_TICKER, "BTCUSDT", "NOUSDT"), UnknownSymbol),
        (with(BOOK_TICKER, "BTCUSDT", "btcusdt"), UnknownSymbol),
        (with(BOOK_TICKER, "BTCUSDT", ""), UnknownSymbol),
        (with(BOOK_TICKER, "BTCUSDT", &long), UnknownSymbol),
        (with(BOOK_TICKER, "\"BTCUSDT\"", "1"), BadValue),
        (with(BOOK_TICKER, "bookTicker", "ORDER_TRADE_UPDATE"), UnknownStream),
        (with(BOOK_TICKER, "\"bookTicker\"", "1"), BadValue),
        (with(TRADE, "{", r#"{"p":"1.0","#), BadValue),
        (with(TRADE, "{", r#"{"e":"trade","#), BadValue),
        (r#"{"stream":"!ticker@arr","data":[]}"#.to_string(), UnknownStream),
        (r#"{"stream":"a@trade","stream":"b@trade","data":{}}"#.to_string(), BadValue),
        (r#"{"stream":1,"data":{}}"#.to_string(), BadValue),
        (r#"{"result":null}"#.to_string(), UnknownStream),
        ("{}".to_string(), UnknownStream),
        ("[]".to_string(), UnknownStream),
        ("7".to_string(), UnknownStream),
        ("null".to_string(), UnknownStream),
    ] {
        assert_eq!(reason(&frame), wanted, "{frame}");
    }
}

#[test]
fn what_is_not_json_is_refused() {
    for frame in [
        " ",
        "{",
        "}",
        "nul",
        "{}{}",
        "{} x",
        "{\"e\"}",
        "{\"e\":}",
        "{,}",
        "[1,]",
        "{\"e\":\"tra",
        "\u{feff}{}",
        "{'e':1}",
        "{\"e\":\"\\x\"}",
        "{\"e\":\"\\ud800\"}",
        "{\"e\":\"a\nb\"}",
        "{\"e\":01}",
    ] {
        assert!([Syntax, BadValue].contains(&reason(frame)), "{frame:?}");
    }
    for frame in ALL {
        for end in 1..frame.len() {
            assert_eq!(reason(&frame[..end]), Syntax, "{}", &frame[..end]);
        }
    }
    let mut bytes = TRADE.as_bytes().to_vec();
    bytes[6] = 0xff;
    assert_eq!(decoder().decode(NOW, &bytes).unwrap_err().reason, Syntax, "not UTF-8");
}

#[test]
fn size_has_two_ends() {
    assert_eq!(reason(""), Size_);
    let padded = format!("{TRADE}{}", " ".repeat(BYTES_MAX - TRADE.len()));
    assert_eq!(body(&padded), body(TRADE));
    assert_eq!(reason(&format!("{padded} ")), Size_);
}
// The reason's name, not the quantity's.
use FaultReason::Size as Size_;

#[test]
fn deep_nesting_is_refused_without_recursion() {
    for open in ["[", "{\"a\":", "[{\"a\":"] {
        let deep = open.repeat(BYTES_MAX / open.len());
        assert_eq!(reason(&deep), Syntax);
    }
    let balanced = format!("{}{}", "[".repeat(BYTES_MAX / 2), "]".repeat(BYTES_MAX / 2));
    assert_eq!(reason(&with(TRADE, "\"m\"", &format!("\"zz\":{balanced},\"m\""))), Size_);
    let within = with(TRADE, "\"m\"", &format!("\"zz\":{}1{},\"m\"", "[".repeat(30), "]".repeat(30)));
    assert_eq!(body(&within), body(TRADE));
    let beyond = with(TRADE, "\"m\"", &format!("\"zz\":{}1{},\"m\"", "[".repeat(40), "]".repeat(40)));
    assert_eq!(reason(&beyond), Syntax);
}

#[test]
fn a_fault_leaves_nothing_behind() {
    let mut decoder = decoder();
    let clean = decode(DEPTH);
    for broken in [&DEPTH[..90], "[[[[", "", "{\"e\":\"trade\"}"] {
        assert!(decoder.decode(NOW, broken.as_bytes()).is_err());
        assert_eq!(decoder.decode(NOW, DEPTH.as_bytes()), clean);
    }
}

#[test]
fn faults_name_the_thing_the_value_and_what_is_allowed() {
    for (frame, wanted) in [
        (
            with(AGG_TRADE, "63943.90", "63943.95"),
            r#"off_tick: aggTrade p "63943.95": expected a multiple of the tick 0.1"#,
        ),
        (
            with(DEPTH, "63000.00", "-1.0"),
            r#"bad_value: depthUpdate b "-1.0": expected a price of 0 to 10^15 ticks"#,
        ),
        (
            keyed(TRADE, "q", "\"1e5\""),
            r#"bad_value: trade q "1e5": expected a plain decimal number: not a plain decimal number"#,
        ),
        (keyed(TRADE, "T", "1.5"), r#"bad_value: trade T "1.5e0": expected an integer from 0 to 2^63 - 1"#),
        (with(TRADE, "\"t\"", "\"zz\""), "missing_field: trade t: expected an integer from 0 to 2^63 - 1"),
        (
            with(TRADE, "BTCUSDT", "N\\u0000O"),
            r#"unknown_symbol: trade s "N\x00O": expected a symbol of the instrument table"#,
        ),
        (with(TRADE, "trade", &"é".repeat(30)), "unknown_stream: e \"\\xc3\\xa9"),
        (with(TRADE, "{", r#"{"p":"2","#), r#"bad_value: trade p "2": expected the key once"#),
        (String::new(), r#"size: "0 bytes": expected 1 to 4096 bytes"#),
        ("{\"e\":tru}".to_string(), "syntax: "),
    ] {
        let text = decode(&frame).unwrap_err().to_string();
        assert!(text.starts_with(wanted), "{text}\n{wanted}");
        assert!(text.len() < 300, "{text}");
    }
}

#[test]
fn the_journaled_fault_keeps_the_head() {
    let frame = with(DEPTH, "63000.00", "x");
    let fault = decode(&frame).unwrap_err();
    let event = fault.event(NOW, frame.as_bytes());
    assert_eq!((event.recv_ns, event.instrument), (NOW, InstrumentId::NONE));
    let EventBody::DecodeFault(journaled) = event.body else { panic!() };
    assert_eq!(journaled.bytes as usize, frame.len());
    assert_eq!(journaled.crc32c, crc32c::crc32c(frame.as_bytes()));
    assert_eq!((journaled.reason, usize::from(journaled.head_length)), (BadValue, DecodeFault::HEAD_BYTES));
    assert_eq!(journaled.head, frame.as_bytes()[..DecodeFault::HEAD_BYTES]);
    let EventBody::DecodeFault(empty) = decode("").unwrap_err().event(NOW, b"").body else { panic!() };
    assert_eq!((empty.bytes, empty.head_length), (0, 0));
}
