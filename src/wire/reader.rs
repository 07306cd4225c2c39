//! Bytes to websocket frames, by fastwebsockets without a runtime.
//!
//! `WebSocket::read_frame` takes a frame's header off its buffer before the payload has arrived, so a
//! read that is dropped half-way loses it. The parser is therefore one future for the life of the
//! connection, which owns the websocket and is polled with a waker that does nothing: no bytes is
//! `Pending`. Bytes go in and frames come out by two single-producer single-consumer queues, which
//! keeps the socket outside (TLS and writes need it too) and the whole thing `Send` without a lock.
//!
//! No frame allocates: a payload is a slice of the parser's buffer. That buffer grows when it must,
//! and `bytes` moves its rest to the front only if that is shorter than what was consumed. With `L` the
//! most that can lie in it (an unfinished frame and one chunk) and `A` the most asked for on top (a
//! payload and a header), a capacity of `2L + A` never has to grow; a first made-up frame of that
//! size, before the server's bytes, makes it so and touches its pages.
//!
//! What fastwebsockets does not tell: whether a length was written in its shortest form (RFC 6455
//! §5.2). A longer form is taken.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use fastwebsockets::{Frame, Role, WebSocket, WebSocketError};
use rtrb::{Consumer, Producer, RingBuffer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::error::Violation;

/// The most bytes fed at once: one read, one TLS record.
pub(super) const CHUNK_BYTES: usize = 16 * 1024;
const HEADER_BYTES_MAX: usize = 14;

type Parser = Pin<Box<dyn Future<Output = WebSocketError> + Send>>;

pub(super) struct FrameReader {
    bytes: Producer<u8>,
    frames: Consumer<Frame<'static>>,
    parser: Parser,
    failed: Option<Violation>,
}

impl FrameReader {
    /// `frame_bytes_max`: largest payload of one frame.
    pub fn new(frame_bytes_max: usize) -> FrameReader {
        let (bytes, inlet) = RingBuffer::new(CHUNK_BYTES);
        let (outlet, frames) = RingBuffer::new(1);
        let primer_bytes = 3 * frame_bytes_max + 2 * (CHUNK_BYTES + HEADER_BYTES_MAX);
        let parser = Box::pin(parse(Inlet(inlet), outlet, frame_bytes_max, primer_bytes));
        let mut reader = FrameReader { bytes, frames, parser, failed: None };
        reader.prime(primer_bytes);
        reader
    }

    fn prime(&mut self, primer_bytes: usize) {
        let mut header = [0x82, 127, 0, 0, 0, 0, 0, 0, 0, 0];
        header[2..].copy_from_slice(&(primer_bytes as u64).to_be_bytes());
        self.feed(&header);
        let mut rest = primer_bytes;
        while rest > 0 {
            let _ = self.next(); // drains the queue; there is no frame yet
            let chunk = rest.min(CHUNK_BYTES);
            self.feed(&[0; CHUNK_BYTES][..chunk]);
            rest -= chunk;
        }
        let _ = self.next(); // the parser drops the made-up frame itself
    }

    /// Takes bytes of the stream, at most [`CHUNK_BYTES`], after [`FrameReader::next`] said that there
    /// is no frame: then the queue is empty.
    pub fn feed(&mut self, bytes: &[u8]) {
        let taken = self.bytes.push_entire_slice(bytes);
        assert!(taken.is_ok(), "fed before the last chunk was parsed");
    }

    /// The next frame, or `None` if it has not all arrived. Drop it before the next call: its payload
    /// is in the parser's buffer.
    pub fn next(&mut self) -> Result<Option<Frame<'static>>, Violation> {
        if let Some(violation) = self.failed {
            return Err(violation);
        }
        let mut context = Context::from_waker(Waker::noop());
        if let Poll::Ready(error) = self.parser.as_mut().poll(&mut context) {
            let violation = violation(&error);
            self.failed = Some(violation);
            return Err(violation);
        }
        let Ok(mut frame) = self.frames.pop() else { return Ok(None) };
        if is_masked(&mut frame) {
            self.failed = Some(Violation::Masked);
            return Err(Violation::Masked);
        }
        Ok(Some(frame))
    }
}

/// Frame after frame, each handed over before the next is read. Ends only with an error.
async fn parse(
    inlet: Inlet,
    mut outlet: Producer<Frame<'static>>,
    frame_bytes_max: usize,
    primer_bytes: usize,
) -> WebSocketError {
    // Of the roles only this one unmasks, so that a masked frame is refused for its mask and not for
    // the UTF-8 it isn't. Nothing is written by this websocket.
    let mut websocket = WebSocket::after_handshake(inlet, Role::Server);
    websocket.set_auto_close(false);
    websocket.set_auto_pong(false);
    websocket.set_max_message_size(primer_bytes + 1); // the first size refused
    if let Err(error) = websocket.read_frame().await {
        return error;
    }
    websocket.set_max_message_size(frame_bytes_max + 1);
    loop {
        match websocket.read_frame().await {
            Ok(frame) => {
                let pushed = outlet.push(frame);
                assert!(pushed.is_ok(), "the place for a frame is free before one is read");
            }
            Err(error) => return error,
        }
        let taken = &mut outlet; // unshared: the queue's ends are `Send`, not `Sync`
        poll_fn(move |_| if taken.is_full() { Poll::Pending } else { Poll::Ready(()) }).await;
    }
}

/// The mask is private to the frame; the header it would be written with is not.
fn is_masked(frame: &mut Frame<'_>) -> bool {
    let mut header = [0; HEADER_BYTES_MAX + 2];
    frame.fmt_head(&mut header);
    header[1] & 0x80 != 0
}

fn violation(error: &WebSocketError) -> Violation {
    match error {
        WebSocketError::ReservedBitsNotZero => Violation::ReservedBits,
        WebSocketError::InvalidValue => Violation::Opcode,
        WebSocketError::ControlFrameFragmented => Violation::ControlFragmented,
        WebSocketError::PingFrameTooLarge => Violation::ControlTooLong,
        WebSocketError::FrameTooLarge => Violation::FrameTooLong,
        WebSocketError::InvalidUTF8 => Violation::Utf8,
        // What is left belongs to handshakes and sockets, and this websocket has neither.
        _ => Violation::Parser,
    }
}

/// What the parser reads from: the queue; empty is `Pending`, never an end.
struct Inlet(Consumer<u8>);

impl AsyncRead for Inlet {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let queue = &mut self.get_mut().0;
        let Ok(chunk) = queue.read_chunk(queue.slots().min(buffer.remaining())) else { return Poll::Pending };
        if chunk.is_empty() {
            return Poll::Pending;
        }
        let (first, second) = chunk.as_slices();
        buffer.put_slice(first);
        buffer.put_slice(second);
        chunk.commit_all();
        Poll::Ready(Ok(()))
    }
}

/// Required by `read_frame` for the answers it gives unless told not to. It is told not to.
impl AsyncWrite for Inlet {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::Unsupported.into()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
