//! A hostile server: whatever bytes come, upgrade or frames, the connection answers with messages or one
//! typed end, keeps no more than its limits allow, and the way the bytes are cut changes nothing.

use std::cell::{Cell, RefCell};

use bolero::check;
use bolero::generator::bolero_generator::TypeGenerator;
use quantum_trader::num::NS_PER_SEC;
use quantum_trader::wire::{
    CloseReason, Connection, Connector, Limits, State, UpgradeError, Violation, WireError, accept,
};

use crate::target::{Target, assert_one_line, bounded};
use crate::wire_support::*;

/// Of each test.
const INPUTS: usize = 8_000;
const LIMITS: Limits =
    Limits { frame_bytes_max: 400, send_bytes_max: 400, frames_per_poll: 3, closing_ns_max: NS_PER_SEC };

/// Where an answer to the upgrade has to say what follows from the client's key.
const ACCEPT: &[u8] = b"ACCEPT";

thread_local! {
    static CONNECTOR: Connector = connector(LIMITS);
    static ANSWER: RefCell<Vec<u8>> = const { RefCell::new(vec![]) };
    /// Whether the answer that was sent has the right value somewhere.
    static AGREED: Cell<bool> = const { Cell::new(false) };
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

/// The answer in `ANSWER`, to a client with this key.
fn answer(key: &str) -> Vec<u8> {
    let value = accept(key);
    let sent = ANSWER.with_borrow(|bytes| match find(bytes, ACCEPT) {
        Some(at) => [&bytes[..at], value.as_bytes(), &bytes[at + ACCEPT.len()..]].concat(),
        None => bytes.clone(),
    });
    AGREED.set(find(&sent, value.as_bytes()).is_some());
    sent
}

/// What a stream of these bytes, read `read_max` at a time, amounts to. The `whole` of it is the answer to the
/// upgrade and the frames behind it; else a right answer stands before them.
fn run(bytes: &[u8], read_max: usize, whole: bool) -> Option<(Messages, Option<CloseReason>, Vec<u8>)> {
    let mut script = if whole {
        ANSWER.set(bytes.to_vec());
        Script::new(answer, [Step::End])
    } else {
        Script::new(agree, [])
    };
    script.read_max = read_max;
    let url = "ws://venue.test/ws".parse().unwrap();
    let open = match CONNECTOR.with(|connector| connector.open_over(script, &url)) {
        Ok(open) => open,
        Err(error) => {
            assert!(whole, "a right answer is refused: {error}");
            assert_one_line(&error.to_string());
            return None;
        }
    };
    assert!(!whole || AGREED.get(), "opened by a server that does not answer our key");
    let mut connection = Connection::new(open, T0);
    if !whole && !bytes.is_empty() {
        connection.stream().then(bytes);
    }
    let messages = drain(&mut connection);
    let counters = *connection.counters();
    assert_eq!(counters.frames, messages.len() as u64);
    assert!(messages.iter().all(|(_, payload)| payload.len() <= LIMITS.frame_bytes_max));
    assert_eq!(counters.errors_total(), u64::from(connection.state() == State::Closed));
    let reason = connection.close_reason().cloned();
    let impossible = matches!(reason, Some(CloseReason::Protocol(Violation::Parser)));
    assert!(!impossible, "every complaint has a name");
    Some((messages, reason, std::mem::take(&mut connection.stream().written)))
}

/// Bytes that begin as an answer are one; others are tried as one too, and are frames as well.
fn check_stream(bytes: &[u8]) -> bool {
    let answered = check_bytes(bytes, true);
    if bytes.starts_with(b"HTTP/") { answered } else { check_bytes(bytes, false) }
}

/// `true` if at least one message came out of it.
fn check_bytes(bytes: &[u8], whole: bool) -> bool {
    let at_once = bounded(bytes.len(), 160 << 10, 64, || run(bytes, usize::MAX, whole));
    for read_max in [1, 7] {
        let cut = run(bytes, read_max, whole);
        let told = |run: &Option<(Messages, Option<CloseReason>, Vec<u8>)>| {
            run.as_ref().map(|(messages, reason, _)| (messages.clone(), reason.clone()))
        };
        assert_eq!(told(&cut), told(&at_once), "reads of {read_max}");
    }
    let Some((messages, _, written)) = at_once else { return false };
    // Parses what was written: frames of a client, or it panics.
    client_frames(&written);
    !messages.is_empty()
}

#[test]
fn wire() {
    let upgrade = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Accept: ACCEPT\r\n\r\n";
    let long = "x".repeat(300);
    let frames = [
        text("{}"),
        [text("one"), frame(BINARY, true, b"two")].concat(),
        [frame(TEXT, false, b"in "), frame(0, false, b"three "), frame(0, true, b"parts")].concat(),
        [frame(TEXT, false, b"a "), frame(PING, true, b"ping"), frame(0, true, b"between")].concat(),
        [frame(TEXT, false, &[b'x'; 200]), frame(0, true, &[b'y'; 200])].concat(),
        [text(&long), frame(PONG, true, b""), frame(PING, true, b"")].concat(),
        [text("last"), frame(CLOSE, true, b"\x03\xe8bye")].concat(),
        [text("last"), frame(CLOSE, true, b"")].concat(),
    ];
    let upgraded = frames.iter().map(|frames| [&upgrade[..], frames].concat());
    let target = Target {
        name: "wire",
        inputs: INPUTS,
        seeds: upgraded.chain(frames.iter().cloned()).collect(),
        recorded: Vec::new(),
        words: vec![
            "HTTP/1.1 ",
            "HTTP/1.0 ",
            "101",
            "301",
            "429",
            "Retry-After: 7",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Accept: ",
            "Sec-WebSocket-Extensions: ",
            "Sec-WebSocket-Protocol: ",
            "ACCEPT",
            "Content-Length: 5",
            "Transfer-Encoding: chunked",
            "\r\n",
            "\r\n\r\n",
            "\u{1}\u{7f}",
            "\u{7f}",
            "~",
        ],
        check: check_stream,
    };
    target.run();
}

/// The right answer but for one bit of the value that answers our key.
fn nearly(key: &str) -> Vec<u8> {
    let mut sent = agree(key);
    let value = find(&sent, accept(key).as_bytes()).unwrap();
    let bit = BIT.get();
    sent[value + bit / 8] ^= 1 << (bit % 8);
    sent
}

thread_local! {
    static BIT: Cell<usize> = const { Cell::new(0) };
}

#[test]
fn an_accept_that_is_nearly_right_is_refused() {
    for bit in 0..accept("").len() * 8 {
        BIT.set(bit);
        let refused = try_open(Script::new(nearly, []), LIMITS).map(drop).unwrap_err();
        // Some bits make it a byte that no header has.
        let named = matches!(refused, WireError::Upgrade(UpgradeError::Accept | UpgradeError::NotHttp(_)));
        assert!(named, "bit {bit}: {refused}");
    }
}

/// A frame whose every field may lie.
#[derive(Debug, TypeGenerator)]
struct Part {
    head: u8,
    plain: bool,
    length: u8,
    lie: Option<u64>,
    masked: bool,
    fill: u8,
}

#[test]
fn frames_that_lie() {
    check!().with_iterations(INPUTS).with_type::<Vec<Part>>().for_each(|parts| {
        let mut bytes = vec![];
        for part in parts.iter().take(12) {
            // Mostly opcodes that exist, so that a stream gets further than its first frame.
            let opcode = [0, TEXT, BINARY, CLOSE, PING, PONG][usize::from(part.head & 0x0f) % 6];
            let head = if part.plain { opcode | part.head & 0x80 } else { part.head };
            let mut frame = frame(0, true, &vec![part.fill; usize::from(part.length)]);
            frame[0] = head;
            if let Some(lie) = part.lie {
                frame.splice(1..2, [vec![127], (lie >> (lie % 64)).to_be_bytes().to_vec()].concat());
            }
            if part.masked && !part.plain {
                frame[1] |= 0x80;
            }
            bytes.extend(frame);
        }
        check_stream(&bytes);
    });
}
