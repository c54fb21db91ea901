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

use serde::{Deserialize, Serialize};

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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

/// What counts towards another phase, by the names that APISIX's control API has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Results that speak for the node.
    pub success: u8,
    /// Statuses that speak against it.
    pub http_failure: u8,
    /// Failures without a response.
    pub tcp_failure: u8,
    /// What took too long.
    pub timeout_failure: u8,
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

    /// What counts towards another phase.
    pub fn counts(&self) -> Counts {
        let state = State::unpack(self.0.load(Ordering::Relaxed));
        let [success, http_failure, tcp_failure, timeout_failure] = state.counts;
        Counts { success, http_failure, tcp_failure, timeout_failure }
    }

    /// A number that clones have in common and nobody else has as long as one of them lives: which node
    /// this is about.
    pub fn mark(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }

    /// Counts the result of a probe.
    pub fn note_active(&self, active: &Active, probe: Probe) -> Option<Change> {
        self.note_verdict(active.limits.verdict(probe)?)
    }

    /// Counts the result of a request; for one that brought a connection and nothing else, nothing.
    pub fn note_passive(&self, passive: &Passive, probe: Probe) -> Option<Change> {
        match probe {
            Probe::Connected => None,
            Probe::Status(_) | Probe::TcpFailure | Probe::Timeout => {
                self.note_verdict(passive.limits.verdict(probe)?)
            }
        }
    }

    /// Takes over what somebody else knows of the node.
    pub fn set(&self, phase: Phase) {
        self.0.store(State { phase, counts: [0; 4] }.pack(), Ordering::Relaxed);
    }

    /// All that is known, as a number below 2^40 for [`Health::restore`].
    pub fn word(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// The health of a node of which this was known, see [`Health::word`].
    pub fn restore(word: u64) -> Self {
        Self(Arc::new(AtomicU64::new(State::unpack(word).pack())))
    }

    /// How long after a probe the next one is due; `None` for never.
    pub fn interval(&self, active: &Active) -> Option<Duration> {
        if self.is_up() { active.interval_up } else { active.interval_down }
    }

    /// Counts what a result counts for, where somebody else knows the limits.
    pub fn note_verdict(&self, verdict: Verdict) -> Option<Change> {
        let Verdict { counter, limit } = verdict;
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Counter {
    Success,
    Http,
    Tcp,
    Timeout,
}

/// What a result counts for, and how many of these are enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    counter: Counter,
    limit: u8,
}

impl Limits {
    /// What a result counts for; nothing for a status that says nothing.
    pub fn verdict(&self, probe: Probe) -> Option<Verdict> {
        let (counter, limit) = match probe {
            Probe::Connected => (Counter::Success, self.successes),
            Probe::TcpFailure => (Counter::Tcp, self.tcp_failures),
            Probe::Timeout => (Counter::Timeout, self.timeouts),
            // A status in both lists speaks for the node, as in APISIX.
            Probe::Status(status) if self.healthy.contains(status) => {
                (Counter::Success, self.successes)
            }
            Probe::Status(status) if status == 0 || self.unhealthy.contains(status) => {
                (Counter::Http, self.http_failures)
            }
            Probe::Status(_) => return None,
        };
        Some(Verdict { counter, limit })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::{Method, Protocol};
    use crate::statuses::Statuses;

    /// Up after 2 successes; down after 3 bad statuses, 2 failures of the connection or 4 timeouts.
    fn active() -> Active {
        Active {
            protocol: Protocol::Http,
            timeout: Duration::from_secs(1),
            concurrency: 1,
            host: None,
            port: None,
            method: Method::Get,
            path: "/".to_owned(),
            headers: Vec::new(),
            body: String::new(),
            verify: true,
            interval_up: Some(Duration::from_secs(7)),
            interval_down: None,
            limits: limits([2, 3, 2, 4]),
        }
    }

    fn limits([successes, http_failures, tcp_failures, timeouts]: [u8; 4]) -> Limits {
        let set = |statuses: &[u16]| -> Statuses { statuses.iter().copied().collect() };
        Limits {
            healthy: set(&[200, 418]),
            successes,
            unhealthy: set(&[418, 500]),
            http_failures,
            tcp_failures,
            timeouts,
        }
    }

    /// One letter for each result: Ok, a Bad status, a Connection that failed, too Late, a status that
    /// says Nothing.
    fn probe(letter: char) -> Probe {
        match letter {
            'o' => Probe::Status(200),
            'b' => Probe::Status(500),
            'c' => Probe::TcpFailure,
            'l' => Probe::Timeout,
            'n' => Probe::Status(404),
            other => panic!("{other} is no result"),
        }
    }

    #[test]
    fn results_in_a_row_decide_as_lua_resty_healthcheck_counts_them() {
        use Phase::*;
        for (results, phase, changes) in [
            ("", Healthy, ""),
            ("oooo", Healthy, ""),
            ("nnnn", Healthy, ""),
            ("b", MostlyHealthy, ""),
            ("bb", MostlyHealthy, ""),
            ("bbb", Unhealthy, "d"),
            ("bnbnb", Unhealthy, "d"),
            ("cc", Unhealthy, "d"),
            ("lll", MostlyHealthy, ""),
            ("llll", Unhealthy, "d"),
            // Kinds are counted apart, and cleared together.
            ("bblllc", MostlyHealthy, ""),
            ("bblllcc", Unhealthy, "d"),
            ("bblllcobblllc", MostlyHealthy, ""),
            ("bbobb", MostlyHealthy, ""),
            // Only enough successes make it fully healthy again; then they are not counted.
            ("bo", MostlyHealthy, ""),
            ("boo", Healthy, ""),
            ("bobo", MostlyHealthy, ""),
            ("booooobb", MostlyHealthy, ""),
            ("booooobbb", Unhealthy, "d"),
            // Down, failures are not counted and a success clears them.
            ("ccccccc", Unhealthy, "d"),
            ("cccccco", MostlyUnhealthy, "d"),
            ("cco", MostlyUnhealthy, "d"),
            ("ccoc", MostlyUnhealthy, "d"),
            ("ccoco", MostlyUnhealthy, "d"),
            ("ccocc", Unhealthy, "d"),
            ("ccobb", MostlyUnhealthy, "d"),
            ("ccoo", Healthy, "du"),
            ("ccooc", MostlyHealthy, "du"),
            ("ccoocc", Unhealthy, "dud"),
        ] {
            let (health, active) = (Health::default(), active());
            let noted =
                results.chars().filter_map(|letter| health.note_active(&active, probe(letter)));
            let noted: String =
                noted.map(|change| if change == Change::Up { 'u' } else { 'd' }).collect();
            assert_eq!((health.phase(), &*noted), (phase, changes), "{results}");
            assert_eq!(health.is_up(), matches!(phase, Healthy | MostlyHealthy));
        }
    }

    #[test]
    fn a_limit_of_one_decides_at_once() {
        let active = Active { limits: limits([1, 1, 1, 1]), ..active() };
        let health = Health::default();
        for letter in ['b', 'c', 'l'] {
            assert_eq!(health.note_active(&active, probe(letter)), Some(Change::Down));
            assert_eq!(health.phase(), Phase::Unhealthy);
            assert_eq!(health.note_active(&active, Probe::Connected), Some(Change::Up));
            assert_eq!(health.phase(), Phase::Healthy);
        }
    }

    #[test]
    fn a_status_in_both_lists_speaks_for_the_node_and_no_http_against_it() {
        let (health, active) = (Health::default(), active());
        for _ in 0..5 {
            assert_eq!(health.note_active(&active, Probe::Status(418)), None);
        }
        assert_eq!(health.phase(), Phase::Healthy);
        let noted = [0, 0, 0].map(|status| health.note_active(&active, Probe::Status(status)));
        assert_eq!(noted, [None, None, Some(Change::Down)]);
    }

    /// Both count in the same counters, each with its own limits, which no counter outgrows.
    #[test]
    fn active_and_passive_checks_count_together() {
        let passive = Passive { limits: limits([254, 254, 254, 254]) };
        let (health, active) = (Health::default(), active());
        for _ in 0..253 {
            assert_eq!(health.note_passive(&passive, probe('b')), None);
        }
        assert_eq!(health.note_active(&active, probe('b')), Some(Change::Down));
        for _ in 0..253 {
            assert_eq!(health.note_passive(&passive, probe('o')), None);
        }
        assert_eq!(health.phase(), Phase::MostlyUnhealthy);
        assert_eq!(health.note_passive(&passive, Probe::Connected), None, "no response");
        assert_eq!(health.note_passive(&passive, probe('o')), Some(Change::Up));
    }

    #[test]
    fn the_interval_is_that_of_up_or_of_down() {
        let (health, active) = (Health::default(), active());
        assert_eq!(health.interval(&active), Some(Duration::from_secs(7)));
        health.note_active(&active, probe('c'));
        assert_eq!(health.interval(&active), Some(Duration::from_secs(7)), "mostly healthy");
        health.note_active(&active, probe('c'));
        assert_eq!(health.interval(&active), None, "never, if it is not said how often");
        let mut next = Health::default();
        next.follow(&health);
        assert!(!next.is_up() && !health.clone().is_up(), "the same node");
    }

    #[test]
    fn a_state_is_packed_into_a_word_and_back() {
        for phase in
            [Phase::Healthy, Phase::MostlyHealthy, Phase::MostlyUnhealthy, Phase::Unhealthy]
        {
            for counts in [[0; 4], [1, 2, 3, 4], [254, 0, 255, 7]] {
                let state = State { phase, counts };
                assert_eq!(State::unpack(state.pack()), state);
            }
        }
    }

    /// Every change is told once, to one thread: those to down and to up take turns.
    #[test]
    fn threads_tell_every_change_once() {
        let (health, active) = (Health::default(), active());
        let work = |offset: usize| {
            let letters = "ccoobbboollll".chars().cycle().skip(offset).take(20_000);
            let noted = letters.filter_map(|letter| health.note_active(&active, probe(letter)));
            noted.map(|change| if change == Change::Down { 1 } else { -1 }).sum::<i32>()
        };
        let balance: i32 = std::thread::scope(|scope| {
            let workers: Vec<_> =
                (0..4).map(|thread| scope.spawn(move || work(thread * 3))).collect();
            workers.into_iter().map(|worker| worker.join().expect("no panic")).sum()
        });
        assert_eq!(balance, i32::from(!health.is_up()));
    }
}
