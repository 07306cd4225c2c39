//! Errors the server answers with: code, the venue's words, HTTP status.
//!
//! Source: developers.binance.com, USDⓈ-M futures, "Error Code".

use std::borrow::Cow;

use crate::num::Millis;
use crate::sim::venue::codes as venue;
use crate::venue::binance::code;

pub(super) const UNKNOWN: i32 = -1000;
pub(super) const ILLEGAL_CHARACTERS: i32 = -1100;
pub(super) const PARAMETER_MISSING: i32 = -1102;
pub(super) const BAD_SIGNATURE: i32 = -1022;
pub(super) const BAD_PRECISION: i32 = -1111;
pub(super) const BAD_INTERVAL: i32 = -1120;
pub(super) const BAD_SIDE: i32 = -1117;
pub(super) const BAD_PARAMETER: i32 = -1130;
pub(super) const BAD_API_KEY: i32 = -2015;
pub(super) const BAD_LEVERAGE: i32 = -4028;
pub(super) const BAD_POSITION_SIDE: i32 = -4061;
pub(super) const NO_CHANGE_OF_POSITION_SIDE: i32 = -4059;
pub(super) const CLOSE_POSITION_WITH_QUANTITY: i32 = -4137;
pub(super) const CLOSE_POSITION_WITH_REDUCE_ONLY: i32 = -4138;
pub(super) const NO_SUCH_PATH: i32 = -5000;

/// A request refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub code: i32,
    pub message: Cow<'static, str>,
    /// When the next request may be made, and how long that is from now.
    pub retry: Option<Retry>,
    /// The HTTP status, where too much was asked: 429, or 418 for a ban.
    pub limited: Option<u16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Retry {
    pub at_ms: Millis,
    pub in_ms: Millis,
}

impl Retry {
    /// In whole seconds, and never too early.
    pub fn after_s(self) -> u32 {
        let seconds = (self.in_ms.max(0) as u64).div_ceil(1_000);
        u32::try_from(seconds).unwrap_or(u32::MAX)
    }
}

impl Refusal {
    pub fn new(code: i32, message: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal { code, message: message.into(), retry: None, limited: None }
    }

    /// The venue's own words for a code.
    pub fn of(code: i32) -> Refusal {
        Refusal::new(code, words(code))
    }

    pub fn missing(name: &str) -> Refusal {
        let message = format!("Mandatory parameter '{name}' was not sent, was empty/null, or malformed.");
        Refusal::new(PARAMETER_MISSING, message)
    }

    /// A parameter that was understood and is not allowed.
    pub fn bad(name: &str, allowed: &str) -> Refusal {
        Refusal::new(BAD_PARAMETER, format!("Data sent for parameter '{name}' is not valid: {allowed}."))
    }

    pub fn http_status(&self) -> u16 {
        self.limited.unwrap_or(match self.code {
            code::TOO_MANY_REQUESTS => 429,
            BAD_API_KEY => 401,
            NO_SUCH_PATH => 404,
            UNKNOWN => 500,
            _ => 400,
        })
    }
}

fn words(code: i32) -> &'static str {
    match code {
        venue::TOO_MANY_ORDERS => "Too many new orders.",
        code::INVALID_TIMESTAMP => "Timestamp for this request is outside of the recvWindow.",
        BAD_SIGNATURE => "Signature for this request is not valid.",
        BAD_PRECISION => "Precision is over the maximum defined for this asset.",
        venue::INVALID_ORDER_TYPE => "Invalid orderType.",
        BAD_SIDE => "Invalid side.",
        BAD_INTERVAL => "Invalid interval.",
        venue::BAD_SYMBOL => "Invalid symbol.",
        code::INVALID_LISTEN_KEY => "This listenKey does not exist.",
        code::CANCEL_REJECTED => "Unknown order sent.",
        code::NO_SUCH_ORDER => "Order does not exist.",
        BAD_API_KEY => "Invalid API-key, IP, or permissions for action.",
        code::MARGIN_NOT_SUFFICIENT => "Margin is insufficient.",
        code::WOULD_TRIGGER_IMMEDIATELY => "Order would immediately trigger.",
        code::REDUCE_ONLY_REJECTED => "ReduceOnly Order is rejected.",
        venue::MAX_OPEN_ORDERS => "Reach max open order limit.",
        venue::QUANTITY_NOT_POSITIVE => "Quantity less than or equal to zero.",
        venue::QUANTITY_BELOW_MIN => "Quantity less than min quantity.",
        venue::QUANTITY_ABOVE_MAX => "Quantity greater than max quantity.",
        venue::TRIGGER_NOT_POSITIVE => "Stop price less than or equal to zero.",
        venue::BAD_CLIENT_ORDER_ID => "Client order id is not valid.",
        venue::MAX_STOP_ORDERS => "Reach max stop order limit.",
        NO_CHANGE_OF_POSITION_SIDE => "No need to change position side.",
        BAD_LEVERAGE => "Leverage is not valid",
        BAD_POSITION_SIDE => "Order's position side does not match user's setting.",
        code::DUPLICATE_CLIENT_ORDER_ID => "ClientOrderId is duplicated.",
        code::REDUCE_ONLY_MARGIN => {
            "ReduceOnly Order Failed. Please check your existing position and open orders."
        }
        code::USE_ALGO_SERVICE => {
            "Order type not supported for this endpoint. Please use the Algo Order API endpoints instead."
        }
        code::PERCENT_PRICE => "The counterparty's best price does not meet the PERCENT_PRICE filter limit.",
        CLOSE_POSITION_WITH_QUANTITY => "Quantity must be zero with closePosition equals true.",
        CLOSE_POSITION_WITH_REDUCE_ONLY => "Reduce only must be true with closePosition equals true.",
        code::MIN_NOTIONAL => {
            "Order's notional must be no smaller than the minimum notional (unless you choose reduce only)."
        }
        _ => "An unknown error occurred while processing the request.",
    }
}
