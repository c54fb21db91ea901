//! Several who write at once.

use std::sync::Barrier;

use serde_json::json;
use splitway_tests::message::Answer;

use crate::api::{call, labels, route, serving};
use crate::process::{Files, origin};

/// How often two replace the same revision.
const ROUNDS: u64 = 100;

#[test]
fn of_two_who_replace_the_same_revision_one_does() {
    let files = Files::new();
    let serving = serving(&files.path("data"));
    let admin = serving.admin.expect("the Admin API is on");
    for revision in 0..ROUNDS {
        let barrier = &Barrier::new(2);
        let replace = |name: &'static str| {
            let labelled = json!({"id": "r", "uri": "/r", "desc": format!("{name}{revision}"),
                "upstream": {"nodes": {"127.0.0.1:1": 1}}});
            let call = call("PUT", "/splitway/v1/config");
            let call = call.header("If-Match", format!("\"{revision}\""));
            let call = call.body(json!({"routes": [labelled]}).to_string());
            move || {
                barrier.wait();
                splitway_tests::wire::call(admin, &call)
            }
        };
        let answers: Vec<(&str, Answer)> = std::thread::scope(|scope| {
            let asking = ["a", "b"].map(|name| (name, scope.spawn(replace(name))));
            asking.map(|(name, asking)| (name, asking.join().expect("an answer"))).into()
        });
        let (done, refused): (Vec<_>, Vec<_>) =
            answers.into_iter().partition(|(_, answer)| answer.status == 200);
        let ([(winner, done)], [(_, refused)]) = (done.as_slice(), refused.as_slice()) else {
            panic!("one replaces revision {revision}: {done:?} {refused:?}");
        };
        assert_eq!(done.header("etag"), Some(format!("\"{}\"", revision + 1)));
        assert_eq!(refused.status, 412, "{}", refused.text());
        assert_eq!(refused.json()["revision"], revision + 1);
        let (document, current) = serving.config();
        assert_eq!(current, revision + 1);
        assert_eq!(document["routes"][0]["desc"], format!("{winner}{revision}"));
    }
}

#[test]
fn a_condition_is_asked_of_rollbacks_and_trials_too() {
    let files = Files::new();
    let serving = serving(&files.path("data"));
    for uri in ["/a", "/b"] {
        serving.send("PUT", "/apisix/admin/routes/r", &route(uri, "127.0.0.1:1"));
    }
    let path = "/splitway/v1/revisions/1/rollback";
    for (query, tag, status) in [
        ("", "\"1\"", 412),
        ("?dry_run=true", "\"1\"", 412),
        ("?dry_run=true", "\"2\"", 200),
        ("", "\"2\"", 200),
        ("", "\"2\"", 412),
        ("", "*", 200),
    ] {
        let call = call("POST", &format!("{path}{query}")).header("If-Match", tag);
        let answer = serving.ask_admin(&call);
        assert_eq!(answer.status, status, "{query} {tag}: {}", answer.text());
    }
    assert_eq!(serving.config().1, 3);
}

/// The number of the next write was given as an id even where a resource had it already.
#[test]
fn a_generated_id_replaces_nothing() {
    let files = Files::new();
    let serving = serving(&files.path("data"));
    let taken: Vec<_> = (1..=5)
        .map(|number| {
            let mut route = route(&format!("/{number}"), "127.0.0.1:1");
            route["id"] = json!(format!("{number:020}"));
            route
        })
        .skip(2)
        .collect();
    let document = json!({"routes": taken});
    assert_eq!(serving.send("PUT", "/splitway/v1/config", &document).status, 200);
    let made = serving.send("POST", "/apisix/admin/routes", &route("/new", "127.0.0.1:1"));
    assert_eq!(made.status, 201, "{}", made.text());
    assert_eq!(made.json()["value"]["id"], "00000000000000000006");
    assert_eq!(serving.config().0["routes"].as_array().map(Vec::len), Some(4));
}

/// What a trial says is what the replacement does, also where that is refused.
#[test]
fn a_trial_is_refused_where_the_replacement_would_be() {
    let files = Files::new();
    let serving = serving(&files.path("data"));
    let many = |count: usize| {
        let route = |number: usize| {
            json!({"id": format!("r{number}"), "uri": "/r", "labels": labels(200_000),
                "upstream": {"nodes": {"127.0.0.1:1": 1}}})
        };
        json!({"routes": (0..count).map(route).collect::<Vec<_>>()})
    };
    let (large, small) = (many(41), many(3));
    assert!(large.to_string().len() < 8 * 1024 * 1024);
    for (document, status) in [(&small, 200), (&large, 200)] {
        let tried = serving.send("PUT", "/splitway/v1/config?dry_run=true", document);
        assert_eq!(tried.status, status, "{}", tried.text());
        assert_eq!(serving.config().1, 0);
    }
    assert_eq!(serving.send("PUT", "/splitway/v1/config", &many(40)).status, 200);
    // The times that are added make it larger than the whole may be.
    let padding = 8 * 1024 * 1024 - large.to_string().len() - 100;
    let mut larger = large.clone();
    larger["routes"][0]["labels"] = labels(200_000 + padding);
    for query in ["?dry_run=true", ""] {
        let refused = serving.send("PUT", &format!("/splitway/v1/config{query}"), &larger);
        assert_eq!(refused.status, 413, "{query}: {}", refused.text());
    }
}

#[test]
fn the_next_request_is_served_by_what_was_acknowledged() {
    let files = Files::new();
    let serving = serving(&files.path("data"));
    let upstream = origin("one");
    for revision in 1..=50 {
        let route = route("/r", upstream.authority());
        assert!(serving.send("PUT", "/apisix/admin/routes/r", &route).status < 300);
        assert_eq!(serving.get("/r").revision(), Some(revision.to_string()));
    }
}
