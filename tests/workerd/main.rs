//! The contract on the Worker as it is deployed: built, in workerd, its document in KV.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "this program is tests: a panic is how they fail"
)]

mod checks;
mod edge;
mod door;
mod keeping;
mod leaving;
mod limiter;
mod miniflare;
mod page;
mod publishing;
mod refresh;
mod status;
mod telling;

use std::net::SocketAddr;
use std::time::Instant;

use splitway_tests::message::Call;
use splitway_tests::origin::Origin;
use splitway_tests::script::{DEADLINE, Script};
use splitway_tests::target::{SECRET, Skip, Target};
use splitway_tests::tls::{Authority, Certificate};

use edge::Edge;
use miniflare::Miniflare;
use serde_json::json;

splitway_tests::scenarios!(contract Workerd);
splitway_tests::dialogues!(held Edge);

const SKIPS: &[Skip] = &[
    Skip {
        scenario: "tokens::keys_are_rotated",
        reason: "keys are old after ten minutes, which pass by themselves nowhere else",
    },
    Skip {
        scenario: "faults::an_answer_before_the_body_is_relayed",
        reason: "where an upstream answers and closes while a long body is still on its way, workerd \
                 finds the answer or the lost connection first, by chance",
    },
    Skip {
        scenario: "sticky::cookies_may_come_in_several_lines",
        reason: "workerd joins them by commas, as other headers; a client must not send several over \
                 HTTP/1.1 (RFC 6265, section 5.4), and of HTTP/2 and 3 Cloudflare's front makes one",
    },
    Skip {
        scenario: "forwarding::the_host_can_be_the_clients_or_fixed",
        reason: "a Worker cannot choose `Host`: the runtime sends the name in the URL, which is \
                 the node's; compiling such a document warns of it",
    },
    Skip {
        scenario: "versions::a_branch_can_ask_for_another_host",
        reason: "a Worker cannot choose `Host`, whether an upstream or a branch names it",
    },
    Skip {
        scenario: "bodies::the_upstream_hears_what_the_client_accepts",
        reason: "Cloudflare's front (and miniflare in its place) sets `Accept-Encoding: br, gzip` \
                 before a Worker sees the request, and undoes the encoding for other clients",
    },
    Skip {
        scenario: "vectors::apisix_and_splitway_agree_or_differ_as_told",
        reason: "the vectors name addresses at which nobody is, and a Worker cannot be told to \
                 look elsewhere for them",
    },
    Skip {
        scenario: "vectors::https_nodes_are_called_by_their_names",
        reason: "the same: a Worker looks for the nodes under their own names",
    },
    Skip {
        scenario: "targets::marks_that_should_be_escaped_arrive_as_sent",
        reason: "`fetch` parses its URL and escapes `\"`, `^`, `{` and `}` in the path and `'` in \
                 the query; the upstream decodes them to the same",
    },
    Skip {
        scenario: "methods::a_method_nobody_registered_arrives",
        reason: "workerd parses methods into a list of its own and answers 501 to all others",
    },
    Skip {
        scenario: "problems::a_failed_attempt_says_which_way_it_failed",
        reason: "the runtime says \"Network connection lost.\" for a refused connection, for one \
                 that was closed and for an answer that is not HTTP",
    },
    Skip {
        scenario: "faults::each_way_to_fail_has_its_name",
        reason: "the same: whatever is wrong with a connection or a head, the runtime says that the \
                 connection was lost, or nothing",
    },
    Skip {
        scenario: "faults::each_way_that_tls_fails_has_its_name",
        reason: "the same: why a handshake failed is not told to a Worker",
    },
    Skip {
        scenario: "faults::a_node_that_proves_who_it_is_is_called_over_tls",
        reason: "a Worker trusts the public authorities and cannot be told of one of a test",
    },
    Skip {
        scenario: "failover::whatever_was_never_sent_goes_on",
        reason: "the runtime does not tell a refused connection from one that was lost, so that what \
                 must not be sent twice is not sent again",
    },
    Skip {
        scenario: "failover::a_node_that_is_not_there_costs_no_request",
        reason: "the same, so that it takes budget, too",
    },
    Skip {
        scenario: "streams::a_client_that_leaves_cancels_the_upstream",
        reason: "workerd does not look at the client's connection until it writes to it: measured \
                 with a bare JavaScript Worker, with and without `enable_request_signal`",
    },
    Skip {
        scenario: "streams::a_client_that_leaves_before_the_head_cancels_the_upstream",
        reason: "the same; the attempt ends with its timeout",
    },
    Skip {
        scenario: "timeouts::a_body_that_stalls_is_cut_off",
        reason: "the runtime relays a body that is no stream of events by itself, and no pause in it is \
                 seen here; its own limits count",
    },
];

/// The Worker with nothing but KV, once it is started.
struct Workerd(Option<Miniflare>);

impl Workerd {
    fn running(&self) -> &Miniflare {
        self.0.as_ref().expect("the scenario has started it")
    }
}

impl Target for Workerd {
    const SKIPS: &'static [Skip] = SKIPS;

    fn new() -> Self {
        Self(None)
    }

    fn origin(&mut self, script: impl Into<Script>) -> Origin {
        Origin::on_loopback(script.into())
    }

    fn origin_named(&mut self, _: &str, _: impl Into<Script>) -> Origin {
        panic!("a Worker looks names up in the DNS: scenarios that need others are skipped");
    }

    fn refusing_origin(&mut self) -> Origin {
        Origin::refusing()
    }

    fn tls_origin(&mut self, certificate: Certificate, script: impl Into<Script>) -> Origin {
        assert_ne!(certificate, Certificate::Sound, "workerd trusts no authority of a test");
        Authority::default().origin(certificate, script.into())
    }

    fn start(&mut self, document: &str) {
        self.0 = Some(Miniflare::start(
            &json!({"document": document, "vars": {"SPLITWAY_SECRET": SECRET}}),
        ));
    }

    fn replace(&mut self, document: &str) {
        self.0.as_mut().expect("the scenario has started it").put(document);
    }

    fn wait_until_refused(&mut self) {
        let begin = Instant::now();
        let is_refused = |line: &String| line.contains("configuration_refused");
        while !self.running().logged().iter().any(is_refused) {
            assert!(begin.elapsed() < DEADLINE, "the Worker does not refuse the document");
            // An isolate looks at KV when it is asked something.
            self.call(&Call::get("/x"));
        }
    }

    fn address(&self) -> SocketAddr {
        self.running().address()
    }

    fn port(&self) -> u16 {
        80
    }
}
