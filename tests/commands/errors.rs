//! What the commands say when a server does not answer as it should: one line, a hint, an exit code.

use serde_json::json;
use splitway_tests::origin::Origin;
use splitway_tests::script::{Act, Reply, Script};

use crate::fake::{problem, problem_of};
use crate::process::Shell;

/// Checks what `splitway pull` says to an answer; `SERVER` in `stderr` is the server's URL.
#[track_caller]
fn check(script: impl Into<Script>, code: i32, stderr: &str) {
    check_words("pull", script, code, stderr);
}

#[track_caller]
fn check_words(words: &str, script: impl Into<Script>, code: i32, stderr: &str) {
    let origin = Origin::on_loopback(script.into());
    let shell = Shell::new(&format!("http://{}", origin.authority()));
    shell.run(words).check(code, "", &stderr.replace("SERVER", &shell.url));
}

const GIVE_A_KEY: &str =
    "hint: give the server's key in SPLITWAY_ADMIN_KEY, or its file with --key-file\n";

const FOREIGN: &str = "hint: is this Splitway's Admin API, of a version that has it? It is not where \
                       traffic is taken, and at the edge the URL may need a prefix\n";

#[test]
fn nobody_is_there() {
    let origin = Origin::refusing();
    let shell = Shell::new(&format!("http://{}", origin.authority()));
    let error = format!(
        "error: no answer from {}: the connection was refused\n\
         hint: is `splitway serve` running there? --server or SPLITWAY_SERVER names another place\n",
        shell.url
    );
    shell.run("pull").check(2, "", &error);
}

#[test]
fn the_connection_is_not_what_it_should_be() {
    check(Act::Close, 2, "error: no answer from SERVER: the connection ended too early\n");
    check(
        Act::Garbage(b"SSH-2.0-OpenSSH\r\n\r\n".to_vec()),
        2,
        "error: no answer from SERVER: what came back is not HTTP\n\
         hint: is it https:// that is spoken there?\n",
    );
    let slow = "error: no answer from SERVER within 1 s\nhint: --timeout SECONDS waits longer\n";
    check_words("pull --timeout 1", Act::Silence, 2, slow);
}

#[test]
fn a_change_without_an_answer_may_have_been_made() {
    let hint = "hint: it may have been done all the same: look before you try again\n";
    let cut = "error: no answer from SERVER: the connection ended too early\n";
    check_words("key remove ci", Act::Close, 2, &format!("{cut}{hint}"));
    let slow = "error: no answer from SERVER within 1 s\n";
    let silent = format!("{slow}{hint}");
    check_words("key remove ci --timeout 1", Act::Silence, 2, &silent);
    let only_tried = Script::new(|request| match request.method.as_str() {
        "PUT" => Act::Close,
        _ => Act::Answer(Reply::ok(r#"{"current":1,"revisions":[]}"#)),
    });
    let origin = Origin::on_loopback(only_tried);
    let shell = Shell::new(&format!("http://{}", origin.authority()));
    let cut = cut.replace("SERVER", &shell.url);
    shell.run_with("push -", "routes: []").check(2, "", &cut);
}

#[test]
fn the_key_is_not_taken() {
    let token = |why| {
        let body = json!({"error_msg": "failed to check token", "description": why});
        problem_of(401, &body)
    };
    let wrong = "error: SERVER does not take the key of SPLITWAY_ADMIN_KEY: wrong apikey\n";
    check(token("wrong apikey"), 2, &format!("{wrong}{GIVE_A_KEY}"));
    let proxy = "error: SERVER does not take the key of SPLITWAY_ADMIN_KEY: Unauthorized\n";
    check(Reply::status(401).body("who?"), 2, &format!("{proxy}{GIVE_A_KEY}"));
    check(
        token("invalid method for role viewer"),
        2,
        "error: the key of SPLITWAY_ADMIN_KEY is a viewer's, which may only read\n\
         hint: this needs the key of an admin\n",
    );
    check(
        problem(403, "not from there"),
        2,
        "error: SERVER does not let this address in: not from there\n\
         hint: --allow-admin of `splitway serve`, and SPLITWAY_ALLOW_ADMIN at the edge, name the addresses that are let in\n",
    );
    check(
        problem(429, "too many").header("Retry-After", "30"),
        2,
        "error: SERVER has had too many wrong keys; try again in 30 s\n\
         hint: look first whether the key is the right one\n",
    );
}

#[test]
fn there_is_no_key() {
    let shell = Shell::new("http://127.0.0.1:9").without("SPLITWAY_ADMIN_KEY");
    let none = format!("error: there is no key to open the server with\n{GIVE_A_KEY}");
    shell.run("pull").check(2, "", &none);
    shell.write("two.key", "one\ntwo\n");
    let two =
        "error: the key of two.key is none: it has more than one line, or control characters\n";
    shell.run("pull --key-file two.key").check(2, "", &format!("{two}{GIVE_A_KEY}"));
    let absent = shell.run("pull --key-file absent.key");
    assert_eq!(absent.code, 2);
    let error = "error: the key in absent.key cannot be read: No such file";
    assert!(absent.stderr.starts_with(error), "{absent:?}");
    let shell = shell.with("SPLITWAY_ADMIN_KEY", "");
    let empty = "error: the key of SPLITWAY_ADMIN_KEY is empty\n";
    shell.run("pull").check(2, "", &format!("{empty}{GIVE_A_KEY}"));
}

#[test]
fn something_else_answers() {
    let not_found = "error: what SERVER answers (404 Not Found) is not Splitway's API\n";
    let not_found = format!("{not_found}{FOREIGN}");
    check(Reply::status(404).body(r#"{"error_msg":"not found"}"#), 2, &not_found);
    let traffic = problem(404, "no route").header("Proxy-Status", "splitway; error=x");
    check(traffic, 2, &not_found);
    let page = "error: what SERVER answers (200 OK) is not Splitway's API\n";
    let page = format!("{page}{FOREIGN}");
    check(Reply::ok("<html></html>"), 2, &page);
    check(Reply::ok("[]").header("ETag", "\"1\""), 2, &page);
    check(Reply::ok("{}"), 2, &page);
    check_words("revisions", Reply::ok("{}"), 2, &page);
}

#[test]
fn redirects_are_not_followed() {
    let other = Origin::on_loopback(Reply::ok("{}").header("ETag", "\"1\"").into());
    let location = format!("http://{}/splitway/v1/config", other.authority());
    let error = format!(
        "error: SERVER answered 307 Temporary Redirect and points elsewhere, where the key is not sent\n\
         hint: if the server is there, say so with --server: {location}\n"
    );
    check(Reply::status(307).header("Location", &location).body(""), 2, &error);
    assert_eq!(other.count(), 0);
}

#[test]
fn the_server_says_no() {
    check_words(
        "revisions show 9",
        problem(404, "there is no revision 9"),
        2,
        "error: SERVER refuses: there is no revision 9 (404 Not Found)\n",
    );
    check_words(
        "revisions show 9",
        problem(410, "revision 9 is no longer kept"),
        2,
        "error: SERVER refuses: revision 9 is no longer kept (410 Gone)\n",
    );
    let hint = "hint: try again later, or see the server's log\n";
    let full = "error: SERVER cannot do it: the disk is full (507 Insufficient Storage)\n";
    check_words("key remove ci", problem(507, "the disk is full"), 2, &format!("{full}{hint}"));
    let down = "error: SERVER cannot do it: Service Unavailable (503 Service Unavailable)\n";
    check_words("key remove ci", Reply::status(503).body(""), 2, &format!("{down}{hint}"));
    check(
        problem(500, "\u{1b}[2Jgone"),
        2,
        "error: SERVER refuses: \\u{1b}[2Jgone (500 Internal Server Error)\n",
    );
}

#[test]
fn files_are_read_before_a_server_is_asked() {
    let shell = Shell::new("http://127.0.0.1:9");
    shell.write("broken.yaml", "routes:\n  - id: [\n");
    let syntax = "error: broken.yaml: line 2, column 9: unclosed bracket '['\n";
    shell.run("diff broken.yaml").check(2, "", syntax);
    let absent = shell.run("push absent.yaml");
    assert_eq!(absent.code, 2);
    let error = "error: absent.yaml: cannot be read: No such file";
    assert!(absent.stderr.starts_with(error), "{absent:?}");
}

#[test]
fn every_fault_is_told_as_by_validate() {
    let errors = json!([
        {"pointer": "/routes/0/uri", "detail": "expected a path"},
        {"pointer": "", "detail": "expected less"},
    ]);
    let reply = problem_of(400, &json!({"error_msg": "faults", "errors": errors}));
    let origin = Origin::on_loopback(reply.into());
    let shell = Shell::new(&format!("http://{}", origin.authority()));
    let faults = "error: /routes/0/uri: expected a path\nerror: (document): expected less\n";
    shell.run_with("diff -", "routes: []").check(2, "", &format!("{faults}-: 2 faults\n"));
    let hint = "hint: this looks like one route; a document has it in a list: routes: [...]\n";
    let told = format!("{faults}-: 2 faults\n{hint}");
    shell.run_with("diff - --exit-code", "uri: /a").check(2, "", &told);
}
