//! Who may choose a branch, and how.

use serde_json::{Value, json};
use splitway_core::seal::{self, Secret};
use splitway_core::time::Timestamp;

use crate::document::{split, upstream};
use crate::message::Call;
use crate::origin::Origin;
use crate::script::Reply;
use crate::target::{SECRET, Target};

/// Starts with the branches `stable`, which has all the weight, and `canary`, which has none.
fn start(target: &mut impl Target, choosing: Option<&Value>) -> Origin {
    let origin = target.origin(Reply::ok(""));
    let mut rule = json!({"weighted_upstreams": [
        {"name": "stable", "weight": 1, "upstream": upstream(&origin)},
        {"name": "canary", "weight": 0, "upstream": upstream(&origin)},
    ]});
    if let Some(choosing) = choosing {
        rule["override"] = choosing.clone();
    }
    target.start(&split(&[rule]));
    origin
}

/// Branches may be chosen by header and by cookie, by whoever is at one of these addresses.
fn from(addresses: &[&str]) -> Value {
    json!({
        "header": "x-splitway-branch",
        "cookie": "splitway-branch",
        "addresses": addresses,
        "tokens": true,
    })
}

fn by_header(value: &str) -> Call {
    Call::get("/x").header("X-Splitway-Branch", value)
}

fn by_cookie(value: &str) -> Call {
    Call::get("/x").header("Cookie", format!("a=b; splitway-branch={value}"))
}

/// Checks where a choice leads, made either way.
fn check(target: &impl Target, choice: &str, expected: &str) {
    for call in [by_header(choice), by_cookie(choice)] {
        let answer = target.call(&call);
        let branch = answer.branch();
        assert_eq!((answer.status, branch.as_deref()), (200, Some(expected)), "{call:?}");
    }
}

/// From an address that may, the name of a branch leads to it, whatever its weight.
pub(crate) fn whoever_may_chooses_by_name(target: &mut impl Target) {
    let origin = start(target, Some(&from(&["10.0.0.0/8", "127.0.0.1"])));

    check(target, "canary", "canary");
    check(target, "stable", "stable");
    assert_eq!(target.call(&Call::get("/x")).branch().as_deref(), Some("stable"));
    assert_eq!(origin.count(), 5);
}

/// From any other address it leads nowhere, whatever the client says about its address.
pub(crate) fn nobody_else_chooses_by_name(target: &mut impl Target) {
    let origin = start(target, Some(&from(&["10.0.0.0/8", "127.0.0.2", "::1"])));

    check(target, "canary", "stable");
    assert!(origin.requests().iter().all(|request| !request.headers.has("x-splitway-branch")));
    let call = by_header("canary").header("X-Forwarded-For", "10.0.0.1").header("X-Real-IP", "::1");
    assert_eq!(target.call(&call).branch().as_deref(), Some("stable"));
}

/// Where nobody is named, nobody chooses by name.
pub(crate) fn without_addresses_nobody_chooses_by_name(target: &mut impl Target) {
    let _origin = start(target, Some(&json!({"header": "x-splitway-branch", "tokens": true})));

    let answer = target.call(&by_header("canary"));
    assert_eq!((answer.status, answer.branch().as_deref()), (200, Some("stable")));
}

/// A name that is no branch's leads nowhere, and is no error.
pub(crate) fn names_of_no_branch_mean_nothing(target: &mut impl Target) {
    let _origin = start(target, Some(&from(&["127.0.0.1"])));

    for choice in ["Canary", "canary2", "", "b1", "route", "none", "*", "can%61ry", "~~~"] {
        check(target, choice, "stable");
    }
}

/// A rule that says nothing of it leaves nobody a choice.
pub(crate) fn without_override_nobody_chooses(target: &mut impl Target) {
    let _origin = start(target, None);

    check(target, "canary", "stable");
}

/// A rule can be told other names of header and cookie, and only these count.
pub(crate) fn header_and_cookie_have_the_names_they_are_given(target: &mut impl Target) {
    let names = json!({"header": "x-choose", "cookie": "choose", "addresses": ["127.0.0.1"]});
    let _origin = start(target, Some(&names));

    check(target, "canary", "stable");
    for call in [
        Call::get("/x").header("X-Choose", "canary"),
        Call::get("/x").header("Cookie", "choose=canary"),
    ] {
        assert_eq!(target.call(&call).branch().as_deref(), Some("canary"), "{call:?}");
    }
}

/// The choice is between the client and Splitway: the upstream does not hear of it.
pub(crate) fn the_upstream_does_not_hear_the_choice(target: &mut impl Target) {
    let origin = start(target, Some(&from(&["127.0.0.1"])));

    for choice in ["canary", "stable", "none such"] {
        let call = by_header(choice).header("X-Other", "kept");
        assert_eq!(target.call(&call).status, 200);
        let request = origin.requests().pop().unwrap();
        assert!(!request.headers.has("x-splitway-branch"), "{choice}");
        assert_eq!(request.header("x-other").as_deref(), Some("kept"));
    }
}

/// A choice goes before the branch of a key.
pub(crate) fn a_choice_goes_before_a_key(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let branch = |name: &str| json!({"name": name, "upstream": upstream(&origin)});
    target.start(&split(&[json!({
        "sticky": {"by": ["header:x-user-id"]},
        "override": from(&["127.0.0.1"]),
        "weighted_upstreams": [branch("one"), branch("two")],
    })]));

    for number in 0..10 {
        let with_key = |call: Call| {
            let answer = target.call(&call.header("X-User-Id", number.to_string()));
            answer.branch().expect("the branch is named")
        };
        let own = with_key(Call::get("/x"));
        for choice in ["one", "two"] {
            assert_eq!(with_key(by_header(choice)), choice);
        }
        assert_eq!(with_key(Call::get("/x")), own);
    }
}

/// Only the branches of the rule that takes a request can be chosen, where this rule says so.
pub(crate) fn a_choice_is_among_the_branches_of_one_rule(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let branch = |name: &str, weight: u32| json!({"name": name, "weight": weight, "upstream": upstream(&origin)});
    let rule = |tier: &str, names: [&str; 2]| {
        json!({
            "match": [{"vars": [["arg_tier", "==", tier]]}],
            "weighted_upstreams": [branch(names[0], 1), branch(names[1], 0)],
        })
    };
    let mut gold = rule("gold", ["gold", "gold-canary"]);
    gold["override"] = from(&["127.0.0.1"]);
    target.start(&split(&[gold, rule("tin", ["tin", "tin-canary"])]));

    for (tier, choice, expected) in [
        ("gold", "gold-canary", "gold-canary"),
        ("gold", "tin-canary", "gold"),
        ("gold", "tin", "gold"),
        ("tin", "tin-canary", "tin"),
        ("tin", "gold-canary", "tin"),
    ] {
        let call = Call { target: format!("/x?tier={tier}"), ..by_header(choice) };
        assert_eq!(target.call(&call).branch().as_deref(), Some(expected), "{tier} {choice}");
    }
}

/// After any test.
const LATER: Timestamp = Timestamp::from_millis(4_102_444_800_000);

/// A token, signed as by the deployment itself.
fn token(branch: &str, route: Option<&str>, until: Timestamp) -> String {
    let secret = Secret::new(SECRET).expect("it is long enough");
    seal::token(&secret, branch, route, until)
}

/// A token leads to its branch from any address, whatever its weight, on its route or on all.
pub(crate) fn whoever_has_a_token_chooses(target: &mut impl Target) {
    let origin = start(target, Some(&from(&["10.0.0.0/8"])));

    check(target, &token("canary", Some("split"), LATER), "canary");
    check(target, &token("canary", None, LATER), "canary");
    assert_eq!(target.call(&Call::get("/x")).branch().as_deref(), Some("stable"));
    assert!(origin.requests().iter().all(|request| !request.headers.has("x-splitway-branch")));
}

/// A token that is over, for another route or no token of ours counts as none, and is no error.
pub(crate) fn a_token_that_does_not_count_means_nothing(target: &mut impl Target) {
    let _origin = start(target, Some(&from(&["10.0.0.0/8"])));

    let good = token("canary", Some("split"), LATER);
    let other = Secret::new("the secret of another deployment").expect("it is long enough");
    for refused in [
        token("canary", Some("split"), Timestamp::from_millis(0)),
        token("canary", Some("other"), LATER),
        token("canary", Some("spli"), LATER),
        token("none-such", None, LATER),
        seal::token(&other, "canary", Some("split"), LATER),
        good[..good.len() - 1].to_owned(),
        format!("{good}0"),
        good.replacen("split", "*", 1),
        token("stable", Some("split"), LATER).replacen("stable", "canary", 1),
        token("canary", Some("split"), Timestamp::from_millis(1000)).replacen(
            "~1~",
            "~4102444800~",
            1,
        ),
    ] {
        check(target, &refused, "stable");
    }
    check(target, &good, "canary");
}

/// Whatever character of a token is changed, it does not count.
pub(crate) fn a_changed_token_means_nothing(target: &mut impl Target) {
    let _origin = start(target, Some(&from(&["10.0.0.0/8"])));

    let good = token("canary", Some("split"), LATER);
    for (at, character) in good.char_indices() {
        let other = if character == '1' { '2' } else { '1' };
        let changed = format!("{}{other}{}", &good[..at], &good[at + 1..]);
        let answer = target.call(&by_header(&changed));
        let branch = answer.branch();
        assert_eq!((answer.status, branch.as_deref()), (200, Some("stable")), "{changed}");
    }
}

/// A rule that takes no tokens takes none.
pub(crate) fn tokens_are_taken_where_it_is_said(target: &mut impl Target) {
    let mut choosing = from(&["10.0.0.0/8"]);
    choosing["tokens"] = json!(false);
    let _origin = start(target, Some(&choosing));

    check(target, &token("canary", Some("split"), LATER), "stable");
}

/// Who chooses takes no turn from those who do not.
pub(crate) fn choices_do_not_disturb_exact_shares(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let branch = |name: &str, weight: u32| json!({"name": name, "weight": weight, "upstream": upstream(&origin)});
    target.start(&split(&[json!({
        "override": from(&["127.0.0.1"]),
        "weighted_upstreams": [branch("v1", 3), branch("v2", 1)],
    })]));

    let mut picks = Vec::new();
    for number in 0..40 {
        picks.push(target.call(&Call::get("/x")).branch().as_deref() == Some("v2"));
        (0..number % 3).for_each(|_| check(target, "v2", "v2"));
    }
    for window in picks.windows(4) {
        assert_eq!(window.iter().filter(|is_v2| **is_v2).count(), 1, "{picks:?}");
    }
}
