//! The byte streams under HTTP/2 connections, in the form that the `h2` crate takes.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::outbox::Outbox;
use super::server::State;
use crate::connection::Client;
use crate::stream::Stream;

/// A client connection. What was read before it was known to be HTTP/2 comes first; every frame is counted.
pub(crate) struct ClientWire {
    pub(crate) client: Rc<Client>,
    pub(crate) state: Rc<State>,
    pub(crate) first: Vec<u8>,
}

/// A connection to a target.
pub(crate) struct TargetWire(pub(crate) Rc<Target>);

/// What the wire to a target shares with the task that drives it.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) stream: Stream,
    pub(crate) outbox: Outbox,
}

fn read(stream: &Stream, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
    loop {
        ready!(stream.poll_readable(context))?;
        match stream.try_read(buffer.initialize_unfilled()) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            result => {
                buffer.advance(result?);
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl AsyncRead for ClientWire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.state.is_flooded() {
            // Nothing more is taken; the connection is about to be closed.
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        if self.first.is_empty() {
            ready!(read(&self.client.stream, context, buffer))?;
        } else {
            let taken = self.first.len().min(buffer.remaining());
            buffer.put_slice(&self.first[..taken]);
            self.first.drain(..taken);
            if self.first.is_empty() {
                self.first = Vec::new();
            }
        }
        self.state.received(&buffer.filled()[before..], self.client.watch.now());
        Poll::Ready(Ok(()))
    }
}

/// What is written is only gathered; the task of the connection sends it.
impl AsyncWrite for ClientWire {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.state.outbox.poll_take(&self.client.stream, context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.state.outbox.poll_send(&self.client.stream, context))?;
        self.client.stream.shutdown_write();
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for TargetWire {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        read(&self.0.stream, context, buffer)
    }
}

/// The same.
impl AsyncWrite for TargetWire {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.outbox.poll_take(&self.0.stream, context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.0.outbox.poll_send(&self.0.stream, context))?;
        self.0.stream.shutdown_write();
        Poll::Ready(Ok(()))
    }
}
