//! What guards have got for them: a GET beside the requests.

use splitway_core::auth::{Errand, KEY_SET_MAX};
use splitway_core::problem::Failure;
use splitway_core::serve::{EFFECT_TIMEOUT, run};
use worker::wasm_bindgen::{JsCast, JsValue};
use worker::wasm_bindgen_futures::JsFuture;
use worker::web_sys::{
    AbortController, RequestCache, RequestInit, RequestRedirect, Response, WorkerGlobalScope,
};
use worker::{Context, Delay, js_sys};

use crate::platform::{self, behind, buffer};
use crate::telemetry;

/// Runs an errand, which goes on when its request is answered, or its client gone.
pub(crate) fn begin(errand: Errand, context: &Context) {
    behind(context, async move {
        let url = errand.url().to_owned();
        let deadline = Delay::from(EFFECT_TIMEOUT);
        let ran = run(errand, get(&url), deadline, platform::now).await;
        if let Err(why) = ran {
            telemetry::keys_not_fetched(&url, &why.to_string());
        }
    });
}

/// What is at a URL.
async fn get(url: &str) -> Result<Vec<u8>, Failure> {
    let failed = |_: JsValue| Failure::DestinationUnavailable;
    let aborting = Aborting(AbortController::new().map_err(failed)?);
    let init = RequestInit::new();
    init.set_method("GET");
    init.set_redirect(RequestRedirect::Manual);
    init.set_signal(Some(&aborting.0.signal()));
    // Keys that were taken back must not come from anywhere else.
    init.set_cache(RequestCache::NoStore);
    let global: WorkerGlobalScope = js_sys::global().unchecked_into();
    let fetching = global.fetch_with_str_and_init(url, &init);
    let response: Response = JsFuture::from(fetching).await.map_err(failed)?.unchecked_into();
    if response.status() != 200 {
        return Err(Failure::DestinationUnavailable);
    }
    buffer(response.body(), KEY_SET_MAX).await.map_err(|_| Failure::HttpProtocolError)
}

/// Ends a `fetch`, or what is left of its body, when dropped.
struct Aborting(AbortController);

impl Drop for Aborting {
    fn drop(&mut self) {
        self.0.abort();
    }
}
