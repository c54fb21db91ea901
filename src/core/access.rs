//! Who may use the Admin API: addresses, keys and roles, and patience with wrong keys.
//!
//! A key is kept as its SHA-256 (FIPS 180-4): it is long and random, so that a slow hash would gain
//! nothing. All known keys are compared, each in constant time.

use ipnet::IpNet;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use crate::address::{household, is_among};
use crate::id::Id;
use crate::ledger::{Ledger, Section};
use crate::time::Timestamp;

/// What somebody may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Everything.
    Admin,
    /// Look.
    Viewer,
}

impl Role {
    /// The role as written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Viewer => "viewer",
        }
    }
}

/// The name of the key that the server was started with.
pub const OWN_KEY: &str = "admin";

/// The fewest characters of a key that is added later.
pub const KEY_MIN: usize = 16;

/// Whether a key is of letters, digits and marks of ASCII: all else is no sure thing in a header.
pub fn is_sendable(key: &str) -> bool {
    key.bytes().all(|b| b.is_ascii_graphic())
}

/// A key, hashed. It prints as nothing but that it is one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyHash([u8; 32]);

impl std::fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyHash")
    }
}

impl KeyHash {
    /// The hash of a key.
    pub fn of(key: &str) -> Self {
        Self(Sha256::digest(key.as_bytes()).into())
    }

    fn to_hex(self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn parse(hex: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        if hex.len() != 64 || !hex.is_ascii() {
            return None;
        }
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(hex.get(index * 2..index * 2 + 2)?, 16).ok()?;
        }
        Some(Self(bytes))
    }
}

/// The entry of a key in the ledger.
pub(crate) fn key_entry(role: Role, hash: KeyHash, made_at: Timestamp) -> Value {
    json!({"role": role.as_str(), "sha256": hash.to_hex(), "made_at": made_at.as_millis()})
}

/// The role and the age of a key in the ledger.
pub(crate) fn key_of_entry(value: &Value) -> Option<(Role, KeyHash, Timestamp)> {
    let role = Role::deserialize(value.get("role")?).ok()?;
    let hash = KeyHash::parse(value.get("sha256")?.as_str()?)?;
    Some((role, hash, Timestamp::from_millis(value.get("made_at")?.as_u64()?)))
}

/// What a request to the Admin API brings along.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Where it comes from.
    pub client: Option<IpAddr>,
    /// The hash of the key it has.
    pub key: Option<KeyHash>,
    /// Its method, for messages.
    pub method: String,
    /// Whether it only looks.
    pub is_reading: bool,
}

/// Why somebody may not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denial {
    /// The address is none of those that may ask at all.
    Address,
    /// Too many wrong keys came from this address; it has to wait.
    Slow(Duration),
    /// There is no key.
    Missing,
    /// The key is none of ours.
    Wrong,
    /// The key may only look; the role.
    Role(Role),
}

/// Who may use the Admin API.
#[derive(Debug)]
pub struct Access {
    own: KeyHash,
    /// The addresses that may ask; all, where there are none.
    networks: Vec<IpNet>,
    patience: Patience,
}

impl Access {
    /// Lets in the key the server was started with, and those of the ledger.
    pub fn new(own: KeyHash, networks: Vec<IpNet>) -> Self {
        Self { own, networks, patience: Patience::default() }
    }

    /// Who a caller is, by the name of its key.
    pub fn admit(
        &mut self,
        caller: &Caller,
        ledger: &Ledger,
        now: Timestamp,
    ) -> Result<Box<str>, Denial> {
        // A socket for both families shows IPv4 peers as IPv6 addresses.
        let client = caller.client.map(|client| client.to_canonical());
        if !is_among(&self.networks, client) {
            return Err(Denial::Address);
        }
        let key = caller.key.ok_or(Denial::Missing)?;
        if let Some(wait) = self.patience.wait(client, now) {
            return Err(Denial::Slow(wait));
        }
        let Some((name, role)) = self.find(key, ledger) else {
            self.patience.strain(client, now);
            return Err(Denial::Wrong);
        };
        self.patience.restore(client);
        match role {
            Role::Viewer if !caller.is_reading => Err(Denial::Role(role)),
            Role::Admin | Role::Viewer => Ok(name),
        }
    }

    /// Whether the key of this name may write, still.
    pub(crate) fn may_write(&self, name: &str, ledger: &Ledger) -> bool {
        let role = || {
            let entry = ledger.get(&(Section::Key, Id::parse(name)?))?;
            key_of_entry(&entry.value).map(|(role, ..)| role)
        };
        name == OWN_KEY || role() == Some(Role::Admin)
    }

    /// Under which name a key is known.
    pub(crate) fn name_of(&self, key: KeyHash, ledger: &Ledger) -> Option<Box<str>> {
        self.find(key, ledger).map(|(name, _)| name)
    }

    /// Looks at every key, whichever it is.
    fn find(&self, key: KeyHash, ledger: &Ledger) -> Option<(Box<str>, Role)> {
        let stored: Vec<_> = ledger.section(Section::Key).collect();
        let mut found = 0_u32;
        for (position, (_, entry)) in (2_u32..).zip(&stored) {
            let is_it = key_of_entry(&entry.value)
                .map_or(Choice::from(0), |(_, hash, _)| hash.0.ct_eq(&key.0));
            found.conditional_assign(&position, is_it);
        }
        // Last: what is added later takes nothing from it.
        found.conditional_assign(&1, self.own.0.ct_eq(&key.0));
        match found {
            0 => None,
            1 => Some((OWN_KEY.into(), Role::Admin)),
            position => {
                let (id, entry) = stored.get(usize::try_from(position).ok()? - 2)?;
                Some((id.as_str().into(), key_of_entry(&entry.value)?.0))
            }
        }
    }
}

/// So many wrong keys in a row cost nothing.
const FREE: u32 = 5;
/// The longest wait between two tries.
const WAIT_MAX: Duration = Duration::from_secs(300);
/// After so long without a try, all is forgiven.
const FORGIVEN: Duration = Duration::from_secs(900);
/// So many addresses are remembered.
const ADDRESSES_MAX: usize = 4096;

/// Wrong keys by address. After the first few, each doubles the time until the next try, so that an
/// address gets about a thousand tries a day. A network of IPv6 (a /64) counts as one address.
#[derive(Debug, Default)]
struct Patience {
    strained: BTreeMap<Option<IpAddr>, Strain>,
}

#[derive(Clone, Copy, Debug)]
struct Strain {
    count: u32,
    last_at: Timestamp,
}

impl Strain {
    fn until(self) -> Timestamp {
        let doublings = self.count.saturating_sub(FREE);
        let wait = match doublings {
            0 => Duration::ZERO,
            more => Duration::from_secs(1_u64 << more.min(10).saturating_sub(1)).min(WAIT_MAX),
        };
        self.last_at.plus(wait)
    }
}

impl Patience {
    fn wait(&self, client: Option<IpAddr>, now: Timestamp) -> Option<Duration> {
        let strain = self.strained.get(&client.map(household))?;
        Some(strain.until().since(now)).filter(|wait| !wait.is_zero())
    }

    fn strain(&mut self, client: Option<IpAddr>, now: Timestamp) {
        if self.strained.len() >= ADDRESSES_MAX {
            self.strained.retain(|_, strain| now.since(strain.last_at) < FORGIVEN);
        }
        if self.strained.len() >= ADDRESSES_MAX {
            let oldest = self.strained.iter().min_by_key(|(_, strain)| strain.last_at);
            if let Some(oldest) = oldest.map(|(client, _)| *client) {
                self.strained.remove(&oldest);
            }
        }
        let fresh = Strain { count: 0, last_at: now };
        let strain = self.strained.entry(client.map(household)).or_insert(fresh);
        if now.since(strain.last_at) >= FORGIVEN {
            strain.count = 0;
        }
        *strain = Strain { count: strain.count.saturating_add(1), last_at: now };
    }

    fn restore(&mut self, client: Option<IpAddr>) {
        self.strained.remove(&client.map(household));
    }
}
