//! When to read the configuration again, where nobody tells of changes: what an isolate holds of the
//! document in KV, and of the coordinator's where that is asked too.
//!
//! | a Snapshot is held, and KV last answered  | what a request does                                |
//! |-------------------------------------------|----------------------------------------------------|
//! | less than the refresh time ago            | serves from it                                     |
//! | less than twice the refresh time ago      | serves from it and reads beside the request        |
//! | longer ago (the isolate was idle)         | reads for up to a second, then serves from what is |
//! |                                           | held                                               |
//!
//! Only one request a second reads; the others serve from what is held meanwhile. Where nothing is
//! held, every request reads by itself, except that for a second after a read that brought nothing
//! none does. No request waits for another's read: in a Worker, awaiting a promise that belongs to
//! another request is an error.
//!
//! Where there is a check time, the coordinator is asked for something newer:
//!
//! | the coordinator was last asked            | what a request does                                |
//! |-------------------------------------------|----------------------------------------------------|
//! | less than the check time ago              | nothing about it                                   |
//! | less than twice the check time ago        | asks beside the request                            |
//! | longer ago, or never                      | asks for up to a second, then serves from what is  |
//! |                                           | held                                               |
//! | longer ago, and that brought no answer    | asks beside the request: one that is away costs    |
//! |                                           | nobody time                                        |
//! | at any time, and what is held is no       | nothing about it: somebody put a document into KV  |
//! | ledger's, and checks no nodes             | by hand, and that is what serves                   |
//!
//! Its answer may also say how nodes are ([`rounds`](crate::rounds)); where nodes are checked, a document
//! that is no ledger's is asked about for that alone.
//!
//! A request that waits for one source waits for the other too if that is due, both at once.
//!
//! What is taken over:
//!
//! | a document that                           | from KV, or from the coordinator                   |
//! |-------------------------------------------|----------------------------------------------------|
//! | is the one read last, or the one held     | nothing: [`Taken::Unchanged`]                      |
//! | has faults, is too long or no text        | kept out: [`Taken::Refused`]                       |
//! | is an older revision of the same ledger   | kept out: [`Taken::Older`]                         |
//! | is any other                              | taken: [`Taken::Loaded`]                           |

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use crate::checkup::checkups;
use crate::config::Published;
use crate::fault::{At, Report};
use crate::rounds::{Heard, Told};
use crate::snapshot::{Revision, Snapshot, compile_json};
use crate::time::Timestamp;

/// For how long a read keeps others from reading too. The request that reads may be killed, so the
/// reservation ends by itself.
const RESERVATION: Duration = Duration::from_secs(1);

/// How long a request may wait for a read while there is something to serve from.
const WAIT_WHILE_HELD: Duration = Duration::from_secs(1);

/// How long a request may wait for KV while there is nothing to serve from.
const WAIT_WHILE_EMPTY: Duration = Duration::from_secs(10);

/// How long a read beside a request may take.
const WAIT_BESIDE: Duration = Duration::from_secs(10);

/// The longest document that is read, in bytes: the 8 MiB that a ledger holds at most and what stands
/// around them. A longer one could not be compiled in the memory of an isolate.
pub const LENGTH_MAX: usize = 9 * 1024 * 1024;

/// How often the sources of the configuration are asked.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// The refresh time: how old what KV said may get.
    pub refresh: Duration,
    /// The check time: how long ago the coordinator may have been asked; never, if there is none.
    pub check: Option<Duration>,
}

/// Seconds from 1 to 86400, as a setting says them; `Err` says what was expected.
pub fn seconds(text: Option<&str>) -> Result<Option<Duration>, &'static str> {
    match text.map(str::parse) {
        None => Ok(None),
        Some(Ok(secs @ 1..=86_400)) => Ok(Some(Duration::from_secs(secs))),
        Some(_) => Err("expected seconds from 1 to 86400"),
    }
}

/// Which sources to read, and for how long at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reads {
    /// KV.
    pub kv: Option<Duration>,
    /// The coordinator.
    pub coordinator: Option<Duration>,
}

/// What a request should do for its configuration.
#[derive(Clone, Debug)]
pub enum Plan {
    /// Serve from this, or refuse for want of any.
    Serve(Option<Arc<Snapshot>>),
    /// Serve from this, and read beside the request.
    ServeAndRead(Arc<Snapshot>, Reads),
    /// Read, then serve from what is held.
    ReadFirst(Reads),
}

/// What a source had.
#[derive(Clone, Copy, Debug)]
pub enum Found<'f> {
    /// No document, or nothing newer.
    Nothing,
    /// A document, as bytes.
    Document(&'f [u8]),
    /// A document of so many bytes, more than [`LENGTH_MAX`], which was not read.
    TooLong(usize),
}

/// What became of a document that was read.
#[derive(Debug)]
pub enum Taken {
    /// There is none; what is held stays.
    Absent,
    /// It is the one read last, or the one held.
    Unchanged,
    /// It serves from here on.
    Loaded(Revision),
    /// It is an older revision of the ledger than the one held, which stays.
    Older(Revision),
    /// It has faults; what is held stays.
    Refused(Revision, Report),
}

/// The last good Snapshot and when to look for the next.
#[derive(Debug, Default)]
pub struct Held {
    snapshot: Option<Arc<Snapshot>>,
    /// The document that the Snapshot was compiled from.
    text: Option<Revision>,
    /// Whether its nodes are checked.
    is_checked: bool,
    heard: Heard,
    kv: Kv,
    coordinator: Coordinator,
}

/// What the coordinator is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted<'h> {
    /// Any document.
    Any,
    /// A newer one.
    Newer(&'h Published),
    /// None: one that somebody put into KV serves.
    None,
}

#[derive(Debug, Default)]
struct Kv {
    /// The document last read, good or not: it is compiled once.
    seen: Option<Revision>,
    /// When a read last brought an answer.
    answered_at: Timestamp,
    /// Until when nobody else should read.
    reserved_until: Timestamp,
}

#[derive(Debug, Default)]
struct Coordinator {
    /// The document last told, good or not.
    seen: Option<Revision>,
    asked_at: Timestamp,
    /// Whether that brought no answer.
    is_away: bool,
}

/// Whether a source is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Need {
    No,
    Beside,
    First,
}

impl Held {
    /// The last good Snapshot.
    pub fn snapshot(&self) -> Option<Arc<Snapshot>> {
        self.snapshot.clone()
    }

    /// Which ledger published what is held, if one did.
    pub fn published(&self) -> Option<&Published> {
        self.snapshot.as_ref()?.published()
    }

    /// What the coordinator is asked for.
    pub fn wanted(&self) -> Wanted<'_> {
        match (&self.snapshot, self.published()) {
            (None, _) => Wanted::Any,
            (Some(_), Some(published)) => Wanted::Newer(published),
            (Some(_), None) => Wanted::None,
        }
    }

    /// The last round of probes that was heard of.
    pub const fn round(&self) -> u64 {
        self.heard.round()
    }

    /// Takes over what a round of probes found out.
    pub fn take_round(&mut self, told: &Told) {
        self.heard.take(told, self.snapshot.as_deref());
    }

    /// What a request at `now` should do.
    pub fn plan(&mut self, now: Timestamp, pace: Pace) -> Plan {
        let Some(snapshot) = self.snapshot() else {
            if now < self.kv.reserved_until {
                return Plan::Serve(None);
            }
            let is_asked = self.coordinator_need(now, pace) != Need::No;
            let coordinator = is_asked.then_some(WAIT_WHILE_HELD);
            self.reserve(now, Reads { kv: None, coordinator });
            return Plan::ReadFirst(Reads { kv: Some(WAIT_WHILE_EMPTY), coordinator });
        };
        let (kv, coordinator) = (self.kv_need(now, pace.refresh), self.coordinator_need(now, pace));
        let wait = match kv.max(coordinator) {
            Need::No => return Plan::Serve(Some(snapshot)),
            Need::Beside => WAIT_BESIDE,
            Need::First => WAIT_WHILE_HELD,
        };
        let read = |need: Need| (need != Need::No).then_some(wait);
        let reads = Reads { kv: read(kv), coordinator: read(coordinator) };
        self.reserve(now, reads);
        match kv.max(coordinator) {
            Need::First => Plan::ReadFirst(reads),
            Need::No | Need::Beside => Plan::ServeAndRead(snapshot, reads),
        }
    }

    /// Takes over what KV had at `now`. `phase` is where the walks of new splits start.
    pub fn take(&mut self, found: Found<'_>, now: Timestamp, phase: u64) -> Taken {
        self.kv.answered_at = now;
        let (seen, taken) = self.judge(found, self.kv.seen.clone(), phase);
        self.kv.seen = seen;
        if self.snapshot.is_none() {
            self.kv.reserved_until = now.plus(RESERVATION);
        }
        taken
    }

    /// Notes that a read of KV at `now` brought no answer.
    pub fn miss(&mut self, now: Timestamp) {
        self.kv.reserved_until = now.plus(RESERVATION);
    }

    /// Takes over what the coordinator told.
    pub fn take_told(&mut self, found: Found<'_>, phase: u64) -> Taken {
        self.coordinator.is_away = false;
        if let Found::Nothing = found {
            return Taken::Unchanged;
        }
        let (seen, taken) = self.judge(found, self.coordinator.seen.clone(), phase);
        self.coordinator.seen = seen;
        taken
    }

    /// Notes that the coordinator did not answer; whether it did the time before.
    pub fn miss_told(&mut self) -> bool {
        !std::mem::replace(&mut self.coordinator.is_away, true)
    }

    fn kv_need(&self, now: Timestamp, refresh: Duration) -> Need {
        let age = now.since(self.kv.answered_at);
        if age < refresh || now < self.kv.reserved_until {
            Need::No
        } else if age < refresh * 2 {
            Need::Beside
        } else {
            Need::First
        }
    }

    fn coordinator_need(&self, now: Timestamp, pace: Pace) -> Need {
        let Some(check) = pace.check else { return Need::No };
        let is_of_use = self.wanted() != Wanted::None || self.is_checked;
        let age = now.since(self.coordinator.asked_at);
        if !is_of_use || age < check {
            Need::No
        } else if age < check * 2 || self.coordinator.is_away {
            Need::Beside
        } else {
            Need::First
        }
    }

    fn reserve(&mut self, now: Timestamp, reads: Reads) {
        if reads.kv.is_some() {
            self.kv.reserved_until = now.plus(RESERVATION);
        }
        if reads.coordinator.is_some() {
            self.coordinator.asked_at = now;
        }
    }

    /// What becomes of what a source had, where it had `seen` before; and what it is then.
    fn judge(
        &mut self,
        found: Found<'_>,
        seen: Option<Revision>,
        phase: u64,
    ) -> (Option<Revision>, Taken) {
        let mut report = Report::default();
        let (text, revision) = match found {
            Found::Nothing => return (None, Taken::Absent),
            Found::Document(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => (Some(text), Revision::of_text(text)),
                Err(error) => {
                    report.fault(At::Root, format!("no text: {error}"));
                    (None, Revision::of_text(&String::from_utf8_lossy(bytes)))
                }
            },
            Found::TooLong(length) => {
                let what = format!("{length} bytes long, at most {LENGTH_MAX} are read");
                report.fault(At::Root, what);
                (None, Revision::of_text(&length.to_string()))
            }
        };
        let is_known = seen.as_ref() == Some(&revision) || self.text.as_ref() == Some(&revision);
        let taken = match text {
            _ if is_known => Taken::Unchanged,
            Some(text) => self.load(text, revision.clone(), phase, report),
            None => Taken::Refused(revision.clone(), report),
        };
        (Some(revision), taken)
    }

    fn load(&mut self, text: &str, digest: Revision, phase: u64, mut report: Report) -> Taken {
        let Some(snapshot) = compile_json(text, phase, &mut report) else {
            return Taken::Refused(digest, report);
        };
        if is_older(snapshot.published(), self.published()) {
            return Taken::Older(snapshot.revision().clone());
        }
        let snapshot = match &self.snapshot {
            Some(earlier) => snapshot.following(earlier),
            None => snapshot,
        };
        let revision = snapshot.revision().clone();
        self.is_checked = !checkups(&snapshot).is_empty();
        self.heard.apply(Some(&snapshot));
        (self.snapshot, self.text) = (Some(Arc::new(snapshot)), Some(digest));
        Taken::Loaded(revision)
    }
}

/// Whether both are of one ledger, and the first an earlier revision of it.
fn is_older(one: Option<&Published>, other: Option<&Published>) -> bool {
    one.zip(other)
        .is_some_and(|(one, other)| one.ledger == other.ledger && one.revision < other.revision)
}
