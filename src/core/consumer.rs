//! Those who call: consumers, their credentials, and the groups they are in.
//!
//! They are kept and checked and have no effect yet: no plugin of this version asks who calls.

use serde::Deserialize;
use serde::de::{self, Deserializer};
use serde_json::Value;
use std::collections::BTreeMap;

use crate::auth::Consumers;
use crate::catalog::{collect, is_gone, positional_id};
use crate::config::Resources;
use crate::fault::{At, Dangling, Report};
use crate::guard::Guard;
use crate::id::Id;
use crate::kind::Kind;
#[cfg(feature = "schema")]
use crate::plugin::NoPlugins;
use crate::plugin::{self, KEY_AUTH};
use crate::wire::{self, Labels, Members, Remark};

/// A consumer, as APISIX writes it. Its id is its name.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "some keys are read to be checked, not to be used")]
pub(crate) struct ConsumerWire {
    id: Option<Username>,
    username: Username,
    group_id: Option<Id>,
    #[cfg_attr(feature = "schema", schemars(with = "Option<KeyPlugins>"))]
    plugins: Option<Members>,
    desc: Option<Remark>,
    labels: Option<Labels>,
    create_time: Option<u64>,
    update_time: Option<u64>,
}

/// A credential of a consumer, as APISIX writes it.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "some keys are read to be checked, not to be used")]
pub(crate) struct CredentialWire {
    id: Option<CredentialId>,
    #[cfg_attr(feature = "schema", schemars(with = "KeyPlugins"))]
    plugins: Members,
    name: Option<Remark>,
    desc: Option<Remark>,
    labels: Option<Labels>,
    create_time: Option<u64>,
    update_time: Option<u64>,
}

/// A consumer group: plugins that several consumers have in common.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "some keys are read to be checked, not to be used")]
pub(crate) struct ConsumerGroupWire {
    id: Option<Id>,
    #[cfg_attr(feature = "schema", schemars(with = "NoPlugins"))]
    plugins: Members,
    name: Option<Remark>,
    desc: Option<Remark>,
    labels: Option<Labels>,
    create_time: Option<u64>,
    update_time: Option<u64>,
}

/// What `key-auth` is told about a consumer.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyAuthWire {
    key: Key,
}

/// The plugins that may stand in a consumer or credential.
#[cfg(feature = "schema")]
#[derive(schemars::JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "its schema is what counts")]
struct KeyPlugins {
    #[schemars(rename = "key-auth")]
    key_auth: Option<KeyAuthWire>,
}

/// The name of a consumer: an id without `.`, as in APISIX.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Username(Id);

/// The id of a credential, with its consumer or without.
#[derive(Debug)]
pub(crate) struct CredentialId(Id);

/// A key by which a consumer is known.
pub(crate) struct Key(String);

/// The keys that were met, each with whom it belongs to.
#[derive(Default)]
pub(crate) struct Keys(BTreeMap<String, Id>);

/// Checks consumers, credentials and groups, and what they say of each other. Gives those who may call
/// and, by their numbers, the guards that they have of their own.
pub(crate) fn compile_all(
    resources: &Resources<'_>,
    dangling: Dangling,
    report: &mut Report,
) -> (Consumers, Vec<Box<[Guard]>>) {
    let groups = collect(resources, Kind::ConsumerGroup, report, check_group);
    let mut keys = Keys::default();
    let consumers = collect(resources, Kind::Consumer, report, |value, at, report| {
        let group = check_consumer(value, &mut keys, at, report)?;
        if let Some(id) = group.filter(|id| !groups.contains_key(id)) {
            is_gone(&groups, Kind::ConsumerGroup, &id, dangling, at.key("group_id"), report);
        }
        Some(())
    });
    collect(resources, Kind::Credential, report, |value, at, report| {
        let consumer = check_credential(value, &mut keys, at, report)?;
        match consumer {
            None => report.fault(at.key("id"), "expected the form `<consumer>/credentials/<id>`"),
            Some(name) if !consumers.contains_key(&name) => {
                is_gone(&consumers, Kind::Consumer, &name, dangling, at.key("id"), report);
            }
            Some(_) => {}
        }
        Some(())
    });
    for kind in [Kind::Consumer, Kind::ConsumerGroup] {
        if !resources.list(kind).is_empty() {
            report.warn(At::Root.key(kind.plural()), NO_EFFECT);
        }
    }
    (Consumers, Vec::new())
}

const NO_EFFECT: &str = "kept and checked, without effect yet: no plugin here asks who calls";

/// Checks a consumer; returns the group it is in.
pub(crate) fn check_consumer(
    value: &Value,
    keys: &mut Keys,
    at: At<'_>,
    report: &mut Report,
) -> Option<Option<Id>> {
    wire::read(value, at, report, |wire: ConsumerWire, report| {
        if wire.id.is_some_and(|id| id != wire.username) {
            report.fault(at.key("id"), "expected the `username`, or no id");
        }
        if let Some(plugins) = &wire.plugins {
            let at = at.key("plugins");
            plugin::check_names(plugins, Kind::Consumer, at, report);
            keys.add(plugins, &wire.username.0, at, report);
        }
        Some(wire.group_id)
    })
}

/// Checks a credential; returns the consumer whose it is, if its id says so.
pub(crate) fn check_credential(
    value: &Value,
    keys: &mut Keys,
    at: At<'_>,
    report: &mut Report,
) -> Option<Option<Id>> {
    wire::read(value, at, report, |wire: CredentialWire, report| {
        let id = wire.id.map(|CredentialId(id)| id);
        let consumer = id.as_ref().and_then(Id::as_credential).map(|(consumer, _)| consumer);
        let whose = consumer.clone().or(id).unwrap_or_else(|| positional_id(0));
        let at = at.key("plugins");
        plugin::check_names(&wire.plugins, Kind::Credential, at, report);
        keys.add(&wire.plugins, &whose, at, report);
        Some(consumer)
    })
}

/// Checks a consumer group.
pub(crate) fn check_group(value: &Value, at: At<'_>, report: &mut Report) -> Option<()> {
    wire::read(value, at, report, |wire: ConsumerGroupWire, report| {
        plugin::check_names(&wire.plugins, Kind::ConsumerGroup, at.key("plugins"), report);
        Some(())
    })
}

impl Keys {
    /// Takes the key of a consumer up, if these plugins have one. A key that two have tells nobody
    /// who calls.
    fn add(&mut self, plugins: &Members, whose: &Id, at: At<'_>, report: &mut Report) {
        let Some(value) = plugins.get(KEY_AUTH) else { return };
        let at = at.key(KEY_AUTH);
        let key = |wire: KeyAuthWire, _: &mut Report| Some(wire.key.0);
        let Some(key) = wire::read(value, at, report, key) else { return };
        match self.0.get(&key) {
            Some(other) if other != whose => {
                let what = format!("the consumer `{}` has this key already", other.as_str());
                report.fault(at.key("key"), what);
            }
            Some(_) => {}
            None => drop(self.0.insert(key, whose.clone())),
        }
    }
}

impl<'de> Deserialize<'de> for Username {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const FORM: &str = "expected a name: 1 to 64 letters, digits, `-`, `_`";
        let text = <&str>::deserialize(deserializer)?;
        let name = Id::parse(text).filter(|_| !text.contains('.'));
        name.map(Self).ok_or_else(|| de::Error::custom(FORM))
    }
}

impl<'de> Deserialize<'de> for CredentialId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const FORM: &str = "expected an id, or one in the form `<consumer>/credentials/<id>`";
        let text = <&str>::deserialize(deserializer)?;
        let id = Id::parse_credential(text).or_else(|| Id::parse(text));
        id.map(Self).ok_or_else(|| de::Error::custom(FORM))
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// What APISIX replaces by what it finds elsewhere.
        const REFERENCES: [&str; 2] = ["$secret://", "$env://"];
        let text = <&str>::deserialize(deserializer)?;
        let lower = text.to_ascii_lowercase();
        if REFERENCES.iter().any(|start| lower.starts_with(start)) {
            return Err(de::Error::custom("references to secrets are not supported yet"));
        }
        match text {
            "" => Err(de::Error::custom("expected at least one character")),
            text => Ok(Self(text.to_owned())),
        }
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(..)")
    }
}
