//! The way of a packet to the hot thread.

use super::super::thread::Cores;
use super::machine::Machine;
use super::{Check, Seen, Severity, Subject};

pub(super) const ROUTES: &str = "/proc/net/route";
pub(super) const INTERFACES: &str = "/sys/class/net";
/// Modules of libraries and drivers that hand packets to a program past the kernel.
const BYPASS: [&str; 6] = ["onload", "sfc_char", "vfio_pci", "uio_pci_generic", "igb_uio", "nfb"];

pub(super) const CHECKS: &[Check] = &[
    Check {
        name: "nic_driver",
        severity: Severity::Information,
        wanted: "a driver that polls for a socket (all NAPI drivers do)",
        why: "the driver decides what coalescing, queues and busy polling mean",
        fix: "on EC2 an instance type with ENA and its newest driver",
        look: driver,
    },
    Check {
        name: "nic_queues",
        severity: Severity::Advised,
        wanted: "no receive work steered to the hot core",
        why: "a queue whose rps_cpus has the hot core makes it work through packets in soft interrupts",
        fix: "rps_cpus and xps_cpus of /sys/class/net/{nic}/queues without core {core}, or scripts/host-tune",
        look: queues,
    },
    Check {
        name: "nic_coalescing",
        severity: Severity::Required,
        wanted: "adaptive off, rx-usecs and tx-usecs 0",
        why: "the card holds packets back so long, to save interrupts",
        fix: "ethtool -C {nic} adaptive-rx off rx-usecs 0 tx-usecs 0",
        look: coalescing,
    },
    Check {
        name: "busy_read",
        severity: Severity::Advised,
        wanted: "above 0 (50)",
        why: "the hot thread's own reads then look into the card's queue, and wait for no interrupt of another core",
        fix: "sysctl net.core.busy_read=50",
        look: busy_read,
    },
    Check {
        name: "busy_poll",
        severity: Severity::Information,
        wanted: "nothing: no thread of the engine waits for the venue in poll or epoll",
        why: "above 0 every program that waits so spins first, and takes time from cores that others need",
        fix: "sysctl net.core.busy_poll=0",
        look: busy_poll,
    },
    Check {
        name: "kernel_bypass",
        severity: Severity::Information,
        wanted: "nothing: the engine uses the kernel's sockets",
        why: "Onload takes sockets over without a change of the program; DPDK and AF_XDP would need one",
        fix: "with a Solarflare card: onload qtx run ...",
        look: bypass,
    },
];

/// Interface of the default route with the lowest metric, by `/proc/net/route`.
pub(super) fn default_route(routes: &str) -> Option<String> {
    let rows = routes.lines().skip(1).filter_map(|line| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let [name, destination, _, flags, _, _, metric, mask, ..] = words.as_slice() else { return None };
        let is_up = u32::from_str_radix(flags, 16).ok()? & 1 == 1;
        let is_default = *destination == "00000000" && *mask == "00000000";
        (is_up && is_default).then_some((metric.parse::<u32>().ok()?, *name))
    });
    rows.min_by_key(|(metric, _)| *metric).map(|(_, name)| name.to_string())
}

fn nic(subject: &Subject) -> Result<&str, String> {
    subject.nic.as_deref().ok_or_else(|| "no default route: name the interface with --nic".to_string())
}

fn driver(machine: &Machine, subject: &Subject) -> Result<Seen, String> {
    let nic = nic(subject)?;
    let driver = machine.link(&format!("{INTERFACES}/{nic}/device/driver"));
    Ok(Seen::info(match driver.as_deref() {
        Some("ena") => format!("{nic}: ena, EC2's; ENA Express is set at the instance, not here"),
        Some(driver) => format!("{nic}: {driver}"),
        None => format!("{nic}: none, a virtual interface"),
    }))
}

fn queues(machine: &Machine, subject: &Subject) -> Result<Seen, String> {
    let nic = nic(subject)?;
    let dir = format!("{INTERFACES}/{nic}/queues");
    let names = machine.names(&dir);
    if names.is_empty() {
        return Err(format!("not readable: {dir}"));
    }
    let count = |kind: &str| names.iter().filter(|name| name.starts_with(kind)).count();
    let steered: Vec<&str> = names
        .iter()
        .filter(|name| {
            let text = machine.text(&format!("{dir}/{name}/rps_cpus"));
            text.ok()
                .and_then(|text| Cores::from_mask(&text))
                .is_some_and(|cores| cores.contains(subject.hot_core))
        })
        .map(String::as_str)
        .collect();
    let counts = format!("{nic}: {} rx, {} tx", count("rx-"), count("tx-"));
    Ok(if steered.is_empty() {
        Seen::ok(counts)
    } else {
        Seen::gap(format!("{counts}; {} steered to core {}", steered.join(", "), subject.hot_core))
    })
}

fn coalescing(machine: &Machine, subject: &Subject) -> Result<Seen, String> {
    let nic = nic(subject)?;
    Ok(judge(nic, &machine.coalescing(nic)?))
}

/// By what `ethtool -c` prints: `Adaptive RX: off  TX: off`, `rx-usecs: 0`, with `n/a` for what the driver
/// does not have.
fn judge(nic: &str, text: &str) -> Seen {
    let us = |name: &str| {
        let line = text.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|value| value.trim().parse::<u64>().ok())
    };
    let adaptive = text.lines().find_map(|line| line.trim().strip_prefix("Adaptive RX:"));
    let adaptive = adaptive.and_then(|rest| rest.split_ascii_whitespace().next());
    let (rx, tx) = (us("rx-usecs"), us("tx-usecs"));
    if adaptive.is_none() && rx.is_none() && tx.is_none() {
        let said = text.lines().last().unwrap_or("nothing");
        return Seen::info(format!("{nic}: the driver offers none ({said})"));
    }
    let value = |us: Option<u64>| us.map_or_else(|| "n/a".to_string(), |us| us.to_string());
    let adaptive = adaptive.unwrap_or("n/a");
    let found = format!("{nic}: adaptive-rx {adaptive}, rx-usecs {}, tx-usecs {}", value(rx), value(tx));
    Seen::ok_if(adaptive != "on" && rx.unwrap_or(0) == 0 && tx.unwrap_or(0) == 0, found)
}

/// A read that finds nothing polls the card's queue once, even if it must not wait (`tcp_recvmsg`).
fn busy_read(machine: &Machine, _: &Subject) -> Result<Seen, String> {
    let value = machine.number("/proc/sys/net/core/busy_read")?;
    Ok(Seen::ok_if(value > 0, value.to_string()))
}

fn busy_poll(machine: &Machine, _: &Subject) -> Result<Seen, String> {
    Ok(Seen::info(machine.number("/proc/sys/net/core/busy_poll")?.to_string()))
}

fn bypass(machine: &Machine, _: &Subject) -> Result<Seen, String> {
    let modules = machine.names("/sys/module");
    if modules.is_empty() {
        return Err("not readable: /sys/module".to_string());
    }
    let there: Vec<&str> =
        BYPASS.into_iter().filter(|name| modules.iter().any(|module| module == name)).collect();
    Ok(Seen::info(if there.is_empty() { "none loaded".to_string() } else { there.join(", ") }))
}
