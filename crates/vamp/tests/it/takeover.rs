//! One `vamp serve` follows another under load.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{PATIENCE, Pod, eventually, signal};
use crate::target::Target;

/// A process on addresses that stay the same from one to the next.
struct Process {
    child: Child,
}

/// What all processes of a test have in common.
struct Place {
    folder: tempfile::TempDir,
    api: SocketAddr,
    hosts: SocketAddr,
    http: reqwest::Client,
}

fn free_address() -> SocketAddr {
    ([127, 0, 0, 1], testkit::ports::free()).into()
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("inventory")).unwrap();
        // A connection for each request: one that is kept ends with its process, in the middle of nothing.
        let http = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build().unwrap();
        Self { folder, api: free_address(), hosts: free_address(), http }
    }

    fn start(&self, more: &[&str]) -> Process {
        let path = |name: &str| self.folder.path().join(name);
        let mut child = Command::new(env!("CARGO_BIN_EXE_vamp"))
            .args(["serve", "--log", "warn", "--drain-timeout", "10s", "--takeover"])
            .args(["--api-listen", &self.api.to_string(), "--virtual-host-listen", &self.hosts.to_string()])
            .args(["--inventory".as_ref(), path("inventory").as_os_str()])
            .args(["--data-dir".as_ref(), path("data").as_os_str()])
            .args(more)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let first: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        assert_eq!(first["api"], self.api.to_string());
        Process { child }
    }

    async fn call(&self, method: reqwest::Method, path: &str, body: &str) -> Result<(u16, Value), String> {
        let request = self.http.request(method, format!("http://{}{path}", self.api)).body(body.to_owned());
        let answer = request.send().await.map_err(|error| format!("{error:?}"))?;
        let status = answer.status().as_u16();
        let text = answer.text().await.map_err(|error| format!("{error:?}"))?;
        Ok((status, serde_json::from_str(&text).unwrap_or(Value::String(text))))
    }

    async fn get(&self, path: &str) -> Result<(u16, Value), String> {
        self.call(reqwest::Method::GET, path, "").await
    }

    fn pod(&self, name: &str, address: SocketAddr) {
        let pod = Pod { name, labels: &[("app", "shop")], address, ready: true };
        let file = self.folder.path().join("inventory").join(format!("{name}.json"));
        std::fs::write(file, pod.manifest().to_string()).unwrap();
    }

    /// A gateway on a port of its own, which has a target when this returns.
    async fn shop(&self) -> u16 {
        let port = testkit::ports::free();
        let text =
            format!("name: shop\nport: {port}\nselector: label(app)(shop)\nvirtual_hosts: [shop.test]\n");
        let (status, body) = self
            .call(reqwest::Method::POST, "/api/v1/gateways?wait=applied&timeout=60s", &text)
            .await
            .unwrap();
        assert_eq!(status, 202, "{body}");
        let url = format!("http://127.0.0.1:{port}/");
        eventually("a target", || async {
            let answer = self.http.get(&url).send().await.ok()?;
            (answer.status() == 200).then_some(())
        })
        .await;
        port
    }
}

impl Process {
    /// Waits until it has ended by itself.
    fn ended(mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("the process that was followed did not end");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn loopback(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

/// Clients that connect anew for every request, and one of the API.
struct Load {
    stop: Arc<AtomicBool>,
    served: Arc<AtomicUsize>,
    clients: Vec<tokio::task::JoinHandle<BTreeMap<String, usize>>>,
}

impl Load {
    fn start(place: &Place, port: u16) -> Self {
        let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (own, hosts, api) = (loopback(port), place.hosts.to_string(), place.api.to_string());
        let asked = [
            (own.clone(), "/", &own),
            (own.clone(), "/", &own),
            (hosts, "/", &"shop.test".into()),
            (api.clone(), "/livez", &api),
        ];
        let asked = asked.map(|(address, path, host)| (format!("http://{address}{path}"), host.clone()));
        let clients = asked.into_iter().map(|(url, host)| {
            let (stop, served, http) = (Arc::clone(&stop), Arc::clone(&served), place.http.clone());
            tokio::spawn(async move {
                let mut outcomes = BTreeMap::new();
                while !stop.load(Ordering::Acquire) {
                    let outcome = match http.get(&url).header("host", &host).send().await {
                        Ok(answer) => match (answer.status().as_u16(), answer.bytes().await) {
                            (status, Ok(_)) => status.to_string(),
                            (status, Err(error)) => format!("{url} {status}, cut: {error:?}"),
                        },
                        Err(error) => format!("{url} no answer: {error:?}"),
                    };
                    *outcomes.entry(outcome).or_default() += 1;
                    served.fetch_add(1, Ordering::AcqRel);
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                outcomes
            })
        });
        Self { clients: clients.collect(), stop, served }
    }

    async fn goes_on(&self) {
        let before = self.served.load(Ordering::Acquire);
        eventually("the load to go on", || async {
            (self.served.load(Ordering::Acquire) > before + 40).then_some(())
        })
        .await;
    }

    async fn finish(self) -> BTreeMap<String, usize> {
        self.stop.store(true, Ordering::Release);
        let mut all = BTreeMap::new();
        for client in self.clients {
            for (outcome, count) in client.await.unwrap() {
                *all.entry(outcome).or_default() += count;
            }
        }
        all
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_refuses_nobody_and_loses_nothing() {
    let place = Place::new();
    let target = Target::start("a").await;
    place.pod("a-1", target.address);
    // Nobody to take over from: it starts as always.
    let mut process = place.start(&[]);
    let port = place.shop().await;
    let load = Load::start(&place, port);
    for round in 0..3 {
        load.goes_on().await;
        let next = place.start(&[]);
        assert_eq!(std::mem::replace(&mut process, next).ended(), Some(0), "round {round}");
        load.goes_on().await;
        // The state is there, and can be changed.
        let text = format!(
            "name: shop\nport: {port}\nselector: label(app)(shop)\nvirtual_hosts: [shop.test]\nmetadata: {{round: {round}}}\n"
        );
        let (status, body) = place
            .call(reqwest::Method::PUT, "/api/v1/gateways/shop?wait=applied&timeout=60s", &text)
            .await
            .unwrap();
        assert_eq!(status, 202, "{body}");
        let (_, shop) = place.get("/api/v1/gateways/shop").await.unwrap();
        assert_eq!(shop["metadata"], json!({"round": round}));
    }
    let outcomes = load.finish().await;
    assert_eq!(outcomes.keys().collect::<Vec<_>>(), ["200"], "{outcomes:?}");
    // And the last one stops as any other.
    signal(process.child.id(), "TERM");
    assert_eq!(process.ended(), Some(0));
}

/// Speaks for a process that wants to follow.
fn follower(folder: &Path) -> UnixStream {
    let stream = UnixStream::connect(folder.join("data/takeover.sock")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_fails_to_follow_changes_nothing() {
    let place = Place::new();
    let target = Target::start("a").await;
    place.pod("a-1", target.address);
    let process = place.start(&[]);
    let port = place.shop().await;
    let load = Load::start(&place, port);
    // One that goes away at once, one that is wrong in its settings.
    drop(follower(place.folder.path()));
    let failed = Command::new(env!("CARGO_BIN_EXE_vamp"))
        .args(["serve", "--takeover", "--token-file", "/nowhere", "--api-listen", &place.api.to_string()])
        .args(["--data-dir".as_ref(), place.folder.path().join("data").as_os_str()])
        .output()
        .unwrap();
    assert_eq!(failed.status.code(), Some(1));
    load.goes_on().await;
    // One that takes the state and dies: the first starts again from what was stored.
    let mut stream = follower(place.folder.path());
    stream.write_all(b"release\n").unwrap();
    let mut heard = Vec::new();
    while !heard.ends_with(b"released\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        heard.push(byte[0]);
    }
    drop(stream);
    eventually("the first to have its state again", || async {
        let text = format!("name: shop\nport: {port}\nselector: label(app)(shop)\nvirtual_hosts: [shop.test]\nmetadata: {{again: true}}\n");
        let answer = place.call(reqwest::Method::PUT, "/api/v1/gateways/shop?wait=applied&timeout=60s", &text).await;
        answer.is_ok_and(|(status, _)| status == 202).then_some(())
    })
    .await;
    load.goes_on().await;
    let outcomes = load.finish().await;
    assert_eq!(outcomes.keys().collect::<Vec<_>>(), ["200"], "{outcomes:?}");
    // It can be followed still.
    let next = place.start(&[]);
    assert_eq!(process.ended(), Some(0));
    let (_, shop) = place.get("/api/v1/gateways/shop").await.unwrap();
    assert_eq!(shop["metadata"], json!({"again": true}));
    drop(next);
}
