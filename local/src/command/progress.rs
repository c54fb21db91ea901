//! How far something is that takes long, on standard error where that is a terminal.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget};

/// So long it is not worth telling.
const PATIENCE: Duration = Duration::from_secs(1);

/// How many steps are between two looks at the clock.
const STRIDE: u64 = 1 << 14;

/// Counts steps; shown once it has become long.
pub(crate) struct Progress {
    bar: ProgressBar,
    begin: Instant,
    steps: u64,
}

impl Progress {
    /// Begins; how many steps there will be need not be known.
    pub(crate) fn new(steps: Option<u64>) -> Self {
        let bar = ProgressBar::with_draw_target(steps, ProgressDrawTarget::hidden());
        Self { bar, begin: Instant::now(), steps: 0 }
    }

    /// One step is done.
    pub(crate) fn step(&mut self) {
        self.steps += 1;
        if self.steps.is_multiple_of(STRIDE) && self.begin.elapsed() > PATIENCE {
            if self.bar.is_hidden() {
                // Stays hidden where standard error is not a terminal.
                self.bar.set_draw_target(ProgressDrawTarget::stderr());
            }
            self.bar.set_position(self.steps);
        }
    }

    /// All is done, and nothing of it stays to be seen.
    pub(crate) fn end(self) {
        self.bar.finish_and_clear();
    }
}
