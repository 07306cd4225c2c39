//! What is asked of the venue about orders. Each request is a list of parameters; which interface
//! carries it decides how they are signed and written.

use std::fmt::Write as _;

use super::client_id::ClientIds;
use super::endpoints::{method, path};
use super::params::Params;
use super::sign::{Credentials, Signer};
use crate::event::{Instrument, Order, OrderKind, WorkingType};
use crate::num::{Millis, OrderId};

/// How long the venue may still act on a request, counted from its timestamp: its own default.
pub const RECV_WINDOW_MS: i64 = 5_000;

/// A verb of the REST interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Get,
    Post,
    Put,
    Delete,
}

/// A request of the REST interface. Its query holds a signature, so it is not printed.
#[derive(Clone, PartialEq, Eq)]
pub struct RestCall {
    pub verb: Verb,
    pub path: &'static str,
    /// Without the `?`.
    pub query: String,
    /// Whether the API key must come with it.
    pub keyed: bool,
}

impl std::fmt::Debug for RestCall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {}", self.verb, self.path)
    }
}

/// What a request about an order does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Place,
    Cancel,
    Query,
}

/// Which of the venue's two services an order is with: a conditional order is the algo service's until
/// it triggers, and an ordinary order of the same client id from then on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    Ordinary,
    Algo,
}

impl From<OrderKind> for Service {
    fn from(kind: OrderKind) -> Service {
        match kind {
            OrderKind::Market => Service::Ordinary,
            OrderKind::StopMarket => Service::Algo,
        }
    }
}

/// The method of the order websocket; the algo service has none to ask with.
pub fn ws_method(action: Action, service: Service) -> Option<&'static str> {
    Some(match (action, service) {
        (Action::Place, Service::Ordinary) => method::ORDER_PLACE,
        (Action::Cancel, Service::Ordinary) => method::ORDER_CANCEL,
        (Action::Query, Service::Ordinary) => method::ORDER_STATUS,
        (Action::Place, Service::Algo) => method::ALGO_ORDER_PLACE,
        (Action::Cancel, Service::Algo) => method::ALGO_ORDER_CANCEL,
        (Action::Query, Service::Algo) => return None,
    })
}

/// Verb and path of the REST interface.
pub fn rest_road(action: Action, service: Service) -> (Verb, &'static str) {
    let verb = match action {
        Action::Place => Verb::Post,
        Action::Cancel => Verb::Delete,
        Action::Query => Verb::Get,
    };
    let path = match service {
        Service::Ordinary => path::ORDER,
        Service::Algo => path::ALGO_ORDER,
    };
    (verb, path)
}

/// A new order. `params` is cleared first.
pub fn place(params: &mut Params, instrument: &Instrument, order: &Order, ids: &ClientIds) {
    params.clear();
    let service = Service::from(order.kind);
    if service == Service::Algo {
        let working = match order.working_type {
            WorkingType::ContractPrice => "CONTRACT_PRICE",
            WorkingType::MarkPrice => "MARK_PRICE",
        };
        params.text("algoType", "CONDITIONAL").text("type", "STOP_MARKET");
        params.text("triggerPrice", instrument.format_price(order.trigger)).text("workingType", working);
    } else {
        params.text("type", "MARKET");
    }
    let id = match service {
        Service::Ordinary => "newClientOrderId",
        Service::Algo => "clientAlgoId",
    };
    params.text(id, ids.format(order.id));
    params.text("symbol", instrument.symbol).text("side", order.side.as_str());
    params.text("quantity", instrument.format_quantity(order.quantity));
    if order.reduce_only {
        params.text("reduceOnly", "true");
    }
}

/// A cancel or a query, by client id. `params` is cleared first.
pub fn find(params: &mut Params, instrument: &Instrument, service: Service, order: OrderId, ids: &ClientIds) {
    params.clear();
    let id = match service {
        Service::Ordinary => "origClientOrderId",
        Service::Algo => "clientAlgoId",
    };
    params.text("symbol", instrument.symbol).text(id, ids.format(order));
}

/// The text of a signed websocket request. `id` comes back with the response.
pub fn ws_text(
    id: u64,
    method: &str,
    params: &mut Params,
    credentials: &mut Credentials,
    timestamp_ms: Millis,
) -> String {
    params.text("apiKey", credentials.api_key());
    params.number("recvWindow", RECV_WINDOW_MS).number("timestamp", timestamp_ms);
    credentials.signer.sign_sorted(params);
    let mut text = String::with_capacity(512);
    let _ = write!(text, "{{\"id\":\"{id}\",\"method\":\"{method}\",\"params\":{{");
    params.write_json(&mut text);
    text.push_str("}}");
    text
}

/// A signed REST request.
pub fn signed(
    verb: Verb,
    path: &'static str,
    params: &mut Params,
    signer: &mut Signer,
    timestamp_ms: Millis,
) -> RestCall {
    params.number("recvWindow", RECV_WINDOW_MS).number("timestamp", timestamp_ms);
    signer.sign_as_they_are(params);
    let mut query = String::with_capacity(256);
    params.write_query(&mut query);
    RestCall { verb, path, query, keyed: true }
}

/// A REST request that needs the key alone.
pub fn keyed(verb: Verb, path: &'static str) -> RestCall {
    RestCall { verb, path, query: String::new(), keyed: true }
}

/// A REST request that anybody may make.
pub fn public(path: &'static str, query: String) -> RestCall {
    RestCall { verb: Verb::Get, path, query, keyed: false }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Purpose, btcusdt};
    use crate::num::{Lots, Side, Ticks};

    const SECRET: &str = "2b5eb11e18796d12d88f13dc27dbbd02c2cc51ff7059765ed9821957d82bb4d9";

    fn order(kind: OrderKind) -> Order {
        Order {
            id: OrderId::new(1, 2),
            trade: OrderId::new(1, 1),
            quantity: Lots(12),
            trigger: Ticks(if kind == OrderKind::StopMarket { 650_005 } else { 0 }),
            reference: Ticks(651_000),
            side: Side::Sell,
            kind,
            purpose: Purpose::Stop,
            working_type: WorkingType::MarkPrice,
            reduce_only: true,
            pad: [0; 3],
        }
    }

    fn placed(kind: OrderKind) -> serde_json::Value {
        let mut params = Params::default();
        place(&mut params, &btcusdt(), &order(kind), &ClientIds::new("qt").unwrap());
        let mut credentials = Credentials::new("key", SECRET).unwrap();
        let method = ws_method(Action::Place, kind.into()).unwrap();
        let text = ws_text(9, method, &mut params, &mut credentials, 1_700_000_000_000);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let signature = value["params"]["signature"].as_str().unwrap();
        let mut pairs: Vec<String> = Vec::new();
        for (name, value) in value["params"].as_object().unwrap() {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            if name != "signature" {
                pairs.push(format!("{name}={value}"));
            }
        }
        pairs.sort();
        assert!(credentials.signer.verify(&pairs.join("&"), signature), "signed sorted: {pairs:?}");
        value
    }

    #[test]
    fn a_market_order_and_a_stop_as_the_venue_wants_them() {
        let market = placed(OrderKind::Market);
        assert_eq!((&market["id"], &market["method"]), (&"9".into(), &"order.place".into()));
        let params = &market["params"];
        assert_eq!(params["newClientOrderId"], "qt-00000001-00000002");
        assert_eq!(params["quantity"], "0.012");
        assert_eq!(params["type"], "MARKET");
        assert_eq!(params["timestamp"], 1_700_000_000_000_i64);
        assert!(params.get("triggerPrice").is_none());

        let stop = placed(OrderKind::StopMarket);
        assert_eq!(stop["method"], "algoOrder.place");
        let params = &stop["params"];
        assert_eq!(params["clientAlgoId"], "qt-00000001-00000002");
        assert_eq!(params["algoType"], "CONDITIONAL");
        assert_eq!(params["type"], "STOP_MARKET");
        assert_eq!(params["triggerPrice"], "65000.5");
        assert_eq!(params["workingType"], "MARK_PRICE");
        assert_eq!(params["reduceOnly"], "true");
    }

    #[test]
    fn a_rest_request_is_signed_in_the_order_it_is_written() {
        let (mut params, ids) = (Params::default(), ClientIds::new("qt").unwrap());
        find(&mut params, &btcusdt(), Service::Algo, OrderId::new(1, 2), &ids);
        let mut signer = Signer::new(SECRET).unwrap();
        let (verb, path) = rest_road(Action::Query, Service::Algo);
        let call = signed(verb, path, &mut params, &mut signer, 7);
        let (payload, signature) = call.query.split_once("&signature=").unwrap();
        assert_eq!(payload, "symbol=BTCUSDT&clientAlgoId=qt-00000001-00000002&recvWindow=5000&timestamp=7");
        assert!(signer.verify(payload, signature));
        assert_eq!(format!("{call:?}"), "Get /fapi/v1/algoOrder");
    }
}
