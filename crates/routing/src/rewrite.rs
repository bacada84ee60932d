//! Path rewrites (spec: gateways 14, R34). The language and its types are in [`model::rewrite`].
//!
//! The rules of a route are applied in order. Each sees the path that the rule before it left, both in its new text and in its
//! condition, as successive `set-path` rules of HAProxy do; everything else of the request (query, headers, host) is as
//! received. Only the path changes.

use model::matcher::compile_regex;
use model::rewrite::{Part, Rewrite};
use percent_encoding::{AsciiSet, CONTROLS, percent_encode};
use regex::bytes::Regex;

use crate::condition::Test;
use crate::request::RequestHead;
use crate::seen::Seen;

/// Longest path that a rule may make. `%[path]%[path]` doubles the path with every rule; a rule that would go beyond
/// this does not apply.
const LONGEST: usize = 64 * 1024;

/// What must not enter a request line unencoded. Values of headers and parameters are the client's; without this a blank or a
/// `?` in one of them would end the path. `%` stays: what is encoded already is not encoded twice.
const FORBIDDEN: &AsciiSet = &CONTROLS.add(b' ').add(b'?').add(b'#');

/// A rewrite ready to run.
#[derive(Debug)]
pub(crate) struct Rule {
    when: Test,
    parts: Vec<Piece>,
}

/// [`Part`], with expressions compiled.
#[derive(Debug)]
enum Piece {
    Literal(String),
    Path,
    Query,
    Method,
    Header(String),
    UrlParameter(String),
    PathReplace { pattern: Option<Regex>, replacement: Vec<Replacement> },
}

/// A part of the replacement of `regsub`.
#[derive(Debug)]
enum Replacement {
    Literal(String),
    Group(usize),
}

impl Rule {
    pub(crate) fn new(rewrite: &Rewrite) -> Self {
        Self {
            when: Test::new(rewrite.condition()),
            parts: rewrite.template().iter().map(Piece::new).collect(),
        }
    }

    /// The new path; `None` when it would be too long.
    fn expand(&self, seen: &Seen<'_>) -> Option<String> {
        let mut path = NewPath::default();
        for part in &self.parts {
            match part {
                Piece::Literal(text) => path.push(text.as_bytes()),
                Piece::Path => path.push_path(seen.path().as_bytes()),
                Piece::Query => path.push(seen.query().unwrap_or_default().as_bytes()),
                Piece::Method => path.push(seen.request.method.as_bytes()),
                Piece::Header(name) => {
                    seen.any_value(name, |value| {
                        path.push(value);
                        true
                    });
                }
                Piece::UrlParameter(name) => {
                    path.push(seen.parameters(name).next().unwrap_or_default().as_bytes());
                }
                Piece::PathReplace { pattern, replacement } => {
                    path.push_path(&replace(seen.path().as_bytes(), pattern.as_ref(), replacement));
                }
            }
            if path.text.len() > LONGEST {
                return None;
            }
        }
        path.finish()
    }
}

impl Piece {
    fn new(part: &Part) -> Self {
        match part {
            Part::Literal(text) => Self::Literal(text.clone()),
            Part::Path => Self::Path,
            Part::Query => Self::Query,
            Part::Method => Self::Method,
            Part::Header(name) => Self::Header(name.clone()),
            Part::UrlParameter(name) => Self::UrlParameter(name.clone()),
            // Compiled once when it was parsed; should it fail now, the path stays.
            Part::PathReplace { pattern, replacement } => Self::PathReplace {
                pattern: compile_regex(pattern, false).ok(),
                replacement: replacement_parts(replacement),
            },
        }
    }
}

fn replacement_parts(text: &str) -> Vec<Replacement> {
    let (mut parts, mut literal) = (Vec::new(), String::new());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        let escaped = if c == '\\' { rest.next() } else { None };
        match escaped.map(|c| (c, c.to_digit(10))) {
            None => literal.push(c),
            Some((c, None)) => literal.push(c),
            Some((_, Some(group))) => {
                parts.push(Replacement::Literal(std::mem::take(&mut literal)));
                parts.push(Replacement::Group(group as usize));
            }
        }
    }
    parts.push(Replacement::Literal(literal));
    parts
}

/// The path with the first match replaced.
fn replace(path: &[u8], pattern: Option<&Regex>, replacement: &[Replacement]) -> Vec<u8> {
    let Some(groups) = pattern.and_then(|pattern| pattern.captures(path)) else { return path.to_vec() };
    let whole = groups.get_match();
    let mut new = path[..whole.start()].to_vec();
    for part in replacement {
        match part {
            Replacement::Literal(text) => new.extend_from_slice(text.as_bytes()),
            Replacement::Group(index) => {
                new.extend_from_slice(groups.get(*index).map_or(b"", |m| m.as_bytes()))
            }
        }
    }
    new.extend_from_slice(&path[whole.end()..]);
    new
}

/// A path under construction. A doubled slash that arises where `%[path]` begins or ends is collapsed, others stay.
#[derive(Default)]
struct NewPath {
    text: Vec<u8>,
    after_path: bool,
}

impl NewPath {
    fn push(&mut self, text: &[u8]) {
        let at_boundary = self.after_path;
        self.after_path = at_boundary && text.is_empty();
        self.join(text, at_boundary);
    }

    fn push_path(&mut self, path: &[u8]) {
        self.join(path, true);
        self.after_path = true;
    }

    fn join(&mut self, text: &[u8], at_boundary: bool) {
        let doubled = at_boundary && self.text.ends_with(b"/") && text.starts_with(b"/");
        self.text.extend_from_slice(if doubled { &text[1..] } else { text });
    }

    fn finish(self) -> Option<String> {
        let mut path = String::with_capacity(self.text.len() + 1);
        if !self.text.starts_with(b"/") {
            path.push('/');
        }
        path.extend(percent_encode(&self.text, FORBIDDEN));
        (path.len() <= LONGEST).then_some(path)
    }
}

/// Applies the rules; `None` when the target stays as it is.
pub(crate) fn apply(rules: &[Rule], request: &RequestHead<'_>) -> Option<String> {
    // `*` of OPTIONS is not a path.
    if !request.target.starts_with('/') {
        return None;
    }
    let mut current: Option<String> = None;
    for rule in rules {
        let seen = Seen::with_target(request, current.as_deref().unwrap_or(request.target));
        if !rule.when.holds(&seen) {
            continue;
        }
        if let Some(mut target) = rule.expand(&seen) {
            if let Some(query) = seen.query() {
                target.push('?');
                target.push_str(query);
            }
            current = Some(target);
        }
    }
    current.filter(|target| target != request.target)
}
