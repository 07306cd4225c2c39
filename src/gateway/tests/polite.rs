//! Against a venue with tight limits, which somebody else uses as well: whatever the engine asks, nobody
//! is banned, and nothing is sent while the venue wants silence.

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;

use super::*;
use crate::venue::binance::request::Verb;
use crate::venue::binance::{RateLimits, weight};

const WEIGHT_1M: u32 = 40;
const ORDERS_10S: u32 = 6;
const ORDERS_1M: u32 = 20;
const MS: i64 = 1_000_000;

/// A venue that does nothing but count, by intervals of its clock, and forgives nothing: what is over a
/// limit is told so, and any request it receives that was sent after it was heard is a ban.
struct Venue {
    weight_1m: u32,
    used: BTreeMap<(&'static str, i64), u32>,
    told: u32,
}

impl Venue {
    fn new(weight_1m: u32) -> Venue {
        Venue { weight_1m, used: BTreeMap::new(), told: 0 }
    }

    fn count(&mut self, now_ms: i64, weight: u32, orders: u32) -> bool {
        let minute = now_ms / 60_000;
        let rows = [
            (("weight", minute), weight, self.weight_1m),
            (("10s", now_ms / 10_000), orders, ORDERS_10S),
            (("1m", minute), orders, ORDERS_1M),
        ];
        let mut fits = true;
        for (row, amount, limit) in rows {
            let used = self.used.entry(row).or_default();
            *used += amount;
            fits &= *used <= limit;
        }
        fits
    }

    fn used(&self, now_ms: i64) -> UsedCounts {
        let of = |name, length| Some(self.used.get(&(name, now_ms / length)).copied().unwrap_or(0));
        UsedCounts {
            weight_1m: of("weight", 60_000),
            orders_10s: of("10s", 10_000),
            orders_1m: of("1m", 60_000),
        }
    }
}

/// A request under way, to the venue or back.
struct Travelling {
    at: TimeNs,
    request: RequestId,
    weight: u32,
    orders: u32,
    /// What a REST request asks.
    asks: Option<(Verb, &'static str, String)>,
    answer: Option<(u16, UsedCounts, Option<u32>)>,
}

struct World {
    desk: Desk,
    venue: Venue,
    under_way: VecDeque<Travelling>,
    /// Until when the venue wants silence, as far as it was heard.
    silent_until: TimeNs,
    latency_ms: i64,
}

impl World {
    fn new(latency_ms: i64, weight_1m: u32) -> World {
        let mut desk = Desk::with(LimitSettings { orders_per_minute: 10_000, ..settings() }, false);
        desk.gateway =
            gateway(LimitSettings { orders_per_minute: 10_000, ..settings() }, 5 * NS_PER_SEC, false);
        desk.gateway.limit_rates(&RateLimits::of(weight_1m, ORDERS_10S, ORDERS_1M));
        // Rounds go on all the while.
        desk.gateway.config.reconcile_ns = 15 * NS_PER_SEC;
        desk.gateway.session.audit_at = T0;
        World { desk, venue: Venue::new(weight_1m), under_way: VecDeque::new(), silent_until: T0, latency_ms }
    }

    /// Takes what goes out. During a silence nothing may.
    fn collect(&mut self) -> Result<(), TestCaseError> {
        let mut sent = Vec::new();
        for text in self.desk.out.texts.drain(..) {
            let value: Value = serde_json::from_str(&text.text).unwrap();
            let method = value["method"].as_str().unwrap();
            let order = u32::from(method.ends_with("place"));
            sent.push((text.request, None, 1 - order, order));
        }
        for call in self.desk.out.urgent.drain(..).chain(self.desk.out.rest.drain(..)) {
            let order = call.call.verb == Verb::Post && call.call.path.ends_with("rder");
            sent.push((
                call.request,
                Some((call.call.verb, call.call.path, call.call.query.clone())),
                weight(call.call.verb, call.call.path, call.call.query.contains("symbol=")),
                u32::from(order),
            ));
        }
        prop_assert!(sent.is_empty() || self.desk.now >= self.silent_until, "sent in silence");
        let at = self.desk.now + self.latency_ms * MS;
        for (request, asks, weight, orders) in sent {
            self.under_way.push_back(Travelling { at, request, asks, weight, orders, answer: None });
        }
        Ok(())
    }

    /// A step of time: what arrives, arrives.
    fn pass(&mut self, ns: i64) -> Result<(), TestCaseError> {
        let until = self.desk.now + ns;
        while let Some(mut next) = self.under_way.pop_front_if(|next| next.at <= until) {
            self.desk.now = next.at;
            let now_ms = next.at.ms();
            match next.answer {
                None => {
                    let fits = self.venue.count(now_ms, next.weight, next.orders);
                    self.venue.told += u32::from(!fits);
                    let retry_s = (!fits).then(|| ((60_000 - now_ms % 60_000) as u32).div_ceil(1_000));
                    let known = next.asks.as_ref().is_some_and(|asks| body_of(asks, now_ms).is_some());
                    let status = if !fits {
                        429
                    } else if known {
                        200
                    } else {
                        400
                    };
                    next.answer = Some((status, self.venue.used(now_ms), retry_s));
                    next.at = next.at + self.latency_ms * MS;
                    self.under_way.push_back(next);
                }
                Some((status, used, retry_s)) => {
                    if let Some(seconds) = retry_s {
                        self.silent_until = self.silent_until.max(next.at + i64::from(seconds) * NS_PER_SEC);
                    }
                    self.hear(&next, status, used, retry_s);
                    self.collect()?;
                }
            }
        }
        self.desk.now = until;
        self.desk.on(Input::Time);
        self.collect()
    }

    fn hear(&mut self, of: &Travelling, status: u16, used: UsedCounts, retry_s: Option<u32>) {
        let code = if status == 429 { -1003 } else { -2013 };
        let Some(asks) = &of.asks else {
            let row = |kind: &str, interval: &str, number: u32, count: Option<u32>| json!({"rateLimitType": kind, "interval": interval, "intervalNum": number, "limit": 1, "count": count});
            let mut answer = refusal(of.request, status, code);
            answer["rateLimits"] = json!([
                row("REQUEST_WEIGHT", "MINUTE", 1, used.weight_1m),
                row("ORDERS", "SECOND", 10, used.orders_10s),
                row("ORDERS", "MINUTE", 1, used.orders_1m)
            ]);
            if let Some(seconds) = retry_s {
                let at_ms = self.desk.now.ms() + i64::from(seconds) * 1_000;
                answer["error"]["data"] = json!({"serverTime": self.desk.now.ms(), "retryAfter": at_ms});
            }
            self.desk.response(&answer);
            return;
        };
        let refused = json!({"code": code, "msg": ""});
        let body = body_of(asks, self.desk.now.ms()).filter(|_| status == 200).unwrap_or(refused).to_string();
        let outcome = RestOutcome::Answer { status, retry_after_s: retry_s, used, body: body.as_bytes() };
        self.desk.on(Input::Rest(of.request, outcome));
    }
}

/// What an account with nothing in it answers.
fn body_of((verb, path, query): &(Verb, &'static str, String), now_ms: i64) -> Option<Value> {
    match (verb, *path) {
        (Verb::Get, "/fapi/v1/time") => Some(json!({"serverTime": now_ms})),
        (_, "/fapi/v1/listenKey") => Some(json!({"listenKey": "abc"})),
        (Verb::Get, path) => super::audit::Venue::default().answer(&format!("Get {path}"), query),
        _ => None,
    }
}

proptest! {
    #[test]
    fn nobody_is_told_off_and_nothing_is_sent_in_silence(
        steps in proptest::collection::vec((0u8..10, 0i64..4_000), 1..300),
        latency_ms in 0i64..400,
        others in any::<bool>(),
    ) {
        let mut world = World::new(latency_ms, WEIGHT_1M);
        let mut sequence = 0;
        for (what, ms) in steps {
            sequence += 1;
            match what {
                0..=2 => world.desk.place(Order { quantity: Lots(1), ..entry(sequence) }),
                3..=4 => world.desk.place(stop(sequence)),
                5 => world.desk.cancel(sequence / 2, OrderKind::StopMarket),
                6 => world.desk.query(sequence / 2, OrderKind::Market),
                7 => world.desk.on(Input::UserLink(if ms % 2 == 0 { Link::Up } else { Link::Down })),
                8 => world.desk.on(Input::OrderLink(if ms % 3 > 0 { Link::Up } else { Link::Down })),
                _ if others => {
                    // Somebody else at this address.
                    let now_ms = world.desk.now.ms();
                    world.venue.count(now_ms, (ms % 30) as u32, (ms % 4) as u32);
                }
                _ => {}
            }
            world.collect()?;
            // Half of the steps follow at once.
            world.pass(if ms % 2 == 0 { 0 } else { ms * MS })?;
        }
        // Alone, we are never even told.
        prop_assert!(others || world.venue.told == 0, "told {} times", world.venue.told);
    }
}

/// What the property rests on: the venue of this test does tell who asks too much.
#[test]
fn the_venue_of_this_test_counts() {
    let mut venue = Venue::new(WEIGHT_1M);
    assert!((0..6).all(|_| venue.count(0, 0, 1)));
    assert!(!venue.count(9_999, 0, 1));
    assert_eq!(venue.used(9_999).orders_10s, Some(7));
    assert!(venue.count(10_000, 40, 0) && !venue.count(59_999, 1, 0));
}

/// Rounds every 15 s would take 68 of these 120, and entries may use half.
#[test]
fn entries_find_room_beside_the_rounds() {
    let mut world = World::new(50, 120);
    let mut said = Vec::new();
    for minute in 1..=10 {
        world.desk.place(Order { quantity: Lots(1), ..entry(minute) });
        world.collect().unwrap();
        for _ in 0..60 {
            world.pass(NS_PER_SEC).unwrap();
        }
        said.extend(world.desk.said());
    }
    assert!(said.iter().all(|word| !word.ends_with(" 12")), "{said:?}");
    assert!(world.desk.gateway.counters().reconciliation_rounds >= 4);
    assert_eq!(world.venue.told, 0);
}
