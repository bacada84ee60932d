//! `check`: the doctor. Each finding says what is wrong and how to mend it.

use serde_json::{Value, json};

use crate::args::Format;
use crate::client::Client;
use crate::error::Error;
use crate::output::{Grid, print, structured, text};

/// How a thing stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// As it should be.
    Fine,
    /// It works, but somebody should look; or it cannot be seen.
    Warning,
    /// Something does not work: `check` fails.
    Error,
}

impl Level {
    const fn word(self) -> &'static str {
        match self {
            Self::Fine => "ok",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How it stands.
    pub level: Level,
    /// What was found.
    pub message: String,
    /// What to do, where there is something.
    pub mend: Option<String>,
}

impl Finding {
    fn fine(message: impl Into<String>) -> Self {
        Self { level: Level::Fine, message: message.into(), mend: None }
    }

    fn warning(message: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { level: Level::Warning, message: message.into(), mend: Some(mend.into()) }
    }

    /// Something that does not work.
    pub fn error(message: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { level: Level::Error, message: message.into(), mend: Some(mend.into()) }
    }
}

/// Looks at what the API says, after what was found elsewhere.
pub(crate) async fn check(mut all: Vec<Finding>, client: &Client, format: Format) -> Result<(), Error> {
    let alone = all.is_empty();
    match client.get("/status").await {
        Ok(answer) => {
            let workloads = client.get("/workloads").await?.body;
            all.extend(findings(client.server(), &answer.body, &workloads));
        }
        Err(error @ Error::Refused { status: 401 | 403, .. }) => {
            let mend = "give a token with the role of a viewer: --token or VAMP_TOKEN";
            all.push(Finding::error(format!("the API refuses: {error}"), mend));
        }
        Err(error @ (Error::Refused { .. } | Error::Unreachable { .. })) if !alone => {
            all.push(Finding::error(
                format!("the API cannot be asked: {error}"),
                "see above, or the log of the controller",
            ));
        }
        Err(error) => return Err(error),
    }
    report(&all, format)
}

/// Prints all, and fails when there is an error among them.
pub(crate) fn report(all: &[Finding], format: Format) -> Result<(), Error> {
    let documents: Vec<Value> = (all.iter())
        .map(|finding| json!({"level": finding.level.word(), "message": finding.message, "mend": finding.mend}))
        .collect();
    match (structured(format, "findings", &Value::Array(documents)), format) {
        (Some(_), Format::Name) => {
            return Err(Error::Usage("findings have no names: use -o json or yaml".into()));
        }
        (Some(text), _) => print(&text)?,
        (None, Format::Wide) => {
            let mut grid = Grid::new(&["LEVEL", "FINDING", "MEND"]);
            for finding in all {
                let mend = finding.mend.clone().unwrap_or_default();
                grid.row(vec![finding.level.word().into(), finding.message.clone(), mend]);
            }
            print(&grid.render())?;
        }
        (None, _) => print(&lines(all))?,
    }
    let count = |level| all.iter().filter(|finding| finding.level == level).count();
    match (count(Level::Error), count(Level::Warning)) {
        (0, _) => Ok(()),
        (errors, warnings) => {
            Err(Error::Failed(format!("{}, {}", several(errors, "error"), several(warnings, "warning"))))
        }
    }
}

fn several(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

fn lines(all: &[Finding]) -> String {
    let mut lines = Vec::new();
    for finding in all {
        lines.push(format!("{:<8}{}", finding.level.word(), finding.message));
        if let Some(mend) = &finding.mend {
            lines.push(format!("        -> {mend}"));
        }
    }
    if all.iter().all(|finding| finding.level == Level::Fine) {
        lines.push("nothing wrong found".into());
    }
    lines.join("\n")
}

fn array<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    value.get(field).and_then(Value::as_array).into_iter().flatten()
}

fn problem<'a>(value: &'a Value, field: &str) -> Option<&'a str> {
    value.get(field).and_then(|part| part.get("problem")).and_then(Value::as_str)
}

/// What `/status` and `/workloads` of the API at `server` mean.
fn findings(server: &str, status: &Value, workloads: &Value) -> Vec<Finding> {
    let mut all =
        vec![Finding::fine(format!("the API answers at {server}, version {}", text(status, "version")))];
    let own = env!("CARGO_PKG_VERSION");
    if text(status, "version") != own {
        all.push(Finding::warning(
            format!("this client is version {own}"),
            "use the client that belongs to the server",
        ));
    }
    all.push(match problem(status, "store") {
        Some(problem) => Finding::error(
            format!("changes cannot be stored: {problem}"),
            "until then changes are refused, and traffic goes on as it is",
        ),
        None => Finding::fine("changes can be stored"),
    });
    all.push(match problem(status, "platform") {
        Some(problem) => Finding::error(
            format!("the platform cannot be read: {problem}"),
            "mend the inventory or the connection; until then the last known state serves",
        ),
        None => {
            let platform = status.get("platform").unwrap_or(&Value::Null);
            Finding::fine(format!("the platform shows {} instances", text(platform, "instances")))
        }
    });
    proxies(status, &mut all);
    for workload in workloads.as_array().into_iter().flatten() {
        self::workload(workload, &mut all);
    }
    for gateway in array(status, "gateways") {
        self::gateway(gateway, &mut all);
    }
    all
}

fn proxies(status: &Value, all: &mut Vec<Finding>) {
    if array(status, "proxies").next().is_none() {
        all.push(Finding::error(
            "no proxy is connected, so nothing serves",
            "start one: `vamp serve` has its own, on Kubernetes it is the agents",
        ));
    }
    for proxy in array(status, "proxies") {
        let live = proxy.get("live").and_then(Value::as_bool) == Some(true);
        let (name, revision) = (text(proxy, "name"), text(proxy, "revision"));
        all.push(if !live {
            Finding::error(
                format!("proxy {name} does not answer"),
                "look at its log; others go on without it",
            )
        } else if revision != text(status, "revision") {
            Finding::warning(
                format!("proxy {name} still serves revision {revision}"),
                "wait a moment; if it stays, look at its log",
            )
        } else {
            Finding::fine(format!("proxy {name} serves revision {revision}"))
        });
        for problem in array(proxy, "problems") {
            all.push(Finding::error(
                format!("proxy {name}, gateway {}: {}", text(problem, "gateway"), text(problem, "problem")),
                "free the port (it is tried again every second), or give the gateway another one",
            ));
        }
    }
}

fn workload(workload: &Value, all: &mut Vec<Finding>) {
    let name = text(workload, "name");
    if let Some(problem) = workload.get("problem").and_then(Value::as_str) {
        all.push(Finding::error(format!("workload {name}: {problem}"), "mend its manifest"));
    }
    let failing = array(workload, "instances").filter(|instance| text(instance, "state") == "back-off");
    let failing: Vec<_> = failing.map(|instance| text(instance, "reason")).collect();
    all.push(match failing.first() {
        Some(reason) => Finding::error(
            format!("workload {name}: {} of its instances do not stay up: {reason}", failing.len()),
            format!("see `vamp local logs {name}`"),
        ),
        None => {
            let (ready, wanted) = (text(workload, "ready"), text(workload, "replicas"));
            Finding::fine(format!("workload {name}: {ready} of {wanted} instances are ready"))
        }
    });
}

fn gateway(gateway: &Value, all: &mut Vec<Finding>) {
    let name = text(gateway, "name");
    let see = format!("see `vamp describe gateway {name}`");
    let healthy = gateway.get("healthy").and_then(Value::as_bool) == Some(true);
    let warnings: Vec<&str> = array(gateway, "warnings").filter_map(Value::as_str).collect();
    let serving = format!("{} of {} routes", text(gateway, "serving"), text(gateway, "routes"));
    if !healthy {
        let mend = format!("{see}; do the selector and the ready instances fit?");
        all.push(Finding::error(format!("gateway {name}: {serving} can serve"), mend));
    } else if warnings.is_empty() {
        all.push(Finding::fine(format!("gateway {name}: {serving} serve")));
    }
    for warning in warnings {
        all.push(Finding::warning(format!("gateway {name}: {warning}"), see.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn levels(status: Value, workloads: Value) -> Vec<(Level, String)> {
        let all = findings("http://x", &status, &workloads);
        all.into_iter().map(|finding| (finding.level, finding.message)).collect()
    }

    fn healthy() -> Value {
        json!({
            "version": env!("CARGO_PKG_VERSION"), "revision": 7, "platform": {"instances": 2},
            "proxies": [{"name": "a", "live": true, "revision": 7}],
            "gateways": [{"name": "shop", "healthy": true, "serving": 1, "routes": 1}],
        })
    }

    #[test]
    fn a_healthy_server_has_nothing_but_good_findings() {
        let all = levels(healthy(), json!([{"name": "w", "ready": 1, "replicas": 1}]));
        assert!(all.iter().all(|(level, _)| *level == Level::Fine), "{all:?}");
        assert_eq!(all.len(), 6);
    }

    #[test]
    fn what_is_wrong_is_found() {
        let cases: &[(&str, Value, Level, &str)] = &[
            ("/version", json!("0"), Level::Warning, "this client is version"),
            ("/store", json!({"problem": "disk full"}), Level::Error, "cannot be stored: disk full"),
            ("/platform", json!({"problem": "403"}), Level::Error, "cannot be read: 403"),
            ("/proxies", json!([]), Level::Error, "no proxy is connected"),
            ("/proxies/0/live", json!(false), Level::Error, "proxy a does not answer"),
            ("/proxies/0/revision", json!(6), Level::Warning, "still serves revision 6"),
            (
                "/proxies/0/problems",
                json!([{"gateway": "g", "problem": "port taken"}]),
                Level::Error,
                "gateway g: port taken",
            ),
            ("/gateways/0/healthy", json!(false), Level::Error, "1 of 1 routes can serve"),
            ("/gateways/0/warnings", json!(["no Service"]), Level::Warning, "shop: no Service"),
        ];
        for (place, value, level, message) in cases {
            let mut status = healthy();
            let (parent, field) = place.rsplit_once('/').unwrap();
            status.pointer_mut(parent).unwrap()[field] = value.clone();
            let all = levels(status, json!([]));
            let wrong: Vec<_> = all.iter().filter(|(level, _)| *level != Level::Fine).collect();
            assert_eq!(wrong.len(), 1, "{place}: {all:?}");
            assert!(wrong[0].0 == *level && wrong[0].1.contains(message), "{place}: {wrong:?}");
        }
        let failing = json!([{"name": "w", "instances": [{"state": "back-off", "reason": "exit 1"}]}]);
        assert!(
            levels(healthy(), failing)
                .iter()
                .any(|(level, text)| *level == Level::Error && text.contains("exit 1"))
        );
    }
}
