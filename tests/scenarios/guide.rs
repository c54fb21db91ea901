//! The published guide: its commands, and its split with an upstream of our own.

use serde_json::Value;

use crate::document::routes;
use crate::message::Call;
use crate::origin::Origin;
use crate::script::Reply;
use crate::target::Target;

/// What the guide posts.
pub const BODY: &str = r#"{"model":"gpt-4","messages":[{"role":"user","content":"ping"}]}"#;

/// What the guide expects.
pub const ANSWER: &str = r#"{"content":"Pong! How can I assist you today?"}"#;

/// One of the guide's commands, as it is printed there.
pub fn command(name: &str) -> &'static str {
    let commands = include_str!("guide.sh").split("# @").skip(1);
    let mut named = commands.filter_map(|command| command.split_once('\n'));
    named.find(|(known, _)| *known == name).expect("the guide has this command").1.trim()
}

/// The route of the guide's split, to an upstream without TLS at another address.
fn split_route(origin: &Origin) -> Value {
    let (_, data) = command("route-split").split_once("-d '").unwrap();
    let data = data.trim_end_matches('\'');
    let data = data.replace("api.aimlapi.com:443", origin.authority()).replace("https", "http");
    serde_json::from_str(&data).unwrap()
}

/// Checks that an upstream received `count` requests of the guide, half of them for each version.
pub fn check_halves(origin: &Origin, count: usize, key: &str) {
    let requests = origin.requests();
    assert_eq!(requests.len(), count);
    for request in &requests {
        assert_eq!((request.method.as_str(), request.body.as_slice()), ("POST", BODY.as_bytes()));
        let credentials = request.header("authorization");
        assert_eq!(credentials, Some(format!("Bearer {key}")));
        assert_eq!(request.header("content-type").as_deref(), Some("application/json"));
    }
    for version in ["/v1/chat/completions", "/v2/chat/completions"] {
        let of_version = requests.iter().filter(|request| request.target == version);
        assert_eq!(of_version.count(), count / 2, "{version}");
    }
}

/// The guide's split sends exactly half of its 100 requests to each version.
pub(crate) fn its_split_is_exact(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(ANSWER).header("Content-Type", "application/json"));
    target.start(&routes(&[split_route(&origin)]));

    let key = "an-api-key";
    let call = Call::post("/chat/completions", BODY)
        .header("Authorization", format!("Bearer {key}"))
        .header("Content-Type", "application/json");
    for _ in 0..100 {
        let answer = target.call(&call);
        assert_eq!((answer.status, answer.text().as_str()), (200, ANSWER));
        assert_eq!(answer.header("x-splitway-route").as_deref(), Some("aimlapi-split"));
    }
    check_halves(&origin, 100, key);
}
