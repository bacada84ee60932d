//! TLS from clients: handshakes good and bad, names, bodies, upgrades, reload.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use model::gateway::{CertificateSource, ClusterSource, TargetTls, Tls, TlsVersion};
use model::name::GatewayName;
use model::port::Protocol;
use proxy::{CertificatePem, Handshakes, Pem};
use routing::config::GatewayConfig;
use testkit::eventually;
use testkit::target::{Target, connect};
use testkit::tls::{Authority, Pair, before, connect_with};
use testkit::wire::Wire;
use tokio_rustls::rustls;

use crate::support::{Bench, condition, free_port, gateway, get, loopback, on_port, route, short, tcp};

/// The file with the authority that targets are checked by.
const CA: &str = "ca.crt";

/// Certificates of a test.
pub(crate) struct Files {
    pub(crate) authority: Authority,
    pub(crate) directory: tempfile::TempDir,
}

impl Files {
    pub(crate) fn new() -> Self {
        Self { authority: Authority::new(), directory: tempfile::tempdir().unwrap() }
    }

    fn source(&self, name: &str) -> CertificateSource {
        let file =
            |ending: &str| self.directory.path().join(format!("{name}.{ending}")).display().to_string();
        CertificateSource::Files { certificate: file("crt"), key: file("key") }
    }

    /// Issues a certificate and writes it.
    pub(crate) fn issue(&self, name: &str, names: &[&str]) -> CertificateSource {
        self.authority.issue(names).write(self.directory.path(), name).unwrap();
        self.source(name)
    }

    /// Puts gateway `shop` with that target and a certificate for `shop.test` in force; where it is served with TLS.
    async fn serve(&self, bench: &Bench, target: &Target) -> SocketAddr {
        let source = self.issue("shop", &["shop.test"]);
        let config = gateway("shop", vec![route("a", 100, &[target.address()])]);
        assert_eq!(bench.apply(vec![with_tls(vec![source], config)]).await.problems, []);
        bench.proxy.virtual_host_tls_address().unwrap()
    }

    /// A client of gateway `shop`.
    async fn connect(&self, address: SocketAddr) -> Wire {
        self.authority.connect(address, "shop.test").await.unwrap()
    }

    /// How to reach targets: by the authority of this test, and without a check.
    fn target_tls(&self) -> (TargetTls, TargetTls) {
        let ca = self.directory.path().join(CA);
        std::fs::write(&ca, self.authority.pem()).unwrap();
        let trusting = TargetTls { ca_file: Some(ca.display().to_string()), ..TargetTls::default() };
        (trusting, TargetTls { insecure_skip_verification: true, ..TargetTls::default() })
    }
}

pub(crate) fn with_tls(certificates: Vec<CertificateSource>, gateway: GatewayConfig) -> GatewayConfig {
    let tls = Tls { certificates, minimum_version: TlsVersion::V12, redirect: false };
    GatewayConfig { tls: Some(tls), ..gateway }
}

pub(crate) fn bench() -> Bench {
    Bench::with(|settings| {
        settings.virtual_host_tls_listen = Some("127.0.0.1:0".parse().unwrap());
        settings.limits.certificate_interval = Duration::from_millis(50);
    })
}

fn failed(handshakes: &Handshakes, code: &str) -> u64 {
    handshakes.failed.iter().find(|(word, _)| *word == code).unwrap().1
}

/// The serial number in the certificate that the peer showed, and so which one it was.
fn shown(wire: &Wire) -> Vec<u8> {
    let session = wire.session().unwrap().get_ref().1;
    session.peer_certificates().unwrap()[0].to_vec()
}

#[tokio::test]
async fn virtual_hosts_and_ports_of_both_versions() {
    let (bench, files) = (bench(), Files::new());
    let target = Target::named("x").await.unwrap();
    let source = files.issue("shop", &["shop.test"]);
    let port = free_port();
    let config = on_port(port, gateway("shop", vec![route("a", 100, &[target.address()])]));
    let applied = bench.apply(vec![with_tls(vec![source], config)]).await;
    assert_eq!(applied.problems, []);
    let shared = bench.proxy.virtual_host_tls_address().unwrap();
    for (version, protocol) in [
        (&rustls::version::TLS12, rustls::ProtocolVersion::TLSv1_2),
        (&rustls::version::TLS13, rustls::ProtocolVersion::TLSv1_3),
    ] {
        for (address, at) in [(shared, shared.port()), (loopback(port), port)] {
            let connector = files.authority.client(&[version], &["http/1.1"]);
            let mut client = connect_with(&connector, address, "shop.test").await.unwrap();
            let session = client.session().unwrap().get_ref().1;
            assert_eq!(session.protocol_version(), Some(protocol));
            assert_eq!(session.alpn_protocol(), Some(&b"http/1.1"[..]));
            // Keep-alive, and pipelining.
            for _ in 0..3 {
                assert_eq!(client.ask(&get("shop", "/")).await.unwrap().text(), "x");
            }
            client.send(format!("{0}{0}", get("shop", "/")).as_bytes()).await.unwrap();
            for _ in 0..2 {
                assert_eq!(client.read_response().await.unwrap().text(), "x");
            }
            let seen = target.last().unwrap();
            assert_eq!(seen.field("x-forwarded-proto").as_deref(), Some("https"));
            assert_eq!(seen.field("x-forwarded-port"), Some(at.to_string()));
            // Both ways of a close.
            let request = "GET / HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n";
            assert_eq!(client.ask(request).await.unwrap().text(), "x");
            assert_eq!(client.read_to_end().await.unwrap(), b"", "close_notify");
            // A session is resumed, at whatever worker.
            for _ in 0..4 {
                let mut again = connect_with(&connector, address, "shop.test").await.unwrap();
                assert_eq!(again.ask(&get("shop", "/")).await.unwrap().text(), "x");
            }
            let mut again = connect_with(&connector, address, "shop.test").await.unwrap();
            assert_eq!(again.ask(&get("shop", "/")).await.unwrap().text(), "x");
            let kind = again.session().unwrap().get_ref().1.handshake_kind();
            assert_eq!(kind, Some(rustls::HandshakeKind::Resumed));
        }
    }
    // Without TLS the shared listener serves as before.
    assert_eq!(bench.connect().await.ask(&get("shop", "/")).await.unwrap().text(), "x");
    assert_eq!(target.last().unwrap().field("x-forwarded-proto").as_deref(), Some("http"));
    assert_eq!(bench.proxy.handshakes().done, 24);
}

#[tokio::test]
async fn the_minimum_version_holds() {
    let (bench, files) = (bench(), Files::new());
    let source = files.issue("shop", &["shop.test"]);
    let mut config = with_tls(vec![source], gateway("shop", vec![]));
    config.tls.as_mut().unwrap().minimum_version = TlsVersion::V13;
    bench.apply(vec![config]).await;
    let address = bench.proxy.virtual_host_tls_address().unwrap();
    let old = files.authority.client(&[&rustls::version::TLS12], &[]);
    assert!(connect_with(&old, address, "shop.test").await.is_err());
    let new = files.authority.client(&[&rustls::version::TLS13], &[]);
    assert_eq!(
        connect_with(&new, address, "shop.test")
            .await
            .unwrap()
            .ask(&get("shop", "/"))
            .await
            .unwrap()
            .status(),
        503
    );
    assert_eq!(failed(&bench.proxy.handshakes(), "refused"), 1);
}

#[tokio::test]
async fn names_choose_certificates_and_gateways() {
    let (bench, files) = (bench(), Files::new());
    let (a, b) = (Target::named("a").await.unwrap(), Target::named("b").await.unwrap());
    let first = files.issue("first", &["first.test"]);
    let wild = files.issue("wild", &["*.wild.test"]);
    let other = files.issue("other", &["other.test"]);
    let mut shop = gateway("shop", vec![route("a", 100, &[a.address()])]);
    shop.hosts = ["first.test", "x.wild.test", "plain.test"].map(String::from).to_vec();
    let mut second = gateway("second", vec![route("a", 100, &[b.address()])]);
    second.hosts = vec!["other.test".into()];
    let mut plain = gateway("none", vec![route("a", 100, &[b.address()])]);
    plain.hosts = vec!["none.test".into()];
    bench.apply(vec![with_tls(vec![first, wild], shop), with_tls(vec![other], second), plain]).await;
    let address = bench.proxy.virtual_host_tls_address().unwrap();
    for (name, body) in [("first.test", "a"), ("X.Wild.Test", "a"), ("other.test", "b")] {
        let mut client = files.authority.connect(address, name).await.unwrap();
        let request = format!("GET / HTTP/1.1\r\nHost: {name}:443\r\n\r\n");
        assert_eq!(client.ask(&request).await.unwrap().text(), body, "{name}");
    }
    // The first certificate stands in for a name that none is for; this client does not like it.
    let error = files.authority.connect(address, "plain.test").await.unwrap_err();
    assert!(error.to_string().contains("not valid for name"), "{error}");
    // Of one gateway, though of another name; of another gateway; of none.
    let mut client = files.authority.connect(address, "first.test").await.unwrap();
    for (host, status) in [
        ("first.test", 200),
        ("x.wild.test", 200),
        ("other.test", 421),
        ("none.test", 421),
        ("nobody.test", 404),
    ] {
        let answer = client.ask(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).await.unwrap();
        assert_eq!(answer.status(), status, "{host}");
    }
    // A gateway without certificate, nobody's name, and no name at all.
    for name in ["none.test", "nobody.test", "127.0.0.1"] {
        let error = files.authority.connect(address, name).await.unwrap_err();
        assert!(error.to_string().contains("UnrecognisedName"), "{name}: {error}");
    }
    assert!(eventually(|| failed(&bench.proxy.handshakes(), "no_certificate") == 3).await);
}

#[tokio::test]
async fn conditions_see_tls() {
    let (bench, files) = (bench(), Files::new());
    let (a, b) = (Target::named("plain").await.unwrap(), Target::named("tls").await.unwrap());
    let source = files.issue("shop", &["shop.test"]);
    let routes =
        vec![route("a", 100, &[a.address()]), condition("< ssl_fc >", 100, route("b", 0, &[b.address()]))];
    bench.apply(vec![with_tls(vec![source], gateway("shop", routes))]).await;
    assert_eq!(bench.connect().await.ask(&get("shop", "/")).await.unwrap().text(), "plain");
    let address = bench.proxy.virtual_host_tls_address().unwrap();
    let mut client = files.connect(address).await;
    assert_eq!(client.ask(&get("shop", "/")).await.unwrap().text(), "tls");
}

#[tokio::test]
async fn requests_without_tls_are_redirected_where_asked() {
    let (bench, files) = (bench(), Files::new());
    let target = Target::named("x").await.unwrap();
    let source = files.issue("shop", &["shop.test"]);
    let mut config = with_tls(vec![source], gateway("shop", vec![route("a", 100, &[target.address()])]));
    config.tls.as_mut().unwrap().redirect = true;
    let other = gateway("other", vec![route("a", 100, &[target.address()])]);
    bench.apply(vec![config, other]).await;
    let address = bench.proxy.virtual_host_tls_address().unwrap();
    let mut client = bench.connect().await;
    for (host, target, location) in [
        ("shop.test", "/a?b=c", "https://shop.test/a?b=c".to_owned()),
        ("shop.test:8000", "/", format!("https://shop.test:{}/", address.port())),
    ] {
        let request = format!("POST {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 2\r\n\r\nhi");
        let answer = client.ask(&request).await.unwrap();
        assert_eq!((answer.status(), answer.field("location")), (308, Some(location)));
    }
    assert_eq!(client.ask(&get("other", "/")).await.unwrap().text(), "x");
    assert_eq!(target.count(), 1);
    let mut client = files.connect(address).await;
    assert_eq!(client.ask(&get("shop", "/")).await.unwrap().text(), "x");
}

#[tokio::test]
async fn large_bodies_both_ways() {
    let (bench, files) = (bench(), Files::new());
    let target = Target::named("").await.unwrap();
    let address = files.serve(&bench, &target).await;
    let body: Vec<u8> = (0..10 * 1024 * 1024_u32).map(|n| ((n * 31) >> 3) as u8).collect();
    let mut client = files.connect(address).await;
    for chunked in [false, true] {
        let mut request = if chunked {
            b"POST / HTTP/1.1\r\nHost: shop.test\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec()
        } else {
            format!("POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: {}\r\n\r\n", body.len())
                .into_bytes()
        };
        if chunked {
            for piece in body.chunks(70_001) {
                request.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
                request.extend_from_slice(piece);
                request.extend_from_slice(b"\r\n");
            }
            request.extend_from_slice(b"0\r\n\r\n");
        } else {
            request.extend_from_slice(&body);
        }
        client.send(&request).await.unwrap();
        let answer = client.read_response().await.unwrap();
        assert!(answer.body == body, "{chunked}: {} bytes", answer.body.len());
    }
}

#[tokio::test]
async fn upgrades_and_half_close() {
    let (bench, files) = (bench(), Files::new());
    let target = Target::start(|mut wire, _, _| {
        Box::pin(async move {
            wire.read_request().await?;
            wire.send(
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhi",
            )
            .await?;
            let all = wire.read_to_end().await?;
            wire.send(&all).await?;
            wire.send(b"bye").await
        })
    })
    .await
    .unwrap();
    let address = files.serve(&bench, &target).await;
    let mut client = files.connect(address).await;
    client
        .send(b"GET / HTTP/1.1\r\nHost: shop.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(client.read_head_only().await.unwrap().unwrap().status(), 101);
    assert_eq!(client.read_exact(2).await.unwrap(), b"hi");
    let sent = vec![5; 300_000];
    client.send(&sent).await.unwrap();
    client.close_write().await.unwrap();
    let got = client.read_to_end().await.unwrap();
    assert!(got[..sent.len()] == sent && &got[sent.len()..] == b"bye");
}

#[tokio::test]
async fn tcp_gateways_terminate() {
    let (bench, files) = (bench(), Files::new());
    let target = Target::start(|mut wire, _, _| {
        Box::pin(async move {
            wire.send(b"hello").await?;
            let all = wire.read_to_end().await?;
            wire.send(&all).await
        })
    })
    .await
    .unwrap();
    let source = files.issue("db", &["db.test"]);
    let port = free_port();
    bench
        .apply(vec![with_tls(
            vec![source],
            tcp(port, gateway("db", vec![route("a", 100, &[target.address()])])),
        )])
        .await;
    // Whatever a client offers by ALPN.
    let connector = files.authority.client(rustls::ALL_VERSIONS, &["postgresql"]);
    let mut client = connect_with(&connector, loopback(port), "db.test").await.unwrap();
    assert_eq!(client.read_exact(5).await.unwrap(), b"hello");
    let body = vec![7; 500_000];
    client.send(&body).await.unwrap();
    client.close_write().await.unwrap();
    assert!(client.read_to_end().await.unwrap() == body);
    let series = bench.telemetry.gateway(&GatewayName::parse("db").unwrap(), Protocol::Tcp);
    assert!(eventually(|| series.totals().received == 500_000).await);
}

#[tokio::test]
async fn a_body_that_is_cut_off_does_not_look_whole() {
    let (bench, files) = (bench(), Files::new());
    // Delimited by close, and broken instead.
    let read = Arc::new(tokio::sync::Notify::new());
    let broken = Arc::clone(&read);
    let target = Target::start(move |mut wire, _, _| {
        let broken = Arc::clone(&broken);
        Box::pin(async move {
            wire.read_request().await?;
            wire.send(b"HTTP/1.0 200 OK\r\n\r\npart").await?;
            broken.notified().await;
            wire.reset();
            Ok(())
        })
    })
    .await
    .unwrap();
    let address = files.serve(&bench, &target).await;
    let mut client = files.connect(address).await;
    client.send(b"GET / HTTP/1.0\r\nHost: shop.test\r\n\r\n").await.unwrap();
    assert_eq!(client.read_head_only().await.unwrap().unwrap().status(), 200);
    assert_eq!(client.read_exact(4).await.unwrap(), b"part");
    read.notify_one();
    assert!(client.read_to_end().await.is_err());
}

#[tokio::test]
async fn handshakes_that_lead_nowhere() {
    let files = Files::new();
    let bench = Bench::with(|settings| {
        settings.limits = short();
        settings.virtual_host_tls_listen = Some("127.0.0.1:0".parse().unwrap());
    });
    let source = files.issue("shop", &["shop.test"]);
    let port = free_port();
    bench
        .apply(vec![
            with_tls(vec![source.clone()], gateway("shop", vec![])),
            with_tls(vec![source], tcp(port, gateway("db", vec![]))),
        ])
        .await;
    let address = bench.proxy.virtual_host_tls_address().unwrap();
    // HTTP to a TLS port gets an answer that says so; on a tcp gateway it gets nothing.
    let answer = connect(address).await.unwrap().ask(&get("shop", "/")).await.unwrap();
    assert_eq!(answer.status(), 400);
    assert!(answer.text().contains("TLS is expected"), "{}", answer.text());
    let mut client = connect(loopback(port)).await.unwrap();
    client.send(get("shop", "/").as_bytes()).await.unwrap();
    assert!(client.read_to_end().await.map_or(true, |bytes| bytes.is_empty()));
    // Garbage that begins like a handshake, and a first message that has no end.
    let mut endless = vec![0x16, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff];
    endless.resize(100_000, 0);
    let mut oversized = vec![0x16, 3, 1, 0x40, 0, 1, 0, 0xff, 0xff];
    oversized.resize(16_389, 1);
    let again: Vec<u8> = [&[0x16, 3, 1, 0x40, 0][..], &vec![1; 16_384]].concat();
    for garbage in
        [b"\x16\x03\x01\x00\x05hello".to_vec(), endless, [oversized, again.clone(), again].concat()]
    {
        let mut client = connect(address).await.unwrap();
        // It may be closed while this is still going out.
        let _ = client.send(&garbage).await;
        let answer = client.read_to_end().await.unwrap_or_default();
        assert!(answer.len() < 100 && answer.first().is_none_or(|byte| *byte == 21), "{answer:x?}");
    }
    // Nothing, a part of a handshake, and a handshake that stops.
    for part in [&b""[..], b"\x16", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc"] {
        let started = Instant::now();
        let mut client = connect(address).await.unwrap();
        client.send(part).await.unwrap();
        assert_eq!(client.read_to_end().await.unwrap(), b"");
        assert!(started.elapsed() < Duration::from_secs(5));
    }
    let handshakes = bench.proxy.handshakes();
    assert_eq!(failed(&handshakes, "not_tls"), 2);
    assert_eq!(failed(&handshakes, "timeout"), 3);
    assert_eq!((failed(&handshakes, "refused"), handshakes.done), (3, 0));
}

#[tokio::test]
async fn a_client_that_does_not_read_is_given_up() {
    let files = Files::new();
    let bench = Bench::with(|settings| {
        settings.limits = short();
        settings.virtual_host_tls_listen = Some("127.0.0.1:0".parse().unwrap());
    });
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&sent);
    let target = Target::start(move |mut wire, _, _| {
        let counted = Arc::clone(&counted);
        Box::pin(async move {
            wire.read_request().await?;
            wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n").await?;
            loop {
                wire.send(&[0; 65536]).await?;
                counted.fetch_add(65536, SeqCst);
            }
        })
    })
    .await
    .unwrap();
    let address = files.serve(&bench, &target).await;
    let mut client = files.connect(address).await;
    client.send(get("shop", "/").as_bytes()).await.unwrap();
    let series = bench.telemetry.gateway(&GatewayName::parse("shop").unwrap(), Protocol::Http);
    assert!(eventually(|| series.totals().failed == 1).await);
    assert!(sent.load(SeqCst) < 100_000_000, "held back");
}

#[tokio::test]
async fn certificates_are_replaced_under_load_without_a_failed_request() {
    let (bench, files) = (bench(), Files::new());
    let target = Target::named("x").await.unwrap();
    let address = files.serve(&bench, &target).await;
    let mut old = files.connect(address).await;
    let first = shown(&old);
    let files = Arc::new(files);
    let done = Arc::new(AtomicBool::new(false));
    let load: Vec<_> = (0..4)
        .map(|_| {
            let (files, done) = (Arc::clone(&files), Arc::clone(&done));
            tokio::spawn(async move {
                let mut seen = std::collections::BTreeSet::new();
                while !done.load(SeqCst) {
                    let mut client = files.connect(address).await;
                    for _ in 0..3 {
                        assert_eq!(client.ask(&get("shop", "/")).await.unwrap().text(), "x");
                    }
                    seen.insert(shown(&client));
                }
                seen.len()
            })
        })
        .collect();
    let mut last = first;
    for _ in 0..4 {
        files.issue("shop", &["shop.test"]);
        let end = Instant::now() + testkit::wire::PATIENCE;
        loop {
            let now = shown(&files.connect(address).await);
            if now != last {
                last = now;
                break;
            }
            assert!(Instant::now() < end, "the new certificate never came");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    // What cannot be used changes nothing but what is said.
    let problem = |part: &'static str| {
        let bench = &bench;
        move || bench.proxy.reported().borrow().problems.iter().any(|(_, text)| text.contains(part))
    };
    for (pair, part) in [
        (
            Pair { certificate: "nonsense".into(), ..files.authority.issue(&["shop.test"]) },
            "no certificate in it",
        ),
        (
            Pair { key: files.authority.issue(&["x"]).key, ..files.authority.issue(&["shop.test"]) },
            "do not go together",
        ),
    ] {
        pair.write(files.directory.path(), "shop").unwrap();
        assert!(eventually(problem(part)).await, "{part}: {:?}", bench.proxy.reported().borrow());
        assert_eq!(shown(&files.connect(address).await), last);
    }
    std::fs::remove_file(files.directory.path().join("shop.key")).unwrap();
    assert!(eventually(problem("cannot read")).await);
    assert_eq!(shown(&files.connect(address).await), last);
    files.issue("shop", &["shop.test"]);
    assert!(eventually(|| bench.proxy.reported().borrow().problems.is_empty()).await);
    done.store(true, SeqCst);
    for task in load {
        assert!(task.await.unwrap() > 1);
    }
    // The connection from before all of this never noticed.
    assert_eq!(old.ask(&get("shop", "/")).await.unwrap().text(), "x");
}

#[tokio::test]
async fn secrets_come_when_they_come_and_changes_of_the_section_count() {
    let (bench, files) = (bench(), Files::new());
    let target = Target::named("x").await.unwrap();
    let secret = CertificateSource::Secret { secret: "shop-tls".into() };
    let shop = || gateway("shop", vec![route("a", 100, &[target.address()])]);
    let applied = bench.apply(vec![with_tls(vec![secret.clone()], shop())]).await;
    assert!(applied.problems[0].1.contains("secret/shop-tls is not there yet"), "{applied:?}");
    let wanted: Vec<ClusterSource> = bench.proxy.wanted().borrow().iter().cloned().collect();
    let in_secret = |name: &str| ClusterSource::Certificate(name.into());
    assert_eq!(wanted, [in_secret("shop-tls")]);
    let address = bench.proxy.virtual_host_tls_address().unwrap();
    assert!(files.authority.connect(address, "shop.test").await.is_err());
    let pair = files.authority.issue(&["shop.test"]);
    let pem = CertificatePem { certificate: pair.certificate.into_bytes(), key: pair.key.into_bytes() };
    let pem = Pem::Certificate(pem);
    bench.proxy.provide(in_secret("other"), Ok(pem.clone()));
    bench.proxy.provide(in_secret("shop-tls"), Ok(pem));
    assert!(eventually(|| bench.proxy.reported().borrow().problems.is_empty()).await);
    let mut client = files.connect(address).await;
    assert_eq!(client.ask(&get("shop", "/")).await.unwrap().text(), "x");
    // Once is enough: a Secret changes as a whole, unlike two files.
    bench.proxy.provide(in_secret("shop-tls"), Err("it was deleted".into()));
    assert!(
        eventually(|| {
            let reported = bench.proxy.reported();
            let reported = reported.borrow();
            reported.problems.iter().any(|(_, text)| text.contains("it was deleted; the one before"))
        })
        .await
    );
    assert!(files.authority.connect(address, "shop.test").await.is_ok());
    let status = bench.proxy.certificates();
    assert_eq!(status[0].names, ["shop.test"]);
    assert_eq!(status[0].not_after.unwrap().to_string(), "2090-01-01T00:00:00Z");
    // Another source, and then none.
    let source = files.issue("shop", &["shop.test"]);
    bench.apply(vec![with_tls(vec![source], shop())]).await;
    assert!(bench.proxy.wanted().borrow().is_empty());
    assert!(files.authority.connect(address, "shop.test").await.is_ok());
    bench.apply(vec![shop()]).await;
    assert!(files.authority.connect(address, "shop.test").await.is_err());
    assert_eq!(client.ask(&get("shop", "/")).await.unwrap().text(), "x");
}

/// Authorities in the cluster: nobody is trusted before they come, two gateways with other authorities for one target do not mix, and a
/// rotation closes no connection.
#[tokio::test]
async fn authorities_of_targets_come_from_the_cluster_and_change() {
    let (bench, files) = (bench(), Files::new());
    let secret = ClusterSource::AuthoritySecret("shop-ca".into());
    let config_map = ClusterSource::AuthorityConfigMap("shop-ca".into());
    let pair = files.authority.issue(&["localhost"]);
    let inner = Target::named("x").await.unwrap();
    let address = before(inner.address(), pair.server()).await.unwrap();
    let gateway_with = |name: &str, tls: TargetTls| {
        let mut config = gateway(name, vec![route("a", 100, &[address])]);
        config.routes[0].targets[0].tls = Some("localhost".into());
        GatewayConfig { target_tls: Some(tls), ..config }
    };
    let of_secret = || TargetTls { ca_secret: Some("shop-ca".into()), ..TargetTls::default() };
    let of_map = || TargetTls { ca_config_map: Some("shop-ca".into()), ..TargetTls::default() };
    let applied = bench.apply(vec![gateway_with("shop", of_secret()), gateway_with("other", of_map())]).await;
    let told = |part: &str| applied.problems.iter().any(|(_, problem)| problem.contains(part));
    assert!(told("authorities secret/shop-ca are not there yet"), "{applied:?}");
    assert!(told("authorities configmap/shop-ca are not there yet"), "{applied:?}");
    let wanted: Vec<ClusterSource> = bench.proxy.wanted().borrow().iter().cloned().collect();
    assert_eq!(wanted, [secret.clone(), config_map.clone()]);
    let status = async |name: &str| bench.connect().await.ask(&get(name, "/")).await.unwrap().status();
    assert_eq!((status("shop").await, status("other").await), (502, 502));

    let right = || Ok(Pem::Authorities(files.authority.pem().as_bytes().to_vec()));
    let wrong = || Ok(Pem::Authorities(Authority::new().pem().as_bytes().to_vec()));
    bench.proxy.provide(secret.clone(), right());
    bench.proxy.provide(config_map.clone(), wrong());
    assert!(eventually(|| bench.proxy.reported().borrow().problems.is_empty()).await);
    assert_eq!((status("shop").await, status("other").await), (200, 502));
    let mut old = bench.connect().await;
    assert_eq!(old.ask(&get("shop", "/")).await.unwrap().status(), 200);

    // Rotated, without a change of the table: the connection of a client stays, and new ones to targets are made under the new authorities.
    bench.proxy.provide(config_map.clone(), right());
    let begin = Instant::now();
    while status("other").await != 200 {
        assert!(begin.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(old.ask(&get("shop", "/")).await.unwrap().status(), 200);
    // What cannot be used changes nothing and is told.
    for (content, part) in [
        (
            Ok(Pem::Authorities(b"nothing".to_vec())),
            "there is no certificate in it; those before are still trusted",
        ),
        (Err("the Secret was deleted".to_owned()), "the Secret was deleted; those before are still trusted"),
    ] {
        bench.proxy.provide(secret.clone(), content);
        let told =
            || bench.proxy.reported().borrow().problems.iter().any(|(_, problem)| problem.contains(part));
        assert!(eventually(told).await, "{part}: {:?}", bench.proxy.reported().borrow());
        assert_eq!(status("shop").await, 200);
    }
    bench.apply(vec![gateway_with("shop", TargetTls::default())]).await;
    assert!(bench.proxy.wanted().borrow().is_empty());
}

#[tokio::test]
async fn the_listener_that_is_taken_is_tried_again() {
    let files = Files::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let bench = Bench::with(|settings| {
        settings.virtual_host_tls_listen = Some(address);
        settings.limits.bind_interval = Duration::from_millis(50);
    });
    assert_eq!(bench.apply(vec![gateway("shop", vec![])]).await.problems, []);
    let source = files.issue("shop", &["shop.test"]);
    let applied = bench.apply(vec![with_tls(vec![source], gateway("shop", vec![]))]).await;
    assert!(applied.problems[0].1.contains("for virtual hosts with TLS"), "{applied:?}");
    drop(taken);
    assert!(eventually(|| bench.proxy.reported().borrow().problems.is_empty()).await);
    assert!(files.authority.connect(address, "shop.test").await.is_ok());
}

/// A gateway whose targets are reached with TLS.
pub(crate) fn to_tls(target_tls: TargetTls, name: &str, mut gateway: GatewayConfig) -> GatewayConfig {
    for target in gateway.routes.iter_mut().flat_map(|route| &mut route.targets) {
        target.tls = Some(name.to_owned());
    }
    GatewayConfig { target_tls: Some(target_tls), ..gateway }
}

#[tokio::test]
async fn targets_are_checked() {
    let (bench, files) = (bench(), Files::new());
    let inner = Target::named("x").await.unwrap();
    let (trusting, insecure) = files.target_tls();
    let good =
        before(inner.address(), files.authority.issue(&["inner.test", "127.0.0.1"]).server()).await.unwrap();
    let expired =
        before(inner.address(), files.authority.issue_expired(&["inner.test"]).server()).await.unwrap();
    let foreign = before(inner.address(), Authority::new().issue(&["inner.test"]).server()).await.unwrap();
    let body = vec![3; 3_000_000];
    for (address, tls, name, status) in [
        (good, &trusting, "inner.test", 200),
        (good, &trusting, "127.0.0.1", 200),
        (good, &trusting, "other.test", 502),
        (good, &TargetTls::default(), "inner.test", 502),
        (expired, &trusting, "inner.test", 502),
        (expired, &insecure, "inner.test", 200),
        (foreign, &trusting, "inner.test", 502),
        (foreign, &insecure, "other.test", 200),
    ] {
        let config = gateway("shop", vec![route("a", 100, &[address])]);
        bench.apply(vec![to_tls(tls.clone(), name, config)]).await;
        let mut client = bench.connect().await;
        for _ in 0..2 {
            let length = if status == 200 { body.len() } else { 0 };
            let request = format!("POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: {length}\r\n\r\n");
            client.send(&[request.as_bytes(), &body[..length]].concat()).await.unwrap();
            let answer = client.read_response().await.unwrap();
            assert_eq!(answer.status(), status, "{address} {tls:?} {name}");
            if status == 200 {
                assert!(answer.body.len() == body.len() + 1);
            } else {
                assert_eq!(answer.field("vamp-proxy-error").as_deref(), Some("tls"));
            }
        }
    }
    // Authorities are watched, too.
    bench
        .apply(vec![to_tls(
            trusting.clone(),
            "inner.test",
            gateway("shop", vec![route("a", 100, &[foreign])]),
        )])
        .await;
    let status = || async { bench.connect().await.ask(&get("shop", "/")).await.unwrap().status() };
    assert_eq!(status().await, 502);
    std::fs::write(files.directory.path().join(CA), "nonsense").unwrap();
    assert!(
        eventually(|| {
            let reported = bench.proxy.reported();
            let reported = reported.borrow();
            reported.problems.iter().any(|(_, text)| text.contains("those before are still trusted"))
        })
        .await
    );
}

#[tokio::test]
async fn connections_to_targets_are_kept_and_not_shared() {
    let (bench, files) = (bench(), Files::new());
    let inner = Target::named("x").await.unwrap();
    let (trusting, insecure) = files.target_tls();
    let address = before(inner.address(), files.authority.issue(&["inner.test"]).server()).await.unwrap();
    let config = |tls: &TargetTls, name: &str| {
        vec![to_tls(tls.clone(), name, gateway("shop", vec![route("a", 100, &[address])]))]
    };
    bench.apply(config(&insecure, "whoever.test")).await;
    let mut client = bench.connect().await;
    for _ in 0..5 {
        assert_eq!(client.ask(&get("shop", "/")).await.unwrap().text(), "x");
    }
    assert_eq!(inner.connections(), 1);
    // A connection that was made without a check is none for requests that ask for one.
    bench.apply(config(&trusting, "whoever.test")).await;
    assert_eq!(client.ask(&get("shop", "/")).await.unwrap().status(), 502);
    bench.apply(config(&trusting, "inner.test")).await;
    assert_eq!(client.ask(&get("shop", "/")).await.unwrap().text(), "x");
}

#[tokio::test]
async fn a_load_balancer_says_who_the_client_is() {
    let files = Files::new();
    let bench = Bench::with(|settings| {
        settings.virtual_host_tls_listen = Some("127.0.0.1:0".parse().unwrap());
        settings.virtual_host_proxy_protocol = true;
        settings.limits = short();
    });
    let target = Target::named("x").await.unwrap();
    let (port, bare) = (free_port(), free_port());
    let source = files.issue("shop", &["shop.test"]);
    let shop = with_tls(vec![source], gateway("shop", vec![route("a", 100, &[target.address()])]));
    let own = on_port(port, gateway("own", vec![route("a", 100, &[target.address()])]));
    let own = GatewayConfig { proxy_protocol: true, ..own };
    let bare_gateway = on_port(bare, gateway("bare", vec![route("a", 100, &[target.address()])]));
    bench.apply(vec![shop, own, bare_gateway]).await;
    let plain = bench.proxy.virtual_host_address().unwrap();
    let v1 = b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 80\r\n".to_vec();
    let mut v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c".to_vec();
    v2.extend_from_slice(&[192, 0, 2, 7, 192, 0, 2, 1, 0x12, 0x67, 0, 80]);
    for (address, host) in [(plain, "shop"), (loopback(port), "own")] {
        for header in [&v1, &v2] {
            let mut client = connect(address).await.unwrap();
            client.send(&[header, get(host, "/").as_bytes()].concat()).await.unwrap();
            assert_eq!(client.read_response().await.unwrap().text(), "x");
            let seen = target.last().unwrap();
            assert_eq!(seen.field("x-forwarded-for").as_deref(), Some("192.0.2.7"));
            assert_eq!(client.ask(&get(host, "/")).await.unwrap().text(), "x");
        }
        // Nothing, something else, and a header that does not end: closed without a word.
        for bytes in
            [&b""[..], get(host, "/").as_bytes(), b"PROXY TCP4 192.0.2.7", b"\r\n\r\n\0\r\nQUIT\n\x21"]
        {
            let mut client = connect(address).await.unwrap();
            client.send(bytes).await.unwrap();
            assert!(client.read_to_end().await.map_or(true, |answer| answer.is_empty()));
        }
    }
    // The balancer asks for itself, and TLS comes after the header.
    let mut stream =
        tokio::net::TcpStream::connect(bench.proxy.virtual_host_tls_address().unwrap()).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stream, &v2).await.unwrap();
    let connector = files.authority.client(rustls::ALL_VERSIONS, &[]);
    let name = rustls::pki_types::ServerName::try_from("shop.test").unwrap();
    let mut client = Wire::tls(connector.connect(name, stream).await.unwrap());
    assert_eq!(client.ask(&get("shop", "/")).await.unwrap().text(), "x");
    assert_eq!(target.last().unwrap().field("x-forwarded-for").as_deref(), Some("192.0.2.7"));
    // Where it is not asked for, a header is no request.
    let mut client = connect(loopback(bare)).await.unwrap();
    client.send(&[&v1[..], get("bare", "/").as_bytes()].concat()).await.unwrap();
    assert_eq!(client.read_response().await.unwrap().status(), 400);
}
