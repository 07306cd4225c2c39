//! Without `--live` nothing that could become an order leaves: not for a venue that says it is simulated
//! while orders would go elsewhere, nor for one that says so to somebody with a real account's key.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

const KEY: &str = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A";
const SETTINGS: [&str; 5] = [
    "QT_BINANCE_REST_URL=http://{}",
    "QT_BINANCE_PUBLIC_URL=ws://{}/public",
    "QT_BINANCE_MARKET_URL=ws://{}/market",
    "QT_BINANCE_PRIVATE_URL=ws://{}/private",
    "QT_BINANCE_API_URL=ws://{}/ws-fapi/v1",
];

/// Answers whatever is asked as a simulated venue answers `/sim/clock`; counts what is anything else.
struct Liar {
    address: SocketAddr,
    clocks: Arc<AtomicU32>,
    others: Arc<AtomicU32>,
}

impl Liar {
    fn start() -> Liar {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (clocks, others) = (Arc::<AtomicU32>::default(), Arc::<AtomicU32>::default());
        let liar = Liar { address, clocks: Arc::clone(&clocks), others: Arc::clone(&others) };
        thread::spawn(move || {
            for stream in listener.incoming() {
                let is_clock = answer(stream.unwrap());
                let counter = if is_clock { &clocks } else { &others };
                counter.fetch_add(1, Ordering::Relaxed);
            }
        });
        liar
    }

    fn counts(&self) -> (u32, u32) {
        (self.clocks.load(Ordering::Relaxed), self.others.load(Ordering::Relaxed))
    }
}

fn answer(mut stream: TcpStream) -> bool {
    let mut request = vec![];
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
        request.push(byte[0]);
    }
    let body = r#"{"sim_ns":1700000000000000000,"wall_ns":1700000000000000000,"scale":1.0,"lockstep":false}"#;
    let length = body.len();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
    stream.write_all((head + body).as_bytes()).unwrap();
    request.starts_with(b"GET /sim/clock ")
}

/// What `qtx run` says, which must refuse, with so many of its addresses set to `address`.
fn refusal(address: SocketAddr, set: usize, key: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_qtx"));
    command.args(["run", "--venue", "binance", "--symbols", "BTCUSDT", "--journal"]);
    command.arg(dir.path().join("journal"));
    for setting in &SETTINGS[..set] {
        command.args(["--set", &setting.replace("{}", &address.to_string())]);
    }
    for name in ["QT_API_KEY_FILE", "QT_API_SECRET_FILE"] {
        command.env_remove(name);
    }
    command.env("QT_API_KEY", key).env("QT_API_SECRET", "secret").env("XDG_STATE_HOME", dir.path());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(!dir.path().join("journal").exists());
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_clock_says_nothing_of_orders_that_go_elsewhere() {
    let liar = Liar::start();
    for set in 1..SETTINGS.len() {
        let error = refusal(liar.address, set, "sim");
        assert!(error.contains("--live says"), "{set}: {error}");
    }
    assert_eq!(liar.counts(), (0, 0));
}

#[test]
fn a_real_accounts_key_is_not_shown_to_whoever_says_he_is_simulated() {
    let liar = Liar::start();
    let error = refusal(liar.address, SETTINGS.len(), KEY);
    assert!(error.contains("the key may be a real account's"), "{error}");
    assert!(!error.contains(KEY));
    assert_eq!(liar.counts(), (1, 0), "nothing but the clock was asked for");
    // With a simulated one's key it goes on, and finds that this is no venue.
    let error = refusal(liar.address, SETTINGS.len(), "sim");
    assert!(error.contains("/fapi/v1/time"), "{error}");
}
