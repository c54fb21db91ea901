//! Splits: which branch a request goes to.
//!
//! A split has rules. The first rule that takes a request decides, by its own branches; a request that
//! no rule takes goes to the route's upstream. Documents write rules in two forms:
//!
//! 1. APISIX's: `rules[].weighted_upstreams[]`, each entry with `upstream_id`, `upstream`, or neither
//!    (then the route's own upstream).
//! 2. The rule form of the published AI/ML API guide: `rules[]`, each with its own `weight`,
//!    `upstream` and `rewrite`; rules with the same `match` (or none) are the branches of one split.
//!    APISIX accepts this form and silently sends everything to the route's upstream, unrewritten
//!    (APISIX.md 1.2).
//!
//! Both lower to the same rules. In both a branch may carry `name`, `rewrite`, `headers` and
//! `response_headers`, and a rule `sticky` and `override`; of rules that are the branches of one split,
//! one does.

mod again;
mod branch;
mod failover;
mod follow;
mod lanes;
mod mirror;
mod pick;
mod pool;
mod room;
mod rule;

use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::balance::Upstream;
use crate::expr::Expr;
use crate::facts::Facts;
use crate::fault::{At, Dangling, Fault, Report};
use crate::few::Few;
use crate::forced::Override;
use crate::id::Id;
use crate::kind::Kind;
use crate::meta::{Meta, MetaWire};
use crate::rotation::Unpickable;

pub(crate) use branch::{Branch, Branches};
pub(crate) use failover::OnFailure;
pub(crate) use follow::follow;
pub(crate) use lanes::Placed;
pub(crate) use mirror::{Mirror, Permit};
pub use pick::Means;
pub(crate) use pick::{How, Keyed, Picked, Unpicked};
pub(crate) use pool::Pool;
pub(crate) use room::{Full, NoRoom, Room};
use rule::RuleWire;

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
    /// What keys are mixed with where a rule names nothing else.
    pub(crate) salt: &'s str,
    /// The methods of the route, none for any.
    pub(crate) methods: &'s [String],
    /// What was said before.
    pub(crate) pool: &'s Pool,
}

/// Some requests, and the branches among which they are divided. What few rules have is elsewhere: a document
/// may have a rule for each of 100,000 routes.
#[derive(Debug)]
pub(crate) struct Rule {
    /// Where it stands in its plugin; nothing for the route's own upstream.
    number: Option<u32>,
    /// The number of the first of its branches among those of its plugin.
    lane: u32,
    condition: Condition,
    pub(crate) branches: Branches,
    extras: Option<Box<Extras>>,
}

/// What few rules have.
#[derive(Debug, Default)]
struct Extras {
    /// Whose requests always get the same branch.
    keyed: Option<Keyed>,
    /// Who may choose a branch.
    forced: Option<Override>,
    /// What becomes of requests whose branch fails.
    on_failure: Option<OnFailure>,
    /// Which of its requests are copied, and where to.
    mirror: Option<Mirror>,
}

/// Which requests a rule takes.
#[derive(Clone, Debug, Default)]
struct Condition {
    /// One of these must hold; without any every request is taken.
    groups: Few<Expr>,
    /// Of what the document says, so that two can be told apart at a glance.
    digest: u64,
}

/// Where a section is from.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Origin {
    /// The route's own upstream.
    Upstream,
    /// The route's own plugin.
    Route,
    /// A plugin that other routes take over, too. All of them walk as one.
    Shared(Box<Shared>),
}

/// Of whom a section is taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Shared {
    /// The resource that has the plugin.
    holder: Box<str>,
    /// Whether it is the same for all of them, because nothing in it depends on the route.
    is_whole: bool,
}

/// The rules of one plugin.
#[derive(Debug)]
pub(crate) struct Section {
    origin: Origin,
    /// When it acts; always, where nothing is said of that.
    meta: Option<Box<Meta>>,
    rules: Box<[Rule]>,
}

/// How the requests of a route are divided.
#[derive(Debug)]
pub(crate) struct Split {
    /// In the order in which they are asked, the route's own upstream last.
    pub(crate) sections: Box<[Arc<Section>]>,
}

impl Rule {
    /// The rule that takes what all others leave.
    fn of_all(branches: Branches) -> Self {
        let condition = Condition::default();
        Self { number: None, lane: 0, condition, branches, extras: None }
    }

    /// Where it stands in its plugin; nothing for the route's own upstream.
    pub(crate) fn number(&self) -> Option<usize> {
        self.number.map(|number| number as usize)
    }

    /// Whose requests always get the same branch.
    pub(crate) fn keyed(&self) -> Option<&Keyed> {
        self.extras.as_ref()?.keyed.as_ref()
    }

    /// Who may choose a branch.
    pub(crate) fn forced(&self) -> Option<&Override> {
        self.extras.as_ref()?.forced.as_ref()
    }

    /// What becomes of requests whose branch fails.
    pub(crate) fn on_failure(&self) -> Option<&OnFailure> {
        self.extras.as_ref()?.on_failure.as_ref()
    }

    /// Which of its requests are copied, and where to.
    pub(crate) fn mirror(&self) -> Option<&Mirror> {
        self.extras.as_ref()?.mirror.as_ref()
    }

    /// Whether it takes a request.
    fn takes(&self, facts: &Facts<'_>) -> bool {
        let holds = |group: &Expr| group.holds(&|variable| variable.value(facts));
        self.takes_all() || self.condition.groups.iter().any(holds)
    }

    /// Why it does not take a request: the first comparison of each group that does not hold.
    fn why_not(&self, facts: &Facts<'_>) -> String {
        let why_not = |group: &Expr| group.why_not(&|variable| variable.value(facts));
        self.condition.groups.iter().filter_map(why_not).collect::<Vec<_>>().join("; and ")
    }

    /// Whether this is `other`, of an earlier document.
    fn is(&self, other: &Self) -> bool {
        self.has_key_of(other) && self.condition.groups == other.condition.groups
    }

    /// Whether both have what rules are looked up by in common.
    fn has_key_of(&self, other: &Self) -> bool {
        self.condition.digest == other.condition.digest
            && self.branches.names().eq(other.branches.names())
    }

    /// What rules are looked up by: those that are the same have the same.
    fn key(&self) -> (u64, Vec<&str>) {
        (self.condition.digest, self.branches.names().collect())
    }

    /// Whether it takes every request.
    fn takes_all(&self) -> bool {
        self.condition.groups.is_empty()
    }
}

impl Section {
    /// Why one of the rules does not take a request.
    pub(crate) fn why_not(&self, rule: &Rule, facts: &Facts<'_>) -> String {
        match self.meta.as_ref().and_then(|meta| meta.why_not(facts)) {
            Some(why) => format!("the `_meta.filter` of its plugin does not hold: {why}"),
            None => rule.why_not(facts),
        }
    }

    /// Notes that routes take it over from `holder`: as a whole, or each a copy whose walks are those
    /// of `model`, compiled from the same plugin.
    pub(crate) fn share(&mut self, holder: &str, model: Option<&Self>) {
        self.origin =
            Origin::Shared(Box::new(Shared { holder: holder.into(), is_whole: model.is_none() }));
        for (rule, model) in self.rules.iter_mut().zip(model.into_iter().flat_map(|it| &it.rules)) {
            rule.branches.follow(&model.branches);
        }
    }

    /// Whether one of the rules takes every request.
    pub(crate) fn takes_all(&self) -> bool {
        self.meta.is_none() && self.rules.iter().any(Rule::takes_all)
    }
}

impl Split {
    /// The split of a route: the rules of its plugins, then its own upstream, if it has one.
    pub(crate) fn new(
        mut sections: Vec<Arc<Section>>,
        own: Option<Arc<Upstream>>,
        scope: Scope<'_>,
    ) -> Result<Self, Unpickable> {
        if let Some(own) = own {
            let branches = Branches::own(own, scope)?;
            let rule = Rule::of_all(branches);
            let origin = Origin::Upstream;
            let rules = Box::new([rule]);
            sections.push(Arc::new(Section { origin, meta: None, rules }));
        }
        Ok(Self { sections: sections.into() })
    }

    /// Whether keys, which are mixed with `salt`, or tokens depend on the id of the route.
    pub(crate) fn depends_on_id(&self, salt: &str) -> bool {
        let is_mixed = |rule: &Rule| rule.keyed().is_some_and(|it| it.has_salt(salt));
        self.rules().any(|rule| rule.forced().is_some() || is_mixed(rule))
    }

    /// All rules, in the order in which they are asked.
    pub(crate) fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.sections.iter().flat_map(|section| &section.rules)
    }

    /// The rule that takes a request; each that is asked before it and does not is told of.
    pub(crate) fn rule(
        &self,
        facts: &Facts<'_>,
        passed_over: &mut dyn FnMut(&Section, &Rule),
    ) -> Option<&Rule> {
        self.sections.iter().find_map(|section| {
            let acts = section.meta.as_ref().is_none_or(|meta| meta.acts_on(facts));
            section.rules.iter().find(|rule| {
                let takes = acts && rule.takes(facts);
                if !takes {
                    passed_over(section, rule);
                }
                takes
            })
        })
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
    ) -> Option<Section> {
        let meta = Meta::compile_mute(self._meta, at, report);
        let at = at.key("rules");
        let rules = self.rules?;
        if rules.is_empty() {
            report.warn(at, "no rules: the route's upstream serves; APISIX answers 500");
        }
        let mut rules = rule::compile(rules, scope, at, report);
        lanes::number(&mut rules);
        let acts = !meta.is_disabled && !rules.is_empty();
        let meta = (meta != Meta::default()).then(|| Box::new(meta));
        acts.then_some(Section { origin: Origin::Route, meta, rules: rules.into() })
    }
}
