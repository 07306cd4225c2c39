//! Frames to messages: fragments joined, control frames checked.

use fastwebsockets::{CloseCode, Frame, OpCode};

use super::error::{CloseReason, Violation};

/// RFC 6455 §5.5.
pub(super) const CONTROL_BYTES_MAX: usize = 125;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// Checked to be UTF-8.
    Text,
    Binary,
}

/// What a frame amounts to.
#[derive(Debug, PartialEq)]
pub(super) enum Message<'a> {
    Data {
        kind: FrameKind,
        payload: &'a [u8],
        fragmented: bool,
    },
    /// A fragment was kept; more are to come.
    Part,
    Ping(&'a [u8]),
    Pong,
    Close(&'a [u8]),
}

/// Joins the fragments of one message at a time; control frames may come between them.
pub(super) struct Assembler {
    joined: Vec<u8>,
    bytes_max: usize,
    /// Of the message whose end has not come.
    kind: Option<FrameKind>,
}

impl Assembler {
    pub fn new(bytes_max: usize) -> Assembler {
        Assembler { joined: Vec::with_capacity(bytes_max), bytes_max, kind: None }
    }

    pub fn take<'a>(&'a mut self, frame: &'a Frame<'_>) -> Result<Message<'a>, Violation> {
        let payload: &[u8] = &frame.payload;
        let control = |message| {
            if payload.len() > CONTROL_BYTES_MAX { Err(Violation::ControlTooLong) } else { Ok(message) }
        };
        match frame.opcode {
            OpCode::Text => self.first(FrameKind::Text, frame.fin, payload),
            OpCode::Binary => self.first(FrameKind::Binary, frame.fin, payload),
            OpCode::Continuation => self.next(frame.fin, payload),
            OpCode::Ping => control(Message::Ping(payload)),
            OpCode::Pong => control(Message::Pong),
            OpCode::Close => control(Message::Close(payload)),
        }
    }

    fn first<'a>(&mut self, kind: FrameKind, fin: bool, payload: &'a [u8]) -> Result<Message<'a>, Violation> {
        if self.kind.is_some() {
            return Err(Violation::Interrupted);
        }
        if fin {
            return Ok(Message::Data { kind, payload, fragmented: false });
        }
        self.kind = Some(kind);
        self.joined.clear();
        self.keep(payload)?;
        Ok(Message::Part)
    }

    fn next(&mut self, fin: bool, payload: &[u8]) -> Result<Message<'_>, Violation> {
        let kind = self.kind.ok_or(Violation::Continuation)?;
        self.keep(payload)?;
        if !fin {
            return Ok(Message::Part);
        }
        self.kind = None;
        if kind == FrameKind::Text && std::str::from_utf8(&self.joined).is_err() {
            return Err(Violation::Utf8);
        }
        Ok(Message::Data { kind, payload: &self.joined, fragmented: true })
    }

    /// Never beyond the capacity, so that it never grows.
    fn keep(&mut self, payload: &[u8]) -> Result<(), Violation> {
        if payload.len() > self.bytes_max - self.joined.len() {
            return Err(Violation::MessageTooLong);
        }
        self.joined.extend_from_slice(payload);
        Ok(())
    }
}

/// Status and text of the server's close frame (RFC 6455 §5.5.1, §7.4).
pub(super) fn parse_close(payload: &[u8]) -> Result<CloseReason, Violation> {
    let (code, text) = match payload {
        [] => (None, &[][..]),
        [high, low, text @ ..] => (Some(u16::from_be_bytes([*high, *low])), text),
        [_] => return Err(Violation::Close),
    };
    if code.is_some_and(|code| !CloseCode::from(code).is_allowed()) {
        return Err(Violation::Close);
    }
    let text = std::str::from_utf8(text).map_err(|_| Violation::Utf8)?;
    Ok(CloseReason::Peer { code, text: text.into() })
}
