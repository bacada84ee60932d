//! `cargo xtask bench`: footprint and latency of the management side, measured on the release binary.
//!
//! Ratios against other proxies need a load generator and peers; see `bench/README.md`.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

/// How often the latency of a weight change is measured.
const CHANGES: usize = 300;

/// Runs everything and prints one line for each figure.
pub(crate) fn run(binary: &Path) -> anyhow::Result<()> {
    let folder = std::env::temp_dir().join(format!("vamp-bench-{}", std::process::id()));
    let result = measure(binary, &folder);
    let _ = fs::remove_dir_all(&folder);
    result
}

fn measure(binary: &Path, folder: &Path) -> anyhow::Result<()> {
    let idle = folder.join("idle");
    let (server, ready) = Server::start(binary, &idle)?;
    report("start to ready, empty", ready.as_secs_f64() * 1000.0, "ms");
    std::thread::sleep(Duration::from_secs(2));
    report("resident, idle", server.resident()?, "MiB");
    drop(server);

    let small = folder.join("small");
    inventory(&small, 100)?;
    let (server, _) = Server::start(binary, &small)?;
    let mut api = server.connect()?;
    gateways(&mut api, 100)?;
    let mut took = Vec::new();
    for change in 0..CHANGES {
        let body = document(change % 100, Some(change % 101));
        let start = Instant::now();
        api.call("PUT", &format!("/api/v1/gateways/g{}?wait=applied", change % 100), &body)?;
        took.push(start.elapsed().as_secs_f64() * 1000.0);
    }
    took.sort_by(f64::total_cmp);
    report("PUT weights, wait=applied, 100 gateways, median", took[took.len() / 2], "ms");
    report("PUT weights, wait=applied, 100 gateways, p99", took[took.len() * 99 / 100], "ms");
    drop(server);

    let large = folder.join("large");
    inventory(&large, 1000)?;
    let (server, _) = Server::start(binary, &large)?;
    let mut api = server.connect()?;
    gateways(&mut api, 1000)?;
    std::thread::sleep(Duration::from_secs(2));
    report("resident, 1,000 gateways of 5 instances, after writing them", server.resident()?, "MiB");
    drop(server);
    let (server, ready) = Server::start(binary, &large)?;
    report("start to ready, 1,000 gateways of 5 instances", ready.as_secs_f64() * 1000.0, "ms");
    std::thread::sleep(Duration::from_secs(3));
    report("resident, 1,000 gateways of 5 instances, after a restart", server.resident()?, "MiB");
    Ok(())
}

#[allow(clippy::print_stdout, reason = "figures are the result")]
fn report(what: &str, value: f64, unit: &str) {
    println!("{what:<62} {value:>8.2} {unit}");
}

/// Pods for `count` gateways, two versions of two and three instances each; nobody listens behind them.
fn inventory(folder: &Path, count: usize) -> anyhow::Result<()> {
    let path = folder.join("inventory");
    fs::create_dir_all(&path)?;
    let mut items = String::new();
    for gateway in 0..count {
        for instance in 0..5 {
            let version = if instance < 2 { "1" } else { "2" };
            let comma = if items.is_empty() { "" } else { "," };
            write!(
                items,
                r#"{comma}{{"kind":"Pod","apiVersion":"v1","metadata":{{"name":"p{gateway}-{instance}","namespace":"default",
"labels":{{"app":"a{gateway}","version":"{version}"}}}},"spec":{{"containers":[{{"name":"main","image":"example/main:{version}",
"ports":[{{"containerPort":8080}}]}}]}},"status":{{"phase":"Running","podIP":"127.{}.{}.{}",
"conditions":[{{"type":"Ready","status":"True"}}]}}}}"#,
                10 + gateway / 250,
                gateway % 250,
                instance + 1
            )?;
        }
    }
    fs::write(path.join("pods.json"), format!(r#"{{"apiVersion":"v1","kind":"List","items":[{items}]}}"#))?;
    Ok(())
}

fn document(gateway: usize, weight: Option<usize>) -> String {
    let routes = match weight {
        Some(weight) => {
            format!(r#","routes":{{"(1)":{{"weight":"{weight}%"}},"(2)":{{"weight":"{}%"}}}}"#, 100 - weight)
        }
        None => String::new(),
    };
    format!(r#"{{"name":"g{gateway}","selector":"label(app)(a{gateway}) && label(version)((.*))"{routes}}}"#)
}

fn gateways(api: &mut Connection, count: usize) -> anyhow::Result<()> {
    for gateway in 0..count {
        api.call("PUT", &format!("/api/v1/gateways/g{gateway}"), &document(gateway, None))?;
    }
    Ok(())
}

struct Server {
    child: Child,
    api: String,
}

impl Server {
    /// Starts `vamp serve` on free ports; the time from its start until it says that it is ready.
    fn start(binary: &Path, folder: &Path) -> anyhow::Result<(Self, Duration)> {
        fs::create_dir_all(folder.join("inventory"))?;
        let start = Instant::now();
        let mut child = Command::new(binary)
            .args([
                "serve",
                "--api-listen",
                "127.0.0.1:0",
                "--virtual-host-listen",
                "127.0.0.1:0",
                "--log",
                "warn",
            ])
            .args(["--data-dir".as_ref(), folder.join("data").as_os_str()])
            .args(["--inventory".as_ref(), folder.join("inventory").as_os_str()])
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot run {}", binary.display()))?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("piped")?).read_line(&mut line)?;
        let api = line
            .split("\"api\":\"")
            .nth(1)
            .and_then(|rest| rest.split('"').next())
            .context("the first line")?;
        let server = Self { api: api.to_owned(), child };
        while server.connect().and_then(|mut api| api.call("GET", "/readyz", "")).is_err() {
            ensure!(start.elapsed() < Duration::from_secs(60), "vamp did not become ready");
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok((server, start.elapsed()))
    }

    fn connect(&self) -> anyhow::Result<Connection> {
        let stream = TcpStream::connect(&self.api)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        Ok(Connection { reader: BufReader::new(stream), host: self.api.clone() })
    }

    /// Resident memory in MiB.
    fn resident(&self) -> anyhow::Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("VmRSS")?;
        let kib: f64 = line.split_whitespace().nth(1).context("VmRSS")?.parse()?;
        Ok(kib / 1024.0)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One keep-alive connection to the API.
struct Connection {
    reader: BufReader<TcpStream>,
    host: String,
}

impl Connection {
    fn call(&mut self, method: &str, path: &str, body: &str) -> anyhow::Result<()> {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.host,
            body.len()
        );
        self.reader.get_mut().write_all(head.as_bytes())?;
        let mut status = String::new();
        self.reader.read_line(&mut status)?;
        let mut length = 0;
        loop {
            let mut line = String::new();
            self.reader.read_line(&mut line)?;
            if line.trim().is_empty() {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
        }
        let mut body = vec![0; length];
        self.reader.read_exact(&mut body)?;
        if !status.contains(" 20") {
            bail!("{method} {path}: {} {}", status.trim(), String::from_utf8_lossy(&body));
        }
        Ok(())
    }
}
