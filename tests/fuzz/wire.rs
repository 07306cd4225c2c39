//! A hostile server: whatever bytes come, upgrade or frames, the connection answers with messages or one
//! typed end, keeps no more than its limits allow, and the way the bytes are cut changes nothing.

use std::cell::RefCell;

use bolero::check;
use bolero::generator::bolero_generator::TypeGenerator;
use quantum_trader::num::NS_PER_SEC;
use quantum_trader::wire::{CloseReason, Connection, Connector, Limits, State, Violation};

use crate::target::{Target, assert_one_line, bounded};
use crate::wire_support::*;

/// Of the structured tests.
const INPUTS: usize = 2_000;
const LIMITS: Limits =
    Limits { frame_bytes_max: 400, send_bytes_max: 400, frames_per_poll: 3, closing_ns_max: NS_PER_SEC };

/// Where an answer to the upgrade has to say what follows from the client's key.
const ACCEPT: &[u8] = b"ACCEPT";

thread_local! {
    static CONNECTOR: Connector = connector(LIMITS);
    static ANSWER: RefCell<Vec<u8>> = const { RefCell::new(vec![]) };
}

/// The answer in `ANSWER`, to a client with this key.
fn answer(key: &str) -> Vec<u8> {
    let right = agree(key);
    let value =
        right.windows(ACCEPT.len() + 2).position(|part| part == b"Accept: ").unwrap() + ACCEPT.len() + 2;
    let value = right[value..].split(|byte| *byte == b'\r').next().unwrap();
    ANSWER.with_borrow(|bytes| match bytes.windows(ACCEPT.len()).position(|part| part == ACCEPT) {
        Some(at) => [&bytes[..at], value, &bytes[at + ACCEPT.len()..]].concat(),
        None => bytes.clone(),
    })
}

/// What a stream of these bytes, read `read_max` at a time, amounts to. Bytes that begin as an answer to
/// the upgrade are that one, with frames behind it; before all others stands a right one.
fn run(bytes: &[u8], read_max: usize) -> Option<(Messages, Option<CloseReason>, Vec<u8>)> {
    let whole = bytes.starts_with(b"HTTP/");
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

/// `true` if at least one message came out of it.
fn check_stream(bytes: &[u8]) -> bool {
    let whole = bounded(bytes.len(), 160 << 10, 64, || run(bytes, usize::MAX));
    for read_max in [1, 7] {
        let cut = run(bytes, read_max);
        let told = |run: &Option<(Messages, Option<CloseReason>, Vec<u8>)>| {
            run.as_ref().map(|(messages, reason, _)| (messages.clone(), reason.clone()))
        };
        assert_eq!(told(&cut), told(&whole), "reads of {read_max}");
    }
    let Some((messages, _, written)) = whole else { return false };
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
