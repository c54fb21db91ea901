//! What upstreams may say.

use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

use super::{Asked, Body, Keepalive, Method, Timeouts, Tls, compile, sound, told};
use crate::facts::Caller;
use crate::node::Node;

/// An upstream of one node with these members beside.
fn with(members: &Value) -> Value {
    let mut object = json!({"nodes": {"a.test:80": 1}});
    let beside = members.as_object().expect("an object").clone();
    object.as_object_mut().expect("an object").extend(beside);
    object
}

#[track_caller]
fn check_faults(members: &Value, expected: &[&str]) {
    let (upstream, report) = compile(&with(members));
    assert_eq!(told(&report.faults), expected, "{members}");
    assert_eq!(upstream.is_some(), expected.is_empty());
}

#[test]
fn every_type_is_taken_and_no_other() {
    for name in ["roundrobin", "ewma", "least_conn"] {
        check_faults(&json!({"type": name}), &[]);
    }
    check_faults(&json!({"type": "chash", "key": "remote_addr"}), &[]);
    check_faults(
        &json!({"type": "chsh"}),
        &[
            "/type: unknown type, expected \"roundrobin\", \"chash\", \"ewma\" or \"least_conn\"; did you mean `chash`?",
        ],
    );
}

#[test]
fn keys_of_consistent_hashing_are_checked_as_in_apisix() {
    for (hash_on, key) in [
        (None, json!("uri")),
        (Some("vars"), json!("arg_user-id_7")),
        (Some("vars"), json!("query_string")),
        (Some("header"), json!("X-User_Id")),
        (Some("cookie"), json!("sid")),
        (Some("consumer"), Value::Null),
        (Some("vars_combinations"), json!("$request_uri$remote_addr")),
    ] {
        let mut members = json!({"type": "chash"});
        if let Some(hash_on) = hash_on {
            members["hash_on"] = hash_on.into();
        }
        if !key.is_null() {
            members["key"] = key;
        }
        check_faults(&members, &[]);
    }
    check_faults(
        &json!({"type": "chash"}),
        &["(document): `key` is missing, `type` \"chash\" needs it"],
    );
    let vars = "/key: expected `arg_` with a name, or one of `uri`, `request_uri`, `remote_addr`, `query_string`, `host`";
    for key in ["not_support", "arg_", "arg_a b", "http_x", ""] {
        check_faults(&json!({"type": "chash", "key": key}), &[vars]);
    }
    check_faults(
        &json!({"type": "chash", "key": "server_addr"}),
        &["/key: APISIX has this variable, Splitway does not: `server_addr`"],
    );
    for (hash_on, key) in [("header", "x:y"), ("cookie", "a b"), ("header", "")] {
        check_faults(
            &json!({"type": "chash", "hash_on": hash_on, "key": key}),
            &["/key: expected letters, digits, `-`, `_`"],
        );
    }
    let (upstream, report) =
        compile(&with(&json!({"type": "chash", "hash_on": "aaa", "key": "x"})));
    assert!(upstream.is_none() && report.faults[0].at == "/hash_on", "{report:?}");
}

/// What a request is hashed by.
fn key(members: &Value, asked: &Asked) -> String {
    let upstream = sound(&with(members));
    let Method::Chash { key, .. } = &upstream.method else { panic!("{members}") };
    asked.with(Body::Unread, |facts| key.of(&facts).into_owned())
}

#[test]
fn a_request_without_the_key_is_hashed_by_the_address_of_its_client() {
    let asked = || Asked { query: Some("u=7&bare&empty=".to_owned()), ..Asked::default() };
    let asked = asked().from("10.0.0.9").header("x-user", "ann").header("cookie", "sid=s1");
    for (hash_on, name, expected) in [
        ("vars", "arg_u", "7"),
        ("vars", "arg_x", "10.0.0.9"),
        ("vars", "arg_empty", ""),
        ("vars", "arg_bare", "true"),
        ("vars", "query_string", "u=7&bare&empty="),
        ("header", "X-User", "ann"),
        ("header", "X-Nobody", "10.0.0.9"),
        ("cookie", "sid", "s1"),
        ("cookie", "other", "10.0.0.9"),
        ("consumer", "", "10.0.0.9"),
        ("vars_combinations", "$arg_u-$http_x_user", "7-ann"),
        ("vars_combinations", "$arg_u-$arg_x", "7-"),
        ("vars_combinations", "$arg_x-$arg_y", "10.0.0.9"),
        ("vars_combinations", "text", "10.0.0.9"),
    ] {
        let members = json!({"type": "chash", "hash_on": hash_on, "key": name});
        assert_eq!(key(&members, &asked), expected, "{hash_on} {name}");
    }
    let members = json!({"type": "chash", "hash_on": "consumer"});
    let upstream = sound(&with(&members));
    let Method::Chash { key: by, .. } = &upstream.method else { panic!("{members}") };
    let named = asked.with(Body::Unread, |facts| {
        by.of(&facts.of_caller(Caller { consumer: Some("jack"), ..Caller::default() })).into_owned()
    });
    assert_eq!(named, "jack");
    assert_eq!(key(&members, &Asked::default()), "", "nobody knows who asks");
}

#[test]
fn a_key_in_the_body_needs_the_body() {
    let members = json!({"type": "chash", "hash_on": "vars_combinations", "key": "$post_arg.user"});
    assert!(sound(&with(&members)).needs_body());
    let (_, report) = compile(&with(&members));
    assert!(report.warnings.iter().any(|it| it.at == "/key" && it.what.contains("body")));
}

#[test]
fn a_ring_too_large_to_be_kept_is_refused() {
    let (nodes, key) = (json!({"a.test": 6553, "b.test": 1}), "uri");
    let fault = |nodes: Value| {
        let (_, report) = compile(&json!({"type": "chash", "key": key, "nodes": nodes}));
        told(&report.faults).join("; ")
    };
    let what = fault(nodes);
    assert!(what.starts_with("/nodes: consistent hashing would need 1048640 points"), "{what}");
    assert_eq!(fault(json!({"a.test": 4_000_000, "b.test": 2_000_000})), "");
}

#[test]
fn nodes_stand_by_falling_priority_and_once() {
    let object = json!({"nodes": [
        {"host": "low.test", "weight": 1, "priority": -1},
        {"host": "a.test", "weight": 5},
        {"host": "high.test", "weight": 1, "priority": 7},
        {"host": "A.test", "port": 80, "weight": 2},
        {"host": "a.test", "weight": 3, "priority": 7},
        {"host": "zero.test", "weight": 0, "priority": 3},
    ]});
    let upstream = sound(&object);
    let names: Vec<&str> = upstream.nodes().map(Node::authority).collect();
    assert_eq!(names, ["high.test", "a.test", "zero.test", "a.test", "low.test"]);
    assert_eq!(*upstream.tiers, [0..2, 3..4, 4..5]);
    assert_eq!(upstream.members[3].weight.0, 2, "the last counts");
    let (_, report) = compile(&object);
    assert_eq!(
        told(&report.warnings)[..2],
        [
            "/nodes/3: this node stands here before: only the last weight counts",
            "/nodes: all nodes of one priority have weight 0: nothing goes there; APISIX serves from them as if they weighed alike",
        ]
    );
}

#[test]
fn retries_and_timeouts_are_those_of_apisix_where_nothing_is_said() {
    let upstream =
        sound(&json!({"nodes": {"a.test": 1, "b.test": 1, "c.test": 1, "idle.test": 0}}));
    assert_eq!((upstream.retries(), upstream.retry_timeout), (2, None));
    assert_eq!(upstream.timeout.unwrap_or_default().until_head(), Duration::from_secs(180));
    let (keepalive, tls) = (&upstream.keepalive, &upstream.tls);
    assert_eq!((*keepalive, tls.clone()), (Keepalive::default(), Tls::default()));
    let upstream = sound(&with(&json!({
        "retries": 0, "retry_timeout": 1.5, "keepalive_pool": {"idle_timeout": 0},
        "timeout": {"connect": 1, "send": 2, "read": 3, "first_byte": 0.5, "idle": 9},
    })));
    assert_eq!(upstream.retries(), 0);
    assert_eq!(upstream.retry_timeout, Some(Duration::from_millis(1500)));
    let secs = Duration::from_secs;
    let (first_byte, idle) = (Some(Duration::from_millis(500)), Some(secs(9)));
    let timeouts = Timeouts { connect: secs(1), send: secs(2), read: secs(3), first_byte, idle };
    assert_eq!(upstream.timeout, Some(timeouts));
    assert_eq!(timeouts.until_head(), Duration::from_millis(500));
    let Keepalive { size, idle_timeout, requests } = upstream.keepalive;
    assert_eq!((size, idle_timeout, requests), (320, Duration::ZERO, 1000));
    assert_eq!(sound(&with(&json!({"retry_timeout": 0}))).retry_timeout, None);
}

#[test]
fn numbers_out_of_range_are_faults() {
    check_faults(
        &json!({"retry_timeout": -1}),
        &["/retry_timeout: expected seconds, from 0 (no limit) to 86400"],
    );
    check_faults(&json!({"retries": -1}), &["/retries: expected an integer from 0, found `-1`"]);
    check_faults(
        &json!({"keepalive_pool": {"size": 0, "requests": 0, "idle_timeout": -1}}),
        &[
            "/keepalive_pool/size: expected an integer from 1",
            "/keepalive_pool/requests: expected an integer from 1",
            "/keepalive_pool/idle_timeout: expected seconds, from 0 to 86400",
        ],
    );
    check_faults(
        &json!({"timeout": {"connect": 1, "send": 0, "idle": 86401}}),
        &[
            "/timeout/send: expected seconds, more than 0 and at most 86400",
            "/timeout: `read` is missing",
            "/timeout/idle: expected seconds, more than 0 and at most 86400",
        ],
    );
}

#[test]
fn schemes_that_are_not_http_are_refused_as_such() {
    for scheme in ["http", "https", "grpc", "grpcs"] {
        check_faults(&json!({"scheme": scheme}), &[]);
    }
    for scheme in ["tcp", "tls", "udp", "kafka"] {
        check_faults(
            &json!({"scheme": scheme}),
            &["/scheme: APISIX has this scheme, Splitway splits HTTP only"],
        );
    }
    check_faults(
        &json!({"scheme": "htps"}),
        &["/scheme: expected \"http\", \"https\", \"grpc\" or \"grpcs\"; did you mean `https`?"],
    );
    let ports = |scheme: &str| {
        let upstream = sound(&json!({"scheme": scheme, "nodes": {"a.test": 1}}));
        let port = upstream.nodes().next().map(Node::port);
        (port, upstream.scheme.as_str())
    };
    assert_eq!(ports("grpc"), (Some(80), "http"));
    assert_eq!(ports("grpcs"), (Some(443), "https"));
}

#[test]
fn client_certificates_come_with_their_keys_and_look_like_pem() {
    let pem = |label: &str| format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n");
    let (certificate, key) = (pem("CERTIFICATE"), pem("EC PRIVATE KEY"));
    let tls = |tls: &Value| json!({"scheme": "https", "tls": tls});
    let sound_tls = tls(&json!({"client_cert": certificate, "client_key": key, "verify": false}));
    let upstream = sound(&with(&sound_tls));
    let client = upstream.tls.client.as_ref().expect("a certificate");
    assert_eq!((&*client.certificate, &*client.key), (&*certificate, &*key));
    assert!(!upstream.tls.is_verified && Tls::default().is_verified);
    assert!(!format!("{upstream:?}{client:?}").contains("PRIVATE"), "keys are not told");
    let mut known = upstream.tls.clone();
    let later = sound(&with(&sound_tls)).tls.clone();
    let is_shared = |known: &Tls, other: &Tls| {
        known.client.as_ref().zip(other.client.as_ref()).is_some_and(|(a, b)| Arc::ptr_eq(a, b))
    };
    assert!(is_shared(&known, &upstream.tls) && !is_shared(&known, &later));
    assert!(known.meets(&later) && is_shared(&known, &later), "texts are compared once");
    assert!(!known.meets(&Tls::default()) && is_shared(&known, &later));
    let (_, report) = compile(&with(&sound_tls));
    let places: Vec<&str> = report.warnings.iter().map(|it| it.at.as_str()).collect();
    assert_eq!(places, ["/tls/client_cert", "/tls/verify", "/pass_host"]);

    check_faults(
        &tls(&json!({"client_cert": certificate})),
        &["/tls: `client_key` is missing beside `client_cert`"],
    );
    check_faults(
        &tls(&json!({"client_key": key})),
        &["/tls: `client_cert` is missing beside `client_key`"],
    );
    let swapped = tls(&json!({"client_cert": key, "client_key": certificate}));
    check_faults(
        &swapped,
        &[
            "/tls/client_cert: expected PEM: `-----BEGIN CERTIFICATE-----`, base64, `-----END CERTIFICATE-----`",
            "/tls/client_key: expected PEM: `-----BEGIN PRIVATE KEY-----`, base64, `-----END PRIVATE KEY-----`",
        ],
    );
    check_faults(
        &tls(&json!({"client_cert_id": "1"})),
        &["/tls/client_cert_id: APISIX has this key, Splitway does not support it yet"],
    );
}

#[test]
fn what_is_not_used_or_not_to_be_had_everywhere_is_warned_of() {
    let places = |members: Value| -> Vec<String> {
        let (upstream, report) = compile(&with(&members));
        assert!(upstream.is_some(), "{members}: {report:?}");
        report.warnings.into_iter().map(|it| it.at).filter(|at| at != "/pass_host").collect()
    };
    assert_eq!(places(json!({"type": "ewma", "key": "uri"})), ["/key"]);
    assert_eq!(places(json!({"hash_on": "header"})), ["/hash_on"]);
    assert_eq!(places(json!({"scheme": "grpc"})), ["/scheme"]);
    assert_eq!(places(json!({"tls": {"verify": true}})), ["/tls"]);
    assert_eq!(places(json!({"keepalive_pool": {"size": 7}})), ["/keepalive_pool"]);
    assert_eq!(places(json!({"keepalive_pool": {"size": 320}})), [""; 0]);
}
