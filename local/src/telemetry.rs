//! What happens as JSON lines on standard error, written by a thread of its own: whoever has
//! something to tell never waits for whoever reads the log.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::JoinHandle;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use splitway_core::telemetry::Record;
use splitway_core::time::Timestamp;

/// How many lines may wait to be written; more are counted and dropped.
const WAITING_MAX: usize = 8192;

/// The wall clock.
pub(crate) fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
}

/// Where events are told.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    lines: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
    /// How many in all.
    dropped_ever: Arc<AtomicU64>,
    tells_every_request: bool,
}

/// The thread that writes the lines of a [`Log`].
#[derive(Debug)]
pub(crate) struct Writer {
    lines: SyncSender<Message>,
    thread: JoinHandle<()>,
}

#[derive(Debug)]
enum Message {
    Line(String),
    End,
}

/// How much an event matters.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    /// Worth knowing.
    Info,
    /// Worth a look.
    Warn,
    /// Something does not work.
    Error,
}

#[derive(Serialize)]
struct Line<'l, F> {
    at_ms: u64,
    level: Level,
    event: &'l str,
    #[serde(flatten)]
    fields: F,
}

impl Log {
    /// A log, and the thread that writes it.
    pub(crate) fn start(
        paper: impl Write + Send + 'static,
        tells_every_request: bool,
    ) -> io::Result<(Self, Writer)> {
        let (lines, waiting) = sync_channel(WAITING_MAX);
        let dropped = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&dropped);
        let thread = std::thread::Builder::new()
            .name("splitway-log".to_owned())
            .spawn(move || write_lines(paper, &waiting, &counter))?;
        let writer = Writer { lines: lines.clone(), thread };
        let dropped_ever = Arc::default();
        Ok((Self { lines, dropped, dropped_ever, tells_every_request }, writer))
    }

    /// Tells of an event.
    pub(crate) fn tell(&self, level: Level, event: &str, fields: impl Serialize) {
        self.tell_at(now(), level, event, fields);
    }

    /// Tells of an answered request, if it is one to tell of.
    pub(crate) fn record(&self, record: &Record<'_>) {
        if !record.is_remarkable() && !self.tells_every_request {
            return;
        }
        let level = if record.problem.is_some() { Level::Warn } else { Level::Info };
        self.tell_at(record.at, level, record.event(), record.fields());
    }

    fn tell_at(&self, at: Timestamp, level: Level, event: &str, fields: impl Serialize) {
        let line = Line { at_ms: at.as_millis(), level, event, fields };
        let Ok(line) = serde_json::to_string(&line) else { return };
        if self.lines.try_send(Message::Line(line)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            self.dropped_ever.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many lines were not written, because those before them were not fast enough.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped_ever.load(Ordering::Relaxed)
    }
}

impl Writer {
    /// Ends the log after what was told so far is written.
    pub(crate) fn end(self) {
        if self.lines.send(Message::End).is_ok() {
            // A panic of the writer has nothing to add at this point.
            let _ = self.thread.join();
        }
    }
}

/// Writes lines in bunches: what waits is written before the pen is lifted.
fn write_lines(paper: impl Write, waiting: &Receiver<Message>, dropped: &AtomicU64) {
    let mut pen = io::BufWriter::new(paper);
    loop {
        let message = match waiting.try_recv() {
            Ok(message) => message,
            Err(TryRecvError::Disconnected) => return,
            Err(TryRecvError::Empty) => {
                tell_dropped(&mut pen, dropped);
                // Nobody is left to tell that the paper is gone.
                let _ = pen.flush();
                let Ok(message) = waiting.recv() else { return };
                message
            }
        };
        match message {
            Message::Line(line) => {
                let _ = writeln!(pen, "{line}");
            }
            Message::End => return,
        }
    }
}

fn tell_dropped(pen: &mut impl Write, dropped: &AtomicU64) {
    let lines = dropped.swap(0, Ordering::Relaxed);
    if lines > 0 {
        let at_ms = now().as_millis();
        let fields = serde_json::json!({"lines": lines});
        let line = Line { at_ms, level: Level::Warn, event: "log_lines_dropped", fields };
        if let Ok(line) = serde_json::to_string(&line) {
            let _ = writeln!(pen, "{line}");
        }
    }
}
