//! What is told of requests: a line in the access log, and the end of a trace.

pub(crate) mod options;

use std::io;
use std::sync::Arc;

use splitway_core::head::Head;
use splitway_core::telemetry::{Begun, End, Ending, Record, Sampler, Telling};
use splitway_core::time::Timestamp;

use self::options::{AccessOptions, AccessPlace};
use crate::telemetry::{Level, Line, Lines, Log, Paper, Writer, now};
use crate::trace::Root;

/// Which requests have a line, and where it is written.
#[derive(Clone, Debug)]
pub(crate) struct AccessLog {
    telling: Arc<Telling>,
    lines: Lines,
}

impl AccessLog {
    /// The log that `options` ask for, and the thread that writes it, if that is another than that of `log`.
    pub(crate) fn start(options: &AccessOptions, log: &Log) -> io::Result<(Self, Option<Writer>)> {
        let paper = match &options.access_log {
            AccessPlace::Off | AccessPlace::Stderr => None,
            AccessPlace::Stdout => Some(Paper::Fixed(Box::new(io::stdout()))),
            AccessPlace::File(path) => Some(Paper::open(path)?),
        };
        let telling = match &options.access_log {
            AccessPlace::Off => Telling::Remarkable,
            AccessPlace::Stderr | AccessPlace::Stdout | AccessPlace::File(_) => {
                let slow = Some(options.access_log_slow).filter(|slow| !slow.is_zero());
                Telling::Sampled(Sampler::centred(options.access_log_sample), slow)
            }
        };
        let (lines, writer) = match paper {
            None => (log.lines().clone(), None),
            Some(paper) => {
                let (lines, writer) = Lines::start(paper, "splitway-access", Some(log.clone()))?;
                (lines, Some(writer))
            }
        };
        Ok((Self { telling: Arc::new(telling), lines }, writer))
    }

    /// The beginning of the line of a request that is told of; `head` is its head, if it had one.
    pub(crate) fn begin(&self, record: &Record<'_>, head: Option<&dyn Head>) -> Option<Pending> {
        let share = self.telling.takes(record)?;
        let level = if record.problem.is_some() { Level::Warn } else { Level::Info };
        let (at_ms, event) = (record.at.as_millis(), record.event());
        let line = Line { at_ms, level, event, fields: record.fields(head, share) };
        Some(Pending { line: Begun::new(&line)?, lines: self.lines.clone() })
    }
}

/// A line that waits for the end of an answer.
#[derive(Debug)]
pub(crate) struct Pending {
    line: Begun,
    lines: Lines,
}

/// What there is to tell of a request when its answer is at its end, which is when this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Entry(Option<Box<Open>>);

#[derive(Debug)]
struct Open {
    at: Timestamp,
    line: Option<Pending>,
    span: Option<Root>,
    bytes: Option<u64>,
    end: Option<End>,
}

impl Entry {
    /// The entry of a request that came at `at`.
    pub(crate) fn new(at: Timestamp, line: Option<Pending>, span: Option<Root>) -> Self {
        let is_told = line.is_some() || span.is_some();
        Self(is_told.then(|| Box::new(Open { at, line, span, bytes: None, end: None })))
    }

    /// Notes so many bytes of a body, as many as there are so far.
    pub(crate) fn sent(&mut self, bytes: usize) {
        if let Some(open) = &mut self.0 {
            let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
            open.bytes = Some(open.bytes.unwrap_or(0).saturating_add(bytes));
        }
    }

    /// Notes why the answer did not come to its end.
    pub(crate) fn ended(&mut self, end: End) {
        if let Some(open) = &mut self.0 {
            open.end = Some(end);
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let Some(open) = self.0.take() else { return };
        let Open { at, line, span, bytes: bytes_out, end } = *open;
        if let Some(Pending { line, lines }) = line {
            let total_ms = u64::try_from(now().since(at).as_millis()).ok();
            lines.put(line.end(&Ending { total_ms, bytes_out, end }));
        }
        if let Some(span) = span {
            span.end(end, bytes_out);
        }
    }
}
