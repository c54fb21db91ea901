//! The rounds: which nodes are probed when, over all upstreams that serve.
//!
//! Each upstream is looked at when one of its nodes is due, when a probe has come to its end, and often
//! enough to notice what requests have found out (passive checks), on which the next probe depends. A
//! node stays itself through changes of the configuration as long as its [`Health`] does.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use splitway_core::checks::{Checks, Health, Schedule};
use splitway_core::checkup::{Checkup, checkups};
use splitway_core::time::Timestamp;
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};

use super::probe::{Finding, Subject};
use crate::store::Store;
use crate::telemetry::{Level, Log};

/// How often what requests find out is looked at.
const PULSE: Duration = Duration::from_secs(1);

/// Which node this is about, see [`Health::mark`].
type Mark = usize;

/// The rounds of one process.
pub(super) struct Rounds<P> {
    store: Arc<Store>,
    log: Log,
    probe: P,
    /// What a clock counts from that nobody sets.
    began: Instant,
    wards: Vec<Ward>,
    /// In which ward a node is.
    places: BTreeMap<Mark, usize>,
    /// When wards are looked at next.
    looks: BTreeSet<(Timestamp, usize)>,
    permits: Arc<Semaphore>,
    under_way: JoinSet<(Health, Finding)>,
    going: BTreeMap<Mark, AbortHandle>,
}

/// One upstream.
struct Ward {
    subject: Arc<Subject>,
    healths: Vec<Health>,
    schedule: Schedule,
    /// Whether each node is up, as the log has it.
    told: Vec<bool>,
    look: Option<Timestamp>,
}

impl<P, F> Rounds<P>
where
    P: Fn(Arc<Subject>, usize) -> F,
    F: Future<Output = Finding> + Send + 'static,
{
    /// Rounds of which not more than `probes_max` probes are under way at once.
    pub(super) fn new(store: Arc<Store>, log: Log, probes_max: usize, probe: P) -> Self {
        Self {
            store,
            log,
            probe,
            began: Instant::now(),
            wards: Vec::new(),
            places: BTreeMap::new(),
            looks: BTreeSet::new(),
            permits: Arc::new(Semaphore::new(probes_max)),
            under_way: JoinSet::new(),
            going: BTreeMap::new(),
        }
    }

    /// Goes on for good; dropping the future ends all probes.
    pub(super) async fn run(mut self) -> Infallible {
        let mut news = self.store.news();
        self.reload();
        loop {
            self.look();
            let next = self.looks.first().map(|(at, _)| self.began + since_begin(*at));
            tokio::select! {
                // The store lives as long as this.
                _ = news.changed() => self.reload(),
                Some(ended) = self.under_way.join_next() => self.settle(ended),
                () = sleep_until(next.unwrap_or(self.began)), if next.is_some() => {}
            }
        }
    }

    fn now(&self) -> Timestamp {
        Timestamp::default().plus(self.began.elapsed())
    }

    /// Takes over the upstreams that serve now.
    fn reload(&mut self) {
        let now = self.now();
        let checkups = self.store.snapshot().map(|snapshot| checkups(&snapshot));
        let checkups = checkups.unwrap_or_default();
        let wards = checkups.into_iter().map(|checkup| {
            let mut ward = Ward::new(checkup, now);
            ward.follow(|mark| self.places.get(&mark).and_then(|place| self.wards.get(*place)));
            ward
        });
        let wards: Vec<Ward> = wards.collect();
        self.wards = wards;
        let of_ward = |(place, ward): (usize, &Ward)| {
            ward.healths.iter().map(|health| (health.mark(), place)).collect::<Vec<_>>()
        };
        self.places = self.wards.iter().enumerate().flat_map(of_ward).collect();
        self.looks = (0..self.wards.len()).map(|place| (now, place)).collect();
        let places = &self.places;
        self.going.retain(|mark, probe| {
            let stays = places.contains_key(mark);
            if !stays {
                probe.abort();
            }
            stays
        });
    }

    /// Looks at all wards whose time it is.
    fn look(&mut self) {
        let now = self.now();
        while let Some((at, place)) = self.looks.first().copied() {
            if at > now {
                break;
            }
            self.looks.remove(&(at, place));
            self.visit(place, now);
        }
    }

    /// Tells what has changed in a ward, sends the probes that are due and says when to look again.
    fn visit(&mut self, place: usize, now: Timestamp) {
        let Some(ward) = self.wards.get_mut(place) else { return };
        ward.tell_all(&self.log);
        let active = &ward.subject.checkup.checks.active;
        for node in ward.schedule.due(active, &ward.healths, now) {
            let Some(health) = ward.healths.get(node).cloned() else { continue };
            let mark = health.mark();
            let probe = (self.probe)(Arc::clone(&ward.subject), node);
            let permits = Arc::clone(&self.permits);
            let probe = self.under_way.spawn(async move {
                // It is never closed.
                let _permit = permits.acquire().await;
                (health, probe.await)
            });
            self.going.insert(mark, probe);
        }
        if let Some(at) = ward.look.take() {
            self.looks.remove(&(at, place));
        }
        let wait = ward.schedule.wait(active, &ward.healths, now);
        let wait = wait.into_iter().chain(pulse(&ward.subject.checkup.checks)).min();
        ward.look = wait.map(|wait| now.plus(wait.max(Duration::from_millis(1))));
        self.looks.extend(ward.look.map(|at| (at, place)));
    }

    /// Notes what came of a probe.
    fn settle(&mut self, ended: Result<(Health, Finding), JoinError>) {
        let (mark, finding) = match ended {
            Ok((health, finding)) => (health.mark(), Some(finding)),
            Err(error) => {
                let lost = self.going.iter().find(|(_, probe)| probe.id() == error.id());
                let Some((mark, _)) = lost else { return };
                (*mark, None)
            }
        };
        self.going.remove(&mark);
        let Some(place) = self.places.get(&mark).copied() else { return };
        if let Some(ward) = self.wards.get_mut(place) {
            ward.settle(mark, finding.as_ref(), &self.log);
        }
        self.visit(place, self.now());
    }
}

impl Ward {
    fn new(checkup: Checkup, now: Timestamp) -> Self {
        let healths: Vec<Health> = checkup.nodes.iter().map(|node| node.health.clone()).collect();
        let schedule = Schedule::new(healths.len(), now);
        let told = vec![true; healths.len()];
        Self { subject: Arc::new(Subject::new(checkup)), healths, schedule, told, look: Some(now) }
    }

    /// Goes on with the nodes that were there before.
    fn follow<'w>(&mut self, earlier: impl Fn(Mark) -> Option<&'w Self>) {
        let nodes = self.healths.iter().zip(&mut self.told).enumerate();
        for (node, (health, told)) in nodes {
            let Some(earlier) = earlier(health.mark()) else { continue };
            let Some(place) = earlier.healths.iter().position(|it| it.mark() == health.mark())
            else {
                continue;
            };
            self.schedule.follow(node, &earlier.schedule, place);
            *told = earlier.told.get(place).copied().unwrap_or(true);
        }
    }

    /// Counts what came of a probe; one that was lost does not count.
    fn settle(&mut self, mark: Mark, finding: Option<&Finding>, log: &Log) {
        // A node may stand there more than once, with several priorities.
        let nodes = self.healths.iter().enumerate();
        let nodes = nodes.filter(|(_, health)| health.mark() == mark).map(|(node, _)| node);
        let nodes: Vec<usize> = nodes.collect();
        nodes.iter().for_each(|node| self.schedule.done(*node));
        let health = nodes.first().and_then(|node| self.healths.get(*node));
        let Some((health, finding)) = health.zip(finding) else { return };
        let active = &self.subject.checkup.checks.active;
        if health.note_active(active, finding.probe).is_some() {
            nodes.iter().for_each(|node| self.tell(*node, &finding.why, log));
        }
    }

    /// Tells of what was found out by other means.
    fn tell_all(&mut self, log: &Log) {
        (0..self.healths.len()).for_each(|node| self.tell(node, "requests", log));
    }

    /// Tells whether a node is up, if that is news.
    fn tell(&mut self, node: usize, why: &str, log: &Log) {
        let Self { subject, healths, told, .. } = self;
        let Some((health, told)) = healths.get(node).zip(told.get_mut(node)) else { return };
        let is_up = health.is_up();
        if *told == is_up {
            return;
        }
        *told = is_up;
        let (level, event) = match is_up {
            true => (Level::Info, "node_up"),
            false => (Level::Warn, "node_down"),
        };
        let checkup = &subject.checkup;
        let authority = checkup.nodes.get(node).map(|node| &*node.authority);
        let fields = json!({"upstream": checkup.upstream, "node": authority, "why": why});
        log.tell(level, event, fields);
    }
}

/// How often an upstream is looked at, whatever is due.
fn pulse(checks: &Checks) -> Option<Duration> {
    let active = &checks.active;
    let intervals = [active.interval_up, active.interval_down];
    let passive = checks.passive.as_ref().map(|_| PULSE);
    intervals.into_iter().flatten().chain(passive).min()
}

fn since_begin(at: Timestamp) -> Duration {
    at.since(Timestamp::default())
}

#[cfg(test)]
mod tests;
