//! Draws from a seed, in integers: the same on every machine.

use rand_core::{Rng as _, SeedableRng as _};
use rand_pcg::Pcg64;

/// A stream of draws.
#[derive(Clone, Debug)]
pub struct Dice(Pcg64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(Pcg64::seed_from_u64(seed))
    }

    /// A stream of its own, so that what draws from it shifts nobody else's draws.
    pub fn split(&mut self) -> Dice {
        Dice::new(self.0.next_u64())
    }

    /// From `low` to `high`, both included.
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        // The choices of an i64 range but for the whole of it fit u64, and so does what is drawn.
        let choices = high.abs_diff(low).saturating_add(1);
        low.wrapping_add((self.0.next_u64() % choices) as i64)
    }

    /// True once in `n`.
    pub fn one_in(&mut self, n: i64) -> bool {
        self.between(1, n.max(1)) == 1
    }

    /// One of a list that is not empty.
    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.between(0, of.len() as i64 - 1) as usize]
    }
}
