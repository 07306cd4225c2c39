//! Which fills were applied already.

use borsh::{BorshDeserialize, BorshSerialize};

use crate::num::{InstrumentId, OutOfRange, all_hold};

/// Fills remembered: reconnects repeat the last minutes of a stream, and trades that are gone by
/// then must not be taken for somebody else's.
const REMEMBERED: usize = 1_024;

/// The newest fills by the venue's trade id.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub struct FillMemory {
    seen: Box<[(InstrumentId, i64)]>,
    /// Of `seen`, how many hold something.
    used: usize,
    next: usize,
}

impl Default for FillMemory {
    fn default() -> FillMemory {
        FillMemory { seen: vec![(InstrumentId::NONE, 0); REMEMBERED].into_boxed_slice(), used: 0, next: 0 }
    }
}

impl FillMemory {
    /// # Errors
    /// What a memory read from somewhere can't have.
    pub fn check(&self) -> Result<(), OutOfRange> {
        all_hold(&[
            ("fills.seen", self.seen.len() == REMEMBERED),
            ("fills.used", self.used <= REMEMBERED),
            ("fills.next", self.next < REMEMBERED),
        ])
    }

    pub fn iter(&self) -> impl Iterator<Item = (InstrumentId, i64)> {
        self.seen.iter().take(self.used).copied()
    }

    pub fn knows(&self, instrument: InstrumentId, trade_id: i64) -> bool {
        self.iter().any(|fill| fill == (instrument, trade_id))
    }

    /// True the first time.
    pub fn is_new(&mut self, instrument: InstrumentId, trade_id: i64) -> bool {
        if self.knows(instrument, trade_id) {
            return false;
        }
        if let Some(slot) = self.seen.get_mut(self.next) {
            *slot = (instrument, trade_id);
        }
        self.next = (self.next + 1) % REMEMBERED;
        self.used = (self.used + 1).min(REMEMBERED);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_remembered() {
        let mut fills = FillMemory::default();
        let (a, b) = (InstrumentId(0), InstrumentId(1));
        assert!(fills.is_new(a, i64::MIN) && !fills.is_new(a, i64::MIN));
        assert!(fills.is_new(b, i64::MIN), "ids are unique within an instrument only");
        for id in 0..REMEMBERED as i64 {
            assert!(fills.is_new(a, id));
        }
        assert!(fills.is_new(a, i64::MIN), "forgotten by now");
        assert!(!fills.is_new(a, 5));
    }
}
