//! From symbols in frames to instruments.

use super::fault::{Expected, Fault};
use super::fields::Slot;
use crate::event::{FaultReason, Instrument, InstrumentTable, Symbol};
use crate::num::InstrumentId;

/// The instrument table sorted by symbol: a binary search over a few cache lines, and no hash whose
/// seed could differ between runs.
pub(super) struct Instruments {
    rows: Vec<(InstrumentId, Instrument)>,
}

impl Instruments {
    pub(super) fn new(table: &InstrumentTable) -> Instruments {
        let mut rows: Vec<_> = table.iter().map(|(id, row)| (id, *row)).collect();
        // Of rows with one symbol the first counts, as in `InstrumentTable::find`.
        rows.sort_by_key(|(id, row)| (row.symbol, *id));
        rows.dedup_by_key(|(_, row)| row.symbol);
        Instruments { rows }
    }

    /// The instrument a symbol key names.
    pub(super) fn find(&self, slot: Slot) -> Result<(InstrumentId, &Instrument), Fault> {
        let text = slot.text()?;
        Symbol::new(text)
            .and_then(|symbol| self.rows.binary_search_by_key(&symbol, |(_, row)| row.symbol).ok())
            .and_then(|at| self.rows.get(at))
            .map(|(id, row)| (*id, row))
            .ok_or_else(|| {
                slot.fault(FaultReason::UnknownSymbol, Expected::Text("a symbol of the instrument table"))
            })
    }
}
