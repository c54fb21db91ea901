//! The families of APISIX's plugin `prometheus`, by its names and labels, with the branch as one more.
//!
//! They differ in this: bytes are those of bodies, without heads; a node is told by the name that the
//! configuration gives it; `matched_uri` and `matched_host` are told where a route has one of them only,
//! since which of several it was is not counted.

use std::fmt::Error;

use splitway_core::checkup;
use splitway_core::meter::{OTHER, Times};
use splitway_core::status::FlowRow;

use super::Scrape;
use super::lines::{Labels, Lines, Unit, label};
use crate::store::Reach;

/// Writes all of them.
pub(super) fn write(scrape: &Scrape, lines: &mut Lines<'_>) -> Result<(), Error> {
    requests(scrape, lines)?;
    connections(scrape, lines)?;
    lines.info(
        "apisix_node",
        "Info of this node.",
        &vec![label("hostname", &hostname()), label("version", env!("CARGO_PKG_VERSION"))],
    )?;
    let reach = match scrape.reach {
        Reach::Alone => None,
        Reach::Lost => Some(0),
        Reach::Reached => Some(1),
    };
    let reach = reach.map(|reach| (Labels::new(), reach)).into_iter();
    lines.gauges("apisix_etcd_reachable", "Whether the etcd of the fleet is reached.", reach)?;
    nodes(scrape, lines)
}

fn requests(scrape: &Scrape, lines: &mut Lines<'_>) -> Result<(), Error> {
    let flows = &scrape.census.flows;
    let statuses = flows.iter().flat_map(|flow| {
        flow.counts.statuses.iter().map(|(status, count)| (of_status(flow, *status), *count))
    });
    lines.plain_counters(
        "apisix_http_status",
        "Requests that were answered, by status.",
        statuses,
    )?;
    let bytes = flows.iter().flat_map(|flow| {
        [("ingress", flow.counts.received), ("egress", flow.counts.sent)]
            .map(|(kind, bytes)| (of_flow(flow, kind), bytes))
    });
    lines.plain_counters("apisix_bandwidth", "Bytes of bodies.", bytes)?;
    let times = flows.iter().flat_map(|flow| {
        let kind = |kind, times: &Times| (of_flow(flow, kind), times.clone());
        let counts = &flow.counts;
        [
            kind("request", &counts.whole),
            kind("upstream", &counts.upstream),
            kind("apisix", &counts.own),
        ]
    });
    lines.times(
        "apisix_http_latency",
        "How long requests took as a whole, of their upstreams, and of this server, in milliseconds.",
        Unit::Milliseconds,
        times,
    )?;
    let requests = scrape.snapshot.as_ref().map_or(0, |it| it.meters().requests());
    let requests = [(Labels::new(), requests)].into_iter();
    lines.counters("apisix_http_requests", "Requests that were answered.", requests)
}

fn of_status(flow: &FlowRow, status: u16) -> Labels {
    let code = if status == OTHER { "other".to_owned() } else { status.to_string() };
    vec![
        ("code", code),
        label("route", &flow.route),
        label("matched_uri", &flow.uri),
        label("matched_host", &flow.host),
        label("service", &flow.service),
        label("consumer", &flow.consumer),
        label("node", &flow.node),
        label("branch", &flow.branch),
    ]
}

fn of_flow(flow: &FlowRow, kind: &str) -> Labels {
    vec![
        ("type", kind.to_owned()),
        label("route", &flow.route),
        label("service", &flow.service),
        label("consumer", &flow.consumer),
        label("node", &flow.node),
        label("branch", &flow.branch),
    ]
}

/// nginx tells apart what a connection waits for; here it has requests or it has none.
fn connections(scrape: &Scrape, lines: &mut Lines<'_>) -> Result<(), Error> {
    let connections = &scrape.connections;
    let (active, busy) = (connections.active(), connections.busy());
    let states = [
        ("accepted", connections.accepted()),
        ("handled", connections.accepted()),
        ("active", active),
        ("reading", 0),
        ("writing", busy),
        ("waiting", active.saturating_sub(busy)),
    ];
    let states = states.map(|(state, count)| (vec![("state", state.to_owned())], count));
    lines.gauges(
        "apisix_nginx_http_current_connections",
        "Connections of clients.",
        states.into_iter(),
    )
}

/// Those of checked upstreams: 1 for a node that requests are sent to.
fn nodes(scrape: &Scrape, lines: &mut Lines<'_>) -> Result<(), Error> {
    let Some(snapshot) = &scrape.snapshot else { return Ok(()) };
    let upstreams = checkup::checkups(snapshot);
    let rows = upstreams.iter().flat_map(|checkup| {
        checkup.nodes.iter().map(|node| {
            let labels = vec![
                label("name", &checkup.upstream),
                label("ip", &node.host),
                ("port", node.port.to_string()),
            ];
            (labels, u64::from(node.health.is_up()))
        })
    });
    lines.gauges("apisix_upstream_status", "Whether checks find that a node is up.", rows)
}

/// The name of this machine, as the kernel has it.
fn hostname() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname");
    name.map(|name| name.trim().to_owned()).unwrap_or_default()
}
