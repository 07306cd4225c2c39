//! The instruments a scenario has stated so far.

use std::collections::BTreeMap;

use super::fields::shown;
use crate::event::{Instrument, InstrumentSpec, SizeUnit};
use crate::num::{Dec, InstrumentId, Lots, Ticks};
use crate::risk::money;

/// Instruments at most: each costs the engine tens of kilobytes.
const LISTED_MAX: usize = 1_024;
/// Largest step: with it and the largest tick a lot at the largest price still is a number.
const UNIT_MAX: Dec = Dec::int(1_000_000_000);

#[derive(Default)]
pub(super) struct Listing {
    rows: Vec<Instrument>,
    ids: BTreeMap<String, InstrumentId>,
}

impl Listing {
    pub fn find(&self, symbol: &str) -> Result<(InstrumentId, &Instrument), String> {
        let unknown = || format!("symbol {}: no such instrument", shown(symbol));
        let id = *self.ids.get(symbol).ok_or_else(unknown)?;
        self.rows.get(id.index()).map(|row| (id, row)).ok_or_else(unknown)
    }

    /// The id that a row has, or would have.
    pub fn place(&self, row: &Instrument) -> Result<InstrumentId, String> {
        match self.ids.get(row.symbol.as_str()) {
            Some(id) => Ok(*id),
            // Bounded far below what an id holds.
            None if self.rows.len() < LISTED_MAX => Ok(InstrumentId(self.rows.len() as u16)),
            None => Err(format!("more than {LISTED_MAX} instruments")),
        }
    }

    /// The row as it was stated last.
    pub fn row(&self, id: InstrumentId) -> Option<&Instrument> {
        self.rows.get(id.index())
    }

    pub fn put(&mut self, id: InstrumentId, row: Instrument) {
        match self.rows.get_mut(id.index()) {
            Some(known) => *known = row,
            None => {
                self.ids.insert(row.symbol.to_string(), id);
                self.rows.push(row);
            }
        }
    }
}

/// The numbers of an instrument line.
pub(super) struct Numbers {
    pub symbol: String,
    pub tick: String,
    pub step: String,
    pub min_quantity: String,
    pub min_notional: String,
    pub taker_fee: String,
    pub maintenance_margin: String,
}

/// Checks an instrument; a fee is a fraction from 0 to 1, a maintenance margin below 1.
pub(super) fn instrument(numbers: &Numbers) -> Result<Instrument, String> {
    let spec = InstrumentSpec {
        symbol: &numbers.symbol,
        tick: &numbers.tick,
        step: &numbers.step,
        min_quantity: &numbers.min_quantity,
        max_quantity: "",
        min_notional: &numbers.min_notional,
        taker_fee: &numbers.taker_fee,
        maintenance_margin: &numbers.maintenance_margin,
        size_unit: SizeUnit::Base,
    };
    let row = Instrument::from_spec(&spec).map_err(|error| error.to_string())?;
    let within = |name: &str, good: bool| if good { Ok(()) } else { Err(format!("{name}: out of range")) };
    within("tick", row.tick <= UNIT_MAX)?;
    within("step", row.step <= UNIT_MAX)?;
    within("min_qty", row.min_quantity >= Lots::ZERO)?;
    within("min_notional", !row.min_notional.is_negative() && money::is_money(row.min_notional))?;
    within("taker_fee", (Dec::ZERO..=Dec::ONE).contains(&row.taker_fee))?;
    within("maintenance_margin", (Dec::ZERO..Dec::ONE).contains(&row.maintenance_margin))?;
    Ok(row)
}

/// A price of the instrument: positive, on its tick, and no more than money can be.
pub(super) fn price(name: &str, text: &str, row: &Instrument) -> Result<Ticks, String> {
    let ticks = row.parse_price(text.as_bytes()).map_err(|error| match error {
        crate::num::DecError::NotAMultiple => {
            format!("{name} {}: not a multiple of the tick {}", shown(text), row.tick)
        }
        error => format!("{name} {}: {error}", shown(text)),
    })?;
    let valid = ticks.is_price() && money::is_money(row.price(ticks));
    valid.then_some(ticks).ok_or_else(|| format!("{name} {}: number out of range", shown(text)))
}

/// A quantity of the instrument: positive, and a multiple of its step.
pub(super) fn quantity(text: &str, row: &Instrument) -> Result<Lots, String> {
    let lots =
        row.parse_quantity(text.as_bytes()).map_err(|error| format!("quantity {}: {error}", shown(text)))?;
    let valid = (1..=Lots::QUANTITY_MAX.0).contains(&lots.0);
    valid.then_some(lots).ok_or_else(|| format!("quantity {}: number out of range", shown(text)))
}
