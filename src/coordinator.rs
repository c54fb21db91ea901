//! The way to the coordinator at the edge: one Durable Object that owns the ledger, answers the Admin
//! API and publishes to KV. The object itself ([`object`]) is in the other of the Worker's two modules.

#[cfg(feature = "control")]
mod object;
pub(crate) mod tally;

use splitway_core::refresh::LENGTH_MAX;
use splitway_core::rounds::{Round, Told};
use splitway_core::tally::Receipt;
use worker::wasm_bindgen::{JsCast, JsValue};
use worker::wasm_bindgen_futures::JsFuture;
use worker::web_sys::{self, RequestInit};
use worker::{Env, worker_sys};

use crate::platform::buffer;
use crate::telemetry;

const BINDING: &str = "COORDINATOR";
const NAME: &str = "coordinator";

/// The header in which the Worker tells the object where a request comes from; whatever a client says
/// there is replaced.
pub(crate) const CLIENT: &str = "x-splitway-client";

/// Where isolates ask for news. The Worker hands on paths of the Admin API only, so nobody else does.
const NEWS: &str = "/news";
const NEWS_URL: &str = "https://coordinator.internal/news";

/// Where rounds of probes ask what is known of nodes, and report what they found out.
const ROUND: &str = "/round";
const ROUND_URL: &str = "https://coordinator.internal/round";

/// Where isolates tell what they counted.
const COUNTS: &str = "/counts";
const COUNTS_URL: &str = "https://coordinator.internal/counts";

/// The most that it tells, in bytes: a document and how nodes are.
const TOLD_MAX: usize = 2 * LENGTH_MAX;

/// Whether this deployment has a coordinator.
pub(crate) fn is_bound(env: &Env) -> bool {
    env.durable_object(BINDING).is_ok()
}

/// Sends a request to the object.
pub(crate) async fn send(
    env: &Env,
    request: &web_sys::Request,
) -> std::result::Result<web_sys::Response, JsValue> {
    let stub = env.durable_object(BINDING)?.get_by_name(NAME)?;
    let stub: worker_sys::DurableObject = stub.into_rpc();
    let response = JsFuture::from(stub.fetch_with_request(request)?).await?;
    Ok(response.unchecked_into())
}

/// What is new to somebody who asks so and has heard of `round`.
pub(crate) async fn news(
    env: &Env,
    question: &str,
    round: u64,
) -> std::result::Result<Vec<u8>, String> {
    ask(env, &format!("{NEWS_URL}?{round}"), question).await
}

/// Reports what a round found out, if there was one; what is known of all nodes then.
pub(crate) async fn round(env: &Env, round: Option<&Round>) -> std::result::Result<Told, String> {
    let round = serde_json::to_string(&round).map_err(|error| error.to_string())?;
    let told = ask(env, ROUND_URL, &round).await?;
    serde_json::from_slice(&told).map_err(|error| error.to_string())
}

/// Tells what this isolate counted.
pub(crate) async fn count(env: &Env, message: &str) -> std::result::Result<Receipt, String> {
    let told = ask(env, COUNTS_URL, message).await?;
    serde_json::from_slice(&told).map_err(|error| error.to_string())
}

async fn ask(env: &Env, url: &str, body: &str) -> std::result::Result<Vec<u8>, String> {
    let ask = async {
        let init = RequestInit::new();
        init.set_method("POST");
        init.set_body(&body.into());
        send(env, &web_sys::Request::new_with_str_and_init(url, &init)?).await
    };
    let response = ask.await.map_err(|error| telemetry::message(&error))?;
    match response.status() {
        204 => Ok(Vec::new()),
        200 => {
            buffer(response.body(), TOLD_MAX).await.map_err(|_| "what it told broke off".to_owned())
        }
        other => Err(format!("it answered with status {other}")),
    }
}
