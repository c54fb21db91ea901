//! The JSON Schemas of the types that read by hand, and the text in which all schemas stand.
//!
//! The others derive theirs. What a schema cannot say is said by the faults alone: which keys exclude
//! each other, how hosts and paths are written, what weights add up to.

use std::borrow::Cow;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

use crate::auth::jwt::JwtCredentialWire;
use crate::auth::{
    BASIC_AUTH, BasicName, HeldKeyWire, HeldPasswordWire, JWT_AUTH, KEY_AUTH, Key, Password,
};
use crate::balance::{UpstreamObject, UpstreamWire};
use crate::breaker::{self, ApiBreakerWire};
use crate::config::SettingsWire;
use crate::consumer::{ConsumerGroupWire, ConsumerWire, CredentialId, CredentialWire, Username};
use crate::guard::{
    BasicAuthWire, ClientControlWire, CorsWire, IpRestrictionWire, JwtAuthWire, KeyAuthWire,
    RealIpWire, RequestIdWire,
};
use crate::id::{ID_MAX, Id};
use crate::limit::{
    LIMIT_CONN, LIMIT_COUNT, LIMIT_REQ, LimitConnWire, LimitCountWire, LimitReqWire,
};
use crate::node::{NodeWire, NodesWire};
use crate::proxy_rewrite::{self, ProxyRewriteWire};
use crate::resource::{
    GlobalRuleWire, PluginConfigWire, PluginMetadataWire, RouteWire, ServiceWire,
};
use crate::rewrite::Values;
use crate::split::{self, TrafficSplitWire};
use crate::wire::{Label, Lua, REMARK_MAX, Remark, Unsupported};

/// Marks the schema of what is refused by name, until it is left out.
const REFUSED: &str = "x-refused";

/// Gives a type the schema that is written out, in which `$generator` makes the schemas of others.
macro_rules! shape {
    ($type:ident, $generator:pat, $schema:expr) => {
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema($generator: &mut SchemaGenerator) -> Schema {
                $schema
            }
        }
    };
}

shape!(Unsupported, _, json_schema!({REFUSED: true}));
shape!(Lua, _, json_schema!({REFUSED: true}));
shape!(Remark, _, json_schema!({"type": "string", "maxLength": REMARK_MAX}));
shape!(
    Label,
    _,
    json_schema!({
        "type": "string", "minLength": 1, "maxLength": REMARK_MAX, "pattern": r"^\S+$",
    })
);
shape!(
    Id,
    _,
    json_schema!({"anyOf": [
        {"type": "string", "minLength": 1, "maxLength": ID_MAX, "pattern": "^[a-zA-Z0-9_.-]+$"},
        {"type": "integer", "minimum": 1},
    ]})
);
shape!(
    Username,
    _,
    json_schema!({
        "type": "string", "minLength": 1, "maxLength": ID_MAX, "pattern": "^[a-zA-Z0-9_-]+$",
    })
);
shape!(
    CredentialId,
    _,
    json_schema!({
        "type": "string",
        "pattern": format!("^([a-zA-Z0-9_.-]{{1,{ID_MAX}}}/credentials/)?[a-zA-Z0-9_.-]{{1,{ID_MAX}}}$"),
    })
);
shape!(Key, _, json_schema!({"type": "string", "minLength": 1}));
shape!(Password, _, json_schema!({"type": "string", "minLength": 1}));
shape!(BasicName, _, json_schema!({"type": "string", "pattern": "^[^:]*$"}));
shape!(
    Values,
    _,
    json_schema!({"anyOf": [
        {"type": ["string", "number"]},
        {"type": "array", "minItems": 1, "items": {"type": ["string", "number"]}},
    ]})
);
shape!(
    UpstreamWire,
    generator,
    json_schema!({"anyOf": [
        {"type": "string", "pattern": "^https?://"},
        generator.subschema_for::<UpstreamObject>(),
    ]})
);
shape!(
    NodesWire,
    generator,
    json_schema!({"anyOf": [
        {
            "type": "object",
            "minProperties": 1,
            "additionalProperties": generator.subschema_for::<u32>(),
        },
        {"type": "array", "minItems": 1, "items": generator.subschema_for::<NodeWire>()},
    ]})
);

/// The text of `schema.json`: an object with one schema on each line.
pub(crate) fn text() -> String {
    let schemas = [
        ("route", of::<RouteWire>()),
        ("service", of::<ServiceWire>()),
        ("upstream", of::<UpstreamObject>()),
        ("consumer", of::<ConsumerWire>()),
        ("credential", of::<CredentialWire>()),
        ("consumer_group", of::<ConsumerGroupWire>()),
        ("global_rule", of::<GlobalRuleWire>()),
        ("plugin_config", of::<PluginConfigWire>()),
        ("plugin_metadata", of::<PluginMetadataWire>()),
        ("settings", of::<SettingsWire>()),
        (&*format!("plugins/{}", split::PLUGIN), of::<TrafficSplitWire>()),
        (&*format!("plugins/{}", proxy_rewrite::PLUGIN), of::<ProxyRewriteWire>()),
        (&*format!("plugins/{}", breaker::PLUGIN), of::<ApiBreakerWire>()),
        ("plugins/real-ip", of::<RealIpWire>()),
        ("plugins/client-control", of::<ClientControlWire>()),
        ("plugins/request-id", of::<RequestIdWire>()),
        ("plugins/cors", of::<CorsWire>()),
        (&*format!("plugins/{BASIC_AUTH}"), of::<BasicAuthWire>()),
        (&*format!("plugins/{JWT_AUTH}"), of::<JwtAuthWire>()),
        (&*format!("plugins/{KEY_AUTH}"), of::<KeyAuthWire>()),
        ("plugins/ip-restriction", of::<IpRestrictionWire>()),
        (&*format!("plugins/{LIMIT_CONN}"), of::<LimitConnWire>()),
        (&*format!("plugins/{LIMIT_COUNT}"), of::<LimitCountWire>()),
        (&*format!("plugins/{LIMIT_REQ}"), of::<LimitReqWire>()),
        (&*format!("plugins/{BASIC_AUTH}/consumer"), of::<HeldPasswordWire>()),
        (&*format!("plugins/{JWT_AUTH}/consumer"), of::<JwtCredentialWire>()),
        (&*format!("plugins/{KEY_AUTH}/consumer"), of::<HeldKeyWire>()),
    ];
    let lines = schemas.map(|(name, schema)| format!("\"{name}\":{schema}"));
    format!("{{\n{}\n}}\n", lines.join(",\n"))
}

fn of<T: JsonSchema>() -> Value {
    let generator = SchemaSettings::draft2020_12().for_deserialize().into_generator();
    let mut schema = generator.into_root_schema_for::<T>().to_value();
    plain(&mut schema);
    schema
}

/// Leaves out what is refused by name, the null that serde would take for an absent key, and the words
/// that are for whoever reads the source.
fn plain(schema: &mut Value) {
    let Value::Object(members) = schema else { return };
    for key in ["description", "format", "title"] {
        if let Some(Value::String(format)) = members.remove(key)
            && format == "uint32"
        {
            members.entry("maximum").or_insert_with(|| json!(u32::MAX));
        }
    }
    without_null(members);
    if members.contains_key(REFUSED) {
        *schema = Value::Bool(false);
        return;
    }
    for key in ["$defs", "properties"] {
        let Some(Value::Object(inner)) = members.get_mut(key) else { continue };
        inner.values_mut().for_each(plain);
        inner.retain(|_, schema| *schema != Value::Bool(false));
    }
    for key in ["additionalProperties", "items"] {
        members.get_mut(key).into_iter().for_each(plain);
    }
    for key in ["anyOf", "oneOf"] {
        let list = members.get_mut(key).and_then(Value::as_array_mut);
        list.into_iter().flatten().for_each(plain);
    }
}

fn without_null(members: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = members.get_mut("type") {
        types.retain(|name| name != "null");
        if let [one] = &mut types[..] {
            let one = one.take();
            members.insert("type".to_owned(), one);
        }
    }
    if let Some(Value::Array(values)) = members.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    let Some(Value::Array(choices)) = members.get_mut("anyOf") else { return };
    choices.retain(|choice| choice.get("type").is_none_or(|name| name != "null"));
    if let [Value::Object(one)] = &mut choices[..] {
        let one = std::mem::take(one);
        members.remove("anyOf");
        members.extend(one);
    }
}
