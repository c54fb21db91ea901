//! How much a process holds, by /proc.

use std::fmt;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use crate::process::PATIENCE;

/// A process that grew by more than this has lost something. After a warm-up of a second it still grows by
/// up to 9 MiB, to what it then keeps.
const GROWTH_MAX_KIB: u64 = 16 * 1024;
/// The same for file descriptors.
const FDS_MORE_MAX: usize = 4;

/// Upstream connections rest for a second and are looked after each second.
const REST: Duration = Duration::from_millis(2500);

/// Memory and file descriptors of a process at rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Level {
    pub(crate) resident_kib: u64,
    pub(crate) fds: usize,
}

impl Level {
    /// Waits until a process without clients holds as many file descriptors as before, and reads both.
    pub(crate) fn at_rest(process: u32, before: Option<Self>) -> Self {
        thread::sleep(REST);
        let deadline = Instant::now() + PATIENCE;
        loop {
            let level = Self::now(process);
            let is_down = before.is_none_or(|before| level.fds <= before.fds + FDS_MORE_MAX);
            if is_down || Instant::now() > deadline {
                return level;
            }
            thread::sleep(Duration::from_millis(100));
        }
    }

    fn now(process: u32) -> Self {
        let status = fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        let fds = fs::read_dir(format!("/proc/{process}/fd")).expect("it is ours").count();
        Self { resident_kib: number.expect("kibibytes"), fds }
    }

    /// What is wrong about having come here from `earlier`.
    pub(crate) fn flaw_since(&self, earlier: &Self) -> Option<String> {
        let is_sound = self.resident_kib <= earlier.resident_kib + GROWTH_MAX_KIB
            && self.fds <= earlier.fds + FDS_MORE_MAX;
        (!is_sound).then(|| format!("it held {earlier} and then {self}"))
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} KiB, {} fds", self.resident_kib, self.fds)
    }
}
