//! Whose requests a limit counts together.

use std::borrow::Cow;

use serde::Deserialize;

use crate::address::household;
use crate::facts::{Caller, Facts};
use crate::fault::{At, Report};
use crate::template::{Dialect, Template, text_of};
use crate::variable::{Variable, warn_of_body};

/// The variable by which requests are counted where nothing else is said.
const CLIENT: &str = "remote_addr";

/// What a key begins with that is an address because there is no value, so that nobody who sends another's
/// address as a value uses up what that one may. No header can carry it (RFC 9110, section 5.5); a value that
/// has come by other ways and begins with it gets one more.
const APART: char = '\0';

/// What the `key` of a limit is, as APISIX writes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(crate) enum KeyType {
    /// The name of a variable.
    #[default]
    Var,
    /// Text with variables in it.
    VarCombination,
    /// The same text for all requests.
    Constant,
}

/// Whose requests are counted together: those with the same value of this.
#[derive(Debug, PartialEq)]
pub(crate) enum Key {
    /// All.
    Constant(Box<str>),
    Variable(Variable),
    Combination(Template),
}

impl Key {
    /// Checks the key of the limit at `at`.
    pub(super) fn compile(
        key: Option<&str>,
        key_type: Option<KeyType>,
        at: At<'_>,
        report: &mut Report,
    ) -> Self {
        let at = at.key("key");
        let text = key.unwrap_or(CLIENT);
        let key = match key_type.unwrap_or_default() {
            KeyType::Constant => Self::Constant(text.into()),
            KeyType::VarCombination => {
                let template = Template::compile(Dialect::Plain, text, at, report);
                if template.as_text().is_some() {
                    let what = "there is no variable in it: all are counted by the address of the client; \
                        of all together, with `\"key_type\": \"constant\"`";
                    report.warn(at, what);
                }
                Self::Combination(template)
            }
            KeyType::Var => match Variable::parse(text) {
                Ok(variable) => Self::Variable(variable),
                Err(what) => {
                    report.fault(at, what);
                    Self::Constant(text.into())
                }
            },
        };
        if key.needs_body() {
            warn_of_body(at, report);
        }
        key
    }

    fn needs_body(&self) -> bool {
        match self {
            Self::Constant(_) => false,
            Self::Variable(variable) => variable.needs_body(),
            Self::Combination(template) => template.needs_body(),
        }
    }

    /// The key of a request. One that has none is counted by the address of its client. Addresses of IPv6
    /// stand for their /64, which is as much as one client has.
    pub(crate) fn of<'k>(&'k self, facts: &Facts<'k>) -> Cow<'k, str> {
        if let Self::Constant(text) = self {
            return Cow::Borrowed(text);
        }
        let client = facts.client().map(household);
        let found = facts.seen_as(Caller { client, ..facts.caller }, |facts| match self {
            Self::Constant(_) => None,
            Self::Variable(variable) => {
                variable.value(facts).and_then(text_of).map(Cow::into_owned)
            }
            Self::Combination(template) => template.fill_if_any(facts),
        });
        Cow::Owned(match found {
            Some(value) if value.starts_with(APART) => format!("{APART}{value}"),
            Some(value) => value,
            None => client.map_or_else(|| APART.to_string(), |client| format!("{APART}{client}")),
        })
    }
}
