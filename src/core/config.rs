//! The resources of a document, composed from the fragments that the policy modules own.
//!
//! One document is a set of lists of APISIX-shaped resources, the shape of APISIX's standalone file.
//! It is the KV value at the edge, a file or a ledger locally, and always data until
//! [`compile`](crate::snapshot::compile) has checked it.

use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

use crate::fault::{At, Report, did_you_mean};
use crate::id::Id;
use crate::kind::Kind;
use crate::route::RouterKind;
use crate::wire;

/// The keys of a document.
const KEYS: [&str; 10] = [
    "consumer_groups",
    "consumers",
    "global_rules",
    "plugin_configs",
    "plugin_metadata",
    "published",
    "routes",
    "services",
    "settings",
    "upstreams",
];

/// Lists that APISIX has and this version does not; harmless while empty.
const LISTS_UNSUPPORTED: [&str; 5] = ["plugins", "protos", "secrets", "ssls", "stream_routes"];

/// The format of `published` that this version writes, and the last one that it reads.
pub const FORMAT: u64 = 1;

/// The resources of one document, as they were written.
#[derive(Clone, Debug, Default)]
pub struct Resources<'d> {
    lists: BTreeMap<Kind, Vec<&'d Value>>,
    /// Where in `consumers` the consumers and the credentials stand, where they stand mixed.
    places: BTreeMap<Kind, Vec<usize>>,
    /// The settings of the whole document.
    pub settings: Option<&'d Value>,
    /// Which ledger published the document, if one did.
    pub published: Option<Published>,
    /// Whether a name that leads nowhere is a warning instead of a fault. What needs it then answers
    /// 503.
    pub is_tolerant: bool,
}

/// The ledger that published a document, and the revision that the document shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The id of the ledger.
    pub ledger: Box<str>,
    /// Its revision.
    pub revision: u64,
}

impl<'d> Resources<'d> {
    /// The resources of a whole document.
    pub fn of(document: &'d Value, report: &mut Report) -> Self {
        let mut resources = Self::default();
        let Some(members) = wire::members(document, At::Root, report) else { return resources };
        for (key, value) in members {
            let at = At::Root;
            let at = at.key(key);
            match (key.as_str(), Kind::parse(key)) {
                ("settings", _) => resources.settings = Some(value),
                ("published", _) => {
                    resources.published = published(value, at, report);
                    resources.is_tolerant = true;
                }
                (_, Some(Kind::Consumer)) => resources.set_mixed(list(value, at, report)),
                ("credentials", _) | (_, None) => check_unused_list(key, value, at, report),
                (_, Some(kind)) => resources.set(kind, list(value, at, report)),
            }
        }
        resources
    }

    /// The resources of a kind, in order of precedence among equals.
    pub fn list(&self, kind: Kind) -> &[&'d Value] {
        self.lists.get(&kind).map_or(&[], Vec::as_slice)
    }

    /// Replaces the resources of a kind.
    pub fn set(&mut self, kind: Kind, values: Vec<&'d Value>) {
        if matches!(kind, Kind::Consumer | Kind::Credential) {
            self.places.clear();
        }
        self.lists.insert(kind, values);
    }

    /// The JSON pointer of a resource in the whole document. Credentials stand among the consumers;
    /// behind them, unless the document has them in another order.
    pub fn at(&self, kind: Kind, index: usize) -> String {
        let (list, index) = self.place(kind, index);
        format!("/{list}/{index}")
    }

    /// The list of the document in which a resource stands, and where in it.
    pub(crate) fn place(&self, kind: Kind, index: usize) -> (&'static str, usize) {
        let mixed = self.places.get(&kind).and_then(|places| places.get(index));
        match kind {
            Kind::Consumer => (kind.plural(), mixed.copied().unwrap_or(index)),
            Kind::Credential => {
                let behind = self.list(Kind::Consumer).len() + index;
                (Kind::Consumer.plural(), mixed.copied().unwrap_or(behind))
            }
            Kind::Route
            | Kind::Service
            | Kind::Upstream
            | Kind::ConsumerGroup
            | Kind::GlobalRule
            | Kind::PluginConfig
            | Kind::PluginMetadata => (kind.plural(), index),
        }
    }

    /// Takes the list `consumers`, in which credentials stand too.
    fn set_mixed(&mut self, values: Vec<&'d Value>) {
        for (place, value) in values.into_iter().enumerate() {
            let id = value.get("id").and_then(Value::as_str);
            let kind = match id.and_then(Id::parse_credential) {
                Some(_) => Kind::Credential,
                None => Kind::Consumer,
            };
            self.lists.entry(kind).or_default().push(value);
            self.places.entry(kind).or_default().push(place);
        }
    }
}

fn list<'d>(value: &'d Value, at: At<'_>, report: &mut Report) -> Vec<&'d Value> {
    match value.as_array() {
        Some(items) => items.iter().collect(),
        None => {
            report.fault(at, "expected a list");
            Vec::new()
        }
    }
}

fn check_unused_list(key: &str, value: &Value, at: At<'_>, report: &mut Report) {
    if !LISTS_UNSUPPORTED.contains(&key) {
        report.fault(at, format!("unknown key{}", did_you_mean(key, &KEYS)));
    } else if value.as_array().is_none_or(|items| !items.is_empty()) {
        report.fault(at, "APISIX has this list, Splitway does not support it yet");
    }
}

/// What a ledger writes into the documents that it publishes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PublishedWire {
    format: u64,
    ledger: Box<str>,
    revision: u64,
}

fn published(value: &Value, at: At<'_>, report: &mut Report) -> Option<Published> {
    // Asked first: what else a later format says here is not to be judged.
    if let Some(later) = value.get("format").and_then(Value::as_u64).filter(|it| *it > FORMAT) {
        let what = format!(
            "written by a later Splitway: its format is {later}, this one knows formats up to {FORMAT}"
        );
        report.fault(at.key("format"), what);
        return None;
    }
    wire::read(value, at, report, |wire: PublishedWire, report| {
        if wire.format == 0 {
            report.fault(at.key("format"), "expected an integer from 1");
        }
        if wire.ledger.is_empty() {
            report.fault(at.key("ledger"), "expected the id of a ledger");
        }
        Some(Published { ledger: wire.ledger, revision: wire.revision })
    })
}

/// What a document says about itself as a whole.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct SettingsWire {
    pub(crate) router: Option<RouterKind>,
    pub(crate) proof_headers: Option<bool>,
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = BODY_MAX)))]
    pub(crate) body_max: Option<usize>,
    #[cfg_attr(feature = "schema", schemars(range(max = BODY_MAX)))]
    pub(crate) replay_max: Option<usize>,
}

/// How a document is served as a whole.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// How routes are found.
    pub(crate) router: RouterKind,
    /// Whether responses say which route, branch and revision served them.
    pub(crate) proof_headers: bool,
    /// The most bytes of a request's body that are read where a decision or a change needs it.
    pub(crate) body_max: usize,
    /// The most bytes of a request's body that are kept where another attempt may have to send it again.
    pub(crate) replay_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        let (body_max, replay_max) = (1024 * 1024, 64 * 1024);
        Self { router: RouterKind::default(), proof_headers: true, body_max, replay_max }
    }
}

/// The most that `body_max` and `replay_max` can be: so much a Worker can hold several times over.
const BODY_MAX: usize = 16 * 1024 * 1024;

impl SettingsWire {
    /// Checks the settings.
    pub(crate) fn compile(self, at: At<'_>, report: &mut Report) -> Settings {
        let default = Settings::default();
        if !self.body_max.is_none_or(|max| (1..=BODY_MAX).contains(&max)) {
            report.fault(at.key("body_max"), format!("expected 1 to {BODY_MAX} bytes"));
        }
        if self.replay_max.is_some_and(|max| max > BODY_MAX) {
            report.fault(at.key("replay_max"), format!("expected 0 to {BODY_MAX} bytes"));
        }
        Settings {
            router: self.router.unwrap_or(default.router),
            proof_headers: self.proof_headers.unwrap_or(default.proof_headers),
            body_max: self.body_max.unwrap_or(default.body_max),
            replay_max: self.replay_max.unwrap_or(default.replay_max),
        }
    }
}
