//! `splitway diff`: what is different between two documents, and what that changes for traffic.

use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;

use serde_json::{Value, json};
use splitway_core::document::{Wanted, edits, without_times};
use splitway_core::impact::Impact;
use splitway_core::ledger::{self, Edit, Ledger};
use splitway_core::snapshot::Snapshot;
use splitway_core::storage;
use splitway_core::time::Timestamp;
use splitway_local::client::api::{Change, Op, Run};
use splitway_local::client::base::{Base, NotABase};
use splitway_local::client::options::ClientOptions;
use splitway_local::document::Format;

use super::affinity::KeyOptions;
use super::changes;
use super::outcome::{
    Compiled, Failure, Verdict, client, compile, compiled, document, end, judged, one_input,
};
use super::report;
use super::source::is_route;
use super::traffic;

/// What the output means, behind what all such commands say.
pub(crate) const AFTER_HELP: &str = "\
With one argument, the document is compared with that of the server, which says what would change. With
two, OLD and NEW are each a file or the URL of a server, and the server of --server is not asked.

--format json prints an object that later versions only add to:
  changes     a list of op (add, change, remove), kind, id, before and after
  traffic     null where it is not known, or nothing differs from the server; else
    is_rerouted      whether settings.router changed, and the order of routes was not compared
    added, removed   ids of routes
    rematched        ids of routes that take other requests
    shadowed         routes to which no request comes any more, with those that take all, by
    unshadowed       ids of routes to which requests come again
    overtakes        pairs of routes, route now asked before other, and a host and uri where
    splits           those that change: route, rule, and
      branches       name, before and after: weight and percent, or null
      keys_decide    never, still, from_now_on or no_longer
      keys           null, or the count that was looked at and moves: from, to, count, percent

Environment:
  SPLITWAY_ADMIN_KEY  The server's key [default, where the server is on this machine: the key in
                      ./splitway-data/admin.key]

Exit codes:
  0  it is done
  1  there are differences, with --exit-code
  2  an error";

/// What to compare with what.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The document, YAML or JSON, `-` for standard input; with NEW, what was before
    #[arg(value_name = "OLD")]
    first: Place,

    /// What is to be, a file or the URL of a server; without it, OLD is what is to be on the server
    #[arg(value_name = "NEW")]
    second: Option<Place>,

    /// Exit with 1 if there are differences
    #[arg(long)]
    exit_code: bool,

    /// How to print the differences
    #[arg(long, value_enum, default_value_t = Form::Text)]
    format: Form,

    #[command(flatten)]
    keys: KeyOptions,

    #[command(flatten)]
    client: ClientOptions,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    Text,
    Json,
}

/// Where a document is.
#[derive(Clone, Debug)]
enum Place {
    File(PathBuf),
    Server(Base),
}

impl FromStr for Place {
    type Err = NotABase;

    fn from_str(text: &str) -> Result<Self, NotABase> {
        match text.contains("://") {
            true => text.parse().map(Self::Server),
            false => Ok(Self::File(text.into())),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Server(base) => base.fmt(f),
        }
    }
}

/// What is different, and how lines of it are written.
struct Difference {
    changes: Vec<Change>,
    format: Format,
    /// Before and after; nothing where one of them cannot be compiled here.
    snapshots: Option<(Snapshot, Snapshot)>,
}

/// Prints the differences, in the format of what is to be. Nothing is changed anywhere.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    end(diff(arguments))
}

fn diff(arguments: &Arguments) -> Result<Verdict, Failure> {
    let files = [Some(&arguments.first), arguments.second.as_ref()].map(|place| place?.file());
    one_input(files.into_iter().chain([arguments.keys.file()]))?;
    let difference = match &arguments.second {
        Some(new) => of_two(&arguments.first, new, &arguments.client)?,
        None => with_server(arguments)?,
    };
    let Difference { changes, format, snapshots } = &difference;
    let impact = match snapshots {
        Some((before, after)) => Some(traffic::compare(before, after, &arguments.keys)?),
        None => None,
    };
    let mut out = anstream::stdout();
    match arguments.format {
        Form::Text => {
            changes::full(&mut out, changes, *format)?;
            changes::summary(&mut out, changes)?;
            if let Some(impact) = &impact {
                traffic::lines(&mut out, impact)?;
            }
        }
        Form::Json => {
            let list: Vec<Value> = changes.iter().map(told).collect();
            let traffic = impact.as_ref().map(Impact::told);
            writeln!(out, "{:#}", json!({"changes": list, "traffic": traffic}))?;
        }
    }
    out.flush()?;
    Ok(match arguments.exit_code && !changes.is_empty() {
        true => Verdict::Differs,
        false => Verdict::Done,
    })
}

/// Compares two documents here.
fn of_two(old: &Place, new: &Place, options: &ClientOptions) -> Result<Difference, Failure> {
    let (old, new) = (old.compiled(options)?, new.compiled(options)?);
    let changes = changes_between(old.document, new.document);
    Ok(Difference { changes, format: new.format, snapshots: Some((old.snapshot, new.snapshot)) })
}

/// Has the server say what a document would change, which knows it better than anybody.
fn with_server(arguments: &Arguments) -> Result<Difference, Failure> {
    let (document, format) = arguments.first.document(&arguments.client)?;
    let client = client(&arguments.client)?;
    let subject = arguments.first.to_string();
    let faulty = |error| judged(error, &subject, is_route(&document));
    let applied = client.replace(&document, Run::Dry, None).map_err(faulty)?;
    let changes = applied.changes;
    if changes.is_empty() {
        let snapshots = None;
        return Ok(Difference { changes, format, snapshots });
    }
    let (revision, before) = client.document()?;
    let compiled = |document: &Value| compile(document, "", &subject).ok();
    let snapshots = compiled(&before).zip(compiled(&document));
    let snapshots = snapshots.filter(|_| revision == applied.revision);
    if snapshots.is_none() {
        let why = match revision == applied.revision {
            true => "one of the documents has faults here",
            false => "somebody changed the configuration in between",
        };
        let told = format!("what this changes for traffic is not known: {why}");
        // Whoever closed standard error does not want to know.
        let _ = report::warning(&mut anstream::stderr(), &told);
    }
    Ok(Difference { changes, format, snapshots })
}

impl Place {
    fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Server(_) => None,
        }
    }

    fn document(&self, options: &ClientOptions) -> Result<(Value, Format), Failure> {
        match self {
            Self::File(path) => document(path),
            Self::Server(base) => {
                let options = ClientOptions { server: base.clone(), ..options.clone() };
                Ok((client(&options)?.document()?.1, Format::Yaml))
            }
        }
    }

    fn compiled(&self, options: &ClientOptions) -> Result<Compiled, Failure> {
        if let Self::File(path) = self {
            return compiled(path);
        }
        let (document, format) = self.document(options)?;
        let snapshot = compile(&document, "", &self.to_string())?;
        Ok(Compiled { document, format, snapshot })
    }
}

/// What a server that has one document would say to the other.
fn changes_between(before: Value, after: Value) -> Vec<Change> {
    let at = Timestamp::from_millis(0);
    let mut ledger = Ledger::new("");
    let first = edits(&ledger, &Wanted::of(before, at), at);
    let (by, cause) = ("".into(), "".into());
    ledger.apply(&ledger::Change { revision: 1, at, by, cause, edits: first });
    edits(&ledger, &Wanted::of(after, at), at).iter().map(change).collect()
}

fn change(edit: &Edit) -> Change {
    let (section, id) = &edit.place;
    let plain = |entry: &ledger::Entry| without_times(&entry.value);
    let op = match storage::Op::between(edit.before.as_ref(), edit.after.as_ref()) {
        storage::Op::Add => Op::Add,
        storage::Op::Change => Op::Change,
        storage::Op::Remove => Op::Remove,
    };
    Change {
        op,
        kind: section.name().to_owned(),
        id: Some(id.as_str().to_owned()),
        before: edit.before.as_ref().map(plain),
        after: edit.after.as_ref().map(plain),
    }
}

/// A change as the server tells it.
fn told(change: &Change) -> Value {
    let Change { op, kind, id, before, after } = change;
    let op = match op {
        Op::Add => "add",
        Op::Change => "change",
        Op::Remove => "remove",
    };
    json!({"op": op, "kind": kind, "id": id, "before": before, "after": after})
}
