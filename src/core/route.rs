//! Which route takes a request: the tree of APISIX's `radixtree_host_uri` router as two sorted lists.
//!
//! Precedence (APISIX.md 3.1): an exact host before wildcards, longer wildcards before shorter, then
//! the routes without a host; inside each, an exact path before prefixes, longer prefixes before
//! shorter; inside one path, `priority` from high to low, then the order of the document. A route
//! whose other conditions fail is passed over and the search goes on.

use std::collections::BTreeMap;

/// A sorted index of keys, each exact, or a prefix, or both. A look-up costs one binary search and a
/// walk over the prefixes that apply, whatever the number of keys.
#[derive(Debug)]
pub(crate) struct Index<T> {
    entries: Box<[Entry<T>]>,
}

#[derive(Debug)]
struct Entry<T> {
    key: Box<[u8]>,
    exact: Option<T>,
    prefix: Option<T>,
    /// The entry with the longest key that is a proper prefix of this one's.
    parent: Option<usize>,
}

impl<T> Index<T> {
    fn get(&self, key: &[u8]) -> impl Iterator<Item = &T> {
        let after = self.entries.partition_point(|entry| *entry.key <= *key);
        let last = after.checked_sub(1);
        // Every key between a prefix of `key` and `key` itself starts with that prefix, so all
        // prefixes of `key` are ancestors of the last entry not above it.
        let nearest = last.and_then(|last| self.entries.get(last));
        let exact =
            nearest.filter(|entry| *entry.key == *key).and_then(|entry| entry.exact.as_ref());
        let ancestors = std::iter::successors(nearest, |entry| self.entries.get(entry.parent?));
        let prefixes = ancestors
            .filter(move |entry| key.starts_with(&entry.key))
            .filter_map(|entry| entry.prefix.as_ref());
        exact.into_iter().chain(prefixes)
    }
}

/// Collects an [`Index`].
#[derive(Debug)]
struct Builder<T> {
    entries: BTreeMap<Box<[u8]>, Both<T>>,
}

/// What a key means exactly and what it means as a prefix.
#[derive(Debug)]
struct Both<T> {
    exact: Option<T>,
    prefix: Option<T>,
}

impl<T> Default for Both<T> {
    fn default() -> Self {
        Self { exact: None, prefix: None }
    }
}

impl<T: Default> Builder<T> {
    fn new() -> Self {
        Self { entries: BTreeMap::new() }
    }

    /// The value of a pattern: a key that counts as a prefix if it ends in `*`.
    fn entry(&mut self, pattern: &[u8]) -> &mut T {
        match pattern.strip_suffix(b"*") {
            Some(key) => self.entries.entry(key.into()).or_default().prefix.get_or_insert_default(),
            None => self.entries.entry(pattern.into()).or_default().exact.get_or_insert_default(),
        }
    }

    fn build<U>(self, mut finish: impl FnMut(T) -> U) -> Index<U> {
        let mut entries: Vec<Entry<U>> = Vec::with_capacity(self.entries.len());
        // The chain of prefixes of the key before, innermost last.
        let mut open: Vec<usize> = Vec::new();
        for (index, (key, Both { exact, prefix })) in self.entries.into_iter().enumerate() {
            let encloses = |at: &usize| entries.get(*at).is_some_and(|e| key.starts_with(&e.key));
            while open.last().is_some_and(|at| !encloses(at)) {
                open.pop();
            }
            let parent = open.last().copied();
            let (exact, prefix) = (exact.map(&mut finish), prefix.map(&mut finish));
            entries.push(Entry { key, exact, prefix, parent });
            open.push(index);
        }
        Index { entries: entries.into() }
    }
}

/// What of a route decides whether it takes a request.
#[derive(Clone, Debug)]
pub(crate) struct Conditions {
    /// Exact, `*.suffix`, `*suffix`, or `*` for any; none means any host.
    pub(crate) hosts: Vec<String>,
    /// Exact, or a prefix followed by `*`; at least one.
    pub(crate) uris: Vec<String>,
    /// Any if empty.
    pub(crate) methods: Vec<String>,
    pub(crate) priority: i64,
}

/// A route under one path: its number in the document, and the methods it takes.
#[derive(Debug)]
struct Candidate {
    route: usize,
    methods: Box<[Box<str>]>,
}

impl Candidate {
    fn takes(&self, method: &str) -> bool {
        self.methods.is_empty() || self.methods.iter().any(|taken| **taken == *method)
    }
}

type Paths = Index<Box<[Candidate]>>;

/// Finds the route that takes a request.
#[derive(Debug)]
pub(crate) struct Router {
    /// By reversed host, so that a wildcard is a prefix.
    hosts: Index<Paths>,
    any_host: Paths,
}

impl Router {
    /// Builds the index of routes, numbered in the order given.
    pub(crate) fn new<'a>(routes: impl Iterator<Item = (usize, &'a Conditions)>) -> Self {
        let mut hosts: Builder<PathBuilder> = Builder::new();
        let mut any_host = PathBuilder::default();
        for (route, conditions) in routes {
            for host in &conditions.hosts {
                hosts.entry(&reversed(host)).add(route, conditions);
            }
            if conditions.hosts.is_empty() {
                any_host.add(route, conditions);
            }
        }
        Self { hosts: hosts.build(PathBuilder::build), any_host: any_host.build() }
    }

    /// The number of the route that takes a request for `host` (without port) and `path`.
    pub(crate) fn find(&self, method: &str, host: &str, path: &[u8]) -> Option<usize> {
        self.find_by_host(method, host, path).or_else(|| first(&self.any_host, method, path))
    }

    fn find_by_host(&self, method: &str, host: &str, path: &[u8]) -> Option<usize> {
        if self.hosts.entries.is_empty() {
            return None;
        }
        self.hosts.get(&reversed(host)).find_map(|paths| first(paths, method, path))
    }
}

fn first(paths: &Paths, method: &str, path: &[u8]) -> Option<usize> {
    paths
        .get(path)
        .flat_map(|candidates| candidates.iter())
        .find(|candidate| candidate.takes(method))
        .map(|candidate| candidate.route)
}

/// The bytes of a host from the last to the first, in lower case.
fn reversed(host: &str) -> Vec<u8> {
    host.bytes().rev().map(|b| b.to_ascii_lowercase()).collect()
}

#[derive(Debug)]
struct PathBuilder {
    /// Priority beside each candidate until they are sorted.
    paths: Builder<Vec<(i64, Candidate)>>,
}

impl Default for PathBuilder {
    fn default() -> Self {
        Self { paths: Builder::new() }
    }
}

impl PathBuilder {
    fn add(&mut self, route: usize, conditions: &Conditions) {
        for uri in &conditions.uris {
            let methods = conditions.methods.iter().map(|method| method.as_str().into()).collect();
            let candidate = Candidate { route, methods };
            self.paths.entry(uri.as_bytes()).push((conditions.priority, candidate));
        }
    }

    fn build(self) -> Paths {
        self.paths.build(|mut candidates| {
            candidates.sort_by_key(|(priority, _)| std::cmp::Reverse(*priority));
            candidates.into_iter().map(|(_, candidate)| candidate).collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(hosts: &[&str], uris: &[&str], methods: &[&str], priority: i64) -> Conditions {
        let own = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        Conditions { hosts: own(hosts), uris: own(uris), methods: own(methods), priority }
    }

    fn router(routes: &[Conditions]) -> Router {
        Router::new(routes.iter().enumerate())
    }

    #[test]
    fn exact_then_longest_prefix_then_priority_then_order() {
        let router = router(&[
            route(&[], &["/*"], &[], 100),
            route(&[], &["/a/*"], &[], 50),
            route(&[], &["/a/b"], &[], 0),
            route(&[], &["/a/b*"], &["POST"], 0),
            route(&[], &["/a/b*"], &[], -1),
            route(&[], &["/a/b*"], &["POST"], 7),
        ]);
        let find = |method, path: &str| router.find(method, "h", path.as_bytes());
        assert_eq!(find("GET", "/a/b"), Some(2));
        assert_eq!(find("POST", "/a/bc"), Some(5));
        assert_eq!(find("GET", "/a/bc"), Some(4));
        assert_eq!(find("GET", "/a/c"), Some(1));
        assert_eq!(find("GET", "/b"), Some(0));
        assert_eq!(find("GET", "*"), None);
    }

    #[test]
    fn hosts_come_before_any_host_and_fall_through() {
        let router = router(&[
            route(&[], &["/*"], &[], 0),
            route(&["api.example.com"], &["/x"], &[], 0),
            route(&["*.example.com"], &["/x", "/y"], &[], 0),
            route(&["*.com"], &["/z"], &[], 0),
        ]);
        let find = |host, path: &str| router.find("GET", host, path.as_bytes());
        assert_eq!(find("api.example.com", "/x"), Some(1));
        assert_eq!(find("API.example.COM", "/y"), Some(2));
        assert_eq!(find("api.example.com", "/z"), Some(3));
        assert_eq!(find("example.com", "/x"), Some(0));
        assert_eq!(find("a.b.example.com", "/x"), Some(2));
        assert_eq!(find("other.org", "/x"), Some(0));
    }

    /// The index agrees with a plain scan over all routes, for every path over a small alphabet.
    #[test]
    fn the_index_agrees_with_a_scan() {
        let patterns = ["/", "/*", "/a", "/a*", "/a/*", "/a/b", "/a/b*", "/ab*", "/b/a*", "/ba"];
        let routes: Vec<Conditions> =
            patterns.iter().map(|uri| route(&[], &[uri], &[], 0)).collect();
        let router = router(&routes);
        let mut paths = vec![String::from("/")];
        for length in 0..4 {
            let longer: Vec<String> = paths
                .iter()
                .filter(|path| path.len() == length + 1)
                .flat_map(|path| ["/", "a", "b"].map(|next| format!("{path}{next}")))
                .collect();
            paths.extend(longer);
        }
        assert!(paths.len() > 100);
        for path in paths {
            let scan = patterns
                .iter()
                .enumerate()
                .filter(|(_, pattern)| match pattern.strip_suffix('*') {
                    Some(prefix) => path.starts_with(prefix),
                    None => path == **pattern,
                })
                .max_by_key(|(_, pattern)| (!pattern.ends_with('*'), pattern.len()))
                .map(|(number, _)| number);
            assert_eq!(router.find("GET", "h", path.as_bytes()), scan, "{path}");
        }
    }
}
