//! What of a resource may be missed: it decides neither which requests pass nor where they go. All
//! else takes the whole resource along when it has to go, so that no route takes more than it took and
//! none stands without its guard.

use serde_json::Value;

/// Plugins that watch, compress, keep or label, and the headers that only browsers obey.
const PLUGINS: [&str; 29] = [
    "brotli",
    "clickhouse-logger",
    "cors",
    "datadog",
    "elasticsearch-logger",
    "error-log-logger",
    "file-logger",
    "google-cloud-logging",
    "gzip",
    "http-logger",
    "kafka-logger",
    "lago",
    "log-rotate",
    "loggly",
    "loki-logger",
    "node-status",
    "opentelemetry",
    "prometheus",
    "proxy-cache",
    "request-id",
    "rocketmq-logger",
    "server-info",
    "skywalking",
    "skywalking-logger",
    "sls-logger",
    "splunk-hec-logging",
    "syslog",
    "tcp-logger",
    "zipkin",
];

/// Keys of routes and services.
const KEYS: [&str; 6] =
    ["name", "desc", "labels", "create_time", "update_time", "enable_websocket"];

/// Keys of upstreams: which node of the same upstream serves, and how often it is tried.
const UPSTREAM_KEYS: [&str; 7] =
    ["type", "hash_on", "key", "checks", "retries", "retry_timeout", "keepalive_pool"];

/// A part of a resource that may be left out.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// The JSON pointer of the part.
    pub(super) at: String,
    /// Whether it says what holds without it too.
    pub(super) is_idle: bool,
}

/// The part that can go so that a fault at `at` goes; `None` if the resource must go.
pub(super) fn part(at: &str, document: &Value) -> Option<Part> {
    let segments: Vec<&str> = at.split('/').skip(1).collect();
    let cut = |length: usize| {
        let at: String = segments.iter().take(length).flat_map(|segment| ["/", segment]).collect();
        let is_idle = document.pointer(&at).is_some_and(|value| is_default(&at, value));
        Part { at, is_idle }
    };
    let [list, _, rest @ ..] = segments.as_slice() else { return None };
    match rest {
        ["plugins", name, ..] => {
            let plugin = cut(4);
            if PLUGINS.contains(name) || plugin.is_idle {
                return Some(plugin);
            }
        }
        [key, ..] if KEYS.contains(key) => return Some(cut(3)),
        _ => {}
    }
    let upstream = match rest {
        _ if *list == "upstreams" => 2,
        ["upstream", ..] => 3,
        ["plugins", "traffic-split", inner @ ..] => {
            5 + inner.iter().position(|segment| *segment == "upstream")?
        }
        _ => return None,
    };
    let inner = segments.get(upstream..)?;
    match inner {
        [key, ..] if UPSTREAM_KEYS.contains(key) => Some(cut(upstream + 1)),
        ["nodes", _, "priority"] => Some(cut(upstream + 3)).filter(|part| part.is_idle),
        _ => None,
    }
}

/// Whether every plugin of a resource may be missed.
pub(super) fn has_only_harmless_plugins(resource: &Value) -> bool {
    let plugins = resource.get("plugins").and_then(Value::as_object);
    plugins.is_some_and(|plugins| {
        plugins.iter().all(|(name, value)| PLUGINS.contains(&name.as_str()) || is_disabled(value))
    })
}

/// Whether a value is what APISIX, and Splitway, takes where the key is not there.
fn is_default(at: &str, value: &Value) -> bool {
    match at.rsplit('/').next().unwrap_or_default() {
        "priority" => value.as_i64() == Some(0),
        "enable_websocket" => *value == Value::Bool(false),
        "hash_on" => value == "vars",
        _ => is_disabled(value),
    }
}

/// Whether a value is a plugin that is switched off.
fn is_disabled(plugin: &Value) -> bool {
    plugin.pointer("/_meta/disable") == Some(&Value::Bool(true))
}
