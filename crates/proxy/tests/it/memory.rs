//! Memory under attack: a proxy in a process of its own, and what it takes when many peers misbehave at once.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use testkit::target::Target;

use crate::support::{Bench, gateway, route};

/// Tells the process of the proxy where its target is.
const TARGET: &str = "VAMP_TEST_TARGET";

/// The proxy of [`attacks_take_a_bounded_share_each`]; ends with its input.
#[tokio::test]
#[ignore = "started by another test, in a process of its own"]
async fn proxy_process() {
    let target: SocketAddr = std::env::var(TARGET).unwrap().parse().unwrap();
    let bench = Bench::with(|settings| settings.workers = 1);
    bench.apply(vec![gateway("shop", vec![route("a", 100, &[target])])]).await;
    let mut out = std::io::stdout();
    writeln!(out, "address {}", bench.proxy.virtual_host_address().unwrap()).unwrap();
    out.flush().unwrap();
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await.unwrap().unwrap();
}

struct Process {
    child: Child,
    address: SocketAddr,
}

impl Process {
    fn start(target: SocketAddr) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "memory::proxy_process", "--ignored", "--nocapture"])
            .env(TARGET, target.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address =
            lines.map_while(Result::ok).find_map(|line| line.split("address ").nth(1).map(str::to_owned));
        Self { child, address: address.expect("the process says where it listens").parse().unwrap() }
    }

    /// Resident memory, KiB.
    fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
        line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
    }

    fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).unwrap()
    }

    /// The most memory of the next moment.
    fn peak(&self) -> u64 {
        let end = Instant::now() + Duration::from_millis(600);
        let mut most = 0;
        while Instant::now() < end {
            most = most.max(self.resident());
            std::thread::sleep(Duration::from_millis(20));
        }
        most
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Closing its input ends it.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// What a client of HTTP/2 says first.
const PREFACE: &str = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: &str = "\0\0\0\u{4}\0\0\0\0\0";

/// Peers of each kind at once.
const PEERS: usize = 400;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attacks_take_a_bounded_share_each() {
    // Answers with 64 MiB, so that whoever does not read is waited for.
    let target = Target::start(|mut wire, _, _| {
        Box::pin(async move {
            while wire.read_request().await?.is_some() {
                wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 67108864\r\n\r\n").await?;
                let block = vec![b'x'; 64 * 1024];
                for _ in 0..1024 {
                    wire.send(&block).await?;
                }
            }
            Ok(())
        })
    })
    .await
    .unwrap();
    let address = target.address();
    let measured = tokio::task::spawn_blocking(move || {
        let process = Process::start(address);
        let head = "POST / HTTP/1.1\r\nHost: shop.test\r\n";
        let idle = process.resident();
        let mut measured = Vec::new();
        for (what, bytes, limit) in [
            ("connections that say nothing", String::new(), 10),
            ("heads that do not end", format!("{head}X: "), 30),
            ("large heads that do not end", format!("{head}X: {}", "x".repeat(30_000)), 64),
            ("bodies that do not come", format!("{head}Content-Length: 100000\r\n\r\n"), 64),
            ("chunks that do not come", format!("{head}Transfer-Encoding: chunked\r\n\r\n5;"), 64),
            ("answers that are not read", "GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n".into(), 96),
            (
                "requests that are not waited for",
                "GET / HTTP/1.1\r\nHost: nobody.test\r\n\r\n".repeat(300),
                160,
            ),
            ("HTTP/2 connections that ask nothing", format!("{PREFACE}{SETTINGS}"), 64),
        ] {
            let mut peers: Vec<TcpStream> = (0..PEERS).map(|_| process.connect()).collect();
            for peer in &mut peers {
                peer.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
                // One that is refused already is no fault of the proxy.
                let _ = peer.write_all(bytes.as_bytes());
            }
            let grew = process.peak().saturating_sub(idle);
            measured.push((what, grew / PEERS as u64, limit, grew));
            drop(peers);
        }
        // And it serves on.
        let mut last = process.connect();
        last.write_all(b"GET / HTTP/1.1\r\nHost: nobody.test\r\n\r\n").unwrap();
        let mut answer = [0; 12];
        last.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 404");
        measured
    })
    .await
    .unwrap();
    for (what, each, limit, grew) in &measured {
        println!("{what}: {each} KiB each ({grew} KiB of {PEERS})");
        assert!(each < limit, "{what}: {each} KiB each, at most {limit}; all: {measured:?}");
    }
}
