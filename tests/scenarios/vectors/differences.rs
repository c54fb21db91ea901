//! Where Splitway does something else than APISIX, what it does, and why.

/// One vector that does not hold as it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Difference {
    /// The vector.
    pub(super) id: &'static str,
    /// What Splitway does.
    pub(super) instead: Instead,
    /// Why that is better, or still missing.
    pub(super) why: &'static str,
}

/// What happens instead.
#[derive(Clone, Copy, Debug)]
pub(super) enum Instead {
    /// The document is refused, with a fault that contains this.
    Refuses(&'static str),
    /// These steps hold in the place of the vector's.
    Steps(&'static str),
}

impl Instead {
    /// The same in words.
    pub(super) fn told(self) -> String {
        match self {
            Self::Refuses(what) => format!("refused: `{what}`"),
            Self::Steps(_) => "another route, node, share or header".to_owned(),
        }
    }
}

use Instead::{Refuses, Steps};

const NO_REAL_IP_HERE: &str =
    "anybody can send `X-Real-IP`: a client is where its connection comes from";

/// The client is at 127.0.0.1, whatever it says.
const NO_REAL_IP: Instead = Steps(
    r#"[{"request": {"method": "GET", "uri": "/hello"}, "expect": {"route": "a"}},
        {"request": {"method": "GET", "uri": "/hello", "headers": {"X-Real-IP": "10.9.8.8"}},
         "expect": {"route": "a"}},
        {"request": {"method": "GET", "uri": "/one", "headers": {"X-Real-IP": "192.168.1.77"}},
         "expect": {"status": 404}}]"#,
);

const fn no_real_ip(id: &'static str) -> Difference {
    Difference { id, instead: NO_REAL_IP, why: NO_REAL_IP_HERE }
}

/// All of them.
pub(super) const DIFFERENCES: &[Difference] = &[
    Difference {
        id: "split-edge-003",
        instead: Steps(
            r#"[{"request": {"method": "GET", "uri": "/x"}, "repeat": 2,
                 "expect": {"nodes": {"127.0.0.1:1980": 2}}}]"#,
        ),
        why: "without rules nothing is split: the route's upstream serves, instead of a 500",
    },
    Difference {
        id: "split-edge-008",
        instead: Steps(
            r#"[{"request": {"method": "GET", "uri": "/x"}, "repeat": 7,
                 "expect": {"nodes": {"127.0.0.1:1980": 6, "127.0.0.1:1981": 1}}}]"#,
        ),
        why: "each branch counts with its weight, also if two have the same target",
    },
    Difference {
        id: "proxy-rewrite-016",
        instead: Steps(
            r#"[{"request": {"method": "GET", "uri": "/hello", "headers": {"X-Real-IP": "10.0.0.9"}},
                 "expect": {"request_headers": {"x-rd": "127.0.0.1:GET"}}}]"#,
        ),
        why: NO_REAL_IP_HERE,
    },
    no_real_ip("route-match-047"),
    no_real_ip("route-match-048"),
    Difference {
        id: "split-edge-016",
        instead: Steps(
            r#"[{"request": {"method": "GET", "uri": "/x"}, "repeat": 2,
                 "expect": {"nodes": {"127.0.0.1:1981": 2}, "upstream_uri": "/v1"}}]"#,
        ),
        why: "a rewrite of a branch rewrites",
    },
    Difference {
        id: "split-edge-025",
        instead: Refuses("/rules/1/weighted_upstreams/0/upstream_id: there is no upstream `nope`"),
        why: "a name that leads nowhere is a fault where it is written, reached or not",
    },
    Difference {
        id: "split-edge-031",
        instead: Steps(
            r#"[{"request": {"method": "GET", "uri": "/x"}, "expect": {"status": 502}}]"#,
        ),
        why: "an upstream that says `grpc` is spoken to in HTTP/2, in a branch, too; not in plain HTTP",
    },
    Difference {
        id: "split-edge-038",
        instead: Refuses("/upstream/discovery_type: APISIX has this key, Splitway does not"),
        why: "service discovery is not supported yet; better refused than answered with 500",
    },
    Difference {
        id: "traffic-split-015",
        instead: Steps(
            r#"[{"request": {"method": "GET", "uri": "/uri?name=jack"},
                 "expect": {"nodes": {"localhost:1981": 1}, "host": "localhost:1981"}}]"#,
        ),
        why: "the name of a node has its port wherever the node is written",
    },
    Difference {
        id: "traffic-split-020",
        instead: Refuses("/upstream_id: there is no upstream `invalid-id`"),
        why: "refused when it is written, instead of a 500 for every request",
    },
    Difference {
        id: "api-breaker-005",
        instead: Steps(
            r#"[{"request": {"method": "GET", "uri": "/a", "headers": {"X-Mini-Upstream-Status": "500"}},
                 "expect": {"nodes": {"127.0.0.1:1980": 1}}},
                {"request": {"method": "GET", "uri": "/a"}, "expect": {"status": 599}},
                {"request": {"method": "GET", "uri": "/b"}, "expect": {"status": 599}},
                {"request": {"method": "GET", "uri": "/a", "headers": {"Host": "other"}},
                 "expect": {"status": 599}}]"#,
        ),
        why: "each route has one state: an upstream that fails does so on every path, and clients cannot make the memory grow by asking for many",
    },
    Difference {
        id: "validate-route-003",
        instead: Refuses("the route has neither `upstream`, `upstream_id` nor a split"),
        why: "no plugin here answers by itself, so that every request would be answered with 503",
    },
];
