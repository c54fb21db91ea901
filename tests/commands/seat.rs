//! A seat at a terminal: keys go in, and what comes out stands on a screen that can be read.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

/// How long anything may take; far more than it ever takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is written when a command is gone.
const END: &[u8] = b"(the end)";

/// A terminal with a command at it.
pub(crate) struct Seat {
    master: File,
    /// Kept open, so that the terminal can be asked what it is like when the command is gone.
    slave: File,
    child: Child,
    seen: Arc<Mutex<Seen>>,
}

/// What came out.
#[derive(Default)]
struct Seen {
    bytes: Vec<u8>,
    /// The rows of the screen.
    rows: Vec<Vec<char>>,
    place: (usize, usize),
    /// A control sequence that has begun.
    sequence: Option<String>,
    is_other_screen: bool,
    is_cursor_hidden: bool,
}

impl Seat {
    /// Runs a command at a terminal of some size.
    pub(crate) fn new(mut command: Command, columns: u16, rows: u16) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&master, size).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let slave = File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
        command.stdin(slave.try_clone().unwrap()).stdout(slave.try_clone().unwrap());
        command.stderr(slave.try_clone().unwrap()).env("TERM", "xterm-256color");
        let child = command.spawn().expect("splitway runs");
        let master = File::from(master);
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (mut reading, known) = (master.try_clone().unwrap(), Arc::clone(&seen));
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = reading.read(&mut bytes) {
                known.lock().unwrap().take(&bytes[..count]);
            }
        });
        Self { master, slave, child, seen }
    }

    /// Presses keys.
    pub(crate) fn press(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).unwrap();
    }

    /// The number of the process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until the screen is as wanted; what is on it then.
    pub(crate) fn await_screen(&self, what: &str, is_wanted: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let screen = self.seen.lock().unwrap().screen();
            if is_wanted(&screen) {
                return screen;
            }
            assert!(Instant::now() < deadline, "{what}:\n{screen}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Whether a screen of the command is on the terminal, which gives it every key as it is pressed.
    pub(crate) fn is_taken(&self) -> bool {
        let modes = tcgetattr(&self.slave).unwrap().local_modes;
        let is_raw = !modes.intersects(LocalModes::ICANON | LocalModes::ECHO);
        let seen = self.seen.lock().unwrap();
        assert_eq!(is_raw, seen.is_other_screen);
        is_raw
    }

    /// Waits for the end, and for the terminal to be as it was; the exit code, and all that came out.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        let code = self.child.wait().unwrap().code();
        // What is read up to here is all of it.
        self.slave.write_all(END).unwrap();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let seen = self.seen.lock().unwrap();
            let is_all = seen.bytes.ends_with(END);
            let modes = tcgetattr(&self.slave).unwrap().local_modes;
            let is_cooked =
                modes.contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG);
            if is_all && is_cooked && !seen.is_other_screen && !seen.is_cursor_hidden {
                return (code, String::from_utf8_lossy(&seen.bytes).into_owned());
            }
            let text = String::from_utf8_lossy(&seen.bytes);
            assert!(Instant::now() < deadline, "the terminal is not as it was: {text:?}");
            drop(seen);
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Seen {
    fn take(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
        // What is drawn is ASCII.
        for c in bytes.iter().map(|byte| char::from(*byte)) {
            match (self.sequence.take(), c) {
                (None, '\u{1b}') => self.sequence = Some(String::new()),
                (None, '\r') => self.place.1 = 0,
                (None, '\n') => self.place.0 += 1,
                (None, c) => self.put(c),
                (Some(known), '[') if known.is_empty() => self.sequence = Some("[".to_owned()),
                (Some(known), c) if known.starts_with('[') && !c.is_ascii_alphabetic() => {
                    self.sequence = Some(format!("{known}{c}"));
                }
                (Some(known), c) => self.steer(known.trim_start_matches('['), c),
            }
        }
    }

    fn put(&mut self, c: char) {
        let (row, column) = self.place;
        let rows = self.rows.len().max(row + 1);
        self.rows.resize(rows, Vec::new());
        let cells = &mut self.rows[row];
        cells.resize(cells.len().max(column + 1), ' ');
        cells[column] = c;
        self.place.1 += 1;
    }

    /// Does what a control sequence is for, as far as it is used.
    fn steer(&mut self, parameters: &str, last: char) {
        match (parameters, last) {
            ("?1049", 'h' | 'l') => self.is_other_screen = last == 'h',
            ("?25", 'h' | 'l') => self.is_cursor_hidden = last == 'l',
            ("2", 'J') => self.rows.clear(),
            (_, 'H') => {
                let mut numbers = parameters.split(';').map(|it| it.parse().unwrap_or(1_usize));
                let mut next = || numbers.next().unwrap_or(1).saturating_sub(1);
                self.place = (next(), next());
            }
            _ => {}
        }
    }

    fn screen(&self) -> String {
        let text = |row: &Vec<char>| row.iter().collect::<String>().trim_end().to_owned();
        self.rows.iter().map(text).collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
