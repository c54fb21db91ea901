//! Plugins by name: which there are, and in which kinds of resources each may stand.

use crate::auth::{BASIC_AUTH, JWT_AUTH, KEY_AUTH};
use crate::breaker;
use crate::fault::{At, Report, did_you_mean};
use crate::guard;
use crate::kind::Kind;
#[cfg(feature = "schema")]
use crate::limit;
use crate::limit::{LIMIT_CONN, LIMIT_COUNT, LIMIT_REQ};
use crate::proxy_rewrite;
use crate::split;

/// The plugins of this version, in the order in which they act.
pub const PLUGINS: [&str; 14] = [
    "real-ip",
    "client-control",
    "request-id",
    "cors",
    BASIC_AUTH,
    JWT_AUTH,
    KEY_AUTH,
    "ip-restriction",
    LIMIT_CONN,
    LIMIT_COUNT,
    LIMIT_REQ,
    proxy_rewrite::PLUGIN,
    breaker::PLUGIN,
    split::PLUGIN,
];

/// The plugins of APISIX 3.x, as far as this version has nothing of them.
const OTHERS: &str = "\
    acl ai ai-aliyun-content-moderation ai-aws-content-moderation ai-cache ai-lakera-guard \
    ai-prompt-decorator ai-prompt-guard ai-prompt-template ai-proxy ai-proxy-multi ai-rag \
    ai-rate-limiting ai-request-rewrite attach-consumer-label authz-casbin authz-casdoor \
    authz-keycloak aws-lambda azure-functions batch-requests body-transformer brotli \
    cas-auth chaitin-waf clickhouse-logger consumer-restriction csrf datadog \
    degraphql dubbo-proxy echo elasticsearch-logger error-log-logger example-plugin \
    ext-plugin-post-req ext-plugin-post-resp ext-plugin-pre-req fault-injection file-logger \
    forward-auth gm google-cloud-logging grpc-transcode grpc-web gzip hmac-auth http-dubbo \
    http-logger inspect jwe-decrypt kafka-logger kafka-proxy lago ldap-auth \
    log-rotate loggly loki-logger mcp-bridge mocking multi-auth \
    node-status ocsp-stapling opa openfunction openid-connect opentelemetry openwhisk prometheus \
    proxy-cache proxy-control proxy-mirror public-api redirect \
    referer-restriction request-validation response-rewrite rocketmq-logger saml-auth \
    server-info serverless-post-function serverless-pre-function skywalking skywalking-logger \
    sls-logger splunk-hec-logging syslog tcp-logger tencent-cloud-cls traffic-label ua-restriction \
    udp-logger uri-blocker wolf-rbac workflow zipkin";

/// Reports the plugins that cannot stand in a resource of this kind. What the others are told is for
/// those to check who use it.
pub(crate) fn check_names<'n>(
    names: impl Iterator<Item = &'n String>,
    holder: Kind,
    at: At<'_>,
    report: &mut Report,
) {
    for name in names {
        if let Some(what) = misplaced(name, holder) {
            report.fault(at.key(name), what);
        }
    }
}

/// Why this plugin cannot stand there, if it cannot.
fn misplaced(name: &str, holder: Kind) -> Option<String> {
    let has_traffic =
        matches!(holder, Kind::Route | Kind::Service | Kind::PluginConfig | Kind::GlobalRule);
    let takes_keys = matches!(holder, Kind::Consumer | Kind::Credential);
    let is_consumer = matches!(holder, Kind::Consumer | Kind::ConsumerGroup);
    match name {
        name if guard::GUARDS.contains(&name) && has_traffic => None,
        name if guard::is_of_consumers(name) && is_consumer => None,
        BASIC_AUTH | JWT_AUTH | KEY_AUTH if takes_keys => None,
        name if guard::GUARDS.contains(&name) => {
            Some(format!("not supported in a {}", holder.singular()))
        }
        proxy_rewrite::PLUGIN | breaker::PLUGIN | split::PLUGIN if has_traffic => None,
        proxy_rewrite::PLUGIN | breaker::PLUGIN | split::PLUGIN => {
            Some(format!("not supported in a {} yet", holder.singular()))
        }
        name if OTHERS.split_whitespace().any(|other| other == name) => {
            Some("APISIX has this plugin, Splitway does not support it yet".to_owned())
        }
        name => Some(unknown(name)),
    }
}

/// What is said of a name that is no plugin's.
fn unknown(name: &str) -> String {
    format!("unknown plugin [{name}]{}", did_you_mean(name, &PLUGINS))
}

/// Checks the name that the metadata of a plugin have as their id.
pub(crate) fn check_metadata_id(name: &str, at: At<'_>, report: &mut Report) {
    if !PLUGINS.contains(&name) {
        report.fault(at, misplaced(name, Kind::PluginMetadata).unwrap_or_else(|| unknown(name)));
    }
}

/// The plugins that may stand where a route is decided.
#[cfg(feature = "schema")]
#[derive(schemars::JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "its schema is what counts")]
pub(crate) struct TrafficPlugins {
    #[schemars(rename = "real-ip")]
    real_ip: Option<guard::RealIpWire>,
    #[schemars(rename = "client-control")]
    client_control: Option<guard::ClientControlWire>,
    #[schemars(rename = "request-id")]
    request_id: Option<guard::RequestIdWire>,
    cors: Option<guard::CorsWire>,
    #[schemars(rename = "basic-auth")]
    basic_auth: Option<guard::BasicAuthWire>,
    #[schemars(rename = "jwt-auth")]
    jwt_auth: Option<guard::JwtAuthWire>,
    #[schemars(rename = "key-auth")]
    key_auth: Option<guard::KeyAuthWire>,
    #[schemars(rename = "ip-restriction")]
    ip_restriction: Option<guard::IpRestrictionWire>,
    #[schemars(rename = "limit-conn")]
    limit_conn: Option<limit::LimitConnWire>,
    #[schemars(rename = "limit-count")]
    limit_count: Option<limit::LimitCountWire>,
    #[schemars(rename = "limit-req")]
    limit_req: Option<limit::LimitReqWire>,
    #[schemars(rename = "proxy-rewrite")]
    proxy_rewrite: Option<proxy_rewrite::ProxyRewriteWire>,
    #[schemars(rename = "api-breaker")]
    api_breaker: Option<breaker::ApiBreakerWire>,
    #[schemars(rename = "traffic-split")]
    traffic_split: Option<split::TrafficSplitWire>,
}

/// The plugins that may stand in a consumer, beside those that it is known by.
#[cfg(feature = "schema")]
#[derive(schemars::JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "its schema is what counts")]
pub(crate) struct GroupPlugins {
    #[schemars(rename = "ip-restriction")]
    ip_restriction: Option<guard::IpRestrictionWire>,
    #[schemars(rename = "limit-conn")]
    limit_conn: Option<limit::LimitConnWire>,
    #[schemars(rename = "limit-count")]
    limit_count: Option<limit::LimitCountWire>,
    #[schemars(rename = "limit-req")]
    limit_req: Option<limit::LimitReqWire>,
}
