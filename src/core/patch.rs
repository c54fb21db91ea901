//! Changes to a part of a resource, as APISIX's PATCH makes them.

use serde_json::{Map, Value};

use crate::json::DEPTH_MAX;

/// Merges `patch` into `value`: objects member by member, null takes a member away, all else replaces
/// (RFC 7396).
pub fn merge(value: &mut Value, patch: Value) {
    let Value::Object(members) = patch else {
        *value = patch;
        return;
    };
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    let Some(target) = value.as_object_mut() else { return };
    for (key, part) in members {
        if part.is_null() {
            target.remove(&key);
        } else {
            merge(target.entry(key).or_insert(Value::Null), part);
        }
    }
}

/// Sets the member at a path of keys, with the objects that lead there; a null takes it away. What
/// the path goes through must be objects.
pub fn set(value: &mut Value, path: &[String], part: Value) -> Result<(), String> {
    let Some((last, parents)) = path.split_last() else {
        *value = part;
        return Ok(());
    };
    if path.len() > DEPTH_MAX {
        return Err(format!("invalid sub-path: it has more than {DEPTH_MAX} keys"));
    }
    let mut parent = value;
    for (depth, key) in parents.iter().enumerate() {
        let members = parent.as_object_mut().ok_or_else(|| invalid(path, depth))?;
        parent = members.entry(key.as_str()).or_insert_with(|| Value::Object(Map::new()));
    }
    let members = parent.as_object_mut().ok_or_else(|| invalid(path, parents.len()))?;
    if part.is_null() {
        members.remove(last);
    } else {
        members.insert(last.clone(), part);
    }
    Ok(())
}

fn invalid(path: &[String], depth: usize) -> String {
    let reached = path.get(..depth).unwrap_or_default().join("/");
    format!("invalid sub-path: /{}: /{reached} is not an object", path.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_patch_merges_as_rfc_7396_says() {
        for (value, patch, expected) in [
            (json!({"a": {"b": 1, "c": 2}}), json!({"a": {"b": null}}), json!({"a": {"c": 2}})),
            (json!({"a": [1, 2]}), json!({"a": [3]}), json!({"a": [3]})),
            (json!({"a": "x"}), json!({"a": {"b": {"c": null}}}), json!({"a": {"b": {}}})),
            (json!({"a": 1}), json!({}), json!({"a": 1})),
        ] {
            let mut patched = value.clone();
            merge(&mut patched, patch.clone());
            assert_eq!(patched, expected, "{value} with {patch}");
        }
    }

    #[test]
    fn a_path_makes_its_parents_and_does_not_go_through_other_things() {
        let path = |text: &str| -> Vec<String> { text.split('/').map(str::to_owned).collect() };
        let mut value = json!({"uri": "/a", "list": [{"x": 1}]});
        assert_eq!(set(&mut value, &path("labels/env"), json!("prod")), Ok(()));
        assert_eq!(value["labels"], json!({"env": "prod"}));
        assert_eq!(set(&mut value, &path("labels/env"), Value::Null), Ok(()));
        assert_eq!(value["labels"], json!({}));
        let deep = vec!["a".to_owned(); DEPTH_MAX + 1];
        assert!(set(&mut value, &deep, json!(1)).is_err());
        assert_eq!(value.get("a"), None);
        for through in ["uri/x", "list/0", "list/0/x"] {
            assert!(set(&mut value, &path(through), json!(1)).is_err(), "{through}");
        }
    }
}
