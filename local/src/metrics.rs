//! Metrics for Prometheus: a listener of their own, which has nothing else and asks for no key.
//!
//! What was counted stands in the snapshot ([`splitway_core::meter`]); here it is only written, in the
//! families of APISIX ([`apisix`]), so that its dashboards go on, and in our own ([`own`]). Every label
//! comes from the configuration: how many series there are does not depend on what clients send.

mod apisix;
mod lines;
mod options;
mod own;
mod plain;
mod watch;

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT, ALLOW, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use http_body_util::Full;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, text};
use prometheus_client::registry::Registry;
use splitway_core::problem::{Answer, Problem};
use splitway_core::snapshot::Snapshot;
use splitway_core::status::{Census, census};
use splitway_core::time::Timestamp;

use crate::listen::{AllConnections, ClientBody, Site};
use crate::reply::whole;
use crate::store::{Reach, Store};
use crate::telemetry::{self, Log};

use self::lines::Lines;
pub use self::options::MetricsListen;
pub(crate) use self::options::USUAL;
pub(crate) use self::watch::watch;

/// Where they are. The second is APISIX's.
pub(crate) const PATHS: [&str; 2] = ["/metrics", "/apisix/prometheus/metrics"];

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PLAIN_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Metrics as what a listener serves.
#[derive(Debug)]
pub(crate) struct Metrics {
    pub(crate) store: Arc<Store>,
    pub(crate) log: Log,
    pub(crate) connections: AllConnections,
}

impl Metrics {
    /// All metrics as OpenMetrics has them.
    fn written(&self) -> String {
        let snapshot = self.store.snapshot();
        let scrape = Scrape {
            census: snapshot.as_deref().map(census).unwrap_or_default(),
            snapshot,
            now: telemetry::now(),
            since: self.store.since(),
            failures: self.store.failures(),
            reach: self.store.reach(),
            dropped: self.log.dropped(),
            connections: self.connections.clone(),
        };
        let mut registry = Registry::default();
        registry.register_collector(Box::new(scrape));
        let mut page = String::new();
        // Writing to memory does not fail.
        _ = text::encode(&mut page, &registry);
        page
    }
}

/// What one scrape sees.
#[derive(Debug)]
struct Scrape {
    snapshot: Option<Arc<Snapshot>>,
    census: Census,
    now: Timestamp,
    /// Since when the snapshot serves.
    since: Timestamp,
    failures: u64,
    reach: Reach,
    dropped: u64,
    connections: AllConnections,
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let mut lines = Lines::new(encoder);
        apisix::write(self, &mut lines)?;
        own::write(self, &mut lines)
    }
}

impl Site for Metrics {
    type Body = Full<Bytes>;

    async fn answer(&self, _: IpAddr, request: Box<Parts>, _: ClientBody) -> Response<Full<Bytes>> {
        if !PATHS.contains(&request.uri.path()) {
            return whole(Problem::NoRoute.answer());
        }
        if ![Method::GET, Method::HEAD].contains(&request.method) {
            let mut refused = whole(Problem::MethodNotAllowed.answer());
            refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return refused;
        }
        let is_plain = !takes_open_metrics(&request.headers);
        let page = self.written();
        let page = if is_plain { plain::plain(&page) } else { page };
        let mut response = Response::new(Full::from(page));
        *response.status_mut() = StatusCode::OK;
        let kind = if is_plain { PLAIN_TEXT } else { OPEN_METRICS };
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        response
    }

    fn refuse(&self, problem: Problem) -> Answer {
        problem.answer()
    }

    fn whole(answer: Answer) -> Response<Full<Bytes>> {
        whole(answer)
    }
}

/// Whether a client asks for OpenMetrics, as Prometheus does; others get the older format.
fn takes_open_metrics(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let is_kind = parts
            .next()
            .is_some_and(|kind| kind.eq_ignore_ascii_case("application/openmetrics-text"));
        is_kind && !parts.any(|parameter| matches!(parameter, "q=0" | "q=0.0" | "q=0.000"))
    })
}

#[cfg(test)]
mod tests;
