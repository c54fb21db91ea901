//! The plugin `proxy-rewrite`: what is changed in every request of a route, before it is split.

use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

use crate::facts::{Draft, Facts};
use crate::fault::{At, Report};
use crate::gather::Gather as _;
use crate::meta::{Meta, MetaWire};
use crate::problem::Problem;
#[cfg(feature = "schema")]
use crate::rewrite::URI_MAX;
use crate::rewrite::{HeadersWire, Method, Rewrite, RewriteWire, Values};
use crate::wire::{self, Members};

/// The name of the plugin in documents.
pub(crate) const PLUGIN: &str = "proxy-rewrite";

/// The configuration of the plugin, as APISIX writes it. An empty one changes nothing.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct ProxyRewriteWire {
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = URI_MAX), regex(pattern = "^/")))]
    uri: Option<String>,
    #[cfg_attr(feature = "schema", schemars(length(min = 2)))]
    regex_uri: Option<Vec<String>>,
    #[cfg_attr(feature = "schema", schemars(regex(pattern = "^[0-9a-zA-Z.-]+(:[0-9]{1,5})?$")))]
    host: Option<String>,
    method: Option<Method>,
    /// `add`, `set` and `remove`, or headers to set by their names.
    #[cfg_attr(feature = "schema", schemars(with = "Option<AnyHeaders>"))]
    headers: Option<Members>,
    use_real_request_uri_unsafe: Option<bool>,
    _meta: Option<MetaWire>,
}

/// Both forms in which headers may be written.
#[cfg(feature = "schema")]
#[derive(schemars::JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "its schema is what counts")]
enum AnyHeaders {
    Verbs(HeadersWire),
    Plain(BTreeMap<String, Values>),
}

/// What the plugin changes, and when.
#[derive(Debug)]
pub(crate) struct ProxyRewrite {
    pub(crate) meta: Meta,
    pub(crate) rewrite: Rewrite,
}

impl ProxyRewrite {
    /// Whether the plugin acts on this request, so that it is to be applied.
    pub(crate) fn acts_on(&self, facts: &Facts<'_>) -> bool {
        self.meta.acts_on(facts)
    }

    /// Makes the changes.
    pub(crate) fn apply<'a>(
        &'a self,
        facts: &Facts<'_>,
        draft: &mut Draft<'a>,
    ) -> Result<(), Problem> {
        self.rewrite.apply(facts, draft)
    }
}

impl ProxyRewriteWire {
    /// Checks the plugin.
    pub(crate) fn compile(self, at: At<'_>, report: &mut Report) -> ProxyRewrite {
        if self.use_real_request_uri_unsafe == Some(true) {
            report.fault(
                at.key("use_real_request_uri_unsafe"),
                "the raw target cannot be had: every runtime folds dot segments before anything else; \
                 a path that is not rewritten goes as the client has written it",
            );
        }
        let Self { uri, regex_uri, host, method, headers, _meta, .. } = self;
        let meta = Meta::compile_mute(_meta, at, report);
        let wire = RewriteWire { uri, regex_uri, host, method, ..RewriteWire::default() };
        let mut rewrite = wire.compile(at, report);
        if let Some(headers) = headers {
            read_headers(headers, &mut rewrite, at.key("headers"), report);
        }
        ProxyRewrite { meta, rewrite }
    }
}

/// Reads headers in the form in which they are: `add`, `set` and `remove` are verbs if one of them has
/// what a verb takes.
fn read_headers(headers: Members, rewrite: &mut Rewrite, at: At<'_>, report: &mut Report) {
    let has_verbs = headers.iter().any(|(name, value)| match name.as_str() {
        "add" | "set" => value.is_object(),
        "remove" => value.is_array(),
        _ => false,
    });
    let headers = Value::Object(headers.into_iter().gather());
    if has_verbs {
        let check = |wire: HeadersWire, report: &mut Report| {
            rewrite.set_headers(&wire, at, report);
            Some(())
        };
        wire::read(&headers, at, report, check);
    } else {
        let check = |wire: BTreeMap<String, Values>, report: &mut Report| {
            rewrite.set_plain_headers(&wire, at, report);
            Some(())
        };
        wire::read(&headers, at, report, check);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Draft;
    use crate::head::Edits;
    use crate::rewrite::fake::Fake;
    use serde_json::json;

    /// One expectation of a vector that does not hold as it is.
    struct Difference {
        id: &'static str,
        key: &'static str,
        /// What Splitway does, as JSON.
        instead: &'static str,
        why: &'static str,
    }

    /// All of them.
    const DIFFERENCES: &[Difference] = &[Difference {
        id: "proxy-rewrite-016",
        key: "request_headers",
        instead: r#"{"x-rd": "10.0.0.7:GET"}"#,
        why: "the client is whom the runtime vouches for; no header of a request is believed about it",
    }];

    fn compile(conf: &Value) -> (Option<ProxyRewrite>, Report) {
        let mut report = Report::default();
        let check =
            |wire: ProxyRewriteWire, report: &mut Report| Some(wire.compile(At::Root, report));
        let plugin = wire::read(conf, At::Root, &mut report, check);
        (plugin, report)
    }

    fn rewrite(conf: &Value) -> Rewrite {
        let (plugin, report) = compile(conf);
        assert_eq!(report.faults, [], "{conf}");
        plugin.unwrap().rewrite
    }

    /// What is expected of the vector at this key, unless the table says otherwise.
    fn expected(id: &str, key: &str, expected: &Value) -> Value {
        let other = DIFFERENCES.iter().find(|other| (other.id, other.key) == (id, key));
        other.map_or_else(|| expected.clone(), |other| serde_json::from_str(other.instead).unwrap())
    }

    fn check_step(id: &str, rewrite: &Rewrite, step: &Value) {
        let request = &step["request"];
        let text = |key: &str| request[key].as_str().unwrap();
        let mut head = Fake::new(text("method"), text("uri"));
        for (name, value) in request["headers"].as_object().into_iter().flatten() {
            head = head.header(name, value.as_str().unwrap());
        }
        let draft = head.through(rewrite).unwrap();
        for (key, value) in step["expect"].as_object().unwrap() {
            let value = expected(id, key, value);
            match key.as_str() {
                "upstream_uri" => {
                    let uri = value.as_str().filter(|uri| !uri.is_empty());
                    assert_eq!(draft.target(), uri.unwrap_or(text("uri")), "{id}");
                }
                "host" => assert_eq!(draft.host.as_deref(), value.as_str(), "{id}"),
                "method" => assert_eq!(*draft.method, value, "{id}"),
                "request_headers" => check_headers(id, &head, &draft, &value),
                // Of the split behind it.
                "nodes" | "node_in" => {}
                other => panic!("{id} expects something of `{other}`"),
            }
        }
    }

    fn check_headers(id: &str, head: &Fake, draft: &Draft<'_>, expect: &Value) {
        for (name, value) in expect.as_object().unwrap() {
            let values = head.sent(&name.to_ascii_lowercase(), &draft.edits);
            let expected = match value {
                Value::Null => json!([]),
                Value::Array(_) => value.clone(),
                Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
                    json!([value])
                }
            };
            assert_eq!(json!(values), expected, "{id}: {name}");
        }
    }

    #[test]
    fn apisix_and_splitway_agree_or_differ_as_told() {
        let text = include_str!("../../tests/scenarios/vectors/proxy-rewrite.json");
        let vectors: Vec<Value> = serde_json::from_str(text).unwrap();
        for vector in &vectors {
            let id = vector["id"].as_str().unwrap();
            if vector["kind"] == "validate" {
                let (_, report) = compile(&vector["conf"]);
                let is_ok = vector["expect"]["ok"] == true;
                assert_eq!(report.faults.is_empty(), is_ok, "{id}: {:?}", report.faults);
                continue;
            }
            let rewrite = rewrite(&vector["routes"][0]["plugins"][PLUGIN]);
            let steps = vector["steps"].as_array().unwrap();
            steps.iter().for_each(|step| check_step(id, &rewrite, step));
        }
        for Difference { id, why, .. } in DIFFERENCES {
            assert!(vectors.iter().any(|vector| vector["id"] == *id), "{id} is no vector: {why}");
        }
    }

    #[test]
    fn an_empty_plugin_changes_nothing() {
        for conf in [json!({}), json!({"use_real_request_uri_unsafe": false})] {
            let (rewrite, head) = (rewrite(&conf), Fake::new("GET", "/a%2f?b"));
            let draft = head.through(&rewrite).unwrap();
            assert_eq!((&*draft.method, &*draft.target()), ("GET", "/a%2f?b"), "{conf}");
            assert_eq!(draft.edits, Edits::default(), "{conf}");
        }
        let (plugin, _) = compile(&json!({"uri": "/v", "_meta": {"disable": true}}));
        assert!(plugin.unwrap().meta.is_disabled);
    }

    #[test]
    fn headers_are_verbs_or_names() {
        let sent = |headers: Value, name: &str| {
            let rewrite = rewrite(&json!({"headers": headers}));
            let head = Fake::new("GET", "/").header(name, "c");
            let edits = head.through(&rewrite).unwrap().edits;
            head.sent(name, &edits)
        };
        assert_eq!(sent(json!({"X-A": "1", "n": 2}), "x-a"), ["1"]);
        assert_eq!(sent(json!({"add": "1"}), "add"), ["1"]);
        assert_eq!(sent(json!({"remove": "1", "set": 7}), "set"), ["7"]);
        assert_eq!(sent(json!({"add": {"x-a": [1, "2"]}}), "x-a"), ["c", "1", "2"]);
        assert_eq!(sent(json!({"remove": ["X-A"]}), "x-a"), [""; 0]);
    }

    #[test]
    fn faults_stand_where_they_are_written() {
        let (_, report) = compile(&json!({
            "uri": "v", "headers": {"set": {"Host": "a"}, "ad": {}}, "use_real_request_uri_unsafe": true,
        }));
        let faults: Vec<String> = report.faults.iter().map(ToString::to_string).collect();
        let expected = [
            "/use_real_request_uri_unsafe: the raw target cannot be had",
            "/uri: expected a path that starts with `/`",
            "/headers/ad: unknown key; did you mean `add`?",
            "/headers/set/Host: this header belongs to the connection and cannot be edited",
        ];
        assert_eq!(faults.len(), expected.len(), "{faults:#?}");
        for (fault, expected) in faults.iter().zip(expected) {
            assert!(fault.starts_with(expected), "{fault}");
        }
        let (_, report) = compile(&json!({"headers": {"x-a": {}, "te": "trailers"}}));
        let places: Vec<&str> = report.faults.iter().map(|fault| &*fault.at).collect();
        assert_eq!(places, ["/headers/x-a", "/headers/te"]);
    }
}
