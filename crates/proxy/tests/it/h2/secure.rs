//! HTTP/2 over TLS, to clients and to targets.

use model::gateway::TargetTls;
use testkit::target::{Target, connect};
use testkit::tls::before;
use tokio::net::TcpStream;
use tokio_rustls::rustls;
use tokio_rustls::rustls::pki_types::ServerName;

use super::peers::{Client, Server, framed, get, request};
use crate::support::{free_port, gateway, loopback, on_port, route};
use crate::tls::{self, Files};

/// A client that offers both versions and gets HTTP/2.
async fn dial(files: &Files, address: std::net::SocketAddr, name: &str) -> Client {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let client = files.authority.client(rustls::ALL_VERSIONS, &["h2", "http/1.1"]);
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let stream = client.connect(name, stream).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    Client::on(stream, &h2::client::Builder::new()).await
}

#[tokio::test]
async fn from_clients() {
    let (bench, files) = (tls::bench(), Files::new());
    let (plain, server) = (Target::named("plain ").await.unwrap(), Server::echo().await);
    let source = files.issue("all", &["shop.test", "core.test"]);
    let secure = |gateway| tls::with_tls(vec![source.clone()], gateway);
    bench
        .apply(vec![
            secure(gateway("shop", vec![route("a", 100, &[plain.address()])])),
            secure(gateway("core", vec![framed("b", 100, &[server.address])])),
        ])
        .await;
    let shared = bench.proxy.virtual_host_tls_address().unwrap();
    let mut client = dial(&files, shared, "shop.test").await;
    for size in [0, 1, 20_000, 3_000_000] {
        let body = vec![b'x'; size];
        let answer = client.ask(request(http::Method::POST, "shop", "/"), &body).await;
        assert_eq!((answer.status(), answer.body.len()), (200, 6 + size));
    }
    assert_eq!(plain.last().unwrap().field("x-forwarded-proto").as_deref(), Some("https"));
    // The certificate would do for both, the connection was asked for with one name.
    let answer = client.ask(get("core", "/"), b"").await;
    assert_eq!((answer.status(), answer.field("vamp-proxy-error")), (421, Some("misdirected")));
    let mut client = dial(&files, shared, "core.test").await;
    assert!(client.ask(get("core", "/x"), b"").await.text().starts_with("GET http://core.test/x\n"));
    // Many streams at once, all of whose answers share one connection.
    let mut all = Vec::new();
    for index in 0..40_usize {
        let requests = client.requests.clone();
        let mut client = Client { requests, connection: tokio::spawn(async { Ok(()) }) };
        all.push(tokio::spawn(async move {
            let answer =
                client.ask(request(http::Method::POST, "core", "/"), &vec![b'z'; index * 5000]).await;
            assert!(answer.status() == 200 && answer.body.len() > index * 5000);
        }));
    }
    for one in all {
        one.await.unwrap();
    }
    // Who asks for HTTP/1.1 gets that.
    let mut wire = files.authority.connect(shared, "shop.test").await.unwrap();
    let answer = wire.ask("GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n").await.unwrap();
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn a_redirect_is_for_every_version() {
    let (bench, files) = (tls::bench(), Files::new());
    let target = Target::named("x").await.unwrap();
    let source = files.issue("shop", &["shop.test"]);
    let mut config = tls::with_tls(vec![source], gateway("shop", vec![route("a", 100, &[target.address()])]));
    config.tls.as_mut().unwrap().redirect = true;
    bench.apply(vec![config]).await;
    let mut client = Client::connect(bench.proxy.virtual_host_address().unwrap()).await;
    let answer = client.ask(get("shop", "/a?b=c"), b"").await;
    assert_eq!((answer.status(), answer.field("location")), (308, Some("https://shop.test/a?b=c")));
    assert_eq!(target.count(), 0);
}

/// To a gateway that speaks HTTP/2 over TLS, as to any other target; and to one that does not.
#[tokio::test]
async fn to_targets() {
    let (bench, files) = (tls::bench(), Files::new());
    let server = Server::echo().await;
    let ca = files.directory.path().join("ca.crt");
    std::fs::write(&ca, files.authority.pem()).unwrap();
    let trusting = TargetTls { ca_file: Some(ca.display().to_string()), ..TargetTls::default() };
    let old = before(server.address, files.authority.issue(&["inner.test"]).server()).await.unwrap();
    let port = free_port();
    let inner = on_port(port, gateway("inner", vec![framed("a", 100, &[server.address])]));
    let inner = tls::with_tls(vec![files.issue("inner", &["inner.test"])], inner);
    let outer = |name: &str, address| {
        tls::to_tls(trusting.clone(), "inner.test", gateway(name, vec![framed("a", 100, &[address])]))
    };
    let config = vec![inner, outer("outer", loopback(port)), outer("old", old)];
    bench.apply(config).await;
    let address = bench.proxy.virtual_host_address().unwrap();
    let mut client = Client::connect(address).await;
    for _ in 0..3 {
        let answer = client.ask(request(http::Method::POST, "outer", "/"), &vec![b'z'; 300_000]).await;
        assert_eq!((answer.status(), answer.field("x-version")), (200, Some("h2")));
        assert!(answer.body.ends_with(&[b'z'; 1000]) && answer.body.len() > 300_000);
    }
    let answer = client.ask(get("old", "/"), b"").await;
    assert_eq!((answer.status(), answer.field("vamp-proxy-error")), (502, Some("tls")));
    // The same over HTTP/1.1 from the client.
    let mut wire = connect(address).await.unwrap();
    let answer = wire.ask("GET / HTTP/1.1\r\nHost: outer.test\r\n\r\n").await.unwrap();
    assert_eq!(answer.status(), 200);
    let answer = wire.ask("GET / HTTP/1.1\r\nHost: old.test\r\n\r\n").await.unwrap();
    assert_eq!(answer.status(), 502);
}
