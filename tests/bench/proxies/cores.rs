//! The two cores: one for the proxy, one for everybody else.

use std::fs;
use std::io;
use std::process::{self, Command};
use std::time::Instant;

use crate::process::Spent;

/// The share of a core that others may have while a proxy is measured on it.
pub(crate) const FOREIGN: f64 = 0.05;

/// Which core is whose; the load and the origin are where this process is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cores {
    /// Of the proxy.
    pub(crate) proxy: usize,
}

impl Cores {
    /// The first two that this process may use, unless told; this process goes to the first.
    pub(crate) fn take(told: Option<(usize, usize)>) -> io::Result<Self> {
        let status = fs::read_to_string("/proc/self/status")?;
        let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        let allowed = cores(list.unwrap_or_default().trim());
        let (load, proxy) = match (told, allowed.as_slice()) {
            (Some(told), _) => told,
            (None, [load, proxy, ..]) => (*load, *proxy),
            (None, _) => {
                return Err(io::Error::other("two cores are needed: one is the proxy's alone"));
            }
        };
        let this = process::id().to_string();
        quietly(Command::new("taskset").args(["-apc", &load.to_string(), &this]))?;
        Ok(Self { proxy })
    }
}

/// Lets this process, and so all that it starts, have as many files open as it ever may.
pub(crate) fn many_files() -> io::Result<usize> {
    let limits = fs::read_to_string("/proc/self/limits")?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let most = line.and_then(|line| line.split_whitespace().nth(1)).unwrap_or("1024");
    let this = process::id().to_string();
    quietly(Command::new("prlimit").args(["--pid", &this, &format!("--nofile={most}:{most}")]))?;
    Ok(most.parse().unwrap_or(usize::MAX))
}

/// Runs a program that is part of util-linux, as Debian has it always.
fn quietly(command: &mut Command) -> io::Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let failed = |told: String| io::Error::other(format!("`{program}` of util-linux: {told}"));
    let output = command.output().map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    Err(failed(String::from_utf8_lossy(&output.stderr).into_owned()))
}

/// The numbers in a list such as `0-2,5`.
fn cores(list: &str) -> Vec<usize> {
    let mut all = Vec::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(first), Ok(last)) = (first.parse::<usize>(), last.parse()) {
            all.extend(first..=last);
        }
    }
    all
}

/// A look at the core of the proxy, to be compared with a later one.
#[derive(Debug)]
pub(crate) struct Look {
    busy: f64,
    proxy: Spent,
    when: Instant,
}

impl Look {
    /// Looks at it, when the proxy has taken so much.
    pub(crate) fn at(core: usize, proxy: Spent) -> Self {
        Self { busy: busy(core), proxy, when: Instant::now() }
    }

    /// The share of the core that others took since then.
    ///
    /// What others had is what the core was busy for beyond the proxy's own time, by `/proc/stat` (without
    /// interrupts, which are mostly the proxy's own packets), or what the proxy had to wait for, by `schedstat`.
    pub(crate) fn foreign(&self, core: usize, proxy: Spent) -> f64 {
        let time = self.when.elapsed().as_secs_f64() * 1e6;
        let beside = busy(core) - self.busy - (proxy.all - self.proxy.all);
        let waited = proxy.waited - self.proxy.waited;
        beside.max(waited) / time
    }
}

/// How long a core was busy or taken away (steal) until now, in µs.
fn busy(core: usize) -> f64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let name = format!("cpu{core} ");
    let line = stat.lines().find_map(|line| line.strip_prefix(&name)).unwrap_or_default();
    let ticks: Vec<f64> = line.split(' ').filter_map(|field| field.parse().ok()).collect();
    // user, nice, system, idle, iowait, irq, softirq, steal
    let busy = [0, 1, 2, 7].iter().filter_map(|at| ticks.get(*at)).sum::<f64>();
    busy * 10_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cores_are_read() {
        assert_eq!(cores("0-2,5"), [0, 1, 2, 5]);
        assert_eq!(cores("3"), [3]);
    }
}
