//! Sets of public keys that others publish (RFC 7517): got when they are needed, and kept.
//!
//! | a token names           | and the keys are      | then                                               |
//! |-------------------------|-----------------------|----------------------------------------------------|
//! | a key that is there     | fresh                 | it is checked with that                            |
//! | a key that is there     | older than [`FRESH`]  | one request gets the keys anew, others go on       |
//! | none that is there      | got [`PAUSE`] ago     | one request gets the keys, the others wait for it  |
//! | none that is there      | got less long ago     | it is refused                                      |
//!
//! However many tokens with invented keys come, a source is asked once in [`PAUSE`]. A source that is away
//! changes nothing about the keys that it gave.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::signature::{Algorithm, Jwk, PublicKey, key_set};
use crate::time::Timestamp;

/// For how long keys are used without asking for them again.
pub(crate) const FRESH: Duration = Duration::from_secs(600);
/// How long a source is not asked again, whatever it said.
pub(crate) const PAUSE: Duration = Duration::from_secs(30);
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Lookup {
    /// The key that it names.
    Key(Arc<PublicKey>),
    /// The keys are to be got, by who hears this, and handed to [`Source::keep`].
    Fetch,
    /// Somebody is getting the keys.
    Wait,
    /// There is no such key.
    Unknown,
    /// The source gave no keys yet, and was asked just now.
    Away,
}

/// What becomes of somebody who would ask a source.
enum Turn {
    Mine,
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
        let turn = || if may_ask { state.turn(now) } else { Turn::TooSoon };
        match held.find(kid, algorithm) {
            Some(key) if is_fresh => Lookup::Key(key),
            Some(key) => match turn() {
                Turn::Mine => Lookup::Fetch,
                Turn::Another | Turn::TooSoon => Lookup::Key(key),
            },
            None => match turn() {
                Turn::Mine => Lookup::Fetch,
                Turn::Another => Lookup::Wait,
                Turn::TooSoon => state.look_again(kid, algorithm),
            },
        }
    }

    /// Takes over what the source said; nothing where it said nothing, or nothing of use.
    pub(crate) fn keep(&self, text: Option<&[u8]>, now: Timestamp) {
        let state = self.state.load();
        if let Some(keys) = text.and_then(|text| key_set(text).ok()) {
            state.held.store(Arc::new(Held { keys, at: Some(now) }));
        }
        // Whoever sees that it has ended sees the keys, too.
        state.ended.store(state.begun.load(Ordering::Relaxed), Ordering::Release);
    }
}

impl State {
    /// Whose turn it is to ask the source. Of all who ask at one time one hears that it is theirs.
    fn turn(&self, now: Timestamp) -> Turn {
        let begun = self.begun.load(Ordering::Relaxed);
        let since = now.since(Timestamp::from_millis(begun));
        let has_ended = self.ended.load(Ordering::Acquire) == begun;
        if begun > 0 && has_ended && since < PAUSE {
            return Turn::TooSoon;
        }
        if begun > 0 && !has_ended && since < LOST {
            return Turn::Another;
        }
        let next = now.as_millis().max(begun + 1);
        match self.begun.compare_exchange(begun, next, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => Turn::Mine,
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
