//! Attempts that bring no response, and how they are named.

use std::net::TcpListener;

use crate::http::{Response, deserted, everything_to, get};
use crate::process::{Files, Serving};

fn ask_by(document: &str) -> Response {
    let files = Files::new();
    let path = files.write("split.yaml", document);
    get(Serving::file(&path, &[]).traffic, "/")
}

#[track_caller]
fn check(response: &Response, status: u16, token: &str) {
    assert_eq!(response.status, status);
    let expected = format!("splitway; error={token}");
    assert_eq!(response.header("proxy-status"), Some(&*expected));
}

#[test]
fn a_port_where_nobody_listens_is_a_refused_connection() {
    let (_socket, address) = deserted();
    check(&ask_by(&everything_to(&format!("http://{address}"))), 502, "connection_refused");
}

#[test]
fn a_name_that_does_not_exist_is_a_dns_error() {
    check(&ask_by(&everything_to("http://nobody.invalid")), 502, "dns_error");
}

#[test]
fn a_node_that_says_nothing_is_a_timeout() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = silent.local_addr().expect("an address");
    let upstream =
        format!("{{nodes: {{\"{address}\": 1}}, timeout: {{connect: 0.1, send: 0.1, read: 0.1}}}}");
    check(&ask_by(&everything_to(&upstream)), 504, "http_response_timeout");
}
