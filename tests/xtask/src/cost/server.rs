//! Servers whose CPU time is looked at: the release build, and the built Worker in workerd.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Stdio};
use std::thread;

use super::{STEP, cpu_ns, failed, pin};
use crate::setup::Kit;
use crate::step::{Failure, Outcome};

/// A server that runs until it is dropped.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    /// Closed, it has miniflare end.
    input: Option<ChildStdin>,
    /// The process whose time counts: the child or one of its own.
    process: u32,
    /// `http://` and an authority.
    pub(super) url: String,
}

impl Server {
    /// The local server with one worker.
    pub(super) fn native(kit: &Kit, config: &Path, options: &[&str]) -> Outcome<Self> {
        let mut command = kit.command(kit.root.join("target/release/splitway"));
        command.args(["serve", "--workers=1", "--listen=127.0.0.1:0", "--metrics-listen=off"]);
        command.arg("--config").arg(config).args(options);
        let mut child = command.stderr(Stdio::piped()).spawn().map_err(failed)?;
        let told = child.stderr.take().and_then(|told| said(told, "  traffic        "));
        let process = child.id();
        Self { child, input: None, process, url: String::new() }.at(told)
    }

    /// The built Worker, with this document in KV and this much told of requests.
    pub(super) fn workerd(kit: &Kit, document: &str, log: &str) -> Outcome<Self> {
        let mut command = kit.command(kit.node_bin("node"));
        command.arg("tests/workerd/miniflare.mjs").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(failed)?;
        let vars = format!(r#"{{"SPLITWAY_LOG": "{log}", "SPLITWAY_REFRESH_SECONDS": "30"}}"#);
        // Of what is all printable ASCII, Rust's escapes are those of JSON.
        let document = format!("{:?}", document.replace('\n', " "));
        let setup = format!(r#"{{"direct": true, "vars": {vars}, "document": {document}}}"#);
        let mut input = child.stdin.take();
        if let Some(input) = &mut input {
            writeln!(input, "{setup}").map_err(failed)?;
        }
        let told = child.stdout.take().and_then(|told| said(told, r#"{"url":""#));
        let process = child_of(child.id()).unwrap_or_default();
        Self { child, input, process, url: String::new() }.at(told)
    }

    fn at(mut self, told: Option<String>) -> Outcome<Self> {
        let url = told.map(|told| told.trim_end_matches(['}', '"', '/']).to_owned());
        let failure = || Failure::new(STEP, "a server does not start: see above");
        self.url = url.ok_or_else(failure)?;
        pin(1, self.process);
        Ok(self)
    }

    /// How long its threads have been on a core until now, in ns.
    pub(super) fn cpu_ns(&self) -> Outcome<u64> {
        cpu_ns(self.process).map_err(failed)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.input.take().is_none() {
            drop(self.child.kill());
        }
        drop(self.child.wait());
    }
}

/// What a server says behind this prefix. What it says later is read, so that it may say more, and forgotten.
fn said(told: impl Read + Send + 'static, prefix: &str) -> Option<String> {
    let mut lines = BufReader::new(told).lines().map_while(Result::ok);
    let mut heard = Vec::new();
    for line in lines.by_ref() {
        if let Some(rest) = line.strip_prefix(prefix) {
            let rest = rest.to_owned();
            thread::spawn(move || lines.for_each(drop));
            return Some(rest);
        }
        heard.push(line);
    }
    crate::step::report(&heard.join("\n"));
    None
}

/// The `workerd` that a process has started.
fn child_of(parent: u32) -> Option<u32> {
    let processes = fs::read_dir("/proc").ok()?.flatten();
    processes.into_iter().find_map(|process| {
        let stat = fs::read_to_string(process.path().join("stat")).ok()?;
        let rest = stat.split_once(" (workerd) ")?.1;
        let is_its = rest.split(' ').nth(1)? == parent.to_string();
        is_its.then(|| stat.split(' ').next()?.parse().ok())?
    })
}
