//! The listener of the Admin API: the road to the core's answer.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use hyper::body::Incoming;
use splitway_core::admin::{self, OWN_PREFIX, PREFIX};
use splitway_core::problem::Answer;
use tower_service::Service;

use crate::coordinator::Handle;
use crate::front::Fronts;
use crate::message;
use crate::platform::RequestHead;
use crate::reply::{last, whole};

/// What the Admin API answers with.
pub(crate) struct Admin {
    pub(crate) coordinator: Handle,
    pub(crate) port: u16,
}

/// The address a request came from.
#[derive(Clone, Copy, Debug)]
struct Client(IpAddr);

/// The paths of the Admin API.
pub(crate) fn router(admin: Arc<Admin>) -> Router {
    let mut router = Router::new();
    for prefix in [PREFIX, OWN_PREFIX] {
        router = router.route(prefix, any(answer)).route(&format!("{prefix}/"), any(answer));
        router = router.route(&format!("{prefix}/{{*rest}}"), any(answer));
    }
    router.fallback(unknown).with_state(admin)
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
    let head = RequestHead::new(parts, client, admin.port, &Fronts::default());
    let answer = admin::answer(&admin.coordinator, "", &head, body).await;
    whole(answer).map(Body::new)
}

async fn unknown() -> Response {
    let body = r#"{"error_msg":"not found"}"#.to_owned();
    let headers = vec![("content-type", "application/json".to_owned())];
    whole(Answer { status: 404, headers, body }).map(Body::new)
}
