//! Market files of arbitrary bytes: they are refused in one line or read to an end, in order of time.

use std::fs;
use std::path::Path;

use quantum_trader::event::InstrumentTable;
use quantum_trader::host::ring_dir;
use quantum_trader::num::TimeNs;
use quantum_trader::sim::market::open;
use quantum_trader::venue::builtin_instruments;
use tempfile::TempDir;

use crate::target::{Target, assert_one_line, bounded};

/// A candle may be followed by a day of made quotes; their beginning is enough.
const FRAMES_MAX: usize = 2_000;

const FRAME: &str = r#"{"e":"bookTicker","u":1,"s":"BTCUSDT","b":"60000.00","B":"1.000","a":"60000.10","A":"1.000","T":1721260800000,"E":1721260800000}"#;
const TRADES: &str = "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker\n\
    1,60000.0,0.001,1,1,1721260800000,true\n2,60000.1,0.5,2,3,1721260800001,false\n";
const CANDLES: &str = "open_time,open,high,low,close,volume,close_time\n\
    1721260800000,60000.0,60001.0,59999.0,60000.5,12.5,1721260859999,,,,\n\
    1721260860000,60000.5,60002.0,60000.0,60001.5,2.5,1721260919999,,,,\n";

fn check_file(bytes: &[u8]) -> bool {
    FILE.with(|(folder, table)| {
        let path = folder.path().join("btcusdt");
        fs::write(&path, bytes).unwrap();
        bounded(bytes.len(), 4 << 20, 4_096, || read_file(&path, table))
    })
}

thread_local! {
    static FILE: (TempDir, InstrumentTable) =
        (tempfile::tempdir_in(ring_dir()).unwrap(), builtin_instruments("0.0005").unwrap());
}

/// `true` if at least one frame came out of it.
fn read_file(path: &Path, table: &InstrumentTable) -> bool {
    let mut source = match open(path, table, None) {
        Ok(opened) => opened.source,
        Err(error) => {
            assert_one_line(&error.to_string());
            return false;
        }
    };
    let (mut frame, mut last) = (Vec::new(), TimeNs(0));
    for _ in 0..FRAMES_MAX {
        match source.next_frame(&mut frame) {
            Ok(Some(time)) => {
                assert!(time >= last, "{time} after {last}");
                last = time;
            }
            Ok(None) => break,
            Err(error) => {
                assert_one_line(&error.to_string());
                assert_eq!(source.next_frame(&mut frame), Ok(None), "after {error}");
                break;
            }
        }
    }
    last > TimeNs(0)
}

#[test]
fn files() {
    let frames = format!("1721260800000000000\t{FRAME}\n1721260800000000005\t{FRAME}\n");
    let packed = zstd::encode_all(frames.as_bytes(), 1).unwrap();
    let target = Target {
        name: "files",
        inputs: 10_000,
        seeds: vec![frames.into_bytes(), packed, TRADES.into(), CANDLES.into()],
        recorded: Vec::new(),
        words: vec![
            ",",
            "\t",
            "\n",
            "\r\n",
            "1721260800000",
            "4102444800000",
            "60000.0",
            "922337203685477580.6",
            "9223372036854775.807",
            "transact_time",
            "PK\u{3}\u{4}",
            "\"",
        ],
        check: check_file,
    };
    target.run();
}
