//! What is to be written on a connection, in as few writes as may be.

use std::io::{self, IoSlice};
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::AsyncWrite;

/// A piece of a body that is longer is written as it is, not copied.
const COPY_MAX: usize = 16 * 1024;

/// Bytes that are to be written, in this order.
#[derive(Debug, Default)]
pub(crate) struct Out {
    /// Heads, short pieces and what frames them, of which the first `at` bytes are written.
    gathered: Vec<u8>,
    at: usize,
    /// A long piece, as it came.
    piece: Bytes,
    /// What came after it; nothing where there is none.
    behind: Vec<u8>,
    /// Whether anything was written since all of it was forgotten.
    has_begun: bool,
    /// Whether the stream may still have some of what it took.
    is_held: bool,
}

impl Out {
    /// Where the next bytes are added.
    pub(crate) fn bytes(&mut self) -> &mut Vec<u8> {
        if self.piece.is_empty() { &mut self.gathered } else { &mut self.behind }
    }

    /// Adds a piece of a body.
    pub(crate) fn piece(&mut self, data: Bytes) {
        if data.len() > COPY_MAX && self.piece.is_empty() {
            self.piece = data;
        } else {
            self.bytes().extend_from_slice(&data);
        }
    }

    /// Whether a long piece is among it: another one would be copied.
    pub(crate) fn has_piece(&self) -> bool {
        !self.piece.is_empty()
    }

    /// How many bytes are to be written.
    pub(crate) fn unwritten(&self) -> usize {
        self.gathered.len() - self.at + self.piece.len() + self.behind.len()
    }

    /// Whether anything was written since all of it was forgotten.
    pub(crate) fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// Whether all is written and has left the stream.
    pub(crate) fn is_done(&self) -> bool {
        self.unwritten() == 0 && !self.is_held
    }

    /// Forgets all of it, for something else.
    pub(crate) fn clear(&mut self) {
        self.gathered.clear();
        self.behind.clear();
        self.piece = Bytes::new();
        (self.at, self.has_begun) = (0, false);
    }

    /// Writes all of it.
    pub(crate) fn poll_flush<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let mut stream = Pin::new(stream);
        while self.unwritten() > 0 {
            match ready!(self.poll_write(stream.as_mut(), context))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.advance(written),
            }
            (self.has_begun, self.is_held) = (true, true);
        }
        if self.is_held {
            ready!(stream.poll_flush(context))?;
            self.is_held = false;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write<S: AsyncWrite>(
        &self,
        stream: Pin<&mut S>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let gathered = self.gathered.get(self.at..).unwrap_or_default();
        if self.piece.is_empty() {
            // To have one slice written takes the kernel less than to have a list of one.
            return stream.poll_write(context, gathered);
        }
        let slices = [gathered, &self.piece, &self.behind].map(IoSlice::new);
        stream.poll_write_vectored(context, &slices)
    }

    /// So many bytes are written.
    fn advance(&mut self, written: usize) {
        let gathered = written.min(self.gathered.len() - self.at);
        self.at += gathered;
        if self.at == self.gathered.len() {
            self.gathered.clear();
            self.at = 0;
        }
        if self.piece.is_empty() {
            return;
        }
        let piece = (written - gathered).min(self.piece.len());
        self.piece.advance(piece);
        if self.piece.is_empty() {
            // Whoever reads into that memory may have it again.
            self.piece = Bytes::new();
            mem::swap(&mut self.gathered, &mut self.behind);
            self.at = written - gathered - piece;
            self.advance(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    /// Takes as many bytes at once as it is told to, in turn.
    struct Narrow {
        taken: Vec<u8>,
        widths: Vec<usize>,
        writes: usize,
    }

    impl Narrow {
        fn take(&mut self, slices: &[&[u8]]) -> Poll<io::Result<usize>> {
            let all = slices.concat();
            let width = self.widths.get(self.writes % self.widths.len()).copied().unwrap_or(1);
            let some = all.get(..width).unwrap_or(&all);
            self.taken.extend_from_slice(some);
            self.writes += 1;
            Poll::Ready(Ok(some.len()))
        }
    }

    impl AsyncWrite for Narrow {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.take(&[bytes])
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            slices: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let slices: Vec<&[u8]> = slices.iter().map(|slice| &**slice).collect();
            self.take(&slices)
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    /// What is written of a head and pieces of these lengths, each with an end; and in how many writes.
    async fn written(lengths: &[usize], widths: &[usize]) -> (Vec<u8>, Vec<u8>, usize) {
        let mut out = Out::default();
        let mut expected = b"head".to_vec();
        out.bytes().extend_from_slice(b"head");
        for (length, mark) in lengths.iter().zip(b'a'..) {
            let piece = vec![mark; *length];
            expected.extend_from_slice(&piece);
            expected.extend_from_slice(b"\r\n");
            out.piece(piece.into());
            out.bytes().extend_from_slice(b"\r\n");
        }
        assert_eq!(out.unwritten(), expected.len());
        let mut narrow = Narrow { taken: Vec::new(), widths: widths.to_vec(), writes: 0 };
        poll_fn(|context| out.poll_flush(&mut narrow, context)).await.expect("a stream that takes");
        assert!(out.is_done() && out.has_begun() && !out.has_piece());
        (narrow.taken, expected, narrow.writes)
    }

    #[tokio::test]
    async fn all_is_written_in_order_however_little_is_taken_at_once() {
        let long = COPY_MAX + 1;
        let lengths: [&[usize]; 5] = [&[], &[3], &[long], &[2, long, 2], &[long, long, 2, long]];
        let widths: [&[usize]; 6] = [&[1], &[3, 7], &[4], &[4, long], &[5, long + 1, 1], &[9999]];
        for lengths in lengths {
            for widths in widths {
                let (taken, expected, _) = written(lengths, widths).await;
                assert!(taken == expected, "{lengths:?} by {widths:?}");
            }
            let (taken, expected, writes) = written(lengths, &[usize::MAX]).await;
            assert!(taken == expected && writes == 1, "{lengths:?} in {writes} writes");
        }
    }
}
