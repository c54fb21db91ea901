//! The effects of Cloudflare's runtime, as the core asks for them.

pub(crate) mod road;

use splitway_core::auth::Errand;
use splitway_core::exchange::Attempt;
use splitway_core::head::{Head, Place};
use splitway_core::limit::{Grant, Porter, Toll};
use splitway_core::platform::{Platform, Unread};
use splitway_core::problem::Failure;
use splitway_core::seal::Secret;
use splitway_core::signature::Check;
use splitway_core::snapshot::Snapshot;
use splitway_core::telemetry::Record;
use splitway_core::time::Timestamp;
use std::borrow::Cow;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use worker::js_sys::{Array, Function, JSON, Reflect, Uint8Array};
use worker::wasm_bindgen::{JsCast, JsValue};
use worker::wasm_bindgen_futures::JsFuture;
use worker::web_sys::{ReadableStream, ReadableStreamDefaultReader, Request};
use worker::{Context, Env};

use crate::telemetry::{Entry, Voice};
use crate::{fetch, limiter, store, telemetry, upstream, verify};

/// What the store of shared limits is to be told of what one request has ended.
#[derive(Debug, Default)]
struct Ends(Mutex<Vec<Toll>>);

impl Ends {
    fn take(&self) -> Vec<Toll> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Porter for Ends {
    fn leave(&self, toll: Toll) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(toll);
    }
}

/// The runtime as one request sees it.
pub(crate) struct EdgePlatform {
    env: Env,
    context: Context,
    ends: Arc<Ends>,
}

impl EdgePlatform {
    /// What keeps the runtime going when the answer is there.
    pub(crate) fn context(&self) -> &Context {
        &self.context
    }

    /// The bindings and settings of the deployment.
    pub(crate) fn env(&self) -> &Env {
        &self.env
    }

    /// Has the store of shared limits told of what has ended until now, behind the answer.
    pub(crate) fn tell_ends(&self) {
        let ends = self.ends.take();
        if ends.is_empty() {
            return;
        }
        let env = self.env.clone();
        behind(&self.context, async move {
            for toll in &ends {
                // If it cannot be reached, that was said.
                let _ = limiter::toll(&env, toll).await;
            }
        });
    }

    pub(crate) fn new(env: Env, context: Context) -> Self {
        Self { env, context, ends: Arc::default() }
    }
}

/// The wall clock. In production it stands still between I/O.
pub(crate) fn now() -> Timestamp {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a date in ms")]
    let millis = road::now() as u64;
    Timestamp::from_millis(millis)
}

/// What this deployment signs with.
pub(crate) fn secret(env: &Env) -> Option<Secret> {
    let text = setting(env, "SPLITWAY_SECRET")?;
    let secret = Secret::new(&text);
    if secret.is_err() {
        telemetry::failure("SPLITWAY_SECRET has less than 16 bytes: nothing is signed");
    }
    secret.ok()
}

/// A variable or a secret of the deployment, if there is one. One that is no text is taken as the JSON
/// that it is written as, so that it is judged and not overlooked.
pub(crate) fn setting(env: &Env, name: &str) -> Option<String> {
    let value = Reflect::get(env, &name.into()).ok().filter(|value| !value.is_undefined())?;
    let written = || JSON::stringify(&value).map_or_else(|_| "?".to_owned(), String::from);
    Some(value.as_string().unwrap_or_else(written))
}

/// Has something go on behind the answer. In a box, so that there is not the code that polls it for each kind.
pub(crate) fn behind(context: &Context, future: impl Future<Output = ()> + 'static) {
    let future: Pin<Box<dyn Future<Output = ()>>> = Box::pin(future);
    context.wait_until(future);
}

/// Calls a method of the runtime that its Rust bindings do not have, or only at a price.
pub(crate) fn call(
    target: &JsValue,
    method: &str,
    arguments: &[JsValue],
) -> Result<JsValue, JsValue> {
    let function: Function = Reflect::get(target, &method.into())?.dyn_into()?;
    function.apply(target, &arguments.iter().collect::<Array>())
}

/// All of a body, unless it is longer than `limit` bytes or breaks off. What is too long is not read
/// to its end.
pub(crate) async fn buffer(body: Option<ReadableStream>, limit: usize) -> Result<Vec<u8>, Unread> {
    let mut bytes = Vec::new();
    let Some(body) = body else { return Ok(bytes) };
    let reader = ReadableStreamDefaultReader::new(&body).map_err(|_| Unread::BrokenOff)?;
    while let Some(chunk) = chunk(&reader).await.map_err(|_| Unread::BrokenOff)? {
        let length = usize::try_from(chunk.length()).unwrap_or(usize::MAX);
        if length > limit - bytes.len() {
            // The client need not send the rest; whether that is still heard is all the same.
            drop(reader.cancel());
            return Err(Unread::TooLong);
        }
        bytes.extend(chunk.to_vec());
    }
    Ok(bytes)
}

/// The next piece of a body, unless it is at its end.
pub(crate) async fn chunk(
    reader: &ReadableStreamDefaultReader,
) -> Result<Option<Uint8Array>, JsValue> {
    let next = JsFuture::from(reader.read()).await?;
    if Reflect::get(&next, &"done".into())?.is_truthy() {
        return Ok(None);
    }
    Reflect::get(&next, &"value".into())?.dyn_into().map(Some)
}

/// The body of a request: in the request that came in, or bytes of our own.
pub(crate) enum EdgeBody {
    Sent(Request),
    Bytes(Uint8Array),
    /// As it comes, up to a limit.
    Limited(upstream::Limited),
}

/// How many bytes the client says that its body has.
fn told_size(request: &Request) -> Option<u64> {
    request.headers().get("content-length").ok()??.parse().ok()
}

impl Platform for EdgePlatform {
    type Head = EdgeHead;
    type Body = EdgeBody;
    type Response = upstream::EdgeResponse;
    type Entry = Entry;

    fn now(&self) -> Timestamp {
        now()
    }

    fn draw(&self) -> u64 {
        getrandom::u64().unwrap_or_else(|_| now().as_millis())
    }

    fn secret(&self) -> Option<&Secret> {
        /// The same for all requests of an isolate.
        static SECRET: OnceLock<Option<Secret>> = OnceLock::new();
        SECRET.get_or_init(|| secret(&self.env)).as_ref()
    }

    async fn sleep(&self, duration: Duration) {
        road::sleep(duration).await;
    }

    async fn snapshot(&self) -> Option<Arc<Snapshot>> {
        store::snapshot(&self.env, &self.context).await
    }

    async fn send(
        &self,
        attempt: &Attempt<'_>,
        head: &EdgeHead,
        body: EdgeBody,
    ) -> Result<Self::Response, Failure> {
        upstream::send(attempt, head, &body).await
    }

    fn size(&self, head: &EdgeHead, body: &EdgeBody) -> Option<u64> {
        let told = || head.header("content-length")?.parse().ok();
        match body {
            EdgeBody::Bytes(bytes) => Some(bytes.length().into()),
            EdgeBody::Sent(request) if upstream::is_empty(request, head) => Some(0),
            // The runtime sends such a body only as long as nobody has read it.
            EdgeBody::Sent(_) if matches!(head.method(), "GET" | "HEAD") => None,
            EdgeBody::Sent(_) => told(),
            EdgeBody::Limited(_) => None,
        }
    }

    async fn buffer(&self, body: EdgeBody, limit: usize) -> Result<Vec<u8>, Unread> {
        match body {
            EdgeBody::Sent(request) => buffer(request.body(), limit).await,
            EdgeBody::Bytes(bytes) => Ok(bytes.to_vec()),
            EdgeBody::Limited(body) => {
                let read = buffer(Some(body.stream().clone()), limit).await;
                read.map_err(|why| if body.is_too_long() { Unread::TooLong } else { why })
            }
        }
    }

    fn limited(&self, body: EdgeBody, max: u64) -> Option<EdgeBody> {
        match body {
            EdgeBody::Bytes(bytes) => {
                (u64::from(bytes.length()) <= max).then_some(EdgeBody::Bytes(bytes))
            }
            EdgeBody::Sent(request) => match (told_size(&request), request.body()) {
                // No more comes than that: the runtime sees to it.
                (Some(size), _) => (size <= max).then_some(EdgeBody::Sent(request)),
                (None, Some(body)) => Some(EdgeBody::Limited(upstream::Limited::new(&body, max))),
                (None, None) => Some(EdgeBody::Sent(request)),
            },
            limited @ EdgeBody::Limited(_) => Some(limited),
        }
    }

    fn body(&self, bytes: Vec<u8>) -> EdgeBody {
        EdgeBody::Bytes(Uint8Array::from(bytes.as_slice()))
    }

    async fn peek(&self, response: &mut Self::Response) -> Result<Option<Vec<u8>>, Failure> {
        response.peek().await
    }

    fn fetch(&self, errand: Errand) {
        fetch::begin(errand, &self.context);
    }

    async fn verify(&self, check: &Check) -> bool {
        verify::verify(check).await
    }

    async fn toll(&self, toll: &Toll) -> Result<Grant, Failure> {
        limiter::toll(&self.env, toll).await
    }

    fn porter(&self) -> Arc<dyn Porter> {
        Arc::clone(&self.ends) as _
    }

    fn record(&self, head: &EdgeHead, record: &Record<'_>) -> Entry {
        /// The same for all requests of an isolate.
        static VOICE: OnceLock<Voice> = OnceLock::new();
        VOICE.get_or_init(|| Voice::new(&self.env, || self.draw())).record(&self.env, head, record)
    }
}

/// The head of a request: what is asked about each was read at once, the rest is where it is.
pub(crate) struct EdgeHead {
    /// The method, the URL, and what [`KNOWN`] says.
    told: String,
    /// Where in it the URL, its authority, its path and what follows the path begin, and where it ends.
    url: usize,
    authority: usize,
    path: usize,
    path_end: usize,
    url_end: usize,
    request: Request,
    /// The address of the client, by another header than Cloudflare's.
    client: Option<Option<IpAddr>>,
    /// Whether what is done for it goes on without the client.
    is_detached: bool,
}

/// Which headers are in the lines of a request, and from which one on.
const KNOWN: [&str; 3] = [CLIENT, "x-forwarded-for", "connection"];
const KNOWN_FROM: usize = 2;

/// The header in which Cloudflare says where a request comes from.
const CLIENT: &str = "cf-connecting-ip";

impl EdgeHead {
    pub(crate) fn new(request: &Request) -> Self {
        let told = road::opening(request);
        let url = told.find('\n').map_or(told.len(), |at| at + 1);
        let url_end = told.get(url..).and_then(|rest| rest.find('\n'));
        let url_end = url_end.map_or(told.len(), |length| url + length);
        let after = |from: usize, marks: &[char]| {
            let found = told.get(from..url_end).and_then(|rest| rest.find(marks));
            found.map_or(url_end, |at| from + at)
        };
        let scheme_end = told.get(url..url_end).and_then(|url| url.find("://"));
        let authority = scheme_end.map_or(url, |at| url + at + 3);
        let path = after(authority, &['/', '?']);
        let path_end = after(path, &['?', '#']);
        let (request, client, is_detached) = (Clone::clone(request), None, false);
        Self { told, url, authority, path, path_end, url_end, request, client, is_detached }
    }

    /// The head of a request that names its client in the header `client`.
    pub(crate) fn naming_client(request: &Request, client: &'static str) -> Self {
        let head = Self::new(request);
        let client = head.header(client).and_then(|address| address.parse().ok());
        Self { client: Some(client), ..head }
    }

    /// The request itself.
    pub(crate) fn request(&self) -> &Request {
        &self.request
    }

    /// The same, and nothing ends with its client.
    pub(crate) fn detached(self) -> Self {
        Self { is_detached: true, ..self }
    }

    /// Whether nothing ends with its client.
    pub(crate) fn is_detached(&self) -> bool {
        self.is_detached
    }

    fn part(&self, from: usize, to: usize) -> &str {
        self.told.get(from..to).unwrap_or_default()
    }
}

impl Head for EdgeHead {
    fn method(&self) -> &str {
        self.part(0, self.url.saturating_sub(1))
    }

    fn path(&self) -> &str {
        self.part(self.path, self.path_end)
    }

    fn query(&self) -> Option<&str> {
        self.part(self.path_end, self.url_end).strip_prefix('?')
    }

    fn host(&self) -> &str {
        self.part(self.authority, self.path)
    }

    fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        if let Some(at) = KNOWN.iter().position(|known| *known == name) {
            return road::line(&self.told, KNOWN_FROM + at).map(Cow::Borrowed);
        }
        self.request.headers().get(name).ok().flatten().map(Cow::Owned)
    }

    fn client(&self) -> Option<IpAddr> {
        self.client.unwrap_or_else(|| self.header(CLIENT)?.parse().ok())
    }

    fn place(&self, what: Place) -> Option<Cow<'_, str>> {
        let name = match what {
            Place::Country => "country",
            Place::Colo => "colo",
            Place::Asn => "asn",
        };
        let cf = Reflect::get(&self.request, &"cf".into()).ok()?;
        let value = Reflect::get(&cf, &name.into()).ok()?;
        value.as_string().or_else(|| Some(value.as_f64()?.to_string())).map(Cow::Owned)
    }

    fn scheme(&self) -> &str {
        self.part(self.url, self.authority).trim_end_matches("://")
    }

    fn port(&self) -> u16 {
        let port = self.host().rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        port.unwrap_or(if self.scheme() == "https" { 443 } else { 80 })
    }

    fn is_fronted(&self) -> bool {
        true
    }
}
