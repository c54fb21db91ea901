//! The contract on the core alone: a clock that stands still, upstreams in memory, no sockets.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "this program is tests: a panic is how they fail"
)]

#[path = "../documents/agreement.rs"]
mod agreement;
mod clock;
mod exact;
mod platform;
mod response;

use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use splitway_core::fault::Report;
use splitway_core::seal::Secret;
use splitway_core::snapshot::{Snapshot, compile_json};
use splitway_tests::document::{routes, upstream};
use splitway_tests::message::{Answer, Call};
use splitway_tests::origin::Origin;
use splitway_tests::script::{Act, Script};
use splitway_tests::target::{SECRET, Skip, Target};
use splitway_tests::tls::Certificate;

use clock::Clock;
use platform::{Accounts, Memory, Node, Nodes, Noted, PORT, Speech};

splitway_tests::scenarios!(contract Native);

/// Why scenarios about time on a socket are not for the core.
const NO_SOCKETS: &str =
    "bodies never pass through the core: there is no socket to see them flow on";

/// Why scenarios about connections and framing are not for the core.
const NO_CONNECTIONS: &str = "the core is given a head and a body: connections are the runtime's";

const SKIPS: &[Skip] = &[
    Skip {
        scenario: "openai::completions_arrive_whole_and_streamed",
        reason: "a published client speaks over a socket, and the core has none",
    },
    Skip { scenario: "connections::one_connection_serves_many_requests", reason: NO_CONNECTIONS },
    Skip {
        scenario: "connections::an_upstream_may_close_connections_that_are_idle",
        reason: NO_CONNECTIONS,
    },
    Skip {
        scenario: "connections::a_body_that_nobody_reads_is_not_the_next_request",
        reason: NO_CONNECTIONS,
    },
    Skip {
        scenario: "connections::a_request_with_two_framings_goes_up_with_one",
        reason: NO_CONNECTIONS,
    },
    Skip {
        scenario: "faults::a_head_that_is_too_long_is_a_502_problem",
        reason: "how long a head may be is for the runtime to say: the core is given a whole one",
    },
    Skip { scenario: "faults::an_answer_before_the_body_does_not_wait_for_it", reason: NO_SOCKETS },
    Skip { scenario: "uploads::a_body_that_becomes_too_long_is_cut_off", reason: NO_SOCKETS },
    Skip { scenario: "faults::events_before_a_break_arrive", reason: NO_SOCKETS },
    Skip { scenario: "faults::events_before_a_stall_arrive", reason: NO_SOCKETS },
    Skip { scenario: "connections::a_request_must_name_one_host", reason: NO_CONNECTIONS },
    Skip { scenario: "upgrades::frames_pass_both_ways", reason: NO_CONNECTIONS },
    Skip {
        scenario: "upgrades::a_client_that_leaves_ends_what_it_switched_to",
        reason: NO_CONNECTIONS,
    },
    Skip { scenario: "upgrades::an_upstream_may_decline", reason: NO_CONNECTIONS },
    Skip { scenario: "upgrades::routes_that_do_not_say_so_do_not_switch", reason: NO_CONNECTIONS },
    Skip { scenario: "failover::a_stream_that_was_looked_into_flows", reason: NO_SOCKETS },
    Skip { scenario: "breakers::one_probe_is_under_way_at_a_time", reason: NO_SOCKETS },
    Skip { scenario: "streams::a_response_flows_while_the_upstream_speaks", reason: NO_SOCKETS },
    Skip { scenario: "streams::a_request_flows_while_the_client_speaks", reason: NO_SOCKETS },
    Skip { scenario: "inspection::other_routes_forward_bodies_as_they_come", reason: NO_SOCKETS },
    Skip { scenario: "tokens::keys_come_for_all_when_who_asked_has_left", reason: NO_CONNECTIONS },
    Skip {
        scenario: "streams::a_client_that_leaves_stops_an_upstream_that_speaks",
        reason: NO_SOCKETS,
    },
    Skip { scenario: "streams::a_client_that_leaves_cancels_the_upstream", reason: NO_SOCKETS },
    Skip {
        scenario: "streams::a_client_that_leaves_before_the_head_cancels_the_upstream",
        reason: NO_SOCKETS,
    },
];

/// The core, and the upstreams it can reach.
#[derive(Default)]
struct Native {
    nodes: Nodes,
    addresses_count: u16,
    snapshot: Option<Arc<Snapshot>>,
    refused: bool,
    records: Mutex<Vec<Noted>>,
    /// What shared limits have counted.
    accounts: Arc<Accounts>,
    draws: AtomicU64,
    /// What the clock shows between requests.
    time: Mutex<Duration>,
}

impl Native {
    /// An address that nobody else in this target has.
    fn next_authority(&mut self) -> String {
        self.addresses_count += 1;
        format!("127.0.0.1:{}", 10_000 + self.addresses_count)
    }

    fn insert(&mut self, authority: &str, script: Script, speech: Speech) -> Origin {
        let origin = Origin::in_memory(authority.to_owned());
        let node = Node { script, record: origin.record(), speech };
        self.nodes.insert(authority.to_owned(), node);
        origin
    }
}

impl Target for Native {
    const SKIPS: &'static [Skip] = SKIPS;

    fn new() -> Self {
        Self::default()
    }

    fn origin(&mut self, script: impl Into<Script>) -> Origin {
        let authority = self.next_authority();
        self.insert(&authority, script.into(), Speech::Plain)
    }

    fn origin_named(&mut self, authority: &str, script: impl Into<Script>) -> Origin {
        self.insert(authority, script.into(), Speech::AsAsked)
    }

    fn refusing_origin(&mut self) -> Origin {
        Origin::in_memory(self.next_authority())
    }

    fn tls_origin(&mut self, certificate: Certificate, script: impl Into<Script>) -> Origin {
        let authority = self.next_authority();
        self.insert(&authority, script.into(), Speech::Tls(certificate))
    }

    fn start(&mut self, document: &str) {
        self.snapshot = None;
        self.replace(document);
        assert!(!self.refused, "{document}");
    }

    fn replace(&mut self, document: &str) {
        if let Ok(document) = serde_json::from_str(document) {
            agreement::check_document(&document);
        }
        let mut report = Report::default();
        let compiled = compile_json(document, 0, &mut report);
        // Shown where a test fails.
        report.faults.iter().for_each(|fault| eprintln!("{fault}"));
        self.refused = compiled.is_none();
        if let Some(snapshot) = compiled {
            let snapshot = match &self.snapshot {
                Some(earlier) => snapshot.following(earlier),
                None => snapshot,
            };
            self.snapshot = Some(Arc::new(snapshot));
        }
    }

    fn wait_until_refused(&mut self) {
        assert!(self.refused, "the document was taken");
    }

    fn call(&self, call: &Call) -> Answer {
        let memory = Memory {
            nodes: &self.nodes,
            snapshot: self.snapshot.clone(),
            clock: Clock::at(self.time()),
            records: &self.records,
            accounts: Arc::clone(&self.accounts),
            draws: &self.draws,
            secret: Secret::new(SECRET).unwrap(),
        };
        let answer = platform::answer(&memory, call);
        self.pass(memory.clock.now().saturating_sub(self.time()));
        answer
    }

    fn call_or_end(&self, call: &Call) -> Option<Answer> {
        Some(self.call(call))
    }

    fn time(&self) -> Duration {
        *self.time.lock().unwrap()
    }

    fn pass(&self, time: Duration) {
        *self.time.lock().unwrap() += time;
    }

    fn address(&self) -> SocketAddr {
        panic!("the core has no sockets: scenarios that need one are skipped");
    }

    fn port(&self) -> u16 {
        PORT
    }
}

/// A timeout is exactly as long as the document says: the three phases of APISIX together.
#[test]
fn a_timeout_is_exact() {
    let mut target = Native::new();
    let origin = target.origin(Act::Silence);
    let timeout = json!({"connect": 1, "send": 2.5, "read": 60});
    target.start(&routes(&[
        json!({"id": "slow", "uri": "/*", "upstream": upstream(&origin), "timeout": timeout}),
    ]));

    assert_eq!(target.call(&Call::get("/x")).status, 504);
    let expected = Noted {
        route: Some("slow".to_owned()),
        branch: Some("route".to_owned()),
        status: 504,
        problem: Some("http_response_timeout"),
        duration: Duration::from_millis(63_500),
    };
    assert_eq!(*target.records.lock().unwrap(), [expected]);
}

/// Without any configuration every request is answered, with a problem.
#[test]
fn nothing_is_served_without_a_configuration() {
    let target = Native::new();
    let answer = target.call(&Call::get("/x"));
    assert_eq!(answer.status, 503);
    for name in ["x-splitway-route", "x-splitway-branch", "x-splitway-revision"] {
        assert_eq!(answer.header(name).as_deref(), Some("none"), "{name}");
    }
    assert_eq!(
        answer.header("proxy-status").as_deref(),
        Some("splitway; error=proxy_configuration_error")
    );
}
