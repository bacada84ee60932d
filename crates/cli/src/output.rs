//! How results look: tables for people, JSON and YAML for machines, talk on stderr.

use std::io::Write as _;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use serde_json::Value;

use crate::args::Format;
use crate::error::Error;

/// Writes text to stdout; a closed pipe is [`Error::OutputClosed`].
pub(crate) fn print(text: &str) -> Result<(), Error> {
    let mut out = anstream::stdout().lock();
    out.write_all(text.as_bytes())?;
    if !text.ends_with('\n') {
        out.write_all(b"\n")?;
    }
    out.flush()?;
    Ok(())
}

/// Ends when nobody reads stdout any more, for verbs that otherwise only notice with their next line. Never when that cannot be told.
pub(crate) async fn closed() {
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;
    #[expect(
        deprecated,
        reason = "unsound only for types whose descriptor may change or close while registered; stdout stays"
    )]
    let Ok(out) = AsyncFd::try_with_interest(std::io::stdout(), Interest::ERROR) else {
        return std::future::pending().await;
    };
    if out.ready(Interest::ERROR).await.is_err() {
        std::future::pending().await
    }
}

/// Talk: progress and receipts, on stderr. Nobody there is fine.
pub(crate) fn say(text: &str) {
    let _ = writeln!(anstream::stderr(), "{text}");
}

/// A table without lines, columns two blanks apart, as kubectl's.
pub(crate) struct Grid {
    table: Table,
    rows: usize,
}

impl Grid {
    pub(crate) fn new(header: &[&str]) -> Self {
        let mut table = Table::new();
        table
            .load_style(presets::NOTHING)
            .set_content_arrangement(ContentArrangement::Disabled)
            .set_header(header);
        Self { table, rows: 0 }
    }

    /// Right-aligns a column of numbers.
    pub(crate) fn numbers(mut self, columns: &[usize]) -> Self {
        for column in columns {
            if let Some(column) = self.table.column_mut(*column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        self
    }

    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows += 1;
        self.table.add_row(cells);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    pub(crate) fn render(&mut self) -> String {
        for column in self.table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        self.table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
    }
}

/// JSON, YAML or names; `None` for the formats that are tables.
pub(crate) fn structured(format: Format, kind: &str, value: &Value) -> Option<String> {
    match format {
        Format::Json => Some(serde_json::to_string_pretty(value).unwrap_or_else(|_| value.to_string())),
        Format::Yaml => Some(model::yaml::to_string(value)),
        Format::Name => {
            let name = |item: &Value| format!("{}/{}", singular(kind), text(item, "name"));
            Some(match value {
                Value::Array(items) => items.iter().map(name).collect::<Vec<_>>().join("\n"),
                item => name(item),
            })
        }
        Format::Table | Format::Wide => None,
    }
}

/// A text field of a JSON object, `-` when it is absent or null.
pub(crate) fn text(value: &Value, field: &str) -> String {
    match value.get(field) {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) if text.is_empty() => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// `gateways` -> `gateway`.
pub(crate) fn singular(kind: &str) -> &str {
    kind.strip_suffix('s').unwrap_or(kind)
}

/// Prints an error with its problems: path, position, example.
pub(crate) fn report(error: &Error) {
    if matches!(error, Error::OutputClosed) {
        return;
    }
    say(&format!("error: {error}"));
    let Error::Refused { problems, .. } = error else { return };
    let several = problems.len() > 1;
    for problem in problems {
        let mut place = problem.get("path").and_then(Value::as_str).unwrap_or_default().to_owned();
        if let Some(position) = problem.get("position").filter(|p| p.is_object()) {
            let number = |field| position.get(field).and_then(Value::as_u64).unwrap_or_default();
            let at = format!("line {}, column {}", number("line"), number("column"));
            place = if place.is_empty() { at } else { format!("{place} ({at})") };
        }
        if several {
            say(&format!("  - {}", text(problem, "message")));
        }
        if !place.is_empty() {
            say(&format!("    at {place}"));
        }
        if let Some(example) = problem.get("example").and_then(Value::as_str) {
            say(&format!("    for example: {example}"));
        }
    }
}
