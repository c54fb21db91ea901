//! The names of variables.

use super::path::Path;
use super::{Plain, Variable};
use crate::fault::did_you_mean;

const PLAIN: [(&str, Plain); 27] = [
    ("args", Plain::Args),
    ("cf_asn", Plain::Asn),
    ("cf_colo", Plain::Colo),
    ("cf_country", Plain::Country),
    ("consumer_group_id", Plain::ConsumerGroup),
    ("consumer_name", Plain::Consumer),
    ("document_uri", Plain::Uri),
    ("graphql_name", Plain::GraphqlName),
    ("graphql_operation", Plain::GraphqlOperation),
    ("graphql_root_fields", Plain::GraphqlFields),
    ("host", Plain::Host),
    ("http_host", Plain::HttpHost),
    ("https", Plain::Https),
    ("is_args", Plain::IsArgs),
    ("method", Plain::Method),
    ("query_string", Plain::Args),
    ("real_request_uri", Plain::RealRequestUri),
    ("remote_addr", Plain::RemoteAddr),
    ("request_method", Plain::Method),
    ("request_uri", Plain::RequestUri),
    ("route_id", Plain::RouteId),
    ("route_name", Plain::RouteName),
    ("scheme", Plain::Scheme),
    ("server_port", Plain::ServerPort),
    ("service_id", Plain::ServiceId),
    ("service_name", Plain::ServiceName),
    ("uri", Plain::Uri),
];

/// Families: what a name begins with, and what follows.
const FAMILIES: [(&str, &str); 6] = [
    ("arg_", "an argument"),
    ("cookie_", "a cookie"),
    ("http_", "a header"),
    ("post_arg.", "a place in the body"),
    ("post_arg_", "a field of a form"),
    ("uri_param_", "a parameter of the path"),
];

/// Variables of APISIX and nginx that cannot be had on both runtimes, or not when decisions are made.
const NOT_HERE: [&str; 41] = [
    "apisix_upstream_response_time",
    "balancer_ip",
    "balancer_port",
    "binary_remote_addr",
    "body_bytes_sent",
    "bytes_received",
    "bytes_sent",
    "connection",
    "connection_requests",
    "connection_time",
    "document_root",
    "gzip_ratio",
    "hostname",
    "limit_rate",
    "mqtt_client_id",
    "msec",
    "nginx_version",
    "pid",
    "pipe",
    "protocol",
    "realpath_root",
    "remote_port",
    "remote_user",
    "request",
    "request_body",
    "request_body_file",
    "request_completion",
    "request_filename",
    "request_id",
    "request_length",
    "request_time",
    "resp_body",
    "rpc_time",
    "server_addr",
    "server_name",
    "server_protocol",
    "session_time",
    "status",
    "time_iso8601",
    "time_local",
    "var_x_forwarded_proto",
];

const NOT_HERE_FAMILIES: [&str; 10] = [
    "dubbo_",
    "geoip_",
    "geoip2_",
    "llm_",
    "proxy_",
    "realip_",
    "sent_",
    "ssl_",
    "tcpinfo_",
    "upstream_",
];

/// Names that people try, and what they mean.
const SYNONYMS: [(&str, &str); 11] = [
    ("client_ip", "remote_addr"),
    ("country", "cf_country"),
    ("header_", "http_"),
    ("ip", "remote_addr"),
    ("param_", "uri_param_"),
    ("path", "uri"),
    ("post_args.", "post_arg."),
    ("query", "args"),
    ("query_", "arg_"),
    ("remote_ip", "remote_addr"),
    ("url", "uri"),
];

/// The variable with this name, or what is wrong with the name.
pub(super) fn parse(name: &str) -> Result<Variable, String> {
    match name {
        "content_length" => return Ok(header("content-length")),
        "content_type" => return Ok(header("content-type")),
        _ => {}
    }
    if let Some((_, plain)) = PLAIN.iter().find(|(own, _)| *own == name) {
        return Ok(Variable::Plain(*plain));
    }
    let families = FAMILIES.iter();
    let mut families =
        families.filter_map(|(own, what)| Some((*own, *what, name.strip_prefix(own)?)));
    match families.next() {
        None => Err(unknown(name)),
        Some((_, what, "")) => Err(format!("`{name}` must go on with the name of {what}")),
        Some((family, _, rest)) => member(family, rest),
    }
}

/// A variable of a family.
fn member(family: &str, rest: &str) -> Result<Variable, String> {
    Ok(match family {
        "arg_" => Variable::Arg(rest.into()),
        "cookie_" => Variable::Cookie(rest.into()),
        "http_" => header(rest),
        "post_arg." => Variable::Post(Path::parse(rest)?),
        "post_arg_" => Variable::PostArg(rest.into()),
        _ => Variable::UriParam(rest.into()),
    })
}

/// Dashes and underscores are one in the name of a variable; most headers are written with dashes.
fn header(written: &str) -> Variable {
    let written = written.to_ascii_lowercase();
    let name = written.replace('_', "-");
    let underscored = name.replace('-', "_");
    let or = (underscored != name).then(|| underscored.into());
    Variable::Header { name: name.into(), or }
}

fn unknown(name: &str) -> String {
    if NOT_HERE.contains(&name) || NOT_HERE_FAMILIES.iter().any(|own| name.starts_with(own)) {
        return format!("APISIX has this variable, Splitway does not: `{name}`");
    }
    if let Some(bare) = name.strip_prefix('$') {
        return format!("unknown variable `{name}`; variables are named without `$`: `{bare}`");
    }
    format!("unknown variable `{name}`{}", meant(name))
}

/// The name that was probably meant, as a phrase to append: one of ours, or a member of a family whose
/// beginning was misspelt.
fn meant(name: &str) -> String {
    for (tried, meant) in SYNONYMS {
        let rest = if tried.ends_with(['_', '.']) {
            name.strip_prefix(tried)
        } else {
            (tried == name).then_some("")
        };
        if let Some(rest) = rest {
            return format!("; did you mean `{meant}{rest}`?");
        }
    }
    let lower = name.to_ascii_lowercase();
    if let Some((family, _)) = FAMILIES.iter().find(|(own, _)| lower.starts_with(own)) {
        let rest = name.get(family.len()..).unwrap_or_default();
        return format!("; did you mean `{family}{rest}`?");
    }
    let names = PLAIN.iter().map(|(own, _)| *own);
    let names: Vec<&str> = names.chain(["content_length", "content_type"]).collect();
    let plain = did_you_mean(name, &names);
    if !plain.is_empty() {
        return plain;
    }
    let Some(end) = name.find(['_', '.', '-']).map(|mark| mark + 1) else { return String::new() };
    let (beginning, rest) =
        (name.get(..end).unwrap_or_default(), name.get(end..).unwrap_or_default());
    let near = did_you_mean(beginning, &["arg_", "cookie_", "http_"]);
    near.replace("`?", &format!("{rest}`?"))
}
