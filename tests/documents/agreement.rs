//! Schemas and parser agree: what the parser takes is valid, and what is valid is refused only for what
//! a schema cannot say.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use jsonschema::Validator;
use serde_json::{Value, json};
use splitway_core::config::Resources;
use splitway_core::fault::{Fault, Report};
use splitway_core::kind::Kind;
use splitway_core::{schema, snapshot};

/// What the parser alone knows, by words of its faults.
const REASONS: &[&str] = &[
    // How things are written.
    "expected a path",
    "expected an id",
    "expected a host name",
    "expected an address, or a network",
    "expected an address or a network",
    "expected `host` or `host:port`",
    "expected `http://host[:port]`",
    "expected a header name",
    "expected the name of a",
    "expected a JSON pointer",
    "expected visible ASCII",
    "cannot stand in a URI",
    "expected pairs of a pattern",
    "cannot be used as a regular expression",
    "behind `$` a number",
    "this argument is also set",
    "the raw target cannot be had",
    "references to secrets are not supported yet",
    // How expressions and the variables in them are.
    "invalid operator",
    "invalid expression",
    "bad 'not' expression",
    "rule should be wrapped inside brackets",
    "rule too short",
    "invalid ip address",
    "expected a pattern",
    "invalid pattern",
    "unknown variable",
    // Bytes, where schemas count characters.
    "expected at most 4096 characters",
    // Numbers too large to be exact, which are whole all the same.
    "expected an integer",
    // How the keys of consistent hashing and certificates are.
    "expected `arg_` with a name",
    "expected letters, digits, `-`, `_`",
    "APISIX has this variable",
    "expected PEM",
    "expected at most 65536 bytes",
    // How tokens are signed: which key belongs to which algorithm, and how keys and their places are written.
    "expected Base64",
    "`secret` is missing",
    "needs a `public_key`",
    "HS256 is signed with a `secret`",
    "a key in PEM is no secret",
    "expected either this or `public_key`",
    "expected a public key in PEM",
    "expected `-----BEGIN PUBLIC KEY-----`",
    "this PEM is broken",
    "what this PEM holds is no public key",
    "this key is for",
    "expected a URL",
    "expected `https://`",
    // What origins, and requests with credentials, may be.
    "`*` is not for requests with credentials",
    "visible characters of ASCII",
    // How hashes of keys are written.
    "expected 64 hexadecimal digits",
    // How much a limit can hold.
    "a burst takes longer than a day",
    "expected one of `count` with",
    "which `count` needs",
    "has no meaning without `count`",
    "has no meaning without `rate`",
    "where it is shared",
    "is counted by each process and isolate",
    // How probes are.
    "expected a header as `Name: value`",
    "what a probe asks for as `Host`",
    // Which failures there are where: the schema has the words of both places.
    "unknown word",
    // What is said in two places together.
    "`key` is missing",
    "`client_key` is missing",
    "`client_cert` is missing",
    "`upstream_host` is missing",
    "the port stands here and in `port`",
    "cannot be mixed",
    "they stand on one of them",
    "stand here without branches",
    "this cookie is issued and counts anyway",
    "there is no upstream here",
    "has neither `upstream`",
    "expected the `username`",
    "this header belongs to the connection",
    "this header proves who served",
    "expected at least as many seconds as `open`",
    "it would never trip",
    "is longer than `max`",
    "expected `branch` alone",
    // Names of branches, of which some have a meaning, and none may stand twice.
    "is what responses of no branch say",
    "another branch of this split is named",
    "no branch is named",
    // Sums.
    "all weights are 0",
    "the weights add up to more",
    "consistent hashing would need",
    // Rules with the same `match` are the branches of one split.
    "expected 1 to 256 branches",
];

static VALIDATORS: LazyLock<BTreeMap<Kind, Validator>> =
    LazyLock::new(|| Kind::ALL.map(|kind| (kind, validator(&name(kind)))).into());

fn validator(name: &str) -> Validator {
    let schema = schema::of(name).expect("every kind has a schema");
    let schema = serde_json::from_str(schema).expect("schemas are JSON");
    jsonschema::validator_for(&schema).expect("schemas are schemas")
}

/// The name of a kind's schema.
pub(crate) fn name(kind: Kind) -> String {
    kind.singular().replace(' ', "_")
}

/// Asks both about every resource of a document; says how many the parser took.
pub(crate) fn check_document(document: &Value) -> usize {
    let resources = Resources::of(document, &mut Report::default());
    if let Some(settings) = resources.settings {
        check_settings(settings);
    }
    let all = Kind::ALL
        .into_iter()
        .flat_map(|kind| resources.list(kind).iter().filter(move |value| check(kind, value)));
    all.count()
}

/// Asks both about one resource; says whether the parser took it.
pub(crate) fn check(kind: Kind, value: &Value) -> bool {
    let mut report = Report::default();
    snapshot::check(kind, value, &mut report);
    compare(kind.singular(), &VALIDATORS[&kind], value, &report.faults)
}

/// Asks both about the settings of a document.
fn check_settings(value: &Value) {
    static VALIDATOR: LazyLock<Validator> = LazyLock::new(|| validator("settings"));
    let mut report = Report::default();
    let document = json!({"settings": value});
    snapshot::compile_json(&document.to_string(), 0, &mut report);
    compare("settings", &VALIDATOR, value, &report.faults);
}

/// Whether the parser, which found these faults, took a value; the schema says the same of it.
fn compare(name: &str, validator: &Validator, value: &Value, faults: &[Fault]) -> bool {
    let errors: Vec<String> = validator.iter_errors(value).map(|error| error.to_string()).collect();
    match (faults.is_empty(), errors.is_empty()) {
        (true, true) => true,
        (true, false) => panic!("the {name} is taken and not valid: {errors:?}\n{value}"),
        (false, false) => false,
        (false, true) => {
            // How expressions are written, no schema says.
            let is_known = |fault: &Fault| {
                let is_expression =
                    ["/vars", "/_meta/filter"].iter().any(|it| fault.at.contains(it));
                is_expression || REASONS.iter().any(|it| fault.what.contains(it))
            };
            for fault in faults {
                assert!(is_known(fault), "the {name} is valid and refused: {fault}\n{value}");
            }
            false
        }
    }
}
