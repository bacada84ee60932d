//! Bodies between versions of HTTP: a pull of pieces on one side, writes on the other. A piece is read when the one before it
//! was handed on, and what a peer sent over HTTP/2 is acknowledged only then: back-pressure reaches from end to end.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream};
use http::HeaderMap;
use tokio::task::coop::consume_budget;

use super::head;
use crate::buffers::Buffers;
use crate::h1::chunked::size_line;
use crate::relay::{Incoming, Patience, Progress};
use crate::stream::{Stream, Wait};
use crate::timer::Watch;

/// Bytes read at a time for a peer that takes less than comes.
const AHEAD: usize = 16 * 1024;
/// What fits is copied behind the head that goes with it.
const COPIED: usize = 8 * 1024;

/// Why a body did not get through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The source closed, broke, or reset the stream for that reason.
    Source(Option<Reason>),
    SourceTimeout,
    Malformed,
    /// The sink is gone, for that reason.
    Sink(Option<Reason>),
    SinkTimeout,
}

/// Where a body comes from.
pub(crate) enum Inflow<'a> {
    /// HTTP/1.1.
    Plain {
        stream: &'a Stream,
        buffers: &'a Rc<Buffers>,
        body: &'a mut Incoming,
        /// Read together with the head.
        first: Bytes,
        /// Gets what was read beyond the body.
        spill: &'a mut Vec<u8>,
        /// More than `first` was read: it cannot be sent again.
        touched: bool,
    },
    Framed {
        recv: RecvStream,
        first: Option<Bytes>,
        touched: bool,
    },
}

/// A part of a body.
#[derive(Debug)]
pub(crate) enum Piece {
    /// Bytes; `true` when the body ends with them.
    Data(Bytes, bool),
    End(Option<HeaderMap>),
}

impl Inflow<'_> {
    /// The next piece, not much longer than `room`.
    pub(crate) fn poll_next(&mut self, context: &mut Context<'_>, room: usize) -> Poll<Result<Piece, Fault>> {
        match self {
            Self::Plain { stream, buffers, body, first, spill, touched } => loop {
                let trailers = match &**body {
                    Incoming::Chunked(decoder) => decoder.trailers(),
                    _ => &[],
                };
                if !first.is_empty() {
                    let last = body.is_done() && trailers.is_empty();
                    return Poll::Ready(Ok(Piece::Data(std::mem::take(first), last)));
                }
                if body.is_done() {
                    return Poll::Ready(Ok(Piece::End(head::trailers_of(trailers))));
                }
                ready!(stream.poll_readable(context)).map_err(|_| Fault::Source(None))?;
                let mut buffer = buffers.lend();
                let most = room.clamp(AHEAD, buffer.len());
                match stream.try_read(&mut buffer[..most]) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Ok(0) if matches!(body, Incoming::UntilClose) => **body = Incoming::Done,
                    Ok(0) | Err(_) => return Poll::Ready(Err(Fault::Source(None))),
                    Ok(read) => {
                        *touched = true;
                        let piece = body.take(&mut buffer[..read]).map_err(|_| Fault::Malformed)?;
                        spill.extend_from_slice(&buffer[piece.consumed..read]);
                        *first = Bytes::copy_from_slice(&buffer[piece.payload]);
                    }
                }
            },
            Self::Framed { recv, first, touched } => loop {
                if let Some(first) = first.take() {
                    let last = recv.is_end_stream();
                    return Poll::Ready(Ok(Piece::Data(first, last)));
                }
                match ready!(recv.poll_data(context)) {
                    Some(Ok(data)) => {
                        *touched = true;
                        let last = recv.is_end_stream();
                        if !data.is_empty() || last {
                            return Poll::Ready(Ok(Piece::Data(data, last)));
                        }
                    }
                    Some(Err(error)) => return Poll::Ready(Err(Fault::Source(error.reason()))),
                    None => {
                        let trailers = ready!(recv.poll_trailers(context));
                        let trailers = trailers.map_err(|error| Fault::Source(error.reason()))?;
                        return Poll::Ready(Ok(Piece::End(trailers.map(head::allowed))));
                    }
                }
            },
        }
    }

    /// True when more was read than can be read again.
    pub(crate) fn is_touched(&self) -> bool {
        match self {
            Self::Plain { touched, .. } | Self::Framed { touched, .. } => *touched,
        }
    }

    /// Says that so many bytes were handed on, so that the peer may send as many more.
    pub(crate) fn release(&mut self, bytes: usize) {
        if let Self::Framed { recv, .. } = self {
            // Fails only when the stream is gone, which the next read tells.
            let _ = recv.flow_control().release_capacity(bytes);
        }
    }
}

/// Where a body goes to.
pub(crate) enum Outflow<'a> {
    /// HTTP/1.1.
    Plain {
        stream: &'a Stream,
        /// Goes before the next piece.
        head: Vec<u8>,
        form: Form,
    },
    Framed {
        send: SendStream<Bytes>,
        /// The last piece had to wait. Room is asked for only when there is something to send: what one stream reserves of the
        /// window of a connection, the others do not have.
        waited: bool,
    },
}

/// How the end of a body is told over HTTP/1.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// By the length said before, or by the close of the connection, which others do.
    Bare,
    Chunked,
    /// The same, and trailers are welcome.
    WithTrailers,
    /// By shutting down: bytes of another protocol.
    Shut,
}

impl Outflow<'_> {
    /// HTTP/2.
    pub(crate) fn framed(send: SendStream<Bytes>) -> Self {
        Self::Framed { send, waited: false }
    }

    /// How much to read for the next piece.
    fn room(&self) -> usize {
        match self {
            Self::Framed { waited: true, .. } => AHEAD,
            _ => usize::MAX,
        }
    }

    /// Ready when the peer gave up the stream. Over HTTP/1.1 nothing tells.
    pub(crate) fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<Option<Reason>> {
        match self {
            Self::Plain { .. } => Poll::Pending,
            Self::Framed { send, .. } => send.poll_reset(context).map(Result::ok),
        }
    }

    async fn data(
        &mut self,
        mut data: Bytes,
        last: bool,
        watch: &Watch,
        patience: Patience,
    ) -> Result<(), Fault> {
        match self {
            Self::Plain { stream, head, form } => {
                let mut tail: &[u8] = b"";
                if matches!(form, Form::Chunked | Form::WithTrailers) {
                    if !data.is_empty() {
                        size_line(head, data.len());
                        tail = if last { b"\r\n0\r\n\r\n" } else { b"\r\n" };
                    } else if last {
                        tail = b"0\r\n\r\n";
                    }
                }
                let result = if data.len() <= COPIED {
                    head.extend_from_slice(&data);
                    head.extend_from_slice(tail);
                    stream.write_all(head, watch, patience.sink).await
                } else {
                    stream.write_pieces(&[head, &data, tail], watch, patience.sink).await
                };
                head.clear();
                result.map_err(plain_sink)?;
                if last && *form == Form::Shut {
                    stream.shutdown_write();
                }
                Ok(())
            }
            Self::Framed { send, waited } => {
                *waited = false;
                if data.is_empty() && last {
                    return send.send_data(data, true).map_err(|error| Fault::Sink(error.reason()));
                }
                while !data.is_empty() {
                    send.reserve_capacity(data.len());
                    if send.capacity() == 0 {
                        *waited = true;
                        watch.set(patience.sink);
                        poll_fn(|context| {
                            loop {
                                if send.capacity() > 0 {
                                    return Poll::Ready(Ok(()));
                                }
                                match send.poll_capacity(context) {
                                    Poll::Ready(Some(Ok(_))) => {}
                                    Poll::Ready(Some(Err(error))) => {
                                        return Poll::Ready(Err(Fault::Sink(error.reason())));
                                    }
                                    Poll::Ready(None) => return Poll::Ready(Err(Fault::Sink(None))),
                                    Poll::Pending => {
                                        ready!(watch.poll_expired(context));
                                        return Poll::Ready(Err(Fault::SinkTimeout));
                                    }
                                }
                            }
                        })
                        .await?;
                    }
                    let part = data.split_to(send.capacity().min(data.len()));
                    let end = last && data.is_empty();
                    send.send_data(part, end).map_err(|error| Fault::Sink(error.reason()))?;
                }
                Ok(())
            }
        }
    }

    async fn end(
        &mut self,
        trailers: Option<HeaderMap>,
        watch: &Watch,
        patience: Patience,
    ) -> Result<(), Fault> {
        match self {
            Self::Plain { stream, head, form } => {
                if matches!(form, Form::Chunked | Form::WithTrailers) {
                    head.extend_from_slice(b"0\r\n");
                    if let (Some(trailers), Form::WithTrailers) = (&trailers, &form) {
                        head::trailer_lines(head, trailers);
                    }
                    head.extend_from_slice(b"\r\n");
                }
                stream.write_all(head, watch, patience.sink).await.map_err(plain_sink)?;
                head.clear();
                if *form == Form::Shut {
                    stream.shutdown_write();
                }
                Ok(())
            }
            Self::Framed { send, .. } => {
                let sent = match trailers.filter(|trailers| !trailers.is_empty()) {
                    Some(trailers) => send.send_trailers(trailers),
                    None => send.send_data(Bytes::new(), true),
                };
                sent.map_err(|error| Fault::Sink(error.reason()))
            }
        }
    }
}

fn plain_sink(wait: Wait) -> Fault {
    match wait {
        Wait::TimedOut => Fault::SinkTimeout,
        Wait::Broken => Fault::Sink(None),
    }
}

/// Moves a body until it is done; answers its trailers, also where they could not be passed on. `gone` is asked while nothing
/// comes: whether the side that the body goes to is still there.
pub(crate) async fn pump(
    from: &mut Inflow<'_>,
    to: &mut Outflow<'_>,
    watch: &Watch,
    patience: Patience,
    progress: &Progress,
    mut gone: impl FnMut(&mut Context<'_>) -> bool,
) -> Result<Option<HeaderMap>, Fault> {
    loop {
        // Two fast ends must not keep others from their turn.
        consume_budget().await;
        watch.set(patience.source);
        let room = to.room();
        let next = poll_fn(|context| {
            if let Poll::Ready(piece) = from.poll_next(context, room) {
                return Poll::Ready(piece);
            }
            if let Outflow::Plain { head, stream, .. } = &mut *to
                && !head.is_empty()
            {
                // A head does not wait for its body.
                while !head.is_empty() {
                    match stream.try_write(head) {
                        Ok(written) => drop(head.drain(..written)),
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                            if stream.poll_writable(context).is_pending() {
                                break;
                            }
                        }
                        Err(_) => return Poll::Ready(Err(Fault::Sink(None))),
                    }
                }
            }
            if let Poll::Ready(reason) = to.poll_gone(context) {
                return Poll::Ready(Err(Fault::Sink(reason)));
            }
            if gone(context) {
                return Poll::Ready(Err(Fault::Sink(None)));
            }
            ready!(watch.poll_expired(context));
            Poll::Ready(Err(Fault::SourceTimeout))
        })
        .await?;
        match next {
            Piece::Data(data, last) => {
                let bytes = data.len();
                progress.bytes.set(progress.bytes.get() + bytes as u64);
                progress.writing.set(true);
                to.data(data, last, watch, patience).await?;
                progress.writing.set(false);
                from.release(bytes);
                if last {
                    return Ok(None);
                }
            }
            Piece::End(trailers) => {
                to.end(trailers.clone(), watch, patience).await?;
                return Ok(trailers);
            }
        }
    }
}
