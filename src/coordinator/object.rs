//! The coordinator at the edge: what it does is decided in the core; it lends it a database, a clock, an
//! alarm and KV.
//!
//! Between two events the object may be evicted. Whatever is to be done later is therefore due at its
//! alarm, which survives that, and everything the object knows is in its database.

use splitway_core::access::{Access, Caller, KeyHash};
use splitway_core::admin::answer;
use splitway_core::admin::door::Door;
use splitway_core::coordinator::{Command, Coordinator as Ledgers, Done, Refusal};
use splitway_core::fault::Report;
use splitway_core::platform::Control;
use splitway_core::publish::{Publisher, WRITE_MAX, has_news, next_look};
use splitway_core::refresh::LENGTH_MAX;
use splitway_core::register::Register;
use splitway_core::rounds::{Round, line};
use splitway_core::seal::Secret;
use splitway_core::serve::within;
use splitway_core::snapshot::Snapshot;
use splitway_core::sql::SqlStorage;
use splitway_core::status::{Scope, Status, status};
use splitway_core::storage::{DOCUMENT_MAX_AT_EDGE, Retention, StorageError};
use splitway_core::tally::{HOLD, MESSAGE_MAX, Message, Tally};
use splitway_core::{document, head::Head};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;
use worker::durable_object;
use worker::js_sys;
use worker::wasm_bindgen::{self, JsValue};
use worker::web_sys;
use worker::{Delay, DurableObject, Env, Request, Response, Result, ScheduledTime, State};

use super::{CLIENT, COUNTS, NEWS, ROUND};
use crate::database::Database;
use crate::platform::{EdgeHead, buffer, now, secret, setting};
use crate::{admin, give, store, telemetry};

const KEEP_REVISIONS: &str = "SPLITWAY_KEEP_REVISIONS";
const KEEP_DAYS: &str = "SPLITWAY_KEEP_DAYS";

/// After how long a ledger that could not be read is tried again, where something is due.
const UNREAD_RETRY: Duration = Duration::from_secs(60);

/// The object.
#[durable_object(alarm)]
pub(crate) struct Coordinator {
    state: State,
    env: Env,
    door: Door,
    /// Read from the database by the first event.
    owner: RefCell<Option<Owner>>,
    is_without_kv: Cell<bool>,
    secret: Option<Secret>,
}

struct Owner {
    ledgers: Ledgers<SqlStorage<Database>>,
    publisher: Publisher,
    register: Register,
    tally: Tally,
    /// The ledger compiled; as it last did, if it does not any more.
    snapshot: Option<Box<Snapshot>>,
    /// The document as it is published, and its revision.
    text: Option<(u64, Rc<str>)>,
}

impl Owner {
    /// Has the database remember how publishing goes, if anything changed.
    fn keep(&self, is_changed: bool) {
        let keep = || self.publisher.keep(self.ledgers.storage().sql());
        if let Some(Err(error)) = is_changed.then(keep) {
            telemetry::ledger_unavailable(&error.to_string());
        }
    }

    /// Takes over what the ledger compiled to, if it changed.
    fn serve(&mut self, snapshot: Option<Box<Snapshot>>) {
        self.snapshot = snapshot.or_else(|| self.snapshot.take());
    }

    /// Has the database remember what isolates told.
    fn keep_tally(&mut self) -> std::result::Result<(), StorageError> {
        self.tally.keep(self.snapshot.as_deref(), now(), self.ledgers.storage().sql())
    }

    fn text(&mut self) -> Rc<str> {
        let ledger = self.ledgers.ledger();
        match &self.text {
            Some((revision, text)) if *revision == ledger.revision() => Rc::clone(text),
            Some(_) | None => {
                let text: Rc<str> = document::published(ledger).into();
                self.text = Some((ledger.revision(), Rc::clone(&text)));
                text
            }
        }
    }
}

impl DurableObject for Coordinator {
    fn new(state: State, env: Env) -> Self {
        let (door, secret) = (admin::door(&env), secret(&env));
        let (owner, is_without_kv) = (RefCell::new(None), Cell::new(false));
        Self { state, env, door, owner, is_without_kv, secret }
    }

    async fn fetch(&self, request: Request) -> Result<Response> {
        let request = request.inner();
        let head = EdgeHead::naming_client(request, CLIENT);
        let is_first = self.owner.borrow().is_none();
        let told = match head.path() {
            NEWS => self.tell_news(request, &head).await,
            ROUND => self.note_round(request).await,
            COUNTS => self.note_counts(request).await,
            _ => {
                let answer = answer(self, self.door.prefix(), &head, Clone::clone(request)).await;
                give(&answer).map(Response::from)
            }
        };
        if is_first {
            // What is due may be so for another reason than when the alarm was set: KV is bound now.
            self.wake_later().await;
        }
        told
    }

    async fn alarm(&self) -> Result<Response> {
        // An alarm that fails is repeated by the runtime.
        let expired = self.with(|owner| {
            let outcome = owner.ledgers.expire(now());
            owner.serve(outcome.snapshot);
            outcome.answer
        });
        if let Err(refusal) = expired.map_err(|error| error.to_string())? {
            telemetry::unexpired(refusal);
        }
        self.publish().await;
        self.wake_later().await;
        Response::empty()
    }
}

impl Coordinator {
    /// Does something with the ledger, which is read first where that was not done yet.
    fn with<T>(&self, work: impl FnOnce(&mut Owner) -> T) -> std::result::Result<T, StorageError> {
        let mut slot = self.owner.borrow_mut();
        let owner = match &mut *slot {
            Some(owner) => owner,
            None => {
                let owner = self.load().inspect_err(|error| {
                    telemetry::ledger_unavailable(&error.to_string());
                })?;
                slot.insert(owner)
            }
        };
        Ok(work(owner))
    }

    fn load(&self) -> std::result::Result<Owner, StorageError> {
        let database = Database::new(self.state.storage());
        let storage = SqlStorage::open(database, &drawn()?)?;
        let publisher = Publisher::restore(storage.sql())?;
        let register = Register::restore(storage.sql())?;
        let tally = Tally::restore(storage.sql(), now())?;
        // Without a key the door is shut; nobody knows the one that is drawn.
        let own = KeyHash::of(&admin::key(&self.env).map_or_else(drawn, Ok)?);
        let access = Access::new(own, self.door.networks().to_vec());
        let mut report = Report::default();
        let setting = |name| setting(&self.env, name);
        let (revisions, days) = (setting(KEEP_REVISIONS), setting(KEEP_DAYS));
        let retention = Retention::parse(revisions.as_deref(), days.as_deref());
        let retention = retention.unwrap_or_else(|expected| {
            telemetry::ignored("SPLITWAY_KEEP_REVISIONS, SPLITWAY_KEEP_DAYS", expected);
            Retention::default()
        });
        let (ledgers, snapshot) = Ledgers::start(storage, access, retention, &mut report)?;
        if snapshot.is_none() {
            telemetry::ledger_faulty(&report);
        }
        let snapshot = snapshot.map(Box::new);
        Ok(Owner { ledgers, publisher, register, tally, snapshot, text: None })
    }

    /// Writes what is due to KV. That it is under way, and how it went, is remembered.
    async fn publish(&self) {
        let begun = self.with(|owner| {
            let revision = owner.ledgers.ledger().revision();
            let may = self.has_kv() && owner.publisher.begin(revision, now());
            owner.keep(may);
            may.then(|| (revision, owner.text()))
        });
        let Ok(Some((revision, text))) = begun else { return };
        let written = within(store::put(&self.env, &text), Delay::from(WRITE_MAX)).await;
        let kept = self.with(|owner| {
            match written {
                Some(Ok(())) => {
                    owner.publisher.done();
                    telemetry::published(revision, text.len());
                }
                Some(Err(error)) => {
                    owner.publisher.failed();
                    telemetry::unpublished(&error);
                }
                None => {
                    owner.publisher.lost();
                    telemetry::unpublished("KV takes too long");
                }
            }
            owner.keep(true);
        });
        debug_assert!(kept.is_ok(), "it was loaded before");
    }

    /// Whether there is somewhere to publish to; if not, that is said once.
    fn has_kv(&self) -> bool {
        let has_kv = store::is_bound(&self.env);
        if !has_kv && !self.is_without_kv.replace(true) {
            telemetry::unpublished("there is no KV namespace");
        }
        has_kv
    }

    /// Sets the alarm. What was changed and the alarm are durable together, as nothing is awaited in
    /// between.
    async fn wake_later(&self) {
        let look = self.with(|owner| {
            let (ledger, now) = (owner.ledgers.ledger(), now());
            let publication = owner.publisher.due(ledger.revision(), now);
            next_look(publication.filter(|_| self.has_kv()), ledger.next_expiry(), now)
        });
        // A ledger that cannot be read now may be in a minute.
        let later = || Some(now().plus(UNREAD_RETRY));
        let Some(at) = look.unwrap_or_else(|_| later()) else { return };
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of a date")]
        let date = js_sys::Date::new(&JsValue::from(at.as_millis() as f64));
        if let Err(error) = self.state.storage().set_alarm(ScheduledTime::new(date)).await {
            telemetry::ledger_unavailable(&error.to_string());
        }
    }

    async fn tell_news(&self, request: &web_sys::Request, head: &EdgeHead) -> Result<Response> {
        let question = buffer(request.body(), LENGTH_MAX).await.unwrap_or_default();
        // Isolates of an earlier deployment ask for no round.
        let known: Option<u64> = head.query().and_then(|known| known.parse().ok());
        let news = self.with(|owner| {
            let text = has_news(&question, owner.ledgers.ledger()).then(|| owner.text());
            (known.and_then(|known| owner.register.told(known, now())), text)
        });
        match news {
            Ok((None, Some(text))) => Response::ok(&*text),
            Ok((Some(told), text)) => Response::ok(line(&told) + text.as_deref().unwrap_or("")),
            Ok((None, None)) => Ok(Response::empty()?.with_status(204)),
            Err(_) => Ok(Response::empty()?.with_status(503)),
        }
    }

    /// Notes what an isolate counted, and answers when it is written: with what others tell meanwhile,
    /// whoever of them comes first.
    async fn note_counts(&self, request: &web_sys::Request) -> Result<Response> {
        let message = buffer(request.body(), MESSAGE_MAX).await.unwrap_or_default();
        let Ok(message) = serde_json::from_slice::<Message>(&message) else {
            return Ok(Response::empty()?.with_status(400));
        };
        let noted = self.with(|owner| owner.tally.note(message, now()));
        Delay::from(HOLD).await;
        match noted.and_then(|receipt| self.with(Owner::keep_tally)?.map(|()| receipt)) {
            Ok(receipt) => Response::from_json(&receipt),
            Err(error) => {
                telemetry::ledger_unavailable(&error.to_string());
                Ok(Response::empty()?.with_status(503))
            }
        }
    }

    async fn note_round(&self, request: &web_sys::Request) -> Result<Response> {
        let round = buffer(request.body(), LENGTH_MAX).await.unwrap_or_default();
        let Ok(round) = serde_json::from_slice::<Option<Round>>(&round) else {
            return Ok(Response::empty()?.with_status(400));
        };
        let told = self.with(|owner| {
            let Owner { register, ledgers, .. } = owner;
            let sql = ledgers.storage().sql();
            let noted = round.map_or(Ok(()), |round| register.note(&round, sql));
            noted.map(|()| register.all())
        });
        match told.and_then(|told| told) {
            Ok(told) => Response::from_json(&told),
            Err(error) => {
                telemetry::ledger_unavailable(&error.to_string());
                Ok(Response::empty()?.with_status(503))
            }
        }
    }
}

impl Control for Coordinator {
    type Head = EdgeHead;
    type Body = web_sys::Request;

    fn document_max(&self) -> usize {
        DOCUMENT_MAX_AT_EDGE
    }

    fn secret(&self) -> Option<&Secret> {
        self.secret.as_ref()
    }

    async fn status(&self) -> Option<Status> {
        let told = self.with(|owner| {
            let snapshot = owner.snapshot.as_deref()?;
            Some(status(snapshot, owner.tally.totals(), Scope::Edge, now()))
        });
        told.ok().flatten()
    }

    async fn buffer(&self, request: web_sys::Request, limit: usize) -> Option<Vec<u8>> {
        buffer(request.body(), limit).await.ok()
    }

    async fn admit(&self, caller: Caller) -> std::result::Result<Box<str>, Refusal> {
        self.with(|owner| owner.ledgers.admit(&caller, now())).map_err(unreadable)?
    }

    async fn coordinate(
        &self,
        command: Command,
        by: Box<str>,
    ) -> std::result::Result<Done, Refusal> {
        let done = self.with(|owner| {
            let revision = owner.ledgers.ledger().revision();
            let outcome = owner.ledgers.handle(command, &by, now());
            owner.serve(outcome.snapshot);
            (outcome.answer, owner.ledgers.ledger().revision() != revision)
        });
        let (answer, is_changed) = done.map_err(unreadable)?;
        if is_changed {
            self.wake_later().await;
        }
        answer
    }
}

/// The reason is in the log; who has no key yet need not know it.
fn unreadable(_: StorageError) -> Refusal {
    Refusal::Unavailable("the ledger cannot be read".to_owned())
}

/// 128 random bits.
fn drawn() -> std::result::Result<String, StorageError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| StorageError::Unavailable(error.to_string()))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
