//! The process that runs workerd, and what it says.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::SystemTime;

use serde_json::{Value, json};
use splitway_core::limit::{Grant, Toll};
use splitway_tests::node;
use splitway_tests::script::DEADLINE;

/// `miniflare.mjs` with the built Worker; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Miniflare {
    process: Child,
    /// Its end tells the process to end.
    commands: Option<ChildStdin>,
    said: Mutex<Receiver<Value>>,
    /// What was logged before something else that was waited for.
    logged: Mutex<Vec<String>>,
    address: SocketAddr,
}

impl Miniflare {
    /// Starts the Worker; `setup` is the first line that `miniflare.mjs` reads and tells about.
    pub(crate) fn start(setup: &Value) -> Self {
        require_build(&node::root());
        let mut process = node::script("tests/workerd/miniflare.mjs")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Node.js runs ");
        let commands = process.stdin.take();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let (say, said) = channel();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                // workerd writes lines of its own for what goes wrong inside it.
                let told = serde_json::from_str(&line).unwrap_or_else(|_| json!({"log": line}));
                if say.send(told).is_err() {
                    break;
                }
            }
        });
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut started =
            Self { process, commands, said: Mutex::new(said), logged: Mutex::default(), address };
        started.tell(setup);
        let told = started.wait_for("url");
        let authority = told.trim_start_matches("http://").trim_end_matches('/').to_owned();
        started.address = authority.parse().expect("miniflare listens at an address");
        started
    }

    /// Where the Worker listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Puts a document into KV.
    pub(crate) fn put(&mut self, document: &str) {
        self.tell(&json!({"put": document}));
        self.wait_for("done");
    }

    /// What is in KV; empty, if nothing is.
    pub(crate) fn kv(&mut self) -> String {
        self.tell(&json!({"get": true}));
        self.wait_for("value")
    }

    /// Has a cron trigger ring that was set for this time, in milliseconds since the epoch; waits until
    /// what it does is done.
    pub(crate) fn ring(&mut self, at_ms: u64) {
        self.tell(&json!({"cron": at_ms}));
        assert_eq!(self.wait_for("outcome"), "ok");
    }

    /// What the object of a key grants of shared limits.
    pub(crate) fn toll(&mut self, toll: &Toll) -> Grant {
        self.tell(&json!({"toll": toll}));
        serde_json::from_str(&self.wait_for("grant")).expect("a grant")
    }

    /// Ends the object of a key, which is started anew when it is next asked.
    pub(crate) fn evict(&mut self, key: &str) {
        self.tell(&json!({"evict": key}));
        self.wait_for("done");
    }

    /// How many values are stored of shared limits, if the Worker was started with a folder.
    pub(crate) fn stored(&mut self) -> String {
        self.tell(&json!({"rows": true}));
        self.wait_for("stored")
    }

    /// Ends workerd and what runs it at once, as the loss of a machine would.
    pub(crate) fn kill(mut self) {
        let children = children(self.process.id());
        assert!(cfg!(not(target_os = "linux")) || !children.is_empty(), "workerd is a child of it");
        for workerd in children {
            let mut kill = Command::new("kill");
            assert!(kill.args(["-9", &workerd.to_string()]).status().unwrap().success());
        }
        self.process.kill().unwrap();
    }

    /// Everything that the Worker has logged and nobody has read.
    pub(crate) fn logged(&self) -> Vec<String> {
        let said = self.said.lock().unwrap();
        let mut logged = std::mem::take(&mut *self.logged.lock().unwrap());
        logged.extend(said.try_iter().filter_map(|told| told["log"].as_str().map(str::to_owned)));
        logged
    }

    fn tell(&mut self, command: &Value) {
        let commands = self.commands.as_mut().expect("it is open until the end");
        writeln!(commands, "{command}").expect("miniflare listens");
    }

    fn wait_for(&self, key: &str) -> String {
        let said = self.said.lock().unwrap();
        loop {
            let told = said.recv_timeout(DEADLINE).expect("miniflare answers in time");
            if let Some(line) = told["log"].as_str() {
                self.logged.lock().unwrap().push(line.to_owned());
            }
            match told.get(key) {
                Some(Value::String(text)) => return text.clone(),
                Some(value) => return value.to_string(),
                None => {}
            }
        }
    }
}

impl Drop for Miniflare {
    fn drop(&mut self) {
        // Workerd is the child of that process, so it is asked to end before it is made to.
        drop(self.commands.take());
        let said = self.said.get_mut().unwrap_or_else(PoisonError::into_inner);
        while said.recv_timeout(DEADLINE).is_ok() {}
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// The processes that a process has started, as Linux knows them; none elsewhere.
fn children(parent: u32) -> Vec<u32> {
    let processes = Path::new("/proc").read_dir().into_iter().flatten().map_while(Result::ok);
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let is_child = |pid: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // The name, in parentheses, may hold anything; state and parent follow it.
        let after = stat.rsplit(')').next().unwrap_or_default();
        after.split_whitespace().nth(1) == Some(&parent.to_string())
    };
    pids.filter(is_child).collect()
}

/// Fails unless the Worker is built from the sources as they are.
fn require_build(root: &Path) {
    let files = ["index.js", "index_bg.wasm", "control.js", "control_bg.wasm"];
    let built = files.map(|name| modified(&root.join("build").join(name))).into_iter().min();
    let built = built.flatten();
    let advice = "run `cargo xtask worker`, or all tests with `cargo xtask test`";
    assert!(built.is_some(), "the Worker is not built: {advice}");
    let newest = newest(&root.join("src"));
    assert!(built >= newest, "the Worker is older than its sources: {advice}");
}

fn modified(path: &Path) -> Option<SystemTime> {
    path.metadata().and_then(|metadata| metadata.modified()).ok()
}

/// When something in a folder was last changed.
fn newest(folder: &Path) -> Option<SystemTime> {
    let entries = folder.read_dir().expect("the sources are there").map_while(Result::ok);
    let times = entries.map(|entry| match entry.path() {
        path if path.is_dir() => newest(&path),
        path => modified(&path),
    });
    times.max().flatten()
}
