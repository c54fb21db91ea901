//! Which requests are told of, and where.

use std::path::PathBuf;
use std::time::Duration;

use splitway_core::telemetry::{NotAShare, Share};

use crate::listen::options::time;

/// What is told of requests.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Access log and traces")]
pub struct AccessOptions {
    /// Log requests, one JSON line each: `-` to standard output, a file (opened again at SIGHUP), or with
    /// no value to standard error; `off` logs there only those that Splitway answers by itself
    #[arg(
        long,
        env = "SPLITWAY_ACCESS_LOG",
        value_name = "off|-|FILE",
        num_args = 0..=1,
        default_value = "off",
        default_missing_value = "stderr",
        value_parser = place
    )]
    pub access_log: AccessPlace,

    /// Log this share of requests, and all that are slow, fail, or are answered by Splitway itself
    #[arg(
        long,
        env = "SPLITWAY_ACCESS_LOG_SAMPLE",
        value_name = "0..1",
        default_value_t = Share::WHOLE,
        value_parser = share
    )]
    pub access_log_sample: Share,

    /// How long it takes to the head of an answer that is slow; 0 calls none slow
    #[arg(
        long,
        env = "SPLITWAY_ACCESS_LOG_SLOW",
        value_name = "TIME",
        default_value = "1s",
        value_parser = time
    )]
    pub access_log_slow: Duration,

    /// Send traces to this OpenTelemetry collector (OTLP over HTTP), such as http://127.0.0.1:4318
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL", value_parser = collector)]
    pub otlp: Option<http::Uri>,

    /// Trace this share of the requests of which clients do not say whether they are traced
    #[arg(
        long,
        env = "SPLITWAY_TRACE_SAMPLE",
        value_name = "0..1",
        default_value_t = Share::WHOLE,
        value_parser = share
    )]
    pub trace_sample: Share,
}

/// Where there is a line for requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessPlace {
    /// Nowhere but for remarkable ones, which are told of on standard error.
    Off,
    /// On standard error, among the other events.
    Stderr,
    /// On standard output.
    Stdout,
    /// At the end of a file.
    File(PathBuf),
}

const SLOW: Duration = Duration::from_secs(1);

impl Default for AccessOptions {
    fn default() -> Self {
        Self {
            access_log: AccessPlace::Off,
            access_log_sample: Share::WHOLE,
            access_log_slow: SLOW,
            otlp: None,
            trace_sample: Share::WHOLE,
        }
    }
}

/// Why a text is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected off, - (standard output), stderr or a file")]
struct NotAPlace;

/// What said whether there is a log on standard error, before there were other places, still does.
fn place(text: &str) -> Result<AccessPlace, NotAPlace> {
    Ok(match text.to_ascii_lowercase().as_str() {
        "" => return Err(NotAPlace),
        "off" | "false" | "f" | "no" | "n" | "0" => AccessPlace::Off,
        "stderr" | "on" | "true" | "t" | "yes" | "y" | "1" => AccessPlace::Stderr,
        "-" | "stdout" => AccessPlace::Stdout,
        _ => AccessPlace::File(PathBuf::from(text)),
    })
}

fn share(text: &str) -> Result<Share, NotAShare> {
    text.parse()
}

/// Why a text is no collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected http:// or https:// and a host, such as http://127.0.0.1:4318")]
struct NotACollector;

fn collector(text: &str) -> Result<http::Uri, NotACollector> {
    let uri: http::Uri = text.parse().map_err(|_| NotACollector)?;
    let is_http = matches!(uri.scheme_str(), Some("http" | "https")) && uri.query().is_none();
    if is_http { Ok(uri) } else { Err(NotACollector) }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: AccessOptions,
        #[arg(long)]
        other: bool,
    }

    fn said(line: &[&str]) -> AccessOptions {
        Line::parse_from([&["splitway"], line].concat()).options
    }

    #[test]
    fn nothing_said_is_the_default() {
        assert_eq!(format!("{:?}", said(&[])), format!("{:?}", AccessOptions::default()));
    }

    #[test]
    fn a_log_has_a_place_and_the_old_words_mean_what_they_did() {
        let file = AccessPlace::File(PathBuf::from("/var/log/a.log"));
        for (line, expected) in [
            (&["--access-log"][..], AccessPlace::Stderr),
            (&["--access-log", "--other"], AccessPlace::Stderr),
            (&["--access-log=true"], AccessPlace::Stderr),
            (&["--access-log", "false"], AccessPlace::Off),
            (&["--access-log", "off"], AccessPlace::Off),
            (&["--access-log", "-"], AccessPlace::Stdout),
            (&["--access-log", "/var/log/a.log", "--other"], file),
        ] {
            assert_eq!(said(line).access_log, expected, "{line:?}");
        }
    }

    #[test]
    fn a_collector_is_the_base_of_an_url() {
        for text in ["http://127.0.0.1:4318", "https://otlp.example.com/tenant", "http://[::1]:1/"]
        {
            assert!(collector(text).is_ok(), "{text}");
        }
        for text in ["", "127.0.0.1:4318", "grpc://a:4317", "http://a/?b", "http://"] {
            assert!(collector(text).is_err(), "{text}");
        }
    }
}
