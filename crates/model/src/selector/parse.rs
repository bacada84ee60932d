//! Text to tree (section 8.1 with the leniency of R15).

use super::{Namespace, Node, Operand};
use crate::syntax::boolean::{self, Language};
use crate::syntax::cursor::{Cursor, is_space};
use crate::syntax::pattern::Pattern;
use crate::syntax::{SyntaxError, check_length, closest};

/// Bytes that the compiled patterns of one selector may take together, and the bounds of a single one.
const PATTERNS_SIZE_LIMIT: usize = 16 * 1024 * 1024;
const PATTERN_SIZE_LIMITS: (usize, usize) = (64 * 1024, 2 * 1024 * 1024);

const KEYWORDS: [&str; 13] = [
    "label",
    "name",
    "id",
    "namespace",
    "group",
    "kind",
    "type",
    "image",
    "ip",
    "host",
    "port",
    "index",
    "port_index",
];

/// Parses a selector.
pub(super) fn selector(text: &str) -> Result<Node, SyntaxError> {
    check_length(text, "selector")?;
    if text.chars().all(is_space) {
        return Err(SyntaxError::new(
            0,
            "the selector is empty; write 'true' for everything, or label(name)(value)",
        ));
    }
    // Every pattern needs a parenthesis, so their number shares out the budget before anything is compiled.
    let patterns = text.bytes().filter(|&byte| byte == b'(').count().max(1);
    let (least, most) = PATTERN_SIZE_LIMITS;
    let mut grammar = Grammar { size_limit: (PATTERNS_SIZE_LIMIT / patterns).clamp(least, most) };
    boolean::parse(&mut grammar, text)
}

struct Grammar {
    /// Compiled size of one pattern.
    size_limit: usize,
}

impl Language for Grammar {
    type Node = Node;

    const EXPECTED: &'static str =
        "an operand such as label(name)(value), name(x), namespace(x), port(8080) or true";

    fn operand(&mut self, cursor: &mut Cursor<'_>) -> Result<Node, SyntaxError> {
        let start = cursor.offset();
        let word = cursor.peek_word();
        let mut after = cursor.clone();
        after.seek(start + word.len());
        let operand = match word {
            "namespace" | "group" => {
                *cursor = after;
                let (text, at) = pattern_text(cursor, word)?;
                if matches!(text, "$namespace" | "${namespace}") {
                    Operand::Namespace(Namespace::Own)
                } else {
                    Operand::Namespace(Namespace::Matching(self.compile(text, at)?))
                }
            }
            "name" | "id" => Operand::Name(self.pattern(cursor, after, word)?),
            "kind" | "type" => Operand::Kind(self.pattern(cursor, after, word)?),
            "image" => Operand::Image(self.pattern(cursor, after, word)?),
            "ip" | "host" => Operand::Ip(self.pattern(cursor, after, word)?),
            "label" => {
                let key = self.pattern(cursor, after, word)?;
                let mut second = cursor.clone();
                second.skip_space();
                if second.peek() != Some('(') {
                    return second.error(format!(
                        "label takes two patterns, label(name)(value), found {} after the first; write label(name)(.*) for any value",
                        second.found()
                    ));
                }
                *cursor = second;
                let (text, at) = pattern_text(cursor, word)?;
                Operand::Label { key, value: self.compile(text, at)? }
            }
            "port" => Operand::Port(number(cursor, after, word)?),
            "port_index" | "index" => Operand::Index(number(cursor, after, word)?),
            _ => match constant(word) {
                Some(value) => {
                    *cursor = after;
                    Operand::Constant(value)
                }
                None => return unknown(cursor, word),
            },
        };
        Ok(Node::Operand(operand))
    }

    fn trailing(&self, cursor: &Cursor<'_>) -> Option<SyntaxError> {
        let expected = match cursor.peek()? {
            '(' => "this operand takes no further '(...)'; write 'and' or 'or' between operands",
            _ if KEYWORDS.contains(&cursor.peek_word()) => "missing 'and' or 'or' between two operands",
            _ => return None,
        };
        Some(SyntaxError::new(cursor.offset(), expected))
    }

    fn and(parts: Vec<Node>) -> Node {
        Node::And(parts)
    }

    fn or(parts: Vec<Node>) -> Node {
        Node::Or(parts)
    }

    fn not(part: Node) -> Node {
        Node::Not(Box::new(part))
    }
}

impl Grammar {
    fn pattern<'a>(
        &self,
        cursor: &mut Cursor<'a>,
        after: Cursor<'a>,
        word: &str,
    ) -> Result<Pattern, SyntaxError> {
        *cursor = after;
        let (text, at) = pattern_text(cursor, word)?;
        self.compile(text, at)
    }

    fn compile(&self, text: &str, at: usize) -> Result<Pattern, SyntaxError> {
        Pattern::new(text, self.size_limit).map_err(|error| error.shifted(at))
    }
}

fn constant(word: &str) -> Option<bool> {
    match word.to_ascii_lowercase().as_str() {
        "true" | "t" | "1" => Some(true),
        "false" | "f" | "0" => Some(false),
        _ => None,
    }
}

fn unknown<T>(cursor: &Cursor<'_>, word: &str) -> Result<T, SyntaxError> {
    if word.is_empty() {
        return cursor.error(format!("expected {}, found {}", Grammar::EXPECTED, cursor.found()));
    }
    let found = cursor.found();
    match closest(word, &KEYWORDS) {
        Some(known) if known.eq_ignore_ascii_case(word) => {
            cursor.error(format!("unknown operand {found}; operands are lower case, write '{known}'"))
        }
        Some(known) => cursor.error(format!("unknown operand {found}, did you mean '{known}'?")),
        None => cursor.error(format!(
            "unknown operand {found}; operands are label(name)(value), name, namespace, kind, image, ip, port, index, true and false"
        )),
    }
}

/// Moves behind the `(` of an operand.
fn open(cursor: &mut Cursor<'_>, word: &str) -> Result<usize, SyntaxError> {
    cursor.skip_space();
    let at = cursor.offset();
    if cursor.eat("(") {
        return Ok(at);
    }
    let example = match word {
        "label" => "label(name)(value)".to_owned(),
        "port" => "port(8080)".to_owned(),
        "index" | "port_index" => format!("{word}(0)"),
        _ => format!("{word}(pattern)"),
    };
    cursor.error(format!("expected '(' after '{word}', found {}; write {example}", cursor.found()))
}

/// The text between the parentheses of a pattern, and where it starts. Parentheses inside nest when they are balanced;
/// escaped ones and those of a character class are literals.
fn pattern_text<'a>(cursor: &mut Cursor<'a>, word: &str) -> Result<(&'a str, usize), SyntaxError> {
    let opened = open(cursor, word)?;
    let start = cursor.offset();
    let (mut groups, mut classes) = (0_usize, 0_usize);
    loop {
        let at = cursor.offset();
        match cursor.bump() {
            None if classes > 0 => {
                return Err(SyntaxError::new(opened, "missing ']' and ')' for the pattern that starts here"));
            }
            None => return Err(SyntaxError::new(opened, "missing ')' for this '('")),
            Some(c) if c.is_control() && !is_space(c) => {
                let message =
                    "control characters are not allowed in a pattern; write an escape such as \\x07";
                return Err(SyntaxError::new(at, message));
            }
            Some('\\') => {
                cursor.bump();
            }
            Some('[') => {
                classes += 1;
                cursor.eat("^");
                cursor.eat("]");
            }
            Some(']') => classes = classes.saturating_sub(1),
            Some('(') if classes == 0 => groups += 1,
            Some(')') if classes == 0 => {
                if groups > 0 {
                    groups -= 1;
                    continue;
                }
                let text = &cursor.since(start)[..at - start];
                if text.is_empty() {
                    let message = "empty pattern; write .* for any text";
                    return Err(SyntaxError::new(at, message));
                }
                return Ok((text, start));
            }
            Some(_) => {}
        }
    }
}

/// `(digits)`, without white space inside.
fn number<'a>(cursor: &mut Cursor<'a>, after: Cursor<'a>, word: &str) -> Result<u32, SyntaxError> {
    *cursor = after;
    open(cursor, word)?;
    let start = cursor.offset();
    let digits = cursor.take_while(|c| c.is_ascii_digit());
    if digits.is_empty() {
        return cursor.error(format!("expected a number in '{word}(...)', found {}", cursor.found()));
    }
    if !cursor.eat(")") {
        return cursor.error(format!("expected ')' after the number, found {}", cursor.found()));
    }
    match digits.parse() {
        Ok(number) => Ok(number),
        Err(_) => Err(SyntaxError::new(start, format!("the number of '{word}' must fit 32 bits"))),
    }
}
