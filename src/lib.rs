//! # The Worker shell
//!
//! Lends the effects of Cloudflare's runtime to the core and decides nothing: head in, reply out,
//! bodies as the JS streams they are. The architecture is told in `splitway_core`.
//!
//! Everything here works on `web_sys` types: `worker::Request` maps unknown methods to GET,
//! `worker::Response` loses the reason phrase, and both cost copies.

mod admin;
mod checks;
mod coordinator;
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
use worker::web_sys::{Headers, Request, Response, ResponseInit};
use worker::{Context, Env, Result, ScheduleContext, ScheduledEvent, event};

use crate::platform::{EdgeBody, EdgeHead, EdgePlatform};
use crate::upstream::EdgeResponse;

/// How long a copy may take. What runs behind an answer the runtime ends about 30 seconds after it, and ends
/// futures without dropping them: what a copy holds of its mirror's share would never be given back.
const COPY_MAX: Duration = Duration::from_secs(25);

#[event(fetch)]
async fn fetch(request: Request, env: Env, context: Context) -> Result<Response> {
    let head = EdgeHead::new(&request);
    match admin::way(&head, &env) {
        Way::In => return admin::forward(&request, &head, &env).await,
        Way::Page(answer) | Way::Refused(answer) => return give(&answer),
        Way::Past => {}
    }
    let platform = Rc::new(EdgePlatform::new(env, context));
    let mut served = serve(&*platform, &head, EdgeBody::Sent(request)).await;
    served.entry.announce(|| length(&head, &served.reply));
    if let Some(copy) = served.shadow {
        // It goes its way whether or not the client is still there.
        let (behind, head) = (Rc::clone(&platform), head.detached());
        let copy = copy.at_most(COPY_MAX);
        platform.context().wait_until(async move { shadow(&*behind, &head, copy).await });
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
