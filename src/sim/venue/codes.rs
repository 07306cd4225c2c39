//! Error codes of Binance USD-M futures that the simulated venue answers with
//! (developers.binance.com, USDⓈ-M futures, "Error Code").

/// More orders than the venue remembers ids for.
pub const TOO_MANY_ORDERS: i32 = -1015;
/// Conditional orders that are not reduce-only: not offered here.
pub const INVALID_ORDER_TYPE: i32 = -1116;
/// An instrument that is not in the table.
pub const BAD_SYMBOL: i32 = -1121;
/// Cancel of an order that is unknown or already done.
pub const CANCEL_REJECTED: i32 = -2011;
/// Query of an order that does not exist.
pub const NO_SUCH_ORDER: i32 = -2013;
pub const MARGIN_NOT_SUFFICIENT: i32 = -2019;
pub const WOULD_IMMEDIATELY_TRIGGER: i32 = -2021;
/// Reduce-only without a position on the other side.
pub const REDUCE_ONLY_REJECTED: i32 = -2022;
pub const MAX_OPEN_ORDERS: i32 = -2025;
pub const QUANTITY_NOT_POSITIVE: i32 = -4003;
pub const QUANTITY_BELOW_MIN: i32 = -4004;
pub const QUANTITY_ABOVE_MAX: i32 = -4005;
pub const TRIGGER_NOT_POSITIVE: i32 = -4006;
pub const BAD_CLIENT_ORDER_ID: i32 = -4015;
pub const MAX_STOP_ORDERS: i32 = -4045;
pub const DUPLICATE_CLIENT_ORDER_ID: i32 = -4116;
/// Open reduce-only orders already cover the position.
pub const REDUCE_ONLY_COVERED: i32 = -4118;
/// The other side of the book has no price: no quote yet, or an empty side.
pub const NO_COUNTERPARTY_PRICE: i32 = -4131;
pub const NOTIONAL_BELOW_MIN: i32 = -4164;
