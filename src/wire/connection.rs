//! An open websocket, advanced by the thread that polls it.

use std::io::{Read, Write};

use fastwebsockets::Frame;

use crate::num::{NS_PER_SEC, TimeNs};

use super::connector::OpenConnection;
use super::counters::Counters;
use super::error::{CloseReason, SendError};
use super::message::{Assembler, CONTROL_BYTES_MAX, FrameKind, Message, parse_close};
use super::outbound::Outbound;
use super::reader::{CHUNK_BYTES, FrameReader};
use super::transport::{Received, Transport};

/// Close frames of ours: RFC 6455 §7.4.1.
const NORMAL_CLOSURE: u16 = 1000;
/// A larger frame limit than this is a mistake: each connection holds four times the limit.
const FRAME_BYTES_CEILING: usize = 16 << 20;

/// The bounds of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest message, in one frame or in fragments; the connection ends at a larger one. A
    /// connection holds four times this in buffers.
    pub frame_bytes_max: usize,
    /// Most bytes that wait to be written, headers included.
    pub send_bytes_max: usize,
    /// Frames a poll takes in, control frames and fragments included, and reads it makes.
    pub frames_per_poll: u32,
    /// How long a close may wait for the server, in nanoseconds.
    pub closing_ns_max: i64,
}

impl Default for Limits {
    /// 64 KiB holds the largest depth frame seen (46 kB) and is what the decoder takes; 16 frames keep
    /// one connection from starving the others.
    fn default() -> Self {
        Limits {
            frame_bytes_max: 64 * 1024,
            send_bytes_max: 64 * 1024,
            frames_per_poll: 16,
            closing_ns_max: NS_PER_SEC,
        }
    }
}

/// One whole message. Its payload is lent for the call: copy what must outlive it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameRef<'a> {
    /// The time the poll was given.
    pub recv_ns: TimeNs,
    pub kind: FrameKind,
    pub payload: &'a [u8],
}

/// What a poll did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Messages handed out.
    pub frames: u32,
    /// The budget ran out before the socket did: there may be more at once.
    pub more: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Open,
    /// A close frame was sent or is about to be; messages may still arrive.
    Closing,
    Closed,
}

enum Phase {
    Open,
    /// Ours is sent; the server's is awaited.
    Closing {
        since: TimeNs,
    },
    /// The server's came; our answer is being written.
    Answering {
        since: TimeNs,
        reason: CloseReason,
    },
    Closed(CloseReason),
}

/// A websocket connection that never blocks and, over plain TCP, does not allocate after it is made.
///
/// Over TLS rustls allocates once for each record read or written. Making and dropping a connection
/// allocates and frees its buffers: both are for the helper thread; the connection is `Send`.
pub struct Connection<S> {
    transport: Transport<S>,
    reader: FrameReader,
    assembler: Assembler,
    outbound: Outbound,
    chunk: Box<[u8]>,
    phase: Phase,
    limits: Limits,
    opened_ns: TimeNs,
    last_recv_ns: TimeNs,
    last_frame_ns: TimeNs,
    counters: Counters,
}

impl<S: Read + Write> Connection<S> {
    /// `now` counts as the time of the last receipt until there is one.
    pub fn new(open: OpenConnection<S>, now: TimeNs) -> Connection<S> {
        let OpenConnection { transport, prefix, mut limits, mask_seed } = open;
        limits.frame_bytes_max = limits.frame_bytes_max.clamp(CONTROL_BYTES_MAX, FRAME_BYTES_CEILING);
        limits.frames_per_poll = limits.frames_per_poll.max(1);
        let mut reader = FrameReader::new(limits.frame_bytes_max);
        reader.feed(&prefix);
        let mut counters = Counters::default();
        counters.received_bytes += prefix.len() as u64;
        Connection {
            transport,
            reader,
            assembler: Assembler::new(limits.frame_bytes_max),
            outbound: Outbound::new(limits.send_bytes_max.min(FRAME_BYTES_CEILING), mask_seed),
            chunk: vec![0; CHUNK_BYTES].into_boxed_slice(),
            phase: Phase::Open,
            limits,
            opened_ns: now,
            last_recv_ns: now,
            last_frame_ns: now,
            counters,
        }
    }

    /// Reads, hands whole messages to `sink`, answers pings and closes, writes what waits: one poll's
    /// share of each. Call it until the state is [`State::Closed`].
    pub fn poll(&mut self, now: TimeNs, sink: &mut impl FnMut(FrameRef<'_>)) -> Progress {
        let mut progress = Progress::default();
        if self.state() != State::Closed
            && let Err(reason) = self.advance(now, sink, &mut progress)
        {
            self.end(reason);
        }
        progress
    }

    fn advance(
        &mut self,
        now: TimeNs,
        sink: &mut impl FnMut(FrameRef<'_>),
        progress: &mut Progress,
    ) -> Result<(), CloseReason> {
        self.flush()?;
        let (mut frames, mut reads) = (self.limits.frames_per_poll, self.limits.frames_per_poll);
        let mut drained = false;
        while !matches!(self.phase, Phase::Answering { .. }) {
            if frames == 0 {
                progress.more = true;
                break;
            }
            if let Some(frame) = self.reader.next()? {
                frames -= 1;
                self.take(now, &frame, sink, progress)?;
            } else if drained {
                break;
            } else if reads == 0 {
                progress.more = true;
                break;
            } else {
                reads -= 1;
                drained = self.receive(now)?;
            }
        }
        self.check_closing(now)
    }

    /// One read. `true` if the socket has no more for now.
    fn receive(&mut self, now: TimeNs) -> Result<bool, CloseReason> {
        match self.transport.read(&mut self.chunk) {
            Ok(Received::Bytes { count, drained }) => {
                self.last_recv_ns = now;
                self.counters.received_bytes += count as u64;
                self.reader.feed(self.chunk.get(..count).unwrap_or_default());
                Ok(drained)
            }
            Ok(Received::Nothing) => Ok(true),
            Ok(Received::End) => Err(CloseReason::Eof),
            Err(fault) => Err(fault.into()),
        }
    }

    fn take(
        &mut self,
        now: TimeNs,
        frame: &Frame<'_>,
        sink: &mut impl FnMut(FrameRef<'_>),
        progress: &mut Progress,
    ) -> Result<(), CloseReason> {
        match self.assembler.take(frame)? {
            Message::Data { kind, payload, fragmented } => {
                self.last_frame_ns = now;
                progress.frames += 1;
                self.counters.frames += 1;
                self.counters.frame_bytes += payload.len() as u64;
                self.counters.fragmented += u64::from(fragmented);
                sink(FrameRef { recv_ns: now, kind, payload });
                Ok(())
            }
            Message::Part => Ok(()),
            Message::Pong => {
                self.counters.pongs_received += 1;
                Ok(())
            }
            Message::Ping(payload) => {
                self.counters.pings += 1;
                if matches!(self.phase, Phase::Open) {
                    self.counters.pings_superseded += u64::from(self.outbound.pong(payload));
                    self.flush()?;
                }
                Ok(())
            }
            Message::Close(payload) => {
                let reason = parse_close(payload)?;
                if matches!(self.phase, Phase::Closing { .. }) {
                    return Err(CloseReason::Local);
                }
                self.outbound.close(payload);
                self.phase = Phase::Answering { since: now, reason };
                self.flush()
            }
        }
    }

    /// Writes what the socket takes now.
    fn flush(&mut self) -> Result<(), CloseReason> {
        loop {
            self.counters.pongs += u64::from(self.outbound.release_pong());
            let pending = self.outbound.pending();
            if pending.is_empty() {
                return self.transport.flush().map(|_| ()).map_err(CloseReason::from);
            }
            match self.transport.write(pending)? {
                0 => return Ok(()),
                count => self.outbound.advance(count),
            }
        }
    }

    fn check_closing(&mut self, now: TimeNs) -> Result<(), CloseReason> {
        let overdue = |since: TimeNs| now.since(since) >= self.limits.closing_ns_max;
        match &self.phase {
            Phase::Closing { since } if overdue(*since) => Err(CloseReason::Unconfirmed),
            Phase::Answering { since, reason } => {
                let answered = self.outbound.is_empty() && self.transport.flush()?;
                if answered || overdue(*since) { Err(reason.clone()) } else { Ok(()) }
            }
            _ => Ok(()),
        }
    }

    /// Closed from here on. A server that broke the protocol is told, if the socket takes it.
    #[cold]
    fn end(&mut self, reason: CloseReason) {
        let reason = match (&self.phase, reason) {
            // What the server said outweighs what became of our answer.
            (Phase::Answering { reason, .. }, _) => reason.clone(),
            // Servers may hang up in answer to a close.
            (Phase::Closing { .. }, CloseReason::Eof | CloseReason::Io(_) | CloseReason::Tls(_)) => {
                CloseReason::Local
            }
            (Phase::Open, CloseReason::Protocol(violation)) => {
                self.outbound.close(&violation.close_code().to_be_bytes());
                let _ = self.flush();
                CloseReason::Protocol(violation)
            }
            (_, reason) => reason,
        };
        self.transport.end();
        if let Some(kind) = reason.kind() {
            self.counters.count_error(kind);
        }
        self.phase = Phase::Closed(reason);
    }

    /// Queues a text message, which must be UTF-8, and writes what the socket takes at once; the rest
    /// goes out with the next polls.
    ///
    /// # Errors
    /// [`SendError::Full`] if too much waits, or a pong does: nothing is taken, try after a poll.
    pub fn send_text(&mut self, payload: &[u8]) -> Result<(), SendError> {
        if !matches!(self.phase, Phase::Open) {
            return Err(SendError::NotOpen);
        }
        self.outbound.text(payload)?;
        self.counters.sent += 1;
        if let Err(reason) = self.flush() {
            self.end(reason);
            return Err(SendError::NotOpen);
        }
        Ok(())
    }

    /// Asks the server for a pong, counted when it comes, and writes as [`Connection::send_text`] does.
    ///
    /// # Errors
    /// As those of [`Connection::send_text`].
    pub fn ping(&mut self) -> Result<(), SendError> {
        if !matches!(self.phase, Phase::Open) {
            return Err(SendError::NotOpen);
        }
        self.outbound.ping()?;
        self.counters.pings_sent += 1;
        if let Err(reason) = self.flush() {
            self.end(reason);
            return Err(SendError::NotOpen);
        }
        Ok(())
    }

    /// Begins to close. Messages on their way are still handed out until the server confirms or
    /// `closing_ns_max` has passed.
    pub fn close(&mut self, now: TimeNs) {
        if !matches!(self.phase, Phase::Open) {
            return;
        }
        self.outbound.close(&NORMAL_CLOSURE.to_be_bytes());
        self.phase = Phase::Closing { since: now };
        if let Err(reason) = self.flush() {
            self.end(reason);
        }
    }

    pub fn state(&self) -> State {
        match self.phase {
            Phase::Open => State::Open,
            Phase::Closing { .. } | Phase::Answering { .. } => State::Closing,
            Phase::Closed(_) => State::Closed,
        }
    }

    /// Why it is closed, once it is.
    pub fn close_reason(&self) -> Option<&CloseReason> {
        match &self.phase {
            Phase::Closed(reason) => Some(reason),
            _ => None,
        }
    }

    /// Nothing at all, pings included, has arrived for more than `limit_ns`.
    pub fn is_stale(&self, now: TimeNs, limit_ns: i64) -> bool {
        now.since(self.last_recv_ns) > limit_ns
    }

    pub fn opened_ns(&self) -> TimeNs {
        self.opened_ns
    }

    /// When bytes last arrived.
    pub fn last_recv_ns(&self) -> TimeNs {
        self.last_recv_ns
    }

    /// When a message was last handed out: a feed that only pings is alive and dead at once.
    pub fn last_frame_ns(&self) -> TimeNs {
        self.last_frame_ns
    }

    /// Bytes of frames that wait for the socket.
    pub fn unsent_bytes(&self) -> usize {
        self.outbound.pending().len()
    }

    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The stream, to register it where a thread waits instead of polling.
    pub fn stream(&mut self) -> &mut S {
        self.transport.stream()
    }
}
