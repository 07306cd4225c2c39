//! The instrument table from the venue's `exchangeInfo` answer.

use serde::Deserialize;

use crate::event::{Instrument, InstrumentError, InstrumentSpec, InstrumentTable, SizeUnit};
use crate::num::{Dec, DecError, Rounding};

/// Why an `exchangeInfo` answer gives no instrument table.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeInfoError {
    #[error("exchangeInfo is not the JSON we know: {0}")]
    Json(#[from] serde_json::Error),
    #[error("exchangeInfo: {symbol} has no {field}")]
    Missing { symbol: String, field: &'static str },
    #[error("exchangeInfo: {symbol}: {field} {value:?}: {error}")]
    Number { symbol: String, field: &'static str, value: String, error: DecError },
    #[error("exchangeInfo: {0}")]
    Instrument(#[from] InstrumentError),
    #[error("exchangeInfo: no symbol is TRADING")]
    NoneTrading,
    #[error("exchangeInfo: {0} symbols are more than instrument ids")]
    TooMany(usize),
}

#[derive(Deserialize)]
struct ExchangeInfo {
    symbols: Vec<SymbolInfo>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SymbolInfo {
    symbol: String,
    status: String,
    maint_margin_percent: Option<String>,
    filters: Vec<Filter>,
}

/// All filter types in one: each has some of the fields.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Filter {
    filter_type: String,
    tick_size: Option<String>,
    step_size: Option<String>,
    min_qty: Option<String>,
    max_qty: Option<String>,
    notional: Option<String>,
}

/// Builds the table of all symbols with status TRADING, in the order listed.
///
/// Orders are market orders, so LOT_SIZE and MARKET_LOT_SIZE both bind: the coarser step, the larger
/// minimum, the smaller maximum. `maintMarginPercent` is the venue's flat figure, more careful than
/// the brackets an account gets. `taker_fee` is a fraction of the notional; the answer has no fees.
pub fn parse_exchange_info(json: &[u8], taker_fee: &str) -> Result<InstrumentTable, ExchangeInfoError> {
    let info: ExchangeInfo = serde_json::from_slice(json)?;
    let trading = info.symbols.iter().filter(|symbol| symbol.status == "TRADING");
    let rows = trading.map(|symbol| instrument(symbol, taker_fee)).collect::<Result<Vec<_>, _>>()?;
    if rows.is_empty() {
        return Err(ExchangeInfoError::NoneTrading);
    }
    let count = rows.len();
    InstrumentTable::new(rows).ok_or(ExchangeInfoError::TooMany(count))
}

fn instrument(info: &SymbolInfo, taker_fee: &str) -> Result<Instrument, ExchangeInfoError> {
    let tick = info.text("PRICE_FILTER tickSize", "PRICE_FILTER", |f| &f.tick_size)?;
    let notional = info.text("MIN_NOTIONAL notional", "MIN_NOTIONAL", |f| &f.notional)?;
    let step = info.lot("stepSize", |f| &f.step_size, Dec::max)?;
    let min_quantity = info.lot("minQty", |f| &f.min_qty, Dec::max)?;
    let max_quantity = info.lot("maxQty", |f| &f.max_qty, Dec::min)?;
    Ok(Instrument::from_spec(&InstrumentSpec {
        symbol: &info.symbol,
        tick,
        step: &step.to_string(),
        min_quantity: &min_quantity.to_string(),
        max_quantity: &max_quantity.to_string(),
        min_notional: notional,
        taker_fee,
        maintenance_margin: &info.maintenance_margin()?.to_string(),
        size_unit: SizeUnit::Base,
    })?)
}

impl SymbolInfo {
    fn filter(&self, filter_type: &str) -> Option<&Filter> {
        self.filters.iter().find(|filter| filter.filter_type == filter_type)
    }

    fn missing(&self, field: &'static str) -> ExchangeInfoError {
        ExchangeInfoError::Missing { symbol: self.symbol.clone(), field }
    }

    fn number(&self, field: &'static str, text: &str) -> Result<Dec, ExchangeInfoError> {
        Dec::parse(text).map_err(|error| ExchangeInfoError::Number {
            symbol: self.symbol.clone(),
            field,
            value: text.to_string(),
            error,
        })
    }

    /// A text of one filter.
    fn text(
        &self,
        field: &'static str,
        filter_type: &str,
        get: fn(&Filter) -> &Option<String>,
    ) -> Result<&str, ExchangeInfoError> {
        self.filter(filter_type).and_then(|f| get(f).as_deref()).ok_or_else(|| self.missing(field))
    }

    /// A limit of LOT_SIZE, or of MARKET_LOT_SIZE where that has one and it binds.
    fn lot(
        &self,
        field: &'static str,
        get: fn(&Filter) -> &Option<String>,
        binding: fn(Dec, Dec) -> Dec,
    ) -> Result<Dec, ExchangeInfoError> {
        let any = self.number(field, self.text(field, "LOT_SIZE", get)?)?;
        match self.filter("MARKET_LOT_SIZE").and_then(|f| get(f).as_deref()) {
            None => Ok(any),
            // The venue writes zero where a filter sets no limit.
            Some(text) => match self.number(field, text)? {
                Dec::ZERO => Ok(any),
                market => Ok(binding(any, market)),
            },
        }
    }

    fn maintenance_margin(&self) -> Result<Dec, ExchangeInfoError> {
        const FIELD: &str = "maintMarginPercent";
        let text = self.maint_margin_percent.as_deref().ok_or_else(|| self.missing(FIELD))?;
        let percent = self.number(FIELD, text)?;
        // A division by 100 stays in range; rounding up keeps it on the careful side.
        Ok(percent.div(Dec::int(100), Rounding::Ceil).unwrap_or(Dec::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::num::{Lots, Ticks};

    const BTC: &str = r#"{"symbols":[
        {"symbol":"OLDUSDT","status":"SETTLING","filters":[]},
        {"symbol":"BTCUSDT","status":"TRADING","maintMarginPercent":"2.5000","filters":[
            {"filterType":"PRICE_FILTER","tickSize":"0.10","minPrice":"261.10","maxPrice":"809484"},
            {"filterType":"LOT_SIZE","stepSize":"0.0001","minQty":"0.0001","maxQty":"1000"},
            {"filterType":"MARKET_LOT_SIZE","stepSize":"0.001","minQty":"0.002","maxQty":"120"},
            {"filterType":"MAX_NUM_ORDERS","limit":200},
            {"filterType":"MIN_NOTIONAL","notional":"50"}]}]}"#;

    fn error(json: &str) -> String {
        parse_exchange_info(json.as_bytes(), "0.0005").unwrap_err().to_string()
    }

    #[test]
    fn the_tighter_of_both_lot_filters_binds() {
        let table = parse_exchange_info(BTC.as_bytes(), "0.0005").unwrap();
        assert_eq!(table.len(), 1, "only TRADING symbols");
        let btc = table.get(table.find("BTCUSDT").unwrap()).unwrap();
        assert_eq!(btc.parse_price(b"65000.10"), Ok(Ticks(650_001)));
        assert_eq!(btc.step, Dec::new(1, 3));
        assert_eq!((btc.min_quantity, btc.max_quantity), (Lots(2), Lots(120_000)));
        assert_eq!((btc.min_notional, btc.maintenance_margin), (Dec::int(50), Dec::new(25, 3)));
    }

    #[test]
    fn a_zero_market_filter_sets_no_limit() {
        let json = BTC.replace(
            r#""stepSize":"0.001","minQty":"0.002","maxQty":"120""#,
            r#""stepSize":"0","minQty":"0","maxQty":"0.0""#,
        );
        let table = parse_exchange_info(json.as_bytes(), "0").unwrap();
        let (_, btc) = table.iter().next().unwrap();
        assert_eq!((btc.step, btc.max_quantity), (Dec::new(1, 4), Lots(10_000_000)));
    }

    #[test]
    fn errors_name_symbol_field_and_value() {
        for (from, to, wanted) in [
            ("tickSize", "tick", ["BTCUSDT", "PRICE_FILTER tickSize"]),
            ("MIN_NOTIONAL", "NOTIONAL", ["BTCUSDT", "MIN_NOTIONAL notional"]),
            ("\"0.0001\",\"minQty\"", "\"1e-4\",\"minQty\"", ["stepSize", "\"1e-4\""]),
            ("0.10", "0.00", ["BTCUSDT", "tick must be positive"]),
            ("2.5000", "", ["BTCUSDT", "maintMarginPercent \"\""]),
            ("TRADING", "BREAK", ["no symbol", "TRADING"]),
            ("}]}]}", "}]}]", ["JSON", "EOF"]),
        ] {
            assert!(BTC.contains(from), "{from}");
            let text = error(&BTC.replace(from, to));
            assert!(wanted.iter().all(|part| text.contains(part)), "{from} -> {to}: {text}");
        }
    }
}
