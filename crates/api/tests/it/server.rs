//! A server with everything real but the platform and the proxies.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use api::{
    Api, DataPlane, Environment, EnvironmentId, Info, Process, Settings, TargetStatus, Tried, Workload,
    WorkloadChange, WorkloadInstance, Workloads,
};
use control::{Control, SystemClock};
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use model::condition::Condition;
use model::instance::{Container, ContainerPort, Instance, InstanceKind, Observation};
use model::name::GatewayName;
use model::problem::{Problem, Problems};
use routing::table::RoutingTable;
use serde_json::Value;
use store::MemoryStore;
use telemetry::Telemetry;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::client::{Answer, Call};

/// A running server. Ends with the runtime of the test.
pub(crate) struct Server {
    pub(crate) api: Api,
    pub(crate) address: SocketAddr,
    pub(crate) control: Control,
    pub(crate) observation: watch::Sender<Arc<Observation>>,
    pub(crate) plane: Arc<Plane>,
    pub(crate) closing: CancellationToken,
    /// Ends, with true, when everything was drained.
    pub(crate) served: tokio::task::JoinHandle<bool>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::with(Settings::default()).await
    }

    pub(crate) async fn with(settings: Settings) -> Self {
        let server = Self::without_proxy(settings).await;
        server.join().await;
        server
    }

    /// The only proxy joins, and has confirmed the first table when this returns.
    pub(crate) async fn join(&self) {
        Proxy::run("proxy-1", &self.control, self.plane.clone()).await;
    }

    pub(crate) async fn without_proxy(settings: Settings) -> Self {
        let plane = Arc::new(Plane::default());
        let (environment, observation) =
            environment(EnvironmentId::new("default", "default"), plane.clone()).await;
        let control = environment.control.clone();
        let closing = CancellationToken::new();
        let api = Api::new(Process {
            info: Info {
                message: "hello".into(),
                version: "0.0.0".into(),
                uuid: "u-1".into(),
                started: Timestamp::now(),
                store: "memory".into(),
                platform: "local".into(),
            },
            ui: ui_file,
            settings,
            closing: closing.clone(),
        });
        api.put(environment);
        let router = api.router();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("an address");
        let served =
            tokio::spawn(api::serve(listener, None, router, closing.clone(), Duration::from_secs(10)));
        Self { api, served, plane, address, control, observation, closing }
    }

    pub(crate) fn call(&self, method: &str, path: &str) -> Call {
        Call::new(self.address, method, path)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call("GET", path).send().await
    }

    pub(crate) async fn put(&self, path: &str, body: &str) -> Answer {
        self.call("PUT", path).body(body).send().await
    }

    pub(crate) async fn post(&self, path: &str, body: &str) -> Answer {
        self.call("POST", path).body(body).send().await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.call("DELETE", path).send().await
    }

    /// Puts the gateway `shop` with two routes by address.
    pub(crate) async fn with_shop(self) -> Self {
        let answer = self.put("/api/v1/gateways/shop?wait=applied", SHOP).await;
        assert_eq!(answer.status, 202, "{}", answer.text());
        self
    }

    /// All events, newest first.
    pub(crate) async fn events(&self, query: &str) -> Vec<Value> {
        self.get(&format!("/api/v1/events{query}")).await.json().as_array().expect("a list").clone()
    }
}

/// An environment over an empty store, with two pods.
pub(crate) async fn environment(
    id: EnvironmentId,
    plane: Arc<Plane>,
) -> (Environment, watch::Sender<Arc<Observation>>) {
    let (observation, seen) = watch::channel(Arc::new(Observation {
        instances: Arc::new(vec![pod("shop-1", "1.0.3", 7).into(), pod("shop-2", "2.0.1", 8).into()]),
        problem: None,
        complete: true,
    }));
    let mut rules = control::Settings::new(&id.name);
    rules.reserved_ports = vec![8090];
    let control = Control::start(rules, Arc::new(MemoryStore::default()), seen, Arc::new(SystemClock))
        .await
        .expect("control starts over an empty store");
    let environment = Environment {
        id,
        control,
        gateway_filter: model::selector::Selector::parse("true").expect("a selector"),
        telemetry: Telemetry::new(1),
        data_plane: plane,
        workloads: Arc::new(Local::default()),
    };
    (environment, observation)
}

/// The smallest web UI.
fn ui_file(path: &str) -> Option<&'static [u8]> {
    match path {
        "index.html" => Some(b"<!doctype html><title>Vamp</title>"),
        "assets/app.js" => Some(b"start()"),
        "favicon.svg" => Some(b"<svg/>"),
        _ => None,
    }
}

/// A gateway that needs no platform.
pub(crate) const SHOP: &str = r#"
name: shop
port: 9070/http
routes:
  "[10.1.0.7:8080]": {weight: 90%}
  "[10.1.0.8:8080]": {weight: 10%, condition: "User-Agent == Firefox"}
"#;

fn pod(name: &str, version: &str, host: u8) -> Instance {
    Instance {
        kind: InstanceKind::Pod,
        namespace: "default".into(),
        name: name.into(),
        labels: BTreeMap::from([("app".into(), "shop".into()), ("version".into(), version.into())]),
        ip: Some(IpAddr::from([10, 1, 0, host])),
        ready: true,
        exists: true,
        containers: vec![Container {
            name: "web".into(),
            image: Some(format!("example/shop:{version}")),
            ports: vec![ContainerPort { number: 8080, name: None, tcp: true, app_protocol: None }],
        }],
    }
}

/// The data plane of the test: a table, no sockets.
#[derive(Default)]
pub(crate) struct Plane {
    table: RwLock<Arc<RoutingTable>>,
    pub(crate) broken: AtomicBool,
    /// Proxies come and go by themselves.
    pub(crate) agents: AtomicBool,
    /// Requests that came to any gateway, and of how many proxies that is.
    pub(crate) tried: Mutex<Tried>,
}

impl DataPlane for Plane {
    fn table(&self) -> Arc<RoutingTable> {
        self.table.read().unwrap().clone()
    }

    fn targets(&self) -> Vec<TargetStatus> {
        assert!(!self.broken.load(Ordering::Relaxed), "a bug in the data plane");
        Vec::new()
    }

    fn try_condition<'a>(&'a self, _: &'a GatewayName, condition: &'a Condition) -> BoxFuture<'a, Tried> {
        let mut tried = self.tried.lock().unwrap().clone();
        tried
            .requests
            .iter_mut()
            .for_each(|request| request.matches = condition.text().contains(&request.path));
        Box::pin(async { tried })
    }

    fn comes_and_goes(&self) -> bool {
        self.agents.load(Ordering::Relaxed)
    }
}

/// A proxy that confirms what is published.
pub(crate) struct Proxy;

impl Proxy {
    /// Joins and confirms everything from now on.
    async fn run(name: &'static str, control: &Control, plane: Arc<Plane>) {
        control.proxy_joined(name);
        let control = control.clone();
        let mut published = control.published();
        let (ready, first) = tokio::sync::oneshot::channel();
        tokio::spawn(async move {
            let mut ready = Some(ready);
            loop {
                let config = published.borrow_and_update().clone();
                let mut seed = 0;
                let table = RoutingTable::compile(&config, &plane.table(), &mut || {
                    seed += 1;
                    seed
                });
                *plane.table.write().unwrap() = Arc::new(table);
                control.acknowledge(name, config.revision, Vec::new());
                if let Some(ready) = ready.take() {
                    let _ = ready.send(());
                }
                if published.changed().await.is_err() {
                    return;
                }
            }
        });
        first.await.expect("the proxy runs");
    }

    /// Joins and never confirms anything.
    pub(crate) fn mute(name: &str, control: &Control) {
        control.proxy_joined(name);
    }
}

/// Workloads that only remember their names.
#[derive(Default)]
struct Local {
    names: Mutex<Vec<String>>,
}

impl Workloads for Local {
    fn list(&self) -> Vec<Workload> {
        let show = |name: &String| Workload {
            kind: "Deployment".into(),
            namespace: "default".into(),
            name: name.clone(),
            source: None,
            replicas: 1,
            ready: 1,
            updated: 1,
            restarts: 0,
            problem: None,
            images: vec!["example/shop:1.0".into()],
            instances: vec![WorkloadInstance {
                name: format!("{name}-0"),
                ip: "127.0.1.1".into(),
                ports: vec![8080],
                pids: vec![1],
                state: "running".into(),
                ready: true,
                restarts: 0,
                reason: None,
            }],
        };
        self.names.lock().unwrap().iter().map(show).collect()
    }

    fn apply<'a>(&'a self, manifest: &'a str) -> BoxFuture<'a, Result<Vec<WorkloadChange>, Problems>> {
        Box::pin(async move {
            let nodes = model::yaml::read_all(manifest)?;
            let mut changes = Vec::new();
            for node in nodes {
                let value = node.to_value();
                let Some(name) = value["metadata"]["name"].as_str() else {
                    return Err(Problem::new("missing-value", "/metadata/name", "no name").into());
                };
                self.names.lock().unwrap().push(name.to_owned());
                changes.push(WorkloadChange {
                    kind: "Deployment".into(),
                    namespace: "default".into(),
                    name: name.to_owned(),
                    outcome: "created".into(),
                });
            }
            Ok(changes)
        })
    }

    fn delete<'a>(&'a self, _: &'a str, name: &'a str) -> BoxFuture<'a, Result<bool, Problems>> {
        Box::pin(async move {
            let mut names = self.names.lock().unwrap();
            let before = names.len();
            names.retain(|known| known != name);
            Ok(names.len() < before)
        })
    }

    fn log(&self, name: &str, lines: usize) -> Option<Vec<String>> {
        let known = self.names.lock().unwrap().iter().any(|known| name.starts_with(known.as_str()));
        known.then(|| (0..lines.min(3)).map(|i| format!("line {i}")).collect())
    }
}

/// Waits until something holds, with a deadline.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while !holds().await {
        assert!(tokio::time::Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The body of a document with a changed field.
pub(crate) fn edited(mut document: Value, pointer: &str, value: Value) -> Value {
    *document.pointer_mut(pointer).unwrap_or_else(|| panic!("no {pointer}")) = value;
    document
}
