//! What an unquoted scalar means where nothing says its type.
//!
//! YAML 1.1 with its traps closed: `NO` and `on` are text, `0123` and `0x1F` are text, `1e3` (often a commit id) is text,
//! `1:30` and dates are text.

use serde_json::{Number, Value};

/// The untyped meaning of a plain scalar.
pub(super) fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => number(text).map_or_else(|| Value::String(text.to_owned()), Value::Number),
    }
}

/// The number that a plain scalar is. An exponent needs a decimal point, as in YAML 1.1.
fn number(text: &str) -> Option<Number> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, fraction) = match unsigned.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (unsigned, None),
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if (whole.len() > 1 && whole.starts_with('0'))
        || !(digits(whole) || (whole.is_empty() && fraction.is_some()))
    {
        return None;
    }
    if let Some(fraction) = fraction {
        let (decimals, exponent) = match fraction.split_once(['e', 'E']) {
            Some((decimals, exponent)) => (decimals, Some(exponent)),
            None => (fraction, None),
        };
        let exponent_fits = exponent.is_none_or(|e| digits(e.strip_prefix(['-', '+']).unwrap_or(e)));
        if !digits(decimals) || !exponent_fits {
            return None;
        }
    }
    decimal(text, fraction.is_some())
}

/// A number whose shape is checked already: exact as an integer if it fits 64 bits, else the nearest floating point value.
pub(super) fn decimal(text: &str, fractional: bool) -> Option<Number> {
    let plain = text.strip_prefix('+').unwrap_or(text);
    if !fractional {
        if let Ok(number) = plain.parse::<i64>() {
            return Some(number.into());
        }
        if let Ok(number) = plain.parse::<u64>() {
            return Some(number.into());
        }
    }
    Number::from_f64(plain.parse().ok()?)
}
