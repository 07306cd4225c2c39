//! Error codes the engine acts on. Any other code is a plain rejection.

/// Request weight exhausted: back off until `retryAfter`.
pub const TOO_MANY_REQUESTS: i32 = -1003;
/// An unexpected response inside the venue: the order's state is unknown and must be queried.
pub const UNEXPECTED_RESPONSE: i32 = -1006;
/// No answer from the matching engine in time: the order's state is unknown and must be queried.
pub const TIMEOUT: i32 = -1007;
/// Turned away to protect the venue: not executed.
pub const SERVER_OVERLOADED: i32 = -1008;
/// More orders than the account may place in a time: back off as for requests.
pub const TOO_MANY_ORDERS: i32 = -1015;
/// Timestamp outside the receive window: our clock is off.
pub const INVALID_TIMESTAMP: i32 = -1021;
/// A parameter that must not be sent: `reduceOnly` in hedge mode.
pub const PARAMETER_NOT_REQUIRED: i32 = -1106;
/// The listen key does not exist (any more): make a new one.
pub const INVALID_LISTEN_KEY: i32 = -1125;
/// Order refused: balance or state of the account.
pub const NEW_ORDER_REJECTED: i32 = -2010;
/// Cancel refused: the order is not open, or not known yet.
pub const CANCEL_REJECTED: i32 = -2011;
/// The order does not exist, or cannot be queried yet.
pub const NO_SUCH_ORDER: i32 = -2013;
/// Wallet balance does not cover the order.
pub const BALANCE_NOT_SUFFICIENT: i32 = -2018;
/// Available margin does not cover the order.
pub const MARGIN_NOT_SUFFICIENT: i32 = -2019;
/// The stop's trigger is already passed.
pub const WOULD_TRIGGER_IMMEDIATELY: i32 = -2021;
/// Reduce-only order larger than the position, or without one.
pub const REDUCE_ONLY_REJECTED: i32 = -2022;
/// Leverage above what the position's size allows.
pub const MAX_LEVERAGE_RATIO: i32 = -2027;
/// The client order id was used before: late proof that an unanswered order was accepted.
pub const DUPLICATE_CLIENT_ORDER_ID: i32 = -4116;
/// Open reduce-only orders leave no room for this one.
pub const REDUCE_ONLY_MARGIN: i32 = -4118;
/// Conditional orders belong to the algo service.
pub const USE_ALGO_SERVICE: i32 = -4120;
/// The book is further from the mark price than PERCENT_PRICE allows a market order to go.
pub const PERCENT_PRICE: i32 = -4131;
/// Order value below the minimum notional.
pub const MIN_NOTIONAL: i32 = -4164;
/// A post-only order would have taken.
pub const POST_ONLY_WOULD_TAKE: i32 = -5022;
