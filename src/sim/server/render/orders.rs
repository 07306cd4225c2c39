//! Answers about orders.

use serde_json::{Map, Value, json};

use super::super::book::{Record, TradeRow};
use super::super::calls::Operation;
use super::{average_price, money, working_type};
use crate::event::{Instrument, Order, OrderKind, OrderStatus};
use crate::num::Lots;

/// The answer to a request about an order, as the venue writes it for that request.
pub fn response(operation: Operation, record: &Record, row: &Instrument) -> String {
    match operation {
        Operation::PlaceAlgoOrder => placed_algo(record, row),
        Operation::QueryAlgoOrder => algo(record, row),
        Operation::CancelAlgoOrder => cancelled_algo(record),
        Operation::QueryOrder => queried(record, row),
        _ => placed(record, row),
    }
    .to_string()
}

/// The order's state in the words of ordinary orders.
pub fn status(record: &Record) -> &'static str {
    match record.status {
        OrderStatus::Filled => "FILLED",
        OrderStatus::Canceled => "CANCELED",
        OrderStatus::Expired => "EXPIRED",
        _ if record.filled > Lots::ZERO => "PARTIALLY_FILLED",
        _ => "NEW",
    }
}

/// The order's state in the words of the algo service: once triggered, an order is an ordinary one,
/// and what became of it is that one's affair.
pub fn algo_status(record: &Record) -> &'static str {
    match (record.status, record.triggered_ms) {
        (OrderStatus::Canceled, 0) => "CANCELED",
        (OrderStatus::Expired, 0) => "EXPIRED",
        (OrderStatus::Triggered, _) => "TRIGGERED",
        (_, 0) => "NEW",
        _ => "FINISHED",
    }
}

/// What kind of order it was sent as.
pub fn original_type(record: &Record) -> &'static str {
    order_type(&record.order)
}

pub fn order_type(order: &Order) -> &'static str {
    match order.kind {
        OrderKind::Market => "MARKET",
        OrderKind::StopMarket => "STOP_MARKET",
    }
}

/// Quantity asked for; an order that closes the position states none.
pub fn quantity(record: &Record, row: &Instrument) -> String {
    if record.close_position { "0".to_string() } else { row.format_quantity(record.order.quantity) }
}

pub fn trigger_price(record: &Record, row: &Instrument) -> String {
    row.format_price(record.order.trigger)
}

/// The fields every answer about an ordinary order has.
fn common(record: &Record, row: &Instrument) -> Map<String, Value> {
    let fields = json!({
        "orderId": record.venue_id,
        "symbol": row.symbol.as_str(),
        "status": status(record),
        "clientOrderId": record.client_id,
        "price": "0",
        "origQty": quantity(record, row),
        "executedQty": row.format_quantity(record.filled),
        "timeInForce": "GTC",
        "type": "MARKET",
        "reduceOnly": record.order.reduce_only,
        "closePosition": record.close_position,
        "side": record.order.side.as_str(),
        "positionSide": "BOTH",
        "stopPrice": "0",
        "workingType": working_type(record.order.working_type),
        "priceProtect": false,
        "origType": original_type(record),
        "priceMatch": "NONE",
        "selfTradePreventionMode": "NONE",
        "goodTillDate": 0,
        "updateTime": record.updated_ms,
    });
    match fields {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

fn placed(record: &Record, row: &Instrument) -> Value {
    let mut fields = common(record, row);
    fields.insert("cumQty".to_string(), json!(row.format_quantity(record.filled)));
    Value::Object(fields)
}

/// One of `openOrders`, or what a query found.
pub fn queried(record: &Record, row: &Instrument) -> Value {
    let mut fields = common(record, row);
    let paid = row.money(record.paid).unwrap_or_default();
    fields.insert("avgPrice".to_string(), json!(average_price(record.paid, record.filled.0, row)));
    fields.insert("cumQuote".to_string(), json!(paid.to_string()));
    fields.insert("time".to_string(), json!(record.created_ms));
    Value::Object(fields)
}

/// The fields every answer about a conditional order has.
fn common_algo(record: &Record, row: &Instrument) -> Map<String, Value> {
    let fields = json!({
        "algoId": record.venue_id,
        "clientAlgoId": record.client_id,
        "algoType": "CONDITIONAL",
        "orderType": original_type(record),
        "symbol": row.symbol.as_str(),
        "side": record.order.side.as_str(),
        "positionSide": "BOTH",
        "timeInForce": "GTC",
        "quantity": quantity(record, row),
        "algoStatus": algo_status(record),
        "triggerPrice": trigger_price(record, row),
        "price": "0",
        "icebergQuantity": null,
        "selfTradePreventionMode": "NONE",
        "workingType": working_type(record.order.working_type),
        "priceMatch": "NONE",
        "closePosition": record.close_position,
        "priceProtect": false,
        "reduceOnly": record.order.reduce_only,
        "createTime": record.created_ms,
        "updateTime": record.updated_ms,
        "triggerTime": record.triggered_ms,
        "goodTillDate": 0,
    });
    match fields {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

fn placed_algo(record: &Record, row: &Instrument) -> Value {
    let mut fields = common_algo(record, row);
    fields.insert("activatePrice".to_string(), json!(""));
    fields.insert("callbackRate".to_string(), json!(""));
    Value::Object(fields)
}

/// What a query found of a conditional order.
fn algo(record: &Record, row: &Instrument) -> Value {
    let mut fields = actual(record, row);
    fields.insert("actualType".to_string(), json!(if record.rests() { "" } else { "MARKET" }));
    fields.insert("actualQty".to_string(), json!(row.format_quantity(record.filled)));
    fields.insert("tpOrderType".to_string(), json!(""));
    Value::Object(fields)
}

/// One of `openAlgoOrders`.
pub fn open_algo(record: &Record, row: &Instrument) -> Value {
    let mut fields = actual(record, row);
    for name in ["tpTriggerPrice", "tpPrice", "slTriggerPrice", "slPrice"] {
        fields.insert(name.to_string(), json!("0.000"));
    }
    fields.insert("tpOrderType".to_string(), json!(""));
    Value::Object(fields)
}

/// With the ordinary order it became.
fn actual(record: &Record, row: &Instrument) -> Map<String, Value> {
    let mut fields = common_algo(record, row);
    let id = if record.rests() { String::new() } else { record.venue_id.to_string() };
    fields.insert("actualOrderId".to_string(), json!(id));
    fields.insert("actualPrice".to_string(), json!(average_price(record.paid, record.filled.0, row)));
    fields
}

fn cancelled_algo(record: &Record) -> Value {
    json!({
        "algoId": record.venue_id, "clientAlgoId": record.client_id, "code": "200", "msg": "success",
    })
}

/// One of `userTrades`.
pub fn trade(trade: &TradeRow, row: &Instrument) -> Value {
    let fill = &trade.fill;
    let quote = row.money(fill.price.wide() * fill.quantity.wide()).unwrap_or_default();
    json!({
        "symbol": row.symbol.as_str(),
        "id": fill.trade_id,
        "orderId": trade.venue_id,
        "side": fill.side.as_str(),
        "price": row.format_price(fill.price),
        "qty": row.format_quantity(fill.quantity),
        "realizedPnl": money(trade.realised),
        "quoteQty": quote.to_string(),
        "commission": money(fill.fee),
        "commissionAsset": "USDT",
        "time": fill.event_ms,
        "positionSide": "BOTH",
        "buyer": fill.side == crate::num::Side::Buy,
        "maker": fill.maker,
    })
}
