//! From symbols in frames to instruments.

use super::fault::{Expected, Fault};
use super::fields::Slot;
use crate::event::{FaultReason, Instrument, InstrumentTable, Symbol};
use crate::num::{DecError, InstrumentId, Scale, Size, Ticks};

/// One instrument and how its numbers are read.
pub(super) struct Row {
    pub(super) id: InstrumentId,
    pub(super) instrument: Instrument,
    price: Option<Scale>,
    size: Option<Scale>,
}

impl Row {
    fn new(id: InstrumentId, instrument: &Instrument) -> Row {
        let (price, size) = (Scale::of(instrument.tick), Scale::of(instrument.size_step));
        Row { id, instrument: *instrument, price, size }
    }

    pub(super) fn price(&self, text: &[u8]) -> Result<Ticks, DecError> {
        match self.price.and_then(|scale| scale.parse(text)) {
            Some(ticks) => Ok(Ticks(ticks)),
            None => self.instrument.parse_price(text),
        }
    }

    pub(super) fn size(&self, text: &[u8]) -> Result<Size, DecError> {
        match self.size.and_then(|scale| scale.parse(text)) {
            Some(size) => Ok(Size(size)),
            None => self.instrument.parse_size(text),
        }
    }
}

/// The instrument table sorted by symbol: a binary search over a few cache lines, and no hash whose
/// seed could differ between runs.
pub(super) struct Instruments {
    symbols: Vec<(Symbol, u16)>,
    rows: Vec<Row>,
}

impl Instruments {
    pub(super) fn new(table: &InstrumentTable) -> Instruments {
        let rows: Vec<_> = table.iter().map(|(id, instrument)| Row::new(id, instrument)).collect();
        let mut symbols: Vec<_> = rows.iter().map(|row| (row.instrument.symbol, row.id.0)).collect();
        // Of rows with one symbol the first counts, as in `InstrumentTable::find`.
        symbols.sort_unstable();
        symbols.dedup_by_key(|(symbol, _)| *symbol);
        Instruments { symbols, rows }
    }

    /// The instrument a symbol key names.
    pub(super) fn find(&self, slot: Slot) -> Result<&Row, Fault> {
        Symbol::new(slot.text()?)
            .and_then(|wanted| self.symbols.binary_search_by(|(symbol, _)| symbol.cmp(&wanted)).ok())
            .and_then(|at| self.symbols.get(at))
            .and_then(|(_, row)| self.rows.get(usize::from(*row)))
            .ok_or_else(|| {
                let expected = Expected::Text("a symbol of the instrument table");
                slot.fault(FaultReason::UnknownSymbol, expected)
            })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::event::{InstrumentSpec, SizeUnit};

    fn instrument(tick: &str) -> Instrument {
        Instrument::from_spec(&InstrumentSpec {
            symbol: "X",
            tick,
            step: "0.001",
            min_quantity: "0.001",
            max_quantity: "",
            min_notional: "5",
            taker_fee: "0",
            maintenance_margin: "0",
            size_unit: SizeUnit::Base,
        })
        .unwrap()
    }

    proptest! {
        /// A scale answers only what the instrument's own parser answers, and alike.
        #[test]
        fn scales_agree_with_the_instrument(
            text in prop_oneof![
                "[0-9]{1,8}(\\.[0-9]{1,4}0{0,4})?",
                "[-+0-9.eE ]{0,20}",
                "[0-9]{15,20}",
            ],
            tick in prop::sample::select(vec!["0.1", "0.01", "0.05", "0.25", "1", "2.5", "100", "0.0000001"]),
        ) {
            let instrument = instrument(tick);
            let bytes = text.as_bytes();
            if let Some(ticks) = Scale::of(instrument.tick).unwrap().parse(bytes) {
                prop_assert_eq!(instrument.parse_price(bytes).map(|t| t.0), Ok(ticks));
            }
            if let Some(size) = Scale::of(instrument.size_step).unwrap().parse(bytes) {
                prop_assert_eq!(instrument.parse_size(bytes).map(|t| t.0), Ok(size));
            }
        }
    }
}
