//! The API over TLS, with the command line as its client.

use std::net::SocketAddr;
use std::process::Output;

use testkit::tls::Authority;
use testkit::wire::Wire;

use crate::harness::{Vamp, eventually};

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The certificate that a connection was shown.
fn shown(wire: &Wire) -> Vec<u8> {
    wire.session().unwrap().get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_and_its_client_speak_tls() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    authority.issue(&["localhost", "127.0.0.1"]).write(folder.path(), "api").unwrap();
    std::fs::write(path("ca.crt"), authority.pem()).unwrap();
    std::fs::write(path("other.crt"), Authority::new().pem()).unwrap();
    let vamp =
        Vamp::start_with(&["--api-tls-cert", &path("api.crt"), "--api-tls-key", &path("api.key")]).await;
    let address: SocketAddr = vamp.api.strip_prefix("http://").unwrap().parse().unwrap();
    let url = format!("https://localhost:{}", address.port());

    let ask = |url: &str, ca: Option<&str>| {
        let mut command = vamp.cli_command(&["get", "environments"]);
        command.env("VAMP_URL", url).env_remove("VAMP_CA");
        if let Some(ca) = ca {
            command.env("VAMP_CA", path(ca));
        }
        command.output().unwrap()
    };
    for url in [&url, &format!("https://{address}"), &format!("http://{address}")] {
        let output = ask(url, Some("ca.crt"));
        assert!(output.status.success() && text(&output).contains("default"), "{url}: {}", text(&output));
    }
    for (url, ca, part) in [
        (&url, Some("other.crt"), "--ca or VAMP_CA"),
        (&url, Some("none.crt"), "see --ca and VAMP_CA"),
        (&url, Some("api.key"), "there is no certificate in it"),
        (&format!("https://127.1.1.1:{}", address.port()), Some("ca.crt"), "cannot reach"),
        (&"ftp://localhost".to_owned(), None, "http:// or https://"),
    ] {
        let output = ask(url, ca);
        assert!(!output.status.success() && text(&output).contains(part), "{url} {ca:?}: {}", text(&output));
    }
    // A stream, and a change.
    let document = path("shop.yaml");
    std::fs::write(&document, "name: shop\nroutes: {\"[127.0.0.1:1]\": {}}\n").unwrap();
    let output =
        vamp.cli_command(&["--url", &url, "--ca", &path("ca.crt"), "apply", "-f", &document]).output();
    assert!(text(&output.unwrap()).contains("gateway/shop created"));

    // The web UI, and that a page without TLS is another site.
    let mut client = authority.connect(address, "localhost").await.unwrap();
    let get = format!("GET / HTTP/1.1\r\nHost: localhost:{}\r\n\r\n", address.port());
    assert_eq!(client.ask(&get).await.unwrap().status(), 200);
    for (scheme, status) in [("https", 204), ("http", 403)] {
        let delete = format!(
            "DELETE /api/v1/gateways/shop HTTP/1.1\r\nHost: localhost:{port}\r\nOrigin: {scheme}://localhost:{port}\r\n\r\n",
            port = address.port()
        );
        let answer = client.ask(&delete).await.unwrap();
        let good = answer.status() == status || status == 204 && answer.status() < 300;
        assert!(good, "{scheme}: {}", answer.text());
    }

    // A file that cannot be used changes nothing; a new certificate is shown to whoever comes next, and nobody else notices.
    let first = shown(&client);
    std::fs::write(path("api.crt"), "damaged").unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    assert_eq!(shown(&authority.connect(address, "localhost").await.unwrap()), first);
    authority.issue(&["localhost"]).write(folder.path(), "api").unwrap();
    eventually("the new certificate", || async {
        let wire = authority.connect(address, "localhost").await.ok()?;
        (shown(&wire) != first).then_some(())
    })
    .await;
    assert_eq!(client.ask(&get).await.unwrap().status(), 200);
}

#[test]
fn a_certificate_without_its_key_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data").display().to_string();
    for (arguments, part) in [
        (vec!["--api-tls-cert", "/nowhere/a.crt"], "belong together"),
        (
            vec!["--api-tls-cert", "/nowhere/a.crt", "--api-tls-key", "/nowhere/a.key"],
            "cannot read /nowhere/a.crt",
        ),
        (
            vec!["--otlp-endpoint", "https://127.0.0.1:1", "--otlp-ca", "/nowhere/ca.crt"],
            "cannot read /nowhere/ca.crt",
        ),
    ] {
        let output = std::process::Command::new(crate::harness::program())
            .args([
                "serve",
                "--api-listen",
                "127.0.0.1:0",
                "--virtual-host-listen",
                "127.0.0.1:0",
                "--data-dir",
                &data,
            ])
            .args(&arguments)
            .output()
            .unwrap();
        assert!(!output.status.success() && text(&output).contains(part), "{arguments:?}: {}", text(&output));
    }
}
