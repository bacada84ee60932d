//! Who an agent is: what a token proves.

use std::path::{Path, PathBuf};

use futures_util::future::BoxFuture;
use sha2::{Digest as _, Sha256};

/// What a token proves about an agent. What it does not say, the agent may choose.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AgentIdentity {
    /// The environment that it may serve; on Kubernetes the namespace of its service account.
    pub namespace: Option<String>,
    /// Its name; on Kubernetes the name of the pod that the token is bound to.
    pub name: Option<String>,
}

/// Why a token is of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// Nobody knows it, or it has expired.
    #[error("{0}")]
    Unknown(String),
    /// It belongs to somebody who may not be an agent.
    #[error("{0}")]
    NotAllowed(String),
    /// It cannot be told at the moment; the agent tries again.
    #[error("{0}")]
    Unavailable(String),
}

/// Tells what a token proves. Never logs it.
pub trait Authenticate: Send + Sync + 'static {
    /// What `token` proves.
    fn authenticate<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<AgentIdentity, Denied>>;
}

/// Tokens that are shared beforehand, for agents outside of a cluster. Only their digests are kept.
pub struct SharedTokens {
    tokens: Vec<Shared>,
}

struct Shared {
    environment: Option<String>,
    digest: [u8; 32],
}

/// Why a file with tokens is of no use; never shows one.
#[derive(Debug, thiserror::Error)]
pub enum TokensError {
    /// The file cannot be read.
    #[error("cannot read {}", .0.display())]
    Read(PathBuf, #[source] std::io::Error),
    /// There is no token in it.
    #[error("{} holds no token", .0.display())]
    Empty(PathBuf),
    /// A line makes no sense.
    #[error("{}, line {line}: {reason}", file.display())]
    Line {
        /// The file.
        file: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
}

impl SharedTokens {
    /// Shorter tokens can be guessed.
    const SHORTEST: usize = 16;

    /// Reads a file with a token in each line, `TOKEN` for any environment or `ENVIRONMENT TOKEN` for one. Empty lines and
    /// lines that begin with `#` do not count.
    ///
    /// # Errors
    /// The file cannot be read, a line cannot be understood, or there is no token in it.
    pub fn read(file: &Path) -> Result<Self, TokensError> {
        let text =
            std::fs::read_to_string(file).map_err(|error| TokensError::Read(file.to_owned(), error))?;
        let mut tokens = Vec::new();
        let lines = text.lines().enumerate();
        for (number, line) in lines.filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#')) {
            let wrong =
                |reason: String| TokensError::Line { file: file.to_owned(), line: number + 1, reason };
            let (environment, token) = match line.split_whitespace().collect::<Vec<_>>()[..] {
                [token] => (None, token),
                [environment, token] => (Some(environment.to_owned()), token),
                _ => return Err(wrong("expected TOKEN or ENVIRONMENT TOKEN".into())),
            };
            if token.len() < Self::SHORTEST {
                let reason =
                    format!("the token has fewer than {} characters, make it longer", Self::SHORTEST);
                return Err(wrong(reason));
            }
            tokens.push(Shared { environment, digest: Sha256::digest(token.as_bytes()).into() });
        }
        if tokens.is_empty() { Err(TokensError::Empty(file.to_owned())) } else { Ok(Self { tokens }) }
    }
}

impl std::fmt::Debug for SharedTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedTokens").field("tokens", &self.tokens.len()).finish()
    }
}

impl Authenticate for SharedTokens {
    fn authenticate<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<AgentIdentity, Denied>> {
        // Digests of secrets are compared, so the time that a comparison takes tells nothing about a secret.
        let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let known = self.tokens.iter().find(|known| known.digest == digest);
        let identity = known
            .map(|known| AgentIdentity { namespace: known.environment.clone(), name: None })
            .ok_or_else(|| Denied::Unknown("the controller does not know this agent's token".into()));
        Box::pin(async move { identity })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_of_tokens_is_read_or_refused_with_the_line() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tokens");
        let read = |text: &str| {
            std::fs::write(&file, text).unwrap();
            SharedTokens::read(&file)
        };
        let tokens = read("# agents\n\n0123456789abcdef\nprod 0123456789abcdeg\n").unwrap();
        let identity =
            |namespace: Option<&str>| AgentIdentity { namespace: namespace.map(Into::into), name: None };
        assert_eq!(tokens.authenticate("0123456789abcdef").await, Ok(identity(None)));
        assert_eq!(tokens.authenticate("0123456789abcdeg").await, Ok(identity(Some("prod"))));
        assert!(matches!(tokens.authenticate("0123456789abcde").await, Err(Denied::Unknown(_))));
        assert!(!format!("{tokens:?}").contains("0123"), "no token in logs");
        for (text, part) in [
            ("", "holds no token"),
            ("a b c", "line 1: expected TOKEN"),
            ("\nshort", "line 2: the token has fewer than 16 characters"),
        ] {
            assert!(read(text).unwrap_err().to_string().contains(part), "{text:?}");
        }
        assert!(
            SharedTokens::read(&folder.path().join("none")).unwrap_err().to_string().contains("cannot read")
        );
    }
}
