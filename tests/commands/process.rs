//! The binary under test, and what came of it.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use tempfile::TempDir;

/// The key of the server, which must never be printed.
pub(crate) const KEY: &str = "the-key-of-the-server-9f8e7d6c5b4a";

/// Somebody at a prompt, in a directory of their own.
pub(crate) struct Shell {
    folder: TempDir,
    /// The base URL of the server.
    pub(crate) url: String,
    variables: Vec<(&'static str, String)>,
}

/// What a command printed and its exit code.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Shell {
    /// One that knows a server by its URL, and its key.
    pub(crate) fn new(url: &str) -> Self {
        let shell =
            Self { folder: TempDir::new().unwrap(), url: url.to_owned(), variables: vec![] };
        shell.with("SPLITWAY_SERVER", url).with("SPLITWAY_ADMIN_KEY", KEY)
    }

    /// The same with a variable of the environment.
    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.variables.push((name, value.to_owned()));
        self
    }

    /// The same without a variable of the environment.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.variables.retain(|(known, _)| *known != name);
        self
    }

    /// The path of a file here.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file here.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// What is in a file here.
    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// Runs `splitway` with these words, piped.
    pub(crate) fn run(&self, words: &str) -> Ran {
        self.run_with(words, "")
    }

    /// Runs `splitway` with these words and something on standard input.
    pub(crate) fn run_with(&self, words: &str, input: &str) -> Ran {
        let mut command = self.command(words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("splitway runs");
        // It need not read what it has no use for.
        drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
        let output = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).expect("text");
        let ran = Ran {
            code: output.status.code().expect("an exit code"),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        };
        assert!(!ran.stdout.contains(KEY) && !ran.stderr.contains(KEY), "{ran:?}");
        assert!(!ran.stdout.contains('\u{1b}') && !ran.stderr.contains('\u{1b}'), "{ran:?}");
        ran
    }

    /// Runs `splitway` at a terminal where somebody types; returns the exit code and what was seen,
    /// with the colours.
    pub(crate) fn run_at_terminal(&self, words: &str, typed: &str) -> (i32, String) {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let slave = File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
        let mut command = self.command(words);
        command.stdin(slave.try_clone().unwrap()).stdout(slave.try_clone().unwrap());
        command.stderr(slave).env("TERM", "xterm");
        let mut child = command.spawn().expect("splitway runs");
        // The command holds the other side, which must end with the process.
        drop(command);
        let mut master = File::from(master);
        master.write_all(typed.as_bytes()).unwrap();
        let mut seen = Vec::new();
        // A terminal that nobody is at any more ends with an error.
        drop(master.read_to_end(&mut seen));
        let seen = String::from_utf8(seen).unwrap().replace("\r\n", "\n");
        assert!(!seen.contains(KEY), "{seen}");
        (child.wait().unwrap().code().unwrap(), seen)
    }

    /// The command `splitway` with these words, to be run here.
    pub(crate) fn command(&self, words: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_splitway"));
        command.args(words.split_whitespace()).current_dir(self.folder.path());
        // The environment of whoever runs the tests says nothing to it.
        command.env_clear().envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }
}

impl Ran {
    /// Checks the exit code and all that was printed.
    #[track_caller]
    pub(crate) fn check(&self, code: i32, stdout: &str, stderr: &str) {
        let seen = (self.code, self.stdout.as_str(), self.stderr.as_str());
        assert_eq!(seen, (code, stdout, stderr));
    }

    /// The revision that is told last, on either stream.
    #[track_caller]
    pub(crate) fn revision(&self) -> u64 {
        let mut lines = self.stdout.lines().chain(self.stderr.lines());
        let number = lines.find_map(|line| line.strip_prefix("revision ")?.parse().ok());
        number.unwrap_or_else(|| panic!("no revision in {self:?}"))
    }
}
