//! The `target_tls` section of a gateway: how it speaks TLS to its targets, and whom it believes about them.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::fields::Fields;
use crate::gateway::host_name;
use crate::gateway::tls::{is_object_name, read_flag, read_path};
use crate::problem::{Problem, Problems};
use crate::yaml::shorten;

/// How a gateway speaks TLS to its targets. Of the places of authorities one is given at most; those of the system are trusted without.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct TargetTls {
    /// File with the certificates of the authorities that targets are checked against, PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<String>,
    /// Name of a Secret that holds them as `ca.crt`, in the namespace of the environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret: Option<String>,
    /// Name of a ConfigMap that holds them as `ca.crt`, in the namespace of the environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_config_map: Option<String>,
    /// The name that the certificate of a target must be for; that of its address without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// Takes every certificate.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub insecure_skip_verification: bool,
}

/// Where certificates of authorities are.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AuthoritySource {
    /// In a file of the machine that the proxy runs on, PEM.
    File(String),
    /// In the namespace of the environment.
    Cluster(ClusterSource),
}

/// An object of the cluster, in the namespace of the environment, that a proxy takes certificates from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ClusterSource {
    /// A Secret of type `kubernetes.io/tls`, for its certificate and key.
    Certificate(String),
    /// A Secret, for the authorities in its `ca.crt`.
    AuthoritySecret(String),
    /// A ConfigMap, for the authorities in its `ca.crt`.
    AuthorityConfigMap(String),
}

impl ClusterSource {
    /// Name of the object.
    pub fn name(&self) -> &str {
        match self {
            Self::Certificate(name) | Self::AuthoritySecret(name) | Self::AuthorityConfigMap(name) => name,
        }
    }
}

impl fmt::Display for ClusterSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate(name) | Self::AuthoritySecret(name) => write!(f, "secret/{name}"),
            Self::AuthorityConfigMap(name) => write!(f, "configmap/{name}"),
        }
    }
}

impl fmt::Display for AuthoritySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.write_str(path),
            Self::Cluster(source) => source.fmt(f),
        }
    }
}

impl TargetTls {
    /// Where the authorities are that are trusted; `None` for those of the system.
    pub fn authorities(&self) -> Option<AuthoritySource> {
        let secret = || self.ca_secret.clone().map(ClusterSource::AuthoritySecret);
        let config_map = || self.ca_config_map.clone().map(ClusterSource::AuthorityConfigMap);
        let cluster = || secret().or_else(config_map).map(AuthoritySource::Cluster);
        self.ca_file.clone().map(AuthoritySource::File).or_else(cluster)
    }

    /// As a person would write it, and as reads show it.
    pub(crate) fn to_json(&self) -> Value {
        let texts = [
            ("ca_file", &self.ca_file),
            ("ca_secret", &self.ca_secret),
            ("ca_config_map", &self.ca_config_map),
            ("server_name", &self.server_name),
        ];
        let given = texts.into_iter().filter_map(|(name, text)| Some((name, text.as_deref()?)));
        let mut fields: Map<String, Value> =
            given.map(|(name, text)| (name.to_owned(), text.into())).collect();
        if self.insecure_skip_verification {
            fields.insert("insecure_skip_verification".into(), true.into());
        }
        Value::Object(fields)
    }
}

/// Reads the `target_tls` section. An empty one asks for TLS, with the authorities of the system.
pub(super) fn read_target_tls(fields: &mut Fields<'_>, problems: &mut Problems) -> Option<TargetTls> {
    let node = fields.take("target_tls")?;
    let mut inner = Fields::new(node, &fields.path_of("target_tls"), problems)?;
    let ca_file = read_path(&mut inner, "ca_file", problems).map(str::to_owned);
    let ca_secret = read_object(&mut inner, "ca_secret", "Secret", problems);
    let ca_config_map = read_object(&mut inner, "ca_config_map", "ConfigMap", problems);
    let server_name = inner.take_text("server_name", problems);
    let server_name = server_name.and_then(|text| match host_name(text) {
        Ok(name) => Some(name),
        Err(why) => {
            let message = format!("Illegal server name '{}': {why}", shorten(text));
            problems.push(
                Problem::new("tls", inner.path_of("server_name"), message)
                    .at(inner.position_of("server_name"))
                    .example("server_name: shop.internal"),
            );
            None
        }
    });
    let insecure_skip_verification = read_flag(&mut inner, "insecure_skip_verification", problems);
    let places = [
        ("ca_file", ca_file.is_some()),
        ("ca_secret", ca_secret.is_some()),
        ("ca_config_map", ca_config_map.is_some()),
    ];
    let mut given = places.into_iter().filter(|(_, given)| *given).map(|(name, _)| name);
    if let Some(first) = given.next() {
        if let Some(second) = given.next() {
            let message =
                format!("Illegal target_tls: '{first}' and '{second}' both say whom to trust, remove one");
            let problem = Problem::new("tls", inner.path_of(second), message);
            problems.push(problem.at(inner.position_of(second)));
        }
        if insecure_skip_verification {
            let message = format!(
                "Illegal target_tls: '{first}' says what to verify and 'insecure_skip_verification' not to, remove one"
            );
            problems.push(
                Problem::new("tls", inner.path_of("insecure_skip_verification"), message).at(node.position),
            );
        }
    }
    inner.finish(problems);
    Some(TargetTls { ca_file, ca_secret, ca_config_map, server_name, insecure_skip_verification })
}

/// The name of an object with authorities.
fn read_object(
    fields: &mut Fields<'_>,
    field: &'static str,
    kind: &str,
    problems: &mut Problems,
) -> Option<String> {
    let name = fields.take_text(field, problems)?;
    if !is_object_name(name) {
        let message = format!(
            "Illegal target_tls: '{}' is no name of a {kind}, use lower case letters, digits, '-' and '.'",
            shorten(name)
        );
        let problem = Problem::new("tls", fields.path_of(field), message);
        problems.push(problem.at(fields.position_of(field)).example(format!("{field}: shop-ca")));
    }
    Some(name.to_owned())
}
