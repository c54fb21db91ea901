//! The binary under test.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use splitway_tests::message::{Answer, Call};
use splitway_tests::origin::Origin;
use splitway_tests::script::Reply;
use splitway_tests::wire;
use tempfile::TempDir;

/// How long anything may take before a test gives up; far more than it ever takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The binary with an environment that says nothing to it.
pub(crate) fn splitway() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_splitway"));
    for (name, _) in std::env::vars_os() {
        let is_ours =
            ["SPLITWAY_", "OTEL_"].iter().any(|own| name.to_string_lossy().starts_with(own));
        if is_ours {
            command.env_remove(name);
        }
    }
    // Servers of tests would else have one address.
    command.env("SPLITWAY_METRICS_LISTEN", "off");
    command
}

/// Runs the binary to its end.
pub(crate) fn run(arguments: &[&str], input: &str) -> Output {
    let mut command = splitway();
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("splitway runs");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(input.as_bytes()).expect("it reads its input");
    drop(stdin);
    child.wait_with_output().expect("it ends")
}

/// A directory with the files of one test.
pub(crate) struct Files(TempDir);

impl Files {
    pub(crate) fn new() -> Self {
        Self(TempDir::new().expect("a directory"))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file and gives its path, as an argument.
    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        std::fs::write(&path, text).expect("it can be written");
        argument(&path)
    }
}

pub(crate) fn argument(path: &Path) -> String {
    path.to_str().expect("a path in UTF-8").to_owned()
}

/// An upstream that answers every request with `body`.
pub(crate) fn origin(body: &str) -> Origin {
    Origin::on_loopback(Reply::ok(body).into())
}

/// A document that sends everything to one place.
pub(crate) fn everything_to(upstream: &str) -> String {
    format!("routes:\n  - id: all\n    uri: /*\n    upstream: {upstream}\n")
}

/// What a problem says went wrong, for machines.
pub(crate) fn problem(answer: &Answer) -> (u16, Option<String>) {
    let status = answer.header("proxy-status");
    (answer.status, status.and_then(|it| Some(it.strip_prefix("splitway; error=")?.to_owned())))
}

/// A `splitway serve` that is killed when the test is done with it.
pub(crate) struct Serving {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
    pub(crate) traffic: SocketAddr,
    pub(crate) admin: Option<SocketAddr>,
    pub(crate) metrics: Option<SocketAddr>,
}

impl Serving {
    /// Starts one that serves a document in a file.
    pub(crate) fn file(path: &str, more: &[&str]) -> Self {
        Self::start(splitway(), &[&["--config", path], more].concat())
    }

    /// Starts one with a ledger in `dir`.
    pub(crate) fn ledger(dir: &Path, command: Command) -> Self {
        let dir = argument(dir);
        Self::start(command, &["--data-dir", &dir, "--admin-listen", "127.0.0.1:0"])
    }

    /// Starts one with these options.
    pub(crate) fn start(command: Command, arguments: &[&str]) -> Self {
        Self::start_at(command, &[&["--listen", "127.0.0.1:0"], arguments].concat())
    }

    /// Starts one with these options, which say where it listens.
    pub(crate) fn start_at(mut command: Command, arguments: &[&str]) -> Self {
        command.arg("serve").args(arguments);
        let mut child = command.stderr(Stdio::piped()).spawn().expect("splitway runs");
        let stderr = BufReader::new(child.stderr.take().expect("a pipe"));
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            stderr.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut serving =
            Self { child, lines, seen: Vec::new(), traffic: nowhere, admin: None, metrics: None };
        serving.traffic = serving.address("traffic").expect("an address");
        serving.admin = serving.address("admin API");
        serving
    }

    /// Reads where metrics are.
    pub(crate) fn find_metrics(&mut self) {
        self.metrics = self.address("metrics");
    }

    fn address(&mut self, label: &str) -> Option<SocketAddr> {
        let line = self.line(|line| line.trim_start().starts_with(label));
        let (_, url) = line.split_once("://")?;
        url.split('/').next()?.parse().ok()
    }

    /// What is answered to a GET.
    pub(crate) fn get(&self, path: &str) -> Answer {
        wire::call(self.traffic, &Call::get(path))
    }

    /// What the Admin API answers.
    pub(crate) fn ask_admin(&self, call: &Call) -> Answer {
        wire::call(self.admin.expect("the Admin API is on"), call)
    }

    /// The next line on standard error that is the one wanted.
    pub(crate) fn line(&mut self, is_wanted: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                panic!("no such line among\n{}", self.seen.join("\n"));
            };
            self.seen.push(line.clone());
            if is_wanted(&line) {
                return line;
            }
        }
    }

    /// Everything on standard error so far.
    pub(crate) fn told(&mut self) -> String {
        self.seen.extend(self.lines.try_iter());
        self.seen.join("\n")
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        let kill = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status();
        assert!(kill.expect("there is kill").success());
    }

    /// Ends it at once, as the loss of power would.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }

    /// The number of its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> std::process::ExitStatus {
        self.child.wait().expect("it ends")
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
