//! Patterns that need no automaton: fixed text, with at most one `.*` or `.+` in it.
//!
//! ```text
//! sava-product      before "sava-product"
//! (.*)              line, captured
//! 1\.(.+)           before "1.", line of at least one byte, captured
//! (v.*)             before "v", line, captured with the "v"
//! (v.*)-canary      none of these: the group is neither the line nor everything
//! ```
//!
//! Nearly every operand of a selector is one of these, and there may be one selector for each of thousands of gateways. A
//! compiled program with its caches takes tens of KiB; these take what their text takes.

use regex_syntax::hir::{Dot, Hir, HirKind};

use super::Match;

/// Fixed text, a stretch without line feed, fixed text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wildcard {
    before: Box<str>,
    line: Line,
    after: Box<str>,
    captured: Captured,
}

/// What may stand between the fixed texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    /// Nothing: the text is fixed.
    None,
    /// `.*`
    Any,
    /// `.+`
    Some,
}

/// What the group holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Captured {
    /// There is no group.
    Nothing,
    /// The line.
    Line,
    /// Everything.
    Whole,
}

impl Wildcard {
    /// The wildcard that an expression stands for; `None` when it says more than that.
    pub(super) fn of(hir: &Hir) -> Option<Self> {
        let (hir, captured) = match hir.kind() {
            HirKind::Capture(group) => (&*group.sub, Captured::Whole),
            _ => (hir, Captured::Nothing),
        };
        let parts = match hir.kind() {
            HirKind::Concat(parts) => parts.as_slice(),
            HirKind::Empty => &[],
            _ => std::slice::from_ref(hir),
        };
        let mut found = Self { before: "".into(), line: Line::None, after: "".into(), captured };
        for part in parts {
            let (part, group) = match part.kind() {
                HirKind::Capture(group) => (&*group.sub, true),
                _ => (part, false),
            };
            match (part.kind(), found.line) {
                // The parts of a concatenation never are two fixed texts in a row.
                (HirKind::Literal(text), line) if !group => {
                    let text = std::str::from_utf8(&text.0).ok()?.into();
                    match line {
                        Line::None => found.before = text,
                        Line::Any | Line::Some => found.after = text,
                    }
                }
                (_, Line::None) => {
                    found.line = line(part)?;
                    if group {
                        found.captured = Captured::Line;
                    }
                }
                _ => return None,
            }
        }
        Some(found)
    }

    /// The one text that matches, if it is only one.
    pub(super) fn fixed(&self) -> Option<&str> {
        (self.line == Line::None).then_some(&*self.before)
    }

    /// Compares with a whole text.
    pub(super) fn matches<'t>(&self, text: &'t str) -> Match<'t> {
        let between = text.strip_prefix(&*self.before).and_then(|rest| rest.strip_suffix(&*self.after));
        let Some(between) = between else { return Match::No };
        let holds = match self.line {
            Line::None => between.is_empty(),
            Line::Any => !between.contains('\n'),
            Line::Some => !between.is_empty() && !between.contains('\n'),
        };
        match self.captured {
            _ if !holds => Match::No,
            Captured::Nothing => Match::Plain,
            Captured::Line => Match::Captured(between),
            Captured::Whole => Match::Captured(text),
        }
    }
}

/// `.*` and `.+`. Greedy or not is the same between fixed ends.
fn line(hir: &Hir) -> Option<Line> {
    let HirKind::Repetition(repetition) = hir.kind() else { return None };
    if repetition.max.is_some() || *repetition.sub != Hir::dot(Dot::AnyCharExceptLF) {
        return None;
    }
    match repetition.min {
        0 => Some(Line::Any),
        1 => Some(Line::Some),
        _ => None,
    }
}

#[cfg(test)]
#[path = "wildcard_tests.rs"]
mod tests;
