//! Splitway, with all that it has in an ordinary start: the proof headers, metrics, breakers of branches.

use std::fs;
use std::io;
use std::net::SocketAddr;

use serde_json::{Map, Value, json};

use crate::certificates;
use crate::setup::{Setup, TARGETS, World, key, tenant};

/// How it is started.
pub(crate) fn command(
    setup: &Setup,
    world: &World,
    at: SocketAddr,
    name: &str,
) -> io::Result<Vec<String>> {
    let folder = world.folder.join(name);
    fs::create_dir_all(&folder)?;
    let config = folder.join("splitway.json");
    fs::write(&config, document(setup, world).to_string())?;
    let path = |path: std::path::PathBuf| path.to_string_lossy().into_owned();
    let mut command = vec![path(world.splitway.clone()), "serve".into(), "--workers=1".into()];
    command.extend(["--config".into(), path(config), format!("--listen={at}")]);
    command.extend(["--metrics-listen=127.0.0.1:0".into(), "--idle-timeout=1h".into()]);
    if setup.client_tls {
        command.extend(["--tls-cert".into(), path(certificates::certificate(&world.folder))]);
        command.extend(["--tls-key".into(), path(certificates::key(&world.folder))]);
    }
    if setup.origin_tls {
        command.extend(["--ca".into(), path(certificates::authority(&world.folder))]);
        let port = world.secure.port();
        command.push(format!("--resolve={}:{port}:127.0.0.1", certificates::ORIGIN));
    }
    Ok(command)
}

fn document(setup: &Setup, world: &World) -> Value {
    let mut routes: Vec<Value> = Vec::new();
    for target in TARGETS {
        routes.push(route(setup, target.path(), target.path()));
    }
    for number in 0..setup.routes {
        routes.push(route(setup, &tenant(number), "/chat/completions"));
    }
    let consumer = |number| {
        let plugins = json!({"key-auth": {"key": key(number)}});
        json!({"username": format!("c{number}"), "plugins": plugins})
    };
    let consumers: Vec<Value> = (0..setup.consumers).map(consumer).collect();
    json!({"routes": routes, "upstreams": [upstream(setup, world)], "consumers": consumers})
}

fn upstream(setup: &Setup, world: &World) -> Value {
    let authority = if setup.origin_tls {
        format!("{}:{}", certificates::ORIGIN, world.secure.port())
    } else {
        world.plain.to_string()
    };
    let scheme = if setup.origin_tls { "https" } else { "http" };
    let mut upstream =
        json!({"id": "origin", "type": "roundrobin", "scheme": scheme, "nodes": {authority: 1}});
    if setup.origin_tls {
        upstream["pass_host"] = "node".into();
    }
    if setup.everything {
        upstream["breaker"] = json!({"failures": 5, "open": 5});
        upstream["timeout"] = json!({"connect": 2, "send": 10, "read": 60});
    }
    upstream
}

/// A route with a split that rewrites to the versions of `path`.
fn route(setup: &Setup, uri: &str, path: &str) -> Value {
    let branch = |version| {
        let uri = format!("/v{version}{path}");
        json!({"name": format!("v{version}"), "weight": 1, "rewrite": {"uri": uri}})
    };
    let branches: Vec<Value> = (1..=setup.branches).map(branch).collect();
    let mut rule = json!({"weighted_upstreams": branches});
    if setup.sticky {
        rule["sticky"] = json!({"by": ["header:x-user"]});
    }
    if setup.everything {
        rule["breaker"] = json!({"failures": 5, "open": 5});
        rule["on_failure"] = json!({"to": "others"});
    }
    let mut plugins = Map::new();
    plugins.insert("traffic-split".into(), json!({"rules": [rule]}));
    if setup.consumers > 0 {
        plugins.insert("key-auth".into(), json!({}));
    }
    if setup.everything {
        plugins.extend(guards());
    }
    let id = uri.trim_matches('/').replace('/', "-");
    json!({"id": id, "uri": uri, "upstream_id": "origin", "plugins": plugins})
}

/// Limits that nobody reaches, and an id.
fn guards() -> Map<String, Value> {
    let by = "remote_addr";
    let conn = json!({"conn": 5000, "burst": 0, "default_conn_delay": 0.1, "key": by});
    let rate = json!({"rate": 1_000_000, "burst": 1_000_000, "key": by, "nodelay": true});
    let count = json!({"count": 100_000_000, "time_window": 86_400, "key": by});
    let mut guards = Map::new();
    guards.insert("limit-conn".into(), conn);
    guards.insert("limit-req".into(), rate);
    guards.insert("limit-count".into(), count);
    guards.insert("request-id".into(), json!({}));
    guards
}
