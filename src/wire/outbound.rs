//! What waits to be written: masked frames in a bounded buffer, and one pong.

use arrayvec::ArrayVec;
use fastwebsockets::{Frame, OpCode, Payload, unmask};
use rand_core::Rng as _;
use rand_pcg::Lcg64Xsh32;

use super::error::SendError;
use super::message::CONTROL_BYTES_MAX;

/// Two bytes, eight of length, four of mask; the formatter asks for two more.
const HEADER_BYTES_MAX: usize = 16;

/// Whole frames in order of sending, and the pong that follows them.
///
/// A pong waits until all before it is written. While it waits a newer ping takes its place, which RFC
/// 6455 §5.5.3 allows, and text is refused as [`SendError::Full`], so that it cannot starve.
pub(super) struct Outbound {
    buffer: Vec<u8>,
    written: usize,
    bytes_max: usize,
    pong: Option<ArrayVec<u8, CONTROL_BYTES_MAX>>,
    /// Masks keep scripts in browsers from choosing the bytes on the wire (RFC 6455 §10.3). Nobody
    /// chooses ours, so a seeded generator without system calls will do.
    masks: Lcg64Xsh32,
}

impl Outbound {
    /// `bytes_max`: of frames with their headers that wait to be written.
    pub fn new(bytes_max: usize, mask_seed: u64) -> Outbound {
        // Beside the messages there may be one pong and one close.
        let control = 2 * (CONTROL_BYTES_MAX + HEADER_BYTES_MAX);
        Outbound {
            buffer: Vec::with_capacity(bytes_max + control),
            written: 0,
            bytes_max,
            pong: None,
            masks: Lcg64Xsh32::new(mask_seed, 1),
        }
    }

    pub fn text(&mut self, payload: &[u8]) -> Result<(), SendError> {
        self.message(OpCode::Text, payload)
    }

    /// An empty one: what comes back is of the newest.
    pub fn ping(&mut self) -> Result<(), SendError> {
        self.message(OpCode::Ping, &[])
    }

    fn message(&mut self, opcode: OpCode, payload: &[u8]) -> Result<(), SendError> {
        let needed = payload.len().saturating_add(HEADER_BYTES_MAX);
        if needed > self.bytes_max {
            return Err(SendError::TooLong);
        }
        if self.pong.is_some() || needed > self.bytes_max.saturating_sub(self.pending().len()) {
            return Err(SendError::Full);
        }
        self.push(opcode, payload);
        Ok(())
    }

    /// Keeps a pong for the next [`Outbound::release_pong`]; `true` if it took another's place.
    pub fn pong(&mut self, payload: &[u8]) -> bool {
        // Control payloads were checked when they arrived.
        let pong = payload.iter().copied().take(CONTROL_BYTES_MAX).collect();
        self.pong.replace(pong).is_some()
    }

    /// Moves the pong behind what waits, if nothing does; `true` if it moved.
    pub fn release_pong(&mut self) -> bool {
        match self.pong.take_if(|_| self.buffer.is_empty()) {
            Some(payload) => {
                self.push(OpCode::Pong, &payload);
                true
            }
            None => false,
        }
    }

    /// The last frame there will be; a waiting pong is dropped for it. `payload`: a control frame's.
    pub fn close(&mut self, payload: &[u8]) {
        self.pong = None;
        self.push(OpCode::Close, payload);
    }

    pub fn pending(&self) -> &[u8] {
        self.buffer.get(self.written..).unwrap_or_default()
    }

    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty() && self.pong.is_none()
    }

    /// The first `count` pending bytes are written.
    pub fn advance(&mut self, count: usize) {
        self.written = self.written.saturating_add(count);
        if self.written >= self.buffer.len() {
            self.buffer.clear();
            self.written = 0;
        }
    }

    fn push(&mut self, opcode: OpCode, payload: &[u8]) {
        if self.buffer.len() + HEADER_BYTES_MAX + payload.len() > self.buffer.capacity() {
            self.buffer.drain(..self.written);
            self.written = 0;
        }
        let mask = self.masks.next_u32().to_ne_bytes();
        let mut header = [0; HEADER_BYTES_MAX];
        let length = Frame::new(true, opcode, Some(mask), Payload::Borrowed(payload)).fmt_head(&mut header);
        self.buffer.extend(header.iter().take(length));
        let start = self.buffer.len();
        self.buffer.extend_from_slice(payload);
        if let Some(masked) = self.buffer.get_mut(start..) {
            unmask(masked, mask); // XOR: the same both ways
        }
    }
}
