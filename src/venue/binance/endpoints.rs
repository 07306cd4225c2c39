//! Where the venue is, and its paths.

use std::net::{IpAddr, SocketAddr};

/// Key of the simulated venue's account. No account of a real one has it: whatever it signs is refused
/// there.
pub const SIMULATED_KEY: &str = "sim";

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

    /// The ones of `base` where `self` has production's: who asks for another venue and sets some of the
    /// addresses must not reach production with the rest.
    pub fn or_of(self, base: Endpoints) -> Endpoints {
        let production = Endpoints::binance();
        let choose = |own: String, production: String, base| if own == production { base } else { own };
        Endpoints {
            rest: choose(self.rest, production.rest, base.rest),
            public: choose(self.public, production.public, base.public),
            market: choose(self.market, production.market, base.market),
            private: choose(self.private, production.private, base.private),
            api: choose(self.api, production.api, base.api),
        }
    }

    /// Whether all of them are one server of this machine.
    pub fn are_one_local_server(&self) -> bool {
        let all = [&self.rest, &self.public, &self.market, &self.private, &self.api];
        let mut authorities = all.into_iter().map(|address| authority(address));
        let first = authorities.next().flatten();
        first.is_some_and(is_loopback) && authorities.all(|other| other == first)
    }

    /// The address of the user stream.
    pub fn user_stream(&self, listen_key: &str) -> String {
        format!("{}/ws?listenKey={listen_key}", self.private)
    }
}

/// What stands between `://` and the path.
fn authority(address: &str) -> Option<&str> {
    address.split_once("://")?.1.split(['/', '?', '#']).next()
}

/// By number, or by the one name that is never looked up elsewhere.
fn is_loopback(authority: &str) -> bool {
    if let Ok(address) = authority.parse::<SocketAddr>() {
        return address.ip().is_loopback();
    }
    let (host, port) = authority.split_once(':').unwrap_or((authority, "80"));
    let local = host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    local && port.parse::<u16>().is_ok()
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
    #[test]
    fn one_local_server_is_all_five_addresses() {
        for local in ["127.0.0.1:9001", "localhost:9001", "[::1]:9001", "127.8.8.8:1", "localhost"] {
            assert!(Endpoints::at(local, false).are_one_local_server(), "{local}");
            assert!(Endpoints::at(local, true).are_one_local_server(), "{local}");
        }
        for other in [
            "fapi.binance.com",
            "192.168.0.7:9001",
            "localhost.example.com:80",
            "localhost:80@example.com",
            "127.0.0.1@example.com",
            "127.0.0.1.example.com:9001",
            "localhost:9001:1",
            "0.0.0.0:9001",
            "",
        ] {
            assert!(!Endpoints::at(other, false).are_one_local_server(), "{other}");
        }
        assert!(!Endpoints::binance().are_one_local_server());
        // One that was forgotten is enough, also on another port.
        let local = Endpoints::at("127.0.0.1:9001", false);
        for other in [Endpoints::binance(), Endpoints::at("127.0.0.1:9002", false)] {
            for mixed in [
                Endpoints { rest: other.rest, ..local.clone() },
                Endpoints { public: other.public, ..local.clone() },
                Endpoints { market: other.market, ..local.clone() },
                Endpoints { private: other.private, ..local.clone() },
                Endpoints { api: other.api, ..local.clone() },
            ] {
                assert!(!mixed.are_one_local_server(), "{mixed:?}");
            }
        }
    }

    #[test]
    fn another_venue_is_never_half_production() {
        let mine = Endpoints { rest: "http://127.0.0.1:1".to_owned(), ..Endpoints::binance() };
        let found = mine.clone().or_of(Endpoints::testnet());
        assert_eq!(found, Endpoints { rest: mine.rest, ..Endpoints::testnet() });
        assert_eq!(Endpoints::binance().or_of(Endpoints::testnet()), Endpoints::testnet());
    }
}
