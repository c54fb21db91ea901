//! Faults and warnings as lines for people, coloured where a terminal shows them.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use splitway_core::fault::Fault;
use splitway_local::document::Defect;
use splitway_local::{FileError, StartError};

const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const HINT: Style = AnsiColor::Cyan.on_default().bold();

/// Writes `error: text`.
pub(crate) fn error(out: &mut impl Write, text: &str) -> io::Result<()> {
    writeln!(out, "{ERROR}error{ERROR:#}: {text}")
}

/// Writes `lost: text`.
pub(crate) fn lost(out: &mut impl Write, text: &str) -> io::Result<()> {
    writeln!(out, "{ERROR}lost{ERROR:#}: {text}")
}

/// Writes `warning: text`.
pub(crate) fn warning(out: &mut impl Write, text: &str) -> io::Result<()> {
    writeln!(out, "{WARNING}warning{WARNING:#}: {text}")
}

/// Writes `hint: text`.
pub(crate) fn hint(out: &mut impl Write, text: &str) -> io::Result<()> {
    writeln!(out, "{HINT}hint{HINT:#}: {text}")
}

/// Writes every fault with its place.
pub(crate) fn faults(out: &mut impl Write, faults: &[Fault]) -> io::Result<()> {
    faults.iter().try_for_each(|fault| error(out, &fault.to_string()))
}

/// Writes every warning with its place.
pub(crate) fn warnings(out: &mut impl Write, warnings: &[Fault]) -> io::Result<()> {
    warnings.iter().try_for_each(|fault| warning(out, &fault.to_string()))
}

/// Writes what hindered a start: of a document every fault, not only that there are some. They come
/// last and without the warnings, which `splitway validate` tells.
pub(crate) fn start_error(out: &mut impl Write, failure: &StartError) -> io::Result<()> {
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
    match failure {
        StartError::Config { source: FileError::Defect(Defect::Faulty(report)), .. }
        | StartError::Document(Defect::Faulty(report)) => faults(out, &report.faults),
        StartError::Config { .. }
        | StartError::Document(_)
        | StartError::Listen { .. }
        | StartError::DataDir { .. }
        | StartError::Database { .. }
        | StartError::Fleet { .. }
        | StartError::AccessLog(_)
        | StartError::Traces(_)
        | StartError::Key(_)
        | StartError::Redis(_)
        | StartError::ShortSecret
        | StartError::Trust(_)
        | StartError::Certificate(_)
        | StartError::System(_) => Ok(()),
    }
}

/// Writes columns that are as wide as their widest cell; the last one is as long as it is.
pub(crate) fn table<const N: usize>(out: &mut impl Write, rows: &[[String; N]]) -> io::Result<()> {
    let wide = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
    };
    let widths: [usize; N] = std::array::from_fn(wide);
    for row in rows {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        writeln!(out, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}
