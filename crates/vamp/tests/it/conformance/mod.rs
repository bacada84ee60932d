//! Conformance: rows derived from the specification of gateways and of the REST API, run against the real binary.
//!
//! Each module is a part of the specification. A table runs in one server: its gateways are created first, then every
//! row is compared, and all mismatches are reported together. The first column of a row names the rule it comes from
//! (a section, an `Rn` of the gateways' specification or an `An` of the API's).
//!
//! ```text
//! table ---> Suite (vamp serve, echo targets, inventory) ---> POST, PUT, requests ---> Report ---> one failure with all rows
//! ```

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::IntoResponse;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::PATIENCE;

mod conditions;
mod continuity;
mod conventions;
mod documents;
mod events;
mod grouping;
mod hosts;
mod lifecycle;
mod metrics;
mod ports;
mod raw;
mod rewrites;
mod routing;
mod selectors;
mod stickiness;
mod validation;
mod weights;

/// The rows of a table that came out differently, told together at the end.
pub(crate) struct Report {
    table: &'static str,
    rows: usize,
    wrong: Vec<String>,
}

impl Report {
    pub(crate) fn new(table: &'static str) -> Self {
        Self { table, rows: 0, wrong: Vec::new() }
    }

    /// A row whose result is compared as a whole.
    pub(crate) fn same<T: PartialEq + Debug>(&mut self, row: &str, seen: T, expected: T) {
        self.rows += 1;
        if seen != expected {
            self.wrong.push(format!("{row}\n    expected {expected:?}\n    seen     {seen:?}"));
        }
    }

    /// A row that holds or not; `seen` is shown when it does not.
    pub(crate) fn holds(&mut self, row: &str, holds: bool, seen: impl Debug) {
        self.rows += 1;
        if !holds {
            self.wrong.push(format!("{row}\n    seen {seen:?}"));
        }
    }

    /// Fails with every mismatch.
    pub(crate) fn finish(self) {
        assert!(self.rows > 0, "{}: no rows", self.table);
        assert!(
            self.wrong.is_empty(),
            "{}: {} of {} rows differ\n\n{}\n",
            self.table,
            self.wrong.len(),
            self.rows,
            self.wrong.join("\n\n")
        );
    }
}

/// Sleeps between two looks at something that takes a moment to happen. Every loop around it has a deadline.
pub(crate) async fn pause() {
    tokio::time::sleep(Duration::from_millis(20)).await;
}

/// A target that tells in its answer what reached it.
pub(crate) struct Echo {
    pub(crate) address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl Echo {
    /// A target on a free port of 127.0.0.1.
    pub(crate) async fn start(name: &str) -> Self {
        Self::start_on(name, (Ipv4Addr::LOCALHOST, 0).into()).await
    }

    /// A target on an address of its own, as pods have.
    pub(crate) async fn start_on(name: &str, address: SocketAddr) -> Self {
        let listener = tokio::net::TcpListener::bind(address).await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let router = Router::new().fallback(echo).with_state(name.to_owned());
        let task = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("a listener that stays");
        });
        Self { address, task }
    }

    /// The path of a route to this target.
    pub(crate) fn path(&self) -> String {
        format!("[{}]", self.address)
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn echo(State(name): State<String>, request: Request) -> impl IntoResponse {
    let headers: Vec<Value> = request
        .headers()
        .iter()
        .map(|(name, value)| json!([name.as_str(), String::from_utf8_lossy(value.as_bytes())]))
        .collect();
    let body =
        json!({"method": request.method().as_str(), "target": request.uri().to_string(), "headers": headers});
    ([("x-target", name)], body.to_string())
}

/// An answer on the data plane.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Reply {
    /// The first header of a name (given in lower case).
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.all(name).first().copied()
    }

    /// All headers of a name (given in lower case).
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(n, _)| n == name).map(|(_, v)| v.as_str()).collect()
    }

    /// The name of the target that answered, or the status and reason of an answer that the proxy made itself.
    pub(crate) fn from(&self) -> String {
        match self.header("x-target") {
            Some(name) => name.to_owned(),
            None => format!("{} {}", self.status, self.header("vamp-proxy-error").unwrap_or("-")),
        }
    }

    /// What reached the target.
    pub(crate) fn echoed(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or(Value::Null)
    }

    /// A header as it reached the target (name in lower case), all lines.
    pub(crate) fn received(&self, name: &str) -> Vec<String> {
        let echoed = self.echoed();
        let headers = echoed["headers"].as_array().map(Vec::as_slice).unwrap_or_default();
        headers
            .iter()
            .filter(|h| h[0] == name)
            .map(|h| h[1].as_str().unwrap_or_default().to_owned())
            .collect()
    }

    /// `name=value` of each cookie that was set.
    pub(crate) fn cookies(&self) -> Vec<String> {
        self.all("set-cookie").iter().map(|c| c.split(';').next().unwrap_or_default().to_owned()).collect()
    }

    /// `name=value` of the cookie that was set whose name begins so.
    pub(crate) fn cookie(&self, prefix: &str) -> Option<String> {
        self.cookies().into_iter().find(|cookie| cookie.starts_with(prefix))
    }
}

/// Sends one request on a connection of its own.
///
/// The request is written `METHOD target | Name: value | Name: value`; `Host` is added when it is not given.
pub(crate) async fn send(to: impl tokio::net::ToSocketAddrs, request: &str) -> Reply {
    send_with(to, request, None).await
}

/// Sends one request with a body.
pub(crate) async fn send_with(
    to: impl tokio::net::ToSocketAddrs,
    request: &str,
    body: Option<&str>,
) -> Reply {
    let mut parts = request.split(" | ");
    let mut head = format!("{} HTTP/1.1\r\n", parts.next().expect("a request line"));
    let headers: Vec<&str> = parts.collect();
    if !headers.iter().any(|header| header.to_ascii_lowercase().starts_with("host:")) {
        head.push_str("Host: 127.0.0.1\r\n");
    }
    for header in headers {
        head.push_str(header);
        head.push_str("\r\n");
    }
    if let Some(body) = body {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    head.push_str("Connection: close\r\n\r\n");
    head.push_str(body.unwrap_or_default());
    let exchange = async {
        let mut stream = TcpStream::connect(to).await?;
        stream.write_all(head.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    match tokio::time::timeout(PATIENCE, exchange).await {
        Ok(Ok(answer)) => parse(&answer),
        Ok(Err(problem)) => nothing(&problem.to_string()),
        Err(_) => nothing("no answer in time"),
    }
}

fn nothing(why: &str) -> Reply {
    Reply { status: 0, headers: vec![("vamp-proxy-error".to_owned(), why.to_owned())], body: String::new() }
}

fn parse(answer: &[u8]) -> Reply {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let mut lines = head.split("\r\n");
    let status =
        lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|s| s.parse().ok()).unwrap_or(0);
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    Reply { status, headers, body: body.to_owned() }
}

/// Sends the same request again and again, one after the other; how often each target answered.
pub(crate) async fn tally(to: (&str, u16), request: &str, times: usize) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for _ in 0..times {
        *counts.entry(send(to, request).await.from()).or_default() += 1;
    }
    counts
}

/// A tally to compare with.
pub(crate) fn counts(expected: &[(&str, usize)]) -> BTreeMap<String, usize> {
    expected.iter().filter(|(_, n)| *n > 0).map(|(name, n)| ((*name).to_owned(), *n)).collect()
}

/// The port that a gateway document shows as its service.
pub(crate) fn port_of(gateway: &Value) -> u16 {
    let port = gateway["service"]["port"].as_str().unwrap_or_default();
    port.split('/').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// The keys of a map in their order.
pub(crate) fn keys(map: &Value) -> Vec<String> {
    map.as_object().map(|map| map.keys().cloned().collect()).unwrap_or_default()
}

/// The weights of a gateway, in route order, as `path=weight`.
pub(crate) fn weights_of(gateway: &Value) -> Vec<String> {
    let routes = gateway["routes"].as_object();
    let line =
        |(path, route): (&String, &Value)| format!("{path}={}", route["weight"].as_str().unwrap_or("?"));
    routes.map(|routes| routes.iter().map(line).collect()).unwrap_or_default()
}
