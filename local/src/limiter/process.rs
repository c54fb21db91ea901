//! Accounts of one process, which is all the fleet that there is.
//!
//! They are behind locks, which nothing else on the road is: an account is more than a word. Requests that
//! take what their thread was given before do not come here, so a lock is taken rarely, for as long as it
//! takes to look an account up and to count, and one of many: who waits does so for well below a
//! microsecond.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use splitway_core::limit::account::Account;
use splitway_core::limit::{Grant, Toll};
use splitway_core::time::Timestamp;

/// How many locks there are.
const SHARDS: usize = 64;

/// The most accounts behind one lock. Whoever chooses keys cannot have more remembered than 65536.
const SHARD_MAX: usize = 1024;

#[derive(Debug)]
pub(crate) struct Process {
    shards: Box<[Mutex<Shard>]>,
}

#[derive(Debug, Default)]
struct Shard {
    accounts: HashMap<Box<str>, Account>,
}

impl Process {
    pub(super) fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect() }
    }

    /// What is granted now.
    pub(super) fn toll(&self, toll: &Toll, now: Timestamp) -> Grant {
        // Keys are digests: any part of one is as even as another.
        let sum: usize = toll
            .key
            .bytes()
            .take(8)
            .fold(0, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(byte)));
        let Some(shard) = self.shards.get(sum % SHARDS) else { return Grant::default() };
        // A panic in between would leave an account that is sound: it is a value.
        shard.lock().unwrap_or_else(PoisonError::into_inner).take(toll, now)
    }
}

impl Shard {
    fn take(&mut self, toll: &Toll, now: Timestamp) -> Grant {
        if let Some(account) = self.accounts.get_mut(&*toll.key) {
            return account.take(toll, now);
        }
        if self.accounts.len() >= SHARD_MAX {
            self.make_room(now);
        }
        self.accounts.entry(toll.key.as_str().into()).or_default().take(toll, now)
    }

    /// Forgets what has expired; if nothing has, what will do so first.
    fn make_room(&mut self, now: Timestamp) {
        self.accounts.retain(|_, account| account.until() > now);
        if self.accounts.len() < SHARD_MAX {
            return;
        }
        let first = self.accounts.iter().min_by_key(|(_, account)| account.until());
        if let Some(key) = first.map(|(key, _)| key.clone()) {
            self.accounts.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use splitway_core::limit::Terms;

    fn toll(key: usize, window_ms: u64) -> Toll {
        // As digests are: even in their first digits.
        let key = format!("{:016x}", (key as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        Toll { key, terms: Terms::Fixed { count: 1, window_ms }, want: 1 }
    }

    fn count(process: &Process) -> usize {
        process
            .shards
            .iter()
            .map(|shard| shard.lock().expect("nobody panicked").accounts.len())
            .sum()
    }

    #[test]
    fn a_key_passes_as_often_as_its_terms_say() {
        let process = Process::new();
        let at = Timestamp::from_millis;
        assert_eq!(process.toll(&toll(1, 1000), at(5)).granted, 1);
        assert_eq!(process.toll(&toll(1, 1000), at(6)).granted, 0);
        assert_eq!(process.toll(&toll(2, 1000), at(6)).granted, 1);
        assert_eq!(process.toll(&toll(1, 1000), at(1005)).granted, 1);
    }

    #[test]
    fn a_flood_of_keys_is_forgotten_before_what_lasts_longer() {
        let process = Process::new();
        let now = Timestamp::from_millis(1);
        assert_eq!(process.toll(&toll(0, 3_600_000), now).granted, 1);
        for key in 1..200_000 {
            assert_eq!(process.toll(&toll(key, 60_000), now).granted, 1);
        }
        assert!(count(&process) <= SHARDS * SHARD_MAX);
        assert_eq!(process.toll(&toll(0, 3_600_000), now).granted, 0);
        // What has expired makes room for many.
        let later = Timestamp::from_millis(60_001);
        for key in 200_000..201_000 {
            process.toll(&toll(key, 60_000), later);
        }
        assert!(count(&process) < SHARDS * SHARD_MAX / 2);
    }
}
