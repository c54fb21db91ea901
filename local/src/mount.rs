//! The splitter as a part of somebody's own axum application: the same road as that of a server, behind the
//! application's own listener.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::response::Response;
use bytes::Bytes;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::runtime::{Handle, Id};

use crate::door::Door;
use crate::kit::Kit;
use crate::listen::{CanSwitch, ClientBody, apply};
use crate::options::ServeOptions;
use crate::platform::Effects;
use crate::reply::{Handover, Traffic};
use crate::server::{Server, StartError};

/// A router that splits all requests that come to it, by the file of [`ServeOptions::config`] or, where none is
/// named, by the ledger in the data directory, whose Admin API listens at [`ServeOptions::admin_listen`] as that
/// of a [`Server`] does.
///
/// It takes what no other route of an application takes, or what is below a prefix:
///
/// ```
/// use axum::Router;
/// use axum::routing::get;
/// use splitway_local::{ServeOptions, router_with};
///
/// # fn application() -> Result<Router, Box<dyn std::error::Error>> {
/// let document = r#"
/// routes:
///   - id: chat
///     uri: /chat/*
///     plugins:
///       traffic-split:
///         rules:
///           - weighted_upstreams:
///               - {weight: 90, upstream: {nodes: {"127.0.0.1:9001": 1}}}
///               - {weight: 10, upstream: {nodes: {"127.0.0.1:9002": 1}}}
/// "#;
/// let splitter = router_with(document, ServeOptions::default())?;
/// let application = Router::new().route("/health", get(async || "well")).merge(splitter);
/// # Ok(application)
/// # }
/// # application().unwrap();
/// ```
///
/// Upstreams are told who asks (`X-Forwarded-For`, and what `vars` and keys take from the address of the client)
/// if the application is served with `into_make_service_with_connect_info::<SocketAddr>()`; without it nobody
/// knows, and what the client says of itself goes up as it came. The port they are told is that of
/// [`ServeOptions::listen`], at which nothing listens here.
///
/// How connections of clients are served is the application's own; of [`ServeOptions::clients`] only the limits
/// of targets, headers and waits for a body are kept. Metrics are there if [`ServeOptions::metrics_listen`] says
/// where. Each thread of the runtime has a pool of connections of its own. All of it ends with the last clone of
/// the router.
///
/// # Errors
///
/// As [`Server::start`].
pub fn router(options: ServeOptions) -> Result<Router, StartError> {
    Server::mount(options).map(mounted)
}

/// A router that splits by this document for good; see [`router`].
///
/// # Errors
///
/// As [`Server::start_with`].
pub fn router_with(document: &str, options: ServeOptions) -> Result<Router, StartError> {
    Server::mount_with(document, options).map(mounted)
}

fn mounted(mount: Mount) -> Router {
    let mount = Arc::new(mount);
    Router::new().fallback(async move |request: Request| mount.answer(request).await)
}

/// What a router has in place of a listener.
pub(crate) struct Mount {
    kit: Kit,
    door: Door,
    body_timeout: Option<Duration>,
    number: u64,
    /// Those of all threads, which have what leads to their own.
    effects: Mutex<Vec<Arc<Effects>>>,
    /// What goes on beside. Ends with this.
    _server: Server,
}

/// The effects of a thread for one router, as long as that is there, and the runtime that their connections
/// belong to.
struct Own {
    mount: u64,
    runtime: Id,
    effects: Weak<Effects>,
}

thread_local! {
    static OWN: RefCell<Vec<Own>> = const { RefCell::new(Vec::new()) };
}

/// How many there were so far.
static COUNT: AtomicU64 = AtomicU64::new(0);

impl Mount {
    pub(crate) fn new(kit: Kit, options: &ServeOptions, server: Server) -> Self {
        let timeout = options.clients.body_timeout;
        Self {
            kit,
            door: Door::new(options, options.listen.port(), false),
            body_timeout: (!timeout.is_zero()).then_some(timeout),
            number: COUNT.fetch_add(1, Relaxed),
            effects: Mutex::default(),
            _server: server,
        }
    }

    /// What the core answers.
    async fn answer(&self, request: Request) -> Response {
        let (mut parts, body) = request.into_parts();
        let mut door = self.door;
        door.is_secure = parts.uri.scheme_str() == Some("https");
        let traffic = Traffic { effects: self.effects(), door };
        let client = parts.extensions.remove::<ConnectInfo<SocketAddr>>();
        let client = client.map(|ConnectInfo(address)| address.ip());
        let upgrade = parts.extensions.remove::<OnUpgrade>();
        if upgrade.is_some() {
            parts.extensions.insert(CanSwitch);
        }
        // What is left of the body is for the listener, which knows what to do with it.
        let (body, _) = ClientBody::new(body, self.body_timeout);
        let mut response = traffic.reply(client, Box::new(parts), body).await;
        apply(&mut response);
        let handover = response.extensions_mut().remove::<Handover>();
        if let (Some(tunnel), Some(upgrade)) = (handover.and_then(|it| it.take()), upgrade) {
            tokio::spawn(async move {
                // A client that has gone by now leaves nobody to join.
                if let Ok(client) = upgrade.await {
                    tunnel.join(TokioIo::new(client), Bytes::new()).await;
                }
            });
        }
        response.map(Body::new)
    }

    /// The effects of this thread.
    fn effects(&self) -> Arc<Effects> {
        let runtime = Handle::current().id();
        let is_own = |own: &Own| own.mount == self.number && own.runtime == runtime;
        let found = OWN.with_borrow(|all| all.iter().find(|own| is_own(own))?.effects.upgrade());
        found.unwrap_or_else(|| {
            let effects = Arc::new(self.kit.effects());
            let own = Own { mount: self.number, runtime, effects: Arc::downgrade(&effects) };
            OWN.with_borrow_mut(|all| {
                all.retain(|own| own.effects.strong_count() > 0);
                all.push(own);
            });
            let mut kept = self.effects.lock().unwrap_or_else(PoisonError::into_inner);
            kept.push(Arc::clone(&effects));
            effects
        })
    }
}
