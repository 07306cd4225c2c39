//! What the venue lets its clients ask: request weight and orders, by intervals of simulated time; and
//! what becomes of who asks on when told not to.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::config::ServerConfig;
use super::refusal::{Refusal, Retry};
use crate::num::Millis;
use crate::venue::binance::{UsedCounts, code};

const SECOND_MS: Millis = 1_000;
const MINUTE_MS: Millis = 60 * SECOND_MS;
/// Requests over a limit that one interval forgives: what a client may have under way when it is told.
/// The venue does not say how many it does.
const PATIENCE: u32 = 50;
/// The first ban; each one after it lasts twice as long.
const BAN_MS: Millis = 120 * SECOND_MS;
const BAN_MS_MAX: Millis = 3 * 24 * 3_600 * SECOND_MS;
/// More are beyond the longest ban.
const DOUBLINGS_MAX: u32 = 12;

/// A limit, and how much of it is used in the present interval.
#[derive(Debug)]
struct Counter {
    kind: &'static str,
    /// In the venue's words.
    unit: &'static str,
    number: u32,
    length_ms: Millis,
    limit: u32,
    interval: i64,
    used: u32,
}

impl Counter {
    fn new(kind: &'static str, (unit, number, unit_ms): (&'static str, u32, Millis), limit: u32) -> Counter {
        let length_ms = unit_ms * Millis::from(number);
        Counter { kind, unit, number, length_ms, limit, interval: 0, used: 0 }
    }

    fn used(&self, now_ms: Millis) -> u32 {
        if now_ms.div_euclid(self.length_ms) == self.interval { self.used } else { 0 }
    }

    /// Spends, and says whether that was more than is left.
    fn spend(&mut self, now_ms: Millis, amount: u32) -> bool {
        self.used = self.used(now_ms).saturating_add(amount);
        self.interval = now_ms.div_euclid(self.length_ms);
        self.used > self.limit
    }

    fn ends_ms(&self) -> Millis {
        (self.interval + 1).saturating_mul(self.length_ms)
    }

    fn stated(&self) -> Value {
        json!({
            "rateLimitType": self.kind, "interval": self.unit, "intervalNum": self.number, "limit": self.limit,
        })
    }
}

/// The limits of all clients together, for they come from one address.
#[derive(Debug)]
pub(super) struct Rates {
    weight: Counter,
    orders: [Counter; 2],
    /// Until when somebody was told to wait, and how many requests over a limit came since.
    told_until_ms: Millis,
    over_since_told: u32,
    banned_until_ms: Millis,
    bans: u32,
    /// For the auditor.
    pub over_limits: u64,
    pub during_ban: u64,
}

impl Rates {
    pub fn new(config: &ServerConfig) -> Rates {
        let (minute, ten_seconds) = (("MINUTE", 1, MINUTE_MS), ("SECOND", 10, SECOND_MS));
        Rates {
            weight: Counter::new("REQUEST_WEIGHT", minute, config.weight_per_minute),
            orders: [
                Counter::new("ORDERS", ten_seconds, config.orders_per_10_s),
                Counter::new("ORDERS", minute, config.orders_per_minute),
            ],
            told_until_ms: Millis::MIN,
            over_since_told: 0,
            banned_until_ms: Millis::MIN,
            bans: 0,
            over_limits: 0,
            during_ban: 0,
        }
    }

    /// Any request: whether it is heard at all.
    ///
    /// # Errors
    /// 418 during a ban, −1003 beyond the weight.
    pub fn spend_weight(&mut self, now_ms: Millis, weight: u32) -> Result<(), Refusal> {
        if now_ms < self.banned_until_ms {
            self.during_ban += 1;
            return Err(self.banned(now_ms));
        }
        if !self.weight.spend(now_ms, weight) {
            return Ok(());
        }
        let message = format!(
            "Too many requests; current limit is {} request weight per 1 MINUTE. \
             Please use WebSocket Streams for live updates to avoid polling the API.",
            self.weight.limit
        );
        let refusal = Refusal::new(code::TOO_MANY_REQUESTS, message);
        Err(self.refuse(now_ms, self.weight.ends_ms(), refusal))
    }

    /// A new order of the account.
    ///
    /// # Errors
    /// −1015 beyond the orders of 10 s or of a minute.
    pub fn spend_order(&mut self, now_ms: Millis) -> Result<(), Refusal> {
        let mut broken = None;
        for counter in &mut self.orders {
            if counter.spend(now_ms, 1) {
                // The longer one, whose end is later, is the last.
                broken = Some((counter.limit, counter.number, counter.unit, counter.ends_ms()));
            }
        }
        let Some((limit, number, unit, ends_ms)) = broken else { return Ok(()) };
        let message = format!("Too many new orders; current limit is {limit} orders per {number} {unit}.");
        Err(self.refuse(now_ms, ends_ms, Refusal::new(code::TOO_MANY_ORDERS, message)))
    }

    fn refuse(&mut self, now_ms: Millis, until_ms: Millis, refusal: Refusal) -> Refusal {
        self.over_limits += 1;
        if now_ms >= self.told_until_ms {
            self.over_since_told = 0;
        }
        self.told_until_ms = self.told_until_ms.max(until_ms);
        self.over_since_told += 1;
        if self.over_since_told > PATIENCE {
            let length_ms = (BAN_MS << self.bans.min(DOUBLINGS_MAX)).min(BAN_MS_MAX);
            self.banned_until_ms = now_ms.saturating_add(length_ms);
            self.bans += 1;
            self.over_since_told = 0;
            return self.banned(now_ms);
        }
        Refusal { retry: Some(retry(now_ms, until_ms)), limited: Some(429), ..refusal }
    }

    fn banned(&self, now_ms: Millis) -> Refusal {
        let until_ms = self.banned_until_ms;
        let message = format!(
            "Way too many requests; IP banned until {until_ms}. \
             Please use the websocket for live updates to avoid bans."
        );
        let refusal = Refusal::new(code::TOO_MANY_REQUESTS, message);
        Refusal { retry: Some(retry(now_ms, until_ms)), limited: Some(418), ..refusal }
    }

    /// Until when nothing should be asked: everybody is banned, or was told to wait.
    pub fn silent_until_ms(&self) -> Millis {
        self.banned_until_ms.max(self.told_until_ms)
    }

    /// For `exchangeInfo`.
    pub fn stated(&self) -> Value {
        let [ten_seconds, minute] = &self.orders;
        json!([self.weight.stated(), minute.stated(), ten_seconds.stated()])
    }

    /// `rateLimits` of a websocket answer.
    pub fn shown(&self, now_ms: Millis) -> String {
        let mut text = String::with_capacity(320);
        for counter in std::iter::once(&self.weight).chain(&self.orders) {
            let Counter { kind, unit, number, limit, .. } = counter;
            let (comma, count) = (if text.is_empty() { '[' } else { ',' }, counter.used(now_ms));
            // Writing to a String does not fail.
            let _ = write!(
                text,
                r#"{comma}{{"rateLimitType":"{kind}","interval":"{unit}","intervalNum":{number},"limit":{limit},"count":{count}}}"#
            );
        }
        text + "]"
    }

    /// For the headers of a REST answer.
    pub fn used(&self, now_ms: Millis) -> UsedCounts {
        let [ten_seconds, minute] = &self.orders;
        UsedCounts {
            weight_1m: Some(self.weight.used(now_ms)),
            orders_10s: Some(ten_seconds.used(now_ms)),
            orders_1m: Some(minute.used(now_ms)),
        }
    }
}

fn retry(now_ms: Millis, at_ms: Millis) -> Retry {
    Retry { at_ms, in_ms: at_ms.saturating_sub(now_ms) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(weight: u32, orders_per_10_s: u32, orders_per_minute: u32) -> Rates {
        let config = ServerConfig {
            weight_per_minute: weight,
            orders_per_10_s,
            orders_per_minute,
            ..ServerConfig::default()
        };
        Rates::new(&config)
    }

    fn refused(result: Result<(), Refusal>) -> (i32, u16, Millis) {
        let refusal = result.unwrap_err();
        (refusal.code, refusal.http_status(), refusal.retry.unwrap().in_ms)
    }

    #[test]
    fn weight_is_spent_by_the_minute() {
        let mut rates = rates(10, 1, 1);
        assert_eq!(rates.spend_weight(59_000, 10), Ok(()));
        assert_eq!(refused(rates.spend_weight(59_999, 1)), (-1003, 429, 1));
        assert_eq!(rates.used(59_999).weight_1m, Some(11));
        assert_eq!(rates.used(60_000).weight_1m, Some(0));
        assert_eq!(rates.spend_weight(60_000, 10), Ok(()));
        assert_eq!(rates.over_limits, 1);
    }

    #[test]
    fn orders_are_counted_by_two_intervals() {
        let mut rates = rates(10, 2, 3);
        assert_eq!((rates.spend_order(0), rates.spend_order(9_999)), (Ok(()), Ok(())));
        assert_eq!(refused(rates.spend_order(9_999)), (-1015, 429, 1));
        // The refused one counts as well.
        assert_eq!(refused(rates.spend_order(10_000)), (-1015, 429, 50_000));
        assert_eq!(rates.spend_order(60_000), Ok(()));
    }

    #[test]
    fn who_asks_on_is_banned_and_longer_each_time() {
        let mut rates = rates(1, 1, 1);
        let mut now_ms = 0;
        for minutes in [2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024, 2_048, 4_096, 4_320, 4_320] {
            let mut asked = 0;
            rates.spend_weight(now_ms, 1).unwrap();
            let banned_for_ms = loop {
                let (code, status, wait_ms) = refused(rates.spend_weight(now_ms, 1));
                asked += 1;
                assert!(code == -1003 && asked <= 2 * PATIENCE);
                if status == 418 {
                    break wait_ms;
                }
            };
            assert_eq!((asked, banned_for_ms), (PATIENCE + 1, minutes * MINUTE_MS));
            now_ms += banned_for_ms;
            let before = rates.during_ban;
            assert_eq!(refused(rates.spend_weight(now_ms - 1, 0)), (-1003, 418, 1));
            assert_eq!(rates.during_ban, before + 1);
        }
    }

    #[test]
    fn who_is_told_minute_after_minute_is_not() {
        let mut rates = rates(1, 1, 1);
        for minute in 0..1_000 {
            rates.spend_weight(minute * MINUTE_MS, 1).unwrap();
            for _ in 0..PATIENCE {
                assert_eq!(refused(rates.spend_weight(minute * MINUTE_MS, 1)).1, 429);
            }
        }
    }
}
