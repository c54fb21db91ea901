//! The contract on the local server: in this process, over loopback.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "this program is tests: a panic is how they fail"
)]

mod config;
mod ledger;
mod page;
mod reload;
mod walkthrough;

use std::io::Write;
use std::net::SocketAddr;
use std::num::NonZeroUsize;

use splitway_local::resolve::Override;
use splitway_local::{ServeOptions, Server};
use splitway_tests::origin::Origin;
use splitway_tests::script::Script;
use splitway_tests::target::{SECRET, Skip, Target};
use splitway_tests::tls::{Authority, Certificate};
use tempfile::NamedTempFile;

use config::Config;
use ledger::Ledgered;

splitway_tests::scenarios!(contract Axum);
splitway_tests::dialogues!(held Ledgered);

/// The local server, once it is started, and the file it serves by.
struct Axum {
    running: Option<(Server, Config)>,
    resolve: Vec<Override>,
    /// The only one that the server trusts besides those of the system, once an upstream needs it.
    authority: Option<(Authority, NamedTempFile)>,
}

impl Axum {
    fn running(&self) -> &(Server, Config) {
        self.running.as_ref().expect("the scenario has started it")
    }
}

impl Target for Axum {
    const SKIPS: &'static [Skip] = &[
        Skip {
            scenario: "vectors::https_nodes_are_called_by_their_names",
            reason: "upstreams with TLS are seen in the walk through the guide, `walkthrough`",
        },
        Skip {
            scenario: "tokens::keys_are_rotated",
            reason: "keys are old after ten minutes, which pass by themselves nowhere else",
        },
    ];

    fn new() -> Self {
        Self { running: None, resolve: Vec::new(), authority: None }
    }

    fn origin(&mut self, script: impl Into<Script>) -> Origin {
        Origin::on_loopback(script.into())
    }

    fn origin_named(&mut self, authority: &str, script: impl Into<Script>) -> Origin {
        let origin = self.origin(script);
        self.resolve.push(format!("{authority}:{}", origin.authority()).parse().unwrap());
        origin.named(authority)
    }

    fn refusing_origin(&mut self) -> Origin {
        Origin::refusing()
    }

    fn tls_origin(&mut self, certificate: Certificate, script: impl Into<Script>) -> Origin {
        let (authority, _) = self.authority.get_or_insert_with(|| {
            let authority = Authority::default();
            let mut file = NamedTempFile::new().unwrap();
            file.write_all(authority.pem().as_bytes()).unwrap();
            (authority, file)
        });
        authority.origin(certificate, script.into())
    }

    fn start(&mut self, document: &str) {
        let config = Config::new(document);
        let options = ServeOptions {
            config: Some(config.path()),
            listen: ([127, 0, 0, 1], 0).into(),
            // A request of the contract may be taken by any of several threads.
            workers: NonZeroUsize::new(4),
            resolve: self.resolve.drain(..).collect(),
            ca: self.authority.as_ref().map(|(_, file)| file.path().to_owned()),
            secret: Some(SECRET.to_owned()),
            is_silent: true,
            ..ServeOptions::default()
        };
        self.running = Some((Server::start(options).unwrap(), config));
    }

    fn replace(&mut self, document: &str) {
        self.running().1.write(document);
    }

    fn wait_until_refused(&mut self) {
        self.running().1.wait_until_judged();
    }

    fn address(&self) -> SocketAddr {
        self.running().0.listen_addr()
    }

    fn port(&self) -> u16 {
        self.address().port()
    }
}
