//! What cookies and tokens are signed with, in the environment.

use splitway_core::seal::{Secret, TooShort};

use super::outcome::Failure;

/// The variable of the environment. It is no flag: a command line is there for everybody to read.
const VARIABLE: &str = "SPLITWAY_SECRET";

/// The secret, if there is one; taken as `splitway serve` takes it.
pub(crate) fn secret() -> Result<Option<Secret>, Failure> {
    let text = std::env::var(VARIABLE).ok();
    text.as_deref().map(Secret::new).transpose().map_err(|TooShort| Failure::ShortSecret)
}
