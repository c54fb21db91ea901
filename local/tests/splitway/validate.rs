//! `splitway validate`.

use std::process::Output;

use crate::process::{Files, run};

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
    assert!(stdout.ends_with("faulty.json: 4 faults, 0 warnings\n"), "{stdout}");
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
