//! The wall clock.

use super::machine::Machine;
use super::{Check, Seen, Severity, Subject};

/// Programs that set the clock.
const DAEMONS: [&str; 6] = ["chronyd", "ptp4l", "phc2sys", "ntpd", "systemd-timesyn", "openntpd"];
/// Beyond it order ids and bans, which go by the host's clock, are off by more than a round trip.
const ERROR_US_MAX: i64 = 100_000;

pub(super) const CHECKS: &[Check] = &[Check {
    name: "time_sync",
    severity: Severity::Required,
    wanted: "synchronised, within 100 ms",
    why: "lags of frames, epochs of order ids and bans go by this clock; requests are stamped by the venue's",
    fix: "install chrony; on EC2 with 169.254.169.123, or the instance's PTP clock, as its source",
    look: time_sync,
}];

fn time_sync(machine: &Machine, _: &Subject) -> Result<Seen, String> {
    let clock = machine.clock()?;
    // A process's name is cut after 15 bytes.
    let daemon = machine.process(&DAEMONS).map_or_else(
        || "by nobody to be seen here".to_string(),
        |name| format!("by {}", if name == "systemd-timesyn" { "systemd-timesyncd" } else { name }),
    );
    if !clock.synchronised {
        return Ok(Seen::gap(format!("not synchronised, {daemon}")));
    }
    let within = clock.error_us_max.map_or_else(String::new, |us| format!(", within {us} us"));
    let is_near = clock.error_us_max.is_none_or(|us| us <= ERROR_US_MAX);
    Ok(Seen::ok_if(is_near, format!("synchronised{within}, {daemon}")))
}
