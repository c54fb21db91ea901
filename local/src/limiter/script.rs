//! What Redis does with a toll: a script, which is atomic there and takes one round trip.

use redis::aio::ConnectionLike;
use redis::{Cmd, ErrorKind, RedisResult, Script, ServerErrorKind, cmd};
use splitway_core::limit::{Grant, PLACES_MAX, Terms, Toll};
use splitway_core::time::Timestamp;

const SOURCE: &str = include_str!("toll.lua");

/// What the names of all keys begin with.
const PREFIX: &str = "splitway:limit:";

/// The script and the name that Redis knows it by.
#[derive(Clone, Debug)]
pub(super) struct TollScript {
    name: String,
}

impl TollScript {
    pub(super) fn new() -> Self {
        Self { name: Script::new(SOURCE).get_hash().to_owned() }
    }

    /// Asks Redis, by its own clock unless told another time. Where it does not know the script, because it
    /// was started since or emptied, it is given it: a round trip more.
    pub(super) async fn run(
        &self,
        connection: &mut impl ConnectionLike,
        toll: &Toll,
        now: Option<Timestamp>,
    ) -> RedisResult<Grant> {
        let mut known = cmd("EVALSHA");
        known.arg(&self.name);
        let answer = with_arguments(known, toll, now).query_async(connection).await;
        let unknown = ErrorKind::Server(ServerErrorKind::NoScript);
        let (granted, remaining, reset_ms, pause_ms, good_ms) = match answer {
            Err(error) if error.kind() == unknown => {
                let mut whole = cmd("EVAL");
                whole.arg(SOURCE);
                with_arguments(whole, toll, now).query_async(connection).await?
            }
            answer => answer?,
        };
        Ok(Grant { granted, remaining, reset_ms, pause_ms, good_ms })
    }
}

/// The arguments, in the order that the script names.
fn with_arguments(mut command: Cmd, toll: &Toll, now: Option<Timestamp>) -> Cmd {
    let now = now.map(|now| now.as_millis().to_string()).unwrap_or_default();
    let kind = match toll.terms {
        Terms::Fixed { .. } => "fixed",
        Terms::Sliding { .. } => "sliding",
        Terms::Leaky { .. } => "leaky",
        Terms::Enter { .. } => "enter",
        Terms::Leave { .. } => "leave",
    };
    command.arg(1).arg(format!("{PREFIX}{}", toll.key)).arg(kind).arg(now);
    match &toll.terms {
        Terms::Fixed { count, window_ms } | Terms::Sliding { count, window_ms } => {
            command.arg(toll.want).arg(count).arg(window_ms);
        }
        Terms::Leaky { rate_milli, burst_milli } => {
            command.arg(toll.want).arg(rate_milli.max(&1)).arg(burst_milli);
        }
        Terms::Enter { conn, burst, delay_ms, id, hold_ms } => {
            command.arg(id).arg(conn.max(&1)).arg(burst).arg(delay_ms).arg(hold_ms);
            command.arg(PLACES_MAX);
        }
        Terms::Leave { id } => {
            command.arg(id);
        }
    }
    command
}
