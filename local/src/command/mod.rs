//! What the command line can be asked for.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

mod affinity;
mod apply;
mod changes;
pub(crate) mod demo;
pub(crate) mod diff;
pub(crate) mod explain;
mod explanation;
pub(crate) mod health;
pub(crate) mod import;
pub(crate) mod key;
mod load;
mod moment;
mod origin;
pub(crate) mod outcome;
mod progress;
pub(crate) mod pull;
pub(crate) mod push;
mod report;
pub(crate) mod revisions;
pub(crate) mod rollback;
pub(crate) mod serve;
mod secret;
pub(crate) mod simulate;
mod source;
pub(crate) mod token;
pub(crate) mod top;
mod traffic;
pub(crate) mod validate;

/// The ways to ask the process to end: Ctrl-C and `SIGTERM`. From when this exists, they no longer
/// end it by themselves.
struct Requests {
    interrupt: Signal,
    terminate: Signal,
}

impl Requests {
    /// Takes the signals over, for a runtime that runs.
    fn new() -> io::Result<Self> {
        let interrupt = signal(SignalKind::interrupt())?;
        Ok(Self { interrupt, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for the next one.
    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
