//! A head for tests.

use std::borrow::Cow;
use std::net::IpAddr;

use crate::facts::{Body, Draft, Facts};
use crate::head::{Changes, Edits, Head, Text};
use crate::problem::Problem;
use crate::rewrite::Rewrite;

/// A request from 10.0.0.7 to `a.example`.
pub(crate) struct Fake {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: String,
    client: IpAddr,
}

impl Fake {
    pub(crate) fn new(method: &str, target: &str) -> Self {
        let (method, target) = (method.to_owned(), target.to_owned());
        let client = IpAddr::from([10, 0, 0, 7]);
        Self { method, target, headers: Vec::new(), body: String::new(), client }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_ascii_lowercase(), value.to_owned()));
        self
    }

    pub(crate) fn from(self, client: &str) -> Self {
        Self { client: client.parse().unwrap(), ..self }
    }

    pub(crate) fn body(mut self, body: &str) -> Self {
        body.clone_into(&mut self.body);
        self
    }

    /// What becomes of it.
    pub(crate) fn through<'a>(&'a self, rewrite: &'a Rewrite) -> Result<Draft<'a>, Problem> {
        let received = Draft::of(self);
        let mut draft = received.clone();
        let facts = Facts::new(self, &received, Body::Whole(self.body.as_bytes()));
        rewrite.apply(&facts, &mut draft)?;
        Ok(draft)
    }

    /// The changes to the headers of its response.
    pub(crate) fn response(&self, rewrite: &Rewrite) -> Edits {
        let received = Draft::of(self);
        let mut edits = Edits::default();
        rewrite.response(&Facts::new(self, &received, Body::Whole(b"")), &mut edits);
        edits
    }

    /// The values of a header that are sent with these changes.
    pub(crate) fn sent(&self, name: &str, edits: &Edits) -> Vec<String> {
        let mut changes = Changes::default();
        changes.follow(edits.clone());
        self.sent_by(name, &changes)
    }

    /// The same with all that is changed.
    pub(crate) fn sent_by(&self, name: &str, changes: &Changes) -> Vec<String> {
        let value = |(own, value): (&str, &Text)| (own == name).then(|| value.to_string());
        let is_removed = changes.removed().any(|removed| removed == name);
        let own = self.headers.iter().filter(|(own, _)| own == name && !is_removed);
        let own: Vec<String> = own.map(|(_, value)| value.clone()).collect();
        let set: Vec<String> = changes.set().filter_map(value).collect();
        let added = changes.added().filter_map(value).collect();
        [if set.is_empty() { own } else { set }, added].concat()
    }
}

impl Head for Fake {
    fn method(&self) -> &str {
        &self.method
    }

    fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    fn query(&self) -> Option<&str> {
        self.target.split_once('?').map(|(_, query)| query)
    }

    fn host(&self) -> &str {
        "a.example"
    }

    fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        let values = self.headers.iter().filter(|(own, _)| own == name);
        let values: Vec<&str> = values.map(|(_, value)| value.as_str()).collect();
        (!values.is_empty()).then(|| Cow::Owned(values.join(", ")))
    }

    fn client(&self) -> Option<IpAddr> {
        Some(self.client)
    }

    fn scheme(&self) -> &str {
        "http"
    }

    fn port(&self) -> u16 {
        80
    }

    fn is_fronted(&self) -> bool {
        false
    }
}
