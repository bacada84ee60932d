//! The two ends of HTTP/2 in tests: a client and a target with the `h2` crate, and a client that writes its frames by hand.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use h2::client::SendRequest;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::support::target;
use routing::config::{TargetKind, TargetProtocol};

const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("waited too long for {what}"))
}

/// A connection of a client.
pub(crate) struct Client {
    pub(crate) requests: SendRequest<Bytes>,
    pub(crate) connection: JoinHandle<Result<(), h2::Error>>,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) head: http::response::Parts,
    pub(crate) body: Bytes,
    pub(crate) trailers: Option<HeaderMap>,
}

impl Answer {
    pub(crate) fn status(&self) -> u16 {
        self.head.status.as_u16()
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.head.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::with(address, &h2::client::Builder::new()).await
    }

    pub(crate) async fn with(address: SocketAddr, builder: &h2::client::Builder) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self::on(stream, builder).await
    }

    /// On a connection of any kind.
    pub(crate) async fn on(
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        builder: &h2::client::Builder,
    ) -> Self {
        let (requests, connection) = builder.handshake(stream).await.unwrap();
        Self { requests, connection: tokio::spawn(connection) }
    }

    /// Opens a stream.
    pub(crate) async fn open(
        &mut self,
        request: Request<()>,
        end: bool,
    ) -> (h2::client::ResponseFuture, SendStream<Bytes>) {
        let mut requests = soon("a free stream", self.requests.clone().ready()).await.unwrap();
        requests.send_request(request, end).unwrap()
    }

    pub(crate) async fn try_ask(&mut self, request: Request<()>, body: &[u8]) -> Result<Answer, h2::Error> {
        let (response, mut send) = self.open(request, body.is_empty()).await;
        let writing = async {
            if !body.is_empty() {
                // Fails when the answer came first.
                let _ = write(&mut send, Bytes::copy_from_slice(body), true).await;
            }
        };
        let reading = async { read(response.await?).await };
        let (answer, ()) = soon("an answer", async { tokio::join!(reading, writing) }).await;
        answer
    }

    pub(crate) async fn ask(&mut self, request: Request<()>, body: &[u8]) -> Answer {
        self.try_ask(request, body).await.unwrap()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

pub(crate) fn get(host: &str, path: &str) -> Request<()> {
    request(Method::GET, host, path)
}

pub(crate) fn request(method: Method, host: &str, path: &str) -> Request<()> {
    Request::builder().method(method).uri(format!("http://{host}.test{path}")).body(()).unwrap()
}

/// Writes with regard to flow control.
pub(crate) async fn write(send: &mut SendStream<Bytes>, mut data: Bytes, end: bool) -> Result<(), h2::Error> {
    while !data.is_empty() {
        send.reserve_capacity(data.len());
        let most = match std::future::poll_fn(|context| send.poll_capacity(context)).await {
            Some(most) => most?,
            None => return Err(h2::Reason::CANCEL.into()),
        };
        let part = data.split_to(most.min(data.len()));
        let last = end && data.is_empty();
        send.send_data(part, last)?;
    }
    Ok(())
}

pub(crate) async fn read_body(body: &mut RecvStream) -> Result<Bytes, h2::Error> {
    let mut all = BytesMut::new();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        all.extend_from_slice(&data);
    }
    Ok(all.freeze())
}

pub(crate) async fn read(response: Response<RecvStream>) -> Result<Answer, h2::Error> {
    let (head, mut body) = response.into_parts();
    let data = read_body(&mut body).await?;
    Ok(Answer { head, body: data, trailers: body.trailers().await? })
}

/// A server that speaks HTTP/2, until it is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) connections: Arc<AtomicUsize>,
    pub(crate) streams: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

pub(crate) type Handling = Pin<Box<dyn Future<Output = Result<(), h2::Error>> + Send>>;

impl Server {
    pub(crate) async fn start(
        handle: impl Fn(Request<RecvStream>, SendResponse<Bytes>) -> Handling + Send + Sync + 'static,
    ) -> Self {
        Self::with(h2::server::Builder::new().clone(), handle).await
    }

    pub(crate) async fn with(
        builder: h2::server::Builder,
        handle: impl Fn(Request<RecvStream>, SendResponse<Bytes>) -> Handling + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (connections, streams) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (counted, opened, handle) = (Arc::clone(&connections), Arc::clone(&streams), Arc::new(handle));
        let task = tokio::spawn(async move {
            let mut all = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, SeqCst);
                stream.set_nodelay(true).unwrap();
                let (builder, handle, opened) = (builder.clone(), Arc::clone(&handle), Arc::clone(&opened));
                all.spawn(async move {
                    let Ok(mut connection) = builder.handshake::<_, Bytes>(stream).await else { return };
                    let mut streams = tokio::task::JoinSet::new();
                    while let Some(Ok((request, respond))) = connection.accept().await {
                        opened.fetch_add(1, SeqCst);
                        streams.spawn(handle(request, respond));
                    }
                });
            }
        });
        Self { address, connections, streams, task }
    }

    /// Answers with the method, the path, the fields and the body that it got.
    pub(crate) async fn echo() -> Self {
        Self::start(|request, respond| Box::pin(echo(request, respond))).await
    }

    pub(crate) fn count(&self) -> usize {
        self.streams.load(SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) async fn echo(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
) -> Result<(), h2::Error> {
    let (parts, mut body) = request.into_parts();
    let mut text = format!("{} {}\n", parts.method, parts.uri);
    for (name, value) in &parts.headers {
        text += &format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes()));
    }
    let mut all = text.into_bytes();
    all.extend_from_slice(&read_body(&mut body).await?);
    let head = parts.method == Method::HEAD;
    let response = Response::builder().status(StatusCode::OK).header("x-version", "h2").body(()).unwrap();
    let mut send = respond.send_response(response, head)?;
    if !head {
        write(&mut send, all.into(), true).await?;
    }
    Ok(())
}

/// A route whose targets speak HTTP/2.
pub(crate) fn framed(path: &str, weight: u16, targets: &[SocketAddr]) -> routing::config::RouteConfig {
    let mut route = crate::support::route(path, weight, &[]);
    route.targets = targets
        .iter()
        .map(|address| routing::config::TargetConfig {
            protocol: TargetProtocol::Http2,
            ..target(*address, TargetKind::Instance)
        })
        .collect();
    route
}

/// A client that writes frames as a test wants.
pub(crate) struct Raw {
    pub(crate) stream: TcpStream,
}

/// A frame as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    pub(crate) fn error(&self) -> u32 {
        let at = if self.kind == GO_AWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }
}

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RESET: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GO_AWAY: u8 = 7;
pub(crate) const WINDOW: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const PROTOCOL_ERROR: u32 = 1;
pub(crate) const STREAM_CLOSED: u32 = 5;
pub(crate) const COMPRESSION_ERROR: u32 = 9;
pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend_from_slice(&[kind, flags]);
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// A header block of literal fields without compression.
pub(crate) fn block(fields: &[(&str, &[u8])]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name.as_bytes(), value] {
            length(&mut block, text.len());
            block.extend_from_slice(text);
        }
    }
    block
}

fn length(out: &mut Vec<u8>, length: usize) {
    if length < 127 {
        out.push(length as u8);
        return;
    }
    out.push(127);
    let mut rest = length - 127;
    while rest >= 128 {
        out.push((rest % 128 + 128) as u8);
        rest /= 128;
    }
    out.push(rest as u8);
}

pub(crate) fn plain_get() -> Vec<u8> {
    block(&[(":method", b"GET"), (":scheme", b"http"), (":path", b"/"), (":authority", b"shop.test")])
}

impl Raw {
    /// Connects and says what every client says first.
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let mut raw = Self::dial(address).await;
        raw.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        raw.send(&frame(SETTINGS, 0, 0, &[])).await;
        raw
    }

    /// Connects and says nothing.
    pub(crate) async fn dial(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream }
    }

    /// Sends; a connection that is closed already takes nothing.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> bool {
        soon("room to write", self.stream.write_all(bytes)).await.is_ok()
    }

    /// The next frame; `None` at the end of the connection.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        soon("a frame", self.stream.read_exact(&mut head)).await.ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut payload = vec![0; length];
        soon("a frame", self.stream.read_exact(&mut payload)).await.ok()?;
        let stream = u32::from_be_bytes(head[5..9].try_into().unwrap());
        Some(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    /// The next frame of a kind.
    pub(crate) async fn next_of(&mut self, kind: u8) -> Option<Frame> {
        loop {
            let frame = self.next().await?;
            if frame.kind == kind {
                return Some(frame);
            }
        }
    }

    /// Reads until the connection ends: the last GOAWAY, and how many frames there were of each kind.
    pub(crate) async fn read_to_end(&mut self) -> (Option<Frame>, [usize; 16]) {
        let (mut last, mut counts) = (None, [0; 16]);
        while let Some(frame) = self.next().await {
            counts[usize::from(frame.kind & 15)] += 1;
            if frame.kind == GO_AWAY {
                last = Some(frame);
            }
        }
        (last, counts)
    }
}
