//! A hostile server: whatever bytes come, the connection answers with messages or one typed end, and
//! the way the bytes are cut changes nothing. `cargo bolero test` takes the same targets further.

mod wire_support;

use bolero::check;
use bolero::generator::bolero_generator::TypeGenerator;
use quantum_trader::num::NS_PER_SEC;
use quantum_trader::wire::{CloseReason, Limits, State, Violation};
use wire_support::*;

const INPUTS: usize = 4_000;
const LIMITS: Limits =
    Limits { frame_bytes_max: 400, send_bytes_max: 400, frames_per_poll: 3, closing_ns_max: NS_PER_SEC };

/// What a stream of these bytes, read `read_max` at a time, amounts to.
fn run(bytes: &[u8], read_max: usize) -> (Messages, Option<CloseReason>, Vec<u8>) {
    let mut connection = open_with(LIMITS, []);
    connection.stream().read_max = read_max;
    if !bytes.is_empty() {
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
    (messages, reason, std::mem::take(&mut connection.stream().written))
}

fn check_stream(bytes: &[u8]) {
    let whole = run(bytes, usize::MAX);
    // Parses what was written: frames of a client, or it panics.
    client_frames(&whole.2);
    for read_max in [1, 7] {
        let cut = run(bytes, read_max);
        assert_eq!((&cut.0, &cut.1), (&whole.0, &whole.1), "reads of {read_max}");
    }
}

#[test]
fn arbitrary_bytes() {
    check!().with_iterations(INPUTS).for_each(check_stream);
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

#[test]
fn an_arbitrary_answer_to_the_upgrade() {
    use std::cell::RefCell;
    thread_local! { static ANSWER: RefCell<Vec<u8>> = const { RefCell::new(vec![]) } }
    check!().with_iterations(INPUTS).with_type::<(Vec<u8>, Vec<(u16, u8)>)>().for_each(|(noise, edits)| {
        let mut answer = agree("another key");
        for (at, byte) in edits.iter().take(3) {
            let at = usize::from(*at) % answer.len();
            answer[at] = *byte;
        }
        for answer in [answer, noise.clone()] {
            ANSWER.set(answer);
            let script = Script::new(|_| ANSWER.with_borrow(Vec::clone), [Step::End]);
            assert!(try_open(script, LIMITS).is_err(), "nobody knows our key");
        }
    });
}
