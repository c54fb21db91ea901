//! Headers between the ends of the road are left as they are.

use crate::document::everything_to;
use crate::message::{Call, Headers};
use crate::script::Reply;
use crate::target::Target;

/// Bytes that are valid in a header value and are not UTF-8.
const LATIN_1: &[u8] = b"caf\xe9 \xa9\xff";

/// Lines with a name as one list, which is what several lines mean.
fn list(headers: &Headers, name: &str) -> String {
    String::from_utf8_lossy(&headers.all(name).join(b", ".as_slice())).into_owned()
}

/// Credentials are the upstream's: they arrive as they were sent.
pub(crate) fn authorization_arrives_byte_for_byte(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    target.start(&everything_to(&origin));

    for credentials in ["Bearer sk-Ab9_/+=.~", "Basic dXNlcjpwYXNz", "Bearer  two  blanks"] {
        let call = Call::post("/chat", "{}").header("Authorization", credentials);
        assert_eq!(target.call(&call).status, 200);
        let request = origin.requests().pop().unwrap();
        assert_eq!(request.header("authorization").as_deref(), Some(credentials));
    }
}

/// Values of one name arrive all and in their order.
pub(crate) fn repeated_headers_stay_apart_on_the_way_up(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    target.start(&everything_to(&origin));

    let call = Call::get("/x")
        .header("X-Tag", "one")
        .header("Accept", "text/plain;q=0.5")
        .header("x-tag", "two, three")
        .header("X-TAG", "four")
        .header("X-Empty", "");
    assert_eq!(target.call(&call).status, 200);
    let headers = origin.only_request().headers;
    assert_eq!(list(&headers, "x-tag"), "one, two, three, four");
    assert_eq!(headers.all("accept"), [b"text/plain;q=0.5"]);
    assert_eq!(headers.all("x-empty"), [b""]);
}

/// Cookies cannot be joined; other values come all and in their order.
pub(crate) fn repeated_headers_stay_apart_on_the_way_down(target: &mut impl Target) {
    let reply = Reply::ok("")
        .header("Set-Cookie", "a=1; Expires=Wed, 21 Oct 2026 07:28:00 GMT")
        .header("X-Tag", "one")
        .header("set-cookie", "b=2; HttpOnly")
        .header("x-tag", "two")
        .header("Set-Cookie", "a=3");
    let origin = target.origin(reply);
    target.start(&everything_to(&origin));

    let headers = target.call(&Call::get("/x")).headers;
    let cookies = headers.all("set-cookie");
    let expected: [&[u8]; 3] =
        [b"a=1; Expires=Wed, 21 Oct 2026 07:28:00 GMT", b"b=2; HttpOnly", b"a=3"];
    assert_eq!(cookies, expected);
    assert_eq!(list(&headers, "x-tag"), "one, two");
}

/// A value is bytes, also where the client sent no UTF-8.
pub(crate) fn bytes_that_are_not_utf_8_survive_the_way_up(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    target.start(&everything_to(&origin));

    let call = Call::get("/x").header("X-Latin", LATIN_1).header("X-Utf", "caf\u{e9} \u{20ac}");
    assert_eq!(target.call(&call).status, 200);
    let headers = origin.only_request().headers;
    assert_eq!(headers.all("x-latin"), [LATIN_1]);
    assert_eq!(headers.all("x-utf"), ["caf\u{e9} \u{20ac}".as_bytes()]);
}

/// A value is bytes, also where the upstream sent no UTF-8.
pub(crate) fn bytes_that_are_not_utf_8_survive_the_way_down(target: &mut impl Target) {
    let reply = Reply::ok("").header("X-Latin", LATIN_1).header("X-Utf", "caf\u{e9} \u{20ac}");
    let origin = target.origin(reply);
    target.start(&everything_to(&origin));

    let headers = target.call(&Call::get("/x")).headers;
    assert_eq!(headers.all("x-latin"), [LATIN_1]);
    assert_eq!(headers.all("x-utf"), ["caf\u{e9} \u{20ac}".as_bytes()]);
}
