//! Who has no key is given one in a cookie, and comes again with that.

use serde_json::{Value, json};

use super::sticky::{ask, assignments, by_header, of_user, route, rule, start, user};
use crate::document::routes;
use crate::message::{Answer, Call};
use crate::script::Reply;
use crate::target::Target;

/// The value of a cookie that an answer sets, among others, and what else is said of it.
fn issued(answer: &Answer, name: &str) -> Option<(String, Vec<String>)> {
    let lines = answer.headers.all("set-cookie");
    let lines = lines.iter().map(|line| String::from_utf8_lossy(line).into_owned());
    let mut own = lines.filter(|line| line.starts_with(&format!("{name}=")));
    let line = own.next()?;
    assert_eq!(own.next(), None, "{line}");
    let mut parts = line.split(';').map(|part| part.trim().to_ascii_lowercase());
    parts.next();
    let (_, value) = line.split(';').next()?.split_once('=')?;
    let mut attributes: Vec<String> = parts.collect();
    attributes.sort();
    Some((value.to_owned(), attributes))
}

fn with_cookie() -> Value {
    json!({"by": ["header:x-user-id"], "cookie": {"name": "splitway", "max_age": 3600}})
}

fn returning(value: &str) -> Call {
    Call::get("/x").header("Cookie", format!("a=b; splitway={value}; c=d"))
}

/// Who has no key gets a cookie, and with it stays on one branch.
pub(crate) fn a_client_with_a_cookie_of_ours_stays(target: &mut impl Target) {
    let _origin = start(target, [1, 1], &with_cookie());

    for _ in 0..10 {
        let first = target.call(&Call::get("/x"));
        let (value, attributes) = issued(&first, "splitway").expect("a cookie is set");
        let expected = ["httponly", "max-age=3600", "path=/", "samesite=lax", "secure"];
        assert_eq!(attributes, expected);
        for _ in 0..5 {
            assert_eq!(Some(ask(target, &returning(&value))), first.branch(), "{value}");
        }
    }
}

/// A cookie that is not of ours means nothing: a new one is issued, as if there were none.
pub(crate) fn a_cookie_that_is_not_of_ours_is_replaced(target: &mut impl Target) {
    let _origin = start(target, [1, 1], &with_cookie());

    let (value, _) = issued(&target.call(&Call::get("/x")), "splitway").expect("a cookie is set");
    let last = value.chars().last().unwrap();
    let changed = format!("{}{}", &value[..value.len() - 1], if last == '0' { '1' } else { '0' });
    let shorter = value[..value.len() - 1].to_owned();
    let cut = value[1..].to_owned();
    for forged in [changed, shorter, cut, "v2".to_owned(), String::new(), "%00".to_owned()] {
        let answer = target.call(&returning(&forged));
        assert_eq!(answer.status, 200, "{forged}");
        let (new, _) = issued(&answer, "splitway").expect("a new one is set");
        assert_ne!(new, forged);
        assert_eq!(Some(ask(target, &returning(&new))), answer.branch(), "{forged}");
    }
}

/// The cookies of the upstream reach the client beside ours.
pub(crate) fn the_cookies_of_the_upstream_are_kept(target: &mut impl Target) {
    let reply = Reply::ok("").header("Set-Cookie", "a=1; Path=/").header("Set-Cookie", "b=2");
    let origin = target.origin(reply);
    target.start(&routes(&[route("/*", &rule(&origin, [1, 1], &with_cookie()))]));

    let answer = target.call(&Call::get("/x"));
    assert!(issued(&answer, "splitway").is_some());
    assert_eq!(issued(&answer, "a"), Some(("1".to_owned(), vec!["path=/".to_owned()])));
    assert_eq!(issued(&answer, "b"), Some(("2".to_owned(), vec![])));
    let lines = answer.headers.all("set-cookie");
    assert_eq!(lines.len(), 3, "{lines:?}");
}

/// A key goes before the cookie.
pub(crate) fn a_key_goes_before_the_cookie(target: &mut impl Target) {
    let _origin = start(target, [1, 1], &with_cookie());

    let all = assignments(target, 20);
    let (value, _) = issued(&target.call(&Call::get("/x")), "splitway").expect("a cookie is set");
    for (number, branch) in all.iter().enumerate() {
        let call = returning(&value).header("X-User-Id", user(number));
        assert_eq!(ask(target, &call), *branch, "{number}");
    }
}

/// Without `cookie` nobody is given one.
pub(crate) fn without_a_name_for_it_no_cookie_is_set(target: &mut impl Target) {
    let _origin = start(target, [1, 1], &by_header());

    for call in [Call::get("/x"), of_user("a")] {
        assert!(!target.call(&call).headers.has("set-cookie"));
    }
}
