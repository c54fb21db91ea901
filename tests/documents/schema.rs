//! The JSON Schemas: they are those of the types, and they agree with the parser.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};
use splitway_core::config::Resources;
use splitway_core::fault::Report;
use splitway_core::kind::Kind;
use splitway_core::schema;
use splitway_tests::chance::{Chance, environment};
use splitway_tests::mutation::{TEXTS, mutate, sound};

use crate::agreement;

/// Set by `cargo xtask schema`: the file is written instead of compared.
pub(crate) const WRITE: &str = "SPLITWAY_WRITE_SCHEMA";

#[test]
fn the_file_holds_the_schemas_of_the_types() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../src/core/schema.json");
    let generated = schema::generate();
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(path, generated).unwrap();
        return;
    }
    let written = std::fs::read_to_string(path).unwrap();
    assert!(
        written == generated,
        "src/core/schema.json is not up to date: run `cargo xtask schema`"
    );
}

fn parsed(text: Option<&str>) -> Value {
    serde_json::from_str(text.unwrap()).unwrap()
}

#[test]
fn schemas_are_found_by_the_names_that_apisix_has_for_them() {
    let route = parsed(schema::of("route"));
    assert_eq!(route["type"], "object");
    assert_eq!(
        route["properties"]["uri"],
        json!({"type": "string", "minLength": 1, "maxLength": 4096})
    );
    assert!(route["properties"].get("script").is_none(), "what is refused is not there");
    let plugins = [
        "real-ip",
        "client-control",
        "request-id",
        "cors",
        "basic-auth",
        "jwt-auth",
        "key-auth",
        "ip-restriction",
        "limit-conn",
        "limit-count",
        "limit-req",
        "proxy-rewrite",
        "api-breaker",
        "traffic-split",
    ];
    assert_eq!(schema::PLUGINS, plugins);
    assert!(parsed(schema::of_plugin("traffic-split", None))["properties"]["rules"].is_object());
    assert!(parsed(schema::of_plugin("key-auth", Some("consumer")))["required"].is_array());
    for name in ["", "rout", "routes", "plugins/traffic-split", "plugins/key-auth/consumer"] {
        assert_eq!(schema::of(name), None, "{name}");
    }
    for (name, place) in
        [("key-auth/consumer", None), ("traffic-split", Some("consumer")), ("limit-rate", None)]
    {
        assert_eq!(schema::of_plugin(name, place), None, "{name}");
    }
}

/// So that whatever a document may say is changed and asked about below, and by the fuzz targets.
#[test]
fn the_sound_document_uses_every_key() {
    let document = sound();
    let resources = Resources::of(&document, &mut Report::default());
    let mut keys = Keys::default();
    for kind in Kind::ALL {
        let schema = parsed(schema::of(&agreement::name(kind)));
        // An upstream has the same keys inside of a route.
        let name = if kind == Kind::Upstream { "UpstreamObject" } else { kind.singular() };
        resources.list(kind).iter().for_each(|value| keys.visit(name, &schema, &schema, value));
    }
    let schema = parsed(schema::of("settings"));
    keys.visit("settings", &schema, &schema, &document["settings"]);
    let unused: Vec<_> = keys.all.difference(&keys.used).collect();
    assert!(unused.is_empty(), "no resource of the sound document uses {unused:?}");
    assert!(keys.used.len() > 100, "too few keys were seen to say something: {:?}", keys.used);
}

/// The keys that schemas have, each with what it is a key of, and those of them that values use.
#[derive(Default)]
struct Keys {
    all: BTreeSet<(String, String)>,
    used: BTreeSet<(String, String)>,
}

impl Keys {
    fn visit(&mut self, name: &str, whole: &Value, schema: &Value, value: &Value) {
        if let Some(reference) = schema["$ref"].as_str() {
            let name = reference.rsplit('/').next().unwrap();
            self.visit(name, whole, whole.pointer(&reference[1..]).unwrap(), value);
        }
        for choice in schema["anyOf"].as_array().into_iter().flatten() {
            self.visit(name, whole, choice, value);
        }
        for item in value.as_array().into_iter().flatten() {
            self.visit(name, whole, &schema["items"], item);
        }
        for (key, schema) in schema["properties"].as_object().into_iter().flatten() {
            let place = (name.to_owned(), key.clone());
            if let Some(member) = value.get(key) {
                self.used.insert(place.clone());
                self.visit(key, whole, schema, member);
            }
            self.all.insert(place);
        }
    }
}

#[test]
fn schemas_agree_with_the_parser_on_what_is_nearly_sound() {
    let mut chance = Chance::new(environment("FUZZ_SEED", 3));
    let rounds = environment("FUZZ_ROUNDS", 4_000);
    let resources = agreement::check_document(&sound());
    assert_eq!(resources, 13, "all are taken");
    let mut taken = 0;
    for _ in 0..rounds {
        let mut document = sound();
        for _ in 0..=chance.below(6) {
            mutate(&mut document, &mut chance);
        }
        taken += u64::try_from(agreement::check_document(&document)).unwrap();
    }
    assert!(taken > rounds, "too few were taken to say something: {taken}");
}

#[test]
fn schemas_agree_with_the_parser_on_numbers_out_of_range() {
    let numbers = json!([
        -1,
        0,
        0.5,
        1,
        1.0,
        2,
        65_535,
        65_536,
        86_400,
        86_401,
        4_294_967_295_u32,
        4_294_967_296_u64,
        u64::MAX,
        i64::MIN,
        1e300,
        -0.0,
        true,
        null,
        "1",
        [],
        {},
    ]);
    let mut places = Vec::new();
    collect(&sound(), String::new(), &mut places);
    for place in places {
        for number in numbers.as_array().unwrap() {
            let mut document = sound();
            *document.pointer_mut(&place).unwrap() = number.clone();
            agreement::check_document(&document);
        }
    }
}

#[test]
fn schemas_agree_with_the_parser_on_odd_texts() {
    let document = sound();
    let resources = Resources::of(&document, &mut Report::default());
    for kind in Kind::ALL {
        for resource in resources.list(kind) {
            let mut places = Vec::new();
            collect(resource, String::new(), &mut places);
            for (place, text) in places.iter().flat_map(|place| TEXTS.map(|text| (place, text))) {
                let mut resource = (*resource).clone();
                *resource.pointer_mut(place).unwrap() = json!(text);
                agreement::check(kind, &resource);
            }
        }
    }
}

/// The places of all numbers and of all that holds nothing else.
fn collect(value: &Value, at: String, places: &mut Vec<String>) {
    let escaped = |key: &str| key.replace('~', "~0").replace('/', "~1");
    match value {
        Value::Array(items) => items
            .iter()
            .enumerate()
            .for_each(|(index, item)| collect(item, format!("{at}/{index}"), places)),
        Value::Object(members) => members
            .iter()
            .for_each(|(key, member)| collect(member, format!("{at}/{}", escaped(key)), places)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => places.push(at),
    }
}

#[test]
fn schemas_agree_with_the_parser_on_keys_too_few_or_too_many() {
    let mut places = Vec::new();
    collect(&sound(), String::new(), &mut places);
    for place in places {
        let (parent, key) = place.rsplit_once('/').unwrap();
        let key = key.replace("~1", "/").replace("~0", "~");
        let mut document = sound();
        let Some(Value::Object(members)) = document.pointer_mut(parent) else { continue };
        members.insert("unknown".to_owned(), json!(1));
        agreement::check_document(&document);
        let Some(Value::Object(members)) = document.pointer_mut(parent) else { continue };
        members.remove("unknown");
        members.remove(&key);
        agreement::check_document(&document);
    }
}
