//! The door of the Admin API at the edge: the core says which requests come in, and these are handed
//! to the coordinator.

use splitway_core::admin::door::{Door, Settings, Way, unreachable};
use splitway_core::head::Head;
use std::cell::RefCell;
use std::rc::Rc;
#[cfg(not(feature = "control"))]
use worker::wasm_bindgen::{JsCast, prelude::wasm_bindgen};
use worker::web_sys::{Request, Response};
use worker::{Env, Result};

use crate::coordinator::{self, CLIENT};
use crate::platform::{EdgeHead, setting};
use crate::{give, telemetry};

const KEY: &str = "ADMIN_KEY";
const PREFIX: &str = "SPLITWAY_ADMIN_PREFIX";
const NETWORKS: &str = "SPLITWAY_ALLOW_ADMIN";

thread_local! {
    /// Made with the first request; the settings are those of a deployment, as is the isolate.
    static DOOR: RefCell<Option<Rc<Door>>> = const { RefCell::new(None) };
    static IS_TOLD: RefCell<bool> = const { RefCell::new(false) };
}

/// Where a request goes.
pub(crate) fn way(head: &EdgeHead, env: &Env) -> Way {
    let known = DOOR.with_borrow(Clone::clone);
    let door = known.unwrap_or_else(|| {
        let door = Rc::new(door(env));
        DOOR.set(Some(Rc::clone(&door)));
        door
    });
    let way = door.way(head);
    if matches!(way, Way::Refused(_)) && !door.reasons().is_empty() && !IS_TOLD.replace(true) {
        telemetry::admin_off(door.reasons());
    }
    way
}

/// The door as the settings have it.
pub(crate) fn door(env: &Env) -> Door {
    Door::new(&Settings {
        prefix: setting(env, PREFIX).as_deref(),
        networks: setting(env, NETWORKS).as_deref(),
        key: key(env).as_deref(),
        has_coordinator: coordinator::is_bound(env),
    })
}

/// The admin key.
pub(crate) fn key(env: &Env) -> Option<String> {
    // What comes from a file often ends in a line feed.
    setting(env, KEY).map(|key| key.trim().to_owned()).filter(|key| !key.is_empty())
}

/// Hands a request to the coordinator, with the client's address as it is known here.
pub(crate) async fn forward(request: &Request, head: &EdgeHead, env: &Env) -> Result<Response> {
    let carrier = Request::new_with_request(request)?;
    carrier.headers().delete(CLIENT)?;
    if let Some(client) = head.client() {
        carrier.headers().set(CLIENT, &client.to_string())?;
    }
    match coordinator::send(env, &carrier).await {
        Ok(response) => Ok(response),
        Err(error) => {
            telemetry::unchecked(&telemetry::message(&error));
            give(&unreachable())
        }
    }
}

#[cfg(not(feature = "control"))]
#[wasm_bindgen(wasm_bindgen = worker::wasm_bindgen, module = "/src/admin/show.js")]
extern "C" {
    fn show_file(
        request: &Request,
        env: &worker::wasm_bindgen::JsValue,
        context: &worker::wasm_bindgen::JsValue,
    ) -> worker::js_sys::Promise;
}

/// Has the other module answer a request for a file of the page.
#[cfg(not(feature = "control"))]
pub(crate) async fn show(
    request: &Request,
    env: &Env,
    context: &worker::Context,
) -> Result<Response> {
    let shown = show_file(request, env, context.as_ref());
    Ok(worker::wasm_bindgen_futures::JsFuture::from(shown).await?.unchecked_into())
}
