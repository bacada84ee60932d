//! The token file of the API: one token for each line, `ROLE NAME TOKEN`.

use std::path::Path;

use anyhow::{Context as _, bail};
use api::{Role, Token};

/// Shorter tokens can be guessed.
const SHORTEST: usize = 16;

/// Reads the file; empty lines and lines that begin with `#` do not count.
///
/// # Errors
/// The file cannot be read, a line cannot be understood, or there is no token in it; never shows a token.
pub(super) fn read(path: &Path) -> anyhow::Result<Vec<Token>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut tokens = Vec::new();
    for (number, line) in
        text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'))
    {
        let place = format!("{}, line {}", path.display(), number + 1);
        let [role, name, token] = line.split_whitespace().collect::<Vec<_>>()[..] else {
            bail!(
                "{place}: expected ROLE NAME TOKEN, for example `operator pipeline $(openssl rand -hex 16)`"
            );
        };
        let role = match role {
            "viewer" => Role::Viewer,
            "operator" => Role::Operator,
            "admin" => Role::Admin,
            other => bail!("{place}: unknown role '{other}', one of: viewer, operator, admin"),
        };
        if token.len() < SHORTEST {
            bail!("{place}: the token of '{name}' has fewer than {SHORTEST} characters, make it longer");
        }
        tokens.push(Token::new(name, role, token));
    }
    if tokens.is_empty() {
        bail!("{} holds no token", path.display());
    }
    Ok(tokens)
}
