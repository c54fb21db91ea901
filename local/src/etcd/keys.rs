//! The keys of a ledger in etcd. Numbers have 20 digits, so that keys sort as numbers do.
//!
//! | key                        | what                                                              |
//! |----------------------------|-------------------------------------------------------------------|
//! | `head`                     | the one key that every change replaces: which revision is current |
//! | `log/<revision>`           | a change, written in one transaction with `head`                  |
//! | `parts/<revision>-<id>/<n>`| a change that is too large for one value                          |
//! | `base`                     | which whole ledger the log may be read from                       |
//! | `bases/<revision>-<id>/<n>`| such a whole ledger                                               |
//!
//! Parts count only where a key of the transaction names their id: those of a writer that lost or
//! died are never read, and go with the past.

/// The keys under a prefix.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    prefix: String,
}

impl Keys {
    /// The keys under `prefix`, which does not end with a slash.
    pub(super) fn under(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    /// The current revision.
    pub(super) fn head(&self) -> String {
        format!("{}/head", self.prefix)
    }

    /// Where to read from.
    pub(super) fn base(&self) -> String {
        format!("{}/base", self.prefix)
    }

    /// A change.
    pub(super) fn log(&self, revision: u64) -> String {
        format!("{}/log/{revision:020}", self.prefix)
    }

    /// Behind all changes.
    pub(super) fn log_end(&self) -> String {
        // What follows the slash.
        format!("{}/log0", self.prefix)
    }

    /// What all parts of a change begin with; without an id, those of all tries at a revision.
    pub(super) fn parts(&self, revision: u64, id: &str) -> String {
        format!("{}/parts/{revision:020}-{id}", self.prefix)
    }

    /// What all parts of a whole ledger begin with.
    pub(super) fn bases(&self, revision: u64, id: &str) -> String {
        format!("{}/bases/{revision:020}-{id}", self.prefix)
    }

    /// The revision that the key of a change is for.
    pub(super) fn revision_of(&self, key: &[u8]) -> Option<u64> {
        let key = std::str::from_utf8(key).ok()?;
        key.strip_prefix(&self.prefix)?.strip_prefix("/log/")?.parse().ok()
    }
}

/// The key of one part.
pub(super) fn part(parts: &str, number: usize) -> String {
    format!("{parts}/{number:06}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_as_revisions_do() {
        let keys = Keys::under("/s");
        let revisions = [0, 1, 9, 10, 99, u64::MAX];
        let sorted: Vec<String> = revisions.iter().map(|revision| keys.log(*revision)).collect();
        assert!(sorted.is_sorted());
        assert!(sorted.iter().all(|key| *key < keys.log_end()));
        let read: Vec<_> = sorted.iter().map(|key| keys.revision_of(key.as_bytes())).collect();
        assert_eq!(read, revisions.map(Some));
        assert_eq!(keys.revision_of(b"/s/head"), None);
        // All tries at a revision lie between it and the next.
        let part = part(&keys.parts(7, "abc"), 3);
        assert!(keys.parts(7, "") < part && part < keys.parts(8, ""));
    }
}
