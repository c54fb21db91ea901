//! Traces, as a collector gets them: over a socket, in the protobuf of OTLP.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use prost::Message;
use serde_json::json;
use splitway_tests::document::{routes, split};
use splitway_tests::message::Call;
use splitway_tests::origin::Origin;
use splitway_tests::script::{Act, Reply, Script};
use splitway_tests::wire;

use crate::process::{Files, PATIENCE, Serving, everything_to, origin, splitway};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

fn to(origin: &Origin) -> String {
    everything_to(&format!("http://{}", origin.authority()))
}

fn tracing(files: &Files, document: &str, collector: &Origin, more: &[&str]) -> Serving {
    let path = files.write("split.yaml", document);
    let mut command = splitway();
    command.env("OTEL_BSP_SCHEDULE_DELAY", "50");
    let otlp = format!("http://{}", collector.authority());
    Serving::start(command, &[&["--config", &path, "--otlp", &otlp], more].concat())
}

/// All spans that a collector has got.
fn spans(collector: &Origin) -> Vec<Span> {
    let mut spans = Vec::new();
    for request in collector.requests().iter().filter(|request| request.complete) {
        assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "/v1/traces"));
        assert_eq!(request.header("content-type").as_deref(), Some("application/x-protobuf"));
        let batch = ExportTraceServiceRequest::decode(&*request.body).expect("OTLP");
        for resource in batch.resource_spans {
            let about = attributes(&resource.resource.expect("a resource").attributes);
            assert_eq!(about["service.name"], "splitway");
            spans.extend(resource.scope_spans.into_iter().flat_map(|scope| scope.spans));
        }
    }
    spans
}

/// The spans, once there are so many.
fn await_spans(collector: &Origin, count: usize) -> Vec<Span> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let spans = spans(collector);
        if spans.len() >= count {
            assert_eq!(spans.len(), count, "{spans:?}");
            return spans;
        }
        assert!(Instant::now() < deadline, "{count} spans are not among {spans:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn attributes(
    list: &[opentelemetry_proto::tonic::common::v1::KeyValue],
) -> BTreeMap<String, String> {
    let text = |value: Option<Any>| match value {
        Some(Any::StringValue(text)) => text,
        Some(Any::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    };
    let pairs = list
        .iter()
        .map(|pair| (pair.key.clone(), text(pair.value.clone().and_then(|value| value.value))));
    pairs.collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn of_kind(spans: &[Span], kind: SpanKind) -> Vec<&Span> {
    spans.iter().filter(|span| span.kind == kind as i32).collect()
}

#[test]
fn a_request_and_each_of_its_attempts_are_spans_of_the_clients_trace() {
    let files = Files::new();
    let collector = origin("");
    let script = Script::in_turn([Act::from(Reply::status(503).body("busy"))], Reply::ok("fine"));
    let node = Origin::on_loopback(script);
    let document = split(&[json!({"weighted_upstreams": [{
        "name": "v1",
        "weight": 1,
        "upstream": {
            "nodes": {node.authority(): 1},
            "retries": 1,
            "retry": {"when": [503], "backoff": {"base": 0.0, "max": 0.1}},
        },
    }]})]);
    let serving = tracing(&files, &document, &collector, &[]);
    let call = Call::get("/v1/things?key=secret")
        .header("traceparent", format!("00-{TRACE}-{PARENT}-01"))
        .header("tracestate", "vendor=1");
    assert_eq!(wire::call(serving.traffic, &call).status, 200);
    let spans = await_spans(&collector, 3);
    assert!(spans.iter().all(|span| hex(&span.trace_id) == TRACE));
    let roots = of_kind(&spans, SpanKind::Server);
    let [root] = roots.as_slice() else { panic!("{spans:?}") };
    assert_eq!(hex(&root.parent_span_id), PARENT);
    assert_eq!(root.trace_state, "vendor=1");
    assert_eq!(root.name, "GET split");
    let about = attributes(&root.attributes);
    for (name, value) in [
        ("http.request.method", "GET"),
        ("http.response.status_code", "200"),
        ("url.path", "/v1/things"),
        ("url.scheme", "http"),
        ("server.address", "splitway.test"),
        ("client.address", "127.0.0.1"),
        ("network.protocol.version", "1.1"),
        ("splitway.route", "split"),
        ("splitway.branch", "v1"),
        ("splitway.reason", "turn"),
        ("splitway.attempts", "2"),
        ("http.response.body.size", "4"),
    ] {
        assert_eq!(about.get(name).map(String::as_str), Some(value), "{name} in {about:?}");
    }
    let mut attempts = of_kind(&spans, SpanKind::Client);
    attempts.sort_by_key(|span| span.start_time_unix_nano);
    let sent = node.requests();
    assert_eq!((attempts.len(), sent.len()), (2, 2));
    for (span, received) in attempts.iter().zip(&sent) {
        assert_eq!(span.parent_span_id, root.span_id, "an attempt is a part of the request");
        let parent = format!("00-{TRACE}-{}-01", hex(&span.span_id));
        assert_eq!(received.header("traceparent"), Some(parent), "each has a name of its own");
        assert_eq!(received.header("tracestate").as_deref(), Some("vendor=1"));
        assert!(root.start_time_unix_nano <= span.start_time_unix_nano);
        assert!(span.end_time_unix_nano <= root.end_time_unix_nano);
    }
    let [first, second] = [attempts[0], attempts[1]].map(|span| attributes(&span.attributes));
    assert_eq!(first["http.response.status_code"], "503");
    assert_eq!((&*first["error.type"], &*first["splitway.attempt"]), ("503", "1"));
    assert_eq!(first.get("http.request.resend_count"), None);
    assert_eq!((&*second["splitway.reason"], &*second["splitway.attempt"]), ("retry", "2"));
    assert_eq!(second["http.request.resend_count"], "1");
    assert_eq!(second["server.port"], node.port().to_string());
    assert!(second["url.full"].ends_with("/v1/things"), "{second:?}");
    assert_eq!(attempts[0].status.as_ref().expect("a status").code, StatusCode::Error as i32);
    assert!(!format!("{spans:?}").contains("secret"));
}

#[test]
fn failures_are_told_by_the_names_that_problems_have() {
    let files = Files::new();
    let (collector, down) = (origin(""), Origin::refusing());
    let serving = tracing(&files, &to(&down), &collector, &[]);
    assert_eq!(serving.get("/").status, 502);
    let spans = await_spans(&collector, 2);
    for span in &spans {
        assert_eq!(attributes(&span.attributes)["error.type"], "connection_refused");
        assert_eq!(span.status.as_ref().expect("a status").code, StatusCode::Error as i32);
    }
}

#[test]
fn what_an_attempt_that_takes_too_long_is_called() {
    let files = Files::new();
    let (collector, mute) = (origin(""), Origin::on_loopback(Act::Silence.into()));
    let document = routes(&[json!({"id": "all", "uri": "/*", "upstream": {
        "nodes": {mute.authority(): 1}, "retries": 0,
        "timeout": {"connect": 0.05, "send": 0.05, "read": 0.05},
    }})]);
    let serving = tracing(&files, &document, &collector, &[]);
    assert_eq!(serving.get("/").status, 504);
    for span in &await_spans(&collector, 2) {
        assert_eq!(attributes(&span.attributes)["error.type"], "http_response_timeout");
    }
}

#[test]
fn what_a_client_says_is_not_traced_goes_up_as_it_came() {
    let files = Files::new();
    let (collector, node) = (origin(""), origin("one"));
    let serving = tracing(&files, &to(&node), &collector, &["--trace-sample", "0"]);
    let unsampled = format!("00-{TRACE}-{PARENT}-00");
    let call = Call::get("/").header("traceparent", &unsampled).header("tracestate", "vendor=1");
    wire::call(serving.traffic, &call);
    serving.get("/nothing");
    let sampled = format!("00-{TRACE}-{PARENT}-01");
    wire::call(serving.traffic, &Call::get("/").header("traceparent", &sampled));
    let spans = await_spans(&collector, 2);
    assert!(spans.iter().all(|span| hex(&span.trace_id) == TRACE));
    let sent = node.requests();
    assert_eq!(sent[0].header("traceparent"), Some(unsampled));
    assert_eq!(sent[0].header("tracestate").as_deref(), Some("vendor=1"));
    assert_eq!(sent[1].header("traceparent"), None);
    assert_ne!(sent[2].header("traceparent"), Some(sampled));
}

#[test]
fn a_broken_traceparent_begins_a_trace_without_the_state_of_another() {
    let files = Files::new();
    let (collector, node) = (origin(""), origin("one"));
    let serving = tracing(&files, &to(&node), &collector, &[]);
    let broken = [
        "",
        "00",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        &"-".repeat(4000),
    ];
    for parent in broken {
        let call = Call::get("/").header("traceparent", parent).header("tracestate", "vendor=1");
        assert_eq!(wire::call(serving.traffic, &call).status, 200, "{parent}");
    }
    let spans = await_spans(&collector, 2 * broken.len());
    let traces: BTreeSet<_> = spans.iter().map(|span| span.trace_id.clone()).collect();
    assert_eq!(traces.len(), broken.len());
    for received in node.requests() {
        let parent = received.header("traceparent").expect("one of ours");
        assert!(traces.iter().any(|trace| parent.contains(&hex(trace))), "{parent}");
        assert_eq!(received.header("tracestate"), None);
    }
}

#[test]
fn without_a_collector_the_headers_of_clients_are_passed_on() {
    let files = Files::new();
    let node = origin("one");
    let serving = Serving::file(&files.write("split.yaml", &to(&node)), &[]);
    let parent = format!("00-{TRACE}-{PARENT}-01");
    let call = Call::get("/").header("traceparent", &parent).header("tracestate", "a=b,c=d");
    wire::call(serving.traffic, &call);
    let received = node.only_request();
    assert_eq!(received.header("traceparent"), Some(parent));
    assert_eq!(received.header("tracestate").as_deref(), Some("a=b,c=d"));
}

#[test]
fn a_collector_that_is_away_is_told_of_once_and_keeps_nobody_waiting() {
    let files = Files::new();
    let (away, node) = (Origin::refusing(), origin("one"));
    let mut serving = tracing(&files, &to(&node), &away, &[]);
    for _ in 0..300 {
        assert_eq!(serving.get("/").status, 200);
    }
    let line = serving.line(|line| line.contains("traces_not_sent"));
    assert!(line.contains(r#""level":"error""#), "{line}");
    serving.signal("TERM");
    let told = serving.told();
    assert_eq!(told.matches("traces_not_sent").count(), 1, "{told}");
    let began = Instant::now();
    assert!(serving.end().success());
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[test]
fn what_waits_is_sent_when_a_server_ends() {
    let files = Files::new();
    let (collector, node) = (origin(""), origin("one"));
    let path = files.write("split.yaml", &to(&node));
    let mut command = splitway();
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{}", collector.authority()));
    let serving = Serving::start(command, &["--config", &path]);
    serving.get("/");
    serving.signal("TERM");
    assert!(serving.end().success());
    assert_eq!(spans(&collector).len(), 2);
}
