//! Keys: who may do what, and where they never appear.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use splitway_tests::at_end::AtEnd;
use splitway_tests::message::{Answer, Call};
use splitway_tests::wire::{self, Connection};

use crate::api::{KEY, call, route, serving};
use crate::process::{Files, PATIENCE, Serving, argument, splitway};

const FIRST: &str = "the-first-of-two-keys";
const SECOND: &str = "the-second-of-two-keys";

fn write_key(serving: &Serving, name: &str, role: &str, key: &str) -> Answer {
    serving.send("PUT", &format!("/splitway/v1/keys/{name}"), &json!({"role": role, "key": key}))
}

fn with(key: &str, method: &str, path: &str) -> Call {
    Call::new(method, path).header("X-API-KEY", key)
}

/// Every wait has its end, and so has every thread when an assertion fails: the first form of this
/// test asked forever once it had failed.
#[test]
fn a_key_is_exchanged_without_a_gap() {
    let files = Files::new();
    let serving = serving(&files.path("data"));
    let admin = serving.admin.expect("the Admin API is on");
    assert_eq!(write_key(&serving, "first", "admin", FIRST).status, 201);
    let [writing, reading] = [Use::default(), Use::default()];
    let body = route("/r", "127.0.0.1:1").to_string();
    let put = with(FIRST, "PUT", "/apisix/admin/routes/1").body(body);
    let get = with(SECOND, "GET", "/splitway/v1/config");
    std::thread::scope(|scope| {
        let _end = AtEnd(|| [&writing, &reading].into_iter().for_each(Use::end));
        let first = scope.spawn(|| writing.go_on(admin, &put));
        writing.await_answers();
        assert_eq!(write_key(&serving, "second", "admin", SECOND).status, 201);
        let second = scope.spawn(|| reading.go_on(admin, &get));
        reading.await_answers();
        writing.await_answers();
        for key in [FIRST, SECOND] {
            assert_eq!(wire::call(admin, &with(key, "GET", "/splitway/v1/keys")).status, 200);
        }
        writing.end();
        first.join().expect("no gap");
        let removed = wire::call(admin, &with(SECOND, "DELETE", "/splitway/v1/keys/first"));
        assert_eq!(removed.status, 200, "{}", removed.text());
        let refused = wire::call(admin, &with(FIRST, "GET", "/splitway/v1/config"));
        assert_eq!(refused.status, 401);
        reading.await_answers();
        reading.end();
        second.join().expect("no gap");
    });
}

/// One key in use, request after request, until the use ends.
#[derive(Default)]
struct Use {
    answers: AtomicU64,
    is_over: AtomicBool,
}

impl Use {
    fn go_on(&self, admin: SocketAddr, call: &Call) {
        while !self.is_over.load(Ordering::SeqCst) {
            let answer = wire::call(admin, call);
            assert!(answer.status < 300, "{call:?}: {}", answer.text());
            self.answers.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn end(&self) {
        self.is_over.store(true, Ordering::SeqCst);
    }

    /// Waits for two answers more, of which the second was asked for after now.
    fn await_answers(&self) {
        let enough = self.answers.load(Ordering::SeqCst) + 2;
        let deadline = Instant::now() + PATIENCE;
        while self.answers.load(Ordering::SeqCst) < enough {
            assert!(Instant::now() < deadline, "the key is not answered any more");
            std::thread::yield_now();
        }
    }
}

#[test]
fn a_viewer_may_look_at_everything_and_touch_nothing() {
    let files = Files::new();
    let serving = serving(&files.path("data"));
    assert_eq!(write_key(&serving, "eyes", "viewer", FIRST).status, 201);
    let route = route("/r", "127.0.0.1:1");
    assert_eq!(serving.send("PUT", "/apisix/admin/routes/1", &route).status, 201);
    let before = serving.config();
    let keys = serving.ask("GET", "/splitway/v1/keys").json();
    let paths = [
        "/apisix/admin/routes",
        "/apisix/admin/routes/1",
        "/apisix/admin/routes/1/uri",
        "/apisix/admin/upstreams/1",
        "/apisix/admin/schema/validate/routes",
        "/apisix/admin/configs/validate",
        "/apisix/admin/plugins/reload",
        "/apisix/admin/nowhere",
        "/splitway/v1/config",
        "/splitway/v1/config?dry_run=false",
        "/splitway/v1/keys/eyes?dry_run=true",
        "/apisix/admin/routes/1?dry_run=true",
        "/splitway/v1/config/?dry_run=true",
        "/splitway/v1/revisions/1/rollback",
        "/splitway/v1/keys/eyes",
        "/splitway/v1/keys/another",
        "/splitway/v1/nowhere",
    ];
    let body = json!({"role": "admin", "key": FIRST}).to_string();
    for path in paths {
        let looked = serving.ask_admin(&with(FIRST, "GET", path));
        assert_ne!(looked.status, 401, "GET {path}");
        for method in ["PUT", "POST", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "get"] {
            for body in [None, Some("{}".to_owned()), Some(body.clone())] {
                let call = Call { body: body.map(Into::into), ..with(FIRST, method, path) };
                let answer = serving.ask_admin(&call);
                assert_eq!(answer.status, 401, "{method} {path}: {}", answer.text());
                assert_eq!(answer.json()["description"], "invalid method for role viewer");
            }
        }
        let head = serving.ask_admin(&with(FIRST, "HEAD", path));
        assert_eq!(head.status, looked.status, "HEAD {path}");
    }
    // To ask what a document would change is to look.
    let tried = with(FIRST, "PUT", "/splitway/v1/config?dry_run=true").body("{}");
    let tried = serving.ask_admin(&tried);
    assert_eq!((tried.status, tried.json()["revision"].as_u64()), (200, Some(before.1)));
    assert_eq!(serving.config(), before);
    assert_eq!(serving.ask("GET", "/splitway/v1/keys").json(), keys);
}

/// Whoever had the first key as an added one, too, could be left with the rights of the added one.
#[test]
fn no_key_has_two_names_and_the_first_stays_what_it_is() {
    let files = Files::new();
    let serving = serving(&files.path("data"));
    assert_eq!(write_key(&serving, "eyes", "viewer", FIRST).status, 201);
    for (name, key, known) in [("zz", KEY, "admin"), ("zz", FIRST, "eyes")] {
        let refused = write_key(&serving, name, "viewer", key);
        assert_eq!(refused.status, 400, "{}", refused.text());
        assert_eq!(refused.json()["errors"][0]["pointer"], "/key");
        let detail = format!("this is the key `{known}` already");
        assert_eq!(refused.json()["errors"][0]["detail"], detail);
    }
    // The same key under the same name may get another role.
    assert_eq!(write_key(&serving, "eyes", "admin", FIRST).status, 200);
    assert_eq!(serving.ask_admin(&with(FIRST, "DELETE", "/splitway/v1/keys/eyes")).status, 200);
    assert_eq!(serving.ask("DELETE", "/splitway/v1/keys/admin").status, 400);
}

#[test]
fn keys_are_in_no_log_no_answer_and_no_file() {
    let files = Files::new();
    let dir = files.path("data");
    let mut command = splitway();
    command.env("SPLITWAY_ADMIN_KEY", KEY).env("SPLITWAY_ACCESS_LOG", "true");
    let mut serving = Serving::ledger(&dir, command);
    let mut answers = vec![
        write_key(&serving, "first", "admin", FIRST),
        write_key(&serving, "first", "viewer", FIRST),
        write_key(&serving, "second", "admin", SECOND),
        write_key(&serving, "third", "nobody", "a-key-for-nobody-at-all"),
        write_key(&serving, "third", "admin", "short"),
    ];
    let unfinished = "unfinished-key-of-a-broken-body";
    for body in [
        format!(r#"{{"role":"admin","key":"{unfinished}"#),
        format!(r#""{unfinished}""#),
        format!(r#"["{unfinished}"]"#),
        format!(r#"{{"role":"admin","key":["{unfinished}"]}}"#),
        format!(r#"{{"role":"admin","key":"{unfinished}","key":"{unfinished}"}}"#),
    ] {
        answers.push(serving.ask_admin(&call("PUT", "/splitway/v1/keys/third").body(body)));
    }
    assert!(answers[3..].iter().all(|answer| answer.status == 400), "{answers:?}");
    for path in ["/splitway/v1/keys", "/splitway/v1/config", "/splitway/v1/revisions"] {
        answers.push(serving.ask("GET", path));
    }
    for revision in 1..=3 {
        answers.push(serving.ask("GET", &format!("/splitway/v1/revisions/{revision}")));
        answers.push(serving.ask("GET", &format!("/splitway/v1/revisions/{revision}/diff/1")));
    }
    answers.push(serving.ask_admin(&Call::get("/splitway/v1/keys?api_key=wrong-key-in-a-query")));
    answers.push(serving.ask_admin(&Call::get(&format!("/splitway/v1/keys?api_key={KEY}"))));
    serving.get(&format!("/nowhere?api_key={KEY}"));
    serving.line(|line| line.contains("destination_not_found"));
    let secrets = [KEY, FIRST, SECOND, unfinished, "a-key-for-nobody-at-all", "wrong-key-in"];
    let told = serving.told();
    for secret in secrets {
        assert!(!told.contains(secret), "{secret} in {told}");
        for answer in &answers {
            assert!(!answer.text().contains(secret), "{secret} in {}", answer.text());
        }
        assert!(!is_in_files(&dir, secret), "{secret} in a file");
    }
    assert!(is_in_files(&dir, "sha256"), "the hashes are there");
    serving.kill();
}

fn is_in_files(dir: &Path, text: &str) -> bool {
    let files = std::fs::read_dir(dir).expect("a directory");
    files
        .map(|file| std::fs::read(file.expect("a file").path()).expect("bytes"))
        .any(|bytes| bytes.windows(text.len()).any(|window| window == text.as_bytes()))
}

fn ask_from(serving: &Serving, source: IpAddr, key: &str) -> Answer {
    let admin = serving.admin.expect("the Admin API is on");
    let mut connection = Connection::open_from(source, admin);
    connection.send(&with(key, "GET", "/splitway/v1/keys"));
    connection.answer()
}

/// Five wrong keys are free; with the sixth begins a second in which no key opens.
#[test]
fn wrong_keys_make_an_address_wait() {
    let files = Files::new();
    let serving = serving(&files.path("data"));
    let source = |number| IpAddr::from(Ipv4Addr::new(127, 0, 0, number));
    // Where the machine took longer than the wait there is nothing to see: the next address tells.
    let slowed = (2..200).map(source).find(|source| {
        for _ in 0..5 {
            assert_eq!(ask_from(&serving, *source, "wrong").status, 401);
        }
        let sixth = Instant::now();
        assert_eq!(ask_from(&serving, *source, "wrong").status, 401);
        let answers = [KEY, "wrong"].map(|key| ask_from(&serving, *source, key));
        if sixth.elapsed() >= Duration::from_millis(900) {
            return false;
        }
        for answer in answers {
            assert_eq!(answer.status, 429, "{}", answer.text());
            assert_eq!(answer.header("retry-after").as_deref(), Some("1"));
        }
        true
    });
    let slowed = slowed.expect("one round in less than a second");
    assert_eq!(ask_from(&serving, source(200), KEY).status, 200, "another address");
    let deadline = Instant::now() + PATIENCE;
    while ask_from(&serving, slowed, KEY).status == 429 {
        assert!(Instant::now() < deadline, "the wait has no end");
    }
    // The right key forgives: five are free again.
    for _ in 0..5 {
        assert_eq!(ask_from(&serving, slowed, "wrong").status, 401);
        assert_ne!(ask_from(&serving, slowed, KEY).status, 401);
    }
}

#[test]
fn an_address_is_refused_whatever_its_key() {
    let files = Files::new();
    let data = argument(&files.path("data"));
    let mut command = splitway();
    command.env("SPLITWAY_ADMIN_KEY", KEY);
    let options = ["--data-dir", &data, "--admin-listen", "127.0.0.1:0"];
    let serving =
        Serving::start(command, &[&options[..], &["--allow-admin", "127.0.0.2"]].concat());
    let source = |number| IpAddr::from(Ipv4Addr::new(127, 0, 0, number));
    for (number, status) in [(1, 403), (2, 200), (3, 403)] {
        assert_eq!(ask_from(&serving, source(number), KEY).status, status, "127.0.0.{number}");
    }
}
