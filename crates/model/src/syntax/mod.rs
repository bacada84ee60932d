//! What the small languages of a gateway document share: errors with a position, a cursor over text, the boolean
//! grammar, regular expressions with limits, and "did you mean".
//!
//! ```text
//! selector ─┐                        ┌─ cursor: text and byte offset
//! condition ├─> boolean::parse ──────┤
//! rewrite ──┘   (and, or, not, ( ))  └─ the operands of the language
//! matcher ────> cursor, regex
//! ```

use std::fmt;

use crate::problem::Position;

pub(crate) mod boolean;
pub(crate) mod cursor;
pub(crate) mod pattern;
pub(crate) mod suggest;

pub use suggest::closest;

/// Longest text of a selector, condition, raw matcher or rewrite in bytes.
///
/// Far above what people write, and low enough that parsing and evaluating the worst text stays cheap.
pub const TEXT_LIMIT: usize = 4096;

/// Deepest nesting of `and`, `or` and `not` in one tree. Walking, comparing, printing and dropping a tree recurse, so this
/// bounds their stack. Parentheses and repeated negations that add nothing to the tree do not count.
pub const DEPTH_LIMIT: usize = 200;

/// Why a text is refused: byte offset into the text, and a message that names the way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxError {
    /// Byte offset into the text.
    pub offset: usize,
    /// What is wrong, lower case, no final dot.
    pub message: String,
}

impl SyntaxError {
    /// An error at a byte offset.
    pub fn new(offset: usize, message: impl Into<String>) -> Self {
        Self { offset, message: message.into() }
    }

    /// Line and column of the error in the text that was parsed.
    pub fn position(&self, text: &str) -> Position {
        let before = &text[..floor(text, self.offset)];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Position { line: before.matches('\n').count() + 1, column: before[line_start..].chars().count() + 1 }
    }

    /// One line: the message and where, for example `expected a value, found the end (column 9)`.
    pub fn describe(&self, text: &str) -> String {
        let Position { line, column } = self.position(text);
        if text.contains('\n') {
            format!("{} (line {line}, column {column})", self.message)
        } else {
            format!("{} (column {column})", self.message)
        }
    }

    /// Three lines for a terminal: the line of the text around the error, a caret below the place, the message.
    ///
    /// ```text
    /// lable(app)(sava)
    /// ^ unknown operand 'lable', did you mean 'label'?
    /// ```
    pub fn render(&self, text: &str) -> String {
        const BEFORE: usize = 60;
        const AFTER: usize = 20;
        let Position { line, column } = self.position(text);
        let shown: Vec<char> = text
            .split('\n')
            .nth(line - 1)
            .unwrap_or_default()
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        let start = (column - 1).saturating_sub(BEFORE);
        let end = shown.len().min(column - 1 + AFTER);
        let (lead, trail) = (if start > 0 { "..." } else { "" }, if end < shown.len() { "..." } else { "" });
        let window: String = shown[start..end].iter().collect();
        let indent = " ".repeat(lead.len() + column - 1 - start);
        format!("{lead}{window}{trail}\n{indent}^ {}", self.message)
    }

    /// The same error in a text that starts `by` bytes later.
    pub(crate) fn shifted(mut self, by: usize) -> Self {
        self.offset += by;
        self
    }
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for SyntaxError {}

/// Refuses texts above [`TEXT_LIMIT`]; `what` names the kind of text.
pub(crate) fn check_length(text: &str, what: &str) -> Result<(), SyntaxError> {
    if text.len() <= TEXT_LIMIT {
        return Ok(());
    }
    let message = format!("the {what} is {} bytes long, at most {TEXT_LIMIT} are allowed", text.len());
    Err(SyntaxError::new(floor(text, TEXT_LIMIT), message))
}

/// The nearest character boundary at or before an offset.
fn floor(text: &str, offset: usize) -> usize {
    (0..=offset.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}

#[cfg(test)]
mod tests;
