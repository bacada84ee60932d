//! The functions that the chart uses, with the meaning that Go and Helm give them.

use anyhow::{Context as _, bail};
use serde_json::{Map, Value};

use super::render::{print, sorted, truthy};

/// Calls a function. In a pipeline the carried value is the last argument.
///
/// # Errors
/// An unknown function or arguments that it does not take.
pub(super) fn call(name: &str, arguments: &[Value]) -> anyhow::Result<Value> {
    Ok(match (name, arguments) {
        ("quote", [value]) => Value::String(print(value)?).to_string().into(),
        ("toYaml", [value]) => model::yaml::to_string(&by_key(value.clone())).trim_end().into(),
        ("toJson", [value]) => by_key(value.clone()).to_string().into(),
        ("indent", [width, text]) => indent(number(width)?.min(100), string(text)?).into(),
        ("nindent", [width, text]) => format!("\n{}", indent(number(width)?.min(100), string(text)?)).into(),
        ("trunc", [length, text]) => string(text)?.chars().take(number(length)?).collect::<String>().into(),
        ("trimSuffix", [suffix, text]) => {
            let (suffix, text) = (string(suffix)?, string(text)?);
            text.strip_suffix(suffix).unwrap_or(text).into()
        }
        ("replace", [from, to, text]) => string(text)?.replace(string(from)?, string(to)?).into(),
        ("printf", [format, values @ ..]) => printf(string(format)?, values)?.into(),
        ("default", [other, value]) => if truthy(value) { value } else { other }.clone(),
        ("add", numbers) => numbers.iter().map(number).sum::<anyhow::Result<usize>>()?.into(),
        ("fail", [message]) => bail!("{}", string(message)?),
        ("eq", [one, others @ ..]) if !others.is_empty() => others.contains(one).into(),
        ("ne", [one, other]) => (one != other).into(),
        ("not", [value]) => (!truthy(value)).into(),
        ("and", [.., last]) => arguments.iter().find(|value| !truthy(value)).unwrap_or(last).clone(),
        ("or", [.., last]) => arguments.iter().find(|value| truthy(value)).unwrap_or(last).clone(),
        ("list", values) => values.to_vec().into(),
        ("has", [value, Value::Array(list)]) => list.contains(value).into(),
        ("dict", pairs) if pairs.len().is_multiple_of(2) => {
            let pairs = pairs.chunks(2).map(|pair| Ok((string(&pair[0])?.to_owned(), pair[1].clone())));
            Value::Object(pairs.collect::<anyhow::Result<Map<_, _>>>()?)
        }
        (_, arguments) => bail!("not in the subset, or not with {} such arguments", arguments.len()),
    })
}

fn string(value: &Value) -> anyhow::Result<&str> {
    value.as_str().with_context(|| format!("{value} is not text"))
}

fn number(value: &Value) -> anyhow::Result<usize> {
    let number = value.as_u64().and_then(|number| usize::try_from(number).ok());
    number.filter(|number| *number <= 100_000).with_context(|| format!("{value} is no sensible number"))
}

fn indent(width: usize, text: &str) -> String {
    let lines: Vec<String> = text.split('\n').map(|line| " ".repeat(width) + line).collect();
    lines.join("\n")
}

/// `%s`, `%v` and `%d`, each the plain text of its value.
fn printf(format: &str, values: &[Value]) -> anyhow::Result<String> {
    let mut parts = format.split('%');
    let mut out = parts.next().unwrap_or_default().to_owned();
    let mut values = values.iter();
    for part in parts {
        let rest = part.strip_prefix(['s', 'v', 'd']).with_context(|| format!("'%{part}' in '{format}'"))?;
        out += &print(values.next().context("too few values")?)?;
        out += rest;
    }
    if values.next().is_some() {
        bail!("too many values for '{format}'");
    }
    Ok(out)
}

fn by_key(value: Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(sorted(map).map(|(key, value)| (key, by_key(value))).collect()),
        Value::Array(list) => list.into_iter().map(by_key).collect(),
        other => other,
    }
}
