//! APISIX's upstream object, and how it is checked.

use serde::Deserialize;
use std::ops::Range;
use std::time::Duration;

use super::connection::{Keepalive, KeepaliveWire, Tls, TlsWire};
use super::hash::{HashKey, HashOn};
use super::ring::Ring;
use super::timeout::{PHASE_SECS_MAX, TimeoutWire};
use super::vital::Care;
use super::{HostPolicy, Spec};
use crate::breaker::BreakerWire;
use crate::checks::ChecksWire;
use crate::fault::{At, Report, did_you_mean};
use crate::id::Id;
use crate::node::{NodesWire, Placed, Scheme, parse_authority};
use crate::retry::RetryWire;
use crate::rotation::Weight;
use crate::wire::{Labels, Remark, Unsupported};

/// The types of balancers.
const TYPES: [&str; 4] = ["roundrobin", "chash", "ewma", "least_conn"];

/// The schemes of APISIX that are not HTTP.
const NOT_HTTP: [&str; 4] = ["tcp", "tls", "udp", "kafka"];

/// APISIX's upstream object.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "some keys are read to be checked or refused, not to be used")]
pub(crate) struct UpstreamObject {
    pub(crate) id: Option<Id>,
    name: Option<Remark>,
    desc: Option<Remark>,
    labels: Option<Labels>,
    create_time: Option<u64>,
    update_time: Option<u64>,
    #[cfg_attr(feature = "schema", schemars(required))]
    nodes: Option<NodesWire>,
    #[cfg_attr(feature = "schema", schemars(extend("enum" = TYPES)))]
    r#type: Option<String>,
    hash_on: Option<HashOn>,
    key: Option<String>,
    #[cfg_attr(
        feature = "schema",
        schemars(extend("enum" = Scheme::NAMES.map(|(name, _)| name)))
    )]
    scheme: Option<String>,
    pass_host: Option<PassHost>,
    upstream_host: Option<String>,
    retries: Option<u32>,
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = PHASE_SECS_MAX)))]
    retry_timeout: Option<f64>,
    retry: Option<RetryWire>,
    breaker: Option<BreakerWire>,
    timeout: Option<TimeoutWire>,
    keepalive_pool: Option<KeepaliveWire>,
    tls: Option<TlsWire>,
    checks: Option<ChecksWire>,
    discovery_args: Option<Unsupported>,
    discovery_type: Option<Unsupported>,
    service_name: Option<Unsupported>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
enum PassHost {
    Pass,
    Node,
    Rewrite,
}

/// How a node of an upstream is picked.
#[derive(Debug, PartialEq)]
pub(super) enum Method {
    /// By turns, by weight.
    RoundRobin,
    /// By a key, on a ring for each tier.
    Chash { key: HashKey, rings: Box<[Ring]> },
    /// The quicker of two.
    Ewma,
    /// The one with the fewest requests for its weight.
    LeastConn,
}

impl Method {
    /// Its name in documents, unless it is the one that counts where nothing is said.
    pub(super) fn special(&self) -> Option<&'static str> {
        match self {
            Self::RoundRobin => None,
            Self::Chash { .. } => Some("chash"),
            Self::Ewma => Some("ewma"),
            Self::LeastConn => Some("least_conn"),
        }
    }
}

impl UpstreamObject {
    pub(super) fn compile(&self, at: At<'_>, report: &mut Report) -> Option<Spec> {
        let faults_before = report.faults.len();
        let scheme = self.scheme(at, report);
        let host = self.host_policy(at, report);
        let timeout = self.timeout.map(|wire| wire.compile(at.key("timeout"), report));
        let members = match &self.nodes {
            Some(nodes) => nodes.compile(scheme, at.key("nodes"), report),
            None => {
                report.fault(at, "`nodes` is missing");
                Vec::new()
            }
        };
        let tiers = tiers(&members);
        if tiers.iter().map(Range::len).sum::<usize>() < tiers_of(&members).map(|it| it.len()).sum()
        {
            report.warn(
                at.key("nodes"),
                "all nodes of one priority have weight 0: nothing goes there; APISIX serves from them as if they weighed alike",
            );
        }
        let method = self.method(&members, &tiers, at, report);
        let retry_timeout = self.retry_timeout(at, report);
        let keepalive = match self.keepalive_pool {
            Some(wire) => wire.compile(at.key("keepalive_pool"), report),
            None => Keepalive::default(),
        };
        let tls = match &self.tls {
            Some(wire) => wire.compile(scheme, at.key("tls"), report),
            None => Tls::default(),
        };
        let retries = self.retries;
        let retry = self.retry.as_ref().map(|wire| wire.compile(at.key("retry"), report));
        let retry = retry.unwrap_or_default();
        if self.retry.is_some() && retries.unwrap_or(u32::from(members.len() > 1)) == 0 {
            let what = "has no effect: `retries` is 0, as it is with one node where it is not said";
            report.warn(at.key("retry"), what);
        }
        let care = Care {
            checks: self.checks.as_ref().map(|wire| wire.compile(at.key("checks"), report)),
            breaker: self.breaker.as_ref().map(|wire| wire.compile(at.key("breaker"), report)),
        };
        let method = method.filter(|_| report.faults.len() == faults_before)?;
        Some(Spec {
            scheme,
            members: members.into(),
            tiers,
            method,
            host,
            timeout,
            retries,
            retry,
            retry_timeout,
            keepalive,
            tls,
            care,
        })
    }

    /// What APISIX does not take over from the inline upstream of a branch.
    pub(super) fn ignored_in_branch(&self) -> Vec<&'static str> {
        let is_there = [
            ("retries", self.retries.is_some()),
            ("retry_timeout", self.retry_timeout.is_some()),
            ("checks", self.checks.is_some()),
            ("keepalive_pool", self.keepalive_pool.is_some()),
            ("tls", self.tls.is_some()),
        ];
        is_there.into_iter().filter(|(_, is_there)| *is_there).map(|(key, _)| key).collect()
    }

    fn scheme(&self, at: At<'_>, report: &mut Report) -> Scheme {
        let at = at.key("scheme");
        let name = self.scheme.as_deref().unwrap_or("http");
        let scheme = Scheme::named(name);
        match scheme {
            None if NOT_HTTP.contains(&name) => {
                report.fault(at, "APISIX has this scheme, Splitway splits HTTP only");
            }
            None => {
                let names = Scheme::NAMES.map(|(name, _)| name);
                let hint = did_you_mean(name, &names);
                report.fault(
                    at,
                    format!("expected \"http\", \"https\", \"grpc\" or \"grpcs\"{hint}"),
                );
            }
            Some(scheme) if scheme.is_grpc() => {
                report.warn(at, "at the edge there is no gRPC: a Worker cannot speak HTTP/2 with trailers to a node");
            }
            Some(_) => {}
        }
        scheme.unwrap_or(Scheme::Http)
    }

    fn method(
        &self,
        members: &[Placed],
        tiers: &[Range<usize>],
        at: At<'_>,
        report: &mut Report,
    ) -> Option<Method> {
        let name = self.r#type.as_deref().unwrap_or("roundrobin");
        if name != "chash" && (self.hash_on.is_some() || self.key.is_some()) {
            let key = if self.key.is_some() { "key" } else { "hash_on" };
            report.warn(at.key(key), "not used: `type` is not \"chash\"");
        }
        match name {
            "roundrobin" => Some(Method::RoundRobin),
            "ewma" => Some(Method::Ewma),
            "least_conn" => Some(Method::LeastConn),
            "chash" => {
                let hash_on = self.hash_on.unwrap_or_default();
                let key = HashKey::compile(hash_on, self.key.as_deref(), at, report);
                let rings = tiers.iter().map(|places| {
                    let members = members.get(places.clone()).unwrap_or_default();
                    Ring::compile(members, places.start, at.key("nodes"), report)
                });
                let rings = rings.collect::<Option<_>>()?;
                Some(Method::Chash { key: key?, rings })
            }
            _ => {
                let hint = did_you_mean(name, &TYPES);
                let what =
                    "unknown type, expected \"roundrobin\", \"chash\", \"ewma\" or \"least_conn\"";
                report.fault(at.key("type"), format!("{what}{hint}"));
                None
            }
        }
    }

    fn retry_timeout(&self, at: At<'_>, report: &mut Report) -> Option<Duration> {
        match self.retry_timeout {
            None | Some(0.0) => None,
            Some(secs) if (0.0..=PHASE_SECS_MAX).contains(&secs) => {
                Some(Duration::from_secs_f64(secs))
            }
            Some(_) => {
                let what = format!("expected seconds, from 0 (no limit) to {PHASE_SECS_MAX}");
                report.fault(at.key("retry_timeout"), what);
                None
            }
        }
    }

    fn host_policy(&self, at: At<'_>, report: &mut Report) -> HostPolicy {
        match (self.pass_host.unwrap_or(PassHost::Pass), &self.upstream_host) {
            (PassHost::Pass, _) => HostPolicy::Client,
            (PassHost::Node, _) => HostPolicy::Node,
            (PassHost::Rewrite, None) => {
                report.fault(at, "`upstream_host` is missing, `pass_host` \"rewrite\" needs it");
                HostPolicy::Node
            }
            (PassHost::Rewrite, Some(host)) => {
                if parse_authority(host).is_none() {
                    report.fault(at.key("upstream_host"), "expected `host` or `host:port`");
                }
                HostPolicy::Fixed(host.clone())
            }
        }
    }
}

/// The nodes of each priority, the highest first.
fn tiers_of(members: &[Placed]) -> impl Iterator<Item = Range<usize>> {
    let mut start = 0;
    members.chunk_by(|a, b| a.priority == b.priority).map(move |tier| {
        let places = start..start + tier.len();
        start = places.end;
        places
    })
}

/// Those of them that something can go to.
fn tiers(members: &[Placed]) -> Box<[Range<usize>]> {
    let has_weight = |places: &Range<usize>| {
        let tier = members.get(places.clone()).unwrap_or_default();
        tier.iter().any(|placed| placed.weight != Weight(0))
    };
    // Mostly there is one.
    let mut tiers = Vec::with_capacity(1);
    tiers.extend(tiers_of(members).filter(has_weight));
    tiers.into()
}
