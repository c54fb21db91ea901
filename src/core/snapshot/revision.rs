//! Which configuration answered.

use std::fmt;
use std::hash::Hasher;

use siphasher::sip::SipHasher24;

/// Which configuration answered: the ledger's number, or a digest of the document where there is no
/// ledger. Equal text means equal configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision(Box<str>);

impl Revision {
    /// The revision of a ledger.
    pub fn of_ledger(number: u64) -> Self {
        Self(number.to_string().into())
    }

    /// The revision of a document outside a ledger: SipHash-2-4 of its bytes, which takes words where other
    /// digests take bytes. It tells documents apart and is no protection against someone who wants two of
    /// them to look alike.
    pub fn of_text(text: &str) -> Self {
        let mut hasher = SipHasher24::new();
        hasher.write(text.as_bytes());
        Self(format!("{:016x}", hasher.finish()).into())
    }

    /// The revision as it stands in `x-splitway-revision`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
