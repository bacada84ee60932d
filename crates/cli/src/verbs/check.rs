//! `check`: the doctor. Each finding says what is wrong and how to mend it.

use serde_json::Value;

use crate::client::Client;
use crate::error::Error;
use crate::output::{print, text};

pub(super) async fn check(client: &Client) -> Result<(), Error> {
    let mut findings = 0;
    let good = |line: &str| print(&format!("ok    {line}"));
    let mut bad = |line: &str, mend: &str| {
        findings += 1;
        print(&format!("FAIL  {line}\n      -> {mend}"))
    };

    let status = match client.get("/status").await {
        Ok(answer) => answer.body,
        Err(error @ Error::Refused { status: 401 | 403, .. }) => {
            bad(&format!("the API refuses: {error}"), "give a token that may read")?;
            return Err(Error::Failed("1 finding".into()));
        }
        Err(error) => return Err(error),
    };
    good(&format!("the API answers at {}, version {}", client.server(), text(&status, "version")))?;
    let own = env!("CARGO_PKG_VERSION");
    if text(&status, "version") != own {
        bad(&format!("this client is version {own}"), "use the client that belongs to the server")?;
    }

    match status.get("store").and_then(|store| store.get("problem")).and_then(Value::as_str) {
        Some(problem) => bad(
            &format!("changes cannot be stored: {problem}"),
            "until then changes are refused, and traffic goes on as it is",
        )?,
        None => good("changes can be stored")?,
    }
    let platform = status.get("platform").unwrap_or(&Value::Null);
    match platform.get("problem").and_then(Value::as_str) {
        Some(problem) => bad(
            &format!("the platform cannot be read: {problem}"),
            "mend the inventory or the connection; until then the last known state serves",
        )?,
        None => good(&format!("the platform shows {} instances", text(platform, "instances")))?,
    }

    let proxies = status.get("proxies").and_then(Value::as_array).cloned().unwrap_or_default();
    if proxies.is_empty() {
        bad("no proxy is connected", "start one: `vamp serve` has its own")?;
    }
    for proxy in &proxies {
        let live = proxy.get("live").and_then(Value::as_bool) == Some(true);
        let (name, revision) = (text(proxy, "name"), text(proxy, "revision"));
        if !live {
            bad(&format!("proxy {name} does not answer"), "look at its log; others go on without it")?;
        } else if revision != text(&status, "revision") {
            bad(
                &format!("proxy {name} still serves revision {revision}"),
                "wait a moment; if it stays, look at its log",
            )?;
        } else {
            good(&format!("proxy {name} serves revision {revision}"))?;
        }
        for problem in proxy.get("problems").and_then(Value::as_array).into_iter().flatten() {
            bad(
                &format!("proxy {name}, gateway {}: {}", text(problem, "gateway"), text(problem, "problem")),
                "free the port (it is tried again every second), or give the gateway another one",
            )?;
        }
    }

    for workload in client.get("/workloads").await?.body.as_array().into_iter().flatten() {
        let name = text(workload, "name");
        let failing = workload.get("instances").and_then(Value::as_array).into_iter().flatten();
        let failing = failing.filter(|instance| text(instance, "state") == "back-off");
        let failing: Vec<_> = failing.map(|instance| text(instance, "reason")).collect();
        if let Some(problem) = workload.get("problem").and_then(Value::as_str) {
            bad(&format!("workload {name}: {problem}"), "mend its manifest")?;
        }
        match failing.first() {
            Some(reason) => bad(
                &format!("workload {name}: {} of its instances do not stay up: {reason}", failing.len()),
                &format!("see `vamp local logs {name}`"),
            )?,
            None => good(&format!(
                "workload {name}: {} of {} instances are ready",
                text(workload, "ready"),
                text(workload, "replicas")
            ))?,
        }
    }

    for gateway in status.get("gateways").and_then(Value::as_array).into_iter().flatten() {
        let name = text(gateway, "name");
        let warnings: Vec<&str> = gateway
            .get("warnings")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        if gateway.get("healthy").and_then(Value::as_bool) == Some(true) && warnings.is_empty() {
            good(&format!(
                "gateway {name}: {} of {} routes serve",
                text(gateway, "serving"),
                text(gateway, "routes")
            ))?;
            continue;
        }
        if gateway.get("healthy").and_then(Value::as_bool) != Some(true) {
            bad(
                &format!(
                    "gateway {name}: {} of {} routes can serve",
                    text(gateway, "serving"),
                    text(gateway, "routes")
                ),
                &format!("see `vamp describe gateway {name}`; do the selector and the ready instances fit?"),
            )?;
        }
        for warning in warnings {
            bad(&format!("gateway {name}: {warning}"), &format!("see `vamp describe gateway {name}`"))?;
        }
    }

    match findings {
        0 => print("nothing wrong found"),
        1 => Err(Error::Failed("1 finding".into())),
        n => Err(Error::Failed(format!("{n} findings"))),
    }
}
