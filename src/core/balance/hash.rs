//! What consistent hashing takes its key from.

use std::borrow::Cow;

use serde::Deserialize;

use crate::facts::Facts;
use crate::fault::{At, Report};
use crate::template::{Dialect, Template, text_of};
use crate::variable::{Variable, warn_of_body};

/// The member `hash_on` of an upstream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(super) enum HashOn {
    #[default]
    Vars,
    Header,
    Cookie,
    Consumer,
    VarsCombinations,
}

/// Where the key of a request is.
#[derive(Debug, PartialEq)]
pub(super) enum HashKey {
    Variable(Variable),
    Consumer,
    Combination(Template),
}

/// The variables that APISIX takes a key from, beside arguments.
const VARS: [&str; 10] = [
    "uri",
    "server_name",
    "server_addr",
    "request_uri",
    "remote_port",
    "remote_addr",
    "query_string",
    "host",
    "hostname",
    "mqtt_client_id",
];

impl HashKey {
    /// Checks `hash_on` and `key` of the upstream at `at`.
    pub(super) fn compile(
        hash_on: HashOn,
        key: Option<&str>,
        at: At<'_>,
        report: &mut Report,
    ) -> Option<Self> {
        let Some(key) = key.filter(|_| hash_on != HashOn::Consumer) else {
            if hash_on == HashOn::Consumer {
                return Some(Self::Consumer);
            }
            report.fault(at, "`key` is missing, `type` \"chash\" needs it");
            return None;
        };
        let at = at.key("key");
        let is_name = !key.is_empty()
            && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        let variable = match hash_on {
            HashOn::VarsCombinations => {
                let template = Template::compile(Dialect::Plain, key, at, report);
                if template.needs_body() {
                    warn_of_body(at, report);
                }
                return Some(Self::Combination(template));
            }
            HashOn::Vars => variable(key),
            HashOn::Header if is_name => Variable::parse(&format!("http_{key}")),
            HashOn::Cookie if is_name => Variable::parse(&format!("cookie_{key}")),
            HashOn::Header | HashOn::Cookie | HashOn::Consumer => {
                Err("expected letters, digits, `-`, `_`".to_owned())
            }
        };
        match variable {
            Ok(variable) => Some(Self::Variable(variable)),
            Err(what) => {
                report.fault(at, what);
                None
            }
        }
    }

    /// Whether the key is in the body of the request.
    pub(super) fn needs_body(&self) -> bool {
        match self {
            Self::Variable(variable) => variable.needs_body(),
            Self::Consumer => false,
            Self::Combination(template) => template.needs_body(),
        }
    }

    /// The key of a request; the address of the client where there is none, as in APISIX.
    pub(super) fn of<'f>(&'f self, facts: &Facts<'f>) -> Cow<'f, str> {
        let key = match self {
            Self::Variable(variable) => variable.value(facts).and_then(text_of),
            Self::Consumer => facts.caller.consumer.map(Cow::Borrowed),
            Self::Combination(template) => template.fill_if_any(facts).map(Cow::Owned),
        };
        key.unwrap_or_else(|| {
            let client = facts.client();
            Cow::Owned(client.map(|it| it.to_canonical().to_string()).unwrap_or_default())
        })
    }
}

/// The variable of this name, if it is one that APISIX takes a key from.
fn variable(name: &str) -> Result<Variable, String> {
    // APISIX's pattern says `A-z`, and so also takes what stands between `Z` and `a` in ASCII.
    let belongs = |b: u8| b.is_ascii_digit() || (b'A'..=b'z').contains(&b) || b == b'-';
    let is_arg =
        name.strip_prefix("arg_").is_some_and(|arg| !arg.is_empty() && arg.bytes().all(belongs));
    if is_arg || VARS.contains(&name) {
        return Variable::parse(name);
    }
    let had: Vec<String> = VARS
        .iter()
        .filter(|own| Variable::parse(own).is_ok())
        .map(|own| format!("`{own}`"))
        .collect();
    Err(format!("expected `arg_` with a name, or one of {}", had.join(", ")))
}
