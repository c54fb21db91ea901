//! `splitway pull`: the configuration of a server as a document.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use splitway_local::client::options::ClientOptions;
use splitway_local::document::{Format, write};

use super::changes::Form;
use super::outcome::{Failure, Verdict, client, end};

/// What to print, and where.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How to write the document [default: by the name of the --output, else yaml]
    #[arg(long, value_enum)]
    format: Option<Form>,

    /// Write to this file, all at once, and not to standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,

    #[command(flatten)]
    client: ClientOptions,
}

/// Prints the document on standard output, and its revision on standard error.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    end(pull(arguments))
}

fn pull(arguments: &Arguments) -> Result<Verdict, Failure> {
    let (revision, document) = client(&arguments.client)?.document()?;
    let by_name = || arguments.output.as_ref().map_or(Format::Yaml, |path| Format::of(path, ""));
    let text = write(&document, arguments.format.map_or_else(by_name, Format::from));
    match &arguments.output {
        Some(path) => replace(path, &text)
            .map_err(|source| Failure::Unwritable { path: path.clone(), source })?,
        None => {
            let mut out = io::stdout().lock();
            out.write_all(text.as_bytes())?;
            out.flush()?;
        }
    }
    // Whoever closed standard error does not want to know.
    let _ = writeln!(anstream::stderr(), "revision {revision}");
    Ok(Verdict::Done)
}

/// Who may read a file that is new, as far as the umask lets them.
const MODE: u32 = 0o666;

/// Puts a file with this text in the place of the one that is there, if there is one; nobody ever
/// sees half of it.
pub(super) fn replace(path: &Path, text: &str) -> io::Result<()> {
    let usual = || fs::Permissions::from_mode(MODE);
    // The file that a link leads to is replaced, not the link.
    let (path, permissions) = match fs::metadata(path) {
        Ok(found) if !found.is_file() => return Err(io::Error::other("it is not a file")),
        Ok(found) => (fs::canonicalize(path)?, Some(found.permissions())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => (path.to_owned(), None),
        Err(error) => return Err(error),
    };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut file = tempfile::Builder::new()
        .prefix(".splitway-")
        .permissions(usual())
        .tempfile_in(folder.unwrap_or(Path::new(".")))?;
    file.write_all(text.as_bytes())?;
    if let Some(permissions) = permissions {
        file.as_file().set_permissions(permissions)?;
    }
    file.as_file().sync_all()?;
    file.persist(&path).map(|_| ()).map_err(|error| error.error)
}
