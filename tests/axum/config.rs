//! The file that a server is configured by, and how to know that the server has read it.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::channel;
use std::thread;

use splitway_tests::script::DEADLINE;
use tempfile::TempDir;

/// A change counts when the file looks the same at two of the server's looks; the third shows that
/// the second is over.
const LOOKS: usize = 3;

/// The file.
#[derive(Debug)]
pub(crate) struct Config {
    folder: TempDir,
}

impl Config {
    /// A new file with this text.
    pub(crate) fn new(text: &str) -> Self {
        let config = Self { folder: TempDir::new().unwrap() };
        config.write(text);
        config
    }

    /// Where it is.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("splitway.json")
    }

    /// Puts another text in the place of the one it has, all at once.
    pub(crate) fn write(&self, text: &str) {
        self.swap_in("next", |path| fs::write(path, text).unwrap());
    }

    /// Waits until the server has judged the text that it has.
    ///
    /// Nothing but the log says that a text was refused. So pipes take the file's place, one for
    /// each look: a pipe can be opened for writing once the server opens it for reading.
    pub(crate) fn wait_until_judged(&self) {
        let text = fs::read_to_string(self.path()).unwrap();
        let new_pipe = |number| {
            self.swap_in(&format!("look-{number}"), |path| {
                let made = Command::new("mkfifo").arg(path).status();
                assert!(made.is_ok_and(|status| status.success()), "mkfifo makes a pipe");
            });
        };
        new_pipe(0);
        for number in 1..=LOOKS {
            let mut pipe = open_when_read(&self.path());
            // The server reads on from the pipe it has opened; its next look is at the next file.
            match number {
                LOOKS => self.write(&text),
                _ => new_pipe(number),
            }
            pipe.write_all(text.as_bytes()).unwrap();
        }
    }

    fn swap_in(&self, name: &str, make: impl Fn(&Path)) {
        let beside = self.folder.path().join(name);
        make(&beside);
        fs::rename(beside, self.path()).unwrap();
    }
}

/// Opens a pipe for writing, which waits until somebody opens it for reading.
fn open_when_read(path: &Path) -> fs::File {
    let (opened, wait) = channel();
    let path = path.to_owned();
    thread::spawn(move || opened.send(OpenOptions::new().write(true).open(path)));
    wait.recv_timeout(DEADLINE).expect("the server looks at its file in time").unwrap()
}
