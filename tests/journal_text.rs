//! A journal as text: every kind has a line in both forms, and numbers are exact.

mod journal_support;

use std::path::Path;

use journal_support::*;
use quantum_trader::event::record::Entry;
use quantum_trader::event::*;
use quantum_trader::journal::read::Numbered;
use quantum_trader::journal::text::{DumpError, Lines};
use quantum_trader::journal::{DumpOptions, dump};
use quantum_trader::num::{InstrumentId, TimeNs};
use serde_json::Value;

fn dumped(dir: &Path, options: &DumpOptions) -> Vec<String> {
    let mut out = Vec::new();
    let written = dump(dir, options, &mut out).unwrap();
    let lines: Vec<String> = String::from_utf8(out).unwrap().lines().map(str::to_string).collect();
    assert_eq!(lines.len() as u64, written);
    lines
}

#[test]
fn lines_say_what_was_recorded_in_the_instruments_own_decimals() {
    let dir = tempfile::tempdir().unwrap();
    write_archive(dir.path(), &records(&sample(3)), 100);
    let lines = dumped(dir.path(), &DumpOptions::default());
    assert_eq!(lines.len(), 8);
    assert_eq!(
        lines[2],
        "seq=4 recv_ns=1721001600000001000 time=2024-07-15T00:00:00.000Z kind=Quote symbol=BTCUSDT bid=63943.9 \
         bid_size=1.5 ask=63944.0 ask_size=0.25 update_id=1001 transaction_ms=1721001600001 \
         event_ms=1721001600002"
    );
    assert_eq!(
        lines[5],
        "seq=7 recv_ns=1721001600000003000 time=2024-07-15T00:00:00.000Z kind=Order symbol=BTCUSDT \
         commit=false id=qt-00000007-00000003 trade=qt-00000007-00000003 purpose=Entry side=BUY \
         order_kind=Market quantity=0.010 reference=63943.9 reduce_only=false"
    );
    assert!(lines[6].starts_with("seq=8 ") && lines[6].contains(" commit=true "), "{}", lines[6]);
    assert!(lines[6].contains(" pnl=-22.51 ") && lines[6].contains(" worst=61700.0 "), "{}", lines[6]);

    let json = dumped(dir.path(), &DumpOptions { json: true, ..DumpOptions::default() });
    let order: Value = serde_json::from_str(&json[5]).unwrap();
    assert_eq!(order["seq"], 7);
    assert_eq!(order["recv_ns"], 1_721_001_600_000_003_000_i64);
    assert_eq!(order["symbol"], "BTCUSDT");
    assert_eq!(order["commit"], false);
    assert_eq!(order["fields"]["quantity"], "0.010");
}

#[test]
fn a_range_and_a_kind_choose_lines_but_keep_the_scales() {
    let dir = tempfile::tempdir().unwrap();
    write_archive(dir.path(), &records(&sample(9)), 100);
    let options = |from, to, kind: Option<&str>| DumpOptions {
        from,
        to,
        kind: kind.map(str::to_string),
        ..DumpOptions::default()
    };
    let quotes = dumped(dir.path(), &options(5, None, Some("Quote")));
    assert_eq!(quotes.len(), 8);
    assert!(quotes[0].starts_with("seq=5 ") && quotes[0].contains("bid=63944.0"), "{}", quotes[0]);
    assert_eq!(dumped(dir.path(), &options(2, Some(4), None)).len(), 2, "the instrument has two records");
    assert!(dumped(dir.path(), &options(1_000, None, None)).is_empty());
    let error = dump(dir.path(), &options(0, None, Some("Quotes")), &mut Vec::new()).unwrap_err();
    assert_one_line(&error.to_string(), "no record kind is called \"Quotes\"; kinds are RunStart, ");
}

#[test]
fn damage_ends_a_dump_after_what_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let mut written = records(&sample(3));
    written[4].payload[0] ^= 1;
    write_archive(dir.path(), &written, 100);
    let mut out = Vec::new();
    let error = dump(dir.path(), &DumpOptions::default(), &mut out).unwrap_err();
    assert!(matches!(error, DumpError::Journal(_)), "{error}");
    assert_eq!(String::from_utf8(out).unwrap().lines().count(), 3);
}

/// An entry of each kind. Bytes of 1 mean something in every field there is.
fn one_of_each() -> Vec<Entry> {
    let (recv_ns, instrument) = (TimeNs(1), BTC);
    let payload = |size: Option<usize>| vec![1; size.unwrap()];
    let events = EventBody::KINDS.iter().map(|(kind, _)| {
        let body = EventBody::from_bytes(*kind, &payload(EventBody::payload_size(*kind))).unwrap();
        Entry::Event(Event { recv_ns, instrument, body })
    });
    let outputs = OutputBody::KINDS.iter().map(|(kind, _)| {
        let body = OutputBody::from_bytes(*kind, &payload(OutputBody::payload_size(*kind))).unwrap();
        Entry::Output { recv_ns, output: Output { instrument, body }, commit: true }
    });
    events.chain(outputs).collect()
}

fn name(entry: &Entry) -> &'static str {
    match entry {
        Entry::Event(event) => event.body.name(),
        Entry::Output { output, .. } => output.body.name(),
    }
}

#[test]
fn every_kind_has_fields_in_both_forms() {
    let row = Event { recv_ns: TimeNs(1), instrument: BTC, body: EventBody::Instrument(btcusdt()) };
    for known in [false, true] {
        let (mut text, mut json) = (Lines::new(false), Lines::new(true));
        if known {
            text.learn(&Entry::Event(row));
            json.learn(&Entry::Event(row));
        }
        for entry in one_of_each() {
            let numbered = Numbered { first_sequence: 9, last_sequence: 9, entry };
            let line = text.line(&numbered);
            assert!(line.starts_with("seq=9 ") && line.matches('\n').count() == 1, "{line}");
            assert!(!line.contains('\t'), "{line}");
            let value: Value = serde_json::from_str(json.line(&numbered)).unwrap();
            assert_eq!(value["kind"], name(&entry));
            assert_eq!(value["symbol"], if known { "BTCUSDT" } else { "#0" });
            let fields = value["fields"].as_object().unwrap();
            assert!(!fields.is_empty(), "{}", name(&entry));
            // Each field once: a repeated name would have been swallowed by the map.
            let pairs = line.split(' ').filter(|word| word.contains('=')).count();
            let head = if value.get("commit").is_some() { 6 } else { 5 };
            assert_eq!(fields.len() + head, pairs, "{line}");
        }
    }
}

#[test]
fn hostile_text_stays_one_field_on_one_line() {
    let mut head = [0; DecodeFault::HEAD_BYTES];
    let bytes = b"{\"a\":1}\n\t\xff seq=3 \\";
    head[..bytes.len()].copy_from_slice(bytes);
    let fault = DecodeFault {
        bytes: 300,
        crc32c: 0xdead_beef,
        reason: FaultReason::Syntax,
        head_length: bytes.len() as u8,
        head,
        pad: [0; 6],
    };
    let entry = Entry::Event(Event {
        recv_ns: TimeNs(-1),
        instrument: InstrumentId::NONE,
        body: EventBody::DecodeFault(fault),
    });
    let numbered = Numbered { first_sequence: 1, last_sequence: 1, entry };
    assert_eq!(
        Lines::new(false).line(&numbered),
        "seq=1 recv_ns=-1 time=1969-12-31T23:59:59.999Z kind=DecodeFault reason=syntax bytes=300 crc32c=deadbeef \
         head=\"{\\\"a\\\":1}\\n\\t\u{fffd} seq=3 \\\\\"\n"
    );
    let json: Value = serde_json::from_str(Lines::new(true).line(&numbered)).unwrap();
    assert_eq!(json["fields"]["head"], "{\"a\":1}\n\t\u{fffd} seq=3 \\");
    assert_eq!(json.get("symbol"), None);
}
