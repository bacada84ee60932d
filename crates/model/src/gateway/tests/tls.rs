//! The `tls` section.

use super::*;

fn files(name: &str) -> CertificateSource {
    CertificateSource::Files { certificate: format!("/etc/{name}.crt"), key: format!("/etc/{name}.key") }
}

fn secret(name: &str) -> CertificateSource {
    CertificateSource::Secret { secret: name.into() }
}

#[test]
fn forms() {
    let plain = |certificates| Tls { certificates, minimum_version: TlsVersion::V12, redirect: false };
    for (text, expected) in [
        ("tls: {certificate: /etc/a.crt, key: /etc/a.key}", plain(vec![files("a")])),
        ("tls: {secret: shop-tls}", plain(vec![secret("shop-tls")])),
        ("tls: {certificates: {secret: a}}", plain(vec![secret("a")])),
        (
            "tls: {certificates: [{secret: a}, {certificate: /etc/b.crt, key: /etc/b.key}, {secret: a}]}",
            plain(vec![secret("a"), files("b")]),
        ),
        ("tls: {secret: a, certificates: [{secret: b}]}", plain(vec![secret("a"), secret("b")])),
        (
            "tls: {secret: a, minimum_version: 1.3, redirect: true}",
            Tls { certificates: vec![secret("a")], minimum_version: TlsVersion::V13, redirect: true },
        ),
        ("tls: {secret: a, minimum_version: '1.2', redirect: false}", plain(vec![secret("a")])),
        ("port: 5432/tcp\ntls: {secret: a}", plain(vec![secret("a")])),
    ] {
        assert_eq!(document(&format!("name: g\n{text}")).tls, Some(expected), "{text}");
    }
    assert_eq!(document("name: g\ntls: null").tls, None);
    assert_eq!(document("name: g\ntarget_tls: {}").target_tls, Some(TargetTls::default()));
    assert!(document("name: g\nproxy_protocol: true").proxy_protocol);
}

#[test]
fn refused() {
    for (text, path, part) in [
        ("tls: yes please", "/tls", "expected a map with certificates"),
        ("tls: {}", "/tls", "no certificate"),
        ("tls: {certificates: []}", "/tls", "no certificate"),
        ("tls: {redirect: true}", "/tls", "no certificate"),
        ("tls: {certificates: [{}]}", "/tls/certificates/0", "no certificate"),
        ("tls: {certificates: [a]}", "/tls/certificates/0", "expected a map with a certificate"),
        ("tls: {certificates: [{secret: a}, {secert: b}]}", "/tls/certificates/1/secert", "secert"),
        ("tls: {certificate: /a.crt}", "/tls/certificate", "'key' of this certificate is missing"),
        ("tls: {key: /a.key}", "/tls/key", "'certificate' of this key is missing"),
        ("tls: {certificate: a.crt, key: /a.key}", "/tls/certificate", "the whole path"),
        (
            "tls: {certificate: /a.crt, key: '-----BEGIN PRIVATE KEY-----'}",
            "/tls/key",
            "'...': the path of a file",
        ),
        ("tls: {secret: a, key: /a.key}", "/tls/secret", "not in both"),
        ("tls: {secret: Shop_TLS}", "/tls/secret", "no name of a Secret"),
        ("tls: {secret: a, minimum_version: 1.1}", "/tls/minimum_version", "use 1.2 or 1.3"),
        ("tls: {secret: a, redirect: maybe}", "/tls/redirect", "expected true or false"),
        ("port: 1/tcp\ntls: {secret: a, redirect: true}", "/tls/redirect", "not possible for a TCP port"),
        ("target_tls: yes", "/target_tls", "expected a map"),
        ("target_tls: {ca_file: ca.crt}", "/target_tls/ca_file", "the whole path"),
        ("target_tls: {ca_secret: Shop_CA}", "/target_tls/ca_secret", "no name of a Secret"),
        ("target_tls: {ca_config_map: 'a b'}", "/target_tls/ca_config_map", "no name of a ConfigMap"),
        (
            "target_tls: {ca_file: /ca.crt, ca_secret: a}",
            "/target_tls/ca_secret",
            "'ca_file' and 'ca_secret' both say whom to trust, remove one",
        ),
        (
            "target_tls: {ca_secret: a, ca_config_map: a}",
            "/target_tls/ca_config_map",
            "'ca_secret' and 'ca_config_map' both say whom to trust, remove one",
        ),
        (
            "target_tls: {ca_config_map: a, insecure_skip_verification: true}",
            "/target_tls/insecure_skip_verification",
            "remove one",
        ),
        ("target_tls: {server_name: 'a b'}", "/target_tls/server_name", "Illegal server name"),
        (
            "target_tls: {ca_file: /ca.crt, insecure_skip_verification: true}",
            "/target_tls/insecure_skip_verification",
            "remove one",
        ),
        ("target_tls: {verify: false}", "/target_tls/verify", "verify"),
        ("proxy_protocol: v2", "/proxy_protocol", "expected true or false"),
        ("tls: {secret: a, redirct: true}", "/tls/redirct", "redirct"),
    ] {
        let found = problems(&format!("name: g\n{text}"));
        assert_eq!(found.0.len(), 1, "{text}\n{:#?}", found.0);
        assert_eq!(found.0[0].path, path, "{text}\n{found}");
        assert!(found.0[0].message.contains(part) && found.0[0].position.is_some(), "{text}\n{found}");
    }
    let many: String = (0..200).map(|n| format!("{{secret: a{n}}},")).collect();
    let found = problems(&format!("name: g\ntls: {{certificates: [{many}]}}"));
    assert!(found.to_string().contains("more than 100"), "{found}");
}
