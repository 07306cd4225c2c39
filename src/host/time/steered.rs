//! Time that somebody else owns: the counter tells it between comparisons, and what a comparison finds
//! is worked in at a bounded rate.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering, fence};

use super::Floor;
use super::mapping::{Mapping, Scale};
use crate::event::ClockSync;
use crate::host::clock::{MonotonicClock, wall_time};
use crate::num::{Now, TimeNs};

/// Fastest correction: what NTP clients allow themselves (`adjtime`), so that a second stays a second
/// to one part in 2,000 for whatever measures with it.
pub const SLEW_PPB_MAX: i64 = 500_000;
/// A difference below this is noise of the comparison.
const OFFSET_NS_MIN: i64 = 20_000;
/// A correction is spread over this long, where the rate allows it.
const SPREAD_S: i64 = 10;
/// Comparisons made at once; the one disturbed least counts.
const SAMPLES: usize = 8;

/// The event that works in a difference of `offset_ns` (theirs − ours); `None` if it is noise.
pub fn correction(offset_ns: i64) -> Option<ClockSync> {
    let noise = offset_ns.saturating_abs() < OFFSET_NS_MIN;
    // A nanosecond a second is a part per billion.
    let rate_ppb = (offset_ns / SPREAD_S).clamp(-SLEW_PPB_MAX, SLEW_PPB_MAX);
    (!noise).then_some(ClockSync { offset_ns, slew_ppb: rate_ppb })
}

/// The mapping in force, for any number of readers and one writer. There are two, and the version says
/// which counts: a reader never waits for a writer that was interrupted, and tries again only where a
/// correction was published while it read.
#[derive(Debug)]
struct InForce {
    version: AtomicU64,
    mappings: [[AtomicU64; InForce::WORDS]; 2],
}

impl InForce {
    const WORDS: usize = 5;

    fn new(mapping: &Mapping) -> InForce {
        let words = Self::words(mapping).map(AtomicU64::new);
        InForce { version: AtomicU64::new(0), mappings: [words, Default::default()] }
    }

    fn words(m: &Mapping) -> [u64; Self::WORDS] {
        let signed = |value: i64| u64::from_ne_bytes(value.to_ne_bytes());
        [m.counted_ns, signed(m.time.0), m.scale.bits(), signed(m.correction_ns), signed(m.slew_ppb)]
    }

    fn load(&self) -> Mapping {
        loop {
            let version = self.version.load(Ordering::Acquire);
            let words = self.of(version).each_ref().map(|word| word.load(Ordering::Relaxed));
            fence(Ordering::Acquire);
            if self.version.load(Ordering::Relaxed) == version {
                let [counted_ns, time, scale, correction, slew] = words;
                let signed = |word: u64| i64::from_ne_bytes(word.to_ne_bytes());
                return Mapping {
                    counted_ns,
                    time: TimeNs(signed(time)),
                    scale: Scale::from_bits(scale),
                    correction_ns: signed(correction),
                    slew_ppb: signed(slew),
                };
            }
        }
    }

    /// For one thread at a time, which [`Discipline`] sees to.
    fn store(&self, mapping: &Mapping) {
        let next = self.version.load(Ordering::Relaxed).wrapping_add(1);
        // Who sees a word of this also sees that the version before is out of date.
        fence(Ordering::Release);
        for (word, value) in self.of(next).iter().zip(Self::words(mapping)) {
            word.store(value, Ordering::Relaxed);
        }
        self.version.store(next, Ordering::Release);
    }

    fn of(&self, version: u64) -> &[AtomicU64; Self::WORDS] {
        &self.mappings[(version & 1) as usize] // two of them
    }
}

#[derive(Clone, Debug)]
struct Steered {
    clock: MonotonicClock,
    in_force: Arc<InForce>,
    floor: Floor,
}

impl Steered {
    /// `time` held when the counter stood at `counted_ns`.
    fn start(clock: MonotonicClock, counted_ns: u64, time: TimeNs, scale: Scale) -> (Steered, Discipline) {
        let in_force = Arc::new(InForce::new(&Mapping::starting(counted_ns, time, scale)));
        let steered = Steered { clock, in_force, floor: Floor::at(time) };
        (steered.clone(), Discipline(steered))
    }

    fn now(&self) -> TimeNs {
        let mapping = self.in_force.load();
        self.floor.raise(mapping.at(self.clock.now_ns()))
    }
}

/// The one who may correct a clock: not to be cloned, so that there is one.
#[derive(Debug)]
pub struct Discipline(Steered);

impl Discipline {
    /// Works in a correction from now on, at its rate but at most [`SLEW_PPB_MAX`], in place of what is
    /// left of the one before. Neither waits nor allocates.
    pub fn slew(&mut self, sync: &ClockSync) {
        let Steered { clock, in_force, .. } = &self.0;
        in_force.store(&in_force.load().slewed(clock.now_ns(), sync, SLEW_PPB_MAX));
    }
}

/// The world's time. It is the system's clock when it starts; corrections keep it there.
#[derive(Clone, Debug)]
pub struct WallTime(Steered);

impl WallTime {
    /// Calibrates the counter: up to 200 ms, once a process.
    pub fn start() -> (WallTime, Discipline) {
        let clock = MonotonicClock::new();
        let (counted_ns, time) = compare(&clock);
        let (steered, discipline) = Steered::start(clock, counted_ns, time, Scale::REAL);
        (WallTime(steered), discipline)
    }

    /// The system's clock − this one, in nanoseconds. Asks the system: not for every cycle.
    pub fn offset_ns(&self) -> i64 {
        let (counted_ns, time) = compare(&self.0.clock);
        time.since(self.0.in_force.load().at(counted_ns))
    }
}

impl Now for WallTime {
    fn now(&self) -> TimeNs {
        self.0.now()
    }
}

/// What a simulated venue says of its clock: simulated time `sim_ns` held when the system's clock,
/// which both processes share, showed `wall_ns`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VenueClock {
    pub sim_ns: TimeNs,
    pub wall_ns: TimeNs,
    pub scale: Scale,
}

impl VenueClock {
    /// Simulated time when the system's clock shows `wall`.
    fn at(&self, wall: TimeNs) -> TimeNs {
        let passed_ns = wall.since(self.wall_ns);
        let told_ns = self.scale.of(passed_ns.unsigned_abs());
        self.sim_ns + if passed_ns < 0 { -told_ns } else { told_ns }
    }
}

/// Simulated time of a venue in another process on this machine. Both count by themselves, and at many
/// simulated seconds a second they part quickly: ask the venue again now and then and work in the
/// difference.
#[derive(Clone, Debug)]
pub struct RemoteTime(Steered);

impl RemoteTime {
    /// Calibrates the counter: up to 200 ms, once a process.
    pub fn start(venue: &VenueClock) -> (RemoteTime, Discipline) {
        let clock = MonotonicClock::new();
        let (counted_ns, wall) = compare(&clock);
        let (steered, discipline) = Steered::start(clock, counted_ns, venue.at(wall), venue.scale);
        (RemoteTime(steered), discipline)
    }

    /// The venue's clock − this one, in simulated nanoseconds.
    pub fn offset_ns(&self, venue: &VenueClock) -> i64 {
        let (counted_ns, wall) = compare(&self.0.clock);
        venue.at(wall).since(self.0.in_force.load().at(counted_ns))
    }
}

impl Now for RemoteTime {
    fn now(&self) -> TimeNs {
        self.0.now()
    }
}

/// The count and the system's time of one moment: the system is asked between two counts, and the pair
/// with the least between them is taken.
fn compare(clock: &MonotonicClock) -> (u64, TimeNs) {
    let sample = || {
        let before = clock.now_ns();
        let time = wall_time();
        let width = clock.now_ns().saturating_sub(before);
        (width, before + width / 2, time)
    };
    let first = sample();
    let (_, counted_ns, time) =
        (1..SAMPLES).map(|_| sample()).fold(first, |a, b| if b.0 < a.0 { b } else { a });
    (counted_ns, time)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::thread;

    use super::*;
    use crate::num::NS_PER_SEC;

    #[test]
    fn a_correction_is_spread_and_its_rate_bounded() {
        assert_eq!(correction(0), None);
        assert_eq!(correction(-(OFFSET_NS_MIN - 1)), None);
        let small = correction(-OFFSET_NS_MIN).unwrap();
        assert_eq!((small.offset_ns, small.slew_ppb), (-20_000, -2_000));
        assert_eq!(correction(NS_PER_SEC).unwrap().slew_ppb, SLEW_PPB_MAX);
        assert_eq!(correction(i64::MIN).unwrap().slew_ppb, -SLEW_PPB_MAX);
    }

    #[test]
    fn wall_time_is_the_systems() {
        let (time, mut discipline) = WallTime::start();
        let offset = time.offset_ns();
        assert!(offset.abs() < NS_PER_SEC, "{offset} ns");
        let before = time.now();
        discipline.slew(&ClockSync { offset_ns: -NS_PER_SEC, slew_ppb: -SLEW_PPB_MAX });
        assert!(time.now() >= before);
        assert_eq!(time.0.in_force.load().correction_ns, -NS_PER_SEC);
    }

    #[test]
    fn a_venues_clock_is_read_forwards_and_backwards() {
        let sim_ns = TimeNs(1_600_000_000 * NS_PER_SEC);
        let wall_ns = TimeNs(1_700_000_000 * NS_PER_SEC);
        let venue = VenueClock { sim_ns, wall_ns, scale: Scale::new(60.0).unwrap() };
        assert_eq!(venue.at(wall_ns + NS_PER_SEC), sim_ns + 60 * NS_PER_SEC);
        assert_eq!(venue.at(wall_ns - NS_PER_SEC), sim_ns - 60 * NS_PER_SEC);
        assert!(venue.at(TimeNs(i64::MAX)) > sim_ns && venue.at(TimeNs(i64::MIN)) < sim_ns);
    }

    #[test]
    fn a_remote_clock_is_the_venues() {
        let scale = Scale::new(60.0).unwrap();
        let venue = VenueClock { sim_ns: TimeNs(1_600_000_000 * NS_PER_SEC), wall_ns: wall_time(), scale };
        let (time, mut discipline) = RemoteTime::start(&venue);
        assert!(time.now() >= venue.sim_ns);
        let offset = time.offset_ns(&venue);
        assert!(offset.abs() < NS_PER_SEC, "{offset} simulated ns");
        let ahead = VenueClock { sim_ns: venue.sim_ns + 3_600 * NS_PER_SEC, ..venue };
        assert!((time.offset_ns(&ahead) - 3_600 * NS_PER_SEC).abs() < NS_PER_SEC);
        discipline.slew(&correction(time.offset_ns(&ahead)).unwrap());
        assert_eq!(time.0.in_force.load().slew_ppb, SLEW_PPB_MAX);
    }

    /// Each mapping says the same in all its words: a reader that mixed two would see it.
    #[test]
    fn readers_see_whole_mappings() {
        let whole = |n: u64| Mapping {
            counted_ns: n,
            time: TimeNs(n as i64),
            scale: Scale::from_bits(n),
            correction_ns: n as i64,
            slew_ppb: n as i64,
        };
        let in_force = InForce::new(&whole(0));
        let ended = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                for n in 1..200_000 {
                    in_force.store(&whole(n));
                }
                ended.store(true, Ordering::Release);
            });
            let mut last = 0;
            while !ended.load(Ordering::Acquire) {
                let seen = in_force.load();
                assert_eq!(seen, whole(seen.counted_ns));
                assert!(seen.counted_ns >= last, "an older mapping came back");
                last = seen.counted_ns;
            }
        });
        assert_eq!(in_force.load(), whole(199_999));
    }
}
