//! Messages of the user stream.

use arrayvec::ArrayVec;
use serde_json::{Value, json};

use super::super::book::Record;
use super::super::prices::Price;
use super::orders::{algo_status, original_type, quantity, status, trigger_price};
use super::{average_price, break_even, change, money, unrealised, working_type};
use crate::event::{
    AccountReason, AccountUpdate, Fill, FillCause, Instrument, OrderKind, OrderStatus, VenuePosition,
};
use crate::num::{Dec, Lots, Millis};
use crate::sim::venue::OrderReport;

/// Messages one report becomes at most: a fill, the end of the order, the end of its algo order.
const MESSAGES_MAX: usize = 3;

pub type Messages = ArrayVec<String, MESSAGES_MAX>;

/// What the stream says of an order after something happened to it.
pub fn order(record: &Record, report: &OrderReport, realised: Dec, row: &Instrument) -> Messages {
    let mut messages = Messages::new();
    if report.fill.is_some() {
        let state = if report.status == Some(OrderStatus::Filled) { "FILLED" } else { "PARTIALLY_FILLED" };
        messages.push(order_update(record, report, "TRADE", state, realised, row));
    }
    let conditional = record.order.kind == OrderKind::StopMarket;
    match report.status {
        None | Some(OrderStatus::Filled) => {}
        Some(OrderStatus::Triggered) => {
            messages.push(algo_update(record, report.event_ms, "TRIGGERING", row));
            messages.push(algo_update(record, report.event_ms, "TRIGGERED", row));
        }
        Some(_) if conditional && record.rests() => {
            messages.push(algo_update(record, report.event_ms, algo_status(record), row));
        }
        Some(_) => {
            let state = status(record);
            messages.push(order_update(record, report, state, state, Dec::ZERO, row));
        }
    }
    if conditional && !record.rests() && !record.is_open() {
        messages.push(algo_update(record, report.event_ms, "FINISHED", row));
    }
    messages
}

/// The venue closed a position on its own.
pub fn forced(report: &OrderReport, realised: Dec, row: &Instrument) -> Messages {
    let mut messages = Messages::new();
    let Some(fill) = &report.fill else { return messages };
    let order = report.order;
    let record = Record {
        client_id: forced_id(fill),
        instrument: crate::num::InstrumentId::NONE,
        order,
        close_position: false,
        venue_id: report.venue_id,
        filled: fill.quantity,
        paid: report.paid,
        status: OrderStatus::Filled,
        created_ms: report.event_ms,
        updated_ms: report.event_ms,
        triggered_ms: 0,
    };
    let mut update = order_fields(&record, report, "CALCULATED", "FILLED", realised, row);
    // Forced orders are limit orders to be filled at once, at the price they got.
    for (name, value) in [("o", "LIMIT"), ("ot", "LIMIT"), ("f", "IOC")] {
        update[name] = json!(value);
    }
    update["p"] = json!(row.format_price(fill.price));
    messages.push(envelope("ORDER_TRADE_UPDATE", report.event_ms, "o", update));
    messages
}

/// What the venue calls an order of its own.
pub fn forced_id(fill: &Fill) -> String {
    let prefix = match fill.cause {
        FillCause::Adl => "adl_autoclose-",
        FillCause::Settlement => "settlement_autoclose-",
        FillCause::Order | FillCause::Assumed | FillCause::Liquidation => "autoclose-",
    };
    format!("{prefix}{}", fill.trade_id)
}

fn envelope(event: &str, event_ms: Millis, name: &str, body: Value) -> String {
    let mut message = json!({ "e": event, "T": event_ms, "E": event_ms });
    message[name] = body;
    message.to_string()
}

fn order_update(
    record: &Record,
    report: &OrderReport,
    execution: &str,
    state: &str,
    realised: Dec,
    row: &Instrument,
) -> String {
    let fields = order_fields(record, report, execution, state, realised, row);
    envelope("ORDER_TRADE_UPDATE", report.event_ms, "o", fields)
}

fn order_fields(
    record: &Record,
    report: &OrderReport,
    execution: &str,
    state: &str,
    realised: Dec,
    row: &Instrument,
) -> Value {
    let fill = report.fill.filter(|_| matches!(execution, "TRADE" | "CALCULATED"));
    let average = match report.filled {
        Lots::ZERO => "0".to_string(),
        filled => average_price(report.paid, filled.0, row),
    };
    json!({
        "s": row.symbol.as_str(),
        "c": record.client_id,
        "S": record.order.side.as_str(),
        "o": "MARKET",
        "f": "GTC",
        "q": quantity(record, row),
        "p": "0",
        "ap": average,
        "sp": "0",
        "x": execution,
        "X": state,
        "i": record.venue_id,
        "l": fill.map_or("0".to_string(), |fill| row.format_quantity(fill.quantity)),
        "z": if report.filled == Lots::ZERO { "0".to_string() } else { row.format_quantity(report.filled) },
        "L": fill.map_or("0".to_string(), |fill| row.format_price(fill.price)),
        "n": fill.map_or("0".to_string(), |fill| change(fill.fee)),
        "N": "USDT",
        "T": report.event_ms,
        "t": fill.map_or(0, |fill| fill.trade_id),
        "b": "0",
        "a": "0",
        "m": fill.is_some_and(|fill| fill.maker),
        "R": record.order.reduce_only,
        "wt": working_type(record.order.working_type),
        "ot": original_type(record),
        "ps": "BOTH",
        "cp": record.close_position,
        "rp": change(realised),
        "pP": false,
        "si": 0,
        "ss": 0,
        "V": "NONE",
        "pm": "NONE",
        "gtd": 0,
        "er": "0",
    })
}

/// A fill in short.
pub fn trade_lite(record: &Record, fill: &Fill, row: &Instrument) -> String {
    json!({
        "e": "TRADE_LITE",
        "E": fill.event_ms,
        "T": fill.event_ms,
        "s": row.symbol.as_str(),
        "q": quantity(record, row),
        "p": row.format_price(crate::num::Ticks::ZERO),
        "m": fill.maker,
        "c": record.client_id,
        "S": record.order.side.as_str(),
        "L": row.format_price(fill.price),
        "l": row.format_quantity(fill.quantity),
        "t": fill.trade_id,
        "i": record.venue_id,
    })
    .to_string()
}

fn algo_update(record: &Record, event_ms: Millis, state: &str, row: &Instrument) -> String {
    let became = !record.rests() && state != "TRIGGERING";
    let fields = json!({
        "caid": record.client_id,
        "aid": record.venue_id,
        "at": "CONDITIONAL",
        "o": original_type(record),
        "s": row.symbol.as_str(),
        "S": record.order.side.as_str(),
        "ps": "BOTH",
        "f": "GTC",
        "q": quantity(record, row),
        "X": state,
        "ai": if became { record.venue_id.to_string() } else { String::new() },
        "ap": average_price(record.paid, record.filled.0, row),
        "aq": row.format_quantity(record.filled),
        "act": if became { "MARKET" } else { "0" },
        "tp": trigger_price(record, row),
        "p": "0",
        "V": "NONE",
        "wt": working_type(record.order.working_type),
        "pm": "NONE",
        "cp": record.close_position,
        "pP": false,
        "R": record.order.reduce_only,
        "tt": record.triggered_ms,
        "gtd": 0,
        "rm": "",
    });
    envelope("ALGO_UPDATE", event_ms, "o", fields)
}

/// The wallet changed, and a position with it.
pub fn account(update: &AccountUpdate, held: Option<(&Instrument, &VenuePosition)>, price: &Price) -> String {
    let reason = match update.reason {
        AccountReason::Funding => "FUNDING_FEE",
        AccountReason::Transfer => "DEPOSIT",
        AccountReason::Adjustment => "ADJUSTMENT",
        AccountReason::Order | AccountReason::Snapshot => "ORDER",
    };
    let balance = json!({
        "a": "USDT", "wb": money(update.wallet), "cw": money(update.wallet), "bc": change(update.change),
    });
    let positions: Vec<Value> =
        held.map(|(row, position)| held_position(row, position, price)).into_iter().collect();
    let body = json!({ "B": [balance], "P": positions, "m": reason });
    envelope("ACCOUNT_UPDATE", update.event_ms, "a", body)
}

fn held_position(row: &Instrument, position: &VenuePosition, price: &Price) -> Value {
    let quantity = row.quantity(position.quantity);
    let profit = unrealised(quantity, position.entry, price.valuation(row.tick));
    let flat = position.quantity == Lots::ZERO;
    json!({
        "s": row.symbol.as_str(),
        "pa": if flat { "0".to_string() } else { row.format_quantity(position.quantity) },
        "ep": position.entry.to_string(),
        "bep": if flat { Dec::ZERO } else { break_even(quantity, position.entry, row) }.to_string(),
        "cr": change(price.realised),
        "up": change(profit),
        "mt": "cross",
        "iw": "0",
        "ps": "BOTH",
        "ma": "USDT",
    })
}

/// The listen key ended.
pub fn listen_key_expired(listen_key: &str, event_ms: Millis) -> String {
    json!({ "e": "listenKeyExpired", "E": event_ms, "listenKey": listen_key }).to_string()
}
