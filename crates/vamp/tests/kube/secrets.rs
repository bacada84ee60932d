//! Certificates in Secrets, with a real API server's rights and watches, and agents that really run.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use testkit::kube::{Namespace, eventually};
use testkit::tls::{Authority, Pair};
use testkit::wire::Wire;

use crate::installed::{Installed, rolled_out};
use crate::node::{node_address, outside};
use crate::shop;
use crate::unharmed::deploy;

const HOST: &str = "shop.example";
const REQUEST: &str = "GET /products/ie HTTP/1.1\r\nHost: shop.example\r\n\r\n";
const AGENTS: &str = "deployment/vamp-gateway-agent";

/// What `certificates: [NAME...]` in the values of the chart gives to agents.
async fn may_read(namespace: &Namespace, secrets: &[&str]) {
    let rule = json!({"apiGroups": [""], "resources": ["secrets"], "resourceNames": secrets, "verbs": ["get", "watch"]});
    let role = json!({"metadata": {"name": "vamp-certificates"}, "rules": [rule]});
    namespace.create("rbac.authorization.k8s.io/v1/roles", role).await;
    let account =
        json!({"kind": "ServiceAccount", "name": "vamp-gateway-agent", "namespace": namespace.name()});
    let binding = json!({
        "metadata": {"name": "vamp-certificates"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "vamp-certificates"},
        "subjects": [account],
    });
    namespace.create("rbac.authorization.k8s.io/v1/rolebindings", binding).await;
    let token = json!({"spec": {"template": {"spec": {"automountServiceAccountToken": true}}}});
    namespace.patch("apps/v1/deployments", "vamp-gateway-agent", token).await;
    rolled_out(namespace, AGENTS).await;
}

fn secret(name: &str, pair: &Pair) -> Value {
    json!({
        "metadata": {"name": name}, "type": "kubernetes.io/tls",
        "stringData": {"tls.crt": pair.certificate, "tls.key": pair.key},
    })
}

fn document(name: &str, secret: &str, host: &str) -> String {
    format!(
        "name: {name}\nselector: label(app)(shop) && label(version)((.*))\nvirtual_hosts: [{host}]\ntls: {{secret: {secret}}}"
    )
}

/// A connection, asking for a name. Until the rules of a new node port are in force, older kube-proxies hold its connections without
/// answering.
async fn connect(authority: &Authority, address: SocketAddr, name: &str) -> Result<Wire, String> {
    let connected = tokio::time::timeout(Duration::from_secs(10), authority.connect(address, name)).await;
    match connected {
        Ok(Ok(wire)) => Ok(wire),
        Ok(Err(error)) => Err(format!("{address}: {error}")),
        Err(_) => Err(format!("{address} does not answer")),
    }
}

/// The certificate that a connection was shown.
fn shown(wire: &Wire) -> Vec<u8> {
    let session = wire.session().expect("a session");
    let certificates = session.get_ref().1.peer_certificates().expect("a certificate");
    certificates[0].to_vec()
}

/// Where the shared listener for TLS is reached from outside.
async fn hosts(namespace: &Namespace) -> SocketAddr {
    let service = namespace.get("services", "vamp-gateway-agent").await.expect("installed");
    let ports = service["spec"]["ports"].as_array().expect("ports");
    let port = ports.iter().find(|port| port["name"] == "https").expect("a port for TLS");
    let number = u16::try_from(port["nodePort"].as_u64().expect("a node port")).unwrap();
    SocketAddr::new(node_address(namespace).await.parse().unwrap(), number)
}

/// Clients that look at every answer, until they are told to stop.
struct Clients {
    stop: Arc<AtomicBool>,
    asked: Arc<AtomicU64>,
    tasks: Vec<tokio::task::JoinHandle<Result<(), String>>>,
}

impl Clients {
    /// Two that keep a connection for as long as they live, and two with a new one for each request, at each address.
    fn start(authority: &Arc<Authority>, addresses: [SocketAddr; 2]) -> Self {
        let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut tasks = Vec::new();
        for (address, keep) in
            addresses.into_iter().flat_map(|address| [true, true, false, false].map(|keep| (address, keep)))
        {
            let (authority, stop, asked) = (Arc::clone(authority), Arc::clone(&stop), Arc::clone(&asked));
            tasks.push(tokio::spawn(async move {
                let connect = async || connect(&authority, address, HOST).await;
                let mut wire = connect().await?;
                while !stop.load(Ordering::Acquire) {
                    let answer = wire.ask(REQUEST).await.map_err(|error| format!("kept {keep}: {error}"))?;
                    if answer.status() != 200 {
                        return Err(answer.start);
                    }
                    asked.fetch_add(1, Ordering::AcqRel);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    if !keep {
                        wire = connect().await?;
                    }
                }
                Ok(())
            }));
        }
        Self { stop, asked, tasks }
    }

    async fn more(&self, count: u64) {
        let goal = self.asked.load(Ordering::Acquire) + count;
        eventually("clients to get on", || async {
            let asked = self.asked.load(Ordering::Acquire);
            if asked >= goal || self.tasks.iter().any(|task| task.is_finished()) {
                Ok(())
            } else {
                Err(asked.to_string())
            }
        })
        .await;
    }

    /// How many answers there were, all of them good.
    async fn finish(self) -> u64 {
        self.stop.store(true, Ordering::Release);
        for task in self.tasks {
            assert_eq!(task.await.unwrap(), Ok(()));
        }
        self.asked.load(Ordering::Acquire)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_in_secrets_are_read_by_name_and_change_while_clients_are_connected() {
    let Some(namespace) = Namespace::new("secrets").await else { return };
    if !namespace.runs_images().await {
        return;
    }
    shop::load(&namespace, &[("sava-product", "1.0.3")]).await;
    let installed = Installed::start(&namespace).await;
    let api = &installed.api;
    deploy(&namespace, "1.0.3").await;
    may_read(&namespace, &["shop-tls", "later-tls"]).await;
    let account = format!("--as=system:serviceaccount:{}:vamp-gateway-agent", namespace.name());
    for question in [["get", "secrets/other-tls"], ["list", "secrets"], ["watch", "secrets"]] {
        let answer =
            namespace.try_kubectl(&["auth", "can-i", question[0], question[1], &account], None).await;
        assert_eq!(String::from_utf8_lossy(&answer.stdout).trim(), "no", "{question:?}");
    }
    let authority = Arc::new(Authority::new());
    namespace.create("secrets", secret("shop-tls", &authority.issue(&[HOST]))).await;
    api.put("shop", &document("shop", "shop-tls", HOST)).await;
    api.routes("shop", &[("(1.0.3)", "100%", 3)]).await;
    let own: SocketAddr = outside(&namespace, "shop").await.strip_prefix("http://").unwrap().parse().unwrap();
    let hosts = hosts(&namespace).await;
    let first = eventually("both listeners to show the certificate", || async {
        let mut seen = Vec::new();
        for address in [own, hosts] {
            let mut wire = connect(&authority, address, HOST).await?;
            let answer = wire.ask(REQUEST).await.map_err(|error| format!("{address}: {error}"))?;
            if answer.status() != 200 {
                return Err(format!("{address}: {}", answer.start));
            }
            seen.push(shown(&wire));
        }
        if seen[0] == seen[1] { Ok(seen.remove(0)) } else { Err("two certificates".into()) }
    })
    .await;

    // A new certificate, as cert-manager writes it: from some moment on every new connection sees it, and no old one is closed.
    let clients = Clients::start(&authority, [own, hosts]);
    clients.more(100).await;
    let begin = std::time::Instant::now();
    let renewed = authority.issue(&[HOST]);
    let good = json!({"stringData": {"tls.crt": renewed.certificate, "tls.key": renewed.key}});
    namespace.patch("secrets", "shop-tls", good.clone()).await;
    for address in [own, hosts] {
        // Both agents: ten in a row, wherever they are led.
        eventually("all agents to show the new certificate", || async {
            for _ in 0..10 {
                let wire = connect(&authority, address, HOST).await?;
                if shown(&wire) == first {
                    return Err("the old one".into());
                }
            }
            Ok(())
        })
        .await;
    }
    let took = begin.elapsed();
    clients.more(100).await;
    // What cannot be used changes nothing.
    namespace.patch("secrets", "shop-tls", json!({"stringData": {"tls.crt": "damaged"}})).await;
    problem(api, "shop-tls", "the one before").await;
    clients.more(100).await;
    namespace.patch("secrets", "shop-tls", good).await;
    let asked = clients.finish().await;
    eprintln!(
        "a Secret changes until all agents show it: {took:.1?}; {asked} requests over kept and new connections, 0 failed"
    );

    // One that comes later, and one that nobody gave the right for.
    api.put("later", &document("later", "later-tls", "later.example")).await;
    problem(api, "later-tls", "there is no such Secret").await;
    namespace.create("secrets", secret("later-tls", &authority.issue(&["later.example"]))).await;
    eventually("the Secret to be found", || async {
        connect(&authority, hosts, "later.example").await.map(drop)
    })
    .await;
    api.put("other", &document("other", "other-tls", "other.example")).await;
    problem(api, "other-tls", "give its user a Role").await;
}

/// Waits until the status says this about a Secret.
async fn problem(api: &crate::api::Api, secret: &str, part: &str) {
    eventually(&format!("a problem with {secret}: {part}"), || async {
        let status = api.try_call("GET", "/status", None).await?.body;
        let mut problems = status["problems"].as_array().into_iter().flatten().map(Value::to_string);
        let found = problems.any(|text| text.contains(secret) && text.contains(part));
        if found { Ok(()) } else { Err(status["problems"].to_string()) }
    })
    .await;
}
