//! Random numbers that are the same on every machine: PCG and plain IEEE arithmetic, no libm.

use rand_core::Rng as _;
use rand_pcg::Lcg64Xsh32;

/// A stream of numbers, told apart from others of the same seed by its `lane`.
#[derive(Clone, Debug)]
pub(super) struct Rng(Lcg64Xsh32);

impl Rng {
    pub fn new(seed: u64, lane: u64) -> Rng {
        // Neighbouring seeds and lanes of a PCG are correlated: spread them first.
        let state = splitmix(seed ^ splitmix(lane));
        Rng(Lcg64Xsh32::new(state, splitmix(state ^ lane)))
    }

    /// Uniform in (0, 1): neither end, so that it may divide.
    pub fn unit(&mut self) -> f64 {
        const STEP: f64 = 1.0 / (1u64 << 53) as f64;
        ((self.0.next_u64() >> 11) as f64 + 0.5) * STEP
    }

    /// Uniform in `0..n`; 0 for `n` = 0.
    pub fn below(&mut self, n: u32) -> u32 {
        ((u64::from(self.0.next_u32()) * u64::from(n)) >> 32) as u32
    }

    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// How often something happens that is expected `mean` times.
    pub fn count(&mut self, mean: f64) -> u32 {
        let whole = mean as u32;
        whole + u32::from(self.chance(mean - f64::from(whole)))
    }

    /// Nearly normal, mean 0, variance 1: the sum of four uniforms. Sums of many of them are what
    /// is looked at, and those are normal.
    pub fn normal(&mut self) -> f64 {
        const SQRT_3: f64 = 1.732_050_807_568_877_2;
        let bits = self.0.next_u64();
        let sum = (bits & 0xffff) + (bits >> 16 & 0xffff) + (bits >> 32 & 0xffff) + (bits >> 48);
        (sum as f64 / 65_535.0 - 2.0) * SQRT_3
    }

    /// Money resting at the touch, around `scale`: heavy tails on both ends, a tenth of them below
    /// a fortieth of `scale`, a few above ten times it.
    pub fn touch_value(&mut self, scale: f64) -> f64 {
        heavy(self.unit(), self.unit(), scale)
    }
}

/// As [`Rng::touch_value`], drawn for a key instead of after what was drawn before.
pub(super) fn touch_value(key: u64, scale: f64) -> f64 {
    const STEP: f64 = 1.0 / (1u64 << 32) as f64;
    let bits = splitmix(key);
    let unit = |half: u64| (half as f64 + 0.5) * STEP;
    heavy(unit(bits >> 32), unit(bits & 0xffff_ffff), scale)
}

fn heavy(small: f64, large: f64, scale: f64) -> f64 {
    let value = small * small / large;
    scale * if value < 50.0 { value } else { 50.0 }
}

/// Steele, Lea, Flood: "Fast splittable pseudorandom number generators" (2014), the mixing step.
fn splitmix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_right() {
        let mut rng = Rng::new(1, 2);
        let n = 100_000u64;
        let (mut sum, mut squares, mut uniform, mut small, mut keyed) = (0.0, 0.0, 0.0, 0, 0);
        for key in 0..n {
            let z = rng.normal();
            sum += z;
            squares += z * z;
            uniform += rng.unit();
            small += u32::from(rng.touch_value(1.0) < 0.025);
            keyed += u32::from(touch_value(key, 1.0) < 0.025);
        }
        let n = n as f64;
        assert!((sum / n).abs() < 0.02, "{}", sum / n);
        assert!((squares / n - 1.0).abs() < 0.02, "{}", squares / n);
        assert!((uniform / n - 0.5).abs() < 0.01);
        for small in [small, keyed] {
            assert!((f64::from(small) / n - 0.105).abs() < 0.01, "{}", f64::from(small) / n);
        }
    }

    #[test]
    fn numbers_are_pinned() {
        // Another value here means that every generated market changed.
        let mut rng = Rng::new(42, 7);
        let drawn: Vec<u32> = (0..4).map(|_| rng.below(1_000_000)).collect();
        assert_eq!(drawn, PINNED);
    }

    const PINNED: [u32; 4] = [10_810, 867_884, 560_086, 641_280];
}
