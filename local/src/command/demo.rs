//! `splitway demo`: the guide's 50/50 split at work, in one process.

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU64;
use std::process::ExitCode;

use serde_json::json;
use splitway_local::{ServeOptions, Server, StartError};
use tokio::net::TcpListener;

use super::load::{self, LoadError, Tally};
use super::{Requests, origin, report};

/// What to show.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Exit after the requests; with 1 if the split is not exactly as configured
    #[arg(long)]
    once: bool,

    /// How many requests to send
    #[arg(long, value_name = "N", default_value = "100")]
    requests: NonZeroU64,

    /// Take traffic at this address [default: 127.0.0.1:9080; with --once a free port]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
}

/// The branches of the split.
const BRANCHES: [&str; 2] = ["v1", "v2"];

/// Why there is nothing to show.
#[derive(Debug, thiserror::Error)]
enum DemoError {
    #[error("the demo broke off: {0}")]
    System(#[from] io::Error),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Load(#[from] LoadError),
}

/// Shows the split. Without `--once` it goes on serving until somebody asks it to end.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    let shown = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(DemoError::System)
        .and_then(|runtime| runtime.block_on(show(arguments)));
    match shown {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let mut out = anstream::stderr();
            // Without standard error there is only the exit code to tell it.
            let _ = match &error {
                DemoError::Start(failure) => report::start_error(&mut out, failure),
                DemoError::System(_) | DemoError::Load(_) => {
                    report::error(&mut out, &error.to_string())
                }
            };
            ExitCode::FAILURE
        }
    }
}

/// Whether the split is exact.
async fn show(arguments: &Arguments) -> Result<bool, DemoError> {
    let upstream = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let document = document(upstream.local_addr()?);
    tokio::spawn(origin::serve(upstream));
    let usual = ServeOptions::default();
    let default_port = if arguments.once { 0 } else { usual.listen.port() };
    let default = SocketAddr::new(usual.listen.ip(), default_port);
    let listen = arguments.listen.unwrap_or(default);
    let server = Server::start_with(&document, ServeOptions { listen, ..usual })?;
    let url = format!("http://{}/chat/completions", server.listen_addr());
    let tally = load::send(&url, arguments.requests.get()).await?;
    let mut out = anstream::stdout();
    tell(&mut out, &url, &tally)?;
    if !arguments.once {
        invite(&mut out, &url)?;
        Requests::new()?.next().await;
    }
    server.stop();
    Ok(tally.is_even(BRANCHES))
}

/// The guide's route in the rule form, with an origin of our own and the branches named.
fn document(origin: SocketAddr) -> String {
    let upstream = json!({
        "type": "roundrobin",
        "nodes": {origin.to_string(): 1},
        "scheme": "http",
        "pass_host": "node",
    });
    let branch = |name: &str, uri: &str| json!({"name": name, "weight": 50, "upstream": upstream, "rewrite": {"uri": uri}});
    let [v1, v2] = BRANCHES;
    let rules = [branch(v1, origin::V1), branch(v2, origin::V2)];
    let route = json!({
        "id": "demo",
        "uri": "/chat/completions",
        "upstream": upstream,
        "plugins": {"traffic-split": {"rules": rules}},
    });
    json!({"routes": [route]}).to_string()
}

fn tell(out: &mut impl Write, url: &str, tally: &Tally) -> io::Result<()> {
    let total = tally.requests_count();
    writeln!(out, "{total} chats to {url}, answered by two versions of one API:\n")?;
    writeln!(
        out,
        "  {:<8}{:>9}{:>9}{:>9}{:>9}",
        "branch", "requests", "share", "p50 ms", "p99 ms"
    )?;
    for (branch, durations) in tally.branches() {
        let count = durations.count();
        #[expect(clippy::cast_precision_loss, reason = "a share is printed to one decimal")]
        let share = 100.0 * count as f64 / total as f64;
        let (p50, p99) = (durations.quantile_ms(50), durations.quantile_ms(99));
        writeln!(out, "  {branch:<8}{count:>9}{share:>7.1} %{p50:>9.2}{p99:>9.2}")?;
    }
    let verdict = match tally.is_even(BRANCHES) {
        true => "The split is exactly 50/50, as configured.",
        false => "The split is not 50/50, as it was configured.",
    };
    writeln!(out, "\n{verdict}")
}

/// What to do with a demo that goes on serving.
fn invite(out: &mut impl Write, url: &str) -> io::Result<()> {
    let chat = |extra: &str| {
        format!(
            "-H 'Content-Type: application/json' \\\n    -d '{{\"model\":\"gpt-4\",{extra}\"messages\":[{{\"role\":\"user\",\"content\":\"ping\"}}]}}'"
        )
    };
    writeln!(out, "\nAsk yourself, and see in x-splitway-branch who answered:\n")?;
    writeln!(out, "  curl -i {url} \\\n    {}\n", chat(""))?;
    writeln!(out, "And as a stream:\n")?;
    writeln!(out, "  curl -iN {url} \\\n    {}\n", chat("\"stream\":true,"))?;
    writeln!(out, "Ctrl-C ends the demo.")?;
    out.flush()
}
