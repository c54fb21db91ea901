//! Requests to the Admin API: sound ones, and what becomes of them when they are changed.

use std::borrow::Cow;
use std::net::IpAddr;

use serde_json::{Value, json};
use splitway_core::head::Head;
use splitway_tests::chance::Chance;
use splitway_tests::mutation::{mutate, sound};

/// The key that the API was started with.
pub(crate) const KEY: &str = "first-key-that-nobody-repeats";

/// Keys that are added, and such as nobody knows.
pub(crate) const KEYS: [&str; 3] =
    ["added-key-that-nobody-repeats", "other-key-that-nobody-repeats", "wrong-key-nobody-repeats"];

/// The past documents that a request may come from.
pub(crate) type Documents = Vec<Value>;

/// A request as it comes.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) client: u8,
    pub(crate) body: Vec<u8>,
}

impl std::fmt::Display for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let body = String::from_utf8_lossy(&self.body);
        write!(f, "{} {} {:?} {body}", self.method, self.target, self.headers)
    }
}

impl Head for Request {
    fn method(&self) -> &str {
        &self.method
    }

    fn path(&self) -> &str {
        self.target.split('?').next().unwrap()
    }

    fn query(&self) -> Option<&str> {
        self.target.split_once('?').map(|(_, query)| query)
    }

    fn host(&self) -> &str {
        "127.0.0.1:9180"
    }

    fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        let found = self.headers.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| Cow::Borrowed(value.as_str()))
    }

    fn client(&self) -> Option<IpAddr> {
        Some(IpAddr::from([127, 0, 0, self.client]))
    }

    fn scheme(&self) -> &str {
        "http"
    }

    fn port(&self) -> u16 {
        9180
    }

    fn is_fronted(&self) -> bool {
        false
    }
}

const IDS: [&str; 6] = ["1", "2", "a", "provider", "00000000000000000004", "chat"];
const ODD_IDS: [&str; 8] = ["", "..", "%00", "a%2Fb", "%ff", "a/b", "*", "0"];
const KINDS: [&str; 12] = [
    "routes",
    "routes",
    "routes",
    "upstreams",
    "upstreams",
    "services",
    "consumers",
    "global_rules",
    "plugin_configs",
    "plugin_metadata",
    "consumer_groups",
    "nowhere",
];
const PATHS: [&str; 8] = [
    "upstream_id",
    "labels/a",
    "plugins/traffic-split/rules",
    "uri",
    "upstream/nodes",
    "id",
    "create_time",
    "status",
];

/// A request out of all that there are; `past` are the documents so far, the last is the current one.
pub(crate) fn draw(chance: &mut Chance, past: &Documents) -> Request {
    let (method, target, body) = match chance.below(20) {
        0..=7 => resource(chance),
        8..=9 => patch(chance),
        10..=12 => ("PUT".to_owned(), "/splitway/v1/config".to_owned(), document(chance, past)),
        13..=15 => of_the_past(chance, past.len()),
        16 => key(chance),
        17 => checks(chance, past),
        _ => looks(chance),
    };
    let mut request = Request {
        method,
        target,
        headers: vec![("x-api-key", KEY.to_owned())],
        client: 1,
        body: body.map(|body| body.to_string().into_bytes()).unwrap_or_default(),
    };
    if chance.one_in(4) {
        add_argument(&mut request, chance);
    }
    // Elsewhere it is refused, which says little often.
    if chance.one_in(if request.target.starts_with("/splitway/") { 4 } else { 40 }) {
        let current = past.len() - 1;
        let tags = [
            format!("\"{current}\""),
            format!("\"{}\"", current + 1),
            "*".to_owned(),
            "x".to_owned(),
        ];
        request.headers.push(("if-match", chance.one_of(&tags)));
    }
    if chance.one_in(10) {
        request.headers[0].1 = chance.one_of(&KEYS).to_owned();
        request.client = u8::try_from(2 + chance.below(3)).unwrap();
    }
    if chance.one_in(20) && !request.body.is_empty() {
        let at = chance.below(request.body.len());
        request.body[at] = chance.one_of(b"\"{}[],:0-e\\\0\xff ");
    }
    request
}

fn id(chance: &mut Chance) -> &'static str {
    if chance.one_in(12) { chance.one_of(&ODD_IDS) } else { chance.one_of(&IDS) }
}

/// A resource of a kind as in the sound document, now and then changed, or one of another kind.
fn value(chance: &mut Chance, kind: &str) -> Value {
    let document = sound();
    let kind = if chance.one_in(12) { "routes" } else { kind };
    let list = document[kind].as_array().cloned().unwrap_or_default();
    let mut value = if list.is_empty() { json!({}) } else { chance.one_of(&list) };
    if let Some(members) = value.as_object_mut() {
        members.remove("id");
        if !chance.one_in(12) {
            // Nobody but the ledger may say them.
            members.remove("create_time");
            members.remove("update_time");
        }
        if !chance.one_in(3) {
            // By itself, or with what may be there.
            members.remove("service_id");
            members.remove("plugin_config_id");
            members.remove("plugins");
            if members.remove("upstream_id").is_some() && !chance.one_in(3) {
                members.insert("upstream_id".to_owned(), json!(chance.one_of(&IDS)));
            } else if kind == "routes" {
                members.insert("upstream".to_owned(), json!("http://a:1"));
            }
        }
    }
    if chance.one_in(6) {
        mutate(&mut value, chance);
    }
    value
}

type Drawn = (String, String, Option<Value>);

fn resource(chance: &mut Chance) -> Drawn {
    let kind = chance.one_of(&KINDS);
    let path = format!("/apisix/admin/{kind}");
    let with_id = format!("{path}/{}", id(chance));
    match chance.below(8) {
        0 => ("POST".to_owned(), path, Some(value(chance, kind))),
        1 => ("DELETE".to_owned(), with_id, None),
        2 => ("DELETE".to_owned(), format!("{with_id}?force=true"), None),
        3 => ("GET".to_owned(), with_id, None),
        4 => ("GET".to_owned(), path, None),
        _ => ("PUT".to_owned(), with_id, Some(value(chance, kind))),
    }
}

fn patch(chance: &mut Chance) -> Drawn {
    let kind = chance.one_of(&KINDS);
    let path = format!("/apisix/admin/{kind}/{}", id(chance));
    let path = match chance.below(2) {
        0 => path,
        _ => format!("{path}/{}", chance.one_of(&PATHS)),
    };
    let value = match chance.below(4) {
        0 => json!({"upstream_id": chance.one_of(&IDS)}),
        1 => json!(chance.one_of(&IDS)),
        2 => Value::Null,
        _ => value(chance, kind),
    };
    ("PATCH".to_owned(), path, Some(value))
}

/// A document of the past or the sound one, changed in some places.
fn document(chance: &mut Chance, past: &Documents) -> Option<Value> {
    let mut document = match chance.below(4) {
        0 => sound(),
        _ => past[past.len() - 1 - chance.below(past.len().min(10))].clone(),
    };
    for _ in 0..chance.below(4).saturating_sub(1) {
        mutate(&mut document, chance);
    }
    Some(document)
}

fn of_the_past(chance: &mut Chance, count: usize) -> Drawn {
    let mut revision = || match chance.below(8) {
        0 => chance.one_of(&["-1", "99999999999999999999", "x", "%00"]).to_owned(),
        _ => chance.below(count + 2).to_string(),
    };
    let (from, to) = (revision(), revision());
    let (method, path) = match chance.below(4) {
        0 => ("GET", format!("{from}/diff/{to}")),
        1 => ("GET", from),
        _ => ("POST", format!("{from}/rollback")),
    };
    (method.to_owned(), format!("/splitway/v1/revisions/{path}"), None)
}

fn key(chance: &mut Chance) -> Drawn {
    let path = format!("/splitway/v1/keys/{}", chance.one_of(&["k1", "k2", "admin", "%00"]));
    let role = chance.one_of(&["admin", "viewer", "nobody"]);
    let mut key = json!({"role": role, "key": chance.one_of(&[KEY, KEYS[0], KEYS[1], "short"])});
    if chance.one_in(6) {
        mutate(&mut key, chance);
    }
    match chance.below(3) {
        0 => ("DELETE".to_owned(), path, None),
        _ => ("PUT".to_owned(), path, Some(key)),
    }
}

fn checks(chance: &mut Chance, past: &Documents) -> Drawn {
    if chance.one_in(2) {
        return ("POST".to_owned(), "/splitway/v1/explain".to_owned(), Some(question(chance)));
    }
    let body = document(chance, past);
    let path = chance.one_of(&[
        "configs/validate",
        "schema/validate/routes",
        "schema/validate/upstream",
        "schema/routes",
    ]);
    ("POST".to_owned(), format!("/apisix/admin/{path}"), body)
}

fn question(chance: &mut Chance) -> Value {
    let url =
        chance.one_of(&["/a", "https://api.example.com/chat?a=1", "http://[::1]:1", "*", "x"]);
    let headers = json!({"host": "a.test", "x-splitway-branch": "b1", "x": "1"});
    let mut question = json!({"url": url, "method": "POST", "headers": headers, "body": {"a": 1}});
    if chance.one_in(2) {
        question["headers"] = json!([["cookie", "splitway=1.2"], ["Connection", "close, x"]]);
    }
    if chance.one_in(3) {
        mutate(&mut question, chance);
    }
    question
}

fn looks(chance: &mut Chance) -> Drawn {
    let path = chance.one_of(&[
        "/splitway/v1/config",
        "/splitway/v1/config?format=yaml",
        "/splitway/v1/revisions",
        "/splitway/v1/revisions?limit=3&before=5",
        "/splitway/v1/keys",
        "/apisix/admin/routes?uri=c(h|a)*t&page=1&page_size=10",
        "/apisix/admin/schema/route",
        "/apisix/admin/plugins/list",
        "/apisix/admin",
        "/splitway/v1//",
    ]);
    (
        chance.one_of(&["GET", "GET", "GET", "HEAD", "DELETE", "QUERY"]).to_owned(),
        path.to_owned(),
        None,
    )
}

fn add_argument(request: &mut Request, chance: &mut Chance) {
    let argument = chance.one_of(&[
        "ttl=5",
        "ttl=1000",
        "ttl=-1",
        "ttl=NaN",
        "dry_run=true",
        "dry_run=true",
        "force=true",
        "page=x",
        "name=(",
        "uri=%2Fchat",
        "label=a",
        "filter=upstream_id%3Da",
        "format=xml",
        "limit=x",
        "&=&",
    ]);
    let joint = if request.target.contains('?') { '&' } else { '?' };
    request.target = format!("{}{joint}{argument}", request.target);
}
