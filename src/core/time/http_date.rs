//! Moments as HTTP writes them (RFC 9110, section 5.6.7): three formats, of which one is to be sent and
//! all are to be read.

use super::{Timestamp, days_since_epoch, digits};

const DAYS: [&str; 7] =
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Fifty years, in milliseconds: how far ahead a year of two digits may be.
const AHEAD_MAX: u64 = 1_577_880_000_000;

impl Timestamp {
    /// The moment that an HTTP-date names; not before the Unix epoch. A year of two digits is the latest
    /// that is at most fifty years after `now`. That the day of the week fits is not looked at.
    pub fn from_http_date(text: &str, now: Self) -> Option<Self> {
        let Some((day_name, rest)) = text.split_once(", ") else {
            return asctime(text);
        };
        let (date, time) = rest.strip_suffix(" GMT")?.rsplit_once(' ')?;
        match is_short(day_name) {
            true => {
                let (day, month, year) = three(date, ' ')?;
                moment(number(year, 4)?, month, number(day, 2)?, time)
            }
            false => {
                let (day, month, year) = three(date, '-').filter(|_| DAYS.contains(&day_name))?;
                let (day, year) = (number(day, 2)?, number(year, 2)?);
                // No later century is a Timestamp, and no earlier one either.
                let centuries = (19..100).rev().map(|century| century * 100 + year);
                let mut moments = centuries.filter_map(|year| moment(year, month, day, time));
                moments.find(|moment| moment.0 <= now.0.saturating_add(AHEAD_MAX))
            }
        }
    }
}

/// The format of C: `Sun Nov  6 08:49:37 1994`.
fn asctime(text: &str) -> Option<Timestamp> {
    let (_, rest) = text.split_once(' ').filter(|(day_name, _)| is_short(day_name))?;
    let (month, rest) = rest.split_once(' ')?;
    let (day, rest) = rest.split_at_checked(2)?;
    let (time, year) = rest.strip_prefix(' ')?.split_once(' ')?;
    let day = day.strip_prefix(' ').map_or_else(|| number(day, 2), |day| number(day, 1))?;
    moment(number(year, 4)?, month, day, time)
}

fn moment(year: u64, month: &str, day: u64, time: &str) -> Option<Timestamp> {
    let month = (1..).zip(MONTHS).find_map(|(number, name)| (name == month).then_some(number))?;
    let (hour, minute, second) = three(time, ':')?;
    let (hour, minute, second) = (number(hour, 2)?, number(minute, 2)?, number(second, 2)?);
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let days = u64::try_from(days_since_epoch(year, month, day)?).ok()?;
    Timestamp::from_secs(days * 86_400 + hour * 3600 + minute * 60 + second.min(59))
}

fn is_short(day_name: &str) -> bool {
    day_name.len() == 3 && DAYS.iter().any(|day| day.starts_with(day_name))
}

fn three(text: &str, separator: char) -> Option<(&str, &str, &str)> {
    let (first, rest) = text.split_once(separator)?;
    let (second, third) = rest.split_once(separator)?;
    Some((first, second, third))
}

/// A number of exactly so many digits.
fn number(text: &str, length: usize) -> Option<u64> {
    digits(text).filter(|_| text.len() == length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_three_formats_are_read() {
        // 2026-11-22T19:59:59Z
        let now = Timestamp::from_millis(1_795_377_599_000);
        for (text, expected) in [
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some("1994-11-06T08:49:37.000Z")),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some("1994-11-06T08:49:37.000Z")),
            ("Sun Nov  6 08:49:37 1994", Some("1994-11-06T08:49:37.000Z")),
            ("Wed Nov 16 08:49:37 1994", Some("1994-11-16T08:49:37.000Z")),
            ("Tue, 29 Feb 2000 23:59:60 GMT", Some("2000-02-29T23:59:59.000Z")),
            ("Fri, 31 Dec 9999 23:59:59 GMT", Some("9999-12-31T23:59:59.000Z")),
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some("1970-01-01T00:00:00.000Z")),
            // Within fifty years from now, and beyond.
            ("Monday, 30-Dec-75 00:00:00 GMT", Some("2075-12-30T00:00:00.000Z")),
            ("Monday, 30-Dec-76 00:00:00 GMT", Some("1976-12-30T00:00:00.000Z")),
            ("Monday, 30-Dec-69 00:00:00 GMT", Some("2069-12-30T00:00:00.000Z")),
            ("Tuesday, 29-Feb-00 00:00:00 GMT", Some("2000-02-29T00:00:00.000Z")),
            ("Tuesday, 29-Feb-99 00:00:00 GMT", None),
            ("Wed, 31 Dec 1969 23:59:59 GMT", None),
            ("Sun, 06 Nov 1994 08:49:37 UTC", None),
            ("Sun, 06 Nov 1994 08:49:37", None),
            ("Sun, 6 Nov 1994 08:49:37 GMT", None),
            ("Sun, 06 nov 1994 08:49:37 GMT", None),
            ("Sun, 31 Nov 1994 08:49:37 GMT", None),
            ("Sun, 06 Nov 1994 24:00:00 GMT", None),
            ("Sun, 06 Nov 1994 8:49:37 GMT", None),
            ("Sun, 06-Nov-94 08:49:37 GMT", None),
            ("Sunday, 06 Nov 1994 08:49:37 GMT", None),
            ("Son, 06 Nov 1994 08:49:37 GMT", None),
            ("Sun Nov 6 08:49:37 1994", None),
            ("Sun Nov  6 08:49:37 94", None),
            (" Nov  6 08:49:37 1994", None),
            ("S\u{fc}n, 06 Nov 1994 08:49:37 GMT", None),
            ("Sun N\u{fc} \u{fc}6", None),
            (", GMT", None),
            ("", None),
        ] {
            let read = Timestamp::from_http_date(text, now).map(|moment| moment.to_string());
            assert_eq!(read.as_deref(), expected, "{text}");
        }
    }
}
