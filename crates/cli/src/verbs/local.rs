//! `local`: workloads that the local platform runs as processes.

use reqwest::Method;
use serde_json::Value;

use super::documents;
use crate::args::LocalVerb;
use crate::client::{Call, Client, segment};
use crate::error::Error;
use crate::output::{Grid, print, structured, text};

pub(super) async fn run(client: &Client, verb: LocalVerb) -> Result<(), Error> {
    match verb {
        LocalVerb::Apply { file } => {
            for file in &file {
                let (origin, body) = documents::contents(file)?;
                let call = Call {
                    method: Method::POST,
                    path: "/workloads",
                    body: Some(body),
                    if_match: None,
                    change: None,
                };
                let answer =
                    client.call(call).await.inspect_err(|_| crate::output::say(&format!("{origin}:")))?;
                for workload in answer.body.as_array().into_iter().flatten() {
                    print(&format!("workload/{} {}", text(workload, "name"), text(workload, "outcome")))?;
                }
            }
            Ok(())
        }
        LocalVerb::Get { output } => {
            let workloads = client.get("/workloads").await?.body;
            match structured(output.output, "workloads", &workloads) {
                Some(text) => print(&text),
                None => print(&table(
                    &workloads.as_array().map(|all| all.iter().collect::<Vec<_>>()).unwrap_or_default(),
                )),
            }
        }
        LocalVerb::Delete { name } => {
            let path = format!("/workloads/{}", segment(&name));
            let call = Call { method: Method::DELETE, path: &path, body: None, if_match: None, change: None };
            let answer = client.call(call).await?.body;
            if answer.get("deleted").and_then(Value::as_bool) == Some(false) {
                return Err(Error::Failed(format!(
                    "workload/{name} not found; `vamp local get` lists what runs"
                )));
            }
            print(&format!("workload/{name} deleted"))
        }
        LocalVerb::Logs { instance, lines } => {
            let answer =
                client.get(&format!("/workloads/{}/log?lines={lines}", segment(&instance))).await?.body;
            match answer {
                Value::Array(lines) => {
                    for line in lines {
                        print(line.as_str().unwrap_or_default())?;
                    }
                    Ok(())
                }
                other => print(other.as_str().unwrap_or_default()),
            }
        }
    }
}

/// Workloads as a table.
pub(super) fn table(workloads: &[&Value]) -> String {
    let mut grid = Grid::new(&["NAME", "READY", "RESTARTS", "INSTANCES"]);
    for workload in workloads {
        let instances: Vec<String> = workload
            .get("instances")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .map(|i| {
                let why = i.get("reason").and_then(Value::as_str).map(|why| format!(": {why}"));
                format!(
                    "{} ({}, {}{})",
                    text(i, "name"),
                    text(i, "ip"),
                    text(i, "state"),
                    why.unwrap_or_default()
                )
            })
            .collect();
        grid.row(vec![
            text(workload, "name"),
            format!("{}/{}", text(workload, "ready"), text(workload, "replicas")),
            text(workload, "restarts"),
            if instances.is_empty() { "-".into() } else { instances.join(", ") },
        ]);
    }
    if grid.is_empty() {
        "nothing runs; start something with `vamp local apply -f FILE`".into()
    } else {
        grid.render()
    }
}
