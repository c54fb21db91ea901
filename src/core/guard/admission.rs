//! What the guards have in common that ask who calls: whom they let in, what upstreams are told of them,
//! and how others are turned away.

use serde_json::json;

use super::{Asked, Passage, Verdict};
use crate::auth::Known;
use crate::fault::{At, Report};
use crate::head::{Edits, Text, is_header_value};
use crate::meta::PLAIN;
use crate::problem::{Answer, Problem};

/// What upstreams are told of a consumer: its name, the credential it was recognised by, and its label
/// `custom_id`, in headers that are never the client's own.
const TOLD: [&str; 3] = ["x-consumer-username", "x-credential-identifier", "x-consumer-custom-id"];

/// What APISIX says where nobody is there whom a client without anything could be taken for.
const NOBODY: &str = "Invalid user authorization";

/// Whom a guard lets in who shows nothing, and what it tells those whom it does not.
#[derive(Debug)]
pub(super) struct Gate {
    /// The consumer that clients are taken for who show nothing, or nothing that is right.
    anonymous: Option<Box<str>>,
    /// What is asked for, as `WWW-Authenticate` says it (RFC 9110, section 11.6.1).
    challenge: Box<str>,
}

impl Gate {
    /// Checks what a guard is told of it.
    pub(super) fn compile(
        scheme: &str,
        realm: &str,
        anonymous: Option<String>,
        at: At<'_>,
        report: &mut Report,
    ) -> Self {
        if !is_header_value(realm) {
            report.fault(at.key("realm"), "expected visible ASCII, which can be sent in a header");
        }
        if anonymous.as_ref().is_some_and(String::is_empty) {
            report.fault(at.key("anonymous_consumer"), "expected the name of a consumer");
        }
        let realm = realm.replace('\\', "\\\\").replace('"', "\\\"");
        let challenge = format!("{scheme} realm=\"{realm}\"").into();
        Self { anonymous: anonymous.map(Into::into), challenge }
    }

    /// Lets in whoever was recognised, else who may come without that; `why` is what is said to others.
    pub(super) fn admit<'a>(
        &self,
        asked: &Asked<'a, '_>,
        recognised: Result<Known<'a>, &'static str>,
    ) -> Verdict<'a> {
        let known = match (recognised, &self.anonymous) {
            (Ok(known), _) => Ok(known),
            (Err(why), None) => Err(why),
            (Err(_), Some(name)) => asked.consumers.by_name(name).ok_or(NOBODY),
        };
        match known {
            Ok(known) => {
                let (request, known) = (told(&known), Some(known));
                Verdict::Passes(Passage { request, known, ..Passage::default() })
            }
            Err(why) => Verdict::Answers(self.refusal(why), Some(Problem::Unauthorized)),
        }
    }

    fn refusal(&self, why: &str) -> Answer {
        let problem = Problem::Unauthorized;
        let mut answer = problem.answer();
        let own = [
            ("content-type".into(), PLAIN.to_owned()),
            ("www-authenticate".into(), self.challenge.clone().into()),
        ];
        answer.headers.retain(|(name, _)| name != "content-type");
        answer.headers.extend(own);
        answer.body = format!("{}\n", json!({"message": why}));
        answer
    }
}

/// What upstreams are told of a consumer.
fn told(known: &Known<'_>) -> Edits {
    let mut edits = Edits::default();
    let values = [Some(known.name), known.credential, known.custom_id];
    for (name, value) in TOLD.into_iter().zip(values) {
        match value {
            Some(value) => edits.replace(name, Text::copy(value)),
            None => edits.erase(name),
        }
    }
    edits
}

/// What becomes of a request on which a guard does not act that asks who calls: upstreams that believe what
/// they are told of consumers must not be told it by clients.
pub(super) fn unasked<'a>(asked: &Asked<'a, '_>) -> Verdict<'a> {
    let mut request = Edits::default();
    if asked.facts.caller.consumer.is_none() {
        TOLD.into_iter().for_each(|name| request.erase(name));
    }
    Verdict::Passes(Passage { request, ..Passage::default() })
}
