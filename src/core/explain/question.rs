//! A request that somebody asks about, as it is written in JSON.

use serde::Deserialize;
use serde_json::Value;
use std::borrow::Cow;
use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr};

use super::{Explanation, explain};
use crate::fault::{At, Report};
use crate::head::{Head, Place, is_header_name, normalise_target};
use crate::node::{Scheme, parse_authority};
use crate::problem::Problem;
use crate::seal::Secret;
use crate::snapshot::Snapshot;
use crate::split::Means;
use crate::time::Timestamp;
use crate::wire;

/// Where a request comes from, if nothing else is said.
pub const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct QuestionWire {
    method: Option<String>,
    url: String,
    headers: Option<Value>,
    body: Option<Value>,
    client: Option<String>,
    country: Option<String>,
    colo: Option<String>,
    asn: Option<Value>,
    at: Option<Value>,
}

/// A request that somebody asks about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    head: Asked,
    body: Vec<u8>,
    at: Option<Timestamp>,
}

impl Question {
    /// The request that a value tells of; reports every fault in it.
    ///
    /// `url` is absolute or a path; `headers` is an object or a list of pairs, and `Host` in it goes
    /// before the host of the URL; `body` is a text, or a JSON value that is sent as such; without
    /// `method` it is GET, or POST where there is a body; `client` is an address, [`CLIENT`] if left out;
    /// `country`, `colo` and `asn` are where that is, as a [`Place`] tells it; `at` is what time it is, by RFC 3339 or in seconds since the Unix epoch.
    pub fn read(value: &Value, report: &mut Report) -> Option<Self> {
        if !value.is_object() {
            report.fault(At::Root, "expected an object with at least `url`");
            return None;
        }
        wire::read(value, At::Root, report, QuestionWire::check)
    }

    /// What would become of the request; `now` counts where it names no other time. What would be
    /// drawn is drawn from the time, so that the same question has the same answer.
    pub fn explain(
        &self,
        snapshot: &Snapshot,
        secret: Option<&Secret>,
        now: Timestamp,
    ) -> Explanation {
        let now = self.at.unwrap_or(now);
        let state = Cell::new(now.as_millis());
        let chance = || {
            // SplitMix64: Steele, Lea and Flood, "Fast splittable pseudorandom number generators".
            state.set(state.get().wrapping_add(0x9e37_79b9_7f4a_7c15));
            let mixed = state.get();
            let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ (mixed >> 31)
        };
        let means = Means { now, secret, chance: &chance, is_trial: true };
        explain(snapshot, &self.head, means, &self.body)
    }
}

impl QuestionWire {
    fn check(self, report: &mut Report) -> Option<Question> {
        let root = At::Root;
        let faults_before = report.faults.len();
        let mut headers = headers(self.headers.as_ref(), root.key("headers"), report);
        let url = Url::parse(&self.url);
        if let Err(what) = &url {
            report.fault(root.key("url"), *what);
        }
        let (body, is_json) = match self.body {
            None | Some(Value::Null) => (String::new(), false),
            Some(Value::String(text)) => (text, false),
            Some(json) => (json.to_string(), true),
        };
        let default = if body.is_empty() { "GET" } else { "POST" };
        let method = self.method.unwrap_or_else(|| default.to_owned());
        if !is_header_name(&method) {
            report.fault(root.key("method"), "expected a method such as `GET`");
        }
        let client = self.client.as_deref().map_or(Ok(CLIENT), str::parse);
        if client.is_err() {
            report.fault(root.key("client"), "expected an address such as `192.0.2.1`");
        }
        let place = [
            (Place::Country, self.country.map(Value::String)),
            (Place::Colo, self.colo.map(Value::String)),
            (Place::Asn, self.asn),
        ];
        let place = place.map(|(what, value)| place_of(what, &value?, root, report));
        let at = self.at.as_ref().filter(|at| !at.is_null());
        let moment = at.and_then(moment);
        if at.is_some() && moment.is_none() {
            let what = "expected seconds since the Unix epoch, or a time such as \
                        `2026-11-22T19:00:00Z` (RFC 3339)";
            report.fault(root.key("at"), what);
        }
        let (url, client) = (url.ok()?, client.ok()?);
        url.name_host(&mut headers);
        describe(&body, is_json, &mut headers);
        let head = Asked { method, url, headers, client, place };
        let is_sound = report.faults.len() == faults_before;
        is_sound.then(|| Question { head, body: body.into_bytes(), at: moment })
    }
}

/// Headers by their lower-case names.
type Lines = Vec<(String, String)>;

fn value_of<'h>(headers: &'h Lines, name: &str) -> Option<&'h str> {
    headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
}

/// The headers of an object or of a list of pairs.
fn headers(value: Option<&Value>, at: At<'_>, report: &mut Report) -> Lines {
    const FORMS: &str = "expected an object of texts, or a list of pairs such as [\"x-a\", \"1\"]";
    let mut lines = Lines::new();
    match value {
        None | Some(Value::Null) => {}
        Some(Value::Object(members)) => {
            for (name, value) in members {
                let at = at.key(name);
                match value.as_str() {
                    Some(value) => lines.extend(line(name, value, at, report)),
                    None => report.fault(at, format!("expected a text, found {value}")),
                }
            }
        }
        Some(Value::Array(pairs)) => {
            for (index, pair) in pairs.iter().enumerate() {
                let at = at.index(index);
                let pair = pair.as_array().map(Vec::as_slice);
                match pair {
                    Some([Value::String(name), Value::String(value)]) => {
                        lines.extend(line(name, value, at, report));
                    }
                    Some(_) | None => report.fault(at, FORMS),
                }
            }
        }
        Some(Value::Bool(_) | Value::Number(_) | Value::String(_)) => report.fault(at, FORMS),
    }
    if lines.iter().filter(|(name, _)| name == "host").count() > 1 {
        report.fault(at, "`host` stands here twice");
    }
    lines
}

fn line(name: &str, value: &str, at: At<'_>, report: &mut Report) -> Option<(String, String)> {
    let value = value.trim_matches([' ', '\t']);
    if !is_header_name(name) {
        report.fault(at, format!("expected the name of a header, found {name:?}"));
        return None;
    }
    if value.chars().any(|c| c.is_control() && c != '\t') {
        report.fault(at, "expected a value without control characters");
        return None;
    }
    Some((name.to_ascii_lowercase(), value.to_owned()))
}

/// Adds what a client says of a body.
fn describe(body: &str, is_json: bool, headers: &mut Lines) {
    let is_framed = ["content-length", "transfer-encoding"].map(|it| value_of(headers, it));
    if !body.is_empty() && is_framed == [None, None] {
        headers.push(("content-length".to_owned(), body.len().to_string()));
    }
    if is_json && value_of(headers, "content-type").is_none() {
        headers.push(("content-type".to_owned(), "application/json".to_owned()));
    }
}

/// What is said of a place, as the edge would tell it.
fn place_of(what: Place, value: &Value, root: At<'_>, report: &mut Report) -> Option<String> {
    if value.is_null() {
        return None;
    }
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let is_code = |length: usize| {
        text.len() == length && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
    };
    let is_number = text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u32>().is_ok();
    let (key, is_sound, expected) = match what {
        // `T1` is the network Tor, to Cloudflare.
        Place::Country => ("country", is_code(2), "two upper-case letters such as `DE`"),
        Place::Colo => ("colo", is_code(3), "three upper-case letters such as `FRA`"),
        Place::Asn => ("asn", is_number, "the number of a network such as 3320"),
    };
    if !is_sound {
        report.fault(root.key(key), format!("expected {expected}"));
    }
    is_sound.then_some(text)
}

fn moment(value: &Value) -> Option<Timestamp> {
    match value.as_str() {
        Some(text) => Timestamp::parse(text),
        None => Timestamp::from_secs(value.as_u64()?),
    }
}

/// Where a request goes, as its client sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Url {
    scheme: Scheme,
    /// Empty where only a path is named.
    authority: String,
    port: u16,
    /// Normalised, as a runtime does.
    target: String,
}

impl Url {
    fn parse(text: &str) -> Result<Self, &'static str> {
        const FORMS: &str = "expected a URL such as `https://api.example.com/chat`, or a path";
        if !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err("blanks, control characters and letters beyond ASCII are written as `%20`");
        }
        let target = normalise_target(text).into_owned();
        let (scheme, rest) = match text.split_once("://") {
            _ if text.starts_with('/') || text == "*" => {
                let (scheme, authority) = (Scheme::Http, String::new());
                return Ok(Self { scheme, authority, port: scheme.default_port(), target });
            }
            Some((scheme, rest)) => (Scheme::of_url(&scheme.to_ascii_lowercase()), rest),
            None => return Err(FORMS),
        };
        let scheme = scheme.ok_or("expected `http` or `https`")?;
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let (_, port) = parse_authority(authority).ok_or(FORMS)?;
        let default = scheme.default_port();
        // Clients leave the port out that goes without saying.
        let port = port.unwrap_or(default);
        let name = authority.strip_suffix(&format!(":{default}")).unwrap_or(authority);
        Ok(Self { scheme, authority: name.to_owned(), port, target })
    }

    /// Names the host in the headers, where they do not.
    fn name_host(&self, headers: &mut Lines) {
        if value_of(headers, "host").is_none() && !self.authority.is_empty() {
            headers.push(("host".to_owned(), self.authority.clone()));
        }
    }
}

/// The head of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Asked {
    method: String,
    url: Url,
    headers: Lines,
    client: IpAddr,
    /// Country, data centre and network of the client.
    place: [Option<String>; 3],
}

impl Head for Asked {
    fn method(&self) -> &str {
        &self.method
    }

    fn path(&self) -> &str {
        self.url.target.split('?').next().unwrap_or_default()
    }

    fn query(&self) -> Option<&str> {
        self.url.target.split_once('?').map(|(_, query)| query)
    }

    fn host(&self) -> &str {
        value_of(&self.headers, "host").unwrap_or_default()
    }

    fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        let mut values = self.headers.iter().filter(|(own, _)| own == name);
        let (_, first) = values.next()?;
        let between = if name == "cookie" { "; " } else { ", " };
        Some(values.fold(Cow::Borrowed(first), |joined, (_, value)| {
            Cow::Owned(format!("{joined}{between}{value}"))
        }))
    }

    fn place(&self, what: Place) -> Option<Cow<'_, str>> {
        let [country, colo, asn] = &self.place;
        let told = match what {
            Place::Country => country,
            Place::Colo => colo,
            Place::Asn => asn,
        };
        told.as_deref().map(Cow::Borrowed)
    }

    fn client(&self) -> Option<IpAddr> {
        Some(self.client)
    }

    fn scheme(&self) -> &str {
        self.url.scheme.as_str()
    }

    fn port(&self) -> u16 {
        self.url.port
    }

    /// As the server judges.
    fn fault(&self) -> Option<Problem> {
        if self.method == "CONNECT" {
            return Some(Problem::MethodNotAllowed);
        }
        let host = self.host();
        let is_sound = host.is_empty() || parse_authority(host).is_some();
        (!is_sound).then_some(Problem::BadRequest)
    }

    fn is_fronted(&self) -> bool {
        false
    }
}

#[cfg(test)]
impl Question {
    /// Head and body.
    pub(super) fn parts(&self) -> (&dyn Head, &[u8]) {
        (&self.head, &self.body)
    }
}
