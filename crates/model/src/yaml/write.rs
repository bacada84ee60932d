//! Block style YAML that every YAML 1.1 and 1.2 reader takes for what it is.

use serde_json::Value;

/// Block style YAML of a JSON value, keys in its order, `null` written out. Ends with a line feed.
pub fn to_string(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => block(value, 0, true, &mut out),
        Value::Array(list) if !list.is_empty() => block(value, 0, true, &mut out),
        _ => {
            scalar(value, 0, &mut out);
            out.push('\n');
        }
    }
    out
}

/// A map or list that is not empty. With `inline`, its first line continues the line that is begun.
fn block(value: &Value, indent: usize, inline: bool, out: &mut String) {
    let mut first = inline;
    let mut begin = |out: &mut String| {
        if !std::mem::take(&mut first) {
            out.extend(std::iter::repeat_n(' ', indent));
        }
    };
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                begin(out);
                // A simple key ends after 1024 characters; what is longer needs the explicit form.
                if key.chars().count() > 500 {
                    out.push_str("? ");
                    quoted(key, out);
                    out.push('\n');
                    out.extend(std::iter::repeat_n(' ', indent));
                } else {
                    text(key, out);
                }
                out.push(':');
                after_key(value, indent, out);
            }
        }
        Value::Array(list) => {
            for element in list {
                begin(out);
                out.push_str("- ");
                if is_block(element) {
                    block(element, indent + 2, true, out);
                } else {
                    scalar(element, indent, out);
                    out.push('\n');
                }
            }
        }
        _ => {}
    }
}

fn after_key(value: &Value, indent: usize, out: &mut String) {
    if is_block(value) {
        out.push('\n');
        block(value, indent + 2, false, out);
    } else {
        out.push(' ');
        scalar(value, indent, out);
        out.push('\n');
    }
}

fn is_block(value: &Value) -> bool {
    match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(list) => !list.is_empty(),
        _ => false,
    }
}

/// Anything that is not a block; no line feed at the end.
fn scalar(value: &Value, indent: usize, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Number(number) => out.push_str(&decimal(&number.to_string())),
        Value::String(value) if is_literal(value) => literal(value, indent + 2, out),
        Value::String(value) => text(value, out),
        Value::Array(_) => out.push_str("[]"),
        Value::Object(_) => out.push_str("{}"),
    }
}

/// A number in the form that YAML 1.1 reads as one: an exponent needs a decimal point and a sign.
fn decimal(number: &str) -> String {
    match number.split_once('e') {
        None => number.to_owned(),
        Some((mantissa, exponent)) => {
            let point = if mantissa.contains('.') { "" } else { ".0" };
            let sign = if exponent.starts_with(['-', '+']) { "" } else { "+" };
            format!("{mantissa}{point}e{sign}{exponent}")
        }
    }
}

/// Several lines of ordinary text read best as a literal block.
fn is_literal(text: &str) -> bool {
    let body = text.strip_suffix('\n').unwrap_or(text);
    body.contains('\n')
        && !body.starts_with([' ', '\t', '\n', '#'])
        && !body.ends_with(['\n', ' ', '\t'])
        && body.lines().all(|line| !line.trim_matches([' ', '\t']).is_empty() || line.is_empty())
        && body.chars().all(|c| c == '\n' || is_printable(c))
}

fn literal(text: &str, indent: usize, out: &mut String) {
    out.push_str(if text.ends_with('\n') { "|" } else { "|-" });
    for line in text.lines() {
        out.push('\n');
        if !line.is_empty() {
            out.extend(std::iter::repeat_n(' ', indent));
            out.push_str(line);
        }
    }
}

fn text(text: &str, out: &mut String) {
    if is_plain(text) { out.push_str(text) } else { quoted(text, out) }
}

fn is_printable(c: char) -> bool {
    !c.is_control() && !matches!(c, '\u{a0}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

/// True when no YAML reader can take the bare text for anything but text. Rather too strict than too lax.
fn is_plain(text: &str) -> bool {
    let Some(first) = text.chars().next() else { return false };
    let starts = first.is_ascii_alphabetic()
        || matches!(first, '_' | '/' | '(' | '$')
        // Only such digits as cannot belong to a number, a time or a date: `9070/http`, `50%`.
        || (first.is_ascii_digit() && text.contains(['/', '%']));
    starts
        && text.chars().all(is_printable)
        && !text.contains(": ")
        && !text.contains(" #")
        && !text.ends_with([' ', ':'])
        && !is_word(text)
}

/// Words that some YAML reader takes for a boolean or null.
fn is_word(text: &str) -> bool {
    ["y", "n", "yes", "no", "on", "off", "true", "false", "null"]
        .iter()
        .any(|word| text.eq_ignore_ascii_case(word))
}

fn quoted(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if is_printable(c) => out.push(c),
            c if u32::from(c) < 0x100 => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => out.push_str(&format!("\\u{:04x}", u32::from(c))),
        }
    }
    out.push('"');
}
