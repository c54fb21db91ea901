//! Which resources a resource needs: for the check that nothing goes while others use it.

use serde_json::Value;

use crate::id::Id;
use crate::kind::Kind;
use crate::ledger::{Ledger, Section};
use crate::split::PLUGIN;
use crate::wire;

/// Why a resource cannot go, in APISIX's words; `None` if nobody uses it.
pub fn in_use(ledger: &Ledger, kind: Kind, id: &Id) -> Option<String> {
    for user in Kind::ALL {
        for (user_id, entry) in ledger.section(Section::Resource(user)) {
            let mut needed = references(&entry.value);
            let using = needed.find(|needed| needed.kind == kind && needed.id == *id);
            if let Some(Reference { by_plugin, .. }) = using {
                let directly = if kind == Kind::Service { " directly" } else { "" };
                let plugin = if by_plugin { "plugin in " } else { "" };
                let (what, user) = (kind.singular(), user.singular());
                return Some(format!(
                    "can not delete this {what}{directly}, {plugin}{user} [{user_id}] is still using it now"
                ));
            }
        }
    }
    None
}

/// A resource that another one names.
struct Reference {
    kind: Kind,
    id: Id,
    by_plugin: bool,
}

fn references(value: &Value) -> impl Iterator<Item = Reference> {
    let members = [
        ("upstream_id", Kind::Upstream),
        ("service_id", Kind::Service),
        ("plugin_config_id", Kind::PluginConfig),
        ("group_id", Kind::ConsumerGroup),
    ];
    let own = members.into_iter().filter_map(move |(key, kind)| named(value, key, kind, false));
    let rules = value.get("plugins").and_then(|plugins| plugins.get(PLUGIN)?.get("rules"));
    let rules = rules.and_then(Value::as_array).into_iter().flatten();
    let branches = rules.flat_map(|rule| {
        let listed = rule.get("weighted_upstreams").and_then(Value::as_array);
        std::iter::once(rule).chain(listed.into_iter().flatten())
    });
    own.chain(branches.filter_map(|branch| named(branch, "upstream_id", Kind::Upstream, true)))
}

fn named(value: &Value, key: &str, kind: Kind, by_plugin: bool) -> Option<Reference> {
    Some(Reference { kind, id: wire::id(value.get(key)?)?, by_plugin })
}
