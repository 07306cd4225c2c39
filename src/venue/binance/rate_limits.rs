//! What the venue lets a client ask in a time: its limits, what each request costs, and how much it says
//! was used.
//!
//! Source: developers.binance.com, USDⓈ-M futures: "General Info" (limits), "Enum definitions", and the
//! weight of each request. Intervals are of the venue's clock: a minute begins with the minute.

use serde::Deserialize;

use super::endpoints::path;
use super::request::Verb;
use crate::num::{NS_PER_DAY, NS_PER_HOUR, NS_PER_SEC};

const MINUTE_NS: i64 = 60 * NS_PER_SEC;
/// What a request costs whose weight is not in the table: as much as any that is.
const HEAVIEST: u32 = 40;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateKind {
    /// Request weight, of everything that comes from an address.
    Weight,
    /// New orders of an account, accepted or not.
    Orders,
}

/// So many in a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    pub kind: RateKind,
    pub period_ns: i64,
    pub limit: u32,
}

/// Limits of a venue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimits(pub Vec<RateLimit>);

impl RateLimits {
    /// Weight and orders a minute, and orders in 10 seconds.
    pub fn of(weight_1m: u32, orders_10s: u32, orders_1m: u32) -> RateLimits {
        let limit = |kind, period_ns, limit| RateLimit { kind, period_ns, limit };
        RateLimits(vec![
            limit(RateKind::Weight, MINUTE_NS, weight_1m),
            limit(RateKind::Orders, 10 * NS_PER_SEC, orders_10s),
            limit(RateKind::Orders, MINUTE_NS, orders_1m),
        ])
    }

    /// From an `exchangeInfo` answer. Of a kind that it does not name, or not in a form we know, the
    /// [default](RateLimits::default) limits hold.
    pub fn from_exchange_info(json: &[u8]) -> RateLimits {
        let rows = serde_json::from_slice::<ExchangeInfo>(json).unwrap_or_default().rate_limits;
        let named: Vec<RateLimit> = rows.iter().filter_map(|row| row.read(row.limit?)).collect();
        let names = |kind| named.iter().any(|limit| limit.kind == kind);
        let missing = RateLimits::default().0.into_iter().filter(|limit| !names(limit.kind));
        RateLimits(missing.chain(named.iter().copied()).collect())
    }
}

impl Default for RateLimits {
    /// The venue's own, in its most careful form: some accounts and networks are granted more weight.
    fn default() -> RateLimits {
        RateLimits::of(2_400, 300, 1_200)
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExchangeInfo {
    #[serde(default)]
    rate_limits: Vec<Row>,
}

/// A limit, or how much of it is used.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    rate_limit_type: String,
    interval: String,
    interval_num: u32,
    #[serde(default)]
    limit: Option<u32>,
    #[serde(default)]
    count: Option<u32>,
}

impl Row {
    /// With this number; `None` for kinds and lengths we do not know, and for a limit of nothing.
    fn read(&self, number: u32) -> Option<RateLimit> {
        let kind = match self.rate_limit_type.as_str() {
            "REQUEST_WEIGHT" => RateKind::Weight,
            "ORDERS" => RateKind::Orders,
            _ => return None,
        };
        let unit_ns = match self.interval.as_str() {
            "SECOND" => NS_PER_SEC,
            "MINUTE" => MINUTE_NS,
            "HOUR" => NS_PER_HOUR,
            "DAY" => NS_PER_DAY,
            _ => return None,
        };
        let period_ns = unit_ns.saturating_mul(i64::from(self.interval_num));
        (period_ns > 0 && number > 0).then_some(RateLimit { kind, period_ns, limit: number })
    }
}

/// What was used, by the `rateLimits` of a websocket answer: each with the count in place of the limit.
/// What cannot be read says nothing.
pub fn counts_of_answer(json: &[u8]) -> Vec<RateLimit> {
    let rows: Vec<Row> = serde_json::from_slice(json).unwrap_or_default();
    rows.iter().filter_map(|row| row.read(row.count?)).collect()
}

/// What was used, by the headers of a REST answer; `None` where one is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UsedCounts {
    pub weight_1m: Option<u32>,
    pub orders_10s: Option<u32>,
    pub orders_1m: Option<u32>,
}

impl UsedCounts {
    pub const WEIGHT_1M_HEADER: &str = "X-MBX-USED-WEIGHT-1M";
    pub const ORDERS_10S_HEADER: &str = "X-MBX-ORDER-COUNT-10S";
    pub const ORDERS_1M_HEADER: &str = "X-MBX-ORDER-COUNT-1M";

    /// From headers by name.
    pub fn read<'a>(header: impl Fn(&str) -> Option<&'a str>) -> UsedCounts {
        let count = |name: &str| header(name)?.trim().parse().ok();
        UsedCounts {
            weight_1m: count(Self::WEIGHT_1M_HEADER),
            orders_10s: count(Self::ORDERS_10S_HEADER),
            orders_1m: count(Self::ORDERS_1M_HEADER),
        }
    }

    /// As limits, each with the count in place of the limit.
    pub fn counts(self) -> impl Iterator<Item = RateLimit> {
        let count =
            |kind, period_ns, count: Option<u32>| count.map(|limit| RateLimit { kind, period_ns, limit });
        [
            count(RateKind::Weight, MINUTE_NS, self.weight_1m),
            count(RateKind::Orders, 10 * NS_PER_SEC, self.orders_10s),
            count(RateKind::Orders, MINUTE_NS, self.orders_1m),
        ]
        .into_iter()
        .flatten()
    }
}

/// Request weight; the same on the order websocket. New orders have none: they are counted by
/// themselves.
#[rustfmt::skip]
const WEIGHTS: &[(Verb, &str, u32)] = &[
    (Verb::Get,    path::TIME,              1),
    (Verb::Get,    path::EXCHANGE_INFO,     1),
    (Verb::Post,   path::LISTEN_KEY,        1),
    (Verb::Put,    path::LISTEN_KEY,        1),
    (Verb::Post,   path::ORDER,             0),
    (Verb::Get,    path::ORDER,             1),
    (Verb::Delete, path::ORDER,             1),
    (Verb::Post,   path::ALGO_ORDER,        0),
    (Verb::Get,    path::ALGO_ORDER,        1),
    (Verb::Delete, path::ALGO_ORDER,        1),
    (Verb::Get,    path::OPEN_ORDERS,      40),
    (Verb::Get,    path::OPEN_ALGO_ORDERS, 40),
    (Verb::Get,    path::ACCOUNT_CONFIG,    5),
    (Verb::Get,    path::SYMBOL_CONFIG,     5),
    (Verb::Post,   path::LEVERAGE,          1),
    (Verb::Get,    path::USER_TRADES,       5),
    (Verb::Get,    path::ACCOUNT,           5),
    (Verb::Get,    path::POSITION_RISK,     5),
    // Of more than a thousand bars.
    (Verb::Get,    path::KLINES,           10),
];

/// What a request of ours costs in weight, of one symbol or of all.
pub fn weight(verb: Verb, path: &str, of_one: bool) -> u32 {
    if of_one && [path::OPEN_ORDERS, path::OPEN_ALGO_ORDERS].contains(&path) {
        return 1;
    }
    let row = WEIGHTS.iter().find(|(known, at, _)| *known == verb && *at == path);
    row.map_or(HEAVIEST, |(_, _, weight)| *weight)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::venue::binance::request::{Action, Service, rest_road};

    #[test]
    fn limits_are_the_venues_where_it_names_them() {
        let json = br#"{"symbols":[],"rateLimits":[
            {"rateLimitType":"REQUEST_WEIGHT","interval":"MINUTE","intervalNum":1,"limit":6000},
            {"rateLimitType":"ORDERS","interval":"SECOND","intervalNum":10,"limit":50},
            {"rateLimitType":"ORDERS","interval":"DAY","intervalNum":1,"limit":200000},
            {"rateLimitType":"RAW_REQUESTS","interval":"MINUTE","intervalNum":5,"limit":61000},
            {"rateLimitType":"ORDERS","interval":"FORTNIGHT","intervalNum":1,"limit":1},
            {"rateLimitType":"ORDERS","interval":"HOUR","intervalNum":1,"limit":0}]}"#;
        let limit = |kind, period_ns, limit| RateLimit { kind, period_ns, limit };
        assert_eq!(
            RateLimits::from_exchange_info(json).0,
            [
                limit(RateKind::Weight, 60 * NS_PER_SEC, 6_000),
                limit(RateKind::Orders, 10 * NS_PER_SEC, 50),
                limit(RateKind::Orders, NS_PER_DAY, 200_000),
            ]
        );
    }

    #[test]
    fn a_venue_that_names_none_has_the_usual_ones() {
        for none in [&b"{\"symbols\":[]}"[..], b"{\"rateLimits\":[]}", b"{\"rateLimits\":7}", b"", b"[]"] {
            assert_eq!(RateLimits::from_exchange_info(none), RateLimits::default());
        }
        let weight = br#"{"rateLimits":[{"rateLimitType":"REQUEST_WEIGHT","interval":"MINUTE","intervalNum":1,"limit":9}]}"#;
        assert_eq!(RateLimits::from_exchange_info(weight).0.len(), 3, "its weight, the usual orders");
    }

    #[test]
    fn counts_of_both_roads() {
        let json =
            br#"[{"rateLimitType":"ORDERS","interval":"SECOND","intervalNum":10,"limit":300,"count":7}]"#;
        let seven = RateLimit { kind: RateKind::Orders, period_ns: 10 * NS_PER_SEC, limit: 7 };
        assert_eq!(counts_of_answer(json), [seven]);
        for nothing in [&b"[]"[..], b"{}", b"[{\"rateLimitType\":\"ORDERS\"}]", b"\xff"] {
            assert_eq!(counts_of_answer(nothing), []);
        }
        let used = UsedCounts::read(|name| match name {
            UsedCounts::ORDERS_10S_HEADER => Some(" 7 "),
            UsedCounts::WEIGHT_1M_HEADER => Some("many"),
            _ => None,
        });
        assert_eq!(used.counts().collect::<Vec<_>>(), [seven]);
    }

    #[test]
    fn every_request_about_orders_has_a_weight() {
        for service in [Service::Ordinary, Service::Algo] {
            for (action, expected) in [(Action::Place, 0), (Action::Cancel, 1), (Action::Query, 1)] {
                let (verb, path) = rest_road(action, service);
                assert_eq!(weight(verb, path, true), expected);
            }
        }
        assert_eq!(weight(Verb::Delete, path::LISTEN_KEY, true), HEAVIEST, "not in the table");
        let lists = [false, true].map(|of_one| weight(Verb::Get, path::OPEN_ORDERS, of_one));
        assert_eq!(lists, [40, 1]);
    }
}
