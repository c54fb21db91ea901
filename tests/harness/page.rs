//! Walks through the page in a browser, and what any client sees of its files.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::control::{Control, KEY};
use crate::document::upstream;
use crate::message::{Answer, Call};
use crate::node;
use crate::origin::Origin;
use crate::script::Reply;

/// Where the page is behind the paths of the Admin API, everywhere.
pub const PAGE: &str = "/splitway/v1/ui/";

/// The files that the page names, apart from itself.
const FILES: [&str; 11] = [
    "page.css",
    "page.js",
    "api.js",
    "changes.js",
    "chart.js",
    "dom.js",
    "editor.js",
    "live.js",
    "revisions.js",
    "routes.js",
    "splits.js",
];

/// All of it together is at most so large, in bytes.
const SIZE_MAX: usize = 100 * 1024;

/// Where a walk goes.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Where the Admin API is.
    pub admin: SocketAddr,
    /// Where routes are asked.
    pub traffic: SocketAddr,
    /// The path of the page.
    pub page: &'static str,
}

/// Takes one of the walks of `page.mjs` through the page. Returns what the walk saw.
pub fn walk<T: Control>(admin: &T, place: Place, walk: &str) -> Value {
    let reply = Reply::ok("<!doctype html><title>Another origin</title>");
    let other = Origin::on_loopback(reply.header("Content-Type", "text/html").into());
    let rules = json!([{
        "weighted_upstreams": [
            {"name": "v1", "weight": 95, "rewrite": {"uri": "/v1"}},
            {"name": "v2", "weight": 5, "rewrite": {"uri": "/v2"}},
        ],
        "sticky": {"by": ["header:x-user"]},
    }]);
    let split = json!({
        "uri": "/chat/*", "upstream": upstream(&other), "plugins": {"traffic-split": {"rules": rules}},
    });
    let hostile = json!({
        "uri": "/plain", "upstream": upstream(&other), "desc": "</script><script>window.hacked=1</script>",
        "name": "\"><svg onload=window.hacked=1>", "labels": {"a": "<b>b</b>"},
    });
    for (line, body) in [("PUT /routes/plain", &hostile), ("PUT /routes/chat", &split)] {
        let written = admin.say(line, body);
        assert!(matches!(written.status, 200 | 201), "{line}: {}", written.text());
    }
    let folder = std::env::var("SPLITWAY_PICTURES").ok();
    let told = json!({
        "url": format!("http://{}", place.admin), "traffic": format!("http://{}", place.traffic),
        "page": place.page, "key": KEY, "walk": walk, "folder": folder,
        "other": format!("http://{}/", other.authority()),
    });
    let output = node::script("tests/harness/page.mjs").arg(told.to_string()).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{walk}: {errors}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Looks at all files as they are sent, without a key, by `ask`.
#[track_caller]
pub fn check_files(folder: &str, ask: impl Fn(&Call) -> Answer) {
    let mut size = 0;
    for file in [""].into_iter().chain(FILES) {
        let path = format!("{folder}{file}");
        let answer = ask(&Call::get(&path));
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        check_headers(&answer, file);
        size += answer.body.len();
        let tag = answer.header("etag").expect("a tag");
        let known = ask(&Call::get(&path).header("If-None-Match", format!("W/{tag}")));
        assert_eq!((known.status, known.body.len()), (304, 0), "{path}");
        let head = ask(&Call::new("HEAD", &path));
        assert_eq!((head.status, head.header("etag")), (200, Some(tag)), "{path}");
        assert_eq!(ask(&Call::post(&path, "{}")).status, 405, "{path}");
    }
    assert!((10_000..=SIZE_MAX).contains(&size), "{size} bytes");
    let moved = ask(&Call::get(folder.trim_end_matches('/')));
    assert_eq!((moved.status, moved.header("location").as_deref()), (308, Some("ui/")));
    for missing in ["nothing.js", "page.js/", "../config", "%2e%2e/config"] {
        let answer = ask(&Call::get(&format!("{folder}{missing}")));
        assert!(matches!(answer.status, 401 | 404), "{missing}: {}", answer.status);
    }
}

#[track_caller]
fn check_headers(answer: &Answer, file: &str) {
    let is = |name: &str| answer.header(name).unwrap_or_default();
    let media_type = match file.rsplit_once('.').map_or("html", |(_, ending)| ending) {
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        _ => "text/html; charset=utf-8",
    };
    assert_eq!(is("content-type"), media_type, "{file}");
    assert_eq!(is("x-content-type-options"), "nosniff");
    assert_eq!(is("referrer-policy"), "no-referrer");
    for part in ["default-src 'none';", "script-src 'self';", "frame-ancestors 'none'"] {
        assert!(is("content-security-policy").contains(part), "{file} without {part}");
    }
    assert!(!answer.headers.has("access-control-allow-origin"), "CORS is off");
}
