//! What an upstream says about its connections: how many are kept, and their TLS.

use serde::Deserialize;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::timeout::PHASE_SECS_MAX;
use crate::fault::{At, Report};
use crate::node::Scheme;
use crate::wire::Unsupported;

/// The member `keepalive_pool` of an upstream.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct KeepaliveWire {
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    size: Option<u32>,
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = PHASE_SECS_MAX)))]
    idle_timeout: Option<f64>,
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    requests: Option<u32>,
}

/// What becomes of connections that nothing is sent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// How many are kept, at most.
    pub size: u32,
    /// How long each is kept.
    pub idle_timeout: Duration,
    /// After so many requests it is kept no longer.
    pub requests: u32,
}

impl Default for Keepalive {
    /// As in APISIX.
    fn default() -> Self {
        Self { size: 320, idle_timeout: Duration::from_secs(60), requests: 1000 }
    }
}

impl KeepaliveWire {
    pub(super) fn compile(self, at: At<'_>, report: &mut Report) -> Keepalive {
        let default = Keepalive::default();
        let mut count = |key: &str, count: Option<u32>, default: u32| {
            if count == Some(0) {
                report.fault(at.key(key), "expected an integer from 1");
            }
            count.unwrap_or(default)
        };
        let size = count("size", self.size, default.size);
        let requests = count("requests", self.requests, default.requests);
        let idle_timeout = match self.idle_timeout {
            None => default.idle_timeout,
            Some(secs) if (0.0..=PHASE_SECS_MAX).contains(&secs) => Duration::from_secs_f64(secs),
            Some(_) => {
                let what = format!("expected seconds, from 0 to {PHASE_SECS_MAX}");
                report.fault(at.key("idle_timeout"), what);
                default.idle_timeout
            }
        };
        let keepalive = Keepalive { size, idle_timeout, requests };
        if keepalive != default {
            report.warn(at, "at the edge the runtime keeps connections as it likes");
        }
        keepalive
    }
}

/// The most bytes of a PEM text, as in APISIX.
const PEM_MAX: usize = 64 * 1024;

/// The member `tls` of an upstream.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "`client_cert_id` is read to be refused by name")]
pub(super) struct TlsWire {
    #[cfg_attr(feature = "schema", schemars(length(max = PEM_MAX)))]
    client_cert: Option<String>,
    #[cfg_attr(feature = "schema", schemars(length(max = PEM_MAX)))]
    client_key: Option<String>,
    client_cert_id: Option<Unsupported>,
    verify: Option<bool>,
}

/// How TLS is spoken with the nodes of an upstream.
#[derive(Clone, PartialEq, Eq)]
pub struct Tls {
    /// Who calls, if the nodes want to know. Clones share it, so that they are told to be the same without
    /// a look at the texts.
    pub client: Option<Arc<ClientCertificate>>,
    /// Whether the certificate of a node must be valid for its name. APISIX does not look unless it is
    /// told to.
    pub is_verified: bool,
}

/// A certificate with its key. They look like PEM (RFC 7468); whether they are is for whoever uses them.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The certificate, and those by which it is signed, in PEM.
    pub certificate: Box<str>,
    /// Its private key, in PEM.
    pub key: Box<str>,
}

impl Default for Tls {
    fn default() -> Self {
        Self { client: None, is_verified: true }
    }
}

impl Tls {
    /// Whether this is what `asked` asks for. If a later document asks for the same, its texts are the known
    /// ones from then on, so that they are compared once.
    pub fn meets(&mut self, asked: &Self) -> bool {
        // An `Arc` looks whether it is the same one first.
        let is_met = self == asked;
        if is_met {
            self.client.clone_from(&asked.client);
        }
        is_met
    }
}

impl fmt::Debug for Tls {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { client, is_verified } = self;
        let is_known = client.is_some();
        write!(f, "Tls {{ has_client: {is_known}, is_verified: {is_verified} }}")
    }
}

impl fmt::Debug for ClientCertificate {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCertificate").field("certificate", &self.certificate).finish()
    }
}

impl TlsWire {
    pub(super) fn compile(&self, scheme: Scheme, at: At<'_>, report: &mut Report) -> Tls {
        if !scheme.is_tls() {
            report.warn(at, "not used: the upstream does not speak TLS");
        }
        let mut check = |key: &str, text: &Option<String>, label: &str| {
            let Some(text) = text else { return };
            if text.len() > PEM_MAX {
                report.fault(at.key(key), format!("expected at most {PEM_MAX} bytes"));
            } else if !is_pem(text, label) {
                let what = format!(
                    "expected PEM: `-----BEGIN {label}-----`, base64, `-----END {label}-----`"
                );
                report.fault(at.key(key), what);
            }
        };
        check("client_cert", &self.client_cert, "CERTIFICATE");
        check("client_key", &self.client_key, "PRIVATE KEY");
        let client = match (self.client_cert.as_deref(), self.client_key.as_deref()) {
            (None, None) => None,
            (Some(certificate), Some(key)) => {
                report.warn(at.key("client_cert"), "at the edge nothing is shown to the nodes: a Worker cannot present this certificate");
                Some(Arc::new(ClientCertificate {
                    certificate: certificate.into(),
                    key: key.into(),
                }))
            }
            (Some(_), None) => {
                report.fault(at, "`client_key` is missing beside `client_cert`");
                None
            }
            (None, Some(_)) => {
                report.fault(at, "`client_cert` is missing beside `client_key`");
                None
            }
        };
        if self.verify == Some(false) {
            report.warn(at.key("verify"), "whoever is between here and the nodes can read and change everything; at the edge certificates are verified all the same");
        }
        Tls { client, is_verified: self.verify.unwrap_or(true) }
    }
}

/// Whether a text has a block of PEM with this label, or of one that ends so: keys are labelled
/// `PRIVATE KEY`, `RSA PRIVATE KEY` or `EC PRIVATE KEY`.
fn is_pem(text: &str, label: &str) -> bool {
    let marks = |word: &str| {
        text.lines().map(str::trim).position(|line| {
            let inner = line.strip_prefix("-----").and_then(|line| line.strip_suffix("-----"));
            let name = inner
                .and_then(|inner| inner.strip_prefix(word))
                .and_then(|it| it.strip_prefix(' '));
            name.and_then(|name| name.strip_suffix(label))
                .is_some_and(|kind| kind.is_empty() || kind.ends_with(' '))
        })
    };
    let is_encrypted = label != "CERTIFICATE" && text.contains("ENCRYPTED");
    matches!((marks("BEGIN"), marks("END")), (Some(begin), Some(end)) if begin + 1 < end)
        && !is_encrypted
}
