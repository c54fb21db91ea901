//! The terminal while a screen is on it.

use std::io::{self, stdout};
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};

use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::{DefaultTerminal, Terminal};

/// Whether there is something to undo.
static IS_TAKEN: AtomicBool = AtomicBool::new(false);

/// The terminal with a screen of ours, each key read as it is pressed. It is as it was before when this is
/// dropped, and before a panic of any thread is told.
///
/// What the library does by itself for that tells its failures on standard error, which panics where the
/// terminal is gone; so its terminal is not dropped.
pub(super) struct Taken(ManuallyDrop<DefaultTerminal>);

impl Taken {
    /// Takes it over.
    pub(super) fn new() -> io::Result<Self> {
        let tell = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            restore();
            tell(info);
        }));
        IS_TAKEN.store(true, Ordering::SeqCst);
        // What of it was done before it failed, is undone.
        take().map(|it| Self(ManuallyDrop::new(it))).inspect_err(|_| restore())
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        restore();
    }
}

impl Deref for Taken {
    type Target = DefaultTerminal;

    fn deref(&self) -> &DefaultTerminal {
        &self.0
    }
}

impl DerefMut for Taken {
    fn deref_mut(&mut self) -> &mut DefaultTerminal {
        &mut self.0
    }
}

fn take() -> io::Result<DefaultTerminal> {
    enable_raw_mode()?;
    execute!(stdout(), EnterAlternateScreen)?;
    Terminal::new(CrosstermBackend::new(stdout()))
}

fn restore() {
    // A second time would have the prompt overwrite what was told after the first.
    if IS_TAKEN.swap(false, Ordering::SeqCst) {
        // A terminal that is gone needs nothing any more.
        drop(execute!(stdout(), LeaveAlternateScreen, Show));
        drop(disable_raw_mode());
    }
}
