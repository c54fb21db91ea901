//! How a command that talks to a server ends: what it says last, and its exit code.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::Value;
use splitway_core::fault::{Fault, Report};
use splitway_core::seal::SECRET_MIN;
use splitway_core::snapshot::Snapshot;
use splitway_local::client::Client;
use splitway_local::client::error::{ClientError, SetupError, plain};
use splitway_local::client::key::VARIABLE;
use splitway_local::client::options::ClientOptions;
use splitway_local::document::{self, Count, Format, Syntax};

use super::moment::LIFETIME_MAX;
use super::report;
use super::source;

/// What the environment alone can say, and what the exit codes mean.
pub(crate) const AFTER_HELP: &str = "\
Environment:
  SPLITWAY_ADMIN_KEY  The server's key [default, where the server is on this machine: the key in
                      ./splitway-data/admin.key]

Exit codes:
  0  it is done, or there is nothing to do
  1  there are differences, with --exit-code; or a change was not made, because the answer to the
     question was no or because somebody else changed the configuration in between
  2  an error";

/// How a command ended that met no error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is done.
    Done,
    /// There are differences, and the exit code is to say so.
    Differs,
    /// Somebody was asked and said no.
    Declined,
    /// A request was explained that would be answered with a problem.
    Refused,
}

/// Why a command could not do what it should.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Setup(#[from] SetupError),
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The server's judgement of a document.
    #[error("{subject}: {}", Count(faults.len(), "fault"))]
    Faulty { subject: String, faults: Vec<Fault>, is_route: bool },
    #[error("{}: cannot be read: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{}: {syntax}", path.display())]
    Syntax { path: PathBuf, syntax: Syntax },
    #[error("{} cannot be written: {source}", path.display())]
    Unwritable { path: PathBuf, source: io::Error },
    /// There is nobody to ask.
    #[error("this would remove {}, and there is no terminal to ask at", Count(*.0, "resource"))]
    Unconfirmed(usize),
    #[error("SPLITWAY_SECRET is not set: there is nothing to sign with")]
    NoSecret,
    #[error("SPLITWAY_SECRET has less than {SECRET_MIN} bytes")]
    ShortSecret,
    #[error("a token ends after now, and within {} days", LIFETIME_MAX.as_secs() / 86_400)]
    Lifetime,
    #[error("there is a key `{0}` already")]
    KeyTaken(String),
    #[error("there are no random numbers for a key: {0}")]
    NoEntropy(getrandom::Error),
    #[error("the key `{name}` is made but could not be printed: {source}")]
    KeyLost { name: String, source: io::Error },
    #[error("there is no enabled route `{0}`")]
    NoRoute(String),
    #[error("standard input can be read once, and `-` stands for several files")]
    OneInput,
    #[error("the output cannot be written: {0}")]
    Output(#[from] io::Error),
}

impl Failure {
    /// What to do about it, if that is known.
    fn hint(&self) -> Option<String> {
        match self {
            Self::Setup(error) => error.hint(),
            Self::Client(error) => error.hint(),
            Self::Faulty { is_route: true, .. } => Some(source::ROUTE_HINT.to_owned()),
            Self::Unconfirmed(_) => Some("--yes goes on without asking".to_owned()),
            Self::NoSecret => Some("it is what the server was started with".to_owned()),
            Self::ShortSecret => Some("make one with `openssl rand -hex 32`".to_owned()),
            Self::KeyTaken(_) => Some("--replace puts another in its place".to_owned()),
            Self::KeyLost { .. } => Some("add it again with --replace".to_owned()),
            Self::Faulty { .. }
            | Self::Unreadable { .. }
            | Self::Syntax { .. }
            | Self::Unwritable { .. }
            | Self::Lifetime
            | Self::NoEntropy(_)
            | Self::NoRoute(_)
            | Self::OneInput
            | Self::Output(_) => None,
        }
    }

    /// Says it. The faults of a document are told as `splitway validate` tells them.
    fn tell(&self, out: &mut impl Write) -> io::Result<()> {
        if let Self::Output(error) = self
            && error.kind() == io::ErrorKind::BrokenPipe
        {
            // Whoever closes the pipe early has read enough.
            return Ok(());
        }
        if let Self::Faulty { faults, .. } = self {
            report::faults(out, faults)?;
            writeln!(out, "{self}")?;
        } else {
            report::error(out, &self.to_string())?;
        }
        self.hint().map_or(Ok(()), |hint| report::hint(out, &hint))
    }

    fn code(&self) -> u8 {
        if matches!(self, Self::Client(ClientError::Changed { .. })) { 1 } else { 2 }
    }
}

/// Says what is left to say, and gives the exit code.
pub(crate) fn end(outcome: Result<Verdict, Failure>) -> ExitCode {
    match outcome {
        Ok(Verdict::Done) => ExitCode::SUCCESS,
        Ok(Verdict::Differs | Verdict::Declined | Verdict::Refused) => ExitCode::from(1),
        Err(failure) => {
            // Without standard error there is only the exit code to tell it.
            let _ = failure.tell(&mut anstream::stderr());
            ExitCode::from(failure.code())
        }
    }
}

/// A client of the server that the command line and the environment name.
pub(crate) fn client(options: &ClientOptions) -> Result<Client, Failure> {
    let admin_key = std::env::var_os(VARIABLE);
    Ok(Client::new(&ClientOptions { admin_key, ..options.clone() })?)
}

/// A document in a file that has no faults.
pub(crate) struct Compiled {
    pub(crate) document: Value,
    pub(crate) format: Format,
    pub(crate) snapshot: Snapshot,
}

/// Compiles a document in a file. Its warnings are for `splitway validate` to tell.
pub(crate) fn compiled(path: &Path) -> Result<Compiled, Failure> {
    let (text, document, format) = read(path)?;
    let snapshot = compile(&document, &text, &path.display().to_string())?;
    Ok(Compiled { document, format, snapshot })
}

/// Compiles a document by its text; its faults are told with the name of where it is from.
pub(crate) fn compile(document: &Value, text: &str, subject: &str) -> Result<Snapshot, Failure> {
    match document::judge(document, text) {
        Ok((snapshot, _)) => Ok(snapshot),
        Err(Report { faults, .. }) => {
            let (subject, is_route) = (plain(subject), source::is_route(document));
            Err(Failure::Faulty { subject, faults, is_route })
        }
    }
}

/// Refuses to read standard input for more than one of these files.
pub(crate) fn one_input<'p>(
    paths: impl IntoIterator<Item = Option<&'p Path>>,
) -> Result<(), Failure> {
    let inputs = paths.into_iter().flatten().filter(|path| *path == Path::new("-"));
    if inputs.count() > 1 { Err(Failure::OneInput) } else { Ok(()) }
}

/// A document in a file, and how it is written there.
pub(crate) fn document(path: &Path) -> Result<(Value, Format), Failure> {
    read(path).map(|(_, document, format)| (document, format))
}

/// The text of a file.
pub(crate) fn text(path: &Path) -> Result<String, Failure> {
    source::read(path).map_err(|source| Failure::Unreadable { path: path.to_owned(), source })
}

fn read(path: &Path) -> Result<(String, Value, Format), Failure> {
    let text = text(path)?;
    let format = Format::of(path, &text);
    let document = document::parse(&text, format);
    let document = document.map_err(|syntax| Failure::Syntax { path: path.to_owned(), syntax })?;
    Ok((text, document, format))
}

/// The faults that the server finds in a document are told with the name of it.
pub(crate) fn judged(error: ClientError, subject: &str, is_route: bool) -> Failure {
    if let ClientError::Faults(faults) = error {
        return Failure::Faulty { subject: plain(subject), faults, is_route };
    }
    Failure::Client(error)
}
