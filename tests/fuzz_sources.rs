//! Market files and settings of arbitrary bytes: they are refused in one line or read to an end, and
//! nothing panics. `cargo test` gives each target a bounded number of inputs; `cargo bolero test`
//! takes the same targets further.

use std::fs;

use bolero::check;
use quantum_trader::num::TimeNs;
use quantum_trader::risk::config::{Settings, load};
use quantum_trader::sim::market::open;
use quantum_trader::venue::builtin_instruments;

/// Some seconds together, each input being a file.
const INPUTS: usize = 1_000;
/// A candle may be followed by a day of made quotes; their beginning is enough.
const FRAMES_MAX: usize = 2_000;

/// Pieces of rows that are nearly right.
const ROWS: &[&str] = &[
    "1721260800000000000\t{\"e\":\"bookTicker\"}\n",
    "1721260800000000000\t",
    "\n",
    "\r\n",
    "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker\n",
    "1,60000.0,0.001,1,1,1721260800000,true\n",
    "2,60000.1,9223372036854775.807,2,3,1721260800001,false\n",
    "3,922337203685477580.6,1,4,4,4102444800000,true\n",
    "open_time,open,high,low,close,volume,close_time\n",
    "1721260800000,60000.0,60001.0,59999.0,60000.5,12.5,1721260859999,,,,\n",
    "1721260860000,60000.0,60001.0,59999.0,60000.5,0,\n",
    "4102444740000,0.1,0.1,0.1,0.1,9223372036854775.807\n",
    "1721260800000,0.1,922337203685477580.6,0.1,0.1,1\n",
    "9223372036854775807",
    "123456789012345678901234567890",
    "-",
    ",",
    "0",
    "NaN",
    "1e9",
    "\u{fffd}",
];

/// Bytes as pieces of rows, one a byte; those beyond the table stand for themselves.
fn nearly(pieces: &[&str], bytes: &[u8]) -> Vec<u8> {
    let piece = |byte: &u8| match pieces.get(usize::from(*byte)) {
        Some(piece) => piece.as_bytes().to_vec(),
        None => match pieces.get(usize::from(*byte) % (2 * pieces.len())) {
            Some(piece) => piece.as_bytes().to_vec(),
            None => vec![*byte],
        },
    };
    bytes.iter().flat_map(piece).collect()
}

#[test]
fn market_files_of_any_bytes() {
    let table = builtin_instruments("0.0005").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("btcusdt");
    check!().with_iterations(INPUTS).with_type::<(bool, Vec<u8>)>().for_each(|(raw, bytes)| {
        let content = if *raw { bytes.clone() } else { nearly(ROWS, bytes) };
        fs::write(&path, &content).unwrap();
        let mut source = match open(&path, &table, None) {
            Ok(opened) => opened.source,
            Err(error) => return assert_one_line(&error.to_string()),
        };
        let (mut frame, mut last) = (Vec::new(), TimeNs(0));
        for _ in 0..FRAMES_MAX {
            match source.next_frame(&mut frame) {
                Ok(Some(time)) => {
                    assert!(time >= last, "{time} after {last}");
                    last = time;
                }
                Ok(None) => return,
                Err(error) => {
                    assert_one_line(&error.to_string());
                    return assert_eq!(source.next_frame(&mut frame), Ok(None), "after {error}");
                }
            }
        }
    });
}

/// Pieces of settings files.
const TOML: &[&str] = &[
    "RM_MIN_CONFIDENCE",
    "QT_BAR_INTERVAL",
    "QT_RING_SLOTS",
    "RM_MIN_CONSENSUS_TYPES",
    "QT_QPA_PLATFORM",
    " = ",
    "\n",
    "0.7",
    "\"15m\"",
    "65536",
    "\"STRONG\"",
    "true",
    "[",
    "]",
    "{",
    "}",
    "\"",
    "'''",
    ".",
    "-",
    "e",
    "#",
    "\\u0000",
    "9223372036854775808",
];

#[test]
fn settings_files_of_any_text() {
    check!().with_iterations(INPUTS).with_type::<(bool, Vec<u8>)>().for_each(|(raw, bytes)| {
        let content = if *raw { bytes.clone() } else { nearly(TOML, bytes) };
        let text = String::from_utf8_lossy(&content);
        let none: [(&str, &str); 0] = [];
        match load(&[], none, Some(("file", &text)), None) {
            Err(error) => assert_one_line(&error.to_string()),
            Ok(loaded) => {
                let again = Settings::from_toml(&loaded.settings.to_toml());
                assert_eq!(again, Ok(loaded.settings));
            }
        }
    });
}

fn assert_one_line(text: &str) {
    assert!(!text.is_empty() && text.lines().count() == 1 && !text.contains('\r'), "{text:?}");
}
