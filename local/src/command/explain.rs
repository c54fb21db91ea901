//! `splitway explain`: what would become of a request, by a document or by a server.

use std::io::Write;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::{Value, json};
use splitway_core::explain::{CLIENT, Question};
use splitway_core::fault::Report;
use splitway_core::time::Timestamp;
use splitway_local::client::options::ClientOptions;

use super::explanation;
use super::moment::{moment_or_now, now};
use super::outcome::{Failure, Verdict, client, compiled, end, judged, one_input, text};
use super::secret::secret;

/// What the environment alone can say, and what the exit codes mean.
pub(crate) const AFTER_HELP: &str = "\
Nothing is sent, and no turn is taken: shares stay as they are. Every process walks a split by
itself, so by turns what is explained is the first step of a walk.

A body without a content-type is said to be application/json where it is an object or a list of
JSON, else application/x-www-form-urlencoded.

Environment:
  SPLITWAY_SECRET     With --config, what cookies and tokens are checked with; a server uses its own
  SPLITWAY_ADMIN_KEY  The server's key, a viewer's is enough [default, where the server is on this
                      machine: the key in ./splitway-data/admin.key]

Exit codes:
  0  the request would be sent
  1  it would be answered with a problem
  2  an error";

/// Which request, and who is asked.
#[derive(clap::Args)]
#[command(override_usage = "splitway explain [OPTIONS] [METHOD] URL")]
pub(crate) struct Arguments {
    /// A method, GET if left out, or POST with a body; and an absolute URL, or a path
    #[arg(value_name = "[METHOD] URL", num_args = 1..=2, required = true)]
    request: Vec<String>,

    /// Explain by this document, YAML or JSON; `-` is standard input. Without it a server is asked
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// A header of the request; may be given several times. `Host` goes before the URL's
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<(String, String)>,

    /// The body of the request, or `@` and a file to read it from as it is
    #[arg(short, long, value_name = "BODY|@FILE", allow_hyphen_values = true)]
    data: Option<String>,

    /// When it comes, by RFC 3339 or in seconds since 1970: the times of tokens depend on it
    #[arg(long, value_name = "TIME", default_value = "now", value_parser = moment_or_now)]
    at: Timestamp,

    /// The address that it comes from
    #[arg(long, value_name = "ADDRESS", default_value_t = CLIENT)]
    client: IpAddr,

    /// The country that it comes from, as Cloudflare tells it: `cf_country`
    #[arg(long, value_name = "COUNTRY")]
    country: Option<String>,

    /// The data centre that takes it, as Cloudflare tells it: `cf_colo`
    #[arg(long, value_name = "COLO")]
    colo: Option<String>,

    /// The number of the network that it comes from, as Cloudflare tells it: `cf_asn`
    #[arg(long, value_name = "NUMBER")]
    asn: Option<String>,

    /// How the answer is written
    #[arg(long, value_enum, default_value = "text")]
    format: Format,

    #[command(flatten)]
    server: ClientOptions,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Format {
    Text,
    Json,
}

/// Why a text is not a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a name, `:` and a value")]
struct NotAHeader;

fn header(text: &str) -> Result<(String, String), NotAHeader> {
    let (name, value) = text.split_once(':').ok_or(NotAHeader)?;
    Ok((name.to_owned(), value.trim().to_owned()))
}

/// Explains.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    end(explain(arguments))
}

fn explain(arguments: &Arguments) -> Result<Verdict, Failure> {
    one_input([arguments.config.as_deref(), arguments.data_file()])?;
    let value = arguments.question()?;
    let mut report = Report::default();
    let question = Question::read(&value, &mut report);
    let Some(question) = question else {
        let (subject, faults) = ("the request".to_owned(), report.faults);
        return Err(Failure::Faulty { subject, faults, is_route: false });
    };
    let told = match &arguments.config {
        Some(path) => {
            let secret = secret()?;
            question.explain(&compiled(path)?.snapshot, secret.as_ref(), now())
        }
        None => {
            let subject = format!("the configuration of {}", arguments.server.server);
            let told = client(&arguments.server)?.explain(&value);
            told.map_err(|error| judged(error, &subject, false))?
        }
    };
    let mut out = anstream::stdout();
    match arguments.format {
        Format::Text => explanation::tell(&mut out, &told)?,
        Format::Json => {
            let json = serde_json::to_string_pretty(&told).map_err(std::io::Error::from)?;
            writeln!(out, "{json}")?;
        }
    }
    out.flush()?;
    Ok(if told.problem.is_some() { Verdict::Refused } else { Verdict::Done })
}

impl Arguments {
    /// The file of the body, if it is in one.
    fn data_file(&self) -> Option<&Path> {
        self.data.as_deref()?.strip_prefix('@').map(Path::new)
    }

    /// The request as the API takes it.
    fn question(&self) -> Result<Value, Failure> {
        let (method, url) = match self.request.as_slice() {
            [method, url, ..] => (Some(method), url.as_str()),
            [url] => (None, url.as_str()),
            [] => (None, ""),
        };
        let body = match self.data_file() {
            Some(path) => Some(text(path)?),
            None => self.data.clone(),
        };
        let mut headers = self.headers.clone();
        let is_said = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        if let Some(body) = body.as_deref().filter(|body| !body.is_empty() && !is_said) {
            headers.push(("content-type".to_owned(), kind_of(body).to_owned()));
        }
        let mut question = json!({
            "url": url,
            "headers": headers,
            "client": self.client.to_string(),
            "at": self.at.to_string(),
        });
        let said = [
            ("method", method.cloned()),
            ("body", body),
            ("country", self.country.clone()),
            ("colo", self.colo.clone()),
            ("asn", self.asn.clone()),
        ];
        for (key, value) in said {
            if let (Some(members), Some(value)) = (question.as_object_mut(), value) {
                members.insert(key.to_owned(), value.into());
            }
        }
        Ok(question)
    }
}

fn kind_of(body: &str) -> &'static str {
    let json: Result<Value, _> = serde_json::from_str(body);
    match json.is_ok_and(|json| json.is_object() || json.is_array()) {
        true => "application/json",
        false => "application/x-www-form-urlencoded",
    }
}
