//! The health of one node, as lua-resty-healthcheck (`incr_counter`), which APISIX uses, counts it.
//!
//! There is one counter for successes and one for each kind of failure; active and passive checks count
//! in the same ones. A success clears the counters of failures, a failure that of successes. A counter
//! that reaches its limit decides:
//!
//! ```text
//!             a failure                    as many failures of a kind
//! Healthy ─────────────► MostlyHealthy ────────────────────────────────► Unhealthy
//!    ▲ ▲                      │                                           │    ▲
//!    │ └──────────────────────┘                                 a success │    │ as many failures
//!    │   as many successes                                                ▼    │
//!    └────────────────────────────────────────────────────────────── MostlyUnhealthy
//!                             as many successes
//! ```
//!
//! A limit of one skips what is in between. What speaks for a healthy node, or against an unhealthy one,
//! is not counted. A node that is mostly healthy is up, one that is mostly unhealthy down.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::{Active, Limits, Passive};

/// What came of a probe, or of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// A response with this status; 0 where what came is not HTTP, which speaks against the node.
    Status(u16),
    /// No response: no connection, no TLS, or an end before the head was complete.
    TcpFailure,
    /// It took too long.
    Timeout,
    /// A connection, where nothing more was asked for.
    Connected,
}

/// What became of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It was down and is up.
    Up,
    /// It was up and is down.
    Down,
}

/// What is known of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It is up.
    Healthy,
    /// It is up, and something spoke against it.
    MostlyHealthy,
    /// It is down, and something spoke for it.
    MostlyUnhealthy,
    /// It is down.
    Unhealthy,
}

impl Phase {
    /// The name that APISIX's control API gives it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::MostlyHealthy => "mostly_healthy",
            Self::MostlyUnhealthy => "mostly_unhealthy",
            Self::Unhealthy => "unhealthy",
        }
    }

    /// Whether requests go there.
    pub const fn is_up(self) -> bool {
        matches!(self, Self::Healthy | Self::MostlyHealthy)
    }
}

/// The health of one node; healthy at first. A clone is the health of the same node.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<AtomicU64>);

impl Health {
    /// Goes on with what is known of the node by `earlier`.
    pub fn follow(&mut self, earlier: &Self) {
        self.0 = Arc::clone(&earlier.0);
    }

    /// Whether requests go there.
    pub fn is_up(&self) -> bool {
        self.phase().is_up()
    }

    /// What is known of the node.
    pub fn phase(&self) -> Phase {
        State::unpack(self.0.load(Ordering::Relaxed)).phase
    }

    /// Counts the result of a probe.
    pub fn note_active(&self, active: &Active, probe: Probe) -> Option<Change> {
        self.note(&active.limits, probe)
    }

    /// Counts the result of a request; for one that brought a connection and nothing else, nothing.
    pub fn note_passive(&self, passive: &Passive, probe: Probe) -> Option<Change> {
        match probe {
            Probe::Connected => None,
            Probe::Status(_) | Probe::TcpFailure | Probe::Timeout => {
                self.note(&passive.limits, probe)
            }
        }
    }

    /// How long after a probe the next one is due; `None` for never.
    pub fn interval(&self, active: &Active) -> Option<Duration> {
        if self.is_up() { active.interval_up } else { active.interval_down }
    }

    fn note(&self, limits: &Limits, probe: Probe) -> Option<Change> {
        let (counter, limit) = counter(limits, probe)?;
        // One word is all of the state, so that nothing beside it is ordered by it.
        let count = |packed| Some(State::unpack(packed).count(counter, limit)?.pack());
        let before = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, count).ok()?;
        let before = State::unpack(before);
        let after = before.count(counter, limit)?;
        match (before.phase.is_up(), after.phase.is_up()) {
            (false, true) => Some(Change::Up),
            (true, false) => Some(Change::Down),
            (true, true) | (false, false) => None,
        }
    }
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counter {
    Success,
    Http,
    Tcp,
    Timeout,
}

/// Which counter a result counts in, and how many are enough; none for a status that says nothing.
fn counter(limits: &Limits, probe: Probe) -> Option<(Counter, u8)> {
    match probe {
        Probe::Connected => Some((Counter::Success, limits.successes)),
        Probe::TcpFailure => Some((Counter::Tcp, limits.tcp_failures)),
        Probe::Timeout => Some((Counter::Timeout, limits.timeouts)),
        // A status in both lists speaks for the node, as in APISIX.
        Probe::Status(status) if limits.healthy.contains(status) => {
            Some((Counter::Success, limits.successes))
        }
        Probe::Status(status) if status == 0 || limits.unhealthy.contains(status) => {
            Some((Counter::Http, limits.http_failures))
        }
        Probe::Status(_) => None,
    }
}

/// All that is known of a node: the phase, and how often each has been counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    phase: Phase,
    counts: [u8; 4],
}

impl State {
    fn unpack(packed: u64) -> Self {
        let [phase, success, http, tcp, timeout, ..] = packed.to_le_bytes();
        let phase = match phase {
            0 => Phase::Healthy,
            1 => Phase::MostlyHealthy,
            2 => Phase::MostlyUnhealthy,
            _ => Phase::Unhealthy,
        };
        Self { phase, counts: [success, http, tcp, timeout] }
    }

    fn pack(self) -> u64 {
        let [success, http, tcp, timeout] = self.counts;
        u64::from_le_bytes([self.phase as u8, success, http, tcp, timeout, 0, 0, 0])
    }

    /// The state after one more of what `counter` counts; `None` where it is not counted.
    fn count(self, counter: Counter, limit: u8) -> Option<Self> {
        let decided = match counter {
            Counter::Success => Phase::Healthy,
            Counter::Http | Counter::Tcp | Counter::Timeout => Phase::Unhealthy,
        };
        if self.phase == decided {
            return None;
        }
        let [success, http, tcp, timeout] = self.counts;
        let (counts, count) = match counter {
            Counter::Success => ([success.saturating_add(1), 0, 0, 0], success),
            Counter::Http => ([0, http.saturating_add(1), tcp, timeout], http),
            Counter::Tcp => ([0, http, tcp.saturating_add(1), timeout], tcp),
            Counter::Timeout => ([0, http, tcp, timeout.saturating_add(1)], timeout),
        };
        let phase = match self.phase {
            _ if count.saturating_add(1) >= limit => decided,
            Phase::Healthy => Phase::MostlyHealthy,
            Phase::Unhealthy => Phase::MostlyUnhealthy,
            between @ (Phase::MostlyHealthy | Phase::MostlyUnhealthy) => between,
        };
        Some(Self { phase, counts })
    }
}
