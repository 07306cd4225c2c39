//! What the venue writes: messages of the user stream, answers about orders, account and market.
//!
//! Written from the documentation and recordings, and apart from what reads them: a mistake made
//! once on either side shows.

pub mod account;
pub mod market;
pub mod orders;
pub mod user_stream;

use crate::event::{Instrument, WorkingType};
use crate::num::{Dec, Rounding, mul_div};

/// Places of money, as in the venue's wallet.
const MONEY_PLACES: u32 = 8;

/// Money with at least 8 places: `0.00000000`.
fn money(amount: Dec) -> String {
    amount.display(MONEY_PLACES).to_string()
}

/// Money as the user stream has it: `0` for nothing, else with at least 8 places.
fn change(amount: Dec) -> String {
    if amount == Dec::ZERO { "0".to_string() } else { money(amount) }
}

/// Average price of fills worth `paid` tick-lots, two places finer than prices and 5 at least.
fn average_price(paid: i128, lots: i64, row: &Instrument) -> String {
    let places = (u32::from(row.price_places) + 2).max(5);
    let average = mul_div(paid, row.tick.0, i128::from(lots), Rounding::HalfEven).map_or(Dec::ZERO, Dec);
    average.round(places, Rounding::HalfEven).display(places).to_string()
}

/// The value of a position of signed `quantity` at a price; 8 places.
fn value(quantity: Dec, price: Dec) -> Dec {
    let product = quantity.mul(price, Rounding::HalfEven).unwrap_or(Dec::ZERO);
    product.round(MONEY_PLACES, Rounding::HalfEven)
}

/// Unrealised profit at a price; nothing while there is none.
fn unrealised(quantity: Dec, entry: Dec, price: Option<Dec>) -> Dec {
    let Some(price) = price else { return Dec::ZERO };
    Dec(value(quantity, price).0.saturating_sub(value(quantity, entry).0))
}

/// The price at which closing pays the fee of opening.
fn break_even(quantity: Dec, entry: Dec, row: &Instrument) -> Dec {
    let fee = entry.mul(row.taker_fee, Rounding::HalfEven).unwrap_or(Dec::ZERO);
    let price =
        if quantity.is_negative() { entry.0.saturating_sub(fee.0) } else { entry.0.saturating_add(fee.0) };
    Dec(price)
}

fn working_type(working_type: WorkingType) -> &'static str {
    match working_type {
        WorkingType::ContractPrice => "CONTRACT_PRICE",
        WorkingType::MarkPrice => "MARK_PRICE",
    }
}
