//! Who calls, known by a token: how it is signed, where it stands, when it counts, and whose keys say so.

use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::document::upstream;
use crate::message::{Answer, Call};
use crate::origin::Origin;
use crate::script::{Act, Reply, Script};
use crate::sign::{Signer, key_set};
use crate::target::Target;

const SECRET: &str = "a secret of more than thirty-two bytes";
/// [`SECRET`] in base 64.
const SECRET_64: &str = "YSBzZWNyZXQgb2YgbW9yZSB0aGFuIHRoaXJ0eS10d28gYnl0ZXM=";

/// Starts with one route with this plugin and these consumers, by what `jwt-auth` is told about them.
fn start(target: &mut impl Target, plugin: &Value, consumers: &[(&str, Value)]) -> Origin {
    let origin = target.origin(Reply::ok(""));
    let consumer = |(name, told): &(&str, Value)| match told.is_null() {
        true => json!({"username": name}),
        false => json!({"username": name, "plugins": {"jwt-auth": told}}),
    };
    let route = json!({
        "id": "r", "uri": "/*", "upstream": upstream(&origin), "plugins": {"jwt-auth": plugin},
    });
    let consumers: Vec<Value> = consumers.iter().map(consumer).collect();
    target.start(&json!({"routes": [route], "consumers": consumers}).to_string());
    origin
}

/// Jack, who signs with a secret.
fn jack() -> (&'static str, Value) {
    ("jack", json!({"key": "jacks", "secret": SECRET}))
}

fn bearer(token: &str) -> Call {
    Call::get("/x").header("Authorization", format!("Bearer {token}"))
}

fn of(key: &str) -> Value {
    json!({"key": key})
}

/// Who was told to have called last.
fn who(origin: &Origin) -> String {
    origin.requests().pop().unwrap().header("x-consumer-username").unwrap_or_default()
}

#[track_caller]
fn check_in(target: &impl Target, call: &Call) {
    let answer = target.call(call);
    assert_eq!(answer.status, 200, "{call:?}: {}", answer.text());
}

#[track_caller]
fn check_out(answer: &Answer, message: &str) {
    assert_eq!((answer.status, answer.json()), (401, json!({"message": message})));
    assert_eq!(answer.header("www-authenticate").as_deref(), Some("Bearer realm=\"jwt\""));
}

const MISSING: &str = "Missing JWT token in request";
const INVALID: &str = "JWT token invalid";
const REFUSED: &str = "failed to verify jwt";

/// A token lets in the consumer that it names, if it is signed as the document says.
pub(crate) fn tokens_of_every_algorithm_let_their_consumer_in(target: &mut impl Target) {
    let signers = [Signer::rs256(), Signer::es256(), Signer::eddsa()];
    let mut consumers =
        vec![jack(), ("jim", json!({"key": "jims", "secret": SECRET_64, "base64_secret": true}))];
    for (signer, name) in signers.iter().zip(["rita", "ella", "eddy"]) {
        let (algorithm, pem) = (signer.algorithm(), signer.pem());
        consumers.push((name, json!({"key": name, "algorithm": algorithm, "public_key": pem})));
    }
    let origin = start(target, &json!({}), &consumers);

    let secret = Signer::hs256(SECRET);
    check_in(target, &bearer(&secret.token(&of("jacks"))));
    assert_eq!(who(&origin), "jack");
    check_in(target, &bearer(&secret.token(&of("jims"))));
    assert_eq!(who(&origin), "jim");
    for (signer, name) in signers.iter().zip(["rita", "ella", "eddy"]) {
        check_in(target, &bearer(&signer.token(&of(name))));
        assert_eq!(who(&origin), name);
        // Once more: what a runtime keeps of a key is the key.
        check_in(target, &bearer(&signer.token_by("of no interest", &of(name))));
    }
    let count = origin.count();
    for signer in &signers {
        for name in ["jacks", "rita", "ella", "eddy"] {
            let forged = Signer::sign(signer, &json!({"alg": signer.algorithm()}), &of(name));
            let changed = format!("{}AAAA", &forged[..forged.len() - 4]);
            check_out(&target.call(&bearer(&changed)), REFUSED);
        }
    }
    assert_eq!(origin.count(), count, "nothing of it was sent");
}

/// What a token says of its own signature changes nothing about how it is checked.
pub(crate) fn the_algorithm_is_not_the_tokens_to_choose(target: &mut impl Target) {
    let rita = Signer::rs256();
    let public = json!({"key": "ritas", "algorithm": "RS256", "public_key": rita.pem()});
    let origin = start(target, &json!({}), &[jack(), ("rita", public)]);

    let secret = Signer::hs256(SECRET);
    let bare = secret.sign(&json!({"alg": "none"}), &of("jacks"));
    let unsigned = &bare[..=bare.rfind('.').unwrap()];
    check_out(&target.call(&bearer(unsigned)), REFUSED);
    check_out(&target.call(&bearer(&bare)), REFUSED);
    // The public key as a secret, in the ways in which it is at hand.
    let pem = rita.pem();
    for known in [&*pem, pem.trim(), pem.lines().nth(1).unwrap(), ""] {
        for header in [json!({"alg": "HS256"}), json!({"alg": "RS256"})] {
            let forged = Signer::hs256(known).sign(&header, &of("ritas"));
            check_out(&target.call(&bearer(&forged)), REFUSED);
        }
    }
    // A key that comes along.
    let header = json!({"alg": "EdDSA", "jwk": Signer::eddsa().jwk("k")});
    check_out(&target.call(&bearer(&Signer::eddsa().sign(&header, &of("ritas")))), REFUSED);
    for header in [json!({"alg": "HS256", "crit": ["exp"]}), json!({"alg": 1}), json!({})] {
        check_out(&target.call(&bearer(&secret.sign(&header, &of("jacks")))), INVALID);
    }
    assert_eq!(origin.count(), 0);
    check_in(target, &bearer(&rita.token(&of("ritas"))));
}

/// Everything else that is wrong with a token is answered as by APISIX.
pub(crate) fn a_token_without_fault_is_asked_for(target: &mut impl Target) {
    let origin = start(target, &json!({}), &[jack()]);
    let secret = Signer::hs256(SECRET);

    check_out(&target.call(&Call::get("/x")), MISSING);
    let token = secret.token(&of("jacks"));
    let twice = bearer(&token).header("Authorization", format!("Bearer {token}"));
    check_out(&target.call(&twice), INVALID);
    // Not an empty one: to workerd that is none.
    for text in ["a.b.c", "Basic abc", "Bearer", &format!("Bearer {token}.")] {
        let call = Call::get("/x").header("Authorization", text);
        check_out(&target.call(&call), INVALID);
    }
    let nameless = secret.token(&json!({"sub": "jacks"}));
    check_out(&target.call(&bearer(&nameless)), "missing user key in JWT token");
    for key in [json!("jills"), json!(""), json!(1), json!(["jacks"])] {
        let call = bearer(&secret.token(&json!({"key": key})));
        check_out(&target.call(&call), "Invalid user key in JWT token");
    }
    let other = Signer::hs256("another secret of thirty-two bytes");
    check_out(&target.call(&bearer(&other.token(&of("jacks")))), REFUSED);
    let long = secret.token(&json!({"key": "jacks", "more": "x".repeat(16_384)}));
    assert!(matches!(target.call(&bearer(&long)).status, 401 | 431));
    assert_eq!(origin.count(), 0);
}

/// Tokens count from `nbf` to `exp`, with as much patience for clocks as the consumer has.
pub(crate) fn tokens_count_in_their_time(target: &mut impl Target) {
    let patient = json!({"key": "patient", "secret": SECRET, "lifetime_grace_period": 600});
    let origin = start(target, &json!({}), &[jack(), ("pat", patient)]);
    let secret = Signer::hs256(SECRET);
    let now = i64::try_from(target.time().as_secs()).unwrap();

    for (claims, is_jacks, is_pats) in [
        (json!({"exp": now + 300}), true, true),
        (json!({"exp": now - 300}), false, true),
        (json!({"exp": now - 900}), false, false),
        (json!({"nbf": now - 300}), true, true),
        (json!({"nbf": now + 300}), false, true),
        (json!({"nbf": now + 900}), false, false),
        (json!({"nbf": now - 1, "exp": now as f64 + 300.5}), true, true),
        (json!({"exp": (now + 300).to_string()}), false, false),
    ] {
        for (key, is_taken) in [("jacks", is_jacks), ("patient", is_pats)] {
            let mut claims = claims.clone();
            claims["key"] = json!(key);
            let answer = target.call(&bearer(&secret.token(&claims)));
            match is_taken {
                true => assert_eq!(answer.status, 200, "{claims}"),
                false => check_out(&answer, REFUSED),
            }
        }
    }
    assert_eq!(origin.count(), 8);
    let origin = start(target, &json!({"claims_to_verify": ["nbf"]}), &[jack()]);
    check_in(target, &bearer(&secret.token(&json!({"key": "jacks", "exp": now - 300}))));
    assert_eq!(origin.count(), 1);
}

/// A token is looked for in the header, then in the query, then in the cookies, and hidden where it was.
pub(crate) fn tokens_stand_in_three_places(target: &mut impl Target) {
    let origin = start(target, &json!({}), &[jack()]);
    let token = Signer::hs256(SECRET).token(&of("jacks"));

    let plain = Call::get("/x").header("Authorization", &token);
    let query = Call::get(&format!("/x?a=1&jwt={token}"));
    let cookie = Call::get("/x").header("Cookie", format!("a=1; jwt={token}; b=2"));
    for call in [&bearer(&token), &plain, &query, &cookie] {
        check_in(target, call);
        assert_eq!(who(&origin), "jack");
    }
    check_out(&target.call(&query.clone().header("Authorization", "Bearer x")), INVALID);
    let twice = Call::get(&format!("/x?jwt={token}&jwt={token}"));
    check_out(&target.call(&twice.header("Cookie", format!("jwt={token}"))), INVALID);

    let named = json!({
        "header": "X-Token", "query": "t", "cookie": "c", "hide_credentials": true,
        "key_claim_name": "iss",
    });
    let origin = start(target, &named, &[jack()]);
    let token = Signer::hs256(SECRET).token(&json!({"iss": "jacks"}));
    let sent = |target: &_, call: &Call| {
        check_in(target, call);
        let request = origin.requests().pop().unwrap();
        (request.target.clone(), request.header("x-token"), request.header("cookie"))
    };
    let header = Call::get("/x?t=1").header("X-Token", format!("bearer {token}"));
    assert_eq!(sent(target, &header), ("/x?t=1".into(), None, None));
    let query = Call::get(&format!("/x?a=%31&t={token}&b")).header("Cookie", "c=1");
    assert_eq!(sent(target, &query), ("/x?a=%31&b".into(), None, Some("c=1".into())));
    let cookie = Call::get("/x").header("Cookie", format!("a=1; c={token}; jwt=2"));
    assert_eq!(sent(target, &cookie), ("/x".into(), None, Some("a=1; jwt=2".into())));
    let only = Call::get("/x").header("Cookie", format!("c={token}"));
    assert_eq!(sent(target, &only), ("/x".into(), None, None));
    let unnamed = Call::get("/x").header("Authorization", format!("Bearer {token}"));
    check_out(&target.call(&unnamed), MISSING);
}

/// With an anonymous consumer everybody comes in, and whoever has a good token as themselves.
pub(crate) fn whoever_has_no_token_can_be_somebody(target: &mut impl Target) {
    let plugin = json!({"anonymous_consumer": "guest"});
    let origin = start(target, &plugin, &[jack(), ("guest", json!(null))]);
    let forged = Signer::hs256("").token(&of("jacks"));
    for call in [Call::get("/x"), bearer("x"), bearer(&forged)] {
        check_in(target, &call.header("X-Consumer-Username", "jack"));
        assert_eq!(who(&origin), "guest");
    }
    check_in(target, &bearer(&Signer::hs256(SECRET).token(&of("jacks"))));
    assert_eq!(who(&origin), "jack");
}

/// A consumer whose keys are at this upstream.
fn published(keys: &Origin, algorithm: &str) -> (&'static str, Value) {
    let url = format!("http://{}/keys", keys.authority());
    ("kim", json!({"key": "kims", "algorithm": algorithm, "jwks_uri": url}))
}

/// Keys that others publish are got when they are needed, and then kept.
pub(crate) fn keys_can_be_published(target: &mut impl Target) {
    for signer in [Signer::rs256(), Signer::es256(), Signer::eddsa()] {
        let others = [Signer::eddsa().jwk("e"), Signer::es256().jwk("p"), json!({"kty": "oct"})];
        let set = key_set(&[&others[..], &[signer.jwk("k1")]].concat());
        let keys = target.origin(Reply::ok(set));
        let origin = start(target, &json!({}), &[published(&keys, signer.algorithm())]);
        assert_eq!(keys.count(), 0, "nobody asked yet");
        for _ in 0..3 {
            check_in(target, &bearer(&signer.token_by("k1", &of("kims"))));
            assert_eq!(who(&origin), "kim");
        }
        assert_eq!(keys.count(), 1);
        let asked = keys.only_request();
        assert_eq!((&*asked.method, &*asked.target), ("GET", "/keys"));
        // Signed by another, signed by the right one and named wrongly, and not signed at all.
        let other = Signer::hs256(SECRET).token_by("k1", &of("kims"));
        let named = signer.token_by("p", &of("kims"));
        let forged = Signer::eddsa().token_by("k1", &of("kims"));
        for token in [other, named, forged] {
            check_out(&target.call(&bearer(&token)), REFUSED);
        }
        assert_eq!(keys.count(), 1);
    }
}

/// However many tokens name keys that nobody knows, a source is asked no more often for it.
pub(crate) fn invented_keys_do_not_trouble_their_source(target: &mut impl Target) {
    let kim = Signer::eddsa();
    let keys = target.origin(Reply::ok(key_set(&[kim.jwk("k1")])));
    let origin = start(target, &json!({}), &[published(&keys, "EdDSA")]);
    let stranger = Signer::eddsa();
    for number in 0..50 {
        let token = stranger.token_by(&format!("k{number}"), &of("kims"));
        check_out(&target.call(&bearer(&token)), REFUSED);
    }
    check_in(target, &bearer(&kim.token_by("k1", &of("kims"))));
    assert_eq!((keys.count(), origin.count()), (1, 1));
}

/// Whoever comes before the keys waits for them, and they are asked for once.
pub(crate) fn all_wait_for_the_first_keys(target: &mut impl Target) {
    let kim = Signer::es256();
    let slow = Act::from(Reply::ok(key_set(&[kim.jwk("k1")]))).late(Duration::from_millis(400));
    let keys = target.origin(slow);
    let origin = start(target, &json!({}), &[published(&keys, "ES256")]);
    let target = &*target;
    thread::scope(|scope| {
        for _ in 0..8 {
            let call = bearer(&kim.token_by("k1", &of("kims")));
            scope.spawn(move || check_in(target, &call));
        }
    });
    assert_eq!((keys.count(), origin.count()), (1, 8));
}

/// Whoever asks first and leaves does not take the keys away from others.
pub(crate) fn keys_come_for_all_when_who_asked_has_left(target: &mut impl Target) {
    let kim = Signer::es256();
    let slow = Act::from(Reply::ok(key_set(&[kim.jwk("k1")]))).late(Duration::from_millis(400));
    let keys = target.origin(slow);
    let origin = start(target, &json!({}), &[published(&keys, "ES256")]);
    let call = bearer(&kim.token_by("k1", &of("kims")));
    let mut connection = target.dial();
    connection.send(&call);
    keys.wait_until("is asked", |requests| requests.len() == 1);
    drop(connection);
    check_in(target, &call);
    // Whether the first request still goes up is for the runtime to say, which may not have noticed.
    assert_eq!(keys.count(), 1);
    assert!(origin.count() >= 1);
}

/// Without keys nobody knows whether a token is right: that is not the client's fault.
pub(crate) fn without_keys_it_is_a_503_problem(target: &mut impl Target) {
    let kim = Signer::eddsa();
    let refusing = target.refusing_origin();
    let html = target.origin(Reply::ok("<html>"));
    let moved = target.origin(Reply::status(302).header("Location", "http://127.0.0.1/").body(""));
    let long = key_set(&[kim.jwk("k1")]) + &" ".repeat(64 * 1024);
    let long = target.origin(Reply::ok(long));
    for keys in [refusing, html, moved, long] {
        let origin = start(target, &json!({}), &[published(&keys, "EdDSA")]);
        for _ in 0..3 {
            let answer = target.call(&bearer(&kim.token_by("k1", &of("kims"))));
            assert_eq!(answer.status, 503, "{}", answer.text());
            let problem = "urn:splitway:problem:proxy_internal_error";
            assert_eq!(answer.json()["type"], problem);
        }
        // What is refused without a key, is.
        let now = i64::try_from(target.time().as_secs()).unwrap();
        let expired = kim.token_by("k1", &json!({"key": "kims", "exp": now - 60}));
        check_out(&target.call(&bearer(&expired)), REFUSED);
        assert!(keys.count() <= 1, "it was asked once");
        assert_eq!(origin.count(), 0);
    }
}

/// New keys are found by their names; keys that are there stay while their source is away.
pub(crate) fn keys_are_rotated(target: &mut impl Target) {
    let (old, new) = (Signer::eddsa(), Signer::es256());
    let next = Signer::eddsa();
    let sets = [
        Reply::ok(key_set(&[old.jwk("1"), new.jwk("es")])).into(),
        Reply::ok(key_set(&[old.jwk("1"), next.jwk("2")])).into(),
        Act::Close,
        Reply::status(500).body("").into(),
    ];
    let keys = target.origin(Script::in_turn(sets, Reply::ok(key_set(&[next.jwk("2")]))));
    let origin = start(target, &json!({}), &[published(&keys, "EdDSA")]);
    let (by_old, by_next) = (old.token_by("1", &of("kims")), next.token_by("2", &of("kims")));

    check_in(target, &bearer(&by_old));
    check_out(&target.call(&bearer(&by_next)), REFUSED);
    target.pass(Duration::from_secs(31));
    check_in(target, &bearer(&by_next));
    check_in(target, &bearer(&by_old));
    assert_eq!(keys.count(), 2);
    // The keys are old, and their source is away; and then it is back, without one of them.
    target.pass(Duration::from_secs(601));
    check_in(target, &bearer(&by_old));
    target.pass(Duration::from_secs(31));
    check_in(target, &bearer(&by_old));
    assert_eq!(keys.count(), 4);
    target.pass(Duration::from_secs(31));
    check_in(target, &bearer(&by_next));
    check_out(&target.call(&bearer(&by_old)), REFUSED);
    assert_eq!((keys.count(), origin.count()), (5, 6));
}
