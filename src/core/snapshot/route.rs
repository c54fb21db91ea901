//! Routes, with all that they take over from elsewhere, and how they are compiled.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::listed::{Listed, Turn};
use crate::balance::{Timeouts, Upstream};
use crate::breaker::ApiBreaker;
use crate::catalog::{self, Catalog, Inherited, id_of, positional_id};
use crate::deeds::Deeds;
use crate::facts::{Matched, Params};
use crate::fault::{At, Report};
use crate::few::Few;
use crate::guard::Guards;
use crate::kind::Kind;
use crate::limit::Groups;
use crate::meter::LaneNumber;
use crate::proxy_rewrite::ProxyRewrite;
use crate::resource::{RouteWire, check_reach};
use crate::route::{Conditions, RouterKind, Unreached};
use crate::split::{Branch, Rule, Scope, Split};
use crate::wire;

/// A route with everything it needs to answer.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) id: Arc<str>,
    names: Option<Box<Names>>,
    /// What its requests pass before anything else is done with them.
    pub(crate) guards: Guards,
    /// What is changed in its requests before they are split.
    pub(crate) rewrites: Few<Arc<ProxyRewrite>>,
    /// What may answer them in place of an upstream, in the order in which it is asked, and counts what
    /// upstreams answer. Those of the global rules are first.
    pub(crate) breakers: Few<ApiBreaker>,
    pub(crate) split: Split,
    /// Overrides the upstream's.
    pub(crate) timeout: Option<Box<Timeouts>>,
    /// Whether clients may ask it to speak another protocol.
    pub(crate) upgrades: bool,
    /// Whether somebody may choose a branch of one of its rules.
    pub(crate) has_overrides: bool,
    /// Its own number among lanes; those of its branches follow.
    pub(super) lane: LaneNumber,
}

/// What few routes have.
#[derive(Debug)]
struct Names {
    own: Option<Box<str>>,
    /// Id and name of the service.
    service: Option<(Box<str>, Option<Box<str>>)>,
}

impl Route {
    /// The number of its lane, or of that of one of its branches.
    pub(crate) fn lane(&self, branch: Option<(&Rule, &Branch)>) -> LaneNumber {
        let branch = branch.and_then(|(rule, branch)| self.split.lane(rule, branch));
        branch.map_or(self.lane, |number| self.lane + 1 + number)
    }

    /// Id and name of its service, if it has one.
    pub(crate) fn service(&self) -> Option<(&str, Option<&str>)> {
        let (id, name) = self.names.as_ref()?.service.as_ref()?;
        Some((id, name.as_deref()))
    }

    /// Its name, if it has one.
    pub(crate) fn name(&self) -> Option<&str> {
        self.names.as_ref()?.own.as_deref()
    }

    /// What expressions can ask about it, for a request whose path it takes so.
    pub(crate) fn matched<'a>(&'a self, params: Params<'a>) -> Matched<'a> {
        let (service_id, service_name) = self.service().unzip();
        let service_name = service_name.flatten();
        Matched { id: &self.id, name: self.name(), service_id, service_name, params }
    }
}

/// The routes that are there and enabled, with their places in the list and what they take.
pub(super) fn compile_routes(
    listed: Listed<'_>,
    router: RouterKind,
    catalog: &Catalog<'_>,
    groups: &mut Groups,
    report: &mut Report,
) -> Option<(Vec<usize>, Vec<Conditions>, Vec<Route>)> {
    let count = listed.len();
    let (mut places, mut conditions, mut routes) =
        (Vec::with_capacity(count), Vec::with_capacity(count), Vec::with_capacity(count));
    let mut ids = BTreeSet::new();
    let faults_before = report.faults.len();
    let root = At::Root;
    let list = root.key(Kind::Route.plural());
    listed.each(&mut |turn| {
        let Turn { index, value, .. } = turn;
        let at = list.index(index);
        // Of values they were checked with those of all other resources.
        if let Listed::Texts(_) = listed {
            groups.check_resource(value, at, report);
        }
        if let (_, Some(id)) = id_of(Kind::Route, value, index)
            && let Some((_, id)) = ids.replace((id.digest(), id))
        {
            report.fault(at.key("id"), format!("another route has the id `{}`", id.as_str()));
        }
        let compiled = compile_route(turn, Some(router), catalog, at, report);
        if let Some((condition, route)) = compiled {
            places.push(index);
            conditions.push(condition);
            routes.push(route);
        }
        report.faults.len() == faults_before
    })?;
    Some((places, conditions, routes))
}

/// Says which routes other routes leave nothing for.
pub(super) fn warn_of_unreached(
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
pub(super) fn compile_route(
    Turn { index, value, number }: Turn<'_>,
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
            conditions.hosts = inherited.hosts.to_vec().into();
        }
        check_reach(&conditions, router, at, report);
        let own = catalog.own(wire.upstream_id.as_ref(), wire.upstream.as_ref(), at, report);
        let own = own.or_else(|| inherited.upstream.clone());
        let id = wire.id.clone().unwrap_or_else(|| positional_id(index));
        let salt = catalog::salt(Kind::Route, id.as_str());
        let methods = &conditions.methods;
        let scope = Scope { salt: &salt, methods, ..catalog.scope(own.as_ref()) };
        let plugins = wire::plugins(value).map(|plugins| (plugins, number));
        let (guards, rewrites, breakers, split) =
            compile_plugins(plugins, &inherited, catalog, scope, at, report)?;
        // A resource by itself may have its id elsewhere.
        if wire.id.is_none() && router.is_some() && split.depends_on_id(&salt) {
            report.warn(at, "`sticky` or `override` of a route without an `id`: its keys and tokens change when routes are inserted before it");
        }
        let (own, upgrades) = (wire.name(), wire.upgrades().unwrap_or(inherited.upgrades));
        let service =
            service.map(|id| (id.as_str().into(), inherited.service_name.map(Into::into)));
        let is_named = own.is_some() || service.is_some();
        let names = is_named.then(|| Box::new(Names { own, service }));
        let id = id.as_str().into();
        let has_overrides = split.rules().any(|rule| rule.forced().is_some());
        is_enabled.then_some((
            conditions,
            Route {
                id,
                names,
                guards,
                rewrites,
                breakers,
                split,
                timeout: timeout.map(Box::new),
                upgrades,
                has_overrides,
                lane: 0,
            },
        ))
    })
}

/// What the plugins of a route make of it.
type Compiled = (Guards, Few<Arc<ProxyRewrite>>, Few<ApiBreaker>, Split);

/// What is done to the requests of a route, by its own plugins, those it inherits and the global ones.
fn compile_plugins(
    plugins: Option<(&Map<String, Value>, Option<usize>)>,
    inherited: &Inherited<'_, '_>,
    catalog: &Catalog<'_>,
    scope: Scope<'_>,
    at: At<'_>,
    report: &mut Report,
) -> Option<Compiled> {
    let faults_before = report.faults.len();
    let mut deeds = match plugins {
        Some(numbered) => catalog.molds.deeds(numbered, scope, at.key("plugins"), report),
        None => Deeds::default(),
    };
    for (plugin, key) in &inherited.plugins {
        if !plugins.is_some_and(|(list, _)| list.contains_key(plugin.name())) {
            plugin.act(&mut deeds, scope, at.key(key), report);
        }
    }
    let mut of_all = Deeds::default();
    for plugin in &catalog.global {
        plugin.act(&mut of_all, scope, at, report);
    }
    let (guards, deeds) = deeds.after(of_all);
    if report.faults.len() > faults_before || inherited.is_faulty {
        return None;
    }
    if inherited.is_gone {
        // Nobody knows what else the route would have had from there, so that nothing goes anywhere.
        let nowhere = Split::new(Vec::new(), Some(Upstream::gone()), scope);
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
    let split = Split::new(deeds.sections, own, scope).ok()?;
    let breakers = deeds.breakers.iter().map(ApiBreaker::for_route).collect();
    Some((guards, deeds.rewrites.into(), breakers, split))
}
