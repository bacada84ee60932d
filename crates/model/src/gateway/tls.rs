//! The `tls` section of a gateway: the certificates that it shows to clients.
//!
//! The document says where a certificate and its key are, never what they are: every proxy loads them by itself, so that no
//! private key is in the store, in an event or on the way to an agent.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::fields::{Fields, wrong_type};
use crate::gateway::host_name;
use crate::port::Protocol;
use crate::problem::{Problem, Problems};
use crate::yaml::{Node, shorten};

/// Most certificates of one gateway.
const MAX_CERTIFICATES: usize = 100;
/// Most characters of a path.
const MAX_PATH: usize = 4096;
const EXAMPLE: &str = "tls: {certificate: /etc/vamp/shop.crt, key: /etc/vamp/shop.key}";

/// How a gateway speaks TLS to its clients.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Tls {
    /// At least one. Which of them a client sees follows from the name that it asks for; the first is for all other names.
    pub certificates: Vec<CertificateSource>,
    /// Older versions are refused.
    #[serde(default)]
    pub minimum_version: TlsVersion,
    /// Answer requests that come without TLS to the virtual hosts with a redirect (308) to https.
    #[serde(default)]
    pub redirect: bool,
}

/// Where a certificate and its private key are.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub enum CertificateSource {
    /// In two files of the machine that the proxy runs on, PEM.
    Files {
        /// The certificate, followed by those between it and the authority.
        certificate: String,
        /// The private key.
        key: String,
    },
    /// In a Secret of type `kubernetes.io/tls` in the namespace of the environment.
    Secret {
        /// Name of the Secret.
        secret: String,
    },
}

/// Versions of TLS that are spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub enum TlsVersion {
    /// TLS 1.2, RFC 5246.
    #[default]
    #[serde(rename = "1.2")]
    V12,
    /// TLS 1.3, RFC 8446.
    #[serde(rename = "1.3")]
    V13,
}

impl std::fmt::Display for TlsVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::V12 => "1.2",
            Self::V13 => "1.3",
        })
    }
}

impl std::fmt::Display for CertificateSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Files { certificate, .. } => f.write_str(certificate),
            Self::Secret { secret } => write!(f, "secret/{secret}"),
        }
    }
}

impl Tls {
    /// The expanded form that reads show and that may be sent back.
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "certificates": self.certificates.iter().map(CertificateSource::to_json).collect::<Vec<_>>(),
            "minimum_version": self.minimum_version.to_string(),
            "redirect": self.redirect,
        })
    }

    /// As a person would write it.
    pub(crate) fn to_document(&self) -> Value {
        let mut fields = match self.certificates.as_slice() {
            [only] => only.fields(),
            several => {
                let all = several.iter().map(CertificateSource::to_json).collect();
                Map::from_iter([("certificates".to_owned(), Value::Array(all))])
            }
        };
        if self.minimum_version != TlsVersion::default() {
            fields.insert("minimum_version".into(), self.minimum_version.to_string().into());
        }
        if self.redirect {
            fields.insert("redirect".into(), true.into());
        }
        Value::Object(fields)
    }
}

impl CertificateSource {
    fn fields(&self) -> Map<String, Value> {
        let field = |name: &str, value: &str| (name.to_owned(), Value::from(value));
        match self {
            Self::Files { certificate, key } => {
                Map::from_iter([field("certificate", certificate), field("key", key)])
            }
            Self::Secret { secret } => Map::from_iter([field("secret", secret)]),
        }
    }

    fn to_json(&self) -> Value {
        Value::Object(self.fields())
    }
}

/// Reads the `tls` section: `certificates`, or the fields of a single one in place.
pub(super) fn read_tls(fields: &mut Fields<'_>, protocol: Protocol, problems: &mut Problems) -> Option<Tls> {
    let node = fields.take("tls")?;
    let path = fields.path_of("tls");
    let before = problems.0.len();
    let mut inner = Fields::expecting("a map with certificates", node, &path, problems)?;
    let mut certificates = Vec::new();
    if let Some(source) = read_source(&mut inner, problems) {
        certificates.push(source);
    }
    if let Some(list) = inner.take("certificates") {
        let path = inner.path_of("certificates");
        for (index, element) in list.list().unwrap_or(std::slice::from_ref(list)).iter().enumerate() {
            let path = format!("{path}/{index}");
            let Some(mut one) = Fields::expecting("a map with a certificate", element, &path, problems)
            else {
                continue;
            };
            match read_source(&mut one, problems) {
                Some(source) if certificates.contains(&source) => {}
                Some(source) => certificates.push(source),
                None if one.has_more() || problems.0.len() > before => {}
                None => problems.push(no_certificate(&path, element)),
            }
            one.finish(problems);
            if certificates.len() > MAX_CERTIFICATES {
                let message = format!("Illegal gateway tls: more than {MAX_CERTIFICATES} certificates");
                problems.push(Problem::new("tls", path, message).at(list.position));
                break;
            }
        }
    }
    let minimum_version = read_version(&mut inner, problems);
    let redirect = read_flag(&mut inner, "redirect", problems);
    if redirect && protocol == Protocol::Tcp {
        let message = "Illegal gateway tls: a redirect is not possible for a TCP port, remove 'redirect' or use an http port.";
        let position = inner.position_of("redirect");
        problems.push(
            Problem::new("tls", inner.path_of("redirect"), message).at(position).example("redirect: false"),
        );
    }
    inner.finish(problems);
    if certificates.is_empty() && problems.0.len() == before {
        problems.push(no_certificate(&path, node));
    }
    Some(Tls { certificates, minimum_version, redirect })
}

fn no_certificate(path: &str, node: &Node) -> Problem {
    let message = "Illegal gateway tls: no certificate, give 'certificate' and 'key', or 'secret'";
    Problem::new("tls", path, message).at(node.position).example(EXAMPLE)
}

/// The fields of one certificate, if they are there.
fn read_source(fields: &mut Fields<'_>, problems: &mut Problems) -> Option<CertificateSource> {
    let certificate = read_path(fields, "certificate", problems);
    let key = read_path(fields, "key", problems);
    let secret = fields.take_text("secret", problems);
    let mut refuse = |field: &str, message: &str, example: &str| {
        let problem = Problem::new("tls", fields.path_of(field), format!("Illegal gateway tls: {message}"));
        problems.push(problem.at(fields.position_of(field)).example(example));
        None
    };
    match (certificate, key, secret) {
        (None, None, None) => None,
        (Some(certificate), Some(key), None) => {
            Some(CertificateSource::Files { certificate: certificate.to_owned(), key: key.to_owned() })
        }
        (None, None, Some(secret)) if is_object_name(secret) => {
            Some(CertificateSource::Secret { secret: secret.to_owned() })
        }
        (None, None, Some(secret)) => {
            let message = format!(
                "'{}' is no name of a Secret, use lower case letters, digits, '-' and '.'",
                shorten(secret)
            );
            refuse("secret", &message, "tls: {secret: shop-tls}")
        }
        (_, _, Some(_)) => refuse(
            "secret",
            "a certificate is in files or in a Secret, not in both",
            "tls: {secret: shop-tls}",
        ),
        (Some(_), None, None) => refuse("certificate", "the 'key' of this certificate is missing", EXAMPLE),
        (None, Some(_), None) => refuse("key", "the 'certificate' of this key is missing", EXAMPLE),
    }
}

/// Names of Secrets and ConfigMaps are DNS subdomains.
pub(super) fn is_object_name(name: &str) -> bool {
    host_name(name).is_ok_and(|lower| lower == *name)
}

/// A path of a file; it must be absolute, since proxies may run anywhere.
pub(super) fn read_path<'a>(
    fields: &mut Fields<'a>,
    name: &'static str,
    problems: &mut Problems,
) -> Option<&'a str> {
    let text = fields.take_text(name, problems)?;
    let bad = match text {
        _ if text.contains("-----BEGIN") => Some("the path of a file is meant, not what is in it"),
        _ if !text.starts_with('/') => Some("write the whole path, from '/' on"),
        _ if text.len() > MAX_PATH => Some("the path is too long"),
        _ if text.contains(char::is_control) => Some("the path holds control characters"),
        _ => None,
    };
    if let Some(why) = bad {
        // What could be a key is not repeated.
        let shown = if text.contains("-----BEGIN") { "...".into() } else { shorten(text) };
        let message = format!("Illegal path '{shown}': {why}");
        let file = match name {
            "key" => "shop.key",
            "ca_file" => "ca.crt",
            _ => "shop.crt",
        };
        let example = format!("{name}: /etc/vamp/{file}");
        problems.push(
            Problem::new("tls", fields.path_of(name), message).at(fields.position_of(name)).example(example),
        );
    }
    Some(text)
}

fn read_version(fields: &mut Fields<'_>, problems: &mut Problems) -> TlsVersion {
    // YAML takes 1.2 for a number; its text is as written.
    let Some(text) = fields.take_text("minimum_version", problems) else { return TlsVersion::default() };
    match text {
        "1.2" => TlsVersion::V12,
        "1.3" => TlsVersion::V13,
        _ => {
            let message = format!("Illegal gateway tls: minimum version '{}', use 1.2 or 1.3", shorten(text));
            problems.push(
                Problem::new("tls", fields.path_of("minimum_version"), message)
                    .at(fields.position_of("minimum_version"))
                    .example("minimum_version: 1.3"),
            );
            TlsVersion::default()
        }
    }
}

/// A boolean; false when it is not there.
pub(super) fn read_flag(fields: &mut Fields<'_>, name: &'static str, problems: &mut Problems) -> bool {
    let Some(node) = fields.take(name) else { return false };
    match node.to_value() {
        Value::Bool(value) => value,
        _ => {
            let path = fields.path_of(name);
            problems.push(wrong_type(node, &path, "true or false").example(format!("{name}: true")));
            false
        }
    }
}
