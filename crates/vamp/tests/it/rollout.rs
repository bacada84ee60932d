//! What happens to instances must not show in responses: rolling updates, scaling, processes that die, pods that come and go.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::harness::{Pod, Vamp, eventually, signal};
use crate::load::Load;
use crate::target::Target;

const SHOP: &str = "name: shop\nselector: label(app)(shop) && label(version)((.*))\n";

fn deployment(replicas: usize, round: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: shop}}\nspec:\n  replicas: {replicas}\n  \
         selector: {{matchLabels: {{app: shop}}}}\n  template:\n    metadata: {{labels: {{app: shop, version: '1'}}}}\n    \
         spec:\n      containers:\n      - name: main\n        image: vampio/sava-product:1.0.3\n        \
         ports: [{{containerPort: 8080}}]\n        env: [{{name: ROUND, value: '{round}'}}]\n"
    )
}

/// Waits until the Deployment is what was asked for, and nothing else of it is left.
async fn rolled_out(vamp: &Vamp, replicas: u64, before: &[String]) -> Vec<String> {
    eventually(&format!("{replicas} new replicas"), || async {
        let workloads = vamp.get("/workloads").await.body;
        let shop = workloads.as_array()?.iter().find(|workload| workload["name"] == "shop")?.clone();
        let names: Vec<String> = shop["instances"]
            .as_array()?
            .iter()
            .map(|instance| instance["name"].as_str().unwrap().to_owned())
            .collect();
        let done = shop["updated"] == replicas
            && shop["ready"] == replicas
            && names.len() as u64 == replicas
            && names.iter().all(|name| !before.contains(name));
        done.then_some(names)
    })
    .await
}

fn only_good(outcomes: &BTreeMap<String, usize>) {
    assert_eq!(outcomes.keys().collect::<Vec<_>>(), ["200"], "{outcomes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_update_and_scaling_fail_no_request() {
    let vamp = Vamp::start().await;
    vamp.inventory("shop.yaml", &deployment(2, "0"));
    let mut names = rolled_out(&vamp, 2, &[]).await;
    vamp.gateway(SHOP).await;
    vamp.routes("shop", &[("(1)", "100%")]).await;
    let load = Load::start(&format!("http://127.0.0.1:{}/products/ie", vamp.port("shop").await), 300);
    for round in ["1", "2"] {
        vamp.inventory("shop.yaml", &deployment(2, round));
        names = rolled_out(&vamp, 2, &names).await;
    }
    for replicas in [4, 1] {
        vamp.inventory("shop.yaml", &deployment(replicas, "2"));
        rolled_out(&vamp, replicas as u64, &[]).await;
    }
    only_good(&load.finish(500).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_template_that_does_not_start_leaves_the_old_replicas_alone() {
    let vamp = Vamp::start().await;
    vamp.inventory("shop.yaml", &deployment(1, "0"));
    let names = rolled_out(&vamp, 1, &[]).await;
    vamp.gateway(SHOP).await;
    vamp.routes("shop", &[("(1)", "100%")]).await;
    let load = Load::start(&format!("http://127.0.0.1:{}/products/ie", vamp.port("shop").await), 100);
    let bad = deployment(1, "1")
        .replace("        env:", "        command: [sh, -c, 'echo no luck; exit 3']\n        env:");
    vamp.inventory("shop.yaml", &bad);
    eventually("a crash loop", || async {
        let text = vamp.get("/workloads").await.body.to_string();
        text.contains("back-off").then_some(())
    })
    .await;
    // The doctor finds it, and says where to look.
    let output = vamp.cli(&["check"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("exited with code 3") && text.contains("vamp local logs shop"), "{text}");
    let log = String::from_utf8_lossy(&vamp.cli(&["local", "logs", "shop"]).stdout).into_owned();
    assert!(log.contains("no luck"), "{log}");

    vamp.inventory("shop.yaml", &deployment(1, "0"));
    eventually("the old replica alone", || async {
        let workloads = vamp.get("/workloads").await.body;
        let instances = workloads[0]["instances"].as_array()?.clone();
        (instances.len() == 1 && instances[0]["name"] == names[0].as_str()).then_some(())
    })
    .await;
    only_good(&load.finish(20).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn children_end_with_vamp_however_it_ends() {
    let mut vamp = Vamp::start().await;
    vamp.inventory("shop.yaml", &deployment(2, "0"));
    rolled_out(&vamp, 2, &[]).await;
    let pids = |workloads: serde_json::Value| -> Vec<u64> {
        let instances = workloads[0]["instances"].as_array().unwrap().clone();
        instances
            .iter()
            .flat_map(|i| i["pids"].as_array().unwrap().clone())
            .map(|pid| pid.as_u64().unwrap())
            .collect()
    };
    let alive = |pid: &u64| {
        std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
    };
    let first = pids(vamp.get("/workloads").await.body);
    assert_eq!(first.len(), 2);
    // One that dies by itself is started again.
    signal(u32::try_from(first[0]).unwrap(), "KILL");
    eventually("another process", || async {
        let now = pids(vamp.get("/workloads").await.body);
        (now.len() == 2 && now != first).then_some(())
    })
    .await;
    let mut old = pids(vamp.get("/workloads").await.body);
    vamp.crash_and_restart().await;
    eventually("the children of the killed one to end", || async { (!old.iter().any(alive)).then_some(()) })
        .await;
    rolled_out(&vamp, 2, &[]).await;
    old = pids(vamp.get("/workloads").await.body);
    assert_eq!(vamp.terminate(), Some(0));
    assert!(!old.iter().any(alive), "children outlive a clean stop");
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_that_flap_disturb_nobody() {
    let vamp = Vamp::start().await;
    let targets = [Target::start("1").await, Target::start("2").await];
    let pod = |index: usize, version: &str, ready: bool| {
        vamp.pod(&Pod {
            name: &format!("shop-{version}"),
            labels: &[("app", "shop"), ("version", version)],
            address: targets[index].address,
            ready,
        });
    };
    pod(0, "1", true);
    vamp.gateway(SHOP).await;
    vamp.routes("shop", &[("(1)", "100%")]).await;
    let load = Load::start(&format!("http://127.0.0.1:{}/", vamp.port("shop").await), 300);
    for round in 0..60 {
        match round % 3 {
            0 => pod(1, "2", true),
            1 => pod(1, "2", false),
            _ => vamp.remove_pod("shop-2"),
        }
        if round % 10 == 5 {
            // Broken and half-written files in between change nothing.
            vamp.inventory("broken.yaml", "kind: Pod\nmetadata: [");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let problem = eventually("the broken file to be told", || async {
        let status = vamp.get("/status").await.body;
        status["platform"]["problem"].as_str().map(str::to_owned)
    })
    .await;
    assert!(problem.contains("broken.yaml"), "{problem}");
    vamp.inventory("broken.yaml", "apiVersion: v1\nkind: List\nitems: []\n");
    pod(1, "2", true);
    vamp.routes("shop", &[("(1)", "100%"), ("(2)", "0%")]).await;
    eventually("health", || async { (vamp.get("/status").await.body["healthy"] == true).then_some(()) })
        .await;
    only_good(&load.finish(500).await);
}
