//! When an upstream says that it can be asked again.

use std::time::Duration;

use crate::time::Timestamp;

/// More is not counted: what RFC 9111, section 1.2.2, takes for the most seconds.
const SECS_MAX: u64 = 1 << 31;

/// How long to wait, by the value of a header `Retry-After` (RFC 9110, section 10.2.3): seconds, or a
/// moment; one that is past is no wait. `None` where the value is neither.
pub fn retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim_matches([' ', '\t']);
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        // Only the size can be wrong with it.
        return Some(Duration::from_secs(value.parse().unwrap_or(SECS_MAX).min(SECS_MAX)));
    }
    Some(Timestamp::from_http_date(value, now)?.since(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_moments_are_read() {
        let now = Timestamp::from_http_date("Sun, 06 Nov 1994 08:49:37 GMT", Timestamp::default())
            .expect("a moment");
        for (value, secs) in [
            ("0", Some(0)),
            ("120", Some(120)),
            (" 7\t", Some(7)),
            ("00007", Some(7)),
            ("99999999999999999999999999", Some(SECS_MAX)),
            ("4294967296", Some(SECS_MAX)),
            ("Sun, 06 Nov 1994 08:50:07 GMT", Some(30)),
            ("Sunday, 06-Nov-94 08:50:07 GMT", Some(30)),
            ("Sun Nov  6 08:50:07 1994", Some(30)),
            ("Sun, 06 Nov 1994 08:49:36 GMT", Some(0)),
            ("1.5", None),
            ("-1", None),
            ("+1", None),
            ("1 s", None),
            ("1, 2", None),
            ("soon", None),
            ("", None),
        ] {
            let expected = secs.map(Duration::from_secs);
            assert_eq!(retry_after(value, now), expected, "{value:?}");
        }
    }
}
