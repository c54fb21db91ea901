//! Which server the commands talk to, and how.

use std::ffi::OsString;
use std::num::NonZeroU64;
use std::path::PathBuf;

use super::base::Base;
use crate::resolve::Override;

/// Where `splitway serve` keeps its key, if it is not told otherwise.
pub(crate) const DATA_DIR: &str = "splitway-data";

/// Which server to talk to. It has no `Debug`, which would print the key.
#[derive(Clone, clap::Args)]
#[command(next_help_heading = "Server")]
pub struct ClientOptions {
    /// Talk to the server whose API lies below this URL, at the edge or local
    #[arg(
        long,
        global = true,
        env = "SPLITWAY_SERVER",
        value_name = "URL",
        default_value = "http://127.0.0.1:9180"
    )]
    pub server: Base,

    /// Read the key from this file; it goes before SPLITWAY_ADMIN_KEY
    #[arg(long, global = true, value_name = "FILE")]
    pub key_file: Option<PathBuf>,

    /// Connect to this address for that host and port, as curl's --resolve; IPv6 in brackets
    #[arg(
        long,
        global = true,
        env = "SPLITWAY_RESOLVE",
        value_name = "HOST:PORT:ADDR[:PORT]",
        value_delimiter = ','
    )]
    pub resolve: Vec<Override>,

    /// Trust these certificate authorities (PEM) beside the system's
    #[arg(long, global = true, env = "SPLITWAY_CA", value_name = "FILE")]
    pub ca: Option<PathBuf>,

    /// Give up on a request after so long, and on a connection after 5 s
    #[arg(
        long,
        global = true,
        env = "SPLITWAY_TIMEOUT",
        value_name = "SECONDS",
        default_value = "60"
    )]
    pub timeout: NonZeroU64,

    /// Send the key over http to another machine, readable for everybody on the way
    #[arg(long, global = true)]
    pub allow_plain_http: bool,

    /// The key in the environment, which `--key-file` goes before. It is no flag: a command line is
    /// there for everybody to read.
    #[arg(skip)]
    pub admin_key: Option<OsString>,
}
