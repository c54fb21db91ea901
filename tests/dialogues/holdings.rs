//! What consumers hold: nobody is told it again.

use serde_json::{Value, json};

use crate::control::Control;

const KEY: &str = "a-plain-key";
const PASSWORD: &str = "a-plain-password";

/// Their hashes: SHA-256 of the key, and of `j:` and the password.
const HASHED_KEY: &str = "sha256:44186ea788a1aff7159ab30025d37d4aee1f82ec539b3acb89f24d02c1ad4bbe";
const HASHED_PASSWORD: &str =
    "sha256:89cd23b9e74342624f3a5ff81c47b7c2f0c0b10e652f8803f0fb828373c25508";

fn plugins(key: &str, password: &str) -> Value {
    json!({"key-auth": {"key": key}, "basic-auth": {"username": "j", "password": password}})
}

/// A document with one consumer, which holds one thing, and a credential, which holds the other.
fn document(key: &str, password: &str) -> Value {
    let (mut jack, mut credential) = (plugins(key, password), plugins(key, password));
    jack.as_object_mut().unwrap().remove("basic-auth");
    credential.as_object_mut().unwrap().remove("key-auth");
    json!({"consumers": [
        {"username": "jack", "plugins": jack},
        {"id": "jack/credentials/c1", "plugins": credential},
    ]})
}

/// However it comes in, it is hashed before it is kept: no answer has it, of now or of the past.
pub(super) fn what_consumers_hold_is_kept_as_its_hash<T: Control>(admin: &mut T) {
    let held = plugins(KEY, PASSWORD);
    let hashed = plugins(HASHED_KEY, HASHED_PASSWORD);
    let jack = |plugins: &Value| json!({"username": "jack", "plugins": plugins});

    let made = admin.say("PUT /consumers", &jack(&held));
    assert_eq!((made.status, &made.json()["value"]["plugins"]), (201, &hashed));
    let read = admin.say("GET /consumers/jack", &Value::Null).json();
    assert_eq!(read["value"]["plugins"], hashed);
    // The hash itself may be written, too.
    let again = admin.say("PUT /consumers", &jack(&hashed));
    assert_eq!((again.status, &again.json()["value"]["plugins"]), (200, &hashed));
    assert_eq!(admin.say("PUT /consumers", &jack(&json!({}))).status, 200);
    let made = admin.say("PUT /consumers/jack/credentials/c1", &json!({"plugins": held}));
    assert_eq!((made.status, &made.json()["value"]["plugins"]), (201, &hashed));
    assert_eq!(admin.own("PUT /config", &document(KEY, PASSWORD)).status, 200);

    let latest = document(HASHED_KEY, HASHED_PASSWORD);
    assert_eq!(admin.own("GET /config", &Value::Null).json(), latest);
    assert_eq!(admin.own("POST /revisions/1/rollback", &Value::Null).status, 200);
    for line in [
        "GET /config",
        "GET /config?format=yaml",
        "GET /revisions",
        "GET /revisions/1",
        "GET /revisions/4",
        "GET /revisions/1/diff/5",
        "GET /revisions/5/diff/6",
    ] {
        let told = admin.own(line, &Value::Null);
        assert_eq!(told.status, 200, "{line}: {}", told.text());
        let has = |text: &str| told.text().contains(text);
        assert!(!has(KEY) && !has(PASSWORD), "{line}: {}", told.text());
    }
    for line in ["GET /consumers", "GET /consumers/jack", "GET /consumers/jack/credentials"] {
        let told = admin.say(line, &Value::Null).text();
        assert!(!told.contains(KEY) && !told.contains(PASSWORD), "{line}: {told}");
    }
}

/// A document whose keys are plain is no other than the one that is there.
pub(super) fn a_key_and_its_hash_are_no_difference<T: Control>(admin: &mut T) {
    let plain = document(KEY, PASSWORD);
    let hashed = document(HASHED_KEY, HASHED_PASSWORD);
    assert_eq!(admin.own("PUT /config", &plain).status, 200);
    for same in [&plain, &hashed] {
        for line in ["PUT /config?dry_run=true", "PUT /config"] {
            let told = admin.own(line, same).json();
            assert_eq!((&told["changes"], &told["revision"]), (&json!([]), &json!(1)), "{line}");
        }
    }
    let other = admin.own("PUT /config?dry_run=true", &document("another-key", PASSWORD)).json();
    assert_eq!(other["changes"].as_array().unwrap().len(), 1);
    assert!(!other.to_string().contains("another-key"), "{other}");
}
