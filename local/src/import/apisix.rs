//! Apache APISIX's standalone file, `apisix.yaml` or `apisix.json`.
//!
//! The resources have the shape of ours, so they are taken over as they are. The core compiles them;
//! what it finds fault with is left out and the rest compiled again, until it is sound. A part that
//! may be missed (`harmless`) goes alone, any other takes its resource along, and
//! whatever names that resource follows.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use splitway_core::auth::conceal_document;
use splitway_core::fault::{At, Fault};
use splitway_core::kind::Kind;

use crate::document::{self, Count, Format};
use crate::import::harmless::{self, Part};
use crate::import::prune::{Pruned, Rest};
use crate::import::successor::Successors;
use crate::import::{ImportError, Imported, Loss, environment, join};

/// Makes a document of a standalone file. `variable` looks environment variables up.
pub fn import(
    text: &str,
    format: Format,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Imported, ImportError> {
    let input = document::parse(text, format).map_err(ImportError::Syntax)?;
    let mut input = environment::substitute(input, text, variable).map_err(ImportError::Unset)?;
    if !input.is_object() {
        return Err(ImportError::Foreign("expected the lists of APISIX's standalone file"));
    }
    name_by_position(&mut input);
    let mut import = Import { pruned: Pruned::new(input), losses: Vec::new(), notes: Vec::new() };
    if format == Format::Yaml && !has_end_mark(text) {
        import.note("", "`#END` is missing at the end: APISIX itself would not load this file");
    }
    import.leave_out_versions();
    import.leave_out_references();
    let rest = import.settle();
    let rest = import.keep_guarded(rest);
    Ok(import.finish(&rest))
}

/// Whether APISIX finds its mark: `#END` within the last 10 bytes.
fn has_end_mark(text: &str) -> bool {
    let bytes = text.as_bytes();
    let tail = bytes.get(bytes.len().saturating_sub(10)..).unwrap_or_default();
    tail.windows(4).any(|window| window == b"#END")
}

/// Gives resources without an id the one that APISIX gives them by position, which would change when
/// one before them is left out.
fn name_by_position(input: &mut Value) {
    for kind in Kind::ALL.into_iter().filter(|kind| has_positional_id(*kind)) {
        let items = input.get_mut(kind.plural()).and_then(Value::as_array_mut);
        for (index, item) in items.into_iter().flatten().enumerate() {
            if let Some(members) = item.as_object_mut() {
                members.entry("id").or_insert_with(|| format!("arr_{}", index + 1).into());
            }
        }
    }
}

/// Whether APISIX names such a resource by its position; the others have names of their own.
fn has_positional_id(kind: Kind) -> bool {
    match kind {
        Kind::Route
        | Kind::Service
        | Kind::Upstream
        | Kind::ConsumerGroup
        | Kind::GlobalRule
        | Kind::PluginConfig => true,
        Kind::Consumer | Kind::Credential | Kind::PluginMetadata => false,
    }
}

/// After so many rounds no part is spared: each round then takes a resource out, so there is an end.
const ROUNDS_SPARING: usize = 20;

struct Import {
    pruned: Pruned,
    losses: Vec<Loss>,
    notes: Vec<Loss>,
}

impl Import {
    fn lose(&mut self, at: &str, what: impl Into<String>) {
        self.losses.push(Loss::new(0, Fault::new(at, what)));
    }

    fn note(&mut self, at: &str, what: impl Into<String>) {
        self.notes.push(Loss::new(0, Fault::new(at, what)));
    }

    /// Versions of lists count writes to APISIX and say nothing about traffic.
    fn leave_out_versions(&mut self) {
        let keys = self.pruned.whole().as_object().into_iter().flat_map(|lists| lists.keys());
        let versions = keys.filter(|key| key.ends_with("_conf_version"));
        let places: Vec<String> = versions.map(|key| At::Root.key(key).to_string()).collect();
        for at in places {
            self.pruned.remove(&at);
            self.note(&at, "left out: it numbers the writes to APISIX");
        }
    }

    /// Leaves out resources whose plugins name a secret by reference: taken at its word, the reference
    /// would be the secret, and it is no secret.
    fn leave_out_references(&mut self) {
        let mut found = Vec::new();
        let lists = self.pruned.whole().as_object().into_iter().flatten();
        for (list, items) in lists {
            for (index, item) in items.as_array().into_iter().flatten().enumerate() {
                if item.get("plugins").is_some_and(has_reference) {
                    found.push(At::Root.key(list).index(index).to_string());
                }
            }
        }
        for at in found {
            let what = "a plugin names a secret by reference (`$env://`, `$secret://`), which Splitway would take for the secret itself";
            self.leave_out(&at, &[what.to_owned()]);
        }
    }

    /// Leaves out what the core finds fault with, until it finds none.
    fn settle(&mut self) -> Rest {
        for round in 0.. {
            let rest = self.pruned.rest();
            let Err(report) = document::judge(&rest.document, "") else { return rest };
            let faults = report.faults.into_iter();
            let faults: Vec<Fault> =
                faults.map(|fault| Fault::new(rest.place(&fault.at), fault.what)).collect();
            if !self.cut(&faults, round < ROUNDS_SPARING) {
                break;
            }
        }
        // Not reached: every fault lies in a resource, a list or a setting, and those can go.
        self.lose("", "nothing could be taken over");
        let mut rest = Rest::default();
        rest.document = json!({});
        rest
    }

    /// Leaves out what is at fault; `false` if there is nothing to leave out.
    fn cut(&mut self, faults: &[Fault], is_sparing: bool) -> bool {
        let mut resources = Faulty::default();
        let mut parts: Vec<(Part, &str)> = Vec::new();
        for fault in faults {
            match harmless::part(&fault.at, self.pruned.whole()).filter(|_| is_sparing) {
                Some(part) => parts.push((part, &fault.what)),
                None => resources.add(fault),
            }
        }
        let mut is_cut = false;
        for (at, reasons) in &resources.reasons {
            is_cut |= self.leave_out(at, reasons);
        }
        for (part, what) in parts {
            if !self.pruned.remove(&part.at) {
                continue;
            }
            is_cut = true;
            match part.is_idle {
                true => self.note(&part.at, "left out: without it the same holds"),
                false => self.lose(&part.at, format!("left out: {what}")),
            }
        }
        is_cut
    }

    /// Leaves out a resource or a whole list; `false` if that has been done before.
    fn leave_out(&mut self, at: &str, reasons: &[String]) -> bool {
        if at.is_empty() || !self.pruned.remove(at) {
            return false;
        }
        let name = name(at, self.pruned.whole());
        let what = format!("{name} left out: {}", join(reasons, "; "));
        // The list of plugins only says what APISIX loads.
        match at {
            "/plugins" => self.note(at, what),
            _ => self.lose(at, what),
        }
        true
    }

    /// A global rule guards every route. Without one that cannot be taken over no route is safe.
    fn keep_guarded(&mut self, rest: Rest) -> Rest {
        let rules = self.pruned.whole().get("global_rules").and_then(Value::as_array);
        let lost = rules.into_iter().flatten().enumerate().position(|(index, rule)| {
            let at = At::Root.key("global_rules").index(index).to_string();
            self.pruned.is_out(&at) && !harmless::has_only_harmless_plugins(rule)
        });
        let Some(index) = lost.filter(|_| rest.document.get("routes").is_some()) else {
            return rest;
        };
        let reason =
            format!("/global_rules/{index} holds for all of them and cannot be taken over");
        self.leave_out("/routes", &[reason]);
        self.settle()
    }

    /// Names the successors of the routes that were left out, and what is different from APISIX.
    fn finish(mut self, rest: &Rest) -> Imported {
        let routes = rest.document.get("routes").and_then(Value::as_array);
        let successors = Successors::new(routes.map(Vec::as_slice).unwrap_or_default());
        for loss in &mut self.losses {
            let is_route = loss.at.starts_with("/routes/") && loss.at.matches('/').count() == 2;
            let lost = self.pruned.whole().pointer(&loss.at).filter(|_| is_route);
            if let Some(id) = lost.and_then(|lost| successors.of(lost)) {
                loss.what.push_str(&format!("; its requests may now go to route `{id}`"));
            }
        }
        self.note_differences(rest);
        let mut document = rest.document.clone();
        if conceal_document(&mut document) {
            self.note("/consumers", "keys and passwords are written as their hashes");
        }
        Imported { document, losses: self.losses, notes: self.notes }
    }

    /// Notes the warnings of the core, each text once: most documents have the same for every upstream.
    fn note_differences(&mut self, rest: &Rest) {
        let Ok((_, warnings)) = document::judge(&rest.document, "") else { return };
        let mut places: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for warning in &warnings {
            places.entry(&warning.what).or_default().push(&warning.at);
        }
        for (what, places) in places {
            let Some((first, others)) = places.split_first() else { continue };
            let others = match others.len() {
                0 => String::new(),
                count => format!(" (and {})", Count(count, "more place")),
            };
            self.note(&rest.place(first), format!("{what}{others}"));
        }
    }
}

/// The resources, and whole lists, that must go.
#[derive(Default)]
struct Faulty {
    /// The place of each and why it must go, in the order in which they were found.
    reasons: Vec<(String, Vec<String>)>,
    index: BTreeMap<String, usize>,
}

impl Faulty {
    /// Adds the resource that a fault lies in.
    fn add(&mut self, fault: &Fault) {
        let end = fault.at.match_indices('/').nth(2).map_or(fault.at.len(), |(end, _)| end);
        let (resource, inner) = fault.at.split_at(end);
        let reason = match inner.strip_prefix('/') {
            Some(inner) => format!("`{inner}`: {}", fault.what),
            None => fault.what.clone(),
        };
        let index = *self.index.entry(resource.to_owned()).or_insert(self.reasons.len());
        match self.reasons.get_mut(index) {
            Some((_, reasons)) => reasons.push(reason),
            None => self.reasons.push((resource.to_owned(), vec![reason])),
        }
    }
}

/// What people call the resource at a place.
fn name(at: &str, document: &Value) -> String {
    let mut segments = at.split('/').skip(1);
    let list = segments.next().unwrap_or_default();
    let value = document.pointer(at);
    if segments.next().is_none() {
        let items = value.and_then(Value::as_array);
        let items = items.map_or(1, Vec::len);
        return Count(items, "item").to_string();
    }
    let singular = Kind::parse(list).map_or("entry", Kind::singular);
    let named = |key| value.and_then(|value| value.get(key)).map(Value::to_string);
    let id = named("id").or_else(|| named("username")).unwrap_or_default();
    format!("{singular} `{}`", id.trim_matches('"'))
}

/// Whether a text somewhere in a value is a reference to a secret.
fn has_reference(value: &Value) -> bool {
    match value {
        Value::String(text) => {
            ["$env://", "$ENV://", "$secret://"].iter().any(|start| text.starts_with(start))
        }
        Value::Array(items) => items.iter().any(has_reference),
        Value::Object(members) => members.values().any(has_reference),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}
