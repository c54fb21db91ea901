//! An origin that is quick, knows the number of everything, and can be killed and started again.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use splitway_tests::http::{Framing, Head, Reader};
use splitway_tests::line::Line;

use crate::kind::Kind;
use crate::ledger::Ledger;

/// Between the events of a stream.
const PAUSE: Duration = Duration::from_millis(4);

/// An origin with an address that stays its own while it is dead.
pub(crate) struct Origin {
    /// The name of its branch, and a letter.
    pub(crate) name: &'static str,
    address: SocketAddr,
    ledger: Arc<Ledger>,
    running: Option<Running>,
}

struct Running {
    ends: Arc<AtomicBool>,
    open: Arc<Mutex<Vec<Weak<TcpStream>>>>,
    accepting: JoinHandle<()>,
}

impl Origin {
    pub(crate) fn start(name: &'static str, ledger: &Arc<Ledger>) -> Self {
        let address = SocketAddr::from((own_address(), 0));
        let mut origin = Self { name, address, ledger: Arc::clone(ledger), running: None };
        origin.revive();
        origin
    }

    /// `host:port`.
    pub(crate) fn authority(&self) -> String {
        self.address.to_string()
    }

    /// Listens again.
    pub(crate) fn revive(&mut self) {
        if self.running.is_some() {
            return;
        }
        let listener = TcpListener::bind(self.address).expect("nobody else has this address");
        self.address = listener.local_addr().expect("it listens");
        let (ends, open) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let (name, ledger) = (self.name, Arc::clone(&self.ledger));
        let running = (Arc::clone(&ends), Arc::clone(&open));
        let accepting = thread::spawn(move || accept(&listener, name, &ledger, &ends, &open));
        self.running = Some(Running { ends: running.0, open: running.1, accepting });
    }

    /// Refuses connections and ends those there are, with a reset or as a process does that ends.
    pub(crate) fn kill(&mut self, resets: bool) {
        let Some(Running { ends, open, accepting }) = self.running.take() else { return };
        ends.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        drop(TcpStream::connect(self.address));
        accepting.join().expect("it accepts until it is told to end");
        for stream in open.lock().expect("nobody panicked").iter().filter_map(Weak::upgrade) {
            if resets {
                let linger = socket2::SockRef::from(&*stream).set_linger(Some(Duration::ZERO));
                linger.expect("a socket can be told not to linger");
            }
            // It may have ended by itself.
            drop(stream.shutdown(Shutdown::Both));
        }
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.kill(false);
    }
}

/// An address of loopback of this process alone: nobody else is given a port there while an origin is dead.
fn own_address() -> Ipv4Addr {
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 64 | (high & 63), middle, low.clamp(1, 254))
}

fn accept(
    listener: &TcpListener,
    name: &'static str,
    ledger: &Arc<Ledger>,
    ends: &AtomicBool,
    open: &Mutex<Vec<Weak<TcpStream>>>,
) {
    for stream in listener.incoming().map_while(Result::ok) {
        if ends.load(Ordering::SeqCst) {
            return;
        }
        stream.set_nodelay(true).expect("it is open");
        let line = Line::new(stream);
        let mut open = open.lock().expect("nobody panicked");
        open.retain(|stream| stream.strong_count() > 0);
        open.push(line.watch());
        drop(open);
        let ledger = Arc::clone(ledger);
        // Whoever is killed ends with an error, and so does whoever the other side leaves.
        thread::spawn(move || drop(converse(line, name, &ledger)));
    }
}

fn converse(line: Line, name: &str, ledger: &Ledger) -> io::Result<()> {
    let mut reader = Reader::new(line);
    while let Some(head) = reader.head()? {
        let (kind, number) = execute(&mut reader, &head, ledger)?;
        for (place, piece) in kind.wire(number, name).iter().enumerate() {
            if place > 0 {
                thread::sleep(PAUSE);
            }
            reader.stream().write_all(piece)?;
        }
    }
    Ok(())
}

/// Reads a request to its end and writes down that it came.
fn execute(
    reader: &mut Reader<impl Read>,
    head: &Head,
    ledger: &Ledger,
) -> io::Result<(Kind, u64)> {
    let target = head.words().get(1).cloned().unwrap_or_default();
    let mut body = Vec::new();
    reader.body(head.framing(Framing::None), |piece| body.extend_from_slice(piece))?;
    let mut words = target.split('/').skip(1);
    let kind = words.next().and_then(Kind::of_word);
    let number = words.next().and_then(|number| number.parse::<u64>().ok());
    let (Some(kind), Some(number)) = (kind, number) else {
        ledger.wrong(format!("an origin was asked for {target}"));
        return Err(io::ErrorKind::InvalidData.into());
    };
    if head.headers.one("x-number") != Some(number.to_string()) || body != kind.body(number) {
        let (headers, size) = (&head.headers, body.len());
        ledger
            .wrong(format!("#{number} {kind:?} came mixed up: {headers:?}, {size} bytes of body"));
    }
    let times = ledger.execute(number);
    if times > 1 && kind.is_once() {
        ledger.wrong(format!("#{number} {kind:?} was executed {times} times"));
    }
    Ok((kind, number))
}
