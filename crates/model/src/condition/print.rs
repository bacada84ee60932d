//! Tree to canonical text: lower-case keywords, words for operators, quotes and parentheses only where they matter.

use std::fmt;

use super::{Expression, Operand};
use crate::syntax::cursor::quote;

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (parts, operator) = match self {
            Self::And(parts) => (parts, " and "),
            Self::Or(parts) => (parts, " or "),
            Self::Not(part) if matches!(**part, Self::Test { .. }) => return write!(f, "not {part}"),
            Self::Not(part) => return write!(f, "not ({part})"),
            Self::Test { operand, negated } => return test(f, operand, *negated),
        };
        for (i, part) in parts.iter().enumerate() {
            if i > 0 {
                f.write_str(operator)?;
            }
            match (self, part) {
                (Self::Or(_), Self::And(_)) | (_, Self::Not(_) | Self::Test { .. }) => part.fmt(f)?,
                _ => write!(f, "({part})")?,
            }
        }
        Ok(())
    }
}

fn test(f: &mut fmt::Formatter<'_>, operand: &Operand, negated: bool) -> fmt::Result {
    let equals = if negated { "!=" } else { "==" };
    let has = if negated { "misses" } else { "has" };
    match operand {
        Operand::Host(value) => write!(f, "host {equals} {}", text(value)),
        Operand::UserAgent(value) => write!(f, "user-agent {equals} {}", text(value)),
        Operand::HasHeader(name) => write!(f, "{has} header {}", text(name)),
        Operand::HasCookie(name) => write!(f, "{has} cookie {}", text(name)),
        Operand::HeaderContains { name, value } => write!(f, "header {} {has} {}", text(name), text(value)),
        Operand::CookieContains { name, value } => write!(f, "cookie {} {has} {}", text(name), text(value)),
        Operand::Raw(matcher) if negated => write!(f, "not < {matcher} >"),
        Operand::Raw(matcher) => write!(f, "< {matcher} >"),
    }
}

/// A text with quotes where it needs them, or where they help the reader.
fn text(text: &str) -> String {
    let plain =
        |c: char| c.is_ascii_graphic() && !matches!(c, '(' | ')' | '\'' | '"' | '&' | '|' | '!' | '=');
    let keyword = ["and", "or", "not"].iter().any(|word| text.eq_ignore_ascii_case(word));
    if !text.is_empty() && !keyword && text.chars().all(plain) { text.to_owned() } else { quote(text) }
}
