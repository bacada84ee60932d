//! One end of a connection that speaks HTTP/1.1 by hand, so that tests decide about every byte. Nothing waits longer than
//! [`PATIENCE`].

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsStream;

/// How long a test waits for anything.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A connection.
#[derive(Debug)]
pub struct Wire {
    stream: Inner,
    read: Vec<u8>,
}

#[derive(Debug)]
enum Inner {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Inner {
    fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.get_ref().0,
        }
    }

    fn reader(&mut self) -> &mut (dyn AsyncRead + Unpin + Send) {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream,
        }
    }

    fn writer(&mut self) -> &mut (dyn AsyncWrite + Unpin + Send) {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream,
        }
    }
}

/// A request or response as read from a wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Request line or status line.
    pub start: String,
    /// Header fields in order, as sent.
    pub fields: Vec<(String, String)>,
    /// Body, chunks joined.
    pub body: Vec<u8>,
    /// Sizes of the chunks of a chunked body.
    pub chunks: Vec<usize>,
    /// Trailer lines.
    pub trailers: Vec<String>,
}

impl Message {
    /// The status code of a response.
    pub fn status(&self) -> u16 {
        self.start.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0)
    }

    /// The value of a field; several are joined with `", "`.
    pub fn field(&self, name: &str) -> Option<String> {
        let values: Vec<&str> = self
            .fields
            .iter()
            .filter(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.as_str())
            .collect();
        (!values.is_empty()).then(|| values.join(", "))
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Wire {
    /// Takes over a socket.
    pub fn new(stream: TcpStream) -> Self {
        // Only a matter of speed.
        let _ = stream.set_nodelay(true);
        Self { stream: Inner::Plain(stream), read: Vec::new() }
    }

    /// Takes over a TLS connection.
    pub fn tls(stream: impl Into<TlsStream<TcpStream>>) -> Self {
        Self { stream: Inner::Tls(Box::new(stream.into())), read: Vec::new() }
    }

    /// The TLS connection, if it is one.
    pub fn session(&self) -> Option<&TlsStream<TcpStream>> {
        match &self.stream {
            Inner::Plain(_) => None,
            Inner::Tls(stream) => Some(stream),
        }
    }

    /// Sends bytes.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        within(async {
            let writer = self.stream.writer();
            writer.write_all(bytes).await?;
            writer.flush().await
        })
        .await
    }

    /// Says that nothing more comes.
    pub async fn close_write(&mut self) -> io::Result<()> {
        within(self.stream.writer().shutdown()).await
    }

    /// Makes the close a reset.
    pub fn reset(self) {
        // A socket that is already closed needs no reset.
        let _ = socket2::SockRef::from(self.stream.socket()).set_linger(Some(Duration::ZERO));
    }

    /// Reads a request; `None` when the peer closed before its first byte.
    pub async fn read_request(&mut self) -> io::Result<Option<Message>> {
        let Some((start, fields)) = self.read_head().await? else { return Ok(None) };
        let mut message =
            Message { start, fields, body: Vec::new(), chunks: Vec::new(), trailers: Vec::new() };
        self.read_body(&mut message, false).await?;
        Ok(Some(message))
    }

    /// Reads only the head of a request or response.
    pub async fn read_head_only(&mut self) -> io::Result<Option<Message>> {
        Ok(self.read_head().await?.map(|(start, fields)| Message {
            start,
            fields,
            body: Vec::new(),
            chunks: Vec::new(),
            trailers: Vec::new(),
        }))
    }

    /// Reads a response to a request that is not HEAD; an interim one is a response of its own.
    pub async fn read_response(&mut self) -> io::Result<Message> {
        let (start, fields) = self.read_head().await?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let mut message =
            Message { start, fields, body: Vec::new(), chunks: Vec::new(), trailers: Vec::new() };
        if message.status() >= 200 && !matches!(message.status(), 204 | 304) {
            self.read_body(&mut message, true).await?;
        }
        Ok(message)
    }

    /// Sends a request and reads its response.
    pub async fn ask(&mut self, request: &str) -> io::Result<Message> {
        self.send(request.as_bytes()).await?;
        self.read_response().await
    }

    /// Reads that many bytes.
    pub async fn read_exact(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.read.len() < length {
            self.fill().await?;
        }
        Ok(self.read.drain(..length).collect())
    }

    /// Reads until the peer closes; a reset is an error.
    pub async fn read_to_end(&mut self) -> io::Result<Vec<u8>> {
        let mut rest = std::mem::take(&mut self.read);
        within(self.stream.reader().read_to_end(&mut rest)).await?;
        Ok(rest)
    }

    /// The next line without taking it; `None` when the peer closed before it was complete.
    pub async fn peek_line(&mut self) -> io::Result<Option<String>> {
        loop {
            if let Some(end) = self.read.windows(2).position(|pair| pair == b"\r\n") {
                return Ok(Some(String::from_utf8_lossy(&self.read[..end]).into_owned()));
            }
            match self.fill().await {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits until some bytes are there, without taking them; false at the end.
    pub async fn has_more(&mut self) -> io::Result<bool> {
        if !self.read.is_empty() {
            return Ok(true);
        }
        match self.fill().await {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn fill(&mut self) -> io::Result<()> {
        let mut buffer = [0; 16 * 1024];
        match within(self.stream.reader().read(&mut buffer)).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                self.read.extend_from_slice(&buffer[..read]);
                Ok(())
            }
        }
    }

    async fn read_line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.read.windows(2).position(|pair| pair == b"\r\n") {
                let line: Vec<u8> = self.read.drain(..end + 2).collect();
                return Ok(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            self.fill().await?;
        }
    }

    async fn read_head(&mut self) -> io::Result<Option<(String, Vec<(String, String)>)>> {
        if !self.has_more().await? {
            return Ok(None);
        }
        let start = self.read_line().await?;
        let mut fields = Vec::new();
        loop {
            let line = self.read_line().await?;
            if line.is_empty() {
                return Ok(Some((start, fields)));
            }
            let (name, value) = line.split_once(':').ok_or(io::ErrorKind::InvalidData)?;
            fields.push((name.to_owned(), value.trim().to_owned()));
        }
    }

    async fn read_body(&mut self, message: &mut Message, until_close: bool) -> io::Result<()> {
        if message.field("transfer-encoding").is_some() {
            loop {
                let line = self.read_line().await?;
                let size = usize::from_str_radix(&line, 16).map_err(|_| io::ErrorKind::InvalidData)?;
                if size == 0 {
                    break;
                }
                message.chunks.push(size);
                let chunk = self.read_exact(size).await?;
                message.body.extend_from_slice(&chunk);
                if !self.read_line().await?.is_empty() {
                    return Err(io::ErrorKind::InvalidData.into());
                }
            }
            loop {
                let line = self.read_line().await?;
                if line.is_empty() {
                    return Ok(());
                }
                message.trailers.push(line);
            }
        }
        if let Some(length) = message.field("content-length") {
            let length = length.parse().map_err(|_| io::ErrorKind::InvalidData)?;
            message.body = self.read_exact(length).await?;
        } else if until_close {
            message.body = self.read_to_end().await?;
        }
        Ok(())
    }
}

async fn within<T>(future: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(PATIENCE, future).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}
