//! `splitway import`.

use std::fs;
use std::process::Output;

use crate::process::{Files, run, splitway};

const APISIX: &str = r#"
routes:
  - {id: r, uri: /r, upstream: {pass_host: node, nodes: {"${{HOST_OF_IT:=a}}": 1}}}
#END
"#;

const DOCUMENT: &str = "\
routes:
  - id: r
    upstream:
      nodes:
        a: 1
      pass_host: node
    uri: /r
";

const HTTPROUTE: &str = "\
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web, namespace: shop}
spec: {rules: [{backendRefs: [{name: web, port: 80}]}]}
";

#[track_caller]
fn check(output: &Output, code: i32, stdout: &str, stderr: &str) {
    let texts = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    assert_eq!((output.status.code(), texts), (Some(code), [stdout.into(), stderr.into()]));
}

#[test]
fn a_file_that_is_all_taken_over_is_printed() {
    let output = run(&["import", "apisix", "-"], APISIX);
    check(&output, 0, DOCUMENT, "-: 1 route, nothing lost\n");
    let files = Files::new();
    let path = files.write("document.yaml", DOCUMENT);
    let again = run(&["validate", &path], "");
    assert_eq!(again.status.code(), Some(0), "{again:?}");
}

#[test]
fn the_environment_is_that_of_the_command() {
    let files = Files::new();
    let path = files.write(
        "apisix.yaml",
        "routes:\n  - id: ${{SPLITWAY_TEST_ID}}\n    uri: /r\n    upstream: {pass_host: node, nodes: {a: 1}}\n#END\n",
    );
    let output = run(&["import", "apisix", &path], "");
    let told =
        "line 2: the environment variable `SPLITWAY_TEST_ID` is not set and has no default here";
    check(&output, 2, "", &format!("error: {path}: {told}\n"));
    let mut command = splitway();
    command.args(["import", "apisix", &path]).env("SPLITWAY_TEST_ID", "r");
    let output = command.output().expect("splitway runs");
    check(&output, 0, DOCUMENT, &format!("{path}: 1 route, nothing lost\n"));
}

#[test]
fn what_is_lost_is_told_and_the_rest_printed() {
    let text = format!("{}ssls: [{{id: 1}}]\n#END\n", DOCUMENT);
    let told = "lost: /ssls: 1 item left out: APISIX has this list, Splitway does not support it yet\n-: 1 route, 1 lost\n";
    check(&run(&["import", "apisix", "-"], &text), 1, DOCUMENT, told);
    let nothing = "routes: [{id: r, uri: /r, script: s}]\n#END\n";
    let output = run(&["import", "apisix", "-"], nothing);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(1), &b""[..]), "{stderr}");
    assert!(stderr.ends_with("-: 0 routes, 1 lost; there is nothing to serve by\n"), "{stderr}");
}

#[test]
fn a_document_can_go_into_a_file_as_json() {
    let files = Files::new();
    let config = files.path("config.json");
    fs::write(&config, "old").expect("a file");
    let path = config.to_str().expect("UTF-8");
    let domain = ["--service-domain", "svc.example"];
    let arguments = [&["import", "httproute", "-", "--format", "json", "-o", path], &domain[..]];
    let output = run(&arguments.concat(), HTTPROUTE);
    check(&output, 0, "", "-: 1 route, nothing lost\n");
    let text = fs::read_to_string(&config).expect("a text");
    assert!(text.contains("\"web.shop.svc.example:80\": 1"), "{text}");
    let others = fs::read_dir(config.parent().expect("a folder")).expect("a folder").count();
    assert_eq!(others, 1, "no unfinished file stays");

    let nowhere = files.path("absent").join("config.json");
    let output =
        run(&["import", "httproute", "-", "-o", nowhere.to_str().expect("UTF-8")], HTTPROUTE);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("error: -: the document cannot be written: No such file"), "{stderr}");
}

#[test]
fn what_cannot_be_read_has_an_exit_code_of_its_own() {
    for (source, text, told) in [
        ("apisix", "routes: [", "line 1, column 9: unclosed bracket '['"),
        ("apisix", "- 1", "expected the lists of APISIX's standalone file"),
        ("httproute", "", "expected resources of Kubernetes"),
    ] {
        check(&run(&["import", source, "-"], text), 2, "", &format!("error: -: {told}\n"));
    }
    let output = run(&["import", "apisix", "/absent/apisix.yaml"], "");
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_file_is_not_written_over_by_what_is_left_of_it() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let path = folder.path().join("apisix.yaml");
    std::fs::write(&path, "ssls: [{}]\n#END\n").expect("written");
    let path = path.to_str().expect("a name");
    let output = run(&["import", "apisix", path, "--output", path], "");
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(std::fs::read_to_string(path).expect("there"), "ssls: [{}]\n#END\n");
}
