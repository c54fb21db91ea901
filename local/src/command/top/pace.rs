//! How often a server is asked.

use std::time::Duration;

const LEAST: Duration = Duration::from_millis(200);
const MOST: Duration = Duration::from_secs(3600);

/// Why a text is not an interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a time such as 500ms, 1s or 5m, from 200ms to 1h")]
pub(super) struct NotAPace;

/// An interval: a number and `ms`, `s`, `m` or `h`.
pub(super) fn pace(text: &str) -> Result<Duration, NotAPace> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits).ok_or(NotAPace)?;
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(NotAPace),
    };
    let millis = number.parse::<u64>().ok().and_then(|it| it.checked_mul(unit_ms));
    let pace = millis.map(Duration::from_millis).ok_or(NotAPace)?;
    if (LEAST..=MOST).contains(&pace) { Ok(pace) } else { Err(NotAPace) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_a_number_and_a_unit_within_bounds() {
        for (text, millis) in [
            ("200ms", Some(200)),
            ("1s", Some(1000)),
            ("5m", Some(300_000)),
            ("1h", Some(3_600_000)),
            ("199ms", None),
            ("61m", None),
            ("1", None),
            ("s", None),
            ("", None),
            ("1.5s", None),
            ("-1s", None),
            ("1S", None),
            ("\u{fc}", None),
            ("99999999999999999999h", None),
            ("9999999999999999999h", None),
        ] {
            assert_eq!(pace(text).ok(), millis.map(Duration::from_millis), "{text}");
        }
    }
}
