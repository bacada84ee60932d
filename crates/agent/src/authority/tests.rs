use std::time::Duration;

use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::ServerCertVerifier as _;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Whether a client that trusts `authorities` would accept the certificate under that name at that time.
fn accepted(authorities: &str, issued: &Issued, name: &str, now: Timestamp) -> Result<(), String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(authorities.as_bytes(), "").unwrap() {
        roots.add(certificate).unwrap();
    }
    let provider = std::sync::Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), provider).build().unwrap();
    let chain: Vec<CertificateDer<'static>> = certificates(issued.certificate.as_bytes(), "").unwrap();
    let now = UnixTime::since_unix_epoch(Duration::from_secs(now.as_second().unsigned_abs()));
    let name = ServerName::try_from(name.to_owned()).unwrap();
    verifier.verify_server_cert(&chain[0], &[], &name, &[], now).map(drop).map_err(|error| error.to_string())
}

#[test]
fn what_it_issues_is_good_for_its_names_and_its_year() {
    let now = at("2026-03-01T12:00:00Z");
    let authority = Authority::make(now).unwrap();
    let names = ["vamp-controller".to_owned(), "127.0.0.1".to_owned()];
    let issued = authority.issue(&names, now).unwrap();
    let check = |name, time| accepted(&authority.certificates, &issued, name, at(time));
    assert_eq!(check("vamp-controller", "2026-03-01T12:00:00Z"), Ok(()));
    assert_eq!(check("127.0.0.1", "2027-02-27T12:00:00Z"), Ok(()));
    // A clock that is behind.
    assert_eq!(check("vamp-controller", "2026-02-28T13:00:00Z"), Ok(()));
    assert!(check("other", "2026-03-01T12:00:00Z").is_err());
    assert!(check("vamp-controller", "2027-03-02T12:00:00Z").unwrap_err().contains("expired"));
    assert_eq!(issued.renew_at, at("2026-11-01T00:00:00Z"));
    let other = Authority::make(now).unwrap();
    assert!(accepted(&other.certificates, &issued, "vamp-controller", now).is_err(), "another authority");
}

#[test]
fn a_kept_authority_goes_on_where_it_was() {
    let now = at("2026-03-01T12:00:00Z");
    let made = Authority::make(now).unwrap();
    let kept = Authority::from_pem(&made.certificates, &made.key).unwrap();
    let issued = kept.issue(&["vamp-controller".into()], at("2030-01-01T00:00:00Z")).unwrap();
    assert_eq!(accepted(&made.certificates, &issued, "vamp-controller", at("2030-06-01T00:00:00Z")), Ok(()));
    assert!(kept.renewed(at("2030-01-01T00:00:00Z")).unwrap().is_none());

    let other = Authority::make(now).unwrap();
    let refused =
        |certificates: &str, key: &str| Authority::from_pem(certificates, key).unwrap_err().to_string();
    assert!(refused(&made.certificates, &other.key).contains("belongs to another certificate"));
    assert!(refused("x", &made.key).contains("no certificate"));
    assert!(!refused(&made.certificates, "secret").contains("secret"));
}

#[test]
fn the_next_authority_keeps_what_the_last_one_issued() {
    let first = Authority::make(at("2026-03-01T12:00:00Z")).unwrap();
    let late = at("2035-06-01T00:00:00Z");
    let old = first.issue(&["vamp-controller".into()], late).unwrap();
    let next = first.renewed(late).unwrap().expect("it ends in less than a year");
    let new = next.issue(&["vamp-controller".into()], late).unwrap();
    for issued in [&old, &new] {
        assert_eq!(accepted(&next.certificates, issued, "vamp-controller", late), Ok(()));
    }
    assert!(accepted(&first.certificates, &new, "vamp-controller", late).is_err());
    assert!(next.renewed(late).unwrap().is_none());
}

#[test]
fn a_folder_has_one_authority_whoever_comes_first() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("ca");
    let now = at("2026-03-01T12:00:00Z");
    let all: Vec<Authority> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| folder::open(&folder, now).unwrap())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(all.iter().all(|authority| authority.certificates == all[0].certificates));
    let public = std::fs::read_to_string(folder::certificates(&folder)).unwrap();
    assert_eq!(public, all[0].certificates);
    let mode = std::fs::metadata(folder.join("ca.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "{mode:o}");
    let names: Vec<_> =
        std::fs::read_dir(&folder).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(names.len(), 2, "{names:?}");

    std::fs::write(folder.join("ca.key"), "torn").unwrap();
    assert!(folder::open(&folder, now).is_err());
    assert_eq!(
        std::fs::read_to_string(folder.join("ca.key")).unwrap(),
        "torn",
        "what is not understood stays"
    );
}

#[test]
fn absurd_clocks_are_told() {
    let message = Authority::make(Timestamp::MIN).unwrap_err().to_string();
    assert!(message.contains("clock"), "{message}");
    assert!(Authority::make(Timestamp::MAX).is_err());
}
