//! What one connection is busy with, known to all who have a part in it: who reads and writes, who
//! answers, and who decides that it took too long.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::connections::Connections;
use super::limits::Limits;

/// How long a connection that waits for its next request is left open while the server drains: the
/// request may be on its way.
const LINGER: Duration = Duration::from_secs(1);

/// How long a connection that is used waits for its next request before nothing is kept of it but the stream.
/// Those that are busy never wait so long, and to begin anew costs less than the wait.
const AT_REST: Duration = Duration::from_millis(100);

/// The same where nothing says yet that there is a next one: of thousands that come at once, each to ask once,
/// only so many are kept in full.
const AT_FIRST: Duration = Duration::from_millis(10);

/// When to look again where nothing is due.
const LOOK: Duration = Duration::from_secs(60);

/// All of it is touched by one thread at a time.
#[derive(Debug)]
pub(crate) struct Attendance {
    began: Instant,
    /// Requests whose answers are not complete.
    inside: AtomicU32,
    /// Requests so far.
    entered: AtomicU32,
    /// How many had entered when all that was to be written was written.
    flushed: AtomicU32,
    /// How many will have entered when the connection is one that is used: it has two requests between two
    /// rests, or its last rest was short.
    used_from: AtomicU32,
    /// Since when it is as it is, in milliseconds from the beginning.
    since_ms: AtomicU64,
    /// Whether a head has begun to arrive.
    is_reading: AtomicBool,
    /// Whether it is not known yet since when.
    is_unmarked: AtomicBool,
    is_draining: AtomicBool,
    /// Whether an answer said that it is the last.
    is_last: AtomicBool,
    /// Whether no other request is waited for.
    is_leaving: AtomicBool,
    connections: Arc<Connections>,
}

/// What is due on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Nothing before this.
    Nothing(Instant),
    /// It waited for a request for too long.
    Idle,
    /// A head takes too long.
    Head,
    /// It has waited for a request for a while and has nothing else to do.
    Rest,
}

impl Attendance {
    pub(crate) fn new(connections: Arc<Connections>) -> Self {
        Self {
            began: Instant::now(),
            inside: AtomicU32::new(0),
            entered: AtomicU32::new(0),
            flushed: AtomicU32::new(0),
            used_from: AtomicU32::new(2),
            since_ms: AtomicU64::new(0),
            is_reading: AtomicBool::new(false),
            is_unmarked: AtomicBool::new(false),
            is_draining: AtomicBool::new(false),
            is_last: AtomicBool::new(false),
            is_leaving: AtomicBool::new(false),
            connections,
        }
    }

    /// A request is there. It is inside until what this returns is dropped.
    pub(crate) fn enter(self: &Arc<Self>) -> Presence {
        // Nobody else does so at the same time, and a locked instruction costs as much as twenty others.
        self.inside.store(self.inside.load(Relaxed).wrapping_add(1), Relaxed);
        self.entered.store(self.entered.load(Relaxed).wrapping_add(1), Relaxed);
        self.connections.begin();
        self.is_reading.store(false, Relaxed);
        Presence { attendance: Arc::clone(self), place: None }
    }

    /// Something of a head is there. Since when, [`Attendance::settle`] says: mostly all of it is.
    pub(crate) fn read(&self) {
        if self.is_quiet() && !self.is_reading.load(Relaxed) {
            self.is_reading.store(true, Relaxed);
            self.is_unmarked.store(true, Relaxed);
        }
    }

    /// Whoever read has looked at all that was there: if that is a part of a head, its time begins.
    pub(crate) fn settle(&self) {
        if self.is_unmarked.load(Relaxed) {
            self.is_unmarked.store(false, Relaxed);
            if self.is_reading.load(Relaxed) {
                self.mark();
            }
        }
    }

    /// It has rested until now, when something of a head came.
    pub(crate) fn wake(&self) {
        let entered = self.entered.load(Relaxed);
        let is_used = entered > 0 && self.began.elapsed() < self.since() + AT_REST;
        self.used_from.store(if is_used { entered } else { entered.wrapping_add(2) }, Relaxed);
        self.read();
        self.settle();
    }

    /// What is there is no head.
    pub(crate) fn forget_read(&self) {
        self.is_reading.store(false, Relaxed);
        self.mark();
    }

    /// Whether no request is inside.
    pub(crate) fn is_quiet(&self) -> bool {
        self.inside.load(Relaxed) == 0
    }

    /// Whether no request is inside and nothing of one has come.
    pub(crate) fn is_waiting(&self) -> bool {
        self.is_quiet() && !self.is_reading.load(Relaxed)
    }

    /// What was to be written until now is written.
    pub(crate) fn flush(&self) {
        if self.is_quiet() {
            self.flushed.store(self.entered.load(Relaxed), Relaxed);
        }
    }

    /// Whether no request is inside and all answers are written.
    pub(crate) fn is_through(&self) -> bool {
        self.is_quiet() && self.flushed.load(Relaxed) == self.entered.load(Relaxed)
    }

    pub(crate) fn drain(&self) {
        self.is_draining.store(true, Relaxed);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.is_draining.load(Relaxed)
    }

    /// No other request is waited for.
    pub(crate) fn leave(&self) {
        self.is_leaving.store(true, Relaxed);
    }

    pub(crate) fn is_leaving(&self) -> bool {
        self.is_leaving.load(Relaxed)
    }

    /// Whether an answer said that it is the last.
    pub(crate) fn is_last(&self) -> bool {
        self.is_last.load(Relaxed)
    }

    /// What is due now, on a connection that `can_rest` or not.
    pub(crate) fn due(&self, limits: &Limits, now: Instant, can_rest: bool) -> Due {
        self.settle();
        // What is waited for may change to anything that has a shorter limit.
        let limits_all = [limits.head, limits.idle, self.is_draining().then_some(LINGER)];
        let look = now + limits_all.into_iter().flatten().min().unwrap_or(LOOK);
        if !self.is_quiet() {
            return Due::Nothing(look);
        }
        let (limit, due) = match (self.is_reading.load(Relaxed), self.is_draining()) {
            (true, _) => (limits.head, Due::Head),
            (false, true) => (Some(LINGER), Due::Idle),
            (false, false) => (limits.idle, Due::Idle),
        };
        let since = self.began + self.since();
        let until = match limit.map(|limit| since + limit) {
            Some(until) if until <= now => return due,
            Some(until) => until.min(look),
            None => look,
        };
        let is_tired = can_rest && due == Due::Idle && !self.is_draining() && !self.is_last();
        match is_tired.then_some(since + self.patience()) {
            Some(rest) if rest > now => Due::Nothing(until.min(rest)),
            Some(_) if self.is_through() => Due::Rest,
            Some(_) | None => Due::Nothing(until),
        }
    }

    /// How long it waits before it rests.
    fn patience(&self) -> Duration {
        let beyond = self.entered.load(Relaxed).wrapping_sub(self.used_from.load(Relaxed));
        if beyond.cast_signed() < 0 { AT_FIRST } else { AT_REST }
    }

    /// Since when it is as it is, from the beginning.
    fn since(&self) -> Duration {
        Duration::from_millis(self.since_ms.load(Relaxed))
    }

    fn mark(&self) {
        let since = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.since_ms.store(since, Relaxed);
    }
}

/// A request that is inside.
#[derive(Debug)]
pub(crate) struct Presence {
    attendance: Arc<Attendance>,
    /// Its place among all requests, where those are limited.
    pub(crate) place: Option<OwnedSemaphorePermit>,
}

impl Presence {
    /// Whether the connection should end soon.
    pub(crate) fn is_draining(&self) -> bool {
        self.attendance.is_draining()
    }

    /// The answer says that it is the last.
    pub(crate) fn end(&self) {
        self.attendance.is_last.store(true, Relaxed);
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.attendance.connections.end();
        let inside = self.attendance.inside.load(Relaxed).wrapping_sub(1);
        self.attendance.inside.store(inside, Relaxed);
        if inside == 0 {
            self.attendance.mark();
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::super::options::ListenOptions;
    use super::*;

    fn limits() -> Limits {
        let options = ListenOptions {
            header_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(75),
            ..ListenOptions::default()
        };
        Limits::new(&options, 0, std::num::NonZeroUsize::MIN)
    }

    /// What is due after so many seconds, and whether another look comes before anything can be.
    async fn due_after(attendance: &Attendance, seconds: u64) -> Option<Due> {
        advance(Duration::from_secs(seconds)).await;
        match attendance.due(&limits(), Instant::now(), false) {
            Due::Nothing(until) => {
                assert!(
                    until > Instant::now() && until <= Instant::now() + Duration::from_secs(30)
                );
                None
            }
            due @ (Due::Idle | Due::Head | Due::Rest) => Some(due),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_is_due_from_its_first_byte_and_a_request_from_the_last_answer() {
        let attendance = Arc::new(Attendance::new(Arc::default()));
        assert_eq!(due_after(&attendance, 74).await, None);
        attendance.read();
        attendance.settle();
        assert_eq!(due_after(&attendance, 29).await, None);
        assert_eq!(due_after(&attendance, 1).await, Some(Due::Head));
        let presence = attendance.enter();
        assert_eq!(due_after(&attendance, 1000).await, None);
        drop(presence);
        assert_eq!(due_after(&attendance, 74).await, None);
        assert_eq!(due_after(&attendance, 1).await, Some(Due::Idle));
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_while_the_server_drains_has_a_second() {
        let attendance = Arc::new(Attendance::new(Arc::default()));
        drop(attendance.enter());
        attendance.drain();
        assert_eq!(due_after(&attendance, 0).await, None);
        assert_eq!(due_after(&attendance, 1).await, Some(Due::Idle));
        let presence = attendance.enter();
        assert_eq!(due_after(&attendance, 10).await, None);
        drop(presence);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_a_while_with_nothing_left_to_do_rests() {
        let attendance = Arc::new(Attendance::new(Arc::default()));
        let due = |can_rest| attendance.due(&limits(), Instant::now(), can_rest);
        let presence = attendance.enter();
        advance(AT_FIRST).await;
        assert!(matches!(due(true), Due::Nothing(_)));
        drop(presence);
        assert_eq!(due(true), Due::Nothing(Instant::now() + AT_FIRST));
        advance(AT_FIRST).await;
        assert!(matches!(due(true), Due::Nothing(_)), "the answer is not written");
        attendance.flush();
        assert!(matches!(due(false), Due::Nothing(_)));
        assert_eq!(due(true), Due::Rest);
        attendance.read();
        assert!(matches!(due(true), Due::Nothing(_)), "a head has begun");
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_used_rests_later_than_who_may_have_asked_for_the_last_time() {
        let attendance = Arc::new(Attendance::new(Arc::default()));
        let patience = || {
            drop(attendance.enter());
            attendance.flush();
            match attendance.due(&limits(), Instant::now(), true) {
                Due::Nothing(until) => until - Instant::now(),
                due @ (Due::Idle | Due::Head | Due::Rest) => panic!("{due:?}"),
            }
        };
        attendance.wake();
        assert_eq!((patience(), patience(), patience()), (AT_FIRST, AT_REST, AT_REST));
        advance(AT_REST).await;
        attendance.wake();
        assert_eq!((patience(), patience()), (AT_FIRST, AT_REST), "it has rested for long");
        advance(AT_REST / 2).await;
        attendance.wake();
        assert_eq!(patience(), AT_REST, "it should not have rested");
    }
}
