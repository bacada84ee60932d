//! WebSocket over HTTP/2 (RFC 8441): between versions, and from end to end.

use bytes::Bytes;
use h2::ext::Protocol;
use http::{HeaderValue, Method, Request, Response};
use testkit::target::Target;

use super::peers::{Client, Server, framed, request, soon};
use crate::support::{Bench, gateway, route};

/// The example of RFC 6455.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

fn connect() -> Request<()> {
    let mut asked = request(Method::CONNECT, "shop", "/chat");
    asked.extensions_mut().insert(Protocol::from_static("websocket"));
    asked.headers_mut().insert("sec-websocket-version", HeaderValue::from_static("13"));
    asked
}

/// Says back what it hears, with an answer to the key of the client computed by other code than the proxy's.
async fn plain(accept: Option<&'static str>) -> Target {
    Target::start(move |mut wire, _, seen| {
        Box::pin(async move {
            let Some(asked) = wire.read_request().await? else { return Ok(()) };
            let key = asked.field("sec-websocket-key").unwrap_or_default();
            seen.record(asked);
            let accept = accept.map_or_else(|| accept_of(&key), str::to_owned);
            let head = format!(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {accept}\r\nX-Some: thing\r\n\r\nhello"
            );
            wire.send(head.as_bytes()).await?;
            while wire.has_more().await? {
                let byte = wire.read_exact(1).await?;
                wire.send(&byte).await?;
            }
            Ok(())
        })
    })
    .await
    .unwrap()
}

fn accept_of(key: &str) -> String {
    use sha1::Digest;
    let digest = sha1::Sha1::digest(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11"));
    let bits: String = digest.iter().map(|byte| format!("{byte:08b}")).collect();
    let letters: Vec<char> = ('A'..='Z').chain('a'..='z').chain('0'..='9').chain(['+', '/']).collect();
    let six = |bits: &str| letters[usize::from_str_radix(&format!("{bits:0<6}"), 2).unwrap()];
    let mut text: String =
        (0..bits.len()).step_by(6).map(|at| six(&bits[at..bits.len().min(at + 6)])).collect();
    while !text.len().is_multiple_of(4) {
        text.push('=');
    }
    text
}

/// HTTP/2 has no other upgrade, and an upgrade may be ignored: such a request is an ordinary one there.
#[tokio::test]
async fn other_upgrades_are_left_out_on_the_way_to_http2() {
    let server = Server::echo().await;
    let bench = Bench::new();
    bench.apply(vec![gateway("shop", vec![framed("a", 100, &[server.address])])]).await;
    let key = format!("Sec-WebSocket-Key: {KEY}\r\n");
    for (method, protocol, key) in [
        ("GET", "foo", ""),
        ("GET", "foo", key.as_str()),
        ("GET", "TLS/1.0", ""),
        ("GET", "foo, websocket", key.as_str()),
        ("GET", "websocket", ""),
        ("DELETE", "websocket", key.as_str()),
    ] {
        let asked = format!(
            "{method} /chat HTTP/1.1\r\nHost: shop.test\r\nConnection: upgrade\r\nUpgrade: {protocol}\r\n{key}\r\n"
        );
        let answer = bench.connect().await.ask(&asked).await.unwrap();
        let text = answer.text();
        assert_eq!(answer.status(), 200, "{method} {protocol} {key}: {text}");
        assert!(text.starts_with(&format!("{method} http://shop.test/chat\n")), "{text}");
        assert!(!text.contains("upgrade"), "{text}");
    }
}

/// A target over HTTP/2 that says back what it hears.
async fn server() -> Server {
    let mut builder = h2::server::Builder::new();
    builder.enable_connect_protocol();
    Server::with(builder, |request, mut respond| {
        Box::pin(async move {
            let protocol = request.extensions().get::<Protocol>().cloned();
            assert_eq!(
                (request.method(), protocol.as_ref().map(Protocol::as_str)),
                (&Method::CONNECT, Some("websocket"))
            );
            assert!(request.headers().get("sec-websocket-key").is_none());
            assert_eq!(request.headers()["sec-websocket-version"], "13");
            let mut body = request.into_body();
            let mut send = respond.send_response(Response::new(()), false)?;
            send.send_data("hello".into(), false)?;
            while let Some(data) = body.data().await {
                let data = data?;
                body.flow_control().release_capacity(data.len())?;
                send.send_data(data, false)?;
            }
            send.send_data(Bytes::new(), true)
        })
    })
    .await
}

async fn read(body: &mut h2::RecvStream, wanted: usize) -> Vec<u8> {
    let mut all = Vec::new();
    while all.len() < wanted {
        let data = soon("bytes", body.data()).await.unwrap().unwrap();
        body.flow_control().release_capacity(data.len()).unwrap();
        all.extend_from_slice(&data);
    }
    all
}

#[tokio::test]
async fn from_http2() {
    let (plain, server) = (plain(None).await, server().await);
    let bench = Bench::new();
    for route in [route("a", 100, &[plain.address()]), framed("b", 100, &[server.address])] {
        bench.apply(vec![gateway("shop", vec![route])]).await;
        let mut client = Client::connect(bench.proxy.virtual_host_address().unwrap()).await;
        soon("the settings", async {
            while !client.requests.is_extended_connect_protocol_enabled() {
                tokio::task::yield_now().await;
            }
        })
        .await;
        let (response, mut send) = client.open(connect(), false).await;
        let response = soon("the answer", response).await.unwrap();
        assert_eq!(response.status(), 200);
        assert!(response.headers().get("sec-websocket-accept").is_none());
        let mut body = response.into_body();
        assert_eq!(read(&mut body, 5).await, b"hello");
        for _ in 0..3 {
            send.send_data("there".into(), false).unwrap();
            assert_eq!(read(&mut body, 5).await, b"there");
        }
        send.send_data(Bytes::new(), true).unwrap();
        assert!(soon("the end", super::peers::read_body(&mut body)).await.unwrap().is_empty());
    }
    let seen = plain.last().unwrap();
    assert_eq!(seen.start, "GET /chat HTTP/1.1");
    for (name, value) in [
        ("upgrade", "websocket"),
        ("connection", "upgrade"),
        ("sec-websocket-version", "13"),
        ("host", "shop.test"),
    ] {
        assert_eq!(seen.field(name).as_deref(), Some(value), "{name}");
    }
}

#[tokio::test]
async fn from_http1_to_http2() {
    let server = server().await;
    let bench = Bench::new();
    bench.apply(vec![gateway("shop", vec![framed("b", 100, &[server.address])])]).await;
    let mut wire = bench.connect().await;
    let asked = format!(
        "GET /chat HTTP/1.1\r\nHost: shop.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
    );
    wire.send(asked.as_bytes()).await.unwrap();
    let head = wire.read_head_only().await.unwrap().unwrap();
    assert_eq!((head.status(), head.field("sec-websocket-accept").as_deref()), (101, Some(ACCEPT)));
    assert_eq!(wire.read_exact(5).await.unwrap(), b"hello");
    wire.send(b"there").await.unwrap();
    assert_eq!(wire.read_exact(5).await.unwrap(), b"there");
    wire.close_write().await.unwrap();
    assert_eq!(wire.read_to_end().await.unwrap(), b"");
}

#[tokio::test]
async fn what_is_no_websocket_is_refused() {
    // An answer to another key, as from a cache or a server that knows nothing of it.
    let (wrong, old) = (plain(Some(ACCEPT)).await, Server::echo().await);
    let bench = Bench::new();
    bench.apply(vec![gateway("shop", vec![route("a", 100, &[wrong.address()])])]).await;
    let mut client = Client::connect(bench.proxy.virtual_host_address().unwrap()).await;
    assert_eq!(client.ask(crate::h2::peers::get("shop", "/"), b"").await.status(), 502);
    let answer = client.ask(connect(), b"").await;
    assert_eq!((answer.status(), answer.field("vamp-proxy-error")), (502, Some("bad_response")));
    let mut other = connect();
    other.extensions_mut().insert(Protocol::from_static("connect-udp"));
    assert_eq!(client.ask(other, b"").await.status(), 501);
    // A target over HTTP/2 that takes no other protocols.
    bench.apply(vec![gateway("shop", vec![framed("b", 100, &[old.address])])]).await;
    assert_eq!(client.ask(connect(), b"").await.status(), 502);
    // An answer that is none of the protocol is passed on as it is.
    let declines = Target::scripted("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno").await.unwrap();
    bench.apply(vec![gateway("shop", vec![route("a", 100, &[declines.address()])])]).await;
    let answer = client.ask(connect(), b"").await;
    assert_eq!((answer.status(), answer.text()), (403, "no"));
}
