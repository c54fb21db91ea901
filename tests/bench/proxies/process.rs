//! Processes that are measured: started on one core, asked what they took, ended with their value.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long a proxy may take until it listens: with 10,000 routes on a busy machine, too.
const STARTING: Duration = Duration::from_secs(60);

/// How long a proxy may take until it has ended.
const ENDING: Duration = Duration::from_secs(60);

/// A process that runs until this is dropped, and those that it has started.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    members: Vec<u32>,
}

/// CPU time, in µs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spent {
    /// In all: user and system.
    pub(crate) all: f64,
    /// Of that in the process itself.
    pub(crate) user: f64,
    /// How long threads could have run while something else did.
    pub(crate) waited: f64,
}

impl Process {
    /// Starts a command on a core, with what it says going to a file, and waits until it listens.
    pub(crate) fn start(
        command: &[String],
        core: usize,
        at: SocketAddr,
        log: &Path,
    ) -> io::Result<Self> {
        let file = fs::File::create(log)?;
        let mut pinned = Command::new("taskset");
        pinned.args(["-c", &core.to_string()]).args(command);
        pinned.stdin(Stdio::piped()).stdout(file.try_clone()?).stderr(file);
        let child = pinned.spawn()?;
        let mut process = Self { members: vec![child.id()], child };
        process.wait_for(at).map_err(|error| {
            let told = fs::read_to_string(log).unwrap_or_default();
            io::Error::other(format!("{} does not start: {error}\n{told}", command.join(" ")))
        })?;
        // Workers are there once somebody can connect, or very soon after.
        sleep(Duration::from_millis(100));
        process.members = family(process.child.id());
        Ok(process)
    }

    fn wait_for(&mut self, at: SocketAddr) -> io::Result<()> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Err(io::Error::other(format!("ended with {status}")));
            }
            match TcpStream::connect(at) {
                Ok(_) => return Ok(()),
                Err(error) if start.elapsed() > STARTING => return Err(error),
                Err(_) => sleep(Duration::from_millis(20)),
            }
        }
    }

    /// Has it end in its own time.
    pub(crate) fn end(mut self) -> io::Result<()> {
        Command::new("kill").arg(self.child.id().to_string()).status()?;
        let start = Instant::now();
        while self.child.try_wait()?.is_none() {
            if start.elapsed() > ENDING {
                return Err(io::ErrorKind::TimedOut.into());
            }
            sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// What it took until now.
    pub(crate) fn spent(&self) -> Spent {
        let mut sum = Spent::default();
        for member in &self.members {
            let threads = fs::read_dir(format!("/proc/{member}/task")).into_iter().flatten();
            for thread in threads.flatten() {
                let spent = of_thread(&thread.path()).unwrap_or_default();
                sum.all += spent.all;
                sum.user += spent.user;
                sum.waited += spent.waited;
            }
        }
        sum
    }

    /// Resident memory in KiB: all of the largest process, and what is private to each of the others, since
    /// they share the rest with it.
    pub(crate) fn memory(&self) -> f64 {
        let mut all: Vec<(f64, f64)> = self.members.iter().filter_map(|it| memory(*it)).collect();
        all.sort_unstable_by(|one, other| other.0.total_cmp(&one.0));
        let others: f64 = all.iter().skip(1).map(|(_, private)| private).sum();
        all.first().map_or(0.0, |largest| largest.0) + others
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        for member in self.members.iter().skip(1) {
            // Nothing is to be lost; a master that is killed leaves its workers.
            drop(Command::new("kill").arg("-9").arg(member.to_string()).output());
        }
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A port of loopback that is free at this moment.
pub(crate) fn free() -> io::Result<SocketAddr> {
    TcpListener::bind(("127.0.0.1", 0))?.local_addr()
}

/// A process and all that it has started, and those in turn.
fn family(process: u32) -> Vec<u32> {
    let mut members = vec![process];
    let mut at = 0;
    while at < members.len() {
        let threads = fs::read_dir(format!("/proc/{}/task", members[at])).into_iter().flatten();
        for thread in threads.flatten() {
            let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            members
                .extend(children.split(' ').filter_map(|child| child.trim().parse::<u32>().ok()));
        }
        at += 1;
    }
    members
}

/// What a thread took (proc(5)): by `schedstat` to the ns, where there is one; user time in ticks.
fn of_thread(thread: &Path) -> Option<Spent> {
    /// The kernel tells ticks of this many µs to everybody.
    const TICK: f64 = 10_000.0;
    let stat = fs::read_to_string(thread.join("stat")).ok()?;
    // The name, in parentheses, may hold anything.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ').skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    let (user, system) = (ticks()? * TICK, ticks()? * TICK);
    let schedstat = fs::read_to_string(thread.join("schedstat")).unwrap_or_default();
    let mut ns = schedstat.split(' ').map_while(|field| field.parse::<f64>().ok());
    let all = ns.next().map_or(user + system, |ns| ns / 1000.0);
    Some(Spent { all, user, waited: ns.next().map_or(0.0, |ns| ns / 1000.0) })
}

/// What a process has resident, and what of that is its alone, in KiB.
fn memory(process: u32) -> Option<(f64, f64)> {
    let text = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).ok()?;
    let kib = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().trim_end_matches(" kB").parse::<f64>().ok()
    };
    Some((kib("Rss:")?, kib("Private_Clean:")? + kib("Private_Dirty:")?))
}
