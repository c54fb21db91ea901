//! Which branches have room for a request: those without a limit, and those whose limit is not reached.

use super::branch::{Branch, Branches};
use super::pick::Means;
use crate::facts::Facts;
use crate::limit::{Grant, Reading, Taken, Whose};
use crate::problem::Failure;
use crate::time::Timestamp;

/// Whose request it is to each of the branches that count. Empty, where none does.
#[derive(Clone, Debug, Default)]
pub(crate) struct Room(Box<[Option<Whose>]>);

/// The branches that have no room, by position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Full([u64; 4]);

/// There is no room in the branch, and after how many milliseconds there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoRoom {
    pub(crate) wait_ms: u64,
}

impl Full {
    /// Of which all branches have room.
    pub(super) const NONE: Self = Self([0; 4]);

    pub(super) fn has(&self, index: usize) -> bool {
        self.0.get(index / 64).is_some_and(|word| word >> (index % 64) & 1 == 1)
    }

    fn add(&mut self, index: usize) {
        if let Some(word) = self.0.get_mut(index / 64) {
            *word |= 1 << (index % 64);
        }
    }
}

impl Branches {
    /// Whose request this is to the branches that count.
    pub(crate) fn room(&self, facts: &Facts<'_>, means: Means<'_>) -> Room {
        if self.list().iter().all(|branch| branch.limit.is_none()) {
            return Room::default();
        }
        let whose = |branch: &Branch| Some(branch.limit.as_ref()?.whose(facts, means.chance));
        Room(self.list().iter().map(whose).collect())
    }

    /// Those that have no room now.
    pub(crate) fn full(&self, room: &Room, now: Timestamp) -> Full {
        let mut full = Full::NONE;
        for (index, reading) in self.readings(room, now) {
            if !reading.is_admitted {
                full.add(index);
            }
        }
        full
    }

    /// Those, and those of which the store is to be asked first whether they have room.
    pub(crate) fn unsure(&self, room: &Room, now: Timestamp) -> Full {
        let mut full = self.full(room, now);
        for (index, (branch, whose)) in self.list().iter().zip(&room.0).enumerate() {
            let both = branch.limit.as_ref().zip(whose.as_ref());
            if both.is_some_and(|(limit, whose)| limit.asks(whose, now)) {
                full.add(index);
            }
        }
        full
    }

    /// The same as `full`, with this one.
    pub(crate) fn full_with(&self, branch: &Branch, full: &mut Full) {
        if let Some(index) = self.position(branch) {
            full.add(index);
        }
    }

    /// After how long one of them may have room, if none has.
    pub(crate) fn wait(&self, room: &Room, now: Timestamp) -> NoRoom {
        let waits = self.readings(room, now).map(|(_, reading)| reading.reset_ms);
        NoRoom { wait_ms: waits.min().unwrap_or_default() }
    }

    /// Takes room in a branch, if there is some, or says what the store is to be asked for. A trial takes none.
    pub(crate) fn take(
        &self,
        branch: &Branch,
        room: &Room,
        (now, is_trial): (Timestamp, bool),
    ) -> Result<Taken, NoRoom> {
        let Some((limit, whose)) = branch.limit.as_ref().zip(self.whose(branch, room)) else {
            return Ok(Taken::default());
        };
        let taken = match is_trial {
            true => match limit.look(whose, now) {
                reading if reading.is_admitted => Ok(Taken::default()),
                reading => Err(reading),
            },
            false => limit.take(whose, now),
        };
        taken.map_err(|reading| NoRoom { wait_ms: reading.reset_ms })
    }

    /// The same for what cannot wait for the store: where that is to be asked, there is no room.
    pub(crate) fn take_at_once(
        &self,
        branch: &Branch,
        room: &Room,
        moment: (Timestamp, bool),
    ) -> Option<Taken> {
        let both = branch.limit.as_ref().zip(self.whose(branch, room));
        if both.is_some_and(|(limit, whose)| limit.asks(whose, moment.0)) {
            return None;
        }
        self.take(branch, room, moment).ok().filter(|taken| taken.toll.is_none())
    }

    /// Takes what came of what the store was asked for, and when: whether there is room for who asked.
    pub(crate) fn fund(
        &self,
        branch: &Branch,
        room: &Room,
        came: &Result<Grant, Failure>,
        asked_now: (Timestamp, Timestamp),
    ) -> Result<(), NoRoom> {
        let Some((limit, whose)) = branch.limit.as_ref().zip(self.whose(branch, room)) else {
            return Ok(());
        };
        let funded = limit.fund(whose, came, asked_now);
        funded.map_err(|reading| NoRoom { wait_ms: reading.reset_ms })
    }

    fn whose<'r>(&self, branch: &Branch, room: &'r Room) -> Option<&'r Whose> {
        room.0.get(self.position(branch)?)?.as_ref()
    }

    fn readings(&self, room: &Room, now: Timestamp) -> impl Iterator<Item = (usize, Reading)> {
        let all = self.list().iter().zip(&room.0).enumerate();
        all.filter_map(move |(index, (branch, whose))| {
            Some((index, branch.limit.as_ref()?.look(whose.as_ref()?, now)))
        })
    }
}

impl Room {
    /// Whether some branch counts.
    pub(crate) fn is_counted(&self) -> bool {
        !self.0.is_empty()
    }
}
