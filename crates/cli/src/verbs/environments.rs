//! The environments of a server: `get environments`.

use serde_json::Value;

use crate::client::Client;
use crate::error::Error;
use crate::output::{Grid, text};

/// As it is given to `--env`.
fn title(environment: &Value) -> String {
    match environment.get("organisation").and_then(Value::as_str) {
        Some(organisation) => format!("{organisation}/{}", text(environment, "name")),
        None => text(environment, "name"),
    }
}

/// One environment, by name or namespace.
pub(super) async fn find(client: &Client, name: &str) -> Result<Value, Error> {
    let all = client.list("/environments").await?;
    let titles: Vec<String> = all.iter().map(title).collect();
    let called = |environment: &Value| {
        title(environment) == name
            || ["name", "namespace"].iter().any(|field| text(environment, field) == name)
    };
    all.into_iter().find(called).ok_or_else(|| {
        Error::Failed(format!("there is no environment '{name}'; there are: {}", titles.join(", ")))
    })
}

pub(super) fn table(environments: &[&Value]) -> String {
    let header = ["NAME", "NAMESPACE", "DEFAULT", "HEALTHY", "GATEWAYS", "PROXIES", "REVISION"];
    let mut grid = Grid::new(&header).numbers(&[4, 5, 6]);
    let word = |environment: &Value, field: &str| match environment.get(field).and_then(Value::as_bool) {
        Some(true) => "yes".to_owned(),
        _ => "no".to_owned(),
    };
    for environment in environments {
        grid.row(vec![
            title(environment),
            text(environment, "namespace"),
            word(environment, "default"),
            word(environment, "healthy"),
            text(environment, "gateways"),
            text(environment, "proxies"),
            text(environment, "revision"),
        ]);
    }
    if grid.is_empty() { String::new() } else { grid.render() }
}
