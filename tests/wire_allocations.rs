//! What a poll allocates: nothing over plain TCP, once a record over TLS, which is rustls's.

mod wire_support;

use std::hint::black_box;
use std::io::{self, Read, Write};

use quantum_trader::host::alloc::{Counting, thread_allocations};
use quantum_trader::wire::{Connection, Limits, State};
use wire_support::{tls, *};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Repeats a recording for ever, in pieces of changing length, and forgets what is written.
struct Loop {
    recording: Vec<u8>,
    at: usize,
    answer: Vec<u8>,
    pieces: u64,
    waits: bool,
}

impl Loop {
    fn new(recording: Vec<u8>) -> Loop {
        Loop { recording, at: 0, answer: vec![], pieces: 1, waits: false }
    }
}

impl Read for Loop {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.answer.is_empty() {
            buffer[..self.answer.len()].copy_from_slice(&self.answer);
            return Ok(std::mem::take(&mut self.answer).len());
        }
        self.waits = !self.waits;
        if self.waits {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        // Knuth's MMIX generator: every length from a byte to the whole buffer.
        self.pieces =
            self.pieces.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let wanted =
            if self.pieces >> 62 == 0 { buffer.len() } else { 1 + (self.pieces >> 40) as usize % 5_000 };
        let count = wanted.min(buffer.len()).min(self.recording.len() - self.at);
        buffer[..count].copy_from_slice(&self.recording[self.at..self.at + count]);
        self.at = (self.at + count) % self.recording.len();
        Ok(count)
    }
}

impl Write for Loop {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.ends_with(b"\r\n\r\n") {
            self.answer = agree(&key(bytes));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Every size the venue sends and some it does not, fragments and pings between them.
fn recording() -> Vec<u8> {
    let sizes = [175, 180, 0, 240, 125, 126, 46_000, 176, 65_535, 65_536, 1, 177, 9_000, 16_384, 178];
    let mut bytes = vec![];
    for (n, size) in sizes.into_iter().cycle().take(600).enumerate() {
        let payload = vec![b'x'; if n % 4 == 0 { size } else { size % 300 }];
        match n % 50 {
            7 => bytes.extend(frame(PING, true, &payload[..payload.len().min(125)])),
            9 => {
                let (left, right) = payload.split_at(payload.len() / 3);
                bytes.extend(
                    [frame(TEXT, false, left), frame(PING, true, b"p"), frame(0, true, right)].concat(),
                );
            }
            _ => bytes.extend(frame(TEXT, true, &payload)),
        }
    }
    bytes
}

#[test]
fn a_hundred_thousand_frames_allocate_nothing() {
    let open = connector(Limits::default()).open_over(Loop::new(recording()), &"ws://a".parse().unwrap());
    let mut connection = Connection::new(open.unwrap(), T0);
    let (mut frames, mut payload_bytes) = (0, 0);
    let before = thread_allocations();
    while frames < 100_000 {
        connection.poll(T0, &mut |frame| {
            frames += 1;
            payload_bytes += black_box(frame.payload).len();
        });
        connection.send_text(b"{\"method\":\"order.place\"}").unwrap();
        if connection.state() != State::Open {
            break;
        }
    }
    let allocations = thread_allocations() - before;
    assert!(frames >= 100_000, "{:?}", connection.close_reason());
    assert!(connection.counters().pongs > 1_000 && connection.counters().fragmented > 1_000);
    assert_eq!(allocations, 0, "in {frames} frames of {payload_bytes} bytes");
}

#[test]
fn a_tls_record_costs_one_allocation() {
    let authority = tls::Authority::new("ours");
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let stream = tls::TlsStream::new(authority.server(&["venue.test"], &[version]));
        let connector = authority.connector(Limits::default());
        let open = connector.open_over(stream, &"wss://venue.test/ws".parse().unwrap()).unwrap();
        let mut connection = Connection::new(open, T0);
        const RECORDS: u64 = 20_000;
        let payload = "x".repeat(175);
        for _ in 0..RECORDS {
            connection.stream().send(&text(&payload));
        }
        let before = thread_allocations();
        let mut frames = 0;
        while frames < RECORDS && connection.state() == State::Open {
            connection.poll(T0, &mut |frame| {
                assert_eq!(frame.payload, payload.as_bytes());
                frames += 1;
            });
        }
        let allocations = thread_allocations() - before;
        eprintln!("{:?}: {allocations} allocations in {RECORDS} records", version.version);
        assert_eq!(frames, RECORDS);
        // Its queue of plain text and its read buffer grow a few times in the beginning.
        assert!((RECORDS..=RECORDS + 100).contains(&allocations), "{allocations}");
    }
}

#[test]
fn the_counter_counts() {
    let before = thread_allocations();
    drop(black_box(vec![0u8; 100]));
    assert_eq!(thread_allocations() - before, 1);
}
