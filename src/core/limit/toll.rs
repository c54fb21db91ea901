//! What nodes and the store of shared limits say to each other, as JSON between machines.
//!
//! A node takes several requests' worth at once (a lease) and serves from it without asking. That never
//! lets more pass than the terms say, on any number of nodes, as long as it counts by the moment at which
//! it *asked*: what was granted is good until [`Grant::good_ms`] after that. The store's answer is from a
//! later moment, so the node is never longer at it than the store has counted with.

use serde::{Deserialize, Serialize};

/// The most requests of one key that the store keeps apart for [`Terms::Enter`].
pub const PLACES_MAX: u64 = 10_000;

/// What the store of shared limits is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Toll {
    /// Of which account, in 32 hexadecimal digits; nothing of a client stands in it. Other terms are
    /// another account, but those of entering and leaving.
    pub key: String,
    /// What holds for the account.
    pub terms: Terms,
    /// How many requests are to pass. Of entering and leaving it is one, whatever stands here.
    pub want: u32,
}

/// What holds for an account. Numbers are at most 10^12, so that stores that count in floating point
/// (Redis, in Lua) count exactly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Terms {
    /// So many in a window that begins with its first request.
    Fixed {
        /// How many.
        count: u64,
        /// The length of the window.
        window_ms: u64,
    },
    /// So many in any window of this length, wherever it begins.
    Sliding {
        /// How many.
        count: u64,
        /// The length of the window.
        window_ms: u64,
    },
    /// A leaky bucket.
    Leaky {
        /// How many thousandths of a request leak out of it in a second; at least 1.
        rate_milli: u64,
        /// How many thousandths of a request it takes beyond the one that is on its way; at most 10^12.
        burst_milli: u64,
    },
    /// Takes a place among those that are under way.
    Enter {
        /// How many are under way without being held up; at least 1.
        conn: u64,
        /// How many beyond them, held up; with `conn` at most [`PLACES_MAX`].
        burst: u64,
        /// For how long each `conn` of them before it hold a request up.
        delay_ms: u64,
        /// Which one it is. It may enter twice and has one place.
        id: String,
        /// After how long its place is free even if nobody says that it left.
        hold_ms: u64,
    },
    /// Gives the place back.
    Leave {
        /// Which one it was.
        id: String,
    },
}

/// What the store of shared limits gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// How many may pass: at most what was wanted and an eighth of what was left, but one if there was one.
    pub granted: u32,
    /// How many more there are for whoever asks next.
    pub remaining: u64,
    /// After how many milliseconds there are more: of a fixed window all, else some. Where nothing was
    /// granted, asking before that is of no use; but of places (it is 0 there), which may be free at any time.
    pub reset_ms: u64,
    /// How many milliseconds the first of them waits. In a leaky bucket each further one waits for one
    /// request to leak more, less what has passed since asking.
    pub pause_ms: u64,
    /// For how many milliseconds after asking the rest of them may pass; the first passes in any case.
    pub good_ms: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tolls_are_written_as_nodes_of_another_version_read_them() {
        let (rate_milli, burst_milli) = (2500, 10_000);
        let enter = || {
            let (conn, burst, delay_ms, hold_ms) = (5, 2, 100, 1_200_000);
            Terms::Enter { conn, burst, delay_ms, id: "n-1".to_owned(), hold_ms }
        };
        for (terms, expected) in [
            (
                Terms::Fixed { count: 100, window_ms: 60_000 },
                r#"{"kind":"fixed","count":100,"window_ms":60000}"#,
            ),
            (
                Terms::Sliding { count: 100, window_ms: 60_000 },
                r#"{"kind":"sliding","count":100,"window_ms":60000}"#,
            ),
            (
                Terms::Leaky { rate_milli, burst_milli },
                r#"{"kind":"leaky","rate_milli":2500,"burst_milli":10000}"#,
            ),
            (
                enter(),
                r#"{"kind":"enter","conn":5,"burst":2,"delay_ms":100,"id":"n-1","hold_ms":1200000}"#,
            ),
            (Terms::Leave { id: "n-1".to_owned() }, r#"{"kind":"leave","id":"n-1"}"#),
        ] {
            let toll = Toll { key: "00ff".to_owned(), terms, want: 8 };
            let written = serde_json::to_string(&toll).unwrap();
            assert_eq!(written, format!(r#"{{"key":"00ff","terms":{expected},"want":8}}"#));
            assert_eq!(serde_json::from_str::<Toll>(&written).unwrap(), toll);
        }
        let grant = Grant { granted: 1, remaining: 2, reset_ms: 3, pause_ms: 4, good_ms: 5 };
        let written = serde_json::to_string(&grant).unwrap();
        let expected = r#"{"granted":1,"remaining":2,"reset_ms":3,"pause_ms":4,"good_ms":5}"#;
        assert_eq!(written, expected);
        assert_eq!(serde_json::from_str::<Grant>(&written).unwrap(), grant);
    }
}
