//! Lists, their pages and filters.

use serde_json::{Value, json};

use super::{route, with};
use crate::control::{Control, check_error};

fn ids(answer: &Value) -> Vec<String> {
    let list = answer["list"].as_array().unwrap().iter();
    list.map(|item| item["value"]["id"].as_str().unwrap().to_owned()).collect()
}

pub(super) fn pages_need_both_arguments<T: Control>(admin: &mut T) {
    for number in 0..25 {
        let made = admin.say(&format!("PUT /routes/{number:02}"), &route(&format!("/{number}")));
        assert_eq!(made.status, 201);
    }
    let page = |query: &str| admin.say(&format!("GET /routes{query}"), &Value::Null).json();
    for (query, first, count) in [
        ("", "00", 25),
        ("?page=1&page_size=10", "00", 10),
        ("?page=3&page_size=10", "20", 5),
        ("?page=0&page_size=10", "00", 10),
        ("?page=2&page_size=500", "", 0),
        ("?page_size=10", "00", 25),
        ("?page=2", "00", 25),
        ("?page=18446744073709551615&page_size=500", "", 0),
    ] {
        let page = page(query);
        assert_eq!(page["total"], 25, "{query}");
        let ids = ids(&page);
        assert_eq!((ids.len(), ids.first().map_or("", |id| id)), (count, first), "{query}");
    }
    for size in ["9", "501"] {
        let refused = admin.say(&format!("GET /routes?page=1&page_size={size}"), &Value::Null);
        assert_eq!(refused.status, 400);
        assert_eq!(refused.text(), "page_size must be between 10 and 500");
    }
}

pub(super) fn filters_look_at_names_paths_labels_and_references<T: Control>(admin: &mut T) {
    let upstream = json!({"nodes": {"127.0.0.1:80": 1}, "pass_host": "node"});
    assert_eq!(admin.say("PUT /upstreams/u", &upstream).status, 201);
    for (id, value) in [
        ("a", with(with(route("/chat/a"), "name", json!("first")), "labels", json!({"env": "x"}))),
        ("b", with(route("/chat/b"), "name", json!("second"))),
        ("c", json!({"uris": ["/x", "/embeddings"], "upstream_id": "u"})),
    ] {
        assert_eq!(admin.say(&format!("PUT /routes/{id}"), &value).status, 201, "{id}");
    }
    for (query, expected) in [
        ("name=ir", vec!["a"]),
        ("name=%5Es", vec!["b"]),
        ("uri=%5E/chat/", vec!["a", "b"]),
        ("uri=embed", vec!["c"]),
        ("label=env", vec!["a"]),
        ("filter=upstream_id%3Du", vec!["c"]),
        ("filter=upstream_id%3Dv", vec![]),
        ("uri=chat&name=first", vec!["a"]),
    ] {
        let list = admin.say(&format!("GET /routes?{query}"), &Value::Null).json();
        assert_eq!(ids(&list), expected, "{query}");
        assert_eq!(list["total"], expected.len(), "{query}");
    }
    let wrong = admin.say("GET /routes?name=(", &Value::Null);
    assert_eq!(wrong.status, 400, "{}", wrong.text());
    let greedy = format!("GET /routes?name={}", "(a{1000}){1000}");
    assert_eq!(admin.say(&greedy, &Value::Null).status, 400);
    check_error(
        &admin.say("GET /routes/a/b", &Value::Null),
        400,
        "invalid id: it must not contain `/`",
    );
}
