//! Connections with TLS and without, from here and from elsewhere.

use axum::extract::Request;
use testkit::tls::Authority;
use testkit::wire::Wire as Client;
use tokio::io::AsyncReadExt as _;

use super::*;

/// Tells what a request looked like.
async fn tell(request: Request) -> String {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let encrypted = request.extensions().get::<Encrypted>().is_some();
    format!("{:?} {host} {encrypted}", request.version())
}

/// A listener with TLS whose clients come from `peer`.
async fn listen(authority: &Authority, peer: &str) -> (SocketAddr, CancellationToken) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let peer = SocketAddr::new(peer.parse().unwrap(), 4711);
    let mut config = ServerConfig::clone(authority.issue(&["localhost"]).server().config());
    config.alpn_protocols = PROTOCOLS.iter().map(|name| name.to_vec()).collect();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let closing = CancellationToken::new();
    let stop = closing.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let router = Router::new().fallback(tell);
            let caller = Caller { peer, router, closing: stop.clone() };
            tokio::spawn(caller.converse(stream, Some(acceptor.clone())));
        }
    });
    (address, closing)
}

const GET: &str = "GET /x HTTP/1.1\r\nHost: vamp.example\r\n\r\n";

#[tokio::test]
async fn both_versions_of_http_behind_tls() {
    let authority = Authority::new();
    let (address, _closing) = listen(&authority, "192.0.2.7").await;
    let mut client = authority.connect(address, "localhost").await.unwrap();
    for _ in 0..2 {
        assert_eq!(client.ask(GET).await.unwrap().text(), "HTTP/1.1 vamp.example true");
    }
    let connector = authority.client(tokio_rustls::rustls::ALL_VERSIONS, &["h2"]);
    let name = tokio_rustls::rustls::pki_types::ServerName::try_from("localhost").unwrap();
    let stream = connector.connect(name, TcpStream::connect(address).await.unwrap()).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::get("https://vamp.example/x").body(()).unwrap();
    let (answer, _) = client.send_request(request, true).unwrap();
    let mut body = answer.await.unwrap().into_body();
    let text = body.data().await.unwrap().unwrap();
    // The host is where guards look for it.
    assert_eq!(text, "HTTP/2.0 vamp.example true");
    // Another name is not what the certificate is for.
    assert!(authority.connect(address, "vamp.example").await.is_err());
}

#[tokio::test]
async fn without_tls_only_from_this_machine() {
    let authority = Authority::new();
    for (peer, status, part) in [
        ("127.0.0.1", 200, "HTTP/1.1 vamp.example false"),
        ("::1", 200, "false"),
        ("::ffff:127.0.0.1", 200, "false"),
        ("192.0.2.7", 400, "https://"),
        ("::ffff:192.0.2.7", 400, "https://"),
        ("2001:db8::1", 400, "https://"),
    ] {
        let (address, _closing) = listen(&authority, peer).await;
        let mut client = Client::new(TcpStream::connect(address).await.unwrap());
        let answer = client.ask(GET).await.unwrap();
        assert_eq!(answer.status(), status, "{peer}");
        assert!(answer.text().contains(part), "{peer}: {}", answer.text());
        if status == 400 {
            assert_eq!(answer.field("connection").as_deref(), Some("close"));
            assert!(client.ask(GET).await.is_err(), "{peer}");
        }
    }
}

/// Neither who says nothing nor who begins a handshake and stops holds up the end.
#[tokio::test]
async fn the_end_does_not_wait_for_handshakes() {
    let authority = Authority::new();
    let (address, closing) = listen(&authority, "192.0.2.7").await;
    let mut silent = TcpStream::connect(address).await.unwrap();
    let mut begun = TcpStream::connect(address).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut begun, &[TLS_HANDSHAKE, 3, 1, 2, 0]).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    closing.cancel();
    for stream in [&mut silent, &mut begun] {
        let ended = tokio::time::timeout(Duration::from_secs(5), stream.read(&mut [0; 64])).await;
        assert!(matches!(ended, Ok(Ok(0) | Err(_))), "{ended:?}");
    }
}
