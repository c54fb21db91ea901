//! Names of nodes that move.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use serde_json::json;
use splitway_tests::message::Call;
use splitway_tests::wire;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

use crate::rig::{everything_to, serve_with, upstream};

/// A DNS server that knows one answer at a time: an address for every name, good for no time at all.
struct Names {
    address: std::net::SocketAddr,
    answer: Arc<Mutex<Vec<Ipv4Addr>>>,
}

impl Names {
    async fn start(first: &[Ipv4Addr], ttl_secs: u32) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = socket.local_addr().expect("an address");
        let answer = Arc::new(Mutex::new(first.to_vec()));
        let known = Arc::clone(&answer);
        tokio::spawn(async move {
            let mut query = [0; 512];
            while let Ok((count, from)) = socket.recv_from(&mut query).await {
                let addresses = known.lock().expect("no panic").clone();
                let reply = reply(&query[..count], &addresses, ttl_secs);
                socket.send_to(&reply, from).await.expect("an open socket");
            }
        });
        Self { address, answer }
    }

    fn change(&self, addresses: &[Ipv4Addr]) {
        *self.answer.lock().expect("no panic") = addresses.to_vec();
    }
}

/// The answer to a query (RFC 1035, section 4): these addresses, if it asks for IPv4.
fn reply(query: &[u8], addresses: &[Ipv4Addr], ttl_secs: u32) -> Vec<u8> {
    let name_len = query[12..].iter().position(|byte| *byte == 0).expect("a name") + 1;
    let question = &query[12..12 + name_len + 4];
    let is_a = question[name_len..name_len + 2] == [0, 1];
    let addresses = if is_a { addresses } else { &[] };
    let count = u8::try_from(addresses.len()).expect("few");
    // A response without error, recursion desired and available; one question, the answers.
    let mut reply = vec![query[0], query[1], 0x81, 0x80, 0, 1, 0, count, 0, 0, 0, 0];
    reply.extend_from_slice(question);
    for address in addresses {
        // The name of the question, A, IN.
        reply.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1]);
        reply.extend_from_slice(&ttl_secs.to_be_bytes());
        reply.extend_from_slice(&[0, 4]);
        reply.extend_from_slice(&address.octets());
    }
    reply
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_name_is_asked_for_again_when_its_answer_is_past() {
    let (one, other) = (Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::new(127, 0, 0, 3));
    let names = Names::start(&[one], 0).await;
    let port = answering(&[(one, "one"), (other, "other")]).await;
    let keepalive = json!({"keepalive_pool": {"size": 1, "idle_timeout": 60, "requests": 1}});
    let document = everything_to(upstream(&format!("node.test:{port}"), keepalive));
    let server = serve_with(&document, |options| options.dns = Some(names.address));
    let ask = || {
        let address = server.listen_addr();
        tokio::task::spawn_blocking(move || wire::call(address, &Call::get("/")).text())
    };
    assert_eq!(ask().await.expect("an answer"), "one");
    names.change(&[other]);
    assert_eq!(ask().await.expect("an answer"), "other");
    // An address where nobody listens is passed over.
    names.change(&[Ipv4Addr::new(127, 0, 0, 9), one]);
    for _ in 0..3 {
        assert_eq!(ask().await.expect("an answer"), "one");
    }
    // Of several each has its turn.
    names.change(&[one, other]);
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(ask().await.expect("an answer"));
    }
    seen.sort();
    assert_eq!(seen, ["one", "one", "other", "other"]);
    names.change(&[]);
    let answer = ask().await.expect("an answer");
    assert!(answer.contains("dns_error"), "{answer}");
}

/// Answers with these texts at these addresses, all at the same port.
async fn answering(at: &[(Ipv4Addr, &'static str)]) -> u16 {
    let mut port = 0;
    for (address, text) in at {
        let listener = TcpListener::bind((*address, port)).await.expect("a free port");
        port = listener.local_addr().expect("an address").port();
        let text = *text;
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.expect("a head"));
                }
                let answer =
                    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{text}", text.len());
                stream.write_all(answer.as_bytes()).await.expect("an open socket");
            }
        });
    }
    port
}
