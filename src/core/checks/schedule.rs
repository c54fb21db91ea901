//! Which nodes of an upstream are to be probed at a moment.

use std::time::Duration;

use super::{Active, Health};
use crate::time::Timestamp;

/// When the nodes of an upstream were probed last, and which are being probed. It belongs to the one
/// task that probes them.
#[derive(Clone, Debug)]
pub struct Schedule(Vec<Slot>);

#[derive(Clone, Copy, Debug)]
struct Slot {
    last: Timestamp,
    is_probed: bool,
}

impl Schedule {
    /// A schedule of so many nodes that counts from `now`: as in APISIX, the first probes come after one
    /// interval.
    pub fn new(nodes: usize, now: Timestamp) -> Self {
        Self(vec![Slot { last: now, is_probed: false }; nodes])
    }

    /// Goes on with a node where `earlier` is with one that it has at `place`.
    pub fn follow(&mut self, node: usize, earlier: &Self, place: usize) {
        if let (Some(slot), Some(earlier)) = (self.0.get_mut(node), earlier.0.get(place)) {
            *slot = *earlier;
        }
    }

    /// Takes the nodes that are due, by their places in `healths`, those first that wait longest; with
    /// those that are being probed not more than `concurrency`. Of each [`Schedule::done`] must be told.
    pub fn due(&mut self, active: &Active, healths: &[Health], now: Timestamp) -> Vec<usize> {
        let probed = self.0.iter().filter(|slot| slot.is_probed).count();
        let mut due: Vec<(Timestamp, usize)> =
            self.waiting(active, healths).filter(|(at, _)| *at <= now).collect();
        due.sort_unstable();
        due.truncate(active.concurrency.saturating_sub(probed));
        let due: Vec<usize> = due.into_iter().map(|(_, node)| node).collect();
        for node in &due {
            if let Some(slot) = self.0.get_mut(*node) {
                *slot = Slot { last: now, is_probed: true };
            }
        }
        due
    }

    /// Notes that a probe has come to an end.
    pub fn done(&mut self, node: usize) {
        if let Some(slot) = self.0.get_mut(node) {
            slot.is_probed = false;
        }
    }

    /// How long until a node is due, if nothing else happens; `None` while none can be.
    pub fn wait(&self, active: &Active, healths: &[Health], now: Timestamp) -> Option<Duration> {
        let probed = self.0.iter().filter(|slot| slot.is_probed).count();
        let next = self.waiting(active, healths).map(|(at, _)| at).min();
        next.filter(|_| probed < active.concurrency).map(|at| at.since(now))
    }

    /// The nodes that are not being probed, and when they are due.
    fn waiting(
        &self,
        active: &Active,
        healths: &[Health],
    ) -> impl Iterator<Item = (Timestamp, usize)> {
        self.0.iter().zip(healths).enumerate().filter_map(move |(node, (slot, health))| {
            let interval = health.interval(active).filter(|_| !slot.is_probed)?;
            Some((slot.last.plus(interval), node))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::{ChecksWire, Probe};
    use crate::fault::{At, Report};
    use serde_json::{Value, json};

    fn active(value: &Value) -> Active {
        let mut report = Report::default();
        crate::wire::read(value, At::Root, &mut report, |wire: ChecksWire, report| {
            Some(wire.compile(At::Root, report).active)
        })
        .expect("checks")
    }

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_millis(secs * 1000)
    }

    #[test]
    fn nodes_are_due_an_interval_after_their_last_probe() {
        let active = active(&json!({"active": {
            "healthy": {"interval": 10}, "unhealthy": {"interval": 2, "tcp_failures": 1},
        }}));
        let healths = [Health::default(), Health::default()];
        let mut schedule = Schedule::new(2, at(100));
        assert!(schedule.due(&active, &healths, at(109)).is_empty());
        assert_eq!(schedule.wait(&active, &healths, at(109)), Some(Duration::from_secs(1)));
        assert_eq!(schedule.due(&active, &healths, at(110)), [0, 1]);
        assert!(schedule.due(&active, &healths, at(130)).is_empty(), "both are being probed");
        assert_eq!(schedule.wait(&active, &healths, at(130)), None);
        healths[1].note_active(&active, Probe::TcpFailure);
        schedule.done(0);
        schedule.done(1);
        schedule.done(2);
        assert_eq!(schedule.wait(&active, &healths, at(111)), Some(Duration::from_secs(1)));
        assert_eq!(schedule.due(&active, &healths, at(112)), [1], "the one that is down");
        schedule.done(1);
        assert_eq!(schedule.due(&active, &healths, at(120)), [1, 0], "who waits longest is first");
    }

    #[test]
    fn no_more_are_probed_at_once_than_said() {
        let active = active(&json!({"active": {"concurrency": 2, "healthy": {}}}));
        let healths: Vec<Health> = (0..5).map(|_| Health::default()).collect();
        let mut schedule = Schedule::new(5, at(0));
        let mut seen = Vec::new();
        assert_eq!(schedule.due(&active, &healths, at(1)), [0, 1]);
        assert!(schedule.due(&active, &healths, at(1)).is_empty());
        assert_eq!(schedule.wait(&active, &healths, at(1)), None, "one must be done first");
        schedule.done(1);
        assert_eq!(schedule.wait(&active, &healths, at(1)), Some(Duration::ZERO));
        // One after the other comes to its turn, although all are late.
        for now in 2..10 {
            let due = schedule.due(&active, &healths, at(now));
            assert_eq!(due.len(), 1);
            due.iter().for_each(|node| schedule.done(*node));
            seen.extend(due);
        }
        assert_eq!(seen, [2, 3, 4, 1, 2, 3, 4, 1]);
    }

    #[test]
    fn nodes_that_stay_wait_no_longer_and_are_probed_once() {
        let active = active(&json!({"active": {"healthy": {"interval": 10}}}));
        let healths = [Health::default(), Health::default()];
        let mut earlier = Schedule::new(2, at(0));
        assert_eq!(earlier.due(&active, &healths[..1], at(10)), [0]);
        let mut schedule = Schedule::new(2, at(15));
        schedule.follow(0, &earlier, 1);
        schedule.follow(1, &earlier, 0);
        schedule.follow(2, &earlier, 0);
        schedule.follow(0, &earlier, 2);
        assert_eq!(schedule.due(&active, &healths, at(15)), [0], "the other is being probed");
        schedule.done(1);
        assert_eq!(schedule.due(&active, &healths, at(20)), [1]);
    }

    #[test]
    fn what_has_no_interval_is_never_due() {
        let active = active(&json!({"active": {"unhealthy": {"timeouts": 1}}}));
        let healths = [Health::default()];
        let mut schedule = Schedule::new(1, at(0));
        assert!(schedule.due(&active, &healths, at(1_000_000)).is_empty());
        assert_eq!(schedule.wait(&active, &healths, at(1_000_000)), None);
        healths[0].note_active(&active, Probe::Timeout);
        assert_eq!(schedule.due(&active, &healths, at(1_000_000)), [0]);
    }
}
