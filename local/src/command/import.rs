//! `splitway import`: the configuration of another gateway as a document.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::Value;
use splitway_local::document::{self, Count, Format};
use splitway_local::import::{ImportError, Imported, apisix, httproute};

use super::report;

/// What to import.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    source: Source,
}

#[derive(clap::Subcommand)]
enum Source {
    /// APISIX's standalone file, apisix.yaml or apisix.json
    ///
    /// `${{NAME}}` and `${{NAME:=default}}` are replaced from the environment, as APISIX does.
    #[command(after_help = AFTER_HELP)]
    Apisix {
        #[command(flatten)]
        files: Files,
    },
    /// HTTPRoutes of the Kubernetes Gateway API, one or several
    #[command(after_help = AFTER_HELP)]
    Httproute {
        #[command(flatten)]
        files: Files,

        /// The domain of the cluster's services: nodes are NAME.NAMESPACE.DOMAIN:PORT
        #[arg(long, value_name = "DOMAIN", default_value = httproute::SERVICE_DOMAIN)]
        service_domain: String,
    },
}

const AFTER_HELP: &str = "Exits with 0 if all was taken over, with 1 if something was not, which \
standard error tells, with 2 if the file cannot be read.";

#[derive(clap::Args)]
struct Files {
    /// The file to import, YAML or JSON; `-` is standard input
    file: PathBuf,

    /// How to write the document
    #[arg(long, value_enum, default_value_t = Written::Yaml)]
    format: Written,

    /// Write the document to this file, whole or not at all, instead of standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Written {
    /// For people and `splitway serve --config`
    Yaml,
    /// For the edge
    Json,
}

impl Written {
    fn format(self) -> Format {
        match self {
            Self::Yaml => Format::Yaml,
            Self::Json => Format::Json,
        }
    }
}

/// The file cannot be read, or not as what it should be.
const UNREADABLE: u8 = 2;

/// Prints the document, and on standard error all that it does not hold.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    let files = arguments.source.files();
    let name = files.file.display();
    // Without standard error there is only the exit code to tell it.
    let fail = |text: &str| {
        let lines = text.lines();
        lines.for_each(|line| {
            drop(report::error(&mut anstream::stderr(), &format!("{name}: {line}")))
        });
    };
    if files.output.as_ref().is_some_and(|output| is_one(output, &files.file)) {
        fail("--output names the same file; what is lost would be lost for good");
        return ExitCode::from(UNREADABLE);
    }
    let text = match read(&files.file) {
        Ok(text) => text,
        Err(error) => {
            fail(&format!("cannot be read: {error}"));
            return ExitCode::from(UNREADABLE);
        }
    };
    let imported = match arguments.source.import(&text) {
        Ok(imported) => imported,
        Err(error) => {
            fail(&error.to_string());
            return ExitCode::from(UNREADABLE);
        }
    };
    let _ = tell(&mut anstream::stderr(), &files.file, &imported);
    if imported.is_usable() {
        let document = document::write(&imported.document, files.format.format());
        let written = match &files.output {
            Some(path) => write(path, &document),
            None => print(&document),
        };
        if let Err(error) = written {
            fail(&format!("the document cannot be written: {error}"));
            return ExitCode::FAILURE;
        }
    }
    match imported.losses.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// Whether two paths lead to one file.
fn is_one(one: &Path, other: &Path) -> bool {
    let file = |path: &Path| path.canonicalize().ok();
    file(one).is_some_and(|one| Some(one) == file(other))
}

impl Source {
    fn files(&self) -> &Files {
        match self {
            Self::Apisix { files } | Self::Httproute { files, .. } => files,
        }
    }

    fn import(&self, text: &str) -> Result<Imported, ImportError> {
        let format = Format::of(&self.files().file, text);
        match self {
            Self::Apisix { .. } => apisix::import(text, format, &|name| std::env::var(name).ok()),
            Self::Httproute { service_domain, .. } => {
                httproute::import(text, format, service_domain)
            }
        }
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

fn print(document: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(document.as_bytes())?;
    out.flush()
}

/// Replaces a file by renaming a finished one over it, so that nobody reads half of it.
fn write(path: &Path, document: &str) -> io::Result<()> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(format!(".{}.tmp", std::process::id()));
    let unfinished = PathBuf::from(unfinished);
    let written = std::fs::File::create_new(&unfinished).and_then(|mut file| {
        file.write_all(document.as_bytes())?;
        file.sync_all()
    });
    let renamed = written.and_then(|()| std::fs::rename(&unfinished, path));
    if renamed.is_err() {
        // What hindered the file is told; that its rest stays would say less.
        let _ = std::fs::remove_file(&unfinished);
    }
    renamed
}

fn tell(out: &mut impl Write, path: &Path, imported: &Imported) -> io::Result<()> {
    for note in &imported.notes {
        report::warning(out, &note.to_string())?;
    }
    for loss in &imported.losses {
        report::lost(out, &loss.to_string())?;
    }
    let routes = imported.document.get("routes").and_then(Value::as_array);
    let routes = Count(routes.map_or(0, Vec::len), "route");
    let losses = match imported.losses.len() {
        0 => "nothing lost".to_owned(),
        count => format!("{count} lost"),
    };
    let unusable = if imported.is_usable() { "" } else { "; there is nothing to serve by" };
    writeln!(out, "{}: {routes}, {losses}{unusable}", path.display())
}
