//! TLS through the binary: documents, certificates in files, what is said about them.

use std::net::SocketAddr;

use serde_json::Value;
use testkit::tls::Authority;

use crate::harness::{Vamp, eventually};
use crate::target::Target;

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_is_served_with_tls() {
    let vamp = Vamp::start().await;
    let target = Target::start("a").await;
    let authority = Authority::new();
    let folder = vamp.folder();
    authority.issue(&["shop.example", "localhost"]).write(folder, "shop").unwrap();
    let (certificate, key) = (folder.join("shop.crt"), folder.join("shop.key"));
    let document = |tls: &str| {
        format!(
            "name: shop\nvirtual_hosts: [shop.example]\nroutes: {{\"[{}]\": {{}}}}\ntls: {tls}",
            target.address
        )
    };
    let files = format!("{{certificate: {}, key: {}}}", certificate.display(), key.display());
    let shown = vamp.gateway(&document(&files)).await;
    assert_eq!(shown["tls"]["certificates"][0]["certificate"], certificate.display().to_string());
    assert_eq!(shown["tls"]["minimum_version"], "1.2");
    let port = vamp.port("shop").await;
    let own = SocketAddr::from(([127, 0, 0, 1], port));
    let get = "GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n";
    let answer = authority.connect(own, "localhost").await.unwrap().ask(get).await.unwrap();
    assert_eq!((answer.status(), answer.text().trim()), (200, "a"));
    // What is shown may be sent back, keys are nowhere, and metrics say when the certificate ends.
    let again = vamp.put("/gateways/shop", &vamp.get("/gateways/shop").await.body.to_string()).await;
    assert!(again.status < 300, "{again:?}");
    let secret = std::fs::read_to_string(&key).unwrap();
    let secret = secret.lines().nth(1).unwrap();
    for path in ["/gateways/shop", "/events", "/status", "/config"] {
        assert!(!vamp.get(path).await.body.to_string().contains(secret), "{path}");
    }
    let page = reqwest::get(vamp.api.clone() + "/metrics").await.unwrap().text().await.unwrap();
    let line = format!(
        "vamp_certificate_expiry_timestamp_seconds{{gateway=\"shop\",certificate=\"{}\"",
        certificate.display()
    );
    assert!(page.contains(&line), "{line}\n{page}");
    assert!(page.contains("vamp_tls_handshakes_total{result=\"done\"} 1"), "{page}");
    // A refused document changes nothing.
    let refused = vamp.put("/gateways/shop", &document("{certificate: shop.crt, key: /k}")).await;
    assert_eq!(refused.status, 400, "{refused:?}");
    assert!(refused.message().contains("whole path"), "{}", refused.message());
    assert_eq!(authority.connect(own, "localhost").await.unwrap().ask(get).await.unwrap().status(), 200);
    // A certificate that cannot be had, and Secrets where there is no cluster, are problems that are told.
    for (tls, part) in [
        ("{certificate: /nowhere/shop.crt, key: /nowhere/shop.key}", "cannot read /nowhere/shop.crt"),
        ("{secret: shop-tls}", "on Kubernetes only"),
    ] {
        let written = vamp.put("/gateways/shop?wait=applied", &document(tls)).await;
        assert!(written.status < 300, "{written:?}");
        eventually(part, || async {
            let problems: Value = vamp.get("/status").await.body["problems"].clone();
            problems.to_string().contains(part).then_some(())
        })
        .await;
        assert!(authority.connect(own, "localhost").await.is_err());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn targets_behind_https_and_gateways_behind_gateways() {
    let vamp = Vamp::start().await;
    let target = Target::start("a").await;
    let authority = Authority::new();
    let folder = vamp.folder();
    authority.issue(&["localhost"]).write(folder, "shop").unwrap();
    std::fs::write(folder.join("ca.crt"), authority.pem()).unwrap();
    let tls = testkit::tls::before(target.address, authority.issue(&["localhost"]).server()).await.unwrap();
    let folder = folder.display();
    vamp.gateway(&format!(
        "name: inner\nroutes: {{\"[https://localhost:{}]\": {{}}}}\ntarget_tls: {{ca_file: {folder}/ca.crt}}\n\
         tls: {{certificate: {folder}/shop.crt, key: {folder}/shop.key}}",
        tls.port()
    ))
    .await;
    vamp.gateway("name: outer\nroutes: [inner]").await;
    let port = vamp.port("outer").await;
    let url = format!("http://127.0.0.1:{port}/");
    let answer = reqwest::get(&url).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.text().await.unwrap().trim(), "a");
    let unknown = format!("name: inner\nroutes: {{\"[https://127.0.0.1:{}]\": {{}}}}", tls.port());
    let written = vamp.put("/gateways/inner?wait=applied", &unknown).await;
    assert!(written.status < 300, "{written:?}");
    let answer = reqwest::get(&url).await.unwrap();
    assert_eq!(answer.status(), 502);
}
