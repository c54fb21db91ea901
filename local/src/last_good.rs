//! The last good configuration of a fleet on disk: what a server serves by that starts while etcd is
//! away. A thread of its own writes it, so that nobody who changes something waits for the disk twice.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Builder, JoinHandle};

use serde_json::json;
use splitway_core::snapshot::Snapshot;

use crate::document::{self, Defect, Format};
use crate::telemetry::{Level, Log};

/// The file in the data directory.
pub(crate) fn path(dir: &Path) -> PathBuf {
    dir.join("last-good.json")
}

/// What the file says; nothing where there is none.
pub(crate) fn load(path: &Path) -> io::Result<Option<Result<Snapshot, Defect>>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(document::read(&text, Format::Json).map(|(snapshot, _)| snapshot))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Starts the thread that writes the file; it ends when nobody can send documents any more.
pub(crate) fn keep(path: PathBuf, log: Log) -> io::Result<(Sender<String>, JoinHandle<()>)> {
    let (documents, written) = channel();
    let keeping = Builder::new().name("splitway-keep".to_owned());
    let thread = keeping.spawn(move || write_each(&path, &written, &log))?;
    Ok((documents, thread))
}

fn write_each(path: &Path, documents: &Receiver<String>, log: &Log) {
    while let Ok(document) = documents.recv() {
        // Of several only the last counts.
        let document = documents.try_iter().last().unwrap_or(document);
        if let Err(error) = write(path, &document) {
            let file = path.display().to_string();
            let fields = json!({"file": file, "detail": error.to_string()});
            log.tell(Level::Error, "configuration_not_kept", fields);
        }
    }
}

/// Replaces the file as a whole: a loss of power leaves the one or the other.
fn write(path: &Path, document: &str) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().prefix(".last-good-").tempfile_in(dir)?;
    file.write_all(document.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(path).map(drop).map_err(|error| error.error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_last_is_loaded_with_its_revision() {
        let dir = tempfile::TempDir::new().expect("a directory");
        let path = path(dir.path());
        assert!(load(&path).expect("readable").is_none());
        let (log, _writer) = Log::start(io::sink()).expect("a thread");
        let (documents, thread) = keep(path.clone(), log).expect("a thread");
        for revision in 1..=7 {
            let document = json!({
                "routes": [{"id": "r", "uri": "/r", "upstream": "http://a.example"}],
                "published": {"format": 1, "ledger": "x", "revision": revision},
            });
            documents.send(document.to_string()).expect("it is there");
        }
        drop(documents);
        thread.join().expect("it ends");
        let snapshot = load(&path).expect("readable").expect("there").expect("sound");
        assert_eq!(snapshot.revision().as_str(), "7");
        assert_eq!(std::fs::read_dir(dir.path()).expect("a directory").count(), 1);
        std::fs::write(&path, "{").expect("written");
        assert!(load(&path).expect("readable").expect("there").is_err());
    }
}
