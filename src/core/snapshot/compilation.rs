//! How a document becomes a snapshot.

use std::sync::Arc;

use serde_json::Value;

use super::listed::{Listed, Turn};
use super::route::{compile_route, compile_routes, warn_of_unreached};
use super::{Revision, Route, Snapshot};
use crate::catalog::{self, Catalog, collect};
use crate::config::{Resources, Settings, SettingsWire};
use crate::consumer::{self, Callers};
use crate::fault::{At, Report};
use crate::json;
use crate::kind::Kind;
use crate::limit::Groups;
use crate::meter::{Meters, PLACES_MAX};
use crate::plugin;
use crate::resource::PluginMetadataWire;
use crate::route::Router;
use crate::split::Placed;
use crate::wire;

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
    let routes = Listed::Values(resources.list(Kind::Route));
    compile_listed(resources, routes, (revision, phase), report)
}

fn compile_listed(
    resources: &Resources<'_>,
    routes: Listed<'_>,
    (revision, phase): (Revision, u64),
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
    let mut groups = compile_groups(resources, report);
    let compiled = compile_routes(routes, settings.router, &catalog, &mut groups, report)?;
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

/// Checks that limits that count together are told the same, as far as there are values.
fn compile_groups(resources: &Resources<'_>, report: &mut Report) -> Groups {
    let mut groups = Groups::default();
    let root = At::Root;
    for kind in Kind::ALL {
        for (index, value) in resources.list(kind).iter().enumerate() {
            let (list, place) = resources.place(kind, index);
            let list = root.key(list);
            groups.check_resource(value, list.index(place), report);
        }
    }
    groups
}

/// Checks one resource by itself. The other resources that it names are not looked for.
pub fn check(kind: Kind, value: &Value, report: &mut Report) {
    let catalog = Catalog::empty();
    let at = At::Root;
    match kind {
        Kind::Route => {
            let turn = Turn { index: 0, value, number: None };
            drop(compile_route(turn, None, &catalog, at, report));
        }
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
    // What there is to say about faults is found where all of the document is held.
    compile_faultless(text, phase, report).or_else(|| compile_whole(text, phase, report))
}

/// The same route by route, where the document has no faults; of those it has nothing is said.
pub fn compile_faultless(text: &str, phase: u64, report: &mut Report) -> Option<Snapshot> {
    let document = json::parse_but(text, Kind::Route.plural())?;
    let mut own = Report::default();
    let resources = Resources::of(&document.rest, &mut own);
    let routes = Listed::Texts(&document.items);
    let identity = (Revision::of_text(text), phase);
    let snapshot = compile_listed(&resources, routes, identity, &mut own);
    let snapshot = snapshot.filter(|_| own.faults.is_empty())?;
    report.warnings.append(&mut own.warnings);
    Some(snapshot)
}

pub(super) fn compile_whole(text: &str, phase: u64, report: &mut Report) -> Option<Snapshot> {
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
