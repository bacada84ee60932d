//! Regular expressions that users write: checked with positions, compiled with limits, run in linear time.

use regex_syntax::ast::ErrorKind;
use regex_syntax::hir::{Hir, HirKind};
use regex_syntax::{Error, ParserBuilder};

use super::SyntaxError;

/// Deepest nesting inside one regular expression.
const NEST_LIMIT: u32 = 100;

/// Size of the lazily built automaton of one expression in bytes; when it is full the engine starts it afresh.
const DFA_SIZE_LIMIT: usize = 256 * 1024;

/// Compiled size of one expression over bytes (matchers and rewrites).
const BYTES_SIZE_LIMIT: usize = 256 * 1024;

/// A pattern of a selector: matches a whole text, with at most one capture group.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    text: String,
    program: Program,
}

#[derive(Debug, Clone)]
enum Program {
    /// No special characters: plain comparison, which is what most operands are.
    Literal(String),
    /// Everything else, anchored at both ends.
    Regex { regex: regex::Regex, captures: bool },
}

/// How a pattern matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Match<'t> {
    /// Not at all.
    No,
    /// It matched and has no group.
    Plain,
    /// It matched and its group captured this text, empty when the group took no part.
    Captured(&'t str),
}

impl Pattern {
    /// Compiles a pattern. `size_limit` bounds the compiled program in bytes.
    ///
    /// Offsets of errors count from the start of the pattern.
    pub(crate) fn new(text: &str, size_limit: usize) -> Result<Self, SyntaxError> {
        let mut builder = ParserBuilder::new();
        let hir = builder.nest_limit(NEST_LIMIT).build().parse(text).map_err(explain)?;
        let groups = hir.properties().explicit_captures_len();
        if groups > 1 {
            let message = format!(
                "at most one capture group is allowed in a pattern, found {groups}; write (?:...) for groups that capture nothing"
            );
            return Err(SyntaxError::new(0, message));
        }
        let program = match literal(&hir) {
            Some(literal) => Program::Literal(literal),
            None => {
                let regex = regex::RegexBuilder::new(&format!(r"\A(?:{text})\z"))
                    .size_limit(size_limit)
                    .dfa_size_limit(DFA_SIZE_LIMIT)
                    .nest_limit(NEST_LIMIT + 10)
                    .build()
                    .map_err(|error| refused(&error))?;
                Program::Regex { regex, captures: groups == 1 }
            }
        };
        Ok(Self { text: text.to_owned(), program })
    }

    /// The text as written.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Compares with a whole text.
    pub(crate) fn matches<'t>(&self, text: &'t str) -> Match<'t> {
        match &self.program {
            Program::Literal(literal) if literal == text => Match::Plain,
            Program::Literal(_) => Match::No,
            Program::Regex { regex, captures: false } if regex.is_match(text) => Match::Plain,
            Program::Regex { captures: false, .. } => Match::No,
            Program::Regex { regex, captures: true } => match regex.captures(text) {
                Some(found) => Match::Captured(found.get(1).map_or("", |group| group.as_str())),
                None => Match::No,
            },
        }
    }
}

impl Match<'_> {
    /// True for any match.
    pub(crate) fn holds(self) -> bool {
        self != Match::No
    }
}

/// Two patterns are equal when they are written the same way.
impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

/// Compiles a regular expression over bytes, as matchers and rewrites use it: unanchored, ASCII classes.
pub(crate) fn bytes(text: &str, ignore_case: bool) -> Result<regex::bytes::Regex, SyntaxError> {
    let mut parser = ParserBuilder::new();
    parser.nest_limit(NEST_LIMIT).unicode(false).utf8(false).case_insensitive(ignore_case);
    parser.build().parse(text).map_err(explain)?;
    regex::bytes::RegexBuilder::new(text)
        .unicode(false)
        .case_insensitive(ignore_case)
        .size_limit(BYTES_SIZE_LIMIT)
        .dfa_size_limit(DFA_SIZE_LIMIT)
        .nest_limit(NEST_LIMIT)
        .build()
        .map_err(|error| refused(&error))
}

/// The text that an expression without any choice stands for.
fn literal(hir: &Hir) -> Option<String> {
    match hir.kind() {
        HirKind::Literal(literal) => String::from_utf8(literal.0.to_vec()).ok(),
        HirKind::Empty => Some(String::new()),
        _ => None,
    }
}

/// A syntax error of the regular expression in our words.
fn explain(error: Error) -> SyntaxError {
    let (offset, why) = match &error {
        Error::Parse(error) => (
            error.span().start.offset,
            match error.kind() {
                ErrorKind::UnsupportedLookAround => "look-around is not supported".to_owned(),
                ErrorKind::UnsupportedBackreference => "back-references are not supported".to_owned(),
                ErrorKind::NestLimitExceeded(limit) => {
                    format!("nested too deeply, at most {limit} levels are allowed")
                }
                kind => kind.to_string(),
            },
        ),
        Error::Translate(error) => (error.span().start.offset, error.kind().to_string()),
        _ => (0, "not supported".to_owned()),
    };
    SyntaxError::new(offset, format!("invalid regular expression: {why}"))
}

/// An error of the compiler in our words; the syntax is fine by then.
fn refused(error: &regex::Error) -> SyntaxError {
    let why = match error {
        regex::Error::CompiledTooBig(limit) => {
            format!("too large, its program needs more than {limit} bytes; use smaller repetitions")
        }
        _ => "it cannot be compiled".to_owned(),
    };
    SyntaxError::new(0, format!("invalid regular expression: {why}"))
}
