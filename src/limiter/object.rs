//! The object of one key of shared limits: what is granted is decided in the core; it lends it a place in
//! memory, a clock and storage.
//!
//! The object answers from memory. What it has counted is written a second after it changed, once for all
//! that came in between: an object that is moved or ends suddenly forgets what was counted since then. When
//! nothing that it knows counts any more, its alarm deletes it.

use splitway_core::limit::Toll;
use splitway_core::limit::account::Account;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;
use worker::durable_object;
use worker::js_sys;
use worker::wasm_bindgen::{self, JsValue};
use worker::{Delay, DurableObject, Env, Request, Response, Result, ScheduledTime, State, Storage};

use super::LENGTH_MAX;
use crate::platform::{buffer, now};
use crate::telemetry;

/// Under which key the account is stored.
const ACCOUNT: &str = "account";

/// How long a change waits for others before it is written.
const WRITE_AFTER: Duration = Duration::from_secs(1);

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
        let read = |text: String| serde_json::from_slice(text.as_bytes()).ok();
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
