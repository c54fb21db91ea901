//! Who calls: the consumers of a document, what they hold, and how they are recognised by it.
//!
//! What they hold is kept hashed, by whoever keeps a configuration ([`conceal`]). The plugins that ask for
//! it are guards.

mod basic;
mod conceal;
mod consumers;
mod digest;
mod held;
pub(crate) mod jwt;

pub use conceal::{conceal, conceal_document};
pub(crate) use consumers::{Consumer, Consumers, Holder, Known};
#[cfg(feature = "schema")]
pub(crate) use held::{BasicName, Password};
pub(crate) use held::{HeldKeyWire, HeldPasswordWire, Key};
pub use jwt::{Errand, KEY_SET_MAX, Vain};

/// The plugin by which consumers are known by a key.
pub(crate) const KEY_AUTH: &str = "key-auth";

/// The plugin by which consumers are known by a name and a password.
pub(crate) const BASIC_AUTH: &str = "basic-auth";

/// The plugin by which consumers are known by a token.
pub(crate) const JWT_AUTH: &str = "jwt-auth";
