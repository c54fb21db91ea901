//! A workerd that serves one Worker, without anything before it.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use super::{STEP, failed};
use crate::cost::cpu_ns;
use crate::setup::Kit;
use crate::step::{Failure, Outcome};

/// Where clients ask, and what is put before it.
pub(super) const PATH: &str = "/chat/completions";

/// Which Worker runs.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// tests/bench/edge/minimal.mjs.
    Minimal,
    /// tests/bench/edge/proving.mjs.
    Proving,
    /// The built Worker, with a document of so many routes, of which the last one is asked for.
    Splitway { routes: usize },
    /// A file that needs what Node.js has, and takes requests at this path.
    Bundle { file: String, path: &'static str },
}

/// A process that runs until this is dropped.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    address: SocketAddr,
    path: String,
}

impl Server {
    /// Starts it; it listens, and may have served nobody.
    pub(super) fn start(
        kit: &Kit,
        folder: &Path,
        kind: &Kind,
        origin: SocketAddr,
    ) -> Outcome<Self> {
        let config = write(kit, folder, kind, origin)?;
        let workerd = kit.root.join("node_modules/@cloudflare").join(PACKAGE).join("bin/workerd");
        let mut command = pinned(kit, &workerd.to_string_lossy());
        command.args(["serve", "--control-fd=1"]).arg(config).stderr(Stdio::null());
        let path = match kind {
            Kind::Bundle { path, .. } => *path,
            Kind::Minimal | Kind::Proving | Kind::Splitway { .. } => PATH,
        };
        Self::spawn(command, path, |line| {
            line.strip_prefix(r#"{"event":"listen","socket":"http","port":"#)?;
            line.split("\"port\":").nth(1)?.trim_end_matches('}').parse().ok()
        })
    }

    /// Starts a process that says on which port it listens, in a line that `port` understands.
    pub(super) fn spawn(
        mut command: Command,
        path: &str,
        port: impl Fn(&str) -> Option<u16>,
    ) -> Outcome<Self> {
        let mut child = command.stdout(Stdio::piped()).spawn().map_err(failed)?;
        let told = child.stdout.take();
        let mut lines =
            told.into_iter().flat_map(|it| BufReader::new(it).lines().map_while(Result::ok));
        let found = lines.by_ref().find_map(|line| port(&line));
        let address = SocketAddr::from(([127, 0, 0, 1], found.unwrap_or_default()));
        let server = Self { child, address, path: path.to_owned() };
        if found.is_none() {
            return Err(Failure::new(STEP, "a server does not start"));
        }
        // What it says later is read, so that it may say more, and forgotten.
        thread::spawn(move || lines.for_each(drop));
        Ok(server)
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What clients ask for.
    pub(super) fn url(&self) -> String {
        format!("http://{}{}", self.address, self.path)
    }

    /// How long its threads have been on a core until now.
    pub(super) fn cpu(&self) -> Outcome<Duration> {
        cpu_ns(self.child.id()).map(Duration::from_nanos).map_err(failed)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The package that has the binary: the command of that name is a script of Node.js.
const PACKAGE: &str = match () {
    () if cfg!(all(target_os = "linux", target_arch = "aarch64")) => "workerd-linux-arm64",
    () if cfg!(all(target_os = "macos", target_arch = "aarch64")) => "workerd-darwin-arm64",
    () if cfg!(target_os = "macos") => "workerd-darwin-64",
    () => "workerd-linux-64",
};

/// A program on the second core, if there are two and `taskset` is there; else it moves about.
pub(super) fn pinned(kit: &Kit, program: &str) -> Command {
    let can_pin = Command::new("taskset").args(["-c", "1", "true"]).output();
    if !can_pin.is_ok_and(|output| output.status.success()) {
        return kit.command(program);
    }
    let mut command = kit.command("taskset");
    command.args(["-c", "1", program]);
    command
}

/// Writes the configuration of workerd and what belongs to it.
fn write(kit: &Kit, folder: &Path, kind: &Kind, origin: SocketAddr) -> Outcome<std::path::PathBuf> {
    let (name, modules, bindings) = match kind {
        Kind::Minimal => {
            ("minimal".to_owned(), module("../../tests/bench/edge/minimal.mjs"), String::new())
        }
        Kind::Proving => {
            ("proving".to_owned(), module("../../tests/bench/edge/proving.mjs"), String::new())
        }
        Kind::Bundle { file, .. } => ("gateway".to_owned(), module(file), String::new()),
        Kind::Splitway { routes } => {
            let name = format!("splitway-{routes}");
            fs::write(folder.join(format!("{name}.json")), document(origin, *routes))
                .map_err(failed)?;
            (name, MODULES.to_owned(), SPLITWAY.to_owned())
        }
    };
    let is_splitway = matches!(kind, Kind::Splitway { .. });
    let (objects, namespace) = match is_splitway {
        true => {
            (OBJECTS, format!(r#"(name = "kv", worker = {})"#, NAMESPACE.replace("@name@", &name)))
        }
        false => ("", String::new()),
    };
    let flags = match kind {
        Kind::Bundle { .. } => r#"["nodejs_compat"]"#.to_owned(),
        Kind::Minimal | Kind::Proving | Kind::Splitway { .. } => {
            deployed(kit, "compatibility_flags")?
        }
    };
    let date = deployed(kit, "compatibility_date")?;
    let mut text = String::new();
    // A string takes whatever is written to it.
    let _ = write!(
        text,
        r#"using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = (
      modules = [{modules}],
      bindings = [(name = "ORIGIN", text = "http://{origin}"){bindings}],
      compatibilityDate = {date},
      compatibilityFlags = {flags},
      {objects}
    )),
    (name = "internet", network = (allow = ["public", "private"])),
    {namespace}
  ],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")],
);
"#
    );
    let config = folder.join(format!("{name}.capnp"));
    fs::write(&config, text.replace("@date@", &date)).map_err(failed)?;
    Ok(config)
}

/// The built Worker, all of it: what is loaded where it is asked for is there, too.
const MODULES: &str = r#"
        (name = "index.js", esModule = embed "../../build/index.js"),
        (name = "index_bg.wasm", wasm = embed "../../build/index_bg.wasm"),
        (name = "control.js", esModule = embed "../../build/control.js"),
        (name = "control_bg.wasm", wasm = embed "../../build/control_bg.wasm")"#;

/// What is bound to Splitway: the same as by wrangler.toml.
const SPLITWAY: &str = r#",
        (name = "SPLITWAY", kvNamespace = "kv"),
        (name = "COORDINATOR", durableObjectNamespace = "Coordinator"),
        (name = "SPLITWAY_LIMITER", durableObjectNamespace = "Limiter"),
        (name = "SPLITWAY_REFRESH_SECONDS", text = "30")"#;

const OBJECTS: &str = r#"durableObjectNamespaces = [
        (className = "Coordinator", uniqueKey = "coordinator", enableSql = true),
        (className = "Limiter", uniqueKey = "limiter", enableSql = true),
      ],
      durableObjectStorage = (inMemory = void),"#;

const NAMESPACE: &str = r#"(
      modules = [(name = "namespace.mjs", esModule = embed "../../tests/bench/edge/namespace.mjs")],
      bindings = [(name = "DOCUMENT", text = embed "@name@.json")],
      compatibilityDate = @date@,
    )"#;

fn module(file: &str) -> String {
    let name = file.rsplit('/').next().unwrap_or(file);
    format!(r#"(name = "{name}", esModule = embed "{file}")"#)
}

/// A setting of wrangler.toml, as it is written there.
fn deployed(kit: &Kit, name: &str) -> Outcome<String> {
    let text = fs::read_to_string(kit.root.join("wrangler.toml")).map_err(failed)?;
    let value = |line: &str| Some(line.strip_prefix(name)?.strip_prefix(" = ")?.to_owned());
    let reason = || Failure::new(STEP, format!("wrangler.toml has no {name}"));
    text.lines().find_map(value).ok_or_else(reason)
}

/// Routes that split and rewrite as the guide's, of which the last one is asked for.
fn document(origin: SocketAddr, routes: usize) -> String {
    let rule = |version: &str| {
        let uri = format!("/{version}{PATH}");
        format!(r#"{{"weight": 50, "rewrite": {{"uri": "{uri}"}}}}"#)
    };
    let split = format!(r#"{{"traffic-split": {{"rules": [{}, {}]}}}}"#, rule("v1"), rule("v2"));
    let upstream = r#""upstream_id": "origin""#;
    let route = |id: &str, uri: &str| {
        format!(r#"{{"id": "{id}", "uri": "{uri}", {upstream}, "plugins": {split}}}"#)
    };
    let tenants = (1..routes).map(|at| route(&format!("r{at}"), &format!("/tenant-{at}{PATH}")));
    let long = route("long", "/long/*").replace(PATH, "/long");
    let all: Vec<String> = tenants.chain([long, route("chat", PATH)]).collect();
    let nodes = format!(r#"{{"id": "origin", "nodes": {{"{origin}": 1}}, "pass_host": "node"}}"#);
    format!(r#"{{"routes": [{}], "upstreams": [{nodes}]}}"#, all.join(", "))
}
