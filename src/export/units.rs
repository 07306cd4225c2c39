//! Ticks, lots and sizes as decimals, by the instrument's row in the journal.

use crate::event::{Instrument, Symbol};
use crate::journal::text::Lines;
use crate::num::{Dec, InstrumentId, Lots, Size, Ticks};

/// An instrument as far as the journal has told of it. In front of its row there are no scales, and
/// what needs one is none.
#[derive(Clone, Copy)]
pub struct Units<'a> {
    id: InstrumentId,
    row: Option<&'a Instrument>,
}

impl<'a> Units<'a> {
    pub fn of(lines: &'a Lines, id: InstrumentId) -> Units<'a> {
        Units { id, row: lines.instrument(id) }
    }

    pub fn row(&self) -> Option<&'a Instrument> {
        self.row
    }

    /// The instrument's name; `#` and its number in front of its row.
    pub fn symbol(&self) -> Symbol {
        let number = || Symbol::new(&format!("#{}", self.id.0));
        // A number of 16 bits is short enough for a name.
        self.row.map(|row| row.symbol).or_else(number).unwrap_or(Symbol::literal("#"))
    }

    /// In quote currency.
    pub fn price(&self, ticks: Ticks) -> Option<Dec> {
        Some(self.row?.price(ticks))
    }

    /// As [`Units::price`], where zero means that there is none.
    pub fn some_price(&self, ticks: Ticks) -> Option<Dec> {
        self.price(ticks).filter(|_| ticks != Ticks::ZERO)
    }

    /// In base currency.
    pub fn quantity(&self, lots: Lots) -> Option<Dec> {
        Some(self.row?.quantity(lots))
    }

    pub fn size(&self, size: Size) -> Option<Dec> {
        Some(self.row?.size(size))
    }

    /// Ticks × lots, in quote currency.
    pub fn money(&self, tick_lots: i128) -> Option<Dec> {
        self.row?.money(tick_lots)
    }
}
