//! The plugin `cors`: which pages of other origins may read what is answered here (Fetch standard, section
//! 3.2, "CORS protocol").
//!
//! Every answer carries what is allowed, also one that says no: otherwise a page could not read why. Requests
//! with the method OPTIONS are answered here, as in APISIX; no upstream ever sees one.

use serde::Deserialize;

use super::{Asked, Passage, Verdict};
use crate::facts::Facts;
use crate::fault::{At, Report};
use crate::head::{Edits, is_header_value};
use crate::meta::{Meta, MetaWire};
use crate::pattern::Pattern;
use crate::problem::Answer;
use crate::wire::Unsupported;

/// The name of the plugin in documents.
pub(crate) const PLUGIN: &str = "cors";

/// How many seconds a browser may remember what is allowed, unless the document says something else.
const MAX_AGE_SECS: i64 = 5;

/// What `**` stands for in `allow_methods`.
const ALL_METHODS: &str = "GET,POST,PUT,DELETE,PATCH,HEAD,OPTIONS,CONNECT,TRACE";

/// What a text of origins looks like.
#[cfg(feature = "schema")]
const ORIGINS: &str = r"^(\*|\*\*|null|\w+://[^,]+(,\w+://[^,]+)*)$";

/// The configuration of the plugin, as APISIX writes it.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "some keys are read to be refused by name")]
pub(crate) struct CorsWire {
    /// `*`, `**` (whichever asks, also with credentials), `null`, or origins with commas between them.
    #[cfg_attr(feature = "schema", schemars(extend("pattern" = ORIGINS)))]
    allow_origins: Option<String>,
    /// `*`, `**`, or methods with commas between them.
    allow_methods: Option<String>,
    /// `*`, `**` (whichever are asked for), or names with commas between them.
    allow_headers: Option<String>,
    /// The headers of responses that pages may read: names with commas between them.
    expose_headers: Option<String>,
    /// For how many seconds a browser may remember this; -1: not at all.
    #[cfg_attr(feature = "schema", schemars(range(min = -1)))]
    max_age: Option<i64>,
    /// Whether cookies and the like may go along.
    allow_credential: Option<bool>,
    /// Patterns of origins, in place of `allow_origins`.
    #[cfg_attr(feature = "schema", schemars(length(min = 1), inner(length(min = 1)), extend("uniqueItems" = true)))]
    allow_origins_by_regex: Option<Vec<String>>,
    allow_origins_by_metadata: Option<Unsupported>,
    /// Origins that may see how long things took; as `allow_origins`.
    #[cfg_attr(feature = "schema", schemars(extend("pattern" = ORIGINS)))]
    timing_allow_origins: Option<String>,
    /// Patterns of such, in place of `timing_allow_origins`.
    #[cfg_attr(feature = "schema", schemars(length(min = 1), inner(length(min = 1)), extend("uniqueItems" = true)))]
    timing_allow_origins_by_regex: Option<Vec<String>>,
    _meta: Option<MetaWire>,
}

/// What the plugin is told.
#[derive(Debug)]
pub(crate) struct Cors {
    pub(super) meta: Meta,
    origins: Origins,
    timing: Option<Origins>,
    /// What those are told beside their origin who may read, whoever they are.
    told: Box<[(&'static str, Box<str>)]>,
    /// Whether whichever headers may be sent that are asked for.
    allows_asked_headers: bool,
}

/// Which origins may do something.
#[derive(Debug)]
enum Origins {
    /// All, without being named.
    Any,
    /// Whichever asks.
    Asking,
    These(Box<[Box<str>]>),
    Like(Box<[Pattern]>),
}

impl CorsWire {
    /// Checks the plugin.
    pub(crate) fn compile(self, at: At<'_>, report: &mut Report) -> Cors {
        self.check_credentials(at, report);
        let methods = text(self.allow_methods.as_deref(), "*", at.key("allow_methods"), report);
        let methods = if methods == "**" { ALL_METHODS } else { methods };
        let headers = text(self.allow_headers.as_deref(), "*", at.key("allow_headers"), report);
        let exposed = text(self.expose_headers.as_deref(), "", at.key("expose_headers"), report);
        let max_age = self.max_age.unwrap_or(MAX_AGE_SECS);
        if max_age < -1 {
            report
                .fault(at.key("max_age"), format!("expected an integer from -1, found {max_age}"));
        }
        let max_age = max_age.to_string();
        let allows_asked_headers = headers == "**";
        let headers = if allows_asked_headers { "" } else { headers };
        let credentials = if self.allow_credential == Some(true) { "true" } else { "" };
        let told = [
            ("access-control-allow-methods", methods),
            ("access-control-max-age", &*max_age),
            ("access-control-expose-headers", exposed),
            ("access-control-allow-headers", headers),
            ("access-control-allow-credentials", credentials),
        ];
        let told = told.into_iter().filter(|(_, value)| !value.is_empty());
        let told = told.map(|(name, value)| (name, value.into())).collect();
        let by_regex = self.allow_origins_by_regex.as_deref();
        let (by_regex, by_text) =
            (by_regex.map(|it| (it, "allow_origins_by_regex")), self.allow_origins.as_deref());
        let origins = Origins::compile(by_regex, (by_text, "allow_origins"), at, report);
        let by_regex = self.timing_allow_origins_by_regex.as_deref();
        let by_regex = by_regex.map(|it| (it, "timing_allow_origins_by_regex"));
        let by_text = self.timing_allow_origins.as_deref();
        let has_timing = by_regex.is_some() || by_text.is_some();
        let timing = has_timing
            .then(|| Origins::compile(by_regex, (by_text, "timing_allow_origins"), at, report));
        let meta = Meta::compile(self._meta, at, report);
        Cors { meta, origins, timing, told, allows_asked_headers }
    }

    /// Checks that what goes with credentials is named: with them `*` is a name like others (Fetch
    /// standard, section 3.2.5).
    fn check_credentials(&self, at: At<'_>, report: &mut Report) {
        if self.allow_credential != Some(true) {
            return;
        }
        for (key, value, default) in [
            ("allow_origins", &self.allow_origins, "*"),
            ("allow_methods", &self.allow_methods, "*"),
            ("allow_headers", &self.allow_headers, "*"),
            ("expose_headers", &self.expose_headers, ""),
            ("timing_allow_origins", &self.timing_allow_origins, ""),
        ] {
            if value.as_deref().unwrap_or(default) == "*" {
                let what = "`*` is not for requests with credentials: expected a list, or `**` for whatever is asked for";
                // What is not there has no place of its own.
                let key = if value.is_some() { key } else { "allow_credential" };
                report.fault(at.key(key), what);
            }
        }
        if self.allow_origins.as_deref() == Some("**") && self.allow_origins_by_regex.is_none() {
            let what =
                "with `allow_credential` every page of the web may act as whoever looks at it";
            report.warn(at.key("allow_origins"), what);
        }
    }
}

/// A text that is sent as a header.
fn text<'t>(value: Option<&'t str>, default: &'t str, at: At<'_>, report: &mut Report) -> &'t str {
    let value = value.unwrap_or(default);
    if !is_header_value(value) {
        report.fault(at, "expected visible ASCII as header value");
    }
    value
}

impl Origins {
    fn compile(
        by_regex: Option<(&[String], &str)>,
        (by_text, key): (Option<&str>, &str),
        at: At<'_>,
        report: &mut Report,
    ) -> Self {
        let named = by_text.map(|text| Self::named(text, at.key(key), report));
        let like = by_regex.map(|(list, key)| Self::like(list, at.key(key), report));
        like.or(named).unwrap_or(Self::Any)
    }

    fn named(text: &str, at: At<'_>, report: &mut Report) -> Self {
        match text {
            "*" => return Self::Any,
            "**" => return Self::Asking,
            _ => {}
        }
        let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        let is_origin = |origin: &str| match origin.split_once("://") {
            Some((scheme, rest)) => {
                !scheme.is_empty() && scheme.bytes().all(is_word) && !rest.is_empty()
            }
            None => false,
        };
        if text != "null" && !(text.split(',').all(is_origin) && is_sendable(text)) {
            let what = "expected `*`, `**`, `null`, or origins like `https://example.com`, with commas and no blanks between them";
            report.fault(at, what);
        }
        let has_path =
            |origin: &&str| origin.split_once("://").is_some_and(|it| it.1.contains('/'));
        if let Some(origin) = text.split(',').find(has_path) {
            let what = format!(
                "`{origin}` is that of no page: an origin ends before the path, without `/`"
            );
            report.warn(at, what);
        }
        Self::These(text.split(',').map(Into::into).collect())
    }

    fn like(list: &[String], at: At<'_>, report: &mut Report) -> Self {
        if list.is_empty() {
            report.fault(at, "expected at least one pattern");
        }
        let mut patterns = Vec::with_capacity(list.len());
        for (index, text) in list.iter().enumerate() {
            let at = at.index(index);
            if text.is_empty() {
                report.fault(at, "expected a pattern");
            }
            if list.iter().take(index).any(|earlier| earlier == text) {
                report.fault(at, format!("`{text}` stands here twice"));
            }
            if !text.ends_with('$') {
                let what = "does not ask for the end of the origin: it takes others that only begin so, like `https://example.com.evil.test`; write `$` behind it";
                report.warn(at, what);
            }
            match Pattern::compile(text, false) {
                Ok(pattern) => patterns.push(pattern),
                Err(what) => {
                    let what = format!("cannot be used as a regular expression: {what}");
                    report.fault(at, what);
                }
            }
        }
        Self::Like(patterns.into())
    }

    /// What an origin is told, if it is one of these.
    fn allow(&self, origin: Option<&str>) -> Option<String> {
        let is_one = |origin: &&str| match self {
            Self::Any | Self::Asking => true,
            Self::These(list) => list.iter().any(|own| **own == **origin),
            Self::Like(patterns) => patterns.iter().any(|pattern| pattern.is_match(origin)),
        };
        match (self, origin) {
            (Self::Any, _) | (Self::Asking, None) => Some("*".to_owned()),
            (_, origin) => origin.filter(is_one).map(str::to_owned),
        }
    }

    /// Whether what is told depends on the origin.
    fn varies(&self) -> bool {
        !matches!(self, Self::Any)
    }
}

/// Whether a text has nothing but visible ASCII, as origins do.
fn is_sendable(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_graphic())
}

impl Cors {
    /// Whether a request may pass.
    pub(super) fn pass<'a>(&'a self, asked: &Asked<'a, '_>) -> Verdict<'a> {
        let response = self.response(asked.facts);
        if asked.facts.draft.method != "OPTIONS" {
            return Verdict::Passes(Passage { response, ..Passage::default() });
        }
        let mut answer = Answer { status: 200, headers: Vec::new(), body: String::new() };
        response.apply(&mut answer.headers);
        Verdict::Answers(answer, None)
    }

    /// What is said in whatever is answered.
    fn response(&self, facts: &Facts<'_>) -> Edits {
        let mut edits = Edits::default();
        let mut set = |name: &'static str, value: String| {
            edits.set.push((name.into(), value.into()));
        };
        let origin = facts.header("origin");
        // Two lines are no origin, and none is sent back that is not one.
        let origin = origin.as_deref().filter(|it| is_sendable(it) && !it.contains(','));
        if let Some(allowed) = self.origins.allow(origin) {
            set("access-control-allow-origin", allowed);
            self.told.iter().for_each(|(name, value)| set(name, value.to_string()));
            let asked = facts.header("access-control-request-headers");
            if let Some(asked) = asked.filter(|it| self.allows_asked_headers && is_header_value(it))
            {
                set("access-control-allow-headers", asked.into_owned());
            }
        }
        if let Some(allowed) = self.timing.as_ref().and_then(|timing| timing.allow(origin)) {
            set("timing-allow-origin", allowed);
        }
        if self.origins.varies() || self.timing.as_ref().is_some_and(Origins::varies) {
            edits.append("vary", "Origin");
        }
        edits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::{Body, fake};
    use crate::wire;
    use serde_json::{Value, json};

    fn compiled(value: &Value) -> (Option<Cors>, Report) {
        let mut report = Report::default();
        let compile = |wire: CorsWire, report: &mut Report| Some(wire.compile(At::Root, report));
        let plugin = wire::read(value, At::Root, &mut report, compile);
        (plugin, report)
    }

    /// What is said in answer to a request with these headers, by name.
    fn told(value: &Value, headers: &[(&'static str, &str)]) -> String {
        let (plugin, report) = compiled(value);
        assert_eq!(report.faults, [], "{value}");
        let asked = headers
            .iter()
            .fold(fake::Asked::default(), |asked, (name, value)| asked.header(name, value));
        let edits = asked.with(Body::Unread, |facts| plugin.unwrap().response(&facts));
        let short = |name: &str| name.replace("access-control-", "").replace("allow-", "");
        let all = edits.set.iter().chain(&edits.add);
        all.map(|(name, value)| format!("{}={value}", short(name))).collect::<Vec<_>>().join(" ")
    }

    const A: (&str, &str) = ("origin", "https://a.test");
    const B: (&str, &str) = ("origin", "https://b.test");

    #[test]
    fn everybody_may_read_unless_something_is_said() {
        let all = "origin=* methods=* max-age=5 headers=*";
        for headers in [&[][..], &[A], &[("origin", "\u{fffd}")]] {
            assert_eq!(told(&json!({}), headers), all);
        }
        let value = json!({"expose_headers": "x-a,x-b", "max_age": -1, "allow_methods": "**"});
        let expected =
            format!("origin=* methods={ALL_METHODS} max-age=-1 expose-headers=x-a,x-b headers=*");
        assert_eq!(told(&value, &[A]), expected);
    }

    #[test]
    fn origins_on_the_list_are_named_and_no_others() {
        let one = json!({"allow_origins": "https://a.test"});
        let two = json!({"allow_origins": "http://a.test,https://a.test"});
        for value in [one, two] {
            let expected = "origin=https://a.test methods=* max-age=5 headers=* vary=Origin";
            assert_eq!(told(&value, &[A]), expected);
            for other in [
                &[][..],
                &[B],
                &[("origin", "https://a.test:8443")],
                &[("origin", "https://a.test.evil.test")],
                &[("origin", "https://A.test")],
                &[("origin", "https://a.test, https://b.test")],
                &[("origin", "null")],
            ] {
                assert_eq!(told(&value, other), "vary=Origin", "{other:?}");
            }
        }
        let null = told(&json!({"allow_origins": "null"}), &[("origin", "null")]);
        assert!(null.starts_with("origin=null "), "{null}");
    }

    #[test]
    fn whoever_asks_may_read_even_with_credentials_if_that_is_said() {
        let value = json!({
            "allow_origins": "**", "allow_methods": "**", "allow_headers": "**",
            "allow_credential": true, "max_age": 60,
        });
        let expected = |origin: &str, headers: &str| {
            format!(
                "origin={origin} methods={ALL_METHODS} max-age=60 credentials=true{headers} vary=Origin"
            )
        };
        let asked = ("access-control-request-headers", "x-a, x-b");
        assert_eq!(told(&value, &[A, asked]), expected("https://a.test", " headers=x-a, x-b"));
        assert_eq!(told(&value, &[B]), expected("https://b.test", ""));
        assert_eq!(told(&value, &[]), expected("*", ""));
        assert_eq!(told(&value, &[("origin", "https://\u{fffd}")]), expected("*", ""));
    }

    #[test]
    fn patterns_take_the_place_of_the_list() {
        let value = json!({
            "allow_origins": "https://b.test",
            "allow_origins_by_regex": ["^https://[a-z]+\\.test$", "^http://x$"],
        });
        for (origin, is_allowed) in [
            (A, true),
            (B, true),
            (("origin", "http://x"), true),
            (("origin", "https://a.test.evil.example"), false),
            (("origin", "https://a1.test"), false),
        ] {
            let told = told(&value, &[origin]);
            assert_eq!(told.contains("origin="), is_allowed, "{origin:?}: {told}");
            assert!(told.ends_with("vary=Origin"), "{told}");
        }
        let open = json!({"allow_origins_by_regex": ["https://.*\\.test"]});
        assert!(compiled(&open).1.warnings[0].what.contains("only begin so"));
    }

    #[test]
    fn an_origin_with_a_path_is_that_of_no_page() {
        let value = json!({"allow_origins": "https://a.test,https://b.test/"});
        let what =
            "`https://b.test/` is that of no page: an origin ends before the path, without `/`";
        assert_eq!(compiled(&value).1.warnings[0].what, what);
    }

    #[test]
    fn who_may_see_times_is_said_apart() {
        let value = json!({"allow_origins": "https://a.test", "timing_allow_origins": "*"});
        assert_eq!(told(&value, &[B]), "timing-origin=* vary=Origin");
        let value = json!({"timing_allow_origins_by_regex": ["^https://a[.]test$"]});
        let all = "origin=* methods=* max-age=5 headers=*";
        assert_eq!(told(&value, &[A]), format!("{all} timing-origin=https://a.test vary=Origin"));
        assert_eq!(told(&value, &[B]), format!("{all} vary=Origin"));
    }

    #[test]
    fn what_browsers_would_not_take_is_refused() {
        let star = "`*` is not for requests with credentials: expected a list, or `**` for whatever is asked for";
        let origins = "expected `*`, `**`, `null`, or origins like `https://example.com`, with commas and no blanks between them";
        for (value, expected) in [
            (
                json!({"allow_credential": true, "allow_origins": "http://a", "expose_headers": "*"}),
                vec![
                    ("/allow_credential", star),
                    ("/allow_credential", star),
                    ("/expose_headers", star),
                ],
            ),
            (json!({"allow_origins": "a.test"}), vec![("/allow_origins", origins)]),
            (json!({"allow_origins": "http://a, http://b"}), vec![("/allow_origins", origins)]),
            (json!({"allow_origins": ""}), vec![("/allow_origins", origins)]),
            (
                json!({"allow_methods": "GET\r\nx: y"}),
                vec![("/allow_methods", "expected visible ASCII as header value")],
            ),
            (
                json!({"allow_origins_by_regex": ["^a$", "^a$"]}),
                vec![("/allow_origins_by_regex/1", "`^a$` stands here twice")],
            ),
            (
                json!({"allow_origins_by_regex": []}),
                vec![("/allow_origins_by_regex", "expected at least one pattern")],
            ),
            (json!({"max_age": -2}), vec![("/max_age", "expected an integer from -1, found -2")]),
            (
                json!({"allow_origins_by_metadata": ["A"]}),
                vec![(
                    "/allow_origins_by_metadata",
                    "APISIX has this key, Splitway does not support it yet",
                )],
            ),
        ] {
            let faults = compiled(&value).1.faults;
            let faults: Vec<_> = faults.iter().map(|it| (&*it.at, &*it.what)).collect();
            assert_eq!(faults, expected, "{value}");
        }
    }
}
