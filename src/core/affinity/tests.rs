use super::*;
use crate::facts::Body;
use crate::facts::Caller;
use crate::facts::fake::Asked;
use crate::fault::Fault;
use crate::wire;
use serde_json::{Value as Json, json};

fn compile(sticky: &Json) -> Result<Affinity, Vec<String>> {
    let mut report = Report::default();
    let affinity = wire::read(sticky, At::Root, &mut report, |wire: StickyWire, report| {
        Affinity::compile(&wire, "routes/chat", &[], At::Root, report)
    });
    let faults: Vec<String> = report.faults.iter().map(Fault::to_string).collect();
    assert_eq!(affinity.is_some(), faults.is_empty(), "{faults:?}");
    affinity.ok_or(faults)
}

fn by(places: &[&str]) -> Affinity {
    compile(&json!({"by": places})).expect("sound")
}

fn secret() -> Secret {
    Secret::new("a secret for tests").expect("long enough")
}

/// The place and the key that are found.
fn key(affinity: &Affinity, asked: &Asked, body: Body<'_>) -> Option<(String, String)> {
    asked.with(body, |facts| {
        affinity.key(&facts).map(|found| (found.by.to_owned(), found.key.into_owned()))
    })
}

fn key_in(place: &str, asked: &Asked, body: Body<'_>) -> Option<String> {
    key(&by(&[place]), asked, body).map(|(_, key)| key)
}

#[test]
fn the_first_place_with_a_value_gives_the_key() {
    let affinity = by(&["header:X-User-ID", "cookie:session", "consumer", "ip"]);
    let asked = |user: &str, cookie: &str| {
        let asked = Asked::default().header("x-user-id", user).header("cookie", cookie);
        key(&affinity, &asked.from("192.0.2.7"), Body::Unread)
    };
    let pair = |place: &str, key: &str| Some((place.to_owned(), key.to_owned()));
    assert_eq!(asked("u-17", "session=s"), pair("header:X-User-ID", "u-17"));
    assert_eq!(asked("", "a=b; session=s"), pair("cookie:session", "s"));
    assert_eq!(asked("", "session="), pair("ip", "192.0.2.7"));
    assert_eq!(key(&affinity, &Asked::default(), Body::Unread), None);
    let by_consumer = Asked::default().with(Body::Unread, |facts| {
        let facts = facts.of_caller(Caller { consumer: Some("jack"), ..Caller::default() });
        affinity.key(&facts).map(|found| (found.by.to_owned(), found.key.into_owned()))
    });
    assert_eq!(by_consumer, pair("consumer", "jack"));
}

#[test]
fn an_argument_gives_its_value_if_it_has_one() {
    for (query, expected) in
        [("user=u%2017&user=x", Some("u 17")), ("a=b", None), ("user", None), ("user=", None)]
    {
        let asked = Asked { query: Some(query.to_owned()), ..Asked::default() };
        let key = key_in("arg:user", &asked, Body::Unread);
        assert_eq!(key.as_deref(), expected, "{query}");
    }
}

#[test]
fn addresses_are_keys_in_one_form_each_and_ipv6_by_its_network() {
    for (client, expected) in [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:0:1:aaaa::1", "2001:db8:0:1::"),
        ("2001:db8:0:1:bbbb::2", "2001:db8:0:1::"),
    ] {
        let key = key_in("ip", &Asked::default().from(client), Body::Unread);
        assert_eq!(key.as_deref(), Some(expected));
    }
}

#[test]
fn a_body_gives_what_its_pointer_leads_to() {
    let body = r#"{"user": "u", "a/b": {"m~n": [1, 2.50, true]}, "no": null, "": "e", "x": ""}"#;
    for (pointer, expected) in [
        ("/user", Some("u")),
        ("/a~1b/m~0n/0", Some("1")),
        ("/a~1b/m~0n/1", Some("2.50")),
        ("/a~1b/m~0n/2", Some("true")),
        ("/", Some("e")),
        ("/a~1b", None),
        ("/a~1b/m~0n", None),
        ("/a~1b/m~0n/3", None),
        ("/a~1b/m~0n/00", None),
        ("/no", None),
        ("/x", None),
        ("/user/u", None),
    ] {
        let place = format!("body:{pointer}");
        let key = key_in(&place, &Asked::default(), Body::Whole(body.as_bytes()));
        assert_eq!(key.as_deref(), expected, "{pointer}");
    }
    for body in ["", "user=u", "{\"user\": \"u\"", "\u{feff}{}"] {
        let key = key_in("body:/user", &Asked::default(), Body::Whole(body.as_bytes()));
        assert_eq!(key, None, "{body}");
    }
}

#[test]
fn a_body_is_asked_for_only_if_nothing_before_it_has_a_key() {
    let affinity = by(&["header:user", "body:/user", "ip"]);
    assert!(affinity.needs_body() && !by(&["ip"]).needs_body());
    let wants = |asked: Asked| {
        asked.with(Body::Unread, |facts| {
            affinity.key(&facts);
            facts.wants_body()
        })
    };
    assert!(!wants(Asked::default().header("user", "u")));
    assert!(wants(Asked::default()));
}

#[test]
fn a_cookie_is_issued_once_and_known_again() {
    let affinity = compile(&json!({"cookie": {}})).expect("sound");
    let issued = affinity.issue([1, 0xabc], &secret()).expect("a cookie is set up");
    assert_eq!(issued.key, "00000000000000010000000000000abc");
    let (pair, attributes) = issued.set_cookie.split_once(';').expect("attributes");
    assert_eq!(attributes, " Max-Age=2592000; Path=/; Secure; HttpOnly; SameSite=Lax");
    let known = |affinity: &Affinity, cookie: &str, secret: &Secret| {
        Asked::default().header("cookie", cookie).with(Body::Unread, |facts| {
            affinity.issued_key(&facts, secret).map(|found| found.key.into_owned())
        })
    };
    assert_eq!(known(&affinity, pair, &secret()).as_ref(), Some(&issued.key));
    let second = format!("splitway=forged.00; a=b; {pair}");
    assert_eq!(known(&affinity, &second, &secret()).as_ref(), Some(&issued.key), "of another path");

    let other = Secret::new("another secret for tests").expect("long enough");
    assert_eq!(known(&affinity, pair, &other), None);
    let salted = compile(&json!({"cookie": {}, "salt": "s"})).expect("sound");
    assert_eq!(known(&salted, pair, &secret()), Some(issued.key), "splits share a cookie");
    let named = compile(&json!({"cookie": {"name": "s"}})).expect("sound");
    let renamed = pair.replace("splitway=", "s=");
    assert_eq!(known(&named, &renamed, &secret()), None, "of another cookie");
    for at in "splitway=".len()..pair.len() {
        for with in ["", "0", "1", "f", "A", ".", " "] {
            let changed = format!("{}{with}{}", &pair[..at], &pair[at + 1..]);
            let taken = changed != pair && known(&affinity, &changed, &secret()).is_some();
            assert!(!taken, "{changed}");
        }
    }
    assert_eq!(by(&["ip"]).issue([1, 2], &secret()), None);
}

#[test]
fn all_of_a_cookie_can_be_said() {
    let affinity = compile(&json!({"by": ["ip"], "salt": "s", "cookie": {
        "name": "b", "max_age": 60, "path": "/v1", "domain": "example.com", "same_site": "None",
    }}));
    let affinity = affinity.expect("sound");
    assert_eq!(affinity.salt(), "s");
    assert_eq!(by(&["ip"]).salt(), "routes/chat", "that of the caller");
    let issued = affinity.issue([0, 0], &secret()).expect("a cookie is set up");
    let attributes = "; Max-Age=60; Path=/v1; Domain=example.com; Secure; HttpOnly; SameSite=None";
    assert!(issued.set_cookie.starts_with("b=00000000000000000000000000000000."));
    assert!(issued.set_cookie.ends_with(attributes), "{}", issued.set_cookie);
}

#[test]
fn what_no_request_can_bring_is_warned_of() {
    let check = |sticky: Json, methods: &[&str], expected: &[&str]| {
        let methods: Vec<String> = methods.iter().map(|it| (*it).to_owned()).collect();
        let mut report = Report::default();
        let compile = |wire: StickyWire, report: &mut Report| {
            Affinity::compile(&wire, "s", &methods, At::Root, report)
        };
        assert!(wire::read(&sticky, At::Root, &mut report, compile).is_some());
        let warnings: Vec<String> = report.warnings.iter().map(Fault::to_string).collect();
        assert_eq!(warnings, expected, "{sticky}");
    };
    check(json!({"by": ["arg:a", "header:b", "cookie:c", "body:/d", "ip"]}), &["POST"], &[]);
    check(
        json!({"by": ["consumer", "ip", "arg:a"], "cookie": {}}),
        &[],
        &[
            "/by/2: never looked at: every request has an `ip`",
            "/cookie: never issued: every request has an `ip`",
        ],
    );
    check(
        json!({"by": ["body:/user"]}),
        &["GET", "HEAD"],
        &["/by/0: no key: the methods of the route are ones without bodies"],
    );
}

#[test]
fn faults_are_told_with_their_places() {
    const FORMS: &str =
        "expected `consumer`, `ip`, or `header`, `cookie`, `arg`, `body` with `:` and a name";
    let check = |sticky: Json, expected: &[&str]| {
        let faults = compile(&sticky).map(|_| ()).expect_err("faulty");
        assert_eq!(faults, expected, "{sticky}");
    };
    check(
        json!({}),
        &["(document): `by` or `cookie` is missing: there is nothing to tell clients apart by"],
    );
    check(json!({"by": []}), &["/by: expected 1 to 8 places, found 0"]);
    let nine: Vec<String> = (0..9).map(|index| format!("header:h{index}")).collect();
    check(json!({"by": nine}), &["/by: expected 1 to 8 places, found 9"]);
    check(
        json!({"by": ["hedaer:x", "header", "user", "ip:", "header:a b", "arg:", "body:user", "body:/~2"]}),
        &[
            &format!("/by/0: {FORMS}; did you mean `header:`?"),
            &format!("/by/1: {FORMS}; did you mean `header:`?"),
            &format!("/by/2: {FORMS}"),
            &format!("/by/3: {FORMS}; did you mean `ip`?"),
            "/by/4: expected the name of a header",
            "/by/5: expected the name of an argument",
            "/by/6: expected a JSON pointer such as `body:/user/id` (RFC 6901)",
            "/by/7: expected a JSON pointer such as `body:/user/id` (RFC 6901)",
        ],
    );
    check(
        json!({"by": ["header:A", "ip", "header:a", "body:/\n"]}),
        &[
            "/by/2: `header:a` stands here twice",
            "/by/3: expected up to 256 bytes without control characters",
        ],
    );
    check(
        json!({"by": ["ip", "cookie:splitway"], "cookie": {}}),
        &["/by/1: this cookie is issued and counts anyway, but only if it is signed"],
    );
    check(
        json!({"by": ["ip"], "sallt": "", "salt": "", "cookie": {
            "name": "a b", "max_age": 0, "path": "/;x", "domain": ".example.com", "same_site": "lax",
        }}),
        &[
            "/cookie/same_site: unknown value `lax`, expected one of [\"Lax\", \"Strict\", \"None\"]; did you mean `Lax`?",
            "/sallt: unknown key; did you mean `salt`?",
            "/salt: expected 1 to 256 bytes, found 0",
            "/cookie/name: expected a token of up to 512 bytes (RFC 6265)",
            "/cookie/max_age: expected 1 to 34560000 seconds, which are 400 days",
            "/cookie/path: expected a path of up to 1024 bytes that starts with `/`",
            "/cookie/domain: expected a domain name such as `example.com`",
        ],
    );
    check(
        json!({"cookie": {"name": "__Host-a", "path": "/v1"}}),
        &["/cookie/name: browsers take `__Host-` only with the path `/` and without `domain`"],
    );
}

/// Whatever it reads it neither panics nor makes a header that is more than one line.
#[test]
fn garbage_is_refused_or_harmless() {
    let mut state = 3_u64;
    let mut draw = move |bound: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(state >> 33).unwrap() % bound
    };
    let words = [
        "header", "cookie", "ip", "body", ":", "/", "~", "~0", "1", "=", ";", ".", "", " ", "\n",
        "\u{0}", "\u{fc}", "{", "}", "[", "\"", "a", "A", ",", "splitway", "__Host-", "consumer",
    ];
    let mut text = move || -> String { (0..draw(8)).map(|_| words[draw(words.len())]).collect() };
    let (mut sound, mut found) = (0, 0);
    for _ in 0..20_000 {
        let sticky = json!({"by": [format!("cookie:{}", text())], "salt": text(), "cookie": {
            "name": text(), "path": format!("/{}", text()), "domain": "example.com",
        }});
        if let Ok(affinity) = compile(&sticky) {
            let issued = affinity.issue([0, 0], &secret()).expect("a cookie is set up");
            assert!(!issued.set_cookie.contains(char::is_control));
            sound += 1;
        }
        let affinity = compile(&json!({"by": ["cookie:a", "body:/a", "header:a"], "cookie": {}}));
        let asked = Asked::default().header("cookie", &text()).header("a", &text());
        asked.with(Body::Whole(text().as_bytes()), |facts| {
            let affinity = affinity.expect("sound");
            found += usize::from(affinity.key(&facts).is_some_and(|found| !found.key.is_empty()));
            assert_eq!(affinity.issued_key(&facts, &secret()), None);
        });
        let _ = Place::parse(&text());
    }
    assert!(sound > 0 && found > 1000, "{sound} {found}");
}
