//! The way to the shared limits at the edge: a Durable Object for each key ([`object`]).

#[cfg(feature = "serve")]
mod object;

use splitway_core::limit::{Grant, Toll};
use splitway_core::problem::Failure;
use splitway_core::serve::within;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use worker::wasm_bindgen::{JsCast, JsValue};
use worker::wasm_bindgen_futures::JsFuture;
use worker::web_sys::{self, RequestInit};
use worker::worker_sys;
use worker::{Delay, Env};

use crate::platform::buffer;
use crate::telemetry;

const BINDING: &str = "SPLITWAY_LIMITER";

/// Nobody looks at it: an object is found by its name.
const URL: &str = "https://limiter.internal/";

/// How long an object may take before it counts as away.
const TIMEOUT: Duration = Duration::from_secs(1);

/// The most bytes of a toll or a grant.
const LENGTH_MAX: usize = 4096;

/// Has the object of its key grant a toll.
pub(crate) async fn toll(env: &Env, toll: &Toll) -> std::result::Result<Grant, Failure> {
    /// Whether it was said that there are none, which is the same for all requests of an isolate.
    static IS_SAID: AtomicBool = AtomicBool::new(false);
    let Ok(objects) = env.durable_object(BINDING) else {
        if !IS_SAID.swap(true, Ordering::Relaxed) {
            telemetry::limiter_unreachable("there is no Durable Object bound as SPLITWAY_LIMITER");
        }
        return Err(Failure::DestinationUnavailable);
    };
    let ask = async {
        let stub: worker_sys::DurableObject = objects.get_by_name(&toll.key)?.into_rpc();
        let init = RequestInit::new();
        init.set_method("POST");
        init.set_body(&serde_json::to_string(toll).unwrap_or_default().into());
        let request = web_sys::Request::new_with_str_and_init(URL, &init)?;
        let response = JsFuture::from(stub.fetch_with_request(&request)?).await?;
        let response: web_sys::Response = response.unchecked_into();
        let told = buffer(response.body(), LENGTH_MAX).await;
        Ok::<_, JsValue>(serde_json::from_slice(&told.unwrap_or_default()))
    };
    let failure = match within(ask, Delay::from(TIMEOUT)).await {
        Some(Ok(Ok(grant))) => return Ok(grant),
        Some(Ok(Err(_))) => "what it told is no grant".to_owned(),
        Some(Err(error)) => telemetry::message(&error),
        None => {
            telemetry::limiter_unreachable("it does not answer in time");
            return Err(Failure::ConnectionTimeout);
        }
    };
    telemetry::limiter_unreachable(&failure);
    Err(Failure::DestinationUnavailable)
}
