//! `kill -9` at any moment loses no acknowledged change; a restart restores everything; SIGTERM is clean.

use std::time::Duration;

use crate::harness::{Pod, Vamp};
use crate::release::count;
use crate::target::Target;

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_changes_survive_kill_9() {
    let mut vamp = Vamp::start().await;
    let targets = [Target::start("a").await, Target::start("b").await];
    let document = |weight: usize| {
        format!(
            "name: front\nroutes: {{\"[{}]\": {{weight: {weight}%}}, \"[{}]\": {{weight: {}%}}}}",
            targets[0].address,
            targets[1].address,
            100 - weight
        )
    };
    vamp.gateway(&document(0)).await;
    let path = format!("[{}]", targets[0].address);
    for round in 0..20 {
        let deadline = tokio::time::Instant::now() + Duration::from_millis(20 + 7 * round);
        let mut weight = 0;
        let (revision, weight) = loop {
            weight = (weight + 1) % 101;
            let answer = vamp.put("/gateways/front", &document(weight)).await;
            assert_eq!(answer.status, 202);
            let revision: u64 = answer.header("vamp-revision").unwrap().parse().unwrap();
            if tokio::time::Instant::now() >= deadline {
                break (revision, format!("{weight}%"));
            }
        };
        vamp.crash_and_restart().await;
        let answer = vamp.get("/gateways/front").await;
        assert_eq!(
            answer.body["routes"][&path]["weight"],
            weight.as_str(),
            "round {round}, revision {revision}"
        );
    }
    let events = vamp.get("/events?tag=archive:update&tag=gateways:front").await;
    let total: u64 = events.header("x-total-count").unwrap().parse().unwrap();
    assert!(total >= 20, "{total} events");
}

#[tokio::test(flavor = "multi_thread")]
async fn live_weights_survive_a_restart() {
    let mut vamp = Vamp::start().await;
    let mut targets = Vec::new();
    for version in ["1.0", "2.0"] {
        let target = Target::start(version).await;
        let labels = [("app", "shop"), ("version", version)];
        vamp.pod(&Pod {
            name: &format!("shop-{version}"),
            labels: &labels,
            address: target.address,
            ready: true,
        });
        targets.push(target);
    }
    vamp.gateway("name: shop\nselector: label(app)(shop) && label(version)((.*))").await;
    vamp.routes("shop", &[("(1.0)", "100%"), ("(2.0)", "0%")]).await;
    let output = vamp.cli(&["weight", "shop", "2.0=30%"]);
    assert!(output.status.success(), "{output:?}");
    let port = vamp.port("shop").await;
    vamp.crash_and_restart().await;
    vamp.routes("shop", &[("(1.0)", "70%"), ("(2.0)", "30%")]).await;
    assert_eq!(vamp.port("shop").await, port);
    let seen = count(&format!("http://127.0.0.1:{port}/"), 100, &[]).await;
    assert_eq!((seen["1.0"], seen["2.0"]), (70, 30));
    assert_eq!(vamp.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_on_the_same_data_is_refused() {
    let vamp = Vamp::start().await;
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_vamp"))
        .args(["serve", "--api-listen", "127.0.0.1:0", "--virtual-host-listen", "127.0.0.1:0", "--data-dir"])
        .arg(vamp.folder().join("data"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(message.contains("data"), "{message}");
    assert_eq!(vamp.get("/info").await.status, 200);
}
