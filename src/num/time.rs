//! Time as data: nanoseconds since the Unix epoch, UTC. Only `host` asks the system for it.

use std::fmt;
use std::ops::{Add, Sub};
use std::str::FromStr;

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

/// A UTC time as it is printed; the time of day, its fraction and the `Z` may be left out.
impl FromStr for TimeNs {
    type Err = NotATime;

    fn from_str(text: &str) -> Result<TimeNs, NotATime> {
        parse_time(text).ok_or(NotATime)
    }
}

/// A text that is no time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a UTC time such as 2026-01-31, 2026-01-31T23:59 or 2026-01-31T23:59:59.999Z")]
pub struct NotATime;

fn parse_time(text: &str) -> Option<TimeNs> {
    let number = |text: &str, digits: usize| {
        let plain = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| text.parse::<i64>().ok()).flatten()
    };
    let (date, time) = text.split_once('T').unwrap_or((text, "00:00"));
    let mut date = date.split('-');
    let (year, month, day) = (number(date.next()?, 4)?, number(date.next()?, 2)?, number(date.next()?, 2)?);
    let days = days_from_civil(year, month, day);
    if date.next().is_some() || civil_from_days(days) != (year, month, day) {
        return None;
    }
    let time = time.strip_suffix('Z').unwrap_or(time);
    let (time, fraction) = match time.split_once('.') {
        Some((time, fraction)) if time.len() == 8 && (1..=9).contains(&fraction.len()) => (time, fraction),
        Some(_) => return None,
        None => (time, "0"),
    };
    let scale = 10_i64.pow(9 - u32::try_from(fraction.len()).ok()?);
    let fraction = number(fraction, fraction.len())? * scale;
    let mut time = time.split(':');
    let (hour, minute) = (number(time.next()?, 2)?, number(time.next()?, 2)?);
    let second = time.next().map_or(Some(0), |second| number(second, 2))?;
    if time.next().is_some() || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let seconds = days.checked_mul(86_400)? + hour * 3_600 + minute * 60 + second;
    seconds.checked_mul(NS_PER_SEC)?.checked_add(fraction).map(TimeNs)
}

/// Day number since 1970-01-01 of a Gregorian date, the other way round of [`civil_from_days`].
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let yoe = year.rem_euclid(400);
    let mp = (month + 9) % 12;
    let doy = (153 * mp + 2) / 5 + day - 1;
    let doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
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
    fn hostile_times_saturate() {
        assert_eq!(TimeNs::from_ms(i64::MAX).0, i64::MAX);
        assert_eq!((TimeNs(i64::MAX) + 1).0, i64::MAX);
        assert_eq!(TimeNs(i64::MAX).since(TimeNs(i64::MIN)), i64::MAX);
        let _ = TimeNs(i64::MAX).week();
    }

    #[test]
    fn a_time_reads_back_as_printed() {
        for day in (-700_000..2_000_000).step_by(977) {
            let (year, month, date) = civil_from_days(day);
            assert_eq!(days_from_civil(year, month, date), day);
        }
        for ns in [0, 1_000_000, 951_782_399_999_000_000, 1_709_164_800_000_000_000, -86_400_000_000_000] {
            assert_eq!(TimeNs(ns).to_string().parse(), Ok(TimeNs(ns)));
        }
        let at = |text: &str| text.parse::<TimeNs>().map(|time| time.0);
        assert_eq!(
            at("1970-01-01T00:00:01Z"),
            at("1970-01-01T00:00:01"),
            "the Z may stand without a fraction"
        );
        assert_eq!(at("1970-01-01T00:01Z"), Ok(60 * NS_PER_SEC));
        assert_eq!(at("1970-01-02"), Ok(NS_PER_DAY));
        assert_eq!(at("1970-01-01T01:02"), Ok(62 * 60 * NS_PER_SEC));
        assert_eq!(at("1970-01-01T00:00:01.000000002"), Ok(NS_PER_SEC + 2));
        let wrong = [
            "",
            "1970",
            "1970-1-01",
            "1970-02-29",
            "1970-00-10",
            "1970-13-01",
            "1970-01-01T",
            "1970-01-01T24:00",
            "1970-01-01T00:60",
            "1970-01-01T00:00:60",
            "1970-01-01T00:00.5",
            "1970-01-01T00:00:00.",
            "1970-01-01T00:00:00.0000000001",
            "1970-01-01-01",
            "1970-01-01T00:00:00:00",
            "+970-01-01",
            "1700000000",
            "9999-12-31",
            "1970-01-01T00:00:0é",
        ];
        for text in wrong {
            assert_eq!(at(text), Err(NotATime), "{text:?}");
        }
    }
}
