//! Hashing what consumers hold before it is kept: a ledger, its revisions and what is published of it know
//! no key and no password.
//!
//! What cannot be hashed, because it is none, stays: it does not compile, and is refused.

use serde_json::Value;

use super::held::{hashed_key, hashed_password};
use super::{BASIC_AUTH, KEY_AUTH};
use crate::kind::Kind;

/// Puts hashes in the place of the keys and passwords of a resource. Says whether there were any to hash.
pub fn conceal(kind: Kind, resource: &mut Value) -> bool {
    if !matches!(kind, Kind::Consumer | Kind::Credential) {
        return false;
    }
    let Some(plugins) = resource.get_mut("plugins") else { return false };
    let key = plugins.get_mut(KEY_AUTH).is_some_and(|plugin| replace(plugin, "key", hashed_key));
    let password = plugins.get_mut(BASIC_AUTH).is_some_and(|plugin| {
        let Some(name) = plugin.get("username").and_then(Value::as_str).map(str::to_owned) else {
            return false;
        };
        replace(plugin, "password", |password| hashed_password(&name, password))
    });
    key || password
}

/// Puts hashes in the place of the keys and passwords of a whole document. Says whether there were any to
/// hash.
pub fn conceal_document(document: &mut Value) -> bool {
    let consumers = document.get_mut(Kind::Consumer.plural()).and_then(Value::as_array_mut);
    let mut is_changed = false;
    for consumer in consumers.into_iter().flatten() {
        // A credential, which may stand among them, holds what a consumer holds.
        is_changed |= conceal(Kind::Consumer, consumer);
    }
    is_changed
}

fn replace(plugin: &mut Value, key: &str, hash: impl Fn(&str) -> Option<String>) -> bool {
    let Some(member) = plugin.get_mut(key) else { return false };
    let Some(text) = member.as_str() else { return false };
    let Some(hashed) = hash(text).filter(|hashed| hashed != text) else { return false };
    *member = Value::String(hashed);
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::digest::Digest;
    use serde_json::json;

    fn holding(key: &str, password: &str) -> Value {
        json!({"username": "jack", "plugins": {
            "key-auth": {"key": key},
            "basic-auth": {"username": "j", "password": password},
        }})
    }

    #[test]
    fn keys_and_passwords_become_hashes_once() {
        let mut consumer = holding("the-key", "the-password");
        assert!(conceal(Kind::Consumer, &mut consumer));
        let key = Digest::of_key("the-key").written();
        let password = Digest::of_password("j", "the-password").written();
        assert_eq!(consumer, holding(&key, &password));
        assert!(!conceal(Kind::Consumer, &mut consumer), "there is nothing left to hash");
        assert_eq!(consumer, holding(&key, &password));
        // Hashes have one form.
        let upper = key.to_ascii_uppercase().replace("SHA256:", "sha256:");
        let mut consumer = holding(&upper, &password);
        assert!(conceal(Kind::Credential, &mut consumer));
        assert_eq!(consumer, holding(&key, &password));
    }

    #[test]
    fn all_else_stays_as_it_is() {
        for value in [
            json!(null),
            json!({"plugins": []}),
            json!({"plugins": {"key-auth": {"key": 5}, "basic-auth": {"password": "p"}}}),
            json!({"plugins": {"key-auth": {"key": "$secret://vault/k"}}}),
            json!({"plugins": {"key-auth": {"key": "sha256:beef"}, "jwt-auth": {"secret": "s"}}}),
            json!({"plugins": {"key-auth": "key"}}),
        ] {
            let mut concealed = value.clone();
            assert!(!conceal(Kind::Consumer, &mut concealed));
            assert_eq!(concealed, value);
        }
        let mut route = holding("the-key", "the-password");
        assert!(!conceal(Kind::Route, &mut route));
        assert_eq!(route, holding("the-key", "the-password"));
    }

    #[test]
    fn credentials_among_consumers_are_concealed_too() {
        let mut document = json!({"routes": [], "consumers": [
            {"username": "jack"},
            {"id": "jack/credentials/c", "plugins": {"key-auth": {"key": "the-key"}}},
        ]});
        assert!(conceal_document(&mut document));
        assert!(!document.to_string().contains("the-key"));
        assert!(!conceal_document(&mut document), "there is nothing left to hash");
        assert!(!conceal_document(&mut json!({"consumers": 5})));
        assert!(!conceal_document(&mut json!([])));
    }
}
