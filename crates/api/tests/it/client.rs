//! A client that sends exactly what a test says: no default headers, no normalised paths.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

const DEADLINE: Duration = Duration::from_secs(20);

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.text()))
    }

    /// The message of an error; checks that there is one.
    pub(crate) fn message(&self) -> String {
        let body = self.json();
        let message = body["message"].as_str().unwrap_or_default().to_owned();
        assert!(!message.is_empty(), "{} without a message: {body}", self.status);
        assert!(body["code"].is_string() && body["problems"].is_array(), "{body}");
        message
    }
}

/// A request under construction.
pub(crate) struct Call {
    address: SocketAddr,
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Option<Vec<u8>>,
    chunked: bool,
}

impl Call {
    pub(crate) fn new(address: SocketAddr, method: &str, path: &str) -> Self {
        Self {
            address,
            method: method.into(),
            path: path.into(),
            headers: Vec::new(),
            body: None,
            chunked: false,
        }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    pub(crate) fn chunked(mut self) -> Self {
        self.chunked = true;
        self
    }

    fn head(&self) -> String {
        let mut head = format!("{} {} HTTP/1.1\r\nconnection: close\r\n", self.method, self.path);
        if !self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            head += &format!("host: {}\r\n", self.address);
        }
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        match &self.body {
            Some(_) if self.chunked => head += "transfer-encoding: chunked\r\n",
            Some(body) if !self.headers.iter().any(|(name, _)| name == "content-length") => {
                head += &format!("content-length: {}\r\n", body.len());
            }
            _ => {}
        }
        head + "\r\n"
    }

    pub(crate) async fn send(self) -> Answer {
        let what = format!("{} {}", self.method, self.path);
        tokio::time::timeout(DEADLINE, self.exchange()).await.unwrap_or_else(|_| panic!("no answer: {what}"))
    }

    async fn exchange(self) -> Answer {
        let mut stream = BufReader::new(TcpStream::connect(self.address).await.expect("connect"));
        let mut request = self.head().into_bytes();
        match (&self.body, self.chunked) {
            (Some(body), true) => {
                for part in body.chunks(7) {
                    request.extend(format!("{:x}\r\n", part.len()).bytes());
                    request.extend(part);
                    request.extend(b"\r\n");
                }
                request.extend(b"0\r\n\r\n");
            }
            (Some(body), false) => request.extend(body),
            (None, _) => {}
        }
        // A server may answer and close before it has read everything.
        let _ = stream.write_all(&request).await;
        let (status, headers) = read_head(&mut stream).await;
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        let chunked = headers.iter().any(|(name, value)| name == "transfer-encoding" && value == "chunked");
        let body = if chunked { dechunk(&rest) } else { rest };
        Answer { status, headers, body }
    }

    /// Opens a stream and returns as soon as the head is there.
    pub(crate) async fn open(self) -> Stream {
        let opened = async {
            let mut stream = BufReader::new(TcpStream::connect(self.address).await.expect("connect"));
            stream.write_all(self.head().as_bytes()).await.expect("write");
            if let Some(body) = &self.body {
                stream.write_all(body).await.expect("write");
            }
            let (status, headers) = read_head(&mut stream).await;
            Stream { status, headers, stream }
        };
        tokio::time::timeout(DEADLINE, opened).await.expect("the head of a stream comes at once")
    }
}

/// Server-sent events.
pub(crate) struct Stream {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    stream: BufReader<TcpStream>,
}

/// One server-sent event, or a comment.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) event: Option<String>,
    pub(crate) id: Option<String>,
    pub(crate) data: String,
    pub(crate) comment: Option<String>,
}

impl Stream {
    /// The next event or comment; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<Sent> {
        tokio::time::timeout(DEADLINE, self.read()).await.expect("an event within the deadline")
    }

    async fn read(&mut self) -> Option<Sent> {
        let mut sent = Sent::default();
        let mut empty = true;
        loop {
            let line = self.line().await?;
            if line.is_empty() {
                if empty {
                    continue;
                }
                return Some(sent);
            }
            empty = false;
            let (field, value) = line.split_once(':').expect("a field");
            let value = value.strip_prefix(' ').unwrap_or(value).to_owned();
            match field {
                "event" => sent.event = Some(value),
                "id" => sent.id = Some(value),
                "data" => sent.data += &value,
                "" => sent.comment = Some(value),
                other => panic!("unknown field {other}"),
            }
        }
    }

    /// A line of the body, without the chunk framing around it: chunks end with lines here, so sizes are lines of their own.
    async fn line(&mut self) -> Option<String> {
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line).await.ok()? == 0 {
                return None;
            }
            if line.ends_with("\r\n") {
                if line.trim() == "0" {
                    return None;
                }
                continue;
            }
            return Some(line.trim_end_matches('\n').to_owned());
        }
    }
}

async fn read_head(stream: &mut BufReader<TcpStream>) -> (u16, Vec<(String, String)>) {
    let mut line = String::new();
    stream.read_line(&mut line).await.expect("a status line");
    let status =
        line.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or_else(|| panic!("no status: {line:?}"));
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.expect("a header");
        let line = line.trim_end();
        if line.is_empty() {
            return (status, headers);
        }
        let (name, value) = line.split_once(':').expect("a header");
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}

fn dechunk(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = rest.windows(2).position(|window| window == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap().trim(), 16).unwrap();
        if size == 0 {
            break;
        }
        body.extend(&rest[end + 2..end + 2 + size]);
        rest = &rest[end + 2 + size + 2..];
    }
    body
}
