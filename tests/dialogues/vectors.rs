//! What APISIX answers, as data, and where Splitway answers something else on purpose.
//!
//! `vectors.json` holds facts about the Admin API of APISIX 3.13 and 3.18, as far as they are about
//! routes and the methods GET, PUT and DELETE; [`DIFFERENCES`] holds the steps of them to which
//! Splitway answers something else.

use serde_json::{Value, json};

use crate::control::{Control, KEY};
use crate::message::{Answer, Call};

/// A step that is answered otherwise.
struct Difference {
    /// The vector and the number of its step, from 0.
    step: (&'static str, usize),
    /// What Splitway answers, in the words of a vector.
    expect: &'static str,
    /// Why that is better, or still missing.
    #[expect(dead_code, reason = "for whoever reads the table")]
    why: &'static str,
}

const DIFFERENCES: &[Difference] = &[
    Difference {
        step: ("admin-api-014", 0),
        expect: r#"{"status": 400, "body_is": {
            "error_msg": "invalid request body: EOF while parsing a value at line 1 column 7",
            "req_body": "{\"uri\":"
        }}"#,
        why: "the parser is another one, and says where",
    },
    Difference {
        step: ("admin-api-016", 1),
        expect: r#"{"status": 201, "body_has": {"value": {"upstream": {"update_time": 1}}}}"#,
        why: "the times of an embedded upstream are kept as they are given; nothing reads them",
    },
    Difference { step: ("admin-api-027", 2), expect: NO_VIEWER, why: NO_ROLES },
    Difference { step: ("admin-api-027", 3), expect: NO_VIEWER, why: NO_ROLES },
    Difference {
        step: ("admin-api-034", 0),
        expect: r#"{"status": 400, "body_has": {
            "error_msg": "failed to fetch upstream info by upstream id [x], answer code: 404",
            "errors": [{"pointer": "/upstream_id", "detail": "there is no upstream `x`"}]
        }}"#,
        why: "the same line, and with it all faults with their places",
    },
    Difference {
        step: ("admin-api-034", 1),
        expect: r#"{"status": 400, "text_has": "\"pointer\":\"/service_id\""}"#,
        why: NO_SUCH_RESOURCE,
    },
    Difference {
        step: ("admin-api-034", 2),
        expect: r#"{"status": 400, "text_has": "\"pointer\":\"/plugin_config_id\""}"#,
        why: NO_SUCH_RESOURCE,
    },
    Difference {
        step: ("admin-api-035", 0),
        expect: r#"{"status": 400, "body_has": {
            "error_msg": "failed to fetch upstream info by upstream id [nope], answer code: 404"
        }}"#,
        why: "a branch whose upstream does not exist would fail for its share of the traffic",
    },
    Difference {
        step: ("admin-api-038", 0),
        expect: r#"{"status": 400, "body_is": {
            "error_msg": "`ttl` is not supported yet: the resource would never expire"
        }}"#,
        why: "routes do not expire yet, with whatever `ttl`",
    },
    Difference { step: ("admin-api-039", 1), expect: WHOLE_LIST, why: NO_PAGES },
    Difference { step: ("admin-api-039", 2), expect: WHOLE_LIST, why: NO_PAGES },
];

const NO_VIEWER: &str = r#"{"status": 401, "body_is": {
    "error_msg": "failed to check token", "description": "wrong apikey"
}}"#;

const NO_ROLES: &str = "there is one key, which may write; one that may only read is still missing";

const NO_SUCH_RESOURCE: &str = "Splitway does not support such resources yet";

const WHOLE_LIST: &str = r#"{"status": 200, "body_has": {"total": 1}}"#;

const NO_PAGES: &str = "a list is always given whole; pages are still missing";

/// Where a vector asks with the key of a viewer, this one is added before.
const VIEWER: &str = "the-key-of-a-viewer";

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
            "body_is" => assert_eq!(answer.json(), *expected, "{step}"),
            "body_has" => {
                assert!(has(&answer.json(), expected), "{step}: {expected} in {}", answer.text());
            }
            "text_is" => assert_eq!(json!(answer.text()), *expected, "{step}"),
            "text_has" => {
                assert!(
                    answer.text().contains(expected.as_str().unwrap()),
                    "{step}: {}",
                    answer.text()
                );
            }
            other => panic!("{step} expects something of `{other}`"),
        }
    }
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
