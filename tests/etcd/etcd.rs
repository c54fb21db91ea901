//! An etcd of a test's own.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use etcd_client::{Client, ConnectOptions};
use tempfile::TempDir;

use crate::process::PATIENCE;

/// An etcd with its own directory; it is killed when the test is done with it.
pub(crate) struct Etcd {
    dir: TempDir,
    port: u16,
    more: Vec<String>,
    scheme: &'static str,
    child: Option<Child>,
}

impl Etcd {
    /// Starts one that everybody may use.
    pub(crate) fn start() -> Self {
        Self::start_with("http", |_| Vec::new())
    }

    /// Starts one with more options, which may name files in its directory.
    pub(crate) fn start_with(
        scheme: &'static str,
        more: impl FnOnce(&TempDir) -> Vec<String>,
    ) -> Self {
        let etcd = Self::absent_with(scheme, more);
        etcd.started()
    }

    /// One that is not there yet.
    pub(crate) fn absent() -> Self {
        Self::absent_with("http", |_| Vec::new())
    }

    fn absent_with(scheme: &'static str, more: impl FnOnce(&TempDir) -> Vec<String>) -> Self {
        let dir = TempDir::new().unwrap();
        let more = more(&dir);
        Self { dir, port: free_port(), more, scheme, child: None }
    }

    fn started(mut self) -> Self {
        self.restart();
        self
    }

    /// Starts it again with what it had on disk, and waits until it has a leader: itself.
    pub(crate) fn restart(&mut self) {
        assert!(self.child.is_none(), "it runs");
        let url = format!("{}://127.0.0.1:{}", self.scheme, self.port);
        let mut command = Command::new("etcd");
        command.args(["--name", "one", "--logger", "zap", "--log-level", "warn"]);
        // So that it need not wait for others to vote.
        command.args(["--heartbeat-interval", "20", "--election-timeout", "200"]);
        command.arg("--data-dir").arg(self.file("data"));
        command.args(["--listen-client-urls", &url, "--advertise-client-urls", &url]);
        command.args(["--listen-peer-urls", "http://127.0.0.1:0"]);
        command.args(&self.more);
        let log = File::options().create(true).append(true).open(self.file("log")).unwrap();
        command.stdout(Stdio::null()).stderr(log);
        let spawned = command.spawn();
        self.child = Some(spawned.expect("etcd runs: `cargo xtask setup` installs it"));
        // TLS is for the servers to try.
        if self.scheme == "http" {
            self.await_ready();
        }
    }

    fn await_ready(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answered = self.with(ConnectOptions::new(), async |client| {
                client.get("/nothing", None).await.map(drop)
            });
            match answered {
                Ok(()) => return,
                // It is there and asks who we are.
                Err(etcd_client::Error::GRpcStatus(status)) if i32::from(status.code()) == 3 => {
                    return;
                }
                Err(error) => {
                    let ended = self.child.as_mut().and_then(|child| child.try_wait().unwrap());
                    let log = || std::fs::read_to_string(self.file("log")).unwrap_or_default();
                    assert!(ended.is_none(), "etcd ended: {}", log());
                    assert!(Instant::now() < deadline, "etcd does not answer: {error}\n{}", log());
                }
            }
        }
    }

    /// Ends it at once, as the loss of power would.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// A file in its directory.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The port that takes clients.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// What `--store` says.
    pub(crate) fn store(&self) -> String {
        let scheme = if self.scheme == "http" { "etcd" } else { "etcds" };
        format!("{scheme}://127.0.0.1:{}", self.port)
    }

    /// Does something with a client of its own.
    pub(crate) fn ask<T>(&self, job: impl AsyncFnOnce(&mut Client) -> T) -> T {
        let options = ConnectOptions::new();
        self.with(options, async |client| Ok(job(client).await)).expect("it answers")
    }

    /// Does something as a user.
    pub(crate) fn with<T>(
        &self,
        options: ConnectOptions,
        job: impl AsyncFnOnce(&mut Client) -> Result<T, etcd_client::Error>,
    ) -> Result<T, etcd_client::Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let endpoint = format!("http://127.0.0.1:{}", self.port);
        runtime.block_on(async {
            let mut client = Client::connect([endpoint], Some(options)).await?;
            job(&mut client).await
        })
    }

    /// The keys under a prefix.
    pub(crate) fn keys(&self, prefix: &str) -> Vec<String> {
        let options = etcd_client::GetOptions::new().with_prefix().with_keys_only();
        let found = self.ask(async |client| client.get(prefix, Some(options)).await.unwrap());
        found.kvs().iter().map(|kv| kv.key_str().unwrap().to_owned()).collect()
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.kill();
        }
    }
}

/// A port that nobody listens on. etcd must be found under the same one when it comes back.
fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}
