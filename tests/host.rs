//! The machine's side, in a process of its own: the allocator is global and so are signals.

use quantum_trader::host::alloc::{Counting, thread_allocations};
use quantum_trader::host::clock::wall_time;
use quantum_trader::host::stop::StopFlag;
use quantum_trader::host::thread::{ThreadError, lock_memory};
use quantum_trader::host::time::{RemoteTime, Scale, SimTime, SteppedTime, VenueClock, WallTime, correction};
use quantum_trader::num::{NS_PER_SEC, Now};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn allocations_are_counted_on_the_thread_that_makes_them() {
    let before = thread_allocations();
    let mut bytes: Vec<u8> = Vec::with_capacity(8);
    assert_eq!(thread_allocations(), before + 1, "alloc");
    bytes.reserve_exact(64);
    assert_eq!(thread_allocations(), before + 2, "realloc");
    let zeroed = vec![0u64; 4];
    assert_eq!(thread_allocations(), before + 3, "alloc_zeroed");
    drop((bytes, zeroed));
    assert_eq!(thread_allocations(), before + 3, "freeing is not counted");

    let elsewhere = std::thread::spawn(|| {
        let start = thread_allocations();
        drop(std::hint::black_box(Box::new([0u8; 100])));
        thread_allocations() - start
    });
    assert_eq!(elsewhere.join().unwrap(), 1);
}

/// Allocates while its thread's storage is being torn down.
struct Late;

impl Drop for Late {
    fn drop(&mut self) {
        assert!(thread_allocations() > 0 || !std::hint::black_box(vec![1u8]).is_empty());
    }
}

thread_local! {
    static LATE: Late = const { Late };
}

#[test]
fn a_thread_may_allocate_while_it_ends() {
    std::thread::spawn(|| LATE.with(|_| ())).join().unwrap();
}

#[test]
fn a_signal_sets_every_clone_of_the_flag() {
    let stop = StopFlag::on_signals().unwrap();
    let clone = stop.clone();
    assert!(!clone.is_set());
    signal_hook::low_level::raise(signal_hook::consts::SIGTERM).unwrap();
    assert!(clone.is_set());
    let manual = StopFlag::manual();
    assert!(!manual.is_set());
    manual.request();
    assert!(manual.clone().is_set());
}

#[test]
fn memory_is_locked_or_refused_with_the_remedy() {
    match lock_memory() {
        Ok(()) => {
            let status = std::fs::read_to_string("/proc/self/status").unwrap();
            let locked = status.lines().find(|line| line.starts_with("VmLck:")).unwrap();
            assert!(!locked.split_whitespace().any(|word| word == "0"), "{locked}");
        }
        Err(error) => assert!(matches!(error, ThreadError::LockNotPermitted { .. }), "{error}"),
    }
}

#[test]
fn clocks_are_read_and_corrected_without_allocating() {
    let start = wall_time();
    let venue = VenueClock { sim_ns: start, wall_ns: start, scale: Scale::REAL };
    let (wall, mut discipline) = WallTime::start();
    let (remote, _discipline) = RemoteTime::start(&venue);
    let sim = SimTime::paused(start, Scale::REAL);
    sim.go();
    let clocks: [&dyn Now; 4] = [&wall, &remote, &sim, &SteppedTime::at(start)];
    let before = thread_allocations();
    for clock in clocks {
        let mut last = clock.now();
        for n in 0..1_000 {
            if n % 10 == 0 {
                discipline.slew(&correction(NS_PER_SEC).unwrap());
            }
            let now = clock.now();
            assert!(now >= last);
            last = now;
        }
    }
    assert_eq!(thread_allocations(), before);
}
