//! Shared limits at the edge: a Durable Object for each key, and the way to it. What is granted is decided in
//! the core; the object lends it a place in memory, a clock and storage.
//!
//! The object answers from memory. What it has counted is written a second after it changed, once for all
//! that came in between: an object that is moved or ends suddenly forgets what was counted since then. When
//! nothing that it knows counts any more, its alarm deletes it.

use splitway_core::limit::account::Account;
use splitway_core::limit::{Grant, Toll};
use splitway_core::problem::Failure;
use splitway_core::serve::within;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use worker::js_sys;
use worker::wasm_bindgen::{self, JsCast, JsValue};
use worker::wasm_bindgen_futures::JsFuture;
use worker::web_sys::{self, RequestInit};
use worker::{Delay, DurableObject, Env, Request, Response, Result, ScheduledTime, State, Storage};
use worker::{durable_object, worker_sys};

use crate::platform::{buffer, now};
use crate::telemetry;

const BINDING: &str = "SPLITWAY_LIMITER";

/// Nobody looks at it: an object is found by its name.
const URL: &str = "https://limiter.internal/";

/// Under which key the account is stored.
const ACCOUNT: &str = "account";

/// How long an object may take before it counts as away.
const TIMEOUT: Duration = Duration::from_secs(1);

/// How long a change waits for others before it is written.
const WRITE_AFTER: Duration = Duration::from_secs(1);

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

/// The object of one key.
#[durable_object(alarm)]
pub(crate) struct Limiter {
    state: State,
    kept: Rc<Kept>,
}

/// What an object knows.
#[derive(Default)]
struct Kept {
    /// Read from the storage by the first event.
    account: RefCell<Option<Account>>,
    /// Whether it is about to be written.
    is_due: Cell<bool>,
    /// Whether an alarm is set. If it rings too early, it is set anew.
    has_alarm: Cell<bool>,
}

impl DurableObject for Limiter {
    fn new(state: State, _: Env) -> Self {
        Self { state, kept: Rc::default() }
    }

    async fn fetch(&self, request: Request) -> Result<Response> {
        let toll = buffer(request.inner().body(), LENGTH_MAX).await.unwrap_or_default();
        let Ok(toll) = serde_json::from_slice::<Toll>(&toll) else {
            return Ok(Response::empty()?.with_status(400));
        };
        self.load().await?;
        let grant = self.kept.with(|account| account.take(&toll, now()));
        self.write_soon();
        Response::from_json(&grant)
    }

    async fn alarm(&self) -> Result<Response> {
        self.load().await?;
        self.kept.has_alarm.set(false);
        self.kept.write(&self.state.storage()).await?;
        Response::empty()
    }
}

impl Limiter {
    /// Reads what was stored, if that was not done yet. No other event comes in between.
    async fn load(&self) -> Result<()> {
        if self.kept.account.borrow().is_some() {
            return Ok(());
        }
        let storage = self.state.storage();
        let stored: Option<String> = storage.get(ACCOUNT).await?;
        self.kept.has_alarm.set(storage.get_alarm().await?.is_some());
        // What cannot be read is of another version.
        let read = |text: String| serde_json::from_str(&text).ok();
        let account = stored.and_then(read).unwrap_or_default();
        self.kept.account.borrow_mut().get_or_insert(account);
        Ok(())
    }

    /// Has what is known written in a while.
    fn write_soon(&self) {
        if self.kept.is_due.replace(true) {
            return;
        }
        let (kept, storage) = (Rc::clone(&self.kept), self.state.storage());
        self.state.wait_until(async move {
            Delay::from(WRITE_AFTER).await;
            kept.is_due.set(false);
            if let Err(error) = kept.write(&storage).await {
                telemetry::limiter_unwritten(&error.to_string());
            }
        });
    }
}

impl Kept {
    fn with<T>(&self, work: impl FnOnce(&mut Account) -> T) -> T {
        work(self.account.borrow_mut().get_or_insert_default())
    }

    /// Writes it and sees to it that it is deleted some time; deletes it if that is now.
    async fn write(&self, storage: &Storage) -> Result<()> {
        let (text, until) = self.with(|account| (serde_json::to_string(account), account.until()));
        if until <= now() {
            self.has_alarm.set(false);
            return storage.delete_all().await;
        }
        storage.put_raw(ACCOUNT, text?).await?;
        if self.has_alarm.replace(true) {
            return Ok(());
        }
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of a date")]
        let date = js_sys::Date::new(&JsValue::from(until.as_millis() as f64));
        storage.set_alarm(ScheduledTime::new(date)).await
    }
}
