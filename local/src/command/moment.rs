//! Moments and times that a command line names.

use std::time::{Duration, SystemTime};

use splitway_core::time::Timestamp;

/// The longest time for which a token is made: it can only be taken back with all others, by another
/// secret.
pub(crate) const LIFETIME_MAX: Duration = Duration::from_secs(30 * 86_400);

/// Why a text is not a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a time such as 2026-11-22T19:00:00Z (RFC 3339), or seconds since 1970")]
pub(crate) struct NotAMoment;

/// Why a text is not the time that a token lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a time such as 30m, 8h or 7d, up to {} days", LIFETIME_MAX.as_secs() / 86_400)]
pub(crate) struct NotALifetime;

/// What time it is.
pub(crate) fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    Timestamp::default().plus(since_epoch.unwrap_or_default())
}

/// A moment by RFC 3339 or in seconds since the Unix epoch.
pub(crate) fn moment(text: &str) -> Result<Timestamp, NotAMoment> {
    Timestamp::parse(text).ok_or(NotAMoment)
}

/// The same, or `now`.
pub(crate) fn moment_or_now(text: &str) -> Result<Timestamp, NotAMoment> {
    if text == "now" { Ok(now()) } else { moment(text) }
}

/// How long a token lasts: a number and `s`, `m`, `h` or `d`.
pub(crate) fn lifetime(text: &str) -> Result<Duration, NotALifetime> {
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or(NotALifetime)?;
    let unit_secs = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(NotALifetime),
    };
    let is_number = number.bytes().all(|byte| byte.is_ascii_digit());
    let count: Option<u64> = number.parse().ok().filter(|_| is_number);
    let lasting = count.and_then(|count| count.checked_mul(unit_secs)).map(Duration::from_secs);
    lasting.filter(|it| !it.is_zero() && *it <= LIFETIME_MAX).ok_or(NotALifetime)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_are_a_number_and_a_unit_and_not_endless() {
        for (text, secs) in [
            ("1s", Some(1)),
            ("30m", Some(1800)),
            ("8h", Some(28_800)),
            ("30d", Some(2_592_000)),
            ("720h", Some(2_592_000)),
            ("31d", None),
            ("721h", None),
            ("0h", None),
            ("8", None),
            ("h", None),
            ("", None),
            ("+8h", None),
            ("1.5h", None),
            ("8H", None),
            ("99999999999999999999d", None),
            ("9999999999999999999d", None),
            ("8\u{fc}", None),
        ] {
            assert_eq!(lifetime(text).ok().map(|it| it.as_secs()), secs, "{text}");
        }
    }
}
