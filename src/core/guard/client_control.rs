//! The plugin `client-control`: how large the body of a request may be.
//!
//! A length that is known is compared before anything is sent. A body that comes without one is cut off
//! where it has become too long: the client is told, and the upstream never has the whole of it.

use serde::Deserialize;

use super::{Asked, Passage, Verdict};
use crate::facts::Facts;
use crate::fault::{At, Report};
use crate::meta::{Meta, MetaWire};
use crate::problem::Problem;

/// The name of the plugin in documents.
pub(crate) const PLUGIN: &str = "client-control";

/// The configuration of the plugin, as APISIX writes it.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct ClientControlWire {
    /// The most bytes that the body of a request may have; 0: as many as it likes.
    max_body_size: Option<u64>,
    _meta: Option<MetaWire>,
}

/// What the plugin is told.
#[derive(Debug)]
pub(crate) struct ClientControl {
    pub(super) meta: Meta,
    /// The most bytes of a body, if there is a most.
    max: Option<u64>,
}

impl ClientControlWire {
    /// Checks the plugin.
    pub(crate) fn compile(self, at: At<'_>, report: &mut Report) -> ClientControl {
        let meta = Meta::compile(self._meta, at, report);
        if self.max_body_size.is_none() {
            report.warn(at, "has no effect without `max_body_size`");
        }
        ClientControl { meta, max: self.max_body_size.filter(|max| *max > 0) }
    }
}

impl ClientControl {
    /// Whether a request may pass.
    pub(super) fn pass<'a>(&'a self, asked: &Asked<'a, '_>) -> Verdict<'a> {
        if self.is_too_long(asked.facts) {
            let problem = Problem::BodyTooLarge;
            return Verdict::Answers(problem.answer(), Some(problem));
        }
        Verdict::Passes(Passage { upload_max: self.max, ..Passage::default() })
    }

    /// Whether the request itself says that its body is too long.
    fn is_too_long(&self, facts: &Facts<'_>) -> bool {
        let told = facts.head.header("content-length");
        let told = told.and_then(|told| told.parse::<u64>().ok());
        self.max.zip(told).is_some_and(|(max, told)| told > max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::{Body, fake};
    use crate::wire;
    use serde_json::{Value, json};

    fn compiled(value: &Value) -> (Option<ClientControl>, Report) {
        let mut report = Report::default();
        let compile =
            |wire: ClientControlWire, report: &mut Report| Some(wire.compile(At::Root, report));
        let plugin = wire::read(value, At::Root, &mut report, compile);
        (plugin, report)
    }

    fn is_too_long(max: u64, told: &str) -> bool {
        let plugin = compiled(&json!({"max_body_size": max})).0.unwrap();
        let asked = fake::Asked::default().header("content-length", told);
        asked.with(Body::Unread, |facts| plugin.is_too_long(&facts))
    }

    #[test]
    fn a_length_that_is_told_is_compared() {
        for (max, told, expected) in [
            (10, "10", false),
            (10, "11", true),
            (10, "18446744073709551615", true),
            (10, "", false),
            (1, "0", false),
            (0, "18446744073709551615", false),
        ] {
            assert_eq!(is_too_long(max, told), expected, "{told} of {max}");
        }
    }

    #[test]
    fn a_size_is_a_number_and_should_be_there() {
        let faults = compiled(&json!({"max_body_size": -1, "max_size": 1})).1.faults;
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(
            faults,
            [
                "/max_body_size: expected an integer from 0, found `-1`",
                "/max_size: unknown key; did you mean `max_body_size`?",
            ]
        );
        let (plugin, report) = compiled(&json!({}));
        assert_eq!(plugin.unwrap().max, None);
        assert_eq!(report.warnings[0].what, "has no effect without `max_body_size`");
    }
}
