//! HTTP/2 on both sides, with the `h2` crate for frames, header compression and flow control.
//!
//! Inside the proxy there is one form of a message, that of HTTP/1.1: a head is lines in a buffer with spans into it
//! ([`crate::h1::head`]), a body is a pull of pieces with back-pressure ([`body`]), trailers come last. What comes over HTTP/2 is put
//! into that form at the door (`head`), and everything that looks at heads is the same code, rules and limits for all
//! versions.
//!
//! ```text
//!   client ----h1---> exchange ----------------------------h1---> target      the short way, nothing of this module in it
//!                        `------------.
//!   client --h2--> server -> stream --> talk --+-----------h1---> target
//!                  (guard)                     `-> links --h2---> target
//! ```

pub(crate) mod body;
pub(crate) mod grpc;
pub(crate) mod guard;
mod head;
mod io;
pub(crate) mod links;
pub(crate) mod onward;
mod outbox;
pub(crate) mod seat;
pub(crate) mod server;
mod stream;
pub(crate) mod talk;
pub(crate) mod websocket;

/// Bytes that a peer may send on one stream before it is told to go on.
const STREAM_WINDOW: u32 = 64 * 1024 - 1;
/// Bytes of one stream that may wait to be sent.
const SEND_BUFFER: usize = 64 * 1024;
/// Streams of a connection, of clients and to targets.
pub(crate) const STREAMS: usize = 100;
