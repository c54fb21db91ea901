//! `splitway top`, before a real server and at a real terminal.

use std::process::Command;

use serde_json::{Value, json};
use splitway_local::{ServeOptions, Server};
use splitway_tests::message::Call;
use splitway_tests::origin::Origin;
use splitway_tests::script::{Act, Reply, Script};
use splitway_tests::wire;
use tempfile::TempDir;

use crate::process::{KEY, Shell};
use crate::seat::Seat;

/// A server with a route of two branches, the second of which fails.
struct Rig {
    dir: TempDir,
    server: Option<Server>,
    shell: Shell,
    _origins: [Origin; 2],
}

impl Rig {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let server = crate::start(dir.path());
        let admin = server.admin_addr().unwrap();
        let answers = [200, 503].map(|status| {
            Origin::on_loopback(Script::new(move |_| Act::Answer(Reply::status(status).body("-"))))
        });
        let branch = |name: &str, weight: u32, origin: &Origin| {
            let nodes = json!({origin.authority(): 1});
            json!({"name": name, "weight": weight, "upstream": {"nodes": nodes}})
        };
        let [v1, v2] = &answers;
        let branches = json!([branch("stable", 3, v1), branch("canary", 1, v2)]);
        let rule = json!({"weighted_upstreams": branches, "breaker": {"failures": 5}});
        let plugins = json!({"traffic-split": {"rules": [rule]}});
        let nodes = json!({v1.authority(): 1});
        let route = json!({
            "uri": "/chat", "name": "Chat", "plugins": plugins, "upstream": {"nodes": nodes},
        });
        let call = Call::new("PUT", "/apisix/admin/routes/chat").header("x-api-key", KEY);
        let written = wire::call(admin, &call.body(route.to_string()));
        assert_eq!(written.status, 201, "{}", written.text());
        let shell = Shell::new(&format!("http://{admin}"));
        Self { dir, server: Some(server), shell, _origins: answers }
    }

    /// Sends requests.
    fn send(&self, count: usize) {
        let address = self.server.as_ref().expect("it runs").listen_addr();
        for _ in 0..count {
            wire::call(address, &Call::get("/chat"));
        }
    }

    /// Ends the server; where its API was.
    fn stop(&mut self) -> std::net::SocketAddr {
        let server = self.server.take().expect("it runs");
        let admin = server.admin_addr().unwrap();
        server.stop();
        admin
    }

    /// Starts it again.
    fn start(&mut self, admin: std::net::SocketAddr) {
        self.server = Some(
            Server::start(ServeOptions {
                listen: ([127, 0, 0, 1], 0).into(),
                admin_listen: admin,
                data_dir: self.dir.path().to_owned(),
                admin_key: Some(KEY.to_owned()),
                is_silent: true,
                ..ServeOptions::default()
            })
            .unwrap(),
        );
    }

    fn at_terminal(&self, words: &str, columns: u16) -> Seat {
        Seat::new(self.shell.command(words), columns, 12)
    }
}

/// The line of a branch.
fn line<'s>(screen: &'s str, branch: &str) -> &'s str {
    screen.lines().find(|line| line.trim_start().starts_with(branch)).unwrap_or_default()
}

/// The figures of a branch, in the order of the columns.
fn figures<'s>(screen: &'s str, branch: &str) -> Vec<&'s str> {
    line(screen, branch).split_whitespace().skip(1).collect()
}

#[test]
fn branches_are_seen_with_their_shares_until_somebody_quits() {
    let rig = Rig::new();
    let mut seat = rig.at_terminal("top --interval 1s", 80);
    seat.await_screen("a first answer", |screen| screen.contains("canary"));
    assert!(seat.is_taken());
    rig.send(200);
    let screen = seat.await_screen("rates", |screen| {
        let requests = figures(screen, "stable").get(3).and_then(|it| it.parse().ok());
        let is_open = figures(screen, "canary").last() == Some(&"open");
        is_open && requests.is_some_and(|requests: f64| requests > 0.0)
    });
    assert!(screen.contains("splitway top  http://127.0.0.1:"), "{screen}");
    assert!(screen.contains("chat  Chat  /chat  rule 0"), "{screen}");
    assert_eq!(figures(&screen, "stable")[0], "75.0", "{screen}");
    assert_eq!(figures(&screen, "canary")[0], "25.0", "{screen}");
    assert!(screen.contains(" req/s, "), "{screen}");
    seat.press("s");
    seat.await_screen("another order", |screen| screen.contains("s sort: errors"));
    seat.press("/can\r");
    seat.await_screen("a filter", |screen| {
        screen.contains("/ filter: can") && !screen.contains("stable")
    });
    seat.press("q");
    assert_eq!(seat.end().0, Some(0));
}

#[test]
fn a_server_that_is_away_is_told_of_and_looked_at_again_when_it_is_back() {
    let mut rig = Rig::new();
    rig.send(8);
    let mut seat = rig.at_terminal("top --interval 200ms", 60);
    seat.await_screen("an answer", |screen| figures(screen, "stable").contains(&"75.0"));
    let admin = rig.stop();
    let away = seat.await_screen("its absence", |screen| screen.contains(" AWAY "));
    assert!(away.contains("no answer from http://") && away.contains("stable"), "{away}");
    rig.start(admin);
    // What it had counted is gone, and nothing of that is a figure below zero.
    let back = seat.await_screen("its return", |screen| {
        !screen.contains("AWAY") && figures(screen, "stable").get(1) == Some(&"-")
    });
    assert!(back.contains("0.0 req/s"), "{back}");
    seat.press("\u{3}");
    assert_eq!(seat.end().0, Some(0));
}

#[test]
fn the_terminal_is_as_it_was_after_a_signal_and_has_no_colours_for_those_who_want_none() {
    let rig = Rig::new();
    // An open breaker is red.
    rig.send(40);
    for (signal, no_colour) in [("TERM", "1"), ("HUP", ""), ("INT", "1")] {
        let mut command = rig.shell.command("top");
        command.env("NO_COLOR", no_colour);
        let seat = Seat::new(command, 80, 12);
        seat.await_screen("rates", |screen| screen.contains("0.0 req/s"));
        assert!(seat.is_taken());
        let id = seat.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &id]).status().unwrap().success());
        let (code, seen) = seat.end();
        let is_coloured =
            ["\u{1b}[38;", "\u{1b}[31m", "\u{1b}[90m"].iter().any(|it| seen.contains(it));
        assert_eq!((code, is_coloured), (Some(0), no_colour.is_empty()), "{signal}: {seen:?}");
    }
}

#[test]
fn a_wrong_key_is_an_error_at_the_terminal_as_it_was() {
    let rig = Rig::new();
    let mut command = rig.shell.command("top");
    command.env("SPLITWAY_ADMIN_KEY", "the-key-of-somebody-else-1234567");
    let (code, seen) = Seat::new(command, 80, 12).end();
    assert_eq!(code, Some(2));
    assert!(seen.contains("does not take the key of SPLITWAY_ADMIN_KEY"), "{seen:?}");
}

#[test]
fn without_a_terminal_one_interval_is_printed() {
    let rig = Rig::new();
    rig.send(8);
    for words in ["top --interval 200ms", "top --once --interval 200ms"] {
        let ran = rig.shell.run(words);
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
        let lines: Vec<&str> = ran.stdout.lines().collect();
        assert_eq!(lines.len(), 3, "{ran:?}");
        let words = |line: &'static str| line.split_whitespace().collect::<Vec<_>>();
        let head = "route rule branch target share 95% range req/s err% p50 p99 breaker";
        assert_eq!(lines[0].split_whitespace().collect::<Vec<_>>(), words(head));
        let stable = "chat 0 stable 75.0 75.0 40.9-92.9 0.0 - - - closed";
        assert_eq!(lines[1].split_whitespace().collect::<Vec<_>>(), words(stable));
    }
    let ran = rig.shell.run("top --json --interval 200ms --filter canary");
    let told: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((&told["server"], &told["revision"]), (&json!(rig.shell.url), &json!("1")));
    let canary = &told["rules"][0]["branches"][0];
    assert_eq!(
        (&canary["name"], &canary["share"], &canary["target"]),
        (&json!("canary"), &json!(0.25), &json!(0.25))
    );
    assert_eq!((&canary["errors"], &canary["rates"]["requests_per_s"]), (&json!(2), &json!(0.0)));
    assert!(told["seconds"].as_f64().unwrap() >= 0.2, "{told}");
}

#[test]
fn what_top_is_asked_for_is_looked_at_first() {
    let shell = Shell::new("http://127.0.0.1:1");
    let ran = shell.run("top --interval 1");
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("expected a time such as 500ms, 1s or 5m"), "{ran:?}");
    let ran = shell.run("top --once");
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("no answer from http://127.0.0.1:1"), "{ran:?}");
    let help = shell.run("top --help");
    assert!(help.stdout.contains("splitway top --once --interval 10s"), "{help:?}");
    assert!(
        shell.run("completions bash").stdout.contains("splitway__subcmd__top"),
        "no completion"
    );
}
