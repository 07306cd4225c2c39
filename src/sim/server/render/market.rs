//! Answers about the market.

use serde_json::{Value, json};

use super::money;
use crate::event::{Bar, Instrument, InstrumentTable, MarkPrice, Quote};
use crate::num::{Dec, Lots, Millis, Rounding, Ticks};
use crate::sim::venue::{RESTING_ORDERS_MAX, WORKING_ORDERS_MAX};

/// When perpetual contracts are delivered: never, as the venue writes it.
const NEVER_MS: Millis = 4_133_404_800_000;
/// Quote currencies, the longer ones of a common end first.
const QUOTES: [&str; 5] = ["FDUSD", "USDT", "USDC", "BUSD", "USD"];

/// The instrument table in the venue's form: reading it back gives the table again. `rate_limits` are the
/// ones enforced.
pub fn exchange_info(instruments: &InstrumentTable, rate_limits: Value, now_ms: Millis) -> Value {
    let symbols: Vec<Value> = instruments.iter().map(|(_, row)| symbol(row)).collect();
    json!({
        "timezone": "UTC",
        "serverTime": now_ms,
        "futuresType": "U_MARGINED",
        "rateLimits": rate_limits,
        "exchangeFilters": [],
        "assets": [{ "asset": "USDT", "marginAvailable": true, "autoAssetExchange": "-10000" }],
        "symbols": symbols,
    })
}

fn symbol(row: &Instrument) -> Value {
    let name = row.symbol.as_str();
    let (base, quote) = split(name);
    // A flat figure of percent; the table has the fraction.
    let percent = row.maintenance_margin.checked_mul_int(100).unwrap_or(Dec::ZERO);
    json!({
        "symbol": name,
        "pair": name,
        "contractType": "PERPETUAL",
        "deliveryDate": NEVER_MS,
        "onboardDate": 0,
        "status": "TRADING",
        "maintMarginPercent": percent.display(4).to_string(),
        "requiredMarginPercent": "5.0000",
        "baseAsset": base,
        "quoteAsset": quote,
        "marginAsset": quote,
        "pricePrecision": row.price_places,
        "quantityPrecision": row.quantity_places,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": [],
        "triggerProtect": "0.0500",
        "liquidationFee": "0.000000",
        "marketTakeBound": "0.05",
        "maxMoveOrderLimit": 10_000,
        "filters": filters(row),
        "orderTypes": ["MARKET", "STOP_MARKET"],
        "timeInForce": ["GTC", "IOC"],
        "permissionSets": [],
    })
}

fn filters(row: &Instrument) -> Value {
    // The venue's largest quantity of all; a table without a limit means none.
    let most = row.max_quantity.min(Lots::QUANTITY_MAX);
    let (least, most) = (row.format_quantity(row.min_quantity), row.format_quantity(most));
    json!([
        {
            "filterType": "PRICE_FILTER", "tickSize": row.tick.to_string(),
            "minPrice": row.tick.to_string(), "maxPrice": row.format_price(Ticks::PRICE_MAX),
        },
        { "filterType": "LOT_SIZE", "stepSize": row.step.to_string(), "minQty": least, "maxQty": most },
        { "filterType": "MARKET_LOT_SIZE", "stepSize": row.step.to_string(), "minQty": least, "maxQty": most },
        { "filterType": "MAX_NUM_ORDERS", "limit": WORKING_ORDERS_MAX },
        { "filterType": "MAX_NUM_ALGO_ORDERS", "limit": RESTING_ORDERS_MAX },
        { "filterType": "MIN_NOTIONAL", "notional": row.min_notional.to_string() },
        {
            "filterType": "PERCENT_PRICE", "multiplierUp": "1.0500", "multiplierDown": "0.9500",
            "multiplierDecimal": "4",
        },
        { "filterType": "POSITION_RISK_CONTROL", "positionControlSide": "NONE" },
    ])
}

fn split(name: &str) -> (&str, &str) {
    let found = QUOTES.iter().find_map(|quote| Some((name.strip_suffix(quote)?, *quote)));
    found.unwrap_or((name, "USDT"))
}

/// A row of `klines`.
pub fn kline(bar: &Bar, row: &Instrument) -> Value {
    // What buyers paid is not kept: their share of the bar's value stands for it.
    let buys = match bar.volume.0 {
        0 => Dec::ZERO,
        volume => {
            let share = Dec::ratio(bar.taker_buy_volume.wide(), i128::from(volume), Rounding::HalfEven);
            let paid = share.and_then(|share| bar.quote_volume.mul(share, Rounding::HalfEven));
            paid.unwrap_or(Dec::ZERO).round(8, Rounding::HalfEven)
        }
    };
    json!([
        bar.open_ms,
        row.format_price(bar.open),
        row.format_price(bar.high),
        row.format_price(bar.low),
        row.format_price(bar.close),
        row.size(bar.volume).to_string(),
        bar.open_ms + Millis::from(bar.interval_s) * 1_000 - 1,
        bar.quote_volume.to_string(),
        bar.trades,
        row.size(bar.taker_buy_volume).to_string(),
        buys.to_string(),
        "0",
    ])
}

/// The touch as an order book of one level; empty before the first quote.
pub fn depth(row: &Instrument, quote: Option<&Quote>, now_ms: Millis) -> Value {
    let level = |price: Ticks, size| match price.is_price() {
        true => json!([[row.format_price(price), row.size(size).to_string()]]),
        false => json!([]),
    };
    let (bids, asks) = match quote {
        Some(quote) => (level(quote.bid, quote.bid_size), level(quote.ask, quote.ask_size)),
        None => (json!([]), json!([])),
    };
    json!({
        "lastUpdateId": quote.map_or(0, |quote| quote.update_id),
        "E": now_ms,
        "T": quote.map_or(0, |quote| quote.transaction_ms),
        "bids": bids,
        "asks": asks,
    })
}

pub fn book_ticker(row: &Instrument, quote: Option<&Quote>, now_ms: Millis) -> Value {
    let side = |price: Ticks, size| (row.format_price(price), row.size(size).to_string());
    let nothing = || (row.format_price(Ticks::ZERO), "0".to_string());
    let (bid, ask) = match quote {
        Some(quote) => (side(quote.bid, quote.bid_size), side(quote.ask, quote.ask_size)),
        None => (nothing(), nothing()),
    };
    json!({
        "lastUpdateId": quote.map_or(0, |quote| quote.update_id),
        "symbol": row.symbol.as_str(),
        "bidPrice": bid.0,
        "bidQty": bid.1,
        "askPrice": ask.0,
        "askQty": ask.1,
        "time": quote.map_or(now_ms, |quote| quote.event_ms),
    })
}

pub fn price_ticker(row: &Instrument, last: Option<(Ticks, Millis)>, now_ms: Millis) -> Value {
    let (price, time_ms) = last.unwrap_or((Ticks::ZERO, now_ms));
    json!({ "symbol": row.symbol.as_str(), "price": row.format_price(price), "time": time_ms })
}

pub fn premium_index(row: &Instrument, mark: Option<&MarkPrice>, now_ms: Millis) -> Value {
    let none = MarkPrice {
        mark: Dec::ZERO,
        index: Dec::ZERO,
        settle: Dec::ZERO,
        funding_rate: Dec::ZERO,
        next_funding_ms: 0,
        event_ms: now_ms,
    };
    let mark = mark.unwrap_or(&none);
    json!({
        "symbol": row.symbol.as_str(),
        "markPrice": money(mark.mark),
        "indexPrice": money(mark.index),
        "estimatedSettlePrice": money(mark.settle),
        "lastFundingRate": money(mark.funding_rate),
        "interestRate": "0.00010000",
        "nextFundingTime": mark.next_funding_ms,
        "time": mark.event_ms,
    })
}
