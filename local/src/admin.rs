//! The listener of the Admin API: the road to the core's answer.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use http::request::Parts;
use splitway_core::admin::{self, OWN_PREFIX, PAGE, PREFIX};
use splitway_core::problem::{Answer, Problem};
use tower_service::Service;

use crate::coordinator::Handle;
use crate::door::Door;
use crate::front::Fronts;
use crate::listen::{ClientBody, Site, last};
use crate::message;
use crate::platform::RequestHead;
use crate::reply::whole;

/// What the Admin API answers with.
pub(crate) struct Admin {
    pub(crate) coordinator: Handle,
    pub(crate) door: Door,
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
    // Where APISIX has its dashboard.
    for path in [PAGE.to_owned(), format!("{PAGE}/"), format!("{PAGE}/{{*rest}}")] {
        router = router.route(&path, any(page));
    }
    router.fallback(unknown).with_state(admin)
}

/// The Admin API as what a listener serves.
pub(crate) struct Office {
    pub(crate) router: Router,
}

impl Site for Office {
    type Body = Body;

    async fn answer(&self, client: IpAddr, parts: Box<Parts>, body: ClientBody) -> Response {
        let mut parts = *parts;
        // Before the router, which takes a target without a path for any other.
        if let Some(problem) = message::fault(&parts) {
            return last(Self::whole(problem.answer()));
        }
        parts.extensions.insert(Client(client));
        let Ok(response) = self.router.clone().call(http::Request::from_parts(parts, body)).await;
        response
    }

    fn refuse(&self, problem: Problem) -> Answer {
        problem.answer()
    }

    fn whole(answer: Answer) -> Response {
        whole(answer).map(Body::new)
    }
}

async fn answer(State(admin): State<Arc<Admin>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Some(Client(client)) = parts.extensions.get().copied() else {
        return unknown().await.into_response();
    };
    let parts = Box::new(parts);
    let head = RequestHead::new(parts, Some(client), admin.door, &Fronts::default());
    let answer = admin::answer(&admin.coordinator, "", &head, body).await;
    whole(answer).map(Body::new)
}

/// The page at its short path: the same files, under the same rules.
async fn page(admin: State<Arc<Admin>>, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
    let Ok(uri) = format!("{OWN_PREFIX}{target}").parse() else {
        return unknown().await;
    };
    parts.uri = uri;
    answer(admin, Request::from_parts(parts, body)).await
}

async fn unknown() -> Response {
    let body = r#"{"error_msg":"not found"}"#.to_owned();
    let headers = vec![("content-type".into(), "application/json".to_owned())];
    whole(Answer { status: 404, headers, body }).map(Body::new)
}
