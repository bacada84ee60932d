//! Text to tree (section 10.1 with the leniency of R15, and R27).

use super::{Expression, Operand};
use crate::matcher::Matcher;
use crate::syntax::boolean::{self, Language};
use crate::syntax::cursor::{Cursor, is_space};
use crate::syntax::{SyntaxError, check_length, closest};

const KEYWORDS: [&str; 9] =
    ["host", "user-agent", "useragent", "user.agent", "has", "contains", "misses", "header", "cookie"];

/// Parses a condition, or a whole text that is one raw matcher.
pub(crate) fn expression(text: &str) -> Result<Expression, SyntaxError> {
    check_length(text, "condition")?;
    let trimmed = text.trim_matches(is_space);
    if trimmed.is_empty() {
        return Err(SyntaxError::new(0, "the condition is empty"));
    }
    let error = match boolean::parse(&mut Grammar::default(), text) {
        Ok(expression) => return Ok(expression),
        Err(error) => error,
    };
    // Texts of the two languages start differently, so the start tells which of the two errors helps.
    let first = Cursor::new(trimmed).peek_word();
    let condition = first.eq_ignore_ascii_case("not") || is_keyword(first);
    if condition || !Matcher::looks_like_one(trimmed) {
        return Err(error);
    }
    let start = text.len() - text.trim_start_matches(is_space).len();
    match Matcher::parse(trimmed) {
        Ok(matcher) => Ok(raw(matcher)),
        Err(error) => Err(error.shifted(start)),
    }
}

fn is_keyword(word: &str) -> bool {
    KEYWORDS.iter().any(|known| known.eq_ignore_ascii_case(word))
}

/// The test of a raw matcher.
pub(crate) fn raw(matcher: Matcher) -> Expression {
    Expression::Test { operand: Operand::Raw(matcher), negated: false }
}

#[derive(Default)]
struct Grammar {
    /// Offset and end of the unquoted text that was read last.
    bare: Option<(usize, usize)>,
}

impl Language for Grammar {
    type Node = Expression;

    const EXPECTED: &'static str = "a condition such as host == a, user-agent == Firefox, has header X, cookie X has y or < path_beg /x >";

    fn operand(&mut self, cursor: &mut Cursor<'_>) -> Result<Expression, SyntaxError> {
        self.bare = None;
        if cursor.peek() == Some('<') {
            return angle(cursor);
        }
        let start = cursor.offset();
        let word = cursor.peek_word();
        let mut after = cursor.clone();
        after.seek(start + word.len());
        let keyword = word.to_ascii_lowercase();
        let (operand, negated) = match keyword.as_str() {
            "host" => {
                *cursor = after;
                let negated = compare(cursor, "host")?;
                (Operand::Host(self.text(cursor, "a host name")?), negated)
            }
            "useragent" | "user-agent" | "user.agent" => {
                *cursor = after;
                let negated = compare(cursor, word)?;
                (Operand::UserAgent(self.text(cursor, "a browser name or a part of the header")?), negated)
            }
            "has" | "contains" | "misses" => {
                *cursor = after;
                space(cursor, word)?;
                let negated = keyword == "misses";
                let what = cursor.peek_word();
                if cursor.eat_word("header") {
                    space(cursor, what)?;
                    (Operand::HasHeader(self.text(cursor, "a header name")?), negated)
                } else if cursor.eat_word("cookie") {
                    space(cursor, what)?;
                    (Operand::HasCookie(self.text(cursor, "a cookie name")?), negated)
                } else {
                    return cursor.error(format!(
                        "expected 'header' or 'cookie' after '{word}', found {}; write '{word} header NAME'",
                        cursor.found()
                    ));
                }
            }
            "header" | "cookie" => {
                *cursor = after;
                space(cursor, word)?;
                let name = self.text(cursor, &format!("a {keyword} name"))?;
                let negated = contains(cursor, &keyword)?;
                let value = self.text(cursor, "a value")?;
                let operand = match keyword.as_str() {
                    "header" => Operand::HeaderContains { name, value },
                    _ => Operand::CookieContains { name, value },
                };
                (operand, negated)
            }
            _ => return unknown(cursor, word),
        };
        Ok(Expression::Test { operand, negated })
    }

    fn trailing(&self, cursor: &Cursor<'_>) -> Option<SyntaxError> {
        if let Some((start, end)) = self.bare {
            let mut bare = cursor.clone();
            bare.seek(end);
            let value = bare.since(start);
            let stripped = value.trim_end_matches(['&', '|']);
            if stripped.len() < value.len() {
                let message = format!(
                    "the value '{value}' ends with an operator; write a blank before '{}', or quote the value",
                    &value[stripped.len()..]
                );
                return Some(SyntaxError::new(start + stripped.len(), message));
            }
        }
        let found = cursor.found();
        let message = match cursor.peek()? {
            '(' => format!("expected 'and' or 'or', found {found}; values with parentheses need quotes"),
            _ if is_keyword(cursor.peek_word()) => format!("missing 'and' or 'or' before {found}"),
            _ => format!("expected 'and' or 'or', found {found}; values with blanks need quotes"),
        };
        Some(SyntaxError::new(cursor.offset(), message))
    }

    fn and(parts: Vec<Expression>) -> Expression {
        Expression::And(parts)
    }

    fn or(parts: Vec<Expression>) -> Expression {
        Expression::Or(parts)
    }

    fn not(part: Expression) -> Expression {
        Expression::Not(Box::new(part))
    }
}

impl Grammar {
    /// A quoted text, or one up to the next white space or parenthesis.
    fn text(&mut self, cursor: &mut Cursor<'_>, what: &str) -> Result<String, SyntaxError> {
        let start = cursor.offset();
        match cursor.peek() {
            None | Some(')') => cursor.error(format!("expected {what}, found {}", cursor.found())),
            Some('(') => {
                cursor.error(format!("expected {what}, found '('; values with parentheses need quotes"))
            }
            Some('\'' | '"') => {
                let value = cursor.quoted()?;
                check_characters(cursor, start, |c| c == ' ' || c.is_ascii_graphic())?;
                match cursor.peek() {
                    None | Some('(' | ')' | '&' | '|') => Ok(value),
                    Some(c) if is_space(c) => Ok(value),
                    Some(_) => cursor.error("expected white space after the closing quote"),
                }
            }
            Some(_) => {
                let value = cursor.take_while(|c| !is_space(c) && c != '(' && c != ')');
                check_characters(cursor, start, |c| c.is_ascii_graphic())?;
                self.bare = Some((start, cursor.offset()));
                Ok(value.to_owned())
            }
        }
    }
}

/// Refuses characters that no header can be compared with.
fn check_characters(
    cursor: &Cursor<'_>,
    start: usize,
    allowed: impl Fn(char) -> bool,
) -> Result<(), SyntaxError> {
    match cursor.since(start).char_indices().find(|&(_, c)| !allowed(c)) {
        None => Ok(()),
        Some((at, c)) => {
            let message =
                format!("the character '{}' is not allowed, only printable ASCII is", c.escape_debug());
            Err(SyntaxError::new(start + at, message))
        }
    }
}

/// White space that must follow a keyword.
fn space(cursor: &mut Cursor<'_>, word: &str) -> Result<(), SyntaxError> {
    if cursor.skip_space() {
        return Ok(());
    }
    cursor.error(format!("expected white space after '{word}', found {}", cursor.found()))
}

/// The comparison of `host` and `user-agent`; true for the negative ones.
fn compare(cursor: &mut Cursor<'_>, operand: &str) -> Result<bool, SyntaxError> {
    let spaced = cursor.skip_space();
    for (symbol, negated) in [("==", false), ("=", false), ("!=", true), ("!", true)] {
        if cursor.eat(symbol) {
            cursor.skip_space();
            return Ok(negated);
        }
    }
    let word = cursor.peek_word();
    for (keyword, negated) in
        [("is", false), ("not", true), ("has", false), ("contains", false), ("misses", true)]
    {
        if spaced && cursor.eat_word(keyword) {
            space(cursor, word)?;
            // A value may be called "not", but "is not x" is a slip.
            let mut ahead = cursor.clone();
            if keyword == "is"
                && ahead.eat_word("not")
                && ahead.skip_space()
                && !matches!(ahead.peek(), None | Some(')' | '&' | '|'))
                && !ahead.eat_word("and")
                && !ahead.eat_word("or")
            {
                return cursor.error("'is not' is no comparison; write 'not' or '!='");
            }
            return Ok(negated);
        }
    }
    cursor.error(format!(
        "expected '==', '!=', 'is', 'not', 'has', 'contains' or 'misses' after '{operand}', found {}",
        cursor.found()
    ))
}

/// ` has `, ` contains ` or ` misses ` between name and value; true for the negative one.
fn contains(cursor: &mut Cursor<'_>, operand: &str) -> Result<bool, SyntaxError> {
    let spaced = cursor.skip_space();
    let word = cursor.peek_word();
    for (keyword, negated) in [("has", false), ("contains", false), ("misses", true)] {
        if spaced && cursor.eat_word(keyword) {
            space(cursor, word)?;
            return Ok(negated);
        }
    }
    let hint = match cursor.peek() {
        None | Some(')') => format!("; to test that it is there, write 'has {operand} NAME'"),
        Some('=' | '!') => {
            format!("; a {operand} cannot be compared with '==' or '!=', write '{operand} NAME has VALUE'")
        }
        _ => String::new(),
    };
    cursor.error(format!(
        "expected 'has', 'contains' or 'misses' after the name of the {operand}, found {}{hint}",
        cursor.found()
    ))
}

/// `< raw >`.
fn angle(cursor: &mut Cursor<'_>) -> Result<Expression, SyntaxError> {
    let open = cursor.offset();
    cursor.bump();
    let start = cursor.offset();
    let text = cursor.take_while(|c| c != '<' && c != '>');
    if !cursor.eat(">") {
        return Err(SyntaxError::new(open, "missing '>' for this '<'"));
    }
    let trimmed = text.trim_matches(is_space);
    if trimmed.is_empty() {
        return Err(SyntaxError::new(open, "expected a raw matcher such as path_beg /x between '<' and '>'"));
    }
    let lead = text.len() - text.trim_start_matches(is_space).len();
    Matcher::parse(trimmed).map(raw).map_err(|error| error.shifted(start + lead))
}

fn unknown<T>(cursor: &Cursor<'_>, word: &str) -> Result<T, SyntaxError> {
    if word.is_empty() {
        return cursor.error(format!("expected {}, found {}", Grammar::EXPECTED, cursor.found()));
    }
    let found = cursor.found();
    let mut rest = cursor.clone();
    rest.eat_word("user");
    rest.skip_space();
    if word.eq_ignore_ascii_case("user_agent")
        || (word.eq_ignore_ascii_case("user") && rest.peek_word().eq_ignore_ascii_case("agent"))
    {
        return cursor.error(format!("unknown operand {found}, write 'user-agent'"));
    }
    if Matcher::looks_like_one(cursor.rest()) {
        return cursor.error(format!(
            "expected a condition, found {found}; a raw matcher inside a condition stands in angle brackets, < path_beg /x >"
        ));
    }
    match closest(word, &KEYWORDS) {
        Some(known) => cursor.error(format!("unknown operand {found}, did you mean '{known}'?")),
        None => cursor.error(format!(
            "unknown operand {found}; expected host, user-agent, has header, has cookie, header, cookie, or a raw matcher such as < path_beg /x >"
        )),
    }
}
