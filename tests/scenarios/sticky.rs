//! Who comes again with the same key gets the same branch again.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::document::{routes, upstream};
use crate::message::Call;
use crate::origin::Origin;
use crate::script::Reply;
use crate::target::Target;

/// How many keys are tried where all of them count.
const KEYS: usize = 300;

/// A rule that divides by key between the branches `v1` and `v2`.
pub(super) fn rule(origin: &Origin, weights: [u32; 2], sticky: &Value) -> Value {
    let branch =
        |name: &str, weight| json!({"name": name, "weight": weight, "upstream": upstream(origin)});
    let list = json!([branch("v1", weights[0]), branch("v2", weights[1])]);
    json!({"sticky": sticky, "weighted_upstreams": list})
}

pub(super) fn route(uri: &str, rule: &Value) -> Value {
    json!({"uri": uri, "plugins": {"traffic-split": {"rules": [rule]}}})
}

/// Starts with one route that divides by key.
pub(super) fn start(target: &mut impl Target, weights: [u32; 2], sticky: &Value) -> Origin {
    let origin = target.origin(Reply::ok(""));
    target.start(&routes(&[route("/*", &rule(&origin, weights, sticky))]));
    origin
}

pub(super) fn ask(target: &impl Target, call: &Call) -> String {
    let answer = target.call(call);
    assert_eq!(answer.status, 200, "{call:?}: {}", answer.text());
    answer.branch().expect("the branch is named")
}

pub(super) fn user(number: usize) -> String {
    format!("user-{number}")
}

pub(super) fn of_user(key: &str) -> Call {
    Call::get("/x").header("X-User-Id", key)
}

pub(super) fn by_header() -> Value {
    json!({"by": ["header:x-user-id"]})
}

/// The branch of each of so many keys.
pub(super) fn assignments(target: &impl Target, count: usize) -> Vec<String> {
    (0..count).map(|number| ask(target, &of_user(&user(number)))).collect()
}

/// How many requests went to each branch.
fn count(branches: &[String]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    branches.iter().for_each(|branch| *counts.entry(branch.as_str()).or_default() += 1);
    counts
}

/// A key has one branch, however often and in whatever order it comes.
pub(crate) fn a_key_stays_on_its_branch(target: &mut impl Target) {
    let _origin = start(target, [1, 1], &by_header());

    let first = assignments(target, 30);
    assert_eq!(count(&first).len(), 2, "both branches have keys: {first:?}");
    for number in (0..30).rev() {
        for _ in 0..2 {
            assert_eq!(ask(target, &of_user(&user(number))), first[number], "{number}");
        }
    }
    assert_eq!(assignments(target, 30), first);
}

/// A key means the same wherever in a request it stands.
pub(crate) fn a_key_can_stand_in_many_places(target: &mut impl Target) {
    let by = json!(["header:x-user-id", "cookie:session", "arg:user", "body:/user/id"]);
    let origin = start(target, [1, 1], &json!({"by": by}));

    for number in 0..30 {
        let key = user(number);
        let body = json!({"user": {"id": key}}).to_string();
        let in_body = Call::post("/x", body.clone()).header("Content-Type", "application/json");
        let calls = [
            Call::get("/x").header("Cookie", format!("a=b; session={key}")),
            Call::get(&format!("/x?a=b&user={key}")),
            in_body.clone(),
            in_body.in_chunks(),
        ];
        let branch = ask(target, &of_user(&key));
        for call in &calls {
            assert_eq!(ask(target, call), branch, "{call:?}");
        }
        assert_eq!(origin.requests().pop().unwrap().body, body.as_bytes());
    }
}

/// Of the places that are named the first that has a key decides.
pub(crate) fn the_first_place_with_a_key_decides(target: &mut impl Target) {
    let by = json!(["header:x-user-id", "cookie:session", "arg:user"]);
    let _origin = start(target, [1, 1], &json!({"by": by}));

    let all = assignments(target, 30);
    let with = |branch: &str| user(all.iter().position(|it| it == branch).expect("it has a key"));
    let (one, two) = (with("v1"), with("v2"));
    let cookie = |key: &str| format!("session={key}");
    let target = &*target;
    let both = format!("/x?user={two}");
    assert_eq!(ask(target, &Call::get(&both)), "v2");
    assert_eq!(ask(target, &Call::get(&both).header("X-User-Id", &one)), "v1");
    assert_eq!(ask(target, &Call::get(&both).header("Cookie", cookie(&one))), "v1");
    let three = Call::get(&both).header("Cookie", cookie(&one)).header("X-User-Id", &two);
    assert_eq!(ask(target, &three), "v2");
}

/// Nobody is a consumer as long as nothing asks who calls: the next place decides.
pub(crate) fn without_a_consumer_the_next_place_decides(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let with = |by: Value| rule(&origin, [1, 1], &json!({"by": by, "salt": "s"}));
    target.start(&routes(&[
        route("/consumer", &with(json!(["consumer", "header:x-user-id"]))),
        route("/x", &with(json!(["header:x-user-id"]))),
    ]));

    for number in 0..20 {
        let call = of_user(&user(number));
        let consumer = Call { target: "/consumer".to_owned(), ..call.clone() };
        assert_eq!(ask(target, &consumer), ask(target, &call), "{number}");
    }
}

/// By address, whoever comes from one address stays on one branch.
pub(crate) fn an_address_is_a_key(target: &mut impl Target) {
    let _origin = start(target, [1, 1], &json!({"by": ["ip"]}));

    let branch = ask(target, &Call::get("/x"));
    for number in 0..20 {
        let call = of_user(&user(number)).header("X-Forwarded-For", format!("10.0.0.{number}"));
        assert_eq!(ask(target, &call), branch);
    }
}

/// Who has no key is counted: shares are as exact as without keys.
pub(crate) fn without_a_key_shares_are_exact(target: &mut impl Target) {
    let _origin = start(target, [3, 1], &by_header());

    let asked = |call: &Call| (0..40).map(|_| ask(target, call)).collect::<Vec<String>>();
    for call in [Call::get("/x"), Call::get("/x?user=a").header("Cookie", "session=a")] {
        let picks = asked(&call);
        for window in picks.windows(4) {
            assert_eq!(count(window), [("v1", 3), ("v2", 1)].into(), "{picks:?}");
        }
    }
}

/// When the share of a branch grows, keys move to it, and nowhere else.
pub(crate) fn a_growing_share_only_takes_keys(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let mut all = Vec::new();
    for weights in [[90, 10], [80, 20], [50, 50], [0, 100]] {
        target.start(&routes(&[route("/*", &rule(&origin, weights, &by_header()))]));
        all.push(assignments(target, KEYS));
    }

    for (before, after) in all.iter().zip(&all[1..]) {
        let moves = before.iter().zip(after).filter(|(before, after)| before != after);
        let moves: Vec<(&str, &str)> =
            moves.map(|(from, to)| (from.as_str(), to.as_str())).collect();
        assert!(!moves.is_empty(), "a larger share takes some of {KEYS} keys");
        assert!(moves.iter().all(|way| *way == ("v1", "v2")), "{moves:?}");
    }
    assert_eq!(count(&all[3]), [("v2", KEYS)].into());
}

/// A branch that is new takes its share from the others and changes nothing between them.
pub(crate) fn a_new_branch_only_takes_keys(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let two = rule(&origin, [1, 1], &by_header());
    let mut three = two.clone();
    let new = json!({"name": "v3", "weight": 1, "upstream": upstream(&origin)});
    three["weighted_upstreams"].as_array_mut().unwrap().insert(0, new);
    target.start(&routes(&[route("/*", &two)]));
    let before = assignments(target, 100);
    target.start(&routes(&[route("/*", &three)]));
    let after = assignments(target, 100);

    assert_eq!(count(&after).len(), 3);
    for (before, after) in before.iter().zip(&after) {
        assert!(after == before || after == "v3", "from {before} to {after}");
    }
}

/// A branch of weight 0 has no keys.
pub(crate) fn weight_0_has_no_keys(target: &mut impl Target) {
    let _origin = start(target, [1, 0], &by_header());

    assert_eq!(count(&assignments(target, 100)), [("v1", 100)].into());
}

/// One salt means the same assignment on every route, another salt another one.
pub(crate) fn salts_tell_assignments_apart(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let salted =
        |salt: &str| rule(&origin, [1, 1], &json!({"by": ["header:x-user-id"], "salt": salt}));
    target.start(&routes(&[
        route("/one", &salted("one")),
        route("/again", &salted("one")),
        route("/two", &salted("two")),
    ]));

    let [one, again, two] = ["/one", "/again", "/two"].map(|path| {
        let call = |number| Call { target: path.to_owned(), ..of_user(&user(number)) };
        (0..40).map(|number| ask(target, &call(number))).collect::<Vec<String>>()
    });
    assert_eq!(one, again);
    assert_ne!(one, two);
}

/// Who has a key takes no turn from those who have none.
pub(crate) fn keys_do_not_disturb_exact_shares(target: &mut impl Target) {
    let _origin = start(target, [3, 1], &by_header());

    let mut picks = Vec::new();
    for number in 0..40 {
        picks.push(ask(target, &Call::get("/x")));
        (0..number % 3).for_each(|of| drop(ask(target, &of_user(&format!("{number}-{of}")))));
    }
    for window in picks.windows(4) {
        assert_eq!(count(window), [("v1", 3), ("v2", 1)].into(), "{picks:?}");
    }
}

/// Keys have the owners that another implementation of the same arithmetic gives them.
pub(crate) fn keys_have_the_same_owners_everywhere(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let vectors: Vec<Value> =
        serde_json::from_str(include_str!("vectors/rendezvous.json")).unwrap();
    let weights = |vector: &Value| {
        let weights = vector["weights"].as_array().unwrap().iter();
        weights.map(|weight| weight.as_u64().unwrap()).collect::<Vec<u64>>()
    };
    // Not more than a split can add up, and a salt that can be written.
    let can_be_had = |vector: &&Value| {
        weights(vector).iter().sum::<u64>() <= u64::from(u32::MAX) && vector["salt"] != ""
    };
    let vectors: Vec<&Value> = vectors.iter().filter(can_be_had).collect();
    let route_of = |(number, vector): (usize, &&Value)| {
        let names = vector["names"].as_array().unwrap().iter();
        let branch = |(name, weight): (&Value, u64)| json!({"name": name, "weight": weight, "upstream": upstream(&origin)});
        let branches: Vec<Value> = names.zip(weights(vector)).map(branch).collect();
        let sticky = json!({"by": ["body:/key"], "salt": vector["salt"]});
        route(&format!("/{number}"), &json!({"sticky": sticky, "weighted_upstreams": branches}))
    };
    target.start(&routes(&vectors.iter().enumerate().map(route_of).collect::<Vec<Value>>()));

    assert!(vectors.len() > 30, "{} vectors", vectors.len());
    for (number, vector) in vectors.iter().enumerate() {
        let body = json!({"key": vector["key"]}).to_string();
        let call =
            Call::post(&format!("/{number}"), body).header("Content-Type", "application/json");
        let owner = usize::try_from(vector["owner"].as_u64().unwrap()).unwrap();
        assert_eq!(ask(target, &call), vector["names"][owner], "{vector}");
    }
}

/// In the rule form, what one of the rules says of keys is for all that share its condition.
pub(crate) fn rules_that_are_branches_have_keys_together(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let sticky = json!({"by": ["header:x-user-id"], "salt": "s"});
    let rules = |at: usize| {
        let mut rules = ["v1", "v2"]
            .map(|name| json!({"name": name, "weight": 1, "upstream": upstream(&origin)}));
        rules[at]["sticky"] = sticky.clone();
        json!({"traffic-split": {"rules": rules}})
    };
    target.start(&routes(&[
        route("/list", &rule(&origin, [1, 1], &sticky)),
        json!({"uri": "/first", "plugins": rules(0)}),
        json!({"uri": "/second", "plugins": rules(1)}),
    ]));

    for number in 0..20 {
        let of = |path: &str| Call { target: path.to_owned(), ..of_user(&user(number)) };
        let branch = ask(target, &of("/list"));
        assert_eq!(ask(target, &of("/first")), branch, "{number}");
        assert_eq!(ask(target, &of("/second")), branch, "{number}");
    }
}

/// A number is the key that its digits are.
pub(crate) fn numbers_are_keys_by_their_digits(target: &mut impl Target) {
    let _origin = start(target, [1, 1], &json!({"by": ["header:x-user-id", "body:/id"]}));

    for number in 0..20_u64 {
        let large = (u64::MAX - number).to_string();
        let huge = format!("1234567890123456789012345678{number:02}");
        for digits in [number.to_string(), large, huge] {
            let call = Call::post("/x", format!("{{\"id\":{digits}}}"));
            let call = call.header("Content-Type", "application/json");
            assert_eq!(ask(target, &call), ask(target, &of_user(&digits)), "{digits}");
        }
    }
}

/// Cookies may come in several lines, as they do when a front has taken HTTP/2 apart.
pub(crate) fn cookies_may_come_in_several_lines(target: &mut impl Target) {
    let by = json!({"by": ["cookie:session"]});
    let _origin = start(target, [1, 1], &by);

    for number in 0..10 {
        let cookie = format!("session={}", user(number));
        let one = Call::get("/x").header("Cookie", format!("a=b; {cookie}; c=d"));
        let branch = ask(target, &one);
        let several = Call::get("/x").header("Cookie", "a=b").header("Cookie", &cookie);
        assert_eq!(ask(target, &several.header("Cookie", "c=d")), branch, "{number}");
    }
}
