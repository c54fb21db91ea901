//! The JSON Schemas of resources and plugins, for clients that draw forms or check before they send.
//!
//! They stand in `schema.json`, made from the types that read documents (`cargo xtask schema`); a test
//! holds both together. They are draft 2020-12 and say less than the faults do: what a document is
//! refused for by them, it is refused for by the parser, and not the other way round.

pub use crate::plugin::PLUGINS;

/// One schema on each line, behind its name.
const SCHEMAS: &str = include_str!("schema.json");

/// The schema of a kind of resource in JSON, by the name that it has in APISIX's paths: `route`,
/// `consumer_group`. `None` if there is no such kind.
pub fn of(name: &str) -> Option<&'static str> {
    find(name).filter(|_| !name.contains('/'))
}

/// The schema of what a plugin is told in JSON: in a consumer if `schema_type` is `consumer`, else in
/// routes and the like. `None` if the plugin cannot stand there.
pub fn of_plugin(name: &str, schema_type: Option<&str>) -> Option<&'static str> {
    match schema_type {
        None => find(&format!("plugins/{name}")).filter(|_| !name.contains('/')),
        Some(place) => find(&format!("plugins/{name}/{place}")),
    }
}

fn find(name: &str) -> Option<&'static str> {
    SCHEMAS.lines().find_map(|line| {
        let schema = line.strip_prefix('"')?.strip_prefix(name)?.strip_prefix("\":")?;
        Some(schema.strip_suffix(',').unwrap_or(schema))
    })
}

/// What `schema.json` must hold.
#[cfg(feature = "schema")]
pub fn generate() -> String {
    crate::shape::text()
}
