//! Tokens by which consumers are recognised: JSON Web Tokens (RFC 7519), signed (RFC 7515).
//!
//! Who a token is of, it says itself, in a claim; whether that is so, its signature says. How that is checked
//! is fixed by what the document says about the consumer, and never by the token: one that names another
//! algorithm is refused, so that nobody signs with a key that all may know as if it were a secret.
//!
//! A runtime computes with public keys and gets those that others publish; what follows from either is
//! decided here ([`Trust`]).

mod claims;
mod credential;
mod source;
mod token;

use std::sync::Arc;

use hmac::Mac as _;

use crate::signature::Check;
use crate::time::Timestamp;

pub(crate) use self::claims::Claim;
use self::credential::Keys;
pub(crate) use self::credential::{JwtCredential, JwtCredentialWire};
use self::source::Lookup;
pub(crate) use self::source::Sources;
pub use self::source::{Errand, KEY_SET_MAX, Vain};
pub(crate) use self::token::{Token, parse};

/// Whether a token is of the consumer that it names.
#[derive(Debug)]
pub(crate) enum Trust {
    /// It is.
    Given,
    /// It is not, or does not count at this time.
    Refused,
    /// It is if the signature is right.
    Check(Check),
    /// Keys are to be got first, or at least it is time for it. It is asked once more when that has begun.
    Fetch(Errand),
    /// That cannot be said before the keys are there that somebody is getting.
    Wait,
    /// That cannot be said: the keys could not be had.
    Away,
}

impl JwtCredential {
    /// Whether a token is of this consumer, if these of its claims hold. What costs nothing is looked at
    /// first: nothing is computed, and nobody asked, for a token that is over. `may_ask` is false where
    /// nothing may be set off.
    pub(crate) fn trust(
        &self,
        token: Token<'_>,
        claims: &[Claim],
        now: Timestamp,
        may_ask: bool,
    ) -> Trust {
        let holds = |claim: &Claim| claim.holds(&token.claims, now, self.patience);
        if token.algorithm != Some(self.algorithm) || !claims.iter().all(holds) {
            return Trust::Refused;
        }
        let key = match &self.keys {
            Keys::Secret(keyed) => {
                let mac = keyed.clone().chain_update(token.signed);
                return match mac.verify_slice(&token.signature) {
                    Ok(()) => Trust::Given,
                    Err(_) => Trust::Refused,
                };
            }
            Keys::Public(key) => Arc::clone(key),
            Keys::Source(source) => {
                match source.find(token.kid.as_deref(), self.algorithm, now, may_ask) {
                    Lookup::Key(key) => key,
                    Lookup::Fetch(errand) => return Trust::Fetch(errand),
                    Lookup::Wait => return Trust::Wait,
                    Lookup::Unknown => return Trust::Refused,
                    Lookup::Away => return Trust::Away,
                }
            }
        };
        debug_assert_eq!(key.algorithm(), self.algorithm, "a key is of the algorithm it is for");
        // Runtimes call this an error of whoever asks, and it is one of strangers.
        if token.signature.len() != key.signature_len() {
            return Trust::Refused;
        }
        let (message, signature) = (token.signed.as_bytes().to_vec(), token.signature);
        Trust::Check(Check { key, message, signature })
    }
}

#[cfg(test)]
mod tests;
