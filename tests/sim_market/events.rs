//! A market that comes decoded is what a decoder makes of its frames.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use proptest::prelude::*;
use quantum_trader::decode::{Decoded, Decoder};
use quantum_trader::event::{Event, EventBody, Symbol};
use quantum_trader::num::{Dec, Ticks};
use quantum_trader::sim::market::{
    BytesRead, EventSource, MergeEvents, SourceError, Unrecorded, Watch, open_events, open_with,
};

use crate::{recorded, table};

/// Quotes two ticks apart, and funding.
fn made(_: Symbol) -> Unrecorded {
    Unrecorded { spread: Ticks(2), funding_rate: Dec::new(1, 4) }
}

fn decoded(path: &Path, count: usize) -> (Vec<Event>, Option<SourceError>) {
    let table = table();
    let mut source = open_with(path, &table, None, &made, &BytesRead::default()).unwrap().source;
    let mut decoder = Decoder::new(&table, 65_536);
    let (mut events, mut frame) = (Vec::new(), Vec::new());
    while events.len() < count {
        match source.next_frame(&mut frame) {
            Ok(Some(time)) => match decoder.decode(time, &frame) {
                Ok(Decoded::Event(event)) => events.push(event),
                other => panic!("{other:?}: {}", String::from_utf8_lossy(&frame)),
            },
            Ok(None) => return (events, None),
            Err(error) => return (events, Some(error)),
        }
    }
    (events, None)
}

fn direct(source: &mut dyn EventSource, count: usize, quiet: bool) -> (Vec<Event>, Option<SourceError>) {
    let watch = Watch { held: &|_| None, quiet: &|_| quiet };
    let (mut events, mut event) = (Vec::new(), Event::NOTHING);
    while events.len() < count {
        match source.next_event(&mut event, &watch) {
            Ok(true) => events.push(event),
            Ok(false) => return (events, None),
            Err(error) => return (events, Some(error)),
        }
    }
    (events, None)
}

fn events_of(path: &Path) -> Box<dyn EventSource> {
    open_events(path, &table(), None, &made, &BytesRead::default()).unwrap().expect("trades or candles")
}

/// The quotes that come just before their trades or bars, and these: what is left when nothing is held.
fn without_repeats(events: &[Event]) -> Vec<Event> {
    let follows = |i: usize| {
        let next = events.iter().skip(i + 1).find(|next| !matches!(next.body, EventBody::MarkPrice(_)));
        next.is_some_and(|next| matches!(next.body, EventBody::AggTrade(_) | EventBody::Bar(_)))
    };
    let kept = |(i, event): (usize, &Event)| match event.body {
        EventBody::Quote(_) => follows(i).then_some(*event),
        EventBody::MarkPrice(_) => None,
        _ => Some(*event),
    };
    events.iter().enumerate().filter_map(kept).collect()
}

/// All but the quotes' numbers, which count those left out too.
fn unnumbered(mut events: Vec<Event>) -> Vec<Event> {
    for event in &mut events {
        if let EventBody::Quote(quote) = &mut event.body {
            quote.update_id = 0;
        }
    }
    events
}

fn agrees(path: &Path, count: usize) {
    let (expected, why) = decoded(path, count);
    let (loud, why_loud) = direct(events_of(path).as_mut(), count, false);
    assert_eq!((&loud, &why_loud), (&expected, &why));
    if loud.len() < count {
        let (quiet, why_quiet) = direct(events_of(path).as_mut(), count, true);
        assert_eq!(unnumbered(quiet), unnumbered(without_repeats(&expected)));
        assert_eq!(why_quiet, why);
    }
}

#[test]
fn recorded_trades_decoded_and_direct_are_the_same_events() {
    for name in [
        "trades/binance_um_btcusdt_20240718_20240719_aggtrades.csv.zst",
        "trades/bitmex_xbtusd_20180101_20180105_aggtrades.csv.zst",
    ] {
        let Some(path) = recorded(name) else { return };
        agrees(&path, 60_000);
    }
}

#[test]
fn recorded_candles_decoded_and_direct_are_the_same_events() {
    for name in [
        "candles/binance_um_btcusdt_1m_20250504_20250624.csv.zst",
        "candles/bitmex_xbtusd_1m_20180101_20180105_from_trades.csv.zst",
    ] {
        let Some(path) = recorded(name) else { return };
        agrees(&path, 60_000);
    }
}

/// Candles with pauses between them, blank columns, and bars in which nothing traded.
fn candles() -> impl Strategy<Value = String> {
    let candle = (prop_oneof![4 => Just(1i64), 1 => 1i64..9], 900i64..1_100, 0i64..30, 0i64..30, 0u32..5_000);
    (prop::collection::vec(candle, 2..40), any::<bool>()).prop_map(|(candles, blank)| {
        let (mut text, mut minute, mut open) = (String::new(), 28_333_333i64, 1_000i64);
        for (passed, close, above, below, volume) in candles {
            minute += passed;
            let (high, low) = (open.max(close) + above, open.min(close) - below);
            let end_ms = minute * 60_000 + 59_999;
            let rest = if blank { ",,,," } else { ",1000.5,17,0.25,250.125" };
            let volume = if volume < 500 { 0 } else { volume };
            writeln!(
                text,
                "{},{open}.5,{high}.5,{low}.5,{close}.5,{}.{:03},{end_ms}{rest}",
                minute * 60_000,
                volume / 1_000,
                volume % 1_000
            )
            .unwrap();
            open = close;
        }
        text
    })
}

/// Rows as the venue writes them, some of them wrong, with pauses of milliseconds to minutes.
fn rows() -> impl Strategy<Value = String> {
    let pause = prop_oneof![3 => 0i64..400, 1 => 400i64..200_000];
    let price = prop_oneof![40 => (900i64..1_100).prop_map(|p| format!("{p}.{}", p % 10)), 1 => Just("1.05".to_string())];
    prop::collection::vec((pause, price, 1u32..3_000, any::<bool>()), 1..80).prop_map(|rows| {
        let (mut text, mut ms) = (String::new(), 1_700_000_000_000i64);
        for (i, (pause, price, size, maker)) in rows.into_iter().enumerate() {
            ms += pause;
            writeln!(
                text,
                "{},{price},{}.{:03},{},{},{ms},{maker}",
                i + 1,
                size / 1_000,
                size % 1_000,
                2 * i,
                2 * i + 1
            )
            .unwrap();
        }
        text
    })
}

fn file(text: &str, symbol: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::Builder::new().prefix(symbol).suffix(".csv").tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn made_trades_decoded_and_direct_are_the_same_events(rows in rows()) {
        agrees(file(&rows, "btcusdt").path(), usize::MAX);
    }

    #[test]
    fn made_candles_decoded_and_direct_are_the_same_events(rows in candles()) {
        agrees(file(&rows, "btcusdt").path(), usize::MAX);
    }

    /// Merged, nothing is lost and time does not go back; at the same time the first file is first.
    #[test]
    fn merged_events_are_all_events_in_the_order_of_time(a in rows(), b in rows()) {
        let files = [file(&a, "btcusdt"), file(&b, "ethusdt")];
        let alone: Vec<_> = files.iter().map(|f| direct(events_of(f.path()).as_mut(), usize::MAX, false)).collect();
        prop_assume!(alone.iter().all(|(_, why)| why.is_none()));
        let mut merged = MergeEvents::new(files.iter().map(|f| events_of(f.path())).collect());
        let (events, _) = direct(&mut merged, usize::MAX, false);
        let mut expected: Vec<Event> = alone.into_iter().flat_map(|(events, _)| events).collect();
        expected.sort_by_key(|event| (event.recv_ns, event.instrument));
        prop_assert_eq!(events, expected);
    }
}
