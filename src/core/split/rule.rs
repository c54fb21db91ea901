//! Rules: which requests are divided among which branches, in both forms a document may write them.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};

use serde::Deserialize;
use serde_json::Value;
use siphasher::sip::SipHasher24;

use super::branch::{BranchWire, Branches, LISTED_MAX, own, warn_of_branches};
use super::failover::OnFailureWire;
use super::mirror::MirrorWire;
use super::pick::Keyed;
use super::{Condition, Extras, Rule, Scope};
use crate::affinity::StickyWire;
use crate::balance::UpstreamWire;
use crate::breaker::BreakerWire;
use crate::expr;
use crate::fault::{At, Report};
use crate::forced::{Override, OverrideWire};
use crate::id::Id;
use crate::limit::BranchLimitWire;
use crate::rewrite::{HeadersWire, RewriteWire};

#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct RuleWire {
    r#match: Option<Vec<MatchWire>>,
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = LISTED_MAX)))]
    weighted_upstreams: Option<Vec<BranchWire>>,
    sticky: Option<StickyWire>,
    r#override: Option<OverrideWire>,
    on_failure: Option<OnFailureWire>,
    breaker: Option<BreakerWire>,
    mirror: Option<MirrorWire>,
    name: Option<Id>,
    weight: Option<u32>,
    upstream: Option<UpstreamWire>,
    upstream_id: Option<Id>,
    rewrite: Option<RewriteWire>,
    headers: Option<HeadersWire>,
    response_headers: Option<HeadersWire>,
    limit: Option<BranchLimitWire>,
}

/// A group of expressions: one of the groups of a rule must hold.
#[derive(Debug, PartialEq, Hash, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
struct MatchWire {
    #[cfg_attr(feature = "schema", schemars(with = "Vec<Value>"))]
    vars: Value,
}

/// The rules of a split, in the order in which they are asked.
pub(super) fn compile(
    rules: Vec<RuleWire>,
    scope: Scope<'_>,
    at: At<'_>,
    report: &mut Report,
) -> Vec<Rule> {
    let has_lists = rules.iter().any(|rule| rule.weighted_upstreams.is_some());
    let compiled = match (has_lists, rules.iter().any(RuleWire::is_branch)) {
        (true, true) => {
            report.fault(at, "rules with `weighted_upstreams` and rules that are branches themselves cannot be mixed");
            return Vec::new();
        }
        (false, true) => {
            report.warn(at, "APISIX ignores `weight`, `upstream` and `rewrite` of a rule and sends 100 % to the route's upstream, unrewritten");
            compile_groups(rules, scope, at, report)
        }
        (_, false) => compile_lists(rules, scope, at, report),
    };
    warn_of_unreached(&compiled, at, report);
    compiled.into_iter().flat_map(|(_, rule)| rule).collect()
}

/// A rule, or nothing where it has faults, and its number in the document.
type Numbered = (usize, Option<Rule>);

/// The form of APISIX: each rule has a list of branches.
fn compile_lists(
    rules: Vec<RuleWire>,
    scope: Scope<'_>,
    at: At<'_>,
    report: &mut Report,
) -> Vec<Numbered> {
    let mut compiled = Vec::new();
    for (number, rule) in rules.into_iter().enumerate() {
        let at = at.index(number);
        let condition = Condition::compile(rule.r#match.as_deref(), at, report);
        let (list, extras) = rule.into_list(at);
        if extras.is_said() && list.is_none() {
            let what = format!("{} stand here without branches to choose among", ExtrasWire::WORDS);
            report.fault(at, what);
        }
        let branches = match list {
            Some(list) => compile_list(list, scope, at.key("weighted_upstreams"), report),
            // APISIX's default: everything to the route's upstream.
            None => own(scope, at, report).and_then(|own| Branches::own(own, scope).ok()),
        };
        extras.warn(report);
        compiled.push((number, extras.complete(number, condition, branches, scope, report)));
    }
    compiled
}

/// What a rule says of its branches together.
struct ExtrasWire<'a> {
    sticky: Option<StickyWire>,
    r#override: Option<OverrideWire>,
    on_failure: Option<OnFailureWire>,
    breaker: Option<BreakerWire>,
    mirror: Option<MirrorWire>,
    /// Where it stands.
    at: At<'a>,
}

impl ExtrasWire<'_> {
    /// All of them.
    const WORDS: &'static str = "`sticky`, `override`, `on_failure`, `breaker` and `mirror`";

    fn is_said(&self) -> bool {
        self.sticky.is_some()
            || self.r#override.is_some()
            || self.on_failure.is_some()
            || self.breaker.is_some()
            || self.mirror.is_some()
    }

    /// What APISIX does differently with a rule of its own form.
    fn warn(&self, report: &mut Report) {
        if self.is_said() {
            report.warn(self.at, format!("APISIX ignores {} of a rule", Self::WORDS));
        }
    }

    /// The rule that all this makes, where it has no faults.
    fn complete(
        self,
        number: usize,
        condition: Condition,
        branches: Option<Branches>,
        scope: Scope<'_>,
        report: &mut Report,
    ) -> Option<Rule> {
        let faults_before = report.faults.len();
        let forced = self
            .r#override
            .and_then(|wire| Override::compile(&wire, self.at.key("override"), report));
        let breaker = self.breaker.map(|wire| wire.compile(self.at.key("breaker"), report));
        let mut branches = branches?;
        let keyed = self
            .sticky
            .as_ref()
            .and_then(|wire| Keyed::compile(wire, &branches, scope, self.at.key("sticky"), report));
        let on_failure = self
            .on_failure
            .as_ref()
            .and_then(|wire| wire.compile(&branches, self.at.key("on_failure"), report));
        let mirror = self
            .mirror
            .and_then(|wire| wire.compile(&branches, scope, self.at.key("mirror"), report));
        if let Some(policy) = breaker {
            if !branches.has_choice() {
                let what = "no other branch has a weight: requests go to this one whatever it says";
                report.warn(self.at.key("breaker"), what);
            }
            branches.guard(policy);
        }
        let is_sound = report.faults.len() == faults_before;
        let is_said =
            keyed.is_some() || forced.is_some() || on_failure.is_some() || mirror.is_some();
        let extras = is_said.then(|| Box::new(Extras { keyed, forced, on_failure, mirror }));
        let number = Some(u32::try_from(number).unwrap_or(u32::MAX));
        is_sound.then_some(Rule { number, lane: 0, condition, branches, extras })
    }

    /// Takes over what another rule of the same split says, of which one may.
    fn join(&mut self, other: Self, report: &mut Report) {
        if !other.is_said() {
            return;
        }
        if self.is_said() {
            let what = format!(
                "{} are for all rules with this `match` together: they stand on one of them",
                Self::WORDS
            );
            report.fault(other.at, what);
            return;
        }
        *self = other;
    }
}

fn compile_list(
    list: Vec<BranchWire>,
    scope: Scope<'_>,
    at: At<'_>,
    report: &mut Report,
) -> Option<Branches> {
    // First of all: what else is said of a list costs its square.
    if !(1..=LISTED_MAX).contains(&list.len()) {
        report.fault(at, format!("expected 1 to {LISTED_MAX} branches, found {}", list.len()));
        return None;
    }
    warn_of_branches(&list, at, report);
    let placed = list.into_iter().enumerate().map(|(index, wire)| (wire, at.index(index)));
    Branches::compile(placed.collect(), scope, at, report)
}

/// The rule form: rules with the same `match`, or with none, are the branches of one split, which
/// stands where the first of them does.
fn compile_groups(
    rules: Vec<RuleWire>,
    scope: Scope<'_>,
    at: At<'_>,
    report: &mut Report,
) -> Vec<Numbered> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    let mut by_digest: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for (number, rule) in rules.into_iter().enumerate() {
        let at = at.index(number);
        let (condition, extras, branch) = rule.into_parts(at);
        // No condition and no groups mean the same.
        let condition = condition.filter(|groups| !groups.is_empty());
        // Of the same digest and yet not equal are next to none.
        let places = by_digest.entry(digest(condition.as_deref())).or_default();
        let is_same =
            |place: &&usize| groups.get(**place).map(|it| &it.condition) == Some(&condition);
        let place = places.iter().find(is_same).copied();
        match place.and_then(|place| groups.get_mut(place)) {
            Some(group) => {
                group.branches.push((branch, at));
                group.extras.join(extras, report);
            }
            None => {
                places.push(groups.len());
                // Most are split in two.
                let mut branches = Vec::with_capacity(2);
                branches.push((branch, at));
                groups.push(Group { number, condition, extras, branches });
            }
        }
    }
    let mut compiled = Vec::new();
    for Group { number, condition, extras, branches } in groups {
        let condition = Condition::compile(condition.as_deref(), at.index(number), report);
        let branches = Branches::compile(branches, scope, at, report);
        compiled.push((number, extras.complete(number, condition, branches, scope, report)));
    }
    compiled
}

/// Rules with the same `match`.
struct Group<'a> {
    /// That of the first.
    number: usize,
    condition: Option<Vec<MatchWire>>,
    extras: ExtrasWire<'a>,
    branches: Vec<(BranchWire, At<'a>)>,
}

/// What says for whom a rule is, in a few bytes: equal conditions have equal digests.
fn digest(groups: Option<&[MatchWire]>) -> u64 {
    let mut hasher = SipHasher24::new();
    groups.unwrap_or_default().hash(&mut hasher);
    hasher.finish()
}

impl Condition {
    /// Checks the groups of a rule; none, where it takes every request.
    fn compile(groups: Option<&[MatchWire]>, rule: At<'_>, report: &mut Report) -> Self {
        let at = rule.key("match");
        if groups.is_some_and(<[MatchWire]>::is_empty) {
            report.warn(
                at,
                "no groups: the rule takes every request; in APISIX it does so only as long as no rule before it was passed over",
            );
        }
        let mut compiled = Vec::new();
        for (index, group) in groups.into_iter().flatten().enumerate() {
            let at = at.index(index);
            compiled.extend(expr::compile(&group.vars, at.key("vars"), report));
        }
        Self { groups: compiled.into(), digest: digest(groups) }
    }
}

/// The first rule that takes every request leaves nothing to those behind it.
fn warn_of_unreached(rules: &[Numbered], at: At<'_>, report: &mut Report) {
    let takes_all = |rule: &Option<Rule>| rule.as_ref().is_some_and(Rule::takes_all);
    let first = rules.iter().position(|(_, rule)| takes_all(rule));
    for (number, _) in rules.iter().skip(first.map_or(rules.len(), |first| first + 1)) {
        let what = "never reached: a rule before it has no `match` and takes everything";
        report.warn(at.index(*number), what);
    }
}

impl RuleWire {
    fn is_branch(&self) -> bool {
        self.name.is_some()
            || self.weight.is_some()
            || self.upstream.is_some()
            || self.upstream_id.is_some()
            || self.rewrite.is_some()
            || self.headers.is_some()
            || self.response_headers.is_some()
            || self.limit.is_some()
    }

    /// The branches of APISIX's form, and what is said of them.
    fn into_list(self, at: At<'_>) -> (Option<Vec<BranchWire>>, ExtrasWire<'_>) {
        let Self { sticky, r#override, on_failure, breaker, mirror, .. } = self;
        let extras = ExtrasWire { sticky, r#override, on_failure, breaker, mirror, at };
        (self.weighted_upstreams, extras)
    }

    fn into_parts(self, at: At<'_>) -> (Option<Vec<MatchWire>>, ExtrasWire<'_>, BranchWire) {
        let Self {
            name,
            weight,
            upstream,
            upstream_id,
            rewrite,
            headers,
            response_headers,
            limit,
            ..
        } = self;
        let Self { sticky, r#override, on_failure, breaker, mirror, .. } = self;
        let extras = ExtrasWire { sticky, r#override, on_failure, breaker, mirror, at };
        let branch = BranchWire {
            name,
            weight,
            upstream,
            upstream_id,
            rewrite,
            headers,
            response_headers,
            limit,
        };
        (self.r#match, extras, branch)
    }
}
