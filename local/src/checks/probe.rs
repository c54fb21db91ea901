//! One question to one node, as `checks.active` of its upstream asks it.

use std::borrow::Cow;
use std::pin::pin;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderName, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Method, Request, Uri, Version};
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::client::Resumption;
use splitway_core::balance::Tls;
use splitway_core::checks::{Active, Probe, Protocol};
use splitway_core::checkup::{CheckedNode, Checkup};
use splitway_core::problem::Failure;
use tokio::time::timeout;

use crate::connect::{Connector, Stream, Trust};
use crate::failure;

/// What came of a probe, and how that is put in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) probe: Probe,
    pub(super) why: Cow<'static, str>,
}

impl Finding {
    /// As APISIX has it: what is not HTTP counts as a status, and a connection of which the system heard
    /// nothing as too late.
    fn failed(failure: Failure) -> Self {
        let probe = match failure {
            Failure::HttpProtocolError => Probe::Status(0),
            Failure::ConnectionTimeout | Failure::HttpResponseTimeout => Probe::Timeout,
            Failure::ConnectionRefused
            | Failure::ConnectionTerminated
            | Failure::DestinationUnavailable
            | Failure::DnsError
            | Failure::HttpRequestError
            | Failure::RequestBodyTooLong
            | Failure::TlsCertificateError
            | Failure::TlsProtocolError => Probe::TcpFailure,
        };
        Self { probe, why: failure.token().into() }
    }
}

/// An upstream that is probed.
#[derive(Debug)]
pub(super) struct Subject {
    pub(super) checkup: Checkup,
    /// How probes speak TLS; made for the first one. Nothing, where the certificate to show is none.
    config: OnceLock<Option<Arc<ClientConfig>>>,
}

impl Subject {
    pub(super) fn new(checkup: Checkup) -> Self {
        Self { checkup, config: OnceLock::new() }
    }

    fn config(&self, trust: &Trust) -> Option<Arc<ClientConfig>> {
        let config = self.config.get_or_init(|| {
            let client = self.checkup.tls.client.clone();
            let is_verified = self.checkup.checks.active.verify;
            let mut config = trust.config_of(&Tls { client, is_verified }).ok()?;
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
            // A session that goes on shows no certificate.
            config.resumption = Resumption::disabled();
            Some(Arc::new(config))
        });
        config.clone()
    }
}

/// What sends probes.
#[derive(Debug)]
pub(super) struct Prober {
    connector: Connector,
}

impl Prober {
    pub(super) fn new(connector: Connector) -> Self {
        Self { connector }
    }

    /// Asks the node at this place. Dropping the future closes the connection.
    pub(super) async fn probe(&self, subject: Arc<Subject>, place: usize) -> Finding {
        let Some(node) = subject.checkup.nodes.get(place) else {
            return Finding::failed(Failure::DestinationUnavailable);
        };
        let active = &subject.checkup.checks.active;
        match timeout(active.timeout, self.ask(&subject, node)).await {
            Ok(Ok(finding)) => finding,
            Ok(Err(failure)) => Finding::failed(failure),
            Err(_) => Finding { probe: Probe::Timeout, why: "timeout".into() },
        }
    }

    async fn ask(&self, subject: &Subject, node: &CheckedNode) -> Result<Finding, Failure> {
        let active = &subject.checkup.checks.active;
        let port = active.port.unwrap_or(node.port);
        let stream = match active.protocol {
            Protocol::Http => self.connector.plain(&node.host, port).await?,
            Protocol::Https => {
                let config = subject.config(&self.connector.trust);
                let config = config.ok_or(Failure::TlsProtocolError)?;
                let name = active.host.as_deref().unwrap_or(&node.host);
                self.connector.tls_as(name, &node.host, port, config).await?
            }
            Protocol::Tcp => {
                self.connector.plain(&node.host, port).await?;
                return Ok(Finding { probe: Probe::Connected, why: "connected".into() });
            }
        };
        let status = status(stream, request(active, &node.host, port)?).await?;
        Ok(Finding { probe: Probe::Status(status), why: format!("status {status}").into() })
    }
}

/// The status that is answered. The rest is not waited for.
async fn status(stream: Stream, request: Request<Full<Bytes>>) -> Result<u16, Failure> {
    let named = |error: hyper::Error| failure::name(&error);
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(named)?;
    let mut answer = pin!(sender.send_request(request));
    let response = tokio::select! {
        biased;
        response = &mut answer => response,
        // It ends with the answer, or with why there is none.
        _ = connection => answer.await,
    };
    Ok(response.map_err(named)?.status().as_u16())
}

fn request(active: &Active, host: &str, port: u16) -> Result<Request<Full<Bytes>>, Failure> {
    // What a document may name and HTTP cannot is not to be had.
    let unfit = |_| Failure::HttpRequestError;
    let uri = target(&active.path).parse::<Uri>().map_err(|_| Failure::HttpRequestError)?;
    let method = Method::from_bytes(active.method.as_str().as_bytes());
    let mut request = Request::new(Full::from(active.body.clone()));
    *request.method_mut() = method.map_err(|_| Failure::HttpRequestError)?;
    *request.uri_mut() = uri;
    *request.version_mut() = Version::HTTP_11;
    let headers = request.headers_mut();
    let host = match &active.host {
        Some(host) => Cow::Borrowed(&**host),
        None if port == default_port(active.protocol) => Cow::Borrowed(host),
        None => format!("{host}:{port}").into(),
    };
    headers.insert(HOST, HeaderValue::from_str(&host).map_err(unfit)?);
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    add(headers, active)?;
    Ok(request)
}

/// Adds the headers of a document, but for those that are about the framing of the body.
fn add(headers: &mut HeaderMap, active: &Active) -> Result<(), Failure> {
    for (name, value) in &active.headers {
        let name = HeaderName::from_bytes(name.as_bytes());
        let name = name.map_err(|_| Failure::HttpRequestError)?;
        let value = HeaderValue::from_bytes(value.as_bytes());
        let value = value.map_err(|_| Failure::HttpRequestError)?;
        if name == CONNECTION {
            headers.insert(name, value);
        } else if name != CONTENT_LENGTH && name != TRANSFER_ENCODING {
            headers.append(name, value);
        }
    }
    Ok(())
}

const fn default_port(protocol: Protocol) -> u16 {
    match protocol {
        Protocol::Http | Protocol::Tcp => 80,
        Protocol::Https => 443,
    }
}

/// A target as requests write it: what RFC 3986 does not allow in one is escaped.
fn target(path: &str) -> String {
    let escape = |c: char| match c {
        '"' | '#' | '<' | '>' | '\\' | '^' | '`' | '{' | '|' | '}' => {
            format!("%{:02X}", u32::from(c))
        }
        _ => c.to_string(),
    };
    path.chars().map(escape).collect()
}

#[cfg(test)]
mod tests;
