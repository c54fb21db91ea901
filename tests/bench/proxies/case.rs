//! The cases: what is asked of which proxies.

use crate::lane::{Kind, Lane};
use crate::setup::{GUIDE, Setup, Target};

/// A case.
#[derive(Debug)]
pub(crate) struct Case {
    /// As `--cases` names it.
    pub(crate) id: &'static str,
    /// As the table does.
    pub(crate) title: &'static str,
    /// Who takes turns.
    pub(crate) lanes: Vec<Lane>,
    /// What is asked.
    pub(crate) load: Load,
    /// In which table it stands.
    pub(crate) table: Table,
}

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Load {
    /// Over HTTP/1.1.
    Requests(Requests),
    /// Over HTTP/2.
    Http2(Requests),
    /// Events, as they come.
    Streams,
    /// Once, on connections that then are idle.
    Idle,
}

/// Requests, as fast as they are answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Requests {
    /// How many are under way.
    pub(crate) connections: usize,
    /// What for.
    pub(crate) target: Target,
    /// The bytes of each body; the guide's of 65 if there is nothing said.
    pub(crate) body: Option<usize>,
}

/// A table of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Table {
    /// Figures of requests, as ratios to nginx.
    Requests,
    /// Those of streams.
    Streams,
    /// Memory.
    Memory,
    /// CPU per request, as ratios to the same proxy with less of something.
    Growth([usize; 3]),
}

/// All cases, in the order of the table.
pub(crate) fn all() -> Vec<Case> {
    let mut cases = Vec::from(small());
    cases.extend(bodies());
    cases.push(streams());
    cases.extend(protocols());
    cases.extend(features());
    cases.push(idle());
    cases.extend(growth());
    cases
}

const CHAT: Requests = Requests { connections: 32, target: Target::Chat, body: None };

/// nginx first, to which all ratios are.
fn peers(setup: Setup) -> Vec<Lane> {
    vec![
        Lane::new("nginx", Kind::Nginx, setup),
        Lane::new("HAProxy", Kind::Haproxy, setup),
        Lane::new("splitway", Kind::Splitway, setup),
    ]
}

fn floor() -> Lane {
    Lane::new("bytes handed on", Kind::Floor, GUIDE)
}

fn case(id: &'static str, title: &'static str, lanes: Vec<Lane>, load: Load) -> Case {
    Case { id, title, lanes, load, table: Table::Requests }
}

fn small() -> [Case; 3] {
    let at = |connections| Load::Requests(Requests { connections, ..CHAT });
    let mut lanes = peers(GUIDE);
    lanes.push(floor());
    [
        case("small-1", "small JSON, 1 connection", lanes.clone(), at(1)),
        case("small-32", "small JSON, 32 connections", lanes.clone(), at(32)),
        case("small-256", "small JSON, 256 connections", lanes, at(256)),
    ]
}

fn bodies() -> [Case; 3] {
    let more = "proxy_buffer_size 128k; proxy_buffers 8 128k; proxy_busy_buffers_size 128k;";
    let mut large = peers(GUIDE);
    large.insert(1, Lane::new("nginx, proxy_buffer_size 128k", Kind::Nginx, GUIDE).with(more));
    large.push(floor());
    let more = "proxy_request_buffering off;";
    let mut post = peers(GUIDE);
    post.insert(1, Lane::new("nginx, proxy_request_buffering off", Kind::Nginx, GUIDE).with(more));
    let (kib, mib) = (Some(4 << 10), Some(1 << 20));
    [
        case(
            "large",
            "answers of 64 KiB",
            large,
            Load::Requests(Requests { target: Target::Large, ..CHAT }),
        ),
        case(
            "post-4k",
            "POST of 4 KiB",
            peers(GUIDE),
            Load::Requests(Requests { body: kib, ..CHAT }),
        ),
        case(
            "post-1m",
            "POST of 1 MiB, 8 connections",
            post,
            Load::Requests(Requests { body: mib, connections: 8, ..CHAT }),
        ),
    ]
}

fn streams() -> Case {
    let off = Lane::new("nginx, proxy_buffering off", Kind::Nginx, GUIDE);
    let lanes = vec![
        Lane::new("nginx", Kind::Nginx, GUIDE),
        off.with("proxy_buffering off;"),
        Lane::new("HAProxy, http-no-delay", Kind::Haproxy, GUIDE).with("option http-no-delay"),
        Lane::new("splitway", Kind::Splitway, GUIDE),
        floor(),
        Lane::new("direct", Kind::Direct, GUIDE),
    ];
    let title = "16 streams of 50 events, 5 ms apart";
    Case { table: Table::Streams, ..case("sse", title, lanes, Load::Streams) }
}

fn protocols() -> [Case; 3] {
    let client = Setup { client_tls: true, ..GUIDE };
    let origin = Setup { origin_tls: true, ..GUIDE };
    let chat = Load::Requests(CHAT);
    [
        case("tls-client", "TLS to the client", peers(client), chat),
        case("tls-origin", "TLS to the origin", peers(origin), chat),
        case("http2", "HTTP/2 clients, 8 of 4 streams, TLS", peers(client), Load::Http2(CHAT)),
    ]
}

fn features() -> [Case; 3] {
    let routes = Setup { routes: 10_000, ..GUIDE };
    let sticky = Setup { sticky: true, ..GUIDE };
    let everything = Setup { everything: true, ..GUIDE };
    let chat = Load::Requests(CHAT);
    [
        case("routes-10000", "10,000 routes", peers(routes), chat),
        case("sticky", "sticky by header", peers(sticky), chat),
        case("everything", "limits, breakers, ids, metrics", peers(everything), chat),
    ]
}

fn idle() -> Case {
    let title = "idle, and with 5,000 idle connections";
    Case { table: Table::Memory, ..case("idle", title, peers(GUIDE), Load::Idle) }
}

fn growth() -> [Case; 3] {
    let grows = |id, title, sizes: [usize; 3], setup: fn(usize) -> Setup| {
        let mut lanes = Vec::new();
        for kind in [Kind::Nginx, Kind::Haproxy, Kind::Splitway] {
            let name = match kind {
                Kind::Nginx => "nginx",
                Kind::Haproxy => "HAProxy",
                Kind::Splitway | Kind::Floor | Kind::Direct => "splitway",
            };
            let against = lanes.len();
            for size in sizes {
                lanes.push(Lane { against, ..Lane::new(name, kind, setup(size)) });
            }
        }
        Case { table: Table::Growth(sizes), ..case(id, title, lanes, Load::Requests(CHAT)) }
    };
    [
        grows("routes", "routes", [10, 1_000, 10_000], |routes| Setup { routes, ..GUIDE }),
        grows("branches", "branches", [2, 10, 20], |branches| Setup { branches, ..GUIDE }),
        grows("consumers", "consumers with keys", [10, 1_000, 10_000], |consumers| Setup {
            consumers,
            ..GUIDE
        }),
    ]
}
