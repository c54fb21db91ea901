//! What APISIX does with routes, splits and rewrites, as data, and where Splitway does something else on purpose.
//!
//! The files of `vectors/` hold facts about APISIX 3.13 and 3.18, observed by running them; the table
//! of differences holds what Splitway does instead. Each vector is played as it is or as its
//! difference says. Not compared are: defaults that APISIX writes into a resource, the exact texts
//! of its errors, the scheme and the kind of the branch (the nodes show them), the parameters of a path
//! (the core's own tests do). Which node a request goes to first is played by the core's own tests, too
//! (`src/core/balance/tests`).

mod differences;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use splitway_core::fault::{Fault, Report};
use splitway_core::kind::Kind;
use splitway_core::snapshot::compile_json;

use self::differences::{DIFFERENCES, Difference, Instead};
use crate::message::{Answer, Call, Headers};
use crate::origin::Origin;
use crate::script::{Act, Reply, Script};
use crate::target::Target;

/// Every vector holds as it is, or differs as the table says.
pub(crate) fn apisix_and_splitway_agree_or_differ_as_told(target: &mut impl Target) {
    let all = all();
    let plain = all.iter().filter(|vector| !has_https(vector));
    plain.for_each(|vector| play(target, vector));
}

/// So does every vector with nodes that speak TLS.
pub(crate) fn https_nodes_are_called_by_their_names(target: &mut impl Target) {
    let all = all();
    all.iter().filter(|vector| has_https(vector)).for_each(|vector| play(target, vector));
}

/// Every single resource is taken or refused as by APISIX, or as the table says. `faults` is what is
/// said of a resource of this kind by itself.
pub fn resources_are_judged_as_told(faults: impl Fn(Kind, &Value) -> Vec<Fault>) {
    let resources: Vec<Value> =
        serde_json::from_str(include_str!("vectors/resources.json")).unwrap();
    for vector in &resources {
        let id = vector["id"].as_str().unwrap();
        let (kind, value) = match vector["object"].as_str().unwrap() {
            "upstream" => (Kind::Upstream, vector["conf"].clone()),
            _ => (Kind::Route, document(vector)["routes"][0].clone()),
        };
        let faults: Vec<String> = faults(kind, &value).iter().map(Fault::to_string).collect();
        match difference(id) {
            Some(Instead::Refuses(why)) => {
                let is_said = faults.iter().any(|fault| fault.contains(why));
                assert!(is_said, "{id}: {why} is not in {faults:?}");
            }
            Some(other) => panic!("{id} is about a resource, not {other:?}"),
            None => {
                assert_eq!(faults.is_empty(), vector["expect"]["ok"] == true, "{id}: {faults:?}")
            }
        }
    }
    let all = all();
    for Difference { id, .. } in DIFFERENCES {
        let mut vectors = all.iter().chain(&resources);
        assert!(vectors.any(|vector| vector["id"] == *id), "{id} is no vector");
    }
}

/// The vectors that are about requests, or about whole documents.
fn all() -> Vec<Value> {
    let files = [
        include_str!("vectors/traffic-split.json"),
        include_str!("vectors/services.json"),
        include_str!("vectors/route-match.json"),
        include_str!("vectors/proxy-rewrite.json"),
        include_str!("vectors/retries.json"),
        include_str!("vectors/api-breaker.json"),
        include_str!("vectors/key-auth.json"),
        include_str!("vectors/ip-restriction.json"),
        include_str!("vectors/limit-count.json"),
    ];
    files.into_iter().flat_map(|text| serde_json::from_str::<Vec<Value>>(text).unwrap()).collect()
}

/// The differences as rows of a table: the vector, what it is about, what Splitway does, and why.
pub fn differences() -> Vec<[String; 4]> {
    let resources: Vec<Value> =
        serde_json::from_str(include_str!("vectors/resources.json")).unwrap();
    let vectors: Vec<Value> = all().into_iter().chain(resources).collect();
    let row = |difference: &Difference| {
        let vector = vectors.iter().find(|vector| vector["id"] == difference.id).unwrap();
        let about = vector["name"].as_str().unwrap().to_owned();
        let (id, why) = (difference.id.to_owned(), difference.why.to_owned());
        [id, about, difference.instead.told(), why]
    };
    DIFFERENCES.iter().map(row).collect()
}

fn difference(id: &str) -> Option<Instead> {
    let found = DIFFERENCES.iter().find(|difference| difference.id == id);
    found.map(|difference| difference.instead)
}

/// Whether requests go to a node over TLS.
fn has_https(vector: &Value) -> bool {
    vector["kind"] == "proxy" && vector.to_string().contains(r#""scheme":"https""#)
}

fn play(target: &mut impl Target, vector: &Value) {
    let id = vector["id"].as_str().unwrap();
    let document = document(vector);
    match difference(id) {
        Some(Instead::Refuses(why)) => check_refused(id, &document, why),
        Some(Instead::Steps(steps)) => {
            check_steps(target, id, &document, &serde_json::from_str(steps).unwrap());
        }
        None if vector["kind"] == "validate" => {
            let faults = faults(&document);
            assert_eq!(faults.is_empty(), vector["expect"]["ok"] == true, "{id}: {faults:?}");
        }
        None if vector["steps"].to_string().contains(r#""attempts"#) => {
            check_attempts(target, id, &document, &vector["steps"][0]);
        }
        None => check_steps(target, id, &document, &vector["steps"]),
    }
}

/// The document that a vector is about.
fn document(vector: &Value) -> Value {
    let by_id = |list: &str| {
        let with_id = |(id, resource): (&String, &Value)| {
            let mut resource = resource.clone();
            resource["id"] = json!(id);
            resource
        };
        vector[list].as_object().into_iter().flatten().map(with_id).collect::<Vec<Value>>()
    };
    let routes = match vector["object"].as_str() {
        None => vector["routes"].clone(),
        Some("route") => json!([vector["conf"]]),
        Some("plugin") => {
            let name = vector["plugin"].as_str().unwrap();
            let own = json!({"nodes": {"127.0.0.1:1980": 1}});
            json!([{"uri": "/*", "upstream": own, "plugins": {name: vector["conf"]}}])
        }
        Some(other) => panic!("a vector about {other}"),
    };
    let mut document =
        json!({"routes": routes, "upstreams": by_id("upstreams"), "services": by_id("services")});
    if let Some(consumers) = vector.get("consumers") {
        document["consumers"] = consumers.clone();
    }
    let routes = vector["routes"].to_string();
    if [r#""ip-restriction""#, r#""limit-count""#].iter().any(|plugin| routes.contains(plugin)) {
        // So nginx is told by APISIX where nobody tells it something else.
        let own = json!({"source": "http_x_real_ip", "trusted_addresses": ["127.0.0.1"]});
        document["global_rules"] = json!([{"id": "nginx", "plugins": {"real-ip": own}}]);
    }
    if let Some(router) = vector.get("router") {
        document["settings"] = json!({"router": router});
    }
    document
}

fn faults(document: &Value) -> Vec<String> {
    let mut report = Report::default();
    let compiled = compile_json(&document.to_string(), 0, &mut report);
    assert_eq!(compiled.is_some(), report.faults.is_empty());
    report.faults.iter().map(Fault::to_string).collect()
}

fn check_refused(id: &str, document: &Value, why: &str) {
    let faults = faults(document);
    assert!(faults.iter().any(|fault| fault.contains(why)), "{id}: {why} is not in {faults:?}");
}

/// All nodes of a document, each an upstream of its own.
fn origins(
    target: &mut impl Target,
    document: &Value,
    script: impl Fn(&str) -> Script,
) -> Vec<Origin> {
    let mut nodes = BTreeSet::new();
    collect_nodes(document, &mut nodes);
    nodes.iter().map(|node| target.origin_named(node, script(node))).collect()
}

/// Answers with the status that the request asks for, else with 200.
fn as_asked() -> Script {
    Script::new(|request| {
        let status = request.header(STATUS).map_or(200, |status| status.parse().unwrap());
        Reply::status(status).body("").into()
    })
}

/// With this header a vector says which status its upstream answers with.
const STATUS: &str = "x-mini-upstream-status";

fn collect_nodes(value: &Value, nodes: &mut BTreeSet<String>) {
    let listed = |node: &Value| format!("{}:{}", node["host"].as_str().unwrap(), node["port"]);
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect_nodes(item, nodes)),
        Value::Object(members) => {
            match members.get("nodes") {
                Some(Value::Object(map)) => nodes.extend(map.keys().cloned()),
                Some(Value::Array(list)) => nodes.extend(list.iter().map(listed)),
                Some(_) | None => {}
            }
            members.values().for_each(|member| collect_nodes(member, nodes));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn call(request: &Value) -> Call {
    let text = |key: &str| request[key].as_str().unwrap();
    let mut call = Call::new(text("method"), text("uri"));
    for (name, value) in request["headers"].as_object().into_iter().flatten() {
        call = call.header(name, value.as_str().unwrap());
    }
    match request["body"].as_str() {
        Some(body) => call.body(body),
        None => call,
    }
}

fn check_steps(target: &mut impl Target, id: &str, document: &Value, steps: &Value) {
    let origins = origins(target, document, |_| as_asked());
    target.start(&document.to_string());

    for step in steps.as_array().unwrap() {
        let before: Vec<usize> = origins.iter().map(Origin::count).collect();
        let repeat = step["repeat"].as_u64().unwrap_or(1);
        let call = call(&step["request"]);
        let answers: Vec<Answer> = (0..repeat).map(|_| target.call(&call)).collect();
        let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
        let mut counts = BTreeMap::new();
        let mut received = Vec::new();
        for (origin, before) in origins.iter().zip(before) {
            let mut requests = origin.requests();
            if requests.len() > before {
                counts.insert(origin.authority(), requests.len() - before);
            }
            received.extend(requests.drain(before..));
        }
        let expect: &Map<String, Value> = step["expect"].as_object().unwrap();
        let asked = call.headers.one(STATUS).map_or(200, |status| status.parse().unwrap());
        let expected = expect.get("status").map_or(asked, |status| status.as_u64().unwrap());
        let is_expected = |status: &u16| u64::from(*status) == expected;
        assert!(statuses.iter().all(is_expected), "{id}: {statuses:?} {step}");
        for (key, expected) in expect {
            match key.as_str() {
                "nodes" => assert_eq!(json!(counts), *expected, "{id}"),
                "host" => {
                    received.iter().for_each(|it| assert_eq!(json!(it.header("host")), *expected));
                }
                "upstream_uri" => {
                    let uri = expected.as_str().filter(|uri| !uri.is_empty());
                    let uri = uri.unwrap_or(&call.target);
                    received.iter().for_each(|it| assert_eq!(it.target, uri, "{id}"));
                }
                "node_in" => {
                    let nodes = expected.as_array().unwrap();
                    let all = counts.keys().all(|node| nodes.contains(&json!(node)));
                    assert!(all, "{id}: {counts:?}");
                }
                "request_headers" => {
                    received.iter().for_each(|it| check_headers(id, &it.headers, expected));
                }
                "route" => answers.iter().for_each(|it| {
                    assert_eq!(json!(it.header("x-splitway-route")), *expected, "{id} {step}");
                }),
                "body" => answers.iter().for_each(|it| {
                    let body = if expected.is_string() { json!(it.text()) } else { it.json() };
                    assert_eq!(body, *expected, "{id}");
                }),
                "consumer" => received.iter().for_each(|it| {
                    assert_eq!(json!(it.header("x-consumer-username")), *expected, "{id} {step}");
                }),
                "response_headers" => {
                    answers.iter().for_each(|it| check_headers(id, &it.headers, expected));
                }
                "status" | "branch" | "scheme" | "params" => {}
                other => panic!("{id} expects something of `{other}`"),
            }
        }
    }
}

/// The values of headers, of which several stand in lines of their own or in one with commas.
fn check_headers(id: &str, headers: &Headers, expected: &Value) {
    for (name, expected) in expected.as_object().unwrap() {
        let expected = match expected.as_array() {
            None => expected.as_str().map(str::to_owned),
            Some(several) => {
                let several: Vec<&str> = several.iter().map(|one| one.as_str().unwrap()).collect();
                Some(several.join(", "))
            }
        };
        let joined = headers.all(name).join(b", ".as_slice());
        let joined = headers.has(name).then(|| String::from_utf8_lossy(&joined).into_owned());
        assert_eq!(joined, expected, "{id}: {name}");
    }
}

/// All nodes fail, but for the one that is expected to answer in the end.
fn check_attempts(target: &mut impl Target, id: &str, document: &Value, step: &Value) {
    let expect = &step["expect"];
    let last = expect["final_node"].as_str();
    let script = |node: &str| if Some(node) == last { as_asked() } else { Act::Close.into() };
    let all = origins(target, document, script);
    // The route's own upstream is another one.
    let mut nodes = BTreeSet::new();
    collect_nodes(document.get("upstreams").unwrap_or(&Value::Null), &mut nodes);
    let nodes = if nodes.is_empty() { all.len() } else { nodes.len() };
    target.start(&document.to_string());

    let ask = |target: &mut dyn FnMut() -> Answer| {
        let before: usize = all.iter().map(Origin::count).sum();
        let answer = target();
        (answer, all.iter().map(Origin::count).sum::<usize>() - before)
    };
    let call = call(&step["request"]);
    let (mut answer, mut attempts) = ask(&mut || target.call(&call));
    match (last, expect["attempts_max"].as_u64()) {
        (None, Some(most)) => {
            assert_eq!((answer.status, attempts), (502, nodes), "{id}");
            assert!(attempts as u64 <= most, "{id}");
        }
        (Some(last), None) => {
            if attempts == 1 {
                // It began with the other one, which has its turn once in a thousand.
                (answer, attempts) = ask(&mut || target.call(&call));
            }
            assert_eq!((answer.status, json!(attempts)), (200, expect["attempts"].clone()), "{id}");
            let origin = all.iter().find(|origin| origin.authority() == last).unwrap();
            let request = origin.requests().pop().unwrap();
            assert_eq!(json!(request.header("host")), expect["host"], "{id}");
        }
        _ => panic!("{id} expects something else of attempts: {expect}"),
    }
}
