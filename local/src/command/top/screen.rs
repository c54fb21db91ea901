//! The screen: what is shown of a view, and what whoever looks at it has chosen.

use std::time::Duration;

use super::view::{Sort, View};

/// What is shown, and how.
#[derive(Debug, Default)]
pub(super) struct Screen {
    /// The server that is asked.
    pub(super) server: String,
    /// What it told last; nothing if it never did.
    pub(super) view: Option<View>,
    /// Why it does not answer, while it does not.
    pub(super) absence: Option<Absence>,
    pub(super) sort: Sort,
    pub(super) filter: String,
    /// Whether the filter is being typed.
    pub(super) is_typing: bool,
    /// The first line that is shown.
    pub(super) scroll: usize,
    /// How many lines there were room for when it was drawn last.
    pub(super) page: usize,
    /// Whether there are colours.
    pub(super) is_coloured: bool,
}

/// A server that does not answer.
#[derive(Debug)]
pub(super) struct Absence {
    pub(super) why: String,
    pub(super) hint: Option<String>,
    /// For how long there has been no answer.
    pub(super) lasting: Duration,
}
