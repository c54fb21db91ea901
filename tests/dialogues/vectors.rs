//! What APISIX answers, as data, and where Splitway answers something else on purpose.
//!
//! `vectors.json` holds facts about the Admin API of APISIX 3.13 and 3.18; `DIFFERENCES` holds the
//! steps of them to which Splitway answers something else.

use serde_json::{Value, json};

use splitway_core::fault::Fault;

use crate::control::{Control, KEY};
use crate::message::{Answer, Call};
use crate::scenarios::vectors::resources_are_judged_as_told;

/// A step that is answered otherwise.
struct Difference {
    /// The vector and the number of its step, from 0.
    step: (&'static str, usize),
    /// What Splitway answers, in the words of a vector.
    expect: &'static str,
    /// Why that is better, or still missing.
    why: &'static str,
}

const DIFFERENCES: &[Difference] = &[
    Difference {
        step: ("admin-api-016", 1),
        expect: r#"{"status": 201, "body_has": {"value": {"upstream": {"update_time": 1}}}}"#,
        why: "the times of an embedded upstream are kept as they are given; nothing reads them",
    },
    Difference {
        step: ("admin-api-035", 0),
        expect: r#"{"status": 400, "body_has": {
            "error_msg": "failed to fetch upstream info by upstream id [nope], response code: 404"
        }}"#,
        why: "a branch whose upstream does not exist would fail for its share of the traffic",
    },
    Difference {
        step: ("admin-api-045", 0),
        expect: r#"{"status": 200, "body_is": [
            "real-ip", "client-control", "request-id", "cors", "basic-auth", "jwt-auth",
            "key-auth", "ip-restriction", "limit-conn", "limit-count", "limit-req", "proxy-rewrite",
            "api-breaker", "traffic-split"
        ]}"#,
        why: "the plugins that there are here, ordered in the same way",
    },
    Difference {
        step: ("admin-own-001", 1),
        expect: r#"{"status": 200, "body_has": {"value": {"plugins": {"key-auth": {
            "key": "sha256:8254c329a92850f6d539dd376f4816ee2764517da5e0235514af433164480d7a"
        }}}}}"#,
        why: "only hashes of keys and passwords are kept: whoever reads the configuration or a backup of it cannot use them",
    },
    Difference { step: ("admin-api-048", 0), expect: NO_STANDALONE, why: WHY_NO_STANDALONE },
    Difference { step: ("admin-api-048", 1), expect: NO_STANDALONE, why: WHY_NO_STANDALONE },
    Difference { step: ("admin-api-048", 2), expect: NO_STANDALONE, why: WHY_NO_STANDALONE },
    Difference { step: ("admin-api-048", 3), expect: NO_STANDALONE, why: WHY_NO_STANDALONE },
    Difference { step: ("admin-api-048", 4), expect: NO_STANDALONE, why: WHY_NO_STANDALONE },
    Difference { step: ("admin-api-048", 5), expect: NO_STANDALONE, why: WHY_NO_STANDALONE },
];

const NO_STANDALONE: &str = r#"{"status": 404, "body_is": {"error_msg": "not found"}}"#;

const WHY_NO_STANDALONE: &str =
    "whole documents are replaced at /splitway/v1/config, on a revision in the place of digests";

/// What begins so goes on in words of a library of APISIX's: that something is wrong counts, and what
/// it is about, not the words.
const WORDED: [&str; 3] = [
    "invalid configuration: ",
    "invalid request body: ",
    "failed to check the configuration of plugin ",
];

/// The differences as rows of a table: the vector and its step, what it is about, what Splitway
/// answers, and why.
pub fn differences() -> Vec<[String; 4]> {
    let all: Vec<Value> = serde_json::from_str(include_str!("vectors.json")).unwrap();
    let row = |Difference { step: (id, step), expect, why }: &Difference| {
        let vector = all.iter().find(|vector| vector["id"] == *id).unwrap();
        let expect: Value = serde_json::from_str(expect).unwrap();
        let about = vector["name"].as_str().unwrap().to_owned();
        let told = format!("answers {}", expect["status"]);
        [format!("{id}, step {}", step + 1), about, told, (*why).to_owned()]
    };
    DIFFERENCES.iter().map(row).collect()
}

/// Where a vector asks with the key of a viewer, this one is added before.
const VIEWER: &str = "the-key-of-a-viewer";

/// The vectors of single resources stand with those of requests (tests/scenarios).
pub(super) fn resources_are_taken_or_refused_as_by_apisix<T: Control>(admin: &mut T) {
    resources_are_judged_as_told(|kind, value| {
        let answer = admin.say(&format!("POST /schema/validate/{}", kind.singular()), value);
        if answer.status == 200 {
            return Vec::new();
        }
        assert_eq!(answer.status, 400, "{}", answer.text());
        let fault = |fault: &Value| {
            let text = |key: &str| fault[key].as_str().unwrap().to_owned();
            Fault::new(text("pointer"), text("detail"))
        };
        answer.json()["errors"].as_array().unwrap().iter().map(fault).collect()
    });
}

pub(super) fn apisix_and_splitway_agree_or_differ_as_told<T: Control>(admin: &mut T) {
    let all: Vec<Value> = serde_json::from_str(include_str!("vectors.json")).unwrap();
    for Difference { step: (id, number), .. } in DIFFERENCES {
        let vector = all.iter().find(|vector| vector["id"] == *id);
        assert!(vector.is_some_and(|vector| vector["steps"][number].is_object()), "{id} {number}");
    }
    let viewer = json!({"role": "viewer", "key": VIEWER});
    assert_eq!(admin.own("PUT /keys/viewer", &viewer).status, 201);
    for vector in &all {
        let id = vector["id"].as_str().unwrap();
        assert_eq!(admin.own("PUT /config", &json!({})).status, 200);
        for (number, step) in vector["steps"].as_array().unwrap().iter().enumerate() {
            let answer = admin.ask(&call(&step["request"]));
            let difference = DIFFERENCES.iter().find(|it| it.step == (id, number));
            let instead = difference.map(|it| serde_json::from_str(it.expect).unwrap());
            check(
                &format!("{id}, step {number}"),
                &answer,
                instead.as_ref().unwrap_or(&step["expect"]),
            );
        }
    }
}

fn call(request: &Value) -> Call {
    let text = |key: &str| request[key].as_str().unwrap();
    let mut made = Call::new(text("method"), text("path"));
    match request["key"].as_str() {
        Some("none") => {}
        Some("viewer") => made = made.header("x-api-key", VIEWER),
        Some(other) => made = made.header("x-api-key", other),
        None => made = made.header("x-api-key", KEY),
    }
    for (name, value) in request["headers"].as_object().into_iter().flatten() {
        made = made.header(name, value.as_str().unwrap());
    }
    match request.get("body") {
        Some(Value::String(text)) => made.body(text.as_bytes()),
        Some(body) => made.body(body.to_string()),
        None => made,
    }
}

fn check(step: &str, answer: &Answer, expect: &Value) {
    for (key, expected) in expect.as_object().unwrap() {
        match key.as_str() {
            "status" => assert_eq!(json!(answer.status), *expected, "{step}: {}", answer.text()),
            "body_is" => {
                assert!(is(&answer.json(), expected), "{step}: {expected} is not {}", answer.text())
            }
            "body_has" => {
                assert!(has(&answer.json(), expected), "{step}: {expected} in {}", answer.text());
            }
            "text_is" => assert_eq!(json!(answer.text()), *expected, "{step}"),
            "text_has" => {
                let expected = expected.as_str().unwrap();
                let worded = WORDED.into_iter().find(|worded| expected.starts_with(worded));
                assert!(
                    answer.text().contains(worded.unwrap_or(expected)),
                    "{step}: {}",
                    answer.text()
                );
            }
            other => panic!("{step} expects something of `{other}`"),
        }
    }
}

/// Whether a value is as expected. A problem document says more than APISIX does; that is no
/// difference.
fn is(value: &Value, expected: &Value) -> bool {
    let (Some(told), Some(error_msg)) =
        (value["error_msg"].as_str(), expected["error_msg"].as_str())
    else {
        return value == expected;
    };
    let worded = WORDED.into_iter().find(|worded| error_msg.starts_with(worded));
    let is_same = worded.map_or(told == error_msg, |worded| told.starts_with(worded));
    let others = expected.as_object().unwrap().iter().filter(|(key, _)| *key != "error_msg");
    is_same && others.into_iter().all(|(key, expected)| value[key] == *expected)
}

/// Whether everything expected is in a value: `<any>` is whatever it is, `<absent>` is nothing.
fn has(value: &Value, expected: &Value) -> bool {
    match expected.as_object() {
        Some(members) => members.iter().all(|(key, expected)| match value.get(key) {
            Some(value) => has(value, expected),
            None => expected == "<absent>",
        }),
        None => expected == "<any>" || value == expected,
    }
}
