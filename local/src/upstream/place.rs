//! One node as connections see it: those that rest, those that are shared, and how to make another.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rustls::ClientConfig;
use splitway_core::balance::{Keepalive, Tls};
use splitway_core::exchange::Attempt;
use splitway_core::node::Scheme;
use splitway_core::problem::Failure;

use super::channel::Channel;
use super::link::Link;
use crate::connect::{Connector, Stream};

/// What TLS calls HTTP/1.1 and HTTP/2 (RFC 7301, section 6).
const HTTP1: &[u8] = b"http/1.1";
const HTTP2: &[u8] = b"h2";

/// The connections of one thread to one node with the same settings.
#[derive(Debug)]
pub(super) struct Place {
    scheme: Scheme,
    host: Box<str>,
    port: u16,
    state: Mutex<State>,
    /// Held by who makes a connection that others could share.
    gate: tokio::sync::Mutex<()>,
}

struct State {
    tls: Tls,
    /// Those that were used last are last.
    idle: VecDeque<Idle>,
    channels: Vec<Shared>,
    /// Whether the node was offered HTTP/2 and took HTTP/1.1.
    is_single: bool,
    /// How TLS is spoken; read from the settings once.
    config: Option<Arc<ClientConfig>>,
}

/// A connection at rest.
struct Idle {
    link: Box<Link>,
    until: Instant,
}

/// A connection that requests share.
struct Shared {
    channel: Channel,
    /// Since when it had nothing to do whenever somebody looked.
    idle: Option<(u64, Instant)>,
    keepalive: Keepalive,
}

/// A connection to send on.
pub(super) enum Road {
    Link(Box<Link>),
    Channel(Channel),
}

impl Place {
    pub(super) fn new(attempt: &Attempt<'_>) -> Self {
        Self {
            scheme: attempt.scheme,
            host: attempt.node.host().into(),
            port: attempt.node.port(),
            state: Mutex::new(State::new(attempt.tls.clone())),
            gate: tokio::sync::Mutex::default(),
        }
    }

    /// Whether it is the one for an attempt at a node of the same authority.
    pub(super) fn fits(&self, attempt: &Attempt<'_>) -> bool {
        self.scheme == attempt.scheme
            && (!self.scheme.is_tls() || self.state().tls.meets(attempt.tls))
    }

    /// A connection that is there already. With `is_single` it serves this request alone, which can then
    /// leave HTTP.
    pub(super) fn take(&self, keepalive: &Keepalive, is_single: bool) -> Option<Road> {
        let mut state = self.state();
        if !is_single && let Some(channel) = state.channel(keepalive) {
            return Some(Road::Channel(channel));
        }
        let Idle { link, until } = state.idle.pop_back()?;
        if until > Instant::now() {
            return Some(Road::Link(link));
        }
        // The others have rested for longer.
        state.idle.clear();
        None
    }

    /// Takes back a connection that can take another request.
    pub(super) fn put(&self, link: Box<Link>, keepalive: &Keepalive) {
        let size = usize::try_from(keepalive.size).unwrap_or(usize::MAX);
        if link.uses >= u64::from(keepalive.requests) || keepalive.idle_timeout.is_zero() {
            return;
        }
        let mut state = self.state();
        while state.idle.len() >= size.max(1) {
            state.idle.pop_front();
        }
        state.idle.push_back(Idle { link, until: Instant::now() + keepalive.idle_timeout });
    }

    /// Forgets a connection that takes no more requests.
    pub(super) fn let_go(&self, channel: &Channel) {
        self.state().channels.retain(|shared| !shared.channel.is(channel));
    }

    /// Makes a connection.
    pub(super) async fn open(
        &self,
        connector: &Connector,
        keepalive: &Keepalive,
        is_single: bool,
    ) -> Result<Road, Failure> {
        let can_share = self.scheme.is_grpc() || (self.scheme.is_tls() && !is_single);
        let mut gate = None;
        if can_share && !self.state().is_single {
            gate = Some(self.gate.lock().await);
            let mut state = self.state();
            // Somebody else has made it meanwhile, or has found out that there is nothing to share.
            match state.channel(keepalive) {
                Some(channel) => return Ok(Road::Channel(channel)),
                None if state.is_single => gate = None,
                None => {}
            }
        }
        let stream = self.stream(connector, is_single).await?;
        let is_shared = match stream.protocol() {
            Some(protocol) => protocol == HTTP2,
            None => self.scheme.is_grpc(),
        };
        if !is_shared {
            self.state().is_single |= can_share;
            drop(gate);
            return Ok(Road::Link(Link::new(stream)));
        }
        let channel = Channel::open(stream).await?;
        let mut state = self.state();
        state.is_single = false;
        let keepalive = *keepalive;
        state.channels.push(Shared { channel: channel.clone(), idle: None, keepalive });
        Ok(Road::Channel(channel))
    }

    async fn stream(&self, connector: &Connector, is_single: bool) -> Result<Stream, Failure> {
        if !self.scheme.is_tls() {
            return connector.plain(&self.host, self.port).await;
        }
        let mut config = self.config(connector)?;
        if is_single {
            let mut single = ClientConfig::clone(&config);
            single.alpn_protocols = vec![HTTP1.to_vec()];
            config = Arc::new(single);
        }
        connector.tls(&self.host, self.port, config).await
    }

    fn config(&self, connector: &Connector) -> Result<Arc<ClientConfig>, Failure> {
        let mut state = self.state();
        if let Some(config) = &state.config {
            return Ok(Arc::clone(config));
        }
        let config = connector.trust.config_of(&state.tls);
        // Nothing of the node's is wrong.
        let mut config = config.map_err(|_| Failure::TlsProtocolError)?;
        config.alpn_protocols = match self.scheme.is_grpc() {
            true => vec![HTTP2.to_vec()],
            false => vec![HTTP2.to_vec(), HTTP1.to_vec()],
        };
        let config = Arc::new(config);
        state.config = Some(Arc::clone(&config));
        Ok(config)
    }

    /// Closes what has rested for too long or was closed by the node. Whether anything is left.
    pub(super) fn sweep(&self, now: Instant) -> bool {
        let mut state = self.state();
        state.idle.retain_mut(|idle| {
            idle.link.shrink();
            idle.until > now && !idle.link.has_ended()
        });
        state.channels.retain_mut(|shared| shared.is_wanted(now));
        !state.idle.is_empty() || !state.channels.is_empty()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn new(tls: Tls) -> Self {
        Self { tls, idle: VecDeque::new(), channels: Vec::new(), is_single: false, config: None }
    }

    /// A shared connection that takes another request.
    fn channel(&mut self, keepalive: &Keepalive) -> Option<Channel> {
        if self.channels.is_empty() {
            return None;
        }
        let uses_max = u64::from(keepalive.requests);
        self.channels.retain(|shared| !shared.channel.is_done(uses_max));
        let free = self.channels.iter().find(|shared| shared.channel.has_room());
        free.map(|shared| shared.channel.clone())
    }
}

impl Shared {
    fn is_wanted(&mut self, now: Instant) -> bool {
        let uses = self.channel.uses();
        if !self.channel.is_idle() {
            self.idle = None;
            return !self.channel.is_done(u64::from(self.keepalive.requests));
        }
        let (_, since) = *match &mut self.idle {
            Some(idle) if idle.0 == uses => idle,
            idle => idle.insert((uses, now)),
        };
        now.duration_since(since) < self.keepalive.idle_timeout
            && !self.channel.is_done(u64::from(self.keepalive.requests))
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { idle, channels, is_single, .. } = self;
        let (idle, channels) = (idle.len(), channels.len());
        write!(f, "State {{ idle: {idle}, channels: {channels}, is_single: {is_single} }}")
    }
}
