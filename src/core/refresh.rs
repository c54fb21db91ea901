//! When to read the configuration again, where nobody tells of changes: what an isolate holds of the
//! document in KV.
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

use std::sync::Arc;
use std::time::Duration;

use crate::fault::Report;
use crate::snapshot::{Revision, Snapshot, compile_json};
use crate::time::Timestamp;

/// For how long a read keeps others from reading too. The request that reads may be killed, so the
/// reservation ends by itself.
const RESERVATION: Duration = Duration::from_secs(1);

/// How long a request may wait for a read while there is something to serve from.
const WAIT_WHILE_HELD: Duration = Duration::from_secs(1);

/// How long a request may wait for a read while there is nothing to serve from.
const WAIT_WHILE_EMPTY: Duration = Duration::from_secs(10);

/// What a request should do for its configuration.
#[derive(Clone, Debug)]
pub enum Plan {
    /// Serve from this, or refuse for want of any.
    Serve(Option<Arc<Snapshot>>),
    /// Serve from this, and read beside the request.
    ServeAndRead(Arc<Snapshot>),
    /// Read for at most so long, then serve from what is held.
    ReadFirst(Duration),
}

/// What became of a document that was read.
#[derive(Debug)]
pub enum Taken {
    /// There is none; what is held stays.
    Absent,
    /// It is the one read last.
    Unchanged,
    /// It serves from here on.
    Loaded(Revision),
    /// It has faults; what is held stays.
    Refused(Revision, Report),
}

/// The last good Snapshot and when to look for the next.
#[derive(Debug, Default)]
pub struct Held {
    snapshot: Option<Arc<Snapshot>>,
    /// The document last read, good or not: it is compiled once.
    seen: Option<Revision>,
    /// When a read last brought an answer.
    answered_at: Timestamp,
    /// Until when nobody else should read.
    reserved_until: Timestamp,
}

impl Held {
    /// The last good Snapshot.
    pub fn snapshot(&self) -> Option<Arc<Snapshot>> {
        self.snapshot.clone()
    }

    /// What a request at `now` should do; `refresh` is the refresh time.
    pub fn plan(&mut self, now: Timestamp, refresh: Duration) -> Plan {
        let age = now.since(self.answered_at);
        let is_reserved = now < self.reserved_until;
        let Some(snapshot) = &self.snapshot else {
            return if is_reserved { Plan::Serve(None) } else { Plan::ReadFirst(WAIT_WHILE_EMPTY) };
        };
        if age < refresh || is_reserved {
            return Plan::Serve(Some(Arc::clone(snapshot)));
        }
        self.reserved_until = now.plus(RESERVATION);
        if age < refresh * 2 {
            Plan::ServeAndRead(Arc::clone(snapshot))
        } else {
            Plan::ReadFirst(WAIT_WHILE_HELD)
        }
    }

    /// Takes over what a read brought at `now`. `phase` is where the walks of new splits start.
    pub fn take(&mut self, text: Option<&str>, now: Timestamp, phase: u64) -> Taken {
        self.answered_at = now;
        let taken = self.compile(text, phase);
        if self.snapshot.is_none() {
            self.reserved_until = now.plus(RESERVATION);
        }
        taken
    }

    /// Notes that a read at `now` brought no answer.
    pub fn miss(&mut self, now: Timestamp) {
        self.reserved_until = now.plus(RESERVATION);
    }

    fn compile(&mut self, text: Option<&str>, phase: u64) -> Taken {
        let Some(text) = text else {
            self.seen = None;
            return Taken::Absent;
        };
        let revision = Revision::of_text(text);
        if self.seen.replace(revision.clone()) == Some(revision.clone()) {
            return Taken::Unchanged;
        }
        let mut report = Report::default();
        let Some(snapshot) = compile_json(text, phase, &mut report) else {
            return Taken::Refused(revision, report);
        };
        let snapshot = match &self.snapshot {
            Some(earlier) => snapshot.following(earlier),
            None => snapshot,
        };
        self.snapshot = Some(Arc::new(snapshot));
        Taken::Loaded(revision)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFRESH: Duration = Duration::from_secs(30);
    const GOOD: &str = r#"{"routes": [{"uri": "/", "upstream": "http://a"}]}"#;

    fn at(secs: f64) -> Timestamp {
        Timestamp::from_millis((secs * 1000.0) as u64)
    }

    /// What one that last heard at second 100 does at another second.
    fn check(held: &mut Held, secs: f64, expected: &str) {
        let plan = match held.plan(at(secs), REFRESH) {
            Plan::Serve(Some(_)) => "serve".to_owned(),
            Plan::Serve(None) => "refuse".to_owned(),
            Plan::ServeAndRead(_) => "serve and read".to_owned(),
            Plan::ReadFirst(wait) => format!("read for {} s", wait.as_secs()),
        };
        assert_eq!(plan, expected, "at second {secs}");
    }

    fn heard(text: Option<&str>) -> Held {
        let mut held = Held::default();
        held.take(text, at(100.0), 0);
        held
    }

    #[test]
    fn a_busy_isolate_reads_once_a_refresh_time_and_never_waits() {
        let mut held = heard(Some(GOOD));
        check(&mut held, 100.0, "serve");
        check(&mut held, 129.9, "serve");
        check(&mut held, 130.0, "serve and read");
        check(&mut held, 130.5, "serve");
        // The request that read was killed.
        check(&mut held, 131.0, "serve and read");
        assert!(matches!(held.take(Some(GOOD), at(131.2), 0), Taken::Unchanged));
        check(&mut held, 131.3, "serve");
        check(&mut held, 161.2, "serve and read");
    }

    #[test]
    fn after_idling_one_request_reads_first_and_the_others_serve() {
        let mut held = heard(Some(GOOD));
        check(&mut held, 160.0, "read for 1 s");
        check(&mut held, 160.1, "serve");
        held.miss(at(160.9));
        check(&mut held, 161.8, "serve");
        check(&mut held, 161.9, "read for 1 s");
    }

    #[test]
    fn with_nothing_held_requests_read_but_not_all_the_time() {
        check(&mut Held::default(), 5.0, "read for 10 s");
        for nothing in [None, Some("{"), Some("{\"routes\": 1}")] {
            let mut held = heard(nothing);
            check(&mut held, 100.0, "refuse");
            check(&mut held, 100.9, "refuse");
            check(&mut held, 101.0, "read for 10 s");
        }
    }

    #[test]
    fn what_is_no_good_changes_nothing() {
        let mut held = heard(Some(GOOD));
        let good = held.snapshot().map(|snapshot| snapshot.revision().clone());
        assert!(matches!(held.take(Some("{"), at(200.0), 0), Taken::Refused(..)));
        assert!(matches!(held.take(Some("{"), at(201.0), 0), Taken::Unchanged));
        assert!(matches!(held.take(None, at(202.0), 0), Taken::Absent));
        assert_eq!(held.snapshot().map(|snapshot| snapshot.revision().clone()), good);
        assert!(matches!(held.take(Some(GOOD), at(203.0), 0), Taken::Loaded(_)));
    }
}
