//! Hostile documents and hostile requests: nothing panics, every refusal says why and where.
//!
//! A seeded walk, the same in every run; `FUZZ_SEED` starts another, `FUZZ_ROUNDS` makes it longer.
//! A failure prints the document, which is all that is needed to see it again.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "this program is tests: a panic is how they fail"
)]

use serde_json::{Map, Value, json};
use splitway_core::exchange::Exchange;
use splitway_core::fault::Report;
use splitway_core::head::{Head, normalise_target};
use splitway_core::snapshot::{Snapshot, compile_json};
use std::borrow::Cow;
use std::net::IpAddr;

/// SplitMix64 (Steele, Lea, Flood 2014): small, and the same everywhere.
struct Chance(u64);

impl Chance {
    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.draw() % u64::try_from(bound).unwrap()).unwrap()
    }

    fn one_of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())].clone()
    }
}

fn environment(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// A document that uses every key there is.
fn sound() -> Value {
    json!({
        "routes": [
            {
                "id": "chat", "name": "n", "desc": "d", "labels": {"a": "b"},
                "uris": ["/chat/*", "/chat"], "hosts": ["*.example.com", "api.example.com"],
                "methods": ["GET", "POST"], "priority": 3, "status": 1,
                "timeout": {"connect": 1, "send": 2.5, "read": 3},
                "upstream_id": "provider",
                "plugins": {"traffic-split": {"_meta": {"disable": false}, "rules": [{"weighted_upstreams": [
                    {"name": "v1", "weight": 95, "rewrite": {"uri": "/v1?x=y"}},
                    {"weight": 5, "upstream": {"nodes": [{"host": "a", "port": 1, "weight": 1}]},
                     "headers": {"set": {"a": "b"}, "add": {"c": "d"}, "remove": ["e"]}},
                    {"upstream_id": "provider", "weight": 0},
                ]}]}},
            },
            {"uri": "/s", "service_id": "s", "plugin_config_id": "p"},
            {
                "uri": "/*", "upstream": "https://api.example.com:8443",
                "plugins": {"traffic-split": {"rules": [
                    {"weight": 50, "rewrite": {"uri": "/v1"}, "upstream": {"nodes": {"[::1]:80": 1}}},
                    {"weight": 50, "rewrite": {"uri": "/v2"}, "name": "two"},
                ]}},
            },
        ],
        "upstreams": [{
            "id": "provider", "type": "roundrobin", "scheme": "https", "pass_host": "rewrite",
            "upstream_host": "h:1", "nodes": {"a:1": 1, "b": 2}, "timeout": {"connect": 1, "send": 1, "read": 1},
        }],
        "settings": {"proof_headers": true},
        "services": [{
            "id": "s", "name": "n", "labels": {"a": "b"}, "hosts": ["s.example.com"], "upstream_id": "provider",
            "plugins": {"traffic-split": {"rules": [{"weighted_upstreams": [{"weight": 1}]}]}},
        }],
        "plugin_configs": [{"id": "p", "plugins": {"traffic-split": {"rules": [{"weight": 1}]}}}],
        "consumer_groups": [{"id": "g", "plugins": {}}],
        "consumers": [
            {"username": "jack", "group_id": "g", "plugins": {"key-auth": {"key": "k"}}},
            {"id": "jack/credentials/c1", "name": "n", "plugins": {"key-auth": {"key": "l"}}},
        ],
        "global_rules": [{"id": 1, "plugins": {}}],
        "plugin_metadata": [{"id": "traffic-split"}],
        "ssls": [],
    })
}

/// A value that nobody should write here.
fn odd(chance: &mut Chance) -> Value {
    let texts =
        ["", "/", "*", "a/b", "\u{0}", "\r\n", "é", "$a", "0", "..", "[::", "a:99999", "http://"];
    match chance.below(9) {
        0 => Value::Null,
        1 => json!(chance.one_of(&[0i64, -1, 1, 2, 4_294_967_295, i64::MAX, i64::MIN])),
        2 => json!(chance.one_of(&[0.5, 1e308, -0.0, 50.0, 1e-320, 9_007_199_254_740_993.0])),
        3 => json!(chance.one_of(&texts)),
        4 => json!("x".repeat(chance.below(5000))),
        5 => json!([]),
        6 => json!({}),
        7 => json!([chance.one_of(&texts), 1]),
        _ => json!({chance.one_of(&texts): 1}),
    }
}

/// Changes one place somewhere below `value`.
fn mutate(value: &mut Value, chance: &mut Chance) {
    let goes_deeper = chance.below(8) != 0;
    match value {
        Value::Array(items) if !items.is_empty() && goes_deeper => {
            let index = chance.below(items.len());
            match chance.below(12) {
                0 => drop(items.remove(index)),
                1 => items.push(items[index].clone()),
                _ => mutate(&mut items[index], chance),
            }
        }
        Value::Object(members) if !members.is_empty() && goes_deeper => {
            let key = members.keys().nth(chance.below(members.len())).unwrap().clone();
            match chance.below(12) {
                0 => drop(members.remove(&key)),
                1 => rename(members, &key, chance),
                _ => mutate(members.get_mut(&key).unwrap(), chance),
            }
        }
        Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)
        | Value::Object(_) => *value = odd(chance),
    }
}

fn rename(members: &mut Map<String, Value>, key: &str, chance: &mut Chance) {
    let value = members.remove(key).unwrap();
    let known = ["rules", "weight", "upstream", "upstream_id", "id", "vars", "nodes", "a~b/c", ""];
    members.insert(chance.one_of(&known).to_owned(), value);
}

/// What holds for every document, whatever it says.
fn check_document(text: &str) -> Option<Snapshot> {
    let mut report = Report::default();
    let snapshot = compile_json(text, 7, &mut report);
    assert_eq!(snapshot.is_some(), report.faults.is_empty(), "{text}");
    if let Ok(document) = serde_json::from_str::<Value>(text) {
        let has = |at: &str| document.pointer(at).is_some();
        for fault in &report.faults {
            // Of what is missing, the place is where it is missed.
            assert!(has(&fault.at), "no place {fault} in {text}");
            assert!(!fault.what.is_empty());
        }
        for warning in &report.warnings {
            // The place may be that of a default; then its parent is there.
            let parent = warning.at.rsplit_once('/').map_or("", |(parent, _)| parent);
            assert!(has(&warning.at) || has(parent), "no place {warning} in {text}");
            assert!(!warning.what.is_empty());
        }
    }
    snapshot
}

/// A request of any shape.
struct Hostile {
    method: String,
    target: String,
    host: String,
    header: Option<String>,
}

impl Hostile {
    fn new(chance: &mut Chance) -> Self {
        let pieces = [
            "/", "chat", "..", "%2e", "%", "%2F", "?", "#", "\\", "*", "é", "://", " ", "a", "//",
            "%ff",
        ];
        let text = |chance: &mut Chance| {
            (0..chance.below(8)).map(|_| chance.one_of(&pieces)).collect::<String>()
        };
        let target = text(chance);
        Self {
            method: chance.one_of(&["GET", "POST", "", "QUERY"]).to_owned(),
            target: normalise_target(&target).into_owned(),
            host: chance
                .one_of(&["api.example.com", "X.EXAMPLE.COM:80", "[::1]:1", "", ":", "é"])
                .to_owned(),
            header: chance
                .below(2)
                .eq(&0)
                .then(|| format!("{}, x-hop,{}", text(chance), text(chance))),
        }
    }
}

impl Head for Hostile {
    fn method(&self) -> &str {
        &self.method
    }

    fn path(&self) -> &str {
        self.target.split('?').next().unwrap()
    }

    fn query(&self) -> Option<&str> {
        self.target.split_once('?').map(|(_, query)| query)
    }

    fn host(&self) -> &str {
        &self.host
    }

    fn header(&self, _: &str) -> Option<Cow<'_, str>> {
        self.header.as_deref().map(Cow::Borrowed)
    }

    fn client(&self) -> Option<IpAddr> {
        (self.method != "POST").then_some(IpAddr::from([127, 0, 0, 1]))
    }

    fn scheme(&self) -> &str {
        "http"
    }

    fn port(&self) -> u16 {
        80
    }

    fn is_fronted(&self) -> bool {
        self.method == "GET"
    }
}

fn check_requests(snapshot: &Snapshot, chance: &mut Chance) {
    for _ in 0..4 {
        let head = Hostile::new(chance);
        assert!(head.target == "*" || head.target.starts_with('/'), "{:?}", head.target);
        let again = normalise_target(&head.target).into_owned();
        assert_eq!(again, head.target, "normalising twice is normalising once");
        let exchange = Exchange::decide(Some(snapshot), &head);
        match exchange.attempt(&head) {
            Ok(attempt) => {
                assert!(attempt.target.starts_with('/'), "{}", attempt.target);
                assert!(!attempt.node.host().is_empty());
                assert!(exchange.route().is_some() && exchange.branch().is_some());
            }
            Err(problem) => assert!((400..600).contains(&exchange.refuse(problem).status)),
        }
    }
}

#[test]
fn mutated_documents_are_refused_or_serve() {
    let mut chance = Chance(environment("FUZZ_SEED", 1));
    let rounds = environment("FUZZ_ROUNDS", 5_000);
    let mut served = 0;
    for _ in 0..rounds {
        let mut document = sound();
        for _ in 0..=chance.below(3) {
            mutate(&mut document, &mut chance);
        }
        if let Some(snapshot) = check_document(&document.to_string()) {
            served += 1;
            check_requests(&snapshot, &mut chance);
        }
    }
    assert!(served > rounds / 50, "too few documents were sound to say something: {served}");
}

#[test]
fn broken_texts_are_refused() {
    let mut chance = Chance(environment("FUZZ_SEED", 2));
    let sound = sound().to_string().into_bytes();
    for _ in 0..environment("FUZZ_ROUNDS", 5_000) {
        let mut text = sound.clone();
        for _ in 0..=chance.below(4) {
            let at = chance.below(text.len());
            match chance.below(3) {
                0 => text.truncate(at.max(1)),
                1 => text[at] = chance.one_of(b"\"{}[],:0-e\\\0\xff "),
                _ => drop(text.remove(at.min(text.len() - 1))),
            }
            if text.is_empty() {
                text.push(b'{');
            }
        }
        check_document(&String::from_utf8_lossy(&text));
    }
}

#[test]
fn the_sound_document_has_no_faults() {
    assert!(check_document(&sound().to_string()).is_some());
}
