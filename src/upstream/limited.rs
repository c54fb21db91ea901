//! The body of a request that may not be longer than a limit and does not say how long it is.
//!
//! A few lines of JavaScript move and count it chunk by chunk; nothing is copied. A body that tells its
//! length goes untouched: the runtime lets no more of it through.

use worker::js_sys::Array;
use worker::wasm_bindgen::JsValue;
use worker::wasm_bindgen::prelude::wasm_bindgen;
use worker::web_sys::ReadableStream;

#[wasm_bindgen(wasm_bindgen = worker::wasm_bindgen, module = "/src/upstream/limited.js")]
extern "C" {
    fn limited(body: &ReadableStream, max: u64, ends: &Array) -> ReadableStream;
}

/// A body up to a limit.
pub(crate) struct Limited {
    stream: ReadableStream,
    /// What ends the request that it is sent with, and one more element if more came than may come.
    ends: Array,
}

impl Limited {
    /// What comes of `body`, up to `max` bytes; with one more it breaks off.
    pub(crate) fn new(body: &ReadableStream, max: u64) -> Self {
        let ends = Array::of1(&JsValue::NULL);
        Self { stream: limited(body, max, &ends), ends }
    }

    /// What is to be told of what ends the request that it is sent with.
    pub(crate) fn ends(&self) -> &Array {
        &self.ends
    }

    /// What comes of it.
    pub(crate) fn stream(&self) -> &ReadableStream {
        &self.stream
    }

    /// Whether more came than may come.
    pub(crate) fn is_too_long(&self) -> bool {
        self.ends.length() > 1
    }
}
