//! `get` and `describe`.

use std::time::Duration;

use serde_json::Value;

use crate::args::Format;
use crate::client::{Client, segment};
use crate::error::Error;
use crate::output::{Grid, print, say, structured, text};

pub(super) async fn get(
    client: &Client,
    kind: &'static str,
    name: Option<&str>,
    watch: bool,
    format: Format,
) -> Result<(), Error> {
    let mut shown = None;
    loop {
        let value = match name {
            Some(name) if kind == "environments" => super::environments::find(client, name).await?,
            Some(name) => client.get(&format!("/{kind}/{}", segment(name))).await?.body,
            None => Value::Array(client.list(&format!("/{kind}")).await?),
        };
        let rendered = match structured(format, kind, &value) {
            Some(text) => text,
            None => table(kind, &value, format == Format::Wide),
        };
        if shown.as_ref() != Some(&rendered) {
            if rendered.is_empty() {
                say(&format!("no {kind} found"));
            } else {
                print(&rendered)?;
            }
            shown = Some(rendered);
        }
        if !watch {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

fn table(kind: &str, value: &Value, wide: bool) -> String {
    let items: Vec<&Value> = match value {
        Value::Array(items) => items.iter().collect(),
        item => vec![item],
    };
    match kind {
        "gateways" => gateways(&items, wide),
        "events" => super::events::table(&items),
        "workloads" => super::local::table(&items),
        "environments" => super::environments::table(&items),
        "conditions" => simple(&["NAME", "CONDITION"], &items, "condition"),
        "rewrites" => simple(&["NAME", "REWRITE"], &items, "path"),
        _ => simple(&["NAME", "WEIGHT"], &items, "weight"),
    }
}

fn simple(header: &[&str], items: &[&Value], field: &str) -> String {
    let mut grid = Grid::new(header);
    for item in items {
        grid.row(vec![text(item, "name"), text(item, field)]);
    }
    if grid.is_empty() { String::new() } else { grid.render() }
}

fn gateways(items: &[&Value], wide: bool) -> String {
    let mut header = vec!["NAME", "READY", "ROUTES", "WEIGHTS", "PORT", "HOSTS"];
    if wide {
        header.extend(["STICKY", "ADDRESS", "SELECTOR"]);
    }
    let mut grid = Grid::new(&header);
    for gateway in items {
        let routes: Vec<(&String, &Value)> = gateway
            .get("routes")
            .and_then(Value::as_object)
            .map(|map| map.iter().collect())
            .unwrap_or_default();
        let serving = routes.iter().filter(|(_, route)| has_targets(route)).count();
        let weights: Vec<String> =
            routes.iter().map(|(path, route)| format!("{path} {}", text(route, "weight"))).collect();
        let hosts: Vec<&str> = gateway
            .get("virtual_hosts")
            .and_then(Value::as_array)
            .map(|hosts| hosts.iter().filter_map(Value::as_str).collect())
            .unwrap_or_default();
        let mut row = vec![
            text(gateway, "name"),
            format!("{serving}/{}", routes.len()),
            routes.len().to_string(),
            if weights.is_empty() { "-".into() } else { weights.join(", ") },
            text(gateway, "port"),
            if hosts.is_empty() { "-".into() } else { hosts.join(",") },
        ];
        if wide {
            let service = gateway.get("service").unwrap_or(&Value::Null);
            row.extend([
                text(gateway, "sticky"),
                format!("{}:{}", text(service, "host"), text(service, "port")),
                text(gateway, "selector"),
            ]);
        }
        grid.row(row);
    }
    if grid.is_empty() { String::new() } else { grid.render() }
}

/// Targets of a gateway that get less than their part, and why.
fn held(status: &Value, gateway: &str) -> Vec<String> {
    let targets = status.get("targets").and_then(Value::as_array).into_iter().flatten();
    let of_gateway = targets.filter(|target| text(target, "gateway") == gateway);
    let line = |target: &Value| {
        let (is, number) = (
            |field| target.get(field).and_then(Value::as_bool).unwrap_or(false),
            |field| target.get(field).and_then(Value::as_u64).unwrap_or(0),
        );
        let why = match (is("up"), is("ejected"), number("pending")) {
            (false, true, _) => "is left out for a while: it answers badly where others do not".to_owned(),
            (false, false, _) => "is down: it accepts no connections".to_owned(),
            (true, _, 1..) => format!("has as many requests as it may; {} wait", number("pending")),
            (true, true, 0) => "is left out by one proxy, not by all".to_owned(),
            (true, false, 0) => return None,
        };
        Some(format!(
            "Target {} ({}) of route {} {why}",
            text(target, "name"),
            text(target, "address"),
            text(target, "route")
        ))
    };
    of_gateway.filter_map(line).collect()
}

/// How the targets of a gateway are looked after.
fn care(document: &Value) -> String {
    let given: Vec<String> = document
        .get("target_care")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(name, _)| format!("{name} {}", text(&document["target_care"], name)))
        .collect();
    let all = ["eject_after", "ejection_time", "most_ejected", "slow_start", "requests", "pending"];
    match given.len() {
        0 => "as the settings of the proxy say".into(),
        some if some < all.len() => {
            format!("{}; the rest as the settings of the proxy say", given.join(", "))
        }
        _ => given.join(", "),
    }
}

fn has_targets(route: &Value) -> bool {
    route.get("targets").and_then(Value::as_array).is_some_and(|targets| !targets.is_empty())
}

pub(super) async fn describe(client: &Client, kind: &'static str, name: &str) -> Result<(), Error> {
    if kind == "environments" {
        return print(&model::yaml::to_string(&super::environments::find(client, name).await?));
    }
    let document = client.get(&format!("/{kind}/{}", segment(name))).await?.body;
    if kind != "gateways" {
        return print(&model::yaml::to_string(&document));
    }
    let mut lines = vec![
        format!("Name:      {}", text(&document, "name")),
        format!("Port:      {}", text(&document, "port")),
        format!("Selector:  {}", text(&document, "selector")),
        format!("Sticky:    {}", text(&document, "sticky")),
        format!("Deployed:  {}", text(&document, "deployed")),
    ];
    let service = document.get("service").unwrap_or(&Value::Null);
    lines.push(format!("Address:   {}:{}", text(service, "host"), text(service, "port")));
    for host in document.get("virtual_hosts").and_then(Value::as_array).into_iter().flatten() {
        lines.push(format!("Host:      {}", host.as_str().unwrap_or_default()));
    }
    lines.push(format!("Care:      {}", care(&document)));
    lines.push(String::new());
    let mut grid = Grid::new(&["ROUTE", "WEIGHT", "CONDITION", "STRENGTH", "TARGETS"]).numbers(&[1, 3]);
    for (path, route) in document.get("routes").and_then(Value::as_object).into_iter().flatten() {
        let condition =
            route.get("condition").filter(|c| c.is_object()).map_or("-".into(), |c| text(c, "condition"));
        let targets: Vec<String> = route
            .get("targets")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .map(|target| match target.get("url") {
                Some(url) => url.as_str().unwrap_or_default().to_owned(),
                None => format!("{}:{}", text(target, "host"), text(target, "port")),
            })
            .collect();
        let targets = if targets.is_empty() { "none ready".to_owned() } else { targets.join(" ") };
        grid.row(vec![
            path.clone(),
            text(route, "weight"),
            condition,
            text(route, "condition_strength"),
            targets,
        ]);
    }
    lines.push(if grid.is_empty() {
        "No routes yet: nothing matches the selector.".into()
    } else {
        grid.render()
    });
    let status = client.get("/status").await?.body;
    let warnings =
        status.get("gateways").and_then(|all| find(all, name)).and_then(|g| g.get("warnings").cloned());
    for warning in warnings.as_ref().and_then(Value::as_array).into_iter().flatten() {
        lines.push(format!("Warning: {}", warning.as_str().unwrap_or_default()));
    }
    lines.extend(held(&status, name));
    let events = client.get(&format!("/events?tag={}", segment(&format!("gateways:{name}")))).await?.body;
    if let Some(events) = events.as_array().filter(|events| !events.is_empty()) {
        let mut latest: Vec<&Value> = events
            .iter()
            .filter(|event| !matches!(event.get("type").and_then(Value::as_str), Some("metrics" | "health")))
            .take(10)
            .collect();
        latest.reverse();
        lines.push(format!("\nLatest events:\n{}", super::events::table(&latest)));
    }
    print(&lines.join("\n"))
}

/// A gateway in a list or map of gateways.
fn find<'a>(all: &'a Value, name: &str) -> Option<&'a Value> {
    match all {
        Value::Array(items) => items.iter().find(|g| g.get("name").and_then(Value::as_str) == Some(name)),
        Value::Object(map) => map.get(name),
        _ => None,
    }
}
