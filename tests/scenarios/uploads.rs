//! How much a client may send.

use serde_json::{Value, json};

use super::problems::is_problem;
use crate::document::upstream;
use crate::message::Call;
use crate::origin::Origin;
use crate::script::Reply;
use crate::target::Target;

/// The most bytes.
const MAX: usize = 1000;

fn route(uri: &str, origin: &Origin, plugins: &Value) -> Value {
    json!({"uri": uri, "upstream": upstream(origin), "plugins": plugins})
}

fn at_most(max: usize) -> Value {
    json!({"client-control": {"max_body_size": max}})
}

/// A body is taken up to the limit, whether its length is told or not. Of a longer one the upstream never has
/// the whole.
pub(crate) fn a_body_that_is_longer_than_it_may_be_is_a_413_problem(target: &mut impl Target) {
    let origin = target.origin(Reply::ok("taken"));
    target.start(&json!({"routes": [route("/x", &origin, &at_most(MAX))]}).to_string());

    for size in [0, 1, MAX] {
        let body = vec![b'x'; size];
        for call in [Call::post("/x", body.clone()), Call::post("/x", body.clone()).in_chunks()] {
            let answer = target.call(&call);
            assert_eq!((answer.status, answer.text().as_str()), (200, "taken"), "{size}");
            let request = origin.requests().pop().unwrap();
            assert!(request.complete && request.body == body, "{size}");
        }
    }
    let seen = origin.count();
    let too_long = [MAX + 1, 10 * MAX, 1 << 20].map(|size| Call::post("/x", vec![b'x'; size]));
    too_long.iter().for_each(|call| is_problem(&target.call(call), 413));
    assert_eq!(origin.count(), seen, "nothing is sent of what is known to be too long");
    too_long.into_iter().for_each(|call| is_problem(&target.call(&call.in_chunks()), 413));
    let over = origin.requests().into_iter().skip(seen);
    over.for_each(|request| assert!(!request.complete && request.body.len() <= MAX));
    assert_eq!(target.call(&Call::post("/x", "y")).status, 200, "others go on");
}

/// It is cut off on its way, too, where the upstream has a part of it already.
pub(crate) fn a_body_that_becomes_too_long_is_cut_off(target: &mut impl Target) {
    let origin = target.origin(Reply::ok("taken"));
    target.start(&json!({"routes": [route("/x", &origin, &at_most(MAX))]}).to_string());

    let mut connection = target.dial();
    connection.send_head(&Call::post("/x", "").in_chunks());
    for _ in 0..4 {
        connection.send_chunk(&[b'x'; MAX / 4]);
    }
    origin.wait_until("the head is there", |requests| requests.len() == 1);
    connection.send_chunk(b"y");
    is_problem(&connection.answer(), 413);
    origin.wait_until("its connection ends", |requests| requests[0].gone || requests[0].closed);
    let request = origin.only_request();
    assert!(!request.complete && request.body.len() <= MAX, "{request:?}");
}

/// The least of several limits counts, 0 is none, and what looks at a body goes by it, too.
pub(crate) fn limits_of_uploads_add_up(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let looking = json!({
        "client-control": {"max_body_size": 10},
        "proxy-rewrite": {"headers": {"set": {"X-Model": "${post_arg.model ?? none}"}}},
    });
    target.start(
        &json!({
            "global_rules": [{"id": "g", "plugins": at_most(100)}],
            "routes": [
                route("/less", &origin, &at_most(10)),
                route("/more", &origin, &at_most(1000)),
                route("/any", &origin, &at_most(0)),
                route("/looking", &origin, &looking),
            ],
        })
        .to_string(),
    );

    for (path, size, is_taken) in [
        ("/less", 10, true),
        ("/less", 11, false),
        ("/more", 100, true),
        ("/more", 101, false),
        ("/any", 100, true),
        ("/any", 101, false),
        ("/looking", 10, true),
        ("/looking", 11, false),
    ] {
        let call = Call::post(path, vec![b' '; size]).header("Content-Type", "application/json");
        for call in [call.clone(), call.in_chunks()] {
            let answer = target.call(&call);
            match is_taken {
                true => assert_eq!(answer.status, 200, "{path} {size}"),
                false => is_problem(&answer, 413),
            }
        }
    }
}
