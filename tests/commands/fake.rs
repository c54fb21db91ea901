//! A server that keeps its API's promises in memory: documents, revisions and keys, but no traffic.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use splitway_tests::origin::Origin;
use splitway_tests::script::{Act, Received, Reply, Script};

use crate::process::KEY;

/// The kinds of resources that the tests use, in the order of the API.
const KINDS: [&str; 2] = ["routes", "upstreams"];

/// When everything happens here.
pub(crate) const AT: &str = "2026-11-22T19:00:00.000Z";

/// What the server keeps.
#[derive(Debug)]
pub(crate) struct State {
    /// The documents and what made them; the first is revision 1.
    revisions: Vec<(Value, String)>,
    /// Names and roles, and the keys themselves.
    keys: Vec<(String, String, String)>,
    /// Whether somebody else makes a revision right after the next trial.
    pub(crate) has_rival: bool,
}

/// One that has this document as revision 1 and its API below `prefix`.
pub(crate) fn start(prefix: &str, document: Value) -> (Origin, Arc<Mutex<State>>) {
    let state = state(document);
    let script = script(prefix, &state);
    (Origin::on_loopback(script), state)
}

/// What a new server has.
pub(crate) fn state(document: Value) -> Arc<Mutex<State>> {
    let revisions = vec![(document, "first".to_owned())];
    Arc::new(Mutex::new(State { revisions, keys: Vec::new(), has_rival: false }))
}

/// How the server answers.
pub(crate) fn script(prefix: &str, state: &Arc<Mutex<State>>) -> Script {
    let (base, state) = (format!("{prefix}/splitway/v1"), Arc::clone(state));
    Script::new(move |request| {
        let Some(target) = request.target.strip_prefix(&base) else {
            return Act::Answer(problem(404, "there is no such path"));
        };
        Act::Answer(state.lock().unwrap().answer(request, target))
    })
}

/// A problem as the API tells it.
pub(crate) fn problem(status: u16, message: &str) -> Reply {
    let body = json!({"type": "about:blank", "title": "-", "status": status, "error_msg": message});
    problem_of(status, &body)
}

/// A problem with members of its own.
pub(crate) fn problem_of(status: u16, body: &Value) -> Reply {
    Reply::status(status).header("Content-Type", "application/problem+json").body(body.to_string())
}

fn ok(body: &Value) -> Reply {
    Reply::ok(body.to_string()).header("Content-Type", "application/json")
}

impl State {
    fn current(&self) -> usize {
        self.revisions.len()
    }

    fn answer(&mut self, request: &Received, target: &str) -> Reply {
        let key = request.header("x-api-key").unwrap_or_default();
        let is_viewer = self.keys.iter().any(|(_, role, known)| *known == key && role == "viewer");
        let is_admin = self.keys.iter().any(|(_, role, known)| *known == key && role == "admin");
        let token = |why| json!({"error_msg": "failed to check token", "description": why});
        if is_viewer && request.method != "GET" {
            return problem_of(401, &token("invalid method for role viewer"));
        }
        if key != KEY && !is_viewer && !is_admin {
            return problem_of(401, &token("wrong apikey"));
        }
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        match (request.method.as_str(), segments.as_slice()) {
            ("GET", ["config"]) => self.config(),
            ("PUT", ["config"]) => {
                let document: Value = serde_json::from_slice(&request.body).unwrap();
                self.write(document, request, query, "put config")
            }
            ("GET", ["revisions"]) => self.revisions(query),
            ("GET", ["revisions", number]) => self.revision(number),
            ("GET", ["revisions", from, "diff", to]) => {
                let (from, to) = (self.document(from).unwrap(), self.document(to).unwrap());
                ok(&json!({"changes": changes(from, to, true)}))
            }
            ("POST", ["revisions", number, "rollback"]) => match self.document(number).cloned() {
                Some(document) => {
                    self.write(document, request, query, &format!("rollback to {number}"))
                }
                None => problem(404, &format!("there is no revision {number}")),
            },
            ("GET", ["keys"]) => {
                let key = |(name, role, _): &(String, String, String)| json!({"name": name, "role": role, "created_at": AT});
                ok(&json!({"keys": self.keys.iter().map(key).collect::<Vec<_>>()}))
            }
            ("PUT", ["keys", name]) => self.put_key(name, &request.body),
            ("DELETE", ["keys", name]) => {
                let count = self.keys.len();
                self.keys.retain(|(known, ..)| known != name);
                match self.keys.len() < count {
                    true => ok(&json!({"deleted": name})),
                    false => problem(404, &format!("there is no key `{name}`")),
                }
            }
            _ => problem(404, "there is no such path"),
        }
    }

    fn config(&self) -> Reply {
        let (document, _) = self.revisions.last().unwrap();
        ok(document).header("ETag", format!("\"{}\"", self.current()))
    }

    fn write(&mut self, document: Value, request: &Received, query: &str, cause: &str) -> Reply {
        let tag = format!("\"{}\"", self.current());
        if request.header("if-match").is_some_and(|wanted| wanted != tag) {
            let body = json!({"error_msg": "it was changed", "revision": self.current()});
            return problem_of(412, &body);
        }
        if let Some(faults) = faults(&document) {
            return problem_of(
                400,
                &json!({"error_msg": "the document has faults", "errors": faults}),
            );
        }
        let is_dry = query == "dry_run=true";
        let changes = changes(&self.revisions.last().unwrap().0, &document, true);
        if !is_dry && !changes.is_empty() {
            self.revisions.push((document, cause.to_owned()));
        }
        let revision = self.current();
        if std::mem::take(&mut self.has_rival) {
            self.revisions.push((json!({}), "a rival".to_owned()));
        }
        ok(&json!({"revision": revision, "dry_run": is_dry, "changes": changes}))
            .header("ETag", format!("\"{revision}\""))
    }

    fn document(&self, number: &str) -> Option<&Value> {
        let number: usize = number.parse().ok()?;
        self.revisions.get(number.checked_sub(1)?).map(|(document, _)| document)
    }

    fn entry(&self, number: usize) -> Value {
        let nothing = json!({});
        let before = self.document(&(number - 1).to_string()).unwrap_or(&nothing);
        let (document, cause) = &self.revisions[number - 1];
        let changes = changes(before, document, false);
        json!({"revision": number, "at": AT, "by": "admin", "cause": cause, "changes": changes})
    }

    fn revisions(&self, query: &str) -> Reply {
        let argument = |name: &str| {
            let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.filter(|(known, _)| *known == name).find_map(|(_, value)| value.parse().ok())
        };
        let before = argument("before").unwrap_or(usize::MAX).min(self.current() + 1);
        let numbers = (1..before).rev().take(argument("limit").unwrap_or(50));
        let revisions: Vec<Value> = numbers.map(|number| self.entry(number)).collect();
        ok(&json!({"current": self.current(), "revisions": revisions}))
    }

    fn revision(&self, number: &str) -> Reply {
        let Some(document) = self.document(number) else {
            return problem(404, &format!("there is no revision {number}"));
        };
        let mut entry = self.entry(number.parse().unwrap());
        entry["document"] = document.clone();
        ok(&entry)
    }

    fn put_key(&mut self, name: &str, body: &[u8]) -> Reply {
        let body: Value = serde_json::from_slice(body).unwrap();
        let text = |name: &str| body[name].as_str().unwrap().to_owned();
        let count = self.keys.len();
        self.keys.retain(|(known, ..)| known != name);
        let status = if self.keys.len() < count { 200 } else { 201 };
        self.keys.push((name.to_owned(), text("role"), text("key")));
        Reply { status, ..ok(&json!({"name": name, "role": text("role")})) }
    }
}

/// A route without a path is the one fault that is known here.
fn faults(document: &Value) -> Option<Value> {
    let routes = document["routes"].as_array()?;
    let missing = routes.iter().enumerate().filter(|(_, route)| route.get("uri").is_none());
    let fault = |(number, _)| json!({"pointer": format!("/routes/{number}"), "detail": "no uri"});
    let faults: Vec<Value> = missing.map(fault).collect();
    (!faults.is_empty()).then(|| json!(faults))
}

/// What is different between two documents, with the forms or without.
fn changes(before: &Value, after: &Value, is_full: bool) -> Vec<Value> {
    let mut changes = Vec::new();
    for kind in KINDS {
        let nothing = Vec::new();
        let list = |document: &'_ Value| document[kind].as_array().unwrap_or(&nothing).clone();
        let find = |list: &[Value], id: &Value| list.iter().find(|it| it["id"] == *id).cloned();
        let (old, new) = (list(before), list(after));
        let mut ids: Vec<&Value> = old.iter().chain(&new).map(|it| &it["id"]).collect();
        ids.sort_by_key(|id| id.to_string());
        ids.dedup();
        for id in ids {
            let (before, after) = (find(&old, id), find(&new, id));
            let op = match (&before, &after) {
                (Some(before), Some(after)) if before == after => continue,
                (Some(_), Some(_)) => "change",
                (Some(_), None) => "remove",
                (None, _) => "add",
            };
            let mut change = json!({"op": op, "kind": kind, "id": id});
            if is_full {
                change["before"] = before.into();
                change["after"] = after.into();
            }
            changes.push(change);
        }
    }
    changes
}
