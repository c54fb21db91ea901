//! Hostile documents, hostile requests and hostile dialogues with the Admin API ([`admin`]): nothing
//! panics, every refusal says why and where.
//!
//! A seeded walk, the same in every run; `FUZZ_SEED` starts another, `FUZZ_ROUNDS` or `FUZZ_SECONDS`
//! make it longer. A failure prints the document, or the dialogue's seed, which is all that is needed
//! to see it again.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "this program is tests: a panic is how they fail"
)]

mod admin;
mod budget;
mod memory;
mod requests;

use serde_json::Value;
use splitway_core::exchange::{Exchange, Inquiry};
use splitway_core::explain::explain;
use splitway_core::facts::Body;
use splitway_core::fault::Report;
use splitway_core::head::{Head, normalise_target};
use splitway_core::snapshot::{Snapshot, compile_json};
use splitway_core::split::Means;
use splitway_tests::chance::{Chance, environment};
use splitway_tests::mutation::{mutate, sound};
use std::borrow::Cow;
use std::net::IpAddr;

use budget::Budget;

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
        let text = b"{\"model\": \"x\"}";
        let body = Body::Whole(text);
        let explained = explain(snapshot, &head, Means::NONE, text);
        let mut exchange =
            Exchange::decide(Inquiry { snapshot: Some(snapshot), head: &head }, Means::NONE, body)
                .expect("there is the body");
        let branch = explained.pick.map(|pick| pick.branch);
        assert_eq!(exchange.branch(), branch.as_deref(), "what is explained is what happens");
        match exchange.attempt(&head, body) {
            Ok(attempt) => {
                let told = explained.request.expect("it is sent");
                assert!(told.url.ends_with(&*attempt.target), "{}", told.url);
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
    let mut chance = Chance::new(environment("FUZZ_SEED", 1));
    let mut budget = Budget::new(5_000);
    let (mut rounds, mut served) = (0, 0);
    while budget.goes_on() {
        rounds += 1;
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
    let mut chance = Chance::new(environment("FUZZ_SEED", 2));
    let sound = sound().to_string().into_bytes();
    let mut budget = Budget::new(5_000);
    while budget.goes_on() {
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
