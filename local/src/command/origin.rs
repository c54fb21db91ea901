//! A small origin that speaks OpenAI's chat completions in two versions, for the demo.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::channel::{Channel, Sender};
use http_body_util::{BodyExt, Either, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// The path of the first version.
pub(crate) const V1: &str = "/v1/chat/completions";

/// The path of the second version.
pub(crate) const V2: &str = "/v2/chat/completions";

/// The most bytes a chat may have.
const CHAT_MAX: usize = 1 << 20;

/// How far the pieces of a streamed answer lie apart: slow enough to be watched.
const PIECE_PAUSE: Duration = Duration::from_millis(40);

type Reply = Response<Either<Full<Bytes>, Channel<Bytes>>>;

/// Answers whoever connects, for good.
pub(crate) async fn serve(listener: TcpListener) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        // Without it the pieces of a stream wait for acknowledgements.
        let _ = stream.set_nodelay(true);
        tokio::spawn(async move {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service_fn(answer));
            // Whoever breaks off ends their own connection only.
            let _ = connection.await;
        });
    }
}

async fn answer(request: Request<Incoming>) -> Result<Reply, Infallible> {
    let version = match request.uri().path() {
        V1 => "v1",
        V2 => "v2",
        path => {
            let message = format!("there is only {V1} and {V2}, not {path}");
            return Ok(refuse(StatusCode::NOT_FOUND, &message));
        }
    };
    let body = Limited::new(request.into_body(), CHAT_MAX).collect().await;
    let chat: Option<Value> =
        body.ok().and_then(|body| serde_json::from_slice(&body.to_bytes()).ok());
    Ok(match chat {
        None => refuse(StatusCode::BAD_REQUEST, "expected a chat as JSON"),
        Some(chat) if chat.get("stream") == Some(&Value::Bool(true)) => stream(version),
        Some(_) => whole(version),
    })
}

fn words(version: &str) -> String {
    format!("Pong! This is {version}. How can I assist you today?")
}

fn whole(version: &str) -> Reply {
    reply(
        StatusCode::OK,
        &json!({
            "id": "chatcmpl-demo",
            "object": "chat.completion",
            "created": 0,
            "model": format!("demo-{version}"),
            "choices": [{
                "index": 0,
                "message": {"role": "assistant", "content": words(version)},
                "finish_reason": "stop",
            }],
            "usage": {"prompt_tokens": 1, "completion_tokens": 10, "total_tokens": 11},
        }),
    )
}

fn stream(version: &'static str) -> Reply {
    let (sender, body) = Channel::new(1);
    tokio::spawn(send_pieces(sender, version));
    let mut reply = Response::new(Either::Right(body));
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    reply
}

/// Sends the words one after the other, as long as somebody listens.
async fn send_pieces(mut sender: Sender<Bytes>, version: &str) {
    for word in words(version).split_inclusive(' ') {
        let piece = json!({
            "id": "chatcmpl-demo",
            "object": "chat.completion.chunk",
            "created": 0,
            "model": format!("demo-{version}"),
            "choices": [{"index": 0, "delta": {"content": word}, "finish_reason": null}],
        });
        if sender.send_data(Bytes::from(format!("data: {piece}\n\n"))).await.is_err() {
            return;
        }
        tokio::time::sleep(PIECE_PAUSE).await;
    }
    let _ = sender.send_data(Bytes::from_static(b"data: [DONE]\n\n")).await;
}

fn refuse(status: StatusCode, message: &str) -> Reply {
    reply(status, &json!({"error": {"message": message, "type": "invalid_request_error"}}))
}

fn reply(status: StatusCode, body: &Value) -> Reply {
    let mut reply = Response::new(Either::Left(Full::from(body.to_string())));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    reply
}
