//! Memory that stays where it is.

use super::super::thread::Cores;
use super::machine::Machine;
use super::{Check, Seen, Severity, Subject, cores};

/// Bits of the capability sets in `/proc/PID/status` (capabilities(7)).
const CAP_IPC_LOCK: u32 = 14;
const CAP_SYS_NICE: u32 = 23;
const SWAPPINESS_MAX: i64 = 10;

pub(super) const CHECKS: &[Check] = &[
    Check {
        name: "huge_pages",
        severity: Severity::Advised,
        wanted: "madvise or never",
        why: "with always, khugepaged gathers pages under a running thread, which then waits; the engine asks for none, so madvise is never to it",
        fix: "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled, or kernel parameter transparent_hugepage=madvise",
        look: huge_pages,
    },
    Check {
        name: "shared_huge_pages",
        severity: Severity::Advised,
        wanted: "never, deny or advise",
        why: "the journal's ring is shared memory whose pages are all made at the start: gathering them later write-protects it under the hot thread",
        fix: "echo never > /sys/kernel/mm/transparent_hugepage/shmem_enabled",
        look: shared_huge_pages,
    },
    Check {
        name: "swap",
        severity: Severity::Required,
        wanted: "off",
        why: "a page that was swapped out costs a disk's latency at its next touch; memory is locked only where that is permitted",
        fix: "swapoff -a, and no swap in /etc/fstab",
        look: swap,
    },
    Check {
        name: "swappiness",
        severity: Severity::Advised,
        wanted: "10 or less, where swap is on",
        why: "the default takes pages of sleeping threads as readily as cached files",
        fix: "sysctl vm.swappiness=1",
        look: swappiness,
    },
    Check {
        name: "locked_memory",
        severity: Severity::Required,
        wanted: "unlimited, or CAP_IPC_LOCK",
        why: "the engine locks all its memory, ring included, and refuses to under a limit that a later allocation might meet",
        fix: "LimitMEMLOCK=infinity in the unit, or ulimit -l unlimited",
        look: locked_memory,
    },
    Check {
        name: "realtime_limit",
        severity: Severity::Advised,
        wanted: "at least QT_REALTIME_PRIORITY, and 1; or CAP_SYS_NICE",
        why: "without it a priority for the hot thread is refused, and so is the start that asks for one",
        fix: "LimitRTPRIO=99 in the unit, or ulimit -r 99",
        look: realtime_limit,
    },
    Check {
        name: "numa_balancing",
        severity: Severity::Advised,
        wanted: "0",
        why: "it unmaps pages to see who touches them: page faults on the hot thread",
        fix: "sysctl kernel.numa_balancing=0",
        look: numa_balancing,
    },
    Check {
        name: "numa_nodes",
        severity: Severity::Advised,
        wanted: "the network interface on the hot core's node",
        why: "across nodes each packet and each line of cache goes over the link between processors",
        fix: "--set QT_HOT_CORE to a core of the interface's node, or another slot",
        look: numa_nodes,
    },
];

/// The word in brackets is the one in force.
pub(super) fn chosen(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once('[')?;
    Some(rest.split_once(']')?.0)
}

fn huge_page_mode(machine: &Machine, file: &str, fine: &[&str]) -> Result<Seen, String> {
    let path = format!("/sys/kernel/mm/transparent_hugepage/{file}");
    let text = machine.text(&path)?;
    let mode = chosen(&text).ok_or_else(|| format!("{path}: {text:?} says nothing"))?;
    Ok(Seen::ok_if(fine.contains(&mode), mode))
}

fn huge_pages(machine: &Machine, _: &Subject) -> Result<Seen, String> {
    huge_page_mode(machine, "enabled", &["madvise", "never"])
}

fn shared_huge_pages(machine: &Machine, _: &Subject) -> Result<Seen, String> {
    huge_page_mode(machine, "shmem_enabled", &["never", "deny", "advise"])
}

fn swaps(machine: &Machine) -> Result<Vec<String>, String> {
    let text = machine.text("/proc/swaps")?;
    if !text.starts_with("Filename") {
        return Err("/proc/swaps: has no head".to_string());
    }
    Ok(text
        .lines()
        .skip(1)
        .filter_map(|line| line.split_ascii_whitespace().next())
        .map(str::to_string)
        .collect())
}

fn swap(machine: &Machine, _: &Subject) -> Result<Seen, String> {
    let swaps = swaps(machine)?;
    Ok(if swaps.is_empty() { Seen::ok("off") } else { Seen::gap(format!("on {}", swaps.join(", "))) })
}

fn swappiness(machine: &Machine, _: &Subject) -> Result<Seen, String> {
    let value = machine.number("/proc/sys/vm/swappiness")?;
    if swaps(machine)?.is_empty() {
        return Ok(Seen::ok(format!("{value}, without effect: swap is off")));
    }
    Ok(Seen::ok_if(value <= SWAPPINESS_MAX, value.to_string()))
}

/// A file of the process that is judged.
pub(super) fn process_file(pid: Option<u32>, file: &str) -> String {
    match pid {
        Some(pid) => format!("/proc/{pid}/{file}"),
        None => format!("/proc/self/{file}"),
    }
}

/// Soft limit of a row of `/proc/PID/limits`; `None` for unlimited.
fn limit(machine: &Machine, pid: Option<u32>, row: &str) -> Result<Option<u64>, String> {
    let path = process_file(pid, "limits");
    let text = machine.text(&path)?;
    let rest = text.lines().find_map(|line| line.strip_prefix(row));
    match rest.and_then(|rest| rest.split_ascii_whitespace().next()) {
        Some("unlimited") => Ok(None),
        Some(number) => number.parse().map(Some).map_err(|_| format!("{path}: {row}: {number:?}")),
        None => Err(format!("{path}: has no {row:?}")),
    }
}

fn has_capability(machine: &Machine, pid: Option<u32>, bit: u32) -> bool {
    let status = machine.text(&process_file(pid, "status")).unwrap_or_default();
    let hex = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    hex.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).is_some_and(|bits| bits >> bit & 1 == 1)
}

fn locked_memory(machine: &Machine, subject: &Subject) -> Result<Seen, String> {
    let ring = subject.ring_bytes;
    Ok(match limit(machine, subject.pid, "Max locked memory")? {
        None => Seen::ok(format!("unlimited (ring {ring} bytes)")),
        Some(bytes) if has_capability(machine, subject.pid, CAP_IPC_LOCK) => {
            Seen::ok(format!("{bytes} bytes, and CAP_IPC_LOCK, which ends the limit"))
        }
        Some(bytes) => Seen::gap(format!("{bytes} bytes (the ring alone is {ring})")),
    })
}

fn realtime_limit(machine: &Machine, subject: &Subject) -> Result<Seen, String> {
    let wanted = u64::from(subject.realtime_priority.max(1));
    Ok(match limit(machine, subject.pid, "Max realtime priority")? {
        None => Seen::ok("unlimited"),
        Some(limit) if has_capability(machine, subject.pid, CAP_SYS_NICE) => {
            Seen::ok(format!("{limit}, and CAP_SYS_NICE, which ends the limit"))
        }
        Some(limit) => {
            let asked = subject.realtime_priority;
            Seen::ok_if(limit >= wanted, format!("{limit} (QT_REALTIME_PRIORITY={asked})"))
        }
    })
}

/// A kernel without it has no such file.
fn numa_balancing(machine: &Machine, _: &Subject) -> Result<Seen, String> {
    machine.text("/proc/sys/vm/swappiness")?;
    Ok(match machine.number("/proc/sys/kernel/numa_balancing") {
        Ok(value) => Seen::ok_if(value == 0, value.to_string()),
        Err(_) => Seen::ok("not built into this kernel"),
    })
}

fn numa_nodes(machine: &Machine, subject: &Subject) -> Result<Seen, String> {
    let nodes = machine.cores("/sys/devices/system/node/online").unwrap_or_else(|_| Cores::none());
    if nodes.count() <= 1 {
        machine.cores(cores::ONLINE)?;
        return Ok(Seen::ok("one node"));
    }
    let is_home = |node: &usize| {
        machine
            .cores(&format!("/sys/devices/system/node/node{node}/cpulist"))
            .is_ok_and(|cores| cores.contains(subject.hot_core))
    };
    let home = nodes.iter().find(is_home).ok_or("no node has the hot core")?;
    let nic = subject.nic.as_deref().ok_or("no default route: name the interface with --nic")?;
    let theirs = machine.number(&format!("/sys/class/net/{nic}/device/numa_node")).unwrap_or(-1);
    if theirs < 0 {
        return Ok(Seen::info(format!("{} nodes; that of {nic} is not told", nodes.count())));
    }
    let found = format!("{nic} on node {theirs}, core {} on node {home}", subject.hot_core);
    Ok(Seen::ok_if(usize::try_from(theirs) == Ok(home), found))
}
