//! Branches: the weighted shares of a split, in both forms a document may write them.
//!
//! 1. APISIX's: `rules[].weighted_upstreams[]`, each entry with `upstream_id`, `upstream`, or neither
//!    (then the route's own upstream).
//! 2. The rule form of the published AI/ML API guide: `rules[]`, each with its own `weight`,
//!    `upstream` and `rewrite`; the rules together are the branches of one split. APISIX accepts this
//!    form and silently sends everything to the route's upstream, unrewritten (APISIX.md 1.2).
//!
//! Both lower to one `Split`. In both a branch may carry `name`, `rewrite` and `headers`.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::balance::{Balancer, Upstream, UpstreamWire};
use crate::fault::{At, Dangling, Fault, Report};
use crate::id::Id;
use crate::kind::Kind;
use crate::node::Scheme;
use crate::rewrite::{HeadersWire, Rewrite, RewriteWire};
use crate::rotation::{Rotation, Unpickable, Weight};
use crate::telemetry::proof;
use crate::wire::Unsupported;

/// The most branches of one split, as in APISIX.
const BRANCHES_MAX: usize = 20;

/// The name of the branch that is the route's own upstream, where nothing is split.
const OWN_BRANCH: &str = "route";

/// The name of the plugin in documents.
pub(crate) const PLUGIN: &str = "traffic-split";

/// The configuration of the plugin `traffic-split`.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct TrafficSplitWire {
    rules: Option<Vec<RuleWire>>,
    _meta: Option<MetaWire>,
}

#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "some keys are read to be refused by name")]
pub(crate) struct MetaWire {
    disable: Option<bool>,
    priority: Option<i64>,
    error_response: Option<Unsupported>,
    filter: Option<Unsupported>,
    pre_function: Option<Unsupported>,
}

impl MetaWire {
    /// Whether the plugin is switched off.
    pub(crate) fn is_disabled(&self) -> bool {
        self.disable == Some(true)
    }
}

#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
struct RuleWire {
    /// Groups of expressions; none may be written until expressions can be evaluated.
    #[expect(dead_code, reason = "read to be refused by place")]
    r#match: Option<Vec<Unsupported>>,
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = BRANCHES_MAX)))]
    weighted_upstreams: Option<Vec<BranchWire>>,
    name: Option<Id>,
    weight: Option<u32>,
    upstream: Option<UpstreamWire>,
    upstream_id: Option<Id>,
    rewrite: Option<RewriteWire>,
    headers: Option<HeadersWire>,
}

#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
struct BranchWire {
    name: Option<Id>,
    weight: Option<u32>,
    upstream: Option<UpstreamWire>,
    upstream_id: Option<Id>,
    rewrite: Option<RewriteWire>,
    headers: Option<HeadersWire>,
}

/// What the branches of a route can refer to.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'s> {
    /// The upstreams of the document by id; `None` is one with faults of its own.
    pub(crate) upstreams: &'s BTreeMap<Id, Option<Arc<Upstream>>>,
    /// Whether the route has an upstream, and the upstream unless it has faults of its own.
    pub(crate) own: Option<&'s Option<Arc<Upstream>>>,
    /// Where the walks start.
    pub(crate) phase: u64,
    /// What becomes of a name that leads nowhere.
    pub(crate) dangling: Dangling,
}

/// One weighted share of a split.
#[derive(Debug)]
pub(crate) struct Branch {
    pub(crate) name: Box<str>,
    pub(crate) balancer: Balancer,
    pub(crate) rewrite: Rewrite,
}

/// The branches among which the requests of a route are divided.
#[derive(Debug)]
pub(crate) struct Split {
    branches: Box<[Branch]>,
    rotation: Rotation,
}

impl Split {
    /// The split of a route that does not split: everything to one upstream.
    pub(crate) fn whole(upstream: Arc<Upstream>, phase: u64) -> Result<Self, Unpickable> {
        let balancer = Balancer::new(upstream, phase)?;
        let branch = Branch { name: OWN_BRANCH.into(), balancer, rewrite: Rewrite::default() };
        let rotation = Rotation::new(&[Weight(1)], phase)?;
        Ok(Self { branches: Box::new([branch]), rotation })
    }

    /// Goes on where `earlier`, the split of the same route, has come to.
    pub(crate) fn follow(&mut self, earlier: &Self) {
        self.rotation.follow(&earlier.rotation);
        for (branch, earlier) in self.branches.iter_mut().zip(&earlier.branches) {
            branch.balancer.follow(&earlier.balancer);
        }
    }

    /// The branch whose turn it is.
    pub(crate) fn pick(&self) -> &Branch {
        let branch = self.branches.get(self.rotation.next());
        branch.expect("the rotation was laid out over these branches")
    }
}

impl Scope<'_> {
    /// The upstream with this id. One that does not exist is a fault, or gone for those who ask for it.
    pub(crate) fn named(&self, id: &Id, at: At<'_>, report: &mut Report) -> Option<Arc<Upstream>> {
        if let Some(upstream) = self.upstreams.get(id) {
            return upstream.clone();
        }
        let known = self.upstreams.keys().map(Id::as_str);
        let missing = Fault::missing(at, Kind::Upstream, id.as_str(), known);
        report.missing(missing, self.dangling).then(Upstream::gone)
    }
}

impl TrafficSplitWire {
    /// Checks the plugin. `None` means that it splits nothing, or that it has faults.
    pub(crate) fn compile(
        self,
        scope: Scope<'_>,
        at: At<'_>,
        report: &mut Report,
    ) -> Option<Split> {
        let is_disabled = self._meta.is_some_and(|meta| meta.is_disabled());
        compile_rules(self.rules?, scope, at, report).filter(|_| !is_disabled)
    }
}

/// Which of both forms the rules have, and their split.
fn compile_rules(
    rules: Vec<RuleWire>,
    scope: Scope<'_>,
    at: At<'_>,
    report: &mut Report,
) -> Option<Split> {
    let at = at.key("rules");
    if rules.is_empty() {
        report.warn(at, "no rules: the route's upstream serves; APISIX answers 500");
        return None;
    }
    let has_lists = rules.iter().any(|rule| rule.weighted_upstreams.is_some());
    match (has_lists, rules.iter().any(RuleWire::is_branch)) {
        (true, true) => {
            report.fault(at, "rules with `weighted_upstreams` and rules that are branches themselves cannot be mixed");
            None
        }
        (false, true) => {
            report.warn(at, "APISIX ignores `weight`, `upstream` and `rewrite` of a rule and sends 100 % to the route's upstream, unrewritten");
            let branches = rules.into_iter().map(RuleWire::into_branch).collect();
            compile_branches(branches, scope, at, report)
        }
        (_, false) => first_rule(rules, scope, at, report),
    }
}

/// The form of APISIX, without expressions: the first rule wins always.
fn first_rule(
    rules: Vec<RuleWire>,
    scope: Scope<'_>,
    at: At<'_>,
    report: &mut Report,
) -> Option<Split> {
    let mut first = None;
    for (index, rule) in rules.into_iter().enumerate() {
        let at = at.index(index);
        let split = match rule.weighted_upstreams {
            Some(branches) => {
                let at = at.key("weighted_upstreams");
                warn_of_branches(&branches, at, report);
                compile_branches(branches, scope, at, report)
            }
            // APISIX's default: everything to the route's upstream.
            None => own(scope, at, report).and_then(|own| Split::whole(own, scope.phase).ok()),
        };
        match index {
            0 => first = split,
            _ => {
                report.warn(at, "never reached: the first rule has no `match` and takes everything")
            }
        }
    }
    first
}

/// The route's own upstream, or a fault.
fn own(scope: Scope<'_>, at: At<'_>, report: &mut Report) -> Option<Arc<Upstream>> {
    if scope.own.is_none() {
        report.fault(at, "there is no upstream here, and the route has none either");
    }
    scope.own.cloned().flatten()
}

impl RuleWire {
    fn is_branch(&self) -> bool {
        self.name.is_some()
            || self.weight.is_some()
            || self.upstream.is_some()
            || self.upstream_id.is_some()
            || self.rewrite.is_some()
            || self.headers.is_some()
    }

    fn into_branch(self) -> BranchWire {
        let Self { name, weight, upstream, upstream_id, rewrite, headers, .. } = self;
        BranchWire { name, weight, upstream, upstream_id, rewrite, headers }
    }
}

/// What APISIX does differently with a list of branches.
fn warn_of_branches(branches: &[BranchWire], at: At<'_>, report: &mut Report) {
    for (index, branch) in branches.iter().enumerate() {
        let at = at.index(index);
        if branch.name.is_some() || branch.rewrite.is_some() || branch.headers.is_some() {
            report.warn(at, "APISIX ignores `name`, `rewrite` and `headers` of a branch");
        }
        let again = branches.iter().take(index).any(|earlier| earlier.is_same_target(branch));
        if again {
            report.warn(at, "APISIX counts only the last of several branches with the same target");
        }
    }
}

impl BranchWire {
    /// Whether APISIX's picker takes both for one: it tells branches apart by id, else by object.
    fn is_same_target(&self, other: &Self) -> bool {
        let inline = self.upstream.is_some() || other.upstream.is_some();
        self.upstream_id == other.upstream_id && (self.upstream_id.is_some() || !inline)
    }

    fn upstream(&self, scope: Scope<'_>, at: At<'_>, report: &mut Report) -> Option<Arc<Upstream>> {
        if let Some(id) = &self.upstream_id {
            if let Some(wire) = &self.upstream {
                Upstream::check_unused(wire, at.key("upstream"), report);
            }
            return scope.named(id, at.key("upstream_id"), report);
        }
        if let Some(wire) = &self.upstream {
            let upstream = Upstream::compile(wire, at.key("upstream"), report)?;
            if upstream.scheme == Scheme::Http && upstream.sends_port() {
                report.warn(
                    at.key("upstream"),
                    "APISIX sends the node's name without its port as `Host`",
                );
            }
            return Some(Arc::new(upstream));
        }
        own(scope, at, report)
    }
}

fn compile_branches(
    wires: Vec<BranchWire>,
    scope: Scope<'_>,
    at: At<'_>,
    report: &mut Report,
) -> Option<Split> {
    let faults_before = report.faults.len();
    let count = wires.len();
    if !(1..=BRANCHES_MAX).contains(&count) {
        report.fault(at, format!("expected 1 to {BRANCHES_MAX} branches, found {count}"));
        return None;
    }
    let weights: Vec<Weight> = wires.iter().map(|wire| Weight(wire.weight.unwrap_or(1))).collect();
    let rotation = Rotation::new(&weights, scope.phase);
    match rotation {
        Err(Unpickable::NoWeight) => report.fault(at, "all weights are 0: no branch can be picked"),
        Err(Unpickable::TooHeavy) => report.fault(at, "the weights add up to more than 4294967295"),
        Ok(_) => {}
    }
    let mut branches: Vec<Branch> = Vec::with_capacity(count);
    for (index, wire) in wires.into_iter().enumerate() {
        let at = at.index(index);
        let name = wire.name.as_ref().map_or_else(|| format!("b{index}"), |id| id.as_str().into());
        if [OWN_BRANCH, proof::NONE].contains(&name.as_str()) {
            report.fault(at.key("name"), format!("`{name}` is what responses of no branch say"));
        }
        if branches.iter().any(|earlier| *earlier.name == *name) {
            report.fault(at, format!("another branch of this split is named `{name}`"));
        }
        let rewrite =
            Rewrite::compile(wire.rewrite.as_ref(), wire.headers.as_ref(), None, at, report);
        let upstream = wire.upstream(scope, at, report);
        if let Some(Ok(balancer)) = upstream.map(|up| Balancer::new(up, scope.phase)) {
            branches.push(Branch { name: name.into(), balancer, rewrite });
        }
    }
    // A branch can also be missing because the upstream it names has faults of its own.
    let sound = report.faults.len() == faults_before && branches.len() == count;
    rotation.ok().filter(|_| sound).map(|rotation| Split { branches: branches.into(), rotation })
}
