//! What routes take from other resources by naming them: upstreams, services and plugin configs.
//!
//! A resource with faults of its own stands here without a value, so that those who name it do not
//! report it as missing.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::balance::{Spec, Upstream, UpstreamObject, UpstreamWire};
use crate::config::Resources;
use crate::deeds::{Deeds, Molds, taken_over};
use crate::fault::{At, Dangling, Fault, Report};
use crate::gather::Gather as _;
use crate::id::Id;
use crate::kind::Kind;
use crate::resource::{GlobalRuleWire, PluginConfigWire, ServiceWire};
use crate::split::{Pool, Scope};
use crate::wire;

/// Resources of one kind by id.
pub(crate) type ById<T> = BTreeMap<Id, Option<T>>;

/// What routes can name, and how they are compiled.
#[derive(Debug)]
pub(crate) struct Catalog<'d> {
    upstreams: ById<Arc<Upstream>>,
    services: ById<Service<'d>>,
    plugin_configs: ById<Vec<Plugin<'d>>>,
    /// The plugins of the global rules, which act on every route.
    pub(crate) global: Vec<Plugin<'d>>,
    /// What becomes of a name that leads nowhere.
    pub(crate) dangling: Dangling,
    /// Where the walks start.
    pub(crate) phase: u64,
    /// What branches and upstreams said before.
    pool: Pool,
    /// What plugins of routes came out as before.
    pub(crate) molds: Molds,
}

/// What a service gives to the routes that name it.
#[derive(Debug)]
pub(crate) struct Service<'d> {
    upstream: Option<Arc<Upstream>>,
    hosts: Vec<String>,
    pub(crate) name: Option<Box<str>>,
    upgrades: bool,
    plugins: Vec<Plugin<'d>>,
}

/// A plugin of a resource that others take it over from. It was checked where it stands.
#[derive(Debug)]
pub(crate) struct Plugin<'d> {
    name: &'static str,
    /// What its keys are mixed with, the same for all who take it over.
    salt: String,
    value: &'d Value,
    at: String,
    /// What no other has: the salt, where the resource has an id.
    holder: String,
    /// What it does, if that is the same for all routes.
    of_all: Option<Deeds>,
    /// Else what it does for a route whose upstream is gone: no route's own, but their walks are these.
    model: Deeds,
}

/// What a route has from its service and its plugin config.
#[derive(Debug, Default)]
pub(crate) struct Inherited<'c, 'd> {
    /// For a route without an upstream.
    pub(crate) upstream: Own,
    /// For a route without hosts.
    pub(crate) hosts: &'c [String],
    /// The name of the service.
    pub(crate) service_name: Option<&'c str>,
    /// For a route that does not say whether it upgrades.
    pub(crate) upgrades: bool,
    /// The plugins that the route takes over where it has none of the same name, each with the key by
    /// which the route names where it is from; the nearest first.
    pub(crate) plugins: Vec<(&'c Plugin<'d>, &'static str)>,
    /// Whether one of both has faults, which are reported where it stands.
    pub(crate) is_faulty: bool,
    /// Whether one of both does not exist, and that is tolerated.
    pub(crate) is_gone: bool,
}

/// The keys by which a route names what it inherits from.
const SERVICE_ID: &str = "service_id";
const PLUGIN_CONFIG_ID: &str = "plugin_config_id";

/// What a name leads to.
#[derive(Debug)]
enum Named<T> {
    /// This.
    Sound(T),
    /// Something with faults, which are reported there.
    Faulty,
    /// Nothing, and that is tolerated.
    Gone,
}

/// What a route or service has as its upstream: none, or one that may be faulty.
pub(crate) type Own = Option<Option<Arc<Upstream>>>;

impl<'d> Catalog<'d> {
    /// Nothing at all: for one resource by itself, whose names lead nowhere.
    pub(crate) const fn empty() -> Self {
        Self {
            upstreams: BTreeMap::new(),
            services: BTreeMap::new(),
            plugin_configs: BTreeMap::new(),
            global: Vec::new(),
            dangling: Dangling::Ignored,
            phase: 0,
            pool: Pool::new(),
            molds: Molds::new(),
        }
    }

    /// Checks all that routes can name.
    pub(crate) fn compile(resources: &Resources<'d>, phase: u64, report: &mut Report) -> Self {
        let dangling = match resources.is_tolerant {
            true => Dangling::Tolerated,
            false => Dangling::Refused,
        };
        let mut catalog = Self { dangling, phase, ..Self::empty() };
        catalog.upstreams = collect(resources, Kind::Upstream, report, |value, at, report| {
            upstream(value, at, report).map(|spec| catalog.pool.upstream(spec))
        });
        let services = collect(resources, Kind::Service, report, |value, at, report| {
            catalog.service(value, at, report)
        });
        let configs = collect(resources, Kind::PluginConfig, report, |value, at, report| {
            catalog.plugin_config(value, at, report)
        });
        let rules = collect(resources, Kind::GlobalRule, report, |value, at, report| {
            catalog.global_rule(value, at, report)
        });
        let global = rules.into_values().flatten().flatten().collect();
        Self { services, plugin_configs: configs, global, ..catalog }
    }

    /// The upstreams that have no faults.
    pub(crate) fn into_upstreams(self) -> BTreeMap<Id, Arc<Upstream>> {
        let sound = self.upstreams.into_iter();
        sound.filter_map(|(id, upstream)| Some((id, upstream?))).gather()
    }

    /// What branches can refer to, for a route or service that has this upstream.
    pub(crate) fn scope<'s>(&'s self, own: Option<&'s Option<Arc<Upstream>>>) -> Scope<'s> {
        let Self { upstreams, phase, dangling, pool, .. } = self;
        let (phase, dangling) = (*phase, *dangling);
        Scope { upstreams, own, phase, dangling, salt: "", methods: &[], pool }
    }

    /// The upstream that a route or service has for itself.
    pub(crate) fn own(
        &self,
        id: Option<&Id>,
        inline: Option<&UpstreamWire>,
        at: At<'_>,
        report: &mut Report,
    ) -> Own {
        let Some(id) = id else {
            let wire = inline?;
            let spec = Spec::compile(wire, at.key("upstream"), report);
            return Some(spec.map(|spec| self.pool.upstream(spec)));
        };
        if let Some(wire) = inline {
            Upstream::check_unused(wire, at.key("upstream"), report);
        }
        Some(self.scope(None).named(id, at.key("upstream_id"), report))
    }

    /// What a route has from the service and the plugin config that it names.
    pub(crate) fn inherited(
        &self,
        service: Option<&Id>,
        plugin_config: Option<&Id>,
        at: At<'_>,
        report: &mut Report,
    ) -> Inherited<'_, 'd> {
        let mut inherited = Inherited::default();
        if let Some(id) = plugin_config {
            let at = at.key(PLUGIN_CONFIG_ID);
            match self.named(&self.plugin_configs, Kind::PluginConfig, id, at, report) {
                Named::Sound(plugins) => inherited.take(plugins, PLUGIN_CONFIG_ID),
                Named::Faulty => inherited.is_faulty = true,
                Named::Gone => inherited.is_gone = true,
            }
        }
        if let Some(id) = service {
            let at = at.key(SERVICE_ID);
            match self.named(&self.services, Kind::Service, id, at, report) {
                Named::Sound(service) => {
                    inherited.upstream = service.upstream.clone().map(Some);
                    inherited.hosts = &service.hosts;
                    inherited.service_name = service.name.as_deref();
                    inherited.upgrades = service.upgrades;
                    inherited.take(&service.plugins, SERVICE_ID);
                }
                Named::Faulty => (inherited.is_faulty, inherited.upstream) = (true, Some(None)),
                Named::Gone => {
                    (inherited.is_gone, inherited.upstream) = (true, Some(Some(Upstream::gone())));
                }
            }
        }
        inherited
    }

    fn named<'c, T>(
        &self,
        by_id: &'c ById<T>,
        kind: Kind,
        id: &Id,
        at: At<'_>,
        report: &mut Report,
    ) -> Named<&'c T> {
        match by_id.get(id) {
            Some(Some(found)) => Named::Sound(found),
            Some(None) => Named::Faulty,
            None if is_gone(by_id, kind, id, self.dangling, at, report) => Named::Gone,
            None => Named::Faulty,
        }
    }

    /// Checks a service.
    pub(crate) fn service(
        &self,
        value: &'d Value,
        at: At<'_>,
        report: &mut Report,
    ) -> Option<Service<'d>> {
        self.checked(value, at, report, |wire: ServiceWire, report| {
            let own = self.own(wire.upstream_id.as_ref(), wire.upstream.as_ref(), at, report);
            let hosts = wire.hosts(at, report);
            self.check_plugins(wire::plugins(value), Kind::Service, own.as_ref(), at, report);
            let (plugins, name) = (Plugin::all_of(Kind::Service, value, at, self), wire.name());
            let upgrades = wire.enable_websocket.unwrap_or(false);
            Some(Service { upstream: own.flatten(), hosts, name, upgrades, plugins })
        })
    }

    /// Checks a plugin config.
    pub(crate) fn plugin_config(
        &self,
        value: &'d Value,
        at: At<'_>,
        report: &mut Report,
    ) -> Option<Vec<Plugin<'d>>> {
        self.checked(value, at, report, |_: PluginConfigWire, report| {
            self.check_plugins(wire::plugins(value), Kind::PluginConfig, None, at, report);
            Some(Plugin::all_of(Kind::PluginConfig, value, at, self))
        })
    }

    /// Checks a global rule.
    pub(crate) fn global_rule(
        &self,
        value: &'d Value,
        at: At<'_>,
        report: &mut Report,
    ) -> Option<Vec<Plugin<'d>>> {
        self.checked(value, at, report, |_: GlobalRuleWire, report| {
            self.check_plugins(wire::plugins(value), Kind::GlobalRule, None, at, report);
            Some(Plugin::all_of(Kind::GlobalRule, value, at, self))
        })
    }

    /// What `check` makes of a resource, if it found no faults.
    fn checked<W: DeserializeOwned, T>(
        &self,
        value: &Value,
        at: At<'_>,
        report: &mut Report,
        check: impl FnOnce(W, &mut Report) -> Option<T>,
    ) -> Option<T> {
        let faults_before = report.faults.len();
        let checked = wire::read(value, at, report, check);
        checked.filter(|_| report.faults.len() == faults_before)
    }

    /// Checks plugins that routes will take over. A route may still bring the upstream that is
    /// wanting here.
    fn check_plugins(
        &self,
        plugins: Option<&Map<String, Value>>,
        holder: Kind,
        own: Option<&Option<Arc<Upstream>>>,
        at: At<'_>,
        report: &mut Report,
    ) {
        let of_route = Some(Upstream::gone());
        let scope = self.scope(own.or(Some(&of_route)));
        if let Some(plugins) = plugins {
            Deeds::compile(plugins, holder, scope, at.key("plugins"), report);
        }
    }
}

impl<'c, 'd> Inherited<'c, 'd> {
    /// Takes over what nothing nearer says.
    fn take(&mut self, plugins: &'c [Plugin<'d>], key: &'static str) {
        for plugin in plugins {
            if !self.plugins.iter().any(|(nearer, _)| nearer.name == plugin.name) {
                self.plugins.push((plugin, key));
            }
        }
    }
}

impl<'d> Plugin<'d> {
    /// The plugins of the resource at `at` that can be taken over.
    fn all_of(kind: Kind, resource: &'d Value, at: At<'_>, catalog: &Catalog<'_>) -> Vec<Self> {
        let plugins = resource.get("plugins");
        let plugin = |name: &'static str| {
            let value = plugins?.get(name)?;
            let id = resource.get("id").and_then(wire::id);
            let salt = salt(kind, id.as_ref().map_or("", Id::as_str));
            let at = at.key("plugins").key(name).to_string();
            let holder = if id.is_some() { salt.clone() } else { at.clone() };
            let (of_all, model) = (None, Deeds::default());
            Some(Self { name, salt, value, at, holder, of_all, model }.prepared(catalog))
        };
        taken_over().filter_map(plugin).collect()
    }

    /// The name of the plugin.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Has it act for one of the routes that take it over, which names it at `at`. What was said where it
    /// stands is not said again: only that the route brings no upstream for it.
    pub(crate) fn act(&self, deeds: &mut Deeds, scope: Scope<'_>, at: At<'_>, report: &mut Report) {
        if let Some(of_all) = &self.of_all {
            return deeds.append(of_all.clone());
        }
        let (mut own, again) = self.compile(scope);
        own.share(&self.holder, Some(&self.model));
        deeds.append(own);
        for Fault { at: inner, what, .. } in again.faults {
            report.fault(at, format!("{what} ({}{inner})", self.at));
        }
    }

    fn compile(&self, scope: Scope<'_>) -> (Deeds, Report) {
        let (mut deeds, mut report) = (Deeds::default(), Report::default());
        let scope = Scope { salt: &self.salt, ..scope };
        deeds.add(self.name, self.value, scope, At::Root, &mut report);
        (deeds, report)
    }

    /// Does beforehand what can be done once for all routes. What has no faults where there is no
    /// upstream of a route does not depend on the route.
    fn prepared(mut self, catalog: &Catalog<'_>) -> Self {
        let (mut of_all, report) = self.compile(catalog.scope(None));
        if report.faults.is_empty() {
            of_all.share(&self.holder, None);
            self.of_all = Some(of_all);
        } else {
            let gone = Some(Upstream::gone());
            (self.model, _) = self.compile(catalog.scope(Some(&gone)));
        }
        self
    }
}

/// What keys are mixed with in the splits of a resource that name nothing else.
pub(crate) fn salt(kind: Kind, id: &str) -> String {
    format!("{}/{id}", kind.plural())
}

/// Checks an upstream that has a place of its own, where APISIX's short form does not do: it has no
/// room for an id.
pub(crate) fn upstream(value: &Value, at: At<'_>, report: &mut Report) -> Option<Spec> {
    let compile = |wire: UpstreamObject, report: &mut Report| {
        Spec::compile(&UpstreamWire::Object(Box::new(wire)), at, report)
    };
    wire::read(value, at, report, compile)
}

/// Checks the resources of a kind, and that no two of them have one id.
pub(crate) fn collect<'d, T>(
    resources: &Resources<'d>,
    kind: Kind,
    report: &mut Report,
    mut check: impl FnMut(&'d Value, At<'_>, &mut Report) -> Option<T>,
) -> ById<T> {
    let mut by_id = BTreeMap::new();
    let root = At::Root;
    for (index, value) in resources.list(kind).iter().enumerate() {
        let (list, place) = resources.place(kind, index);
        let list = root.key(list);
        let at = list.index(place);
        let checked = check(value, at, report);
        let (key, id) = id_of(kind, value, index);
        let Some(id) = id else { continue };
        if by_id.contains_key(&id) {
            let what = format!("another {} has the {key} `{}`", kind.singular(), id.as_str());
            report.fault(at.key(key), what);
        }
        by_id.insert(id, checked);
    }
    by_id
}

/// The id of a resource and the key that it has there, unless it is none, which is reported where the
/// resource is read.
pub(crate) fn id_of(kind: Kind, value: &Value, index: usize) -> (&'static str, Option<Id>) {
    let key = if kind == Kind::Consumer { "username" } else { "id" };
    let id = match value.get(key) {
        Some(id) if kind == Kind::Credential => id.as_str().and_then(Id::parse_credential),
        Some(id) => wire::id(id),
        None => Some(positional_id(index)),
    };
    (key, id)
}

/// The id of a resource that has none, as in APISIX's standalone file.
pub(crate) fn positional_id(index: usize) -> Id {
    Id::parse(&format!("arr_{}", index + 1)).expect("letters, `_` and digits are an id")
}

/// Reports that there is no such resource, and says whether that is tolerated.
pub(crate) fn is_gone<T>(
    by_id: &ById<T>,
    kind: Kind,
    id: &Id,
    dangling: Dangling,
    at: At<'_>,
    report: &mut Report,
) -> bool {
    let known = by_id.keys().map(Id::as_str);
    report.missing(Fault::missing(at, kind, id.as_str(), known), dangling)
}
