//! Documents, and the parts they are made of.

use serde_json::{Value, json};

use crate::origin::Origin;

/// An upstream with one node, which is told its own name as `Host`: what every environment can do.
pub fn upstream(origin: &Origin) -> Value {
    json!({"type": "roundrobin", "nodes": {origin.authority(): 1}, "pass_host": "node"})
}

/// A document with these routes and nothing else.
pub fn routes(routes: &[Value]) -> String {
    json!({"routes": routes}).to_string()
}

/// A document with one route for every path, to one upstream, unsplit.
pub fn everything_to(origin: &Origin) -> String {
    routes(&[json!({"id": "all", "uri": "/*", "upstream": upstream(origin)})])
}

/// A document with one route for every path, split by these rules.
pub fn split(rules: &[Value]) -> String {
    routes(&[json!({"id": "split", "uri": "/*", "plugins": {"traffic-split": {"rules": rules}}})])
}

/// A document with one route for every path, split into these branches in the form of APISIX.
pub fn branches(branches: &[Value]) -> String {
    split(&[json!({"weighted_upstreams": branches})])
}
