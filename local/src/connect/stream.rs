//! A connection to a node, with or without TLS.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// A connection to a node.
#[derive(Debug)]
pub(crate) struct Stream {
    io: Io,
    /// Counts the reads that brought something, where somebody wants to know whether the node lives.
    heard: Option<Arc<AtomicU64>>,
}

#[derive(Debug)]
enum Io {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    pub(super) fn plain(tcp: TcpStream) -> Self {
        Self { io: Io::Plain(tcp), heard: None }
    }

    pub(super) fn tls(tls: TlsStream<TcpStream>) -> Self {
        Self { io: Io::Tls(Box::new(tls)), heard: None }
    }

    /// Counts in `heard` from here on.
    pub(crate) fn count(&mut self, heard: Arc<AtomicU64>) {
        self.heard = Some(heard);
    }

    /// Whether what is written goes to the node as it is.
    pub(crate) fn is_plain(&self) -> bool {
        matches!(self.io, Io::Plain(_))
    }

    /// What both sides agreed to speak, if TLS asked (ALPN, RFC 7301).
    pub(crate) fn protocol(&self) -> Option<&[u8]> {
        match &self.io {
            Io::Plain(_) => None,
            Io::Tls(tls) => tls.get_ref().1.alpn_protocol(),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        let read = match &mut stream.io {
            Io::Plain(tcp) => Pin::new(tcp).poll_read(context, buffer),
            Io::Tls(tls) => Pin::new(tls).poll_read(context, buffer),
        };
        if let Some(heard) = stream.heard.as_ref().filter(|_| read.is_ready()) {
            heard.fetch_add(1, Ordering::Relaxed);
        }
        read
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().io {
            Io::Plain(tcp) => Pin::new(tcp).poll_write(context, bytes),
            Io::Tls(tls) => Pin::new(tls).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().io {
            Io::Plain(tcp) => Pin::new(tcp).poll_write_vectored(context, slices),
            Io::Tls(tls) => Pin::new(tls).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.io {
            Io::Plain(tcp) => tcp.is_write_vectored(),
            Io::Tls(tls) => tls.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().io {
            Io::Plain(tcp) => Pin::new(tcp).poll_flush(context),
            Io::Tls(tls) => Pin::new(tls).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().io {
            Io::Plain(tcp) => Pin::new(tcp).poll_shutdown(context),
            Io::Tls(tls) => Pin::new(tls).poll_shutdown(context),
        }
    }
}
