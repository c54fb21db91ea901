//! The request that figures are taken of.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr};

use splitway_core::head::Head;

/// A request as a chat client sends it.
pub(crate) struct Chat {
    pub(crate) host: String,
    pub(crate) path: String,
}

impl Chat {
    pub(crate) fn new(path: String) -> Self {
        Self { host: "gateway.example.com".to_owned(), path }
    }
}

impl Head for Chat {
    fn method(&self) -> &str {
        "POST"
    }

    fn path(&self) -> &str {
        &self.path
    }

    fn query(&self) -> Option<&str> {
        None
    }

    fn host(&self) -> &str {
        &self.host
    }

    fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        let value = match name {
            "x-user" => "user-4711",
            "x-tier" => "paid",
            _ => return None,
        };
        Some(Cow::Borrowed(value))
    }

    fn client(&self) -> Option<IpAddr> {
        Some(IpAddr::V4(Ipv4Addr::LOCALHOST))
    }

    fn scheme(&self) -> &str {
        "http"
    }

    fn port(&self) -> u16 {
        9080
    }

    fn is_fronted(&self) -> bool {
        false
    }
}
