//! Why a frame was refused.

use std::fmt::{self, Write as _};

use simd_json::ErrorType;

use crate::event::{DecodeFault, Event, EventBody, FaultReason};
use crate::num::{Dec, DecError, TimeNs};

/// A refused frame: the reason, the key and value it lies in, and what would have been accepted.
/// Made on the hot path, so it owns no memory; it is formatted elsewhere.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fault {
    pub reason: FaultReason,
    /// The venue's event type, empty where the frame did not get that far.
    pub event_type: &'static str,
    /// The venue's key, empty where the fault is the frame's as a whole.
    pub key: &'static str,
    /// The refused value, or the frame around the fault.
    pub excerpt: Excerpt,
    pub expected: Expected,
}

/// What would have been accepted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Expected {
    Text(&'static str),
    /// A plain decimal number; the parser's complaint.
    Number(DecError),
    /// A multiple of this tick.
    Tick(Dec),
    /// A frame of one to this many bytes.
    Bytes(usize),
}

impl Fault {
    #[cold]
    pub(super) fn new(reason: FaultReason, key: &'static str, excerpt: Excerpt, expected: Expected) -> Fault {
        Fault { reason, event_type: "", key, excerpt, expected }
    }

    #[cold]
    pub(super) fn size(frame: &[u8], bytes_max: usize) -> Fault {
        let mut excerpt = Excerpt::EMPTY;
        // An excerpt never fails; what does not fit is cut.
        let _ = write!(excerpt, "{} bytes", frame.len());
        Fault::new(FaultReason::Size, "", excerpt, Expected::Bytes(bytes_max))
    }

    /// A frame the parser refused, from the byte it stopped at.
    #[cold]
    pub(super) fn json(frame: &[u8], error: &simd_json::Error) -> Fault {
        let near = frame.get(error.index()..).filter(|rest| !rest.is_empty()).unwrap_or(frame);
        let (reason, expected) = match error.error() {
            ErrorType::InvalidNumber => (FaultReason::BadValue, "a JSON number that fits 64 bits"),
            _ => (FaultReason::Syntax, "one JSON object in UTF-8"),
        };
        Fault::new(reason, "", Excerpt::of(near), Expected::Text(expected))
    }

    pub(super) fn within(self, event_type: &'static str) -> Fault {
        Fault { event_type, ..self }
    }

    /// The event that journals the refusal: the frame's head, length and checksum.
    pub fn event(&self, recv_ns: TimeNs, frame: &[u8]) -> Event {
        let mut head = [0; DecodeFault::HEAD_BYTES];
        let head_length = frame.len().min(head.len()); // within both slices below
        head[..head_length].copy_from_slice(&frame[..head_length]);
        let body = DecodeFault {
            bytes: u32::try_from(frame.len()).unwrap_or(u32::MAX),
            crc32c: crc32c::crc32c(frame),
            reason: self.reason,
            head_length: head_length as u8, // at most HEAD_BYTES
            head,
            pad: [0; 6],
        };
        Event::global(recv_ns, EventBody::DecodeFault(body))
    }
}

/// `off_tick: aggTrade p "63943.95": expected a multiple of the tick 0.1`
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.reason.as_str())?;
        for part in [self.event_type, self.key].into_iter().filter(|part| !part.is_empty()) {
            write!(f, " {part}")?;
        }
        if !self.excerpt.is_empty() {
            write!(f, " \"{}\"", self.excerpt)?;
        }
        write!(f, ": {}", self.expected)
    }
}

impl std::error::Error for Fault {}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expected::Text(text) => write!(f, "expected {text}"),
            Expected::Number(error) => write!(f, "expected a plain decimal number: {error}"),
            Expected::Tick(tick) => write!(f, "expected a multiple of the tick {tick}"),
            Expected::Bytes(max) => write!(f, "expected 1 to {max} bytes"),
        }
    }
}

/// The first bytes of something from outside, printable.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Excerpt {
    bytes: [u8; Excerpt::BYTES_MAX],
    length: u8,
    cut: bool,
}

impl Excerpt {
    /// Enough to recognise a number, a symbol or the head of a frame.
    pub const BYTES_MAX: usize = 40;
    pub(super) const EMPTY: Excerpt = Excerpt { bytes: [0; Self::BYTES_MAX], length: 0, cut: false };

    pub(super) fn of(bytes: &[u8]) -> Excerpt {
        let mut excerpt = Excerpt::EMPTY;
        excerpt.push(bytes);
        excerpt
    }

    fn push(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            match self.bytes.get_mut(usize::from(self.length)) {
                Some(slot) => {
                    *slot = byte;
                    self.length += 1;
                }
                None => {
                    self.cut = true;
                    return;
                }
            }
        }
    }

    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }
}

impl fmt::Write for Excerpt {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text.as_bytes());
        Ok(())
    }
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.bytes().escape_ascii(), if self.cut { "…" } else { "" })
    }
}

impl fmt::Debug for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
