//! The terminal while a screen is on it.

use std::io;
use std::ops::{Deref, DerefMut};

use ratatui::DefaultTerminal;

/// The terminal with a screen of ours, each key read as it is pressed. It is as it was before when this is
/// dropped, and before a panic is told.
pub(super) struct Taken(DefaultTerminal);

impl Taken {
    /// Takes it over.
    pub(super) fn new() -> io::Result<Self> {
        // What of it was done before it failed, is undone.
        ratatui::try_init().map(Self).inspect_err(|_| restore())
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        // Also where it would be gone with the other screen: some terminals have but one.
        drop(self.0.show_cursor());
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

fn restore() {
    // A terminal that is gone needs nothing any more.
    drop(ratatui::try_restore());
}
