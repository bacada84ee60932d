//! gRPC from end to end, with tonic on both sides: all four kinds of calls, time-outs, cancellation, errors.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::{Buf, BufMut};
use futures_util::{Stream, StreamExt, stream};
use http::Method;
use http::uri::PathAndQuery;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tonic::body::Body;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status, Streaming};

use super::peers::{Client, Server as H2Server, framed, request, soon};
use crate::support::{Bench, SHORT, free_port, gateway, loopback, on_port};

/// Messages that are bytes: what is in them is nobody's business here.
#[derive(Debug, Clone, Copy, Default)]
struct Bytes;

impl Codec for Bytes {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, bytes: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let mut item = vec![0; bytes.remaining()];
        bytes.copy_to_slice(&mut item);
        Ok(Some(item))
    }
}

type Messages = Pin<Box<dyn Stream<Item = Result<Vec<u8>, Status>> + Send>>;

/// What the service saw.
#[derive(Debug, Default)]
struct Seen {
    begun: AtomicUsize,
    /// Calls whose client went away before they were done.
    dropped: AtomicUsize,
}

struct Unfinished(Arc<Seen>);

impl Drop for Unfinished {
    fn drop(&mut self) {
        self.0.dropped.fetch_add(1, SeqCst);
    }
}

#[derive(Debug, Clone)]
struct Service(Arc<Seen>);

impl tower::Service<http::Request<Body>> for Service {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let seen = Arc::clone(&self.0);
        seen.begun.fetch_add(1, SeqCst);
        Box::pin(async move {
            let mut grpc = tonic::server::Grpc::new(Bytes);
            let path = request.uri().path().to_owned();
            Ok(match path.rsplit('/').next().unwrap() {
                "Unary" => grpc.unary(Unary(seen), request).await,
                "Sum" => grpc.client_streaming(Sum, request).await,
                "Count" => grpc.server_streaming(Count, request).await,
                _ => grpc.streaming(Chat(seen), request).await,
            })
        })
    }
}

/// Answers what it got; `fail` fails, `wait` takes for ever.
struct Unary(Arc<Seen>);

impl tonic::server::UnaryService<Vec<u8>> for Unary {
    type Response = Vec<u8>;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Vec<u8>>, Status>> + Send>>;

    fn call(&mut self, request: Request<Vec<u8>>) -> Self::Future {
        let seen = Arc::clone(&self.0);
        Box::pin(async move {
            let (metadata, _, message) = request.into_parts();
            match message.as_slice() {
                b"fail" => Err(Status::new(Code::NotFound, "there is no such thing: 100 %")),
                b"wait" => {
                    let _unfinished = Unfinished(seen);
                    std::future::pending().await
                }
                _ => {
                    let mut response = Response::new(message);
                    if let Some(value) = metadata.get("x-some") {
                        response.metadata_mut().insert("x-some", value.clone());
                    }
                    Ok(response)
                }
            }
        })
    }
}

/// The sum of all bytes.
struct Sum;

impl tonic::server::ClientStreamingService<Vec<u8>> for Sum {
    type Response = Vec<u8>;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Vec<u8>>, Status>> + Send>>;

    fn call(&mut self, request: Request<Streaming<Vec<u8>>>) -> Self::Future {
        Box::pin(async move {
            let mut messages = request.into_inner();
            let mut sum = 0_u64;
            while let Some(message) = messages.message().await? {
                sum += message.iter().map(|byte| u64::from(*byte)).sum::<u64>();
            }
            Ok(Response::new(sum.to_be_bytes().to_vec()))
        })
    }
}

/// As many messages as asked for, then an error if it was more than 1000.
struct Count;

impl tonic::server::ServerStreamingService<Vec<u8>> for Count {
    type Response = Vec<u8>;
    type ResponseStream = Messages;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Messages>, Status>> + Send>>;

    fn call(&mut self, request: Request<Vec<u8>>) -> Self::Future {
        Box::pin(async move {
            let number = u32::from_be_bytes(request.get_ref().as_slice().try_into().unwrap());
            let messages = stream::iter((0..number.min(1000)).map(|index| Ok(index.to_be_bytes().to_vec())));
            let end = stream::iter((number > 1000).then(|| Err(Status::out_of_range("too many"))));
            Ok(Response::new(Box::pin(messages.chain(end)) as Messages))
        })
    }
}

/// Answers each message as it comes.
struct Chat(Arc<Seen>);

impl tonic::server::StreamingService<Vec<u8>> for Chat {
    type Response = Vec<u8>;
    type ResponseStream = Messages;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Messages>, Status>> + Send>>;

    fn call(&mut self, request: Request<Streaming<Vec<u8>>>) -> Self::Future {
        let unfinished = Unfinished(Arc::clone(&self.0));
        Box::pin(async move {
            let messages = request.into_inner().map(move |message| {
                let _kept = &unfinished;
                message
            });
            Ok(Response::new(Box::pin(messages) as Messages))
        })
    }
}

struct Setup {
    bench: Bench,
    port: u16,
    seen: Arc<Seen>,
    target: SocketAddr,
    server: tokio::task::JoinHandle<()>,
}

async fn setup(limits: proxy::Limits) -> Setup {
    let seen = Arc::new(Seen::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = listener.local_addr().unwrap();
    let service = Service(Arc::clone(&seen));
    let server = tokio::spawn(async move {
        // Connections end with their server.
        let mut connections = tokio::task::JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let service = service.clone();
            let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
                let mut service = service.clone();
                async move { tower::Service::call(&mut service, request.map(Body::new)).await }
            });
            connections.spawn(async move {
                let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                builder.serve_connection(TokioIo::new(stream), service).await
            });
        }
    });
    let bench = Bench::with(|settings| settings.limits = limits);
    let port = free_port();
    bench.apply(vec![on_port(port, gateway("shop", vec![framed("a", 100, &[target])]))]).await;
    Setup { bench, port, seen, target, server }
}

impl Setup {
    async fn client(&self) -> Grpc<Channel> {
        let uri = format!("http://{}", loopback(self.port));
        let channel = Channel::from_shared(uri).unwrap().connect().await.unwrap();
        let mut client = Grpc::new(channel);
        client.ready().await.unwrap();
        client
    }

    /// Requests of that status class.
    fn class(&self, class: usize) -> u64 {
        let all = self.bench.telemetry.totals();
        let shop = all.iter().find(|series| series.name == "shop").unwrap();
        shop.totals.by_class()[class]
    }
}

async fn unary(client: &mut Grpc<Channel>, request: Request<Vec<u8>>) -> Result<Response<Vec<u8>>, Status> {
    client.ready().await.unwrap();
    client.unary(request, path("Unary"), Bytes).await
}

fn path(name: &str) -> PathAndQuery {
    format!("/test.Service/{name}").parse().unwrap()
}

#[tokio::test]
async fn all_kinds_of_calls() {
    let setup = setup(proxy::Limits::default()).await;
    let mut client = setup.client().await;
    let mut request = Request::new(b"hello".to_vec());
    request.metadata_mut().insert("x-some", "thing".parse().unwrap());
    let response = unary(&mut client, request).await.unwrap();
    assert_eq!(response.metadata().get("x-some").unwrap(), "thing");
    assert_eq!(response.into_inner(), b"hello");

    let large = vec![7; 3_000_000];
    let response = unary(&mut client, Request::new(large.clone())).await.unwrap();
    assert!(response.into_inner() == large);

    client.ready().await.unwrap();
    let messages = stream::iter((0..1000_u32).map(|_| vec![1; 100]));
    let response = client.client_streaming(Request::new(messages), path("Sum"), Bytes).await.unwrap();
    assert_eq!(response.into_inner(), 100_000_u64.to_be_bytes());

    client.ready().await.unwrap();
    let asked = Request::new(500_u32.to_be_bytes().to_vec());
    let answers = client.server_streaming(asked, path("Count"), Bytes).await.unwrap().into_inner();
    let answers: Vec<_> = answers.collect().await;
    assert_eq!(answers.len(), 500);
    assert_eq!(answers[499].as_ref().unwrap(), &499_u32.to_be_bytes());

    // Both ways, one after the other: nothing waits for something to fill up.
    client.ready().await.unwrap();
    let (send, receive) = tokio::sync::mpsc::channel(1);
    let messages = stream::unfold(receive, |mut receive| async { Some((receive.recv().await?, receive)) });
    let mut answers =
        client.streaming(Request::new(messages), path("Chat"), Bytes).await.unwrap().into_inner();
    for index in 0..100_u32 {
        send.send(index.to_be_bytes().to_vec()).await.unwrap();
        let answer = soon("an answer", answers.message()).await.unwrap().unwrap();
        assert_eq!(answer, index.to_be_bytes());
    }
    drop(send);
    assert!(soon("the end", answers.message()).await.unwrap().is_none());
    assert_eq!(setup.seen.begun.load(SeqCst), 5);
}

#[tokio::test]
async fn errors_of_the_service() {
    let setup = setup(proxy::Limits::default()).await;
    let mut client = setup.client().await;
    // Without a message: trailers only.
    let error = unary(&mut client, Request::new(b"fail".to_vec())).await.unwrap_err();
    assert_eq!((error.code(), error.message()), (Code::NotFound, "there is no such thing: 100 %"));
    // After messages: in the trailers.
    client.ready().await.unwrap();
    let asked = Request::new(2000_u32.to_be_bytes().to_vec());
    let answers = client.server_streaming(asked, path("Count"), Bytes).await.unwrap().into_inner();
    let answers: Vec<_> = answers.collect().await;
    assert_eq!(answers.len(), 1001);
    assert_eq!(answers[1000].as_ref().unwrap_err().code(), Code::OutOfRange);
    // Figures know them as what they would be over HTTP.
    soon("figures", async {
        while setup.class(4) < 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

/// A call of a client that keeps no time itself, as those of tonic do.
fn call(name: &str) -> http::Request<()> {
    let mut call = request(Method::POST, "shop", &format!("/test.Service/{name}"));
    for (name, value) in [("content-type", "application/grpc"), ("te", "trailers")] {
        call.headers_mut().insert(name, value.parse().unwrap());
    }
    call
}

#[tokio::test]
async fn time_outs() {
    // A target that says nothing, and notes when it is told to give up; one that begins to say something.
    let given_up = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&given_up);
    let server = H2Server::start(move |request, mut respond| {
        let counted = Arc::clone(&counted);
        Box::pin(async move {
            let mut send = None;
            if request.uri().path().ends_with("Begin") {
                let response = http::Response::builder().header("content-type", "application/grpc");
                send = Some(respond.send_response(response.body(()).unwrap(), false)?);
            }
            let reason = std::future::poll_fn(|context| match &mut send {
                Some(send) => send.poll_reset(context),
                None => respond.poll_reset(context),
            });
            assert_eq!(reason.await?, h2::Reason::CANCEL);
            counted.fetch_add(1, SeqCst);
            Ok(())
        })
    })
    .await;
    let bench = Bench::new();
    bench.apply(vec![gateway("shop", vec![framed("a", 100, &[server.address])])]).await;
    let mut client = Client::connect(bench.proxy.virtual_host_address().unwrap()).await;
    for name in ["Silent", "Begin"] {
        let mut call = call(name);
        call.headers_mut().insert("grpc-timeout", "300m".parse().unwrap());
        let begun = Instant::now();
        let answer = client.ask(call, b"\0\0\0\0\x04wait").await;
        let took = begun.elapsed();
        assert!(took >= Duration::from_millis(290) && took < Duration::from_secs(15), "{took:?}");
        assert_eq!(answer.status(), 200);
        let status = answer.trailers.as_ref().unwrap_or(&answer.head.headers).get("grpc-status");
        assert_eq!(status.unwrap(), "4", "{name}: {answer:?}");
    }
    soon("the target to be told", async {
        while given_up.load(SeqCst) < 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn cancelled_calls_end_at_the_target_at_once() {
    let setup = setup(proxy::Limits::default()).await;
    let mut client = setup.client().await;
    let under_way = tokio::spawn({
        let mut client = client.clone();
        async move { unary(&mut client, Request::new(b"wait".to_vec())).await.map(drop) }
    });
    soon("the call", async {
        while setup.seen.begun.load(SeqCst) < 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    under_way.abort();
    let dropped = |number| {
        let seen = Arc::clone(&setup.seen);
        async move {
            while seen.dropped.load(SeqCst) < number {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    };
    soon("the end of the call", dropped(1)).await;
    // In the middle of a conversation.
    let mut raw = Client::connect(loopback(setup.port)).await;
    let (response, mut send) = raw.open(call("Chat"), false).await;
    send.send_data((&b"\0\0\0\0\x05first"[..]).into(), false).unwrap();
    let mut answers = soon("an answer", response).await.unwrap().into_body();
    assert_eq!(soon("a message", answers.data()).await.unwrap().unwrap(), &b"\0\0\0\0\x05first"[..]);
    send.send_reset(h2::Reason::CANCEL);
    soon("the end of the conversation", dropped(2)).await;
    // The connections of both sides go on.
    client.ready().await.unwrap();
    assert!(unary(&mut client, Request::new(b"x".to_vec())).await.is_ok());
}

#[tokio::test]
async fn targets_that_are_not_there() {
    let setup = setup(proxy::Limits { inactivity_timeout: SHORT, ..proxy::Limits::default() }).await;
    let mut client = setup.client().await;
    assert!(unary(&mut client, Request::new(b"x".to_vec())).await.is_ok());
    // Under way when the target dies.
    let under_way = tokio::spawn({
        let mut client = client.clone();
        async move { unary(&mut client, Request::new(b"wait".to_vec())).await.map(drop) }
    });
    soon("the call", async {
        while setup.seen.begun.load(SeqCst) < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    // A target that says nothing for the time of inactivity.
    let error = soon("the end", under_way).await.unwrap().unwrap_err();
    assert_eq!(error.code(), Code::DeadlineExceeded, "{error:?}");
    setup.server.abort();
    let nobody = testkit::target::refused().await.unwrap();
    assert_ne!(nobody, setup.target);
    let port = setup.port;
    setup.bench.apply(vec![on_port(port, gateway("shop", vec![framed("a", 100, &[nobody])]))]).await;
    client.ready().await.unwrap();
    let error = unary(&mut client, Request::new(b"x".to_vec())).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable, "{error:?}");
    assert_eq!(error.metadata().get("vamp-proxy-error").unwrap(), "connect");
}
