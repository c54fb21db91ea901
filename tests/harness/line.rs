//! The connection of an upstream, which can be ended in every way that TCP has.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use socket2::SockRef;

/// A connection, held together: it is reset only if nobody else holds it.
#[derive(Clone, Debug)]
pub struct Line(Arc<TcpStream>);

impl Line {
    /// One over this socket.
    pub fn new(stream: TcpStream) -> Self {
        Self(Arc::new(stream))
    }

    /// Sees the connection without holding it.
    pub fn watch(&self) -> Weak<TcpStream> {
        Arc::downgrade(&self.0)
    }

    /// Has the connection reset, instead of closed, when the last who holds it lets it go.
    pub fn reset(&self) {
        let linger = SockRef::from(&*self.0).set_linger(Some(Duration::ZERO));
        linger.expect("a socket can be told not to linger");
    }

    /// Says that nothing more comes, and can read on.
    pub fn end_sending(&self) {
        drop(self.0.shutdown(Shutdown::Write));
    }

    /// Closes the connection, or resets it, if it is to be.
    pub fn close(self) {
        let is_reset = SockRef::from(&*self.0).linger().is_ok_and(|linger| linger.is_some());
        if !is_reset {
            drop(self.0.shutdown(Shutdown::Both));
        }
    }

    /// Waits for the first byte, and leaves it where it is; `None` if the connection ends before.
    pub fn first_byte(&self) -> io::Result<Option<u8>> {
        let mut byte = [0];
        let count = self.0.peek(&mut byte)?;
        Ok((count > 0).then_some(byte[0]))
    }

    /// Waits so long; an error, if the other side goes away before.
    pub fn pause(&self, duration: Duration) -> io::Result<()> {
        let end = Instant::now() + duration;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return self.0.set_read_timeout(None);
            }
            self.0.set_read_timeout(Some(left))?;
            match self.0.peek(&mut [0]) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                // It speaks on, so it is there; what it says is read behind the pause.
                Ok(_) => thread::sleep(left),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == ErrorKind::TimedOut => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Read for Line {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self.0).read(buffer)
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self.0).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        (&*self.0).flush()
    }
}
