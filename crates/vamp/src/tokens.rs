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
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<Token>> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read {} (--token-file)", path.display()))?;
    let mut tokens = Vec::new();
    let mut seen: Vec<(&str, &str)> = Vec::new();
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
        // One token, one caller: who comes first would decide the role otherwise.
        if let Some((_, other)) = seen.iter().find(|(known, _)| *known == token) {
            bail!("{place}: '{name}' has the token of '{other}', give each its own");
        }
        seen.push((token, name));
        tokens.push(Token::new(name, role, token));
    }
    if tokens.is_empty() {
        bail!("{} holds no token", path.display());
    }
    Ok(tokens)
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn a_token_file_is_read_or_refused_with_the_line() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tokens");
        let check = |text: &str, expected: Result<usize, &str>| {
            std::fs::write(&file, text).unwrap();
            match (read(&file), expected) {
                (Ok(tokens), Ok(number)) => assert_eq!(tokens.len(), number, "{text:?}"),
                (Err(error), Err(part)) => {
                    let message = format!("{error:#}");
                    assert!(message.contains(part), "{text:?}: {message}");
                    assert!(!message.contains("0123456789"), "a message shows a token: {message}");
                }
                (other, _) => panic!("{text:?}: {:?}", other.map(|tokens| tokens.len())),
            }
        };
        check("# people\n\nviewer a 0123456789abcdef\nadmin a 0123456789abcdeg\n", Ok(2));
        check("", Err("holds no token"));
        check("viewer a", Err("line 1: expected ROLE NAME TOKEN"));
        check("viewer a 0123456789abcdef x", Err("line 1: expected ROLE NAME TOKEN"));
        check("\nroot a 0123456789abcdef", Err("line 2: unknown role 'root'"));
        check("viewer a 0123456789", Err("fewer than 16 characters"));
        check("viewer a 0123456789abcdef\nadmin b 0123456789abcdef", Err("line 2: 'b' has the token of 'a'"));
    }
}
