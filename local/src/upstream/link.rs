//! One connection that speaks HTTP/1.1. Nobody else drives it: it moves when the request that has it is
//! polled, and rests in the pool in between.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use splitway_core::problem::Failure;
use tokio::task::unconstrained;

use super::{Unsent, Upload};
use crate::connect::Stream;
use crate::failure;

type Connection = http1::Connection<TokioIo<Stream>, Upload>;

/// A connection that takes one request after the other.
pub(crate) struct Link {
    sender: SendRequest<Upload>,
    /// Gone when it has ended.
    connection: Option<Box<Connection>>,
    /// How many requests it has taken.
    pub(super) uses: u64,
}

/// What is left of a connection that left HTTP: its stream, and what was read of it already.
#[derive(Debug)]
pub(crate) struct Switched {
    pub(crate) stream: Stream,
    pub(crate) read: Bytes,
}

impl Link {
    pub(super) async fn open(stream: Stream) -> Result<Self, Failure> {
        let mut builder = http1::Builder::new();
        // One copy of a small body costs less than a scattered write.
        builder.writev(false);
        let opened = builder.handshake(TokioIo::new(stream)).await;
        let (sender, connection) = opened.map_err(|error| failure::name(&error))?;
        Ok(Self { sender, connection: Some(Box::new(connection)), uses: 0 })
    }

    /// Sends a request, until the head of its response is there.
    pub(super) async fn send(
        &mut self,
        request: Request<Upload>,
    ) -> Result<(Response<Incoming>, Option<Switched>), Unsent> {
        self.uses += 1;
        // Only driving the connection resolves it, so nobody has to be woken for it.
        let mut promise = pin!(unconstrained(self.sender.try_send_request(request)));
        let (response, ended) = poll_fn(|context| {
            let mut nobody = Context::from_waker(Waker::noop());
            let ended = self.drive(context);
            if let Poll::Ready(response) = promise.as_mut().poll(&mut nobody) {
                return Poll::Ready((response, ended));
            }
            let is_over = self.connection.is_none();
            // What it had not sent yet comes back from a connection that is gone.
            drop(ended);
            match is_over {
                true => promise.as_mut().poll(&mut nobody).map(|response| (response, None)),
                false => Poll::Pending,
            }
        })
        .await;
        let response = response.map_err(Unsent::of)?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Ok((response, None));
        }
        let ended = match ended {
            Some(ended) => Some(ended),
            None => {
                poll_fn(|context| match self.drive(context) {
                    Some(ended) => Poll::Ready(Some(ended)),
                    None if self.connection.is_none() => Poll::Ready(None),
                    None => Poll::Pending,
                })
                .await
            }
        };
        let parts = ended.ok_or(Failure::ConnectionTerminated)?.into_parts();
        let switched = Switched { stream: parts.io.into_inner(), read: parts.read_buf };
        Ok((response, Some(switched)))
    }

    /// Lets it read and write what it can. One that ended well is given back, one that failed is gone.
    fn drive(&mut self, context: &mut Context<'_>) -> Option<Box<Connection>> {
        match self.connection.as_mut()?.poll_without_shutdown(context) {
            Poll::Pending => None,
            Poll::Ready(Ok(())) => self.connection.take(),
            Poll::Ready(Err(_)) => {
                self.connection = None;
                None
            }
        }
    }

    /// Lets it read and write what it can.
    pub(super) fn advance(&mut self, context: &mut Context<'_>) {
        drop(self.drive(context));
    }

    /// Resolves when it can take another request, to whether that will ever be.
    pub(super) fn poll_free(&mut self, context: &mut Context<'_>) -> Poll<bool> {
        self.advance(context);
        match self.connection {
            None => Poll::Ready(false),
            Some(_) if self.sender.is_ready() => Poll::Ready(true),
            Some(_) => Poll::Pending,
        }
    }

    /// Whether the node has closed it, or sent what nobody asked for.
    pub(super) fn has_ended(&mut self) -> bool {
        self.advance(&mut Context::from_waker(Waker::noop()));
        self.connection.is_none()
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { connection, uses, .. } = self;
        let is_open = connection.is_some();
        write!(f, "Link {{ is_open: {is_open}, uses: {uses} }}")
    }
}
