//! A server of a fleet.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Instant;

use serde_json::{Value, json};
use splitway_tests::message::{Answer, Call};
use splitway_tests::wire;
use tempfile::TempDir;

use crate::process::{PATIENCE, Serving, argument, splitway};

/// The key of all servers.
pub(crate) const KEY: &str = "0123456789abcdef0123456789abcdef";

/// Where a server listens that does not run.
const NOWHERE: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0));

/// A server with a data directory of its own, which outlives the process.
pub(crate) struct Node {
    dir: TempDir,
    store: String,
    more: Vec<String>,
    password: Option<String>,
    serving: Option<Mutex<Serving>>,
    traffic: SocketAddr,
    admin: SocketAddr,
}

impl Node {
    /// Starts one on a store.
    pub(crate) fn start(store: &str) -> Self {
        let mut node = Self::prepare(store, &[]);
        node.restart();
        node
    }

    /// One that does not run yet, with more options.
    pub(crate) fn prepare(store: &str, more: &[&str]) -> Self {
        let more = more.iter().map(|option| (*option).to_owned()).collect();
        let dir = TempDir::new().unwrap();
        Self {
            dir,
            store: store.to_owned(),
            more,
            password: None,
            serving: None,
            traffic: NOWHERE,
            admin: NOWHERE,
        }
    }

    /// Gives it a password for etcd.
    pub(crate) fn password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self
    }

    /// Its options, the address of etcd among them.
    pub(crate) fn options(&self) -> Vec<String> {
        let mut options = vec!["--store".to_owned(), self.store.clone()];
        options.extend(["--data-dir".to_owned(), argument(self.dir.path())]);
        options.extend(["--admin-listen".to_owned(), "127.0.0.1:0".to_owned()]);
        options.extend(self.more.clone());
        options
    }

    /// Starts the process.
    pub(crate) fn restart(&mut self) {
        let mut command = splitway();
        command.env("SPLITWAY_ADMIN_KEY", KEY);
        if let Some(password) = &self.password {
            command.env("SPLITWAY_STORE_PASSWORD", password);
        }
        let options = self.options();
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let serving = Serving::start(command, &options);
        self.traffic = serving.traffic;
        self.admin = serving.admin.expect("the Admin API is on");
        self.serving = Some(Mutex::new(serving));
    }

    /// Ends the process at once, as the loss of power would.
    pub(crate) fn kill(&mut self) {
        drop(self.serving.take().expect("it runs"));
    }

    /// Has the process killed while others speak to it.
    pub(crate) fn signal_kill(&self) {
        let serving = self.serving.as_ref().expect("it runs");
        serving.lock().unwrap().signal("KILL");
    }

    /// The process.
    pub(crate) fn serving(&mut self) -> &mut Serving {
        self.serving.as_mut().expect("it runs").get_mut().unwrap()
    }

    /// The data directory.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The last good configuration on disk.
    pub(crate) fn last_good(&self) -> PathBuf {
        self.dir().join("last-good.json")
    }

    /// What the Admin API answers.
    pub(crate) fn ask(&self, call: Call) -> Answer {
        wire::call(self.admin, &call.header("X-API-KEY", KEY))
    }

    /// Writes a route that answers on `/{id}`.
    pub(crate) fn put(&self, id: &str, upstream: &str) -> Answer {
        self.ask(put(id, upstream, ""))
    }

    /// The whole document and its revision.
    pub(crate) fn document(&self) -> (Value, u64) {
        let answer = self.ask(Call::get("/splitway/v1/config"));
        assert_eq!(answer.status, 200, "{}", answer.text());
        let tag = answer.header("etag").expect("a revision");
        (answer.json(), tag.trim_matches('"').parse().unwrap())
    }

    /// The revision that serves; none, where nothing does.
    pub(crate) fn revision(&self) -> Option<u64> {
        self.get("/nowhere").revision()?.parse().ok()
    }

    /// What answers to a GET.
    pub(crate) fn get(&self, path: &str) -> Answer {
        wire::call(self.traffic, &Call::get(path))
    }

    /// Waits until it serves a revision, or a later one.
    pub(crate) fn await_revision(&self, revision: u64) {
        await_that(&format!("revision {revision} serves"), || {
            self.revision().is_some_and(|serving| serving >= revision)
        });
    }

    /// Waits until the file of the last good configuration has a revision.
    pub(crate) fn await_kept(&self, revision: u64) {
        await_that(&format!("revision {revision} is on disk"), || {
            let text = std::fs::read_to_string(self.last_good()).unwrap_or_default();
            let kept = serde_json::from_str::<Value>(&text).unwrap_or_default();
            kept["published"]["revision"] == revision
        });
    }

    /// Waits until it takes writes.
    pub(crate) fn await_writable(&self) {
        await_that("writes are taken", || self.put("awaited", "http://a.example").status < 300);
    }
}

/// Writes a route that answers on `/{id}`.
pub(crate) fn put(id: &str, upstream: &str, query: &str) -> Call {
    let route = json!({"uri": format!("/{id}"), "upstream": upstream});
    Call::new("PUT", &format!("/apisix/admin/routes/{id}{query}")).body(route.to_string())
}

/// Asks again and again until something holds.
pub(crate) fn await_that(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "it never came to it that {what}");
        std::thread::yield_now();
    }
}
