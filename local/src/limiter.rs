//! Where limits of the policy `shared` are counted: in this process, or in a Redis that a fleet shares.
//! What is granted is decided in the core, or by a script that does the same.

mod backlog;
mod gate;
pub(crate) mod options;
mod process;
mod redis;
mod script;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use ::redis::{Client, RedisError};
use splitway_core::limit::{Grant, Porter, Toll};
use splitway_core::problem::Failure;

use self::backlog::Backlog;
use self::gate::Gate;
use self::options::LimiterOptions;
use self::process::Process;
use self::redis::Redis;
use crate::telemetry::{self, Log};

/// The store as a thread asks it.
#[derive(Debug)]
pub(crate) enum Limiter {
    /// For this process alone.
    Process(Arc<Process>),
    /// For all that name it.
    Redis(Arc<Redis>),
}

impl Limiter {
    /// What is granted.
    pub(crate) async fn toll(&self, toll: &Toll) -> Result<Grant, Failure> {
        match self {
            Self::Process(process) => Ok(process.toll(toll, telemetry::now())),
            Self::Redis(redis) => redis.toll(toll).await,
        }
    }
}

/// Tells the store of requests that are over.
#[derive(Debug)]
pub(crate) struct Doorman(pub(crate) Arc<Limiter>);

impl Porter for Doorman {
    fn leave(&self, toll: Toll) {
        if let Limiter::Process(process) = &*self.0 {
            process.toll(&toll, telemetry::now());
            return;
        }
        // Where the runtime is gone, time frees the place.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let limiter = Arc::clone(&self.0);
        // If it cannot be reached, it is told when it can.
        runtime.spawn(async move { limiter.toll(&toll).await });
    }
}

/// The store, from which each thread gets a [`Limiter`].
#[derive(Clone)]
pub(crate) enum Counting {
    Process(Arc<Process>),
    Redis { client: Box<Client>, timeout: Duration, gate: Arc<Gate>, backlog: Arc<Backlog> },
}

impl Counting {
    /// The one that was named.
    pub(crate) fn new(options: &LimiterOptions, log: &Log) -> Result<Self, RedisError> {
        let Some(address) = &options.redis else {
            return Ok(Self::Process(Arc::new(Process::new())));
        };
        let (client, gate) = (Box::new(address.client()?), Arc::new(Gate::new(log.clone())));
        let (timeout, backlog) = (options.redis_timeout, Arc::default());
        Ok(Self::Redis { client, timeout, gate, backlog })
    }

    /// One for a thread.
    pub(crate) fn limiter(&self) -> Limiter {
        match self {
            Self::Process(process) => Limiter::Process(Arc::clone(process)),
            Self::Redis { client, timeout, gate, backlog } => {
                let common = (Arc::clone(gate), Arc::clone(backlog));
                Limiter::Redis(Arc::new(Redis::new((**client).clone(), *timeout, common)))
            }
        }
    }
}
