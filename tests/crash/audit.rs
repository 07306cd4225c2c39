//! What the venue says of the account, beside what the engine says of it.

use std::collections::BTreeMap;

use quantum_trader::live::control::Status;
use quantum_trader::num::Dec;
use serde::Deserialize;

/// `GET /sim/audit`.
#[derive(Debug, Deserialize)]
pub struct Audit {
    pub orders_requested: u64,
    pub requested_again: Again,
    positions: BTreeMap<String, String>,
    open_orders: Vec<OpenOrder>,
    pub unprotected_ms: Unprotected,
}

#[derive(Debug, Deserialize)]
pub struct Again {
    pub count: u64,
    pub client_ids: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub struct Unprotected {
    pub longest: i64,
}

#[derive(Debug, Deserialize)]
struct OpenOrder {
    symbol: String,
    side: String,
    kind: String,
    reduce_only: bool,
    quantity: String,
    filled: String,
}

type Positions = BTreeMap<String, Dec>;

impl Audit {
    /// What is held, signed.
    fn held(&self) -> Positions {
        let positions = self.positions.iter().map(|(symbol, quantity)| (symbol.clone(), decimal(quantity)));
        positions.filter(|(_, quantity)| *quantity != Dec::ZERO).collect()
    }

    /// What acknowledged stops would close of a position.
    fn stopped(&self, symbol: &str, position: Dec) -> Dec {
        let side = if position.is_negative() { "BUY" } else { "SELL" };
        let stops = self.open_orders.iter().filter(|order| {
            order.symbol == symbol && order.side == side && order.kind == "STOP_MARKET" && order.reduce_only
        });
        stops.fold(Dec::ZERO, |sum, order| sum + (decimal(&order.quantity) - decimal(&order.filled)))
    }
}

/// Positions that engine and venue agree on, each under stops for all of it; `before` and `after` are
/// the venue's word around the engine's.
///
/// # Errors
/// Where they differ.
pub fn agree(before: &Audit, status: &Status, after: &Audit) -> Result<usize, String> {
    let (held, still) = (before.held(), after.held());
    if held != still {
        return Err(format!("the venue's positions move: {held:?}, then {still:?}"));
    }
    let engine: Positions = status
        .positions
        .iter()
        .map(|position| {
            let quantity = position.quantity.value();
            (position.symbol.clone(), if position.side == "SHORT" { -quantity } else { quantity })
        })
        .collect();
    if engine != held {
        return Err(format!("the engine holds {engine:?}, the venue {held:?}"));
    }
    let bare = held.iter().find(|(symbol, position)| after.stopped(symbol, **position) < position.abs());
    if let Some((symbol, position)) = bare {
        let stopped = after.stopped(symbol, *position);
        return Err(format!("{symbol} {position} has stops for {stopped}: {:?}", after.open_orders));
    }
    match status.positions.iter().find(|position| !position.covered) {
        Some(position) => Err(format!("to the engine {} is not covered", position.symbol)),
        None => Ok(held.len()),
    }
}

fn decimal(text: &str) -> Dec {
    Dec::parse(text).unwrap_or_else(|error| panic!("{error}: {text:?}"))
}
