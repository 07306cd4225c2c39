//! Frames of the market streams through the decoder: it answers everything, twice the same, allocates
//! nothing, and what it lets through is sane.

use std::cell::RefCell;

use bolero::check;
use quantum_trader::decode::{Decoded, Decoder, Fault};
use quantum_trader::event::{Event, EventBody};
use quantum_trader::num::{InstrumentId, TimeNs};
use quantum_trader::venue::builtin_instruments;

use crate::target::{Target, bounded, recorded_lines};

const BYTES_MAX: usize = 1_024;

/// Frames as lists of members: event type first, as the venue sends them.
const FRAMES: [&[&str]; 8] = [
    &[
        r#""e":"aggTrade""#,
        r#""E":12"#,
        r#""a":7"#,
        r#""s":"BTCUSDT""#,
        r#""p":"63943.90""#,
        r#""q":"0.016""#,
        r#""f":5"#,
        r#""l":6"#,
        r#""T":11"#,
        r#""m":true"#,
        r#""st":1"#,
    ],
    &[
        r#""e":"trade""#,
        r#""E":12"#,
        r#""T":11"#,
        r#""s":"ETHUSDT""#,
        r#""t":7"#,
        r#""p":"3424.98""#,
        r#""q":"0.007""#,
        r#""X":"MARKET""#,
        r#""m":false"#,
    ],
    &[
        r#""e":"bookTicker""#,
        r#""u":9"#,
        r#""s":"BTCUSDT""#,
        r#""b":"63943.90""#,
        r#""B":"46.371""#,
        r#""a":"63944.00""#,
        r#""A":"0.095""#,
        r#""T":11"#,
        r#""E":12"#,
    ],
    &[
        r#""e":"depthUpdate""#,
        r#""E":12"#,
        r#""T":11"#,
        r#""s":"BTCUSDT""#,
        r#""U":5"#,
        r#""u":9"#,
        r#""pu":4"#,
        r#""b":[["63943.90","0.500"],["63950.00","0"]]"#,
        r#""a":[["63951.10","2"]]"#,
    ],
    &[
        r#""e":"kline""#,
        r#""E":12"#,
        r#""s":"BTCUSDT""#,
        r#""k":{"t":60000,"i":"1m","o":"10.0","c":"10.2","h":"10.3","l":"9.9","v":"9.09","n":194,"x":true,"q":"92.3","V":"3.46"}"#,
    ],
    &[
        r#""e":"markPriceUpdate""#,
        r#""E":12"#,
        r#""s":"BTCUSDT""#,
        r#""p":"64991.37858696""#,
        r#""P":"64980.01""#,
        r#""i":"65016.05""#,
        r#""r":"-0.00003936""#,
        r#""T":13"#,
    ],
    &[
        r#""e":"24hrTicker""#,
        r#""E":12"#,
        r#""s":"BTCUSDT""#,
        r#""c":"77490.00""#,
        r#""o":"77134.50""#,
        r#""h":"77771.60""#,
        r#""l":"75588.00""#,
        r#""v":"115619.606""#,
        r#""q":"8875431314.20""#,
        r#""n":2798861"#,
    ],
    &[
        r#""e":"forceOrder""#,
        r#""E":12"#,
        r#""o":{"s":"SOLUSDT","S":"SELL","q":"116.5","p":"3.80","ap":"3.85642","l":"25.2","z":"116.5","T":11}"#,
    ],
];

/// What JSON and our frames are made of.
const WORDS: [&str; 30] = [
    "\"e\":",
    "\"s\":",
    "\"p\":",
    "\"q\":",
    "\"b\":",
    "\"a\":",
    "\"k\":",
    "\"o\":",
    "\"data\":",
    "\"stream\":",
    "\"lastUpdateId\":",
    "\"result\":",
    "\"id\":",
    "trade",
    "aggTrade",
    "bookTicker",
    "depthUpdate",
    "kline",
    "markPriceUpdate",
    "24hrTicker",
    "forceOrder",
    "BTCUSDT",
    "x@bookTicker",
    "[[\"1.0\",\"2\"]]",
    "{",
    "}",
    "[",
    "]",
    "\\u0070",
    "1.0",
];

fn frame(members: &[&str]) -> String {
    format!("{{{}}}", members.join(","))
}

thread_local! {
    static DECODER: RefCell<Decoder> = RefCell::new(decoder());
}

fn decoder() -> Decoder {
    Decoder::new(&builtin_instruments("0.0005").unwrap(), BYTES_MAX)
}

/// Decodes with a decoder that has seen everything before.
fn decode(bytes: &[u8]) -> Result<Decoded, Fault> {
    DECODER.with_borrow_mut(|decoder| decoder.decode(TimeNs(1), bytes))
}

/// What holds for every input; `true` if it was an event.
fn check_frame(bytes: &[u8]) -> bool {
    DECODER.with(|_| ()); // It is made with all it will ever need.
    let first = bounded(bytes.len(), 0, 0, || decode(bytes));
    assert_eq!(decode(bytes), first, "the same bytes give the same answer");
    match first {
        Ok(Decoded::Event(event)) => {
            check_event(&event);
            assert!(serde_json::from_slice::<serde_json::Value>(bytes).is_ok(), "only JSON becomes an event");
            true
        }
        Ok(Decoded::Skipped(_)) => false,
        Err(fault) => {
            check_fault(&fault, bytes);
            false
        }
    }
}

fn check_event(event: &Event) {
    assert_ne!(event.instrument, InstrumentId::NONE);
    match event.body {
        EventBody::AggTrade(t) => {
            assert!(t.price.0 > 0 && t.size.0 >= 0 && t.first_id <= t.last_id && t.id >= 0)
        }
        EventBody::Trade(t) => assert!((t.price.0 > 0 || !t.market && t.price.0 == 0) && t.size.0 >= 0),
        EventBody::Quote(q) => assert!(q.bid.0 > 0 && q.ask.0 > 0 && q.bid_size.0 >= 0 && q.ask_size.0 >= 0),
        EventBody::Depth(d) => {
            assert_eq!(d.bid.0 > 0, d.bid_size.0 > 0, "a best level has size, no level has none");
            assert_eq!(d.ask.0 > 0, d.ask_size.0 > 0);
            assert!(d.first_id <= d.last_id);
        }
        EventBody::Bar(b) => {
            assert!(0 < b.low.0 && b.low <= b.open.min(b.close) && b.open.max(b.close) <= b.high)
        }
        EventBody::MarkPrice(m) => assert!(m.mark.0 > 0 && m.index.0 >= 0),
        EventBody::Ticker(t) => assert!(t.last.0 > 0 && t.quote_volume.0 >= 0),
        EventBody::ForceOrder(f) => assert!(f.price.0 > 0 && f.filled_size.0 >= 0),
        other => panic!("no market event: {other:?}"),
    }
}

fn check_fault(fault: &Fault, bytes: &[u8]) {
    let text = fault.to_string();
    assert!(text.is_ascii() || text.contains('…'), "printable: {text}");
    assert!(!text.contains(char::is_control) && text.len() < 400, "one short line: {text:?}");
    let EventBody::DecodeFault(journaled) = fault.event(TimeNs(1), bytes).body else { panic!() };
    assert_eq!((journaled.reason, journaled.bytes as usize), (fault.reason, bytes.len()));
}

#[test]
fn market() {
    let plain = FRAMES.iter().map(|members| frame(members).into_bytes());
    let combined =
        FRAMES.iter().map(|members| format!(r#"{{"stream":"a@b","data":{}}}"#, frame(members)).into_bytes());
    let target = Target {
        name: "market",
        inputs: 100_000,
        seeds: plain.chain(combined).collect(),
        recorded: recorded_frames(),
        words: WORDS.to_vec(),
        check: check_frame,
    };
    target.run();
}

/// Of the wire, one a line; not all of them are of streams that are read here.
pub fn recorded_frames() -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    for line in recorded_lines("frames/binance_um_2026_wire_samples.jsonl", 100) {
        let line: serde_json::Value = serde_json::from_slice(&line).unwrap_or_default();
        frames.extend(line["raw"].as_str().map(|raw| raw.as_bytes().to_vec()));
    }
    frames
}

#[test]
fn key_order_does_not_matter() {
    check!().with_iterations(5_000).with_type::<(u8, [u8; 12])>().for_each(|(pick, order)| {
        let members = FRAMES[usize::from(*pick) % FRAMES.len()];
        let mut shuffled: Vec<_> = members.iter().zip(order).collect();
        shuffled.sort_by_key(|(_, rank)| **rank);
        let shuffled: Vec<&str> = shuffled.into_iter().map(|(member, _)| *member).collect();
        let (plain, permuted) = (frame(members), frame(&shuffled));
        assert!(check_frame(plain.as_bytes()), "{plain} is an event");
        assert_eq!(decode(permuted.as_bytes()), decode(plain.as_bytes()), "{permuted}");
    });
}
