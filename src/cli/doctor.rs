//! `qtx doctor`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::settings::SettingsArgs;
use super::{Failure, print};
use crate::event::record::RECORD_BYTES;
use crate::host::doctor::{
    Finding, Machine, Severity, Status, Subject, default_nic, examine, has_nic, last_core, online,
};
use crate::journal::ring::RING_HEADER_BYTES;
use crate::risk::config::{HotCore, Settings};

#[derive(Args)]
#[command(after_help = "\
Examples:
  qtx doctor                                what this host lacks for low latency
  qtx doctor --hot-core 3 --nic ens5        for a core and an interface other than the engine's choice
  qtx doctor --pid $(systemctl show -p MainPID --value quantum-trader)
                                            with the limits of the running engine
  qtx doctor --json | jq -r '.gaps[]'       names of the gaps
  qtx doctor --root /tmp/copy               a copied /sys, /proc and /etc

Exit code 0 without a gap, 1 with one, 2 if it can't look. docs/DEPLOYMENT.md has the reasons at length.")]
pub struct DoctorArgs {
    /// JSON instead of text
    #[arg(long)]
    json: bool,
    /// Core of the hot thread; default: QT_HOT_CORE, or the last one the process may use
    #[arg(long, value_name = "N")]
    hot_core: Option<usize>,
    /// Network interface on the way to the venue; default: that of the default route
    #[arg(long, value_name = "NAME")]
    nic: Option<String>,
    /// Judge limits and cores of this process instead of our own
    #[arg(long, value_name = "PID")]
    pid: Option<u32>,
    /// Look at a machine whose /sys, /proc and /etc lie below this folder; what `ethtool -c NIC` and
    /// `timedatectl show` printed there is read from its files qtx/ethtool-c.NIC and qtx/timedatectl
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    #[command(flatten)]
    settings: SettingsArgs,
}

pub fn doctor(args: &DoctorArgs) -> Result<ExitCode, Failure> {
    let settings = args.settings.load(None)?.settings;
    let machine = match &args.root {
        Some(root) if !root.is_dir() => {
            return Err(Failure::refused(format!("--root {}: not a folder", root.display())));
        }
        Some(root) => Machine::below(root),
        None => Machine::here(),
    };
    let subject = subject(args, &settings, &machine)?;
    let findings = examine(&machine, &subject);
    let gaps: Vec<&str> =
        findings.iter().filter(|finding| finding.status == Status::Gap).map(|finding| finding.name).collect();
    if args.json {
        let Subject { hot_core, nic, .. } = &subject;
        let report = json!({ "hot_core": hot_core, "nic": nic, "checks": findings, "gaps": gaps });
        print(&format!("{report:#}\n"))?;
    } else {
        print(&text(&subject, &findings, &gaps))?;
    }
    Ok(if gaps.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn subject(args: &DoctorArgs, settings: &Settings, machine: &Machine) -> Result<Subject, Failure> {
    let hot_core = match (args.hot_core, settings.hot_core) {
        (Some(core), _) => core,
        (None, HotCore::Number(core)) => core.into(),
        (None, HotCore::Auto | HotCore::Off) => last_core(machine, args.pid).map_err(Failure::refused)?,
    };
    let online = online(machine).map_err(Failure::refused)?;
    if !online.contains(hot_core) {
        return Err(Failure::refused(format!("core {hot_core} is not online, only {online}")));
    }
    if let Some(nic) = args.nic.as_deref().filter(|nic| !has_nic(machine, nic)) {
        return Err(Failure::refused(format!("--nic {nic}: no such interface")));
    }
    Ok(Subject {
        hot_core,
        nic: args.nic.clone().or_else(|| default_nic(machine)),
        ring_bytes: RING_HEADER_BYTES + u64::from(settings.ring_slots) * RECORD_BYTES as u64,
        realtime_priority: settings.realtime_priority,
        pid: args.pid,
    })
}

/// A line for each check, what to do below those that are gaps, and the gaps once more at the end.
fn text(subject: &Subject, findings: &[Finding], gaps: &[&str]) -> String {
    let nic = subject.nic.as_deref().unwrap_or("none");
    let mut text = format!("hot core {}, network interface {nic}\n\n", subject.hot_core);
    for Finding { name, status, severity, found, wanted, why, fix } in findings {
        text += &format!("{status:<8} {name:<20} {found}\n");
        if *status == Status::Gap {
            text += &format!("         {severity:<11} wanted  {wanted}\n");
            text += &format!("{:21}why     {why}\n{:21}fix     {fix}\n", "", "");
        }
    }
    let required =
        findings.iter().filter(|f| f.status == Status::Gap && f.severity == Severity::Required).count();
    text += "\n";
    text += &match gaps.len() {
        0 => "no gaps\n".to_string(),
        1 => format!("1 gap, {required} required: {}\n", gaps[0]),
        count => format!("{count} gaps, {required} required: {}\n", gaps.join(", ")),
    };
    text
}
