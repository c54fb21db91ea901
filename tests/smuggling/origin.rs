//! An origin that writes down every byte it receives, and takes nothing but the strictest HTTP/1.1 for
//! a request.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// The origin; what it received stands here by connection.
pub(crate) struct RawOrigin {
    pub(crate) address: SocketAddr,
    connections: Arc<Mutex<Vec<Vec<u8>>>>,
}

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

impl RawOrigin {
    /// One on a free port.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(Mutex::new(Vec::new()));
        let record = Arc::clone(&connections);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let number = {
                    let mut connections: std::sync::MutexGuard<'_, Vec<Vec<u8>>> =
                        record.lock().unwrap();
                    connections.push(Vec::new());
                    connections.len() - 1
                };
                let record = Arc::clone(&record);
                thread::spawn(move || {
                    converse(stream, |bytes| {
                        record.lock().unwrap()[number].extend_from_slice(bytes);
                    })
                });
            }
        });
        Self { address, connections }
    }

    /// All that came so far, without the headers that tell who asked; forgets it.
    pub(crate) fn take(&self) -> String {
        let mut connections = self.connections.lock().unwrap();
        let all: Vec<u8> = connections.iter_mut().flat_map(std::mem::take).collect();
        let text = String::from_utf8_lossy(&all).into_owned();
        let about_client =
            |line: &&str| !line.starts_with("x-forwarded-") && !line.starts_with("x-real-ip");
        text.split_inclusive("\r\n").filter(about_client).collect()
    }
}

/// Answers requests until the connection ends or brings something that is none.
fn converse(mut stream: TcpStream, record: impl Fn(&[u8])) {
    let mut waiting: Vec<u8> = Vec::new();
    loop {
        while let Some(length) = request(&waiting) {
            waiting.drain(..length);
            if stream.write_all(ANSWER).is_err() {
                return;
            }
        }
        let mut space = [0; 4096];
        match stream.read(&mut space) {
            Ok(count) if count > 0 => {
                record(&space[..count]);
                waiting.extend_from_slice(&space[..count]);
            }
            Ok(_) | Err(_) => return,
        }
    }
}

/// How many bytes the first request has, if it is complete.
fn request(bytes: &[u8]) -> Option<usize> {
    let end = find(bytes, b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let value = |name: &str| {
        let mut values = head.lines().filter_map(|line| line.strip_prefix(name));
        let value = values.next().map(|value| value.trim().to_owned());
        assert!(values.next().is_none(), "{name} twice: {head}");
        value
    };
    match (value("transfer-encoding:"), value("content-length:")) {
        (Some(_), Some(_)) => panic!("two framings: {head}"),
        (Some(coding), None) => {
            assert_eq!(coding, "chunked", "{head}");
            find(&bytes[end..], b"0\r\n\r\n").map(|last| end + last + 5)
        }
        (None, Some(length)) => {
            let length: usize = length.parse().expect("a length of digits");
            (bytes.len() >= end + length).then_some(end + length)
        }
        (None, None) => Some(end),
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
