//! Sets of public keys that others publish (RFC 7517): got when they are needed, and kept.
//!
//! | a token names           | and the keys are      | then                                               |
//! |-------------------------|-----------------------|----------------------------------------------------|
//! | a key that is there     | fresh                 | it is checked with that                            |
//! | a key that is there     | older than [`FRESH`]  | it is checked with that, and one has them got anew |
//! | none that is there      | got [`PAUSE`] ago     | one has them got, and all wait for them            |
//! | none that is there      | got less long ago     | it is refused                                      |
//!
//! Keys are got beside the requests ([`Errand`]): whoever sends a token and leaves takes nothing away from
//! others. However many tokens with invented keys come, a source is asked once in [`PAUSE`]. A source that is away
//! changes nothing about the keys that it gave.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::problem::Failure;
use crate::signature::{Algorithm, Jwk, KEYS_MAX, PublicKey, key_set};
use crate::time::Timestamp;

/// For how long keys are used without asking for them again.
pub(crate) const FRESH: Duration = Duration::from_secs(600);
/// How long a source is not asked again, whatever it said.
pub(crate) const PAUSE: Duration = Duration::from_secs(30);
/// The most bytes of a set of keys.
pub const KEY_SET_MAX: usize = 64 * 1024;
/// After so long nobody brings any more what a source is asked for: who asked has left.
pub(crate) const LOST: Duration = Duration::from_secs(6);

/// The sources of a document, by their URLs.
#[derive(Debug, Default)]
pub(crate) struct Sources(BTreeMap<Arc<str>, Arc<Source>>);

impl Sources {
    /// The source at this URL, which all have that name it.
    pub(crate) fn at(&mut self, url: &str) -> Arc<Source> {
        if let Some(source) = self.0.get(url) {
            return Arc::clone(source);
        }
        let url: Arc<str> = url.into();
        let source = Arc::new(Source { url: Arc::clone(&url), state: ArcSwap::default() });
        self.0.insert(url, Arc::clone(&source));
        source
    }

    /// Goes on with the keys that `earlier` has of the same sources.
    pub(crate) fn follow(&self, earlier: &Self) {
        for (url, source) in &self.0 {
            if let Some(earlier) = earlier.0.get(url) {
                source.state.store(earlier.state.load_full());
            }
        }
    }
}

/// Where keys are published.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) url: Arc<str>,
    /// Shared with the sources of other documents that are at this URL.
    state: ArcSwap<State>,
}

#[derive(Debug, Default)]
struct State {
    held: ArcSwap<Held>,
    /// When it was last asked, in milliseconds; 0 where it never was. No two times are the same.
    begun: AtomicU64,
    /// The last of those times of which something came.
    ended: AtomicU64,
}

/// The keys of a source.
#[derive(Debug, Default)]
struct Held {
    keys: Vec<Jwk>,
    /// When they came; never, where there is none.
    at: Option<Timestamp>,
}

/// What a source has for a token.
#[derive(Debug)]
pub(crate) enum Lookup {
    /// The key that it names.
    Key(Arc<PublicKey>),
    /// The keys are to be got: by whoever hears this, who then looks again.
    Fetch(Errand),
    /// Somebody is getting the keys.
    Wait,
    /// There is no such key.
    Unknown,
    /// The source gave no keys yet, and was asked just now.
    Away,
}

/// Keys to get. They are everybody's: whoever is sent goes on when the request that waits for them ends.
/// Dropped, it has brought nothing.
#[derive(Debug)]
pub struct Errand {
    url: Arc<str>,
    state: Arc<State>,
    begun: u64,
}

/// Why nothing came of an errand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vain {
    /// Nothing was brought.
    Failed(Failure),
    /// What was brought is no set of keys.
    NoKeySet,
}

impl fmt::Display for Vain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(failure) => f.write_str(failure.token()),
            Self::NoKeySet => write!(f, "no set of at most {KEYS_MAX} keys (RFC 7517)"),
        }
    }
}

impl Errand {
    /// Where the keys are.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Hands over what is there, of at most [`KEY_SET_MAX`] bytes. Where that is of no use, the keys that were
    /// there before stay.
    pub fn deliver(self, came: Result<Vec<u8>, Failure>, now: Timestamp) -> Result<(), Vain> {
        let text = came.map_err(Vain::Failed)?;
        let fits = text.len() <= KEY_SET_MAX;
        let keys = fits.then(|| key_set(&text).ok()).flatten().ok_or(Vain::NoKeySet)?;
        self.state.held.store(Arc::new(Held { keys, at: Some(now) }));
        Ok(())
    }
}

impl Drop for Errand {
    fn drop(&mut self) {
        // Whoever sees that it has ended sees the keys, too.
        self.state.ended.fetch_max(self.begun, Ordering::Release);
    }
}

/// What becomes of somebody who would ask a source.
enum Turn {
    /// It is theirs, and began at this time.
    Mine(u64),
    Another,
    TooSoon,
}

impl Source {
    /// The key that a token is to be checked with. `may_ask` says whether this may lead to a request.
    pub(crate) fn find(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
        now: Timestamp,
        may_ask: bool,
    ) -> Lookup {
        let state = self.state.load();
        let held = state.held.load();
        let is_fresh = held.at.is_some_and(|at| now.since(at) < FRESH);
        let key = held.find(kid, algorithm);
        if let Some(key) = &key
            && is_fresh
        {
            return Lookup::Key(Arc::clone(key));
        }
        let turn = if may_ask { state.turn(now) } else { Turn::TooSoon };
        match (turn, key) {
            (Turn::Mine(begun), _) => {
                let (url, state) = (Arc::clone(&self.url), Arc::clone(&state));
                Lookup::Fetch(Errand { url, state, begun })
            }
            (Turn::Another | Turn::TooSoon, Some(key)) => Lookup::Key(key),
            (Turn::Another, None) => Lookup::Wait,
            (Turn::TooSoon, None) => state.look_again(kid, algorithm),
        }
    }
}

impl State {
    /// Whose turn it is to ask the source. Of all who ask at one time one hears that it is theirs.
    fn turn(&self, now: Timestamp) -> Turn {
        let begun = self.begun.load(Ordering::Relaxed);
        let since = now.since(Timestamp::from_millis(begun));
        let has_ended = self.ended.load(Ordering::Acquire) >= begun;
        if begun > 0 && has_ended && since < PAUSE {
            return Turn::TooSoon;
        }
        if begun > 0 && !has_ended && since < LOST {
            return Turn::Another;
        }
        let next = now.as_millis().max(begun + 1);
        match self.begun.compare_exchange(begun, next, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => Turn::Mine(next),
            Err(_) => Turn::Another,
        }
    }

    /// What there is for who did not find a key, and now hears that the source was asked just before: the
    /// keys may have come in between.
    fn look_again(&self, kid: Option<&str>, algorithm: Algorithm) -> Lookup {
        let held = self.held.load();
        match held.find(kid, algorithm) {
            Some(key) => Lookup::Key(key),
            None if held.at.is_none() => Lookup::Away,
            None => Lookup::Unknown,
        }
    }
}

impl Held {
    /// The key of this name, for this algorithm. A token that names none can only mean the one there is.
    fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Option<Arc<PublicKey>> {
        let mut fitting = self.keys.iter().filter(|jwk| {
            jwk.key.algorithm() == algorithm && (kid.is_none() || jwk.kid.as_deref() == kid)
        });
        let found = fitting.next()?;
        let is_clear = kid.is_some() || fitting.next().is_none();
        is_clear.then(|| Arc::clone(&found.key))
    }
}
