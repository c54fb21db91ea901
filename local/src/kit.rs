//! What the effects of each thread are made of.

use std::net::SocketAddr;
use std::sync::Arc;

use splitway_core::seal::Secret;

use crate::access::AccessLog;
use crate::connect::{Connector, Trust};
use crate::front::Fronts;
use crate::limiter::Counting;
use crate::platform::{Effects, Naps};
use crate::resolve::{Dns, Override};
use crate::store::Store;
use crate::telemetry::Log;
use crate::trace::Tracer;
use crate::upstream::Upstreams;

/// What all threads share, and what each makes its own of.
#[derive(Clone)]
pub(crate) struct Kit {
    pub(crate) store: Arc<Store>,
    pub(crate) log: Log,
    pub(crate) access: AccessLog,
    pub(crate) tracer: Option<Arc<Tracer>>,
    pub(crate) fronts: Arc<Fronts>,
    pub(crate) secret: Option<Secret>,
    pub(crate) trust: Trust,
    pub(crate) overrides: Arc<[Override]>,
    pub(crate) dns: Option<SocketAddr>,
    pub(crate) counting: Counting,
}

impl Kit {
    /// The effects of the thread that this is called on, in its runtime.
    pub(crate) fn effects(&self) -> Effects {
        let connector =
            Connector::new(self.trust.clone(), Arc::clone(&self.overrides), Dns::new(self.dns));
        Effects {
            store: Arc::clone(&self.store),
            upstreams: Upstreams::new(connector),
            log: self.log.clone(),
            access: self.access.clone(),
            tracer: self.tracer.clone(),
            fronts: Arc::clone(&self.fronts),
            secret: self.secret.clone(),
            limiter: Arc::new(self.counting.limiter()),
            naps: Naps::default(),
        }
    }
}
