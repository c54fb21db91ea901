//! The compiled configuration: immutable, shared, complete. [`compile`] is the only way to get one,
//! for the loader, the Admin API, the command line and the tests alike.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::balance::{Upstream, UpstreamWire};
use crate::config::{Resources, RouteWire, SettingsWire};
use crate::fault::{At, Report, did_you_mean};
use crate::id::Id;
use crate::route::{Conditions, Router};
use crate::split::{Scope, Split, TrafficSplitWire, named};
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
    /// Which configuration this is.
    pub fn revision(&self) -> &Revision {
        &self.revision
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
/// number where many short-lived isolates serve.
pub fn compile(
    resources: &Resources<'_>,
    revision: Revision,
    phase: u64,
    report: &mut Report,
) -> Option<Snapshot> {
    let faults_before = report.faults.len();
    let proof_headers = compile_settings(resources.settings, report);
    let upstreams = compile_upstreams(&resources.upstreams, report);
    let (conditions, routes) = compile_routes(&resources.routes, &upstreams, phase, report);
    if report.faults.len() > faults_before {
        return None;
    }
    let router = Router::new(conditions.iter().enumerate());
    Some(Snapshot { revision, proof_headers, routes, router })
}

/// Parses and compiles a whole document in JSON.
pub fn compile_json(text: &str, phase: u64, report: &mut Report) -> Option<Snapshot> {
    match serde_json::from_str::<Value>(text) {
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
    let read =
        settings.and_then(|value| wire::read::<SettingsWire>(value, at.key("settings"), report));
    read.and_then(|settings| settings.proof_headers).unwrap_or(true)
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
        let id = value.get("id").map_or_else(
            || Some(positional_id(index)),
            |id| wire::read::<Id>(id, at.key("id"), &mut Report::default()),
        );
        let wire = wire::read::<UpstreamWire>(value, at, report);
        let upstream = wire.and_then(|wire| Upstream::compile(&wire, at, report)).map(Arc::new);
        let Some(id) = id else { continue };
        if upstreams.contains_key(&id) {
            report.fault(at.key("id"), format!("another upstream has the id `{}`", id.as_str()));
        }
        upstreams.insert(id, upstream);
    }
    upstreams
}

fn compile_routes(
    values: &[&Value],
    upstreams: &BTreeMap<Id, Option<Arc<Upstream>>>,
    phase: u64,
    report: &mut Report,
) -> (Vec<Conditions>, Vec<Route>) {
    let (mut conditions, mut routes) = (Vec::new(), Vec::new());
    let mut ids = BTreeSet::new();
    let root = At::Root;
    let list = root.key("routes");
    for (index, value) in values.iter().enumerate() {
        let at = list.index(index);
        let Some(wire) = wire::read::<RouteWire>(value, at, report) else { continue };
        let id = wire.id.clone().unwrap_or_else(|| positional_id(index));
        if !ids.insert(id.clone()) {
            report.fault(at.key("id"), format!("another route has the id `{}`", id.as_str()));
        }
        let is_enabled = wire.is_enabled();
        let condition = wire.conditions(at, report);
        let route = compile_route(wire, &id, upstreams, phase, at, report);
        if let Some(route) = route.filter(|_| is_enabled) {
            conditions.push(condition);
            routes.push(route);
        }
    }
    (conditions, routes)
}

/// The id of a resource that has none, as in APISIX's standalone file.
fn positional_id(index: usize) -> Id {
    Id::parse(&format!("arr_{}", index + 1)).expect("letters, `_` and digits are an id")
}

fn compile_route(
    wire: RouteWire,
    id: &Id,
    upstreams: &BTreeMap<Id, Option<Arc<Upstream>>>,
    phase: u64,
    at: At<'_>,
    report: &mut Report,
) -> Option<Route> {
    let timeout = wire.timeout.map(|timeout| timeout.compile(at.key("timeout"), report));
    let own = own_upstream(&wire, upstreams, at, report);
    let scope = Scope { upstreams, own: own.as_ref(), phase };
    let faults_before = report.faults.len();
    let split = split_plugin(wire.plugins, at, report)
        .and_then(|(plugin, name)| plugin.compile(scope, at.key("plugins").key(&name), report));
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
    upstreams: &BTreeMap<Id, Option<Arc<Upstream>>>,
    at: At<'_>,
    report: &mut Report,
) -> Option<Option<Arc<Upstream>>> {
    match (&wire.upstream_id, &wire.upstream) {
        (Some(id), beside) => {
            if beside.is_some() {
                report.warn(at.key("upstream"), "not used: `upstream_id` beside it wins");
            }
            Some(named(id, upstreams, at.key("upstream_id"), report))
        }
        (None, Some(wire)) => {
            Some(Upstream::compile(wire, at.key("upstream"), report).map(Arc::new))
        }
        (None, None) => None,
    }
}

/// The configuration of `traffic-split`, the one plugin there is; others are faults.
fn split_plugin(
    plugins: Option<serde_json::Map<String, Value>>,
    at: At<'_>,
    report: &mut Report,
) -> Option<(TrafficSplitWire, String)> {
    const NAME: &str = "traffic-split";
    let mut split = None;
    let plugins_at = at.key("plugins");
    for (name, value) in plugins.into_iter().flatten() {
        let at = plugins_at.key(&name);
        if name == NAME {
            split = wire::read::<TrafficSplitWire>(&value, at, report).map(|wire| (wire, name));
        } else {
            let hint = did_you_mean(&name, &[NAME]);
            report.fault(at, format!("unknown plugin [{name}]{hint}"));
        }
    }
    split
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Fault;
    use serde_json::json;

    fn check(document: &Value, faults: &[&str], warnings: &[&str]) {
        let mut report = Report::default();
        let snapshot = compile_json(&document.to_string(), 0, &mut report);
        let texts = |list: &[Fault]| list.iter().map(Fault::to_string).collect::<Vec<_>>();
        assert_eq!(texts(&report.faults), faults, "faults of {document}");
        assert_eq!(texts(&report.warnings), warnings, "warnings of {document}");
        assert_eq!(snapshot.is_some(), faults.is_empty());
    }

    fn upstream() -> Value {
        json!({"nodes": {"127.0.0.1:80": 1}, "pass_host": "node"})
    }

    fn route_with_split(split: &Value) -> Value {
        json!({"routes": [{"uri": "/*", "upstream": upstream(), "plugins": {"traffic-split": split}}]})
    }

    const AT: &str = "/routes/0/plugins/traffic-split";

    #[test]
    fn the_rule_form_compiles_with_a_warning() {
        let rule =
            |uri: &str| json!({"weight": 50, "upstream": upstream(), "rewrite": {"uri": uri}});
        check(
            &route_with_split(&json!({"rules": [rule("/v1/chat"), rule("/v2/chat")]})),
            &[],
            &[&format!(
                "{AT}/rules: APISIX ignores `weight`, `upstream` and `rewrite` of a rule and sends 100 % to the route's upstream, unrewritten"
            )],
        );
    }

    #[test]
    fn every_fault_of_a_document_is_reported_at_once() {
        check(
            &json!({
                "routes": [
                    {"id": "a", "uri": "no-slash", "upstream_id": "u2", "methods": ["GTE"]},
                    {"id": "a", "uris": [], "upstream": {"nodes": {"bad host": 1}, "pass_host": "node"}},
                    {"uri": "/c", "plugins": {"traffic-spilt": {}}},
                    {"uri": "/d", "upstream": "ftp://x", "vars": []},
                ],
                "upstreams": [{"id": "u1", "nodes": {}, "type": "chash", "pass_host": "node"}],
                "setings": {},
                "services": [{}],
            }),
            &[
                "/services: APISIX has this list, Splitway does not support it yet",
                "/setings: unknown key; did you mean `settings`?",
                "/upstreams/0/type: APISIX has this type, Splitway does not support it yet",
                "/upstreams/0/nodes: expected at least one node",
                "/routes/0: the path `no-slash` does not start with `/`",
                "/routes/0/methods/0: unknown method; did you mean `GET`?",
                "/routes/0/upstream_id: there is no upstream `u2`; did you mean `u1`?",
                "/routes/1/id: another route has the id `a`",
                "/routes/1/uris: expected at least one",
                "/routes/1/upstream/nodes/bad host: expected a host name or address and a port from 1 to 65535",
                "/routes/1/upstream/nodes: expected at least one node",
                "/routes/2/plugins/traffic-spilt: unknown plugin [traffic-spilt]; did you mean `traffic-split`?",
                "/routes/3/vars: APISIX has this key, Splitway does not support it yet",
            ],
            &[],
        );
    }

    #[test]
    fn splits_that_cannot_work_are_refused() {
        let mixed = json!({"rules": [{"weight": 1}, {"weighted_upstreams": [{}]}]});
        check(
            &route_with_split(&mixed),
            &[&format!(
                "{AT}/rules: rules with `weighted_upstreams` and rules that are branches themselves cannot be mixed"
            )],
            &[],
        );
        let idle = json!({"rules": [{"weighted_upstreams": [{"weight": 0}]}]});
        check(
            &route_with_split(&idle),
            &[&format!(
                "{AT}/rules/0/weighted_upstreams: all weights are 0: no branch can be picked"
            )],
            &[],
        );
        let twins =
            json!({"rules": [{"weighted_upstreams": [{"name": "b1"}, {"upstream": upstream()}]}]});
        check(
            &route_with_split(&twins),
            &[&format!(
                "{AT}/rules/0/weighted_upstreams/1: another branch of this split is named `b1`"
            )],
            &[&format!(
                "{AT}/rules/0/weighted_upstreams/0: APISIX ignores `name`, `rewrite` and `headers` of a branch"
            )],
        );
        let matching = json!({"rules": [{"match": [{"vars": []}], "weight": 1}]});
        check(
            &route_with_split(&matching),
            &[&format!(
                "{AT}/rules/0/match/0: APISIX has this key, Splitway does not support it yet"
            )],
            &[],
        );
    }

    #[test]
    fn branches_may_not_edit_what_frames_a_message() {
        let branch = json!({
            "headers": {"set": {"Host": "a", "x-v": "2\r\n", "x-w": "$arg_a"}, "remove": ["te", "x y"]},
            "rewrite": {"uri": "v1", "regex_uri": []},
        });
        let split = json!({"rules": [{"weighted_upstreams": [branch]}]});
        let at = format!("{AT}/rules/0/weighted_upstreams/0");
        check(
            &route_with_split(&split),
            &[&format!(
                "{at}/rewrite/regex_uri: APISIX has this key, Splitway does not support it yet"
            )],
            &[],
        );
        let branch = json!({
            "headers": {"set": {"Host": "a", "x-v": "2\r\n", "x-w": "$arg_a"}, "remove": ["te", "x y"]},
            "rewrite": {"uri": "v1"},
        });
        let split = json!({"rules": [{"weighted_upstreams": [branch]}]});
        check(
            &route_with_split(&split),
            &[
                &format!("{at}/rewrite/uri: expected a path that starts with `/`"),
                &format!(
                    "{at}/headers/set/Host: this header belongs to the connection and cannot be edited"
                ),
                &format!("{at}/headers/set/x-v: expected visible ASCII as header value"),
                &format!("{at}/headers/set/x-w: variables (`$`) are not supported yet"),
                &format!(
                    "{at}/headers/remove/0: this header belongs to the connection and cannot be edited"
                ),
                &format!("{at}/headers/remove/1: expected a header name"),
            ],
            &[&format!("{at}: APISIX ignores `name`, `rewrite` and `headers` of a branch")],
        );
    }

    #[test]
    fn what_apisix_or_the_edge_does_differently_is_a_warning() {
        check(
            &json!({"routes": [{"id": "r", "uri": "/", "upstream": "https://api.example.com/"}]}),
            &[],
            &["/routes/0/upstream: APISIX takes an upstream object here, not a URL"],
        );
        check(
            &json!({"routes": [{"uri": "/", "upstream": {"nodes": {"a": 1}}}]}),
            &[],
            &[
                "/routes/0/upstream/pass_host: at the edge `Host` is always the node's name (\"node\"): a Worker cannot send another",
            ],
        );
        check(
            &route_with_split(&json!({"rules": []})),
            &[],
            &[&format!("{AT}/rules: no rules: the route's upstream serves; APISIX answers 500")],
        );
    }

    #[test]
    fn text_that_is_no_document_is_one_fault() {
        for text in ["", "{", "[1]", "null", "{\"routes\": 1}"] {
            let mut report = Report::default();
            assert!(compile_json(text, 0, &mut report).is_none(), "{text}");
            assert_eq!(report.faults.len(), 1, "{text}: {:?}", report.faults);
        }
        let nested = "[".repeat(100_000);
        assert!(compile_json(&nested, 0, &mut Report::default()).is_none());
    }
}
