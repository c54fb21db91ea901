//! Those who call: consumers, their credentials, and the groups they are in, as documents write them.

use serde::Deserialize;
use serde::de::{self, Deserializer};
use serde_json::Value;

use crate::auth::jwt::JwtCredentialWire;
use crate::auth::{
    BASIC_AUTH, Consumer, Consumers, HeldKeyWire, HeldPasswordWire, Holder, JWT_AUTH, KEY_AUTH, Key,
};
use crate::catalog::{self, collect, is_gone};
use crate::config::Resources;
use crate::fault::{At, Dangling, Report};
use crate::guard::{self, Guard};
use crate::head::is_header_value;
use crate::id::Id;
use crate::kind::Kind;
#[cfg(feature = "schema")]
use crate::limit;
use crate::plugin;
#[cfg(feature = "schema")]
use crate::plugin::GroupPlugins;
use crate::wire::{self, Label, Labels, Members, Remark};

/// A consumer, as APISIX writes it. Its id is its name.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "some keys are read to be checked, not to be used")]
pub(crate) struct ConsumerWire {
    id: Option<Username>,
    username: Username,
    group_id: Option<Id>,
    #[cfg_attr(feature = "schema", schemars(with = "Option<ConsumerPlugins>"))]
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
    #[cfg_attr(feature = "schema", schemars(with = "CredentialPlugins"))]
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
    #[cfg_attr(feature = "schema", schemars(with = "GroupPlugins"))]
    plugins: Members,
    name: Option<Remark>,
    desc: Option<Remark>,
    labels: Option<Labels>,
    create_time: Option<u64>,
    update_time: Option<u64>,
}

/// The plugins that may stand in a credential.
#[cfg(feature = "schema")]
#[derive(schemars::JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "its schema is what counts")]
struct CredentialPlugins {
    #[schemars(rename = "basic-auth")]
    basic_auth: Option<HeldPasswordWire>,
    #[schemars(rename = "jwt-auth")]
    jwt_auth: Option<JwtCredentialWire>,
    #[schemars(rename = "key-auth")]
    key_auth: Option<HeldKeyWire>,
}

/// The plugins that may stand in a consumer.
#[cfg(feature = "schema")]
#[derive(schemars::JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "its schema is what counts")]
struct ConsumerPlugins {
    #[schemars(rename = "basic-auth")]
    basic_auth: Option<HeldPasswordWire>,
    #[schemars(rename = "jwt-auth")]
    jwt_auth: Option<JwtCredentialWire>,
    #[schemars(rename = "key-auth")]
    key_auth: Option<HeldKeyWire>,
    #[schemars(rename = "ip-restriction")]
    ip_restriction: Option<guard::IpRestrictionWire>,
    #[schemars(rename = "limit-conn")]
    limit_conn: Option<limit::LimitConnWire>,
    #[schemars(rename = "limit-count")]
    limit_count: Option<limit::LimitCountWire>,
    #[schemars(rename = "limit-req")]
    limit_req: Option<limit::LimitReqWire>,
}

/// The name of a consumer: an id without `.`, as in APISIX.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Username(Id);

/// The id of a credential, with its consumer or without.
#[derive(Debug)]
pub(crate) struct CredentialId(Id);

/// What consumers come to.
#[derive(Debug, Default)]
pub(crate) struct Callers {
    pub(crate) consumers: Consumers,
    /// The guards of each consumer, its group's among them, in the order of the consumers.
    pub(crate) guards: Vec<Box<[Guard]>>,
}

/// Compiles consumers, credentials and groups, and checks what they say of each other. Gives those who may
/// call and, by their numbers, the guards that they have of their own.
pub(crate) fn compile_all(
    resources: &Resources<'_>,
    dangling: Dangling,
    report: &mut Report,
) -> (Consumers, Vec<Box<[Guard]>>) {
    let groups = collect(resources, Kind::ConsumerGroup, report, check_group);
    let mut callers = Callers::default();
    let consumers = collect(resources, Kind::Consumer, report, |value, at, report| {
        let group = callers.consumer(value, at, report)?;
        let Some(id) = group else { return Some(()) };
        let guards = match groups.get(&id) {
            Some(guards) => guards.as_deref(),
            None => {
                is_gone(&groups, Kind::ConsumerGroup, &id, dangling, at.key("group_id"), report);
                None
            }
        };
        callers.inherit(guards.unwrap_or_default());
        Some(())
    });
    collect(resources, Kind::Credential, report, |value, at, report| {
        let consumer = callers.credential(value, at, report)?;
        match consumer {
            None => report.fault(at.key("id"), "expected the form `<consumer>/credentials/<id>`"),
            Some(name) if !consumers.contains_key(&name) => {
                is_gone(&consumers, Kind::Consumer, &name, dangling, at.key("id"), report);
            }
            Some(_) => {}
        }
        Some(())
    });
    warn_of_strangers(resources, &callers.consumers, report);
    (callers.consumers, callers.guards)
}

/// Says where somebody is let in as a consumer that does not exist, which nobody is.
fn warn_of_strangers(resources: &Resources<'_>, consumers: &Consumers, report: &mut Report) {
    for kind in [Kind::Route, Kind::Service, Kind::PluginConfig, Kind::GlobalRule] {
        for (index, value) in resources.list(kind).iter().enumerate() {
            let (list, place) = resources.place(kind, index);
            let root = At::Root;
            let list = root.key(list);
            let resource = list.index(place);
            let plugins = resource.key("plugins");
            for plugin in [BASIC_AUTH, JWT_AUTH, KEY_AUTH] {
                let told = value.get("plugins").and_then(|plugins| plugins.get(plugin));
                let name = told.and_then(|told| told.get(ANONYMOUS)).and_then(Value::as_str);
                if let Some(name) = name.filter(|name| consumers.number(name).is_none()) {
                    let what = format!("there is no consumer `{name}`: nobody is let in as that");
                    report.warn(plugins.key(plugin).key(ANONYMOUS), what);
                }
            }
        }
    }
}

/// The key under which a guard has the consumer that somebody is taken for who shows nothing.
const ANONYMOUS: &str = "anonymous_consumer";

/// Checks a consumer group; its guards.
pub(crate) fn check_group(value: &Value, at: At<'_>, report: &mut Report) -> Option<Box<[Guard]>> {
    wire::read(value, at, report, |wire: ConsumerGroupWire, report| {
        let plugins = at.key("plugins");
        plugin::check_names(wire.plugins.keys(), Kind::ConsumerGroup, plugins, report);
        let salt = wire.id.as_ref().map_or("", Id::as_str);
        let salt = catalog::salt(Kind::ConsumerGroup, salt);
        Some(guards(&wire.plugins, &salt, plugins, report))
    })
}

/// The guards among the plugins of a consumer or a group.
fn guards(plugins: &Members, salt: &str, at: At<'_>, report: &mut Report) -> Box<[Guard]> {
    let own = plugins.iter().filter(|(name, _)| guard::is_of_consumers(name));
    let own =
        own.filter_map(|(name, value)| Guard::compile(name, value, salt, at.key(name), report));
    own.collect()
}

impl Callers {
    /// Compiles a consumer; the group it is in.
    pub(crate) fn consumer(
        &mut self,
        value: &Value,
        at: At<'_>,
        report: &mut Report,
    ) -> Option<Option<Id>> {
        wire::read(value, at, report, |wire: ConsumerWire, report| {
            let ConsumerWire { id, username: Username(name), group_id, plugins, labels, .. } = wire;
            if id.is_some_and(|id| id.0 != name) {
                report.fault(at.key("id"), "expected the `username`, or no id");
            }
            let custom_id = custom_id(labels.as_ref(), at, report);
            let group = group_id.as_ref().map(|id| id.as_str().into());
            let number =
                self.consumers.add(Consumer { name: name.as_str().into(), group, custom_id });
            let plugins = plugins.unwrap_or_default();
            let at = at.key("plugins");
            plugin::check_names(plugins.keys(), Kind::Consumer, at, report);
            self.hold(&plugins, &Holder { number, credential: None }, at, report);
            let salt = catalog::salt(Kind::Consumer, name.as_str());
            self.guards.push(guards(&plugins, &salt, at, report));
            Some(group_id)
        })
    }

    /// Gives the consumer that was compiled last the guards of its group, beside its own.
    fn inherit(&mut self, group: &[Guard]) {
        let Some(own) = self.guards.last_mut() else { return };
        let has = |name| own.iter().any(|guard| guard.name() == name);
        let missing: Vec<Guard> =
            group.iter().filter(|guard| !has(guard.name())).cloned().collect();
        *own = own.iter().cloned().chain(missing).collect();
    }

    /// Compiles a credential; the consumer whose it is, if its id says so.
    pub(crate) fn credential(
        &mut self,
        value: &Value,
        at: At<'_>,
        report: &mut Report,
    ) -> Option<Option<Id>> {
        wire::read(value, at, report, |wire: CredentialWire, report| {
            let id = wire.id.and_then(|CredentialId(id)| id.as_credential());
            let at = at.key("plugins");
            plugin::check_names(wire.plugins.keys(), Kind::Credential, at, report);
            let holder = id.as_ref().and_then(|(consumer, id)| {
                let number = self.consumers.number(consumer.as_str())?;
                Some(Holder { number, credential: Some(id.as_str().into()) })
            });
            // One that belongs to nobody is checked like others.
            let mut nobodys = Self::default();
            let whose = if holder.is_some() { self } else { &mut nobodys };
            let holder = holder.unwrap_or(Holder { number: 0, credential: None });
            whose.hold(&wire.plugins, &holder, at, report);
            Some(id.map(|(consumer, _)| consumer))
        })
    }

    /// Takes up how the tokens of somebody are signed.
    fn hold_token(&mut self, plugins: &Members, holder: &Holder, at: At<'_>, report: &mut Report) {
        let Some(value) = plugins.get(JWT_AUTH) else { return };
        let at = at.key(JWT_AUTH);
        wire::read(value, at, report, |wire: JwtCredentialWire, report| {
            let credential = wire.compile(&mut self.consumers.sources, at, report)?;
            if let Err(other) = self.consumers.hold_token(wire.key(), holder.clone(), credential) {
                let what = format!("the consumer `{other}` has this key already");
                report.fault(at.key("key"), what);
            }
            Some(())
        });
    }

    /// Takes up what somebody is known by. What two consumers hold tells nobody who calls.
    fn hold(&mut self, plugins: &Members, holder: &Holder, at: At<'_>, report: &mut Report) {
        self.hold_token(plugins, holder, at, report);
        if let Some(value) = plugins.get(KEY_AUTH) {
            let at = at.key(KEY_AUTH);
            let read = |wire: HeldKeyWire, report: &mut Report| {
                let Key(key) = wire.key;
                if let Err(other) = self.consumers.hold_key(key, holder.clone()) {
                    let what = format!("the consumer `{other}` has this key already");
                    report.fault(at.key("key"), what);
                }
                Some(())
            };
            wire::read(value, at, report, read);
        }
        if let Some(value) = plugins.get(BASIC_AUTH) {
            let at = at.key(BASIC_AUTH);
            let read = |HeldPasswordWire { username, password }, report: &mut Report| {
                let hash = password.hash(&username);
                if let Err(other) = self.consumers.hold_password(hash, holder.clone()) {
                    let what = format!("the consumer `{other}` has this name and password already");
                    report.fault(at.key("password"), what);
                }
                Some(())
            };
            wire::read(value, at, report, read);
        }
    }
}

/// What upstreams are told of a consumer beside its name, as in APISIX: its label `custom_id`.
fn custom_id(labels: Option<&Labels>, at: At<'_>, report: &mut Report) -> Option<Box<str>> {
    const LABEL: &str = "custom_id";
    let Label(label) = labels?.get(LABEL)?;
    if !is_header_value(label) {
        let what = "only visible ASCII can be sent as `X-Consumer-Custom-Id`: it is not sent";
        report.warn(at.key("labels").key(LABEL), what);
        return None;
    }
    Some(label.clone())
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
