//! What many branches of a document say alike is held once.

use std::cell::RefCell;
use std::hash::{Hash, Hasher};
use std::mem;
use std::sync::Arc;

use siphasher::sip::SipHasher24;

use crate::balance::{Spec, Upstream};
use crate::fault::{At, Report};
use crate::rewrite::{HeadersWire, Rewrite, RewriteWire};

/// In so many places something is looked for: what is alike in nothing but its digest would be compared with
/// all others. What finds no place there is not held once.
const PLACES: usize = 8;

/// What has been compiled of a document.
#[derive(Debug)]
pub(crate) struct Pool(RefCell<Table>);

/// What is known by its digest: at the place that the digest says or shortly behind it. Half of the places are
/// free. A tree would look up each of hundreds of thousands in memory that is in no cache.
#[derive(Debug)]
struct Table {
    places: Vec<Option<(u64, Known)>>,
    count: usize,
}

/// Something that may be said again.
#[derive(Debug)]
enum Known {
    Name(Arc<str>),
    Spec(Arc<Spec>),
    /// Changes that were there once: most are never there again, and what is said of them is large.
    Changes,
    Rewrite(Box<Changes>, Arc<Rewrite>),
}

/// All that a branch changes in a request and its response.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Changes {
    pub(super) rewrite: Option<RewriteWire>,
    pub(super) headers: Option<HeadersWire>,
    pub(super) response_headers: Option<HeadersWire>,
}

impl Pool {
    /// One that knows nothing.
    pub(crate) const fn new() -> Self {
        Self(RefCell::new(Table { places: Vec::new(), count: 0 }))
    }

    /// This name, held once.
    pub(super) fn name(&self, name: &str) -> Arc<str> {
        let digest = digest(name);
        let found = self.find(digest, |known| {
            let Known::Name(known) = known else { return None };
            (**known == *name).then(|| Arc::clone(known))
        });
        found.unwrap_or_else(|| {
            let name = Arc::from(name);
            self.keep(digest, Known::Name(Arc::clone(&name)));
            name
        })
    }

    /// This upstream; what is said of it is held once.
    pub(crate) fn upstream(&self, spec: Spec) -> Arc<Upstream> {
        let digest = spec.digest();
        let found = self.find(digest, |known| {
            let Known::Spec(known) = known else { return None };
            (**known == spec).then(|| Arc::clone(known))
        });
        let spec = found.unwrap_or_else(|| {
            let spec = Arc::new(spec);
            self.keep(digest, Known::Spec(Arc::clone(&spec)));
            spec
        });
        Arc::new(spec.into())
    }

    /// Checks changes, unless the same were checked before and there was nothing to say about them.
    pub(super) fn rewrite(
        &self,
        changes: Changes,
        at: At<'_>,
        report: &mut Report,
    ) -> Arc<Rewrite> {
        let uri = changes.rewrite.as_ref().and_then(|wire| wire.uri.as_ref());
        let digest = digest((uri, changes.headers.is_some()));
        let found = self.find(digest, |known| {
            let Known::Rewrite(same, rewrite) = known else { return None };
            (**same == changes).then(|| Arc::clone(rewrite))
        });
        found.unwrap_or_else(|| {
            let said_before = (report.faults.len(), report.warnings.len());
            let Changes { rewrite, headers, response_headers } = &changes;
            let (headers, response) = (headers.as_ref(), response_headers.as_ref());
            let rewrite = Rewrite::compile(rewrite.as_ref(), headers, response, at, report);
            let rewrite = Arc::new(rewrite);
            if (report.faults.len(), report.warnings.len()) == said_before {
                let is_known = |known: &Known| matches!(known, Known::Changes).then_some(());
                let known = match self.find(digest, is_known) {
                    None => Known::Changes,
                    Some(()) => Known::Rewrite(Box::new(changes), Arc::clone(&rewrite)),
                };
                self.keep(digest, known);
            }
            rewrite
        })
    }

    fn find<T>(&self, digest: u64, is: impl FnMut(&Known) -> Option<T>) -> Option<T> {
        let table = self.0.borrow();
        let known = table.near(digest).flatten().filter(|(own, _)| *own == digest);
        known.map(|(_, known)| known).find_map(is)
    }

    fn keep(&self, digest: u64, known: Known) {
        let mut table = self.0.borrow_mut();
        if table.count * 2 >= table.places.len() {
            table.grow();
        }
        table.put(digest, known);
    }
}

impl Table {
    /// Where something of this digest may be.
    fn near(&self, digest: u64) -> impl Iterator<Item = &Option<(u64, Known)>> {
        self.places.get(self.start(digest)..).unwrap_or_default().iter().take(PLACES)
    }

    fn start(&self, digest: u64) -> usize {
        // There are a power of two, and some behind the last one.
        let count = self.places.len().saturating_sub(PLACES) as u64;
        usize::try_from(digest & count.saturating_sub(1)).unwrap_or_default()
    }

    fn put(&mut self, digest: u64, known: Known) {
        let start = self.start(digest);
        let near = self.places.get_mut(start..).unwrap_or_default().iter_mut();
        if let Some(place) = near.take(PLACES).find(|place| place.is_none()) {
            *place = Some((digest, known));
            self.count += 1;
        }
    }

    /// Makes twice as many places.
    fn grow(&mut self) {
        let count = self.places.len().saturating_sub(PLACES).max(32) * 2 + PLACES;
        let earlier = mem::take(&mut self.places);
        self.count = 0;
        self.places.resize_with(count, || None);
        for (digest, known) in earlier.into_iter().flatten() {
            self.put(digest, known);
        }
    }
}

fn digest(value: impl Hash) -> u64 {
    let mut hasher = SipHasher24::new();
    value.hash(&mut hasher);
    hasher.finish()
}
