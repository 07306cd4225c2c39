//! Events that are neither market nor execution: the run itself, time, the operator, and what the
//! loop learns about its own feeds and queues.

use bytemuck::{CheckedBitPattern, NoUninit};

use super::{Event, words};
use crate::num::{Dec, InstrumentId, Millis};

/// First record of every run.
#[derive(Clone, Copy, Debug, PartialEq, NoUninit, CheckedBitPattern)]
#[repr(C)]
pub struct RunStart {
    /// Simulated: derived from the inputs. At a venue elsewhere: of the epoch, which is never issued twice,
    /// and the settings.
    pub run_id: u64,
    /// Engine version; the build profile is left out, so debug and release agree.
    pub build_id: u64,
    /// High half of every order id of this start.
    pub epoch: u32,
    pub instruments: u32,
    /// A stop rests at the venue and owns STOP_LOSS. False where no venue is (scenario lines): STOP_LOSS
    /// fires at the price, no leverage is known but what is stated, and the breaker's closing waits
    /// for the command, since pending entries count as filled before it.
    pub resting_stops: bool,
    pub simulated: bool,
    /// The engine's own rule voters make signals at bar close.
    pub rule_voters: bool,
    pub pad: [u8; 5],
}

/// The run was closed in order; a journal without it was cut.
#[derive(Clone, Copy, Debug, PartialEq, NoUninit, CheckedBitPattern)]
#[repr(C)]
pub struct RunEnd {
    pub reason: EndReason,
    pub pad: [u8; 7],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, NoUninit, CheckedBitPattern)]
#[repr(u8)]
pub enum EndReason {
    /// The market data ended.
    MarketEnd = 1,
    /// The asked duration passed.
    Duration = 2,
    /// Ctrl-C or SIGTERM.
    Signal = 3,
    /// The market data could not be read on.
    MarketFault = 4,
}

/// A piece of the configuration: pieces in order make the TOML text in force.
#[derive(Clone, Copy, Debug, PartialEq, NoUninit, CheckedBitPattern)]
#[repr(C)]
pub struct ConfigText {
    pub piece: u16,
    pub pieces: u16,
    /// Bytes of `text` in use.
    pub length: u32,
    pub text: [u8; ConfigText::TEXT_BYTES],
}

impl ConfigText {
    pub const TEXT_BYTES: usize = 88;

    /// Splits a text into pieces, in order.
    pub fn split(text: &str) -> impl Iterator<Item = ConfigText> {
        let pieces = text.len().div_ceil(Self::TEXT_BYTES);
        text.as_bytes().chunks(Self::TEXT_BYTES).enumerate().map(move |(i, chunk)| {
            let mut bytes = [0; Self::TEXT_BYTES];
            bytes[..chunk.len()].copy_from_slice(chunk);
            // The settings are far below 65,535 × 88 bytes; saturation would show as a short text.
            ConfigText {
                piece: i.min(u16::MAX as usize) as u16,
                pieces: pieces.min(u16::MAX as usize) as u16,
                length: chunk.len() as u32,
                text: bytes,
            }
        })
    }

    pub fn bytes(&self) -> &[u8] {
        &self.text[..(self.length as usize).min(Self::TEXT_BYTES)]
    }
}

/// Time passes: drives deadlines, staleness and day boundaries between market events.
#[derive(Clone, Copy, Debug, PartialEq, NoUninit, CheckedBitPattern)]
#[repr(C)]
pub struct Timer {
    /// Ticks of this timer so far.
    pub count: u64,
}

words! {
    /// What the operator can ask for.
    CommandKind {
        /// Nothing but cancels, protective orders and closing what is unprotected.
        Halt = 1 "halt",
        /// Exits only.
        Reduce = 2 "reduce",
        /// Trade again.
        Resume = 3 "resume",
        /// Close every position.
        Flatten = 4 "flatten",
        /// Close the event's instrument.
        Close = 5 "close",
        /// The run ends: as Halt, until the next start goes on as before it.
        Stop = 6 "stop",
    }
}

/// The operator's word.
#[derive(Clone, Copy, Debug, PartialEq, NoUninit, CheckedBitPattern)]
#[repr(C)]
pub struct Command {
    pub command: CommandKind,
    pub pad: [u8; 7],
}

words! {
    /// A connection to the venue.
    Feed {
        Public = 1 "public",
        Market = 2 "market",
        User = 3 "user",
        Orders = 4 "orders",
    }
}

words! {
    /// What a connection came to.
    FeedState {
        Up = 1 "up",
        Down = 2 "down",
        Stale = 3 "stale",
        Resynced = 4 "resynced",
    }
}

/// A connection's state.
#[derive(Clone, Copy, Debug, PartialEq, NoUninit, CheckedBitPattern)]
#[repr(C)]
pub struct FeedStatus {
    pub since_ms: Millis,
    pub feed: Feed,
    pub state: FeedState,
    pub pad: [u8; 6],
}

/// Market frames dropped because the journal was full.
#[derive(Clone, Copy, Debug, PartialEq, NoUninit, CheckedBitPattern)]
#[repr(C)]
pub struct Gap {
    pub frames: u64,
    pub bytes: u64,
}

/// Why the decoder refused a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, NoUninit, CheckedBitPattern)]
#[repr(u8)]
pub enum FaultReason {
    /// Empty, or larger than the frame buffer.
    Size = 1,
    /// Not JSON, or not UTF-8.
    Syntax = 2,
    /// A needed field is missing.
    MissingField = 3,
    /// A field has the wrong type or a number we do not accept.
    BadValue = 4,
    /// A price off the instrument's tick grid.
    OffTick = 5,
    /// An instrument that is not in the table.
    UnknownSymbol = 6,
    /// An event type or stream we do not know.
    UnknownStream = 7,
}

impl FaultReason {
    pub const ALL: [FaultReason; 7] = [
        FaultReason::Size,
        FaultReason::Syntax,
        FaultReason::MissingField,
        FaultReason::BadValue,
        FaultReason::OffTick,
        FaultReason::UnknownSymbol,
        FaultReason::UnknownStream,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            FaultReason::Size => "size",
            FaultReason::Syntax => "syntax",
            FaultReason::MissingField => "missing_field",
            FaultReason::BadValue => "bad_value",
            FaultReason::OffTick => "off_tick",
            FaultReason::UnknownSymbol => "unknown_symbol",
            FaultReason::UnknownStream => "unknown_stream",
        }
    }

    /// Unknown symbols and streams are somebody else's data, not damage.
    pub const fn is_damage(self) -> bool {
        !matches!(self, FaultReason::UnknownSymbol | FaultReason::UnknownStream)
    }
}

/// A frame the decoder refused. Its first bytes are kept so that the cause can be seen later.
#[derive(Clone, Copy, Debug, PartialEq, NoUninit, CheckedBitPattern)]
#[repr(C)]
pub struct DecodeFault {
    /// Length of the frame.
    pub bytes: u32,
    pub crc32c: u32,
    pub reason: FaultReason,
    /// Bytes of `head` in use.
    pub head_length: u8,
    pub head: [u8; DecodeFault::HEAD_BYTES],
    pub pad: [u8; 6],
}

impl DecodeFault {
    pub const HEAD_BYTES: usize = 80;
}

words! {
    /// A bounded queue.
    Queue {
        Ring = 1 "ring",
        Orders = 2 "orders",
        Gateway = 3 "gateway",
    }
}

/// Share of a bounded queue in use.
#[derive(Clone, Copy, Debug, PartialEq, NoUninit, CheckedBitPattern)]
#[repr(C)]
pub struct QueueShare {
    pub used_ppm: u32,
    pub queue: Queue,
    pub pad: [u8; 3],
}

/// An output recomputed by the shadow differs from the recorded one.
#[derive(Clone, Copy, Debug, PartialEq, NoUninit, CheckedBitPattern)]
#[repr(C)]
pub struct Divergence {
    pub sequence: u64,
}

/// The clock against the system's.
#[derive(Clone, Copy, Debug, PartialEq, NoUninit, CheckedBitPattern)]
#[repr(C)]
pub struct ClockSync {
    pub offset_ns: i64,
    /// Correction while slewing, in parts per billion.
    pub slew_ppb: i64,
}

/// Quotes folded into later ones before the journal.
#[derive(Clone, Copy, Debug, PartialEq, NoUninit, CheckedBitPattern)]
#[repr(C)]
pub struct Conflated {
    pub quotes: u64,
}

/// The configuration that follows in [`ConfigText`] pieces replaces the one in force, with its last
/// piece.
#[derive(Clone, Copy, Debug, PartialEq, NoUninit, CheckedBitPattern)]
#[repr(C)]
pub struct ConfigChange {
    pub digest: u64,
}

/// The venue's clock as it was read: frames are stamped by it.
#[derive(Clone, Copy, Debug, PartialEq, NoUninit, CheckedBitPattern)]
#[repr(C)]
pub struct ClockRead {
    /// Venue's time − ours, in nanoseconds.
    pub ahead_ns: i64,
    /// By how much that may be wrong: half of the round trip.
    pub error_ns: i64,
}

/// Whether the archive behind the ring can be written.
#[derive(Clone, Copy, Debug, PartialEq, NoUninit, CheckedBitPattern)]
#[repr(C)]
pub struct ArchiveStatus {
    /// The system's error number; 0 where it has none.
    pub error: i32,
    /// It fails, and is tried again; else it works again.
    pub failing: bool,
    pub pad: [u8; 3],
}

/// What a reconciliation found different from our books.
#[derive(Clone, Copy, Debug, PartialEq, NoUninit, CheckedBitPattern)]
#[repr(C)]
pub struct Reconcile {
    /// Venue's wallet − ours.
    pub wallet_difference: Dec,
    /// Venue's position − ours, in lots of the event's instrument.
    pub position_difference: i64,
    /// Orders found at the venue that we did not know.
    pub orders_adopted: u32,
    /// Orders we believed open that are gone.
    pub orders_missing: u32,
}

impl Event {
    /// An event that concerns no instrument.
    pub const fn global(recv_ns: crate::num::TimeNs, body: super::EventBody) -> Event {
        Event { recv_ns, instrument: InstrumentId::NONE, body }
    }
}
