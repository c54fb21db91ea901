//! The configuration at the edge: one document in KV, its last good Snapshot kept by the isolate.
//!
//! | age of what the isolate holds    | what a request does                                        |
//! |----------------------------------|------------------------------------------------------------|
//! | below the refresh time           | serves from it                                             |
//! | below twice the refresh time     | serves from it; one request starts a refresh beside it     |
//! | above (the isolate was idle)     | reads KV itself, then serves from what it has              |
//! | nothing held                     | reads KV itself                                            |
//!
//! So a request never waits for another's promise (the runtime would cancel it), and KV is read about
//! once per isolate and refresh time. While KV answers, nothing is served that is older than twice
//! the refresh time; KV itself adds its own delay (a minute or more, says its documentation).

use splitway_core::fault::Report;
use splitway_core::snapshot::{Revision, Snapshot, compile_json};
use splitway_core::time::Timestamp;
use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;
use worker::{Context, Env, js_sys};

use crate::{platform, telemetry};

const BINDING: &str = "SPLITWAY";
const KEY: &str = "config";
const REFRESH_VAR: &str = "SPLITWAY_REFRESH_SECONDS";
const REFRESH_DEFAULT: Duration = Duration::from_secs(30);

/// The shortest time KV lets its own caches hold a value.
const CACHE_TTL_MIN: Duration = Duration::from_secs(30);

/// For how long a read that was started or has failed keeps others from reading too. A request that
/// reads may be killed, so the reservation ends by itself.
const RESERVATION: Duration = Duration::from_secs(1);

thread_local! {
    static HELD: RefCell<Held> = RefCell::new(Held::default());
}

/// What the isolate holds.
#[derive(Default)]
struct Held {
    refresh: Option<Duration>,
    snapshot: Option<Arc<Snapshot>>,
    /// The document last read, good or not: it is compiled once.
    seen: Option<Revision>,
    /// When KV last answered.
    read_at: Timestamp,
    /// Until when nobody else should read.
    reserved_until: Timestamp,
}

/// What a request should do.
enum Plan {
    Serve(Option<Arc<Snapshot>>),
    ServeAndRefresh(Arc<Snapshot>),
    ReadFirst,
}

impl Held {
    fn plan(&mut self, now: Timestamp, refresh: Duration) -> Plan {
        let age = now.since(self.read_at);
        let is_reserved = now < self.reserved_until;
        match &self.snapshot {
            Some(snapshot) if age >= refresh && age < refresh * 2 && !is_reserved => {
                self.reserved_until = later(now, RESERVATION);
                Plan::ServeAndRefresh(Arc::clone(snapshot))
            }
            held if is_reserved || (held.is_some() && age < refresh * 2) => {
                Plan::Serve(held.clone())
            }
            Some(_) | None => Plan::ReadFirst,
        }
    }

    /// Takes over what KV answered; a document with faults changes nothing.
    fn take(&mut self, text: Option<&str>, now: Timestamp) {
        self.read_at = now;
        let Some(text) = text else {
            self.reserved_until = later(now, RESERVATION);
            return;
        };
        let revision = Revision::of_text(text);
        if self.seen.as_ref() == Some(&revision) {
            return;
        }
        let mut report = Report::default();
        if let Some(snapshot) = compile_json(text, phase(), &mut report) {
            self.snapshot = Some(Arc::new(snapshot));
        }
        telemetry::loaded(&revision, &report);
        self.seen = Some(revision);
    }
}

/// The last good Snapshot, or `None` where there never was one.
pub(crate) async fn snapshot(
    env: &Env,
    context: &Context,
    now: Timestamp,
) -> Option<Arc<Snapshot>> {
    let refresh = refresh_time(env);
    match HELD.with_borrow_mut(|held| held.plan(now, refresh)) {
        Plan::Serve(snapshot) => snapshot,
        Plan::ServeAndRefresh(snapshot) => {
            let env = env.clone();
            context.wait_until(async move { read(&env, refresh).await });
            Some(snapshot)
        }
        Plan::ReadFirst => {
            read(env, refresh).await;
            HELD.with_borrow(|held| held.snapshot.clone())
        }
    }
}

/// Reads KV and takes over what it says.
async fn read(env: &Env, refresh: Duration) {
    let cache_ttl = refresh.max(CACHE_TTL_MIN).as_secs();
    let text = match env.kv(BINDING) {
        Ok(kv) => kv.get(KEY).cache_ttl(cache_ttl).text().await.map_err(|e| e.to_string()),
        Err(error) => Err(error.to_string()),
    };
    let now = platform::now();
    match text {
        Ok(text) => HELD.with_borrow_mut(|held| held.take(text.as_deref(), now)),
        Err(error) => {
            telemetry::unread(&error);
            HELD.with_borrow_mut(|held| held.reserved_until = later(now, RESERVATION));
        }
    }
}

/// The setting, read once per isolate.
fn refresh_time(env: &Env) -> Duration {
    if let Some(known) = HELD.with_borrow(|held| held.refresh) {
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
    HELD.with_borrow_mut(|held| held.refresh = Some(refresh));
    refresh
}

fn later(now: Timestamp, duration: Duration) -> Timestamp {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    Timestamp::from_millis(now.as_millis().saturating_add(millis))
}

/// Where the walks of this isolate start: anywhere, so that many short walks do not all begin with
/// the same branch.
fn phase() -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 2^53")]
    let phase = (js_sys::Math::random() * 9_007_199_254_740_992.0) as u64;
    phase
}
