//! What a request looked like when it came in: the address as sent, and who sent it.

use std::net::{IpAddr, SocketAddr};

use axum::extract::ConnectInfo;
use axum::extract::FromRequestParts;
use http::header::HOST;
use http::request::Parts;
use http::{HeaderName, Uri};
use std::convert::Infallible;
use std::sync::Arc;

use super::token::{Identity, Role};
use crate::serve::Encrypted;

/// Names the caller of a write in the audit trail.
pub(crate) const ACTOR: HeaderName = HeaderName::from_static("vamp-actor");

/// The request as sent. Put into the extensions of every request before its address is rewritten.
#[derive(Debug, Clone)]
pub(crate) struct Origin(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    address: Uri,
    base: String,
    actor: String,
    role: Option<Role>,
}

impl Origin {
    /// Reads the origin of a request whose identity is already known.
    pub(crate) fn of(parts: &Parts, identity: Option<Identity>) -> Self {
        let host = parts
            .headers
            .get(HOST)
            .and_then(|host| host.to_str().ok())
            .map(str::to_owned)
            .or_else(|| parts.uri.authority().map(ToString::to_string));
        let scheme = parts
            .headers
            .get("x-forwarded-proto")
            .and_then(|value| value.to_str().ok())
            .filter(|scheme| matches!(*scheme, "http" | "https"))
            .or_else(|| parts.uri.scheme_str())
            .unwrap_or(if parts.extensions.get::<Encrypted>().is_some() { "https" } else { "http" });
        let base = host.map(|host| format!("{scheme}://{host}")).unwrap_or_default();
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
        let actor = actor(parts, identity.as_ref(), peer);
        let role = identity.and_then(|identity| identity.role);
        Self(Arc::new(Inner { address: parts.uri.clone(), base, actor, role }))
    }

    /// Path of the request as sent, with scheme and host when they are known.
    pub(crate) fn url(&self) -> String {
        format!("{}{}", self.0.base, self.0.address.path())
    }

    /// What the token allows; `None` without one.
    pub(crate) fn role(&self) -> Option<Role> {
        self.0.role
    }

    /// Who is written into events.
    pub(crate) fn actor(&self) -> &str {
        &self.0.actor
    }
}

/// `Vamp-Actor` is a claim, so an authenticated identity always stays visible next to it.
fn actor(parts: &Parts, identity: Option<&Identity>, peer: Option<IpAddr>) -> String {
    let claimed = parts
        .headers
        .get(&ACTOR)
        .and_then(|value| std::str::from_utf8(value.as_bytes()).ok())
        .map(|text| text.chars().filter(|c| !c.is_control()).take(128).collect::<String>().trim().to_owned())
        .filter(|text| !text.is_empty());
    match (claimed, identity, peer) {
        (Some(claimed), Some(identity), _) if claimed != identity.name => {
            format!("{claimed} ({})", identity.name)
        }
        (_, Some(identity), _) => identity.name.clone(),
        (Some(claimed), None, _) => claimed,
        (None, None, Some(peer)) => format!("anonymous@{}", peer.to_canonical()),
        (None, None, None) => "anonymous".to_owned(),
    }
}

impl<S: Sync> FromRequestParts<S> for Origin {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_else(|| Self::of(parts, None)))
    }
}
