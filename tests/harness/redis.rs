//! A Redis of a test's own.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::script::DEADLINE;

/// A `redis-server` that keeps nothing on disk; it is killed when the test is done with it.
#[derive(Debug)]
pub struct RedisServer {
    port: u16,
    more: Vec<String>,
    child: Option<Child>,
}

impl RedisServer {
    /// Starts one that everybody may use.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts one with more options.
    pub fn start_with(more: &[&str]) -> Self {
        let mut server = Self::absent();
        server.more = more.iter().map(ToString::to_string).collect();
        server.restart();
        server
    }

    /// One that is not there yet.
    pub fn absent() -> Self {
        // It must be found under the same port when it comes back, so it cannot choose one.
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        Self { port, more: Vec::new(), child: None }
    }

    /// Starts it, empty, and waits until it answers.
    pub fn restart(&mut self) {
        assert!(self.child.is_none(), "it runs");
        let mut command = Command::new("redis-server");
        command.current_dir(std::env::temp_dir());
        command.args(["--bind", "127.0.0.1", "--port", &self.port.to_string()]);
        command.args(["--save", "", "--appendonly", "no"]).args(&self.more);
        let spawned = command.stdout(Stdio::null()).spawn();
        self.child = Some(spawned.expect("redis-server runs: `cargo xtask setup` installs it"));
        let begin = Instant::now();
        while !self.answers() {
            assert!(begin.elapsed() < DEADLINE, "redis-server does not answer");
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn answers(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)) else {
            return false;
        };
        let mut answer = String::new();
        let read = |answer: &mut String| BufReader::new(&stream).read_line(answer).is_ok();
        // Where it wants a password, it says so.
        (&stream).write_all(b"PING\r\n").is_ok()
            && read(&mut answer)
            && stream.flush().is_ok()
            && (answer.starts_with("+PONG") || answer.starts_with("-NOAUTH"))
    }

    /// Ends it at once, with all that it knows.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Has it stand still, so that connections are there and nothing is answered, until it is woken.
    pub fn freeze(&self) {
        self.signal("-STOP");
    }

    /// Has it go on.
    pub fn wake(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, name: &str) {
        let id = self.child.as_ref().expect("it runs").id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    }

    /// What `--redis` says.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The port that takes clients.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.kill();
        }
    }
}
