//! Decoder for chunked bodies (RFC 9112, 7.1). Payload is compacted in place, so that what was read in one piece is
//! passed on as one chunk with a size line of our own. Extensions are tolerated and dropped; so are trailer fields that would
//! mean something to framing, routing or the connection.

use std::ops::Range;

/// Bytes of one size line that are not the size.
const MAX_EXTENSION: u32 = 1024;
/// Bytes of extensions in one body: chunks of one byte with long extensions cost a reader a lot.
const MAX_EXTENSIONS: u32 = 16 * 1024;
/// Bytes of a trailer section.
const MAX_TRAILERS: usize = 8 * 1024;
const MAX_TRAILER_FIELDS: usize = 32;

/// Why a chunked body is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed chunked body: {0}")]
pub(crate) struct BadChunk(pub(crate) &'static str);

/// State between two reads.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    state: State,
    extensions: u32,
    trailers: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In the digits of a size line.
    Size {
        size: u64,
        digits: u8,
    },
    /// White space after the size; only an extension may follow.
    Space {
        size: u64,
        seen: u32,
    },
    /// In an extension.
    Extension {
        size: u64,
        seen: u32,
    },
    /// After the CR of a size line.
    SizeFeed {
        size: u64,
    },
    /// In the payload.
    Data {
        left: u64,
    },
    /// After the payload.
    DataReturn,
    DataFeed,
    /// In the trailer section, which is collected.
    Trailers,
    Done,
}

impl Default for State {
    fn default() -> Self {
        Self::Size { size: 0, digits: 0 }
    }
}

/// What one call found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Decoded {
    /// Payload, now contiguous in the buffer.
    pub(crate) payload: Range<usize>,
    /// Bytes of the buffer that belong to the body.
    pub(crate) consumed: usize,
    /// The body is complete.
    pub(crate) done: bool,
}

impl Decoder {
    /// Reads on. Payload bytes are moved together inside `buffer`; bytes after `consumed` are untouched.
    pub(crate) fn decode(&mut self, buffer: &mut [u8]) -> Result<Decoded, BadChunk> {
        let mut at = 0;
        let mut payload = 0..0;
        while at < buffer.len() && self.state != State::Done {
            if let State::Data { left } = self.state {
                let length = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len() - at);
                if payload.is_empty() {
                    payload = at..at + length;
                } else {
                    buffer.copy_within(at..at + length, payload.end);
                    payload.end += length;
                }
                at += length;
                let left = left - length as u64;
                self.state = if left == 0 { State::DataReturn } else { State::Data { left } };
                continue;
            }
            if self.state == State::Trailers {
                at += self.collect(&buffer[at..])?;
                continue;
            }
            self.state = self.step(buffer[at])?;
            at += 1;
        }
        Ok(Decoded { payload, consumed: at, done: self.state == State::Done })
    }

    /// Trailer fields that may be passed on, as lines with CRLF. Empty until the body is done.
    pub(crate) fn trailers(&self) -> &[u8] {
        if self.state == State::Done { &self.trailers } else { &[] }
    }

    /// True once the last chunk and the trailers were read.
    pub(crate) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    fn step(&mut self, byte: u8) -> Result<State, BadChunk> {
        Ok(match (self.state, byte) {
            (State::Size { size, digits }, byte) if byte.is_ascii_hexdigit() => {
                // 15 digits stay below 2^60: no sum of sizes can overflow anywhere.
                if digits >= 15 {
                    return Err(BadChunk("size too large"));
                }
                let digit = (byte as char).to_digit(16).unwrap_or_default();
                State::Size { size: size << 4 | u64::from(digit), digits: digits + 1 }
            }
            (State::Size { digits: 0, .. }, _) => return Err(BadChunk("no size")),
            (State::Size { size, .. }, b'\r') => State::SizeFeed { size },
            (State::Size { size, .. }, b';') => State::Extension { size, seen: 0 },
            (State::Size { size, .. }, b' ' | b'\t') => State::Space { size, seen: 0 },
            (State::Space { size, seen }, b' ' | b'\t') if seen < 16 => State::Space { size, seen: seen + 1 },
            (State::Space { size, .. }, b';') => State::Extension { size, seen: 0 },
            (State::Extension { size, .. }, b'\r') => State::SizeFeed { size },
            (State::Extension { size, seen }, byte) if byte == b'\t' || (byte >= b' ' && byte != 0x7f) => {
                self.extensions += 1;
                if seen >= MAX_EXTENSION || self.extensions > MAX_EXTENSIONS {
                    return Err(BadChunk("extensions too long"));
                }
                State::Extension { size, seen: seen + 1 }
            }
            (State::SizeFeed { size: 0 }, b'\n') => State::Trailers,
            (State::SizeFeed { size }, b'\n') => State::Data { left: size },
            (State::DataReturn, b'\r') => State::DataFeed,
            (State::DataFeed, b'\n') => State::default(),
            (State::DataReturn | State::DataFeed, _) => return Err(BadChunk("no CRLF after a chunk")),
            _ => return Err(BadChunk("malformed size line")),
        })
    }

    /// Collects trailer bytes; answers how many were taken.
    fn collect(&mut self, input: &[u8]) -> Result<usize, BadChunk> {
        for (index, byte) in input.iter().enumerate() {
            self.trailers.push(*byte);
            if self.trailers.len() > MAX_TRAILERS {
                return Err(BadChunk("trailers too large"));
            }
            if *byte == b'\n' && (self.trailers == b"\r\n" || self.trailers.ends_with(b"\r\n\r\n")) {
                self.trailers = allowed_trailers(&self.trailers)?;
                self.state = State::Done;
                return Ok(index + 1);
            }
            if *byte == b'\n' && !self.trailers.ends_with(b"\r\n") {
                return Err(BadChunk("bare line feed in trailers"));
            }
        }
        Ok(input.len())
    }
}

/// The trailer lines that a recipient may merge without harm.
fn allowed_trailers(section: &[u8]) -> Result<Vec<u8>, BadChunk> {
    if section == b"\r\n" {
        return Ok(Vec::new());
    }
    let mut fields = [httparse::EMPTY_HEADER; MAX_TRAILER_FIELDS];
    let fields = match httparse::parse_headers(section, &mut fields) {
        Ok(httparse::Status::Complete((len, fields))) if len == section.len() => fields,
        _ => return Err(BadChunk("malformed trailers")),
    };
    let mut out = Vec::new();
    for field in fields.iter().filter(|field| !is_forbidden(field.name)) {
        out.extend_from_slice(field.name.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(field.value);
        out.extend_from_slice(b"\r\n");
    }
    Ok(out)
}

/// RFC 9110, 6.5.1: framing, routing, authentication, request modifiers and response control data.
pub(crate) fn is_forbidden(name: &str) -> bool {
    const NAMES: [&str; 26] = [
        "authorization",
        "cache-control",
        "connection",
        "content-encoding",
        "content-length",
        "content-range",
        "content-type",
        "cookie",
        "expect",
        "host",
        "http2-settings",
        "keep-alive",
        "max-forwards",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "range",
        "set-cookie",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "www-authenticate",
        "x-forwarded-for",
        "x-forwarded-port",
        "x-forwarded-proto",
    ];
    let vamp = name.get(..5).is_some_and(|prefix| prefix.eq_ignore_ascii_case("vamp-"));
    vamp || NAMES.iter().any(|forbidden| forbidden.eq_ignore_ascii_case(name))
}

/// Writes the size line of one chunk.
pub(crate) fn size_line(out: &mut Vec<u8>, size: usize) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut started = false;
    for shift in (0..usize::BITS / 4).rev() {
        let digit = (size >> (shift * 4)) & 0xf;
        if digit != 0 || started || shift == 0 {
            started = true;
            out.push(DIGITS[digit]);
        }
    }
    out.extend_from_slice(b"\r\n");
}
