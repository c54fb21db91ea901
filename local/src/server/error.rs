//! Why a server did not start.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use opentelemetry_otlp::ExporterBuildError;
use splitway_core::seal::SECRET_MIN;

use crate::connect::TrustError;
use crate::database::DatabaseError;
use crate::document::Defect;
use crate::file::FileError;
use crate::fleet::{FleetError, StoreAddress};
use crate::key::KeyError;
use crate::listen::tls::CertificateError;

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {source}; name another address with {option}")]
    Listen {
        /// The option that names the address.
        option: &'static str,
        /// The address.
        address: SocketAddr,
        /// What hinders.
        source: io::Error,
    },
    /// TLS cannot be spoken with clients.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The file of `--config` cannot be served by.
    #[error("{}: {source}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What hinders.
        source: FileError,
    },
    /// A document given by a program cannot be served by.
    #[error(transparent)]
    Document(#[from] Defect),
    /// What cookies and tokens are to be signed with could be guessed.
    #[error(
        "SPLITWAY_SECRET has less than {SECRET_MIN} bytes; make one with `openssl rand -hex 32`"
    )]
    ShortSecret,
    /// The data directory cannot be made.
    #[error("the data directory {} cannot be made: {source}", path.display())]
    DataDir {
        /// The directory.
        path: PathBuf,
        /// What hinders.
        source: io::Error,
    },
    /// The ledger cannot be opened.
    #[error("the database {} cannot be used: {source}", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// What hinders.
        source: DatabaseError,
    },
    /// The server cannot be one of the fleet.
    #[error("{store}: {source}")]
    Fleet {
        /// The address of the fleet's etcd.
        store: StoreAddress,
        /// What hinders.
        source: FleetError,
    },
    /// The access log cannot be written.
    #[error("the access log cannot be written: {0}; name another file with --access-log")]
    AccessLog(#[source] io::Error),
    /// Traces cannot be sent.
    #[error("traces cannot be sent: {0}")]
    Traces(#[from] ExporterBuildError),
    /// The Redis of shared limits cannot be used, whether it is there or not.
    #[error("--redis: {0}")]
    Redis(#[from] redis::RedisError),
    /// There is no key for the Admin API.
    #[error("the admin key: {0}")]
    Key(#[from] KeyError),
    /// Certificates of upstreams could not be verified.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The system does not give what a server needs: threads, timers, signals.
    #[error("the system does not let it start: {0}")]
    System(#[source] io::Error),
}
