//! The configuration at the edge: one document in KV, held by the isolate as the core's
//! [`Held`] says.

use splitway_core::refresh::{Held, Plan};
use splitway_core::serve::within;
use splitway_core::snapshot::Snapshot;
use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;
use worker::{Context, Delay, Env, js_sys};

use crate::{platform, telemetry};

const BINDING: &str = "SPLITWAY";
const KEY: &str = "config";
const REFRESH_VAR: &str = "SPLITWAY_REFRESH_SECONDS";
const REFRESH_DEFAULT: Duration = Duration::from_secs(30);

/// For how long KV's own caches may hold a value: the least it takes, in seconds.
const CACHE_TTL_S: u64 = 30;

/// How long a read beside a request may take.
const READ_MAX: Duration = Duration::from_secs(10);

thread_local! {
    static HELD: RefCell<Held> = RefCell::new(Held::default());
    static REFRESH: RefCell<Option<Duration>> = const { RefCell::new(None) };
}

/// The last good Snapshot, or `None` where there never was one.
pub(crate) async fn snapshot(env: &Env, context: &Context) -> Option<Arc<Snapshot>> {
    let refresh = refresh_time(env);
    match HELD.with_borrow_mut(|held| held.plan(platform::now(), refresh)) {
        Plan::Serve(snapshot) => snapshot,
        Plan::ServeAndRead(snapshot) => {
            let env = env.clone();
            context.wait_until(async move { read(&env, READ_MAX).await });
            Some(snapshot)
        }
        Plan::ReadFirst(limit) => {
            read(env, limit).await;
            HELD.with_borrow(Held::snapshot)
        }
    }
}

/// Reads KV and takes over what it says.
async fn read(env: &Env, limit: Duration) {
    let answer = within(document(env), Delay::from(limit)).await;
    let now = platform::now();
    match answer.unwrap_or_else(|| Err("KV takes too long".to_owned())) {
        Ok(text) => {
            let taken = HELD.with_borrow_mut(|held| held.take(text.as_deref(), now, phase()));
            telemetry::taken(&taken);
        }
        Err(error) => {
            HELD.with_borrow_mut(|held| held.miss(now));
            telemetry::unread(&error);
        }
    }
}

async fn document(env: &Env) -> Result<Option<String>, String> {
    let kv = env.kv(BINDING).map_err(|error| error.to_string())?;
    let text = kv.get(KEY).cache_ttl(CACHE_TTL_S).text().await;
    text.map_err(|error| error.to_string())
}

/// The setting, read once per isolate.
fn refresh_time(env: &Env) -> Duration {
    if let Some(known) = REFRESH.with_borrow(|refresh| *refresh) {
        return known;
    }
    let text = env.var(REFRESH_VAR).ok().map(|var| var.to_string());
    let refresh = match text.as_deref().map(str::parse) {
        Some(Ok(secs @ 1..=86_400)) => Duration::from_secs(secs),
        Some(_) => {
            telemetry::ignored(REFRESH_VAR, "expected seconds from 1 to 86400");
            REFRESH_DEFAULT
        }
        None => REFRESH_DEFAULT,
    };
    REFRESH.set(Some(refresh));
    refresh
}

/// Where the walks of this isolate start: anywhere, so that many short walks do not all begin with
/// the same branch.
fn phase() -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 2^53")]
    let phase = (js_sys::Math::random() * 9_007_199_254_740_992.0) as u64;
    phase
}
