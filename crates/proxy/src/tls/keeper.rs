//! The certificates of all gateways: which are wanted, which are there, what is wrong with them.
//!
//! ```text
//! RoutingConfig --adopt--> wanted sources --+--> files: read every few seconds --learn--> Terminator (one for each gateway)
//!                                           `--> cluster: watched by others ----learn-----^   read by every handshake
//! ```
//!
//! A source that becomes unreadable keeps its last good certificate, and says so.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};
use jiff::Timestamp;
use model::gateway::{AuthoritySource, CertificateSource, ClusterSource, Tls};
use model::name::GatewayName;
use model::port::Protocol;
use pki::{Certificate, CertificatePem};
use routing::config::{GatewayConfig, RoutingConfig, TargetConfig, TargetKind};
use rustls::{ClientConfig, ServerConfig};
use tokio::sync::watch;

use super::certificate::Common;
use super::connect::{self, Connector, Trust};

/// What a read of a source came to.
pub(crate) type Found = Vec<(Source, Result<Pem, String>)>;

/// What is kept here.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    /// A certificate to show, and its key.
    Certificate(CertificateSource),
    /// Authorities to trust.
    Authorities(AuthoritySource),
}

impl From<ClusterSource> for Source {
    fn from(source: ClusterSource) -> Self {
        match source {
            ClusterSource::Certificate(secret) => Self::Certificate(CertificateSource::Secret { secret }),
            authorities => Self::Authorities(AuthoritySource::Cluster(authorities)),
        }
    }
}

/// What is in a file or an object of the cluster.
#[derive(Debug, Clone, Hash)]
pub enum Pem {
    /// A certificate and its key.
    Certificate(CertificatePem),
    /// Certificates of authorities.
    Authorities(Vec<u8>),
}

/// A certificate of a gateway as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateStatus {
    /// Gateway.
    pub gateway: GatewayName,
    /// Where it comes from: the path of the file, or `secret/NAME`.
    pub source: String,
    /// The names that it is for.
    pub names: Vec<String>,
    /// When it ends; `None` while there is none.
    pub not_after: Option<Timestamp>,
    /// What is wrong with the source. The last good certificate, if there was one, is shown all the same.
    pub problem: Option<String>,
}

/// What a gateway shows to clients that ask for TLS. Handshakes read it; only the keeper changes it.
#[derive(Debug)]
pub(crate) struct Terminator {
    tls: Tls,
    protocol: Protocol,
    config: ArcSwapOption<ServerConfig>,
}

impl Terminator {
    /// How to speak; `None` while there is no certificate.
    pub(crate) fn config(&self) -> Option<Arc<ServerConfig>> {
        self.config.load_full()
    }

    /// Whether requests without TLS are sent to https.
    pub(crate) fn redirects(&self) -> bool {
        self.tls.redirect
    }

    fn is_for(&self, config: &GatewayConfig) -> bool {
        self.protocol == config.protocol && Some(&self.tls) == config.tls.as_ref()
    }
}

/// Keeps certificates.
pub(crate) struct Keeper {
    common: Option<Common>,
    sources: BTreeMap<CertificateSource, Held>,
    terminators: HashMap<GatewayName, Arc<Terminator>>,
    /// By whom to trust and by the name of the target.
    connectors: HashMap<(Trust, String), Arc<Connector>>,
    authorities: BTreeMap<AuthoritySource, Authorities>,
    /// Whom gateways trust.
    trusts: Vec<(GatewayName, Trust)>,
    system: Option<Result<Arc<ClientConfig>, String>>,
    anything: Option<Result<Arc<ClientConfig>, String>>,
    /// What is in the cluster.
    wanted: watch::Sender<BTreeSet<ClusterSource>>,
    status: Arc<ArcSwap<Vec<CertificateStatus>>>,
    hash: RandomState,
}

/// Authorities that some gateway trusts.
#[derive(Default)]
struct Authorities {
    config: Option<Arc<ClientConfig>>,
    content: Option<u64>,
    problem: Option<String>,
}

#[derive(Default)]
struct Held {
    certificate: Option<Certificate>,
    /// Hash of what was read last.
    content: Option<u64>,
    /// Hash of what the certificate was made of.
    good: Option<u64>,
    problem: Option<String>,
}

impl Keeper {
    pub(crate) fn new(
        wanted: watch::Sender<BTreeSet<ClusterSource>>,
        status: Arc<ArcSwap<Vec<CertificateStatus>>>,
    ) -> Self {
        Self {
            common: None,
            sources: BTreeMap::new(),
            terminators: HashMap::new(),
            connectors: HashMap::new(),
            authorities: BTreeMap::new(),
            trusts: Vec::new(),
            system: None,
            anything: None,
            wanted,
            status,
            hash: RandomState::new(),
        }
    }

    /// Takes over which gateways want which certificates. Those that nobody wants any more are forgotten.
    pub(crate) fn adopt(&mut self, config: &RoutingConfig) {
        self.adopt_trust(config);
        self.adopt_certificates(config);
        let certificates = self.sources.keys().filter_map(|source| match source {
            CertificateSource::Secret { secret } => Some(ClusterSource::Certificate(secret.clone())),
            CertificateSource::Files { .. } => None,
        });
        let authorities = self.authorities.keys().filter_map(|source| match source {
            AuthoritySource::Cluster(source) => Some(source.clone()),
            AuthoritySource::File(_) => None,
        });
        let wanted: BTreeSet<ClusterSource> = certificates.chain(authorities).collect();
        self.wanted.send_if_modified(|known| {
            let changed = *known != wanted;
            *known = wanted;
            changed
        });
    }

    fn adopt_certificates(&mut self, config: &RoutingConfig) {
        let mut wanted = BTreeSet::new();
        let mut terminators = HashMap::new();
        let mut fresh = Vec::new();
        for (name, gateway) in &config.gateways {
            let Some(tls) = &gateway.tls else { continue };
            wanted.extend(tls.certificates.iter().cloned());
            let terminator = match self.terminators.get(name) {
                Some(known) if known.is_for(gateway) => Arc::clone(known),
                _ => {
                    let terminator = Terminator {
                        tls: tls.clone(),
                        protocol: gateway.protocol,
                        config: ArcSwapOption::empty(),
                    };
                    fresh.push(name.clone());
                    Arc::new(terminator)
                }
            };
            terminators.insert(name.clone(), terminator);
        }
        if wanted.is_empty() && self.sources.is_empty() {
            return;
        }
        self.sources.retain(|source, _| wanted.contains(source));
        for source in &wanted {
            self.sources.entry(source.clone()).or_default();
        }
        self.terminators = terminators;
        for name in fresh {
            self.configure(&name);
        }
        self.publish();
    }

    /// The same for targets that are reached with TLS.
    fn adopt_trust(&mut self, config: &RoutingConfig) {
        let mut wanted = HashMap::new();
        self.trusts.clear();
        for (name, gateway) in &config.gateways {
            for target in gateway.routes.iter().flat_map(|route| &route.targets) {
                let Some(key) = trust(gateway, target) else { continue };
                if !self.trusts.iter().rev().any(|(of, trust)| of == name && *trust == key.0) {
                    self.trusts.push((name.clone(), key.0.clone()));
                }
                let known = || self.connectors.get(&key).cloned();
                wanted
                    .entry(key.clone())
                    .or_insert_with(|| known().unwrap_or_else(|| Arc::new(Connector::new(&key.1))));
            }
        }
        self.connectors = wanted;
        let sources: BTreeSet<&AuthoritySource> = self
            .trusts
            .iter()
            .filter_map(|(_, trust)| match trust {
                Trust::Authorities(source) => Some(source),
                Trust::System | Trust::Anything => None,
            })
            .collect();
        self.authorities.retain(|source, _| sources.contains(source));
        for source in sources {
            self.authorities.entry(source.clone()).or_default();
        }
        self.connect();
    }

    /// Gives every connector what it is to trust, as far as that is known.
    fn connect(&mut self) {
        if self.connectors.is_empty() {
            return;
        }
        let Ok(common) = common(&mut self.common) else { return };
        for ((trust, _), connector) in &self.connectors {
            let config = match trust {
                Trust::Authorities(source) => {
                    self.authorities.get(source).and_then(|held| held.config.clone())
                }
                Trust::System => {
                    let made = self.system.get_or_insert_with(|| connect::trusting_system(&common.provider));
                    made.clone().ok()
                }
                Trust::Anything => {
                    let made =
                        self.anything.get_or_insert_with(|| connect::trusting_anything(&common.provider));
                    made.clone().ok()
                }
            };
            if let Some(config) = config {
                connector.set(config);
            }
        }
    }

    /// How a target is spoken to; `None` without TLS.
    pub(crate) fn connector(&self, gateway: &GatewayConfig, target: &TargetConfig) -> Option<Arc<Connector>> {
        self.connectors.get(&trust(gateway, target)?).cloned()
    }

    fn learn_authorities(&mut self, source: &AuthoritySource, read: Result<Pem, String>) {
        let content = self.hash.hash_one(&read);
        let Some(held) = self.authorities.get_mut(source) else { return };
        if held.content.replace(content) == Some(content) {
            return;
        }
        let made = match (common(&mut self.common), read) {
            (Ok(common), Ok(Pem::Authorities(pem))) => connect::trusting_pem(&pem, &common.provider),
            (Ok(_), Ok(Pem::Certificate(_))) => Err("it is not what was asked for".into()),
            (Err(error), _) | (_, Err(error)) => Err(error),
        };
        match made {
            Ok(config) => {
                held.config = Some(config);
                held.problem = None;
                self.connect();
            }
            Err(problem) => {
                tracing::warn!(%source, problem, kept = held.config.is_some(), "authorities cannot be used");
                held.problem = Some(problem);
            }
        }
    }

    /// What a gateway shows.
    pub(crate) fn terminator(&self, name: &GatewayName) -> Option<Arc<Terminator>> {
        self.terminators.get(name).cloned()
    }

    /// Files that were never read.
    pub(crate) fn unread(&self) -> Vec<Source> {
        let fresh = |(source, held): (&AuthoritySource, &Authorities)| {
            let unread = held.content.is_none() && matches!(source, AuthoritySource::File(_));
            unread.then(|| Source::Authorities(source.clone()))
        };
        let mut unread = self.files(|held| held.content.is_none() && held.problem.is_none());
        unread.extend(self.authorities.iter().filter_map(fresh));
        unread
    }

    /// All files.
    pub(crate) fn all_files(&self) -> Vec<Source> {
        let mut all = self.files(|_| true);
        let files = self.authorities.keys().filter(|source| matches!(source, AuthoritySource::File(_)));
        all.extend(files.cloned().map(Source::Authorities));
        all
    }

    fn files(&self, which: impl Fn(&Held) -> bool) -> Vec<Source> {
        let file = |(source, held): (&CertificateSource, &Held)| {
            (matches!(source, CertificateSource::Files { .. }) && which(held))
                .then(|| Source::Certificate(source.clone()))
        };
        self.sources.iter().filter_map(file).collect()
    }

    /// Takes in what was read. Handshakes from now on see it; connections that are open keep what they have.
    pub(crate) fn learn(&mut self, found: Found) {
        let mut changed = BTreeSet::new();
        for (source, read) in found {
            let source = match source {
                Source::Certificate(source) => source,
                Source::Authorities(source) => {
                    self.learn_authorities(&source, read);
                    continue;
                }
            };
            let Some(held) = self.sources.get_mut(&source) else { continue };
            let is_file = matches!(source, CertificateSource::Files { .. });
            let content = self.hash.hash_one(&read);
            let again = held.content.replace(content) == Some(content);
            if held.good == Some(content) && held.problem.is_none() {
                continue;
            }
            let provider = match common(&mut self.common) {
                Ok(common) => &common.provider,
                Err(error) => {
                    held.problem = Some(error);
                    continue;
                }
            };
            let made = read.and_then(|content| match content {
                Pem::Certificate(pem) => Certificate::from_pem(&pem, provider),
                Pem::Authorities(_) => Err("it is not what was asked for".into()),
            });
            match made {
                Ok(certificate) => {
                    if held.problem.take().is_some() || held.certificate.is_some() {
                        tracing::info!(%source, until = %certificate.not_after, "a certificate was replaced");
                    }
                    held.certificate = Some(certificate);
                    held.good = Some(content);
                    changed.insert(source);
                }
                // Certificate and key are often written to files one after the other: what is still so at the next look counts. A Secret
                // changes as a whole, and is not looked at again for minutes.
                Err(_) if is_file && !again && held.certificate.is_some() => {}
                Err(problem) => {
                    let kept = held.certificate.is_some();
                    if held.problem.as_ref() != Some(&problem) {
                        tracing::warn!(%source, %problem, kept, "a certificate cannot be used");
                    }
                    held.problem = Some(problem);
                }
            }
        }
        let affected: Vec<GatewayName> = self
            .terminators
            .iter()
            .filter(|(_, terminator)| {
                terminator.tls.certificates.iter().any(|source| changed.contains(source))
            })
            .map(|(name, _)| name.clone())
            .collect();
        for name in affected {
            self.configure(&name);
        }
        self.publish();
    }

    fn configure(&mut self, name: &GatewayName) {
        let Some(terminator) = self.terminators.get(name) else { return };
        let held = |source| self.sources.get(source).and_then(|held| held.certificate.clone());
        let certificates: Vec<Certificate> = terminator.tls.certificates.iter().filter_map(held).collect();
        if certificates.is_empty() {
            return;
        }
        let configured = common(&mut self.common).and_then(|common| {
            common
                .configure(&terminator.tls, terminator.protocol, &certificates)
                .map_err(|error| error.to_string())
        });
        match configured {
            Ok(config) => terminator.config.store(config),
            Err(error) => tracing::error!(gateway = %name, error, "TLS cannot be set up"),
        }
    }

    fn publish(&self) {
        let mut all: Vec<CertificateStatus> = Vec::new();
        for (name, terminator) in &self.terminators {
            for source in &terminator.tls.certificates {
                let held = self.sources.get(source);
                let certificate = held.and_then(|held| held.certificate.as_ref());
                all.push(CertificateStatus {
                    gateway: name.clone(),
                    source: source.to_string(),
                    names: certificate.map(|certificate| certificate.names.clone()).unwrap_or_default(),
                    not_after: certificate.map(|certificate| certificate.not_after),
                    problem: held.and_then(|held| held.problem.clone()),
                });
            }
        }
        all.sort_by(|left, right| (&left.gateway, &left.source).cmp(&(&right.gateway, &right.source)));
        self.status.store(Arc::new(all));
    }

    /// What is wrong with the certificates of gateways.
    pub(crate) fn problems(&self, now: Timestamp) -> Vec<(GatewayName, String)> {
        let status = self.status.load();
        let shown = status.iter().filter_map(|one| Some((one.gateway.clone(), one.trouble(now)?)));
        let trusted =
            self.trusts.iter().filter_map(|(name, trust)| Some((name.clone(), self.distrust(trust)?)));
        shown.chain(trusted).collect()
    }

    /// What is wrong with whom to trust.
    fn distrust(&self, trust: &Trust) -> Option<String> {
        match trust {
            Trust::Authorities(source) => {
                let held = self.authorities.get(source)?;
                let Some(problem) = &held.problem else {
                    let missing = held.config.is_none();
                    return missing
                        .then(|| format!("authorities {source} are not there yet; no target is trusted"));
                };
                let so = if held.config.is_some() {
                    "those before are still trusted"
                } else {
                    "no target is trusted"
                };
                Some(format!("authorities {source}: {problem}; {so}"))
            }
            Trust::System => self.system.as_ref()?.as_ref().err().cloned(),
            Trust::Anything => self.anything.as_ref()?.as_ref().err().cloned(),
        }
    }
}

impl CertificateStatus {
    /// What is wrong, in words for people.
    fn trouble(&self, now: Timestamp) -> Option<String> {
        let source = &self.source;
        match (&self.problem, self.not_after) {
            (Some(problem), Some(_)) => {
                Some(format!("certificate {source}: {problem}; the one before is still shown"))
            }
            (Some(problem), None) => Some(format!("certificate {source}: {problem}; TLS is refused")),
            (None, None) => Some(format!("certificate {source} is not there yet; TLS is refused")),
            (None, Some(until)) if until < now => Some(format!("certificate {source} ended at {until}")),
            (None, Some(_)) => None,
        }
    }
}

/// Whom to trust about a target, and by what name it goes; `None` without TLS.
fn trust(gateway: &GatewayConfig, target: &TargetConfig) -> Option<(Trust, String)> {
    let name = target.tls.clone()?;
    let trust = match &gateway.target_tls {
        // A listener of this very process.
        _ if target.kind == TargetKind::Gateway => Trust::Anything,
        Some(tls) if tls.insecure_skip_verification => Trust::Anything,
        Some(tls) => tls.authorities().map_or(Trust::System, Trust::Authorities),
        None => Trust::System,
    };
    Some((trust, name))
}

fn common(common: &mut Option<Common>) -> Result<&Common, String> {
    if common.is_none() {
        *common = Some(Common::new().map_err(|error| error.to_string())?);
    }
    common.as_ref().ok_or_else(String::new)
}

/// Reads files. Blocks.
pub(crate) fn read_files(sources: Vec<Source>) -> Found {
    let read = |path: &str| pki::read(Path::new(path));
    sources
        .into_iter()
        .filter_map(|source| {
            let content = match &source {
                Source::Certificate(CertificateSource::Files { certificate, key }) => read(certificate)
                    .and_then(|certificate| {
                        Ok(Pem::Certificate(CertificatePem { certificate, key: read(key)? }))
                    }),
                Source::Authorities(AuthoritySource::File(file)) => read(file).map(Pem::Authorities),
                Source::Certificate(CertificateSource::Secret { .. })
                | Source::Authorities(AuthoritySource::Cluster(_)) => return None,
            };
            Some((source, content))
        })
        .collect()
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keeper").field("status", &self.status).finish_non_exhaustive()
    }
}
