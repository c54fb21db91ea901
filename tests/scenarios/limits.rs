//! How many requests pass, of whom, and what becomes of the rest.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::document::{split, upstream};
use crate::message::{Answer, Call};
use crate::origin::Origin;
use crate::script::{DEADLINE, Gate, Reply, Script};
use crate::target::Target;

/// A document with one route, which has these plugins.
fn guarded(plugins: &Value, origin: &Origin) -> String {
    let route = json!({"id": "r", "uri": "/*", "plugins": plugins, "upstream": upstream(origin)});
    json!({"routes": [route]}).to_string()
}

/// The statuses of so many calls.
fn statuses(target: &impl Target, call: &Call, calls: usize) -> Vec<u16> {
    (0..calls).map(|_| target.call(call).status).collect()
}

/// What an answer says of how many more may pass: limit, rest, and the seconds until there are more.
fn quota(answer: &Answer) -> Option<[u64; 3]> {
    let number = |name| answer.header(name)?.parse().ok();
    Some([
        number("x-ratelimit-limit")?,
        number("x-ratelimit-remaining")?,
        number("x-ratelimit-reset")?,
    ])
}

/// As many pass in a window as may, and all answers say how many more.
pub(crate) fn as_many_pass_in_a_window_as_may(target: &mut impl Target) {
    let origin = target.origin(Reply::ok("served"));
    let plugin = json!({"count": 3, "time_window": 2, "rejected_code": 429});
    target.start(&guarded(&json!({"limit-count": plugin}), &origin));

    for rest in [2, 1, 0] {
        let answer = target.call(&Call::get("/x"));
        let [limit, remaining, reset] = quota(&answer).expect("it says how many");
        assert_eq!((answer.status, limit, remaining), (200, 3, rest));
        assert!((1..=2).contains(&reset), "{reset}");
    }
    let refused = target.call(&Call::get("/y"));
    let [limit, remaining, reset] = quota(&refused).expect("it says how many");
    assert_eq!((refused.status, limit, remaining), (429, 3, 0));
    assert!((1..=2).contains(&reset), "{reset}");
    let retry_after: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert_eq!(retry_after, reset);
    assert_eq!(refused.header("content-type").as_deref(), Some("application/problem+json"));
    assert_eq!(refused.json()["status"], 429);
    assert_eq!(origin.count(), 3);

    target.pass(Duration::from_millis(2_100));
    assert_eq!(statuses(target, &Call::get("/x"), 4), [200, 200, 200, 429]);
}

/// What is refused can be told in words, and the headers left out.
pub(crate) fn a_refusal_says_what_it_is_told(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let plugin = json!({"count": 1, "time_window": 60, "rejected_msg": "Slow down.",
        "show_limit_quota_header": false});
    target.start(&guarded(&json!({"limit-count": plugin}), &origin));

    assert_eq!(quota(&target.call(&Call::get("/x"))), None);
    let refused = target.call(&Call::get("/x"));
    assert_eq!((refused.status, quota(&refused)), (503, None));
    assert_eq!(refused.json(), json!({"error_msg": "Slow down."}));
}

/// A sliding window remembers the one before.
pub(crate) fn a_sliding_window_remembers_the_last(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let plugin = json!({"count": 10, "time_window": 2, "window_type": "sliding"});
    target.start(&guarded(&json!({"limit-count": plugin}), &origin));

    let passed =
        |calls| statuses(target, &Call::get("/x"), calls).iter().filter(|it| **it == 200).count();
    assert_eq!(passed(12), 10);
    // A quarter into the next window at least: some of what passed is forgotten, most of it is not.
    target.pass(Duration::from_millis(2_500));
    let (again, max) = (passed(12), 10);
    assert!((1..max).contains(&again), "{again}");
}

/// A leaky bucket holds requests up and overflows.
pub(crate) fn a_bucket_holds_up_and_overflows(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let plugin = json!({"rate": 2, "burst": 1, "key": "remote_addr", "rejected_code": 429});
    target.start(&guarded(&json!({"limit-req": plugin}), &origin));

    let begin = target.time();
    assert_eq!(target.call(&Call::get("/x")).status, 200);
    assert_eq!(target.call(&Call::get("/x")).status, 200);
    let took = target.time() - begin;
    assert!(took >= Duration::from_millis(490), "the second was held up, after {took:?}");

    let plugin = json!({"rate": 0.1, "burst": 1, "key": "remote_addr", "nodelay": true});
    target.start(&guarded(&json!({"limit-req": plugin}), &origin));
    assert_eq!(statuses(target, &Call::get("/x"), 3), [200, 200, 503]);
}

/// As many are under way as may be, and a place is free when its request has been answered.
pub(crate) fn as_many_are_under_way_as_may_be(target: &mut impl Target) {
    let gate = Gate::default();
    let door = gate.clone();
    let origin = target.origin(Script::new(move |request| {
        if request.target == "/slow" {
            door.wait();
        }
        Reply::ok("").into()
    }));
    let plugin = json!({"conn": 2, "burst": 0, "default_conn_delay": 0.1, "key": "remote_addr"});
    target.start(&guarded(&json!({"limit-conn": plugin}), &origin));

    thread::scope(|scope| {
        let target = &*target;
        let slow: Vec<_> =
            (0..2).map(|_| scope.spawn(|| target.call(&Call::get("/slow")).status)).collect();
        origin.wait_until("two requests", |requests| requests.len() == 2);
        let refused = target.call(&Call::get("/quick"));
        assert_eq!((refused.status, refused.header("retry-after")), (503, None));
        gate.open();
        assert!(slow.into_iter().all(|call| call.join().unwrap() == 200));
    });
    assert_eq!(statuses(target, &Call::get("/quick"), 5), [200; 5]);
}

/// Places that all nodes count together are free again soon after their requests have been answered.
pub(crate) fn shared_places_are_given_back(target: &mut impl Target) {
    let gate = Gate::default();
    let door = gate.clone();
    let origin = target.origin(Script::new(move |request| {
        if request.target == "/slow" {
            door.wait();
        }
        Reply::ok("").into()
    }));
    let plugin = json!({"conn": 2, "burst": 0, "default_conn_delay": 0.1, "key": "remote_addr",
        "policy": "shared"});
    target.start(&guarded(&json!({"limit-conn": plugin}), &origin));

    thread::scope(|scope| {
        let target = &*target;
        let slow: Vec<_> =
            (0..2).map(|_| scope.spawn(|| target.call(&Call::get("/slow")).status)).collect();
        origin.wait_until("two requests", |requests| requests.len() == 2);
        let refused = target.call(&Call::get("/quick"));
        assert_eq!((refused.status, refused.header("retry-after")), (503, None));
        gate.open();
        assert!(slow.into_iter().all(|call| call.join().unwrap() == 200));
    });
    // Those that have a place give it back behind their answer. Were one kept, two would soon be.
    for _ in 0..4 {
        let begin = Instant::now();
        while target.call(&Call::get("/quick")).status != 200 {
            assert!(begin.elapsed() < DEADLINE, "the places are not given back");
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Each key is counted by itself, whichever way its header is written.
pub(crate) fn keys_are_counted_by_themselves(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let plugin = json!({"count": 2, "time_window": 60, "key": "http_x_tenant"});
    target.start(&guarded(&json!({"limit-count": plugin}), &origin));

    let of = |name: &str, tenant: &str| target.call(&Call::get("/x").header(name, tenant)).status;
    assert_eq!([of("X-Tenant", "a"), of("x-tenant", "a"), of("X-TENANT", "a")], [200, 200, 503]);
    assert_eq!([of("X-Tenant", "b"), of("X-Tenant", "b"), of("X-Tenant", "b")], [200, 200, 503]);
    // Without one, and with one that does not say which, by the address.
    let none = Call::get("/x");
    assert_eq!(statuses(target, &none, 3), [200, 200, 503]);
}

/// All routes that name a group are counted together; others each by itself.
pub(crate) fn routes_of_a_group_are_counted_together(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let route = |id: &str, group: Option<&str>| {
        let mut plugin = json!({"count": 2, "time_window": 60});
        if let Some(group) = group {
            plugin["group"] = json!(group);
        }
        json!({"id": id, "uri": format!("/{id}"), "plugins": {"limit-count": plugin},
            "upstream": upstream(&origin)})
    };
    let routes = [route("a", Some("g")), route("b", Some("g")), route("c", None), route("d", None)];
    target.start(&json!({"routes": routes}).to_string());

    let status = |path: &str| target.call(&Call::get(path)).status;
    assert_eq!(["/a", "/b", "/a", "/b"].map(status), [200, 200, 503, 503]);
    assert_eq!(["/c", "/d", "/c", "/d", "/c", "/d"].map(status), [200, 200, 200, 200, 503, 503]);
}

/// Limits of a global rule and of a route are both passed; the one that refuses is told of.
pub(crate) fn a_request_passes_all_limits(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let route = json!({"id": "r", "uri": "/*", "upstream": upstream(&origin),
        "plugins": {"limit-count": {"count": 2, "time_window": 60, "rejected_code": 429}}});
    let global = json!({"id": "1", "plugins": {"limit-count": {"count": 4, "time_window": 60}}});
    target.start(&json!({"routes": [route], "global_rules": [global]}).to_string());

    let answers: Vec<Answer> = (0..5).map(|_| target.call(&Call::get("/x"))).collect();
    let told: Vec<_> = answers
        .iter()
        .map(|it| (it.status, quota(it).map(|[limit, rest, _]| (limit, rest))))
        .collect();
    assert_eq!(
        told,
        [
            (200, Some((2, 1))),
            (200, Some((2, 0))),
            (429, Some((2, 0))),
            (429, Some((2, 0))),
            (503, Some((4, 0))),
        ]
    );
}

/// Another revision goes on counting, unless the limit itself is another.
pub(crate) fn counts_outlive_a_change(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let document = |count: u32, path: &str| {
        let plugins = json!({"limit-count": {"count": count, "time_window": 3600}});
        json!({"routes": [{"id": "r", "uris": ["/x", path], "plugins": plugins,
            "upstream": upstream(&origin)}]})
        .to_string()
    };
    target.start(&document(2, "/a"));
    assert_eq!(statuses(target, &Call::get("/x"), 3), [200, 200, 503]);

    target.replace(&document(2, "/b"));
    while target.call(&Call::get("/b")).status == 404 {
        target.pass(Duration::from_millis(20));
    }
    assert_eq!(target.call(&Call::get("/x")).status, 503);

    target.replace(&document(3, "/c"));
    while target.call(&Call::get("/c")).status == 404 {
        target.pass(Duration::from_millis(20));
    }
    assert_eq!(statuses(target, &Call::get("/x"), 3), [200, 200, 503], "one went to find that out");
}

/// A document with these branches: name, weight, upstream and limit.
fn limited(branches: &[(&str, u32, &Origin, Value)]) -> String {
    let branch = |(name, weight, origin, limit): &(&str, u32, &Origin, Value)| {
        let mut branch = json!({"name": name, "weight": weight, "upstream": upstream(origin)});
        if !limit.is_null() {
            branch["limit"] = limit.clone();
        }
        branch
    };
    split(&[json!({"weighted_upstreams": branches.iter().map(branch).collect::<Vec<_>>()})])
}

/// A version that takes little gets no more than that, and the rest goes to the others.
pub(crate) fn a_full_branch_leaves_the_rest_to_the_others(target: &mut impl Target) {
    let (v1, v2) = (target.origin(Reply::ok("1")), target.origin(Reply::ok("2")));
    let limit = json!({"count": 10, "time_window": 3600});
    target.start(&limited(&[("v1", 50, &v1, Value::Null), ("v2", 50, &v2, limit)]));

    assert_eq!(statuses(target, &Call::get("/x"), 100), [200; 100]);
    assert_eq!((v1.count(), v2.count()), (90, 10));
}

/// The same where all nodes together count what the version takes; of those that fail over to it, too.
pub(crate) fn a_branch_that_is_full_for_all_leaves_the_rest_to_the_others(
    target: &mut impl Target,
) {
    let (v1, v2) = (target.origin(Reply::ok("1")), target.origin(Reply::ok("2")));
    let limit = json!({"count": 10, "time_window": 3600, "policy": "shared"});
    target.start(&limited(&[("v1", 50, &v1, Value::Null), ("v2", 50, &v2, limit)]));

    assert_eq!(statuses(target, &Call::get("/x"), 100), [200; 100]);
    assert_eq!((v1.count(), v2.count()), (90, 10));

    let (bad, spare) = (target.origin(Reply::status(502).body("")), target.origin(Reply::ok("2")));
    let limit = json!({"count": 3, "time_window": 3600, "policy": "shared"});
    let branches = [("bad", 1, &bad, Value::Null), ("spare", 0, &spare, limit)];
    let branches = branches.map(|(name, weight, origin, limit)| {
        let mut branch = json!({"name": name, "weight": weight, "upstream": upstream(origin)});
        if !limit.is_null() {
            branch["limit"] = limit;
        }
        branch
    });
    let on_failure = json!({"to": "spare", "when": ["5xx"]});
    target.start(&split(&[json!({"weighted_upstreams": branches, "on_failure": on_failure})]));
    assert_eq!(statuses(target, &Call::get("/x"), 6), [200, 200, 200, 502, 502, 502]);
    assert_eq!((bad.count(), spare.count()), (6, 3));
}

/// With all of them full a client is told when there is room again.
pub(crate) fn with_all_branches_full_it_is_a_503_problem(target: &mut impl Target) {
    let (v1, v2) = (target.origin(Reply::ok("1")), target.origin(Reply::ok("2")));
    let limit = |count: u32, secs: u32| json!({"count": count, "time_window": secs});
    target.start(&limited(&[("v1", 1, &v1, limit(2, 7200)), ("v2", 1, &v2, limit(3, 3600))]));

    let call = Call::get("/x");
    assert_eq!(statuses(target, &call, 6), [200, 200, 200, 200, 200, 503]);
    let refused = target.call(&call);
    let retry_after: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((3_500..=3_600).contains(&retry_after), "{retry_after}");
    assert_eq!(refused.header("content-type").as_deref(), Some("application/problem+json"));
    assert_eq!((v1.count(), v2.count()), (2, 3));
}

/// A consumer can have a limit of its own, in the place of the route's.
pub(crate) fn a_consumer_may_have_a_limit_of_its_own(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let plugins = json!({"key-auth": {}, "limit-count": {"count": 2, "time_window": 3600,
        "key": "consumer_name"}});
    let route = json!({"id": "r", "uri": "/*", "plugins": plugins, "upstream": upstream(&origin)});
    let consumer = |name: &str, more: Value| {
        let mut plugins = json!({"key-auth": {"key": format!("key-of-{name}")}});
        plugins.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"username": name, "plugins": plugins})
    };
    let more = json!({"limit-count": {"count": 4, "time_window": 3600, "rejected_code": 429}});
    let consumers = [consumer("ann", json!({})), consumer("bob", json!({})), consumer("eve", more)];
    target.start(&json!({"routes": [route], "consumers": consumers}).to_string());

    let of = |name: &str| {
        let call = Call::get("/x").header("apikey", format!("key-of-{name}"));
        statuses(target, &call, 5)
    };
    assert_eq!(of("ann"), [200, 200, 503, 503, 503]);
    assert_eq!(of("bob"), [200, 200, 503, 503, 503]);
    assert_eq!(of("eve"), [200, 200, 200, 200, 429]);
    assert_eq!(target.call(&Call::get("/x")).status, 401, "nobody in particular is not counted");
}

/// What anybody can send in a header changes nothing of whose request it is.
pub(crate) fn forged_addresses_free_nobody(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let plugin = json!({"count": 2, "time_window": 3600});
    target.start(&guarded(&json!({"limit-count": plugin}), &origin));

    let names = ["X-Real-IP", "x-forwarded-for", "X-FORWARDED-FOR", "Forwarded", "X-Forwarded-For"];
    for (number, name) in names.into_iter().enumerate() {
        let address = format!("203.0.113.{number}");
        let call = Call::get("/x").header(name, &address).header(name, "198.51.100.7");
        assert_eq!(target.call(&call).status, if number < 2 { 200 } else { 503 }, "{name}");
    }
}

/// No way to write a request of one key gets a fresh limit: not its header in another case, not that header
/// twice, not another method.
pub(crate) fn no_writing_of_a_key_gets_a_fresh_limit(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let plugins = json!({"key-auth": {}, "limit-count": {"count": 4, "time_window": 3600,
        "key": "http_apikey", "rejected_code": 429}});
    let route = json!({"id": "r", "uri": "/*", "plugins": plugins, "upstream": upstream(&origin)});
    let consumers = ["a", "b"].map(|name| {
        json!({"username": name, "plugins": {"key-auth": {"key": format!("key-of-{name}")}}})
    });
    target.start(&json!({"routes": [route], "consumers": consumers}).to_string());

    let names = ["apikey", "ApiKey", "APIKEY", "aPIkEY"];
    let methods = ["GET", "HEAD", "OPTIONS", "POST"];
    let of = |method: &str, name: &str, key: &str| {
        target.call(&Call::new(method, "/x").header(name, key)).status
    };
    // Each counts.
    for (method, name) in methods.into_iter().zip(names) {
        assert_eq!(of(method, name, "key-of-a"), 200, "{method} {name}");
    }
    for method in methods {
        for name in names {
            assert_eq!(of(method, name, "key-of-a"), 429, "{method} {name}");
            for other in ["key-of-a", "key-of-b", "", "anything"] {
                let twice = Call::new(method, "/x").header(name, "key-of-a");
                let after = target.call(&twice.clone().header("apikey", other)).status;
                let before = Call::new(method, "/x").header("apikey", other);
                let before = target.call(&before.header(name, "key-of-a")).status;
                assert!(
                    [after, before].iter().all(|it| [401, 429].contains(it)),
                    "{method} {other}"
                );
            }
        }
    }
    assert_eq!(origin.count(), 4);
    assert_eq!(of("GET", "apikey", "key-of-b"), 200, "it took nothing from others");
}

/// Exactly as many pass as may, however many come at once.
pub(crate) fn many_at_once_are_counted_exactly(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let plugin = json!({"count": 50, "time_window": 3600});
    target.start(&guarded(&json!({"limit-count": plugin}), &origin));

    let passed: usize = thread::scope(|scope| {
        let target = &*target;
        let calls =
            || statuses(target, &Call::get("/x"), 20).iter().filter(|it| **it == 200).count();
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(calls)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!((passed, origin.count()), (50, 50));
}
