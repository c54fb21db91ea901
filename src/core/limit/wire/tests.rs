use super::*;
use crate::facts::Body;
use crate::facts::fake::Asked;
use serde_json::json;

/// What is said of a plugin, faults first.
fn said(plugin: &str, value: &Value) -> Vec<String> {
    let (mut report, at) = (Report::default(), At::Root);
    let value = &*without_redis(value, at, &mut report);
    match plugin {
        LIMIT_CONN => drop(wire::read(value, at, &mut report, |wire: LimitConnWire, report| {
            Some(wire.compile("r", at, report))
        })),
        LIMIT_REQ => drop(wire::read(value, at, &mut report, |wire: LimitReqWire, report| {
            Some(wire.compile("r", at, report))
        })),
        _ => drop(wire::read(value, at, &mut report, |wire: LimitCountWire, report| {
            Some(wire.compile("r", at, report))
        })),
    }
    let all = report.faults.iter().chain(&report.warnings);
    all.map(ToString::to_string).collect()
}

fn count(value: &Value) -> Limit {
    let mut report = Report::default();
    let compile =
        |wire: LimitCountWire, report: &mut Report| Some(wire.compile("r", At::Root, report));
    let limit = wire::read(value, At::Root, &mut report, compile);
    limit.unwrap_or_else(|| panic!("{report:?}"))
}

#[test]
fn what_apisix_takes_is_taken() {
    let none: [&str; 0] = [];
    for (plugin, value) in [
        (LIMIT_COUNT, json!({"count": 2, "time_window": 60})),
        (
            LIMIT_COUNT,
            json!({"count": 2, "time_window": 60, "window_type": "sliding", "key": "$remote_addr $http_a",
                "key_type": "var_combination", "group": "g", "rejected_code": 429, "rejected_msg": "no",
                "policy": "shared", "allow_degradation": true, "show_limit_quota_header": false,
                "_meta": {"disable": true}}),
        ),
        (LIMIT_REQ, json!({"rate": 0.5, "burst": 0, "key": "remote_addr"})),
        (
            LIMIT_REQ,
            json!({"rate": 100, "burst": 50.5, "key": "consumer_name", "key_type": "var",
                "nodelay": true, "rejected_code": 429, "rejected_msg": "no", "policy": "local"}),
        ),
        (
            LIMIT_CONN,
            json!({"conn": 1, "burst": 0, "default_conn_delay": 0.1, "key": "http_x_tenant",
                "only_use_default_delay": true}),
        ),
    ] {
        assert_eq!(said(plugin, &value), none, "{value}");
    }
}

#[test]
fn what_is_told_is_checked() {
    let with = |more: Value| {
        let mut value = json!({"count": 1, "time_window": 1});
        value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        value
    };
    for (value, expected) in [
        (json!({"time_window": 1}), "(document): `count` is missing"),
        (with(json!({"count": 0})), "/count: expected an integer from 1 to 134217727, found 0"),
        (
            with(json!({"count": "$http_quota"})),
            "/count: expected an integer from 0, found \"$http_quota\"",
        ),
        (
            with(json!({"time_window": 0})),
            "/time_window: expected an integer from 1 to 31622400, found 0",
        ),
        (
            with(json!({"count": 2_000_000, "window_type": "sliding"})),
            "/count: expected an integer from 1 to 1000000, found 2000000",
        ),
        (
            with(json!({"rejected_code": 199})),
            "/rejected_code: expected a status from 200 to 599, found 199",
        ),
        (with(json!({"rejected_msg": ""})), "/rejected_msg: expected at least one character"),
        (with(json!({"group": ""})), "/group: expected at least one character"),
        (
            with(json!({"rejectd_code": 429})),
            "/rejectd_code: unknown key; did you mean `rejected_code`?",
        ),
        (
            with(json!({"rules": []})),
            "/rules: APISIX has this key, Splitway does not support it yet",
        ),
        (
            with(json!({"policy": "redis"})),
            "/policy: limits are shared by `\"policy\": \"shared\"`; where the store is, the server is told \
             by `--redis`, and the edge has its own",
        ),
        (
            with(json!({"redis_host": "127.0.0.1"})),
            "/redis_host: limits are shared by `\"policy\": \"shared\"`; where the store is, the server is told \
             by `--redis`, and the edge has its own",
        ),
        (
            with(json!({"allow_degradation": true})),
            "/allow_degradation: has no effect without `\"policy\": \"shared\"`",
        ),
        (
            with(json!({"key": "one", "key_type": "var_combination"})),
            "/key: there is no variable in it: all are counted by the address of the client; of all together, \
             with `\"key_type\": \"constant\"`",
        ),
    ] {
        assert_eq!(said(LIMIT_COUNT, &value), [expected], "{value}");
    }
    for (value, place) in [
        (with(json!({"policy": "x"})), "/policy: "),
        (with(json!({"key_type": "val"})), "/key_type: "),
        (with(json!({"key": "remote_adr"})), "/key: "),
        (with(json!({"window_type": "slided"})), "/window_type: "),
    ] {
        let said = said(LIMIT_COUNT, &value);
        assert!(said.len() == 1 && said[0].starts_with(place), "{value}: {said:?}");
    }
}

#[test]
fn rates_and_places_are_checked() {
    for (plugin, value, expected) in [
        (
            LIMIT_REQ,
            json!({"rate": 0, "burst": 1, "key": "remote_addr"}),
            "/rate: expected requests a second, above 0 and up to 1000000, found 0",
        ),
        (
            LIMIT_REQ,
            json!({"rate": 1, "burst": -1, "key": "remote_addr"}),
            "/burst: expected a number from 0, found -1",
        ),
        (
            LIMIT_REQ,
            json!({"rate": 0.001, "burst": 100, "key": "remote_addr"}),
            "/burst: a burst takes longer than a day at this rate: `limit-count` is for quotas",
        ),
        (LIMIT_REQ, json!({"rate": 1, "burst": 1}), "(document): `key` is missing"),
        (
            LIMIT_CONN,
            json!({"conn": 0, "burst": 1, "default_conn_delay": 1, "key": "remote_addr"}),
            "/conn: expected an integer from 1 to 8191, found 0",
        ),
        (
            LIMIT_CONN,
            json!({"conn": 8000, "burst": 1000, "default_conn_delay": 1, "key": "remote_addr"}),
            "/burst: expected at most 8191 together with `conn`, found 1000",
        ),
        (
            LIMIT_CONN,
            json!({"conn": 1, "burst": 0, "default_conn_delay": 0, "key": "remote_addr"}),
            "/default_conn_delay: expected seconds, above 0 and up to 60, found 0",
        ),
    ] {
        assert_eq!(said(plugin, &value), [expected], "{value}");
    }
}

#[test]
fn requests_are_counted_by_their_key_or_else_by_their_client() {
    let key = |told: Value, asked: &Asked| {
        let mut value = json!({"count": 1, "time_window": 1});
        value.as_object_mut().unwrap().extend(told.as_object().unwrap().clone());
        let limit = count(&value);
        asked.with(Body::Unread, |facts| limit.quota.key.of(&facts).into_owned())
    };
    let asked = Asked::default().header("x-tenant", "a").from("192.0.2.7");
    assert_eq!(key(json!({}), &asked), "192.0.2.7");
    assert_eq!(key(json!({"key": "http_x_tenant"}), &asked), "a");
    assert_eq!(key(json!({"key": "http_x_other"}), &asked), "\x00192.0.2.7");
    assert_eq!(key(json!({"key": "all", "key_type": "constant"}), &asked), "all");
    let both = json!({"key": "$http_x_tenant/$remote_addr", "key_type": "var_combination"});
    assert_eq!(key(both, &asked), "a/192.0.2.7");
    let none = json!({"key": "$http_x_other/", "key_type": "var_combination"});
    assert_eq!(key(none, &asked), "\x00192.0.2.7");
    assert_eq!(key(json!({}), &Asked::default()), "\0", "nobody knows where it is from");
}

#[test]
fn who_sends_the_address_of_another_uses_up_nothing_of_that_one() {
    let by_header = json!({"count": 1, "time_window": 1, "key": "http_x_key"});
    let by_headers =
        json!({"count": 1, "time_window": 1, "key": "$http_x_key", "key_type": "var_combination"});
    let by_query = json!({"count": 1, "time_window": 1, "key": "arg_key"});
    for limit in [count(&by_header), count(&by_headers), count(&by_query)] {
        let key = |asked: Asked| {
            asked.with(Body::Unread, |facts| limit.quota.key.of(&facts).into_owned())
        };
        let victim = key(Asked::default().from("192.0.2.7"));
        for sent in ["192.0.2.7", "\x00192.0.2.7", "\x00\x00192.0.2.7"] {
            let query = format!("key={}", sent.replace('\0', "%00"));
            let asked = Asked { query: Some(query), ..Asked::default() };
            let asked = asked.header("x-key", sent);
            assert_ne!(key(asked.from("198.51.100.1")), victim, "{sent:?}");
        }
    }
}

#[test]
fn addresses_of_one_household_are_one_key() {
    let both = json!({"count": 1, "time_window": 1, "key": "$remote_addr $uri", "key_type": "var_combination"});
    for limit in [count(&json!({"count": 1, "time_window": 1})), count(&both)] {
        let key = |client: &str| {
            let asked = Asked::default().from(client);
            asked.with(Body::Unread, |facts| limit.quota.key.of(&facts).into_owned())
        };
        assert_eq!(key("2001:db8:1:2::1"), key("2001:db8:1:2:ffff:ffff:ffff:ffff"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
        assert_eq!(key("::ffff:192.0.2.1"), key("192.0.2.1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
    }
}

#[test]
fn a_key_in_a_body_asks_for_the_body() {
    let limit = count(&json!({"count": 1, "time_window": 1, "key": "post_arg.user"}));
    let asked = Asked::default().header("content-type", "application/json").from("192.0.2.1");
    let key = |body| {
        asked.with(body, |facts| (limit.quota.key.of(&facts).into_owned(), facts.wants_body()))
    };
    assert!(key(Body::Unread).1);
    assert_eq!(key(Body::Whole(br#"{"user": "ann"}"#)), ("ann".to_owned(), false));
}

#[test]
fn other_terms_and_other_holders_count_anew() {
    let limit = |holder: &str, value: Value| {
        let mut report = Report::default();
        let compile = |wire: LimitCountWire, report: &mut Report| {
            Some(wire.compile(holder, At::Root, report))
        };
        wire::read(&value, At::Root, &mut report, compile).unwrap().account("k")
    };
    let told = || json!({"count": 1, "time_window": 1});
    let first = limit("routes/a", told());
    assert_eq!(first.len(), 32);
    assert_eq!(
        first,
        limit("routes/a", json!({"count": 1, "time_window": 1, "rejected_code": 429}))
    );
    assert_ne!(first, limit("routes/b", told()));
    assert_ne!(first, limit("routes/a", json!({"count": 2, "time_window": 1})));
    assert_ne!(first, limit("routes/a", json!({"count": 1, "time_window": 1, "key": "host"})));
    let grouped = || json!({"count": 1, "time_window": 1, "group": "routes/a"});
    assert_ne!(first, limit("routes/a", grouped()));
    assert_eq!(limit("routes/b", grouped()), limit("routes/a", grouped()));
}

#[test]
fn those_of_a_group_are_told_the_same() {
    let mut groups = Groups::default();
    let mut report = Report::default();
    let told = |count: u32| json!({"count": count, "time_window": 1, "group": "g"});
    let (first, same, other) = (
        told(1),
        json!({"count": 1, "time_window": 1, "group": "g",
        "rejected_code": 503, "_meta": {"disable": false}}),
        told(2),
    );
    let at = At::Root;
    groups.check(&first, at.key("a"), &mut report);
    groups.check(&same, at.key("b"), &mut report);
    assert!(report.faults.is_empty());
    groups.check(&other, at.key("c"), &mut report);
    let faults: Vec<String> = report.faults.iter().map(ToString::to_string).collect();
    assert_eq!(faults, ["/c/group: the group `g` is told something else at /a"]);
}
