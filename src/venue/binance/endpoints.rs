//! Where the venue is, and its paths.

/// Base addresses, each without a slash at its end. Every one can be set, so that tests and a
/// simulated venue can stand in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints {
    /// `http(s)://host:port`; paths as in [`path`] follow.
    pub rest: String,
    /// `ws(s)://…/public`: order book streams.
    pub public: String,
    /// `ws(s)://…/market`: all other market streams.
    pub market: String,
    /// `ws(s)://…/private`: the user stream.
    pub private: String,
    /// `ws(s)://…/ws-fapi/v1`: order entry.
    pub api: String,
}

impl Endpoints {
    /// Production.
    pub fn binance() -> Endpoints {
        Endpoints::of("https://fapi.binance.com", "wss://fstream.binance.com", "wss://ws-fapi.binance.com")
    }

    /// The venue's test network: real servers, play money.
    pub fn testnet() -> Endpoints {
        let (rest, streams, api) = (
            "https://demo-fapi.binance.com",
            "wss://fstream.binancefuture.com",
            "wss://testnet.binancefuture.com",
        );
        Endpoints::of(rest, streams, api)
    }

    /// All of them at one `host:port`, as a simulated venue has them.
    pub fn at(authority: &str, secure: bool) -> Endpoints {
        let (http, ws) = if secure { ("https", "wss") } else { ("http", "ws") };
        let streams = format!("{ws}://{authority}");
        Endpoints::of(&format!("{http}://{authority}"), &streams, &streams)
    }

    fn of(rest: &str, streams: &str, api: &str) -> Endpoints {
        Endpoints {
            rest: rest.to_owned(),
            public: format!("{streams}/public"),
            market: format!("{streams}/market"),
            private: format!("{streams}/private"),
            api: format!("{api}{}", path::WS_API),
        }
    }

    /// The address of the user stream.
    pub fn user_stream(&self, listen_key: &str) -> String {
        format!("{}/ws?listenKey={listen_key}", self.private)
    }
}

/// Paths of the REST interface, and where the websockets begin.
pub mod path {
    pub const TIME: &str = "/fapi/v1/time";
    pub const EXCHANGE_INFO: &str = "/fapi/v1/exchangeInfo";
    pub const DEPTH: &str = "/fapi/v1/depth";
    pub const KLINES: &str = "/fapi/v1/klines";
    pub const PREMIUM_INDEX: &str = "/fapi/v1/premiumIndex";
    pub const LISTEN_KEY: &str = "/fapi/v1/listenKey";
    pub const ORDER: &str = "/fapi/v1/order";
    pub const ALGO_ORDER: &str = "/fapi/v1/algoOrder";
    pub const OPEN_ORDERS: &str = "/fapi/v1/openOrders";
    pub const OPEN_ALGO_ORDERS: &str = "/fapi/v1/openAlgoOrders";
    pub const ACCOUNT_CONFIG: &str = "/fapi/v1/accountConfig";
    pub const SYMBOL_CONFIG: &str = "/fapi/v1/symbolConfig";
    pub const LEVERAGE: &str = "/fapi/v1/leverage";
    pub const USER_TRADES: &str = "/fapi/v1/userTrades";
    pub const ACCOUNT: &str = "/fapi/v3/account";
    pub const POSITION_RISK: &str = "/fapi/v3/positionRisk";
    /// Of the order websocket, behind its host.
    pub const WS_API: &str = "/ws-fapi/v1";
}

/// The header that carries the API key of a REST request.
pub const API_KEY_HEADER: &str = "X-MBX-APIKEY";

/// Methods of the order websocket.
pub mod method {
    pub const ORDER_PLACE: &str = "order.place";
    pub const ORDER_CANCEL: &str = "order.cancel";
    pub const ORDER_STATUS: &str = "order.status";
    pub const ALGO_ORDER_PLACE: &str = "algoOrder.place";
    pub const ALGO_ORDER_CANCEL: &str = "algoOrder.cancel";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_addresses_at_one_host() {
        let at = Endpoints::at("127.0.0.1:9443", true);
        assert_eq!(at.rest, "https://127.0.0.1:9443");
        assert_eq!(at.api, "wss://127.0.0.1:9443/ws-fapi/v1");
        assert_eq!(at.user_stream("abc"), "wss://127.0.0.1:9443/private/ws?listenKey=abc");
        assert_eq!(Endpoints::at("h:1", false).public, "ws://h:1/public");
    }
}
