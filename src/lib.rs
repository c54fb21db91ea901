//! # The Worker shell
//!
//! Lends the effects of Cloudflare's runtime to the core and decides nothing: head in, reply out,
//! bodies as the JS streams they are. The architecture is told in `splitway_core`.
//!
//! It is built twice, into two wasm modules of one upload. The feature `serve` makes the one that every
//! isolate loads: it answers requests. The feature `control` makes the other, which `src/index.js` loads
//! where it is asked for: the coordinator and the page. With both, one module has everything.
//!
//! Everything here works on `web_sys` types: `worker::Request` maps unknown methods to GET,
//! `worker::Response` loses the reason phrase, and both cost copies.

// What both modules are made of is not all used by each.
#![cfg_attr(not(all(feature = "serve", feature = "control")), allow(unused))]

mod admin;
mod checks;
mod coordinator;
#[cfg(feature = "control")]
mod database;
mod fetch;
mod limiter;
mod platform;
mod store;
mod telemetry;
mod upstream;
mod verify;

use std::rc::Rc;
use std::time::Duration;

use splitway_core::admin::door::Way;
use splitway_core::head::{Head, ResponseHead};
use splitway_core::problem::Answer;
use splitway_core::serve::{Reply, serve, shadow};
use splitway_core::time::Timestamp;
use worker::js_sys::Promise;
use worker::wasm_bindgen::JsValue;
use worker::wasm_bindgen::prelude::wasm_bindgen;
use worker::web_sys::{Headers, Request, Response, ResponseInit};
use worker::{
    Context, Env, Result, ScheduleContext, ScheduledEvent, console_error, event, worker_sys,
};

use crate::platform::{EdgeBody, EdgeHead, EdgePlatform, behind, road};
use crate::upstream::EdgeResponse;

/// How long a copy may take. What runs behind an answer the runtime ends about 30 seconds after it, and ends
/// futures without dropping them: what a copy holds of its mirror's share would never be given back.
const COPY_MAX: Duration = Duration::from_secs(25);

/// Answers a request. This is what `#[event(fetch)]` would make, but for who polls it.
#[wasm_bindgen(wasm_bindgen = worker::wasm_bindgen)]
pub fn fetch(request: Request, env: Env, context: worker_sys::Context) -> Promise {
    road::go(async move {
        let answered = attend(request, env, Context::new(context)).await;
        let failed = |error: worker::Error| {
            console_error!("{error}");
            let init = ResponseInit::new();
            init.set_status(500);
            Response::new_with_opt_str_and_init(Some("INTERNAL SERVER ERROR"), &init)
        };
        answered.or_else(failed).map_or(JsValue::UNDEFINED, Into::into)
    })
}

/// Goes where a request goes.
async fn attend(request: Request, env: Env, context: Context) -> Result<Response> {
    let head = EdgeHead::new(&request);
    match admin::way(&head, &env) {
        Way::In => admin::forward(&request, &head, &env).await,
        #[cfg(feature = "control")]
        Way::Page(path) => give(&splitway_core::page::answer(&path, &head)),
        #[cfg(not(feature = "control"))]
        Way::Page(_) => admin::show(&request, &env, &context).await,
        Way::Refused(answer) => give(&answer),
        #[cfg(feature = "serve")]
        Way::Past => answer(request, head, env, context).await,
        // Nobody asks this module for that.
        #[cfg(not(feature = "serve"))]
        Way::Past => give(&splitway_core::problem::Problem::NoRoute.answer()),
    }
}

/// Serves a request that is for the routes.
async fn answer(request: Request, head: EdgeHead, env: Env, context: Context) -> Result<Response> {
    let platform = Rc::new(EdgePlatform::new(env, context));
    let mut served = serve(&*platform, &head, EdgeBody::Sent(request)).await;
    served.entry.announce(|| length(&head, &served.reply));
    if let Some(copy) = served.shadow {
        // It goes its way whether or not the client is still there.
        let (own, head) = (Rc::clone(&platform), head.detached());
        let copy = copy.at_most(COPY_MAX);
        behind(platform.context(), async move { shadow(&*own, &head, copy).await });
    }
    coordinator::tally::tell_later(&platform);
    let given = match served.reply {
        Reply::Relay(response, relay) => response.relay(&relay).map_err(Into::into),
        Reply::Own(answer, _) => give(&answer),
    };
    // The runtime relays the body, and nobody here hears of its end.
    platform.tell_ends();
    given
}

/// How long the body of an answer is to be, where that is said.
fn length(head: &EdgeHead, reply: &Reply<EdgeResponse>) -> Option<u64> {
    match reply {
        _ if head.method() == "HEAD" => Some(0),
        Reply::Relay(response, _) => response.header("content-length")?.parse().ok(),
        Reply::Own(answer, _) => u64::try_from(answer.body.len()).ok(),
    }
}

/// A round of health checks, each minute.
#[cfg(feature = "serve")]
#[event(scheduled)]
async fn scheduled(event: ScheduledEvent, env: Env, _: ScheduleContext) {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a date in ms")]
    let at = Timestamp::from_millis(event.schedule() as u64);
    checks::round(&env, at).await;
}

/// The answer as a response.
fn give(answer: &Answer) -> Result<Response> {
    let headers = Headers::new()?;
    for (name, value) in &answer.headers {
        headers.append(name, value)?;
    }
    let init = ResponseInit::new();
    init.set_status(answer.status);
    init.set_headers(&headers);
    Ok(Response::new_with_opt_str_and_init(Some(&answer.body), &init)?)
}
