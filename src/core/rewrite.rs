//! What is changed in a request on its way: by a branch, or by the plugin `proxy-rewrite`.
//!
//! Both lower to one `Rewrite`. What it changes:
//!
//! - the target (`target`): a new path, by template or by pattern, and arguments (`query`);
//! - the method, and the host that is asked for;
//! - headers of the request and of the response (`headers`);
//! - members of a JSON object that is the body (`body`).
//!
//! Values are those of the request before the rewrite: no change of one rewrite sees another of it.

mod body;
mod escape;
#[cfg(test)]
pub(crate) mod fake;
mod headers;
mod query;
mod target;
#[cfg(test)]
mod tests;

use serde::Deserialize;
use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::facts::{Draft, Facts};
use crate::fault::{At, Report};
use crate::head::Edits;
use crate::problem::Problem;
use crate::wire::Members;

use headers::{HeaderRules, Message};
pub(crate) use headers::{HeadersWire, Values};
pub(crate) use query::QueryWire;
pub(crate) use target::URI_MAX;
use target::{Matched, Target, match_text};

/// The member `rewrite` of a branch.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct RewriteWire {
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = URI_MAX), regex(pattern = "^/")))]
    pub(crate) uri: Option<String>,
    #[cfg_attr(feature = "schema", schemars(length(min = 2)))]
    pub(crate) regex_uri: Option<Vec<String>>,
    #[cfg_attr(feature = "schema", schemars(regex(pattern = "^[0-9a-zA-Z.-]+(:[0-9]{1,5})?$")))]
    pub(crate) host: Option<String>,
    pub(crate) method: Option<Method>,
    pub(crate) query: Option<QueryWire>,
    /// Merged into the body (RFC 7396); its texts are plain, no templates.
    pub(crate) body: Option<Members>,
}

/// The methods that a request can be given, as in APISIX.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Method {
    Get,
    Post,
    Put,
    Head,
    Delete,
    Options,
    Mkcol,
    Copy,
    Move,
    Propfind,
    Lock,
    Unlock,
    Patch,
    Trace,
}

impl Method {
    const fn token(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Head => "HEAD",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
            Self::Mkcol => "MKCOL",
            Self::Copy => "COPY",
            Self::Move => "MOVE",
            Self::Propfind => "PROPFIND",
            Self::Lock => "LOCK",
            Self::Unlock => "UNLOCK",
            Self::Patch => "PATCH",
            Self::Trace => "TRACE",
        }
    }
}

/// Changes to a request and to its response.
#[derive(Debug, Default)]
pub(crate) struct Rewrite {
    target: Target,
    host: Option<Box<str>>,
    method: Option<Method>,
    headers: Option<Box<HeaderRules>>,
    response: Option<Box<HeaderRules>>,
    /// What is merged into the body; empty where it stays as it is.
    body: Members,
}

impl Rewrite {
    /// Checks what a branch says in `rewrite`, `headers` and `response_headers`.
    pub(crate) fn compile(
        rewrite: Option<&RewriteWire>,
        headers: Option<&HeadersWire>,
        response_headers: Option<&HeadersWire>,
        branch: At<'_>,
        report: &mut Report,
    ) -> Self {
        let at = branch.key("rewrite");
        let mut compiled = rewrite.map(|wire| wire.compile(at, report)).unwrap_or_default();
        if let Some(wire) = headers {
            compiled.set_headers(wire, branch.key("headers"), report);
        }
        if let Some(wire) = response_headers {
            let at = branch.key("response_headers");
            let rules = HeaderRules::compile(wire, Message::Response, at, report);
            compiled.response = Some(Box::new(rules));
        }
        compiled
    }

    /// Checks what is changed in the headers of the request.
    pub(crate) fn set_headers(&mut self, wire: &HeadersWire, at: At<'_>, report: &mut Report) {
        self.headers = Some(Box::new(HeaderRules::compile(wire, self.message(), at, report)));
    }

    /// The same for headers that are only set, each by its name.
    pub(crate) fn set_plain_headers(
        &mut self,
        wire: &BTreeMap<String, Values>,
        at: At<'_>,
        report: &mut Report,
    ) {
        let rules = HeaderRules::compile_plain(wire, self.message(), at, report);
        self.headers = Some(Box::new(rules));
    }

    fn message(&self) -> Message {
        Message::Request { has_patterns: self.target.has_patterns() }
    }

    /// Whether it cannot be applied to a request without its body.
    pub(crate) fn needs_body(&self) -> bool {
        !self.body.is_empty()
            || self.target.needs_body()
            || self.headers.as_deref().is_some_and(HeaderRules::needs_body)
            || self.response.as_deref().is_some_and(HeaderRules::needs_body)
    }

    /// Changes a draft, which is as the one of `facts`. A body that has not been read is left alone.
    ///
    /// # Errors
    ///
    /// Something is to be merged into a body that is encoded, or is no JSON object.
    pub(crate) fn apply<'a>(
        &'a self,
        facts: &Facts<'_>,
        draft: &mut Draft<'a>,
    ) -> Result<(), Problem> {
        let path = self.target.has_patterns().then(|| match_text(&facts.draft.path));
        let matched = path.as_ref().and_then(|path| self.target.find(path));
        let captures = matched.as_ref().map_or(&[][..], Matched::captures);
        self.target.apply(facts, matched.as_ref(), draft);
        if let Some(host) = &self.host {
            draft.host = Some(Cow::Borrowed(host));
        }
        if let Some(method) = self.method {
            draft.method = Cow::Borrowed(method.token());
        }
        if let Some(headers) = &self.headers {
            headers.apply(facts, captures, &mut draft.edits);
        }
        self.merge_body(facts, draft)
    }

    /// Adds the changes to the headers of the response to a request.
    pub(crate) fn response(&self, facts: &Facts<'_>, edits: &mut Edits) {
        if let Some(headers) = &self.response {
            headers.apply(facts, &[], edits);
        }
    }

    fn merge_body(&self, facts: &Facts<'_>, draft: &mut Draft<'_>) -> Result<(), Problem> {
        if self.body.is_empty() {
            return Ok(());
        }
        let Some(body) = draft.body.as_deref().or_else(|| facts.body()) else { return Ok(()) };
        if body.is_empty() {
            return Ok(());
        }
        if facts.head.header("content-encoding").is_some_and(|codings| !is_identity(&codings)) {
            return Err(Problem::BodyEncoded);
        }
        draft.body = Some(body::merge(body, &self.body).ok_or(Problem::BodyNotJson)?);
        for name in OF_BODY {
            draft.edits.erase(name);
        }
        Ok(())
    }
}

/// Headers that are wrong about a body that has been changed. Its length is the runtime's to say.
const OF_BODY: [&str; 4] = ["content-digest", "content-md5", "digest", "repr-digest"];

fn is_identity(codings: &str) -> bool {
    let mut codings = codings.split(',').map(str::trim);
    codings.all(|coding| coding.is_empty() || coding.eq_ignore_ascii_case("identity"))
}

impl RewriteWire {
    /// Checks the changes of everything but headers.
    pub(crate) fn compile(&self, at: At<'_>, report: &mut Report) -> Rewrite {
        let target = Target::compile(self, at, report);
        match self.host.as_deref().map(is_apisix_host) {
            Some(true) => report.warn(
                at.key("host"),
                "at the edge `Host` is always the node's name: a Worker cannot send another",
            ),
            Some(false) => report.fault(at.key("host"), "expected `host` or `host:port`"),
            None => {}
        }
        if matches!(self.method, Some(Method::Get | Method::Head)) {
            report.warn(
                at.key("method"),
                "at the edge a request with a body is answered 400: a Worker gives this method none",
            );
        }
        Rewrite {
            target,
            host: self.host.as_deref().map(Box::from),
            method: self.method,
            body: self.body.clone().unwrap_or_default(),
            ..Rewrite::default()
        }
    }
}

/// Whether APISIX takes a text as the `host` of a rewrite: its own grammar, which is not that of a node's
/// host (no brackets, no `_`, any port of five digits).
fn is_apisix_host(text: &str) -> bool {
    let (name, port) = text.split_once(':').map_or((text, None), |(name, port)| (name, Some(port)));
    let is_port =
        |port: &str| (1..=5).contains(&port.len()) && port.bytes().all(|b| b.is_ascii_digit());
    let in_name = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.';
    !name.is_empty() && name.bytes().all(in_name) && port.is_none_or(is_port)
}
