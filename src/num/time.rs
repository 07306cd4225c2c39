//! Time as data: nanoseconds since the Unix epoch, UTC. Only `host` asks the system for it.

use std::fmt;
use std::ops::{Add, Sub};

use borsh::{BorshDeserialize, BorshSerialize};

pub const NS_PER_MS: i64 = 1_000_000;
pub const NS_PER_SEC: i64 = 1_000 * NS_PER_MS;
pub const NS_PER_HOUR: i64 = 3_600 * NS_PER_SEC;
pub const NS_PER_DAY: i64 = 24 * NS_PER_HOUR;
pub const NS_PER_WEEK: i64 = 7 * NS_PER_DAY;
/// 1970-01-01 was a Thursday: Monday-based weeks are offset by three days.
const WEEK_OFFSET_NS: i64 = 3 * NS_PER_DAY;

/// A venue timestamp: milliseconds since the Unix epoch, UTC.
pub type Millis = i64;

/// An instant: nanoseconds since the Unix epoch, UTC.
#[derive(
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    bytemuck::Pod,
    bytemuck::Zeroable,
    BorshSerialize,
    BorshDeserialize,
)]
#[repr(transparent)]
pub struct TimeNs(pub i64);

impl TimeNs {
    pub const fn from_ms(ms: Millis) -> TimeNs {
        TimeNs(ms.saturating_mul(NS_PER_MS))
    }

    pub const fn ms(self) -> Millis {
        self.0.div_euclid(NS_PER_MS)
    }

    /// Number of the UTC day.
    pub const fn day(self) -> i64 {
        self.0.div_euclid(NS_PER_DAY)
    }

    /// Number of the UTC week, Monday 00:00 to Monday 00:00.
    pub const fn week(self) -> i64 {
        self.0.saturating_add(WEEK_OFFSET_NS).div_euclid(NS_PER_WEEK)
    }

    /// Nanoseconds from `earlier` to `self`, saturating.
    pub const fn since(self, earlier: TimeNs) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl TimeNs {
    /// A date, or a time in the form it is printed in; UTC. Seconds, their fraction and the `Z` may be missing.
    pub fn parse(text: &str) -> Option<TimeNs> {
        let (date, time) = text.split_once('T').unwrap_or((text, "00:00"));
        let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
        let days = days_from_civil(year, month, day);
        // No such day (the 31st of June) is another day's number.
        if civil_from_days(days) != (year, month, day) {
            return None;
        }
        let time = time.strip_suffix('Z').unwrap_or(time);
        let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
        let seconds = if time.len() == 5 { ":00" } else { "" };
        let [h, m, s] = numbers(&format!("{time}{seconds}"), ':', [2, 2, 2])?;
        let digits = (1..=9).contains(&fraction.len()) && fraction.bytes().all(|b| b.is_ascii_digit());
        if !digits || h > 23 || m > 59 || s > 59 {
            return None;
        }
        let ns: i64 = format!("{fraction:0<9}").parse().ok()?;
        let seconds = days * 86_400 + h * 3_600 + m * 60 + s;
        seconds.checked_mul(NS_PER_SEC)?.checked_add(ns).map(TimeNs)
    }
}

/// Numbers of so many digits, with a separator between.
fn numbers<const N: usize>(text: &str, between: char, digits: [usize; N]) -> Option<[i64; N]> {
    let mut parts = text.split(between);
    let mut found = [0; N];
    for (number, digits) in found.iter_mut().zip(digits) {
        let part = parts.next()?;
        *number = (part.len() == digits && part.bytes().all(|b| b.is_ascii_digit()))
            .then_some(part)?
            .parse()
            .ok()?;
    }
    parts.next().is_none().then_some(found)
}

/// Whoever knows what time it is. Rooms that need the time while they work are given one of these;
/// only `host` makes them.
pub trait Now: Send {
    /// Never before an earlier answer.
    fn now(&self) -> TimeNs;
}

/// Adds nanoseconds, saturating: hostile timestamps must not overflow.
impl Add<i64> for TimeNs {
    type Output = TimeNs;
    fn add(self, ns: i64) -> TimeNs {
        TimeNs(self.0.saturating_add(ns))
    }
}

impl Sub<i64> for TimeNs {
    type Output = TimeNs;
    fn sub(self, ns: i64) -> TimeNs {
        TimeNs(self.0.saturating_sub(ns))
    }
}

/// ISO 8601 with milliseconds, UTC.
impl fmt::Display for TimeNs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil_from_days(self.day());
        let ms = self.0.rem_euclid(NS_PER_DAY) / NS_PER_MS;
        let (h, m, s) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{:03}Z", ms % 1_000)
    }
}

impl fmt::Debug for TimeNs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Day number since 1970-01-01 of a Gregorian date (the same, `days_from_civil`).
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let y = year - i64::from(month <= 2);
    let era = y.div_euclid(400);
    let yoe = y.rem_euclid(400);
    let mp = (month + 9) % 12;
    let doe = yoe * 365 + yoe / 4 - yoe / 100 + (153 * mp + 2) / 5 + day - 1;
    era * 146_097 + doe - 719_468
}

/// Gregorian date of a day number since 1970-01-01 (Howard Hinnant, "chrono-Compatible Low-Level
/// Date Algorithms", `civil_from_days`).
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_weeks_roll_at_utc_midnight_and_monday() {
        let monday = TimeNs::from_ms(1_721_001_600_000); // 2024-07-15T00:00:00Z, a Monday
        assert_eq!(monday.to_string(), "2024-07-15T00:00:00.000Z");
        let before = monday - 1;
        assert_eq!(monday.day(), before.day() + 1);
        assert_eq!(monday.week(), before.week() + 1);
        assert_eq!((monday + 7 * NS_PER_DAY - 1).week(), monday.week());
        assert_eq!(TimeNs(-1).day(), -1);
        assert_eq!(TimeNs::from_ms(1_709_164_800_000).to_string(), "2024-02-29T00:00:00.000Z");
    }

    #[test]
    fn a_time_is_read_as_it_is_printed_and_shorter() {
        for (text, ns) in [
            ("1970-01-01", 0),
            ("1969-12-31T23:59:59.999Z", -1_000_000),
            ("2024-02-29T00:00", 1_709_164_800_000_000_000),
            ("2024-07-15T08:30:01.5Z", 1_721_032_201_500_000_000),
            ("2024-07-15T08:30:01.000000001", 1_721_032_201_000_000_001),
        ] {
            assert_eq!(TimeNs::parse(text), Some(TimeNs(ns)), "{text}");
        }
        for day in (-800_000i64..800_000).step_by(61) {
            let at = TimeNs::from_ms(day * 86_400_000 / 10 + day.rem_euclid(997));
            assert_eq!(TimeNs::parse(&at.to_string()), Some(at), "{at}");
        }
        for bad in [
            "",
            "2024",
            "2024-06-31",
            "2023-02-29",
            "2024-13-01",
            "2024-00-10",
            "24-01-01",
            "2024-01-01T",
            "2024-1-1",
            "2024-01-01T24:00",
            "2024-01-01T08",
            "2024-01-01T08:60",
            "2024-01-01T08:00:60",
            "2024-01-01T08:00:00.",
            "2024-01-01T08:00:00.1234567890",
            "2024-01-01T+8:00",
            "2024-01-01-01",
            "9999-12-31",
            "2024-01-01 08:00",
            "2024-01-01T08:00+01:00",
            "२०२४-01-01",
        ] {
            assert_eq!(TimeNs::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn hostile_times_saturate() {
        assert_eq!(TimeNs::from_ms(i64::MAX).0, i64::MAX);
        assert_eq!((TimeNs(i64::MAX) + 1).0, i64::MAX);
        assert_eq!(TimeNs(i64::MAX).since(TimeNs(i64::MIN)), i64::MAX);
        let _ = TimeNs(i64::MAX).week();
    }
}
