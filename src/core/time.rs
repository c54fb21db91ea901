//! Time as data: the core is told what time it is and never asks.

mod http_date;

use std::fmt;
use std::time::Duration;

/// A moment, in milliseconds since the Unix epoch, as the runtime's clock gave it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The moment `millis` milliseconds after the Unix epoch.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// The moment that a text names as RFC 3339 writes it, or as whole seconds since the Unix epoch; not
    /// before that, and not after the year 9999. What is finer than a millisecond is cut off.
    pub fn parse(text: &str) -> Option<Self> {
        match digits(text).filter(|_| text.len() <= 12) {
            Some(secs) => Self::from_secs(secs),
            None => rfc_3339(text),
        }
    }

    /// The moment so many seconds after the Unix epoch, unless that is after the year 9999.
    pub fn from_secs(secs: u64) -> Option<Self> {
        (secs <= SECS_MAX).then(|| Self(secs * 1000))
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Whole seconds since the Unix epoch.
    pub const fn as_secs(self) -> u64 {
        self.0 / 1000
    }

    /// The moment `duration` later.
    pub fn plus(self, duration: Duration) -> Self {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(millis))
    }

    /// How long ago `earlier` was; zero if the clock stepped back in between.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// The last second of the year 9999.
const SECS_MAX: u64 = 253_402_300_799;

/// The moment that is written so (RFC 3339, section 5.6). A leap second is the second before it.
fn rfc_3339(text: &str) -> Option<Timestamp> {
    let (day_and_time, rest) = text.split_at_checked(19)?;
    let mark = |at: usize| day_and_time.as_bytes().get(at).copied();
    let is_marked = [(4, b'-'), (7, b'-'), (13, b':'), (16, b':')];
    if is_marked.iter().any(|(at, expected)| mark(*at) != Some(*expected))
        || !matches!(mark(10), Some(b'T' | b't' | b' '))
    {
        return None;
    }
    let field = |at: usize, length: usize| digits(day_and_time.get(at..at + length)?);
    let days = days_since_epoch(field(0, 4)?, field(5, 2)?, field(8, 2)?)?;
    let (hour, minute, second) = (field(11, 2)?, field(14, 2)?, field(17, 2)?);
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (fraction, zone) = match rest.strip_prefix('.') {
        None => ("", rest),
        Some(rest) => rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).filter(|at| *at > 0)?),
    };
    let millis = digits(format!("{fraction:0<3}").get(..3)?)?;
    let in_day = i64::try_from(hour * 3600 + minute * 60 + second.min(59)).ok()?;
    let secs = days.checked_mul(86_400)?.checked_add(in_day)?.checked_sub(offset_secs(zone)?)?;
    let at = Timestamp::from_secs(u64::try_from(secs).ok()?)?;
    Some(at.plus(Duration::from_millis(millis)))
}

/// How far the time of a zone is ahead of UTC.
fn offset_secs(zone: &str) -> Option<i64> {
    if zone.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let (sign, rest) = zone.split_at_checked(1)?;
    let (hours, minutes) = rest.split_once(':')?;
    let is_whole = hours.len() == 2 && minutes.len() == 2;
    let (hours, minutes) = (digits(hours)?, digits(minutes)?);
    let secs = i64::try_from(hours * 3600 + minutes * 60).ok()?;
    match sign {
        "+" if is_whole && hours < 24 && minutes < 60 => Some(secs),
        "-" if is_whole && hours < 24 && minutes < 60 => Some(-secs),
        _ => None,
    }
}

/// The days from the Unix epoch to a date, if there is such a date: Hinnant, as above, days_from_civil.
fn days_since_epoch(year: u64, month: u64, day: u64) -> Option<i64> {
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let length = match month {
        2 => 28 + u64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    };
    if !(1..=length).contains(&day) {
        return None;
    }
    let year = (year + 400) - u64::from(month <= 2);
    let (era, of_era) = (year / 400, year % 400);
    let from_march = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * from_march + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    // The era that was added, and the days from 0000-03-01 to the epoch.
    Some(i64::try_from(days).ok()? - 146_097 - 719_468)
}

/// A number of nothing but digits.
fn digits(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
}

/// As RFC 3339 writes it, in UTC, to the millisecond.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, in_day) = (self.as_secs() / 86_400, self.as_secs() % 86_400);
        // Eras of 400 years from 0000-03-01 on, so that a leap day is the last day of its year: Howard
        // Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days.
        let shifted = days + 719_468;
        let (era, of_era) = (shifted / 146_097, shifted % 146_097);
        let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year + year / 4 - year / 100);
        let from_march = (5 * of_year + 2) / 153;
        let day = of_year - (153 * from_march + 2) / 5 + 1;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        let year = era * 400 + year + u64::from(month <= 2);
        let (hour, minute, second) = (in_day / 3600, in_day / 60 % 60, in_day % 60);
        let millis = self.0 % 1000;
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_rfc_3339_says() {
        for (millis, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_001, "2000-02-29T00:00:00.001Z"),
            (1_795_377_599_999, "2026-11-22T19:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            let at = Timestamp::from_millis(millis);
            assert_eq!(at.to_string(), expected);
            assert_eq!(Timestamp::parse(expected), Some(at), "{expected}");
        }
    }

    #[test]
    fn moments_are_read_as_rfc_3339_or_seconds() {
        for (text, millis) in [
            ("0", Some(0)),
            ("1795377599", Some(1_795_377_599_000)),
            ("2026-11-22T19:59:59Z", Some(1_795_377_599_000)),
            ("2026-11-22t20:59:59.5+01:00", Some(1_795_377_599_500)),
            ("2026-11-22 14:29:59.1234z", Some(1_795_357_799_123)),
            ("2026-11-22T14:29:59-05:30", Some(1_795_377_599_000)),
            ("2000-02-29T23:59:60Z", Some(951_868_799_000)),
            ("1970-01-01T00:00:00Z", Some(0)),
            ("9999-12-31T23:59:59Z", Some(253_402_300_799_000)),
            ("253402300799", Some(253_402_300_799_000)),
            ("253402300800", None),
            ("9999-12-31T23:59:59-00:01", None),
            ("1970-01-01T00:00:00+00:01", None),
            ("0000-01-01T00:00:00Z", None),
            ("2026-02-29T00:00:00Z", None),
            ("2026-13-01T00:00:00Z", None),
            ("2026-04-31T00:00:00Z", None),
            ("2026-01-00T00:00:00Z", None),
            ("2026-01-01T24:00:00Z", None),
            ("2026-01-01T00:60:00Z", None),
            ("2026-01-01T00:00:00", None),
            ("2026-01-01T00:00:00.Z", None),
            ("2026-01-01T00:00:00+1:00", None),
            ("2026-01-01T00:00:00+24:00", None),
            ("2026-01-01T00:00:00+0100", None),
            ("2026-01-01", None),
            ("2026-1-01T00:00:00ZZ", None),
            ("+5", None),
            ("-1", None),
            ("", None),
            ("now", None),
            ("20\u{fc}6-01-01T00:00:0\u{fc}Z", None),
        ] {
            assert_eq!(Timestamp::parse(text).map(Timestamp::as_millis), millis, "{text}");
        }
    }
}
