//! Identifiers.

use std::fmt;

use borsh::{BorshDeserialize, BorshSerialize};

/// Index of an instrument in the run's instrument table.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize,
)]
#[repr(transparent)]
pub struct InstrumentId(pub u16);

impl InstrumentId {
    /// Of events that concern no instrument.
    pub const NONE: InstrumentId = InstrumentId(u16::MAX);

    pub const fn index(self) -> usize {
        self.0 as usize
    }

    pub const fn is_none(self) -> bool {
        self.0 == u16::MAX
    }
}

/// A client order id: start epoch in the high half, sequence within it in the low half. The epoch is
/// on disk before the first order of a start, so an id is never issued twice.
#[derive(
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    bytemuck::Pod,
    bytemuck::Zeroable,
    BorshSerialize,
    BorshDeserialize,
)]
#[repr(transparent)]
pub struct OrderId(pub u64);

impl OrderId {
    pub const NONE: OrderId = OrderId(0);

    pub const fn new(epoch: u32, sequence: u32) -> OrderId {
        OrderId(((epoch as u64) << 32) | sequence as u64)
    }

    pub const fn epoch(self) -> u32 {
        (self.0 >> 32) as u32
    }

    pub const fn sequence(self) -> u32 {
        self.0 as u32
    }

    pub const fn is_none(self) -> bool {
        self.0 == 0
    }
}

/// The form sent to the venue: 20 characters of the 36 it allows.
impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "qt-{:08x}-{:08x}", self.epoch(), self.sequence())
    }
}

impl fmt::Debug for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
