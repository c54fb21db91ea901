//! Which branches have room for a request: those without a limit, and those whose limit is not reached.

use super::branch::{Branch, Branches};
use super::pick::Means;
use crate::facts::Facts;
use crate::limit::{Hold, Mark, Reading};
use crate::time::Timestamp;

/// Whose request it is to each of the branches that count. Empty, where none does.
#[derive(Clone, Debug, Default)]
pub(crate) struct Room(Box<[Option<Mark>]>);

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
        let mark = |branch: &Branch| Some(branch.limit.as_ref()?.mark(facts, means.chance));
        Room(self.list().iter().map(mark).collect())
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

    /// After how long one of them may have room, if none has.
    pub(crate) fn wait(&self, room: &Room, now: Timestamp) -> NoRoom {
        let waits = self.readings(room, now).map(|(_, reading)| reading.reset_ms);
        NoRoom { wait_ms: waits.min().unwrap_or_default() }
    }

    /// Takes room in a branch, if there is some. A trial takes none.
    pub(crate) fn take(
        &self,
        branch: &Branch,
        room: &Room,
        (now, is_trial): (Timestamp, bool),
    ) -> Result<Option<Hold>, NoRoom> {
        let index = self.position(branch).unwrap_or(usize::MAX);
        let mark = room.0.get(index).copied().flatten();
        let Some((limit, mark)) = branch.limit.as_ref().zip(mark) else { return Ok(None) };
        let taken = match is_trial {
            true => match limit.look(mark, now) {
                reading if reading.is_admitted => Ok(None),
                reading => Err(reading),
            },
            false => limit.take(mark, now),
        };
        taken.map_err(|reading| NoRoom { wait_ms: reading.reset_ms })
    }

    fn readings(&self, room: &Room, now: Timestamp) -> impl Iterator<Item = (usize, Reading)> {
        let all = self.list().iter().zip(&room.0).enumerate();
        all.filter_map(move |(index, (branch, mark))| {
            let (limit, mark) = (branch.limit.as_ref()?, (*mark)?);
            Some((index, limit.look(mark, now)))
        })
    }
}
