//! What is known of a request when something is decided about it: the head as the client sent it, what
//! has been changed of it so far, and the body where a decision has asked for it.

use std::borrow::Cow;
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Range;

use serde_json::Value as Json;

use crate::head::{Edits, Head, Lists, match_path};

/// A request as it stands on its way: what the client sent, and what is to be sent instead.
#[derive(Clone, Debug)]
pub struct Draft<'a> {
    /// The method.
    pub method: Cow<'a, str>,
    /// The path as it is to be sent, escapes as written; without a `?`.
    pub path: Cow<'a, str>,
    /// What follows the `?`.
    pub query: Option<Cow<'a, str>>,
    /// The authority to ask for in place of the client's, where the upstream passes that on.
    pub host: Option<Cow<'a, str>>,
    /// Changes to the client's headers.
    pub edits: Edits,
    /// The body to send in place of the client's.
    pub body: Option<Vec<u8>>,
}

impl<'a> Draft<'a> {
    /// The request as it came.
    pub fn of(head: &'a dyn Head) -> Self {
        Self {
            method: Cow::Borrowed(head.method()),
            path: Cow::Borrowed(head.path()),
            query: head.query().map(Cow::Borrowed),
            host: None,
            edits: Edits::default(),
            body: None,
        }
    }

    /// Path and query as they are to be sent.
    pub fn target(&self) -> Cow<'a, str> {
        match &self.query {
            None => self.path.clone(),
            Some(query) => Cow::Owned(format!("{}?{query}", self.path)),
        }
    }
}

/// How much of the body of a request is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body<'a> {
    /// It has not been read. Whoever asks for it is noted (`Facts::wants_body`).
    Unread,
    /// This is all of it; empty where there is none.
    Whole(&'a [u8]),
}

/// What is to be decided depends on the body of the request, which has not been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeedsBody;

/// What a path parameter of a route stands for in a request: name and value, in order.
pub(crate) type Params<'a> = Vec<(&'a str, String)>;

/// What of a route its expressions can ask for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Matched<'a> {
    pub(crate) id: &'a str,
    pub(crate) name: Option<&'a str>,
    pub(crate) service_id: Option<&'a str>,
    pub(crate) service_name: Option<&'a str>,
    pub(crate) params: Params<'a>,
}

/// Who calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Caller<'a> {
    /// The address, where it is another than the head has.
    pub(crate) client: Option<IpAddr>,
    /// The name of the consumer.
    pub(crate) consumer: Option<&'a str>,
    /// The id of the group that the consumer is in.
    pub(crate) group: Option<&'a str>,
    /// Whether it is taken for that consumer because it showed nothing that is right, as all are who do.
    pub(crate) is_anonymous: bool,
}

/// All that a decision can ask about a request.
pub struct Facts<'a> {
    /// The head as the client sent it.
    pub(crate) head: &'a dyn Head,
    /// The request as it stands.
    pub(crate) draft: &'a Draft<'a>,
    body: Body<'a>,
    /// The route, once one is found.
    pub(crate) route: Option<&'a Matched<'a>>,
    /// Who calls, as far as that is known.
    pub(crate) caller: Caller<'a>,
    wants_body: Cell<bool>,
    /// What was read of it so far; made when something is.
    read: OnceCell<Box<Read>>,
}

/// What was parsed of a request, so that it is parsed once however often it is asked for. Only
/// [`crate::variable`] knows how; nothing of it is told before the body is there.
#[derive(Default)]
pub(crate) struct Read {
    /// Where in a body of JSON is what was asked for, by plain paths. Places and not what is there: cells
    /// of what is borrowed would tie all else that is borrowed from facts to one lifetime.
    pub(crate) places: RefCell<BTreeMap<Box<str>, Option<Range<usize>>>>,
    /// The first values of the fields of a form that were asked for.
    pub(crate) form: RefCell<BTreeMap<Box<str>, Option<Json>>>,
    /// The whole body: JSON, or the fields of a form.
    pub(crate) parsed: OnceCell<Option<Json>>,
    /// The kind and the name of the GraphQL operation.
    pub(crate) operation: OnceCell<Option<(String, String)>>,
    /// The root fields of the GraphQL operation.
    pub(crate) root_fields: OnceCell<Option<Json>>,
}

impl<'a> Facts<'a> {
    pub(crate) fn new(head: &'a dyn Head, draft: &'a Draft<'a>, body: Body<'a>) -> Self {
        let (wants_body, read) = (Cell::new(false), OnceCell::new());
        let caller = Caller::default();
        Self { head, draft, body, route: None, caller, wants_body, read }
    }

    /// The same facts, for a request that `route` took.
    pub(crate) fn of_route(self, route: &'a Matched<'a>) -> Self {
        Self { route: Some(route), ..self }
    }

    /// The same facts, for a request of this caller.
    pub(crate) fn of_caller(self, caller: Caller<'a>) -> Self {
        Self { caller, ..self }
    }

    /// What `ask` makes of the same request of another caller. What it asks of the body is noted here.
    pub(crate) fn seen_as<T>(&self, caller: Caller<'a>, ask: impl FnOnce(&Self) -> T) -> T {
        let (wants_body, read) = (Cell::new(false), OnceCell::new());
        let seen = Self { caller, wants_body, read, ..*self };
        let made = ask(&seen);
        self.wants_body.set(self.wants_body.get() || seen.wants_body.get());
        made
    }

    /// The address of the client: what a header said of it, where that was to be believed.
    pub(crate) fn client(&self) -> Option<IpAddr> {
        self.caller.client.or_else(|| self.head.client())
    }

    /// The body, if it is known. Where it is not, what is decided now will have to be decided again
    /// with it.
    pub(crate) fn body(&self) -> Option<&'a [u8]> {
        match self.body {
            Body::Whole(bytes) => Some(bytes),
            Body::Unread => {
                self.wants_body.set(true);
                None
            }
        }
    }

    /// What was read of the body so far.
    pub(crate) fn read(&self) -> &Read {
        self.read.get_or_init(Box::default)
    }

    /// Whether something asked for a body that has not been read.
    pub(crate) fn wants_body(&self) -> bool {
        self.wants_body.get()
    }

    /// The value of a header by its lower-case name, as the draft would send it.
    pub(crate) fn header(&self, name: &str) -> Option<Cow<'a, str>> {
        let Lists { remove, set, add } = &*self.draft.edits;
        let sent = || {
            let is_removed = remove.iter().any(|removed| removed == name);
            self.head.header(name).filter(|_| !is_removed)
        };
        let replaced = set.iter().rfind(|(own, _)| own == name);
        let base = replaced.map(|(_, value)| Cow::Borrowed(value.as_str())).or_else(sent);
        let mut added = add.iter().filter(|(own, _)| own == name).map(|(_, value)| value.as_str());
        match (base, added.next()) {
            (base, None) => base,
            (base, Some(first)) => {
                let all = base.iter().map(|base| &**base).chain([first]).chain(added);
                Some(Cow::Owned(all.collect::<Vec<_>>().join(", ")))
            }
        }
    }

    /// The value of the first cookie of this name.
    pub(crate) fn cookie(&self, name: &str) -> Option<Cow<'a, str>> {
        match self.header("cookie")? {
            Cow::Borrowed(header) => cookies(header, name).next().map(Cow::Borrowed),
            Cow::Owned(header) => cookies(&header, name).next().map(str::to_owned).map(Cow::Owned),
        }
    }

    /// The path as routes and expressions see it: decoded, folded, merged.
    pub(crate) fn match_path(&self) -> Cow<'a, [u8]> {
        match_path(&self.draft.path)
    }

    /// The host that was asked for, as it was written, but without its port and without a dot at its
    /// end: a name with one is the same name (RFC 1034, section 3.1).
    pub(crate) fn host(&self) -> &'a str {
        let host = host_name(self.head.host());
        host.strip_suffix('.').unwrap_or(host)
    }
}

/// The values of the cookies of this name in the header `Cookie` (RFC 6265, section 4.2.1), quotes as
/// written, without the blanks and tabs around them. There can be several, of different paths.
pub(crate) fn cookies<'h>(header: &'h str, name: &str) -> impl Iterator<Item = &'h str> {
    let pairs = header.split(';').filter_map(|pair| pair.split_once('='));
    let blanks = [' ', '\t'];
    pairs
        .filter(move |(own, _)| own.trim_matches(blanks) == name)
        .map(move |(_, value)| value.trim_matches(blanks))
}

/// The header `Cookie` without the cookies of this name; nothing where there are no others.
pub(crate) fn without_cookie(header: &str, name: &str) -> Option<String> {
    let blanks = [' ', '\t'];
    let is_other = |pair: &&str| {
        let own = pair.split_once('=').map(|(own, _)| own.trim_matches(blanks));
        !pair.is_empty() && own != Some(name)
    };
    let pairs = header.split(';').map(|pair| pair.trim_matches(blanks));
    let others: Vec<&str> = pairs.filter(is_other).collect();
    (!others.is_empty()).then(|| others.join("; "))
}

/// The host of an authority, without its port.
pub(crate) fn host_name(authority: &str) -> &str {
    match authority.rfind(':') {
        Some(colon) if !authority.ends_with(']') => authority.get(..colon).unwrap_or_default(),
        Some(_) | None => authority,
    }
}

/// A request for tests of what is decided from facts.
#[cfg(test)]
pub(crate) mod fake {
    use super::*;

    /// A head of these headers, by lower-case name, from this client.
    #[derive(Default)]
    pub(crate) struct Asked {
        pub(crate) headers: Vec<(&'static str, String)>,
        pub(crate) client: Option<IpAddr>,
        pub(crate) query: Option<String>,
        pub(crate) host: Option<&'static str>,
    }

    impl Asked {
        pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
            self.headers.push((name, value.to_owned()));
            self
        }

        pub(crate) fn from(self, client: &str) -> Self {
            Self { client: client.parse().ok(), ..self }
        }

        /// What `decide` makes of the request, with this body.
        pub(crate) fn with<T>(&self, body: Body<'_>, decide: impl FnOnce(Facts<'_>) -> T) -> T {
            let draft = Draft::of(self);
            decide(Facts::new(self, &draft, body))
        }
    }

    impl Head for Asked {
        fn method(&self) -> &str {
            "GET"
        }

        fn path(&self) -> &str {
            "/"
        }

        fn query(&self) -> Option<&str> {
            self.query.as_deref()
        }

        fn host(&self) -> &str {
            self.host.unwrap_or("api.example.com")
        }

        fn header(&self, name: &str) -> Option<Cow<'_, str>> {
            let found = self.headers.iter().find(|(own, _)| *own == name);
            found.map(|(_, value)| Cow::Borrowed(value.as_str()))
        }

        fn client(&self) -> Option<IpAddr> {
            self.client
        }

        fn scheme(&self) -> &str {
            "https"
        }

        fn port(&self) -> u16 {
            443
        }

        fn is_fronted(&self) -> bool {
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dot_at_the_end_of_a_host_is_no_part_of_it() {
        for (written, expected) in [
            ("api.example.com", "api.example.com"),
            ("api.example.com.", "api.example.com"),
            ("API.example.com.:8080", "API.example.com"),
            ("[::1]:80", "[::1]"),
            (".", ""),
            ("", ""),
        ] {
            let asked = fake::Asked { host: Some(written), ..fake::Asked::default() };
            assert_eq!(asked.with(Body::Unread, |facts| facts.host().to_owned()), expected);
        }
    }

    #[test]
    fn cookies_are_found_by_their_whole_names() {
        let header = "a=1; ab=2;b = 3\t; a=4; =5; c; d=\"6=7\"; \u{a0}e=8\u{a0}; f=9\u{a0}";
        let find = |name: &str| cookies(header, name).collect::<Vec<_>>();
        assert_eq!(find("a"), ["1", "4"]);
        assert_eq!(find("b"), ["3"]);
        assert_eq!(find("c"), [""; 0]);
        assert_eq!(find("A"), [""; 0]);
        assert_eq!(find("d"), ["\"6=7\""]);
        assert_eq!(find("e"), [""; 0], "only blanks and tabs stand around names and values");
        assert_eq!(find("f"), ["9\u{a0}"]);
    }

    #[test]
    fn a_cookie_is_left_out_and_the_others_stay_as_they_are() {
        for (header, left) in [
            ("jwt=a", None),
            (" jwt = a ;jwt=b;", None),
            ("a=1; jwt=x; b=\"2=3\"", Some("a=1; b=\"2=3\"")),
            ("jwt; JWT=a;xjwt=b", Some("jwt; JWT=a; xjwt=b")),
            ("a=jwt=1", Some("a=jwt=1")),
        ] {
            assert_eq!(without_cookie(header, "jwt").as_deref(), left, "{header}");
        }
    }
}
