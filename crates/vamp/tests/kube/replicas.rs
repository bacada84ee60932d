//! Controllers and agents come and go, and no request is failed by it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::json;
use testkit::kube::{CLUSTER, Namespace, eventually};

use crate::api::Api;
use crate::installed::{Installed, rolled_out};
use crate::load::{Connections, Load};
use crate::node::{client, outside};
use crate::shop;
use crate::unharmed::{away, deploy, kill, rate, update};

/// Shifts weights, and returns when all agents serve them.
async fn weights(api: &Api, first: u64) -> String {
    let document = json!({
        "name": "shop", "selector": "label(app)(shop) && label(version)((.*))",
        "routes": {"(1.0.3)": {"weight": format!("{first}%")}, "(2.0.1)": {"weight": format!("{}%", 100 - first)}},
    });
    let answer = api.put("shop", &document.to_string()).await;
    let applied = answer.applied.unwrap_or_default();
    let (ready, all) = applied.split_once('/').unwrap_or_default();
    assert!(ready == all && all != "0", "{first}% is applied by '{applied}'");
    applied
}

/// The pod of the controller that leads.
async fn leader(namespace: &Namespace) -> String {
    eventually("a leader", || async {
        let name = namespace
            .kubectl(&[
                "get",
                "pods",
                "-l",
                "vamp.io/leader=true",
                "-o",
                "jsonpath={.items[*].metadata.name}",
            ])
            .await;
        if name.is_empty() || name.contains(' ') { Err(name) } else { Ok(name) }
    })
    .await
}

/// How long a change of weights takes until three agents serve it, asked through the API as users do.
async fn applied_by_three(namespace: &Namespace, api: &Api) {
    const AGENTS: &str = "deployment/vamp-gateway-agent";
    namespace.kubectl(&["scale", AGENTS, "--replicas=3"]).await;
    rolled_out(namespace, AGENTS).await;
    let mut took = Vec::new();
    for turn in 0..60 {
        let begin = Instant::now();
        let applied = weights(api, if turn % 2 == 0 { 30 } else { 70 }).await;
        took.push(begin.elapsed());
        assert_eq!(applied, "3/3");
    }
    took.sort();
    eprintln!(
        "change of weights with ?wait=applied and 3 agents: median {:.1?}, 95 % {:.1?}",
        took[30], took[57]
    );
}

/// The API server of a cluster that this checkout started.
fn api_server() -> Option<u32> {
    let state = PathBuf::from(std::env::var_os(CLUSTER)?);
    std::fs::read_to_string(state.with_file_name("pid").join("apiserver")).ok()?.trim().parse().ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_and_controllers_come_and_go() {
    let Some(namespace) = Namespace::new("replicas").await else { return };
    if !namespace.runs_images().await {
        return;
    }
    shop::load(&namespace, &[("sava-product", "1.0.3"), ("sava-product", "2.0.1")]).await;
    let installed = Installed::start(&namespace).await;
    deploy(&namespace, "1.0.3").await;
    deploy(&namespace, "2.0.1").await;
    let api = &installed.api;
    api.put("shop", "name: shop\nselector: label(app)(shop) && label(version)((.*))").await;
    api.routes("shop", &[("(1.0.3)", "100%", 3), ("(2.0.1)", "0%", 3)]).await;
    weights(api, 50).await;
    let url = format!("{}/products/ie", outside(&namespace, "shop").await);
    eventually("the Service to lead to the agents", || async {
        let answer = client(Connections::New).get(&url).send().await.map_err(|error| error.to_string())?;
        if answer.status() == 200 { Ok(()) } else { Err(answer.status().to_string()) }
    })
    .await;
    applied_by_three(&namespace, api).await;
    let kept = Load::start(&url, rate() / 2, Connections::Kept);
    let new = Load::start(&url, rate() / 2, Connections::New);
    let said = |what: &str| eprintln!("at {:.1} s: {what}", kept.seconds());
    kept.more(rate()).await;

    said("rolling restart of the agents, and weights");
    tokio::join!(
        async {
            namespace.kubectl(&["rollout", "restart", "deployment/vamp-gateway-agent"]).await;
            rolled_out(&namespace, "deployment/vamp-gateway-agent").await;
        },
        async {
            for first in [10, 90, 50] {
                weights(api, first).await;
                kept.more(rate() / 4).await;
            }
        }
    );
    said("the controller that leads is killed, and weights");
    let first = leader(&namespace).await;
    let hard = namespace.kill_pod(&first).await;
    weights(api, 20).await;
    said(&format!(
        "{} leads now (killed {})",
        leader(&namespace).await,
        if hard { "hard" } else { "by deletion" }
    ));
    weights(api, 70).await;
    said("rolling restart of the controllers");
    namespace.kubectl(&["rollout", "restart", "deployment/vamp-controller"]).await;
    rolled_out(&namespace, "deployment/vamp-controller").await;
    weights(api, 40).await;
    said("rolling update of the shop");
    update(&namespace, "1.0.3").await;
    said("a pod is killed");
    kill(&namespace, "2.0.1").await;
    match api_server() {
        None => said("the API server stays, it is not ours"),
        Some(pid) => {
            said("the API server is away");
            crate::harness::signal(pid, "STOP");
            tokio::time::sleep(away()).await;
            crate::harness::signal(pid, "CONT");
            said("it is back");
            weights(api, 60).await;
            update(&namespace, "2.0.1").await;
        }
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    for load in [kept, new] {
        let seen = load.finish().await;
        eprintln!("{}", seen.figures());
        assert!(seen.failed().is_empty(), "{:?}", seen.failed());
    }
}
