//! Seeded faults on both sides for a while, under changes: in the end nothing is stuck, memory is flat, and the counts of clients,
//! targets and telemetry are the same.
//!
//! `VAMP_SOAK_SECONDS` says for how long (`cargo xtask soak --minutes 10`), `VAMP_SOAK_SEED` which faults.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use model::name::{GatewayName, RoutePath};
use model::port::Protocol;
use proxy::Limits;
use testkit::eventually;
use testkit::target::{Target, connect, refused};
use testkit::wire::Wire;

use crate::fuzz::{Chance, setting};
use crate::support::{Bench, free_port, gateway, loopback, on_port, route};

const CLIENTS: usize = 24;
/// Length of an answer that no socket buffer holds.
const LONG: usize = 16 * 1024 * 1024;

/// How often a target saw each request that is under way.
#[derive(Debug, Default)]
struct Ledger(Mutex<HashMap<u64, usize>>);

impl Ledger {
    fn begin(&self, id: u64) {
        self.0.lock().unwrap().insert(id, 0);
    }

    fn seen(&self, id: u64) {
        if let Some(count) = self.0.lock().unwrap().get_mut(&id) {
            *count += 1;
        }
    }

    fn end(&self, id: u64) -> usize {
        self.0.lock().unwrap().remove(&id).unwrap_or(0)
    }
}

/// What a target does, and what a client that does nothing wrong gets.
const TARGET_ACTS: &[(&str, Gets)] = &[
    ("plain", Gets::Answer(200)),
    ("plain", Gets::Answer(200)),
    ("plain", Gets::Answer(200)),
    ("chunked", Gets::Answer(200)),
    ("until-close", Gets::Answer(200)),
    ("large", Gets::Answer(200)),
    ("slow", Gets::Answer(200)),
    ("closes-after", Gets::Answer(200)),
    ("too-much", Gets::Answer(200)),
    ("silent", Gets::Answer(504)),
    ("closes", Gets::Answer(502)),
    ("resets", Gets::Answer(502)),
    ("garbage", Gets::Answer(502)),
    ("storm", Gets::Answer(502)),
    ("half", Gets::Part),
    ("half-chunk", Gets::Part),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gets {
    Answer(u16),
    Part,
}

async fn serve(mut wire: Wire, ledger: Arc<Ledger>) -> io::Result<()> {
    while let Some(request) = wire.read_request().await? {
        let path = request.start.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut parts = path.split('/').skip(1);
        let what = parts.next().unwrap_or_default();
        if let Some(id) = parts.next().and_then(|id| id.parse().ok()) {
            ledger.seen(id);
        }
        let length = path.len();
        match what {
            "chunked" => {
                let text = format!(
                    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{length:x};x\r\n{path}\r\n0\r\nX-T: 1\r\n\r\n"
                );
                wire.send(text.as_bytes()).await?;
            }
            "until-close" => return wire.send(format!("HTTP/1.1 200 OK\r\n\r\n{path}").as_bytes()).await,
            "large" | "endless" => {
                let length = if what == "large" { 256 * 1024 } else { LONG };
                wire.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").as_bytes()).await?;
                for _ in 0..length / 4096 {
                    wire.send(&[b'x'; 4096]).await?;
                }
            }
            "silent" | "waits" => {
                wire.has_more().await?;
                return Ok(());
            }
            "closes" => return Ok(()),
            "resets" => {
                wire.reset();
                return Ok(());
            }
            "garbage" => return wire.send(b"no HTTP at all\r\n\r\n").await,
            "storm" => return wire.send(&b"HTTP/1.1 102 Processing\r\n\r\n".repeat(40)).await,
            "half" => return wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nabc").await,
            "half-chunk" => {
                return wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc").await;
            }
            _ => {
                if what == "slow" {
                    tokio::time::sleep(Duration::from_millis(30)).await;
                }
                let more =
                    if what == "too-much" { "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil" } else { "" };
                let text = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{path}{more}");
                wire.send(text.as_bytes()).await?;
                if what == "closes-after" {
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}

/// What all clients counted: requests by status class (as the figures see them), those that a target must have seen, and what was wrong.
#[derive(Debug, Default)]
struct Count {
    classes: BTreeMap<usize, u64>,
    to_targets: u64,
    faults: Vec<String>,
}

impl Count {
    fn add(&mut self, class: usize) {
        *self.classes.entry(class).or_default() += 1;
    }

    fn fault(&mut self, text: String) {
        if self.faults.len() < 20 {
            self.faults.push(text);
        }
    }
}

/// A client that behaves, mostly.
struct Client {
    address: SocketAddr,
    chance: Chance,
    wire: Option<Wire>,
    ledger: Arc<Ledger>,
    next: u64,
    count: Count,
}

impl Client {
    async fn step(&mut self) -> io::Result<()> {
        let id = self.next;
        self.next += 1;
        match self.chance.below(20) {
            0 => {
                // Goes before its head is complete: nothing to count.
                let mut wire = connect(self.address).await?;
                wire.send(b"POST /plain/0 HTTP/1.1\r\nHo").await?;
            }
            1 => {
                let mut wire = connect(self.address).await?;
                let answer = wire.ask("POST /plain/0 HTTP/1.1\r\nHost: x\r\nX : y\r\n\r\n").await?;
                if answer.status() != 400 {
                    self.count.fault(format!("a bad head got {answer:?}"));
                }
                self.count.add(4);
            }
            2 => {
                // Goes in the middle of its body.
                let mut wire = connect(self.address).await?;
                // May be repeated: no answer comes before it goes, even if its target closes just then.
                wire.send(b"PUT /plain/0 HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc").await?;
                tokio::time::sleep(Duration::from_millis(20)).await;
                wire.reset();
                self.count.add(4);
                self.count.to_targets += 1;
            }
            3 => {
                // Goes while it waits, or while it reads.
                let what = *self.chance.pick(&[&"waits", &"endless"]);
                let mut wire = connect(self.address).await?;
                self.ledger.begin(id);
                wire.send(request(what, id).replace("POST", "PUT").as_bytes()).await?;
                if what == "endless" {
                    wire.read_head_only().await?;
                    wire.read_exact(100).await?;
                } else if !eventually(|| self.ledger.0.lock().unwrap().get(&id) == Some(&1)).await {
                    self.count.fault(format!("{what} {id} never reached a target"));
                }
                wire.reset();
                self.count.add(if what == "endless" { 2 } else { 4 });
                self.count.to_targets += 1;
                self.ledger.end(id);
            }
            4 => self.wire = None,
            _ => self.ask(id).await?,
        }
        Ok(())
    }

    async fn ask(&mut self, id: u64) -> io::Result<()> {
        let (what, gets) = TARGET_ACTS[self.chance.below(TARGET_ACTS.len())];
        let mut wire = match self.wire.take() {
            Some(wire) => wire,
            None => connect(self.address).await?,
        };
        self.ledger.begin(id);
        wire.send(request(what, id).as_bytes()).await?;
        let answer = loop {
            match wire.read_response().await {
                Ok(answer) if answer.status() < 200 => {}
                answer => break answer,
            }
        };
        let seen = self.ledger.end(id);
        let got = answer.as_ref().map_or(Gets::Part, |answer| Gets::Answer(answer.status()));
        let own = answer.as_ref().is_ok_and(|answer| match answer.status() {
            200 if what == "large" => answer.body.len() == 256 * 1024,
            200 => answer.text() == format!("/{what}/{id}"),
            _ => answer.field("vamp-proxy-error").is_some(),
        });
        // A target that closes a connection just then may have received the request and not read it. That cannot be told from one that
        // has read it, and a POST is not sent twice.
        let unread = seen == 0 && got == Gets::Answer(502) && own;
        let gets = if unread { got } else { gets };
        if got != gets || (got != Gets::Part && !own) || seen != usize::from(!unread) {
            self.count
                .fault(format!("{what} {id}: {answer:?}, expected {gets:?}; a target saw it {seen} times"));
        }
        let class = match gets {
            Gets::Answer(status) => usize::from(status / 100),
            Gets::Part => 2,
        };
        self.count.add(class);
        self.count.to_targets += 1;
        let open = answer.is_ok_and(|answer| answer.field("connection").as_deref() != Some("close"));
        self.wire = open.then_some(wire);
        Ok(())
    }
}

fn request(what: &str, id: u64) -> String {
    format!("POST /{what}/{id} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi")
}

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_on_both_sides_leave_nothing_behind() {
    let (seconds, seed) = (setting("VAMP_SOAK_SECONDS", 15), setting("VAMP_SOAK_SEED", 1));
    let end = Instant::now() + Duration::from_secs(seconds);
    let ledger = Arc::new(Ledger::default());
    let mut targets = Vec::new();
    for _ in 0..3 {
        let ledger = Arc::clone(&ledger);
        let target =
            Target::start(move |wire, _, _| Box::pin(serve(wire, Arc::clone(&ledger)))).await.unwrap();
        targets.push(target);
    }
    // Nobody listens there; requests go to another target of the route.
    let dead = refused().await.unwrap();
    let bench = Arc::new(Bench::with(|settings| {
        settings.limits = Limits {
            inactivity_timeout: Duration::from_millis(1500),
            head_timeout: Duration::from_secs(5),
            health_interval: Duration::from_millis(200),
            ..Limits::default()
        };
    }));
    let port = free_port();
    let build = {
        let [a, b, c] = [targets[0].address(), targets[1].address(), targets[2].address()];
        move |round: u64| {
            let weight = (round * 7 % 101) as u16;
            let first = if round.is_multiple_of(3) { vec![a, dead, b] } else { vec![a, b] };
            let routes = vec![route("a", weight, &first), route("b", 100 - weight, &[c, b])];
            vec![on_port(port, gateway("shop", routes))]
        }
    };
    assert_eq!(bench.apply(build(0)).await.problems, []);
    let clients: Vec<_> = (0..CLIENTS as u64)
        .map(|number| {
            let mut client = Client {
                address: loopback(port),
                chance: Chance(seed << 32 | number),
                wire: None,
                ledger: Arc::clone(&ledger),
                next: number << 40 | 1,
                count: Count::default(),
            };
            tokio::spawn(async move {
                while Instant::now() < end {
                    let before = client.next;
                    if let Err(error) = client.step().await {
                        client.count.fault(format!("request {before}: {error}"));
                    }
                }
                client.count
            })
        })
        .collect();
    let mut round = 0;
    let mut early = 0;
    while Instant::now() < end {
        round += 1;
        assert_eq!(bench.apply(build(round)).await.problems, []);
        tokio::time::sleep(Duration::from_millis(20)).await;
        // By then every buffer and pool has its size.
        if early == 0 && end.saturating_duration_since(Instant::now()) < Duration::from_secs(seconds * 2 / 3)
        {
            early = resident();
        }
    }
    let mut all = Count::default();
    for client in clients {
        let count = client.await.unwrap();
        for (class, number) in count.classes {
            *all.classes.entry(class).or_default() += number;
        }
        all.to_targets += count.to_targets;
        all.faults.extend(count.faults);
    }
    let late = resident();
    let series = bench.telemetry.gateway(&GatewayName::parse("shop").unwrap(), Protocol::Http);
    let sent: u64 = all.classes.values().sum();
    assert!(
        all.faults.is_empty(),
        "{} of {sent}: {}",
        all.faults.len(),
        all.faults[..all.faults.len().min(10)].join("\n")
    );
    assert!(eventually(|| series.totals().connections() == 0).await, "{:?}", series.totals());
    let totals = series.totals();
    let counted: BTreeMap<usize, u64> =
        totals.by_class().into_iter().enumerate().filter(|(_, number)| *number > 0).collect();
    println!("{sent} requests {counted:?}, {round} changes; resident {early} KiB, then {late} KiB");
    assert_eq!((counted, totals.in_flight), (all.classes, 0));
    let shop = GatewayName::parse("shop").unwrap();
    let of_routes = ["a", "b"]
        .map(|path| bench.telemetry.route(&shop, &RoutePath::parse(path).unwrap()).totals().requests());
    assert_eq!(of_routes.iter().sum::<u64>(), all.to_targets);
    assert!(bench.proxy.targets().iter().all(|target| target.in_flight == 0));
    assert!(ledger.0.lock().unwrap().is_empty());
    // Other tests share the memory of a short run.
    let most = if seconds >= 60 { 16 * 1024 } else { 256 * 1024 };
    assert!(late.saturating_sub(early) < most, "resident memory grew from {early} to {late} KiB");
}
