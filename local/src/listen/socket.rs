//! Sockets that listen, and how one is closed without loss.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};

use socket2::{Domain, Protocol, Socket, Type};
#[cfg(target_os = "linux")]
use socket2::{SockFilter, SockRef};

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 4096;

/// Binds `count` listeners to one address; the kernel spreads connections among them. With
/// `is_shared`, other processes may be among those who are bound to it.
pub(crate) fn bind(
    address: SocketAddr,
    count: usize,
    is_shared: bool,
) -> io::Result<Vec<TcpListener>> {
    if count <= 1 && !is_shared {
        return Ok(vec![listener(address, false)?]);
    }
    // A shared port can also be shared with another process by accident, a second Splitway for
    // example. One that is not shared is refused then.
    if address.port() != 0 && !is_shared {
        drop(listener(address, false)?);
    }
    let first = listener(address, true)?;
    let address = first.local_addr()?;
    let mut listeners = vec![first];
    for _ in 1..count {
        listeners.push(listener(address, true)?);
    }
    Ok(listeners)
}

fn listener(address: SocketAddr, is_shared: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(is_shared)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Has the kernel drop what would open a connection to this listener; connections that are half open
/// go on. Whoever is dropped tries again, after a second usually, and finds another listener.
///
/// Closing a listener resets all connections that wait to be accepted, and there is no other way to
/// take it from those that the kernel spreads new ones among.
#[cfg(target_os = "linux")]
pub(crate) fn turn_away(listener: &impl std::os::fd::AsFd) -> io::Result<()> {
    // Classic BPF over the TCP header: accept nothing if, of SYN and ACK, SYN alone is set.
    const LOAD_BYTE: u16 = 0x30;
    const AND: u16 = 0x54;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    const FLAGS_AT: u32 = 13;
    const SYN: u32 = 0x02;
    const ACK: u32 = 0x10;
    SockRef::from(listener).attach_filter(&[
        SockFilter::new(LOAD_BYTE, 0, 0, FLAGS_AT),
        SockFilter::new(AND, 0, 0, SYN | ACK),
        SockFilter::new(JUMP_IF_EQUAL, 0, 1, SYN),
        SockFilter::new(RETURN, 0, 0, 0),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
    ])
}

/// Elsewhere a few connections are lost.
#[cfg(not(target_os = "linux"))]
pub(crate) fn turn_away<L>(_: &L) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// The connections that wait to be accepted at this moment.
pub(crate) fn waiting(listener: &TcpListener) -> impl Iterator<Item = (TcpStream, SocketAddr)> {
    std::iter::from_fn(|| {
        let (stream, peer) = loop {
            match listener.accept() {
                Ok(accepted) => break accepted,
                Err(error) if is_about_one_connection(&error) => {}
                Err(_) => return None,
            }
        };
        stream.set_nonblocking(true).ok().map(|()| (stream, peer))
    })
}

/// Whether accepting failed because the client is gone already, which says nothing of the next.
pub(crate) fn is_about_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}
