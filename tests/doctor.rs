//! `qtx doctor` on made machines: one that lacks nothing, one that lacks everything, and each gap by itself.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use quantum_trader::host::doctor::{
    Finding, Machine, Severity, Status, Subject, default_nic, examine, last_core,
};

/// The hot core of the made machines, which have four, and two nodes.
const CORE: usize = 3;

/// Paths below a root, and what they say.
type Files = &'static [(&'static str, &'static str)];

/// What a machine that lacks nothing says.
const PERFECT: Files = &[
    ("sys/devices/system/cpu/online", "0-3\n"),
    ("sys/devices/system/cpu/isolated", "2-3\n"),
    ("sys/devices/system/cpu/nohz_full", "2-3\n"),
    ("sys/devices/system/cpu/smt/control", "on\n"),
    ("sys/devices/system/cpu/cpu3/cpufreq/scaling_governor", "performance\n"),
    ("sys/devices/system/cpu/cpu3/topology/thread_siblings_list", "3\n"),
    ("sys/devices/system/cpu/cpu3/power/pm_qos_resume_latency_us", "0\n"),
    ("sys/devices/system/cpu/cpu3/cpuidle/state0/name", "POLL\n"),
    ("sys/devices/system/cpu/cpu3/cpuidle/state0/latency", "0\n"),
    ("sys/devices/system/cpu/cpu3/cpuidle/state0/disable", "0\n"),
    ("sys/devices/system/cpu/cpu3/cpuidle/state1/name", "C6\n"),
    ("sys/devices/system/cpu/cpu3/cpuidle/state1/latency", "133\n"),
    ("sys/devices/system/cpu/cpu3/cpuidle/state1/disable", "1\n"),
    ("sys/devices/system/cpu/vulnerabilities/meltdown", "Not affected\n"),
    ("sys/devices/system/cpu/vulnerabilities/spectre_v2", "Mitigation: Enhanced IBRS\n"),
    ("sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc\n"),
    ("sys/devices/system/node/online", "0-1\n"),
    ("sys/devices/system/node/node0/cpulist", "0-1\n"),
    ("sys/devices/system/node/node1/cpulist", "2-3\n"),
    ("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n"),
    ("sys/kernel/mm/transparent_hugepage/shmem_enabled", "always within_size advise [never] deny force\n"),
    ("sys/class/net/ens5/device/numa_node", "1\n"),
    ("sys/class/net/ens5/queues/rx-0/rps_cpus", "0\n"),
    ("sys/class/net/ens5/queues/rx-1/rps_cpus", "00000000,00000007\n"),
    ("sys/class/net/ens5/queues/tx-0/xps_cpus", "0\n"),
    ("sys/class/dmi/id/sys_vendor", "Amazon EC2\n"),
    ("sys/class/dmi/id/product_name", "c7i.metal-24xl\n"),
    ("sys/module/ena/version", "2.13.0\n"),
    ("proc/cmdline", "ro isolcpus=managed_irq,domain,2-3 nohz_full=2-3 mitigations=auto\n"),
    ("proc/cpuinfo", "processor\t: 0\nflags\t\t: fpu tsc\n"),
    ("proc/irq/default_smp_affinity", "3\n"),
    ("proc/irq/24/smp_affinity_list", "0-1\n"),
    ("proc/irq/24/effective_affinity_list", "1\n"),
    // The driver's own: allowed on the hot core, and kept from it.
    ("proc/irq/25/smp_affinity_list", "2-3\n"),
    ("proc/irq/25/effective_affinity_list", "2\n"),
    ("proc/stat", "cpu  1 1 1 1 1 1 1 0 0 0\ncpu3 400000 0 100000 500000 0 0 0 1000 0 0\nintr 1\n"),
    ("proc/swaps", "Filename\tType\tSize\tUsed\tPriority\n"),
    ("proc/sys/vm/swappiness", "60\n"),
    ("proc/sys/vm/stat_interval", "10\n"),
    ("proc/sys/kernel/sched_rt_runtime_us", "-1\n"),
    ("proc/sys/kernel/timer_migration", "0\n"),
    ("proc/sys/kernel/nmi_watchdog", "0\n"),
    ("proc/sys/kernel/numa_balancing", "0\n"),
    ("proc/sys/net/core/busy_read", "50\n"),
    ("proc/sys/net/core/busy_poll", "50\n"),
    (
        "proc/net/route",
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
         eth9\t00000000\t0102A8C0\t0003\t0\t0\t200\t00000000\t0\t0\t0\n\
         ens5\t00000000\t0102A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n\
         ens5\t0002A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n",
    ),
    (
        "proc/self/limits",
        "Limit                     Soft Limit           Hard Limit           Units     \n\
         Max locked memory         unlimited            unlimited            bytes     \n\
         Max realtime priority     99                   99                   \n",
    ),
    ("proc/self/status", "Name:\tqtx\nCapEff:\t0000000000000000\nCpus_allowed_list:\t0-3\n"),
    ("proc/1/comm", "systemd\n"),
    ("proc/812/comm", "chronyd\n"),
    ("qtx/timedatectl", "Timezone=UTC\nNTPSynchronized=yes\n"),
    (
        "qtx/ethtool-c.ens5",
        "Coalesce parameters for ens5:\nAdaptive RX: off  TX: n/a\nrx-usecs:\t0\ntx-usecs:\t0\n",
    ),
];

/// Each gap: what the machine says otherwise (nothing: the file is gone), and what is found then.
const GAPS: &[(&str, Files, &str)] = &[
    ("cores", &[("sys/devices/system/cpu/online", "0,2-3\n")], "3 (0, 2-3)"),
    ("affinity", &[("proc/self/status", "CapEff:\t0\nCpus_allowed_list:\t0-1\n")], "core 3 is not among 0-1"),
    ("isolated_cores", &[("sys/devices/system/cpu/isolated", "\n")], "none (hot core 3)"),
    ("tickless_cores", &[("sys/devices/system/cpu/nohz_full", "(null)\n")], "none (hot core 3)"),
    (
        "rcu_callbacks",
        &[("sys/devices/system/cpu/nohz_full", ""), ("proc/cmdline", "ro rcu_nocbs=1-2\n")],
        "rcu_nocbs=1-2",
    ),
    ("governor", &[("sys/devices/system/cpu/cpu3/cpufreq/scaling_governor", "powersave\n")], "powersave"),
    ("idle_states", &[("sys/devices/system/cpu/cpu3/cpuidle/state1/disable", "0\n")], "C6 (133 us)"),
    (
        "smt",
        &[("sys/devices/system/cpu/cpu3/topology/thread_siblings_list", "1,3\n")],
        "core 3 with 1 (smt on)",
    ),
    ("interrupts", &[("proc/irq/24/effective_affinity_list", "3\n")], "1 of 2 (24)"),
    ("new_interrupts", &[("proc/irq/default_smp_affinity", "f\n")], "cores 0-3"),
    (
        "irqbalance",
        &[("proc/700/comm", "irqbalance\n"), ("sys/devices/system/cpu/isolated", "\n")],
        "running",
    ),
    ("huge_pages", &[("sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never\n")], "always"),
    (
        "shared_huge_pages",
        &[(
            "sys/kernel/mm/transparent_hugepage/shmem_enabled",
            "[always] within_size advise never deny force\n",
        )],
        "always",
    ),
    ("swap", &[("proc/swaps", "Filename Type\n/dev/sda2 partition 1 0 -2\n")], "on /dev/sda2"),
    ("swappiness", &[("proc/swaps", "Filename Type\n/dev/sda2 partition 1 0 -2\n")], "60"),
    (
        "locked_memory",
        &[("proc/self/limits", "Max locked memory         8388608   8388608   bytes\n")],
        "8388608 bytes (the ring alone is 8392704)",
    ),
    (
        "realtime_limit",
        &[("proc/self/limits", "Max realtime priority     0                    0\n")],
        "0 (QT_REALTIME_PRIORITY=0)",
    ),
    ("numa_balancing", &[("proc/sys/kernel/numa_balancing", "1\n")], "1"),
    ("numa_nodes", &[("sys/class/net/ens5/device/numa_node", "0\n")], "ens5 on node 0, core 3 on node 1"),
    (
        "clock_source",
        &[("sys/devices/system/clocksource/clocksource0/current_clocksource", "hpet\n")],
        "hpet",
    ),
    (
        "realtime_throttling",
        &[("proc/sys/kernel/sched_rt_runtime_us", "950000\n")],
        "950000 (QT_REALTIME_PRIORITY=0)",
    ),
    ("timer_migration", &[("proc/sys/kernel/timer_migration", "1\n")], "1"),
    ("statistics", &[("proc/sys/vm/stat_interval", "1\n")], "vm.stat_interval 1"),
    ("watchdog", &[("proc/sys/kernel/nmi_watchdog", "1\n")], "1"),
    (
        "steal",
        &[("proc/stat", "cpu3 400000 0 100000 496000 0 0 0 4000 7 7\n")],
        "0.4000% of core 3 since the boot",
    ),
    (
        "nic_queues",
        &[("sys/class/net/ens5/queues/rx-1/rps_cpus", "00000000,0000000f\n")],
        "ens5: 2 rx, 1 tx; rx-1 steered to core 3",
    ),
    (
        "nic_coalescing",
        &[("qtx/ethtool-c.ens5", "Adaptive RX: on  TX: n/a\nrx-usecs:\t20\ntx-usecs:\t64\n")],
        "ens5: adaptive-rx on, rx-usecs 20, tx-usecs 64",
    ),
    ("busy_read", &[("proc/sys/net/core/busy_read", "0\n")], "0"),
    ("time_sync", &[("qtx/timedatectl", "NTPSynchronized=no\n")], "not synchronised, by chronyd"),
];

fn write(root: &Path, files: &[(&str, &str)]) {
    for (path, text) in files {
        let path = root.join(path);
        if text.is_empty() {
            fs::remove_file(path).unwrap();
            continue;
        }
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

fn perfect() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), PERFECT);
    symlink("../../../../bus/pci/drivers/ena", root.path().join("sys/class/net/ens5/device/driver")).unwrap();
    root
}

fn subject(machine: &Machine) -> Subject {
    Subject {
        hot_core: last_core(machine, None).unwrap(),
        nic: default_nic(machine),
        ring_bytes: 8_392_704,
        realtime_priority: 0,
        pid: None,
    }
}

fn look(root: &Path) -> Vec<Finding> {
    let machine = Machine::below(root);
    let subject = Subject { hot_core: CORE, ..subject(&machine) };
    examine(&machine, &subject)
}

fn named<'a>(findings: &'a [Finding], name: &str) -> &'a Finding {
    findings.iter().find(|finding| finding.name == name).unwrap()
}

fn gaps(findings: &[Finding]) -> Vec<&'static str> {
    findings.iter().filter(|finding| finding.status == Status::Gap).map(|finding| finding.name).collect()
}

/// Status and what was found by a check of the perfect machine, changed so.
fn with(files: &[(&str, &str)], name: &str) -> (Status, String) {
    let root = perfect();
    write(root.path(), files);
    let findings = look(root.path());
    let finding = named(&findings, name);
    (finding.status, finding.found.clone())
}

#[test]
fn a_machine_that_lacks_nothing_has_no_gap() {
    let root = perfect();
    let machine = Machine::below(root.path());
    assert_eq!(subject(&machine).hot_core, CORE);
    assert_eq!(subject(&machine).nic.as_deref(), Some("ens5"), "the default route of the lowest metric");
    let findings = look(root.path());
    for finding in &findings {
        let wanted = if finding.severity == Severity::Information { Status::Info } else { Status::Ok };
        assert_eq!(finding.status, wanted, "{finding:?}");
        for text in [finding.found.as_str(), finding.wanted, finding.why, &finding.fix] {
            assert!(!text.is_empty() && !text.contains(['\n', '{']), "{finding:?}");
        }
    }
    let names: BTreeSet<&str> = findings.iter().map(|finding| finding.name).collect();
    assert_eq!(names.len(), findings.len(), "a name twice");
    assert!(named(&findings, "nic_driver").found.starts_with("ens5: ena"));
    assert_eq!(
        named(&findings, "hypervisor").found,
        "no hypervisor is to be seen (Amazon EC2, c7i.metal-24xl)"
    );
    assert_eq!(named(&findings, "mitigations").found, "mitigations=auto: active against 1 of 2");
    assert_eq!(named(&findings, "kernel_bypass").found, "none loaded");
}

#[test]
fn each_gap_is_found_by_its_check() {
    for (name, files, found) in GAPS {
        assert_eq!(with(files, name), (Status::Gap, found.to_string()), "{name}");
    }
    // Every check that wants something has its gap here.
    let root = perfect();
    let wanting = look(root.path()).into_iter().filter(|finding| finding.severity != Severity::Information);
    let wanting: BTreeSet<&str> = wanting.map(|finding| finding.name).collect();
    assert_eq!(wanting, GAPS.iter().map(|(name, ..)| *name).collect());
}

#[test]
fn what_else_is_as_wanted() {
    let other = |name, files: &[(&str, &str)], found: &str| {
        assert_eq!(with(files, name), (Status::Ok, found.to_string()), "{name}");
    };
    let off = ("sys/devices/system/cpu/nohz_full", "");
    other("rcu_callbacks", &[off, ("proc/cmdline", "rcu_nocbs=2-N\n")], "rcu_nocbs=2-N");
    other("rcu_callbacks", &[off, ("proc/cmdline", "rcu_nocbs=all\n")], "rcu_nocbs=all");
    let deep = ("sys/devices/system/cpu/cpu3/cpuidle/state1/disable", "0\n");
    other("idle_states", &[deep, ("proc/cmdline", "idle=poll\n")], "idle=poll");
    let request = ("sys/devices/system/cpu/cpu3/power/pm_qos_resume_latency_us", "n/a\n");
    other("idle_states", &[deep, request], "bounded to 0 us by a quality of service request");
    other(
        "idle_states",
        &[deep, ("dev/cpu_dma_latency", "\0\0\0\0")],
        "bounded to 0 us by a quality of service request",
    );
    let siblings = ("sys/devices/system/cpu/cpu3/topology/thread_siblings_list", "2-3\n");
    other("smt", &[siblings], "core 3 with 2, isolated");
    let running = ("proc/700/comm", "irqbalance\n");
    other("irqbalance", &[running], "running, keeping off isolated cores");
    let told = ("etc/default/irqbalance", "# x\nIRQBALANCE_BANNED_CPULIST=\"2-3\"\n");
    other("irqbalance", &[running, told], "running, keeping off cores 2-3");
    let swap = ("proc/swaps", "Filename Type\n/dev/sda2 partition 1 0 -2\n");
    other("swappiness", &[swap, ("proc/sys/vm/swappiness", "1\n")], "1");
    let limits = ("proc/self/limits", "Max locked memory 65536 65536 bytes\nMax realtime priority 0 0\n");
    let privileged = ("proc/self/status", "CapEff:\t0000000000804000\nCpus_allowed_list:\t0-3\n");
    other("locked_memory", &[limits, privileged], "65536 bytes, and CAP_IPC_LOCK, which ends the limit");
    other("realtime_limit", &[limits, privileged], "0, and CAP_SYS_NICE, which ends the limit");
    other("numa_balancing", &[("proc/sys/kernel/numa_balancing", "")], "not built into this kernel");
    other("watchdog", &[("proc/sys/kernel/nmi_watchdog", "")], "not built into this kernel");
    other("numa_nodes", &[("sys/devices/system/node/online", "0\n")], "one node");
}

#[test]
fn without_managed_interrupts_where_they_may_go_counts() {
    let (status, found) = with(&[("proc/cmdline", "isolcpus=2-3\n")], "interrupts");
    assert_eq!((status, found.as_str()), (Status::Gap, "1 of 2 (25)"));
}

#[test]
fn a_virtual_machine_is_not_blamed_for_its_hypervisor() {
    let guest = ("proc/cpuinfo", "flags\t\t: fpu tsc hypervisor\n");
    let (status, found) = with(&[guest], "hypervisor");
    assert_eq!((status, found.starts_with("a virtual machine")), (Status::Info, true), "{found}");
    let governor = ("sys/devices/system/cpu/cpu3/cpufreq/scaling_governor", "");
    assert_eq!(with(&[guest, governor], "governor").0, Status::Info);
    assert_eq!(with(&[governor], "governor").0, Status::Unknown, "a real one should have told");
}

#[test]
fn what_cannot_be_read_is_unknown_and_says_why() {
    for (name, file) in [
        ("affinity", "proc/self/status"),
        ("isolated_cores", "sys/devices/system/cpu/isolated"),
        ("clock_source", "sys/devices/system/clocksource/clocksource0/current_clocksource"),
        ("huge_pages", "sys/kernel/mm/transparent_hugepage/enabled"),
        ("swap", "proc/swaps"),
        ("locked_memory", "proc/self/limits"),
        ("steal", "proc/stat"),
        ("nic_coalescing", "qtx/ethtool-c.ens5"),
        ("busy_read", "proc/sys/net/core/busy_read"),
        ("time_sync", "qtx/timedatectl"),
    ] {
        let (status, found) = with(&[(file, "")], name);
        assert_eq!(status, Status::Unknown, "{name}");
        assert!(found.contains(file), "{found}");
        let (status, found) = with(&[(file, "\u{fffd}, -1 [x")], name);
        assert_ne!(status, Status::Ok, "{name}: {found}");
    }
    let (status, found) =
        with(&[("qtx/ethtool-c.ens5", "netlink error: Operation not supported\n")], "nic_coalescing");
    assert_eq!(status, Status::Info, "{found}");
    // A folder without anything: no check claims that all is well.
    let empty = tempfile::tempdir().unwrap();
    let machine = Machine::below(empty.path());
    let subject = Subject { hot_core: 0, nic: None, ring_bytes: 1, realtime_priority: 0, pid: None };
    for finding in examine(&machine, &subject) {
        assert_eq!(finding.status, Status::Unknown, "{finding:?}");
    }
    assert!(last_core(&machine, None).is_err());
}

#[test]
fn every_check_has_its_reason_in_the_documentation() {
    let text = include_str!("../docs/DEPLOYMENT.md");
    let rows = text.lines().skip_while(|line| !line.starts_with("| check |")).skip(2);
    let cells = rows.take_while(|line| line.starts_with('|')).filter_map(|row| row.split('|').nth(1));
    let documented: BTreeSet<&str> = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
    let root = perfect();
    let findings = look(root.path());
    let (told, wanting): (Vec<_>, Vec<_>) =
        findings.iter().partition(|finding| finding.severity == Severity::Information);
    let wanting: BTreeSet<&str> = wanting.iter().map(|finding| finding.name).collect();
    assert_eq!(wanting.difference(&documented).next(), None);
    let told: BTreeSet<&str> = told.iter().map(|finding| finding.name).collect();
    assert_eq!(documented.difference(&wanting).find(|name| !told.contains(*name)), None, "no such check");
    assert!(told.iter().all(|name| text.contains(&format!("`{name}`"))), "{told:?}");
}

fn doctor(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_qtx"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("QT_") || name.starts_with("RM_")) {
        command.env_remove(name);
    }
    command.arg("doctor").args(arguments).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn exit_codes_and_both_forms() {
    let root = perfect();
    let output = doctor(&["--root", text(root.path())]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).starts_with("hot core 3, network interface ens5\n"), "{}", said(&output));
    assert!(said(&output).ends_with("\nno gaps\n"), "{}", said(&output));

    for (_, files, _) in GAPS.iter().filter(|(name, ..)| *name != "cores" && *name != "affinity") {
        // Limits are changed by two rows of the table.
        let both = "Max locked memory 8388608 8388608 bytes\nMax realtime priority 0 0\n";
        let files: Vec<(&str, &str)> = files
            .iter()
            .filter(|(path, text)| !text.is_empty() || root.path().join(path).exists())
            .map(|(path, text)| (*path, if *path == "proc/self/limits" { both } else { *text }))
            .collect();
        write(root.path(), &files);
    }
    let online = ("sys/devices/system/cpu/online", "0,2-3\n");
    write(root.path(), &[online, ("proc/self/status", "CapEff:\t0\nCpus_allowed_list:\t0,2\n")]);
    let output = doctor(&["--root", text(root.path()), "--hot-core", "3", "--json"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let every: Vec<&str> = GAPS.iter().map(|(name, ..)| *name).collect();
    let named: BTreeSet<&str> =
        report["gaps"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    assert_eq!(named, every.iter().copied().collect(), "a machine that lacks everything");
    assert_eq!((&report["hot_core"], &report["nic"]), (&3.into(), &"ens5".into()));
    let first = &report["checks"][0];
    assert_eq!(first["status"], "gap");
    assert_eq!(first["severity"], "advised");
    for field in ["name", "found", "wanted", "why", "fix"] {
        assert!(first[field].is_string(), "{field}");
    }

    let output = doctor(&["--root", text(root.path()), "--hot-core", "3"]);
    assert_eq!(output.status.code(), Some(1));
    let last = said(&output).lines().last().unwrap().to_string();
    assert!(every.iter().all(|name| last.contains(name)), "{last}");
    assert!(said(&output).contains("kernel parameter isolcpus=managed_irq,domain,3"), "{}", said(&output));
}

#[test]
fn settings_and_flags_name_core_interface_and_process() {
    let root = perfect();
    let at = text(root.path()).to_string();
    let head = |arguments: &[&str]| {
        let output = doctor(&[&["--root", &at], arguments].concat());
        said(&output).lines().next().unwrap_or_default().to_string()
    };
    assert!(head(&["--set", "QT_HOT_CORE=2"]).starts_with("hot core 2,"));
    assert!(head(&["--set", "QT_HOT_CORE=2", "--hot-core", "1"]).starts_with("hot core 1,"));
    write(root.path(), &[("sys/class/net/eth9/mtu", "1500\n")]);
    assert!(head(&["--nic", "eth9"]).ends_with("interface eth9"));
    write(root.path(), &[("proc/77/status", "CapEff:\t0\nCpus_allowed_list:\t0-1\n")]);
    assert!(head(&["--pid", "77"]).starts_with("hot core 1,"), "the last one that process may use");

    let priority = ("proc/self/limits", "Max locked memory unlimited\nMax realtime priority 40 40\n");
    write(root.path(), &[priority]);
    let output = doctor(&["--root", &at, "--set", "QT_REALTIME_PRIORITY=50"]);
    assert!(said(&output).ends_with("1 gap, 0 required: realtime_limit\n"), "{}", said(&output));
}

#[test]
fn what_is_not_there_is_refused() {
    let root = perfect();
    let at = text(root.path());
    for (arguments, line) in [
        (vec!["--root", at, "--hot-core", "4"], "core 4 is not online, only 0-3"),
        (vec!["--root", at, "--nic", "eth7"], "--nic eth7: no such interface"),
        (vec!["--root", "/no/such/folder"], "not a folder"),
        (vec!["--hot-core", "x"], "--hot-core"),
        (vec!["--no-such-flag"], "--no-such-flag"),
        (vec!["--set", "QT_HOT_CORE=x"], "QT_HOT_CORE"),
    ] {
        let output = doctor(&arguments);
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        assert!(said(&output).contains(line), "{line}: {}", said(&output));
    }
}

/// Whatever this machine is, it is looked at, and the code agrees with what is said.
#[test]
fn this_machine() {
    let output = doctor(&["--json"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let machine = Machine::here();
    let found = gaps(&examine(&machine, &subject(&machine)));
    assert_eq!(output.status.code(), Some(if found.is_empty() { 0 } else { 1 }), "{}", said(&output));
    assert_eq!(report["gaps"], serde_json::json!(found));
    let checks = report["checks"].as_array().unwrap();
    let at =
        |name: &str| checks.iter().find(|check| check["name"] == name).unwrap()["found"].as_str().unwrap();
    let online = fs::read_to_string(PathBuf::from("/sys/devices/system/cpu/online")).unwrap();
    assert!(at("cores").contains(online.trim()), "{}", at("cores"));
    assert!(!at("time_sync").is_empty());
}
