//! Market connections against venues that close, refuse, never answer, flood with pings, cut frames
//! anywhere or speak nonsense: everything is counted, and the connection comes back.

mod wire_support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use quantum_trader::event::{Feed, FeedState};
use quantum_trader::host::time::SteppedTime;
use quantum_trader::live::{Feeds, Lifetimes, Opener, OpenerConfig, OpenerReport};
use quantum_trader::num::{NS_PER_MS, NS_PER_SEC, Now, TimeNs};
use quantum_trader::wire::{Backoff, Counters, ErrorKind, Limits, Url};
use wire_support::*;

/// The engine's time stands still unless a test moves it.
#[derive(Clone, Copy)]
struct Still;

impl Now for Still {
    fn now(&self) -> TimeNs {
        T0
    }
}

/// Fast enough that no test waits; the schedule itself is tested where it is.
const CONFIG: OpenerConfig = OpenerConfig {
    backoff: Backoff { first_ns: NS_PER_MS, cap_ns: NS_PER_MS, stable_ns: NS_PER_SEC },
    timeout: Duration::from_millis(200),
};

/// A venue that serves one script after the other, a connection each.
type Script = Box<dyn FnOnce(TcpStream) + Send>;

fn venue(scripts: Vec<Script>) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serve = move || {
        for script in scripts {
            script(listener.accept().unwrap().0);
        }
    };
    (address, thread::spawn(serve))
}

/// Reads the request and agrees.
fn upgraded(stream: &mut TcpStream) {
    let mut request = vec![];
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        request.push(byte[0]);
    }
    stream.write_all(&agree(&key(&request))).unwrap();
}

/// Says the bytes and hangs up once the client has.
fn says(bytes: Vec<u8>) -> Script {
    Box::new(move |mut stream| {
        upgraded(&mut stream);
        let _ = stream.write_all(&bytes);
        let _ = stream.read_to_end(&mut vec![]);
    })
}

/// Says the bytes and hangs up.
fn says_and_ends(bytes: Vec<u8>) -> Script {
    Box::new(move |mut stream| {
        upgraded(&mut stream);
        let _ = stream.write_all(&bytes);
    })
}

struct Seen {
    texts: Vec<String>,
    states: Vec<FeedState>,
    counters: Counters,
    report: OpenerReport,
}

/// Runs the connections until so many messages came.
fn run(address: SocketAddr, wanted: usize) -> Seen {
    let url: Url = format!("ws://{address}/market/stream?streams=a").parse().unwrap();
    let (opener, ends) = Opener::spawn(CONFIG, connector(Limits::default()), vec![url], Still).unwrap();
    let mut feeds = Feeds::new(&[(Feed::Market, false)], ends, Lifetimes::clocked(None));
    let (mut texts, mut states) = (vec![], vec![]);
    while texts.len() < wanted {
        while let Some(status) = feeds.tend(T0) {
            assert_eq!(status.feed, Feed::Market);
            states.push(status.state);
        }
        feeds.poll(T0, |secure, frame| {
            assert!(!secure);
            texts.push(String::from_utf8(frame.payload.to_vec()).unwrap());
        });
        thread::yield_now();
    }
    let counters = feeds.counters();
    drop(feeds);
    Seen { texts, states, counters, report: opener.stop() }
}

#[test]
fn a_venue_that_closes_is_connected_to_again() {
    use FeedState::{Down, Up};
    let closing = [text("one"), frame(CLOSE, true, b"\x03\xe9")].concat();
    let (address, server) = venue(vec![says(closing), says_and_ends(text("two")), says(text("three"))]);
    let seen = run(address, 3);
    assert_eq!(seen.texts, ["one", "two", "three"]);
    assert_eq!(seen.states, [Up, Down, Up, Down, Up]);
    assert_eq!(seen.counters.errors(ErrorKind::ClosedByPeer), 1);
    assert_eq!(seen.counters.errors(ErrorKind::Eof), 1);
    assert_eq!(seen.report.counters.reconnects, 2);
    server.join().unwrap();
}

#[test]
fn a_venue_that_refuses_or_never_answers_is_tried_again() {
    let refuses: Script = Box::new(|mut stream| {
        let _ = stream.write_all(b"HTTP/1.1 503 Service Unavailable\r\n\r\n");
        let _ = stream.read_to_end(&mut vec![]);
    });
    // Until the client gives up on it.
    let silent: Script = Box::new(|mut stream| drop(stream.read_to_end(&mut vec![])));
    let hangs_up: Script = Box::new(drop);
    let (address, server) = venue(vec![refuses, silent, hangs_up, says(text("at last"))]);
    let seen = run(address, 1);
    assert_eq!(seen.texts, ["at last"]);
    assert_eq!(seen.states, [FeedState::Up], "what never was up is not down again");
    let errors = |kind| seen.report.counters.errors(kind);
    assert_eq!((errors(ErrorKind::Deadline), seen.report.counters.errors_total()), (1, 3));
    assert_eq!(seen.report.failures.len(), 3, "{:?}", seen.report.failures);
    server.join().unwrap();
}

#[test]
fn nonsense_ends_the_connection_and_not_the_run() {
    let nonsense = [
        vec![0x81 | 0x70, 0],                           // reserved bits
        vec![0x83, 0],                                  // unknown opcode
        vec![0x81, 0x80, 0, 0, 0, 0],                   // masked
        vec![0x09, 0],                                  // ping in fragments
        [vec![0x82, 127], vec![0x7f; 8]].concat(),      // longer than anything
        frame(TEXT, true, b"\xff\xfe"),                 // not UTF-8
        frame(0, true, b"of nothing"),                  // a continuation of nothing
        b"HTTP/1.1 400 Bad Request\r\n\r\n{}".to_vec(), // the wrong protocol
        (0..=255).collect(),
    ];
    let count = nonsense.len();
    let mut scripts: Vec<Script> = nonsense.into_iter().map(says).collect();
    scripts.push(says(text("sense")));
    let (address, server) = venue(scripts);
    let seen = run(address, 1);
    assert_eq!(seen.texts.last().unwrap(), "sense");
    assert_eq!(seen.states.iter().filter(|state| **state == FeedState::Down).count(), count);
    let violations = seen.counters.errors(ErrorKind::Protocol) + seen.counters.errors(ErrorKind::Oversize);
    assert_eq!(violations, count as u64);
    server.join().unwrap();
}

#[test]
fn a_flood_of_pings_keeps_no_message_waiting() {
    let mut flood = Vec::new();
    for n in 0..5_000u32 {
        flood.extend(frame(PING, true, &n.to_be_bytes()));
        if n % 1_000 == 999 {
            flood.extend(text(&format!("{n}")));
        }
    }
    let (address, server) = venue(vec![says(flood)]);
    let seen = run(address, 5);
    assert_eq!(seen.texts, ["999", "1999", "2999", "3999", "4999"]);
    let answered = seen.counters.pongs + seen.counters.pings_superseded;
    assert!(seen.counters.pings == 5_000 && answered <= 5_000, "{:?}", seen.counters);
    server.join().unwrap();
}

#[test]
fn a_message_cut_at_every_byte_arrives_whole() {
    let message = r#"{"stream":"btcusdt@bookTicker","data":{"e":"bookTicker","u":1}}"#;
    let bytes = text(message);
    let scripts: Vec<Script> = (1..bytes.len())
        .map(|at| {
            let (head, tail) = (bytes[..at].to_vec(), bytes[at..].to_vec());
            let cut: Script = Box::new(move |mut stream| {
                upgraded(&mut stream);
                stream.set_nodelay(true).unwrap();
                stream.write_all(&head).unwrap();
                stream.flush().unwrap();
                stream.write_all(&tail).unwrap();
            });
            cut
        })
        .collect();
    let count = scripts.len();
    let (address, server) = venue(scripts);
    let seen = run(address, count);
    assert!(seen.texts.iter().all(|text| text == message), "{:?}", seen.texts);
    server.join().unwrap();
}

#[test]
fn half_a_frame_then_the_end_is_no_message() {
    let whole = text("a message of some length");
    let halves = (1..whole.len()).map(|at| says_and_ends(whole[..at].to_vec()));
    let scripts: Vec<Script> = halves.chain([says(text("whole"))]).collect();
    let (address, server) = venue(scripts);
    let seen = run(address, 1);
    assert_eq!(seen.texts, ["whole"]);
    assert_eq!(seen.counters.errors(ErrorKind::Eof), whole.len() as u64 - 1);
    server.join().unwrap();
}

#[test]
fn a_connection_that_only_pings_is_dead() {
    let (address, server) = venue(vec![says(frame(PING, true, b"alive")), says(text("news"))]);
    let url: Url = format!("ws://{address}/").parse().unwrap();
    let clock = SteppedTime::at(T0);
    let connector = connector(Limits::default());
    let (opener, ends) = Opener::spawn(CONFIG, connector, vec![url], clock.clone()).unwrap();
    let mut feeds = Feeds::new(&[(Feed::Public, false)], ends, Lifetimes::clocked(Some(30 * NS_PER_SEC)));
    let (mut states, mut texts) = (vec![], 0);
    while texts == 0 {
        states.extend(std::iter::from_fn(|| feeds.tend(clock.now())).map(|status| status.state));
        texts += feeds.poll(clock.now(), |_, _| {}).frames;
        if feeds.counters().pings == 1 && states == [FeedState::Up] {
            clock.set(T0 + 31 * NS_PER_SEC);
        }
        thread::yield_now();
    }
    assert_eq!(states, [FeedState::Up, FeedState::Stale, FeedState::Up]);
    drop(feeds);
    opener.stop();
    server.join().unwrap();
}
