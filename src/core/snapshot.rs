//! The compiled configuration: immutable, shared, complete. [`compile`] is the only way to get one,
//! for the loader, the Admin API, the command line and the tests alike.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use crate::auth::{Consumers, Known};
use crate::balance::{Timeouts, Upstream};
use crate::breaker::ApiBreaker;
use crate::catalog::{self, Catalog, Inherited, Plugin, collect, id_of, positional_id};
use crate::config::{Published, Resources, Settings, SettingsWire};
use crate::consumer::{self, Callers};
use crate::deeds::Deeds;
use crate::facts::{Facts, Matched, Params};
use crate::fault::{At, Report};
use crate::gather::Gather as _;
use crate::guard::{Guard, Guards};
use crate::id::Id;
use crate::json;
use crate::kind::Kind;
use crate::limit::{Counters, Groups, LIMIT_COUNT};
use crate::meter::{LaneNumber, Meters, PLACES_MAX, Way};
use crate::plugin;
use crate::proxy_rewrite::ProxyRewrite;
use crate::resource::{PluginMetadataWire, RouteWire, check_reach};
use crate::route::{Conditions, Refusal, Router, RouterKind, Unreached, Witness};
use crate::split::{self, Branch, Mirror, Placed, Rule, Scope, Split};
use crate::wire::{self, Members};

/// Which configuration answered: the ledger's number, or a digest of the document where there is no
/// ledger. Equal text means equal configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision(Box<str>);

impl Revision {
    /// The revision of a ledger.
    pub fn of_ledger(number: u64) -> Self {
        Self(number.to_string().into())
    }

    /// The revision of a document outside a ledger: FNV-1a, 64 bits, of its bytes. It tells documents
    /// apart and is no protection against someone who wants two of them to look alike.
    pub fn of_text(text: &str) -> Self {
        const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
        const PRIME: u64 = 0x0100_0000_01b3;
        let digest = text.bytes().fold(OFFSET, |hash, b| (hash ^ u64::from(b)).wrapping_mul(PRIME));
        Self(format!("{digest:016x}").into())
    }

    /// The revision as it stands in `x-splitway-revision`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A compiled configuration.
#[derive(Debug)]
pub struct Snapshot {
    revision: Revision,
    published: Option<Published>,
    settings: Settings,
    /// Those that have an id.
    upstreams: BTreeMap<Id, Arc<Upstream>>,
    consumers: Consumers,
    /// The guards that consumers have of their own, by their numbers.
    of_consumers: Vec<Box<[Guard]>>,
    counters: Arc<Counters>,
    routes: Vec<Route>,
    router: Router,
    unreached: Vec<Unreached>,
    meters: Meters,
}

/// A route with everything it needs to answer.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) id: Arc<str>,
    name: Option<Box<str>>,
    /// Id and name.
    service: Option<(Box<str>, Option<Box<str>>)>,
    /// What its requests pass before anything else is done with them.
    pub(crate) guards: Guards,
    /// What is changed in its requests before they are split.
    pub(crate) rewrites: Box<[Arc<ProxyRewrite>]>,
    /// What may answer them in place of an upstream, in the order in which it is asked, and counts what
    /// upstreams answer. Those of the global rules are first.
    pub(crate) breakers: Box<[ApiBreaker]>,
    pub(crate) split: Split,
    /// Overrides the upstream's.
    pub(crate) timeout: Option<Box<Timeouts>>,
    /// Whether clients may ask it to speak another protocol.
    pub(crate) upgrades: bool,
    /// Its own number among lanes; those of its branches follow.
    lane: LaneNumber,
}

impl Route {
    /// The number of its lane, or of that of one of its branches.
    pub(crate) fn lane(&self, branch: Option<(&Rule, &Branch)>) -> LaneNumber {
        let branch = branch.and_then(|(rule, branch)| self.split.lane(rule, branch));
        branch.map_or(self.lane, |number| self.lane + 1 + number)
    }

    /// Id and name of its service, if it has one.
    pub(crate) fn service(&self) -> Option<(&str, Option<&str>)> {
        self.service.as_ref().map(|(id, name)| (&**id, name.as_deref()))
    }

    /// Its name, if it has one.
    pub(crate) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// What expressions can ask about it, for a request whose path it takes so.
    pub(crate) fn matched<'a>(&'a self, params: Params<'a>) -> Matched<'a> {
        let service = self.service.as_ref();
        Matched {
            id: &self.id,
            name: self.name.as_deref(),
            service_id: service.map(|(id, _)| &**id),
            service_name: service.and_then(|(_, name)| name.as_deref()),
            params,
        }
    }
}

impl Snapshot {
    /// This snapshot, to serve after `earlier`: the walks of splits that did not change go on, so that
    /// shares stay exact whatever else is changed, breakers keep what they have counted, and what is known
    /// of nodes that are still there stays known.
    #[must_use]
    pub fn following(mut self, earlier: &Self) -> Self {
        // Before the branches that name them: one that now names another has nothing to hand over.
        for (id, upstream) in &self.upstreams {
            upstream.follow(earlier.upstreams.get(id).map(|earlier| &**earlier));
        }
        let by_id: BTreeMap<&str, &Route> =
            earlier.routes.iter().map(|route| (&*route.id, route)).gather();
        let splits = self.routes.iter_mut().map(|route| {
            let before = by_id.get(&*route.id);
            if let Some(before) = before {
                ApiBreaker::follow_all(&mut route.breakers, &before.breakers);
            }
            (&mut route.split, before.map(|earlier| &earlier.split))
        });
        split::follow(splits, earlier.routes.iter().map(|route| &route.split));
        self.follow_meters(earlier, &by_id);
        self.counters = Arc::clone(&earlier.counters);
        self.consumers.follow(&earlier.consumers);
        self
    }

    /// Goes on counting what is counted by the same names.
    fn follow_meters(&mut self, earlier: &Self, earlier_by_id: &BTreeMap<&str, &Route>) {
        let known = |route: &&Route| earlier_by_id.contains_key(&*route.id);
        let by_id: BTreeMap<&str, &Route> =
            self.routes.iter().filter(known).map(|route| (&*route.id, route)).gather();
        let lane = |before: LaneNumber| {
            let (route, place) = earlier.at_lane(before)?;
            let now = by_id.get(&*route.id)?;
            match place {
                None => Some(now.lane),
                Some(place) => Some(now.lane + 1 + now.split.lane_like(&place)?),
            }
        };
        let (routes, consumers) = (&self.routes, &self.consumers);
        let way = |before: LaneNumber, now: LaneNumber, way: Way| {
            let consumer = match way.consumer {
                Some(number) => Some(consumers.number(earlier.consumer_name(number)?)?),
                None => None,
            };
            let Some(node) = way.node else { return Some(Way { node: None, consumer }) };
            let before = earlier.at_lane(before)?.1?.branch.upstream();
            let now = at_lane(routes, now)?.1?.branch.upstream();
            let name = before.nodes().nth(node)?.authority();
            let node = now.nodes().position(|node| node.authority() == name)?;
            Some(Way { node: Some(node), consumer })
        };
        self.meters.follow(&earlier.meters, lane, way);
    }

    /// What is counted while it serves.
    pub fn meters(&self) -> &Meters {
        &self.meters
    }

    /// The route whose lane this is, or that of one of its branches, and which.
    pub(crate) fn at_lane(&self, number: LaneNumber) -> Option<(&Route, Option<Placed<'_>>)> {
        at_lane(&self.routes, number)
    }

    /// Which configuration this is.
    pub fn revision(&self) -> &Revision {
        &self.revision
    }

    /// Which ledger published the document that this was compiled from, if one did.
    pub fn published(&self) -> Option<&Published> {
        self.published.as_ref()
    }

    /// How many routes are enabled.
    pub fn routes_count(&self) -> usize {
        self.routes.len()
    }

    /// Who may call.
    pub(crate) fn consumers(&self) -> &Consumers {
        &self.consumers
    }

    /// The guards that a consumer has of its own.
    pub(crate) fn guards_of(&self, known: Option<Known<'_>>) -> &[Guard] {
        let own = known.and_then(|known| self.of_consumers.get(known.number));
        own.map(|guards| &**guards).unwrap_or_default()
    }

    /// The guards of all consumers that have some of their own.
    pub(crate) fn guards_of_consumers(&self) -> impl Iterator<Item = &Guard> {
        self.of_consumers.iter().flat_map(|guards| &**guards)
    }

    /// What limits have counted.
    pub(crate) fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// Whether responses say which route, branch and revision served them.
    pub(crate) fn proof_headers(&self) -> bool {
        self.settings.proof_headers
    }

    /// The most bytes of a request's body that are read for a decision.
    pub(crate) fn body_max(&self) -> usize {
        self.settings.body_max
    }

    /// The most bytes of a request's body that are kept for another attempt.
    pub(crate) fn replay_max(&self) -> usize {
        self.settings.replay_max
    }

    /// Every upstream, once, each with a name that no other has: its id, or the first route and branch
    /// that send to it.
    pub(crate) fn upstreams<'s>(
        &'s self,
    ) -> impl Iterator<Item = (Cow<'s, str>, &'s Arc<Upstream>)> {
        let mut seen: BTreeSet<_> = self.upstreams.values().map(Arc::as_ptr).gather();
        let named = self.upstreams.iter();
        let named = named.map(|(id, upstream)| (Cow::Borrowed(id.as_str()), upstream));
        let branches = self.routes.iter().flat_map(|route| {
            let rules = route.split.rules();
            let all = |rule: &'s Rule| {
                rule.branches.list().iter().chain(rule.mirror.as_deref().and_then(Mirror::own))
            };
            rules.flat_map(all).map(move |branch| (route, branch))
        });
        // Rules of one route may have branches of one name.
        let mut names = BTreeSet::new();
        let inline = branches.filter_map(move |(route, branch)| {
            let upstream = &branch.balancer.upstream;
            if upstream.nodes().len() == 0 || !seen.insert(Arc::as_ptr(upstream)) {
                return None;
            }
            let name = format!("{}/{}", route.id, branch.name);
            let numbered = (2..).map(|number| format!("{name}/{number}"));
            let name =
                std::iter::once(name.clone()).chain(numbered).find(|it| !names.contains(it))?;
            names.insert(name.clone());
            Some((Cow::Owned(name), upstream))
        });
        named.chain(inline)
    }

    /// The enabled routes, in the order of the document.
    pub(crate) fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// What one of them takes.
    pub(crate) fn conditions_of(&self, route: &Route) -> Option<&Conditions> {
        let number = self.routes.partition_point(|it| it.lane < route.lane);
        self.conditions().get(number)
    }

    /// The name of a consumer by its number.
    pub(crate) fn consumer_name(&self, number: usize) -> Option<&str> {
        self.consumers.name(number)
    }

    /// Why a route was not even asked about a request.
    pub(crate) fn refusal(&self, route: usize, facts: &Facts<'_>) -> Refusal {
        self.router.refusal(route, facts)
    }

    /// What the enabled routes take, in the same order.
    pub(crate) fn conditions(&self) -> &[Conditions] {
        self.router.conditions()
    }

    /// How a route is found.
    pub(crate) fn router_kind(&self) -> RouterKind {
        self.settings.router
    }

    /// The routes that nothing is left for.
    pub(crate) fn unreached(&self) -> &[Unreached] {
        &self.unreached
    }

    /// The number of the route that takes a request, and what the parameters in its path stand for.
    pub(crate) fn find(
        &self,
        facts: &Facts<'_>,
        witness: &mut (impl Witness + ?Sized),
    ) -> Option<(usize, Params<'_>)> {
        let found = self.router.find(facts, witness)?;
        Some((found.route, found.params))
    }
}

/// Compiles the resources of a document. A snapshot comes out only if there is no fault; the report
/// holds all of them. `phase` is where the walks of the splits start: 0 for a known order, a random
/// number where many short-lived isolates serve. The revision of a document that a ledger published is
/// the ledger's; of any other it is `revision`.
pub fn compile(
    resources: &Resources<'_>,
    revision: Revision,
    phase: u64,
    report: &mut Report,
) -> Option<Snapshot> {
    let faults_before = report.faults.len();
    let settings = compile_settings(resources.settings, report);
    let catalog = Catalog::compile(resources, phase, report);
    let (consumers, of_consumers) = consumer::compile_all(resources, catalog.dangling, report);
    collect(resources, Kind::PluginMetadata, report, |value, at, report| {
        if value.get("id").is_none() {
            report.fault(at, "`id` is missing, the name of a plugin");
        }
        check_plugin_metadata(value, at, report)
    });
    check_groups(resources, report);
    let compiled = compile_routes(resources.list(Kind::Route), settings.router, &catalog, report);
    if report.faults.len() > faults_before {
        return None;
    }
    let (places, conditions, mut routes) = compiled;
    let meters = meters(&mut routes, of_consumers.len());
    let (router, unreached) = Router::new(settings.router, conditions);
    warn_of_unreached(&unreached, &places, &routes, report);
    let published = resources.published.clone();
    let revision = published.as_ref().map_or(revision, |it| Revision::of_ledger(it.revision));
    let upstreams = catalog.into_upstreams();
    let counters = Arc::default();
    Some(Snapshot {
        revision,
        published,
        settings,
        upstreams,
        consumers,
        of_consumers,
        counters,
        routes,
        router,
        unreached,
        meters,
    })
}

/// Gives routes the numbers of their lanes; counters for all of them, where there are so many consumers.
fn meters(routes: &mut [Route], consumers: usize) -> Meters {
    let (mut lanes, mut flows) = (0, 0_u64);
    for route in routes {
        route.lane = lanes;
        lanes += 1 + route.split.width();
        // More than the largest table has places for need not be looked at.
        let count = |(_, place): (_, Placed<'_>)| 1 + place.branch.upstream().nodes().len() as u64;
        let most = PLACES_MAX as u64;
        if flows < most {
            flows += 1 + route.split.placed().take(PLACES_MAX).map(count).sum::<u64>();
        }
    }
    Meters::new(lanes, flows.saturating_mul(1 + consumers as u64))
}

fn at_lane(routes: &[Route], number: LaneNumber) -> Option<(&Route, Option<Placed<'_>>)> {
    let behind = routes.partition_point(|route| route.lane <= number);
    let route = routes.get(behind.checked_sub(1)?)?;
    let within = number - route.lane;
    match within.checked_sub(1) {
        None => Some((route, None)),
        Some(branch) => Some((route, Some(route.split.at_lane(branch)?))),
    }
}

/// Checks that limits that count together are told the same.
fn check_groups(resources: &Resources<'_>, report: &mut Report) {
    let mut groups = Groups::default();
    let root = At::Root;
    for kind in Kind::ALL {
        for (index, value) in resources.list(kind).iter().enumerate() {
            let (list, place) = resources.place(kind, index);
            let list = root.key(list);
            let (at, name) = (list.index(place), LIMIT_COUNT);
            if let Some(plugin) = value.get("plugins").and_then(|plugins| plugins.get(name)) {
                groups.check(plugin, at.key("plugins").key(name), report);
            }
        }
    }
}

/// Checks one resource by itself. The other resources that it names are not looked for.
pub fn check(kind: Kind, value: &Value, report: &mut Report) {
    let catalog = Catalog::empty();
    let at = At::Root;
    match kind {
        Kind::Route => drop(compile_route(value, 0, None, &catalog, at, report)),
        Kind::Service => drop(catalog.service(value, at, report)),
        Kind::Upstream => drop(catalog::upstream(value, at, report)),
        Kind::PluginConfig => drop(catalog.plugin_config(value, at, report)),
        Kind::Consumer => {
            drop(Callers::default().consumer(value, at, report));
        }
        Kind::Credential => {
            drop(Callers::default().credential(value, at, report));
        }
        Kind::ConsumerGroup => drop(consumer::check_group(value, at, report)),
        Kind::GlobalRule => drop(catalog.global_rule(value, at, report)),
        Kind::PluginMetadata => drop(check_plugin_metadata(value, at, report)),
    }
}

/// Parses and compiles a whole document in JSON.
pub fn compile_json(text: &str, phase: u64, report: &mut Report) -> Option<Snapshot> {
    match json::parse(text.as_bytes()) {
        Ok(document) => {
            let faults_before = report.faults.len();
            let resources = Resources::of(&document, report);
            let snapshot = compile(&resources, Revision::of_text(text), phase, report);
            snapshot.filter(|_| report.faults.len() == faults_before)
        }
        Err(error) => {
            report.fault(At::Root, format!("not JSON: {error}"));
            None
        }
    }
}

fn compile_settings(settings: Option<&Value>, report: &mut Report) -> Settings {
    let at = At::Root;
    let at = at.key("settings");
    let compile = |wire: SettingsWire, report: &mut Report| Some(wire.compile(at, report));
    settings.and_then(|value| wire::read(value, at, report, compile)).unwrap_or_default()
}

fn check_plugin_metadata(value: &Value, at: At<'_>, report: &mut Report) -> Option<()> {
    wire::read(value, at, report, |wire: PluginMetadataWire, report| {
        if let Some(name) = wire.id {
            plugin::check_metadata_id(&name, at.key("id"), report);
        }
        Some(())
    })
}

/// The routes that are there and enabled, with their places in the list and what they take.
fn compile_routes(
    values: &[&Value],
    router: RouterKind,
    catalog: &Catalog<'_>,
    report: &mut Report,
) -> (Vec<usize>, Vec<Conditions>, Vec<Route>) {
    let count = values.len();
    let (mut places, mut conditions, mut routes) =
        (Vec::with_capacity(count), Vec::with_capacity(count), Vec::with_capacity(count));
    let mut ids = BTreeSet::new();
    let root = At::Root;
    let list = root.key(Kind::Route.plural());
    for (index, value) in values.iter().enumerate() {
        let at = list.index(index);
        if let (_, Some(id)) = id_of(Kind::Route, value, index)
            && let Some(id) = ids.replace(id)
        {
            report.fault(at.key("id"), format!("another route has the id `{}`", id.as_str()));
        }
        let compiled = compile_route(value, index, Some(router), catalog, at, report);
        if let Some((condition, route)) = compiled {
            places.push(index);
            conditions.push(condition);
            routes.push(route);
        }
    }
    (places, conditions, routes)
}

/// Says which routes other routes leave nothing for.
fn warn_of_unreached(
    unreached: &[Unreached],
    places: &[usize],
    routes: &[Route],
    report: &mut Report,
) {
    let list = At::Root;
    let list = list.key(Kind::Route.plural());
    for Unreached { route, by } in unreached {
        let Some(place) = places.get(*route) else { continue };
        let ids = by.iter().filter_map(|by| routes.get(*by));
        let ids: Vec<String> = ids.map(|route| format!("`{}`", route.id)).collect();
        let what = match &ids[..] {
            [id] => format!("never reached: route {id} takes all of it"),
            ids => format!("never reached: routes {} take all of it", ids.join(", ")),
        };
        report.warn(list.index(*place), what);
    }
}

/// The route and what it takes, unless it is disabled or has faults. What a route says itself goes
/// before what its plugin config says, and that before its service.
fn compile_route(
    value: &Value,
    index: usize,
    router: Option<RouterKind>,
    catalog: &Catalog<'_>,
    at: At<'_>,
    report: &mut Report,
) -> Option<(Conditions, Route)> {
    wire::read(value, at, report, |wire: RouteWire, report| {
        let is_enabled = wire.is_enabled();
        let mut conditions = wire.conditions(router, at, report);
        let timeout = wire.timeout.map(|timeout| timeout.compile(at.key("timeout"), report));
        let (service, config) = (wire.service_id.as_ref(), wire.plugin_config_id.as_ref());
        let inherited = catalog.inherited(service, config, at, report);
        if conditions.hosts.is_empty() {
            conditions.hosts = inherited.hosts.to_vec();
        }
        check_reach(&conditions, router, at, report);
        let own = catalog.own(wire.upstream_id.as_ref(), wire.upstream.as_ref(), at, report);
        let own = own.or_else(|| inherited.upstream.clone());
        let id = wire.id.clone().unwrap_or_else(|| positional_id(index));
        let salt = catalog::salt(Kind::Route, id.as_str());
        let methods = &conditions.methods;
        let scope = Scope { salt: &salt, methods, ..catalog.scope(own.as_ref()) };
        let (global, plugins) = (&catalog.global, wire.plugins.as_ref());
        let (guards, rewrites, breakers, split) =
            compile_plugins(plugins, &inherited, global, scope, at, report)?;
        // A resource by itself may have its id elsewhere.
        if wire.id.is_none() && router.is_some() && split.depends_on_id(&salt) {
            report.warn(at, "`sticky` or `override` of a route without an `id`: its keys and tokens change when routes are inserted before it");
        }
        let (name, upgrades) = (wire.name(), wire.upgrades().unwrap_or(inherited.upgrades));
        let service =
            service.map(|id| (id.as_str().into(), inherited.service_name.map(Into::into)));
        let id = id.as_str().into();
        is_enabled.then_some((
            conditions,
            Route {
                id,
                name,
                service,
                guards,
                rewrites,
                breakers,
                split,
                timeout: timeout.map(Box::new),
                upgrades,
                lane: 0,
            },
        ))
    })
}

/// What the plugins of a route make of it.
type Compiled = (Guards, Box<[Arc<ProxyRewrite>]>, Box<[ApiBreaker]>, Split);

/// What is done to the requests of a route, by its own plugins, those it inherits and the global ones.
fn compile_plugins(
    plugins: Option<&Members>,
    inherited: &Inherited<'_, '_>,
    global: &[Plugin<'_>],
    scope: Scope<'_>,
    at: At<'_>,
    report: &mut Report,
) -> Option<Compiled> {
    let faults_before = report.faults.len();
    let mut deeds = match plugins {
        Some(list) => Deeds::compile(list, Kind::Route, scope, at.key("plugins"), report),
        None => Deeds::default(),
    };
    for (plugin, key) in &inherited.plugins {
        if !plugins.is_some_and(|list| list.contains_key(plugin.name())) {
            plugin.act(&mut deeds, scope, at.key(key), report);
        }
    }
    let mut of_all = Deeds::default();
    for plugin in global {
        plugin.act(&mut of_all, scope, at, report);
    }
    let (guards, deeds) = deeds.after(of_all);
    if report.faults.len() > faults_before || inherited.is_faulty {
        return None;
    }
    if inherited.is_gone {
        // Nobody knows what else the route would have had from there, so that nothing goes anywhere.
        let nowhere = Split::new(Vec::new(), Some(Upstream::gone()), scope.phase);
        let (rewrites, breakers) = Default::default();
        return nowhere.ok().map(|split| (Guards::default(), rewrites, breakers, split));
    }
    if deeds.sections.is_empty() && scope.own.is_none() {
        report.fault(at, "the route has neither `upstream`, `upstream_id` nor a split");
        return None;
    }
    if scope.own.is_none() && !deeds.sections.iter().any(|section| section.takes_all()) {
        report.warn(at, "a request that no rule takes has no upstream: it is answered 503");
    }
    // An upstream with faults of its own is reported there.
    let own = match scope.own {
        Some(own) => Some(own.clone()?),
        None => None,
    };
    let split = Split::new(deeds.sections, own, scope.phase).ok()?;
    let breakers = deeds.breakers.iter().map(ApiBreaker::for_route).collect();
    Some((guards, deeds.rewrites.into(), breakers, split))
}

#[cfg(test)]
mod tests;
