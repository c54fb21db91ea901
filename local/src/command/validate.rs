//! `splitway validate`: what is wrong with a document, all of it.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use splitway_core::fault::Report;
use splitway_local::document::{self, Count, Defect, Format};

use super::report;

/// What to check, and how strictly.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The document, YAML or JSON; `-` is standard input
    file: PathBuf,

    /// Exit with 1 if there are warnings
    #[arg(long)]
    deny_warnings: bool,
}

/// The file cannot be read, so nothing is known about it.
const UNREADABLE: u8 = 2;

/// Prints every fault and every warning. Exits with 1 if there are faults and with 2 if there is no
/// document.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    let text = match read(&arguments.file) {
        Ok(text) => text,
        Err(error) => {
            let text = format!("{}: cannot be read: {error}", arguments.file.display());
            // Without standard error there is only the exit code to tell it.
            let _ = report::error(&mut anstream::stderr(), &text);
            return ExitCode::from(UNREADABLE);
        }
    };
    let read = document::read(&text, Format::of(&arguments.file, &text));
    let (routes_count, report) = match read {
        Ok((snapshot, warnings)) => {
            (snapshot.routes_count(), Report { warnings, ..Report::default() })
        }
        Err(Defect::Faulty(report)) => (0, report),
        Err(Defect::Syntax(syntax)) => {
            let text = format!("{}: {syntax}", arguments.file.display());
            let _ = report::error(&mut anstream::stdout(), &text);
            return ExitCode::FAILURE;
        }
    };
    let _ = tell(&mut anstream::stdout(), &arguments.file, routes_count, &report);
    let is_denied = arguments.deny_warnings && !report.warnings.is_empty();
    match report.faults.is_empty() && !is_denied {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn read(path: &Path) -> io::Result<String> {
    if path == Path::new("-") {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text)?;
        return Ok(text);
    }
    std::fs::read_to_string(path)
}

fn tell(out: &mut impl Write, path: &Path, routes_count: usize, report: &Report) -> io::Result<()> {
    report::findings(out, report)?;
    let warnings = Count(report.warnings.len(), "warning");
    match report.faults.len() {
        0 => {
            let routes = Count(routes_count, "route");
            writeln!(out, "{}: good, {routes}, {warnings}", path.display())
        }
        count => writeln!(out, "{}: {}, {warnings}", path.display(), Count(count, "fault")),
    }
}
