//! Lines on their way to where they are written, and the thread that writes them.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::json;
use splitway_core::telemetry::line;

use super::{Level, Line, Log, now};

/// How many lines may wait to be written; more are counted and dropped.
const WAITING_MAX: usize = 8192;

/// How much is written at once. Longer than any line about a request, so that none is torn where a disk is
/// full.
const BUNCH: usize = 64 * 1024;

/// How long whoever reads the lines may take for the last of them.
const END_MAX: Duration = Duration::from_secs(5);
const END_POLL: Duration = Duration::from_millis(5);

/// Who may read a file of lines: they name clients.
const MODE: u32 = 0o640;

/// Where lines are written.
pub(crate) enum Paper {
    /// Somewhere that stays.
    Fixed(Box<dyn Write + Send>),
    /// A file that others may move away.
    File(PathBuf, File),
}

impl Paper {
    /// The end of a file, which is made if it is not there.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).mode(MODE).open(path)?;
        Ok(Self::File(path.to_owned(), file))
    }

    /// Opens a file again that may have been moved away. What hinders leaves it as it is.
    fn reopen(&mut self) -> io::Result<()> {
        if let Self::File(path, _) = self {
            *self = Self::open(path)?;
        }
        Ok(())
    }
}

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Fixed(paper) => paper.write(bytes),
            Self::File(_, file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Fixed(paper) => paper.flush(),
            Self::File(_, file) => file.flush(),
        }
    }
}

/// Lines on their way.
#[derive(Clone, Debug)]
pub(crate) struct Lines {
    sender: SyncSender<Message>,
    notes: Arc<Notes>,
}

/// What there is to tell the writer beside lines.
#[derive(Debug, Default)]
struct Notes {
    /// How many lines found no place.
    dropped: AtomicU64,
    /// How many in all, here and in the log that is told of it.
    dropped_ever: Arc<AtomicU64>,
    /// Whether the file is to be opened again.
    is_moved: AtomicBool,
}

/// The thread that writes [`Lines`].
#[derive(Debug)]
pub(crate) struct Writer {
    lines: Lines,
    thread: JoinHandle<()>,
}

#[derive(Debug)]
enum Message {
    Line(String),
    /// Look at the notes.
    Wake,
    End,
}

impl Lines {
    /// Starts the thread that writes on `paper`, and tells `log` if it cannot.
    pub(crate) fn start(paper: Paper, name: &str, log: Option<Log>) -> io::Result<(Self, Writer)> {
        let (sender, waiting) = sync_channel(WAITING_MAX);
        let counter = log.as_ref().map(|log| Arc::clone(&log.lines().notes.dropped_ever));
        let notes = Notes { dropped_ever: counter.unwrap_or_default(), ..Notes::default() };
        let lines = Self { sender, notes: Arc::new(notes) };
        let pen = BufWriter::with_capacity(BUNCH, paper);
        let mut hand = Hand { pen, notes: Arc::clone(&lines.notes), log, fails: false };
        let thread = std::thread::Builder::new().name(name.to_owned());
        let thread = thread.spawn(move || hand.write_all(&waiting))?;
        Ok((lines.clone(), Writer { lines, thread }))
    }

    /// Has a line written, unless too many wait already.
    pub(crate) fn put(&self, line: String) {
        if self.sender.try_send(Message::Line(line)).is_err() {
            self.notes.dropped.fetch_add(1, Ordering::Relaxed);
            self.notes.dropped_ever.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many lines found no place so far.
    pub(super) fn dropped(&self) -> u64 {
        self.notes.dropped_ever.load(Ordering::Relaxed)
    }

    /// Has the file opened again that they are written to, if it is one.
    pub(crate) fn reopen(&self) {
        self.notes.is_moved.store(true, Ordering::Release);
        // With no place for this one, there are others that wake it.
        drop(self.sender.try_send(Message::Wake));
    }
}

impl Writer {
    /// Has the file opened again that the lines are written to, if it is one.
    pub(crate) fn reopen(&self) {
        self.lines.reopen();
    }

    /// Ends after what was told so far is written, or when that takes too long: whoever does not read
    /// lines cannot keep a server from its end.
    pub(crate) fn end(self) {
        let due = Instant::now() + END_MAX;
        let mut message = Message::End;
        while let Err(TrySendError::Full(unsent)) = self.lines.sender.try_send(message) {
            message = unsent;
            if Instant::now() >= due {
                return;
            }
            std::thread::sleep(END_POLL);
        }
        while !self.thread.is_finished() && Instant::now() < due {
            std::thread::sleep(END_POLL);
        }
    }
}

/// What writes.
struct Hand {
    pen: BufWriter<Paper>,
    notes: Arc<Notes>,
    log: Option<Log>,
    /// Whether nothing could be written lately, which was told.
    fails: bool,
}

impl Hand {
    /// Writes lines in bunches: what waits is written before the pen is lifted.
    fn write_all(&mut self, waiting: &Receiver<Message>) {
        loop {
            let message = match waiting.try_recv() {
                Ok(message) => message,
                Err(TryRecvError::Disconnected) => return self.lift(),
                Err(TryRecvError::Empty) => {
                    self.lift();
                    let Ok(message) = waiting.recv() else { return };
                    message
                }
            };
            if self.notes.is_moved.swap(false, Ordering::Acquire) {
                self.reopen();
            }
            match message {
                Message::Line(line) => self.write(line),
                Message::Wake => {}
                Message::End => return self.lift(),
            }
        }
    }

    fn write(&mut self, mut line: String) {
        line.push('\n');
        let written = self.pen.write_all(line.as_bytes());
        self.note("log_unwritable", written);
    }

    /// Writes what was kept back, and how many lines were lost.
    fn lift(&mut self) {
        let dropped = self.notes.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            let (at_ms, event) = (now().as_millis(), "log_lines_dropped");
            let fields = json!({"lines": dropped});
            if let Some(line) = line(&Line { at_ms, level: Level::Warn, event, fields }) {
                self.write(line);
            }
        }
        let flushed = self.pen.flush();
        self.note("log_unwritable", flushed);
    }

    /// What waits goes to where it was told for.
    fn reopen(&mut self) {
        self.lift();
        let reopened = self.pen.get_mut().reopen();
        self.fails = false;
        self.note("log_not_reopened", reopened);
    }

    /// Tells the first time that something fails. Of standard error nobody is left to tell.
    fn note(&mut self, event: &str, done: io::Result<()>) {
        match (done, &self.log) {
            (Err(error), Some(log)) if !self.fails => {
                let Paper::File(path, _) = self.pen.get_ref() else { return };
                let fields =
                    json!({"file": path.display().to_string(), "detail": error.to_string()});
                log.tell(Level::Error, event, fields);
                self.fails = true;
            }
            (Err(_), _) => {}
            (Ok(()), _) => self.fails = false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::sync::Mutex;
    use std::sync::mpsc::{Sender, channel};

    /// Keeps what is written, and takes as long as somebody likes.
    struct Slow(Arc<Mutex<Vec<u8>>>, Receiver<()>);

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.1.recv();
            self.0.lock().expect("nobody panicked").extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn slow() -> (Slow, Arc<Mutex<Vec<u8>>>, Sender<()>) {
        let (go, wait) = channel();
        let written = Arc::default();
        (Slow(Arc::clone(&written), wait), written, go)
    }

    #[test]
    fn whoever_tells_never_waits_and_what_is_lost_is_counted() {
        let (paper, written, go) = slow();
        let paper = Paper::Fixed(Box::new(paper));
        let (lines, writer) = Lines::start(paper, "slow", None).expect("a thread");
        lines.put("first".to_owned());
        for number in 0..2 * WAITING_MAX {
            lines.put(format!("{{\"number\":{number}}}"));
        }
        drop(go);
        writer.end();
        let text = String::from_utf8(written.lock().expect("whole").clone()).expect("text");
        let lost = text.lines().last().expect("a line");
        let kept = text.lines().count() - 1;
        let lost: serde_json::Value = serde_json::from_str(lost).expect("JSON");
        assert_eq!(lost.get("event").and_then(|it| it.as_str()), Some("log_lines_dropped"));
        let told = lost.get("lines").and_then(serde_json::Value::as_u64);
        assert_eq!(told, Some((2 * WAITING_MAX + 1 - kept) as u64));
        assert!(kept >= WAITING_MAX, "{kept}");
    }

    #[test]
    fn a_reader_who_does_not_read_cannot_keep_it_from_its_end() {
        let (paper, _, go) = slow();
        let paper = Paper::Fixed(Box::new(paper));
        let (lines, writer) = Lines::start(paper, "stuck", None).expect("a thread");
        lines.put("never".to_owned());
        let began = Instant::now();
        writer.end();
        assert!(began.elapsed() < 2 * END_MAX);
        drop(go);
    }

    #[test]
    fn a_file_that_was_moved_away_is_made_anew_where_asked() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, old) = (folder.path().join("access.log"), folder.path().join("access.log.1"));
        let paper = Paper::open(&path).expect("a file");
        let (lines, writer) = Lines::start(paper, "moved", None).expect("a thread");
        lines.put("before".to_owned());
        while fs::read_to_string(&path).expect("it is there") != "before\n" {
            std::thread::yield_now();
        }
        fs::rename(&path, &old).expect("it is moved");
        lines.put("between".to_owned());
        while fs::read_to_string(&old).expect("it is there") != "before\nbetween\n" {
            std::thread::yield_now();
        }
        lines.reopen();
        lines.put("after".to_owned());
        writer.end();
        assert_eq!(fs::read_to_string(&path).expect("it is made"), "after\n");
        assert_eq!(fs::read_to_string(&old).expect("it is there"), "before\nbetween\n");
    }

    #[test]
    fn what_cannot_be_written_is_told_once() {
        let (paper, told, go) = slow();
        drop(go);
        let (log, teller) = Log::start(paper).expect("a thread");
        let full = File::options().write(true).open("/dev/full").expect("Linux has one");
        let paper = Paper::File(PathBuf::from("/dev/full"), full);
        let (lines, writer) = Lines::start(paper, "full", Some(log)).expect("a thread");
        for _ in 0..10 {
            lines.put("x".repeat(BUNCH / 2));
        }
        writer.end();
        teller.end();
        let told = String::from_utf8(told.lock().expect("whole").clone()).expect("text");
        assert_eq!(told.lines().count(), 1, "{told}");
        assert!(told.contains("log_unwritable") && told.contains("/dev/full"), "{told}");
    }
}
