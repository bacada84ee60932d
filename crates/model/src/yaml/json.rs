//! Strict JSON (RFC 8259) with positions.
//!
//! JSON is almost YAML. A YAML parser refuses surrogate pairs, and trips over some tabs, so JSON gets a reader of its own;
//! a text that is not JSON is left to the YAML parser, which also words the error.

use serde_json::Value;

use crate::problem::{Position, Problems};
use crate::yaml::map::MapBuilder;
use crate::yaml::{Budget, Content, Cost, MAX_DEPTH, Node, scalar, syntax};

/// What came of reading a text as JSON.
pub(super) enum Outcome {
    /// The document.
    Read(Node),
    /// JSON, but refused: duplicate keys or beyond a limit.
    Refused(Problems),
    /// Not JSON; may be YAML.
    NotJson,
}

/// Reads a text that is one JSON value.
pub(super) fn read(text: &str) -> Outcome {
    let mut reader = Reader {
        text,
        at: 0,
        mark: Mark { offset: 0, position: Position { line: 1, column: 1 } },
        budget: Budget::new(),
        problems: Problems::default(),
    };
    reader.blanks();
    // A lone scalar is left to YAML: `suspended` and `"x"` mean the same there.
    if !matches!(reader.peek(), Some(b'{' | b'[')) {
        return Outcome::NotJson;
    }
    let node = match reader.value(1) {
        Ok(node) => node,
        Err(Stop::NotJson) => return Outcome::NotJson,
        Err(Stop::Limit(problems)) => return Outcome::Refused(problems),
    };
    reader.blanks();
    if reader.at != text.len() {
        return Outcome::NotJson;
    }
    match reader.problems.into_result(node) {
        Ok(node) => Outcome::Read(node),
        Err(problems) => Outcome::Refused(problems),
    }
}

enum Stop {
    NotJson,
    Limit(Problems),
}

/// The last offset whose position was asked for: positions only grow, so each character is counted once.
struct Mark {
    offset: usize,
    position: Position,
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    mark: Mark,
    budget: Budget,
    problems: Problems,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn blanks(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8) -> Result<(), Stop> {
        if self.peek() == Some(byte) {
            self.at += 1;
            return Ok(());
        }
        Err(Stop::NotJson)
    }

    fn position(&mut self) -> Position {
        for character in self.text[self.mark.offset..self.at].chars() {
            if character == '\n' {
                self.mark.position.line += 1;
                self.mark.position.column = 1;
            } else {
                self.mark.position.column += 1;
            }
        }
        self.mark.offset = self.at;
        self.mark.position
    }

    fn spend(&mut self, bytes: usize, position: Position) -> Result<(), Stop> {
        self.budget.spend(Cost { nodes: 1, bytes }).map_err(|message| Stop::Limit(syntax(&message, position)))
    }

    fn value(&mut self, depth: usize) -> Result<Node, Stop> {
        self.blanks();
        let position = self.position();
        if depth > MAX_DEPTH {
            return Err(Stop::Limit(syntax(&format!("nested deeper than {MAX_DEPTH} levels"), position)));
        }
        let content = match self.peek().ok_or(Stop::NotJson)? {
            b'{' => self.map(depth, position)?,
            b'[' => self.list(depth, position)?,
            b'"' => {
                let start = self.at;
                let text = self.string()?;
                self.spend(text.len(), position)?;
                let inset = (self.at - start == text.len() + 2).then_some(1);
                Content::Scalar { value: Value::String(text.clone()), text, inset }
            }
            b't' => self.word("true", Value::Bool(true), position)?,
            b'f' => self.word("false", Value::Bool(false), position)?,
            b'n' => self.word("null", Value::Null, position)?,
            _ => self.number(position)?,
        };
        Ok(Node { position, content })
    }

    fn map(&mut self, depth: usize, position: Position) -> Result<Content, Stop> {
        self.spend(0, position)?;
        self.at += 1;
        let mut map = MapBuilder::default();
        self.blanks();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Content::Map(map.finish()));
        }
        loop {
            self.blanks();
            let position = self.position();
            let key = self.string()?;
            self.spend(key.len(), position)?;
            self.blanks();
            self.expect(b':')?;
            let value = self.value(depth + 1)?;
            map.add(key, position, value, &mut self.problems);
            self.blanks();
            match self.peek() {
                Some(b',') => self.at += 1,
                _ => break,
            }
        }
        self.expect(b'}')?;
        Ok(Content::Map(map.finish()))
    }

    fn list(&mut self, depth: usize, position: Position) -> Result<Content, Stop> {
        self.spend(0, position)?;
        self.at += 1;
        let mut elements = Vec::new();
        self.blanks();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Content::List(elements));
        }
        loop {
            elements.push(self.value(depth + 1)?);
            self.blanks();
            match self.peek() {
                Some(b',') => self.at += 1,
                _ => break,
            }
        }
        self.expect(b']')?;
        Ok(Content::List(elements))
    }

    fn word(&mut self, word: &str, value: Value, position: Position) -> Result<Content, Stop> {
        if !self.text[self.at..].starts_with(word) {
            return Err(Stop::NotJson);
        }
        self.at += word.len();
        self.spend(word.len(), position)?;
        Ok(Content::Scalar { text: word.to_owned(), value, inset: Some(0) })
    }

    fn number(&mut self, position: Position) -> Result<Content, Stop> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        let whole = self.digits()?;
        if whole.len() > 1 && whole.starts_with('0') {
            return Err(Stop::NotJson);
        }
        let mut fractional = false;
        if self.peek() == Some(b'.') {
            fractional = true;
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            fractional = true;
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        let text = self.text[start..self.at].to_owned();
        self.spend(text.len(), position)?;
        // A number that floating point cannot hold stays what it is: text.
        let value =
            scalar::decimal(&text, fractional).map_or_else(|| Value::String(text.clone()), Value::Number);
        Ok(Content::Scalar { text, value, inset: Some(0) })
    }

    fn digits(&mut self) -> Result<&str, Stop> {
        let start = self.at;
        while self.peek().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start { Err(Stop::NotJson) } else { Ok(&self.text[start..self.at]) }
    }

    fn string(&mut self) -> Result<String, Stop> {
        self.expect(b'"')?;
        let mut text = String::new();
        loop {
            let start = self.at;
            while self.peek().is_some_and(|b| b != b'"' && b != b'\\' && b >= 0x20) {
                self.at += 1;
            }
            text.push_str(&self.text[start..self.at]);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(text);
                }
                Some(b'\\') => {
                    self.at += 1;
                    text.push(self.escape()?);
                }
                _ => return Err(Stop::NotJson),
            }
        }
    }

    fn escape(&mut self) -> Result<char, Stop> {
        let byte = self.peek().ok_or(Stop::NotJson)?;
        self.at += 1;
        Ok(match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode(),
            _ => return Err(Stop::NotJson),
        })
    }

    fn unicode(&mut self) -> Result<char, Stop> {
        let first = self.hex()?;
        if !(0xd800..0xdc00).contains(&first) {
            return char::from_u32(first).ok_or(Stop::NotJson);
        }
        self.expect(b'\\')?;
        self.expect(b'u')?;
        let second = self.hex()?;
        if !(0xdc00..0xe000).contains(&second) {
            return Err(Stop::NotJson);
        }
        char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)).ok_or(Stop::NotJson)
    }

    fn hex(&mut self) -> Result<u32, Stop> {
        let digits = self.text.get(self.at..self.at + 4).ok_or(Stop::NotJson)?;
        if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(Stop::NotJson);
        }
        self.at += 4;
        u32::from_str_radix(digits, 16).map_err(|_| Stop::NotJson)
    }
}
