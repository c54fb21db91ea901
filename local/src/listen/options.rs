//! What a listener is told of clients: how it speaks TLS, and how much of anything it takes of them.
//! Everything has a bound, or is off.

use std::path::PathBuf;
use std::time::Duration;

/// How clients are served. Of what is counted, 0 is without a limit; of a time, 0 is for ever.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Clients")]
pub struct ListenOptions {
    /// Speak TLS with clients, by this chain of certificates (PEM); read again when it changes, and
    /// at SIGHUP
    #[arg(long, env = "SPLITWAY_TLS_CERT", value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,

    /// The private key (PEM) of --tls-cert
    #[arg(long, env = "SPLITWAY_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,

    /// How long a TLS handshake may take
    #[arg(
        long,
        env = "SPLITWAY_TLS_TIMEOUT",
        value_name = "TIME",
        default_value = "10s",
        value_parser = time
    )]
    pub tls_timeout: Duration,

    /// The most bytes of the head of a request; more are answered 431
    #[arg(
        long,
        env = "SPLITWAY_MAX_HEADER_BYTES",
        value_name = "N",
        default_value_t = MAX_HEADER_BYTES,
        value_parser = clap::value_parser!(u32).range(1024..=262_144)
    )]
    pub max_header_bytes: u32,

    /// The most header lines of a request; more are answered 431. From 101 on each request costs an
    /// allocation more
    #[arg(
        long,
        env = "SPLITWAY_MAX_HEADERS",
        value_name = "N",
        default_value_t = MAX_HEADERS,
        value_parser = clap::value_parser!(u32).range(1..=10_000)
    )]
    pub max_headers: u32,

    /// The most bytes of the path and query of a request; more are answered 414
    #[arg(
        long,
        env = "SPLITWAY_MAX_URI",
        value_name = "N",
        default_value_t = MAX_URI,
        value_parser = clap::value_parser!(u32).range(1..=65_534)
    )]
    pub max_uri: u32,

    /// The most connections of clients, shared out evenly among the threads; more wait unaccepted
    #[arg(
        long,
        env = "SPLITWAY_MAX_CONNECTIONS",
        value_name = "N",
        default_value_t = MAX_CONNECTIONS
    )]
    pub max_connections: u32,

    /// The most requests under way, shared out evenly among the threads; more wait
    #[arg(long, env = "SPLITWAY_MAX_REQUESTS", value_name = "N", default_value_t = 0)]
    pub max_requests: u32,

    /// How long a request beyond --max-requests waits before it is answered 503
    #[arg(
        long,
        env = "SPLITWAY_MAX_WAIT",
        value_name = "TIME",
        default_value = "1s",
        value_parser = time
    )]
    pub max_wait: Duration,

    /// The most requests at once on a connection of HTTP/2
    #[arg(
        long,
        env = "SPLITWAY_MAX_STREAMS",
        value_name = "N",
        default_value_t = MAX_STREAMS,
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    pub max_streams: u32,

    /// How long the head of a request may take to arrive; then 408
    #[arg(
        long,
        env = "SPLITWAY_HEADER_TIMEOUT",
        value_name = "TIME",
        default_value = "30s",
        value_parser = time
    )]
    pub header_timeout: Duration,

    /// How long nothing may come of the body of a request; then 408
    #[arg(
        long,
        env = "SPLITWAY_BODY_TIMEOUT",
        value_name = "TIME",
        default_value = "60s",
        value_parser = time
    )]
    pub body_timeout: Duration,

    /// How long a connection may wait for its next request
    #[arg(
        long,
        env = "SPLITWAY_IDLE_TIMEOUT",
        value_name = "TIME",
        default_value = "75s",
        value_parser = time
    )]
    pub idle_timeout: Duration,

    /// How long requests may take to finish after the first Ctrl-C or SIGTERM
    #[arg(
        long,
        env = "SPLITWAY_DRAIN_TIME",
        value_name = "TIME",
        default_value = "30s",
        value_parser = time
    )]
    pub drain_time: Duration,

    /// Share the ports with other processes, so that one can take over from another that ends; both
    /// are to be told
    #[arg(
        long,
        env = "SPLITWAY_REUSE_PORT",
        value_parser = clap::builder::BoolishValueParser::new()
    )]
    pub reuse_port: bool,
}

const MAX_HEADER_BYTES: u32 = 64 * 1024;
const MAX_HEADERS: u32 = 100;
const MAX_URI: u32 = 16 * 1024;
const MAX_CONNECTIONS: u32 = 10_000;
const MAX_STREAMS: u32 = 128;

impl Default for ListenOptions {
    /// What an empty command line in an empty environment means.
    fn default() -> Self {
        Self {
            tls_cert: None,
            tls_key: None,
            tls_timeout: Duration::from_secs(10),
            max_header_bytes: MAX_HEADER_BYTES,
            max_headers: MAX_HEADERS,
            max_uri: MAX_URI,
            max_connections: MAX_CONNECTIONS,
            max_requests: 0,
            max_wait: Duration::from_secs(1),
            max_streams: MAX_STREAMS,
            header_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(75),
            drain_time: Duration::from_secs(30),
            reuse_port: false,
        }
    }
}

/// Why a text is not a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a time of up to {TIME_MAX_SECS} s, such as 500ms, 30s, 30 or 5m")]
pub(crate) struct NotATime;

/// A time is at most 30 days: what is meant to be longer is meant to be 0.
const TIME_MAX_SECS: u64 = 30 * 86_400;

/// A number with a unit; seconds without one.
pub(crate) fn time(text: &str) -> Result<Duration, NotATime> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| NotATime)?;
    let millis = match unit {
        "ms" => 1,
        "" | "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(NotATime),
    };
    let time = number.checked_mul(millis).map(Duration::from_millis).ok_or(NotATime)?;
    if time > Duration::from_secs(TIME_MAX_SECS) { Err(NotATime) } else { Ok(time) }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: ListenOptions,
    }

    #[test]
    fn times_have_units() {
        for (text, expected) in [
            ("0", Some(0)),
            ("30", Some(30_000)),
            ("30s", Some(30_000)),
            ("250ms", Some(250)),
            ("2m", Some(120_000)),
            ("1h", Some(3_600_000)),
            ("720h", Some(2_592_000_000)),
            ("721h", None),
            ("", None),
            ("s", None),
            ("-1s", None),
            ("1.5s", None),
            ("1 s", None),
            ("99999999999999999999", None),
            ("18446744073709551615h", None),
        ] {
            assert_eq!(time(text).ok(), expected.map(Duration::from_millis), "{text}");
        }
    }

    #[test]
    fn nothing_said_is_the_default() {
        let line = Line::parse_from(["splitway"]);
        assert_eq!(format!("{:?}", line.options), format!("{:?}", ListenOptions::default()));
    }

    #[test]
    fn a_certificate_needs_its_key() {
        for arguments in [["splitway", "--tls-cert", "x"], ["splitway", "--tls-key", "x"]] {
            assert!(Line::try_parse_from(arguments).is_err(), "{arguments:?}");
        }
    }
}
