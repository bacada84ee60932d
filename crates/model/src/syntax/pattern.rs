//! Regular expressions that users write: checked with positions, compiled with limits, run in linear time.

mod shared;
mod wildcard;

use std::convert::Infallible;
use std::sync::Arc;

use regex_syntax::ast::{self, Ast, ClassPerl, ClassPerlKind, ClassSetItem, ErrorKind, Visitor};
use regex_syntax::hir::translate::TranslatorBuilder;

use super::SyntaxError;
use wildcard::Wildcard;

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
    /// Plain comparison, which is what most operands are.
    Wildcard(Wildcard),
    /// Everything else, anchored at both ends.
    Regex { regex: Arc<regex::Regex>, captures: bool },
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
        let tree = parse(text)?;
        let hir = TranslatorBuilder::new()
            .build()
            .translate(text, &tree)
            .map_err(|error| untranslatable(&error))?;
        let groups = hir.properties().explicit_captures_len();
        if groups > 1 {
            let message = format!(
                "at most one capture group is allowed in a pattern, found {groups}; write (?:...) for groups that capture nothing"
            );
            return Err(SyntaxError::new(0, message));
        }
        let program = match Wildcard::of(&hir) {
            Some(wildcard) => Program::Wildcard(wildcard),
            None => {
                let compile = || {
                    regex::RegexBuilder::new(&format!(r"\A(?:{})\z", with_ascii_classes(text, &tree)))
                        .size_limit(size_limit)
                        .dfa_size_limit(DFA_SIZE_LIMIT)
                        .nest_limit(NEST_LIMIT + 10)
                        .build()
                };
                let regex = shared::expression(text, size_limit, compile).map_err(|error| refused(&error))?;
                Program::Regex { regex, captures: groups == 1 }
            }
        };
        Ok(Self { text: text.to_owned(), program })
    }

    /// The text as written.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The one text that matches, if it is only one.
    pub(crate) fn fixed(&self) -> Option<&str> {
        match &self.program {
            Program::Wildcard(wildcard) => wildcard.fixed(),
            Program::Regex { .. } => None,
        }
    }

    /// Compares with a whole text.
    pub(crate) fn matches<'t>(&self, text: &'t str) -> Match<'t> {
        match &self.program {
            Program::Wildcard(wildcard) => wildcard.matches(text),
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
    let tree = parse(text)?;
    TranslatorBuilder::new()
        .unicode(false)
        .utf8(false)
        .case_insensitive(ignore_case)
        .build()
        .translate(text, &tree)
        .map_err(|error| untranslatable(&error))?;
    regex::bytes::RegexBuilder::new(text)
        .unicode(false)
        .case_insensitive(ignore_case)
        .size_limit(BYTES_SIZE_LIMIT)
        .dfa_size_limit(DFA_SIZE_LIMIT)
        .nest_limit(NEST_LIMIT)
        .build()
        .map_err(|error| refused(&error))
}

/// Parses an expression; the errors are in our words.
fn parse(text: &str) -> Result<Ast, SyntaxError> {
    ast::parse::ParserBuilder::new().nest_limit(NEST_LIMIT).build().parse(text).map_err(|error| {
        let why = match error.kind() {
            ErrorKind::UnsupportedLookAround => "look-around is not supported".to_owned(),
            ErrorKind::UnsupportedBackreference => "back-references are not supported".to_owned(),
            ErrorKind::NestLimitExceeded(limit) => {
                format!("nested too deeply, at most {limit} levels are allowed")
            }
            kind => kind.to_string(),
        };
        SyntaxError::new(error.span().start.offset, format!("invalid regular expression: {why}"))
    })
}

fn untranslatable(error: &regex_syntax::hir::Error) -> SyntaxError {
    SyntaxError::new(error.span().start.offset, format!("invalid regular expression: {}", error.kind()))
}

/// The expression with `\d`, `\w` and `\s` written out as their ASCII members. That is what they mean in most engines, and
/// their Unicode members would take a hundred times the space: `[\w.-]{1,63}` alone would not fit.
fn with_ascii_classes(text: &str, tree: &Ast) -> String {
    let Ok(classes) = ast::visit(tree, PerlClasses::default());
    let mut written = String::with_capacity(text.len());
    let mut at = 0;
    for class in classes {
        written.push_str(&text[at..class.span.start.offset]);
        written.push_str(match (&class.kind, class.negated) {
            (ClassPerlKind::Digit, false) => "[0-9]",
            (ClassPerlKind::Digit, true) => "[^0-9]",
            (ClassPerlKind::Space, false) => r"[\t\n\x0b\x0c\r\x20]",
            (ClassPerlKind::Space, true) => r"[^\t\n\x0b\x0c\r\x20]",
            (ClassPerlKind::Word, false) => "[0-9A-Za-z_]",
            (ClassPerlKind::Word, true) => "[^0-9A-Za-z_]",
        });
        at = class.span.end.offset;
    }
    written.push_str(&text[at..]);
    written
}

/// Collects the Perl classes of an expression in the order of their positions.
#[derive(Default)]
struct PerlClasses(Vec<ClassPerl>);

impl Visitor for PerlClasses {
    type Output = Vec<ClassPerl>;
    type Err = Infallible;

    fn finish(mut self) -> Result<Vec<ClassPerl>, Infallible> {
        self.0.sort_by_key(|class| class.span.start.offset);
        Ok(self.0)
    }

    fn visit_pre(&mut self, node: &Ast) -> Result<(), Infallible> {
        if let Ast::ClassPerl(class) = node {
            self.0.push((**class).clone());
        }
        Ok(())
    }

    fn visit_class_set_item_pre(&mut self, item: &ClassSetItem) -> Result<(), Infallible> {
        if let ClassSetItem::Perl(class) = item {
            self.0.push(class.clone());
        }
        Ok(())
    }
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
