//! HTTP by hand: a client, and origins.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use socket2::{Domain, Socket, Type};

use crate::process::PATIENCE;

/// A response, read to the end of its connection.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Response {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// Sends a request and reads the whole response.
pub(crate) fn ask(to: SocketAddr, request_line: &str, headers: &[&str], body: &str) -> Response {
    let stream = send(to, request_line, headers, body);
    receive(stream)
}

pub(crate) fn get(to: SocketAddr, path: &str) -> Response {
    ask(to, &format!("GET {path}"), &[], "")
}

/// Sends a request.
pub(crate) fn send(to: SocketAddr, request_line: &str, headers: &[&str], body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(to).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let length = body.len();
    let message = format!(
        "{request_line} HTTP/1.1\r\nHost: test.example\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
    );
    stream.write_all(message.as_bytes()).expect("it reads");
    stream
}

/// Reads a response to the end of the connection.
pub(crate) fn receive(mut stream: TcpStream) -> Response {
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("a response");
    let (head, body) = text.split_once("\r\n\r\n").expect("a whole head");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let (head, body) = (head.to_owned(), body.to_owned());
    Response { status: status.expect("a status"), head, body }
}

/// Reads the head of a request; answers and closes.
pub(crate) fn serve_once(stream: &mut (impl Read + Write), body: &str) -> std::io::Result<()> {
    let mut head = BufReader::new(&mut *stream).lines();
    while head.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )?;
    stream.flush()
}

/// An origin that answers every request with `body`.
pub(crate) fn origin(body: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            // A client that breaks off is not the origin's concern.
            let _ = stream.and_then(|mut stream| serve_once(&mut stream, body));
        }
    });
    address
}

/// An address where nobody listens, as long as the socket that keeps it is there.
pub(crate) fn deserted() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a port");
    let address = socket.local_addr().expect("an address").as_socket();
    (socket, address.expect("an IP address"))
}

/// A document that sends everything to one place.
pub(crate) fn everything_to(upstream: &str) -> String {
    format!("routes:\n  - id: all\n    uri: /*\n    upstream: {upstream}\n")
}
