//! How many instructions does a step of the hot path take?
//!
//! A case by its name, so many times, and nothing else: `scripts/instructions` runs it under callgrind once and
//! twice as often, and the difference is the case's own. Unlike times, such counts are the same on a busy
//! machine.
//!
//!     instructions --list            the cases, one a line
//!     instructions CASE TIMES        one of them
//!     instructions --test            each once

use std::hint::black_box;
use std::process::ExitCode;

use quantum_trader::decode::Decoder;
use quantum_trader::num::TimeNs;
use quantum_trader::venue::builtin_instruments;

const FRAME_BYTES_MAX: usize = 64 * 1024;

/// A step that is counted. What it needs is made once, before.
struct Case {
    name: String,
    run: Box<dyn FnMut()>,
}

/// One frame of each kind that has a literal layout, as the venue prints them today.
const FRAMES: [(&str, &str); 6] = [
    (
        "bookTicker",
        r#"{"stream":"btcusdt@bookTicker","data":{"e":"bookTicker","u":9100200300400,"s":"BTCUSDT","ps":"BTCUSDT","b":"61234.50","B":"12.500","a":"61234.60","A":"0.857","T":1792000000140,"E":1792000000144,"st":1}}"#,
    ),
    (
        "aggTrade",
        r#"{"stream":"btcusdt@aggTrade","data":{"e":"aggTrade","E":1792000000150,"a":3100200300,"s":"BTCUSDT","p":"61234.50","q":"0.250","nq":"0.250","f":7100200300,"l":7100200304,"T":1792000000120,"m":true,"st":1}}"#,
    ),
    (
        "trade",
        r#"{"stream":"btcusdt@trade","data":{"e":"trade","E":1792000000150,"T":1792000000149,"s":"BTCUSDT","t":7100200300,"p":"61234.50","q":"0.100","X":"MARKET","m":false}}"#,
    ),
    (
        "markPriceUpdate",
        r#"{"stream":"btcusdt@markPrice@1s","data":{"e":"markPriceUpdate","E":1792000000000,"s":"BTCUSDT","p":"61230.12345678","ap":"61231.52345678","P":"61200.25345678","i":"61233.87654321","r":"0.00012500","T":1792022400000,"st":1}}"#,
    ),
    (
        "kline",
        r#"{"stream":"btcusdt@kline_1m","data":{"e":"kline","E":1792000059950,"s":"BTCUSDT","k":{"t":1792000000000, "T":1792000059999, "s":"BTCUSDT", "i":"1m", "f":7100200300, "L":7100200650, "o":"61234.50", "c":"61240.10", "h":"61250.00", "l":"61234.40", "v":"21.075", "n":351, "x":false, "q":"1290712.34250", "V":"9.500", "Q":"581900.75000", "B":"0"}}}"#,
    ),
    (
        "24hrTicker",
        r#"{"stream":"btcusdt@ticker","data":{"e":"24hrTicker","E":1792000000250,"s":"BTCUSDT","ps":"BTCUSDT","p":"-310.20","P":"-0.504","w":"61100.42","c":"61234.50","Q":"0.010","o":"61544.70","h":"61999.90","l":"60500.00","v":"145000.125","q":"8859560912.75","O":1791913560000,"C":1792000000249,"F":7096000000,"L":7100200300,"n":4200301,"st":1}}"#,
    ),
];

/// `decode/KIND/fast` and `decode/KIND/record`: a frame by its layout, and by the decoder of record alone.
fn decode_cases() -> impl Iterator<Item = Case> {
    let decoder = || Decoder::new(&builtin_instruments("0.0005").expect("a plain fee"), FRAME_BYTES_MAX);
    FRAMES.into_iter().flat_map(move |(kind, frame)| {
        let (mut fast, mut record) = (decoder(), decoder());
        let by_layout = move || {
            let decoded = black_box(fast.decode(TimeNs(1), black_box(frame.as_bytes())));
            assert!(decoded.is_ok());
        };
        let by_record = move || {
            let decoded = black_box(record.decode_of_record(TimeNs(1), black_box(frame.as_bytes())));
            assert!(decoded.is_ok());
        };
        [
            Case { name: format!("decode/{kind}/fast"), run: Box::new(by_layout) },
            Case { name: format!("decode/{kind}/record"), run: Box::new(by_record) },
        ]
    })
}

fn cases() -> impl Iterator<Item = Case> {
    decode_cases()
}

fn main() -> ExitCode {
    // Cargo adds `--bench`.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["--list"] => cases().for_each(|case| println!("{}", case.name)),
        ["--test"] | [] => cases().for_each(|mut case| {
            (case.run)();
            println!("{}: ok", case.name);
        }),
        [name, times] => {
            let (Some(mut case), Ok(times)) = (cases().find(|case| case.name == name), times.parse()) else {
                eprintln!("instructions: no case {name}, or {times} is no number; --list has the cases");
                return ExitCode::from(2);
            };
            (0u64..times).for_each(|_| (case.run)());
        }
        _ => {
            eprintln!("instructions: --list, or a case and how often");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}
