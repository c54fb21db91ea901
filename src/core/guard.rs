//! Guards: what a request passes between its route and the split, or does not.
//!
//! A guard is a plugin. It looks at a request and lets it pass, with changes, or answers it. What it cannot
//! decide at once it [`Needs`]: it is then asked once more, with what was needed, and those before it are
//! not. They stand in one order (`GUARDS`), first those of the global rules, then those of the route.
//! Where a consumer that was recognised has a guard of its own, it stands in for the route's of the same
//! name.

mod admission;
mod basic_auth;
mod client_control;
mod cors;
mod ip_restriction;
mod jwt_auth;
mod key_auth;
mod limit;
mod real_ip;
mod request_id;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::auth::{Consumers, Errand, Known};
use crate::facts::Facts;
use crate::fault::{At, Report};
use crate::gather::ranked;
use crate::head::Edits;
use crate::limit::{
    self as limits, Counters, Grant, Hold, LIMIT_CONN, LIMIT_COUNT, LIMIT_REQ, Leaving, Limit,
    LimitConnWire, LimitCountWire, LimitReqWire, Policy, Toll,
};
use crate::problem::{Answer, Failure, Problem};
use crate::signature::Check;
use crate::split::Means;
use crate::time::Timestamp;
use crate::wire;

pub(crate) use basic_auth::{BasicAuth, BasicAuthWire};
pub(crate) use client_control::{ClientControl, ClientControlWire};
pub(crate) use cors::{Cors, CorsWire};
pub(crate) use ip_restriction::{IpRestriction, IpRestrictionWire};
pub(crate) use jwt_auth::{JwtAuth, JwtAuthWire};
pub(crate) use key_auth::{KeyAuth, KeyAuthWire};
pub(crate) use real_ip::{RealIp, RealIpWire};
pub(crate) use request_id::{RequestId, RequestIdWire};

/// The names of all guards, in the order in which a request passes them.
pub(crate) const GUARDS: [&str; 11] = [
    real_ip::PLUGIN,
    client_control::PLUGIN,
    request_id::PLUGIN,
    cors::PLUGIN,
    basic_auth::PLUGIN,
    jwt_auth::PLUGIN,
    key_auth::PLUGIN,
    // From here on a consumer may have its own.
    ip_restriction::PLUGIN,
    LIMIT_CONN,
    LIMIT_COUNT,
    LIMIT_REQ,
];

/// The first of [`GUARDS`] of which a consumer may have its own.
const OF_CONSUMERS: usize = GUARDS.len() - 4;

/// Whether a consumer may have a guard of this name of its own.
pub(crate) fn is_of_consumers(name: &str) -> bool {
    GUARDS.iter().skip(OF_CONSUMERS).any(|own| *own == name)
}

/// What must be there before a request is decided.
#[derive(Debug)]
pub enum Needs {
    /// The body of the request.
    Body,
    /// What the runtime has to do.
    Effect(Effect),
}

/// What a guard asks a runtime to do.
#[derive(Debug)]
pub enum Effect {
    /// Have keys got, beside this request.
    Fetch(Errand),
    /// Let so much time pass.
    Wait(Duration),
    /// Check a signature.
    Verify(Box<Check>),
    /// Ask the store of shared limits.
    Toll(Toll),
}

/// What came of an [`Effect`].
#[derive(Clone, Debug)]
pub enum Found {
    /// It was begun, or is over.
    Done,
    /// Whether the signature is right.
    Verified(bool),
    /// What the store gave.
    Granted(Result<Grant, Failure>),
    /// The place that the store gave, and its end.
    Entered(Grant, Arc<Leaving>),
}

/// What a guard is told. One that looks into the body counts nothing before it has it: it is asked again.
pub(crate) struct Asked<'a, 'f> {
    /// The request as the guards before have left it.
    pub(crate) facts: &'f Facts<'f>,
    /// What time it is, and chance. Where it is a trial nothing is counted.
    pub(crate) means: Means<'f>,
    /// Who may call.
    pub(crate) consumers: &'a Consumers,
    /// What limits have counted.
    pub(crate) counters: &'a Arc<Counters>,
    /// What came of what it needed, if it has needed something.
    pub(crate) found: Option<Found>,
    /// When it was said what was needed.
    pub(crate) needed_at: Timestamp,
}

/// What a guard says to a request.
pub(crate) enum Verdict<'a> {
    /// It passes.
    Passes(Passage<'a>),
    /// That cannot be said yet.
    Needs(Effect),
    /// It is answered here, because of this problem, if there is one.
    Answers(Answer, Option<Problem>),
}

impl Effect {
    /// What it could bring, where nothing is done: what lets a request pass.
    pub fn imagined(&self) -> Found {
        match self {
            Self::Fetch(_) | Self::Wait(_) => Found::Done,
            Self::Verify(_) => Found::Verified(true),
            Self::Toll(toll) => {
                Found::Granted(Ok(Grant { granted: toll.want, ..Grant::default() }))
            }
        }
    }
}

impl Default for Verdict<'_> {
    fn default() -> Self {
        Self::Passes(Passage::default())
    }
}

/// What becomes of a request that passes a guard.
#[derive(Debug, Default)]
pub(crate) struct Passage<'a> {
    /// What is changed in its headers.
    pub(crate) request: Edits,
    /// Its query, where that is another now.
    pub(crate) query: Option<Option<String>>,
    /// What is changed in the headers of whatever is answered.
    pub(crate) response: Edits,
    /// The address of the client, where it is another than the one known so far.
    pub(crate) client: Option<IpAddr>,
    /// The consumer that was recognised.
    pub(crate) known: Option<Known<'a>>,
    /// How long it waits.
    pub(crate) pause: Duration,
    /// A place that it takes up.
    pub(crate) hold: Option<Hold>,
    /// The most bytes that its body may have.
    pub(crate) upload_max: Option<u64>,
}

/// A plugin that lets requests pass.
#[derive(Clone, Debug)]
pub(crate) enum Guard {
    RealIp(Arc<RealIp>),
    ClientControl(Arc<ClientControl>),
    RequestId(Arc<RequestId>),
    Cors(Arc<Cors>),
    BasicAuth(Arc<BasicAuth>),
    JwtAuth(Arc<JwtAuth>),
    KeyAuth(Arc<KeyAuth>),
    IpRestriction(Arc<IpRestriction>),
    Limit(Arc<Limit>),
}

impl Guard {
    /// Checks the plugin `name` at `at`; `salt` tells apart what is counted for different resources.
    pub(crate) fn compile(
        name: &str,
        value: &Value,
        salt: &str,
        at: At<'_>,
        report: &mut Report,
    ) -> Option<Self> {
        match name {
            real_ip::PLUGIN => wire::read(value, at, report, |wire: RealIpWire, report| {
                Some(Self::RealIp(Arc::new(wire.compile(at, report))))
            }),
            client_control::PLUGIN => {
                wire::read(value, at, report, |wire: ClientControlWire, report| {
                    Some(Self::ClientControl(Arc::new(wire.compile(at, report))))
                })
            }
            request_id::PLUGIN => wire::read(value, at, report, |wire: RequestIdWire, report| {
                Some(Self::RequestId(Arc::new(wire.compile(at, report))))
            }),
            cors::PLUGIN => wire::read(value, at, report, |wire: CorsWire, report| {
                Some(Self::Cors(Arc::new(wire.compile(at, report))))
            }),
            basic_auth::PLUGIN => wire::read(value, at, report, |wire: BasicAuthWire, report| {
                Some(Self::BasicAuth(Arc::new(wire.compile(at, report))))
            }),
            jwt_auth::PLUGIN => wire::read(value, at, report, |wire: JwtAuthWire, report| {
                Some(Self::JwtAuth(Arc::new(wire.compile(at, report))))
            }),
            key_auth::PLUGIN => wire::read(value, at, report, |wire: KeyAuthWire, report| {
                Some(Self::KeyAuth(Arc::new(wire.compile(at, report))))
            }),
            ip_restriction::PLUGIN => {
                wire::read(value, at, report, |wire: IpRestrictionWire, report| {
                    Some(Self::IpRestriction(Arc::new(wire.compile(at, report))))
                })
            }
            LIMIT_CONN | LIMIT_COUNT | LIMIT_REQ => {
                let limit = Self::limit(name, value, salt, at, report);
                limit.map(|limit| Self::Limit(Arc::new(limit)))
            }
            _ => None,
        }
    }

    /// Checks a plugin that limits.
    fn limit(
        name: &str,
        value: &Value,
        salt: &str,
        at: At<'_>,
        report: &mut Report,
    ) -> Option<Limit> {
        let value = &*limits::without_redis(value, at, report);
        match name {
            LIMIT_CONN => wire::read(value, at, report, |wire: LimitConnWire, report| {
                Some(wire.compile(salt, at, report))
            }),
            LIMIT_REQ => wire::read(value, at, report, |wire: LimitReqWire, report| {
                Some(wire.compile(salt, at, report))
            }),
            _ => wire::read(value, at, report, |wire: LimitCountWire, report| {
                Some(wire.compile(salt, at, report))
            }),
        }
    }

    /// The name of the plugin.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::RealIp(_) => real_ip::PLUGIN,
            Self::ClientControl(_) => client_control::PLUGIN,
            Self::RequestId(_) => request_id::PLUGIN,
            Self::Cors(_) => cors::PLUGIN,
            Self::BasicAuth(_) => basic_auth::PLUGIN,
            Self::JwtAuth(_) => jwt_auth::PLUGIN,
            Self::KeyAuth(_) => key_auth::PLUGIN,
            Self::IpRestriction(_) => ip_restriction::PLUGIN,
            Self::Limit(it) => it.plugin,
        }
    }

    /// Whether a request may pass. A plugin that does not act on it lets it pass.
    pub(crate) fn pass<'a>(&'a self, asked: &Asked<'a, '_>) -> Verdict<'a> {
        let meta = match self {
            Self::RealIp(it) => &it.meta,
            Self::ClientControl(it) => &it.meta,
            Self::RequestId(it) => &it.meta,
            Self::Cors(it) => &it.meta,
            Self::BasicAuth(it) => &it.meta,
            Self::JwtAuth(it) => &it.meta,
            Self::KeyAuth(it) => &it.meta,
            Self::IpRestriction(it) => &it.meta,
            Self::Limit(it) => &it.meta,
        };
        if !meta.acts_on(asked.facts) {
            return match self {
                Self::BasicAuth(_) | Self::JwtAuth(_) | Self::KeyAuth(_) => {
                    admission::unasked(asked)
                }
                Self::RealIp(_)
                | Self::ClientControl(_)
                | Self::RequestId(_)
                | Self::Cors(_)
                | Self::IpRestriction(_)
                | Self::Limit(_) => Verdict::default(),
            };
        }
        let mut verdict = match self {
            Self::RealIp(it) => it.pass(asked),
            Self::ClientControl(it) => it.pass(asked),
            Self::RequestId(it) => it.pass(asked),
            Self::Cors(it) => it.pass(asked),
            Self::BasicAuth(it) => it.pass(asked),
            Self::JwtAuth(it) => it.pass(asked),
            Self::KeyAuth(it) => it.pass(asked),
            Self::IpRestriction(it) => it.pass(asked),
            Self::Limit(it) => it.pass(asked),
        };
        if let Verdict::Answers(answer, Some(_)) = &mut verdict {
            meta.reword(answer);
        }
        verdict
    }

    /// Whether it counts requests, so that it is worth knowing how many it lets pass.
    pub(crate) fn limits(&self) -> bool {
        self.name().starts_with("limit-")
    }

    /// Whether it counts in the store that all share.
    pub(crate) fn is_shared(&self) -> bool {
        matches!(self, Self::Limit(limit) if limit.quota.policy == Policy::Shared)
    }

    /// Where it stands in the order.
    pub(crate) fn rank(&self) -> usize {
        GUARDS.iter().position(|name| *name == self.name()).unwrap_or(GUARDS.len())
    }
}

/// Guards in the order in which they are passed.
pub(crate) fn sorted(guards: Vec<Guard>) -> Vec<Guard> {
    ranked(guards, |guard| i128::try_from(guard.rank()).unwrap_or(i128::MAX))
}

/// The guards of a route.
#[derive(Debug, Default)]
pub(crate) struct Guards(Option<Box<Lists>>);

/// Those of a route that has some.
#[derive(Debug)]
struct Lists {
    /// Those of the global rules.
    global: Box<[Guard]>,
    /// Those of the route. No two have one name.
    own: Box<[Guard]>,
    /// How many of the route's stand before those that a consumer can have.
    early: usize,
}

impl Guards {
    /// These, in their order.
    pub(crate) fn new(global: Vec<Guard>, own: Vec<Guard>) -> Self {
        let (global, own) = (sorted(global), sorted(own));
        let early = own.partition_point(|guard| guard.rank() < OF_CONSUMERS);
        let lists = Lists { global: global.into(), own: own.into(), early };
        let is_said = !lists.global.is_empty() || !lists.own.is_empty();
        Self(is_said.then(|| Box::new(lists)))
    }

    /// All of them.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Guard> {
        self.0.iter().flat_map(|lists| lists.global.iter().chain(&lists.own))
    }

    /// The header in which requests get a name, if they get one.
    pub(crate) fn request_id(&self) -> Option<&str> {
        let lists = self.0.as_ref()?;
        let mut all = lists.own.iter().chain(&lists.global);
        all.find_map(
            |guard| if let Guard::RequestId(it) = guard { Some(it.header()) } else { None },
        )
    }

    /// Those of the global rules, and those of the route before and behind those that a consumer can have.
    fn parts(&self) -> (&[Guard], &[Guard], &[Guard]) {
        let Some(lists) = &self.0 else { return Default::default() };
        let (early, late) = lists.own.split_at_checked(lists.early).unwrap_or_default();
        (&lists.global, early, late)
    }

    /// The guard that stands behind `passed` others, for a request of a consumer that has these.
    pub(crate) fn nth<'g>(&'g self, passed: usize, consumer: &'g [Guard]) -> Option<&'g Guard> {
        let (global, early, late) = self.parts();
        if let Some(guard) = global.get(passed) {
            return Some(guard);
        }
        let passed = passed - global.len();
        if let Some(guard) = early.get(passed) {
            return Some(guard);
        }
        let passed = passed - early.len();
        if consumer.is_empty() {
            return late.get(passed);
        }
        let of = |list: &'g [Guard], rank| list.iter().find(|guard| guard.rank() == rank);
        let ranks = OF_CONSUMERS..GUARDS.len();
        let mut all = ranks.filter_map(|rank| of(consumer, rank).or_else(|| of(late, rank)));
        all.nth(passed)
    }
}
