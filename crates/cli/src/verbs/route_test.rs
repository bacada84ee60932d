//! `route test`: where would a request go, and why.

use reqwest::Method;
use serde_json::{Value, json};

use crate::args::Format;
use crate::client::{Call, Client};
use crate::error::Error;
use crate::output::{print, structured, text};

/// The request that is asked about.
pub(super) struct Question {
    pub(super) gateway: String,
    pub(super) header: Vec<String>,
    pub(super) path: String,
    pub(super) method: String,
    pub(super) source: String,
}

pub(super) async fn test(client: &Client, question: Question, format: Format) -> Result<(), Error> {
    let mut headers = Vec::new();
    for line in &question.header {
        let Some((name, value)) = line.split_once(':') else {
            return Err(Error::Usage(format!(
                "'{line}' is not a header, write for example -H 'Accept: text/html'"
            )));
        };
        headers.push(json!([name.trim(), value.trim()]));
    }
    let body = json!({
        "gateway": question.gateway, "method": question.method, "path": question.path,
        "headers": headers, "source": question.source,
    });
    let call = Call {
        method: Method::POST,
        path: "/route-tests",
        body: Some(body.to_string()),
        if_match: None,
        change: None,
    };
    let answer = client.call(call).await?.body;
    if let Some(text) = structured(format, "gateways", &answer) {
        return print(&text);
    }
    let mut lines = vec![
        format!("Route:     {}", text(&answer, "route")),
        format!("Target:    {}", target(&answer)),
        format!("Reason:    {}", text(&answer, "reason")),
        format!("Revision:  {}", text(&answer, "revision")),
    ];
    for condition in answer.get("conditions").and_then(Value::as_array).into_iter().flatten() {
        let holds = if condition.get("holds").and_then(Value::as_bool) == Some(true) {
            "holds"
        } else {
            "does not hold"
        };
        lines.push(format!(
            "Condition: {} of {} {holds}",
            text(condition, "condition"),
            text(condition, "route")
        ));
    }
    print(&lines.join("\n"))
}

fn target(answer: &Value) -> String {
    match answer.get("target") {
        Some(target) if target.is_object() => {
            format!("{} ({})", text(target, "name"), text(target, "address"))
        }
        _ => text(answer, "target"),
    }
}
