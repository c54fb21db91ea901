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
    /// Since when it is as it is, in milliseconds from the beginning.
    since_ms: AtomicU64,
    /// Whether a head has begun to arrive.
    is_reading: AtomicBool,
    is_draining: AtomicBool,
    /// Whether an answer said that it is the last.
    is_last: AtomicBool,
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
}

impl Attendance {
    pub(crate) fn new(connections: Arc<Connections>) -> Self {
        Self {
            began: Instant::now(),
            inside: AtomicU32::new(0),
            entered: AtomicU32::new(0),
            since_ms: AtomicU64::new(0),
            is_reading: AtomicBool::new(false),
            is_draining: AtomicBool::new(false),
            is_last: AtomicBool::new(false),
            connections,
        }
    }

    /// A request is there. It is inside until what this returns is dropped.
    pub(crate) fn enter(self: &Arc<Self>) -> Presence {
        self.inside.fetch_add(1, Relaxed);
        self.entered.fetch_add(1, Relaxed);
        self.connections.begin();
        self.is_reading.store(false, Relaxed);
        Presence { attendance: Arc::clone(self), place: None }
    }

    /// Something of a head is there.
    pub(crate) fn read(&self) {
        if self.is_quiet() && !self.is_reading.load(Relaxed) {
            self.is_reading.store(true, Relaxed);
            self.mark();
        }
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

    /// How many requests entered so far; wraps around.
    pub(crate) fn entered(&self) -> u32 {
        self.entered.load(Relaxed)
    }

    pub(crate) fn drain(&self) {
        self.is_draining.store(true, Relaxed);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.is_draining.load(Relaxed)
    }

    /// Whether an answer said that it is the last.
    pub(crate) fn is_last(&self) -> bool {
        self.is_last.load(Relaxed)
    }

    /// What is due now.
    pub(crate) fn due(&self, limits: &Limits, now: Instant) -> Due {
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
        let since = self.began + Duration::from_millis(self.since_ms.load(Relaxed));
        match limit.map(|limit| since + limit) {
            Some(until) if until <= now => due,
            Some(until) => Due::Nothing(until.min(look)),
            None => Due::Nothing(look),
        }
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
        if self.attendance.inside.fetch_sub(1, Relaxed) == 1 {
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
        match attendance.due(&limits(), Instant::now()) {
            Due::Nothing(until) => {
                assert!(
                    until > Instant::now() && until <= Instant::now() + Duration::from_secs(30)
                );
                None
            }
            due @ (Due::Idle | Due::Head) => Some(due),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_is_due_from_its_first_byte_and_a_request_from_the_last_answer() {
        let attendance = Arc::new(Attendance::new(Arc::default()));
        assert_eq!(due_after(&attendance, 74).await, None);
        attendance.read();
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
}
