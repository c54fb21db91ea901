//! The plugin `request-id`: a name for each request, for the upstream, the client and logs.
//!
//! A name that the client gives is kept, if it is one that cannot do harm in a log: of bounded length, and of
//! characters that no format gives a meaning ([`is_harmless`]). Any other is replaced. The response carries
//! the name that the upstream was given, whatever the upstream says of it.

use std::borrow::Cow;

use serde::Deserialize;

use super::{Asked, Passage, Verdict};
use crate::fault::{At, Report, did_you_mean};
use crate::head::{Edits, Text, why_fixed};
use crate::meta::{Meta, MetaWire};
use crate::telemetry::proof;
use crate::time::Timestamp;

/// The name of the plugin in documents.
pub(crate) const PLUGIN: &str = "request-id";

/// The header, unless the document names another.
const HEADER: &str = "x-request-id";
/// How long a name may be that a client gives.
const GIVEN_MAX: usize = 128;
/// How long a name of `range_id` is at least, at most, and if nothing is said.
const LENGTH_MIN: usize = 6;
const LENGTH_MAX: usize = 256;
const LENGTH: usize = 16;

/// The digits of base 62 in their order (as ASCII, so that texts sort as the numbers do).
const BASE_62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// What names of `nanoid` are made of: all that needs no escape in a URL.
const URL_SAFE: &[u8; 64] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz-";
/// The first second of `ksuid`: in May 2014.
const KSUID_EPOCH_SECS: u64 = 1_400_000_000;

/// What makes the names.
const ALGORITHMS: [&str; 5] = ["uuid", "nanoid", "range_id", "ksuid", "uuidv7"];

/// The configuration of the plugin, as APISIX writes it.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct RequestIdWire {
    header_name: Option<String>,
    include_in_response: Option<bool>,
    #[cfg_attr(feature = "schema", schemars(extend("enum" = ALGORITHMS)))]
    algorithm: Option<String>,
    range_id: Option<RangeIdWire>,
    _meta: Option<MetaWire>,
}

/// How names of the algorithm `range_id` look.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
struct RangeIdWire {
    #[cfg_attr(feature = "schema", schemars(range(min = LENGTH_MIN, max = LENGTH_MAX)))]
    length: Option<usize>,
    #[cfg_attr(feature = "schema", schemars(length(min = LENGTH_MIN)))]
    char_set: Option<String>,
}

/// What the plugin is told.
#[derive(Debug)]
pub(crate) struct RequestId {
    pub(super) meta: Meta,
    /// In lower case.
    header: Box<str>,
    is_told_to_client: bool,
    algorithm: Algorithm,
}

/// What makes the names.
#[derive(Debug, PartialEq)]
enum Algorithm {
    /// 122 random bits (RFC 9562, section 5.4).
    Uuid,
    /// The time in milliseconds and 74 random bits (RFC 9562, section 5.7).
    UuidV7,
    /// 126 random bits in 21 characters.
    Nanoid,
    /// The time in seconds and 128 random bits in 27 characters.
    Ksuid,
    /// So many of these characters.
    Range { length: usize, characters: Box<[u8]> },
}

impl RequestIdWire {
    /// Checks the plugin.
    pub(crate) fn compile(self, at: At<'_>, report: &mut Report) -> RequestId {
        let meta = Meta::compile(self._meta, at, report);
        let header =
            self.header_name.map_or_else(|| HEADER.to_owned(), |it| it.to_ascii_lowercase());
        if let Some(why) = why_fixed(&header) {
            report.fault(at.key("header_name"), why);
        } else if proof::ALL.contains(&&*header) {
            let what = "this header proves who served and cannot be edited";
            report.fault(at.key("header_name"), what);
        }
        let name = self.algorithm.as_deref().unwrap_or("uuid");
        if self.range_id.is_some() && name != "range_id" {
            report.warn(at.key("range_id"), "has no effect without the algorithm `range_id`");
        }
        let range = self.range_id.unwrap_or_default().compile(at.key("range_id"), report);
        let algorithm = match name {
            "uuid" => Algorithm::Uuid,
            "uuidv7" => Algorithm::UuidV7,
            "nanoid" => Algorithm::Nanoid,
            "ksuid" => Algorithm::Ksuid,
            "range_id" => range,
            other => {
                let (known, meant) = (ALGORITHMS.join("`, `"), did_you_mean(other, &ALGORITHMS));
                let what = format!("expected one of `{known}`, found `{other}`{meant}");
                report.fault(at.key("algorithm"), what);
                Algorithm::Uuid
            }
        };
        let is_told_to_client = self.include_in_response != Some(false);
        RequestId { meta, header: header.into(), is_told_to_client, algorithm }
    }
}

impl RangeIdWire {
    fn compile(self, at: At<'_>, report: &mut Report) -> Algorithm {
        let length = self.length.unwrap_or(LENGTH);
        if !(LENGTH_MIN..=LENGTH_MAX).contains(&length) {
            let what =
                format!("expected an integer from {LENGTH_MIN} to {LENGTH_MAX}, found {length}");
            report.fault(at.key("length"), what);
        }
        let characters = self.char_set.map_or_else(|| BASE_62.to_vec(), String::into_bytes);
        let is_visible = characters.iter().all(u8::is_ascii_graphic);
        if characters.len() < LENGTH_MIN || !is_visible {
            let what = format!("expected at least {LENGTH_MIN} visible characters of ASCII");
            report.fault(at.key("char_set"), what);
        }
        Algorithm::Range { length, characters: characters.into() }
    }
}

impl RequestId {
    /// The header that has the name.
    pub(super) fn header(&self) -> &str {
        &self.header
    }

    /// Whether a request may pass: always, with a name.
    pub(super) fn pass<'a>(&'a self, asked: &Asked<'a, '_>) -> Verdict<'a> {
        let given = asked.facts.header(&self.header).filter(|given| is_harmless(given));
        let mut passage = Passage::default();
        let set = |edits: &mut Edits, value: String| {
            edits.replace(Text::copy(&self.header), value);
        };
        let name = given.map_or_else(
            || {
                let name = self.algorithm.draw(asked.means.now, asked.means.chance);
                set(&mut passage.request, name.clone());
                name
            },
            Cow::into_owned,
        );
        if self.is_told_to_client {
            set(&mut passage.response, name);
        }
        Verdict::Passes(passage)
    }
}

/// Whether a name that a client gives is kept: letters, digits and the marks of URLs and of base 64. With
/// blanks, commas, quotes, brackets, `;` or backslashes it might be read as more than one field of a line.
fn is_harmless(name: &str) -> bool {
    let is_kept = |b: u8| b.is_ascii_alphanumeric() || b"-._~:/+=@#".contains(&b);
    (1..=GIVEN_MAX).contains(&name.len()) && name.bytes().all(is_kept)
}

impl Algorithm {
    /// A new name.
    fn draw(&self, now: Timestamp, chance: &dyn Fn() -> u64) -> String {
        let random = || u128::from(chance()) << 64 | u128::from(chance());
        match self {
            Self::Uuid => uuid(random(), 4),
            Self::UuidV7 => uuid(u128::from(now.as_millis()) << 80 | random() >> 48, 7),
            Self::Nanoid => {
                let mut bits = random();
                let next = |_| {
                    let digit = usize::try_from(bits % 64).expect("below 64");
                    bits /= 64;
                    char::from(URL_SAFE.get(digit).copied().unwrap_or(b'-'))
                };
                (0..21).map(next).collect()
            }
            Self::Ksuid => ksuid(now, random()),
            Self::Range { length, characters } => {
                let next = |_| {
                    char::from(
                        characters.get(below(characters.len(), chance())).copied().unwrap_or(b'0'),
                    )
                };
                (0..*length).map(next).collect()
            }
        }
    }
}

/// A random number below `count`, from 64 random bits; what is uneven about it is less than count / 2^64.
fn below(count: usize, random: u64) -> usize {
    let rest = u64::try_from(count).ok().and_then(|count| random.checked_rem(count));
    rest.and_then(|rest| usize::try_from(rest).ok()).unwrap_or(0)
}

/// These bits as a UUID of a version (RFC 9562, section 4).
fn uuid(bits: u128, version: u128) -> String {
    let bits = bits & !(0xf << 76 | 0b11 << 62) | version << 76 | 0b10 << 62;
    let part = |from: u32, digits: u32| bits >> (from * 4) & ((1 << (digits * 4)) - 1);
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        part(24, 8),
        part(20, 4),
        part(16, 4),
        part(12, 4),
        part(0, 12)
    )
}

/// The seconds since [`KSUID_EPOCH_SECS`] in 32 bits, then these, as a number of 27 digits of base 62.
fn ksuid(now: Timestamp, random: u128) -> String {
    let secs = now.as_secs().saturating_sub(KSUID_EPOCH_SECS) & u64::from(u32::MAX);
    // Five digits of base 2^32, the highest first, which are divided until nothing is left.
    let part = |shift: u32| u64::try_from(random >> shift & u128::from(u32::MAX)).expect("32 bits");
    let mut number = [secs, part(96), part(64), part(32), part(0)];
    let mut digits = [0; 27];
    for digit in digits.iter_mut().rev() {
        let mut rest = 0;
        for part in &mut number {
            let dividend = rest << 32 | *part;
            (*part, rest) = (dividend / 62, dividend % 62);
        }
        let rest = usize::try_from(rest).expect("below 62");
        *digit = BASE_62.get(rest).copied().unwrap_or(b'0');
    }
    digits.into_iter().map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire;
    use serde_json::{Value, json};
    use std::cell::Cell;
    use std::collections::BTreeSet;

    fn compiled(value: &Value) -> (Option<RequestId>, Vec<String>) {
        let mut report = Report::default();
        let compile =
            |wire: RequestIdWire, report: &mut Report| Some(wire.compile(At::Root, report));
        let plugin = wire::read(value, At::Root, &mut report, compile);
        (plugin, report.faults.iter().map(ToString::to_string).collect())
    }

    fn algorithm(value: &Value) -> Algorithm {
        let (plugin, faults) = compiled(value);
        assert_eq!(faults, [""; 0]);
        plugin.unwrap().algorithm
    }

    fn draw(algorithm: &Algorithm, secs: u64, chance: &dyn Fn() -> u64) -> String {
        algorithm.draw(Timestamp::from_millis(secs * 1000 + 7), chance)
    }

    /// A thousand names, which are all different, and of these characters and this length.
    fn check(value: &Value, length: usize, characters: &[u8]) {
        let algorithm = algorithm(value);
        let state = Cell::new(1_u64);
        // SplitMix64.
        let chance = || {
            state.set(state.get().wrapping_add(0x9e37_79b9_7f4a_7c15));
            let mixed = (state.get() ^ state.get() >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ mixed >> 31
        };
        let names: BTreeSet<String> =
            (0..1000).map(|_| draw(&algorithm, 1_700_000_000, &chance)).collect();
        assert_eq!(names.len(), 1000);
        let used: BTreeSet<u8> = names.iter().flat_map(|name| name.bytes()).collect();
        let expected: BTreeSet<u8> = characters.iter().copied().collect();
        assert_eq!(used, expected, "{value}");
        for name in names {
            assert_eq!(name.len(), length);
            assert!(is_harmless(&name), "{name}");
        }
    }

    #[test]
    fn every_algorithm_makes_names_of_its_form() {
        let hex = b"0123456789abcdef-";
        check(&json!({}), 36, hex);
        check(&json!({"algorithm": "uuidv7"}), 36, hex);
        check(&json!({"algorithm": "nanoid"}), 21, URL_SAFE);
        check(&json!({"algorithm": "ksuid"}), 27, BASE_62);
        check(&json!({"algorithm": "range_id"}), 16, BASE_62);
        let range = json!({"length": 9, "char_set": "abcdef"});
        check(&json!({"algorithm": "range_id", "range_id": range}), 9, b"abcdef");
    }

    #[test]
    fn uuids_tell_their_version_and_the_time() {
        let ones = || u64::MAX;
        assert_eq!(draw(&Algorithm::Uuid, 0, &ones), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(draw(&Algorithm::Uuid, 0, &|| 0), "00000000-0000-4000-8000-000000000000");
        // The time of the example in RFC 9562, appendix A.6: 0x017f22e279b0 milliseconds.
        let now = Timestamp::from_millis(0x017f_22e2_79b0);
        assert_eq!(Algorithm::UuidV7.draw(now, &|| 0), "017f22e2-79b0-7000-8000-000000000000");
        assert_eq!(Algorithm::UuidV7.draw(now, &ones), "017f22e2-79b0-7fff-bfff-ffffffffffff");
    }

    #[test]
    fn a_ksuid_is_the_number_that_it_stands_for() {
        let at = |secs: u64| Timestamp::from_millis((KSUID_EPOCH_SECS + secs) * 1000);
        assert_eq!(ksuid(at(0), 0), "0".repeat(27));
        assert_eq!(ksuid(at(0), 61), format!("{}z", "0".repeat(26)));
        assert_eq!(ksuid(at(0), 62), format!("{}10", "0".repeat(25)));
        // The largest there is, as the format's authors give it.
        assert_eq!(ksuid(at(u64::from(u32::MAX)), u128::MAX), "aWgEPTl1tmebfsQzFP4bxwgy80V");
        // The example in APISIX's documentation.
        let random = 0xD7F6_8AD7_CA0A_E277_772A_B36D_DB1A_3C13;
        assert_eq!(ksuid(at(356_715_963), random), "325ghCANEKjw6Jsfejg5p6QrLYB");
    }

    #[test]
    fn names_that_could_be_read_as_more_than_a_name_are_replaced() {
        let longest = "a".repeat(GIVEN_MAX);
        for kept in ["a", "b9b2c0d4-d058-46fa-bafc-dd91a0ccf441", "Root=1-67:a/b+c==", &longest] {
            assert!(is_harmless(kept), "{kept}");
        }
        let too_long = "a".repeat(GIVEN_MAX + 1);
        for replaced in [
            "",
            " a",
            "a b",
            "a\tb",
            "a, b",
            "a;b",
            "\"a\"",
            "{a}",
            "a\\n",
            "a\r\nx: y",
            "<b>",
            "${jndi:ldap://x}",
            "a\u{fffd}",
            "\u{1b}[31m",
            &too_long,
        ] {
            assert!(!is_harmless(replaced), "{replaced:?}");
        }
    }

    #[test]
    fn what_cannot_be_done_is_refused() {
        for (value, expected) in [
            (
                json!({"algorithm": "snowflake"}),
                "/algorithm: expected one of `uuid`, `nanoid`, `range_id`, `ksuid`, `uuidv7`, found `snowflake`",
            ),
            (
                json!({"algorithm": "uuidv8"}),
                "/algorithm: expected one of `uuid`, `nanoid`, `range_id`, `ksuid`, `uuidv7`, found `uuidv8`; did you mean `uuidv7`?",
            ),
            (json!({"header_name": "x id"}), "/header_name: expected a header name"),
            (
                json!({"header_name": "Content-Length"}),
                "/header_name: this header belongs to the connection and cannot be edited",
            ),
            (
                json!({"header_name": "X-Splitway-Branch"}),
                "/header_name: this header proves who served and cannot be edited",
            ),
            (
                json!({"algorithm": "range_id", "range_id": {"length": 5}}),
                "/range_id/length: expected an integer from 6 to 256, found 5",
            ),
            (
                json!({"algorithm": "range_id", "range_id": {"char_set": "abc de"}}),
                "/range_id/char_set: expected at least 6 visible characters of ASCII",
            ),
        ] {
            assert_eq!(compiled(&value).1, [expected], "{value}");
        }
    }
}
