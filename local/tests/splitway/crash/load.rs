//! Those who write and those who ask, until the server is gone.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};
use splitway_tests::chance::Chance;
use splitway_tests::message::Call;

use super::client::Client;
use super::model::{Deeds, State, Write};
use crate::api::call;

/// The routes that are always written together.
pub(crate) const TOGETHER: [&str; 4] = ["d0", "d1", "d2", "d3"];

/// What all of a round share.
pub(crate) struct Round<'r> {
    pub(crate) admin: SocketAddr,
    pub(crate) traffic: SocketAddr,
    pub(crate) authority: &'r str,
    /// How many writes were acknowledged.
    pub(crate) acknowledged: AtomicU64,
    /// What the routes that are written together said, by revision.
    pub(crate) seen: &'r Mutex<BTreeMap<u64, String>>,
}

/// A route that carries what it says to the upstream.
fn route(id: &str, desc: &str, authority: &str) -> Value {
    let branch = json!({"name": desc, "rewrite": {"uri": format!("/{id}/{desc}")}});
    json!({
        "id": id, "uri": format!("/{id}"), "desc": desc,
        "upstream": {"nodes": {authority: 1}, "pass_host": "node"},
        "plugins": {"traffic-split": {"rules": [{"weighted_upstreams": [branch]}]}},
    })
}

impl Round<'_> {
    /// Writes one route in all ways until the server is gone.
    pub(crate) fn write_one(
        &self,
        id: &str,
        mut desc: Option<String>,
        mut chance: Chance,
    ) -> Deeds {
        let mut deeds = Deeds::default();
        let Some(mut client) = Client::open(self.admin) else { return deeds };
        let path = format!("/apisix/admin/routes/{id}");
        loop {
            let next = format!("v{:x}", chance.draw());
            let (verb, request, after) = match (&desc, chance.below(4)) {
                (None, _) | (Some(_), 0) => {
                    let verb = if desc.is_some() { "put" } else { "add" };
                    let body = route(id, &next, self.authority).to_string();
                    (verb, call("PUT", &path).body(body), Some(next))
                }
                (Some(_), 1) => ("delete", call("DELETE", &path), None),
                (Some(_), _) => {
                    let patch = route(id, &next, self.authority);
                    let patch = json!({"desc": next, "plugins": patch["plugins"]}).to_string();
                    ("patch", call("PATCH", &path).body(patch), Some(next))
                }
            };
            let cause = format!("{verb} route {id}");
            let after_write = BTreeMap::from([(id.to_owned(), after.clone())]);
            let write = Write { cause, after: after_write, revision: None };
            let Some(answer) = client.call(&request) else {
                deeds.pending = Some(write);
                return deeds;
            };
            assert!((200..=201).contains(&answer.status), "{request:?}: {}", answer.text());
            deeds.acknowledged.push(write);
            self.acknowledged.fetch_add(1, Ordering::SeqCst);
            desc = after;
        }
    }

    /// Replaces the whole document, of which only the routes that belong together change.
    pub(crate) fn write_all(&self, mut chance: Chance) -> Deeds {
        let mut deeds = Deeds::default();
        // `None` where the server went away in between; what was sent is noted before.
        let _ = self.try_write_all(&mut chance, &mut deeds);
        deeds
    }

    fn try_write_all(&self, chance: &mut Chance, deeds: &mut Deeds) -> Option<()> {
        let (mut client, mut traffic) = (Client::open(self.admin)?, Client::open(self.traffic)?);
        loop {
            let current = client.call(&call("GET", "/splitway/v1/config"))?;
            let tag = current.header("etag").expect("a tag");
            let mut document = current.json();
            let desc = format!("v{:x}", chance.draw());
            let fresh = TOGETHER.map(|id| route(id, &desc, self.authority));
            // Behind the others: a route that stood before them would move them.
            let mut routes = document["routes"].as_array().cloned().unwrap_or_default();
            for route in fresh {
                match routes.iter_mut().find(|old| old["id"] == route["id"]) {
                    Some(old) => *old = route,
                    None => routes.push(route),
                }
            }
            document["routes"] = json!(routes);
            let request = call("PUT", "/splitway/v1/config").header("If-Match", &tag);
            let after = TOGETHER.map(|id| (id.to_owned(), Some(desc.clone())));
            let write = |revision| Write {
                cause: "put the document".to_owned(),
                after: after.clone().into(),
                revision,
            };
            deeds.pending = Some(write(None));
            let answer = client.call(&request.body(document.to_string()))?;
            deeds.pending = None;
            if answer.status == 412 {
                continue;
            }
            assert_eq!(answer.status, 200, "{}", answer.text());
            let revision = answer.json()["revision"].as_u64().expect("a revision");
            deeds.acknowledged.push(write(Some(revision)));
            self.acknowledged.fetch_add(1, Ordering::SeqCst);
            let served = self.look(&mut traffic, "d0")?;
            assert!(served >= revision, "{revision} is acknowledged and {served} serves");
        }
    }

    /// Asks for the routes that belong together until the server is gone. `state` is what serves at
    /// the start.
    pub(crate) fn ask(&self, state: &State, mut chance: Chance) {
        if TOGETHER.iter().any(|id| !state.contains_key(*id)) {
            return;
        }
        let Some(mut client) = Client::open(self.traffic) else { return };
        let mut last = 0;
        while let Some(revision) = self.look(&mut client, chance.one_of(&TOGETHER)) {
            assert!(revision >= last, "{revision} is served after {last}");
            last = revision;
        }
    }

    /// Asks for one route; the revision that served it, in which all that belongs together agrees.
    fn look(&self, client: &mut Client, id: &str) -> Option<u64> {
        let answer = client.call(&Call::get(&format!("/{id}")))?;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let branch = answer.branch().expect("a branch");
        assert_eq!(answer.text(), format!("/{id}/{branch}"), "what arrived at the upstream");
        assert_eq!(answer.header("x-splitway-route").as_deref(), Some(id));
        let revision = answer.revision().expect("a revision").parse().expect("a number");
        let mut seen = self.seen.lock().expect("nobody panicked");
        let first = seen.entry(revision).or_insert_with(|| branch.clone());
        assert_eq!(*first, branch, "{id} at revision {revision}");
        Some(revision)
    }
}
