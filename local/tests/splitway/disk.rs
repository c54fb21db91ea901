//! Disks that are full, read-only, or fail: nothing is half written, and serving goes on.
//!
//! Disks of their own are made in a mount namespace of the server under test, which takes them along
//! when it ends. Where the system does not allow that, the test says so.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use splitway_tests::message::Answer;

use crate::api::{KEY, labels, route};
use crate::process::{Files, Serving, argument, origin, splitway};

/// The binary behind a script that prepares what it finds, and becomes it.
fn prepared(script: &str, dir: &Path) -> Command {
    let mut command = Command::new("sh");
    let program = splitway();
    command.args(["-c", &format!("{script} && exec \"$0\" \"$@\"")]).arg(program.get_program());
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.env("SPLITWAY_ADMIN_KEY", KEY).env("DIR", dir);
    command
}

/// The same in a mount namespace; nothing, where there are none to be had.
fn with_disk(script: &str, dir: &Path) -> Option<Command> {
    std::fs::create_dir_all(dir).expect("a directory");
    let namespace =
        [&["--mount"][..], &["--mount", "--map-root-user"]].into_iter().find(|options| {
            let mut unshare = Command::new("unshare");
            let mount = r#"mount -t tmpfs -o size=1m tmpfs "$DIR""#;
            unshare.args(*options).args(["sh", "-c", mount]).env("DIR", dir);
            let tried = unshare.stderr(Stdio::null()).status();
            tried.is_ok_and(|status| status.success())
        });
    let Some(options) = namespace else {
        // Straight to the stream: what a passing test prints is not shown otherwise.
        drop(writeln!(io::stderr(), "skipped: this system lets nobody mount a disk for a test"));
        return None;
    };
    let inner = prepared(script, dir);
    let mut command = Command::new("unshare");
    command.args(options).arg(inner.get_program()).args(inner.get_args());
    for (name, value) in inner.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    Some(command)
}

fn put(serving: &Serving, size: usize, authority: &str) -> Answer {
    let mut route = route("/r", authority);
    route["labels"] = labels(size);
    serving.send("PUT", "/apisix/admin/routes/r", &route)
}

fn label_size(document: &Value) -> usize {
    let labels = document["routes"][0]["labels"].as_object().expect("labels");
    labels.keys().next().expect("a label").len() - 1
}

/// Writes until it is refused; how large the last label was that was taken.
fn write_until_refused(serving: &Serving, authority: &str, status: u16) -> usize {
    let mut taken = label_size(&serving.config().0);
    for size in 1..10_000 {
        let answer = put(serving, size, authority);
        if answer.status == 200 {
            taken = size;
            continue;
        }
        assert_eq!(answer.status, status, "{}", answer.text());
        assert_eq!(answer.header("content-type").as_deref(), Some("application/problem+json"));
        let problem = answer.json();
        assert_eq!(problem["status"], status);
        assert!(problem["detail"].as_str().is_some_and(|why| !why.is_empty()), "{problem}");
        return taken;
    }
    panic!("everything was taken");
}

/// Everything but writing goes on, and shows what was acknowledged last.
fn check_it_serves(serving: &Serving, taken: usize) {
    let (document, revision) = serving.config();
    assert_eq!(label_size(&document), taken);
    let served = serving.get("/r");
    assert_eq!((served.text(), served.revision()), ("one".to_owned(), Some(revision.to_string())));
    let list = serving.ask("GET", "/splitway/v1/revisions?limit=1").json();
    assert_eq!(
        (&list["current"], &list["revisions"][0]["revision"]),
        (&json!(revision), &json!(revision))
    );
    let past = serving.ask("GET", &format!("/splitway/v1/revisions/{revision}")).json();
    assert_eq!(past["document"], document);
}

#[test]
fn a_full_disk_refuses_writes_until_there_is_room() {
    let files = Files::new();
    let dir = files.path("data");
    let Some(command) = with_disk(r#"mount -t tmpfs -o size=2m tmpfs "$DIR""#, &dir) else {
        return;
    };
    let upstream = origin("one");
    let mut serving = Serving::ledger(&dir, command);
    assert_eq!(put(&serving, 0, upstream.authority()).status, 201);
    // The disk as the server sees it.
    let seen = PathBuf::from(format!("/proc/{}/root{}", serving.id(), argument(&dir)));
    for _ in 0..3 {
        let filler = seen.join("filler");
        fill(&filler);
        let taken = write_until_refused(&serving, upstream.authority(), 507);
        serving.line(|line| line.contains("configuration_not_written"));
        check_it_serves(&serving, taken);
        let deleted = serving.ask("DELETE", "/apisix/admin/routes/r");
        assert_eq!(deleted.status, 507, "{}", deleted.text());
        check_it_serves(&serving, taken);
        std::fs::remove_file(&filler).expect("removed");
        assert_eq!(put(&serving, 1, upstream.authority()).status, 200);
        check_it_serves(&serving, 1);
    }
}

/// Takes all the room there is.
fn fill(path: &Path) {
    let mut file = std::fs::File::create(path).expect("a file");
    for size in [4096, 1] {
        while file.write_all(&vec![0; size]).is_ok() {}
    }
}

#[test]
fn a_disk_that_fails_refuses_writes_until_it_does_not() {
    let files = Files::new();
    let dir = files.path("data");
    let upstream = origin("one");
    // To write more than may be is an error then, not the end.
    let mut serving = Serving::ledger(&dir, prepared(r#"trap "" XFSZ"#, &dir));
    assert_eq!(put(&serving, 0, upstream.authority()).status, 201);
    let limit = |limit: &str| {
        let id = serving.id().to_string();
        let mut prlimit = Command::new("prlimit");
        let status = prlimit.args(["--pid", &id, &format!("--fsize={limit}:unlimited")]).status();
        assert!(status.expect("there is prlimit").success());
    };
    for _ in 0..3 {
        limit("0");
        let taken = write_until_refused(&serving, upstream.authority(), 503);
        check_it_serves(&serving, taken);
        limit("unlimited");
        assert_eq!(put(&serving, 1, upstream.authority()).status, 200);
        check_it_serves(&serving, 1);
    }
    serving.line(|line| line.contains("configuration_not_written"));
    let before = serving.config();
    serving.kill();
    let serving = crate::api::serving(&dir);
    assert_eq!(serving.config(), before);
    check_it_serves(&serving, 1);
}

#[test]
fn a_read_only_disk_is_named_at_the_start() {
    let files = Files::new();
    let dir = files.path("data");
    for (name, keeps_ledger) in [("a new ledger", false), ("one that is there", true)] {
        let ledger = files.path("ledger");
        drop(crate::api::serving(&ledger));
        let copy = format!("cp {}/* \"$DIR\"", argument(&ledger));
        let copy = if keeps_ledger { copy } else { "true".to_owned() };
        let mount = r#"mount -t tmpfs -o size=2m tmpfs "$DIR""#;
        let script = format!(r#"{mount} && {copy} && mount -o remount,ro "$DIR""#);
        let Some(mut command) = with_disk(&script, &dir) else { return };
        command.args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
        command.args(["--data-dir", &argument(&dir)]).stderr(Stdio::piped());
        let output = command.output().expect("it runs");
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{name}: {told}");
        assert!(told.contains(&argument(&dir)), "{name}: {told}");
        assert!(told.contains("splitway.db cannot be used: it is read-only"), "{name}: {told}");
    }
}
