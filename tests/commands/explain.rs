//! Requests that are explained by a document, without a server.

use crate::process::{Ran, Shell};

const DOCUMENT: &str = r#"
routes:
  - id: old
    uri: /chat
    priority: 1
    vars: [[http_x_old, ==, "1"]]
    upstream: http://old.test
  - id: chat
    uri: /chat
    methods: [POST]
    timeout: {connect: 1, send: 2, read: 3}
    upstream: http://api.test
    plugins:
      traffic-split:
        rules:
          - match: [{vars: [[arg_beta, ==, "1"]]}]
            weighted_upstreams: [{name: beta, rewrite: {uri: /beta}}]
          - weighted_upstreams:
              - {name: v1, weight: 2, rewrite: {uri: /v1}}
              - name: v2
                weight: 1
                rewrite: {uri: /v2, body: {model: b}}
                headers: {set: {x-canary: "yes"}, add: {x-tag: a}, remove: [x-debug]}
            sticky: {by: ["header:x-user"]}
            override: {tokens: true}
  - {id: other, uri: /other, upstream: https://other.test}
"#;

/// Nobody who asks a server.
fn shell() -> Shell {
    let shell = Shell::new("http://127.0.0.1:1").with("SPLITWAY_SECRET", "0123456789abcdef");
    shell.write("c.yaml", DOCUMENT);
    shell
}

fn explain(shell: &Shell, words: &str) -> Ran {
    shell.run(&format!("explain --config c.yaml {words}"))
}

#[test]
fn all_there_is_to_tell_is_told_in_columns() {
    let shell = shell();
    shell.write("body.json", "{\"model\": \"a\", \"n\": 1}\n");
    let told = explain(
        &shell,
        "https://gw.test/chat?a=1 -d @body.json -H x-user:u-8 -H X-Debug:1 --header=x-splitway-branch:v9 --client 192.0.2.7",
    );
    let revision = told.stdout.lines().next().unwrap().strip_prefix("revision    ").unwrap();
    let expected = format!(
        "\
revision    {revision}
route       chat
  passed    old  its `vars` do not hold: http_x_old == \"1\": it is absent
  not asked other  its path is /other
rule        1
  passed    0  arg_beta == \"1\": it is absent
branch      v2, by the key \"u-8\" in header:x-user
  denied    a bare name is not taken from this address
  point     POINT
  shares    v1  2  66.66 %
            v2  1  33.33 %
body        is read before anything is sent
request     POST http://api.test/v2?a=1
  host      api.test
  timeout   6 s
  headers   - x-splitway-branch
            - x-debug
            = x-canary: yes
            = x-forwarded-for: 192.0.2.7
            = x-forwarded-host: gw.test
            = x-forwarded-port: 443
            = x-forwarded-proto: https
            = x-real-ip: 192.0.2.7
            + x-tag: a
  body      {{\"model\":\"b\",\"n\":1}}
            19 bytes
response    - x-splitway-picked
            - x-splitway-attempts
            = x-splitway-branch: v2
            = x-splitway-revision: {revision}
            = x-splitway-route: chat
"
    );
    let point = told.stdout.split("  point     ").nth(1).unwrap().lines().next().unwrap();
    told.check(0, &expected.replace("POINT", point), "");
}

#[test]
fn a_request_that_nobody_takes_is_a_problem() {
    let shell = shell();
    let told = explain(&shell, "GET /chat");
    assert_eq!(told.code, 1, "{told:?}");
    let last = told.stdout.lines().last().unwrap();
    assert_eq!(last, "problem     404 destination_not_found: No route takes this request");
    assert!(told.stdout.contains("            chat  its method is POST\n"), "{told:?}");
    let json = explain(&shell, "--format json GET /chat");
    assert_eq!(json.code, 1);
    let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(
        (&json["route"], &json["problem"]["status"]),
        (&serde_json::Value::Null, &404.into())
    );
}

#[test]
fn what_cannot_be_explained_ends_with_2() {
    let shell = shell();
    shell.write("faulty.yaml", "routes: [{id: a, uri: a, upstream: http://a.test}]");
    shell.write("open.yaml", "routes: [");
    let check = |words: &str, told: &str| {
        let ran = shell.run(&format!("explain {words}"));
        assert_eq!((ran.code, &*ran.stdout), (2, ""), "{words}: {ran:?}");
        assert!(ran.stderr.contains(told), "{words}: {ran:?}");
    };
    check("--config c.yaml chat", "error: /url: expected a URL such as");
    check("--config c.yaml POST /chat PUT", "unexpected");
    check("--config c.yaml", "required");
    check("--config c.yaml /chat -H nonsense", "expected a name, `:` and a value");
    check("--config c.yaml /chat -d @nowhere", "nowhere: cannot be read");
    check("--config c.yaml /chat --at noon", "expected a time such as");
    check("--config nowhere.yaml /chat", "nowhere.yaml: cannot be read");
    check("--config faulty.yaml /chat", "error: /routes/0/uri: ");
    check("--config faulty.yaml /chat", "faulty.yaml: 1 fault\n");
    check("--config open.yaml /chat", "open.yaml: line ");
    check("/chat", "no answer from http://127.0.0.1:1");
    let short = shell.with("SPLITWAY_SECRET", "short");
    let ran = short.run("explain --config c.yaml /chat");
    let told = "error: SPLITWAY_SECRET has less than 16 bytes\nhint: make one with `openssl rand -hex 32`\n";
    ran.check(2, "", told);
}

#[test]
fn colours_are_for_terminals() {
    let (code, seen) = shell().run_at_terminal("explain --config c.yaml /other", "");
    assert_eq!(code, 0, "{seen}");
    assert!(seen.contains("\u{1b}[36mroute       \u{1b}[0m"), "{seen:?}");
}
