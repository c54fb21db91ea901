//! How long a target goes on.

use std::time::{Duration, Instant};

use splitway_tests::chance::environment;

/// So many rounds (`FUZZ_ROUNDS`), so many times as many as by default (`FUZZ_TIMES`), or so many seconds
/// (`FUZZ_SECONDS`), where these are given.
#[derive(Debug)]
pub(crate) enum Budget {
    Rounds(u64),
    Until(Instant),
}

impl Budget {
    pub(crate) fn new(rounds: u64) -> Self {
        match environment("FUZZ_SECONDS", 0) {
            0 => {
                let rounds = rounds * environment("FUZZ_TIMES", 1);
                Self::Rounds(environment("FUZZ_ROUNDS", rounds))
            }
            seconds => Self::Until(Instant::now() + Duration::from_secs(seconds)),
        }
    }

    /// Whether there is another round.
    pub(crate) fn goes_on(&mut self) -> bool {
        match self {
            Self::Rounds(0) => false,
            Self::Rounds(left) => {
                *left -= 1;
                true
            }
            Self::Until(end) => Instant::now() < *end,
        }
    }
}
