//! Requests of HTTP/2 clients, and to HTTP/2 targets: what arrives and what comes back.

use http::{HeaderValue, Method};
use proxy::AccessLog;
use testkit::eventually;
use testkit::target::Target;

use super::peers::{Client, Server, framed, get, request};
use crate::support::{Bench, gateway, route};

/// A gateway `shop` with one target for HTTP/1.1, and one `core` with a target for HTTP/2.
async fn both() -> (Bench, Target, Server) {
    let (plain, server) = (Target::named("plain ").await.unwrap(), Server::echo().await);
    let bench = Bench::new();
    bench
        .apply(vec![
            gateway("shop", vec![route("a", 100, &[plain.address()])]),
            gateway("core", vec![framed("b", 100, &[server.address])]),
        ])
        .await;
    (bench, plain, server)
}

async fn connect(bench: &Bench) -> Client {
    Client::connect(bench.proxy.virtual_host_address().unwrap()).await
}

#[tokio::test]
async fn to_a_target_over_http1() {
    let (bench, plain, _server) = both().await;
    let mut client = connect(&bench).await;
    let mut asked = get("shop", "/some/path?and=query");
    asked.headers_mut().insert("x-some", HeaderValue::from_static("thing"));
    asked.headers_mut().append("cookie", HeaderValue::from_static("a=1"));
    asked.headers_mut().append("cookie", HeaderValue::from_static("b=2"));
    let answer = client.ask(asked, b"").await;
    assert_eq!((answer.status(), answer.text()), (200, "plain "));
    assert_eq!(answer.field("content-length"), Some("6"));
    let seen = plain.last().unwrap();
    assert_eq!(seen.start, "GET /some/path?and=query HTTP/1.1");
    for (name, value) in [
        ("host", Some("shop.test")),
        ("x-some", Some("thing")),
        ("cookie", Some("a=1; b=2")),
        ("x-forwarded-for", Some("127.0.0.1")),
        ("x-forwarded-proto", Some("http")),
        ("transfer-encoding", None),
        ("content-length", None),
        ("te", None),
    ] {
        assert_eq!(seen.field(name).as_deref(), value, "{name}");
    }

    // Many at once on one connection, with bodies of every framing.
    let mut all = Vec::new();
    for index in 0..50_usize {
        let mut client =
            Client { requests: client.requests.clone(), connection: tokio::spawn(async { Ok(()) }) };
        all.push(tokio::spawn(async move {
            let body = vec![b'x'; index * 1000];
            let mut asked = request(Method::POST, "shop", "/");
            if index % 2 == 0 {
                asked.headers_mut().insert("content-length", HeaderValue::from(body.len()));
            }
            let answer = client.ask(asked, &body).await;
            assert_eq!((answer.status(), answer.body.len()), (200, 6 + body.len()));
        }));
    }
    for one in all {
        one.await.unwrap();
    }
    assert_eq!(plain.count(), 51);
}

#[tokio::test]
async fn from_http1_to_a_target_over_http2() {
    let (bench, _plain, server) = both().await;
    let mut client = bench.connect().await;
    let answer = client.ask("GET /x?y HTTP/1.1\r\nHost: core.test\r\nX-Some: thing\r\nConnection: x-gone\r\nX-Gone: 1\r\n\r\n").await.unwrap();
    assert_eq!((answer.status(), answer.field("x-version").as_deref()), (200, Some("h2")));
    let text = answer.text();
    assert!(text.starts_with("GET http://core.test/x?y\n"), "{text}");
    assert!(text.contains("x-some: thing\n") && text.contains("x-forwarded-for: 127.0.0.1\n"), "{text}");
    assert!(!text.contains("x-gone") && !text.contains("connection") && !text.contains("host:"), "{text}");
    // The connection goes on, with bodies by length and in chunks.
    let by_length = "POST / HTTP/1.1\r\nHost: core.test\r\nContent-Length: 5\r\n\r\nhello";
    assert!(client.ask(by_length).await.unwrap().text().ends_with("\nhello"));
    let chunked = "POST / HTTP/1.1\r\nHost: core.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    assert!(client.ask(chunked).await.unwrap().text().ends_with("\nabcde"));
    client.send(b"HEAD / HTTP/1.1\r\nHost: core.test\r\n\r\n").await.unwrap();
    assert_eq!(client.read_head_only().await.unwrap().unwrap().status(), 200);
    let old = client.ask("GET / HTTP/1.0\r\nHost: core.test\r\n\r\n").await.unwrap();
    assert_eq!((old.status(), old.field("connection").as_deref()), (200, Some("close")));
    assert_eq!(server.count(), 5);
    assert_eq!(server.connections.load(std::sync::atomic::Ordering::SeqCst), 1);
}

#[tokio::test]
async fn over_http2_from_end_to_end() {
    let (bench, _plain, server) = both().await;
    let mut client = connect(&bench).await;
    let answer = client.ask(get("core", "/x"), b"").await;
    assert_eq!((answer.status(), answer.field("x-version")), (200, Some("h2")));
    assert!(answer.text().starts_with("GET http://core.test/x\n"), "{}", answer.text());
    let answer = client.ask(request(Method::POST, "core", "/"), &vec![b'z'; 300_000]).await;
    assert!(answer.body.ends_with(&[b'z'; 1000]) && answer.body.len() > 300_000);
    let answer = client.ask(request(Method::HEAD, "core", "/"), b"").await;
    assert_eq!((answer.status(), answer.body.len()), (200, 0));
    let star = http::Request::builder().method("OPTIONS").uri("http://core.test").body(()).unwrap();
    assert_eq!(client.ask(star, b"").await.status(), 200);
    assert_eq!(server.count(), 4);
}

/// What is refused before the proxy looks at the fields is logged like everything else, and not with parts of an earlier request.
#[tokio::test]
async fn refused_requests_are_logged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let bench = Bench::with(|settings| {
        settings.workers = 1;
        settings.access_log = Some(AccessLog::File(path.clone()));
    });
    let target = Target::named("fine").await.unwrap();
    bench.apply(vec![gateway("shop", vec![route("a", 100, &[target.address()])])]).await;
    let mut client = connect(&bench).await;
    let long = format!("/{}", "x".repeat(9000));
    let mut ftp = get("shop", "/file");
    *ftp.uri_mut() = "ftp://shop.test/file".parse().unwrap();
    assert_eq!(client.ask(get("shop", "/first/with/a/long/path"), b"").await.status(), 200);
    for (asked, status) in [(ftp, 400), (get("shop", &long), 414)] {
        assert_eq!(client.ask(asked, b"").await.status(), status);
    }
    assert_eq!(client.ask(get("shop", "/last"), b"").await.status(), 200);
    let lines = || std::fs::read_to_string(&path).unwrap_or_default();
    assert!(eventually(|| lines().lines().count() == 4).await, "{}", lines());
    let logged: Vec<(u64, String)> = lines()
        .lines()
        .map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            (line["status"].as_u64().unwrap(), line["path"].as_str().unwrap_or_default().to_owned())
        })
        .collect();
    let expected = [(200, "/first/with/a/long/path"), (400, "/file"), (414, &long[..8192]), (200, "/last")];
    assert_eq!(logged, expected.map(|(status, path)| (status, path.to_owned())));
}

#[tokio::test]
async fn what_the_proxy_answers_itself() {
    let (bench, plain, _server) = both().await;
    let mut client = connect(&bench).await;
    let answer = client.ask(get("nobody", "/"), b"").await;
    assert_eq!((answer.status(), answer.field("vamp-proxy-error")), (404, Some("no_gateway")));
    let long = "x".repeat(9000);
    for (asked, status) in [
        (request(Method::CONNECT, "shop", ""), 405),
        (get("shop", &format!("/{long}")), 414),
        (get("shop", "/"), 400),
        (get("shop", "/"), 417),
        (get("shop", "/"), 508),
        (get("shop", "/"), 200),
    ] {
        let mut asked = asked;
        match status {
            405 => *asked.uri_mut() = "shop.test:80".parse().unwrap(),
            400 => drop(asked.headers_mut().insert("host", HeaderValue::from_static("other.test"))),
            417 => drop(asked.headers_mut().insert("expect", HeaderValue::from_static("the-best"))),
            508 => drop(asked.headers_mut().insert("vamp-hops", HeaderValue::from_static("99"))),
            _ => {}
        }
        assert_eq!(client.ask(asked, b"").await.status(), status);
    }
    assert_eq!(plain.count(), 1);
    bench.apply(vec![gateway("shop", vec![route("a", 100, &[])])]).await;
    let answer = client.ask(get("shop", "/"), b"").await;
    assert_eq!((answer.status(), answer.field("vamp-proxy-error")), (503, Some("no_target")));
    // A call gets it as its status, without a body.
    let mut call = request(Method::POST, "shop", "/a.B/C");
    call.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc+proto"));
    let answer = client.ask(call, b"12345").await;
    assert_eq!((answer.status(), answer.field("grpc-status"), answer.body.len()), (200, Some("14"), 0));
    assert_eq!(answer.field("vamp-proxy-error"), Some("no_target"));
    assert!(answer.field("grpc-message").is_some() && answer.field("content-length").is_none());
}

/// Clients that people have at hand.
#[tokio::test]
async fn curl() {
    let (bench, plain, _server) = both().await;
    let address = bench.proxy.virtual_host_address().unwrap();
    for (host, flag, body) in [
        ("shop.test", "--http2-prior-knowledge", "plain data"),
        ("core.test", "--http2-prior-knowledge", "\ndata"),
        ("core.test", "--http1.1", "\ndata"),
    ] {
        let output = tokio::process::Command::new("curl")
            .args(["-s", "-m", "20", flag, "-d", "data", "-w", " %{http_code}", "-H"])
            .arg(format!("Host: {host}"))
            .arg(format!("http://{address}/"))
            .output()
            .await;
        match output {
            Ok(output) => {
                let text = String::from_utf8_lossy(&output.stdout);
                assert!(text.ends_with(&format!("{body} 200")), "{host} {flag}: {text}");
            }
            // Not on every machine.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return,
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(plain.count(), 1);
}
