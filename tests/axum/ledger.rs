//! A server with an Admin API, for the dialogues.

use std::net::SocketAddr;

use serde_json::json;
use splitway_local::{ServeOptions, Server};
use splitway_tests::control::{Control, KEY};
use splitway_tests::message::{Answer, Call};
use splitway_tests::target::{SECRET, Skip};
use splitway_tests::wire;
use tempfile::TempDir;

/// A server whose ledger is in a directory that goes with it.
pub(crate) struct Ledgered {
    server: Server,
    data_dir: TempDir,
}

impl Ledgered {
    /// Where it takes traffic.
    pub(crate) fn traffic(&self) -> SocketAddr {
        self.server.listen_addr()
    }

    /// Where its Admin API is.
    pub(crate) fn admin(&self) -> SocketAddr {
        self.server.admin_addr().unwrap()
    }
}

impl Control for Ledgered {
    const SKIPS: &'static [Skip] = &[];

    fn new() -> Self {
        let data_dir = TempDir::new().unwrap();
        let any_port = ([127, 0, 0, 1], 0).into();
        let options = ServeOptions {
            listen: any_port,
            admin_listen: any_port,
            data_dir: data_dir.path().join("data"),
            admin_key: Some(KEY.to_owned()),
            secret: Some(SECRET.to_owned()),
            is_silent: true,
            ..ServeOptions::default()
        };
        Self { server: Server::start(options).unwrap(), data_dir }
    }

    fn ask(&self, call: &Call) -> Answer {
        wire::call(self.admin(), call)
    }
}

/// Neither the database nor what SQLite writes beside it holds a key.
#[test]
fn what_consumers_hold_is_in_no_file() {
    let ledgered = Ledgered::new();
    let held = |number: usize| {
        json!({"username": format!("c{number}"), "plugins": {
            "key-auth": {"key": format!("plain-key-{number}")},
            "basic-auth": {"username": "u", "password": format!("plain-password-{number}")},
        }})
    };
    assert_eq!(ledgered.say("PUT /consumers", &held(0)).status, 201);
    let document = json!({"consumers": [held(0), held(1)]});
    assert_eq!(ledgered.own("PUT /config", &document).status, 200);
    let mut files_count = 0;
    for file in std::fs::read_dir(ledgered.data_dir.path().join("data")).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        let has = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(!has("plain-"), "a key or a password");
        files_count += usize::from(has("sha256:"));
    }
    assert!(files_count > 0, "hashes are somewhere");
}
