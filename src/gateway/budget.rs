//! What may still be asked of the venue: its limits on request weight and on orders, spent by every
//! request of ours.
//!
//! Each limit is a window that slides. The venue's own are intervals of its clock, which a sliding window
//! of the same length can never exceed; it is [`MARGIN_NS`] longer, since a network may bring requests
//! closer together than they were sent. Where the venue says that more of its present interval was used than
//! we know of, by somebody else at this address or by a start before this one, the difference counts until
//! that interval is over, and a margin longer.

use std::collections::VecDeque;

use crate::num::{Millis, NS_PER_MS, NS_PER_SEC, TimeNs};
use crate::venue::binance::{RateKind, RateLimit, RateLimits};

/// How much closer together than they were sent requests may arrive.
const MARGIN_NS: i64 = NS_PER_SEC;

/// What a request costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    pub weight: u32,
    pub orders: u32,
}

impl Cost {
    fn of(self, kind: RateKind) -> u64 {
        u64::from(match kind {
            RateKind::Weight => self.weight,
            RateKind::Orders => self.orders,
        })
    }
}

/// Up to where a limit may be used, so that there is always room for what protects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// Orders that add risk: half, of weight too, for cancels and questions follow each of them.
    Half,
    /// Questions, and whatever else can wait: three quarters.
    ThreeQuarters,
    /// Stops, exits and cancels.
    All,
}

impl Share {
    fn of(self, limit: u64) -> u64 {
        match self {
            Share::Half => limit / 2,
            Share::ThreeQuarters => limit * 3 / 4,
            Share::All => limit,
        }
    }
}

#[derive(Debug)]
struct Window {
    limit: RateLimit,
    /// When how much was spent, oldest first.
    spent: VecDeque<(TimeNs, u64)>,
    ours: u64,
    /// What others used of the venue's interval, and until when that counts.
    others: u64,
    others_until: TimeNs,
}

impl Window {
    fn pass(&mut self, now: TimeNs) {
        let length_ns = self.limit.period_ns.saturating_add(MARGIN_NS);
        while let Some((at, amount)) = self.spent.front().copied()
            && now.since(at) >= length_ns
        {
            self.spent.pop_front();
            self.ours -= amount;
        }
        if now >= self.others_until {
            self.others = 0;
        }
    }

    fn used(&self) -> u64 {
        self.ours.saturating_add(self.others)
    }

    fn spend(&mut self, now: TimeNs, amount: u64) {
        self.ours += amount;
        match self.spent.back_mut() {
            _ if amount == 0 => {}
            Some((at, before)) if *at == now => *before += amount,
            _ => self.spent.push_back((now, amount)),
        }
    }

    /// So much of the venue's interval was used when we sent, at `sent` of our clock and `venue_ms` of its.
    fn state(&mut self, sent: TimeNs, venue_ms: Millis, count: u64) {
        let period_ns = self.limit.period_ns.max(NS_PER_MS);
        // What is heard as an interval begins is of the one before: an answer takes its time.
        let heard_ms = venue_ms.saturating_sub(MARGIN_NS / NS_PER_MS);
        let until = sent + period_ns - heard_ms.rem_euclid(period_ns / NS_PER_MS) * NS_PER_MS;
        // And what was sent just before it began may have come after; it stays among ours throughout.
        let since = until - period_ns - 2 * MARGIN_NS;
        let ours: u64 = self.spent.iter().filter(|(at, _)| *at >= since).map(|(_, amount)| amount).sum();
        let others = count.saturating_sub(ours);
        // Of one interval the most that was heard: answers overtake one another.
        let anew = until.since(self.others_until) > period_ns / 2;
        self.others = if anew { others } else { self.others.max(others) };
        self.others_until = self.others_until.max(until);
    }
}

/// All limits of the venue.
#[derive(Debug)]
pub struct Budget {
    windows: Vec<Window>,
}

impl Budget {
    pub fn new(limits: &RateLimits) -> Budget {
        let window = |limit: &RateLimit| Window {
            limit: *limit,
            spent: VecDeque::new(),
            ours: 0,
            others: 0,
            others_until: TimeNs(0),
        };
        Budget { windows: limits.0.iter().map(window).collect() }
    }

    /// How much of each limit counts as used, by us and by others.
    pub fn describe(&self) -> String {
        let window = |window: &Window| {
            let Window { limit, ours, others, others_until, .. } = window;
            format!("{:?} {ours} + {others} until {others_until} of {}", limit.kind, limit.limit)
        };
        self.windows.iter().map(window).collect::<Vec<_>>().join("; ")
    }

    /// Whether a request fits into its share of every limit that it uses.
    pub fn has_room(&mut self, now: TimeNs, cost: Cost, share: Share) -> bool {
        self.windows.iter_mut().all(|window| {
            window.pass(now);
            let cost = cost.of(window.limit.kind);
            (cost == 0 && share != Share::Half)
                || window.used().saturating_add(cost) <= share.of(u64::from(window.limit.limit))
        })
    }

    /// How far apart requests have to be that cost so much each time, to take a quarter of what may be used:
    /// entries get half, and what is asked about them comes on top.
    pub fn quarter_apart_ns(&self, cost: Cost) -> i64 {
        let apart = |limit: &RateLimit| {
            let used = cost.of(limit.kind).saturating_mul(4);
            let period = i128::from(limit.period_ns) * i128::from(used) / i128::from(limit.limit.max(1));
            i64::try_from(period).unwrap_or(i64::MAX)
        };
        self.windows.iter().map(|window| apart(&window.limit)).max().unwrap_or(0)
    }

    /// Counts a request.
    pub fn spend(&mut self, now: TimeNs, cost: Cost) {
        for window in &mut self.windows {
            window.pass(now);
            window.spend(now, cost.of(window.limit.kind));
        }
    }

    /// The venue's own count of a limit, in place of the limit, by the answer to what was sent at `sent` of our
    /// clock and `venue_ms` of its. It counts where it is larger than ours.
    pub fn state(&mut self, sent: TimeNs, venue_ms: Millis, count: RateLimit) {
        let same = |window: &&mut Window| {
            (window.limit.kind, window.limit.period_ns) == (count.kind, count.period_ns)
        };
        for window in self.windows.iter_mut().filter(same) {
            window.pass(sent);
            window.state(sent, venue_ms, u64::from(count.limit));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const T0: TimeNs = TimeNs(1_700_000_000_000_000_000);
    const ORDER: Cost = Cost { weight: 0, orders: 1 };
    const QUESTION: Cost = Cost { weight: 5, orders: 0 };

    fn at(seconds: i64) -> TimeNs {
        T0 + seconds * NS_PER_SEC
    }

    fn limit(kind: RateKind, seconds: i64, limit: u32) -> RateLimit {
        RateLimit { kind, period_ns: seconds * NS_PER_SEC, limit }
    }

    #[test]
    fn each_share_ends_where_it_should() {
        let mut budget = Budget::new(&RateLimits::of(40, 8, 8));
        for (share, most) in [(Share::Half, 4), (Share::All, 4)] {
            for _ in 0..most {
                assert!(budget.has_room(T0, ORDER, share));
                budget.spend(T0, ORDER);
            }
            assert!(!budget.has_room(T0, ORDER, share), "{share:?}");
        }
        for (share, room) in [(Share::ThreeQuarters, 6), (Share::All, 2)] {
            for _ in 0..room {
                assert!(budget.has_room(T0, QUESTION, share), "orders do not hold up a question");
                budget.spend(T0, QUESTION);
            }
            assert!(!budget.has_room(T0, QUESTION, share), "{share:?}");
        }
    }

    #[test]
    fn orders_that_add_risk_leave_half_of_the_weight() {
        let mut budget = Budget::new(&RateLimits::of(10, 8, 8));
        budget.spend(T0, QUESTION);
        assert!(budget.has_room(T0, ORDER, Share::Half));
        budget.spend(T0, Cost { weight: 1, orders: 0 });
        assert!(!budget.has_room(T0, ORDER, Share::Half));
        assert!(budget.has_room(T0, ORDER, Share::All));
    }

    #[test]
    fn a_quarter_is_spread_over_the_period() {
        let budget = Budget::new(&RateLimits::of(2_400, 300, 1_200));
        for (weight, apart_ms) in [(0, 0), (17, 1_700), (150, 15_000), (600, 60_000)] {
            assert_eq!(budget.quarter_apart_ns(Cost { weight, orders: 0 }), apart_ms * 1_000_000, "{weight}");
        }
        assert_eq!(Budget::new(&RateLimits::of(0, 0, 0)).quarter_apart_ns(QUESTION), 1_200 * NS_PER_SEC);
    }

    #[test]
    fn the_venues_count_is_believed_where_it_is_larger() {
        let mut budget = Budget::new(&RateLimits::of(40, 8, 8));
        // The venue's interval of ten seconds is half over.
        let venue_ms = |seconds: i64| 5_000 + seconds * 1_000;
        budget.spend(T0, ORDER);
        budget.state(at(1), venue_ms(1), limit(RateKind::Orders, 10, 1));
        budget.state(at(1), venue_ms(1), limit(RateKind::Orders, 7, 8));
        assert!(budget.has_room(at(1), ORDER, Share::Half), "nothing new, and a limit nobody has");
        budget.state(at(1), venue_ms(1), limit(RateKind::Orders, 10, 8));
        budget.state(at(2), venue_ms(2), limit(RateKind::Orders, 10, 2));
        assert!(!budget.has_room(at(2), ORDER, Share::All), "an answer that was overtaken");
        assert!(!budget.has_room(at(5), ORDER, Share::All), "its next may have begun, and may not");
        assert!(budget.has_room(at(6), ORDER, Share::Half), "theirs is over");
        budget.spend(at(6), Cost { orders: 3, ..ORDER });
        assert!(!budget.has_room(at(6), ORDER, Share::Half), "our own is not");
        budget.state(at(7), venue_ms(7), limit(RateKind::Orders, 10, 8));
        assert!(budget.has_room(at(16), ORDER, Share::All), "theirs is over, ours not");
        assert!(!budget.has_room(at(16), ORDER, Share::Half));
        budget.state(at(17), venue_ms(17), limit(RateKind::Orders, 10, u32::MAX));
        budget.spend(at(17), ORDER);
        assert!(!budget.has_room(at(17), ORDER, Share::All), "whatever it says");
    }

    #[test]
    fn a_count_of_the_next_interval_replaces_that_of_the_one_before() {
        let mut budget = Budget::new(&RateLimits::of(40, 8, 8));
        budget.state(at(0), 9_000, limit(RateKind::Orders, 10, 8));
        assert!(!budget.has_room(at(1), ORDER, Share::All));
        budget.state(at(1), 10_000, limit(RateKind::Orders, 10, 8));
        assert!(budget.has_room(at(2), ORDER, Share::Half), "it was on its way as the next began");
        budget.state(at(2), 11_000, limit(RateKind::Orders, 10, 3));
        assert!(budget.has_room(at(2), ORDER, Share::Half));
        assert!(!budget.has_room(at(2), Cost { orders: 2, ..ORDER }, Share::Half));
    }

    /// Everything that was ever spent, looked through each time.
    #[derive(Default)]
    struct Model {
        spent: Vec<(TimeNs, RateKind, u64)>,
        /// Of which interval of a limit the venue said how much others used of it.
        stated: Vec<(RateKind, i64, i64, u64)>,
    }

    impl Model {
        fn ours(&self, since: TimeNs, kind: RateKind) -> u64 {
            let counts = |(at, of, _): &&(TimeNs, RateKind, u64)| *of == kind && *at >= since;
            self.spent.iter().filter(counts).map(|(.., amount)| amount).sum()
        }

        fn state(&mut self, now: TimeNs, limit: &RateLimit) {
            let interval = (now.0 - MARGIN_NS) / limit.period_ns;
            let ours = self.ours(TimeNs(interval * limit.period_ns - MARGIN_NS), limit.kind);
            let others = u64::from(limit.limit).saturating_sub(ours);
            self.stated.push((limit.kind, limit.period_ns, interval, others));
        }

        fn used(&self, now: TimeNs, limit: &RateLimit) -> u64 {
            let of_it = self
                .stated
                .iter()
                .filter(|(kind, period_ns, ..)| (*kind, *period_ns) == (limit.kind, limit.period_ns));
            let newest = of_it.clone().map(|(_, _, interval, _)| *interval).max().unwrap_or(0);
            let lasts = now.0 < (newest + 1) * limit.period_ns + MARGIN_NS;
            let most =
                of_it.filter(|(_, _, interval, _)| *interval == newest).map(|(.., others)| *others).max();
            let since = now - limit.period_ns - MARGIN_NS;
            self.ours(TimeNs(since.0 + 1), limit.kind) + most.filter(|_| lasts).unwrap_or(0)
        }
    }

    proptest! {
        #[test]
        fn agrees_with_a_list_of_all_that_was_spent(
            steps in proptest::collection::vec((0i64..4_000, 0u8..3, 0u32..6, 0u32..3, 0usize..3, 0u32..40), 1..200),
        ) {
            let limits = RateLimits::of(60, 6, 20);
            let (mut budget, mut model, mut now) = (Budget::new(&limits), Model::default(), T0);
            for (ms, what, weight, orders, which, count) in steps {
                now = now + ms * 1_000_000;
                let cost = Cost { weight, orders };
                let share = [Share::Half, Share::ThreeQuarters, Share::All][which];
                let fits = limits.0.iter().all(|limit| {
                    let more = cost.of(limit.kind);
                    (more == 0 && share != Share::Half)
                        || model.used(now, limit) + more <= share.of(u64::from(limit.limit))
                });
                prop_assert_eq!(budget.has_room(now, cost, share), fits);
                if what == 0 {
                    let stated = RateLimit { limit: count, ..limits.0[which] };
                    budget.state(now, now.ms(), stated);
                    model.state(now, &stated);
                } else if fits {
                    budget.spend(now, cost);
                    model.spent.push((now, RateKind::Weight, u64::from(weight)));
                    model.spent.push((now, RateKind::Orders, u64::from(orders)));
                }
            }
        }

        /// The venue counts by intervals of its clock, and requests take up to a second to get there.
        #[test]
        fn no_interval_of_the_venue_is_overfull(
            steps in proptest::collection::vec((0i64..3_000, 0i64..1_000), 1..300),
            offset_ms in 0i64..60_000,
        ) {
            let mut budget = Budget::new(&RateLimits::of(1_000, 5, 17));
            let (mut now_ms, mut arrived) = (0, Vec::new());
            for (ms, late_ms) in steps {
                now_ms += ms;
                let now = T0 + now_ms * 1_000_000;
                if budget.has_room(now, ORDER, Share::All) {
                    budget.spend(now, ORDER);
                    arrived.push(now_ms + offset_ms + late_ms);
                }
            }
            for (interval_ms, most) in [(10_000, 5), (60_000, 17)] {
                let mut counts = std::collections::BTreeMap::new();
                arrived.iter().for_each(|at| *counts.entry(at / interval_ms).or_insert(0) += 1);
                prop_assert!(counts.values().all(|count| *count <= most), "{counts:?}");
            }
        }
    }
}
