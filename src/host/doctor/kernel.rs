//! What the kernel, or the machine below it, does on its own account.

use super::machine::Machine;
use super::{Check, Seen, Severity, Subject};

/// What every second would be too often for; `tuned` has the same for low latency.
const STATISTICS_S_MIN: i64 = 10;
/// A thousandth of the core's time since the boot.
const STEAL_PPM_MAX: u64 = 1_000;
/// Counters read from the processor itself, without leaving it or the guest.
const FAST_SOURCES: [&str; 2] = ["tsc", "arch_sys_counter"];

pub(super) const CHECKS: &[Check] = &[
    Check {
        name: "clock_source",
        severity: Severity::Required,
        wanted: "tsc (arch_sys_counter on ARM)",
        why: "each turn reads the clock; other sources cost a system call or a trip to the hypervisor",
        fix: "echo tsc > /sys/devices/system/clocksource/clocksource0/current_clocksource, kernel parameter clocksource=tsc",
        look: clock_source,
    },
    Check {
        name: "realtime_throttling",
        severity: Severity::Advised,
        wanted: "-1",
        why: "a hot thread with QT_REALTIME_PRIORITY never sleeps, and is stopped for 50 ms of each second otherwise",
        fix: "sysctl kernel.sched_rt_runtime_us=-1",
        look: realtime_throttling,
    },
    Check {
        name: "timer_migration",
        severity: Severity::Advised,
        wanted: "0",
        why: "idle cores hand their timers to busy ones, and the hot core is always busy",
        fix: "sysctl kernel.timer_migration=0",
        look: timer_migration,
    },
    Check {
        name: "statistics",
        severity: Severity::Advised,
        wanted: "vm.stat_interval 10 or more",
        why: "each core folds its memory counters so often, in a kernel thread that takes the core",
        fix: "sysctl vm.stat_interval=10",
        look: statistics,
    },
    Check {
        name: "watchdog",
        severity: Severity::Advised,
        wanted: "kernel.nmi_watchdog 0",
        why: "it interrupts busy cores through a performance counter, whatever is masked",
        fix: "sysctl kernel.nmi_watchdog=0, kernel parameter nmi_watchdog=0",
        look: watchdog,
    },
    Check {
        name: "steal",
        severity: Severity::Advised,
        wanted: "at most 0.1% of the hot core's time",
        why: "the hypervisor ran another guest there: pauses of milliseconds that nothing here prevents",
        fix: "an instance with cores of its own: dedicated, or metal",
        look: steal,
    },
    Check {
        name: "hypervisor",
        severity: Severity::Information,
        wanted: "none is best",
        why: "a guest leaves the processor for timers, idling and interrupts between cores",
        fix: "a metal instance, where the tail matters more than the price",
        look: hypervisor,
    },
    Check {
        name: "mitigations",
        severity: Severity::Information,
        wanted: "the operator's choice",
        why: "they make each system call dearer, and the hot thread's are the reads of its sockets",
        fix: "kernel parameter mitigations=off, only on a host that runs nothing but trusted code",
        look: mitigations,
    },
];

fn clock_source(machine: &Machine, _: &Subject) -> Result<Seen, String> {
    let source = machine.text("/sys/devices/system/clocksource/clocksource0/current_clocksource")?;
    Ok(Seen::ok_if(FAST_SOURCES.contains(&source.as_str()), source))
}

fn realtime_throttling(machine: &Machine, subject: &Subject) -> Result<Seen, String> {
    let value = machine.number("/proc/sys/kernel/sched_rt_runtime_us")?;
    let found = format!("{value} (QT_REALTIME_PRIORITY={})", subject.realtime_priority);
    Ok(Seen::ok_if(value == -1, found))
}

fn timer_migration(machine: &Machine, _: &Subject) -> Result<Seen, String> {
    let value = machine.number("/proc/sys/kernel/timer_migration")?;
    Ok(Seen::ok_if(value == 0, value.to_string()))
}

fn statistics(machine: &Machine, _: &Subject) -> Result<Seen, String> {
    let value = machine.number("/proc/sys/vm/stat_interval")?;
    Ok(Seen::ok_if(value >= STATISTICS_S_MIN, format!("vm.stat_interval {value}")))
}

/// A kernel without it has no such file.
fn watchdog(machine: &Machine, _: &Subject) -> Result<Seen, String> {
    machine.number("/proc/sys/vm/stat_interval")?;
    Ok(match machine.number("/proc/sys/kernel/nmi_watchdog") {
        Ok(value) => Seen::ok_if(value == 0, value.to_string()),
        Err(_) => Seen::ok("not built into this kernel"),
    })
}

/// `/proc/stat` has ticks since the boot: user, nice, system, idle, iowait, irq, softirq, steal, and guest
/// time, which the first two include.
fn steal(machine: &Machine, subject: &Subject) -> Result<Seen, String> {
    let stat = machine.text("/proc/stat")?;
    let name = format!("cpu{}", subject.hot_core);
    let row = stat.lines().find(|line| line.split_ascii_whitespace().next() == Some(name.as_str()));
    let row = row.ok_or_else(|| format!("/proc/stat: has no {name}"))?;
    let ticks: Vec<u64> =
        row.split_ascii_whitespace().skip(1).take(8).map_while(|word| word.parse().ok()).collect();
    let stolen = *ticks.get(7).ok_or_else(|| format!("/proc/stat: {name} has no steal"))?;
    let all = ticks.iter().fold(0u64, |sum, ticks| sum.saturating_add(*ticks)).max(1);
    let ppm = u64::try_from(u128::from(stolen) * 1_000_000 / u128::from(all)).unwrap_or(u64::MAX);
    let found = format!("{}.{:04}% of core {} since the boot", ppm / 10_000, ppm % 10_000, subject.hot_core);
    Ok(Seen::ok_if(ppm <= STEAL_PPM_MAX, found))
}

/// Processors tell their guests by a flag; Xen says so in a file.
pub(super) fn is_virtual(machine: &Machine) -> bool {
    let info = machine.text("/proc/cpuinfo").unwrap_or_default();
    let flags = info.lines().find(|line| line.starts_with("flags") || line.starts_with("Features"));
    flags.is_some_and(|line| line.split_ascii_whitespace().any(|flag| flag == "hypervisor"))
        || machine.text("/sys/hypervisor/type").is_ok()
}

fn hypervisor(machine: &Machine, _: &Subject) -> Result<Seen, String> {
    machine.text("/proc/cpuinfo")?;
    let told = |file| machine.text(&format!("/sys/class/dmi/id/{file}")).ok();
    let product: Vec<String> = [told("sys_vendor"), told("product_name")].into_iter().flatten().collect();
    let name = if product.is_empty() { String::new() } else { format!(" ({})", product.join(", ")) };
    let what = if is_virtual(machine) { "a virtual machine" } else { "no hypervisor is to be seen" };
    Ok(Seen::info(format!("{what}{name}")))
}

fn mitigations(machine: &Machine, _: &Subject) -> Result<Seen, String> {
    let dir = "/sys/devices/system/cpu/vulnerabilities";
    let names = machine.names(dir);
    if names.is_empty() {
        return Err(format!("not readable: {dir}"));
    }
    let states = names.iter().filter_map(|name| machine.text(&format!("{dir}/{name}")).ok());
    let active = states.filter(|state| state.starts_with("Mitigation")).count();
    let asked = machine.boot_parameters().into_iter().find(|word| word.starts_with("mitigations="));
    let asked = asked.unwrap_or_else(|| "the kernel's default".to_string());
    Ok(Seen::info(format!("{asked}: active against {active} of {}", names.len())))
}
