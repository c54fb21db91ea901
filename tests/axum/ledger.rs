//! A server with an Admin API, for the dialogues.

use std::net::SocketAddr;

use splitway_local::{ServeOptions, Server};
use splitway_tests::control::{Control, KEY};
use splitway_tests::message::{Answer, Call};
use splitway_tests::target::{SECRET, Skip};
use splitway_tests::wire;
use tempfile::TempDir;

/// A server whose ledger is in a directory that goes with it.
pub(crate) struct Ledgered {
    server: Server,
    _data_dir: TempDir,
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
        Self { server: Server::start(options).unwrap(), _data_dir: data_dir }
    }

    fn ask(&self, call: &Call) -> Answer {
        wire::call(self.admin(), call)
    }
}
