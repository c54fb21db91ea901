//! Paths with parameters: `:name` is one segment that is not empty, `*name` all that stands there.

use std::collections::BTreeSet;

use crate::facts::Params;

/// What a `*` without a name is called.
const EXTENSION: &str = ":ext";

/// Where two of them meet, nobody could say where one ends.
const SECOND: &str = "a second `*` that stands for more than itself: expected one";

/// A path in segments, as far as it is not compared byte by byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern {
    /// How many bytes at the beginning have no parameter in them.
    lead: usize,
    before: Box<[Part]>,
    /// What all that is left is called, and the segments behind it.
    rest: Option<(Rest, Box<[Part]>)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(Box<[u8]>),
    Name(Box<str>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Rest {
    /// It has a name.
    Named(Box<str>),
    /// It begins with this, and nobody asks for it.
    After(Box<[u8]>),
}

impl Part {
    fn literal(segment: &str) -> Self {
        Self::Literal(segment.as_bytes().into())
    }

    fn text(&self) -> Option<&[u8]> {
        match self {
            Self::Literal(text) => Some(text),
            Self::Name(_) => None,
        }
    }
}

impl Pattern {
    /// The pattern that a path is, if it has parameters.
    pub(crate) fn parse(uri: &str) -> Option<Self> {
        // What is not a path is `*`, the target of a server as a whole, and every path's beginning.
        let uri = uri.strip_prefix('/').map(|_| uri)?;
        let is_special = |segment: &str| segment.starts_with([':', '*']);
        let mut lead = 0;
        let mut segments = uri.split('/').peekable();
        while let Some(segment) = segments.next_if(|segment| !is_special(segment)) {
            lead += segment.len() + 1;
        }
        segments.peek()?;
        let (mut before, mut rest) = (Vec::new(), None::<(Rest, Vec<Part>)>);
        while let Some(segment) = segments.next() {
            let is_open = segments.peek().is_none() && rest.is_none();
            let open = segment.strip_suffix('*').filter(|_| is_open);
            match (segment.strip_prefix(':'), segment.strip_prefix('*'), &mut rest) {
                (Some(name), _, None) => before.push(Part::Name(name.into())),
                (Some(name), _, Some((_, behind))) => behind.push(Part::Name(name.into())),
                (None, Some(name), None) => {
                    let name = if name.is_empty() { EXTENSION } else { name };
                    rest = Some((Rest::Named(name.into()), Vec::new()));
                }
                (None, _, Some((_, behind))) => behind.push(Part::literal(segment)),
                (None, None, None) => match open {
                    Some(start) => rest = Some((Rest::After(start.as_bytes().into()), Vec::new())),
                    None => before.push(Part::literal(segment)),
                },
            }
        }
        let rest = rest.map(|(rest, behind)| (rest, behind.into()));
        Some(Self { lead, before: before.into(), rest })
    }

    /// What is wrong with the parameters of a path.
    pub(crate) fn fault(uri: &str) -> Option<String> {
        let mut names = BTreeSet::new();
        let mut has_rest = false;
        for segment in uri.split('/').skip(1) {
            let name = match (segment.strip_prefix(':'), segment.strip_prefix('*')) {
                (Some(""), _) => {
                    return Some("expected the name of a parameter behind `:`".to_owned());
                }
                (_, Some(_)) if has_rest => {
                    return Some(SECOND.to_owned());
                }
                (_, Some(name)) => {
                    has_rest = true;
                    name
                }
                (Some(name), None) => name,
                (None, None) if has_rest && segment.ends_with('*') => {
                    return Some(SECOND.to_owned());
                }
                (None, None) => continue,
            };
            if !names.insert(name) {
                return Some(format!("the parameter `{name}` stands here twice"));
            }
        }
        None
    }

    /// How much of the path has no parameter in it.
    pub(crate) fn lead<'u>(&self, uri: &'u str) -> &'u str {
        uri.get(..self.lead).unwrap_or(uri)
    }

    /// How many bytes at the beginning have no parameter in them.
    pub(super) fn lead_length(&self) -> usize {
        self.lead
    }

    /// The segments behind the lead that are as many in every path, from the front; a parameter has no
    /// text.
    pub(super) fn front(&self) -> impl Iterator<Item = Option<&[u8]>> {
        self.before.iter().map(Part::text)
    }

    /// The segments behind all that is left, from the end.
    pub(super) fn back(&self) -> impl Iterator<Item = Option<&[u8]>> {
        let behind = self.rest.as_ref().map(|(_, behind)| &behind[..]).unwrap_or_default();
        behind.iter().rev().map(Part::text)
    }

    /// What an open end begins with, and at which segment behind the lead.
    pub(super) fn open(&self) -> Option<(usize, &[u8])> {
        match &self.rest {
            Some((Rest::After(start), _)) => Some((self.before.len(), start)),
            Some((Rest::Named(_), _)) | None => None,
        }
    }

    /// Whether a path is one of those meant.
    pub(crate) fn matches(&self, path: &[u8]) -> bool {
        self.bind(path, &mut |_, _| ())
    }

    /// What the parameters stand for in a path that is one of those meant.
    pub(crate) fn params<'a>(&'a self, path: &[u8]) -> Params<'a> {
        let mut params = Params::new();
        self.bind(path, &mut |name, value| {
            params.push((name, String::from_utf8_lossy(value).into_owned()));
        });
        params
    }

    /// Tells the names with what they stand for, unless the path is none of those meant.
    fn bind<'a, 'p>(&'a self, path: &'p [u8], bind: &mut dyn FnMut(&'a str, &'p [u8])) -> bool {
        let Some(mut path) = path.get(self.lead..).map(Some) else { return false };
        if !take(&self.before, &mut path, bind) {
            return false;
        }
        let Some((rest, behind)) = &self.rest else { return path.is_none() };
        let Some(mut middle) = path else { return false };
        let all = middle;
        for _ in behind {
            let Some(slash) = middle.iter().rposition(|b| *b == b'/') else { return false };
            middle = middle.get(..slash).unwrap_or_default();
        }
        match rest {
            Rest::Named(name) => bind(name, middle),
            Rest::After(start) => return middle.starts_with(start),
        }
        let mut path = all.get(middle.len() + 1..);
        take(behind, &mut path, bind)
    }
}

/// Takes one segment for each part off a path; nothing is left behind its last one.
fn take<'a, 'p>(
    parts: &'a [Part],
    path: &mut Option<&'p [u8]>,
    bind: &mut dyn FnMut(&'a str, &'p [u8]),
) -> bool {
    for part in parts {
        let Some(left) = *path else { return false };
        let slash = left.iter().position(|b| *b == b'/');
        let segment = left.get(..slash.unwrap_or(left.len())).unwrap_or_default();
        *path = slash.and_then(|slash| left.get(slash + 1..));
        match part {
            Part::Literal(literal) if **literal == *segment => {}
            Part::Name(name) if !segment.is_empty() => bind(name, segment),
            Part::Literal(_) | Part::Name(_) => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(uri: &str, path: &str, expected: Option<&[(&str, &str)]>) {
        let pattern = Pattern::parse(uri).unwrap();
        let path = path.as_bytes();
        let found = pattern.matches(path).then(|| pattern.params(path));
        let expected = expected.map(|list| {
            list.iter().map(|(name, value)| (*name, (*value).to_owned())).collect::<Params<'_>>()
        });
        assert_eq!(found, expected, "{uri} {path:?}");
    }

    #[test]
    fn a_name_is_one_segment_that_is_not_empty() {
        check("/blog/:name", "/blog/dog", Some(&[("name", "dog")]));
        check("/blog/:name", "/blog/", None);
        check("/blog/:name", "/blog/dog/", None);
        check("/blog/:name", "/blog/dog/cat", None);
        check("/u/:id/p/:pid", "/u/7/p/9", Some(&[("id", "7"), ("pid", "9")]));
        check("/u/:id/p/:pid", "/u/7/q/9", None);
        check("/:a", "/\u{e9}", Some(&[("a", "\u{e9}")]));
        check("/:a/x:y", "/1/x:y", Some(&[("a", "1")]));
    }

    #[test]
    fn a_rest_is_all_that_stands_there() {
        check("/f/:id/*rest", "/f/1/a/b", Some(&[("id", "1"), ("rest", "a/b")]));
        check("/f/:id/*rest", "/f/1/", Some(&[("id", "1"), ("rest", "")]));
        check("/f/:id/*rest", "/f/1", None);
        check("/f/*", "/f/a/b", Some(&[(":ext", "a/b")]));
        check("/f/*mid/end/:z", "/f/a/b/end/9", Some(&[("mid", "a/b"), ("z", "9")]));
        check("/f/*mid/end", "/f/a/b/ende", None);
        check("/f/*mid/end", "/f/end", None);
        check("/f/*mid/end", "/f//end", Some(&[("mid", "")]));
        check("/f/:id/ab*", "/f/1/abc/d", Some(&[("id", "1")]));
        check("/f/:id/ab*", "/f/1/ab", Some(&[("id", "1")]));
        check("/f/:id/ab*", "/f/1/a", None);
    }

    #[test]
    fn a_path_without_parameters_is_none() {
        for uri in ["/", "/a/b", "/a*", "/a:b", "*"] {
            assert_eq!(Pattern::parse(uri), None, "{uri}");
        }
    }

    #[test]
    fn what_was_escaped_is_told_as_it_was_meant() {
        let pattern = Pattern::parse("/:a").unwrap();
        let params = pattern.params(b"/\xff b");
        assert_eq!(params, [("a", "\u{fffd} b".to_owned())]);
    }

    #[test]
    fn names_stand_once_and_are_there() {
        for (uri, part) in [
            ("/:a/:a", "`a` stands here twice"),
            ("/:a/*a", "`a` stands here twice"),
            ("/:/x", "the name of a parameter"),
            ("/*a/*b", "a second `*`"),
            ("/*a/b*", "a second `*`"),
        ] {
            assert!(Pattern::fault(uri).unwrap().contains(part), "{uri}");
        }
        for uri in ["/", "/:a/:b/*c", "/*", "/a*", "*"] {
            assert_eq!(Pattern::fault(uri), None, "{uri}");
        }
    }
}
