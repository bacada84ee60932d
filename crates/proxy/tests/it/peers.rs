//! Targets and clients that misbehave, one by one: what the client gets, what the log and the figures say of it, and that nothing is
//! left of it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use model::name::GatewayName;
use model::port::Protocol;
use proxy::AccessLog;
use serde_json::Value;
use testkit::eventually;
use testkit::target::{Seen, Target, connect};
use testkit::wire::Wire;

use crate::support::{Bench, SHORT, free_port, gateway, loopback, on_port, route, short};

/// In which the proxy reads what was sent, also on a busy machine; shorter than the time-outs.
const MOMENT: Duration = SHORT.saturating_sub(Duration::from_millis(600));

/// Length of an answer that no socket buffer holds.
const LONG: usize = 64 * 1024 * 1024;

/// Does what the last part of the path says.
async fn misbehave(mut wire: Wire, seen: Arc<Seen>) -> io::Result<()> {
    loop {
        let Some(line) = wire.peek_line().await? else { return Ok(()) };
        let what = line.split(' ').nth(1).unwrap_or_default().trim_start_matches('/').to_owned();
        if what == "never-reads" {
            // Holds the connection without looking at it.
            tokio::time::sleep(10 * SHORT).await;
            return Ok(());
        }
        let Some(request) = wire.read_request().await? else { return Ok(()) };
        seen.record(request);
        let bytes: &[u8] = match what.as_str() {
            "silent" | "resets" | "closes" => b"",
            "garbage" => b"no HTTP at all\r\n\r\n",
            "half-head-closes" | "half-head-silent" => b"HTTP/1.1 200 OK\r\nContent-Le",
            "half-body-closes" | "half-body-silent" | "half-body-resets" => b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
            "half-chunk-closes" => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc",
            "bad-chunk" => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
            "too-much" => b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
            "interim-storm" => b"HTTP/1.1 102 Processing\r\n\r\n",
            "long" => {
                wire.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {LONG}\r\n\r\n").as_bytes()).await?;
                let block = vec![b'x'; 64 * 1024];
                for _ in 0..LONG / block.len() {
                    wire.send(&block).await?;
                }
                continue;
            }
            _ => b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        };
        wire.send(bytes).await?;
        match what.rsplit('-').next().unwrap_or_default() {
            "silent" => drop(wire.has_more().await?),
            "resets" => {
                // The first part is to arrive before the end of all.
                tokio::time::sleep(MOMENT).await;
                wire.reset();
                return Ok(());
            }
            "closes" | "garbage" => return Ok(()),
            "chunk" => {
                tokio::time::sleep(MOMENT).await;
                wire.send(b"zz\r\n").await?;
                return Ok(());
            }
            "storm" => {
                for _ in 0..100 {
                    wire.send(b"HTTP/1.1 102 Processing\r\n\r\n").await?;
                }
            }
            _ => {}
        }
    }
}

/// What a client does.
enum Act {
    /// Sends this and reads an answer.
    Ask(String),
    /// Sends this and says nothing more.
    Stop(String),
    /// Sends this and closes.
    Close(String),
    /// Sends this and, when a moment has passed, resets.
    Reset(String),
    /// Sends this, reads a head and no further.
    Stall(String),
    /// Sends this, and when a target has it, more.
    More(String, &'static str),
}

/// What a client gets: a status from a target, a status from the proxy with its word, a part of an answer, or nothing.
#[derive(Debug, PartialEq)]
enum Gets {
    Answer(u16),
    Word(u16, String),
    Part,
    Nothing,
}

fn word(status: u16, word: &str) -> Gets {
    Gets::Word(status, word.into())
}

async fn act(bench_port: u16, target: &Target, act: &Act) -> Gets {
    let mut client = connect(loopback(bench_port)).await.unwrap();
    let (Act::Ask(bytes)
    | Act::Stop(bytes)
    | Act::Close(bytes)
    | Act::Reset(bytes)
    | Act::Stall(bytes)
    | Act::More(bytes, _)) = act;
    let before = target.connections();
    client.send(bytes.as_bytes()).await.unwrap();
    match act {
        Act::Close(_) => return Gets::Nothing,
        Act::Reset(_) => {
            tokio::time::sleep(MOMENT).await;
            client.reset();
            return Gets::Nothing;
        }
        Act::Stall(_) => {
            let head = client.read_head_only().await.unwrap().unwrap();
            tokio::time::sleep(3 * SHORT).await;
            return if client.read_exact(LONG).await.is_err() {
                Gets::Part
            } else {
                Gets::Answer(head.status())
            };
        }
        Act::More(_, more) => {
            assert!(eventually(|| target.connections() > before || target.count() > 0).await);
            tokio::time::sleep(MOMENT / 2).await;
            client.send(more.as_bytes()).await.unwrap();
        }
        Act::Ask(_) | Act::Stop(_) => {}
    }
    if !client.has_more().await.unwrap_or(false) {
        return Gets::Nothing;
    }
    loop {
        match client.read_response().await {
            Ok(answer) if answer.status() < 200 => {}
            Ok(answer) => match answer.field("vamp-proxy-error") {
                Some(word) => return Gets::Word(answer.status(), word),
                None => return Gets::Answer(answer.status()),
            },
            Err(_) => return Gets::Part,
        }
    }
}

/// Name, what the client does, what it gets, and status and error in the log, if it is there.
type Row = (&'static str, Act, Gets, Option<(u16, &'static str)>);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_is_told_as_what_it_is_and_leaves_nothing() {
    let target = Target::start(|wire, _, seen| Box::pin(misbehave(wire, seen))).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("access.log");
    let bench = Bench::with(|settings| {
        settings.limits = short();
        settings.access_log = Some(AccessLog::File(log.clone()));
    });
    let port = free_port();
    bench.apply(vec![on_port(port, gateway("shop", vec![route("a", 100, &[target.address()])]))]).await;
    // Not idempotent: one attempt each.
    let ask =
        |path: &str| Act::Ask(format!("POST /{path} HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx"));
    let post = |path: &str, rest: &str| format!("POST /{path} HTTP/1.1\r\nHost: x\r\n{rest}");
    let upload = "x".repeat(8 * 1024 * 1024);
    let rows: Vec<Row> = vec![
        ("a good one", ask("good"), Gets::Answer(200), Some((200, ""))),
        ("never answers", ask("silent"), word(504, "timeout"), Some((504, "timeout"))),
        ("closes without an answer", ask("closes"), word(502, "bad_response"), Some((502, "bad_response"))),
        ("resets without an answer", ask("resets"), word(502, "bad_response"), Some((502, "bad_response"))),
        ("answers garbage", ask("garbage"), word(502, "bad_response"), Some((502, "bad_response"))),
        ("half a head", ask("half-head-closes"), word(502, "bad_response"), Some((502, "bad_response"))),
        ("half a head, then silence", ask("half-head-silent"), word(504, "timeout"), Some((504, "timeout"))),
        ("half a body", ask("half-body-closes"), Gets::Part, Some((200, "bad_response"))),
        ("half a body, then silence", ask("half-body-silent"), Gets::Part, Some((200, "timeout"))),
        ("half a body, then a reset", ask("half-body-resets"), Gets::Part, Some((200, "bad_response"))),
        ("half a chunk", ask("half-chunk-closes"), Gets::Part, Some((200, "bad_response"))),
        ("a bad chunk after a good one", ask("bad-chunk"), Gets::Part, Some((200, "bad_response"))),
        ("more than was asked for", ask("too-much"), Gets::Answer(200), Some((200, ""))),
        (
            "interim answers without end",
            ask("interim-storm"),
            word(502, "bad_response"),
            Some((502, "bad_response")),
        ),
        (
            "a target that does not read",
            Act::Ask(post("never-reads", &format!("Content-Length: {}\r\n\r\n{upload}", upload.len()))),
            word(504, "timeout"),
            Some((504, "timeout")),
        ),
        (
            "half a request head",
            Act::Stop("POST / HTTP/1.1\r\nHo".into()),
            word(408, "timeout"),
            Some((408, "timeout")),
        ),
        (
            "half a request head, then the end",
            Act::Close("POST / HTTP/1.1\r\nHo".into()),
            Gets::Nothing,
            None,
        ),
        ("nothing", Act::Stop(String::new()), Gets::Nothing, None),
        (
            "a bad head",
            Act::Ask("POST / HTTP/1.1\r\nX : y\r\n\r\n".into()),
            word(400, "bad_request"),
            Some((400, "bad_request")),
        ),
        (
            "half a request body",
            Act::Stop(post("good", "Content-Length: 9\r\n\r\nabc")),
            word(408, "timeout"),
            Some((408, "timeout")),
        ),
        (
            "half a request body, then the end",
            Act::Close(post("good", "Content-Length: 9\r\n\r\nabc")),
            Gets::Nothing,
            Some((499, "client")),
        ),
        (
            "half a request body, then a reset",
            Act::Reset(post("good", "Content-Length: 9\r\n\r\nabc")),
            Gets::Nothing,
            Some((499, "client")),
        ),
        (
            "a bad chunk from the client",
            Act::More(post("good", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"), "zz\r\n"),
            word(400, "bad_request"),
            Some((400, "bad_request")),
        ),
        (
            "a client that goes while it waits",
            Act::Reset(post("silent", "Content-Length: 1\r\n\r\nx")),
            Gets::Nothing,
            Some((499, "client")),
        ),
        (
            "a client that does not read",
            Act::Stall(post("long", "Content-Length: 1\r\n\r\nx")),
            Gets::Part,
            Some((200, "client")),
        ),
        (
            "a client that goes in the middle",
            Act::Reset(post("long", "Content-Length: 1\r\n\r\nx")),
            Gets::Nothing,
            Some((200, "client")),
        ),
    ];
    let mut faults = Vec::new();
    let mut expected = Vec::new();
    for (name, what, gets, logged) in &rows {
        let got = act(port, &target, what).await;
        if got != *gets {
            faults.push(format!("{name}: the client got {got:?}, expected {gets:?}"));
        }
        if let Some(logged) = logged {
            expected.push((*name, *logged));
            // One line for one request, whoever broke it off.
            if !eventually(|| lines(&log).len() >= expected.len()).await {
                faults.push(format!("{name}: not in the log"));
                break;
            }
        }
    }
    let lines = lines(&log);
    assert_eq!(lines.len(), expected.len(), "{faults:?}");
    for ((name, (status, error)), line) in expected.iter().zip(&lines) {
        let told = (line["status"].as_u64().unwrap_or(0), line["error"].as_str().unwrap_or(""));
        if told != (u64::from(*status), *error) {
            faults.push(format!("{name}: the log says {told:?}, expected {status} {error:?}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));

    // The figures are those of the log, and nothing is left.
    let series = bench.telemetry.gateway(&GatewayName::parse("shop").unwrap(), Protocol::Http);
    assert!(eventually(|| series.totals().connections() == 0).await, "{:?}", series.totals());
    let totals = series.totals();
    assert_eq!((totals.requests(), totals.in_flight), (lines.len() as u64, 0));
    for word in ["timeout", "bad_response", "bad_request", "client"] {
        let counted =
            totals.errors.iter().filter(|(own, _)| *own == word).map(|(_, count)| count).sum::<u64>();
        assert_eq!(counted as usize, expected.iter().filter(|(_, (_, own))| *own == word).count(), "{word}");
    }
    assert!(bench.proxy.targets().iter().all(|target| target.in_flight == 0));
    assert_eq!(act(port, &target, &ask("good")).await, Gets::Answer(200));
}

fn lines(log: &std::path::Path) -> Vec<Value> {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}
