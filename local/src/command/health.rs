//! `splitway health`: how the nodes are that a server sends requests to.

use std::io::{self, Write};
use std::process::ExitCode;

use splitway_core::checks::Phase;
use splitway_core::checkup::{BreakerPhase, NodeHealth, UpstreamHealth};
use splitway_local::client::error::plain;
use splitway_local::client::options::ClientOptions;

use super::outcome::{AFTER_HELP as COMMON, Failure, Verdict, client, end};
use super::report::table;

/// Which server to ask, and how to write what it says.
#[derive(clap::Args)]
#[command(after_help = COMMON)]
pub(crate) struct Arguments {
    /// How the answer is written
    #[arg(long, value_enum, default_value = "text")]
    format: Format,

    #[command(flatten)]
    client: ClientOptions,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Format {
    Text,
    Json,
}

/// Prints what the server knows.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    end(health(arguments))
}

fn health(arguments: &Arguments) -> Result<Verdict, Failure> {
    let upstreams = client(&arguments.client)?.health()?;
    let mut out = anstream::stdout();
    match arguments.format {
        Format::Text => write(&mut out, &upstreams)?,
        Format::Json => {
            let told = serde_json::json!({"upstreams": upstreams});
            writeln!(out, "{told:#}")?;
        }
    }
    out.flush()?;
    Ok(Verdict::Done)
}

/// A line for each node.
fn write(out: &mut impl Write, upstreams: &[UpstreamHealth]) -> io::Result<()> {
    let head = ["upstream", "node", "status", "in flight", "breaker"].map(str::to_owned);
    let nodes = upstreams.iter().flat_map(|it| it.nodes.iter().map(move |node| (it, node)));
    let rows = nodes.map(|(upstream, node)| row(&upstream.name, node));
    let rows: Vec<[String; 5]> = std::iter::once(head).chain(rows).collect();
    table(out, &rows)
}

fn row(upstream: &str, node: &NodeHealth) -> [String; 5] {
    let breaker = node.breaker.map_or("-", |phase| match phase {
        BreakerPhase::Closed => "closed",
        BreakerPhase::Open => "open",
        BreakerPhase::HalfOpen => "half-open",
    });
    let address = format!("{}:{}", node.host, node.port);
    [
        plain(upstream),
        plain(&address),
        node.status.map_or("not checked", Phase::as_str).to_owned(),
        node.in_flight.to_string(),
        breaker.to_owned(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_has_a_line() {
        let node = |host: &str, status, breaker| NodeHealth {
            host: host.to_owned(),
            port: 80,
            status,
            counter: None,
            in_flight: 3,
            breaker,
        };
        let upstreams = [
            UpstreamHealth {
                name: "backend".to_owned(),
                protocol: None,
                nodes: vec![
                    node("a", Some(Phase::MostlyHealthy), Some(BreakerPhase::HalfOpen)),
                    node("[::1]", Some(Phase::Unhealthy), None),
                ],
            },
            UpstreamHealth {
                name: "r/v\u{1b}".to_owned(),
                protocol: None,
                nodes: vec![node("b", None, None)],
            },
        ];
        let mut out = Vec::new();
        write(&mut out, &upstreams).expect("it takes all");
        let expected = [
            "upstream   node      status          in flight  breaker",
            "backend    a:80      mostly_healthy  3          half-open",
            "backend    [::1]:80  unhealthy       3          -",
            "r/v\\u{1b}  b:80      not checked     3          -",
        ];
        assert_eq!(String::from_utf8_lossy(&out).lines().collect::<Vec<_>>(), expected);
    }
}
