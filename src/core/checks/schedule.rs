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
