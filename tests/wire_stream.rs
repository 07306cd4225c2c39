//! An open connection against a server in memory: what it hands out, answers and refuses.

mod wire_support;

use std::collections::BTreeSet;
use std::io;

use proptest::prelude::*;
use quantum_trader::num::{NS_PER_SEC, TimeNs};
use quantum_trader::wire::{
    CloseReason, ErrorKind, FrameKind, Limits, Progress, SendError, State, UpgradeError, Violation, WireError,
};
use wire_support::*;

const SMALL: Limits =
    Limits { frame_bytes_max: 200, send_bytes_max: 200, frames_per_poll: 16, closing_ns_max: NS_PER_SEC };

fn bytes(bytes: impl Into<Vec<u8>>) -> Step {
    Step::Bytes(bytes.into())
}

fn peer(code: Option<u16>, text: &str) -> CloseReason {
    CloseReason::Peer { code, text: text.into() }
}

#[test]
fn an_answer_and_frames_cut_at_every_byte() {
    let stream = [agree("k"), text("first"), frame(PING, true, b"p"), text("second")].concat();
    for cut in 1..stream.len() {
        // The frames come with the head as far as the cut allows.
        let mut script = Script::new(|key| [agree(key), text("first"), frame(PING, true, b"p")].concat(), []);
        script.then(text("second"));
        script.read_max = cut;
        let mut connection = try_open(script, Limits::default()).unwrap();
        assert_eq!(texts(&drain(&mut connection)), ["first", "second"], "reads of {cut}");
        assert_eq!(client_frames(&connection.stream().written), [(PONG, b"p".to_vec())]);
    }
    let frames = [text("first"), frame(BINARY, true, &[7; 300]), text("")].concat();
    for cut in 1..frames.len() {
        let (left, right) = frames.split_at(cut);
        let mut connection = open([bytes(left), Step::Wait, bytes(right)]);
        let messages = drain(&mut connection);
        assert_eq!(messages.len(), 3, "cut at {cut}");
        assert_eq!(messages[0], (FrameKind::Text, b"first".to_vec()));
        assert_eq!(messages[1], (FrameKind::Binary, vec![7; 300]));
        assert_eq!(messages[2], (FrameKind::Text, vec![]));
    }
}

#[test]
fn an_answer_that_does_not_agree_opens_nothing() {
    let refused: [(Answer, UpgradeError); 4] = [
        (|_| agree("another key"), UpgradeError::Accept),
        (
            |_| b"HTTP/1.1 429 Slow down\r\nRetry-After: 7\r\n\r\n".to_vec(),
            UpgradeError::Status { code: 429, retry_after_s: Some(7) },
        ),
        (|_| b"\0\xff\x81\x05hello".to_vec(), UpgradeError::NotHttp(httparse::Error::Version)),
        (|_| [b"HTTP/1.1 101 x\r\nX: ".to_vec(), vec![b'x'; 9_000]].concat(), UpgradeError::TooLong(8_192)),
    ];
    for (answer, expected) in refused {
        let Err(error) = try_open(Script::new(answer, []), SMALL) else { panic!("{expected} opened") };
        assert_eq!(error.kind(), ErrorKind::Upgrade);
        let WireError::Upgrade(found) = error else { panic!("{error}") };
        assert_eq!(found, expected);
    }
    let cut = Script::new(|key| agree(key)[..60].to_vec(), [Step::End]);
    assert!(matches!(try_open(cut, SMALL), Err(WireError::Upgrade(UpgradeError::Eof))));
    let reset = Script::new(|_| vec![b'H'], [Step::Fail(io::ErrorKind::ConnectionReset)]);
    assert!(matches!(try_open(reset, SMALL), Err(WireError::Io { .. })));
}

#[test]
fn a_ping_of_ours_goes_out_and_its_pong_counts() {
    let mut connection = open([bytes(frame(PONG, true, b""))]);
    connection.ping().unwrap();
    drain(&mut connection);
    assert_eq!(client_frames(&connection.stream().written), [(PING, Vec::new())]);
    assert_eq!((connection.counters().pings_sent, connection.counters().pongs_received), (1, 1));
    assert_eq!(connection.counters().sent, 0, "no message");
    connection.close(TimeNs(0));
    assert_eq!(connection.ping(), Err(SendError::NotOpen));
}

#[test]
fn fragments_with_control_frames_between_them_are_one_message() {
    let mut connection = open([
        bytes(frame(TEXT, false, "a\u{e9}".as_bytes().split_at(2).0)),
        bytes(frame(PING, true, b"one")),
        bytes(frame(0, false, "a\u{e9}".as_bytes().split_at(2).1)),
        bytes(frame(PONG, true, b"unasked")),
        bytes(frame(0, false, b"")),
        bytes(frame(PING, true, b"two")),
        bytes(frame(0, true, b"z")),
        bytes(frame(BINARY, false, b"1")),
        bytes(frame(0, true, b"2")),
    ]);
    let messages = drain(&mut connection);
    assert_eq!(messages[0], (FrameKind::Text, "a\u{e9}z".as_bytes().to_vec()));
    assert_eq!(messages[1], (FrameKind::Binary, b"12".to_vec()));
    let answers = [(PONG, b"one".to_vec()), (PONG, b"two".to_vec())];
    assert_eq!(client_frames(&connection.stream().written), answers);
    let counters = connection.counters();
    assert_eq!((counters.frames, counters.fragmented, counters.frame_bytes), (2, 2, 6));
    assert_eq!((counters.pings, counters.pongs, counters.pongs_received), (2, 2, 1));
    assert_eq!(connection.state(), State::Open);
}

fn masked(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x11, 0xf2, 0x33, 0x44];
    let payload: Vec<u8> = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
    let mut bytes = frame(opcode, true, &payload);
    bytes[1] |= 0x80;
    bytes.splice(2..2, mask);
    bytes
}

/// Header with the extended length written out, no payload.
fn header(opcode: u8, length: u64) -> Vec<u8> {
    [&[0x80 | opcode, 127][..], &length.to_be_bytes()].concat()
}

#[test]
fn every_violation_has_its_name_and_its_close_code() {
    use Violation::*;
    let long_message = [frame(TEXT, false, &[b'x'; 150]), frame(0, true, &[b'x'; 51])].concat();
    for (stream, violation, code) in [
        (masked(TEXT, b"hello"), Masked, 1002),
        (masked(PING, b""), Masked, 1002),
        (vec![0xc1, 0], ReservedBits, 1002),
        (vec![0xa1, 0], ReservedBits, 1002),
        (vec![0x91, 0], ReservedBits, 1002),
        (vec![0x83, 0], Opcode, 1002),
        (vec![0x8b, 0], Opcode, 1002),
        (frame(PING, false, b""), ControlFragmented, 1002),
        (frame(CLOSE, false, b""), ControlFragmented, 1002),
        (frame(PING, true, &[0; 126]), ControlTooLong, 1002),
        (frame(PONG, true, &[0; 126]), ControlTooLong, 1002),
        (frame(CLOSE, true, &[0; 126]), ControlTooLong, 1002),
        (frame(BINARY, true, &[0; 201]), FrameTooLong, 1009),
        (header(BINARY, 201), FrameTooLong, 1009),
        (header(BINARY, 1 << 63), FrameTooLong, 1009),
        (header(TEXT, u64::MAX), FrameTooLong, 1009),
        (long_message, MessageTooLong, 1009),
        (frame(0, true, b"x"), Continuation, 1002),
        ([frame(TEXT, false, b"x"), text("y")].concat(), Interrupted, 1002),
        (frame(TEXT, true, b"\xff"), Utf8, 1007),
        ([frame(TEXT, false, b"\xc3"), frame(0, true, b"x")].concat(), Utf8, 1007),
        (frame(CLOSE, true, b"\x03"), Close, 1002),
        (frame(CLOSE, true, &1005u16.to_be_bytes()), Close, 1002),
        (frame(CLOSE, true, &0u16.to_be_bytes()), Close, 1002),
        (frame(CLOSE, true, b"\x03\xe8\xff"), Utf8, 1007),
    ] {
        let mut connection = open_with(SMALL, [bytes([text("before"), stream, text("after")].concat())]);
        assert_eq!(texts(&drain(&mut connection)), ["before"], "{violation}");
        assert_eq!(connection.close_reason(), Some(&CloseReason::Protocol(violation)));
        let told = client_frames(&connection.stream().written);
        assert_eq!(told, [(CLOSE, u16::to_be_bytes(code).to_vec())], "{violation}");
        let kind = if code == 1009 { ErrorKind::Oversize } else { ErrorKind::Protocol };
        let counters = connection.counters();
        assert_eq!((counters.errors(kind), counters.errors_total()), (1, 1), "{violation}");
        // Closed is closed: nothing is read, written or counted any more.
        connection.stream().then(text("later"));
        assert_eq!(poll(&mut connection, T0, &mut vec![]), Progress::default());
        assert_eq!(connection.send_text(b"x"), Err(SendError::NotOpen));
    }
}

#[test]
fn the_largest_message_is_taken() {
    let limits = Limits { frame_bytes_max: 70_000, ..SMALL };
    let payload = "x".repeat(70_000);
    let (left, right) = payload.as_bytes().split_at(40_000);
    let fragments = [frame(TEXT, false, left), frame(0, true, right)].concat();
    let mut connection = open_with(limits, [bytes(text(&payload)), bytes(fragments)]);
    assert_eq!(texts(&drain(&mut connection)), [payload.as_str(), &payload]);
}

#[test]
fn a_poll_keeps_its_budget_and_loses_nothing() {
    let stream: Vec<u8> = (0..40).flat_map(|n| text(&n.to_string())).collect();
    let mut connection = open([bytes(stream)]);
    let mut messages = vec![];
    for expected in [(16, true), (16, true), (8, false), (0, false)] {
        let Progress { frames, more } = poll(&mut connection, T0, &mut messages);
        assert_eq!((frames, more), expected);
    }
    let expected: Vec<String> = (0..40).map(|n| n.to_string()).collect();
    assert_eq!(texts(&messages), expected);
    // Bytes that make no frame are bounded too: a large one takes many reads.
    let large = Limits { frame_bytes_max: 1 << 20, ..Limits::default() };
    let mut connection = open_with(large, [bytes(frame(BINARY, true, &vec![7; 600_000]))]);
    let before = connection.stream().reads;
    assert_eq!(poll(&mut connection, T0, &mut messages), Progress { frames: 0, more: true });
    assert_eq!(connection.stream().reads - before, 16);
    assert_eq!(drain(&mut connection), [(FrameKind::Binary, vec![7; 600_000])]);
}

#[test]
fn a_socket_that_gave_all_it_had_is_not_asked_again() {
    let mut connection = open([bytes(text("a")), bytes(text("b"))]);
    let before = connection.stream().reads;
    let mut messages = vec![];
    assert_eq!(poll(&mut connection, T0, &mut messages), Progress { frames: 1, more: false });
    assert_eq!(connection.stream().reads - before, 1);
    poll(&mut connection, T0, &mut messages);
    assert_eq!(texts(&messages), ["a", "b"]);
}

#[test]
fn a_ping_flood_on_a_full_socket_keeps_the_newest() {
    let pings: Vec<u8> = (0..1_000).flat_map(|n: u32| frame(PING, true, n.to_string().as_bytes())).collect();
    let mut connection = open([bytes(pings)]);
    connection.stream().room = 3; // part of the first pong
    drain(&mut connection);
    assert!(connection.unsent_bytes() < 131, "{}", connection.unsent_bytes());
    assert_eq!(connection.send_text(b"{}"), Err(SendError::Full), "the pong goes first");
    connection.stream().room = usize::MAX;
    poll(&mut connection, T0, &mut vec![]);
    let answers = [(PONG, b"0".to_vec()), (PONG, b"999".to_vec())];
    assert_eq!(client_frames(&connection.stream().written), answers);
    let counters = connection.counters();
    assert_eq!((counters.pings, counters.pongs, counters.pings_superseded), (1_000, 2, 998));
    assert_eq!(connection.send_text(b"{}"), Ok(()));
}

#[test]
fn sending_is_bounded_and_what_was_taken_arrives() {
    let mut connection = open_with(SMALL, []);
    assert_eq!(connection.send_text(&[b'x'; 185]), Err(SendError::TooLong));
    connection.stream().room = 10;
    let mut taken = 0;
    let error = loop {
        match connection.send_text(format!("order {taken}").as_bytes()) {
            Ok(()) => taken += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error, SendError::Full);
    assert!((5..20).contains(&taken) && connection.unsent_bytes() <= 200, "{taken}");
    // A byte at a time, with more behind it each time there is room.
    while taken < 100 {
        connection.stream().room = 1;
        poll(&mut connection, T0, &mut vec![]);
        taken += usize::from(connection.send_text(format!("order {taken}").as_bytes()).is_ok());
    }
    connection.stream().room = usize::MAX;
    poll(&mut connection, T0, &mut vec![]);
    let sent = client_frames(&connection.stream().written);
    let expected: Vec<_> = (0..100).map(|n| (TEXT, format!("order {n}").into_bytes())).collect();
    assert_eq!((sent, connection.unsent_bytes(), connection.counters().sent), (expected, 0, 100));
}

#[test]
fn masks_change_with_every_frame() {
    let mut connection = open([]);
    for _ in 0..100 {
        connection.send_text(b"").unwrap();
    }
    let frames = connection.stream().written.chunks(6);
    let masks: BTreeSet<Vec<u8>> = frames.map(|frame| frame[2..].to_vec()).collect();
    assert!(masks.len() > 95, "{} of 100", masks.len());
}

#[test]
fn the_servers_close_is_answered() {
    for (payload, reason) in [
        (&b""[..], peer(None, "")),
        (b"\x03\xe8", peer(Some(1000), "")),
        (b"\x0f\xa0bye", peer(Some(4000), "bye")),
    ] {
        let mut connection =
            open([bytes([text("last"), frame(CLOSE, true, payload), text("late")].concat())]);
        assert_eq!(texts(&drain(&mut connection)), ["last"]);
        assert_eq!(connection.close_reason(), Some(&reason));
        assert_eq!(client_frames(&connection.stream().written), [(CLOSE, payload.to_vec())]);
        assert_eq!(connection.counters().errors(ErrorKind::ClosedByPeer), 1);
    }
}

#[test]
fn an_answer_to_a_close_that_cannot_be_written_has_a_deadline() {
    let mut connection = open([bytes(frame(CLOSE, true, b"\x03\xe8"))]);
    connection.stream().room = 1;
    poll(&mut connection, T0, &mut vec![]);
    assert_eq!(connection.state(), State::Closing);
    poll(&mut connection, T0 + (NS_PER_SEC - 1), &mut vec![]);
    assert_eq!(connection.state(), State::Closing);
    poll(&mut connection, T0 + NS_PER_SEC, &mut vec![]);
    assert_eq!(connection.close_reason(), Some(&peer(Some(1000), "")));
}

#[test]
fn our_close_waits_for_the_server_within_bounds() {
    let ends = [
        (vec![bytes(frame(CLOSE, true, b"\x03\xe8"))], CloseReason::Local),
        (vec![Step::End], CloseReason::Local),
        (vec![Step::Fail(io::ErrorKind::ConnectionReset)], CloseReason::Local),
        (vec![], CloseReason::Unconfirmed),
    ];
    for (last, expected) in ends {
        let mut connection = open([bytes(text("late"))]);
        connection.close(T0);
        connection.close(T0); // once is enough
        assert_eq!(connection.send_text(b"x"), Err(SendError::NotOpen));
        let mut messages = vec![];
        poll(&mut connection, T0, &mut messages);
        assert_eq!((texts(&messages), connection.state()), (vec!["late"], State::Closing));
        connection.stream().steps.extend(last);
        poll(&mut connection, T0 + (NS_PER_SEC - 1), &mut messages);
        poll(&mut connection, T0 + NS_PER_SEC, &mut messages);
        assert_eq!(connection.close_reason(), Some(&expected));
        assert_eq!(client_frames(&connection.stream().written), [(CLOSE, 1000u16.to_be_bytes().to_vec())]);
        assert_eq!(connection.counters().errors_total(), u64::from(expected == CloseReason::Unconfirmed));
    }
}

#[test]
fn a_stream_that_ends_or_fails_ends_the_connection_after_its_frames() {
    let stream = || bytes([text("whole"), text("part")[..3].to_vec()].concat());
    for (step, expected, kind) in [
        (Step::End, CloseReason::Eof, ErrorKind::Eof),
        (
            Step::Fail(io::ErrorKind::ConnectionReset),
            CloseReason::Io(io::ErrorKind::ConnectionReset),
            ErrorKind::Io,
        ),
    ] {
        let mut connection = open([stream(), step]);
        assert_eq!(texts(&drain(&mut connection)), ["whole"]);
        assert_eq!(connection.close_reason(), Some(&expected));
        assert_eq!(connection.counters().errors(kind), 1);
    }
}

#[test]
fn staleness_counts_from_the_last_byte_and_frames_from_the_last_frame() {
    let at = |s: i64| T0 + s * NS_PER_SEC;
    let mut connection = open([Step::Wait, bytes(text("x")), Step::Wait, bytes(frame(PING, true, b""))]);
    for second in 1..=4 {
        poll(&mut connection, at(second), &mut vec![]);
    }
    let times: [TimeNs; 3] = [connection.opened_ns(), connection.last_frame_ns(), connection.last_recv_ns()];
    assert_eq!(times, [T0, at(2), at(4)]);
    assert!(!connection.is_stale(at(9), 5 * NS_PER_SEC));
    assert!(connection.is_stale(at(9) + 1, 5 * NS_PER_SEC));
}

/// A message as a server may send it: its fragments' lengths, and where control frames come.
#[derive(Clone, Debug)]
struct Sent {
    text: bool,
    payload: Vec<u8>,
    pieces: Vec<prop::sample::Index>,
    ping: Option<Vec<u8>>,
}

impl Sent {
    fn kind(&self) -> FrameKind {
        if self.text { FrameKind::Text } else { FrameKind::Binary }
    }

    fn frames(&self) -> Vec<u8> {
        let mut cuts: Vec<usize> = self.pieces.iter().map(|at| at.index(self.payload.len() + 1)).collect();
        cuts.extend([0, self.payload.len()]);
        cuts.sort_unstable();
        let opcode = if self.text { TEXT } else { BINARY };
        let last = cuts.len() - 2;
        let mut bytes = vec![];
        for (n, cut) in cuts.windows(2).enumerate() {
            bytes.extend(frame(if n == 0 { opcode } else { 0 }, n == last, &self.payload[cut[0]..cut[1]]));
            bytes.extend(self.ping.iter().flat_map(|ping| frame(PING, true, ping)));
        }
        bytes
    }
}

fn sent() -> impl Strategy<Value = Sent> {
    let payload = prop_oneof![
        (Just(true), ".{0,40}".prop_map(String::into_bytes)),
        (Just(true), (0usize..5_000).prop_map(|n| vec![b'x'; n])),
        (Just(false), prop::collection::vec(any::<u8>(), 0..300)),
        (Just(false), (65_000usize..66_000).prop_map(|n| vec![0; n])),
    ];
    let pieces = prop::collection::vec(any::<prop::sample::Index>(), 0..4);
    let ping = prop::option::of(prop::collection::vec(any::<u8>(), 0..=125));
    (payload, pieces, ping).prop_map(|((text, payload), pieces, ping)| Sent { text, payload, pieces, ping })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn any_stream_cut_anywhere_is_the_messages_sent(
        sent in prop::collection::vec(sent(), 0..8),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let stream: Vec<u8> = sent.iter().flat_map(Sent::frames).collect();
        let mut cuts: Vec<usize> = cuts.iter().map(|at| at.index(stream.len() + 1)).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let chunks = cuts.windows(2).map(|cut| &stream[cut[0]..cut[1]]).filter(|chunk| !chunk.is_empty());
        let steps: Vec<Step> = chunks.flat_map(|chunk| [bytes(chunk), Step::Wait]).collect();
        let mut connection = open_with(Limits { frame_bytes_max: 70_000, ..Limits::default() }, steps);
        let messages = drain(&mut connection);
        prop_assert_eq!(connection.state(), State::Open);
        let expected: Messages = sent.iter().map(|sent| (sent.kind(), sent.payload.clone())).collect();
        prop_assert_eq!(messages, expected);
        let pongs: Vec<_> = client_frames(&connection.stream().written);
        prop_assert!(pongs.iter().all(|(opcode, _)| *opcode == PONG));
        let pings = sent.iter().filter_map(|sent| Some((sent.ping.clone()?, sent.pieces.len() + 1)));
        let pings: Vec<_> = pings.flat_map(|(ping, n)| vec![(PONG, ping); n]).collect();
        prop_assert_eq!(pongs, pings, "a socket with room is told at once");
    }
}
