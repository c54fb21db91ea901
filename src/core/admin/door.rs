//! The door of the Admin API where a runtime has its settings as texts: which requests are for it,
//! who may come in, and what is missing where nobody may.

use ipnet::IpNet;
use serde_json::json;

use crate::access::{Denial, is_sendable};
use crate::address::{is_among, networks};
use crate::coordinator::Refusal;
use crate::head::{Head, match_path};
use crate::problem::Answer;

use super::say::{problem, tell_refusal};
use super::{OWN_PREFIX, PREFIX, has_key, of_page, takes};

/// The longest prefix of paths.
const PREFIX_MAX: usize = 256;

/// The settings, as they were written.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings<'s> {
    /// What the paths of the Admin API begin with; nothing more than their own, where it is missing.
    pub prefix: Option<&'s str>,
    /// The addresses and networks that may ask, separated by commas; all, where it is missing.
    pub networks: Option<&'s str>,
    /// The key.
    pub key: Option<&'s str>,
    /// Whether there is somebody to ask.
    pub has_coordinator: bool,
}

/// The door.
#[derive(Debug)]
pub struct Door {
    prefix: Box<str>,
    /// Whether the prefix is no path, so that nobody knows where the Admin API should be.
    is_lost: bool,
    networks: Vec<IpNet>,
    reasons: Vec<&'static str>,
}

/// Where a request goes.
#[derive(Debug)]
pub enum Way {
    /// To the routes: it is not for the Admin API.
    Past,
    /// To the coordinator.
    In,
    /// Nowhere: this is a file of the page ([`crate::page::answer`]), which needs no key. With what stands behind
    /// the path of its folder.
    Page(Box<str>),
    /// Nowhere; the client is told why.
    Refused(Answer),
}

impl Door {
    /// The door that the settings describe. One that cannot be understood shuts it: to guess could
    /// let in somebody who should not be.
    pub fn new(settings: &Settings<'_>) -> Self {
        let prefix = settings.prefix.unwrap_or_default();
        let listed = settings.networks.map_or(Some(Vec::new()), networks);
        let reasons = [
            (settings.key.is_none_or(str::is_empty), "there is no admin key"),
            (settings.key.is_some_and(|key| !is_sendable(key)), "no header can hold the admin key"),
            (!settings.has_coordinator, "there is no coordinator"),
            (!is_prefix(prefix), "the prefix is not a path such as /ops"),
            (listed.is_none(), "the allowed addresses are not addresses or networks"),
        ];
        let reasons = reasons.into_iter().filter_map(|(holds, why)| holds.then_some(why));
        Self {
            prefix: if is_prefix(prefix) { prefix.into() } else { "".into() },
            is_lost: !is_prefix(prefix),
            networks: listed.unwrap_or_default(),
            reasons: reasons.collect(),
        }
    }

    /// What the paths begin with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The addresses that may ask; all, where there are none.
    pub fn networks(&self) -> &[IpNet] {
        &self.networks
    }

    /// Why nobody comes in, for the log; nothing, where the door is open.
    pub fn reasons(&self) -> &[&'static str] {
        &self.reasons
    }

    /// Where a request goes. One that is for the Admin API never goes to a route, whether the door is
    /// open or not: it may carry a key.
    pub fn way(&self, head: &impl Head) -> Way {
        if !(takes(&self.prefix, head) || self.is_lost && names(head)) {
            return Way::Past;
        }
        if !self.reasons.is_empty() {
            let detail = "It needs the secret ADMIN_KEY, the Durable Object COORDINATOR and sound \
                          settings; the log says what is missing";
            let title = "The Admin API is off here";
            return Way::Refused(problem(404, "admin_off", title, json!({"detail": detail})));
        }
        if !is_among(&self.networks, head.client()) {
            return Way::Refused(tell_refusal(Refusal::Denied(Denial::Address)));
        }
        let path = head.path().strip_prefix(&*self.prefix);
        if let Some(rest) = path.and_then(|path| of_page(path.strip_prefix(OWN_PREFIX)?)) {
            return Way::Page(rest.into());
        }
        // The one object need not hear of everybody who comes without a key.
        if !has_key(head) && head.method() != "HEAD" {
            return Way::Refused(tell_refusal(Refusal::Denied(Denial::Missing)));
        }
        Way::In
    }
}

/// The answer where the coordinator cannot be reached.
pub fn unreachable() -> Answer {
    let title = "The coordinator cannot be reached at the moment";
    let detail = "What is served stays as it is; whether a change was made is not known";
    problem(503, "coordinator_unreachable", title, json!({"detail": detail}))
}

/// Whether the paths of the Admin API stand anywhere in that of a request.
fn names(head: &impl Head) -> bool {
    let path = match_path(head.path()).to_ascii_lowercase();
    let is_in = |own: &str| path.windows(own.len()).any(|part| part == own.as_bytes());
    is_in(PREFIX) || is_in(OWN_PREFIX)
}

/// Whether this is nothing, or a path of plain segments without a slash at its end.
fn is_prefix(text: &str) -> bool {
    let is_plain = |segment: &str| {
        !matches!(segment, "" | "." | "..")
            && segment.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.~".contains(&b))
    };
    let mut segments = text.split('/');
    text.len() <= PREFIX_MAX && segments.next() == Some("") && segments.all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_plain_paths() {
        for (text, fits) in [
            ("", true),
            ("/ops", true),
            ("/ops/v1.2_a-b~", true),
            ("/", false),
            ("ops", false),
            ("/ops/", false),
            ("//ops", false),
            ("/..", false),
            ("/o ps", false),
            ("/%6fps", false),
            ("/ops?x", false),
        ] {
            assert_eq!(is_prefix(text), fits, "{text}");
        }
    }

    #[test]
    fn the_door_is_shut_by_whatever_is_missing_or_senseless() {
        let sound = Settings { key: Some("k"), has_coordinator: true, ..Settings::default() };
        assert!(Door::new(&sound).reasons().is_empty());
        for settings in [
            Settings { key: None, ..sound },
            Settings { key: Some(""), ..sound },
            Settings { key: Some("a\nb"), ..sound },
            Settings { has_coordinator: false, ..sound },
            Settings { prefix: Some("ops"), ..sound },
            Settings { networks: Some("10.0.0.0/8, somewhere"), ..sound },
            // A variable that was to be filled in and was not.
            Settings { networks: Some(""), ..sound },
            Settings { networks: Some(","), ..sound },
            Settings { networks: Some("[\"10.0.0.1\"]"), ..sound },
        ] {
            assert_eq!(Door::new(&settings).reasons().len(), 1, "{settings:?}");
        }
    }
}
