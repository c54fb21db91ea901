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
mod hostile;
mod memory;
mod requests;

use std::collections::BTreeSet;

use serde_json::Value;
use splitway_core::exchange::{Attempt, Exchange, Inquiry, Visit};
use splitway_core::explain::{By, explain};
use splitway_core::facts::Body;
use splitway_core::fault::Report;
use splitway_core::guard::Needs;
use splitway_core::head::{Changes, ResponseHead, normalise_target};
use splitway_core::problem::Problem;
use splitway_core::snapshot::{Snapshot, compile_json};
use splitway_core::split::Means;
use splitway_tests::chance::{Chance, environment};
use splitway_tests::mutation::{mutate, sound};

use budget::Budget;
use hostile::{Hostile, NOW, Response, secret};

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

/// What has happened to requests, so that it can be said what has never.
type Seen = BTreeSet<&'static str>;

/// What holds for every request, whatever it is: the same is decided with the body as without it, by
/// somebody who only looks, and in words.
fn check_requests(snapshot: &Snapshot, chance: &mut Chance, seen: &mut Seen) {
    let secret = secret();
    let mut cookie = None;
    for _ in 0..4 {
        let head = Hostile::new(chance, cookie.as_deref());
        let target = head.target();
        assert!(target == "*" || target.starts_with('/'), "{target:?}");
        assert_eq!(normalise_target(target), target, "normalising twice is normalising once");
        let body = Body::Whole(&head.body);
        let drawn = chance.draw();
        let secret = (!chance.one_in(4)).then_some(&secret);
        let means = Means { now: NOW, secret, chance: &|| drawn, is_trial: false };
        let trial = Means { is_trial: true, ..means };
        let inquiry = Inquiry { snapshot: Some(snapshot), head: &head };
        let told = |exchange: &Exchange<'_>| {
            (exchange.route().map(str::to_owned), exchange.branch().map(str::to_owned))
        };

        let unread = decided(inquiry, trial, Body::Unread);
        let explained = explain(snapshot, &head, means, &head.body);
        let mut exchange = decided(inquiry, means, body).expect("there is the body");
        let (route, branch) = told(&exchange);
        let is_read = unread.is_none() || exchange.changes_body();
        if is_read && head.body.len() > exchange.body_max() {
            assert!(explained.problem.is_some() && explained.request.is_none(), "{head:?}");
            seen.insert("its body was too long");
            continue;
        }
        seen.extend(explained.pick.as_ref().map(|pick| name(pick.by)));
        let denied = explained.pick.as_ref().and_then(|pick| pick.denied.as_ref());
        seen.extend(denied.map(|_| "denied"));
        assert_eq!(explained.reads_body, is_read, "{head:?}");
        // Of a request that is refused, the words say more.
        if route.is_some() {
            let picked = explained.pick.map(|pick| pick.branch);
            assert_eq!((explained.route, picked), (route.clone(), branch.clone()), "{head:?}");
        }
        seen.extend(unread.is_none().then_some("asked for its body"));
        // Whoever only looks takes no turn, so that the node is the same as well.
        let written = |attempt: Result<Attempt<'_>, Problem>| attempt.map(|it| format!("{it:?}"));
        let looked = unread.map(|mut unread| {
            assert_eq!(told(&unread), (route, branch), "{head:?}");
            let is_enough = !unread.changes_body();
            is_enough.then(|| written(unread.attempt(&head, Body::Unread, trial)))
        });
        let sent = exchange.attempt(&head, body, means);
        let is_changed = sent.as_ref().is_ok_and(|attempt| attempt.body.is_some());
        seen.extend(is_changed.then_some("its body was changed"));
        if let Some(looked) = looked.flatten() {
            let sent = sent.as_ref().map(|attempt| format!("{attempt:?}"));
            assert_eq!(looked, sent.map_err(|problem| *problem), "{head:?}");
        }
        match sent {
            Ok(attempt) => check_attempt(&attempt),
            Err(problem) => {
                seen.insert(problem.token());
                assert!((400..600).contains(&exchange.refuse(problem).status));
                continue;
            }
        }
        let response = Response::new(chance);
        let event = exchange.event(&response);
        let status = ResponseHead::status(&response);
        // 101 is none where routes do not switch.
        assert!(status == 101 || event.is_none() == (200..400).contains(&status), "{status}");
        seen.extend(event.and(Some("its attempt failed")));
        let edits = exchange.relay(&response).edits;
        check_edits(&edits);
        let issued = edits.added().find(|(name, _)| *name == "set-cookie");
        cookie = issued.and_then(|(_, value)| value.split(';').next().map(str::to_owned));
    }
}

/// What is decided where whatever guards ask for lets requests pass; nothing if the body has to be there.
fn decided<'a>(inquiry: Inquiry<'a>, means: Means<'_>, body: Body<'_>) -> Option<Exchange<'a>> {
    let mut visit = Visit::default();
    loop {
        match Exchange::decide(&mut visit, inquiry, means, body) {
            Ok(exchange) => return Some(exchange),
            Err(Needs::Body) => return None,
            Err(Needs::Effect(effect)) => visit.bring(effect.imagined()),
        }
    }
}

/// What a branch was picked by, in a word.
fn name(by: By) -> &'static str {
    match by {
        By::Whole => "whole",
        By::Turn => "turn",
        By::Key => "key",
        By::Issued => "issued",
        By::Override => "override",
    }
}

fn check_attempt(attempt: &Attempt<'_>) {
    let Attempt { target, host, node, edits, .. } = attempt;
    assert!(target.starts_with('/'), "{target}");
    assert!(!node.host().is_empty());
    assert!(!host.contains(['\r', '\n', '\0']), "{host:?}");
    check_edits(edits);
}

/// No header can end another, or the head.
fn check_edits(edits: &Changes) {
    let names = edits.set().chain(edits.added()).map(|(name, _)| name).chain(edits.removed());
    for name in names {
        assert!(!name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic()), "{name:?}");
        assert_eq!(name.to_ascii_lowercase(), *name);
    }
    for (name, value) in edits.set().chain(edits.added()) {
        assert!(!value.contains(['\r', '\n', '\0']), "{name}: {value:?}");
    }
}

#[test]
fn mutated_documents_are_refused_or_serve() {
    let mut chance = Chance::new(environment("FUZZ_SEED", 1));
    let mut budget = Budget::new(3_000);
    let (mut rounds, mut served) = (0, 0);
    let mut seen = Seen::new();
    while budget.goes_on() {
        rounds += 1;
        let mut document = sound();
        for _ in 0..chance.below(4) {
            mutate(&mut document, &mut chance);
        }
        if let Some(snapshot) = check_document(&document.to_string()) {
            served += 1;
            check_requests(&snapshot, &mut chance, &mut seen);
        }
    }
    assert!(served > rounds / 50, "too few documents were sound to say something: {served}");
    let events = [
        "whole",
        "turn",
        "key",
        "issued",
        "override",
        "denied",
        "asked for its body",
        "its body was changed",
        "its body was too long",
    ];
    let unseen: Vec<_> = events.into_iter().filter(|event| !seen.contains(event)).collect();
    assert!(rounds < 3_000 || unseen.is_empty(), "never seen: {unseen:?}, but {seen:?}");
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
    let mut report = Report::default();
    compile_json(&sound().to_string(), 0, &mut report);
    assert_eq!(report.faults, []);
}
