//! A configuration that is a file.

use std::os::unix::fs::symlink;
use std::time::Instant;

use splitway_tests::origin::Origin;

use crate::process::{Files, PATIENCE, Serving, everything_to, origin, run};

fn to(origin: &Origin) -> String {
    everything_to(&format!("http://{}", origin.authority()))
}

/// Asks until an answer comes by another revision.
fn await_revision(serving: &Serving, old: &str) {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if revision(serving) != old {
            return;
        }
    }
    panic!("the revision is still {old}");
}

fn revision(serving: &Serving) -> String {
    serving.get("/").revision().expect("a revision")
}

#[test]
fn a_change_is_taken_and_a_faulty_one_is_not() {
    let files = Files::new();
    let (one, two) = (origin("one"), origin("two"));
    let path = files.write("split.yaml", &to(&one));
    let mut serving = Serving::file(&path, &[]);
    assert_eq!(serving.get("/").body, b"one");
    let first = revision(&serving);

    files.write("split.yaml", "routes: [{uri: r, upstream: {}}, {id: a/b}]\nrouts: []\n");
    let mut pointers: Vec<String> = Vec::new();
    while pointers.len() < 4 {
        let line = serving.line(|line| line.contains("configuration_fault"));
        let (_, pointer) = line.split_once(r#""pointer":""#).expect("a place");
        pointers.push(pointer.split('"').next().unwrap_or_default().to_owned());
    }
    pointers.sort();
    assert_eq!(pointers, ["/routes/0/upstream", "/routes/0/uri", "/routes/1/id", "/routs"]);
    assert_eq!(revision(&serving), first);

    files.write("split.yaml", &to(&two));
    await_revision(&serving, &first);
    assert_eq!(serving.get("/").body, b"two");
}

#[test]
fn a_link_that_turns_to_another_file_is_followed() {
    let files = Files::new();
    let (one, two) = (origin("one"), origin("two"));
    let old = files.write("old.yaml", &to(&one));
    let new = files.write("new.yaml", &to(&two));
    symlink(old, files.path("split.yaml")).expect("a link");
    let serving = Serving::file(files.path("split.yaml").to_str().expect("UTF-8"), &[]);
    let first = revision(&serving);
    symlink(new, files.path("next.yaml")).expect("a link");
    std::fs::rename(files.path("next.yaml"), files.path("split.yaml")).expect("renamed");
    await_revision(&serving, &first);
    assert_eq!(serving.get("/").body, b"two");
}

#[test]
fn faults_at_the_start_are_all_told_and_end_it() {
    let files = Files::new();
    let text = "\
routes: [{uri: /u, upstream: \"http://a.example\"}, {uri: r, upstream: {}}, {id: a/b}]
routs: []
";
    let path = files.write("split.yaml", text);
    let output = run(&["serve", "--listen", "127.0.0.1:0", "--config", &path], "");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    for place in ["/routes/1/uri", "/routes/2/id", "/routs"] {
        assert!(stderr.contains(&format!("error: {place}: ")), "{place} in {stderr}");
    }
    let summary = stderr.lines().next().unwrap_or_default();
    assert!(summary.contains("split.yaml: the document has 4 faults"), "{stderr}");
    let is_fault = |line: &str| line.starts_with("error: /");
    assert_eq!(stderr.lines().skip(1).filter(|line| is_fault(line)).count(), 4, "{stderr}");
    assert_eq!(stderr.lines().count(), 5, "{stderr}");
}

#[test]
fn with_a_file_the_admin_api_is_off() {
    let files = Files::new();
    let path = files.write("split.yaml", "routes: []\n");
    let mut serving = Serving::file(&path, &[]);
    assert_eq!(serving.admin, None);
    assert!(serving.told().contains("admin API      off"), "{}", serving.told());
}

#[test]
fn every_request_is_logged_where_that_is_asked_for() {
    let files = Files::new();
    let origin = origin("one");
    let path = files.write("split.yaml", &to(&origin));
    let mut serving = Serving::file(&path, &["--access-log"]);
    assert_eq!(serving.get("/").status, 200);
    let line = serving.line(|line| line.contains(r#""event":"request""#));
    assert!(line.contains(r#""status":200,"route":"all","branch":"route""#), "{line}");
}
