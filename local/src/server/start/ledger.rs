//! A server whose configuration the Admin API changes: its ledger, and the API itself.

use std::path::Path;
use std::sync::Arc;
use std::thread::Builder;

use splitway_core::access::{Access, KeyHash};
use splitway_core::sql::SqlStorage;

use super::{Start, bind, local_address};
use crate::admin::{self, Admin, Office};
use crate::coordinator::{Expiry, Handle};
use crate::database::Database;
use crate::door::Door;
use crate::fleet::{FleetError, StoreAddress};
use crate::key::{self, KeyError};
use crate::listen::{self, Host, Limits};
#[cfg(feature = "etcd")]
use crate::member;
use crate::options::ServeOptions;
use crate::server::{Source, StartError};

/// Where a ledger is kept.
enum Keeping<'o> {
    File(Database),
    Fleet(&'o StoreAddress),
}

impl Start {
    pub(super) fn with_ledger(&mut self, options: &ServeOptions) -> Result<(), StartError> {
        let dir = &options.data_dir;
        key::prepare_dir(dir)
            .map_err(|source| StartError::DataDir { path: dir.clone(), source })?;
        // Before the key, which two who start at once would both make.
        let keeping = match &options.store.address {
            Some(store) => Keeping::Fleet(store),
            None => Keeping::File(self.take_database(dir)?),
        };
        let (key, mut key_flaws) = match &options.admin_key {
            Some(key) => key::checked(key, "SPLITWAY_ADMIN_KEY")?,
            None => key::load_or_make(dir)?,
        };
        let own = KeyHash::of(&key);
        let (coordinator, expiry) = match keeping {
            Keeping::File(database) => self.open_ledger(database, own, options)?,
            Keeping::Fleet(store) => self
                .join_fleet(store, own, options)
                .map_err(|source| StartError::Fleet { store: store.clone(), source })?,
        };
        if let Source::Ledger(path) = &self.server.source {
            key_flaws.extend(key::flaw(path));
        }
        let is_shared = options.clients.reuse_port;
        let mut listeners = bind("--admin-listen", options.admin_listen, 1, is_shared)?;
        let address = local_address(&listeners, options.admin_listen);
        let coordinator = coordinator.with_secret(self.secret.clone());
        let door = Door::of_admin(address.port());
        let admin = Arc::new(Admin { coordinator, door });
        let router = admin::router(admin);
        if let Some(listener) = listeners.pop() {
            let log = self.log.clone();
            let name = "splitway-admin".to_owned();
            let limits = Limits::of_admin(is_shared);
            self.server.spawn(name, listener, async move |listener, phases| {
                let host = Host::new(Office { router }, limits, None);
                listen::serve(listener, phases, &log, host).await;
            })?;
        }
        let watching = Builder::new().name("splitway-ttl".to_owned());
        let thread = watching.spawn(move || expiry.watch()).map_err(StartError::System)?;
        self.server.threads.push(thread);
        self.server.admin_addr = Some(address);
        self.server.key_flaws = key_flaws;
        Ok(())
    }

    /// Keeps every other process out of the data directory.
    fn take_database(&mut self, dir: &Path) -> Result<Database, StartError> {
        let path = dir.join("splitway.db");
        let database = Database::open(&path)
            .map_err(|source| StartError::Database { path: path.clone(), source })?;
        self.server.source = Source::Ledger(path);
        Ok(database)
    }

    fn open_ledger(
        &mut self,
        database: Database,
        own: KeyHash,
        options: &ServeOptions,
    ) -> Result<(Handle, Expiry), StartError> {
        let path = options.data_dir.join("splitway.db");
        let failed = |source| StartError::Database { path: path.clone(), source };
        let name = key::random_hex::<16>().map_err(KeyError::NoEntropy)?;
        let storage = SqlStorage::open(database, &name).map_err(|error| failed(error.into()))?;
        let access = Access::new(own, options.admin_networks());
        let (store, log) = (Arc::clone(&self.store), self.log.clone());
        Handle::start(Box::new(storage), access, options.retention(), store, log)
            .map_err(|error| failed(error.into()))
    }

    #[cfg(feature = "etcd")]
    fn join_fleet(
        &mut self,
        store: &StoreAddress,
        own: KeyHash,
        options: &ServeOptions,
    ) -> Result<(Handle, Expiry), FleetError> {
        let (serving, log) = (Arc::clone(&self.store), self.log.clone());
        let joined = member::join(store, own, options, serving, log)?;
        self.server.threads.extend(joined.threads);
        self.server.fleet = Some(joined.end);
        self.server.source = Source::Fleet(store.clone(), joined.footing);
        Ok((joined.handle, joined.expiry))
    }

    #[cfg(not(feature = "etcd"))]
    #[expect(clippy::unused_self, reason = "as with etcd")]
    fn join_fleet(
        &mut self,
        _: &StoreAddress,
        _: KeyHash,
        _: &ServeOptions,
    ) -> Result<(Handle, Expiry), FleetError> {
        Err(FleetError::NotBuilt)
    }
}
