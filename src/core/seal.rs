//! What this deployment has said to a client, and only it can have said: signatures and override tokens.
//!
//! A signature is HMAC-SHA-256 (RFC 2104, FIPS 180-4), cut to its first 128 bits, as 32 lower-case
//! hexadecimal digits. What is signed begins with its purpose, and each part with its length, so that
//! nothing signed for one thing passes for another.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use std::fmt;
use subtle::ConstantTimeEq as _;

use crate::id::Id;
use crate::time::Timestamp;

/// The fewest bytes of a secret.
pub const SECRET_MIN: usize = 16;

/// What signatures are made with. It prints as nothing but that it is one.
#[derive(Clone)]
pub struct Secret(Hmac<Sha256>);

/// The secret has less than [`SECRET_MIN`] bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooShort;

/// What a signature is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The value of a cookie that tells clients apart.
    Cookie,
    /// A token that lets whoever has it choose a branch.
    Override,
}

/// Why a token does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It has not the form of a token.
    Malformed,
    /// It was signed with this secret, and its time is over.
    Expired,
    /// It was signed with this secret, for another route.
    OtherRoute,
    /// It was not signed with this secret, or has been changed since.
    Forged,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    /// The secret that a text is, taken as it stands; it should be random.
    pub fn new(text: &str) -> Result<Self, TooShort> {
        if text.len() < SECRET_MIN {
            return Err(TooShort);
        }
        let keyed = Hmac::new_from_slice(text.as_bytes());
        Ok(Self(keyed.expect("HMAC takes keys of any length (RFC 2104, section 2)")))
    }

    /// The signature of these parts, in this order.
    pub(crate) fn sign(&self, purpose: Purpose, parts: &[&str]) -> String {
        const DIGITS: [char; 16] =
            ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
        let signature = self.signature(purpose, parts);
        let mut text = String::with_capacity(2 * signature.len());
        for byte in signature {
            let nibbles = [byte >> 4, byte & 15].map(usize::from);
            text.extend(nibbles.iter().filter_map(|nibble| DIGITS.get(*nibble)));
        }
        text
    }

    /// Whether `signature` is the one of these parts; how long that takes says nothing about where it is
    /// wrong.
    pub(crate) fn has_signed(&self, purpose: Purpose, parts: &[&str], signature: &str) -> bool {
        let Some(given) = decoded(signature) else { return false };
        self.signature(purpose, parts).ct_eq(&given).into()
    }

    fn signature(&self, purpose: Purpose, parts: &[&str]) -> Signature {
        let purpose = match purpose {
            Purpose::Cookie => "splitway cookie",
            Purpose::Override => "splitway override",
        };
        let mut mac = self.0.clone();
        for part in [purpose].iter().chain(parts) {
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part.as_bytes());
        }
        let mut signature = Signature::default();
        signature.iter_mut().zip(mac.finalize().into_bytes()).for_each(|(to, byte)| *to = byte);
        signature
    }
}

/// The first bytes of an HMAC.
type Signature = [u8; 16];

/// The signature that a text is: 32 digits, letters among them in lower case.
fn decoded(text: &str) -> Option<Signature> {
    let nibble = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut signature = Signature::default();
    if text.len() != 2 * signature.len() {
        return None;
    }
    for (to, pair) in signature.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let &[high, low] = pair else { return None };
        *to = (nibble(high)? << 4) | nibble(low)?;
    }
    Some(signature)
}

/// What stands between the parts of a token; no part can contain it.
const BETWEEN: char = '~';

/// In place of a route: all of them.
const ANY_ROUTE: &str = "*";

/// The most bytes of a token: two ids, the largest number of seconds, a signature.
const TOKEN_MAX: usize = 64 + 1 + 20 + 1 + 64 + 1 + 32;

/// The token that lets whoever has it choose `branch` on one route, or on all, before `until`:
/// `<branch>~<unix seconds>~<route or *>~<signature>`. Where `branch` or `route` is not an [`Id`], no
/// [`verify`] will take it.
pub fn token(secret: &Secret, branch: &str, route: Option<&str>, until: Timestamp) -> String {
    let claim =
        format!("{branch}{BETWEEN}{}{BETWEEN}{}", until.as_secs(), route.unwrap_or(ANY_ROUTE));
    let signature = secret.sign(Purpose::Override, &[&claim]);
    format!("{claim}{BETWEEN}{signature}")
}

/// Whether a text looks as if it were meant to be a token: names of branches do not.
pub(crate) fn is_like_token(text: &str) -> bool {
    text.contains(BETWEEN)
}

/// The branch that `text` lets its bearer choose, on `route` and at `now`. Nothing but
/// [`Refused::Malformed`] and [`Refused::Forged`] is said about a token that was not signed.
pub fn verify<'t>(
    secret: &Secret,
    text: &'t str,
    route: &str,
    now: Timestamp,
) -> Result<&'t str, Refused> {
    let (claim, signature) = claim(text).ok_or(Refused::Malformed)?;
    let Claim { text, branch, until, route: claimed } = claim;
    if !secret.has_signed(Purpose::Override, &[text], signature) {
        return Err(Refused::Forged);
    }
    if now.as_secs() >= until {
        return Err(Refused::Expired);
    }
    if claimed != ANY_ROUTE && claimed != route {
        return Err(Refused::OtherRoute);
    }
    Ok(branch)
}

/// What a token says, before its signature.
struct Claim<'t> {
    text: &'t str,
    branch: &'t str,
    /// Seconds since the Unix epoch.
    until: u64,
    route: &'t str,
}

/// The parts of a token, and its signature.
fn claim(token: &str) -> Option<(Claim<'_>, &str)> {
    if token.len() > TOKEN_MAX {
        return None;
    }
    let (text, signature) = token.rsplit_once(BETWEEN)?;
    let (branch, rest) = text.split_once(BETWEEN)?;
    let (until, route) = rest.split_once(BETWEEN)?;
    let is_number = !until.is_empty() && until.bytes().all(|b| b.is_ascii_digit());
    let until = until.parse().ok().filter(|_| is_number)?;
    Id::parse(branch)?;
    if route != ANY_ROUTE {
        Id::parse(route)?;
    }
    Some((Claim { text, branch, until, route }, signature))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret() -> Secret {
        Secret::new("0123456789abcdef").expect("16 bytes")
    }

    const NOON: Timestamp = Timestamp::from_millis(1_795_348_800_000);
    const BEFORE: Timestamp = Timestamp::from_millis(1_795_348_799_999);

    #[test]
    fn a_secret_is_long_and_never_shown() {
        assert_eq!(Secret::new("0123456789abcde").map(|_| ()), Err(TooShort));
        assert_eq!(format!("{:?}", secret()), "Secret");
    }

    /// The digits were computed with another implementation of HMAC.
    #[test]
    fn signatures_stay_what_they_are() {
        assert_eq!(
            secret().sign(Purpose::Cookie, &["a", "bc"]),
            "45d53de21f5a9084e2e3a0f264ea306b"
        );
        assert_eq!(
            token(&secret(), "v2", Some("chat"), NOON),
            "v2~1795348800~chat~cdd0e47bbea29fdf169f04b3482e483a"
        );
    }

    #[test]
    fn nothing_signed_for_one_thing_passes_for_another() {
        let signature = secret().sign(Purpose::Cookie, &["a", "bc"]);
        let other = Secret::new("0123456789abcdeF").expect("16 bytes");
        assert!(secret().has_signed(Purpose::Cookie, &["a", "bc"], &signature));
        assert!(!secret().has_signed(Purpose::Override, &["a", "bc"], &signature));
        assert!(!secret().has_signed(Purpose::Cookie, &["ab", "c"], &signature));
        assert!(!secret().has_signed(Purpose::Cookie, &["abc"], &signature));
        assert!(!other.has_signed(Purpose::Cookie, &["a", "bc"], &signature));
        for wrong in ["", &signature[..31], &format!("{signature}0"), &signature.to_uppercase()] {
            assert!(!secret().has_signed(Purpose::Cookie, &["a", "bc"], wrong), "{wrong}");
        }
    }

    #[test]
    fn a_signature_is_made_with_one_allocation_and_checked_with_none() {
        let (secret, parts) = (secret(), ["a", "bc"]);
        let signature = secret.sign(Purpose::Cookie, &parts);
        let making = allocation_counter::measure(|| {
            assert_eq!(secret.sign(Purpose::Cookie, &parts).len(), 32);
        });
        let checking = allocation_counter::measure(|| {
            assert!(secret.has_signed(Purpose::Cookie, &parts, &signature));
        });
        assert_eq!((making.count_total, checking.count_total), (1, 0));
    }

    #[test]
    fn a_token_counts_for_its_route_until_its_time_is_over() {
        let chat = token(&secret(), "v2", Some("chat"), NOON);
        let any = token(&secret(), "v2", None, NOON);
        assert_eq!(verify(&secret(), &chat, "chat", BEFORE), Ok("v2"));
        assert_eq!(verify(&secret(), &any, "other", BEFORE), Ok("v2"));
        assert_eq!(verify(&secret(), &chat, "other", BEFORE), Err(Refused::OtherRoute));
        assert_eq!(verify(&secret(), &chat, "chat", NOON), Err(Refused::Expired));
        assert_eq!(verify(&secret(), &chat, "other", NOON), Err(Refused::Expired));
    }

    #[test]
    fn the_longest_token_is_one() {
        let name = "n".repeat(64);
        let until = Timestamp::from_millis(u64::MAX);
        let token = token(&secret(), &name, Some(&name), until);
        assert!(token.len() <= TOKEN_MAX && is_like_token(&token));
        assert_eq!(verify(&secret(), &token, &name, NOON), Ok(&*name));
    }

    #[test]
    fn what_has_not_the_form_of_a_token_is_malformed() {
        let signature = "0".repeat(32);
        for claim in [
            "",
            "v2",
            "v2~1",
            "v2~1~chat~x",
            "~1~chat",
            "v2~~chat",
            "v2~+1~chat",
            "v2~-1~chat",
            "v2~1~",
            "v2~1~**",
            "v 2~1~chat",
            "v2~99999999999999999999~chat",
            "..~1~*",
        ] {
            let token = format!("{claim}~{signature}");
            let refused = verify(&secret(), &token, "chat", NOON);
            assert_eq!(refused, Err(Refused::Malformed), "{token}");
        }
        let long = format!("v2~{}1~chat~{signature}", "0".repeat(200));
        assert_eq!(verify(&secret(), &long, "chat", NOON), Err(Refused::Malformed));
        assert_eq!(verify(&secret(), "v2~1~chat~", "chat", NOON), Err(Refused::Forged));
    }

    /// Every byte of a token counts, and nothing made by chance is one.
    #[test]
    fn no_change_of_a_token_is_taken() {
        let token = token(&secret(), "v2", Some("chat"), NOON);
        let mut taken = 0;
        for (at, _) in token.char_indices() {
            for with in ["", "~", "*", "0", "9", "a", "A", "+", "\u{e9}", "00"] {
                let changed = format!("{}{with}{}", &token[..at], &token[at + 1..]);
                taken += usize::from(
                    changed != token && verify(&secret(), &changed, "chat", BEFORE).is_ok(),
                );
            }
        }
        assert_eq!(taken, 0);
        let mut state = 1_u64;
        for _ in 0..20_000 {
            let mut draw = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 33) as usize
            };
            let count = draw() % 12;
            let parts = ["v2", "~", "~", "~", "1795348800", "*", "chat", "\u{1f980}", "0", "%", ""];
            let garbage: String = (0..count).map(|_| parts[draw() % parts.len()]).collect();
            assert!(verify(&secret(), &garbage, "chat", BEFORE).is_err(), "{garbage}");
        }
    }
}
