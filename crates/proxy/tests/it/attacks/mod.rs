//! A table of attacks on HTTP/1.1, sent as raw bytes: requests that a proxy and the server behind it could understand differently,
//! and answers that a proxy and its client could.
//!
//! ```text
//! row: bytes --> proxy --> target that takes down what it saw
//!        |                    |
//!        |                    +-- exactly the requests that the row names, and nothing of what was smuggled
//!        +-- the answers, and whether the connection goes on
//! then: another client asks, on the same connection to the target: it gets its own answer
//! ```
//!
//! A target here believes everything that it gets; what is refused must not get that far.

mod framing;
mod hops;
mod identity;
mod injection;
mod responses;
mod syntax;

use std::io;
use std::sync::Arc;

use testkit::target::{Seen, Target};
use testkit::wire::{Message, Wire};

use crate::support::{Bench, gateway, route};

/// What an attacker wants the target to see as a request of its own.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: shop.test\r\n\r\n";

/// One attack.
struct Row {
    send: String,
    /// Sent when the first answer is there.
    then: &'static str,
    /// Status of every answer.
    answers: Vec<u16>,
    /// Every request that reaches the target, as [`render`] writes it.
    seen: Vec<String>,
    /// The connection of the client goes on.
    open: bool,
}

/// The proxy answers itself and closes; the target sees nothing.
fn refused(send: impl Into<String>, status: u16) -> Row {
    Row { send: send.into(), then: "", answers: vec![status], seen: Vec::new(), open: false }
}

/// Requests get through, in the meaning that the proxy gave them, and the connection goes on.
fn passed(send: impl Into<String>, seen: &[&str]) -> Row {
    let seen: Vec<String> = seen.iter().map(|&text| text.to_owned()).collect();
    Row { send: send.into(), then: "", answers: vec![200; seen.len()], seen, open: true }
}

/// The same, but the connection of the client ends.
fn passed_last(send: impl Into<String>, seen: &[&str]) -> Row {
    Row { open: false, ..passed(send, seen) }
}

/// A request with these lines after Host, and what follows its head.
fn post(fields: &str, rest: &str) -> String {
    format!("POST /p HTTP/1.1\r\nHost: shop.test\r\n{fields}\r\n{rest}")
}

/// A request as a target sees it, on one line: start, fields without those that the proxy adds, body, trailers.
fn render(request: &Message) -> String {
    let mut text = request.start.clone();
    for (name, value) in &request.fields {
        if !name.to_ascii_lowercase().starts_with("x-forwarded-") {
            text.push_str(&format!("|{name}: {value}"));
        }
    }
    if !request.body.is_empty() {
        text.push_str(&format!("|={}", request.text()));
    }
    for trailer in &request.trailers {
        text.push_str(&format!("|+{trailer}"));
    }
    text
}

/// Answers every request with its path. Some paths make it behave as targets do:
/// - `/early`: answers after the head, and takes what follows for the next request.
/// - `/switch`: changes the protocol, asked or not.
async fn believe(mut wire: Wire, seen: Arc<Seen>) -> io::Result<()> {
    loop {
        let early = wire.peek_line().await?.is_some_and(|line| line.contains(" /early"));
        let read = if early { wire.read_head_only().await? } else { wire.read_request().await? };
        let Some(request) = read else { return Ok(()) };
        let path = request.start.split(' ').nth(1).unwrap_or_default().to_owned();
        let head = request.start.starts_with("HEAD ");
        seen.record(request);
        if path == "/switch" {
            wire.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
                .await?;
            continue;
        }
        let body = if head { "" } else { &path };
        wire.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", path.len()).as_bytes())
            .await?;
    }
}

/// One worker, so that every client is served over the same connections to the target.
async fn serving(target: &Target) -> Bench {
    let bench = Bench::with(|settings| settings.workers = 1);
    bench.apply(vec![gateway("shop", vec![route("a", 100, &[target.address()])])]).await;
    bench
}

/// Runs a table and reports every row that does not hold.
async fn check(rows: Vec<(&str, Row)>) {
    let target = Target::start(|wire, _, seen| Box::pin(believe(wire, seen))).await.unwrap();
    let bench = serving(&target).await;
    let mut faults = Vec::new();
    let total = rows.len();
    for (name, row) in rows {
        if let Err(fault) = run(&bench, &target, &row).await {
            faults.push(format!("{name}: {fault}\n    sent {:?}", row.send));
        }
    }
    assert!(faults.is_empty(), "{} of {total} rows:\n{}", faults.len(), faults.join("\n"));
}

async fn run(bench: &Bench, target: &Target, row: &Row) -> Result<(), String> {
    let before = target.count();
    let lost = |what: &str, error: io::Error| format!("{what}: {error}");
    let mut client = bench.connect().await;
    client.send(row.send.as_bytes()).await.map_err(|error| lost("sending", error))?;
    let mut answers = Vec::new();
    for number in 0..row.answers.len() {
        let answer = loop {
            let answer = match row.send.starts_with("HEAD ") {
                true => client
                    .read_head_only()
                    .await
                    .and_then(|head| head.ok_or(io::ErrorKind::UnexpectedEof.into())),
                false => client.read_response().await,
            };
            let answer = answer.map_err(|error| lost("no answer", error))?;
            if answer.status() >= 200 {
                break answer;
            }
        };
        if answer.field("vamp-proxy-error").is_none() != (answer.status() == 200) {
            return Err(format!("not the answer of whom it should be: {answer:?}"));
        }
        let last = number + 1 == row.answers.len();
        if last && (answer.field("connection").as_deref() == Some("close")) == row.open {
            return Err(format!("Connection says the wrong thing: {answer:?}"));
        }
        answers.push(answer.status());
        if number == 0 && !row.then.is_empty() {
            // The proxy may have closed already.
            let _ = client.send(row.then.as_bytes()).await;
        }
    }
    let mut expected = row.seen.clone();
    if row.open {
        let next = client.ask("GET /next HTTP/1.1\r\nHost: shop.test\r\n\r\n").await;
        let next = next.map_err(|error| lost("the next request", error))?;
        if next.text() != "/next" {
            return Err(format!("the next request got {next:?}"));
        }
        expected.push("GET /next HTTP/1.1|Host: shop.test".into());
    } else {
        // A reset is a close as well: what was sent after the end is not read.
        let rest = client.read_to_end().await.unwrap_or_default();
        if !rest.is_empty() {
            return Err(format!("more than was asked for: {:?}", String::from_utf8_lossy(&rest)));
        }
    }
    // Whoever comes next over the same connection to the target gets what is theirs.
    let after = bench.connect().await.ask("GET /after HTTP/1.1\r\nHost: shop.test\r\n\r\n").await;
    let after = after.map_err(|error| lost("another client", error))?;
    if after.text() != "/after" {
        return Err(format!("another client got {after:?}"));
    }
    expected.push("GET /after HTTP/1.1|Host: shop.test".into());
    let seen: Vec<String> = target.requests()[before..].iter().map(render).collect();
    match answers == row.answers && seen == expected {
        true => Ok(()),
        false => Err(format!(
            "\n    answers {answers:?}, expected {:?}\n    the target saw {seen:?}\n    expected       {expected:?}",
            row.answers
        )),
    }
}
