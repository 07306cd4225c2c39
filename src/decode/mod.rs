//! Frames to events.
//!
//! [`Decoder::decode`] takes one websocket text frame of the Binance USD-M dialect, raw
//! (`{"e":…}`) or combined (`{"stream":…,"data":{…}}`), and gives one event, a reason to skip the
//! frame, or a typed [`Fault`]. Hostile bytes get a fault: nothing here panics, recurses or grows
//! with the input. `docs/FRAMES.md` lists what each event keeps.
//!
//! simd-json is the decoder of record. It writes into a tape, a copy of the frame and work buffers
//! that are all made for the largest frame at the start, so that no frame allocates. Before it comes a
//! reader of the venue's usual layouts ([`fast`]), which answers most frames at a sixth of the price,
//! with the same event, and leaves every other to it.

mod envelope;
mod events;
mod fast;
mod fault;
mod fields;
mod instruments;
#[cfg(test)]
mod tests;

use std::mem;

use simd_json::{Buffers, Tape};

use crate::event::{Event, InstrumentTable};
use crate::num::TimeNs;
use envelope::{Route, route};
use fast::Fast;
pub use fault::{Excerpt, Expected, Fault};
use instruments::Instruments;

/// Nesting the parser follows. The venue's frames nest four deep; the rest is for keys to come.
const DEPTH_MAX: usize = 32;

/// What a frame says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Decoded {
    Event(Event),
    Skipped(Skip),
}

/// A well-formed frame that is no market event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skip {
    /// An order book snapshot from REST, which recorders put between the frames.
    RestSnapshot,
    /// The venue's answer to a subscription request.
    Reply,
    /// The venue's refusal of a request.
    ErrorReply,
}

impl Skip {
    pub const ALL: [Skip; 3] = [Skip::RestSnapshot, Skip::Reply, Skip::ErrorReply];

    pub const fn as_str(self) -> &'static str {
        match self {
            Skip::RestSnapshot => "rest_snapshot",
            Skip::Reply => "reply",
            Skip::ErrorReply => "error_reply",
        }
    }
}

/// Turns frames into events; keeps the buffers that make it allocation-free.
pub struct Decoder {
    fast: Fast,
    fast_frames: u64,
    instruments: Instruments,
    /// The frame, copied because the parser resolves escapes in place, and its padding.
    input: Vec<u8>,
    buffers: Buffers,
    /// Empty between frames; only its memory is kept.
    tape: Tape<'static>,
    frame_bytes_max: usize,
}

impl Decoder {
    /// A decoder for these instruments and frames of up to `frame_bytes_max` bytes. Holds about 40
    /// bytes of memory per byte of that: the worst frame has a tape node for every byte.
    pub fn new(instruments: &InstrumentTable, frame_bytes_max: usize) -> Decoder {
        let mut decoder = Decoder {
            fast: Fast::new(instruments),
            fast_frames: 0,
            instruments: Instruments::new(instruments),
            input: vec![0; frame_bytes_max.saturating_add(simd_json::INPUT_PADDING)],
            buffers: Buffers::with_max_depth(frame_bytes_max, DEPTH_MAX),
            tape: Tape(Vec::with_capacity(frame_bytes_max)),
            frame_bytes_max,
        };
        // The parser grows its index of structural characters as it meets them: a frame of nothing
        // else makes it as large as it can get.
        let _ = decoder.by_tape(TimeNs(0), &vec![b','; frame_bytes_max]);
        decoder
    }

    /// Decodes one frame. `recv_ns` becomes the event's.
    ///
    /// # Errors
    /// A [`Fault`] for every frame that is neither an event of the table's instruments nor one of
    /// the [`Skip`] kinds; [`Fault::event`] makes the event that journals it.
    #[inline]
    pub fn decode(&mut self, recv_ns: TimeNs, frame: &[u8]) -> Result<Decoded, Fault> {
        match self.decode_fast(recv_ns, frame) {
            Some(event) => {
                self.fast_frames += 1;
                Ok(Decoded::Event(event))
            }
            None => self.decode_of_record(recv_ns, frame),
        }
    }

    /// How many frames [`Decoder::decode`] has answered without the decoder of record.
    pub fn fast_frames(&self) -> u64 {
        self.fast_frames
    }

    /// The event of a frame in one of the venue's usual layouts; `None` for every other frame. What it
    /// answers is what [`Decoder::decode_of_record`] answers.
    #[inline]
    pub fn decode_fast(&self, recv_ns: TimeNs, frame: &[u8]) -> Option<Event> {
        if frame.len() > self.frame_bytes_max { None } else { self.fast.decode(recv_ns, frame) }
    }

    /// [`Decoder::decode`] by the parser alone: whatever answers before it must give the same result.
    ///
    /// # Errors
    /// As [`Decoder::decode`].
    #[inline(never)]
    pub fn decode_of_record(&mut self, recv_ns: TimeNs, frame: &[u8]) -> Result<Decoded, Fault> {
        if frame.is_empty() || frame.len() > self.frame_bytes_max {
            return Err(Fault::size(frame, self.frame_bytes_max));
        }
        self.by_tape(recv_ns, frame)
    }

    fn by_tape(&mut self, recv_ns: TimeNs, frame: &[u8]) -> Result<Decoded, Fault> {
        let Some(copy) = self.input.get_mut(..frame.len()) else {
            return Err(Fault::size(frame, self.frame_bytes_max));
        };
        copy.copy_from_slice(frame);
        // An empty tape may take any lifetime: this frame's now, and 'static again below.
        let mut tape = mem::replace(&mut self.tape, Tape(Vec::new())).reset();
        let parsed = simd_json::fill_tape_padded(&mut self.input, frame.len(), &mut self.buffers, &mut tape);
        let decoded = match parsed {
            Ok(()) => self.instruments.walk(recv_ns, &tape),
            Err(error) => Err(Fault::json(frame, &error)),
        };
        self.tape = tape.reset();
        decoded
    }
}

impl Instruments {
    /// From the parsed frame to the event.
    fn walk(&self, recv_ns: TimeNs, tape: &Tape) -> Result<Decoded, Fault> {
        match route(tape.as_value())? {
            Route::Skip(skip) => Ok(Decoded::Skipped(skip)),
            Route::Event(channel, object) => {
                let (instrument, body) = events::read(channel, &object, self)
                    .map_err(|fault| fault.within(channel.event_type()))?;
                Ok(Decoded::Event(Event { recv_ns, instrument, body }))
            }
        }
    }
}
