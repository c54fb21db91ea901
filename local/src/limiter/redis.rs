//! Accounts in a Redis that several servers share. Each thread has one connection, on which all its
//! requests go at once.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisError, RedisResult};
use splitway_core::limit::{Grant, Terms, Toll};
use splitway_core::problem::Failure;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use super::backlog::Backlog;
use super::gate::Gate;
use super::script::TollScript;

/// How long those who tell of what was left wait for the store to be back.
const PATIENCE: Duration = Duration::from_millis(100);

/// How many tell of it at once.
const AT_ONCE: usize = 100;

/// How one thread asks.
pub(crate) struct Redis {
    client: Client,
    timeout: Duration,
    script: TollScript,
    gate: Arc<Gate>,
    backlog: Arc<Backlog>,
    /// Held while one connects, for whom the others wait.
    line: Mutex<Line>,
}

/// The connection, if there is one.
#[derive(Default)]
struct Line {
    connection: Option<MultiplexedConnection>,
    /// How many there were before it.
    number: u64,
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The client would print the password.
        f.debug_struct("Redis").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

impl Redis {
    /// Connects when it is first asked for something.
    pub(super) fn new(
        client: Client,
        timeout: Duration,
        (gate, backlog): (Arc<Gate>, Arc<Backlog>),
    ) -> Self {
        Self { client, timeout, script: TollScript::new(), gate, backlog, line: Mutex::default() }
    }

    /// What Redis gives. While it is away, that is known at once, but for one request a second. It is then
    /// told later of places that are given back.
    pub(super) async fn toll(self: &Arc<Self>, toll: &Toll) -> Result<Grant, Failure> {
        let came = self.try_toll(toll).await;
        if came.is_err()
            && matches!(toll.terms, Terms::Leave { .. })
            && self.backlog.keep(toll.clone())
        {
            tokio::spawn(Arc::clone(self).tell_later());
        }
        came
    }

    /// Tells of what was left, as soon as Redis is back.
    async fn tell_later(self: Arc<Self>) {
        let Some(mut sender) = self.backlog.sender() else { return };
        // One asks whether it is back.
        let mut most = 1;
        loop {
            let next = sender.next(most);
            if next.is_empty() {
                return;
            }
            let vain = self.tell(next).await;
            most = if vain.is_empty() { AT_ONCE } else { 1 };
            if !vain.is_empty() {
                // It can be told twice: nobody else has the place under this name.
                sender.give_back(vain);
                tokio::time::sleep(PATIENCE).await;
            }
        }
    }

    /// Tells of these at once, and gives back those of which it could not.
    async fn tell(self: &Arc<Self>, tolls: Vec<Toll>) -> Vec<Toll> {
        let mut telling = JoinSet::new();
        for toll in tolls {
            let own = Arc::clone(self);
            telling.spawn(async move { own.try_toll(&toll).await.err().map(|_| toll) });
        }
        telling.join_all().await.into_iter().flatten().collect()
    }

    /// What Redis gives, if it is there.
    async fn try_toll(&self, toll: &Toll) -> Result<Grant, Failure> {
        if !self.gate.may_ask() {
            return Err(Failure::DestinationUnavailable);
        }
        match tokio::time::timeout(self.timeout, self.ask(toll)).await {
            Ok(Ok(grant)) => {
                self.gate.reached();
                Ok(grant)
            }
            Ok(Err(error)) => {
                self.gate.lost(&error.to_string());
                Err(failure(&error))
            }
            Err(_) => {
                self.gate.lost("it does not answer in time");
                // Nobody says whether anything will ever come of it. Where the next one is being made, it is
                // gone.
                if let Ok(mut line) = self.line.try_lock() {
                    line.connection = None;
                }
                Err(Failure::ConnectionTimeout)
            }
        }
    }

    /// Asks, and once more where the connection has ended since it was last used: Redis may have been
    /// started anew. What was counted twice then lets less pass, not more.
    async fn ask(&self, toll: &Toll) -> RedisResult<Grant> {
        let (mut connection, number, is_new) = self.connection().await?;
        let answer = self.script.run(&mut connection, toll, None).await;
        match answer {
            Err(error) if error.is_unrecoverable_error() => {
                self.hang_up(number).await;
                if is_new {
                    return Err(error);
                }
                let (mut connection, ..) = self.connection().await?;
                self.script.run(&mut connection, toll, None).await
            }
            answer => answer,
        }
    }

    /// The connection, its number, and whether it was made for this.
    async fn connection(&self) -> RedisResult<(MultiplexedConnection, u64, bool)> {
        let mut line = self.line.lock().await;
        if let Some(connection) = &line.connection {
            return Ok((connection.clone(), line.number, false));
        }
        // There is one timeout, around all of it.
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let made = self.client.get_multiplexed_async_connection_with_config(&config).await?;
        line.number += 1;
        line.connection = Some(made.clone());
        Ok((made, line.number, true))
    }

    /// Has the next one connect anew, unless that was done since.
    async fn hang_up(&self, number: u64) {
        let mut line = self.line.lock().await;
        if line.number == number {
            line.connection = None;
        }
    }
}

/// What a request is told of it.
fn failure(error: &RedisError) -> Failure {
    if error.is_timeout() {
        Failure::ConnectionTimeout
    } else if error.is_connection_refusal() {
        Failure::ConnectionRefused
    } else if error.is_connection_dropped() {
        Failure::ConnectionTerminated
    } else {
        Failure::DestinationUnavailable
    }
}
