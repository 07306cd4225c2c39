//! Is the host fit for the engine? Each check names what it found, what is wanted, why, and what to do.
//!
//! A check is a row of a table and a function of what the machine's files say. They are read below a root,
//! so that a copied `/sys` and `/proc` can be looked at as well; `docs/DEPLOYMENT.md` has the reasons at
//! length and their sources.

mod clock;
mod cores;
mod interrupts;
mod kernel;
mod machine;
mod memory;
mod network;

use std::fmt;

use serde::Serialize;

pub use machine::Machine;

use super::thread::Cores;

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// As wanted.
    Ok,
    /// Not as wanted, and the fix says what to do.
    Gap,
    /// Nothing to be wanted, or nothing that this host could do about it.
    Info,
    /// Could not be read; what was found says why.
    Unknown,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Status::Ok => "ok",
            Status::Gap => "GAP",
            Status::Info => "info",
            Status::Unknown => "unknown",
        })
    }
}

/// What a gap costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Milliseconds in the tail, a start that is refused, or times that are wrong.
    Required,
    /// Microseconds, or only in some set-ups.
    Advised,
    /// Told, never wanted.
    Information,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Severity::Required => "required",
            Severity::Advised => "advised",
            Severity::Information => "information",
        })
    }
}

/// What the host is judged for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// Core of the hot thread.
    pub hot_core: usize,
    /// Network interface on the way to the venue; `None` if there is no default route.
    pub nic: Option<String>,
    /// Length of the journal's ring.
    pub ring_bytes: u64,
    /// Priority the hot thread is to have (`SCHED_FIFO`), 0 for none.
    pub realtime_priority: u32,
    /// The process whose limits and cores count; `None` for the one that asks.
    pub pid: Option<u32>,
}

/// A check that was made.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    pub name: &'static str,
    pub status: Status,
    pub severity: Severity,
    pub found: String,
    pub wanted: &'static str,
    pub why: &'static str,
    /// A command, a kernel parameter, or where to turn.
    pub fix: String,
}

/// What a check saw.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    status: Status,
    found: String,
}

impl Seen {
    fn new(status: Status, found: impl Into<String>) -> Seen {
        Seen { status, found: found.into() }
    }

    fn ok(found: impl Into<String>) -> Seen {
        Seen::new(Status::Ok, found)
    }

    fn gap(found: impl Into<String>) -> Seen {
        Seen::new(Status::Gap, found)
    }

    fn info(found: impl Into<String>) -> Seen {
        Seen::new(Status::Info, found)
    }

    fn unknown(why: impl Into<String>) -> Seen {
        Seen::new(Status::Unknown, why)
    }

    fn ok_if(fine: bool, found: impl Into<String>) -> Seen {
        Seen::new(if fine { Status::Ok } else { Status::Gap }, found)
    }
}

/// A row of the table. In `fix`, `{core}` stands for the hot core, `{others}` for all but it, `{nic}` for the
/// network interface.
struct Check {
    name: &'static str,
    severity: Severity,
    wanted: &'static str,
    why: &'static str,
    fix: &'static str,
    /// `Err` is an unknown: why it could not be read.
    look: fn(&Machine, &Subject) -> Result<Seen, String>,
}

/// Every check, in the order of the report.
fn table() -> impl Iterator<Item = &'static Check> {
    [cores::CHECKS, interrupts::CHECKS, memory::CHECKS, kernel::CHECKS, network::CHECKS, clock::CHECKS]
        .into_iter()
        .flatten()
}

/// Makes every check.
pub fn examine(machine: &Machine, subject: &Subject) -> Vec<Finding> {
    let others = machine.cores(cores::ONLINE).map_or_else(
        |_| "the other cores".to_string(),
        |online| online.without(subject.hot_core).to_string().replace(' ', ""),
    );
    let fill = |text: &str| {
        text.replace("{core}", &subject.hot_core.to_string())
            .replace("{others}", &others)
            .replace("{nic}", subject.nic.as_deref().unwrap_or("NIC"))
    };
    table()
        .map(|check| {
            let Seen { status, found } = (check.look)(machine, subject).unwrap_or_else(Seen::unknown);
            let Check { name, severity, wanted, why, fix, .. } = *check;
            Finding { name, status, severity, found, wanted, why, fix: fill(fix) }
        })
        .collect()
}

/// Cores that are online.
///
/// # Errors
/// Why they can't be read.
pub fn online(machine: &Machine) -> Result<Cores, String> {
    machine.cores(cores::ONLINE)
}

/// The last core this process may use, which is what the engine takes by itself; the last one online
/// where the process is not to be seen.
///
/// # Errors
/// Why neither can be read.
pub fn last_core(machine: &Machine, pid: Option<u32>) -> Result<usize, String> {
    let allowed = cores::allowed(machine, pid).or_else(|_| online(machine))?;
    allowed.last().ok_or_else(|| format!("{}: names no core", cores::ONLINE))
}

/// The interface of the default route with the lowest metric; `None` if there is none.
pub fn default_nic(machine: &Machine) -> Option<String> {
    network::default_route(&machine.text(network::ROUTES).ok()?)
}

/// Is there such an interface?
pub fn has_nic(machine: &Machine, nic: &str) -> bool {
    machine.names(network::INTERFACES).iter().any(|name| name == nic)
}
