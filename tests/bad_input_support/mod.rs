//! Running the built binary in a folder of its own, and the tables of what it is fed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rand_core::{Rng, SeedableRng};
use rand_pcg::Pcg64;
use serde_json::Value;
use tempfile::TempDir;

pub const QUOTE: &str = r#"{"e":"bookTicker","u":1,"s":"BTCUSDT","b":"60000.00","B":"1.000","a":"60000.10","A":"1.000","T":1721260800000,"E":1721260800000}"#;
pub const OK: &str = concat!(
    "1721260800000000000\t",
    r#"{"e":"bookTicker","u":1,"s":"BTCUSDT","b":"60000.00","B":"1.000","a":"60000.10","A":"1.000","T":1721260800000,"E":1721260800000}"#,
    "\n"
);
const EXCHANGE_INFO: &[u8] = br#"{"symbols":[{"symbol":"BTCUSDT","status":"BREAK","filters":[]}]}"#;

pub const FILES: &[(&str, &[u8])] = &[
    ("ok.tsv", OK.as_bytes()),
    ("empty.tsv", b""),
    ("text.tsv", b"hello\n"),
    ("binary.tsv", &[0xff, 0, 0x80, b'\n', 7]),
    ("day.zip", b"PK\x03\x04rest"),
    ("day.csv.gz", b"\x1f\x8b\x08rest"),
    ("cut.zst", &[0x28, 0xb5, 0x2f, 0xfd, 4]),
    ("digits.tsv", b"123456789012345678901234567890\t{}\n"),
    ("btcusdt.csv", b"1,60000.05,1,1,1,1721260800000,true\n"),
    ("ethusdt.csv", b"1,NaN,1,1,1,1721260800000,true\n"),
    ("nameless.csv", b"1,60000.0,1,1,1,1721260800000,true\n"),
    ("header.csv", b"agg_trade_id,price\n"),
    ("broken.json", b"["),
    ("other.json", b"{}"),
    ("break.json", EXCHANGE_INFO),
    ("bad.toml", b"RM_MIN_CONFIDENCE ="),
    ("binary.toml", &[0xff, b'=', b'1']),
    ("toolkit.toml", b"QT_QPA_PLATFORM = 'wayland'"),
];

/// Arguments, separated by blanks, and words of the refusal.
pub const REFUSALS: &[(&str, &[&str])] = &[
    ("run --market nosuch.tsv", &["--market \"nosuch.tsv\"", "no such file", "synthetic[:SEED]"]),
    ("run --market ", &["--market \"\"", "no such file"]),
    ("run --market empty.tsv", &["empty.tsv", "is empty", "recv_ns<TAB>frame"]),
    ("run --market text.tsv", &["text.tsv:1", "\"hello\"", "recv_ns<TAB>frame"]),
    ("run --market binary.tsv", &["binary.tsv:1", "recv_ns<TAB>frame"]),
    ("run --market day.zip", &["day.zip", "zip archive", "of one file"]),
    ("run --market day.csv.gz", &["day.csv.gz", "gzip", "unpack it"]),
    ("run --market cut.zst", &["cut.zst", "cut short"]),
    ("run --market digits.tsv", &["digits.tsv:1", "1234567890123456789"]),
    ("run --market folder", &["folder", "is a folder"]),
    ("run --market fifo", &["fifo", "not a regular file"]),
    ("run --market /dev/zero", &["/dev/zero", "not a regular file"]),
    ("run --market btcusdt.csv", &["btcusdt.csv:1", "price \"60000.05\"", "tick 0.1"]),
    ("run --market ethusdt.csv", &["ethusdt.csv:1", "price \"NaN\""]),
    ("run --market nameless.csv", &["nameless.csv", "symbol in the file's name", "BTCUSDT"]),
    ("run --market header.csv --symbol BTCUSDT", &["header.csv", "no frames"]),
    ("run --market nameless.csv --symbol NOSUCH", &["--symbol \"NOSUCH\"", "BTCUSDT"]),
    ("run --symbol NOSUCH", &["--symbol \"NOSUCH\"", "BTCUSDT"]),
    ("run --market synthetic:-1", &["seed \"-1\"", "from 0 to"]),
    ("run --market synthetic:", &["seed \"\"", "from 0 to"]),
    ("run --market synthetic --market ok.tsv", &["\"synthetic\"", "stands alone"]),
    ("run --market ok.tsv --market realistic:2", &["\"realistic:2\"", "stands alone"]),
    ("run --instruments broken.json", &["--instruments \"broken.json\"", "made market"]),
    ("run --market ok.tsv --instruments broken.json", &["broken.json", "JSON"]),
    ("run --market ok.tsv --instruments other.json", &["other.json", "missing field `symbols`"]),
    ("run --market ok.tsv --instruments break.json", &["break.json", "no symbol is TRADING"]),
    ("run --market ok.tsv --instruments nosuch", &["nosuch", "can't read"]),
    ("run --market ok.tsv --instruments /dev/zero", &["/dev/zero", "longer than the 67108864 bytes"]),
    ("run --speed 0", &["--speed \"0\"", "max, or a number from 0.001"]),
    ("run --speed -1", &["--speed \"-1\"", "max, or a number from 0.001"]),
    ("run --speed nan", &["--speed \"nan\"", "max, or a number from 0.001"]),
    ("run --speed inf", &["--speed \"inf\"", "max, or a number from 0.001"]),
    ("run --speed ", &["--speed \"\"", "max, or a number from 0.001"]),
    ("run --duration 0", &["--duration \"0\"", "above 0 to 1000000000"]),
    ("run --duration -1", &["--duration \"-1\"", "above 0 to 1000000000"]),
    ("run --duration nan", &["--duration \"nan\"", "above 0 to 1000000000"]),
    ("run --duration 1e300", &["--duration \"1e300\"", "above 0 to 1000000000"]),
    ("run --duration abc", &["--duration \"abc\"", "above 0 to 1000000000"]),
    ("run --set RM_MIN_CONFIDENCE", &["--set \"RM_MIN_CONFIDENCE\"", "NAME=VALUE"]),
    ("run --set =1", &["is not a setting"]),
    ("run --set RM_MIN_CONFIDENC=1", &["RM_MIN_CONFIDENC=1 (flag)", "did you mean RM_MIN_CONFIDENCE ("]),
    ("run --set RM_MIN_CONFIDENCE=2", &["RM_MIN_CONFIDENCE", "\"2\" (flag)", "a decimal from 0"]),
    ("run --set RM_MIN_CONFIDENCE=", &["RM_MIN_CONFIDENCE", "\"\" (flag)"]),
    ("run --set RM_MIN_CONFIDENCE=NaN", &["RM_MIN_CONFIDENCE", "\"NaN\" (flag)"]),
    ("run --set QT_RING_SLOTS=1000", &["QT_RING_SLOTS", "a power of two"]),
    ("run --set QT_QPA_PLATFORM=x", &["QT_QPA_PLATFORM (flag)", "is not a setting"]),
    ("run --bar 7s", &["QT_BAR_INTERVAL", "\"7s\" (flag)", "divides a day"]),
    ("run --config nosuch.toml", &["nosuch.toml", "can't read"]),
    ("run --config folder", &["folder", "can't read"]),
    ("run --config /dev/zero", &["/dev/zero", "longer than the 1048576 bytes"]),
    ("run --config bad.toml", &["bad.toml, line 1"]),
    ("run --config binary.toml", &["binary.toml", "not UTF-8"]),
    ("run --config toolkit.toml", &["QT_QPA_PLATFORM (file toolkit.toml)", "is not a setting"]),
    (
        "run --venue binance --live --set RM_ENABLE_RISK_LAYER=false",
        &["RM_ENABLE_RISK_LAYER=false", "elsewhere"],
    ),
    ("run --market ok.tsv --journal taken", &["taken", "already holds a journal"]),
    ("run --market ok.tsv --journal ok.tsv", &["ok.tsv", "not a folder"]),
    ("run --market ok.tsv --journal ok.tsv/below", &["ok.tsv/below", "not a folder"]),
    ("run --market ok.tsv --journal /proc/journal", &["/proc/journal", "can't"]),
    ("run --market ok.tsv --ring-dir nosuch", &["--ring-dir \"nosuch\"", "no such folder"]),
    ("run --market ok.tsv --ring-dir ok.tsv", &["--ring-dir \"ok.tsv\"", "no such folder"]),
    ("run --market ok.tsv --ring-dir /proc", &["/proc/", "can't create the ring"]),
    ("journal verify nosuch", &["nosuch", "not a folder"]),
    ("journal info folder", &["folder", "no journal here"]),
    ("journal dump ok.tsv", &["ok.tsv"]),
];

/// A folder of its own, gone afterwards.
pub struct Place(TempDir);

pub struct Outcome {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Place {
    pub fn new() -> Place {
        Place(TempDir::new().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, content: &[u8]) {
        fs::write(self.path(name), content).unwrap();
    }

    /// `qtx` in this folder; of the environment only what is given.
    pub fn command(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_qtx"));
        command.args(arguments).current_dir(self.0.path()).env_clear().envs(environment.iter().copied());
        command
    }

    pub fn qtx(&self, arguments: &[&str]) -> Outcome {
        self.qtx_with(arguments, &[])
    }

    pub fn qtx_with(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Outcome {
        let out = self.command(arguments, environment).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let code = out.status.code().unwrap_or(-1);
        Outcome { code, stdout: text(&out.stdout), stderr: text(&out.stderr) }
    }
}

impl Outcome {
    /// Exit code 2 and one line of bearable length with all these words.
    pub fn refused(&self, what: &[&str], words: &[&str]) {
        assert_eq!(self.code, 2, "{what:?}: {}", self.stderr);
        let one_line = self.stderr.lines().count() == 1 && self.stderr.starts_with("qtx: ");
        assert!(one_line && self.stderr.len() < 500, "{what:?}: {}", self.stderr);
        for word in words {
            assert!(self.stderr.contains(word), "{what:?}: {word:?} is not in {}", self.stderr);
        }
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.stderr))
    }
}

pub fn number(value: &Value, key: &str) -> u64 {
    value[key].as_u64().unwrap_or_else(|| panic!("{key} in {value}"))
}

pub fn sum(counts: &Value) -> u64 {
    counts.as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum()
}

/// Every frame is in the journal or was skipped, and the summary says the same as the journal.
pub fn accounts(here: &Place, summary: &Value) {
    let verify = here.qtx(&["journal", "verify", "qtx-journal", "--json"]);
    assert_eq!(verify.code, 0, "{}", verify.stdout);
    let kinds = &verify.json()["kinds"];
    let of = |kind: &str| kinds[kind].as_u64().unwrap_or(0);
    let market = ["AggTrade", "Trade", "Quote", "Depth", "Bar", "MarkPrice", "Ticker", "ForceOrder"].map(of);
    let market = market.iter().sum::<u64>();
    let refused = number(summary, "decode_errors") + number(summary, "unknown_frames");
    assert_eq!(market, number(summary, "frames_taken"), "{kinds}");
    assert_eq!(of("DecodeFault"), refused, "{kinds}");
    assert_eq!(sum(&summary["decode_faults"]), refused);
    assert_eq!(number(summary, "frames"), market + refused + sum(&summary["frames_skipped"]));
}

pub fn make_fifo(path: &Path) {
    let (folder, mode) = (rustix::fs::CWD, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR);
    rustix::fs::mknodat(folder, path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
}

/// Trades and quotes around 60,000, among them prices of one tick and of a million million, sizes up
/// to what 64 bits hold, event times from 1970 to 2262 and receive times that run backwards.
pub fn absurd() -> String {
    const PRICES: [&str; 5] = ["0.1", "100000.0", "1000000000.0", "922337203685477580.6", "0.2"];
    const SIZES: [&str; 4] = ["0.001", "1.000", "1000000000000.000", "9223372036854775.807"];
    const TIMES_MS: [u64; 5] = [0, 1, 7_258_118_400_000, 9_223_372_036_854, u64::MAX >> 1];
    let mut rng = Pcg64::seed_from_u64(1);
    let mut below = |n: u64| rng.next_u64() % n;
    let (mut text, mut now_ms) = (String::new(), 1_721_260_800_000u64);
    for id in 0..4_000 {
        now_ms += [1, 100, 1_000, 5_000][below(4) as usize];
        let time = if below(8) == 0 { TIMES_MS[below(5) as usize] } else { now_ms };
        let usual = 600_000 + below(40_000);
        let price = match below(5) {
            0 => PRICES[below(5) as usize].to_string(),
            _ => format!("{}.{}", usual / 10, usual % 10),
        };
        let size = SIZES[if below(5) == 0 { below(4) } else { 1 } as usize];
        let recv_ms = now_ms + 3 - below(50);
        text += &match below(2) {
            0 => format!(
                r#"{recv_ms}000000	{{"e":"aggTrade","E":{time},"s":"BTCUSDT","a":{id},"p":"{price}","q":"{size}","f":{id},"l":{id},"T":{time},"m":true}}"#
            ),
            _ => format!(
                r#"{recv_ms}000000	{{"e":"bookTicker","u":{id},"s":"BTCUSDT","b":"{price}","B":"{size}","a":"{price}","A":"{size}","T":{time},"E":{time}}}"#
            ),
        };
        text.push('\n');
    }
    text
}
