//! Faults and warnings as lines for people, coloured where a terminal shows them.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use splitway_core::fault::{Fault, Report};
use splitway_local::document::Defect;
use splitway_local::{FileError, StartError};

const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();

/// Writes `error: text`.
pub(crate) fn error(out: &mut impl Write, text: &str) -> io::Result<()> {
    writeln!(out, "{ERROR}error{ERROR:#}: {text}")
}

/// Writes every fault, then every warning, each with its place.
pub(crate) fn findings(out: &mut impl Write, report: &Report) -> io::Result<()> {
    for fault in &report.faults {
        error(out, &fault.to_string())?;
    }
    warnings(out, &report.warnings)
}

/// Writes every warning with its place.
pub(crate) fn warnings(out: &mut impl Write, warnings: &[Fault]) -> io::Result<()> {
    for warning in warnings {
        writeln!(out, "{WARNING}warning{WARNING:#}: {warning}")?;
    }
    Ok(())
}

/// Writes what hindered a start: of a document everything, not only that there is something.
pub(crate) fn start_error(out: &mut impl Write, failure: &StartError) -> io::Result<()> {
    if let StartError::Config { source: FileError::Defect(Defect::Faulty(report)), .. } = failure {
        findings(out, report)?;
    }
    error(out, &failure.to_string())?;
    let mut cause = std::error::Error::source(failure);
    while let Some(error) = cause {
        // Most messages already end in that of their cause.
        let text = error.to_string();
        if !failure.to_string().contains(&text) {
            writeln!(out, "  because: {text}")?;
        }
        cause = error.source();
    }
    Ok(())
}
