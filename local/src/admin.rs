//! The listener of the Admin API: who may use it, and the road to the core's answer.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use hyper::body::Incoming;
use ipnet::IpNet;
use splitway_core::admin::{self, Gate, PREFIX};
use splitway_core::problem::Answer;
use subtle::ConstantTimeEq;
use tower_service::Service;

use crate::coordinator::Coordinator;
use crate::message;
use crate::platform::RequestHead;
use crate::reply::{last, whole};

/// What the Admin API answers with.
pub(crate) struct Admin {
    pub(crate) coordinator: Coordinator,
    pub(crate) guard: Guard,
    pub(crate) port: u16,
}

/// Who may use the Admin API. It has no `Debug`, which would print the key.
pub(crate) struct Guard {
    pub(crate) networks: Vec<IpNet>,
    pub(crate) key: String,
}

impl Gate for Guard {
    fn allows(&self, client: Option<IpAddr>) -> bool {
        // A socket for both families shows IPv4 peers as IPv6 addresses.
        let client = client.map(|client| client.to_canonical());
        client.is_some_and(|client| self.networks.iter().any(|net| net.contains(&client)))
    }

    fn opens(&self, key: &str) -> bool {
        self.key.as_bytes().ct_eq(key.as_bytes()).into()
    }
}

/// The address a request came from.
#[derive(Clone, Copy, Debug)]
struct Client(IpAddr);

/// The paths of the Admin API.
pub(crate) fn router(admin: Arc<Admin>) -> Router {
    Router::new()
        .route(PREFIX, any(answer))
        .route(&format!("{PREFIX}/{{*rest}}"), any(answer))
        .fallback(unknown)
        .with_state(admin)
}

/// Has the router answer a request that came from `client`.
pub(crate) async fn call(
    mut router: Router,
    client: IpAddr,
    request: http::Request<Incoming>,
) -> Result<Response, Infallible> {
    let (mut parts, body) = request.into_parts();
    // Before the router, which takes a target without a path for any other.
    if let Some(problem) = message::fault(&parts) {
        return Ok(last(problem.answer()).map(Body::new));
    }
    parts.extensions.insert(Client(client));
    router.call(http::Request::from_parts(parts, body)).await
}

async fn answer(State(admin): State<Arc<Admin>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Some(Client(client)) = parts.extensions.get().copied() else {
        return unknown().await.into_response();
    };
    let head = RequestHead::new(parts, client, admin.port);
    let answer = admin::answer(&admin.coordinator, &admin.guard, &head, body).await;
    whole(answer).map(Body::new)
}

async fn unknown() -> Response {
    let body = r#"{"error_msg":"not found"}"#.to_owned();
    let headers = vec![("content-type", "application/json".to_owned())];
    whole(Answer { status: 404, headers, body }).map(Body::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(networks: &[&str]) -> Guard {
        let networks = networks.iter().map(|net| net.parse().expect("a network")).collect();
        Guard { networks, key: "secret".to_owned() }
    }

    #[test]
    fn addresses_outside_the_networks_are_not_allowed() {
        let guard = guard(&["127.0.0.0/8", "::1/128"]);
        for (client, is_allowed) in [
            ("127.0.0.1", true),
            ("127.8.9.10", true),
            ("::1", true),
            ("::ffff:127.0.0.1", true),
            ("10.0.0.1", false),
            ("::ffff:10.0.0.1", false),
            ("::2", false),
        ] {
            let client: IpAddr = client.parse().expect("an address");
            assert_eq!(guard.allows(Some(client)), is_allowed, "{client}");
        }
        assert!(!guard.allows(None));
    }

    #[test]
    fn only_the_key_opens() {
        let guard = guard(&[]);
        assert!(guard.opens("secret"));
        for wrong in ["", "secre", "secret ", "Secret", "secrets"] {
            assert!(!guard.opens(wrong), "{wrong}");
        }
    }
}
