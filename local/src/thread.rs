//! Threads with a runtime of their own.

use std::io;
use std::sync::mpsc::{Sender, channel};
use std::thread::{Builder, JoinHandle};

use tokio::runtime::{Builder as Runtime, LocalOptions};

/// Tells whoever started a thread that it runs, or why it does not.
#[derive(Debug)]
pub(crate) struct Started(Sender<io::Result<()>>);

impl Started {
    /// It runs, or this is why it does not.
    pub(crate) fn tell(self, how: io::Result<()>) {
        // Whoever started it waits for this, or is gone.
        let _ = self.0.send(how);
    }
}

/// Starts a thread that does `job` in a runtime of its own; returns when the job has told that it runs.
/// What the runtime still does when the job is over ends with it.
pub(crate) fn start<J>(name: impl Into<String>, job: J) -> io::Result<JoinHandle<()>>
where
    J: AsyncFnOnce(Started) + Send + 'static,
{
    let (started, starting) = channel();
    let started = Started(started);
    let run = move || {
        // Local: what never leaves the thread needs no locks.
        let local = LocalOptions::default();
        let runtime = Runtime::new_current_thread().enable_all().build_local(local);
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(error) => return started.tell(Err(error)),
        };
        runtime.block_on(job(started));
        // A look-up of a name may take its time; nobody waits for it any more.
        runtime.shutdown_background();
    };
    let thread = Builder::new().name(name.into()).spawn(run)?;
    let gone = |_| Err(io::Error::other("the thread ended at once"));
    starting.recv().unwrap_or_else(gone)?;
    Ok(thread)
}
