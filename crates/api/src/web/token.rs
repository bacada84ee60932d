//! Who is calling: static tokens with roles, and whoever else can tell.

use futures_util::future::BoxFuture;
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
pub struct Identity {
    /// Name, the actor of what is done: of the token, or of the user.
    pub name: String,
    /// What it may do in the environment that is asked for; `None`: nothing.
    pub role: Option<Role>,
    /// Groups of the user, where there are any.
    pub groups: Vec<String>,
}

/// Tells whose a bearer token is that is none of the static ones.
///
/// It never logs or keeps a token.
pub trait Authenticator: std::fmt::Debug + Send + Sync + 'static {
    /// The owner of a token, with the role in the environment whose platform namespace is given.
    fn authenticate<'a>(
        &'a self,
        token: &'a str,
        namespace: &'a str,
    ) -> BoxFuture<'a, Result<Identity, Unauthenticated>>;

    /// What somebody without a role is to be given to have it, in the terms of the platform: "the verb 'update' on ...".
    fn rule(&self, role: Role, namespace: &str) -> String;
}

/// Why an [`Authenticator`] names nobody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unauthenticated {
    /// The token is nobody's: why, for people.
    Unknown(String),
    /// It cannot tell at the moment: why, for people. Says nothing about the token.
    Unavailable(String),
}

/// The identity that the `Authorization` header proves. `token` without a value is the same as no header (A3).
pub(crate) fn identify(headers: &HeaderMap, tokens: &[Token]) -> Option<Identity> {
    let digest: [u8; 32] = Sha256::digest(secret(headers)?.as_bytes()).into();
    // Digests of secrets are compared, so the time that a comparison takes tells nothing about a secret.
    tokens.iter().find(|token| token.digest == digest).map(|token| Identity {
        name: token.name.clone(),
        role: Some(token.role),
        groups: Vec::new(),
    })
}

/// The token that the header holds, known or not.
pub(crate) fn secret(headers: &HeaderMap) -> Option<&str> {
    let (scheme, secret) = headers.get(AUTHORIZATION)?.to_str().ok()?.trim().split_once(' ')?;
    ["token", "bearer"].iter().any(|known| scheme.eq_ignore_ascii_case(known)).then(|| secret.trim())
}
