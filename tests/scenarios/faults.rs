//! Upstreams that fail, each in its way, and what the client of one attempt gets.

use std::time::Duration;

use serde_json::{Value, json};

use crate::document::{everything_to, routes, upstream};
use crate::events;
use crate::message::{Answer, Call};
use crate::origin::Origin;
use crate::script::{Act, Door, Gate, Piece, Reply, Script};
use crate::target::Target;
use crate::tls::Certificate;

use super::problems::{is_problem, token};

/// Longer than any attempt here may take, and shorter than anybody waits for a test.
const TOO_LONG: Duration = Duration::from_secs(20);

/// A way to fail before the head of a response is complete: its name, and what tells it apart.
type Fault = (&'static str, Script, &'static str);

fn raw(head: &str) -> Script {
    Act::Garbage(format!("{head}\r\n\r\n").into_bytes()).into()
}

/// Connections that end before they brought a whole head.
fn broken_connections() -> Vec<Fault> {
    let terminated = "connection_terminated";
    let whole = || Reply::ok("a body");
    vec![
        ("closed at once", Door::Closed.into(), terminated),
        ("reset at once", Door::ResetAfter(0).into(), terminated),
        ("reset within the head of the request", Door::ResetAfter(10).into(), terminated),
        ("reset within the body of the request", Door::ResetAfter(5_000).into(), terminated),
        ("reset behind the request", Act::Reset.into(), terminated),
        ("reset before the body is read", Script::from(Act::Reset).early(), terminated),
        ("closed within the status line", whole().cut_after(10).into(), terminated),
        ("closed within the header lines", whole().cut_after(30).into(), terminated),
        ("reset within the status line", whole().reset_after(10).into(), terminated),
        ("closed behind an interim head", interim_only(), terminated),
    ]
}

fn interim_only() -> Script {
    raw("HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload")
}

/// Answers that are not sound HTTP.
fn broken_heads() -> Vec<Fault> {
    let unsound = "http_protocol_error";
    vec![
        ("no HTTP", raw("220 mail.example ESMTP"), unsound),
        ("no status", raw("HTTP/1.1 OK\r\nContent-Length: 0"), unsound),
        ("a header line without a colon", raw("HTTP/1.1 200 OK\r\nContent-Length 0"), unsound),
        ("lengths that differ", raw("HTTP/1.1 200 OK\r\nContent-Length: 4, 5"), unsound),
        ("a length that is no number", raw("HTTP/1.1 200 OK\r\nContent-Length: many"), unsound),
        ("a coding nobody knows", raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: own"), unsound),
    ]
}

/// Serves each of these at a path of its own, `/0` and so on, with so much time for the head.
fn serve_each(
    target: &mut impl Target,
    scripts: impl IntoIterator<Item = Script>,
    millis: u32,
) -> Vec<Origin> {
    let origins: Vec<Origin> = scripts.into_iter().map(|script| target.origin(script)).collect();
    let third = f64::from(millis) / 3000.0;
    let timeout = json!({"connect": third, "send": third, "read": third, "idle": 60});
    let route = |(number, origin): (usize, &Origin)| {
        let (id, uri) = (format!("fault-{number}"), format!("/{number}"));
        json!({"id": id, "uri": uri, "upstream": upstream(origin), "timeout": timeout})
    };
    target.start(&routes(&origins.iter().enumerate().map(route).collect::<Vec<_>>()));
    origins
}

/// A request to each of these that must not be sent twice; what the answer is to be is for `check`.
fn check_each(
    target: &mut impl Target,
    faults: Vec<Fault>,
    check: impl Fn(&str, &Answer, &'static str),
) {
    let origins = serve_each(target, faults.iter().map(|(_, script, _)| script.clone()), 60_000);
    for (number, ((name, _, expected), origin)) in faults.into_iter().zip(&origins).enumerate() {
        let answer = target.call(&Call::post(&format!("/{number}"), vec![b'x'; 50_000]));
        check(name, &answer, expected);
        assert!(origin.count() <= 1, "{name}: sent {} times", origin.count());
        assert!(origin.connections_count() >= 1, "{name}: nobody connected");
    }
}

fn check_status(name: &str, answer: &Answer, _: &'static str) {
    assert_eq!(answer.status, 502, "{name}: {}", answer.text());
    is_problem(answer, 502);
    assert_eq!(answer.branch().as_deref(), Some("route"), "{name}");
}

/// However a connection ends before there is a head: it is a bad gateway, and nothing is sent twice.
pub(crate) fn a_connection_that_breaks_before_the_head_is_a_502_problem(target: &mut impl Target) {
    check_each(target, broken_connections(), check_status);
}

/// Whatever is wrong with a head, nothing of it is passed on.
pub(crate) fn a_head_that_is_not_sound_is_a_502_problem(target: &mut impl Target) {
    check_each(target, broken_heads(), check_status);
}

/// The error types of RFC 9209 tell connections that broke from answers that are no HTTP.
pub(crate) fn each_way_to_fail_has_its_name(target: &mut impl Target) {
    let negative = raw("HTTP/1.1 200 OK\r\nContent-Length: -1");
    let mut all = broken_connections();
    all.extend(broken_heads());
    all.push(("a negative length", negative, "http_protocol_error"));
    check_each(target, all, |name, answer, expected| {
        check_status(name, answer, expected);
        assert_eq!(token(answer), expected, "{name}");
    });
}

/// A head without an end is not read for ever.
pub(crate) fn a_head_that_is_too_long_is_a_502_problem(target: &mut impl Target) {
    let long = Reply::ok("").header("X-Long", vec![b'x'; 1 << 20]);
    let many = (0..5_000)
        .fold(Reply::ok(""), |reply, number| reply.header(format!("X-{number}"), "y".repeat(200)));
    let faults = vec![
        ("one long line", long.into(), "http_protocol_error"),
        ("many lines", many.into(), "http_protocol_error"),
    ];
    check_each(target, faults, check_status);
}

/// A node that is called over TLS and cannot prove who it is gets no request.
pub(crate) fn tls_that_fails_is_a_502_problem(target: &mut impl Target) {
    for (name, _, answer, origin) in over_tls(target) {
        is_problem(&answer, 502);
        assert_eq!(answer.branch().as_deref(), Some("route"), "{name}");
        assert_eq!(origin.count(), 0, "{name}: it received a request");
    }
}

/// The error types of RFC 9209 tell bad certificates from what is no TLS.
pub(crate) fn each_way_that_tls_fails_has_its_name(target: &mut impl Target) {
    for (name, expected, answer, _) in over_tls(target) {
        assert_eq!(token(&answer), expected, "{name}");
    }
}

fn over_tls(target: &mut impl Target) -> Vec<(&'static str, &'static str, Answer, Origin)> {
    let bad = "tls_certificate_error";
    let faults = [
        ("no TLS", "tls_protocol_error", target.origin(Reply::ok(""))),
        ("another name", bad, target.tls_origin(Certificate::OfAnotherName, Reply::ok(""))),
        ("expired", bad, target.tls_origin(Certificate::Expired, Reply::ok(""))),
        ("unknown", bad, target.tls_origin(Certificate::OfUnknownAuthority, Reply::ok(""))),
        ("closed", "destination_unavailable", target.origin(Door::Closed)),
    ];
    let uri = |name: &str| format!("/{}", name.replace(' ', "-"));
    let route = |(name, _, origin): &(&str, &str, Origin)| {
        let mut upstream = upstream(origin);
        upstream["scheme"] = json!("https");
        json!({"id": uri(name).trim_start_matches('/'), "uri": uri(name), "upstream": upstream})
    };
    target.start(&routes(&faults.iter().map(route).collect::<Vec<_>>()));
    let call = |(name, expected, origin): (&'static str, &'static str, Origin)| {
        (name, expected, target.call(&Call::post(&uri(name), "a body")), origin)
    };
    faults.into_iter().map(call).collect()
}

/// A node with a certificate that is trusted for its name is called over TLS.
pub(crate) fn a_node_that_proves_who_it_is_is_called_over_tls(target: &mut impl Target) {
    let origin = target.tls_origin(Certificate::Sound, Reply::ok("sealed"));
    let mut upstream = upstream(&origin);
    upstream["scheme"] = json!("https");
    target.start(&routes(&[json!({"id": "tls", "uri": "/*", "upstream": upstream})]));

    assert_eq!(target.call(&Call::post("/x", "a body")).text(), "sealed");
    assert_eq!(origin.only_request().body, b"a body");
}

/// Whatever an upstream does until then: without a whole head in time it took too long.
pub(crate) fn a_head_that_is_not_there_in_time_is_a_504_problem(target: &mut impl Target) {
    let late = Act::from(Reply::ok("late")).late(TOO_LONG);
    let dripping = Reply::ok("late").drip(Duration::from_millis(100));
    let hinting = Script::new(|_| {
        let hints = Reply::ok("").after(103, "Link", "</a.css>; rel=preload");
        Act::from(hints.drip(Duration::from_millis(20)))
    });
    let faults: [(&str, Script); 4] = [
        ("late", late.into()),
        ("byte by byte", dripping.into()),
        ("hints, and slow ones", hinting),
        ("nothing read", Script::from(Act::Silence).early()),
    ];
    let (names, scripts): (Vec<_>, Vec<_>) = faults.into_iter().unzip();
    let origins = serve_each(target, scripts, 300);
    for (number, (name, origin)) in names.into_iter().zip(&origins).enumerate() {
        let answer = target.call(&Call::post(&format!("/{number}"), "a body"));
        assert_eq!(answer.status, 504, "{name}");
        is_problem(&answer, 504);
        assert_eq!(token(&answer), "http_response_timeout", "{name}");
        origin.wait_until("the attempt is given up", |requests| requests[0].gone);
        assert_eq!((origin.count(), origin.gone_count()), (1, 1), "{name}");
    }
}

/// What comes in time is relayed, however slowly it comes.
pub(crate) fn a_slow_answer_is_relayed(target: &mut impl Target) {
    let late = Act::from(Reply::ok("answer")).late(Duration::from_millis(20));
    let dripping = Reply::ok("answer").drip(Duration::from_micros(100));
    let origins = serve_each(target, [late.into(), dripping.into()], 20_000);
    for (number, origin) in origins.iter().enumerate() {
        let answer = target.call(&Call::post(&format!("/{number}"), "a body"));
        assert_eq!((answer.text().as_str(), answer.complete), ("answer", true), "{number}");
        assert_eq!(origin.gone_count(), 0, "{number}");
    }
}

/// The time is for the head: a body may take longer.
pub(crate) fn a_body_may_take_longer_than_its_head(target: &mut impl Target) {
    let pause = Piece::Pause(Duration::from_millis(2_100));
    let pieces = [Piece::Send(b"an".to_vec()), pause, Piece::Send(b"swer".to_vec())];
    let origins = serve_each(target, [Reply::status(200).pieces(pieces).into()], 2_000);

    let answer = target.call(&Call::post("/0", "a body"));
    assert_eq!((answer.text().as_str(), answer.complete), ("answer", true));
    assert_eq!(origins[0].gone_count(), 0);
}

/// An interim response is not the answer, and its headers are not those of the answer.
pub(crate) fn interim_responses_are_not_the_answer(target: &mut impl Target) {
    let hinted = Reply::ok("answer").header("X-Own", "1");
    let hinted = hinted.after(103, "Link", "</a.css>; rel=preload").after(103, "X-Hint", "2");
    let told = Reply::ok("answer").header("X-Own", "1").after(100, "X-Hint", "1");
    let origin = target.origin(Script::in_turn([hinted.into(), told.into()], Act::Close));
    target.start(&everything_to(&origin));

    for _ in 0..2 {
        let answer = target.call(&Call::post("/x", "a body"));
        assert_eq!((answer.status, answer.text().as_str()), (200, "answer"));
        assert_eq!(answer.header("x-own").as_deref(), Some("1"));
        assert!(!answer.headers.has("x-hint") && !answer.headers.has("link"));
    }
}

/// A client that asks whether to go on gets its answer, whether the upstream says so or not.
pub(crate) fn a_client_that_asks_whether_to_go_on_has_its_answer(target: &mut impl Target) {
    let told = Act::from(Reply::ok("heard").after(100, "X-Go", "on"));
    let refused = Reply::status(417).body("no");
    let first = [told, Reply::ok("heard").into()];
    let origin = target.origin(Script::in_turn(first, refused));
    target.start(&everything_to(&origin));

    for (status, text) in [(200, "heard"), (200, "heard"), (417, "no")] {
        let call = Call::post("/x", "a body").header("Expect", "100-continue");
        let answer = target.call(&call);
        assert_eq!((answer.status, answer.text().as_str()), (status, text));
        assert_eq!(origin.requests().pop().unwrap().body, b"a body");
    }
}

/// Bodies that break off, each with the whole of its framing promised.
fn broken_bodies() -> Vec<(&'static str, Reply)> {
    let pieces = |rest: &[Piece]| {
        let sent = [Piece::Send(b"the first half".to_vec())].into_iter();
        Reply::status(200).pieces(sent.chain(rest.iter().cloned()).collect::<Vec<_>>())
    };
    let sized = || Reply::ok("the first half and the second");
    let said = Reply::status(200).header("Content-Length", "29");
    let unframed = Reply::status(200).until_close("the first half and the second");
    vec![
        ("closed before the length it said", said.raw("the first half").then_close()),
        ("closed within a sized body", sized().cut_after(SIZED_HEAD + 14)),
        ("reset within a sized body", sized().reset_after(SIZED_HEAD + 14)),
        ("closed between chunks", pieces(&[Piece::Cut])),
        ("reset between chunks", pieces(&[Piece::Reset])),
        ("closed within a chunk", pieces(&[Piece::Raw(b"10\r\n".to_vec()), Piece::Cut])),
        ("a chunk without a size", pieces(&[Piece::Raw(b"zz\r\nabc\r\n".to_vec()), Piece::Cut])),
        ("reset before it is closed", unframed.reset_after(UNFRAMED_HEAD + 14)),
    ]
}

/// `HTTP/1.1 200 Scripted`, `Content-Length: 29` and an empty line.
const SIZED_HEAD: usize = 23 + 20 + 2;

/// The same without the length.
const UNFRAMED_HEAD: usize = 23 + 2;

/// Checks that a response which broke off does not look whole. Where the end comes right behind the
/// head, the client may see no more than the end of its own connection.
fn check_broken_off(target: &impl Target, path: &str, name: &str, sent: &str) {
    let Some(answer) = target.call_or_end(&Call::post(path, "a body")) else { return };
    assert_eq!((answer.status, answer.complete), (200, false), "{name}: {}", answer.text());
    assert!(sent.starts_with(&answer.text()), "{name}: {}", answer.text());
}

/// A body that breaks off is never passed on as if it were whole.
pub(crate) fn a_body_that_breaks_off_is_seen_to(target: &mut impl Target) {
    let (names, replies): (Vec<_>, Vec<_>) = broken_bodies().into_iter().unzip();
    let origins = serve_each(target, replies.into_iter().map(Script::from), 60_000);
    for (number, (name, origin)) in names.into_iter().zip(&origins).enumerate() {
        check_broken_off(target, &format!("/{number}"), name, "the first half");
        assert_eq!(origin.count(), 1, "{name}");
    }
}

/// The chunk without bytes is not the end of a body: a line is missing.
pub(crate) fn a_body_without_its_last_line_is_seen_to_break_off(target: &mut impl Target) {
    let whole = Piece::Send(b"the first half".to_vec());
    let pieces = [whole, Piece::Raw(b"0\r\n".to_vec()), Piece::Cut];
    let origin = target.origin(Reply::status(200).pieces(pieces));
    target.start(&everything_to(&origin));
    check_broken_off(target, "/x", "without its last line", "the first half");
}

/// What an upstream sends behind the length it said is not part of the body, nor the next answer.
pub(crate) fn a_body_longer_than_it_said_is_no_other_answer(target: &mut impl Target) {
    let forged = "hello HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged";
    let first = Reply::status(200).header("Content-Length", "5").raw(forged.replace(' ', ""));
    let origin = target.origin(Script::new(move |request| match request.target.as_str() {
        "/long" => first.clone().into(),
        other => Reply::ok(format!("for {other}")).into(),
    }));
    target.start(&everything_to(&origin));

    for number in 0..5 {
        let answer = target.call(&Call::post("/long", "a body"));
        assert_eq!((answer.text().as_str(), answer.complete), ("hello", true), "{number}");
        let path = format!("/{number}");
        assert_eq!(target.call(&Call::post(&path, "a body")).text(), format!("for {path}"));
    }
}

/// A response that is framed in two ways ends where one of them says, or is refused (RFC 9112, 6.3).
pub(crate) fn a_response_with_two_framings_goes_down_with_one(target: &mut impl Target) {
    let both = Reply::status(200)
        .header("Content-Length", "3")
        .header("Transfer-Encoding", "chunked")
        .raw("5\r\nhello\r\n0\r\n\r\n");
    let twice = Reply::status(200).header("Content-Length", "5").header("Content-Length", "5");
    let origin = target.origin(Script::new(move |request| match request.target.as_str() {
        "/both" => both.clone().into(),
        _ => twice.clone().raw("hello").into(),
    }));
    target.start(&everything_to(&origin));

    for path in ["/both", "/twice"] {
        let answer = target.call(&Call::post(path, "a body"));
        if answer.status == 502 {
            is_problem(&answer, 502);
            continue;
        }
        assert_eq!((answer.status, answer.text().as_str()), (200, "hello"), "{path}");
        assert!(answer.complete, "{path}");
        let framings = answer.headers.all("content-length").len()
            + answer.headers.all("transfer-encoding").len();
        assert!(framings <= 1, "{path}: {:?}", answer.headers);
    }
}

/// Whoever fails for a while is asked again by the next request: one failure is no verdict.
pub(crate) fn failures_end_when_they_end(target: &mut impl Target) {
    let first = [Act::Close, Act::Reset, Act::Garbage(b"?\r\n\r\n".to_vec())];
    let origin = target.origin(Script::in_turn(first, Reply::ok("back")));
    let statuses = target.origin(Script::statuses(&[503, 429, 500]));
    target.start(&routes(&[
        json!({"id": "breaks", "uri": "/breaks", "upstream": upstream(&origin)}),
        json!({"id": "answers", "uri": "/answers", "upstream": upstream(&statuses)}),
    ]));

    let told = |path| {
        let statuses = (0..5).map(|_| target.call(&Call::post(path, "a body")).status);
        statuses.collect::<Vec<_>>()
    };
    assert_eq!(told("/breaks"), [502, 502, 502, 200, 200]);
    assert_eq!(told("/answers"), [503, 429, 500, 200, 200]);
    assert_eq!((origin.count(), statuses.count()), (5, 5));
}

/// A connection that was kept and breaks at its next request may cost that request, but no request
/// comes twice, and none that was answered is told to have failed.
pub(crate) fn a_kept_connection_that_breaks_costs_one_request(target: &mut impl Target) {
    let origin = target.origin(Script::new(|request| match request.earlier_count {
        0 => Reply::ok("first").into(),
        _ => Act::Reset,
    }));
    target.start(&everything_to(&origin));

    let mut failed = 0;
    for number in 0..20 {
        let answer = target.call(&Call::post(&format!("/{number}"), "a body"));
        match answer.status {
            200 => assert_eq!(answer.text(), "first"),
            _ => is_problem(&answer, 502),
        }
        failed += usize::from(answer.status != 200);
    }
    let requests = origin.requests();
    let targets: Vec<&str> = requests.iter().map(|request| request.target.as_str()).collect();
    let expected: Vec<String> = (0..20).map(|number| format!("/{number}")).collect();
    assert_eq!(targets, expected);
    let broken = requests.iter().filter(|request| request.earlier_count > 0).count();
    assert_eq!(failed, broken);
    // A runtime may connect in vain, where an earlier connection is free by then.
    assert!(origin.connections_count() >= 20 - broken, "{}", origin.connections_count());
}

/// An answer that comes before the body of the request is read is the answer.
pub(crate) fn an_answer_before_the_body_is_relayed(target: &mut impl Target) {
    let refused = Reply::status(413).body("too long");
    let replies = [refused.clone(), refused.then_close()];
    let scripts = replies.into_iter().map(|reply| Script::from(reply).early());
    let origins = serve_each(target, scripts, 60_000);
    for (number, origin) in origins.iter().enumerate() {
        let path = format!("/{number}");
        for call in [Call::post(&path, vec![b'x'; 1 << 20]), Call::post(&path, "x").in_chunks()] {
            let answer = target.call(&call);
            assert_eq!((answer.status, answer.text().as_str()), (413, "too long"));
            assert!(answer.complete);
        }
        assert_eq!(origin.count(), 2);
    }
}

/// The client has it while it still holds the rest of its request back.
pub(crate) fn an_answer_before_the_body_does_not_wait_for_it(target: &mut impl Target) {
    let origin = target.origin(Script::from(Reply::status(413).body("too long")).early());
    target.start(&everything_to(&origin));

    let mut connection = target.dial();
    connection.send_head(&Call::post("/x", "").in_chunks());
    connection.send_chunk(b"first");
    let answer = connection.answer();
    assert_eq!((answer.status, answer.text().as_str()), (413, "too long"));
}

/// What a stream of events says is for the client to read, whatever it is.
pub(crate) fn streams_of_events_are_relayed_as_they_are(target: &mut impl Target) {
    let typed = events::stream(&[events::TYPED_ERROR], []);
    let streams = [
        ("whole", events::whole(), [events::DELTA, events::DELTA, events::DONE].concat()),
        ("an error", events::first_is_error(), [events::ERROR, events::DONE].concat()),
        ("an error by its type", typed, events::TYPED_ERROR.to_owned()),
        ("nothing", events::none(), String::new()),
        ("comments", events::comments_only(), events::COMMENT.repeat(2)),
    ];
    let scripts = streams.iter().map(|(_, reply, _)| reply.clone().into());
    let origins = serve_each(target, scripts, 60_000);
    for (number, (name, _, expected)) in streams.into_iter().enumerate() {
        let answer = target.call(&Call::post(&format!("/{number}"), r#"{"stream":true}"#));
        assert_eq!((answer.status, answer.complete), (200, true), "{name}");
        assert_eq!(answer.text(), expected, "{name}");
        assert_eq!(answer.header("content-type").as_deref(), Some("text/event-stream"));
    }
    assert!(origins.iter().all(|origin| origin.count() == 1));
}

/// The event that tells why there are no more of them.
#[track_caller]
fn check_farewell(text: &str, told: &str, code: &str) {
    let farewell = text.strip_prefix(told).unwrap_or_else(|| panic!("{told:?} in {text:?}"));
    let event = farewell.trim_start().strip_prefix("event: error\ndata: ");
    let data = event.and_then(|data| data.strip_suffix("\n\n"));
    let data: Value = serde_json::from_str(data.unwrap_or_default()).unwrap_or_default();
    assert_eq!(data["error"]["code"], code, "{farewell:?}");
}

/// A stream of events that breaks off says so, as its clients understand it, and ends.
pub(crate) fn a_stream_of_events_that_breaks_off_says_so(target: &mut impl Target) {
    let told = [events::DELTA, events::DELTA];
    // What came before a reset may be lost with it.
    let replies = [events::then_cut(&told), events::then_cut(&[]), events::then_reset(&[])];
    let origins = serve_each(target, replies.map(Script::from), 60_000);
    for (number, origin) in origins.iter().enumerate() {
        let answer = target.call(&Call::post(&format!("/{number}"), r#"{"stream":true}"#));
        assert_eq!((answer.status, answer.complete), (200, true), "{number}");
        let told = if number == 0 { told.concat() } else { String::new() };
        check_farewell(&answer.text(), &told, "connection_terminated");
        assert_eq!(origin.count(), 1);
    }
}

/// So does one that pauses for too long, and its upstream is let go.
pub(crate) fn a_stream_of_events_that_stalls_says_so(target: &mut impl Target) {
    let origin = target.origin(events::then_stall(&[events::DELTA, events::COMMENT]));
    let mut route = json!({"id": "r", "uri": "/*", "upstream": upstream(&origin)});
    route["timeout"] = json!({"connect": 60, "send": 60, "read": 60, "idle": 0.5});
    target.start(&routes(&[route]));

    let answer = target.call(&Call::post("/x", r#"{"stream":true}"#));
    assert_eq!((answer.status, answer.complete), (200, true), "{}", answer.text());
    let told = [events::DELTA, events::COMMENT].concat();
    check_farewell(&answer.text(), &told, "http_response_timeout");
    origin.wait_until("it is let go", |requests| requests[0].gone);
}

/// What was said before a stream of events breaks off is with the client at once.
pub(crate) fn events_before_a_break_arrive(target: &mut impl Target) {
    let gate = Gate::default();
    let then = [Piece::Wait(gate.clone()), Piece::Cut];
    let origin = target.origin(events::stream(&[events::DELTA, events::DELTA], then));
    target.start(&everything_to(&origin));

    let mut connection = target.dial();
    connection.send(&Call::post("/x", r#"{"stream":true}"#));
    assert_eq!(connection.start().status, 200);
    connection.expect_bytes(events::DELTA.repeat(2).as_bytes());
    gate.open();
    let rest: Vec<u8> = std::iter::from_fn(|| connection.chunk()).flatten().collect();
    check_farewell(&String::from_utf8_lossy(&rest), "", "connection_terminated");
}

/// A stream whose events nobody here can read, for they are compressed, can only be cut off.
pub(crate) fn a_compressed_stream_that_breaks_off_is_seen_to(target: &mut impl Target) {
    let reply = events::then_cut(&[events::DELTA]).header("Content-Encoding", "zstd");
    let origins = serve_each(target, [Script::from(reply)], 60_000);
    check_broken_off(target, "/0", "compressed", events::DELTA);
    assert_eq!(origins[0].count(), 1);
}

/// What was said before a stream of events stalls is with the client.
pub(crate) fn events_before_a_stall_arrive(target: &mut impl Target) {
    let origin = target.origin(events::then_stall(&[events::DELTA, events::COMMENT]));
    target.start(&everything_to(&origin));

    let mut connection = target.dial();
    connection.send(&Call::post("/x", r#"{"stream":true}"#));
    assert_eq!(connection.start().status, 200);
    connection.expect_bytes([events::DELTA, events::COMMENT].concat().as_bytes());
    assert_eq!((origin.count(), origin.gone_count()), (1, 0));
}
