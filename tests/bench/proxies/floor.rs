//! The floor: a loop that hands bytes on and looks at none of them, which no proxy can be cheaper than.

use std::io;
use std::net::SocketAddr;

use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::{TcpListener, TcpStream};

use crate::origin::{accept, say, until_input_ends};

/// How much is handed on at once.
const BUFFER: usize = 64 * 1024;

/// Serves at this port until standard input ends.
pub(crate) fn serve(port: u16, origin: SocketAddr) -> io::Result<()> {
    crate::runtime()?.block_on(async move {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        say(&[listener.local_addr()?])?;
        tokio::spawn(accept(listener, move |client| hand_on(client, origin)));
        until_input_ends().await
    })
}

/// Has a connection to the origin for each of a client.
async fn hand_on(mut client: TcpStream, origin: SocketAddr) -> io::Result<()> {
    let mut upstream = TcpStream::connect(origin).await?;
    upstream.set_nodelay(true)?;
    copy_bidirectional_with_sizes(&mut client, &mut upstream, BUFFER, BUFFER).await?;
    Ok(())
}
