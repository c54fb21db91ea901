//! A lane: one proxy in one setup, that takes turns with others.

use std::io;
use std::net::SocketAddr;

use crate::cores::Cores;
use crate::process::{Process, Spent, free};
use crate::setup::{Setup, Target, World};
use crate::{haproxy, nginx, splitway};

/// Which proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The one that this is about.
    Splitway,
    /// With `split_clients`.
    Nginx,
    /// With a draw and `set-path`.
    Haproxy,
    /// Bytes, handed on.
    Floor,
    /// No proxy: the origin itself.
    Direct,
}

/// Who has a turn.
#[derive(Clone, Debug)]
pub(crate) struct Lane {
    /// As the table calls it.
    pub(crate) name: String,
    /// Which proxy it is.
    pub(crate) kind: Kind,
    /// What is changed of its configuration, in its own words.
    pub(crate) more: &'static str,
    /// What it is set up for.
    pub(crate) setup: Setup,
    /// Which lane of the case its ratios are to.
    pub(crate) against: usize,
}

/// A lane whose proxy runs.
#[derive(Debug)]
pub(crate) struct Running<'a> {
    /// What it is.
    pub(crate) lane: &'a Lane,
    /// Where it listens.
    pub(crate) at: SocketAddr,
    process: Option<Process>,
}

impl Lane {
    /// A lane whose ratios are to the first one.
    pub(crate) fn new(name: &str, kind: Kind, setup: Setup) -> Self {
        Self { name: name.to_owned(), kind, more: "", setup, against: 0 }
    }

    /// The same, changed by these words of its configuration.
    pub(crate) fn with(mut self, more: &'static str) -> Self {
        self.more = more;
        self
    }

    /// Starts its proxy on the proxies' core.
    pub(crate) fn start(&self, world: &World, cores: Cores) -> io::Result<Running<'_>> {
        if self.kind == Kind::Direct {
            return Ok(Running { lane: self, at: world.plain, process: None });
        }
        let at = free()?;
        let name = format!("{}-{}", file_name(&self.name), at.port());
        let command = match self.kind {
            Kind::Splitway => splitway::command(&self.setup, world, at, &name)?,
            Kind::Nginx => nginx::command(&self.setup, world, at, &name, self.more)?,
            Kind::Haproxy => haproxy::command(&self.setup, world, at, &name, self.more)?,
            Kind::Floor | Kind::Direct => floor(world, at)?,
        };
        let log = world.folder.join(format!("{name}.log"));
        let process = Process::start(&command, cores.proxy, at, &log)?;
        Ok(Running { lane: self, at, process: Some(process) })
    }
}

impl Running<'_> {
    /// The CPU time of the proxy until now.
    pub(crate) fn spent(&self) -> Spent {
        self.process.as_ref().map(Process::spent).unwrap_or_default()
    }

    /// The memory of the proxy, in KiB.
    pub(crate) fn memory(&self) -> f64 {
        self.process.as_ref().map_or(f64::NAN, Process::memory)
    }

    /// Ends the proxy in its own time.
    pub(crate) fn end(self) -> io::Result<()> {
        self.process.map_or(Ok(()), Process::end)
    }

    /// Where clients ask for a target: a lane that does not rewrite is asked for the first version.
    pub(crate) fn path(&self, target: Target) -> String {
        let version = if self.rewrites() { "" } else { "/v1" };
        format!("{version}{}", target.path())
    }

    /// Whether it splits and rewrites at all.
    pub(crate) fn rewrites(&self) -> bool {
        !matches!(self.lane.kind, Kind::Floor | Kind::Direct)
    }

    /// Its address as a URL.
    pub(crate) fn url(&self, path: &str) -> String {
        let scheme = if self.lane.setup.client_tls { "https" } else { "http" };
        format!("{scheme}://{}{path}", self.at)
    }
}

/// This program itself, as the byte-forwarding loop.
fn floor(world: &World, at: SocketAddr) -> io::Result<Vec<String>> {
    let program = std::env::current_exe()?.to_string_lossy().into_owned();
    Ok(vec![program, "floor".into(), at.port().to_string(), world.plain.to_string()])
}

fn file_name(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
}
