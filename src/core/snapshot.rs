//! The compiled configuration: immutable, shared, complete. [`compile`] is the only way to get one,
//! for the loader, the Admin API, the command line and the tests alike.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::balance::{Upstream, UpstreamWire};
use crate::config::{Published, Resources, RouteWire, SettingsWire};
use crate::fault::{At, Dangling, Fault, Report, did_you_mean};
use crate::id::Id;
use crate::json;
use crate::kind::Kind;
use crate::route::{Conditions, Router};
use crate::split::{PLUGIN, Scope, Split, TrafficSplitWire};
use crate::wire;

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
    proof_headers: bool,
    routes: Vec<Route>,
    router: Router,
}

/// A route with everything it needs to answer.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) id: Box<str>,
    pub(crate) split: Split,
    /// Overrides the upstream's.
    pub(crate) timeout: Option<Duration>,
}

impl Snapshot {
    /// This snapshot, to serve after `earlier`: the walks of splits that did not change go on, so that
    /// shares stay exact whatever else is changed.
    #[must_use]
    pub fn following(mut self, earlier: &Self) -> Self {
        let by_id: BTreeMap<&str, &Route> =
            earlier.routes.iter().map(|route| (&*route.id, route)).collect();
        for route in &mut self.routes {
            if let Some(earlier) = by_id.get(&*route.id) {
                route.split.follow(&earlier.split);
            }
        }
        self
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

    /// Whether responses say which route, branch and revision served them.
    pub(crate) fn proof_headers(&self) -> bool {
        self.proof_headers
    }

    /// The route that takes a request for `host` (without port) and `path` (as routes match it).
    pub(crate) fn find(&self, method: &str, host: &str, path: &[u8]) -> Option<&Route> {
        self.routes.get(self.router.find(method, host, path)?)
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
    let proof_headers = compile_settings(resources.settings, report);
    refuse_unsupported(resources, report);
    let upstreams = compile_upstreams(resources.list(Kind::Upstream), report);
    let dangling = if resources.is_tolerant { Dangling::Tolerated } else { Dangling::Refused };
    let place = Place { upstreams: &upstreams, phase, dangling };
    let (conditions, routes) = compile_routes(resources.list(Kind::Route), place, report);
    if report.faults.len() > faults_before {
        return None;
    }
    let router = Router::new(conditions.iter().enumerate());
    let published = resources.published.clone();
    let revision = published.as_ref().map_or(revision, |it| Revision::of_ledger(it.revision));
    Some(Snapshot { revision, published, proof_headers, routes, router })
}

/// Checks one resource by itself. The other resources that it names are not looked for.
pub fn check(kind: Kind, value: &Value, report: &mut Report) {
    let upstreams = BTreeMap::new();
    let place = Place { upstreams: &upstreams, phase: 0, dangling: Dangling::Ignored };
    match kind {
        Kind::Route => {
            wire::read(value, At::Root, report, |wire: RouteWire, report| {
                wire.conditions(At::Root, report);
                compile_route(wire, &positional_id(0), place, At::Root, report)
            });
        }
        Kind::Upstream => {
            wire::read(value, At::Root, report, |wire: UpstreamWire, report| {
                Upstream::compile(&wire, At::Root, report)
            });
        }
        Kind::Service
        | Kind::Consumer
        | Kind::Credential
        | Kind::ConsumerGroup
        | Kind::GlobalRule
        | Kind::PluginConfig
        | Kind::PluginMetadata => report.fault(At::Root, UNSUPPORTED),
    }
}

const UNSUPPORTED: &str = "APISIX has such resources, Splitway does not support them yet";

/// Lists that this version has no behaviour for; harmless while empty.
fn refuse_unsupported(resources: &Resources<'_>, report: &mut Report) {
    let is_supported = |kind: &Kind| [Kind::Route, Kind::Upstream].contains(kind);
    for kind in Kind::ALL.into_iter().filter(|kind| !is_supported(kind)) {
        for index in 0..resources.list(kind).len() {
            report.faults.push(Fault::new(resources.at(kind, index), UNSUPPORTED));
        }
    }
}

/// What a route is compiled among.
#[derive(Clone, Copy)]
struct Place<'p> {
    upstreams: &'p BTreeMap<Id, Option<Arc<Upstream>>>,
    phase: u64,
    dangling: Dangling,
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

fn compile_settings(settings: Option<&Value>, report: &mut Report) -> bool {
    let at = At::Root;
    let at = at.key("settings");
    let proof_headers = |settings: SettingsWire, _: &mut Report| settings.proof_headers;
    settings.and_then(|value| wire::read(value, at, report, proof_headers)).unwrap_or(true)
}

/// The upstreams by id. One with faults is there without a value, so that those who name it do not
/// report it as missing.
fn compile_upstreams(
    values: &[&Value],
    report: &mut Report,
) -> BTreeMap<Id, Option<Arc<Upstream>>> {
    let mut upstreams = BTreeMap::new();
    let root = At::Root;
    let list = root.key("upstreams");
    for (index, value) in values.iter().enumerate() {
        let at = list.index(index);
        let compile =
            |wire: UpstreamWire, report: &mut Report| Upstream::compile(&wire, at, report);
        let upstream = wire::read(value, at, report, compile).map(Arc::new);
        let Some(id) = id_of(value, index) else { continue };
        if upstreams.contains_key(&id) {
            report.fault(at.key("id"), format!("another upstream has the id `{}`", id.as_str()));
        }
        upstreams.insert(id, upstream);
    }
    upstreams
}

/// The id of a resource, unless it is none, which is reported where the resource is read.
fn id_of(value: &Value, index: usize) -> Option<Id> {
    match value.get("id") {
        Some(id) => wire::read(id, At::Root, &mut Report::default(), |id, _| Some(id)),
        None => Some(positional_id(index)),
    }
}

fn compile_routes(
    values: &[&Value],
    place: Place<'_>,
    report: &mut Report,
) -> (Vec<Conditions>, Vec<Route>) {
    let (mut conditions, mut routes) = (Vec::new(), Vec::new());
    let mut ids = BTreeSet::new();
    let root = At::Root;
    let list = root.key("routes");
    for (index, value) in values.iter().enumerate() {
        let at = list.index(index);
        let compiled = wire::read(value, at, report, |wire: RouteWire, report| {
            let id = wire.id.clone().unwrap_or_else(|| positional_id(index));
            if !ids.insert(id.clone()) {
                report.fault(at.key("id"), format!("another route has the id `{}`", id.as_str()));
            }
            let is_enabled = wire.is_enabled();
            let condition = wire.conditions(at, report);
            let route = compile_route(wire, &id, place, at, report)?;
            is_enabled.then_some((condition, route))
        });
        if let Some((condition, route)) = compiled {
            conditions.push(condition);
            routes.push(route);
        }
    }
    (conditions, routes)
}

/// The id of a resource that has none, as in APISIX's standalone file.
pub(crate) fn positional_id(index: usize) -> Id {
    Id::parse(&format!("arr_{}", index + 1)).expect("letters, `_` and digits are an id")
}

fn compile_route(
    wire: RouteWire,
    id: &Id,
    place: Place<'_>,
    at: At<'_>,
    report: &mut Report,
) -> Option<Route> {
    let timeout = wire.timeout.map(|timeout| timeout.compile(at.key("timeout"), report));
    let Place { upstreams, phase, dangling } = place;
    let scope = Scope { upstreams, own: None, phase, dangling };
    let own = own_upstream(&wire, scope, at, report);
    let scope = Scope { own: own.as_ref(), ..scope };
    let faults_before = report.faults.len();
    let split = compile_plugins(wire.plugins, scope, at.key("plugins"), report);
    if report.faults.len() > faults_before {
        return None;
    }
    let split = match (split, own) {
        (Some(split), _) => split,
        (None, Some(own)) => Split::whole(own?, phase).ok()?,
        (None, None) => {
            report.fault(at, "the route has neither `upstream`, `upstream_id` nor a split");
            return None;
        }
    };
    Some(Route { id: id.as_str().into(), split, timeout })
}

/// Whether the route has an upstream, and the upstream unless it has faults of its own.
fn own_upstream(
    wire: &RouteWire,
    scope: Scope<'_>,
    at: At<'_>,
    report: &mut Report,
) -> Option<Option<Arc<Upstream>>> {
    match (&wire.upstream_id, &wire.upstream) {
        (Some(id), beside) => {
            if beside.is_some() {
                report.warn(at.key("upstream"), "not used: `upstream_id` beside it wins");
            }
            Some(scope.named(id, at.key("upstream_id"), report))
        }
        (None, Some(wire)) => {
            Some(Upstream::compile(wire, at.key("upstream"), report).map(Arc::new))
        }
        (None, None) => None,
    }
}

/// The split that the plugin `traffic-split` describes. It is the one plugin there is; others are
/// faults.
fn compile_plugins(
    plugins: Option<serde_json::Map<String, Value>>,
    scope: Scope<'_>,
    at: At<'_>,
    report: &mut Report,
) -> Option<Split> {
    let mut split = None;
    for (name, value) in plugins.into_iter().flatten() {
        let at = at.key(&name);
        if name == PLUGIN {
            let compile =
                |wire: TrafficSplitWire, report: &mut Report| wire.compile(scope, at, report);
            split = wire::read(&value, at, report, compile);
        } else {
            report.fault(at, format!("unknown plugin [{name}]{}", did_you_mean(&name, &[PLUGIN])));
        }
    }
    split
}
