//! When a token counts (RFC 7519, sections 4.1.4 and 4.1.5).

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::time::Timestamp;

/// A claim about the time in which a token counts. It is looked at if a token has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub(crate) enum Claim {
    /// Not from then on.
    Exp,
    /// Not before.
    Nbf,
}

impl Claim {
    /// Both.
    pub(crate) const ALL: [Self; 2] = [Self::Exp, Self::Nbf];

    const fn name(self) -> &'static str {
        match self {
            Self::Exp => "exp",
            Self::Nbf => "nbf",
        }
    }

    /// Whether a token of these claims counts at a moment, with so much patience for clocks that differ.
    /// What is no number of seconds counts at none.
    pub(crate) fn holds(
        self,
        claims: &Map<String, Value>,
        now: Timestamp,
        patience: Duration,
    ) -> bool {
        let Some(value) = claims.get(self.name()) else { return true };
        // Seconds as a fraction: exact to the millisecond for as long as there will be clocks.
        let Some(at) = value.as_f64().filter(|_| value.is_number()) else { return false };
        let now = Duration::from_millis(now.as_millis()).as_secs_f64();
        match self {
            Self::Exp => now < at + patience.as_secs_f64(),
            Self::Nbf => now + patience.as_secs_f64() >= at,
        }
    }
}
