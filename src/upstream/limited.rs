//! The body of a request that may not be longer than a limit and does not say how long it is.
//!
//! A few lines of JavaScript move and count it chunk by chunk; nothing is copied. A body that tells its
//! length goes untouched: the runtime lets no more of it through.

use worker::js_sys::Array;
use worker::wasm_bindgen::prelude::wasm_bindgen;
use worker::web_sys::ReadableStream;

#[wasm_bindgen(wasm_bindgen = worker::wasm_bindgen, module = "/src/upstream/limited.js")]
extern "C" {
    fn limited(body: &ReadableStream, max: u64, over: &Array) -> ReadableStream;
}

/// A body up to a limit.
pub(crate) struct Limited {
    stream: ReadableStream,
    /// Empty as long as no more came than may come.
    over: Array,
}

impl Limited {
    /// What comes of `body`, up to `max` bytes; with one more it breaks off.
    pub(crate) fn new(body: &ReadableStream, max: u64) -> Self {
        let over = Array::new();
        Self { stream: limited(body, max, &over), over }
    }

    /// What comes of it.
    pub(crate) fn stream(&self) -> &ReadableStream {
        &self.stream
    }

    /// Whether more came than may come.
    pub(crate) fn is_too_long(&self) -> bool {
        self.over.length() > 0
    }
}
