//! The Admin API: APISIX's dialogue (APISIX.md section 6) and our own, in front of the coordinator.
//!
//! It is given a request's head and body and turns them into one [`Command`](crate::coordinator::Command); it never stores
//! anything and never looks at the data plane.
//!
//! | paths                    | what                                                  | where        |
//! |--------------------------|-------------------------------------------------------|--------------|
//! | `/apisix/admin/{kind}/…` | one resource or the list of a kind                    | `resource`   |
//! | `/apisix/admin/schema/…` | what a resource may say, and whether one may be said  | `schema`     |
//! | `/splitway/v1/ui/…`      | the page, without a key                               | [`page`]     |
//! | `/splitway/v1/…`         | the document, its past, keys, health, explanations    | `whole`      |

pub mod door;
mod impact;
mod listing;
mod query;
mod resource;
mod say;
mod schema;
mod whole;

use crate::access::{Caller, Denial, KeyHash};
use crate::coordinator::Refusal;
use crate::head::{Head, match_path};
use crate::page;
use crate::platform::Control;
use crate::problem::Answer;

use query::{Query, decode};
use say::{error, tell_refusal};

/// The prefix of the paths of APISIX's Admin API.
pub const PREFIX: &str = "/apisix/admin";

/// The prefix of the paths of our own.
pub const OWN_PREFIX: &str = "/splitway/v1";

/// The folder of the page, behind [`OWN_PREFIX`].
pub const PAGE: &str = "/ui";

/// The most bytes a request body may have, as in APISIX: 1.5 MiB.
pub const BODY_MAX: usize = 1_572_864;

/// Whether a request is for the Admin API, where its paths begin with `prefix`: also when it is
/// written in another way (escaped, with more slashes, in capitals), so that no route gets a key to
/// see.
pub fn takes(prefix: &str, head: &impl Head) -> bool {
    let path = match_path(head.path());
    let rest = behind(&path, prefix);
    [PREFIX, OWN_PREFIX].into_iter().any(|own| {
        let rest = rest.and_then(|rest| behind(rest, own));
        rest.is_some_and(|rest| matches!(rest, [] | [b'/', ..]))
    })
}

/// What stands behind `start` in a path, whatever its case.
fn behind<'p>(path: &'p [u8], start: &str) -> Option<&'p [u8]> {
    let (head, rest) = path.split_at_checked(start.len())?;
    head.eq_ignore_ascii_case(start.as_bytes()).then_some(rest)
}

/// A request as its parts.
struct Call<'h> {
    method: &'h str,
    /// The segments of the path behind the prefix, decoded.
    path: Vec<String>,
    query: Query,
    by: Box<str>,
}

/// Answers one request to the Admin API, whose paths begin with `prefix`.
pub async fn answer<C: Control>(
    control: &C,
    prefix: &str,
    head: &C::Head,
    body: C::Body,
) -> Answer {
    let path = head.path().strip_prefix(prefix);
    let of_apisix = path.and_then(|path| path.strip_prefix(PREFIX));
    let of_own = path.and_then(|path| path.strip_prefix(OWN_PREFIX));
    if let Some(rest) = of_own.and_then(of_page) {
        // To a browser that has no key yet, too, but to no other addresses.
        let caller =
            Caller { client: head.client(), key: None, method: "GET".into(), is_reading: true };
        return match control.admit(caller).await {
            Err(Refusal::Denied(Denial::Missing)) | Ok(_) => page::answer(rest, head),
            Err(refusal) => tell_refusal(refusal),
        };
    }
    if is_forged(head) {
        return say::error(403, "a page of another origin may change nothing here");
    }
    let query = Query::parse(head.query());
    // For whoever only looks, HEAD is GET; the shell leaves the body out.
    let method = if head.method() == "HEAD" { "GET" } else { head.method() };
    let caller = Caller {
        client: head.client(),
        key: key(head, &query).map(|key| KeyHash::of(&key)),
        method: method.to_owned(),
        is_reading: method == "GET" || only_asks(method, of_own, &query),
    };
    let is_root = head.method() == "HEAD" && matches!(of_apisix, Some("" | "/"));
    let by = match control.admit(caller).await {
        // As in APISIX, whether it is there is told without a key.
        Err(Refusal::Denied(Denial::Missing)) | Ok(_) if is_root => {
            return say::json(200, &serde_json::json!({}));
        }
        Ok(by) => by,
        Err(refusal) => return tell_refusal(refusal),
    };
    let call = |path| Some(Call { method, path: segments(path)?, query, by });
    match (of_apisix, of_own) {
        (Some(path), _) => match call(path) {
            Some(call)
                if call.path.first().is_some_and(|first| schema::PATHS.contains(&&**first)) =>
            {
                schema::answer(control, call, head, body).await
            }
            Some(call) => resource::answer(control, call, head, body).await,
            None => error(404, "not found"),
        },
        (None, Some(path)) => match call(path) {
            Some(call) => whole::answer(control, call, head, body).await,
            None => error(404, "not found"),
        },
        (None, None) => error(404, "not found"),
    }
}

/// What stands behind the folder of the page in a path of our own, if it is one of the page.
fn of_page(of_own: &str) -> Option<&str> {
    of_own.strip_prefix(PAGE).filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether a browser sent a request to change something for a page of another origin (CSRF): it adds
/// the cookie with the key by itself. Browsers say where a request is from (Fetch Metadata), older ones
/// from which origin (RFC 6454), and no page can keep them from it.
fn is_forged(head: &impl Head) -> bool {
    if matches!(head.method(), "GET" | "HEAD") {
        return false;
    }
    match (head.header("sec-fetch-site"), head.header("origin")) {
        (Some(site), _) => !matches!(&*site, "same-origin" | "none"),
        (None, Some(origin)) => {
            let authority = origin.split_once("://").map(|(_, authority)| authority);
            !authority.is_some_and(|authority| authority.eq_ignore_ascii_case(head.host()))
        }
        // No browser.
        (None, None) => false,
    }
}

/// Whether a request only asks what it would change, or what would become of another, which whoever may
/// look may ask.
fn only_asks(method: &str, of_own: Option<&str>, query: &Query) -> bool {
    let is_rollback = |path: &str| path.starts_with("/revisions/") && path.ends_with("/rollback");
    let is_trial = query.is_set("dry_run");
    match (method, of_own) {
        ("PUT", Some("/config")) => is_trial,
        ("POST", Some("/explain" | "/impact")) => true,
        ("POST", Some(path)) => is_trial && is_rollback(path),
        _ => false,
    }
}

/// Whether a request brings a key along, whatever it is.
fn has_key(head: &impl Head) -> bool {
    key(head, &Query::parse(head.query())).is_some()
}

/// The key is in the header, the query or a cookie, the first of them that is there.
fn key(head: &impl Head, query: &Query) -> Option<String> {
    let header = head.header("x-api-key").map(std::borrow::Cow::into_owned);
    header.or_else(|| query.get("api_key").map(str::to_owned)).or_else(|| {
        let cookies = head.header("cookie")?;
        let mut pairs = cookies.split(';').filter_map(|pair| pair.trim().split_once('='));
        pairs.find(|(name, _)| *name == "x_api_key").map(|(_, key)| key.to_owned())
    })
}

/// The segments of a path, decoded; `None` for what begins with another word than it should.
fn segments(path: &str) -> Option<Vec<String>> {
    if matches!(path, "" | "/") {
        return Some(Vec::new());
    }
    let path = path.strip_prefix('/')?;
    let path = path.strip_suffix('/').unwrap_or(path);
    Some(path.split('/').map(decode).collect())
}
