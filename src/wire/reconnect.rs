//! When to try again: exponential backoff with jitter, as a state machine that is told the time.

use rand_core::Rng as _;
use rand_pcg::Lcg64Xsh32;

use crate::num::{NS_PER_MS, NS_PER_SEC, TimeNs};

/// How long to wait between attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Upper bound of the first wait; doubles with each failure.
    pub first_ns: i64,
    /// Upper bound of every wait.
    pub cap_ns: i64,
    /// A connection that lived this long clears the failures before it.
    pub stable_ns: i64,
}

impl Default for Backoff {
    fn default() -> Self {
        Backoff { first_ns: 200 * NS_PER_MS, cap_ns: 30 * NS_PER_SEC, stable_ns: 60 * NS_PER_SEC }
    }
}

/// One endpoint's attempts. It neither sleeps nor connects: it says when the next attempt is due.
#[derive(Clone, Debug)]
pub struct Reconnect {
    backoff: Backoff,
    jitter: Lcg64Xsh32,
    /// Failures in a row; a connection that was not stable is one.
    failures: u32,
    opened_ns: Option<TimeNs>,
    connections: u64,
}

impl Reconnect {
    /// `seed` tells the jitters of two endpoints apart.
    pub fn new(backoff: Backoff, seed: u64) -> Reconnect {
        let jitter = Lcg64Xsh32::new(seed, 0);
        Reconnect { backoff, jitter, failures: 0, opened_ns: None, connections: 0 }
    }

    /// An attempt led to an open connection.
    pub fn opened(&mut self, now: TimeNs) {
        self.opened_ns = Some(now);
        self.connections = self.connections.saturating_add(1);
    }

    /// The attempt failed or the connection ended. Returns when the next attempt is due.
    pub fn ended(&mut self, now: TimeNs) -> TimeNs {
        if self.opened_ns.take().is_some_and(|opened| now.since(opened) >= self.backoff.stable_ns) {
            self.failures = 0;
        }
        let wait_ns = self.wait_ns();
        self.failures = self.failures.saturating_add(1);
        now + wait_ns
    }

    /// As [`Reconnect::ended`], but not before the server said (`Retry-After`).
    pub fn ended_retry_after(&mut self, now: TimeNs, retry_after_s: u32) -> TimeNs {
        let asked = now + i64::from(retry_after_s).saturating_mul(NS_PER_SEC);
        self.ended(now).max(asked)
    }

    /// Uniform in the upper half of the bound: spread, yet never at once.
    fn wait_ns(&mut self) -> i64 {
        let doubled = self.backoff.first_ns.max(0).saturating_mul(1 << self.failures.min(40));
        let bound = doubled.min(self.backoff.cap_ns.max(0));
        let half = bound / 2;
        let part = (i128::from(bound - half) * i128::from(self.jitter.next_u32())) >> 32;
        half.saturating_add(i64::try_from(part).unwrap_or(0))
    }

    /// Since when the connection is open, where it is: venues end connections after 24 hours, and its
    /// successor has to be open before.
    pub fn opened_ns(&self) -> Option<TimeNs> {
        self.opened_ns
    }

    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Connections opened after the first.
    pub fn reconnects(&self) -> u64 {
        self.connections.saturating_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: TimeNs = TimeNs(1_700_000_000 * NS_PER_SEC);

    fn waits(seed: u64, n: usize) -> Vec<i64> {
        let mut reconnect = Reconnect::new(Backoff::default(), seed);
        (0..n).map(|_| reconnect.ended(T0).since(T0)).collect()
    }

    #[test]
    fn waits_double_up_to_the_cap_with_jitter_below() {
        let Backoff { first_ns, cap_ns, .. } = Backoff::default();
        for seed in 0..50 {
            for (failures, wait) in waits(seed, 100).into_iter().enumerate() {
                let bound = first_ns.saturating_mul(1 << failures.min(40)).min(cap_ns);
                assert!((bound / 2..=bound).contains(&wait), "{failures} failures: {wait}");
            }
        }
        assert_eq!(waits(7, 20), waits(7, 20), "a seed is a sequence");
        assert_ne!(waits(7, 20), waits(8, 20), "endpoints do not try in step");
    }

    #[test]
    fn only_a_stable_connection_clears_the_failures() {
        let mut reconnect = Reconnect::new(Backoff::default(), 1);
        for _ in 0..5 {
            reconnect.ended(T0);
        }
        reconnect.opened(T0);
        assert_eq!(reconnect.opened_ns(), Some(T0));
        let stable_ns = Backoff::default().stable_ns;
        reconnect.ended(T0 + (stable_ns - 1));
        assert_eq!(reconnect.failures(), 6, "it flapped");
        reconnect.opened(T0);
        let end = T0 + stable_ns;
        assert!(reconnect.ended(end).since(end) <= Backoff::default().first_ns);
        assert_eq!((reconnect.failures(), reconnect.reconnects(), reconnect.opened_ns()), (1, 1, None));
    }

    #[test]
    fn the_servers_wish_is_a_lower_bound() {
        let mut reconnect = Reconnect::new(Backoff::default(), 1);
        assert_eq!(reconnect.ended_retry_after(T0, 120).since(T0), 120 * NS_PER_SEC);
        assert!(reconnect.ended_retry_after(T0, 0) > T0);
    }

    #[test]
    fn absurd_settings_and_times_do_not_overflow() {
        let backoff = Backoff { first_ns: i64::MAX, cap_ns: i64::MAX, stable_ns: 0 };
        let mut reconnect = Reconnect::new(backoff, 1);
        for _ in 0..100 {
            assert!(reconnect.ended(TimeNs(i64::MAX)).0 > 0);
            assert!(reconnect.ended_retry_after(TimeNs(i64::MAX), u32::MAX).0 > 0);
        }
        let mut reconnect = Reconnect::new(Backoff { first_ns: -1, cap_ns: -1, stable_ns: -1 }, 1);
        assert_eq!(reconnect.ended(T0), T0);
    }
}
