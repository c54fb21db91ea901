//! What is known of every request by its number, and everything that was wrong.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

/// So many wrongs are told in full; the others are counted.
const TOLD_MAX: usize = 20;

/// Origins and clients write down here what they see.
#[derive(Default, Debug)]
pub(crate) struct Ledger {
    next: AtomicU64,
    /// How often origins had each request as a whole, by its number.
    executed: Mutex<Vec<u8>>,
    wrongs: Mutex<Wrongs>,
}

#[derive(Default, Debug)]
struct Wrongs {
    told: Vec<String>,
    count: usize,
}

impl Ledger {
    /// A number that no other request has.
    pub(crate) fn draw(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Notes that an origin has all of a request; returns how often that was so.
    pub(crate) fn execute(&self, number: u64) -> u8 {
        if number >= self.next.load(Ordering::Relaxed) {
            self.wrong(format!("an origin received #{number}, which nobody sent"));
            return 0;
        }
        let mut executed = lock(&self.executed);
        let place = usize::try_from(number).expect("memory for that many");
        if executed.len() <= place {
            executed.resize(place + 1024, 0);
        }
        executed[place] = executed[place].saturating_add(1);
        executed[place]
    }

    /// How often origins had all of this request.
    pub(crate) fn executions(&self, number: u64) -> u8 {
        let place = usize::try_from(number).expect("memory for that many");
        lock(&self.executed).get(place).copied().unwrap_or_default()
    }

    /// Writes down what should not have been.
    pub(crate) fn wrong(&self, what: String) {
        let mut wrongs = lock(&self.wrongs);
        wrongs.count += 1;
        if wrongs.told.len() < TOLD_MAX {
            wrongs.told.push(what);
        }
    }

    /// How much was wrong so far.
    pub(crate) fn wrongs_count(&self) -> usize {
        lock(&self.wrongs).count
    }

    /// Fails with everything that was wrong.
    pub(crate) fn close(&self, seed: u64) {
        let wrongs = lock(&self.wrongs);
        let told = wrongs.told.join("\n  ");
        assert!(
            wrongs.count == 0,
            "SOAK_SEED={seed}: {} wrong, among them\n  {told}",
            wrongs.count
        );
    }
}

/// Threads that panicked have told why; what they left is as good as any.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
