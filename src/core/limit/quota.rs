//! A limit as a document has it: how much may pass, of whom, and what becomes of the rest.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::conn::Conn;
use super::count::Count;
use super::hold::{Hold, Pace};
use super::key::Key;
use super::leaving::Leaving;
use super::rate::Rate;
use super::{Counters, Grant, Mark, Reading, State, Step, Terms, Toll};
use crate::meta::Meta;
use crate::time::Timestamp;

/// Where a limit counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(crate) enum Policy {
    /// Each process and each isolate by itself.
    #[default]
    Local,
    /// In one store for all.
    Shared,
}

/// After how many milliseconds a place in the store is free even if nobody has said so.
const PLACE_MS: u64 = 600_000;

/// How much may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bound {
    Count(Count),
    Rate(Rate),
    Conn(Conn),
}

/// All that is told to one of the plugins. Those of one group are told the same.
#[derive(Debug, PartialEq)]
pub(crate) struct Quota {
    pub(crate) bound: Bound,
    pub(crate) key: Key,
    pub(crate) policy: Policy,
    /// The status of what is refused.
    pub(crate) status: u16,
    /// What it says; a problem, where nothing is said.
    pub(crate) message: Option<Box<str>>,
    /// Whether requests pass where the store is away.
    pub(crate) may_degrade: bool,
    /// Whether responses say how much more may pass.
    pub(crate) shows_quota: bool,
    /// How many milliseconds a request is expected to take, and whether that is not learnt.
    pub(super) pace: Option<(u64, bool)>,
}

/// One of the plugins.
#[derive(Debug)]
pub(crate) struct Limit {
    pub(crate) meta: Meta,
    /// Its name.
    pub(crate) plugin: &'static str,
    pub(crate) quota: Quota,
    /// What is counted together, in any key.
    salt: u128,
    pace: Option<Pace>,
}

impl Bound {
    /// What becomes of one more request.
    pub(crate) fn step(&self, state: State, now: Timestamp) -> Step {
        match self {
            Self::Count(count) => count.step(state, now),
            Self::Rate(rate) => rate.step(state, now),
            Self::Conn(conn) => conn.enter(state, now),
        }
    }
}

impl Quota {
    /// Whether it is places among those under way that are counted.
    pub(crate) fn counts_places(&self) -> bool {
        matches!(self.bound, Bound::Conn(_))
    }
}

impl Limit {
    /// What is told to `plugin` of `holder`, or of a group wherever it stands. Who is told other terms begins
    /// to count anew.
    pub(super) fn new(plugin: &'static str, holder: Holder<'_>, meta: Meta, quota: Quota) -> Self {
        let Quota { bound, key, policy, pace, .. } = &quota;
        let salt = digest(&[
            plugin,
            holder.kind(),
            holder.name(),
            &format!("{bound:?} {key:?} {policy:?}"),
        ]);
        let pace = pace.map(|(millis, _)| Pace::new(millis));
        Self { meta, plugin, salt, pace, quota }
    }

    /// The marks of what is kept of a key where the limit is shared.
    pub(super) fn marks(
        &self,
        counters: &Counters,
        key: &str,
        chance: &dyn Fn() -> u64,
    ) -> [Mark; 2] {
        // Digests that differ by one do not come about otherwise.
        [self.salt, self.salt ^ 1].map(|salt| counters.mark(salt, key.as_bytes(), chance))
    }

    /// The mark of a key in the table.
    pub(crate) fn mark(&self, counters: &Counters, key: &str, chance: &dyn Fn() -> u64) -> Mark {
        counters.mark(self.salt, key.as_bytes(), chance)
    }

    /// Counts a request of this key here, and says what becomes of it. A trial is not counted.
    pub(crate) fn count(
        &self,
        counters: &Arc<Counters>,
        key: &str,
        (now, chance): (Timestamp, &dyn Fn() -> u64),
        is_trial: bool,
    ) -> (Reading, Option<Hold>) {
        let (bound, mark) = (&self.quota.bound, self.mark(counters, key, chance));
        if is_trial {
            return (self.paced(bound.step(counters.look(mark), now).1), None);
        }
        let reading = self.paced(counters.change(mark, now, |state| bound.step(state, now)));
        let since = now.plus(Duration::from_millis(reading.pause_ms));
        let hold = reading
            .place
            .zip(bound.conn())
            .map(|(place, conn)| Hold::new(counters, mark, conn, place, (since, self.learner())));
        (reading, hold)
    }

    /// What a request asks the store that wants a place there; nothing where places are not what is counted.
    pub(crate) fn entry(&self, key: &str, chance: &dyn Fn() -> u64) -> Option<Toll> {
        let Conn { conn, burst } = self.quota.bound.conn()?;
        let delay_ms = self.pace.as_ref().map_or(0, Pace::as_millis).min(PLACE_MS);
        let (id, hold_ms) = (format!("{:016x}", chance()), PLACE_MS);
        let terms = Terms::Enter { conn: conn.into(), burst: burst.into(), delay_ms, id, hold_ms };
        Some(Toll { key: self.account(key), terms, want: 1 })
    }

    /// What becomes of a request of which the store has said this, and the place that it has there.
    pub(crate) fn seat(
        &self,
        grant: &Grant,
        leaving: Option<&Arc<Leaving>>,
        now: Timestamp,
    ) -> (Reading, Option<Hold>) {
        let reading = Reading {
            is_admitted: grant.granted > 0,
            remaining: u32::try_from(grant.remaining).unwrap_or(u32::MAX),
            pause_ms: grant.pause_ms,
            ..Reading::default()
        };
        let since = now.plus(Duration::from_millis(grant.pause_ms));
        let leaving = leaving.filter(|_| reading.is_admitted);
        (reading, leaving.map(|leaving| Hold::shared(leaving, (since, self.learner()))))
    }

    /// What learns how long requests take, unless that is told.
    fn learner(&self) -> Option<&Pace> {
        let learns = self.quota.pace.is_some_and(|(_, is_fixed)| !is_fixed);
        self.pace.as_ref().filter(|_| learns)
    }

    /// With the pause that its place means.
    fn paced(&self, reading: Reading) -> Reading {
        let delays = reading.place.map_or(0, |place| place.delays);
        let pace = self.pace.as_ref().map_or(0, Pace::as_millis);
        let pause_ms = reading.pause_ms.saturating_add(pace.saturating_mul(delays.into()));
        Reading { pause_ms, ..reading }
    }

    /// The name of the account that the store has for a key, the same wherever the document is served.
    pub(crate) fn account(&self, key: &str) -> String {
        account(self.salt, key)
    }
}

impl Bound {
    /// What the store of shared limits is told of what is taken in batches; places are not.
    pub(super) fn terms(&self) -> Option<Terms> {
        Some(match self {
            Self::Count(count) => {
                let (window_ms, count_of) = (count.window.as_millis(), count.count.into());
                match count.is_sliding {
                    true => Terms::Sliding { count: count_of, window_ms },
                    false => Terms::Fixed { count: count_of, window_ms },
                }
            }
            Self::Rate(rate) => {
                let (rate_milli, burst_milli) = rate.milli();
                Terms::Leaky { rate_milli, burst_milli }
            }
            Self::Conn(_) => return None,
        })
    }

    pub(super) fn conn(&self) -> Option<Conn> {
        match self {
            Self::Conn(conn) => Some(*conn),
            Self::Count(_) | Self::Rate(_) => None,
        }
    }
}

/// The name of the account that a key has under the limit that `salt` stands for.
pub(super) fn account(salt: u128, key: &str) -> String {
    format!("{:032x}", digest(&[&format!("{salt:032x}"), key]))
}

/// Whose a limit is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Holder<'h> {
    /// Of the resource in which it stands.
    Resource(&'h str),
    /// Of all that name this group.
    Group(&'h str),
}

impl<'h> Holder<'h> {
    fn kind(self) -> &'static str {
        match self {
            Self::Resource(_) => "resource",
            Self::Group(_) => "group",
        }
    }

    fn name(self) -> &'h str {
        match self {
            Self::Resource(name) | Self::Group(name) => name,
        }
    }
}

/// 128 bits of SHA-256 of these texts, by which they are told apart from any others.
pub(super) fn digest(texts: &[&str]) -> u128 {
    let mut hasher = Sha256::new();
    for text in texts {
        hasher.update(text.len().to_string());
        hasher.update(":");
        hasher.update(text);
    }
    let bytes = hasher.finalize();
    bytes.iter().take(16).fold(0, |number, byte| number << 8 | u128::from(*byte))
}
