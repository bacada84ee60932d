//! What is seen of pods (R41, R42), and what happens when it cannot be seen.

use std::time::{Duration, Instant};

use kubernetes::Credentials;
use serde_json::json;
use testkit::cluster::{Cluster, Faults};

use crate::world::{NAMESPACE, World, pod, service};

#[tokio::test]
async fn pods_come_change_and_go() {
    let cluster = Cluster::start(1).await.unwrap();
    cluster.apply("pods", pod(NAMESPACE, "a", true));
    cluster.apply("pods", pod("elsewhere", "x", true));
    let mut world = World::new(cluster).await;
    let seen = world.until("the first list", |seen| seen.complete).await;
    assert_eq!((seen.instances.len(), &seen.problem), (1, &None), "only the environment's namespace");
    world.cluster.apply("pods", pod(NAMESPACE, "b", false));
    world.until_pods("a new pod", &[("a", true), ("b", false)]).await;
    world.cluster.apply("pods", pod(NAMESPACE, "b", true));
    world.until_pods("ready", &[("a", true), ("b", true)]).await;
    // On a busy machine the best of some tries counts.
    let mut took = Vec::new();
    while took.iter().all(|took| *took >= Duration::from_secs(1)) {
        assert!(took.len() < 5, "R42: {took:?}");
        world.cluster.apply("pods", pod(NAMESPACE, "a", true));
        world.until_pods("ready again", &[("a", true), ("b", true)]).await;
        let begin = Instant::now();
        world.cluster.apply("pods", pod(NAMESPACE, "a", false));
        world.until_pods("unready", &[("a", false), ("b", true)]).await;
        took.push(begin.elapsed());
    }
    let mut going = pod(NAMESPACE, "b", true);
    going["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    world.cluster.apply("pods", going);
    world.until_pods("being deleted", &[("a", false), ("b", false)]).await;
    world.cluster.remove("pods", NAMESPACE, "b");
    world.until_pods("gone", &[("a", false)]).await;
}

#[tokio::test]
async fn services_are_instances_but_not_those_of_gateways() {
    let cluster = Cluster::start(2).await.unwrap();
    cluster.apply("services", service(NAMESPACE, "plain", json!({})));
    cluster.apply("services", service(NAMESPACE, "ours", json!({"io.vamp": "gateway"})));
    let mut world = World::new(cluster).await;
    world.until_pods("one of both", &[("plain", true)]).await;
}

#[tokio::test]
async fn more_objects_than_a_page_holds() {
    let cluster = Cluster::start(3).await.unwrap();
    for number in 0..1203 {
        cluster.apply("pods", pod(NAMESPACE, &format!("pod-{number:04}"), true));
    }
    let mut world = World::new(cluster).await;
    let seen = world.until("all of them", |seen| seen.complete).await;
    assert_eq!(seen.instances.len(), 1203);
    assert!(seen.instances.is_sorted_by_key(|instance| &instance.name), "always in the same order");
}

#[tokio::test]
async fn other_namespaces_when_allowed_and_else_the_own_one() {
    for (forbidden, expected) in [(false, 2), (true, 1)] {
        let cluster = Cluster::start(4).await.unwrap();
        cluster.apply("pods", pod(NAMESPACE, "a", true));
        cluster.apply("pods", pod("elsewhere", "x", true));
        if forbidden {
            cluster.forbid("list pods *");
            cluster.forbid("list services *");
        }
        let mut world = World::with(cluster, |settings| settings.all_namespaces = true).await;
        let seen = world.until("complete", |seen| seen.complete && seen.problem.is_none()).await;
        assert_eq!(seen.instances.len(), expected, "forbidden: {forbidden}");
    }
}

#[tokio::test]
async fn a_missing_right_is_named_and_can_be_given_later() {
    let cluster = Cluster::start(5).await.unwrap();
    cluster.apply("pods", pod(NAMESPACE, "a", true));
    cluster.forbid("list pods");
    let mut world = World::new(cluster).await;
    let seen = world.until("a problem", |seen| seen.problem.is_some()).await;
    let problem = seen.problem.clone().unwrap();
    for part in ["list pods in namespace 'prod'", "resources: [pods], verbs: [list, watch]"] {
        assert!(problem.contains(part), "{problem}");
    }
    assert!(!seen.complete);
    world.cluster.permit("list pods");
    world.until("mended", |seen| seen.complete && seen.problem.is_none()).await;
}

#[tokio::test]
async fn an_api_server_that_fails_changes_nothing_and_is_followed_again() {
    let cluster = Cluster::start(6).await.unwrap();
    cluster.apply("pods", pod(NAMESPACE, "a", true));
    let mut world = World::new(cluster).await;
    world.until_pods("the first list", &[("a", true)]).await;
    world.cluster.set_faults(Faults { errors: 100, ..Faults::default() });
    world.cluster.drop_watches();
    world.cluster.remove("pods", NAMESPACE, "a");
    let seen = world.until("a problem", |seen| seen.problem.is_some()).await;
    assert!(seen.complete && seen.instances.len() == 1, "nothing is forgotten: {seen:?}");
    world.cluster.set_faults(Faults::default());
    world.until("caught up", |seen| seen.problem.is_none() && seen.instances.is_empty()).await;
}

#[tokio::test]
async fn a_watch_that_is_too_old_begins_with_a_list() {
    let cluster = Cluster::start(7).await.unwrap();
    cluster.apply("pods", pod(NAMESPACE, "a", true));
    let mut world = World::new(cluster).await;
    world.until_pods("the first list", &[("a", true)]).await;
    world.cluster.apply("pods", pod(NAMESPACE, "b", true));
    world.cluster.remove("pods", NAMESPACE, "a");
    world.cluster.compact();
    world.cluster.drop_watches();
    world.until_pods("relisted", &[("b", true)]).await;
}

#[tokio::test]
async fn a_kubeconfig_that_is_of_no_use_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("none");
    let connect = |context: Option<&str>| {
        let credentials = Credentials::Kubeconfig { file: file.clone(), context: context.map(str::to_owned) };
        async move { kubernetes::Cluster::connect(&credentials).await }
    };
    let error = connect(None).await.unwrap_err();
    assert!(error.to_string().contains("--kubeconfig") && error.to_string().contains("none"), "{error}");
    let cluster = Cluster::start(8).await.unwrap();
    std::fs::write(&file, cluster.kubeconfig(NAMESPACE)).unwrap();
    let error = connect(Some("nobody")).await.unwrap_err();
    assert!(error.to_string().contains("nobody"), "{error}");
}
