//! The store's side of a shared limit: what becomes of a [`Toll`] at a moment.
//!
//! There is one account for each key, wherever it is kept: in an object at the edge, or in the process of a
//! server that is alone. A fleet keeps its own in Redis, by a script that does the same; a test compares the
//! two. Batches are small near the limit: at most an eighth of what is left is given at once, so that with
//! the last of it every request asks.
//!
//! | terms   | what is exact                                                                           |
//! |---------|-----------------------------------------------------------------------------------------|
//! | fixed   | in each window that began with a request at most `count` pass                           |
//! | sliding | in any interval as long as the window at most `count` pass                              |
//! | leaky   | in any interval of `t` seconds at most `burst + 1 + t * rate` pass                      |
//! | places  | at most `conn + burst` are under way, of those that have not outlived their time        |
//!
//! Fewer may pass than that, by what nodes were given and did not use while it was good, and in a sliding
//! window by what was counted for up to 1/32 of it longer than it had to be.
//!
//! The clock may jump. Forwards, what would have ended ends. Backwards, what seems to begin in the future
//! begins now.

mod fixed;
mod leaky;
mod places;
mod sliding;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::limit::{Grant, Terms, Toll};
use crate::time::Timestamp;
use fixed::Fixed;
use leaky::Leaky;
use places::Places;
use sliding::Sliding;

/// What is left is given out in parts no larger than one in so many.
const PART: u64 = 8;

/// What was taken of one key's limit. It begins with nothing taken.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    taken: Taken,
    until_ms: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Taken {
    #[default]
    Nothing,
    Fixed(Fixed),
    Sliding(Sliding),
    Leaky(Leaky),
    Places(Places),
}

impl Account {
    /// What is granted at this moment.
    pub fn take(&mut self, toll: &Toll, now: Timestamp) -> Grant {
        let now_ms = now.as_millis();
        let (grant, until_ms) = match toll.terms {
            Terms::Fixed { count, window_ms } => {
                self.fixed().take((count, window_ms), toll.want, now_ms)
            }
            Terms::Sliding { count, window_ms } => {
                self.sliding().take((count, window_ms), toll.want, now_ms)
            }
            Terms::Leaky { rate_milli, burst_milli } => {
                self.leaky().take((rate_milli, burst_milli), toll.want, now_ms)
            }
            Terms::Enter { conn, burst, delay_ms, ref id, hold_ms } => {
                let room = places::Room { conn, burst, delay_ms };
                self.places().enter(&room, id, hold_ms, now_ms)
            }
            Terms::Leave { ref id } => self.places().leave(id),
        };
        self.until_ms = until_ms;
        grant
    }

    /// From when on it is as good as a new one.
    pub const fn until(&self) -> Timestamp {
        Timestamp::from_millis(self.until_ms)
    }

    fn fixed(&mut self) -> &mut Fixed {
        if !matches!(self.taken, Taken::Fixed(_)) {
            self.taken = Taken::Fixed(Fixed::default());
        }
        let Taken::Fixed(fixed) = &mut self.taken else { unreachable!("it was made one") };
        fixed
    }

    fn sliding(&mut self) -> &mut Sliding {
        if !matches!(self.taken, Taken::Sliding(_)) {
            self.taken = Taken::Sliding(Sliding::default());
        }
        let Taken::Sliding(sliding) = &mut self.taken else { unreachable!("it was made one") };
        sliding
    }

    fn leaky(&mut self) -> &mut Leaky {
        if !matches!(self.taken, Taken::Leaky(_)) {
            self.taken = Taken::Leaky(Leaky::default());
        }
        let Taken::Leaky(leaky) = &mut self.taken else { unreachable!("it was made one") };
        leaky
    }

    fn places(&mut self) -> &mut Places {
        if !matches!(self.taken, Taken::Places(_)) {
            self.taken = Taken::Places(Places::default());
        }
        let Taken::Places(places) = &mut self.taken else { unreachable!("it was made one") };
        places
    }
}

/// How many of `left` are given to somebody who wants so many.
fn batch(want: u32, left: u64) -> u32 {
    let part = (left / PART).max(1).min(left);
    want.min(u32::try_from(part).unwrap_or(u32::MAX))
}
