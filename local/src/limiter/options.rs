//! What is said of the store of shared limits on the command line.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use redis::io::tcp::TcpSettings;
use redis::{Client, ConnectionInfo, IntoConnectionInfo, RedisError};

use crate::listen::options::time;

/// How long Redis may take, where nothing is said.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Where limits are counted that are shared.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Shared limits")]
pub struct LimiterOptions {
    /// Count limits of the policy `shared` in this Redis, for all servers that name the same one;
    /// rediss:// for TLS. A password is better given in the environment
    #[arg(
        long,
        env = "SPLITWAY_REDIS",
        value_name = "redis://[[USER]:PASSWORD@]HOST[:PORT][/DB]",
        hide_env_values = true
    )]
    pub redis: Option<RedisAddress>,

    /// How long Redis may take before it counts as away; from 1ms to 4s
    #[arg(
        long,
        env = "SPLITWAY_REDIS_TIMEOUT",
        value_name = "TIME",
        default_value = "1s",
        value_parser = timeout
    )]
    pub redis_timeout: Duration,
}

impl Default for LimiterOptions {
    fn default() -> Self {
        Self { redis: None, redis_timeout: TIMEOUT }
    }
}

/// Why a text is not a time that Redis may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a time from 1ms to 4s, such as 250ms")]
struct NotATimeout;

/// A time that ends before a request gives up waiting, so that it is noticed here who was too slow.
fn timeout(text: &str) -> Result<Duration, NotATimeout> {
    let is_fit = |time: &Duration| !time.is_zero() && *time <= Duration::from_secs(4);
    time(text).ok().filter(is_fit).ok_or(NotATimeout)
}

/// The address of a Redis, and what opens it.
#[derive(Clone)]
pub struct RedisAddress(ConnectionInfo);

impl RedisAddress {
    /// What connects to it.
    pub(super) fn client(&self) -> Result<Client, RedisError> {
        Client::open(self.0.clone())
    }
}

impl FromStr for RedisAddress {
    type Err = RedisError;

    fn from_str(text: &str) -> Result<Self, RedisError> {
        let info = text.into_connection_info()?;
        Ok(Self(info.set_tcp_settings(TcpSettings::default().set_nodelay(true))))
    }
}

/// Without what opens it.
impl fmt::Display for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.0.addr(), f)
    }
}

impl fmt::Debug for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: LimiterOptions,
    }

    #[test]
    fn addresses_are_urls_and_passwords_are_not_printed() {
        for (text, expected) in [
            ("redis://127.0.0.1", Some("127.0.0.1:6379")),
            ("redis://r.example:7000/2", Some("r.example:7000")),
            ("rediss://user:secret@r.example:7000", Some("r.example:7000")),
            ("redis://:secret@[::1]:7000/0", Some("::1:7000")),
            ("http://r.example", None),
            ("r.example:6379", None),
            ("redis://r.example/db", None),
            ("", None),
        ] {
            let read = text.parse::<RedisAddress>().ok();
            assert_eq!(read.as_ref().map(ToString::to_string).as_deref(), expected, "{text}");
            assert!(!format!("{read:?}").contains("secret"), "{text}");
        }
    }

    #[test]
    fn nothing_said_is_the_default() {
        let line = Line::parse_from(["splitway"]);
        assert_eq!(format!("{:?}", line.options), format!("{:?}", LimiterOptions::default()));
        let line = Line::parse_from(["splitway", "--redis-timeout", "250ms"]);
        assert_eq!(line.options.redis_timeout, Duration::from_millis(250));
        assert_eq!(["0", "5s", "x"].map(timeout), [Err(NotATimeout); 3]);
    }
}
