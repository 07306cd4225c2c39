//! The hot thread's core: who else may use it, and how fast it is there.

use super::super::thread::Cores;
use super::machine::Machine;
use super::{Check, Seen, Severity, Subject, kernel};

pub(super) const ONLINE: &str = "/sys/devices/system/cpu/online";
const ISOLATED: &str = "/sys/devices/system/cpu/isolated";
const TICKLESS: &str = "/sys/devices/system/cpu/nohz_full";

/// From here on the gateway spins (`gateway/thread.rs`): it, the hot thread, the drain with the shadow and the
/// system want one each.
const CORES_MIN: usize = 4;
/// Leaving C1 takes about as long; every deeper state takes longer.
const WAKE_US_MAX: i64 = 2;

pub(super) const CHECKS: &[Check] = &[
    Check {
        name: "cores",
        severity: Severity::Advised,
        wanted: "4 or more",
        why: "on fewer the gateway gives its core away when idle, and an order after a lull leaves up to 50 us later",
        fix: "a larger machine",
        look: enough,
    },
    Check {
        name: "affinity",
        severity: Severity::Required,
        wanted: "a process that may run on the hot core",
        why: "the engine pins its hot thread and is refused a core outside its mask; isolcpus takes cores out of everybody's",
        fix: "CPUAffinity= in the unit with every core, or taskset -c {others},{core} qtx run",
        look: affinity,
    },
    Check {
        name: "isolated_cores",
        severity: Severity::Required,
        wanted: "the hot core among them",
        why: "the scheduler puts nothing else there; otherwise a turn of another thread costs milliseconds",
        fix: "kernel parameter isolcpus=managed_irq,domain,{core}",
        look: isolated,
    },
    Check {
        name: "tickless_cores",
        severity: Severity::Required,
        wanted: "the hot core among them",
        why: "the timer tick interrupts a busy core 100 to 1000 times a second, some microseconds each",
        fix: "kernel parameter nohz_full={core}",
        look: tickless,
    },
    Check {
        name: "rcu_callbacks",
        severity: Severity::Advised,
        wanted: "run elsewhere than on the hot core",
        why: "freeing the kernel's memory happens in soft interrupts of the core where it was last used",
        fix: "kernel parameter rcu_nocbs={core} (nohz_full includes it)",
        look: rcu,
    },
    Check {
        name: "governor",
        severity: Severity::Required,
        wanted: "performance",
        why: "a governor that follows the load lowers the frequency, and every change stops the core",
        fix: "cpupower frequency-set -g performance, or scripts/host-tune",
        look: governor,
    },
    Check {
        name: "idle_states",
        severity: Severity::Required,
        wanted: "none that takes more than 2 us to leave",
        why: "a thread woken on a sleeping core waits until the core has left its state: up to hundreds of microseconds",
        fix: "scripts/host-tune, or kernel parameters intel_idle.max_cstate=1 processor.max_cstate=1",
        look: idle_states,
    },
    Check {
        name: "smt",
        severity: Severity::Advised,
        wanted: "the hot core's siblings off, or isolated with it",
        why: "two threads of one core share its units and first caches; the sibling's work slows the hot thread",
        fix: "kernel parameter nosmt, or echo off > /sys/devices/system/cpu/smt/control",
        look: siblings,
    },
];

fn enough(machine: &Machine, _: &Subject) -> Result<Seen, String> {
    let online = machine.cores(ONLINE)?;
    Ok(Seen::ok_if(online.count() >= CORES_MIN, format!("{} ({online})", online.count())))
}

/// Cores a process may run on.
pub(super) fn allowed(machine: &Machine, pid: Option<u32>) -> Result<Cores, String> {
    let path = super::memory::process_file(pid, "status");
    let status = machine.text(&path)?;
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    list.and_then(Cores::from_list).ok_or_else(|| format!("{path}: has no Cpus_allowed_list"))
}

fn affinity(machine: &Machine, subject: &Subject) -> Result<Seen, String> {
    let cores = allowed(machine, subject.pid)?;
    let found = format!("core {} of {cores}", subject.hot_core);
    // The engine's own hot thread is pinned; its main thread is that one, and its mask is one core then.
    Ok(if cores.contains(subject.hot_core) {
        Seen::ok(found)
    } else {
        Seen::gap(format!("core {} is not among {cores}", subject.hot_core))
    })
}

fn among(cores: &Cores, core: usize) -> Seen {
    let list = if cores.is_empty() { "none".to_string() } else { cores.to_string() };
    Seen::ok_if(cores.contains(core), format!("{list} (hot core {core})"))
}

fn isolated(machine: &Machine, subject: &Subject) -> Result<Seen, String> {
    Ok(among(&machine.cores(ISOLATED)?, subject.hot_core))
}

/// Whether the hot core is isolated; not, if it can't be read.
pub(super) fn is_isolated(machine: &Machine, core: usize) -> bool {
    machine.cores(ISOLATED).is_ok_and(|cores| cores.contains(core))
}

/// A kernel without tickless cores has no such file, and one that was given none says `(null)`.
fn tickless_list(machine: &Machine) -> Cores {
    machine.text(TICKLESS).ok().and_then(|text| Cores::from_list(&text)).unwrap_or_else(Cores::none)
}

fn tickless(machine: &Machine, subject: &Subject) -> Result<Seen, String> {
    machine.cores(ONLINE)?;
    Ok(among(&tickless_list(machine), subject.hot_core))
}

/// No file says where callbacks run: the command line does, and tickless cores are always relieved of them.
fn rcu(machine: &Machine, subject: &Subject) -> Result<Seen, String> {
    if tickless_list(machine).contains(subject.hot_core) {
        return Ok(Seen::ok("elsewhere: the hot core is tickless"));
    }
    machine.text("/proc/cmdline")?;
    let words = machine.boot_parameters();
    let list = words.iter().find_map(|word| word.strip_prefix("rcu_nocbs="));
    let Some(list) = list else { return Ok(Seen::gap("no rcu_nocbs")) };
    let there = machine.boot_cores(list).is_some_and(|cores| cores.contains(subject.hot_core));
    Ok(Seen::ok_if(there, format!("rcu_nocbs={list}")))
}

fn of_core(core: usize, file: &str) -> String {
    format!("/sys/devices/system/cpu/cpu{core}/{file}")
}

fn governor(machine: &Machine, subject: &Subject) -> Result<Seen, String> {
    match machine.text(&of_core(subject.hot_core, "cpufreq/scaling_governor")) {
        Ok(governor) => Ok(Seen::ok_if(governor == "performance", governor)),
        Err(_) if kernel::is_virtual(machine) => Ok(Seen::info("none: the hypervisor sets the frequency")),
        Err(why) => Err(why),
    }
}

/// `max_cstate` shows in which states there are, so the states are what is looked at.
fn idle_states(machine: &Machine, subject: &Subject) -> Result<Seen, String> {
    if machine.boot_parameters().iter().any(|word| word == "idle=poll") {
        return Ok(Seen::ok("idle=poll"));
    }
    let dir = of_core(subject.hot_core, "cpuidle");
    let states = machine.names(&dir);
    if states.is_empty() {
        let driver = machine.text("/sys/devices/system/cpu/cpuidle/current_driver")?;
        let who = if kernel::is_virtual(machine) { "the hypervisor" } else { "the processor" };
        return Ok(Seen::info(format!("driver {driver}: an idle core halts, and {who} does the rest")));
    }
    if let Some(us) = wake_bound_us(machine, subject.hot_core).filter(|us| *us <= WAKE_US_MAX) {
        return Ok(Seen::ok(format!("bounded to {us} us by a quality of service request")));
    }
    let mut deep = Vec::new();
    for state in states {
        let wake_us = machine.number(&format!("{dir}/{state}/latency"))?;
        let is_off = machine.number(&format!("{dir}/{state}/disable"))? != 0;
        if wake_us > WAKE_US_MAX && !is_off {
            let name = machine.text(&format!("{dir}/{state}/name")).unwrap_or(state);
            deep.push(format!("{name} ({wake_us} us)"));
        }
    }
    Ok(if deep.is_empty() { Seen::ok("no deep one is on") } else { Seen::gap(deep.join(", ")) })
}

/// What somebody asked for: for all cores by holding `/dev/cpu_dma_latency` open, for one in its folder,
/// where `n/a` stands for no delay at all and 0 for no request.
fn wake_bound_us(machine: &Machine, core: usize) -> Option<i64> {
    let all = machine.bytes("/dev/cpu_dma_latency").ok().and_then(|bytes| bytes.try_into().ok());
    let all = all.map(|bytes: [u8; 4]| i64::from(i32::from_ne_bytes(bytes)));
    let own = machine.text(&of_core(core, "power/pm_qos_resume_latency_us")).ok();
    let own = own.and_then(|text| match text.as_str() {
        "n/a" => Some(0),
        "0" => None,
        us => us.parse().ok(),
    });
    all.into_iter().chain(own).min()
}

fn siblings(machine: &Machine, subject: &Subject) -> Result<Seen, String> {
    let core = subject.hot_core;
    let others = machine.cores(&of_core(core, "topology/thread_siblings_list"))?.without(core);
    let control =
        machine.text("/sys/devices/system/cpu/smt/control").unwrap_or_else(|_| "unknown".to_string());
    if others.is_empty() {
        return Ok(Seen::ok(format!("none of core {core} (smt {control})")));
    }
    Ok(if others.iter().all(|other| is_isolated(machine, other)) {
        Seen::ok(format!("core {core} with {others}, isolated"))
    } else {
        Seen::gap(format!("core {core} with {others} (smt {control})"))
    })
}
