//! Which interrupts the hot core serves.

use super::super::thread::Cores;
use super::machine::Machine;
use super::{Check, Seen, Severity, Subject, cores};

/// So many are named; the rest is counted.
const NAMED_MAX: usize = 8;
const BALANCER_FILES: [&str; 2] = ["/etc/default/irqbalance", "/etc/sysconfig/irqbalance"];

pub(super) const CHECKS: &[Check] = &[
    Check {
        name: "interrupts",
        severity: Severity::Required,
        wanted: "none allowed on the hot core",
        why: "an interrupt and what it leaves to do take the core for microseconds, and its caches with it",
        fix: "echo {others} > /proc/irq/N/smp_affinity_list, or scripts/host-tune; isolcpus=managed_irq,... for a driver's own",
        look: allowed,
    },
    Check {
        name: "new_interrupts",
        severity: Severity::Advised,
        wanted: "none on the hot core",
        why: "a device that is set up or reset later gets its interrupts by this mask",
        fix: "kernel parameter irqaffinity={others}, or scripts/host-tune",
        look: of_new_devices,
    },
    Check {
        name: "irqbalance",
        severity: Severity::Advised,
        wanted: "not running, or keeping off the hot core",
        why: "it moves interrupts every ten seconds, back to where they were taken from",
        fix: "systemctl disable --now irqbalance, or IRQBALANCE_BANNED_CPULIST={core} in /etc/default/irqbalance",
        look: balancer,
    },
];

/// Where an interrupt may go is what counts. Those a driver spreads itself can't be told to go elsewhere:
/// with `managed_irq` the kernel keeps them from isolated cores, and where they do go is what counts.
fn allowed(machine: &Machine, subject: &Subject) -> Result<Seen, String> {
    let numbers = machine.names("/proc/irq");
    let numbers: Vec<&String> = numbers.iter().filter(|n| n.bytes().all(|b| b.is_ascii_digit())).collect();
    if numbers.is_empty() {
        return Err("not readable: /proc/irq names no interrupt".to_string());
    }
    let managed = manages(machine, subject.hot_core);
    let mut on_core: Vec<&str> = Vec::new();
    for number in &numbers {
        let may = machine.cores(&format!("/proc/irq/{number}/smp_affinity_list"))?;
        let does = machine.cores(&format!("/proc/irq/{number}/effective_affinity_list")).ok();
        let does = does.filter(|cores| !cores.is_empty());
        let counts = match (managed, &does) {
            (true, Some(does)) => does,
            _ => &may,
        };
        if counts.contains(subject.hot_core) {
            on_core.push(number);
        }
    }
    on_core.sort_by_key(|number| number.parse::<u32>().unwrap_or(u32::MAX));
    if on_core.is_empty() {
        return Ok(Seen::ok(format!("none of {}", numbers.len())));
    }
    let more = if on_core.len() > NAMED_MAX { ", ..." } else { "" };
    let named = on_core[..on_core.len().min(NAMED_MAX)].join(", ");
    Ok(Seen::gap(format!("{} of {} ({named}{more})", on_core.len(), numbers.len())))
}

/// Whether `isolcpus` keeps drivers' own interrupts from this core.
fn manages(machine: &Machine, core: usize) -> bool {
    let parameters = machine.boot_parameters();
    let isolated = parameters.iter().find_map(|word| word.strip_prefix("isolcpus=")).unwrap_or("");
    let mut flags = isolated.split(',').take_while(|part| part.starts_with(|c: char| c.is_ascii_lowercase()));
    flags.any(|flag| flag == "managed_irq") && cores::is_isolated(machine, core)
}

fn of_new_devices(machine: &Machine, subject: &Subject) -> Result<Seen, String> {
    let path = "/proc/irq/default_smp_affinity";
    let text = machine.text(path)?;
    let cores = Cores::from_mask(&text).ok_or_else(|| format!("{path}: {text:?} is no mask"))?;
    Ok(Seen::ok_if(!cores.contains(subject.hot_core), format!("cores {cores}")))
}

/// Unless told otherwise irqbalance leaves isolated cores alone (irqbalance(1)).
fn balancer(machine: &Machine, subject: &Subject) -> Result<Seen, String> {
    if machine.names("/proc").is_empty() {
        return Err("not readable: /proc".to_string());
    }
    if machine.process(&["irqbalance"]).is_none() {
        return Ok(Seen::ok("not running"));
    }
    let banned =
        BALANCER_FILES.iter().filter_map(|file| machine.text(file).ok()).find_map(|text| banned(&text));
    Ok(match banned {
        Some(cores) => {
            Seen::ok_if(cores.contains(subject.hot_core), format!("running, keeping off cores {cores}"))
        }
        None if cores::is_isolated(machine, subject.hot_core) => {
            Seen::ok("running, keeping off isolated cores")
        }
        None => Seen::gap("running"),
    })
}

fn banned(text: &str) -> Option<Cores> {
    let value = text.lines().find_map(|line| line.trim().strip_prefix("IRQBALANCE_BANNED_CPULIST="))?;
    Cores::from_list(value.trim_matches(['"', '\'']))
}
