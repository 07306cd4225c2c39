//! `scripts/host-tune` on a made tree: nothing is changed by looking, twice is once, and undo puts every byte back.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const STATE: &str = "var/lib/quantum-trader/host-tune.saved";

/// Four cores, two of a processor with deep states, two interrupts that may go anywhere, swap, a card that
/// waits: the defaults of a distribution.
const TREE: &[(&str, &str)] = &[
    ("sys/devices/system/cpu/online", "0-3\n"),
    ("sys/devices/system/cpu/isolated", "\n"),
    ("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "schedutil\n"),
    ("sys/devices/system/cpu/cpu3/cpufreq/scaling_governor", "powersave\n"),
    ("sys/devices/system/cpu/cpu0/cpuidle/state1/latency", "133\n"),
    ("sys/devices/system/cpu/cpu0/cpuidle/state1/disable", "0\n"),
    ("sys/devices/system/cpu/cpu3/cpuidle/state0/latency", "2\n"),
    ("sys/devices/system/cpu/cpu3/cpuidle/state0/disable", "0\n"),
    ("sys/devices/system/cpu/cpu3/cpuidle/state1/latency", "133\n"),
    ("sys/devices/system/cpu/cpu3/cpuidle/state1/disable", "0\n"),
    ("sys/devices/system/clocksource/clocksource0/available_clocksource", "kvm-clock tsc acpi_pm\n"),
    ("sys/devices/system/clocksource/clocksource0/current_clocksource", "kvm-clock\n"),
    ("sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never\n"),
    ("sys/kernel/mm/transparent_hugepage/shmem_enabled", "[always] within_size advise never deny force\n"),
    ("sys/class/net/ens5/queues/rx-0/rps_cpus", "00000001,0000000f\n"),
    ("sys/class/net/eth9/queues/rx-0/rps_cpus", "f\n"),
    ("proc/cmdline", "ro nohz_full=3\n"),
    ("proc/irq/default_smp_affinity", "f\n"),
    ("proc/irq/24/smp_affinity_list", "0-3\n"),
    ("proc/irq/25/smp_affinity_list", "3\n"),
    ("proc/irq/26/smp_affinity_list", "0,2\n"),
    ("proc/swaps", "Filename\tType\tSize\tUsed\tPriority\n/dev/sda2\tpartition\t1\t0\t-2\n"),
    ("proc/sys/vm/swappiness", "60\n"),
    ("proc/sys/vm/stat_interval", "1\n"),
    ("proc/sys/kernel/random/boot_id", "11111111-1111-1111-1111-111111111111\n"),
    ("proc/sys/kernel/sched_rt_runtime_us", "950000\n"),
    ("proc/sys/kernel/timer_migration", "1\n"),
    ("proc/sys/kernel/nmi_watchdog", "1\n"),
    ("proc/sys/kernel/numa_balancing", "1\n"),
    ("proc/sys/net/core/busy_read", "0\n"),
    ("proc/sys/net/core/busy_poll", "0\n"),
    (
        "proc/net/route",
        "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n\
         eth9\t00000000\t0102A8C0\t0003\t0\t0\t200\t00000000\n\
         ens5\t00000000\t0102A8C0\t0003\t0\t0\t100\t00000000\n",
    ),
    ("run/irqbalance", "active\n"),
    ("run/coalescing", "on 20 64\n"),
];

/// Programs of the tree: what they change is a file of it, and what they were asked for is a line in `asked`.
const PROGRAMS: &[(&str, &str)] = &[
    (
        "systemctl",
        r#"case $1 in
    is-active) grep -q '^active' "$here/run/irqbalance" ;;
    start) echo active >"$here/run/irqbalance" ;;
    stop) echo inactive >"$here/run/irqbalance" ;;
esac"#,
    ),
    (
        "swapoff",
        r#"grep -v "^$1" "$here/proc/swaps" >"$here/run/swaps"; mv "$here/run/swaps" "$here/proc/swaps""#,
    ),
    ("swapon", r#"printf '%s\tpartition\t1\t0\t-2\n' "$1" >>"$here/proc/swaps""#),
    (
        "ethtool",
        r#"read -r adaptive rx tx <"$here/run/coalescing"
case $1 in
    -c) printf 'Coalesce parameters for %s:\nAdaptive RX: %s  TX: n/a\nrx-usecs:\t%s\nrx-frames:\tn/a\ntx-usecs:\t%s\n' "$2" "$adaptive" "$rx" "$tx" ;;
    -C) echo "$4 $6 $8" >"$here/run/coalescing" ;;
esac"#,
    ),
];

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn tree() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (path, text) in TREE {
        write(root.path(), path, text);
    }
    for (name, body) in PROGRAMS {
        let path = format!("bin/{name}");
        write(root.path(), &path, &format!("#!/bin/bash\nhere=$(dirname \"$0\")/..\n{body}\n"));
        fs::set_permissions(root.path().join(path), fs::Permissions::from_mode(0o755)).unwrap();
    }
    root
}

/// Every file below the root with its bytes.
fn bytes(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut dirs = vec![root.to_path_buf()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else {
                found.insert(path.strip_prefix(root).unwrap().to_path_buf(), fs::read(&path).unwrap());
            }
        }
    }
    found
}

fn read(root: &Path, path: &str) -> String {
    fs::read_to_string(root.join(path)).unwrap()
}

fn tune(root: &Path, arguments: &[&str]) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/host-tune");
    Command::new("bash").arg(script).arg("--root").arg(root).args(arguments).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// What was said, of a run that ended well.
fn tuned(root: &Path, arguments: &[&str]) -> String {
    let output = tune(root, arguments);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    said(&output)
}

/// Lines that say what was or would be changed.
fn changes(said: &str) -> Vec<&str> {
    said.lines().filter(|line| line.contains(" -> ")).collect()
}

#[test]
fn a_dry_run_says_everything_and_changes_nothing() {
    let root = tree();
    let before = bytes(root.path());
    let would = tuned(root.path(), &["--dry-run"]);
    assert_eq!(bytes(root.path()), before);
    assert!(would.starts_with("hot cores 3, others 0-2, network interface ens5\n"), "{would}");
    assert_eq!(
        changes(&would),
        [
            "file /sys/devices/system/cpu/cpu0/cpufreq/scaling_governor: schedutil -> performance",
            "file /sys/devices/system/cpu/cpu3/cpufreq/scaling_governor: powersave -> performance",
            "file /sys/devices/system/cpu/cpu3/cpuidle/state1/disable: 0 -> 1",
            "service irqbalance: active -> inactive",
            "file /proc/irq/24/smp_affinity_list: 0-3 -> 0-2",
            "file /proc/irq/25/smp_affinity_list: 3 -> 0-2",
            "file /proc/irq/default_smp_affinity: f -> 7",
            "file /sys/kernel/mm/transparent_hugepage/enabled: always -> madvise",
            "file /sys/kernel/mm/transparent_hugepage/shmem_enabled: always -> never",
            "file /proc/sys/vm/swappiness: 60 -> 1",
            "swap /dev/sda2: on -> off",
            "file /proc/sys/kernel/numa_balancing: 1 -> 0",
            "file /sys/devices/system/clocksource/clocksource0/current_clocksource: kvm-clock -> tsc",
            "file /proc/sys/kernel/sched_rt_runtime_us: 950000 -> -1",
            "file /proc/sys/kernel/timer_migration: 1 -> 0",
            "file /proc/sys/kernel/nmi_watchdog: 1 -> 0",
            "file /proc/sys/vm/stat_interval: 1 -> 10",
            "file /proc/sys/net/core/busy_read: 0 -> 50",
            "file /sys/class/net/ens5/queues/rx-0/rps_cpus: 00000001,0000000f -> 00000001,00000007",
            "coalescing ens5: adaptive-rx on rx-usecs 20 tx-usecs 64 -> adaptive-rx off rx-usecs 0 tx-usecs 0",
        ]
    );
    let parameters = ["isolcpus=managed_irq,domain,3\n", "nohz_full=3 (there)\n", "irqaffinity=0-2\n"];
    assert!(parameters.iter().all(|parameter| would.contains(parameter)), "{would}");
}

#[test]
fn twice_is_once_and_undo_puts_every_byte_back() {
    let root = tree();
    let before = bytes(root.path());
    let would = tuned(root.path(), &["--dry-run"]);
    let did = tuned(root.path(), &[]);
    assert_eq!(did, would, "what was foretold");
    let tuned_once = bytes(root.path());
    assert_eq!(read(root.path(), "proc/irq/24/smp_affinity_list"), "0-2\n");
    assert_eq!(read(root.path(), "proc/irq/26/smp_affinity_list"), "0,2\n", "no hot core in it");
    assert_eq!(read(root.path(), "sys/devices/system/cpu/cpu0/cpuidle/state1/disable"), "0\n", "no hot core");
    assert_eq!(read(root.path(), "sys/class/net/eth9/queues/rx-0/rps_cpus"), "f\n", "another interface");
    assert_eq!(read(root.path(), "sys/kernel/mm/transparent_hugepage/enabled"), "always [madvise] never\n");
    assert!(!read(root.path(), "proc/swaps").contains("/dev/sda2"));
    assert_eq!(read(root.path(), "run/coalescing"), "off 0 0\n");
    assert_eq!(read(root.path(), STATE).lines().count(), 1 + changes(&did).len());

    let again = tuned(root.path(), &[]);
    assert_eq!(changes(&again), [""; 0]);
    assert!(again.contains("nothing to change"), "{again}");
    assert_eq!(bytes(root.path()), tuned_once);

    let would = tuned(root.path(), &["--undo", "--dry-run"]);
    assert_eq!(bytes(root.path()), tuned_once);
    let undone = tuned(root.path(), &["--undo"]);
    assert_eq!(undone, would);
    // The last change goes first: interrupts are where they were before somebody moves them again.
    let targets = |said| -> Vec<String> {
        changes(said).iter().map(|line| line.split_once(": ").unwrap().0.to_string()).collect()
    };
    let (mut backwards, forwards) = (targets(&undone), targets(&did));
    backwards.reverse();
    assert_eq!(backwards, forwards);
    assert_eq!(bytes(root.path()), before);
    assert_eq!(tuned(root.path(), &["--undo"]), "nothing to undo\n");
}

#[test]
fn what_was_found_first_is_what_comes_back() {
    let root = tree();
    let before = bytes(root.path());
    tuned(root.path(), &["--cores", "3"]);
    // Somebody changes it in between, and another core is hot the next time.
    write(root.path(), "proc/sys/vm/stat_interval", "2\n");
    let did = tuned(root.path(), &["--cores", "2-3"]);
    assert!(changes(&did).contains(&"file /proc/irq/24/smp_affinity_list: 0-2 -> 0-1"), "{did}");
    assert!(changes(&did).contains(&"file /proc/irq/26/smp_affinity_list: 0,2 -> 0"), "{did}");
    let kept = read(root.path(), STATE);
    assert_eq!(kept.matches("irq/24").count(), 1, "{kept}");
    tuned(root.path(), &["--undo"]);
    assert_eq!(bytes(root.path()), before);
}

#[test]
fn a_reboot_makes_what_was_kept_void() {
    let root = tree();
    tuned(root.path(), &[]);
    write(root.path(), "proc/sys/kernel/random/boot_id", "2\n");
    write(root.path(), "proc/sys/vm/stat_interval", "5\n");
    let before = bytes(root.path());
    let mut tidy = before.clone();
    tidy.remove(Path::new(STATE));
    tuned(root.path(), &[]);
    tuned(root.path(), &["--undo"]);
    assert_eq!(bytes(root.path()), tidy, "what the new boot had, not what the old one had");
    write(root.path(), STATE, "# boot 1\nfile\t/proc/sys/vm/stat_interval\t1\n");
    assert_eq!(tuned(root.path(), &["--undo"]), "nothing to undo\n");
    assert_eq!(bytes(root.path()), tidy);
}

#[test]
fn what_vanished_is_passed_over_and_nothing_else_is_written_to() {
    let root = tree();
    tuned(root.path(), &[]);
    fs::remove_dir_all(root.path().join("proc/irq/24")).unwrap();
    let mut state = read(root.path(), STATE);
    write(root.path(), "etc/shadow", "x\n");
    write(root.path(), "proc/../etc/shadow", "x\n");
    state += "file\t/etc/shadow\ty\nfile\t/proc/../etc/shadow\ty\n";
    write(root.path(), STATE, &state);
    let output = tune(root.path(), &["--undo"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("refused: file /etc/shadow"), "{}", said(&output));
    assert_eq!(read(root.path(), "etc/shadow"), "x\n");
    assert_eq!(read(root.path(), "proc/irq/25/smp_affinity_list"), "3\n", "the rest was put back");
    assert!(root.path().join(STATE).exists(), "it can be tried again");
    // A file that others may write to says nothing that counts.
    fs::set_permissions(root.path().join(STATE), fs::Permissions::from_mode(0o666)).unwrap();
    let output = tune(root.path(), &["--undo"]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
}

#[test]
fn a_machine_without_programs_is_tuned_by_its_files_alone() {
    let root = tree();
    fs::remove_dir_all(root.path().join("bin")).unwrap();
    write(root.path(), "proc/swaps", "Filename\n");
    let before = bytes(root.path());
    let did = tuned(root.path(), &["--state", root.path().join("kept").to_str().unwrap()]);
    assert!(did.contains("install ethtool"), "{did}");
    assert_eq!(read(root.path(), "run/irqbalance"), "active\n");
    assert_eq!(read(root.path(), "proc/sys/net/core/busy_read"), "50\n");
    tuned(root.path(), &["--undo", "--state", root.path().join("kept").to_str().unwrap()]);
    assert_eq!(bytes(root.path()), before);
}

#[test]
fn what_is_not_allowed_is_refused_before_anything_is_changed() {
    let root = tree();
    let before = bytes(root.path());
    for (arguments, line) in [
        (vec!["--cores", "4"], "only 0-3 are online"),
        (vec!["--cores", "0-3"], "leaves no core"),
        (vec!["--cores", "3-1"], "is not allowed"),
        (vec!["--cores", "x"], "is not allowed"),
        (vec!["--cores"], "wants a value"),
        (vec!["--nic", "eth7"], "no such interface"),
        (vec!["--boot"], "is not allowed"),
    ] {
        let output = tune(root.path(), &arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", said(&output));
        assert!(said(&output).contains(line), "{arguments:?}: {}", said(&output));
    }
    assert_eq!(bytes(root.path()), before);
    assert!(tuned(root.path(), &["--help"]).contains("Examples:"));
}

/// After it, and a boot with the parameters it prints, only what no script can do is left.
#[test]
fn doctor_finds_less_to_say_afterwards() {
    let gaps = |root: &Path| {
        let output = Command::new(env!("CARGO_BIN_EXE_qtx"))
            .args(["doctor", "--json", "--hot-core", "3", "--root", root.to_str().unwrap()])
            .output()
            .unwrap();
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        serde_json::from_value::<Vec<String>>(report["gaps"].clone()).unwrap()
    };
    let root = tree();
    let before = gaps(root.path());
    for name in ["governor", "idle_states", "interrupts", "huge_pages", "swap", "clock_source", "busy_read"] {
        assert!(before.iter().any(|gap| gap == name), "{name}: {before:?}");
    }
    tuned(root.path(), &[]);
    assert_eq!(gaps(root.path()), ["isolated_cores", "tickless_cores", "rcu_callbacks"]);
}
