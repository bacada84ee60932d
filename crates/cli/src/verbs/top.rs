//! `top`: live figures of every gateway and route.

use std::io::IsTerminal as _;

use futures_util::StreamExt;
use serde_json::Value;

use crate::client::Client;
use crate::error::Error;
use crate::output::{Grid, print, text};

pub(super) async fn top(client: &Client, gateway: Option<&str>, once: bool) -> Result<(), Error> {
    if once {
        let figures = client.get("/figures").await?.body;
        known(&figures, gateway)?;
        return print(&table(&figures, gateway));
    }
    let mut stream = client.events("/figures/stream").await?;
    let clear = std::io::stdout().is_terminal();
    while let Some(event) = stream.next().await {
        let (_, figures) = event?;
        known(&figures, gateway)?;
        // Home, then clear to the end: no flicker.
        let home = if clear { "\x1b[H\x1b[J" } else { "" };
        print(&format!("{home}{}", table(&figures, gateway)))?;
    }
    Err(Error::Failed("the server closed the stream of figures".into()))
}

/// A name that is not there is a mistake, not an empty table.
fn known(figures: &Value, gateway: Option<&str>) -> Result<(), Error> {
    let Some(wanted) = gateway else { return Ok(()) };
    let names: Vec<String> = figures
        .get("gateways")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .map(|gateway| text(gateway, "name"))
        .collect();
    if names.iter().any(|name| name == wanted) {
        return Ok(());
    }
    let there =
        if names.is_empty() { "there are none".into() } else { format!("there are {}", names.join(", ")) };
    Err(Error::Failed(format!("no gateway '{wanted}': {there}")))
}

fn table(figures: &Value, only: Option<&str>) -> String {
    let mut grid = Grid::new(&[
        "GATEWAY",
        "ROUTE",
        "WEIGHT",
        "REQ/S",
        "ERRORS",
        "P50 MS",
        "P99 MS",
        "IN FLIGHT",
        "TARGETS",
    ])
    .numbers(&[2, 3, 4, 5, 6, 7, 8]);
    for gateway in figures.get("gateways").and_then(Value::as_array).into_iter().flatten() {
        let name = text(gateway, "name");
        if only.is_some_and(|only| only != name) {
            continue;
        }
        grid.row(row(name, String::new(), gateway));
        for route in gateway.get("routes").and_then(Value::as_array).into_iter().flatten() {
            grid.row(row(String::new(), text(route, "path"), route));
        }
    }
    let title = format!("revision {}, last {} s", text(figures, "revision"), text(figures, "seconds"));
    if grid.is_empty() { format!("{title}\nno gateways") } else { format!("{title}\n{}", grid.render()) }
}

fn row(gateway: String, route: String, figures: &Value) -> Vec<String> {
    let number = |field: &str, decimals: usize| match figures.get(field).and_then(Value::as_f64) {
        Some(value) => format!("{value:.decimals$}"),
        None => "-".into(),
    };
    let errors = match figures.get("error_rate").and_then(Value::as_f64) {
        Some(rate) => format!("{:.2}%", rate * 100.0),
        None => "-".into(),
    };
    let weight = text(figures, "weight");
    let weight = if weight == "-" { String::new() } else { weight };
    vec![
        gateway,
        route,
        weight,
        number("rate", 1),
        errors,
        number("p50_ms", 1),
        number("p99_ms", 1),
        number("in_flight", 0),
        number("targets", 0),
    ]
}
