//! Three clocks: the world's, by which everything is scheduled, the venue's and ours.

use super::Dice;
use crate::host::time::SteppedTime;
use crate::num::{NS_PER_MS, NS_PER_SEC, TimeNs};

/// How fast a clock may drift: what an engine's clock is slewed by at most.
pub const DRIFT_PPM_MAX: i64 = 500;

/// See the module. Ours drifts, and is another after each start; the venue's is set forward at times.
pub struct Clocks {
    start: TimeNs,
    drift_ppm: i64,
    ours_ahead_ns: i64,
    venue_ahead_ns: i64,
    pub ours: SteppedTime,
    pub venue: SteppedTime,
}

impl Clocks {
    pub fn new(start: TimeNs, dice: &mut Dice) -> Clocks {
        Clocks {
            start,
            drift_ppm: if dice.one_in(2) { 0 } else { dice.between(-DRIFT_PPM_MAX, DRIFT_PPM_MAX) },
            ours_ahead_ns: dice.between(-3_000, 3_000) * NS_PER_MS,
            venue_ahead_ns: 0,
            ours: SteppedTime::at(TimeNs(i64::MIN)),
            venue: SteppedTime::at(start),
        }
    }

    /// The world's clock shows `now`.
    pub fn set(&mut self, now: TimeNs) {
        self.ours.set(self.ours_at(now));
        self.venue.set(now + self.venue_ahead_ns);
    }

    pub fn ours_at(&self, now: TimeNs) -> TimeNs {
        now + self.ours_ahead_ns + now.since(self.start) / 1_000_000 * self.drift_ppm
    }

    /// When it is, for the world, that our clock shows `ours`; a little early at most.
    pub fn world_at(&self, now: TimeNs, ours: TimeNs) -> TimeNs {
        let to_go = ours.since(self.ours_at(now)).max(0);
        now + (to_go - to_go / 1_000_000 * self.drift_ppm.max(0))
    }

    /// When it is, for the world, that the venue's clock shows `venue`, unless that is set forward until then.
    pub fn world_of_venue(&self, venue: TimeNs) -> TimeNs {
        venue - self.venue_ahead_ns
    }

    /// A machine that starts has set its clock anew. Never back before what a journal has.
    pub fn begin_anew(&mut self, dice: &mut Dice) {
        self.ours_ahead_ns += dice.between(0, 800) * NS_PER_MS;
    }

    /// The venue's clock is set forward: far enough at times that it refuses our time stamps.
    pub fn jump_venue(&mut self, dice: &mut Dice) {
        self.venue_ahead_ns += dice.pick(&[NS_PER_SEC / 2, 2 * NS_PER_SEC, 7 * NS_PER_SEC]);
    }
}
