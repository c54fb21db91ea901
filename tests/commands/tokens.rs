//! Tokens that let whoever has them choose a branch.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Stdio};

use splitway_core::seal::{Secret, token};
use splitway_core::time::Timestamp;
use splitway_tests::message::Call;
use splitway_tests::origin::Origin;
use splitway_tests::script::Reply;
use splitway_tests::wire;

use crate::process::Shell;

const SECRET: &str = "a-secret-of-the-tokens";

fn shell() -> Shell {
    Shell::new("http://127.0.0.1:1").with("SPLITWAY_SECRET", SECRET)
}

/// The server as somebody would start it; it ends with this.
struct Serving {
    child: Child,
    address: SocketAddr,
}

impl Serving {
    fn start(shell: &Shell) -> Self {
        let mut command = shell.command("serve --config c.yaml --listen 127.0.0.1:0");
        let mut child = command.stderr(Stdio::piped()).spawn().expect("splitway runs");
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        let traffic = lines.find_map(|line| Some(line.split_once("http://")?.1.to_owned()));
        let address = traffic.expect("it says where it is").parse().unwrap();
        // Somebody reads on, or the server would wait.
        std::thread::spawn(move || lines.count());
        Self { child, address }
    }

    /// The branch that serves a request with this token.
    fn branch(&self, token: Option<&str>) -> Option<String> {
        let call = Call::get("/chat").header("host", "gw.test");
        let call = match token {
            Some(token) => call.header("x-splitway-branch", token),
            None => call,
        };
        wire::call(self.address, &call).header("x-splitway-branch")
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_branch_without_a_share_is_reached_with_a_token() {
    let shell = shell();
    let origin = Origin::on_loopback(Reply::ok("here").into());
    let document = format!(
        "routes:
  - id: chat
    uri: /chat
    upstream: http://{}
    plugins:
      traffic-split:
        rules:
          - weighted_upstreams: [{{name: v1}}, {{name: v2, weight: 0, rewrite: {{uri: /v2}}}}]
            override: {{tokens: true}}
",
        origin.authority()
    );
    shell.write("c.yaml", &document);
    let serving = Serving::start(&shell);
    let (now, next) = (Some("v1".to_owned()), Some("v2".to_owned()));
    let make = |words: &str| {
        let ran = shell.run(&format!("token --branch v2 {words}"));
        assert_eq!(ran.code, 0, "{ran:?}");
        ran.stdout.trim_end().to_owned()
    };
    assert_eq!(serving.branch(None), now);
    for words in ["", "--route chat --for 8h", "--for 30d"] {
        let token = make(words);
        assert_eq!(serving.branch(Some(&token)), next, "{words}");
        let words = format!("explain --config c.yaml /chat -H x-splitway-branch:{token}");
        let told = shell.run(&words).stdout;
        assert!(told.contains("\nbranch      v2, asked for by name\n"), "{told}");
    }
    assert_eq!(serving.branch(Some(&make("--route other"))), now);
    let secret = Secret::new(SECRET).unwrap();
    let expired = token(&secret, "v2", None, Timestamp::from_millis(1_000_000_000_000));
    assert_eq!(serving.branch(Some(&expired)), now);
    assert_eq!(serving.branch(Some("v2")), now);
}

#[test]
fn a_token_needs_a_secret_and_an_end() {
    let made = shell().run("token --branch v2 --route chat --for 30m");
    assert!(made.stdout.starts_with("v2~") && made.stdout.contains("~chat~"), "{made:?}");
    let told = "for the branch `v2` on the route `chat` until ";
    assert!(made.stderr.starts_with(told), "{made:?}");
    let unset = shell().without("SPLITWAY_SECRET");
    let told = "error: SPLITWAY_SECRET is not set: there is nothing to sign with\n\
                hint: it is what the server was started with\n";
    unset.run("token --branch v2").check(2, "", told);
    let short = unset.with("SPLITWAY_SECRET", "0123456789abcde");
    assert_eq!(short.run("token --branch v2").code, 2);
    for words in [
        "",
        "--branch v/2",
        "--branch v2 --route a~b",
        "--branch v2 --for 31d",
        "--branch v2 --for 0s",
        "--branch v2 --until soon",
        "--branch v2 --until 2000-01-01T00:00:00Z",
        "--branch v2 --until 2999-01-01T00:00:00Z",
        "--branch v2 --for 1h --until 2999-01-01T00:00:00Z",
    ] {
        let ran = shell().run(&format!("token {words}"));
        assert_eq!((ran.code, &*ran.stdout), (2, ""), "{words}: {ran:?}");
    }
}

#[test]
fn a_server_without_the_secret_that_it_needs_says_so() {
    let shell = Shell::new("http://127.0.0.1:1");
    shell.write(
        "c.yaml",
        "routes:
  - id: chat
    uri: /chat
    upstream: http://127.0.0.1:1
    plugins:
      traffic-split:
        rules:
          - weighted_upstreams: [{name: v1}, {name: v2, rewrite: {uri: /v2}}]
            sticky: {cookie: {}}
",
    );
    let mut command = shell.command("serve --config c.yaml --listen 127.0.0.1:0");
    let mut child = command.stderr(Stdio::piped()).spawn().expect("splitway runs");
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let warning = lines.find(|line| line.contains("SPLITWAY_SECRET is not set"));
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    assert!(warning.is_some_and(|line| line.contains("no cookie is issued")));
}
