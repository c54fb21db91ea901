//! What is counted of an answer until it is through, or nobody wants it any more.

use splitway_core::exchange::Tail;
use splitway_core::meter::Running;

use crate::listen::Progress;
use crate::telemetry;

/// An answer under way. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Metered {
    running: Option<Running>,
    /// How far the body of the request has come, if there is one.
    progress: Option<Progress>,
}

impl Metered {
    /// Takes over what is counted of an answer.
    pub(super) fn new(tail: &mut Tail, progress: Option<Progress>) -> Self {
        Self { running: tail.meter.take(), progress }
    }

    /// So many bytes went to the client, and so many came from it beside the body of the request.
    pub(super) fn pass(&self, received: u64, sent: u64) {
        if let Some(running) = &self.running {
            running.pass(received, sent);
        }
    }
}

impl Drop for Metered {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.pass(self.progress.as_ref().map_or(0, |progress| progress.bytes()), 0);
            running.end(telemetry::now());
        }
    }
}
