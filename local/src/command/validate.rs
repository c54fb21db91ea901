//! `splitway validate`: what is wrong with a document, all of it.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::Value;
use splitway_core::fault::Report;
use splitway_local::document::{self, Count, Format};

use super::report;
use super::source::{ROUTE_HINT, is_route, read};

/// What to check, and how strictly.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The document, YAML or JSON; `-` is standard input
    file: PathBuf,

    /// Exit with 1 if there are warnings
    #[arg(long)]
    deny_warnings: bool,

    /// Print a document without faults as JSON, for the edge; all else goes to standard error
    #[arg(long)]
    print_json: bool,
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
    // What is asked for on standard output is then alone there.
    let mut out: Box<dyn Write> = match arguments.print_json {
        true => Box::new(anstream::stderr()),
        false => Box::new(anstream::stdout()),
    };
    let document = match document::parse(&text, Format::of(&arguments.file, &text)) {
        Ok(document) => document,
        Err(syntax) => {
            let text = format!("{}: {syntax}", arguments.file.display());
            let _ = report::error(&mut out, &text);
            return ExitCode::FAILURE;
        }
    };
    let (routes_count, report) = match document::judge(&document, &text) {
        Ok((snapshot, warnings)) => {
            (snapshot.routes_count(), Report { warnings, ..Report::default() })
        }
        Err(report) => (0, report),
    };
    let is_route = is_route(&document);
    let _ = tell(&mut out, &arguments.file, routes_count, is_route, &report);
    let is_denied = arguments.deny_warnings && !report.warnings.is_empty();
    if !report.faults.is_empty() || is_denied {
        return ExitCode::FAILURE;
    }
    match arguments.print_json.then(|| print(&document)) {
        // Half a document must not pass for one.
        Some(Err(error)) => {
            let _ = report::error(&mut out, &format!("the JSON cannot be written: {error}"));
            ExitCode::FAILURE
        }
        Some(Ok(())) | None => ExitCode::SUCCESS,
    }
}

fn print(document: &Value) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{document}")?;
    out.flush()
}

fn tell(
    out: &mut impl Write,
    path: &Path,
    routes_count: usize,
    is_route: bool,
    report: &Report,
) -> io::Result<()> {
    report::faults(out, &report.faults)?;
    if is_route && !report.faults.is_empty() {
        report::hint(out, ROUTE_HINT)?;
    }
    report::warnings(out, &report.warnings)?;
    let warnings = Count(report.warnings.len(), "warning");
    match report.faults.len() {
        0 => {
            let routes = Count(routes_count, "route");
            writeln!(out, "{}: good, {routes}, {warnings}", path.display())
        }
        count => writeln!(out, "{}: {}, {warnings}", path.display(), Count(count, "fault")),
    }
}
