//! A file that is the configuration, read again when it changes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;
use std::{fs, io};

use serde_json::json;
use splitway_core::fault::Fault;
use splitway_core::snapshot::Snapshot;

use crate::document::{self, Defect, Format};
use crate::store::Store;
use crate::telemetry::{Level, Log};

/// How often the file is looked at. A change is taken when it looks the same twice: whoever writes
/// in place may not have finished at the first look.
const POLL: Duration = Duration::from_millis(250);

/// The file, and what is known of it.
#[derive(Debug)]
pub(crate) struct WatchedFile {
    path: PathBuf,
    store: Arc<Store>,
    log: Log,
    /// The text that was compiled last, with success or without.
    judged: String,
    /// A text that was seen once.
    pending: Option<String>,
    is_unreadable: bool,
}

/// Why a file cannot be served by.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(#[source] io::Error),
    /// What it says cannot be served by.
    #[error(transparent)]
    Defect(Defect),
}

impl WatchedFile {
    /// Reads the file and publishes what it says.
    pub(crate) fn open(path: &Path, store: Arc<Store>, log: Log) -> Result<Self, FileError> {
        let text = fs::read_to_string(path).map_err(FileError::Unreadable)?;
        let read = document::read(&text, Format::of(path, &text));
        let (snapshot, warnings) = read.map_err(FileError::Defect)?;
        let path = path.to_owned();
        let file = Self { path, store, log, judged: text, pending: None, is_unreadable: false };
        file.publish(snapshot, &warnings);
        Ok(file)
    }

    /// Looks at the file until the other end of `stop` is dropped.
    pub(crate) fn watch(mut self, stop: &Receiver<()>) {
        while stop.recv_timeout(POLL) == Err(RecvTimeoutError::Timeout) {
            self.look();
        }
    }

    fn look(&mut self) {
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) => return self.tell_unreadable(&error),
        };
        self.is_unreadable = false;
        if text == self.judged {
            self.pending = None;
        } else if self.pending.as_ref() != Some(&text) {
            self.pending = Some(text);
        } else {
            self.pending = None;
            self.judge(text);
        }
    }

    /// Publishes a changed text, or tells all that hinders it and leaves the last good one.
    fn judge(&mut self, text: String) {
        let read = document::read(&text, Format::of(&self.path, &text));
        self.judged = text;
        match read {
            Ok((snapshot, warnings)) => self.publish(snapshot, &warnings),
            Err(Defect::Syntax(syntax)) => {
                self.store.note_failure();
                self.tell(Level::Error, "configuration_fault", "", &syntax.to_string());
            }
            Err(Defect::Faulty(report)) => {
                self.store.note_failure();
                for Fault { at, what, .. } in &report.faults {
                    self.tell(Level::Error, "configuration_fault", at, what);
                }
            }
        }
    }

    /// Warnings are counted only: `splitway validate` tells them, and a log would drown in them.
    fn publish(&self, snapshot: Snapshot, warnings: &[Fault]) {
        let fields = json!({
            "file": self.path.display().to_string(),
            "revision": snapshot.revision().as_str(),
            "routes": snapshot.routes_count(),
            "warnings": warnings.len(),
        });
        self.store.publish(snapshot);
        self.log.tell(Level::Info, "configuration_loaded", fields);
    }

    fn tell(&self, level: Level, event: &str, at: &str, what: &str) {
        let file = self.path.display().to_string();
        self.log.tell(level, event, json!({"file": file, "pointer": at, "detail": what}));
    }

    /// Tells once that the file is gone; an editor may take a moment between two renames.
    fn tell_unreadable(&mut self, error: &io::Error) {
        if !self.is_unreadable {
            self.store.note_failure();
            self.tell(Level::Error, "configuration_unreadable", "", &error.to_string());
        }
        self.is_unreadable = true;
    }
}
