//! The configuration at the edge: one document in KV, or newer from the coordinator, held by the
//! isolate as the core's [`Held`] says.

use splitway_core::publish::question;
use splitway_core::refresh::{Found, Held, LENGTH_MAX, Pace, Plan, Reads, seconds};
use splitway_core::rounds::parts;
use splitway_core::serve::{both, within};
use splitway_core::snapshot::Snapshot;
use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;
use worker::js_sys::{self, ArrayBuffer, Object, Promise, Reflect, Uint8Array};
use worker::wasm_bindgen::{JsCast, JsValue};
use worker::wasm_bindgen_futures::JsFuture;
use worker::{Context, Delay, Env};

use crate::platform::{self, behind, call, setting};
use crate::{coordinator, telemetry};

const BINDING: &str = "SPLITWAY";
const KEY: &str = "config";
const REFRESH_VAR: &str = "SPLITWAY_REFRESH_SECONDS";
const REFRESH_DEFAULT: Duration = Duration::from_secs(30);
const CHECK_VAR: &str = "SPLITWAY_CHECK_SECONDS";

/// For how long KV's own caches may hold a value: the least it takes, in seconds.
const CACHE_TTL_S: u32 = 30;

thread_local! {
    static HELD: RefCell<Held> = RefCell::new(Held::default());
    static PACE: RefCell<Option<Pace>> = const { RefCell::new(None) };
}

/// The last good Snapshot, or `None` where there never was one.
pub(crate) async fn snapshot(env: &Env, context: &Context) -> Option<Arc<Snapshot>> {
    let pace = pace(env);
    match HELD.with_borrow_mut(|held| held.plan(platform::now(), pace)) {
        Plan::Serve(snapshot) => snapshot,
        Plan::ServeAndRead(snapshot, reads) => {
            let env = env.clone();
            behind(context, async move { read(&env, reads).await });
            Some(snapshot)
        }
        Plan::ReadFirst(reads) => {
            read(env, reads).await;
            HELD.with_borrow(Held::snapshot)
        }
    }
}

/// The same for somebody who has time: what is due is read first.
pub(crate) async fn latest(env: &Env) -> Option<Arc<Snapshot>> {
    let pace = pace(env);
    let plan = HELD.with_borrow_mut(|held| held.plan(platform::now(), pace));
    if let Plan::ServeAndRead(_, reads) | Plan::ReadFirst(reads) = plan {
        read(env, reads).await;
    }
    HELD.with_borrow(Held::snapshot)
}

/// What serves now, if anything does; nothing is read.
pub(crate) fn current() -> Option<Arc<Snapshot>> {
    HELD.with_borrow(Held::snapshot)
}

/// Whether isolates ask the coordinator what is new.
pub(crate) fn is_asking(env: &Env) -> bool {
    pace(env).check.is_some()
}

/// Writes a document to KV.
pub(crate) async fn put(env: &Env, text: &str) -> Result<(), String> {
    let put = async {
        let promise: Promise = call(&kv(env)?, "put", &[KEY.into(), text.into()])?.unchecked_into();
        JsFuture::from(promise).await
    };
    put.await.map(drop).map_err(|error| telemetry::message(&error))
}

/// Whether there is a KV namespace.
pub(crate) fn is_bound(env: &Env) -> bool {
    kv(env).is_ok_and(|kv| kv.is_object())
}

fn kv(env: &Env) -> Result<JsValue, JsValue> {
    Reflect::get(env, &BINDING.into())
}

async fn read(env: &Env, reads: Reads) {
    let kv = async {
        if let Some(limit) = reads.kv {
            read_kv(env, limit).await;
        }
    };
    let coordinator = async {
        if let Some(limit) = reads.coordinator {
            ask_coordinator(env, limit).await;
        }
    };
    both(kv, coordinator).await;
}

/// Reads KV and takes over what it says.
async fn read_kv(env: &Env, limit: Duration) {
    let answer = within(document(env), Delay::from(limit)).await;
    let answer = answer.unwrap_or_else(|| Err("KV takes too long".into()));
    let now = platform::now();
    let take = |found: Found<'_>| {
        let taken = HELD.with_borrow_mut(|held| held.take(found, now, phase()));
        telemetry::taken(&taken);
    };
    match answer {
        Ok(None) => take(Found::Nothing),
        // What is too long is not brought over from JavaScript.
        Ok(Some(bytes)) => match usize::try_from(bytes.length()) {
            Ok(length) if length <= LENGTH_MAX => take(Found::Document(&bytes.to_vec())),
            Ok(length) => take(Found::TooLong(length)),
            Err(_) => take(Found::TooLong(usize::MAX)),
        },
        Err(error) => {
            HELD.with_borrow_mut(|held| held.miss(now));
            telemetry::unread(&telemetry::message(&error));
        }
    }
}

/// The value in KV, still in JavaScript's hands.
async fn document(env: &Env) -> Result<Option<Uint8Array>, JsValue> {
    let options = Object::new();
    Reflect::set(&options, &"type".into(), &"arrayBuffer".into())?;
    Reflect::set(&options, &"cacheTtl".into(), &CACHE_TTL_S.into())?;
    let promise: Promise = call(&kv(env)?, "get", &[KEY.into(), options.into()])?.unchecked_into();
    let value = JsFuture::from(promise).await?;
    let bytes = |value: JsValue| Uint8Array::new(&value.unchecked_into::<ArrayBuffer>());
    Ok(if value.is_null() { None } else { Some(bytes(value)) })
}

/// Asks the coordinator for something newer and takes it over.
async fn ask_coordinator(env: &Env, limit: Duration) {
    let (question, round) = HELD.with_borrow(|held| (question(held.wanted()), held.round()));
    let answer = within(coordinator::news(env, &question, round), Delay::from(limit)).await;
    match answer.unwrap_or_else(|| Err("it takes too long".to_owned())) {
        Ok(told) => {
            let (round, document) = parts(&told);
            let found = document.map_or(Found::Nothing, Found::Document);
            let taken = HELD.with_borrow_mut(|held| held.take_told(found, phase()));
            if let Some(round) = round {
                HELD.with_borrow_mut(|held| held.take_round(&round));
            }
            telemetry::taken(&taken);
        }
        Err(error) => {
            if HELD.with_borrow_mut(Held::miss_told) {
                telemetry::unchecked(&error);
            }
        }
    }
}

/// The settings, read once per isolate.
fn pace(env: &Env) -> Pace {
    if let Some(known) = PACE.with_borrow(|pace| *pace) {
        return known;
    }
    let read = |name: &str| {
        let read = seconds(setting(env, name).as_deref());
        read.unwrap_or_else(|expected| {
            telemetry::ignored(name, expected);
            None
        })
    };
    let mut check = read(CHECK_VAR);
    if check.is_some() && !coordinator::is_bound(env) {
        telemetry::ignored(CHECK_VAR, "there is no coordinator to ask");
        check = None;
    }
    let pace = Pace { refresh: read(REFRESH_VAR).unwrap_or(REFRESH_DEFAULT), check };
    PACE.set(Some(pace));
    pace
}

/// Where the walks of this isolate start: anywhere, so that many short walks do not all begin with
/// the same branch.
fn phase() -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 2^53")]
    let phase = (js_sys::Math::random() * 9_007_199_254_740_992.0) as u64;
    phase
}
