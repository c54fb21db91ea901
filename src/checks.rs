//! Rounds of active health checks, begun by a cron trigger. Which nodes are probed, and what results
//! mean, is decided by the core ([`splitway_core::rounds`]); the coordinator keeps what was found out.

use splitway_core::checks::Probe;
use splitway_core::checkup::checkups;
use splitway_core::rounds::{Errand, Finding, Round, changes, errands};
use splitway_core::serve::{both, within};
use splitway_core::time::Timestamp;
use std::cell::RefCell;
use worker::js_sys;
use worker::wasm_bindgen::{JsCast, JsValue};
use worker::wasm_bindgen_futures::JsFuture;
use worker::web_sys::{
    AbortController, Headers, RequestInit, RequestRedirect, Response, WorkerGlobalScope,
};
use worker::{Delay, Env};

use crate::{coordinator, store, telemetry};

/// One round. It costs nothing but a look at the configuration where no nodes are checked.
/// `at` is when it was to begin.
pub(crate) async fn round(env: &Env, at: Timestamp) {
    if !coordinator::is_bound(env) {
        return telemetry::unprobed("there is no coordinator to tell");
    }
    let Some(snapshot) = store::latest(env).await else { return };
    if checkups(&snapshot).is_empty() {
        return;
    }
    if !store::is_asking(env) {
        return telemetry::unprobed("without SPLITWAY_CHECK_SECONDS nobody would hear of it");
    }
    let told = async {
        let before = coordinator::round(env, None).await?;
        let found = probe_all(errands(&snapshot, &before, at)).await;
        let round = Round { at: at.as_millis(), found };
        let after = coordinator::round(env, Some(&round)).await?;
        Ok::<_, String>((before, after))
    };
    match told.await {
        Ok((before, after)) => {
            changes(&before, &after)
                .iter()
                .for_each(|(node, is_up)| telemetry::turned(node, *is_up));
        }
        Err(error) => telemetry::unchecked(&error),
    }
}

/// Sends all probes, six at once: a Worker has no more connections that wait for a head.
async fn probe_all(errands: Vec<Errand>) -> Vec<Finding> {
    let found = RefCell::new(Vec::with_capacity(errands.len()));
    let waiting = RefCell::new(errands.into_iter());
    let lane = || async {
        loop {
            let next = waiting.borrow_mut().next();
            let Some(errand) = next else { return };
            let finding = errand.finding(probe(&errand).await);
            found.borrow_mut().push(finding);
        }
    };
    let pair = || both(lane(), lane());
    both(pair(), both(pair(), pair())).await;
    found.into_inner()
}

/// Sends a probe; what comes after the head of the response is not waited for.
async fn probe(errand: &Errand) -> Probe {
    let Ok(controller) = AbortController::new() else { return Probe::TcpFailure };
    let answer = async {
        let promise = start(errand, &controller)?;
        let response: Response = JsFuture::from(promise).await?.unchecked_into();
        Ok::<_, JsValue>(response.status())
    };
    let probe = match within(answer, Delay::from(errand.timeout)).await {
        Some(Ok(status)) => Probe::Status(status),
        Some(Err(_)) => Probe::TcpFailure,
        None => Probe::Timeout,
    };
    // Nobody reads the body, which would hold the connection.
    controller.abort();
    probe
}

fn start(errand: &Errand, controller: &AbortController) -> Result<js_sys::Promise, JsValue> {
    let headers = Headers::new()?;
    for (name, value) in &errand.headers {
        headers.append(name, value)?;
    }
    let init = RequestInit::new();
    init.set_method(errand.method.as_str());
    init.set_headers(&headers);
    init.set_redirect(RequestRedirect::Manual);
    init.set_signal(Some(&controller.signal()));
    // An answer of yesterday says nothing of today.
    init.set_cache(worker::web_sys::RequestCache::NoStore);
    if let Some(body) = &errand.body {
        init.set_body(&body.into());
    }
    let global: WorkerGlobalScope = js_sys::global().unchecked_into();
    Ok(global.fetch_with_str_and_init(&errand.url, &init))
}
