//! A venue that bans: a start says until when, and one during the ban sends nothing.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use quantum_trader::host::account_lock::{Account, AccountLock};
use quantum_trader::host::ban::{Ban, BanFile};
use quantum_trader::host::clock::wall_time;
use quantum_trader::num::{NS_PER_SEC, TimeNs};

/// Answers every request with this head, and counts them.
struct Venue {
    address: SocketAddr,
    requests: Arc<AtomicU32>,
}

impl Venue {
    fn start(head: &'static str) -> Venue {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, requests) = (listener.local_addr().unwrap(), Arc::<AtomicU32>::default());
        let counter = Arc::clone(&requests);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, mut request, mut byte) = (stream.unwrap(), vec![], [0]);
                counter.fetch_add(1, Ordering::AcqRel);
                while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
                    request.push(byte[0]);
                }
                let _ = write!(stream, "{head}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            }
        });
        Venue { address, requests }
    }

    fn requests(&self) -> u32 {
        self.requests.load(Ordering::Acquire)
    }

    fn api(&self) -> String {
        format!("ws://{}/ws-fapi/v1", self.address)
    }

    /// What a start says, which must refuse.
    fn refusal(&self, home: &Path, more: &[&str]) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_qtx"));
        command.args(["run", "--venue", "binance", "--live", "--symbols", "BTCUSDT", "--journal"]);
        command.arg(home.join("journal")).args(more).current_dir(home).env_clear();
        for (name, scheme, path) in [
            ("REST", "http", ""),
            ("PUBLIC", "ws", "/public"),
            ("MARKET", "ws", "/market"),
            ("PRIVATE", "ws", "/private"),
            ("API", "ws", "/ws-fapi/v1"),
        ] {
            command.args(["--set", &format!("QT_BINANCE_{name}_URL={scheme}://{}{path}", self.address)]);
        }
        command.env("HOME", home).env("XDG_STATE_HOME", home);
        let output = command.env("QT_API_KEY", "key").env("QT_API_SECRET", "secret").output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), said.lines().count()), (Some(2), 1), "{said}");
        said
    }

    /// The ban file of this venue, as an engine with another key has it.
    fn ban_file(&self, home: &Path) -> BanFile {
        let account = Account { venue: &self.api(), api_key: "another", prefix: "qt" };
        AccountLock::acquire(&home.join("qtx"), &account).unwrap().ban_file(&self.api())
    }
}

const BANNED: &str = "HTTP/1.1 418 I'm a teapot\r\nretry-after: 600";
const LIMITED: &str = "HTTP/1.1 429 Too Many Requests\r\nretry-after: 30";

/// The time a refusal names.
fn until(said: &str) -> TimeNs {
    let (_, rest) = said.split_once("until ").unwrap_or_else(|| panic!("{said}"));
    rest.split([',', '\n', ' ']).next().unwrap().parse().unwrap()
}

#[test]
fn a_start_during_a_ban_sends_nothing() {
    let (venue, home) = (Venue::start(BANNED), tempfile::tempdir().unwrap());
    let banned = wall_time() + 3_600 * NS_PER_SEC;
    venue.ban_file(home.path()).keep(banned, wall_time()).unwrap();
    let said = venue.refusal(home.path(), &[]);
    assert!(said.contains("bans this machine") && said.contains("nothing was sent"), "{said}");
    let named = until(&said);
    assert!(named >= banned && named.since(banned) < 2 * NS_PER_SEC, "{said}");
    assert_eq!(venue.requests(), 0);
}

#[test]
fn a_start_that_is_banned_says_until_when_and_the_next_one_knows() {
    let (venue, home) = (Venue::start(BANNED), tempfile::tempdir().unwrap());
    let before = wall_time();
    let said = venue.refusal(home.path(), &[]);
    assert!(said.contains("418") && said.contains("/fapi/v1/time"), "{said}");
    let told = until(&said).since(before);
    assert!((600 * NS_PER_SEC - NS_PER_SEC..900 * NS_PER_SEC).contains(&told), "{said}");
    let asked = venue.requests();
    assert!(asked > 0);
    let again = venue.refusal(home.path(), &["--set", "QT_ORDER_PREFIX=other"]);
    assert!(again.contains("nothing was sent"), "{again}");
    assert_eq!(venue.requests(), asked);
}

#[test]
fn a_start_that_is_told_to_wait_says_for_how_long_and_is_no_ban() {
    let (venue, home) = (Venue::start(LIMITED), tempfile::tempdir().unwrap());
    let said = venue.refusal(home.path(), &[]);
    assert!(said.contains("429") && said.contains("until 20"), "{said}");
    assert_eq!(venue.ban_file(home.path()).read(wall_time()), Ban::Over);
    let again = venue.refusal(home.path(), &[]);
    assert!(again.contains("429"), "{again}");
}

#[test]
fn a_damaged_file_is_ignored() {
    let (venue, home) = (Venue::start(LIMITED), tempfile::tempdir().unwrap());
    venue.ban_file(home.path()).keep(wall_time() + 3_600 * NS_PER_SEC, wall_time()).unwrap();
    let folder = std::fs::read_dir(home.path().join("qtx")).unwrap();
    let mut files = folder.map(|entry| entry.unwrap().path());
    let file = files.find(|path| path.extension().is_some_and(|ext| ext == "ban")).unwrap();
    std::fs::write(file, "qtx-ban-1 99").unwrap();
    assert!(venue.refusal(home.path(), &[]).contains("429"));
    assert!(venue.requests() > 0);
}
