//! What one branch of a split can take.

use std::sync::Arc;

use serde::Deserialize;

#[cfg(feature = "schema")]
use super::conn::CONN_MAX;
#[cfg(feature = "schema")]
use super::count::{COUNT_MAX, WINDOW_SECS_MAX};
use super::counters::AWAY_MS;
use super::hold::Hold;
use super::key::{Key, KeyType};
use super::lease::{Draw, Spot};
use super::quota::{Bound, Policy, account, digest};
#[cfg(feature = "schema")]
use super::rate::RATE_MAX;
use super::wire::{RATE_SHARED_MIN, WindowType, conn_bound, count_bound, rate_bound};
use super::{Counters, Grant, Mark, Reading, Toll};
use crate::facts::Facts;
use crate::fault::{At, Report};
use crate::problem::Failure;
use crate::time::Timestamp;

/// How many keys are kept apart for a branch.
const KEYS: usize = if cfg!(target_arch = "wasm32") { 1_024 } else { 8_192 };

/// What a branch takes, in one of three ways: so many in a window, so many a second, or so many at once.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct BranchLimitWire {
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = COUNT_MAX)))]
    count: Option<u32>,
    /// Seconds.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = WINDOW_SECS_MAX)))]
    time_window: Option<u32>,
    window_type: Option<WindowType>,
    /// Requests a second.
    #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0, "maximum" = RATE_MAX)))]
    rate: Option<f64>,
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0)))]
    burst: Option<f64>,
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = CONN_MAX)))]
    conn: Option<u32>,
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    key: Option<String>,
    key_type: Option<KeyType>,
    policy: Option<Policy>,
    allow_degradation: Option<bool>,
}

/// What a branch takes, and what it has taken. A branch that follows another goes on with that.
#[derive(Debug)]
pub(crate) struct BranchLimit {
    bound: Bound,
    /// Of whom, each by himself; of all together, where nothing is said.
    key: Option<Key>,
    /// What was counted; where it is shared, what is held of it.
    counters: Arc<Counters>,
    shared: Option<Shared>,
}

/// How a branch counts in the store of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shared {
    /// What is counted together: what this branch of this route takes by these terms.
    salt: u128,
    /// Whether it takes requests while the store is away.
    may_degrade: bool,
}

/// Whose request it is to a branch.
#[derive(Clone, Debug)]
pub(crate) struct Whose {
    mark: Mark,
    /// His account in the store, if it is counted there.
    account: Option<Box<str>>,
}

/// What a request takes up in a branch.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// Its place.
    pub(crate) hold: Option<Box<Hold>>,
    /// What the store is to be asked for before the branch gets it.
    pub(crate) toll: Option<Box<Toll>>,
}

impl BranchLimit {
    /// Goes on with what `earlier` has counted, if it is told the same.
    pub(crate) fn follow(&mut self, earlier: &Self) {
        let salt = |it: &Self| it.shared.map(|shared| shared.salt);
        if (self.bound, &self.key, salt(self)) == (earlier.bound, &earlier.key, salt(earlier)) {
            self.counters = Arc::clone(&earlier.counters);
        }
    }

    /// Whether each attempt at the branch counts. A request that is under way keeps its one place.
    pub(crate) fn counts_attempts(&self) -> bool {
        !matches!(self.bound, Bound::Conn(_))
    }

    /// Whether it is counted in the store that all share.
    pub(crate) fn is_shared(&self) -> bool {
        self.shared.is_some()
    }

    /// Whose request it is.
    pub(crate) fn whose(&self, facts: &Facts<'_>, chance: &dyn Fn() -> u64) -> Whose {
        let key = self.key.as_ref().map(|key| key.of(facts)).unwrap_or_default();
        let mark = self.counters.mark(0, key.as_bytes(), chance);
        let account = self.shared.map(|shared| account(shared.salt, &key).into());
        Whose { mark, account }
    }

    /// What would become of another request, as far as that is known; nothing is counted.
    pub(crate) fn look(&self, whose: &Whose, now: Timestamp) -> Reading {
        let Some(shared) = self.shared else {
            return self.bound.step(self.counters.look(whose.mark), now).1;
        };
        match Spot::plain(&self.counters, whose.mark).draw(now, true) {
            Draw::Known(reading) => reading,
            Draw::Asks(_) if self.counters.could_ask(whose.mark, now) => Reading::ADMITTED,
            Draw::Asks(_) => shared.degraded(),
        }
    }

    /// Whether the store is to be asked about another request.
    pub(crate) fn asks(&self, whose: &Whose, now: Timestamp) -> bool {
        let draw = || Spot::plain(&self.counters, whose.mark).draw(now, true);
        self.is_shared() && matches!(draw(), Draw::Asks(_))
    }

    /// Counts a request, unless there is no room for it. Whether there is may be for the store to say.
    pub(crate) fn take(&self, whose: &Whose, now: Timestamp) -> Result<Taken, Reading> {
        if let Some(shared) = self.shared {
            return self.draw(shared, whose, now);
        }
        let mark = whose.mark;
        let reading = self.counters.change(mark, now, |state| self.bound.step(state, now));
        let place = reading.passed()?.place.zip(self.bound.conn());
        let hold = |(place, conn)| Hold::new(&self.counters, mark, conn, place, (now, None));
        let hold = place.map(|place| Box::new(hold(place)));
        Ok(Taken { hold, toll: None })
    }

    fn draw(&self, shared: Shared, whose: &Whose, now: Timestamp) -> Result<Taken, Reading> {
        let reading = match Spot::plain(&self.counters, whose.mark).draw(now, false) {
            Draw::Known(reading) => reading,
            Draw::Asks(want) if self.counters.may_ask(whose.mark, now) => {
                let told = self.bound.terms().zip(whose.account.as_deref());
                let toll =
                    told.map(|(terms, key)| Box::new(Toll { key: key.to_owned(), terms, want }));
                return Ok(Taken { hold: None, toll });
            }
            Draw::Asks(_) => shared.degraded(),
        };
        reading.passed().map(|_| Taken::default())
    }

    /// Takes what came of a toll that was asked for at `asked`: whether there is room for who asked.
    pub(crate) fn fund(
        &self,
        whose: &Whose,
        came: &Result<Grant, Failure>,
        (asked, now): (Timestamp, Timestamp),
    ) -> Result<(), Reading> {
        let Some(shared) = self.shared else { return Ok(()) };
        self.counters.note_store(whose.mark, came.is_ok(), now);
        let reading = match came {
            Ok(grant) => Spot::plain(&self.counters, whose.mark).fund(grant, asked, now),
            Err(_) => shared.degraded(),
        };
        reading.passed().map(|_| ())
    }
}

impl Shared {
    /// What becomes of a request while the store is away.
    fn degraded(self) -> Reading {
        match self.may_degrade {
            true => Reading::ADMITTED,
            false => Reading { reset_ms: AWAY_MS, ..Reading::default() },
        }
    }
}

impl BranchLimitWire {
    /// Checks what stands at `at`, of the branch `name` of what `salt` stands for.
    pub(crate) fn compile(
        &self,
        (salt, name): (&str, &str),
        at: At<'_>,
        report: &mut Report,
    ) -> Option<BranchLimit> {
        let said = [self.count.is_some(), self.rate.is_some(), self.conn.is_some()];
        if said.into_iter().filter(|is_said| *is_said).count() != 1 {
            report.fault(at, "expected one of `count` with `time_window`, `rate`, and `conn`");
            return None;
        }
        self.check_words(at, report);
        let is_sliding = self.window_type == Some(WindowType::Sliding);
        let bound = if let Some(rate) = self.rate {
            rate_bound(rate, self.burst.unwrap_or_default(), true, at, report)
        } else if let Some(conn) = self.conn {
            conn_bound(conn, 0, at, report)
        } else {
            let Some(secs) = self.time_window else {
                report.fault(at, "`time_window` is missing, which `count` needs");
                return None;
            };
            count_bound(self.count.unwrap_or(1), secs, is_sliding, at, report)
        };
        let has_key = self.key.is_some() || self.key_type.is_some();
        let key = has_key.then(|| Key::compile(self.key.as_deref(), self.key_type, at, report));
        let slots = if has_key { KEYS } else { 1 };
        let is_shared = self.policy == Some(Policy::Shared);
        let shared = is_shared.then(|| {
            let words = ["branch", salt, name, &format!("{bound:?} {key:?}")];
            Shared { salt: digest(&words), may_degrade: self.allow_degradation == Some(true) }
        });
        Some(BranchLimit { bound, key, counters: Arc::new(Counters::with_capacity(slots)), shared })
    }

    /// Checks that what is said has an effect.
    fn check_words(&self, at: At<'_>, report: &mut Report) {
        let is_shared = self.policy == Some(Policy::Shared);
        if is_shared && self.conn.is_some() {
            let what = "what is under way at a branch is counted by each process and isolate; \
                `count` and `rate` can be shared, and `limit-conn` of a route";
            report.fault(at.key("policy"), what);
        }
        if is_shared && self.rate.is_some_and(|rate| rate > 0.0 && rate < RATE_SHARED_MIN) {
            let what = format!("expected at least {RATE_SHARED_MIN} where it is shared");
            report.fault(at.key("rate"), what);
        }
        if self.allow_degradation == Some(true) && !is_shared {
            let what = "has no effect without `\"policy\": \"shared\"`";
            report.warn(at.key("allow_degradation"), what);
        }
        let needless = [
            ("time_window", self.time_window.is_some() && self.count.is_none(), "count"),
            ("window_type", self.window_type.is_some() && self.count.is_none(), "count"),
            ("burst", self.burst.is_some() && self.rate.is_none(), "rate"),
        ];
        for (key, is_needless, other) in needless {
            if is_needless {
                report.fault(at.key(key), format!("has no meaning without `{other}`"));
            }
        }
    }
}
