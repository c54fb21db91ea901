//! What this isolate counts, told to the coordinator beside its requests: when and what is decided by the
//! core ([`splitway_core::tally`]).

use splitway_core::platform::Platform as _;
use splitway_core::refresh::seconds;
use splitway_core::serve::within;
use splitway_core::tally::Teller;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;
use worker::{Delay, Env};

use crate::platform::{EdgePlatform, behind, now, setting};
use crate::{coordinator, store, telemetry};

const PAUSE_VAR: &str = "SPLITWAY_STATUS_SECONDS";

/// How long the coordinator may take: longer than it holds its answer.
const TIMEOUT: Duration = Duration::from_secs(10);

thread_local! {
    /// Made after the first request; none where there is no coordinator.
    static TELLER: RefCell<Option<Option<Teller>>> = const { RefCell::new(None) };
}

/// Has the isolate tell in a while, if nobody else is about to.
pub(crate) fn tell_later(platform: &Rc<EdgePlatform>) {
    let Some(snapshot) = store::current() else { return };
    let wait = TELLER.with_borrow_mut(|teller| {
        let teller = teller.get_or_insert_with(|| begin(platform)).as_mut();
        teller.and_then(|teller| teller.plan(&snapshot, now(), || platform.draw()))
    });
    let Some(wait) = wait else { return };
    let own = Rc::clone(platform);
    behind(platform.context(), async move {
        Delay::from(wait).await;
        tell(own.env()).await;
    });
}

fn begin(platform: &EdgePlatform) -> Option<Teller> {
    let env = platform.env();
    let pause = seconds(setting(env, PAUSE_VAR).as_deref()).unwrap_or_else(|expected| {
        telemetry::ignored(PAUSE_VAR, expected);
        None
    });
    let name = format!("{:016x}{:016x}", platform.draw(), platform.draw());
    coordinator::is_bound(env).then(|| Teller::new(&name, pause))
}

async fn tell(env: &Env) {
    let Some(snapshot) = store::current() else { return };
    let message = TELLER.with_borrow_mut(|teller| {
        let message = teller.as_mut()?.as_mut()?.message(&snapshot, now())?;
        Some((message.number, serde_json::to_string(message).ok()?))
    });
    let Some((number, text)) = message else { return };
    let told = within(coordinator::count(env, &text), Delay::from(TIMEOUT)).await;
    let told = told.unwrap_or_else(|| Err("it takes too long".to_owned()));
    let error = told.as_ref().err().cloned();
    let is_news = TELLER.with_borrow_mut(|teller| {
        let teller = teller.as_mut().and_then(Option::as_mut);
        teller.is_some_and(|teller| teller.answered(number, told.ok(), now()))
    });
    if let (Some(error), true) = (error, is_news) {
        telemetry::untold(&error);
    }
}
