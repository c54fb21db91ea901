//! What every environment lends to the scenarios.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, SystemTime};

use crate::message::{Answer, Call};
use crate::origin::Origin;
use crate::script::Script;
use crate::tls::Certificate;
use crate::wire::{self, Connection};

/// What every environment signs with.
pub const SECRET: &str = "what the tests sign with, in every environment";

/// A Splitway to be tested, in one environment, and the upstreams it can reach there.
pub trait Target: Sync + Sized {
    /// The scenarios that this environment cannot run, each with the reason.
    const SKIPS: &'static [Skip];

    /// The one that serves nothing yet.
    fn new() -> Self;

    /// An upstream that this target can reach.
    fn origin(&mut self, script: impl Into<Script>) -> Origin;

    /// An upstream that this target finds under a name; to be asked for before it starts.
    fn origin_named(&mut self, authority: &str, script: impl Into<Script>) -> Origin;

    /// An upstream that refuses connections.
    fn refusing_origin(&mut self) -> Origin;

    /// An upstream that speaks TLS and shows such a certificate; to be asked for before it starts.
    fn tls_origin(&mut self, certificate: Certificate, script: impl Into<Script>) -> Origin;

    /// Starts serving with this document, afresh if it was started before.
    fn start(&mut self, document: &str);

    /// Puts another document in the place of the one it started with. It may take effect later.
    fn replace(&mut self, document: &str);

    /// Waits until the target said that it does not take the document put last.
    fn wait_until_refused(&mut self);

    /// Sends a request and reads the whole answer.
    fn call(&self, call: &Call) -> Answer {
        wire::call(self.address(), call)
    }

    /// The same, or nothing, if the connection ends before a head.
    fn call_or_end(&self, call: &Call) -> Option<Answer> {
        let mut connection = self.dial();
        connection.send(call);
        connection.next_answer()
    }

    /// Where it takes traffic.
    fn address(&self) -> SocketAddr;

    /// A connection to send and to read piece by piece on.
    fn dial(&self) -> Connection {
        Connection::open(self.address())
    }

    /// The time as it passes for the target.
    fn time(&self) -> Duration {
        SystemTime::UNIX_EPOCH.elapsed().expect("it is later than 1970")
    }

    /// Lets time pass for the target.
    fn pass(&self, time: Duration) {
        thread::sleep(time);
    }

    /// The port that clients speak to, as far as the target can know it.
    fn port(&self) -> u16;
}

/// A scenario that an environment cannot run.
#[derive(Clone, Copy, Debug)]
pub struct Skip {
    /// The scenario: `file::function`.
    pub scenario: &'static str,
    /// Why it cannot.
    pub reason: &'static str,
}

/// A scenario, by name.
pub type Scenario<T> = (&'static str, fn(&mut T));

/// Runs one scenario of the contract, or tells why not.
pub fn run<T: Target>(all: &[Scenario<T>], name: &str) {
    let (_, scenario) = all.iter().find(|(known, _)| *known == name).expect("it is listed");
    match T::SKIPS.iter().find(|skip| skip.scenario == name) {
        // Straight to the stream: what a passing test prints is not shown otherwise.
        Some(skip) => drop(writeln!(io::stderr(), "skipped {name}: {}", skip.reason)),
        None => scenario(&mut T::new()),
    }
}

/// Checks that all skips are of scenarios and have reasons.
pub fn check_skips<T: Target>(all: &[Scenario<T>]) {
    for skip in T::SKIPS {
        let is_listed = all.iter().any(|(name, _)| *name == skip.scenario);
        assert!(is_listed, "there is no scenario `{}` to skip", skip.scenario);
        assert!(skip.reason.len() > 20, "`{}` is skipped without a reason", skip.scenario);
    }
}
