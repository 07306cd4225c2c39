//! What does it cost to turn one frame into an event?
//!
//! One frame of each kind, decoded again and again by the decoder, by its decoder of record alone
//! (simd-json, without the layouts it tries first), by serde_json into a `Value` and by serde_json into a
//! struct of borrowed texts. The last two stop before any number is parsed or checked, so they are lower
//! bounds of what they would cost here. Depth has no layout: its two first figures tell what trying costs. Warm-up (3 s), sampling (5 s) and
//! the confidence interval of the mean are criterion's defaults.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use quantum_trader::decode::Decoder;
use quantum_trader::num::TimeNs;
use quantum_trader::venue::builtin_instruments;
use serde::Deserialize;
use serde_json::Value;

const BOOK_TICKER: &str = r#"{"stream":"btcusdt@bookTicker","data":{"e":"bookTicker","u":4984028370881,"s":"BTCUSDT","b":"63943.90","B":"46.371","a":"63944.00","A":"0.095","T":1721347022507,"E":1721347022507}}"#;
const AGG_TRADE: &str = r#"{"stream":"btcusdt@aggTrade","data":{"e":"aggTrade","E":1791391082024,"a":3478018549,"s":"BTCUSDT","p":"83434.40","q":"0.016","nq":"0.016","f":8154045700,"l":8154045704,"T":1791391081874,"m":true,"st":1}}"#;

/// A depth frame of 20 levels a side; the median of recorded ones is 7 to 13.
fn depth() -> String {
    let side = |start: usize, step: i64| {
        let level = |n: i64| {
            format!(r#"["{}.{}0","{}.{:03}"]"#, start as i64 + n * step, n % 10, n % 7, n * 37 % 1_000)
        };
        (0..20).map(level).collect::<Vec<_>>().join(",")
    };
    format!(
        r#"{{"stream":"btcusdt@depth@0ms","data":{{"e":"depthUpdate","E":1721347022504,"T":1721347022504,"s":"BTCUSDT","U":4984028367545,"u":4984028370730,"pu":4984028367494,"b":[{}],"a":[{}]}}}}"#,
        side(63_943, -1),
        side(63_944, 1)
    )
}

#[derive(Deserialize)]
struct Combined<'a, T> {
    #[serde(rename = "stream")]
    _stream: &'a str,
    data: T,
}

#[derive(Deserialize)]
#[allow(dead_code)] // Filled, not read: that is what is measured.
struct BookTicker<'a> {
    e: &'a str,
    u: i64,
    s: &'a str,
    b: &'a str,
    #[serde(rename = "B")]
    bid_size: &'a str,
    a: &'a str,
    #[serde(rename = "A")]
    ask_size: &'a str,
    #[serde(rename = "T")]
    time: i64,
    #[serde(rename = "E")]
    event: i64,
}

#[derive(Deserialize)]
#[allow(dead_code)]
struct AggTrade<'a> {
    e: &'a str,
    #[serde(rename = "E")]
    event: i64,
    a: i64,
    s: &'a str,
    p: &'a str,
    q: &'a str,
    f: i64,
    l: i64,
    #[serde(rename = "T")]
    time: i64,
    m: bool,
}

#[derive(Deserialize)]
#[allow(dead_code)]
struct Depth<'a> {
    e: &'a str,
    #[serde(rename = "E")]
    event: i64,
    #[serde(rename = "T")]
    time: i64,
    s: &'a str,
    #[serde(rename = "U")]
    first: i64,
    u: i64,
    pu: i64,
    #[serde(borrow)]
    b: Vec<[&'a str; 2]>,
    #[serde(borrow)]
    a: Vec<[&'a str; 2]>,
}

fn one_frame<'a, T: Deserialize<'a>>(c: &mut Criterion, name: &str, frame: &'a str) {
    let mut decoder = Decoder::new(&builtin_instruments("0.0005").expect("a plain fee"), 64 * 1024);
    assert!(decoder.decode(TimeNs(1), frame.as_bytes()).is_ok(), "{name} must decode");
    let mut group = c.benchmark_group(name);
    group.throughput(Throughput::Bytes(frame.len() as u64));
    group.bench_function("decoder", |b| b.iter(|| decoder.decode(TimeNs(1), black_box(frame.as_bytes()))));
    group.bench_function("decoder of record", |b| {
        b.iter(|| decoder.decode_of_record(TimeNs(1), black_box(frame.as_bytes())))
    });
    group.bench_function("serde_json value", |b| b.iter(|| serde_json::from_str::<Value>(black_box(frame))));
    group.bench_function("serde_json struct", |b| {
        b.iter(|| serde_json::from_str::<Combined<T>>(black_box(frame)).map(|combined| combined.data))
    });
    group.finish();
}

fn frames(c: &mut Criterion) {
    one_frame::<BookTicker>(c, "bookTicker", BOOK_TICKER);
    one_frame::<AggTrade>(c, "aggTrade", AGG_TRADE);
    let depth = depth();
    one_frame::<Depth>(c, "depthUpdate", &depth);
}

criterion_group!(benches, frames);
criterion_main!(benches);
