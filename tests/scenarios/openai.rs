//! The published OpenAI client works through a split as it works without.

use serde_json::{Value, json};

use crate::document::{split, upstream};
use crate::message::Call;
use crate::node;
use crate::script::{Act, Piece, Received, Reply, Script};
use crate::target::Target;
use crate::wire;

/// What the upstream says, piece by piece where it streams.
const PIECES: [&str; 3] = ["Pong", "! \u{2713} ", "caf\u{e9}"];

fn completion(object: &str, choice: &Value) -> Value {
    json!({"id": "c-1", "object": object, "created": 1, "model": "gpt-4", "choices": [choice]})
}

/// Answers as the chat completions of OpenAI do.
fn answer(request: &Received) -> Act {
    assert_eq!(request.header("authorization").as_deref(), Some("Bearer a-fake-key"));
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    if body["stream"] != json!(true) {
        let message = json!({"role": "assistant", "content": PIECES.concat()});
        let choice = json!({"index": 0, "message": message, "finish_reason": "stop"});
        let body = completion("chat.completion", &choice).to_string();
        return Act::Answer(Reply::ok(body).header("Content-Type", "application/json"));
    }
    let event = |data: String| Piece::Send(format!("data: {data}\n\n").into_bytes());
    let mut pieces = Vec::from(PIECES.map(|content| {
        let choice = json!({"index": 0, "delta": {"content": content}, "finish_reason": null});
        event(completion("chat.completion.chunk", &choice).to_string())
    }));
    pieces.push(event("[DONE]".to_owned()));
    Act::Answer(Reply::status(200).header("Content-Type", "text/event-stream").pieces(pieces))
}

/// A completion and a streamed one arrive, from one version each, byte for byte.
pub(crate) fn completions_arrive_whole_and_streamed(target: &mut impl Target) {
    let origin = target.origin(Script::new(answer));
    let rule =
        |uri: &str| json!({"weight": 1, "upstream": upstream(&origin), "rewrite": {"uri": uri}});
    target.start(&split(&[rule("/v1/chat/completions"), rule("/v2/chat/completions")]));

    let mut client = node::script("tests/harness/openai.mjs");
    let output = client.arg(format!("http://{}", target.address())).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    let mut got: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(got["content"], json!(PIECES.concat()));
    assert_eq!(got["pieces"], json!(PIECES));
    got["branches"].as_array_mut().unwrap().sort_by_key(Value::to_string);
    assert_eq!(got["branches"], json!(["b0", "b1"]));

    let call = Call::post("/chat/completions", r#"{"stream":true}"#)
        .header("Authorization", "Bearer a-fake-key");
    let direct = wire::call(origin.authority().parse().unwrap(), &call);
    let through = target.call(&call);
    assert!(direct.complete && through.complete);
    assert_eq!(through.text(), direct.text());
    assert_eq!(through.header("content-type"), direct.header("content-type"));
}
