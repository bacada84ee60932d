//! Bodies on their way through, in both directions, with back-pressure: nothing is read that cannot be written, and a buffer is held
//! only between a read and its write.

use std::cell::Cell;
use std::io;
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use tokio::task::coop::consume_budget;

use crate::buffers::{Buffers, Loan};
use crate::h1::chunked::{BadChunk, Decoder, size_line};
use crate::h1::framing::Body;
use crate::stream::{Stream, Wait};
use crate::timer::Watch;

/// A body being read.
#[derive(Debug)]
pub(crate) enum Incoming {
    Done,
    Length(u64),
    Chunked(Decoder),
    UntilClose,
}

/// What one read contributed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Payload inside the buffer.
    pub(crate) payload: Range<usize>,
    /// Bytes that belong to the body; the rest is the next message, or nothing that should be there.
    pub(crate) consumed: usize,
}

impl From<Body> for Incoming {
    fn from(body: Body) -> Self {
        match body {
            Body::Empty => Self::Done,
            Body::Length(length) => Self::Length(length),
            Body::Chunked => Self::Chunked(Decoder::default()),
            Body::UntilClose => Self::UntilClose,
        }
    }
}

impl Incoming {
    /// Takes the bytes of the body at the start of `buffer`.
    pub(crate) fn take(&mut self, buffer: &mut [u8]) -> Result<Piece, BadChunk> {
        match self {
            Self::Done => Ok(Piece { payload: 0..0, consumed: 0 }),
            Self::Length(left) => {
                let length = usize::try_from(*left).unwrap_or(usize::MAX).min(buffer.len());
                *left -= length as u64;
                if *left == 0 {
                    *self = Self::Done;
                }
                Ok(Piece { payload: 0..length, consumed: length })
            }
            Self::Chunked(decoder) => {
                let decoded = decoder.decode(buffer)?;
                Ok(Piece { payload: decoded.payload, consumed: decoded.consumed })
            }
            Self::UntilClose => Ok(Piece { payload: 0..buffer.len(), consumed: buffer.len() }),
        }
    }

    /// True when nothing more belongs to the body.
    pub(crate) fn is_done(&self) -> bool {
        match self {
            Self::Done => true,
            Self::Chunked(decoder) => decoder.is_done(),
            Self::Length(_) | Self::UntilClose => false,
        }
    }

    /// What follows the last payload of a chunked body: last chunk and trailers.
    pub(crate) fn write_last_chunk(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"0\r\n");
        if let Self::Chunked(decoder) = self {
            out.extend_from_slice(decoder.trailers());
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// Writes one piece of payload; in chunked framing with its size line, and with the last chunk when the body is done.
/// `head` goes in front.
pub(crate) async fn write_piece(
    to: &Stream,
    watch: &Watch,
    patience: Duration,
    head: &mut Vec<u8>,
    payload: &[u8],
    chunked: Option<&Incoming>,
) -> Result<(), Wait> {
    // What fits a few cache lines is cheaper to copy than to hand to the kernel in pieces.
    const COPIED: usize = 8 * 1024;
    let mut tail = Vec::new();
    if let Some(body) = chunked {
        if !payload.is_empty() {
            size_line(head, payload.len());
            tail.extend_from_slice(b"\r\n");
        }
        if body.is_done() {
            body.write_last_chunk(&mut tail);
        }
    }
    let result = if payload.len() <= COPIED && !(head.is_empty() && tail.is_empty()) {
        head.extend_from_slice(payload);
        head.extend_from_slice(&tail);
        to.write_all(head, watch, patience).await
    } else if head.is_empty() && tail.is_empty() {
        to.write_all(payload, watch, patience).await
    } else {
        to.write_pieces(&[head, payload, &tail], watch, patience).await
    };
    head.clear();
    result
}

/// Why a relay ended early.
#[derive(Debug)]
pub(crate) enum Fault {
    /// Reading: the source closed or broke.
    Source,
    /// Reading: nothing came in time.
    SourceTimeout,
    /// Reading: not a chunked body.
    Malformed,
    /// Writing failed or took too long.
    Sink,
    SinkTimeout,
}

/// How long the two ends of a relay may make no progress.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    pub(crate) source: Duration,
    pub(crate) sink: Duration,
}

impl From<Duration> for Patience {
    fn from(both: Duration) -> Self {
        Self { source: both, sink: both }
    }
}

/// Counts and states of one direction, visible to the other while both run.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Payload bytes.
    pub(crate) bytes: Cell<u64>,
    /// Something was read from the source that cannot be sent again.
    pub(crate) started: Cell<bool>,
    /// Busy with handing on what was read.
    pub(crate) writing: Cell<bool>,
}

/// Moves a body until it is done. `spill` gets what was read beyond it. `first` may hold a loan whose content was already
/// passed on; it is used for the next reads as long as they succeed at once.
#[allow(clippy::too_many_arguments)]
pub(crate) async fn pump(
    from: &Stream,
    to: &Stream,
    watch: &Watch,
    buffers: &Rc<Buffers>,
    patience: Patience,
    body: &mut Incoming,
    chunked: bool,
    first: Option<Loan>,
    spill: &mut Vec<u8>,
    progress: &Progress,
) -> Result<(), Fault> {
    let mut head = Vec::new();
    let mut loan = first;
    while !body.is_done() {
        // Two fast ends must not keep others from their turn.
        consume_budget().await;
        let mut buffer = match loan.take() {
            Some(buffer) => buffer,
            None => {
                watch.set(patience.source);
                from.readable(watch).await.map_err(|wait| match wait {
                    Wait::TimedOut => Fault::SourceTimeout,
                    Wait::Broken => Fault::Source,
                })?;
                buffers.lend()
            }
        };
        let read = match from.try_read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(_) => return Err(Fault::Source),
            Ok(0) if matches!(body, Incoming::UntilClose) => {
                *body = Incoming::Done;
                if chunked {
                    let last = Some(&*body);
                    write_piece(to, watch, patience.sink, &mut head, &[], last).await.map_err(sink)?;
                }
                return Ok(());
            }
            Ok(0) => return Err(Fault::Source),
            Ok(read) => read,
        };
        progress.started.set(true);
        let piece = body.take(&mut buffer[..read]).map_err(|_| Fault::Malformed)?;
        progress.bytes.set(progress.bytes.get() + piece.payload.len() as u64);
        if piece.consumed < read {
            spill.extend_from_slice(&buffer[piece.consumed..read]);
        }
        let framing = chunked.then_some(&*body);
        progress.writing.set(true);
        write_piece(to, watch, patience.sink, &mut head, &buffer[piece.payload], framing)
            .await
            .map_err(sink)?;
        progress.writing.set(false);
        // A full read promises more at once; after a short one the buffer goes back while waiting.
        if read == buffer.len() {
            loan = Some(buffer);
        }
    }
    Ok(())
}

fn sink(wait: Wait) -> Fault {
    match wait {
        Wait::TimedOut => Fault::SinkTimeout,
        Wait::Broken => Fault::Sink,
    }
}
