//! The way of a request through the wasm: a future that is polled by nobody else than what it waits for, and
//! the few crossings to JavaScript that this takes (`road.js`).
//!
//! What `wasm_bindgen_futures` does for any future costs a request a tenth of all its CPU time: closures that
//! are registered to be collected, and a turn of the queue for each step. Here a step is a call, and JavaScript
//! names what it is about by a number.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use splitway_core::head::Changes;
use worker::js_sys::{self, Promise};
use worker::wasm_bindgen::closure::Closure;
use worker::wasm_bindgen::prelude::wasm_bindgen;
use worker::wasm_bindgen::{JsCast, JsValue};
use worker::wasm_bindgen_futures::spawn_local;
use worker::web_sys::{AbortController, Headers, Request, Response};
use worker::{Env, worker_sys};

#[wasm_bindgen(wasm_bindgen = worker::wasm_bindgen, module = "/src/platform/road.js")]
extern "C" {
    /// Method, URL and what is asked about every request.
    pub(crate) fn opening(request: &Request) -> String;

    fn install(settled: &JsValue, answer: &JsValue);

    fn arm(key: u32, ms: u32) -> JsValue;

    #[wasm_bindgen(catch)]
    fn edit(headers: &Headers, text: &str) -> Result<(), JsValue>;

    #[wasm_bindgen(catch)]
    fn send(
        key: u32,
        request: &Request,
        text: &str,
        body: &JsValue,
        is_carried: bool,
        is_alone: bool,
        ends: &JsValue,
        upgrade: Option<&str>,
    ) -> Result<AbortController, JsValue>;

    #[wasm_bindgen(catch)]
    fn relay(response: &Response, body: &JsValue, text: &str) -> Result<Response, JsValue>;
}

#[wasm_bindgen(wasm_bindgen = worker::wasm_bindgen)]
extern "C" {
    #[wasm_bindgen(js_name = clearTimeout)]
    fn disarm(timer: &JsValue);

    /// A promise, and what settles it.
    type Deferred;

    #[wasm_bindgen(js_namespace = Promise, js_name = withResolvers)]
    fn deferred() -> Deferred;

    #[wasm_bindgen(method, getter)]
    fn promise(this: &Deferred) -> Promise;

    #[wasm_bindgen(method)]
    fn resolve(this: &Deferred, value: &JsValue);
}

/// Changes to the headers of a message, and a line before them, as `road.js` reads them. Nothing, where one of
/// them has a line break in it: nobody could send that.
pub(crate) fn text(first: &[&str], edits: &Changes) -> Option<String> {
    let mut text = Text(String::with_capacity(256), true);
    for (at, line) in first.iter().enumerate() {
        text.line(if at == 0 { "" } else { "\n" }, line);
    }
    for name in edits.removed() {
        text.line("\n-", name);
    }
    let set = edits.set().map(|change| ("\n=", change));
    for (sign, (name, value)) in set.chain(edits.added().map(|change| ("\n+", change))) {
        text.line(sign, name);
        text.line("\n", value.as_str());
    }
    text.1.then_some(text.0)
}

/// Lines, and whether there is no break in any of them.
struct Text(String, bool);

impl Text {
    fn line(&mut self, begin: &str, line: &str) {
        self.0.push_str(begin);
        self.0.push_str(line);
        self.1 &= !line.as_bytes().contains(&b'\n');
    }
}

/// A line of a text from JavaScript, unless it stands for what is not there.
pub(crate) fn line(text: &str, at: usize) -> Option<&str> {
    text.split('\n').nth(at).filter(|line| *line != NOTHING)
}

/// Stands in JavaScript for what is not there.
const NOTHING: &str = "\0";

thread_local! {
    /// What is waited for, by its key.
    static WAITED: RefCell<Keyed<Waited>> = const { RefCell::new(Keyed(Vec::new())) };
    static LAST: Cell<u32> = const { Cell::new(0) };
    static IS_INSTALLED: Cell<bool> = const { Cell::new(false) };
    /// The requests that are on their way, by a number.
    static TASKS: RefCell<Keyed<Rc<Task>>> = const { RefCell::new(Keyed(Vec::new())) };
    /// Whether a wake comes from [`settled`], which is called by nobody else than the runtime.
    static IS_SETTLING: Cell<bool> = const { Cell::new(false) };
    /// What the clock says while a request is on its way: it moves with I/O only.
    static NOW: Cell<Option<f64>> = const { Cell::new(None) };
}

/// The wall clock, in ms.
pub(crate) fn now() -> f64 {
    match NOW.get() {
        Some(now) => now,
        None => js_sys::Date::now(),
    }
}

/// What is under way, by numbers that grow: few things at a time, and a tree of them would be code for V8 to
/// compile in the first request of an isolate.
struct Keyed<T>(Vec<(u32, T)>);

impl<T> Keyed<T> {
    /// Where the number is, or else belongs.
    fn at(&self, number: u32) -> Result<usize, usize> {
        self.0.binary_search_by_key(&number, |entry| entry.0)
    }

    fn insert(&mut self, number: u32, value: T) {
        // Once the numbers begin anew, one that is still there cannot be told from the new one.
        let (Ok(at) | Err(at)) = self.at(number);
        self.0.insert(at, (number, value));
    }

    fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        let at = self.at(number).ok()?;
        self.0.get_mut(at).map(|entry| &mut entry.1)
    }

    fn remove(&mut self, number: u32) -> Option<T> {
        let at = self.at(number).ok()?;
        Some(self.0.remove(at).1)
    }
}

/// Something that JavaScript tells of.
#[derive(Default)]
struct Waited {
    waker: Option<Waker>,
    came: Option<Came>,
}

/// What came of it: a value, and what is to be known of it if it is as hoped.
pub(crate) type Came = (JsValue, Option<String>);

/// A number that nothing else is waited for by.
fn next(last: &'static std::thread::LocalKey<Cell<u32>>) -> u32 {
    last.set(last.get().wrapping_add(1));
    last.get()
}

/// Has JavaScript know its way back into the wasm.
pub(crate) fn open() {
    if IS_INSTALLED.replace(true) {
        return;
    }
    let told: Closure<dyn Fn(u32, JsValue, Option<String>)> = Closure::new(settled);
    install(&told.into_js_value(), &answering());
}

/// What answers a request, in the module that serves.
fn answering() -> JsValue {
    let answer: fn(Request, Env, worker_sys::Context) -> Promise = crate::fetch;
    let answer = cfg!(feature = "serve").then(|| Closure::<Answering>::new(answer));
    answer.map_or(JsValue::UNDEFINED, Closure::into_js_value)
}

type Answering = dyn Fn(Request, Env, worker_sys::Context) -> Promise;

/// Waits for what JavaScript tells by a key; once dropped, it is not waited for any more.
struct Waiting(u32);

impl Waiting {
    fn new() -> Self {
        open();
        let key = next(&LAST);
        WAITED.with_borrow_mut(|waited| waited.insert(key, Waited::default()));
        Self(key)
    }

    fn poll(&self, context: &Context<'_>) -> Poll<Came> {
        WAITED.with_borrow_mut(|waited| {
            let Some(waited) = waited.get_mut(self.0) else { return Poll::Pending };
            if let Some(came) = waited.came.take() {
                return Poll::Ready(came);
            }
            waited.waker = Some(context.waker().clone());
            Poll::Pending
        })
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let waited = WAITED.with_borrow_mut(|waited| waited.remove(self.0));
        drop(waited);
    }
}

/// Takes what came, and has whoever waits for it go on at once.
fn settled(key: u32, value: JsValue, told: Option<String>) {
    let waker = WAITED.with_borrow_mut(|waited| {
        let waited = waited.get_mut(key)?;
        waited.came = Some((value, told));
        waited.waker.take()
    });
    if let Some(waker) = waker {
        IS_SETTLING.set(true);
        waker.wake();
        IS_SETTLING.set(false);
    }
}

/// Resolves after `duration`. Dropping it ends the timer.
pub(crate) async fn sleep(duration: Duration) {
    let waiting = Waiting::new();
    // A timer of JavaScript takes no more.
    let ms = u32::try_from(duration.as_millis()).unwrap_or(u32::MAX).min(i32::MAX.unsigned_abs());
    let timer = Timer { timer: arm(waiting.0, ms), waiting };
    poll_fn(|context| timer.waiting.poll(context)).await;
}

struct Timer {
    waiting: Waiting,
    timer: JsValue,
}

impl Drop for Timer {
    fn drop(&mut self) {
        disarm(&self.timer);
    }
}

/// What one `fetch` is made of, beside the head of the request that came in.
pub(crate) struct Fetch<'a> {
    pub(crate) url: &'a str,
    pub(crate) method: &'a str,
    pub(crate) edits: &'a Changes,
    /// A body in place of the request's own.
    pub(crate) body: JsValue,
    /// Whether the request has a body that goes with a method that has none, as long as nobody reads it.
    pub(crate) is_carried: bool,
    /// Whether it goes on without its client.
    pub(crate) is_alone: bool,
    /// What is told of what aborts it.
    pub(crate) ends: JsValue,
    /// The protocol to switch to.
    pub(crate) upgrade: Option<&'a str>,
}

/// A `fetch` under way, which is aborted when this is dropped.
pub(crate) struct Fetching {
    waiting: Waiting,
    controller: Option<AbortController>,
}

impl Fetching {
    /// Begins it, or says why that cannot be.
    pub(crate) fn begin(request: &Request, fetch: &Fetch<'_>) -> Result<Self, JsValue> {
        let Fetch { url, method, edits, body, is_carried, is_alone, ends, upgrade } = fetch;
        let text = text(&[url, method], edits).ok_or("There is a line break in a header")?;
        let waiting = Waiting::new();
        let controller =
            send(waiting.0, request, &text, body, *is_carried, *is_alone, ends, *upgrade)?;
        Ok(Self { waiting, controller: Some(controller) })
    }

    /// The response, and what is known of its head; or else an error, which is undefined where the client is
    /// gone.
    pub(crate) async fn response(mut self) -> Result<(Response, String), JsValue> {
        let (value, told) = poll_fn(|context| self.waiting.poll(context)).await;
        let told = told.ok_or(value.clone())?;
        // The head is there; the body has its own life.
        self.controller = None;
        Ok((value.unchecked_into(), told))
    }
}

impl Drop for Fetching {
    fn drop(&mut self) {
        if let Some(controller) = &self.controller {
            controller.abort();
        }
    }
}

/// The response for the client, with a body in place of its own, if there is one.
pub(crate) fn relayed(
    response: &Response,
    body: &JsValue,
    edits: &Changes,
) -> Result<Response, JsValue> {
    relay(response, body, &text(&[], edits).ok_or("There is a line break in a header")?)
}

/// Makes changes to headers, after removing what belongs to one connection only.
pub(crate) fn edited(headers: &Headers, edits: &Changes) -> Result<(), JsValue> {
    edit(headers, &text(&[], edits).ok_or("There is a line break in a header")?)
}

/// A request on its way.
struct Task {
    number: u32,
    future: RefCell<Option<Pin<Box<dyn Future<Output = ()>>>>>,
    waker: Waker,
    /// Whether it was woken while it was polled.
    is_again: Cell<bool>,
}

/// Has a future run until it waits for something, and go on when that is there; resolves to what comes of it.
pub(crate) fn go(future: impl Future<Output = JsValue> + 'static) -> Promise {
    thread_local! {
        static LAST: Cell<u32> = const { Cell::new(0) };
    }
    open();
    let deferred = deferred();
    let given = deferred.promise();
    let number = next(&LAST);
    let future = async move { deferred.resolve(&future.await) };
    let task = Rc::new(Task {
        number,
        future: RefCell::new(Some(Box::pin(future))),
        waker: Waker::from(Arc::new(Bell(number))),
        is_again: Cell::new(false),
    });
    TASKS.with_borrow_mut(|tasks| tasks.insert(number, Rc::clone(&task)));
    task.run();
    given
}

impl Task {
    fn run(&self) {
        let Ok(mut future) = self.future.try_borrow_mut() else { return self.is_again.set(true) };
        loop {
            self.is_again.set(false);
            NOW.set(Some(js_sys::Date::now()));
            let context = &mut Context::from_waker(&self.waker);
            let is_over = future.as_mut().is_none_or(|it| it.as_mut().poll(context).is_ready());
            NOW.set(None);
            if is_over {
                *future = None;
                TASKS.with_borrow_mut(|tasks| tasks.remove(self.number));
                return;
            }
            if !self.is_again.get() {
                return;
            }
        }
    }
}

/// Has a request go on.
struct Bell(u32);

impl Bell {
    fn ring(number: u32) {
        let task = TASKS.with_borrow_mut(|tasks| tasks.get_mut(number).map(|task| Rc::clone(task)));
        if let Some(task) = task {
            task.run();
        }
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let number = self.0;
        if IS_SETTLING.replace(false) {
            Self::ring(number);
        } else {
            // Whoever wakes may be in the middle of something.
            spawn_local(async move { Self::ring(number) });
        }
    }
}
