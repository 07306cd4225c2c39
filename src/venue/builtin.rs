//! The instruments known without asking a venue.

use crate::event::{Instrument, InstrumentError, InstrumentSpec, InstrumentTable, SizeUnit};

use SizeUnit::{Base, QuoteContracts};

/// Symbol, tick, step, minimum notional, maintenance margin, what market-data sizes count.
type Row = (&'static str, &'static str, &'static str, &'static str, &'static str, SizeUnit);

/// The smallest order is one step. Maintenance margins are those of a small position, on the careful
/// side; a venue that is asked gives its own.
#[rustfmt::skip]
const ROWS: [Row; 15] = [
    ("BTCUSDT",      "0.1",       "0.001", "50", "0.004", Base),
    ("ETHUSDT",      "0.01",      "0.001", "20", "0.004", Base),
    ("SOLUSDT",      "0.01",      "0.01",  "5",  "0.005", Base),
    ("XBTUSD",       "0.1",       "0.001", "5",  "0.005", QuoteContracts), // BitMEX recordings
    ("BNBUSDT",      "0.01",      "0.01",  "5",  "0.01",  Base),
    ("XRPUSDT",      "0.0001",    "0.1",   "5",  "0.01",  Base),
    ("DOGEUSDT",     "0.00001",   "1",     "5",  "0.01",  Base),
    ("ADAUSDT",      "0.0001",    "1",     "5",  "0.01",  Base),
    ("AVAXUSDT",     "0.001",     "1",     "5",  "0.01",  Base),
    ("LINKUSDT",     "0.001",     "0.01",  "20", "0.01",  Base),
    ("LTCUSDT",      "0.01",      "0.001", "20", "0.01",  Base),
    ("BCHUSDT",      "0.01",      "0.001", "20", "0.01",  Base),
    ("DOTUSDT",      "0.001",     "0.1",   "5",  "0.01",  Base),
    ("TRXUSDT",      "0.00001",   "1",     "5",  "0.01",  Base),
    ("1000PEPEUSDT", "0.0000001", "1",     "5",  "0.02",  Base),
];

/// The built-in instrument table, for runs that bring none. `taker_fee` is a fraction of the notional
/// (`"0.0005"`) and the only part that can be wrong.
pub fn builtin_instruments(taker_fee: &str) -> Result<InstrumentTable, InstrumentError> {
    let rows = ROWS.iter().map(|row| instrument(row, taker_fee)).collect::<Result<Vec<_>, _>>()?;
    // Fifteen rows are representable, so the table is always built.
    Ok(InstrumentTable::new(rows).unwrap_or_default())
}

fn instrument(row: &Row, taker_fee: &str) -> Result<Instrument, InstrumentError> {
    let &(symbol, tick, step, min_notional, maintenance_margin, size_unit) = row;
    Instrument::from_spec(&InstrumentSpec {
        symbol,
        tick,
        step,
        min_quantity: step,
        max_quantity: "",
        min_notional,
        taker_fee,
        maintenance_margin,
        size_unit,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::num::{Dec, Lots, Ticks};

    #[test]
    fn every_row_is_usable_and_named_once() {
        let table = builtin_instruments("0.0005").unwrap();
        assert_eq!(table.len(), ROWS.len());
        for (id, row) in table.iter() {
            assert_eq!(table.find(row.symbol.as_str()), Some(id), "{} is listed twice", row.symbol);
            assert_eq!(row.min_quantity, Lots(1));
            assert_eq!(row.taker_fee, Dec::new(5, 4));
        }
    }

    #[test]
    fn scales_are_those_of_the_recordings() {
        let table = builtin_instruments("0").unwrap();
        let get = |symbol: &str| table.get(table.find(symbol).unwrap()).unwrap();
        assert_eq!(get("BTCUSDT").parse_price(b"63943.90"), Ok(Ticks(639_439)));
        assert_eq!(get("1000PEPEUSDT").parse_price(b"0.0123456"), Ok(Ticks(123_456)));
        assert_eq!(get("XBTUSD").size_unit, QuoteContracts);
        assert_eq!(get("ETHUSDT").min_notional, Dec::int(20));
    }

    #[test]
    fn a_fee_that_is_no_number_is_named() {
        let error = builtin_instruments("0,05%").unwrap_err().to_string();
        assert!(error.contains("taker_fee") && error.contains("0,05%"), "{error}");
    }
}
