//! `status`: is everything healthy?

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::args::Format;
use crate::client::Client;
use crate::error::Error;
use crate::output::{Grid, print, structured, text};

pub(super) async fn status(client: &Client, timeout: Option<Duration>, format: Format) -> Result<(), Error> {
    let deadline = timeout.map(|timeout| Instant::now() + timeout);
    loop {
        let answer = client.get("/status").await;
        let healthy =
            matches!(&answer, Ok(a) if a.body.get("healthy").and_then(Value::as_bool) == Some(true));
        let late = deadline.is_none_or(|deadline| Instant::now() >= deadline);
        if healthy || late {
            let answer = answer?.body;
            match structured(format, "status", &answer) {
                Some(text) => print(&text)?,
                None => print(&table(&answer))?,
            }
            return if healthy { Ok(()) } else { Err(Error::Failed("not healthy".into())) };
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

fn table(status: &Value) -> String {
    let verdict =
        if status.get("healthy").and_then(Value::as_bool) == Some(true) { "healthy" } else { "not healthy" };
    let mut lines = vec![format!("Vamp is {verdict}, revision {}", text(status, "revision"))];
    let mut grid = Grid::new(&["GATEWAY", "HEALTHY", "ROUTES", "SERVING"]);
    for gateway in status.get("gateways").and_then(Value::as_array).into_iter().flatten() {
        grid.row(["name", "healthy", "routes", "serving"].map(|field| text(gateway, field)).to_vec());
    }
    if !grid.is_empty() {
        lines.push(grid.render());
    }
    let mut grid = Grid::new(&["PROXY", "LIVE", "REVISION"]);
    for proxy in status.get("proxies").and_then(Value::as_array).into_iter().flatten() {
        grid.row(["name", "live", "revision"].map(|field| text(proxy, field)).to_vec());
    }
    if !grid.is_empty() {
        lines.push(grid.render());
    }
    for problem in status.get("problems").and_then(Value::as_array).into_iter().flatten() {
        lines.push(format!("! {}", problem.as_str().unwrap_or_default()));
    }
    lines.join("\n")
}
