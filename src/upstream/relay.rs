//! An upstream's response on its way to the client.
//!
//! A body goes untouched: the runtime moves it from one connection to the other after the handler has
//! returned, and neither JavaScript nor wasm runs any more. A stream of events does not: it must be told
//! how it ended, so a few lines of JavaScript move it chunk by chunk. That costs it the runtime's own
//! way (CPU time for every chunk, and an isolate that is busy for as long as it lasts), but no copies.

use splitway_core::exchange::Relay;
use splitway_core::head::ResponseHead;
use splitway_core::problem::Failure;
use std::borrow::Cow;
use worker::js_sys::{Array, Reflect};
use worker::wasm_bindgen::JsValue;
use worker::wasm_bindgen::prelude::wasm_bindgen;
use worker::web_sys::{Headers, ReadableStream, ReadableStreamDefaultReader};
use worker::web_sys::{Response, ResponseInit};

use super::terminated;
use crate::platform::{chunk, road};
use crate::telemetry;

#[wasm_bindgen(wasm_bindgen = worker::wasm_bindgen, module = "/src/upstream/relay.js")]
extern "C" {
    fn watched(
        reader: &ReadableStreamDefaultReader,
        peeked: &Array,
        idle: u32,
        broken: Option<String>,
        stalled: Option<String>,
        told: &Array,
    ) -> ReadableStream;

    fn discard(body: &JsValue);
}

/// An upstream's response. Its body is cancelled when it is dropped: a connection whose body nobody reads
/// is kept from all others.
pub(crate) struct EdgeResponse {
    native: Response,
    /// Its status and what [`KNOWN`] says.
    told: String,
    /// What reads the body, once a part of it was read ahead, and that part.
    reader: Option<ReadableStreamDefaultReader>,
    peeked: Option<Array>,
    is_relayed: bool,
}

/// Which headers are in the lines of a response, and from which one on.
const KNOWN: [&str; 3] = ["content-type", "transfer-encoding", "connection"];
const KNOWN_FROM: usize = 1;

impl EdgeResponse {
    pub(super) fn new(native: Response, told: String) -> Self {
        Self { native, told, reader: None, peeked: None, is_relayed: false }
    }

    /// Whether it can be relayed: it switches to a protocol that the runtime speaks, if to any, and its
    /// body comes in nothing but chunks. The runtime takes off that alone (RFC 9112, section 7).
    pub(super) fn is_sound(&self) -> bool {
        let is_chunked = |coding: Cow<'_, str>| coding.eq_ignore_ascii_case("chunked");
        let is_switching = self.status() == 101;
        (!is_switching || self.web_socket().is_some())
            && self.header("transfer-encoding").is_none_or(is_chunked)
    }

    /// The next chunk of the body, which is relayed all the same.
    pub(crate) async fn peek(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        let Some(reader) = self.reader().map_err(terminated)? else { return Ok(None) };
        let chunk = chunk(&reader).await.map_err(terminated)?;
        if let Some(bytes) = &chunk {
            self.peeked.get_or_insert_with(Array::new).push(bytes);
        }
        Ok(chunk.map(|bytes| bytes.to_vec()))
    }

    /// What reads the body, if there is one. The runtime moves it no more from then on.
    fn reader(&mut self) -> Result<Option<ReadableStreamDefaultReader>, JsValue> {
        if self.reader.is_none()
            && let Some(body) = self.native.body()
        {
            self.reader = Some(ReadableStreamDefaultReader::new(&body)?);
        }
        Ok(self.reader.clone())
    }

    /// The response for the client.
    pub(crate) fn relay(mut self, relay: &Relay) -> Result<Response, JsValue> {
        let relayed = match self.web_socket() {
            Some(socket) => self.switching(&socket, relay)?,
            None => self.answering(relay)?,
        };
        self.is_relayed = true;
        Ok(relayed)
    }

    fn answering(&mut self, Relay { edits, tail }: &Relay) -> Result<Response, JsValue> {
        let is_watched = tail.is_event_stream() || self.reader.is_some();
        let reader = if is_watched { self.reader()? } else { None };
        let body = match &reader {
            None => JsValue::UNDEFINED,
            Some(reader) => {
                let idle = u32::try_from(tail.idle.as_millis()).unwrap_or(u32::MAX);
                let broken = tail.farewell(Failure::ConnectionTerminated);
                let stalled = tail.farewell(Failure::HttpResponseTimeout);
                // A timer of JavaScript takes no more.
                let idle = idle.min(i32::MAX.unsigned_abs());
                // What is told of each in the log.
                let told = [Failure::ConnectionTerminated, Failure::HttpResponseTimeout]
                    .map(|failure| JsValue::from(telemetry::broken(&tail.broken(failure))));
                let told: Array = told.iter().collect();
                let peeked = self.peeked.take().unwrap_or_default();
                watched(reader, &peeked, idle, broken, stalled, &told).into()
            }
        };
        road::relayed(&self.native, &body, edits)
    }

    /// The answer that switches to WebSocket. The runtime speaks the protocol on both sides and moves
    /// the frames, and says by itself what belongs to each connection.
    fn switching(&self, socket: &JsValue, relay: &Relay) -> Result<Response, JsValue> {
        let headers = Headers::new_with_headers(&self.native.headers())?;
        road::edited(&headers, &relay.edits)?;
        let init = ResponseInit::new();
        init.set_status(self.status());
        init.set_headers(&headers);
        Reflect::set(&init, &"webSocket".into(), socket)?;
        Response::new_with_opt_readable_stream_and_init(None, &init)
    }

    /// The other end of a connection that speaks WebSocket from now on.
    fn web_socket(&self) -> Option<JsValue> {
        // Only an answer that switches protocols can have one; asking the others would cost for nothing.
        let is_switching = self.status() == 101;
        let socket = is_switching.then(|| Reflect::get(&self.native, &"webSocket".into()).ok());
        socket.flatten().filter(JsValue::is_object)
    }
}

impl Drop for EdgeResponse {
    fn drop(&mut self) {
        if self.is_relayed {
            return;
        }
        match (&self.reader, self.native.body()) {
            (Some(reader), _) => discard(reader),
            (None, Some(body)) => discard(&body),
            (None, None) => {}
        }
    }
}

impl ResponseHead for EdgeResponse {
    fn status(&self) -> u16 {
        // Until it has a status, it has none that may be.
        road::line(&self.told, 0).and_then(|status| status.parse().ok()).unwrap_or_default()
    }

    fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        if let Some(at) = KNOWN.iter().position(|known| *known == name) {
            return road::line(&self.told, KNOWN_FROM + at).map(Cow::Borrowed);
        }
        self.native.headers().get(name).ok().flatten().map(Cow::Owned)
    }
}
