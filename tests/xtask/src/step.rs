//! Running one step: what is said before it, and what is left to say when it fails.

use std::env;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

/// The result of a step.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

/// A step that failed. Its name is the last line the user sees.
#[derive(Debug)]
pub(crate) struct Failure {
    step: String,
    reason: String,
    code: u8,
}

impl Failure {
    /// A failure found by this program itself; `reason` says what to do about it.
    pub(crate) fn new(step: &str, reason: impl Into<String>) -> Self {
        Self { step: step.into(), reason: reason.into(), code: 1 }
    }

    /// Prints the reason, then the name of the step, and gives the exit code to end with.
    pub(crate) fn report(&self) -> ExitCode {
        report(&self.reason);
        report(&paint("1;31", &format!("xtask: failed: {}", self.step)));
        ExitCode::from(self.code)
    }
}

/// Tells the user which step begins, and why.
pub(crate) fn say(text: &str) {
    report(&format!("{} {text}", paint("1;32", "xtask:")));
}

/// Writes a line to standard error; one that cannot be written is nobody's loss.
pub(crate) fn report(line: &str) {
    drop(writeln!(io::stderr(), "{line}"));
}

/// Runs a program in full view; its exit code becomes ours when it fails.
pub(crate) fn run(step: &str, command: &mut Command) -> Outcome {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default();
    let program = program.to_string_lossy().into_owned();
    let status = command
        .status()
        .map_err(|error| Failure::new(step, format!("`{program}` cannot be run: {error}")))?;
    if status.success() {
        return Ok(());
    }
    Err(Failure {
        step: step.into(),
        reason: format!("`{program}` ended with {status}"),
        code: status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1),
    })
}

/// Asks a program quietly: its trimmed standard output, or nothing when it fails or is missing.
pub(crate) fn ask(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

fn paint(code: &str, text: &str) -> String {
    if io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none() {
        format!("\x1b[{code}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}
