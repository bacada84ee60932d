//! `docs/user/metrics.md` is made from the families, so that it cannot leave one out or say something else.

use std::collections::BTreeSet;
use std::path::Path;

use super::{ALL, ENVIRONMENT, Kind, Scope};

const HEAD: &str = "\
# Metrics

<!-- Made from the names: VAMP_UPDATE=1 cargo test -p telemetry names -->

`GET /metrics` at the address of the API is a page for Prometheus. Everything is counted in the data path, nothing is sampled. Counters begin
at 0 when Vamp starts. A histogram has `_bucket` (with the label `le`), `_sum` and `_count`, a summary `_sum` and `_count`.

| metric | kind | labels | meaning |
|---|---|---|---|
";

fn page() -> String {
    let mut page = HEAD.to_owned();
    for family in ALL {
        let environment = (family.scope == Scope::Environment).then_some(&ENVIRONMENT);
        let labels = family.labels.iter().chain(environment);
        let labels: Vec<String> = labels.map(|label| format!("`{label}`")).collect();
        page.push_str(&format!(
            "| `{}` | {} | {} | {} |\n",
            family.name,
            family.kind.as_str(),
            if labels.is_empty() { "-".to_owned() } else { labels.join(", ") },
            family.help.replace('|', "\\|")
        ));
    }
    page
}

/// Set `VAMP_UPDATE=1` to write it.
#[test]
fn the_page_of_metrics_is_fresh() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/user/metrics.md");
    let fresh = page();
    if std::env::var_os("VAMP_UPDATE").is_some() {
        std::fs::write(&path, &fresh).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == fresh,
        "docs/user/metrics.md is stale: run VAMP_UPDATE=1 cargo test -p telemetry names"
    );
}

/// Names are an interface: what the module promises of them holds for each.
#[test]
fn names_keep_to_the_rules() {
    let mut seen = BTreeSet::new();
    for family in ALL {
        assert!(seen.insert(family.name), "{} is there twice", family.name);
        assert_eq!(family.name.ends_with("_total"), family.kind == Kind::Counter, "{}", family.name);
        assert!(!family.help.is_empty(), "{}", family.name);
        for label in family.labels {
            assert!(!matches!(*label, "instance" | "job" | "le" | ENVIRONMENT), "{}: {label}", family.name);
        }
    }
}
