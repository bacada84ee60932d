//! Readiness: one check of a container, and the thresholds around it.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::manifest::{Container, Probe, ProbeAction};

use super::command::Launch;
use super::spawn::Spawner;

/// How often a container that is not ready yet is looked at, when its probe allows (Kubernetes, too, may probe more
/// often than the period to make a pod ready sooner).
const EAGER: Duration = Duration::from_millis(150);
/// How often the port of a container without a probe is tried once it is ready.
const RELAXED: Duration = Duration::from_secs(2);

/// The probe of a container: its own, or a TCP connection to its first port. `None`: ready while it runs.
pub(crate) fn of(container: &Container) -> Option<Probe> {
    container.readiness.clone().or_else(|| {
        let port = container.ports.iter().find(|port| port.tcp)?.number;
        Some(Probe {
            action: ProbeAction::Tcp { port },
            initial_delay: Duration::ZERO,
            period: RELAXED,
            timeout: Duration::from_secs(1),
            successes: 1,
            failures: 2,
        })
    })
}

/// Probes for ever; calls `report` when the verdict changes, beginning at "not ready". Cancel by dropping.
pub(crate) async fn run(
    probe: &Probe,
    ip: Ipv4Addr,
    launch: &Launch,
    spawner: &Spawner,
    mut report: impl FnMut(bool, Option<&str>),
) {
    tokio::time::sleep(probe.initial_delay).await;
    let mut judge = Judge::default();
    loop {
        let outcome = once(probe, ip, launch, spawner).await;
        if let Some(ready) = judge.learn(outcome.is_ok(), probe) {
            report(ready, outcome.as_ref().err().map(String::as_str));
        }
        let eager = !judge.ready && probe.successes == 1;
        tokio::time::sleep(if eager { probe.period.min(EAGER) } else { probe.period }).await;
    }
}

/// Counts results in a row.
#[derive(Debug, Default)]
pub(crate) struct Judge {
    pub(crate) ready: bool,
    against: u32,
}

impl Judge {
    /// Takes in one result; `Some` when the verdict turns.
    pub(crate) fn learn(&mut self, success: bool, probe: &Probe) -> Option<bool> {
        if success == self.ready {
            self.against = 0;
            return None;
        }
        self.against += 1;
        if self.against < if success { probe.successes } else { probe.failures } {
            return None;
        }
        self.against = 0;
        self.ready = success;
        Some(success)
    }
}

/// One check.
pub(crate) async fn once(
    probe: &Probe,
    ip: Ipv4Addr,
    launch: &Launch,
    spawner: &Spawner,
) -> Result<(), String> {
    let check = async {
        match &probe.action {
            ProbeAction::Tcp { port } => {
                TcpStream::connect((ip, *port)).await.map(drop).map_err(|error| error.to_string())
            }
            ProbeAction::Http { port, host, path, headers } => {
                let host = host.as_ref().and_then(|host| host.parse().ok()).unwrap_or(IpAddr::V4(ip));
                http(host, *port, path, headers).await
            }
            ProbeAction::Exec { command } => exec(command, launch, spawner).await,
        }
    };
    timeout(probe.timeout, check).await.unwrap_or_else(|_| Err("no answer in time".to_owned()))
}

async fn http(host: IpAddr, port: u16, path: &str, headers: &[(String, String)]) -> Result<(), String> {
    let text = |error: std::io::Error| error.to_string();
    let mut stream = TcpStream::connect((host, port)).await.map_err(text)?;
    let mut request =
        format!("GET {path} HTTP/1.1\r\nConnection: close\r\nUser-Agent: vamp-probe\r\nAccept: */*\r\n");
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        request.push_str(&format!("Host: {host}:{port}\r\n"));
    }
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes()).await.map_err(text)?;
    // "HTTP/1.1 200" is all that matters; the rest is not read.
    let mut head = [0; 12];
    stream.read_exact(&mut head).await.map_err(text)?;
    let status = std::str::from_utf8(&head)
        .ok()
        .and_then(|head| head.strip_prefix("HTTP/1.1 ").or_else(|| head.strip_prefix("HTTP/1.0 ")))
        .and_then(|status| status.parse::<u16>().ok());
    match status {
        Some(200..=399) => Ok(()),
        Some(status) => Err(format!("GET {path} answered {status}")),
        None => Err(format!("GET {path}: the answer is not HTTP")),
    }
}

async fn exec(command: &[String], launch: &Launch, spawner: &Spawner) -> Result<(), String> {
    let [program, arguments @ ..] = command else { return Err("no command".to_owned()) };
    let launch = Launch { program: program.clone(), arguments: arguments.to_vec(), ..launch.clone() };
    let mut process = spawner.spawn(&launch).await.map_err(|error| format!("{program}: {error}"))?;
    // The output is not wanted; with the pipes closed a chatty command cannot block.
    drop((process.child.stdout.take(), process.child.stderr.take()));
    let status = process.child.wait().await.map_err(|error| error.to_string())?;
    if status.success() { Ok(()) } else { Err(format!("{program}: {status}")) }
}
