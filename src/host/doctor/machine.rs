//! What the machine says: files below a root, and two things that are no file.
//!
//! Below a root other than `/` nothing is asked of this machine. What is no file is read from the folder
//! `qtx` there: `ethtool-c.NIC` is what `ethtool -c NIC` printed, `timedatectl` what `timedatectl show` did.
#![allow(unsafe_code)]

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::super::thread::Cores;

/// Longer than `/proc/interrupts` or `/proc/cpuinfo` of any machine that is looked at.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// `ethtool` is in a folder that not every user's path has.
const ETHTOOL: [&str; 2] = ["ethtool", "/usr/sbin/ethtool"];
/// `STA_UNSYNC` of adjtimex(2): nobody disciplines the clock.
const UNSYNCHRONISED: i32 = libc::STA_UNSYNC;

/// The clock as the kernel knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KernelClock {
    pub synchronised: bool,
    /// Bound on the error by the daemon that sets it; `None` if it is not known.
    pub error_us_max: Option<i64>,
}

/// A machine to look at.
#[derive(Clone, Debug)]
pub struct Machine {
    root: PathBuf,
    is_this_one: bool,
}

impl Machine {
    /// The one this runs on.
    pub fn here() -> Machine {
        Machine { root: PathBuf::from("/"), is_this_one: true }
    }

    /// One whose `/sys`, `/proc` and `/etc` lie below `root`.
    pub fn below(root: &Path) -> Machine {
        Machine { root: root.to_path_buf(), is_this_one: false }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    pub(super) fn bytes(&self, path: &str) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        File::open(self.path(path))
            .and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut bytes))
            .map_err(|error| format!("not readable: {path}: {error}"))?;
        Ok(bytes)
    }

    /// A file without the white space around it.
    pub(super) fn text(&self, path: &str) -> Result<String, String> {
        Ok(String::from_utf8_lossy(&self.bytes(path)?).trim().to_string())
    }

    pub(super) fn number(&self, path: &str) -> Result<i64, String> {
        let text = self.text(path)?;
        text.parse().map_err(|_| format!("{path}: {text:?} is no number"))
    }

    pub(super) fn cores(&self, path: &str) -> Result<Cores, String> {
        let text = self.text(path)?;
        Cores::from_list(&text).ok_or_else(|| format!("{path}: {text:?} is no list of cores"))
    }

    /// Cores of a boot parameter, in which `N` stands for the last one and `all` for all.
    pub(super) fn boot_cores(&self, list: &str) -> Option<Cores> {
        let online = self.cores(super::cores::ONLINE).ok()?;
        if list == "all" {
            return Some(online);
        }
        Cores::from_list(&list.replace('N', &online.last()?.to_string()))
    }

    /// What a folder holds, in order; nothing if it is not there.
    pub(super) fn names(&self, dir: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(dir)).into_iter().flatten().flatten();
        let mut names: Vec<String> =
            entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort_unstable();
        names
    }

    /// The last part of what a symbolic link points to.
    pub(super) fn link(&self, path: &str) -> Option<String> {
        let target = fs::read_link(self.path(path)).ok()?;
        Some(target.file_name()?.to_str()?.to_string())
    }

    /// Is a process of one of these names running?
    pub(super) fn process(&self, names: &[&'static str]) -> Option<&'static str> {
        let pids = self.names("/proc").into_iter().filter(|name| name.bytes().all(|b| b.is_ascii_digit()));
        let running: Vec<String> =
            pids.filter_map(|pid| self.text(&format!("/proc/{pid}/comm")).ok()).collect();
        names.iter().copied().find(|name| running.iter().any(|comm| comm == name))
    }

    /// The words of the kernel's command line.
    pub(super) fn boot_parameters(&self) -> Vec<String> {
        let line = self.text("/proc/cmdline").unwrap_or_default();
        line.split_ascii_whitespace().map(str::to_string).collect()
    }

    /// What `ethtool -c` prints about an interface.
    pub(super) fn coalescing(&self, nic: &str) -> Result<String, String> {
        if !self.is_this_one {
            return self.text(&format!("/qtx/ethtool-c.{nic}"));
        }
        for program in ETHTOOL {
            if let Ok(output) = Command::new(program).args(["-c", nic]).output() {
                let said = if output.status.success() { output.stdout } else { output.stderr };
                return Ok(String::from_utf8_lossy(&said).trim().to_string());
            }
        }
        Err("not readable: install ethtool".to_string())
    }

    pub(super) fn clock(&self) -> Result<KernelClock, String> {
        if !self.is_this_one {
            let text = self.text("/qtx/timedatectl")?;
            let synchronised = text.lines().any(|line| line.trim() == "NTPSynchronized=yes");
            return Ok(KernelClock { synchronised, error_us_max: None });
        }
        // SAFETY: all-zero bytes are a valid `timex`: it holds integers. Mode 0 asks and sets nothing.
        let mut clock: libc::timex = unsafe { std::mem::zeroed() };
        // SAFETY: the pointer is to a live `timex`, which the call fills.
        if unsafe { libc::adjtimex(&mut clock) } < 0 {
            return Err(format!("not readable: adjtimex: {}", std::io::Error::last_os_error()));
        }
        let synchronised = clock.status & UNSYNCHRONISED == 0;
        Ok(KernelClock { synchronised, error_us_max: synchronised.then_some(clock.maxerror) })
    }
}
