//! The client of etcd: made when it is first needed, and kept.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use etcd_client::{Certificate, Client, ConnectOptions, Error, Identity, KvClient, TlsOptions};

use crate::fleet::{FleetError, StoreOptions};

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(2);

/// How often a quiet connection is tried. etcd takes more than one try in 5 s for an attack.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// How long such a try may take before the connection is given up.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// The largest answer that is taken, in bytes; what is asked for at once is far smaller.
const ANSWER_MAX: usize = 64 * 1024 * 1024;

/// What speaks to etcd, once etcd knows who we are.
#[derive(Clone)]
pub(super) struct Clients {
    pub(super) all: Client,
    /// The same, for larger answers.
    pub(super) kv: KvClient,
}

/// Where etcd is, and what opens it. One of its members is spoken to at a time, and the next one when
/// that fails: to leave it to the client would send every other request to a member that is dead.
pub(crate) struct Door {
    endpoints: Vec<String>,
    options: ConnectOptions,
    current: Mutex<Current>,
}

/// The member that is spoken to.
#[derive(Default)]
struct Current {
    /// How often another one was taken.
    turn: usize,
    clients: Option<Clients>,
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The options have the password.
        f.debug_struct("Door").field("endpoints", &self.endpoints).finish_non_exhaustive()
    }
}

impl Door {
    /// What the command line says; reads the files that it names.
    pub(crate) fn new(store: &StoreOptions) -> Result<Self, FleetError> {
        let address = store.address.as_ref();
        let endpoints = address.map(|address| address.endpoints()).unwrap_or_default();
        let is_tls = address.is_some_and(|address| address.is_tls());
        let mut options = ConnectOptions::new()
            .with_connect_timeout(CONNECT)
            .with_keep_alive(KEEP_ALIVE, KEEP_ALIVE_TIMEOUT)
            .with_keep_alive_while_idle(true)
            // A member that lost the others says so, and does not keep a watch open in silence.
            .with_require_leader(true)
            .with_auto_token_refresh(true);
        options = match (&store.user, &store.password) {
            (Some(user), Some(password)) => options.with_user(user, password),
            (None, None) => options,
            (Some(_), None) | (None, Some(_)) => return Err(FleetError::HalfAUser),
        };
        if is_tls {
            options = options.with_tls(tls(store)?);
        } else if store.ca.is_some() || store.certificate.is_some() {
            return Err(FleetError::NoTls);
        }
        Ok(Self { endpoints, options, current: Mutex::default() })
    }

    /// How many members there are.
    pub(super) fn members_count(&self) -> usize {
        self.endpoints.len()
    }

    /// Which turn it is.
    pub(super) fn turn(&self) -> usize {
        self.current().turn
    }

    /// Takes the next member, unless somebody else did since that turn.
    pub(super) fn turn_from(&self, turn: usize) {
        let mut current = self.current();
        if current.turn == turn {
            *current = Current { turn: turn.wrapping_add(1), clients: None };
        }
    }

    /// What speaks to the member of a turn. With a user, etcd is asked for a token here; without one
    /// nothing is sent.
    pub(super) async fn clients(&self, turn: usize) -> Result<Clients, Error> {
        let kept = Some(self.current()).filter(|current| current.turn == turn);
        if let Some(clients) = kept.and_then(|current| current.clients.clone()) {
            return Ok(clients);
        }
        let member = turn.checked_rem(self.endpoints.len()).and_then(|at| self.endpoints.get(at));
        let member: Vec<&String> = member.into_iter().collect();
        let all = Client::connect(member, Some(self.options.clone())).await?;
        let kv = all.kv_client().max_decoding_message_size(ANSWER_MAX);
        let clients = Clients { all, kv };
        let mut current = self.current();
        if current.turn == turn {
            current.clients = Some(clients.clone());
        }
        Ok(clients)
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tls(store: &StoreOptions) -> Result<TlsOptions, FleetError> {
    let mut tls = TlsOptions::new();
    tls = match &store.ca {
        Some(path) => tls.ca_certificate(Certificate::from_pem(read(path)?)),
        None => tls.with_native_roots(),
    };
    if let (Some(certificate), Some(key)) = (&store.certificate, &store.private_key) {
        tls = tls.identity(Identity::from_pem(read(certificate)?, read(key)?));
    }
    Ok(tls)
}

fn read(path: &Path) -> Result<Vec<u8>, FleetError> {
    std::fs::read(path).map_err(|source| FleetError::File { path: path.to_owned(), source })
}
