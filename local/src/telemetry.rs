//! What happens as JSON lines on standard error, written by a thread of its own: whoever has
//! something to tell never waits for whoever reads the log. Requests are told of in [`crate::access`].

pub(crate) mod paper;

use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use splitway_core::telemetry::line;
use splitway_core::time::Timestamp;

pub(crate) use self::paper::{Lines, Paper, Writer};

/// The wall clock.
pub(crate) fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
}

/// Where events are told.
#[derive(Clone, Debug)]
pub(crate) struct Log(Lines);

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

/// One event as it is written.
#[derive(Serialize)]
pub(crate) struct Line<'l, F> {
    pub(crate) at_ms: u64,
    pub(crate) level: Level,
    pub(crate) event: &'l str,
    #[serde(flatten)]
    pub(crate) fields: F,
}

impl Log {
    /// A log, and the thread that writes it.
    pub(crate) fn start(paper: impl io::Write + Send + 'static) -> io::Result<(Self, Writer)> {
        let paper = Paper::Fixed(Box::new(paper));
        let (lines, writer) = Lines::start(paper, "splitway-log", None)?;
        Ok((Self(lines), writer))
    }

    /// Tells of an event.
    pub(crate) fn tell(&self, level: Level, event: &str, fields: impl Serialize) {
        let told = Line { at_ms: now().as_millis(), level, event, fields };
        if let Some(line) = line(&told) {
            self.0.put(line);
        }
    }

    /// Where its lines go, for others that are written there.
    pub(crate) fn lines(&self) -> &Lines {
        &self.0
    }

    /// How many lines were not written, here and in the access log, because those before them were not fast
    /// enough.
    pub(crate) fn dropped(&self) -> u64 {
        self.0.dropped()
    }
}
