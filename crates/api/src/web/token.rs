//! Who is calling: static tokens with roles.

use http::HeaderMap;
use http::header::AUTHORIZATION;
use sha2::{Digest, Sha256};

/// What a caller may do. Each role includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads.
    Viewer,
    /// Changes gateways and publishes events.
    Operator,
    /// Everything: also configuration and workloads.
    Admin,
}

impl Role {
    /// The word in settings and messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

/// A static token. Only its SHA-256 is kept.
#[derive(Clone)]
pub struct Token {
    name: String,
    role: Role,
    digest: [u8; 32],
}

impl Token {
    /// A token that belongs to `name`, the actor of what is done with it.
    pub fn new(name: impl Into<String>, role: Role, secret: &str) -> Self {
        Self { name: name.into(), role, digest: Sha256::digest(secret.as_bytes()).into() }
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token").field("name", &self.name).field("role", &self.role).finish_non_exhaustive()
    }
}

/// An authenticated caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Name of the token.
    pub(crate) name: String,
    /// What it may do.
    pub(crate) role: Role,
}

/// The identity that the `Authorization` header proves. `token` without a value is the same as no header (A3).
pub(crate) fn identify(headers: &HeaderMap, tokens: &[Token]) -> Option<Identity> {
    let digest: [u8; 32] = Sha256::digest(secret(headers)?.as_bytes()).into();
    // Digests of secrets are compared, so the time that a comparison takes tells nothing about a secret.
    tokens
        .iter()
        .find(|token| token.digest == digest)
        .map(|token| Identity { name: token.name.clone(), role: token.role })
}

/// Whether the header holds a token at all, known or not.
pub(crate) fn carries_token(headers: &HeaderMap) -> bool {
    secret(headers).is_some()
}

fn secret(headers: &HeaderMap) -> Option<&str> {
    let (scheme, secret) = headers.get(AUTHORIZATION)?.to_str().ok()?.trim().split_once(' ')?;
    ["token", "bearer"].iter().any(|known| scheme.eq_ignore_ascii_case(known)).then(|| secret.trim())
}
