//! What the plugins of a route do to its requests, from wherever the route has them.

mod molds;

use std::mem;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::breaker::{self, ApiBreaker, ApiBreakerWire};
use crate::fault::{At, Report};
use crate::guard::{GUARDS, Guard, Guards};
use crate::kind::Kind;
use crate::plugin;
use crate::proxy_rewrite::{self, ProxyRewrite, ProxyRewriteWire};
use crate::split::{self, Scope, Section, TrafficSplitWire};
use crate::wire;

pub(crate) use molds::{MOLDS, Molds};

/// The plugins that a route takes over from other resources.
pub(crate) fn taken_over() -> impl Iterator<Item = &'static str> {
    GUARDS.into_iter().chain([proxy_rewrite::PLUGIN, breaker::PLUGIN, split::PLUGIN])
}

/// Plugins, compiled for one route. What does not depend on the route is shared by all that have it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Deeds {
    /// What requests pass before anything else is done with them.
    pub(crate) guards: Vec<Guard>,
    /// What is changed in every request, in this order.
    pub(crate) rewrites: Vec<Arc<ProxyRewrite>>,
    /// What may answer in place of the upstream, in the order in which it is asked. Each route counts in
    /// one of its own.
    pub(crate) breakers: Vec<ApiBreaker>,
    /// The rules by which requests are divided, in the order in which they are asked.
    pub(crate) sections: Vec<Arc<Section>>,
}

impl Deeds {
    /// Checks the plugins that stand in a resource.
    pub(crate) fn compile(
        plugins: &Map<String, Value>,
        holder: Kind,
        scope: Scope<'_>,
        at: At<'_>,
        report: &mut Report,
    ) -> Self {
        plugin::check_names(plugins.keys(), holder, at, report);
        let mut deeds = Self::default();
        for name in taken_over() {
            if let Some(value) = plugins.get(name) {
                deeds.add(name, value, scope, at.key(name), report);
            }
        }
        deeds
    }

    /// Adds what the plugin `name` does, which stands at `at`.
    pub(crate) fn add(
        &mut self,
        name: &str,
        value: &Value,
        scope: Scope<'_>,
        at: At<'_>,
        report: &mut Report,
    ) {
        if name == split::PLUGIN {
            let compile =
                |wire: TrafficSplitWire, report: &mut Report| wire.compile(scope, at, report);
            self.sections.extend(wire::read(value, at, report, compile).map(Arc::new));
        } else if name == proxy_rewrite::PLUGIN {
            let compile =
                |wire: ProxyRewriteWire, report: &mut Report| Some(wire.compile(at, report));
            self.rewrites.extend(wire::read(value, at, report, compile).map(Arc::new));
        } else if name == breaker::PLUGIN {
            let compile =
                |wire: ApiBreakerWire, report: &mut Report| Some(wire.compile(at, report));
            self.breakers.extend(wire::read(value, at, report, compile));
        } else {
            self.guards.extend(Guard::compile(name, value, scope.salt, at, report));
        }
    }

    /// Adds what is done after these.
    pub(crate) fn append(&mut self, mut other: Self) {
        self.guards.append(&mut other.guards);
        self.rewrites.append(&mut other.rewrites);
        self.breakers.append(&mut other.breakers);
        self.sections.append(&mut other.sections);
    }

    /// Notes that routes take them over from `holder`, each with a copy of its own where there is a
    /// `model`: then they walk as the model does.
    pub(crate) fn share(&mut self, holder: &str, model: Option<&Self>) {
        for (index, section) in self.sections.iter_mut().enumerate() {
            let model = model.and_then(|model| model.sections.get(index));
            if let Some(section) = Arc::get_mut(section) {
                section.share(holder, model.map(|model| &**model));
            }
        }
    }

    /// These deeds of a route where `global` are done to every request: before them, so that the route
    /// has the last word.
    pub(crate) fn after(mut self, mut global: Self) -> (Guards, Self) {
        let guards = Guards::new(mem::take(&mut global.guards), mem::take(&mut self.guards));
        global.rewrites.append(&mut self.rewrites);
        global.breakers.append(&mut self.breakers);
        self.sections.extend(global.sections.into_iter().rev());
        (guards, Self { sections: self.sections, ..global })
    }
}
