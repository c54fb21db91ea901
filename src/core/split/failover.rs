//! Where a request goes when the branch that was picked for it fails.

use serde::Deserialize;

use super::Rule;
use super::branch::{Branch, Branches};
use super::room::Full;
use crate::fault::{At, Report, did_you_mean};
use crate::id::Id;
use crate::retry::{FailureWords, TWICE, Vocabulary, When};
use crate::rotation::Weight;
use crate::time::Timestamp;

/// The word for all branches but those that failed.
const OTHERS: &str = "others";

/// What a rule says in `on_failure`.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct OnFailureWire {
    to: Option<Id>,
    when: Option<FailureWords>,
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = ATTEMPTS_MAX)))]
    attempts: Option<u32>,
    non_idempotent: Option<bool>,
}

/// The most branches that a request can be sent to after the first.
const ATTEMPTS_MAX: u32 = 20;

/// What becomes of requests whose branch fails.
#[derive(Debug)]
pub(crate) struct OnFailure {
    to: To,
    /// Which outcomes are failures.
    pub(crate) when: When,
    /// How many other branches a request is sent to at most.
    pub(crate) attempts: u32,
    /// Whether a request is sent again that may have been executed, whatever its method.
    pub(crate) non_idempotent: bool,
}

#[derive(Debug)]
enum To {
    Others,
    /// The branch at this position, whatever its weight.
    Branch(usize),
}

impl OnFailureWire {
    /// Checks it for a rule with these branches.
    pub(super) fn compile(
        &self,
        branches: &Branches,
        at: At<'_>,
        report: &mut Report,
    ) -> Option<OnFailure> {
        let when = match &self.when {
            Some(words) => words.compile(Vocabulary::Branches, at.key("when"), report),
            None => When::all(),
        };
        let attempts = self.attempts.unwrap_or(1);
        if !(1..=ATTEMPTS_MAX).contains(&attempts) {
            report.fault(at.key("attempts"), format!("expected 1 to {ATTEMPTS_MAX}"));
        }
        let to = self.target(branches, at.key("to"), report)?;
        let non_idempotent = self.non_idempotent.unwrap_or(false);
        if non_idempotent {
            report.warn(at.key("non_idempotent"), TWICE);
        }
        Some(OnFailure { to, when, attempts, non_idempotent })
    }

    fn target(&self, branches: &Branches, at: At<'_>, report: &mut Report) -> Option<To> {
        let to = self.to.as_ref().map_or(OTHERS, Id::as_str);
        if to == OTHERS {
            if !branches.has_choice() {
                report.warn(at, "no other branch has a weight: failures go nowhere");
            }
            return Some(To::Others);
        }
        let place = branches.list().iter().position(|branch| *branch.name == *to);
        if place.is_none() {
            let names: Vec<&str> = branches.names().chain([OTHERS]).collect();
            let what = format!("no branch is named `{to}`{}", did_you_mean(to, &names));
            report.fault(at, what);
        }
        let is_other = |index: usize| {
            let others = branches.list().iter().enumerate().filter(|(other, _)| *other != index);
            others.into_iter().any(|(_, branch)| branch.weight > Weight(0))
        };
        if place.is_some_and(|index| !is_other(index)) {
            report.warn(at, "no other branch has a weight: failures go nowhere");
        }
        place.map(To::Branch)
    }
}

impl OnFailure {
    /// Where requests go, as documents write it: the name of one of `branches`, or all others.
    pub(crate) fn target<'b>(&self, branches: &'b Branches) -> &'b str {
        match self.to {
            To::Others => OTHERS,
            To::Branch(index) => &branches.at(index).name,
        }
    }
}

impl Rule {
    /// The branch for a request that those at `failed` have failed, if there is one. One that keys are
    /// assigned in is found by `key`, if it is known, so that a client stays at one branch.
    pub(crate) fn other(
        &self,
        failed: &[&Branch],
        key: Option<&str>,
        full: &Full,
        now: Timestamp,
    ) -> Option<&Branch> {
        let can_take = |branch: &Branch| {
            !branch.is_gone() && !failed.iter().any(|it| std::ptr::eq(*it, branch))
        };
        match (&self.on_failure()?.to, self.keyed(), key) {
            (To::Branch(index), ..) => {
                let branch = Some(self.branches.at(*index)).filter(|_| !full.has(*index));
                branch.filter(|branch| can_take(branch))
            }
            (To::Others, Some(keyed), Some(key)) => {
                self.branches.owner_but(keyed, key.as_bytes(), can_take, full, now)
            }
            (To::Others, ..) => self.branches.next_after(failed, can_take, full, now),
        }
    }
}
