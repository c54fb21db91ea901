//! The plugin `ip-restriction`: who may call, by address.
//!
//! The address is the one that the guards before it have found out (`real-ip`), else the peer's. One of IPv4
//! that is written as one of IPv6 counts as what it is. Where no address is known, nobody passes.

use ipnet::IpNet;
use serde::Deserialize;
use serde_json::json;

use super::{Asked, Verdict};
use crate::address::{is_in, network};
use crate::facts::Facts;
use crate::fault::{At, Report};
use crate::meta::{Meta, MetaWire};
use crate::problem::{Answer, Problem};

/// The name of the plugin in documents.
pub(crate) const PLUGIN: &str = "ip-restriction";

/// What is told, unless the document says something else.
const MESSAGE: &str = "Your IP address is not allowed";
/// How many characters may be told.
const MESSAGE_MAX: usize = 1024;

/// The configuration of the plugin, as APISIX writes it.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(
    feature = "schema",
    schemars(extend("oneOf" = json!([{"required": ["whitelist"]}, {"required": ["blacklist"]}])))
)]
#[serde(deny_unknown_fields)]
pub(crate) struct IpRestrictionWire {
    /// Addresses and networks that may call; nobody else may.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    whitelist: Option<Vec<String>>,
    /// Addresses and networks that may not call; everybody else may.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    blacklist: Option<Vec<String>>,
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = MESSAGE_MAX)))]
    message: Option<String>,
    #[cfg_attr(feature = "schema", schemars(range(min = 403, max = 404)))]
    response_code: Option<u32>,
    _meta: Option<MetaWire>,
}

/// What the plugin is told.
#[derive(Debug)]
pub(crate) struct IpRestriction {
    pub(super) meta: Meta,
    list: Box<[IpNet]>,
    /// Whether those on the list are the ones that may call.
    is_open_to_list: bool,
    refusal: Answer,
}

impl IpRestrictionWire {
    /// Checks the plugin.
    pub(crate) fn compile(self, at: At<'_>, report: &mut Report) -> IpRestriction {
        let meta = Meta::compile(self._meta, at, report);
        let status = match self.response_code {
            None | Some(403) => 403,
            Some(404) => 404,
            Some(other) => {
                report
                    .fault(at.key("response_code"), format!("expected 403 or 404, found {other}"));
                403
            }
        };
        let message = self.message.as_deref().unwrap_or(MESSAGE);
        let length = message.chars().count();
        if !(1..=MESSAGE_MAX).contains(&length) {
            let what = format!("expected 1 to {MESSAGE_MAX} characters, found {length}");
            report.fault(at.key("message"), what);
        }
        let is_open_to_list = self.whitelist.is_some();
        let list = match (self.whitelist, self.blacklist) {
            (Some(list), None) => networks(&list, at.key("whitelist"), report),
            (None, Some(list)) => networks(&list, at.key("blacklist"), report),
            (Some(_), Some(_)) => {
                report.fault(at, "expected `whitelist` or `blacklist`, found both");
                Box::default()
            }
            (None, None) => {
                report.fault(at, "expected `whitelist` or `blacklist`");
                Box::default()
            }
        };
        IpRestriction { meta, list, is_open_to_list, refusal: refusal(status, message) }
    }
}

/// The networks of a list in a document.
pub(super) fn networks(list: &[String], at: At<'_>, report: &mut Report) -> Box<[IpNet]> {
    if list.is_empty() {
        report.fault(at, "expected at least one address or network");
    }
    let mut networks = Vec::with_capacity(list.len());
    for (index, text) in list.iter().enumerate() {
        match network(text) {
            Some(network) => networks.push(network),
            None => {
                let what = format!("expected an address or a network, found `{text}`");
                report.fault(at.index(index), what);
            }
        }
    }
    networks.into()
}

/// What those are told who may not call, in APISIX's words and form.
fn refusal(status: u16, message: &str) -> Answer {
    Answer {
        status,
        headers: vec![("content-type".into(), "text/plain; charset=utf-8".to_owned())],
        body: format!("{}\n", json!({ "message": message })),
    }
}

impl IpRestriction {
    /// Whether a request may pass.
    pub(super) fn pass<'a>(&'a self, asked: &Asked<'a, '_>) -> Verdict<'a> {
        match self.lets_in(asked.facts) {
            true => Verdict::default(),
            false => Verdict::Answers(self.refusal.clone(), Some(Problem::Forbidden)),
        }
    }

    fn lets_in(&self, facts: &Facts<'_>) -> bool {
        facts.client().is_some_and(|client| is_in(&self.list, client) == self.is_open_to_list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Body;
    use crate::facts::fake;
    use crate::wire;
    use serde_json::Value;

    fn compiled(value: &Value) -> (Option<IpRestriction>, Vec<String>) {
        let mut report = Report::default();
        let compile =
            |wire: IpRestrictionWire, report: &mut Report| Some(wire.compile(At::Root, report));
        let compiled = wire::read(value, At::Root, &mut report, compile);
        (compiled, report.faults.iter().map(ToString::to_string).collect())
    }

    fn plugin(value: &Value) -> IpRestriction {
        let (plugin, faults) = compiled(value);
        assert_eq!(faults, [""; 0], "{value}");
        plugin.unwrap()
    }

    fn lets_in(plugin: &IpRestriction, client: &str) -> bool {
        let asked = fake::Asked::default().from(client);
        asked.with(Body::Unread, |facts| plugin.lets_in(&facts))
    }

    #[test]
    fn those_on_the_list_pass_or_do_not() {
        let list = json!(["10.0.0.0/8", "192.0.2.7", "2001:db8::/32", "::ffff:198.51.100.0/120"]);
        let (white, black) =
            (plugin(&json!({"whitelist": list})), plugin(&json!({"blacklist": list})));
        for (client, is_listed) in [
            ("10.1.2.3", true),
            ("::ffff:10.1.2.3", true),
            ("::ffff:a01:203", true),
            ("198.51.100.9", true),
            ("192.0.2.8", false),
            ("2001:db8:ffff::1", true),
            ("2001:db9::1", false),
        ] {
            assert_eq!(lets_in(&white, client), is_listed, "{client}");
            assert_eq!(lets_in(&black, client), !is_listed, "{client}");
        }
    }

    #[test]
    fn nobody_passes_whose_address_is_not_known() {
        for key in ["whitelist", "blacklist"] {
            let mut value = json!({});
            value[key] = json!(["10.0.0.0/8"]);
            assert!(!lets_in(&plugin(&value), "nobody"), "{key}");
        }
    }

    #[test]
    fn a_refusal_is_told_as_apisix_does() {
        let plain = plugin(&json!({"whitelist": ["10.0.0.1"]})).refusal;
        assert_eq!(plain.status, 403);
        assert_eq!(plain.body, "{\"message\":\"Your IP address is not allowed\"}\n");
        let own = json!({"blacklist": ["::/0"], "message": "no \"entry\"", "response_code": 404});
        let own = plugin(&own).refusal;
        assert_eq!((own.status, &*own.body), (404, "{\"message\":\"no \\\"entry\\\"\"}\n"));
    }

    #[test]
    fn lists_that_are_none_are_refused() {
        for (value, expected) in [
            (json!({}), "(document): expected `whitelist` or `blacklist`"),
            (
                json!({"whitelist": ["::1"], "blacklist": ["::2"]}),
                "(document): expected `whitelist` or `blacklist`, found both",
            ),
            (json!({"whitelist": []}), "/whitelist: expected at least one address or network"),
            (
                json!({"blacklist": ["::1", "10.0.0.0/33"]}),
                "/blacklist/1: expected an address or a network, found `10.0.0.0/33`",
            ),
            (
                json!({"whitelist": ["::1"], "response_code": 401}),
                "/response_code: expected 403 or 404, found 401",
            ),
            (
                json!({"whitelist": ["::1"], "message": ""}),
                "/message: expected 1 to 1024 characters, found 0",
            ),
            (
                json!({"whitelist": ["::1"], "whitlist": []}),
                "/whitlist: unknown key; did you mean `whitelist`?",
            ),
        ] {
            assert_eq!(compiled(&value).1, [expected], "{value}");
        }
    }
}
