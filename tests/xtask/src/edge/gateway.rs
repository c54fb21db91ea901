//! @portkey-ai/gateway, for this command alone.

use std::net::SocketAddr;
use std::path::Path;

use super::server::Server;
use crate::setup::Kit;
use crate::step::Outcome;

pub(super) struct Gateway;

pub(super) fn ready(_: &Kit, _: &Path) -> Result<Gateway, String> {
    Err("not yet".to_owned())
}

pub(super) fn config(origin: SocketAddr) -> String {
    origin.to_string()
}

impl Gateway {
    pub(super) fn start(&self, kit: &Kit, folder: &Path, origin: SocketAddr) -> Outcome<(String, Server)> {
        let _ = (kit, folder, origin);
        todo!()
    }
}
