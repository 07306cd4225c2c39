//! Requests: what each is called on both roads, what it costs, whether it is signed, who answers.

use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::clients::ClientId;
use super::core::Core;
use super::params::Params;
use super::refusal::{BAD_API_KEY, BAD_PARAMETER, BAD_SIGNATURE, NO_SUCH_PATH, Refusal, Retry};
use crate::num::Millis;
use crate::venue::binance::{UsedCounts, code};

/// The venue's default and largest receive window.
const RECV_WINDOW_MS: Millis = 5_000;
const RECV_WINDOW_MS_MAX: Millis = 60_000;
/// How far ahead of the venue a client's clock may be.
const AHEAD_MS_MAX: Millis = 1_000;
/// Answers a silent venue holds back, so that its clients wait rather than hear that it hung up.
const HELD_MAX: usize = 1_024;

/// A body in JSON, or why not.
pub(super) type Answer = Result<String, Refusal>;

/// Where an answer goes.
#[derive(Debug)]
pub(super) enum Reply {
    /// With what is used of the limits, for its headers.
    Http(oneshot::Sender<(Answer, UsedCounts)>),
    Socket {
        client: ClientId,
        id: Value,
    },
    /// The server asked itself.
    Nobody,
}

/// A request on its way to the core.
pub(super) struct Call {
    /// `POST /fapi/v1/order`, `order.place`
    pub name: String,
    pub params: Params,
    pub api_key: String,
    pub reply: Reply,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Security {
    Open,
    /// The key alone.
    Key,
    Signed,
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Clock,
    Audit,
    Ping,
    Time,
    ExchangeInfo,
    Klines,
    Depth,
    PremiumIndex,
    BookTicker,
    PriceTicker,
    StartUserStream,
    KeepUserStream,
    StopUserStream,
    PlaceOrder,
    QueryOrder,
    CancelOrder,
    PlaceAlgoOrder,
    QueryAlgoOrder,
    CancelAlgoOrder,
    OpenOrders,
    OpenAlgoOrders,
    CancelOpenOrders,
    CancelOpenAlgoOrders,
    UserTrades,
    AccountConfig,
    SymbolConfig,
    Leverage,
    PositionMode,
    SetPositionMode,
    MultiAssetsMode,
    AccountV2,
    AccountV3,
    Balance,
    PositionsV2,
    PositionsV3,
}

impl Operation {
    /// Whether it is an instruction about one order: what lockstep counts.
    pub fn is_instruction(self) -> bool {
        matches!(
            self,
            Operation::PlaceOrder
                | Operation::QueryOrder
                | Operation::CancelOrder
                | Operation::PlaceAlgoOrder
                | Operation::QueryAlgoOrder
                | Operation::CancelAlgoOrder
        )
    }
}

/// Name, operation, request weight, security. Weights are the venue's.
type Row = (&'static str, Operation, u32, Security);

#[rustfmt::skip]
const TABLE: &[Row] = &[
    ("GET /sim/clock",                       Operation::Clock,                0, Security::Open),
    ("GET /sim/audit",                       Operation::Audit,                0, Security::Open),
    ("GET /fapi/v1/ping",                    Operation::Ping,                 1, Security::Open),
    ("ping",                                 Operation::Ping,                 1, Security::Open),
    ("GET /fapi/v1/time",                    Operation::Time,                 1, Security::Open),
    ("time",                                 Operation::Time,                 1, Security::Open),
    ("GET /fapi/v1/exchangeInfo",            Operation::ExchangeInfo,         1, Security::Open),
    ("GET /fapi/v1/klines",                  Operation::Klines,               5, Security::Open),
    ("GET /fapi/v1/depth",                   Operation::Depth,                5, Security::Open),
    ("depth",                                Operation::Depth,                5, Security::Open),
    ("GET /fapi/v1/premiumIndex",            Operation::PremiumIndex,         1, Security::Open),
    ("GET /fapi/v1/ticker/bookTicker",       Operation::BookTicker,           2, Security::Open),
    ("ticker.book",                          Operation::BookTicker,           2, Security::Open),
    ("GET /fapi/v1/ticker/price",            Operation::PriceTicker,          1, Security::Open),
    ("GET /fapi/v2/ticker/price",            Operation::PriceTicker,          1, Security::Open),
    ("ticker.price",                         Operation::PriceTicker,          1, Security::Open),
    ("POST /fapi/v1/listenKey",              Operation::StartUserStream,      1, Security::Key),
    ("userDataStream.start",                 Operation::StartUserStream,      5, Security::Key),
    ("PUT /fapi/v1/listenKey",               Operation::KeepUserStream,       1, Security::Key),
    ("userDataStream.ping",                  Operation::KeepUserStream,       1, Security::Key),
    ("DELETE /fapi/v1/listenKey",            Operation::StopUserStream,       1, Security::Key),
    ("userDataStream.stop",                  Operation::StopUserStream,       1, Security::Key),
    ("POST /fapi/v1/order",                  Operation::PlaceOrder,           0, Security::Signed),
    ("order.place",                          Operation::PlaceOrder,           0, Security::Signed),
    ("GET /fapi/v1/order",                   Operation::QueryOrder,           1, Security::Signed),
    ("order.status",                         Operation::QueryOrder,           1, Security::Signed),
    ("DELETE /fapi/v1/order",                Operation::CancelOrder,          1, Security::Signed),
    ("order.cancel",                         Operation::CancelOrder,          1, Security::Signed),
    ("POST /fapi/v1/algoOrder",              Operation::PlaceAlgoOrder,       0, Security::Signed),
    ("algoOrder.place",                      Operation::PlaceAlgoOrder,       0, Security::Signed),
    ("GET /fapi/v1/algoOrder",               Operation::QueryAlgoOrder,       1, Security::Signed),
    ("DELETE /fapi/v1/algoOrder",            Operation::CancelAlgoOrder,      1, Security::Signed),
    ("algoOrder.cancel",                     Operation::CancelAlgoOrder,      1, Security::Signed),
    ("GET /fapi/v1/openOrders",              Operation::OpenOrders,          40, Security::Signed),
    ("GET /fapi/v1/openAlgoOrders",          Operation::OpenAlgoOrders,      40, Security::Signed),
    ("DELETE /fapi/v1/allOpenOrders",        Operation::CancelOpenOrders,     1, Security::Signed),
    ("DELETE /fapi/v1/algoOpenOrders",       Operation::CancelOpenAlgoOrders, 1, Security::Signed),
    ("GET /fapi/v1/userTrades",              Operation::UserTrades,           5, Security::Signed),
    ("GET /fapi/v1/accountConfig",           Operation::AccountConfig,        5, Security::Signed),
    ("GET /fapi/v1/symbolConfig",            Operation::SymbolConfig,         5, Security::Signed),
    ("POST /fapi/v1/leverage",               Operation::Leverage,             1, Security::Signed),
    ("GET /fapi/v1/positionSide/dual",       Operation::PositionMode,        30, Security::Signed),
    ("POST /fapi/v1/positionSide/dual",      Operation::SetPositionMode,      1, Security::Signed),
    ("GET /fapi/v1/multiAssetsMargin",       Operation::MultiAssetsMode,     30, Security::Signed),
    ("GET /fapi/v2/account",                 Operation::AccountV2,            5, Security::Signed),
    ("account.status",                       Operation::AccountV2,            5, Security::Signed),
    ("GET /fapi/v3/account",                 Operation::AccountV3,            5, Security::Signed),
    ("v2/account.status",                    Operation::AccountV3,            5, Security::Signed),
    ("GET /fapi/v2/balance",                 Operation::Balance,              5, Security::Signed),
    ("GET /fapi/v3/balance",                 Operation::Balance,              5, Security::Signed),
    ("account.balance",                      Operation::Balance,              5, Security::Signed),
    ("v2/account.balance",                   Operation::Balance,              5, Security::Signed),
    ("GET /fapi/v2/positionRisk",            Operation::PositionsV2,          5, Security::Signed),
    ("account.position",                     Operation::PositionsV2,          5, Security::Signed),
    ("GET /fapi/v3/positionRisk",            Operation::PositionsV3,          5, Security::Signed),
    ("v2/account.position",                  Operation::PositionsV3,          5, Security::Signed),
];

impl Core {
    /// Takes a request up: answers it, or has the venue answer it later.
    pub(super) fn call(&mut self, call: Call) {
        self.clients.report.requests += 1;
        let Some((_, operation, weight, security)) = TABLE.iter().find(|row| row.0 == call.name) else {
            let message = match call.name.split_once(' ') {
                Some((method, path)) => format!("Path {path}, Method {method} is invalid"),
                None => format!("Method {} is invalid", call.name),
            };
            return self.answer(call.reply, Err(Refusal::new(NO_SUCH_PATH, message)));
        };
        if operation.is_instruction() {
            self.note_instruction();
        }
        // Of one symbol, lists cost less.
        let list = matches!(operation, Operation::OpenOrders | Operation::OpenAlgoOrders);
        let weight = if list && call.params.get("symbol").is_some() { 1 } else { *weight };
        match self.admit(*operation, weight, *security, &call) {
            Ok(()) => self.perform(*operation, &call.params, call.reply),
            Err(refusal) => self.answer_instruction(*operation, call.reply, Err(refusal)),
        }
    }

    /// Whether a request is taken: within the limits, and by whom it should be.
    fn admit(
        &mut self,
        operation: Operation,
        weight: u32,
        security: Security,
        call: &Call,
    ) -> Result<(), Refusal> {
        let now_ms = self.now.ms();
        // Paths of our own are no part of the venue.
        if !matches!(operation, Operation::Clock | Operation::Audit) {
            self.rates.spend_weight(now_ms, weight)?;
        }
        self.check_security(security, &call.params, &call.api_key)?;
        match operation {
            Operation::PlaceOrder | Operation::PlaceAlgoOrder => self.rates.spend_order(now_ms),
            _ => Ok(()),
        }
    }

    fn perform(&mut self, operation: Operation, params: &Params, reply: Reply) {
        use Operation as O;
        let answer = match operation {
            O::PlaceOrder | O::PlaceAlgoOrder => return self.place(operation, params, reply),
            O::CancelOrder | O::CancelAlgoOrder => return self.cancel(operation, params, reply),
            O::QueryOrder | O::QueryAlgoOrder => return self.query(operation, params, reply),
            O::Clock => Ok(self.clock_text()),
            O::Audit => Ok(self.audit()),
            O::Ping => Ok("{}".to_string()),
            O::Time => Ok(json!({ "serverTime": self.clock().ms() }).to_string()),
            O::ExchangeInfo => Ok(self.exchange_info()),
            O::Klines => self.klines(params),
            O::Depth => self.depth(params),
            O::PremiumIndex => self.premium_index(params),
            O::BookTicker => self.book_ticker(params),
            O::PriceTicker => self.price_ticker(params),
            O::StartUserStream => Ok(self.start_user_stream()),
            O::KeepUserStream => self.keep_user_stream(),
            O::StopUserStream => self.stop_user_stream(),
            O::OpenOrders => self.open_orders(params, false),
            O::OpenAlgoOrders => self.open_orders(params, true),
            O::CancelOpenOrders => self.cancel_open(params, false),
            O::CancelOpenAlgoOrders => self.cancel_open(params, true),
            O::UserTrades => self.user_trades(params),
            O::AccountConfig => Ok(self.account_config()),
            O::SymbolConfig => self.symbol_config(params),
            O::Leverage => self.leverage(params),
            O::PositionMode => Ok(json!({ "dualSidePosition": false }).to_string()),
            O::SetPositionMode => set_position_mode(params),
            O::MultiAssetsMode => Ok(json!({ "multiAssetsMargin": false }).to_string()),
            O::AccountV2 => Ok(self.account(false)),
            O::AccountV3 => Ok(self.account(true)),
            O::Balance => Ok(self.balance()),
            O::PositionsV2 => self.positions(params, false),
            O::PositionsV3 => self.positions(params, true),
        };
        self.answer(reply, answer);
    }

    fn check_security(&self, security: Security, params: &Params, api_key: &str) -> Result<(), Refusal> {
        if security == Security::Open {
            return Ok(());
        }
        let key = if api_key.is_empty() { params.get("apiKey").unwrap_or_default() } else { api_key };
        if key != self.key {
            return Err(Refusal::of(BAD_API_KEY));
        }
        if security == Security::Key {
            return Ok(());
        }
        let signature = params.signature().ok_or_else(|| Refusal::missing("signature"))?;
        if !self.signer.verify(&params.signed, signature) {
            return Err(Refusal::of(BAD_SIGNATURE));
        }
        self.check_time(params)
    }

    fn check_time(&self, params: &Params) -> Result<(), Refusal> {
        let timestamp = params.integer("timestamp")?.ok_or_else(|| Refusal::missing("timestamp"))?;
        let window = params.integer("recvWindow")?.unwrap_or(RECV_WINDOW_MS);
        if !(0..=RECV_WINDOW_MS_MAX).contains(&window) {
            return Err(Refusal::new(BAD_PARAMETER, "recvWindow must be less than 60000."));
        }
        // What a venue that is behind its clock has not done yet makes no client's clock fast, nor its
        // request late.
        let ahead_ms = timestamp.saturating_sub(self.clock().ms());
        let age_ms = self.now.ms().saturating_sub(timestamp);
        if ahead_ms > AHEAD_MS_MAX {
            let message = "Timestamp for this request was 1000ms ahead of the server's time.";
            return Err(Refusal::new(code::INVALID_TIMESTAMP, message));
        }
        if age_ms > window { Err(Refusal::of(code::INVALID_TIMESTAMP)) } else { Ok(()) }
    }

    /// Answers what was asked, and counts the answer where lockstep waits for it.
    pub(super) fn answer_instruction(&mut self, operation: Operation, reply: Reply, answer: Answer) {
        if operation.is_instruction() && !matches!(reply, Reply::Nobody) {
            self.said += 1;
        }
        self.answer(reply, answer);
    }

    /// Never answers.
    pub(super) fn hold(&mut self, reply: Reply) {
        if self.held.len() < HELD_MAX {
            self.held.push(reply);
        }
    }

    /// Sends an answer where it belongs.
    pub(super) fn answer(&mut self, reply: Reply, answer: Answer) {
        if let Err(refusal) = &answer {
            self.clients.report.note_refusal(refusal.code);
        }
        if self.faults.silent() {
            return self.hold(reply);
        }
        match reply {
            // Whoever asked may have hung up.
            Reply::Http(sender) => drop(sender.send((answer, self.rates.used(self.now.ms())))),
            Reply::Socket { client, id } => {
                let now_ms = self.now.ms();
                let text = socket_answer(&id, answer, &self.rates.shown(now_ms), now_ms);
                self.send_text(client, text);
            }
            Reply::Nobody => {}
        }
    }
}

/// An answer of the order socket.
fn socket_answer(id: &Value, answer: Answer, limits: &str, now_ms: Millis) -> String {
    match answer {
        Ok(result) => format!(r#"{{"id":{id},"status":200,"result":{result},"rateLimits":{limits}}}"#),
        Err(refusal) => {
            let mut error = json!({ "code": refusal.code, "msg": refusal.message });
            if let Some(Retry { at_ms, .. }) = refusal.retry {
                error["data"] = json!({ "serverTime": now_ms, "retryAfter": at_ms });
            }
            let status = refusal.http_status();
            format!(r#"{{"id":{id},"status":{status},"error":{error},"rateLimits":{limits}}}"#)
        }
    }
}

/// One-way mode is all there is: asking for it changes nothing, asking for another is refused.
fn set_position_mode(params: &Params) -> Answer {
    params.need("dualSidePosition")?;
    if params.flag("dualSidePosition")? {
        return Err(Refusal::bad("dualSidePosition", "the simulated venue has one-way positions only"));
    }
    Err(Refusal::of(super::refusal::NO_CHANGE_OF_POSITION_SIDE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_stands_once() {
        for (i, row) in TABLE.iter().enumerate() {
            assert!(TABLE[..i].iter().all(|other| other.0 != row.0), "{}", row.0);
        }
    }
}
