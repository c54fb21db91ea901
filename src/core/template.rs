//! Text with variables in it: `$name`, `${name}`, `${name ?? default}`.

use std::borrow::Cow;

use crate::facts::Facts;
use crate::fault::{At, Report};

/// A checked template.
#[derive(Debug, PartialEq)]
pub(crate) struct Template {
    text: Box<str>,
}

impl Template {
    /// Checks a template; reports every fault in it.
    pub(crate) fn compile(text: &str, _at: At<'_>, _report: &mut Report) -> Self {
        Self { text: text.into() }
    }

    /// The text for a request.
    pub(crate) fn fill<'t>(&'t self, _facts: &Facts<'_>) -> Cow<'t, str> {
        Cow::Borrowed(&self.text)
    }
}
