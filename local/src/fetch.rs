//! What guards have got for them: one GET at a time, on a connection of its own, beside the requests.

use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT, CONNECTION, HOST};
use http::{HeaderValue, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::json;
use splitway_core::auth::{Errand, KEY_SET_MAX};
use splitway_core::problem::Failure;
use splitway_core::serve::{EFFECT_TIMEOUT, run};

use crate::connect::{Connector, Stream};
use crate::failure;
use crate::telemetry::{self, Level, Log};

/// Runs an errand of this thread, which goes on whoever leaves.
pub(crate) fn begin(errand: Errand, connector: Arc<Connector>, log: Log) {
    tokio::spawn(async move {
        let url = errand.url().to_owned();
        let deadline = tokio::time::sleep(EFFECT_TIMEOUT);
        let ran = run(errand, get(&connector, &url), deadline, telemetry::now).await;
        if let Err(why) = ran {
            let fields = json!({"url": url, "why": why.to_string()});
            log.tell(Level::Warn, "keys_not_fetched", fields);
        }
    });
}

/// What is at a URL.
async fn get(connector: &Connector, url: &str) -> Result<Vec<u8>, Failure> {
    let uri: Uri = url.parse().map_err(|_| Failure::HttpRequestError)?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(Failure::HttpRequestError);
    };
    let is_secure = scheme == "https";
    let port = authority.port_u16().unwrap_or(if is_secure { 443 } else { 80 });
    let stream = match is_secure {
        true => {
            let mut config = connector.trust.config();
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
            connector.tls(authority.host(), port, Arc::new(config)).await?
        }
        false => connector.plain(authority.host(), port).await?,
    };
    let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let mut request = Request::new(Empty::new());
    *request.uri_mut() = path.parse().map_err(|_| Failure::HttpRequestError)?;
    let host = HeaderValue::from_str(authority.as_str()).map_err(|_| Failure::HttpRequestError)?;
    let headers = request.headers_mut();
    headers.insert(HOST, host);
    headers.insert(ACCEPT, HeaderValue::from_static("application/jwk-set+json, application/json"));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    body(stream, request).await
}

/// The body of a 200.
async fn body(stream: Stream, request: Request<Empty<Bytes>>) -> Result<Vec<u8>, Failure> {
    let named = |error: hyper::Error| failure::name(&error);
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(named)?;
    let mut answer = pin!(async {
        let response = sender.send_request(request).await.map_err(named)?;
        if response.status() != StatusCode::OK {
            return Err(Failure::DestinationUnavailable);
        }
        let body = Limited::new(response.into_body(), KEY_SET_MAX).collect().await;
        let body = body.map_err(|_| Failure::HttpProtocolError)?;
        Ok(body.to_bytes().to_vec())
    });
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        // It ends with the answer, or with why there is none.
        _ = connection => answer.await,
    }
}
