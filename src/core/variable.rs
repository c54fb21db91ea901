//! Variables: what expressions, templates and keys can ask about a request (APISIX.md 3.3).
//!
//! A name is understood once ([`name`]); what it stands for is looked up each time, from the request as
//! it stands: `uri`, the arguments, the method and the headers are those that were rewritten so far.
//! `request_uri`, `real_request_uri`, `host` and `remote_addr` are the client's. Nothing is copied that
//! can be borrowed. What is in the body is parsed where it is asked for.

mod body;
mod graphql;
mod multipart;
mod name;
mod path;
pub(crate) mod query;

use std::borrow::Cow;

use serde_json::Value as Json;

use crate::facts::{Draft, Facts};
use crate::fault::{At, Report};
use crate::head::{Place, match_path};
use path::Path;

/// What a variable stands for in a request. An absent one has no value at all.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    Text(Cow<'a, str>),
    /// Anything else: `true` for an argument without a value, numbers and lists from bodies.
    Json(Json),
}

/// A variable, by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Variable {
    /// The first value of an argument of the query.
    Arg(Box<str>),
    /// A header by its lower-case name; `http_x_a` is `x-a` or, failing that, `x_a`.
    Header { name: Box<str>, or: Option<Box<str>> },
    /// The first cookie with this name.
    Cookie(Box<str>),
    /// A parameter of the route's path.
    UriParam(Box<str>),
    /// The first value of a field of a form in the body.
    PostArg(Box<str>),
    /// A place in the body.
    Post(Path),
    /// Any other, whose name is its own.
    Plain(Plain),
}

/// The variables that are no families.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plain {
    Args,
    Asn,
    Colo,
    Consumer,
    ConsumerGroup,
    Country,
    GraphqlFields,
    GraphqlName,
    GraphqlOperation,
    Host,
    HttpHost,
    Https,
    IsArgs,
    Method,
    RealRequestUri,
    RemoteAddr,
    RequestUri,
    RouteId,
    RouteName,
    Scheme,
    ServerPort,
    ServiceId,
    ServiceName,
    Uri,
}

impl Variable {
    /// The variable with this name (without `$`), or what is wrong with the name.
    pub(crate) fn parse(name: &str) -> Result<Self, String> {
        name::parse(name)
    }

    /// Whether its value is in the body of the request.
    pub(crate) fn needs_body(&self) -> bool {
        match self {
            Self::PostArg(_) | Self::Post(_) => true,
            Self::Plain(plain) => {
                matches!(plain, Plain::GraphqlFields | Plain::GraphqlName | Plain::GraphqlOperation)
            }
            Self::Arg(_) | Self::Header { .. } | Self::Cookie(_) | Self::UriParam(_) => false,
        }
    }

    /// Its value in a request.
    pub(crate) fn value<'a>(&self, facts: &Facts<'a>) -> Option<Value<'a>> {
        match self {
            Self::Arg(name) => first_arg(facts.draft, name),
            Self::Header { name, or } => {
                let header = facts.header(name);
                header.or_else(|| facts.header(or.as_deref()?)).map(Value::Text)
            }
            Self::Cookie(name) => facts.cookie(name).map(Value::Text),
            Self::UriParam(name) => {
                let mut params = facts.route?.params.iter();
                let (_, value) = params.find(|(own, _)| *own == &**name)?;
                Some(Value::Text(Cow::Borrowed(value)))
            }
            Self::PostArg(name) => body::form_field(facts, name),
            Self::Post(path) => body::find(facts, path),
            Self::Plain(plain) => plain.value(facts),
        }
    }
}

impl Plain {
    fn value<'a>(self, facts: &Facts<'a>) -> Option<Value<'a>> {
        let Facts { head, draft, route, caller, .. } = *facts;
        let text = match self {
            Self::Args => Cow::Borrowed(draft.query.as_deref()?),
            Self::Asn => head.place(Place::Asn)?,
            Self::Colo => head.place(Place::Colo)?,
            Self::Country => head.place(Place::Country)?,
            Self::Consumer => Cow::Borrowed(caller.consumer?),
            Self::ConsumerGroup => Cow::Borrowed(caller.group?),
            Self::GraphqlFields => return graphql::asked(facts, graphql::Asked::Fields),
            Self::GraphqlName => return graphql::asked(facts, graphql::Asked::Name),
            Self::GraphqlOperation => return graphql::asked(facts, graphql::Asked::Operation),
            Self::Host => host(facts)?,
            Self::HttpHost => Cow::Borrowed(Some(head.host()).filter(|host| !host.is_empty())?),
            Self::Https => Cow::Borrowed(if head.scheme() == "https" { "on" } else { "" }),
            Self::IsArgs => {
                let has_args = draft.query.as_deref().is_some_and(|query| !query.is_empty());
                Cow::Borrowed(if has_args { "?" } else { "" })
            }
            Self::Method => Cow::Borrowed(&*draft.method),
            Self::RealRequestUri => target(Cow::Borrowed(head.path()), head.query()),
            Self::RemoteAddr => Cow::Owned(facts.client()?.to_canonical().to_string()),
            Self::RequestUri => {
                let query = head.query().filter(|query| !query.is_empty());
                target(text(match_path(head.path())), query)
            }
            Self::RouteId => Cow::Borrowed(route?.id),
            Self::RouteName => Cow::Borrowed(route?.name?),
            Self::Scheme => Cow::Borrowed(head.scheme()),
            Self::ServerPort => Cow::Owned(head.port().to_string()),
            Self::ServiceId => Cow::Borrowed(route?.service_id?),
            Self::ServiceName => Cow::Borrowed(route?.service_name?),
            Self::Uri => text(match_path(&draft.path)),
        };
        Some(Value::Text(text))
    }
}

fn first_arg<'a>(draft: &'a Draft<'a>, name: &str) -> Option<Value<'a>> {
    query::first(draft.query.as_deref()?, name)
}

fn target<'a>(path: Cow<'a, str>, query: Option<&str>) -> Cow<'a, str> {
    match query {
        Some(query) => Cow::Owned(format!("{path}?{query}")),
        None => path,
    }
}

/// In lower case.
fn host<'a>(facts: &Facts<'a>) -> Option<Cow<'a, str>> {
    let host = facts.host();
    if host.is_empty() {
        return None;
    }
    let is_lower = !host.bytes().any(|b| b.is_ascii_uppercase());
    Some(if is_lower { Cow::Borrowed(host) } else { Cow::Owned(host.to_ascii_lowercase()) })
}

/// Bytes as text; what is not UTF-8 becomes U+FFFD.
fn text(bytes: Cow<'_, [u8]>) -> Cow<'_, str> {
    match bytes {
        Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
        Cow::Owned(bytes) => Cow::Owned(
            String::from_utf8(bytes)
                .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()),
        ),
    }
}

/// Says what it costs that something at `at` looks into bodies.
pub(crate) fn warn_of_body(at: At<'_>, report: &mut Report) {
    report.warn(
        at,
        "looks into the body: bodies are read up to `settings.body_max` bytes before they are sent on, and longer ones are refused (413)",
    );
}

#[cfg(test)]
mod tests;
