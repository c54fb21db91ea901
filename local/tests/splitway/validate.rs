//! `splitway validate`.

use std::fs::File;
use std::process::Output;

use serde_json::{Value, json};

use crate::process::{Files, run, splitway};

const GOOD: &str = r#"
routes:
  - id: r
    uri: /r
    upstream: {nodes: {"127.0.0.1:80": 1}, pass_host: node}
"#;

const WITH_WARNING: &str = "routes: [{id: r, uri: /r, upstream: \"http://127.0.0.1\"}]\n";

const FAULTY: &str = r#"{"routes": [
    {"uri": "/r", "upstraem": {}},
    {"uri": "r", "upstream": {"nodes": {"a:b": 1}}}
]}"#;

#[track_caller]
fn check(output: &Output, code: i32, lines: &[&str]) {
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stdout}{stderr}");
    assert_eq!(stdout.lines().collect::<Vec<_>>(), lines);
}

#[test]
fn a_good_document_is_said_to_be_good() {
    let files = Files::new();
    let path = files.write("good.yaml", GOOD);
    let output = run(&["validate", &path], "");
    check(&output, 0, &[&format!("{path}: good, 1 route, 0 warnings")]);
}

#[test]
fn warnings_are_told_and_fail_only_where_denied() {
    let files = Files::new();
    let path = files.write("warning.yaml", WITH_WARNING);
    let lines = [
        "warning: /routes/0/upstream: APISIX takes an upstream object here, not a URL",
        &format!("{path}: good, 1 route, 1 warning"),
    ];
    check(&run(&["validate", &path], ""), 0, &lines);
    check(&run(&["validate", "--deny-warnings", &path], ""), 1, &lines);
}

#[test]
fn every_fault_is_told_with_its_place() {
    let files = Files::new();
    let path = files.write("faulty.json", FAULTY);
    let output = run(&["validate", &path], "");
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{stdout}");
    for error in [
        "/routes/0/upstraem: unknown key; did you mean `upstream`?",
        "/routes/1/uri: expected a path of up to 4096 bytes that starts with `/`",
        "/routes/1/upstream/nodes/a:b: ",
    ] {
        assert!(stdout.contains(&format!("error: {error}")), "{error} in {stdout}");
    }
    assert!(stdout.ends_with("faulty.json: 3 faults, 0 warnings\n"), "{stdout}");
}

#[test]
fn standard_input_is_a_document_in_either_format() {
    for text in [GOOD, r#"{"routes": []}"#] {
        let output = run(&["validate", "-"], text);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    }
}

#[test]
fn what_is_no_yaml_or_json_is_told_by_line_and_column() {
    let files = Files::new();
    let json = files.write("broken.json", "{\"routes\": [\n  {\"id\": }\n]}");
    let output = run(&["validate", &json], "");
    let line = format!("error: {json}: line 2, column 10: expected value");
    check(&output, 1, &[&line]);
    let yaml = files.write("broken.yaml", "routes:\n  - id: [\n");
    let output = run(&["validate", &yaml], "");
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{stdout}");
    assert_eq!(stdout, format!("error: {yaml}: line 2, column 9: unclosed bracket '['\n"));
}

#[test]
fn a_file_that_is_not_there_has_an_exit_code_of_its_own() {
    let files = Files::new();
    let output = run(&["validate", files.path("absent.yaml").to_str().expect("UTF-8")], "");
    check(&output, 2, &[]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.starts_with("error: "), "{stderr}");
    assert!(stderr.contains("absent.yaml: cannot be read: No such file"), "{stderr}");
}

#[track_caller]
fn check_syntax(name: &str, text: &str, what: &str) {
    let files = Files::new();
    let path = files.write(name, text);
    check(&run(&["validate", &path], ""), 1, &[&format!("error: {path}: {what}")]);
}

#[test]
fn a_document_without_anything_is_said_to_be_empty() {
    for text in ["", "\n \n", "# nothing\n# yet\n", "---\n", "\u{feff}# nothing\n"] {
        check_syntax("empty.yaml", text, "the document is empty");
    }
    check_syntax("empty.json", "", "line 1, column 0: EOF while parsing a value");
}

#[test]
fn what_yaml_does_not_let_pass_is_told_without_advice_for_programmers() {
    let twice = "routes:\n  - uri: /r\n    uri: /s\n";
    check_syntax("twice.yaml", twice, "line 3, column 5: the key `uri` stands twice");
    let several = "routes: []\n---\nroutes: []\n";
    check_syntax("several.yaml", several, "line 3, column 1: expected one document, found several");
}

#[test]
fn one_route_is_not_a_document_and_a_hint_says_so() {
    let hint = "hint: this looks like one route; a document has it in a list: routes: [...]";
    for (text, is_route) in [
        ("uri: /r\nupstream: {nodes: {\"a:1\": 1}}\n", true),
        ("uris: [/r]\n", true),
        ("routs: []\n", false),
        ("routes: []\nuri: /r\n", false),
        ("[]\n", false),
    ] {
        let output = run(&["validate", "-"], text);
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(1), "{stdout}");
        let hints: Vec<&str> = stdout.lines().filter(|line| line.starts_with("hint")).collect();
        assert_eq!(hints, vec![hint; usize::from(is_route)], "{text}: {stdout}");
    }
}

#[test]
fn a_document_in_yaml_comes_out_as_json() {
    let files = Files::new();
    let path = files.write("splitway.yaml", WITH_WARNING);
    let config = files.path("config.json");
    let mut command = splitway();
    command.args(["validate", &path, "--print-json"]);
    command.stdout(File::create(&config).expect("a file"));
    let output = command.output().expect("splitway runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(stderr.starts_with("warning: /routes/0/upstream: "), "{stderr}");
    assert!(stderr.ends_with(&format!("{path}: good, 1 route, 1 warning\n")), "{stderr}");

    let text = std::fs::read_to_string(&config).expect("a text");
    let document: Value = serde_json::from_str(&text).expect("JSON");
    let route = json!({"id": "r", "uri": "/r", "upstream": "http://127.0.0.1"});
    assert_eq!(document, json!({"routes": [route]}));
    let again = run(&["validate", "--print-json", "-"], &text);
    assert_eq!(
        (again.status.code(), String::from_utf8_lossy(&again.stdout)),
        (Some(0), text.into())
    );
}

#[test]
fn what_has_faults_does_not_come_out_as_json() {
    let denied = ["validate", "--print-json", "--deny-warnings", "-"];
    let usual = ["validate", "--print-json", "-"];
    for (arguments, text, told) in [
        (&usual[..], FAULTY, "error: /routes/0/upstraem: "),
        (&usual, "routes: [", "error: -: line 1, "),
        (&denied, WITH_WARNING, "warning: /routes/0/upstream: "),
    ] {
        let output = run(arguments, text);
        let stderr = String::from_utf8_lossy(&output.stderr);
        check(&output, 1, &[]);
        assert!(stderr.contains(told), "{stderr}");
    }
}

#[test]
fn json_that_cannot_be_written_is_a_failure() {
    let files = Files::new();
    let path = files.write("good.yaml", GOOD);
    let mut command = splitway();
    command.args(["validate", "--print-json", &path]);
    command.stdout(File::options().write(true).open("/dev/full").expect("a device"));
    let output = command.output().expect("splitway runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("error: the JSON cannot be written: "), "{stderr}");
}
