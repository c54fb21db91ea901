//! The access log: a line for each request, whatever clients make of it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use splitway_tests::document::{branches, upstream};
use splitway_tests::message::Call;
use splitway_tests::origin::Origin;
use splitway_tests::script::{Act, Gate, Piece, Reply, Script};
use splitway_tests::wire::{self, Connection};

use crate::process::{Files, PATIENCE, Serving, argument, everything_to, origin, splitway};

fn to(origin: &Origin) -> String {
    everything_to(&format!("http://{}", origin.authority()))
}

/// The lines of a file, once there are so many.
fn lines(path: &Path, count: usize) -> Vec<Value> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let text = fs::read_to_string(path).unwrap_or_default();
        let whole = text.lines().count() >= count && text.ends_with('\n');
        if whole || (count == 0 && text.is_empty()) {
            let read = |line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
            return text.lines().map(read).collect();
        }
        assert!(Instant::now() < deadline, "{count} lines are not among\n{text}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A server by a document, with its log in a file.
fn logging(files: &Files, document: &str, more: &[&str]) -> (Serving, std::path::PathBuf) {
    let path = files.write("split.yaml", document);
    let log = files.path("access.log");
    let serving = Serving::file(&path, &[&["--access-log", &argument(&log)], more].concat());
    (serving, log)
}

#[test]
fn a_line_tells_what_became_of_a_request() {
    let files = Files::new();
    let origin = origin("one");
    let (serving, log) = logging(&files, &to(&origin), &[]);
    let call = Call::post("/v1/chat?token=secret", "secret body")
        .header("authorization", "Bearer secret")
        .header("cookie", "a=secret");
    assert_eq!(wire::call(serving.traffic, &call).status, 200);
    let told = lines(&log, 1).remove(0);
    for (name, value) in [
        ("level", json!("info")),
        ("event", json!("request")),
        ("status", json!(200)),
        ("route", json!("all")),
        ("branch", json!("route")),
        ("reason", json!("whole")),
        ("node", json!(origin.authority())),
        ("method", json!("POST")),
        ("host", json!("splitway.test")),
        ("path", json!("/v1/chat")),
        ("client", json!("127.0.0.1")),
        ("bytes_in", json!(11)),
        ("bytes_out", json!(3)),
    ] {
        assert_eq!(told[name], value, "{name} in {told}");
    }
    assert!(told["total_ms"].as_u64() >= told["duration_ms"].as_u64(), "{told}");
    assert!(told["at_ms"].is_u64() && told["revision"].is_string(), "{told}");
    let text = fs::read_to_string(&log).expect("it is there");
    assert!(!text.contains("secret"), "{text}");
}

#[test]
fn the_name_of_a_request_and_of_who_asks_are_told() {
    let files = Files::new();
    let origin = origin("one");
    let key = "a-key-that-nobody-guesses";
    let document = json!({
        "consumers": [{"username": "jack", "plugins": {"key-auth": {"key": key}}}],
        "routes": [{
            "id": "all",
            "uri": "/*",
            "plugins": {"request-id": {}, "real-ip": {"source": "http_x_real", "trusted_addresses": ["127.0.0.0/8"]}, "key-auth": {}},
            "upstream": upstream(&origin),
        }],
    });
    let (serving, log) = logging(&files, &document.to_string(), &[]);
    let call = |id: Option<&str>, key: &str| {
        let call = Call::get("/a").header("apikey", key).header("x-real", "192.0.2.7");
        let call = id.into_iter().fold(call, |call, id| call.header("x-request-id", id));
        wire::call(serving.traffic, &call).header("x-request-id")
    };
    let given = call(None, key).expect("a name");
    assert_eq!(call(Some("mine"), key).as_deref(), Some("mine"));
    let refused = call(None, "wrong").expect("a name");
    let told = lines(&log, 3);
    for (line, id) in told.iter().zip([&*given, "mine", &*refused]) {
        assert_eq!((&line["request_id"], &line["client"]), (&json!(id), &json!("192.0.2.7")));
    }
    assert_eq!((&told[0]["consumer"], told[2].get("consumer")), (&json!("jack"), None));
    assert!(!fs::read_to_string(&log).expect("it is there").contains(key));
}

#[test]
fn standard_output_has_requests_and_standard_error_has_the_rest() {
    let files = Files::new();
    let origin = origin("one");
    let path = files.write("split.yaml", &to(&origin));
    let out = files.path("out");
    let mut command = splitway();
    command.stdout(fs::File::create(&out).expect("a file"));
    let mut serving = Serving::start(command, &["--config", &path, "--access-log", "-"]);
    serving.get("/");
    serving.get("/../");
    assert_eq!(lines(&out, 2).len(), 2);
    assert!(!serving.told().contains(r#""event":"request""#), "{}", serving.told());
}

#[test]
fn an_answer_of_our_own_is_told_of_once_and_where_the_log_is() {
    let files = Files::new();
    let (mut serving, log) = logging(&files, "routes: []\n", &["--access-log-sample", "0"]);
    assert_eq!(serving.get("/nowhere").status, 404);
    let told = lines(&log, 1).remove(0);
    assert_eq!(told["problem"], "destination_not_found");
    assert_eq!((&told["level"], &told["route"]), (&json!("warn"), &Value::Null));
    assert_eq!(told.get("sample"), None, "all of these are told of");
    assert!(!serving.told().contains("destination_not_found"));
}

#[test]
fn the_end_of_an_answer_is_told_of() {
    let files = Files::new();
    let gate = Gate::default();
    let streams = {
        let gate = gate.clone();
        Script::new(move |request| {
            let pieces = match request.target.as_str() {
                "/broken" => vec![Piece::Send(b"12345".to_vec()), Piece::Cut],
                "/left" => vec![Piece::Send(b"123".to_vec()), Piece::WaitUntilGone],
                _ => vec![
                    Piece::Send(b"12".to_vec()),
                    Piece::Wait(gate.clone()),
                    Piece::Send(b"34".to_vec()),
                ],
            };
            Reply::status(200).pieces(pieces).into()
        })
    };
    let origin = Origin::on_loopback(streams);
    let (serving, log) = logging(&files, &to(&origin), &[]);
    let mut client = Connection::open(serving.traffic);
    client.send(&Call::get("/whole"));
    client.start();
    client.chunk();
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(lines(&log, 0), [Value::Null; 0], "it is not at its end yet");
    gate.open();
    while client.chunk().is_some() {}
    let told = lines(&log, 1).remove(0);
    assert_eq!((&told["bytes_out"], told.get("end")), (&json!(4), None), "{told}");
    let (head, total) = (told["duration_ms"].as_u64(), told["total_ms"].as_u64());
    assert!(total.unwrap_or_default() >= head.unwrap_or_default() + 50, "{told}");

    let mut client = Connection::open(serving.traffic);
    client.send(&Call::get("/broken"));
    client.start();
    client.wait_for_end();
    let told = lines(&log, 2).remove(1);
    assert_eq!((&told["bytes_out"], &told["end"]), (&json!(5), &json!("broken")), "{told}");

    let mut client = Connection::open(serving.traffic);
    client.send(&Call::get("/left"));
    client.start();
    client.chunk();
    client.leave().expect("it is open");
    let told = lines(&log, 3).remove(2);
    assert_eq!((&told["bytes_out"], &told["end"]), (&json!(3), &json!("left")), "{told}");
}

#[test]
fn a_share_is_exact_and_what_fails_or_is_slow_is_all_there() {
    let files = Files::new();
    let script = Script::new(|request| match request.target.as_str() {
        "/failed" => Reply::status(500).body("no").into(),
        "/slow" => Act::from(Reply::ok("late")).late(Duration::from_millis(60)),
        _ => Reply::ok("fine").into(),
    });
    let origin = Origin::on_loopback(script);
    let more = ["--access-log-sample", "0.05", "--access-log-slow", "50ms", "--workers", "2"];
    let (serving, log) = logging(&files, &to(&origin), &more);
    for number in 0..400 {
        let path = match number % 40 {
            0 => "/failed",
            20 => "/slow",
            _ => "/",
        };
        serving.get(path);
    }
    serving.signal("TERM");
    serving.end();
    let told = lines(&log, 39);
    let of = |path: &str| told.iter().filter(|line| line["path"] == path).collect::<Vec<_>>();
    assert_eq!((of("/failed").len(), of("/slow").len()), (10, 10));
    // On a machine that is busy others may be slow, too.
    let (sampled, slow): (Vec<&Value>, Vec<&Value>) =
        of("/").into_iter().partition(|line| line["sample"] == 0.05);
    assert!(slow.iter().all(|line| line["duration_ms"].as_u64() >= Some(50)), "{slow:?}");
    let share = (380 - slow.len()) / 20;
    assert!((share..=share + 1).contains(&sampled.len()), "{} of {share}", sampled.len());
    assert!(of("/slow").iter().all(|line| line.get("sample").is_none()));
}

#[test]
fn a_log_that_was_moved_away_goes_on_in_a_new_file_after_a_hangup() {
    let files = Files::new();
    let origin = origin("one");
    let (serving, log) = logging(&files, &to(&origin), &[]);
    serving.get("/before");
    lines(&log, 1);
    let old = files.path("access.log.1");
    fs::rename(&log, &old).expect("it is moved");
    serving.get("/between");
    lines(&old, 2);
    serving.signal("HUP");
    let deadline = Instant::now() + PATIENCE;
    while !log.exists() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    serving.get("/after");
    let paths = |path: &Path, count| -> Vec<Value> {
        lines(path, count).into_iter().map(|line| line["path"].clone()).collect()
    };
    assert_eq!(paths(&old, 2), ["/before", "/between"]);
    assert_eq!(paths(&log, 1), ["/after"]);
}

#[test]
fn what_is_remarkable_is_told_on_standard_error_where_nothing_is_asked_for() {
    let files = Files::new();
    let down = Origin::refusing();
    let split = branches(&[json!({"name": "v1", "upstream": upstream(&down), "weight": 1})]);
    let mut serving = Serving::file(&files.write("split.yaml", &split), &[]);
    assert_eq!(serving.get("/gone?token=secret").status, 502);
    let line = serving.line(|line| line.contains(r#""event":"request""#));
    assert!(line.contains(r#""path":"/gone""#) && line.contains(r#""reason":"turn""#), "{line}");
    assert!(line.contains(down.authority()) && !line.contains("secret"), "{line}");
}

#[test]
fn no_client_writes_a_line_of_its_own() {
    let files = Files::new();
    let origin = origin("one");
    let (serving, log) = logging(&files, &to(&origin), &[]);
    let forged = r#"{"event":"request","route":"forged"}"#;
    let mut sent = 0;
    let mut send = |head: Vec<u8>| {
        let mut client = Connection::open(serving.traffic);
        client.send_raw("GET", &head);
        // Answered or refused, it is one request.
        drop(client.next_answer());
        sent += 1;
    };
    // Every byte that could be in a target, and in a host.
    for byte in 0..=255_u8 {
        let is_end = matches!(byte, b'\r' | b'\n' | b' ');
        if !is_end {
            let target = [b"/a", [byte].as_slice(), b"b"].concat();
            send(
                [b"GET ", target.as_slice(), b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"]
                    .concat(),
            );
        }
        if !matches!(byte, b'\r' | b'\n') {
            let host = [b"a", [byte].as_slice(), b"b"].concat();
            send(
                [b"GET /h HTTP/1.1\r\nHost: ", host.as_slice(), b"\r\nConnection: close\r\n\r\n"]
                    .concat(),
            );
        }
    }
    for path in [
        "/\u{9b}31m\u{202e}\u{2028}\u{85}",
        "/%0a%0d%1b[2J%22",
        "/\\\"",
        &format!("/\"}}{forged}"),
        &format!("/{}", "a\u{e9}".repeat(2500)),
    ] {
        send(format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").into_bytes());
    }
    for method in ["\"}", "A\u{1b}[2J", &"M".repeat(5000)] {
        send(format!("{method} / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").into_bytes());
    }
    let with_user = "GET http://jack:secret@a/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    send(with_user.as_bytes().to_vec());
    // What comes last is there when all is.
    serving.get("/last");
    let deadline = Instant::now() + PATIENCE;
    while !fs::read_to_string(&log).unwrap_or_default().contains("\"/last\"") {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(5));
    }
    let text = fs::read_to_string(&log).expect("text: what is no UTF-8 is escaped");
    assert!(text.bytes().all(|b| matches!(b, b' '..=b'~' | b'\n')), "only visible characters");
    assert!(text.lines().all(|line| line.len() < 3000));
    assert!(!text.contains("secret"));
    let told: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    assert!(told.len() <= sent + 1, "{} lines of {sent} requests", told.len());
    assert!(told.len() > sent / 2, "{} lines of {sent} requests", told.len());
    let routes: BTreeSet<String> = told.iter().map(|line| line["route"].to_string()).collect();
    assert_eq!(routes, ["\"all\"".to_owned(), "null".to_owned()].into());
    let long = told.iter().find(|line| line["path_bytes"].is_u64()).expect("a long path");
    assert_eq!(long["path_bytes"], 7501);
}
