//! The dashboard asks for metrics that there are.

use std::collections::BTreeSet;

use super::*;

/// Metrics and their labels, from the page that is made from the code.
fn metrics() -> Vec<(String, Vec<String>)> {
    let page = text(&root().join("docs/user/metrics.md")).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| {
        let cells: Vec<&str> = row.split('|').collect();
        let ticked = |cell: &str| -> Vec<String> {
            cell.split('`')
                .filter(|word| word.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
                .filter(|w| !w.is_empty())
                .map(str::to_owned)
                .collect()
        };
        let name = cells[0].trim_end().trim_end_matches('`').to_owned();
        (name, ticked(cells[2]))
    })
    .collect()
}

fn expressions(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                match (key.as_str(), value) {
                    ("expr" | "query" | "definition", Value::String(text)) if text != "prometheus" => {
                        found.push(text.clone());
                    }
                    _ => expressions(value, found),
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|value| expressions(value, found)),
        _ => {}
    }
}

#[test]
fn the_dashboard_asks_for_metrics_that_there_are() {
    let metrics = metrics();
    assert!(metrics.len() > 20, "{metrics:?}");
    let dashboard = text(&root().join("deploy/chart/vamp/files/dashboard.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&dashboard).unwrap();
    let mut all = Vec::new();
    expressions(&dashboard, &mut all);
    assert!(all.len() > 8, "{all:?}");
    for expression in all {
        let words: BTreeSet<&str> = expression
            .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .filter(|word| !word.is_empty())
            .collect();
        let mut known = 0;
        for word in words.iter().filter(|word| word.starts_with("vamp_") || word.starts_with("process_")) {
            let plain =
                ["_bucket", "_sum", "_count"].iter().find_map(|end| word.strip_suffix(end)).unwrap_or(word);
            let metric = metrics.iter().find(|(name, _)| name == word || name == plain);
            let Some((_, labels)) = metric else { panic!("{expression}: there is no metric {word}") };
            for filter in filters(&expression, word) {
                // The first two aside, they are what Prometheus' operator adds.
                let known = labels.contains(&filter)
                    || ["le", "environment", "endpoint", "namespace", "pod"].contains(&filter.as_str());
                assert!(known, "{expression}: {word} has no label {filter}");
            }
            known += 1;
        }
        assert!(known > 0, "{expression} asks for no metric of Vamp");
    }
}

/// Names of the labels in the braces after a metric.
fn filters(expression: &str, metric: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in expression.match_indices(metric) {
        let rest = &expression[at + metric.len()..];
        let Some(inside) = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')) else { continue };
        found.extend(inside.0.split(',').filter_map(|part| part.split(['=', '!']).next()).map(str::to_owned));
    }
    found
}
