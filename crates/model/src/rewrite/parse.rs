//! Text to template and condition.

use super::Part;
use crate::condition::{self, Expression, Operand};
use crate::matcher::Matcher;
use crate::syntax::cursor::{Cursor, is_space};
use crate::syntax::{SyntaxError, check_length, pattern};

const VARIABLES: &str =
    "%[path], %[query], %[method], %[req.hdr(NAME)], %[url_param(NAME)] and %[path,regsub(RE,TEXT)]";

/// Parses `NEW if COND`.
pub(super) fn rewrite(text: &str) -> Result<(Vec<Part>, Expression), SyntaxError> {
    check_length(text, "rewrite")?;
    let Some((new, condition_at)) = split(text) else {
        let message = "expected 'NEW if CONDITION', for example '/v2%[path] if path_beg /api'";
        return Err(SyntaxError::new(text.len(), message));
    };
    let lead = new.len() - new.trim_start_matches(is_space).len();
    let new = new.trim_matches(is_space);
    if new.is_empty() {
        return Err(SyntaxError::new(0, "the new path before 'if' is empty"));
    }
    let condition_text = &text[condition_at..];
    if condition_text.trim_matches(is_space).is_empty() {
        return Err(SyntaxError::new(
            text.len(),
            "the condition after 'if' is empty; write always_true to rewrite every path",
        ));
    }
    let template = template(new).map_err(|error| error.shifted(lead))?;
    let condition = condition(condition_text).map_err(|error| error.shifted(condition_at))?;
    Ok((template, condition))
}

/// The text before the last ` if ` in any case, and the offset behind it.
fn split(text: &str) -> Option<(&str, usize)> {
    let bytes = text.as_bytes();
    let space = |at: usize| bytes.get(at).is_some_and(|&byte| is_space(char::from(byte)));
    // A text that ends with " if" has an empty condition.
    let at = (0..bytes.len().saturating_sub(1)).rev().find(|&at| {
        bytes[at..at + 2].eq_ignore_ascii_case(b"if")
            && (at == 0 || space(at - 1))
            && (at + 2 == bytes.len() || space(at + 2))
    })?;
    Some((&text[..at], at + 2))
}

/// The parts of the new path.
fn template(text: &str) -> Result<Vec<Part>, SyntaxError> {
    let mut cursor = Cursor::new(text);
    let mut parts = Vec::new();
    let mut literal = String::new();
    while let Some(c) = cursor.peek() {
        let at = cursor.offset();
        if cursor.eat("%%") {
            literal.push('%');
        } else if cursor.eat("%[") {
            if !literal.is_empty() {
                parts.push(Part::Literal(std::mem::take(&mut literal)));
            }
            parts.push(variable(&mut cursor, at)?);
        } else if c == '%' {
            return cursor
                .error("a single '%' starts a variable such as %[path]; write %% for a '%' of the path");
        } else {
            push_encoded(&mut literal, c).map_err(|error| error.shifted(at))?;
            cursor.bump();
        }
    }
    if !literal.is_empty() {
        parts.push(Part::Literal(literal));
    }
    Ok(parts)
}

/// Adds a character of the new path; one that a path cannot hold as it stands is percent-encoded.
fn push_encoded(path: &mut String, c: char) -> Result<(), SyntaxError> {
    match c {
        '?' | '#' => Err(SyntaxError::new(
            0,
            format!("a rewrite changes only the path, and '{c}' would end it; the query stays as it is"),
        )),
        c if c.is_control() => {
            Err(SyntaxError::new(0, format!("a path cannot hold the character '{}'", c.escape_debug())))
        }
        c if c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@/".contains(c) => {
            path.push(c);
            Ok(())
        }
        c => {
            let mut buffer = [0; 4];
            for byte in c.encode_utf8(&mut buffer).bytes() {
                path.push_str(&format!("%{byte:02X}"));
            }
            Ok(())
        }
    }
}

/// A variable whose `%[` at offset `open` has been taken.
fn variable(cursor: &mut Cursor<'_>, open: usize) -> Result<Part, SyntaxError> {
    if cursor.eat("path,regsub(") {
        return replace(cursor, open);
    }
    let start = cursor.offset();
    let name = cursor.take_while(|c| c != ']');
    if !cursor.eat("]") {
        return Err(SyntaxError::new(open, "missing ']' for this '%['"));
    }
    let argument = |fetch: &str| -> Option<String> {
        let argument = name.strip_prefix(fetch)?.strip_prefix('(')?.strip_suffix(')')?;
        let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '(' | ')' | ',' | '\'' | '"');
        (!argument.is_empty() && argument.chars().all(plain)).then(|| argument.to_owned())
    };
    match name {
        "path" => return Ok(Part::Path),
        "query" => return Ok(Part::Query),
        "method" => return Ok(Part::Method),
        _ => {}
    }
    if let Some(header) = argument("req.hdr") {
        return Ok(Part::Header(header));
    }
    if let Some(parameter) = argument("url_param") {
        return Ok(Part::UrlParameter(parameter));
    }
    let hint = match name.split(['(', ',']).next().unwrap_or_default() {
        "hdr" => "write req.hdr(NAME)".to_owned(),
        "urlp" => "write url_param(NAME)".to_owned(),
        _ => format!("supported are {VARIABLES}"),
    };
    let message = format!("the variable '%[{}]' is not supported; {hint}", name.escape_debug());
    Err(SyntaxError::new(start, message))
}

/// `RE,TEXT)]` behind `%[path,regsub(`.
fn replace(cursor: &mut Cursor<'_>, open: usize) -> Result<Part, SyntaxError> {
    let start = cursor.offset();
    let (pattern, lead) = expression(cursor)?;
    if !cursor.eat(",") {
        return Err(SyntaxError::new(open, "expected %[path,regsub(RE,TEXT)]"));
    }
    let text_at = cursor.offset();
    let replacement = if matches!(cursor.peek(), Some('\'' | '"')) {
        cursor.quoted()?
    } else {
        let end = cursor.rest().find(")]").unwrap_or(cursor.rest().len());
        let replacement = cursor.rest()[..end].to_owned();
        cursor.seek(text_at + end);
        replacement
    };
    if !cursor.eat(")]") {
        return Err(SyntaxError::new(open, "expected ')]' at the end of %[path,regsub(RE,TEXT)]"));
    }
    let regex = pattern::bytes(&pattern, false).map_err(|error| error.shifted(start + lead))?;
    let replacement =
        references(&replacement, regex.captures_len()).map_err(|error| error.shifted(text_at))?;
    Ok(Part::PathReplace { pattern, replacement })
}

/// Checks the `\N` of a replacement against the number of groups and encodes the rest.
fn references(text: &str, groups: usize) -> Result<String, SyntaxError> {
    let mut replacement = String::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c == '%' {
            replacement.push(c);
            continue;
        }
        if c != '\\' {
            push_encoded(&mut replacement, c)?;
            continue;
        }
        match rest.next().and_then(|digit| digit.to_digit(10)) {
            Some(group) if (group as usize) < groups => replacement.push_str(&format!("\\{group}")),
            Some(group) => {
                let message =
                    format!("\\{group} refers to a group that the regular expression does not have");
                return Err(SyntaxError::new(0, message));
            }
            None => {
                let message = "'\\' must be followed by the number of a group, \\0 to \\9";
                return Err(SyntaxError::new(0, message));
            }
        }
    }
    Ok(replacement)
}

/// A regular expression up to a comma outside of its brackets, or in quotes; and the length of what stands before it.
fn expression(cursor: &mut Cursor<'_>) -> Result<(String, usize), SyntaxError> {
    if matches!(cursor.peek(), Some('\'' | '"')) {
        return Ok((cursor.quoted()?, 1));
    }
    let start = cursor.offset();
    let (mut class, mut depth) = (false, 0_usize);
    while let Some(c) = cursor.peek() {
        match c {
            ',' if !class && depth == 0 => break,
            '\\' => {
                cursor.bump();
            }
            '[' if !class => {
                class = true;
                cursor.bump();
                cursor.eat("^");
                cursor.eat("]");
                continue;
            }
            ']' => class = false,
            '(' | '{' if !class => depth += 1,
            ')' | '}' if !class => depth = depth.saturating_sub(1),
            _ => {}
        }
        cursor.bump();
    }
    Ok((cursor.since(start).to_owned(), 0))
}

/// A condition, a raw matcher, or raw matchers in braces.
fn condition(text: &str) -> Result<Expression, SyntaxError> {
    let mut cursor = Cursor::new(text);
    cursor.skip_space();
    let mut ahead = cursor.clone();
    ahead.eat("!");
    ahead.skip_space();
    if ahead.peek() == Some('{') { braces(&mut cursor) } else { condition::expression(text) }
}

/// `{ a } !{ b }`: every matcher holds, those behind `!` do not.
fn braces(cursor: &mut Cursor<'_>) -> Result<Expression, SyntaxError> {
    let mut parts = Vec::new();
    loop {
        cursor.skip_space();
        if cursor.peek().is_none() {
            break;
        }
        let negated = cursor.eat("!");
        cursor.skip_space();
        let open = cursor.offset();
        if !cursor.eat("{") {
            return cursor.error(format!(
                "expected '{{ matcher }}' or '!{{ matcher }}', found {}; to join with 'or' write < matcher > or < matcher >",
                cursor.found()
            ));
        }
        let start = cursor.offset();
        let Some(length) = closing(cursor.rest()) else {
            return Err(SyntaxError::new(open, "missing ' }' for this '{', with a blank before it"));
        };
        let inner = &cursor.rest()[..length];
        let lead = inner.len() - inner.trim_start_matches(is_space).len();
        let trimmed = inner.trim_matches(is_space);
        if trimmed.is_empty() {
            return Err(SyntaxError::new(
                open,
                "expected a raw matcher such as path_beg /x between '{' and '}'",
            ));
        }
        let matcher = Matcher::parse(trimmed).map_err(|error| error.shifted(start + lead))?;
        cursor.seek(start + length + 1);
        let test = Expression::Test { operand: Operand::Raw(matcher), negated: false };
        parts.push(if negated { Expression::Not(Box::new(test)) } else { test });
    }
    match parts.pop() {
        Some(only) if parts.is_empty() => Ok(only),
        Some(last) => {
            parts.push(last);
            Ok(Expression::And(parts))
        }
        None => cursor.error("expected '{ matcher }'"),
    }
}

/// Offset of the `}` that ends a matcher: the first one behind white space and outside of quotes.
fn closing(text: &str) -> Option<usize> {
    let mut cursor = Cursor::new(text);
    loop {
        let spaced = cursor.skip_space();
        let at = cursor.offset();
        match cursor.peek()? {
            '}' if spaced => return Some(at),
            '\'' | '"' if spaced => {
                cursor.quoted().ok()?;
            }
            _ => {
                cursor.take_while(|c| !is_space(c));
            }
        }
    }
}
