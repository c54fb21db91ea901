//! A wire between a server and its etcd that a test can cut.

use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// The wire.
pub(crate) struct Relay {
    port: u16,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    is_cut: bool,
    streams: Vec<TcpStream>,
}

impl Relay {
    /// A wire to a port of this machine.
    pub(crate) fn to(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let own = listener.local_addr().unwrap().port();
        let state = Arc::<Mutex<State>>::default();
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let mut state = shared.lock().unwrap();
                let server = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
                if let (false, Ok(server)) = (state.is_cut, server) {
                    carry(&client, &server);
                    carry(&server, &client);
                    state.streams.extend([client, server]);
                }
            }
        });
        Self { port: own, state }
    }

    /// What `--store` says.
    pub(crate) fn store(&self) -> String {
        format!("etcd://127.0.0.1:{}", self.port)
    }

    /// Ends all connections and takes no others.
    pub(crate) fn cut(&self) {
        let mut state = self.state.lock().unwrap();
        state.is_cut = true;
        for stream in state.streams.drain(..) {
            // The other side may have ended it.
            drop(stream.shutdown(Shutdown::Both));
        }
    }

    /// Takes connections again.
    pub(crate) fn mend(&self) {
        self.state.lock().unwrap().is_cut = false;
    }
}

fn carry(from: &TcpStream, to: &TcpStream) {
    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
    thread::spawn(move || {
        drop(io::copy(&mut from, &mut to));
        drop(to.shutdown(Shutdown::Both));
    });
}
