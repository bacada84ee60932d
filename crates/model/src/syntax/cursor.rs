//! A place in a text that moves forward.

use super::SyntaxError;

/// A text and a byte offset into it.
#[derive(Debug, Clone)]
pub(crate) struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

/// White space between tokens: blank, tab, CR, LF, FF.
pub(crate) const fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n' | '\x0c')
}

/// A character of a keyword, or of what somebody may have meant as one.
const fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')
}

impl<'a> Cursor<'a> {
    /// At the start of a text.
    pub(crate) const fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// Byte offset.
    pub(crate) const fn offset(&self) -> usize {
        self.at
    }

    /// Moves to a byte offset, which is a character boundary.
    pub(crate) fn seek(&mut self, offset: usize) {
        debug_assert!(self.text.is_char_boundary(offset));
        self.at = offset;
    }

    /// The text from here on.
    pub(crate) fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// The text from an offset up to here.
    pub(crate) fn since(&self, start: usize) -> &'a str {
        &self.text[start..self.at]
    }

    /// The next character.
    pub(crate) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Takes the next character.
    pub(crate) fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    /// Takes `token` if it is next.
    pub(crate) fn eat(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    /// Takes characters while `test` holds.
    pub(crate) fn take_while(&mut self, test: impl Fn(char) -> bool) -> &'a str {
        let start = self.at;
        while self.peek().is_some_and(&test) {
            self.bump();
        }
        self.since(start)
    }

    /// Skips white space; true when there was some.
    pub(crate) fn skip_space(&mut self) -> bool {
        !self.take_while(is_space).is_empty()
    }

    /// The word that is next, possibly empty.
    pub(crate) fn peek_word(&self) -> &'a str {
        self.clone().take_while(is_word)
    }

    /// Takes the next word when it is `word`, ignoring case.
    pub(crate) fn eat_word(&mut self, word: &str) -> bool {
        let next = self.peek_word();
        let found = next.eq_ignore_ascii_case(word);
        if found {
            self.at += next.len();
        }
        found
    }

    /// What is next, for a message: `'word'`, `'('` or `the end`.
    pub(crate) fn found(&self) -> String {
        const SHOWN: usize = 24;
        let word = self.peek_word();
        match self.peek() {
            None => "the end".to_owned(),
            Some(_) if word.len() > SHOWN => format!("'{}...'", &word[..SHOWN]),
            Some(_) if !word.is_empty() => format!("'{word}'"),
            Some(c) if is_space(c) => "white space".to_owned(),
            Some(c) => format!("'{}'", c.escape_debug()),
        }
    }

    /// An error here.
    pub(crate) fn error<T>(&self, message: impl Into<String>) -> Result<T, SyntaxError> {
        Err(SyntaxError::new(self.at, message))
    }

    /// Takes a quoted text whose quote is next; the quote itself is written twice inside.
    pub(crate) fn quoted(&mut self) -> Result<String, SyntaxError> {
        let start = self.at;
        let quote = self.bump().unwrap_or('\'');
        let mut value = String::new();
        loop {
            match self.bump() {
                None => {
                    let message = format!("missing closing {quote} for the text that starts here");
                    return Err(SyntaxError::new(start, message));
                }
                Some(c) if c != quote => value.push(c),
                Some(_) if self.peek() == Some(quote) => {
                    self.bump();
                    value.push(quote);
                }
                Some(_) => return Ok(value),
            }
        }
    }
}

/// Puts a text in quotes so that [`Cursor::quoted`] reads it back.
pub(crate) fn quote(text: &str) -> String {
    if text.contains('"') && !text.contains('\'') {
        format!("'{text}'")
    } else {
        format!("\"{}\"", text.replace('"', "\"\""))
    }
}
