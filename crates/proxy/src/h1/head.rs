//! Heads of requests and responses as spans into the buffer that holds them.

use std::mem::MaybeUninit;
use std::ops::ControlFlow;

/// The most field lines that can be read at all; the configured limit is at or below.
pub(crate) const MAX_FIELDS: usize = 128;

/// A part of a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    fn new(start: usize, end: usize) -> Self {
        // Heads are far below 4 GiB: the buffers that hold them are bounded.
        Self { start: start as u32, end: end as u32 }
    }

    /// The bytes.
    pub(crate) fn of(self, buffer: &[u8]) -> &[u8] {
        &buffer[self.start as usize..self.end as usize]
    }

    /// The bytes of a span that is known to be ASCII.
    pub(crate) fn text(self, buffer: &[u8]) -> &str {
        std::str::from_utf8(self.of(buffer)).unwrap_or_default()
    }

    pub(crate) fn start(self) -> usize {
        self.start as usize
    }

    pub(crate) fn end(self) -> usize {
        self.end as usize
    }
}

/// Field names that mean something to a proxy; looked up once while parsing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Name {
    CacheControl,
    Connection,
    ContentLength,
    ContentType,
    Cookie,
    Expect,
    ForwardedFor,
    ForwardedPort,
    ForwardedProto,
    Host,
    Http2Settings,
    KeepAlive,
    ProxyConnection,
    Te,
    TraceParent,
    TraceState,
    TransferEncoding,
    Upgrade,
    VampDebug,
    VampHops,
    VampProxyError,
    Other,
}

impl Name {
    fn lookup(name: &str) -> Self {
        let is = |text: &str| name.eq_ignore_ascii_case(text);
        match name.len() {
            2 if is("te") => Self::Te,
            4 if is("host") => Self::Host,
            6 if is("cookie") => Self::Cookie,
            6 if is("expect") => Self::Expect,
            7 if is("upgrade") => Self::Upgrade,
            9 if is("vamp-hops") => Self::VampHops,
            10 if is("connection") => Self::Connection,
            10 if is("keep-alive") => Self::KeepAlive,
            10 if is("tracestate") => Self::TraceState,
            10 if is("vamp-debug") => Self::VampDebug,
            11 if is("traceparent") => Self::TraceParent,
            12 if is("content-type") => Self::ContentType,
            13 if is("cache-control") => Self::CacheControl,
            14 if is("content-length") => Self::ContentLength,
            14 if is("http2-settings") => Self::Http2Settings,
            15 if is("x-forwarded-for") => Self::ForwardedFor,
            16 if is("x-forwarded-port") => Self::ForwardedPort,
            16 if is("proxy-connection") => Self::ProxyConnection,
            16 if is("vamp-proxy-error") => Self::VampProxyError,
            17 if is("x-forwarded-proto") => Self::ForwardedProto,
            17 if is("transfer-encoding") => Self::TransferEncoding,
            _ => Self::Other,
        }
    }

    /// Fields that concern one connection only (RFC 9110, 7.6.1); `Connection` may name more.
    pub(crate) fn is_hop_by_hop(self) -> bool {
        matches!(
            self,
            Self::Connection
                | Self::Http2Settings
                | Self::KeepAlive
                | Self::ProxyConnection
                | Self::Te
                | Self::TransferEncoding
                | Self::Upgrade
        )
    }
}

/// One field line.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field {
    /// What the name means.
    pub(crate) known: Name,
    /// The name as sent.
    pub(crate) name: Span,
    /// The value without white space around it.
    pub(crate) value: Span,
    /// The whole line with its CRLF.
    pub(crate) line: Span,
}

/// What the `Connection` fields of a message say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Connection {
    pub(crate) close: bool,
    pub(crate) keep_alive: bool,
    pub(crate) upgrade: bool,
    /// Other fields are named, which makes them hop-by-hop.
    pub(crate) nominates: bool,
}

/// The field lines of a head.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    pub(crate) list: Vec<Field>,
    pub(crate) connection: Connection,
}

/// 1.0 or 1.1; nothing else gets this far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Version {
    Http10,
    #[default]
    Http11,
}

/// A request head.
#[derive(Debug, Default)]
pub(crate) struct Request {
    /// Length of the head in the buffer, blank line and skipped empty lines included.
    pub(crate) len: usize,
    pub(crate) method: Span,
    /// As sent; see [`super::target`].
    pub(crate) target: Span,
    pub(crate) version: Version,
    pub(crate) fields: Fields,
}

/// A response head.
#[derive(Debug, Default)]
pub(crate) struct Response {
    pub(crate) len: usize,
    pub(crate) status: u16,
    pub(crate) reason: Span,
    pub(crate) version: Version,
    pub(crate) fields: Fields,
}

/// Bounds of a head.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) head: usize,
    pub(crate) target: usize,
    pub(crate) fields: usize,
}

/// How far parsing got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    Partial,
    Complete,
}

/// Why a message is refused. For a request this is the answer; for a response the detail of a 502.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) message: &'static str,
}

impl Refusal {
    pub(crate) const fn new(status: u16, message: &'static str) -> Self {
        Self { status, message }
    }

    pub(crate) const fn bad(message: &'static str) -> Self {
        Self::new(400, message)
    }
}

impl Request {
    /// Reads a head from the start of `buffer`.
    pub(crate) fn parse(&mut self, buffer: &[u8], bounds: Bounds) -> Result<Progress, Refusal> {
        // RFC 9112, 2.2: an empty line before the request line is forgiven; two are plenty.
        let mut skipped = 0;
        while skipped < 4 && buffer[skipped..].starts_with(b"\r\n") {
            skipped += 2;
        }
        let bytes = &buffer[skipped..];
        match bytes.first() {
            None => return Ok(Progress::Partial),
            Some(b'\r') if bytes.len() == 1 && skipped < 4 => return Ok(Progress::Partial),
            Some(b'\r' | b'\n') => return Err(Refusal::bad("empty line instead of a request line")),
            Some(_) => {}
        }
        let mut lines = [const { MaybeUninit::uninit() }; MAX_FIELDS];
        let mut parsed = httparse::Request::new(&mut []);
        let len = match parsed.parse_with_uninit_headers(bytes, &mut lines) {
            Ok(httparse::Status::Complete(len)) => len,
            Ok(httparse::Status::Partial) => return partial(bytes, bounds),
            Err(error) => return Err(refusal(error, bytes)),
        };
        let (Some(method), Some(target), Some(version)) = (parsed.method, parsed.path, parsed.version) else {
            return Err(Refusal::bad("malformed request line"));
        };
        if target.len() > bounds.target {
            return Err(Refusal::new(414, "request target too long"));
        }
        if len > bounds.head {
            return Err(Refusal::new(431, "request head too large"));
        }
        if parsed.headers.len() > bounds.fields {
            return Err(Refusal::new(431, "too many header fields"));
        }
        self.method = Span::new(skipped, skipped + method.len());
        self.target = Span::new(self.method.end() + 1, self.method.end() + 1 + target.len());
        if self.method.of(buffer) != method.as_bytes() || self.target.of(buffer) != target.as_bytes() {
            return Err(Refusal::bad("malformed request line"));
        }
        self.version = if version == 0 { Version::Http10 } else { Version::Http11 };
        self.len = skipped + len;
        // Exactly ` HTTP/1.x` and CRLF follow the target.
        let line_end = self.target.end() + " HTTP/1.1".len();
        self.fields.fill(buffer, line_end, self.len, parsed.headers)
    }

    /// Starts a head that comes from another version of HTTP, in the same form as one that was read: lines in a buffer.
    pub(crate) fn begin(&mut self, buffer: &mut Vec<u8>, method: &str, target: &str) {
        buffer.clear();
        buffer.extend_from_slice(method.as_bytes());
        buffer.push(b' ');
        buffer.extend_from_slice(target.as_bytes());
        buffer.extend_from_slice(b" HTTP/1.1\r\n");
        self.method = Span::new(0, method.len());
        self.target = Span::new(method.len() + 1, method.len() + 1 + target.len());
        self.version = Version::Http11;
        self.fields.clear();
    }

    /// Ends such a head.
    pub(crate) fn end(&mut self, buffer: &mut Vec<u8>) {
        buffer.extend_from_slice(b"\r\n");
        self.len = buffer.len();
    }

    /// True when the client asked for, or by version expects, more requests on this connection.
    pub(crate) fn keeps_alive(&self) -> bool {
        match self.version {
            Version::Http11 => !self.fields.connection.close,
            Version::Http10 => self.fields.connection.keep_alive && !self.fields.connection.close,
        }
    }
}

impl Response {
    /// Starts a head that comes from another version of HTTP.
    pub(crate) fn begin(&mut self, buffer: &mut Vec<u8>, status: u16, reason: &str) {
        buffer.clear();
        buffer.extend_from_slice(format!("HTTP/1.1 {status} ").as_bytes());
        self.reason = Span::new(buffer.len(), buffer.len() + reason.len());
        buffer.extend_from_slice(reason.as_bytes());
        buffer.extend_from_slice(b"\r\n");
        self.status = status;
        self.version = Version::Http11;
        self.fields.clear();
    }

    /// Ends such a head.
    pub(crate) fn end(&mut self, buffer: &mut Vec<u8>) {
        buffer.extend_from_slice(b"\r\n");
        self.len = buffer.len();
    }

    /// Reads a head from the start of `buffer`.
    pub(crate) fn parse(&mut self, buffer: &[u8], bounds: Bounds) -> Result<Progress, Refusal> {
        const BAD: u16 = 502;
        match buffer.first() {
            None => return Ok(Progress::Partial),
            Some(b'H') => {}
            Some(_) => return Err(Refusal::new(BAD, "not an HTTP response")),
        }
        let mut lines = [const { MaybeUninit::uninit() }; MAX_FIELDS];
        let mut parsed = httparse::Response::new(&mut []);
        let config = httparse::ParserConfig::default();
        let len = match config.parse_response_with_uninit_headers(&mut parsed, buffer, &mut lines) {
            Ok(httparse::Status::Complete(len)) => len,
            Ok(httparse::Status::Partial) if buffer.len() >= bounds.head => {
                return Err(Refusal::new(BAD, "response head too large"));
            }
            Ok(httparse::Status::Partial) => return Ok(Progress::Partial),
            Err(_) => return Err(Refusal::new(BAD, "malformed response head")),
        };
        let (Some(version), Some(status), Some(_)) = (parsed.version, parsed.code, parsed.reason) else {
            return Err(Refusal::new(BAD, "malformed status line"));
        };
        if len > bounds.head {
            return Err(Refusal::new(BAD, "response head too large"));
        }
        if !(100..600).contains(&status) {
            return Err(Refusal::new(BAD, "status code out of range"));
        }
        let prefix = "HTTP/1.1 200".len();
        let Some(line_end) = buffer[..len].windows(2).position(|pair| pair == b"\r\n") else {
            return Err(Refusal::new(BAD, "malformed status line"));
        };
        if buffer[..line_end].contains(&b'\n') {
            return Err(Refusal::new(BAD, "bare line feed in a response head"));
        }
        self.reason = Span::new((prefix + 1).min(line_end), line_end);
        self.version = if version == 0 { Version::Http10 } else { Version::Http11 };
        self.status = status;
        self.len = len;
        self.fields
            .fill(buffer, line_end, len, parsed.headers)
            .map_err(|refusal| Refusal::new(BAD, refusal.message))
    }
}

impl Fields {
    /// Takes the tokens over, and checks what `httparse` does not: every line ends with CRLF and follows the one before.
    fn fill(
        &mut self,
        buffer: &[u8],
        first_line_end: usize,
        head_end: usize,
        headers: &[httparse::Header<'_>],
    ) -> Result<Progress, Refusal> {
        const ENDING: Refusal = Refusal::bad("every line of a head must end with CRLF");
        self.clear();
        let crlf = |at: usize| buffer.get(at..at + 2) == Some(b"\r\n");
        if !crlf(first_line_end) {
            return Err(ENDING);
        }
        let mut at = first_line_end + 2;
        for header in headers {
            let name = Span::new(at, at + header.name.len());
            if header.name.is_empty() || buffer.get(name.start()..name.end()) != Some(header.name.as_bytes())
            {
                return Err(ENDING);
            }
            if buffer.get(name.end()) != Some(&b':') {
                return Err(Refusal::bad("white space before the colon of a header field"));
            }
            let blank = |b: &u8| *b == b' ' || *b == b'\t';
            let mut value_start = name.end() + 1;
            while buffer.get(value_start).is_some_and(blank) {
                value_start += 1;
            }
            let value = if header.value.is_empty() {
                Span::new(value_start, value_start)
            } else {
                Span::new(value_start, value_start + header.value.len())
            };
            let mut line_end = value.end();
            while buffer.get(line_end).is_some_and(blank) {
                line_end += 1;
            }
            if !crlf(line_end) {
                return Err(ENDING);
            }
            let known = Name::lookup(header.name);
            if known == Name::Connection {
                self.connection.read(value.of(buffer));
            }
            self.list.push(Field { known, name, value, line: Span::new(at, line_end + 2) });
            at = line_end + 2;
        }
        if crlf(at) && at + 2 == head_end { Ok(Progress::Complete) } else { Err(ENDING) }
    }

    fn clear(&mut self) {
        self.list.clear();
        self.connection = Connection::default();
    }

    /// Appends a field line to a head in the making. Name and value must be free of CR, LF and NUL.
    pub(crate) fn push(&mut self, buffer: &mut Vec<u8>, name: &str, value: &[u8]) {
        let at = buffer.len();
        buffer.extend_from_slice(name.as_bytes());
        buffer.extend_from_slice(b": ");
        let start = buffer.len();
        buffer.extend_from_slice(value);
        let end = buffer.len();
        buffer.extend_from_slice(b"\r\n");
        let known = Name::lookup(name);
        if known == Name::Connection {
            self.connection.read(value);
        }
        let line = Span::new(at, buffer.len());
        let name = Span::new(at, at + name.len());
        self.list.push(Field { known, name, value: Span::new(start, end), line });
    }

    /// Fields of that meaning, in order.
    pub(crate) fn known(&self, name: Name) -> impl Iterator<Item = &Field> {
        self.list.iter().filter(move |field| field.known == name)
    }

    /// True for a stream of server-sent events, which is silent as long as there are none.
    pub(crate) fn is_event_stream(&self, buffer: &[u8]) -> bool {
        const KIND: &[u8] = b"text/event-stream";
        self.known(Name::ContentType).any(|field| {
            let value = field.value.of(buffer);
            value.get(..KIND.len()).is_some_and(|kind| kind.eq_ignore_ascii_case(KIND))
                && matches!(value.get(KIND.len()), None | Some(b';' | b' ' | b'\t'))
        })
    }

    /// True when a `Connection` field names `field`, and so makes it hop-by-hop. Framing and routing fields are never
    /// dropped because of that (a client could otherwise remove what the message means).
    pub(crate) fn is_nominated(&self, buffer: &[u8], field: &Field) -> bool {
        if !self.connection.nominates {
            return false;
        }
        if matches!(
            field.known,
            Name::Host
                | Name::ContentLength
                | Name::TransferEncoding
                | Name::CacheControl
                | Name::ForwardedFor
        ) {
            return false;
        }
        let name = field.name.of(buffer);
        self.known(Name::Connection)
            .flat_map(|field| tokens(field.value.of(buffer)))
            .any(|token| token.eq_ignore_ascii_case(name))
    }

    /// Visits the values of all fields called `name`.
    pub(crate) fn each(&self, buffer: &[u8], name: &str, visit: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) {
        for field in &self.list {
            let own = field.name.of(buffer);
            if own.len() == name.len()
                && own.eq_ignore_ascii_case(name.as_bytes())
                && visit(field.value.of(buffer)).is_break()
            {
                return;
            }
        }
    }
}

impl Connection {
    fn read(&mut self, value: &[u8]) {
        for token in tokens(value) {
            if token.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if token.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
            } else if token.eq_ignore_ascii_case(b"upgrade") {
                self.upgrade = true;
            } else if !token.is_empty() {
                self.nominates = true;
            }
        }
    }
}

/// The comma-separated parts of a field value, trimmed.
pub(crate) fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|b| *b == b',').map(<[u8]>::trim_ascii)
}

/// What an incomplete head may still become.
fn partial(bytes: &[u8], bounds: Bounds) -> Result<Progress, Refusal> {
    let line = bytes.iter().position(|b| *b == b'\n');
    if line.is_none() && bytes.len() > bounds.target + 64 {
        return Err(Refusal::new(414, "request target too long"));
    }
    if bytes.len() >= bounds.head {
        return Err(Refusal::new(431, "request head too large"));
    }
    Ok(Progress::Partial)
}

fn refusal(error: httparse::Error, bytes: &[u8]) -> Refusal {
    match error {
        httparse::Error::TooManyHeaders => Refusal::new(431, "too many header fields"),
        httparse::Error::Version => {
            // A well-formed version in the right place is one that we do not speak; anything else is not HTTP at all.
            let line = bytes.split(|b| *b == b'\n').next().unwrap_or_default();
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let parts: Vec<&[u8]> = line.split(|b| *b == b' ').collect();
            if let [_, _, [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9']] = parts[..] {
                Refusal::new(505, "only HTTP/1.0 and HTTP/1.1 are spoken here")
            } else {
                Refusal::bad("malformed request line")
            }
        }
        httparse::Error::Token => Refusal::bad("malformed request line"),
        httparse::Error::NewLine => Refusal::bad("malformed line ending"),
        httparse::Error::HeaderName => Refusal::bad("malformed header name"),
        httparse::Error::HeaderValue => Refusal::bad("malformed header value"),
        httparse::Error::Status => Refusal::bad("malformed request line"),
    }
}
