//! What a thread asks of the scheduler and the memory manager: a core of its own, a real-time
//! priority, memory that stays in memory. Each is refused in words that say what would permit it.
#![allow(unsafe_code)]

use std::fmt;
use std::io;
use std::thread::available_parallelism;

use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{Resource, getrlimit};
use rustix::thread::{CapabilitySet, capabilities};

/// Why the machine does not give what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ThreadError {
    #[error("this process may not run on core {core}, only on {allowed}")]
    Core { core: usize, allowed: Cores },
    #[error("the system does not say on which cores this process may run")]
    CoresUnknown,
    #[error("can't pin the thread to core {core}: {source}")]
    Pin { core: usize, source: io::Error },
    #[error(
        "real-time priority {priority} is not permitted (RLIMIT_RTPRIO is {limit}): give the program \
         CAP_SYS_NICE (setcap cap_sys_nice=ep), or raise the limit (ulimit -r {priority}, LimitRTPRIO= in \
         a systemd unit)"
    )]
    RealtimeNotPermitted { priority: u8, limit: u64 },
    #[error("can't set real-time priority {priority}: {source}")]
    Realtime { priority: u8, source: io::Error },
    #[error(
        "locking memory is not permitted (RLIMIT_MEMLOCK is {limit_bytes} bytes): make it unlimited \
         (ulimit -l unlimited, LimitMEMLOCK=infinity in a systemd unit), or give the program CAP_IPC_LOCK"
    )]
    LockNotPermitted { limit_bytes: u64 },
    #[error("can't lock the memory: {0}")]
    Lock(io::Error),
}

/// Most a kernel can be built for (`NR_CPUS`).
const CORE_MAX: usize = 8_191;

/// Numbers of cores, in rising order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cores(Vec<usize>);

impl Cores {
    /// Those the calling thread may run on: after [`pin`] it is one.
    ///
    /// # Errors
    /// [`ThreadError::CoresUnknown`] where the system does not say.
    pub fn allowed() -> Result<Cores, ThreadError> {
        let cores: Vec<usize> =
            core_affinity::get_core_ids().into_iter().flatten().map(|core| core.id).collect();
        if cores.is_empty() { Err(ThreadError::CoresUnknown) } else { Ok(Cores(cores)) }
    }

    /// The last one: interrupts and other programs' first threads prefer low numbers.
    pub fn last(&self) -> Option<usize> {
        self.0.last().copied()
    }

    pub fn contains(&self, core: usize) -> bool {
        self.0.binary_search(&core).is_ok()
    }

    /// No core at all.
    pub fn none() -> Cores {
        Cores(Vec::new())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn count(&self) -> usize {
        self.0.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = usize> {
        self.0.iter().copied()
    }

    /// A list as the kernel prints and takes it: `0-3,6`; empty for none. `None` if it is no list, or
    /// names a core above [`CORE_MAX`].
    pub fn from_list(text: &str) -> Option<Cores> {
        let mut cores = Vec::new();
        for run in text.trim().split(',').map(str::trim).filter(|run| !run.is_empty()) {
            let (first, last) = run.split_once('-').unwrap_or((run, run));
            let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
            if first > last || last > CORE_MAX {
                return None;
            }
            cores.extend(first..=last);
        }
        cores.sort_unstable();
        cores.dedup();
        Some(Cores(cores))
    }

    /// A mask as the kernel prints it: hex words of 32 bits with commas between, the highest first.
    pub fn from_mask(text: &str) -> Option<Cores> {
        let words: Vec<&str> = text.trim().split(',').collect();
        if words.len() > (CORE_MAX + 1) / 32 {
            return None;
        }
        let mut cores = Vec::new();
        for (index, word) in words.iter().rev().enumerate() {
            let bits = u32::from_str_radix(word, 16).ok()?;
            cores.extend((0..32).filter(|bit| bits >> bit & 1 == 1).map(|bit| index * 32 + bit));
        }
        Some(Cores(cores))
    }

    /// The same without one of them.
    pub fn without(&self, core: usize) -> Cores {
        Cores(self.iter().filter(|other| *other != core).collect())
    }
}

/// As a list, with runs as ranges: `0-3, 6`.
impl fmt::Display for Cores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, run) in self.0.chunk_by(|a, b| a + 1 == *b).enumerate() {
            let comma = if i > 0 { ", " } else { "" };
            match run {
                [first, .., last] => write!(f, "{comma}{first}-{last}")?,
                // A chunk is never empty.
                _ => write!(f, "{comma}{}", run[0])?,
            }
        }
        Ok(())
    }
}

/// How many threads can run at once: cores allowed, and what a container's quota leaves of them. Ask
/// before pinning, which leaves one.
pub fn core_count() -> usize {
    available_parallelism().map_or(1, usize::from)
}

/// Keeps the calling thread on one core. Threads it starts afterwards inherit that: start them first.
///
/// # Errors
/// [`ThreadError::Core`] names the cores there are.
pub fn pin(core: usize) -> Result<(), ThreadError> {
    let allowed = Cores::allowed()?;
    // Also what keeps the number within the system's set of cores.
    if !allowed.contains(core) {
        return Err(ThreadError::Core { core, allowed });
    }
    if core_affinity::set_for_current(core_affinity::CoreId { id: core }) {
        Ok(())
    } else {
        Err(ThreadError::Pin { core, source: io::Error::last_os_error() })
    }
}

/// Runs the calling thread before every ordinary one (`SCHED_FIFO`); threads it starts afterwards are
/// ordinary. `priority` is from 1 to 99.
///
/// A thread that never sleeps is stopped for 5% of each second unless the machine is told otherwise
/// (`kernel.sched_rt_runtime_us = -1`), and starves whatever else must run on its core.
///
/// # Errors
/// [`ThreadError::RealtimeNotPermitted`] says what would permit it.
pub fn set_realtime(priority: u8) -> Result<(), ThreadError> {
    // SAFETY: all-zero bytes are a valid `sched_param`: it holds integers.
    let mut parameter: libc::sched_param = unsafe { std::mem::zeroed() };
    parameter.sched_priority = priority.into();
    let policy = libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK;
    // SAFETY: the pointer is to a live `sched_param`, which the call only reads; 0 is this thread.
    if unsafe { libc::sched_setscheduler(0, policy, &parameter) } == 0 {
        return Ok(());
    }
    let source = io::Error::last_os_error();
    Err(match source.kind() {
        io::ErrorKind::PermissionDenied => {
            let limit = getrlimit(Resource::Rtprio).current.unwrap_or(u64::MAX);
            ThreadError::RealtimeNotPermitted { priority, limit }
        }
        _ => ThreadError::Realtime { priority, source },
    })
}

/// Keeps all memory of the process, present and future, from being paged out.
///
/// # Errors
/// [`ThreadError::LockNotPermitted`] unless the process may lock without limit: with a limit that
/// suffices today, an allocation of tomorrow would fail and end the process.
pub fn lock_memory() -> Result<(), ThreadError> {
    let limit = getrlimit(Resource::Memlock).current;
    let privileged = capabilities(None).is_ok_and(|held| held.effective.contains(CapabilitySet::IPC_LOCK));
    if let (Some(limit_bytes), false) = (limit, privileged) {
        return Err(ThreadError::LockNotPermitted { limit_bytes });
    }
    mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE).map_err(|errno| ThreadError::Lock(errno.into()))
}

/// Deepest stack the loop needs, with a wide margin: its frames hold an event or a decision at a time.
const STACK_BYTES: usize = 512 * 1024;
const PAGE_BYTES: usize = 4096;

/// Touches the stack below the caller's frame, so that the loop is not the first to.
#[inline(never)]
pub fn touch_stack() {
    let mut bytes = [0u8; STACK_BYTES];
    for byte in bytes.iter_mut().step_by(PAGE_BYTES) {
        *byte = 1;
    }
    std::hint::black_box(&mut bytes);
}

/// Page faults of the calling thread so far, with and without I/O.
pub fn page_faults() -> u64 {
    // SAFETY: all-zero bytes are a valid `rusage`: it holds integers.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a live `rusage`, which the call fills. It cannot fail: the first
    // argument is one it knows and the second can be written; zeros would be the answer if it did.
    unsafe { libc::getrusage(libc::RUSAGE_THREAD, &mut usage) };
    u64::try_from(usage.ru_minflt.saturating_add(usage.ru_majflt)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    /// On a thread of its own: what is set would otherwise outlive the test.
    fn on_a_thread<T: Send + 'static>(test: impl FnOnce() -> T + Send + 'static) -> T {
        thread::spawn(test).join().unwrap()
    }

    #[test]
    fn a_pinned_thread_has_one_core() {
        on_a_thread(|| {
            let last = Cores::allowed().unwrap().last().unwrap();
            pin(last).unwrap();
            assert_eq!(Cores::allowed().unwrap(), Cores(vec![last]));
            assert_eq!(core_count(), 1);
            pin(last).unwrap();
        });
        assert!(core_count() >= 1);
    }

    #[test]
    fn a_core_that_is_not_ours_is_refused_with_those_that_are() {
        let allowed = Cores::allowed().unwrap();
        for core in [usize::MAX, 1 << 20, 1023] {
            let error = pin(core).unwrap_err().to_string();
            assert_eq!(error, format!("this process may not run on core {core}, only on {allowed}"));
        }
        assert_eq!(Cores::allowed().unwrap(), allowed, "nothing changed");
        let list = Cores(vec![0, 1, 2, 3, 6, 8, 9]);
        assert_eq!(list.to_string(), "0-3, 6, 8-9");
        assert!(list.contains(6) && !list.contains(7));
    }

    #[test]
    fn lists_and_masks_are_read_as_the_kernel_prints_them() {
        let read = |text| Cores::from_list(text).map(|cores| cores.to_string());
        assert_eq!(read("0-3,6\n").as_deref(), Some("0-3, 6"));
        assert_eq!(read(" 6, 5,5-7").as_deref(), Some("5-7"));
        assert_eq!(read("\n").as_deref(), Some(""));
        for bad in ["3-1", "x", "0-", "-1", "0-9999999999", "(null)", "0:1"] {
            assert_eq!(read(bad), None, "{bad}");
        }
        let read = |text| Cores::from_mask(text).map(|cores| cores.to_string());
        assert_eq!(read("3\n").as_deref(), Some("0-1"));
        assert_eq!(read("1,00000000,80000001").as_deref(), Some("0, 31, 64"));
        assert_eq!(read("0").as_deref(), Some(""));
        for bad in ["", "x", "100000000", "1,,1"] {
            assert_eq!(read(bad), None, "{bad}");
        }
        assert_eq!(read(&vec!["0"; 257].join(",")), None);
        assert_eq!(Cores(vec![0, 1, 2]).without(1).to_string(), "0, 2");
    }

    #[test]
    fn a_priority_is_set_or_refused_with_the_remedy() {
        on_a_thread(|| match set_realtime(1) {
            Ok(()) => {
                // SAFETY: 0 is this thread; the call takes no pointer.
                let policy = unsafe { libc::sched_getscheduler(0) };
                assert_eq!(policy, libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK);
                // SAFETY: as above.
                let child = thread::spawn(|| unsafe { libc::sched_getscheduler(0) }).join().unwrap();
                assert_eq!(child, libc::SCHED_OTHER, "what it starts is ordinary");
            }
            Err(error) => {
                let line = error.to_string();
                assert!(line.contains("CAP_SYS_NICE") && line.contains("RLIMIT_RTPRIO"), "{line}");
            }
        });
        let error = set_realtime(100).unwrap_err();
        assert!(matches!(error, ThreadError::Realtime { priority: 100, .. }), "{error}");
    }

    #[test]
    fn a_refused_lock_says_what_would_permit_it() {
        let line = ThreadError::LockNotPermitted { limit_bytes: 65_536 }.to_string();
        assert!(line.contains("RLIMIT_MEMLOCK is 65536 bytes") && line.contains("CAP_IPC_LOCK"), "{line}");
    }

    #[test]
    fn first_touches_are_counted_on_the_thread_that_makes_them() {
        const PAGES: usize = 64;
        // More than an allocator ever serves from what was freed before (32 MiB with glibc).
        const BYTES: usize = 64 << 20;
        on_a_thread(|| {
            let before = page_faults();
            let mut bytes = vec![0u8; BYTES];
            bytes.iter_mut().step_by(4096).take(PAGES).for_each(|byte| *byte = 1);
            std::hint::black_box(&bytes);
            assert!(page_faults() > before, "64 pages were touched for the first time");
        });
    }
}
