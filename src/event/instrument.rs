//! What an instrument's integers mean, and the limits the venue sets on its orders.

use std::fmt;

use borsh::{BorshDeserialize, BorshSerialize};
use bytemuck::{CheckedBitPattern, NoUninit, Pod, Zeroable};

use crate::num::{
    Dec, DecError, InstrumentId, Lots, MAX_PLACES, OutOfRange, Rounding, Size, Ticks, all_hold, mul_div,
    parse_scaled,
};

/// An instrument's name at the venue, at most 24 bytes of ASCII.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable, BorshSerialize, BorshDeserialize,
)]
#[repr(transparent)]
pub struct Symbol([u8; Symbol::BYTES_MAX]);

impl Symbol {
    /// The longest listed names have 19 bytes, dated contracts 14.
    pub const BYTES_MAX: usize = 24;

    /// `None` if empty, too long or not printable ASCII.
    pub fn new(name: &str) -> Option<Symbol> {
        let bytes = name.as_bytes();
        if bytes.is_empty() || bytes.len() > Self::BYTES_MAX || !bytes.iter().all(u8::is_ascii_graphic) {
            return None;
        }
        let mut padded = [0; Self::BYTES_MAX];
        padded[..bytes.len()].copy_from_slice(bytes);
        Some(Symbol(padded))
    }

    /// The symbol of a constant; one that is none does not compile.
    #[allow(clippy::panic)] // only ever evaluated by the compiler
    pub const fn literal(name: &'static str) -> Symbol {
        let bytes = name.as_bytes();
        let mut padded = [0; Self::BYTES_MAX];
        let mut i = 0;
        while i < bytes.len() {
            if i >= Self::BYTES_MAX || !bytes[i].is_ascii_graphic() {
                panic!("not a symbol");
            }
            padded[i] = bytes[i];
            i += 1;
        }
        Symbol(padded)
    }

    pub fn as_str(&self) -> &str {
        let length = self.0.iter().position(|b| *b == 0).unwrap_or(Self::BYTES_MAX);
        // Bytes read back from a damaged record need not be ASCII.
        std::str::from_utf8(&self.0[..length]).unwrap_or("?")
    }
}

impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a market-data quantity counts.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, NoUninit, CheckedBitPattern, BorshSerialize, BorshDeserialize,
)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum SizeUnit {
    /// The base asset, as orders do.
    Base = 1,
    /// Contracts of one unit of quote currency (BitMEX XBTUSD): volume and quote volume are alike.
    QuoteContracts = 2,
}

/// One instrument: its scales, its limits, its costs.
#[derive(Clone, Copy, Debug, PartialEq, NoUninit, CheckedBitPattern, BorshSerialize, BorshDeserialize)]
#[repr(C)]
pub struct Instrument {
    /// Price increment, in quote currency.
    pub tick: Dec,
    /// Order quantity increment.
    pub step: Dec,
    /// Unit of market-data quantities; at most `step`.
    pub size_step: Dec,
    /// Smallest order value, in quote currency.
    pub min_notional: Dec,
    /// Fraction of the notional a market order pays.
    pub taker_fee: Dec,
    /// Maintenance margin, fraction of the notional.
    pub maintenance_margin: Dec,
    pub symbol: Symbol,
    pub min_quantity: Lots,
    pub max_quantity: Lots,
    /// Decimals the venue prints prices with.
    pub price_places: u8,
    pub quantity_places: u8,
    pub size_unit: SizeUnit,
    pub pad: [u8; 5],
}

const _: () = assert!(size_of::<Instrument>() == 144);

/// Why an instrument's specification can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InstrumentError {
    #[error("symbol {0:?} is empty, longer than 24 bytes or not ASCII")]
    Symbol(String),
    #[error("{symbol}: {field} {value:?}: {error}")]
    Number { symbol: String, field: &'static str, value: String, error: DecError },
    #[error("{symbol}: {field} must be positive")]
    NotPositive { symbol: String, field: &'static str },
    #[error("{symbol}: tick × step needs more than 18 decimal places")]
    TooFine { symbol: String },
}

/// The numbers of an instrument as text, as venues publish them.
#[derive(Clone, Copy, Debug)]
pub struct InstrumentSpec<'a> {
    pub symbol: &'a str,
    pub tick: &'a str,
    pub step: &'a str,
    pub min_quantity: &'a str,
    /// Empty for no limit.
    pub max_quantity: &'a str,
    pub min_notional: &'a str,
    pub taker_fee: &'a str,
    pub maintenance_margin: &'a str,
    pub size_unit: SizeUnit,
}

impl Instrument {
    /// Builds and checks an instrument. Market-data sizes get three places more than orders, since
    /// venues publish finer quantities than they accept.
    pub fn from_spec(spec: &InstrumentSpec) -> Result<Instrument, InstrumentError> {
        let symbol =
            Symbol::new(spec.symbol).ok_or_else(|| InstrumentError::Symbol(spec.symbol.to_string()))?;
        let owned = || spec.symbol.to_string();
        let number = |field: &'static str, text: &str| {
            Dec::parse(text).map_err(|error| InstrumentError::Number {
                symbol: owned(),
                field,
                value: text.to_string(),
                error,
            })
        };
        let positive = |field: &'static str, value: Dec| {
            if value.0 > 0 { Ok(value) } else { Err(InstrumentError::NotPositive { symbol: owned(), field }) }
        };
        let tick = positive("tick", number("tick", spec.tick)?)?;
        let step = positive("step", number("step", spec.step)?)?;
        let (price_places, quantity_places) = (places(tick), places(step));
        if u32::from(price_places) + u32::from(quantity_places) > MAX_PLACES {
            return Err(InstrumentError::TooFine { symbol: owned() });
        }
        let size_step = match spec.size_unit {
            SizeUnit::QuoteContracts => Dec::ONE,
            SizeUnit::Base => {
                let finest = MAX_PLACES - u32::from(price_places);
                Dec::new(1, (u32::from(quantity_places) + 3).min(finest))
            }
        };
        let lots = |field: &'static str, text: &str| {
            let value = number(field, text)?;
            i64::try_from(value.0.div_euclid(step.0) + i128::from(value.0.rem_euclid(step.0) != 0))
                .map(Lots)
                .map_err(|_| InstrumentError::Number {
                    symbol: owned(),
                    field,
                    value: text.to_string(),
                    error: DecError::OutOfRange,
                })
        };
        let max_quantity = if spec.max_quantity.is_empty() {
            Lots(i64::MAX)
        } else {
            lots("max_quantity", spec.max_quantity)?
        };
        Ok(Instrument {
            tick,
            step,
            size_step,
            min_notional: number("min_notional", spec.min_notional)?,
            taker_fee: number("taker_fee", spec.taker_fee)?,
            maintenance_margin: number("maintenance_margin", spec.maintenance_margin)?,
            symbol,
            min_quantity: lots("min_quantity", spec.min_quantity)?,
            max_quantity,
            price_places,
            quantity_places,
            size_unit: spec.size_unit,
            pad: [0; 5],
        })
    }

    /// What [`Instrument::from_spec`] and [`Instrument::with_tick`] make sure of.
    pub(crate) fn check(&self) -> Result<(), OutOfRange> {
        let Instrument { tick, step, size_step, maintenance_margin, symbol, .. } = *self;
        let grid = [tick, step, size_step].iter().all(|unit| unit.0 > 0)
            && (self.price_places, self.quantity_places) == (places(tick), places(step))
            && u32::from(self.price_places) + u32::from(self.quantity_places) <= MAX_PLACES;
        all_hold(&[
            ("instrument.symbol", Symbol::new(symbol.as_str()) == Some(symbol)),
            ("instrument.tick, step and size_step", grid),
            // A percentage has been divided by 100.
            ("instrument.maintenance_margin", maintenance_margin.0.unsigned_abs() <= i128::MAX as u128 / 100),
        ])
    }

    /// The same instrument with prices on a finer grid.
    ///
    /// # Errors
    /// Tick × step would need more than 18 decimal places.
    pub fn with_tick(&self, tick: Dec) -> Result<Instrument, InstrumentError> {
        let price_places = places(tick);
        let owned = || self.symbol.to_string();
        if tick.0 <= 0 {
            return Err(InstrumentError::NotPositive { symbol: owned(), field: "tick" });
        }
        let finest = MAX_PLACES.checked_sub(u32::from(price_places));
        let Some(finest) = finest.filter(|finest| u32::from(self.quantity_places) <= *finest) else {
            return Err(InstrumentError::TooFine { symbol: owned() });
        };
        Ok(Instrument { tick, price_places, size_step: self.size_step.max(Dec::new(1, finest)), ..*self })
    }

    /// A price in quote currency; `None` only for prices no venue could quote (beyond 1.7e20).
    pub fn price(&self, ticks: Ticks) -> Dec {
        Dec(self.tick.0.saturating_mul(ticks.wide()))
    }

    pub fn quantity(&self, lots: Lots) -> Dec {
        Dec(self.step.0.saturating_mul(lots.wide()))
    }

    pub fn size(&self, size: Size) -> Dec {
        Dec(self.size_step.0.saturating_mul(size.wide()))
    }

    /// Money in one tick × one lot.
    pub fn tick_lot_value(&self) -> Dec {
        // from_spec guarantees that the product has at most 18 places, so the division is exact.
        Dec(mul_div(self.tick.0, self.step.0, Dec::ONE.0, Rounding::HalfEven).unwrap_or(i128::MAX))
    }

    /// `ticks × lots` (summed in 128 bits) as money; `None` when it leaves the range.
    pub fn money(&self, tick_lots: i128) -> Option<Dec> {
        self.tick_lot_value().checked_mul_int(tick_lots)
    }

    /// Parses a price on the tick grid; whether it is one ([`Ticks::is_price`]) the caller decides.
    pub fn parse_price(&self, text: &[u8]) -> Result<Ticks, DecError> {
        parse_multiple(text, self.tick).map(Ticks)
    }

    /// Parses a market-data quantity.
    pub fn parse_size(&self, text: &[u8]) -> Result<Size, DecError> {
        parse_multiple(text, self.size_step).map(Size)
    }

    /// Parses an order quantity, a multiple of the step.
    pub fn parse_quantity(&self, text: &[u8]) -> Result<Lots, DecError> {
        parse_multiple(text, self.step).map(Lots)
    }

    /// Order quantity that a market-data size at `price` stands for, rounded down to the step.
    pub fn lots_in(&self, size: Size, price: Ticks) -> Lots {
        let lots = match self.size_unit {
            SizeUnit::Base => mul_div(size.wide(), self.size_step.0, self.step.0, Rounding::Floor),
            SizeUnit::QuoteContracts => {
                let value = self.size(size).0;
                let one_lot = self.tick_lot_value().0.checked_mul(price.wide());
                one_lot.and_then(|one| mul_div(value, 1, one, Rounding::Floor))
            }
        };
        Lots(lots.and_then(|v| i64::try_from(v).ok()).unwrap_or(0))
    }

    /// Value of `size` at `price`, in quote currency.
    pub fn quote_value(&self, size: Size, price: Ticks) -> Option<Dec> {
        match self.size_unit {
            SizeUnit::Base => self.price(price).mul(self.size(size), Rounding::HalfEven),
            SizeUnit::QuoteContracts => Some(self.size(size)),
        }
    }

    /// A price as the venue prints it.
    pub fn format_price(&self, ticks: Ticks) -> String {
        self.price(ticks).display(u32::from(self.price_places)).to_string()
    }

    pub fn format_quantity(&self, lots: Lots) -> String {
        self.quantity(lots).display(u32::from(self.quantity_places)).to_string()
    }
}

/// Decimal places of a positive decimal.
fn places(value: Dec) -> u8 {
    let mut rest = value.0;
    let mut places = MAX_PLACES as u8;
    while places > 0 && rest % 10 == 0 {
        rest /= 10;
        places -= 1;
    }
    places
}

/// `text` as a multiple of `unit`.
fn parse_multiple(text: &[u8], unit: Dec) -> Result<i64, DecError> {
    let value = parse_scaled(text, MAX_PLACES)?;
    if value % unit.0 != 0 {
        return Err(DecError::NotAMultiple);
    }
    i64::try_from(value / unit.0).map_err(|_| DecError::OutOfRange)
}

/// The run's instruments, in the order of their ids.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InstrumentTable {
    rows: Vec<Instrument>,
}

impl InstrumentTable {
    /// Rows beyond `u16::MAX - 1` are not representable and are refused.
    pub fn new(rows: Vec<Instrument>) -> Option<InstrumentTable> {
        (rows.len() < usize::from(u16::MAX)).then_some(InstrumentTable { rows })
    }

    pub fn get(&self, id: InstrumentId) -> Option<&Instrument> {
        self.rows.get(id.index())
    }

    pub fn find(&self, symbol: &str) -> Option<InstrumentId> {
        self.rows.iter().position(|row| row.symbol.as_str() == symbol).map(|i| InstrumentId(i as u16))
    }

    pub fn iter(&self) -> impl Iterator<Item = (InstrumentId, &Instrument)> {
        self.rows.iter().enumerate().map(|(i, row)| (InstrumentId(i as u16), row))
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// BTCUSDT as the built-in table has it.
    pub(crate) fn btcusdt() -> Instrument {
        Instrument::from_spec(&InstrumentSpec {
            symbol: "BTCUSDT",
            tick: "0.1",
            step: "0.001",
            min_quantity: "0.001",
            max_quantity: "",
            min_notional: "50",
            taker_fee: "0.0005",
            maintenance_margin: "0.004",
            size_unit: SizeUnit::Base,
        })
        .unwrap()
    }

    #[test]
    fn text_to_ticks_and_back_is_exact_to_the_byte() {
        let btc = btcusdt();
        assert_eq!(btc.parse_price(b"63943.90"), Ok(Ticks(639_439)));
        assert_eq!(btc.format_price(Ticks(639_439)), "63943.9");
        assert_eq!(btc.parse_price(b"63943.95"), Err(DecError::NotAMultiple));
        assert_eq!(btc.parse_quantity(b"0.0105"), Err(DecError::NotAMultiple));
        assert_eq!(btc.parse_size(b"73.3346"), Ok(Size(73_334_600)));
        assert_eq!(btc.format_quantity(Lots(10)), "0.010");
        assert_eq!(btc.money(639_439 * 10).unwrap().display(2).to_string(), "639.439");
    }

    #[test]
    fn contracts_become_coins_at_the_price() {
        let spec = InstrumentSpec {
            symbol: "XBTUSD",
            tick: "0.1",
            step: "0.001",
            min_quantity: "0.001",
            max_quantity: "",
            min_notional: "5",
            taker_fee: "0.0005",
            maintenance_margin: "0.005",
            size_unit: SizeUnit::QuoteContracts,
        };
        let xbt = Instrument::from_spec(&spec).unwrap();
        // 5,000 contracts at 13,873 are 0.36041... coins.
        assert_eq!(xbt.lots_in(Size(5_000), Ticks(138_730)), Lots(360));
        assert_eq!(xbt.quote_value(Size(5_000), Ticks(138_730)), Some(Dec::int(5_000)));
        assert_eq!(btcusdt().lots_in(Size(1_999_999), Ticks(1)), Lots(1_999));
    }

    #[test]
    fn specifications_that_cannot_be_exact_are_refused() {
        let good = InstrumentSpec {
            symbol: "AUSDT",
            tick: "0.0000000001",
            step: "0.00000001",
            min_quantity: "1",
            max_quantity: "",
            min_notional: "5",
            taker_fee: "0",
            maintenance_margin: "0",
            size_unit: SizeUnit::Base,
        };
        assert!(Instrument::from_spec(&good).is_ok());
        for bad in [
            InstrumentSpec { step: "0.000000001", ..good },
            InstrumentSpec { tick: "0", ..good },
            InstrumentSpec { tick: "-1", ..good },
            InstrumentSpec { symbol: "", ..good },
            InstrumentSpec { min_notional: "x", ..good },
        ] {
            assert!(Instrument::from_spec(&bad).is_err(), "{bad:?}");
        }
    }
}
