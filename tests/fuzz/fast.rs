//! The reader of literal layouts against the decoder of record, simd-json: it may leave any frame to it, but what
//! it answers is what that one says, and it allocates nothing.

use std::cell::RefCell;
use std::sync::atomic::{AtomicUsize, Ordering};

use bolero::check;
use bolero::generator::bolero_generator::TypeGenerator;
use quantum_trader::decode::{Decoded, Decoder};
use quantum_trader::event::{Instrument, InstrumentSpec, InstrumentTable, SizeUnit};
use quantum_trader::num::TimeNs;
use quantum_trader::venue::builtin_instruments;

use crate::market::recorded_frames;
use crate::target::{Target, bounded};

const BYTES_MAX: usize = 1_024;
const NOW: TimeNs = TimeNs(1);

/// Symbols with units of every sort, one with an expiry, and two that differ in case alone.
const EXTRA: [(&str, &str, &str); 6] = [
    ("FIVEUSDT", "0.05", "1"),
    ("QUARTERUSDT", "0.25", "0.01"),
    ("HUNDREDUSDT", "100", "0.001"),
    ("FINEUSDT", "0.0000001", "0.1"),
    ("BTCUSDT_261225", "0.1", "0.001"),
    ("btcUSDT", "0.1", "0.001"),
];

fn decoder() -> Decoder {
    let builtin = builtin_instruments("0.0005").unwrap();
    let extra = EXTRA.map(|(symbol, tick, step)| {
        let spec = InstrumentSpec {
            symbol,
            tick,
            step,
            min_quantity: step,
            max_quantity: "",
            min_notional: "5",
            taker_fee: "0",
            maintenance_margin: "0.01",
            size_unit: SizeUnit::Base,
        };
        Instrument::from_spec(&spec).unwrap()
    });
    let rows = builtin.iter().map(|(_, row)| *row).chain(extra);
    Decoder::new(&InstrumentTable::new(rows.collect()).unwrap(), BYTES_MAX)
}

thread_local! {
    static DECODER: RefCell<Decoder> = RefCell::new(decoder());
}

/// What holds for every input; `true` if the layouts answered it.
fn check_frame(bytes: &[u8]) -> bool {
    DECODER.with_borrow_mut(|decoder| {
        let fast = bounded(bytes.len(), 0, 0, || decoder.decode_fast(NOW, bytes));
        let recorded = decoder.decode_of_record(NOW, bytes);
        if let Some(event) = fast {
            assert_eq!(Ok(Decoded::Event(event)), recorded, "{}", bytes.escape_ascii());
        }
        assert_eq!(decoder.decode(NOW, bytes), recorded, "{}", bytes.escape_ascii());
        fast.is_some()
    })
}

/// A key, and what makes its value.
type Member = (&'static str, &'static str);

/// A stream's name, an event type and its members, each with what makes its value: `p` price, `q` quantity, `d`
/// decimal, `s` decimal of either sign, `i` integer, `t` time, `n` symbol, `b` flag; any other text is the value.
/// `?` marks members that some years do not have.
const KINDS: [(&str, &str, &[Member]); 6] = [
    (
        "aggTrade",
        "aggTrade",
        &[
            ("E", "t"),
            ("a", "i"),
            ("s", "n"),
            ("p", "p"),
            ("q", "q"),
            ("?nq", "q"),
            ("f", "7"),
            ("l", "i"),
            ("T", "t"),
            ("m", "b"),
            ("?st", "1"),
        ],
    ),
    (
        "trade",
        "trade",
        &[
            ("E", "t"),
            ("T", "t"),
            ("s", "n"),
            ("t", "i"),
            ("p", "p"),
            ("q", "q"),
            ("X", "\"MARKET\""),
            ("m", "b"),
            ("?st", "1"),
        ],
    ),
    (
        "bookTicker",
        "bookTicker",
        &[
            ("u", "i"),
            ("s", "n"),
            ("?ps", "n"),
            ("b", "p"),
            ("B", "q"),
            ("a", "p"),
            ("A", "q"),
            ("T", "t"),
            ("E", "t"),
            ("?st", "1"),
        ],
    ),
    (
        "markPrice@1s",
        "markPriceUpdate",
        &[
            ("E", "t"),
            ("s", "n"),
            ("p", "d"),
            ("?ap", "d"),
            ("?P", "d"),
            ("?i", "d"),
            ("r", "s"),
            ("T", "t"),
            ("?st", "1"),
        ],
    ),
    (
        "ticker",
        "24hrTicker",
        &[
            ("E", "t"),
            ("s", "n"),
            ("?ps", "n"),
            ("p", "s"),
            ("P", "s"),
            ("w", "d"),
            ("c", "p"),
            ("Q", "q"),
            ("o", "p"),
            ("h", "p"),
            ("l", "p"),
            ("v", "d"),
            ("q", "d"),
            ("O", "t"),
            ("C", "t"),
            ("F", "i"),
            ("L", "i"),
            ("n", "i"),
            ("?st", "1"),
        ],
    ),
    // Of a bar, with the members around it told apart by `{` and `}`.
    (
        "kline_1m",
        "kline",
        &[
            ("E", "t"),
            ("s", "n"),
            ("k", "{"),
            ("t", "t"),
            ("T", "t"),
            ("s", "n"),
            ("i", "\"1m\""),
            ("f", "i"),
            ("L", "-1"),
            ("o", "p"),
            ("c", "p"),
            ("h", "\"99999999\""),
            ("l", "\"0.1\""),
            ("v", "q"),
            ("n", "i"),
            ("x", "b"),
            ("q", "d"),
            ("V", "q"),
            ("Q", "d"),
            ("B", "\"0\""),
        ],
    ),
];

/// How a frame is made.
#[derive(Debug, TypeGenerator)]
struct Made {
    kind: u8,
    symbol: u8,
    raw: bool,
    /// A bit each: optional members that are there, blanks in a bar.
    there: u8,
    blanks: bool,
    numbers: [(u8, u64); 20],
    /// Zero: nothing is wrong. Else something is done to two members.
    wrong: u8,
    at: (u8, u8),
}

impl Made {
    fn frame(&self) -> String {
        let (stream, event_type, members) = KINDS[usize::from(self.kind) % KINDS.len()];
        let symbols = ["BTCUSDT", "ETHUSDT", "NOUSDT"].into_iter().chain(EXTRA.map(|(symbol, ..)| symbol));
        let symbols: Vec<&str> = symbols.collect();
        let symbol = symbols[usize::from(self.symbol) % symbols.len()];
        let mut optional = 0;
        let mut texts = Vec::new();
        for ((key, how), number) in members.iter().zip(self.numbers) {
            if let Some(key) = key.strip_prefix('?') {
                optional += 1;
                if self.there >> (optional % 8) & 1 == 1 {
                    texts.push(format!("\"{key}\":{}", value(how, symbol, number)));
                }
            } else {
                texts.push(format!("\"{key}\":{}", value(how, symbol, number)));
            }
        }
        self.spoil(&mut texts);
        let comma = if self.blanks && event_type == "kline" { ", " } else { "," };
        let (outer, inner) =
            texts.split_at(texts.iter().position(|text| text == "\"k\":{").unwrap_or(texts.len()));
        let mut frame = format!("{{\"e\":\"{event_type}\",{}", outer.join(","));
        if let Some((open, bar)) = inner.split_first() {
            frame += &format!(",{open}{}}}", bar.join(comma));
        }
        frame.push('}');
        if self.raw {
            return frame;
        }
        format!("{{\"stream\":\"{}@{stream}\",\"data\":{frame}}}", symbol.to_ascii_lowercase())
    }

    fn spoil(&self, texts: &mut Vec<String>) {
        let (one, other) = (usize::from(self.at.0) % texts.len(), usize::from(self.at.1) % texts.len());
        match self.wrong {
            0..=15 => texts.swap(one, other),
            16..=23 => texts.insert(one, texts[other].clone()),
            24..=31 => drop(texts.remove(one)),
            32..=39 => texts[one] = format!("{} ", texts[one]),
            40..=47 => texts[one] = texts[one].replace('"', ""),
            48..=55 => texts[one] = texts[one].to_lowercase(),
            _ => {}
        }
    }
}

fn value(how: &str, symbol: &str, (shape, number): (u8, u64)) -> String {
    match how {
        "p" => format!("\"{}\"", decimal(number % 100_000_000, 1, shape)),
        "q" => format!("\"{}\"", decimal(number % 10_000_000_000, 3, shape)),
        "d" => format!("\"{}\"", decimal(number % 10u64.pow(18), 8, shape)),
        "s" => {
            format!("\"{}{}\"", ["", "-"][usize::from(shape & 1)], decimal(number % 10u64.pow(12), 8, shape))
        }
        "i" if shape < 4 => number.to_string(),
        "i" if shape < 8 => format!("0{}", number % 100_000),
        "i" => (number % 10u64.pow(u32::from(shape) % 14 + 1)).to_string(),
        "t" if shape < 4 => (number % 100_000_000_000_000).to_string(),
        "t" => (1_000_000_000_000 + number % 8_000_000_000_000).to_string(),
        "n" => format!("\"{symbol}\""),
        "b" => (number % 2 == 0).to_string(),
        other => other.to_string(),
    }
}

/// A decimal of so many places, in the venue's shape or in another.
fn decimal(number: u64, places: u32, shape: u8) -> String {
    let unit = 10u64.pow(places);
    let (whole, rest, width) = (number / unit, number % unit, places as usize);
    match shape {
        0 => format!("{whole}"),
        1 => format!("{whole}.{rest:0width$}00000"),
        2 => format!("000{whole}.{rest:0width$}"),
        3 => format!("{whole}.{rest}"),
        4 => format!("{whole}."),
        5 => format!(".{rest}"),
        6 => format!("{whole}.{rest}e1"),
        7 => format!("+{whole}.{rest}"),
        8 => format!("-{whole}.{rest}"),
        9 => format!("{number}{number}.{rest}"),
        10 => format!("{whole}.{rest:0width$}5"),
        11 => "0.000".to_string(),
        _ => format!("{whole}.{rest:0width$}"),
    }
}

/// Frames in each layout with any numbers, the odd one with something wrong.
#[test]
fn made_frames_agree() {
    let tried = [const { AtomicUsize::new(0) }; 2];
    check!().with_iterations(100_000).with_type::<Made>().for_each(|made| {
        let answered = check_frame(made.frame().as_bytes());
        tried[usize::from(answered)].fetch_add(1, Ordering::Relaxed);
    });
    let [left, answered] = tried.map(AtomicUsize::into_inner);
    println!("made: {answered} answered by their layout, {left} left to the decoder of record");
    // Each has its share, or nothing was compared.
    assert!(answered > (left + answered) / 10 && left > (left + answered) / 10, "{answered} and {left}");
}

/// A frame of each kind with all it may have, and one without what it may lack.
fn seeds() -> Vec<Vec<u8>> {
    let numbers = std::array::from_fn(|n| (255, 1_234_567_890_123 + n as u64));
    let made = |kind, raw, there| Made {
        kind,
        symbol: 0,
        raw,
        there,
        blanks: there != 0,
        numbers,
        wrong: 255,
        at: (0, 0),
    };
    let kinds = 0..KINDS.len() as u8;
    let all = kinds.flat_map(|kind| [(kind, false), (kind, true)]);
    all.flat_map(|(kind, raw)| [made(kind, raw, 255), made(kind, raw, 0)])
        .map(|made| made.frame().into_bytes())
        .collect()
}

/// What the layouts are made of, and what they must not be mistaken for.
const WORDS: [&str; 28] = [
    "{\"stream\":\"",
    "\",\"data\":{",
    "{\"e\":\"",
    "btcusdt@",
    "\"BTCUSDT\"",
    "\"ETHUSDT\"",
    "\"FIVEUSDT\"",
    "\"btcUSDT\"",
    "aggTrade",
    "trade",
    "bookTicker",
    "markPrice@1s",
    "markPriceUpdate",
    "kline_1m",
    "24hrTicker",
    "ticker",
    ",\"st\":1",
    ",\"ps\":\"BTCUSDT\"",
    ",\"nq\":\"1\"",
    ",\"ap\":\"1\"",
    ", \"T\":",
    "\"MARKET\"",
    "1792000000150",
    "9223372036855",
    "61234.55",
    "61234.50000000",
    "\\u0042",
    "\u{1}",
];

#[test]
fn fast() {
    let target = Target {
        name: "fast",
        inputs: 100_000,
        seeds: seeds(),
        recorded: recorded_frames(),
        words: WORDS.to_vec(),
        check: check_frame,
    };
    target.run();
}
