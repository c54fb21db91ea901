//! What the commands send, byte by byte where it matters, and where to.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};
use splitway_tests::origin::Origin;
use splitway_tests::script::{Received, Reply};
use splitway_tests::tls;

use crate::fake;
use crate::process::{KEY, Shell};
use crate::scenarios::{FIRST, SECOND};

fn server(prefix: &str) -> (Origin, Shell) {
    let (origin, _) = fake::start(prefix, json!({"routes": [{"id": "a", "uri": "/a"}]}));
    let shell = Shell::new(&format!("http://{}{prefix}", origin.authority()));
    shell.write("first.yaml", FIRST);
    shell.write("second.yaml", SECOND);
    (origin, shell)
}

/// The method, the target and `If-Match` of each request.
fn asked(origin: &Origin) -> Vec<(String, String, Option<String>)> {
    let line = |request: Received| {
        let condition = request.header("if-match");
        (request.method, request.target, condition)
    };
    origin.requests().into_iter().map(line).collect()
}

fn line(method: &str, target: &str, condition: Option<&str>) -> (String, String, Option<String>) {
    (method.to_owned(), target.to_owned(), condition.map(str::to_owned))
}

#[test]
fn a_push_tries_and_then_writes_at_the_revision_it_tried() {
    let (origin, shell) = server("/ops");
    shell.run("push first.yaml").check(
        0,
        "~ routes/a\n+ routes/b\n+ upstreams/u\n2 to add, 1 to change, 0 to remove\nrevision 2\n",
        "",
    );
    let path = "/ops/splitway/v1";
    assert_eq!(
        asked(&origin),
        [
            line("GET", &format!("{path}/revisions?limit=1"), None),
            line("PUT", &format!("{path}/config?dry_run=true"), Some("\"1\"")),
            line("PUT", &format!("{path}/config"), Some("\"1\"")),
        ]
    );
    for request in origin.requests() {
        assert_eq!(request.header("x-api-key").as_deref(), Some(KEY));
        assert_eq!(request.header("host").as_deref(), Some(origin.authority()));
        let agent = request.header("user-agent").unwrap();
        assert!(agent.starts_with("splitway/"), "{agent}");
        let sent: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        match request.method.as_str() {
            "PUT" => {
                assert_eq!(request.header("content-type").as_deref(), Some("application/json"));
                assert_eq!(sent["upstreams"][0]["nodes"], json!({"127.0.0.1:1": 1}));
            }
            _ => assert_eq!(sent, Value::Null),
        }
    }
}

#[test]
fn what_changes_in_between_is_not_overwritten() {
    let (origin, state) = fake::start("", json!({}));
    let shell = Shell::new(&format!("http://{}", origin.authority()));
    shell.write("first.yaml", FIRST);
    state.lock().unwrap().has_rival = true;
    let lines = "+ routes/a\n+ routes/b\n+ upstreams/u\n3 to add, 0 to change, 0 to remove\n";
    shell.run("push first.yaml").check(
        1,
        lines,
        "error: somebody changed it since: it is now revision 2\n\
         hint: look with `splitway diff`\n",
    );
    assert_eq!(shell.run("pull").revision(), 2);
}

#[test]
fn a_rollback_tries_and_then_writes_at_the_revision_it_tried() {
    let (origin, shell) = server("");
    assert_eq!(shell.run("push second.yaml").code, 0);
    let before = origin.count();
    shell.run("rollback 1 --yes").check(
        0,
        "~ routes/a\n- routes/c\n- upstreams/u\n0 to add, 1 to change, 2 to remove\nrevision 3\n",
        "",
    );
    assert_eq!(
        asked(&origin)[before..],
        [
            line("GET", "/splitway/v1/revisions?limit=1", None),
            line("POST", "/splitway/v1/revisions/1/rollback?dry_run=true", Some("\"2\"")),
            line("POST", "/splitway/v1/revisions/1/rollback", Some("\"2\"")),
        ]
    );
}

#[test]
fn revisions_are_a_table() {
    let (origin, shell) = server("");
    assert_eq!(shell.run("push second.yaml").code, 0);
    let at = fake::AT;
    let table = format!(
        "revision  at                        by     cause       changes\n\
         2         {at}  admin  put config  ~routes/a +routes/c +upstreams/u\n\
         1         {at}  admin  first       +routes/a\n"
    );
    shell.run("revisions").check(0, &table, "");
    assert_eq!(asked(&origin).pop().unwrap().1, "/splitway/v1/revisions?limit=20");
    shell.run("revisions show 1 --format json").check(
        0,
        "{\n  \"routes\": [\n    {\n      \"id\": \"a\",\n      \"uri\": \"/a\"\n    }\n  ]\n}\n",
        &format!("revision 1, {at}, by admin: first, 1 resource\n+ routes/a\n"),
    );
}

#[test]
fn a_key_is_sent_with_its_role() {
    let (origin, shell) = server("");
    let key = shell.run("key add ci --role admin").stdout;
    let sent = origin.requests().pop().unwrap();
    assert_eq!((&*sent.method, &*sent.target), ("PUT", "/splitway/v1/keys/ci"));
    let body: Value = serde_json::from_slice(&sent.body).unwrap();
    assert_eq!(body, json!({"role": "admin", "key": key.trim_end()}));
    assert_eq!(shell.run("key add a/b").code, 2);
    assert_eq!(shell.run("key remove ..").code, 2);
}

#[test]
fn the_key_is_of_the_file_then_of_the_environment_then_of_the_server_here() {
    let (origin, shell) = server("");
    let sent = |origin: &Origin| origin.requests().pop().unwrap().header("x-api-key").unwrap();
    shell.write("my.key", "of-the-file\n");
    assert_eq!(shell.run("pull --key-file my.key").code, 2);
    assert_eq!(sent(&origin), "of-the-file");
    shell.write("splitway-data/admin.key", "of-the-server-here\n");
    assert_eq!(shell.run("pull").code, 0);
    assert_eq!(sent(&origin), KEY);
    let shell = shell.without("SPLITWAY_ADMIN_KEY");
    let error = format!(
        "error: {} does not take the key of splitway-data/admin.key: wrong apikey\n\
         hint: give the server's key in SPLITWAY_ADMIN_KEY, or its file with --key-file\n",
        shell.url
    );
    shell.run("pull").check(2, "", &error);
    assert_eq!(sent(&origin), "of-the-server-here");
}

#[test]
fn a_server_behind_tls_is_reached_as_with_curl() {
    let shell = Shell::new("https://gw.example.com/ops");
    let state = fake::state(json!({}));
    let origin = tls::origin("gw.example.com", &shell.path("ca.pem"), fake::script("/ops", &state));
    let resolve = format!("--resolve gw.example.com:443:{}", origin.authority());
    shell.run(&format!("pull {resolve} --ca ca.pem")).check(0, "{}\n", "revision 1\n");
    let sent = origin.only_request();
    assert_eq!(sent.header("host").as_deref(), Some("gw.example.com"));
    shell.run(&format!("pull {resolve}")).check(
        2,
        "",
        "error: no answer from https://gw.example.com/ops: its certificate is not trusted for this name\n\
         hint: --ca FILE trusts another authority\n",
    );
}

#[test]
fn plain_http_to_another_machine_needs_consent() {
    let (origin, _) = fake::start("", json!({}));
    // On Linux it leads to this machine, and is not one of the addresses that always do.
    let url = format!("http://0.0.0.0:{}", origin.port());
    let shell = Shell::new(&url);
    let error = format!(
        "error: the key is not sent to {url}: http to another machine can be read on the way\n\
         hint: use https://, or --allow-plain-http where that is wanted\n"
    );
    shell.run("pull").check(2, "", &error);
    assert_eq!(origin.count(), 0);
    shell.run("pull --allow-plain-http").check(0, "{}\n", "revision 1\n");
}

#[test]
fn the_key_of_the_server_here_is_not_for_others() {
    let (origin, _) = fake::start("", json!({}));
    let url = format!("http://0.0.0.0:{}", origin.port());
    let shell = Shell::new(&url).without("SPLITWAY_ADMIN_KEY");
    shell.write("splitway-data/admin.key", KEY);
    shell.run("pull --allow-plain-http").check(
        2,
        "",
        "error: there is no key to open the server with\n\
         hint: give the server's key in SPLITWAY_ADMIN_KEY, or its file with --key-file\n",
    );
    assert_eq!(origin.count(), 0);
}

#[test]
fn a_file_is_replaced_as_a_whole_and_keeps_its_mode() {
    let (_origin, shell) = server("");
    shell.write("real.yaml", "old");
    fs::set_permissions(shell.path("real.yaml"), fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::symlink("real.yaml", shell.path("link.yaml")).unwrap();
    shell.run("pull --output link.yaml").check(0, "", "revision 1\n");
    assert_eq!(shell.read("real.yaml"), shell.run("pull").stdout);
    assert_eq!(fs::metadata(shell.path("real.yaml")).unwrap().permissions().mode() & 0o777, 0o640);
    assert!(shell.path("link.yaml").is_symlink());

    let not_a_file = "error: /dev/null cannot be written: it is not a file\n";
    shell.run("pull --output /dev/null").check(2, "", not_a_file);
    let nowhere = shell.run("pull --output absent/config.yaml");
    assert_eq!(nowhere.code, 2);
    assert!(
        nowhere.stderr.starts_with("error: absent/config.yaml cannot be written: "),
        "{nowhere:?}"
    );
    let names = fs::read_dir(shell.path("")).unwrap().map(|entry| entry.unwrap().file_name());
    let left = names.filter(|name| name.to_string_lossy().starts_with(".splitway-"));
    assert_eq!(left.count(), 0);
}

#[test]
fn a_revision_is_known_by_a_weakened_tag_too() {
    let origin = Origin::on_loopback(Reply::ok("{}").header("ETag", "W/\"7\"").into());
    Shell::new(&format!("http://{}", origin.authority())).run("pull").check(
        0,
        "{}\n",
        "revision 7\n",
    );
}

#[test]
fn a_key_that_cannot_be_printed_is_said_to_be_lost() {
    let (_origin, shell) = server("");
    let full = File::options().write(true).open("/dev/full").unwrap();
    let output = shell.command("key add ci").stdout(full).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.starts_with("error: the key `ci` is made but could not be printed: "), "{told}");
    assert!(told.ends_with("\nhint: add it again with --replace\n"), "{told}");
}
