//! A fleet: several servers on one ledger, which an etcd keeps for all of them. What is said about
//! it on the command line, and why a server cannot be one of it.

mod address;

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use splitway_core::snapshot::Revision;
use splitway_core::storage::StorageError;

pub use address::{NotAnAddress, StoreAddress};

/// Where the ledger of a fleet is, and what opens it. It has no `Debug`, which would print the
/// password.
#[derive(Clone, Default, clap::Args)]
#[command(next_help_heading = "A fleet on etcd")]
pub struct StoreOptions {
    /// Keep what the Admin API writes in an etcd, for all servers that name the same one; etcds://
    /// for TLS [default prefix: /splitway]
    #[arg(
        id = "store",
        long = "store",
        env = "SPLITWAY_STORE",
        value_name = "etcd://HOST[:PORT],...[/PREFIX]",
        conflicts_with = "config"
    )]
    pub address: Option<StoreAddress>,

    /// Trust this certificate authority (PEM) of etcd in place of the system's
    #[arg(
        id = "store_ca",
        long = "store-ca",
        env = "SPLITWAY_STORE_CA",
        value_name = "FILE",
        requires = "store"
    )]
    pub ca: Option<PathBuf>,

    /// Show etcd this certificate (PEM)
    #[arg(
        id = "store_cert", long = "store-cert",
        env = "SPLITWAY_STORE_CERT",
        value_name = "FILE",
        requires_all = ["store", "store_key"]
    )]
    pub certificate: Option<PathBuf>,

    /// The private key (PEM) of that certificate
    #[arg(
        id = "store_key",
        long = "store-key",
        env = "SPLITWAY_STORE_KEY",
        value_name = "FILE",
        requires = "store_cert"
    )]
    pub private_key: Option<PathBuf>,

    /// Be this user of etcd, with the password in SPLITWAY_STORE_PASSWORD
    #[arg(
        id = "store_user",
        long = "store-user",
        env = "SPLITWAY_STORE_USER",
        value_name = "NAME",
        requires = "store"
    )]
    pub user: Option<String>,

    /// Wait so many seconds for etcd before a write is refused [default: 5]
    #[arg(
        id = "store_timeout",
        long = "store-timeout",
        env = "SPLITWAY_STORE_TIMEOUT",
        value_name = "SECONDS"
    )]
    pub timeout_secs: Option<NonZeroU32>,

    /// The password of the user. It is no flag: a command line is there for everybody to read.
    #[arg(skip)]
    pub password: Option<String>,
}

impl StoreOptions {
    /// How long one request to etcd may take.
    pub fn timeout(&self) -> Duration {
        self.timeout_secs
            .map_or(Duration::from_secs(5), |secs| Duration::from_secs(u64::from(secs.get())))
    }
}

/// What a server of a fleet serves by when it has started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Footing {
    /// The ledger, which it has read.
    Ledger,
    /// The last good configuration on disk, of this revision, because the ledger cannot be read; why.
    LastGood(Revision, String),
    /// Nothing, because there is none of both; why the ledger cannot be read.
    Nothing(String),
}

/// Why a server cannot be one of a fleet.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// This program has no client of etcd.
    #[error("this splitway was built without etcd; build it with `--features etcd`")]
    NotBuilt,
    /// A user needs a password, and a password a user.
    #[error("--store-user and SPLITWAY_STORE_PASSWORD go together, and one of them is missing")]
    HalfAUser,
    /// Certificates are for TLS only.
    #[error("--store-ca and --store-cert are for TLS: begin the address with etcds://")]
    NoTls,
    /// A file of TLS cannot be read.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What hinders.
        source: std::io::Error,
    },
    /// etcd answers, and does not let this server in.
    #[error("etcd does not let it in: {0}")]
    Denied(String),
    /// The client cannot be set up, or etcd does not understand it.
    #[error("etcd cannot be used: {0}")]
    Refused(String),
    /// The system does not give what the client needs.
    #[error("the system does not let it start: {0}")]
    System(#[source] std::io::Error),
    /// What etcd holds is not what this Splitway can read.
    #[error(transparent)]
    Storage(StorageError),
}
