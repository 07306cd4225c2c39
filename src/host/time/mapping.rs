//! From counted to told nanoseconds: pure arithmetic, so that it can be tested with readings made up.

use crate::event::ClockSync;
use crate::num::TimeNs;

/// Told seconds a counted second, as a binary fraction: the product with a count of nanoseconds is
/// exact but for its own last place, and rises with the count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale(u64);

impl Scale {
    const FRACTION_BITS: u32 = 32;
    /// A second a second.
    pub const REAL: Scale = Scale(1 << Self::FRACTION_BITS);

    /// `None` unless `factor` is from 0.001 to 1,000,000: what `--speed` takes.
    pub fn new(factor: f64) -> Option<Scale> {
        let fits = (0.001..=1e6).contains(&factor);
        fits.then(|| Scale((factor * (1u64 << Self::FRACTION_BITS) as f64).round() as u64))
    }

    pub fn factor(self) -> f64 {
        self.0 as f64 / (1u64 << Self::FRACTION_BITS) as f64
    }

    /// What `counted_ns` nanoseconds become, up to the end of time.
    pub(super) fn of(self, counted_ns: u64) -> i64 {
        let told = (u128::from(counted_ns) * u128::from(self.0)) >> Self::FRACTION_BITS;
        i64::try_from(told).unwrap_or(i64::MAX)
    }

    pub(super) const fn bits(self) -> u64 {
        self.0
    }

    pub(super) const fn from_bits(bits: u64) -> Scale {
        Scale(bits)
    }
}

/// A line from the counter to time, and a correction that is being worked in along it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Mapping {
    /// Count at which `time` held.
    pub counted_ns: u64,
    pub time: TimeNs,
    pub scale: Scale,
    /// To be added in all; either sign.
    pub correction_ns: i64,
    /// Share of the time told that is added a step, in parts per billion; from 0 to below a billion,
    /// or time would stand still while it is corrected backwards.
    pub slew_ppb: i64,
}

impl Mapping {
    pub fn starting(counted_ns: u64, time: TimeNs, scale: Scale) -> Mapping {
        Mapping { counted_ns, time, scale, correction_ns: 0, slew_ppb: 0 }
    }

    /// The time at a count. Rises with it, and stands still before the mapping's own beginning.
    pub fn at(&self, counted_ns: u64) -> TimeNs {
        let passed_ns = self.passed_ns(counted_ns);
        self.time + passed_ns + self.worked_in_ns(passed_ns)
    }

    /// The same line from `counted_ns` on, with another correction in place of what is left of this one.
    pub fn slewed(&self, counted_ns: u64, sync: &ClockSync, slew_ppb_max: i64) -> Mapping {
        Mapping {
            counted_ns: counted_ns.max(self.counted_ns),
            time: self.at(counted_ns),
            scale: self.scale,
            correction_ns: sync.offset_ns,
            slew_ppb: sync.slew_ppb.saturating_abs().clamp(1, slew_ppb_max),
        }
    }

    fn passed_ns(&self, counted_ns: u64) -> i64 {
        self.scale.of(counted_ns.saturating_sub(self.counted_ns))
    }

    fn worked_in_ns(&self, passed_ns: i64) -> i64 {
        let most = i128::from(passed_ns) * i128::from(self.slew_ppb) / 1_000_000_000;
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        self.correction_ns.clamp(-most, most)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{SLEW_PPB_MAX, correction};
    use super::*;
    use crate::num::NS_PER_SEC;

    const T0: TimeNs = TimeNs(1_700_000_000 * NS_PER_SEC);

    #[test]
    fn scales_are_what_they_say() {
        assert_eq!(Scale::new(1.0), Some(Scale::REAL));
        assert_eq!(Scale::REAL.of(u64::MAX), i64::MAX);
        assert_eq!(Scale::new(60.0).unwrap().of(1_000_000_000), 60_000_000_000);
        assert_eq!(Scale::new(0.5).unwrap().of(3), 1);
        assert_eq!(
            Scale::new(0.001).unwrap().of(1_000_000_000_000),
            999_999_931,
            "0.001 is no binary fraction"
        );
        assert!((Scale::new(0.001).unwrap().factor() - 0.001).abs() < 1e-9);
        for refused in [0.0, -1.0, 0.000_9, 1_000_001.0, f64::NAN, f64::INFINITY] {
            assert_eq!(Scale::new(refused), None, "{refused}");
        }
    }

    proptest! {
        /// Whatever corrections come, time rises with the count, and its pace stays within the bound.
        #[test]
        fn time_never_runs_backwards_and_its_pace_is_bounded(
            factor in 0.001..1e6f64,
            steps in prop::collection::vec(
                (0u64..10_000_000_000, any::<i64>(), any::<i64>(), any::<bool>()), 1..50),
        ) {
            let scale = Scale::new(factor).unwrap();
            let mut mapping = Mapping::starting(77, T0, scale);
            let (mut counted, mut last) = (77u64, T0);
            for (step, offset_ns, slew_ppb, slew) in steps {
                counted += step;
                let now = mapping.at(counted);
                prop_assert!(now >= last);
                let plain = scale.of(step);
                let most = plain / (1_000_000_000 / SLEW_PPB_MAX) + 2;
                prop_assert!((now.since(last) - plain).abs() <= most, "{} for {plain}", now.since(last));
                last = now;
                if slew {
                    mapping = mapping.slewed(counted, &ClockSync { offset_ns, slew_ppb }, SLEW_PPB_MAX);
                    prop_assert_eq!(mapping.at(counted), now, "a correction begins where time is");
                }
            }
        }

        /// A counter that runs off by up to 200 ppm, compared every ten seconds, ends within what it
        /// runs off between two comparisons.
        #[test]
        fn corrections_converge(drift_ppm in -200i64..=200, offset_ns in -20_000_000i64..20_000_000) {
            const EVERY_NS: u64 = 10_000_000_000;
            let mut mapping = Mapping::starting(0, T0 + offset_ns, Scale::REAL);
            let truth = |counted: u64| T0 + (i128::from(counted) * i128::from(1_000_000 + drift_ppm) / 1_000_000) as i64;
            let mut counted = 0;
            for _ in 0..60 {
                let off = truth(counted).since(mapping.at(counted));
                if let Some(sync) = correction(off) {
                    mapping = mapping.slewed(counted, &sync, SLEW_PPB_MAX);
                }
                counted += EVERY_NS;
            }
            let left = truth(counted).since(mapping.at(counted)).abs();
            let between = drift_ppm.abs() * EVERY_NS as i64 / 1_000_000;
            prop_assert!(left <= between + 50_000, "{left} ns left");
        }
    }

    #[test]
    fn a_correction_ends_when_it_is_worked_in() {
        let sync = ClockSync { offset_ns: -1_000, slew_ppb: 100_000 };
        let mapping = Mapping::starting(0, T0, Scale::REAL).slewed(0, &sync, SLEW_PPB_MAX);
        // 100 ppm of 10 ms are the 1,000 ns.
        assert_eq!(mapping.at(5_000_000).since(T0), 5_000_000 - 500);
        assert_eq!(mapping.at(10_000_000).since(T0), 10_000_000 - 1_000);
        assert_eq!(mapping.at(20_000_000).since(T0), 20_000_000 - 1_000);
    }

    #[test]
    fn absurd_counts_and_corrections_stop_at_the_end_of_time() {
        let sync = ClockSync { offset_ns: i64::MIN, slew_ppb: i64::MIN };
        let mapping = Mapping::starting(5, T0, Scale::new(1e6).unwrap()).slewed(3, &sync, SLEW_PPB_MAX);
        assert_eq!(mapping.at(0), T0);
        assert!(mapping.at(u64::MAX) > T0);
        assert_eq!(Mapping::starting(0, TimeNs(i64::MAX), Scale::REAL).at(9), TimeNs(i64::MAX));
    }
}
