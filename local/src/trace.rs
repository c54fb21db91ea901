//! Traces: a span for each request that is traced and one for each of its attempts, in the words of
//! OpenTelemetry's conventions for HTTP, sent to a collector over OTLP.
//!
//! A client says by `traceparent` (W3C Trace Context) which trace its request belongs to, and whether it is
//! traced; a share of the others is. Each attempt goes up with a `traceparent` of its own span. What is not
//! traced goes up with what the client sent, and so does everything where traces are off.
//!
//! Spans that ended wait in a bounded queue for a thread that sends them in batches (`collector`): neither
//! a collector that is slow nor one that is away is felt on the road, and what finds no place is lost.

mod collector;

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderValue, Version};
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{
    Span as _, SpanBuilder, SpanContext, SpanKind, Status, TraceContextExt, Tracer as _,
    TracerProvider,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::HeaderExtractor;
use opentelemetry_otlp::ExporterBuildError;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider, Span};
use splitway_core::exchange::Attempt;
use splitway_core::head::Head;
use splitway_core::problem::Failure;
use splitway_core::telemetry::{End, Record, Share};

use crate::connect::Trust;
use crate::telemetry::Log;
use crate::upstream::Received;

pub(crate) const TRACEPARENT: &str = "traceparent";
pub(crate) const TRACESTATE: &str = "tracestate";

/// How long the last spans may take on their way to the collector.
const END_MAX: Duration = Duration::from_secs(5);

/// What makes spans, and sends them.
#[derive(Debug)]
pub(crate) struct Tracer {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

impl Tracer {
    /// Sends spans to the collector of this base URL. Of requests of which nobody says whether they are
    /// traced, `share` is.
    pub(crate) fn start(
        base: &http::Uri,
        share: Share,
        trust: &Trust,
        log: Log,
    ) -> Result<Self, ExporterBuildError> {
        let exporter = collector::exporter(base, trust, log)?;
        let new = Sampler::TraceIdRatioBased(share.as_f64());
        // A name in the environment (OTEL_SERVICE_NAME) goes before ours.
        let has_name = std::env::var_os("OTEL_SERVICE_NAME").is_some();
        let resource = Resource::builder();
        let resource = if has_name { resource } else { resource.with_service_name("splitway") };
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        let provider = SdkTracerProvider::builder()
            .with_span_processor(BatchSpanProcessor::builder(exporter).build())
            .with_sampler(Sampler::ParentBased(Box::new(new)))
            .with_resource(resource.with_attribute(version).build())
            .build();
        let tracer = provider.tracer("splitway");
        Ok(Self { provider, tracer })
    }

    /// The trace of a request that has just come, if it is traced.
    pub(crate) fn begin(
        &self,
        head: &impl Head,
        headers: &HeaderMap,
        version: Version,
    ) -> Option<Trace> {
        let parent = TraceContextPropagator::new()
            .extract_with_context(&Context::new(), &HeaderExtractor(headers));
        let is_continued = parent.span().span_context().is_valid();
        let (method, _) = method(head);
        let builder = SpanBuilder::from_name(method).with_kind(SpanKind::Server);
        let mut root = self.tracer.build_with_context(builder, &parent);
        if !root.is_recording() {
            return None;
        }
        root.set_attributes(asked(head, version));
        let context = root.span_context().clone();
        let root = Mutex::new(Some(root));
        Some(Trace { tracer: self.tracer.clone(), context, method, root, is_continued })
    }

    /// Sends what waits, unless that takes too long.
    pub(crate) fn end(&self) {
        // Whoever collects is told of on the way, if it does not.
        let _ = self.provider.shutdown_with_timeout(END_MAX);
    }
}

/// The trace of one request.
#[derive(Debug)]
pub(crate) struct Trace {
    tracer: SdkTracer,
    context: SpanContext,
    method: &'static str,
    /// Gone when the request is answered.
    root: Mutex<Option<Span>>,
    /// Whether it is a client's.
    is_continued: bool,
}

impl Trace {
    /// An attempt that begins.
    pub(crate) fn attempt(&self, attempt: &Attempt<'_>) -> Going {
        let parent = Context::new().with_remote_span_context(self.context.clone());
        let name = known_method(&attempt.method).unwrap_or("HTTP");
        let builder =
            SpanBuilder::from_name(name).with_kind(SpanKind::Client).with_attributes(sent(attempt));
        let span = self.tracer.build_with_context(builder, &parent);
        let (began, limit) = (Instant::now(), attempt.timeouts.until_head());
        Going { span, began, limit, drops_state: !self.is_continued }
    }

    /// The span of the request, which is answered as `record` says and ends with what is relayed.
    pub(crate) fn answered(&self, record: &Record<'_>) -> Option<Root> {
        let root = self.root.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut span = root?;
        if let Some(route) = record.route {
            span.update_name(format!("{} {route}", self.method));
        }
        let texts = [
            ("splitway.route", record.route),
            ("splitway.branch", record.branch),
            ("splitway.picked", record.picked),
            ("splitway.reason", record.reason),
            ("splitway.revision", record.revision),
        ];
        for (name, value) in texts {
            if let Some(value) = value {
                span.set_attribute(KeyValue::new(name, value.to_owned()));
            }
        }
        span.set_attribute(KeyValue::new("splitway.attempts", i64::from(record.attempts)));
        span.set_attribute(KeyValue::new(STATUS, i64::from(record.status)));
        if record.has_failed() {
            fail(
                &mut span,
                record.problem.map_or_else(|| record.status.to_string(), str::to_owned),
            );
        }
        Some(Root(span))
    }
}

/// The span of a request whose answer is on its way.
#[derive(Debug)]
pub(crate) struct Root(Span);

impl Root {
    /// The answer is at its end; ends the span.
    pub(crate) fn end(mut self, end: Option<End>, bytes: Option<u64>) {
        if let Some(bytes) = bytes.and_then(|bytes| i64::try_from(bytes).ok()) {
            self.0.set_attribute(KeyValue::new("http.response.body.size", bytes));
        }
        match end {
            Some(End::Broken) => fail(&mut self.0, "response_broken".to_owned()),
            Some(End::Left) => {
                self.0.set_attribute(KeyValue::new("splitway.end", "left"));
            }
            None => {}
        }
        self.0.end();
    }
}

/// An attempt that is under way. Dropped, it was given up.
#[derive(Debug)]
pub(crate) struct Going {
    span: Span,
    began: Instant,
    /// How long it may take.
    limit: Duration,
    drops_state: bool,
}

impl Going {
    /// Says to the node which span its own are children of.
    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        if let Ok(value) = HeaderValue::try_from(self.parent()) {
            headers.insert(TRACEPARENT, value);
        }
        if self.drops_state {
            headers.remove(TRACESTATE);
        }
    }

    /// The value of `traceparent` that says it.
    pub(crate) fn parent(&self) -> String {
        let context = self.span.span_context();
        let (trace, span) = (context.trace_id(), context.span_id());
        let flags = context.trace_flags().to_u8();
        format!("00-{trace}-{span}-{flags:02x}")
    }

    /// Whether the state of the client's trace belongs to a parent that there is not.
    pub(crate) fn drops_state(&self) -> bool {
        self.drops_state
    }

    /// Notes what came of it.
    pub(crate) fn end(mut self, came: &Result<Received, Failure>) {
        match came {
            Ok(received) => {
                let status = received.response.status().as_u16();
                self.span.set_attribute(KeyValue::new(STATUS, i64::from(status)));
                if status >= 400 {
                    fail(&mut self.span, status.to_string());
                }
            }
            Err(failure) => fail(&mut self.span, failure.token().to_owned()),
        }
        self.span.end();
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        if !self.span.is_recording() {
            return;
        }
        let is_late = self.began.elapsed() >= self.limit;
        let why = if is_late { Failure::HttpResponseTimeout.token() } else { "cancelled" };
        fail(&mut self.span, why.to_owned());
        self.span.end();
    }
}

const STATUS: &str = "http.response.status_code";

fn fail(span: &mut Span, why: String) {
    span.set_attribute(KeyValue::new("error.type", why));
    span.set_status(Status::error(""));
}

/// The methods that HTTP has (RFC 9110, RFC 5789); names of spans have no others.
fn known_method(method: &str) -> Option<&'static str> {
    const KNOWN: [&str; 9] =
        ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
    KNOWN.into_iter().find(|known| *known == method)
}

/// So much of what a client makes as long as it likes is told.
const TEXT_MAX: usize = 1024;

fn bounded(text: &str) -> String {
    text.get(..text.floor_char_boundary(TEXT_MAX)).unwrap_or_default().to_owned()
}

/// The method as spans name it, and as attributes do.
fn method(head: &impl Head) -> (&'static str, &'static str) {
    known_method(head.method()).map_or(("HTTP", "_OTHER"), |known| (known, known))
}

fn asked(head: &impl Head, version: Version) -> Vec<KeyValue> {
    let authority = head.host().rsplit_once('@').map_or(head.host(), |(_, host)| host);
    let host = authority.rsplit_once(':').filter(|_| !authority.ends_with(']'));
    let host = host.map_or(authority, |(host, _)| host);
    let mut attributes = vec![
        KeyValue::new("http.request.method", method(head).1),
        KeyValue::new("url.path", bounded(head.path())),
        KeyValue::new("url.scheme", head.scheme().to_owned()),
        KeyValue::new("server.address", bounded(host)),
        KeyValue::new("server.port", i64::from(head.port())),
        KeyValue::new("network.protocol.version", protocol(version)),
    ];
    if known_method(head.method()).is_none() {
        attributes.push(KeyValue::new("http.request.method_original", bounded(head.method())));
    }
    if let Some(client) = head.client() {
        attributes.push(KeyValue::new("client.address", client.to_canonical().to_string()));
    }
    attributes
}

fn sent(attempt: &Attempt<'_>) -> Vec<KeyValue> {
    let node = attempt.node;
    let path = attempt.target.split_once('?').map_or(&*attempt.target, |(path, _)| path);
    let url = format!("{}://{}{path}", attempt.scheme.as_str(), node.authority());
    let part = attempt.part;
    let mut attributes = vec![
        KeyValue::new("url.full", bounded(&url)),
        KeyValue::new("server.address", node.host().to_owned()),
        KeyValue::new("server.port", i64::from(node.port())),
        KeyValue::new("splitway.route", part.route.to_owned()),
        KeyValue::new("splitway.branch", part.branch.to_owned()),
        KeyValue::new("splitway.attempt", i64::from(part.number)),
        KeyValue::new("splitway.reason", part.reason),
        KeyValue::new("http.request.method", known_method(&attempt.method).unwrap_or("_OTHER")),
    ];
    if let Some(revision) = part.revision {
        attributes.push(KeyValue::new("splitway.revision", revision.to_owned()));
    }
    if part.number > 1 {
        attributes.push(KeyValue::new("http.request.resend_count", i64::from(part.number - 1)));
    }
    attributes
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        _ => "1.1",
    }
}
